/* dipp_align with terms of their own: CFG's weight and noise, the logged IKL's weighting, score distances, generators of
 * several steps, and rewards whose scale follows a ramp or a ratio of gradients. */
#include "runner.h"

#include "train/sampler.h"

#include <stdlib.h>
#include <unistd.h>

/* One SGD step at rate 1 of a large batch: minus the gradient of (mu, sig). */
static void one_step(const exact_choice *choice, const char *label, const dipp_align_settings *like, double start_mean,
                     double start_factor, double out[2])
{
    dipp_align_settings settings = *like;
    settings.steps = 1;
    settings.ta_updates = 0; /* the TA starts at the generator: exact */
    settings.optimizer.lr = 1;
    runner r;
    runner_open(&r, choice, label, &settings);
    runner_run(&r);
    out[0] = start_mean - runner_number(r.e.models->generator_set, "mean");
    out[1] = start_factor - runner_number(r.e.models->generator_set, "factor");
    runner_close(&r);
}

enum { SAMPLES = 100000 };

static dipp_align_settings large_batch(void)
{
    dipp_align_settings settings = runner_settings(&scenarios[VP_WBETA]);
    settings.batch = SAMPLES;
    settings.micro_batch = SAMPLES / 10;
    return settings;
}

/* ---- Divergences ---- */

/* A batch drawn through Philox noise and the law of times gives the gradients that finite sums give, within 5 %. */
static void distances_are_estimated_without_bias(void **state)
{
    (void)state;
    const scenario *s = &scenarios[VP_WBETA];
    const dipp_divergence_spec specs[] = {{.kind = DIPP_DIVERGENCE_SCORE_L2},
                                          {.kind = DIPP_DIVERGENCE_SCORE_HUBER, .huber = 0.5},
                                          {.kind = DIPP_DIVERGENCE_SID, .alpha = 1.2}};
    exact e;
    exact_open(&e, &(exact_choice){.schedule = s->sampler.schedule});
    nodes at;
    nodes_scalar_across(&at, s, START_FACTOR, 12, 161);
    for (int k = 0; k < 3; k++) {
        exact_program p;
        double want[2], found[2];
        exact_record_generator(&p, &e, &at, &specs[k], exact_divergence, 0);
        exact_run(&p, "", 1);
        exact_gradient(e.models->generator_set, "mean", &want[0]);
        exact_gradient(e.models->generator_set, "factor", &want[1]);
        exact_program_close(&p);
        dipp_align_settings settings = large_batch();
        settings.divergence = specs[k];
        one_step(&runner_plain, NULL, &settings, START_MEAN, START_FACTOR, found);
        for (int i = 0; i < 2; i++)
            exact_near("a batch's gradient", found[i], want[i], 0.05, 0);
    }
    nodes_release(&at);
    exact_close(&e);
}

/* Whatever the divergence and its weight, the logged IKL is that of the weighting asked for. */
static void the_logged_ikl_is_the_same_for_every_divergence(void **state)
{
    (void)state;
    const dipp_divergence_spec specs[] = {{.kind = DIPP_DIVERGENCE_IKL},
                                          {.normalise = DIPP_NORMALISE_DMD},
                                          {.kind = DIPP_DIVERGENCE_SCORE_L2},
                                          {.kind = DIPP_DIVERGENCE_SCORE_HUBER, .huber = 1},
                                          {.kind = DIPP_DIVERGENCE_SID, .alpha = 1, .normalise = DIPP_NORMALISE_SID}};
    double first = 0, value;
    for (int k = 0; k < 5; k++) {
        dipp_align_settings settings = runner_settings(&scenarios[VP_WBETA]);
        settings.batch = 2000;
        settings.steps = 1;
        settings.optimizer.lr = settings.ta_optimizer.lr = 0;
        settings.divergence = specs[k];
        settings.time.weighting = k ? DIPP_WEIGHT_DATA_L2 : DIPP_WEIGHT_BETA;
        settings.ikl_weight = (dipp_term_weight){k > 0, DIPP_WEIGHT_BETA, DIPP_MEASURE_DT};
        runner r;
        runner_open(&r, &runner_plain, NULL, &settings);
        runner_run(&r);
        assert_true(runner_metric(&r, "ikl", &value));
        exact_near("the IKL", value, scenarios[VP_WBETA].ikl, 0.1, 0);
        if (k == 0)
            first = value;
        exact_near("the logged IKL", value, first, 1e-12, 0);
        runner_close(&r);
    }
}

