#include <dipp/status.h>

#include <stdio.h>
#include <string.h>

dipp_status dipp_fail_v(dipp_error *error, dipp_status code, const char *format, va_list arguments)
{
    if (error) {
        error->code = code;
        vsnprintf(error->message, sizeof error->message, format, arguments);
    }
    return code;
}

dipp_status dipp_fail(dipp_error *error, dipp_status code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    dipp_fail_v(error, code, format, arguments);
    va_end(arguments);
    return code;
}

dipp_status dipp_error_context(dipp_error *error, const char *format, ...)
{
    if (!error)
        return DIPP_E_INTERNAL;
    char inner[sizeof error->message];
    memcpy(inner, error->message, sizeof inner);
    va_list arguments;
    va_start(arguments, format);
    int used = vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    if (used < 0)
        used = 0;
    if ((size_t)used < sizeof error->message)
        snprintf(error->message + used, sizeof error->message - (size_t)used, ": %s", inner);
    return error->code;
}

const char *dipp_status_name(dipp_status code)
{
    switch (code) {
    case DIPP_OK: return "ok";
    case DIPP_DISCARD: return "step discarded";
    case DIPP_E_INVALID: return "invalid value";
    case DIPP_E_MEMORY: return "out of memory";
    case DIPP_E_IO: return "input/output error";
    case DIPP_E_FORMAT: return "malformed file";
    case DIPP_E_UNSUPPORTED: return "not supported here";
    case DIPP_E_NOT_FOUND: return "not found";
    case DIPP_E_PLUGIN: return "plugin error";
    case DIPP_E_NUMERIC: return "not finite";
    case DIPP_E_BUSY: return "busy";
    case DIPP_E_INTERRUPTED: return "interrupted";
    case DIPP_E_INTERNAL: return "internal error";
    }
    return "unknown status";
}
