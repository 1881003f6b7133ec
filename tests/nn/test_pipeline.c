/* Published pipelines, from the folders that diffusers saved to the numbers that its classes compute, through the plugins alone:
 * test_nn_pipeline NAME FILE. What is expected is written by fixtures/make_pipeline_fixture.py. */
#include "fixture.h"
#include "instance.h"
#include "replay.h"

#include "base/memory.h"
#include "experiment/run_weights.h"
#include "train/models.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum {
    PROMPTS = 3,
    N = 2,
    LATENT = 4 * 8 * 8,
    LATENTS = N * LATENT,
    PICTURES = N * 3 * 16 * 16,
    MOST_STATES = 3 * 120 * 12
};

#define FOLDER DIPP_FIXTURE_FOLDER "/pipelines/"

/* As in the script. */
static const char *const prompts[PROMPTS] = {"", "a red cat", "  Two DOGS in the SNOW, a cat sat on the mat. "};
static const double omega = 3;
static const double steps[] = {751, 501, 251, 1};

typedef struct subject {
    const char *plugin, *name, *folder;
    int64_t length, width;
    double t_init; /* of its one-step generators */
} subject;

static const subject subjects[] = {{"unet", "sd", "pipeline=" FOLDER "sd", 77, 8, 625},
                                   {"dit", "pixart", "pipeline=" FOLDER "pixart", 120, 12, 400}};

static const subject *current;
static const char *plugin_file;
static const dipp_plugin *reference_plugin, *generator_plugin;
static const dipp_reference *reference;
static dipp_weights *expected;
static instance whole; /* the reference, by its folder alone */

static int load(void **state)
{
    (void)state;
    dipp_error error = {0};
    instance_load(plugin_file, &reference_plugin, &generator_plugin);
    reference = reference_plugin->vtable;
    expected = fixture_open(FOLDER "expected.safetensors");
    if (instance_create(reference_plugin, &current->folder, 1, &whole, &error) != DIPP_OK)
        fail_msg("%s", error.message);
    return 0;
}

static int unload(void **state)
{
    (void)state;
    instance_destroy(reference_plugin, &whole);
    dipp_weights_destroy(&expected);
    return 0;
}

static double *get(const char *what, size_t count)
{
    char key[64];
    snprintf(key, sizeof key, "%s.%s", current->name, what);
    return fixture_get(expected, key, count);
}

/* Within tolerance of the largest number, or of 1. */
static void compare(const char *what, const double *found, size_t count, double tolerance)
{
    double *wanted = get(what, count), largest = 1;
    for (size_t i = 0; i < count; i++)
        largest = fmax(largest, fabs(wanted[i]));
    fixture_compare(what, found, wanted, count, tolerance * largest);
    free(wanted);
}

/* The weights as the program finds them. */
static void load_weights(replay *r, dipp_weights_part part)
{
    char folder[512];
    dipp_error error = {0};
    snprintf(folder, sizeof folder, FOLDER "%s", current->name);
    char *file = dipp_run_weights_part(folder, part);
    assert_non_null(file);
    if (dipp_weights_read_sets(file, "model", &r->set, 1, &error) != DIPP_OK)
        fail_msg("%s", error.message);
    dipp_release(file);
}

/* ---- Text -------------------------------------------------------------------------------------------------------- */

static void tokens_of(int32_t *tokens, float *mask)
{
    dipp_error error = {0};
    if (reference->tokenize(whole.self, prompts, PROMPTS, tokens, mask, &error) != DIPP_OK)
        fail_msg("%s", error.message);
}

static void prompts_become_the_pipelines_tokens(void **state)
{
    (void)state;
    size_t count = (size_t)(PROMPTS * current->length);
    int32_t tokens[PROMPTS * 120];
    float mask[PROMPTS * 120];
    tokens_of(tokens, mask);
    double *wanted = get("tokens", count), *valid = get("mask", count);
    for (size_t i = 0; i < count; i++) {
        if (tokens[i] != (int32_t)wanted[i] || (double)mask[i] != valid[i])
            fail_msg("token %zu is %d (%g), expected %g (%g)", i, tokens[i], (double)mask[i], wanted[i], valid[i]);
    }
    free(wanted);
    free(valid);
}

