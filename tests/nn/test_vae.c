/* The autoencoder: tensors of the published configuration under both their names, and latents, pictures and gradients against
 * the published implementation (tests/fixtures/make_unet_fixture.py) in double precision. */
#include "fixture.h"
#include "replay.h"

#include "train/models.h"
#include "weights/writer.h"

#include <dipp/nn.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

enum { N = 2, PICTURES = N * 3 * 12 * 8, LATENTS = N * 4 * 3 * 2 };
/* Outputs and gradients of inputs; 5e-6 is found with AVX2. */
static const double cpu_tolerance = 5e-5;

static const dipp_vae_options published = {
    .latent_channels = 4, .levels = 4, .channels = {128, 256, 512, 512}, .layers = 2};
static const dipp_vae_options tiny = {
    .latent_channels = 4, .levels = 3, .channels = {4, 8, 6}, .layers = 1, .groups = 2};

static void the_published_configuration_has_the_published_tensors(void **state)
{
    dipp_weights *file = fixture_open(DIPP_FIXTURE_FOLDER "/unet.safetensors");
    dipp_error error = {0};
    replay r;
    replay_begin(&r, "sdvae");
    dipp_graph *g = r.graph;
    dipp_tensor z = dipp_vae_encode(g, r.slot, &published, dipp_input(g, "x", DIPP_WIDE, DIPP_SHAPE(1, 3, 512, 512)));
    assert_int_equal(dipp_layout_count(r.layout), 108);
    assert_int_equal(dipp_layout_parameters(r.layout), 34163664);
    dipp_tensor x = dipp_vae_decode(g, r.slot, &published, z);
    assert_int_equal(dipp_layout_count(r.layout), 108 + 140);
    assert_int_equal(dipp_layout_parameters(r.layout), 34163664 + 49490199);
    replay_compare_manifest(&r, file, "sdvae");

    dipp_shape sz = dipp_shape_of(g, z), sx = dipp_shape_of(g, x);
    assert_memory_equal(sz.dims, ((const int64_t[]){1, 4, 64, 64}), 4 * sizeof(int64_t));
    assert_memory_equal(sx.dims, ((const int64_t[]){1, 3, 512, 512}), 4 * sizeof(int64_t));
    if (dipp_graph_status(g, &error) != DIPP_OK)
        fail_msg("%s", error.message);
    replay_end(&r);
    dipp_weights_destroy(&file);
}

static void files_of_either_age_are_known(void **state)
{
    static const char *const names[][2] = {
        {"query.weight", "to_q.weight"},     {"query.bias", "to_q.bias"},
        {"key.weight", "to_k.weight"},       {"key.bias", "to_k.bias"},
        {"value.weight", "to_v.weight"},     {"value.bias", "to_v.bias"},
        {"proj_attn.bias", "to_out.0.bias"}, {"proj_attn.weight", "to_out.0.weight"}};
    replay r;
    replay_begin(&r, "names");
    dipp_graph *g = r.graph;
    dipp_vae_decode(g, r.slot, &tiny, dipp_input(g, "z", DIPP_WIDE, DIPP_SHAPE(N, 4, 3, 2)));
    for (size_t i = 0; i < sizeof names / sizeof *names; ++i) {
        char name[128];
        uint32_t old, new;
        snprintf(name, sizeof name, "decoder.mid_block.attentions.0.%s", names[i][0]);
        assert_true(dipp_layout_find(r.layout, name, &old));
        snprintf(name, sizeof name, "decoder.mid_block.attentions.0.%s", names[i][1]);
        assert_true(dipp_layout_find(r.layout, name, &new));
        assert_int_equal(old, new);
        assert_string_equal(dipp_layout_entry_at(r.layout, new)->name, name);
    }
    replay_end(&r);
}

