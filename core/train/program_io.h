/* What alignment, pretraining and sampling do with their programs in the same way: writing noise keys, tokens and noise
 * levels, passing on the condition that one program makes and others read, and the loss of both kinds of training.
 *
 * Writers return what dipp_executable_write returns (an error: the program has no such input, or it takes another number
 * of elements); error may be NULL. [one thread at a time per executable, graph or plan] */
#ifndef DIPP_TRAIN_PROGRAM_IO_H
#define DIPP_TRAIN_PROGRAM_IO_H

#include "train/models.h"

enum { DIPP_MAX_CONDITION_PARTS = 4 };

/* A Philox key, int32 [6]: seed, stream, step, first sample. */
dipp_status dipp_write_key(dipp_executable *run, const char *name, uint64_t seed, uint32_t stream, int64_t step,
                           uint32_t first, dipp_error *error);

/* The keys of a generator of `steps` steps as dipp_record_generator declares them: "z_key" from stream, "z_key.K" from
 * DIPP_STREAM_MULTI_STEP + K + 32 stream. */
dipp_status dipp_write_noise_keys(dipp_executable *run, uint32_t steps, uint64_t seed, uint32_t stream, int64_t step,
                                  uint32_t first, dipp_error *error);

/* Text as a recording takes it: inputs PREFIXtokens and PREFIXmask [rows, length]; none when length is 0. */
dipp_prompt dipp_prompt_inputs(dipp_graph *g, const char *prefix, int64_t rows, uint32_t length);

/* Writes them, count elements each (rows times length); nothing when count is 0. */
dipp_status dipp_write_text(dipp_executable *run, const char *prefix, const int32_t *tokens, const float *mask,
                            size_t count, dipp_error *error);

/* Inputs NAME.t, NAME.alpha and NAME.sigma, n of each; t is what the network is told (dipp_network_time). */
dipp_status dipp_write_level(dipp_executable *run, const char *name, const double *t, const double *alpha,
                             const double *sigma, size_t n, dipp_error *error);

/* Records the text encoder on "tokens" and "mask" of n rows and on "null_tokens" and "null_mask" of one row: outputs
 * condition.I, and null.I spread over the batch. */
void dipp_record_conditions(const dipp_models *models, dipp_graph *g, dipp_params text, int64_t n);

/* Denoising score matching on x0 [n, sample...]: the sum over samples of weight * mean|D(x_t) - x0|^2 and its gradients
 * to the parameters. Inputs "eps_key", "level.*" and "weight" [n], which holds lambda(t)/batch; output "losses" [n]. */
void dipp_record_denoising(dipp_graph *g, const dipp_network *network, dipp_params p, dipp_tensor x0, dipp_condition c);

/* One buffer NAME.I a part of the condition, for n rows. */
dipp_status dipp_plan_condition(dipp_plan *plan, const dipp_models *models, const char *name, int64_t n,
                                dipp_buffer parts[DIPP_MAX_CONDITION_PARTS], dipp_error *error);
/* Ties them to the inputs or outputs NAME.I of a program; nothing when program is NULL. */
dipp_status dipp_connect_condition(dipp_plan *plan, const dipp_models *models, dipp_program *program, const char *name,
                                   const dipp_buffer parts[DIPP_MAX_CONDITION_PARTS], dipp_error *error);

#endif
