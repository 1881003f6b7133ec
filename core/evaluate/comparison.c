/* See comparison.h. One common table expression, f, holds every score at the chosen point; the arms' means and the
 * pairs with the baseline are two queries on it. */
#include "evaluate/comparison.h"

#include "base/arena.h"
#include "base/memory.h"
#include "base/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct dipp_comparison {
    dipp_arena *arena;
    dipp_compared_metric *metrics;
    const char **keys; /* [count], what tells the metrics apart */
    size_t count, capacity, key_capacity, arm_capacity;
    const char *baseline;
};

/* ?1 experiment, ?2 metric or '', ?3 baseline arm, ?4 the beginning of its configuration, ?5 level.
 * f: arm, config, seed, run_id, metric_id, scorer_id, prompt_set_id, protocol, images_seen, prompt_id, noise_seed,
 * value; numbers of the whole set have prompt_id -1. */
#define OF_EXPERIMENT                                                                                          \
    " JOIN runs r USING(run_id) JOIN experiments x USING(experiment_id) JOIN metric_names n USING(metric_id) " \
    "WHERE x.name=?1 AND r.status='completed' AND (n.name=?2 OR (?2='' AND (n.direction<>0 OR n.name='ikl')))"

static const char at_final[] =
    "WITH f AS MATERIALIZED (SELECT r.arm, r.config_sha256 AS config, r.seed, e.run_id, e.metric_id, e.scorer_id, "
    "e.prompt_set_id, e.protocol, e.images_seen, e.prompt_id, e.noise_seed, e.value FROM final_eval e" OF_EXPERIMENT
    " AND e.value IS NOT NULL UNION ALL SELECT r.arm, r.config_sha256, r.seed, s.run_id, s.metric_id, s.scorer_id, "
    "s.prompt_set_id, s.protocol, s.images_seen, -1, 0, s.value FROM scores s" OF_EXPERIMENT
    " AND s.set_level=1 AND s.point='final' AND s.value IS NOT NULL) ";

static const char at_images[] =
    "WITH f AS MATERIALIZED (SELECT r.arm, r.config_sha256 AS config, r.seed, e.run_id, e.metric_id, e.scorer_id, "
    "p.prompt_set_id, t.protocol, t.images_seen, e.prompt_id, e.noise_seed, e.value FROM evaluations e JOIN prompts p "
    "USING(prompt_id) JOIN evaluation_settings t USING(settings_id)" OF_EXPERIMENT
    " AND e.value IS NOT NULL AND t.subject='generator' AND t.images_seen=CAST(?5 AS INTEGER) UNION ALL SELECT r.arm, "
    "r.config_sha256, r.seed, s.run_id, s.metric_id, s.scorer_id, s.prompt_set_id, t.protocol, t.images_seen, -1, 0, "
    "s.value FROM set_metrics s JOIN evaluation_settings t USING(settings_id)" OF_EXPERIMENT
    " AND s.group_name='' AND s.value IS NOT NULL AND t.subject='generator' AND t.images_seen=CAST(?5 AS INTEGER)) ";

/* As the view at_equal_kl, at a given level: along a run's own curve over evaluated steps, at the first crossing. */
static const char at_ikl[] =
    "WITH points AS MATERIALIZED (SELECT r.arm, r.config_sha256 AS config, r.seed, s.run_id, s.metric_id, s.scorer_id, "
    "s.prompt_set_id, t.protocol, s.step, s.value, (SELECT k.ikl FROM ikl_by_step k WHERE k.run_id=s.run_id AND "
    "k.step<=s.step ORDER BY k.step DESC LIMIT 1) AS ikl FROM scores_by_step s JOIN evaluation_settings t "
    "USING(settings_id)" OF_EXPERIMENT " AND t.subject='generator' AND s.value IS NOT NULL), "
    "segments AS (SELECT *, ifnull(lead(ikl) OVER curve, ikl) AS next_ikl, ifnull(lead(value) OVER curve, value) AS "
    "next_value FROM points WHERE ikl IS NOT NULL WINDOW curve AS (PARTITION BY run_id, metric_id, scorer_id, "
    "prompt_set_id, protocol ORDER BY step)), "
    "crossings AS (SELECT *, row_number() OVER (PARTITION BY run_id, metric_id, scorer_id, prompt_set_id, protocol "
    "ORDER BY step) AS place FROM segments WHERE CAST(?5 AS REAL) BETWEEN min(ikl, next_ikl) AND max(ikl, next_ikl)), "
    "f AS MATERIALIZED (SELECT arm, config, seed, run_id, metric_id, scorer_id, prompt_set_id, protocol, -1 AS "
    "images_seen, -1 AS prompt_id, 0 AS noise_seed, iif(next_ikl=ikl, value, value+(next_value-value)*(CAST(?5 AS "
    "REAL)-ikl)/(next_ikl-ikl)) AS value FROM crossings WHERE place=1) ";

