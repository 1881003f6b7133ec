/* Plugins for tests of opaque rewards: the quadratic reward as a host call, with a gradient of its own or without,
 * and a reference whose decoder bends, so that a gradient has something to be chained through. */
#include <dipp/plugin.h>

#include <math.h>
#include <stdlib.h>

enum { WIDEST = 8 };

/* ---- opaque-quadratic: -k |x - c|^2 / 2 -------------------------------------------------------------------------- */

typedef struct quadratic {
    size_t d;
    double center[WIDEST], curvature, none_above;
    bool has_limit, gradient, fails;
    int64_t none_at_call, calls;
} quadratic;

static const dipp_parameter quadratic_parameters[] = {
    {.key = "center", .type = DIPP_TYPE_FLOAT_LIST, .flags = DIPP_PARAMETER_REQUIRED, .help = "c."},
    {.key = "curvature", .type = DIPP_TYPE_FLOAT, .default_text = "1", .help = "k."},
    {.key = "gradient", .type = DIPP_TYPE_BOOL, .default_text = "false", .help = "Gives its own gradient."},
    {.key = "none_above", .type = DIPP_TYPE_FLOAT, .flags = DIPP_PARAMETER_OPTIONAL, .help = "No score where x0 > it."},
    {.key = "none_at_call", .type = DIPP_TYPE_INT, .default_text = "-1", .help = "No scores in this call, from 0."},
    {.key = "fails", .type = DIPP_TYPE_BOOL, .default_text = "false", .help = "Fails when asked."},
};

static dipp_status create(const dipp_parameters *p, const dipp_host *host, void **self, dipp_error *error)
{
    quadratic *q = calloc(1, sizeof *q);
    if (!q)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory");
    const double *center = dipp_parameters_floats(p, "center", &q->d);
    if (q->d < 1 || q->d > WIDEST) {
        free(q);
        return dipp_fail(error, DIPP_E_INVALID, "center: expected 1 to %d numbers", WIDEST);
    }
    for (size_t i = 0; i < q->d; i++)
        q->center[i] = center[i];
    q->curvature = dipp_parameters_float(p, "curvature");
    q->gradient = dipp_parameters_bool(p, "gradient");
    q->has_limit = dipp_parameters_has(p, "none_above");
    q->none_above = dipp_parameters_float(p, "none_above");
    q->none_at_call = dipp_parameters_int(p, "none_at_call");
    q->fails = dipp_parameters_bool(p, "fails");
    *self = q;
    return DIPP_OK;
}

static dipp_status info(void *self, dipp_reward_info *out, dipp_error *error)
{
    out->opaque = true;
    out->direction = 1;
    return DIPP_OK;
}

static dipp_status score(void *self, const float *samples, const dipp_shape *shape, const char *const *prompts,
                         uint32_t count, double *scores, float *gradient, bool *has_gradient, dipp_error *error)
{
    quadratic *q = self;
    bool none = q->calls++ == q->none_at_call;
    if (shape->rank != 1 || shape->dims[0] != (int64_t)q->d)
        return dipp_fail(error, DIPP_E_INVALID, "expected samples of %zu numbers", q->d);
    if (q->fails)
        return dipp_fail(error, DIPP_E_PLUGIN, "the judge is out");
    for (uint32_t n = 0; n < count; n++) {
        const float *x = samples + n * q->d;
        scores[n] = none || (q->has_limit && x[0] > q->none_above) ? NAN : 0;
        for (size_t i = 0; i < q->d; i++) {
            double from = x[i] - q->center[i];
            scores[n] -= 0.5 * q->curvature * from * from;
            if (gradient && q->gradient)
                gradient[n * q->d + i] = (float)(-q->curvature * from);
        }
    }
    *has_gradient = gradient && q->gradient;
    return DIPP_OK;
}

static const dipp_reward quadratic_reward = {
    .struct_size = sizeof quadratic_reward, .create = create, .destroy = free, .info = info, .score = score};

/* ---- bent: predicts the posterior mean of N(0, 1), decodes by tanh(1.5 x0) --------------------------------------- */

static dipp_status bent_create(const dipp_parameters *p, const dipp_host *host, void **self, dipp_error *error)
{
    static int nothing;
    *self = &nothing;
    return DIPP_OK;
}

static void bent_destroy(void *self)
{
}

static dipp_status bent_space(void *self, dipp_space *out, dipp_error *error)
{
    out->sample = DIPP_SHAPE(2);
    out->parameterisation = DIPP_PREDICTS_X0;
    return DIPP_OK;
}

static dipp_tensor bent_predict(void *self, dipp_graph *g, dipp_params p, dipp_tensor x, dipp_level level,
                                dipp_condition c)
{
    dipp_tensor total = dipp_add(g, dipp_mul(g, level.alpha, level.alpha), dipp_mul(g, level.sigma, level.sigma));
    return dipp_mul(g, x, dipp_per_sample(g, dipp_div(g, level.alpha, total), x));
}

static dipp_tensor bent_decode(void *self, dipp_graph *g, dipp_params p, dipp_tensor x0)
{
    return dipp_tanh(g, dipp_scale_add(g, x0, 1.5, 0));
}

static const dipp_reference bent_reference = {.struct_size = sizeof bent_reference,
                                              .create = bent_create,
                                              .destroy = bent_destroy,
                                              .space = bent_space,
                                              .predict = bent_predict,
                                              .decode = bent_decode};

static const dipp_plugin opaque_quadratic = {
    .struct_size = sizeof opaque_quadratic,
    .abi_major = DIPP_ABI_MAJOR,
    .abi_minor = DIPP_ABI_MINOR,
    .build_tag = DIPP_BUILD_TAG,
    .kind = DIPP_PLUGIN_REWARD,
    .name = "opaque-quadratic",
    .version = "1.0.0",
    .licence = "Apache-2.0",
    .summary = "For tests: quadratic as a host call",
    .parameters = quadratic_parameters,
    .parameter_count = sizeof quadratic_parameters / sizeof *quadratic_parameters,
    .vtable = &quadratic_reward,
};

static const dipp_plugin bent = {
    .struct_size = sizeof bent,
    .abi_major = DIPP_ABI_MAJOR,
    .abi_minor = DIPP_ABI_MINOR,
    .build_tag = DIPP_BUILD_TAG,
    .kind = DIPP_PLUGIN_REFERENCE,
    .name = "bent",
    .version = "1.0.0",
    .licence = "Apache-2.0",
    .summary = "For tests: a decoder that bends",
    .vtable = &bent_reference,
};

DIPP_PLUGINS(&opaque_quadratic, &bent)
