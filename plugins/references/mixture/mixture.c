/* An exact reference: a Gaussian mixture sum_k pi_k N(m_k, C_k), each component with a label. Noised to level (a, s),
 *     p_t(x | c) = sum over k of label c of pi_k / pi_c N(x; a m_k, a^2 C_k + s^2 I),
 * whose score is recorded to rounding. With C_k = Q_k diag(lambda_k) Q_k^T and y_k = Q_k^T (x - a m_k),
 *     log N_k = -1/2 sum_i (y_ki^2 / v_ki + log v_ki) + const,   v_ki = a^2 lambda_ki + s^2,
 *     r = softmax_k(log pi_k|c + log N_k),   score = -sum_k r_k Q_k (y_k / v_k).
 * The text is a label; the empty text is the whole mixture. */
#include "eigen.h"

#include <dipp/plugin.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DIMENSION_LIMIT = 8, COMPONENT_LIMIT = 256 };

/* Log prior of a component that lacks the label: its weight underflows to exactly 0, yet no infinity enters a product. */
static const double EXCLUDED = -1e4;

typedef struct mixture {
    uint32_t d, components, labels;
    char **label;      /* [labels]; token 1 + index. Token 0 is the whole mixture. */
    double *projected; /* [K, d]: Q_k^T m_k */
    double *lambda;    /* [K, d] */
    double *basis;     /* [d, K d]: the Q_k side by side */
    double *log_prior; /* [labels + 1, K] */
} mixture;

static const dipp_parameter parameters[] = {
    {.key = "means",
     .type = DIPP_TYPE_FLOAT_LIST,
     .flags = DIPP_PARAMETER_REQUIRED | DIPP_PARAMETER_STRUCTURAL,
     .help =
         "One row of d numbers for each component, d at most 8: [[1.0], [-1.0]] is two components in one dimension."},
    {.key = "variances",
     .type = DIPP_TYPE_FLOAT_LIST,
     .flags = DIPP_PARAMETER_OPTIONAL,
     .help =
         "One number for each component, or a row of d numbers for each; 1 when neither this nor covariances is set."},
    {.key = "covariances",
     .type = DIPP_TYPE_FLOAT_LIST,
     .flags = DIPP_PARAMETER_OPTIONAL,
     .help = "A row of d*d numbers for each component instead of variances, row-major, symmetric, positive definite."},
    {.key = "weights",
     .type = DIPP_TYPE_FLOAT_LIST,
     .maximum = 1e300,
     .flags = DIPP_PARAMETER_OPTIONAL,
     .help = "One positive number for each component, scaled to sum to 1; equal when unset."},
    {.key = "labels",
     .type = DIPP_TYPE_STRING_LIST,
     .flags = DIPP_PARAMETER_OPTIONAL,
     .help = "One text for each component; components may share one. All are \"x\" when unset."},
};

static void destroy(void *self)
{
    mixture *m = self;
    if (!m)
        return;
    for (uint32_t i = 0; m->label && i < m->labels; i++)
        free(m->label[i]);
    free(m->label);
    free(m->projected);
    free(m->lambda);
    free(m->basis);
    free(m->log_prior);
    free(m);
}

