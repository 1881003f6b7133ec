#include "weights/number.h"

#include <string.h>

#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "weight files are little-endian and are used in place: this machine needs byte swapping that is not written"
#endif

static const struct {
    const char *name;
    size_t bytes;
    bool is_float;
} formats[DIPP_WEIGHT_DTYPE_COUNT] = {
    [DIPP_WEIGHT_F64] = {"F64", 8, true},  [DIPP_WEIGHT_F32] = {"F32", 4, true},
    [DIPP_WEIGHT_F16] = {"F16", 2, true},  [DIPP_WEIGHT_BF16] = {"BF16", 2, true},
    [DIPP_WEIGHT_I64] = {"I64", 8, false}, [DIPP_WEIGHT_I32] = {"I32", 4, false},
    [DIPP_WEIGHT_U8] = {"U8", 1, false},
};

const char *dipp_weight_dtype_name(dipp_weight_dtype dtype)
{
    return formats[dtype].name;
}

bool dipp_weight_dtype_parse(const char *name, dipp_weight_dtype *dtype)
{
    for (int i = 0; i < DIPP_WEIGHT_DTYPE_COUNT; i++)
        if (!strcmp(name, formats[i].name)) {
            *dtype = (dipp_weight_dtype)i;
            return true;
        }
    return false;
}

size_t dipp_weight_dtype_bytes(dipp_weight_dtype dtype)
{
    return formats[dtype].bytes;
}

bool dipp_weight_dtype_is_float(dipp_weight_dtype dtype)
{
    return formats[dtype].is_float;
}

uint16_t dipp_bf16_of_float(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint32_t rounded = bits + 0x7fffu + (bits >> 16 & 1u); /* half an ulp, less one when already even */
    uint32_t quiet = bits | 0x400000u;                     /* rounding could carry a NaN over to infinity */
    return (uint16_t)(((bits & 0x7fffffffu) > 0x7f800000u ? quiet : rounded) >> 16);
}

float dipp_float_of_bf16(uint16_t half)
{
    uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

float dipp_float_of_f16(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16, magnitude = half & 0x7fffu;
    uint32_t bits = (magnitude << 13) + (112u << 23); /* exponent bias 15 to 127 */
    if (magnitude >= 0x7c00u)
        bits += 112u << 23; /* infinity and NaN */
    float value;
    if (magnitude < 0x0400u) { /* subnormal: an integer multiple of 2^-24, exact in float */
        value = (float)magnitude * 0x1p-24f;
        memcpy(&bits, &value, sizeof bits);
    }
    bits |= sign;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* memcpy of one element at a time is how C reads unaligned storage; it compiles to plain vector loads. */
#define CONVERT_EACH(type, expression)                                 \
    for (size_t i = 0; i < count; i++) {                               \
        type element;                                                  \
        memcpy(&element, source + i * sizeof element, sizeof element); \
        to[i] = (expression);                                          \
    }                                                                  \
    break

void dipp_weight_to_f32(dipp_weight_dtype dtype, const void *from, float *to, size_t count)
{
    const uint8_t *source = from;
    switch (dtype) {
    case DIPP_WEIGHT_F64: CONVERT_EACH(double, (float)element);
    case DIPP_WEIGHT_F32:
        if (count)
            memcpy(to, from, count * sizeof *to);
        break;
    case DIPP_WEIGHT_F16: CONVERT_EACH(uint16_t, dipp_float_of_f16(element));
    case DIPP_WEIGHT_BF16: CONVERT_EACH(uint16_t, dipp_float_of_bf16(element));
    case DIPP_WEIGHT_I64: CONVERT_EACH(int64_t, (float)element);
    case DIPP_WEIGHT_I32: CONVERT_EACH(int32_t, (float)element);
    case DIPP_WEIGHT_U8: CONVERT_EACH(uint8_t, (float)element);
    }
}

bool dipp_weight_from_f32(dipp_weight_dtype dtype, const float *from, void *to, size_t count)
{
    uint8_t *target = to;
    if (dtype == DIPP_WEIGHT_F32) {
        if (count)
            memcpy(to, from, count * sizeof *from);
    } else if (dtype == DIPP_WEIGHT_BF16) {
        for (size_t i = 0; i < count; i++) {
            uint16_t element = dipp_bf16_of_float(from[i]);
            memcpy(target + i * sizeof element, &element, sizeof element);
        }
    } else if (dtype == DIPP_WEIGHT_F64) {
        for (size_t i = 0; i < count; i++) {
            double element = from[i];
            memcpy(target + i * sizeof element, &element, sizeof element);
        }
    } else {
        return false;
    }
    return true;
}
