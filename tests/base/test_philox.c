#include "base/philox.h"
#include "base/philox_math.h"
#include "philox_bits.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const uint64_t SEED = 0x0123456789abcdefu;

/* Random123, tests/kat_vectors, the three lines of philox4x32 with 10 rounds: counter, key, expected. */
static void known_answers(void **state)
{
    (void)state;
    static const uint32_t cases[3][10] = {
        {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
        {~0u, ~0u, ~0u, ~0u, ~0u, ~0u, 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
        {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09, 0x94fdcceb, 0x5001e420,
         0x24126ea1}};
    for (size_t i = 0; i < 3; i++) {
        uint32_t out[4];
        dipp_philox4x32(cases[i] + 4, cases[i], out);
        assert_memory_equal(out, cases[i] + 6, sizeof out);
    }
}

static void first_normals_have_golden_bits(void **state)
{
    (void)state;
    static const uint32_t golden[16] = {0x3ffa5ce0, 0x3f77d403, 0x3fde86ed, 0x3f62e1af, 0x3f26015c, 0x3fe9906e,
                                        0xbfa4c05c, 0xbfabfd13, 0xbe537209, 0xbed103c8, 0x3f8ba2a4, 0x3f952a78,
                                        0xbf06d70c, 0x3ed3f8e7, 0xc02dcea6, 0x3fa07a4d};
    float out[16];
    dipp_philox_normal_fill(out, 16, 1, SEED, 7, 3, 5);
    assert_memory_equal(out, golden, sizeof golden);
}

/* The golden bits are not merely self-made: the same words through double precision libm agree to float rounding. */
static void normals_are_box_muller_of_the_words(void **state)
{
    (void)state;
    for (uint32_t block = 0; block < 50000; block++) {
        const uint32_t key[2] = {(uint32_t)SEED, (uint32_t)(SEED >> 32)}, counter[4] = {block, 5, 3, 7};
        uint32_t words[4];
        float normals[4];
        dipp_philox4x32(key, counter, words);
        dipp_normals_of_bits(words, normals);
        for (int pair = 0; pair < 4; pair += 2) {
            double u = ((double)words[pair] + 0.5) * 0x1p-32,
                   angle = 2 * 3.14159265358979323846 * words[pair + 1] * 0x1p-32;
            double radius = sqrt(-2 * log(u));
            /* u is rounded to 24 bits, which moves a small radius by up to 2^-25 / radius */
            double allowed = 3e-7 * (radius + 0.1 / radius);
            assert_true(fabs(normals[pair] - radius * cos(angle)) < allowed);
            assert_true(fabs(normals[pair + 1] - radius * sin(angle)) < allowed);
        }
    }
}

static void extreme_words_give_finite_normals(void **state)
{
    (void)state;
    static const uint32_t words[] = {0,          1,          2,          0x1fffffff, 0x20000000,
                                     0x3fffffff, 0x40000000, 0x7fffffff, 0x80000000, 0x80000001,
                                     0xdfffffff, 0xe0000000, 0xfffffffe, 0xffffffff};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        float u = dipp_uniform_of_bits(words[i]);
        assert_true(u > 0 && u < 1);
        double d = dipp_uniform_double_of_bits((uint64_t)words[i] << 32 | words[i]);
        assert_true(d > 0 && d < 1);
        for (size_t j = 0; j < sizeof words / sizeof *words; j++) {
            float first, second;
            dipp_normal_pair_of_bits(words[i], words[j], &first, &second);
            assert_true(isfinite(first) && isfinite(second) && hypotf(first, second) < 6.77f);
        }
    }
    float most, rest;
    dipp_normal_pair_of_bits(0, 0, &most, &rest);
    assert_true(most > 6.76f && rest == 0);
    assert_true(dipp_uniform_double_of_bits(~UINT64_C(0)) == 1 - 0x1p-53);
}

static int compare_floats(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static void a_million_normals_are_normal(void **state)
{
    (void)state;
    enum { PER_SAMPLE = 4000, SAMPLES = 250, COUNT = PER_SAMPLE * SAMPLES };
    float *x = malloc(COUNT * sizeof *x);
    assert_non_null(x);
    dipp_philox_normal_fill(x, PER_SAMPLE, SAMPLES, SEED, 1, 0, 0);
    double sum = 0, squares = 0, cubes = 0, fourths = 0, neighbours = 0, across = 0;
    for (size_t i = 0; i < COUNT; i++) {
        double v = x[i];
        sum += v, squares += v * v, cubes += v * v * v, fourths += v * v * v * v;
        if (i)
            neighbours += v * x[i - 1];
        if (i >= PER_SAMPLE)
            across += v * x[i - PER_SAMPLE];
    }
    const double n = COUNT, sigmas = 4.5; /* standard errors: 1, sqrt 2, sqrt 15, sqrt 96, 1 over sqrt n */
    assert_true(fabs(sum / n) < sigmas / sqrt(n));
    assert_true(fabs(squares / n - 1) < sigmas * sqrt(2 / n));
    assert_true(fabs(cubes / n) < sigmas * sqrt(15 / n));
    assert_true(fabs(fourths / n - 3) < sigmas * sqrt(96 / n));
    assert_true(fabs(neighbours / n) < sigmas / sqrt(n));
    assert_true(fabs(across / n) < sigmas / sqrt(n));

    qsort(x, COUNT, sizeof *x, compare_floats);
    double distance = 0;
    for (size_t i = 0; i < COUNT; i++) {
        double cdf = 0.5 * erfc(-x[i] / sqrt(2));
        distance = fmax(distance, fmax(fabs(cdf - (double)i / n), fabs((double)(i + 1) / n - cdf)));
    }
    assert_true(distance * sqrt(n) < 1.95); /* Kolmogorov's law exceeds 1.95 with probability 0.001 */
    static const double edges[] = {2, 3, 4, 4.5};
    for (size_t k = 0; k < 4; k++) {
        double beyond = 0;
        for (size_t i = 0; i < COUNT; i++)
            beyond += fabsf(x[i]) > edges[k];
        double expected = n * erfc(edges[k] / sqrt(2));
        assert_true(fabs(beyond - expected) < 4.5 * sqrt(expected));
    }
    free(x);
}

static void a_million_uniforms_are_uniform(void **state)
{
    (void)state;
    enum { COUNT = 1000000, BINS = 1000 };
    float *x = malloc(COUNT * sizeof *x);
    assert_non_null(x);
    dipp_philox_uniform_fill(x, COUNT, 1, SEED, 2, 0, 0);
    static double bins[BINS];
    for (size_t i = 0; i < COUNT; i++) {
        assert_true(x[i] > 0 && x[i] < 1);
        bins[(int)(x[i] * BINS)]++;
    }
    double chi_squared = 0;
    for (size_t i = 0; i < BINS; i++)
        chi_squared += (bins[i] - COUNT / BINS) * (bins[i] - COUNT / BINS) / (COUNT / BINS);
    assert_true(fabs(chi_squared - (BINS - 1)) < 4.5 * sqrt(2 * (BINS - 1)));
    free(x);
    double sum = 0;
    for (uint32_t i = 0; i < 100000; i++)
        sum += dipp_philox_uniform_double(SEED, 3, 0, i, i & 1);
    assert_true(fabs(sum / 100000 - 0.5) < 4.5 / sqrt(12.0 * 100000));
}

static void compiler_flags_do_not_change_bits(void **state)
{
    (void)state;
    enum { BLOCKS = 65536 };
    size_t bytes = 4 * BLOCKS * sizeof(uint32_t);
    uint32_t *plain = malloc(2 * bytes), *optimised = malloc(2 * bytes);
    float *filled = malloc(bytes);
    assert_true(plain && optimised && filled);
    philox_bits_plain(BLOCKS, plain, plain + 4 * BLOCKS);
    philox_bits_optimised(BLOCKS, optimised, optimised + 4 * BLOCKS);
    assert_memory_equal(plain, optimised, 2 * bytes);
    dipp_philox_normal_fill(filled, 4 * BLOCKS, 1, SEED, 7, 3, 5);
    assert_memory_equal(filled, plain, bytes);
    dipp_philox_uniform_fill(filled, 4 * BLOCKS, 1, SEED, 7, 3, 5);
    assert_memory_equal(filled, plain + 4 * BLOCKS, bytes);
    free(plain), free(optimised), free(filled);
}

static void instruction_sets_do_not_change_bits(void **state)
{
    (void)state;
    enum { ROOM = 5000 };
    static float expected[ROOM + 1], found[ROOM + 1];
    static const size_t counts[] = {0, 1, 3, 4, 255, 256, 257, 1023, 1666};
    const dipp_philox_path *portable = &dipp_philox_paths[dipp_philox_path_count - 1];
    assert_true(portable->supported());
    for (size_t p = 0; p < dipp_philox_path_count; p++) {
        const dipp_philox_path *path = &dipp_philox_paths[p];
        if (!path->supported()) {
            print_message("this CPU lacks %s; not compared\n", path->name);
            continue;
        }
        for (size_t c = 0; c < sizeof counts / sizeof *counts; c++)
            for (int normal = 0; normal < 2; normal++) {
                for (size_t i = 0; i <= ROOM; i++)
                    expected[i] = found[i] = -77;
                (normal ? portable->normal_fill : portable->uniform_fill)(expected, counts[c], 3, SEED, 9, 2, ~0u);
                (normal ? path->normal_fill : path->uniform_fill)(found, counts[c], 3, SEED, 9, 2, ~0u);
                assert_memory_equal(expected, found, sizeof found);
                assert_true(found[3 * counts[c]] == -77); /* nothing past the end */
            }
    }
}

/* The address alone decides the number: not the batch, not how many elements are drawn. */
static void numbers_depend_on_their_address_alone(void **state)
{
    (void)state;
    enum { COUNT = 1000 };
    static float all[8][COUNT], one[COUNT], head[10];
    dipp_philox_normal_fill(all[0], COUNT, 8, SEED, 4, 11, 100);
    for (uint32_t s = 0; s < 8; s++) {
        dipp_philox_normal_fill(one, COUNT, 1, SEED, 4, 11, 100 + s);
        assert_memory_equal(one, all[s], sizeof one);
        dipp_philox_normal_fill(head, 10, 1, SEED, 4, 11, 100 + s);
        assert_memory_equal(head, all[s], sizeof head);
    }
    static const struct {
        uint64_t seed;
        uint32_t stream, step, sample;
    } others[] = {{SEED + 1, 4, 11, 100},
                  {SEED ^ UINT64_C(1) << 40, 4, 11, 100},
                  {SEED, 5, 11, 100},
                  {SEED, 4, 12, 100},
                  {SEED, 4, 11, 99}};
    for (size_t i = 0; i < 5; i++) {
        dipp_philox_normal_fill(one, COUNT, 1, others[i].seed, others[i].stream, others[i].step, others[i].sample);
        double product = 0;
        for (size_t e = 0; e < COUNT; e++)
            product += (double)one[e] * all[0][e];
        assert_true(fabs(product) < 4.5 * sqrt(COUNT));
    }
    /* doubles: two a block, first the words 0 and 1 */
    const uint32_t key[2] = {(uint32_t)SEED, (uint32_t)(SEED >> 32)}, counter[4] = {3, 100, 11, 4};
    uint32_t words[4];
    dipp_philox4x32(key, counter, words);
    assert_true(dipp_philox_uniform_double(SEED, 4, 11, 100, 7) ==
                dipp_uniform_double_of_bits((uint64_t)words[3] << 32 | words[2]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(first_normals_have_golden_bits),
        cmocka_unit_test(normals_are_box_muller_of_the_words),
        cmocka_unit_test(extreme_words_give_finite_normals),
        cmocka_unit_test(a_million_normals_are_normal),
        cmocka_unit_test(a_million_uniforms_are_uniform),
        cmocka_unit_test(compiler_flags_do_not_change_bits),
        cmocka_unit_test(instruction_sets_do_not_change_bits),
        cmocka_unit_test(numbers_depend_on_their_address_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
