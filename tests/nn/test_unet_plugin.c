/* What is particular to the plugin `unet`: lists of blocks, and samples that are an autoencoder's latents.
 * test_nn_unet_plugin FILE. */
#include "fixture.h"
#include "instance.h"
#include "replay.h"

#include <dipp/nn.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { N = 2 };

static const char *plugin_file;
static const dipp_plugin *reference_plugin, *generator_plugin;
static const dipp_reference *reference;

static int load(void **state)
{
    instance_load(plugin_file, &reference_plugin, &generator_plugin);
    reference = reference_plugin->vtable;
    return 0;
}

#define CREATE(plugin, out, ...)                                                                               \
    do {                                                                                                       \
        const char *const assignments_[] = {__VA_ARGS__};                                                      \
        dipp_error error_ = {0};                                                                               \
        if (instance_create(plugin, assignments_, sizeof assignments_ / sizeof *assignments_, out, &error_) != \
            DIPP_OK)                                                                                           \
            fail_msg("%s", error_.message);                                                                    \
    } while (0)

static dipp_level level_inputs(dipp_graph *g)
{
    return (dipp_level){.t = dipp_input(g, "t", DIPP_WIDE, DIPP_SHAPE(N)),
                        .alpha = dipp_input(g, "alpha", DIPP_WIDE, DIPP_SHAPE(N)),
                        .sigma = dipp_input(g, "sigma", DIPP_WIDE, DIPP_SHAPE(N))};
}

#define STABLE_DIFFUSION                                                                                         \
    "channels=4", "size=64", "widths=[320, 640, 1280, 1280]", "layers=[2]", "heads=[8]", "parameterisation=eps", \
        "down_blocks=[CrossAttnDownBlock2D, CrossAttnDownBlock2D, CrossAttnDownBlock2D, DownBlock2D]",           \
        "up_blocks=[UpBlock2D, CrossAttnUpBlock2D, CrossAttnUpBlock2D, CrossAttnUpBlock2D]"

/* By parameters alone: SD 1.5 with the autoencoder that it is published with. */
static void parameters_reach_stable_diffusion(void **state)
{
    dipp_weights *file = fixture_open(DIPP_FIXTURE_FOLDER "/unet.safetensors");
    instance i;
    CREATE(reference_plugin, &i, STABLE_DIFFUSION, "vae_widths=[128, 256, 512, 512]");
    dipp_space space = {.struct_size = sizeof space};
    assert_int_equal(reference->space(i.self, &space, NULL), DIPP_OK);
    assert_true(space.images);
    assert_int_equal(space.sample.dims[0], 4);
    assert_int_equal(space.sample.dims[1], 64);
    assert_int_equal(space.schedule.kind, DIPP_SCHEDULE_DISCRETE);

    replay r, v;
    replay_begin(&r, "unet");
    dipp_condition c = {.count = 2,
                        .parts = {dipp_input(r.graph, "states", DIPP_WIDE, DIPP_SHAPE(N, 77, 768)),
                                  dipp_input(r.graph, "mask", DIPP_WIDE, DIPP_SHAPE(N, 77))}};
    dipp_tensor x = dipp_input(r.graph, "x", DIPP_WIDE, DIPP_SHAPE(N, 4, 64, 64));
    assert_int_not_equal(reference->predict(i.self, r.graph, r.slot, x, level_inputs(r.graph), c).id, 0);
    replay_compare_manifest(&r, file, "sd15");
    replay_end(&r);

    replay_begin(&v, "vae");
    x = dipp_input(v.graph, "x", DIPP_WIDE, DIPP_SHAPE(N, 4, 64, 64));
    dipp_tensor pictures = reference->decode(i.self, v.graph, v.slot, x);
    assert_int_equal(dipp_dim(v.graph, pictures, 1), 3);
    assert_int_equal(dipp_dim(v.graph, pictures, 2), 512);
    dipp_tensor latents = reference->encode(i.self, v.graph, v.slot, pictures);
    assert_int_equal(dipp_dim(v.graph, latents, 1), 4);
    assert_int_equal(dipp_dim(v.graph, latents, 3), 64);
    replay_compare_manifest(&v, file, "sdvae");
    replay_end(&v);
    instance_destroy(reference_plugin, &i);
    dipp_weights_destroy(&file);
}

