/* One picture of an experiment for people: prompts down; reference, before alignment, and every arm across; the same
 * noise in each row. */
#ifndef DIPP_EXPERIMENT_RUN_GRID_H
#define DIPP_EXPERIMENT_RUN_GRID_H

#include "experiment/run_plan.h"

/* Draws NAME/grids/EXPERIMENT.png beside the database from pictures that completed runs kept (of each arm its first seed
 * in the plan), and records it with the first of these runs. *path (freed with dipp_release) is NULL when there are no
 * pictures. */
dipp_status dipp_run_grid(const dipp_run_plan *plan, dipp_store *store, char **path, dipp_error *error);

#endif
