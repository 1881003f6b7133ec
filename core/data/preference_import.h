/* Preferences in the layouts in which others published theirs. Inside libdipp. */
#ifndef DIPP_DATA_PREFERENCE_IMPORT_H
#define DIPP_DATA_PREFERENCE_IMPORT_H

#include "data/json_lines.h"
#include "data/preferences.h"

/* Adds what path holds in any format but JSONL; the set is not finished. Errors as of dipp_preferences_read. */
dipp_status dipp_preferences_import(const char *path, dipp_preference_format format, dipp_preferences *set,
                                    dipp_error *error);

#endif
