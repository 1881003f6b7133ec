#include "evaluate/preference_metrics.h"

#include "base/memory.h"

#include <math.h>
#include <stdlib.h>

const char *const dipp_preference_metric_names[DIPP_PREFERENCE_METRICS] = {
    "count",    "accuracy",  "accuracy_strict", "bayes_accuracy", "bayes_share", "bayes_share_expected",
    "log_loss", "inversion", "tie_accuracy",    "tie_threshold",  "calibration", "calibration_true"};

/* A pair as it is predicted. */
typedef struct judged {
    double p, label, truth; /* of the first side; truth is NaN where it is not known */
} judged;

static double softplus(double x)
{
    return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

/* 1 for the first side, -1 for the second, 0 for a tie. */
static int side_of(double probability)
{
    return (probability > 0.5) - (probability < 0.5);
}

typedef struct sums {
    double decided, right, strict, known, bayes, known_right, expected, loss, ties;
} sums;

static void add_pair(sums *total, const judged *pair, double difference)
{
    int label = side_of(pair->label), predicted = (difference > 0) - (difference < 0);
    double right = !predicted ? 0.5 : predicted == label;
    total->loss += pair->label * softplus(-difference) + (1 - pair->label) * softplus(difference);
    total->ties += !label;
    if (!label)
        return;
    total->decided += 1;
    total->right += right;
    total->strict += predicted == label;
    if (isnan(pair->truth))
        return;
    total->known += 1;
    total->known_right += right;
    total->bayes += fmax(pair->truth, 1 - pair->truth);
    total->expected += !predicted ? 0.5 : predicted > 0 ? pair->truth : 1 - pair->truth;
}

/* Mean over lists of 1 - inversions / (n (n - 1) / 2); NaN without a list. */
static double inversion_score(const dipp_preferences *set, const double *scores, int64_t kind)
{
    double sum = 0, lists = 0;
    for (size_t i = 0; i < set->line_count; i++) {
        const dipp_preference_line *line = &set->lines[i];
        double inversions = 0, n = line->count;
        if (!line->ranked || line->held || (kind >= 0 && line->kind != (uint32_t)kind))
            continue;
        for (uint32_t a = line->first; a < line->first + line->count; a++)
            for (uint32_t b = a + 1; b < line->first + line->count; b++)
                inversions += (set->items[a].rank - set->items[b].rank) * (scores[a] - scores[b]) > 0;
        sum += 1 - inversions / (n * (n - 1) / 2);
        lists += 1;
    }
    return lists > 0 ? sum / lists : NAN;
}

static void tie_threshold(const judged *pairs, size_t count, double *accuracy, double *threshold)
{
    *accuracy = -1;
    for (int t = 0; t <= 10; t++) {
        double right = 0;
        for (size_t i = 0; i < count; i++) {
            double gap = 2 * pairs[i].p - 1;
            int label = side_of(pairs[i].label), predicted = fabs(gap) <= 0.1 * t ? 0 : (gap > 0) - (gap < 0);
            right += predicted == label ? 1 : !predicted || !label ? 0.5 : 0;
        }
        if (right / (double)count > *accuracy) {
            *accuracy = right / (double)count;
            *threshold = 0.1 * t;
        }
    }
}

/* ---- Calibration ---- */

static int by_probability(const void *a, const void *b)
{
    double x = ((const judged *)a)->p, y = ((const judged *)b)->p;
    return (x > y) - (x < y);
}

/* Of pairs sorted by p, which is that of the predicted side. NaN when the truth is asked for and none is known. */
static double calibration_error(const judged *pairs, size_t count, bool truth)
{
    double error = 0, known = 0;
    for (size_t bin = 0; bin < DIPP_CALIBRATION_BINS; bin++) {
        double gap = 0;
        for (size_t i = count * bin / DIPP_CALIBRATION_BINS; i < count * (bin + 1) / DIPP_CALIBRATION_BINS; i++) {
            double happened = truth ? pairs[i].truth : pairs[i].label;
            known += !isnan(happened);
            gap += isnan(happened) ? 0 : pairs[i].p - happened;
        }
        error += fabs(gap);
    }
    return known > 0 ? error / known : NAN;
}

/* Turns every pair so that its first side is the predicted one, and sorts. */
static void turn_and_sort(judged *pairs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (pairs[i].p < 0.5)
            pairs[i] = (judged){1 - pairs[i].p, 1 - pairs[i].label, 1 - pairs[i].truth};
    qsort(pairs, count, sizeof *pairs, by_probability);
}

dipp_status dipp_preference_metrics(const dipp_preferences *set, const double *scores, int64_t kind,
                                    double values[DIPP_PREFERENCE_METRICS], dipp_error *error)
{
    judged *pairs = dipp_allocate(set->pair_count * sizeof *pairs);
    sums total = {0};
    size_t count = 0;
    for (int i = 0; i < DIPP_PREFERENCE_METRICS; i++)
        values[i] = NAN;
    if (!pairs)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for the metrics of %zu pairs", set->pair_count);
    for (size_t i = 0; i < set->pair_count; i++) {
        const dipp_preference_pair *pair = &set->pairs[i];
        const dipp_preference_line *line = &set->lines[pair->line];
        if (line->held || (kind >= 0 && line->kind != (uint32_t)kind))
            continue;
        double difference = scores[pair->items[0]] - scores[pair->items[1]];
        pairs[count] = (judged){1 / (1 + exp(-difference)), pair->label, line->probability};
        add_pair(&total, &pairs[count++], difference);
    }
    values[DIPP_PREFERENCE_PAIRS] = total.decided;
    if (total.decided > 0) {
        values[DIPP_PREFERENCE_ACCURACY] = total.right / total.decided;
        values[DIPP_PREFERENCE_STRICT] = total.strict / total.decided;
    }
    if (total.known > 0) {
        values[DIPP_PREFERENCE_BAYES] = total.bayes / total.known;
        values[DIPP_PREFERENCE_SHARE] = total.known_right / total.bayes;
        values[DIPP_PREFERENCE_EXPECTED] = total.expected / total.bayes;
    }
    values[DIPP_PREFERENCE_INVERSION] = inversion_score(set, scores, kind);
    if (count) {
        values[DIPP_PREFERENCE_LOG_LOSS] = total.loss / (double)count;
        if (total.ties > 0)
            tie_threshold(pairs, count, &values[DIPP_PREFERENCE_TIE_ACCURACY], &values[DIPP_PREFERENCE_TIE_THRESHOLD]);
        turn_and_sort(pairs, count);
        values[DIPP_PREFERENCE_CALIBRATION] = calibration_error(pairs, count, false);
        values[DIPP_PREFERENCE_CALIBRATION_TRUE] = calibration_error(pairs, count, true);
    }
    dipp_release(pairs);
    return DIPP_OK;
}

/* ---- Sharpness ---- */

/* Derivative of the sum of cross-entropies to the factor; it rises with the factor. */
static double slope_at(const dipp_preferences *set, const double *scores, double factor)
{
    double slope = 0;
    for (size_t i = 0; i < set->pair_count; i++) {
        const dipp_preference_pair *pair = &set->pairs[i];
        double difference = scores[pair->items[0]] - scores[pair->items[1]];
        if (set->lines[pair->line].held)
            slope += (1 / (1 + exp(-factor * difference)) - pair->label) * difference;
    }
    return slope;
}

dipp_status dipp_preference_sharpness(const dipp_preferences *set, const double *scores, double *factor,
                                      dipp_error *error)
{
    double low = -log(1024), high = log(1024);
    if (!(slope_at(set, scores, exp(low)) < 0) || !(slope_at(set, scores, exp(high)) > 0))
        return dipp_fail(
            error, DIPP_E_INVALID,
            "no temperature fits the pairs that are held for it: there are none, or the scores order none or "
            "all of them as their labels");
    for (int i = 0; i < 80; i++) {
        double middle = 0.5 * (low + high);
        *(slope_at(set, scores, exp(middle)) < 0 ? &low : &high) = middle;
    }
    *factor = exp(0.5 * (low + high));
    return DIPP_OK;
}
