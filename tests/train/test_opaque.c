/* Opaque rewards in alignment: the same reward recorded and asked gives the same gradient, exactly where it supplies
 * its own and within five standard errors where it is estimated; noise, resume, NaN, mixing, and what is refused. */
#include "runner.h"

#include <stdlib.h>
#include <unistd.h>

static const char *const PLAIN = "center=[2]; curvature=1.5";

/* One SGD step at rate 1 without a divergence: the parameters move by minus the gradient of -alpha E r. */
static dipp_align_settings one_step(uint32_t batch)
{
    dipp_align_settings settings = runner_settings(&scenarios[VP_WBETA]);
    settings.divergence.kind = DIPP_DIVERGENCE_NONE;
    settings.batch = batch;
    settings.steps = 1;
    settings.optimizer.lr = 1;
    settings.rewards[0].scale = 0.6;
    return settings;
}

typedef struct moved {
    double mean[2], factor[4];
} moved;

static moved run_with(exact_choice choice, const char *reward, const char *parameters,
                      const dipp_align_settings *settings)
{
    moved m = {.factor = {0}};
    runner r;
    choice.rewards[0] = reward;
    choice.reward_parameters[0] = parameters;
    runner_open(&r, &choice, NULL, settings);
    runner_run(&r);
    exact_read(r.e.models->generator_set, "mean", m.mean);
    exact_read(r.e.models->generator_set, "factor", m.factor);
    runner_close(&r);
    return m;
}

/* With the same z the recorded gradient differs from the estimated one by the noise of the smoothing alone: per sample
 * -k (x - c) (e^2 - 1) with variance 2/P k^2 (x - c)^2. */
static void the_estimate_is_unbiased_for_a_quadratic(void **state)
{
    (void)state;
    enum { SAMPLES = 40000 };
    const double alpha = 0.6, k = 1.5, from = START_MEAN - 2, variance = START_FACTOR * START_FACTOR;
    for (uint32_t pairs = 1; pairs <= 4; pairs += 3) {
        dipp_align_settings settings = one_step(SAMPLES);
        settings.micro_batch = SAMPLES / 4;
        settings.rewards[0].sigma = 0.3;
        settings.rewards[0].pairs = pairs;
        moved recorded = run_with(runner_plain, "quadratic", PLAIN, &settings);
        moved asked = run_with(runner_plain, "opaque-quadratic", PLAIN, &settings);
        double unit = alpha * k * sqrt(2.0 / (pairs * (double)SAMPLES));
        double mean_error = unit * sqrt(from * from + variance), factor_error = unit * sqrt(from * from + 3 * variance);
        exact_near("d mu", asked.mean[0], recorded.mean[0], 0, 5 * mean_error);
        exact_near("d sig", asked.factor[0], recorded.factor[0], 0, 5 * factor_error);
        assert_true(fabs(asked.mean[0] - recorded.mean[0]) > 1e-3 * mean_error); /* it is an estimate */
    }
}

/* In several dimensions the noise of one mixes into the others: variance per component |g|^2 + g_i^2. */
static void noise_of_all_dimensions_averages_out(void **state)
{
    (void)state;
    enum { SAMPLES = 40000 };
    const double center[2] = {2, -1};
    exact_choice choice = {.schedule = runner_plain.schedule,
                           .reference_parameters = "mean=[0, 0]",
                           .generator = "mean=[-0.5, 0.5]; factor=[[1, 0], [0.3, 0.8]]"};
    const double mean[2] = {-0.5, 0.5}, variance[2] = {1, 0.73};
    dipp_align_settings settings = one_step(SAMPLES);
    settings.rewards[0].sigma = 0.2;
    settings.rewards[0].pairs = 2;
    moved recorded = run_with(choice, "quadratic", "center=[2, -1]", &settings);
    moved asked = run_with(choice, "opaque-quadratic", "center=[2, -1]", &settings);
    double square[2];
    for (int i = 0; i < 2; i++)
        square[i] = (mean[i] - center[i]) * (mean[i] - center[i]) + variance[i];
    for (int i = 0; i < 2; i++) {
        double error = 0.6 * sqrt((square[0] + square[1] + square[i]) / (2.0 * SAMPLES));
        exact_near("d mu", asked.mean[i], recorded.mean[i], 0, 5 * error);
    }
}

/* Twelve steps with everything on; floats at the host's door leave 1e-6. */
static void a_gradient_of_its_own_is_exact(void **state)
{
    (void)state;
    dipp_align_settings settings = runner_rich();
    settings.cfg_omega = 1;
    settings.rewards[0].scale = 0.6;
    moved recorded = run_with(runner_plain, "quadratic", PLAIN, &settings);
    moved asked = run_with(runner_plain, "opaque-quadratic", "center=[2]; curvature=1.5; gradient=true", &settings);
    exact_near("mean", asked.mean[0], recorded.mean[0], 1e-6, 0);
    exact_near("factor", asked.factor[0], recorded.factor[0], 1e-6, 0);
    assert_true(fabs(recorded.mean[0] - START_MEAN) > 0.05);
}

