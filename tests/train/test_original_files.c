/* Files of Stable Diffusion and PixArt-alpha in the layouts of their first authors: the networks read from them bit by bit what
 * diffusers converts them to. Made by tests/fixtures/make_original_fixture.py. */
#include "base/memory.h"
#include "tensor/program.h"
#include "train/models.h"
#include "weights/original_names.h"
#include "weights/weights.h"
#include "weights/writer.h"

#include <dipp/nn.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#define FIXTURES DIPP_FIXTURE_FOLDER "/original/"

enum { UNET, VAE, TEXT, DIT, NETWORKS, MOST = 8192, N = 1 };

/* The networks of the fixtures' sizes. */
typedef struct models {
    dipp_backend *backend;
    dipp_layout *layouts[NETWORKS];
    dipp_parameter_set *sets[NETWORKS];
} models;

static dipp_unet_options unet_options(void)
{
    static const int64_t channels[4] = {2, 4, 8, 8};
    dipp_unet_options o = {.in_channels = 4, .out_channels = 4, .levels = 4, .caption_channels = 3, .groups = 2};
    for (int i = 0; i < 4; i++)
        o.level[i] = (dipp_unet_level){
            .channels = channels[i], .layers = 2, .heads = 2, .down_attention = i < 3, .up_attention = i < 3};
    return o;
}

static dipp_dit_options dit_options(void)
{
    return (dipp_dit_options){.channels = 4,
                              .height = 4,
                              .width = 4,
                              .patch = 2,
                              .hidden = 12,
                              .layers = 28,
                              .heads = 2,
                              .mlp_ratio = 1,
                              .caption_channels = 5,
                              .learn_sigma = true,
                              .micro_height = 32,
                              .micro_width = 32};
}

static void record_autoencoder(dipp_graph *g, dipp_params p)
{
    const dipp_vae_options o = {.latent_channels = 4, .levels = 4, .channels = {2, 4, 8, 8}, .layers = 2, .groups = 2};
    dipp_vae_decode(g, p, &o, dipp_vae_encode(g, p, &o, dipp_input(g, "x", DIPP_WIDE, DIPP_SHAPE(N, 3, 16, 16))));
}

/* The text encoder as the file has it: no network of Stable Diffusion's sizes alone declares these names. */
static void record_text(dipp_graph *g, dipp_params p)
{
    dipp_weights *file = NULL;
    assert_int_equal(dipp_weights_open(FIXTURES "sd_expected.safetensors", &file, NULL), DIPP_OK);
    for (size_t i = 0; i < dipp_weights_count(file); i++) {
        const dipp_weight_tensor *tensor = dipp_weights_at(file, i);
        dipp_shape shape = {.rank = tensor->rank};
        for (uint32_t d = 0; d < shape.rank; d++)
            shape.dims[d] = (int64_t)tensor->shape[d];
        if (!strncmp(tensor->name, "text_model.", 11))
            dipp_param(g, p, tensor->name, shape, NULL);
    }
    dipp_weights_destroy(&file);
}

