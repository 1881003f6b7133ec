/* Recording of linear algebra, fused blocks, lookups, random numbers and the optimizer. */
#include "tensor/graph.h"
#include "tensor/parameter_set.h"

#include <math.h>
#include <stdio.h>

/* The dtype in which two operands are multiplied. */
static dipp_dtype common_dtype(const dipp_graph *g, dipp_tensor a, dipp_tensor b)
{
    return dipp_dtype_of(g, a) == DIPP_WIDE || dipp_dtype_of(g, b) == DIPP_WIDE ? DIPP_WIDE : DIPP_COMPUTE;
}

dipp_tensor dipp_matmul(dipp_graph *g, dipp_tensor a, dipp_tensor b, const dipp_matmul_options *options)
{
    static const dipp_matmul_options defaults = {0};
    if (!options)
        options = &defaults;
    if (!dipp_usable_float(g, a, "matmul") || !dipp_usable_float(g, b, "matmul"))
        return DIPP_NONE;
    dipp_shape sa = dipp_shape_of(g, a), sb = dipp_shape_of(g, b);
    char ta[128], tb[128];
    if (sa.rank < 2 || sb.rank < 2)
        return dipp_graph_fail(g, "matmul: operands %s and %s need at least two axes",
                               dipp_shape_text(&sa, ta, sizeof ta), dipp_shape_text(&sb, tb, sizeof tb));
    int64_t m = sa.dims[sa.rank - 2], k = sa.dims[sa.rank - 1], kb = sb.dims[sb.rank - 2], n = sb.dims[sb.rank - 1];
    if (options->transpose_a) {
        int64_t swap = m;
        m = k, k = swap;
    }
    if (options->transpose_b) {
        int64_t swap = kb;
        kb = n, n = swap;
    }
    bool fits = k == kb && (sb.rank == 2 || sb.rank == sa.rank);
    for (uint32_t i = 0; fits && sb.rank > 2 && i + 2 < sb.rank; i++)
        fits = sa.dims[i] == sb.dims[i];
    if (fits && sb.rank == 2 && sa.rank > 2 && options->transpose_a)
        return dipp_graph_fail(g, "matmul: a batched transposed a needs a batched b");
    if (!fits)
        return dipp_graph_fail(g, "matmul: %s%s x %s%s does not fit", dipp_shape_text(&sa, ta, sizeof ta),
                               options->transpose_a ? "^T" : "", dipp_shape_text(&sb, tb, sizeof tb),
                               options->transpose_b ? "^T" : "");
    dipp_dtype dtype = common_dtype(g, a, b);
    dipp_tensor inputs[2] = {dipp_cast(g, a, dtype), dipp_cast(g, b, dtype)};
    dipp_shape out = sa;
    out.dims[out.rank - 2] = m;
    out.dims[out.rank - 1] = n;
    return dipp_append(g, DIPP_OP_MATMUL, inputs, 2,
                       &(dipp_attributes){.transpose_a = options->transpose_a, .transpose_b = options->transpose_b},
                       options->wide_output ? DIPP_WIDE : dtype, out);
}

dipp_tensor dipp_layer_parameter(dipp_graph *g, dipp_params p, const char *name, const char *part, dipp_shape shape,
                                 dipp_param_options options, const char *const *layer_aliases)
{
    enum { MOST = 4 };
    char full[256], other[MOST][256];
    const char *aliases[MOST + 1] = {NULL};
    size_t count = 0;
    for (; layer_aliases && layer_aliases[count]; count++) {
        if (count == MOST)
            return dipp_graph_fail(g, "layer \"%s\" has more than %d other names", name, (int)MOST);
        snprintf(other[count], sizeof other[count], "%s.%s", layer_aliases[count], part);
        aliases[count] = other[count];
    }
    snprintf(full, sizeof full, "%s.%s", name, part);
    options.aliases = count ? aliases : NULL;
    return dipp_param(g, p, full, shape, &options);
}

void dipp_layer_parameters(dipp_graph *g, dipp_params p, const char *name, dipp_shape shape,
                           const dipp_linear_options *options, dipp_tensor *weight_and_bias)
{
    dipp_param_options weight = {.init = options->zero ? DIPP_INIT_ZEROS : DIPP_INIT_XAVIER, .value = options->gain};
    dipp_param_options bias = {.init = DIPP_INIT_ZEROS};
    weight_and_bias[0] = dipp_layer_parameter(g, p, name, "weight", shape, weight, options->aliases);
    if (!options->no_bias)
        weight_and_bias[1] =
            dipp_layer_parameter(g, p, name, "bias", DIPP_SHAPE(shape.dims[0]), bias, options->aliases);
}

