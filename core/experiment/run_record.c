#include "experiment/run_record.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHECKPOINTS_LISTED = 64 };

char *dipp_run_store_folder(const char *database)
{
    char *name = dipp_string_copy(dipp_path_name(database));
    char *dot = name ? strrchr(name, '.') : NULL;
    if (dot && dot != name)
        *dot = 0;
    else if (name) { /* NAME alone is the database itself */
        dipp_text text = {0};
        dipp_text_printf(&text, "%s.files", name);
        dipp_release(name);
        name = dipp_text_finish(&text);
    }
    return name;
}

dipp_status dipp_run_record_open(dipp_store *store, int64_t run_id, const char *uuid, dipp_run_record *record,
                                 dipp_error *error)
{
    *record = (dipp_run_record){.store = store, .run_id = run_id, .flushed_ns = dipp_clock_monotonic_ns()};
    char *name = dipp_run_store_folder(dipp_store_path(store));
    dipp_text prefix = {0};
    dipp_text_printf(&prefix, "%s/runs/%s", name ? name : "", uuid);
    record->root = dipp_path_folder(dipp_store_path(store));
    record->prefix = dipp_text_finish(&prefix);
    record->folder = record->root && record->prefix ? dipp_path_join(record->root, record->prefix) : NULL;
    bool good = name && record->folder;
    dipp_release(name);
    if (!good) {
        dipp_run_record_close(record);
        return dipp_fail(error, DIPP_E_MEMORY, "no memory to record a run");
    }
    return dipp_make_directories(record->folder, error);
}

void dipp_run_record_close(dipp_run_record *record)
{
    dipp_release(record->root);
    dipp_release(record->prefix);
    dipp_release(record->folder);
    dipp_release(record->points);
    *record = (dipp_run_record){0};
}

/* ---- Metrics and events ---- */

dipp_status dipp_run_record_point(dipp_run_record *record, int64_t step, const char *name, double value,
                                  dipp_error *error)
{
    if (!dipp_grow((void **)&record->points, &record->capacity, record->count + 1, sizeof *record->points))
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for metrics");
    dipp_run_point *point = &record->points[record->count++];
    snprintf(point->name, sizeof point->name, "%s", name);
    point->step = step;
    point->value = value;
    return DIPP_OK;
}

dipp_status dipp_run_record_flush(dipp_run_record *record, int64_t step, int64_t images_seen, bool now,
                                  dipp_error *error)
{
    uint64_t clock = dipp_clock_monotonic_ns();
    if (!now && clock - record->flushed_ns < 1000000000u)
        return DIPP_OK;
    record->flushed_ns = clock;
    dipp_metric_point *points = dipp_allocate_zeroed(record->count + 1, sizeof *points);
    if (!points)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for metrics");
    for (size_t i = 0; i < record->count; i++)
        points[i] = (dipp_metric_point){record->points[i].name, record->points[i].step, record->points[i].value};
    dipp_status status = dipp_store_begin(record->store, error);
    if (status == DIPP_OK && record->count)
        status = dipp_store_metrics_put(record->store, record->run_id, record->attempt, points, record->count, error);
    if (status == DIPP_OK)
        status = dipp_store_heartbeat(record->store, record->run_id, step, images_seen, error);
    if (status == DIPP_OK)
        status = dipp_store_commit(record->store, error);
    else
        dipp_store_rollback(record->store);
    dipp_release(points);
    if (status == DIPP_OK)
        record->count = 0;
    return status;
}

dipp_status dipp_run_record_event(dipp_run_record *record, int64_t step, const char *severity, const char *code,
                                  const char *message, dipp_error *error)
{
    return dipp_store_event_put(record->store, record->run_id, record->attempt, step, severity, code, message, error);
}

/* ---- Files ---- */

static int found_row(void *user, int columns, const char *const *names, const char *const *values)
{
    *(bool *)user = true;
    return 1;
}

