#include "evaluate/roc.h"

#include "base/memory.h"
#include "base/philox.h"

#include <math.h>
#include <stdlib.h>

enum { STREAM_POSITIVES = 4, STREAM_NEGATIVES = 5 }; /* beside those of statistics.c */
static const uint64_t random_seed = 0x44492B2B;

/* Highest score first; of equal ones the positives, so that no order of the cases matters. */
static int by_score(const void *a, const void *b)
{
    const dipp_roc_case *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return (int)y->positive - (int)x->positive;
}

static int by_number(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The area when case i counts times[i]; sorted from the highest. */
static double area_of(const dipp_roc_case *sorted, const uint32_t *times, size_t count)
{
    double above = 0, positives = 0, negatives = 0, won = 0; /* above: positives with a higher score */
    for (size_t i = 0, end = 0; i < count; i = end) {
        double tied[2] = {0};
        for (end = i; end < count && sorted[end].score == sorted[i].score; end++)
            tied[sorted[end].positive] += times ? times[end] : 1;
        won += tied[0] * (above + 0.5 * tied[1]);
        above += tied[1];
        positives += tied[1];
        negatives += tied[0];
    }
    return won / (positives * negatives);
}

static void draw_kind(const uint32_t *places, uint32_t count, uint32_t stream, uint32_t replicate, uint32_t *times)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t drawn = (uint32_t)(dipp_philox_uniform_double(random_seed, stream, 0, replicate, i) * count);
        times[places[drawn < count ? drawn : count - 1]]++;
    }
}

static double percentile(const double *sorted, uint32_t count, double share)
{
    double place = fmin(fmax(share * (count + 1.0) - 1, 0), count - 1.0);
    uint32_t below = (uint32_t)place, next = below + 1 < count ? below + 1 : below;
    return sorted[below] + (place - below) * (sorted[next] - sorted[below]);
}

static dipp_status bootstrap(const dipp_roc_case *sorted, size_t count, uint32_t replicates, dipp_roc *out,
                             dipp_error *error)
{
    double *areas = dipp_allocate_zeroed(replicates, sizeof *areas);
    uint32_t *times = dipp_allocate_zeroed(2 * count, sizeof *times), *places = times ? times + count : NULL;
    if (!areas || !times) {
        dipp_release(areas);
        dipp_release(times);
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for %u replicates of %zu runs", replicates, count);
    }
    uint32_t positives = 0, negatives = out->positives; /* positives' places first */
    for (uint32_t i = 0; i < count; i++)
        places[sorted[i].positive ? positives++ : negatives++] = i;
    for (uint32_t replicate = 0; replicate < replicates; replicate++) {
        for (size_t i = 0; i < count; i++)
            times[i] = 0;
        draw_kind(places, out->positives, STREAM_POSITIVES, replicate, times);
        draw_kind(places + out->positives, out->negatives, STREAM_NEGATIVES, replicate, times);
        areas[replicate] = area_of(sorted, times, count);
    }
    qsort(areas, replicates, sizeof *areas, by_number);
    out->interval = (dipp_interval){percentile(areas, replicates, 0.025), percentile(areas, replicates, 0.975)};
    dipp_release(areas);
    dipp_release(times);
    return DIPP_OK;
}

static void fill_points(const dipp_roc_case *sorted, size_t count, dipp_roc *out)
{
    double hits = 0, false_alarms = 0;
    out->points[out->count++] = (dipp_roc_point){INFINITY, 0, 0};
    for (size_t i = 0; i < count; i++) {
        hits += sorted[i].positive;
        false_alarms += !sorted[i].positive;
        if (i + 1 == count || sorted[i + 1].score != sorted[i].score)
            out->points[out->count++] =
                (dipp_roc_point){sorted[i].score, hits / out->positives, false_alarms / out->negatives};
    }
}

dipp_status dipp_roc_of(const dipp_roc_case *cases, size_t count, uint32_t replicates, dipp_roc *out, dipp_error *error)
{
    *out = (dipp_roc){0};
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(cases[i].score))
            return dipp_fail(error, DIPP_E_INVALID, "the score of case %zu is not finite", i);
        out->positives += cases[i].positive;
        out->negatives += !cases[i].positive;
    }
    if (!out->positives || !out->negatives || !replicates)
        return dipp_fail(error, DIPP_E_INVALID,
                         "a ROC curve needs runs of both kinds; there are %u where it happened and %u where it did not",
                         out->positives, out->negatives);
    dipp_roc_case *sorted = dipp_allocate_zeroed(count, sizeof *sorted);
    out->points = dipp_allocate_zeroed(count + 1, sizeof *out->points);
    dipp_status status = sorted && out->points ? DIPP_OK : dipp_fail(error, DIPP_E_MEMORY, "no memory for a ROC curve");
    if (status == DIPP_OK) {
        for (size_t i = 0; i < count; i++)
            sorted[i] = cases[i];
        qsort(sorted, count, sizeof *sorted, by_score);
        out->area = area_of(sorted, NULL, count);
        fill_points(sorted, count, out);
        status = bootstrap(sorted, count, replicates, out, error);
    }
    dipp_release(sorted);
    if (status != DIPP_OK)
        dipp_roc_clear(out);
    return status;
}

void dipp_roc_clear(dipp_roc *roc)
{
    dipp_release(roc->points);
    roc->points = NULL;
    roc->count = 0;
}