/* States [PROMPTS, length, width] into out. */
static void encode(const char *backend, const char *precision, double *out)
{
    size_t count = (size_t)(PROMPTS * current->length);
    int32_t tokens[PROMPTS * 120];
    float mask[PROMPTS * 120];
    double ids[PROMPTS * 120], valid[PROMPTS * 120];
    replay r;
    tokens_of(tokens, mask);
    for (size_t i = 0; i < count; i++)
        ids[i] = tokens[i], valid[i] = (double)mask[i];
    replay_begin(&r, "text");
    replay_on(&r, backend, precision);
    dipp_prompt text = {dipp_input(r.graph, "tokens", DIPP_INT32, DIPP_SHAPE(PROMPTS, current->length)),
                        dipp_input(r.graph, "mask", DIPP_WIDE, DIPP_SHAPE(PROMPTS, current->length))};
    dipp_condition c = reference->encode_text(whole.self, r.graph, r.slot, text);
    assert_int_equal(c.count, 2);
    dipp_output(r.graph, "states", dipp_cast(r.graph, c.parts[0], DIPP_WIDE));
    replay_prepare(&r);
    load_weights(&r, DIPP_PART_TEXT);
    replay_write_ids(&r, "tokens", ids, count);
    replay_write(&r, "mask", valid, count);
    replay_run(&r);
    double *states = replay_read(&r, "states", count * (size_t)current->width);
    memcpy(out, states, count * (size_t)current->width * sizeof *out);
    free(states);
    replay_end(&r);
}

static void text_states(const char *backend, const char *precision, double tolerance)
{
    double states[MOST_STATES];
    encode(backend, precision, states);
    compare("states", states, (size_t)(PROMPTS * current->length * current->width), tolerance);
}

/* ---- Samples ----------------------------------------------------------------------------------------------------- */

/* The network on the two samples without and with their prompts. */
typedef struct denoiser {
    replay r;
    dipp_space space;
} denoiser;

static void denoiser_begin(denoiser *d, const char *backend, const char *precision)
{
    size_t row = (size_t)(current->length * current->width), length = (size_t)current->length;
    double all[MOST_STATES], rows[4 * 120 * 12], valid[4 * 120];
    d->space = (dipp_space){.struct_size = sizeof d->space};
    assert_int_equal(reference->space(whole.self, &d->space, NULL), DIPP_OK);
    replay_begin(&d->r, "network");
    replay_on(&d->r, backend, precision);
    dipp_graph *g = d->r.graph;
    dipp_level level = {dipp_input(g, "t", DIPP_WIDE, DIPP_SHAPE(2 * N)),
                        dipp_input(g, "alpha", DIPP_WIDE, DIPP_SHAPE(2 * N)),
                        dipp_input(g, "sigma", DIPP_WIDE, DIPP_SHAPE(2 * N))};
    dipp_condition c = {
        .count = 2,
        .parts = {dipp_input(g, "states", DIPP_WIDE, DIPP_SHAPE(2 * N, current->length, current->width)),
                  dipp_input(g, "mask", DIPP_WIDE, DIPP_SHAPE(2 * N, current->length))}};
    dipp_tensor x = dipp_input(g, "x", DIPP_WIDE, DIPP_SHAPE(2 * N, 4, 8, 8));
    dipp_output(g, "eps", dipp_cast(g, reference->predict(whole.self, g, d->r.slot, x, level, c), DIPP_WIDE));
    replay_prepare(&d->r);
    load_weights(&d->r, DIPP_PART_NETWORK);

    double *mask = get("mask", PROMPTS * length);
    encode(backend, precision, all);
    for (size_t i = 0; i < 2 * N; i++) { /* "", "", the second, the third */
        size_t from = i < N ? 0 : i - 1;
        memcpy(rows + i * row, all + from * row, row * sizeof *rows);
        memcpy(valid + i * length, mask + from * length, length * sizeof *valid);
    }
    replay_write(&d->r, "states", rows, 2 * N * row);
    replay_write(&d->r, "mask", valid, 2 * N * length);
    free(mask);
}

/* x0 of one step with guidance w, and the noise that it leaves: both [N, 4, 8, 8]. */
static void denoise(denoiser *d, const double *x, const double t[N], double w, double *x0, double *eps)
{
    double both[2 * LATENTS], times[2 * N], unused[2 * N] = {0};
    for (int i = 0; i < 2 * N; i++)
        times[i] = t[i % N];
    memcpy(both, x, LATENTS * sizeof *both);
    memcpy(both + LATENTS, x, LATENTS * sizeof *both);
    replay_write(&d->r, "x", both, 2 * LATENTS);
    replay_write(&d->r, "t", times, 2 * N);
    replay_write(&d->r, "alpha", unused, 2 * N); /* the networks know a level by its step */
    replay_write(&d->r, "sigma", unused, 2 * N);
    replay_run(&d->r);
    double *out = replay_read(&d->r, "eps", 2 * LATENTS);
    for (int i = 0; i < LATENTS; i++) {
        double alpha, sigma;
        dipp_schedule_at(&d->space.schedule, t[i / LATENT], &alpha, &sigma);
        eps[i] = out[i] + w * (out[LATENTS + i] - out[i]);
        x0[i] = (x[i] - sigma * eps[i]) / alpha;
    }
    free(out);
}

