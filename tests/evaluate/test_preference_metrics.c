/* Metrics of preferences on sets that are small enough to be counted by hand, and calibration on many pairs whose
 * probabilities are known. */
#include "base/philox.h"
#include "evaluate/preference_metrics.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void add(dipp_preferences *set, uint32_t count, const double *labels, const double *ranks, double probability,
                const char *kind)
{
    static const char *const images[] = {"a", "b", "c", "d"}, *const prompts[] = {"x", "x", "x", "x"};
    dipp_error error;
    dipp_preference_entry entry = {.count = count,
                                   .images = images,
                                   .prompts = prompts,
                                   .labels = labels,
                                   .ranks = ranks,
                                   .kind = kind,
                                   .probability = probability};
    assert_int_equal(dipp_preferences_add(set, &entry, "test", &error), DIPP_OK);
}

static void measure(const dipp_preferences *set, const double *scores, int64_t kind,
                    double values[DIPP_PREFERENCE_METRICS])
{
    dipp_error error;
    assert_int_equal(dipp_preference_metrics(set, scores, kind, values, &error), DIPP_OK);
}

static void near(double found, double expected)
{
    if (!(fabs(found - expected) < 1e-12))
        fail_msg("%.15g, expected %.15g", found, expected);
}

static void pairs_are_counted(void **state)
{
    dipp_preferences set = {.captions_differ = false};
    add(&set, 2, (const double[]){1, 0}, NULL, 0.9, "k");      /* right, d = 2 */
    add(&set, 2, (const double[]){0, 1}, NULL, 0.8, "k");      /* right although it is the unlikely one, d = -1 */
    add(&set, 2, (const double[]){1, 0}, NULL, NAN, NULL);     /* scores tie */
    add(&set, 2, (const double[]){0.3, 0.7}, NULL, 0.4, NULL); /* wrong, d = 1 */
    add(&set, 2, (const double[]){0.5, 0.5}, NULL, NAN, NULL); /* no preference, d = 3 */
    const double scores[] = {2, 0, 0, 1, 5, 5, 1, 0, 3, 0};
    double values[DIPP_PREFERENCE_METRICS];
    measure(&set, scores, -1, values);
    near(values[DIPP_PREFERENCE_PAIRS], 4);
    near(values[DIPP_PREFERENCE_ACCURACY], 2.5 / 4);
    near(values[DIPP_PREFERENCE_STRICT], 2.0 / 4);
    near(values[DIPP_PREFERENCE_BAYES], (0.9 + 0.8 + 0.6) / 3);
    near(values[DIPP_PREFERENCE_SHARE], 2.0 / (0.9 + 0.8 + 0.6));
    near(values[DIPP_PREFERENCE_EXPECTED], (0.9 + 0.2 + 0.4) / (0.9 + 0.8 + 0.6));
    double loss = log1p(exp(-2)) + log1p(exp(-1)) + log(2) + 0.3 * log1p(exp(-1)) + 0.7 * log1p(exp(1)) +
                  0.5 * log1p(exp(-3)) + 0.5 * log1p(exp(3));
    near(values[DIPP_PREFERENCE_LOG_LOSS], loss / 5);
    assert_true(isnan(values[DIPP_PREFERENCE_INVERSION]));
    /* Gaps |2p - 1|: 0.762, 0.462, 0, 0.462, 0.905. At 0 the tie of scores counts half, at 1 all are ties: the fair pair right,
     * four half. Between 0.5 and 0.7: right, half, half, half, wrong side of a tie half. */
    near(values[DIPP_PREFERENCE_TIE_ACCURACY], (1 + 1 + 0.5 + 0 + 0.5) / 5);
    near(values[DIPP_PREFERENCE_TIE_THRESHOLD], 0);
    measure(&set, scores, 1, values);
    near(values[DIPP_PREFERENCE_PAIRS], 2);
    near(values[DIPP_PREFERENCE_ACCURACY], 1);
    assert_true(isnan(values[DIPP_PREFERENCE_TIE_ACCURACY]));
    dipp_preferences_clear(&set);
}

static void lists_count_their_inversions(void **state)
{
    dipp_preferences set = {.captions_differ = false};
    add(&set, 4, NULL, (const double[]){1, 2, 2, 4}, NAN, NULL);
    add(&set, 2, NULL, (const double[]){2, 1}, NAN, NULL);
    double values[DIPP_PREFERENCE_METRICS];
    const double scores[] = {3, 4, 1, 2, 0, 1}; /* a under b, c under d; the second list is right */
    measure(&set, scores, -1, values);
    near(values[DIPP_PREFERENCE_INVERSION], ((1 - 2.0 / 6) + 1) / 2);
    near(values[DIPP_PREFERENCE_PAIRS], 6); /* b and c are a tie */
    near(values[DIPP_PREFERENCE_ACCURACY], 4.0 / 6);
    dipp_preferences_clear(&set);
}

