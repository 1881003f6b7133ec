/* The gradient of every op, recorded in terms of other ops. dy is the gradient of output 0 unless said otherwise.
 * A rule computes an input's gradient only when needed(input) says that somebody wants it. */
#include "tensor/gradient.h"

#include <string.h>

typedef struct rule {
    dipp_gradient_walk *walk;
    dipp_graph *g;
    const dipp_node *node;
    dipp_tensor dy, y; /* gradient and value of output 0 */
} rule;

static dipp_tensor in(const rule *r, uint32_t i)
{
    uint32_t id = i < r->node->input_count ? r->node->inputs[i] : 0; /* 0 is DIPP_NONE */
    return (dipp_tensor){id};
}

static bool needed(const rule *r, uint32_t i)
{
    return in(r, i).id && r->walk->needed[in(r, i).id];
}

static void give(const rule *r, uint32_t i, dipp_tensor gradient)
{
    dipp_gradient_add(r->walk, in(r, i), gradient);
}

/* A gradient has its value's dtype; those of parameters stay as wide as they come, for they are summed in f32. */
static void give_cast(const rule *r, uint32_t i, dipp_tensor gradient)
{
    const dipp_value *storage = &r->g->values[dipp_storage_of(r->g, in(r, i).id)];
    give(r, i, storage->kind == DIPP_VALUE_PARAMETER ? gradient : dipp_cast(r->g, gradient, storage->dtype));
}

/* Gives a gradient that still has the output's shape to an input that was broadcast. */
static void give_summed(const rule *r, uint32_t i, dipp_tensor gradient)
{
    give_cast(r, i, dipp_sum_to(r->g, gradient, dipp_shape_of(r->g, in(r, i))));
}

static dipp_tensor number(dipp_graph *g, double value)
{
    return dipp_constant(g, (dipp_shape){0}, &value);
}

static void elementwise_binary(const rule *r)
{
    dipp_graph *g = r->g;
    dipp_tensor a = in(r, 0), b = in(r, 1), dy = r->dy;
    switch (r->node->op) {
    case DIPP_OP_ADD:
        if (needed(r, 0))
            give_summed(r, 0, dy);
        if (needed(r, 1))
            give_summed(r, 1, dy);
        return;
    case DIPP_OP_SUB:
        if (needed(r, 0))
            give_summed(r, 0, dy);
        if (needed(r, 1))
            give_summed(r, 1, dipp_scale_add(g, dy, -1.0, 0.0));
        return;
    case DIPP_OP_MUL:
        if (needed(r, 0))
            give_summed(r, 0, dipp_mul(g, dy, b));
        if (needed(r, 1))
            give_summed(r, 1, dipp_mul(g, dy, a));
        return;
    case DIPP_OP_DIV:
        if (needed(r, 0))
            give_summed(r, 0, dipp_div(g, dy, b));
        if (needed(r, 1))
            give_summed(r, 1, dipp_scale_add(g, dipp_div(g, dipp_mul(g, dy, r->y), b), -1.0, 0.0));
        return;
    default: break;
    }
    /* minimum, maximum: the input that won gets the gradient; a tie goes to the second. */
    bool maximum = r->node->op == DIPP_OP_MAXIMUM;
    dipp_tensor first = maximum ? dipp_greater(g, a, b) : dipp_greater(g, b, a);
    if (needed(r, 0))
        give_summed(r, 0, dipp_mul(g, dy, first));
    if (needed(r, 1))
        give_summed(r, 1, dipp_mul(g, dy, dipp_scale_add(g, first, -1.0, 1.0)));
}

