/* DI++ (method: Algorithm 1): the generator is moved by its rewards and by the integral KL to the reference, which an
 * online TA estimates. The loop is in align.c on one screen; its programs are recorded in align_programs.c. */
#ifndef DIPP_TRAIN_ALIGN_H
#define DIPP_TRAIN_ALIGN_H

#include "diffusion/divergence.h"
#include "diffusion/time_law.h"
#include "train/models.h"
#include "train/optimizer.h"
#include "train/prompts.h"
#include "train/reward_schedule.h"

enum { DIPP_SMOOTHING_PAIRS = 8 };

/* Whether blocks of networks (dipp_block_begin) are computed again before their gradients, so that what lies inside them
 * need not be kept from the forward pass. The numbers are the same to the bit. */
typedef enum dipp_recompute {
    DIPP_RECOMPUTE_NONE = 0,
    DIPP_RECOMPUTE_BLOCKS,
    DIPP_RECOMPUTE_AUTO /* only when the memory does not suffice otherwise */
} dipp_recompute;

/* A weighting of a term's own in place of the divergence's. */
typedef struct dipp_term_weight {
    bool given;
    dipp_weighting weighting;
    dipp_measure measure;
} dipp_term_weight;

typedef struct dipp_align_settings {
    uint64_t seed;
    int64_t steps;
    uint32_t batch, micro_batch;     /* micro_batch 0: the batch; must divide the batch */
    double cfg_omega;                /* 1 is none */
    bool always_guided;              /* record the guided reference although omega is 1 */
    dipp_divergence_spec divergence; /* .guided is set by create */
    dipp_time_sampler time;          /* of the divergence; schedule is set by create */
    dipp_time_sampler ta_time;       /* law only */
    dipp_time_law cfg_law;           /* of the CFG term when divergence.cfg_apart; else its noise is the divergence's */
    dipp_term_weight cfg_weight;     /* of the CFG term; not given: the divergence's */
    dipp_term_weight ikl_weight;     /* of the IKL that is logged; not given: the divergence's */
    dipp_loss_weight ta_loss;
    uint32_t ta_updates; /* K_TA per iteration; 0 freezes the TA */
    int64_t ta_warmup;   /* TA updates before the first iteration */
    dipp_optimizer_settings optimizer, ta_optimizer;
    dipp_average_settings average;
    int clamp; /* of pictures before rewards: 0 none, 1 hard, 2 straight-through */
    dipp_align_reward rewards[DIPP_MAX_REWARDS];
    int64_t max_nonfinite; /* skipped updates in a row that stop the run; 0 never */
    size_t memory_limit;   /* bytes for temporaries; 0 none */
    dipp_recompute recompute;
    dipp_ledger *ledger; /* when set, replays are timed op by op into it (slower) */
} dipp_align_settings;

typedef struct dipp_align dipp_align;

/* Called by the loop; any may be NULL. step counts finished iterations. */
typedef struct dipp_align_observer {
    void *context;
    /* names[i] has values[i]; valid during the call */
    void (*metrics)(void *context, int64_t step, const char *const *names, const double *values, size_t count);
    /* After each iteration, and once before the first (step 0 of a fresh run). Anything but DIPP_OK ends the loop. */
    dipp_status (*after_step)(void *context, dipp_align *align, int64_t step, dipp_error *error);
    /* Asked between the programs of an iteration, which may take minutes; true ends the loop with DIPP_E_INTERRUPTED. */
    bool (*stopping)(void *context);
} dipp_align_observer;

/* Records all programs, plans the iteration and allocates it; a second time with blocks recomputed where the settings leave
 * it to the memory and the first fails for want of it. models and prompts must outlive it; models' sets hold the
 * starting weights and are trained in place. report may be NULL. */
dipp_status dipp_align_create(dipp_models *models, const dipp_prompt_table *prompts,
                              const dipp_align_settings *settings, dipp_plan_report *report, dipp_align **out,
                              dipp_error *error);
void dipp_align_destroy(dipp_align **align);

/* Runs until settings.steps iterations are done. DIPP_E_NUMERIC when updates keep being skipped, or all were.
 * DIPP_E_INTERRUPTED when the observer stops it inside an iteration: the updates that were made are kept, the gradient that
 * was being summed is not, so that all that is left to do with the alignment is to save and destroy it. */
dipp_status dipp_align_run(dipp_align *align, const dipp_align_observer *observer, dipp_error *error);

int64_t dipp_align_step_count(const dipp_align *align); /* finished iterations */
int64_t dipp_align_images_seen(const dipp_align *align);

/* Everything that is needed to go on bit for bit: generator, average, TA, both optimizers, counters, and inside an iteration
 * what the TA has learnt so far. One safetensors file, written atomically; sha256 [65] may be NULL. Reading checks that it
 * belongs to these settings' seed and shapes. */
dipp_status dipp_align_save(const dipp_align *align, const char *path, char *sha256, dipp_error *error);
dipp_status dipp_align_load(dipp_align *align, const char *path, dipp_error *error);

/* For the observer: the iteration that it is told of was the last, as if settings.steps had been that many. */
void dipp_align_end(dipp_align *align);

/* What reward i is called in metrics (train/reward.LABEL): its plugin's name, with its place behind it where the same plugin
 * comes earlier in the list. Returns out. [any thread] */
enum { DIPP_REWARD_LABEL_BYTES = 64 };
const char *dipp_align_reward_label(const dipp_models *models, uint32_t i, char out[DIPP_REWARD_LABEL_BYTES]);

/* Useful floating-point operations of one iteration, without what is done once before the first. */
double dipp_align_flops(const dipp_align *align);
/* What rewards that look at prompts apart from samples are told once, before the first iteration (train/text_cache.h). */
typedef struct dipp_align_texts {
    uint32_t prompts; /* that the run draws */
    size_t bytes;     /* of their features, on the host */
    double flops;     /* useful work of encoding them */
} dipp_align_texts;
/* All zero where there is nothing to encode. DIPP_E_MEMORY. */
dipp_status dipp_align_text_work(const dipp_align *align, dipp_align_texts *out, dipp_error *error);

/* Those spent in addition on computing blocks again; 0 when everything is kept. */
double dipp_align_recomputed_flops(const dipp_align *align);

#endif
