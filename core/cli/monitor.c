/* dipp monitor: whether the monitor's alarms were right. */
#include "cli/commands.h"
#include "cli/table.h"

#include "base/text.h"
#include "evaluate/monitor_study.h"

#include <math.h>
#include <string.h>

const char cli_monitor_details[] =
    "Of every completed run that a monitor watched: the most evidence of any look (-log10 of its p), when the alarm\n"
    "came, and whether the truth had fallen in the end: the metric of --truth, by the evaluation's prompts and noise,\n"
    "by more than the margin (one-sided 95 %). Then how well evidence tells these runs from the others: the area "
    "under\n"
    "the ROC curve with a bootstrap over runs, and the shares of alarms at the level that the runs had, by all judges\n"
    "and by each alone. Exit code 3 when there is nothing to judge.";

static void format(char out[48], const char *how, double value)
{
    if (isnan(value))
        out[0] = 0;
    else
        snprintf(out, 48, how, value);
}

static void print_runs(const dipp_monitor_study *study)
{
    cli_table table = {.columns = 10};
    cli_table_add(&table, (const char *const[]){"run", "arm", "seed", "steps", "evidence", "alarm at", "before",
                                                "after", "p of a fall", "fell"});
    for (size_t i = 0; i < study->run_count; i++) {
        const dipp_monitored_run *run = &study->runs[i];
        char id[24], seed[24], steps[24], evidence[48], alarm[24] = "", before[48], after[48], p[48];
        bool known = run->truth.units > 0;
        snprintf(id, sizeof id, "%lld", (long long)run->run_id);
        snprintf(seed, sizeof seed, "%lld", (long long)run->seed);
        snprintf(steps, sizeof steps, "%lld", (long long)run->step);
        format(evidence, "%.2f", run->sights[0].evidence);
        if (run->sights[0].alarm_step >= 0)
            snprintf(alarm, sizeof alarm, "%lld", (long long)run->sights[0].alarm_step);
        format(before, "%.4f", known ? run->truth.before : NAN);
        format(after, "%.4f", known ? run->truth.now : NAN);
        format(p, "%.2g", known ? run->truth.fall : NAN);
        cli_table_add(&table, (const char *const[]){id, run->arm, seed, steps, evidence, alarm, before, after, p,
                                                    run->fell ? "yes"
                                                    : known   ? "no"
                                                              : "?"});
    }
    cli_table_print(&table, stdout, 0);
    cli_table_clear(&table);
}

static void print_curves(const dipp_monitor_study *study)
{
    cli_table table = {.columns = 8};
    cli_table_add(&table, (const char *const[]){"judges", "runs", "fell", "area", "95 %", "alarms when it fell",
                                                "alarms when not", "of the run left"});
    for (uint32_t i = 0; i < study->curve_count; i++) {
        const dipp_monitor_curve *curve = &study->curves[i];
        char runs[24], fell[24], area[48], interval[48] = "", hits[48], false_alarms[48], left[48];
        snprintf(runs, sizeof runs, "%u", curve->runs);
        snprintf(fell, sizeof fell, "%u", curve->roc.positives);
        format(area, "%.3f", curve->roc.area);
        if (!isnan(curve->roc.area))
            snprintf(interval, sizeof interval, "%.3f to %.3f", curve->roc.interval.low, curve->roc.interval.high);
        snprintf(hits, sizeof hits, "%u of %u", curve->hits, curve->roc.positives);
        snprintf(false_alarms, sizeof false_alarms, "%u of %u", curve->false_alarms, curve->roc.negatives);
        format(left, "%.2f", curve->left);
        cli_table_add(&table,
                      (const char *const[]){curve->judges, runs, fell, area, interval, hits, false_alarms, left});
    }
    printf("\nEvidence against whether %s fell\n", study->truth);
    cli_table_print(&table, stdout, 0);
    cli_table_clear(&table);
    uint32_t silent = (uint32_t)study->run_count - study->curves[0].runs;
    if (silent)
        printf("%u run%s left out: no trained reward with a judge beside it, or no evaluation\n", silent,
               silent == 1 ? " is" : "s are");
}

static void print_points(const dipp_monitor_study *study)
{
    printf("judges,evidence,hits,false_alarms\n");
    for (uint32_t i = 0; i < study->curve_count; i++)
        for (size_t k = 0; k < study->curves[i].roc.count; k++) {
            const dipp_roc_point *point = &study->curves[i].roc.points[k];
            char numbers[3][DIPP_DOUBLE_TEXT_BYTES];
            printf("%s,%s,%s,%s\n", study->curves[i].judges, dipp_format_double(point->threshold, numbers[0]),
                   dipp_format_double(point->hits, numbers[1]), dipp_format_double(point->false_alarms, numbers[2]));
        }
}

int cli_monitor(int argc, char **argv)
{
    const char *database = NULL, *margin = NULL;
    dipp_monitor_study_options wanted = {.margin = NAN};
    bool points = false;
    cli_list positionals = {0};
    const cli_option options[] = {
        CLI_DATABASE_OPTION(database),
        {"truth", 0, CLI_TEXT, "METRIC", "what must not have fallen; default gold, else a judge", &wanted.truth},
        {"margin", 0, CLI_TEXT, "X", "a fall that does not count; default monitor.margin of the run", &margin},
        {"points", 0, CLI_FLAG, NULL, "the curves' points as comma-separated values", &points},
        {NULL, 0, CLI_FLAG, NULL, NULL, NULL}};
    int code = CLI_OK;
    const cli_command *self = cli_find_command("monitor");
    if (!cli_parse(self, options, argc, argv, &positionals, &code))
        return code;
    if (positionals.count != 1)
        return cli_refuse(options, &positionals, cli_usage_error(self, "the name of one experiment is needed"));
    if (margin && (!dipp_parse_double(margin, &wanted.margin) || !(wanted.margin >= 0) || isinf(wanted.margin)))
        return cli_refuse(options, &positionals,
                          cli_usage_error(self, "--margin is `%s`; expected a number from 0 on", margin));
    wanted.experiment = positionals.items[0];
    dipp_error error;
    dipp_store *store = NULL;
    dipp_monitor_study study = {0};
    dipp_status status = cli_open_store(cli_database(database, NULL), &store, &error);
    if (status == DIPP_OK)
        status = dipp_monitor_study_of(store, &wanted, &study, &error);
    if (status != DIPP_OK) {
        code = cli_fail(&error);
    } else if (points) {
        print_points(&study);
    } else {
        print_runs(&study);
        print_curves(&study);
    }
    dipp_monitor_study_clear(&study);
    dipp_store_close(&store);
    cli_list_clear(&positionals);
    return code;
}
