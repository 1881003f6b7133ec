/* How well a number tells two kinds of runs apart: the receiver operating characteristic, its area, and how sure that is. */
#ifndef DIPP_EVALUATE_ROC_H
#define DIPP_EVALUATE_ROC_H

#include "evaluate/statistics.h"

#include <stdbool.h>

typedef struct dipp_roc_case {
    double score; /* finite; more speaks for positive */
    bool positive;
} dipp_roc_case;

/* At a threshold: the shares of positives and of negatives whose score reaches it. */
typedef struct dipp_roc_point {
    double threshold, hits, false_alarms;
} dipp_roc_point;

typedef struct dipp_roc {
    uint32_t positives, negatives;
    double area; /* of a positive scoring above a negative, ties half */
    dipp_interval
        interval; /* 95 %: percentiles of a bootstrap that draws positives and negatives each among themselves.
                               Where the kinds do not overlap it is [1, 1]: nothing in the cases says how nearly they do. */
    dipp_roc_point *points; /* [count], from (0, 0) at an infinite threshold to (1, 1); dipp_roc_clear releases it */
    size_t count;
} dipp_roc;

enum { DIPP_ROC_REPLICATES = 9999 };

/* The same cases give the same bits, in whatever order. DIPP_E_INVALID without a case of either kind or with a score that
 * is not finite; DIPP_E_MEMORY. [any thread] */
dipp_status dipp_roc_of(const dipp_roc_case *cases, size_t count, uint32_t replicates, dipp_roc *out,
                        dipp_error *error);
void dipp_roc_clear(dipp_roc *roc);

#endif
