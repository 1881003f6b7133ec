/* Plugin `dit`: the PixArt-alpha transformer as a reference diffusion and as a one-step generator.
 *
 * One shared object exports both descriptors, for they are one network: a generator starts from the reference's weights and
 * a TA is a second set of them. The published PixArt-XL/2 at 512 px and a small model for 32 px pictures differ in the
 * values of the parameters below. A reference that names a vocabulary brings its own text encoder, trained with it. */
#include <dipp/nn.h>
#include <dipp/plugin.h>
#include <dipp/text.h>

#include <stdlib.h>
#include <string.h>

/* In the order of parameterisation_choices. */
static const dipp_parameterisation parameterisations[] = {DIPP_PREDICTS_EDM, DIPP_PREDICTS_EPS, DIPP_PREDICTS_V,
                                                          DIPP_PREDICTS_X0, DIPP_PREDICTS_FLOW};
static const char *const parameterisation_choices[] = {"edm", "eps", "v", "x0", "flow", NULL};

typedef struct model {
    dipp_dit_options network; /* caption_channels is taken from the condition */
    dipp_parameterisation parameterisation;
    double sigma_data;
    /* reference only */
    dipp_text_encoder_options text;
    dipp_vocabulary *vocabulary; /* NULL: takes no text */
    /* generator only */
    double sigma_init;
    bool unit_noise;
} model;

static void destroy(void *self)
{
    model *m = self;
    if (!m)
        return;
    dipp_vocabulary_destroy(&m->vocabulary);
    free(m);
}

/* What reference and generator have in common. */
static dipp_status create_model(const dipp_parameters *parameters, model **out, dipp_error *error)
{
    model *m = calloc(1, sizeof *m);
    if (!m)
        return dipp_fail(error, DIPP_E_MEMORY, "dit: no memory for the plugin's state (%zu bytes)", sizeof *m);
    const char *choice = dipp_parameters_string(parameters, "parameterisation");
    for (size_t i = 0; parameterisation_choices[i]; ++i) {
        if (strcmp(choice, parameterisation_choices[i]) == 0)
            m->parameterisation = parameterisations[i];
    }
    m->sigma_data = dipp_parameters_float(parameters, "sigma_data");

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
    if (dipp_parameters_has(parameters, "time_scale"))
        o->time_scale = dipp_parameters_float(parameters, "time_scale");
    else /* EDM's ln(r)/4 and flow's t are near 1 where the sinusoid expects hundreds; the others count steps */
        o->time_scale =
            m->parameterisation == DIPP_PREDICTS_EDM || m->parameterisation == DIPP_PREDICTS_FLOW ? 1000.0 : 1.0;

    dipp_status status = dipp_dit_check(o, error);
    if (status != DIPP_OK) {
        destroy(m);
        return status;
    }
    *out = m;
    return DIPP_OK;
}

/* The prediction's channels of the network's output (with learn_sigma the second half holds variance logits). */
static dipp_tensor predict_with(const model *m, dipp_graph *g, dipp_params p, dipp_tensor x, dipp_tensor t,
                                dipp_condition c)
{
    if (c.count != 0 && c.count != 2)
        return dipp_graph_fail(g, "dit: the condition must have two parts (text states, mask) or none, found %u",
                               c.count);
    dipp_dit_options o = m->network;
    o.caption_channels = c.count ? dipp_dim(g, c.parts[0], -1) : 0;
    dipp_tensor caption = c.count ? c.parts[0] : DIPP_NONE, mask = c.count ? c.parts[1] : DIPP_NONE;
    dipp_tensor y = dipp_dit(g, p, &o, x, t, caption, mask);
    return o.learn_sigma ? dipp_slice(g, y, 1, 0, o.channels) : y;
}

/* ---- Reference ------------------------------------------------------------------------------------------------- */

static dipp_status load_text(const dipp_parameters *parameters, model *m, dipp_error *error)
{
    if (!dipp_parameters_has(parameters, "vocabulary"))
        return DIPP_OK;
    dipp_status status = dipp_vocabulary_load(dipp_parameters_string(parameters, "vocabulary"), &m->vocabulary, error);
    if (status != DIPP_OK) {
        dipp_error_context(error, "dit: parameter vocabulary");
        return status;
    }
    dipp_text_encoder_options *o = &m->text;
    o->struct_size = sizeof *o;
    o->vocabulary = dipp_vocabulary_size(m->vocabulary);
    o->length = dipp_parameters_int(parameters, "token_length");
    o->width = dipp_parameters_int(parameters, "text_hidden");
    o->layers = dipp_parameters_int(parameters, "text_layers");
    o->heads = dipp_parameters_int(parameters, "text_heads");
    return dipp_text_encoder_check(o, error);
}

