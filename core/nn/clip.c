/* CLIP (Radford et al. 2021, arXiv 2103.00020) with the tensor names of transformers' CLIPModel; files in the layout of
 * OpenAI and open_clip are renamed when they are read. H/14, L/14, B/32 and g/14 are values of dipp_clip_options.
 *
 * Shapes: N samples, T = 1 + (size/patch)^2 tokens of a picture or L of a text, C = width of the tower. The residual stream
 * is wide; everything that enters a matrix product is compute. */
#include "nn/blocks.h"

static const dipp_attention_names attention_names = {"q_proj", "k_proj", "v_proj", "out_proj"};

static dipp_status check_tower(const char *name, const dipp_clip_tower *t, dipp_error *error)
{
    if (t->width < 1 || t->layers < 1 || t->heads < 1 || t->inner < 0)
        return dipp_fail(
            error, DIPP_E_INVALID,
            "clip: the %s tower's width, layers and heads must be at least 1 and inner not negative; found "
            "%lld, %lld, %lld and %lld",
            name, (long long)t->width, (long long)t->layers, (long long)t->heads, (long long)t->inner);
    if (t->width % t->heads != 0)
        return dipp_fail(error, DIPP_E_INVALID, "clip: %lld heads do not divide the %s tower's width %lld",
                         (long long)t->heads, name, (long long)t->width);
    return DIPP_OK;
}

dipp_status dipp_clip_check_text(const dipp_clip_options *o, dipp_error *error)
{
    if (o->vocabulary < 1 || o->length < 1 || !(o->epsilon >= 0))
        return dipp_fail(
            error, DIPP_E_INVALID,
            "clip: vocabulary and length must be at least 1 and epsilon not negative; found %lld, %lld and %g",
            (long long)o->vocabulary, (long long)o->length, o->epsilon);
    return check_tower("text", &o->text, error);
}

dipp_status dipp_clip_check(const dipp_clip_options *o, dipp_error *error)
{
    if (o->joint < 1 || o->size < 1 || o->patch < 1)
        return dipp_fail(error, DIPP_E_INVALID,
                         "clip: joint, size and patch must be at least 1; found %lld, %lld and %lld",
                         (long long)o->joint, (long long)o->size, (long long)o->patch);
    if (o->size % o->patch != 0)
        return dipp_fail(error, DIPP_E_INVALID, "clip: patch %lld does not divide the picture's size %lld",
                         (long long)o->patch, (long long)o->size);
    dipp_status status = check_tower("vision", &o->vision, error);
    return status == DIPP_OK ? dipp_clip_check_text(o, error) : status;
}

/* One pre-norm block: queries are the first `queries` of the tokens, keys and values all of them.
 * x [N, T, C] wide -> [N, queries, C] wide. */
static dipp_tensor block(dipp_graph *g, dipp_params p, const dipp_clip_tower *tower, dipp_tensor x, int64_t queries,
                         bool causal, double epsilon)
{
    dipp_attention_layer attention = {.names = &attention_names, .heads = (uint32_t)tower->heads, .causal = causal};
    int64_t inner = tower->inner ? tower->inner : 4 * tower->width;
    dipp_tensor all = dipp_nn_layer_norm(g, p, "layer_norm1", x, epsilon);
    dipp_tensor asking = dipp_nn_first_tokens(g, all, queries);
    x = dipp_add(g, dipp_nn_first_tokens(g, x, queries),
                 dipp_nn_attention(g, dipp_scope(g, p, "self_attn"), &attention, asking, all));
    dipp_tensor h = dipp_nn_layer_norm(g, p, "layer_norm2", x, epsilon);
    return dipp_add(g, x,
                    dipp_nn_mlp(g, dipp_scope(g, p, "mlp"), "fc1", "fc2", h, inner, tower->width,
                                tower->quick_gelu ? dipp_quick_gelu : dipp_gelu_erf));
}

