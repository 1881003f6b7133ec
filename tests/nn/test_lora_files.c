/* Adapter files: those of diffusers, PEFT and kohya's scripts (tests/fixtures/make_lora_fixture.py), ours, merging, and files that lie. */
#include "base/memory.h"
#include "fixture.h"
#include "lora_network.h"
#include "train/adapter_io.h"
#include "weights/writer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#define MUST(call)                                     \
    do {                                               \
        dipp_error error_ = {0};                       \
        if ((call) != DIPP_OK)                         \
            fail_msg("%s: %s", #call, error_.message); \
    } while (0)

#define FILES DIPP_FIXTURE_FOLDER "/lora/"

static char folder[] = "/tmp/dipp-test-lora-XXXXXX";
static char written[64], config[64], flat[64];

static int make_folder(void **state)
{
    assert_non_null(mkdtemp(folder));
    snprintf(written, sizeof written, "%s/a.safetensors", folder);
    snprintf(flat, sizeof flat, "%s/flat.safetensors", folder);
    snprintf(config, sizeof config, "%s/adapter_config.json", folder);
    return 0;
}

static int remove_folder(void **state)
{
    unlink(written);
    unlink(config);
    unlink(flat);
    return rmdir(folder);
}

static double *master(const dipp_parameter_set *set)
{
    double *block = calloc((size_t)dipp_layout_elements(set->layout), sizeof *block);
    assert_non_null(block);
    dipp_parameter_set_read(set, DIPP_BLOCK_MASTER, block, DIPP_HOST_F64);
    return block;
}

/* The overlay of rank 2 as a file gives it: noise by name, B times factor. */
static void expect_overlay(replay *r, const char *path, double factor)
{
    const dipp_lora_options lora = {.rank = 2, .alpha = 2};
    double *block = master(r->set);
    memset(block, 0, (size_t)dipp_layout_elements(r->layout) * sizeof *block);
    dipp_parameter_set_write(r->set, DIPP_BLOCK_MASTER, block, DIPP_HOST_F64);
    free(block);
    MUST(dipp_adapter_read(path, r->set, &lora, &error_));
    block = master(r->set);
    for (uint32_t i = 0; i < dipp_layout_count(r->layout); ++i) {
        const dipp_layout_entry *entry = dipp_layout_entry_at(r->layout, i);
        double wanted[512];
        assert_true(entry->elements <= 512);
        fixture_weight(entry->name, entry->shape.rank, wanted, (size_t)entry->elements);
        for (int64_t k = 0; k < entry->elements && strstr(entry->name, "lora_B"); ++k)
            wanted[k] *= factor;
        fixture_compare(entry->name, block + entry->offset, wanted, (size_t)entry->elements, 0);
    }
    free(block);
}

static void published_files_are_read(void **state)
{
    dipp_lora_options lora = lora_few_layers(2, 2);
    replay r;
    lora_network(&r, &lora, "reference", "f64");
    expect_overlay(&r, FILES "diffusers.safetensors", 1.5);          /* alpha 3 of rank 2, by its metadata */
    expect_overlay(&r, FILES "peft/adapter_model.safetensors", 1.5); /* by adapter_config.json */
    expect_overlay(&r, FILES "script.safetensors", 1);               /* says nothing: alpha is the rank */
    replay_end(&r);
}

typedef struct tensor {
    const char *name;
    uint32_t rank;
    uint64_t shape[2];
} tensor;

static void write_tensors(const tensor *tensors, const char *settings)
{
    static const float numbers[64];
    dipp_weights_writer *writer = NULL;
    MUST(dipp_weights_writer_create(written, &writer, &error_));
    if (settings)
        MUST(dipp_weights_writer_metadata(writer, "lora_adapter_metadata", settings, &error_));
    for (; tensors->name; ++tensors)
        MUST(dipp_weights_writer_add_f32(writer, tensors->name, DIPP_WEIGHT_F32, tensors->rank, tensors->shape, numbers,
                                         &error_));
    MUST(dipp_weights_writer_commit(&writer, &error_));
}

/* What kohya's scripts can adapt: layers within transformers and resnets. */
static dipp_lora_options layers_of_kohya(void)
{
    dipp_lora_options lora = lora_every_layer(2, 2);
    lora.target_count = 0;
    for (uint32_t i = 0; i < 18; ++i)
        if (!strstr(lora.targets[i], "conv_in") && !strstr(lora.targets[i], "conv_out") &&
            strncmp(lora.targets[i], "time_embedding.", 15) != 0)
            lora.targets[lora.target_count++] = lora.targets[i];
    return lora;
}

/* Names have '_' for every dot, and each layer says its alpha, which is 1. */
static void names_without_dots_are_read(void **state)
{
    dipp_lora_options lora = layers_of_kohya();
    replay r, merged[2];
    lora_network(&r, &lora, "reference", "f64");
    assert_int_equal(dipp_layout_count(r.layout), 2 * 79);
    expect_overlay(&r, FILES "kohya.safetensors", 0.5);
    MUST(dipp_adapter_write(written, r.set, &lora, r.frozen_layout, NULL, &error_));
    replay_end(&r);
    double *weights[2];
    for (int i = 0; i < 2; ++i) {
        lora_network(&merged[i], NULL, "reference", "f64");
        MUST(dipp_adapter_merge(i ? written : FILES "kohya.safetensors", merged[i].set, &error_));
        weights[i] = master(merged[i].set);
    }
    fixture_compare("merged", weights[0], weights[1], (size_t)dipp_layout_elements(merged[0].layout), 0);
    for (int i = 0; i < 2; ++i) {
        free(weights[i]);
        replay_end(&merged[i]);
    }
}

/* And written: what kohya's own scripts made of the same numbers, but for what is no tensor. */
static void names_without_dots_are_written(void **state)
{
    dipp_lora_options lora = layers_of_kohya();
    static const char *const metadata[] = {"dipp.base_sha256", "abc", NULL};
    dipp_error error = {0};
    replay r;
    lora.alpha = 1;
    lora_network(&r, &lora, "reference", "f64");
    MUST(dipp_adapter_write(written, r.set, &lora, r.frozen_layout, metadata, &error_));
    MUST(dipp_adapter_write_flat(written, flat, false, &error_));
    dipp_weights *ours = fixture_open(flat), *theirs = fixture_open(FILES "kohya.safetensors");
    assert_int_equal(dipp_weights_count(ours), 3 * 79);
    assert_int_equal(dipp_weights_count(theirs), 3 * 79);
    for (size_t i = 0; i < dipp_weights_count(ours); ++i) {
        const dipp_weight_tensor *a = dipp_weights_at(ours, i), *b = dipp_weights_at(theirs, i);
        assert_string_equal(a->name, b->name);
        assert_true(a->rank == b->rank && !memcmp(a->shape, b->shape, sizeof a->shape) && a->dtype == b->dtype);
        assert_memory_equal(a->data, b->data, a->bytes);
    }
    assert_string_equal(dipp_weights_metadata(ours, "dipp.base_sha256"), "abc");
    assert_null(dipp_weights_metadata(ours, "lora_adapter_metadata"));
    dipp_weights_destroy(&ours);
    MUST(dipp_adapter_write_flat(written, flat, true, &error_));
    ours = fixture_open(flat);
    for (size_t i = 0; i < dipp_weights_count(ours); ++i) {
        const dipp_weight_tensor *a = dipp_weights_at(ours, i);
        assert_int_equal(a->dtype, strstr(a->name, ".alpha") ? DIPP_WEIGHT_F32 : DIPP_WEIGHT_BF16);
    }
    dipp_weights_destroy(&ours);
    dipp_weights_destroy(&theirs);
    replay_end(&r);
    bool failed = true;
    for (uint64_t nth = 1; failed; ++nth) {
        dipp_memory_fail_nth(nth, false);
        dipp_status status = dipp_adapter_write_flat(written, flat, false, &error);
        failed = dipp_memory_has_failed();
        dipp_memory_fail_nth(0, false);
        assert_int_equal(status == DIPP_OK, !failed); /* a folder that cannot be synced is DIPP_E_IO */
    }
    write_tensors((const tensor[]){{"transformer.a.lora_A.weight", 2, {2, 4}},
                                   {"transformer.a.lora_B.weight", 2, {4, 2}},
                                   {NULL}},
                  NULL);
    assert_int_equal(dipp_adapter_write_flat(written, flat, false, &error), DIPP_E_UNSUPPORTED);
    assert_non_null(strstr(error.message, "Stable Diffusion's UNet"));
    write_tensors((const tensor[]){{NULL}}, NULL);
    assert_int_equal(dipp_adapter_write_flat(written, flat, false, &error), DIPP_E_FORMAT);
    assert_non_null(strstr(error.message, "no adapter is in it"));
    write_tensors((const tensor[]){{"a.lora_A.weight", 2, {2, 4}}, {NULL}}, NULL);
    assert_int_equal(dipp_adapter_write_flat(written, flat, false, &error), DIPP_E_FORMAT);
}

/* Our file has the names of diffusers' and brings the numbers back. */
static void our_file_is_diffusers_(void **state)
{
    dipp_lora_options lora = lora_few_layers(2, 3);
    static const char *const metadata[] = {"dipp.base_sha256", "abc", NULL};
    char base[DIPP_SHA256_HEX_BYTES];
    replay r;
    lora_network(&r, &lora, "reference", "f64");
    MUST(dipp_adapter_write(written, r.set, &lora, r.frozen_layout, metadata, &error_));
    MUST(dipp_adapter_base(written, base, &error_));
    assert_string_equal(base, "abc");
    MUST(dipp_adapter_base(FILES "diffusers.safetensors", base, &error_));
    assert_string_equal(base, "");
    dipp_weights *ours = fixture_open(written), *theirs = fixture_open(FILES "diffusers.safetensors");
    assert_int_equal(dipp_weights_count(ours), dipp_weights_count(theirs));
    for (size_t i = 0; i < dipp_weights_count(ours); ++i) {
        const dipp_weight_tensor *a = dipp_weights_at(ours, i), *b = dipp_weights_at(theirs, i);
        assert_string_equal(a->name, b->name);
        assert_true(a->rank == b->rank && !memcmp(a->shape, b->shape, sizeof a->shape) && a->dtype == b->dtype);
        assert_memory_equal(a->data, b->data, a->bytes);
    }
    const char *settings = dipp_weights_metadata(ours, "lora_adapter_metadata");
    assert_non_null(settings);
    assert_non_null(strstr(settings, "\"unet.lora_alpha\": 3, \"unet.r\": 2"));
    assert_non_null(strstr(settings, "\"down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q\""));
    dipp_weights_destroy(&ours);
    dipp_weights_destroy(&theirs);
    expect_overlay(&r, written, 1.5);
    replay_end(&r);
}

/* ---- Merging ------------------------------------------------------------------------------------------------------- */

static void merged_weights_give_what_adapted_ones_give(void **state)
{
    dipp_lora_options lora = lora_every_layer(3, 6);
    replay adapted, merged;
    lora_network(&adapted, &lora, "reference", "f64");
    MUST(dipp_adapter_write(written, adapted.set, &lora, adapted.frozen_layout, NULL, &error_));
    lora_network(&merged, NULL, "reference", "f64");
    MUST(dipp_adapter_merge(written, merged.set, &error_));
    lora_run(&adapted);
    lora_run(&merged);
    static const char *const outputs[] = {"y", "gradient.x"};
    for (int i = 0; i < 2; ++i) {
        double *a = replay_read(&adapted, outputs[i], LORA_X), *b = replay_read(&merged, outputs[i], LORA_X);
        fixture_compare(outputs[i], a, b, LORA_X, 1e-12);
        free(a);
        free(b);
    }
    replay_end(&adapted);
    replay_end(&merged);
}

/* ---- Files that do not fit ------------------------------------------------------------------------------------------ */

#define FLAT  "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
#define LAYER "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"

static void expect_refusal(const tensor *tensors, const char *settings, dipp_status status, const char *part)
{
    dipp_lora_options lora = lora_few_layers(2, 2);
    dipp_error error = {0};
    replay r;
    lora_network(&r, &lora, "reference", "f64");
    double *before = master(r.set), *after;
    write_tensors(tensors, settings);
    assert_int_equal(dipp_adapter_read(written, r.set, &lora, &error), status);
    if (!strstr(error.message, part))
        fail_msg("\"%s\" is not in: %s", part, error.message);
    assert_int_equal(dipp_adapter_read(written, r.set, &lora, NULL), status);
    after = master(r.set);
    assert_memory_equal(before, after, (size_t)dipp_layout_elements(r.layout) * sizeof *before);
    free(before);
    free(after);
    replay_end(&r);
}

static void files_that_do_not_fit_are_refused(void **state)
{
    static const tensor good[] = {{LAYER ".lora_A.weight", 2, {2, 4}}, {LAYER ".lora_B.weight", 2, {4, 2}}, {NULL}};
    static const tensor wide[] = {{LAYER ".lora_A.weight", 2, {3, 4}}, {LAYER ".lora_B.weight", 2, {4, 3}}, {NULL}};
    static const tensor half[] = {{LAYER ".lora_A.weight", 2, {2, 4}}, {NULL}};
    static const tensor crossed[] = {{LAYER ".lora_A.weight", 2, {4, 2}}, {LAYER ".lora_B.weight", 2, {4, 2}}, {NULL}};
    static const tensor elsewhere[] = {{"to_q.lora_A.weight", 2, {2, 4}}, {"to_q.lora_B.weight", 2, {4, 2}}, {NULL}};
    static const tensor twice[] = {
        {"unet." LAYER ".lora_A.weight", 2, {2, 4}}, {LAYER ".lora.down.weight", 2, {2, 4}}, {NULL}};
    static const tensor both[] = {{FLAT ".lora_down.weight", 2, {2, 4}},
                                  {FLAT ".lora_up.weight", 2, {4, 2}},
                                  {LAYER ".lora_A.weight", 2, {2, 4}},
                                  {LAYER ".lora_B.weight", 2, {4, 2}},
                                  {NULL}};
    static const tensor nowhere[] = {
        {"lora_unet_to_q.lora_down.weight", 2, {2, 4}}, {"lora_unet_to_q.lora_up.weight", 2, {4, 2}}, {NULL}};
    static const tensor longer[] = {
        {FLAT "_x.lora_down.weight", 2, {2, 4}}, {FLAT "_x.lora_up.weight", 2, {4, 2}}, {NULL}};
    static const tensor text[] = {{"lora_te_text_model_encoder_layers_0_mlp_fc1.lora_down.weight", 2, {2, 4}},
                                  {"lora_te_text_model_encoder_layers_0_mlp_fc1.lora_up.weight", 2, {4, 2}},
                                  {NULL}};
    static const tensor middle[] = {{"lora_unet_to_q.lora_mid.weight", 2, {2, 2}}, {NULL}};
    static const tensor other[] = {{"text_encoder.q_proj.lora_linear_layer.up.weight", 2, {2, 4}}, {NULL}};
    expect_refusal(good, NULL, DIPP_E_FORMAT, "down_blocks.0.resnets.0.conv1.lora_A.weight is missing");
    expect_refusal(wide, NULL, DIPP_E_FORMAT, "has shape [3, 4], expected [2, 4]");
    expect_refusal(half, NULL, DIPP_E_FORMAT, "has no A [rank, in] and B [out, rank] that fit");
    expect_refusal(crossed, NULL, DIPP_E_FORMAT, "has no A [rank, in] and B [out, rank] that fit");
    expect_refusal(elsewhere, NULL, DIPP_E_FORMAT, "to_q: the settings do not adapt this layer");
    expect_refusal(twice, NULL, DIPP_E_FORMAT, "is there under two names");
    expect_refusal(both, NULL, DIPP_E_FORMAT, LAYER " is there under two names");
    expect_refusal(nowhere, NULL, DIPP_E_FORMAT, "\n  to_q: the settings do not adapt this layer");
    expect_refusal(longer, NULL, DIPP_E_FORMAT, "attn1_to_q_x: the settings do not adapt this layer");
    expect_refusal(text, NULL, DIPP_E_FORMAT, "mlp_fc1: the settings do not adapt this layer");
    expect_refusal(middle, NULL, DIPP_E_FORMAT, "lora_unet_to_q.lora_mid.weight is no part of a low-rank adapter");
    expect_refusal(other, NULL, DIPP_E_FORMAT, "lora_linear_layer.up.weight is no part of a low-rank adapter");
    expect_refusal(good, "{\"alpha_pattern\": {\"to_q\": 4}}", DIPP_E_UNSUPPORTED, "alpha_pattern");
    expect_refusal(good, "{\"unet.use_rslora\" : true}", DIPP_E_UNSUPPORTED, "rsLoRA");
    expect_refusal(good, "{\"lora_alpha\": \"many\"}", DIPP_E_FORMAT, "lora_alpha is no positive number");
    expect_refusal(good, "{\"lora_alpha\": -1}", DIPP_E_FORMAT, "lora_alpha is no positive number");
}

/* An alpha of a layer's own goes before that of all. */
static void a_layer_may_have_its_alpha(void **state)
{
    static const float a[] = {1, 2, 3, 4}, b[] = {1, 0, 0, -1}, alpha = 6;
    const char name[] = "mid_block.resnets.0.time_emb_proj";
    dipp_weights_writer *writer = NULL;
    dipp_layout *layout = NULL;
    dipp_graph *g = NULL;
    dipp_backend *backend = NULL;
    dipp_parameter_set *set = NULL;
    char full[3][80];
    snprintf(full[0], sizeof full[0], "transformer.%s.lora_A.weight", name);
    snprintf(full[1], sizeof full[1], "transformer.%s.lora_B.weight", name);
    snprintf(full[2], sizeof full[2], "transformer.%s.alpha", name);
    MUST(dipp_weights_writer_create(written, &writer, &error_));
    MUST(dipp_weights_writer_metadata(writer, "lora_adapter_metadata", "{\"transformer.lora_alpha\": 100}", &error_));
    MUST(dipp_weights_writer_add_f32(writer, full[0], DIPP_WEIGHT_F32, 2, (uint64_t[]){2, 2}, a, &error_));
    MUST(dipp_weights_writer_add_f32(writer, full[1], DIPP_WEIGHT_F32, 2, (uint64_t[]){2, 2}, b, &error_));
    MUST(dipp_weights_writer_add_f32(writer, full[2], DIPP_WEIGHT_F32, 0, NULL, &alpha, &error_));
    MUST(dipp_weights_writer_commit(&writer, &error_));
    MUST(dipp_layout_create("layer", &layout, &error_));
    MUST(dipp_graph_create("layer", &g, &error_));
    dipp_params p = dipp_graph_slot(g, "layer", layout, false);
    dipp_linear(g, p, name, dipp_input(g, "x", DIPP_WIDE, DIPP_SHAPE(1, 2)), 2, NULL);
    MUST(dipp_graph_status(g, &error_));
    dipp_graph_destroy(&g);
    dipp_backend_options options = {.struct_size = sizeof options, .threads = 1, .precision = "f64"};
    MUST(dipp_backend_create("reference", &options, &backend, &error_));
    MUST(dipp_parameter_set_create("layer", layout, backend, false, &set, &error_));
    MUST(dipp_adapter_merge(written, set, &error_)); /* onto zeros */
    double found[4], wanted[4] = {3, 6, -9, -12};
    snprintf(full[0], sizeof full[0], "%s.weight", name);
    MUST(dipp_parameter_set_read_entry(set, full[0], found, 4, &error_));
    fixture_compare("merged", found, wanted, 4, 0);
    dipp_parameter_set_destroy(&set);
    dipp_backend_destroy(&backend);
    dipp_layout_destroy(&layout);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_files_are_read),
        cmocka_unit_test(names_without_dots_are_read),
        cmocka_unit_test(names_without_dots_are_written),
        cmocka_unit_test(our_file_is_diffusers_),
        cmocka_unit_test(merged_weights_give_what_adapted_ones_give),
        cmocka_unit_test(files_that_do_not_fit_are_refused),
        cmocka_unit_test(a_layer_may_have_its_alpha),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
