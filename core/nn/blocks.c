/* Pieces that the networks of this folder share: attention with projections, masks, norms with gains, two-layer MLPs. */
#include "nn/blocks.h"

/* Large enough to silence a key in f32 softmax, small enough for any dtype; the published models use this number. */
static const double masked_logit = 10000.0;

dipp_tensor dipp_nn_key_bias(dipp_graph *g, dipp_tensor mask)
{
    return dipp_scale_add(g, dipp_cast(g, mask, DIPP_WIDE), masked_logit, -masked_logit);
}

dipp_tensor dipp_nn_attention(dipp_graph *g, dipp_params p, const dipp_attention_layer *layer, dipp_tensor x,
                              dipp_tensor context)
{
    const dipp_attention_names *names = layer->names;
    int64_t width = dipp_dim(g, x, -1);

    dipp_tensor q = dipp_linear(g, p, names->query, x, width, NULL);
    dipp_tensor k = dipp_linear(g, p, names->key, context, width, NULL);
    dipp_tensor v = dipp_linear(g, p, names->value, context, width, NULL);
    dipp_attention_options attention = {
        .struct_size = sizeof attention, .heads = layer->heads, .key_bias = layer->key_bias};
    dipp_tensor mixed = dipp_attention(g, q, k, v, &attention);
    dipp_linear_options out = {.struct_size = sizeof out, .zero = layer->zero_out};
    return dipp_linear(g, p, names->out, mixed, width, &out);
}

dipp_tensor dipp_nn_layer_norm(dipp_graph *g, dipp_params p, const char *name, dipp_tensor x, double epsilon)
{
    dipp_params here = dipp_scope(g, p, "%s", name);
    dipp_shape shape = DIPP_SHAPE(dipp_dim(g, x, -1));
    dipp_param_options ones = {.struct_size = sizeof ones, .init = DIPP_INIT_ONES, .flags = DIPP_PARAM_WIDE};
    dipp_param_options zeros = {.struct_size = sizeof zeros, .init = DIPP_INIT_ZEROS, .flags = DIPP_PARAM_WIDE};
    dipp_layer_norm_options norm = {.struct_size = sizeof norm, .epsilon = epsilon};
    norm.gain = dipp_param(g, here, "weight", shape, &ones);
    norm.bias = dipp_param(g, here, "bias", shape, &zeros);
    return dipp_layer_norm(g, x, &norm);
}

dipp_tensor dipp_nn_mlp(dipp_graph *g, dipp_params p, const char *first, const char *second, dipp_tensor x,
                        int64_t inner, int64_t outer, dipp_tensor (*activation)(dipp_graph *, dipp_tensor))
{
    dipp_tensor h = activation(g, dipp_linear(g, p, first, x, inner, NULL));
    return dipp_linear(g, p, second, h, outer, NULL);
}
