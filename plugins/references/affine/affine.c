/* The Gaussian denoiser: for x0 ~ N(mu, C = L L^T) and x_t = a x0 + s eps, E[x0 | x_t] is affine in x_t:
 *     D(x_t) = mu + a C V^-1 (x_t - a mu),   V = a^2 C + s^2 I.
 * With mu and L trained it is the exact family of teaching assistants for the affine generator; fixed, an exact reference. */
#include "../../shared/gaussian.h"

static dipp_status space(void *self, dipp_space *out, dipp_error *error)
{
    const gaussian *g = self;
    out->sample = DIPP_SHAPE(g->d);
    out->parameterisation = DIPP_PREDICTS_X0;
    out->schedule.kind = DIPP_SCHEDULE_ANY;
    return DIPP_OK;
}

/* x [N, d] -> E[x0 | x] [N, d], wide. */
static dipp_tensor predict(void *self, dipp_graph *graph, dipp_params p, dipp_tensor x, dipp_level level,
                           dipp_condition c)
{
    return gaussian_denoise(self, graph, p, x, level);
}

static const dipp_parameter parameters[] = {GAUSSIAN_PARAMETERS};

static const dipp_reference reference = {
    .struct_size = sizeof reference,
    .create = gaussian_create,
    .destroy = gaussian_destroy,
    .space = space,
    .predict = predict,
    .metrics = gaussian_metrics,
};

static const dipp_plugin plugin = {
    .struct_size = sizeof plugin,
    .abi_major = DIPP_ABI_MAJOR,
    .abi_minor = DIPP_ABI_MINOR,
    .build_tag = DIPP_BUILD_TAG,
    .kind = DIPP_PLUGIN_REFERENCE,
    .name = "affine",
    .version = "1.0.0",
    .licence = "Apache-2.0",
    .summary = "Exact denoiser of a Gaussian; its mean and covariance can be trained, as a teaching assistant needs",
    .parameters = parameters,
    .parameter_count = sizeof parameters / sizeof *parameters,
    .vtable = &reference,
};

DIPP_PLUGINS(&plugin)
