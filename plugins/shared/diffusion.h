/* What the networks that denoise have in common as plugins, whatever they are inside: what is predicted and under which
 * schedule, a text encoder, an autoencoder, the level at which a generator starts. A plugin's state holds one. All of it is
 * written as parameters, or read from the folder that the parameter pipeline names (docs/pipelines.md). */
#ifndef DIPP_PLUGINS_DIFFUSION_H
#define DIPP_PLUGINS_DIFFUSION_H

#include <dipp/nn.h>
#include <dipp/plugin.h>
#include <dipp/text.h>

/* In the order of diffusion_text_encoders. */
typedef enum diffusion_text_kind { DIFFUSION_TEXT_OWN = 0, DIFFUSION_TEXT_CLIP, DIFFUSION_TEXT_T5 } diffusion_text_kind;

/* A text encoder with what splits its prompts. */
typedef struct diffusion_text {
    bool present; /* false: takes no text, and nothing below means anything */
    diffusion_text_kind kind;
    uint32_t length;               /* tokens of a prompt */
    int64_t width;                 /* of the states */
    dipp_text_encoder_options own; /* of kind OWN, as its vocabulary; below those of the others */
    dipp_vocabulary *vocabulary;
    dipp_clip_options clip;
    dipp_t5_options t5;
    dipp_tokenizer *tokenizer;
} diffusion_text;

typedef struct diffusion {
    const char *name;     /* of the plugin, for messages; const data */
    const char *pipeline; /* the folder, the parameters' own; NULL: the parameters say all */
    dipp_parameterisation parameterisation;
    dipp_schedule schedule;
    double sigma_data, time_scale;
    /* Reference only. */
    diffusion_text text;
    dipp_vae_options vae; /* levels 0: samples are not latents */
    /* Generator only. */
    double sigma_init;
    bool unit_noise;
} diffusion;

/* Reads DIFFUSION_PARAMETERS, or the pipeline's schedule. */
dipp_status diffusion_read(const dipp_parameters *parameters, const char *name, diffusion *d, dipp_error *error);
/* The description of the network in the pipeline, which there is, into path. */
void diffusion_network_file(const diffusion *d, char path[DIPP_PIPELINE_PATH_BYTES]);
/* The parameter size, without which the pipeline's sample_size counts; 0 there: DIPP_E_INVALID. */
dipp_status diffusion_read_size(const dipp_parameters *parameters, const diffusion *d, int64_t sample_size,
                                int64_t *out, dipp_error *error);
/* Reads DIFFUSION_TEXT_PARAMETERS and the vocabulary's file, or what the pipeline has; diffusion_release frees it.
 * caption_channels: the width of text that a pipeline's network takes, 0 where any will do. */
dipp_status diffusion_read_text(const dipp_parameters *parameters, diffusion *d, int64_t caption_channels,
                                dipp_error *error);
/* Reads DIFFUSION_VAE_PARAMETERS, or what the pipeline has, for samples of so many channels. */
dipp_status diffusion_read_vae(const dipp_parameters *parameters, diffusion *d, int64_t channels, dipp_error *error);
/* Reads DIFFUSION_GENERATOR_PARAMETERS. */
dipp_status diffusion_read_generator(const dipp_parameters *parameters, diffusion *d, dipp_error *error);
void diffusion_release(diffusion *d);

/* Fill all fields; sample is the shape of one x0, [channels, height, width]. */
void diffusion_space(const diffusion *d, dipp_shape sample, dipp_space *out);
void diffusion_info(const diffusion *d, dipp_shape sample, dipp_generator_info *out);

/* As the vtable's functions of these names. A condition has two parts, text states [N, L, width] and mask [N, L]. */
dipp_status diffusion_tokenize(const diffusion *d, const char *const *texts, uint32_t count, int32_t *tokens,
                               float *mask, dipp_error *error);
dipp_condition diffusion_encode_text(const diffusion *d, dipp_graph *g, dipp_params p, dipp_prompt text);

