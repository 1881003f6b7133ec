/* The encoder of T5: tensors of the published XXL encoder, outputs and gradients against transformers
 * (tests/fixtures/make_text_encoder_fixture.py) in double precision, and what is read from config.json. */
#include "fixture.h"
#include "replay.h"

#include <dipp/nn.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

enum { N = 2 };
/* Outputs; projections of gradients, sums of up to thousands of numbers, get 20 times that. */
static const double cpu_tolerance = 5e-5;

static const dipp_t5_options xxl = {
    .vocabulary = 32128, .width = 4096, .head_width = 64, .heads = 64, .layers = 24, .inner = 10240, .gated = true};

typedef struct fixture_case {
    const char *name;
    int64_t length;
    dipp_t5_options options;
} fixture_case;

/* Buckets, distance and epsilon of the first are the defaults. The second's buckets end where only single precision has them,
 * and its tokens reach beyond the greatest distance. */
static const fixture_case cases[] = {
    {"gated",
     120,
     {.vocabulary = 384, .width = 32, .head_width = 8, .heads = 4, .layers = 2, .inner = 37, .gated = true}},
    {"plain",
     132,
     {.vocabulary = 50,
      .width = 24,
      .head_width = 4,
      .heads = 3,
      .layers = 3,
      .inner = 20,
      .buckets = 18,
      .max_distance = 128,
      .epsilon = 1e-2}},
};

static dipp_tensor record(replay *r, const dipp_t5_options *o, int64_t length)
{
    return dipp_t5_encoder(r->graph, r->slot, o, dipp_input(r->graph, "tokens", DIPP_INT32, DIPP_SHAPE(N, length)),
                           dipp_input(r->graph, "mask", DIPP_WIDE, DIPP_SHAPE(N, length)));
}

static void xxl_has_the_published_tensors(void **state)
{
    dipp_weights *file = fixture_open(DIPP_FIXTURE_FOLDER "/text_encoders.safetensors");
    dipp_error error = {0};
    replay r;
    replay_begin(&r, "t5-xxl");
    record(&r, &xxl, 120);
    if (dipp_graph_status(r.graph, &error) != DIPP_OK)
        fail_msg("%s", error.message);
    assert_int_equal(dipp_layout_count(r.layout), 219);
    assert_int_equal(dipp_layout_parameters(r.layout), 4762310656);
    replay_compare_manifest(&r, file, "t5-xxl");

    /* Files have the embedding under either name. */
    uint32_t shared, embedded;
    assert_true(dipp_layout_find(r.layout, "shared.weight", &shared));
    assert_true(dipp_layout_find(r.layout, "encoder.embed_tokens.weight", &embedded));
    assert_int_equal(shared, embedded);
    replay_end(&r);
    dipp_weights_destroy(&file);
}

static void compare(const fixture_case *c, const char *backend, const char *precision, double tolerance)
{
    dipp_weights *file = fixture_open(DIPP_FIXTURE_FOLDER "/text_encoders.safetensors");
    size_t tokens = (size_t)(N * c->length), states = tokens * (size_t)c->options.width;
    char name[64];
    replay r;
    replay_begin(&r, c->name);
    replay_on(&r, backend, precision);
    dipp_tensor y = record(&r, &c->options, c->length);
    dipp_tensor seed = dipp_input(r.graph, "seed", DIPP_WIDE, DIPP_SHAPE(N, c->length, c->options.width));
    dipp_gradients(r.graph, 1, &y, &seed, 0, NULL, NULL);
    dipp_output(r.graph, "y", y);
    replay_prepare(&r);

    snprintf(name, sizeof name, "%s.tokens", c->name);
    double *ids = fixture_get(file, name, tokens), *probe = malloc(states * sizeof *probe);
    assert_non_null(probe);
    fixture_noise("probe", 1.0, probe, states);
    replay_write_ids(&r, "tokens", ids, tokens);
    replay_write_from(&r, file, c->name, "mask", tokens);
    replay_write(&r, "seed", probe, states);
    replay_run(&r);
    replay_compare_output(&r, file, c->name, "y", states, tolerance);
    replay_compare_weights(&r, file, c->name, 20 * tolerance);
    free(ids);
    free(probe);
    replay_end(&r);
    dipp_weights_destroy(&file);
}

static void the_published_implementation_is_met(void **state)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        compare(&cases[i], "reference", "f64", 1e-9);
}

