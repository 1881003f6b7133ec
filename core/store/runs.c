/* What a run is: experiments and their revisions, cells, parameters, plugins, scorers, weights. */
#include "store/store_internal.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

static dipp_status need_text(const char *value, const char *what, const char *field, dipp_error *error)
{
    if (value && *value)
        return DIPP_OK;
    return dipp_fail(error, DIPP_E_INVALID, "%s: %s is missing", what, field);
}

static dipp_status need_sha256(const char *value, const char *what, const char *field, dipp_error *error)
{
    if (value && strlen(value) == 64 && strspn(value, "0123456789abcdef") == 64)
        return DIPP_OK;
    return dipp_fail(error, DIPP_E_INVALID, "%s: %s must be 64 lower-case hexadecimal digits, found \"%.80s\"", what,
                     field, value ? value : "");
}

dipp_status dipp_store_experiment_put(dipp_store *store, const char *name, const char *yaml, const char *yaml_sha256,
                                      const char *baseline, dipp_store_experiment *out, dipp_error *error)
{
    const char *what = "record the experiment";
    dipp_status status = need_text(name, what, "its name", error);
    if (status == DIPP_OK)
        status = need_text(yaml, what, "its YAML text", error);
    if (status == DIPP_OK)
        status = need_sha256(yaml_sha256, what, "the YAML's sha256", error);
    if (status == DIPP_OK)
        status = dipp_store_begin(store, error);
    if (status != DIPP_OK)
        return status;
    dipp_store_experiment made = {0};
    bool known = false, same = false;
    status = dipp_store_integer(store, what, error, &made.experiment_id, &known,
                                "SELECT experiment_id FROM experiments WHERE name=?", "t", name);
    made.created = !known;
    if (status == DIPP_OK && !known)
        status = dipp_store_integer(
            store, what, error, &made.experiment_id, NULL,
            "INSERT INTO experiments(name, baseline, created_at) VALUES(?,?,?) RETURNING experiment_id", "tti", name,
            baseline, dipp_store_now());
    if (status == DIPP_OK && known && baseline)
        status = dipp_store_do(store, what, error, "UPDATE experiments SET baseline=? WHERE experiment_id=?", "ti",
                               baseline, made.experiment_id);
    if (status == DIPP_OK)
        status = dipp_store_integer(store, what, error, &made.revision, &same,
                                    "SELECT revision FROM experiment_revisions WHERE experiment_id=? AND yaml_sha256=?",
                                    "it", made.experiment_id, yaml_sha256);
    made.revised = known && !same;
    if (status == DIPP_OK && !same)
        status = dipp_store_integer(store, what, error, &made.revision, NULL,
                                    "INSERT INTO experiment_revisions SELECT ?1, ifnull(max(revision),0)+1, ?2, ?3, ?4 "
                                    "FROM experiment_revisions WHERE experiment_id=?1 RETURNING revision",
                                    "itti", made.experiment_id, yaml, yaml_sha256, dipp_store_now());
    status = dipp_store_end(store, status, error);
    if (status == DIPP_OK)
        *out = made;
    return status;
}

static dipp_status make_uuid(char text[37], dipp_error *error)
{
    unsigned char b[16];
    if (getrandom(b, sizeof b, 0) != (ssize_t)sizeof b)
        return dipp_fail(error, DIPP_E_IO, "no random bytes for a run's identity: %s", strerror(errno));
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40); /* RFC 4122, version 4 */
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    snprintf(text, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1], b[2], b[3],
             b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
    return DIPP_OK;
}

