/* Reading the store: runs, parameters, metrics, attempts, checkpoints, and any SELECT. */
#include "store/store_internal.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int64_t integer_or(sqlite3_stmt *statement, int column, int64_t absent)
{
    return sqlite3_column_type(statement, column) == SQLITE_NULL ? absent : sqlite3_column_int64(statement, column);
}

dipp_status dipp_store_each_run(dipp_store *store, const dipp_run_filter *filter, dipp_store_run_fn each, void *user,
                                dipp_error *error)
{
    static const dipp_run_filter all = {0};
    const char *what = "list runs";
    sqlite3_stmt *statement;
    bool more = false;
    if (!filter)
        filter = &all;
    dipp_status status = dipp_store_prepare(
        store, &statement, what,
        "SELECT r.run_id, r.experiment_id, r.seed, r.step, r.images_seen, r.parent_run_id, "
        "(SELECT count(*) FROM attempts a WHERE a.run_id=r.run_id), "
        "(SELECT count(*) FROM events v WHERE v.run_id=r.run_id AND v.severity<>'info'), r.run_uuid, x.name, r.name, "
        "r.stage, r.arm, r.config_sha256, r.config_json, " DIPP_STORE_STATUS_NUMBER
        ", r.created_at, r.started_at, r.ended_at, r.heartbeat_at, r.exit_code, r.term_signal, r.error, r.host, r.pid, "
        "r.pid_start, (SELECT min(v.step) FROM events v WHERE v.run_id=r.run_id AND v.code='monitor.alarm') FROM runs "
        "r JOIN experiments x USING(experiment_id) WHERE (?1 IS NULL OR r.run_id=?1) AND (?2 IS "
        "NULL OR x.name=?2) AND (?3 IS NULL OR r.arm=?3) AND (?4=0 OR (?4>>(" DIPP_STORE_STATUS_NUMBER
        ")) & 1) ORDER BY r.run_id",
        error);
    if (status == DIPP_OK)
        status = dipp_store_bind(store, statement, what, error, "ztti", filter->run_id, filter->experiment, filter->arm,
                                 (int64_t)filter->statuses);
    while (status == DIPP_OK && (status = dipp_store_step(store, statement, what, &more, error)) == DIPP_OK && more) {
        dipp_run_row row = {.run_id = sqlite3_column_int64(statement, 0),
                            .experiment_id = sqlite3_column_int64(statement, 1),
                            .seed = sqlite3_column_int64(statement, 2),
                            .step = sqlite3_column_int64(statement, 3),
                            .images_seen = sqlite3_column_int64(statement, 4),
                            .parent_run_id = sqlite3_column_int64(statement, 5),
                            .attempts = sqlite3_column_int64(statement, 6),
                            .warnings = sqlite3_column_int64(statement, 7),
                            .run_uuid = dipp_store_text(statement, 8),
                            .experiment = dipp_store_text(statement, 9),
                            .name = dipp_store_text(statement, 10),
                            .stage = dipp_store_text(statement, 11),
                            .arm = dipp_store_text(statement, 12),
                            .config_sha256 = dipp_store_text(statement, 13),
                            .config_json = dipp_store_text(statement, 14),
                            .status = (dipp_run_status)sqlite3_column_int(statement, 15),
                            .created_at = sqlite3_column_int64(statement, 16),
                            .started_at = sqlite3_column_int64(statement, 17),
                            .ended_at = sqlite3_column_int64(statement, 18),
                            .heartbeat_at = sqlite3_column_int64(statement, 19),
                            .exit_code = (int)integer_or(statement, 20, -1),
                            .term_signal = (int)integer_or(statement, 21, -1),
                            .error = dipp_store_text(statement, 22),
                            .alarm_step = integer_or(statement, 26, -1)};
        const char *host = dipp_store_text(statement, 23);
        snprintf(row.process.host, sizeof row.process.host, "%s", host ? host : "");
        row.process.pid = sqlite3_column_int64(statement, 24);
        row.process.start_time = sqlite3_column_int64(statement, 25);
        if (each(user, &row) != 0)
            break;
    }
    sqlite3_finalize(statement);
    return status;
}

/* ---- which run does a person mean? ---- */

typedef struct selection {
    int64_t run_id;
    int count;
    char candidates[1024];
} selection;

static dipp_status collect(dipp_store *store, sqlite3_stmt *statement, selection *out, dipp_error *error)
{
    bool row = false;
    dipp_status status;
    while ((status = dipp_store_step(store, statement, "find a run", &row, error)) == DIPP_OK && row) {
        size_t used = strlen(out->candidates);
        out->run_id = sqlite3_column_int64(statement, 0);
        out->count++;
        snprintf(out->candidates + used, sizeof out->candidates - used, "\n  %lld  %.8s  %.120s",
                 (long long)out->run_id, dipp_store_text(statement, 1), dipp_store_text(statement, 2));
    }
    return status;
}

