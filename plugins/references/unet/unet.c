/* Plugin `unet`: Stable Diffusion's UNet as a reference diffusion and as a one-step generator.
 *
 * As plugin `dit` it exports both descriptors, for they are one network. The published SD 1.5 and a small model for 32 px
 * pictures differ in the values of the parameters below, whose lists have one entry per level, finest first, or one for all
 * levels. A reference may bring a text encoder for a vocabulary of its own, and an autoencoder, in whose latents it then works. */
#include "../../shared/diffusion.h"

#include <stdlib.h>
#include <string.h>

static const char *const mid_blocks[] = {"UNetMidBlock2DCrossAttn", "UNetMidBlock2D", "none", NULL};

typedef struct model {
    dipp_unet_options network; /* caption_channels is taken from the condition */
    int64_t size;              /* of a sample, height and width */
    diffusion diffusion;
    dipp_vae_options vae; /* reference only; levels 0: samples are the pictures themselves */
} model;

static void destroy(void *self)
{
    model *m = self;
    if (!m)
        return;
    diffusion_release(&m->diffusion);
    free(m);
}

/* ---- Parameters -------------------------------------------------------------------------------------------------- */

/* Value of a list at a level: a list of one entry serves all. */
static dipp_status at_level(const dipp_parameters *parameters, const char *key, uint32_t levels, uint32_t level,
                            int64_t *out, dipp_error *error)
{
    size_t count;
    const int64_t *values = dipp_parameters_ints(parameters, key, &count);
    if (count != 1 && count != levels)
        return dipp_fail(error, DIPP_E_INVALID, "unet: %s has %zu entries for the %u levels of widths; give one or %u",
                         key, count, levels, levels);
    *out = values[count == 1 ? 0 : level];
    return DIPP_OK;
}

/* Which of two kinds of block entry i of a list names. */
static dipp_status block_kind(const dipp_parameters *parameters, const char *key, uint32_t levels, uint32_t i,
                              const char *plain, const char *attention, bool *has_attention, dipp_error *error)
{
    size_t count;
    const char *const *names = dipp_parameters_strings(parameters, key, &count);
    if (count != levels)
        return dipp_fail(error, DIPP_E_INVALID, "unet: %s has %zu entries for the %u levels of widths", key, count,
                         levels);
    *has_attention = strcmp(names[i], attention) == 0;
    if (!*has_attention && strcmp(names[i], plain) != 0)
        return dipp_fail(error, DIPP_E_INVALID, "unet: %s knows %s and %s, not \"%s\"", key, plain, attention,
                         names[i]);
    return DIPP_OK;
}

static dipp_status read_level(const dipp_parameters *parameters, dipp_unet_options *o, uint32_t i, dipp_error *error)
{
    dipp_unet_level *level = &o->level[i];
    const struct {
        const char *key;
        int64_t *out;
    } numbers[] = {{"widths", &level->channels},
                   {"layers", &level->layers},
                   {"heads", &level->heads},
                   {"transformer_layers", &level->transformer_layers}};
    dipp_status status = DIPP_OK;
    for (size_t k = 0; k < sizeof numbers / sizeof *numbers && status == DIPP_OK; ++k)
        status = at_level(parameters, numbers[k].key, o->levels, i, numbers[k].out, error);
    if (status == DIPP_OK)
        status = block_kind(parameters, "down_blocks", o->levels, i, "DownBlock2D", "CrossAttnDownBlock2D",
                            &level->down_attention, error);
    if (status == DIPP_OK) /* published lists name the way up from the coarsest level */
        status = block_kind(parameters, "up_blocks", o->levels, o->levels - 1 - i, "UpBlock2D", "CrossAttnUpBlock2D",
                            &level->up_attention, error);
    return status;
}