static const char *const points[] = {at_final, at_images, at_ikl};

#define KEY(row)                                                                                         \
    "printf('%lld/%lld/%lld/%lld/%s', " row ".metric_id, " row ".scorer_id, " row ".prompt_set_id, " row \
    ".images_seen, " row ".protocol)"

static const char means[] = "SELECT " KEY(
    "f") ", n.name, n.direction, c.scorer, q.name, f.protocol, f.images_seen, f.arm, "
         "substr(f.config,1,8), count(DISTINCT f.seed), avg(f.value), max((f.run_id, f.metric_id, "
         "f.scorer_id) IN (SELECT run_id, metric_id, scorer_id FROM trained_metrics)), f.arm=?3 AND f.config LIKE "
         "?4||'%' "
         "FROM (SELECT arm, config, seed, run_id, metric_id, scorer_id, prompt_set_id, protocol, images_seen, "
         "avg(value) "
         "AS value FROM f GROUP BY run_id, metric_id, scorer_id, prompt_set_id, protocol, images_seen) f JOIN "
         "metric_names "
         "n USING(metric_id) JOIN scorer_names c USING(scorer_id) JOIN prompt_sets q USING(prompt_set_id) GROUP BY "
         "f.metric_id, f.scorer_id, f.prompt_set_id, f.images_seen, f.protocol, f.arm, f.config ORDER BY n.name, "
         "c.scorer, q.name, f.protocol, f.images_seen, f.metric_id, f.scorer_id, f.prompt_set_id, f.arm<>?3, f.arm, "
         "f.config";

/* A window, not a join of f with itself: SQLite makes no index for that, and it would be quadratic in the scores. */
static const char pairs[] = "SELECT " KEY(
    "p") ", p.arm, substr(p.config,1,8), p.seed, p.prompt_id, p.value-p.base FROM (SELECT *, max(iif(arm=?3 AND config "
         "LIKE ?4||'%', value, NULL)) OVER (PARTITION BY metric_id, scorer_id, prompt_set_id, protocol, images_seen, "
         "seed, prompt_id, noise_seed) AS base FROM f) p WHERE p.base IS NOT NULL AND NOT (p.arm=?3 AND p.config LIKE "
         "?4||'%') ORDER BY 1, 2, 3";

static double number(const char *text)
{
    double value;
    return text && dipp_parse_double(text, &value) ? value : NAN;
}

static int64_t integer(const char *text)
{
    return text ? strtoll(text, NULL, 10) : 0;
}

/* ---- Who is the baseline? ---- */

typedef struct baseline_search {
    char arm[256], config[65], list[1024], named[256];
    size_t experiments, arms, configs, used;
} baseline_search;

static int find_experiment(void *user, int columns, const char *const *names, const char *const *values)
{
    baseline_search *search = user;
    search->experiments++;
    snprintf(search->named, sizeof search->named, "%s", values[0] ? values[0] : "");
    return 0;
}

/* arm, config of the runs, in order of arm. */
static int find_arm(void *user, int columns, const char *const *names, const char *const *values)
{
    baseline_search *search = user;
    bool match = !strcmp(values[0], search->arm) && !strncmp(values[1], search->config, strlen(search->config));
    search->configs += match;
    search->arms++;
    int wrote = snprintf(search->list + search->used, sizeof search->list - search->used, "%s%s@%.8s",
                         search->used ? ", " : "", values[0], values[1]);
    if (wrote > 0 && search->used + (size_t)wrote < sizeof search->list)
        search->used += (size_t)wrote;
    return 0;
}