dipp_status dipp_run_record_has_event(dipp_run_record *record, int64_t step, const char *code, bool *found,
                                      dipp_error *error)
{
    char run[24], at[24];
    const char *binds[] = {run, at, code};
    snprintf(run, sizeof run, "%lld", (long long)record->run_id);
    snprintf(at, sizeof at, "%lld", (long long)step);
    *found = false;
    return dipp_store_query(record->store,
                            "SELECT 1 FROM events WHERE run_id=CAST(?1 AS INTEGER) AND step=CAST(?2 AS INTEGER) AND "
                            "code=?3 LIMIT 1",
                            binds, 3, found_row, found, error);
}

char *dipp_run_record_relative(const dipp_run_record *record, const char *name)
{
    return dipp_path_join(record->prefix, name);
}

char *dipp_run_record_path(const dipp_run_record *record, const char *name)
{
    return dipp_path_join(record->folder, name);
}

static dipp_status describe_file(const dipp_run_record *record, const char *name, char **relative, char *sha256,
                                 int64_t *bytes, dipp_error *error)
{
    struct stat information;
    char *path = dipp_run_record_path(record, name);
    *relative = dipp_run_record_relative(record, name);
    dipp_status status = path && *relative ? dipp_sha256_file(path, sha256, error)
                                           : dipp_fail(error, DIPP_E_MEMORY, "no memory to record %s", name);
    *bytes = status == DIPP_OK && stat(path, &information) == 0 ? (int64_t)information.st_size : 0;
    dipp_release(path);
    return status;
}

dipp_status dipp_run_record_artifact(dipp_run_record *record, int64_t step, const char *kind, const char *name,
                                     const char *meta_json, char *sha256, int64_t *artifact_id, dipp_error *error)
{
    char hash[DIPP_SHA256_HEX_BYTES];
    char *relative = NULL;
    int64_t bytes;
    dipp_status status = describe_file(record, name, &relative, hash, &bytes, error);
    dipp_file_record row = {
        .step = step, .kind = kind, .path = relative, .sha256 = hash, .bytes = bytes, .meta_json = meta_json};
    if (status == DIPP_OK)
        status = dipp_store_artifact_put(record->store, record->run_id, &row, artifact_id, error);
    if (status == DIPP_OK && sha256)
        memcpy(sha256, hash, sizeof hash);
    dipp_release(relative);
    return status;
}

dipp_status dipp_run_record_weights(dipp_run_record *record, int64_t step, const char *kind, const char *name,
                                    const char *parent_sha256, dipp_error *error)
{
    char hash[DIPP_SHA256_HEX_BYTES];
    char *relative = NULL;
    int64_t bytes;
    dipp_status status = describe_file(record, name, &relative, hash, &bytes, error);
    dipp_weights_record row = {.sha256 = hash,
                               .path = relative,
                               .bytes = bytes,
                               .produced_by_run_id = record->run_id,
                               .produced_at_step = step,
                               .parent_sha256 = parent_sha256};
    if (status == DIPP_OK)
        status = dipp_store_weights_put(record->store, &row, error);
    if (status == DIPP_OK)
        status = dipp_run_record_artifact(record, step, kind, name, NULL, NULL, NULL, error);
    dipp_release(relative);
    return status;
}

/* ---- Checkpoints ---- */

char *dipp_checkpoint_name(int64_t step, char out[DIPP_CHECKPOINT_NAME_BYTES])
{
    snprintf(out, DIPP_CHECKPOINT_NAME_BYTES, "checkpoint-%08lld.safetensors", (long long)step);
    return out;
}

typedef struct checkpoint_list {
    struct {
        int64_t step;
        char *path; /* relative to the root */
        char sha256[DIPP_SHA256_HEX_BYTES];
    } rows[CHECKPOINTS_LISTED];
    size_t count;
    bool failed;
} checkpoint_list;

static int list_checkpoint(void *user, const dipp_file_record *file)
{
    checkpoint_list *list = user;
    if (list->count == CHECKPOINTS_LISTED)
        return 1;
    list->rows[list->count].step = file->step;
    snprintf(list->rows[list->count].sha256, DIPP_SHA256_HEX_BYTES, "%s", file->sha256);
    list->failed |= !(list->rows[list->count++].path = dipp_string_copy(file->path));
    return 0;
}

static void clear_list(checkpoint_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        dipp_release(list->rows[i].path);
}

