/* One launch function per kernel family, callable from C. Each puts its kernels on the stream and returns what the
 * runtime says of the launch. Pointers are device pointers; shapes were checked by the host files. */
#ifndef DIPP_BACKEND_CUDA_KERNELS_H
#define DIPP_BACKEND_CUDA_KERNELS_H

#include "backend/cuda/geometry.h"

#include <cuda_runtime_api.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Types here are dipp_cuda_type. */

typedef struct dipp_cuda_elementwise {
    dipp_cuda_walk walk;
    int32_t op; /* dipp_op */
    int32_t type[DIPP_CUDA_OPERANDS], out_type;
    float alpha, beta;
} dipp_cuda_elementwise;

/* Operands that the op does not have are NULL. */
cudaError_t dipp_cuda_launch_elementwise(cudaStream_t stream, const dipp_cuda_elementwise *p, const void *a,
                                         const void *b, const void *c, void *out);

cudaError_t dipp_cuda_launch_copy(cudaStream_t stream, const dipp_cuda_copy *p, const void *in, void *out);

/* scratch: outputs * splits floats when splits > 1. out f32. */
cudaError_t dipp_cuda_launch_sum(cudaStream_t stream, const dipp_cuda_sum *p, int32_t in_type, const void *in,
                                 float *out, float *scratch);

/* softmax of x when backward is 0; else first is y, second dy. */
cudaError_t dipp_cuda_launch_softmax(cudaStream_t stream, int32_t backward, int32_t type, int64_t rows, int64_t width,
                                     const void *first, const void *second, void *out);

typedef struct dipp_cuda_attention {
    int32_t batches, queries, keys, heads, head_dim, type, causal;
    float scale;
} dipp_cuda_attention;

/* key_bias, o and logsumexp may be NULL. */
cudaError_t dipp_cuda_launch_attention(cudaStream_t stream, const dipp_cuda_attention *p, const void *q, const void *k,
                                       const void *v, const float *key_bias, void *o, float *logsumexp);

/* delta: scratch, batches * heads * queries floats. dq, dk, dv may be NULL. */
cudaError_t dipp_cuda_launch_attention_backward(cudaStream_t stream, const dipp_cuda_attention *p, const void *q,
                                                const void *k, const void *v, const float *key_bias, const void *o,
                                                const float *logsumexp, const void *d_o, void *dq, void *dk, void *dv,
                                                float *delta);

/* The same on the matrix units: bf16, head dims that are multiples of 8 up to 160; backward with delta already there. */
enum { DIPP_CUDA_UNITS_HEAD_DIM = 160 };
cudaError_t dipp_cuda_launch_attention_units(cudaStream_t stream, const dipp_cuda_attention *p, const void *q,
                                             const void *k, const void *v, const float *key_bias, void *o,
                                             float *logsumexp);
cudaError_t dipp_cuda_launch_attention_backward_units(cudaStream_t stream, const dipp_cuda_attention *p, const void *q,
                                                      const void *k, const void *v, const float *key_bias,
                                                      const float *logsumexp, const void *d_o, void *dq, void *dk,
                                                      void *dv, const float *delta);

typedef struct dipp_cuda_norm {
    int64_t rows, width, shared; /* shared: rows that use one row of the gain */
    int32_t x_type, gain_type, y_type, plus_one;
    float epsilon;
    dipp_cuda_columns columns; /* backward: sums over shared rows */
} dipp_cuda_norm;

/* gain, bias, y and stats may be NULL. */
cudaError_t dipp_cuda_launch_layer_norm(cudaStream_t stream, const dipp_cuda_norm *p, const void *x, const void *gain,
                                        const void *bias, void *y, float *stats);
/* gain, dx, d_gain and d_bias may be NULL; scratch: 2 * groups * splits * width floats when splits > 1. */
cudaError_t dipp_cuda_launch_layer_norm_backward(cudaStream_t stream, const dipp_cuda_norm *p, const void *x,
                                                 const void *gain, const float *stats, const void *dy, void *dx,
                                                 float *d_gain, float *d_bias, float *scratch);

typedef struct dipp_cuda_gated {
    int64_t samples, tokens, width;
    int32_t x_type, gate_type, h_type; /* x: the residual stream, or dy in the backward */
    dipp_cuda_divisor groups_per_row;
    dipp_cuda_columns columns;
} dipp_cuda_gated;

cudaError_t dipp_cuda_launch_gated_add(cudaStream_t stream, const dipp_cuda_gated *p, const void *x, const void *gate,
                                       const void *h, void *out);
/* dh and d_gate may be NULL; scratch: groups * splits * width floats when splits > 1. */
cudaError_t dipp_cuda_launch_gated_add_backward(cudaStream_t stream, const dipp_cuda_gated *p, const void *gate,
                                                const void *h, const void *dy, void *dh, float *d_gate, float *scratch);

typedef struct dipp_cuda_geglu {
    int64_t width, groups; /* of y; groups of four neighbours in all */
    dipp_cuda_divisor groups_per_row;
    int32_t type;
} dipp_cuda_geglu;

