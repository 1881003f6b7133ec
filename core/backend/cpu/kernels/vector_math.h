/* Elementary functions as straight-line code that a compiler turns into vector instructions. Errors are at most about
 * 2 units in the last place of f32 in the normal range; coefficients are interpolations at Chebyshev nodes. */
#ifndef DIPP_BACKEND_CPU_VECTOR_MATH_H
#define DIPP_BACKEND_CPU_VECTOR_MATH_H

#include "backend/cpu/kernels/row.h"

#include <math.h>

/* Adding this rounds a float to an integer, nearest even, and leaves the integer in the low bits of the sum. */
#define ROUNDING_SHIFT 0x1.8p+23f

/* exp(x) / 2^n with n = round(x / log 2), for moderate x; *shifted gets n + ROUNDING_SHIFT. */
static inline float exp_mantissa(float x, float *shifted)
{
    *shifted = x * 0x1.715476p+0f + ROUNDING_SHIFT;
    float n = *shifted - ROUNDING_SHIFT;
    float r = x - n * 0x1.62e400p-1f; /* log 2 in two parts, the first exact in the product */
    r = r - n * 0x1.7f7d1cp-20f;
    float p = 1.392692661e-03f;
    p = p * r + 8.363773874e-03f;
    p = p * r + 4.166655011e-02f;
    p = p * r + 1.666657338e-01f;
    p = p * r + 5.000000000e-01f;
    return 1.0f + (r + p * (r * r));
}

static inline float vector_exp(float x)
{
    float limited = x > 89.0f ? 89.0f : (x < -104.0f ? -104.0f : x), shifted;
    float value = exp_mantissa(limited, &shifted);
    /* 2^n in two factors, so that results below the normal range round once. */
    int32_t n = (int32_t)(bits_of_float(shifted) - bits_of_float(ROUNDING_SHIFT)), half = n >> 1;
    return value * float_of_bits((uint32_t)(half + 127) << 23) * float_of_bits((uint32_t)(n - half + 127) << 23);
}

/* The same with x held in [-60, 60], where one factor is enough: for sigmoids and distributions, which have reached
 * their limits there. A wider range would make compilers multiply by numbers so small that the (unselected) products
 * are subnormal, which costs a hundred cycles each. */
static inline float vector_exp_limited(float x)
{
    float limited = x > 60.0f ? 60.0f : (x < -60.0f ? -60.0f : x), shifted;
    float value = exp_mantissa(limited, &shifted);
    return value * float_of_bits((bits_of_float(shifted) << 23) + 0x3f800000u);
}

/* For arguments that are not above zero by more than rounding; 0 below -87: softmax. */
static inline float vector_exp_of_negative(float x)
{
    float limited = x < -87.0f ? -87.0f : x, shifted;
    float value = exp_mantissa(limited, &shifted);
    float result = value * float_of_bits((bits_of_float(shifted) << 23) + 0x3f800000u);
    return x < -87.0f ? 0.0f : result;
}

static inline float vector_sigmoid(float x)
{
    return 1.0f / (1.0f + vector_exp_limited(-x));
}

static inline float vector_tanh(float x)
{
    float t = fabsf(x), s = x * x;
    float p = -8.520279390e-04f;
    p = p * s + 3.295133982e-03f;
    p = p * s - 8.786492930e-03f;
    p = p * s + 2.185905926e-02f;
    p = p * s - 5.396757029e-02f;
    p = p * s + 1.333333164e-01f;
    p = p * s - 3.333333333e-01f;
    float near = x + x * (s * p);
    float far = 1.0f - 2.0f / (vector_exp_limited(2.0f * (t > 20.0f ? 20.0f : t)) + 1.0f);
    far = copysignf(far, x);
    float result = t < 0.625f ? near : far;
    return x == x ? result : x;
}

/* log erfc(t) for 0.9 <= t <= 4. */
static inline float log_erfc(float t)
{
    float p = 1.643063658e-06f;
    p = p * t - 4.616385868e-05f;
    p = p * t + 5.975857707e-04f;
    p = p * t - 4.762625835e-03f;
    p = p * t + 2.642763716e-02f;
    p = p * t - 1.100871665e-01f;
    p = p * t - 6.318239181e-01f;
    p = p * t - 1.130231055e+00f;
    p = p * t + 3.185396643e-04f;
    return p;
}

