/* Messages for people. There is no global logger: whoever may speak is handed a dipp_log. */
#ifndef DIPP_BASE_LOG_H
#define DIPP_BASE_LOG_H

#include <dipp/status.h>

typedef enum dipp_log_level {
    DIPP_LOG_DEBUG = 0,
    DIPP_LOG_INFO = 1,
    DIPP_LOG_WARNING = 2,
    DIPP_LOG_ERROR = 3
} dipp_log_level;

/* The receiver. write gets one complete message (UTF-8, no trailing newline, cut at DIPP_ERROR_MESSAGE_BYTES) and may
 * be called from any thread that was handed the log: it locks what it must. It does not fail and does not log. */
typedef struct dipp_log {
    dipp_log_level least; /* messages below are dropped before they are formatted */
    void (*write)(void *user, dipp_log_level level, const char *message);
    void *user;
} dipp_log;

/* log may be NULL, or without a writer: silence. [any thread, if the writer is] */
void dipp_log_message(const dipp_log *log, dipp_log_level level, const char *format, ...) DIPP_PRINTF(3, 4);

/* "debug", "info", "warning", "error"; static. */
const char *dipp_log_level_name(dipp_log_level level);

#endif
