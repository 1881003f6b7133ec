/* Recording of operations that move or sum elements. */
#include "tensor/graph.h"

dipp_tensor dipp_stop_gradient(dipp_graph *g, dipp_tensor x)
{
    if (!dipp_usable(g, x, "stop_gradient"))
        return DIPP_NONE;
    return dipp_append(g, DIPP_OP_RESHAPE, &x, 1, &(dipp_attributes){.stop = true}, dipp_dtype_of(g, x),
                       dipp_shape_of(g, x));
}

dipp_tensor dipp_reshape(dipp_graph *g, dipp_tensor x, dipp_shape shape)
{
    if (!dipp_usable(g, x, "reshape"))
        return DIPP_NONE;
    dipp_shape from = dipp_shape_of(g, x);
    int64_t known = 1;
    int open = -1;
    for (uint32_t i = 0; i < shape.rank; i++) {
        if (shape.dims[i] == -1 && open < 0)
            open = (int)i;
        else
            known *= shape.dims[i];
    }
    if (open >= 0 && known > 0)
        shape.dims[open] = dipp_shape_elements(&from) / known;
    if (dipp_shape_elements(&shape) != dipp_shape_elements(&from)) {
        char a[128], b[128];
        return dipp_graph_fail(g, "reshape: %s does not hold as many elements as %s",
                               dipp_shape_text(&shape, a, sizeof a), dipp_shape_text(&from, b, sizeof b));
    }
    if (dipp_same_shape(&shape, &from))
        return x;
    return dipp_append(g, DIPP_OP_RESHAPE, &x, 1, NULL, dipp_dtype_of(g, x), shape);
}

dipp_tensor dipp_permute(dipp_graph *g, dipp_tensor x, const int *axes)
{
    if (!dipp_usable(g, x, "permute"))
        return DIPP_NONE;
    dipp_shape from = dipp_shape_of(g, x), to = from;
    dipp_attributes attributes = {0};
    uint32_t seen = 0;
    bool identity = true;
    for (uint32_t i = 0; i < from.rank; i++) {
        if (axes[i] < 0 || axes[i] >= (int)from.rank || (seen >> axes[i] & 1))
            return dipp_graph_fail(g, "permute: the axes are not a permutation of %u", from.rank);
        seen |= 1u << axes[i];
        to.dims[i] = from.dims[axes[i]];
        attributes.permutation[i] = (uint8_t)axes[i];
        identity = identity && axes[i] == (int)i;
    }
    return identity ? x : dipp_append(g, DIPP_OP_PERMUTE, &x, 1, &attributes, dipp_dtype_of(g, x), to);
}

static bool axis_in(dipp_graph *g, const char *what, const dipp_shape *shape, int *axis)
{
    if (*axis < 0)
        *axis += (int)shape->rank;
    if (*axis >= 0 && *axis < (int)shape->rank)
        return true;
    dipp_graph_fail(g, "%s: no axis %d in rank %u", what, *axis, shape->rank);
    return false;
}

dipp_tensor dipp_concat(dipp_graph *g, const dipp_tensor *parts, uint32_t count, int axis)
{
    if (count < 1 || count > DIPP_MAX_INPUTS)
        return dipp_graph_fail(g, "concat: %u parts; 1 to %d are possible", count, DIPP_MAX_INPUTS);
    for (uint32_t i = 0; i < count; i++)
        if (!dipp_usable(g, parts[i], "concat"))
            return DIPP_NONE;
    dipp_shape shape = dipp_shape_of(g, parts[0]);
    if (!axis_in(g, "concat", &shape, &axis))
        return DIPP_NONE;
    if (count == 1)
        return parts[0];
    dipp_dtype dtype = dipp_dtype_of(g, parts[0]);
    shape.dims[axis] = 0;
    dipp_tensor inputs[DIPP_MAX_INPUTS];
    for (uint32_t i = 0; i < count; i++)
        if (dipp_dtype_of(g, parts[i]) == DIPP_WIDE && dtype == DIPP_COMPUTE)
            dtype = DIPP_WIDE;
    for (uint32_t i = 0; i < count; i++) {
        dipp_shape part = dipp_shape_of(g, parts[i]);
        bool fits = part.rank == shape.rank && (dipp_dtype_of(g, parts[i]) == DIPP_INT32) == (dtype == DIPP_INT32);
        for (uint32_t k = 0; fits && k < part.rank; k++)
            fits = (int)k == axis || part.dims[k] == shape.dims[k];
        if (!fits)
            return dipp_graph_fail(g, "concat: part %u does not fit the first", i);
        shape.dims[axis] += part.dims[axis];
        inputs[i] = dipp_cast(g, parts[i], dtype);
    }
    return dipp_append(g, DIPP_OP_CONCAT, inputs, count, &(dipp_attributes){.axis = axis}, dtype, shape);
}

dipp_tensor dipp_slice(dipp_graph *g, dipp_tensor x, int axis, int64_t start, int64_t length)
{
    if (!dipp_usable(g, x, "slice"))
        return DIPP_NONE;
    dipp_shape shape = dipp_shape_of(g, x);
    if (!axis_in(g, "slice", &shape, &axis))
        return DIPP_NONE;
    if (start < 0 || length < 1 || start > shape.dims[axis] - length)
        return dipp_graph_fail(g, "slice: %lld elements from %lld of %lld", (long long)length, (long long)start,
                               (long long)shape.dims[axis]);
    if (length == shape.dims[axis])
        return x;
    shape.dims[axis] = length;
    return dipp_append(g, DIPP_OP_SLICE, &x, 1, &(dipp_attributes){.axis = axis, .start = start}, dipp_dtype_of(g, x),
                       shape);
}

