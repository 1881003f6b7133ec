/* How moments and weights are stored below 32 bits; the arithmetic is shared by the host and by device kernels.
 *
 * A packed block of P elements (a multiple of 256) is a row of int32 words:
 *   bf16:  P/2 words, element e in bits 16 (e % 2) of word e / 2
 *   8bit:  P/4 words, the code of element e in bits 8 (e % 4) of word e / 4; then P/256 words, each the bits of the f32
 *          scale of 256 elements: value = code's value * scale, scale = largest magnitude of the 256
 *
 * Codes are those of dynamic tree quantisation (Dettmers et al., arXiv 2110.02861, as bitsandbytes' create_dynamic_map
 * makes them): decades 10^-6 to 1, each cut into cells of equal width whose middles are the values, twice as many cells
 * from decade to decade; and 0 and 1. Signed, for the first moment: sign in bit 7, magnitude k in bits 0 to 6, k = 2^i + j
 * for cell j of the 2^i of decade i, k = 0 for zero; 0x80, which would be minus zero, is 1 (so -1 becomes -0.993, as
 * there). Unsigned, for the second: k + 1 = 2^(i+1) + j, 0 is zero and 255 is 1. Zeroed memory is zeros in every format.
 *
 * bf16 is rounded at random, up with the probability that makes the mean exact: an update far below a unit in the last
 * place, and a decay by 0.999, would be lost for good when rounded to nearest. The 16 random bits of element e are half
 * e % 2 of word e % 8 / 2 of the Philox block {e / 8, part, step, stream}; see DIPP_OP_OPTIMIZER_STEP. */
#ifndef DIPP_TENSOR_STATE_FORMAT_H
#define DIPP_TENSOR_STATE_FORMAT_H

#include "base/philox_math.h"

enum { DIPP_STATE_BLOCK = 256 };

/* Which part of an element's state draws the bits: the block's sample number. */
enum { DIPP_ROUND_WEIGHT = 0, DIPP_ROUND_MOMENT1 = 1, DIPP_ROUND_MOMENT2 = 2 };

/* The value of a code for scale 1. */
DIPP_DEVICE_INLINE float dipp_code_value(int is_signed, uint32_t code)
{
    uint32_t place = is_signed ? code & 127u : code + 1u, cells = is_signed ? 1u : 2u;
    double power = 1e-6;
    if (code == (is_signed ? 128u : 255u))
        return 1.0f;
    if (place < cells)
        return 0.0f;
    for (; place >= 2u * cells; cells *= 2u)
        power *= 10.0;
    double value = power * (0.1 + 0.9 * ((double)(place - cells) + 0.5) / (double)cells);
    return (float)(is_signed && (code & 128u) ? -value : value);
}

/* Where a magnitude in [0, 1] lies: cells + j of the nearest value, first - 1 for zero, 128 first for one; first is the
 * number of cells of the lowest decade. No branches, so that a compiler can make vectors of it. */
DIPP_DEVICE_INLINE int32_t dipp_code_place(float u, float first)
{
    const float down[6] = {1e-6f, 1e-5f, 1e-4f, 1e-3f, 1e-2f, 1e-1f}, up[6] = {1e5f, 1e4f, 1e3f, 1e2f, 1e1f, 1.0f};
    float scale = 1e6f, cells = first, below = first;
#if defined(__GNUC__) && !defined(__CUDACC__)
#pragma GCC unroll 6
#endif
    for (int d = 0; d < 6; d++) {
        /* halfway between the last value of this decade, of `below` cells, and the first of the next */
        int above = u >= down[d] * (1.0f + 0.9f / below);
        below *= 2.0f;
        scale = above ? up[d] : scale;
        cells = above ? below : cells;
    }
    float at = (u * scale - 0.1f) * (cells * (1.0f / 0.9f)), last = cells - 0.5f;
    at = at > 0.0f ? at : 0.0f;
    at = at < last ? at : last;
    int32_t place = (int32_t)cells + (int32_t)at;
    place = u < 0.5e-6f * (0.1f + 0.45f / first) ? (int32_t)first - 1 : place;
    return u >= 1.0f - 0.225f / (64.0f * first) ? 128 * (int32_t)first : place;
}

/* u = value / scale, in [-1, 1]: the nearest code. */
DIPP_DEVICE_INLINE int32_t dipp_signed_code(float u)
{
    int32_t place = dipp_code_place(fabsf(u), 1.0f), minus = u < 0.0f;
    place = minus && place > 127 ? 127 : place;
    return place | (minus && place ? 128 : 0);
}

/* u = value / scale, in [0, 1]: the nearest code, but zero for zero alone: a second moment that was lost would make the
 * next step of this element as large as 1/epsilon. */
DIPP_DEVICE_INLINE int32_t dipp_unsigned_code(float u, float value)
{
    int32_t code = dipp_code_place(u, 2.0f) - 1;
    return code == 0 && value > 0.0f ? 1 : code;
}

/* The upper half of x, or its neighbour away from zero with the probability that makes the mean x; random: 16 bits.
 * Infinities stay, and what is not a number stays so. */
DIPP_DEVICE_INLINE uint32_t dipp_bf16_at_random(float x, uint32_t random)
{
    uint32_t bits = dipp_bits_of_float(x);
    uint32_t finite = (bits + random) >> 16, other = bits >> 16 | ((bits & 0x007fffffu) ? 0x40u : 0u);
    return (bits & 0x7f800000u) == 0x7f800000u ? other : finite;
}

/* The four words of the block of element e (a multiple of 8); key as PHILOX_NORMAL's. */
DIPP_DEVICE_INLINE void dipp_rounding_words(const uint32_t *key, uint32_t part, int64_t e, uint32_t words[4])
{
    dipp_philox_block(key[0], key[1], (uint32_t)(e / 8), part, key[3], key[2], &words[0], &words[1], &words[2],
                      &words[3]);
}

#endif
