/* dipp_align itself: what it estimates, that it goes on bit for bit after a checkpoint, and how it treats rewards,
 * guidance, averages and rates. */
#include "runner.h"

#include <stdlib.h>
#include <unistd.h>

static double mean_of(const runner *r)
{
    return runner_number(r->e.models->generator_set, "mean");
}

/* Every number of a run's state equals another's, bit for bit; tells whether. */
static bool same_state(const runner *a, const double *expected)
{
    size_t count;
    double *found = runner_state(a, &count);
    bool same = !memcmp(found, expected, count * sizeof *found);
    test_free(found);
    return same;
}

/* ---- What it estimates ---- */

/* One SGD step at rate 1 moves the parameters by minus the gradient. */
static void one_step_is_the_known_gradient(void **state)
{
    (void)state;
    const scenario *s = &scenarios[VP_WBETA];
    enum { SAMPLES = 200000 };
    dipp_align_settings settings = runner_settings(s);
    settings.batch = SAMPLES;
    settings.micro_batch = SAMPLES / 10;
    settings.steps = 1;
    settings.ta_updates = 0; /* the TA starts at the generator: exact */
    settings.optimizer.lr = 1;
    settings.rewards[0].scale = 0.6;
    runner r;
    runner_open(&r, &runner_plain, NULL, &settings);
    runner_run(&r);
    double standard_error = 4.1419989872 / sqrt(SAMPLES);
    exact_near("d mu", START_MEAN - mean_of(&r), s->d_mu - 0.48, 0, 5 * standard_error);
    exact_near("d sig", START_FACTOR - runner_number(r.e.models->generator_set, "factor"), s->d_sig, 0,
               5 * 5.9 / sqrt(SAMPLES));
    runner_close(&r);
    /* Guided: case 1 of the mixtures at omega 4.5. */
    settings.rewards[0].scale = 0;
    settings.cfg_omega = 4.5;
    runner_open(&r, &runner_mixed, "plus", &settings);
    runner_run(&r);
    exact_near("guided d mu", 0.3 - mean_of(&r), -6.6382939600, 0.02, 0);
    exact_near("guided d sig", 0.8 - runner_number(r.e.models->generator_set, "factor"), 3.4041236002, 0.02, 0);
    runner_close(&r);
}

/* With generator and TA at rest the logged means are the known values. The logged IKL lacks W(T) KL(T), 5e-4 here. */
static void metrics_are_the_known_values(void **state)
{
    (void)state;
    const scenario *s = &scenarios[VP_WBETA];
    dipp_align_settings settings = runner_settings(s);
    settings.batch = 4000;
    settings.steps = 40;
    settings.optimizer.lr = settings.ta_optimizer.lr = 0;
    settings.rewards[0].scale = 0.6;
    runner r;
    runner_open(&r, &runner_plain, NULL, &settings);
    runner_run(&r);
    nodes at;
    nodes_affine(&at, s, 1, 12);
    double loss = 0;
    for (int64_t i = 0; i < at.count; i++) {
        double s2 = at.sigma[i] * at.sigma[i];
        loss += at.share[i] * 1.69 * s2 / (at.alpha[i] * at.alpha[i] * 1.69 + s2);
    }
    nodes_release(&at);
    exact_near("ikl", runner_mean(&r, "ikl", 40), s->ikl, 0.02, 0);
    exact_near("reward", runner_mean(&r, "train/reward.linear", 40), 0.8 * START_MEAN, 0, 0.02);
    exact_near("scaled reward", runner_mean(&r, "train/reward", 40), 0.48 * START_MEAN, 0, 0.02);
    exact_near("TA loss", runner_mean(&r, "train/ta_loss", 40), loss, 0.02, 0);
    assert_true(mean_of(&r) == START_MEAN);
    runner_close(&r);
    settings.rewards[0].scale = 0;
    settings.cfg_omega = 1.5;
    runner_open(&r, &runner_mixed, "plus", &settings);
    runner_run(&r);
    exact_near("ikl", runner_mean(&r, "ikl", 40), 0.5233847484, 0.03, 0);
    exact_near("implicit reward", runner_mean(&r, "train/cfg_reward", 40), -0.3973095355, 0.03, 0);
    runner_close(&r);
}