static dipp_status read_network(const dipp_parameters *parameters, const diffusion *d, dipp_unet_options *o,
                                dipp_error *error)
{
    size_t levels;
    dipp_parameters_ints(parameters, "widths", &levels);
    if (levels < 1 || levels > DIPP_UNET_MAX_LEVELS)
        return dipp_fail(error, DIPP_E_INVALID, "unet: widths has %zu entries; 1 to %d levels are possible", levels,
                         (int)DIPP_UNET_MAX_LEVELS);
    o->struct_size = sizeof *o;
    o->levels = (uint32_t)levels;
    o->in_channels = o->out_channels = dipp_parameters_int(parameters, "channels");
    const char *mid = dipp_parameters_string(parameters, "mid_block");
    for (int i = 0; mid_blocks[i]; ++i) {
        if (strcmp(mid, mid_blocks[i]) == 0)
            o->mid = (dipp_unet_mid)i; /* in the order of dipp_unet_mid */
    }
    o->groups = dipp_parameters_int(parameters, "groups");
    o->epsilon = dipp_parameters_float(parameters, "epsilon");
    o->linear_projection = dipp_parameters_bool(parameters, "linear_projection");
    o->time_scale = d->time_scale;
    dipp_status status = DIPP_OK;
    for (uint32_t i = 0; i < o->levels && status == DIPP_OK; ++i)
        status = read_level(parameters, o, i, error);
    return status == DIPP_OK ? dipp_unet_check(o, error) : status;
}

/* What reference and generator have in common. */
static dipp_status create_model(const dipp_parameters *parameters, model **out, dipp_error *error)
{
    model *m = calloc(1, sizeof *m);
    if (!m)
        return dipp_fail(error, DIPP_E_MEMORY, "unet: no memory for the plugin's state (%zu bytes)", sizeof *m);
    diffusion_read(parameters, "unet", &m->diffusion);
    m->size = dipp_parameters_int(parameters, "size");
    dipp_status status = read_network(parameters, &m->diffusion, &m->network, error);
    if (status != DIPP_OK) {
        destroy(m);
        return status;
    }
    *out = m;
    return DIPP_OK;
}

static dipp_status read_vae(const dipp_parameters *parameters, model *m, dipp_error *error)
{
    if (!dipp_parameters_has(parameters, "vae_widths"))
        return DIPP_OK;
    size_t levels;
    const int64_t *widths = dipp_parameters_ints(parameters, "vae_widths", &levels);
    if (levels < 1 || levels > DIPP_VAE_MAX_LEVELS)
        return dipp_fail(error, DIPP_E_INVALID, "unet: vae_widths has %zu entries; 1 to %d levels are possible", levels,
                         (int)DIPP_VAE_MAX_LEVELS);
    dipp_vae_options *o = &m->vae;
    o->struct_size = sizeof *o;
    o->levels = (uint32_t)levels;
    memcpy(o->channels, widths, levels * sizeof *widths);
    o->latent_channels = m->network.in_channels;
    o->layers = dipp_parameters_int(parameters, "vae_layers");
    o->groups = dipp_parameters_int(parameters, "vae_groups");
    o->scaling = dipp_parameters_float(parameters, "vae_scaling");
    return dipp_vae_check(o, error);
}

/* ---- Both -------------------------------------------------------------------------------------------------------- */

static dipp_shape sample_of(const model *m)
{
    return DIPP_SHAPE(m->network.in_channels, m->size, m->size);
}

static dipp_tensor predict(void *self, dipp_graph *g, dipp_params p, dipp_tensor x, dipp_level level, dipp_condition c)
{
    const model *m = self;
    if (!diffusion_condition_fits(&m->diffusion, g, c))
        return DIPP_NONE;
    dipp_unet_options o = m->network;
    o.caption_channels = c.count ? dipp_dim(g, c.parts[0], -1) : 0;
    return dipp_unet(g, p, &o, x, level.t, c.count ? c.parts[0] : DIPP_NONE, c.count ? c.parts[1] : DIPP_NONE);
}

/* ---- Reference --------------------------------------------------------------------------------------------------- */

static dipp_status reference_create(const dipp_parameters *parameters, const dipp_host *host, void **self,
                                    dipp_error *error)
{
    model *m = NULL;
    dipp_status status = create_model(parameters, &m, error);
    if (status == DIPP_OK)
        status = diffusion_read_text(parameters, &m->diffusion, error);
    if (status == DIPP_OK)
        status = read_vae(parameters, m, error);
    if (status != DIPP_OK) {
        destroy(m);
        return status;
    }
    *self = m;
    return DIPP_OK;
}