dipp_tensor dipp_linear(dipp_graph *g, dipp_params p, const char *name, dipp_tensor x, int64_t out_features,
                        const dipp_linear_options *options)
{
    static const dipp_linear_options defaults = {0};
    if (!options)
        options = &defaults;
    if (!dipp_usable_float(g, x, name))
        return DIPP_NONE;
    dipp_shape shape = dipp_shape_of(g, x);
    if (shape.rank < 1)
        return dipp_graph_fail(g, "linear \"%s\": a scalar has no features", name);
    dipp_tensor inputs[3] = {dipp_cast(g, x, DIPP_COMPUTE)};
    dipp_shape weight = DIPP_SHAPE(out_features, shape.dims[shape.rank - 1]);
    dipp_layer_parameters(g, p, name, weight, options, inputs + 1);
    if (dipp_graph_failed(g))
        return DIPP_NONE;
    shape.dims[shape.rank - 1] = out_features;
    dipp_tensor y =
        dipp_append(g, DIPP_OP_LINEAR, inputs, 3, NULL, options->wide_output ? DIPP_WIDE : DIPP_COMPUTE, shape);
    return dipp_adapt_layer(g, p, name, inputs[0], y, weight, NULL, options->aliases);
}

dipp_tensor dipp_embedding(dipp_graph *g, dipp_params p, const char *name, dipp_tensor ids, int64_t entries,
                           int64_t width, const dipp_param_options *options)
{
    if (!dipp_usable(g, ids, name))
        return DIPP_NONE;
    if (dipp_dtype_of(g, ids) != DIPP_INT32)
        return dipp_graph_fail(g, "embedding \"%s\": ids must be integers", name);
    dipp_shape shape = dipp_shape_of(g, ids);
    if (shape.rank == DIPP_MAX_RANK)
        return dipp_graph_fail(g, "embedding \"%s\": ids have too many axes", name);
    dipp_param_options weight = options ? *options : (dipp_param_options){0};
    dipp_tensor table = dipp_layer_parameter(g, p, name, "weight", DIPP_SHAPE(entries, width), weight, weight.aliases);
    if (dipp_graph_failed(g))
        return DIPP_NONE;
    dipp_tensor inputs[2] = {table, ids};
    shape.dims[shape.rank++] = width;
    return dipp_append(g, DIPP_OP_EMBEDDING, inputs, 2, NULL, dipp_dtype_of(g, table), shape);
}

dipp_tensor dipp_inverse(dipp_graph *g, dipp_tensor x)
{
    if (!dipp_usable_float(g, x, "inverse"))
        return DIPP_NONE;
    dipp_shape shape = dipp_shape_of(g, x);
    int64_t d = shape.rank ? shape.dims[shape.rank - 1] : 0;
    if (shape.rank < 2 || shape.dims[shape.rank - 2] != d || d > 16)
        return dipp_graph_fail(g, "inverse: needs square matrices of at most 16 rows");
    x = dipp_cast(g, x, DIPP_WIDE);
    return dipp_append(g, DIPP_OP_INVERSE, &x, 1, NULL, DIPP_WIDE, shape);
}

dipp_tensor dipp_softmax(dipp_graph *g, dipp_tensor x)
{
    if (!dipp_usable_float(g, x, "softmax"))
        return DIPP_NONE;
    if (dipp_shape_of(g, x).rank < 1)
        return dipp_graph_fail(g, "softmax: needs an axis");
    return dipp_append(g, DIPP_OP_SOFTMAX, &x, 1, NULL, dipp_dtype_of(g, x), dipp_shape_of(g, x));
}

