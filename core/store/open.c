/* Opening, migrating, checking and closing the store. */
#include "store/store_internal.h"

#include "base/memory.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

static const char schema_1[] =
#include "store/schema_1.inc"
    ;
static const char schema_2[] =
#include "store/schema_2.inc"
    ;
static const char views[] =
#include "store/views.inc"
    ;

static const dipp_store_migration migrations[] = {{1, schema_1}, {2, schema_2}};
enum { MIGRATION_COUNT = sizeof migrations / sizeof migrations[0] };

/* WAL shares memory between processes, which network file systems cannot do. Numbers: statfs(2), linux/magic.h. */
static bool is_network_file_system(const char *path)
{
    static const unsigned long network[] = {
        0x6969,     /* NFS */
        0x517B,     /* SMB */
        0xFF534D42, /* CIFS */
        0xFE534D42, /* SMB2 */
        0x01021997, /* 9p */
        0x65735546, /* FUSE, virtiofs */
        0x0BD00BD0, /* Lustre */
        0x47504653, /* GPFS */
        0x00C36400, /* Ceph */
        0x5346414F, /* AFS */
        0x19830326, /* BeeGFS */
    };
    struct statfs file_system;
    if (statfs(path, &file_system) != 0)
        return false;
    for (size_t i = 0; i < sizeof network / sizeof network[0]; i++)
        if (((unsigned long)file_system.f_type & 0xFFFFFFFFUL) == network[i])
            return true;
    return false;
}

static dipp_status text_pragma(dipp_store *store, const char *sql, char *answer, size_t size, int *result)
{
    sqlite3_stmt *statement = NULL;
    *result = sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL);
    if (*result == SQLITE_OK)
        *result = sqlite3_step(statement);
    if (*result == SQLITE_ROW) {
        const char *text = dipp_store_text(statement, 0);
        snprintf(answer, size, "%s", text ? text : "");
        *result = SQLITE_OK;
    }
    sqlite3_finalize(statement);
    return *result == SQLITE_OK ? DIPP_OK : DIPP_E_IO;
}

/* Changing to WAL answers SQLITE_BUSY at once, without the busy handler, while another process does the same. */
static dipp_status set_journal(dipp_store *store, const char *wanted, dipp_error *error)
{
    const char *what = "choose the journal mode";
    char sql[64];
    int result = SQLITE_OK;
    if (text_pragma(store, "PRAGMA journal_mode", store->journal, sizeof store->journal, &result) != DIPP_OK)
        return dipp_store_sql_error(store, result, what, error);
    snprintf(sql, sizeof sql, "PRAGMA journal_mode=%s", wanted);
    for (int waited_ms = 0; strcmp(store->journal, wanted) != 0; waited_ms += 5) {
        if (text_pragma(store, sql, store->journal, sizeof store->journal, &result) == DIPP_OK)
            break;
        if ((result & 0xff) != SQLITE_BUSY || waited_ms >= store->busy_timeout_ms)
            return dipp_store_sql_error(store, result, what, error);
        nanosleep(&(struct timespec){0, 5000000}, NULL);
    }
    if (strcmp(wanted, "wal") == 0 && strcmp(store->journal, "wal") != 0) {
        if (text_pragma(store, "PRAGMA journal_mode=truncate", store->journal, sizeof store->journal, &result) !=
            DIPP_OK)
            return dipp_store_sql_error(store, result, what, error);
    }
    return dipp_store_script(
        store, what, strcmp(store->journal, "wal") == 0 ? "PRAGMA synchronous=NORMAL" : "PRAGMA synchronous=FULL",
        error);
}

static dipp_status choose_journal(dipp_store *store, const dipp_store_options *options, dipp_error *error)
{
    const char *wanted = options->journal;
    const char *from = "the option journal";
    if (!wanted || strcmp(wanted, "auto") == 0) {
        const char *environment = getenv("DIPP_STORE_JOURNAL");
        wanted = environment && *environment ? environment : "auto";
        from = "DIPP_STORE_JOURNAL";
    }
    if (strcmp(wanted, "auto") == 0)
        wanted = is_network_file_system(store->path) ? "truncate" : "wal";
    if (strcmp(wanted, "wal") != 0 && strcmp(wanted, "truncate") != 0)
        return dipp_fail(error, DIPP_E_INVALID, "%s is \"%s\", but must be auto, wal or truncate", from, wanted);
    return set_journal(store, wanted, error);
}

