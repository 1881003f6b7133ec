#include "report/report_compare.h"

#include "base/memory.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const dipp_report_comparison *dipp_report_against_baseline(const dipp_report *report,
                                                           const dipp_report_comparisons *comparisons, int arm,
                                                           int measure)
{
    return &comparisons->against_baseline[(size_t)arm * report->measure_count + (size_t)measure];
}

bool dipp_report_claimed(const dipp_report_comparison *comparison)
{
    return comparison->statistics && !comparison->statistics->no_claim_over_seeds && comparison->p_holm < 0.05;
}

/* ---- At equal images seen ---- */

/* The comparison names what it compared; the first measure of these names is meant. */
static int measure_named(const dipp_report *report, const char *metric, const char *scorer, const char *prompt_set,
                         const char *protocol)
{
    for (size_t i = 0; i < report->measure_count; i++) {
        const dipp_report_measure *m = &report->measures[i];
        if (!strcmp(m->metric, metric) && !strcmp(m->scorer, scorer) && !strcmp(m->prompt_set, prompt_set) &&
            !strcmp(m->protocol, protocol))
            return (int)i;
    }
    return DIPP_REPORT_NONE;
}

static int arm_named(const dipp_report *report, const char *name, const char *config_start)
{
    for (size_t i = 0; i < report->arm_count; i++)
        if (!strcmp(report->arms[i].name, name) && !strncmp(report->arms[i].config, config_start, 8))
            return (int)i;
    return DIPP_REPORT_NONE;
}

static dipp_report_comparison *cell_of(const dipp_report *report, dipp_report_comparisons *out, int arm, int measure)
{
    return &out->against_baseline[(size_t)arm * report->measure_count + (size_t)measure];
}

static dipp_status compare_finals(dipp_report *report, dipp_report_comparisons *out, dipp_error *error)
{
    const dipp_report_arm *baseline = &report->arms[report->baseline];
    dipp_text name = {0};
    dipp_text_printf(&name, "%s@%s", baseline->name, baseline->config);
    dipp_comparison_options options = {.experiment = report->name, .baseline = name.data, .at = DIPP_COMPARE_FINAL};
    dipp_status status = name.failed ? dipp_fail(error, DIPP_E_MEMORY, "no memory to compare arms")
                                     : dipp_comparison_create(report->store, &options, &out->final, error);
    dipp_text_discard(&name);
    if (status == DIPP_E_NOT_FOUND) { /* nothing ranked was measured */
        out->final = NULL;
        return DIPP_OK;
    }
    size_t count = 0;
    const dipp_compared_metric *metrics = status == DIPP_OK ? dipp_comparison_metrics(out->final, &count) : NULL;
    for (size_t i = 0; i < count; i++) {
        int measure =
            measure_named(report, metrics[i].metric, metrics[i].scorer, metrics[i].prompt_set, metrics[i].protocol);
        for (size_t k = 0; k < metrics[i].arm_count && measure >= 0; k++) {
            const dipp_compared_arm *compared = &metrics[i].arms[k];
            int arm = arm_named(report, compared->arm, compared->config);
            if (arm < 0)
                continue;
            dipp_report_comparison *cell = cell_of(report, out, arm, measure);
            cell->trained_on = compared->trained_on;
            if (compared->difference.seeds && arm != report->baseline) {
                cell->statistics = &compared->difference;
                cell->p_holm = compared->p_holm;
            }
        }
    }
    return status;
}

/* ---- At equal IKL ---- */

typedef struct level_reader {
    dipp_report *report;
    dipp_report_comparisons *comparisons;
    dipp_paired_difference *seeds; /* of the arm and measure at hand */
    size_t count, capacity;
    int arm, measure;
    double ikl; /* sum over the seeds */
} level_reader;

static const char levels_sql[] =
    "SELECT metric, scorer, prompt_set, protocol, arm_a, config_a, seed, ikl, diff FROM at_equal_kl WHERE experiment="
    "(SELECT name FROM experiments WHERE experiment_id=CAST(?1 AS INTEGER)) AND arm_b=?2 AND config_b=?3 AND metric<>"
    "'ikl' AND diff IS NOT NULL ORDER BY metric, scorer, prompt_set, protocol, arm_a, config_a, seed";

