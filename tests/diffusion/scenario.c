/* See scenario.h. */
#include "scenario.h"

#include <math.h>
#include <stdlib.h>

const scenario scenarios[SCENARIOS] = {
    [VE_W1] = {.name = "VE, w = 1",
               .sampler = {.schedule = {.kind = DIPP_SCHEDULE_VE, .t_min = 0.02, .t_max = 10},
                           .law = {.kind = DIPP_TIME_UNIFORM, .min = 0.02, .max = 10},
                           .weighting = DIPP_WEIGHT_SCORE1,
                           .measure = DIPP_MEASURE_DT},
               .first = 0.02,
               .last = 10,
               .a = 2.9617184879,
               .ikl = 4.2986080251,
               .d_mu = -4.4425777318,
               .d_sig = 2.4240961133,
               .mu_linear = 1.1620680703,
               .mu_quadratic = 1.2330568639,
               .variance_quadratic = 0.1469503929},
    [VE_WU] = {.name = "VE, w = u",
               .sampler = {.schedule = {.kind = DIPP_SCHEDULE_VE, .t_min = 0.02, .t_max = 10},
                           .law = {.kind = DIPP_TIME_UNIFORM, .min = 0.02, .max = 10},
                           .weighting = DIPP_WEIGHT_TIME,
                           .measure = DIPP_MEASURE_DT},
               .first = 0.02,
               .last = 10},
    [VP_W1] = {.name = "VP, w = 1",
               .sampler = {.schedule = {.kind = DIPP_SCHEDULE_VP, .a = 0.1, .b = 19.9, .t_min = 1e-3, .t_max = 1},
                           .law = {.kind = DIPP_TIME_UNIFORM, .min = 1e-3, .max = 1},
                           .weighting = DIPP_WEIGHT_SCORE1,
                           .measure = DIPP_MEASURE_DT},
               .first = 1e-3,
               .last = 1,
               .a = 0.6892631855,
               .ikl = 1.0401816512,
               .d_mu = -1.0338947782,
               .d_sig = 0.6504256489,
               .mu_linear = 1.6963958182,
               .mu_quadratic = 1.5663001624,
               .variance_quadratic = 0.0607799823},
    [VP_WBETA] = {.name = "VP, w = beta",
                  .sampler = {.schedule = {.kind = DIPP_SCHEDULE_VP, .a = 0.1, .b = 19.9, .t_min = 1e-3, .t_max = 1},
                              .law = {.kind = DIPP_TIME_UNIFORM, .min = 1e-3, .max = 1},
                              .weighting = DIPP_WEIGHT_BETA,
                              .measure = DIPP_MEASURE_DT},
                  .first = 1e-3,
                  .last = 1,
                  .a = 1.8479095917,
                  .ikl = 2.6215117239,
                  .d_mu = -2.7718643876,
                  .d_sig = 1.4138042165,
                  .mu_linear = 1.2597529674,
                  .mu_quadratic = 1.3275216924,
                  .variance_quadratic = 0.0796260319},
    [FM_W1] = {.name = "flow, w = 1",
               .sampler = {.schedule = {.kind = DIPP_SCHEDULE_FLOW, .t_min = 0.02, .t_max = 0.98},
                           .law = {.kind = DIPP_TIME_UNIFORM, .min = 0.02, .max = 0.98},
                           .weighting = DIPP_WEIGHT_SCORE1,
                           .measure = DIPP_MEASURE_DT},
               .first = 0.02,
               .last = 0.98},
    /* Weight 1 on the difference of denoisers under ln sigma ~ N(-1.2, 1.2^2), as published Diff-Instruct code has it. The
     * schedule reaches 7 standard deviations on either side. */
    [DI_LN] = {.name = "VE, log-normal sigma, data weight 1",
               .sampler = {.schedule = {.kind = DIPP_SCHEDULE_VE, .t_min = 6.7e-5, .t_max = 1340},
                           .law = {.kind = DIPP_TIME_LOG_NORMAL, .mean = -1.2, .std = 1.2},
                           .weighting = DIPP_WEIGHT_DATA1,
                           .measure = DIPP_MEASURE_LAW},
               .first = 6.7e-5,
               .last = 1340,
               .a = 0.3660623815,
               .ikl = 0.5121012933,
               .d_mu = -0.5490935723,
               .d_sig = 0.2644297713,
               .mu_linear = 2.3112519183,
               .mu_quadratic = 1.7108654463},
};

