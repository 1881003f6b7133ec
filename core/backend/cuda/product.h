/* The matrix product of a node as the library sees it: key of the cache of chosen algorithms. Plain C without CUDA. */
#ifndef DIPP_BACKEND_CUDA_PRODUCT_H
#define DIPP_BACKEND_CUDA_PRODUCT_H

#include "backend/cuda/geometry.h"
#include "tensor/backend.h"

/* out [batch, m, n] (+)= A B (+ bias [n]), row-major. A is stored [m, k], or [k, m] when a_turned; B is stored [k, n], or
 * [n, k] when b_turned. a_batch, b_batch: elements from one matrix of the batch to the next. Every byte is set, so keys
 * compare as bytes. */
typedef struct dipp_cuda_product {
    int64_t batch, m, n, k, a_batch, b_batch;
    int32_t a_turned, b_turned, in_type, out_type, has_bias, accumulate;
} dipp_cuda_product;

/* One operand as a column-major matrix: a row-major [r, c] is a column-major c x r of leading dimension c. */
typedef struct dipp_cuda_matrix {
    int64_t rows, columns, leading, stride;
    int32_t type, turned; /* turned: the library takes its transpose */
} dipp_cuda_matrix;

/* matmul, linear or linear_backward_weight; types are left for the caller. */
void dipp_cuda_product_of(dipp_cuda_product *product, const dipp_node_view *node);

/* Column-major out^T [n, m] = B^T A^T: first and second are B and A. */
void dipp_cuda_product_matrices(const dipp_cuda_product *product, dipp_cuda_matrix *first, dipp_cuda_matrix *second,
                                dipp_cuda_matrix *out);

bool dipp_cuda_product_same(const dipp_cuda_product *a, const dipp_cuda_product *b);

#endif
