/* What lies beside a database and is not needed any more. */
#ifndef DIPP_EXPERIMENT_RUN_GARBAGE_H
#define DIPP_EXPERIMENT_RUN_GARBAGE_H

#include "store/store.h"

typedef enum dipp_garbage_kind {
    DIPP_GARBAGE_FOLDER = 0, /* of a run that the database does not know */
    DIPP_GARBAGE_CHECKPOINT, /* of a completed run, or without a row */
    DIPP_GARBAGE_CACHE       /* samples of references: drawn again when wanted */
} dipp_garbage_kind;

typedef struct dipp_garbage_item {
    dipp_garbage_kind kind;
    char *path; /* relative to the database's folder */
    int64_t bytes;
    int64_t run_id, step; /* of a checkpoint with a row; 0 and -1: none */
} dipp_garbage_item;

typedef struct dipp_garbage {
    dipp_garbage_item *items;
    size_t count, capacity;
    int64_t bytes;
} dipp_garbage;

/* Looks and deletes nothing. Only NAME/runs and NAME/cache beside NAME.db are looked at, never what a link leads to;
 * nothing of a run that is queued, running or may go on is listed, and no cache while a run is running. The caller
 * clears. */
dipp_status dipp_garbage_find(dipp_store *store, dipp_garbage *garbage, dipp_error *error);

/* Deletes what was found, rows before files. The store must be open for writing. */
dipp_status dipp_garbage_delete(dipp_store *store, const dipp_garbage *garbage, dipp_error *error);

void dipp_garbage_clear(dipp_garbage *garbage);

#endif
