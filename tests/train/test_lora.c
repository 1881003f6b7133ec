/* Alignment by adapters: an optimum that is known and within their reach, frozen weights that stay and are held once, and
 * checkpoints of overlays. */
#include "runner.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct adapted {
    dipp_plugins *plugins;
    dipp_backend *backend;
    dipp_parameters *parameters[2];
    dipp_models *models;
    dipp_prompt_table *prompts;
    dipp_align *align;
} adapted;

static const dipp_plugin *find(adapted *a, int slot, dipp_plugin_kind kind, const char *name,
                               const char *const *assignments, uint32_t count)
{
    const dipp_loaded_plugin *loaded = NULL;
    CHECK(dipp_plugins_find(a->plugins, kind, name, &loaded, error));
    const dipp_plugin *p = loaded->descriptor;
    CHECK(dipp_parameters_create_from_text(p->parameters, p->parameter_count, assignments, count, &a->parameters[slot],
                                           error));
    return p;
}

/* Models of the named plugins. choices[0] is the generator's adapter, choices[1] the TA's. */
static void open_models(adapted *a, const char *reference, const char *generator, const char *const *assignments,
                        uint32_t count, const dipp_adapter_choice choices[2])
{
    static const dipp_host host = {.struct_size = sizeof host};
    static const dipp_schedule schedule = {.kind = DIPP_SCHEDULE_VE, .t_min = 0.5, .t_max = 2};
    const char *file = getenv("DIPP_TEST_PLUGINS");
    *a = (adapted){0};
    CHECK(dipp_plugins_open(&(dipp_plugins_options){.files = &file, .file_count = 1, .no_environment = true},
                            &a->plugins, error));
    CHECK(dipp_reference_backend_create(
        &(dipp_backend_options){.struct_size = sizeof(dipp_backend_options), .precision = "f64"}, &a->backend, error));
    dipp_models_options options = {.schedule = &schedule,
                                   .train_generator = true,
                                   .host = &host,
                                   .generator_adapter = choices[0],
                                   .ta_adapter = choices[1]};
    options.reference.plugin = find(a, 0, DIPP_PLUGIN_REFERENCE, reference, assignments, count);
    options.generator.plugin = find(a, 1, DIPP_PLUGIN_GENERATOR, generator, assignments, count);
    options.reference.parameters = a->parameters[0];
    options.generator.parameters = a->parameters[1];
    CHECK(dipp_models_create(a->backend, &options, &a->models, error));
    CHECK(dipp_models_initialise(a->models, 1, error));
}

static void close_models(adapted *a)
{
    dipp_align_destroy(&a->align);
    dipp_prompt_table_destroy(&a->prompts);
    dipp_models_destroy(&a->models);
    dipp_backend_destroy(&a->backend);
    dipp_parameters_destroy(&a->parameters[0]);
    dipp_parameters_destroy(&a->parameters[1]);
    dipp_plugins_destroy(&a->plugins);
}

/* ---- The linear case ------------------------------------------------------------------------------------------------
 *
 * All noise has the size s = 1, so the denoiser of N(0, C) is the matrix C (C + s^2)^-1. The reference has C = diag(1/4, 1),
 * the generator starts at W = 1, which is diag(1/2, 1) plus a matrix of rank 1, and so is every TA on the way: rank 1 reaches
 * the optimum W W^T = C, where the TA is the reference. */

static const double reference_matrix[4] = {0.2, 0, 0, 0.5}, generator_matrix[4] = {1, 0, 0, 1};

static dipp_align_settings settings_of(int64_t steps)
{
    const dipp_time_sampler level = {.law = {.kind = DIPP_TIME_UNIFORM, .min = 0.9999, .max = 1.0001}};
    const dipp_optimizer_settings adam = {.kind = DIPP_OPTIMIZER_ADAMW,
                                          .lr = 0.01,
                                          .beta1 = 0.5,
                                          .beta2 = 0.99,
                                          .epsilon = 1e-8,
                                          .schedule = DIPP_RATE_COSINE,
                                          .final_share = 0};
    dipp_align_settings settings = {.seed = 5,
                                    .steps = steps,
                                    .batch = 256,
                                    .cfg_omega = 1,
                                    .time = level,
                                    .ta_time = level,
                                    .ta_loss = DIPP_LOSS_DATA1,
                                    .ta_updates = 2,
                                    .ta_warmup = 50,
                                    .optimizer = adam,
                                    .ta_optimizer = adam,
                                    .average = {.decay = 0.98}};
    settings.ta_optimizer.lr = 0.02;
    return settings;
}

