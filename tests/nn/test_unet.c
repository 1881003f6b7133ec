/* The UNet: tensors of the published configurations, and outputs and gradients against the published implementation
 * (tests/fixtures/make_unet_fixture.py) in double precision. */
#include "fixture.h"
#include "replay.h"

#include <dipp/nn.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { N = 2, L = 5 };
/* Outputs and gradients of inputs; 5e-6 is found with AVX2. */
static const double cpu_tolerance = 5e-5;

typedef struct recorded {
    dipp_tensor x, caption, y;
} recorded;

/* Records forward, with L text tokens where the network takes text. */
static recorded record(replay *r, const dipp_unet_options *o, int64_t height, int64_t width)
{
    dipp_graph *g = r->graph;
    recorded f = {.x = dipp_input(g, "x", DIPP_WIDE, DIPP_SHAPE(N, o->in_channels, height, width))};
    dipp_tensor t = dipp_input(g, "t", DIPP_WIDE, DIPP_SHAPE(N)), mask = DIPP_NONE;
    if (o->caption_channels) {
        f.caption = dipp_input(g, "caption", DIPP_WIDE, DIPP_SHAPE(N, L, o->caption_channels));
        mask = dipp_input(g, "mask", DIPP_WIDE, DIPP_SHAPE(N, L));
    }
    f.y = dipp_unet(g, r->slot, o, f.x, t, f.caption, mask);
    return f;
}

/* ---- Published configurations ------------------------------------------------------------------------------------ */

static dipp_unet_options stable_diffusion_15(void)
{
    static const int64_t channels[4] = {320, 640, 1280, 1280};
    dipp_unet_options o = {.in_channels = 4, .out_channels = 4, .levels = 4, .caption_channels = 768};
    for (int i = 0; i < 4; ++i) {
        bool attention = i < 3;
        o.level[i] = (dipp_unet_level){
            .channels = channels[i], .layers = 2, .heads = 8, .down_attention = attention, .up_attention = attention};
    }
    return o;
}

static dipp_unet_options stable_diffusion_21(void)
{
    static const int64_t heads[4] = {5, 10, 20, 20};
    dipp_unet_options o = stable_diffusion_15();
    o.caption_channels = 1024;
    o.linear_projection = true;
    for (int i = 0; i < 4; ++i)
        o.level[i].heads = heads[i];
    return o;
}

/* Finds NAME.weight of the given shape and, if asked for, NAME.bias [out]; returns how many numbers they hold. */
static int64_t expect_layer(const replay *r, const char *prefix, const char *name, dipp_shape shape, bool bias)
{
    char full[256];
    int64_t numbers = 0;
    for (int part = 0; part < (bias ? 2 : 1); ++part) {
        uint32_t index;
        dipp_shape expected = part ? DIPP_SHAPE(shape.dims[0]) : shape;
        snprintf(full, sizeof full, "%s%s.%s", prefix, name, part ? "bias" : "weight");
        if (!dipp_layout_find(r->layout, full, &index))
            fail_msg("no tensor %s", full);
        const dipp_layout_entry *entry = dipp_layout_entry_at(r->layout, index);
        if (entry->shape.rank != expected.rank ||
            memcmp(entry->shape.dims, expected.dims, expected.rank * sizeof *expected.dims) != 0)
            fail_msg("tensor %s has another shape", full);
        numbers += entry->elements;
    }
    return numbers;
}

static int64_t expect_resnet(const replay *r, const char *block, int i, int64_t in, int64_t out, bool shortcut)
{
    char prefix[128];
    snprintf(prefix, sizeof prefix, "%sresnets.%d.", block, i);
    return expect_layer(r, prefix, "norm1", DIPP_SHAPE(in), true) +
           expect_layer(r, prefix, "conv1", DIPP_SHAPE(out, in, 3, 3), true) +
           expect_layer(r, prefix, "time_emb_proj", DIPP_SHAPE(out, 1280), true) +
           expect_layer(r, prefix, "norm2", DIPP_SHAPE(out), true) +
           expect_layer(r, prefix, "conv2", DIPP_SHAPE(out, out, 3, 3), true) +
           (shortcut ? expect_layer(r, prefix, "conv_shortcut", DIPP_SHAPE(out, in, 1, 1), true) : 0);
}