dipp_tensor dipp_attention(dipp_graph *g, dipp_tensor q, dipp_tensor k, dipp_tensor v,
                           const dipp_attention_options *options)
{
    if (!dipp_usable_float(g, q, "attention") || !dipp_usable_float(g, k, "attention") ||
        !dipp_usable_float(g, v, "attention"))
        return DIPP_NONE;
    dipp_shape sq = dipp_shape_of(g, q), sk = dipp_shape_of(g, k), sv = dipp_shape_of(g, v);
    bool fits = sq.rank == 3 && sk.rank == 3 && dipp_same_shape(&sk, &sv) && sq.dims[0] == sk.dims[0] &&
                sq.dims[2] == sk.dims[2] && options && options->heads && sq.dims[2] % options->heads == 0;
    if (fits && options->key_bias.id) {
        dipp_shape sb = dipp_shape_of(g, options->key_bias), want = DIPP_SHAPE(sk.dims[0], sk.dims[1]);
        fits = dipp_same_shape(&sb, &want);
    }
    if (fits && options->causal && sq.dims[1] != sk.dims[1])
        return dipp_graph_fail(g, "attention: causal needs as many queries as keys");
    if (!fits) {
        char tq[128], tk[128];
        return dipp_graph_fail(g, "attention: q %s and k %s with %u heads do not fit",
                               dipp_shape_text(&sq, tq, sizeof tq), dipp_shape_text(&sk, tk, sizeof tk),
                               options ? options->heads : 0);
    }
    dipp_attributes attributes = {.heads = options->heads, .alpha = options->scale, .causal = options->causal};
    if (attributes.alpha == 0.0) {
        int64_t head = sq.dims[2] / options->heads; /* exact: checked above */
        attributes.alpha = 1.0 / sqrt((double)head);
    }
    dipp_tensor bias = options->key_bias.id ? dipp_cast(g, options->key_bias, DIPP_WIDE) : DIPP_NONE;
    dipp_tensor inputs[4] = {dipp_cast(g, q, DIPP_COMPUTE), dipp_cast(g, k, DIPP_COMPUTE),
                             dipp_cast(g, v, DIPP_COMPUTE), bias};
    dipp_dtype dtypes[2] = {DIPP_COMPUTE, DIPP_WIDE};
    dipp_shape shapes[2] = {sq, DIPP_SHAPE(sq.dims[0], (int64_t)options->heads, sq.dims[1])};
    dipp_tensor outputs[2];
    dipp_append_many(g, DIPP_OP_ATTENTION, inputs, 4, &attributes, 2, dtypes, shapes, outputs);
    return outputs[0];
}

/* gain or gate: [C] or [B, C] for x [B, ..., C]. */
static bool modulation_fits(const dipp_shape *x, const dipp_shape *m)
{
    int64_t width = x->dims[x->rank - 1];
    return (m->rank == 1 && m->dims[0] == width) ||
           (m->rank == 2 && x->rank >= 2 && m->dims[0] == x->dims[0] && m->dims[1] == width);
}

dipp_tensor dipp_layer_norm(dipp_graph *g, dipp_tensor x, const dipp_layer_norm_options *options)
{
    static const dipp_layer_norm_options defaults = {0};
    if (!options)
        options = &defaults;
    if (!dipp_usable_float(g, x, "layer_norm"))
        return DIPP_NONE;
    dipp_shape shape = dipp_shape_of(g, x);
    if (shape.rank < 1)
        return dipp_graph_fail(g, "layer_norm: needs an axis");
    if (options->bias.id && !options->gain.id)
        return dipp_graph_fail(g, "layer_norm: a bias needs a gain");
    if (options->gain.id) {
        dipp_shape gain = dipp_shape_of(g, options->gain);
        bool fits = modulation_fits(&shape, &gain);
        if (fits && options->bias.id) {
            dipp_shape bias = dipp_shape_of(g, options->bias);
            fits = dipp_same_shape(&gain, &bias);
        }
        if (!fits)
            return dipp_graph_fail(g, "layer_norm: gain and bias must be [C] or [B, C]");
    }
    dipp_tensor gain = options->gain, bias = options->bias;
    if (gain.id && bias.id) {
        dipp_dtype dtype = common_dtype(g, gain, bias);
        gain = dipp_cast(g, gain, dtype), bias = dipp_cast(g, bias, dtype);
    }
    dipp_tensor inputs[3] = {x, gain, bias}, outputs[2];
    dipp_attributes attributes = {.alpha = options->epsilon > 0 ? options->epsilon : 1e-5,
                                  .plus_one = options->gain_plus_one};
    dipp_dtype dtypes[2] = {DIPP_COMPUTE, DIPP_WIDE};
    dipp_shape shapes[2] = {shape, DIPP_SHAPE(dipp_shape_elements(&shape) / shape.dims[shape.rank - 1], 2)};
    dipp_append_many(g, DIPP_OP_LAYER_NORM, inputs, 3, &attributes, 2, dtypes, shapes, outputs);
    return outputs[0];
}

dipp_tensor dipp_gated_add(dipp_graph *g, dipp_tensor x, dipp_tensor gate, dipp_tensor h)
{
    if (!dipp_usable_float(g, x, "gated_add") || !dipp_usable_float(g, gate, "gated_add") ||
        !dipp_usable_float(g, h, "gated_add"))
        return DIPP_NONE;
    dipp_shape sx = dipp_shape_of(g, x), sg = dipp_shape_of(g, gate), sh = dipp_shape_of(g, h);
    if (sx.rank < 2 || sg.rank != 2 || !modulation_fits(&sx, &sg) || !dipp_same_shape(&sx, &sh))
        return dipp_graph_fail(g, "gated_add: x and h must be [B, ..., C] and the gate [B, C]");
    dipp_tensor inputs[3] = {x, gate, h};
    return dipp_append(g, DIPP_OP_GATED_ADD, inputs, 3, NULL, dipp_dtype_of(g, x), sx);
}

