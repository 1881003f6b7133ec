/* Votes as a file of preferences. */
#ifndef DIPP_LABEL_LABEL_EXPORT_H
#define DIPP_LABEL_LABEL_EXPORT_H

#include "store/store.h"

typedef struct dipp_label_export_report {
    size_t written; /* lines: one a vote */
    size_t skipped; /* votes that say nothing of the pair */
    size_t lost;    /* votes on a picture that is gone or was changed since */
} dipp_label_export_report;

/* Writes the votes of voter (NULL: of all) to path, atomically, a line each: prompt, images (relative to the folder of
 * path where they are below it, else absolute), labels ([1, 0], [0, 1], a tie [0.5, 0.5]), voter, kind "vote".
 * Errors: NOT_FOUND (there is no vote to write, no such folder), IO, MEMORY, those of the store.
 * [one thread at a time per store] */
dipp_status dipp_label_export(dipp_store *store, const char *voter, const char *path, dipp_label_export_report *report,
                              dipp_error *error);

#endif