static void the_size_of_micro_batches_does_not_matter(void **state)
{
    (void)state;
    double mean[3], factor[3], ta[3];
    for (int i = 0; i < 3; i++) {
        dipp_align_settings settings = runner_settings(&scenarios[VP_WBETA]);
        settings.batch = 8;
        settings.micro_batch = i == 0 ? 0 : i == 1 ? 2 : 1;
        settings.steps = 3;
        settings.ta_updates = 2;
        settings.cfg_omega = 1.5;
        runner r;
        runner_open(&r, &runner_mixed, "plus", &settings);
        runner_run(&r);
        mean[i] = mean_of(&r);
        factor[i] = runner_number(r.e.models->generator_set, "factor");
        ta[i] = runner_number(r.e.models->ta_set, "factor");
        runner_close(&r);
    }
    assert_true(fabs(mean[0] - 0.3) > 1e-3);
    for (int i = 1; i < 3; i++) {
        exact_near("mean", mean[i], mean[0], 1e-12, 0);
        exact_near("factor", factor[i], factor[0], 1e-12, 0);
        exact_near("factor of the TA", ta[i], ta[0], 1e-12, 0);
    }
}

static void a_guided_recording_at_omega_one_changes_nothing(void **state)
{
    (void)state;
    double mean[2];
    for (int i = 0; i < 2; i++) {
        dipp_align_settings settings = runner_settings(&scenarios[VP_WBETA]);
        settings.steps = 5;
        settings.always_guided = i;
        runner r;
        double cfg;
        runner_open(&r, &runner_mixed, "plus", &settings);
        runner_run(&r);
        mean[i] = mean_of(&r);
        assert_int_equal(runner_metric(&r, "train/cfg_reward", &cfg), i);
        runner_close(&r);
    }
    exact_near("mean", mean[1], mean[0], 1e-12, 0);
}

/* ---- Going on ---- */

static void a_checkpoint_goes_on_bit_for_bit(void **state)
{
    (void)state;
    char folder[] = "/tmp/dipp-align-XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/checkpoint.safetensors", folder);
    dipp_align_settings settings = runner_rich();
    runner whole, rest;
    runner_open(&whole, &runner_mixed, "plus", &settings);
    runner_saver at = {path, 5};
    dipp_align_observer observer = {.context = &at, .after_step = runner_save_at};
    CHECK(dipp_align_run(whole.align, &observer, error));
    size_t count;
    double *end = runner_state(&whole, &count);
    runner_open(&rest, &runner_mixed, "plus", &settings);
    CHECK(dipp_align_load(rest.align, path, error));
    assert_int_equal(dipp_align_step_count(rest.align), 5);
    assert_int_equal(dipp_align_images_seen(rest.align), 80);
    assert_false(same_state(&rest, end));
    runner_run(&rest);
    assert_int_equal(dipp_align_step_count(rest.align), 12);
    assert_true(same_state(&rest, end));
    runner_close(&rest);
    runner_close(&whole);

    settings.seed++; /* another run's checkpoint is refused */
    runner_open(&rest, &runner_mixed, "plus", &settings);
    dipp_error error = {0};
    assert_int_equal(dipp_align_load(rest.align, path, &error), DIPP_E_FORMAT);
    assert_non_null(strstr(error.message, "not a checkpoint of this run"));
    runner_close(&rest);
    test_free(end);
    unlink(path);
    rmdir(folder);
}

static void the_seed_alone_decides(void **state)
{
    (void)state;
    dipp_align_settings settings = runner_rich();
    runner r;
    size_t count;
    runner_open(&r, &runner_mixed, "plus", &settings);
    runner_run(&r);
    double *first = runner_state(&r, &count);
    runner_close(&r);
    runner_open(&r, &runner_mixed, "plus", &settings);
    runner_run(&r);
    assert_true(same_state(&r, first));
    runner_close(&r);
    settings.seed++;
    runner_open(&r, &runner_mixed, "plus", &settings);
    runner_run(&r);
    assert_false(same_state(&r, first));
    runner_close(&r);
    test_free(first);
}

/* ---- Rewards, averages, rates ---- */

/* Without a divergence a linear reward moves the mean by exactly rate * scale * b. */
static dipp_align_settings reward_alone(void)
{
    dipp_align_settings settings = runner_settings(&scenarios[VP_WBETA]);
    settings.divergence.kind = DIPP_DIVERGENCE_NONE;
    settings.batch = 4;
    settings.steps = 10;
    settings.optimizer.lr = 0.1;
    settings.rewards[0].scale = 0.6;
    return settings;
}

typedef struct track {
    double mean[64], average[64];
    int64_t count;
    const dipp_models *models;
} track;

