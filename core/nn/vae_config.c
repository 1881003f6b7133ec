/* vae/config.json of diffusers' AutoencoderKL. Keys that are absent have the defaults of diffusers 0.29.2. */
#include <dipp/nn.h>

#include "base/description.h"

static const char *const classes[] = {"AutoencoderKL", NULL};
static const char *const encoder_blocks[] = {"DownEncoderBlock2D", NULL};
static const char *const decoder_blocks[] = {"UpDecoderBlock2D", NULL};

static const dipp_described expected[] = {{"act_fn", "[\"silu\", \"swish\"]"},
                                          {"use_quant_conv", "[true]"},
                                          {"use_post_quant_conv", "[true]"},
                                          {"mid_block_add_attention", "[true]"},
                                          {NULL, NULL}};
/* The first is what it was trained on, the second concerns half precision, which dipp chooses by itself. */
static const char *const ignored[] = {"sample_size", "force_upcast", NULL};

static void read_blocks(dipp_description *d, const char *key, const char *const *names, uint32_t levels)
{
    size_t blocks[DIPP_VAE_MAX_LEVELS];
    uint32_t count = dipp_description_choices(d, key, names, blocks, DIPP_VAE_MAX_LEVELS);
    count = count ? count : 1;
    if (count != levels)
        dipp_description_refuse(d, DIPP_E_FORMAT, key, "%u entries for %u levels", count, levels);
}

dipp_status dipp_vae_read_config(const char *path, dipp_vae_options *out, dipp_error *error)
{
    dipp_description d;
    dipp_status status = dipp_description_open(path, &d, error);
    if (status != DIPP_OK)
        return status;
    dipp_vae_options o = {.struct_size = sizeof o, .channels = {64}};
    dipp_description_choice(&d, "_class_name", classes, 0);
    o.image_channels = dipp_description_size(&d, "in_channels", 3);
    int64_t out_channels = dipp_description_size(&d, "out_channels", 3);
    o.latent_channels = dipp_description_size(&d, "latent_channels", 4);
    o.levels = dipp_description_sizes(&d, "block_out_channels", o.channels, DIPP_VAE_MAX_LEVELS);
    o.levels = o.levels ? o.levels : 1;
    read_blocks(&d, "down_block_types", encoder_blocks, o.levels);
    read_blocks(&d, "up_block_types", decoder_blocks, o.levels);
    o.layers = dipp_description_size(&d, "layers_per_block", 1);
    o.groups = dipp_description_size(&d, "norm_num_groups", 32);
    o.epsilon = 1e-6;
    o.scaling = dipp_description_number(&d, "scaling_factor", 0.18215);
    if (out_channels != o.image_channels)
        dipp_description_refuse(&d, DIPP_E_UNSUPPORTED, "out_channels", "%lld where in_channels is %lld",
                                (long long)out_channels, (long long)o.image_channels);
    dipp_description_expect(&d, expected);
    dipp_description_ignore(&d, ignored);
    status = dipp_description_close(&d);
    if (status == DIPP_OK && (status = dipp_vae_check(&o, error)) != DIPP_OK)
        return dipp_error_context(error, "%s", path);
    if (status == DIPP_OK)
        *out = o;
    return status;
}
