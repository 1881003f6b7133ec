/* The UNet of Stable Diffusion (Rombach et al. 2022, arXiv 2112.10752), tensor for tensor as the published diffusers files
 * name it, so that the SD 1.5 weights and a small model are two configurations of one function.
 *
 * Shapes: N samples of H x W, C channels of the level at hand, L text tokens, E = 4 * channels of the finest level. The stream
 * of pictures is compute, as every framework runs it; norms and softmax reckon in wide. On the way down each resnet,
 * transformer and halving leaves its result as a skip; on the way up each resnet takes the last one left. */
#include "nn/picture_blocks.h"

static const double sinusoid_period = 10000.0;
static const double transformer_norm_epsilon = 1e-6; /* not the resnets' */
static const double layer_norm_epsilon = 1e-5;
static const dipp_attention_names attention_names = {"to_q", "to_k", "to_v", "to_out.0"};

/* The input's, then of each level its resnets' and its halving's. */
enum { MOST_SKIPS = 1 + DIPP_UNET_MAX_LEVELS * (DIPP_UNET_MAX_LAYERS + 1) };

/* What all blocks of one recording share. */
typedef struct unet {
    const dipp_unet_options *options;
    dipp_group_norms norms;
    dipp_tensor time;              /* [N, E], through SiLU */
    dipp_tensor caption, key_bias; /* [N, L, D] and [N, L], or none */
    dipp_tensor skips[MOST_SKIPS];
    size_t skip_count;
} unet;

static int64_t groups_of(const dipp_unet_options *o)
{
    return o->groups ? o->groups : 32;
}

static bool has_transformer(const dipp_unet_options *o, uint32_t level)
{
    const dipp_unet_level *l = &o->level[level];
    return l->down_attention || l->up_attention || (o->mid == DIPP_UNET_MID_ATTENTION && level + 1 == o->levels);
}

static dipp_status check_level(const dipp_unet_options *o, uint32_t i, dipp_error *error)
{
    const dipp_unet_level *l = &o->level[i];
    if (l->channels < 1 || l->channels % groups_of(o) != 0 || (i == 0 && l->channels % 2 != 0))
        return dipp_fail(
            error, DIPP_E_INVALID,
            "unet: level %u has %lld channels; they must be a multiple of the %lld groups, and even in the "
            "first level",
            i, (long long)l->channels, (long long)groups_of(o));
    if (l->layers < 1 || l->layers > DIPP_UNET_MAX_LAYERS)
        return dipp_fail(error, DIPP_E_INVALID, "unet: level %u has %lld layers; 1 to %d are possible", i,
                         (long long)l->layers, (int)DIPP_UNET_MAX_LAYERS);
    if (has_transformer(o, i) && (l->heads < 1 || l->channels % l->heads != 0 || l->transformer_layers < 0))
        return dipp_fail(
            error, DIPP_E_INVALID,
            "unet: level %u has %lld heads for %lld channels, %lld transformer layers; heads must divide the "
            "channels, and layers not be negative",
            i, (long long)l->heads, (long long)l->channels, (long long)l->transformer_layers);
    return DIPP_OK;
}

dipp_status dipp_unet_check(const dipp_unet_options *o, dipp_error *error)
{
    if (o->in_channels < 1 || o->out_channels < 1 || o->levels < 1 || o->levels > DIPP_UNET_MAX_LEVELS)
        return dipp_fail(
            error, DIPP_E_INVALID,
            "unet: in_channels and out_channels must be at least 1 and levels 1 to %d; found %lld, %lld and "
            "%u",
            (int)DIPP_UNET_MAX_LEVELS, (long long)o->in_channels, (long long)o->out_channels, o->levels);
    if (o->caption_channels < 0 || o->groups < 0 || o->groups > UINT32_MAX || !(o->epsilon >= 0) ||
        !(o->time_scale >= 0))
        return dipp_fail(
            error, DIPP_E_INVALID,
            "unet: caption_channels, groups, epsilon and time_scale must not be negative; found %lld, %lld, "
            "%g and %g",
            (long long)o->caption_channels, (long long)o->groups, o->epsilon, o->time_scale);
    if (o->mid != DIPP_UNET_MID_ATTENTION && o->mid != DIPP_UNET_MID_PLAIN && o->mid != DIPP_UNET_MID_NONE)
        return dipp_fail(error, DIPP_E_INVALID, "unet: there is no middle block of kind %d", (int)o->mid);
    dipp_status status = DIPP_OK;
    for (uint32_t i = 0; i < o->levels && status == DIPP_OK; ++i)
        status = check_level(o, i, error);
    return status;
}

