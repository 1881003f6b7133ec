#include "diffusion.h"

#include <stdio.h>
#include <string.h>

/* In the order of diffusion_parameterisations. */
static const dipp_parameterisation parameterisations[] = {DIPP_PREDICTS_EDM, DIPP_PREDICTS_EPS, DIPP_PREDICTS_V,
                                                          DIPP_PREDICTS_X0, DIPP_PREDICTS_FLOW};
const char *const diffusion_parameterisations[] = {"edm", "eps", "v", "x0", "flow", NULL};
const char *const diffusion_beta_schedules[] = {"scaled_linear", "linear", NULL};

/* ---- Parameters -------------------------------------------------------------------------------------------------- */

static dipp_schedule read_betas(const dipp_parameters *parameters)
{
    dipp_schedule s = {.kind = DIPP_SCHEDULE_DISCRETE,
                       .steps = (uint32_t)dipp_parameters_int(parameters, "beta_steps")};
    s.a = dipp_parameters_float(parameters, "beta_start");
    s.b = dipp_parameters_float(parameters, "beta_end");
    s.scaled_linear = strcmp(dipp_parameters_string(parameters, "beta_schedule"), "scaled_linear") == 0;
    s.t_max = (double)s.steps - 1;
    return s;
}

static void read_noise(const dipp_parameters *parameters, diffusion *d)
{
    const char *choice = dipp_parameters_string(parameters, "parameterisation");
    for (size_t i = 0; diffusion_parameterisations[i]; ++i) {
        if (strcmp(choice, diffusion_parameterisations[i]) == 0)
            d->parameterisation = parameterisations[i];
    }
    d->sigma_data = dipp_parameters_float(parameters, "sigma_data");
    switch (d->parameterisation) {
    case DIPP_PREDICTS_EDM: /* Karras et al. 2022, table 1 */
        d->schedule = (dipp_schedule){.kind = DIPP_SCHEDULE_VE, .t_min = 0.002, .t_max = 80.0};
        break;
    case DIPP_PREDICTS_FLOW: /* the ends are left out: sigma/alpha is 0 and infinite there */
        d->schedule = (dipp_schedule){.kind = DIPP_SCHEDULE_FLOW, .t_min = 0.001, .t_max = 0.999};
        break;
    default: d->schedule = read_betas(parameters); break;
    }
    /* EDM's ln(r)/4 and flow's t are near 1 where the sinusoid expects hundreds; the others count steps */
    d->time_scale = d->schedule.kind == DIPP_SCHEDULE_DISCRETE ? 1.0 : 1000.0;
    if (dipp_parameters_has(parameters, "time_scale"))
        d->time_scale = dipp_parameters_float(parameters, "time_scale");
}

dipp_status diffusion_read(const dipp_parameters *parameters, const char *name, diffusion *d, dipp_error *error)
{
    char path[DIPP_PIPELINE_PATH_BYTES];
    d->name = name;
    d->pipeline = dipp_parameters_string(parameters, "pipeline");
    if (!d->pipeline) {
        read_noise(parameters, d);
        return DIPP_OK;
    }
    d->sigma_data = 1; /* of EDM, which no scheduler that is understood describes */
    d->time_scale = 1;
    dipp_pipeline_file(d->pipeline, DIPP_PIPELINE_SCHEDULER, path, sizeof path);
    return dipp_schedule_read_config(path, &d->schedule, &d->parameterisation, error);
}

void diffusion_network_file(const diffusion *d, char path[DIPP_PIPELINE_PATH_BYTES])
{
    dipp_pipeline_file(d->pipeline, DIPP_PIPELINE_NETWORK, path, DIPP_PIPELINE_PATH_BYTES);
}

dipp_status diffusion_read_size(const dipp_parameters *parameters, const diffusion *d, int64_t sample_size,
                                int64_t *out, dipp_error *error)
{
    *out = dipp_parameters_has(parameters, "size") ? dipp_parameters_int(parameters, "size") : sample_size;
    return *out ? DIPP_OK
                : dipp_fail(error, DIPP_E_INVALID, "%s: the pipeline in %s says no sample_size; write size", d->name,
                            d->pipeline);
}

static dipp_status read_vae_parameters(const dipp_parameters *parameters, diffusion *d, int64_t channels,
                                       dipp_error *error)
{
    if (!dipp_parameters_has(parameters, "vae_widths"))
        return DIPP_OK;
    size_t levels;
    const int64_t *widths = dipp_parameters_ints(parameters, "vae_widths", &levels);
    if (levels < 1 || levels > DIPP_VAE_MAX_LEVELS)
        return dipp_fail(error, DIPP_E_INVALID, "%s: vae_widths has %zu entries; 1 to %d levels are possible", d->name,
                         levels, (int)DIPP_VAE_MAX_LEVELS);
    dipp_vae_options *o = &d->vae;
    o->struct_size = sizeof *o;
    o->levels = (uint32_t)levels;
    memcpy(o->channels, widths, levels * sizeof *widths);
    o->latent_channels = channels;
    o->layers = dipp_parameters_int(parameters, "vae_layers");
    o->groups = dipp_parameters_int(parameters, "vae_groups");
    o->scaling = dipp_parameters_float(parameters, "vae_scaling");
    return dipp_vae_check(o, error);
}