static int64_t expect_transformer(const replay *r, const char *block, int i, int64_t c)
{
    static const char *const norms[3] = {"norm1", "norm2", "norm3"};
    static const struct {
        const char *name;
        int64_t in;
        bool bias;
    } projections[] = {{"attn1.to_q", 0, false},    {"attn1.to_k", 0, false},   {"attn1.to_v", 0, false},
                       {"attn2.to_q", 0, false},    {"attn2.to_k", 768, false}, {"attn2.to_v", 768, false},
                       {"attn1.to_out.0", 0, true}, {"attn2.to_out.0", 0, true}};
    char prefix[128], inner[192];
    snprintf(prefix, sizeof prefix, "%sattentions.%d.", block, i);
    snprintf(inner, sizeof inner, "%stransformer_blocks.0.", prefix);
    int64_t numbers = expect_layer(r, prefix, "norm", DIPP_SHAPE(c), true) +
                      expect_layer(r, prefix, "proj_in", DIPP_SHAPE(c, c, 1, 1), true) +
                      expect_layer(r, prefix, "proj_out", DIPP_SHAPE(c, c, 1, 1), true) +
                      expect_layer(r, inner, "ff.net.0.proj", DIPP_SHAPE(8 * c, c), true) +
                      expect_layer(r, inner, "ff.net.2", DIPP_SHAPE(c, 4 * c), true);
    for (int k = 0; k < 3; ++k)
        numbers += expect_layer(r, inner, norms[k], DIPP_SHAPE(c), true);
    for (size_t k = 0; k < sizeof projections / sizeof *projections; ++k)
        numbers += expect_layer(r, inner, projections[k].name, DIPP_SHAPE(c, projections[k].in ? projections[k].in : c),
                                projections[k].bias);
    return numbers;
}

/* Written out block by block, so that a failure says which tensor; the manifest then leaves no room for another one. */
static void stable_diffusion_15_has_the_published_tensors(void **state)
{
    static const int64_t width[4] = {320, 640, 1280, 1280}, before[4] = {320, 320, 640, 1280};
    static const int64_t up_inputs[4][3] = {{2560, 2560, 2560}, {2560, 2560, 1920}, {1920, 1280, 960}, {960, 640, 640}};
    dipp_weights *file = fixture_open(DIPP_FIXTURE_FOLDER "/unet.safetensors");
    dipp_unet_options o = stable_diffusion_15();
    dipp_error error = {0};
    replay r;
    replay_begin(&r, "sd15");
    record(&r, &o, 64, 64);
    if (dipp_graph_status(r.graph, &error) != DIPP_OK)
        fail_msg("%s", error.message);

    int64_t numbers = expect_layer(&r, "", "conv_in", DIPP_SHAPE(320, 4, 3, 3), true) +
                      expect_layer(&r, "", "time_embedding.linear_1", DIPP_SHAPE(1280, 320), true) +
                      expect_layer(&r, "", "time_embedding.linear_2", DIPP_SHAPE(1280, 1280), true) +
                      expect_layer(&r, "", "conv_norm_out", DIPP_SHAPE(320), true) +
                      expect_layer(&r, "", "conv_out", DIPP_SHAPE(4, 320, 3, 3), true);
    char block[64];
    for (int i = 0; i < 4; ++i) {
        snprintf(block, sizeof block, "down_blocks.%d.", i);
        for (int j = 0; j < 2; ++j) {
            int64_t in = j ? width[i] : before[i];
            numbers += expect_resnet(&r, block, j, in, width[i], in != width[i]);
            numbers += i < 3 ? expect_transformer(&r, block, j, width[i]) : 0;
        }
        if (i < 3)
            numbers += expect_layer(&r, block, "downsamplers.0.conv", DIPP_SHAPE(width[i], width[i], 3, 3), true);

        snprintf(block, sizeof block, "up_blocks.%d.", i);
        for (int j = 0; j < 3; ++j) {
            numbers += expect_resnet(&r, block, j, up_inputs[i][j], width[3 - i], true);
            numbers += i > 0 ? expect_transformer(&r, block, j, width[3 - i]) : 0;
        }
        if (i < 3)
            numbers += expect_layer(&r, block, "upsamplers.0.conv", DIPP_SHAPE(width[3 - i], width[3 - i], 3, 3), true);
    }
    numbers += expect_resnet(&r, "mid_block.", 0, 1280, 1280, false) + expect_transformer(&r, "mid_block.", 0, 1280) +
               expect_resnet(&r, "mid_block.", 1, 1280, 1280, false);
    assert_int_equal(numbers, 859520964);
    assert_int_equal(dipp_layout_count(r.layout), 686);
    replay_compare_manifest(&r, file, "sd15");
    replay_end(&r);

    o = stable_diffusion_21();
    replay_begin(&r, "sd21");
    record(&r, &o, 96, 96);
    replay_compare_manifest(&r, file, "sd21");
    replay_end(&r);
    dipp_weights_destroy(&file);
}