/* ---- Transformers ------------------------------------------------------------------------------------------------ */

/* x [N, T, C] -> the same, compute: self-attention, cross-attention, gated feed-forward, each after a norm of its own. */
static dipp_tensor transformer_block(dipp_graph *g, dipp_params p, const unet *u, const dipp_unet_level *level,
                                     dipp_tensor x)
{
    dipp_attention_layer self = {.names = &attention_names, .heads = (uint32_t)level->heads, .no_input_bias = true};
    dipp_attention_layer cross = self;
    cross.key_bias = u->key_bias;
    int64_t width = level->channels;

    dipp_tensor h = dipp_nn_layer_norm(g, p, "norm1", x, layer_norm_epsilon);
    x = dipp_add(g, x, dipp_nn_attention(g, dipp_scope(g, p, "attn1"), &self, h, h));
    if (u->caption.id) {
        h = dipp_nn_layer_norm(g, p, "norm2", x, layer_norm_epsilon);
        x = dipp_add(g, x, dipp_nn_attention(g, dipp_scope(g, p, "attn2"), &cross, h, u->caption));
    }
    h = dipp_nn_layer_norm(g, p, "norm3", x, layer_norm_epsilon);
    /* One layer makes values and gates: 4 C of each. */
    return dipp_add(g, x, dipp_nn_mlp(g, p, "ff.net.0.proj", "ff.net.2", h, 8 * width, width, dipp_geglu));
}

/* x [N, C, H, W] -> the same, compute. */
static dipp_tensor transformer(dipp_graph *g, dipp_params p, const unet *u, const dipp_unet_level *level, dipp_tensor x)
{
    dipp_group_norms norms = {u->norms.groups, transformer_norm_epsilon};
    dipp_linear_options zero_linear = {.struct_size = sizeof zero_linear, .zero = true};
    dipp_conv2d_options zero_convolution = {.struct_size = sizeof zero_convolution, .zero = true};
    bool linear = u->options->linear_projection;
    int64_t width = level->channels, layers = level->transformer_layers ? level->transformer_layers : 1;

    dipp_tensor h = dipp_nn_group_norm(g, p, "norm", x, norms, false);
    h = linear ? dipp_linear(g, p, "proj_in", dipp_nn_tokens(g, h), width, NULL)
               : dipp_nn_tokens(g, dipp_conv2d(g, p, "proj_in", h, width, 1, NULL));
    for (int64_t i = 0; i < layers; ++i)
        h = transformer_block(g, dipp_scope(g, p, "transformer_blocks.%lld", (long long)i), u, level, h);
    h = linear ? dipp_nn_picture(g, dipp_linear(g, p, "proj_out", h, width, &zero_linear), x)
               : dipp_conv2d(g, p, "proj_out", dipp_nn_picture(g, h, x), width, 1, &zero_convolution);
    return dipp_add(g, x, h);
}

/* Resnet i of a block and, where the block has them, transformer i: a block of the recording in itself. skip: joined to x
 * before them, or none; kept apart from x, so that the two need not be kept together as well. */
