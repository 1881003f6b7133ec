/* Statements, transactions and the translation of SQLite's results into messages with a remedy. */
#include "store/store_internal.h"

#include "base/memory.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

int64_t dipp_store_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

const char *dipp_store_kind(double value)
{
    if (isnan(value))
        return "nan";
    if (isinf(value))
        return value > 0 ? "+inf" : "-inf";
    return "finite";
}

const char *dipp_store_text(sqlite3_stmt *statement, int column)
{
    return (const char *)sqlite3_column_text(statement, column);
}

static long long free_mebibytes(const char *path)
{
    struct statvfs space;
    if (statvfs(path, &space) != 0)
        return -1;
    return (long long)space.f_bavail * (long long)space.f_frsize / 1048576;
}

dipp_status dipp_store_sql_error(dipp_store *store, int result, const char *what, dipp_error *error)
{
    const char *path = store->path;
    const char *detail = store->db ? sqlite3_errmsg(store->db) : sqlite3_errstr(result);
    char holder[160];
    switch (result & 0xff) {
    case SQLITE_FULL: {
        long long space = free_mebibytes(path);
        char room[64] = "";
        if (space >= 0)
            snprintf(room, sizeof room, " (%lld MiB free there)", space);
        return dipp_fail(error, DIPP_E_IO,
                         "%s: disk full while writing %s%s; nothing recorded so far is lost: free some space and run "
                         "the same command again",
                         what, path, room);
    }
    case SQLITE_IOERR:
        return dipp_fail(error, DIPP_E_IO,
                         "%s: input/output error in %s (%s, SQLite code %d; disk full, quota or a failing device); "
                         "nothing recorded so far is lost: free space or move the file to a sound local disk and run "
                         "the same command again",
                         what, path, detail, result);
    case SQLITE_READONLY:
        return dipp_fail(error, DIPP_E_IO,
                         "%s: %s cannot be written (%s): the file and its directory must be writable for this user; "
                         "change their permissions or name another database",
                         what, path, detail);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        if (dipp_store_lock_holder(path, strcmp(store->journal, "wal") == 0, holder, sizeof holder))
            return dipp_fail(error, DIPP_E_BUSY,
                             "%s: %s has been locked by %s for more than %.1f s; nothing recorded so far is lost: wait "
                             "for that process or end it, then run the same command again",
                             what, path, holder, store->busy_timeout_ms / 1000.0);
        return dipp_fail(error, DIPP_E_BUSY,
                         "%s: another process has locked %s for more than %.1f s; nothing recorded so far is lost: see "
                         "who uses it with `fuser -v %s`, then run the same command again",
                         what, path, store->busy_timeout_ms / 1000.0, path);
    case SQLITE_CORRUPT:
        return dipp_fail(
            error, DIPP_E_FORMAT,
            "%s: the database %s is damaged (%s): keep a copy, then save what can be read with `sqlite3 %s "
            "\".recover\" | sqlite3 recovered.db`",
            what, path, detail, path);
    case SQLITE_NOTADB:
        return dipp_fail(error, DIPP_E_FORMAT,
                         "%s: %s is not a SQLite database: name another file for the store, or remove this one", what,
                         path);
    case SQLITE_CANTOPEN:
        return dipp_fail(error, DIPP_E_IO,
                         "%s: cannot open %s (%s): the directory must exist and this user must be allowed to read and "
                         "write in it",
                         what, path, detail);
    case SQLITE_NOMEM: return dipp_fail(error, DIPP_E_MEMORY, "%s: no memory for SQLite in %s", what, path);
    case SQLITE_CONSTRAINT:
    case SQLITE_MISMATCH:
    case SQLITE_RANGE:
    case SQLITE_TOOBIG:
        return dipp_fail(error, DIPP_E_INVALID, "%s: the values break the rules of the store %s: %s", what, path,
                         detail);
    case SQLITE_INTERRUPT: return dipp_fail(error, DIPP_E_INTERRUPTED, "%s: interrupted in %s", what, path);
    default:
        return dipp_fail(error, DIPP_E_INTERNAL, "%s: SQLite says of %s: %s (code %d)", what, path, detail, result);
    }
}