/* ---- Closed forms, and formulas written out ---- */

/* w a^2 / (a^2 q + s^2) at t, where B has no closed form. */
static double integrand(scenario_name name, double t, double q)
{
    if (name == VP_W1) {
        double a2 = exp(-0.1 * t - 9.95 * t * t);
        return a2 / (a2 * q + 1 - a2);
    }
    if (name == FM_W1)
        return (1 - t) * (1 - t) / ((1 - t) * (1 - t) * q + t * t);
    double z = (log(t) + 1.2) / 1.2;
    return t * t * exp(-0.5 * z * z) / (t * 1.2 * sqrt(2 * acos(-1))) / (q + t * t);
}

double scenario_b(scenario_name name, double q)
{
    const double u0 = 0.02, u1 = 10;
    switch (name) {
    case VE_W1: return (atan(u1 / sqrt(q)) - atan(u0 / sqrt(q))) / sqrt(q);
    case VE_WU: return 0.5 * log((q + u1 * u1) / (q + u0 * u0));
    case VP_WBETA: {
        double y0 = exp(-0.1e-3 - 9.95e-6), y1 = exp(-10.05), d = q - 1;
        return log((1 + d * y0) / (1 + d * y1)) / d;
    }
    default: break;
    }
    enum { STEPS = 20000 };
    double from = log(scenarios[name].first), h = (log(scenarios[name].last) - from) / STEPS, sum = 0;
    for (int i = 0; i <= STEPS; i++) {
        double t = exp(from + h * i);
        sum += (i == 0 || i == STEPS ? 1 : i % 2 ? 4 : 2) * t * integrand(name, t, q);
    }
    return sum * h / 3;
}

/* ---- Nodes ---- */

enum { LEGENDRE = 8 };

/* Roots of the Legendre polynomial of degree 8 and its weights, by Newton's method. */
static void gauss_legendre(double x[LEGENDRE], double w[LEGENDRE])
{
    for (int i = 0; i < LEGENDRE; i++) {
        double root = cos(acos(-1) * (i + 0.75) / (LEGENDRE + 0.5)), slope = 1;
        for (int k = 0; k < 50; k++) {
            double p0 = 1, p1 = root;
            for (int j = 2; j <= LEGENDRE; j++) {
                double p2 = ((2 * j - 1) * root * p1 - (j - 1) * p0) / j;
                p0 = p1, p1 = p2;
            }
            slope = LEGENDRE * (root * p1 - p0) / (root * root - 1);
            root -= p1 / slope;
        }
        x[i] = root;
        w[i] = 2 / ((1 - root * root) * slope * slope);
    }
}

static void allocate(nodes *n, int64_t count, uint32_t d, uint32_t draws)
{
    size_t c = (size_t)count;
    *n = (nodes){.count = 0, .d = d, .draws = draws};
    n->z = calloc(c * d * draws, sizeof *n->z);
    n->eps = calloc(c * d, sizeof *n->eps);
    n->t = calloc(5 * c, sizeof *n->t);
    if (!n->z || !n->eps || !n->t)
        abort();
    n->alpha = n->t + c;
    n->sigma = n->t + 2 * c;
    n->share = n->t + 3 * c;
    n->weight = n->t + 4 * c;
}

void nodes_release(nodes *n)
{
    free(n->z);
    free(n->eps);
    free(n->t);
}

typedef void (*fill)(nodes *n, double t, const dipp_time_draw *draw, double share, const void *context);