static dipp_tensor layer(dipp_graph *g, dipp_params p, const unet *u, const dipp_unet_level *level, int64_t i,
                         bool attention, dipp_tensor x, dipp_tensor skip)
{
    dipp_block_begin(g);
    if (skip.id)
        x = dipp_concat(g, (const dipp_tensor[]){x, skip}, 2, 1);
    x = dipp_nn_resnet(g, dipp_scope(g, p, "resnets.%lld", (long long)i), x, level->channels, u->time, u->norms);
    if (attention)
        x = transformer(g, dipp_scope(g, p, "attentions.%lld", (long long)i), u, level, x);
    dipp_block_end(g);
    return x;
}

/* ---- Down, middle, up -------------------------------------------------------------------------------------------- */

static void push_skip(unet *u, dipp_tensor x)
{
    u->skips[u->skip_count++] = x; /* MOST_SKIPS holds what dipp_unet_check allows */
}

static dipp_tensor down_block(dipp_graph *g, dipp_params p, unet *u, uint32_t at, dipp_tensor x)
{
    const dipp_unet_level *level = &u->options->level[at];
    for (int64_t i = 0; i < level->layers; ++i) {
        x = layer(g, p, u, level, i, level->down_attention, x, DIPP_NONE);
        push_skip(u, x);
    }
    if (at + 1 == u->options->levels)
        return x;
    dipp_conv2d_options halve = {.struct_size = sizeof halve, .stride = 2, .pad_before = 1, .pad_after = 1};
    x = dipp_conv2d(g, p, "downsamplers.0.conv", x, level->channels, 3, &halve);
    push_skip(u, x);
    return x;
}

static dipp_tensor mid_block(dipp_graph *g, dipp_params p, const unet *u, dipp_tensor x)
{
    const dipp_unet_options *o = u->options;
    const dipp_unet_level *level = &o->level[o->levels - 1];
    if (o->mid == DIPP_UNET_MID_NONE)
        return x;
    bool attention = o->mid == DIPP_UNET_MID_ATTENTION;
    x = layer(g, p, u, level, 0, attention, x, DIPP_NONE);
    return attention ? layer(g, p, u, level, 1, false, x, DIPP_NONE) : x;
}

static dipp_tensor up_block(dipp_graph *g, dipp_params p, unet *u, uint32_t at, dipp_tensor x)
{
    const dipp_unet_level *level = &u->options->level[at];
    for (int64_t i = 0; i < level->layers + 1; ++i)
        x = layer(g, p, u, level, i, level->up_attention, x, u->skips[--u->skip_count]);
    if (at == 0)
        return x;
    dipp_tensor next = u->skips[u->skip_count - 1]; /* of the next finer level, whose size may be odd */
    return dipp_nn_upsample(g, p, x, dipp_dim(g, next, 2), dipp_dim(g, next, 3));
}

/* ---- The whole --------------------------------------------------------------------------------------------------- */

/* t [N] -> SiLU of its embedding [N, E]; every resnet takes it through a linear layer of its own. */
static dipp_tensor time_embedding(dipp_graph *g, dipp_params p, const dipp_unet_options *o, dipp_tensor t)
{
    int64_t width = o->level[0].channels;
    dipp_tensor scaled = o->time_scale > 0 && o->time_scale != 1.0 ? dipp_scale_add(g, t, o->time_scale, 0) : t;
    dipp_tensor waves = dipp_sinusoid(g, scaled, width, sinusoid_period, false);
    dipp_params here = dipp_scope(g, p, "time_embedding");
    return dipp_silu(g, dipp_nn_mlp(g, here, "linear_1", "linear_2", waves, 4 * width, 4 * width, dipp_silu));
}