/* ---- what file is it? ---- */

typedef struct identity {
    int64_t application, version, objects;
} identity;

static dipp_status identify(dipp_store *store, identity *out, dipp_error *error)
{
    const char *what = "open the store";
    dipp_status status =
        dipp_store_integer(store, what, error, &out->objects, NULL, "SELECT count(*) FROM sqlite_schema", "");
    if (status == DIPP_OK)
        status = dipp_store_integer(store, what, error, &out->application, NULL, "PRAGMA application_id", "");
    if (status == DIPP_OK)
        status = dipp_store_integer(store, what, error, &out->version, NULL, "PRAGMA user_version", "");
    return status;
}

static dipp_status accept_file(const dipp_store *store, const identity *found, int newest, dipp_error *error)
{
    bool fresh = found->application == 0 && found->version == 0 && found->objects == 0;
    if (!fresh && found->application != DIPP_STORE_APPLICATION_ID)
        return dipp_fail(
            error, DIPP_E_FORMAT,
            "%s is a SQLite database of another program (application id 0x%08llx, a store has 0x%08x): name "
            "another file for the store",
            store->path, (unsigned long long)found->application, (unsigned)DIPP_STORE_APPLICATION_ID);
    if (found->version > newest)
        return dipp_fail(error, DIPP_E_UNSUPPORTED,
                         "%s has schema %lld, written by a newer dipp; this one knows schemas up to %d: use the newer "
                         "dipp, or name another database (the file was not changed)",
                         store->path, (long long)found->version, newest);
    return DIPP_OK;
}

/* ---- migrations ---- */

static dipp_status backup(dipp_store *store, int64_t version, dipp_error *error)
{
    dipp_status status = DIPP_OK;
    char *saved = sqlite3_mprintf("%s.v%lld-backup", store->path, (long long)version);
    char *partial = sqlite3_mprintf("%s.v%lld-backup.%ld", store->path, (long long)version, (long)getpid());
    if (!saved || !partial) {
        status = dipp_fail(error, DIPP_E_MEMORY, "no memory to migrate %s", store->path);
    } else if (access(saved, F_OK) != 0) {
        status = dipp_store_do(store, "save the database before its migration", error, "VACUUM INTO ?1", "t", partial);
        if (status == DIPP_OK && rename(partial, saved) != 0)
            status = dipp_fail(error, DIPP_E_IO, "rename %s to %s: %s", partial, saved, strerror(errno));
        if (status != DIPP_OK)
            unlink(partial);
    }
    sqlite3_free(saved);
    sqlite3_free(partial);
    return status;
}

static dipp_status drop_views(dipp_store *store, dipp_error *error)
{
    const char *what = "replace the views";
    for (;;) {
        sqlite3_stmt *statement;
        bool row;
        dipp_status status = dipp_store_prepare(
            store, &statement, what,
            "SELECT printf('DROP VIEW \"%w\"', name) FROM sqlite_schema WHERE type='view' LIMIT 1", error);
        if (status != DIPP_OK)
            return status;
        status = dipp_store_step(store, statement, what, &row, error);
        char *drop = status == DIPP_OK && row ? sqlite3_mprintf("%s", dipp_store_text(statement, 0)) : NULL;
        sqlite3_finalize(statement);
        if (status != DIPP_OK || !row)
            return status;
        if (!drop)
            return dipp_fail(error, DIPP_E_MEMORY, "no memory to migrate %s", store->path);
        status = dipp_store_script(store, what, drop, error);
        sqlite3_free(drop);
        if (status != DIPP_OK)
            return status;
    }
}

