/* Files on disk: written, read back, sharded, in folders. */
#include "base/file.h"
#include "base/memory.h"
#include "weights/weights.h"
#include "weights/writer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static char folder[] = "/tmp/dipp-weights-XXXXXX";

static int start(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int finish(void **state)
{
    (void)state;
    char command[100];
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

/* A path below the test's folder; good until the call after the next three. */
static const char *at(const char *name)
{
    static char paths[4][300];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, 300, "%s/%s", folder, name);
    return path;
}

static void put(const char *name, const char *content)
{
    dipp_error error;
    assert_int_equal(dipp_file_write_atomic(at(name), content, strlen(content), &error), DIPP_OK);
}

static void write_one(const char *path, const char *name, float value)
{
    dipp_error error = {0};
    dipp_weights_writer *writer;
    const uint64_t shape[1] = {1};
    assert_int_equal(dipp_weights_writer_create(path, &writer, &error), DIPP_OK);
    assert_int_equal(dipp_weights_writer_add_f32(writer, name, DIPP_WEIGHT_F32, 1, shape, &value, &error), DIPP_OK);
    assert_int_equal(dipp_weights_writer_metadata(writer, "holds", name, &error), DIPP_OK);
    assert_int_equal(dipp_weights_writer_commit(&writer, &error), DIPP_OK);
    assert_null(writer);
}

enum { MANY = 700001 };

static dipp_status fetch_bytes(void *user, uint64_t first, void *buffer, size_t bytes, dipp_error *error)
{
    uint64_t *expected = user;
    if (first != *expected)
        return dipp_fail(error, DIPP_E_INTERNAL, "not ascending");
    *expected += bytes;
    for (size_t i = 0; i < bytes; i++)
        ((uint8_t *)buffer)[i] = (uint8_t)((first + i) % 251);
    return DIPP_OK;
}

static dipp_status fetch_nothing(void *user, uint64_t first, void *buffer, size_t bytes, dipp_error *error)
{
    return dipp_fail(error, DIPP_E_NUMERIC, "the device is gone");
}

static void fill_writer(dipp_weights_writer *writer, const float *floats, uint64_t *fetched)
{
    dipp_error error = {0};
    const uint64_t many[2] = {MANY, 1}, three[1] = {3}, none[2] = {0, 5};
    static const uint8_t bytes[3] = {7, 8, 9};
    static const int64_t longs[3] = {-1, 0, INT64_MAX};
    *fetched = 0;
    assert_int_equal(dipp_weights_writer_add(writer, "z.bytes", DIPP_WEIGHT_U8, 1, three, bytes, &error), DIPP_OK);
    assert_int_equal(dipp_weights_writer_add_f32(writer, "b.bf16", DIPP_WEIGHT_BF16, 2, many, floats, &error), DIPP_OK);
    assert_int_equal(dipp_weights_writer_add_f32(writer, "a.f32", DIPP_WEIGHT_F32, 2, many, floats, &error), DIPP_OK);
    assert_int_equal(dipp_weights_writer_add_f32(writer, "c.f64", DIPP_WEIGHT_F64, 1, three, floats, &error), DIPP_OK);
    assert_int_equal(dipp_weights_writer_add(writer, "i", DIPP_WEIGHT_I64, 1, three, longs, &error), DIPP_OK);
    assert_int_equal(dipp_weights_writer_add(writer, "scalar", DIPP_WEIGHT_F32, 0, NULL, floats, &error), DIPP_OK);
    assert_int_equal(dipp_weights_writer_add(writer, "empty", DIPP_WEIGHT_F16, 2, none, NULL, &error), DIPP_OK);
    assert_int_equal(
        dipp_weights_writer_add_fetched(writer, "fetched", DIPP_WEIGHT_BF16, 2, many, fetch_bytes, fetched, &error),
        DIPP_OK);
    assert_int_equal(dipp_weights_writer_metadata(writer, "quote\"\\\n\t\xc3\xa9", "old", &error), DIPP_OK);
    assert_int_equal(dipp_weights_writer_metadata(writer, "quote\"\\\n\t\xc3\xa9", "new \xf0\x9f\x98\x80", &error),
                     DIPP_OK);
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    float *floats = malloc(MANY * sizeof *floats), *back = malloc(MANY * sizeof *back);
    assert_true(floats && back);
    for (size_t i = 0; i < MANY; i++)
        floats[i] = (float)i / 7 - 1000;
    dipp_error error = {0};
    char first_bytes[65], *content;
    size_t sizes[2];
    for (int round = 0; round < 2; round++) {
        dipp_weights_writer *writer;
        uint64_t fetched;
        const char *path = at(round ? "two.safetensors" : "one.safetensors");
        assert_int_equal(dipp_weights_writer_create(path, &writer, &error), DIPP_OK);
        fill_writer(writer, floats, &fetched);
        assert_int_equal(dipp_weights_writer_commit(&writer, &error), DIPP_OK);
        assert_int_equal(fetched, 2 * MANY);
        assert_int_equal(dipp_file_read(path, 1 << 26, &content, &sizes[round], &error), DIPP_OK);
        uint64_t header;
        memcpy(&header, content, sizeof header);
        assert_int_equal(header % 8, 0);
        if (round)
            assert_memory_equal(content + 8, first_bytes, sizeof first_bytes);
        memcpy(first_bytes, content + 8, sizeof first_bytes);
        dipp_release(content);
    }
    assert_int_equal(sizes[0], sizes[1]);

    dipp_weights *weights;
    assert_int_equal(dipp_weights_open(at("one.safetensors"), &weights, &error), DIPP_OK);
    assert_int_equal(dipp_weights_count(weights), 8);
    assert_int_equal(dipp_weights_file_count(weights), 1);
    assert_string_equal(dipp_weights_file(weights, 0), at("one.safetensors"));
    for (size_t i = 0; i < 8; i++) { /* every tensor is aligned to its element */
        const dipp_weight_tensor *tensor = dipp_weights_at(weights, i);
        assert_int_equal((uintptr_t)tensor->data % dipp_weight_dtype_bytes(tensor->dtype), 0);
    }
    const uint64_t many[2] = {MANY, 1};
    assert_int_equal(dipp_weights_load_f32(weights, "a.f32", 2, many, back, &error), DIPP_OK);
    assert_memory_equal(back, floats, MANY * sizeof *back);
    assert_int_equal(dipp_weights_load_f32(weights, "b.bf16", 2, many, back, &error), DIPP_OK);
    for (size_t i = 0; i < MANY; i++)
        assert_true(back[i] == dipp_float_of_bf16(dipp_bf16_of_float(floats[i])));
    const uint64_t three[1] = {3}, none[2] = {0, 5};
    assert_int_equal(dipp_weights_load_f32(weights, "c.f64", 1, three, back, &error), DIPP_OK);
    assert_memory_equal(back, floats, 3 * sizeof *back);
    assert_int_equal(dipp_weights_load_f32(weights, "scalar", 0, NULL, back, &error), DIPP_OK);
    assert_int_equal(dipp_weights_load_f32(weights, "empty", 2, none, back, &error), DIPP_OK);
    const uint8_t *fetched = dipp_weights_find(weights, "fetched")->data;
    for (size_t i = 0; i < 2 * MANY; i++)
        assert_int_equal(fetched[i], i % 251);
    const int64_t *longs = dipp_weights_find(weights, "i")->data;
    assert_true(longs[0] == -1 && longs[2] == INT64_MAX);
    assert_memory_equal(dipp_weights_find(weights, "z.bytes")->data, "\7\10\11", 3);
    assert_string_equal(dipp_weights_metadata(weights, "quote\"\\\n\t\xc3\xa9"), "new \xf0\x9f\x98\x80");
    dipp_weights_destroy(&weights);
    assert_null(weights);
    dipp_weights_destroy(&weights);
    free(floats), free(back);
}

/* Weights say format pt, even where they were copied with the metadata of a file that says something else; state does
 * not. */
static void what_files_say_of_their_format(void **state)
{
    (void)state;
    static const struct {
        dipp_status (*create)(const char *path, dipp_weights_writer **writer, dipp_error *error);
        const char *set, *header;
    } cases[] = {
        {dipp_weights_writer_create, NULL, "{\"__metadata__\":{\"a\":\"b\",\"format\":\"pt\",\"z\":\"y\"}}"},
        {dipp_weights_writer_create, "flax", "{\"__metadata__\":{\"a\":\"b\",\"format\":\"pt\",\"z\":\"y\"}}"},
        {dipp_weights_writer_create_state, NULL, "{\"__metadata__\":{\"a\":\"b\",\"z\":\"y\"}}"},
        {dipp_weights_writer_create_state, "own", "{\"__metadata__\":{\"a\":\"b\",\"format\":\"own\",\"z\":\"y\"}}"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dipp_error error = {0};
        dipp_weights_writer *writer = NULL;
        char *content;
        size_t size, length = strlen(cases[i].header);
        assert_int_equal(cases[i].create(at("said"), &writer, &error), DIPP_OK);
        if (cases[i].set)
            assert_int_equal(dipp_weights_writer_metadata(writer, "format", cases[i].set, &error), DIPP_OK);
        assert_int_equal(dipp_weights_writer_metadata(writer, "z", "y", &error), DIPP_OK);
        assert_int_equal(dipp_weights_writer_metadata(writer, "a", "b", &error), DIPP_OK);
        assert_int_equal(dipp_weights_writer_commit(&writer, &error), DIPP_OK);
        assert_int_equal(dipp_file_read(at("said"), 1 << 12, &content, &size, &error), DIPP_OK);
        assert_int_equal(size, 8 + (length + 7) / 8 * 8);
        assert_memory_equal(content + 8, cases[i].header, length);
        dipp_release(content);
    }
}

static void a_writer_refuses_what_it_cannot_write(void **state)
{
    (void)state;
    dipp_error error = {0};
    dipp_weights_writer *writer;
    const float value = 1;
    const uint64_t shape[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1}, huge[2] = {UINT64_MAX / 2, 3};
    assert_int_equal(dipp_weights_writer_create(at("refused"), &writer, &error), DIPP_OK);
    assert_int_equal(dipp_weights_writer_add_f32(writer, "a", DIPP_WEIGHT_U8, 1, shape, &value, &error),
                     DIPP_E_INVALID);
    assert_non_null(strstr(error.message, "not as U8"));
    assert_int_equal(dipp_weights_writer_add_f32(writer, "a", DIPP_WEIGHT_F32, 9, shape, &value, &error),
                     DIPP_E_INVALID);
    assert_int_equal(dipp_weights_writer_add_f32(writer, "a", DIPP_WEIGHT_F32, 2, huge, &value, &error),
                     DIPP_E_INVALID);
    assert_int_equal(dipp_weights_writer_add_f32(writer, "a", DIPP_WEIGHT_F32, 1, shape, NULL, &error), DIPP_E_INVALID);
    assert_int_equal(dipp_weights_writer_add_f32(writer, "__metadata__", DIPP_WEIGHT_F32, 1, shape, &value, &error),
                     DIPP_E_INVALID);
    static const char *const not_utf8[] = {"\xff",     "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                                           "\xe2\x82", "\x80"};
    for (size_t i = 0; i < sizeof not_utf8 / sizeof *not_utf8; i++) {
        assert_int_equal(dipp_weights_writer_add(writer, not_utf8[i], DIPP_WEIGHT_F32, 1, shape, &value, &error),
                         DIPP_E_INVALID);
        assert_int_equal(dipp_weights_writer_metadata(writer, "k", not_utf8[i], &error), DIPP_E_INVALID);
    }
    assert_int_equal(dipp_weights_writer_add_f32(writer, "a", DIPP_WEIGHT_F32, 1, shape, &value, &error), DIPP_OK);
    assert_int_equal(dipp_weights_writer_add_f32(writer, "a", DIPP_WEIGHT_F64, 1, shape, &value, &error), DIPP_OK);
    assert_int_equal(dipp_weights_writer_commit(&writer, &error), DIPP_E_INVALID);
    assert_non_null(strstr(error.message, "\"a\" was added twice"));
    assert_null(writer);
    assert_false(dipp_path_exists(at("refused")));

    put("kept", "old");
    assert_int_equal(dipp_weights_writer_create(at("kept"), &writer, &error), DIPP_OK);
    assert_int_equal(
        dipp_weights_writer_add_fetched(writer, "a", DIPP_WEIGHT_F32, 1, shape, fetch_nothing, NULL, &error), DIPP_OK);
    assert_int_equal(dipp_weights_writer_commit(&writer, &error), DIPP_E_NUMERIC);
    char *content;
    assert_int_equal(dipp_file_read(at("kept"), 10, &content, NULL, &error), DIPP_OK);
    assert_string_equal(content, "old");
    dipp_release(content);

    assert_int_equal(dipp_weights_writer_create(at("no/such/folder"), &writer, &error), DIPP_OK);
    assert_int_equal(dipp_weights_writer_commit(&writer, &error), DIPP_E_NOT_FOUND);
}

static void shards_are_one_set(void **state)
{
    (void)state;
    dipp_error error = {0};
    dipp_weights *weights = NULL;
    assert_int_equal(dipp_make_directories(at("sharded"), &error), DIPP_OK);
    assert_int_equal(dipp_weights_open(at("sharded"), &weights, &error), DIPP_E_NOT_FOUND);
    assert_non_null(strstr(error.message, "model.safetensors.index.json, "));
    write_one(at("sharded/model-00001-of-00002.safetensors"), "b", 1);
    write_one(at("sharded/model-00002-of-00002.safetensors"), "a", 2);
    put("sharded/model.safetensors.index.json",
        "{\"metadata\":{\"total_size\":8},\"weight_map\":{\"b\":\"model-00001-of-00002.safetensors\","
        "\"a\":\"model-00002-of-00002.safetensors\"}}");
    for (int by_file = 0; by_file < 2; by_file++) {
        assert_int_equal(
            dipp_weights_open(at(by_file ? "sharded/model.safetensors.index.json" : "sharded"), &weights, &error),
            DIPP_OK);
        assert_int_equal(dipp_weights_count(weights), 2);
        assert_int_equal(dipp_weights_file_count(weights), 2);
        assert_string_equal(dipp_weights_at(weights, 0)->name, "a");
        const uint64_t shape[1] = {1};
        float value;
        assert_int_equal(dipp_weights_load_f32(weights, "a", 1, shape, &value, &error), DIPP_OK);
        assert_true(value == 2);
        assert_string_equal(dipp_weights_find(weights, "b")->file, at("sharded/model-00001-of-00002.safetensors"));
        assert_string_equal(dipp_weights_metadata(weights, "holds"), "b");
        assert_int_equal(dipp_weights_metadata_count(weights), 2); /* and the format */
        dipp_weights_destroy(&weights);
    }
    static const struct {
        const char *content;
        dipp_status status;
        const char *said;
    } bad[] = {{"{}", DIPP_E_FORMAT, "weight_map"},
               {"[", DIPP_E_FORMAT, ":1:"},
               {"{\"weight_map\":{\"a\":3}}", DIPP_E_FORMAT, "file name for \"a\""},
               {"{\"weight_map\":{\"a\":\"../one.safetensors\"}}", DIPP_E_FORMAT, "beside the index"},
               {"{\"weight_map\":{\"a\":\"..\"}}", DIPP_E_FORMAT, "beside the index"},
               {"{\"weight_map\":{\"a\":\"\"}}", DIPP_E_FORMAT, "beside the index"},
               {"{\"weight_map\":{\"a\":\"gone.safetensors\"}}", DIPP_E_NOT_FOUND, "gone.safetensors"},
               {"{\"weight_map\":{\"b\":\"model-00002-of-00002.safetensors\"}}", DIPP_E_FORMAT, "does not have it"},
               {"{\"weight_map\":{\"a\":\"model.safetensors.index.json\"}}", DIPP_E_FORMAT, "not a safetensors file"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        put("sharded/model.safetensors.index.json", bad[i].content);
        dipp_status status = dipp_weights_open(at("sharded"), &weights, &error);
        if (status != bad[i].status || !strstr(error.message, bad[i].said))
            fail_msg("case %zu: status %d, message: %s", i, status, error.message);
        assert_null(weights);
    }
}

static void folders_and_files_are_told_apart(void **state)
{
    (void)state;
    dipp_error error = {0};
    dipp_weights *weights = NULL;
    assert_int_equal(dipp_make_directories(at("unet"), &error), DIPP_OK);
    write_one(at("unet/diffusion_pytorch_model.safetensors"), "w", 3);
    assert_int_equal(dipp_weights_open(at("unet"), &weights, &error), DIPP_OK);
    assert_non_null(dipp_weights_find(weights, "w"));
    dipp_weights_destroy(&weights);
    assert_int_equal(dipp_weights_open(at("none.safetensors"), &weights, &error), DIPP_E_NOT_FOUND);
    assert_non_null(strstr(error.message, "none.safetensors"));
    put("text.safetensors", "these are not the weights that you are looking for");
    assert_int_equal(dipp_weights_open(at("text.safetensors"), &weights, &error), DIPP_E_FORMAT);
    put("empty.safetensors", "");
    assert_int_equal(dipp_weights_open(at("empty.safetensors"), &weights, &error), DIPP_E_FORMAT);
    assert_non_null(strstr(error.message, "only 0 bytes"));
    assert_null(weights);
}

static void what_came_in_place_of_weights_is_named(void **state)
{
    static const char *const cases[][2] = {
        {"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3438167534\n", "pointer of Git LFS"},
        {"<!DOCTYPE html><title>Sign in</title>", "a web page"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dipp_error error = {0};
        dipp_weights *weights = NULL;
        put("arrived.safetensors", cases[i][0]);
        assert_int_equal(dipp_weights_open(at("arrived.safetensors"), &weights, &error), DIPP_E_FORMAT);
        assert_null(weights);
        assert_non_null(strstr(error.message, cases[i][1]));
    }
}

static void any_allocation_may_fail(void **state)
{
    (void)state;
    dipp_error error = {0};
    float *floats = calloc(MANY, sizeof *floats);
    assert_non_null(floats);
    const uint64_t shape[1] = {3};
    put("memory.safetensors", "old");
    for (uint64_t nth = 1;; nth++) {
        dipp_weights_writer *writer = NULL;
        dipp_memory_fail_nth(nth, false);
        dipp_status status = dipp_weights_writer_create(at("memory.safetensors"), &writer, &error);
        if (!status)
            status = dipp_weights_writer_add_f32(writer, "a", DIPP_WEIGHT_BF16, 1, shape, floats, &error);
        if (!status)
            status = dipp_weights_writer_metadata(writer, "k", "v", &error);
        if (!status)
            status = dipp_weights_writer_commit(&writer, &error);
        dipp_weights_writer_destroy(&writer);
        bool failed = dipp_memory_has_failed();
        dipp_memory_fail_nth(0, false);
        if (!failed) {
            assert_int_equal(status, DIPP_OK);
            assert_true(nth > 8);
            break;
        }
        assert_true(status == DIPP_E_MEMORY || status == DIPP_E_IO);
    }
    put("sharded/model.safetensors.index.json", "{\"weight_map\":{\"b\":\"model-00001-of-00002.safetensors\","
                                                "\"a\":\"model-00002-of-00002.safetensors\"}}");
    for (uint64_t nth = 1;; nth++) {
        dipp_weights *weights = NULL;
        dipp_memory_fail_nth(nth, false);
        dipp_status status = dipp_weights_open(at("sharded"), &weights, &error);
        bool failed = dipp_memory_has_failed();
        dipp_memory_fail_nth(0, false);
        assert_int_equal(status, failed ? DIPP_E_MEMORY : DIPP_OK);
        assert_true(!weights == failed);
        dipp_weights_destroy(&weights);
        if (!failed) {
            assert_true(nth > 8);
            break;
        }
    }
    free(floats);
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
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(what_files_say_of_their_format),
        cmocka_unit_test(a_writer_refuses_what_it_cannot_write),
        cmocka_unit_test(shards_are_one_set),
        cmocka_unit_test(folders_and_files_are_told_apart),
        cmocka_unit_test(what_came_in_place_of_weights_is_named),
        cmocka_unit_test(any_allocation_may_fail),
        cmocka_unit_test(prefixes_come_and_go),
    };
    return cmocka_run_group_tests(tests, start, finish);
}