/* Fails the graph when c has parts other than states and mask, or none where the model takes text. */
bool diffusion_condition_fits(const diffusion *d, dipp_graph *g, dipp_condition c);

/* As the vtable's functions of these names: through the autoencoder if there is one. Without it, samples of three channels
 * live in [-1, 1] and are [0, 1] as pictures, and others are left alone. */
dipp_tensor diffusion_decode(const diffusion *d, dipp_graph *g, dipp_params p, dipp_tensor x0);
dipp_tensor diffusion_encode(const diffusion *d, dipp_graph *g, dipp_params p, dipp_tensor images);

/* ---- Rows of parameter tables ---- */

extern const char *const diffusion_parameterisations[];
extern const char *const diffusion_beta_schedules[];
extern const char *const diffusion_text_encoders[];

/* clang-format off */
/* Of what a pipeline says, too. */
#define DIFFUSION_STRUCTURE (DIPP_PARAMETER_STRUCTURAL | DIPP_PARAMETER_NOT_WITH_PIPELINE)

#define DIFFUSION_INT(key_, default_, minimum_, maximum_, unit_, help_) \
    {.key = key_, .type = DIPP_TYPE_INT, .default_text = default_, .minimum = minimum_, .maximum = maximum_, .unit = unit_, \
     .flags = DIFFUSION_STRUCTURE, .help = help_}

#define DIFFUSION_SIZE \
    {.key = "size", .type = DIPP_TYPE_INT, .default_text = "32", .minimum = 1, .maximum = 4096, .unit = "pixel", \
     .flags = DIPP_PARAMETER_STRUCTURAL | DIPP_PARAMETER_FROM_PIPELINE, \
     .help = "Height and width of a sample; may be written beside pipeline, in place of its sample_size."}

#define DIFFUSION_PARAMETERS \
    {.key = "pipeline", .type = DIPP_TYPE_PATH, .flags = DIPP_PARAMETER_STRUCTURAL | DIPP_PARAMETER_OPTIONAL, \
     .help = "Folder as diffusers writes it, whose files say what the networks are and under which noise they were trained; weights are named apart."}, \
    {.key = "time_scale", .type = DIPP_TYPE_FLOAT, .minimum = 1e-6, .maximum = 1e6, \
     .flags = DIFFUSION_STRUCTURE | DIPP_PARAMETER_OPTIONAL, \
     .help = "Factor of t before the sinusoid; unset is 1000 for edm and flow, 1 otherwise."}, \
    {.key = "parameterisation", .type = DIPP_TYPE_ENUM, .default_text = "edm", .choices = diffusion_parameterisations, \
     .flags = DIFFUSION_STRUCTURE, .help = "What the network predicts; it also fixes the kind of noise schedule."}, \
    {.key = "sigma_data", .type = DIPP_TYPE_FLOAT, .default_text = "0.5", .minimum = 1e-6, .maximum = 1e6, \
     .flags = DIFFUSION_STRUCTURE, .help = "Standard deviation of the data, for edm."}, \
    {.key = "beta_start", .type = DIPP_TYPE_FLOAT, .default_text = "0.00085", .minimum = 1e-9, .maximum = 0.999, \
     .flags = DIFFUSION_STRUCTURE, .help = "First beta of the schedule of eps, v and x0; PixArt-alpha's is 0.0001."}, \
    {.key = "beta_end", .type = DIPP_TYPE_FLOAT, .default_text = "0.012", .minimum = 1e-9, .maximum = 0.999, \
     .flags = DIFFUSION_STRUCTURE, .help = "Last beta; PixArt-alpha's is 0.02."}, \
    {.key = "beta_schedule", .type = DIPP_TYPE_ENUM, .default_text = "scaled_linear", .choices = diffusion_beta_schedules, \
     .flags = DIFFUSION_STRUCTURE, .help = "Whether betas are linear in their square root or, as PixArt-alpha's, in themselves."}, \
    DIFFUSION_INT("beta_steps", "1000", 2, 100000, "step", "Number of betas.")