/* ---- The CFG term ---- */

/* The gradient of the guided mixture at omega, by finite sums under a sampler. */
static void guided_sum(const scenario *s, double omega, double out[2])
{
    exact e;
    nodes at;
    exact_program p;
    exact_open(&e, &runner_mixed);
    nodes_scalar(&at, s, 0.8, 12, 161);
    exact_record_generator(&p, &e, &at, &(dipp_divergence_spec){.guided = true}, exact_divergence, 0);
    exact_run(&p, "plus", omega);
    exact_gradient(e.models->generator_set, "mean", &out[0]);
    exact_gradient(e.models->generator_set, "factor", &out[1]);
    exact_program_close(&p);
    nodes_release(&at);
    exact_close(&e);
}

/* A weight of its own at the same draws, the same integral at draws of another law, and another integral at draws of its
 * own: each gives the divergence's gradient plus (omega - 1) times the slope of its own sampler. */
static void cfg_has_a_weight_and_a_law_of_its_own(void **state)
{
    (void)state;
    const dipp_time_law law = {.kind = DIPP_TIME_LOG_NORMAL, .mean = -0.3, .std = 1.2};
    scenario own = scenarios[VP_W1];
    own.sampler.law = law;
    own.sampler.measure = DIPP_MEASURE_LAW;
    const struct {
        const scenario *like;
        dipp_term_weight weight;
        bool apart;
    } cases[] = {{&scenarios[VP_WBETA], {false, 0, 0}, false},
                 {&scenarios[VP_W1], {true, DIPP_WEIGHT_SCORE1, DIPP_MEASURE_DT}, false},
                 {&scenarios[VP_WBETA], {false, 0, 0}, true},
                 {&own, {true, DIPP_WEIGHT_SCORE1, DIPP_MEASURE_LAW}, true}};
    double alone[2];
    guided_sum(&scenarios[VP_WBETA], 1, alone);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        double one[2], two[2], found[2];
        guided_sum(cases[k].like, 1, one);
        guided_sum(cases[k].like, 2, two);
        dipp_align_settings settings = large_batch();
        settings.cfg_omega = 4.5;
        settings.cfg_weight = cases[k].weight;
        settings.divergence.cfg_apart = cases[k].apart;
        settings.cfg_law = law;
        one_step(&runner_mixed, "plus", &settings, 0.3, 0.8, found);
        for (int i = 0; i < 2; i++)
            exact_near("guided gradient", found[i], alone[i] + 3.5 * (two[i] - one[i]), 0.03, 0);
    }
}

/* ---- Generators of several steps ---- */

static const char DENOISER[] = "mean=[0.7]; factor=[[0.9]]; sigma_init=2.5";

static exact_choice three_steps(bool last_only)
{
    return (exact_choice){.schedule = runner_plain.schedule,
                          .generator = DENOISER,
                          .ta = "mean=[0]; factor=[[0.7]]",
                          .rewards = {"linear"},
                          .reward_parameters = {"direction=[0.8]"},
                          .steps = {.count = 3, .last_only = last_only}};
}

/* Runs 12 iterations, and again from the checkpoint of the fifth: the same state, bit for bit. */
static void goes_on_bit_for_bit(const exact_choice *choice, const dipp_align_settings *settings)
{
    char folder[] = "/tmp/dipp-terms-XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/checkpoint.safetensors", folder);
    runner whole, rest;
    runner_open(&whole, choice, NULL, settings);
    runner_saver at = {path, 5};
    CHECK(dipp_align_run(whole.align, &(dipp_align_observer){.context = &at, .after_step = runner_save_at}, error));
    size_t count;
    double *end = runner_state(&whole, &count);
    runner_open(&rest, choice, NULL, settings);
    CHECK(dipp_align_load(rest.align, path, error));
    runner_run(&rest);
    double *found = runner_state(&rest, &count);
    assert_memory_equal(found, end, count * sizeof *found);
    test_free(found);
    test_free(end);
    runner_close(&rest);
    runner_close(&whole);
    unlink(path);
    rmdir(folder);
}