static void elementwise_unary(const rule *r)
{
    dipp_graph *g = r->g;
    dipp_tensor x = in(r, 0), dy = r->dy, y = r->y, dx = DIPP_NONE;
    switch (r->node->op) {
    case DIPP_OP_SCALE_ADD: dx = dipp_scale_add(g, dy, r->node->attributes.alpha, 0.0); break;
    case DIPP_OP_EXP: dx = dipp_mul(g, dy, y); break;
    case DIPP_OP_LOG: dx = dipp_div(g, dy, x); break;
    case DIPP_OP_SQRT: dx = dipp_div(g, dipp_scale_add(g, dy, 0.5, 0.0), y); break;
    case DIPP_OP_ABS:
        dx = dipp_mul(g, dy, dipp_append(g, DIPP_OP_SIGN, &x, 1, NULL, dipp_dtype_of(g, x), dipp_shape_of(g, x)));
        break;
    case DIPP_OP_SIN: dx = dipp_mul(g, dy, dipp_cos(g, x)); break;
    case DIPP_OP_COS: dx = dipp_scale_add(g, dipp_mul(g, dy, dipp_sin(g, x)), -1.0, 0.0); break;
    case DIPP_OP_TANH: dx = dipp_mul(g, dy, dipp_scale_add(g, dipp_mul(g, y, y), -1.0, 1.0)); break;
    case DIPP_OP_SIGMOID: dx = dipp_mul(g, dy, dipp_mul(g, y, dipp_scale_add(g, y, -1.0, 1.0))); break;
    case DIPP_OP_ROUND: dx = dy; break;
    case DIPP_OP_CLAMP:
        dx = dy;
        if (!r->node->attributes.straight_through)
            dx = dipp_mul(g, dy,
                          dipp_mul(g, dipp_greater(g, x, number(g, r->node->attributes.alpha)),
                                   dipp_greater(g, number(g, r->node->attributes.beta), x)));
        break;
    default: break;
    }
    give_cast(r, 0, dx);
}

static void activation(const rule *r, dipp_op backward)
{
    dipp_tensor x = in(r, 0), inputs[2] = {x, dipp_cast(r->g, r->dy, dipp_dtype_of(r->g, x))};
    give(r, 0, dipp_append(r->g, backward, inputs, 2, NULL, dipp_dtype_of(r->g, x), dipp_shape_of(r->g, x)));
}

static void shape_op(const rule *r)
{
    dipp_graph *g = r->g;
    dipp_shape from = dipp_shape_of(g, in(r, 0)), to = dipp_shape_of(g, r->y);
    const dipp_attributes *a = &r->node->attributes;
    switch (r->node->op) {
    case DIPP_OP_CAST: give_cast(r, 0, r->dy); return;
    case DIPP_OP_RESHAPE: give(r, 0, dipp_reshape(g, r->dy, from)); return;
    case DIPP_OP_PERMUTE: {
        int inverse[DIPP_MAX_RANK];
        for (uint32_t i = 0; i < from.rank; i++)
            inverse[a->permutation[i]] = (int)i;
        give(r, 0, dipp_permute(g, r->dy, inverse));
        return;
    }
    case DIPP_OP_SLICE:
        give(r, 0, dipp_pad(g, r->dy, a->axis, a->start, from.dims[a->axis] - a->start - to.dims[a->axis]));
        return;
    case DIPP_OP_PAD: give(r, 0, dipp_slice(g, r->dy, a->axis, a->start, from.dims[a->axis])); return;
    case DIPP_OP_BROADCAST: give_summed(r, 0, r->dy); return;
    case DIPP_OP_CONCAT: {
        int64_t start = 0;
        for (uint32_t i = 0; i < r->node->input_count; i++) {
            int64_t length = dipp_dim(g, in(r, i), a->axis);
            if (needed(r, i))
                give(r, i, dipp_slice(g, r->dy, a->axis, start, length));
            start += length;
        }
        return;
    }
    case DIPP_OP_SUM: {
        dipp_shape kept = from;
        for (uint32_t i = 0; i < from.rank; i++)
            if (a->axes_mask >> i & 1)
                kept.dims[i] = 1;
        dipp_tensor spread = dipp_broadcast_to(g, dipp_reshape(g, r->dy, kept), from);
        give_cast(r, 0, spread);
        return;
    }
    default: return;
    }
}

/* y = A B with either transposed; the gradient keeps the operands' dtype. */
static void matmul(const rule *r)
{
    dipp_graph *g = r->g;
    dipp_tensor a = in(r, 0), b = in(r, 1);
    bool ta = r->node->attributes.transpose_a, tb = r->node->attributes.transpose_b;
    dipp_tensor dy = dipp_cast(g, r->dy, dipp_dtype_of(g, a));
    if (!dy.id) /* no memory: there is no last axis to ask for */
        return;
    if (needed(r, 0)) {
        dipp_tensor da = ta ? dipp_matmul(g, b, dy, &(dipp_matmul_options){.transpose_a = tb, .transpose_b = true})
                            : dipp_matmul(g, dy, b, &(dipp_matmul_options){.transpose_b = !tb});
        give(r, 0, da);
    }
    if (!needed(r, 1))
        return;
    dipp_shape sa = dipp_shape_of(g, a), sb = dipp_shape_of(g, b), sy = dipp_shape_of(g, dy);
    if (sb.rank == 2 && sa.rank > 2) { /* b is shared: fold the leading axes into rows (a is not transposed then) */
        a = dipp_reshape(g, a, DIPP_SHAPE(-1, sa.dims[sa.rank - 1]));
        dy = dipp_reshape(g, dy, DIPP_SHAPE(-1, sy.dims[sy.rank - 1]));
    }
    dipp_matmul_options options = {.transpose_a = tb ? true : !ta, .transpose_b = tb ? ta : false, .wide_output = true};
    dipp_tensor db = tb ? dipp_matmul(g, dy, a, &options) : dipp_matmul(g, a, dy, &options);
    give_cast(r, 1, db);
}

