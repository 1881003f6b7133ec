/* Internals of the reference back-end: what a prepared node holds, and the shape arithmetic every kernel shares.
 *
 * Every kernel is compiled twice from one template (real = double, real = float). real is the storage type of both
 * compute and wide; arithmetic is in double, sums run in plain order, and each stored number is rounded once. */
#ifndef DIPP_BACKEND_REFERENCE_H
#define DIPP_BACKEND_REFERENCE_H

#include "tensor/backend.h"

typedef struct reference_node {
    dipp_node_view view; /* view.attributes points to attributes below */
    dipp_attributes attributes;
    size_t element_size[3];
} reference_node;

/* args as dipp_kernel.run gets them: inputs, outputs, scratch. */
typedef void (*reference_function)(const reference_node *node, void *const *args);

/* The kernel of an op, or NULL for one that has none (leaf, reshape). */
reference_function dipp_reference_function_f64(dipp_op op);
reference_function dipp_reference_function_f32(dipp_op op);

/* Kernels that move elements without looking at them (shape.c): the same for both precisions. */
void dipp_reference_permute(const reference_node *node, void *const *args);
void dipp_reference_concat(const reference_node *node, void *const *args);
void dipp_reference_slice(const reference_node *node, void *const *args);
void dipp_reference_pad(const reference_node *node, void *const *args);
void dipp_reference_broadcast(const reference_node *node, void *const *args);

/* Scratch that the node's kernel needs, in bytes: accumulators in double. */
size_t dipp_reference_scratch(const dipp_node_view *view);

static inline void *reference_output(const reference_node *node, void *const *args, uint32_t k)
{
    return args[node->view.input_count + k];
}

static inline double *reference_scratch(const reference_node *node, void *const *args)
{
    return args[node->view.input_count + node->view.output_count];
}

static inline int64_t reference_elements(const dipp_shape *shape)
{
    int64_t elements = 1;
    for (uint32_t k = 0; k < shape->rank; k++)
        elements *= shape->dims[k];
    return elements;
}

/* Length of the last axis; 1 for a scalar. */
static inline int64_t reference_width(const dipp_shape *shape)
{
    return shape->rank ? shape->dims[shape->rank - 1] : 1;
}

/* Product of the leading dims. */
static inline int64_t reference_rows(const dipp_shape *shape)
{
    int64_t rows = 1;
    for (uint32_t k = 0; k + 1 < shape->rank; k++)
        rows *= shape->dims[k];
    return rows;
}

static inline bool reference_same_shape(const dipp_shape *a, const dipp_shape *b)
{
    if (a->rank != b->rank)
        return false;
    for (uint32_t k = 0; k < a->rank; k++)
        if (a->dims[k] != b->dims[k])
            return false;
    return true;
}

/* Where element `linear` of a result of shape `to` is read in an operand of shape `from` that is broadcast to it:
 * ranks aligned right, dims of size 1 repeated. */
static inline int64_t reference_broadcast_offset(const dipp_shape *from, const dipp_shape *to, int64_t linear)
{
    int64_t offset = 0, stride = 1;
    for (uint32_t k = 0; k < from->rank; k++) {
        int64_t dim = from->dims[from->rank - 1 - k];
        int64_t length = to->dims[to->rank - 1 - k];
        if (dim != 1)
            offset += linear % length * stride;
        linear /= length;
        stride *= dim;
    }
    return offset;
}

#endif
