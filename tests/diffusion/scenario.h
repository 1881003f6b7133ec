/* Six pairs of schedule and weight under which a Gaussian generator and a Gaussian reference have known gradients, values
 * and optima, and the nodes that turn an expectation into a finite sum. Page: docs/exact-cases.md.
 *
 * The common data in one dimension: reference N(1, 0.25), generator x0 = mu + sig z at mu = -0.5, sig = 1.3. */
#ifndef DIPP_TEST_DIFFUSION_SCENARIO_H
#define DIPP_TEST_DIFFUSION_SCENARIO_H

#include "diffusion/time_law.h"

typedef enum scenario_name { VE_W1 = 0, VE_WU, VP_W1, VP_WBETA, FM_W1, DI_LN, SCENARIOS } scenario_name;

typedef struct scenario {
    const char *name;
    dipp_time_sampler sampler;
    double first, last; /* range of t that is integrated over */
    /* Known numbers; 0 where there is none. Quadratic: alpha k = 0.9, c = 2; linear: alpha b = 0.48. */
    double a, ikl, d_mu, d_sig, mu_linear, mu_quadratic, variance_quadratic;
} scenario;

extern const scenario scenarios[SCENARIOS];

static const double REFERENCE_MEAN = 1.0, REFERENCE_VARIANCE = 0.25, START_MEAN = -0.5, START_FACTOR = 1.3;

/* B(q) = int w a^2 / (a^2 q + s^2) dt: in closed form where there is one, by Simpson's rule on formulas written out here
 * elsewhere. A = B(variance of the reference); dIKL/dmu = A (mu - m), dIKL/dsig = sig (A - B(sig^2)). */
double scenario_b(scenario_name name, double q);

/* Samples with weights. z is [draws, count, d], draws being the generator's steps, and eps [count, d]; share sums to 1 over the law, as 1/N would; weight is share times what
 * the time sampler says a draw counts. */
typedef struct nodes {
    int64_t count;
    uint32_t d, draws;
    double *z, *eps, *t, *alpha, *sigma, *share, *weight;
} nodes;

/* Gauss-Legendre in t on panels of geometric width; at each t the 4d points of the rule of degree 3 for 2d normals, exact
 * for affine networks, whose integrands are quadratic. */
void nodes_affine(nodes *n, const scenario *s, uint32_t d, int panels);
/* The same for a generator of several steps, each with d normals of its own. */
void nodes_steps(nodes *n, const scenario *s, uint32_t d, uint32_t draws, int panels);
/* The same in one dimension at a single level, where a sample counts `weight`. */
void nodes_level(nodes *n, double alpha, double sigma, double weight);

/* For any network in one dimension with the generator at factor sig: x_t depends on (z, eps) only through
 * y = (a sig z + s eps)/sqrt(a^2 sig^2 + s^2); the trapezoidal rule in y converges geometrically, and what is linear in
 * the direction across y (z itself, in the gradient to sig) is exact with that direction at its mean. */
void nodes_scalar(nodes *n, const scenario *s, double sig, int panels, int points);
/* The same with two points across, exact where the integrand is quadratic in that direction: gradients to sig of what is
 * linear in the noise, as the distances of scores are. */
void nodes_scalar_across(nodes *n, const scenario *s, double sig, int panels, int points);

void nodes_release(nodes *n);

#endif