static dipp_status reference_create(const dipp_parameters *parameters, const dipp_host *host, void **self,
                                    dipp_error *error)
{
    model *m = NULL;
    dipp_status status = create_model(parameters, &m, error);
    if (status == DIPP_OK)
        status = load_text(parameters, m, error);
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
    const dipp_dit_options *o = &m->network;
    out->sample = DIPP_SHAPE(o->channels, o->height, o->width);
    out->parameterisation = m->parameterisation;
    out->sigma_data = m->sigma_data;
    out->token_length = m->vocabulary ? (uint32_t)m->text.length : 0;
    out->images = o->channels == 3;
    out->schedule = (dipp_schedule){.kind = DIPP_SCHEDULE_ANY};
    switch (m->parameterisation) {
    case DIPP_PREDICTS_EDM: /* Karras et al. 2022, table 1 */
        out->schedule = (dipp_schedule){.kind = DIPP_SCHEDULE_VE, .t_min = 0.002, .t_max = 80.0};
        break;
    case DIPP_PREDICTS_FLOW: /* the ends are left out: sigma/alpha is 0 and infinite there */
        out->schedule = (dipp_schedule){.kind = DIPP_SCHEDULE_FLOW, .t_min = 0.001, .t_max = 0.999};
        break;
    default: /* Stable Diffusion's betas */
        out->schedule = (dipp_schedule){.kind = DIPP_SCHEDULE_DISCRETE,
                                        .a = 0.00085,
                                        .b = 0.012,
                                        .t_min = 0.0,
                                        .t_max = 999.0,
                                        .steps = 1000,
                                        .scaled_linear = 1};
        break;
    }
    return DIPP_OK;
}

static dipp_tensor reference_predict(void *self, dipp_graph *g, dipp_params p, dipp_tensor x, dipp_level level,
                                     dipp_condition c)
{
    const model *m = self;
    if (m->vocabulary && c.count == 0)
        return dipp_graph_fail(g,
                               "dit: this model takes text (it has a vocabulary), but no condition was given; encode "
                               "\"\" for the null prompt");
    return predict_with(m, g, p, x, level.t, c);
}

static dipp_status reference_tokenize(void *self, const char *const *texts, uint32_t count, int32_t *tokens,
                                      float *mask, dipp_error *error)
{
    const model *m = self;
    if (!m->vocabulary)
        return dipp_fail(error, DIPP_E_UNSUPPORTED,
                         "dit: this model takes no text; set its parameter vocabulary to give it one");
    uint32_t length = (uint32_t)m->text.length;
    for (uint32_t i = 0; i < count; ++i) {
        size_t row = (size_t)i * length;
        dipp_status status = dipp_vocabulary_encode(m->vocabulary, texts[i], length, tokens + row, mask + row, error);
        if (status != DIPP_OK)
            return status;
    }
    return DIPP_OK;
}

static dipp_condition reference_encode_text(void *self, dipp_graph *g, dipp_params p, dipp_prompt text)
{
    const model *m = self;
    if (!m->vocabulary) {
        dipp_graph_fail(g, "dit: this model takes no text; set its parameter vocabulary to give it one");
        return (dipp_condition){.count = 0};
    }
    dipp_tensor states = dipp_text_encoder(g, p, &m->text, text.tokens, text.mask);
    return (dipp_condition){.count = 2, .parts = {states, text.mask}};
}

/* Pictures of three channels live in [-1, 1] as samples and in [0, 1] as pictures; latents are left alone. */
static dipp_tensor reference_decode(void *self, dipp_graph *g, dipp_params p, dipp_tensor x0)
{
    const model *m = self;
    return m->network.channels == 3 ? dipp_scale_add(g, x0, 0.5, 0.5) : x0;
}

static dipp_tensor reference_encode(void *self, dipp_graph *g, dipp_params p, dipp_tensor images)
{
    const model *m = self;
    return m->network.channels == 3 ? dipp_scale_add(g, images, 2.0, -1.0) : images;
}

/* ---- Generator ------------------------------------------------------------------------------------------------- */

static dipp_status generator_create(const dipp_parameters *parameters, const dipp_host *host, void **self,
                                    dipp_error *error)
{
    model *m = NULL;
    dipp_status status = create_model(parameters, &m, error);
    if (status != DIPP_OK)
        return status;
    m->sigma_init = dipp_parameters_float(parameters, "sigma_init");
    m->unit_noise = dipp_parameters_bool(parameters, "unit_noise");
    *self = m;
    return DIPP_OK;
}

static dipp_status generator_info(void *self, dipp_generator_info *out, dipp_error *error)
{
    const model *m = self;
    out->sample = DIPP_SHAPE(m->network.channels, m->network.height, m->network.width);
    out->parameterisation = m->parameterisation;
    out->sigma_data = m->sigma_data;
    out->sigma_init = m->sigma_init;
    out->unit_noise = m->unit_noise;
    out->takes_noise = false;
    return DIPP_OK;
}

