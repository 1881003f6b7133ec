/* Files that are not ours, may not be written, are full, locked, damaged or of another version: what the user is told,
 * and that nothing recorded is lost. */
#include "synthetic.h"

#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *path_of(void **state)
{
    return ((test_directory *)*state)->store;
}

static void plain_sql(const char *path, const char *sql)
{
    sqlite3 *plain;
    assert_int_equal(sqlite3_open(path, &plain), SQLITE_OK);
    if (sqlite3_exec(plain, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s", sqlite3_errmsg(plain));
    sqlite3_close(plain);
}

static void expect_refusal(const char *path, dipp_store_mode mode, dipp_status status, const char *text)
{
    dipp_error error = {0};
    dipp_store *store = NULL;
    dipp_status found =
        dipp_store_open(path, &(dipp_store_options){.mode = mode, .busy_timeout_ms = 200}, &store, &error);
    if (found != status || !strstr(error.message, text))
        fail_msg("expected %s with \"%s\", found %s: %s", dipp_status_name(status), text, dipp_status_name(found),
                 error.message);
    assert_null(store);
}

static void what_is_not_a_store_is_refused_and_left_alone(void **state)
{
    const char *path = path_of(state);
    char other[512], before[64], after[64] = "";
    expect_refusal(path, DIPP_STORE_READ, DIPP_E_NOT_FOUND, "there is no store");
    expect_refusal(path, DIPP_STORE_WRITE, DIPP_E_NOT_FOUND, "there is no store");
    expect_refusal(((test_directory *)*state)->path, DIPP_STORE_CREATE, DIPP_E_INVALID, "is a directory");
    snprintf(other, sizeof other, "%s/no/such/store.db", ((test_directory *)*state)->path);
    expect_refusal(other, DIPP_STORE_CREATE, DIPP_E_NOT_FOUND, "does not exist");

    FILE *file = fopen(path, "w");
    for (int i = 0; i < 200; i++)
        fputs("this is a text, not a database\n", file);
    fclose(file);
    expect_refusal(path, DIPP_STORE_CREATE, DIPP_E_FORMAT, "not a SQLite database");
    file = fopen(path, "r");
    assert_non_null(fgets(after, sizeof after, file));
    fclose(file);
    snprintf(before, sizeof before, "this is a text, not a database\n");
    assert_string_equal(before, after);

    unlink(path);
    plain_sql(path, "CREATE TABLE cookies(a)");
    expect_refusal(path, DIPP_STORE_CREATE, DIPP_E_FORMAT, "another program");
    plain_sql(path, "INSERT INTO cookies VALUES(1)"); /* still writable, still a rollback-journal database */
}

static void a_newer_schema_is_refused_and_an_older_one_is_migrated(void **state)
{
    static const dipp_store_migration steps[] = {
        {2, "SELECT 1"},
        {3, "ALTER TABLE runs ADD COLUMN note TEXT"},
        {4, "CREATE TABLE extra(run_id INTEGER REFERENCES runs) STRICT; INSERT INTO extra SELECT run_id FROM runs"}};
    static const char *const new_views = "CREATE VIEW leaderboard AS SELECT note FROM runs";
    dipp_error error = {0};
    dipp_store *store;
    int64_t run;
    char backup[512];
    assert_ok(dipp_store_open(path_of(state), NULL, &store, &error), error);
    one_run(store, NULL, &run);
    /* a step that fails leaves everything as it was */
    const dipp_store_migration broken[] = {steps[0], steps[1], {4, "CREATE TABLE runs(a)"}};
    assert_int_not_equal(dipp_store_migrate(store, broken, 3, new_views, &error), DIPP_OK);
    assert_int_equal(number_of(store, "PRAGMA user_version"), 2);
    assert_int_equal(number_of(store, "SELECT count(*) FROM pragma_table_info('runs') WHERE name='note'"), 0);
    const dipp_store_migration orphan[] = {steps[0], {3, "DELETE FROM experiments"}};
    assert_int_equal(dipp_store_migrate(store, orphan, 2, new_views, &error), DIPP_E_INTERNAL);
    assert_int_equal(number_of(store, "SELECT count(*) FROM experiments"), 1);

    assert_ok(dipp_store_migrate(store, steps, 3, new_views, &error), error);
    assert_int_equal(number_of(store, "PRAGMA user_version"), 4);
    assert_int_equal(number_of(store, "SELECT count(*) FROM extra"), 1);
    assert_int_equal(number_of(store, "SELECT count(*) FROM sqlite_schema WHERE type='view'"), 1);
    assert_int_equal(number_of(store, "SELECT group_concat(version)='1,2,3,4' FROM migrations"), 1);
    assert_int_equal(number_of(store, "PRAGMA foreign_keys"), 1);
    dipp_store_close(&store);
    expect_refusal(path_of(state), DIPP_STORE_CREATE, DIPP_E_UNSUPPORTED, "newer dipp");
    expect_refusal(path_of(state), DIPP_STORE_READ, DIPP_E_UNSUPPORTED, "newer dipp");
    snprintf(backup, sizeof backup, "%s.v2-backup", path_of(state));
    assert_ok(dipp_store_open(backup, &(dipp_store_options){.mode = DIPP_STORE_READ}, &store, &error), error);
    assert_int_equal(number_of(store, "SELECT count(*) FROM runs"), 1);
    dipp_store_close(&store);
    plain_sql(path_of(state), "PRAGMA user_version=0");
    expect_refusal(path_of(state), DIPP_STORE_READ, DIPP_E_UNSUPPORTED, "open it once for writing");
}

static void a_full_disk_loses_nothing_recorded(void **state)
{
    dipp_error error = {0};
    dipp_store *store;
    int64_t run;
    assert_ok(dipp_store_open(path_of(state), NULL, &store, &error), error);
    one_run(store, NULL, &run);
    sqlite3 *raw = dipp_store_connection(store);
    char sql[64];
    snprintf(sql, sizeof sql, "PRAGMA max_page_count=%d", (int)number_of(store, "PRAGMA page_count") + 2);
    assert_int_equal(sqlite3_exec(raw, sql, NULL, NULL, NULL), SQLITE_OK);
    int64_t stored = 0;
    dipp_status status = DIPP_OK;
    while (status == DIPP_OK && stored < 100000) {
        dipp_metric_point points[50];
        for (int i = 0; i < 50; i++)
            points[i] = (dipp_metric_point){"loss", stored + i, 1.0};
        status = dipp_store_metrics_put(store, run, 1, points, 50, &error);
        if (status == DIPP_OK)
            stored += 50;
    }
    assert_int_equal(status, DIPP_E_IO);
    assert_non_null(strstr(error.message, "disk full"));
    assert_non_null(strstr(error.message, "nothing recorded so far is lost"));
    assert_int_equal(number_of(store, "SELECT count(*) FROM metrics"), stored);
    /* there is room again: the same store goes on */
    assert_int_equal(sqlite3_exec(raw, "PRAGMA max_page_count=100000", NULL, NULL, NULL), SQLITE_OK);
    assert_ok(dipp_store_metrics_put(store, run, 1, &(dipp_metric_point){"loss", stored, 1.0}, 1, &error), error);
    assert_ok(dipp_store_check(store, &error), error);
    dipp_store_close(&store);
    assert_ok(dipp_store_open(path_of(state), NULL, &store, &error), error);
    assert_int_equal(number_of(store, "SELECT count(*) FROM metrics"), stored + 1);
    dipp_store_close(&store);
}

/* Runs check in a child that may not override permissions; 0 = it held. */
static int as_ordinary_user(int (*check)(const char *path), const char *path)
{
    pid_t child = fork();
    if (child == 0) {
        if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
            _exit(99);
        _exit(check(path));
    }
    int result = -1;
    waitpid(child, &result, 0);
    return WIFEXITED(result) ? WEXITSTATUS(result) : 98;
}

static int cannot_write_but_can_read(const char *path)
{
    dipp_error error = {0};
    dipp_store *store = NULL;
    if (dipp_store_open(path, NULL, &store, &error) != DIPP_E_IO || !strstr(error.message, path) ||
        !strstr(error.message, "permissions"))
        return 1;
    if (dipp_store_open(path, &(dipp_store_options){.mode = DIPP_STORE_READ}, &store, &error) != DIPP_OK)
        return 2;
    int status = number_of(store, "SELECT count(*) FROM summary") == 1 ? 0 : 3;
    if (dipp_store_heartbeat(store, 1, 1, 1, &error) != DIPP_E_IO || !strstr(error.message, "reading only"))
        status = 4;
    dipp_store_close(&store);
    return status;
}

static int cannot_create(const char *path)
{
    dipp_error error = {0};
    dipp_store *store = NULL;
    return dipp_store_open(path, NULL, &store, &error) == DIPP_E_IO && strstr(error.message, "cannot open") ? 0 : 1;
}

static void a_read_only_store_is_read_and_not_written(void **state)
{
    dipp_error error = {0};
    dipp_store *store;
    int64_t run;
    test_directory *directory = *state;
    char other[512];
    assert_ok(dipp_store_open(path_of(state), NULL, &store, &error), error);
    one_run(store, NULL, &run);
    dipp_store_close(&store);
    assert_int_equal(chmod(path_of(state), 0444), 0);
    assert_int_equal(chmod(directory->path, 0555), 0);
    assert_int_equal(as_ordinary_user(cannot_write_but_can_read, path_of(state)), 0);
    snprintf(other, sizeof other, "%s/new.db", directory->path);
    assert_int_equal(as_ordinary_user(cannot_create, other), 0);
}

static void a_locked_store_names_who_holds_it(void **state)
{
    dipp_error error = {0};
    dipp_store *store;
    int64_t run;
    for (int i = 0; i < 2; i++) {
        const char *journal = i ? "truncate" : "wal";
        assert_ok(dipp_store_open(path_of(state), &(dipp_store_options){.busy_timeout_ms = 150, .journal = journal},
                                  &store, &error),
                  error);
        assert_string_equal(dipp_store_journal_mode(store), journal);
        one_run(store, NULL, &run);
        dipp_store_close(&store); /* before fork */
        int ready[2];
        assert_int_equal(pipe(ready), 0);
        pid_t child = fork();
        if (child == 0) {
            dipp_store *own;
            if (dipp_store_open(path_of(state), &(dipp_store_options){.journal = journal}, &own, NULL) != DIPP_OK ||
                dipp_store_begin(own, NULL) != DIPP_OK || write(ready[1], "x", 1) != 1)
                _exit(1);
            for (;;)
                pause();
        }
        char byte, pid[32];
        close(ready[1]);
        assert_int_equal(read(ready[0], &byte, 1), 1);
        close(ready[0]);
        assert_ok(dipp_store_open(path_of(state), &(dipp_store_options){.busy_timeout_ms = 150, .journal = journal},
                                  &store, &error),
                  error);
        kill(child, SIGSTOP);
        assert_int_equal(dipp_store_heartbeat(store, run, 1, 1, &error), DIPP_E_BUSY);
        snprintf(pid, sizeof pid, "process %ld ", (long)child);
        if (access("/proc/locks", R_OK) == 0 && !strstr(error.message, pid))
            fail_msg("%s", error.message);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        assert_ok(dipp_store_heartbeat(store, run, 1, 1, &error), error);
        dipp_store_close(&store);
    }
}

static void a_damaged_store_is_said_to_be_damaged(void **state)
{
    dipp_error error = {0};
    dipp_store *store;
    assert_ok(dipp_store_open(path_of(state), NULL, &store, &error), error);
    fill_synthetic(store);
    assert_ok(dipp_store_check(store, &error), error);
    /* a row without its parent, which a shell without foreign_keys can make */
    dipp_store_close(&store);
    plain_sql(path_of(state), "PRAGMA foreign_keys=OFF; DELETE FROM plugins");
    assert_ok(dipp_store_open(path_of(state), NULL, &store, &error), error);
    assert_int_equal(dipp_store_check(store, &error), DIPP_E_FORMAT);
    assert_non_null(strstr(error.message, "missing row of plugins"));
    int pages = (int)number_of(store, "PRAGMA page_count");
    dipp_store_close(&store);
    int file = open(path_of(state), O_WRONLY);
    char noise[4096];
    memset(noise, 0xA5, sizeof noise);
    for (int page = 8; page < pages; page++)
        assert_int_equal(pwrite(file, noise, sizeof noise, (off_t)page * 4096), (ssize_t)sizeof noise);
    close(file);
    dipp_status status = dipp_store_open(path_of(state), NULL, &store, &error);
    if (status == DIPP_OK) {
        status = dipp_store_check(store, &error);
        dipp_store_close(&store);
    }
    assert_int_equal(status, DIPP_E_FORMAT);
    assert_non_null(strstr(error.message, ".recover"));
}

static void the_journal_can_be_chosen(void **state)
{
    dipp_error error = {0};
    dipp_store *store;
    setenv("DIPP_STORE_JOURNAL", "truncate", 1);
    assert_ok(dipp_store_open(path_of(state), NULL, &store, &error), error);
    assert_string_equal(dipp_store_journal_mode(store), "truncate");
    assert_int_equal(number_of(store, "PRAGMA synchronous"), 2);
    dipp_store_close(&store);
    setenv("DIPP_STORE_JOURNAL", "off", 1);
    expect_refusal(path_of(state), DIPP_STORE_CREATE, DIPP_E_INVALID, "must be auto, wal or truncate");
    unsetenv("DIPP_STORE_JOURNAL");
    assert_ok(dipp_store_open(path_of(state), NULL, &store, &error), error);
    assert_string_equal(dipp_store_journal_mode(store), "wal");
    assert_int_equal(number_of(store, "PRAGMA synchronous"), 1);
    dipp_store_close(&store);
}

int main(void)
{
#define in_a_directory(test) cmocka_unit_test_setup_teardown(test, make_directory, remove_directory)
    const struct CMUnitTest tests[] = {
        in_a_directory(what_is_not_a_store_is_refused_and_left_alone),
        in_a_directory(a_newer_schema_is_refused_and_an_older_one_is_migrated),
        in_a_directory(a_full_disk_loses_nothing_recorded),
        in_a_directory(a_read_only_store_is_read_and_not_written),
        in_a_directory(a_locked_store_names_who_holds_it),
        in_a_directory(a_damaged_store_is_said_to_be_damaged),
        in_a_directory(the_journal_can_be_chosen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