/* Reads the cell, if it is there. */
static dipp_status find_cell(dipp_store *store, const dipp_run_spec *spec, dipp_run_ref *out, bool *found,
                             dipp_error *error)
{
    const char *what = "look up the run";
    sqlite3_stmt *statement;
    dipp_status status = dipp_store_prepare(store, &statement, what,
                                            "SELECT run_id, run_uuid, " DIPP_STORE_STATUS_NUMBER " FROM runs r WHERE "
                                            "experiment_id=? AND arm=? AND seed=? AND config_sha256=?",
                                            error);
    if (status == DIPP_OK)
        status = dipp_store_bind(store, statement, what, error, "itit", spec->experiment_id, spec->arm, spec->seed,
                                 spec->config_sha256);
    if (status == DIPP_OK)
        status = dipp_store_step(store, statement, what, found, error);
    if (status == DIPP_OK && *found) {
        out->run_id = sqlite3_column_int64(statement, 0);
        snprintf(out->run_uuid, sizeof out->run_uuid, "%s", dipp_store_text(statement, 1));
        out->status = (dipp_run_status)sqlite3_column_int(statement, 2);
    }
    sqlite3_finalize(statement);
    return status;
}

dipp_status dipp_store_run_create(dipp_store *store, const dipp_run_spec *spec, dipp_run_ref *out, dipp_error *error)
{
    const char *what = "record the run";
    dipp_run_ref made = {0};
    bool found = false;
    char uuid[37], name[512];
    dipp_status status = need_text(spec->arm, what, "its arm", error);
    if (status == DIPP_OK)
        status = need_sha256(spec->config_sha256, what, "the configuration's sha256", error);
    if (status == DIPP_OK)
        status = make_uuid(uuid, error);
    if (status == DIPP_OK)
        status = dipp_store_begin(store, error);
    if (status != DIPP_OK)
        return status;
    status = dipp_store_need_json(store, what, spec->config_json, error);
    if (status == DIPP_OK)
        status = dipp_store_need_json(store, what, spec->overrides_json, error);
    if (status == DIPP_OK)
        status = find_cell(store, spec, &made, &found, error);
    if (status == DIPP_OK && !found) {
        const char *chosen = spec->name;
        if (!chosen) {
            sqlite3_stmt *statement;
            bool row = false;
            status = dipp_store_prepare(store, &statement, what, "SELECT name FROM experiments WHERE experiment_id=?",
                                        error);
            if (status == DIPP_OK)
                status = dipp_store_bind(store, statement, what, error, "i", spec->experiment_id);
            if (status == DIPP_OK)
                status = dipp_store_step(store, statement, what, &row, error);
            snprintf(name, sizeof name, "%s/%s/%lld", row ? dipp_store_text(statement, 0) : "?", spec->arm,
                     (long long)spec->seed);
            sqlite3_finalize(statement);
            chosen = name;
        }
        if (status == DIPP_OK)
            status = dipp_store_integer(
                store, what, error, &made.run_id, NULL,
                "INSERT INTO runs(run_uuid, experiment_id, revision, name, stage, arm, seed, config_sha256, "
                "config_json, "
                "overrides_json, parent_run_id, status, created_at, slurm_job, code_commit, code_dirty) "
                "VALUES(?,?,?,?,?,?,?,?,?,?,?,'queued',?,?,?,?) RETURNING run_id",
                "tiitttitttzittd", uuid, spec->experiment_id, spec->revision, chosen,
                spec->stage ? spec->stage : "align", spec->arm, spec->seed, spec->config_sha256,
                spec->config_json ? spec->config_json : "{}", spec->overrides_json ? spec->overrides_json : "[]",
                spec->parent_run_id, dipp_store_now(), spec->slurm_job, spec->code_commit, (int)spec->code_dirty);
        made.status = DIPP_RUN_QUEUED;
        made.created = true;
        memcpy(made.run_uuid, uuid, sizeof made.run_uuid);
    }
    status = dipp_store_end(store, status, error);
    if (status == DIPP_OK)
        *out = made;
    return status;
}

