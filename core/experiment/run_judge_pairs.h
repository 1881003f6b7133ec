/* A reward judged by a file of preferences, outside any run. */
#ifndef DIPP_EXPERIMENT_RUN_JUDGE_PAIRS_H
#define DIPP_EXPERIMENT_RUN_JUDGE_PAIRS_H

#include "experiment/run_preferences.h"
#include "plugin/plugin_host.h"

typedef struct dipp_judge_pairs_request {
    const char *plugin, *weights; /* weights NULL: initial values */
    const char *pairs;
    dipp_preference_format format;
    /* key=value of a configuration of stage reward: reward.params.x, preferences.size, evaluate.batch, device, precision. */
    const char *const *overrides;
    size_t override_count;
    uint32_t threads; /* 0: all */
    const volatile sig_atomic_t *stop;
} dipp_judge_pairs_request;

/* Scores as training does (DIPP_REWARD_TRAIN) and hands the metrics of all kinds and each to take. Errors: those of the
 * configuration, of reading and of dipp_trainee_create. */
dipp_status dipp_run_judge_pairs(const dipp_judge_pairs_request *request, dipp_plugins *plugins,
                                 dipp_take_preference_metrics take, void *context, dipp_error *error);

#endif
