/* Recording of elementwise operations: broadcasting and promotion are decided here, so that a back-end sees operands of
 * one dtype and never has to guess. */
#include "tensor/graph.h"

static bool broadcast_shapes(dipp_graph *g, const char *what, const dipp_shape *a, const dipp_shape *b, dipp_shape *out)
{
    *out = (dipp_shape){.rank = a->rank > b->rank ? a->rank : b->rank};
    for (uint32_t i = 0; i < out->rank; i++) {
        int64_t da = i < a->rank ? a->dims[a->rank - 1 - i] : 1, db = i < b->rank ? b->dims[b->rank - 1 - i] : 1;
        if (da != db && da != 1 && db != 1) {
            char ta[128], tb[128];
            dipp_graph_fail(g, "%s: shapes %s and %s do not broadcast", what, dipp_shape_text(a, ta, sizeof ta),
                            dipp_shape_text(b, tb, sizeof tb));
            return false;
        }
        out->dims[out->rank - 1 - i] = da > db ? da : db;
    }
    return true;
}

dipp_tensor dipp_cast(dipp_graph *g, dipp_tensor x, dipp_dtype dtype)
{
    if (!dipp_usable(g, x, "cast"))
        return DIPP_NONE;
    const dipp_value *value = dipp_value_of(g, x);
    if (value->dtype == dtype)
        return x;
    if (dtype == DIPP_INT32)
        return dipp_graph_fail(g, "cast: numbers do not become integers inside a recording");
    return dipp_append(g, DIPP_OP_CAST, &x, 1, NULL, dtype, value->shape);
}

static dipp_tensor binary(dipp_graph *g, dipp_op op, dipp_tensor a, dipp_tensor b)
{
    const char *what = dipp_op_infos[op].name;
    if (!dipp_usable_float(g, a, what) || !dipp_usable_float(g, b, what))
        return DIPP_NONE;
    dipp_shape shape, sa = dipp_shape_of(g, a), sb = dipp_shape_of(g, b);
    if (!broadcast_shapes(g, what, &sa, &sb, &shape))
        return DIPP_NONE;
    dipp_dtype dtype = dipp_dtype_of(g, a) == DIPP_WIDE || dipp_dtype_of(g, b) == DIPP_WIDE ? DIPP_WIDE : DIPP_COMPUTE;
    dipp_tensor inputs[2] = {dipp_cast(g, a, dtype), dipp_cast(g, b, dtype)};
    return dipp_append(g, op, inputs, 2, NULL, dtype, shape);
}

dipp_tensor dipp_add(dipp_graph *g, dipp_tensor a, dipp_tensor b)
{
    return binary(g, DIPP_OP_ADD, a, b);
}

dipp_tensor dipp_sub(dipp_graph *g, dipp_tensor a, dipp_tensor b)
{
    return binary(g, DIPP_OP_SUB, a, b);
}

dipp_tensor dipp_mul(dipp_graph *g, dipp_tensor a, dipp_tensor b)
{
    return binary(g, DIPP_OP_MUL, a, b);
}

dipp_tensor dipp_div(dipp_graph *g, dipp_tensor a, dipp_tensor b)
{
    return binary(g, DIPP_OP_DIV, a, b);
}

dipp_tensor dipp_minimum(dipp_graph *g, dipp_tensor a, dipp_tensor b)
{
    return binary(g, DIPP_OP_MINIMUM, a, b);
}

dipp_tensor dipp_maximum(dipp_graph *g, dipp_tensor a, dipp_tensor b)
{
    return binary(g, DIPP_OP_MAXIMUM, a, b);
}

dipp_tensor dipp_greater(dipp_graph *g, dipp_tensor a, dipp_tensor b)
{
    return binary(g, DIPP_OP_GREATER, a, b);
}

dipp_tensor dipp_where(dipp_graph *g, dipp_tensor condition, dipp_tensor a, dipp_tensor b)
{
    if (!dipp_usable_float(g, condition, "where") || !dipp_usable_float(g, a, "where") ||
        !dipp_usable_float(g, b, "where"))
        return DIPP_NONE;
    dipp_shape sc = dipp_shape_of(g, condition), sa = dipp_shape_of(g, a), sb = dipp_shape_of(g, b), ab, shape;
    if (!broadcast_shapes(g, "where", &sa, &sb, &ab) || !broadcast_shapes(g, "where", &ab, &sc, &shape))
        return DIPP_NONE;
    dipp_dtype dtype = dipp_dtype_of(g, a) == DIPP_WIDE || dipp_dtype_of(g, b) == DIPP_WIDE ? DIPP_WIDE : DIPP_COMPUTE;
    dipp_tensor inputs[3] = {dipp_cast(g, condition, dtype), dipp_cast(g, a, dtype), dipp_cast(g, b, dtype)};
    return dipp_append(g, DIPP_OP_WHERE, inputs, 3, NULL, dtype, shape);
}

static dipp_tensor unary(dipp_graph *g, dipp_op op, dipp_tensor x, const dipp_attributes *attributes)
{
    const char *what = dipp_op_infos[op].name;
    if (!dipp_usable_float(g, x, what))
        return DIPP_NONE;
    return dipp_append(g, op, &x, 1, attributes, dipp_dtype_of(g, x), dipp_shape_of(g, x));
}

dipp_tensor dipp_scale_add(dipp_graph *g, dipp_tensor x, double alpha, double beta)
{
    return unary(g, DIPP_OP_SCALE_ADD, x, &(dipp_attributes){.alpha = alpha, .beta = beta});
}

dipp_tensor dipp_clamp(dipp_graph *g, dipp_tensor x, double low, double high, dipp_clamp_mode mode)
{
    return unary(
        g, DIPP_OP_CLAMP, x,
        &(dipp_attributes){.alpha = low, .beta = high, .straight_through = mode == DIPP_CLAMP_STRAIGHT_THROUGH});
}

#define UNARY(function, op)                            \
    dipp_tensor function(dipp_graph *g, dipp_tensor x) \
    {                                                  \
        return unary(g, op, x, NULL);                  \
    }
UNARY(dipp_exp, DIPP_OP_EXP)
UNARY(dipp_log, DIPP_OP_LOG)
UNARY(dipp_sqrt, DIPP_OP_SQRT)
UNARY(dipp_abs, DIPP_OP_ABS)
UNARY(dipp_sin, DIPP_OP_SIN)
UNARY(dipp_cos, DIPP_OP_COS)
UNARY(dipp_tanh, DIPP_OP_TANH)
UNARY(dipp_sigmoid, DIPP_OP_SIGMOID)
UNARY(dipp_silu, DIPP_OP_SILU)
UNARY(dipp_gelu_erf, DIPP_OP_GELU_ERF)
UNARY(dipp_gelu_tanh, DIPP_OP_GELU_TANH)
UNARY(dipp_quick_gelu, DIPP_OP_QUICK_GELU)
UNARY(dipp_round, DIPP_OP_ROUND)
#undef UNARY

dipp_tensor dipp_geglu(dipp_graph *g, dipp_tensor x)
{
    if (!dipp_usable_float(g, x, "geglu"))
        return DIPP_NONE;
    dipp_shape shape = dipp_shape_of(g, x);
    if (shape.rank < 1 || shape.dims[shape.rank - 1] % 2)
        return dipp_graph_fail(g, "geglu: needs a last axis of even length");
    shape.dims[shape.rank - 1] /= 2;
    return dipp_append(g, DIPP_OP_GEGLU, &x, 1, NULL, dipp_dtype_of(g, x), shape);
}
