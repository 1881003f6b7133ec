/* Philox blocks and the bulk fills. The fills are written once and compiled per instruction set: 64 blocks side by
 * side in three plain loops (words, floats, interleaving) that the compiler turns into vector code. */
#include "base/philox.h"
#include "base/philox_math.h"

enum { LANES = 64 };

void dipp_philox4x32(const uint32_t key[2], const uint32_t counter[4], uint32_t out[4])
{
    dipp_philox_block(key[0], key[1], counter[0], counter[1], counter[2], counter[3], &out[0], &out[1], &out[2],
                      &out[3]);
}

typedef struct block_address {
    uint32_t key0, key1, sample, step, stream;
} block_address;

DIPP_DEVICE_INLINE void fill_lanes(float *out, block_address at, uint32_t first_block, bool normal)
{
    uint32_t words[4][LANES];
    float values[4][LANES];
    for (uint32_t i = 0; i < LANES; i++)
        dipp_philox_block(at.key0, at.key1, first_block + i, at.sample, at.step, at.stream, &words[0][i], &words[1][i],
                          &words[2][i], &words[3][i]);
    if (normal) {
        for (uint32_t half = 0; half < 4; half += 2)
            for (uint32_t i = 0; i < LANES; i++)
                dipp_normal_pair_of_bits(words[half][i], words[half + 1][i], &values[half][i], &values[half + 1][i]);
    } else {
        for (uint32_t j = 0; j < 4; j++)
            for (uint32_t i = 0; i < LANES; i++)
                values[j][i] = dipp_uniform_of_bits(words[j][i]);
    }
    for (uint32_t i = 0; i < LANES; i++)
        for (uint32_t j = 0; j < 4; j++)
            out[4 * i + j] = values[j][i];
}

DIPP_DEVICE_INLINE void fill_block(float *out, uint32_t count, block_address at, uint32_t block, bool normal)
{
    uint32_t words[4];
    float values[4];
    dipp_philox_block(at.key0, at.key1, block, at.sample, at.step, at.stream, &words[0], &words[1], &words[2],
                      &words[3]);
    if (normal)
        dipp_normals_of_bits(words, values);
    else
        for (uint32_t j = 0; j < 4; j++)
            values[j] = dipp_uniform_of_bits(words[j]);
    for (uint32_t j = 0; j < count; j++)
        out[j] = values[j];
}

DIPP_DEVICE_INLINE void fill_samples(float *out, size_t count, uint32_t samples, uint64_t seed, uint32_t stream,
                                     uint32_t step, uint32_t first_sample, bool normal)
{
    for (uint32_t i = 0; i < samples; i++, out += count) {
        block_address at = {(uint32_t)seed, (uint32_t)(seed >> 32), first_sample + i, step, stream};
        size_t done = 0;
        for (; done + 4 * LANES <= count; done += 4 * LANES)
            fill_lanes(out + done, at, (uint32_t)(done / 4), normal);
        for (; done < count; done += 4)
            fill_block(out + done, count - done < 4 ? (uint32_t)(count - done) : 4, at, (uint32_t)(done / 4), normal);
    }
}

#define DEFINE_PATH(name, attributes)                                                                     \
    attributes static void normal_fill_##name(float *out, size_t count, uint32_t samples, uint64_t seed,  \
                                              uint32_t stream, uint32_t step, uint32_t first_sample)      \
    {                                                                                                     \
        fill_samples(out, count, samples, seed, stream, step, first_sample, true);                        \
    }                                                                                                     \
    attributes static void uniform_fill_##name(float *out, size_t count, uint32_t samples, uint64_t seed, \
                                               uint32_t stream, uint32_t step, uint32_t first_sample)     \
    {                                                                                                     \
        fill_samples(out, count, samples, seed, stream, step, first_sample, false);                       \
    }

DEFINE_PATH(portable, )

static bool supported_portable(void)
{
    return true;
}

#if defined(__x86_64__) && defined(__GNUC__)
#if defined(__clang__)
#define AVX512_TARGET "avx512f,avx512dq,avx512bw,avx512vl,avx2,fma"
#else
#define AVX512_TARGET "avx512f,avx512dq,avx512bw,avx512vl,avx2,fma,prefer-vector-width=512"
#endif
DEFINE_PATH(avx512, __attribute__((target(AVX512_TARGET))))
DEFINE_PATH(avx2, __attribute__((target("avx2,fma"))))

static bool supported_avx512(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma");
}

static bool supported_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}
#endif

const dipp_philox_path dipp_philox_paths[] = {
#if defined(__x86_64__) && defined(__GNUC__)
    {"avx512", supported_avx512, normal_fill_avx512, uniform_fill_avx512},
    {"avx2", supported_avx2, normal_fill_avx2, uniform_fill_avx2},
#endif
    {"portable", supported_portable, normal_fill_portable, uniform_fill_portable},
};
const size_t dipp_philox_path_count = sizeof dipp_philox_paths / sizeof *dipp_philox_paths;

static const dipp_philox_path *best_path(void)
{
    const dipp_philox_path *path = dipp_philox_paths;
    while (!path->supported())
        path++;
    return path;
}

void dipp_philox_normal_fill(float *out, size_t count_per_sample, uint32_t samples, uint64_t seed, uint32_t stream,
                             uint32_t step, uint32_t first_sample)
{
    best_path()->normal_fill(out, count_per_sample, samples, seed, stream, step, first_sample);
}

void dipp_philox_uniform_fill(float *out, size_t count_per_sample, uint32_t samples, uint64_t seed, uint32_t stream,
                              uint32_t step, uint32_t first_sample)
{
    best_path()->uniform_fill(out, count_per_sample, samples, seed, stream, step, first_sample);
}

double dipp_philox_uniform_double(uint64_t seed, uint32_t stream, uint32_t step, uint32_t sample, uint32_t index)
{
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    const uint32_t counter[4] = {index / 2, sample, step, stream};
    uint32_t words[4];
    dipp_philox4x32(key, counter, words);
    uint32_t lane = 2 * (index % 2);
    return dipp_uniform_double_of_bits((uint64_t)words[lane + 1] << 32 | words[lane]);
}
