/* The numbers that HPSv2's benchmark prints of a style: its scores in ten groups. */
#ifndef DIPP_EVALUATE_STYLE_GROUPS_H
#define DIPP_EVALUATE_STYLE_GROUPS_H

#include <stddef.h>

enum { DIPP_STYLE_GROUPS = 10 };

typedef struct dipp_style_summary {
    double mean;       /* of all scores */
    double group_mean; /* of the groups' means */
    double group_sd;   /* of the groups' means, the sum of squares divided by their number as numpy.std does */
    size_t groups;     /* ten, or as many as there are scores */
} dipp_style_summary;

/* scores [count] in the order of the prompts, count above 0. Group g of ten holds scores count g / 10 up to count (g + 1) /
 * 10, so that HPSv2's 800 make ten groups of 80; of fewer than ten each is a group of its own. [any thread] */
dipp_style_summary dipp_style_summarise(const double *scores, size_t count);

#endif