static dipp_status finish_levels(level_reader *reader, dipp_error *error)
{
    dipp_report *report = reader->report;
    size_t count = reader->count;
    double ikl = reader->ikl;
    reader->count = 0;
    reader->ikl = 0;
    if (!count)
        return DIPP_OK;
    dipp_report_comparison *cell = cell_of(report, reader->comparisons, reader->arm, reader->measure);
    dipp_statistics_options options = {.direction = report->measures[reader->measure].direction};
    dipp_status status = dipp_paired_statistics_of(reader->seeds, count, &options, &cell->equal_kl, error);
    cell->equal_kl_present = status == DIPP_OK;
    cell->ikl = ikl / (double)count;
    return status;
}

static int read_level(void *user, int columns, const char *const *names, const char *const *values)
{
    level_reader *reader = user;
    dipp_report *report = reader->report;
    int measure = measure_named(report, values[0], values[1], values[2], values[3]);
    int arm = arm_named(report, values[4], values[5]);
    int64_t seed = dipp_report_integer(values[6]);
    if (measure < 0 || arm < 0)
        return 0;
    if (measure != reader->measure || arm != reader->arm) {
        report->status = finish_levels(reader, &report->error);
        reader->measure = measure;
        reader->arm = arm;
    } else if (reader->count && reader->seeds[reader->count - 1].seed == seed) {
        return 0; /* of another prompt set of this name */
    }
    if (report->status == DIPP_OK &&
        !dipp_grow((void **)&reader->seeds, &reader->capacity, reader->count + 1, sizeof *reader->seeds))
        report->status = dipp_fail(&report->error, DIPP_E_MEMORY, "no memory to compare arms at equal IKL");
    if (report->status != DIPP_OK)
        return 1;
    reader->seeds[reader->count++] = (dipp_paired_difference){seed, DIPP_WHOLE_SET, dipp_report_real(values[8])};
    reader->ikl += dipp_report_real(values[7]);
    return 0;
}

static dipp_status compare_at_equal_kl(dipp_report *report, dipp_report_comparisons *out, dipp_error *error)
{
    const dipp_report_arm *baseline = &report->arms[report->baseline];
    char config[9];
    snprintf(config, sizeof config, "%.8s", baseline->config);
    const char *binds[] = {report->id, baseline->name, config};
    level_reader reader = {.report = report, .comparisons = out, .arm = DIPP_REPORT_NONE, .measure = DIPP_REPORT_NONE};
    dipp_status status = dipp_store_query(report->store, levels_sql, binds, 3, read_level, &reader, error);
    if (status == DIPP_OK && report->status != DIPP_OK) {
        *error = report->error;
        status = report->status;
    }
    if (status == DIPP_OK)
        status = finish_levels(&reader, error);
    dipp_release(reader.seeds);
    return status;
}

/* ---- Every arm against every arm ---- */

static const char duels_sql[] =
    "SELECT s.metric_id, s.scorer_id, s.prompt_set_id, t.protocol, s.arm_a, s.config_a, s.arm_b, s.config_b, s.seed, "
    "sum(s.value_a>s.value_b), sum(s.value_a=s.value_b), sum(s.value_a<s.value_b), avg(s.value_a-s.value_b) FROM "
    "paired_samples s JOIN evaluation_settings t USING(settings_id) WHERE s.experiment_id=CAST(?1 AS INTEGER) GROUP BY "
    "1,2,3,4,5,6,7,8,9 ORDER BY 1,2,3,4,5,6,7,8,9";

typedef struct duel_reader {
    dipp_report *report;
    dipp_report_comparisons *comparisons;
    dipp_paired_difference seeds[256]; /* mean differences of the duel at hand */
    size_t count;
} duel_reader;

static void finish_duel(duel_reader *reader, dipp_report_duel *duel)
{
    dipp_report *report = reader->report;
    dipp_paired_statistics statistics = {0};
    duel->over_seeds = (dipp_interval){(double)NAN, (double)NAN};
    duel->seeds = reader->count;
    if (reader->count) {
        report->status = dipp_paired_statistics_of(reader->seeds, reader->count, NULL, &statistics, &report->error);
        if (report->status == DIPP_OK) {
            duel->mean = statistics.mean;
            duel->over_seeds = statistics.over_seeds;
        }
        dipp_paired_statistics_clear(&statistics);
    }
    reader->count = 0;
}

