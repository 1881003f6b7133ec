/* References whose samples are an autoencoder's latents, from end to end: pictures are encoded to learn from, and latents
 * decoded for rewards, evaluation and PNG. The autoencoder has random weights, in a file as it is published, or is trained first. */
#include "cli_fixture.h"

#include "tensor/program.h"
#include "train/models.h"
#include "base/file.h"
#include "weights/weights.h"
#include "weights/writer.h"

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

static const char autoencode[] =
    "name: autoencode\n"
    "extends: base.yaml\n"
    "stage: pretrain-autoencoder\n"
    "pretrain: {steps: 4, batch: 4, micro_batch: 2, optimizer: {lr: 1.0e-3}, ema: {decay: 0.5}}\n"
    "evaluate: {every: 2, metrics: [background, border]}\n";

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

/* NULL when every tensor of a file is in another one, bit for bit; else the name of one that is not, until the next call. */
static const char *differing(const char *small, const char *large)
{
    static char name[256];
    dipp_weights *a = NULL, *b = NULL;
    MUST(dipp_weights_open(small, &a, &error_));
    MUST(dipp_weights_open(large, &b, &error_));
    *name = 0;
    for (size_t i = 0; i < dipp_weights_count(a) && !*name; i++) {
        const dipp_weight_tensor *one = dipp_weights_at(a, i), *other = dipp_weights_find(b, one->name);
        if (!other || other->bytes != one->bytes || memcmp(other->data, one->data, one->bytes) != 0)
            snprintf(name, sizeof name, "%s", one->name);
    }
    dipp_weights_destroy(&a);
    dipp_weights_destroy(&b);
    return *name ? name : NULL;
}

static void expect_contained(const char *small, const char *large)
{
    const char *name = differing(small, large);
    if (name)
        fail_msg("%s is not in %s as it is in %s", name, large, small);
}

