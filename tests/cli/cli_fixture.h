/* Runs the program in a folder of its own, and asks the database what came of it. */
#ifndef DIPP_TESTS_CLI_FIXTURE_H
#define DIPP_TESTS_CLI_FIXTURE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Makes a folder and goes there; *state is for cli_teardown. */
int cli_setup(void **state);
int cli_teardown(void **state);

void write_file(const char *name, const char *text);

/* Starts `dipp ARGUMENTS` (one string, split at blanks, no quoting) with its output in NAME.out; unprivileged: as a user
 * that may write nothing. */
pid_t start_dipp(const char *name, const char *arguments, bool unprivileged);
/* Waits; the exit code, or minus the signal. */
int wait_for(pid_t pid);
/* Both. The output is in output(). */
int dipp(const char *arguments);
/* What the last dipp() or the named start wrote, standard output and error together; valid until the next call. */
const char *output(const char *name);
bool output_has(const char *text);

/* The first column of the first row as a number or text; -1 and "" when there is no row. */
int64_t ask(const char *database, const char *sql);
const char *ask_text(const char *database, const char *sql);
/* A digest of all rows of a query. */
uint64_t digest_rows(const char *database, const char *sql);
/* A digest of a file's bytes; fails the test when there is none. */
uint64_t digest_file(const char *path);
/* The path of a run's result: NAME/runs/UUID/FILE. */
const char *result_path(const char *database, int run, const char *file);

/* integrity_check and foreign_key_check are clean. */
void assert_sound(const char *database);

#endif