static dipp_status follow(void *context, dipp_align *align, int64_t step, dipp_error *error)
{
    track *t = context;
    t->mean[step] = runner_number(t->models->generator_set, "mean");
    t->average[step] = runner_number(t->models->generator_ema, "mean");
    t->count++;
    return DIPP_OK;
}

static void track_run(runner *r, track *t)
{
    *t = (track){.models = r->e.models};
    dipp_align_observer observer = {.context = t, .after_step = follow};
    CHECK(dipp_align_run(r->align, &observer, error));
}

static void rewards_act_between_their_start_and_end(void **state)
{
    (void)state;
    dipp_align_settings settings = reward_alone();
    settings.rewards[0].start = 2;
    settings.rewards[0].end = 7;
    runner r;
    track t;
    runner_open(&r, &runner_plain, NULL, &settings);
    track_run(&r, &t);
    assert_int_equal(t.count, 11); /* before the first and after each */
    for (int n = 0; n <= 10; n++) {
        int active = n <= 2 ? 0 : n <= 7 ? n - 2 : 5;
        exact_near("mean", t.mean[n], START_MEAN + 0.1 * 0.48 * active, 1e-12, 1e-15);
    }
    exact_near("factor", runner_number(r.e.models->generator_set, "factor"), START_FACTOR, 0.2, 0);
    runner_close(&r);
}

static void the_average_follows_its_formula(void **state)
{
    (void)state;
    for (int images = 0; images < 2; images++) {
        dipp_align_settings settings = reward_alone();
        double decay = images ? exp2(-4.0 / 10) : 0.9;
        settings.average.decay = 0.9;
        settings.average.half_life_images = images ? 10 : 0;
        runner r;
        track t;
        runner_open(&r, &runner_plain, NULL, &settings);
        track_run(&r, &t);
        double average = START_MEAN;
        for (int n = 1; n <= 10; n++) {
            average = decay * average + (1 - decay) * t.mean[n];
            exact_near("average", t.average[n], average, 1e-13, 1e-15);
        }
        runner_close(&r);
    }
    dipp_align_settings settings = reward_alone(); /* decay 0: a copy */
    runner r;
    track t;
    runner_open(&r, &runner_plain, NULL, &settings);
    track_run(&r, &t);
    assert_true(t.average[10] == t.mean[10]);
    runner_close(&r);
}

static void rates_follow_their_schedules(void **state)
{
    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        dipp_align_settings settings = reward_alone();
        settings.optimizer.warmup = 4;
        settings.optimizer.schedule = (dipp_rate_schedule)kind;
        settings.optimizer.final_share = 0.2;
        runner r;
        track t;
        runner_open(&r, &runner_plain, NULL, &settings);
        track_run(&r, &t);
        for (int n = 0; n < 10; n++) {
            double part = (n - 4) / 6.0, share = 1;
            if (n < 4)
                share = (n + 1) / 4.0;
            else if (kind == DIPP_RATE_LINEAR)
                share = 1 - 0.8 * part;
            else if (kind == DIPP_RATE_COSINE)
                share = 0.2 + 0.8 * (1 + cos(acos(-1) * part)) / 2;
            exact_near("rate", (t.mean[n + 1] - t.mean[n]) / 0.48, 0.1 * share, 1e-12, 1e-14);
        }
        runner_close(&r);
    }
}

/* The gradient is (-0.48, 0.6 b mean(z) = small): after clipping its norm is the limit. */
static void gradients_are_clipped_by_norm(void **state)
{
    (void)state;
    dipp_align_settings settings = reward_alone();
    settings.steps = 1;
    settings.optimizer.clip = 0.05;
    settings.optimizer.lr = 1;
    runner r;
    double norm;
    runner_open(&r, &runner_plain, NULL, &settings);
    runner_run(&r);
    double step = hypot(mean_of(&r) - START_MEAN, runner_number(r.e.models->generator_set, "factor") - START_FACTOR);
    exact_near("step", step, 0.05, 1e-12, 0);
    assert_true(runner_metric(&r, "train/grad_norm", &norm) && norm > 0.47);
    runner_close(&r);
}

/* ---- The TA ---- */