/* Fills arm and config of the search. */
static dipp_status find_baseline(dipp_store *store, const dipp_comparison_options *options, baseline_search *search,
                                 dipp_error *error)
{
    const char *binds[] = {options->experiment};
    dipp_status status = dipp_store_query(store, "SELECT baseline FROM experiments WHERE name=?1", binds, 1,
                                          find_experiment, search, error);
    if (status == DIPP_OK && !search->experiments)
        return dipp_fail(error, DIPP_E_NOT_FOUND, "there is no experiment %s in %s; `dipp ls` lists the runs",
                         options->experiment, dipp_store_path(store));
    const char *wanted = options->baseline ? options->baseline : search->named;
    const char *at = strrchr(wanted, '@');
    snprintf(search->arm, sizeof search->arm, "%.*s", at ? (int)(at - wanted) : (int)strlen(wanted), wanted);
    snprintf(search->config, sizeof search->config, "%s", at ? at + 1 : "");
    if (status == DIPP_OK)
        status = dipp_store_query(store,
                                  "SELECT DISTINCT r.arm, r.config_sha256 FROM runs r JOIN experiments x "
                                  "USING(experiment_id) WHERE x.name=?1 AND r.status='completed' ORDER BY 1, 2",
                                  binds, 1, find_arm, search, error);
    if (status != DIPP_OK)
        return status;
    if (!search->arms)
        return dipp_fail(error, DIPP_E_NOT_FOUND, "no run of %s is completed", options->experiment);
    if (!*wanted)
        return dipp_fail(error, DIPP_E_INVALID, "%s names no baseline; choose one of %s", options->experiment,
                         search->list);
    if (!search->configs)
        return dipp_fail(error, DIPP_E_NOT_FOUND, "%s has no completed run of the baseline %s; there are %s",
                         options->experiment, wanted, search->list);
    if (search->configs > 1)
        return dipp_fail(error, DIPP_E_INVALID,
                         "the baseline %s stands for %zu configurations that must not be mixed; choose one of %s",
                         wanted, search->configs, search->list);
    return DIPP_OK;
}

/* ---- Means of the arms ---- */

typedef struct comparison_reader {
    dipp_comparison *comparison;
    bool failed;                   /* no memory */
    dipp_paired_difference *pairs; /* of the arm being read */
    size_t pair_count, pair_capacity;
    char key[512], arm[256], config[16];
    dipp_status status;
    dipp_error *error;
} comparison_reader;

static const char *keep(comparison_reader *reading, const char *text)
{
    const char *copy = dipp_arena_string(reading->comparison->arena, text ? text : "");
    reading->failed |= !copy;
    return copy;
}

static dipp_compared_metric *add_metric(comparison_reader *reading, const char *const *values)
{
    dipp_comparison *comparison = reading->comparison;
    size_t count = comparison->count;
    if (!dipp_grow((void **)&comparison->metrics, &comparison->capacity, count + 1, sizeof *comparison->metrics) ||
        !dipp_grow((void **)&comparison->keys, &comparison->key_capacity, count + 1, sizeof *comparison->keys))
        return NULL;
    comparison->arm_capacity = 0;
    comparison->keys[count] = keep(reading, values[0]);
    comparison->metrics[count] = (dipp_compared_metric){.metric = keep(reading, values[1]),
                                                        .direction = (int)integer(values[2]),
                                                        .scorer = keep(reading, values[3]),
                                                        .prompt_set = keep(reading, values[4]),
                                                        .protocol = keep(reading, values[5]),
                                                        .images_seen = integer(values[6]),
                                                        .before = NAN,
                                                        .reference = NAN};
    comparison->count++;
    return &comparison->metrics[count];
}

static int read_mean(void *user, int columns, const char *const *names, const char *const *values)
{
    comparison_reader *reading = user;
    dipp_comparison *comparison = reading->comparison;
    size_t count = comparison->count;
    dipp_compared_metric *metric = count && !strcmp(comparison->keys[count - 1], values[0])
                                       ? &comparison->metrics[count - 1]
                                       : add_metric(reading, values);
    if (!metric || reading->failed ||
        !dipp_grow((void **)&metric->arms, &comparison->arm_capacity, metric->arm_count + 1, sizeof *metric->arms)) {
        reading->failed = true;
        return 1;
    }
    metric->arms[metric->arm_count++] = (dipp_compared_arm){.arm = keep(reading, values[7]),
                                                            .config = keep(reading, values[8]),
                                                            .seeds = (uint32_t)integer(values[9]),
                                                            .mean = number(values[10]),
                                                            .trained_on = integer(values[11]) != 0,
                                                            .baseline = integer(values[12]) != 0,
                                                            .p_holm = NAN};
    return reading->failed;
}

/* Step 0 of the baseline and the reference, of the metric, scorer and prompt set at hand. */
static int read_beside(void *user, int columns, const char *const *names, const char *const *values)
{
    dipp_comparison *comparison = user;
    for (size_t i = 0; i < comparison->count; i++) {
        dipp_compared_metric *metric = &comparison->metrics[i];
        if (!strcmp(metric->metric, values[0]) && !strcmp(metric->scorer, values[1]) &&
            !strcmp(metric->prompt_set, values[2]))
            *(strcmp(values[3], "start") ? &metric->reference : &metric->before) = number(values[4]);
    }
    return 0;
}

