/* The statistic of the monitor: worked numbers, what it may claim of few prompts, and by simulation how often it errs. */
#include "base/philox.h"
#include "evaluate/alarm.h"
#include "evaluate/distribution.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

enum { PROMPTS = 32, SAMPLES = 4, PICTURES = PROMPTS * SAMPLES };

static void near(double value, double expected, double tolerance)
{
    if (!(fabs(value - expected) <= tolerance))
        fail_msg("%.17g; expected %.17g within %g", value, expected, tolerance);
}

/* P(T >= t) of three degrees of freedom, in closed form. */
static double above_of_three(double t)
{
    double u = t / sqrt(3);
    return 0.5 - (u / (1 + u * u) + atan(u)) / M_PI;
}

static void a_change_is_students_t_of_prompts(void **state)
{
    (void)state;
    /* four prompts of five pictures; the differences' means are -1, 1, 2, 0.5: mean 0.625, squares 4.6875 */
    double before[20], now[20];
    const double means[4] = {-1, 1, 2, 0.5}, within[5] = {-3, 1, 2, -1, 1};
    for (int i = 0; i < 20; i++) {
        before[i] = 10 * (i / 5) + i % 3;
        now[i] = before[i] + means[i / 5] + within[i % 5];
    }
    dipp_change change = dipp_change_of(before, now, 4, 5, 0);
    assert_int_equal(change.units, 4);
    near(change.mean, 0.625, 1e-14);
    near(change.now - change.before, 0.625, 1e-14);
    near(change.error, sqrt(4.6875 / 3 / 4), 1e-14);
    near(change.rise, above_of_three(0.625 / change.error), 1e-12);
    near(change.fall, 1 - above_of_three(0.625 / change.error), 1e-12);
    dipp_change back = dipp_change_of(now, before, 4, 5, 0);
    assert_true(back.fall == change.rise && back.rise == change.fall && back.mean == -change.mean);
}

static void a_margin_is_no_fall(void **state)
{
    (void)state;
    double before[PROMPTS], now[PROMPTS], shifted[PROMPTS];
    for (int i = 0; i < PROMPTS; i++) {
        before[i] = i;
        now[i] = i - 0.5 + 0.25 * sin(i);
        shifted[i] = now[i] + 0.25;
    }
    dipp_change fallen = dipp_change_of(before, now, PROMPTS, 1, 0),
                beyond = dipp_change_of(before, now, PROMPTS, 1, 0.25);
    assert_true(beyond.mean == fallen.mean && beyond.rise == fallen.rise && beyond.fall > fallen.fall);
    near(beyond.fall / dipp_change_of(before, shifted, PROMPTS, 1, 0).fall, 1, 1e-9);
    assert_true(dipp_change_of(before, now, PROMPTS, 1, 0.6).fall > 0.5);
    for (int i = 0; i < PROMPTS; i++)
        now[i] = before[i] - 0.5; /* all by the margin and no more */
    assert_true(dipp_change_of(before, now, PROMPTS, 1, 0.5).fall == 1);
    near(dipp_change_of(before, now, PROMPTS, 1, 0.25).fall, ldexp(1, -PROMPTS), 0);
}

static void of_a_single_prompt_pictures_are_units(void **state)
{
    (void)state;
    const double before[4] = {0, 0, 0, 0}, now[4] = {-1, 1, 2, 0.5};
    dipp_change alone = dipp_change_of(before, now, 1, 4, 0), prompts = dipp_change_of(before, now, 4, 1, 0);
    assert_int_equal(alone.units, 4);
    assert_true(alone.mean == prompts.mean && alone.error == prompts.error && alone.rise == prompts.rise &&
                alone.fall == prompts.fall);
}

static void what_is_not_finite_or_not_named_is_left_out(void **state)
{
    (void)state;
    double before[PICTURES], now[PICTURES];
    for (int i = 0; i < PICTURES; i++) {
        before[i] = i % 7;
        now[i] = before[i] - 1 - i % SAMPLES;
    }
    dipp_change whole = dipp_change_of(before, now, PROMPTS, SAMPLES, 0);
    before[1] = NAN; /* 2 of a difference of 2: the prompt's mean becomes (1 + 3 + 4) / 3 */
    for (int i = 0; i < SAMPLES; i++)
        now[5 * SAMPLES + i] = i % 2 ? INFINITY : NAN; /* a whole prompt */
    dipp_change part = dipp_change_of(before, now, PROMPTS, SAMPLES, 0);
    assert_int_equal(whole.units, PROMPTS);
    assert_int_equal(part.units, PROMPTS - 1);
    near(whole.mean, -2.5, 1e-14);
    near(part.mean, -(2.5 * (PROMPTS - 2) + 8.0 / 3) / (PROMPTS - 1), 1e-13);
    for (int i = 0; i < PICTURES; i++)
        now[i] = NAN;
    part = dipp_change_of(before, now, PROMPTS, SAMPLES, 0);
    assert_true(part.units == 0 && part.rise == 1 && part.fall == 1 && part.mean == 0 && part.now == 0);
}

