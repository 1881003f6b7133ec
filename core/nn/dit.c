/* The PixArt-alpha transformer (Chen et al. 2023, arXiv 2310.00426), tensor for tensor as the published diffusers files
 * name it, so that the XL/2 weights and a small model are two configurations of one function.
 *
 * Shapes: N samples, T = (height/patch) (width/patch) tokens, C = hidden, L text tokens. The residual stream is wide;
 * everything that enters a matrix product is compute. Modulation is adaLN-single: one time embedding e and one linear layer
 * t6 = Linear(SiLU(e)) serve all blocks, each of which adds a table [6, C] of its own. */
#include "nn/blocks.h"

#include <math.h>
#include <stdlib.h>

enum { SINUSOID_WIDTH = 256 };
static const double sinusoid_period = 10000.0;
static const dipp_attention_names attention_names = {"to_q", "to_k", "to_v", "to_out.0"};

/* Chunks of t6 in the order of the published files. */
enum { SHIFT_ATTENTION, SCALE_ATTENTION, GATE_ATTENTION, SHIFT_MLP, SCALE_MLP, GATE_MLP, CHUNKS };

dipp_status dipp_dit_check(const dipp_dit_options *o, dipp_error *error)
{
    if (o->channels < 1 || o->height < 1 || o->width < 1 || o->layers < 1 || o->heads < 1 || o->hidden < 1 ||
        o->patch < 1)
        return dipp_fail(
            error, DIPP_E_INVALID,
            "dit: channels, height, width, patch, hidden, layers and heads must be at least 1; found %lld, "
            "%lld, %lld, %lld, %lld, %lld and %lld",
            (long long)o->channels, (long long)o->height, (long long)o->width, (long long)o->patch,
            (long long)o->hidden, (long long)o->layers, (long long)o->heads);
    if (o->height % o->patch != 0 || o->width % o->patch != 0)
        return dipp_fail(
            error, DIPP_E_INVALID,
            "dit: patch %lld does not divide the sample's size %lld x %lld; choose a patch that divides both",
            (long long)o->patch, (long long)o->height, (long long)o->width);
    if (o->hidden % 4 != 0 || o->hidden % o->heads != 0)
        return dipp_fail(error, DIPP_E_INVALID,
                         "dit: hidden must be a multiple of 4 (positions) and of heads; found hidden %lld, heads %lld",
                         (long long)o->hidden, (long long)o->heads);
    if (o->mlp_ratio < 0 || o->caption_channels < 0 || o->position_base < 0)
        return dipp_fail(
            error, DIPP_E_INVALID,
            "dit: mlp_ratio, caption_channels and position_base must not be negative; found %lld, %lld and "
            "%lld",
            (long long)o->mlp_ratio, (long long)o->caption_channels, (long long)o->position_base);
    if (!(o->time_scale >= 0) || !(o->position_scale >= 0) || !(o->epsilon >= 0))
        return dipp_fail(error, DIPP_E_INVALID,
                         "dit: time_scale, position_scale and epsilon must not be negative; found %g, %g and %g",
                         o->time_scale, o->position_scale, o->epsilon);
    if ((o->micro_height > 0) != (o->micro_width > 0) || ((o->micro_height > 0) && o->hidden % 3 != 0))
        return dipp_fail(
            error, DIPP_E_INVALID,
            "dit: micro-conditioning needs both sizes and a hidden that is a multiple of 3; found %g x %g, "
            "hidden %lld",
            o->micro_height, o->micro_width, (long long)o->hidden);
    return DIPP_OK;
}

/* Fixed positions [1, T, C]: the first half of the features encodes the column, the second the row; each half is sines,
 * then cosines, of coordinate * 10000^(-i / (C/4)). Token order is row by row. */
