/* Numbers worked out by hand, input that says nothing, and Holm's correction. */
#include "base/memory.h"
#include "evaluate/statistics.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void near(double value, double expected, double tolerance)
{
    if (!(fabs(value - expected) <= tolerance))
        fail_msg("%.17g; expected %.17g within %g", value, expected, tolerance);
}

static dipp_paired_statistics of(const dipp_paired_difference *pairs, size_t count, int direction)
{
    dipp_paired_statistics statistics;
    dipp_error error = {0};
    dipp_statistics_options options = {.direction = direction, .replicates = 1999};
    if (dipp_paired_statistics_of(pairs, count, &options, &statistics, &error) != DIPP_OK)
        fail_msg("%s", error.message);
    return statistics;
}

/* Five seeds of a set-level metric: 1 2 3 4 5 has mean 3, sd sqrt(2.5), t = 3 / sqrt(0.5) = 4.2426 with 4 degrees. */
static void seeds_of_a_set_metric_give_the_textbook_interval(void **state)
{
    (void)state;
    dipp_paired_difference pairs[5];
    for (int i = 0; i < 5; i++)
        pairs[i] = (dipp_paired_difference){10 + i, DIPP_WHOLE_SET, i + 1.0};
    dipp_paired_statistics s = of(pairs, 5, 1);
    assert_int_equal(s.seeds, 5);
    assert_int_equal(s.prompts, 0);
    near(s.mean, 3, 1e-15);
    near(s.sd, sqrt(2.5), 1e-14);
    near(s.over_seeds.low, 3 - 2.7764451 * sqrt(0.5), 1e-7);
    near(s.over_seeds.high, 3 + 2.7764451 * sqrt(0.5), 1e-7);
    near(s.p_t, 0.0132356, 1e-6);
    near(s.p_flip, 2.0 / 32, 1e-15);
    assert_null(s.no_claim_over_seeds);
    assert_true(isnan(s.over_prompts.low) && isnan(s.over_prompts.high) && isnan(s.p_prompts));
    assert_true(s.over_both.low >= 1 && s.over_both.low < 3 && s.over_both.high > 3 && s.over_both.high <= 5);
    assert_int_equal(s.by_pair.wins, 5);
    near(s.by_pair.rate, 1, 0);
    assert_int_equal(s.by_prompt.wins, 0);
    assert_true(isnan(s.by_prompt.rate));
    for (int i = 0; i < 5; i++) {
        assert_int_equal(s.by_seed[i].seed, 10 + i);
        near(s.by_seed[i].mean, i + 1.0, 0);
        assert_int_equal(s.by_seed[i].pairs, 1);
    }
    dipp_paired_statistics_clear(&s);
}

/* Two seeds, three prompts, two noises. A less-is-better metric turns wins round and nothing else. */
static void wins_are_counted_by_pair_and_by_prompt(void **state)
{
    (void)state;
    const dipp_paired_difference pairs[] = {
        {1, 7, 1}, {1, 7, -1}, {1, 8, 2}, {1, 8, 0}, {1, 9, -3}, {1, 9, 1},
        {0, 7, 0}, {0, 7, 0},  {0, 8, 1}, {0, 8, 1}, {0, 9, 1},  {0, 9, -2},
    };
    dipp_paired_statistics up = of(pairs, 12, 1), down = of(pairs, 12, -1), neither = of(pairs, 12, 0);
    assert_int_equal(up.by_pair.wins, 6);
    assert_int_equal(up.by_pair.ties, 3);
    assert_int_equal(up.by_pair.losses, 3);
    near(up.by_pair.rate, 7.5 / 12, 1e-15);
    assert_int_equal(up.by_prompt.wins, 1);   /* prompt 8 */
    assert_int_equal(up.by_prompt.ties, 1);   /* prompt 7 */
    assert_int_equal(up.by_prompt.losses, 1); /* prompt 9 */
    near(up.by_prompt.rate, 0.5, 0);
    near(up.p_prompts, 1, 0);
    assert_int_equal(down.by_pair.wins, 3);
    assert_int_equal(down.by_pair.losses, 6);
    near(down.mean, up.mean, 0);
    near(neither.mean, up.mean, 0);
    assert_true(isnan(neither.by_pair.rate) && isnan(neither.p_prompts));
    near(up.by_seed[0].mean, 1.0 / 6, 1e-15);
    near(up.by_seed[1].mean, 0, 1e-15);
    near(up.mean, 1.0 / 12, 1e-15);
    near(up.over_seeds.high - up.over_seeds.low, 2 * 12.7062047 * (1.0 / 6 / sqrt(2)) / sqrt(2), 1e-6);
    near(up.p_flip, 1, 0); /* one of two seeds is 0: every pattern reaches the observed sum */
    dipp_paired_statistics_clear(&up);
    dipp_paired_statistics_clear(&down);
    dipp_paired_statistics_clear(&neither);
}

