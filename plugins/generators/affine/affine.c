/* The affine generator: x0 = mu + L z for z ~ N(0, I), so x0 ~ N(mu, L L^T). Every quantity of DI++ has a closed form for
 * it, which is what it is for. */
#include "../../shared/gaussian.h"

static dipp_status info(void *self, dipp_generator_info *out, dipp_error *error)
{
    const gaussian *g = self;
    out->sample = DIPP_SHAPE(g->d);
    out->parameterisation = DIPP_PREDICTS_X0;
    out->sigma_init = 1;
    out->unit_noise = true;
    out->takes_noise = true;
    return DIPP_OK;
}

/* z [N, d] -> x0 [N, d], wide. */
static dipp_tensor generate(void *self, dipp_graph *graph, dipp_params p, dipp_tensor z, dipp_level level,
                            dipp_condition c)
{
    const gaussian *g = self;
    if (dipp_dim(graph, z, -1) != g->d && !dipp_graph_failed(graph))
        return dipp_graph_fail(graph, "affine: expected noise [N, %u], as mean has %u numbers, found width %lld", g->d,
                               g->d, (long long)dipp_dim(graph, z, -1));
    dipp_tensor spread =
        dipp_matmul(graph, dipp_cast(graph, z, DIPP_WIDE), gaussian_factor(g, graph, p),
                    &(dipp_matmul_options){.struct_size = sizeof(dipp_matmul_options), .transpose_b = true});
    return dipp_add(graph, spread, gaussian_mean(g, graph, p));
}

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
    .summary = "x0 = mu + L z: a Gaussian generator whose every result is known in closed form",
    .parameters = gaussian_parameters,
    .parameter_count = sizeof gaussian_parameters / sizeof *gaussian_parameters,
    .vtable = &generator,
};

DIPP_PLUGINS(&plugin)