static dipp_status apply(dipp_store *store, const dipp_store_migration *steps, size_t count, const char *views_sql,
                         dipp_error *error)
{
    int newest = steps[count - 1].version;
    identity found;
    dipp_status status = identify(store, &found, error); /* again: another process may have been first */
    if (status == DIPP_OK)
        status = accept_file(store, &found, newest, error);
    if (status != DIPP_OK || found.version == newest)
        return status;
    for (size_t i = 0; i < count; i++) {
        if (steps[i].version <= found.version)
            continue;
        char what[64], number[96];
        snprintf(what, sizeof what, "migrate to schema %d", steps[i].version);
        snprintf(number, sizeof number, "PRAGMA application_id=%d; PRAGMA user_version=%d",
                 (int)DIPP_STORE_APPLICATION_ID, steps[i].version);
        status = dipp_store_script(store, what, steps[i].sql, error);
        if (status == DIPP_OK)
            status = dipp_store_script(store, what, number, error);
        if (status == DIPP_OK)
            status = dipp_store_do(store, what, error, "INSERT INTO migrations VALUES(?,?)", "di", steps[i].version,
                                   dipp_store_now());
        if (status != DIPP_OK)
            return status;
    }
    status = drop_views(store, error);
    if (status == DIPP_OK)
        status = dipp_store_script(store, "create the views", views_sql, error);
    int64_t faults = 0;
    if (status == DIPP_OK)
        status = dipp_store_integer(store, "check the migration", error, &faults, NULL,
                                    "SELECT count(*) FROM pragma_foreign_key_check", "");
    if (status == DIPP_OK && faults)
        status = dipp_fail(error, DIPP_E_INTERNAL,
                           "the migration of %s to schema %d leaves %lld rows without their "
                           "parents; the file was not changed",
                           store->path, newest, (long long)faults);
    return status;
}

dipp_status dipp_store_migrate(dipp_store *store, const dipp_store_migration *steps, size_t count,
                               const char *views_sql, dipp_error *error)
{
    identity found = {0};
    dipp_status status = dipp_store_guard(store, error);
    if (status == DIPP_OK && count == 0)
        status = dipp_fail(error, DIPP_E_INVALID, "no migration step was given");
    if (status == DIPP_OK)
        status = identify(store, &found, error);
    if (status == DIPP_OK)
        status = accept_file(store, &found, steps[count - 1].version, error);
    if (status != DIPP_OK || found.version == steps[count - 1].version)
        return status;
    if (found.version > 0)
        status = backup(store, found.version, error);
    /* A step may rebuild a table that others refer to; this pragma does nothing inside a transaction. */
    if (status == DIPP_OK)
        status = dipp_store_script(store, "migrate", "PRAGMA foreign_keys=OFF", error);
    if (status == DIPP_OK)
        status = dipp_store_begin(store, error);
    if (status == DIPP_OK)
        status = dipp_store_end(store, apply(store, steps, count, views_sql, error), error);
    sqlite3_exec(store->db, "PRAGMA foreign_keys=ON", NULL, NULL, NULL);
    return status;
}

/* ---- open and close ---- */

static dipp_status configure(dipp_store *store, dipp_error *error)
{
    sqlite3_extended_result_codes(store->db, 1);
    sqlite3_busy_timeout(store->db, store->busy_timeout_ms);
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(store->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL); /* files get mailed around */
    /* mmap off: truncation of a mapped log is SIGBUS on some file systems */
    return dipp_store_script(store, "open the store",
                             "PRAGMA foreign_keys=ON; PRAGMA mmap_size=0; PRAGMA cell_size_check=ON; "
                             "PRAGMA journal_size_limit=67108864",
                             error);
}

/* A WAL database can only be read where PATH-shm can be made, unless SQLite is told that nothing will change it. That
 * is true when the log is empty and this user may not write there. */
static bool open_immutable(dipp_store *store)
{
    char *log = sqlite3_mprintf("%s-wal", store->path);
    struct stat status;
    bool empty = log && (stat(log, &status) != 0 || status.st_size == 0);
    sqlite3_free(log);
    if (!empty)
        return false;
    char *uri = dipp_allocate(strlen(store->path) * 3 + 32);
    if (!uri)
        return false;
    char *out = uri + sprintf(uri, "file:");
    for (const char *in = store->path; *in; in++) {
        if (*in == '?' || *in == '#' || *in == '%')
            out += sprintf(out, "%%%02X", (unsigned char)*in);
        else
            *out++ = *in;
    }
    strcpy(out, "?immutable=1");
    sqlite3_close(store->db);
    int result = sqlite3_open_v2(uri, &store->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX, NULL);
    dipp_release(uri);
    return result == SQLITE_OK;
}

