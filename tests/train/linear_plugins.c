/* Plugins for tests of adapters: a reference and a generator of two numbers that are one linear layer each, so that the
 * optimum of an alignment is a matrix that is known. */
#include <dipp/plugin.h>

static int nothing;

static dipp_status create(const dipp_parameters *p, const dipp_host *host, void **self, dipp_error *error)
{
    *self = &nothing;
    return DIPP_OK;
}

static void destroy(void *self)
{
}

static dipp_status space(void *self, dipp_space *out, dipp_error *error)
{
    out->sample = DIPP_SHAPE(2);
    out->parameterisation = DIPP_PREDICTS_X0;
    out->schedule.kind = DIPP_SCHEDULE_ANY;
    return DIPP_OK;
}

static dipp_tensor layer(dipp_graph *g, dipp_params p, const char *name, dipp_tensor x)
{
    dipp_linear_options options = {.struct_size = sizeof options, .no_bias = true, .wide_output = true};
    return dipp_linear(g, p, name, x, 2, &options);
}

/* x_t [N, 2] -> x0 [N, 2]: the denoiser of a centred Gaussian at one level of noise. */
static dipp_tensor predict(void *self, dipp_graph *g, dipp_params p, dipp_tensor x, dipp_level level, dipp_condition c)
{
    return layer(g, dipp_scope(g, p, "denoiser"), "to_q", x);
}

static dipp_status info(void *self, dipp_generator_info *out, dipp_error *error)
{
    out->sample = DIPP_SHAPE(2);
    out->parameterisation = DIPP_PREDICTS_X0;
    out->takes_noise = out->unit_noise = true;
    out->sigma_init = 1;
    return DIPP_OK;
}

/* z [N, 2] -> x0 = W z. */
static dipp_tensor generate(void *self, dipp_graph *g, dipp_params p, dipp_tensor z, dipp_level level, dipp_condition c)
{
    return layer(g, p, "map", z);
}

static const dipp_reference reference = {
    .struct_size = sizeof reference, .create = create, .destroy = destroy, .space = space, .predict = predict};
static const dipp_generator generator = {
    .struct_size = sizeof generator, .create = create, .destroy = destroy, .info = info, .generate = generate};

static const dipp_plugin linear_reference = {
    .struct_size = sizeof linear_reference,
    .abi_major = DIPP_ABI_MAJOR,
    .abi_minor = DIPP_ABI_MINOR,
    .build_tag = DIPP_BUILD_TAG,
    .kind = DIPP_PLUGIN_REFERENCE,
    .name = "linear-denoiser",
    .version = "1.0.0",
    .licence = "Apache-2.0",
    .summary = "For tests: one linear layer",
    .vtable = &reference,
};

static const dipp_plugin linear_generator = {
    .struct_size = sizeof linear_generator,
    .abi_major = DIPP_ABI_MAJOR,
    .abi_minor = DIPP_ABI_MINOR,
    .build_tag = DIPP_BUILD_TAG,
    .kind = DIPP_PLUGIN_GENERATOR,
    .name = "linear-map",
    .version = "1.0.0",
    .licence = "Apache-2.0",
    .summary = "For tests: one linear layer",
    .vtable = &generator,
};

DIPP_PLUGINS(&linear_reference, &linear_generator)
