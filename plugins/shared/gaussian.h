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
} gaussian;

/* Rows of the parameter tables. */
extern const dipp_parameter gaussian_parameters[3];

/* Initial values; the factor is the lower Cholesky factor when covariance was given, the identity when neither was.
 * *self is freed with gaussian_destroy. Errors: DIPP_E_INVALID, DIPP_E_MEMORY. */
dipp_status gaussian_create(const dipp_parameters *parameters, const dipp_host *host, void **self, dipp_error *error);
void gaussian_destroy(void *self);

/* The parameters in a recording. */
dipp_tensor gaussian_mean(const gaussian *g, dipp_graph *graph, dipp_params p);
dipp_tensor gaussian_factor(const gaussian *g, dipp_graph *graph, dipp_params p);

/* Writes mean.I and cov.I.J (I <= J), counted from 0. */
dipp_status gaussian_metrics(void *self, dipp_parameter_reader read, void *read_context, dipp_metric_writer write,
                             void *write_context, dipp_error *error);

#endif
