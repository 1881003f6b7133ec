/* The autoencoder of Stable Diffusion, tensor for tensor as the published diffusers files name it. Files of SD 1.5's age call
 * the middle attention's layers query, key, value and proj_attn, and still older ones store them as 1x1 convolutions: the
 * other names are known here, and a file's tensor is taken by its number of elements.
 *
 * Shapes: N pictures of H x W, Z latent channels. One epsilon serves all norms, the attention's included. */
#include "nn/picture_blocks.h"

static const double published_scaling = 0.18215;
static const dipp_attention_names attention_names = {"to_q", "to_k", "to_v", "to_out.0"};
static const dipp_attention_names old_attention_names = {"query", "key", "value", "proj_attn"};

dipp_status dipp_vae_check(const dipp_vae_options *o, dipp_error *error)
{
    if (o->image_channels < 0 || o->latent_channels < 1 || o->levels < 1 || o->levels > DIPP_VAE_MAX_LEVELS ||
        o->layers < 1)
        return dipp_fail(
            error, DIPP_E_INVALID,
            "vae: image_channels must not be negative, latent_channels and layers be at least 1, and levels 1 "
            "to %d; found %lld, %lld, %lld and %u",
            (int)DIPP_VAE_MAX_LEVELS, (long long)o->image_channels, (long long)o->latent_channels, (long long)o->layers,
            o->levels);
    if (o->groups < 0 || o->groups > UINT32_MAX || !(o->epsilon >= 0) || !(o->scaling >= 0))
        return dipp_fail(error, DIPP_E_INVALID,
                         "vae: groups, epsilon and scaling must not be negative; found %lld, %g and %g",
                         (long long)o->groups, o->epsilon, o->scaling);
    int64_t groups = o->groups ? o->groups : 32;
    for (uint32_t i = 0; i < o->levels; ++i) {
        if (o->channels[i] < 1 || o->channels[i] % groups != 0)
            return dipp_fail(error, DIPP_E_INVALID,
                             "vae: level %u has %lld channels, which must be a multiple of the %lld groups", i,
                             (long long)o->channels[i], (long long)groups);
    }
    return DIPP_OK;
}

static dipp_group_norms norms_of(const dipp_vae_options *o)
{
    int64_t groups = o->groups ? o->groups : 32;
    return (dipp_group_norms){(uint32_t)groups, o->epsilon > 0 ? o->epsilon : 1e-6};
}

/* Fails the graph unless the options are sound and x is [N, channels, H, W] with sides that are multiples of unit. */
static bool input_fits(dipp_graph *g, const dipp_vae_options *o, dipp_tensor x, bool latents)
{
    dipp_error problem;
    if (dipp_vae_check(o, &problem) != DIPP_OK) {
        dipp_graph_fail(g, "%s", problem.message);
        return false;
    }
    dipp_shape s = dipp_shape_of(g, x);
    int64_t channels = latents ? o->latent_channels : o->image_channels ? o->image_channels : 3;
    int64_t unit = latents ? 1 : (int64_t)1 << (o->levels - 1);
    if (dipp_graph_failed(g))
        return false;
    if (s.rank == 4 && s.dims[1] == channels && s.dims[2] % unit == 0 && s.dims[3] % unit == 0)
        return true;
    dipp_graph_fail(g,
                    "vae: %s must be [N, %lld, H, W] with sides that are multiples of %lld, found rank %u [%lld, %lld, "
                    "%lld, %lld]",
                    latents ? "latents" : "pictures", (long long)channels, (long long)unit, s.rank,
                    (long long)s.dims[0], (long long)s.dims[1], (long long)s.dims[2], (long long)s.dims[3]);
    return false;
}

/* Self-attention among pixels with a single head as wide as the picture: x [N, C, H, W] -> the same, compute. */
static dipp_tensor attention(dipp_graph *g, dipp_params p, const dipp_vae_options *o, dipp_tensor x)
{
    dipp_attention_layer one_head = {.names = &attention_names, .old_names = &old_attention_names, .heads = 1};
    dipp_block_begin(g);
    dipp_tensor h = dipp_nn_tokens(g, dipp_nn_group_norm(g, p, "group_norm", x, norms_of(o), false));
    h = dipp_add(g, x, dipp_nn_picture(g, dipp_nn_attention(g, p, &one_head, h, h), x));
    dipp_block_end(g);
    return h;
}