/* Deterministic steps from 2 x, as DDIM makes them. */
static void sample(denoiser *d, const double *x, double *out)
{
    double x0[LATENTS], eps[LATENTS];
    for (int i = 0; i < LATENTS; i++)
        out[i] = 2 * x[i];
    for (int k = 0; k < 3; k++) {
        double alpha, sigma;
        denoise(d, out, (const double[]){steps[k], steps[k]}, omega, x0, eps);
        dipp_schedule_at(&d->space.schedule, steps[k + 1], &alpha, &sigma);
        for (int i = 0; i < LATENTS; i++)
            out[i] = alpha * x0[i] + sigma * eps[i];
    }
}

static void decode(const double *x0, const char *backend, const char *precision, double tolerance)
{
    replay r;
    replay_begin(&r, "decoder");
    replay_on(&r, backend, precision);
    dipp_tensor x = dipp_input(r.graph, "x0", DIPP_WIDE, DIPP_SHAPE(N, 4, 8, 8));
    dipp_output(r.graph, "pictures", dipp_cast(r.graph, reference->decode(whole.self, r.graph, r.slot, x), DIPP_WIDE));
    replay_prepare(&r);
    load_weights(&r, DIPP_PART_AUTOENCODER);
    replay_write(&r, "x0", x0, LATENTS);
    replay_run(&r);
    double *pictures = replay_read(&r, "pictures", PICTURES);
    compare("pictures", pictures, PICTURES, tolerance);
    free(pictures);
    replay_end(&r);
}

static void samples(const char *backend, const char *precision, double tolerance, bool with_sampler)
{
    denoiser d;
    double *x = get("x", LATENTS), *t = get("t", N), x0[LATENTS], other[LATENTS];
    denoiser_begin(&d, backend, precision);
    denoise(&d, x, t, 1, x0, other);
    compare("x0", x0, LATENTS, tolerance);
    denoise(&d, x, t, omega, x0, other);
    compare("guided", x0, LATENTS, tolerance);
    decode(x0, backend, precision, tolerance);
    if (with_sampler) {
        sample(&d, x, other);
        compare("ddim", other, LATENTS, tolerance);
    }
    replay_end(&d.r);
    free(x);
    free(t);
}

static void everything_agrees_in_double(void **state)
{
    (void)state;
    text_states("reference", "f64", 1e-8);
    samples("reference", "f64", 1e-8, true);
}

static void everything_agrees_in_single(void **state)
{
    (void)state;
    if (!replay_available("cpu", "f32"))
        skip();
    text_states("cpu", "f32", 5e-5);
    samples("cpu", "f32", 5e-5, false);
}

static void the_schedule_is_the_folders(void **state)
{
    (void)state;
    static const double at[] = {0, 20, 399, 625, 999};
    dipp_space space = {.struct_size = sizeof space};
    double found[5], alpha, sigma;
    assert_int_equal(reference->space(whole.self, &space, NULL), DIPP_OK);
    assert_int_equal(space.parameterisation, DIPP_PREDICTS_EPS);
    assert_int_equal(space.token_length, current->length);
    assert_true(space.images);
    for (int i = 0; i < 5; i++) {
        dipp_schedule_at(&space.schedule, at[i], &alpha, &sigma);
        found[i] = alpha * alpha;
    }
    compare("alphas", found, 5, 1e-12);
}

/* ---- Parameters beside a folder ---------------------------------------------------------------------------------- */

static void a_generator_starts_where_it_is_told(void **state)
{
    (void)state;
    const dipp_generator *generator = generator_plugin->vtable;
    dipp_space space = {.struct_size = sizeof space};
    dipp_generator_info info = {.struct_size = sizeof info};
    dipp_error error = {0};
    instance i;
    char t_init[32];
    double alpha, sigma;
    snprintf(t_init, sizeof t_init, "t_init=%g", current->t_init);
    const char *assignments[] = {current->folder, t_init, "unit_noise=true", "sigma_init=2.0"};
    assert_int_equal(reference->space(whole.self, &space, NULL), DIPP_OK);
    assert_int_equal(instance_create(generator_plugin, assignments, 3, &i, &error), DIPP_OK);
    assert_int_equal(generator->info(i.self, &info, NULL), DIPP_OK);
    dipp_schedule_at(&space.schedule, current->t_init, &alpha, &sigma);
    assert_true(fabs(info.sigma_init - sigma / alpha) < 1e-12 && info.unit_noise);
    assert_true(fabs(dipp_schedule_time_of(&space.schedule, info.sigma_init) - current->t_init) < 1e-6);
    assert_memory_equal(&info.sample, &space.sample, sizeof info.sample);
    instance_destroy(generator_plugin, &i);

    assert_int_equal(instance_create(generator_plugin, assignments, 4, &i, &error), DIPP_E_INVALID);
    assert_non_null(strstr(error.message, "sigma_init and t_init"));
    instance_destroy(generator_plugin, &i);
    assert_int_equal(instance_create(generator_plugin, assignments, 1, &i, &error), DIPP_E_INVALID);
    assert_non_null(strstr(error.message, "write t_init"));
    instance_destroy(generator_plugin, &i);
    assignments[1] = "t_init=1000";
    assert_int_equal(instance_create(generator_plugin, assignments, 2, &i, &error), DIPP_E_INVALID);
    assert_non_null(strstr(error.message, "t_init 1000 is no step"));
    instance_destroy(generator_plugin, &i);
}

