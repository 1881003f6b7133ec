#include <dipp/schedule.h>

#include <math.h>
#include <stdbool.h>

/* log of alpha_bar after `index` + 1 steps of a discrete schedule. */
static double log_alpha_bar(const dipp_schedule *schedule, uint32_t index)
{
    double sum = 0, first = schedule->a, last = schedule->b;
    if (schedule->scaled_linear)
        first = sqrt(first), last = sqrt(last);
    for (uint32_t i = 0; i <= index && i < schedule->steps; i++) {
        double beta = first + (last - first) * (double)i / (double)(schedule->steps > 1 ? schedule->steps - 1 : 1);
        sum += log1p(-(schedule->scaled_linear ? beta * beta : beta));
    }
    return sum;
}

void dipp_schedule_at(const dipp_schedule *schedule, double t, double *alpha, double *sigma)
{
    switch (schedule->kind) {
    case DIPP_SCHEDULE_ANY:
    case DIPP_SCHEDULE_VE: *alpha = 1.0, *sigma = t; return;
    case DIPP_SCHEDULE_FLOW: *alpha = 1.0 - t, *sigma = t; return;
    case DIPP_SCHEDULE_VP:
    case DIPP_SCHEDULE_OU: {
        double slope = schedule->kind == DIPP_SCHEDULE_VP ? schedule->b : 0.0;
        double exponent = -0.5 * schedule->a * t - 0.25 * slope * t * t; /* log alpha */
        *alpha = exp(exponent);
        *sigma = sqrt(-expm1(2.0 * exponent));
        return;
    }
    case DIPP_SCHEDULE_DISCRETE: {
        double last = (double)schedule->steps - 1, at = t < 0 ? 0 : t > last ? last : t;
        uint32_t low = (uint32_t)at;
        double value = log_alpha_bar(schedule, low), part = at - (double)low;
        if (part > 0)
            value += part * (log_alpha_bar(schedule, low + 1) - value);
        *alpha = exp(0.5 * value);
        *sigma = sqrt(-expm1(value));
        return;
    }
    }
}

/* Schedules whose ratio can be inverted; false for the others. */
static bool time_in_closed_form(const dipp_schedule *schedule, double ratio, double *t)
{
    /* VP, OU: alpha^2 = 1 / (1 + ratio^2), so a t + b t^2 / 2 = depth */
    double depth = log1p(ratio * ratio), a = schedule->a, b = schedule->b;
    switch (schedule->kind) {
    case DIPP_SCHEDULE_ANY:
    case DIPP_SCHEDULE_VE: *t = ratio; return true;
    case DIPP_SCHEDULE_FLOW: *t = ratio / (1.0 + ratio); return true;
    case DIPP_SCHEDULE_VP: *t = 2.0 * depth / (a + sqrt(a * a + 2.0 * b * depth)); return true;
    case DIPP_SCHEDULE_OU: *t = depth / a; return true;
    case DIPP_SCHEDULE_DISCRETE: break;
    }
    return false;
}

double dipp_schedule_time_of(const dipp_schedule *schedule, double ratio)
{
    double low = schedule->t_min, high = schedule->t_max, t;
    if (time_in_closed_form(schedule, ratio, &t))
        return t < low ? low : t > high ? high : t;
    for (int i = 0; i < 200 && high - low > 1e-15 * fabs(high); i++) {
        double middle = 0.5 * (low + high), alpha, sigma;
        dipp_schedule_at(schedule, middle, &alpha, &sigma);
        if (sigma < ratio * alpha)
            low = middle;
        else
            high = middle;
    }
    return 0.5 * (low + high);
}
