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

#endif