/* ---- Pairs with the baseline ---- */

static dipp_compared_arm *arm_of(dipp_comparison *comparison, const comparison_reader *reading, int *direction)
{
    for (size_t i = 0; i < comparison->count; i++) {
        if (strcmp(comparison->keys[i], reading->key))
            continue;
        *direction = comparison->metrics[i].direction;
        for (size_t k = 0; k < comparison->metrics[i].arm_count; k++)
            if (!strcmp(comparison->metrics[i].arms[k].arm, reading->arm) &&
                !strcmp(comparison->metrics[i].arms[k].config, reading->config))
                return &comparison->metrics[i].arms[k];
    }
    return NULL;
}

static void finish_arm(comparison_reader *reading)
{
    dipp_statistics_options options = {0};
    dipp_compared_arm *arm = reading->pair_count ? arm_of(reading->comparison, reading, &options.direction) : NULL;
    if (arm)
        reading->status =
            dipp_paired_statistics_of(reading->pairs, reading->pair_count, &options, &arm->difference, reading->error);
    reading->pair_count = 0;
}

static int read_pair(void *user, int columns, const char *const *names, const char *const *values)
{
    comparison_reader *reading = user;
    if (strcmp(reading->key, values[0]) || strcmp(reading->arm, values[1]) || strcmp(reading->config, values[2])) {
        finish_arm(reading);
        snprintf(reading->key, sizeof reading->key, "%s", values[0]);
        snprintf(reading->arm, sizeof reading->arm, "%s", values[1]);
        snprintf(reading->config, sizeof reading->config, "%s", values[2]);
    }
    reading->failed |=
        !dipp_grow((void **)&reading->pairs, &reading->pair_capacity, reading->pair_count + 1, sizeof *reading->pairs);
    if (reading->failed || reading->status != DIPP_OK)
        return 1;
    reading->pairs[reading->pair_count++] =
        (dipp_paired_difference){integer(values[3]), integer(values[4]), number(values[5])};
    return 0;
}

static dipp_status correct(dipp_compared_metric *metric, dipp_error *error)
{
    double *p = dipp_allocate_zeroed(metric->arm_count, sizeof *p);
    if (!p)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory to compare %zu arms", metric->arm_count);
    for (size_t i = 0; i < metric->arm_count; i++)
        p[i] = metric->arms[i].difference.seeds ? metric->arms[i].difference.p_t : NAN;
    dipp_status status = dipp_holm(p, metric->arm_count, p, error);
    for (size_t i = 0; i < metric->arm_count && status == DIPP_OK; i++)
        metric->arms[i].p_holm = p[i];
    dipp_release(p);
    return status;
}

/* ---- The whole ---- */

static int list_level(void *user, int columns, const char *const *names, const char *const *values)
{
    dipp_text_printf(user, "%s%s", ((dipp_text *)user)->length ? ", " : "", values[0] ? values[0] : "nothing");
    return 0;
}

/* Nothing was found: says what there is. */
static dipp_status explain_nothing(dipp_store *store, const dipp_comparison_options *options, dipp_error *error)
{
    static const char *const levels[] = {
        "SELECT DISTINCT n.name FROM scores_by_step s JOIN runs r USING(run_id) JOIN experiments x "
        "USING(experiment_id) JOIN metric_names n USING(metric_id) WHERE x.name=?1 ORDER BY 1 LIMIT 40",
        "SELECT DISTINCT t.images_seen FROM scores_by_step s JOIN runs r USING(run_id) JOIN experiments x "
        "USING(experiment_id) JOIN evaluation_settings t USING(settings_id) WHERE x.name=?1 AND "
        "t.subject='generator' ORDER BY 1 LIMIT 40",
        "SELECT printf('%s %.4g to %.4g', arm, min(ikl), max(ikl)) FROM (SELECT r.arm, (SELECT k.ikl FROM ikl_by_step "
        "k "
        "WHERE k.run_id=s.run_id AND k.step<=s.step ORDER BY k.step DESC LIMIT 1) AS ikl FROM (SELECT DISTINCT run_id, "
        "step FROM scores_by_step) s JOIN runs r USING(run_id) JOIN experiments x USING(experiment_id) WHERE "
        "x.name=?1) WHERE ikl IS NOT NULL GROUP BY arm ORDER BY 1 LIMIT 40"};
    static const char *const what[] = {"the metrics are", "evaluations are at", "at evaluations the arms were at"};
    const char *binds[] = {options->experiment};
    char level[48];
    dipp_text text = {0};
    dipp_status status = dipp_store_query(store, levels[options->at], binds, 1, list_level, &text, error);
    snprintf(level, sizeof level,
             options->at == DIPP_COMPARE_FINAL    ? "no score"
             : options->at == DIPP_COMPARE_IMAGES ? "no score at %.0f images seen"
                                                  : "no score at an IKL of %g",
             options->level);
    if (status == DIPP_OK)
        status = dipp_fail(error, DIPP_E_NOT_FOUND, "%s has %s%s%s; %s %s", options->experiment, level,
                           options->metric ? " of " : "", options->metric ? options->metric : "", what[options->at],
                           text.length ? text.data : "none");
    dipp_text_discard(&text);
    return status;
}