static void open_models(models *m)
{
    dipp_error error = {0};
    dipp_backend_options options = {.struct_size = sizeof options, .precision = "f64"};
    dipp_unet_options unet = unet_options();
    dipp_dit_options dit = dit_options();
    assert_int_equal(dipp_reference_backend_create(&options, &m->backend, &error), DIPP_OK);
    for (int k = 0; k < NETWORKS; k++) {
        dipp_graph *g = NULL;
        assert_int_equal(dipp_layout_create("network", &m->layouts[k], &error), DIPP_OK);
        assert_int_equal(dipp_graph_create("network", &g, &error), DIPP_OK);
        dipp_params p = dipp_graph_slot(g, "network", m->layouts[k], false);
        dipp_tensor x = dipp_input(g, "latents", DIPP_WIDE, DIPP_SHAPE(N, 4, k == DIT ? 4 : 8, k == DIT ? 4 : 8));
        dipp_tensor t = dipp_input(g, "t", DIPP_WIDE, DIPP_SHAPE(N));
        dipp_tensor mask = dipp_input(g, "mask", DIPP_WIDE, DIPP_SHAPE(N, 7));
        dipp_tensor caption = dipp_input(g, "caption", DIPP_COMPUTE, DIPP_SHAPE(N, 7, k == DIT ? 5 : 3));
        if (k == UNET)
            dipp_unet(g, p, &unet, x, t, caption, mask);
        else if (k == VAE)
            record_autoencoder(g, p);
        else if (k == TEXT)
            record_text(g, p);
        else
            dipp_dit(g, p, &dit, x, t, caption, mask);
        if (dipp_graph_status(g, &error))
            fail_msg("%s", error.message);
        dipp_graph_destroy(&g);
        assert_int_equal(dipp_parameter_set_create("network", m->layouts[k], m->backend, false, &m->sets[k], &error),
                         DIPP_OK);
    }
    assert_int_equal(dipp_layout_count(m->layouts[UNET]), 686);
    assert_int_equal(dipp_layout_count(m->layouts[VAE]), 248);
    assert_int_equal(dipp_layout_count(m->layouts[TEXT]), 196);
    assert_int_equal(dipp_layout_count(m->layouts[DIT]), 611);
}

static void close_models(models *m)
{
    for (int k = 0; k < NETWORKS; k++) {
        dipp_parameter_set_destroy(&m->sets[k]);
        dipp_layout_destroy(&m->layouts[k]);
    }
    dipp_backend_destroy(&m->backend);
}

/* Every parameter is what diffusers made of the file, and is set back to zero. */
static void check(const models *m, int network, const char *expected_file)
{
    static const float zeros[MOST];
    dipp_weights *expected = NULL;
    assert_int_equal(dipp_weights_open(expected_file, &expected, NULL), DIPP_OK);
    for (uint32_t i = 0; i < dipp_layout_count(m->layouts[network]); i++) {
        const dipp_layout_entry *entry = dipp_layout_entry_at(m->layouts[network], i);
        const dipp_weight_tensor *tensor = dipp_weights_find(expected, entry->name);
        size_t count = (size_t)entry->elements;
        float found[MOST], numbers[MOST];
        if (!tensor)
            fail_msg("%s is not in %s", entry->name, expected_file);
        assert_in_range(count, 1, MOST);
        assert_int_equal(dipp_weight_tensor_to_f32(tensor, numbers, count, NULL), DIPP_OK);
        dipp_parameter_set_read_part(m->sets[network], DIPP_BLOCK_MASTER, (size_t)entry->offset, count, found,
                                     DIPP_HOST_F32);
        if (memcmp(found, numbers, count * sizeof *found) != 0)
            fail_msg("%s differs", entry->name);
        dipp_parameter_set_write_part(m->sets[network], DIPP_BLOCK_MASTER, (size_t)entry->offset, count, zeros,
                                      DIPP_HOST_F32);
    }
    dipp_weights_destroy(&expected);
}

static void read_or_fail(const models *m, int first, uint32_t count, const char *file)
{
    dipp_error error = {0};
    if (dipp_weights_read_sets(file, "model", m->sets + first, count, &error))
        fail_msg("%s", error.message);
}

static void a_single_file_holds_three_networks(void **state)
{
    const models *m = *state;
    read_or_fail(m, UNET, 3, FIXTURES "sd.safetensors");
    for (int k = UNET; k <= TEXT; k++)
        check(m, k, FIXTURES "sd_expected.safetensors");
    for (int k = UNET; k <= TEXT; k++) { /* and each alone */
        read_or_fail(m, k, 1, FIXTURES "sd.safetensors");
        check(m, k, FIXTURES "sd_expected.safetensors");
    }
}

static void an_autoencoder_of_lightning_is_read(void **state)
{
    read_or_fail(*state, VAE, 1, FIXTURES "vae.ckpt");
    check(*state, VAE, FIXTURES "sd_expected.safetensors");
}

