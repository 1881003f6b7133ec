/* A reward learnt from preferences: for two samples of one prompt with scores s_a and s_b and a label q, the probability that
 * a is preferred, the loss is the cross-entropy of q and sigmoid(s_a - s_b), which for q = 1 is Bradley-Terry's
 * softplus(-(s_a - s_b)). Or, for rewards that can compare samples with texts, by contrast: each sample of a batch with its
 * own text among all texts, and the other way round. docs/reward-training.md. */
#ifndef DIPP_TRAIN_REWARD_H
#define DIPP_TRAIN_REWARD_H

#include "train/align.h"
#include "train/pretrain.h"
#include "train/trainee.h"

typedef enum dipp_preference_loss {
    DIPP_LOSS_BT_MEAN = 0,        /* mean over the pairs of a batch */
    DIPP_LOSS_BT_SUM,             /* their sum (HPSv2) */
    DIPP_LOSS_PAIR_CROSS_ENTROPY, /* mean weighted by 1 / pairs of the same prompt */
    DIPP_LOSS_KL_TIE,             /* the same less the entropy of the label, so that the least is 0 (PickScore) */
    DIPP_LOSS_CONTRASTIVE         /* mean of both directions of InfoNCE (CLIP) */
} dipp_preference_loss;

/* Where pairs come from. The batch of a step has pairs 0 .. batch - 1, a function of (seed, step, pair). */
typedef struct dipp_pair_source {
    void *context;
    bool captions_differ; /* sides may have different texts; else those of a pair are the same */
    /* Probabilities that the first is preferred, and weights before they are normalised, of pairs 0 .. count - 1. */
    dipp_status (*label)(void *context, uint64_t seed, int64_t step, uint32_t count, double *labels, double *weights,
                         dipp_error *error);
    /* samples [2, count, sample...] and prompts [2 * count] of pairs first .. first + count - 1: all first sides, then all
     * second ones. Prompts belong to the source and are valid until the next call. */
    dipp_status (*draw)(void *context, uint64_t seed, int64_t step, uint32_t first, uint32_t count, float *samples,
                        const char **prompts, dipp_error *error);
} dipp_pair_source;

typedef struct dipp_reward_settings {
    uint64_t seed;
    dipp_preference_loss loss;
    int64_t steps;
    uint32_t batch, micro_batch; /* pairs, or samples for contrast; micro_batch 0: the batch */
    double label_smoothing;      /* e: q becomes (1 - e) q + e / 2; not for contrast */
    double logit_scale_max;      /* the parameter logit_scale is kept in [0, ln max] after each update; 0: left alone */
    dipp_optimizer_settings optimizer;
    dipp_average_settings average;
    int64_t max_nonfinite;
    size_t memory_limit;
    dipp_recompute recompute;
    dipp_ledger *ledger; /* when set, replays are timed op by op into it (slower) */
} dipp_reward_settings;

typedef struct dipp_reward_training dipp_reward_training;

typedef struct dipp_reward_observer {
    void *context;
    void (*metrics)(void *context, int64_t step, const char *const *names, const double *values, size_t count);
    dipp_status (*after_step)(void *context, dipp_reward_training *training, int64_t step, dipp_error *error);
    bool (*stopping)(void *context); /* as of an alignment: asked before each micro-batch */
} dipp_reward_observer;

/* trainee was created with train. pairs, or captions for contrast; the other is NULL. All are borrowed; report may be NULL.
 * DIPP_E_INVALID: a batch that its micro-batch does not divide, or, for contrast, that is not the micro-batch (every sample
 * is compared with the whole batch), contrast with a reward that has none, a clamp without logit_scale. */
dipp_status dipp_reward_training_create(dipp_trainee *trainee, const dipp_pair_source *pairs,
                                        const dipp_sample_source *captions, const dipp_reward_settings *settings,
                                        dipp_plan_report *report, dipp_reward_training **out, dipp_error *error);
void dipp_reward_training_destroy(dipp_reward_training **training);
/* Runs until settings.steps updates are done; ends as dipp_align_run does. */
dipp_status dipp_reward_training_run(dipp_reward_training *training, const dipp_reward_observer *observer,
                                     dipp_error *error);
int64_t dipp_reward_training_step_count(const dipp_reward_training *training);
int64_t dipp_reward_training_images_seen(const dipp_reward_training *training);
dipp_status dipp_reward_training_save(const dipp_reward_training *training, const char *path, char *sha256,
                                      dipp_error *error);
dipp_status dipp_reward_training_load(dipp_reward_training *training, const char *path, dipp_error *error);
/* As dipp_align_flops and dipp_align_recomputed_flops. */
double dipp_reward_training_flops(const dipp_reward_training *training);
double dipp_reward_training_recomputed_flops(const dipp_reward_training *training);

/* ---- The losses (reward_losses.c) ---- */

/* logits: differences s_a - s_b [n] wide; labels and weights [n] wide -> losses [n]: weight (q softplus(-d) + (1 - q)
 * softplus(d)). */
dipp_tensor dipp_record_pair_losses(dipp_graph *g, dipp_tensor differences, dipp_tensor labels, dipp_tensor weights);
/* logits [n, n] of samples against texts -> losses [n]: half the two cross-entropies of sample i and text i, over n. */
dipp_tensor dipp_record_contrastive_losses(dipp_graph *g, dipp_tensor logits);

#endif
