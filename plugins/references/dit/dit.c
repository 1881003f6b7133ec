/* Plugin `dit`: the PixArt-alpha transformer as a reference diffusion and as a one-step generator.
 *
 * One shared object exports both descriptors, for they are one network: a generator starts from the reference's weights and
 * a TA is a second set of them. The published PixArt-XL/2 at 512 px and a small model for 32 px pictures differ in the
 * values of the parameters below, or the former's come from its folder. A reference that names a vocabulary brings its own text encoder, trained with it. */
#include "../../shared/diffusion.h"

#include <stdlib.h>

typedef struct model {
    dipp_dit_options network; /* caption_channels is taken from the condition; a pipeline's is kept until then */
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

static dipp_status read_network(const dipp_parameters *parameters, model *m, dipp_error *error)
{
    dipp_dit_options *o = &m->network;
    o->struct_size = sizeof *o;
    o->channels = dipp_parameters_int(parameters, "channels");
    o->height = o->width = dipp_parameters_int(parameters, "size");
    o->patch = dipp_parameters_int(parameters, "patch");
    o->hidden = dipp_parameters_int(parameters, "hidden");
    o->layers = dipp_parameters_int(parameters, "layers");
    o->heads = dipp_parameters_int(parameters, "heads");
    o->mlp_ratio = dipp_parameters_int(parameters, "mlp_ratio");
    o->learn_sigma = dipp_parameters_bool(parameters, "learn_sigma");
    o->position_base = dipp_parameters_int(parameters, "position_base");
    o->position_scale = dipp_parameters_float(parameters, "position_scale");
    o->time_scale = m->diffusion.time_scale;
    return dipp_dit_check(o, error);
}

static dipp_status read_pipeline(const dipp_parameters *parameters, model *m, dipp_error *error)
{
    char path[DIPP_PIPELINE_PATH_BYTES];
    dipp_dit_options *o = &m->network;
    int64_t size = 0;
    diffusion_network_file(&m->diffusion, path);
    dipp_status status = dipp_dit_read_config(path, o, error);
    if (status == DIPP_OK)
        status = diffusion_read_size(parameters, &m->diffusion, o->height, &size, error);
    if (status != DIPP_OK)
        return status;
    o->micro_height *= (double)size / (double)o->height;
    o->micro_width = o->micro_height;
    o->height = o->width = size;
    o->time_scale = m->diffusion.time_scale;
    return dipp_dit_check(o, error);
}

/* What reference and generator have in common. */
static dipp_status create_model(const dipp_parameters *parameters, model **out, dipp_error *error)
{
    model *m = calloc(1, sizeof *m);
    if (!m)
        return dipp_fail(error, DIPP_E_MEMORY, "dit: no memory for the plugin's state (%zu bytes)", sizeof *m);
    dipp_status status = diffusion_read(parameters, "dit", &m->diffusion, error);
    if (status == DIPP_OK)
        status = m->diffusion.pipeline ? read_pipeline(parameters, m, error) : read_network(parameters, m, error);
    if (status != DIPP_OK) {
        destroy(m);
        return status;
    }
    *out = m;
    return DIPP_OK;
}

static dipp_shape sample_of(const model *m)
{
    return DIPP_SHAPE(m->network.channels, m->network.height, m->network.width);
}

/* The prediction's channels of the network's output (with learn_sigma the second half holds variance logits). */
static dipp_tensor predict(void *self, dipp_graph *g, dipp_params p, dipp_tensor x, dipp_level level, dipp_condition c)
{
    const model *m = self;
    if (!diffusion_condition_fits(&m->diffusion, g, c))
        return DIPP_NONE;
    dipp_dit_options o = m->network;
    o.caption_channels = c.count ? dipp_dim(g, c.parts[0], -1) : 0;
    dipp_tensor caption = c.count ? c.parts[0] : DIPP_NONE, mask = c.count ? c.parts[1] : DIPP_NONE;
    dipp_tensor y = dipp_dit(g, p, &o, x, level.t, caption, mask);
    return o.learn_sigma ? dipp_slice(g, y, 1, 0, o.channels) : y;
}

/* ---- Reference ------------------------------------------------------------------------------------------------- */

static dipp_status reference_create(const dipp_parameters *parameters, const dipp_host *host, void **self,
                                    dipp_error *error)
{
    model *m = NULL;
    dipp_status status = create_model(parameters, &m, error);
    if (status == DIPP_OK)
        status = diffusion_read_text(parameters, &m->diffusion, m->network.caption_channels, error);
    if (status == DIPP_OK)
        status = diffusion_read_vae(parameters, &m->diffusion, m->network.channels, error);
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

/* ---- Generator ------------------------------------------------------------------------------------------------- */

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

/* ---- Descriptors ----------------------------------------------------------------------------------------------- */

/* clang-format off */
#define NETWORK_PARAMETERS \
    DIFFUSION_INT("channels", "3", 1, 1024, NULL, "Channels of a sample: 3 for pictures, 4 for Stable Diffusion latents."), \
    DIFFUSION_SIZE, \
    DIFFUSION_INT("patch", "4", 1, 64, "pixel", "Side of the square that becomes one token."), \
    DIFFUSION_INT("hidden", "160", 4, 16384, NULL, "Width of a token, a multiple of 4 and of heads."), \
    DIFFUSION_INT("layers", "6", 1, 512, NULL, "Transformer blocks."), \
    DIFFUSION_INT("heads", "5", 1, 512, NULL, "Attention heads of each block."), \
    DIFFUSION_INT("mlp_ratio", "4", 1, 64, NULL, "Width of the feed-forward layer over hidden."), \
    DIFFUSION_INT("position_base", "0", 0, 4096, "token", "Side of the token grid whose coordinates are whole numbers; 0 is size / patch."), \
    {.key = "position_scale", .type = DIPP_TYPE_FLOAT, .default_text = "1.0", .minimum = 1e-3, .maximum = 1e3, \
     .flags = DIFFUSION_STRUCTURE, .help = "Divides the coordinates (interpolation_scale of published files)."}, \
    {.key = "learn_sigma", .type = DIPP_TYPE_BOOL, .default_text = "false", .flags = DIFFUSION_STRUCTURE, \
     .help = "Whether the last layer also holds variance logits, which are ignored, as PixArt-alpha's does."}, \
    DIFFUSION_PARAMETERS

static const dipp_parameter reference_parameters[] = {NETWORK_PARAMETERS, DIFFUSION_TEXT_PARAMETERS("160", "5"),
                                                      DIFFUSION_VAE_PARAMETERS};
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
    .name = "dit",
    .version = "1.1.0",
    .licence = "Apache-2.0",
    .summary = "Diffusion transformer (PixArt-alpha), with a text encoder and an autoencoder if wanted; reads "
               "published pipelines",
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
    .name = "dit",
    .version = "1.1.0",
    .licence = "Apache-2.0",
    .summary = "One-step generator with the network of the reference dit",
    .parameters = generator_parameters,
    .parameter_count = sizeof generator_parameters / sizeof *generator_parameters,
    .vtable = &generator,
};

DIPP_PLUGINS(&reference_plugin, &generator_plugin)