static void the_order_of_pairs_changes_no_bit(void **state)
{
    (void)state;
    dipp_paired_difference pairs[60], shuffled[60];
    for (int i = 0; i < 60; i++)
        pairs[i] = (dipp_paired_difference){i % 3, i / 6, sin(i * 1.7) / 3};
    for (int i = 0; i < 60; i++)
        shuffled[i] = pairs[i * 37 % 60];
    dipp_paired_statistics a = of(pairs, 60, 1), b = of(shuffled, 60, 1);
    assert_memory_equal(&a.over_seeds, &b.over_seeds, sizeof a.over_seeds);
    assert_memory_equal(&a.over_both, &b.over_both, sizeof a.over_both);
    assert_memory_equal(&a.over_prompts, &b.over_prompts, sizeof a.over_prompts);
    assert_memory_equal(&a.mean, &b.mean, sizeof a.mean);
    dipp_paired_statistics again = of(pairs, 60, 1);
    assert_memory_equal(&a.over_both, &again.over_both, sizeof a.over_both);
    dipp_statistics_options other = {.random_seed = 5, .replicates = 1999};
    dipp_paired_statistics_clear(&again);
    assert_int_equal(dipp_paired_statistics_of(pairs, 60, &other, &again, NULL), DIPP_OK);
    assert_true(again.over_both.low != a.over_both.low);
    near(again.over_both.low, a.over_both.low, 0.03);
    dipp_paired_statistics_clear(&a);
    dipp_paired_statistics_clear(&b);
    dipp_paired_statistics_clear(&again);
}

static void one_seed_claims_nothing_over_seeds(void **state)
{
    (void)state;
    dipp_paired_difference pairs[40];
    for (int i = 0; i < 40; i++)
        pairs[i] = (dipp_paired_difference){3, i / 2, 1 + cos(i * 0.9)};
    dipp_paired_statistics s = of(pairs, 40, 1);
    assert_non_null(s.no_claim_over_seeds);
    assert_non_null(strstr(s.no_claim_over_seeds, "one seed"));
    assert_true(isnan(s.sd) && isnan(s.over_seeds.low) && isnan(s.over_both.low) && isnan(s.p_t) && isnan(s.p_flip));
    assert_true(s.over_prompts.low < s.mean && s.mean < s.over_prompts.high);
    dipp_paired_statistics_clear(&s);
    s = of(pairs, 1, 1); /* one picture */
    assert_true(isnan(s.over_prompts.low) && isnan(s.over_both.low));
    near(s.mean, 2, 1e-15);
    dipp_paired_statistics_clear(&s);
}

static void equal_seeds_claim_no_certainty(void **state)
{
    (void)state;
    for (int zero = 0; zero < 2; zero++) {
        dipp_paired_difference pairs[30];
        for (int i = 0; i < 30; i++)
            pairs[i] = (dipp_paired_difference){i % 3, i / 3, zero ? 0 : 0.1};
        dipp_paired_statistics s = of(pairs, 30, 1);
        assert_non_null(s.no_claim_over_seeds);
        assert_true(isnan(s.over_seeds.low) && isnan(s.p_t));
        near(s.p_flip, zero ? 1 : 2.0 / 8, 0);
        near(s.by_prompt.rate, zero ? 0.5 : 1, 0);
        dipp_paired_statistics_clear(&s);
    }
}

static void many_seeds_draw_their_sign_flips(void **state)
{
    (void)state;
    dipp_paired_difference pairs[40];
    for (int i = 0; i < 40; i++)
        pairs[i] = (dipp_paired_difference){i, DIPP_WHOLE_SET, 1 + 0.1 * i};
    dipp_paired_statistics s = of(pairs, 40, 1);
    near(s.p_flip, 1.0 / 2000, 1e-12); /* of 1,999 drawn patterns none reaches the sum of forty equal signs */
    dipp_paired_statistics_clear(&s);
    for (int i = 0; i < 40; i++)
        pairs[i].difference = i % 2 ? 1 : -1;
    s = of(pairs, 40, 1);
    near(s.p_flip, 1, 0);
    dipp_paired_statistics_clear(&s);
}

/* A prompt whose pictures were not finite in one seed lacks there; the seed's mean is over what it has. */
static void missing_prompts_are_left_out(void **state)
{
    (void)state;
    const dipp_paired_difference pairs[] = {{0, 0, 2}, {0, 1, 4}, {1, 1, 6}};
    dipp_paired_statistics s = of(pairs, 3, 1);
    near(s.by_seed[0].mean, 3, 0);
    near(s.by_seed[1].mean, 6, 0);
    near(s.mean, 4.5, 0);
    assert_true(s.over_both.low >= 2 && s.over_both.high <= 6 && s.over_prompts.low >= 2);
    dipp_paired_statistics_clear(&s);
}

