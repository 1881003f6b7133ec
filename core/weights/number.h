/* The number formats that weights are stored in, and their conversion to and from float. */
#ifndef DIPP_WEIGHTS_NUMBER_H
#define DIPP_WEIGHTS_NUMBER_H

#include <dipp/status.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum dipp_weight_dtype {
    DIPP_WEIGHT_F64,
    DIPP_WEIGHT_F32,
    DIPP_WEIGHT_F16,
    DIPP_WEIGHT_BF16,
    DIPP_WEIGHT_I64,
    DIPP_WEIGHT_I32,
    DIPP_WEIGHT_U8
} dipp_weight_dtype;

enum { DIPP_WEIGHT_DTYPE_COUNT = 7 };

/* "F32", "BF16" ... as safetensors spells them; static. [any thread] */
const char *dipp_weight_dtype_name(dipp_weight_dtype dtype);

/* false when the name is none of the seven; *dtype is untouched then. [any thread] */
bool dipp_weight_dtype_parse(const char *name, dipp_weight_dtype *dtype);

size_t dipp_weight_dtype_bytes(dipp_weight_dtype dtype); /* of one element */
bool dipp_weight_dtype_is_float(dipp_weight_dtype dtype);

/* bfloat16: the upper half of a float; rounded to nearest, ties to even; a NaN stays a NaN. [any thread] */
uint16_t dipp_bf16_of_float(float value);
float dipp_float_of_bf16(uint16_t bits);

/* IEEE half precision, subnormals included. [any thread] */
float dipp_float_of_f16(uint16_t bits);

/* Converts count elements from little-endian storage of any alignment to float: floats (F64 rounded to nearest, beyond
 * range to infinity) and integers alike. [any thread] */
void dipp_weight_to_f32(dipp_weight_dtype dtype, const void *from, float *to, size_t count);

/* The other way, to F32, BF16 or F64 storage of any alignment; false for the other dtypes. [any thread] */
bool dipp_weight_from_f32(dipp_weight_dtype dtype, const float *from, void *to, size_t count);

#endif
