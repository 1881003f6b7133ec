/* Scores of a style in ten groups, against numpy's mean and std of the same numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "evaluate/style_groups.h"

#include <math.h>

static void near(double found, double expected)
{
    if (!(fabs(found - expected) <= 1e-12 * fabs(expected)))
        fail_msg("expected %.17g, found %.17g", expected, found);
}

static void eight_hundred_scores_are_ten_groups_of_eighty(void **state)
{
    (void)state;
    double scores[800];
    for (int i = 0; i < 800; i++)
        scores[i] = 100 * (0.2 + (i * 37 + (i / 80) * (i / 80) * 7) % 101 / 1000.0);
    dipp_style_summary summary = dipp_style_summarise(scores, 800);
    assert_int_equal(summary.groups, 10);
    near(summary.mean, 24.991749999999996); /* np.mean(res) */
    near(summary.group_mean, 24.991749999999996);
    if (fabs(summary.group_sd - 0.03740905639013076) > 1e-12) /* np.std of ten np.mean(res[i:i+80]) */
        fail_msg("%.17g", summary.group_sd);
}

static void other_sizes_are_tenths_or_single_scores(void **state)
{
    (void)state;
    static const double powers[] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096}, three[] = {1, 3, 8};
    dipp_style_summary summary = dipp_style_summarise(powers, 13); /* three of the groups have two */
    assert_int_equal(summary.groups, 10);
    near(summary.mean, 630.0769230769231);
    near(summary.group_mean, 491.5);
    near(summary.group_sd, 915.113681462582);
    summary = dipp_style_summarise(three, 3);
    assert_int_equal(summary.groups, 3);
    near(summary.group_mean, 4);
    near(summary.group_sd, 2.943920288775949);
    summary = dipp_style_summarise(three, 1);
    assert_true(summary.groups == 1 && summary.mean == 1 && summary.group_mean == 1 && summary.group_sd == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(eight_hundred_scores_are_ten_groups_of_eighty),
        cmocka_unit_test(other_sizes_are_tenths_or_single_scores),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
