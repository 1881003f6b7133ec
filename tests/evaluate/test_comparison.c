/* Arms of the synthetic store against each other: every number follows from the formulas in synthetic.h. */
#include "../store/synthetic.h"

#include "evaluate/comparison.h"

#include <math.h>
#include <string.h>

typedef struct fixture {
    dipp_store *store;
    dipp_comparison *comparison;
} fixture;

static fixture make(void **state, const dipp_comparison_options *options)
{
    test_directory *directory = *state;
    fixture made = {0};
    dipp_error error = {0};
    assert_ok(dipp_store_open(directory->store, NULL, &made.store, &error), error);
    if (number_of(made.store, "SELECT count(*) FROM runs") == 0)
        fill_synthetic(made.store);
    if (options)
        assert_ok(dipp_comparison_create(made.store, options, &made.comparison, &error), error);
    return made;
}

static void drop(fixture *made)
{
    dipp_comparison_destroy(&made->comparison);
    dipp_store_close(&made->store);
}

static void near(double value, double expected)
{
    if (!(fabs(value - expected) < 1e-12))
        fail_msg("%.17g; expected %.17g", value, expected);
}

static const dipp_compared_metric *metric_of(const fixture *made, const char *name)
{
    size_t count = 0;
    const dipp_compared_metric *metrics = dipp_comparison_metrics(made->comparison, &count);
    for (size_t i = 0; i < count; i++)
        if (!strcmp(metrics[i].metric, name))
            return &metrics[i];
    fail_msg("%s is not compared", name);
    return NULL;
}

static const dipp_compared_arm *arm_of(const dipp_compared_metric *metric, const char *name)
{
    for (size_t i = 0; i < metric->arm_count; i++)
        if (!strcmp(metric->arms[i].arm, name))
            return &metric->arms[i];
    return NULL;
}

static void final_scores_pair_by_prompt_and_noise(void **state)
{
    fixture made = make(state, &(dipp_comparison_options){.experiment = "emoji-rewards"});
    size_t count = 0;
    dipp_comparison_metrics(made.comparison, &count);
    assert_int_equal(count, 4); /* border, diversity, hps and ikl */
    assert_string_equal(dipp_comparison_baseline(made.comparison), "cfg-only");
    const dipp_compared_metric *hps = metric_of(&made, "hps");
    assert_int_equal(hps->direction, 1);
    assert_int_equal(hps->images_seen, 12800);
    assert_string_equal(hps->prompt_set, "emoji eval");
    near(hps->reference, 0.3);
    near(hps->before, 0.2 + 0.015 + 0.0005 + 0.002);
    assert_int_equal(hps->arm_count, 3);
    assert_true(hps->arms[0].baseline);
    assert_int_equal(hps->arms[0].difference.seeds, 0);
    near(hps->arms[0].mean, 0.2175 + 0.02);
    const dipp_compared_arm *reward = arm_of(hps, "reward"), *own = arm_of(hps, "hps");
    assert_false(reward->trained_on);
    assert_true(own->trained_on);
    assert_int_equal(reward->seeds, 3); /* the fourth failed */
    assert_int_equal(reward->difference.seeds, 3);
    assert_int_equal(reward->difference.pairs, 24);
    near(reward->difference.mean, (0.03 + 0.03 - 0.01) / 4);
    assert_int_equal(reward->difference.by_pair.wins, 12);
    assert_int_equal(reward->difference.by_pair.ties, 6);
    assert_int_equal(reward->difference.by_pair.losses, 6);
    assert_int_equal(reward->difference.by_prompt.wins, 2);
    assert_non_null(reward->difference.no_claim_over_seeds); /* every seed has the very same difference */
    assert_true(isnan(reward->p_holm));
    assert_int_equal(own->difference.pairs, 7); /* one score is NaN */
    near(own->difference.mean, 0.04);
    assert_true(isnan(own->difference.over_seeds.low)); /* one seed */
    const dipp_compared_metric *diversity = metric_of(&made, "diversity");
    assert_int_equal(arm_of(diversity, "reward")->difference.prompts, 0);
    near(arm_of(diversity, "reward")->difference.mean, 0.5 - 0.8);
    drop(&made);
}

static void at_equal_images_another_step_is_compared(void **state)
{
    fixture made =
        make(state, &(dipp_comparison_options){
                        .experiment = "emoji-rewards", .metric = "hps", .at = DIPP_COMPARE_IMAGES, .level = 6400});
    near(arm_of(metric_of(&made, "hps"), "reward")->difference.mean, 0.0125 / 2);
    near(arm_of(metric_of(&made, "hps"), "cfg-only")->mean, 0.2275);
    drop(&made);
    made =
        make(state, &(dipp_comparison_options){
                        .experiment = "emoji-rewards", .metric = "diversity", .at = DIPP_COMPARE_IMAGES, .level = 0});
    near(arm_of(metric_of(&made, "diversity"), "reward")->difference.mean, 0);
    drop(&made);
}

/* IKL 1.5 lies half way between cfg-only's last two evaluations and half way in reward's first interval. */
static void at_equal_ikl_scores_are_interpolated(void **state)
{
    fixture made =
        make(state, &(dipp_comparison_options){
                        .experiment = "emoji-rewards", .metric = "border", .at = DIPP_COMPARE_IKL, .level = 1.5});
    const dipp_compared_metric *border = metric_of(&made, "border");
    assert_int_equal(border->images_seen, -1);
    near(arm_of(border, "cfg-only")->mean, 0.15);
    near(arm_of(border, "reward")->mean, 0.3);
    near(arm_of(border, "reward")->difference.mean, 0.15);
    assert_int_equal(arm_of(border, "reward")->difference.seeds, 3);
    assert_null(arm_of(border, "hps")); /* never went so far */
    drop(&made);
    made = make(state, &(dipp_comparison_options){
                           .experiment = "emoji-rewards", .metric = "border", .at = DIPP_COMPARE_IKL, .level = 1});
    near(arm_of(metric_of(&made, "border"), "hps")->difference.mean, -0.1); /* at a vertex, which both reach */
    drop(&made);
}