static void linear(const rule *r)
{
    dipp_graph *g = r->g;
    dipp_tensor x = in(r, 0), w = in(r, 1), dy = dipp_cast(g, r->dy, dipp_dtype_of(g, x));
    dipp_shape shape = dipp_shape_of(g, dy);
    if (!dy.id)
        return;
    if (needed(r, 0)) { /* as rows, so that a single vector is a matrix too */
        dipp_tensor rows = dipp_reshape(g, dy, DIPP_SHAPE(-1, shape.dims[shape.rank - 1]));
        give(r, 0, dipp_reshape(g, dipp_matmul(g, rows, w, NULL), dipp_shape_of(g, x)));
    }
    if (needed(r, 1)) {
        dipp_tensor inputs[2] = {x, dy};
        give(r, 1, dipp_append(g, DIPP_OP_LINEAR_BACKWARD_WEIGHT, inputs, 2, NULL, DIPP_WIDE, dipp_shape_of(g, w)));
    }
    if (needed(r, 2))
        give(r, 2, dipp_sum(g, dy, (1u << (shape.rank - 1)) - 1, false));
}

static void geglu(const rule *r)
{
    dipp_tensor x = in(r, 0), inputs[2] = {x, dipp_cast(r->g, r->dy, dipp_dtype_of(r->g, x))};
    give(r, 0,
         dipp_append(r->g, DIPP_OP_GEGLU_BACKWARD, inputs, 2, NULL, dipp_dtype_of(r->g, x), dipp_shape_of(r->g, x)));
}

static void conv2d(const rule *r)
{
    dipp_graph *g = r->g;
    dipp_tensor x = in(r, 0), w = in(r, 1), dy = dipp_cast(g, r->dy, DIPP_COMPUTE);
    const dipp_attributes *attributes = &r->node->attributes;
    if (needed(r, 0)) {
        dipp_tensor inputs[2] = {w, dy};
        give(r, 0,
             dipp_append(g, DIPP_OP_CONV2D_BACKWARD_DATA, inputs, 2, attributes, DIPP_COMPUTE, dipp_shape_of(g, x)));
    }
    if (!needed(r, 1) && !needed(r, 2))
        return;
    dipp_tensor inputs[2] = {x, dy}, outputs[2] = {DIPP_NONE, DIPP_NONE};
    dipp_dtype dtypes[2] = {DIPP_WIDE, DIPP_WIDE};
    dipp_shape shapes[2] = {dipp_shape_of(g, w), DIPP_SHAPE(dipp_dim(g, w, 0))};
    dipp_append_many(g, DIPP_OP_CONV2D_BACKWARD_WEIGHT, inputs, 2, attributes, needed(r, 2) ? 2 : 1, dtypes, shapes,
                     outputs);
    for (uint32_t i = 0; i < 2; i++)
        if (needed(r, i + 1))
            give_cast(r, i + 1, outputs[i]);
}

static void inverse(const rule *r)
{
    /* d(X^-1) = -X^-1 dX X^-1, hence the gradient is -Y^T dY Y^T. */
    dipp_graph *g = r->g;
    dipp_tensor left = dipp_matmul(g, r->y, r->dy, &(dipp_matmul_options){.transpose_a = true});
    dipp_tensor both = dipp_matmul(g, left, r->y, &(dipp_matmul_options){.transpose_b = true});
    give(r, 0, dipp_scale_add(g, both, -1.0, 0.0));
}

static void softmax(const rule *r)
{
    dipp_tensor inputs[2] = {r->y, dipp_cast(r->g, r->dy, dipp_dtype_of(r->g, r->y))};
    give(r, 0,
         dipp_append(r->g, DIPP_OP_SOFTMAX_BACKWARD, inputs, 2, NULL, dipp_dtype_of(r->g, r->y),
                     dipp_shape_of(r->g, r->y)));
}