/* ---- Tiny networks ----------------------------------------------------------------------------------------------- */

/* The configurations of make_unet_fixture.py. */
static dipp_unet_options full(void)
{
    return (dipp_unet_options){
        .in_channels = 4,
        .out_channels = 4,
        .levels = 4,
        .level = {{.channels = 8, .layers = 1, .heads = 2, .down_attention = true, .up_attention = true},
                  {.channels = 12, .layers = 2, .heads = 3, .up_attention = true},
                  {.channels = 16,
                   .layers = 1,
                   .heads = 4,
                   .transformer_layers = 2,
                   .down_attention = true,
                   .up_attention = true},
                  {.channels = 16, .layers = 1, .heads = 2}},
        .caption_channels = 6,
        .groups = 4,
    };
}

static dipp_unet_options linear(void)
{
    return (dipp_unet_options){
        .in_channels = 3,
        .out_channels = 3,
        .levels = 2,
        .level = {{.channels = 6, .layers = 1, .heads = 3, .down_attention = true, .up_attention = true},
                  {.channels = 12, .layers = 1, .heads = 3}},
        .groups = 3,
        .epsilon = 1e-3,
        .linear_projection = true,
    };
}

static dipp_unet_options plain(void)
{
    return (dipp_unet_options){.in_channels = 3,
                               .out_channels = 5,
                               .levels = 2,
                               .level = {{.channels = 4, .layers = 1}, {.channels = 8, .layers = 1}},
                               .mid = DIPP_UNET_MID_PLAIN,
                               .groups = 2};
}

static dipp_unet_options hollow(void)
{
    return (dipp_unet_options){.in_channels = 3,
                               .out_channels = 3,
                               .levels = 1,
                               .level = {{.channels = 4, .layers = 1}},
                               .mid = DIPP_UNET_MID_NONE,
                               .groups = 2};
}

