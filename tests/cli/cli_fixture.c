#include "cli_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

static char folder[256], text[1 << 20];

int cli_setup(void **state)
{
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/dipp-cli-XXXXXX", base ? base : "/tmp");
    *state = folder;
    return mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

int cli_teardown(void **state)
{
    char command[320];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return chdir("/") == 0 && system(command) == 0 ? 0 : -1;
}

void write_file(const char *name, const char *content)
{
    FILE *file = fopen(name, "w");
    assert_non_null(file);
    assert_true(fputs(content, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

pid_t start_dipp(const char *name, const char *arguments, bool unprivileged)
{
    char copy[2048], file[64];
    char *words[64] = {getenv("DIPP_PROGRAM")};
    size_t count = 1;
    assert_non_null(words[0]);
    snprintf(copy, sizeof copy, "%s", arguments);
    char *rest = NULL;
    for (char *word = strtok_r(copy, " ", &rest); word && count < 63; word = strtok_r(NULL, " ", &rest))
        words[count++] = word;
    snprintf(file, sizeof file, "%s.out", name);
    int out = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    assert_true(out >= 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (unprivileged && geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
            _exit(126);
        dup2(out, 1);
        dup2(out, 2);
        execv(words[0], words);
        _exit(127);
    }
    close(out);
    return pid;
}

int wait_for(pid_t pid)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0)
        assert_int_equal(errno, EINTR);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

int dipp(const char *arguments)
{
    return wait_for(start_dipp("dipp", arguments, false));
}

const char *output(const char *name)
{
    char file[64];
    snprintf(file, sizeof file, "%s.out", name ? name : "dipp");
    FILE *stream = fopen(file, "r");
    size_t got = stream ? fread(text, 1, sizeof text - 1, stream) : 0;
    text[got] = 0;
    if (stream)
        fclose(stream);
    return text;
}

bool output_has(const char *wanted)
{
    bool found = strstr(output(NULL), wanted) != NULL;
    if (!found)
        print_message("expected `%s` in:\n%s\n", wanted, text);
    return found;
}

static sqlite3_stmt *prepare(const char *database, const char *sql, sqlite3 **connection)
{
    sqlite3_stmt *statement = NULL;
    assert_int_equal(sqlite3_open_v2(database, connection, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    sqlite3_busy_timeout(*connection, 10000);
    if (sqlite3_prepare_v2(*connection, sql, -1, &statement, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(*connection));
    return statement;
}

int64_t ask(const char *database, const char *sql)
{
    sqlite3 *connection;
    sqlite3_stmt *statement = prepare(database, sql, &connection);
    int64_t value = sqlite3_step(statement) == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : -1;
    sqlite3_finalize(statement);
    sqlite3_close(connection);
    return value;
}

const char *ask_text(const char *database, const char *sql)
{
    static char value[4096];
    sqlite3 *connection;
    sqlite3_stmt *statement = prepare(database, sql, &connection);
    bool row = sqlite3_step(statement) == SQLITE_ROW && sqlite3_column_text(statement, 0);
    snprintf(value, sizeof value, "%s", row ? (const char *)sqlite3_column_text(statement, 0) : "");
    sqlite3_finalize(statement);
    sqlite3_close(connection);
    return value;
}

static uint64_t mix(uint64_t hash, const void *data, size_t bytes) /* FNV-1a */
{
    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ ((const unsigned char *)data)[i]) * 1099511628211u;
    return hash;
}

uint64_t digest_rows(const char *database, const char *sql)
{
    sqlite3 *connection;
    sqlite3_stmt *statement = prepare(database, sql, &connection);
    uint64_t hash = 1469598103934665603u;
    size_t rows = 0;
    for (; sqlite3_step(statement) == SQLITE_ROW; rows++)
        for (int i = 0; i < sqlite3_column_count(statement); i++) {
            double number = sqlite3_column_double(statement, i);
            const char *words = (const char *)sqlite3_column_text(statement, i);
            hash = mix(hash, &number, sizeof number);
            hash = mix(hash, words ? words : "", words ? strlen(words) : 0);
        }
    assert_true(rows > 0);
    sqlite3_finalize(statement);
    sqlite3_close(connection);
    return hash;
}

uint64_t digest_file(const char *path)
{
    FILE *stream = fopen(path, "r");
    if (!stream)
        fail_msg("there is no %s", path);
    uint64_t hash = 1469598103934665603u;
    char data[4096];
    for (size_t got; (got = fread(data, 1, sizeof data, stream)) > 0;)
        hash = mix(hash, data, got);
    fclose(stream);
    return hash;
}

const char *result_path(const char *database, int run, const char *file)
{
    static char path[512];
    char sql[96], base[128];
    snprintf(base, sizeof base, "%s", database);
    char *dot = strrchr(base, '.');
    if (dot)
        *dot = 0;
    snprintf(sql, sizeof sql, "SELECT run_uuid FROM runs WHERE run_id=%d", run);
    snprintf(path, sizeof path, "%s/runs/%.36s/%s", base, ask_text(database, sql), file);
    return path;
}

void assert_sound(const char *database)
{
    assert_string_equal(ask_text(database, "PRAGMA integrity_check"), "ok");
    assert_int_equal(ask(database, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
}