dipp_tensor dipp_pad(dipp_graph *g, dipp_tensor x, int axis, int64_t before, int64_t after)
{
    if (!dipp_usable(g, x, "pad"))
        return DIPP_NONE;
    dipp_shape shape = dipp_shape_of(g, x);
    if (!axis_in(g, "pad", &shape, &axis))
        return DIPP_NONE;
    if (before < 0 || after < 0)
        return dipp_graph_fail(g, "pad: negative width");
    if (!before && !after)
        return x;
    shape.dims[axis] += before + after;
    return dipp_append(g, DIPP_OP_PAD, &x, 1, &(dipp_attributes){.axis = axis, .start = before}, dipp_dtype_of(g, x),
                       shape);
}

dipp_tensor dipp_broadcast_to(dipp_graph *g, dipp_tensor x, dipp_shape shape)
{
    if (!dipp_usable(g, x, "broadcast_to"))
        return DIPP_NONE;
    dipp_shape from = dipp_shape_of(g, x);
    if (dipp_same_shape(&from, &shape))
        return x;
    bool fits = from.rank <= shape.rank;
    for (uint32_t i = 0; fits && i < from.rank; i++) {
        int64_t have = from.dims[from.rank - 1 - i];
        fits = have == 1 || have == shape.dims[shape.rank - 1 - i];
    }
    if (!fits) {
        char a[128], b[128];
        return dipp_graph_fail(g, "broadcast_to: %s does not broadcast to %s", dipp_shape_text(&from, a, sizeof a),
                               dipp_shape_text(&shape, b, sizeof b));
    }
    return dipp_append(g, DIPP_OP_BROADCAST, &x, 1, NULL, dipp_dtype_of(g, x), shape);
}

dipp_tensor dipp_sum(dipp_graph *g, dipp_tensor x, uint32_t axes_mask, bool keep)
{
    if (!dipp_usable(g, x, "sum"))
        return DIPP_NONE;
    dipp_shape from = dipp_shape_of(g, x), to = {0};
    if (axes_mask >> from.rank)
        return dipp_graph_fail(g, "sum: an axis beyond rank %u", from.rank);
    if (dipp_dtype_of(g, x) == DIPP_INT32)
        return dipp_graph_fail(g, "sum: integers; cast them");
    for (uint32_t i = 0; i < from.rank; i++) {
        if (!(axes_mask >> i & 1))
            to.dims[to.rank++] = from.dims[i];
        else if (keep)
            to.dims[to.rank++] = 1;
    }
    return dipp_append(g, DIPP_OP_SUM, &x, 1, &(dipp_attributes){.axes_mask = axes_mask}, DIPP_WIDE, to);
}

dipp_tensor dipp_mean(dipp_graph *g, dipp_tensor x, uint32_t axes_mask, bool keep)
{
    if (!dipp_usable(g, x, "mean"))
        return DIPP_NONE;
    dipp_shape shape = dipp_shape_of(g, x);
    double count = 1;
    for (uint32_t i = 0; i < shape.rank; i++)
        if (axes_mask >> i & 1)
            count *= (double)shape.dims[i];
    return dipp_scale_add(g, dipp_sum(g, x, axes_mask, keep), 1.0 / count, 0.0);
}

static uint32_t all_but_first(const dipp_graph *g, dipp_tensor x)
{
    return (uint32_t)((1u << dipp_value_of(g, x)->shape.rank) - 1) & ~1u;
}

dipp_tensor dipp_sum_per_sample(dipp_graph *g, dipp_tensor x)
{
    return dipp_sum(g, x, all_but_first(g, x), false);
}

dipp_tensor dipp_mean_per_sample(dipp_graph *g, dipp_tensor x)
{
    return dipp_mean(g, x, all_but_first(g, x), false);
}

dipp_tensor dipp_per_sample(dipp_graph *g, dipp_tensor numbers, dipp_tensor like)
{
    if (!dipp_usable(g, numbers, "per_sample") || !dipp_usable(g, like, "per_sample"))
        return DIPP_NONE;
    dipp_shape shape = {.rank = dipp_shape_of(g, like).rank};
    shape.dims[0] = dipp_dim(g, numbers, 0);
    for (uint32_t i = 1; i < shape.rank; i++)
        shape.dims[i] = 1;
    return dipp_reshape(g, numbers, shape);
}

dipp_tensor dipp_sum_to(dipp_graph *g, dipp_tensor x, dipp_shape target)
{
    if (!dipp_usable(g, x, "sum_to"))
        return DIPP_NONE;
    dipp_shape from = dipp_shape_of(g, x);
    if (dipp_same_shape(&from, &target))
        return x;
    uint32_t mask = 0, extra = from.rank - target.rank;
    for (uint32_t i = 0; i < from.rank; i++)
        if (i < extra || (target.dims[i - extra] == 1 && from.dims[i] != 1))
            mask |= 1u << i;
    return dipp_reshape(g, mask ? dipp_sum(g, x, mask, true) : x, target);
}
