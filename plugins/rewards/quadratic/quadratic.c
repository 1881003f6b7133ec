/* Quadratic reward r(x) = -(x - c)^T K (x - c) / 2 on samples that are plain vectors; K is a number k (then K = k I) or a
 * matrix. Strong enough curvature collapses a generator: the limit is known, which is what it is for. */
#include <dipp/plugin.h>

#include <stdlib.h>
#include <string.h>

enum { DIMENSION_LIMIT = 64 };

typedef struct quadratic {
    size_t d;
    bool has_matrix;
    double curvature;
    double center[DIMENSION_LIMIT];
    double matrix[DIMENSION_LIMIT * DIMENSION_LIMIT]; /* [d, d] */
} quadratic;

static const dipp_parameter parameters[] = {
    {.key = "center",
     .type = DIPP_TYPE_FLOAT_LIST,
     .flags = DIPP_PARAMETER_REQUIRED | DIPP_PARAMETER_STRUCTURAL,
     .help = "c: the best sample, at most 64 numbers."},
    {.key = "curvature",
     .type = DIPP_TYPE_FLOAT,
     .flags = DIPP_PARAMETER_OPTIONAL,
     .help = "k of K = k I; 1 when neither this nor matrix is set."},
    {.key = "matrix",
     .type = DIPP_TYPE_FLOAT_LIST,
     .flags = DIPP_PARAMETER_OPTIONAL,
     .help = "K instead of curvature: d rows of d numbers, symmetric."},
};

static dipp_status configure(const dipp_parameters *p, quadratic *r, dipp_error *error)
{
    size_t count = 0, rows = 0, columns = 0;
    const double *center = dipp_parameters_floats(p, "center", &r->d);
    if (r->d < 1 || r->d > DIMENSION_LIMIT)
        return dipp_fail(error, DIPP_E_INVALID, "center: expected 1 to %d numbers, found %zu", DIMENSION_LIMIT, r->d);
    memcpy(r->center, center, r->d * sizeof *center);
    r->has_matrix = dipp_parameters_has(p, "matrix");
    bool has_curvature = dipp_parameters_has(p, "curvature");
    r->curvature = has_curvature ? dipp_parameters_float(p, "curvature") : 1;
    if (!r->has_matrix)
        return DIPP_OK;
    if (has_curvature)
        return dipp_fail(error, DIPP_E_INVALID, "expected curvature or matrix, found both; leave one out");
    const double *matrix = dipp_parameters_floats(p, "matrix", &count);
    dipp_parameters_list_shape(p, "matrix", &rows, &columns);
    if (rows != r->d || columns != r->d)
        return dipp_fail(error, DIPP_E_INVALID,
                         "matrix: expected %zu rows of %zu numbers, as center has, found %zu rows of %zu", r->d, r->d,
                         rows, columns);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < i; j++)
            if (matrix[i * rows + j] != matrix[j * rows + i])
                return dipp_fail(error, DIPP_E_INVALID,
                                 "matrix: expected a symmetric one, found %g and %g at [%zu][%zu]",
                                 matrix[i * rows + j], matrix[j * rows + i], i, j);
    memcpy(r->matrix, matrix, count * sizeof *matrix);
    return DIPP_OK;
}

static dipp_status create(const dipp_parameters *p, const dipp_host *host, void **self, dipp_error *error)
{
    quadratic *r = calloc(1, sizeof *r);
    if (!r)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for a quadratic reward");
    dipp_status status = configure(p, r, error);
    if (status)
        free(r);
    else
        *self = r;
    return status;
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
    const quadratic *r = self;
    int64_t d = (int64_t)r->d;
    if (dipp_dim(g, samples, -1) != d && !dipp_graph_failed(g))
        return dipp_graph_fail(g, "quadratic: expected samples [N, %zu], as center has %zu numbers, found width %lld",
                               r->d, r->d, (long long)dipp_dim(g, samples, -1));
    dipp_tensor from = dipp_sub(g, samples, dipp_constant(g, DIPP_SHAPE(d), r->center)); /* wide, as constants are */
    dipp_tensor pull =
        r->has_matrix ? dipp_matmul(g, from, dipp_constant(g, DIPP_SHAPE(d, d), r->matrix), NULL) /* K is symmetric */
                      : dipp_scale_add(g, from, r->curvature, 0);
    return dipp_scale_add(g, dipp_sum_per_sample(g, dipp_mul(g, from, pull)), -0.5, 0);
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
    .name = "quadratic",
    .version = "1.0.0",
    .licence = "Apache-2.0",
    .summary = "-(x - c)^T K (x - c) / 2: a reward with a known optimum and a known collapse",
    .parameters = parameters,
    .parameter_count = sizeof parameters / sizeof *parameters,
    .vtable = &reward,
};

DIPP_PLUGINS(&plugin)
