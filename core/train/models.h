/* The networks of a run: plugin instances, their layouts and their parameter sets, on one back-end.
 *
 * create -> declare (records each network once, so that layouts are known, then allocates) -> load or initialise. */
#ifndef DIPP_TRAIN_MODELS_H
#define DIPP_TRAIN_MODELS_H

#include "diffusion/denoise.h"
#include "tensor/program.h"

enum { DIPP_MAX_REWARDS = 8, DIPP_MAX_GENERATOR_STEPS = 32 };

/* How a generator of K steps is composed: x_T at sigma/alpha = sigma_init is denoised; K - 1 times the result is noised
 * again, with fresh noise, at the next level and denoised, as consistency models sample. */
typedef struct dipp_generator_steps {
    uint32_t count;                          /* K; 0 is 1 */
    double levels[DIPP_MAX_GENERATOR_STEPS]; /* sigma/alpha of each; [0] is sigma_init, set by dipp_models_create */
    uint32_t level_count; /* how many of levels[1], ... are given: K - 1, or 0 for levels falling by 0.4 each */
    bool last_only;       /* gradients stop at the input of the last step; else they pass through all */
} dipp_generator_steps;

/* What weights are read from: a file, and one for what that lacks. Two paths are one file where they are one text; NULL: none, or not
 * known. */
typedef struct dipp_weight_files {
    const char *file, *head;
} dipp_weight_files;

typedef struct dipp_reward_model {
    const dipp_plugin *plugin;
    const dipp_reward *vtable;
    void *self;
    dipp_reward_info info;
    dipp_weight_files files;
    struct dipp_reward_model *home; /* whose layout and set these are: itself, or an earlier one of this file */
    dipp_layout *layout;            /* with all parameters of the rewards at this home */
    dipp_parameter_set *set;        /* NULL when it has no parameters */
} dipp_reward_model;

/* What is trained of a network in place of all its weights, which are then its frozen base. Nothing without a layout. */
typedef struct dipp_overlay {
    dipp_lora_options lora;
    dipp_layout *layout;
    dipp_parameter_set *set, *average; /* average: of a generator that is trained */
} dipp_overlay;

typedef struct dipp_models {
    dipp_backend *backend; /* not owned */
    const dipp_reference *reference;
    void *reference_self;
    dipp_space space;
    dipp_shape picture;     /* what decode makes of one sample: [channels, height, width], or the sample's own shape */
    dipp_schedule schedule; /* the space's, or the configured one where the space takes any */
    const dipp_reference *ta; /* the reference's vtable and instance unless a TA of its own was asked for */
    void *ta_self;
    dipp_space ta_space;
    bool own_ta;
    const dipp_generator *generator; /* NULL when no generator takes part */
    void *generator_self;
    dipp_generator_info generator_info;
    dipp_generator_steps steps;

    /* Layouts and sets of TA and generator may be the reference's own: where it is their frozen base. */
    dipp_layout *reference_layout, *ta_layout, *text_layout, *decoder_layout, *generator_layout;
    dipp_parameter_set *reference_set, *ta_set, *text_set, *decoder_set, *generator_set, *generator_ema, *reference_ema,
        *text_ema, *decoder_ema;
    dipp_overlay generator_overlay, ta_overlay; /* without generator_ema: the overlay has the average */
    uint32_t condition_parts;                   /* of encode_text; 0 without text */

    dipp_reward_model rewards[DIPP_MAX_REWARDS];
    uint32_t reward_count;
} dipp_models;

typedef struct dipp_model_choice {
    const dipp_plugin *plugin;
    const dipp_parameters *parameters;
} dipp_model_choice;

/* How a network is adapted; lora.rank 0: not at all. The targets' texts must outlive the models. */
typedef struct dipp_adapter_choice {
    dipp_lora_options lora;
    bool over_reference; /* its base is to hold the reference's numbers: they are kept once if names and shapes agree */
} dipp_adapter_choice;

typedef struct dipp_models_options {
    dipp_model_choice reference, generator,
        ta; /* ta.plugin NULL: the reference's network; generator.plugin may be NULL */
    dipp_adapter_choice generator_adapter, ta_adapter;
    dipp_model_choice rewards[DIPP_MAX_REWARDS];
    dipp_weight_files reward_files[DIPP_MAX_REWARDS]; /* rewards of one file share what they can; outlive the models */
    uint32_t reward_count;
    const dipp_schedule *schedule; /* used when the reference takes any; may be NULL otherwise */
    dipp_generator_steps steps;
    bool train_reference; /* pretraining: the reference and its text encoder are trained and averaged */
    bool train_decoder;   /* pretraining of the autoencoder: encoder and decoder are trained and averaged */
    bool train_generator;
    dipp_formats formats,
        ta_formats; /* of what is trained: the generator or the reference with its text encoder; the TA */
    const dipp_host *host;
} dipp_models_options;

/* Creates instances, checks that the spaces agree, declares every network and allocates zeroed parameter sets. */
dipp_status dipp_models_create(dipp_backend *backend, const dipp_models_options *options, dipp_models **out,
                               dipp_error *error);
void dipp_models_destroy(dipp_models **models);

/* Initial values of every set as declared, from the seed. */
dipp_status dipp_models_initialise(dipp_models *models, uint64_t seed, dipp_error *error);

/* ---- Rewards, and those of one file (reward_sets.c) ---- */

/* Creates the instance, its own home, and checks what it says of itself; dipp_reward_clear ends it, after an error too.
 * [main] */
