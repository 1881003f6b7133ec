/* The arithmetic of every random number in dipp, shared word for word by the host and by device kernels.
 *
 * Bit-identity rests on three rules kept below: every float operation is one written, correctly rounded IEEE
 * operation; a product that feeds a sum is an explicit fused multiply-add; nothing from a mathematical library is
 * called but fmaf and sqrtf, which IEEE 754 defines exactly. A C compiler must run with -ffp-contract=off; a device
 * compiler gets the rounding intrinsics, which it may not contract. See docs/random-numbers.md. */
#ifndef DIPP_BASE_PHILOX_MATH_H
#define DIPP_BASE_PHILOX_MATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__CUDACC__)
#define DIPP_DEVICE_INLINE static __host__ __device__ __forceinline__
#elif defined(__GNUC__)
#define DIPP_DEVICE_INLINE static inline __attribute__((always_inline, unused))
#else
#define DIPP_DEVICE_INLINE static inline
#endif

#if defined(__CUDA_ARCH__)
#define DIPP_FUSED(a, b, c)   __fmaf_rn((a), (b), (c))
#define DIPP_PRODUCT(a, b)    __fmul_rn((a), (b))
#define DIPP_DIFFERENCE(a, b) __fsub_rn((a), (b))
#define DIPP_ROOT(a)          __fsqrt_rn(a)
#else
#define DIPP_FUSED(a, b, c)   fmaf((a), (b), (c))
#define DIPP_PRODUCT(a, b)    ((a) * (b))
#define DIPP_DIFFERENCE(a, b) ((a) - (b))
#define DIPP_ROOT(a)          sqrtf(a)
#endif

