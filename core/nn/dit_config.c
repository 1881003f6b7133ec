/* transformer/config.json of diffusers' PixArtTransformer2DModel, which older files call Transformer2DModel with norm_type
 * ada_norm_single. Keys that are absent have the defaults that diffusers 0.29.2 has for the former, in either case. */
#include <dipp/nn.h>

#include "base/description.h"

enum {
    LATENT_PIXELS = 8
}; /* side of a latent's square of the picture, in the autoencoder that PixArt-alpha comes with */

static const char *const classes[] = {"PixArtTransformer2DModel", "Transformer2DModel", NULL};

static const dipp_described expected[] = {{"activation_fn", "[\"gelu-approximate\"]"}, {"attention_bias", "[true]"},
                                          {"attention_type", "[\"default\"]"},         {"dropout", "[0]"},
                                          {"norm_elementwise_affine", "[false]"},      {"norm_eps", "[1e-6]"},
                                          {"norm_type", "[\"ada_norm_single\"]"},      {NULL, NULL}};
/* Without a meaning for this class, or, the last, for precision alone: softmax is wide here. */
static const char *const ignored[] = {"norm_num_groups", "num_embeds_ada_norm", "upcast_attention", NULL};

static void read_channels(dipp_description *d, dipp_dit_options *o)
{
    o->channels = dipp_description_size(d, "in_channels", 4);
    bool silent = !dipp_description_has(d, "out_channels");
    int64_t out = silent ? 8 : dipp_description_size(d, "out_channels", 0); /* null: as many as go in */
    out = out ? out : o->channels;
    o->learn_sigma = out == 2 * o->channels;
    if (out != o->channels && !o->learn_sigma)
        dipp_description_refuse(d, DIPP_E_UNSUPPORTED, "out_channels", "%lld where in_channels is %lld", (long long)out,
                                (long long)o->channels);
}

static void read_text(dipp_description *d, dipp_dit_options *o)
{
    int64_t width =
        dipp_description_has(d, "cross_attention_dim") ? dipp_description_size(d, "cross_attention_dim", 0) : 1152;
    o->caption_channels = dipp_description_size(d, "caption_channels", 0);
    if (!o->caption_channels)
        dipp_description_refuse(d, DIPP_E_UNSUPPORTED, "caption_channels", "a network without caption_projection");
    if (width != o->hidden)
        dipp_description_refuse(d, DIPP_E_UNSUPPORTED, "cross_attention_dim",
                                "%lld where the projected captions have the width %lld", (long long)width,
                                (long long)o->hidden);
}

static void read_positions(dipp_description *d, dipp_dit_options *o)
{
    int64_t side = dipp_description_size(d, "sample_size", 128);
    int64_t whole = side / 64; /* the published code rounds down */
    double scale = whole > 1 ? (double)whole : 1.0;
    o->height = o->width = side;
    o->position_base = side / o->patch;
    o->position_scale = dipp_description_number(d, "interpolation_scale", scale);
    int micro = dipp_description_maybe(d, "use_additional_conditions");
    if (micro == 1 || (micro < 0 && side == 128))
        o->micro_height = o->micro_width = (double)(LATENT_PIXELS * side);
}

dipp_status dipp_dit_read_config(const char *path, dipp_dit_options *out, dipp_error *error)
{
    dipp_description d;
    dipp_status status = dipp_description_open(path, &d, error);
    if (status != DIPP_OK)
        return status;
    dipp_dit_options o = {.struct_size = sizeof o, .epsilon = 1e-6, .mlp_ratio = 4};
    bool old = dipp_description_choice(&d, "_class_name", classes, 0) == 1;
    if (old && !dipp_description_has(&d, "norm_type"))
        dipp_description_refuse(&d, DIPP_E_UNSUPPORTED, "norm_type", "a Transformer2DModel must be ada_norm_single");
    o.heads = dipp_description_size(&d, "num_attention_heads", 16);
    o.hidden = o.heads * dipp_description_size(&d, "attention_head_dim", 72);
    o.layers = dipp_description_size(&d, "num_layers", 28);
    o.patch = dipp_description_size(&d, "patch_size", 2);
    read_channels(&d, &o);
    read_text(&d, &o);
    read_positions(&d, &o);
    dipp_description_expect(&d, expected);
    dipp_description_ignore(&d, ignored);
    status = dipp_description_close(&d);
    if (status == DIPP_OK && (status = dipp_dit_check(&o, error)) != DIPP_OK)
        return dipp_error_context(error, "%s", path);
    if (status == DIPP_OK)
        *out = o;
    return status;
}
