/* A Gaussian N(mean, factor factor^T) in d dimensions that is configured, trained and reported: what the affine generator
 * and the affine reference share. Parameters of a recording: mean [d] and factor [d, d], wide. */
#ifndef DIPP_PLUGINS_GAUSSIAN_H
#define DIPP_PLUGINS_GAUSSIAN_H

#include <dipp/plugin.h>

enum { GAUSSIAN_LIMIT = 16 }; /* the widest matrix that dipp_inverse takes */

typedef struct gaussian {
    uint32_t d;
    double mean[GAUSSIAN_LIMIT];
    double factor[GAUSSIAN_LIMIT * GAUSSIAN_LIMIT]; /* [d, d], row-major */
    double sigma_init; /* of a generator that denoises; 0: x0 is made from noise in one go, or this is no generator */
} gaussian;

/* Rows of the parameter tables. */
#define GAUSSIAN_PARAMETERS                                                                                   \
    {.key = "mean",                                                                                           \
     .type = DIPP_TYPE_FLOAT_LIST,                                                                            \
     .flags = DIPP_PARAMETER_REQUIRED | DIPP_PARAMETER_STRUCTURAL,                                            \
     .help = "Initial mean, d numbers; d is at most 16."},                                                    \
        {.key = "factor",                                                                                     \
         .type = DIPP_TYPE_FLOAT_LIST,                                                                        \
         .flags = DIPP_PARAMETER_OPTIONAL,                                                                    \
         .help = "Initial factor L of the covariance L L^T, d rows of d numbers; the identity when unset."},  \
    {                                                                                                         \
        .key = "covariance", .type = DIPP_TYPE_FLOAT_LIST, .flags = DIPP_PARAMETER_OPTIONAL,                  \
        .help = "Initial covariance instead of factor, d rows of d numbers, symmetric and positive definite." \
    }

/* Initial values; the factor is the lower Cholesky factor when covariance was given, the identity when neither was.
 * *self is freed with gaussian_destroy. Errors: DIPP_E_INVALID, DIPP_E_MEMORY. */
dipp_status gaussian_create(const dipp_parameters *parameters, const dipp_host *host, void **self, dipp_error *error);
void gaussian_destroy(void *self);

/* The parameters in a recording. */
dipp_tensor gaussian_mean(const gaussian *g, dipp_graph *graph, dipp_params p);
dipp_tensor gaussian_factor(const gaussian *g, dipp_graph *graph, dipp_params p);

/* x [N, d] = a x0 + s eps -> E[x0 | x] [N, d], wide: mu + a C V^-1 (x - a mu), V = a^2 C + s^2 I. */
dipp_tensor gaussian_denoise(const gaussian *g, dipp_graph *graph, dipp_params p, dipp_tensor x, dipp_level level);

/* Writes mean.I and cov.I.J (I <= J), counted from 0. */
dipp_status gaussian_metrics(void *self, dipp_parameter_reader read, void *read_context, dipp_metric_writer write,
                             void *write_context, dipp_error *error);

#endif