static dipp_tensor positions(dipp_graph *g, const dipp_dit_options *o)
{
    int64_t rows = o->height / o->patch, columns = o->width / o->patch, hidden = o->hidden, quarter = hidden / 4;
    double base = (double)(o->position_base ? o->position_base : rows);
    double scale = o->position_scale > 0 ? o->position_scale : 1.0;
    double *table = malloc((size_t)(rows * columns * hidden) * sizeof *table);
    if (!table)
        return dipp_graph_fail(g, "dit: no memory for the position table of %lld x %lld tokens", (long long)rows,
                               (long long)columns);

    for (int64_t i = 0; i < quarter; ++i) {
        double omega = pow(sinusoid_period, -(double)i / (double)quarter);
        for (int64_t y = 0; y < rows; ++y) {
            for (int64_t x = 0; x < columns; ++x) {
                double *token = table + (y * columns + x) * hidden;
                double across = (double)x * base / (double)columns / scale * omega;
                double down = (double)y * base / (double)rows / scale * omega;
                token[i] = sin(across);
                token[quarter + i] = cos(across);
                token[2 * quarter + i] = sin(down);
                token[3 * quarter + i] = cos(down);
            }
        }
    }
    dipp_tensor result = dipp_constant(g, DIPP_SHAPE(1, rows * columns, hidden), table);
    free(table);
    return result;
}

/* Numbers [M] -> sinusoid, linear, SiLU, linear: [M, width]. */
static dipp_tensor embed_numbers(dipp_graph *g, dipp_params p, dipp_tensor numbers, int64_t width)
{
    dipp_tensor waves = dipp_sinusoid(g, numbers, SINUSOID_WIDTH, sinusoid_period, false);
    return dipp_nn_mlp(g, p, "linear_1", "linear_2", waves, width, width, dipp_silu);
}

/* t [N] -> e [N, C]. */
static dipp_tensor time_embedding(dipp_graph *g, dipp_params p, const dipp_dit_options *o, dipp_tensor t)
{
    dipp_params here = dipp_scope(g, p, "adaln_single.emb");
    dipp_tensor scaled = o->time_scale > 0 && o->time_scale != 1.0 ? dipp_scale_add(g, t, o->time_scale, 0) : t;
    dipp_tensor e = embed_numbers(g, dipp_scope(g, here, "timestep_embedder"), scaled, o->hidden);
    if (!(o->micro_height > 0))
        return e;

    /* One size for all samples: a constant row, broadcast over N. */
    int64_t third = o->hidden / 3;
    dipp_tensor size = dipp_constant(g, DIPP_SHAPE(2), (const double[]){o->micro_height, o->micro_width});
    dipp_tensor ratio = dipp_constant(g, DIPP_SHAPE(1), (const double[]){o->micro_height / o->micro_width});
    dipp_tensor parts[2];
    parts[0] = embed_numbers(g, dipp_scope(g, here, "resolution_embedder"), size, third);
    parts[0] = dipp_reshape(g, parts[0], DIPP_SHAPE(1, 2 * third));
    parts[1] = embed_numbers(g, dipp_scope(g, here, "aspect_ratio_embedder"), ratio, third);
    return dipp_add(g, e, dipp_concat(g, parts, 2, 1));
}

/* A table [rows, C] named scale_shift_table plus embedding (broadcastable to [N, rows, C]), split into rows of [N, C], wide. */
static void modulation(dipp_graph *g, dipp_params p, dipp_tensor embedding, int64_t rows, dipp_tensor *chunks)
{
    int64_t n = dipp_dim(g, embedding, 0), hidden = dipp_dim(g, embedding, 2);
    dipp_param_options normal = {.struct_size = sizeof normal, .init = DIPP_INIT_NORMAL, .flags = DIPP_PARAM_WIDE};
    normal.value = hidden > 0 ? 1.0 / sqrt((double)hidden) : 0;
    dipp_tensor table = dipp_param(g, p, "scale_shift_table", DIPP_SHAPE(rows, hidden), &normal);
    dipp_tensor sum = dipp_add(g, embedding, table);
    for (int64_t i = 0; i < rows; ++i)
        chunks[i] = dipp_reshape(g, dipp_slice(g, sum, 1, i, 1), DIPP_SHAPE(n, hidden));
}

