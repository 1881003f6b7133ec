/* Drawing pictures with what a run made, or with what an experiment starts from. */
#ifndef DIPP_EXPERIMENT_RUN_SAMPLE_H
#define DIPP_EXPERIMENT_RUN_SAMPLE_H

#include "evaluate/evaluation.h"
#include "plugin/plugin_host.h"
#include "store/store.h"

typedef struct dipp_sample_request {
    const char *config_json;    /* of the run, or an experiment's cell */
    const char *folder;         /* of the run's results; NULL: the weights that the configuration starts from */
    bool reference;             /* draw with the multi-step reference */
    const char *const *prompts; /* NULL: those of the evaluation */
    uint32_t prompt_count;      /* at most so many of the evaluation's; 0: 8 */
    uint32_t samples;           /* of each prompt */
    uint64_t noise_seed;
    int64_t seed; /* of initial values where there are no weights */
    uint32_t threads;
    const volatile sig_atomic_t *stop;
} dipp_sample_request;

/* result is cleared by the caller with dipp_evaluation_result_clear; texts [*prompt_count] are freed with
 * dipp_release, each and the array. */
dipp_status dipp_run_sample(const dipp_sample_request *request, dipp_plugins *plugins, dipp_evaluation_result *result,
                            char ***texts, uint32_t *prompt_count, dipp_error *error);

#endif