/* x [N, C] -> NAME.weight [joint, C] times it: [N, joint], wide. */
static dipp_tensor project(dipp_graph *g, dipp_params p, const char *name, dipp_tensor x, int64_t joint)
{
    dipp_linear_options options = {.struct_size = sizeof options, .no_bias = true, .wide_output = true};
    return dipp_linear(g, p, name, x, joint, &options);
}

static double epsilon_of(const dipp_clip_options *o)
{
    return o->epsilon > 0 ? o->epsilon : 1e-5;
}

dipp_tensor dipp_clip_image(dipp_graph *g, dipp_params p, const dipp_clip_options *o, dipp_tensor pictures)
{
    dipp_error problem;
    if (dipp_clip_check(o, &problem) != DIPP_OK)
        return dipp_graph_fail(g, "%s", problem.message);
    dipp_shape shape = dipp_shape_of(g, pictures);
    if (dipp_graph_failed(g))
        return DIPP_NONE;
    if (shape.rank != 4 || shape.dims[1] != 3 || shape.dims[2] != o->size || shape.dims[3] != o->size)
        return dipp_graph_fail(g, "clip: pictures must be [N, 3, %lld, %lld]; found rank %u [%lld, %lld, %lld, %lld]",
                               (long long)o->size, (long long)o->size, shape.rank, (long long)shape.dims[0],
                               (long long)shape.dims[1], (long long)shape.dims[2], (long long)shape.dims[3]);

    int64_t n = shape.dims[0], width = o->vision.width;
    dipp_params model = dipp_scope(g, p, "vision_model"), embeddings = dipp_scope(g, model, "embeddings");
    dipp_tensor x = dipp_nn_patches(g, embeddings, "patch_embedding", pictures, o->patch, width, true);
    x = dipp_nn_class_token(g, embeddings, "class_embedding", DIPP_SHAPE(width), x);
    int64_t tokens = dipp_dim(g, x, 1);
    x = dipp_add(g, x, dipp_nn_table(g, embeddings, "position_embedding.weight", DIPP_SHAPE(tokens, width)));
    x = dipp_cast(g, dipp_nn_layer_norm(g, model, "pre_layrnorm", x, epsilon_of(o)), DIPP_WIDE); /* sic */
    for (int64_t i = 0; i < o->vision.layers; i++) { /* of the last block only the class token is read */
        dipp_block_begin(g);
        x = block(g, dipp_scope(g, model, "encoder.layers.%lld", (long long)i), &o->vision, x,
                  i + 1 < o->vision.layers ? tokens : 1, false, epsilon_of(o));
        dipp_block_end(g);
    }
    x = dipp_nn_layer_norm(g, model, "post_layernorm", dipp_reshape(g, x, DIPP_SHAPE(n, width)), epsilon_of(o));
    return project(g, p, "visual_projection", x, o->joint);
}

/* tokens [N, L] through embeddings and blocks, before the last norm: [N, L, C], wide. */
static dipp_tensor text_blocks(dipp_graph *g, dipp_params model, const dipp_clip_options *o, dipp_tensor tokens,
                               int64_t length)
{
    int64_t width = o->text.width;
    dipp_params embeddings = dipp_scope(g, model, "embeddings");
    dipp_param_options table = {.struct_size = sizeof table, .init = DIPP_INIT_NORMAL, .value = 0.02};
    dipp_tensor x = dipp_embedding(g, embeddings, "token_embedding", tokens, o->vocabulary, width, &table);
    dipp_tensor position = dipp_nn_table(g, embeddings, "position_embedding.weight", DIPP_SHAPE(o->length, width));
    x = dipp_add(g, x, length == o->length ? position : dipp_slice(g, position, 0, 0, length));
    for (int64_t i = 0; i < o->text.layers; i++) {
        dipp_block_begin(g);
        x = block(g, dipp_scope(g, model, "encoder.layers.%lld", (long long)i), &o->text, x, length, true,
                  epsilon_of(o));
        dipp_block_end(g);
    }
    return x;
}