/* Layer norm without parameters of its own, then * (1 + scale) + shift. */
static dipp_tensor modulated_norm(dipp_graph *g, const dipp_dit_options *o, dipp_tensor x, dipp_tensor shift,
                                  dipp_tensor scale)
{
    dipp_layer_norm_options norm = {.struct_size = sizeof norm, .gain_plus_one = true, .gain = scale, .bias = shift};
    norm.epsilon = o->epsilon > 0 ? o->epsilon : 1e-6;
    return dipp_layer_norm(g, x, &norm);
}

/* x [N, T, C] wide; t6 [N, 6, C]; caption [N, L, C] and key_bias [N, L], or none. */
static dipp_tensor block(dipp_graph *g, dipp_params p, const dipp_dit_options *o, dipp_tensor x, dipp_tensor t6,
                         dipp_tensor caption, dipp_tensor key_bias)
{
    dipp_attention_layer self = {.names = &attention_names, .heads = (uint32_t)o->heads};
    dipp_attention_layer cross = self;
    cross.key_bias = key_bias;
    cross.zero_out = true; /* a fresh model starts without text, as the published training does */
    int64_t inner = o->hidden * (o->mlp_ratio ? o->mlp_ratio : 4);
    dipp_tensor m[CHUNKS];
    modulation(g, p, t6, CHUNKS, m);

    dipp_tensor h = modulated_norm(g, o, x, m[SHIFT_ATTENTION], m[SCALE_ATTENTION]);
    h = dipp_nn_attention(g, dipp_scope(g, p, "attn1"), &self, h, h);
    x = dipp_gated_add(g, x, m[GATE_ATTENTION], h);

    /* Neither norm nor gate before cross-attention. */
    if (caption.id)
        x = dipp_add(g, x,
                     dipp_nn_attention(g, dipp_scope(g, p, "attn2"), &cross, dipp_cast(g, x, DIPP_COMPUTE), caption));

    h = modulated_norm(g, o, x, m[SHIFT_MLP], m[SCALE_MLP]);
    h = dipp_nn_mlp(g, p, "ff.net.0.proj", "ff.net.2", h, inner, o->hidden, dipp_gelu_tanh);
    return dipp_gated_add(g, x, m[GATE_MLP], h);
}

/* x [N, T, C] wide -> [N, out, height, width], wide. A token's features are ordered (row, column, channel). */
static dipp_tensor unpatchify(dipp_graph *g, dipp_params p, const dipp_dit_options *o, dipp_tensor x, dipp_tensor e)
{
    int64_t n = dipp_dim(g, x, 0), k = o->patch, rows = o->height / k, columns = o->width / k;
    int64_t out = o->channels * (o->learn_sigma ? 2 : 1);
    dipp_tensor m[2]; /* shift, scale; from e itself, not from t6 */
    modulation(g, p, dipp_reshape(g, e, DIPP_SHAPE(n, 1, o->hidden)), 2, m);
    x = modulated_norm(g, o, x, m[0], m[1]);
    dipp_linear_options last = {.struct_size = sizeof last, .zero = true, .wide_output = true};
    x = dipp_linear(g, p, "proj_out", x, k * k * out, &last);
    x = dipp_reshape(g, x, DIPP_SHAPE(n, rows, columns, k, k, out));
    x = dipp_permute(g, x, (const int[]){0, 5, 1, 3, 2, 4});
    return dipp_reshape(g, x, DIPP_SHAPE(n, out, o->height, o->width));
}

