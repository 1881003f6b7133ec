/* Drawing pictures for evaluation and for people: the one-step generator (its average or its raw weights), or the
 * reference by a deterministic sampler of several steps (DDIM in x0 form, guided). */
#ifndef DIPP_TRAIN_SAMPLER_H
#define DIPP_TRAIN_SAMPLER_H

#include "train/models.h"
#include "train/prompts.h"

typedef struct dipp_sampler_options {
    uint32_t batch;   /* samples at a time */
    bool reference;   /* draw with the reference */
    bool use_average; /* averaged weights: of the generator, or of a reference that is being pretrained */
    uint32_t steps;   /* reference only; 0 is 20 */
    double omega;     /* reference only: guidance; 1 none */
    double sigma_max; /* reference only: where it starts; 0 the schedule's largest */
} dipp_sampler_options;

typedef struct dipp_sampler dipp_sampler;

/* models must outlive it; the weights are read at every draw, so it may be created before training. */
dipp_status dipp_sampler_create(dipp_models *models, const dipp_sampler_options *options, dipp_sampler **out,
                                dipp_error *error);
void dipp_sampler_destroy(dipp_sampler **sampler);

/* Bytes of its plan on the back-end. */
size_t dipp_sampler_bytes(const dipp_sampler *sampler);

/* Floats of one picture (decoded), and of one x0. */
size_t dipp_sampler_picture_floats(const dipp_sampler *sampler);
size_t dipp_sampler_x0_floats(const dipp_sampler *sampler);

/* Draws count samples (any number) for prompts rows[i] of table; sample i has noise number first_noise + i under noise_seed, so
 * equal numbers give equal noise for every network, arm and step. pictures [count, 3, H, W] in [0, 1] (hard clamp; x0 itself
 * where the space has no pictures) and x0 [count, ...] may each be NULL. */
dipp_status dipp_sampler_draw(dipp_sampler *sampler, const dipp_token_table *table, const uint32_t *rows,
                              uint32_t count, uint64_t noise_seed, uint32_t first_noise, float *pictures, float *x0,
                              dipp_error *error);

/* ---- Rewards as metrics ---- */

typedef struct dipp_scorer dipp_scorer;

/* An instance of its own of a reward plugin, recorded in evaluation mode for batches of samples of this shape ([3, H, W] or
 * [d]). weights is a file or NULL, head a second one for what it lacks or NULL. */
dipp_status dipp_scorer_create(dipp_backend *backend, const dipp_plugin *plugin, const dipp_parameters *parameters,
                               const dipp_host *host, const char *weights, const char *head, dipp_shape sample,
                               uint32_t batch, dipp_scorer **out, dipp_error *error);
/* The same in two steps, for several metrics on one back-end: what declare makes is of use once it is built together with the
 * others. Metrics of one file, and of one that a reward of models (may be NULL) loads, then have one parameter set; that of a
 * reward is to be loaded with the models, whose back-end it is. scorers[i] NULL is passed over. A shared set is destroyed with the
 * first of its scorers, so nothing is scored after one of them is gone. */
dipp_status dipp_scorer_declare(dipp_backend *backend, const dipp_plugin *plugin, const dipp_parameters *parameters,
                                const dipp_host *host, const char *weights, const char *head, dipp_shape sample,
                                uint32_t batch, dipp_scorer **out, dipp_error *error);
dipp_status dipp_scorers_build(dipp_scorer *const *scorers, uint32_t count, dipp_models *models, dipp_error *error);
void dipp_scorer_destroy(dipp_scorer **scorer);
/* Samples have this shape from now on: the reward is recorded anew, weights and what is known of prompts stay. After an error
 * it can only be destroyed. */
dipp_status dipp_scorer_reshape(dipp_scorer *scorer, dipp_shape sample, dipp_error *error);
const dipp_reward_info *dipp_scorer_info(const dipp_scorer *scorer);
/* Bytes of its plan on the back-end, and of its parameters where they are not another's. */
size_t dipp_scorer_bytes(const dipp_scorer *scorer);
/* Host bytes of what it keeps of so many different prompts (train/text_cache.h). */
size_t dipp_scorer_text_bytes(const dipp_scorer *scorer, size_t prompts);

/* Encodes prompts that samples will be scored for, many at a time; what is not said here is encoded when it is met. Does nothing
 * where the reward looks at prompts and samples together. */
dipp_status dipp_scorer_learn(dipp_scorer *scorer, const char *const *prompts, uint32_t count, dipp_error *error);

/* samples [count, ...] with the prompts they were made for -> scores[count]. */
dipp_status dipp_scorer_score(dipp_scorer *scorer, const float *samples, const char *const *prompts, uint32_t count,
                              double *scores, dipp_error *error);

#endif
