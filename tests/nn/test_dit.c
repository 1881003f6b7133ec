/* The transformer: tensors of the published configurations, and outputs and gradients against the published
 * implementation (tests/fixtures/make_dit_fixture.py) in double precision. */
#include "fixture.h"
#include "replay.h"

#include <dipp/nn.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

typedef struct recorded {
    dipp_tensor x, caption, y;
} recorded;

/* Records forward, with batch 2 and 16 text tokens. */
static recorded record(replay *r, const dipp_dit_options *o)
{
    dipp_graph *g = r->graph;
    recorded f = {.x = dipp_input(g, "x", DIPP_WIDE, DIPP_SHAPE(2, o->channels, o->height, o->width))};
    dipp_tensor t = dipp_input(g, "t", DIPP_WIDE, DIPP_SHAPE(2)), mask = DIPP_NONE;
    if (o->caption_channels) {
        f.caption = dipp_input(g, "caption", DIPP_WIDE, DIPP_SHAPE(2, 16, o->caption_channels));
        mask = dipp_input(g, "mask", DIPP_WIDE, DIPP_SHAPE(2, 16));
    }
    f.y = dipp_dit(g, r->slot, o, f.x, t, f.caption, mask);
    return f;
}

static void expect_shape(const replay *r, const char *name, dipp_shape shape)
{
    uint32_t index;
    if (!dipp_layout_find(r->layout, name, &index))
        fail_msg("no tensor %s", name);
    const dipp_layout_entry *entry = dipp_layout_entry_at(r->layout, index);
    if (entry->shape.rank != shape.rank || memcmp(entry->shape.dims, shape.dims, shape.rank * sizeof *shape.dims) != 0)
        fail_msg("tensor %s has another shape", name);
}

static void expect_counts(const dipp_dit_options *o, uint32_t tensors, int64_t parameters)
{
    replay r;
    dipp_error error = {0};
    replay_begin(&r, "counts");
    record(&r, o);
    if (dipp_graph_status(r.graph, &error) != DIPP_OK)
        fail_msg("%s", error.message);
    assert_int_equal(dipp_layout_count(r.layout), tensors);
    assert_int_equal(dipp_layout_parameters(r.layout), parameters);
    replay_end(&r);
}

static dipp_dit_options pixart_xl(void)
{
    return (dipp_dit_options){.channels = 4,
                              .height = 64,
                              .width = 64,
                              .patch = 2,
                              .hidden = 1152,
                              .layers = 28,
                              .heads = 16,
                              .caption_channels = 4096,
                              .learn_sigma = true};
}

static void published_configurations_have_the_published_tensors(void **state)
{
    dipp_dit_options o = pixart_xl();
    expect_counts(&o, 603, 610856096);
    o.height = o.width = 128;
    o.position_scale = 2;
    o.micro_height = o.micro_width = 1024;
    expect_counts(&o, 611, 611349152);

    replay r;
    o = pixart_xl();
    replay_begin(&r, "xl");
    assert_int_equal(dipp_dim(r.graph, record(&r, &o).y, 1), 8);
    expect_shape(&r, "pos_embed.proj.weight", DIPP_SHAPE(1152, 4, 2, 2));
    expect_shape(&r, "pos_embed.proj.bias", DIPP_SHAPE(1152));
    expect_shape(&r, "adaln_single.emb.timestep_embedder.linear_1.weight", DIPP_SHAPE(1152, 256));
    expect_shape(&r, "adaln_single.emb.timestep_embedder.linear_2.weight", DIPP_SHAPE(1152, 1152));
    expect_shape(&r, "adaln_single.linear.weight", DIPP_SHAPE(6912, 1152));
    expect_shape(&r, "caption_projection.linear_1.weight", DIPP_SHAPE(1152, 4096));
    expect_shape(&r, "caption_projection.linear_2.bias", DIPP_SHAPE(1152));
    expect_shape(&r, "transformer_blocks.27.scale_shift_table", DIPP_SHAPE(6, 1152));
    expect_shape(&r, "transformer_blocks.27.attn1.to_q.weight", DIPP_SHAPE(1152, 1152));
    expect_shape(&r, "transformer_blocks.27.attn2.to_out.0.bias", DIPP_SHAPE(1152));
    expect_shape(&r, "transformer_blocks.0.ff.net.0.proj.weight", DIPP_SHAPE(4608, 1152));
    expect_shape(&r, "transformer_blocks.0.ff.net.2.weight", DIPP_SHAPE(1152, 4608));
    expect_shape(&r, "scale_shift_table", DIPP_SHAPE(2, 1152));
    expect_shape(&r, "proj_out.weight", DIPP_SHAPE(32, 1152));
    replay_end(&r);
}

static void emoji_configuration_is_small(void **state)
{
    dipp_dit_options o = {.channels = 3,
                          .height = 32,
                          .width = 32,
                          .patch = 4,
                          .hidden = 160,
                          .layers = 6,
                          .heads = 5,
                          .caption_channels = 160,
                          .time_scale = 1000};
    /* 6 blocks of 412,640; time 66,880; t6 154,560; captions 51,520; patches 7,840; last layer 7,728 + 320 */
    expect_counts(&o, 6 * 21 + 15, 6 * 412640 + 66880 + 154560 + 51520 + 7840 + 7728 + 320);
}

