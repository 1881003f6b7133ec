/* Training with blocks computed again is training: whole alignments and pretrainings of a latent UNet, its autoencoder's
 * decoder before a reward, are the same to the bit, also when they go on under another setting; and the settings choose
 * by the memory there is. */
#include "runner.h"
#include "train/pretrain.h"

#include <stdlib.h>
#include <unistd.h>

enum { PICTURE = 16 };

typedef struct trained {
    dipp_plugins *plugins;
    dipp_parameters *parameters[3];
    dipp_backend *backend;
    dipp_models *models;
    dipp_prompt_table *prompts;
} trained;

static dipp_model_choice choose(trained *t, int slot, dipp_plugin_kind kind, const char *name,
                                const char *const *assignments, uint32_t count)
{
    const dipp_loaded_plugin *loaded = NULL;
    CHECK(dipp_plugins_find(t->plugins, kind, name, &loaded, error));
    const dipp_plugin *p = loaded->descriptor;
    CHECK(dipp_parameters_create_from_text(p->parameters, p->parameter_count, assignments, count, &t->parameters[slot],
                                           error));
    return (dipp_model_choice){p, t->parameters[slot]};
}

static void trained_open(trained *t, bool align)
{
    static const char *const unet[] = {"channels=4", "size=8", "widths=[8, 16]", "heads=[2]", "groups=4",
                                       "down_blocks=[CrossAttnDownBlock2D, DownBlock2D]",
                                       "up_blocks=[UpBlock2D, CrossAttnUpBlock2D]",
                                       /* of the reference alone */
                                       "vae_widths=[8, 8]", "vae_layers=1", "vae_groups=2"};
    static const dipp_host host = {.struct_size = sizeof host};
    *t = (trained){0};
    CHECK(dipp_plugins_open(&(dipp_plugins_options){.no_environment = true}, &t->plugins, error));
    CHECK(dipp_reference_backend_create(
        &(dipp_backend_options){.struct_size = sizeof(dipp_backend_options), .precision = "f32"}, &t->backend, error));
    dipp_models_options options = {.train_reference = !align, .train_generator = align, .host = &host};
    options.reference = choose(t, 0, DIPP_PLUGIN_REFERENCE, "unet", unet, 10);
    if (align) {
        options.generator = choose(t, 1, DIPP_PLUGIN_GENERATOR, "unet", unet, 7);
        options.rewards[options.reward_count++] = choose(t, 2, DIPP_PLUGIN_REWARD, "border", NULL, 0);
    }
    CHECK(dipp_models_create(t->backend, &options, &t->models, error));
    CHECK(dipp_models_initialise(t->models, 3, error));
    CHECK(dipp_prompt_table_create(t->models, NULL, 0, &t->prompts, error));
}

static void trained_close(trained *t)
{
    dipp_prompt_table_destroy(&t->prompts);
    dipp_models_destroy(&t->models);
    for (int i = 0; i < 3; i++)
        dipp_parameters_destroy(&t->parameters[i]);
    dipp_plugins_destroy(&t->plugins);
    dipp_backend_destroy(&t->backend);
}

/* Masters of the sets, one after another; the caller frees. */
static double *masters(dipp_parameter_set *const *sets, int set_count, size_t *count)
{
    *count = 0;
    for (int i = 0; i < set_count; i++)
        *count += (size_t)dipp_layout_elements(sets[i]->layout);
    double *all = test_malloc(*count * sizeof *all), *at = all;
    for (int i = 0; i < set_count; i++) {
        dipp_parameter_set_read(sets[i], DIPP_BLOCK_MASTER, at, DIPP_HOST_F64);
        at += dipp_layout_elements(sets[i]->layout);
    }
    return all;
}

static bool finite_and_moving(const double *a, const double *b, size_t count)
{
    size_t moved = 0;
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(a[i]))
            return false;
        moved += a[i] != b[i];
    }
    return moved > count / 4;
}

static const dipp_optimizer_settings adamw = {
    .kind = DIPP_OPTIMIZER_ADAMW, .lr = 0.01, .beta1 = 0.9, .beta2 = 0.99, .epsilon = 1e-8, .clip = 1};

