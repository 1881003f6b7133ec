/* Files with a JSON object a line. */
#ifndef DIPP_DATA_JSON_LINES_H
#define DIPP_DATA_JSON_LINES_H

#include <dipp/status.h>

#include <jansson.h>

enum { DIPP_JSON_LINES_BYTES = 1 << 30 /* of one file, at most */ };

/* One object of a file; where is "FILE:LINE". */
typedef dipp_status (*dipp_take_json)(void *context, const json_t *object, const char *where, dipp_error *error);

/* Calls take for the object of every line that is not blank. Errors: NOT_FOUND, IO, INVALID (too long), FORMAT, MEMORY, and
 * take's. */
dipp_status dipp_each_json_line(const char *path, dipp_take_json take, void *context, dipp_error *error);
/* The same of the content of a file, which path names in messages. */
dipp_status dipp_each_json_line_of(const char *data, size_t bytes, const char *path, dipp_take_json take, void *context,
                                   dipp_error *error);

#endif
