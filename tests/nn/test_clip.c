/* CLIP and ImageReward's BLIP: tensors of the published configurations, and outputs and gradients against the published
 * implementations (tests/fixtures/make_clip_fixture.py, make_text_encoder_fixture.py) in double precision. */
#include "fixture.h"
#include "replay.h"

#include <dipp/nn.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { N = 2 };
/* Outputs and gradients of inputs; the worst found with AVX2 is 3e-6. */
static const double cpu_tolerance = 5e-5;

/* ---- Published configurations ------------------------------------------------------------------------------------ */

static const struct {
    const char *name;
    int64_t parameters;
    dipp_clip_options options;
} published[] = {
    {"h14", 986109441, {0, 1024, 224, 14, {1280, 32, 16, 5120, false}, 49408, 77, {1024, 24, 16, 0, false}, 0}},
    {"l14", 427616513, {0, 768, 224, 14, {1024, 24, 16, 0, true}, 49408, 77, {768, 12, 12, 0, true}, 0}},
    {"b32", 151277313, {0, 512, 224, 32, {768, 12, 12, 0, true}, 49408, 77, {512, 12, 8, 0, true}, 0}},
    {"g14", 1366678273, {0, 1024, 224, 14, {1408, 40, 16, 6144, false}, 49408, 77, {1024, 24, 16, 0, false}, 0}},
};

static const dipp_blip_options image_reward = {.size = 224,
                                               .patch = 16,
                                               .vision_width = 1024,
                                               .vision_layers = 24,
                                               .vision_heads = 16,
                                               .vision_inner = 4096,
                                               .vocabulary = 30524,
                                               .positions = 512,
                                               .text_width = 768,
                                               .text_layers = 12,
                                               .text_heads = 12,
                                               .text_inner = 3072};

static void expect_published(const replay *r, const char *fixture, const char *name, int64_t parameters)
{
    dipp_error error = {0};
    dipp_weights *file = fixture_open(fixture);
    if (dipp_graph_status(r->graph, &error) != DIPP_OK)
        fail_msg("%s: %s", name, error.message);
    assert_int_equal(dipp_layout_parameters(r->layout), parameters);
    replay_compare_manifest(r, file, name);
    dipp_weights_destroy(&file);
}

/* Records both towers and the scale: the whole of a published file. */
static void record_clip(replay *r, const dipp_clip_options *o, int64_t length, dipp_tensor *pictures,
                        dipp_tensor *image, dipp_tensor *text)
{
    dipp_graph *g = r->graph;
    *pictures = dipp_input(g, "pictures", DIPP_WIDE, DIPP_SHAPE(N, 3, o->size, o->size));
    dipp_tensor tokens = dipp_input(g, "tokens", DIPP_INT32, DIPP_SHAPE(N, length));
    dipp_tensor mask = dipp_input(g, "mask", DIPP_WIDE, DIPP_SHAPE(N, length));
    *image = dipp_clip_image(g, r->slot, o, *pictures);
    *text = dipp_clip_text(g, r->slot, o, tokens, mask);
}

static void clip_has_the_published_tensors(void **state)
{
    for (size_t i = 0; i < sizeof published / sizeof *published; i++) {
        replay r;
        dipp_tensor pictures, image, text;
        replay_begin(&r, published[i].name);
        record_clip(&r, &published[i].options, 77, &pictures, &image, &text);
        dipp_clip_scale(r.graph, r.slot);
        expect_published(&r, DIPP_FIXTURE_FOLDER "/clip.safetensors", published[i].name, published[i].parameters);
        replay_end(&r);
    }
}

/* Stable Diffusion 1.5's text encoder. */
static void states_need_the_published_text_tensors_alone(void **state)
{
    static const dipp_clip_options l14 = {.vocabulary = 49408, .length = 77, .text = {768, 12, 12, 0, true}};
    replay r;
    replay_begin(&r, "states");
    dipp_clip_text_states(r.graph, r.slot, &l14, dipp_input(r.graph, "tokens", DIPP_INT32, DIPP_SHAPE(N, 77)));
    expect_published(&r, DIPP_FIXTURE_FOLDER "/text_encoders.safetensors", "clip-l14-text", 123060480);
    assert_int_equal(dipp_layout_count(r.layout), 196);
    replay_end(&r);
}

