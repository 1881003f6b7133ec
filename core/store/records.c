/* What a run measures and leaves: metrics by step, prompts, evaluations, set metrics, files, events. */
#include "store/store_internal.h"

#include "base/memory.h"

#include <string.h>

dipp_status dipp_store_metric_define(dipp_store *store, const char *name, int direction, const char *split,
                                     const char *unit, const char *description, dipp_error *error)
{
    dipp_status status = dipp_store_begin(store, error);
    if (status != DIPP_OK)
        return status;
    status = dipp_store_do(store, "define a metric", error,
                           "INSERT INTO metric_names(name, direction, split, unit, description) VALUES(?,?,?,?,?) ON "
                           "CONFLICT(name) DO UPDATE SET direction=excluded.direction, split=excluded.split, "
                           "unit=excluded.unit, description=excluded.description",
                           "tdttt", name, direction, split, unit, description);
    return dipp_store_end(store, status, error);
}

dipp_status dipp_store_metric_id(dipp_store *store, const char *name, int64_t *metric_id, dipp_error *error)
{
    const char *what = "look up a metric";
    bool found;
    if (!name || !*name)
        return dipp_fail(error, DIPP_E_INVALID, "record metrics: a metric has no name");
    for (size_t i = 0; i < store->metric_count; i++) {
        if (strcmp(store->metric_names[i].text, name) == 0) {
            *metric_id = store->metric_names[i].id;
            return DIPP_OK;
        }
    }
    dipp_status status = dipp_store_integer(store, what, error, metric_id, &found,
                                            "SELECT metric_id FROM metric_names WHERE name=?", "t", name);
    if (status == DIPP_OK && !found)
        status = dipp_store_integer(store, what, error, metric_id, NULL,
                                    "INSERT INTO metric_names(name) VALUES(?) RETURNING metric_id", "t", name);
    if (status != DIPP_OK)
        return status;
    char *copy = dipp_string_copy(name);
    if (!copy || !dipp_grow((void **)&store->metric_names, &store->metric_capacity, store->metric_count + 1,
                            sizeof *store->metric_names)) {
        dipp_release(copy);
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for the metric name %s", name);
    }
    store->metric_names[store->metric_count++] = (dipp_store_name){copy, *metric_id};
    return DIPP_OK;
}

dipp_status dipp_store_metrics_put(dipp_store *store, int64_t run_id, int64_t attempt, const dipp_metric_point *points,
                                   size_t count, dipp_error *error)
{
    const char *what = "record metrics";
    sqlite3_stmt *statement = NULL;
    int64_t now = dipp_store_now(), metric_id;
    bool row;
    dipp_status status = dipp_store_begin(store, error);
    if (status != DIPP_OK)
        return status;
    status = dipp_store_prepare(store, &statement, what,
                                "INSERT INTO metrics(run_id, metric_id, step, value, kind, ts, attempt) "
                                "VALUES(?,?,?,?,?,?,?) ON CONFLICT DO UPDATE SET value=excluded.value, "
                                "kind=excluded.kind, ts=excluded.ts, attempt=excluded.attempt",
                                error);
    for (size_t i = 0; status == DIPP_OK && i < count; i++) {
        status = dipp_store_metric_id(store, points[i].name, &metric_id, error);
        if (status == DIPP_OK)
            status = dipp_store_bind(store, statement, what, error, "iiirtii", run_id, metric_id, points[i].step,
                                     points[i].value, dipp_store_kind(points[i].value), now, attempt);
        if (status == DIPP_OK)
            status = dipp_store_step(store, statement, what, &row, error);
    }
    sqlite3_finalize(statement);
    return dipp_store_end(store, status, error);
}

/* ---- prompts and evaluations ---- */

