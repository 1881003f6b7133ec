/* The naming schemes of CLIP: every tensor of the largest published model, both ways, and values through both
 * layouts. */
#include "base/memory.h"
#include "weights/clip_names.h"
#include "weights/writer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

typedef struct clip_size {
    uint64_t joint, width, layers, hidden, patch, positions, text_width, text_layers, vocabulary;
} clip_size;

typedef struct manifest {
    struct {
        char name[DIPP_CLIP_NAME_BYTES];
        uint32_t rank;
        uint64_t shape[4];
    } tensors[800];
    size_t count;
    uint64_t numbers;
} manifest;

static void add(manifest *m, const char *name, uint32_t rank, uint64_t a, uint64_t b)
{
    snprintf(m->tensors[m->count].name, DIPP_CLIP_NAME_BYTES, "%s", name);
    m->tensors[m->count].rank = rank;
    m->tensors[m->count].shape[0] = a;
    m->tensors[m->count++].shape[1] = b;
    m->numbers += (rank > 0 ? a : 1) * (rank > 1 ? b : 1);
}

static void add_blocks(manifest *m, const char *start, uint64_t layers, uint64_t width, uint64_t hidden)
{
    const struct {
        const char *end;
        uint32_t rank;
        uint64_t a, b;
    } parts[] = {{"ln_1.weight", 1, width, 0},
                 {"ln_1.bias", 1, width, 0},
                 {"attn.in_proj_weight", 2, 3 * width, width},
                 {"attn.in_proj_bias", 1, 3 * width, 0},
                 {"attn.out_proj.weight", 2, width, width},
                 {"attn.out_proj.bias", 1, width, 0},
                 {"ln_2.weight", 1, width, 0},
                 {"ln_2.bias", 1, width, 0},
                 {"mlp.c_fc.weight", 2, hidden, width},
                 {"mlp.c_fc.bias", 1, hidden, 0},
                 {"mlp.c_proj.weight", 2, width, hidden},
                 {"mlp.c_proj.bias", 1, width, 0}};
    for (unsigned i = 0; i < layers; i++)
        for (size_t j = 0; j < 12; j++) {
            char name[DIPP_CLIP_NAME_BYTES];
            snprintf(name, sizeof name, "%stransformer.resblocks.%u.%s", start, i, parts[j].end);
            add(m, name, parts[j].rank, parts[j].a, parts[j].b);
        }
}

/* The tensors of a CLIP model as open_clip names and shapes them. */
static manifest *make_manifest(const clip_size *size)
{
    manifest *m = calloc(1, sizeof *m);
    assert_non_null(m);
    add(m, "positional_embedding", 2, 77, size->text_width);
    add(m, "token_embedding.weight", 2, size->vocabulary, size->text_width);
    add(m, "text_projection", 2, size->text_width, size->joint);
    add(m, "logit_scale", 0, 0, 0);
    add(m, "ln_final.weight", 1, size->text_width, 0);
    add(m, "ln_final.bias", 1, size->text_width, 0);
    add_blocks(m, "", size->text_layers, size->text_width, 4 * size->text_width);
    add(m, "visual.class_embedding", 1, size->width, 0);
    add(m, "visual.positional_embedding", 2, size->positions, size->width);
    add(m, "visual.proj", 2, size->width, size->joint);
    add(m, "visual.conv1.weight", 2, size->width, 3 * size->patch * size->patch);
    m->tensors[m->count - 1].rank = 4;
    memcpy(m->tensors[m->count - 1].shape, (uint64_t[4]){size->width, 3, size->patch, size->patch}, 32);
    for (int i = 0; i < 4; i++) {
        char name[40];
        snprintf(name, sizeof name, "visual.ln_%s.%s", i / 2 ? "post" : "pre", i % 2 ? "bias" : "weight");
        add(m, name, 1, size->width, 0);
    }
    add_blocks(m, "visual.", size->layers, size->width, size->hidden);
    return m;
}