static void over_time(nodes *n, const scenario *s, int panels, fill at, const void *context)
{
    double x[LEGENDRE], w[LEGENDRE], ratio = pow(s->last / s->first, 1.0 / panels);
    gauss_legendre(x, w);
    for (int k = 0; k < panels; k++)
        for (int i = 0; i < LEGENDRE; i++) {
            double low = s->first * pow(ratio, k), half = 0.5 * low * (ratio - 1), t = low + half * (1 + x[i]);
            dipp_time_draw draw = dipp_time_draw_at(&s->sampler, t);
            at(n, t, &draw, w[i] * half * dipp_time_law_density(&s->sampler, t), context);
        }
}

static int64_t append(nodes *n, double t, const dipp_time_draw *draw, double share)
{
    int64_t i = n->count++;
    n->t[i] = t;
    n->alpha[i] = draw->alpha;
    n->sigma[i] = draw->sigma;
    n->share[i] = share;
    n->weight[i] = share * draw->weight;
    return i;
}

/* context: how many nodes there will be, by which the draws are apart. */
static void fill_affine(nodes *n, double t, const dipp_time_draw *draw, double share, const void *context)
{
    uint32_t normals = (n->draws + 1) * n->d, points = 2 * normals;
    const int64_t *total = context;
    for (uint32_t p = 0; p < points; p++) {
        int64_t i = append(n, t, draw, share / points);
        uint32_t which = p / 2 / n->d; /* a draw of the generator, or eps */
        double *row = which < n->draws ? n->z + (int64_t)which * *total * n->d : n->eps;
        row[i * n->d + p / 2 % n->d] = (p % 2 ? -1 : 1) * sqrt(normals);
    }
}

void nodes_steps(nodes *n, const scenario *s, uint32_t d, uint32_t draws, int panels)
{
    int64_t total = (int64_t)panels * LEGENDRE * 2 * (draws + 1) * d;
    allocate(n, total, d, draws);
    over_time(n, s, panels, fill_affine, &total);
}

void nodes_affine(nodes *n, const scenario *s, uint32_t d, int panels)
{
    nodes_steps(n, s, d, 1, panels);
}

void nodes_level(nodes *n, double alpha, double sigma, double weight)
{
    int64_t total = 4;
    allocate(n, total, 1, 1);
    fill_affine(n, 0.5, &(dipp_time_draw){.t = 0.5, .alpha = alpha, .sigma = sigma, .weight = weight}, 1, &total);
}

typedef struct scalar_rule {
    double sig;
    int points, across; /* 1: the mean; 2: at +-1 standard deviation */
} scalar_rule;

static void fill_scalar(nodes *n, double t, const dipp_time_draw *draw, double share, const void *context)
{
    const scalar_rule *rule = context;
    double reach = 8.5, step = 2 * reach / (rule->points - 1), root = sqrt(2 * acos(-1));
    double a = draw->alpha * rule->sig, s = draw->sigma, v = sqrt(a * a + s * s);
    for (int p = 0; p < rule->points * rule->across; p++) {
        double y = -reach + step * (p / rule->across), q = rule->across == 1 ? 0 : p % 2 ? 1 : -1;
        int64_t i = append(n, t, draw, share * step * exp(-0.5 * y * y) / root / rule->across);
        n->z[i] = (y * a - q * s) / v;
        n->eps[i] = (y * s + q * a) / v;
    }
}

static void scalar(nodes *n, const scenario *s, const scalar_rule *rule, int panels)
{
    allocate(n, (int64_t)panels * LEGENDRE * rule->points * rule->across, 1, 1);
    over_time(n, s, panels, fill_scalar, rule);
}

void nodes_scalar(nodes *n, const scenario *s, double sig, int panels, int points)
{
    scalar(n, s, &(scalar_rule){sig, points, 1}, panels);
}

void nodes_scalar_across(nodes *n, const scenario *s, double sig, int panels, int points)
{
    scalar(n, s, &(scalar_rule){sig, points, 2}, panels);
}