static dipp_status check_path(const char *path, dipp_store_mode mode, dipp_error *error)
{
    struct stat status;
    if (stat(path, &status) == 0) {
        if (S_ISDIR(status.st_mode))
            return dipp_fail(error, DIPP_E_INVALID, "%s is a directory, the store must be a file", path);
        return DIPP_OK;
    }
    if (errno != ENOENT && errno != ENOTDIR)
        return dipp_fail(error, DIPP_E_IO, "open the store %s: %s", path, strerror(errno));
    if (mode != DIPP_STORE_CREATE)
        return dipp_fail(error, DIPP_E_NOT_FOUND, "there is no store %s: `dipp run` makes one, or name the right file",
                         path);
    char *directory = dipp_string_copy(path);
    if (!directory)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory to open %s", path);
    char *slash = strrchr(directory, '/');
    dipp_status result = DIPP_OK;
    if (slash) {
        slash[slash == directory] = 0;
        if (stat(directory, &status) != 0 || !S_ISDIR(status.st_mode))
            result = dipp_fail(error, DIPP_E_NOT_FOUND, "the directory %s of the store does not exist: make it first",
                               directory);
    }
    dipp_release(directory);
    return result;
}

static dipp_status open_reader(dipp_store *store, dipp_error *error)
{
    identity found;
    dipp_error first = {0};
    dipp_status status = configure(store, &first);
    if (status == DIPP_OK)
        status = identify(store, &found, &first);
    if (status == DIPP_E_IO && open_immutable(store)) {
        status = configure(store, &first);
        if (status == DIPP_OK)
            status = identify(store, &found, &first);
    }
    if (status != DIPP_OK)
        return dipp_fail(error, status, "%s", first.message);
    status = accept_file(store, &found, DIPP_STORE_SCHEMA_VERSION, error);
    if (status == DIPP_OK && found.version < DIPP_STORE_SCHEMA_VERSION)
        status = dipp_fail(error, DIPP_E_UNSUPPORTED,
                           "%s has schema %lld, this dipp reads schema %d: open it once for writing with this dipp, "
                           "which migrates it",
                           store->path, (long long)found.version, (int)DIPP_STORE_SCHEMA_VERSION);
    int ignored;
    if (status == DIPP_OK)
        text_pragma(store, "PRAGMA journal_mode", store->journal, sizeof store->journal, &ignored);
    return status;
}

static dipp_status open_writer(dipp_store *store, const dipp_store_options *options, dipp_error *error)
{
    identity found;
    dipp_status status = configure(store, error);
    if (status == DIPP_OK && sqlite3_db_readonly(store->db, "main") == 1)
        status = dipp_fail(error, DIPP_E_IO,
                           "the store %s is read-only for this user: change its permissions, or name another database",
                           store->path);
    if (status == DIPP_OK)
        status = identify(store, &found, error);
    if (status == DIPP_OK) /* before the journal mode is touched, so that a foreign file stays as it is */
        status = accept_file(store, &found, DIPP_STORE_SCHEMA_VERSION, error);
    if (status == DIPP_OK)
        status = choose_journal(store, options, error);
    if (status == DIPP_OK)
        status = dipp_store_migrate(store, migrations, MIGRATION_COUNT, views, error);
    return status;
}

