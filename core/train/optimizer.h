/* Learning-rate schedules, averaging and the scalars of an update. */
#ifndef DIPP_TRAIN_OPTIMIZER_H
#define DIPP_TRAIN_OPTIMIZER_H

#include "tensor/program.h"

typedef enum dipp_rate_schedule { DIPP_RATE_CONSTANT = 0, DIPP_RATE_LINEAR, DIPP_RATE_COSINE } dipp_rate_schedule;

typedef struct dipp_optimizer_settings {
    int kind; /* DIPP_OPTIMIZER_ADAMW, DIPP_OPTIMIZER_SGD */
    double lr, beta1, beta2, epsilon, weight_decay;
    double clip;    /* largest gradient norm; 0 is off */
    int64_t warmup; /* updates of linear warm-up */
    dipp_rate_schedule schedule;
    double final_share; /* of lr, one update after the last */
} dipp_optimizer_settings;

typedef struct dipp_average_settings {
    double decay;            /* per update; used when half_life_images is 0. 0: the average is a copy */
    double half_life_images; /* decay = 2^(-batch / half life) */
} dipp_average_settings;

/* Learning rate of update n (from 0) of total. */
double dipp_learning_rate(const dipp_optimizer_settings *settings, int64_t n, int64_t total);
double dipp_average_decay(const dipp_average_settings *settings, int64_t batch);

/* What becomes of a run whose updates are not finite: DIPP_E_NUMERIC when so many as limit (0: any number) were skipped in a
 * row, or every one was when the run's last step is done, for then nothing was learnt. step and skipped count from the run's
 * start; smaller says what to lower. */
dipp_status dipp_check_updates(int64_t in_a_row, int64_t limit, int64_t skipped, int64_t step, int64_t steps,
                               const char *smaller, dipp_error *error);

/* A program that updates one parameter set, with its place in a plan. */
typedef struct dipp_updater {
    dipp_program *program;
    dipp_executable *run;
    dipp_optimizer_settings settings;
    double average_decay;
    int64_t done, total; /* updates that were applied, and planned (for the schedule) */
    dipp_ledger *ledger; /* NULL, or where the op times go */
    int64_t attempts;    /* updates asked for, skipped ones included: drives the learning rate and the rounding */
    uint64_t seed;       /* of random rounding, with the stream: set by the owner after recording */
    uint32_t stream;
    bool rounds;
} dipp_updater;

/* Records the update of this set, in its formats. ema: the set has an average, which is kept in f32: it moves by less than
 * bf16 can tell. */
dipp_status dipp_updater_record(dipp_updater *updater, const char *name, const dipp_parameter_set *set,
                                const dipp_optimizer_settings *settings, bool ema, dipp_error *error);
/* set: the one that was recorded, or another of its layout and formats. */
dipp_status dipp_updater_bind(dipp_updater *updater, dipp_plan *plan, dipp_parameter_set *set, dipp_parameter_set *ema,
                              dipp_error *error);
/* Runs one update. norm receives the gradient's norm before clipping; *applied tells whether it was finite. */
dipp_status dipp_updater_step(dipp_updater *updater, double *norm, bool *applied, dipp_error *error);
void dipp_updater_destroy(dipp_updater *updater);

#endif
