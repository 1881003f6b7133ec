/* The monitor of an alignment: on schedule it draws a fixed set of prompts and noise with the generator as it is, scores the
 * trained rewards and judges that nobody trains on, and compares them with what the run started from (evaluate/alarm.h).
 * Rows are metrics by step, monitor.NAME; they are no evaluations and enter no table of arms. Page: docs/monitor.md. */
#ifndef DIPP_EXPERIMENT_RUN_MONITOR_H
#define DIPP_EXPERIMENT_RUN_MONITOR_H

#include "experiment/run_record.h"
#include "experiment/run_setup.h"

#include <signal.h>

typedef struct dipp_run_monitor dipp_run_monitor;

/* The code of its event. */
extern const char dipp_monitor_event[];

/* Whether the configuration asks for one. [any thread] */
bool dipp_run_monitored(const dipp_config *config);

/* Reads monitor.*, where there is one. All are borrowed; stop may be NULL. record NULL: nothing is stored, and only prepare
 * is useful. DIPP_E_INVALID for judges that there are not or that give no score of a single picture. */
dipp_status dipp_run_monitor_create(dipp_run_setup *setup, dipp_run_record *record, int64_t seed,
                                    const volatile sig_atomic_t *stop, dipp_run_monitor **out, dipp_error *error);
void dipp_run_monitor_destroy(dipp_run_monitor **monitor);
/* As dipp_evaluation_prepare; adds to *device and *host. */
dipp_status dipp_run_monitor_prepare(dipp_run_monitor *monitor, size_t *device, size_t *host, dipp_error *error);

/* Scores what the run starts from: before any step, and before a checkpoint is read. Every attempt does it anew, so that
 * nothing of it need be kept. */
dipp_status dipp_run_monitor_start(dipp_run_monitor *monitor, dipp_error *error);
/* The attempt goes on from this step: takes up what was seen up to there and forgets what was seen beyond. At step 0 it
 * writes the rows of the start. */
dipp_status dipp_run_monitor_resume(dipp_run_monitor *monitor, int64_t step, dipp_error *error);

/* false: the run is trained on a reward, and every judge is that reward, so that there is none. */
bool dipp_run_monitor_can_alarm(const dipp_run_monitor *monitor);

bool dipp_run_monitor_due(const dipp_run_monitor *monitor, int64_t step);
/* Looks. The first alarm of a run becomes an event. */
dipp_status dipp_run_monitor_look(dipp_run_monitor *monitor, int64_t step, int64_t images_seen, dipp_error *error);

int64_t dipp_run_monitor_last_look(const dipp_run_monitor *monitor); /* 0 before the first */

/* What the alarm said, NULL before there is one; and whether it is to end the run. */
const char *dipp_run_monitor_alarm(const dipp_run_monitor *monitor);
bool dipp_run_monitor_stops(const dipp_run_monitor *monitor);

#endif
