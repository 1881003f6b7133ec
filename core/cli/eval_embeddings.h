/* dipp eval --embeddings: scores of picture embeddings from files. */
#ifndef DIPP_CLI_EVAL_EMBEDDINGS_H
#define DIPP_CLI_EVAL_EMBEDDINGS_H

#include "cli/options.h"

#include <dipp/status.h>

/* Prints a table of every row of the .npy files and its score by the head's file. Embeddings are of no prompt and no
 * run: nothing is stored. Errors as reading and scoring have them; DIPP_E_INVALID for an embedding of another width. */
dipp_status cli_eval_embeddings(const cli_list *files, const cli_list *more_files, const char *head_path,
                                dipp_error *error);

#endif
