/* dipp compare: the arms of an experiment against its baseline, and what the differences may claim. */
#include "cli/commands.h"
#include "cli/table.h"

#include "evaluate/comparison.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char cli_compare_details[] =
    "EXPERIMENT is a name in the database. Differences are arm minus baseline over pairs of one prompt, noise and "
    "seed.\n"
    "  over seeds        95 % interval by Student's t over the seeds' means: other trainings, on these prompts\n"
    "  seeds + prompts   95 % two-level bootstrap: other trainings and other prompts\n"
    "  prompts only      95 % bootstrap of prompts: says nothing about other seeds\n"
    "  p, Holm           of t over seeds; corrected for all arms of the table. flip: signs of the seeds' means "
    "flipped\n"
    "  win rate          of single pairs, ties count half\n"
    "With one seed nothing is claimed over seeds. Exit code 3 when there is nothing to compare.";

static const char *const headings[] = {"arm",        "config",          "seeds",        "mean", "difference",
                                       "over seeds", "seeds + prompts", "prompts only", "p",    "Holm",
                                       "flip",       "win rate"};
enum { COLUMNS = sizeof headings / sizeof *headings };

typedef struct arm_row {
    char cells[COLUMNS][64];
} arm_row;

static void print_number(char out[64], const char *format, double value)
{
    if (isnan(value))
        out[0] = 0;
    else
        snprintf(out, 64, format, value);
}

static void print_interval(char out[64], dipp_interval interval)
{
    if (isnan(interval.low))
        out[0] = 0;
    else
        snprintf(out, 64, "%+.4g to %+.4g", interval.low, interval.high);
}

static void fill_row(const dipp_compared_arm *arm, arm_row *row)
{
    const dipp_paired_statistics *difference = &arm->difference;
    memset(row, 0, sizeof *row);
    snprintf(row->cells[0], 64, "%.60s%s", arm->arm, arm->trained_on ? "*" : "");
    snprintf(row->cells[1], 64, "%.8s", arm->config);
    snprintf(row->cells[2], 64, "%u", difference->seeds ? difference->seeds : arm->seeds);
    print_number(row->cells[3], "%.4g", arm->mean);
    if (arm->baseline || !difference->seeds) {
        snprintf(row->cells[4], 64, "%s", arm->baseline ? "baseline" : "no pairs");
        return;
    }
    print_number(row->cells[4], "%+.4g", difference->mean);
    print_interval(row->cells[5], difference->over_seeds);
    print_interval(row->cells[6], difference->over_both);
    print_interval(row->cells[7], difference->over_prompts);
    print_number(row->cells[8], "%.2g", difference->p_t);
    print_number(row->cells[9], "%.2g", arm->p_holm);
    print_number(row->cells[10], "%.2g", difference->p_flip);
    print_number(row->cells[11], "%.3f", difference->by_pair.rate);
}

static void add_row(cli_table *table, const arm_row *row)
{
    const char *cells[COLUMNS];
    for (size_t i = 0; i < COLUMNS; i++)
        cells[i] = row->cells[i];
    cli_table_add(table, cells);
}

static void add_beside(cli_table *table, const char *name, double value)
{
    arm_row row = {0};
    if (isnan(value))
        return;
    snprintf(row.cells[0], 64, "%s", name);
    print_number(row.cells[3], "%.4g", value);
    add_row(table, &row);
}

static void print_metric(const dipp_compared_metric *metric)
{
    cli_table table = {.columns = COLUMNS};
    bool starred = false;
    const char *silent = NULL;
    printf("%s (%s) by %s, prompts %s, %s", metric->metric,
           metric->direction > 0   ? "more is better"
           : metric->direction < 0 ? "less is better"
                                   : "no direction",
           metric->scorer, metric->prompt_set, metric->protocol);
    if (metric->images_seen >= 0)
        printf(", %lld images seen", (long long)metric->images_seen);
    printf("\n");
    cli_table_add(&table, headings);
    add_beside(&table, "(reference)", metric->reference);
    add_beside(&table, "(step 0)", metric->before);
    for (size_t i = 0; i < metric->arm_count; i++) {
        arm_row row;
        fill_row(&metric->arms[i], &row);
        add_row(&table, &row);
        starred |= metric->arms[i].trained_on;
        if (metric->arms[i].difference.no_claim_over_seeds)
            silent = metric->arms[i].difference.no_claim_over_seeds;
    }
    cli_table_print(&table, stdout, 0);
    if (starred)
        printf("* the arm was trained on this metric\n");
    if (silent)
        printf("%s\n", silent);
    printf("\n");
    cli_table_clear(&table);
}

static void print_csv_number(double value)
{
    if (isnan(value))
        printf(",");
    else
        printf(",%.17g", value);
}

static void print_csv_text(const char *text)
{
    putchar('"');
    for (; *text; text++) {
        if (*text == '"')
            putchar('"');
        putchar(*text);
    }
    putchar('"');
}

