/* The subcommands. Each gets argv from its own name on and returns an exit code. */
#ifndef DIPP_CLI_COMMANDS_H
#define DIPP_CLI_COMMANDS_H

#include "cli/common.h"

int cli_run(int argc, char **argv);
int cli_run_cell(int argc, char **argv);
int cli_world(int argc, char **argv);

extern const char cli_run_details[], cli_world_details[];

#endif
