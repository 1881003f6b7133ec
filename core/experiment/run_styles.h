/* HPSv2's four-style report as rows of the store. */
#ifndef DIPP_EXPERIMENT_RUN_STYLES_H
#define DIPP_EXPERIMENT_RUN_STYLES_H

#include "experiment/run_metrics.h"

/* Where every prompt is of one of HPSv2's styles, adds numbers of the set to each metric of single pictures, in groups
 *   STYLE                 the mean of all its pictures
 *   STYLE: mean of ten    mean of the ten groups' means, a tenth of the style's prompts each, in their order
 *   STYLE: sd of ten      their standard deviation (evaluate/style_groups.h)
 *   average               the mean of all pictures
 * A prompt's score is the mean of its samples; what is not finite is left out. Does nothing for other prompts. Inside the
 * caller's transaction. MEMORY, and the store's errors. */
dipp_status dipp_run_styles_store(const dipp_run_metrics *metrics, const dipp_run_scores_place *place,
                                  const dipp_evaluation_result *result, dipp_error *error);

#endif
