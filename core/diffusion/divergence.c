#include "diffusion/divergence.h"

#include "tensor/graph.h"

#include <string.h>

static int index_of(const char *name, const char *const *names, int count)
{
    for (int i = 0; i < count; i++)
        if (!strcmp(name, names[i]))
            return i;
    return -1;
}

bool dipp_divergence_by_name(const char *name, dipp_divergence_kind *kind, dipp_normalise *normalise)
{
    static const char *const names[] = {"ikl", "score_l2", "score_huber", "sid", "none"};
    bool dmd = !strcmp(name, "dmd");
    int found = dmd ? DIPP_DIVERGENCE_IKL : index_of(name, names, 5);
    if (found < 0)
        return false;
    *kind = (dipp_divergence_kind)found;
    *normalise = dmd ? DIPP_NORMALISE_DMD : DIPP_NORMALISE_NONE;
    return true;
}

bool dipp_normalise_by_name(const char *name, dipp_normalise *out)
{
    static const char *const names[] = {"none", "dmd", "sid"};
    int found = index_of(name, names, 3);
    if (found >= 0)
        *out = (dipp_normalise)found;
    return found >= 0;
}

bool dipp_form_by_name(const char *name, dipp_divergence_form *out)
{
    static const char *const names[] = {"score", "data", "eps", "v", "flow"};
    int found = index_of(name, names, 5);
    if (found >= 0)
        *out = (dipp_divergence_form)found;
    return found >= 0;
}