dipp_status diffusion_read_vae(const dipp_parameters *parameters, diffusion *d, int64_t channels, dipp_error *error)
{
    char path[DIPP_PIPELINE_PATH_BYTES];
    if (!d->pipeline)
        return read_vae_parameters(parameters, d, channels, error);
    dipp_pipeline_file(d->pipeline, DIPP_PIPELINE_AUTOENCODER, path, sizeof path);
    dipp_status status = dipp_vae_read_config(path, &d->vae, error);
    if (status == DIPP_OK && (d->vae.latent_channels != channels || d->vae.image_channels != 3))
        return dipp_fail(error, DIPP_E_INVALID,
                         "%s: %lld latent channels of pictures of %lld channels; the network has %lld, and pictures "
                         "must have 3",
                         path, (long long)d->vae.latent_channels, (long long)d->vae.image_channels,
                         (long long)channels);
    return status;
}

dipp_status diffusion_read_generator(const dipp_parameters *parameters, diffusion *d, dipp_error *error)
{
    bool level = dipp_parameters_has(parameters, "sigma_init"), step = dipp_parameters_has(parameters, "t_init");
    d->unit_noise = dipp_parameters_bool(parameters, "unit_noise");
    d->sigma_init = level ? dipp_parameters_float(parameters, "sigma_init") : 2.5;
    if (level && step)
        return dipp_fail(error, DIPP_E_INVALID, "%s: sigma_init and t_init say the same; write one of them", d->name);
    if (d->pipeline && !level && !step)
        return dipp_fail(error, DIPP_E_INVALID,
                         "%s: no pipeline says at which level its one-step generator starts; write t_init (usually 625 "
                         "for SD 1.5, 400 with unit_noise: true for PixArt-alpha) or sigma_init",
                         d->name);
    if (!step)
        return DIPP_OK;
    double t = dipp_parameters_float(parameters, "t_init"), alpha, sigma;
    if (d->schedule.kind != DIPP_SCHEDULE_DISCRETE || t > d->schedule.t_max)
        return dipp_fail(error, DIPP_E_INVALID,
                         "%s: t_init %g is no step of the schedule; eps, v and x0 have steps up to beta_steps - 1, the "
                         "others take sigma_init",
                         d->name, t);
    dipp_schedule_at(&d->schedule, t, &alpha, &sigma);
    d->sigma_init = sigma / alpha;
    return DIPP_OK;
}

/* ---- What the host asks ------------------------------------------------------------------------------------------ */

void diffusion_space(const diffusion *d, dipp_shape sample, dipp_space *out)
{
    out->sample = sample;
    out->parameterisation = d->parameterisation;
    out->sigma_data = d->sigma_data;
    out->token_length = d->text.present ? d->text.length : 0;
    out->images = d->vae.levels || sample.dims[0] == 3;
    out->schedule = d->schedule;
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

/* ---- Recording --------------------------------------------------------------------------------------------------- */

bool diffusion_condition_fits(const diffusion *d, dipp_graph *g, dipp_condition c)
{
    if (c.count != 0 && c.count != 2) {
        dipp_graph_fail(g, "%s: the condition must have two parts (text states, mask) or none, found %u", d->name,
                        c.count);
        return false;
    }
    if (d->text.present && c.count == 0) {
        dipp_graph_fail(g,
                        "%s: this model takes text (it has a vocabulary), but no condition was given; encode \"\" for "
                        "the null prompt",
                        d->name);
        return false;
    }
    return true;
}

dipp_tensor diffusion_decode(const diffusion *d, dipp_graph *g, dipp_params p, dipp_tensor x0)
{
    if (!d->vae.levels && dipp_dim(g, x0, 1) != 3)
        return x0;
    return dipp_scale_add(g, d->vae.levels ? dipp_vae_decode(g, p, &d->vae, x0) : x0, 0.5, 0.5);
}

dipp_tensor diffusion_encode(const diffusion *d, dipp_graph *g, dipp_params p, dipp_tensor images)
{
    if (!d->vae.levels && dipp_dim(g, images, 1) != 3)
        return images;
    dipp_tensor centred = dipp_scale_add(g, images, 2.0, -1.0);
    return d->vae.levels ? dipp_vae_encode(g, p, &d->vae, centred) : centred;
}