/* C_k [d, d] as configured. */
static dipp_status covariance_of(const dipp_parameters *p, const mixture *m, uint32_t k, double *c, dipp_error *error)
{
    uint32_t d = m->d, total = m->components;
    size_t rows = 0, columns = 0, count = 0;
    memset(c, 0, d * d * sizeof *c);
    bool full = dipp_parameters_has(p, "covariances"), diagonal = dipp_parameters_has(p, "variances");
    if (full && diagonal)
        return dipp_fail(error, DIPP_E_INVALID, "expected variances or covariances, found both; leave one out");
    if (full) {
        dipp_parameters_list_shape(p, "covariances", &rows, &columns);
        if (rows != total || columns != d * d)
            return dipp_fail(error, DIPP_E_INVALID,
                             "covariances: expected %u rows of %u numbers, found %zu rows of %zu", total, d * d, rows,
                             columns);
        const double *given = dipp_parameters_floats(p, "covariances", &count) + (size_t)k * d * d;
        for (uint32_t i = 0; i < d; i++)
            for (uint32_t j = 0; j < d; j++)
                if (given[i * d + j] != given[j * d + i])
                    return dipp_fail(error, DIPP_E_INVALID,
                                     "covariances: expected symmetric matrices, found %g and %g in row %u",
                                     given[i * d + j], given[j * d + i], k);
        memcpy(c, given, d * d * sizeof *c);
        return DIPP_OK;
    }
    const double *given = NULL;
    if (diagonal) {
        dipp_parameters_list_shape(p, "variances", &rows, &columns);
        given = dipp_parameters_floats(p, "variances", &count);
        if (!(rows == total && (columns == d || columns == 1)) && !(rows == 1 && columns == total))
            return dipp_fail(error, DIPP_E_INVALID,
                             "variances: expected %u numbers, or %u rows of %u, found %zu rows of %zu", total, total, d,
                             rows, columns);
    }
    bool row_each = rows == total && columns == d;
    for (uint32_t i = 0; i < d; i++)
        c[i * d + i] = !given ? 1 : row_each ? given[(size_t)k * d + i] : given[k];
    return DIPP_OK;
}

static dipp_status decompose(const dipp_parameters *p, mixture *m, const double *means, dipp_error *error)
{
    uint32_t d = m->d, total = m->components;
    double c[DIMENSION_LIMIT * DIMENSION_LIMIT], q[DIMENSION_LIMIT * DIMENSION_LIMIT];
    for (uint32_t k = 0; k < total; k++) {
        dipp_status status = covariance_of(p, m, k, c, error);
        if (status)
            return status;
        double *lambda = m->lambda + (size_t)k * d;
        eigen_symmetric(c, d, lambda, q);
        for (uint32_t i = 0; i < d; i++) {
            if (!(lambda[i] > 0) || !isfinite(lambda[i]))
                return dipp_fail(error, DIPP_E_INVALID,
                                 "component %u: expected a positive definite covariance, found the eigenvalue %g", k,
                                 lambda[i]);
            double sum = 0;
            for (uint32_t j = 0; j < d; j++) {
                m->basis[(size_t)j * total * d + k * d + i] = q[j * d + i];
                sum += q[j * d + i] * means[(size_t)k * d + j];
            }
            m->projected[(size_t)k * d + i] = sum;
        }
    }
    return DIPP_OK;
}

/* The token of component k: 1 + index of its label, added when new; 0 when there is no memory. */
static uint32_t label_of(mixture *m, const char *text)
{
    for (uint32_t i = 0; i < m->labels; i++)
        if (!strcmp(m->label[i], text))
            return i + 1;
    if (!(m->label[m->labels] = strdup(text)))
        return 0;
    return ++m->labels;
}

static dipp_status label_and_weigh(const dipp_parameters *p, mixture *m, dipp_error *error)
{
    uint32_t total = m->components, token[COMPONENT_LIMIT];
    size_t label_count = 0, weight_count = 0;
    const char *const *labels =
        dipp_parameters_has(p, "labels") ? dipp_parameters_strings(p, "labels", &label_count) : NULL;
    const double *weights =
        dipp_parameters_has(p, "weights") ? dipp_parameters_floats(p, "weights", &weight_count) : NULL;
    if (labels && label_count != total)
        return dipp_fail(error, DIPP_E_INVALID, "labels: expected %u texts, one for each row of means, found %zu",
                         total, label_count);
    if (weights && weight_count != total)
        return dipp_fail(error, DIPP_E_INVALID, "weights: expected %u numbers, one for each row of means, found %zu",
                         total, weight_count);
    for (uint32_t k = 0; k < total; k++) {
        if (labels && !labels[k][0])
            return dipp_fail(error, DIPP_E_INVALID,
                             "labels: expected texts, found an empty one at %u: that is the whole mixture", k);
        if (weights && !(weights[k] > 0))
            return dipp_fail(error, DIPP_E_INVALID, "weights: expected positive numbers, found %g at %u", weights[k],
                             k);
        token[k] = label_of(m, labels ? labels[k] : "x");
        if (!token[k])
            return dipp_fail(error, DIPP_E_MEMORY, "no memory for the labels of a mixture");
    }
    /* NOLINTNEXTLINE(clang-analyzer-optin.portability.UnixAPI): create refuses a mixture of no components */
    m->log_prior = calloc(((size_t)m->labels + 1) * total, sizeof *m->log_prior);
    if (!m->log_prior)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for the weights of a mixture");
    for (uint32_t row = 0; row <= m->labels; row++) {
        double sum = 0;
        for (uint32_t k = 0; k < total; k++)
            if (row == 0 || token[k] == row)
                sum += weights ? weights[k] : 1;
        for (uint32_t k = 0; k < total; k++)
            m->log_prior[(size_t)row * total + k] =
                row == 0 || token[k] == row ? log((weights ? weights[k] : 1) / sum) : EXCLUDED;
    }
    return DIPP_OK;
}

