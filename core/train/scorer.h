/* Scores of any number of samples by a reward, outside training: by a metric, which is an instance of its own, or by a
 * reward that is being trained. */
#ifndef DIPP_TRAIN_SCORER_H
#define DIPP_TRAIN_SCORER_H

#include "train/models.h"

typedef struct dipp_scorer dipp_scorer;

/* An instance of its own of a reward plugin, recorded in evaluation mode for batches of samples of this shape ([3, H,
 * W] or [d]). weights is a file or NULL, head a second one for what it lacks or NULL. */
dipp_status dipp_scorer_create(dipp_backend *backend, const dipp_plugin *plugin, const dipp_parameters *parameters,
                               const dipp_host *host, const char *weights, const char *head, dipp_shape sample,
                               uint32_t batch, dipp_scorer **out, dipp_error *error);
/* The same in two steps, for several metrics on one back-end: what declare makes is of use once it is built together
 * with the others. Metrics of one file, and of one that a reward of models (may be NULL) loads, then have one parameter
 * set, which for a reward's is to be loaded with the models, whose back-end it is; and where their encoders of prompts
 * are the same, these encode a prompt once for all. scorers[i] NULL is passed over. What is shared is destroyed with the
 * first of its scorers, so nothing is scored after one of them is gone. */
dipp_status dipp_scorer_declare(dipp_backend *backend, const dipp_plugin *plugin, const dipp_parameters *parameters,
                                const dipp_host *host, const char *weights, const char *head, dipp_shape sample,
                                uint32_t batch, dipp_scorer **out, dipp_error *error);
dipp_status dipp_scorers_build(dipp_scorer *const *scorers, uint32_t count, dipp_models *models, dipp_error *error);
/* A scorer over a reward that somebody else has (not an opaque one), by this set of its layout, recorded in `mode`. All
 * are borrowed and outlive it. The set is read at every call, so it may be trained meanwhile, and nothing is kept of
 * prompts. */
dipp_status dipp_scorer_borrow(dipp_backend *backend, const dipp_reward_model *reward, dipp_parameter_set *set,
                               dipp_reward_mode mode, dipp_shape sample, uint32_t batch, dipp_scorer **out,
                               dipp_error *error);
void dipp_scorer_destroy(dipp_scorer **scorer);
/* Samples have this shape from now on: the reward is recorded anew, weights and what is known of prompts stay. After an
 * error it can only be destroyed. */
dipp_status dipp_scorer_reshape(dipp_scorer *scorer, dipp_shape sample, dipp_error *error);
const dipp_reward_info *dipp_scorer_info(const dipp_scorer *scorer);
/* How many samples are scored at a time. */
uint32_t dipp_scorer_batch(const dipp_scorer *scorer);
/* Bytes of its plan on the back-end, and of its parameters where they are not another's. */
size_t dipp_scorer_bytes(const dipp_scorer *scorer);
/* Host bytes of what it keeps of so many different prompts (train/text_cache.h). */
size_t dipp_scorer_text_bytes(const dipp_scorer *scorer, size_t prompts);

/* How many prompts it has encoded so far; none where it shares what another scorer encodes. */
uint64_t dipp_scorer_texts(const dipp_scorer *scorer);

/* Encodes prompts that samples will be scored for, many at a time; what is not said here is encoded when it is met.
 * Does nothing where the reward looks at prompts and samples together. */
dipp_status dipp_scorer_learn(dipp_scorer *scorer, const char *const *prompts, uint32_t count, dipp_error *error);

/* samples [count, ...] with the prompts they were made for -> scores[count]. */
dipp_status dipp_scorer_score(dipp_scorer *scorer, const float *samples, const char *const *prompts, uint32_t count,
                              double *scores, dipp_error *error);

#endif