dipp_status dipp_store_prompt_set_put(dipp_store *store, const char *name, const char *sha256,
                                      const dipp_prompt_record *prompts, size_t count, int64_t *prompt_set_id,
                                      dipp_error *error)
{
    const char *what = "record a prompt set";
    sqlite3_stmt *statement = NULL;
    int64_t id = 0;
    bool found = false, row;
    dipp_status status = dipp_store_begin(store, error);
    if (status != DIPP_OK)
        return status;
    status = dipp_store_integer(store, what, error, &id, &found, "SELECT prompt_set_id FROM prompt_sets WHERE sha256=?",
                                "t", sha256);
    if (status == DIPP_OK && !found) {
        status = dipp_store_integer(store, what, error, &id, NULL,
                                    "INSERT INTO prompt_sets(name, sha256) VALUES(?,?) RETURNING prompt_set_id", "tt",
                                    name, sha256);
        if (status == DIPP_OK)
            status = dipp_store_prepare(
                store, &statement, what,
                "INSERT INTO prompts(prompt_set_id, idx, text, category, attributes_json) VALUES(?,?,?,?,?)", error);
        for (size_t i = 0; status == DIPP_OK && i < count; i++) {
            status = dipp_store_need_json(store, what, prompts[i].attributes_json, error);
            if (status == DIPP_OK)
                status = dipp_store_bind(store, statement, what, error, "iittt", id, (int64_t)i, prompts[i].text,
                                         prompts[i].category, prompts[i].attributes_json);
            if (status == DIPP_OK)
                status = dipp_store_step(store, statement, what, &row, error);
        }
        sqlite3_finalize(statement);
    }
    status = dipp_store_end(store, status, error);
    if (status == DIPP_OK)
        *prompt_set_id = id;
    return status;
}

dipp_status dipp_store_settings_put(dipp_store *store, const dipp_evaluation_settings *settings, int64_t *settings_id,
                                    dipp_error *error)
{
    const char *what = "record evaluation settings";
    const char *subject = settings->subject ? settings->subject : "generator";
    const char *weights = settings->weights ? settings->weights : "ema";
    const char *precision = settings->precision ? settings->precision : "f32";
    const char *kernel = settings->resize_kernel ? settings->resize_kernel : "none";
    int64_t id = 0;
    bool found = false;
    dipp_status status = dipp_store_begin(store, error);
    if (status != DIPP_OK)
        return status;
    status = dipp_store_integer(store, what, error, &id, &found,
                                "SELECT settings_id FROM evaluation_settings WHERE subject=? AND weights=? AND "
                                "sampler_steps=? AND cfg_omega=? AND precision=? AND resize_kernel=? AND images_seen=?",
                                "ttdrtti", subject, weights, settings->sampler_steps, settings->cfg_omega, precision,
                                kernel, settings->images_seen);
    if (status == DIPP_OK && !found)
        status =
            dipp_store_integer(store, what, error, &id, NULL,
                               "INSERT INTO evaluation_settings(subject, weights, sampler_steps, cfg_omega, "
                               "precision, resize_kernel, images_seen) VALUES(?,?,?,?,?,?,?) RETURNING settings_id",
                               "ttdrtti", subject, weights, settings->sampler_steps, settings->cfg_omega, precision,
                               kernel, settings->images_seen);
    status = dipp_store_end(store, status, error);
    if (status == DIPP_OK)
        *settings_id = id;
    return status;
}

