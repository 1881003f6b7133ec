/* What a safetensors file may and may not say, and the fuzz corpus. */
#include "base/memory.h"
#include "base/philox.h"
#include "weights/weights.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A file of this header and a body of 0, 1, 2 ...; exactly sized, so that a sanitizer sees one byte too many. */
static uint8_t *make_file(const char *header, size_t body, size_t *size)
{
    uint64_t length = strlen(header);
    *size = 8 + length + body;
    uint8_t *file = malloc(*size);
    assert_non_null(file);
    memcpy(file, &length, 8);
    memcpy(file + 8, header, length);
    for (size_t i = 0; i < body; i++)
        file[8 + length + i] = (uint8_t)i;
    return file;
}

#define TENSOR(name, dtype, shape, begin, end) \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" begin "," end "]}"

static const struct corpus_case {
    const char *what, *header;
    size_t body;
    dipp_status status;
    const char *said; /* part of the message */
} corpus[] = {
    {"one tensor", "{" TENSOR("a", "F32", "[2,3]", "0", "24") "}", 24, DIPP_OK, ""},
    {"no tensors", "{}", 0, DIPP_OK, ""},
    {"padded header", "{}      ", 0, DIPP_OK, ""},
    {"every dtype",
     "{" TENSOR("h", "F64", "[1]", "0", "8") "," TENSOR("g", "I64", "[1]", "8", "16") "," TENSOR(
         "f", "F32", "[1]", "16", "20") "," TENSOR("e", "I32", "[]", "20",
                                                   "24") "," TENSOR("d", "F16", "[1,1]", "24",
                                                                    "26") "," TENSOR("c", "BF16", "[1]", "26",
                                                                                     "28") "," TENSOR("b", "U8", "[3]",
                                                                                                      "28", "31") "}",
     31, DIPP_OK, ""},
    {"empty tensors",
     "{" TENSOR("a", "F32", "[0,7]", "0", "0") "," TENSOR("b", "U8", "[1]", "0", "1") "," TENSOR("c", "F64", "[0]", "1",
                                                                                                 "1") "}",
     1, DIPP_OK, ""},
    {"metadata", "{\"__metadata__\":{\"format\":\"pt\",\"\":\"\"}}", 0, DIPP_OK, ""},
    {"unaligned tensors", "{" TENSOR("a", "U8", "[1]", "0", "1") "," TENSOR("b", "F64", "[2]", "1", "17") "}", 17,
     DIPP_OK, ""},
    {"not an object", "[1,2]", 0, DIPP_E_FORMAT, "not a safetensors file"},
    {"empty header", "", 0, DIPP_E_FORMAT, "not a safetensors file"},
    {"leading blank", " {}", 0, DIPP_E_FORMAT, "not a safetensors file"},
    {"bad JSON", "{\"a\":", 0, DIPP_E_FORMAT, "not JSON"},
    {"rest after JSON", "{}{}", 0, DIPP_E_FORMAT, "not JSON"},
    {"bad UTF-8", "{\"\xff\":1}", 0, DIPP_E_FORMAT, "not JSON"},
    {"zero in a name", "{\"a\\u0000b\":1}", 0, DIPP_E_FORMAT, "not JSON"},
    {"duplicate name", "{" TENSOR("a", "U8", "[1]", "0", "1") "," TENSOR("a", "U8", "[1]", "1", "2") "}", 2,
     DIPP_E_FORMAT, "duplicate"},
    {"tensor is a number", "{\"a\":7}", 0, DIPP_E_FORMAT, "tensor \"a\": expected an object"},
    {"no dtype", "{\"a\":{\"shape\":[],\"data_offsets\":[0,1]}}", 1, DIPP_E_FORMAT, "dtype is missing"},
    {"no shape", "{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", 1, DIPP_E_FORMAT, "shape is missing"},
    {"no offsets", "{\"a\":{\"dtype\":\"U8\",\"shape\":[]}}", 1, DIPP_E_FORMAT, "data_offsets is missing"},
    {"unsupported dtype", "{" TENSOR("a", "F8_E4M3", "[1]", "0", "1") "}", 1, DIPP_E_UNSUPPORTED, "found \"F8_E4M3\""},
    {"dtype in small letters", "{" TENSOR("a", "f32", "[1]", "0", "4") "}", 4, DIPP_E_UNSUPPORTED, "found \"f32\""},
    {"nine dimensions", "{" TENSOR("a", "U8", "[1,1,1,1,1,1,1,1,1]", "0", "1") "}", 1, DIPP_E_UNSUPPORTED,
     "at most 8 dimensions, found 9"},
    {"negative dimension", "{" TENSOR("a", "U8", "[-1]", "0", "1") "}", 1, DIPP_E_FORMAT, "dimension 0"},
    {"fractional dimension", "{" TENSOR("a", "U8", "[1,1.5]", "0", "1") "}", 1, DIPP_E_FORMAT, "dimension 1"},
    {"too many elements", "{" TENSOR("a", "U8", "[4294967296,4294967296]", "0", "1") "}", 1, DIPP_E_FORMAT,
     "more than 2^64 elements"},
    {"too many bytes", "{" TENSOR("a", "F64", "[4294967296,1073741824]", "0", "0") "}", 0, DIPP_E_FORMAT,
     "more than 2^64 bytes"},
    {"number beyond 64 bits", "{" TENSOR("a", "U8", "[99999999999999999999]", "0", "1") "}", 1, DIPP_E_FORMAT,
     "not JSON"},
    {"negative offset", "{" TENSOR("a", "U8", "[1]", "-1", "0") "}", 1, DIPP_E_FORMAT, "two whole numbers"},
    {"one offset", "{\"a\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0]}}", 1, DIPP_E_FORMAT,
     "two whole numbers"},
    {"textual offset", "{" TENSOR("a", "U8", "[1]", "\"0\"", "1") "}", 1, DIPP_E_FORMAT, "two whole numbers"},
    {"offsets backwards", "{" TENSOR("a", "U8", "[1]", "2", "1") "}", 4, DIPP_E_FORMAT, "do not lie in"},
    {"offset past the end", "{" TENSOR("a", "F32", "[2]", "0", "8") "}", 7, DIPP_E_FORMAT,
     "[0, 8] do not lie in the 7"},
    {"offset near 2^63", "{" TENSOR("a", "U8", "[1]", "9223372036854775806", "9223372036854775807") "}", 1,
     DIPP_E_FORMAT, "do not lie in"},
    {"size that lies", "{" TENSOR("a", "F32", "[3]", "0", "8") "}", 8, DIPP_E_FORMAT,
     "F32 [3] takes 12 bytes, data_offsets give 8"},
    {"overlap", "{" TENSOR("a", "U8", "[4]", "0", "4") "," TENSOR("b", "U8", "[4]", "2", "6") "}", 6, DIPP_E_FORMAT,
     "tensor \"b\": starts at 2 and overlaps \"a\", which ends at 4"},
    {"same place twice", "{" TENSOR("a", "U8", "[4]", "0", "4") "," TENSOR("b", "U8", "[4]", "0", "4") "}", 4,
     DIPP_E_FORMAT, "overlaps"},
    {"hole", "{" TENSOR("a", "U8", "[1]", "0", "1") "," TENSOR("b", "U8", "[1]", "2", "3") "}", 3, DIPP_E_FORMAT,
     "tensor \"b\": expected to start at 1 where the one before ends, found 2"},
    {"rest", "{" TENSOR("a", "U8", "[1]", "0", "1") "}", 5, DIPP_E_FORMAT, "end after 1 bytes, 5 follow"},
    {"metadata is a list", "{\"__metadata__\":[]}", 0, DIPP_E_FORMAT, "__metadata__ to be an object"},
    {"metadata holds a number", "{\"__metadata__\":{\"step\":3}}", 0, DIPP_E_FORMAT,
     "__metadata__ \"step\" is not a text"},
    {"control bytes in a name", "{\"a\\n\\u001b[31m\":3}", 0, DIPP_E_FORMAT, "tensor \"a??[31m\""},
};
enum { CORPUS = sizeof corpus / sizeof *corpus };

