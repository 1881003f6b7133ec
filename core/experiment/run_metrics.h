/* The metrics of an evaluation: which they are, who scores them in the store's eyes, and the rows of what was scored. */
#ifndef DIPP_EXPERIMENT_RUN_METRICS_H
#define DIPP_EXPERIMENT_RUN_METRICS_H

#include "evaluate/evaluation.h"
#include "experiment/config.h"
#include "experiment/run_hashes.h"
#include "experiment/run_metric_names.h"
#include "plugin/plugin_host.h"
#include "store/store.h"

enum { DIPP_RUN_METRICS = 64 };

typedef struct dipp_run_metrics { /* starts from {.plugins = ..., .hashes = ...}; ends with dipp_run_metrics_clear */
    dipp_plugins *plugins;        /* borrowed */
    dipp_run_hashes *hashes;      /* borrowed */
    dipp_evaluation_metric metrics[DIPP_RUN_METRICS];
    uint32_t count;
    dipp_parameters *defaults[DIPP_RUN_METRICS]; /* of metrics that no configuration describes */
    char *names[DIPP_RUN_METRICS];
    dipp_scorer_files files[DIPP_RUN_METRICS];
    int64_t scorers[DIPP_RUN_METRICS]; /* ids, after introduce */
} dipp_run_metrics;

/* A built-in metric, or a reward plugin with its defaults. DIPP_E_NOT_FOUND lists what there is; DIPP_E_INVALID for a
 * second of the name, a plugin with parameters that have no default, or one that is named by its weights. */
dipp_status dipp_run_metrics_add(dipp_run_metrics *metrics, const char *name, dipp_error *error);
/* Adds those of evaluate.metrics and evaluate.scorers, whose weights are hashed: published scorers are named by them.
 * config is borrowed as long as metrics. DIPP_E_INVALID: a reserved name for other weights. */
dipp_status dipp_run_metrics_read(dipp_run_metrics *metrics, const dipp_config *config, dipp_error *error);
/* A judge of the monitor: one of evaluate.scorers by its name, else as dipp_run_metrics_add; DIPP_E_INVALID for what is no
 * score of a single picture. */
dipp_status dipp_run_metrics_add_judge(dipp_run_metrics *metrics, const dipp_config *config, const char *name,
                                       dipp_error *error);
/* rewards[number] as a metric of this name: a scorer beside the one that is trained on. */
dipp_status dipp_run_metrics_add_reward(dipp_run_metrics *metrics, const dipp_config *config, uint32_t number,
                                        const dipp_plugin *plugin, const char *name, dipp_error *error);

/* A reward plugin with its weights, as a command line gives it. */
typedef struct dipp_given_scorer {
    const char *plugin;
    const char *weights, *head;    /* files, or NULL */
    const char *const *parameters; /* "key=value" */
    size_t parameter_count;
} dipp_given_scorer;

/* Adds it under the name of its plugin, or of its weights where it is a published scorer. given's files are borrowed as long
 * as metrics. Errors as those of dipp_run_metrics_read. */
dipp_status dipp_run_metrics_add_given(dipp_run_metrics *metrics, const dipp_given_scorer *given, dipp_error *error);
void dipp_run_metrics_clear(dipp_run_metrics *metrics);

/* Defines metrics and scorers in the store. */
dipp_status dipp_run_metrics_introduce(dipp_run_metrics *metrics, dipp_store *store, dipp_error *error);

/* Where scores go, and what they were drawn from. */
typedef struct dipp_run_scores_place {
    dipp_store *store;
    int64_t run_id, step, settings_id, prompt_set_id;
    const char *const *texts; /* of the prompts */
    char *const *categories;  /* of the prompts [prompt_count], or NULL */
    uint32_t prompt_count;
    uint32_t samples; /* of each prompt */
    uint64_t noise_seed;
} dipp_run_scores_place;

/* Stores every score of result, with the report by style (run_styles.h), in place of what these metrics had there, inside the caller's transaction.
 * artifacts [result->count]: ids of the pictures, 0 = not kept. */
dipp_status dipp_run_metrics_store(const dipp_run_metrics *metrics, const dipp_run_scores_place *place,
                                   const dipp_evaluation_result *result, const int64_t *artifacts, dipp_error *error);

#endif