dipp_status dipp_store_evaluations_put(dipp_store *store, int64_t run_id, int64_t step, int64_t settings_id,
                                       int64_t prompt_set_id, const dipp_evaluation_row *rows, size_t count,
                                       dipp_error *error)
{
    const char *what = "record evaluations";
    sqlite3_stmt *statement = NULL;
    int64_t metric_id;
    bool row;
    dipp_status status = dipp_store_begin(store, error);
    if (status != DIPP_OK)
        return status;
    status = dipp_store_prepare(
        store, &statement, what,
        "INSERT INTO evaluations(run_id, metric_id, step, settings_id, scorer_id, prompt_id, sample, noise_seed, "
        "value, "
        "kind, artifact_id) SELECT ?1, ?2, ?3, ?4, ?5, prompt_id, ?6, ?7, ?8, ?9, ?10 FROM prompts WHERE "
        "prompt_set_id=?11 AND idx=?12 ON CONFLICT DO UPDATE SET noise_seed=excluded.noise_seed, value=excluded.value, "
        "kind=excluded.kind, artifact_id=excluded.artifact_id RETURNING prompt_id",
        error);
    for (size_t i = 0; status == DIPP_OK && i < count; i++) {
        status = dipp_store_metric_id(store, rows[i].metric, &metric_id, error);
        if (status == DIPP_OK)
            status =
                dipp_store_bind(store, statement, what, error, "iiiiiiirtzii", run_id, metric_id, step, settings_id,
                                rows[i].scorer_id, rows[i].sample, (int64_t)rows[i].noise_seed, rows[i].value,
                                dipp_store_kind(rows[i].value), rows[i].artifact_id, prompt_set_id, rows[i].prompt);
        if (status == DIPP_OK)
            status = dipp_store_step(store, statement, what, &row, error);
        if (status != DIPP_OK)
            break;
        if (!row) {
            status = dipp_fail(error, DIPP_E_INVALID, "%s: prompt set %lld has no prompt %lld", what,
                               (long long)prompt_set_id, (long long)rows[i].prompt);
            break;
        }
        status = dipp_store_step(store, statement, what, &row, error); /* to its end */
    }
    sqlite3_finalize(statement);
    return dipp_store_end(store, status, error);
}

dipp_status dipp_store_set_metrics_put(dipp_store *store, int64_t run_id, int64_t step, int64_t settings_id,
                                       int64_t prompt_set_id, const dipp_set_metric_row *rows, size_t count,
                                       dipp_error *error)
{
    int64_t metric_id;
    dipp_status status = dipp_store_begin(store, error);
    if (status != DIPP_OK)
        return status;
    for (size_t i = 0; status == DIPP_OK && i < count; i++) {
        status = dipp_store_metric_id(store, rows[i].metric, &metric_id, error);
        if (status == DIPP_OK)
            status = dipp_store_do(
                store, "record set metrics", error,
                "INSERT INTO set_metrics(run_id, metric_id, step, settings_id, scorer_id, prompt_set_id, group_name, "
                "value, kind, samples) VALUES(?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO UPDATE SET value=excluded.value, "
                "kind=excluded.kind, samples=excluded.samples",
                "iiiiiitrti", run_id, metric_id, step, settings_id, rows[i].scorer_id, prompt_set_id,
                rows[i].group ? rows[i].group : "", rows[i].value, dipp_store_kind(rows[i].value), rows[i].samples);
    }
    return dipp_store_end(store, status, error);
}

dipp_status dipp_store_scores_remove(dipp_store *store, int64_t run_id, int64_t step, int64_t settings_id,
                                     int64_t prompt_set_id, const char *metric, int64_t scorer_id, dipp_error *error)
{
    const char *what = "forget scores";
    int64_t metric_id = 0;
    dipp_status status = dipp_store_begin(store, error);
    if (status != DIPP_OK)
        return status;
    status = dipp_store_metric_id(store, metric, &metric_id, error);
    if (status == DIPP_OK)
        status =
            dipp_store_do(store, what, error,
                          "DELETE FROM evaluations WHERE run_id=? AND metric_id=? AND step=? AND settings_id=? AND "
                          "scorer_id=? AND prompt_id IN (SELECT prompt_id FROM prompts WHERE prompt_set_id=?)",
                          "iiiiii", run_id, metric_id, step, settings_id, scorer_id, prompt_set_id);
    if (status == DIPP_OK)
        status =
            dipp_store_do(store, what, error,
                          "DELETE FROM set_metrics WHERE run_id=? AND metric_id=? AND step=? AND settings_id=? AND "
                          "scorer_id=? AND prompt_set_id=?",
                          "iiiiii", run_id, metric_id, step, settings_id, scorer_id, prompt_set_id);
    return dipp_store_end(store, status, error);
}

/* ---- files and events ---- */

