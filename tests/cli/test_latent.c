/* References whose samples are an autoencoder's latents, from end to end: pictures are encoded to learn from, and latents
 * decoded for rewards, evaluation and PNG. The autoencoder has random weights, in a file as it is published. */
#include "cli_fixture.h"

#include "tensor/program.h"
#include "train/models.h"
#include "weights/weights.h"

#include <dipp/nn.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MUST(call)                                     \
    do {                                               \
        dipp_error error_ = {0};                       \
        if ((call) != DIPP_OK)                         \
            fail_msg("%s: %s", #call, error_.message); \
    } while (0)

/* Of the reference below: latents of 4 x 8 x 8, pictures of 3 x 16 x 16. */
static const dipp_vae_options vae = {.latent_channels = 4, .levels = 2, .channels = {8, 8}, .layers = 1, .groups = 4};

static const char base[] =
    "name: base\n"
    "device: reference\n"
    "world: {glyphs: 4}\n"
    "prompts: {set: emoji}\n"
    "reference:\n"
    "  plugin: unet\n"
    "  steps: 2\n"
    "  params: {channels: 4, size: 8, widths: [8], groups: 4, heads: [2], down_blocks: [DownBlock2D],\n"
    "    up_blocks: [UpBlock2D], mid_block: UNetMidBlock2D, vae_widths: [8, 8], vae_layers: 1, vae_groups: 4}\n"
    "evaluate: {every: 3, prompts: {set: emoji, split: eval, count: 2}, samples: 1, metrics: [border, colorfulness]}\n";

static const char pretrain[] = "name: pretrain\n"
                               "extends: base.yaml\n"
                               "stage: pretrain\n"
                               "reference: {decoder: vae.safetensors}\n"
                               "pretrain: {steps: 3, batch: 2, optimizer: {lr: 1.0e-2}}\n";

static const char align[] = "name: align\n"
                            "extends: base.yaml\n"
                            "generator:\n"
                            "  plugin: unet\n"
                            "  params: {channels: 4, size: 8, widths: [8], groups: 4, heads: [2],\n"
                            "    down_blocks: [DownBlock2D], up_blocks: [UpBlock2D], mid_block: UNetMidBlock2D}\n"
                            "align: {steps: 3, batch: 2, optimizer: {lr: 1.0e-3}, ta: {optimizer: {lr: 1.0e-3}}}\n"
                            "rewards: [{plugin: border, scale: 1.0}]\n";

/* Random numbers for every tensor of the autoencoder, so that no part of it is an identity. */
static void write_vae(const char *path)
{
    dipp_backend_options options = {.struct_size = sizeof options, .threads = 1, .precision = "f64"};
    dipp_backend *backend = NULL;
    dipp_layout *layout = NULL;
    dipp_graph *g = NULL;
    dipp_parameter_set *set = NULL;
    MUST(dipp_backend_create("reference", &options, &backend, &error_));
    MUST(dipp_layout_create("vae", &layout, &error_));
    MUST(dipp_graph_create("vae", &g, &error_));
    dipp_params p = dipp_graph_slot(g, "vae", layout, false);
    dipp_tensor x = dipp_vae_decode(g, p, &vae, dipp_input(g, "z", DIPP_WIDE, DIPP_SHAPE(1, 4, 8, 8)));
    dipp_vae_encode(g, p, &vae, x);
    MUST(dipp_graph_status(g, &error_));
    MUST(dipp_parameter_set_create("vae", layout, backend, false, &set, &error_));
    size_t count = (size_t)dipp_layout_elements(layout);
    float *block = calloc(count, sizeof *block);
    assert_non_null(block);
    uint32_t state = 1;
    for (size_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        block[i] = ((float)(state >> 8) / 8388608.0f - 1.0f) * 0.2f;
    }
    dipp_parameter_set_write(set, DIPP_BLOCK_MASTER, block, DIPP_HOST_F32);
    free(block);
    const dipp_parameter_set *sets[] = {set};
    MUST(dipp_weights_write_sets(path, sets, 1, false, NULL, &error_));
    dipp_parameter_set_destroy(&set);
    dipp_graph_destroy(&g);
    dipp_layout_destroy(&layout);
    dipp_backend_destroy(&backend);
}

/* Every tensor of a file is in another one, bit for bit. */
static void expect_contained(const char *small, const char *large)
{
    dipp_weights *a = NULL, *b = NULL;
    MUST(dipp_weights_open(small, &a, &error_));
    MUST(dipp_weights_open(large, &b, &error_));
    for (size_t i = 0; i < dipp_weights_count(a); i++) {
        const dipp_weight_tensor *one = dipp_weights_at(a, i), *other = dipp_weights_find(b, one->name);
        if (!other || other->bytes != one->bytes || memcmp(other->data, one->data, one->bytes) != 0)
            fail_msg("%s is not in %s as it is in %s", one->name, large, small);
    }
    dipp_weights_destroy(&a);
    dipp_weights_destroy(&b);
}

static int64_t metric_rows(const char *name, const char *condition)
{
    char sql[256];
    snprintf(sql, sizeof sql,
             "SELECT count(*) FROM metrics m JOIN metric_names n USING(metric_id) WHERE n.name='%s' AND %s", name,
             condition);
    return ask("l.db", sql);
}

static void test_latents(void **state)
{
    char arguments[4352], weights[4096];
    write_file("base.yaml", base);
    write_file("pretrain.yaml", pretrain);
    write_file("align.yaml", align);

    /* Nothing here trains a decoder, so its weights must come from somewhere. */
    assert_int_equal(dipp("run pretrain.yaml ~reference.decoder --db l.db"), 4);
    assert_true(output_has("name its weights (reference.decoder)"));

    write_vae("vae.safetensors");
    assert_int_equal(dipp("run pretrain.yaml --db l.db"), 0);
    assert_int_equal(metric_rows("train/loss", "value > 0"), 3);
    snprintf(weights, sizeof weights, "%s", result_path("l.db", 2, "model.safetensors"));
    expect_contained("vae.safetensors", weights);

    /* The reward sees decoded pictures, and its gradient arrives at the latents. */
    snprintf(arguments, sizeof arguments, "run align.yaml reference.weights=%s --db l.db", weights);
    assert_int_equal(dipp(arguments), 0);
    assert_int_equal(metric_rows("train/dx0_reward", "value > 0"), 3);
    assert_int_equal(metric_rows("train/reward.border", "1"), 3);
    /* 2 prompts: at steps 0 and 3, and of the reference. */
    assert_int_equal(ask("l.db", "SELECT count(*) FROM evaluations JOIN runs USING(run_id) JOIN metric_names n "
                                 "USING(metric_id) WHERE stage='align' AND n.name='border'"),
                     6);
    assert_sound("l.db");

    /* Computing blocks again is planned on request or for want of memory, changes no key, and says so when it is not enough. */
    snprintf(arguments, sizeof arguments, "plan align.yaml reference.weights=%s", weights);
    assert_int_equal(dipp(arguments), 0);
    assert_false(output_has("computed again"));
    snprintf(arguments, sizeof arguments, "plan align.yaml reference.weights=%s recompute=blocks", weights);
    assert_int_equal(dipp(arguments), 0);
    assert_true(output_has("blocks are computed again instead of kept"));
    snprintf(arguments, sizeof arguments, "plan align.yaml reference.weights=%s memory_limit=0.00001", weights);
    assert_int_not_equal(dipp(arguments), 0);
    assert_true(output_has("with blocks recomputed: the iteration needs"));
    snprintf(arguments, sizeof arguments, "run align.yaml reference.weights=%s recompute=blocks --db l.db --dry-run",
             weights);
    assert_int_equal(dipp(arguments), 0);
    assert_true(output_has("completed, 3 steps"));

    /* The decoder may also come from a file of its own. */
    snprintf(arguments, sizeof arguments,
             "run align.yaml reference.weights=%s reference.decoder=vae.safetensors --db l.db", weights);
    assert_int_equal(dipp(arguments), 0);
    assert_int_equal(ask("l.db", "SELECT count(*) FROM run_weights WHERE role='decoder'"), 2);
    assert_sound("l.db");

    assert_int_equal(dipp("sample 3 --db l.db -n 1 --out sample.png"), 0);
    digest_file("sample.png");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(test_latents, cli_setup, cli_teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
