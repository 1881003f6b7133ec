/* How well scores agree with preferences. The score of an item is a logit: sigmoid(s_a - s_b) is the probability that a is
 * preferred to b. */
#ifndef DIPP_EVALUATE_PREFERENCE_METRICS_H
#define DIPP_EVALUATE_PREFERENCE_METRICS_H

#include "data/preferences.h"

typedef enum dipp_preference_metric {
    DIPP_PREFERENCE_PAIRS = 0, /* pairs of which one is preferred: of those is accuracy */
    DIPP_PREFERENCE_ACCURACY,  /* share ordered as the label; equal scores count half */
    DIPP_PREFERENCE_STRICT,    /* the same, equal scores count nothing */
    DIPP_PREFERENCE_BAYES,     /* best accuracy there is: mean of max(p, 1 - p), where the true p is given */
    DIPP_PREFERENCE_SHARE,     /* accuracy on those pairs over it */
    DIPP_PREFERENCE_EXPECTED, /* the same with the accuracy expected under the true p in place of the one that happened */
    DIPP_PREFERENCE_LOG_LOSS,  /* mean cross-entropy, in nats, ties included */
    DIPP_PREFERENCE_INVERSION, /* mean over ranked lists of 1 - inversions / (n (n - 1) / 2); ties are no inversions */
    /* Best over thresholds t = 0, 0.1, ..., 1 of a rule that calls a tie where |p_a - p_b| <= t: 1 for what is right, 1/2 where
     * either says tie, 0 else (PickScore); and that t. Of pairs with ties among them. */
    DIPP_PREFERENCE_TIE_ACCURACY,
    DIPP_PREFERENCE_TIE_THRESHOLD,
    /* Expected calibration error in 10 bins of equally many pairs, by the predicted probability of the side that is predicted:
     * sum over bins of their share times |mean predicted - mean label|; and the same against the true p where it is given. */
    DIPP_PREFERENCE_CALIBRATION,
    DIPP_PREFERENCE_CALIBRATION_TRUE,
    DIPP_PREFERENCE_METRICS
} dipp_preference_metric;

enum { DIPP_CALIBRATION_BINS = 10 };

/* "pairs", "accuracy", ... as the store has them behind "pairs/". */
extern const char *const dipp_preference_metric_names[DIPP_PREFERENCE_METRICS];

/* scores[set->item_count]; kind: pairs of that kind alone, or -1 for all. Lines that are held are left out. values: NaN where there is nothing to measure.
 * DIPP_E_MEMORY. [any thread] */
dipp_status dipp_preference_metrics(const dipp_preferences *set, const double *scores, int64_t kind,
                                    double values[DIPP_PREFERENCE_METRICS], dipp_error *error);

/* The factor on differences of scores with which they fit the labels of the lines that are held best: the least mean
 * cross-entropy of sigmoid(factor * difference), one over the temperature. DIPP_E_INVALID: no pair is held, or none orders or
 * all order them as their labels, so that no factor is best. [any thread] */
dipp_status dipp_preference_sharpness(const dipp_preferences *set, const double *scores, double *factor,
                                      dipp_error *error);

#endif
