#include "diffusion/time_law.h"

#include "base/memory.h"

#include <math.h>
#include <string.h>

static const double TWO_PI = 6.283185307179586476925286766559;

bool dipp_time_law_by_name(const char *name, dipp_time_law_kind *out)
{
    static const char *const names[] = {"uniform", "discrete", "log_normal"};
    for (int i = 0; i < 3; i++)
        if (!strcmp(name, names[i])) {
            *out = (dipp_time_law_kind)i;
            return true;
        }
    return false;
}

bool dipp_weighting_by_name(const char *name, dipp_weighting *out)
{
    static const struct {
        const char *name;
        dipp_weighting weighting;
    } names[] = {{"score1", DIPP_WEIGHT_SCORE1}, {"data1", DIPP_WEIGHT_DATA1}, {"sigma2", DIPP_WEIGHT_DATA1},
                 {"eps1", DIPP_WEIGHT_EPS1},     {"v1", DIPP_WEIGHT_V1},       {"flow1", DIPP_WEIGHT_V1},
                 {"beta", DIPP_WEIGHT_BETA},     {"time", DIPP_WEIGHT_TIME},   {"data_l2", DIPP_WEIGHT_DATA_L2},
                 {"sigma4", DIPP_WEIGHT_DATA_L2}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(name, names[i].name)) {
            *out = names[i].weighting;
            return true;
        }
    return false;
}

dipp_status dipp_time_sampler_check(const dipp_time_sampler *sampler, dipp_error *error)
{
    const dipp_schedule *schedule = &sampler->schedule;
    bool has_beta = schedule->kind == DIPP_SCHEDULE_VP || schedule->kind == DIPP_SCHEDULE_OU;
    if (sampler->weighting == DIPP_WEIGHT_BETA && !has_beta)
        return dipp_fail(error, DIPP_E_INVALID, "weight beta needs a vp or ou schedule");
    if (sampler->law.kind == DIPP_TIME_DISCRETE && schedule->kind != DIPP_SCHEDULE_DISCRETE)
        return dipp_fail(error, DIPP_E_INVALID, "time law discrete needs a schedule with discrete steps");
    if (sampler->law.kind == DIPP_TIME_LOG_NORMAL)
        return sampler->law.std > 0 ? DIPP_OK
                                    : dipp_fail(error, DIPP_E_INVALID, "time law log_normal needs std above 0");
    if (!(sampler->law.min < sampler->law.max))
        return dipp_fail(error, DIPP_E_INVALID, "time law: min %g is not below max %g", sampler->law.min,
                         sampler->law.max);
    if (sampler->law.min < schedule->t_min || sampler->law.max > schedule->t_max)
        return dipp_fail(error, DIPP_E_INVALID, "time law: [%g, %g] leaves the schedule's range [%g, %g]",
                         sampler->law.min, sampler->law.max, schedule->t_min, schedule->t_max);
    return DIPP_OK;
}

/* The standard normal quantile: Acklam's rational start, then two Newton steps on erfc, good to double precision. */
static double normal_quantile(double u)
{
    static const double a[] = {-3.969683028665376e+01, 2.209460984245205e+02,  -2.759285104469687e+02,
                               1.383577518672690e+02,  -3.066479806614716e+01, 2.506628277459239e+00};
    static const double b[] = {-5.447609879822406e+01, 1.615858368580409e+02, -1.556989798598866e+02,
                               6.680131188771972e+01, -1.328068155288572e+01};
    static const double c[] = {-7.784894002430293e-03, -3.223964580411365e-01, -2.400758277161838e+00,
                               -2.549732539343734e+00, 4.374664141464968e+00,  2.938163982698783e+00};
    static const double d[] = {7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996e+00,
                               3.754408661907416e+00};
    double x, q = u < 0.5 ? u : 1.0 - u;
    if (q < 0.02425) {
        double r = sqrt(-2.0 * log(q));
        x = (((((c[0] * r + c[1]) * r + c[2]) * r + c[3]) * r + c[4]) * r + c[5]) /
            ((((d[0] * r + d[1]) * r + d[2]) * r + d[3]) * r + 1.0);
    } else {
        double m = q - 0.5, r = m * m;
        x = (((((a[0] * r + a[1]) * r + a[2]) * r + a[3]) * r + a[4]) * r + a[5]) * m /
            (((((b[0] * r + b[1]) * r + b[2]) * r + b[3]) * r + b[4]) * r + 1.0);
    }
    for (int i = 0; i < 2; i++)
        x -= (0.5 * erfc(-x * M_SQRT1_2) - q) * sqrt(TWO_PI) * exp(0.5 * x * x);
    return u < 0.5 ? x : -x;
}

static double log_ratio(const dipp_schedule *schedule, double t)
{
    double alpha, sigma;
    dipp_schedule_at(schedule, t, &alpha, &sigma);
    return log(sigma / alpha);
}

double dipp_time_law_draw(const dipp_time_sampler *sampler, double u)
{
    const dipp_time_law *law = &sampler->law;
    const dipp_schedule *schedule = &sampler->schedule;
    switch (law->kind) {
    case DIPP_TIME_UNIFORM: return law->min + u * (law->max - law->min);
    case DIPP_TIME_DISCRETE: {
        double t = law->min + floor(u * (law->max - law->min + 1.0));
        return t > law->max ? law->max : t;
    }
    case DIPP_TIME_LOG_NORMAL: return dipp_schedule_time_of(schedule, exp(law->mean + law->std * normal_quantile(u)));
    }
    return law->min;
}

