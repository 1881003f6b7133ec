/* Where generator and TA start: which files hold their whole weights, which hold adapters over them, and whether their frozen
 * weights are the reference's. */
#ifndef DIPP_EXPERIMENT_RUN_START_H
#define DIPP_EXPERIMENT_RUN_START_H

#include "experiment/config.h"
#include "experiment/run_hashes.h"
#include "tensor/graph.h"

/* Names of an adapter's file in a folder, as dipp_run_weights_file takes them. */
#define DIPP_GENERATOR_ADAPTER     "generator-lora"
#define DIPP_GENERATOR_ADAPTER_RAW "generator-lora-raw"
#define DIPP_TA_ADAPTER            "ta-lora"

typedef struct dipp_run_start {
    char *generator, *generator_adapter, *ta, *ta_adapter; /* paths, or NULL where there is no such file */
    bool generator_over_reference, ta_over_reference;      /* the whole weights are those of reference.weights */
} dipp_run_start;

/* SECTION.rank, .alpha and .targets ("generator.lora", "align.ta.lora") as settings whose texts stay the configuration's;
 * rank 0 where it is unset. DIPP_E_INVALID: no targets or too many, or no rank beside others. [any thread] */
dipp_status dipp_run_lora(const dipp_config *config, const char *section, dipp_lora_options *lora, dipp_error *error);

/* From generator.init, generator.adapter, align.ta.init and what lies in the folders they name. Clear start in any
 * case. A file that is missing is left to whoever reads it. DIPP_E_INVALID: an adapter as generator.init, stage1
 * without a place, or an adapter of a TA whose base is nowhere; DIPP_E_FORMAT, DIPP_E_IO, DIPP_E_MEMORY. [one thread at
 * a time per hashes] */
dipp_status dipp_run_start_find(const dipp_config *config, dipp_run_hashes *hashes, dipp_run_start *start,
                                dipp_error *error);
void dipp_run_start_clear(dipp_run_start *start);

/* Refuses an adapter that names other weights as its base than those of hash base (NULL: there are none from a file).
 * DIPP_E_INVALID, and what opening the file may say. [any thread] */
dipp_status dipp_run_check_adapter_base(const char *adapter, const char *base, dipp_error *error);

#endif
