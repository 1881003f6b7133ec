/* The programs of an iteration and the buffers between them; shared by align.c and align_programs.c. */
#ifndef DIPP_TRAIN_ALIGN_PROGRAMS_H
#define DIPP_TRAIN_ALIGN_PROGRAMS_H

#include "train/align.h"
#include "train/program_io.h"
#include "train/text_cache.h"

/* What an opaque reward is asked with: host copies, sized for a pair of micro-batches. */
typedef struct dipp_opaque_scratch {
    float *pictures, *gradient; /* [2 n, picture...] */
    double *scores;             /* [2 n] */
    double *coefficients;       /* [pairs, n], of the most pairs that a reward has */
    const char **prompts;       /* [2 n] */
} dipp_opaque_scratch;

/* Levels and weights of a batch on the host. */
typedef struct dipp_host_levels {
    double *t, *network_t, *alpha, *sigma, *weight; /* each [micro_batch] */
} dipp_host_levels;

/* Sums over the TA's updates of an iteration that become its metrics; zero between iterations. */
typedef struct dipp_taught {
    double loss, norm, bins[4], counts[4]; /* bins: by noise level */
    int64_t skipped;
} dipp_taught;

/* |divergence|^2 |cfg|^2 |reward|^2 divergence.cfg divergence.reward cfg.reward */
enum { DIPP_ALIGN_STATS = 6 };

struct dipp_align {
    dipp_models *models;
    const dipp_prompt_table *prompts;
    dipp_align_settings settings;
    uint32_t n; /* micro-batch */
    bool text, recompute, ended;
    dipp_time_sampler cfg_time, ikl_time; /* what the settings say of the CFG term and of the logged IKL, filled up */

    /* reward[i] scores every reward that is led by i, and is NULL where another reward leads i */
    uint32_t led_by[DIPP_MAX_REWARDS];
    uint32_t gradient_of[DIPP_MAX_REWARDS];   /* the reward in whose reward_dx the gradient of this one is, or itself */
    dipp_text_cache *texts[DIPP_MAX_REWARDS]; /* NULL: the reward looks at no text, or at text and sample together */
    dipp_program *condition, *generate, *teach, *diverge, *combine, *reward[DIPP_MAX_REWARDS];
    dipp_executable *run_condition, *run_generate, *run_teach, *run_diverge, *run_combine,
        *run_reward[DIPP_MAX_REWARDS];
    dipp_updater generator_update, ta_update;
    dipp_plan *plan;
    dipp_buffer condition_parts[DIPP_MAX_CONDITION_PARTS], null_parts[DIPP_MAX_CONDITION_PARTS], x0, dx0, divergence,
        cfg, reward_dx[DIPP_MAX_REWARDS];
    dipp_ikl_table *ikl_table;

    int64_t step, nonfinite, skipped, ta_steps;
    dipp_taught taught;                  /* in the iteration that is under way */
    const dipp_align_observer *observer; /* during a run, else NULL */
    /* host scratch, each [n] or [n, L] */
    dipp_host_levels levels, cfg_levels;
    uint32_t *rows;
    const char **row_texts;
    int32_t *tokens;
    float *mask;
    double *per_sample, *per_sample2;
    bool supplies[DIPP_MAX_REWARDS]; /* an opaque reward that gives its own gradient */
    dipp_opaque_scratch opaque;
};

/* DIPP_E_INTERRUPTED once the observer stops the run. */
dipp_status dipp_align_pause(const dipp_align *align, dipp_error *error);
dipp_status dipp_align_record(dipp_align *align, dipp_error *error);
dipp_status dipp_align_plan(dipp_align *align, dipp_plan_report *report, dipp_error *error);
dipp_status dipp_align_bind(dipp_align *align, dipp_error *error);

/* The prompt of a sample of an iteration. */
uint32_t dipp_align_prompt(const dipp_align *align, uint32_t stream, int64_t step, uint32_t sample);

/* ---- Rewards (align_rewards.c) ---- */

/* Finds out which rewards one program scores, and records those programs and the encoders of their texts. */
dipp_status dipp_align_rewards_record(dipp_align *align, dipp_error *error);
void dipp_align_rewards_release(dipp_align *align);
/* The steps of the text encoders, and those of the rewards; and the buffers of dL/dx0. */
dipp_status dipp_align_texts_plan(dipp_align *align, dipp_error *error);
dipp_status dipp_align_rewards_plan(dipp_align *align, dipp_error *error);
dipp_status dipp_align_rewards_connect(dipp_align *align, dipp_error *error);
dipp_status dipp_align_rewards_bind(dipp_align *align, dipp_error *error);
/* Encodes every prompt that the iterations to come ask a reward about. */
dipp_status dipp_align_rewards_learn(dipp_align *align, dipp_error *error);
/* Scores the micro-batch that begins with sample first and fills every dL/dx0. scores[i] receives the sum of reward i's scores
 * over the batch's size, scored[i] whether it was asked at all. */
dipp_status dipp_align_rewards_score(dipp_align *align, uint32_t first, double scores[DIPP_MAX_REWARDS],
                                     bool scored[DIPP_MAX_REWARDS], dipp_error *error);
/* Its scale in this iteration. */
double dipp_align_reward_scale(const dipp_align *align, uint32_t i);

/* ---- Opaque rewards (align_opaque.c) ---- */

/* Asks every opaque reward once for one plain sample: what it cannot do is said before the first step. Allocates the
 * scratch. DIPP_E_INVALID names the keys that are missing. */
dipp_status dipp_align_opaque_prepare(dipp_align *align, dipp_error *error);
void dipp_align_opaque_release(dipp_align *align);
/* Records reward i: segment 0 gives pictures to the host, segment 1 takes dL/dx0 from what the host found. */
dipp_status dipp_align_opaque_record(dipp_align *align, uint32_t i, dipp_error *error);
/* Scores the micro-batch that begins with sample first and fills the reward's dL/dx0; *mean receives the sum of scores
 * over the batch's size. factor is -alpha/batch. */
dipp_status dipp_align_opaque_score(dipp_align *align, uint32_t i, uint32_t first, double factor, double *mean,
                                    dipp_error *error);
/* Antithetic pairs of reward i. */
uint32_t dipp_align_pairs(const dipp_align *align, uint32_t i);

#endif
