/* Codes of 8-bit moments against the published map, and random rounding by counting over all random bits. */
#include "tensor/state_format.h"

#include "state_codes_published.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <cmocka.h>

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void values_are_those_of_the_published_map(void **state)
{
    (void)state;
    for (int is_signed = 0; is_signed < 2; is_signed++) {
        const float *published = is_signed ? published_signed : published_unsigned;
        float values[256];
        for (uint32_t code = 0; code < 256; code++)
            values[code] = dipp_code_value(is_signed, code);
        if (!is_signed) /* in order as they are */
            for (int i = 1; i < 256; i++)
                assert_true(values[i] > values[i - 1]);
        qsort(values, 256, sizeof *values, by_value);
        for (int i = 0; i < 256; i++) /* there each number went through several roundings to single precision */
            if (!(fabsf(values[i] - published[i]) <= 4e-7f * fabsf(published[i])))
                fail_msg("value %d is %.9g, published is %.9g", i, (double)values[i], (double)published[i]);
    }
    assert_true(dipp_code_value(1, 0) == 0 && dipp_code_value(0, 0) == 0); /* zeroed memory */
}

static void every_value_has_its_code(void **state)
{
    (void)state;
    for (uint32_t code = 0; code < 256; code++) {
        assert_int_equal(dipp_signed_code(dipp_code_value(1, code)), code);
        assert_int_equal(dipp_unsigned_code(dipp_code_value(0, code), 1.0f), code ? code : 1);
    }
}

static double distance(int is_signed, int32_t code, float u)
{
    return fabs((double)dipp_code_value(is_signed, (uint32_t)code) - (double)u);
}

/* All 256 against the closed form, on a grid that is even in the logarithm, and on both sides of every halfway point. */
static void codes_are_the_nearest(void **state)
{
    (void)state;
    for (int is_signed = 0; is_signed < 2; is_signed++)
        for (int i = 0; i < 40000; i++) {
            float u = (float)exp2(-30.0 * i / 40000);
            u = is_signed && i % 2 ? -u : u;
            int32_t code = is_signed ? dipp_signed_code(u) : dipp_unsigned_code(u, u);
            double best = 2;
            for (int32_t other = 0; other < 256; other++)
                best = fmin(best, distance(is_signed, other, u));
            bool lifted = !is_signed && code == 1; /* zero is for zero alone */
            if (!lifted && !(distance(is_signed, code, u) <= best * (1 + 1e-4) + 1e-12))
                fail_msg("%.9g has code %d, which is off by %.3g; the nearest by %.3g", (double)u, (int)code,
                         distance(is_signed, code, u), best);
        }
    assert_int_equal(dipp_unsigned_code(0.0f, 0.0f), 0);
    assert_int_equal(dipp_unsigned_code(0.0f, 1e-30f), 1);
    assert_int_equal(dipp_signed_code(0.0f), 0);
    assert_int_equal(dipp_signed_code(1e-9f), 0);
    assert_int_equal(dipp_signed_code(-1e-9f), 0);
}

static float rounded(float x, uint32_t random)
{
    return dipp_float_of_bits(dipp_bf16_at_random(x, random) << 16);
}

/* Over all 65536 random numbers the mean is x itself, to the last bit, and only the two neighbours occur. */
static void random_rounding_has_the_number_as_its_mean(void **state)
{
    (void)state;
    static const float numbers[] = {1.0f,    1.001f,     -1.001f, 0.3f,   -0.7071f, 3.0e-39f,
                                    1.2e30f, -65535.99f, 0.0f,    1e-45f, 1.9999f,  -255.3f};
    for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++) {
        float x = numbers[k], low = rounded(x, 0), high = rounded(x, 0xffff);
        double sum = 0;
        for (uint32_t random = 0; random < 65536; random++) {
            float y = rounded(x, random);
            assert_true(y == low || y == high);
            sum += y;
        }
        assert_true(sum / 65536 == (double)x);
        assert_true(fabsf(low) <= fabsf(x) && fabsf(high) >= fabsf(x));
    }
    assert_true(isinf(rounded(INFINITY, 0xffff)) && isinf(rounded(-INFINITY, 0xffff)));
    assert_true(isnan(rounded(NAN, 0xffff)) && isnan(rounded(dipp_float_of_bits(0x7f800001u), 0)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_those_of_the_published_map),
        cmocka_unit_test(every_value_has_its_code),
        cmocka_unit_test(codes_are_the_nearest),
        cmocka_unit_test(random_rounding_has_the_number_as_its_mean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
