/* Configuration, parameters and metrics of a trainable Gaussian. */
#include "gaussian.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Lower L with L L^T = c; false when c is not positive definite. */
static bool cholesky(const double *c, uint32_t d, double *l)
{
    memset(l, 0, d * d * sizeof *l);
    for (uint32_t i = 0; i < d; i++)
        for (uint32_t j = 0; j <= i; j++) {
            double sum = c[i * d + j];
            for (uint32_t k = 0; k < j; k++)
                sum -= l[i * d + k] * l[j * d + k];
            if (i == j && !(sum > 0))
                return false;
            l[i * d + j] = i == j ? sqrt(sum) : sum / l[j * d + j];
        }
    return true;
}

/* The d rows of d numbers under key; NULL with an error when there are others. */
static const double *square(const dipp_parameters *parameters, const char *key, uint32_t d, dipp_error *error)
{
    size_t rows = 0, columns = 0, count = 0;
    dipp_parameters_list_shape(parameters, key, &rows, &columns);
    const double *numbers = dipp_parameters_floats(parameters, key, &count);
    if (rows == d && columns == d)
        return numbers;
    dipp_fail(error, DIPP_E_INVALID, "%s: expected %u rows of %u numbers, as mean has %u, found %zu rows of %zu", key,
              d, d, d, rows, columns);
    return NULL;
}

static dipp_status configure(const dipp_parameters *parameters, gaussian *g, dipp_error *error)
{
    size_t count = 0;
    const double *mean = dipp_parameters_floats(parameters, "mean", &count);
    if (count < 1 || count > GAUSSIAN_LIMIT)
        return dipp_fail(error, DIPP_E_INVALID, "mean: expected 1 to %d numbers, found %zu", GAUSSIAN_LIMIT, count);
    g->d = (uint32_t)count;
    memcpy(g->mean, mean, count * sizeof *mean);
    bool factor = dipp_parameters_has(parameters, "factor"), covariance = dipp_parameters_has(parameters, "covariance");
    if (factor && covariance)
        return dipp_fail(error, DIPP_E_INVALID, "expected factor or covariance, found both; leave one out");
    const double *given = factor       ? square(parameters, "factor", g->d, error)
                          : covariance ? square(parameters, "covariance", g->d, error)
                                       : NULL;
    if ((factor || covariance) && !given)
        return DIPP_E_INVALID;
    if (factor) {
        memcpy(g->factor, given, count * count * sizeof *given);
    } else if (covariance) {
        for (size_t i = 0; i < count; i++)
            for (size_t j = 0; j < i; j++)
                if (given[i * count + j] != given[j * count + i])
                    return dipp_fail(error, DIPP_E_INVALID,
                                     "covariance: expected a symmetric matrix, found %g at [%zu][%zu] and "
                                     "%g at [%zu][%zu]",
                                     given[i * count + j], i, j, given[j * count + i], j, i);
        if (!cholesky(given, g->d, g->factor))
            return dipp_fail(error, DIPP_E_INVALID, "covariance: expected a positive definite matrix, found another");
    } else {
        for (size_t i = 0; i < count; i++)
            g->factor[i * count + i] = 1;
    }
    g->sigma_init = dipp_parameters_float(parameters, "sigma_init"); /* a reference has none */
    return DIPP_OK;
}

dipp_status gaussian_create(const dipp_parameters *parameters, const dipp_host *host, void **self, dipp_error *error)
{
    gaussian *g = calloc(1, sizeof *g);
    if (!g)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for a Gaussian");
    dipp_status status = configure(parameters, g, error);
    if (status)
        free(g);
    else
        *self = g;
    return status;
}

void gaussian_destroy(void *self)
{
    free(self);
}

dipp_tensor gaussian_mean(const gaussian *g, dipp_graph *graph, dipp_params p)
{
    return dipp_param(graph, p, "mean", DIPP_SHAPE(g->d),
                      &(dipp_param_options){.struct_size = sizeof(dipp_param_options),
                                            .init = DIPP_INIT_DATA,
                                            .data = g->mean,
                                            .flags = DIPP_PARAM_WIDE | DIPP_PARAM_NO_DECAY});
}

dipp_tensor gaussian_factor(const gaussian *g, dipp_graph *graph, dipp_params p)
{
    return dipp_param(graph, p, "factor", DIPP_SHAPE(g->d, g->d),
                      &(dipp_param_options){.struct_size = sizeof(dipp_param_options),
                                            .init = DIPP_INIT_DATA,
                                            .data = g->factor,
                                            .flags = DIPP_PARAM_WIDE | DIPP_PARAM_NO_DECAY});
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

dipp_tensor gaussian_denoise(const gaussian *g, dipp_graph *graph, dipp_params p, dipp_tensor x, dipp_level level)
{
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

dipp_status gaussian_metrics(void *self, dipp_parameter_reader read, void *read_context, dipp_metric_writer write,
                             void *write_context, dipp_error *error)
{
    const gaussian *g = self;
    uint32_t d = g->d;
    double mean[GAUSSIAN_LIMIT], l[GAUSSIAN_LIMIT * GAUSSIAN_LIMIT];
    if (read(read_context, "mean", mean, d) || read(read_context, "factor", l, d * d))
        return dipp_fail(error, DIPP_E_NOT_FOUND, "expected parameters mean and factor in the set, found them missing");
    char name[32];
    for (uint32_t i = 0; i < d; i++) {
        snprintf(name, sizeof name, "mean.%u", i);
        write(write_context, name, mean[i]);
    }
    for (uint32_t i = 0; i < d; i++)
        for (uint32_t j = i; j < d; j++) {
            double sum = 0;
            for (uint32_t k = 0; k < d; k++)
                sum += l[i * d + k] * l[j * d + k];
            snprintf(name, sizeof name, "cov.%u.%u", i, j);
            write(write_context, name, sum);
        }
    return DIPP_OK;
}