static dipp_status reference_space(void *self, dipp_space *out, dipp_error *error)
{
    const model *m = self;
    diffusion_space(&m->diffusion, sample_of(m), m->vae.levels || m->network.in_channels == 3, out);
    return DIPP_OK;
}

static dipp_status reference_tokenize(void *self, const char *const *texts, uint32_t count, int32_t *tokens,
                                      float *mask, dipp_error *error)
{
    const model *m = self;
    return diffusion_tokenize(&m->diffusion, texts, count, tokens, mask, error);
}

static dipp_condition reference_encode_text(void *self, dipp_graph *g, dipp_params p, dipp_prompt text)
{
    const model *m = self;
    return diffusion_encode_text(&m->diffusion, g, p, text);
}

/* Through the autoencoder if there is one; without it samples of other than three channels are left alone. */
static dipp_tensor reference_decode(void *self, dipp_graph *g, dipp_params p, dipp_tensor x0)
{
    const model *m = self;
    if (m->vae.levels)
        return diffusion_to_pictures(g, dipp_vae_decode(g, p, &m->vae, x0));
    return m->network.in_channels == 3 ? diffusion_to_pictures(g, x0) : x0;
}

static dipp_tensor reference_encode(void *self, dipp_graph *g, dipp_params p, dipp_tensor images)
{
    const model *m = self;
    if (m->vae.levels)
        return dipp_vae_encode(g, p, &m->vae, diffusion_from_pictures(g, images));
    return m->network.in_channels == 3 ? diffusion_from_pictures(g, images) : images;
}

/* ---- Generator --------------------------------------------------------------------------------------------------- */

static dipp_status generator_create(const dipp_parameters *parameters, const dipp_host *host, void **self,
                                    dipp_error *error)
{
    model *m = NULL;
    dipp_status status = create_model(parameters, &m, error);
    if (status != DIPP_OK)
        return status;
    diffusion_read_generator(parameters, &m->diffusion);
    *self = m;
    return DIPP_OK;
}

static dipp_status generator_info(void *self, dipp_generator_info *out, dipp_error *error)
{
    const model *m = self;
    diffusion_info(&m->diffusion, sample_of(m), out);
    return DIPP_OK;
}

/* ---- Descriptors ------------------------------------------------------------------------------------------------- */

/* clang-format off */
#define INTS(key_, default_, minimum_, maximum_, help_) \
    {.key = key_, .type = DIPP_TYPE_INT_LIST, .default_text = default_, .minimum = minimum_, .maximum = maximum_, \
     .flags = DIPP_PARAMETER_STRUCTURAL, .help = help_}

#define NETWORK_PARAMETERS \
    DIFFUSION_INT("channels", "3", 1, 1024, NULL, "Channels of a sample: 3 for pictures, 4 for Stable Diffusion latents."), \
    DIFFUSION_INT("size", "32", 1, 4096, "pixel", "Height and width of a sample."), \
    INTS("widths", "[32, 64, 96]", 1, 16384, "Channels of each level, finest first (block_out_channels of published files)."), \
    INTS("layers", "[1]", 1, 15, "Resnets of a level's down block, one fewer than its up block's (layers_per_block)."), \
    INTS("heads", "[4]", 1, 512, "Attention heads of a level's transformers (published files say attention_head_dim)."), \
    INTS("transformer_layers", "[1]", 1, 64, "Blocks of each of a level's transformers (transformer_layers_per_block)."), \
    {.key = "down_blocks", .type = DIPP_TYPE_STRING_LIST, .default_text = "[DownBlock2D, CrossAttnDownBlock2D, CrossAttnDownBlock2D]", \
     .flags = DIPP_PARAMETER_STRUCTURAL, .help = "Blocks on the way down, finest first: DownBlock2D or CrossAttnDownBlock2D."}, \
    {.key = "up_blocks", .type = DIPP_TYPE_STRING_LIST, .default_text = "[CrossAttnUpBlock2D, CrossAttnUpBlock2D, UpBlock2D]", \
     .flags = DIPP_PARAMETER_STRUCTURAL, .help = "Blocks on the way up, coarsest first: UpBlock2D or CrossAttnUpBlock2D."}, \
    {.key = "mid_block", .type = DIPP_TYPE_ENUM, .default_text = "UNetMidBlock2DCrossAttn", .choices = mid_blocks, \
     .flags = DIPP_PARAMETER_STRUCTURAL, .help = "Block between them."}, \
    DIFFUSION_INT("groups", "32", 1, 1024, NULL, "Groups of the group norms; divides all widths (norm_num_groups)."), \
    {.key = "epsilon", .type = DIPP_TYPE_FLOAT, .default_text = "1e-5", .minimum = 1e-12, .maximum = 1, \
     .flags = DIPP_PARAMETER_STRUCTURAL, .help = "Of the resnets' norms; the transformers' is 1e-6 (norm_eps)."}, \
    {.key = "linear_projection", .type = DIPP_TYPE_BOOL, .default_text = "false", .flags = DIPP_PARAMETER_STRUCTURAL, \
     .help = "Whether transformers begin and end with linear layers, as SD 2's, or 1x1 convolutions, as SD 1's."}, \
    DIFFUSION_PARAMETERS

