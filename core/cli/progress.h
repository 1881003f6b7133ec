/* What dipp run shows while runs work: a line for each that is redrawn on a terminal, plain lines with times otherwise. */
#ifndef DIPP_CLI_PROGRESS_H
#define DIPP_CLI_PROGRESS_H

#include "experiment/run_supervisor.h"

enum { CLI_PROGRESS_LINES = 64 };

typedef struct cli_progress_line {
    const dipp_planned_cell *planned; /* NULL: free */
    dipp_run_progress progress;
    double said; /* plain lines: seconds of the last one */
} cli_progress_line;

typedef struct cli_progress {
    bool quiet, live, colour;
    int drawn; /* lines on the screen that belong to us */
    cli_progress_line lines[CLI_PROGRESS_LINES];
} cli_progress;

void cli_progress_begin(cli_progress *progress, bool quiet);
/* For dipp_supervisor_options, with a cli_progress as context. */
void cli_progress_event(void *context, dipp_run_event event, const dipp_planned_cell *planned,
                        const dipp_run_progress *now, const char *text);
void cli_progress_idle(void *context);
void cli_progress_end(cli_progress *progress);

/* "1h02m", "3m20s", "8s"; returns out. */
char *cli_duration(double seconds, char out[24]);

#endif
