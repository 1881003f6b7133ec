#include "evaluate/style_groups.h"

#include <math.h>

static double mean_of(const double *values, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += values[i];
    return sum / (double)count;
}

dipp_style_summary dipp_style_summarise(const double *scores, size_t count)
{
    double means[DIPP_STYLE_GROUPS] = {0}, squares = 0;
    size_t groups = count < DIPP_STYLE_GROUPS ? count : DIPP_STYLE_GROUPS;
    for (size_t g = 0; g < groups; g++) {
        size_t from = count * g / groups, end = count * (g + 1) / groups;
        means[g] = mean_of(scores + from, end - from);
    }
    dipp_style_summary summary = {
        .mean = mean_of(scores, count), .group_mean = mean_of(means, groups), .groups = groups};
    for (size_t g = 0; g < groups; g++)
        squares += (means[g] - summary.group_mean) * (means[g] - summary.group_mean);
    summary.group_sd = sqrt(squares / (double)groups);
    return summary;
}