/* One line for each arm and metric, full precision, empty where nothing is claimed. */
static void print_csv(const dipp_compared_metric *metrics, size_t count)
{
    printf("metric,scorer,prompt_set,protocol,images_seen,arm,config,trained_on,seeds,mean,difference,sd,low,high,"
           "both_low,both_high,prompts_low,prompts_high,p,holm,flip,pairs,wins,ties,losses\n");
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < metrics[i].arm_count; k++) {
            const dipp_compared_arm *arm = &metrics[i].arms[k];
            const dipp_paired_statistics *d = &arm->difference;
            const char *texts[] = {metrics[i].metric, metrics[i].scorer, metrics[i].prompt_set, metrics[i].protocol};
            bool paired = d->seeds != 0;
            for (size_t t = 0; t < 4; t++) {
                print_csv_text(texts[t]);
                putchar(',');
            }
            printf("%lld,", (long long)metrics[i].images_seen);
            print_csv_text(arm->arm);
            printf(",%.8s,%d,%u", arm->config, arm->trained_on, paired ? d->seeds : arm->seeds);
            const double numbers[] = {arm->mean,
                                      d->mean,
                                      d->sd,
                                      d->over_seeds.low,
                                      d->over_seeds.high,
                                      d->over_both.low,
                                      d->over_both.high,
                                      d->over_prompts.low,
                                      d->over_prompts.high,
                                      d->p_t,
                                      arm->p_holm,
                                      d->p_flip};
            for (size_t n = 0; n < sizeof numbers / sizeof *numbers; n++)
                print_csv_number(n && !paired ? NAN : numbers[n]);
            printf(",%llu,%llu,%llu,%llu\n", (unsigned long long)d->pairs, (unsigned long long)d->by_pair.wins,
                   (unsigned long long)d->by_pair.ties, (unsigned long long)d->by_pair.losses);
        }
}

/* "images=19200" or "ikl=0.5". */
static bool read_level(const char *text, dipp_comparison_options *options)
{
    static const char images[] = "images=", ikl[] = "ikl=";
    bool by_images = !strncmp(text, images, sizeof images - 1), by_ikl = !strncmp(text, ikl, sizeof ikl - 1);
    char *end = NULL;
    const char *value = text + (by_images ? sizeof images : sizeof ikl) - 1;
    if (!by_images && !by_ikl)
        return false;
    options->at = by_images ? DIPP_COMPARE_IMAGES : DIPP_COMPARE_IKL;
    options->level = by_images ? (double)strtoll(value, &end, 10) : strtod(value, &end);
    return *value && !*end && isfinite(options->level) && options->level >= 0;
}

int cli_compare(int argc, char **argv)
{
    const char *database = NULL, *level = NULL;
    dipp_comparison_options wanted = {0};
    bool csv = false;
    cli_list positionals = {0};
    const cli_option options[] = {
        CLI_DATABASE_OPTION(database),
        {"baseline", 'b', CLI_TEXT, "ARM", "compare with this arm (ARM@CONFIG where it has several configurations)",
         &wanted.baseline},
        {"metric", 'm', CLI_TEXT, "NAME", "only this metric, also one without direction", &wanted.metric},
        {"at", 0, CLI_TEXT, "POINT", "images=N or ikl=X in place of each run's last evaluation", &level},
        {"csv", 0, CLI_FLAG, NULL, "comma-separated, with full precision", &csv},
        {NULL, 0, CLI_FLAG, NULL, NULL, NULL}};
    int code = CLI_OK;
    const cli_command *self = cli_find_command("compare");
    if (!cli_parse(self, options, argc, argv, &positionals, &code))
        return code;
    if (positionals.count != 1)
        return cli_refuse(options, &positionals, cli_usage_error(self, "the name of one experiment is needed"));
    if (level && !read_level(level, &wanted))
        return cli_refuse(options, &positionals,
                          cli_usage_error(self, "--at is `%s`; expected images=N or ikl=X", level));
    wanted.experiment = positionals.items[0];
    dipp_error error;
    dipp_store *store = NULL;
    dipp_comparison *comparison = NULL;
    dipp_status status = cli_open_store(cli_database(database, NULL), &store, &error);
    if (status == DIPP_OK)
        status = dipp_comparison_create(store, &wanted, &comparison, &error);
    if (status == DIPP_OK) {
        size_t count = 0;
        const dipp_compared_metric *metrics = dipp_comparison_metrics(comparison, &count);
        if (csv)
            print_csv(metrics, count);
        for (size_t i = 0; i < count && !csv; i++)
            print_metric(&metrics[i]);
    } else {
        code = cli_fail(&error);
    }
    dipp_comparison_destroy(&comparison);
    dipp_store_close(&store);
    cli_list_clear(&positionals);
    return code;
}
