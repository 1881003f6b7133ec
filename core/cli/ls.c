/* dipp ls: the runs of a database. */
#include "cli/commands.h"
#include "cli/table.h"

#include "base/clock.h"

#include <string.h>

const char cli_ls_details[] =
    "RUN of the other commands is an id of this list, the beginning of a uuid, a name, ARM:SEED "
    "or @latest.";

static int add(void *user, const dipp_run_row *row)
{
    char id[24], seed[24], step[24], config[9], time[DIPP_TIME_TEXT_BYTES] = "";
    char note[96] = "";
    snprintf(id, sizeof id, "%lld", (long long)row->run_id);
    snprintf(seed, sizeof seed, "%lld", (long long)row->seed);
    snprintf(step, sizeof step, "%lld", (long long)row->step);
    snprintf(config, sizeof config, "%s", row->config_sha256);
    int64_t at = row->ended_at ? row->ended_at : row->heartbeat_at;
    if (at) {
        dipp_clock_text((double)at / 1e6, time);
        time[16] = 0; /* to the minute */
        time[10] = ' ';
    }
    if (row->error)
        snprintf(note, sizeof note, "%.90s", row->error);
    else if (row->alarm_step >= 0)
        snprintf(note, sizeof note, "ALARM at step %lld", (long long)row->alarm_step);
    else if (row->warnings)
        snprintf(note, sizeof note, "%lld warnings", (long long)row->warnings);
    cli_table_add(user, (const char *const[]){id, row->experiment, row->arm, seed, dipp_run_status_name(row->status),
                                              step, config, time, note});
    return 0;
}

int cli_ls(int argc, char **argv)
{
    const char *database = NULL, *status_name = NULL, *arm = NULL;
    cli_list positionals = {0};
    const cli_option options[] = {
        CLI_DATABASE_OPTION(database),
        {"arm", 0, CLI_TEXT, "ARM", "only this arm", &arm},
        {"status", 0, CLI_TEXT, "STATUS", "only queued, running, completed, failed, killed or lost", &status_name},
        {NULL, 0, CLI_FLAG, NULL, NULL, NULL}};
    int code = CLI_OK;
    const cli_command *self = cli_find_command("ls");
    if (!cli_parse(self, options, argc, argv, &positionals, &code))
        return code;
    if (positionals.count > 1)
        return cli_refuse(options, &positionals, cli_usage_error(self, "one experiment at most"));
    dipp_run_filter filter = {.experiment = positionals.count ? positionals.items[0] : NULL, .arm = arm};
    for (int i = 0; status_name && i <= DIPP_RUN_LOST; i++)
        if (!strcmp(status_name, dipp_run_status_name((dipp_run_status)i)))
            filter.statuses = 1u << i;
    if (status_name && !filter.statuses)
        return cli_refuse(options, &positionals, cli_usage_error(self, "`%s` is no status of a run", status_name));
    dipp_error error;
    dipp_store *store = NULL;
    cli_table table = {.columns = 9};
    cli_table_add(&table, (const char *const[]){"run", "experiment", "arm", "seed", "status", "step", "config",
                                                "last heard (UTC)", "note"});
    dipp_status status = cli_open_store(cli_database(database, NULL), &store, &error);
    if (status == DIPP_OK)
        status = dipp_store_each_run(store, &filter, add, &table, &error);
    if (status == DIPP_OK)
        cli_table_print(&table, stdout, 0);
    else
        code = cli_fail(&error);
    cli_table_clear(&table);
    dipp_store_close(&store);
    cli_list_clear(&positionals);
    return code;
}
