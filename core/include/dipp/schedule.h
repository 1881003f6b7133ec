/* Noise schedules: x_t = alpha(t) x0 + sigma(t) eps. Evaluated on the host in double; recordings get the numbers as inputs. */
#ifndef DIPP_SCHEDULE_H
#define DIPP_SCHEDULE_H

#include <dipp/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum dipp_schedule_kind {
    DIPP_SCHEDULE_ANY = 0, /* an exact model that takes any schedule; the configuration names it */
    DIPP_SCHEDULE_VE,      /* alpha = 1, sigma = t; t in [t_min, t_max] (EDM) */
    DIPP_SCHEDULE_VP, /* beta(t) = a + b t: alpha = exp(-a t/2 - b t^2/4), sigma = sqrt(1 - alpha^2); t in [t_min, t_max] */
    DIPP_SCHEDULE_OU,      /* constant beta = a: alpha = exp(-a t / 2) */
    DIPP_SCHEDULE_FLOW,    /* alpha = 1 - t, sigma = t */
    DIPP_SCHEDULE_DISCRETE /* betas of `steps` steps, scaled linear (sqrt) or linear from a to b; t is an index */
} dipp_schedule_kind;

typedef struct dipp_schedule {
    dipp_schedule_kind kind;
    double a, b;           /* see kind */
    double t_min, t_max;   /* range of t that has meaning */
    uint32_t steps;        /* DISCRETE: number of steps, 1000 for Stable Diffusion */
    uint8_t scaled_linear; /* DISCRETE: betas linear in their square root */
} dipp_schedule;

/* alpha and sigma at t. DISCRETE interpolates log alpha_bar linearly between integer t. [any thread] */
void dipp_schedule_at(const dipp_schedule *schedule, double t, double *alpha, double *sigma);

/* The t at which sigma/alpha equals ratio, within [t_min, t_max]; DISCRETE walks its steps once, the others have a closed
 * form. [any thread] */
double dipp_schedule_time_of(const dipp_schedule *schedule, double ratio);

#ifdef __cplusplus
}
#endif
#endif
