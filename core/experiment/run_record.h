/* The worker's side of the store: metrics gathered and written about once a second, checkpoints with their rows, final
 * weights, events. One open attempt of one run. */
#ifndef DIPP_EXPERIMENT_RUN_RECORD_H
#define DIPP_EXPERIMENT_RUN_RECORD_H

#include "base/sha256.h"
#include "store/store.h"

typedef struct dipp_run_point {
    char name[80];
    int64_t step;
    double value;
} dipp_run_point;

typedef struct dipp_run_record {
    dipp_store *store; /* borrowed */
    int64_t run_id, attempt;
    char *root;   /* folder of the database; paths in rows are relative to it */
    char *prefix; /* NAME/runs/UUID, relative to root; NAME is the database's without .db */
    char *folder; /* root/prefix, made by open */
    dipp_run_point *points;
    size_t count, capacity;
    uint64_t flushed_ns;
} dipp_run_record;

/* "dir/NAME.db" -> "NAME": the folder beside the database for what its runs write; freed with dipp_release. */
char *dipp_run_store_folder(const char *database);

dipp_status dipp_run_record_open(dipp_store *store, int64_t run_id, const char *uuid, dipp_run_record *record,
                                 dipp_error *error);
void dipp_run_record_close(dipp_run_record *record);

/* Buffers a point. */
dipp_status dipp_run_record_point(dipp_run_record *record, int64_t step, const char *name, double value,
                                  dipp_error *error);
/* Writes what is buffered and the heartbeat: now, or when a second has passed since the last time. */
dipp_status dipp_run_record_flush(dipp_run_record *record, int64_t step, int64_t images_seen, bool now,
                                  dipp_error *error);
dipp_status dipp_run_record_event(dipp_run_record *record, int64_t step, const char *severity, const char *code,
                                  const char *message, dipp_error *error);

/* Whether the run has an event of this code at this step. */
dipp_status dipp_run_record_has_event(dipp_run_record *record, int64_t step, const char *code, bool *found,
                                      dipp_error *error);

/* PREFIX/name relative to the database's folder, and the same as a path to open; freed with dipp_release. */
char *dipp_run_record_relative(const dipp_run_record *record, const char *name);
char *dipp_run_record_path(const dipp_run_record *record, const char *name);

/* A finished file below the folder becomes an artifact row; sha256 and artifact_id may be NULL. */
dipp_status dipp_run_record_artifact(dipp_run_record *record, int64_t step, const char *kind, const char *name,
                                     const char *meta_json, char *sha256, int64_t *artifact_id, dipp_error *error);

/* A weight file below the folder: artifact of this kind, and weights made by this run from parent_sha256 (may be NULL). */
dipp_status dipp_run_record_weights(dipp_run_record *record, int64_t step, const char *kind, const char *name,
                                    const char *parent_sha256, dipp_error *error);

/* ---- Checkpoints ---- */

/* "checkpoint-00000120.safetensors"; returns out. */
enum { DIPP_CHECKPOINT_NAME_BYTES = 48 };
char *dipp_checkpoint_name(int64_t step, char out[DIPP_CHECKPOINT_NAME_BYTES]);

/* Adds the row of a file that has its name already, then forgets all but the newest two, rows before files. */
dipp_status dipp_run_record_checkpoint(dipp_run_record *record, int64_t step, const char *sha256, dipp_error *error);

/* The newest checkpoint whose file has the hash that its row says. *path (freed with dipp_release) is NULL when there is
 * none. Torn or missing ones are forgotten with an event each. */
dipp_status dipp_run_record_newest(dipp_run_record *record, char **path, int64_t *step, dipp_error *error);

/* Forgets one checkpoint, or all but the newest `keep`. */
dipp_status dipp_run_record_forget(dipp_run_record *record, int64_t step, const char *why, dipp_error *error);
dipp_status dipp_run_record_prune(dipp_run_record *record, size_t keep, dipp_error *error);

#endif