/* Decoding gives pictures in [0, 1] where the autoencoder says [-1, 1], and encoding starts from them. */
static void latents_become_pictures_and_back(void **state)
{
    enum { LATENTS = N * 4 * 3 * 3, PICTURES = N * 3 * 12 * 12 };
    static const dipp_vae_options tiny = {
        .latent_channels = 4, .levels = 3, .channels = {4, 8, 6}, .layers = 1, .groups = 2, .scaling = 0.5};
    instance i;
    CREATE(reference_plugin, &i, "channels=4", "size=3", "widths=[4]", "groups=2", "heads=[1]",
           "down_blocks=[DownBlock2D]", "up_blocks=[UpBlock2D]", "mid_block=none", "vae_widths=[4, 8, 6]",
           "vae_layers=1", "vae_groups=2", "vae_scaling=0.5");
    replay r;
    replay_begin(&r, "vae");
    dipp_graph *g = r.graph;
    dipp_tensor x = dipp_input(g, "x", DIPP_WIDE, DIPP_SHAPE(N, 4, 3, 3));
    dipp_tensor pictures = reference->decode(i.self, g, r.slot, x);
    dipp_output(g, "pictures", pictures);
    dipp_output(g, "decoded", dipp_vae_decode(g, r.slot, &tiny, x));
    dipp_output(g, "latents", reference->encode(i.self, g, r.slot, pictures));
    dipp_output(g, "encoded", dipp_vae_encode(g, r.slot, &tiny, dipp_vae_decode(g, r.slot, &tiny, x)));
    replay_prepare(&r);
    double numbers[LATENTS];
    fixture_noise("x", 0.3, numbers, LATENTS);
    replay_write(&r, "x", numbers, LATENTS);
    replay_run(&r);
    double *found = replay_read(&r, "pictures", PICTURES), *expected = replay_read(&r, "decoded", PICTURES);
    for (int k = 0; k < PICTURES; ++k)
        expected[k] = expected[k] / 2 + 0.5;
    fixture_compare("pictures", found, expected, PICTURES, 1e-12);
    free(found);
    free(expected);
    found = replay_read(&r, "latents", LATENTS);
    expected = replay_read(&r, "encoded", LATENTS);
    fixture_compare("latents", found, expected, LATENTS, 1e-12);
    free(found);
    free(expected);
    replay_end(&r);
    instance_destroy(reference_plugin, &i);
}

static void wrong_lists_are_named(void **state)
{
    static const struct {
        const char *assignments[2], *text;
    } cases[] = {
        {{"widths=[32, 64]", "layers=[1, 2, 3]"}, "layers has 3 entries for the 2 levels"},
        {{"widths=[32, 64]", "layers=[1]"}, "down_blocks has 3 entries for the 2 levels"},
        {{"widths=[32, 64, 96]", "up_blocks=[UpBlock2D]"}, "up_blocks has 1 entries for the 3 levels"},
        {{"widths=[32, 64, 96]", "down_blocks=[DownBlock2D, UpBlock2D, DownBlock2D]"},
         "down_blocks knows DownBlock2D and CrossAttnDownBlock2D, not \"UpBlock2D\""},
        {{"widths=[32, 32, 32, 32, 32, 32, 32, 32, 32]", "layers=[1]"}, "1 to 8 levels"},
        {{"vae_widths=[32, 48]", "vae_groups=32"}, "level 1 has 48 channels"},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; ++k) {
        instance i;
        dipp_error error = {0};
        assert_int_equal(instance_create(reference_plugin, cases[k].assignments, 2, &i, &error), DIPP_E_INVALID);
        if (!strstr(error.message, cases[k].text))
            fail_msg("case %zu says: %s", k, error.message);
        instance_destroy(reference_plugin, &i);
    }
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s FILE\n", argv[0]);
        return 2;
    }
    plugin_file = argv[1];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parameters_reach_stable_diffusion),
        cmocka_unit_test(latents_become_pictures_and_back),
        cmocka_unit_test(wrong_lists_are_named),
    };
    return cmocka_run_group_tests(tests, load, NULL);
}