static void a_folder_says_what_is_not_written(void **state)
{
    (void)state;
    static const char *const said[] = {"channels=4",           "layers=[1]",           "layers=1",
                                       "parameterisation=eps", "beta_end=0.5",         "time_scale=1",
                                       "text_encoder=t5",      "vocabulary=words.txt", "vae_layers=1"};
    dipp_error error = {0};
    dipp_parameters *parameters = NULL;
    for (size_t k = 0; k < sizeof said / sizeof *said; k++) {
        const char *assignments[] = {current->folder, said[k]};
        if (!strcmp(said[k], strcmp(current->plugin, "unet") ? "layers=[1]" : "layers=1"))
            continue; /* of the other plugin */
        assert_int_equal(dipp_parameters_create_from_text(reference_plugin->parameters,
                                                          reference_plugin->parameter_count, assignments, 2,
                                                          &parameters, &error),
                         DIPP_E_INVALID);
        if (!strstr(error.message, "is written beside `pipeline`"))
            fail_msg("%s: %s", said[k], error.message);
    }
    dipp_space space = {.struct_size = sizeof space};
    instance i;
    const char *assignments[] = {current->folder, "size=12", "token_length=20"};
    assert_int_equal(instance_create(reference_plugin, assignments, 3, &i, &error), DIPP_OK);
    assert_int_equal(reference->space(i.self, &space, NULL), DIPP_OK);
    assert_int_equal(space.sample.dims[1], 12);
    assert_int_equal(space.token_length, 20);
    instance_destroy(reference_plugin, &i);
}

/* The same text encoder without the rest of a folder. */
static void a_text_encoder_can_be_named_alone(void **state)
{
    (void)state;
    bool clip = !strcmp(current->plugin, "unet");
    const char *const named[] = {clip ? "text_encoder=clip" : "text_encoder=t5",
                                 clip ? "vocabulary=" FOLDER "sd/tokenizer/vocab.json"
                                      : "vocabulary=" FOLDER "pixart/tokenizer/spiece.model",
                                 clip ? "text_config=" FOLDER "sd/text_encoder/config.json"
                                      : "text_config=" FOLDER "pixart/text_encoder/config.json",
                                 "merges=" FOLDER "sd/tokenizer/merges.txt"};
    size_t count = (size_t)(PROMPTS * current->length);
    int32_t tokens[PROMPTS * 120], same[PROMPTS * 120];
    float mask[PROMPTS * 120];
    dipp_error error = {0};
    instance i;
    tokens_of(tokens, mask);
    if (instance_create(reference_plugin, named, clip ? 4 : 3, &i, &error) != DIPP_OK)
        fail_msg("%s", error.message);
    assert_int_equal(reference->tokenize(i.self, prompts, PROMPTS, same, mask, &error), DIPP_OK);
    assert_memory_equal(tokens, same, count * sizeof *tokens);
    instance_destroy(reference_plugin, &i);
    assert_int_equal(instance_create(reference_plugin, named, 2, &i, &error), DIPP_E_INVALID);
    assert_non_null(strstr(error.message, "needs text_config"));
    instance_destroy(reference_plugin, &i);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prompts_become_the_pipelines_tokens), cmocka_unit_test(everything_agrees_in_double),
        cmocka_unit_test(everything_agrees_in_single),         cmocka_unit_test(the_schedule_is_the_folders),
        cmocka_unit_test(a_generator_starts_where_it_is_told), cmocka_unit_test(a_folder_says_what_is_not_written),
        cmocka_unit_test(a_text_encoder_can_be_named_alone),
    };
    for (size_t i = 0; argc == 3 && i < sizeof subjects / sizeof *subjects; i++)
        if (!strcmp(argv[1], subjects[i].plugin))
            current = &subjects[i];
    if (!current) {
        fprintf(stderr, "usage: %s unet|dit FILE\n", argv[0]);
        return 2;
    }
    plugin_file = argv[2];
    return cmocka_run_group_tests(tests, load, unload);
}
