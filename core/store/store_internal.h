/* What the files of core/store share: the connection's state, transactions, and one-line statements with bound values.
 * Nothing here leaves the library. */
#ifndef DIPP_STORE_INTERNAL_H
#define DIPP_STORE_INTERNAL_H

#include "store/store.h"

#include <sqlite3.h>
#include <sys/types.h>

#pragma GCC visibility push(hidden)

typedef struct dipp_store_name {
    char *text;
    int64_t id;
} dipp_store_name;

struct dipp_store {
    sqlite3 *db;
    char *path;
    char journal[16];
    int busy_timeout_ms;
    pid_t owner;                   /* the process that opened it */
    bool read_only;                /* mode READ */
    int depth;                     /* of dipp_store_begin */
    sqlite3_stmt *undo;            /* ROLLBACK of the open transaction, prepared before it began: needs no memory */
    bool broken;                   /* a call inside the open transaction failed; it is rolled back already */
    dipp_store_name *metric_names; /* interned metric ids known to be committed or in this transaction */
    size_t metric_count, metric_capacity;
};

/* Values for the ?-marks of a statement, one letter each:
 *   i int64_t   z int64_t, 0 becomes NULL   d int
 *   t const char *, NULL becomes NULL       r double, not finite becomes NULL
 * what: the action for messages, as in "record metrics". */
dipp_status dipp_store_prepare(dipp_store *store, sqlite3_stmt **statement, const char *what, const char *sql,
                               dipp_error *error);
dipp_status dipp_store_bind(dipp_store *store, sqlite3_stmt *statement, const char *what, dipp_error *error,
                            const char *format, ...);
/* Steps once; *row says whether there is a row. When not, the statement is reset and may be bound again. */
dipp_status dipp_store_step(dipp_store *store, sqlite3_stmt *statement, const char *what, bool *row, dipp_error *error);
/* Prepare, bind, step to the end, finalize. */
dipp_status dipp_store_do(dipp_store *store, const char *what, dipp_error *error, const char *sql, const char *format,
                          ...);
/* The same for one integer. No row or NULL: *value = 0 and *found = false (found may be NULL). */
dipp_status dipp_store_integer(dipp_store *store, const char *what, dipp_error *error, int64_t *value, bool *found,
                               const char *sql, const char *format, ...);
/* Several statements without values. */
dipp_status dipp_store_script(dipp_store *store, const char *what, const char *sql, dipp_error *error);

/* DIPP_E_INVALID unless text is NULL or valid JSON. */
dipp_status dipp_store_need_json(dipp_store *store, const char *what, const char *text, dipp_error *error);

/* Turns a SQLite result into a status and a message with the remedy. */
dipp_status dipp_store_sql_error(dipp_store *store, int result, const char *what, dipp_error *error);

/* Refuses a store that crossed fork(). */
dipp_status dipp_store_guard(const dipp_store *store, dipp_error *error);

/* Commits when status is DIPP_OK, else rolls back; answers the status of the whole. Pairs with dipp_store_begin. */
dipp_status dipp_store_end(dipp_store *store, dipp_status status, dipp_error *error);

/* Names the process that holds the write lock, "process 12 (dipp)"; false when unknown. Opens neither file. */
bool dipp_store_lock_holder(const char *path, bool wal, char *text, size_t size);

int64_t dipp_store_now(void);                                     /* microseconds since 1970 */
const char *dipp_store_kind(double value);                        /* finite, nan, +inf, -inf */
const char *dipp_store_text(sqlite3_stmt *statement, int column); /* NULL for SQL NULL */

/* Id of the metric's name, added when new. Inside a transaction only. */
dipp_status dipp_store_metric_id(dipp_store *store, const char *name, int64_t *metric_id, dipp_error *error);
void dipp_store_forget_metric_names(dipp_store *store);

/* SQL: the number of a status, as dipp_run_status. */
#define DIPP_STORE_STATUS_NUMBER                                                                             \
    "CASE r.status WHEN 'queued' THEN 0 WHEN 'running' THEN 1 WHEN 'completed' THEN 2 WHEN 'failed' THEN 3 " \
    "WHEN 'killed' THEN 4 WHEN 'pruned' THEN 5 ELSE 6 END"

#pragma GCC visibility pop

#endif