#define DIFFUSION_OPTIONAL_FILE(key_, help_) \
    {.key = key_, .type = DIPP_TYPE_PATH, .flags = DIFFUSION_STRUCTURE | DIPP_PARAMETER_OPTIONAL, .help = help_}

#define DIFFUSION_TEXT_PARAMETERS(width_, heads_) \
    {.key = "text_encoder", .type = DIPP_TYPE_ENUM, .default_text = "own", .choices = diffusion_text_encoders, \
     .flags = DIFFUSION_STRUCTURE, .help = "A small one of dipp's own, CLIP's as Stable Diffusion reads it, or T5's as PixArt-alpha does."}, \
    DIFFUSION_OPTIONAL_FILE("vocabulary", "Of own a file of words, one a line; of clip vocab.json or tokenizer.json, of t5 spiece.model. Unset is a model without text."), \
    DIFFUSION_OPTIONAL_FILE("merges", "Of clip, beside a vocab.json: merges.txt."), \
    DIFFUSION_OPTIONAL_FILE("text_config", "Of clip and t5: the encoder's config.json."), \
    {.key = "token_length", .type = DIPP_TYPE_INT, .minimum = 1, .maximum = 4096, .unit = "token", \
     .flags = DIPP_PARAMETER_STRUCTURAL | DIPP_PARAMETER_OPTIONAL, \
     .help = "Tokens of a prompt, longer ones are cut; unset is 16 of own, all positions of clip (77), 120 of t5. May be written beside pipeline."}, \
    DIFFUSION_INT("text_hidden", width_, 1, 16384, NULL, "Width of the own text encoder."), \
    DIFFUSION_INT("text_layers", "1", 0, 64, NULL, "Blocks of the own text encoder."), \
    DIFFUSION_INT("text_heads", heads_, 1, 512, NULL, "Attention heads of the own text encoder.")

#define DIFFUSION_VAE_PARAMETERS \
    {.key = "vae_widths", .type = DIPP_TYPE_INT_LIST, .minimum = 1, .maximum = 16384, \
     .flags = DIFFUSION_STRUCTURE | DIPP_PARAMETER_OPTIONAL, \
     .help = "Channels of each level of an autoencoder, finest first; set: samples are its latents, of which each further level halves the size."}, \
    DIFFUSION_INT("vae_layers", "2", 1, 15, NULL, "Resnets of a level of the encoder; the decoder's have one more."), \
    DIFFUSION_INT("vae_groups", "32", 1, 1024, NULL, "Groups of the autoencoder's norms."), \
    {.key = "vae_scaling", .type = DIPP_TYPE_FLOAT, .default_text = "0.18215", .minimum = 1e-6, .maximum = 1e6, \
     .flags = DIFFUSION_STRUCTURE, .help = "Factor of the latents."}

#define DIFFUSION_GENERATOR_PARAMETERS \
    {.key = "sigma_init", .type = DIPP_TYPE_FLOAT, .minimum = 1e-3, .maximum = 1e3, \
     .flags = DIPP_PARAMETER_STRUCTURAL | DIPP_PARAMETER_OPTIONAL, \
     .help = "sigma/alpha of the level at which the single step starts; unset is t_init's, or 2.5 where there is neither it nor a pipeline."}, \
    {.key = "t_init", .type = DIPP_TYPE_FLOAT, .minimum = 0, .maximum = 100000, .unit = "step", \
     .flags = DIPP_PARAMETER_STRUCTURAL | DIPP_PARAMETER_OPTIONAL, \
     .help = "The same level as a step of the schedule of eps, v and x0: of one-step SD 1.5 usually 625, of PixArt-alpha 400 with unit_noise."}, \
    {.key = "unit_noise", .type = DIPP_TYPE_BOOL, .default_text = "false", .flags = DIPP_PARAMETER_STRUCTURAL, \
     .help = "Whether the step starts from z itself rather than sigma z."}
/* clang-format on */

#endif
