/* The arms of an experiment against one of them, out of the store: who is compared at which point of training, and what
 * the differences may claim (statistics.h). Only completed runs count, and only scores of one metric by one scorer on
 * one prompt set under one protocol meet, as in the views of the store. */
#ifndef DIPP_EVALUATE_COMPARISON_H
#define DIPP_EVALUATE_COMPARISON_H

#include "evaluate/statistics.h"
#include "store/store.h"

typedef enum dipp_comparison_point {
    DIPP_COMPARE_FINAL = 0,  /* each run's last evaluated step; pairs only at equal images seen */
    DIPP_COMPARE_IMAGES = 1, /* the evaluation at this many images seen */
    DIPP_COMPARE_IKL = 2     /* where a run first reaches this IKL to the unguided reference: its scores interpolated
                                linearly between evaluated steps, so one number a seed and nothing by prompt */
} dipp_comparison_point;

typedef struct dipp_comparison_options {
    const char *experiment;
    const char *baseline; /* ARM or ARM@CONFIG (its first digits); NULL: the experiment's own */
    const char *metric;   /* NULL: all that have a direction, and ikl */
    dipp_comparison_point at;
    double level; /* of IMAGES (whole) or IKL */
} dipp_comparison_options;

typedef struct dipp_compared_arm {
    const char *arm, *config; /* config: 8 digits of the key */
    bool baseline;
    bool trained_on; /* this metric was a reward of the arm */
    uint32_t seeds;
    double mean;                       /* over seeds, of the arm's own scores */
    dipp_paired_statistics difference; /* to the baseline; seeds 0: no pairs */
    double p_holm;                     /* p_t corrected for the arms of this metric; NaN without claim */
} dipp_compared_arm;

typedef struct dipp_compared_metric {
    const char *metric, *scorer, *prompt_set, *protocol;
    int direction;
    int64_t images_seen;      /* -1 at equal IKL */
    double before, reference; /* step 0 of the baseline, the multi-step reference; NaN: not evaluated */
    dipp_compared_arm *arms;  /* the baseline first, then by name */
    size_t arm_count;
} dipp_compared_metric;

typedef struct dipp_comparison dipp_comparison;

/* Errors: NOT_FOUND (no such experiment, arm or metric; nothing at this level, with what there is), INVALID (no baseline
 * known, or its arm holds several configurations; lists them), those of reading the store, MEMORY. */
dipp_status dipp_comparison_create(dipp_store *store, const dipp_comparison_options *options, dipp_comparison **out,
                                   dipp_error *error);
void dipp_comparison_destroy(dipp_comparison **comparison);

/* Owned by the comparison. [any thread] */
const dipp_compared_metric *dipp_comparison_metrics(const dipp_comparison *comparison, size_t *count);
const char *dipp_comparison_baseline(const dipp_comparison *comparison); /* the arm's name */

#endif
