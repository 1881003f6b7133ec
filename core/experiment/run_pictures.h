/* Pictures of evaluations as files: single PNGs of a few prompts, a grid of them, and the reference's samples kept for
 * the other runs of the database. */
#ifndef DIPP_EXPERIMENT_RUN_PICTURES_H
#define DIPP_EXPERIMENT_RUN_PICTURES_H

#include "evaluate/evaluation.h"
#include "experiment/run_record.h"
#include "experiment/run_setup.h"

typedef struct dipp_run_pictures {
    dipp_run_record *record;
    const dipp_config *config;
    const dipp_run_prompts *prompts;
    uint32_t samples; /* of each prompt */
    bool reference;   /* of the multi-step reference beside a generator */
    int64_t step;
} dipp_run_pictures;

/* "pictures/step-00000120/p003-s0.png" below the run's folder, "pictures/reference/..." for the reference; returns out. */
enum { DIPP_PICTURE_NAME_BYTES = 80 };
char *dipp_picture_name(bool reference, int64_t step, uint32_t prompt, uint32_t sample,
                        char out[DIPP_PICTURE_NAME_BYTES]);

/* Writes the first evaluate.grid_samples pictures of the first evaluate.pictures prompts, and grid-STEP.png (or
 * grid-reference.png) with up to 8 of each; rows in the store. artifacts [result->count] receives the ids. */
dipp_status dipp_run_pictures_store(const dipp_run_pictures *pictures, const dipp_evaluation_result *result,
                                    int64_t *artifacts, dipp_error *error);

/* The reference's samples: from the file that an earlier run of this database left under a key of everything that they
 * depend on, or drawn and left there. Only drawn fields of result are filled in. */
dipp_status dipp_run_reference_samples(dipp_run_setup *setup, const dipp_run_record *record,
                                       dipp_evaluation *evaluation, dipp_evaluation_result *result, dipp_error *error);

#endif