static dipp_tensor record_blip(replay *r, const dipp_blip_options *o, int64_t length, dipp_tensor *pictures,
                               dipp_tensor *image)
{
    dipp_graph *g = r->graph;
    *pictures = dipp_input(g, "pictures", DIPP_WIDE, DIPP_SHAPE(N, 3, o->size, o->size));
    *image = dipp_blip_image(g, r->slot, o, *pictures);
    return dipp_blip_text(g, r->slot, o, dipp_input(g, "tokens", DIPP_INT32, DIPP_SHAPE(N, length)),
                          dipp_input(g, "mask", DIPP_WIDE, DIPP_SHAPE(N, length)), *image);
}

static void image_reward_has_the_published_tensors(void **state)
{
    replay r;
    dipp_tensor pictures, image;
    replay_begin(&r, "imagereward");
    record_blip(&r, &image_reward, 35, &pictures, &image);
    expect_published(&r, DIPP_FIXTURE_FOLDER "/clip.safetensors", "imagereward",
                     303301632 + 141977088); /* vision and text */
    replay_end(&r);
}

/* ---- Numbers ------------------------------------------------------------------------------------------------------- */

/* The gradient of sum(y * noise "probe") enters as the input `seed`. */
static dipp_tensor seed_like(replay *r, const char *name, dipp_tensor y)
{
    return dipp_input(r->graph, name, DIPP_WIDE, dipp_shape_of(r->graph, y));
}

static void write_probe(replay *r, const char *input, size_t count)
{
    double *probe = malloc(count * sizeof *probe);
    assert_non_null(probe);
    fixture_noise("probe", 1.0, probe, count);
    replay_write(r, input, probe, count);
    free(probe);
}

static void write_ids(replay *r, const dipp_weights *file, const char *fixture_case, size_t count)
{
    char name[64];
    snprintf(name, sizeof name, "%s.tokens", fixture_case);
    double *ids = fixture_get(file, name, count);
    replay_write_ids(r, "tokens", ids, count);
    free(ids);
}

static void write_tokens(replay *r, const dipp_weights *file, const char *fixture_case, size_t count)
{
    write_ids(r, file, fixture_case, count);
    replay_write_from(r, file, fixture_case, "mask", count);
}

static void compare_clip(const char *fixture_case, const dipp_clip_options *o, int64_t length, const char *backend,
                         const char *precision, double tolerance)
{
    dipp_weights *file = fixture_open(DIPP_FIXTURE_FOLDER "/clip.safetensors");
    size_t numbers = (size_t)(N * 3 * o->size * o->size), features = (size_t)(N * o->joint);
    replay r;
    dipp_tensor pictures, image, text, gradient;
    replay_begin(&r, fixture_case);
    replay_on(&r, backend, precision);
    record_clip(&r, o, length, &pictures, &image, &text);
    const dipp_tensor y[2] = {image, text},
                      dy[2] = {seed_like(&r, "seed.image", image), seed_like(&r, "seed.text", text)};
    dipp_gradients(r.graph, 2, y, dy, 1, &pictures, &gradient);
    dipp_output(r.graph, "image", image);
    dipp_output(r.graph, "text", text);
    dipp_output(r.graph, "gradient.pictures", gradient);
    replay_prepare(&r);
    replay_write_from(&r, file, fixture_case, "pictures", numbers);
    write_tokens(&r, file, fixture_case, (size_t)(N * length));
    write_probe(&r, "seed.image", features);
    write_probe(&r, "seed.text", features);
    replay_run(&r);
    replay_compare_output(&r, file, fixture_case, "image", features, tolerance);
    replay_compare_output(&r, file, fixture_case, "text", features, tolerance);
    replay_compare_output(&r, file, fixture_case, "gradient.pictures", numbers, tolerance);
    replay_compare_weights(&r, file, fixture_case, 20 * tolerance);
    replay_end(&r);
    dipp_weights_destroy(&file);
}