static dipp_status list_checkpoints(dipp_run_record *record, checkpoint_list *list, dipp_error *error)
{
    *list = (checkpoint_list){.count = 0};
    dipp_status status = dipp_store_each_checkpoint(record->store, record->run_id, list_checkpoint, list, error);
    if (status == DIPP_OK && list->failed)
        status = dipp_fail(error, DIPP_E_MEMORY, "no memory for the list of checkpoints");
    return status;
}

/* The row goes first: a row without its file would be taken for a torn checkpoint. */
static dipp_status remove_checkpoint(dipp_run_record *record, int64_t step, const char *relative, dipp_error *error)
{
    dipp_status status = dipp_store_checkpoint_remove(record->store, record->run_id, step, error);
    char *path = dipp_path_join(record->root, relative);
    if (status == DIPP_OK && path)
        unlink(path); /* one that is gone already is fine */
    dipp_release(path);
    return status;
}

dipp_status dipp_run_record_prune(dipp_run_record *record, size_t keep, dipp_error *error)
{
    checkpoint_list list;
    dipp_status status = list_checkpoints(record, &list, error);
    for (size_t i = keep; i < list.count && status == DIPP_OK; i++)
        status = remove_checkpoint(record, list.rows[i].step, list.rows[i].path, error);
    clear_list(&list);
    return status;
}

dipp_status dipp_run_record_forget(dipp_run_record *record, int64_t step, const char *why, dipp_error *error)
{
    char name[DIPP_CHECKPOINT_NAME_BYTES], message[2 * DIPP_ERROR_MESSAGE_BYTES];
    char *relative = dipp_run_record_relative(record, dipp_checkpoint_name(step, name));
    if (!relative)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory to forget a checkpoint");
    snprintf(message, sizeof message, "the checkpoint of step %lld is of no use and was left out: %s", (long long)step,
             why);
    dipp_status status = dipp_run_record_event(record, step, "warning", "checkpoint.torn", message, error);
    if (status == DIPP_OK)
        status = remove_checkpoint(record, step, relative, error);
    dipp_release(relative);
    return status;
}

dipp_status dipp_run_record_checkpoint(dipp_run_record *record, int64_t step, const char *sha256, dipp_error *error)
{
    char name[DIPP_CHECKPOINT_NAME_BYTES];
    struct stat information;
    char *path = dipp_run_record_path(record, dipp_checkpoint_name(step, name));
    char *relative = dipp_run_record_relative(record, name);
    dipp_status status = DIPP_OK;
    if (!path || !relative)
        status = dipp_fail(error, DIPP_E_MEMORY, "no memory to record a checkpoint");
    else if (stat(path, &information) != 0)
        status = dipp_fail(error, DIPP_E_IO, "the checkpoint %s is not there after it was written", path);
    if (status == DIPP_OK) {
        dipp_file_record row = {
            .step = step, .path = relative, .sha256 = sha256, .bytes = (int64_t)information.st_size};
        status = dipp_store_checkpoint_put(record->store, record->run_id, record->attempt, &row, error);
    }
    dipp_release(path);
    dipp_release(relative);
    return status == DIPP_OK ? dipp_run_record_prune(record, 2, error) : status;
}

dipp_status dipp_run_record_newest(dipp_run_record *record, char **path, int64_t *step, dipp_error *error)
{
    checkpoint_list list;
    dipp_status status = list_checkpoints(record, &list, error);
    *path = NULL;
    *step = 0;
    for (size_t i = 0; i < list.count && status == DIPP_OK && !*path; i++) {
        char hash[DIPP_SHA256_HEX_BYTES];
        dipp_error torn;
        char *file = dipp_path_join(record->root, list.rows[i].path);
        if (!file) {
            status = dipp_fail(error, DIPP_E_MEMORY, "no memory for a checkpoint's path");
        } else if (dipp_sha256_file(file, hash, &torn) == DIPP_OK && !strcmp(hash, list.rows[i].sha256)) {
            *path = file;
            *step = list.rows[i].step;
            file = NULL;
        } else {
            const char *why = dipp_path_exists(file) ? "its content is not what was written" : "the file is gone";
            status = dipp_run_record_forget(record, list.rows[i].step, why, error);
        }
        dipp_release(file);
    }
    clear_list(&list);
    return status;
}
