#include "experiment/run_styles.h"

#include "base/memory.h"
#include "evaluate/style_groups.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { GROUP_BYTES = 40, ROWS_MAX = 3 * DIPP_HPS_STYLES + 1 };

/* One metric's scores by prompt. */
typedef struct style_scores {
    double *sums;    /* [prompts] of the finite samples */
    size_t *samples; /* [prompts] */
    double *values;  /* [prompts] what is being summarised */
} style_scores;

static int style_index(const char *category)
{
    for (int i = 0; category && i < DIPP_HPS_STYLES; i++)
        if (!strcmp(category, dipp_hps_styles[i]))
            return i;
    return -1;
}

static bool are_styles(const dipp_run_scores_place *place)
{
    for (uint32_t p = 0; place->categories && p < place->prompt_count; p++)
        if (style_index(place->categories[p]) < 0)
            return false;
    return place->categories && place->prompt_count;
}

static dipp_set_metric_row number(const dipp_run_metrics *metrics, uint32_t metric, const char *group, double value,
                                  size_t samples)
{
    return (dipp_set_metric_row){.metric = metrics->metrics[metric].name,
                                 .scorer_id = metrics->scorers[metric],
                                 .group = group,
                                 .value = value,
                                 .samples = (int64_t)samples};
}

/* The rows of one style; how many pictures it has goes to *pictures, their sum to *sum. */
static size_t summarise_style(const dipp_run_metrics *metrics, const dipp_run_scores_place *place, uint32_t metric,
                              int style, const style_scores *scores, char names[3][GROUP_BYTES],
                              dipp_set_metric_row *rows, size_t *pictures, double *sum)
{
    size_t prompts = 0, own = 0;
    double own_sum = 0;
    for (uint32_t p = 0; p < place->prompt_count; p++) {
        if (style_index(place->categories[p]) != style || !scores->samples[p])
            continue;
        scores->values[prompts++] = scores->sums[p] / (double)scores->samples[p];
        own += scores->samples[p];
        own_sum += scores->sums[p];
    }
    if (!prompts)
        return 0;
    dipp_style_summary summary = dipp_style_summarise(scores->values, prompts);
    snprintf(names[0], GROUP_BYTES, "%s", dipp_hps_styles[style]);
    snprintf(names[1], GROUP_BYTES, "%s: mean of ten", dipp_hps_styles[style]);
    snprintf(names[2], GROUP_BYTES, "%s: sd of ten", dipp_hps_styles[style]);
    rows[0] = number(metrics, metric, names[0], own_sum / (double)own, own);
    rows[1] = number(metrics, metric, names[1], summary.group_mean, own);
    rows[2] = number(metrics, metric, names[2], summary.group_sd, own);
    *pictures += own;
    *sum += own_sum;
    return 3;
}

static dipp_status put_metric(const dipp_run_metrics *metrics, const dipp_run_scores_place *place, uint32_t metric,
                              const style_scores *scores, dipp_error *error)
{
    char names[DIPP_HPS_STYLES][3][GROUP_BYTES];
    dipp_set_metric_row rows[ROWS_MAX];
    size_t count = 0, pictures = 0;
    double sum = 0;
    for (int style = 0; style < DIPP_HPS_STYLES; style++)
        count += summarise_style(metrics, place, metric, style, scores, names[style], rows + count, &pictures, &sum);
    if (!count)
        return DIPP_OK;
    rows[count++] = number(metrics, metric, "average", sum / (double)pictures, pictures);
    return dipp_store_set_metrics_put(place->store, place->run_id, place->step, place->settings_id,
                                      place->prompt_set_id, rows, count, error);
}

static void gather(const dipp_evaluation_result *result, uint32_t metric, uint32_t prompts, style_scores *scores)
{
    memset(scores->sums, 0, prompts * sizeof *scores->sums);
    memset(scores->samples, 0, prompts * sizeof *scores->samples);
    for (size_t i = 0; i < result->score_count; i++) {
        const dipp_evaluation_score *score = &result->scores[i];
        if (score->metric != metric || !isfinite(score->value))
            continue;
        scores->sums[score->prompt] += score->value;
        scores->samples[score->prompt]++;
    }
}

dipp_status dipp_run_styles_store(const dipp_run_metrics *metrics, const dipp_run_scores_place *place,
                                  const dipp_evaluation_result *result, dipp_error *error)
{
    if (!are_styles(place))
        return DIPP_OK;
    style_scores scores = {.sums = dipp_allocate_zeroed(place->prompt_count, sizeof *scores.sums),
                           .samples = dipp_allocate_zeroed(place->prompt_count, sizeof *scores.samples),
                           .values = dipp_allocate_zeroed(place->prompt_count, sizeof *scores.values)};
    dipp_status status = scores.sums && scores.samples && scores.values
                             ? DIPP_OK
                             : dipp_fail(error, DIPP_E_MEMORY, "no memory for scores by style");
    for (uint32_t m = 0; m < metrics->count && status == DIPP_OK; m++) {
        gather(result, m, place->prompt_count, &scores);
        status = put_metric(metrics, place, m, &scores, error);
    }
    dipp_release(scores.sums);
    dipp_release(scores.samples);
    dipp_release(scores.values);
    return status;
}
