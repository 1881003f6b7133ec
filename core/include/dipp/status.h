/* Status codes and the caller-owned error message that every dipp door fills.
 *
 * Rules: a function that can fail returns dipp_status and takes a dipp_error * last. The caller owns the
 * dipp_error; it may be NULL when the caller does not want the text. On failure outputs are untouched unless
 * the function says otherwise. Nothing in libdipp exits, aborts or prints. */
#ifndef DIPP_STATUS_H
#define DIPP_STATUS_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum dipp_status {
    DIPP_OK = 0,
    DIPP_DISCARD = 1,        /* this step is unusable (not finite); state is unchanged, going on is fine */
    DIPP_E_INVALID = 2,      /* the caller's value is wrong: argument, configuration, shape */
    DIPP_E_MEMORY = 3,       /* no memory, or a plan that cannot fit */
    DIPP_E_IO = 4,           /* the operating system refused: read, write, open, rename */
    DIPP_E_FORMAT = 5,       /* a file's content is malformed */
    DIPP_E_UNSUPPORTED = 6,  /* valid, but not available here: backend, CPU, build option */
    DIPP_E_NOT_FOUND = 7,    /* file, plugin, tensor, run, metric */
    DIPP_E_PLUGIN = 8,       /* a plugin broke its contract: crashed, hung, lied, wrong ABI */
    DIPP_E_NUMERIC = 9,      /* the computation diverged */
    DIPP_E_BUSY = 10,        /* somebody else holds it: database locked, run being executed */
    DIPP_E_INTERRUPTED = 11, /* a signal asked to stop; state was saved */
    DIPP_E_INTERNAL = 12     /* a bug in dipp */
} dipp_status;

enum { DIPP_ERROR_MESSAGE_BYTES = 2048 };

typedef struct dipp_error {
    dipp_status code;
    char message[DIPP_ERROR_MESSAGE_BYTES]; /* one or more lines, no trailing newline, valid UTF-8 */
} dipp_error;

#if defined(__GNUC__)
#define DIPP_PRINTF(format_index, first) __attribute__((format(printf, format_index, first)))
#else
#define DIPP_PRINTF(format_index, first)
#endif

/* Fills *error (when not NULL) and returns code, so that a door reads `return dipp_fail(error, ...)`. [any thread] */
dipp_status dipp_fail(dipp_error *error, dipp_status code, const char *format, ...) DIPP_PRINTF(3, 4);

/* The same with a va_list. [any thread] */
dipp_status dipp_fail_v(dipp_error *error, dipp_status code, const char *format, va_list arguments);

/* Puts "context: " before the message already in *error; returns error->code. [any thread] */
dipp_status dipp_error_context(dipp_error *error, const char *format, ...) DIPP_PRINTF(2, 3);

/* A short English name of the code, static. [any thread] */
const char *dipp_status_name(dipp_status code);

#ifdef __cplusplus
}
#endif
#endif
