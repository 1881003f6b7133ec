/* The network of ImageReward (arXiv 2304.05977): BLIP's vision transformer and the BERT that reads the picture's tokens by
 * cross-attention in every layer, with the tensor names of its published file below `blip.`.
 *
 * Shapes: N samples, M = 1 + (size/patch)^2 picture tokens of width V, L text tokens of width C. The residual streams are wide;
 * everything that enters a matrix product is compute. */
#include "nn/blocks.h"

static double or_else(double value, double fallback)
{
    return value > 0 ? value : fallback;
}

dipp_status dipp_blip_check(const dipp_blip_options *o, dipp_error *error)
{
    const int64_t positive[] = {o->size,         o->patch,        o->vision_width, o->vision_layers,
                                o->vision_heads, o->vision_inner, o->vocabulary,   o->positions,
                                o->text_width,   o->text_layers,  o->text_heads,   o->text_inner};
    static const char *const names[] = {"size",         "patch",        "vision_width", "vision_layers",
                                        "vision_heads", "vision_inner", "vocabulary",   "positions",
                                        "text_width",   "text_layers",  "text_heads",   "text_inner"};
    for (size_t i = 0; i < sizeof positive / sizeof *positive; i++)
        if (positive[i] < 1)
            return dipp_fail(error, DIPP_E_INVALID, "blip: %s must be at least 1; found %lld", names[i],
                             (long long)positive[i]);
    if (o->size % o->patch != 0)
        return dipp_fail(error, DIPP_E_INVALID, "blip: patch %lld does not divide the picture's size %lld",
                         (long long)o->patch, (long long)o->size);
    if (o->vision_width % o->vision_heads != 0 || o->text_width % o->text_heads != 0)
        return dipp_fail(error, DIPP_E_INVALID,
                         "blip: heads must divide widths; found %lld of %lld (vision) and %lld of %lld (text)",
                         (long long)o->vision_heads, (long long)o->vision_width, (long long)o->text_heads,
                         (long long)o->text_width);
    if (!(o->vision_epsilon >= 0) || !(o->text_epsilon >= 0))
        return dipp_fail(error, DIPP_E_INVALID, "blip: epsilons must not be negative; found %g and %g",
                         o->vision_epsilon, o->text_epsilon);
    return DIPP_OK;
}

/* Attention with the three inputs in one product, as the file has them: qkv [3 V, V]. x [N, M, V] -> the same. */
static dipp_tensor fused_attention(dipp_graph *g, dipp_params p, dipp_tensor x, uint32_t heads)
{
    int64_t width = dipp_dim(g, x, 2);
    dipp_tensor qkv = dipp_linear(g, p, "qkv", x, 3 * width, NULL), part[3];
    for (int i = 0; i < 3; i++)
        part[i] = dipp_slice(g, qkv, 2, i * width, width);
    dipp_attention_options options = {.struct_size = sizeof options, .heads = heads};
    return dipp_linear(g, p, "proj", dipp_attention(g, part[0], part[1], part[2], &options), width, NULL);
}

dipp_tensor dipp_blip_image(dipp_graph *g, dipp_params p, const dipp_blip_options *o, dipp_tensor pictures)
{
    dipp_error problem;
    if (dipp_blip_check(o, &problem) != DIPP_OK)
        return dipp_graph_fail(g, "%s", problem.message);
    dipp_shape shape = dipp_shape_of(g, pictures);
    if (dipp_graph_failed(g))
        return DIPP_NONE;
    if (shape.rank != 4 || shape.dims[1] != 3 || shape.dims[2] != o->size || shape.dims[3] != o->size)
        return dipp_graph_fail(g, "blip: pictures must be [N, 3, %lld, %lld]; found rank %u [%lld, %lld, %lld, %lld]",
                               (long long)o->size, (long long)o->size, shape.rank, (long long)shape.dims[0],
                               (long long)shape.dims[1], (long long)shape.dims[2], (long long)shape.dims[3]);

    double epsilon = or_else(o->vision_epsilon, 1e-6);
    int64_t width = o->vision_width;
    dipp_params model = dipp_scope(g, p, "visual_encoder");
    dipp_tensor x = dipp_nn_patches(g, model, "patch_embed.proj", pictures, o->patch, width, false);
    x = dipp_nn_class_token(g, model, "cls_token", DIPP_SHAPE(1, 1, width), x);
    x = dipp_add(g, x, dipp_nn_table(g, model, "pos_embed", DIPP_SHAPE(1, dipp_dim(g, x, 1), width)));
    for (int64_t i = 0; i < o->vision_layers; i++) {
        dipp_params here = dipp_scope(g, model, "blocks.%lld", (long long)i);
        dipp_block_begin(g);
        dipp_tensor h = dipp_nn_layer_norm(g, here, "norm1", x, epsilon);
        x = dipp_add(g, x, fused_attention(g, dipp_scope(g, here, "attn"), h, (uint32_t)o->vision_heads));
        h = dipp_nn_layer_norm(g, here, "norm2", x, epsilon);
        x = dipp_add(
            g, x, dipp_nn_mlp(g, dipp_scope(g, here, "mlp"), "fc1", "fc2", h, o->vision_inner, width, dipp_gelu_erf));
        dipp_block_end(g);
    }
    return dipp_nn_layer_norm(g, model, "norm", x, epsilon);
}

