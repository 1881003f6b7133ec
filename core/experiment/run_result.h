/* What a finished run leaves behind. */
#ifndef DIPP_EXPERIMENT_RUN_RESULT_H
#define DIPP_EXPERIMENT_RUN_RESULT_H

#include "experiment/run_record.h"
#include "experiment/run_setup.h"

enum { DIPP_MODEL_SETS = 3 };

/* The sets of a pretraining's model.safetensors, the averages or the raw ones: network, text encoder and autoencoder, or the
 * autoencoder alone where that was trained. Returns how many. [any thread] */
uint32_t dipp_run_result_sets(const dipp_run_setup *setup, bool average, dipp_parameter_set *sets[DIPP_MODEL_SETS]);

/* Writes the trained weights as f32 safetensors below the run's folder and registers them with what they grew from:
 *   pretraining   model.safetensors: what dipp_run_result_sets names, averaged where an average is kept
 *   otherwise     generator.safetensors (averaged where an average is kept, and then generator-raw.safetensors too) and
 *                 ta.safetensors; where an adapter was trained generator-lora, generator-lora-raw and ta-lora
 * The folder can be given as reference.weights, reference.decoder, generator.init or generator.adapter. */
dipp_status dipp_run_result_write(const dipp_run_setup *setup, dipp_run_record *record, int64_t seed, int64_t step,
                                  int64_t images_seen, dipp_error *error);

/* Writes the generator as it is now, its average or the weights themselves, as best.safetensors (of an adapter
 * best-lora.safetensors) in place of an earlier one: an artifact of kind best, which is no result. */
dipp_status dipp_run_result_write_best(const dipp_run_setup *setup, dipp_run_record *record, bool average, int64_t seed,
                                       int64_t step, int64_t images_seen, dipp_error *error);

/* Reads the generator of such a folder into a set of what is trained: all its weights, or its overlay. raw: those that were
 * not averaged. */
dipp_status dipp_run_result_read_generator(const dipp_run_setup *setup, const char *folder, bool raw,
                                           dipp_parameter_set *set, dipp_error *error);

/* Rows of the plugins and weights that the run starts from. A reward that is trained bears the name of what it becomes:
 * as of weights that lie in a folder called as the experiment. */
dipp_status dipp_run_result_inputs(const dipp_run_setup *setup, dipp_run_record *record, const char *experiment,
                                   dipp_error *error);

/* The folder that holds a completed run's weights, also of a run that was merged in from elsewhere; freed with
 * dipp_release. DIPP_E_INVALID when the run has none. */
dipp_status dipp_run_result_folder(dipp_store *store, int64_t run_id, char **folder, dipp_error *error);

#endif
