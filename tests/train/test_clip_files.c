/* The layouts of published CLIP files: every tensor of the largest model by name, and values through both layouts into a
 * parameter set. */
#include "base/memory.h"
#include "tensor/program.h"
#include "train/models.h"
#include "weights/original_names.h"
#include "weights/weights.h"
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

static const dipp_block_counts no_blocks = {.decoder = 0};

typedef struct clip_size {
    uint64_t joint, width, layers, hidden, patch, positions, text_width, text_layers, vocabulary;
} clip_size;

typedef struct manifest {
    struct {
        char name[DIPP_ORIGINAL_NAME_BYTES];   /* open_clip's */
        char theirs[DIPP_ORIGINAL_NAME_BYTES]; /* Hugging Face's, '?' for q, k and v in turn */
        uint32_t rank;
        uint64_t shape[4]; /* open_clip's */
    } tensors[800];
    size_t count;
    uint64_t numbers;
} manifest;

static void add(manifest *m, const char *name, const char *theirs, uint32_t rank, uint64_t a, uint64_t b)
{
    snprintf(m->tensors[m->count].name, DIPP_ORIGINAL_NAME_BYTES, "%s", name);
    snprintf(m->tensors[m->count].theirs, DIPP_ORIGINAL_NAME_BYTES, "%s", theirs);
    m->tensors[m->count].rank = rank;
    m->tensors[m->count].shape[0] = a;
    m->tensors[m->count++].shape[1] = b;
    m->numbers += (rank > 0 ? a : 1) * (rank > 1 ? b : 1);
}

static void add_blocks(manifest *m, const char *start, const char *their_start, uint64_t layers, uint64_t width,
                       uint64_t hidden)
{
    const struct {
        const char *end, *theirs;
        uint32_t rank;
        uint64_t a, b;
    } parts[] = {{"ln_1.weight", "layer_norm1.weight", 1, width, 0},
                 {"ln_1.bias", "layer_norm1.bias", 1, width, 0},
                 {"attn.in_proj_weight", "self_attn.?_proj.weight", 2, 3 * width, width},
                 {"attn.in_proj_bias", "self_attn.?_proj.bias", 1, 3 * width, 0},
                 {"attn.out_proj.weight", "self_attn.out_proj.weight", 2, width, width},
                 {"attn.out_proj.bias", "self_attn.out_proj.bias", 1, width, 0},
                 {"ln_2.weight", "layer_norm2.weight", 1, width, 0},
                 {"ln_2.bias", "layer_norm2.bias", 1, width, 0},
                 {"mlp.c_fc.weight", "mlp.fc1.weight", 2, hidden, width},
                 {"mlp.c_fc.bias", "mlp.fc1.bias", 1, hidden, 0},
                 {"mlp.c_proj.weight", "mlp.fc2.weight", 2, width, hidden},
                 {"mlp.c_proj.bias", "mlp.fc2.bias", 1, width, 0}};
    for (unsigned i = 0; i < layers; i++)
        for (size_t j = 0; j < sizeof parts / sizeof *parts; j++) {
            char name[DIPP_ORIGINAL_NAME_BYTES], theirs[DIPP_ORIGINAL_NAME_BYTES];
            snprintf(name, sizeof name, "%stransformer.resblocks.%u.%s", start, i, parts[j].end);
            snprintf(theirs, sizeof theirs, "%s.encoder.layers.%u.%s", their_start, i, parts[j].theirs);
            add(m, name, theirs, parts[j].rank, parts[j].a, parts[j].b);
        }
}