static void another_baseline_turns_the_difference_round(void **state)
{
    fixture made = make(state, &(dipp_comparison_options){.experiment = "emoji-rewards", .baseline = "reward"});
    near(arm_of(metric_of(&made, "hps"), "cfg-only")->difference.mean, -0.0125);
    near(arm_of(metric_of(&made, "hps"), "cfg-only")->difference.by_pair.rate, 9.0 / 24);
    drop(&made);
}

/* Seeds that differ claim an interval, and three arms are corrected for. */
static void arms_are_corrected_for_their_number(void **state)
{
    fixture made = make(state, NULL);
    dipp_error error = {0};
    char sha[65];
    dipp_store_experiment experiment;
    dipp_plugin_record judge = {.kind = "metric", .name = "judge", .version = "1"};
    const dipp_prompt_record prompts[] = {{"a dog", NULL, NULL}, {"a cat", NULL, NULL}};
    dipp_evaluation_settings settings = {.sampler_steps = 1, .cfg_omega = 1, .images_seen = 10};
    int64_t scorer, set, settings_id;
    assert_ok(dipp_store_experiment_put(made.store, "three", "name: three\n", fake_sha256("three", sha), NULL,
                                        &experiment, &error),
              error);
    assert_ok(dipp_store_scorer_put(made.store, &judge, NULL, &scorer, &error), error);
    assert_ok(dipp_store_prompt_set_put(made.store, "one", fake_sha256("two", sha), prompts, 2, &set, &error), error);
    assert_ok(dipp_store_settings_put(made.store, &settings, &settings_id, &error), error);
    for (int arm = 0; arm < 3; arm++)
        for (int seed = 0; seed < 5; seed++) {
            char name[2] = {(char)('a' + arm), 0};
            dipp_run_spec spec = {.experiment_id = experiment.experiment_id,
                                  .revision = 1,
                                  .arm = name,
                                  .seed = seed,
                                  .config_sha256 = fake_sha256(name, sha)};
            dipp_run_ref run;
            double value = arm ? seed + (double)arm : 0; /* of both prompts, under one noise */
            dipp_evaluation_row rows[] = {{"glyph", scorer, 0, 0, 1, value, 0}, {"glyph", scorer, 1, 0, 1, value, 0}};
            assert_ok(dipp_store_run_create(made.store, &spec, &run, &error), error);
            assert_ok(dipp_store_evaluations_put(made.store, run.run_id, 1, settings_id, set, rows, 2, &error), error);
            assert_ok(dipp_store_run_finish(made.store, run.run_id, DIPP_RUN_COMPLETED, 0, -1, NULL, NULL, &error),
                      error);
        }
    assert_int_equal(
        dipp_comparison_create(made.store, &(dipp_comparison_options){.experiment = "three"}, &made.comparison, &error),
        DIPP_E_INVALID);
    assert_non_null(strstr(error.message, "names no baseline"));
    assert_ok(dipp_comparison_create(made.store, &(dipp_comparison_options){.experiment = "three", .baseline = "a"},
                                     &made.comparison, &error),
              error);
    const dipp_compared_metric *glyph = metric_of(&made, "glyph");
    const dipp_compared_arm *b = arm_of(glyph, "b"), *c = arm_of(glyph, "c");
    assert_int_equal(b->difference.pairs, 10); /* each prompt with itself alone */
    near(b->difference.mean, 3);               /* 1 2 3 4 5: the example of test_statistics.c */
    assert_true(fabs(b->difference.p_t - 0.0132356) < 1e-6);
    assert_true(c->difference.p_t < b->difference.p_t);
    near(c->p_holm, 2 * c->difference.p_t);
    near(b->p_holm, b->difference.p_t < c->p_holm ? c->p_holm : b->difference.p_t);
    drop(&made);
}

static void what_cannot_be_compared_is_explained(void **state)
{
    fixture made = make(state, NULL);
    dipp_error error = {0};
    const struct {
        dipp_comparison_options options;
        const char *text;
    } wrong[] = {
        {{.experiment = "nothing"}, "there is no experiment nothing"},
        {{.experiment = "emoji-rewards", .baseline = "cfgonly"}, "cfg-only@"},
        {{.experiment = "emoji-rewards", .baseline = "reward@zzzz"}, "reward@"},
        {{.experiment = "emoji-rewards", .metric = "hqs"}, "border, diversity, hps, ikl"},
        {{.experiment = "emoji-rewards", .at = DIPP_COMPARE_IMAGES, .level = 7}, "0, 6400, 12800"},
        {{.experiment = "emoji-rewards", .at = DIPP_COMPARE_IKL, .level = 70},
         "cfg-only 0 to 2, hps 0 to 1, reward 0 to 5"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(dipp_comparison_create(made.store, &wrong[i].options, &made.comparison, &error),
                         DIPP_E_NOT_FOUND);
        if (!strstr(error.message, wrong[i].text))
            fail_msg("expected `%s` in: %s", wrong[i].text, error.message);
    }
    drop(&made);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(final_scores_pair_by_prompt_and_noise, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(at_equal_images_another_step_is_compared, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(at_equal_ikl_scores_are_interpolated, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(another_baseline_turns_the_difference_round, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(arms_are_corrected_for_their_number, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(what_cannot_be_compared_is_explained, make_directory, remove_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
