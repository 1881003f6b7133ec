/* Linear reward r(x) = b . x + offset on samples that are plain vectors. Aligned with it, a Gaussian's mean moves along
 * b and its covariance stays, both by a known amount. */
#include <dipp/plugin.h>

#include <stdlib.h>
#include <string.h>

typedef struct linear {
    size_t d;
    double offset;
    double direction[];
} linear;

static const dipp_parameter parameters[] = {
    {.key = "direction",
     .type = DIPP_TYPE_FLOAT_LIST,
     .flags = DIPP_PARAMETER_REQUIRED | DIPP_PARAMETER_STRUCTURAL,
     .help = "b: one number for each dimension of a sample."},
    {.key = "offset", .type = DIPP_TYPE_FLOAT, .default_text = "0", .help = "A number added to every score."},
};

static dipp_status create(const dipp_parameters *p, const dipp_host *host, void **self, dipp_error *error)
{
    size_t d = 0;
    const double *direction = dipp_parameters_floats(p, "direction", &d);
    if (!d)
        return dipp_fail(error, DIPP_E_INVALID, "direction: expected at least one number, found none");
    linear *r = malloc(sizeof *r + d * sizeof *direction);
    if (!r)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for a linear reward");
    r->d = d;
    r->offset = dipp_parameters_float(p, "offset");
    memcpy(r->direction, direction, d * sizeof *direction);
    *self = r;
    return DIPP_OK;
}

static dipp_status info(void *self, dipp_reward_info *out, dipp_error *error)
{
    out->direction = 1;
    out->unit = "";
    return DIPP_OK;
}

/* samples [N, d] -> scores [N], wide. */
static dipp_tensor record(void *self, dipp_graph *g, dipp_params p, dipp_tensor samples, dipp_prompt text,
                          dipp_reward_mode mode)
{
    const linear *r = self;
    int64_t d = dipp_dim(g, samples, -1);
    if (d != (int64_t)r->d && !dipp_graph_failed(g))
        return dipp_graph_fail(g, "linear: expected samples [N, %zu], as direction has %zu numbers, found width %lld",
                               r->d, r->d, (long long)d);
    dipp_tensor product = dipp_mul(g, samples, dipp_constant(g, DIPP_SHAPE((int64_t)r->d), r->direction));
    return dipp_scale_add(g, dipp_sum_per_sample(g, product), 1, r->offset);
}

static const dipp_reward reward = {
    .struct_size = sizeof reward,
    .create = create,
    .destroy = free,
    .info = info,
    .record = record,
};

static const dipp_plugin plugin = {
    .struct_size = sizeof plugin,
    .abi_major = DIPP_ABI_MAJOR,
    .abi_minor = DIPP_ABI_MINOR,
    .build_tag = DIPP_BUILD_TAG,
    .kind = DIPP_PLUGIN_REWARD,
    .name = "linear",
    .version = "1.0.0",
    .licence = "Apache-2.0",
    .summary = "b . x + offset: a reward whose aligned Gaussian is known",
    .parameters = parameters,
    .parameter_count = sizeof parameters / sizeof *parameters,
    .vtable = &reward,
};

DIPP_PLUGINS(&plugin)
