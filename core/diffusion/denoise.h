/* Between a network's native prediction and the quantities that losses are written in. Everything wide. */
#ifndef DIPP_DIFFUSION_DENOISE_H
#define DIPP_DIFFUSION_DENOISE_H

#include <dipp/plugin.h>

/* The time a network of this parameterisation is given for a level, on the host: t, or ln(sigma/alpha)/4 for EDM. */
double dipp_network_time(dipp_parameterisation parameterisation, double t, double alpha, double sigma);

/* Scalars [N] of a level, declared as inputs NAME.t, NAME.alpha, NAME.sigma. */
dipp_level dipp_level_inputs(dipp_graph *g, const char *name, int64_t batch);

/* A network as a function of (x_t, level): what the plugin's predict or generate is called through. */
typedef struct dipp_network {
    dipp_tensor (*predict)(void *self, dipp_graph *g, dipp_params p, dipp_tensor x, dipp_level level, dipp_condition c);
    void *self;
    dipp_parameterisation parameterisation;
    double sigma_data;
} dipp_network;

/* The denoised x0 at x_t [N, ...], wide. */
dipp_tensor dipp_denoise(const dipp_network *network, dipp_graph *g, dipp_params p, dipp_tensor x_t, dipp_level level,
                         dipp_condition c);

/* How the denoising error ||D - x0||^2 is weighed over noise levels. */
typedef enum dipp_loss_weight {
    DIPP_LOSS_NATIVE = 0, /* 1 on the network's own prediction: EDM (r^2+d^2)/(r d)^2, eps alpha^2/sigma^2, ... */
    DIPP_LOSS_DATA1,      /* 1 on x0 */
    DIPP_LOSS_EPS1        /* 1 on eps */
} dipp_loss_weight;

bool dipp_loss_weight_by_name(const char *name, dipp_loss_weight *out); /* native data1 eps1 */

/* lambda(t), on the host. */
double dipp_loss_weight_at(dipp_loss_weight weight, const dipp_network *network, double alpha, double sigma);

/* Conversions from the denoised x0. score = (alpha x0 - x_t)/sigma^2, eps = (x_t - alpha x0)/sigma,
 * v = alpha eps - sigma x0, flow = eps - x0. */
dipp_tensor dipp_score_of(dipp_graph *g, dipp_tensor x0, dipp_tensor x_t, dipp_level level);
dipp_tensor dipp_eps_of(dipp_graph *g, dipp_tensor x0, dipp_tensor x_t, dipp_level level);

/* x_t = alpha x0 + sigma eps. */
dipp_tensor dipp_add_noise(dipp_graph *g, dipp_tensor x0, dipp_tensor eps, dipp_level level);

#endif
