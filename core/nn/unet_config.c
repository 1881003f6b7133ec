/* unet/config.json of diffusers' UNet2DConditionModel. Keys that are absent have the defaults of diffusers 0.29.2. */
#include <dipp/nn.h>

#include "base/description.h"

static const char *const classes[] = {"UNet2DConditionModel", NULL};
static const char *const down_blocks[] = {"DownBlock2D", "CrossAttnDownBlock2D", NULL};
static const char *const up_blocks[] = {"UpBlock2D", "CrossAttnUpBlock2D", NULL};
static const char *const mid_blocks[] = {"UNetMidBlock2DCrossAttn", "UNetMidBlock2D", "null", NULL}; /* dipp_unet_mid */

static const dipp_described expected[] = {{"act_fn", "[\"silu\", \"swish\"]"},
                                          {"attention_type", "[\"default\"]"},
                                          {"conv_in_kernel", "[3]"},
                                          {"conv_out_kernel", "[3]"},
                                          {"downsample_padding", "[1]"},
                                          {"dropout", "[0]"},
                                          {"flip_sin_to_cos", "[true]"},
                                          {"freq_shift", "[0]"},
                                          {"mid_block_scale_factor", "[1]"},
                                          {"resnet_out_scale_factor", "[1]"},
                                          {"resnet_time_scale_shift", "[\"default\"]"},
                                          {"time_embedding_type", "[\"positional\"]"},
                                          {NULL, NULL}};
/* The first concerns precision, and softmax is wide here; the second has a meaning beside addition_embed_type alone. */
static const char *const ignored[] = {"upcast_attention", "addition_embed_type_num_heads", NULL};

/* A number for each level: one for all, or a list as long as the levels. */
static void read_levels(dipp_description *d, const char *key, uint32_t levels, int64_t otherwise,
                        int64_t out[DIPP_UNET_MAX_LEVELS])
{
    uint32_t count = dipp_description_sizes(d, key, out, DIPP_UNET_MAX_LEVELS);
    if (count == 0)
        out[0] = otherwise;
    for (uint32_t i = 1; i < DIPP_UNET_MAX_LEVELS && count < 2; i++)
        out[i] = out[0];
    if (count > 1 && count != levels)
        dipp_description_refuse(d, DIPP_E_FORMAT, key, "%u entries for %u levels", count, levels);
}

/* Which blocks have transformers, in the file's order. */
static void read_blocks(dipp_description *d, const char *key, const char *const *names, uint32_t levels,
                        const size_t *otherwise, size_t out[DIPP_UNET_MAX_LEVELS])
{
    uint32_t count = dipp_description_choices(d, key, names, out, DIPP_UNET_MAX_LEVELS);
    for (uint32_t i = 0; i < 4 && count == 0; i++)
        out[i] = otherwise[i];
    count = count ? count : 4;
    if (count != levels)
        dipp_description_refuse(d, DIPP_E_FORMAT, key, "%u entries for %u levels", count, levels);
}

static void read_all_levels(dipp_description *d, dipp_unet_options *o)
{
    static const int64_t widths[] = {320, 640, 1280, 1280};
    static const size_t down_otherwise[] = {1, 1, 1, 0}, up_otherwise[] = {0, 1, 1, 1};
    int64_t channels[DIPP_UNET_MAX_LEVELS] = {0}, layers[DIPP_UNET_MAX_LEVELS] = {0};
    int64_t heads[DIPP_UNET_MAX_LEVELS] = {0}, transformers[DIPP_UNET_MAX_LEVELS] = {0};
    size_t down[DIPP_UNET_MAX_LEVELS] = {0}, up[DIPP_UNET_MAX_LEVELS] = {0};
    o->levels = dipp_description_sizes(d, "block_out_channels", channels, DIPP_UNET_MAX_LEVELS);
    for (uint32_t i = 0; i < 4 && o->levels == 0; i++)
        channels[i] = widths[i];
    o->levels = o->levels ? o->levels : 4;
    read_levels(d, "layers_per_block", o->levels, 2, layers);
    read_levels(d, "attention_head_dim", o->levels, 8, heads); /* which is the number of heads */
    read_levels(d, "transformer_layers_per_block", o->levels, 1, transformers);
    read_blocks(d, "down_block_types", down_blocks, o->levels, down_otherwise, down);
    read_blocks(d, "up_block_types", up_blocks, o->levels, up_otherwise, up);
    for (uint32_t i = 0; i < o->levels; i++)
        o->level[i] = (dipp_unet_level){.channels = channels[i],
                                        .layers = layers[i],
                                        .heads = heads[i],
                                        .transformer_layers = transformers[i],
                                        .down_attention = down[i] == 1,
                                        .up_attention = up[o->levels - 1 - i] == 1};
}

/* The width of the text; a list must have it for every level. */
static int64_t read_text_width(dipp_description *d)
{
    int64_t widths[DIPP_UNET_MAX_LEVELS] = {1280};
    uint32_t count = dipp_description_sizes(d, "cross_attention_dim", widths, DIPP_UNET_MAX_LEVELS);
    for (uint32_t i = 1; i < count; i++)
        if (widths[i] != widths[0])
            dipp_description_refuse(d, DIPP_E_UNSUPPORTED, "cross_attention_dim", "levels differ");
    return widths[0];
}

/* One number, or height and width, which must be equal; 0 where the file has none. */
static int64_t read_side(dipp_description *d)
{
    int64_t sides[2] = {0};
    if (dipp_description_sizes(d, "sample_size", sides, 2) == 2 && sides[0] != sides[1])
        dipp_description_refuse(d, DIPP_E_UNSUPPORTED, "sample_size", "height and width differ");
    return sides[0];
}

dipp_status dipp_unet_read_config(const char *path, dipp_unet_options *out, int64_t *size, dipp_error *error)
{
    dipp_description d;
    dipp_status status = dipp_description_open(path, &d, error);
    if (status != DIPP_OK)
        return status;
    dipp_unet_options o = {.struct_size = sizeof o};
    dipp_description_choice(&d, "_class_name", classes, 0);
    int64_t side = read_side(&d);
    o.in_channels = dipp_description_size(&d, "in_channels", 4);
    o.out_channels = dipp_description_size(&d, "out_channels", 4);
    read_all_levels(&d, &o);
    o.mid = (dipp_unet_mid)dipp_description_choice(&d, "mid_block_type", mid_blocks, 0);
    o.caption_channels = read_text_width(&d);
    o.groups = dipp_description_size(&d, "norm_num_groups", 32);
    o.epsilon = dipp_description_number(&d, "norm_eps", 1e-5);
    o.linear_projection = dipp_description_flag(&d, "use_linear_projection", false);
    dipp_description_expect(&d, expected);
    dipp_description_ignore(&d, ignored);
    status = dipp_description_close(&d);
    if (status == DIPP_OK && (status = dipp_unet_check(&o, error)) != DIPP_OK)
        return dipp_error_context(error, "%s", path);
    if (status == DIPP_OK) {
        *out = o;
        *size = side;
    }
    return status;
}