#define SELECT_RUN "SELECT r.run_id, r.run_uuid, r.name FROM runs r JOIN experiments x USING(experiment_id) WHERE "

/* Tries the forms of a selector one after the other; the first that matches anything decides. */
static dipp_status select_run(dipp_store *store, const char *selector, const char *experiment, selection *out,
                              dipp_error *error)
{
    size_t length = strlen(selector);
    const char *colon = strrchr(selector, ':');
    char *seed_end = NULL, *number_end = NULL;
    long long seed = colon ? strtoll(colon + 1, &seed_end, 10) : 0;
    long long number = strtoll(selector, &number_end, 10);
    char arm[256];
    snprintf(arm, sizeof arm, "%.*s", colon ? (int)(colon - selector) : 0, selector);
    const struct {
        bool applies;
        const char *sql;
    } forms[] = {
        {strcmp(selector, "@latest") == 0, SELECT_RUN "?1 IS NOT NULL AND (?2 IS NULL OR x.name=?2) ORDER BY "
                                                      "r.run_id DESC LIMIT 1"}, /* clocks jump, row ids do not */
        {length > 0 && isdigit((unsigned char)selector[0]) && *number_end == 0, SELECT_RUN "r.run_id=?4 AND ?2 IS ?2"},
        {length >= 4 && strspn(selector, "0123456789abcdefABCDEF-") == length,
         SELECT_RUN "r.run_uuid LIKE ?1||'%' AND ?2 IS ?2 LIMIT 6"},
        {length > 0, SELECT_RUN "r.name=?1 AND (?2 IS NULL OR x.name=?2) LIMIT 6"},
        {colon && colon[1] && *seed_end == 0,
         SELECT_RUN "r.arm=?5 AND r.seed=?3 AND (?2 IS NULL OR x.name=?2) LIMIT 6"},
    };
    for (size_t i = 0; i < sizeof forms / sizeof forms[0] && out->count == 0; i++) {
        if (!forms[i].applies)
            continue;
        sqlite3_stmt *statement;
        dipp_status status = dipp_store_prepare(store, &statement, "find a run", forms[i].sql, error);
        if (status != DIPP_OK)
            return status;
        int parameters = sqlite3_bind_parameter_count(statement);
        sqlite3_bind_text(statement, 1, selector, -1, SQLITE_TRANSIENT);
        if (experiment)
            sqlite3_bind_text(statement, 2, experiment, -1, SQLITE_TRANSIENT);
        if (parameters >= 3)
            sqlite3_bind_int64(statement, 3, seed);
        if (parameters >= 4)
            sqlite3_bind_int64(statement, 4, number);
        if (parameters >= 5)
            sqlite3_bind_text(statement, 5, arm, -1, SQLITE_TRANSIENT);
        status = collect(store, statement, out, error);
        sqlite3_finalize(statement);
        if (status != DIPP_OK)
            return status;
    }
    return DIPP_OK;
}

dipp_status dipp_store_find_run(dipp_store *store, const char *selector, const char *experiment, int64_t *run_id,
                                dipp_error *error)
{
    selection found = {0};
    dipp_status status = select_run(store, selector, experiment, &found, error);
    if (status != DIPP_OK)
        return status;
    if (found.count == 0)
        return dipp_fail(error, DIPP_E_NOT_FOUND,
                         "no run \"%s\" in %s: give an id, at least four digits of the uuid, a name, arm:seed or "
                         "@latest; `dipp ls` lists them",
                         selector, store->path);
    if (found.count > 1)
        return dipp_fail(error, DIPP_E_INVALID, "\"%s\" may be one of%s\nname one by its id", selector,
                         found.candidates);
    *run_id = found.run_id;
    return DIPP_OK;
}

/* ---- of one run ---- */