/* Forward, gradients to the inputs and to every tensor. */
static void compare_with_fixture(const char *name, const dipp_dit_options *o, size_t tensors)
{
    enum { X = 2 * 4 * 8 * 8, CAPTION = 2 * 16 * 64, Y = 2 * 8 * 8 * 8 };
    const double tolerance = 1e-9; /* sums of a few thousand terms near one, in double on both sides */
    dipp_weights *file = fixture_open(DIPP_FIXTURE_FOLDER "/dit.safetensors");
    replay r;
    replay_begin(&r, name);
    dipp_graph *g = r.graph;
    recorded f = record(&r, o);
    dipp_tensor probe = dipp_input(g, "probe", DIPP_WIDE, DIPP_SHAPE(2, 8, 8, 8));
    dipp_tensor loss = dipp_sum(g, dipp_mul(g, f.y, probe), 0xf, false);
    dipp_tensor gradients[2];
    dipp_gradients(g, 1, &loss, NULL, 2, (const dipp_tensor[]){f.x, f.caption}, gradients);
    dipp_output(g, "y", f.y);
    dipp_output(g, "gradient.x", gradients[0]);
    dipp_output(g, "gradient.caption", gradients[1]);
    replay_prepare(&r);

    static const struct {
        const char *name;
        size_t count;
    } inputs[] = {{"x", X}, {"t", 2}, {"caption", CAPTION}, {"mask", 32}},
      outputs[] = {{"y", Y}, {"gradient.x", X}, {"gradient.caption", CAPTION}};
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; ++i)
        replay_write_from(&r, file, name, inputs[i].name, inputs[i].count);
    double numbers[Y];
    fixture_noise("probe", 1.0, numbers, Y);
    replay_write(&r, "probe", numbers, Y);
    replay_run(&r);

    for (size_t i = 0; i < sizeof outputs / sizeof *outputs; ++i)
        replay_compare_output(&r, file, name, outputs[i].name, outputs[i].count, tolerance);
    assert_int_equal(dipp_layout_count(r.layout), tensors);
    replay_compare_weights(&r, file, name, 100 * tolerance);
    dipp_weights_destroy(&file);
    replay_end(&r);
}

static dipp_dit_options tiny(void)
{
    return (dipp_dit_options){.channels = 4,
                              .height = 8,
                              .width = 8,
                              .patch = 2,
                              .hidden = 144,
                              .layers = 2,
                              .heads = 2,
                              .caption_channels = 64,
                              .learn_sigma = true};
}

static void forward_and_gradients_agree_with_the_published_implementation(void **state)
{
    dipp_dit_options o = tiny();
    compare_with_fixture("pc", &o, 57);
}

static void micro_conditioning_agrees_with_the_published_implementation(void **state)
{
    dipp_dit_options o = tiny();
    o.position_scale = 2;
    o.micro_height = 64;
    o.micro_width = 96;
    compare_with_fixture("pd", &o, 65);
}

static void wrong_options_are_named(void **state)
{
    struct {
        dipp_dit_options options;
        const char *text;
    } cases[7];
    for (size_t i = 0; i < 7; ++i)
        cases[i].options = tiny();
    cases[0].options.patch = 3, cases[0].text = "patch 3 does not divide";
    cases[1].options.hidden = 146, cases[1].text = "multiple of 4";
    cases[2].options.heads = 5, cases[2].text = "heads 5";
    cases[3].options.layers = 0, cases[3].text = "at least 1";
    cases[4].options.micro_height = 64, cases[4].text = "micro-conditioning";
    cases[5].options.epsilon = -1, cases[5].text = "epsilon";
    cases[6].options.mlp_ratio = -1, cases[6].text = "mlp_ratio";
    for (size_t i = 0; i < 7; ++i) {
        dipp_error error = {0};
        assert_int_equal(dipp_dit_check(&cases[i].options, &error), DIPP_E_INVALID);
        if (!strstr(error.message, cases[i].text))
            fail_msg("case %zu says: %s", i, error.message);
        replay r;
        replay_begin(&r, "wrong");
        assert_int_equal(record(&r, &cases[i].options).y.id, 0);
        assert_int_not_equal(dipp_graph_status(r.graph, &error), DIPP_OK);
        replay_end(&r);
    }
}

static void wrong_inputs_are_named(void **state)
{
    dipp_dit_options o = tiny();
    static const char *const texts[] = {"x must be", "t must be", "text states must be", "text states must be",
                                        "without text"};
    for (int i = 0; i < 5; ++i) {
        replay r;
        dipp_error error = {0};
        replay_begin(&r, "wrong");
        dipp_graph *g = r.graph;
        o.caption_channels = i == 4 ? 0 : 64;
        dipp_tensor x = dipp_input(g, "x", DIPP_WIDE, DIPP_SHAPE(2, i == 0 ? 3 : 4, 8, 8));
        dipp_tensor t = dipp_input(g, "t", DIPP_WIDE, DIPP_SHAPE(i == 1 ? 1 : 2));
        dipp_tensor caption = dipp_input(g, "caption", DIPP_WIDE, DIPP_SHAPE(2, 16, i == 2 ? 32 : 64));
        dipp_tensor mask = dipp_input(g, "mask", DIPP_WIDE, DIPP_SHAPE(2, i == 3 ? 8 : 16));
        assert_int_equal(dipp_dit(g, r.slot, &o, x, t, caption, mask).id, 0);
        assert_int_not_equal(dipp_graph_status(g, &error), DIPP_OK);
        if (!strstr(error.message, texts[i]))
            fail_msg("case %d says: %s", i, error.message);
        replay_end(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_configurations_have_the_published_tensors),
        cmocka_unit_test(emoji_configuration_is_small),
        cmocka_unit_test(forward_and_gradients_agree_with_the_published_implementation),
        cmocka_unit_test(micro_conditioning_agrees_with_the_published_implementation),
        cmocka_unit_test(wrong_options_are_named),
        cmocka_unit_test(wrong_inputs_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
