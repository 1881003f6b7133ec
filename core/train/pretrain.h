/* Stage 0: what everything later starts from is learnt from pictures with captions. Either the reference diffusion and its
 * text encoder, by denoising, with dropped prompts for guidance; or the autoencoder in whose latents a reference works, by
 * mean|decode(encode(x) + s eps) - x|^2 + kl_weight mean(encode(x)^2)/2. The latter is, up to constants, the bound of an
 * autoencoder whose posterior has the fixed standard deviation s, and asks nothing of a plugin but encode and decode. */
#ifndef DIPP_TRAIN_PRETRAIN_H
#define DIPP_TRAIN_PRETRAIN_H

#include "train/align.h"

/* Where samples come from: fills pictures [count, 3, H, W] in [0, 1] and captions (owned by the source, valid until the next
 * call) for samples first .. first+count-1 of the stream of this seed. Deterministic in (seed, index). */
typedef struct dipp_sample_source {
    void *context;
    dipp_status (*draw)(void *context, uint64_t seed, uint64_t first, uint32_t count, float *pictures,
                        const char **captions, dipp_error *error);
} dipp_sample_source;

typedef struct dipp_pretrain_settings {
    uint64_t seed;
    bool autoencoder;               /* train the autoencoder; prompt_dropout, time and loss are not looked at */
    double latent_noise, kl_weight; /* s and the weight above; autoencoder only */
    int64_t steps;
    uint32_t batch, micro_batch; /* micro_batch 0: the batch */
    double prompt_dropout;
    dipp_time_sampler time; /* law only; schedule is set by create */
    dipp_loss_weight loss;
    dipp_optimizer_settings optimizer;
    dipp_average_settings average;
    int64_t max_nonfinite;
    size_t memory_limit;
    dipp_recompute recompute;
    dipp_ledger *ledger; /* when set, replays are timed op by op into it (slower) */
} dipp_pretrain_settings;

typedef struct dipp_pretrain dipp_pretrain;

typedef struct dipp_pretrain_observer {
    void *context;
    void (*metrics)(void *context, int64_t step, const char *const *names, const double *values, size_t count);
    dipp_status (*after_step)(void *context, dipp_pretrain *pretrain, int64_t step, dipp_error *error);
    bool (*stopping)(void *context); /* as of an alignment: asked before each micro-batch */
} dipp_pretrain_observer;

/* models were created with train_reference, or with train_decoder for an autoencoder. source and models are borrowed.
 * DIPP_E_INVALID: nothing to train, or a batch that its micro-batch does not divide. */
dipp_status dipp_pretrain_create(dipp_models *models, const dipp_sample_source *source,
                                 const dipp_pretrain_settings *settings, dipp_plan_report *report, dipp_pretrain **out,
                                 dipp_error *error);
void dipp_pretrain_destroy(dipp_pretrain **pretrain);
/* Runs until settings.steps updates are done; ends as dipp_align_run does. */
dipp_status dipp_pretrain_run(dipp_pretrain *pretrain, const dipp_pretrain_observer *observer, dipp_error *error);
int64_t dipp_pretrain_step_count(const dipp_pretrain *pretrain);
int64_t dipp_pretrain_images_seen(const dipp_pretrain *pretrain);
dipp_status dipp_pretrain_save(const dipp_pretrain *pretrain, const char *path, char *sha256, dipp_error *error);
dipp_status dipp_pretrain_load(dipp_pretrain *pretrain, const char *path, dipp_error *error);
/* As dipp_align_flops and dipp_align_recomputed_flops. */
double dipp_pretrain_flops(const dipp_pretrain *pretrain);
double dipp_pretrain_recomputed_flops(const dipp_pretrain *pretrain);

#endif