static void attention(const rule *r)
{
    dipp_graph *g = r->g;
    dipp_tensor lse = {r->node->outputs[1]}, outputs[3];
    dipp_tensor inputs[7] = {in(r, 0), in(r, 1), in(r, 2), in(r, 3), r->y, lse, dipp_cast(g, r->dy, DIPP_COMPUTE)};
    dipp_dtype dtypes[3] = {DIPP_COMPUTE, DIPP_COMPUTE, DIPP_COMPUTE};
    dipp_shape shapes[3] = {dipp_shape_of(g, in(r, 0)), dipp_shape_of(g, in(r, 1)), dipp_shape_of(g, in(r, 2))};
    dipp_append_many(g, DIPP_OP_ATTENTION_BACKWARD, inputs, 7, &r->node->attributes, 3, dtypes, shapes, outputs);
    for (uint32_t i = 0; i < 3; i++)
        give(r, i, outputs[i]);
}

static void layer_norm(const rule *r)
{
    dipp_graph *g = r->g;
    dipp_tensor x = in(r, 0), gain = in(r, 1), stats = {r->node->outputs[1]}, outputs[3];
    dipp_tensor inputs[4] = {x, gain, stats, dipp_cast(g, r->dy, DIPP_COMPUTE)};
    dipp_dtype dtypes[3] = {dipp_dtype_of(g, x), DIPP_WIDE, DIPP_WIDE};
    dipp_shape modulation = gain.id ? dipp_shape_of(g, gain) : DIPP_SHAPE(1);
    dipp_shape shapes[3] = {dipp_shape_of(g, x), modulation, modulation};
    dipp_append_many(g, DIPP_OP_LAYER_NORM_BACKWARD, inputs, 4, &r->node->attributes, 3, dtypes, shapes, outputs);
    give(r, 0, outputs[0]);
    for (uint32_t i = 1; i < 3; i++)
        if (needed(r, i))
            give_cast(r, i, outputs[i]);
}

static void group_norm(const rule *r)
{
    dipp_graph *g = r->g;
    dipp_tensor x = in(r, 0), gain = in(r, 1), stats = {r->node->outputs[1]}, outputs[3];
    dipp_tensor bias = r->node->attributes.silu ? in(r, 2) : DIPP_NONE;
    dipp_tensor inputs[5] = {x, gain, bias, stats, dipp_cast(g, r->dy, DIPP_COMPUTE)};
    dipp_dtype dtypes[3] = {dipp_dtype_of(g, x), DIPP_WIDE, DIPP_WIDE};
    dipp_shape channels = DIPP_SHAPE(dipp_dim(g, x, 1)), shapes[3] = {dipp_shape_of(g, x), channels, channels};
    dipp_append_many(g, DIPP_OP_GROUP_NORM_BACKWARD, inputs, 5, &r->node->attributes, 3, dtypes, shapes, outputs);
    give(r, 0, outputs[0]);
    for (uint32_t i = 1; i < 3; i++)
        if (needed(r, i))
            give_cast(r, i, outputs[i]);
}

static void gated_add(const rule *r)
{
    dipp_graph *g = r->g;
    dipp_tensor gate = in(r, 1), h = in(r, 2), outputs[2];
    dipp_tensor inputs[3] = {gate, h, r->dy};
    dipp_dtype dtypes[2] = {dipp_dtype_of(g, h), DIPP_WIDE};
    dipp_shape shapes[2] = {dipp_shape_of(g, h), dipp_shape_of(g, gate)};
    give(r, 0, dipp_cast(g, r->dy, dipp_dtype_of(g, in(r, 0))));
    if (!needed(r, 1) && !needed(r, 2))
        return;
    dipp_append_many(g, DIPP_OP_GATED_ADD_BACKWARD, inputs, 3, NULL, 2, dtypes, shapes, outputs);
    give(r, 2, outputs[0]);
    if (needed(r, 1))
        give_cast(r, 1, outputs[1]);
}

static void embedding(const rule *r)
{
    dipp_tensor inputs[2] = {in(r, 1), r->dy};
    give(r, 0,
         dipp_append(r->g, DIPP_OP_EMBEDDING_BACKWARD, inputs, 2, NULL, DIPP_WIDE, dipp_shape_of(r->g, in(r, 0))));
}

static void where(const rule *r)
{
    dipp_graph *g = r->g;
    dipp_tensor zero = number(g, 0.0);
    if (needed(r, 1))
        give_summed(r, 1, dipp_where(g, in(r, 0), r->dy, zero));
    if (needed(r, 2))
        give_summed(r, 2, dipp_where(g, in(r, 0), zero, r->dy));
}