static int index_of(const char *const *names, int count, const char *name)
{
    for (int i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    return 0;
}

dipp_status dipp_store_each_param(dipp_store *store, int64_t run_id, dipp_store_param_fn each, void *user,
                                  dipp_error *error)
{
    static const char *const types[] = {"int", "real", "bool", "text", "null", "json"};
    static const char *const sources[] = {"default", "file", "override", "sweep"};
    const char *what = "list parameters";
    sqlite3_stmt *statement;
    bool more = false;
    dipp_status status =
        dipp_store_prepare(store, &statement, what,
                           "SELECT key, type, source, origin, value FROM params WHERE run_id=? ORDER BY key", error);
    if (status == DIPP_OK)
        status = dipp_store_bind(store, statement, what, error, "i", run_id);
    while (status == DIPP_OK && (status = dipp_store_step(store, statement, what, &more, error)) == DIPP_OK && more) {
        dipp_run_param param = {.key = dipp_store_text(statement, 0),
                                .type = (dipp_param_type)index_of(types, 6, dipp_store_text(statement, 1)),
                                .source = (dipp_param_source)index_of(sources, 4, dipp_store_text(statement, 2)),
                                .origin = dipp_store_text(statement, 3)};
        switch (param.type) {
        case DIPP_STORE_INT:
        case DIPP_STORE_BOOL: param.integer = sqlite3_column_int64(statement, 4); break;
        case DIPP_STORE_REAL: param.real = sqlite3_column_double(statement, 4); break;
        case DIPP_STORE_TEXT:
        case DIPP_STORE_JSON: param.text = dipp_store_text(statement, 4); break;
        case DIPP_STORE_NULL: break;
        }
        if (each(user, &param) != 0)
            break;
    }
    sqlite3_finalize(statement);
    return status;
}

dipp_status dipp_store_each_metric(dipp_store *store, int64_t run_id, const char *name, bool last_only,
                                   dipp_store_metric_fn each, void *user, dipp_error *error)
{
    const char *what = "list metrics";
    sqlite3_stmt *statement;
    bool more = false;
    dipp_status status = dipp_store_prepare(
        store, &statement, what,
        "SELECT n.name, m.step, m.value, m.kind, m.ts, m.attempt FROM metrics m JOIN metric_names n USING(metric_id) "
        "WHERE m.run_id=?1 AND (?2 IS NULL OR n.name=?2) AND (?3=0 OR m.step=(SELECT max(l.step) FROM metrics l WHERE "
        "l.run_id=m.run_id AND l.metric_id=m.metric_id)) ORDER BY n.name, m.step",
        error);
    if (status == DIPP_OK)
        status = dipp_store_bind(store, statement, what, error, "itd", run_id, name, (int)last_only);
    while (status == DIPP_OK && (status = dipp_store_step(store, statement, what, &more, error)) == DIPP_OK && more) {
        const char *kind = dipp_store_text(statement, 3);
        dipp_metric_row row = {.name = dipp_store_text(statement, 0),
                               .step = sqlite3_column_int64(statement, 1),
                               .value = sqlite3_column_double(statement, 2),
                               .time = sqlite3_column_int64(statement, 4),
                               .attempt = sqlite3_column_int64(statement, 5)};
        if (kind[0] == 'n')
            row.value = (double)NAN;
        else if (kind[0] != 'f')
            row.value = kind[0] == '+' ? (double)INFINITY : -(double)INFINITY;
        if (each(user, &row) != 0)
            break;
    }
    sqlite3_finalize(statement);
    return status;
}

dipp_status dipp_store_each_attempt(dipp_store *store, int64_t run_id, dipp_store_attempt_fn each, void *user,
                                    dipp_error *error)
{
    const char *what = "list attempts";
    sqlite3_stmt *statement;
    bool more = false;
    dipp_status status = dipp_store_prepare(
        store, &statement, what,
        "SELECT attempt, started_at, ended_at, end_step, reason, detail, host, pid, start_step, slurm_job, "
        "dipp_version, "
        "binary_sha256, backend, device, isa, precision, threads, libraries_json, micro_batch_json FROM attempts WHERE "
        "run_id=? ORDER BY attempt DESC",
        error);
    if (status == DIPP_OK)
        status = dipp_store_bind(store, statement, what, error, "i", run_id);
    while (status == DIPP_OK && (status = dipp_store_step(store, statement, what, &more, error)) == DIPP_OK && more) {
        dipp_attempt_row row = {.attempt = sqlite3_column_int64(statement, 0),
                                .started_at = sqlite3_column_int64(statement, 1),
                                .ended_at = sqlite3_column_int64(statement, 2),
                                .end_step = integer_or(statement, 3, -1),
                                .reason = dipp_store_text(statement, 4),
                                .detail = dipp_store_text(statement, 5),
                                .host = dipp_store_text(statement, 6),
                                .pid = sqlite3_column_int64(statement, 7),
                                .spec = {.start_step = sqlite3_column_int64(statement, 8),
                                         .slurm_job = dipp_store_text(statement, 9),
                                         .dipp_version = dipp_store_text(statement, 10),
                                         .binary_sha256 = dipp_store_text(statement, 11),
                                         .backend = dipp_store_text(statement, 12),
                                         .device = dipp_store_text(statement, 13),
                                         .isa = dipp_store_text(statement, 14),
                                         .precision = dipp_store_text(statement, 15),
                                         .threads = sqlite3_column_int(statement, 16),
                                         .libraries_json = dipp_store_text(statement, 17),
                                         .micro_batch_json = dipp_store_text(statement, 18)}};
        if (each(user, &row) != 0)
            break;
    }
    sqlite3_finalize(statement);
    return status;
}

dipp_status dipp_store_each_checkpoint(dipp_store *store, int64_t run_id, dipp_store_file_fn each, void *user,
                                       dipp_error *error)
{
    const char *what = "list checkpoints";
    sqlite3_stmt *statement;
    bool more = false;
    dipp_status status = dipp_store_prepare(
        store, &statement, what, "SELECT step, path, sha256, bytes FROM checkpoints WHERE run_id=? ORDER BY step DESC",
        error);
    if (status == DIPP_OK)
        status = dipp_store_bind(store, statement, what, error, "i", run_id);
    while (status == DIPP_OK && (status = dipp_store_step(store, statement, what, &more, error)) == DIPP_OK && more) {
        dipp_file_record file = {.step = sqlite3_column_int64(statement, 0),
                                 .kind = "checkpoint",
                                 .path = dipp_store_text(statement, 1),
                                 .sha256 = dipp_store_text(statement, 2),
                                 .bytes = sqlite3_column_int64(statement, 3)};
        if (each(user, &file) != 0)
            break;
    }
    sqlite3_finalize(statement);
    return status;
}

/* ---- any SELECT ---- */

static dipp_status prepare_reading(dipp_store *store, const char *sql, sqlite3_stmt **statement, dipp_error *error)
{
    dipp_status status = dipp_store_guard(store, error);
    if (status != DIPP_OK)
        return status;
    const char *rest = NULL;
    int result = sqlite3_prepare_v2(store->db, sql, -1, statement, &rest);
    if (result == SQLITE_ERROR)
        return dipp_fail(error, DIPP_E_INVALID, "the query is not understood: %s\n%s", sqlite3_errmsg(store->db), sql);
    if (result != SQLITE_OK)
        return dipp_store_sql_error(store, result, "query", error);
    if (!*statement)
        return dipp_fail(error, DIPP_E_INVALID, "the query is empty");
    sqlite3_stmt *second = NULL;
    if (rest && *rest && (sqlite3_prepare_v2(store->db, rest, -1, &second, NULL) != SQLITE_OK || second)) {
        sqlite3_finalize(second);
        return dipp_fail(error, DIPP_E_INVALID, "only one statement is run at a time; after the first comes:%.200s",
                         rest);
    }
    if (!sqlite3_stmt_readonly(*statement) || sqlite3_column_count(*statement) == 0) /* BEGIN counts as reading */
        return dipp_fail(error, DIPP_E_INVALID, "a query may not change the store: %.500s", sql);
    return DIPP_OK;
}

dipp_status dipp_store_query(dipp_store *store, const char *sql, const char *const *binds, size_t bind_count,
                             dipp_store_row_fn each, void *user, dipp_error *error)
{
    enum { MAX_COLUMNS = 256 };
    const char *names[MAX_COLUMNS], *values[MAX_COLUMNS];
    sqlite3_stmt *statement = NULL;
    bool more = false;
    dipp_status status = prepare_reading(store, sql, &statement, error);
    int columns = statement ? sqlite3_column_count(statement) : 0;
    if (status == DIPP_OK && columns > MAX_COLUMNS)
        status = dipp_fail(error, DIPP_E_INVALID, "the query has %d columns, at most %d are read", columns,
                           (int)MAX_COLUMNS);
    for (size_t i = 0; status == DIPP_OK && i < bind_count; i++) {
        int result = sqlite3_bind_text(statement, (int)i + 1, binds[i], -1, SQLITE_TRANSIENT);
        if (result != SQLITE_OK)
            status = dipp_store_sql_error(store, result, "query", error);
    }
    for (int c = 0; status == DIPP_OK && c < columns; c++)
        names[c] = sqlite3_column_name(statement, c);
    while (status == DIPP_OK && (status = dipp_store_step(store, statement, "query", &more, error)) == DIPP_OK &&
           more) {
        for (int c = 0; c < columns; c++)
            values[c] = dipp_store_text(statement, c);
        if (each && each(user, columns, names, values) != 0)
            break;
    }
    sqlite3_finalize(statement);
    return status;
}
