/* Files as numpy writes them, and what an .npy file may not say. */
#include "base/memory.h"
#include "base/philox.h"
#include "data/npy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A file of this version, header and body in an exactly sized block, so that a sanitizer sees one byte too many. */
static uint8_t *make_file(int version, const char *header, const void *body, size_t bytes, size_t *size)
{
    size_t start = version == 1 ? 10 : 12, length = strlen(header);
    *size = start + length + bytes;
    uint8_t *file = calloc(1, *size);
    assert_non_null(file);
    memcpy(file, "\x93NUMPY", 6);
    file[6] = (uint8_t)version;
    file[8] = (uint8_t)length;
    file[9] = (uint8_t)(length >> 8);
    memcpy(file + start, header, length);
    if (bytes)
        memcpy(file + start + length, body, bytes);
    return file;
}

static void numbers_are_read_exactly(void **state)
{
    (void)state;
    static const float singles[6] = {1, -2.5f, 3e-30f, 0.1f, 5, 6};
    static const double doubles[6] = {0.1, 1e300, -1e-300, 4, 5, 6};
    static const uint16_t halves[6] = {0x3c00, 0x0001, 0xc000, 0x7bff, 0x3555, 0x8000};
    static const double of_halves[6] = {1, 0x1p-24, -2, 65504, 0.333251953125, -0.0};
    static const struct {
        int version;
        const char *header;
        size_t width, rows, columns;
    } cases[] = {
        {1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }            \n", 4, 2, 3},
        {1, "{'descr': '<f4', 'fortran_order': False, 'shape': (6,), }\n", 4, 1, 6},
        {2, "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 2), }\n", 8, 3, 2},
        {3, "{'descr': '<f2', 'fortran_order': False, 'shape': (6, 1), }\n", 2, 6, 1},
        {1, "{'shape':(1,6),'descr':'<f2','fortran_order':True}", 2, 1, 6},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t size;
        dipp_npy array = {0};
        dipp_error error = {0};
        const void *body = cases[i].width == 8   ? (const void *)doubles
                           : cases[i].width == 4 ? singles
                                                 : (const void *)halves;
        uint8_t *file = make_file(cases[i].version, cases[i].header, body, 6 * cases[i].width, &size);
        if (dipp_npy_read_memory(file, size, "x.npy", &array, &error))
            fail_msg("%s", error.message);
        assert_int_equal(array.rows, cases[i].rows);
        assert_int_equal(array.columns, cases[i].columns);
        for (size_t k = 0; k < 6; k++)
            assert_true(array.values[k] == (cases[i].width == 8   ? doubles[k]
                                            : cases[i].width == 4 ? (double)singles[k]
                                                                  : of_halves[k]));
        dipp_npy_clear(&array);
        free(file);
    }
}

#define HEADER(type, order, shape) "{'descr': '" type "', 'fortran_order': " order ", 'shape': " shape ", }\n"

