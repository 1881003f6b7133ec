#include "base/log.h"

#include <stdio.h>

void dipp_log_message(const dipp_log *log, dipp_log_level level, const char *format, ...)
{
    if (!log || !log->write || level < log->least)
        return;
    char message[DIPP_ERROR_MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    log->write(log->user, level, message);
}

const char *dipp_log_level_name(dipp_log_level level)
{
    switch (level) {
    case DIPP_LOG_DEBUG: return "debug";
    case DIPP_LOG_INFO: return "info";
    case DIPP_LOG_WARNING: return "warning";
    case DIPP_LOG_ERROR: return "error";
    }
    return "unknown level";
}
