/* bfloat16 as backends store it: the upper half of a float. Inline, since kernels convert rows by it; for code that is
 * not hot weights/number.h says the same. */
#ifndef DIPP_BASE_BF16_H
#define DIPP_BASE_BF16_H

#include <stdint.h>
#include <string.h>

/* Nearest even; a NaN stays a (quiet) NaN. [any thread] */
static inline uint16_t dipp_bf16_round(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
    return (uint16_t)((bits & 0x7fffffffu) > 0x7f800000u ? (bits >> 16 | 0x40u) : rounded);
}

/* Exact. [any thread] */
static inline float dipp_bf16_widen(uint16_t half)
{
    uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

#endif
