/* Running code that is not trusted to come back: a child process runs a function and writes what it found into a
 * pipe; the parent waits for the end of the pipe or for a time limit. Used by the probe and by the plugin kit. */
#ifndef DIPP_PLUGIN_PLUGIN_CHILD_H
#define DIPP_PLUGIN_PLUGIN_CHILD_H

#include <dipp/status.h>

#include <stdbool.h>

/* Runs in the child, whose only open file is the pipe (and /dev/null for the standard ones); returns its exit
 * status. stage is seen by the parent, whatever happens. */
typedef int (*dipp_child_body)(void *context, volatile int *stage);

typedef struct dipp_child_answer {
    char *data; /* size bytes and a zero; freed with dipp_release; NULL when nothing came */
    size_t size, capacity;
    bool timed_out, too_long, no_memory;
    int wait_status; /* as waitpid gives it */
    int stage;       /* the last that body set */
} dipp_child_answer;

/* Forks; the child dies with this process, dumps no core and has default signals. At most limit bytes of answer.
 * DIPP_OK when there was a child, however it ended; DIPP_E_MEMORY, DIPP_E_IO. [one thread at a time] */
dipp_status dipp_child_run(dipp_child_body body, void *context, uint32_t timeout_ms, size_t limit,
                           dipp_child_answer *answer, dipp_error *error);

/* For body: writes all bytes to the parent; 0, or -1 when it is gone. */
int dipp_child_write(const char *data, size_t size);

#endif
