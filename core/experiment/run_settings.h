/* From keys of a resolved configuration to the structs that training takes. Nothing here allocates but the back-end. */
#ifndef DIPP_EXPERIMENT_RUN_SETTINGS_H
#define DIPP_EXPERIMENT_RUN_SETTINGS_H

#include "data/scene.h"
#include "experiment/config.h"
#include "train/pretrain.h"
#include "train/reward.h"

/* "pretrain-autoencoder", "pretrain", "pretrain-generator", "align" or "reward". [any thread] */
const char *dipp_run_stage(const dipp_config *config);
/* Whether this is a stage 0, of the reference or the autoencoder; and whether it is the latter. [any thread] */
bool dipp_run_pretrains(const dipp_config *config);
bool dipp_run_autoencodes(const dipp_config *config);
/* Whether a reward is trained: there is no reference then, and no generator. [any thread] */
bool dipp_run_learns_reward(const dipp_config *config);
/* DIPP_E_INVALID for such a run, with what it has no pictures for: "sampled", "merged". [any thread] */
dipp_status dipp_run_refuse_reward(const dipp_config *config, const char *what, dipp_error *error);

/* The back-end as configured; threads 0 takes the configuration's. */
dipp_status dipp_run_backend_create(const dipp_config *config, uint32_t threads, dipp_backend **out, dipp_error *error);

/* The configured noise schedule; false when none is named. [any thread] */
bool dipp_run_schedule(const dipp_config *config, dipp_schedule *schedule);

/* The world's options: the library's where the configuration is silent. Texts belong to config. [any thread] */
void dipp_run_world_options(const dipp_config *config, dipp_emoji_world_options *options);

/* Whether prompts, judges or pictures of the emoji world are asked for. [any thread] */
bool dipp_run_needs_world(const dipp_config *config);

/* How the generator's steps are composed. DIPP_E_INVALID for more levels than steps are possible. [any thread] */
dipp_status dipp_run_generator_steps(const dipp_config *config, dipp_generator_steps *steps, dipp_error *error);

/* schedule is that of the models, whose range of t is the default of the laws. DIPP_E_INVALID for names that the
 * configuration's table leaves open. [any thread] */
dipp_status dipp_run_align_settings(const dipp_config *config, const dipp_schedule *schedule, int64_t seed,
                                    dipp_align_settings *settings, dipp_error *error);
dipp_status dipp_run_pretrain_settings(const dipp_config *config, const dipp_schedule *schedule, int64_t seed,
                                       dipp_pretrain_settings *settings, dipp_error *error);

dipp_status dipp_run_reward_settings(const dipp_config *config, int64_t seed, dipp_reward_settings *settings,
                                     dipp_error *error);

/* OPTIMIZER.weights and OPTIMIZER.state, of "align.optimizer" say: what the sets that it trains are stored in. [any thread] */
dipp_formats dipp_run_formats(const dipp_config *config, const char *optimizer);

/* A key of the section of this stage: "steps" is align.steps, pretrain.steps or learn.steps. [any thread] */
int64_t dipp_run_loop_int(const dipp_config *config, const char *key);

/* Whether the run keeps an average of what it trains. [any thread] */
bool dipp_run_averages(const dipp_config *config);

#endif
