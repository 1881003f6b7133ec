/* See conversion.h. */
#include "backend/cuda/conversion.h"

#include "base/bf16.h"

#include <math.h>
#include <string.h>

static int32_t integer_of(double value)
{
    if (isnan(value))
        return 0;
    return (int32_t)(value < INT32_MIN ? INT32_MIN : value > INT32_MAX ? INT32_MAX : rint(value));
}

static double host_number(const void *host, dipp_host_type type, size_t i)
{
    switch (type) {
    case DIPP_HOST_F32: return (double)((const float *)host)[i];
    case DIPP_HOST_F64: return ((const double *)host)[i];
    default: return (double)((const int32_t *)host)[i];
    }
}

static bool same_bits(dipp_host_type host_type, int32_t type)
{
    return (host_type == DIPP_HOST_F32 && type == DIPP_CUDA_F32) ||
           (host_type == DIPP_HOST_I32 && type == DIPP_CUDA_I32);
}

void dipp_cuda_encode(void *out, int32_t type, const void *host, dipp_host_type host_type, size_t first, size_t count)
{
    if (same_bits(host_type, type)) {
        memcpy(out, (const char *)host + first * 4, count * 4);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        double number = host_number(host, host_type, first + i);
        if (type == DIPP_CUDA_BF16)
            ((uint16_t *)out)[i] = dipp_bf16_round((float)number);
        else if (type == DIPP_CUDA_F32)
            ((float *)out)[i] = (float)number;
        else
            ((int32_t *)out)[i] = integer_of(number);
    }
}

void dipp_cuda_decode(void *host, dipp_host_type host_type, size_t first, const void *in, int32_t type, size_t count)
{
    if (same_bits(host_type, type)) {
        memcpy((char *)host + first * 4, in, count * 4);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        double number = type == DIPP_CUDA_BF16  ? (double)dipp_bf16_widen(((const uint16_t *)in)[i])
                        : type == DIPP_CUDA_F32 ? (double)((const float *)in)[i]
                                                : (double)((const int32_t *)in)[i];
        if (host_type == DIPP_HOST_F32)
            ((float *)host)[first + i] = (float)number;
        else if (host_type == DIPP_HOST_F64)
            ((double *)host)[first + i] = number;
        else
            ((int32_t *)host)[first + i] = integer_of(number);
    }
}
