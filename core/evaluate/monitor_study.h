/* Was the monitor right? The completed runs of an experiment that were watched, out of the store: the evidence that it saw,
 * whether a metric had in truth fallen at the end by the evaluation's own prompts and noise, and how well the one tells the
 * other (roc.h). Page: docs/monitor.md. */
#ifndef DIPP_EVALUATE_MONITOR_STUDY_H
#define DIPP_EVALUATE_MONITOR_STUDY_H

#include "evaluate/alarm.h"
#include "evaluate/roc.h"
#include "store/store.h"

enum { DIPP_MONITOR_JUDGES = 16, DIPP_MONITOR_CURVES = DIPP_MONITOR_JUDGES + 1 };

typedef struct dipp_monitor_study_options {
    const char *experiment;
    const char
        *truth;    /* a metric of the evaluations that scores pictures; NULL: gold where there is one, else the first
                          judge that was evaluated */
    double margin; /* a fall that counts is beyond it; NaN: monitor.margin of the run */
    double level;  /* of that claim, one-sided; 0: 0.05 */
} dipp_monitor_study_options;

/* What one set of judges saw of a run: number 0 are all of the run's, the others one judge each, by the same statistic. */
typedef struct dipp_monitor_sight {
    double evidence;    /* the most of any look; NaN: no look tested a reward and such a judge */
    int64_t alarm_step; /* -1: none. Of number 0 what the run recorded, of the others the first look at its level */
} dipp_monitor_sight;

typedef struct dipp_monitored_run {
    int64_t run_id, seed, step; /* step: its last */
    const char *arm, *config;
    dipp_monitor_sight sights[DIPP_MONITOR_CURVES];
    dipp_change truth;    /* from step 0 to the last evaluation; units 0: not evaluated */
    double margin, level; /* of the claim that it fell; of the monitor */
    bool fell;
} dipp_monitored_run;

typedef struct dipp_monitor_curve {
    const char *judges;                /* "all judges", or the one */
    uint32_t runs, hits, false_alarms; /* counted; alarms among those that fell, and among those that did not */
    dipp_roc roc;                      /* area NaN and no points where all runs are of one kind */
    double left; /* median share of the run that was still to come at the alarms that were right; NaN without any */
} dipp_monitor_curve;

typedef struct dipp_monitor_study {
    const char *truth;
    dipp_monitored_run *runs;
    size_t run_count, run_capacity;
    dipp_monitor_curve curves[DIPP_MONITOR_CURVES];
    uint32_t curve_count;
    struct dipp_arena *arena;
} dipp_monitor_study;

/* Errors: NOT_FOUND (no such experiment; no completed run of it was watched; the metric was not evaluated), those of reading
 * the store, MEMORY. *out is for dipp_monitor_study_clear, also after an error. */
dipp_status dipp_monitor_study_of(dipp_store *store, const dipp_monitor_study_options *options, dipp_monitor_study *out,
                                  dipp_error *error);
void dipp_monitor_study_clear(dipp_monitor_study *study);

#endif
