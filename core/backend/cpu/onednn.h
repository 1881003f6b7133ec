/* The only door to oneDNN: matrix products and convolutions whose shapes and types are known beforehand. */
#ifndef DIPP_BACKEND_CPU_ONEDNN_H
#define DIPP_BACKEND_CPU_ONEDNN_H

#include "backend/cpu/cpu.h"

/* C[b] (+)= A[b] B[b] + bias; strides in elements. C is dense and row-major. Compared byte by byte: zero it first. */
typedef struct dipp_cpu_product {
    int64_t batch, m, n, k;
    int64_t a_batch, a_row, a_col;      /* A [m, k] */
    int64_t b_batch, b_row, b_col;      /* B [k, n]; b_batch 0 with batch > 1: shared by all */
    int32_t ab_type, c_type, bias_type; /* dipp_cpu_type */
    int32_t has_bias, accumulate;
    int32_t
        packed; /* the weight is first packed into scratch: batch 1, A dense, B a dense matrix transposed, no accumulate */
} dipp_cpu_product;

typedef struct dipp_cpu_matmul dipp_cpu_matmul;

dipp_status dipp_cpu_onednn_create(int threads, dipp_cpu_onednn **out, dipp_error *error) DIPP_CPU_HIDDEN;
void dipp_cpu_onednn_destroy(dipp_cpu_onednn **onednn) DIPP_CPU_HIDDEN;

/* The instruction set oneDNN will use, e.g. "avx512_core_amx"; static text. */
const char *dipp_cpu_onednn_isa(void) DIPP_CPU_HIDDEN;
bool dipp_cpu_onednn_has_amx(void) DIPP_CPU_HIDDEN;
bool dipp_cpu_onednn_has_avx512(void) DIPP_CPU_HIDDEN; /* then products of bf16 exist, at whatever speed */
bool dipp_cpu_onednn_has_avx2(void) DIPP_CPU_HIDDEN;

/* A product of this shape, made once and kept by onednn (same shape, same object). [one thread at a time] */
dipp_status dipp_cpu_matmul_get(dipp_cpu_onednn *onednn, const dipp_cpu_product *product, dipp_cpu_matmul **out,
                                dipp_error *error) DIPP_CPU_HIDDEN;
size_t dipp_cpu_matmul_scratch(const dipp_cpu_matmul *matmul) DIPP_CPU_HIDDEN;
void dipp_cpu_matmul_run(dipp_cpu_matmul *matmul, const void *a, const void *b, const void *bias, void *c,
                         void *scratch) DIPP_CPU_HIDDEN;

/* A convolution of pictures by square kernels or one of its gradients. Compared byte by byte: zero it first. */
typedef struct dipp_cpu_convolved {
    int64_t samples, in_channels, height, width, out_channels, kernel, out_height, out_width;
    int32_t stride, pad_before, pad_after;
    int32_t leg;              /* dipp_cpu_leg */
    int32_t type, y_type;     /* dipp_cpu_type: of x, w, dy, dx and bias; of y. dw and dbias are f32 */
    int32_t bias, accumulate; /* forward: adds a bias; weight: makes its gradient; weight: adds to dw */
} dipp_cpu_convolved;

typedef enum dipp_cpu_leg { DIPP_CPU_FORWARD = 0, DIPP_CPU_BACKWARD_DATA, DIPP_CPU_BACKWARD_WEIGHT } dipp_cpu_leg;

typedef struct dipp_cpu_convolution dipp_cpu_convolution;

/* Made once and kept by onednn (same convolution, same object). [one thread at a time] */
dipp_status dipp_cpu_convolution_get(dipp_cpu_onednn *onednn, const dipp_cpu_convolved *convolved,
                                     dipp_cpu_convolution **out, dipp_error *error) DIPP_CPU_HIDDEN;
size_t dipp_cpu_convolution_scratch(const dipp_cpu_convolution *convolution) DIPP_CPU_HIDDEN;
/* x [N,C,H,W] (or dx), w [O,C,k,k] (or dw), bias [O] (or dbias), y [N,O,H',W'] (or dy), as they lie in memory. A gradient
 * that is NULL is not wanted. */
void dipp_cpu_convolution_run(dipp_cpu_convolution *convolution, void *x, void *w, void *bias, void *y,
                              void *scratch) DIPP_CPU_HIDDEN;

#endif