dipp_status dipp_store_guard(const dipp_store *store, dipp_error *error)
{
    if (!store)
        return dipp_fail(error, DIPP_E_INVALID, "no store was given");
    if (store->owner != getpid())
        return dipp_fail(
            error, DIPP_E_INTERNAL,
            "the store %s was opened by process %ld and used in its child %ld: a connection must not cross "
            "fork, open the store anew in the child",
            store->path, (long)store->owner, (long)getpid());
    return DIPP_OK;
}

dipp_status dipp_store_prepare(dipp_store *store, sqlite3_stmt **statement, const char *what, const char *sql,
                               dipp_error *error)
{
    *statement = NULL;
    dipp_status status = dipp_store_guard(store, error);
    if (status != DIPP_OK)
        return status;
    int result = sqlite3_prepare_v2(store->db, sql, -1, statement, NULL);
    return result == SQLITE_OK ? DIPP_OK : dipp_store_sql_error(store, result, what, error);
}

static int bind_values(sqlite3_stmt *statement, const char *format, va_list values)
{
    int result = SQLITE_OK;
    sqlite3_reset(statement); /* its result repeats a failure that was reported before */
    for (int i = 0; format[i] && result == SQLITE_OK; i++) {
        switch (format[i]) {
        case 'i': result = sqlite3_bind_int64(statement, i + 1, va_arg(values, int64_t)); break;
        case 'd': result = sqlite3_bind_int(statement, i + 1, va_arg(values, int)); break;
        case 'z': {
            int64_t value = va_arg(values, int64_t);
            result = value ? sqlite3_bind_int64(statement, i + 1, value) : sqlite3_bind_null(statement, i + 1);
            break;
        }
        case 'r': {
            double value = va_arg(values, double);
            result =
                isfinite(value) ? sqlite3_bind_double(statement, i + 1, value) : sqlite3_bind_null(statement, i + 1);
            break;
        }
        case 't': {
            const char *text = va_arg(values, const char *);
            result = text ? sqlite3_bind_text(statement, i + 1, text, -1, SQLITE_TRANSIENT)
                          : sqlite3_bind_null(statement, i + 1);
            break;
        }
        default: result = SQLITE_MISUSE; break;
        }
    }
    return result;
}

dipp_status dipp_store_bind(dipp_store *store, sqlite3_stmt *statement, const char *what, dipp_error *error,
                            const char *format, ...)
{
    va_list values;
    va_start(values, format);
    int result = bind_values(statement, format, values);
    va_end(values);
    return result == SQLITE_OK ? DIPP_OK : dipp_store_sql_error(store, result, what, error);
}

dipp_status dipp_store_step(dipp_store *store, sqlite3_stmt *statement, const char *what, bool *row, dipp_error *error)
{
    int result = sqlite3_step(statement);
    *row = result == SQLITE_ROW;
    if (result == SQLITE_ROW)
        return DIPP_OK;
    dipp_status status = result == SQLITE_DONE ? DIPP_OK : dipp_store_sql_error(store, result, what, error);
    sqlite3_reset(statement);
    return status;
}

dipp_status dipp_store_do(dipp_store *store, const char *what, dipp_error *error, const char *sql, const char *format,
                          ...)
{
    sqlite3_stmt *statement;
    dipp_status status = dipp_store_prepare(store, &statement, what, sql, error);
    if (status != DIPP_OK)
        return status;
    va_list values;
    va_start(values, format);
    int result = bind_values(statement, format, values);
    va_end(values);
    while (result == SQLITE_OK || result == SQLITE_ROW)
        result = sqlite3_step(statement);
    if (result != SQLITE_DONE)
        status = dipp_store_sql_error(store, result, what, error);
    sqlite3_finalize(statement);
    return status;
}

dipp_status dipp_store_integer(dipp_store *store, const char *what, dipp_error *error, int64_t *value, bool *found,
                               const char *sql, const char *format, ...)
{
    sqlite3_stmt *statement;
    dipp_status status = dipp_store_prepare(store, &statement, what, sql, error);
    if (status != DIPP_OK)
        return status;
    va_list values;
    va_start(values, format);
    int result = bind_values(statement, format, values);
    va_end(values);
    if (result == SQLITE_OK)
        result = sqlite3_step(statement);
    bool present = result == SQLITE_ROW && sqlite3_column_type(statement, 0) != SQLITE_NULL;
    int64_t answer = present ? sqlite3_column_int64(statement, 0) : 0;
    while (result == SQLITE_ROW) /* a RETURNING statement must run to its end */
        result = sqlite3_step(statement);
    if (result != SQLITE_DONE)
        status = dipp_store_sql_error(store, result, what, error);
    sqlite3_finalize(statement);
    if (status != DIPP_OK)
        return status;
    *value = answer;
    if (found)
        *found = present;
    return DIPP_OK;
}

