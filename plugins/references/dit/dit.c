/* Plugin `dit`: the PixArt-alpha transformer as a reference diffusion and as a one-step generator.
 *
 * One shared object exports both descriptors, for they are one network: a generator starts from the reference's weights and
 * a TA is a second set of them. The published PixArt-XL/2 at 512 px and a small model for 32 px pictures differ in the
 * values of the parameters below. A reference that names a vocabulary brings its own text encoder, trained with it. */
#include "../../shared/diffusion.h"

#include <stdlib.h>

typedef struct model {
    dipp_dit_options network; /* caption_channels is taken from the condition */
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

/* What reference and generator have in common. */
static dipp_status create_model(const dipp_parameters *parameters, model **out, dipp_error *error)
{
    model *m = calloc(1, sizeof *m);
    if (!m)
        return dipp_fail(error, DIPP_E_MEMORY, "dit: no memory for the plugin's state (%zu bytes)", sizeof *m);
    diffusion_read(parameters, "dit", &m->diffusion);

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

    dipp_status status = dipp_dit_check(o, error);
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
        status = diffusion_read_text(parameters, &m->diffusion, error);
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
    diffusion_space(&m->diffusion, sample_of(m), m->network.channels == 3, out);
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

/* Latents are left alone. */
static dipp_tensor reference_decode(void *self, dipp_graph *g, dipp_params p, dipp_tensor x0)
{
    const model *m = self;
    return m->network.channels == 3 ? diffusion_to_pictures(g, x0) : x0;
}

static dipp_tensor reference_encode(void *self, dipp_graph *g, dipp_params p, dipp_tensor images)
{
    const model *m = self;
    return m->network.channels == 3 ? diffusion_from_pictures(g, images) : images;
}

/* ---- Generator ------------------------------------------------------------------------------------------------- */

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

/* ---- Descriptors ----------------------------------------------------------------------------------------------- */

/* clang-format off */
#define NETWORK_PARAMETERS \
    DIFFUSION_INT("channels", "3", 1, 1024, NULL, "Channels of a sample: 3 for pictures, 4 for Stable Diffusion latents."), \
    DIFFUSION_INT("size", "32", 1, 4096, "pixel", "Height and width of a sample."), \
    DIFFUSION_INT("patch", "4", 1, 64, "pixel", "Side of the square that becomes one token."), \
    DIFFUSION_INT("hidden", "160", 4, 16384, NULL, "Width of a token, a multiple of 4 and of heads."), \
    DIFFUSION_INT("layers", "6", 1, 512, NULL, "Transformer blocks."), \
    DIFFUSION_INT("heads", "5", 1, 512, NULL, "Attention heads of each block."), \
    DIFFUSION_INT("mlp_ratio", "4", 1, 64, NULL, "Width of the feed-forward layer over hidden."), \
    DIFFUSION_INT("position_base", "0", 0, 4096, "token", "Side of the token grid whose coordinates are whole numbers; 0 is size / patch."), \
    {.key = "position_scale", .type = DIPP_TYPE_FLOAT, .default_text = "1.0", .minimum = 1e-3, .maximum = 1e3, \
     .flags = DIPP_PARAMETER_STRUCTURAL, .help = "Divides the coordinates (interpolation_scale of published files)."}, \
    {.key = "learn_sigma", .type = DIPP_TYPE_BOOL, .default_text = "false", .flags = DIPP_PARAMETER_STRUCTURAL, \
     .help = "Whether the last layer also holds variance logits, which are ignored, as PixArt-alpha's does."}, \
    DIFFUSION_PARAMETERS

static const dipp_parameter reference_parameters[] = {NETWORK_PARAMETERS, DIFFUSION_TEXT_PARAMETERS("160", "5")};
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
    .version = "1.0.0",
    .licence = "Apache-2.0",
    .summary = "Diffusion transformer (PixArt-alpha), with a small text encoder of its own",
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
    .version = "1.0.0",
    .licence = "Apache-2.0",
    .summary = "One-step generator with the network of the reference dit",
    .parameters = generator_parameters,
    .parameter_count = sizeof generator_parameters / sizeof *generator_parameters,
    .vtable = &generator,
};

DIPP_PLUGINS(&reference_plugin, &generator_plugin)