dipp_status dipp_store_checkpoint_put(dipp_store *store, int64_t run_id, int64_t attempt,
                                      const dipp_file_record *checkpoint, dipp_error *error)
{
    dipp_status status = dipp_store_begin(store, error);
    if (status != DIPP_OK)
        return status;
    status = dipp_store_do(store, "record a checkpoint", error,
                           "INSERT INTO checkpoints(run_id, step, attempt, path, sha256, bytes, created_at) "
                           "VALUES(?,?,?,?,?,?,?) ON CONFLICT(run_id, step) DO UPDATE SET attempt=excluded.attempt, "
                           "path=excluded.path, sha256=excluded.sha256, bytes=excluded.bytes, "
                           "created_at=excluded.created_at",
                           "iiittii", run_id, checkpoint->step, attempt, checkpoint->path, checkpoint->sha256,
                           checkpoint->bytes, dipp_store_now());
    if (status == DIPP_OK) {
        dipp_weights_record weights = {.sha256 = checkpoint->sha256,
                                       .path = checkpoint->path,
                                       .bytes = checkpoint->bytes,
                                       .produced_by_run_id = run_id,
                                       .produced_at_step = checkpoint->step};
        status = dipp_store_weights_put(store, &weights, error);
    }
    return dipp_store_end(store, status, error);
}

dipp_status dipp_store_checkpoint_remove(dipp_store *store, int64_t run_id, int64_t step, dipp_error *error)
{
    dipp_status status = dipp_store_begin(store, error);
    if (status != DIPP_OK)
        return status;
    status = dipp_store_do(store, "forget a checkpoint", error, "DELETE FROM checkpoints WHERE run_id=? AND step=?",
                           "ii", run_id, step);
    return dipp_store_end(store, status, error);
}

dipp_status dipp_store_artifact_put(dipp_store *store, int64_t run_id, const dipp_file_record *artifact,
                                    int64_t *artifact_id, dipp_error *error)
{
    int64_t id = 0;
    dipp_status status = dipp_store_begin(store, error);
    if (status != DIPP_OK)
        return status;
    status = dipp_store_need_json(store, "record an artifact", artifact->meta_json, error);
    if (status == DIPP_OK)
        status = dipp_store_integer(
            store, "record an artifact", error, &id, NULL,
            "INSERT INTO artifacts(run_id, step, kind, path, sha256, bytes, meta_json, created_at) "
            "VALUES(?,nullif(?,-1),?,?,?,?,?,?) ON CONFLICT(run_id, path) DO UPDATE SET step=excluded.step, "
            "kind=excluded.kind, sha256=excluded.sha256, bytes=excluded.bytes, meta_json=excluded.meta_json, "
            "created_at=excluded.created_at RETURNING artifact_id",
            "iitttiti", run_id, artifact->step, artifact->kind, artifact->path, artifact->sha256, artifact->bytes,
            artifact->meta_json, dipp_store_now());
    status = dipp_store_end(store, status, error);
    if (status == DIPP_OK && artifact_id)
        *artifact_id = id;
    return status;
}

dipp_status dipp_store_event_put(dipp_store *store, int64_t run_id, int64_t attempt, int64_t step, const char *severity,
                                 const char *code, const char *message, dipp_error *error)
{
    dipp_status status = dipp_store_begin(store, error);
    if (status != DIPP_OK)
        return status;
    status = dipp_store_do(store, "record an event", error,
                           "INSERT INTO events(run_id, attempt, step, ts, severity, code, message) "
                           "VALUES(?,?,nullif(?,-1),?,?,?,?)",
                           "zziittt", run_id, attempt, step, dipp_store_now(), severity, code, message);
    return dipp_store_end(store, status, error);
}

dipp_status dipp_store_events_remove(dipp_store *store, int64_t run_id, const char *code, int64_t after_step,
                                     dipp_error *error)
{
    dipp_status status = dipp_store_begin(store, error);
    if (status != DIPP_OK)
        return status;
    status = dipp_store_do(store, "forget events", error, "DELETE FROM events WHERE run_id=? AND code=? AND step>?",
                           "iti", run_id, code, after_step);
    return dipp_store_end(store, status, error);
}