/* The tensors of a CLIP model as open_clip names and shapes them. */
static manifest *make_manifest(const clip_size *size)
{
    manifest *m = calloc(1, sizeof *m);
    assert_non_null(m);
    add(m, "positional_embedding", "text_model.embeddings.position_embedding.weight", 2, 77, size->text_width);
    add(m, "token_embedding.weight", "text_model.embeddings.token_embedding.weight", 2, size->vocabulary,
        size->text_width);
    add(m, "text_projection", "text_projection.weight", 2, size->text_width, size->joint);
    add(m, "logit_scale", "logit_scale", 0, 0, 0);
    add(m, "ln_final.weight", "text_model.final_layer_norm.weight", 1, size->text_width, 0);
    add(m, "ln_final.bias", "text_model.final_layer_norm.bias", 1, size->text_width, 0);
    add_blocks(m, "", "text_model", size->text_layers, size->text_width, 4 * size->text_width);
    add(m, "visual.class_embedding", "vision_model.embeddings.class_embedding", 1, size->width, 0);
    add(m, "visual.positional_embedding", "vision_model.embeddings.position_embedding.weight", 2, size->positions,
        size->width);
    add(m, "visual.proj", "visual_projection.weight", 2, size->width, size->joint);
    add(m, "visual.conv1.weight", "vision_model.embeddings.patch_embedding.weight", 2, size->width,
        3 * size->patch * size->patch);
    m->tensors[m->count - 1].rank = 4;
    memcpy(m->tensors[m->count - 1].shape, (uint64_t[4]){size->width, 3, size->patch, size->patch}, 32);
    add(m, "visual.ln_pre.weight", "vision_model.pre_layrnorm.weight", 1, size->width, 0);
    add(m, "visual.ln_pre.bias", "vision_model.pre_layrnorm.bias", 1, size->width, 0);
    add(m, "visual.ln_post.weight", "vision_model.post_layernorm.weight", 1, size->width, 0);
    add(m, "visual.ln_post.bias", "vision_model.post_layernorm.bias", 1, size->width, 0);
    add_blocks(m, "visual.", "vision_model", size->layers, size->width, size->hidden);
    return m;
}

/* "a.?_proj" and 1 -> "a.k_proj"; the number of thirds of a name is 3 or 1. */
static uint32_t thirds_of(const char *theirs)
{
    return strchr(theirs, '?') ? 3 : 1;
}

static const char *third_name(const char *theirs, uint32_t third, char out[DIPP_ORIGINAL_NAME_BYTES])
{
    snprintf(out, DIPP_ORIGINAL_NAME_BYTES, "%s", theirs);
    char *place = strchr(out, '?');
    if (place)
        *place = "qkv"[third];
    return out;
}

static void every_name_of_h14_is_known(void **state)
{
    (void)state;
    const clip_size h14 = {1024, 1280, 32, 5120, 14, 257, 1024, 24, 49408};
    manifest *m = make_manifest(&h14);
    assert_int_equal(m->count, 686);
    assert_int_equal(m->numbers, 986109441);
    size_t there = 0, stacked = 0, transposed = 0;
    for (size_t i = 0; i < m->count; i++) {
        uint32_t thirds = thirds_of(m->tensors[i].theirs);
        there += thirds;
        for (uint32_t k = 0; k < thirds; k++) {
            char theirs[DIPP_ORIGINAL_NAME_BYTES];
            dipp_original_name original, second;
            assert_true(dipp_original_name_of(third_name(m->tensors[i].theirs, k, theirs), &no_blocks, 0, &original));
            assert_string_equal(original.name, m->tensors[i].name);
            assert_false(dipp_original_name_of(theirs, &no_blocks, 1, &second));
            assert_int_equal(original.part, k);
            assert_int_equal(original.parts, thirds);
            stacked += original.parts == 3;
            transposed += original.transposed;
        }
    }
    assert_int_equal(stacked, 3 * 2 * (24 + 32));
    assert_int_equal(transposed, 2);
    assert_int_equal(there, 910); /* tensors of CLIPModel, without the buffers position_ids */
    free(m);
}