/* Five TA updates before the first iteration are the same as five in it: noise is addressed by the count of updates. */
static void the_ta_warms_up_as_often_as_asked(void **state)
{
    (void)state;
    dipp_align_settings settings = runner_settings(&scenarios[VP_WBETA]);
    settings.batch = 16;
    settings.ta_warmup = 5;
    settings.steps = 0;
    exact_choice choice = runner_plain;
    choice.ta = "mean=[0]; factor=[[0.7]]";
    runner warm, taught;
    runner_open(&warm, &choice, NULL, &settings);
    runner_run(&warm);
    assert_true(mean_of(&warm) == START_MEAN);
    assert_true(runner_number(warm.e.models->ta_set, "mean") != 0);
    settings.ta_warmup = 0;
    settings.steps = 1;
    settings.ta_updates = 5;
    runner_open(&taught, &choice, NULL, &settings);
    runner_run(&taught);
    assert_true(runner_number(warm.e.models->ta_set, "mean") == runner_number(taught.e.models->ta_set, "mean"));
    assert_true(runner_number(warm.e.models->ta_set, "factor") == runner_number(taught.e.models->ta_set, "factor"));
    runner_close(&taught);
    settings.ta_updates = 4;
    runner_open(&taught, &choice, NULL, &settings);
    runner_run(&taught);
    assert_true(runner_number(warm.e.models->ta_set, "mean") != runner_number(taught.e.models->ta_set, "mean"));
    runner_close(&taught);
    runner_close(&warm);
}

/* A frozen generator's law is learnt whatever the weight of the loss. */
static void the_ta_learns_the_generator(void **state)
{
    (void)state;
    for (int loss = 0; loss < 3; loss++) {
        dipp_align_settings settings = runner_settings(&scenarios[VP_WBETA]);
        settings.batch = 256;
        settings.steps = 600;
        settings.optimizer.lr = 0;
        settings.ta_loss = (dipp_loss_weight)loss;
        settings.ta_time.law = (dipp_time_law){.kind = DIPP_TIME_LOG_NORMAL, .mean = 0, .std = 0.5};
        settings.ta_optimizer = (dipp_optimizer_settings){.kind = DIPP_OPTIMIZER_ADAMW,
                                                          .lr = 0.05,
                                                          .beta1 = 0.9,
                                                          .beta2 = 0.99,
                                                          .epsilon = 1e-8,
                                                          .schedule = DIPP_RATE_LINEAR,
                                                          .final_share = 0.01};
        exact_choice choice = runner_plain;
        choice.ta = "mean=[1]; factor=[[0.5]]";
        runner r;
        runner_open(&r, &choice, NULL, &settings);
        runner_run(&r);
        exact_near("mean", runner_number(r.e.models->ta_set, "mean"), START_MEAN, 0, 0.03);
        exact_near("factor", runner_number(r.e.models->ta_set, "factor"), START_FACTOR, 0, 0.03);
        runner_close(&r);
    }
}

/* ---- What cannot be ---- */

static void settings_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    const dipp_align_settings good = runner_settings(&scenarios[VP_WBETA]);
    dipp_align_settings no_text = good, no_divergence = good, nothing = good, uneven = good, outside = good;
    no_text.cfg_omega = 1.5;
    no_divergence.cfg_omega = 1.5;
    no_divergence.divergence.kind = DIPP_DIVERGENCE_NONE;
    nothing.divergence.kind = DIPP_DIVERGENCE_NONE;
    uneven.micro_batch = 48;
    outside.ta_time.law.max = 2;
    const struct {
        const dipp_align_settings *settings;
        const char *text;
    } cases[] = {{&no_text, "cfg_omega 1.5 needs a reference that takes text"},
                 {&no_divergence, "cfg_omega 1.5 needs a divergence"},
                 {&nothing, "nothing to align by"},
                 {&uneven, "micro_batch 48 does not divide batch 128"},
                 {&outside, "leaves the schedule's range"}};
    exact_choice choice = {.schedule = runner_plain.schedule};
    exact e;
    exact_open(&e, &choice);
    dipp_prompt_table *prompts;
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
        cmocka_unit_test(one_step_is_the_known_gradient),
        cmocka_unit_test(metrics_are_the_known_values),
        cmocka_unit_test(the_size_of_micro_batches_does_not_matter),
        cmocka_unit_test(a_guided_recording_at_omega_one_changes_nothing),
        cmocka_unit_test(a_checkpoint_goes_on_bit_for_bit),
        cmocka_unit_test(the_seed_alone_decides),
        cmocka_unit_test(rewards_act_between_their_start_and_end),
        cmocka_unit_test(the_average_follows_its_formula),
        cmocka_unit_test(rates_follow_their_schedules),
        cmocka_unit_test(gradients_are_clipped_by_norm),
        cmocka_unit_test(the_ta_warms_up_as_often_as_asked),
        cmocka_unit_test(the_ta_learns_the_generator),
        cmocka_unit_test(settings_that_make_no_sense_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