static const dipp_adapter_choice rank_one[2] = {
    {.lora = {.rank = 1, .alpha = 2, .targets = {"map"}, .target_count = 1}},
    {.lora = {.rank = 1, .alpha = 2, .targets = {"to_q"}, .target_count = 1}, .over_reference = true}};

static void open_linear(adapted *a, int64_t steps)
{
    dipp_align_settings settings = settings_of(steps);
    open_models(a, "linear-denoiser", "linear-map", NULL, 0, rank_one);
    exact_write(a->models->reference_set, "denoiser.to_q.weight", reference_matrix);
    exact_write(a->models->generator_set, "map.weight", generator_matrix);
    CHECK(dipp_prompt_table_create(a->models, NULL, 0, &a->prompts, error));
    CHECK(dipp_align_create(a->models, a->prompts, &settings, NULL, &a->align, error));
}

/* base + 2 B A. */
static void effective(const dipp_parameter_set *base, const dipp_parameter_set *overlay, const char *layer, double w[4])
{
    char name[64];
    double a[2], b[2];
    snprintf(name, sizeof name, "%s.weight", layer);
    exact_read(base, name, w);
    snprintf(name, sizeof name, "%s.lora_A.weight", layer);
    exact_read(overlay, name, a);
    snprintf(name, sizeof name, "%s.lora_B.weight", layer);
    exact_read(overlay, name, b);
    for (int i = 0; i < 4; i++)
        w[i] += 2 * b[i / 2] * a[i % 2];
}

static void adapters_reach_the_optimum(void **state)
{
    adapted a;
    double w[4], kept[4];
    open_linear(&a, 1500);
    const dipp_models *m = a.models;
    assert_ptr_equal(m->ta_set, m->reference_set);
    CHECK(dipp_align_run(a.align, &(dipp_align_observer){.context = NULL}, error));
    effective(m->generator_set, m->generator_overlay.average, "map", w);
    exact_near("variance of the first", w[0] * w[0] + w[1] * w[1], 0.25, 0.02, 0);
    exact_near("variance of the second", w[2] * w[2] + w[3] * w[3], 1, 0.02, 0);
    exact_near("covariance", w[0] * w[2] + w[1] * w[3], 0, 0, 0.01);
    effective(m->ta_set, m->ta_overlay.set, "denoiser.to_q", w);
    for (int i = 0; i < 4; i++)
        exact_near("TA", w[i], reference_matrix[i], 0, 0.02);
    /* With the adapters off both networks are what they were, to the bit. */
    exact_read(m->reference_set, "denoiser.to_q.weight", kept);
    assert_memory_equal(kept, reference_matrix, sizeof kept);
    exact_read(m->generator_set, "map.weight", kept);
    assert_memory_equal(kept, generator_matrix, sizeof kept);
    close_models(&a);
}

/* All that a step leaves behind. */
static void state_of(const adapted *a, double out[6 * 4])
{
    const dipp_overlay *generator = &a->models->generator_overlay, *ta = &a->models->ta_overlay;
    const dipp_parameter_set *sets[] = {generator->set, generator->set, generator->average, ta->set, ta->set, ta->set};
    static const dipp_block blocks[] = {DIPP_BLOCK_MASTER, DIPP_BLOCK_MOMENT2, DIPP_BLOCK_MASTER,
                                        DIPP_BLOCK_MASTER, DIPP_BLOCK_MOMENT1, DIPP_BLOCK_MOMENT2};
    for (int i = 0; i < 6; i++) {
        double block[2 * DIPP_LAYOUT_ALIGNMENT];
        assert_int_equal(dipp_layout_elements(sets[i]->layout), 2 * DIPP_LAYOUT_ALIGNMENT);
        dipp_parameter_set_read(sets[i], blocks[i], block, DIPP_HOST_F64);
        for (int k = 0; k < 4; k++)
            out[4 * i + k] = block[k / 2 * DIPP_LAYOUT_ALIGNMENT + k % 2];
    }
}

static dipp_status save_and_stop(void *context, dipp_align *align, int64_t step, dipp_error *error)
{
    if (step != 7)
        return DIPP_OK;
    dipp_status status = dipp_align_save(align, context, NULL, error);
    return status == DIPP_OK ? dipp_fail(error, DIPP_E_INTERRUPTED, "enough") : status;
}