static void several_steps_and_ramps_go_on_after_a_checkpoint(void **state)
{
    (void)state;
    for (int last = 0; last < 2; last++) {
        dipp_align_settings settings = runner_rich();
        exact_choice choice = three_steps(last);
        settings.cfg_omega = 1;
        settings.divergence = (dipp_divergence_spec){.kind = DIPP_DIVERGENCE_SID, .alpha = 1};
        settings.rewards[0] = (dipp_align_reward){
            .scale = 0.5, .ramp = DIPP_RAMP_COSINE, .to = 1, .ramp_length = 8, .by_ratio = last == 1};
        goes_on_bit_for_bit(&choice, &settings);
    }
}

/* Evaluation draws with the same steps: mean and variance of x0 are those of the recursion. */
static void the_sampler_takes_the_same_steps(void **state)
{
    (void)state;
    exact_choice choice = three_steps(false);
    exact e;
    exact_open(&e, &choice);
    dipp_prompt_table *prompts;
    dipp_sampler *sampler;
    CHECK(dipp_prompt_table_create(e.models, NULL, 0, &prompts, error));
    CHECK(dipp_sampler_create(e.models, &(dipp_sampler_options){.batch = 1000}, &sampler, error));
    enum { DRAWN = 40000 };
    float *x0 = test_malloc(DRAWN * sizeof *x0);
    uint32_t *rows = test_malloc(DRAWN * sizeof *rows);
    memset(rows, 0, DRAWN * sizeof *rows);
    CHECK(dipp_sampler_draw(sampler, &prompts->reference, rows, DRAWN, 5, 0, NULL, x0, error));
    double mean = 0, variance = 0, ratio = 2.5, sum = 0, squares = 0;
    for (int k = 0; k < 3; k++, ratio *= 0.4) {
        double a, s;
        dipp_schedule_at(&choice.schedule, dipp_schedule_time_of(&choice.schedule, ratio), &a, &s);
        double h = a * 0.81 / (a * a * 0.81 + s * s);
        variance = h * h * (s * s + (k ? a * a * variance : 0));
        mean = 0.7 + h * ((k ? a * mean : 0) - a * 0.7);
    }
    for (int i = 0; i < DRAWN; i++) {
        sum += x0[i];
        squares += (x0[i] - mean) * (x0[i] - mean);
    }
    exact_near("mean", sum / DRAWN, mean, 0, 5 * sqrt(variance / DRAWN));
    exact_near("variance", squares / DRAWN, variance, 5 * sqrt(2.0 / DRAWN), 0);
    test_free(rows);
    test_free(x0);
    dipp_sampler_destroy(&sampler);
    dipp_prompt_table_destroy(&prompts);
    exact_close(&e);
}

/* ---- Rewards ---- */

static void ramps_follow_their_formula(void **state)
{
    (void)state;
    const dipp_align_reward linear = {.scale = 2, .ramp = DIPP_RAMP_LINEAR, .from = 0.5, .to = 1.5, .start = 2};
    dipp_align_reward cosine = linear, late = linear;
    cosine.ramp = DIPP_RAMP_COSINE;
    cosine.ramp_length = 4;
    late.end = 6;
    for (int64_t n = 0; n < 10; n++) {
        double part = (double)(n - 2) / 8;
        exact_near("linear over the run", dipp_reward_scale_at(&linear, n, 10), n < 2 ? 0 : 2 * (0.5 + part), 1e-15, 0);
        part = n < 6 ? (double)(n - 2) / 4 : 1;
        exact_near("cosine, then constant", dipp_reward_scale_at(&cosine, n, 10),
                   n < 2 ? 0 : 2 * (1 - 0.5 * cos(acos(-1) * part)), 1e-15, 0);
        exact_near("linear to its end", dipp_reward_scale_at(&late, n, 10), n < 2 || n >= 6 ? 0 : 2 * (0.5 + part),
                   1e-15, 0);
    }
}

/* Without a divergence a linear reward moves the mean by exactly rate * scale * b. */
static void a_ramped_reward_moves_the_mean_as_far_as_it_should(void **state)
{
    (void)state;
    dipp_align_settings settings = runner_settings(&scenarios[VP_WBETA]);
    settings.divergence.kind = DIPP_DIVERGENCE_NONE;
    settings.batch = 4;
    settings.steps = 10;
    settings.optimizer.lr = 0.1;
    settings.rewards[0] = (dipp_align_reward){.scale = 0.6, .ramp = DIPP_RAMP_LINEAR, .to = 1, .ramp_length = 5};
    runner r;
    double scale;
    runner_open(&r, &runner_plain, NULL, &settings);
    runner_run(&r);
    exact_near("mean", runner_number(r.e.models->generator_set, "mean"),
               START_MEAN + 0.1 * 0.48 * (0 + 0.2 + 0.4 + 0.6 + 0.8 + 5), 1e-12, 0);
    assert_true(runner_metric(&r, "train/scale.linear", &scale));
    exact_near("logged scale", scale, 0.6, 1e-12, 0);
    runner_close(&r);
}