static void bad_input_is_refused(void **state)
{
    (void)state;
    dipp_paired_statistics s;
    dipp_error error = {0};
    dipp_paired_difference pairs[] = {{0, 0, 1}, {0, 1, NAN}, {1, 0, INFINITY}};
    assert_int_equal(dipp_paired_statistics_of(pairs, 0, NULL, &s, &error), DIPP_E_INVALID);
    assert_int_equal(dipp_paired_statistics_of(pairs, 2, NULL, &s, &error), DIPP_E_INVALID);
    assert_non_null(strstr(error.message, "not finite"));
    assert_int_equal(dipp_paired_statistics_of(pairs + 2, 1, NULL, &s, &error), DIPP_E_INVALID);
    dipp_paired_difference twice[] = {{0, DIPP_WHOLE_SET, 1}, {0, DIPP_WHOLE_SET, 2}};
    assert_int_equal(dipp_paired_statistics_of(twice, 2, NULL, &s, &error), DIPP_E_INVALID);
    dipp_paired_difference mixed[] = {{0, DIPP_WHOLE_SET, 1}, {1, 0, 2}};
    assert_int_equal(dipp_paired_statistics_of(mixed, 2, NULL, &s, &error), DIPP_E_INVALID);
    dipp_paired_difference odd[] = {{0, -5, 1}};
    assert_int_equal(dipp_paired_statistics_of(odd, 1, NULL, &s, &error), DIPP_E_INVALID);
    const dipp_statistics_options wrong[] = {
        {.confidence = 1}, {.confidence = -0.5}, {.replicates = 5}, {.replicates = UINT32_MAX}, {.direction = 2}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(dipp_paired_statistics_of(pairs, 1, &wrong[i], &s, &error), DIPP_E_INVALID);
}

static void no_memory_is_an_error_and_no_leak(void **state)
{
    (void)state;
    const dipp_paired_difference pairs[] = {{0, 0, 1}, {0, 1, 2}, {1, 0, 3}, {1, 1, 4}};
    dipp_statistics_options options = {.replicates = 99};
    for (uint64_t nth = 1;; nth++) {
        dipp_paired_statistics s;
        dipp_memory_fail_nth(nth, false);
        dipp_status status = dipp_paired_statistics_of(pairs, 4, &options, &s, NULL);
        bool failed = dipp_memory_has_failed();
        dipp_memory_fail_nth(0, false);
        assert_int_equal(status, failed ? DIPP_E_MEMORY : DIPP_OK);
        if (!failed) {
            dipp_paired_statistics_clear(&s);
            break;
        }
    }
    dipp_memory_fail_nth(1, false);
    double p = 0.5;
    assert_int_equal(dipp_holm(&p, 1, &p, NULL), DIPP_E_MEMORY);
    dipp_memory_fail_nth(0, false);
}

/* Holm's own kind of example: 0.01 0.04 0.03 0.005 become 0.03 0.06 0.06 0.02. */
static void holm_corrects_for_the_family(void **state)
{
    (void)state;
    double p[] = {0.01, 0.04, NAN, 0.03, 0.005};
    const double expected[] = {0.03, 0.06, NAN, 0.06, 0.02};
    assert_int_equal(dipp_holm(p, 5, p, NULL), DIPP_OK);
    for (int i = 0; i < 5; i++)
        if (isnan(expected[i]))
            assert_true(isnan(p[i]));
        else
            near(p[i], expected[i], 1e-15);
    double equal[] = {0.02, 0.02, 0.9}, one[] = {0.2}, none[] = {NAN};
    assert_int_equal(dipp_holm(equal, 3, equal, NULL), DIPP_OK);
    near(equal[0], 0.06, 1e-15);
    near(equal[1], 0.06, 1e-15);
    near(equal[2], 0.9, 1e-15);
    assert_int_equal(dipp_holm(one, 1, one, NULL), DIPP_OK);
    near(one[0], 0.2, 0);
    assert_int_equal(dipp_holm(none, 1, none, NULL), DIPP_OK);
    assert_true(isnan(none[0]));
    assert_int_equal(dipp_holm(none, 0, none, NULL), DIPP_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seeds_of_a_set_metric_give_the_textbook_interval),
        cmocka_unit_test(wins_are_counted_by_pair_and_by_prompt),
        cmocka_unit_test(the_order_of_pairs_changes_no_bit),
        cmocka_unit_test(one_seed_claims_nothing_over_seeds),
        cmocka_unit_test(equal_seeds_claim_no_certainty),
        cmocka_unit_test(many_seeds_draw_their_sign_flips),
        cmocka_unit_test(missing_prompts_are_left_out),
        cmocka_unit_test(bad_input_is_refused),
        cmocka_unit_test(no_memory_is_an_error_and_no_leak),
        cmocka_unit_test(holm_corrects_for_the_family),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
