/* What dipp_align does with updates that are not finite: nothing, and it stops after too many, or when there were no others. */
#include "runner.h"

#include <stdlib.h>
#include <unistd.h>

/* A number made of the generator's whole state, and its average, after each step. */
typedef struct history {
    double state[16], average[16];
    const dipp_models *models;
} history;

/* Iterations 3 and 4 have a reward whose gradient overflows. */
static dipp_align_settings overflowing(void)
{
    dipp_align_settings settings = runner_rich();
    settings.cfg_omega = 1;
    settings.ta_updates = 0;
    settings.ta_warmup = 0;
    settings.rewards[0] = (dipp_align_reward){.scale = 1e308, .start = 3, .end = 5};
    return settings;
}

static dipp_status keep(void *context, dipp_align *align, int64_t step, dipp_error *error)
{
    history *t = context;
    size_t elements = (size_t)dipp_layout_elements(t->models->generator_layout);
    double *all = test_malloc(elements * sizeof *all), sum = 0; /* of all the state there is, each element once */
    const dipp_block blocks[] = {DIPP_BLOCK_MASTER, DIPP_BLOCK_MOMENT1, DIPP_BLOCK_MOMENT2, DIPP_BLOCK_GRADIENT};
    for (int b = 0; b < 4; b++) {
        dipp_parameter_set_read(t->models->generator_set, blocks[b], all, DIPP_HOST_F64);
        for (size_t i = 0; i < elements; i++)
            sum = sum * 1.0001 + all[i];
    }
    test_free(all);
    t->state[step] = sum;
    t->average[step] = runner_number(t->models->generator_ema, "mean");
    return DIPP_OK;
}

static void steps_that_are_not_finite_leave_the_state_alone(void **state)
{
    (void)state;
    exact_choice choice = runner_plain;
    choice.rewards[0] = "quadratic";
    choice.reward_parameters[0] = "center=[2]; curvature=100";
    dipp_align_settings settings = overflowing();
    runner r;
    runner_open(&r, &choice, NULL, &settings);
    history t = {.models = r.e.models};
    dipp_align_observer observer = {.context = &t, .after_step = keep};
    CHECK(dipp_align_run(r.align, &observer, error));
    for (int n = 0; n < 12; n++) {
        bool skipped = n == 3 || n == 4;
        assert_true((t.state[n + 1] == t.state[n]) == skipped);
        assert_true((t.average[n + 1] == t.average[n]) == skipped);
        assert_true(isfinite(t.state[n + 1]));
    }
    runner_close(&r);
    double skipped; /* and the count is reported */
    runner_open(&r, &choice, NULL, &settings);
    runner_run(&r);
    assert_true(runner_metric(&r, "train/skipped", &skipped) && skipped == 2);
    runner_close(&r);
}

static void too_many_of_them_stop_the_run(void **state)
{
    (void)state;
    exact_choice choice = runner_plain;
    choice.rewards[0] = "quadratic";
    choice.reward_parameters[0] = "center=[2]; curvature=100";
    dipp_align_settings settings = overflowing();
    for (int limit = 2; limit <= 3; limit++) {
        settings.max_nonfinite = limit;
        runner r;
        runner_open(&r, &choice, NULL, &settings);
        dipp_align_observer observer = {.context = &r};
        dipp_error error = {0};
        dipp_status status = dipp_align_run(r.align, &observer, &error);
        if (limit == 2) {
            assert_int_equal(status, DIPP_E_NUMERIC);
            assert_non_null(strstr(error.message, "2 updates in a row were not finite, the last at iteration 5"));
            assert_int_equal(dipp_align_step_count(r.align), 5);
        } else {
            assert_int_equal(status, DIPP_OK);
            assert_int_equal(dipp_align_step_count(r.align), 12);
        }
        runner_close(&r);
    }
}

/* A resumed run still knows that the update before its checkpoint was skipped. */
static void the_count_survives_a_checkpoint(void **state)
{
    (void)state;
    char folder[] = "/tmp/dipp-align-XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/checkpoint.safetensors", folder);
    exact_choice choice = runner_plain;
    choice.rewards[0] = "quadratic";
    choice.reward_parameters[0] = "center=[2]; curvature=100";
    dipp_align_settings settings = overflowing();
    settings.max_nonfinite = 2;
    settings.steps = 4;
    runner r;
    runner_open(&r, &choice, NULL, &settings);
    runner_run(&r);
    CHECK(dipp_align_save(r.align, path, NULL, error));
    runner_close(&r);
    settings.steps = 12;
    runner_open(&r, &choice, NULL, &settings);
    CHECK(dipp_align_load(r.align, path, error));
    assert_int_equal(dipp_align_run(r.align, &(dipp_align_observer){0}, NULL), DIPP_E_NUMERIC);
    assert_int_equal(dipp_align_step_count(r.align), 5);
    runner_close(&r);
    unlink(path);
    rmdir(folder);
}

/* A run of fewer steps than the limit that starts from weights which are no numbers has learnt nothing, and says so. */
static void a_run_without_a_single_update_has_failed(void **state)
{
    (void)state;
    dipp_align_settings settings = runner_rich();
    settings.cfg_omega = 1;
    settings.steps = 4;
    settings.max_nonfinite = 10;
    for (int good = 0; good < 2; good++) { /* overflows from the first iteration on, and from the second */
        exact_choice choice = runner_plain;
        choice.rewards[0] = "quadratic";
        choice.reward_parameters[0] = "center=[2]; curvature=100";
        settings.rewards[0] = (dipp_align_reward){.scale = 1e308, .start = good, .end = 4};
        runner r;
        runner_open(&r, &choice, NULL, &settings);
        dipp_error error = {0};
        dipp_status status = dipp_align_run(r.align, &(dipp_align_observer){0}, &error);
        assert_int_equal(status, good ? DIPP_OK : DIPP_E_NUMERIC);
        assert_true(good || strstr(error.message, "none of the 4 updates was finite, so nothing was learnt"));
        runner_close(&r);
    }
    runner r; /* weights that are no numbers */
    settings.rewards[0].scale = 0;
    runner_open(&r, &runner_plain, NULL, &settings);
    size_t elements = (size_t)dipp_layout_elements(r.e.models->generator_layout);
    double *nothing = test_malloc(elements * sizeof *nothing);
    for (size_t i = 0; i < elements; i++)
        nothing[i] = NAN;
    dipp_parameter_set_write(r.e.models->generator_set, DIPP_BLOCK_MASTER, nothing, DIPP_HOST_F64);
    test_free(nothing);
    CHECK(dipp_parameter_set_refresh(r.e.models->generator_set, error));
    assert_int_equal(dipp_align_run(r.align, &(dipp_align_observer){0}, NULL), DIPP_E_NUMERIC);
    runner_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_that_are_not_finite_leave_the_state_alone),
        cmocka_unit_test(too_many_of_them_stop_the_run),
        cmocka_unit_test(the_count_survives_a_checkpoint),
        cmocka_unit_test(a_run_without_a_single_update_has_failed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