static dipp_status create(const dipp_parameters *p, const dipp_host *host, void **self, dipp_error *error)
{
    size_t rows = 0, columns = 0, count = 0;
    dipp_parameters_list_shape(p, "means", &rows, &columns);
    const double *means = dipp_parameters_floats(p, "means", &count);
    if (rows < 1 || rows > COMPONENT_LIMIT || columns < 1 || columns > DIMENSION_LIMIT)
        return dipp_fail(error, DIPP_E_INVALID,
                         "means: expected 1 to %d rows of 1 to %d numbers, found %zu rows of %zu", COMPONENT_LIMIT,
                         DIMENSION_LIMIT, rows, columns);
    mixture *m = calloc(1, sizeof *m);
    if (!m)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for a mixture");
    m->d = (uint32_t)columns;
    m->components = (uint32_t)rows;
    m->label = calloc(rows, sizeof *m->label);
    m->projected = calloc(rows * columns, sizeof *m->projected);
    m->lambda = calloc(rows * columns, sizeof *m->lambda);
    m->basis = calloc(rows * columns * columns, sizeof *m->basis);
    dipp_status status = DIPP_OK;
    if (!m->label || !m->projected || !m->lambda || !m->basis)
        status = dipp_fail(error, DIPP_E_MEMORY, "no memory for a mixture");
    if (!status)
        status = decompose(p, m, means, error);
    if (!status)
        status = label_and_weigh(p, m, error);
    if (status)
        destroy(m);
    else
        *self = m;
    return status;
}

static dipp_status space(void *self, dipp_space *out, dipp_error *error)
{
    const mixture *m = self;
    out->sample = DIPP_SHAPE(m->d);
    out->parameterisation = DIPP_PREDICTS_SCORE;
    out->schedule.kind = DIPP_SCHEDULE_ANY;
    out->token_length = 1;
    return DIPP_OK;
}

static dipp_status tokenize(void *self, const char *const *texts, uint32_t count, int32_t *tokens, float *mask,
                            dipp_error *error)
{
    const mixture *m = self;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t label = 0;
        while (label < m->labels && strcmp(m->label[label], texts[i]))
            label++;
        if (texts[i][0] && label == m->labels) {
            char known[512] = "";
            for (uint32_t k = 0; k < m->labels && strlen(known) + 1 < sizeof known; k++)
                snprintf(known + strlen(known), sizeof known - strlen(known), "%s\"%s\"", k ? ", " : "", m->label[k]);
            return dipp_fail(error, DIPP_E_INVALID,
                             "prompt \"%.200s\": expected a label of the mixture (%s) or the empty text", texts[i],
                             known);
        }
        tokens[i] = texts[i][0] ? (int32_t)label + 1 : 0;
        mask[i] = 1;
    }
    return DIPP_OK;
}

/* tokens [N, 1] -> log prior of each component [N, K], wide: the row of a constant table, picked by a product with
 * 1 - min(1, |token - row|), which is exactly 1 or 0. */
