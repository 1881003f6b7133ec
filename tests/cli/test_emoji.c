/* The shipped weights and the experiments on them: how good the pictures are, and what a reward does to them. Minutes, so
 * only in the suite `long`. */
#include "cli_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

/* Into the folder of the test, from where the experiments find weights/ as they do from the source folder. */
static int setup(void **state)
{
    char path[4096];
    if (cli_setup(state) != 0)
        return -1;
    snprintf(path, sizeof path, "%s/weights", getenv("DIPP_SOURCE"));
    return symlink(path, "weights");
}

static void run_experiment(const char *name, const char *overrides)
{
    char arguments[4096];
    snprintf(arguments, sizeof arguments, "run %s/experiments/%s.yaml --db e.db --quiet %s", getenv("DIPP_SOURCE"),
             name, overrides);
    assert_int_equal(dipp(arguments), 0);
    assert_sound("e.db");
}

/* A metric's mean at a point of the only arm, in millionths. */
static int64_t mean_at(const char *metric, const char *point)
{
    char sql[256];
    snprintf(sql, sizeof sql, "SELECT CAST(mean*1e6 AS INTEGER) FROM leaderboard WHERE metric='%s' AND point='%s'",
             metric, point);
    return ask("e.db", sql);
}

static void test_quality(void **state)
{
    run_experiment("emoji-quality", "");
    assert_int_equal(ask("e.db", "SELECT count(DISTINCT prompt_id) FROM evaluations"), 200);
    assert_int_equal(ask("e.db", "SELECT max(sample)+1 FROM evaluations"), 8);
    print_message("glyph: reference %lld, start %lld; background: %lld, %lld millionths\n",
                  (long long)mean_at("glyph", "reference"), (long long)mean_at("glyph", "start"),
                  (long long)mean_at("background", "reference"), (long long)mean_at("background", "start"));
    assert_true(mean_at("glyph", "reference") >= 900000);
    assert_true(mean_at("glyph", "start") >= 750000);
    assert_true(mean_at("background", "reference") >= 980000);
    assert_true(mean_at("background", "start") >= 980000);
}

/* The same of the UNet on latents, in little. */
static void test_unet_quality(void **state)
{
    run_experiment("emoji-unet-quality", "evaluate.prompts.count=16 evaluate.samples=2");
    assert_int_equal(ask("e.db", "SELECT count(*) FROM evaluations JOIN metric_names USING(metric_id) JOIN "
                                 "evaluation_settings USING(settings_id) WHERE name='glyph' AND subject='reference'"),
                     32);
    print_message("glyph: reference %lld, start %lld; background: %lld, %lld millionths\n",
                  (long long)mean_at("glyph", "reference"), (long long)mean_at("glyph", "start"),
                  (long long)mean_at("background", "reference"), (long long)mean_at("background", "start"));
    assert_true(mean_at("glyph", "reference") >= 800000);
    assert_true(mean_at("glyph", "start") >= 700000);
    assert_true(mean_at("background", "reference") >= 950000);
    assert_true(mean_at("background", "start") >= 950000);
}

/* How many of the three seeds satisfy a condition on the runs of three arms and the glyph score before alignment. */
static int64_t seeds_where(const char *condition)
{
    char sql[1024];
    snprintf(sql, sizeof sql,
             "SELECT count(*) FROM summary none JOIN summary moderate USING(seed) JOIN summary large USING(seed), "
             "(SELECT mean AS glyph FROM leaderboard WHERE metric='glyph' AND point='start' LIMIT 1) start WHERE "
             "none.arm='none' AND moderate.arm='moderate' AND large.arm='large' AND %s",
             condition);
    return ask("e.db", sql);
}

static void test_scales(void **state)
{
    run_experiment("emoji-scales", "");
    assert_int_equal(ask("e.db", "SELECT count(*) FROM runs WHERE status='completed'"), 9);
    assert_int_equal(seeds_where("moderate.border>none.border"), 3);
    assert_int_equal(seeds_where("large.border>moderate.border"), 3);
    assert_int_equal(seeds_where("moderate.ikl>none.ikl"), 3);
    assert_int_equal(seeds_where("large.ikl>moderate.ikl"), 3);
    assert_int_equal(seeds_where("moderate.glyph>=start.glyph-0.10"), 3);
    /* without a reward, and with the guidance that it was trained with, the generator holds still */
    assert_int_equal(seeds_where("none.glyph>=start.glyph-0.03"), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_quality, setup, cli_teardown),
        cmocka_unit_test_setup_teardown(test_unet_quality, setup, cli_teardown),
        cmocka_unit_test_setup_teardown(test_scales, setup, cli_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