static const struct npy_case {
    const char *what;
    int version;
    const char *header;
    size_t body;
    dipp_status status;
    const char *said;
} cases[] = {
    {"good", 1, HEADER("<f4", "False", "(2, 3)"), 24, DIPP_OK, ""},
    {"no rows", 1, HEADER("<f4", "False", "(0, 3)"), 0, DIPP_OK, ""},
    {"version 0", 0, HEADER("<f4", "False", "(2, 3)"), 24, DIPP_E_UNSUPPORTED, "found 0"},
    {"version 4", 4, HEADER("<f4", "False", "(2, 3)"), 24, DIPP_E_UNSUPPORTED, "format 1, 2 or 3, found 4"},
    {"big-endian", 1, HEADER(">f4", "False", "(2, 3)"), 24, DIPP_E_UNSUPPORTED, "found '>f4'"},
    {"integers", 1, HEADER("<i8", "False", "(3,)"), 24, DIPP_E_UNSUPPORTED, "found '<i8'"},
    {"objects", 1, HEADER("|O", "False", "(3,)"), 24, DIPP_E_UNSUPPORTED, "found '|O'"},
    {"a long type", 1, HEADER("<f4444444444", "False", "(3,)"), 24, DIPP_E_FORMAT, "the header is not a dict"},
    {"a structure", 1, "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3,), }", 12, DIPP_E_FORMAT,
     "not a dict of descr"},
    {"Fortran's order", 1, HEADER("<f4", "True", "(2, 3)"), 24, DIPP_E_UNSUPPORTED, "expected C order"},
    {"a scalar", 1, HEADER("<f4", "False", "()"), 4, DIPP_E_UNSUPPORTED, "found 0"},
    {"three dimensions", 1, HEADER("<f4", "False", "(1, 2, 3)"), 24, DIPP_E_UNSUPPORTED, "found 3"},
    {"too short", 1, HEADER("<f4", "False", "(2, 3)"), 23, DIPP_E_FORMAT, "23 bytes follow"},
    {"too long", 1, HEADER("<f4", "False", "(2, 3)"), 25, DIPP_E_FORMAT, "25 bytes follow"},
    {"huge", 1, HEADER("<f4", "False", "(4294967296, 4294967296)"), 0, DIPP_E_FORMAT, "0 bytes follow"},
    {"huge number", 1, HEADER("<f4", "False", "(99999999999999999999, 1)"), 0, DIPP_E_FORMAT, "not a dict"},
    {"negative", 1, HEADER("<f4", "False", "(-1, 3)"), 0, DIPP_E_FORMAT, "not a dict"},
    {"a key twice", 1, "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (3,)}", 12, DIPP_E_FORMAT,
     "not a dict"},
    {"a key missing", 1, "{'descr': '<f4', 'shape': (3,)}", 12, DIPP_E_FORMAT, "not a dict"},
    {"another key", 1, "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), 'x': 1}", 12, DIPP_E_FORMAT,
     "not a dict"},
    {"no end", 1, "{'descr': '<f4', 'fortran_order': False, 'shape': (3,", 12, DIPP_E_FORMAT, "not a dict"},
    {"empty header", 1, "", 0, DIPP_E_FORMAT, "not a dict"},
};
enum { CASES = sizeof cases / sizeof *cases };

static void every_file_is_judged_and_named(void **state)
{
    (void)state;
    static const uint8_t body[32];
    for (size_t i = 0; i < CASES; i++) {
        size_t size;
        dipp_npy array = {0};
        dipp_error error = {0};
        uint8_t *file = make_file(cases[i].version, cases[i].header, body, cases[i].body, &size);
        dipp_status status = dipp_npy_read_memory(file, size, "x.npy", &array, &error);
        if (status != cases[i].status || !strstr(error.message, cases[i].said) ||
            (status && strncmp(error.message, "x.npy: ", 7)))
            fail_msg("%s: status %d, message: %s", cases[i].what, status, error.message);
        dipp_npy_clear(&array);
        LLVMFuzzerTestOneInput(file, size);
        for (size_t kept = 0; kept < size; kept++) { /* every cut */
            uint8_t *part = malloc(kept ? kept : 1);
            assert_non_null(part);
            memcpy(part, file, kept);
            if (!cases[i].status) /* a wrong file may become right by a cut, a right one never */
                assert_int_not_equal(dipp_npy_read_memory(part, kept, "x", &array, NULL), DIPP_OK);
            LLVMFuzzerTestOneInput(part, kept);
            free(part);
        }
        for (uint32_t round = 0; round < 300; round++) {
            uint8_t *copy = malloc(size);
            assert_non_null(copy);
            memcpy(copy, file, size);
            for (uint32_t change = 0; change <= round % 3; change++) {
                double place = dipp_philox_uniform_double(5, 0, round, (uint32_t)i, 2 * change);
                double value = dipp_philox_uniform_double(5, 0, round, (uint32_t)i, 2 * change + 1);
                copy[(size_t)(place * (double)size)] = (uint8_t)(value * 256);
            }
            LLVMFuzzerTestOneInput(copy, size);
            free(copy);
        }
        free(file);
    }
    dipp_npy array = {0};
    dipp_error error = {0};
    assert_int_equal(dipp_npy_read_memory("not numpy's", 11, "x", &array, &error), DIPP_E_FORMAT);
    assert_non_null(strstr(error.message, "not an .npy file"));
    assert_int_equal(dipp_npy_read("/nonexistent.npy", &array, &error), DIPP_E_NOT_FOUND);
    size_t size;
    uint8_t *file = make_file(1, cases[0].header, body, 24, &size);
    dipp_memory_fail_nth(1, false);
    assert_int_equal(dipp_npy_read_memory(file, size, "x", &array, &error), DIPP_E_MEMORY);
    dipp_memory_fail_nth(0, false);
    free(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_read_exactly),
        cmocka_unit_test(every_file_is_judged_and_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