static dipp_status put_param(dipp_store *store, sqlite3_stmt *statement, int64_t run_id, const dipp_run_param *param,
                             dipp_error *error)
{
    static const char *const types[] = {"int", "real", "bool", "text", "null", "json"};
    static const char *const sources[] = {"default", "file", "override", "sweep"};
    const char *what = "record a parameter";
    bool row;
    if ((unsigned)param->type > DIPP_STORE_JSON || (unsigned)param->source > DIPP_SOURCE_SWEEP)
        return dipp_fail(error, DIPP_E_INVALID, "%s: %s has type %d and source %d, known are 0 to 5 and 0 to 3", what,
                         param->key, (int)param->type, (int)param->source);
    if (param->type == DIPP_STORE_REAL && !isfinite(param->real))
        return dipp_fail(error, DIPP_E_INVALID, "%s: %s must be a finite number", what, param->key);
    dipp_status status = dipp_store_bind(store, statement, what, error, "itttt", run_id, param->key, types[param->type],
                                         sources[param->source], param->origin);
    if (status == DIPP_OK && param->type == DIPP_STORE_JSON)
        status = dipp_store_need_json(store, what, param->text, error);
    if (status != DIPP_OK)
        return status;
    int result = SQLITE_OK;
    switch (param->type) {
    case DIPP_STORE_INT: result = sqlite3_bind_int64(statement, 6, param->integer); break;
    case DIPP_STORE_BOOL: result = sqlite3_bind_int(statement, 6, param->integer != 0); break;
    case DIPP_STORE_REAL: result = sqlite3_bind_double(statement, 6, param->real); break;
    case DIPP_STORE_NULL: result = sqlite3_bind_null(statement, 6); break;
    case DIPP_STORE_TEXT:
    case DIPP_STORE_JSON: result = sqlite3_bind_text(statement, 6, param->text, -1, SQLITE_TRANSIENT); break;
    }
    if (result != SQLITE_OK)
        return dipp_store_sql_error(store, result, what, error);
    return dipp_store_step(store, statement, what, &row, error);
}

dipp_status dipp_store_params_put(dipp_store *store, int64_t run_id, const dipp_run_param *params, size_t count,
                                  dipp_error *error)
{
    sqlite3_stmt *statement = NULL;
    dipp_status status = dipp_store_begin(store, error);
    if (status != DIPP_OK)
        return status;
    status = dipp_store_prepare(
        store, &statement, "record parameters",
        "INSERT INTO params(run_id, key, type, source, origin, value) VALUES(?,?,?,?,?,?) ON CONFLICT DO UPDATE SET "
        "type=excluded.type, value=excluded.value, source=excluded.source, origin=excluded.origin",
        error);
    for (size_t i = 0; status == DIPP_OK && i < count; i++)
        status = put_param(store, statement, run_id, &params[i], error);
    sqlite3_finalize(statement);
    return dipp_store_end(store, status, error);
}

/* ---- plugins, scorers, weights ---- */

/* Finds or adds inside the caller's transaction: looks first, so that repeats do not use up ids. */
static dipp_status plugin_id(dipp_store *store, const dipp_plugin_record *plugin, int64_t *id, dipp_error *error)
{
    const char *what = "record a plugin";
    const char *sha256 = plugin->sha256 ? plugin->sha256 : "";
    const char *weights = plugin->weights_sha256 ? plugin->weights_sha256 : "";
    bool found;
    dipp_status status = dipp_store_integer(
        store, what, error, id, &found,
        "SELECT plugin_id FROM plugins WHERE kind=? AND name=? AND version=? AND sha256=? AND weights_sha256=?",
        "ttttt", plugin->kind, plugin->name, plugin->version, sha256, weights);
    if (status == DIPP_OK && !found)
        status = dipp_store_need_json(store, what, plugin->schema_json, error);
    if (status != DIPP_OK || found)
        return status;
    return dipp_store_integer(
        store, what, error, id, NULL,
        "INSERT INTO plugins(kind, name, version, abi, sha256, weights_sha256, path, schema_json) "
        "VALUES(?,?,?,?,?,?,?,?) RETURNING plugin_id",
        "tttdtttt", plugin->kind, plugin->name, plugin->version, plugin->abi, sha256, weights, plugin->path,
        plugin->schema_json);
}

dipp_status dipp_store_plugin_put(dipp_store *store, const dipp_plugin_record *plugin, int64_t *id, dipp_error *error)
{
    int64_t found = 0;
    dipp_status status = dipp_store_begin(store, error);
    if (status != DIPP_OK)
        return status;
    status = dipp_store_end(store, plugin_id(store, plugin, &found, error), error);
    if (status == DIPP_OK)
        *id = found;
    return status;
}