/* A file as SD 1.5 came with, and as its ancestors had it: old names, and linear layers stored as 1x1 convolutions. */
static void a_file_of_the_old_kind_is_read(void **state)
{
    static const char *const parts[][2] = {
        {".to_q.", ".query."}, {".to_k.", ".key."}, {".to_v.", ".value."}, {".to_out.0.", ".proj_attn."}};
    char path[] = "/tmp/dipp-test-vae-XXXXXX";
    dipp_error error = {0};
    int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    replay r;
    replay_begin(&r, "old");
    dipp_graph *g = r.graph;
    dipp_output(g, "y", dipp_vae_decode(g, r.slot, &tiny, dipp_input(g, "z", DIPP_WIDE, DIPP_SHAPE(N, 4, 3, 2))));
    replay_prepare(&r);
    size_t count = (size_t)dipp_layout_elements(r.layout), renamed = 0;
    float *numbers = calloc(count, sizeof *numbers), *found = calloc(count, sizeof *found);
    assert_non_null(numbers);
    assert_non_null(found);
    dipp_parameter_set_read(r.set, DIPP_BLOCK_MASTER, numbers, DIPP_HOST_F32);

    dipp_weights_writer *writer = NULL;
    assert_int_equal(dipp_weights_writer_create(path, &writer, &error), DIPP_OK);
    for (uint32_t i = 0; i < dipp_layout_count(r.layout); ++i) {
        const dipp_layout_entry *entry = dipp_layout_entry_at(r.layout, i);
        char name[256];
        uint64_t shape[4] = {1, 1, 1, 1};
        uint32_t rank = entry->shape.rank;
        for (uint32_t k = 0; k < rank; ++k)
            shape[k] = (uint64_t)entry->shape.dims[k];
        snprintf(name, sizeof name, "%s", entry->name);
        for (size_t k = 0; k < sizeof parts / sizeof *parts; ++k) {
            const char *at = strstr(entry->name, parts[k][0]);
            if (!at)
                continue;
            snprintf(name, sizeof name, "%.*s%s%s", (int)(at - entry->name), entry->name, parts[k][1],
                     at + strlen(parts[k][0]));
            rank = rank == 2 ? 4 : rank;
            renamed++;
        }
        assert_int_equal(
            dipp_weights_writer_add_f32(writer, name, DIPP_WEIGHT_F32, rank, shape, numbers + entry->offset, &error),
            DIPP_OK);
    }
    assert_int_equal(renamed, 8);
    assert_int_equal(dipp_weights_writer_commit(&writer, &error), DIPP_OK);

    dipp_parameter_set_write(r.set, DIPP_BLOCK_MASTER, found, DIPP_HOST_F32); /* zeros */
    if (dipp_weights_read_sets(path, "model", &r.set, 1, &error) != DIPP_OK)
        fail_msg("%s", error.message);
    dipp_parameter_set_read(r.set, DIPP_BLOCK_MASTER, found, DIPP_HOST_F32);
    assert_memory_equal(found, numbers, count * sizeof *found);
    free(numbers);
    free(found);
    unlink(path);
    replay_end(&r);
}

