/* Judging a reward by pairs while it is trained: metrics by step in the store. */
#ifndef DIPP_EXPERIMENT_RUN_VALIDATE_H
#define DIPP_EXPERIMENT_RUN_VALIDATE_H

#include "experiment/run_record.h"
#include "experiment/run_setup.h"

#include <signal.h>

typedef struct dipp_run_validator dipp_run_validator;

/* setup has a trainee; all are borrowed, stop may be NULL. Scores by what becomes the result: the average, where one is kept.
 * DIPP_E_INVALID: a temperature is to be fitted, and there is nothing to fit it by or to put it into. */
dipp_status dipp_run_validator_create(dipp_run_setup *setup, const volatile sig_atomic_t *stop,
                                      dipp_run_validator **out, dipp_error *error);
void dipp_run_validator_destroy(dipp_run_validator **validator);
/* Of its plan, on the back-end; 0 where there is nothing to validate with. */
size_t dipp_run_validator_bytes(const dipp_run_validator *validator);

/* Buffers every metric as pairs/NAME, and pairs/NAME/KIND, under this step, and calls say with a line for people: for all
 * kinds, and with `kinds` for each. */
dipp_status dipp_run_validate(dipp_run_validator *validator, dipp_run_record *record, int64_t step, bool kinds,
                              void (*say)(void *context, const char *line), void *context, dipp_error *error);

/* After the last step: where learn.calibrate.share says so, fits one temperature by the lines that are held and puts it into
 * the weights that become the result; metric pairs/temperature, and a line for people. Where none fits, a warning. */
dipp_status dipp_run_calibrate(dipp_run_validator *validator, dipp_run_record *record, int64_t step,
                               void (*say)(void *context, const char *line), void *context, dipp_error *error);
bool dipp_run_calibrates(const dipp_run_validator *validator);

/* "accuracy 0.741 of 2000 pairs (98.9 % of Bayes), log loss 0.512, calibration error 0.018": one line; returns out. */
enum { DIPP_PREFERENCE_TEXT_BYTES = 384 };
char *dipp_preference_text(const char *kind, const double *values, char out[DIPP_PREFERENCE_TEXT_BYTES]);

#endif
