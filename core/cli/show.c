/* dipp show: one run. */
#include "cli/commands.h"
#include "cli/style_table.h"
#include "cli/table.h"

#include "base/clock.h"

#include <string.h>

const char cli_show_details[] = "RUN is an id, the beginning of a uuid, a name, ARM:SEED or @latest.";

/* A heading, then the rows of a query about one run (?1). */
typedef struct section {
    const char *title, *sql;
    bool only_with_all;
} section;

static const section sections[] = {
    {"Settings that are not defaults",
     "SELECT key, value, ifnull(origin, source) AS \"set by\" FROM params WHERE run_id=CAST(?1 AS INTEGER) AND "
     "source<>'default' ORDER BY key",
     false},
    {"All settings",
     "SELECT key, value, ifnull(origin, source) AS \"set by\" FROM params WHERE run_id=CAST(?1 AS INTEGER) "
     "ORDER BY key",
     true},
    {"Plugins",
     "SELECT u.role, p.name, p.version, substr(p.sha256,1,12) AS file, substr(p.weights_sha256,1,12) AS weights, "
     "u.scale "
     "FROM run_plugins u JOIN plugins p USING(plugin_id) WHERE u.run_id=CAST(?1 AS INTEGER) ORDER BY u.role, "
     "u.position",
     false},
    {"Started from",
     "SELECT c.role, c.path, substr(c.sha256,1,12) AS sha256, r.name AS \"made by\" FROM weight_chain c LEFT JOIN runs "
     "r "
     "ON r.run_id=c.produced_by_run_id WHERE c.run_id=CAST(?1 AS INTEGER) ORDER BY c.depth, c.role",
     false},
    {"Attempts",
     "SELECT attempt, start_step AS \"from\", end_step AS \"to\", ifnull(reason,'running') AS ended, backend, "
     "precision, "
     "threads, isa, printf('%.1f', (ended_at-started_at)/1e6) AS seconds, ifnull(detail,'') AS why FROM attempts WHERE "
     "run_id=CAST(?1 AS "
     "INTEGER)",
     false},
    {"Scores",
     "SELECT n.name AS metric, s.point, s.step, printf('%.5g', s.value) AS value, s.samples, "
     "iif(s.trained_on,'yes','') AS "
     "\"trained on\", s.protocol FROM scores s JOIN metric_names n USING(metric_id) WHERE s.run_id=CAST(?1 AS INTEGER) "
     "ORDER BY n.name, s.point DESC",
     false},
    {"Monitor",
     "SELECT substr(n.name,9) AS \"seen by the monitor\", max(m.step) AS step, ifnull(printf('%.5g', m.value), m.kind) "
     "AS value, "
     "printf('%.5g', s.value) AS start, printf('%+.5g', m.value-s.value) AS change, "
     "printf('%.2g', e.value) AS \"standard error\" FROM metrics m JOIN metric_names n USING(metric_id) JOIN metrics s "
     "ON s.run_id=m.run_id AND s.metric_id=m.metric_id AND s.step=0 LEFT JOIN metric_names d ON "
     "d.name=n.name||'.error' "
     "LEFT JOIN metrics e ON e.run_id=m.run_id AND e.metric_id=d.metric_id AND e.step=m.step WHERE m.run_id=CAST(?1 AS "
     "INTEGER) AND n.name LIKE 'monitor.%' GROUP BY n.name ORDER BY n.name",
     false},
    {"Last metrics",
     "SELECT n.name AS metric, max(m.step) AS step, ifnull(printf('%.6g', m.value), m.kind) AS value FROM metrics m "
     "JOIN "
     "metric_names n USING(metric_id) WHERE m.run_id=CAST(?1 AS INTEGER) GROUP BY n.name ORDER BY n.name",
     false},
    {"Warnings",
     "SELECT step, severity, code, message FROM events WHERE run_id=CAST(?1 AS INTEGER) AND severity<>'info' ORDER BY "
     "event_id",
     false},
    {"Files",
     "SELECT kind, step, path FROM artifacts WHERE run_id=CAST(?1 AS INTEGER) AND kind<>'image' ORDER BY kind, step",
     false},
    {"Pictures",
     "SELECT step, path FROM artifacts WHERE run_id=CAST(?1 AS INTEGER) AND kind='image' ORDER BY step, path", true},
};

static void print_time(const char *label, int64_t at)
{
    char text[DIPP_TIME_TEXT_BYTES];
    if (at)
        printf("%-10s %s\n", label, dipp_clock_text((double)at / 1e6, text));
}

static int head(void *user, const dipp_run_row *row)
{
    printf("run %lld   %s\n%s\n\n", (long long)row->run_id, row->run_uuid, row->name);
    printf("%-10s %s, step %lld, %lld images seen\n", "status", dipp_run_status_name(row->status), (long long)row->step,
           (long long)row->images_seen);
    printf("%-10s %s, seed %lld, %s\n", "arm", row->arm, (long long)row->seed, row->stage);
    printf("%-10s %s\n", "key", row->config_sha256);
    print_time("created", row->created_at);
    print_time("started", row->started_at);
    print_time("ended", row->ended_at);
    if (row->error)
        printf("%-10s %s\n", "error", row->error);
    if (row->alarm_step >= 0)
        printf("%-10s at step %lld, by the monitor: see the warnings\n", "ALARM", (long long)row->alarm_step);
    return 1;
}

static dipp_status show(dipp_store *store, const char *selector, const char *experiment, bool all, dipp_error *error)
{
    int64_t run_id = 0;
    char id[24];
    const char *binds[] = {id};
    dipp_status status = dipp_store_find_run(store, selector, experiment, &run_id, error);
    dipp_run_filter filter = {.run_id = run_id};
    if (status == DIPP_OK)
        status = dipp_store_each_run(store, &filter, head, NULL, error);
    snprintf(id, sizeof id, "%lld", (long long)run_id);
    for (size_t i = 0; i < sizeof sections / sizeof *sections && status == DIPP_OK; i++) {
        cli_table table = {.columns = 1};
        if (sections[i].only_with_all && !all)
            continue;
        status = dipp_store_query(store, sections[i].sql, binds, 1, cli_table_add_row, &table, error);
        if (status == DIPP_OK && table.rows) {
            printf("\n%s\n", sections[i].title);
            cli_table_print(&table, stdout, 0);
        }
        cli_table_clear(&table);
    }
    return status == DIPP_OK ? cli_print_styles(store, run_id, error) : status;
}

int cli_show(int argc, char **argv)
{
    const char *database = NULL, *experiment = NULL;
    bool all = false;
    cli_list positionals = {0};
    const cli_option options[] = {CLI_DATABASE_OPTION(database),
                                  {"experiment", 'e', CLI_TEXT, "NAME", "where RUN is ARM:SEED", &experiment},
                                  {"all", 'a', CLI_FLAG, NULL, "defaults and pictures, too", &all},
                                  {NULL, 0, CLI_FLAG, NULL, NULL, NULL}};
    int code = CLI_OK;
    const cli_command *self = cli_find_command("show");
    if (!cli_parse(self, options, argc, argv, &positionals, &code))
        return code;
    if (positionals.count != 1)
        return cli_refuse(options, &positionals, cli_usage_error(self, "one run is needed"));
    dipp_error error;
    dipp_store *store = NULL;
    dipp_status status = cli_open_store(cli_database(database, NULL), &store, &error);
    if (status == DIPP_OK)
        status = show(store, positionals.items[0], experiment, all, &error);
    if (status != DIPP_OK)
        code = cli_fail(&error);
    dipp_store_close(&store);
    cli_list_clear(&positionals);
    return code;
}