static void other_names_are_none(void **state)
{
    (void)state;
    static const char *const none[] = {"text_model.embeddings.position_ids",
                                       "vision_model.encoder.layers.01.mlp.fc1.bias",
                                       "vision_model.encoder.layers.1000.mlp.fc1.bias",
                                       "vision_model.encoder.layers..mlp.fc1.bias",
                                       "vision_model.encoder.layers.1.self_attn.x_proj.bias",
                                       "vision_model.encoder.layers.1.self_attn.",
                                       "visual_projection.weightx",
                                       "attn_mask",
                                       ""};
    dipp_original_name original;
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_false(dipp_original_name_of(none[i], &no_blocks, 0, &original));
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

static const clip_size tiny = {5, 6, 2, 12, 2, 5, 4, 1, 9};
enum { MOST = 1024 };

/* Number k of tensor i of the manifest, in open_clip's layout. */
static float number_of(size_t i, uint64_t k)
{
    return (float)((i * 7919 + k * 104729) % 1000) - 500;
}

static uint64_t fill(const manifest *m, size_t i, float out[MOST])
{
    uint64_t count = 1;
    for (uint32_t d = 0; d < m->tensors[i].rank; d++)
        count *= m->tensors[i].shape[d];
    assert_true(count <= MOST);
    for (uint64_t k = 0; k < count; k++)
        out[k] = number_of(i, k);
    return count;
}

static bool is_transposed(const char *name)
{
    return !strcmp(name, "text_projection") || !strcmp(name, "visual.proj");
}

/* Element k of the thirds'th third of tensor i, as Hugging Face has it. */
static float their_number(const manifest *m, size_t i, uint32_t third, uint64_t k)
{
    const uint64_t *shape = m->tensors[i].shape;
    if (is_transposed(m->tensors[i].name))
        return number_of(i, k % shape[0] * shape[1] + k / shape[0]);
    float numbers[MOST];
    return number_of(i, third * (fill(m, i, numbers) / 3) + k);
}

/* skip: a tensor that is left out; prefix: before every name. Buffers lie beside the weights, as in older files. */
static void write_file(const char *path, const manifest *m, bool theirs, const char *prefix, const char *skip)
{
    dipp_error error = {0};
    dipp_weights_writer *writer = NULL;
    static float numbers[800][MOST];
    static const int64_t position_ids[5] = {0, 1, 2, 3, 4};
    const uint64_t five = 5;
    assert_int_equal(dipp_weights_writer_create(path, &writer, &error), DIPP_OK);
    for (size_t i = 0; i < m->count; i++) {
        const uint64_t *shape = m->tensors[i].shape;
        uint64_t count = fill(m, i, numbers[i]);
        uint32_t rank = m->tensors[i].rank, thirds = theirs ? thirds_of(m->tensors[i].theirs) : 1;
        if (skip && !strcmp(skip, m->tensors[i].name))
            continue;
        uint64_t part[4] = {shape[0] / thirds, shape[1], shape[2], shape[3]};
        if (theirs && is_transposed(m->tensors[i].name)) {
            part[0] = shape[1];
            part[1] = shape[0];
            for (uint64_t k = 0; k < count; k++)
                numbers[i][k] = their_number(m, i, 0, k);
        }
        for (uint32_t k = 0; k < thirds; k++) {
            char name[DIPP_ORIGINAL_NAME_BYTES];
            write_tensor(writer, prefix, theirs ? third_name(m->tensors[i].theirs, k, name) : m->tensors[i].name, rank,
                         part, numbers[i] + k * (count / thirds));
        }
    }
    if (dipp_weights_writer_add(writer, "text_model.embeddings.position_ids", DIPP_WEIGHT_I64, 1, &five, position_ids,
                                &error) ||
        dipp_weights_writer_add(writer, "context_length", DIPP_WEIGHT_I64, 1, &five, position_ids, &error) ||
        dipp_weights_writer_commit(&writer, &error))
        fail_msg("%s", error.message);
}

typedef struct clip_model {
    dipp_backend *backend;
    dipp_layout *layout;
    dipp_parameter_set *set;
} clip_model;

/* Parameters with Hugging Face's names and shapes, all zero. */
static void open_model(clip_model *out, const manifest *m)
{
    dipp_error error = {0};
    dipp_graph *g = NULL;
    dipp_backend_options options = {.struct_size = sizeof options, .precision = "f64"};
    assert_int_equal(dipp_reference_backend_create(&options, &out->backend, &error), DIPP_OK);
    assert_int_equal(dipp_layout_create("clip", &out->layout, &error), DIPP_OK);
    assert_int_equal(dipp_graph_create("clip", &g, &error), DIPP_OK);
    dipp_params p = dipp_graph_slot(g, "clip", out->layout, true);
    for (size_t i = 0; i < m->count; i++) {
        uint32_t thirds = thirds_of(m->tensors[i].theirs);
        dipp_shape shape = {.rank = m->tensors[i].rank};
        for (uint32_t d = 0; d < shape.rank; d++)
            shape.dims[d] = (int64_t)m->tensors[i].shape[d];
        shape.dims[0] /= thirds;
        if (is_transposed(m->tensors[i].name))
            shape = DIPP_SHAPE(shape.dims[1], shape.dims[0]);
        for (uint32_t k = 0; k < thirds; k++) {
            char name[DIPP_ORIGINAL_NAME_BYTES];
            dipp_param(g, p, third_name(m->tensors[i].theirs, k, name), shape, NULL);
        }
    }
    assert_int_equal(dipp_graph_status(g, &error), DIPP_OK);
    dipp_graph_destroy(&g);
    assert_int_equal(dipp_parameter_set_create("clip", out->layout, out->backend, false, &out->set, &error), DIPP_OK);
}

static void close_model(clip_model *m)
{
    dipp_parameter_set_destroy(&m->set);
    dipp_layout_destroy(&m->layout);
    dipp_backend_destroy(&m->backend);
}

static void check_numbers(const clip_model *model, const manifest *m)
{
    uint32_t entry = 0;
    for (size_t i = 0; i < m->count; i++)
        for (uint32_t third = 0; third < thirds_of(m->tensors[i].theirs); third++, entry++) {
            float found[MOST];
            const dipp_layout_entry *at = dipp_layout_entry_at(model->layout, entry);
            size_t count = (size_t)at->elements;
            dipp_parameter_set_read_part(model->set, DIPP_BLOCK_MASTER, (size_t)at->offset, count, found,
                                         DIPP_HOST_F32);
            for (size_t k = 0; k < count; k++)
                if (found[k] != their_number(m, i, third, k))
                    fail_msg("%s[%zu] is %g, expected %g", at->name, k, found[k], their_number(m, i, third, k));
        }
}

static void make_path(char path[])
{
    int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    close(descriptor);
}

/* The same numbers from either layout, whatever training code has put before the names. */
static void both_layouts_load_alike(void **state)
{
    (void)state;
    manifest *m = make_manifest(&tiny);
    static const char *const prefixes[] = {"", "module.", "model."};
    char path[] = "/tmp/dipp-clip-XXXXXX";
    make_path(path);
    for (int variant = 0; variant < 6; variant++) {
        dipp_error error = {0};
        clip_model model;
        write_file(path, m, variant % 2, prefixes[variant / 2], NULL);
        open_model(&model, m);
        if (dipp_weights_read_sets(path, "model", &model.set, 1, &error))
            fail_msg("%s", error.message);
        check_numbers(&model, m);
        close_model(&model);
    }
    unlink(path);
    free(m);
}

/* What OpenAI publishes: a TorchScript archive with some numbers in half precision and buffers beside them. */
static void an_archive_of_openai_loads(void **state)
{
    (void)state;
    const clip_size size = {5, 6, 2, 24, 2, 5, 4, 1, 9};
    manifest *m = make_manifest(&size);
    dipp_error error = {0};
    dipp_weights *expected = NULL;
    clip_model model;
    uint32_t entry = 0;
    open_model(&model, m);
    if (dipp_weights_read_sets(DIPP_FIXTURE_FOLDER "/torch/clip.pt", "model", &model.set, 1, &error) ||
        dipp_weights_open(DIPP_FIXTURE_FOLDER "/torch/clip.safetensors", &expected, &error))
        fail_msg("%s", error.message);
    assert_int_equal(dipp_weights_count(expected), m->count + 3);
    for (size_t i = 0; i < m->count; i++)
        for (uint32_t third = 0; third < thirds_of(m->tensors[i].theirs); third++, entry++) {
            const dipp_layout_entry *at = dipp_layout_entry_at(model.layout, entry);
            const dipp_weight_tensor *tensor = dipp_weights_find(expected, m->tensors[i].name);
            size_t count = (size_t)at->elements, columns = is_transposed(m->tensors[i].name) ? tensor->shape[0] : 1;
            float numbers[MOST], found[MOST];
            assert_int_equal(dipp_weight_tensor_to_f32(tensor, numbers, tensor->count, &error), DIPP_OK);
            dipp_parameter_set_read_part(model.set, DIPP_BLOCK_MASTER, (size_t)at->offset, count, found, DIPP_HOST_F32);
            for (size_t k = 0; k < count; k++)
                if (found[k] != numbers[third * count + k % columns * (count / columns) + k / columns])
                    fail_msg("%s[%zu] is %g", at->name, k, found[k]);
        }
    dipp_weights_destroy(&expected);
    close_model(&model);
    free(m);
}

/* What a head's file has, the tower's need not. */
static void a_second_file_has_the_rest(void **state)
{
    (void)state;
    manifest *m = make_manifest(&tiny);
    char path[] = "/tmp/dipp-clip-XXXXXX", head[] = "/tmp/dipp-head-XXXXXX";
    dipp_error error = {0};
    dipp_weights_writer *writer = NULL;
    static float numbers[MOST];
    clip_model model;
    size_t last = m->count - 1;
    make_path(path);
    make_path(head);
    write_file(path, m, false, "", m->tensors[last].name);
    fill(m, last, numbers);
    assert_int_equal(dipp_weights_writer_create(head, &writer, &error), DIPP_OK);
    write_tensor(writer, "", m->tensors[last].name, m->tensors[last].rank, m->tensors[last].shape, numbers);
    assert_int_equal(dipp_weights_writer_commit(&writer, &error), DIPP_OK);
    open_model(&model, m);
    assert_int_equal(dipp_weights_read_with_head(path, NULL, model.set, &error), DIPP_E_FORMAT);
    if (dipp_weights_read_with_head(path, head, model.set, &error))
        fail_msg("%s", error.message);
    check_numbers(&model, m);
    close_model(&model);
    unlink(path);
    unlink(head);
    free(m);
}

static void what_does_not_fit_is_listed(void **state)
{
    (void)state;
    manifest *m = make_manifest(&tiny), *other = make_manifest(&tiny);
    char path[] = "/tmp/dipp-clip-XXXXXX";
    dipp_error error = {0};
    clip_model model;
    make_path(path);
    open_model(&model, m);

    write_file(path, m, false, "", "visual.ln_pre.bias");
    assert_int_equal(dipp_weights_read_sets(path, "model", &model.set, 1, &error), DIPP_E_FORMAT);
    assert_non_null(strstr(error.message, "\n  vision_model.pre_layrnorm.bias is missing"));
    assert_null(strstr(error.message, "unexpected")); /* buffers are none */

    for (size_t i = 0; i < other->count; i++)
        if (!strcmp(other->tensors[i].name, "ln_final.bias"))
            snprintf(other->tensors[i].name, DIPP_ORIGINAL_NAME_BYTES, "ln_last.bias");
    write_file(path, other, false, "", NULL);
    assert_int_equal(dipp_weights_read_sets(path, "model", &model.set, 1, &error), DIPP_E_FORMAT);
    assert_non_null(strstr(error.message, "\n  text_model.final_layer_norm.bias is missing"));
    assert_non_null(strstr(error.message, "\n  unexpected, the first of them: ln_last.bias"));
    free(other);

    const clip_size wide = {4, 6, 2, 12, 2, 5, 4, 1, 9};
    other = make_manifest(&wide);
    write_file(path, other, false, "", NULL);
    assert_int_equal(dipp_weights_read_sets(path, "model", &model.set, 1, &error), DIPP_E_FORMAT);
    assert_non_null(strstr(error.message, "visual.proj has shape [6, 4], expected the transpose of [5, 6]"));
    free(other);

    /* A stacked matrix that has no thirds. */
    other = make_manifest(&tiny);
    for (size_t i = 0; i < other->count; i++)
        if (!strcmp(other->tensors[i].name, "transformer.resblocks.0.attn.in_proj_bias"))
            other->tensors[i].shape[0] = 11;
    write_file(path, other, false, "", NULL);
    assert_int_equal(dipp_weights_read_sets(path, "model", &model.set, 1, &error), DIPP_E_FORMAT);
    assert_non_null(strstr(error.message, "in_proj_bias has shape [11], expected 3 times [4]"));
    free(other);

    float zero[4] = {1, 1, 1, 1};
    dipp_parameter_set_read_part(model.set, DIPP_BLOCK_MASTER, 0, 4, zero, DIPP_HOST_F32);
    for (int i = 0; i < 4; i++) /* and nothing was written */
        assert_true(zero[i] == 0);
    close_model(&model);
    unlink(path);
    free(m);
}

static void any_allocation_may_fail(void **state)
{
    (void)state;
    manifest *m = make_manifest(&tiny);
    char path[] = "/tmp/dipp-clip-XXXXXX";
    dipp_error error = {0};
    clip_model model;
    make_path(path);
    write_file(path, m, false, "", NULL);
    open_model(&model, m);
    for (uint64_t nth = 1;; nth++) {
        dipp_memory_fail_nth(nth, false);
        dipp_status status = dipp_weights_read_with_head(path, path, model.set, &error);
        bool failed = dipp_memory_has_failed();
        dipp_memory_fail_nth(0, false);
        assert_int_equal(status, failed ? DIPP_E_MEMORY : DIPP_OK);
        if (!failed) {
            assert_true(nth > 8);
            break;
        }
    }
    check_numbers(&model, m);
    close_model(&model);
    unlink(path);
    free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_name_of_h14_is_known), cmocka_unit_test(other_names_are_none),
        cmocka_unit_test(both_layouts_load_alike),    cmocka_unit_test(a_second_file_has_the_rest),
        cmocka_unit_test(an_archive_of_openai_loads), cmocka_unit_test(what_does_not_fit_is_listed),
        cmocka_unit_test(any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
