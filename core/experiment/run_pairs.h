/* A preference dataset out of a database: pictures that runs kept and that the gold utility scored, paired and labelled as
 * evaluate/gold_pairs.h says, written as files that a reward is trained from. */
#ifndef DIPP_EXPERIMENT_RUN_PAIRS_H
#define DIPP_EXPERIMENT_RUN_PAIRS_H

#include "evaluate/gold_pairs.h"
#include "plugin/plugin_host.h"
#include "store/store.h"

typedef struct dipp_pairs_request {
    const int64_t *run_ids; /* whose pictures, of every step and subject */
    size_t run_count;
    const char *folder;       /* made if missing; files there are replaced */
    const char *const *parts; /* [options.parts], names of the parts */
    dipp_gold_pair_options options;
} dipp_pairs_request;

typedef struct dipp_pairs_report {
    uint32_t pictures, prompts;
    double temperature;
    uint64_t count[DIPP_GOLD_PAIR_KINDS][DIPP_GOLD_PAIR_SPLITS]; /* over all parts */
    double bayes[DIPP_GOLD_PAIR_KINDS];                          /* mean of max(p, 1 - p) */
} dipp_pairs_report;

/* Writes FOLDER/PART-SPLIT.jsonl for every part and each of train, validate, test; the pictures behind them as
 * FOLDER/pictures/HASH.png; and FOLDER/about.json: the runs, the options, the temperature. Pictures of equal content under
 * one prompt count once. A picture of a caption pair is judged again, and its stored gold must be what comes out.
 * DIPP_E_NOT_FOUND: no stored picture with a gold score. DIPP_E_INVALID: runs of different worlds, scores of another judge,
 * those of dipp_gold_pairs_make. */
dipp_status dipp_run_pairs(dipp_store *store, const dipp_pairs_request *request, dipp_plugins *plugins,
                           dipp_pairs_report *report, dipp_error *error);

#endif
