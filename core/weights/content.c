#include "weights/content.h"

#include <stdio.h>
#include <string.h>

char *dipp_weight_quote(const char *name, char out[DIPP_QUOTED_BYTES])
{
    enum { LONGEST = 100 };
    size_t length = strlen(name), kept = length < LONGEST ? length : LONGEST;
    while (kept < length && kept && ((unsigned char)name[kept] & 0xc0) == 0x80)
        kept--; /* not inside a character */
    char *end = out;
    *end++ = '"';
    for (size_t i = 0; i < kept; i++)
        *end++ = (unsigned char)name[i] < 32 || name[i] == 127 ? '?' : name[i];
    memcpy(end, kept < length ? "...\"" : "\"", kept < length ? 5 : 2);
    return out;
}

char *dipp_weight_shape_text(uint32_t rank, const uint64_t *shape, char out[DIPP_SHAPE_TEXT_BYTES])
{
    size_t used = 0;
    out[used++] = '[';
    for (uint32_t i = 0; i < rank && i < DIPP_WEIGHT_MAX_RANK; i++)
        used += (size_t)snprintf(out + used, DIPP_SHAPE_TEXT_BYTES - used, "%s%llu", i ? ", " : "",
                                 (unsigned long long)shape[i]);
    out[used++] = ']';
    out[used] = 0;
    return out;
}

dipp_status dipp_weight_fail(dipp_error *error, dipp_status code, const char *file, const char *name,
                             const char *format, ...)
{
    char quoted[DIPP_QUOTED_BYTES];
    va_list arguments;
    va_start(arguments, format);
    dipp_fail_v(error, code, format, arguments);
    va_end(arguments);
    if (error)
        dipp_error_context(error, "%s: tensor %s", file, dipp_weight_quote(name, quoted));
    return code;
}