/* Through tanh(1.5 x0): both ways of getting a gradient go through the decoder. */
static void gradients_are_taken_through_the_decoder(void **state)
{
    (void)state;
    enum { SAMPLES = 20000 };
    exact_choice choice = {.schedule = runner_plain.schedule,
                           .reference = "bent",
                           .reference_parameters = "",
                           .generator = "mean=[-0.5, 0.5]; factor=[[0.6, 0], [0.3, 0.5]]"};
    dipp_align_settings settings = one_step(SAMPLES);
    settings.rewards[0].sigma = 0.02; /* the smoothed reward is within 1e-3 of the reward */
    settings.rewards[0].pairs = 4;
    moved recorded = run_with(choice, "quadratic", "center=[0.9, -0.9]", &settings);
    moved given = run_with(choice, "opaque-quadratic", "center=[0.9, -0.9]; gradient=true", &settings);
    moved estimated = run_with(choice, "opaque-quadratic", "center=[0.9, -0.9]", &settings);
    /* |d r/d x0| <= 1.5 * 1.9 in each of two dimensions bounds the noise of the estimate. */
    double error = 0.6 * sqrt(3 * 1.5 * 1.9 * 1.5 * 1.9 / (4.0 * SAMPLES));
    for (int i = 0; i < 2; i++) {
        assert_true(fabs(recorded.mean[i] - (i ? 0.5 : -0.5)) > 20 * error);
        exact_near("chained", given.mean[i], recorded.mean[i], 1e-6, 0);
        exact_near("estimated", estimated.mean[i], recorded.mean[i], 0, 5 * error + 1e-3);
    }
    for (int i = 0; i < 4; i++)
        exact_near("chained", given.factor[i], recorded.factor[i], 1e-6, 1e-7);
}

static void recorded_and_opaque_rewards_add_up(void **state)
{
    (void)state;
    dipp_align_settings settings = runner_rich();
    settings.cfg_omega = 1;
    settings.rewards[0].scale = 0.6;
    settings.rewards[1].scale = 0.4;
    double mean[2], logged[2][3];
    for (int opaque = 0; opaque < 2; opaque++) {
        exact_choice choice = runner_plain;
        choice.rewards[0] = opaque ? "opaque-quadratic" : "quadratic";
        choice.reward_parameters[0] = opaque ? "center=[2]; curvature=1.5; gradient=true" : PLAIN;
        choice.rewards[1] = "linear";
        choice.reward_parameters[1] = "direction=[0.8]";
        runner r;
        runner_open(&r, &choice, NULL, &settings);
        runner_run(&r);
        mean[opaque] = runner_number(r.e.models->generator_set, "mean");
        assert_true(
            runner_metric(&r, opaque ? "train/reward.opaque-quadratic" : "train/reward.quadratic", &logged[opaque][0]));
        assert_true(runner_metric(&r, "train/reward.linear", &logged[opaque][1]));
        assert_true(runner_metric(&r, "train/reward", &logged[opaque][2]));
        runner_close(&r);
    }
    exact_near("mean", mean[1], mean[0], 1e-6, 0);
    for (int i = 0; i < 3; i++)
        exact_near("logged", logged[1][i], logged[0][i], 1e-5, 0);
}

/* ---- Noise that belongs to the seed ---- */

static dipp_align_settings smoothed(void)
{
    dipp_align_settings settings = runner_rich();
    settings.cfg_omega = 1;
    settings.rewards[0] = (dipp_align_reward){.scale = 0.6, .sigma = 0.2, .pairs = 3};
    return settings;
}

static const exact_choice asked_choice = {
    .schedule = {.kind = DIPP_SCHEDULE_VP, .a = 0.1, .b = 19.9, .t_min = 1e-3, .t_max = 1},
    .rewards = {"opaque-quadratic"},
    .reward_parameters = {"center=[2]; curvature=1.5"}};

static void micro_batches_do_not_change_the_noise(void **state)
{
    (void)state;
    double mean[2];
    for (int i = 0; i < 2; i++) {
        dipp_align_settings settings = smoothed();
        settings.micro_batch = i ? 4 : 16;
        runner r;
        runner_open(&r, &asked_choice, NULL, &settings);
        runner_run(&r);
        mean[i] = runner_number(r.e.models->generator_set, "mean");
        runner_close(&r);
    }
    exact_near("mean", mean[1], mean[0], 1e-6, 0);
}

