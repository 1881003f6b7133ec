/* Rows as floats: kernels compute on f32 arrays that fit the first-level cache, whatever the storage is. An f32 row is
 * used where it lies; a bf16 or int32 row is converted into the caller's buffer. Included by the per-level files. */
#ifndef DIPP_BACKEND_CPU_ROW_H
#define DIPP_BACKEND_CPU_ROW_H

#include "backend/cpu/cpu.h"
#include "base/bf16.h"

#include <string.h>

#define DIPP_CPU_PASTE_(a, b) a##_##b
#define DIPP_CPU_PASTE(a, b)  DIPP_CPU_PASTE_(a, b)
/* The name of a door of this level: dipp_cpu_prepare_sum_avx512. */
#define DIPP_CPU_AT_LEVEL(name) DIPP_CPU_PASTE(name, DIPP_CPU_LEVEL)

#define SIMD _Pragma("omp simd")

static inline float float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t bits_of_float(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline void widen(const uint16_t *in, float *out, int64_t n)
{
    SIMD for (int64_t i = 0; i < n; i++) out[i] = dipp_bf16_widen(in[i]);
}

static inline void narrow(const float *in, uint16_t *out, int64_t n)
{
    SIMD for (int64_t i = 0; i < n; i++) out[i] = dipp_bf16_round(in[i]);
}

/* n elements from offset as floats: in place, or in buffer. */
static inline const float *row_load(const void *base, dipp_cpu_type type, int64_t offset, int64_t n, float *buffer)
{
    if (type == DIPP_CPU_F32)
        return (const float *)base + offset;
    if (type == DIPP_CPU_BF16) {
        widen((const uint16_t *)base + offset, buffer, n);
        return buffer;
    }
    const int32_t *in = (const int32_t *)base + offset;
    SIMD for (int64_t i = 0; i < n; i++) buffer[i] = (float)in[i];
    return buffer;
}

/* Where to compute n elements that belong at offset; row_store then puts them there. */
static inline float *row_target(void *base, dipp_cpu_type type, int64_t offset, float *buffer)
{
    return type == DIPP_CPU_F32 ? (float *)base + offset : buffer;
}

static inline void row_store(void *base, dipp_cpu_type type, int64_t offset, int64_t n, const float *buffer)
{
    if (type == DIPP_CPU_BF16)
        narrow(buffer, (uint16_t *)base + offset, n);
}

#endif
