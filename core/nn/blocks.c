/* Pieces that the networks of this folder share: attention with projections, masks, norms with gains, two-layer MLPs. */
#include "nn/blocks.h"

#include <math.h>

/* Large enough to silence a key in f32 softmax, small enough for any dtype; the published models use this number. */
static const double masked_logit = 10000.0;

dipp_tensor dipp_nn_key_bias(dipp_graph *g, dipp_tensor mask)
{
    return dipp_scale_add(g, dipp_cast(g, mask, DIPP_WIDE), masked_logit, -masked_logit);
}

/* A linear layer with at most one other name. */
static dipp_tensor projection(dipp_graph *g, dipp_params p, const char *name, const char *old_name, dipp_tensor x,
                              int64_t width, dipp_linear_options options)
{
    const char *const aliases[2] = {old_name, NULL};
    options.struct_size = sizeof options;
    options.aliases = old_name ? aliases : NULL;
    return dipp_linear(g, p, name, x, width, &options);
}

dipp_tensor dipp_nn_attention(dipp_graph *g, dipp_params p, const dipp_attention_layer *layer, dipp_tensor x,
                              dipp_tensor context)
{
    static const dipp_attention_names none = {NULL, NULL, NULL, NULL};
    const dipp_attention_names *names = layer->names, *old = layer->old_names ? layer->old_names : &none;
    int64_t width = dipp_dim(g, x, -1);
    dipp_linear_options in = {.no_bias = layer->no_input_bias}, out = {.zero = layer->zero_out};

    dipp_tensor q = projection(g, p, names->query, old->query, x, width, in);
    dipp_tensor k = projection(g, p, names->key, old->key, context, width, in);
    dipp_tensor v = projection(g, p, names->value, old->value, context, width, in);
    dipp_attention_options attention = {
        .struct_size = sizeof attention, .heads = layer->heads, .key_bias = layer->key_bias, .causal = layer->causal};
    dipp_tensor mixed = dipp_attention(g, q, k, v, &attention);
    return projection(g, p, names->out, old->out, mixed, width, out);
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

dipp_tensor dipp_nn_patches(dipp_graph *g, dipp_params p, const char *name, dipp_tensor x, int64_t patch, int64_t width,
                            bool no_bias)
{
    dipp_params here = dipp_scope(g, p, "%s", name);
    int64_t n = dipp_dim(g, x, 0), c = dipp_dim(g, x, 1);
    int64_t rows = dipp_dim(g, x, 2) / patch, columns = dipp_dim(g, x, 3) / patch, features = c * patch * patch;
    dipp_tensor h = dipp_reshape(g, dipp_cast(g, x, DIPP_COMPUTE), DIPP_SHAPE(n, c, rows, patch, columns, patch));
    h = dipp_permute(g, h, (const int[]){0, 2, 4, 1, 3, 5});
    h = dipp_reshape(g, h, DIPP_SHAPE(n, rows * columns, features));

    /* Xavier of the flattened view [width, C patch patch], as published training code starts it. */
    dipp_param_options uniform = {.struct_size = sizeof uniform, .init = DIPP_INIT_UNIFORM};
    uniform.value = sqrt(6.0 / (double)(features + width));
    dipp_tensor weight = dipp_param(g, here, "weight", DIPP_SHAPE(width, c, patch, patch), &uniform);
    dipp_matmul_options product = {.struct_size = sizeof product, .transpose_b = true, .wide_output = true};
    h = dipp_matmul(g, h, dipp_reshape(g, weight, DIPP_SHAPE(width, features)), &product);
    if (no_bias)
        return h;
    dipp_param_options wide = {.struct_size = sizeof wide, .init = DIPP_INIT_ZEROS, .flags = DIPP_PARAM_WIDE};
    return dipp_add(g, h, dipp_param(g, here, "bias", DIPP_SHAPE(width), &wide));
}

dipp_tensor dipp_nn_table(dipp_graph *g, dipp_params p, const char *name, dipp_shape shape)
{
    dipp_param_options normal = {
        .struct_size = sizeof normal, .init = DIPP_INIT_NORMAL, .value = 0.02, .flags = DIPP_PARAM_WIDE};
    return dipp_param(g, p, name, shape, &normal);
}

dipp_tensor dipp_nn_class_token(dipp_graph *g, dipp_params p, const char *name, dipp_shape token, dipp_tensor x)
{
    int64_t n = dipp_dim(g, x, 0), width = dipp_dim(g, x, 2);
    dipp_tensor one = dipp_reshape(g, dipp_nn_table(g, p, name, token), DIPP_SHAPE(1, 1, width));
    dipp_tensor parts[2] = {dipp_broadcast_to(g, one, DIPP_SHAPE(n, 1, width)), dipp_cast(g, x, DIPP_WIDE)};
    return dipp_concat(g, parts, 2, 1);
}

dipp_tensor dipp_nn_first_tokens(dipp_graph *g, dipp_tensor x, int64_t count)
{
    return count == dipp_dim(g, x, 1) ? x : dipp_slice(g, x, 1, 0, count);
}