static dipp_condition encode_text(void *self, dipp_graph *g, dipp_params p, dipp_prompt text)
{
    const mixture *m = self;
    double rows[COMPONENT_LIMIT + 1];
    for (uint32_t i = 0; i <= m->labels; i++)
        rows[i] = i;
    dipp_tensor distance = dipp_abs(
        g, dipp_sub(g, dipp_cast(g, text.tokens, DIPP_WIDE), dipp_constant(g, DIPP_SHAPE(1, m->labels + 1), rows)));
    double one = 1;
    dipp_tensor picked = dipp_scale_add(g, dipp_minimum(g, distance, dipp_constant(g, DIPP_SHAPE(1, 1), &one)), -1, 1);
    dipp_tensor table = dipp_constant(g, DIPP_SHAPE(m->labels + 1, m->components), m->log_prior);
    return (dipp_condition){.count = 1, .parts = {dipp_matmul(g, picked, table, NULL)}};
}

/* x [N, d] -> score of p_t(x | c) [N, d], wide. Without a condition: of the whole mixture. */
static dipp_tensor predict(void *self, dipp_graph *g, dipp_params p, dipp_tensor x, dipp_level level, dipp_condition c)
{
    const mixture *m = self;
    int64_t n = dipp_dim(g, x, 0), d = m->d, k = m->components;
    if (dipp_dim(g, x, -1) != d && !dipp_graph_failed(g))
        return dipp_graph_fail(g, "mixture: expected samples [N, %u], as means has, found width %lld", m->d,
                               (long long)dipp_dim(g, x, -1));
    dipp_tensor prior = c.count ? c.parts[0] : dipp_constant(g, DIPP_SHAPE(1, k), m->log_prior);
    dipp_tensor basis = dipp_constant(g, DIPP_SHAPE(d, k * d), m->basis);
    dipp_tensor a = dipp_reshape(g, level.alpha, DIPP_SHAPE(n, 1, 1));
    dipp_tensor s = dipp_reshape(g, level.sigma, DIPP_SHAPE(n, 1, 1));

    dipp_tensor turned = dipp_reshape(g, dipp_matmul(g, dipp_cast(g, x, DIPP_WIDE), basis, NULL), DIPP_SHAPE(n, k, d));
    dipp_tensor y = dipp_sub(g, turned, dipp_mul(g, a, dipp_constant(g, DIPP_SHAPE(k, d), m->projected)));
    dipp_tensor v = dipp_add(g, dipp_mul(g, dipp_mul(g, a, a), dipp_constant(g, DIPP_SHAPE(k, d), m->lambda)),
                             dipp_mul(g, s, s)); /* [N, K, d] */
    dipp_tensor scaled = dipp_div(g, y, v);
    dipp_tensor terms = dipp_add(g, dipp_mul(g, y, scaled), dipp_log(g, v));
    dipp_tensor logits = dipp_add(g, prior, dipp_scale_add(g, dipp_sum(g, terms, 1u << 2, false), -0.5, 0));
    dipp_tensor r = dipp_reshape(g, dipp_softmax(g, logits), DIPP_SHAPE(n, k, 1));
    dipp_tensor pulled = dipp_reshape(g, dipp_mul(g, r, scaled), DIPP_SHAPE(n, k * d));
    dipp_tensor back = dipp_matmul(
        g, pulled, basis, &(dipp_matmul_options){.struct_size = sizeof(dipp_matmul_options), .transpose_b = true});
    return dipp_scale_add(g, back, -1, 0);
}

static const dipp_reference reference = {
    .struct_size = sizeof reference,
    .create = create,
    .destroy = destroy,
    .space = space,
    .predict = predict,
    .tokenize = tokenize,
    .encode_text = encode_text,
};

static const dipp_plugin plugin = {
    .struct_size = sizeof plugin,
    .abi_major = DIPP_ABI_MAJOR,
    .abi_minor = DIPP_ABI_MINOR,
    .build_tag = DIPP_BUILD_TAG,
    .kind = DIPP_PLUGIN_REFERENCE,
    .name = "mixture",
    .version = "1.0.0",
    .licence = "Apache-2.0",
    .summary = "Exact scores of a Gaussian mixture with labels: known answers for guidance and alignment",
    .parameters = parameters,
    .parameter_count = sizeof parameters / sizeof *parameters,
    .vtable = &reference,
};

DIPP_PLUGINS(&plugin)