/* d ln(sigma/alpha) / dt by a central difference; exact enough for a density. */
static double log_ratio_slope(const dipp_schedule *schedule, double t)
{
    double h = 1e-6 * (fabs(t) > 1e-3 ? fabs(t) : 1e-3);
    return (log_ratio(schedule, t + h) - log_ratio(schedule, t - h)) / (2.0 * h);
}

double dipp_time_law_density(const dipp_time_sampler *sampler, double t)
{
    const dipp_time_law *law = &sampler->law;
    if (law->kind == DIPP_TIME_UNIFORM)
        return 1.0 / (law->max - law->min);
    if (law->kind == DIPP_TIME_DISCRETE)
        return 1.0 / (law->max - law->min + 1.0);
    double z = (log_ratio(&sampler->schedule, t) - law->mean) / law->std;
    double slope = sampler->schedule.kind == DIPP_SCHEDULE_VE ? 1.0 / t : log_ratio_slope(&sampler->schedule, t);
    return exp(-0.5 * z * z) / (law->std * sqrt(TWO_PI)) * slope;
}

double dipp_weight_at(const dipp_time_sampler *sampler, double t, double alpha, double sigma)
{
    switch (sampler->weighting) {
    case DIPP_WEIGHT_SCORE1: return 1.0;
    case DIPP_WEIGHT_DATA1: return sigma * sigma / (alpha * alpha);
    case DIPP_WEIGHT_EPS1: return sigma / alpha;
    case DIPP_WEIGHT_V1: return sigma / (alpha * alpha);
    case DIPP_WEIGHT_BETA:
        return sampler->schedule.a + (sampler->schedule.kind == DIPP_SCHEDULE_VP ? sampler->schedule.b * t : 0.0);
    case DIPP_WEIGHT_TIME: return t;
    case DIPP_WEIGHT_DATA_L2: return sigma * sigma * sigma * sigma / (alpha * alpha);
    }
    return 1.0;
}

dipp_time_draw dipp_time_draw_at(const dipp_time_sampler *sampler, double t)
{
    dipp_time_draw draw = {.t = t};
    dipp_schedule_at(&sampler->schedule, t, &draw.alpha, &draw.sigma);
    draw.weight = dipp_weight_at(sampler, t, draw.alpha, draw.sigma);
    if (sampler->measure == DIPP_MEASURE_DT)
        draw.weight /= dipp_time_law_density(sampler, t);
    return draw;
}

/* ---- The IKL itself ---- */

enum { IKL_POINTS = 4096 };

struct dipp_ikl_table {
    dipp_time_sampler sampler;
    double time[IKL_POINTS];       /* increasing, over the law's range */
    double cumulative[IKL_POINTS]; /* W at these times */
};

/* Evenly spaced in t, or in ln(sigma/alpha) as far as 8 standard deviations: a weight such as data1 has its mass in the
 * law's upper tail, which points at even quantiles would miss. */
static double table_time(const dipp_time_sampler *sampler, int i)
{
    const dipp_time_law *law = &sampler->law;
    double part = (double)i / (IKL_POINTS - 1);
    if (law->kind != DIPP_TIME_LOG_NORMAL)
        return law->min + part * (law->max - law->min);
    return dipp_schedule_time_of(&sampler->schedule, exp(law->mean + law->std * (16.0 * part - 8.0)));
}

/* w(t) per dt: the measure's density is multiplied out again. */
static double weight_density(const dipp_time_sampler *sampler, double t)
{
    return dipp_time_draw_at(sampler, t).weight * dipp_time_law_density(sampler, t);
}

dipp_status dipp_ikl_table_create(const dipp_time_sampler *sampler, dipp_ikl_table **out, dipp_error *error)
{
    dipp_ikl_table *table = dipp_allocate_zeroed(1, sizeof *table);
    if (!table)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for the table of the IKL");
    table->sampler = *sampler;
    double previous = 0;
    for (int i = 0; i < IKL_POINTS; i++) {
        double t = table->time[i] = table_time(sampler, i), now = weight_density(sampler, t);
        if (i > 0)
            table->cumulative[i] = table->cumulative[i - 1] + 0.5 * (previous + now) * (t - table->time[i - 1]);
        previous = now;
    }
    *out = table;
    return DIPP_OK;
}

void dipp_ikl_table_destroy(dipp_ikl_table **table)
{
    if (table && *table) {
        dipp_release(*table);
        *table = NULL;
    }
}

/* W(t), linear between the table's times. */
static double cumulative_at(const dipp_ikl_table *table, double t)
{
    int low = 0, high = IKL_POINTS - 1;
    if (t <= table->time[0])
        return 0.0;
    if (t >= table->time[high])
        return table->cumulative[high];
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (table->time[middle] <= t)
            low = middle;
        else
            high = middle;
    }
    double a = table->time[low], b = table->time[high], part = b > a ? (t - a) / (b - a) : 0.0;
    return table->cumulative[low] + part * (table->cumulative[high] - table->cumulative[low]);
}

double dipp_ikl_factor(const dipp_ikl_table *table, double t)
{
    const dipp_schedule *schedule = &table->sampler.schedule;
    double alpha, sigma;
    dipp_schedule_at(schedule, t, &alpha, &sigma);
    double u = sigma / alpha;
    double du_dt = schedule->kind == DIPP_SCHEDULE_VE ? 1.0 : u * log_ratio_slope(schedule, t);
    return cumulative_at(table, t) * u * alpha * alpha * du_dt / dipp_time_law_density(&table->sampler, t);
}