static void few_signs_carry_little(void **state)
{
    (void)state;
    double before[PROMPTS], now[PROMPTS];
    for (int i = 0; i < PROMPTS; i++)
        before[i] = now[i] = 1;
    dipp_change same = dipp_change_of(before, now, PROMPTS, 1, 0);
    assert_true(same.rise == 1 && same.fall == 1 && same.error == 0);
    now[0] = 0;
    assert_true(dipp_change_of(before, now, PROMPTS, 1, 0).fall >= 0.5); /* one prompt fell: a coin's throw */
    for (int i = 0; i < 6; i++)
        now[i] = 0;
    dipp_change six = dipp_change_of(before, now, PROMPTS, 1, 0);
    assert_true(dipp_student_two_sided(six.mean / six.error, PROMPTS - 1) / 2 < 1.0 / 64); /* t alone would say more */
    near(six.fall, 1.0 / 64, 0);
    for (int i = 0; i < PROMPTS; i++)
        now[i] = 0; /* all by the same: t is infinite */
    near(dipp_change_of(before, now, PROMPTS, 1, 0).fall, ldexp(1, -PROMPTS), 0);
    near(dipp_change_of(before, now, PROMPTS, 1, 0).rise, 1, 0);
    assert_true(dipp_change_of(before, now, 1, 1, 0).fall == 1); /* one unit says nothing */
}

static void both_sides_must_speak(void **state)
{
    (void)state;
    const dipp_change rewards[2] = {{.units = 9, .mean = 1, .rise = 0.4, .fall = 0.6},
                                    {.units = 9, .mean = 2, .rise = 0.001, .fall = 0.999}};
    const dipp_change judges[3] = {{.units = 9, .mean = -0.1, .rise = 0.98, .fall = 0.02},
                                   {.units = 9, .mean = -0.2, .rise = 0.996, .fall = 0.004},
                                   {.units = 9, .mean = 0.1, .rise = 0.3, .fall = 0.7}};
    dipp_alarm alarm = dipp_alarm_of(rewards, 2, judges, 3, 5);
    assert_true(alarm.reward == 1 && alarm.judge == 1);
    near(alarm.p, 0.004 * 3 * 5, 1e-15);
    near(alarm.evidence, -log10(0.06), 1e-14);
    near(dipp_alarm_of(rewards, 1, judges, 3, 5).p, 0.4 * 5, 1e-15);
    near(dipp_alarm_of(rewards, 2, judges + 2, 1, 1).p, 0.7, 1e-15);
    assert_true(dipp_alarm_of(rewards, 0, judges, 3, 5).p == 1);
    assert_true(dipp_alarm_of(rewards, 2, judges, 0, 5).p == 1);
    assert_true(dipp_alarm_by_margin(rewards, 2, judges, 3, 0.15, &alarm));
    assert_true(alarm.reward == 1 && alarm.judge == 1);
    assert_false(dipp_alarm_by_margin(rewards, 2, judges, 3, 0.2, &alarm)); /* by more than the margin */
    assert_false(dipp_alarm_by_margin(rewards, 2, judges + 2, 1, 0, &alarm));
    const dipp_change lower = {.units = 9, .mean = -1, .rise = 0.9, .fall = 0.1};
    assert_false(dipp_alarm_by_margin(&lower, 1, judges, 3, 0, &alarm));
}

/* ---- How often it errs ---- */

enum { LOOKS = 10, RUNS = 4000, JUDGES = 2 };
static const uint64_t seed = 20261126;

/* A judge that says 0 or 1 with the prompt's own chance, drawn anew at each look (or kept with the probability `kept`), so
 * nothing has fallen; and one that is a random walk from look to look with a spread of its own for each prompt. */
