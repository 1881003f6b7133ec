/* What may end an alignment before its last step: the monitor's alarm and the budgets. The worker tells of each step. */
#ifndef DIPP_EXPERIMENT_RUN_WATCH_H
#define DIPP_EXPERIMENT_RUN_WATCH_H

#include "experiment/run_record.h"
#include "experiment/run_setup.h"

#include <signal.h>

typedef struct dipp_run_watch dipp_run_watch;

/* Sets up what the configuration asks for; *out is NULL where it asks for nothing, and every function takes NULL. The weights
 * must be those that the run starts from: the monitor draws them. All are borrowed; note is for people, with context. */
dipp_status dipp_run_watch_create(dipp_run_setup *setup, dipp_run_record *record, int64_t seed,
                                  const volatile sig_atomic_t *stop,
                                  void (*note)(const void *context, const char *message), const void *context,
                                  dipp_run_watch **out, dipp_error *error);
void dipp_run_watch_destroy(dipp_run_watch **watch);

/* The attempt goes on from this step; *ends: it was the last. */
dipp_status dipp_run_watch_resume(dipp_run_watch *watch, int64_t step, int64_t images_seen, bool *ends,
                                  dipp_error *error);

/* Whether every iteration of this metric must be logged. */
bool dipp_run_watch_reads(const dipp_run_watch *watch, const char *name);
void dipp_run_watch_see(dipp_run_watch *watch, const char *const *names, const double *values, size_t count);
/* After an iteration; *ends: it is to be the last. That leaves an event stop.alarm, stop.reward or stop.ikl. */
dipp_status dipp_run_watch_step(dipp_run_watch *watch, int64_t step, int64_t images_seen, bool *ends,
                                dipp_error *error);

/* Why the run ended before its last step, NULL when it did not; and what the alarm said, NULL without one. */
const char *dipp_run_watch_reason(const dipp_run_watch *watch);
const char *dipp_run_watch_alarm(const dipp_run_watch *watch);

#endif
