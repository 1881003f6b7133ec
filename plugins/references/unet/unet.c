/* Plugin `unet`: Stable Diffusion's UNet as a reference diffusion and as a one-step generator.
 *
 * As plugin `dit` it exports both descriptors, for they are one network. The published SD 1.5 and a small model for 32 px
 * pictures differ in the values of the parameters below (or the former's come from its folder), whose lists have one entry per level, finest first, or one for all
 * levels. A reference may bring a text encoder for a vocabulary of its own, and an autoencoder, in whose latents it then works. */
#include "../../shared/diffusion.h"

#include <stdlib.h>
#include <string.h>

static const char *const mid_blocks[] = {"UNetMidBlock2DCrossAttn", "UNetMidBlock2D", "none", NULL};

typedef struct model {
    dipp_unet_options network; /* caption_channels is taken from the condition; a pipeline's is kept until then */
    int64_t size;              /* of a sample, height and width */
    diffusion diffusion;
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

static dipp_status read_pipeline(const dipp_parameters *parameters, model *m, dipp_error *error)
{
    char path[DIPP_PIPELINE_PATH_BYTES];
    int64_t sample_size = 0;
    diffusion_network_file(&m->diffusion, path);
    dipp_status status = dipp_unet_read_config(path, &m->network, &sample_size, error);
    m->network.time_scale = m->diffusion.time_scale;
    if (status == DIPP_OK && m->network.in_channels != m->network.out_channels)
        return dipp_fail(error, DIPP_E_UNSUPPORTED,
                         "%s: in_channels is %lld and out_channels %lld; a network that reads more than the sample is "
                         "not supported",
                         path, (long long)m->network.in_channels, (long long)m->network.out_channels);
    return status == DIPP_OK ? diffusion_read_size(parameters, &m->diffusion, sample_size, &m->size, error) : status;
}

/* What reference and generator have in common. */
static dipp_status create_model(const dipp_parameters *parameters, model **out, dipp_error *error)
{
    model *m = calloc(1, sizeof *m);
    if (!m)
        return dipp_fail(error, DIPP_E_MEMORY, "unet: no memory for the plugin's state (%zu bytes)", sizeof *m);
    dipp_status status = diffusion_read(parameters, "unet", &m->diffusion, error);
    if (status == DIPP_OK && m->diffusion.pipeline) {
        status = read_pipeline(parameters, m, error);
    } else if (status == DIPP_OK) {
        m->size = dipp_parameters_int(parameters, "size");
        status = read_network(parameters, &m->diffusion, &m->network, error);
    }
    if (status != DIPP_OK) {
        destroy(m);
        return status;
    }
    *out = m;
    return DIPP_OK;
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
        status = diffusion_read_text(parameters, &m->diffusion, m->network.caption_channels, error);
    if (status == DIPP_OK)
        status = diffusion_read_vae(parameters, &m->diffusion, m->network.in_channels, error);
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
    diffusion_space(&m->diffusion, sample_of(m), out);
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

static dipp_tensor reference_decode(void *self, dipp_graph *g, dipp_params p, dipp_tensor x0)
{
    return diffusion_decode(&((const model *)self)->diffusion, g, p, x0);
}

static dipp_tensor reference_encode(void *self, dipp_graph *g, dipp_params p, dipp_tensor images)
{
    return diffusion_encode(&((const model *)self)->diffusion, g, p, images);
}

/* ---- Generator --------------------------------------------------------------------------------------------------- */

static dipp_status generator_create(const dipp_parameters *parameters, const dipp_host *host, void **self,
                                    dipp_error *error)
{
    model *m = NULL;
    dipp_status status = create_model(parameters, &m, error);
    if (status == DIPP_OK)
        status = diffusion_read_generator(parameters, &m->diffusion, error);
    if (status != DIPP_OK) {
        destroy(m);
        return status;
    }
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
     .flags = DIFFUSION_STRUCTURE, .help = help_}

#define NETWORK_PARAMETERS \
    DIFFUSION_INT("channels", "3", 1, 1024, NULL, "Channels of a sample: 3 for pictures, 4 for Stable Diffusion latents."), \
    DIFFUSION_SIZE, \
    INTS("widths", "[32, 64, 96]", 1, 16384, "Channels of each level, finest first (block_out_channels of published files)."), \
    INTS("layers", "[1]", 1, 15, "Resnets of a level's down block, one fewer than its up block's (layers_per_block)."), \
    INTS("heads", "[4]", 1, 512, "Attention heads of a level's transformers (published files say attention_head_dim)."), \
    INTS("transformer_layers", "[1]", 1, 64, "Blocks of each of a level's transformers (transformer_layers_per_block)."), \
    {.key = "down_blocks", .type = DIPP_TYPE_STRING_LIST, .default_text = "[DownBlock2D, CrossAttnDownBlock2D, CrossAttnDownBlock2D]", \
     .flags = DIFFUSION_STRUCTURE, .help = "Blocks on the way down, finest first: DownBlock2D or CrossAttnDownBlock2D."}, \
    {.key = "up_blocks", .type = DIPP_TYPE_STRING_LIST, .default_text = "[CrossAttnUpBlock2D, CrossAttnUpBlock2D, UpBlock2D]", \
     .flags = DIFFUSION_STRUCTURE, .help = "Blocks on the way up, coarsest first: UpBlock2D or CrossAttnUpBlock2D."}, \
    {.key = "mid_block", .type = DIPP_TYPE_ENUM, .default_text = "UNetMidBlock2DCrossAttn", .choices = mid_blocks, \
     .flags = DIFFUSION_STRUCTURE, .help = "Block between them."}, \
    DIFFUSION_INT("groups", "32", 1, 1024, NULL, "Groups of the group norms; divides all widths (norm_num_groups)."), \
    {.key = "epsilon", .type = DIPP_TYPE_FLOAT, .default_text = "1e-5", .minimum = 1e-12, .maximum = 1, \
     .flags = DIFFUSION_STRUCTURE, .help = "Of the resnets' norms; the transformers' is 1e-6 (norm_eps)."}, \
    {.key = "linear_projection", .type = DIPP_TYPE_BOOL, .default_text = "false", .flags = DIFFUSION_STRUCTURE, \
     .help = "Whether transformers begin and end with linear layers, as SD 2's, or 1x1 convolutions, as SD 1's."}, \
    DIFFUSION_PARAMETERS

static const dipp_parameter reference_parameters[] = {
    NETWORK_PARAMETERS,
    DIFFUSION_TEXT_PARAMETERS("96", "4"),
    DIFFUSION_VAE_PARAMETERS,
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
    .version = "1.1.0",
    .licence = "Apache-2.0",
    .summary = "UNet (Stable Diffusion), with a text encoder and an autoencoder if wanted; reads published pipelines",
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
    .version = "1.1.0",
    .licence = "Apache-2.0",
    .summary = "One-step generator with the network of the reference unet",
    .parameters = generator_parameters,
    .parameter_count = sizeof generator_parameters / sizeof *generator_parameters,
    .vtable = &generator,
};

DIPP_PLUGINS(&reference_plugin, &generator_plugin)
