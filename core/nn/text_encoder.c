/* The small text encoder of models that come with a vocabulary of their own: token and position embeddings, pre-norm
 * transformer blocks, final norm. Tensors are named as in CLIP's text model; unlike CLIP attention is not causal, padding
 * is masked, and the activation is GELU (tanh form). */
#include "nn/blocks.h"

static const dipp_attention_names attention_names = {"q_proj", "k_proj", "v_proj", "out_proj"};

dipp_status dipp_text_encoder_check(const dipp_text_encoder_options *o, dipp_error *error)
{
    if (o->vocabulary < 1 || o->length < 1 || o->width < 1 || o->layers < 0 || o->mlp_ratio < 0 || !(o->epsilon >= 0))
        return dipp_fail(error, DIPP_E_INVALID,
                         "text encoder: vocabulary, length and width must be at least 1, layers, mlp_ratio and epsilon "
                         "not negative; found %lld, %lld, %lld, %lld, %lld and %g",
                         (long long)o->vocabulary, (long long)o->length, (long long)o->width, (long long)o->layers,
                         (long long)o->mlp_ratio, o->epsilon);
    if (o->layers > 0 && (o->heads < 1 || o->width % o->heads != 0))
        return dipp_fail(error, DIPP_E_INVALID, "text encoder: heads must divide width; found width %lld, heads %lld",
                         (long long)o->width, (long long)o->heads);
    return DIPP_OK;
}

/* x [N, L, C] wide -> the same. */
static dipp_tensor block(dipp_graph *g, dipp_params p, const dipp_text_encoder_options *o, dipp_tensor x,
                         dipp_tensor key_bias, double epsilon)
{
    dipp_attention_layer attention = {.names = &attention_names, .heads = (uint32_t)o->heads, .key_bias = key_bias};
    int64_t inner = o->width * (o->mlp_ratio ? o->mlp_ratio : 4);
    dipp_tensor h = dipp_nn_layer_norm(g, p, "layer_norm1", x, epsilon);
    x = dipp_add(g, x, dipp_nn_attention(g, dipp_scope(g, p, "self_attn"), &attention, h, h));
    h = dipp_nn_layer_norm(g, p, "layer_norm2", x, epsilon);
    return dipp_add(g, x, dipp_nn_mlp(g, dipp_scope(g, p, "mlp"), "fc1", "fc2", h, inner, o->width, dipp_gelu_tanh));
}

dipp_tensor dipp_text_encoder(dipp_graph *g, dipp_params p, const dipp_text_encoder_options *o, dipp_tensor tokens,
                              dipp_tensor mask)
{
    dipp_error problem;
    if (dipp_text_encoder_check(o, &problem) != DIPP_OK)
        return dipp_graph_fail(g, "%s", problem.message);
    dipp_shape st = dipp_shape_of(g, tokens), sm = dipp_shape_of(g, mask);
    if (dipp_graph_failed(g))
        return DIPP_NONE;
    if (st.rank != 2 || st.dims[1] != o->length || sm.rank != 2 || sm.dims[0] != st.dims[0] || sm.dims[1] != o->length)
        return dipp_graph_fail(
            g,
            "text encoder: tokens and mask must be [N, %lld]; found rank %u [%lld, %lld] and rank %u "
            "[%lld, %lld]",
            (long long)o->length, st.rank, (long long)st.dims[0], (long long)st.dims[1], sm.rank, (long long)sm.dims[0],
            (long long)sm.dims[1]);

    dipp_params model = dipp_scope(g, p, "text_model"), embeddings = dipp_scope(g, model, "embeddings");
    dipp_param_options table = {.struct_size = sizeof table, .init = DIPP_INIT_NORMAL, .value = 0.02};
    dipp_param_options wide_table = table;
    wide_table.flags = DIPP_PARAM_WIDE;
    double epsilon = o->epsilon > 0 ? o->epsilon : 1e-5;

    dipp_tensor x = dipp_embedding(g, embeddings, "token_embedding", tokens, o->vocabulary, o->width, &table);
    dipp_tensor position =
        dipp_param(g, embeddings, "position_embedding.weight", DIPP_SHAPE(o->length, o->width), &wide_table);
    x = dipp_add(g, x, position);
    dipp_tensor key_bias = dipp_nn_key_bias(g, mask);
    for (int64_t i = 0; i < o->layers; ++i) {
        dipp_block_begin(g);
        x = block(g, dipp_scope(g, model, "encoder.layers.%lld", (long long)i), o, x, key_bias, epsilon);
        dipp_block_end(g);
    }
    return dipp_nn_layer_norm(g, model, "final_layer_norm", x, epsilon);
}