static void every_name_of_h14_goes_both_ways(void **state)
{
    (void)state;
    const clip_size h14 = {1024, 1280, 32, 5120, 14, 257, 1024, 24, 49408};
    manifest *m = make_manifest(&h14);
    assert_int_equal(m->count, 686);
    assert_int_equal(m->numbers, 986109441);
    size_t there = 0, stacked = 0, transposed = 0;
    for (size_t i = 0; i < m->count; i++) {
        dipp_clip_source source;
        assert_true(dipp_clip_to_hugging_face(m->tensors[i].name, &source));
        assert_int_equal(source.count, source.change == DIPP_CLIP_STACKED ? 3 : 1);
        there += source.count;
        stacked += source.change == DIPP_CLIP_STACKED;
        transposed += source.change == DIPP_CLIP_TRANSPOSED;
        for (uint32_t k = 0; k < source.count; k++) {
            char back[DIPP_CLIP_NAME_BYTES];
            dipp_clip_change change;
            uint32_t third;
            assert_true(dipp_clip_from_hugging_face(source.names[k], back, &change, &third));
            assert_string_equal(back, m->tensors[i].name);
            assert_int_equal(change, source.change);
            assert_int_equal(third, k);
        }
    }
    assert_int_equal(stacked, 2 * (24 + 32));
    assert_int_equal(transposed, 2);
    assert_int_equal(there, 686 + 2 * stacked); /* 910 tensors in CLIPModel, without the buffers position_ids */
    free(m);
}

static void names_are_the_published_ones(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"visual.ln_pre.weight", "vision_model.pre_layrnorm.weight"},
        {"visual.proj", "visual_projection.weight"},
        {"transformer.resblocks.23.mlp.c_proj.bias", "text_model.encoder.layers.23.mlp.fc2.bias"},
        {"visual.transformer.resblocks.0.ln_2.bias", "vision_model.encoder.layers.0.layer_norm2.bias"},
        {"visual.transformer.resblocks.7.attn.in_proj_bias", "vision_model.encoder.layers.7.self_attn.q_proj.bias"},
        {"transformer.resblocks.5.attn.out_proj.weight", "text_model.encoder.layers.5.self_attn.out_proj.weight"},
    };
    static const char *const none[] = {"text_model.embeddings.position_ids",
                                       "vision_model.encoder.layers.01.mlp.fc1.bias",
                                       "vision_model.encoder.layers.1000.mlp.fc1.bias",
                                       "vision_model.encoder.layers..mlp.fc1.bias",
                                       "vision_model.encoder.layers.1.self_attn.x_proj.bias",
                                       "vision_model.encoder.layers.1.self_attn.",
                                       "visual.projx",
                                       "attn_mask",
                                       ""};
    dipp_clip_source source;
    char back[DIPP_CLIP_NAME_BYTES];
    dipp_clip_change change;
    uint32_t third;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        assert_true(dipp_clip_to_hugging_face(pairs[i][0], &source));
        assert_string_equal(source.names[0], pairs[i][1]);
    }
    assert_true(dipp_clip_to_hugging_face("transformer.resblocks.11.attn.in_proj_weight", &source));
    assert_string_equal(source.names[0], "text_model.encoder.layers.11.self_attn.q_proj.weight");
    assert_string_equal(source.names[1], "text_model.encoder.layers.11.self_attn.k_proj.weight");
    assert_string_equal(source.names[2], "text_model.encoder.layers.11.self_attn.v_proj.weight");
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        assert_false(dipp_clip_to_hugging_face(none[i], &source));
        assert_false(dipp_clip_from_hugging_face(none[i], back, &change, &third));
    }
}

static void write_tensor(dipp_weights_writer *writer, const char *prefix, const char *name, uint32_t rank,
                         const uint64_t *shape, const float *data)
{
    char full[200];
    dipp_error error;
    snprintf(full, sizeof full, "%s%s", prefix, name);
    if (dipp_weights_writer_add_f32(writer, full, DIPP_WEIGHT_F32, rank, shape, data, &error))
        fail_msg("%s", error.message);
}