dipp_tensor dipp_sinusoid(dipp_graph *g, dipp_tensor t, int64_t width, double max_period, bool sin_first)
{
    if (!dipp_usable_float(g, t, "sinusoid"))
        return DIPP_NONE;
    dipp_shape shape = dipp_shape_of(g, t);
    if (shape.rank != 1 || width < 2 || width % 2)
        return dipp_graph_fail(g, "sinusoid: needs t [N] and an even width");
    t = dipp_cast(g, t, DIPP_WIDE);
    return dipp_append(g, DIPP_OP_SINUSOID, &t, 1, &(dipp_attributes){.alpha = max_period, .sin_first = sin_first},
                       DIPP_WIDE, DIPP_SHAPE(shape.dims[0], width));
}

static dipp_tensor philox(dipp_graph *g, dipp_op op, dipp_tensor key, dipp_shape shape)
{
    if (!dipp_usable(g, key, dipp_op_infos[op].name))
        return DIPP_NONE;
    dipp_shape six = DIPP_SHAPE(6), have = dipp_shape_of(g, key);
    if (dipp_dtype_of(g, key) != DIPP_INT32 || !dipp_same_shape(&have, &six) || shape.rank < 1)
        return dipp_graph_fail(g, "%s: the key must be six integers and the result have a batch axis",
                               dipp_op_infos[op].name);
    return dipp_append(g, op, &key, 1, NULL, DIPP_WIDE, shape);
}

dipp_tensor dipp_philox_normal(dipp_graph *g, dipp_tensor key, dipp_shape shape)
{
    return philox(g, DIPP_OP_PHILOX_NORMAL, key, shape);
}

dipp_tensor dipp_philox_uniform(dipp_graph *g, dipp_tensor key, dipp_shape shape)
{
    return philox(g, DIPP_OP_PHILOX_UNIFORM, key, shape);
}

/* A range's weights are the masters, with a copy where compute is narrower; or, without masters, the compute block. */
dipp_tensor dipp_record_optimizer(dipp_graph *g, dipp_params slot, const dipp_parameter_set *set, dipp_tensor scalars,
                                  dipp_tensor key, int optimizer, bool ema)
{
    dipp_tensor gradient = dipp_state(g, slot, DIPP_BLOCK_GRADIENT, 0);
    dipp_tensor norm = dipp_append(g, DIPP_OP_GRAD_NORM, &gradient, 1, NULL, DIPP_WIDE, DIPP_SHAPE(2));
    dipp_tensor master = dipp_state(g, slot, DIPP_BLOCK_MASTER, 0),
                compute = dipp_state(g, slot, DIPP_BLOCK_COMPUTE, 0);
    dipp_tensor inputs[9] = {norm,
                             scalars,
                             DIPP_NONE,
                             gradient,
                             dipp_state(g, slot, DIPP_BLOCK_MOMENT1, dipp_parameter_set_words(set, DIPP_BLOCK_MOMENT1)),
                             dipp_state(g, slot, DIPP_BLOCK_MOMENT2, dipp_parameter_set_words(set, DIPP_BLOCK_MOMENT2)),
                             ema ? dipp_state(g, slot, DIPP_BLOCK_EMA, 0) : DIPP_NONE,
                             DIPP_NONE,
                             key};
    if (dipp_graph_failed(g))
        return DIPP_NONE;
    dipp_layout_range ranges[DIPP_LAYOUT_RANGES];
    uint32_t count = dipp_layout_ranges(g->slots[slot.slot].layout, ranges);
    for (uint32_t i = 0; i < count; i++) {
        bool masters = ranges[i].wide || !set->formats.bf16_weights;
        inputs[2] = masters ? master : compute;
        inputs[7] = masters && !set->backend->compute_is_wide ? compute : DIPP_NONE;
        dipp_attributes attributes = {.start = ranges[i].start,
                                      .count = ranges[i].count,
                                      .decay = ranges[i].decay,
                                      .optimizer = (uint8_t)optimizer,
                                      .state = (uint8_t)set->formats.state};
        dipp_append_many(g, DIPP_OP_OPTIMIZER_STEP, inputs, 9, &attributes, 0, NULL, NULL, NULL);
    }
    return norm;
}
