/* HPSv2's four-style table of a run. */
#ifndef DIPP_CLI_STYLE_TABLE_H
#define DIPP_CLI_STYLE_TABLE_H

#include "store/store.h"

/* Prints it as HPSv2's benchmark does, of the last evaluated step; nothing where the prompts have no styles. */
dipp_status cli_print_styles(dipp_store *store, int64_t run_id, dipp_error *error);

#endif
