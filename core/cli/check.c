/* dipp check and dipp plan: an experiment without running it. */
#include "cli/commands.h"
#include "cli/table.h"

#include "experiment/run_check.h"
#include "experiment/run_settings.h"

#include <string.h>

const char cli_check_details[] =
    "Sets every distinct configuration up as dipp run would: plugins, weight files, prompts,\n"
    "metrics, memory. Nothing is run or written. Exit code 3 when something is wrong.";
const char cli_plan_details[] = "The back-end, the bytes of every role, and the op at which most memory is alive.";

static void print_check(const dipp_cell *cell, const dipp_check_report *report)
{
    char total[24], peak[24];
    printf("%s: ok, %s, %s in all, activations at most %s (%s)\n", cell->arm, report->backend,
           cli_bytes_text(report->total_bytes, total), cli_bytes_text(report->peak_bytes, peak), report->peak_op);
}

static void print_fit(const dipp_check_report *report)
{
    char free_bytes[24], all[24], more[24];
    if (!report->memory_bytes)
        return;
    printf("free now: %s of %s: ", cli_bytes_text(report->free_bytes, free_bytes),
           cli_bytes_text(report->memory_bytes, all));
    if (report->total_bytes <= report->free_bytes)
        printf("it fits\n");
    else
        printf("%s too little; %s\n", cli_bytes_text(report->total_bytes - report->free_bytes, more),
               dipp_run_takes_less);
}

static void print_plan(const dipp_cell *cell, const dipp_check_report *report)
{
    cli_table table = {.columns = 7};
    char bytes[24], number[24];
    cli_table_add(&table,
                  (const char *const[]){"role", "parameters", "weights", "copy", "gradient", "moments", "bytes"});
    for (size_t i = 0; i < report->role_count; i++) {
        const size_t parts[4] = {report->roles[i].weights, report->roles[i].copy, report->roles[i].gradient,
                                 report->roles[i].moments};
        char texts[4][24];
        snprintf(number, sizeof number, "%lld", (long long)report->roles[i].parameters);
        for (int k = 0; k < 4; k++)
            if (parts[k])
                cli_bytes_text(parts[k], texts[k]);
            else
                texts[k][0] = 0;
        cli_table_add(&table, (const char *const[]){report->roles[i].name,
                                                    report->roles[i].parameters < 0 ? "" : number, texts[0], texts[1],
                                                    texts[2], texts[3], cli_bytes_text(report->roles[i].bytes, bytes)});
    }
    cli_table_add(&table,
                  (const char *const[]){"total", "", "", "", "", "", cli_bytes_text(report->total_bytes, bytes)});
    printf("%s (%s, %s)\n", cell->arm, dipp_run_stage(cell->config), report->backend);
    cli_table_print(&table, stdout, 0);
    cli_table_clear(&table);
    print_fit(report);
    if (report->host_bytes)
        printf("beside it on the host: %s\n", cli_bytes_text(report->host_bytes, bytes));
    printf("most alive: %s at %s of the program %s; without sharing: ", cli_bytes_text(report->peak_bytes, bytes),
           report->peak_op, report->peak_program);
    printf("%s\n", cli_bytes_text(report->temporaries_sum, bytes));
    if (report->recomputed_flops > 0)
        printf("blocks are computed again instead of kept: %.3g GFLOP an iteration besides the useful work\n",
               report->recomputed_flops / 1e9);
    if (report->texts.prompts)
        printf("texts of rewards, encoded once: %u prompts, %.3g GFLOP, %s of features\n", report->texts.prompts,
               report->texts.flops / 1e9, cli_bytes_text(report->texts.bytes, bytes));
    printf("useful work of an iteration: %.3g GFLOP; ", report->flops / 1e9);
    if (dipp_run_learns_reward(cell->config))
        printf("pairs or pictures to learn from: %zu, pairs to validate with: %zu\n\n", report->pairs,
               report->validation_pairs);
    else
        printf("prompts: %u to train on, %u x %u pictures to evaluate\n\n", report->prompts, report->evaluation_prompts,
               report->samples);
}

static void print_matrix(const dipp_experiment *experiment)
{
    size_t count = 0;
    const dipp_cell *cells = dipp_experiment_cells(experiment, &count);
    cli_table table = {.columns = 5};
    cli_table_add(&table, (const char *const[]){"arm", "seed", "stage", "steps", "configuration"});
    for (size_t i = 0; i < count; i++) {
        char seed[24], steps[24], sha256[13];
        snprintf(seed, sizeof seed, "%lld", (long long)cells[i].seed);
        snprintf(steps, sizeof steps, "%lld", (long long)dipp_run_loop_int(cells[i].config, "steps"));
        snprintf(sha256, sizeof sha256, "%.12s", cells[i].sha256);
        cli_table_add(&table,
                      (const char *const[]){cells[i].arm, seed, dipp_run_stage(cells[i].config), steps, sha256});
    }
    cli_table_print(&table, stdout, 0);
    cli_table_clear(&table);
    printf("\n");
}

static dipp_status check_points(const dipp_experiment *experiment, dipp_plugins *plugins, bool plan, int *code,
                                dipp_error *error)
{
    size_t count = 0;
    const dipp_cell *cells = dipp_experiment_cells(experiment, &count);
    for (size_t i = 0; i < count; i++) {
        dipp_check_report report;
        if (i && cells[i].point == cells[i - 1].point)
            continue;
        dipp_status status = dipp_run_check(&cells[i], plugins, !plan, &report, error);
        if (status == DIPP_OK) {
            plan ? print_plan(&cells[i], &report) : print_check(&cells[i], &report);
        } else {
            fprintf(stderr, "dipp: %s: %s\n", cells[i].arm, error->message);
            *code = cli_code_of(status);
        }
    }
    return DIPP_OK;
}

static int check_or_plan(const char *name, bool plan, int argc, char **argv)
{
    cli_plugin_options places = {{0}, {0}};
    cli_list positionals = {0};
    const cli_option table[] = {CLI_PLUGIN_OPTIONS(places), {NULL, 0, CLI_FLAG, NULL, NULL, NULL}};
    int code = CLI_OK;
    const cli_command *self = cli_find_command(name);
    if (!cli_parse(self, table, argc, argv, &positionals, &code))
        return code;
    if (!positionals.count)
        return cli_refuse(table, &positionals, cli_usage_error(self, "an experiment file is needed"));
    dipp_error error;
    dipp_plugins *plugins = NULL;
    dipp_experiment *experiment = NULL;
    dipp_status status = cli_open_plugins(&places, &plugins, &error);
    if (status == DIPP_OK)
        status = cli_load_experiment(positionals.items[0], &positionals, 1, plugins, &experiment, &error);
    if (status == DIPP_OK && !plan)
        print_matrix(experiment);
    if (status == DIPP_OK)
        status = check_points(experiment, plugins, plan, &code, &error);
    if (status != DIPP_OK)
        code = cli_fail(&error);
    dipp_experiment_destroy(&experiment);
    dipp_plugins_destroy(&plugins);
    cli_list_clear(&positionals);
    cli_list_clear(&places.files);
    cli_list_clear(&places.directories);
    return code;
}

int cli_check(int argc, char **argv)
{
    return check_or_plan("check", false, argc, argv);
}

int cli_plan(int argc, char **argv)
{
    return check_or_plan("plan", true, argc, argv);
}
