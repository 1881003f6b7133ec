#include "diffusion.h"

#include <string.h>

/* In the order of diffusion_parameterisations. */
static const dipp_parameterisation parameterisations[] = {DIPP_PREDICTS_EDM, DIPP_PREDICTS_EPS, DIPP_PREDICTS_V,
                                                          DIPP_PREDICTS_X0, DIPP_PREDICTS_FLOW};
const char *const diffusion_parameterisations[] = {"edm", "eps", "v", "x0", "flow", NULL};

/* ---- Parameters -------------------------------------------------------------------------------------------------- */

void diffusion_read(const dipp_parameters *parameters, const char *name, diffusion *d)
{
    d->name = name;
    const char *choice = dipp_parameters_string(parameters, "parameterisation");
    for (size_t i = 0; diffusion_parameterisations[i]; ++i) {
        if (strcmp(choice, diffusion_parameterisations[i]) == 0)
            d->parameterisation = parameterisations[i];
    }
    d->sigma_data = dipp_parameters_float(parameters, "sigma_data");
    if (dipp_parameters_has(parameters, "time_scale"))
        d->time_scale = dipp_parameters_float(parameters, "time_scale");
    else /* EDM's ln(r)/4 and flow's t are near 1 where the sinusoid expects hundreds; the others count steps */
        d->time_scale =
            d->parameterisation == DIPP_PREDICTS_EDM || d->parameterisation == DIPP_PREDICTS_FLOW ? 1000.0 : 1.0;
}

dipp_status diffusion_read_text(const dipp_parameters *parameters, diffusion *d, dipp_error *error)
{
    if (!dipp_parameters_has(parameters, "vocabulary"))
        return DIPP_OK;
    dipp_status status = dipp_vocabulary_load(dipp_parameters_string(parameters, "vocabulary"), &d->vocabulary, error);
    if (status != DIPP_OK) {
        dipp_error_context(error, "%s: parameter vocabulary", d->name);
        return status;
    }
    dipp_text_encoder_options *o = &d->text;
    o->struct_size = sizeof *o;
    o->vocabulary = dipp_vocabulary_size(d->vocabulary);
    o->length = dipp_parameters_int(parameters, "token_length");
    o->width = dipp_parameters_int(parameters, "text_hidden");
    o->layers = dipp_parameters_int(parameters, "text_layers");
    o->heads = dipp_parameters_int(parameters, "text_heads");
    return dipp_text_encoder_check(o, error);
}

void diffusion_read_generator(const dipp_parameters *parameters, diffusion *d)
{
    d->sigma_init = dipp_parameters_float(parameters, "sigma_init");
    d->unit_noise = dipp_parameters_bool(parameters, "unit_noise");
}

void diffusion_release(diffusion *d)
{
    dipp_vocabulary_destroy(&d->vocabulary);
}

/* ---- What the host asks ------------------------------------------------------------------------------------------ */

void diffusion_space(const diffusion *d, dipp_shape sample, bool pictures, dipp_space *out)
{
    out->sample = sample;
    out->parameterisation = d->parameterisation;
    out->sigma_data = d->sigma_data;
    out->token_length = d->vocabulary ? (uint32_t)d->text.length : 0;
    out->images = pictures;
    out->schedule = (dipp_schedule){.kind = DIPP_SCHEDULE_ANY};
    switch (d->parameterisation) {
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
}

void diffusion_info(const diffusion *d, dipp_shape sample, dipp_generator_info *out)
{
    out->sample = sample;
    out->parameterisation = d->parameterisation;
    out->sigma_data = d->sigma_data;
    out->sigma_init = d->sigma_init;
    out->unit_noise = d->unit_noise;
    out->takes_noise = false;
}

dipp_status diffusion_tokenize(const diffusion *d, const char *const *texts, uint32_t count, int32_t *tokens,
                               float *mask, dipp_error *error)
{
    if (!d->vocabulary)
        return dipp_fail(error, DIPP_E_UNSUPPORTED,
                         "%s: this model takes no text; set its parameter vocabulary to give it one", d->name);
    uint32_t length = (uint32_t)d->text.length;
    for (uint32_t i = 0; i < count; ++i) {
        size_t row = (size_t)i * length;
        dipp_status status = dipp_vocabulary_encode(d->vocabulary, texts[i], length, tokens + row, mask + row, error);
        if (status != DIPP_OK)
            return status;
    }
    return DIPP_OK;
}

/* ---- Recording --------------------------------------------------------------------------------------------------- */

dipp_condition diffusion_encode_text(const diffusion *d, dipp_graph *g, dipp_params p, dipp_prompt text)
{
    if (!d->vocabulary) {
        dipp_graph_fail(g, "%s: this model takes no text; set its parameter vocabulary to give it one", d->name);
        return (dipp_condition){.count = 0};
    }
    dipp_tensor states = dipp_text_encoder(g, p, &d->text, text.tokens, text.mask);
    return (dipp_condition){.count = 2, .parts = {states, text.mask}};
}

bool diffusion_condition_fits(const diffusion *d, dipp_graph *g, dipp_condition c)
{
    if (c.count != 0 && c.count != 2) {
        dipp_graph_fail(g, "%s: the condition must have two parts (text states, mask) or none, found %u", d->name,
                        c.count);
        return false;
    }
    if (d->vocabulary && c.count == 0) {
        dipp_graph_fail(g,
                        "%s: this model takes text (it has a vocabulary), but no condition was given; encode \"\" for "
                        "the null prompt",
                        d->name);
        return false;
    }
    return true;
}

dipp_tensor diffusion_to_pictures(dipp_graph *g, dipp_tensor samples)
{
    return dipp_scale_add(g, samples, 0.5, 0.5);
}

dipp_tensor diffusion_from_pictures(dipp_graph *g, dipp_tensor pictures)
{
    return dipp_scale_add(g, pictures, 2.0, -1.0);
}
