#include "diffusion/denoise.h"

#include "tensor/graph.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

double dipp_network_time(dipp_parameterisation parameterisation, double t, double alpha, double sigma)
{
    return parameterisation == DIPP_PREDICTS_EDM ? 0.25 * log(sigma / alpha) : t;
}

dipp_level dipp_level_inputs(dipp_graph *g, const char *name, int64_t batch)
{
    char text[3][96];
    static const char *const parts[3] = {"t", "alpha", "sigma"};
    for (int i = 0; i < 3; i++)
        snprintf(text[i], sizeof text[i], "%s.%s", name, parts[i]);
    return (dipp_level){.t = dipp_input(g, text[0], DIPP_WIDE, DIPP_SHAPE(batch)),
                        .alpha = dipp_input(g, text[1], DIPP_WIDE, DIPP_SHAPE(batch)),
                        .sigma = dipp_input(g, text[2], DIPP_WIDE, DIPP_SHAPE(batch))};
}

static dipp_tensor square(dipp_graph *g, dipp_tensor x)
{
    return dipp_mul(g, x, x);
}

/* What the network gives for x [N, sample...], wide and of x's shape. */
static dipp_tensor predict(const dipp_network *network, dipp_graph *g, dipp_params p, dipp_tensor x, dipp_level level,
                           dipp_condition c)
{
    dipp_shape shape = dipp_shape_of(g, x);
    dipp_tensor y = network->predict(network->self, g, p, x, level, c);
    return dipp_cast(g, dipp_expect_shape(g, y, &shape, "a network's prediction"), DIPP_WIDE);
}

/* EDM preconditioning (Karras et al. 2022, table 1) in terms of y = x_t/alpha and r = sigma/alpha:
 * c_in = 1/sqrt(r^2+d^2), c_skip = d^2/(r^2+d^2), c_out = r d/sqrt(r^2+d^2), d = sigma_data. */
static dipp_tensor denoise_edm(const dipp_network *network, dipp_graph *g, dipp_params p, dipp_tensor x_t,
                               dipp_level level, dipp_condition c)
{
    double d = network->sigma_data;
    dipp_tensor r = dipp_div(g, level.sigma, level.alpha);
    dipp_tensor total = dipp_scale_add(g, square(g, r), 1.0, d * d);
    dipp_tensor root = dipp_sqrt(g, total);
    dipp_tensor c_in = dipp_div(g, dipp_div(g, dipp_scale_add(g, r, 0.0, 1.0), root), level.alpha);
    dipp_tensor f = predict(network, g, p, dipp_mul(g, x_t, dipp_per_sample(g, c_in, x_t)), level, c);
    dipp_tensor c_out = dipp_scale_add(g, dipp_div(g, r, root), d, 0.0);
    dipp_tensor c_skip =
        dipp_div(g, dipp_scale_add(g, dipp_scale_add(g, r, 0.0, 1.0), d * d, 0.0), dipp_mul(g, total, level.alpha));
    return dipp_add(g, dipp_mul(g, x_t, dipp_per_sample(g, c_skip, x_t)),
                    dipp_mul(g, f, dipp_per_sample(g, c_out, x_t)));
}

dipp_tensor dipp_denoise(const dipp_network *network, dipp_graph *g, dipp_params p, dipp_tensor x_t, dipp_level level,
                         dipp_condition c)
{
    if (dipp_graph_failed(g))
        return DIPP_NONE;
    if (network->parameterisation == DIPP_PREDICTS_EDM)
        return denoise_edm(network, g, p, x_t, level, c);
    dipp_tensor y = predict(network, g, p, x_t, level, c);
    dipp_tensor alpha = dipp_per_sample(g, level.alpha, x_t), sigma = dipp_per_sample(g, level.sigma, x_t);
    switch (network->parameterisation) {
    case DIPP_PREDICTS_X0:
    case DIPP_PREDICTS_EDM: return y;
    case DIPP_PREDICTS_EPS: return dipp_div(g, dipp_sub(g, x_t, dipp_mul(g, sigma, y)), alpha);
    case DIPP_PREDICTS_SCORE: return dipp_div(g, dipp_add(g, x_t, dipp_mul(g, square(g, sigma), y)), alpha);
    case DIPP_PREDICTS_V:
        /* x_t = a x0 + s e, v = a e - s x0: x0 = (a x_t - s v) / (a^2 + s^2) */
        return dipp_div(g, dipp_sub(g, dipp_mul(g, alpha, x_t), dipp_mul(g, sigma, y)),
                        dipp_add(g, square(g, alpha), square(g, sigma)));
    case DIPP_PREDICTS_FLOW:
        /* u = e - x0: x0 = (x_t - s u) / (a + s) */
        return dipp_div(g, dipp_sub(g, x_t, dipp_mul(g, sigma, y)), dipp_add(g, alpha, sigma));
    }
    return y;
}

bool dipp_loss_weight_by_name(const char *name, dipp_loss_weight *out)
{
    static const char *const names[] = {"native", "data1", "eps1"};
    for (int i = 0; i < 3; i++)
        if (!strcmp(name, names[i])) {
            *out = (dipp_loss_weight)i;
            return true;
        }
    return false;
}

double dipp_loss_weight_at(dipp_loss_weight weight, const dipp_network *network, double alpha, double sigma)
{
    double ratio = alpha / sigma, r = sigma / alpha, d = network->sigma_data;
    if (weight == DIPP_LOSS_DATA1)
        return 1.0;
    if (weight == DIPP_LOSS_EPS1)
        return ratio * ratio;
    switch (network->parameterisation) {
    case DIPP_PREDICTS_X0: return 1.0;
    case DIPP_PREDICTS_EPS: return ratio * ratio;
    case DIPP_PREDICTS_V: return (alpha * ratio + sigma) * (alpha * ratio + sigma);
    case DIPP_PREDICTS_FLOW: return (ratio + 1.0) * (ratio + 1.0);
    case DIPP_PREDICTS_SCORE: return ratio * ratio / (sigma * sigma);
    case DIPP_PREDICTS_EDM: return (r * r + d * d) / (r * r * d * d);
    }
    return 1.0;
}

dipp_tensor dipp_score_of(dipp_graph *g, dipp_tensor x0, dipp_tensor x_t, dipp_level level)
{
    dipp_tensor alpha = dipp_per_sample(g, level.alpha, x_t), sigma = dipp_per_sample(g, level.sigma, x_t);
    return dipp_div(g, dipp_sub(g, dipp_mul(g, alpha, x0), x_t), square(g, sigma));
}

dipp_tensor dipp_eps_of(dipp_graph *g, dipp_tensor x0, dipp_tensor x_t, dipp_level level)
{
    dipp_tensor alpha = dipp_per_sample(g, level.alpha, x_t), sigma = dipp_per_sample(g, level.sigma, x_t);
    return dipp_div(g, dipp_sub(g, x_t, dipp_mul(g, alpha, x0)), sigma);
}

dipp_tensor dipp_add_noise(dipp_graph *g, dipp_tensor x0, dipp_tensor eps, dipp_level level)
{
    return dipp_add(g, dipp_mul(g, x0, dipp_per_sample(g, level.alpha, x0)),
                    dipp_mul(g, eps, dipp_per_sample(g, level.sigma, x0)));
}