static dipp_tensor generator_generate(void *self, dipp_graph *g, dipp_params p, dipp_tensor x, dipp_level level,
                                      dipp_condition c)
{
    return predict_with(self, g, p, x, level.t, c);
}

/* ---- Descriptors ----------------------------------------------------------------------------------------------- */

#define STRUCTURAL_INT(key_, default_, minimum_, maximum_, unit_, help_)                                        \
    {                                                                                                           \
        .key = key_, .type = DIPP_TYPE_INT, .default_text = default_, .minimum = minimum_, .maximum = maximum_, \
        .unit = unit_, .flags = DIPP_PARAMETER_STRUCTURAL, .help = help_                                        \
    }

/* clang-format off */
#define NETWORK_PARAMETERS \
    STRUCTURAL_INT("channels", "3", 1, 1024, NULL, "Channels of a sample: 3 for pictures, 4 for Stable Diffusion latents."), \
    STRUCTURAL_INT("size", "32", 1, 4096, "pixel", "Height and width of a sample."), \
    STRUCTURAL_INT("patch", "4", 1, 64, "pixel", "Side of the square that becomes one token."), \
    STRUCTURAL_INT("hidden", "160", 4, 16384, NULL, "Width of a token, a multiple of 4 and of heads."), \
    STRUCTURAL_INT("layers", "6", 1, 512, NULL, "Transformer blocks."), \
    STRUCTURAL_INT("heads", "5", 1, 512, NULL, "Attention heads of each block."), \
    STRUCTURAL_INT("mlp_ratio", "4", 1, 64, NULL, "Width of the feed-forward layer over hidden."), \
    STRUCTURAL_INT("position_base", "0", 0, 4096, "token", "Side of the token grid whose coordinates are whole numbers; 0 is size / patch."), \
    {.key = "position_scale", .type = DIPP_TYPE_FLOAT, .default_text = "1.0", .minimum = 1e-3, .maximum = 1e3, \
     .flags = DIPP_PARAMETER_STRUCTURAL, .help = "Divides the coordinates (interpolation_scale of published files)."}, \
    {.key = "learn_sigma", .type = DIPP_TYPE_BOOL, .default_text = "false", .flags = DIPP_PARAMETER_STRUCTURAL, \
     .help = "Whether the last layer also holds variance logits, which are ignored, as PixArt-alpha's does."}, \
    {.key = "time_scale", .type = DIPP_TYPE_FLOAT, .minimum = 1e-6, .maximum = 1e6, \
     .flags = DIPP_PARAMETER_STRUCTURAL | DIPP_PARAMETER_OPTIONAL, \
     .help = "Factor of t before the sinusoid; unset is 1000 for edm and flow, 1 otherwise."}, \
    {.key = "parameterisation", .type = DIPP_TYPE_ENUM, .default_text = "edm", .choices = parameterisation_choices, \
     .flags = DIPP_PARAMETER_STRUCTURAL, .help = "What the network predicts; it also fixes the noise schedule."}, \
    {.key = "sigma_data", .type = DIPP_TYPE_FLOAT, .default_text = "0.5", .minimum = 1e-6, .maximum = 1e6, \
     .flags = DIPP_PARAMETER_STRUCTURAL, .help = "Standard deviation of the data, for edm."}

static const dipp_parameter reference_parameters[] = {
    NETWORK_PARAMETERS,
    {.key = "vocabulary", .type = DIPP_TYPE_PATH, .flags = DIPP_PARAMETER_STRUCTURAL | DIPP_PARAMETER_OPTIONAL,
     .help = "File of words, one a line; unset is a model without text."},
    STRUCTURAL_INT("token_length", "16", 1, 4096, "token", "Tokens of a prompt; longer prompts are cut."),
    STRUCTURAL_INT("text_hidden", "160", 1, 16384, NULL, "Width of the text encoder."),
    STRUCTURAL_INT("text_layers", "1", 0, 64, NULL, "Blocks of the text encoder."),
    STRUCTURAL_INT("text_heads", "5", 1, 512, NULL, "Attention heads of the text encoder."),
};

static const dipp_parameter generator_parameters[] = {
    NETWORK_PARAMETERS,
    {.key = "sigma_init", .type = DIPP_TYPE_FLOAT, .default_text = "2.5", .minimum = 1e-3, .maximum = 1e3,
     .flags = DIPP_PARAMETER_STRUCTURAL, .help = "sigma/alpha of the level at which the single step starts."},
    {.key = "unit_noise", .type = DIPP_TYPE_BOOL, .default_text = "false", .flags = DIPP_PARAMETER_STRUCTURAL,
     .help = "Whether the step starts from z itself rather than sigma z."},
};
/* clang-format on */

static const dipp_reference reference = {
    .struct_size = sizeof reference,
    .create = reference_create,
    .destroy = destroy,
    .space = reference_space,
    .predict = reference_predict,
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
    .generate = generator_generate,
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
