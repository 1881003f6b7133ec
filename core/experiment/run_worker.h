/* One run in this process: claimed, set up, resumed from its newest good checkpoint, trained, evaluated, recorded. */
#ifndef DIPP_EXPERIMENT_RUN_WORKER_H
#define DIPP_EXPERIMENT_RUN_WORKER_H

#include "plugin/plugin_host.h"
#include "store/store.h"

#include <signal.h>

typedef struct dipp_worker_progress {
    int64_t step, steps, images_seen;
    double reward, ikl, loss; /* NaN: not known */
} dipp_worker_progress;

typedef struct dipp_worker_options {
    const char *database;
    int64_t run_id;
    dipp_plugins *plugins;
    uint32_t threads;                  /* 0: as configured */
    unsigned also;                     /* statuses besides queued that may be worked on: bits 1u << DIPP_RUN_x */
    const volatile sig_atomic_t *stop; /* nonzero: save and go; may be NULL */
    void *context;
    void (*progress)(void *context, const dipp_worker_progress *progress); /* a few times a second; may be NULL */
    void (*note)(void *context, const char *message);                      /* for people; may be NULL */
} dipp_worker_options;

/* Claims the run and works on it. DIPP_OK: completed. DIPP_E_INTERRUPTED: its state is saved and it is queued again.
 * DIPP_E_BUSY: another process has it. Anything else: it failed, which is recorded where the database still takes it.
 * A run whose configuration, seed, back-end and threads are the same gives the same bits, interrupted or not. */
dipp_status dipp_run_work(const dipp_worker_options *options, dipp_error *error);

#endif