static void checkpoints_hold_the_overlays_alone(void **state)
{
    adapted whole, halves;
    double expected[24], found[24];
    char path[] = "/tmp/dipp-test-lora-checkpoint-XXXXXX";
    dipp_error why = {0};
    int file = mkstemp(path);
    assert_true(file >= 0);
    open_linear(&whole, 20);
    CHECK(dipp_align_run(whole.align, &(dipp_align_observer){.context = NULL}, error));
    state_of(&whole, expected);
    close_models(&whole);

    open_linear(&halves, 20);
    dipp_align_observer observer = {.context = path, .after_step = save_and_stop};
    assert_int_equal(dipp_align_run(halves.align, &observer, &why), DIPP_E_INTERRUPTED);
    close_models(&halves);
    open_linear(&halves, 20);
    CHECK(dipp_align_load(halves.align, path, error));
    CHECK(dipp_align_run(halves.align, &(dipp_align_observer){.context = NULL}, error));
    state_of(&halves, found);
    assert_memory_equal(found, expected, sizeof expected);
    close_models(&halves);

    struct stat written; /* by its path: a checkpoint replaces the file */
    off_t blocks = 7 * 2 * DIPP_LAYOUT_ALIGNMENT * (off_t)sizeof(double);
    assert_int_equal(stat(path, &written), 0);
    assert_true(written.st_size > blocks && written.st_size < blocks + 2048);
    close(file);
    unlink(path);
}

/* ---- Shared frozen weights ------------------------------------------------------------------------------------------ */

static size_t bytes_of(const dipp_parameter_set *set)
{
    return set ? dipp_parameter_set_bytes(set) : 0;
}

/* What networks of a trainer hold, each set once. */
static size_t network_bytes(const dipp_models *m)
{
    size_t bytes = bytes_of(m->reference_set) + bytes_of(m->generator_ema) + bytes_of(m->generator_overlay.set) +
                   bytes_of(m->generator_overlay.average) + bytes_of(m->ta_overlay.set);
    if (m->generator_set != m->reference_set)
        bytes += bytes_of(m->generator_set);
    if (m->ta_set != m->reference_set)
        bytes += bytes_of(m->ta_set);
    return bytes;
}

static void frozen_weights_are_held_once(void **state)
{
    static const char *const small[] = {"size=8", "patch=4", "hidden=16", "layers=2", "heads=2"};
    dipp_adapter_choice choices[2] = {
        {.lora = {.rank = 4, .alpha = 4, .targets = {"to_q", "to_k", "to_v", "to_out.0"}, .target_count = 4}},
        {.lora = {.rank = 2, .alpha = 2, .targets = {"to_q"}, .target_count = 1}}};
    adapted a;
    open_models(&a, "dit", "dit", small, 5, (const dipp_adapter_choice[2]){{.over_reference = true}});
    size_t network = (size_t)dipp_layout_elements(a.models->reference_layout) * sizeof(double);
    assert_true(network_bytes(a.models) == (1 + 4 + 1 + 4) * network);
    close_models(&a);
    for (int shared = 0; shared < 2; shared++) {
        choices[0].over_reference = choices[1].over_reference = shared;
        open_models(&a, "dit", "dit", small, 5, choices);
        const dipp_models *m = a.models;
        size_t generator = (size_t)dipp_layout_elements(m->generator_overlay.layout) * sizeof(double);
        size_t ta = (size_t)dipp_layout_elements(m->ta_overlay.layout) * sizeof(double);
        assert_true(network_bytes(m) == (shared ? 1 : 3) * network + 5 * generator + 4 * ta);
        assert_int_equal(dipp_layout_parameters(m->generator_overlay.layout), 2 * 4 * (16 * 4 + 4 * 16));
        assert_int_equal(dipp_layout_parameters(m->ta_overlay.layout), 2 * (16 * 2 + 2 * 16));
        assert_true((m->generator_set == m->reference_set) == shared && (m->ta_set == m->reference_set) == shared);
        assert_null(m->reference_set->blocks[DIPP_BLOCK_GRADIENT]);
        assert_null(m->generator_set->blocks[DIPP_BLOCK_GRADIENT]);
        close_models(&a);
    }
    /* Other names: what cannot be shared is not. */
    choices[0].over_reference = choices[1].over_reference = true;
    open_models(&a, "linear-denoiser", "linear-map", NULL, 0,
                (const dipp_adapter_choice[2]){{.lora = rank_one[0].lora, .over_reference = true}, rank_one[1]});
    assert_ptr_not_equal(a.models->generator_set, a.models->reference_set);
    assert_ptr_equal(a.models->ta_set, a.models->reference_set);
    close_models(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adapters_reach_the_optimum),
        cmocka_unit_test(checkpoints_hold_the_overlays_alone),
        cmocka_unit_test(frozen_weights_are_held_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
