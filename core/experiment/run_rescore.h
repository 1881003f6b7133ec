/* Scoring a finished run again, with other metrics, samples or prompts than it was scored with. */
#ifndef DIPP_EXPERIMENT_RUN_RESCORE_H
#define DIPP_EXPERIMENT_RUN_RESCORE_H

#include "plugin/plugin_host.h"
#include "store/store.h"

#include <signal.h>

typedef struct dipp_rescore_request {
    int64_t run_id;
    const char *const *overrides; /* of evaluate.*: "evaluate.metrics=[glyph]" */
    size_t override_count;
    uint32_t threads; /* 0: as configured */
    const volatile sig_atomic_t *stop;
} dipp_rescore_request;

typedef struct dipp_rescore_report {
    int64_t step, samples; /* at which step, pictures or vectors scored */
} dipp_rescore_report;

/* Draws with the run's result, with what it started from, and with the multi-step reference, and stores the scores with the
 * run, at its last step and step 0, in place of those of the same metric, scorer, settings and prompt set; others stay. The run's own configuration keeps its key. Scores pair with those of
 * other runs only where noise and prompts are the same, so score the other arms again as well. DIPP_E_INVALID: the run is
 * not completed, or an override is not of evaluate.*. */
dipp_status dipp_run_rescore(dipp_store *store, const dipp_rescore_request *request, dipp_plugins *plugins,
                             dipp_rescore_report *report, dipp_error *error);

#endif
