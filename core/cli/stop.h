/* SIGINT and SIGTERM become a number that loops look at. */
#ifndef DIPP_CLI_STOP_H
#define DIPP_CLI_STOP_H

#include <signal.h>

/* How many of these signals came since cli_catch_stop. */
extern volatile sig_atomic_t cli_stop;

void cli_catch_stop(void);

/* A pipe without a reader, or a file above the limit of its size, is an error of write and no death. */
void cli_ignore_write_signals(void);

#endif
