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

/* V^-1 r for r [N, d], C [d, d] and numbers a, s [N]. */
static dipp_tensor solve(dipp_graph *graph, int64_t d, dipp_tensor covariance, dipp_tensor r, dipp_level level)
{
    int64_t n = dipp_dim(graph, r, 0);
    double identity[GAUSSIAN_LIMIT * GAUSSIAN_LIMIT] = {0};
    for (int64_t i = 0; i < d; i++)
        identity[i * d + i] = 1;
    dipp_tensor a = dipp_reshape(graph, level.alpha, DIPP_SHAPE(n, 1, 1));
    dipp_tensor s = dipp_reshape(graph, level.sigma, DIPP_SHAPE(n, 1, 1));
    dipp_tensor v = dipp_add(graph, dipp_mul(graph, dipp_mul(graph, a, a), covariance),
                             dipp_mul(graph, dipp_mul(graph, s, s), dipp_constant(graph, DIPP_SHAPE(d, d), identity)));
    if (d == 1)
        return dipp_div(graph, r, dipp_reshape(graph, v, DIPP_SHAPE(n, 1)));
    dipp_tensor column = dipp_reshape(graph, r, DIPP_SHAPE(n, d, 1));
    return dipp_reshape(graph, dipp_matmul(graph, dipp_inverse(graph, v), column, NULL), DIPP_SHAPE(n, d));
}

/* x [N, d] -> E[x0 | x] [N, d], wide. */
static dipp_tensor predict(void *self, dipp_graph *graph, dipp_params p, dipp_tensor x, dipp_level level,
                           dipp_condition c)
{
    const gaussian *g = self;
    if (dipp_dim(graph, x, -1) != g->d && !dipp_graph_failed(graph))
        return dipp_graph_fail(graph, "affine: expected samples [N, %u], as mean has %u numbers, found width %lld",
                               g->d, g->d, (long long)dipp_dim(graph, x, -1));
    x = dipp_cast(graph, x, DIPP_WIDE);
    dipp_tensor mean = gaussian_mean(g, graph, p), factor = gaussian_factor(g, graph, p);
    dipp_tensor covariance = dipp_matmul(
        graph, factor, factor, &(dipp_matmul_options){.struct_size = sizeof(dipp_matmul_options), .transpose_b = true});
    dipp_tensor a = dipp_per_sample(graph, level.alpha, x);
    dipp_tensor centred = dipp_sub(graph, x, dipp_mul(graph, a, mean));
    dipp_tensor solved = solve(graph, g->d, covariance, centred, level);
    dipp_tensor shift = dipp_matmul(graph, solved, covariance, NULL); /* C is symmetric */
    return dipp_add(graph, mean, dipp_mul(graph, a, shift));
}

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
    .parameters = gaussian_parameters,
    .parameter_count = sizeof gaussian_parameters / sizeof *gaussian_parameters,
    .vtable = &reference,
};

DIPP_PLUGINS(&plugin)