static void a_smoothed_run_goes_on_bit_for_bit(void **state)
{
    (void)state;
    char folder[] = "/tmp/dipp-opaque-XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/checkpoint.safetensors", folder);
    dipp_align_settings settings = smoothed();
    runner whole, rest;
    runner_open(&whole, &asked_choice, NULL, &settings);
    runner_saver at = {path, 5};
    dipp_align_observer observer = {.context = &at, .after_step = runner_save_at};
    CHECK(dipp_align_run(whole.align, &observer, error));
    size_t count;
    double *end = runner_state(&whole, &count);
    runner_open(&rest, &asked_choice, NULL, &settings);
    CHECK(dipp_align_load(rest.align, path, error));
    runner_run(&rest);
    double *resumed = runner_state(&rest, &count);
    assert_memory_equal(resumed, end, count * sizeof *end);
    test_free(resumed);
    test_free(end);
    runner_close(&rest);
    runner_close(&whole);
    unlink(path);
    rmdir(folder);
}

/* ---- What goes wrong ---- */

typedef struct history {
    double state[64];
    const dipp_models *models;
} history;

static dipp_status keep(void *context, dipp_align *align, int64_t step, dipp_error *error)
{
    history *t = context;
    t->state[step] = runner_number(t->models->generator_set, "mean");
    return DIPP_OK;
}

/* x above 2.2 has no score: 2.1 standard deviations off at first, so that some steps of 8 samples meet one. */
static void a_score_that_is_none_skips_the_update_and_is_counted(void **state)
{
    (void)state;
    for (int own = 0; own < 2; own++) {
        exact_choice choice = asked_choice;
        choice.reward_parameters[0] = own ? "center=[0]; none_above=2.2; gradient=true" : "center=[0]; none_above=2.2";
        dipp_align_settings settings = smoothed();
        settings.batch = 8;
        settings.steps = 40;
        settings.optimizer.lr = 1e-4;
        runner r;
        runner_open(&r, &choice, NULL, &settings);
        history t = {.models = r.e.models};
        CHECK(dipp_align_run(r.align, &(dipp_align_observer){.context = &t, .after_step = keep}, error));
        runner_close(&r);
        int still = 0;
        for (int n = 0; n < 40; n++)
            still += t.state[n + 1] == t.state[n];
        assert_in_range(still, 1, 39);
        runner_open(&r, &choice, NULL, &settings);
        runner_run(&r);
        double skipped;
        assert_true(runner_metric(&r, "train/skipped", &skipped));
        assert_int_equal((int)skipped, still);
        runner_close(&r);
    }
}

/* Of 1 + 3 calls a step after the one before the first: the unmoved samples of the second step have no score
 * although all moved ones have. */
static void the_score_that_is_logged_counts_too(void **state)
{
    (void)state;
    exact_choice choice = asked_choice;
    choice.reward_parameters[0] = "center=[2]; none_at_call=5";
    dipp_align_settings settings = smoothed();
    settings.micro_batch = 0;
    settings.steps = 4;
    runner r;
    double skipped;
    runner_open(&r, &choice, NULL, &settings);
    runner_run(&r);
    assert_true(runner_metric(&r, "train/skipped", &skipped) && skipped == 1);
    runner_close(&r);
}

static void what_cannot_be_done_is_said_before_the_first_step(void **state)
{
    (void)state;
    static const struct {
        const char *parameters, *text;
        dipp_status status;
    } cases[] = {
        {"center=[2]", "rewards[0].smoothing: {sigma: 0.1, pairs: 8}", DIPP_E_INVALID},
        {"center=[2]; fails=true", "reward opaque-quadratic: the judge is out", DIPP_E_PLUGIN},
        {"center=[2, 3]", "reward opaque-quadratic: expected samples of 2 numbers", DIPP_E_INVALID},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dipp_align_settings settings = smoothed();
        settings.rewards[0].sigma = 0;
        exact_choice choice = asked_choice;
        choice.reward_parameters[0] = cases[i].parameters;
        exact e;
        exact_open(&e, &choice);
        dipp_prompt_table *prompts;
        CHECK(dipp_prompt_table_create(e.models, NULL, 0, &prompts, error));
        dipp_align *align = NULL;
        dipp_error error = {0};
        assert_int_equal(dipp_align_create(e.models, prompts, &settings, NULL, &align, &error), cases[i].status);
        assert_null(align);
        if (!strstr(error.message, cases[i].text))
            fail_msg("expected \"%s\" in \"%s\"", cases[i].text, error.message);
        dipp_prompt_table_destroy(&prompts);
        exact_close(&e);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_estimate_is_unbiased_for_a_quadratic),
        cmocka_unit_test(noise_of_all_dimensions_averages_out),
        cmocka_unit_test(a_gradient_of_its_own_is_exact),
        cmocka_unit_test(gradients_are_taken_through_the_decoder),
        cmocka_unit_test(recorded_and_opaque_rewards_add_up),
        cmocka_unit_test(micro_batches_do_not_change_the_noise),
        cmocka_unit_test(a_smoothed_run_goes_on_bit_for_bit),
        cmocka_unit_test(a_score_that_is_none_skips_the_update_and_is_counted),
        cmocka_unit_test(the_score_that_is_logged_counts_too),
        cmocka_unit_test(what_cannot_be_done_is_said_before_the_first_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