/* mask [N, L] of leading ones -> the same with a single one, the last of them. */
static dipp_tensor last_valid(dipp_graph *g, dipp_tensor mask)
{
    int64_t length = dipp_dim(g, mask, 1);
    dipp_tensor next = dipp_pad(g, dipp_slice(g, mask, 1, 1, length - 1), 1, 0, 1);
    return dipp_sub(g, mask, next);
}

dipp_tensor dipp_clip_text(dipp_graph *g, dipp_params p, const dipp_clip_options *o, dipp_tensor tokens,
                           dipp_tensor mask)
{
    dipp_error problem;
    if (dipp_clip_check(o, &problem) != DIPP_OK)
        return dipp_graph_fail(g, "%s", problem.message);
    dipp_shape st = dipp_shape_of(g, tokens), sm = dipp_shape_of(g, mask);
    if (dipp_graph_failed(g))
        return DIPP_NONE;
    if (st.rank != 2 || st.dims[1] < 2 || st.dims[1] > o->length || !sm.rank || sm.rank != st.rank ||
        sm.dims[0] != st.dims[0] || sm.dims[1] != st.dims[1])
        return dipp_graph_fail(g,
                               "clip: tokens and mask must be [N, L] with L from 2 to %lld; found rank %u [%lld, %lld] "
                               "and rank %u [%lld, %lld]",
                               (long long)o->length, st.rank, (long long)st.dims[0], (long long)st.dims[1], sm.rank,
                               (long long)sm.dims[0], (long long)sm.dims[1]);

    dipp_params model = dipp_scope(g, p, "text_model");
    /* What follows the end of the text is never seen: attention is causal, and the end itself is read. */
    dipp_tensor x = text_blocks(g, model, o, tokens, st.dims[1]);
    dipp_tensor end = dipp_reshape(g, last_valid(g, mask), DIPP_SHAPE(st.dims[0], st.dims[1], 1));
    x = dipp_sum(g, dipp_mul(g, x, end), 1u << 1, false); /* [N, C] */
    x = dipp_nn_layer_norm(g, model, "final_layer_norm", x, epsilon_of(o));
    return project(g, p, "text_projection", x, o->joint);
}

dipp_tensor dipp_clip_text_states(dipp_graph *g, dipp_params p, const dipp_clip_options *o, dipp_tensor tokens)
{
    dipp_error problem;
    if (dipp_clip_check_text(o, &problem) != DIPP_OK)
        return dipp_graph_fail(g, "%s", problem.message);
    dipp_shape shape = dipp_shape_of(g, tokens);
    if (dipp_graph_failed(g))
        return DIPP_NONE;
    if (shape.rank != 2 || shape.dims[1] > o->length)
        return dipp_graph_fail(g, "clip: tokens must be [N, L] with L at most %lld; found rank %u [%lld, %lld]",
                               (long long)o->length, shape.rank, (long long)shape.dims[0], (long long)shape.dims[1]);
    dipp_params model = dipp_scope(g, p, "text_model");
    dipp_tensor x = text_blocks(g, model, o, tokens, shape.dims[1]);
    return dipp_nn_layer_norm(g, model, "final_layer_norm", x, epsilon_of(o));
}

dipp_tensor dipp_clip_scale(dipp_graph *g, dipp_params p)
{
    /* ln(1/0.07), where published training starts */
    dipp_param_options start = {
        .struct_size = sizeof start, .init = DIPP_INIT_CONSTANT, .value = 2.6592600369327783, .flags = DIPP_PARAM_WIDE};
    return dipp_exp(g, dipp_param(g, p, "logit_scale", (dipp_shape){0}, &start));
}

dipp_tensor dipp_unit(dipp_graph *g, dipp_tensor x)
{
    dipp_tensor wide = dipp_cast(g, x, DIPP_WIDE);
    dipp_tensor square = dipp_sum(g, dipp_mul(g, wide, wide), 1u << 1, true);
    return dipp_div(g, wide, dipp_sqrt(g, square));
}