/* erf(x) for |x| < 0.93. */
static inline float erf_near_zero(float x)
{
    float s = x * x;
    float p = 8.334718624e-05f;
    p = p * s - 8.134709335e-04f;
    p = p * s + 5.200368587e-03f;
    p = p * s - 2.685915147e-02f;
    p = p * s + 1.128369152e-01f;
    p = p * s - 3.761263352e-01f;
    p = p * s + 1.283791671e-01f;
    return x + x * p;
}

/* The standard normal distribution function. The tail on the left is computed as such, not as 1 - 1. */
static inline float vector_normal_distribution(float x)
{
    float y = x * 0.707106781f, t = fabsf(y);
    float tail = 0.5f * vector_exp_limited(log_erfc(t > 4.0f ? 4.0f : t));
    tail = t > 4.0f ? 0.0f : tail;
    float far = x < 0.0f ? tail : 1.0f - tail;
    float result = t < 0.93f ? 0.5f + 0.5f * erf_near_zero(y) : far;
    return x == x ? result : x;
}

static inline float vector_normal_density(float x)
{
    return 0.398942280f * vector_exp_of_negative(-0.5f * x * x);
}

static inline float vector_gelu_erf_slope(float x)
{
    return vector_normal_distribution(x) + x * vector_normal_density(x);
}

/* s(u) + v s(u) s(-u), the slope of x s(u(x)) when v = x u'(x); s(-u) without the cancellation of 1 - s(u). */
static inline float vector_gated_slope(float u, float v)
{
    float e = vector_exp_limited(-u), gate = 1.0f / (1.0f + e);
    return gate + v * gate * (e * gate);
}

static inline float vector_silu_slope(float x)
{
    return vector_gated_slope(x, x);
}

/* sine (quarter 0) or cosine (quarter 1) of a double argument below 2^30 in magnitude: reduced in double, polynomials
 * in float. Larger arguments lose digits as in any double reduction with a two-part pi. */
static inline float vector_sine(double x, int32_t quarter)
{
    double n = rint(x * 0x1.45f306dc9c883p-1);
    double r = (x - n * 0x1.921fb54442d18p+0) - n * 0x1.1a62633145c07p-54;
    float y = (float)r, s = y * y;
    int32_t quadrant = (int32_t)n + quarter;
    float p = 2.724378144e-06f;
    p = p * s - 1.984003887e-04f;
    p = p * s + 8.333331785e-03f;
    p = p * s - 1.666666666e-01f;
    float sine = y + y * (s * p);
    float q = -2.729582559e-07f;
    q = q * s + 2.480056037e-05f;
    q = q * s - 1.388888760e-03f;
    q = q * s + 4.166666666e-02f;
    float cosine = (1.0f - 0.5f * s) + s * s * q;
    float value = quadrant & 1 ? cosine : sine;
    return quadrant & 2 ? -value : value;
}

/* Natural logarithm of a positive normal number. */
static inline float vector_log(float x)
{
    uint32_t bits = bits_of_float(x);
    int32_t exponent = (int32_t)(bits - 0x3f3504f3u) >> 23;
    float f = float_of_bits(bits - ((uint32_t)exponent << 23)) - 1.0f;
    float k = (float)exponent;
    float p = -0x1.43b246p-4f;
    p = p * f + 0x1.02814ep-3f;
    p = p * f - 0x1.0a33eap-3f;
    p = p * f + 0x1.231ce6p-3f;
    p = p * f - 0x1.54d03ep-3f;
    p = p * f + 0x1.999f14p-3f;
    p = p * f - 0x1.0000cep-2f;
    p = p * f + 0x1.555554p-2f;
    float square = f * f;
    float tail = (p * f - 0.5f) * square + k * -0x1.05c61p-29f;
    return k * 0x1.62e43p-1f + (f + tail);
}

#endif