dipp_status dipp_divergence_check(const dipp_divergence_spec *spec, dipp_error *error)
{
    bool ikl = spec->kind == DIPP_DIVERGENCE_IKL, huber = spec->kind == DIPP_DIVERGENCE_SCORE_HUBER;
    if (huber && spec->normalise != DIPP_NORMALISE_NONE)
        return dipp_fail(error, DIPP_E_INVALID,
                         "score_huber divides by the size of the difference itself; leave normalise at none, or take "
                         "score_l2");
    if (huber && !(spec->huber > 0))
        return dipp_fail(error, DIPP_E_INVALID, "score_huber needs a constant above 0, not %g", spec->huber);
    if (spec->normalise != DIPP_NORMALISE_NONE && spec->form != DIPP_FORM_SCORE && spec->form != DIPP_FORM_DATA)
        return dipp_fail(error, DIPP_E_INVALID,
                         "a normalised divergence is taken between denoised samples; leave out the form, or normalise");
    if (spec->inside && ikl)
        return dipp_fail(error, DIPP_E_INVALID,
                         "guidance stands inside a distance of scores only; ikl is the same either way");
    if (spec->inside && spec->cfg_apart)
        return dipp_fail(error, DIPP_E_INVALID,
                         "with guidance inside the distance the CFG part has no noise levels of its own; take cfg "
                         "outside, or leave out its time law");
    return DIPP_OK;
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

/* alpha/sigma^2, [N]: what turns a difference of denoisers into one of scores. */
static dipp_tensor score_factor(dipp_graph *g, dipp_level level)
{
    return dipp_div(g, level.alpha, dipp_mul(g, level.sigma, level.sigma));
}

/* sum a b over each sample, [N]. */
static dipp_tensor product(dipp_graph *g, dipp_tensor a, dipp_tensor b)
{
    return dipp_sum_per_sample(g, dipp_mul(g, a, b));
}

/* ||s_a - s_b||^2 per sample from denoised x0. */
static dipp_tensor squared_score(dipp_graph *g, dipp_tensor delta, dipp_level level)
{
    dipp_tensor score = dipp_mul(g, delta, dipp_per_sample(g, score_factor(g, level), delta));
    return product(g, score, score);
}

/* The reference at one noise level; x0 is cut off from what made it, so that gradients to it stay in the term. */
typedef struct view {
    dipp_tensor x0, x_t;                 /* [N, ...] */
    dipp_tensor reference, null, guided; /* denoised, [N, ...]; null: only when guided */
    dipp_level level;
} view;

static view look(dipp_graph *g, const dipp_divergence_spec *spec, const dipp_divergence_inputs *in, dipp_tensor x0,
                 dipp_tensor eps, dipp_level level, dipp_tensor strength)
{
    view at = {.x0 = x0, .x_t = dipp_add_noise(g, x0, eps, level), .level = level};
    at.guided = at.reference = dipp_denoise(in->reference, g, in->reference_params, at.x_t, level, in->condition);
    if (spec->guided) {
        at.null = dipp_denoise(in->reference, g, in->reference_params, at.x_t, level, in->null_condition);
        at.guided = dipp_add(g, at.reference, dipp_mul(g, strength, dipp_sub(g, at.reference, at.null)));
    }
    return at;
}

/* The weight of each sample, [N], where it is normalised: of a difference of denoisers, or of a product of two. */
static dipp_tensor normalised(dipp_graph *g, dipp_normalise normalise, const view *at, dipp_tensor weight)
{
    dipp_tensor size = dipp_mean_per_sample(g, dipp_abs(g, dipp_sub(g, at->x0, at->guided)));
    if (normalise == DIPP_NORMALISE_SID)
        return dipp_div(g, weight, dipp_maximum(g, size, dipp_constant(g, DIPP_SHAPE(1), &(double){1e-5})));
    dipp_shape shape = dipp_shape_of(g, at->x0);
    double elements = (double)dipp_shape_elements(&shape) / (double)shape.dims[0];
    return dipp_div(g, dipp_scale_add(g, weight, 1.0 / elements, 0.0), dipp_scale_add(g, size, 1.0, 1e-6));
}

/* factor (a - b) in the form that the specification takes, both denoised at one level. */
static dipp_tensor difference(dipp_graph *g, const dipp_divergence_spec *spec, const view *at, dipp_tensor a,
                              dipp_tensor b, dipp_tensor weight)
{
    bool normalise = spec->normalise != DIPP_NORMALISE_NONE;
    dipp_divergence_form form = normalise ? DIPP_FORM_DATA : spec->form;
    dipp_tensor factor =
        normalise ? normalised(g, spec->normalise, at, weight) : form_factor(g, form, weight, at->level);
    dipp_tensor between = dipp_sub(g, in_form(g, form, a, at->x_t, at->level), in_form(g, form, b, at->x_t, at->level));
    return dipp_mul(g, between, dipp_per_sample(g, factor, between));
}

/* The gradient of a distance to x0, directly and through both networks (DI*, SIM: the score-divergence identity; SiD). */
static dipp_tensor distance_gradient(dipp_graph *g, const dipp_divergence_spec *spec, const view *at, dipp_tensor ta,
                                     dipp_tensor reference, dipp_tensor weight)
{
    dipp_tensor delta = dipp_sub(g, reference, ta), loss, f = score_factor(g, at->level), f2 = dipp_mul(g, f, f);
    dipp_tensor seed =
        spec->normalise == DIPP_NORMALISE_NONE ? dipp_mul(g, weight, f2) : normalised(g, spec->normalise, at, weight);
    if (spec->kind == DIPP_DIVERGENCE_SID) {
        loss =
            product(g, delta, dipp_sub(g, dipp_sub(g, reference, at->x0), dipp_scale_add(g, delta, spec->alpha, 0.0)));
    } else {
        loss = product(g, delta, dipp_sub(g, ta, at->x0));
        if (spec->kind == DIPP_DIVERGENCE_SCORE_L2) {
            loss = dipp_scale_add(g, loss, 2.0, 0.0);
        } else {
            dipp_tensor size = product(g, delta, delta);
            if (spec->huber_in_data)
                seed = weight;
            else
                size = dipp_mul(g, size, f2);
            loss = dipp_div(g, loss, dipp_sqrt(g, dipp_scale_add(g, size, 1.0, spec->huber * spec->huber)));
        }
    }
    dipp_tensor gradient;
    dipp_gradients(g, 1, &loss, &seed, 1, &at->x0, &gradient);
    return gradient;
}

dipp_divergence_terms dipp_record_divergence(dipp_graph *g, const dipp_divergence_spec *spec,
                                             const dipp_divergence_inputs *in)
{
    dipp_divergence_terms out = {0};
    dipp_tensor x0 = dipp_stop_gradient(g, in->x0);
    dipp_tensor strength = spec->guided ? dipp_scale_add(g, in->omega, 1.0, -1.0) : DIPP_NONE;
    view at = look(g, spec, in, x0, in->eps, in->level, strength);
    dipp_tensor ta = dipp_denoise(in->ta, g, in->ta_params, at.x_t, in->ta_level, in->condition);
    out.squared_score = squared_score(g, dipp_sub(g, ta, at.reference), in->level);
    out.divergence = spec->kind == DIPP_DIVERGENCE_IKL ? difference(g, spec, &at, ta, at.reference, in->weight)
                                                       : distance_gradient(g, spec, &at, ta, at.reference, in->weight);
    if (!spec->guided)
        return out;
    out.squared_score_null = squared_score(g, dipp_sub(g, ta, at.null), in->level);
    if (spec->inside) {
        dipp_tensor total = distance_gradient(g, spec, &at, ta, at.guided, in->weight);
        out.cfg = dipp_sub(g, total, out.divergence);
    } else {
        view own = spec->cfg_apart ? look(g, spec, in, x0, in->cfg_eps, in->cfg_level, strength) : at;
        out.cfg = dipp_scale_add(
            g, dipp_mul(g, difference(g, spec, &own, own.reference, own.null, in->cfg_weight), strength), -1.0, 0.0);
    }
    return out;
}