/* Every tensor's name of a file is in another one, with its shape. */
static void expect_names(const char *small, const char *large)
{
    dipp_weights *a = NULL, *b = NULL;
    MUST(dipp_weights_open(small, &a, &error_));
    MUST(dipp_weights_open(large, &b, &error_));
    for (size_t i = 0; i < dipp_weights_count(a); i++) {
        const dipp_weight_tensor *one = dipp_weights_at(a, i), *other = dipp_weights_find(b, one->name);
        if (!other || other->bytes != one->bytes)
            fail_msg("%s is not in %s as large as in %s", one->name, large, small);
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

    /* This stage does not train the decoder, so its weights must come from somewhere. */
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
    assert_true(output_has(": it fits\n"));
    snprintf(arguments, sizeof arguments, "plan align.yaml reference.weights=%s align.batch=1000000 recompute=none",
             weights);
    assert_int_equal(dipp(arguments), 0); /* no machine has so much, and a plan takes none of it */
    assert_true(output_has("too little; smaller align.micro_batch"));
    snprintf(arguments, sizeof arguments, "plan align.yaml reference.weights=%s recompute=blocks", weights);
    assert_int_equal(dipp(arguments), 0);
    assert_true(output_has("blocks are computed again instead of kept"));
    snprintf(arguments, sizeof arguments, "plan align.yaml reference.weights=%s memory_limit=0.00001", weights);
    assert_int_not_equal(dipp(arguments), 0);
    assert_true(output_has("with blocks recomputed: the iteration needs"));
    snprintf(arguments, sizeof arguments, "run align.yaml reference.weights=%s memory_limit=0.00001 --db less.db",
             weights);
    assert_int_not_equal(dipp(arguments), 0); /* before any step, with what would help */
    assert_true(output_has("before the first step (see dipp plan): with blocks recomputed"));
    assert_true(output_has("smaller align.micro_batch"));
    assert_int_equal(ask("less.db", "SELECT count(*) FROM runs WHERE status='failed' AND step=0"), 1);
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

/* An autoencoder that is trained here is what the next stage works in. */
static void test_autoencoder(void **state)
{
    char arguments[4352], weights[4096];
    write_file("base.yaml", base);
    write_file("pretrain.yaml", pretrain);
    write_file("autoencode.yaml", autoencode);
    assert_int_equal(dipp("check autoencode.yaml"), 0);
    assert_int_equal(dipp("run autoencode.yaml --db l.db"), 0);
    assert_int_equal(metric_rows("train/psnr", "value > 0"), 4);
    assert_int_equal(metric_rows("train/latent_std", "value > 0"), 4);
    /* Scenes of 2 prompts, shown through it at steps 0, 2 and 4, and no sampler's settings beside them. */
    assert_int_equal(ask("l.db", "SELECT count(*) FROM evaluations JOIN metric_names n USING(metric_id) JOIN "
                                 "evaluation_settings USING(settings_id) WHERE n.name='background' AND sampler_steps=0 "
                                 "AND cfg_omega=1 AND weights='ema' AND subject='reference'"),
                     6);
    assert_sound("l.db");

    /* The file has both halves, and nothing of the network. */
    snprintf(weights, sizeof weights, "%s", result_path("l.db", 1, "model.safetensors"));
    write_vae("vae.safetensors");
    expect_names("vae.safetensors", weights);
    expect_names(weights, "vae.safetensors");

    snprintf(arguments, sizeof arguments, "run pretrain.yaml reference.decoder=%s --db l.db", weights);
    assert_int_equal(dipp(arguments), 0);
    expect_contained(weights, result_path("l.db", 2, "model.safetensors"));
    assert_int_equal(ask("l.db", "SELECT count(*) FROM run_weights WHERE role='decoder' AND run_id=2"), 1);

    /* It goes on from there, and from a model's file; a step of no size changes nothing. */
    snprintf(arguments, sizeof arguments,
             "run autoencode.yaml name=more pretrain.optimizer.lr=0 reference.decoder=%s --db l.db", weights);
    assert_int_equal(dipp(arguments), 0);
    expect_contained(weights, result_path("l.db", 3, "model.safetensors"));
    snprintf(arguments, sizeof arguments,
             "run autoencode.yaml name=model pretrain.optimizer.lr=0 reference.weights=%s --db l.db",
             result_path("l.db", 2, "model.safetensors"));
    assert_int_equal(dipp(arguments), 0);
    expect_contained(weights, result_path("l.db", 4, "model.safetensors"));
    assert_int_equal(dipp("eval 1 --db l.db"), 0);
    assert_int_equal(dipp("sample 1 --db l.db -n 1 --out sample.png"), 0);
    digest_file("sample.png");
    assert_int_equal(dipp("sample 1 --db l.db --prompt fox --out sample.png"), 3);
    assert_true(output_has("an autoencoder draws nothing by itself"));
    assert_sound("l.db");

    assert_int_equal(dipp("check autoencode.yaml ~reference.params.vae_widths reference.params.channels=3 "
                          "reference.params.size=16"),
                     3);
    assert_true(output_has("the reference has no autoencoder to train"));
}

/* Writes the tensors of a model's file that belong to the autoencoder, or the others; of these the even or the odd ones. */
static void write_part(const char *from, const char *to, bool autoencoder, int parity, double factor)
{
    dipp_weights *weights = NULL;
    dipp_weights_writer *writer = NULL;
    float *copies[256] = {0};
    int others = 0;
    MUST(dipp_weights_open(from, &weights, &error_));
    MUST(dipp_weights_writer_create(to, &writer, &error_));
    assert_in_range(dipp_weights_count(weights), 1, 256);
    for (size_t i = 0; i < dipp_weights_count(weights); i++) {
        const dipp_weight_tensor *t = dipp_weights_at(weights, i);
        bool belongs =
            !strncmp(t->name, "encoder.", 8) || !strncmp(t->name, "decoder.", 8) || strstr(t->name, "quant_conv");
        if (belongs != autoencoder || (!autoencoder && parity >= 0 && others++ % 2 != parity))
            continue;
        copies[i] = malloc(t->count * sizeof *copies[i]);
        assert_non_null(copies[i]);
        MUST(dipp_weight_tensor_to_f32(t, copies[i], t->count, &error_));
        for (size_t k = 0; k < t->count; k++)
            copies[i][k] *= (float)factor;
        MUST(dipp_weights_writer_add_f32(writer, t->name, DIPP_WEIGHT_F32, t->rank, t->shape, copies[i], &error_));
    }
    MUST(dipp_weights_writer_commit(&writer, &error_));
    for (int i = 0; i < 256; i++)
        free(copies[i]);
    dipp_weights_destroy(&weights);
}

/* Of two shards, as their index says. */
static void write_index(const char *path, const char *const shards[2])
{
    FILE *stream = fopen(path, "w");
    assert_non_null(stream);
    fputs("{\"weight_map\": {", stream);
    for (int s = 0; s < 2; s++) {
        char file[64];
        dipp_weights *weights = NULL;
        snprintf(file, sizeof file, "sd/unet/%s", shards[s]);
        MUST(dipp_weights_open(file, &weights, &error_));
        for (size_t i = 0; i < dipp_weights_count(weights); i++)
            fprintf(stream, "%s\"%s\": \"%s\"", s || i ? ", " : "", dipp_weights_at(weights, i)->name, shards[s]);
        dipp_weights_destroy(&weights);
    }
    fputs("}}", stream);
    assert_int_equal(fclose(stream), 0);
}

/* A folder as diffusers writes it stands for its parts, and counts by what is in them. */
static void test_pipeline(void **state)
{
    static const char one[] = "run align.yaml align.steps=1 evaluate.every=0 evaluate.reference_row=false --db l.db";
    static const char network[] = "sd/unet/diffusion_pytorch_model.safetensors";
    static const char autoencoder[] = "sd/vae/diffusion_pytorch_model.safetensors";
    static const char *const shards[2] = {"a.safetensors", "b.safetensors"};
    char arguments[4352], model[4096], expected[4096];
    write_file("base.yaml", base);
    write_file("pretrain.yaml", pretrain);
    write_file("align.yaml", align);
    write_vae("vae.safetensors");
    assert_int_equal(dipp("run pretrain.yaml --db l.db"), 0);
    snprintf(model, sizeof model, "%s", result_path("l.db", 1, "model.safetensors"));
    snprintf(arguments, sizeof arguments, "%s reference.weights=%s", one, model);
    assert_int_equal(dipp(arguments), 0);
    snprintf(expected, sizeof expected, "%s", result_path("l.db", 2, "generator.safetensors"));

    MUST(dipp_make_directories("sd/vae", &error_));
    write_part(model, autoencoder, true, -1, 1.0);
    snprintf(arguments, sizeof arguments, "%s reference.weights=sd", one);
    assert_int_equal(dipp(arguments), 4);
    assert_true(output_has("the pipeline in sd lacks this part, expected at "
                           "sd/unet/diffusion_pytorch_model.safetensors; the network is in unet/ or transformer/"));
    MUST(dipp_make_directories("sd/unet", &error_));
    write_part(model, network, false, -1, 1.0);
    assert_int_equal(dipp(arguments), 0);
    assert_int_equal(ask("l.db", "SELECT count(*) FROM runs"),
                     4); /* the one that failed was another: it had less in its folder */
    expect_contained(expected, result_path("l.db", 4, "generator.safetensors"));
    assert_int_equal(ask("l.db", "SELECT count(*) FROM run_weights JOIN weights USING(sha256) WHERE run_id=4 AND "
                                 "((role='reference' AND path LIKE '%sd/unet/diffusion_pytorch_model.safetensors') OR "
                                 "(role='decoder' AND path LIKE '%sd/vae/diffusion_pytorch_model.safetensors'))"),
                     2);

    /* Cut into shards the network is the same; with another shard it is another run. */
    assert_int_equal(remove(network), 0);
    for (int pass = 0; pass < 2; pass++) {
        char file[64];
        for (int s = 0; s < 2; s++) {
            snprintf(file, sizeof file, "sd/unet/%s", shards[s]);
            write_part(model, file, false, s, s && pass ? 1.5 : 1.0);
        }
        write_index("sd/unet/diffusion_pytorch_model.safetensors.index.json", shards);
        assert_int_equal(dipp(arguments), 0);
        assert_int_equal(ask("l.db", "SELECT count(*) FROM runs"), 5 + pass);
        assert_true(!differing(expected, result_path("l.db", 5 + pass, "generator.safetensors")) == !pass);
    }

    /* The autoencoder may be missing where it is named elsewhere, and is taken from a pipeline when that is named for it. */
    assert_int_equal(rename("sd/vae", "elsewhere"), 0);
    assert_int_equal(dipp(arguments), 4);
    assert_true(output_has("the pipeline in sd lacks this part, expected at "
                           "sd/vae/diffusion_pytorch_model.safetensors; name other weights (reference.decoder)"));
    snprintf(arguments, sizeof arguments, "%s reference.weights=sd reference.decoder=elsewhere", one);
    assert_int_equal(dipp(arguments), 0);
    snprintf(arguments, sizeof arguments, "%s reference.weights=%s generator.init=sd reference.decoder=elsewhere", one,
             model);
    assert_int_equal(dipp(arguments), 0);
    assert_int_equal(ask("l.db", "SELECT count(*) FROM run_weights JOIN weights USING(sha256) WHERE "
                                 "role='generator' AND path LIKE '%sd/unet/%'"),
                     1);
    assert_sound("l.db");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(test_latents, cli_setup, cli_teardown),
                                       cmocka_unit_test_setup_teardown(test_autoencoder, cli_setup, cli_teardown),
                                       cmocka_unit_test_setup_teardown(test_pipeline, cli_setup, cli_teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