/* Ties are best called below a gap of 0.7 here: |2p - 1| of both ties is 0.46, of both others 0.91. */
static void the_threshold_of_ties_is_found(void **state)
{
    dipp_preferences set = {.captions_differ = false};
    for (int i = 0; i < 2; i++) {
        add(&set, 2, NULL, (const double[]){1, 1}, NAN, NULL);
        add(&set, 2, NULL, (const double[]){1, 2}, NAN, NULL);
    }
    double values[DIPP_PREFERENCE_METRICS];
    const double scores[] = {1, 0, 3, 0, 0, 1, 3, 0};
    measure(&set, scores, -1, values);
    near(values[DIPP_PREFERENCE_TIE_ACCURACY], 1);
    near(values[DIPP_PREFERENCE_TIE_THRESHOLD], 0.5); /* the first that does */
    dipp_preferences_clear(&set);
}

/* Scores are true logits times `sharpness`, labels drawn by the truth, sides in either order. */
static void calibration_of(double sharpness, double values[DIPP_PREFERENCE_METRICS])
{
    enum { PAIRS = 20000 };
    dipp_preferences set = {.captions_differ = false};
    double *scores = calloc(2 * PAIRS, sizeof *scores);
    assert_non_null(scores);
    for (uint32_t i = 0; i < PAIRS; i++) {
        double logit = 6 * dipp_philox_uniform_double(1, 2, 0, i, 0) - 3, p = 1 / (1 + exp(-logit));
        double first = dipp_philox_uniform_double(1, 2, 0, i, 1) < p;
        scores[2 * i] = sharpness * logit;
        add(&set, 2, (const double[]){first, 1 - first}, NULL, p, NULL);
    }
    measure(&set, scores, -1, values);
    dipp_preferences_clear(&set);
    free(scores);
}

static void calibration_sees_what_is_too_sure(void **state)
{
    double values[DIPP_PREFERENCE_METRICS], sharp[DIPP_PREFERENCE_METRICS];
    calibration_of(1, values);
    assert_true(values[DIPP_PREFERENCE_CALIBRATION] < 0.012); /* what 2000 labels a bin leave */
    near(values[DIPP_PREFERENCE_CALIBRATION_TRUE], 0);
    near(values[DIPP_PREFERENCE_EXPECTED], 1);
    calibration_of(3, sharp);
    assert_true(sharp[DIPP_PREFERENCE_CALIBRATION] > 0.08 && sharp[DIPP_PREFERENCE_CALIBRATION_TRUE] > 0.08);
    near(sharp[DIPP_PREFERENCE_ACCURACY], values[DIPP_PREFERENCE_ACCURACY]);
}

/* Of pairs 2 apart of which three in four are preferred the best factor is ln 3 / 2; held lines are not measured. */
static void sharpness_is_fitted_by_what_is_held(void **state)
{
    dipp_preferences set = {.captions_differ = false};
    double values[DIPP_PREFERENCE_METRICS], factor = 0;
    const double scores[] = {2, 0, 2, 0, 0, 2, 2, 0, 0, 5};
    dipp_error error = {0};
    for (int i = 0; i < 4; i++) /* the third has the other side preferred by its scores */
        add(&set, 2, (const double[]){1, 0}, NULL, NAN, NULL);
    add(&set, 2, (const double[]){1, 0}, NULL, NAN, NULL);
    for (int i = 0; i < 4; i++)
        set.lines[i].held = true;
    assert_int_equal(dipp_preference_sharpness(&set, scores, &factor, &error), DIPP_OK);
    near(factor, log(3) / 2);
    measure(&set, scores, -1, values);
    near(values[DIPP_PREFERENCE_PAIRS], 1);
    near(values[DIPP_PREFERENCE_ACCURACY], 0);
    for (int i = 0; i < 3; i++) /* all that is left is ordered as its labels: the sharper the better */
        set.lines[i].held = i != 2;
    assert_int_equal(dipp_preference_sharpness(&set, scores, &factor, &error), DIPP_E_INVALID);
    assert_non_null(strstr(error.message, "no temperature fits"));
    dipp_preferences_clear(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_are_counted),
        cmocka_unit_test(lists_count_their_inversions),
        cmocka_unit_test(the_threshold_of_ties_is_found),
        cmocka_unit_test(calibration_sees_what_is_too_sure),
        cmocka_unit_test(sharpness_is_fitted_by_what_is_held),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
