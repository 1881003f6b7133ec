/* Against printed tables, closed forms and identities. */
#include "evaluate/distribution.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void near(double value, double expected, double tolerance)
{
    if (!(fabs(value - expected) <= tolerance * fmax(1, fabs(expected))))
        fail_msg("%.17g; expected %.17g within %g", value, expected, tolerance);
}

static void incomplete_beta_has_its_closed_forms(void **state)
{
    (void)state;
    for (int i = 0; i <= 20; i++) {
        double x = i / 20.0;
        near(dipp_incomplete_beta(1, 1, x), x, 1e-14);
        near(dipp_incomplete_beta(3, 1, x), x * x * x, 1e-14);
        near(dipp_incomplete_beta(1, 4, x), 1 - pow(1 - x, 4), 1e-14);
        near(dipp_incomplete_beta(0.5, 0.5, x), 2 / M_PI * asin(sqrt(x)), 1e-14);
        near(dipp_incomplete_beta(2, 2, x), x * x * (3 - 2 * x), 1e-14);
        for (int a = 1; a < 400; a += 37) /* reflection, across the point where the fraction is turned round */
            near(dipp_incomplete_beta(a, 17.5, x), 1 - dipp_incomplete_beta(17.5, a, 1 - x), 1e-12);
    }
    assert_true(isnan(dipp_incomplete_beta(0, 1, 0.5)));
    assert_true(isnan(dipp_incomplete_beta(1, -1, 0.5)));
    assert_true(isnan(dipp_incomplete_beta(1, 1, 1.5)));
    assert_true(isnan(dipp_incomplete_beta(1, 1, NAN)));
}

/* Two-sided 5 % and 1 % points from the printed tables, ten digits where closed forms give them. */
static void student_has_the_printed_quantiles(void **state)
{
    (void)state;
    near(dipp_student_half_width(0.05, 1), tan(M_PI * 0.475), 1e-12);
    near(dipp_student_half_width(0.05, 2), 0.95 * sqrt(2 / (1 - 0.95 * 0.95)), 1e-12);
    static const struct {
        double freedom, five, one;
    } rows[] = {{1, 12.7062, 63.6567},   {2, 4.30265, 9.92484},  {3, 3.18245, 5.84091},  {4, 2.77645, 4.60409},
                {5, 2.57058, 4.03214},   {9, 2.26216, 3.24984},  {29, 2.04523, 2.75639}, {60, 2.00030, 2.66028},
                {120, 1.97993, 2.61742}, {1e6, 1.95996, 2.57583}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        near(dipp_student_half_width(0.05, rows[i].freedom), rows[i].five, 5e-6);
        near(dipp_student_half_width(0.01, rows[i].freedom), rows[i].one, 5e-6);
        for (double outside = 1e-8; outside < 1; outside *= 7)
            near(dipp_student_two_sided(dipp_student_half_width(outside, rows[i].freedom), rows[i].freedom) / outside,
                 1, rows[i].freedom > 1000 ? 1e-9 : 1e-11);
    }
    near(dipp_student_two_sided(0, 7), 1, 1e-15);
    near(dipp_student_two_sided(-2.5, 3), dipp_student_two_sided(2.5, 3), 0);
    near(dipp_student_two_sided(1, 1), 0.5, 1e-14);
    assert_true(dipp_student_two_sided(INFINITY, 4) == 0);
    assert_true(isnan(dipp_student_two_sided(NAN, 4)));
    assert_true(isnan(dipp_student_two_sided(1, 0)));
    assert_true(isnan(dipp_student_half_width(0, 4)));
    assert_true(isnan(dipp_student_half_width(1, 4)));
}

static void normal_has_its_tails(void **state)
{
    (void)state;
    near(dipp_normal_below(0), 0.5, 1e-15);
    near(dipp_normal_below(1.959963984540054), 0.975, 1e-14);
    near(dipp_normal_below(-5) / 2.866515718791939e-07, 1, 1e-12);
}

static void sign_test_is_the_binomial(void **state)
{
    (void)state;
    near(dipp_sign_test(30, 20), 0.20263875106454063, 1e-11); /* 2 sum C(50, 0..20) / 2^50 */
    near(dipp_sign_test(20, 30), dipp_sign_test(30, 20), 0);
    near(dipp_sign_test(5, 0), 2.0 / 32, 1e-14);
    near(dipp_sign_test(9, 1), 2.0 * 11 / 1024, 1e-14);
    assert_true(dipp_sign_test(0, 0) == 1);
    assert_true(dipp_sign_test(7, 7) == 1);
    near(dipp_sign_test(4, 3), 1, 1e-14);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(incomplete_beta_has_its_closed_forms),
        cmocka_unit_test(student_has_the_printed_quantiles),
        cmocka_unit_test(normal_has_its_tails),
        cmocka_unit_test(sign_test_is_the_binomial),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