static int read_duel(void *user, int columns, const char *const *names, const char *const *values)
{
    duel_reader *reader = user;
    dipp_report *report = reader->report;
    dipp_report_comparisons *all = reader->comparisons;
    int measure = dipp_report_find_measure(report, dipp_report_integer(values[0]), dipp_report_integer(values[1]),
                                           dipp_report_integer(values[2]), values[3]);
    int a = dipp_report_find_arm(report, values[4], values[5]), b = dipp_report_find_arm(report, values[6], values[7]);
    if (measure < 0 || a < 0 || b < 0 || !report->measures[measure].direction)
        return 0;
    dipp_report_duel *last = all->duel_count ? &all->duels[all->duel_count - 1] : NULL;
    if (!last || last->measure != measure || last->a != a || last->b != b) {
        if (last)
            finish_duel(reader, last);
        if (!dipp_grow((void **)&all->duels, &all->duel_capacity, all->duel_count + 1, sizeof *all->duels)) {
            report->status = dipp_fail(&report->error, DIPP_E_MEMORY, "no memory for the report's win rates");
            return 1;
        }
        last = &all->duels[all->duel_count++];
        *last = (dipp_report_duel){.measure = measure, .a = a, .b = b};
    }
    bool more = report->measures[measure].direction > 0;
    last->wins += dipp_report_integer(values[more ? 9 : 11]);
    last->ties += dipp_report_integer(values[10]);
    last->losses += dipp_report_integer(values[more ? 11 : 9]);
    if (reader->count < sizeof reader->seeds / sizeof *reader->seeds)
        reader->seeds[reader->count++] =
            (dipp_paired_difference){dipp_report_integer(values[8]), DIPP_WHOLE_SET, dipp_report_real(values[12])};
    return report->status != DIPP_OK;
}

static dipp_status hold_duels(dipp_report *report, dipp_report_comparisons *out, dipp_error *error)
{
    duel_reader *reader = dipp_allocate_zeroed(1, sizeof *reader);
    if (!reader)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for the report's win rates");
    reader->report = report;
    reader->comparisons = out;
    dipp_status status = dipp_report_query(report, duels_sql, read_duel, reader, error);
    if (status == DIPP_OK && out->duel_count) {
        finish_duel(reader, &out->duels[out->duel_count - 1]);
        if (report->status != DIPP_OK) {
            *error = report->error;
            status = report->status;
        }
    }
    dipp_release(reader);
    return status;
}

const dipp_report_duel *dipp_report_duel_of(const dipp_report_comparisons *comparisons, int measure, int a, int b)
{
    for (size_t i = 0; i < comparisons->duel_count; i++) {
        const dipp_report_duel *duel = &comparisons->duels[i];
        if (duel->measure == measure && duel->a == a && duel->b == b)
            return duel;
    }
    return NULL;
}

/* ---- Together ---- */

dipp_status dipp_report_compare(dipp_report *report, dipp_report_comparisons *out, dipp_error *error)
{
    size_t cells = report->arm_count * report->measure_count;
    out->against_baseline = dipp_allocate_zeroed(cells, sizeof *out->against_baseline);
    if (!out->against_baseline)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for the comparisons");
    for (size_t i = 0; i < cells; i++)
        out->against_baseline[i].p_holm = (double)NAN;
    dipp_status status = compare_finals(report, out, error);
    if (status == DIPP_OK)
        status = compare_at_equal_kl(report, out, error);
    if (status == DIPP_OK)
        status = hold_duels(report, out, error);
    return status;
}

void dipp_report_compare_clear(const dipp_report *report, dipp_report_comparisons *comparisons)
{
    for (size_t i = 0; comparisons->against_baseline && i < report->arm_count * report->measure_count; i++)
        if (comparisons->against_baseline[i].equal_kl_present)
            dipp_paired_statistics_clear(&comparisons->against_baseline[i].equal_kl);
    dipp_comparison_destroy(&comparisons->final);
    dipp_release(comparisons->against_baseline);
    dipp_release(comparisons->duels);
    *comparisons = (dipp_report_comparisons){0};
}

dipp_report_leads dipp_report_choose_leads(const dipp_report *report)
{
    static const char *const first[] = {"imagereward", "hps21", "hps", "pickscore", "aesthetic", "clipscore", "glyph"};
    dipp_report_leads leads = {DIPP_REPORT_NONE, DIPP_REPORT_NONE};
    size_t best = sizeof first / sizeof *first + 1;
    for (size_t m = 0; m < report->measure_count; m++) {
        const dipp_report_measure *measure = &report->measures[m];
        size_t place = 0;
        if (!measure->direction)
            continue;
        if (measure->trained_arms) {
            if (leads.trained < 0 || measure->trained_arms > report->measures[leads.trained].trained_arms)
                leads.trained = (int)m;
            continue;
        }
        while (place < sizeof first / sizeof *first && strcmp(measure->metric, first[place]))
            place++;
        if (place < best) {
            best = place;
            leads.held_out = (int)m;
        }
    }
    return leads;
}