static const dipp_clip_options tiny_quick = {.joint = 6,
                                             .size = 12,
                                             .patch = 4,
                                             .vision = {12, 3, 3, 0, true},
                                             .vocabulary = 11,
                                             .length = 7,
                                             .text = {8, 2, 2, 0, true}};
static const dipp_clip_options tiny_erf = {.joint = 5,
                                           .size = 6,
                                           .patch = 3,
                                           .vision = {8, 1, 1, 20, false},
                                           .vocabulary = 9,
                                           .length = 5,
                                           .text = {6, 3, 3, 10, false},
                                           .epsilon = 1e-3};

static void compare_blip(const char *backend, const char *precision, double tolerance)
{
    enum { SIZE = 8, LENGTH = 6, PICTURES = N * 3 * SIZE * SIZE, WIDTH = 8, TOKENS = 5, VISION = 12 };
    static const dipp_blip_options tiny = {.size = SIZE,
                                           .patch = 4,
                                           .vision_width = VISION,
                                           .vision_layers = 2,
                                           .vision_heads = 3,
                                           .vision_inner = 20,
                                           .vocabulary = 13,
                                           .positions = 9,
                                           .text_width = WIDTH,
                                           .text_layers = 3,
                                           .text_heads = 2,
                                           .text_inner = 24};
    dipp_weights *file = fixture_open(DIPP_FIXTURE_FOLDER "/clip.safetensors");
    replay r;
    dipp_tensor pictures, image, gradient;
    replay_begin(&r, "blip");
    replay_on(&r, backend, precision);
    dipp_tensor y = record_blip(&r, &tiny, LENGTH, &pictures, &image), seed = seed_like(&r, "seed", y);
    dipp_gradients(r.graph, 1, &y, &seed, 1, &pictures, &gradient);
    dipp_output(r.graph, "image", image);
    dipp_output(r.graph, "y", y);
    dipp_output(r.graph, "gradient.pictures", gradient);
    replay_prepare(&r);
    replay_write_from(&r, file, "blip", "pictures", PICTURES);
    write_tokens(&r, file, "blip", N * LENGTH);
    write_probe(&r, "seed", N * WIDTH);
    replay_run(&r);
    replay_compare_output(&r, file, "blip", "image", N * TOKENS * VISION, tolerance);
    replay_compare_output(&r, file, "blip", "y", N * WIDTH, tolerance);
    replay_compare_output(&r, file, "blip", "gradient.pictures", PICTURES, tolerance);
    replay_compare_weights(&r, file, "blip", 20 * tolerance);
    replay_end(&r);
    dipp_weights_destroy(&file);
}

/* Of the options only what is said of texts: nothing else counts. */
static const dipp_clip_options states_quick = {.vocabulary = 30, .length = 9, .text = {32, 3, 4, 37, true}};
static const dipp_clip_options states_erf = {
    .vocabulary = 17, .length = 10, .text = {12, 2, 2, 0, false}, .epsilon = 1e-3};

static dipp_tensor record_states(replay *r, const dipp_clip_options *o, int64_t length)
{
    return dipp_clip_text_states(r->graph, r->slot, o,
                                 dipp_input(r->graph, "tokens", DIPP_INT32, DIPP_SHAPE(N, length)));
}