/* The reward's gradient is as large as asked relative to the divergence's, in every iteration; the scale that follows is
 * logged, and a negative ratio lowers the score. */
static void a_ratio_of_gradients_is_kept(void **state)
{
    (void)state;
    for (int lowered = 0; lowered < 2; lowered++) {
        dipp_align_settings settings = runner_settings(&scenarios[VP_WBETA]);
        settings.steps = 6;
        settings.micro_batch = 32;
        settings.rewards[0] = (dipp_align_reward){.scale = lowered ? -0.3 : 0.3, .by_ratio = true};
        runner r;
        runner_open(&r, &runner_plain, NULL, &settings);
        runner_run(&r);
        double ratio, scale, divergence, reward, score, total;
        assert_true(runner_metric(&r, "train/ratio_reward_divergence", &ratio));
        assert_true(runner_metric(&r, "train/scale.linear", &scale));
        assert_true(runner_metric(&r, "train/dx0_divergence", &divergence));
        assert_true(runner_metric(&r, "train/dx0_reward", &reward));
        assert_true(runner_metric(&r, "train/reward.linear", &score));
        assert_true(runner_metric(&r, "train/reward", &total));
        exact_near("ratio", ratio, 0.3, 1e-12, 0);
        exact_near("sizes", reward, 0.3 * divergence, 1e-12, 0);
        exact_near("scaled reward", total, scale * score, 1e-12, 0);
        /* A linear reward's gradient is scale * 0.8/batch for each of 128 samples, whose scale varies by micro-batch. */
        exact_near("scale", fabs(scale), reward * sqrt(128) / 0.8, 0.1, 0);
        assert_true(lowered ? scale < 0 : scale > 0);
        runner_close(&r);
    }
    /* From a divergence of zero follows a scale of zero, and nothing that is not finite. */
    dipp_align_settings settings = runner_settings(&scenarios[VP_WBETA]);
    settings.steps = 1;
    settings.ta_updates = 0;
    settings.rewards[0] = (dipp_align_reward){.scale = 0.3, .by_ratio = true};
    exact_choice choice = runner_plain;
    choice.generator = "mean=[1]; factor=[[0.5]]";
    runner r;
    runner_open(&r, &choice, NULL, &settings);
    runner_run(&r);
    exact_near("mean", runner_number(r.e.models->generator_set, "mean"), 1, 1e-12, 0);
    double skipped;
    assert_true(runner_metric(&r, "train/skipped", &skipped) && skipped == 0);
    runner_close(&r);
    /* A reward without a gradient stays without one. */
    choice = runner_plain;
    choice.reward_parameters[0] = "direction=[0]";
    runner_open(&r, &choice, NULL, &settings);
    runner_run(&r);
    assert_true(runner_metric(&r, "train/skipped", &skipped) && skipped == 0);
    assert_true(runner_number(r.e.models->generator_set, "mean") > START_MEAN);
    runner_close(&r);
}

/* The ratio of a smoothed gradient: kept to the last digits although the gradient is an estimate, and the step is the one that a
 * fixed scale of the logged size takes. */