void dipp_gradient_of_node(dipp_gradient_walk *walk, const dipp_node *node)
{
    rule r = {walk, walk->g, node, walk->gradients[node->outputs[0]], {node->outputs[0]}};
    switch (node->op) {
    case DIPP_OP_LEAF:
    case DIPP_OP_GREATER: /* piecewise constant: no gradient */
    case DIPP_OP_SIGN:
    case DIPP_OP_PHILOX_NORMAL:
    case DIPP_OP_PHILOX_UNIFORM: return;
    case DIPP_OP_CAST:
    case DIPP_OP_RESHAPE:
    case DIPP_OP_PERMUTE:
    case DIPP_OP_CONCAT:
    case DIPP_OP_SLICE:
    case DIPP_OP_PAD:
    case DIPP_OP_BROADCAST:
    case DIPP_OP_SUM: shape_op(&r); return;
    case DIPP_OP_ADD:
    case DIPP_OP_SUB:
    case DIPP_OP_MUL:
    case DIPP_OP_DIV:
    case DIPP_OP_MINIMUM:
    case DIPP_OP_MAXIMUM: elementwise_binary(&r); return;
    case DIPP_OP_WHERE: where(&r); return;
    case DIPP_OP_SCALE_ADD:
    case DIPP_OP_EXP:
    case DIPP_OP_LOG:
    case DIPP_OP_SQRT:
    case DIPP_OP_ABS:
    case DIPP_OP_SIN:
    case DIPP_OP_COS:
    case DIPP_OP_TANH:
    case DIPP_OP_SIGMOID:
    case DIPP_OP_ROUND:
    case DIPP_OP_CLAMP: elementwise_unary(&r); return;
    case DIPP_OP_SILU: activation(&r, DIPP_OP_SILU_BACKWARD); return;
    case DIPP_OP_GELU_ERF: activation(&r, DIPP_OP_GELU_ERF_BACKWARD); return;
    case DIPP_OP_GELU_TANH: activation(&r, DIPP_OP_GELU_TANH_BACKWARD); return;
    case DIPP_OP_QUICK_GELU: activation(&r, DIPP_OP_QUICK_GELU_BACKWARD); return;
    case DIPP_OP_MATMUL: matmul(&r); return;
    case DIPP_OP_LINEAR: linear(&r); return;
    case DIPP_OP_GEGLU: geglu(&r); return;
    case DIPP_OP_CONV2D: conv2d(&r); return;
    case DIPP_OP_INVERSE: inverse(&r); return;
    case DIPP_OP_SOFTMAX: softmax(&r); return;
    case DIPP_OP_ATTENTION: attention(&r); return;
    case DIPP_OP_LAYER_NORM: layer_norm(&r); return;
    case DIPP_OP_GROUP_NORM: group_norm(&r); return;
    case DIPP_OP_GATED_ADD: gated_add(&r); return;
    case DIPP_OP_EMBEDDING: embedding(&r); return;
    case DIPP_OP_SINUSOID: {
        /* d/dt of [cos(t w), sin(t w)] is w [-sin, cos]: times are inputs, nobody has needed it. */
        dipp_graph_fail(walk->g, "sinusoid has no gradient: times are inputs");
        return;
    }
    case DIPP_OP_SILU_BACKWARD:
    case DIPP_OP_GELU_ERF_BACKWARD:
    case DIPP_OP_GELU_TANH_BACKWARD:
    case DIPP_OP_QUICK_GELU_BACKWARD:
    case DIPP_OP_GEGLU_BACKWARD:
    case DIPP_OP_LINEAR_BACKWARD_WEIGHT:
    case DIPP_OP_CONV2D_BACKWARD_DATA:
    case DIPP_OP_CONV2D_BACKWARD_WEIGHT:
    case DIPP_OP_SOFTMAX_BACKWARD:
    case DIPP_OP_ATTENTION_BACKWARD:
    case DIPP_OP_LAYER_NORM_BACKWARD:
    case DIPP_OP_GROUP_NORM_BACKWARD:
    case DIPP_OP_GATED_ADD_BACKWARD:
    case DIPP_OP_EMBEDDING_BACKWARD:
    case DIPP_OP_ACCUMULATE:
    case DIPP_OP_GRAD_NORM:
    case DIPP_OP_OPTIMIZER_STEP:
    case DIPP_OP_COUNT:
        dipp_graph_fail(walk->g, "%s is terminal: gradients are first order and it has none of its own",
                        dipp_op_infos[node->op].name);
        return;
    }
}
