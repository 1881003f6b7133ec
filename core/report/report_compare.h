/* Every arm against the baseline and against every other: paired differences with seeds as the unit. */
#ifndef DIPP_REPORT_REPORT_COMPARE_H
#define DIPP_REPORT_REPORT_COMPARE_H

#include "evaluate/comparison.h"
#include "report/report_data.h"

/* One arm against the baseline in one measure, at equal images seen. */
typedef struct dipp_report_comparison {
    const dipp_paired_statistics *statistics; /* owned by the comparison; NULL: the two never met */
    double p_holm;                            /* over the arms compared in this measure; NaN: nothing claimed */
    bool trained_on;
    bool equal_kl_present; /* at the largest IKL that both runs of a seed reached */
    double ikl;            /* mean of those levels */
    dipp_paired_statistics equal_kl;
} dipp_report_comparison;

/* Pictures of arm a against those of arm b of the same seed, prompt and noise; in the metric's direction. */
typedef struct dipp_report_duel {
    int measure, a, b;
    int64_t wins, ties, losses;
    size_t seeds;
    double mean;              /* of the seeds' mean differences */
    dipp_interval over_seeds; /* of that mean; NaN for one seed */
} dipp_report_duel;

typedef struct dipp_report_comparisons {
    dipp_comparison *final;                   /* NULL: nothing could be compared */
    dipp_report_comparison *against_baseline; /* [arms * measures] */
    dipp_report_duel *duels;
    size_t duel_count, duel_capacity;
} dipp_report_comparisons;

dipp_status dipp_report_compare(dipp_report *report, dipp_report_comparisons *out, dipp_error *error);
void dipp_report_compare_clear(const dipp_report *report, dipp_report_comparisons *comparisons);

const dipp_report_comparison *dipp_report_against_baseline(const dipp_report *report,
                                                           const dipp_report_comparisons *comparisons, int arm,
                                                           int measure);
/* NULL when the two never met. */
const dipp_report_duel *dipp_report_duel_of(const dipp_report_comparisons *comparisons, int measure, int a, int b);

/* Whether a difference may be claimed: the interval over seeds exists and Holm's p is below 0.05. */
bool dipp_report_claimed(const dipp_report_comparison *comparison);

/* The measures that lead: trained[0] is what most arms were trained on, held_out[0] a ranked measure that no arm was
 * trained on (published rewards first, then glyph retrieval, then in order); NONE where there is none. */
typedef struct dipp_report_leads {
    int trained, held_out;
} dipp_report_leads;
dipp_report_leads dipp_report_choose_leads(const dipp_report *report);

#endif
