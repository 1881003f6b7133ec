/* Alignments of exact models whose moments are kept in fewer bits: they end where those in f32 end, go on from a checkpoint
 * bit for bit, and take no checkpoint of other formats. (The exact models are wide: weights in bf16 are test_precision's.) */
#include "runner.h"

#include <stdlib.h>
#include <unistd.h>

static exact_choice choice_of(dipp_state_format state)
{
    exact_choice choice = runner_mixed;
    choice.formats.state = choice.ta_formats.state = state;
    return choice;
}

/* The known optimum of w = beta with a quadratic reward (test_optima.c), within 2 %. */
static void an_alignment_reaches_the_known_optimum(void **state)
{
    (void)state;
    for (int format = 1; format < 3; format++) {
        dipp_align_settings settings = runner_settings(&scenarios[VP_WBETA]);
        settings.batch = 64;
        settings.steps = 1600;
        settings.ta_updates = 2;
        settings.rewards[0].scale = 0.6;
        settings.average.decay = 0.98;
        settings.optimizer = settings.ta_optimizer = (dipp_optimizer_settings){.kind = DIPP_OPTIMIZER_ADAMW,
                                                                               .lr = 0.01,
                                                                               .beta1 = 0.9,
                                                                               .beta2 = 0.99,
                                                                               .epsilon = 1e-8,
                                                                               .schedule = DIPP_RATE_LINEAR};
        settings.ta_optimizer.lr = 0.02;
        exact_choice choice = runner_plain;
        choice.rewards[0] = "quadratic";
        choice.reward_parameters[0] = "center=[2]; curvature=1.5";
        choice.formats.state = choice.ta_formats.state = (dipp_state_format)format;
        runner r;
        runner_open(&r, &choice, NULL, &settings);
        runner_run(&r);
        exact_near("mean", runner_number(r.e.models->generator_ema, "mean"), 1.3275216924, 0.02, 0);
        exact_near("factor", runner_number(r.e.models->generator_ema, "factor"), 0.28218085, 0, 0.02);
        runner_close(&r);
    }
}

static void a_checkpoint_goes_on_in_its_own_formats_only(void **state)
{
    (void)state;
    char folder[] = "/tmp/dipp-formats-XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/checkpoint.safetensors", folder);
    dipp_align_settings settings = runner_rich();
    for (int format = 1; format < 3; format++) {
        exact_choice choice = choice_of((dipp_state_format)format), other = choice_of(DIPP_STATE_F32);
        runner whole, rest;
        runner_open(&whole, &choice, "plus", &settings);
        runner_saver at = {path, 5};
        dipp_align_observer observer = {.context = &at, .after_step = runner_save_at};
        CHECK(dipp_align_run(whole.align, &observer, error));
        size_t count, again;
        double *end = runner_state(&whole, &count);
        runner_open(&rest, &choice, "plus", &settings);
        CHECK(dipp_align_load(rest.align, path, error));
        runner_run(&rest);
        double *same = runner_state(&rest, &again);
        assert_int_equal(count, again);
        assert_memory_equal(end, same, count * sizeof *end);
        test_free(same);
        test_free(end);
        runner_close(&rest);
        runner_close(&whole);

        dipp_error error = {0};
        runner_open(&rest, &other, "plus", &settings);
        assert_int_equal(dipp_align_load(rest.align, path, &error), DIPP_E_FORMAT);
        assert_non_null(strstr(error.message, format == 1 ? "with bf16 moments" : "with 8bit moments"));
        assert_non_null(strstr(error.message, "expected"));
        assert_non_null(strstr(error.message, "with f32 moments"));
        runner_close(&rest);
    }
    unlink(path);
    rmdir(folder);
}

/* ---- The plan ---- */

static size_t sets_of(const dipp_models *m)
{
    const dipp_parameter_set *sets[] = {m->generator_set, m->generator_ema, m->ta_set,
                                        m->reference_set, m->text_set,      m->decoder_set};
    size_t bytes = 0;
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
        bytes += sets[i] ? dipp_parameter_set_bytes(sets[i]) : 0;
    for (uint32_t i = 0; i < m->reward_count; i++)
        bytes += dipp_parameter_set_bytes(m->rewards[i].set);
    return bytes;
}

/* On memory of its own a plan is exact: with so many bytes there is room, with one less there is not. */
static void what_is_planned_is_what_is_allocated(void **state)
{
    (void)state;
    dipp_align_settings settings = runner_rich();
    size_t total = 0;
    for (int format = 0; format < 3; format++)
        for (int trial = 0; trial < 3; trial++) {
            exact_choice choice = choice_of((dipp_state_format)format);
            choice.device = "null";
            choice.memory_limit = trial == 0 ? 0 : trial == 1 ? total : total - 1;
            exact e;
            exact_open(&e, &choice);
            static const char *const texts[] = {"plus"};
            dipp_prompt_table *prompts;
            dipp_plan_report report;
            dipp_align *made = NULL;
            dipp_error why = {0};
            CHECK(dipp_prompt_table_create(e.models, texts, 1, &prompts, error));
            dipp_status status = dipp_align_create(e.models, prompts, &settings, &report, &made, &why);
            if (trial == 0)
                total = sets_of(e.models) + dipp_plan_bytes(&report);
            assert_int_equal(status, trial == 2 ? DIPP_E_MEMORY : DIPP_OK);
            dipp_align_destroy(&made);
            dipp_prompt_table_destroy(&prompts);
            exact_close(&e);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_alignment_reaches_the_known_optimum),
        cmocka_unit_test(a_checkpoint_goes_on_in_its_own_formats_only),
        cmocka_unit_test(what_is_planned_is_what_is_allocated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
