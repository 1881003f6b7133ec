/* Evaluations of a run and their rows: scores of every picture, numbers of the set, pictures for people. */
#ifndef DIPP_EXPERIMENT_RUN_EVALUATE_H
#define DIPP_EXPERIMENT_RUN_EVALUATE_H

#include "evaluate/evaluation.h"
#include "experiment/run_record.h"
#include "experiment/run_setup.h"

typedef struct dipp_run_evaluator dipp_run_evaluator;

/* Reads evaluate.* of the setup's configuration, defines metrics, scorers and the prompt set in the store. All are
 * borrowed; stop may be NULL. record may be NULL: then nothing is stored, and only prepare is useful. */
dipp_status dipp_run_evaluator_create(dipp_run_setup *setup, dipp_run_record *record, const volatile sig_atomic_t *stop,
                                      dipp_run_evaluator **out, dipp_error *error);
/* As dipp_evaluation_prepare, for the evaluations of this run. */
dipp_status dipp_run_evaluator_prepare(dipp_run_evaluator *evaluator, size_t *device, size_t *host, dipp_error *error);
void dipp_run_evaluator_destroy(dipp_run_evaluator **evaluator);

/* Draws and scores what the run trains (a generator; or, in pretraining, the reference by its multi-step sampler) as it
 * is now, and stores everything under this step. Buffered metrics must have been flushed: the set metric `ikl` is the
 * mean of the last 20 logged points of the metric ikl. */
dipp_status dipp_run_evaluate(dipp_run_evaluator *evaluator, int64_t step, int64_t images_seen, dipp_error *error);

/* The multi-step reference, once per run: drawn by the first run that needs it and kept beside the database for the
 * others, scored by each. Does nothing in pretraining, or where it is switched off or stored already; again: scores it
 * although it is stored. */
dipp_status dipp_run_evaluate_reference(dipp_run_evaluator *evaluator, bool again, dipp_error *error);

/* Whether an evaluation of this step is complete in the store. */
dipp_status dipp_run_evaluated(dipp_run_evaluator *evaluator, int64_t step, bool *done, dipp_error *error);

#endif