static void the_cpu_back_end_is_close(void **state)
{
    if (!replay_available("cpu", "f32"))
        skip();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        compare(&cases[i], "cpu", "f32", cpu_tolerance);
}

/* What is behind the mask is seen by nobody: other tokens there change no state of a valid token, bit for bit. */
static void padding_is_no_key(void **state)
{
    enum { L = 8, VALID = 5 };
    const fixture_case *c = &cases[1];
    size_t width = (size_t)c->options.width;
    static const double mask[N * L] = {1, 1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1};
    double ids[N * L] = {7, 3, 9, 4, 1, 0, 0, 0, 7, 3, 9, 4, 1, 0, 0, 0};
    replay r;
    replay_begin(&r, "padding");
    dipp_output(r.graph, "y", record(&r, &c->options, L));
    replay_prepare(&r);
    replay_write(&r, "mask", mask, N * L);
    replay_write_ids(&r, "tokens", ids, N * L);
    replay_run(&r);
    double *before = replay_read(&r, "y", N * L * width);
    for (int i = VALID; i < L; i++)
        ids[i] = ids[L + i] = 20 + i;
    replay_write_ids(&r, "tokens", ids, N * L);
    replay_run(&r);
    double *after = replay_read(&r, "y", N * L * width);
    assert_memory_equal(before, after, VALID * width * sizeof *before);
    assert_memory_not_equal(before + L * width, after + L * width, VALID * width * sizeof *before);
    free(before);
    free(after);
    replay_end(&r);
}

static void wrong_options_and_inputs_are_named(void **state)
{
    dipp_error error = {0};
    dipp_t5_options o = xxl;
    assert_int_equal(dipp_t5_check(&o, &error), DIPP_OK);
    o.inner = 0;
    assert_int_equal(dipp_t5_check(&o, &error), DIPP_E_INVALID);
    assert_non_null(strstr(error.message, "4096, 64, 64, 24 and 0"));
    o = xxl;
    o.buckets = 3;
    assert_int_equal(dipp_t5_check(&o, &error), DIPP_E_INVALID);
    assert_non_null(strstr(error.message, "found 3 and 128"));
    o = xxl;
    o.max_distance = 8;
    assert_int_equal(dipp_t5_check(&o, &error), DIPP_E_INVALID);
    assert_non_null(strstr(error.message, "found 32 and 8"));
    o = xxl;
    o.epsilon = -1;
    assert_int_equal(dipp_t5_check(&o, &error), DIPP_E_INVALID);
    assert_non_null(strstr(error.message, "epsilon must not be negative"));

    for (int i = 0; i < 2; i++) {
        replay r;
        replay_begin(&r, "wrong");
        o = cases[0].options;
        o.heads = i ? o.heads : 0;
        dipp_tensor tokens = dipp_input(r.graph, "tokens", DIPP_INT32, DIPP_SHAPE(N, 6));
        dipp_tensor mask = dipp_input(r.graph, "mask", DIPP_WIDE, DIPP_SHAPE(N, 7));
        assert_int_equal(dipp_t5_encoder(r.graph, r.slot, &o, tokens, mask).id, 0);
        assert_int_equal(dipp_graph_status(r.graph, &error), DIPP_E_INVALID);
        assert_non_null(strstr(error.message, i ? "found rank 2 [2, 6] and rank 2 [2, 7]" : "must be at least 1"));
        replay_end(&r);
    }
}

/* ---- config.json --------------------------------------------------------------------------------------------------- */

static char path[] = "/tmp/dipp-config-XXXXXX";

static dipp_status read_text(const char *text, dipp_t5_options *out, dipp_error *error)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    return dipp_t5_read_config(path, out, error);
}

