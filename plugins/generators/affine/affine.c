/* The affine generator: x0 = mu + L z for z ~ N(0, I), so x0 ~ N(mu, L L^T). With sigma_init it is instead the denoiser of
 * N(mu, L L^T), which is composed to one or K steps as pictures' generators are. Every quantity of DI++ has a closed form
 * for both, which is what it is for. */
#include "../../shared/gaussian.h"

static dipp_status info(void *self, dipp_generator_info *out, dipp_error *error)
{
    const gaussian *g = self;
    out->sample = DIPP_SHAPE(g->d);
    out->parameterisation = DIPP_PREDICTS_X0;
    out->takes_noise = g->sigma_init == 0;
    out->sigma_init = out->takes_noise ? 1 : g->sigma_init;
    out->unit_noise = out->takes_noise;
    return DIPP_OK;
}

/* z or x_t [N, d] -> x0 [N, d], wide. */
static dipp_tensor generate(void *self, dipp_graph *graph, dipp_params p, dipp_tensor z, dipp_level level,
                            dipp_condition c)
{
    const gaussian *g = self;
    if (g->sigma_init > 0)
        return gaussian_denoise(g, graph, p, z, level);
    if (dipp_dim(graph, z, -1) != g->d && !dipp_graph_failed(graph))
        return dipp_graph_fail(graph, "affine: expected noise [N, %u], as mean has %u numbers, found width %lld", g->d,
                               g->d, (long long)dipp_dim(graph, z, -1));
    dipp_tensor spread =
        dipp_matmul(graph, dipp_cast(graph, z, DIPP_WIDE), gaussian_factor(g, graph, p),
                    &(dipp_matmul_options){.struct_size = sizeof(dipp_matmul_options), .transpose_b = true});
    return dipp_add(graph, spread, gaussian_mean(g, graph, p));
}

static const dipp_parameter parameters[] = {
    GAUSSIAN_PARAMETERS,
    {.key = "sigma_init",
     .type = DIPP_TYPE_FLOAT,
     .default_text = "0",
     .maximum = 1e6,
     .unit = "sigma/alpha",
     .flags = DIPP_PARAMETER_STRUCTURAL,
     .help = "Noise that a Gaussian denoiser starts from, in one or more steps; 0: x0 = mean + factor z."},
};

static const dipp_generator generator = {
    .struct_size = sizeof generator,
    .create = gaussian_create,
    .destroy = gaussian_destroy,
    .info = info,
    .generate = generate,
    .metrics = gaussian_metrics,
};

static const dipp_plugin plugin = {
    .struct_size = sizeof plugin,
    .abi_major = DIPP_ABI_MAJOR,
    .abi_minor = DIPP_ABI_MINOR,
    .build_tag = DIPP_BUILD_TAG,
    .kind = DIPP_PLUGIN_GENERATOR,
    .name = "affine",
    .version = "1.0.0",
    .licence = "Apache-2.0",
    .summary =
        "x0 = mu + L z, or the denoiser of that Gaussian: a generator whose every result is known in closed form",
    .parameters = parameters,
    .parameter_count = sizeof parameters / sizeof *parameters,
    .vtable = &generator,
};

DIPP_PLUGINS(&plugin)
