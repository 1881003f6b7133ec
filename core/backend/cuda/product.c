/* See product.h. */
#include "backend/cuda/product.h"

#include <string.h>

void dipp_cuda_product_of(dipp_cuda_product *p, const dipp_node_view *node)
{
    const dipp_shape *first = &node->inputs[0].shape, *second = &node->inputs[1].shape, *out = &node->outputs[0].shape;
    memset(p, 0, sizeof *p);
    p->batch = 1;
    p->accumulate = node->attributes->accumulate;
    switch (node->op) {
    case DIPP_OP_LINEAR: /* x [rows, I] times w^T, w stored [O, I] */
        p->m = dipp_cuda_rows(first, 1);
        p->k = second->dims[1];
        p->n = second->dims[0];
        p->b_turned = 1;
        p->has_bias = node->input_count > 2 && node->inputs[2].present;
        return;
    case DIPP_OP_LINEAR_BACKWARD_WEIGHT: /* dy^T x: A is dy, stored [rows, O]; B is x [rows, I] */
        p->m = out->dims[0];
        p->n = out->dims[1];
        p->k = dipp_cuda_rows(first, 1);
        p->a_turned = 1;
        return;
    default: break;
    }
    bool turn_a = node->attributes->transpose_a, turn_b = node->attributes->transpose_b;
    int64_t a0 = first->dims[first->rank - 2], a1 = first->dims[first->rank - 1];
    int64_t b0 = second->dims[second->rank - 2], b1 = second->dims[second->rank - 1];
    p->a_turned = turn_a;
    p->b_turned = turn_b;
    p->m = turn_a ? a1 : a0;
    p->k = turn_a ? a0 : a1;
    p->n = turn_b ? b0 : b1;
    p->batch = dipp_cuda_rows(first, 2);
    p->a_batch = a0 * a1;
    p->b_batch = second->rank > 2 ? b0 * b1 : 0;
    if (second->rank == 2 && !turn_a) { /* b is shared: the batch folds into rows */
        p->m *= p->batch;
        p->batch = 1;
        p->a_batch = 0;
    }
    if (p->batch == 1)
        p->a_batch = p->b_batch = 0;
}

void dipp_cuda_product_matrices(const dipp_cuda_product *p, dipp_cuda_matrix *first, dipp_cuda_matrix *second,
                                dipp_cuda_matrix *out)
{
    *first = (dipp_cuda_matrix){.rows = p->b_turned ? p->k : p->n,
                                .columns = p->b_turned ? p->n : p->k,
                                .leading = p->b_turned ? p->k : p->n,
                                .stride = p->b_batch,
                                .type = p->in_type,
                                .turned = p->b_turned};
    *second = (dipp_cuda_matrix){.rows = p->a_turned ? p->m : p->k,
                                 .columns = p->a_turned ? p->k : p->m,
                                 .leading = p->a_turned ? p->m : p->k,
                                 .stride = p->a_batch,
                                 .type = p->in_type,
                                 .turned = p->a_turned};
    *out = (dipp_cuda_matrix){
        .rows = p->n, .columns = p->m, .leading = p->n, .stride = p->batch > 1 ? p->m * p->n : 0, .type = p->out_type};
}

bool dipp_cuda_product_same(const dipp_cuda_product *a, const dipp_cuda_product *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}