/* A small model with random-looking numbers, written in both schemes and with each prefix, loads the same. */
static void both_layouts_load_alike(void **state)
{
    (void)state;
    const clip_size tiny = {5, 6, 2, 12, 2, 5, 4, 1, 9};
    manifest *m = make_manifest(&tiny);
    static float values[800][1024], turned[800][1024];
    static const char *const prefixes[] = {"", "module.", "model."};
    char path[] = "/tmp/dipp-clip-XXXXXX";
    dipp_error error = {0};
    int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    close(descriptor);
    for (int variant = 0; variant < 6; variant++) {
        const char *prefix = prefixes[variant / 2];
        dipp_weights_writer *writer = NULL;
        assert_int_equal(dipp_weights_writer_create(path, &writer, &error), DIPP_OK);
        for (size_t i = 0; i < m->count; i++) {
            const uint64_t *shape = m->tensors[i].shape;
            uint32_t rank = m->tensors[i].rank;
            uint64_t count = 1;
            for (uint32_t d = 0; d < rank; d++)
                count *= shape[d];
            assert_true(count <= 1024);
            for (uint64_t k = 0; k < count; k++)
                values[i][k] = (float)((i * 7919 + k * 104729) % 1000) - 500;
            dipp_clip_source source;
            assert_true(dipp_clip_to_hugging_face(m->tensors[i].name, &source));
            if (variant % 2 == 0) {
                write_tensor(writer, prefix, m->tensors[i].name, rank, shape, values[i]);
            } else if (source.change == DIPP_CLIP_TRANSPOSED) {
                for (uint64_t k = 0; k < count; k++)
                    turned[i][k % shape[1] * shape[0] + k / shape[1]] = values[i][k];
                write_tensor(writer, prefix, source.names[0], 2, (uint64_t[2]){shape[1], shape[0]}, turned[i]);
            } else {
                uint64_t part[4] = {shape[0] / source.count, shape[1], shape[2], shape[3]};
                for (uint32_t k = 0; k < source.count; k++)
                    write_tensor(writer, prefix, source.names[k], rank, part, values[i] + k * (count / source.count));
            }
        }
        assert_int_equal(dipp_weights_writer_commit(&writer, &error), DIPP_OK);
        dipp_weights *weights = NULL;
        assert_int_equal(dipp_weights_open(path, &weights, &error), DIPP_OK);
        for (size_t i = 0; i < m->count; i++) {
            static float out[1024];
            uint64_t count = 1;
            for (uint32_t d = 0; d < m->tensors[i].rank; d++)
                count *= m->tensors[i].shape[d];
            if (dipp_clip_load_f32(weights, m->tensors[i].name, m->tensors[i].rank, m->tensors[i].shape, out, &error))
                fail_msg("%s", error.message);
            assert_memory_equal(out, values[i], count * sizeof *out);
        }
        float out[100];
        const uint64_t wrong[2] = {7, 5}, square[2] = {18, 7};
        assert_int_equal(dipp_clip_load_f32(weights, "visual.proj", 2, wrong, out, &error), DIPP_E_INVALID);
        assert_int_equal(
            dipp_clip_load_f32(weights, "visual.transformer.resblocks.1.attn.in_proj_weight", 2, square, out, &error),
            DIPP_E_INVALID);
        assert_int_equal(dipp_clip_load_f32(weights, "visual.transformer.resblocks.2.ln_1.bias", 1, wrong, out, &error),
                         DIPP_E_NOT_FOUND);
        dipp_memory_fail_nth(1, true);
        dipp_status status = dipp_clip_load_f32(weights, "visual.proj", 2, (uint64_t[2]){6, 5}, out, &error);
        dipp_memory_fail_nth(0, false);
        assert_int_equal(status, variant % 2 ? DIPP_E_MEMORY : DIPP_OK);
        dipp_weights_destroy(&weights);
    }
    unlink(path);
    free(m);
}

static void prefixes_come_and_go(void **state)
{
    (void)state;
    static const char file[] = "\x71\0\0\0\0\0\0\0"
                               "{\"blip.a\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]},"
                               "\"b\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[1,2]}}     \1\2";
    dipp_weights *weights = NULL;
    dipp_error error = {0};
    if (dipp_weights_open_memory(file, sizeof file - 1, "x", &weights, &error))
        fail_msg("%s", error.message);
    assert_string_equal(dipp_weights_find_prefixed(weights, "a")->name, "blip.a");
    assert_string_equal(dipp_weights_find_prefixed(weights, "blip.a")->name, "blip.a");
    assert_string_equal(dipp_weights_find_prefixed(weights, "blip.b")->name, "b");
    assert_string_equal(dipp_weights_find_prefixed(weights, "module.b")->name, "b");
    assert_null(dipp_weights_find_prefixed(weights, "other.b"));
    assert_null(dipp_weights_find_prefixed(weights, "c"));
    dipp_weights_destroy(&weights);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_name_of_h14_goes_both_ways),
        cmocka_unit_test(names_are_the_published_ones),
        cmocka_unit_test(both_layouts_load_alike),
        cmocka_unit_test(prefixes_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