cudaError_t dipp_cuda_launch_geglu(cudaStream_t stream, const dipp_cuda_geglu *p, const void *x, void *y);
cudaError_t dipp_cuda_launch_geglu_backward(cudaStream_t stream, const dipp_cuda_geglu *p, const void *x,
                                            const void *dy, void *dx);

typedef struct dipp_cuda_group_norm {
    int64_t samples, groups, channels, places; /* channels of a group */
    dipp_cuda_divisor by_places;
    int32_t x_type, gain_type, y_type, silu;
    float epsilon;
} dipp_cuda_group_norm;

/* gain, bias, y and stats may be NULL. */
cudaError_t dipp_cuda_launch_group_norm(cudaStream_t stream, const dipp_cuda_group_norm *p, const void *x,
                                        const void *gain, const void *bias, void *y, float *stats);
/* gain, bias, dx, d_gain and d_bias may be NULL; partial: scratch, 2 * samples * groups * channels floats. */
cudaError_t dipp_cuda_launch_group_norm_backward(cudaStream_t stream, const dipp_cuda_group_norm *p, const void *x,
                                                 const void *gain, const void *bias, const float *stats, const void *dy,
                                                 void *dx, float *d_gain, float *d_bias, float *partial);

typedef struct dipp_cuda_patches {
    int64_t samples, channels, height, width, out_height, out_width;
    int32_t kernel, stride, pad, type; /* type of pictures, and of the rows made from them */
} dipp_cuda_patches;

/* rows [samples * out_height * out_width, channels * kernel * kernel]. */
cudaError_t dipp_cuda_launch_patches(cudaStream_t stream, const dipp_cuda_patches *p, const void *x, void *rows);
/* The transpose: x is the sum of the rows' elements, each at the place it was read. */
cudaError_t dipp_cuda_launch_pictures(cudaStream_t stream, const dipp_cuda_patches *p, const float *rows, void *x);

/* Rows of row_bytes are picked; an id outside [0, entries) reads row 0. */
cudaError_t dipp_cuda_launch_embedding(cudaStream_t stream, int64_t ids_count, int64_t entries, int64_t row_bytes,
                                       const void *table, const int32_t *ids, void *out);
cudaError_t dipp_cuda_launch_embedding_backward(cudaStream_t stream, int64_t ids_count, int64_t entries, int64_t width,
                                                int32_t type, int32_t accumulate, const int32_t *ids, const void *dy,
                                                float *out);
cudaError_t dipp_cuda_launch_sinusoid(cudaStream_t stream, int64_t count, int64_t width, double max_period,
                                      int32_t sin_first, const float *t, float *out);
cudaError_t dipp_cuda_launch_inverse(cudaStream_t stream, int64_t count, int64_t size, const float *in, float *out);

/* key: {seed low, seed high, stream, step, first sample, 0} on the device. */
cudaError_t dipp_cuda_launch_random(cudaStream_t stream, int32_t normal, int64_t samples, int64_t width,
                                    const uint32_t *key, float *out);

cudaError_t dipp_cuda_launch_accumulate(cudaStream_t stream, int64_t count, int32_t type, const void *x, float *out);

/* Blocks of the first stage; scratch is so many doubles. */
enum { DIPP_CUDA_NORM_BLOCKS = 1024 };
cudaError_t dipp_cuda_launch_grad_norm(cudaStream_t stream, int64_t count, const float *gradient, float *out,
                                       double *scratch);

typedef struct dipp_cuda_step {
    int64_t start, count, elements; /* elements of the whole block */
    int32_t adamw, decay, copy_type;
    int32_t state, random_weights, weight_type; /* dipp_state_format; bf16 numbers that are rounded at random */
} dipp_cuda_step;

/* ema and copy may be NULL. */
cudaError_t dipp_cuda_launch_optimizer_step(cudaStream_t stream, const dipp_cuda_step *p, const float *norm_ok,
                                            const float *scalars, float *master, float *gradient, float *m, float *v,
                                            float *ema, void *copy);
/* The same where p->state is packed or the weights are rounded at random; key is NULL where nothing is. */
cudaError_t dipp_cuda_launch_packed_step(cudaStream_t stream, const dipp_cuda_step *p, const float *norm_ok,
                                         const float *scalars, void *weights, float *gradient, void *m, void *v,
                                         float *ema, void *copy, const uint32_t *key);

/* The product that the library has no algorithm for: any strides, any types. out [batch, m, n] row-major. */
typedef struct dipp_cuda_plain_product {
    int64_t batch, m, n, k, a_batch, a_row, a_column, b_batch, b_row, b_column;
    int32_t a_type, b_type, bias_type, out_type, accumulate;
} dipp_cuda_plain_product;

cudaError_t dipp_cuda_launch_plain_product(cudaStream_t stream, const dipp_cuda_plain_product *p, const void *a,
                                           const void *b, const void *bias, void *out);

#ifdef __cplusplus
}
#endif
#endif
