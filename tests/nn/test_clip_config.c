/* dipp_clip_read_config and dipp_clip_read_text_config: what transformers 4.41.2 makes of the same texts, and what is refused. */
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

static char path[] = "/tmp/dipp-config-XXXXXX";

static void write_file(const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static dipp_status read_text(const char *text, dipp_clip_options *out, dipp_error *error)
{
    write_file(text);
    return dipp_clip_read_config(path, out, error);
}

static dipp_status read_encoder(const char *text, dipp_clip_options *out, dipp_error *error)
{
    write_file(text);
    return dipp_clip_read_text_config(path, out, error);
}

static void check_tower(const dipp_clip_tower *found, const dipp_clip_tower *expected)
{
    assert_int_equal(found->width, expected->width);
    assert_int_equal(found->layers, expected->layers);
    assert_int_equal(found->heads, expected->heads);
    assert_int_equal(found->inner, expected->inner);
    assert_int_equal(found->quick_gelu, expected->quick_gelu);
}

static void networks_are_those_of_transformers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        dipp_clip_options options;
    } cases[] = {
        /* laion's H/14: both towers say gelu. */
        {"{\"projection_dim\":1024,\"text_config\":{\"hidden_act\":\"gelu\",\"hidden_size\":1024,\"intermediate_size\":"
         "4096,"
         "\"num_attention_heads\":16,\"num_hidden_layers\":24},\"vision_config\":{\"hidden_act\":\"gelu\",\"hidden_"
         "size\":"
         "1280,\"intermediate_size\":5120,\"num_attention_heads\":16,\"num_hidden_layers\":32,\"patch_size\":14,"
         "\"layer_norm_eps\":1e-05},\"torch_dtype\":\"float32\"}",
         {0, 1024, 224, 14, {1280, 32, 16, 5120, false}, 49408, 77, {1024, 24, 16, 4096, false}, 1e-5}},
        /* Without keys: the defaults, among them quick_gelu. */
        {"{\"text_config\":{},\"vision_config\":{}}",
         {0, 512, 224, 32, {768, 12, 12, 3072, true}, 49408, 77, {512, 12, 8, 2048, true}, 1e-5}},
        /* Each tower has an activation of its own. */
        {"{\"text_config\":{\"hidden_act\":\"gelu\"},\"vision_config\":null}",
         {0, 512, 224, 32, {768, 12, 12, 3072, true}, 49408, 77, {512, 12, 8, 2048, false}, 1e-5}},
        /* A text_config_dict replaces text_config, also what it does not say. */
        {"{\"projection_dim\":768,\"text_config\":{\"hidden_size\":768,\"hidden_act\":\"gelu\",\"intermediate_size\":"
         "3072},"
         "\"text_config_dict\":{\"hidden_size\":640},\"vision_config_dict\":null,\"vision_config\":{\"hidden_size\":"
         "1280,\"hidden_act\":\"gelu\",\"num_hidden_layers\":32,\"num_attention_heads\":16,\"patch_size\":14}}",
         {0, 768, 224, 14, {1280, 32, 16, 3072, false}, 49408, 77, {640, 12, 8, 2048, true}, 1e-5}},
        {"{\"text_config\":{\"vocab_size\":775,\"max_position_embeddings\":16,\"layer_norm_eps\":1e-3},"
         "\"vision_config\":{\"image_size\":64,\"num_channels\":3,\"layer_norm_eps\":0.001}}",
         {0, 512, 64, 32, {768, 12, 12, 3072, true}, 775, 16, {512, 12, 8, 2048, true}, 1e-3}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const dipp_clip_options *expected = &cases[i].options;
        dipp_clip_options found;
        dipp_error error = {0};
        if (read_text(cases[i].text, &found, &error))
            fail_msg("case %zu: %s", i, error.message);
        assert_int_equal(found.joint, expected->joint);
        assert_int_equal(found.size, expected->size);
        assert_int_equal(found.patch, expected->patch);
        assert_int_equal(found.vocabulary, expected->vocabulary);
        assert_int_equal(found.length, expected->length);
        assert_true(found.epsilon - expected->epsilon == 0);
        check_tower(&found.vision, &expected->vision);
        check_tower(&found.text, &expected->text);
    }
}

static void others_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        dipp_status status;
        const char *message;
    } cases[] = {
        {"", DIPP_E_FORMAT, "not JSON"},
        {"{\"text_config\":{},\"text_config\":{}}", DIPP_E_FORMAT, "not JSON"},
        {"[]", DIPP_E_FORMAT, "expected an object"},
        {"{\"hidden_size\":768}", DIPP_E_FORMAT, "expected text_config and vision_config"},
        {"{\"text_config\":7}", DIPP_E_FORMAT, "text_config: expected an object"},
        {"{\"text_config\":{\"hidden_size\":0}}", DIPP_E_FORMAT, "text_config.hidden_size: expected a whole number"},
        {"{\"vision_config\":{\"patch_size\":14.5}}", DIPP_E_FORMAT,
         "vision_config.patch_size: expected a whole number"},
        {"{\"vision_config\":{\"image_size\":4294967296}}", DIPP_E_FORMAT, "vision_config.image_size"},
        {"{\"vision_config\":{\"hidden_act\":\"gelu_new\"}}", DIPP_E_UNSUPPORTED,
         "vision_config.hidden_act: expected gelu or quick_gelu, found gelu_new"},
        {"{\"text_config\":{\"hidden_act\":3}}", DIPP_E_UNSUPPORTED, "text_config.hidden_act"},
        {"{\"text_config\":{\"layer_norm_eps\":0}}", DIPP_E_FORMAT, "text_config.layer_norm_eps"},
        {"{\"text_config\":{\"layer_norm_eps\":1e-6}}", DIPP_E_UNSUPPORTED, "expected one for both towers"},
        {"{\"vision_config\":{\"num_channels\":4}}", DIPP_E_UNSUPPORTED, "expected 3, found 4"},
        {"{\"vision_config\":{\"num_attention_heads\":7}}", DIPP_E_INVALID, "7 heads do not divide"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dipp_clip_options found = {.joint = 77};
        dipp_error error = {0};
        dipp_status status = read_text(cases[i].text, &found, &error);
        if (status != cases[i].status || !strstr(error.message, cases[i].message) || !strstr(error.message, path))
            fail_msg("case %zu: %s: %s", i, dipp_status_name(status), error.message);
        assert_int_equal(found.joint, 77);
    }
    dipp_clip_options found;
    dipp_error error = {0};
    assert_int_equal(dipp_clip_read_config("/nowhere/config.json", &found, &error), DIPP_E_NOT_FOUND);
}

