#include "tensor/freeze.h"

#include "base/text.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "{3..12}" at pattern: its ends, and how long it is; 0 when it is no such range. */
static size_t range_at(const char *pattern, long *low, long *high)
{
    char *end = NULL;
    if (!isdigit((unsigned char)pattern[1]))
        return 0;
    *low = strtol(pattern + 1, &end, 10);
    if (strncmp(end, "..", 2) || !isdigit((unsigned char)end[2]))
        return 0;
    *high = strtol(end + 2, &end, 10);
    return *end == '}' && *low <= *high ? (size_t)(end + 1 - pattern) : 0;
}

static bool means(const char *pattern, const char *name)
{
    for (; *pattern && *pattern != '*'; pattern++, name++) {
        long low, high;
        size_t length = *pattern == '{' ? range_at(pattern, &low, &high) : 0;
        if (length) {
            char *end = NULL;
            if (!isdigit((unsigned char)*name))
                return false;
            long number = strtol(name, &end, 10);
            if (number < low || number > high)
                return false;
            pattern += length - 1;
            name = end - 1;
        } else if (*pattern != *name) {
            return false;
        }
    }
    if (!*pattern)
        return !*name;
    for (;; name++) { /* at a star: some rest of the name fits the rest of the pattern */
        if (means(pattern + 1, name))
            return true;
        if (!*name)
            return false;
    }
}

static dipp_status check(const char *pattern, dipp_error *error)
{
    long low, high;
    for (const char *at = pattern; (at = strpbrk(at, "{}")) != NULL; at++) {
        size_t length = *at == '{' ? range_at(at, &low, &high) : 0;
        if (!length)
            return dipp_fail(error, DIPP_E_INVALID, "`%s`: a brace is for numbers, as {0..12}", pattern);
        at += length - 1;
    }
    return DIPP_OK;
}

dipp_status dipp_name_matches(const char *pattern, const char *name, bool *matches, dipp_error *error)
{
    dipp_status status = check(pattern, error);
    *matches = status == DIPP_OK && means(pattern, name);
    return status;
}

dipp_status dipp_layout_freeze(dipp_layout *layout, const char *pattern, uint32_t *count, dipp_error *error)
{
    dipp_status status = check(pattern, error);
    size_t distance = SIZE_MAX;
    const char *nearest = "";
    *count = 0;
    for (uint32_t i = 0; i < dipp_layout_count(layout) && status == DIPP_OK; i++) {
        const char *name = dipp_layout_entry_at(layout, i)->name;
        if (means(pattern, name)) {
            status = dipp_layout_mark_frozen(layout, i, error);
            ++*count;
        } else if (!*count && dipp_edit_distance(pattern, name) < distance) {
            distance = dipp_edit_distance(pattern, name);
            nearest = name;
        }
    }
    if (status == DIPP_OK && !*count)
        status = dipp_fail(error, DIPP_E_INVALID, "`%s` means none of the %u parameters of %s; the nearest is %s",
                           pattern, dipp_layout_count(layout), dipp_layout_name(layout), nearest);
    return status;
}