/* An attention block of BERT: norm(x + dense(attention)), queries from x, keys and values from context, biases everywhere.
 * x [N, T, C], context [N, M, D] -> [N, T, C], wide. */
static dipp_tensor attention_block(dipp_graph *g, dipp_params p, const dipp_blip_options *o, dipp_tensor x,
                                   dipp_tensor context, dipp_tensor key_bias)
{
    static const dipp_attention_names names = {"self.query", "self.key", "self.value", "output.dense"};
    dipp_attention_layer layer = {.names = &names, .heads = (uint32_t)o->text_heads, .key_bias = key_bias};
    dipp_tensor h = dipp_nn_attention(g, p, &layer, dipp_cast(g, x, DIPP_COMPUTE), context);
    return dipp_cast(
        g, dipp_nn_layer_norm(g, p, "output.LayerNorm", dipp_add(g, x, h), or_else(o->text_epsilon, 1e-12)), DIPP_WIDE);
}

/* One layer, of which the first `queries` tokens go on. x [N, L, C] wide -> [N, queries, C] wide. */
static dipp_tensor text_layer(dipp_graph *g, dipp_params p, const dipp_blip_options *o, dipp_tensor x, int64_t queries,
                              dipp_tensor key_bias, dipp_tensor image_tokens)
{
    dipp_tensor all = dipp_cast(g, x, DIPP_COMPUTE);
    x = attention_block(g, dipp_scope(g, p, "attention"), o, dipp_nn_first_tokens(g, x, queries), all, key_bias);
    x = attention_block(g, dipp_scope(g, p, "crossattention"), o, x, image_tokens, DIPP_NONE);
    dipp_tensor h = dipp_nn_mlp(g, p, "intermediate.dense", "output.dense", dipp_cast(g, x, DIPP_COMPUTE),
                                o->text_inner, o->text_width, dipp_gelu_erf);
    return dipp_cast(
        g, dipp_nn_layer_norm(g, p, "output.LayerNorm", dipp_add(g, x, h), or_else(o->text_epsilon, 1e-12)), DIPP_WIDE);
}

dipp_tensor dipp_blip_text(dipp_graph *g, dipp_params p, const dipp_blip_options *o, dipp_tensor tokens,
                           dipp_tensor mask, dipp_tensor image_tokens)
{
    dipp_error problem;
    if (dipp_blip_check(o, &problem) != DIPP_OK)
        return dipp_graph_fail(g, "%s", problem.message);
    dipp_shape st = dipp_shape_of(g, tokens), sm = dipp_shape_of(g, mask), si = dipp_shape_of(g, image_tokens);
    if (dipp_graph_failed(g))
        return DIPP_NONE;
    if (st.rank != 2 || st.dims[1] > o->positions || sm.rank != 2 || sm.dims[0] != st.dims[0] ||
        sm.dims[1] != st.dims[1] || si.rank != 3 || si.dims[0] != st.dims[0] || si.dims[2] != o->vision_width)
        return dipp_graph_fail(
            g,
            "blip: tokens and mask must be [N, L] with L at most %lld and the picture's tokens [N, M, "
            "%lld]; found rank %u [%lld, %lld], rank %u [%lld, %lld] and rank %u [%lld, %lld, %lld]",
            (long long)o->positions, (long long)o->vision_width, st.rank, (long long)st.dims[0], (long long)st.dims[1],
            sm.rank, (long long)sm.dims[0], (long long)sm.dims[1], si.rank, (long long)si.dims[0],
            (long long)si.dims[1], (long long)si.dims[2]);

    int64_t length = st.dims[1], width = o->text_width;
    dipp_params model = dipp_scope(g, p, "text_encoder"), embeddings = dipp_scope(g, model, "embeddings");
    dipp_param_options table = {.struct_size = sizeof table, .init = DIPP_INIT_NORMAL, .value = 0.02};
    dipp_tensor x = dipp_embedding(g, embeddings, "word_embeddings", tokens, o->vocabulary, width, &table);
    dipp_tensor position = dipp_nn_table(g, embeddings, "position_embeddings.weight", DIPP_SHAPE(o->positions, width));
    x = dipp_add(g, x, length == o->positions ? position : dipp_slice(g, position, 0, 0, length));
    x = dipp_cast(g, dipp_nn_layer_norm(g, embeddings, "LayerNorm", x, or_else(o->text_epsilon, 1e-12)), DIPP_WIDE);
    dipp_tensor key_bias = dipp_nn_key_bias(g, mask);
    for (int64_t i = 0; i < o->text_layers; i++) { /* of the last layer only the first token is read */
        dipp_block_begin(g);
        x = text_layer(g, dipp_scope(g, model, "encoder.layer.%lld", (long long)i), o, x,
                       i + 1 < o->text_layers ? length : 1, key_bias, image_tokens);
        dipp_block_end(g);
    }
    return dipp_cast(g, dipp_reshape(g, x, DIPP_SHAPE(st.dims[0], width)), DIPP_COMPUTE);
}