static void configurations_are_those_of_transformers(void **state)
{
    static const struct {
        const char *text;
        dipp_t5_options options;
    } texts[] = {
        /* As the text encoder of PixArt-alpha has it. */
        {"{\"architectures\":[\"T5EncoderModel\"],\"d_ff\":10240,\"d_kv\":64,\"d_model\":4096,\"decoder_start_token_"
         "id\":0,"
         "\"dense_act_fn\":\"gelu_new\",\"dropout_rate\":0.1,\"feed_forward_proj\":\"gated-gelu\",\"is_encoder_"
         "decoder\":"
         "true,\"is_gated_act\":true,\"layer_norm_epsilon\":1e-06,\"model_type\":\"t5\",\"num_decoder_layers\":24,"
         "\"num_heads\":64,\"num_layers\":24,\"relative_attention_max_distance\":128,\"relative_attention_num_"
         "buckets\":32,"
         "\"tie_word_embeddings\":false,\"vocab_size\":32128}",
         {0, 32128, 4096, 64, 64, 24, 10240, 32, 128, 1e-6, true}},
        /* Without keys: the defaults, which are the first T5's small model. */
        {"{}", {0, 32128, 512, 64, 8, 6, 2048, 32, 128, 1e-6, false}},
        {"{\"feed_forward_proj\":\"relu\",\"dense_act_fn\":\"relu\",\"is_gated_act\":false,\"d_model\":24,\"d_kv\":4,"
         "\"num_heads\":3,\"d_ff\":20,\"num_layers\":3,\"vocab_size\":50,\"relative_attention_num_buckets\":12,"
         "\"relative_attention_max_distance\":81,\"layer_norm_epsilon\":0.01,\"is_decoder\":false}",
         {0, 50, 24, 4, 3, 3, 20, 12, 81, 1e-2, false}},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const dipp_t5_options *expected = &texts[i].options;
        dipp_t5_options found;
        dipp_error error = {0};
        if (read_text(texts[i].text, &found, &error))
            fail_msg("case %zu: %s", i, error.message);
        assert_int_equal(found.vocabulary, expected->vocabulary);
        assert_int_equal(found.width, expected->width);
        assert_int_equal(found.head_width, expected->head_width);
        assert_int_equal(found.heads, expected->heads);
        assert_int_equal(found.layers, expected->layers);
        assert_int_equal(found.inner, expected->inner);
        assert_int_equal(found.buckets, expected->buckets);
        assert_int_equal(found.max_distance, expected->max_distance);
        assert_true(found.epsilon - expected->epsilon == 0);
        assert_int_equal(found.gated, expected->gated);
    }
}

static void other_configurations_are_refused(void **state)
{
    static const struct {
        const char *text;
        dipp_status status;
        const char *message;
    } texts[] = {
        {"[]", DIPP_E_FORMAT, "expected an object"},
        {"{\"d_model\":0}", DIPP_E_FORMAT, "d_model: expected a whole number"},
        {"{\"layer_norm_epsilon\":\"1e-6\"}", DIPP_E_FORMAT, "layer_norm_epsilon: expected a number"},
        {"{\"model_type\":\"umt5\"}", DIPP_E_UNSUPPORTED, "model_type: expected t5, found umt5"},
        {"{\"feed_forward_proj\":\"gated-silu\"}", DIPP_E_UNSUPPORTED,
         "feed_forward_proj: expected relu or gated-gelu, found gated-silu"},
        {"{\"feed_forward_proj\":\"gated-gelu\",\"dense_act_fn\":\"gelu\"}", DIPP_E_UNSUPPORTED,
         "dense_act_fn: expected gelu_new, found gelu"},
        {"{\"dense_act_fn\":\"gelu_new\"}", DIPP_E_UNSUPPORTED, "dense_act_fn: expected relu, found gelu_new"},
        {"{\"feed_forward_proj\":\"gated-gelu\",\"is_gated_act\":false}", DIPP_E_UNSUPPORTED,
         "is_gated_act: expected true"},
        {"{\"is_decoder\":true}", DIPP_E_UNSUPPORTED, "is_decoder: expected false"},
        {"{\"relative_attention_num_buckets\":3}", DIPP_E_INVALID, "buckets must be at least 4"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        dipp_t5_options found = {.width = 77};
        dipp_error error = {0};
        dipp_status status = read_text(texts[i].text, &found, &error);
        if (status != texts[i].status || !strstr(error.message, texts[i].message) || !strstr(error.message, path))
            fail_msg("case %zu: %s: %s", i, dipp_status_name(status), error.message);
        assert_int_equal(found.width, 77);
    }
}

static int set_up(void **state)
{
    int descriptor = mkstemp(path);
    return descriptor < 0 ? -1 : close(descriptor);
}

static int tear_down(void **state)
{
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(xxl_has_the_published_tensors),
                                       cmocka_unit_test(the_published_implementation_is_met),
                                       cmocka_unit_test(the_cpu_back_end_is_close),
                                       cmocka_unit_test(padding_is_no_key),
                                       cmocka_unit_test(wrong_options_and_inputs_are_named),
                                       cmocka_unit_test(configurations_are_those_of_transformers),
                                       cmocka_unit_test(other_configurations_are_refused)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
