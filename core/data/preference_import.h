/* Preferences in the layouts in which others published theirs. Inside libdipp. */
#ifndef DIPP_DATA_PREFERENCE_IMPORT_H
#define DIPP_DATA_PREFERENCE_IMPORT_H

#include "data/preferences.h"

#include <jansson.h>

enum { DIPP_PREFERENCE_FILE_BYTES = 1 << 30 /* of one file, at most */ };

/* One object of a file; where is "FILE:LINE". */
typedef dipp_status (*dipp_take_json)(void *context, const json_t *object, const char *where, dipp_error *error);

/* Calls take for the object of every line that is not blank. Errors: NOT_FOUND, IO, FORMAT, MEMORY, and take's. */
dipp_status dipp_each_json_line(const char *path, dipp_take_json take, void *context, dipp_error *error);

/* The same of the content of a file. */
dipp_status dipp_each_json_line_of(const char *data, size_t bytes, const char *path, dipp_take_json take, void *context,
                                   dipp_error *error);

/* Adds what path holds in any format but JSONL; the set is not finished. Errors as of dipp_preferences_read. */
dipp_status dipp_preferences_import(const char *path, dipp_preference_format format, dipp_preferences *set,
                                    dipp_error *error);

#endif