static void a_ratio_of_a_smoothed_gradient_is_kept(void **state)
{
    (void)state;
    exact_choice choice = runner_plain;
    choice.rewards[0] = "opaque-quadratic";
    choice.reward_parameters[0] = "center=[2]; curvature=1.5";
    dipp_align_settings settings = runner_settings(&scenarios[VP_WBETA]);
    settings.steps = 1;
    settings.optimizer.lr = 1;
    double moved[2], factor[2], scale, ratio, divergence, reward;
    for (int fixed = 0; fixed < 2; fixed++) {
        settings.rewards[0] = (dipp_align_reward){.scale = 0.3, .by_ratio = true, .sigma = 0.2, .pairs = 3};
        if (fixed)
            settings.rewards[0] = (dipp_align_reward){.scale = scale, .sigma = 0.2, .pairs = 3};
        runner r;
        runner_open(&r, &choice, NULL, &settings);
        runner_run(&r);
        moved[fixed] = runner_number(r.e.models->generator_set, "mean") - START_MEAN;
        factor[fixed] = runner_number(r.e.models->generator_set, "factor") - START_FACTOR;
        assert_true(runner_metric(&r, "train/ratio_reward_divergence", &ratio));
        assert_true(runner_metric(&r, "train/dx0_divergence", &divergence));
        assert_true(runner_metric(&r, "train/dx0_reward", &reward));
        if (!fixed)
            assert_true(runner_metric(&r, "train/scale.opaque-quadratic", &scale));
        exact_near("ratio", ratio, 0.3, 1e-10, 0);
        exact_near("sizes", reward, 0.3 * divergence, 1e-10, 0);
        runner_close(&r);
    }
    assert_true(scale > 0 && fabs(moved[0]) > 1e-3);
    exact_near("mean", moved[0], moved[1], 1e-10, 0);
    exact_near("factor", factor[0], factor[1], 1e-10, 0);
}

/* ---- What cannot be ---- */

static void terms_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    const dipp_align_settings good = runner_settings(&scenarios[VP_WBETA]);
    dipp_align_settings ended = good, long_ramp = good, no_ratio = good, weighed_twice = good, inside = good,
                        outside = good;
    ended.rewards[0] = (dipp_align_reward){.scale = 1, .start = 5, .end = 5};
    long_ramp.steps = 10;
    long_ramp.rewards[0] = (dipp_align_reward){.scale = 1, .ramp = DIPP_RAMP_LINEAR, .ramp_length = 11};
    no_ratio.divergence.kind = DIPP_DIVERGENCE_NONE;
    no_ratio.rewards[0] = (dipp_align_reward){.scale = 1, .by_ratio = true};
    weighed_twice.divergence.normalise = DIPP_NORMALISE_DMD;
    weighed_twice.cfg_weight.given = true;
    inside.divergence = (dipp_divergence_spec){.kind = DIPP_DIVERGENCE_SCORE_L2, .inside = true};
    inside.cfg_weight.given = true;
    outside.divergence.cfg_apart = true;
    outside.cfg_law = (dipp_time_law){.kind = DIPP_TIME_UNIFORM, .min = 0.1, .max = 2};
    const struct {
        const dipp_align_settings *settings;
        const char *text;
    } cases[] = {{&ended, "reward linear: the reward ends at iteration 5, but starts at 5"},
                 {&long_ramp, "the ramp of 11 iterations is longer than the reward acts (10)"},
                 {&no_ratio, "grad_ratio needs a divergence"},
                 {&weighed_twice, "no meaning where the divergence is normalised"},
                 {&inside, "no meaning with guidance inside"},
                 {&outside, "leaves the schedule's range"}};
    exact e;
    dipp_prompt_table *prompts;
    exact_open(&e, &runner_plain);
    CHECK(dipp_prompt_table_create(e.models, NULL, 0, &prompts, error));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dipp_align *align = NULL;
        dipp_error error = {0};
        assert_int_equal(dipp_align_create(e.models, prompts, cases[i].settings, NULL, &align, &error), DIPP_E_INVALID);
        assert_null(align);
        if (!strstr(error.message, cases[i].text))
            fail_msg("expected \"%s\" in \"%s\"", cases[i].text, error.message);
    }
    dipp_prompt_table_destroy(&prompts);
    exact_close(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(distances_are_estimated_without_bias),
        cmocka_unit_test(the_logged_ikl_is_the_same_for_every_divergence),
        cmocka_unit_test(cfg_has_a_weight_and_a_law_of_its_own),
        cmocka_unit_test(several_steps_and_ramps_go_on_after_a_checkpoint),
        cmocka_unit_test(the_sampler_takes_the_same_steps),
        cmocka_unit_test(ramps_follow_their_formula),
        cmocka_unit_test(a_ramped_reward_moves_the_mean_as_far_as_it_should),
        cmocka_unit_test(a_ratio_of_gradients_is_kept),
        cmocka_unit_test(a_ratio_of_a_smoothed_gradient_is_kept),
        cmocka_unit_test(terms_that_make_no_sense_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
