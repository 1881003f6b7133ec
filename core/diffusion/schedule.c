#include <dipp/schedule.h>

#include <math.h>

static double beta_of_step(const dipp_schedule *schedule, uint32_t index)
{
    double first = schedule->a, last = schedule->b;
    if (schedule->scaled_linear)
        first = sqrt(first), last = sqrt(last);
    double beta = first + (last - first) * (double)index / (double)(schedule->steps > 1 ? schedule->steps - 1 : 1);
    return schedule->scaled_linear ? beta * beta : beta;
}

/* A discrete schedule on its way: what the first `count` steps leave. Products only, and the rest kept beside the product,
 * so that a walk costs a microsecond and neither end loses digits. */
typedef struct discrete_walk {
    uint32_t count;
    double alpha_bar; /* prod (1 - beta) */
    double rest;      /* 1 - alpha_bar */
} discrete_walk;

static void walk_step(const dipp_schedule *schedule, discrete_walk *walk)
{
    double beta = beta_of_step(schedule, walk->count++);
    walk->rest += beta * walk->alpha_bar;
    walk->alpha_bar *= 1.0 - beta;
}

static void discrete_at(const dipp_schedule *schedule, double t, double *alpha, double *sigma)
{
    double last = (double)schedule->steps - 1, at = t < 0 ? 0 : t > last ? last : t;
    uint32_t low = (uint32_t)at;
    discrete_walk walk = {.alpha_bar = 1};
    while (walk.count <= low)
        walk_step(schedule, &walk);
    double part = at - (double)low, alpha_bar = walk.alpha_bar, rest = walk.rest;
    if (part > 0) { /* log alpha_bar is linear between integers */
        double lost = -expm1(part * log1p(-beta_of_step(schedule, low + 1)));
        rest += lost * alpha_bar;
        alpha_bar -= lost * alpha_bar;
    }
    *alpha = sqrt(alpha_bar);
    *sigma = sqrt(rest);
}

/* Walks to the first integer at which the ratio is reached and takes the part of the last step that is needed. */
static double discrete_time_of(const dipp_schedule *schedule, double ratio)
{
    discrete_walk walk = {.alpha_bar = 1}, before = walk;
    while (walk.count < schedule->steps && walk.rest < ratio * ratio * walk.alpha_bar) {
        before = walk;
        walk_step(schedule, &walk);
    }
    if (walk.rest < ratio * ratio * walk.alpha_bar)
        return (double)schedule->steps - 1;
    if (before.count == 0)
        return 0; /* t = 0 is after the first step */
    /* log alpha_bar that is wanted, and at the integer before; log alpha_bar = log1p(-rest) where it is near 0 */
    double wanted = -log1p(ratio * ratio);
    double from = before.rest < 0.5 ? log1p(-before.rest) : log(before.alpha_bar);
    return (double)before.count - 1 + (wanted - from) / log1p(-beta_of_step(schedule, before.count));
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
    case DIPP_SCHEDULE_DISCRETE: discrete_at(schedule, t, alpha, sigma); return;
    }
}

static double unbounded_time_of(const dipp_schedule *schedule, double ratio)
{
    /* VP, OU: alpha^2 = 1 / (1 + ratio^2), so a t + b t^2 / 2 = depth */
    double depth = log1p(ratio * ratio), a = schedule->a, b = schedule->b;
    switch (schedule->kind) {
    case DIPP_SCHEDULE_ANY:
    case DIPP_SCHEDULE_VE: return ratio;
    case DIPP_SCHEDULE_FLOW: return ratio / (1.0 + ratio);
    case DIPP_SCHEDULE_VP: return 2.0 * depth / (a + sqrt(a * a + 2.0 * b * depth));
    case DIPP_SCHEDULE_OU: return depth / a;
    case DIPP_SCHEDULE_DISCRETE: return discrete_time_of(schedule, ratio);
    }
    return ratio;
}

double dipp_schedule_time_of(const dipp_schedule *schedule, double ratio)
{
    double t = unbounded_time_of(schedule, ratio);
    return t < schedule->t_min ? schedule->t_min : t > schedule->t_max ? schedule->t_max : t;
}
