/* The arithmetic that decides how a node is laid over the device: division by constants, broadcasting, copies, sums and
 * block counts. Plain C without CUDA, so that it is tested where there is no GPU; kernels read the same structures.
 *
 * Nothing here depends on the device: block counts and the splits of sums are functions of the shape alone, so that own
 * kernels add in the same order on every GPU. */
#ifndef DIPP_BACKEND_CUDA_GEOMETRY_H
#define DIPP_BACKEND_CUDA_GEOMETRY_H

#include <dipp/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { DIPP_CUDA_OPERANDS = 3, DIPP_CUDA_GROUP = 4, DIPP_CUDA_THREADS = 256 };

/* How a number is stored on the device. */
typedef enum dipp_cuda_type { DIPP_CUDA_F32 = 0, DIPP_CUDA_BF16 = 1, DIPP_CUDA_I32 = 2 } dipp_cuda_type;

static inline int64_t dipp_cuda_type_bytes(int32_t type)
{
    return type == DIPP_CUDA_BF16 ? 2 : 4;
}

/* n / divisor for n < 2^31 as a multiplication and a shift (Granlund and Montgomery 1994, figure 4.1):
 * ((n * multiplier >> 32) + n) >> shift. */
typedef struct dipp_cuda_divisor {
    uint32_t divisor, multiplier, shift;
} dipp_cuda_divisor;

dipp_cuda_divisor dipp_cuda_divisor_of(int64_t divisor); /* in [1, 2^31) */

static inline uint32_t dipp_cuda_divide(uint32_t n, dipp_cuda_divisor by)
{
    return ((uint32_t)((uint64_t)n * by.multiplier >> 32) + n) >> by.shift;
}

static inline int64_t dipp_cuda_elements(const dipp_shape *shape)
{
    int64_t count = 1;
    for (uint32_t i = 0; i < shape->rank; i++)
        count *= shape->dims[i];
    return count;
}

/* Product of all dims but the last trailing ones. */
static inline int64_t dipp_cuda_rows(const dipp_shape *shape, uint32_t trailing)
{
    int64_t rows = 1;
    for (uint32_t d = 0; d + trailing < shape->rank; d++)
        rows *= shape->dims[d];
    return rows;
}

/* Blocks for a loop over items in steps of the whole grid: at least 1, at most most. */
uint32_t dipp_cuda_blocks(int64_t items, int64_t per_block, uint32_t most);

/* Dims, outermost first, and how far each operand moves per step in them. */
typedef struct dipp_cuda_dims {
    int32_t rank;
    dipp_cuda_divisor dims[DIPP_MAX_RANK];
    int64_t strides[DIPP_CUDA_OPERANDS][DIPP_MAX_RANK];
} dipp_cuda_dims;

/* Where operand k stands at a row-major index over the dims. */
static inline int64_t dipp_cuda_offset(const dipp_cuda_dims *dims, int k, uint32_t index)
{
    int64_t offset = 0;
    for (int32_t d = dims->rank - 1; d >= 0; d--) {
        uint32_t quotient = dipp_cuda_divide(index, dims->dims[d]);
        offset += (int64_t)(index - quotient * dims->dims[d].divisor) * dims->strides[k][d];
        index = quotient;
    }
    return offset;
}

/* An elementwise node: rows (indexed by outer) of inner elements. Along a row an operand moves by its step, 0 or 1.
 * Threads take groups of four neighbours of a row; wide says that four neighbours may be moved at once when the
 * addresses allow it. */
typedef struct dipp_cuda_walk {
    dipp_cuda_dims outer;
    int32_t operands, step[DIPP_CUDA_OPERANDS], wide;
    int64_t inner, groups; /* elements of a row; groups in all */
    dipp_cuda_divisor groups_per_row;
} dipp_cuda_walk;

/* Shapes are broadcast right-aligned to out. false: more groups than 2^31 - 1. */
bool dipp_cuda_walk_of(dipp_cuda_walk *walk, const dipp_shape *out, const dipp_shape *const *in, int operands);

/* A copy between two strided places, counted in units of 16, 8, 4 or 2 bytes: operand 0 is read, 1 written. */
typedef struct dipp_cuda_copy {
    dipp_cuda_dims dims;
    int64_t units, in_start, out_start;
    int32_t unit; /* bytes */
} dipp_cuda_copy;

/* dims, strides and starts in elements of element_bytes. false: more units than 2^31 - 1. */
bool dipp_cuda_copy_of(dipp_cuda_copy *copy, int rank, const int64_t *dims, const int64_t *in_strides,
                       const int64_t *out_strides, int64_t in_start, int64_t out_start, int64_t element_bytes);
bool dipp_cuda_permutation_of(dipp_cuda_copy *copy, const dipp_shape *in, const uint8_t *permutation,
                              int64_t element_bytes);

/* A sum over axes. When the innermost dim is summed (rows), threads_per_output neighbours share an output; otherwise
 * (columns) a thread has a column. Splits of terms_per_split terms are summed apart and added in order: their partial
 * sums lie in scratch as [output][split] for rows, [split][output] for columns. */
typedef struct dipp_cuda_sum {
    dipp_cuda_dims kept, reduced; /* operand 0 is the input */
    int64_t outputs, terms, terms_per_split, splits;
    int32_t by_rows, threads_per_output;
} dipp_cuda_sum;

bool dipp_cuda_sum_of(dipp_cuda_sum *sum, const dipp_shape *in, uint32_t axes_mask);

/* Splits of the sums over rows that share one modulation, for the gradients of gains, biases and gates. */
typedef struct dipp_cuda_columns {
    int64_t groups, shared, rows_per_split, splits, width; /* shared: rows of a group */
} dipp_cuda_columns;

dipp_cuda_columns dipp_cuda_columns_of(int64_t groups, int64_t shared, int64_t width);

/* Threads that share a row of the last axis. */
int32_t dipp_cuda_threads_per_row(int64_t width);

#ifdef __cplusplus
}
#endif
#endif