static double false_alarms(double kept)
{
    static float normal[LOOKS][PICTURES];
    static double start[JUDGES][PICTURES], now[JUDGES][PICTURES], zero[PICTURES], up[PICTURES];
    uint32_t alarms = 0;
    for (int i = 0; i < PICTURES; i++)
        up[i] = 1 + i; /* the reward has risen beyond doubt */
    for (uint32_t run = 0; run < RUNS; run++) {
        bool fired = false;
        for (int look = 0; look < LOOKS; look++)
            dipp_philox_normal_fill(normal[look], PICTURES, 1, seed, 1 + (uint32_t)look, 0, run);
        for (int look = -1; look < LOOKS && !fired; look++) {
            for (uint32_t i = 0; i < PICTURES; i++) {
                double chance = 0.5 + 0.45 * sin(1.0 + i / SAMPLES);
                double u = dipp_philox_uniform_double(seed, 20, run, i, 2 * (uint32_t)(look + 1));
                double v = dipp_philox_uniform_double(seed, 20, run, i, 2 * (uint32_t)(look + 1) + 1);
                if (look < 0) {
                    start[0][i] = now[0][i] = u < chance;
                    start[1][i] = now[1][i] = 0;
                } else {
                    now[0][i] = v < kept ? now[0][i] : u < chance;
                    now[1][i] += (1 + i / SAMPLES % 3) * normal[look][i];
                }
            }
            if (look < 0)
                continue;
            dipp_change reward = dipp_change_of(zero, up, PROMPTS, SAMPLES, 0), judges[JUDGES];
            for (int j = 0; j < JUDGES; j++)
                judges[j] = dipp_change_of(start[j], now[j], PROMPTS, SAMPLES, 0);
            fired = dipp_alarm_of(&reward, 1, judges, JUDGES, LOOKS).p <= 0.05;
        }
        alarms += fired;
    }
    return (double)alarms / RUNS;
}

static void false_alarms_keep_to_the_level(void **state)
{
    (void)state;
    /* The level is 0.05; looks depend on each other (they share step 0), so less is used up. Three standard errors of
     * 4000 runs at 0.05 are 0.010. */
    double fresh = false_alarms(0), sticky = false_alarms(0.9);
    printf("false alarms at level 0.05 over %d looks and %d judges: %.4f of runs; where pictures hardly change: %.4f\n",
           LOOKS, JUDGES, fresh, sticky);
    assert_true(fresh > 0.008 && fresh < 0.06);
    assert_true(sticky > 0.003 && sticky < 0.06);
}

/* P(noncentral t > c) = E over V ~ chi2 of Phi(delta - c sqrt(V / freedom)). */
static double power_of(double delta, double c, double freedom)
{
    double sum = 0, step = 0.01;
    for (double v = step / 2; v < freedom + 40 * sqrt(freedom); v += step) {
        double density = exp((freedom / 2 - 1) * log(v) - v / 2 - lgamma(freedom / 2) - freedom / 2 * M_LN2);
        sum += density * dipp_normal_below(delta - c * sqrt(v / freedom)) * step;
    }
    return sum;
}

static void power_is_that_of_students_t(void **state)
{
    (void)state;
    static double before[PROMPTS], now[PROMPTS], up[PROMPTS], zero[PROMPTS];
    const double effects[] = {0.4, 0.6, 0.9}; /* fall of a prompt's mean in standard deviations of the differences */
    for (int i = 0; i < PROMPTS; i++)
        up[i] = 1 + i;
    dipp_change reward = dipp_change_of(zero, up, PROMPTS, 1, 0);
    for (size_t e = 0; e < sizeof effects / sizeof *effects; e++) {
        uint32_t found = 0;
        for (uint32_t run = 0; run < RUNS; run++) {
            float normal[PROMPTS];
            dipp_philox_normal_fill(normal, PROMPTS, 1, seed, 40, (uint32_t)e, run);
            for (int i = 0; i < PROMPTS; i++) {
                before[i] = i;
                now[i] = i - effects[e] + normal[i];
            }
            dipp_change judge = dipp_change_of(before, now, PROMPTS, 1, 0);
            found += dipp_alarm_of(&reward, 1, &judge, 1, LOOKS).p <= 0.05;
        }
        double c = dipp_student_half_width(2 * 0.05 / LOOKS, PROMPTS - 1);
        double expected = power_of(effects[e] * sqrt(PROMPTS), c, PROMPTS - 1), rate = (double)found / RUNS;
        printf(
            "a fall of %.1f sd over %d prompts is seen at one look of %d with probability %.3f; in %.3f of %d runs\n",
            effects[e], PROMPTS, LOOKS, expected, rate, RUNS);
        near(rate, expected, 3.5 * sqrt(expected * (1 - expected) / RUNS));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_change_is_students_t_of_prompts),
                                       cmocka_unit_test(a_margin_is_no_fall),
                                       cmocka_unit_test(of_a_single_prompt_pictures_are_units),
                                       cmocka_unit_test(what_is_not_finite_or_not_named_is_left_out),
                                       cmocka_unit_test(few_signs_carry_little),
                                       cmocka_unit_test(both_sides_must_speak),
                                       cmocka_unit_test(false_alarms_keep_to_the_level),
                                       cmocka_unit_test(power_is_that_of_students_t)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