static void every_case_is_judged_and_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < CORPUS; i++) {
        size_t size;
        uint8_t *file = make_file(corpus[i].header, corpus[i].body, &size);
        dipp_weights *weights = NULL;
        dipp_error error = {0};
        dipp_status status = dipp_weights_open_memory(file, size, "dir/x.safetensors", &weights, &error);
        if (status != corpus[i].status || !strstr(error.message, corpus[i].said) ||
            (status && strncmp(error.message, "dir/x.safetensors: ", 19)))
            fail_msg("%s: status %d, message: %s", corpus[i].what, status, error.message);
        assert_true(!status == !!weights);
        dipp_weights_destroy(&weights);
        assert_int_equal(dipp_weights_open_memory(file, size, "x", &weights, NULL),
                         corpus[i].status); /* no text wanted */
        dipp_weights_destroy(&weights);
        LLVMFuzzerTestOneInput(file, size);
        free(file);
    }
}

static void lying_header_lengths_are_refused(void **state)
{
    (void)state;
    static const struct {
        uint64_t length;
        const char *said;
    } cases[] = {{3, "cut short"},
                 {100000000, "cut short"},
                 {100000001, "at most 100000000 bytes, found a length of 100000001"},
                 {UINT64_MAX, "found a length of 18446744073709551615"},
                 {UINT64_MAX - 7, "not a safetensors file"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t file[10];
        memcpy(file, &cases[i].length, 8);
        memcpy(file + 8, "{}", 2);
        dipp_weights *weights = NULL;
        dipp_error error = {0};
        assert_int_equal(dipp_weights_open_memory(file, sizeof file, "x", &weights, &error), DIPP_E_FORMAT);
        assert_non_null(strstr(error.message, cases[i].said));
        LLVMFuzzerTestOneInput(file, sizeof file);
    }
}

static void damaged_files_are_survived(void **state)
{
    (void)state;
    for (size_t i = 0; i < CORPUS; i++) {
        size_t size;
        uint8_t *whole = make_file(corpus[i].header, corpus[i].body, &size);
        for (size_t kept = 0; kept < size; kept++) { /* every cut */
            uint8_t *part = malloc(kept ? kept : 1);
            assert_non_null(part);
            memcpy(part, whole, kept);
            dipp_weights *weights = NULL;
            if (!corpus[i].status) /* a broken file may become a good one by a cut, a good one never */
                assert_int_not_equal(dipp_weights_open_memory(part, kept, "x", &weights, NULL), DIPP_OK);
            LLVMFuzzerTestOneInput(part, kept);
            free(part);
        }
        for (uint32_t round = 0; round < 300; round++) { /* up to four bytes changed, half of them to digits */
            uint8_t *copy = malloc(size);
            assert_non_null(copy);
            memcpy(copy, whole, size);
            for (uint32_t change = 0; change <= round % 4; change++) {
                size_t place =
                    (size_t)(dipp_philox_uniform_double(1, 0, round, (uint32_t)i, 2 * change) * (double)size);
                double value = dipp_philox_uniform_double(1, 0, round, (uint32_t)i, 2 * change + 1);
                copy[place] = round % 2 ? (uint8_t)(value * 256) : (uint8_t)('0' + (int)(value * 10));
            }
            LLVMFuzzerTestOneInput(copy, size);
            free(copy);
        }
        free(whole);
    }
}

static void tensors_are_found_and_converted(void **state)
{
    (void)state;
    size_t size;
    uint8_t *file = make_file("{\"__metadata__\":{\"format\":\"pt\"}," TENSOR("odd", "U8", "[1]", "0", "1") "," TENSOR(
                                  "w", "F32", "[2,2]", "1",
                                  "17") "," TENSOR("half", "F16", "[2]", "17",
                                                   "21") "," TENSOR("s", "F64", "[]", "21",
                                                                    "29") "," TENSOR("i", "I64", "[1]", "29", "37") "}",
                              37, &size);
    const float values[4] = {1, -2.5f, 3e-30f, 4e30f};
    const uint16_t halves[2] = {0x3c00, 0x0001};
    const double scalar = 0.1;
    uint8_t *body = file + size - 37;
    memcpy(body + 1, values, 16), memcpy(body + 17, halves, 4), memcpy(body + 21, &scalar, 8);
    dipp_weights *weights = NULL;
    dipp_error error = {0};
    assert_int_equal(dipp_weights_open_memory(file, size, "x", &weights, &error), DIPP_OK);
    assert_int_equal(dipp_weights_count(weights), 5);
    assert_string_equal(dipp_weights_at(weights, 0)->name, "half");
    assert_string_equal(dipp_weights_at(weights, 4)->name, "w");
    assert_string_equal(dipp_weights_metadata(weights, "format"), "pt");
    assert_null(dipp_weights_metadata(weights, "none"));
    assert_null(dipp_weights_find(weights, "ww"));
    float out[4];
    const uint64_t shape[2] = {2, 2}, other[2] = {4, 1};
    assert_int_equal(dipp_weights_load_f32(weights, "w", 2, shape, out, &error), DIPP_OK);
    assert_memory_equal(out, values, sizeof values);
    assert_int_equal(dipp_weights_load_f32(weights, "s", 0, NULL, out, &error), DIPP_OK);
    assert_true(out[0] == 0.1f);
    assert_int_equal(dipp_weight_tensor_to_f32(dipp_weights_find(weights, "half"), out, 2, &error), DIPP_OK);
    assert_true(out[0] == 1 && out[1] == 0x1p-24f);
    assert_int_equal(dipp_weight_tensor_to_f32(dipp_weights_find(weights, "half"), out, 3, &error), DIPP_E_INVALID);
    assert_non_null(strstr(error.message, "expected 3 elements, found 2"));
    assert_int_equal(dipp_weights_load_f32(weights, "w", 2, other, out, &error), DIPP_E_INVALID);
    assert_string_equal(error.message, "x: tensor \"w\": expected shape [4, 1], found [2, 2]");
    assert_int_equal(dipp_weights_load_f32(weights, "w", 1, other, out, &error), DIPP_E_INVALID);
    assert_int_equal(dipp_weights_load_f32(weights, "i", 1, shape, out, &error), DIPP_E_INVALID);
    assert_non_null(strstr(error.message, "found I64"));
    assert_int_equal(dipp_weights_load_f32(weights, "hulf", 1, shape, out, &error), DIPP_E_NOT_FOUND);
    assert_non_null(strstr(error.message, "the nearest name is \"half\""));
    dipp_weights_destroy(&weights);
    free(file);
}

static void any_allocation_may_fail(void **state)
{
    (void)state;
    size_t size;
    uint8_t *file = make_file(corpus[3].header, corpus[3].body, &size);
    uint64_t nth = 1;
    for (;; nth++) {
        dipp_weights *weights = NULL;
        dipp_error error = {0};
        dipp_memory_fail_nth(nth, false);
        dipp_status status = dipp_weights_open_memory(file, size, "x", &weights, &error);
        bool failed = dipp_memory_has_failed();
        dipp_memory_fail_nth(0, false);
        assert_int_equal(status, failed ? DIPP_E_MEMORY : DIPP_OK);
        assert_true(!weights == failed);
        dipp_weights_destroy(&weights);
        if (!failed)
            break;
    }
    assert_true(nth > 3);
    free(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_case_is_judged_and_named), cmocka_unit_test(lying_header_lengths_are_refused),
        cmocka_unit_test(damaged_files_are_survived),     cmocka_unit_test(tensors_are_found_and_converted),
        cmocka_unit_test(any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
