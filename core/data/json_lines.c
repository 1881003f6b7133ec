#include "data/json_lines.h"

#include "base/file.h"
#include "base/memory.h"

#include <stdio.h>
#include <string.h>

enum { WHERE_BYTES = 512 };

dipp_status dipp_each_json_line_of(const char *data, size_t bytes, const char *path, dipp_take_json take, void *context,
                                   dipp_error *error)
{
    char where[WHERE_BYTES];
    dipp_status status = DIPP_OK;
    long number = 0;
    for (size_t at = 0; at < bytes && status == DIPP_OK;) {
        const char *line = data + at, *end = memchr(line, '\n', bytes - at);
        size_t length = end ? (size_t)(end - line) : bytes - at;
        at += length + 1;
        number++;
        if (strspn(line, " \t\r\n") >= length)
            continue;
        snprintf(where, sizeof where, "%.480s:%ld", path, number);
        json_error_t problem;
        json_t *object = json_loadb(line, length, JSON_REJECT_DUPLICATES, &problem);
        if (!object)
            status = json_error_code(&problem) == json_error_out_of_memory
                         ? dipp_fail(error, DIPP_E_MEMORY, "%s: no memory for the line", where)
                         : dipp_fail(error, DIPP_E_FORMAT, "%s: not JSON: %s", where, problem.text);
        else if (!json_is_object(object))
            status = dipp_fail(error, DIPP_E_FORMAT, "%s: expected a JSON object {...} on each line", where);
        else
            status = take(context, object, where, error);
        json_decref(object);
    }
    return status;
}

dipp_status dipp_each_json_line(const char *path, dipp_take_json take, void *context, dipp_error *error)
{
    char *data = NULL;
    size_t bytes = 0;
    dipp_status status = dipp_file_read(path, DIPP_JSON_LINES_BYTES, &data, &bytes, error);
    if (status == DIPP_OK)
        status = dipp_each_json_line_of(data, bytes, path, take, context, error);
    dipp_release(data);
    return status;
}
