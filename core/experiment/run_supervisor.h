/* Runs planned cells, each in a process of its own, some at a time.
 *
 * A worker is `PROGRAM run-cell --db FILE --run N --supervised ...`; it claims its run, so that two supervisors never
 * run a cell twice. Its standard output is lines:
 *     progress STEP STEPS IMAGES REWARD IKL LOSS      numbers, - for unknown
 *     note TEXT
 * and its standard error goes to log.txt beside what the run writes. It ends with 0 (completed), 75 (saved and queued),
 * 5 (somebody else has the run) or anything else (failed). A worker that is killed leaves a lost run, one that crashes
 * a failed one. */
#ifndef DIPP_EXPERIMENT_RUN_SUPERVISOR_H
#define DIPP_EXPERIMENT_RUN_SUPERVISOR_H

#include "experiment/run_plan.h"

#include <signal.h>

typedef struct dipp_run_progress {
    int64_t step, steps, images_seen;
    double reward, ikl, loss; /* NaN: not known */
    double seconds;           /* since the worker started */
    double rate;              /* steps per second of late; 0: not known */
} dipp_run_progress;

typedef enum dipp_run_event {
    DIPP_RUN_EVENT_STARTED = 0,
    DIPP_RUN_EVENT_PROGRESS,
    DIPP_RUN_EVENT_NOTE, /* text */
    DIPP_RUN_EVENT_ENDED /* planned->status tells how, text why where it failed */
} dipp_run_event;

typedef struct dipp_supervisor_options {
    const char *program;          /* the path of dipp itself */
    const char *database;         /* as the workers open it */
    const char *const *arguments; /* more for every worker: --plugin FILE and the like; NULL-terminated, may be NULL */
    unsigned jobs;                /* workers at a time; 0: 1 */
    unsigned threads;             /* of each worker; 0: as configured */
    size_t memory;                /* bytes that the planned runs may take together; 0: no limit */
    double stall_seconds;         /* a worker that says nothing for so long is killed; 0: never */
    bool rerun;
    const volatile sig_atomic_t *stop; /* 1: workers are told to save and end; more: they are killed */
    void *context;
    void (*event)(void *context, dipp_run_event event, const dipp_planned_cell *planned,
                  const dipp_run_progress *progress, const char *text);
    void (*idle)(void *context); /* a few times a second */
} dipp_supervisor_options;

typedef struct dipp_supervisor_result {
    size_t completed, failed, interrupted, elsewhere;
} dipp_supervisor_result;

/* Runs every cell whose action is RUN; the plan must have been registered in store. A failed run does not stop the
 * others. [one thread at a time] */
dipp_status dipp_supervise(dipp_run_plan *plan, dipp_store *store, const dipp_supervisor_options *options,
                           dipp_supervisor_result *result, dipp_error *error);

#endif
