/* What dipp run prints at its end: the table of arms from the database, and where the pictures are. */
#ifndef DIPP_CLI_SUMMARY_H
#define DIPP_CLI_SUMMARY_H

#include "experiment/run_plan.h"

dipp_status cli_summary(const dipp_run_plan *plan, dipp_store *store, bool quiet, dipp_error *error);

#endif