static dipp_status query_point(dipp_store *store, const dipp_comparison_options *options, const baseline_search *search,
                               const char *select, dipp_store_row_fn each, void *user, dipp_error *error)
{
    char level[DIPP_DOUBLE_TEXT_BYTES];
    const char *binds[] = {options->experiment, options->metric ? options->metric : "", search->arm, search->config,
                           dipp_format_double(options->level, level)};
    dipp_text sql = {0};
    dipp_text_append(&sql, points[options->at]);
    dipp_text_append(&sql, select);
    dipp_status status = sql.failed ? dipp_fail(error, DIPP_E_MEMORY, "no memory for a query")
                                    : dipp_store_query(store, sql.data, binds,
                                                       options->at == DIPP_COMPARE_FINAL ? 4 : 5, each, user, error);
    dipp_text_discard(&sql);
    return status;
}

static dipp_status fill(dipp_store *store, const dipp_comparison_options *options, dipp_comparison *comparison,
                        dipp_error *error)
{
    baseline_search search = {.arms = 0};
    comparison_reader state = {.comparison = comparison, .error = error};
    dipp_status status = find_baseline(store, options, &search, error);
    const char *binds[] = {options->experiment, search.arm};
    if (status == DIPP_OK)
        status = query_point(store, options, &search, means, read_mean, &state, error);
    if (status == DIPP_OK && !state.failed && !comparison->count)
        status = explain_nothing(store, options, error);
    if (status == DIPP_OK)
        status = dipp_store_query(store,
                                  "SELECT metric, scorer, prompt_set, point, mean FROM leaderboard WHERE experiment=?1 "
                                  "AND (point='reference' OR (point='start' AND arm=?2))",
                                  binds, 2, read_beside, comparison, error);
    if (status == DIPP_OK)
        status = query_point(store, options, &search, pairs, read_pair, &state, error);
    if (status == DIPP_OK && state.status == DIPP_OK)
        finish_arm(&state);
    dipp_release(state.pairs);
    comparison->baseline = keep(&state, search.arm);
    if (status == DIPP_OK && state.failed)
        status = dipp_fail(error, DIPP_E_MEMORY, "no memory to compare %s", options->experiment);
    if (status == DIPP_OK)
        status = state.status;
    for (size_t i = 0; i < comparison->count && status == DIPP_OK; i++)
        status = correct(&comparison->metrics[i], error);
    return status;
}

dipp_status dipp_comparison_create(dipp_store *store, const dipp_comparison_options *options, dipp_comparison **out,
                                   dipp_error *error)
{
    dipp_comparison *comparison = dipp_allocate_zeroed(1, sizeof *comparison);
    if (!comparison || !(comparison->arena = dipp_arena_create(0))) {
        dipp_release(comparison);
        return dipp_fail(error, DIPP_E_MEMORY, "no memory to compare %s", options->experiment);
    }
    dipp_status status = fill(store, options, comparison, error);
    if (status != DIPP_OK)
        dipp_comparison_destroy(&comparison);
    *out = comparison;
    return status;
}

void dipp_comparison_destroy(dipp_comparison **pointer)
{
    if (!pointer || !*pointer)
        return;
    dipp_comparison *comparison = *pointer;
    for (size_t i = 0; i < comparison->count; i++) {
        for (size_t k = 0; k < comparison->metrics[i].arm_count; k++)
            dipp_paired_statistics_clear(&comparison->metrics[i].arms[k].difference);
        dipp_release(comparison->metrics[i].arms);
    }
    dipp_release(comparison->metrics);
    dipp_release(comparison->keys);
    dipp_arena_destroy(&comparison->arena);
    dipp_release(comparison);
    *pointer = NULL;
}

const dipp_compared_metric *dipp_comparison_metrics(const dipp_comparison *comparison, size_t *count)
{
    *count = comparison->count;
    return comparison->metrics;
}

const char *dipp_comparison_baseline(const dipp_comparison *comparison)
{
    return comparison->baseline;
}