static dipp_tensor resnet(dipp_graph *g, dipp_params p, const dipp_vae_options *o, int64_t i, dipp_tensor x,
                          int64_t channels)
{
    dipp_block_begin(g);
    x = dipp_nn_resnet(g, dipp_scope(g, p, "resnets.%lld", (long long)i), x, channels, DIPP_NONE, norms_of(o));
    dipp_block_end(g);
    return x;
}

static dipp_tensor mid_block(dipp_graph *g, dipp_params p, const dipp_vae_options *o, dipp_tensor x)
{
    int64_t channels = o->channels[o->levels - 1];
    x = resnet(g, p, o, 0, x, channels);
    x = attention(g, dipp_scope(g, p, "attentions.0"), o, x);
    return resnet(g, p, o, 1, x, channels);
}

/* The last norm and convolution of either half. */
static dipp_tensor finish(dipp_graph *g, dipp_params p, const dipp_vae_options *o, dipp_tensor x, int64_t channels,
                          bool wide)
{
    dipp_conv2d_options last = {.struct_size = sizeof last, .pad_before = DIPP_PAD_SAME, .wide_output = wide};
    x = dipp_nn_group_norm(g, p, "conv_norm_out", x, norms_of(o), true);
    return dipp_conv2d(g, p, "conv_out", x, channels, 3, &last);
}

dipp_tensor dipp_vae_encode(dipp_graph *g, dipp_params p, const dipp_vae_options *o, dipp_tensor pictures)
{
    if (!input_fits(g, o, pictures, false))
        return DIPP_NONE;
    dipp_params encoder = dipp_scope(g, p, "encoder");
    dipp_tensor h = dipp_nn_conv3(g, encoder, "conv_in", pictures, o->channels[0]);
    for (uint32_t i = 0; i < o->levels; ++i) {
        dipp_params block = dipp_scope(g, encoder, "down_blocks.%u", i);
        for (int64_t j = 0; j < o->layers; ++j)
            h = resnet(g, block, o, j, h, o->channels[i]);
        /* Zeros to the right and below only, unlike the UNet's. */
        dipp_conv2d_options halve = {.struct_size = sizeof halve, .stride = 2, .pad_after = 1};
        if (i + 1 < o->levels)
            h = dipp_conv2d(g, block, "downsamplers.0.conv", h, o->channels[i], 3, &halve);
    }
    h = mid_block(g, dipp_scope(g, encoder, "mid_block"), o, h);
    h = finish(g, encoder, o, h, 2 * o->latent_channels, false);

    /* Means, then log-variances; only the means are used. */
    dipp_conv2d_options wide = {.struct_size = sizeof wide, .wide_output = true};
    h = dipp_conv2d(g, p, "quant_conv", h, 2 * o->latent_channels, 1, &wide);
    return dipp_scale_add(g, dipp_slice(g, h, 1, 0, o->latent_channels),
                          o->scaling > 0 ? o->scaling : published_scaling, 0);
}

dipp_tensor dipp_vae_decode(dipp_graph *g, dipp_params p, const dipp_vae_options *o, dipp_tensor latents)
{
    if (!input_fits(g, o, latents, true))
        return DIPP_NONE;
    double scaling = o->scaling > 0 ? o->scaling : published_scaling;
    dipp_tensor h = dipp_scale_add(g, latents, 1.0 / scaling, 0);
    h = dipp_conv2d(g, p, "post_quant_conv", h, o->latent_channels, 1, NULL);

    dipp_params decoder = dipp_scope(g, p, "decoder");
    h = dipp_nn_conv3(g, decoder, "conv_in", h, o->channels[o->levels - 1]);
    h = mid_block(g, dipp_scope(g, decoder, "mid_block"), o, h);
    for (uint32_t i = 0; i < o->levels; ++i) {
        dipp_params block = dipp_scope(g, decoder, "up_blocks.%u", i);
        for (int64_t j = 0; j < o->layers + 1; ++j)
            h = resnet(g, block, o, j, h, o->channels[o->levels - 1 - i]);
        if (i + 1 < o->levels)
            h = dipp_nn_upsample(g, block, h, 2 * dipp_dim(g, h, 2), 2 * dipp_dim(g, h, 3));
    }
    return finish(g, decoder, o, h, o->image_channels ? o->image_channels : 3, true);
}