static void compare_states(const char *fixture_case, const dipp_clip_options *o, int64_t length, const char *backend,
                           const char *precision, double tolerance)
{
    dipp_weights *file = fixture_open(DIPP_FIXTURE_FOLDER "/text_encoders.safetensors");
    size_t tokens = (size_t)(N * length), states = tokens * (size_t)o->text.width;
    replay r;
    replay_begin(&r, fixture_case);
    replay_on(&r, backend, precision);
    dipp_tensor y = record_states(&r, o, length), seed = seed_like(&r, "seed", y);
    dipp_gradients(r.graph, 1, &y, &seed, 0, NULL, NULL);
    dipp_output(r.graph, "y", y);
    replay_prepare(&r);
    write_ids(&r, file, fixture_case, tokens);
    write_probe(&r, "seed", states);
    replay_run(&r);
    replay_compare_output(&r, file, fixture_case, "y", states, tolerance);
    replay_compare_weights(&r, file, fixture_case, 20 * tolerance);
    replay_end(&r);
    dipp_weights_destroy(&file);
}

static void compare_all(const char *backend, const char *precision, double tolerance)
{
    compare_clip("quick", &tiny_quick, 7, backend, precision, tolerance);
    compare_clip("erf", &tiny_erf, 5, backend, precision, tolerance);
    compare_states("quick", &states_quick, 9, backend, precision, tolerance);
    compare_states("erf", &states_erf, 6, backend, precision, tolerance);
    compare_blip(backend, precision, tolerance);
}

static void the_published_implementations_are_met(void **state)
{
    compare_all("reference", "f64", 1e-9);
}

static void the_cpu_back_end_is_close(void **state)
{
    if (!replay_available("cpu", "f32"))
        skip();
    compare_all("cpu", "f32", cpu_tolerance);
}

/* ---- Refusals -------------------------------------------------------------------------------------------------------- */

static void wrong_options_are_named(void **state)
{
    dipp_error error = {0};
    dipp_clip_options clip = tiny_quick;
    assert_int_equal(dipp_clip_check(&clip, &error), DIPP_OK);
    clip.patch = 5;
    assert_int_equal(dipp_clip_check(&clip, &error), DIPP_E_INVALID);
    assert_non_null(strstr(error.message, "patch 5 does not divide the picture's size 12"));
    clip = tiny_quick;
    clip.text.heads = 3;
    assert_int_equal(dipp_clip_check(&clip, &error), DIPP_E_INVALID);
    assert_non_null(strstr(error.message, "3 heads do not divide the text tower's width 8"));
    dipp_blip_options blip = image_reward;
    blip.positions = 0;
    assert_int_equal(dipp_blip_check(&blip, &error), DIPP_E_INVALID);
    assert_non_null(strstr(error.message, "positions must be at least 1"));

    static const int64_t lengths[] = {1, 8};
    for (int i = 0; i < 2; i++) {
        replay r;
        dipp_tensor pictures, image, text;
        replay_begin(&r, "wrong");
        record_clip(&r, &tiny_quick, lengths[i], &pictures, &image, &text);
        assert_int_equal(dipp_graph_status(r.graph, &error), DIPP_E_INVALID);
        assert_non_null(strstr(error.message, "L from 2 to 7"));
        replay_end(&r);
    }

    dipp_clip_options states = states_quick;
    states.text.heads = 5;
    assert_int_equal(dipp_clip_check_text(&states, &error), DIPP_E_INVALID);
    assert_non_null(strstr(error.message, "5 heads do not divide the text tower's width 32"));
    for (int i = 0; i < 2; i++) {
        replay r;
        replay_begin(&r, "wrong");
        record_states(&r, i ? &states_quick : &states, 10);
        assert_int_equal(dipp_graph_status(r.graph, &error), DIPP_E_INVALID);
        assert_non_null(strstr(error.message, i ? "L at most 9" : "5 heads"));
        replay_end(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(clip_has_the_published_tensors),
                                       cmocka_unit_test(states_need_the_published_text_tensors_alone),
                                       cmocka_unit_test(image_reward_has_the_published_tensors),
                                       cmocka_unit_test(the_published_implementations_are_met),
                                       cmocka_unit_test(the_cpu_back_end_is_close),
                                       cmocka_unit_test(wrong_options_are_named)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