/* One Philox4x32-10 block (Salmon et al., SC 2011; constants and order of Random123): key and counter to 128 bits. */
DIPP_DEVICE_INLINE void dipp_philox_block(uint32_t key0, uint32_t key1, uint32_t counter0, uint32_t counter1,
                                          uint32_t counter2, uint32_t counter3, uint32_t *out0, uint32_t *out1,
                                          uint32_t *out2, uint32_t *out3)
{
#if defined(__GNUC__) && !defined(__CUDACC__)
#pragma GCC unroll 10
#endif
    for (int round = 0; round < 10; round++) {
        uint64_t product0 = (uint64_t)0xD2511F53u * counter0;
        uint64_t product1 = (uint64_t)0xCD9E8D57u * counter2;
        uint32_t next0 = (uint32_t)(product1 >> 32) ^ counter1 ^ key0;
        uint32_t next2 = (uint32_t)(product0 >> 32) ^ counter3 ^ key1;
        counter1 = (uint32_t)product1;
        counter3 = (uint32_t)product0;
        counter0 = next0;
        counter2 = next2;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    *out0 = counter0, *out1 = counter1, *out2 = counter2, *out3 = counter3;
}

DIPP_DEVICE_INLINE uint32_t dipp_bits_of_float(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

DIPP_DEVICE_INLINE float dipp_float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Uniform in the open interval (0, 1): the odd multiples of 2^-24, from the upper 23 bits. Exact, no rounding. */
DIPP_DEVICE_INLINE float dipp_uniform_of_bits(uint32_t bits)
{
    return DIPP_PRODUCT((float)(int32_t)(bits >> 9 << 1 | 1u), 0x1p-24f);
}

/* The same in double with the upper 52 bits of a 64 bit word: the odd multiples of 2^-53. */
DIPP_DEVICE_INLINE double dipp_uniform_double_of_bits(uint64_t bits)
{
    return (double)(int64_t)(bits >> 12 << 1 | 1u) * 0x1p-53;
}

/* Natural logarithm of a positive normal float, within 1 ulp or so (the test says how much).
 * u = 2^k (1 + f), sqrt(1/2) <= 1 + f < sqrt(2); log(1 + f) = f - f^2/2 + f^3 P(f), P fitted at Chebyshev nodes. */
DIPP_DEVICE_INLINE float dipp_log_fixed(float u)
{
    uint32_t bits = dipp_bits_of_float(u);
    int32_t exponent = (int32_t)(bits - 0x3f3504f3u) >> 23;
    float f = DIPP_DIFFERENCE(dipp_float_of_bits(bits - ((uint32_t)exponent << 23)), 1.0f);
    float k = (float)exponent;
    float p = -0x1.43b246p-4f;
    p = DIPP_FUSED(p, f, 0x1.02814ep-3f);
    p = DIPP_FUSED(p, f, -0x1.0a33eap-3f);
    p = DIPP_FUSED(p, f, 0x1.231ce6p-3f);
    p = DIPP_FUSED(p, f, -0x1.54d03ep-3f);
    p = DIPP_FUSED(p, f, 0x1.999f14p-3f);
    p = DIPP_FUSED(p, f, -0x1.0000cep-2f);
    p = DIPP_FUSED(p, f, 0x1.555554p-2f);
    float square = DIPP_PRODUCT(f, f);
    float tail = DIPP_PRODUCT(DIPP_FUSED(p, f, -0.5f), square); /* -f^2/2 + f^3 P(f) */
    tail = DIPP_FUSED(k, -0x1.05c61p-29f, tail);                /* log 2 = 0x1.62e43p-1 - 0x1.05c61p-29 */
    return DIPP_FUSED(k, 0x1.62e43p-1f, f + tail);
}

/* cos and sin of 2 pi x / 2^32. The quadrant is taken off in integers, so nothing is lost before the polynomials. */
DIPP_DEVICE_INLINE void dipp_cosine_sine_fixed(uint32_t x, float *cosine, float *sine)
{
    uint32_t quadrant = (x + 0x20000000u) >> 30;
    int32_t rest = (int32_t)(x - (quadrant << 30)); /* in [-2^29, 2^29) */
    float y = DIPP_PRODUCT((float)rest, 0x1p-31f);  /* in [-1/4, 1/4], units of pi */
    float z = DIPP_PRODUCT(y, y);
    float s = -0x1.2ee7bcp-1f;
    s = DIPP_FUSED(s, z, 0x1.4665e8p+1f);
    s = DIPP_FUSED(s, z, -0x1.4abbccp+2f);
    s = DIPP_FUSED(s, z, 0x1.921fb6p+1f);
    s = DIPP_PRODUCT(s, y);
    float c = 0x1.db6492p-3f;
    c = DIPP_FUSED(c, z, -0x1.55cb98p+0f);
    c = DIPP_FUSED(c, z, 0x1.03c1eap+2f);
    c = DIPP_FUSED(c, z, -0x1.3bd3ccp+2f);
    c = DIPP_FUSED(c, z, 1.0f);
    uint32_t sine_bits = dipp_bits_of_float(s), cosine_bits = dipp_bits_of_float(c);
    uint32_t swap = 0u - (quadrant & 1u); /* all ones in the odd quadrants */
    uint32_t exchanged = (sine_bits ^ cosine_bits) & swap;
    *cosine = dipp_float_of_bits((cosine_bits ^ exchanged) ^ ((quadrant + 1u) & 2u) << 30);
    *sine = dipp_float_of_bits((sine_bits ^ exchanged) ^ (quadrant & 2u) << 30);
}

/* Two independent standard normals from two words by Box and Muller. The radius uses all 32 bits, so the largest
 * magnitude is sqrt(66 log 2) = 6.76 (a standard normal exceeds it once in 7e10 draws). */
DIPP_DEVICE_INLINE void dipp_normal_pair_of_bits(uint32_t radius_bits, uint32_t angle_bits, float *first, float *second)
{
    float u = DIPP_FUSED((float)radius_bits, 0x1p-32f, 0x1p-33f); /* in [2^-33, 1] */
    float radius = DIPP_ROOT(DIPP_PRODUCT(-2.0f, dipp_log_fixed(u)));
    float cosine, sine;
    dipp_cosine_sine_fixed(angle_bits, &cosine, &sine);
    *first = DIPP_PRODUCT(radius, cosine);
    *second = DIPP_PRODUCT(radius, sine);
}

/* Four words of a block to its four normals. */
DIPP_DEVICE_INLINE void dipp_normals_of_bits(const uint32_t bits[4], float normals[4])
{
    dipp_normal_pair_of_bits(bits[0], bits[1], &normals[0], &normals[1]);
    dipp_normal_pair_of_bits(bits[2], bits[3], &normals[2], &normals[3]);
}

#endif
