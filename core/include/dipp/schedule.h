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

/* What a network predicts. */
typedef enum dipp_parameterisation {
    DIPP_PREDICTS_X0 = 0,
    DIPP_PREDICTS_EPS,
    DIPP_PREDICTS_V,    /* alpha eps - sigma x0 */
    DIPP_PREDICTS_FLOW, /* eps - x0 */
    DIPP_PREDICTS_SCORE,
    DIPP_PREDICTS_EDM /* F of EDM preconditioning with sigma_data; the core scales the input by
                            1/sqrt(r^2 + sigma_data^2) of x_t/alpha, r = sigma/alpha, and gives t = ln(r)/4 */
} dipp_parameterisation;

enum { DIPP_SCHEDULE_STEPS_MOST = 100000 }; /* of a DISCRETE schedule that is read from a file */

/* alpha and sigma at t. DISCRETE interpolates log alpha_bar linearly between integer t. [any thread] */
void dipp_schedule_at(const dipp_schedule *schedule, double t, double *alpha, double *sigma);

/* The t at which sigma/alpha equals ratio, within [t_min, t_max]; DISCRETE walks its steps once, the others have a closed
 * form. [any thread] */
double dipp_schedule_time_of(const dipp_schedule *schedule, double ratio);

/* The DISCRETE schedule and the prediction that a scheduler_config.json of diffusers describes. Keys that only steer a sampler
 * are ignored. DIPP_E_UNSUPPORTED names file, key and value of what changes the schedule and is not known here (trained betas,
 * a rescaled zero terminal SNR, other beta_schedules, other classes); DIPP_E_FORMAT, DIPP_E_NOT_FOUND, DIPP_E_IO, DIPP_E_MEMORY.
 * [any thread] */
dipp_status dipp_schedule_read_config(const char *path, dipp_schedule *out, dipp_parameterisation *parameterisation,
                                      dipp_error *error);

#ifdef __cplusplus
}
#endif
#endif