/* ---- Alignment --------------------------------------------------------------------------------------------------- */

/* SiD differentiates through the frozen TA and reference, and the reward through the decoder. */
static dipp_align_settings settings_of(dipp_recompute recompute)
{
    return (dipp_align_settings){.seed = 5,
                                 .steps = 2,
                                 .batch = 4,
                                 .micro_batch = 2,
                                 .cfg_omega = 1,
                                 .divergence = {.kind = DIPP_DIVERGENCE_SID, .alpha = 1},
                                 .time = {.law = {DIPP_TIME_LOG_NORMAL, 0, 0, 0.3, 1.2}},
                                 .ta_time = {.law = {DIPP_TIME_LOG_NORMAL, 0, 0, 0, 1.4}},
                                 .ta_updates = 2,
                                 .optimizer = adamw,
                                 .ta_optimizer = adamw,
                                 .average = {.decay = 0.9},
                                 .clamp = 2,
                                 .rewards = {{.scale = 0.3}},
                                 .recompute = recompute};
}

static const runner_saver never = {NULL, -1};

typedef struct outcome {
    double *numbers;
    size_t count, arena;
    double useful, again;
} outcome;

/* Aligns from the start, or from a checkpoint; saves one after the step that save says. */
static outcome align(const dipp_align_settings *settings, const char *from, runner_saver save)
{
    trained t;
    dipp_align *run;
    dipp_plan_report report;
    outcome out;
    trained_open(&t, true);
    CHECK(dipp_align_create(t.models, t.prompts, settings, &report, &run, error));
    if (from)
        CHECK(dipp_align_load(run, from, error));
    CHECK(dipp_align_run(run, &(dipp_align_observer){.context = &save, .after_step = runner_save_at}, error));
    out.useful = dipp_align_flops(run);
    out.again = dipp_align_recomputed_flops(run);
    out.arena = report.arena_bytes;
    dipp_parameter_set *const sets[] = {t.models->generator_set, t.models->ta_set, t.models->generator_ema};
    out.numbers = masters(sets, 3, &out.count);
    dipp_align_destroy(&run);
    trained_close(&t);
    return out;
}

static void alignments_are_equal_to_the_bit(void **state)
{
    (void)state;
    const dipp_align_settings keep = settings_of(DIPP_RECOMPUTE_NONE), recompute = settings_of(DIPP_RECOMPUTE_BLOCKS);
    dipp_align_settings still = keep;
    still.steps = 0;
    outcome start = align(&still, NULL, never);
    outcome plain = align(&keep, NULL, never), again = align(&recompute, NULL, never);
    assert_true(finite_and_moving(plain.numbers, start.numbers, plain.count));
    assert_memory_equal(plain.numbers, again.numbers, plain.count * sizeof *plain.numbers);
    assert_true(again.arena < plain.arena);
    assert_true(plain.again == 0 && again.again > 0 && again.useful == plain.useful);
    test_free(start.numbers);
    test_free(again.numbers);

    /* Going on under the other setting. */
    char folder[] = "/tmp/dipp-recompute-XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/checkpoint.safetensors", folder);
    for (int first = 0; first < 2; first++) {
        outcome half = align(first ? &recompute : &keep, NULL, (runner_saver){path, 1});
        outcome rest = align(first ? &keep : &recompute, path, never);
        assert_memory_equal(plain.numbers, rest.numbers, plain.count * sizeof *plain.numbers);
        test_free(half.numbers);
        test_free(rest.numbers);
    }
    unlink(path);
    rmdir(folder);
    test_free(plain.numbers);
}