dipp_status dipp_store_need_json(dipp_store *store, const char *what, const char *text, dipp_error *error)
{
    int64_t valid = 1;
    dipp_status status =
        text ? dipp_store_integer(store, what, error, &valid, NULL, "SELECT json_valid(?)", "t", text) : DIPP_OK;
    if (status == DIPP_OK && !valid)
        status = dipp_fail(error, DIPP_E_INVALID, "%s: this is not valid JSON: %.300s", what, text);
    return status;
}

dipp_status dipp_store_script(dipp_store *store, const char *what, const char *sql, dipp_error *error)
{
    dipp_status status = dipp_store_guard(store, error);
    if (status != DIPP_OK)
        return status;
    int result = sqlite3_exec(store->db, sql, NULL, NULL, NULL);
    return result == SQLITE_OK ? DIPP_OK : dipp_store_sql_error(store, result, what, error);
}

static void undo(dipp_store *store)
{
    if (!sqlite3_get_autocommit(store->db)) { /* SQLite may have rolled back by itself: disk full, input/output error */
        sqlite3_reset(store->undo);
        sqlite3_step(store->undo);
    }
    dipp_store_forget_metric_names(store);
}

/* A transaction that ended for want of memory must let go of its locks without any. */
static dipp_status begin_outermost(dipp_store *store, dipp_error *error)
{
    const char *what = "begin to record";
    if (!sqlite3_get_autocommit(store->db))
        undo(store); /* the last one's failed after all */
    sqlite3_finalize(store->undo);
    dipp_status status = dipp_store_prepare(store, &store->undo, what, "ROLLBACK", error);
    return status == DIPP_OK ? dipp_store_script(store, what, "BEGIN IMMEDIATE", error) : status;
}

dipp_status dipp_store_begin(dipp_store *store, dipp_error *error)
{
    dipp_status status = dipp_store_guard(store, error);
    if (status != DIPP_OK)
        return status;
    if (store->read_only)
        return dipp_fail(error, DIPP_E_IO, "the store %s is open for reading only, nothing can be recorded in it",
                         store->path);
    if (store->broken)
        return dipp_fail(error, DIPP_E_INVALID,
                         "an earlier call of this transaction in %s failed, so nothing of it is recorded: roll it back "
                         "and repeat the whole",
                         store->path);
    if (store->depth == 0)
        status = begin_outermost(store, error);
    if (status == DIPP_OK)
        store->depth++;
    return status;
}

dipp_status dipp_store_end(dipp_store *store, dipp_status status, dipp_error *error)
{
    store->depth--;
    if (status == DIPP_OK && store->broken)
        status = dipp_fail(error, DIPP_E_INVALID,
                           "an earlier call of this transaction in %s failed, so nothing of it is recorded: repeat the "
                           "whole",
                           store->path);
    if (status == DIPP_OK && store->depth == 0)
        status = dipp_store_script(store, "record", "COMMIT", error);
    if (status != DIPP_OK && !store->broken)
        undo(store);
    store->broken = status != DIPP_OK && store->depth > 0;
    return status;
}

dipp_status dipp_store_commit(dipp_store *store, dipp_error *error)
{
    dipp_status status = dipp_store_guard(store, error);
    if (status != DIPP_OK)
        return status;
    if (store->depth == 0)
        return dipp_fail(error, DIPP_E_INVALID, "commit without begin in the store %s", store->path);
    return dipp_store_end(store, DIPP_OK, error);
}

void dipp_store_rollback(dipp_store *store)
{
    if (store && store->depth > 0 && dipp_store_guard(store, NULL) == DIPP_OK)
        dipp_store_end(store, DIPP_E_INTERRUPTED, NULL);
}

void dipp_store_forget_metric_names(dipp_store *store)
{
    for (size_t i = 0; i < store->metric_count; i++)
        dipp_release(store->metric_names[i].text);
    store->metric_count = 0;
}