static bool text_fits(dipp_graph *g, const dipp_unet_options *o, int64_t n, dipp_tensor caption, dipp_tensor mask)
{
    if (!o->caption_channels) {
        if (caption.id || mask.id)
            dipp_graph_fail(g, "unet: text was given to a model without text (caption_channels is 0)");
        return !caption.id && !mask.id;
    }
    dipp_shape sc = dipp_shape_of(g, caption), sm = {.rank = 2, .dims = {n, sc.dims[1]}};
    if (mask.id)
        sm = dipp_shape_of(g, mask);
    if (sc.rank == 3 && sc.dims[0] == n && sc.dims[2] == o->caption_channels && sm.rank == 2 && sm.dims[0] == n &&
        sm.dims[1] == sc.dims[1])
        return true;
    dipp_graph_fail(g,
                    "unet: text states must be [%lld, L, %lld] and their mask [%lld, L]; found rank %u [%lld, %lld, "
                    "%lld] and rank %u [%lld, %lld]",
                    (long long)n, (long long)o->caption_channels, (long long)n, sc.rank, (long long)sc.dims[0],
                    (long long)sc.dims[1], (long long)sc.dims[2], sm.rank, (long long)sm.dims[0],
                    (long long)sm.dims[1]);
    return false;
}

/* Fails the graph when an input does not fit the options. */
static bool inputs_fit(dipp_graph *g, const dipp_unet_options *o, dipp_tensor x, dipp_tensor t, dipp_tensor caption,
                       dipp_tensor mask)
{
    dipp_shape sx = dipp_shape_of(g, x), st = dipp_shape_of(g, t);
    if (sx.rank != 4 || sx.dims[1] != o->in_channels) {
        dipp_graph_fail(g, "unet: x must be [N, %lld, H, W], found rank %u [%lld, %lld, %lld, %lld]",
                        (long long)o->in_channels, sx.rank, (long long)sx.dims[0], (long long)sx.dims[1],
                        (long long)sx.dims[2], (long long)sx.dims[3]);
        return false;
    }
    if (st.rank != 1 || st.dims[0] != sx.dims[0]) {
        dipp_graph_fail(g, "unet: t must be [%lld] (one level per sample of x), found rank %u [%lld, ...]",
                        (long long)sx.dims[0], st.rank, (long long)st.dims[0]);
        return false;
    }
    return text_fits(g, o, sx.dims[0], caption, mask);
}

dipp_tensor dipp_unet(dipp_graph *g, dipp_params p, const dipp_unet_options *o, dipp_tensor x, dipp_tensor t,
                      dipp_tensor caption, dipp_tensor mask)
{
    dipp_error problem;
    if (dipp_unet_check(o, &problem) != DIPP_OK)
        return dipp_graph_fail(g, "%s", problem.message);
    if (dipp_graph_failed(g) || !inputs_fit(g, o, x, t, caption, mask))
        return DIPP_NONE;

    unet u = {.options = o, .norms = {(uint32_t)groups_of(o), o->epsilon > 0 ? o->epsilon : 1e-5}, .caption = caption};
    u.time = time_embedding(g, p, o, t);
    if (mask.id)
        u.key_bias = dipp_nn_key_bias(g, mask);

    dipp_tensor h = dipp_nn_conv3(g, p, "conv_in", x, o->level[0].channels);
    push_skip(&u, h);
    for (uint32_t i = 0; i < o->levels; ++i)
        h = down_block(g, dipp_scope(g, p, "down_blocks.%u", i), &u, i, h);
    h = mid_block(g, dipp_scope(g, p, "mid_block"), &u, h);
    for (uint32_t i = 0; i < o->levels; ++i)
        h = up_block(g, dipp_scope(g, p, "up_blocks.%u", i), &u, o->levels - 1 - i, h);

    h = dipp_nn_group_norm(g, p, "conv_norm_out", h, u.norms, true);
    dipp_conv2d_options last = {
        .struct_size = sizeof last, .pad_before = DIPP_PAD_SAME, .zero = true, .wide_output = true};
    return dipp_conv2d(g, p, "conv_out", h, o->out_channels, 3, &last);
}
