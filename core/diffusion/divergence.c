#include "diffusion/divergence.h"

#include <string.h>

bool dipp_divergence_by_name(const char *name, dipp_divergence_kind *out)
{
    static const char *const names[] = {"ikl", "dmd", "none"};
    for (int i = 0; i < 3; i++)
        if (!strcmp(name, names[i])) {
            *out = (dipp_divergence_kind)i;
            return true;
        }
    return false;
}

bool dipp_form_by_name(const char *name, dipp_divergence_form *out)
{
    static const char *const names[] = {"score", "data", "eps", "v", "flow"};
    for (int i = 0; i < 5; i++)
        if (!strcmp(name, names[i])) {
            *out = (dipp_divergence_form)i;
            return true;
        }
    return false;
}

/* The prediction of a form from the denoised x0. */
static dipp_tensor in_form(dipp_graph *g, dipp_divergence_form form, dipp_tensor denoised, dipp_tensor x_t,
                           dipp_level level)
{
    switch (form) {
    case DIPP_FORM_SCORE: return dipp_score_of(g, denoised, x_t, level);
    case DIPP_FORM_DATA: return denoised;
    case DIPP_FORM_EPS: return dipp_eps_of(g, denoised, x_t, level);
    case DIPP_FORM_V:
        return dipp_sub(g, dipp_mul(g, dipp_per_sample(g, level.alpha, x_t), dipp_eps_of(g, denoised, x_t, level)),
                        dipp_mul(g, dipp_per_sample(g, level.sigma, x_t), denoised));
    case DIPP_FORM_FLOW: return dipp_sub(g, dipp_eps_of(g, denoised, x_t, level), denoised);
    }
    return denoised;
}

/* What a difference in a form is multiplied by, [N], so that w alpha delta_s comes out (method: section 1.3, derived for any
 * alpha and sigma: delta_D = (s^2/a) delta_s, delta_eps = -(a/s) delta_D, delta_v = -(a^2/s + s) delta_D,
 * delta_flow = -(a/s + 1) delta_D). */
static dipp_tensor form_factor(dipp_graph *g, dipp_divergence_form form, dipp_tensor w, dipp_level level)
{
    dipp_tensor a = level.alpha, s = level.sigma;
    dipp_tensor data = dipp_div(g, dipp_mul(g, w, dipp_mul(g, a, a)), dipp_mul(g, s, s)); /* w a^2/s^2 */
    dipp_tensor ratio = dipp_div(g, a, s), per_data = ratio;
    switch (form) {
    case DIPP_FORM_SCORE: return dipp_mul(g, w, a);
    case DIPP_FORM_DATA: return data;
    case DIPP_FORM_EPS: break;
    case DIPP_FORM_V: per_data = dipp_add(g, dipp_mul(g, a, ratio), s); break;
    case DIPP_FORM_FLOW: per_data = dipp_scale_add(g, ratio, 1.0, 1.0); break;
    }
    return dipp_scale_add(g, dipp_div(g, data, per_data), -1.0, 0.0);
}

/* ||s_a - s_b||^2 per sample from denoised x0: delta_s = (a/s^2) delta_D. */
static dipp_tensor squared_score(dipp_graph *g, dipp_tensor delta, dipp_level level)
{
    dipp_tensor factor = dipp_div(g, level.alpha, dipp_mul(g, level.sigma, level.sigma));
    dipp_tensor score = dipp_mul(g, delta, dipp_per_sample(g, factor, delta));
    return dipp_sum_per_sample(g, dipp_mul(g, score, score));
}

dipp_divergence_terms dipp_record_divergence(dipp_graph *g, const dipp_divergence_spec *spec,
                                             const dipp_divergence_inputs *in)
{
    dipp_divergence_terms out = {0};
    dipp_tensor x_t = dipp_add_noise(g, in->x0, in->eps, in->level);
    dipp_tensor ta = dipp_denoise(in->ta, g, in->ta_params, x_t, in->ta_level, in->condition);
    dipp_tensor reference = dipp_denoise(in->reference, g, in->reference_params, x_t, in->level, in->condition);
    dipp_tensor null = DIPP_NONE, strength = DIPP_NONE, guided = reference;
    if (spec->guided) {
        null = dipp_denoise(in->reference, g, in->reference_params, x_t, in->level, in->null_condition);
        strength = dipp_scale_add(g, in->omega, 1.0, -1.0);
        guided = dipp_add(g, reference, dipp_mul(g, strength, dipp_sub(g, reference, null)));
        out.squared_score_null = squared_score(g, dipp_sub(g, ta, null), in->level);
    }
    out.squared_score = squared_score(g, dipp_sub(g, ta, reference), in->level);
    dipp_divergence_form form = spec->form;
    dipp_tensor factor;
    if (spec->kind == DIPP_DIVERGENCE_DMD) {
        /* DMD2's 0.5 mean (x0 - sg(x0 - G))^2: the mean divides by the elements of a sample. */
        dipp_shape shape = dipp_shape_of(g, in->x0);
        double elements = (double)dipp_shape_elements(&shape) / (double)shape.dims[0];
        dipp_tensor size = dipp_mean_per_sample(g, dipp_abs(g, dipp_sub(g, in->x0, guided)));
        dipp_tensor batch = dipp_scale_add(g, in->weight, 1.0 / elements, 0.0);
        factor = dipp_div(g, batch, dipp_scale_add(g, size, 1.0, 1e-6));
        form = DIPP_FORM_DATA;
    } else {
        factor = form_factor(g, form, in->weight, in->level);
    }
    dipp_tensor per_sample = dipp_per_sample(g, factor, x_t);
    dipp_tensor from_ta = in_form(g, form, ta, x_t, in->level);
    dipp_tensor from_reference = in_form(g, form, reference, x_t, in->level);
    out.ikl = dipp_mul(g, dipp_sub(g, from_ta, from_reference), per_sample);
    if (spec->guided) {
        dipp_tensor difference = dipp_sub(g, from_reference, in_form(g, form, null, x_t, in->level));
        out.cfg = dipp_scale_add(g, dipp_mul(g, dipp_mul(g, difference, strength), per_sample), -1.0, 0.0);
    }
    return out;
}
