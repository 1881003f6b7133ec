/* Everything a run needs before its first step: back-end, plugins, networks, prompts, and the weights it starts from. */
#ifndef DIPP_EXPERIMENT_RUN_SETUP_H
#define DIPP_EXPERIMENT_RUN_SETUP_H

#include "experiment/run_hashes.h"
#include "experiment/run_preferences.h"
#include "experiment/run_prompts.h"
#include "experiment/run_settings.h"
#include "experiment/run_start.h"
#include "plugin/plugin_host.h"
#include "train/models.h"

enum { DIPP_RUN_INPUTS = 7 + 2 * DIPP_MAX_REWARDS };

/* A weight file that the run starts from. */
typedef struct dipp_run_input {
    /* reference, text, decoder, generator, generator.adapter, ta, ta.adapter, reward[0], reward[0].head, reward */
    char role[24];
    char *path;
    char sha256[DIPP_SHA256_HEX_BYTES];
    int64_t bytes;
} dipp_run_input;

typedef struct dipp_run_setup {
    const dipp_config *config; /* borrowed, as plugins */
    dipp_plugins *plugins;
    bool pretrain;           /* a stage 0: the reference, or the autoencoder */
    bool autoencoder;        /* the latter */
    dipp_run_hashes *hashes; /* of the files that it, its scorers and its monitor read */
    dipp_backend *backend;
    dipp_emoji_world *world; /* NULL where nothing of it is asked for */
    dipp_models *models;     /* NULL where a reward is trained; then there are these two, and no prompts: */
    dipp_run_preferences *preferences;
    dipp_trainee *trainee;
    const dipp_loaded_plugin *reward;     /* of the trainee */
    dipp_run_prompts prompts, evaluation; /* evaluation: those of training where none are configured */
    /* of rewards[].weights and rewards[].head_weights, links followed; NULL: none */
    char *reward_files[DIPP_MAX_REWARDS], *reward_heads[DIPP_MAX_REWARDS];
    const dipp_loaded_plugin *reference, *generator, *ta, *rewards[DIPP_MAX_REWARDS]; /* NULL: takes no part */
    dipp_run_start start;                                                             /* empty when pretraining */
    const char *generator_base, *ta_base; /* SHA-256 of the file with the weights that they are or adapt; NULL: none */
    dipp_run_input inputs[DIPP_RUN_INPUTS];
    uint32_t input_count;
} dipp_run_setup;

/* threads 0: as configured. Every network is recorded and its parameters are allocated, zeroed. */
dipp_status dipp_run_setup_create(const dipp_config *config, dipp_plugins *plugins, uint32_t threads,
                                  dipp_run_setup **out, dipp_error *error);
/* The same without memory for numbers (backend/unbacked.h): for plans, of any size. Not to be loaded or run. */
dipp_status dipp_run_setup_create_unbacked(const dipp_config *config, dipp_plugins *plugins, dipp_run_setup **out,
                                           dipp_error *error);
void dipp_run_setup_destroy(dipp_run_setup **setup);

/* Initial values by seed, then the configured files over them:
 *   reference.weights   network, text encoder and, without reference.decoder, autoencoder, in FOLDER/model.safetensors,
 *                       the file itself, or a pipeline's parts; an autoencoder in training takes nothing else of it
 *   reference.decoder   autoencoder, likewise
 *   generator.init      FOLDER/generator.safetensors, the file, or a pipeline's network; without it, and with reference.weights, the
 *                       reference's network where names and shapes agree; else the plugin's initial values
 *   generator.adapter   FOLDER/generator-lora.safetensors or the file: the overlay's values or, where all weights are
 *                       trained, added to them
 *   align.ta.init       stage1: ta-lora.safetensors, else ta.safetensors, beside generator.adapter, else beside
 *                       generator.init; reference: the reference's weights
 *   rewards[].weights   FOLDER/model.safetensors or the file; rewards[].head_weights a file for what that lacks
 *   reward.weights      FOLDER/model.safetensors or the file, of a reward that is trained; its pictures are read here too
 * Averages start as copies. inputs lists what was read. */
dipp_status dipp_run_setup_load(dipp_run_setup *setup, int64_t seed, dipp_error *error);

#endif