static void pixart_alpha_is_read(void **state)
{
    read_or_fail(*state, DIT, 1, FIXTURES "pixart.pth");
    check(*state, DIT, FIXTURES "pixart_expected.safetensors");
}

/* The file again with what changes it: a tensor left out, or the sizes of one exchanged. */
static void copy_file(const char *to, const char *left_out, const char *turned)
{
    dipp_weights *from = NULL;
    dipp_weights_writer *writer = NULL;
    dipp_error error = {0};
    assert_int_equal(dipp_weights_open(FIXTURES "sd.safetensors", &from, &error), DIPP_OK);
    assert_int_equal(dipp_weights_writer_create(to, &writer, &error), DIPP_OK);
    for (size_t i = 0; i < dipp_weights_count(from); i++) {
        const dipp_weight_tensor *tensor = dipp_weights_at(from, i);
        uint64_t shape[DIPP_WEIGHT_MAX_RANK];
        memcpy(shape, tensor->shape, sizeof shape);
        if (!strcmp(tensor->name, turned)) {
            shape[0] = tensor->shape[1];
            shape[1] = tensor->shape[0];
        }
        if (strcmp(tensor->name, left_out) != 0)
            assert_int_equal(
                dipp_weights_writer_add(writer, tensor->name, tensor->dtype, tensor->rank, shape, tensor->data, &error),
                DIPP_OK);
    }
    assert_int_equal(dipp_weights_writer_commit(&writer, &error), DIPP_OK);
    dipp_weights_destroy(&from);
}

static void what_is_missing_is_named_as_the_network_does(void **state)
{
    const models *m = *state;
    dipp_error error = {0};
    char path[] = "/tmp/dipp-original-XXXXXX";
    int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    close(descriptor);
    copy_file(path, "model.diffusion_model.output_blocks.2.1.conv.bias",
              "model.diffusion_model.input_blocks.4.0.in_layers.2.weight");
    assert_int_equal(dipp_weights_read_sets(path, "model", m->sets, 3, &error), DIPP_E_FORMAT);
    assert_non_null(strstr(error.message, "\n  up_blocks.0.upsamplers.0.conv.bias is missing"));
    assert_non_null(strstr(error.message, "\n  model.diffusion_model.input_blocks.4.0.in_layers.2.weight has shape "
                                          "[2, 4, 3, 3], expected [4, 2, 3, 3]"));
    assert_non_null(strstr(error.message, "unexpected, the first of them: model_ema.decay, model_ema.num_updates"));
    assert_null(strstr(error.message, "betas"));
    unlink(path);
}