static void text_encoders_are_those_of_transformers(void **state)
{
    static const struct {
        const char *text;
        dipp_clip_options options;
    } cases[] = {
        /* Stable Diffusion 1.5's. */
        {"{\"architectures\":[\"CLIPTextModel\"],\"attention_dropout\":0.0,\"bos_token_id\":0,\"dropout\":0.0,"
         "\"eos_token_id\":2,\"hidden_act\":\"quick_gelu\",\"hidden_size\":768,\"intermediate_size\":3072,"
         "\"layer_norm_eps\":1e-05,\"max_position_embeddings\":77,\"model_type\":\"clip_text_model\","
         "\"num_attention_heads\":12,\"num_hidden_layers\":12,\"pad_token_id\":1,\"projection_dim\":768,"
         "\"torch_dtype\":\"float32\",\"vocab_size\":49408}",
         {.vocabulary = 49408, .length = 77, .text = {768, 12, 12, 3072, true}, .epsilon = 1e-5}},
        /* Without keys: the defaults. */
        {"{}", {.vocabulary = 49408, .length = 77, .text = {512, 12, 8, 2048, true}, .epsilon = 1e-5}},
        /* Of a whole CLIP the text's half, whatever the other one says. */
        {"{\"model_type\":\"clip\",\"hidden_size\":99,\"text_config\":{\"hidden_size\":1024,\"hidden_act\":\"gelu\","
         "\"num_hidden_layers\":23,\"num_attention_heads\":16,\"intermediate_size\":4096,\"layer_norm_eps\":1e-6,"
         "\"max_position_embeddings\":16,\"vocab_size\":775,\"use_attention_mask\":false},"
         "\"vision_config\":{\"hidden_act\":\"silu\"}}",
         {.vocabulary = 775, .length = 16, .text = {1024, 23, 16, 4096, false}, .epsilon = 1e-6}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const dipp_clip_options *expected = &cases[i].options;
        dipp_clip_options found;
        dipp_error error = {0};
        if (read_encoder(cases[i].text, &found, &error))
            fail_msg("case %zu: %s", i, error.message);
        assert_int_equal(found.vocabulary, expected->vocabulary);
        assert_int_equal(found.length, expected->length);
        assert_true(found.epsilon - expected->epsilon == 0);
        check_tower(&found.text, &expected->text);
        assert_int_equal(found.joint + found.size + found.patch + found.vision.width + found.vision.layers, 0);
    }
}

static void other_text_encoders_are_refused(void **state)
{
    static const struct {
        const char *text;
        dipp_status status;
        const char *message;
    } cases[] = {
        {"{\"model_type\":\"t5\"}", DIPP_E_UNSUPPORTED, "model_type: expected clip_text_model or clip, found t5"},
        {"{\"hidden_act\":\"relu\"}", DIPP_E_UNSUPPORTED, "hidden_act: expected gelu or quick_gelu, found relu"},
        {"{\"use_attention_mask\":true}", DIPP_E_UNSUPPORTED, "use_attention_mask: expected false"},
        {"{\"num_hidden_layers\":-1}", DIPP_E_FORMAT, "num_hidden_layers: expected a whole number"},
        {"{\"num_attention_heads\":7}", DIPP_E_INVALID, "7 heads do not divide the text tower's width 512"},
        {"{\"model_type\":\"clip\",\"text_config\":3}", DIPP_E_FORMAT, "text_config: expected an object"},
        {"{\"model_type\":\"clip\",\"text_config\":{\"hidden_act\":\"relu\"}}", DIPP_E_UNSUPPORTED,
         "text_config.hidden_act: expected gelu or quick_gelu"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dipp_clip_options found = {.joint = 77};
        dipp_error error = {0};
        dipp_status status = read_encoder(cases[i].text, &found, &error);
        if (status != cases[i].status || !strstr(error.message, cases[i].message) || !strstr(error.message, path))
            fail_msg("case %zu: %s: %s", i, dipp_status_name(status), error.message);
        assert_int_equal(found.joint, 77);
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
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(networks_are_those_of_transformers), cmocka_unit_test(others_are_refused),
        cmocka_unit_test(text_encoders_are_those_of_transformers), cmocka_unit_test(other_text_encoders_are_refused)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