/* Forward, gradients to the inputs and to every tensor. Sums of a few thousand terms near one: in double within 1e-9. */
static void compare_with_fixture(const char *name, const dipp_unet_options *o, int64_t height, int64_t width,
                                 const char *backend, const char *precision, double tolerance)
{
    const size_t x_count = (size_t)(N * o->in_channels * height * width);
    const size_t y_count = (size_t)(N * o->out_channels * height * width);
    const size_t caption_count = (size_t)(N * L * o->caption_channels);
    dipp_weights *file = fixture_open(DIPP_FIXTURE_FOLDER "/unet.safetensors");
    replay r;
    replay_begin(&r, name);
    dipp_graph *g = r.graph;
    recorded f = record(&r, o, height, width);
    dipp_tensor probe = dipp_input(g, "probe", DIPP_WIDE, DIPP_SHAPE(N, o->out_channels, height, width));
    dipp_tensor loss = dipp_sum(g, dipp_mul(g, f.y, probe), 0xf, false);
    dipp_tensor gradients[2];
    dipp_gradients(g, 1, &loss, NULL, f.caption.id ? 2 : 1, (const dipp_tensor[]){f.x, f.caption}, gradients);
    dipp_output(g, "y", f.y);
    dipp_output(g, "gradient.x", gradients[0]);
    if (f.caption.id)
        dipp_output(g, "gradient.caption", gradients[1]);
    replay_on(&r, backend, precision);
    replay_prepare(&r);

    replay_write_from(&r, file, name, "x", x_count);
    replay_write_from(&r, file, name, "t", N);
    if (caption_count) {
        replay_write_from(&r, file, name, "caption", caption_count);
        replay_write_from(&r, file, name, "mask", N * L);
    }
    double *numbers = malloc(y_count * sizeof *numbers);
    assert_non_null(numbers);
    fixture_noise("probe", 1.0, numbers, y_count);
    replay_write(&r, "probe", numbers, y_count);
    free(numbers);
    replay_run(&r);

    replay_compare_output(&r, file, name, "y", y_count, tolerance);
    replay_compare_output(&r, file, name, "gradient.x", x_count, tolerance);
    if (caption_count)
        replay_compare_output(&r, file, name, "gradient.caption", caption_count, tolerance);
    replay_compare_weights(&r, file, name, 100 * tolerance);
    dipp_weights_destroy(&file);
    replay_end(&r);
}

static void blocks_with_text_agree_with_the_published_implementation(void **state)
{
    dipp_unet_options o = full();
    compare_with_fixture("full", &o, 10, 6, "reference", "f64", 1e-9);
}

static void linear_projections_and_no_text_agree_with_the_published_implementation(void **state)
{
    dipp_unet_options o = linear();
    compare_with_fixture("linear", &o, 4, 4, "reference", "f64", 1e-9);
}

static void other_middles_agree_with_the_published_implementation(void **state)
{
    dipp_unet_options o = plain();
    compare_with_fixture("plain", &o, 4, 6, "reference", "f64", 1e-9);
    o = hollow();
    compare_with_fixture("hollow", &o, 3, 3, "reference", "f64", 1e-9);
}

/* The whole network on the back-end that trains it. */
static void the_cpu_agrees_in_single_precision(void **state)
{
    if (!replay_available("cpu", "f32"))
        skip(); /* a build without oneDNN */
    dipp_unet_options o = full();
    compare_with_fixture("full", &o, 10, 6, "cpu", "f32", cpu_tolerance);
    o = linear();
    compare_with_fixture("linear", &o, 4, 4, "cpu", "f32", cpu_tolerance);
}

/* Without a mask every token counts: as published pipelines run it. */
static void no_mask_means_all_tokens(void **state)
{
    enum { X = N * 4 * 4 * 4 };
    dipp_unet_options o = full();
    o.levels = 2;
    o.mid = DIPP_UNET_MID_NONE;
    replay r;
    replay_begin(&r, "mask");
    dipp_graph *g = r.graph;
    dipp_tensor x = dipp_input(g, "x", DIPP_WIDE, DIPP_SHAPE(N, 4, 4, 4)),
                t = dipp_input(g, "t", DIPP_WIDE, DIPP_SHAPE(N));
    dipp_tensor caption = dipp_input(g, "caption", DIPP_WIDE, DIPP_SHAPE(N, L, 6));
    dipp_tensor mask = dipp_input(g, "mask", DIPP_WIDE, DIPP_SHAPE(N, L));
    dipp_output(g, "masked", dipp_unet(g, r.slot, &o, x, t, caption, mask));
    dipp_output(g, "open", dipp_unet(g, r.slot, &o, x, t, caption, DIPP_NONE));
    replay_prepare(&r);
    double numbers[X], text[N * L * 6], ones[N * L];
    fixture_noise("x", 2.0, numbers, X);
    fixture_noise("caption", 1.0, text, N * L * 6);
    for (int i = 0; i < N * L; ++i)
        ones[i] = 1;
    replay_write(&r, "x", numbers, X);
    replay_write(&r, "t", (const double[]){1, 900}, N);
    replay_write(&r, "caption", text, N * L * 6);
    replay_write(&r, "mask", ones, N * L);
    replay_run(&r);
    double *masked = replay_read(&r, "masked", X), *open = replay_read(&r, "open", X);
    fixture_compare("open", open, masked, X, 1e-12);
    free(masked);
    free(open);
    replay_end(&r);
}