static void memory_decides_where_it_is_left_to_it(void **state)
{
    (void)state;
    dipp_align_settings settings = settings_of(DIPP_RECOMPUTE_NONE);
    settings.steps = 0;
    outcome plain = align(&settings, NULL, never);
    settings.recompute = DIPP_RECOMPUTE_BLOCKS;
    outcome again = align(&settings, NULL, never);
    settings.recompute = DIPP_RECOMPUTE_AUTO;
    const struct {
        size_t limit, arena;
    } cases[] = {{0, plain.arena}, {plain.arena, plain.arena}, {plain.arena - 1, again.arena}};
    for (int i = 0; i < 3; i++) {
        settings.memory_limit = cases[i].limit;
        outcome found = align(&settings, NULL, never);
        assert_int_equal(found.arena, cases[i].arena);
        assert_true((found.again > 0) == (i == 2));
        test_free(found.numbers);
    }
    /* What does not fit either way says what was tried and what would help. */
    trained t;
    trained_open(&t, true);
    for (int kind = 0; kind < 2; kind++) {
        dipp_align *run;
        dipp_error error = {0};
        settings.recompute = kind ? DIPP_RECOMPUTE_AUTO : DIPP_RECOMPUTE_NONE;
        settings.memory_limit = again.arena - 1;
        assert_int_equal(dipp_align_create(t.models, t.prompts, &settings, NULL, &run, &error), DIPP_E_MEMORY);
        assert_non_null(
            strstr(error.message, kind ? "with blocks recomputed" : "recompute: auto or blocks needs less"));
        assert_non_null(strstr(error.message, "smaller micro-batch"));
    }
    trained_close(&t);
    test_free(plain.numbers);
    test_free(again.numbers);
}

/* ---- Pretraining ------------------------------------------------------------------------------------------------- */

static dipp_status draw(void *context, uint64_t seed, uint64_t first, uint32_t count, float *pictures,
                        const char **captions, dipp_error *error)
{
    (void)context;
    (void)seed;
    (void)error;
    for (size_t i = 0; i < (size_t)count * 3 * PICTURE * PICTURE; i++)
        pictures[i] = (float)((first * 31 + i * 17) % 29) / 29;
    for (uint32_t i = 0; i < count; i++)
        captions[i] = "";
    return DIPP_OK;
}

static void pretrainings_are_equal_to_the_bit(void **state)
{
    (void)state;
    outcome runs[3];
    for (int i = 0; i < 3; i++) {
        dipp_pretrain_settings settings = {.seed = 5,
                                           .steps = 2,
                                           .batch = 4,
                                           .micro_batch = 2,
                                           .time = {.law = {DIPP_TIME_LOG_NORMAL, 0, 0, 0.3, 1.4}},
                                           .optimizer = adamw,
                                           .average = {.decay = 0.9},
                                           .recompute = (dipp_recompute)i};
        if (i == DIPP_RECOMPUTE_AUTO)
            settings.memory_limit = runs[0].arena - 1;
        trained t;
        dipp_pretrain *run;
        dipp_plan_report report;
        trained_open(&t, false);
        CHECK(dipp_pretrain_create(t.models, &(dipp_sample_source){NULL, draw}, &settings, &report, &run, error));
        CHECK(dipp_pretrain_run(run, &(dipp_pretrain_observer){0}, error));
        runs[i] = (outcome){.arena = report.arena_bytes,
                            .useful = dipp_pretrain_flops(run),
                            .again = dipp_pretrain_recomputed_flops(run)};
        dipp_parameter_set *const sets[] = {t.models->reference_set, t.models->reference_ema};
        runs[i].numbers = masters(sets, 2, &runs[i].count);
        dipp_pretrain_destroy(&run);
        trained_close(&t);
    }
    assert_true(runs[0].again == 0 && runs[1].again > 0 && runs[2].again == runs[1].again);
    assert_true(runs[1].useful == runs[0].useful);
    assert_true(runs[1].arena < runs[0].arena);
    assert_int_equal(runs[2].arena, runs[1].arena);
    for (int i = 1; i < 3; i++)
        assert_memory_equal(runs[i].numbers, runs[0].numbers, runs[0].count * sizeof *runs[0].numbers);
    for (int i = 0; i < 3; i++)
        test_free(runs[i].numbers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alignments_are_equal_to_the_bit),
        cmocka_unit_test(memory_decides_where_it_is_left_to_it),
        cmocka_unit_test(pretrainings_are_equal_to_the_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
