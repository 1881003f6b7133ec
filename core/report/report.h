/* The report of an experiment: one HTML file that opens from the disk, without network or script. docs/report.md. */
#ifndef DIPP_REPORT_REPORT_H
#define DIPP_REPORT_REPORT_H

#include "store/store.h"

/* Renders the experiment's report as UTF-8 text, freed with dipp_release; every document is well-formed XML as well.
 * The same database and picture files give the same bytes. Pictures are read from paths relative to the database; one
 * that is missing or was changed since is left out, which the report says. Errors: NOT_FOUND (no such experiment; the
 * text lists what there is), INVALID (nothing to report: no run is completed, or nothing was measured), MEMORY, and
 * those of the store. [one thread at a time per store] */
dipp_status dipp_report_render(dipp_store *store, const char *experiment, char **html, dipp_error *error);

/* Renders and writes it, atomically. path NULL: NAME/reports/EXPERIMENT.html beside the database NAME.db, whose folder
 * is made. *written (or NULL) is the path, freed with dipp_release. Errors also: IO. */
dipp_status dipp_report_write(dipp_store *store, const char *experiment, const char *path, char **written,
                              dipp_error *error);

#endif