/* ---- Mistakes ---------------------------------------------------------------------------------------------------- */

static void wrong_options_are_named(void **state)
{
    struct {
        dipp_unet_options options;
        const char *text;
    } cases[11];
    for (size_t i = 0; i < 11; ++i)
        cases[i].options = full();
    cases[0].options.level[1].channels = 14, cases[0].text = "level 1 has 14 channels";
    cases[1].options.level[2].heads = 5, cases[1].text = "level 2 has 5 heads";
    cases[2].options.level[3].heads = 0, cases[2].text = "level 3 has 0 heads"; /* of the middle's transformer */
    cases[3].options.level[0].layers = 16, cases[3].text = "level 0 has 16 layers";
    cases[4].options.level[1].layers = 0, cases[4].text = "level 1 has 0 layers";
    cases[5].options.levels = 9, cases[5].text = "levels 1 to 8";
    cases[6].options.in_channels = 0, cases[6].text = "in_channels";
    cases[7].options.epsilon = -1, cases[7].text = "epsilon";
    cases[8].options.caption_channels = -1, cases[8].text = "caption_channels";
    cases[9].options.mid = (dipp_unet_mid)7, cases[9].text = "kind 7";
    cases[10].options.groups = 5, cases[10].text = "of the 5 groups";
    for (size_t i = 0; i < 11; ++i) {
        dipp_error error = {0};
        assert_int_equal(dipp_unet_check(&cases[i].options, &error), DIPP_E_INVALID);
        if (!strstr(error.message, cases[i].text))
            fail_msg("case %zu says: %s", i, error.message);
    }
    replay r;
    dipp_error error = {0};
    replay_begin(&r, "wrong");
    assert_int_equal(record(&r, &cases[0].options, 8, 8).y.id, 0);
    assert_int_not_equal(dipp_graph_status(r.graph, &error), DIPP_OK);
    assert_non_null(strstr(error.message, cases[0].text));
    replay_end(&r);
}

static void wrong_inputs_are_named(void **state)
{
    static const char *const texts[] = {"x must be", "t must be", "text states must be", "text states must be",
                                        "without text"};
    dipp_unet_options o = full();
    for (int i = 0; i < 5; ++i) {
        replay r;
        dipp_error error = {0};
        replay_begin(&r, "wrong");
        dipp_graph *g = r.graph;
        o.caption_channels = i == 4 ? 0 : 6;
        dipp_tensor x = dipp_input(g, "x", DIPP_WIDE, DIPP_SHAPE(N, i == 0 ? 3 : 4, 8, 8));
        dipp_tensor t = dipp_input(g, "t", DIPP_WIDE, DIPP_SHAPE(i == 1 ? 1 : N));
        dipp_tensor caption = dipp_input(g, "caption", DIPP_WIDE, DIPP_SHAPE(N, L, i == 2 ? 5 : 6));
        dipp_tensor mask = dipp_input(g, "mask", DIPP_WIDE, DIPP_SHAPE(N, i == 3 ? L + 1 : L));
        assert_int_equal(dipp_unet(g, r.slot, &o, x, t, caption, mask).id, 0);
        assert_int_not_equal(dipp_graph_status(g, &error), DIPP_OK);
        if (!strstr(error.message, texts[i]))
            fail_msg("case %d says: %s", i, error.message);
        replay_end(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stable_diffusion_15_has_the_published_tensors),
        cmocka_unit_test(blocks_with_text_agree_with_the_published_implementation),
        cmocka_unit_test(linear_projections_and_no_text_agree_with_the_published_implementation),
        cmocka_unit_test(other_middles_agree_with_the_published_implementation),
        cmocka_unit_test(the_cpu_agrees_in_single_precision),
        cmocka_unit_test(no_mask_means_all_tokens),
        cmocka_unit_test(wrong_options_are_named),
        cmocka_unit_test(wrong_inputs_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