dipp_status dipp_store_scorer_put(dipp_store *store, const dipp_plugin_record *plugin, const char *config_json,
                                  int64_t *scorer_id, dipp_error *error)
{
    const char *what = "record a scorer";
    const char *config = config_json ? config_json : "{}";
    int64_t owner, id = 0;
    bool found = false;
    dipp_status status = dipp_store_begin(store, error);
    if (status != DIPP_OK)
        return status;
    status = plugin_id(store, plugin, &owner, error);
    if (status == DIPP_OK)
        status = dipp_store_need_json(store, what, config, error);
    if (status == DIPP_OK)
        status = dipp_store_integer(store, what, error, &id, &found,
                                    "SELECT scorer_id FROM scorers WHERE plugin_id=? AND config_json=?", "it", owner,
                                    config);
    if (status == DIPP_OK && !found)
        status = dipp_store_integer(store, what, error, &id, NULL,
                                    "INSERT INTO scorers(plugin_id, config_json) VALUES(?,?) RETURNING scorer_id", "it",
                                    owner, config);
    status = dipp_store_end(store, status, error);
    if (status == DIPP_OK)
        *scorer_id = id;
    return status;
}

dipp_status dipp_store_run_plugins_put(dipp_store *store, int64_t run_id, const dipp_run_plugin *plugins, size_t count,
                                       dipp_error *error)
{
    dipp_status status = dipp_store_begin(store, error);
    if (status != DIPP_OK)
        return status;
    for (size_t i = 0; status == DIPP_OK && i < count; i++) {
        bool reward = plugins[i].role && strcmp(plugins[i].role, "reward") == 0;
        status = dipp_store_do(store, "record a run's plugin", error,
                               "INSERT INTO run_plugins(run_id, role, position, plugin_id, metric, scale) "
                               "VALUES(?,?,?,?,?,?) ON CONFLICT DO "
                               "UPDATE SET plugin_id=excluded.plugin_id, metric=excluded.metric, scale=excluded.scale",
                               "itditr", run_id, plugins[i].role, plugins[i].position, plugins[i].plugin_id,
                               plugins[i].metric, reward ? plugins[i].scale : (double)NAN);
    }
    return dipp_store_end(store, status, error);
}

dipp_status dipp_store_weights_put(dipp_store *store, const dipp_weights_record *weights, dipp_error *error)
{
    dipp_status status = need_sha256(weights->sha256, "record weights", "their sha256", error);
    if (status == DIPP_OK)
        status = dipp_store_begin(store, error);
    if (status != DIPP_OK)
        return status;
    status = dipp_store_do(store, "record weights", error,
                           "INSERT INTO weights(sha256, path, bytes, produced_by_run_id, produced_at_step, "
                           "parent_sha256, created_at) VALUES(?,?,?,?,iif(?4 IS NULL, NULL, ?5),?,?) ON CONFLICT DO "
                           "UPDATE SET path=excluded.path, "
                           "produced_by_run_id=ifnull(produced_by_run_id, excluded.produced_by_run_id), "
                           "produced_at_step=ifnull(produced_at_step, excluded.produced_at_step), "
                           "parent_sha256=ifnull(parent_sha256, excluded.parent_sha256)",
                           "ttiziti", weights->sha256, weights->path, weights->bytes, weights->produced_by_run_id,
                           weights->produced_at_step, weights->parent_sha256, dipp_store_now());
    return dipp_store_end(store, status, error);
}

dipp_status dipp_store_run_weights_put(dipp_store *store, int64_t run_id, const char *role, const char *sha256,
                                       dipp_error *error)
{
    dipp_status status = dipp_store_begin(store, error);
    if (status != DIPP_OK)
        return status;
    status = dipp_store_do(store, "record what a run starts from", error,
                           "INSERT INTO run_weights(run_id, role, sha256) VALUES(?,?,?) ON CONFLICT DO UPDATE SET "
                           "sha256=excluded.sha256",
                           "itt", run_id, role, sha256);
    return dipp_store_end(store, status, error);
}
