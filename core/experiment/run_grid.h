/* One picture of an experiment for people: prompts down; reference, before alignment, and every arm across; the same
 * noise in each row. At most 64 prompts and 8 pictures of each; what else was kept is in the store. */
#ifndef DIPP_EXPERIMENT_RUN_GRID_H
#define DIPP_EXPERIMENT_RUN_GRID_H

#include "experiment/run_plan.h"

/* Draws NAME/grids/EXPERIMENT.png beside the database from pictures that completed runs kept (of each arm its first seed
 * in the plan), and records it with the first of these runs. *path (freed with dipp_release) is NULL when there are no
 * pictures. */
dipp_status dipp_run_grid(const dipp_run_plan *plan, dipp_store *store, char **path, dipp_error *error);

typedef struct dipp_grid_request {
    const char *experiment;
    const char *path;     /* NULL: NAME/grids/EXPERIMENT.png beside the database, -blind.png for a blind one */
    bool blind;           /* the columns of every row are shuffled and called A, B, ... */
    const char *key;      /* blind: the file that tells which is which, lines ROW LETTER ARM RUN PROMPT between tabs */
    uint64_t random_seed; /* blind: of the shuffling; the same seed gives the same order */
} dipp_grid_request;

/* The same of an experiment by name, from the pictures that its completed runs kept: of every arm and configuration the
 * run of the smallest seed. A grid that is neither blind nor at a path of its own is recorded. *path as above.
 * DIPP_E_NOT_FOUND: no such experiment, or no pictures. */
dipp_status dipp_run_grid_again(dipp_store *store, const dipp_grid_request *request, char **path, dipp_error *error);

#endif
