#include "weights/number.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static float of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void bf16_rounds_to_nearest_even(void **state)
{
    (void)state;
    static const struct {
        uint32_t from;
        uint16_t to;
    } cases[] = {{0x3f800000, 0x3f80}, {0x3f807fff, 0x3f80}, {0x3f808000, 0x3f80}, {0x3f808001, 0x3f81},
                 {0x3f818000, 0x3f82}, {0xbf818000, 0xbf82}, {0x7f7fffff, 0x7f80}, {0x7f7f7fff, 0x7f7f},
                 {0x7f800000, 0x7f80}, {0xff800000, 0xff80}, {0x7f800001, 0x7fc0}, {0xffffffff, 0xffff},
                 {0x00000001, 0x0000}, {0x80000000, 0x8000}, {0x00018000, 0x0002}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(dipp_bf16_of_float(of_bits(cases[i].from)), cases[i].to);
    for (uint32_t bits = 0; bits < 65536; bits++) {
        float value = dipp_float_of_bf16((uint16_t)bits);
        if (isnan(value))
            assert_true(isnan(dipp_float_of_bf16(dipp_bf16_of_float(value))));
        else
            assert_int_equal(dipp_bf16_of_float(value), bits);
    }
}

/* Every half, against its definition. */
static void all_halves(void **state)
{
    (void)state;
    for (uint32_t bits = 0; bits < 65536; bits++) {
        int exponent = (int)(bits >> 10 & 31), fraction = (int)(bits & 1023);
        float value = dipp_float_of_f16((uint16_t)bits);
        assert_int_equal(!!signbit(value), bits >> 15);
        if (exponent == 31 && fraction)
            assert_true(isnan(value));
        else if (exponent == 31)
            assert_true(isinf(value));
        else
            assert_true(fabsf(value) ==
                        (exponent ? ldexpf(1024 + (float)fraction, exponent - 25) : ldexpf((float)fraction, -24)));
    }
}

static void unaligned_storage_is_converted(void **state)
{
    (void)state;
    static const float values[5] = {0, 1, -2, 0.5f, 96};
    for (int d = 0; d < DIPP_WEIGHT_DTYPE_COUNT; d++) {
        dipp_weight_dtype dtype = (dipp_weight_dtype)d, parsed;
        assert_true(dipp_weight_dtype_parse(dipp_weight_dtype_name(dtype), &parsed) && parsed == dtype);
        size_t size = dipp_weight_dtype_bytes(dtype);
        for (size_t shift = 0; shift < 3; shift++) {
            uint8_t *storage = malloc(5 * size + shift);
            assert_non_null(storage);
            float back[5];
            bool writable = dipp_weight_from_f32(dtype, values, storage + shift, 5);
            assert_true(writable ==
                        (dtype == DIPP_WEIGHT_F64 || dtype == DIPP_WEIGHT_F32 || dtype == DIPP_WEIGHT_BF16));
            if (writable) {
                dipp_weight_to_f32(dtype, storage + shift, back, 5);
                assert_memory_equal(back, values, sizeof values);
            }
            free(storage);
        }
    }
    float out[2];
    static const uint8_t small[2] = {0, 255};
    dipp_weight_to_f32(DIPP_WEIGHT_U8, small, out, 2);
    assert_true(out[0] == 0 && out[1] == 255);
    static const int32_t integers[2] = {-7, 1 << 24};
    dipp_weight_to_f32(DIPP_WEIGHT_I32, integers, out, 2);
    assert_true(out[0] == -7 && out[1] == 16777216);
    static const int64_t longs[2] = {-7, INT64_C(1) << 40};
    dipp_weight_to_f32(DIPP_WEIGHT_I64, longs, out, 2);
    assert_true(out[0] == -7 && out[1] == 0x1p40f);
    static const double doubles[2] = {1e300, 0.1};
    dipp_weight_to_f32(DIPP_WEIGHT_F64, doubles, out, 2);
    assert_true(isinf(out[0]) && out[1] == 0.1f);
    dipp_weight_dtype parsed = DIPP_WEIGHT_U8;
    assert_false(dipp_weight_dtype_parse("BOOL", &parsed));
    assert_true(parsed == DIPP_WEIGHT_U8 && !dipp_weight_dtype_is_float(DIPP_WEIGHT_U8) &&
                dipp_weight_dtype_is_float(DIPP_WEIGHT_BF16));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bf16_rounds_to_nearest_even),
        cmocka_unit_test(all_halves),
        cmocka_unit_test(unaligned_storage_is_converted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