dipp_status dipp_reward_open(dipp_reward_model *reward, dipp_model_choice choice, const dipp_host *host,
                             dipp_error *error);
/* Gives reward i of a list the layout of one before it, made the union of both, where both load one file, and no two files of
 * heads, and no name means two things. Layouts are declared; i's own is not sealed, and one that is takes what it holds
 * already. [main] */
dipp_status dipp_reward_settle(dipp_reward_model *const *rewards, uint32_t i, dipp_error *error);
/* The file with the head of the rewards that have their parameters at home, or NULL. */
const char *dipp_reward_head_at(dipp_reward_model *const *rewards, uint32_t count, const dipp_reward_model *home);
/* Its own set, zeroed, or its home's, which is there already. */
dipp_status dipp_reward_create_set(dipp_reward_model *reward, dipp_backend *backend, dipp_error *error);
/* Destroys what is its own. */
void dipp_reward_clear(dipp_reward_model *reward);

/* ---- Whole networks and adapted ones (overlay.c) ---- */

/* What training changes: all of the network, or the overlay. average is NULL where none is kept. */
typedef struct dipp_trained {
    dipp_layout *layout;
    dipp_parameter_set *set, *average;
} dipp_trained;
dipp_trained dipp_trained_generator(const dipp_models *models);
dipp_trained dipp_trained_ta(const dipp_models *models);

/* The slot of the network in a recording and, where it is adapted, behind it a second one for the overlay; returns the
 * first. trainable: gradients to what training changes. */
dipp_params dipp_generator_slots(const dipp_models *models, dipp_graph *g, bool trainable);
dipp_params dipp_ta_slots(const dipp_models *models, dipp_graph *g, bool trainable);

enum { DIPP_NETWORK_SLOTS = 2 };
/* What is bound to those slots; returns how many there are. average: the averaged weights, where they are kept. */
uint32_t dipp_bind_generator(const dipp_models *models, bool average, dipp_binding out[DIPP_NETWORK_SLOTS]);
uint32_t dipp_bind_ta(const dipp_models *models, dipp_binding out[DIPP_NETWORK_SLOTS]);

/* Networks as functions, and the records shared by training and sampling. */
dipp_network dipp_reference_network(const dipp_models *models);
dipp_network dipp_ta_network(const dipp_models *models);

/* Shape [batch, sample...], and [batch, picture...]. */
dipp_shape dipp_batch_shape(const dipp_models *models, int64_t batch);
dipp_shape dipp_picture_batch_shape(const dipp_models *models, int64_t batch);

/* Text inputs "tokens" and "mask" of batch rows; none when the reference takes no text. */
dipp_prompt dipp_text_inputs(const dipp_models *models, dipp_graph *g, const char *prefix, int64_t batch);
/* encode_text through the slot p, or nothing without text. */
dipp_condition dipp_encode_text(const dipp_models *models, dipp_graph *g, dipp_params p, dipp_prompt text);
/* Condition parts as inputs NAME.0, NAME.1, ... of the shapes that encode_text gave for this batch. */
dipp_condition dipp_condition_inputs(const dipp_models *models, dipp_graph *g, const char *name, int64_t batch);
/* The dtype and shape of condition part i for a batch, as recorded at declaration. */
void dipp_condition_part(const dipp_models *models, uint32_t i, int64_t batch, dipp_dtype *dtype, dipp_shape *shape);

/* x0 of the generator: declares inputs "z_key" (and "z_key.K" of later steps), returns [batch, sample...]. */
dipp_tensor dipp_record_generator(const dipp_models *models, dipp_graph *g, dipp_params p, dipp_condition c,
                                  int64_t batch);
/* The same from noise that is given: z[models->steps.count], each [batch, sample...] wide. */
dipp_tensor dipp_record_generator_from(const dipp_models *models, dipp_graph *g, dipp_params p, dipp_condition c,
                                       const dipp_tensor *z);

/* Pictures of x0 as rewards and evaluation see them; clamp: 0 none, 1 hard, 2 straight-through. */
dipp_tensor dipp_record_pictures(const dipp_models *models, dipp_graph *g, dipp_params decoder, dipp_tensor x0,
                                 int clamp);

/* ---- Weight files: what dipp_weights_open opens; a folder stands for the file NAME.safetensors in it ---- */

/* Reads all tensors of the layouts (count of them; sets NULL are skipped) from path, by their names, with or without the
 * prefixes of dipp_weights_find_prefixed, or as their first authors named and arranged them (weights/original_names.h).
 * Missing tensors and wrong shapes are errors (DIPP_E_FORMAT) that list them, with the first tensors that nobody wants; by
 * themselves such are ignored. [main] */
dipp_status dipp_weights_read_sets(const char *path, const char *name, dipp_parameter_set *const *sets, uint32_t count,
                                   dipp_error *error);

/* The same of one set whose tensors may be in two files: what `file` lacks is read from
 * `head`, which may be NULL. Neither is a folder. [main] */
dipp_status dipp_weights_read_with_head(const char *file, const char *head, dipp_parameter_set *set, dipp_error *error);

/* Writes the masters of the sets as one file, bf16 or f32, with the metadata pairs (key, value, ..., NULL) and format pt. */
dipp_status dipp_weights_write_sets(const char *path, const dipp_parameter_set *const *sets, uint32_t count, bool bf16,
                                    const char *const *metadata, dipp_error *error);

#endif
