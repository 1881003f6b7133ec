/* From which times the noisy samples of a term are drawn, and how much each time counts.
 *
 * Weights are kept in score units: the IKL is int w(t) KL_t dt (method: Theorem 3.1), its gradient to x0 is
 * w alpha (s_theta - s_ref). A preset such as data1 says "weight 1 on the difference of denoisers" and is converted. */
#ifndef DIPP_DIFFUSION_TIME_LAW_H
#define DIPP_DIFFUSION_TIME_LAW_H

#include <dipp/schedule.h>

#include <stdbool.h>

typedef enum dipp_time_law_kind {
    DIPP_TIME_UNIFORM = 0, /* t uniform in [min, max] */
    DIPP_TIME_DISCRETE,    /* t uniform over the integers min .. max */
    DIPP_TIME_LOG_NORMAL   /* ln(sigma/alpha) ~ N(mean, std^2), clipped to the schedule's range of t */
} dipp_time_law_kind;

typedef struct dipp_time_law {
    dipp_time_law_kind kind;
    double min, max;  /* UNIFORM, DISCRETE */
    double mean, std; /* LOG_NORMAL */
} dipp_time_law;

typedef enum dipp_weighting {
    DIPP_WEIGHT_SCORE1 = 0, /* w = 1 */
    DIPP_WEIGHT_DATA1,      /* sigma^2/alpha^2: weight 1 on D_ta - D_ref; on a VE schedule sigma^2 */
    DIPP_WEIGHT_EPS1,       /* sigma/alpha: weight 1 on -(eps_ta - eps_ref) */
    DIPP_WEIGHT_V1,         /* sigma/alpha^2: weight 1 on -(v_ta - v_ref), also of flow differences */
    DIPP_WEIGHT_BETA,       /* beta(t) of a VP or OU schedule */
    DIPP_WEIGHT_TIME,       /* t itself */
    DIPP_WEIGHT_DATA_L2     /* sigma^4/alpha^2: weight 1 on ||D_ta - D_ref||^2 of a score distance */
} dipp_weighting;

/* What the weight is a density against: dt (then a draw is divided by the law's density), or the law itself, as in the
 * published Diff-Instruct code. */
typedef enum dipp_measure { DIPP_MEASURE_LAW = 0, DIPP_MEASURE_DT = 1 } dipp_measure;

/* One draw: level of noise and how it counts. */
typedef struct dipp_time_draw {
    double t, alpha, sigma;
    double weight; /* w(t), divided by the law's density when the measure is dt */
} dipp_time_draw;

typedef struct dipp_time_sampler {
    dipp_schedule schedule;
    dipp_time_law law;
    dipp_weighting weighting;
    dipp_measure measure;
} dipp_time_sampler;

/* By name: uniform discrete log_normal; score1 data1 (sigma2) eps1 v1 (flow1) beta time data_l2 (sigma4); law dt. */
bool dipp_time_law_by_name(const char *name, dipp_time_law_kind *out);
bool dipp_weighting_by_name(const char *name, dipp_weighting *out);

/* Checks that law, weighting and schedule go together. */
dipp_status dipp_time_sampler_check(const dipp_time_sampler *sampler, dipp_error *error);

/* u uniform in (0, 1) -> t by the inverse distribution. [any thread] */
double dipp_time_law_draw(const dipp_time_sampler *sampler, double u);
double dipp_time_law_density(const dipp_time_sampler *sampler, double t);
double dipp_weight_at(const dipp_time_sampler *sampler, double t, double alpha, double sigma);
dipp_time_draw dipp_time_draw_at(const dipp_time_sampler *sampler, double t);

/* The factor by which E||s_theta - s_ref||^2 at a draw counts towards the IKL itself: with u = sigma/alpha and
 * W(t) = int_{t_start}^{t} w, IKL = int W u alpha^2 E||delta s||^2 du, up to the KL at the largest u (de Bruijn's identity).
 * The table is built once by dipp_ikl_table_create. */
typedef struct dipp_ikl_table dipp_ikl_table;
dipp_status dipp_ikl_table_create(const dipp_time_sampler *sampler, dipp_ikl_table **out, dipp_error *error);
void dipp_ikl_table_destroy(dipp_ikl_table **table);
double dipp_ikl_factor(const dipp_ikl_table *table, double t);

#endif
