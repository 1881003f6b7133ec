/* dipp run, for commands that are a dipp run of one stage. */
#ifndef DIPP_CLI_RUN_H
#define DIPP_CLI_RUN_H

#include "cli/options.h"

/* Runs what is missing of an experiment; stage: every configuration of it must be of this stage, NULL of any. */
int cli_run_experiment(const cli_command *self, const char *stage, int argc, char **argv);

#endif
