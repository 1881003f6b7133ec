/* What an experiment asks for against what a database has: which cells are done, which will run, and why. */
#ifndef DIPP_EXPERIMENT_RUN_PLAN_H
#define DIPP_EXPERIMENT_RUN_PLAN_H

#include "experiment/run_key.h"
#include "store/store.h"

typedef enum dipp_cell_action {
    DIPP_CELL_RUN = 0,
    DIPP_CELL_DONE,     /* completed with the same key */
    DIPP_CELL_ELSEWHERE /* a living process works on it */
} dipp_cell_action;

typedef struct dipp_planned_cell {
    const dipp_cell *cell;
    char key[DIPP_SHA256_HEX_BYTES];
    dipp_cell_action action;
    char reason[256]; /* "new", "failed before: ...", "completed, 120 steps" */
    int64_t run_id;   /* 0: not in the database yet */
    char uuid[40];
    dipp_run_status status;
    size_t bytes; /* what the run will hold by its plan; 0 before dipp_run_plan_memory */
} dipp_planned_cell;

typedef struct dipp_run_plan {
    const dipp_experiment *experiment; /* borrowed */
    dipp_planned_cell *cells;
    size_t count, to_run, done, elsewhere;
} dipp_run_plan;

/* store NULL: there is no database yet. Reads only. rerun: completed cells run again. */
dipp_status dipp_run_plan_create(const dipp_experiment *experiment, dipp_plugins *plugins, dipp_store *store,
                                 bool rerun, dipp_run_plan **out, dipp_error *error);
void dipp_run_plan_destroy(dipp_run_plan **plan);

/* Sets every distinct configuration that will run up once, in a child process, to learn from the planner what memory a run
 * takes: parameter sets, activations, constants; not the program itself and the back-end's scratch. One whose set-up crashes
 * counts as 0: the run will say so. DIPP_E_MEMORY names a run that takes more than limit (bytes) alone. */
dipp_status dipp_run_plan_memory(dipp_run_plan *plan, dipp_plugins *plugins, size_t limit, dipp_error *error);

/* Adds the experiment with its text and every cell that will run, with all parameters and where each was set. */
dipp_status dipp_run_plan_register(dipp_run_plan *plan, dipp_store *store, const char *yaml_path,
                                   const char *const *overrides, size_t override_count, dipp_error *error);

/* The commit that this library was built from, with "-dirty" behind it where files had been changed; static. */
const char *dipp_build_commit(void);

#endif