static const dipp_parameter reference_parameters[] = {
    NETWORK_PARAMETERS,
    DIFFUSION_TEXT_PARAMETERS("96", "4"),
    {.key = "vae_widths", .type = DIPP_TYPE_INT_LIST, .minimum = 1, .maximum = 16384,
     .flags = DIPP_PARAMETER_STRUCTURAL | DIPP_PARAMETER_OPTIONAL,
     .help = "Channels of each level of an autoencoder, finest first; set: samples are its latents, of which each further level halves the size."},
    DIFFUSION_INT("vae_layers", "2", 1, 15, NULL, "Resnets of a level of the encoder; the decoder's have one more."),
    DIFFUSION_INT("vae_groups", "32", 1, 1024, NULL, "Groups of the autoencoder's norms."),
    {.key = "vae_scaling", .type = DIPP_TYPE_FLOAT, .default_text = "0.18215", .minimum = 1e-6, .maximum = 1e6,
     .flags = DIPP_PARAMETER_STRUCTURAL, .help = "Factor of the latents."},
};
static const dipp_parameter generator_parameters[] = {NETWORK_PARAMETERS, DIFFUSION_GENERATOR_PARAMETERS};
/* clang-format on */

static const dipp_reference reference = {
    .struct_size = sizeof reference,
    .create = reference_create,
    .destroy = destroy,
    .space = reference_space,
    .predict = predict,
    .tokenize = reference_tokenize,
    .encode_text = reference_encode_text,
    .decode = reference_decode,
    .encode = reference_encode,
};

static const dipp_generator generator = {
    .struct_size = sizeof generator,
    .create = generator_create,
    .destroy = destroy,
    .info = generator_info,
    .generate = predict,
};

static const dipp_plugin reference_plugin = {
    .struct_size = sizeof reference_plugin,
    .abi_major = DIPP_ABI_MAJOR,
    .abi_minor = DIPP_ABI_MINOR,
    .build_tag = DIPP_BUILD_TAG,
    .kind = DIPP_PLUGIN_REFERENCE,
    .name = "unet",
    .version = "1.0.0",
    .licence = "Apache-2.0",
    .summary = "UNet (Stable Diffusion), with a small text encoder and an autoencoder of its own if wanted",
    .parameters = reference_parameters,
    .parameter_count = sizeof reference_parameters / sizeof *reference_parameters,
    .vtable = &reference,
};

static const dipp_plugin generator_plugin = {
    .struct_size = sizeof generator_plugin,
    .abi_major = DIPP_ABI_MAJOR,
    .abi_minor = DIPP_ABI_MINOR,
    .build_tag = DIPP_BUILD_TAG,
    .kind = DIPP_PLUGIN_GENERATOR,
    .name = "unet",
    .version = "1.0.0",
    .licence = "Apache-2.0",
    .summary = "One-step generator with the network of the reference unet",
    .parameters = generator_parameters,
    .parameter_count = sizeof generator_parameters / sizeof *generator_parameters,
    .vtable = &generator,
};

DIPP_PLUGINS(&reference_plugin, &generator_plugin)