dipp_status dipp_store_open(const char *path, const dipp_store_options *options, dipp_store **store, dipp_error *error)
{
    static const dipp_store_options defaults = {0};
    if (!options)
        options = &defaults;
    if (!path || !*path)
        return dipp_fail(error, DIPP_E_INVALID, "the store has no path");
    dipp_status status = check_path(path, options->mode, error);
    if (status != DIPP_OK)
        return status;
    dipp_store *made = dipp_allocate_zeroed(1, sizeof *made);
    if (made)
        made->path = dipp_string_copy(path);
    if (!made || !made->path) {
        dipp_release(made);
        return dipp_fail(error, DIPP_E_MEMORY, "no memory to open the store %s", path);
    }
    made->owner = getpid();
    made->busy_timeout_ms = options->busy_timeout_ms > 0 ? options->busy_timeout_ms : 10000;
    made->read_only = options->mode == DIPP_STORE_READ;
    int flags = SQLITE_OPEN_NOMUTEX | (made->read_only ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE);
    if (options->mode == DIPP_STORE_CREATE)
        flags |= SQLITE_OPEN_CREATE;
    int result = sqlite3_open_v2(path, &made->db, flags, NULL);
    if (result != SQLITE_OK)
        status = dipp_store_sql_error(made, result, "open the store", error);
    else
        status = made->read_only ? open_reader(made, error) : open_writer(made, options, error);
    if (status != DIPP_OK) {
        sqlite3_finalize(made->undo);
        sqlite3_close(made->db);
        made->db = NULL;
        dipp_store_close(&made);
        return status;
    }
    *store = made;
    return DIPP_OK;
}

void dipp_store_close(dipp_store **store)
{
    if (!store || !*store)
        return;
    dipp_store *old = *store;
    /* In a forked child the connection is the parent's: closing it here could remove the log that the parent writes. */
    if (old->db && old->owner == getpid()) {
        if (!sqlite3_get_autocommit(old->db))
            sqlite3_step(old->undo);
        sqlite3_finalize(old->undo);
        if (!old->read_only) {
            sqlite3_busy_timeout(old->db, 100); /* tidying may be skipped, it must not hold up the end */
            sqlite3_exec(old->db, "PRAGMA analysis_limit=400; PRAGMA optimize", NULL, NULL, NULL);
            sqlite3_wal_checkpoint_v2(old->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
        }
        sqlite3_close(old->db);
    }
    dipp_store_forget_metric_names(old);
    dipp_release(old->metric_names);
    dipp_release(old->path);
    dipp_release(old);
    *store = NULL;
}

const char *dipp_store_path(const dipp_store *store)
{
    return store->path;
}

const char *dipp_store_journal_mode(const dipp_store *store)
{
    return store->journal;
}

void *dipp_store_connection(dipp_store *store)
{
    return store->db;
}

/* Appends the rows of a checking pragma, except a lone "ok". */
static dipp_status findings(dipp_store *store, const char *sql, char *text, size_t size, dipp_error *error)
{
    sqlite3_stmt *statement;
    bool row = false;
    dipp_status status = dipp_store_prepare(store, &statement, "check the store", sql, error);
    if (status != DIPP_OK)
        return status;
    while ((status = dipp_store_step(store, statement, "check the store", &row, error)) == DIPP_OK && row) {
        const char *line = dipp_store_text(statement, 0);
        size_t used = strlen(text);
        if (line && strcmp(line, "ok") != 0 && used + 1 < size)
            snprintf(text + used, size - used, "\n  %s", line);
    }
    sqlite3_finalize(statement);
    return status;
}

dipp_status dipp_store_check(dipp_store *store, dipp_error *error)
{
    char text[1200] = "";
    dipp_status status = findings(store, "PRAGMA integrity_check(5)", text, sizeof text, error);
    if (status == DIPP_OK)
        status = findings(store,
                          "SELECT printf('row %s of %s refers to a missing row of %s', ifnull(rowid, '?'), \"table\", "
                          "parent) FROM pragma_foreign_key_check LIMIT 5",
                          text, sizeof text, error);
    if (status == DIPP_OK && text[0])
        status = dipp_fail(error, DIPP_E_FORMAT,
                           "the database %s is damaged:%s\nkeep a copy, then save what can be read with `sqlite3 %s "
                           "\".recover\" | sqlite3 recovered.db`",
                           store->path, text, store->path);
    return status;
}

const char *dipp_store_sqlite_version(void)
{
    return sqlite3_libversion();
}