/* Fails the graph when an input does not fit the options. */
static bool inputs_fit(dipp_graph *g, const dipp_dit_options *o, dipp_tensor x, dipp_tensor t, dipp_tensor caption,
                       dipp_tensor mask)
{
    dipp_shape sx = dipp_shape_of(g, x), st = dipp_shape_of(g, t);
    if (sx.rank != 4 || sx.dims[1] != o->channels || sx.dims[2] != o->height || sx.dims[3] != o->width) {
        dipp_graph_fail(g, "dit: x must be [N, %lld, %lld, %lld], found rank %u [%lld, %lld, %lld, %lld]",
                        (long long)o->channels, (long long)o->height, (long long)o->width, sx.rank,
                        (long long)sx.dims[0], (long long)sx.dims[1], (long long)sx.dims[2], (long long)sx.dims[3]);
        return false;
    }
    if (st.rank != 1 || st.dims[0] != sx.dims[0]) {
        dipp_graph_fail(g, "dit: t must be [%lld] (one level per sample of x), found rank %u [%lld, ...]",
                        (long long)sx.dims[0], st.rank, (long long)st.dims[0]);
        return false;
    }
    if (!o->caption_channels) {
        if (caption.id || mask.id)
            dipp_graph_fail(g, "dit: text was given to a model without text (caption_channels is 0)");
        return !caption.id && !mask.id;
    }
    dipp_shape sc = dipp_shape_of(g, caption), sm = dipp_shape_of(g, mask);
    if (sc.rank != 3 || sc.dims[0] != sx.dims[0] || sc.dims[2] != o->caption_channels || sm.rank != 2 ||
        sm.dims[0] != sc.dims[0] || sm.dims[1] != sc.dims[1]) {
        dipp_graph_fail(g,
                        "dit: text states must be [%lld, L, %lld] and their mask [%lld, L]; found rank %u [%lld, %lld, "
                        "%lld] and rank %u [%lld, %lld]",
                        (long long)sx.dims[0], (long long)o->caption_channels, (long long)sx.dims[0], sc.rank,
                        (long long)sc.dims[0], (long long)sc.dims[1], (long long)sc.dims[2], sm.rank,
                        (long long)sm.dims[0], (long long)sm.dims[1]);
        return false;
    }
    return true;
}

dipp_tensor dipp_dit(dipp_graph *g, dipp_params p, const dipp_dit_options *o, dipp_tensor x, dipp_tensor t,
                     dipp_tensor caption, dipp_tensor mask)
{
    dipp_error problem;
    if (dipp_dit_check(o, &problem) != DIPP_OK)
        return dipp_graph_fail(g, "%s", problem.message);
    if (dipp_graph_failed(g) || !inputs_fit(g, o, x, t, caption, mask))
        return DIPP_NONE;

    int64_t n = dipp_dim(g, x, 0);
    dipp_tensor h = dipp_nn_patches(g, p, "pos_embed.proj", x, o->patch, o->hidden, false);
    h = dipp_add(g, h, positions(g, o)); /* [N, T, C] */
    dipp_tensor e = time_embedding(g, p, o, t);
    dipp_linear_options zero = {.struct_size = sizeof zero, .zero = true};
    dipp_tensor t6 = dipp_linear(g, p, "adaln_single.linear", dipp_silu(g, e), CHUNKS * o->hidden, &zero);
    t6 = dipp_cast(g, dipp_reshape(g, t6, DIPP_SHAPE(n, CHUNKS, o->hidden)), DIPP_WIDE);

    dipp_tensor key_bias = DIPP_NONE;
    if (o->caption_channels) {
        dipp_params projection = dipp_scope(g, p, "caption_projection");
        caption = dipp_nn_mlp(g, projection, "linear_1", "linear_2", caption, o->hidden, o->hidden, dipp_gelu_tanh);
        key_bias = dipp_nn_key_bias(g, mask);
    }
    for (int64_t i = 0; i < o->layers; ++i) {
        dipp_block_begin(g);
        h = block(g, dipp_scope(g, p, "transformer_blocks.%lld", (long long)i), o, h, t6, caption, key_bias);
        dipp_block_end(g);
    }
    return unpatchify(g, p, o, h, e);
}
