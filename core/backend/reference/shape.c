/* Kernels that copy elements to other places: permute, concat, slice, pad, broadcast_to. Element types do not matter,
 * only their size. */
#include "backend/reference/reference.h"

#include <string.h>

/* Dims before and after an axis: an array is [outer, dims[axis], inner]. */
static int64_t outer_of(const dipp_shape *shape, int32_t axis)
{
    int64_t outer = 1;
    for (int32_t k = 0; k < axis; k++)
        outer *= shape->dims[k];
    return outer;
}

static int64_t inner_of(const dipp_shape *shape, int32_t axis)
{
    int64_t inner = 1;
    for (uint32_t k = (uint32_t)axis + 1; k < shape->rank; k++)
        inner *= shape->dims[k];
    return inner;
}

static size_t size_of(const reference_node *node)
{
    return node->element_size[node->view.outputs[0].dtype];
}

void dipp_reference_permute(const reference_node *node, void *const *args)
{
    const dipp_shape *in = &node->view.inputs[0].shape, *out = &node->view.outputs[0].shape;
    size_t size = size_of(node);
    int64_t in_stride[DIPP_MAX_RANK] = {0}, running = 1;
    for (uint32_t k = in->rank; k-- > 0;) {
        in_stride[k] = running;
        running *= in->dims[k];
    }
    int64_t elements = reference_elements(out);
    for (int64_t i = 0; i < elements; i++) {
        int64_t rest = i, from = 0;
        for (uint32_t k = out->rank; k-- > 0;) {
            from += rest % out->dims[k] * in_stride[node->attributes.permutation[k]];
            rest /= out->dims[k];
        }
        memcpy((char *)args[1] + (size_t)i * size, (const char *)args[0] + (size_t)from * size, size);
    }
}

void dipp_reference_concat(const reference_node *node, void *const *args)
{
    const dipp_shape *out = &node->view.outputs[0].shape;
    int32_t axis = node->attributes.axis;
    size_t unit = (size_t)inner_of(out, axis) * size_of(node);
    size_t out_length = (size_t)out->dims[axis] * unit, offset = 0;
    for (uint32_t part = 0; part < node->view.input_count; part++) {
        size_t length = (size_t)node->view.inputs[part].shape.dims[axis] * unit;
        for (int64_t o = 0; o < outer_of(out, axis); o++)
            memcpy((char *)reference_output(node, args, 0) + (size_t)o * out_length + offset,
                   (const char *)args[part] + (size_t)o * length, length);
        offset += length;
    }
}

void dipp_reference_slice(const reference_node *node, void *const *args)
{
    const dipp_shape *in = &node->view.inputs[0].shape, *out = &node->view.outputs[0].shape;
    int32_t axis = node->attributes.axis;
    size_t unit = (size_t)inner_of(in, axis) * size_of(node);
    size_t length = (size_t)out->dims[axis] * unit;
    for (int64_t o = 0; o < outer_of(in, axis); o++)
        memcpy((char *)args[1] + (size_t)o * length,
               (const char *)args[0] + (size_t)(o * in->dims[axis] + node->attributes.start) * unit, length);
}

void dipp_reference_pad(const reference_node *node, void *const *args)
{
    const dipp_shape *in = &node->view.inputs[0].shape, *out = &node->view.outputs[0].shape;
    int32_t axis = node->attributes.axis;
    size_t unit = (size_t)inner_of(in, axis) * size_of(node);
    size_t length = (size_t)in->dims[axis] * unit;
    memset(args[1], 0, (size_t)reference_elements(out) * size_of(node));
    for (int64_t o = 0; o < outer_of(in, axis); o++)
        memcpy((char *)args[1] + (size_t)(o * out->dims[axis] + node->attributes.start) * unit,
               (const char *)args[0] + (size_t)o * length, length);
}

void dipp_reference_broadcast(const reference_node *node, void *const *args)
{
    const dipp_shape *in = &node->view.inputs[0].shape, *out = &node->view.outputs[0].shape;
    size_t size = size_of(node);
    int64_t elements = reference_elements(out);
    for (int64_t i = 0; i < elements; i++)
        memcpy((char *)args[1] + (size_t)i * size,
               (const char *)args[0] + (size_t)reference_broadcast_offset(in, out, i) * size, size);
}