static void compare_with_fixture(const char *backend, const char *precision, double tolerance)
{
    dipp_weights *file = fixture_open(DIPP_FIXTURE_FOLDER "/unet.safetensors");
    replay r;
    replay_begin(&r, "vae");
    dipp_graph *g = r.graph;
    dipp_tensor in[2] = {dipp_input(g, "pictures", DIPP_WIDE, DIPP_SHAPE(N, 3, 12, 8)),
                         dipp_input(g, "z", DIPP_WIDE, DIPP_SHAPE(N, 4, 3, 2))};
    dipp_tensor probe[2] = {dipp_input(g, "probe.latents", DIPP_WIDE, DIPP_SHAPE(N, 4, 3, 2)),
                            dipp_input(g, "probe.decoded", DIPP_WIDE, DIPP_SHAPE(N, 3, 12, 8))};
    dipp_tensor out[2] = {dipp_vae_encode(g, r.slot, &tiny, in[0]), dipp_vae_decode(g, r.slot, &tiny, in[1])};
    dipp_tensor losses[2], gradients[2];
    for (int i = 0; i < 2; ++i)
        losses[i] = dipp_sum(g, dipp_mul(g, out[i], probe[i]), 0xf, false);
    dipp_gradients(g, 2, losses, NULL, 2, in, gradients);
    dipp_output(g, "latents", out[0]);
    dipp_output(g, "decoded", out[1]);
    dipp_output(g, "gradient.pictures", gradients[0]);
    dipp_output(g, "gradient.z", gradients[1]);
    replay_on(&r, backend, precision);
    replay_prepare(&r);

    double numbers[PICTURES];
    fixture_noise("probe", 1.0, numbers, PICTURES);
    replay_write(&r, "probe.latents", numbers, LATENTS);
    replay_write(&r, "probe.decoded", numbers, PICTURES);
    replay_write_from(&r, file, "vae", "pictures", PICTURES);
    replay_write_from(&r, file, "vae", "z", LATENTS);
    replay_run(&r);

    replay_compare_output(&r, file, "vae", "latents", LATENTS, tolerance);
    replay_compare_output(&r, file, "vae", "decoded", PICTURES, tolerance);
    replay_compare_output(&r, file, "vae", "gradient.pictures", PICTURES, tolerance);
    replay_compare_output(&r, file, "vae", "gradient.z", LATENTS, tolerance);
    replay_compare_weights(&r, file, "vae", 100 * tolerance);
    dipp_weights_destroy(&file);
    replay_end(&r);
}

static void latents_pictures_and_gradients_agree_with_the_published_implementation(void **state)
{
    compare_with_fixture("reference", "f64", 1e-9);
}

static void the_cpu_agrees_in_single_precision(void **state)
{
    if (!replay_available("cpu", "f32"))
        skip(); /* a build without oneDNN */
    compare_with_fixture("cpu", "f32", cpu_tolerance);
}

static void wrong_options_and_inputs_are_named(void **state)
{
    struct {
        dipp_vae_options options;
        const char *text;
    } cases[5];
    for (size_t i = 0; i < 5; ++i)
        cases[i].options = tiny;
    cases[0].options.channels[1] = 7, cases[0].text = "level 1 has 7 channels";
    cases[1].options.levels = 0, cases[1].text = "levels 1 to 8";
    cases[2].options.layers = 0, cases[2].text = "layers";
    cases[3].options.scaling = -1, cases[3].text = "scaling";
    cases[4].options.latent_channels = 0, cases[4].text = "latent_channels";
    for (size_t i = 0; i < 5; ++i) {
        dipp_error error = {0};
        assert_int_equal(dipp_vae_check(&cases[i].options, &error), DIPP_E_INVALID);
        if (!strstr(error.message, cases[i].text))
            fail_msg("case %zu says: %s", i, error.message);
    }

    static const char *const texts[] = {"sides that are multiples of 4", "latents must be [N, 4, H, W]",
                                        "level 1 has 7 channels"};
    for (int i = 0; i < 3; ++i) {
        replay r;
        dipp_error error = {0};
        replay_begin(&r, "wrong");
        dipp_graph *g = r.graph;
        dipp_tensor x = dipp_input(g, "x", DIPP_WIDE, DIPP_SHAPE(N, 3, 10, 8));
        dipp_tensor y = i == 0 ? dipp_vae_encode(g, r.slot, &tiny, x)
                               : dipp_vae_decode(g, r.slot, i == 1 ? &tiny : &cases[0].options, x);
        assert_int_equal(y.id, 0);
        assert_int_not_equal(dipp_graph_status(g, &error), DIPP_OK);
        if (!strstr(error.message, texts[i]))
            fail_msg("case %d says: %s", i, error.message);
        replay_end(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_published_configuration_has_the_published_tensors),
        cmocka_unit_test(files_of_either_age_are_known),
        cmocka_unit_test(a_file_of_the_old_kind_is_read),
        cmocka_unit_test(latents_pictures_and_gradients_agree_with_the_published_implementation),
        cmocka_unit_test(the_cpu_agrees_in_single_precision),
        cmocka_unit_test(wrong_options_and_inputs_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