/* CompVis lets the number of resnets differ from level to level. */
static void layers_are_counted_through_all_blocks(void **state)
{
    (void)state;
    static const char *const names[] = {
        "down_blocks.0.resnets.0.conv1.weight",  "down_blocks.1.resnets.2.conv1.weight",
        "up_blocks.0.resnets.3.conv1.bias",      "decoder.up_blocks.2.resnets.0.norm1.bias",
        "up_blocks.1.resnets.1.conv1.weight",    "unet.up_blocks.1.resnets.9.x",
        "down_blocks.16.resnets.0.conv1.weight", "down_blocks.2.resnets.0.conv1.weight"};
    static const char *const places[][2] = {
        {"down_blocks.0.downsamplers.0.conv.bias", "input_blocks.2.0.op.bias"},
        {"down_blocks.1.resnets.2.norm2.bias", "input_blocks.5.0.out_layers.0.bias"},
        {"down_blocks.1.downsamplers.0.conv.weight", "input_blocks.6.0.op.weight"},
        {"down_blocks.2.attentions.0.transformer_blocks.0.attn1.to_q.weight",
         "input_blocks.7.1.transformer_blocks.0.attn1.to_q.weight"},
        {"up_blocks.0.upsamplers.0.conv.bias", "output_blocks.3.2.conv.bias"},
        {"up_blocks.1.resnets.1.conv_shortcut.bias", "output_blocks.5.0.skip_connection.bias"},
        {"decoder.up_blocks.0.resnets.2.conv_shortcut.bias", "decoder.up.2.block.2.nin_shortcut.bias"},
        {"decoder.up_blocks.2.upsamplers.0.conv.bias", "decoder.up.0.upsample.conv.bias"},
        {"transformer_blocks.999.attn2.to_v.bias", "blocks.999.cross_attn.kv_linear.bias"}};
    static const char *const none[] = {
        "down_blocks.3.downsamplers.0.conv.bias",   "up_blocks.2.resnets.0.conv1.bias",
        "decoder.up_blocks.3.resnets.0.norm1.bias", "up_blocks.16.resnets.0.norm1.bias",
        "up_blocks.0.resnets.0.conv3.bias",         "mid_block.resnets.2.norm1.bias",
        "transformer_blocks.1.attn2.to_x.bias",     "transformer_blocks.1.attn1.to_?.bias"};
    dipp_block_counts counts = {.decoder = 0};
    dipp_original_name original;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        dipp_block_counts_note(&counts, names[i]);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        assert_true(dipp_original_name_of(places[i][0], &counts, 0, &original));
        assert_string_equal(original.name, places[i][1]);
    }
    assert_int_equal(original.part, 1);
    assert_int_equal(original.parts, 2);
    assert_true(dipp_original_name_of("up_blocks.0.upsamplers.0.conv.bias", &counts, 1, &original));
    assert_string_equal(original.name, "output_blocks.3.1.conv.bias");
    assert_false(dipp_original_name_of("up_blocks.0.upsamplers.0.conv.bias", &counts, 2, &original));
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_false(dipp_original_name_of(none[i], &counts, 0, &original));
    char longest[2 * DIPP_ORIGINAL_NAME_BYTES] = "proj_out.";
    memset(longest + 9, 'x', DIPP_ORIGINAL_NAME_BYTES);
    assert_false(dipp_original_name_of(longest, &counts, 0, &original));
}

static void any_allocation_may_fail(void **state)
{
    const models *m = *state;
    for (uint64_t nth = 1;; nth++) {
        dipp_error error = {0};
        dipp_memory_fail_nth(nth, false);
        dipp_status status = dipp_weights_read_sets(FIXTURES "vae.ckpt", "model", m->sets + VAE, 1, &error);
        bool failed = dipp_memory_has_failed();
        dipp_memory_fail_nth(0, false);
        assert_int_equal(status, failed ? DIPP_E_MEMORY : DIPP_OK);
        if (!failed)
            break;
    }
    check(m, VAE, FIXTURES "sd_expected.safetensors");
}

/* Also while a file is refused: what is missing is not read for want of memory to say so. */
static void any_allocation_may_fail_on_refusal(void **state)
{
    const models *m = *state;
    for (uint64_t nth = 1;; nth++) {
        dipp_error error = {0};
        dipp_memory_fail_nth(nth, false);
        dipp_status status = dipp_weights_read_sets(FIXTURES "vae.ckpt", "model", m->sets + UNET, 2, &error);
        bool failed = dipp_memory_has_failed();
        dipp_memory_fail_nth(0, false);
        if (status != DIPP_E_FORMAT && !(failed && status == DIPP_E_MEMORY))
            fail_msg("allocation %d: %s", (int)nth, error.message);
        if (!failed)
            break;
    }
}

static int set_up(void **state)
{
    static models m;
    open_models(&m);
    *state = &m;
    return 0;
}

static int tear_down(void **state)
{
    close_models(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_single_file_holds_three_networks),
        cmocka_unit_test(an_autoencoder_of_lightning_is_read),
        cmocka_unit_test(pixart_alpha_is_read),
        cmocka_unit_test(what_is_missing_is_named_as_the_network_does),
        cmocka_unit_test(layers_are_counted_through_all_blocks),
        cmocka_unit_test(any_allocation_may_fail),
        cmocka_unit_test(any_allocation_may_fail_on_refusal),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
