/* A program that answers requests: bytes into its standard input, one line out of its standard output. */
#ifndef DIPP_PLUGINS_PIPE_CHILD_H
#define DIPP_PLUGINS_PIPE_CHILD_H

#include <dipp/status.h>

#include <sys/types.h>

typedef struct child {
    pid_t pid; /* 0: not running */
    int in, out;
    char *line; /* the last answer, without its newline; owned */
    size_t length, capacity;
} child;

/* Starts argv (NULL-terminated, looked up on PATH) in a process group of its own, which dies with this process.
 * Standard error is shared. DIPP_E_NOT_FOUND when it cannot be run, DIPP_E_IO. */
dipp_status child_start(child *c, char *const *argv, dipp_error *error);

/* Sends bytes and waits for one line of at most limit bytes, at most seconds in all; c->line is valid until the next
 * call. After an error (DIPP_E_PLUGIN: it ended, hung, or wrote what it should not; DIPP_E_MEMORY) the child is
 * gone. */
dipp_status child_ask(child *c, const void *request, size_t bytes, size_t limit, double seconds, dipp_error *error);

/* Kills the group and waits; nothing when none runs. Frees the line. */
void child_stop(child *c);

#endif
