/* Whole weights of a run that trained adapters. */
#ifndef DIPP_EXPERIMENT_RUN_MERGE_H
#define DIPP_EXPERIMENT_RUN_MERGE_H

#include "plugin/plugin_host.h"
#include "store/store.h"

typedef struct dipp_merge_request {
    int64_t run_id;
    const char *to; /* a folder that exists */
    bool bf16;
} dipp_merge_request;

/* Adds the generator's and the TA's adapter, where the run trained one, to the frozen weights below it, and writes
 * TO/generator.safetensors and TO/ta.safetensors; written(user, path) is told of each. DIPP_E_INVALID: the run is not
 * completed, has no adapter, or its frozen weights are not those it was trained over. [one thread at a time] */
dipp_status dipp_run_merge(dipp_store *store, const dipp_merge_request *request, dipp_plugins *plugins,
                           void (*written)(void *user, const char *path), void *user, dipp_error *error);

#endif
