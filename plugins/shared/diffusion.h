/* What the networks that denoise have in common as plugins, whatever they are inside: what is predicted and under which
 * schedule, a text encoder for a vocabulary of their own, the level at which a generator starts. A plugin's state holds one. */
#ifndef DIPP_PLUGINS_DIFFUSION_H
#define DIPP_PLUGINS_DIFFUSION_H

#include <dipp/nn.h>
#include <dipp/plugin.h>
#include <dipp/text.h>

typedef struct diffusion {
    const char *name; /* of the plugin, for messages; const data */
    dipp_parameterisation parameterisation;
    double sigma_data, time_scale;
    /* Reference only. */
    dipp_text_encoder_options text;
    dipp_vocabulary *vocabulary; /* NULL: takes no text */
    /* Generator only. */
    double sigma_init;
    bool unit_noise;
} diffusion;

/* Reads DIFFUSION_PARAMETERS. */
void diffusion_read(const dipp_parameters *parameters, const char *name, diffusion *d);
/* Reads DIFFUSION_TEXT_PARAMETERS and the vocabulary's file; diffusion_release frees it. */
dipp_status diffusion_read_text(const dipp_parameters *parameters, diffusion *d, dipp_error *error);
/* Reads DIFFUSION_GENERATOR_PARAMETERS. */
void diffusion_read_generator(const dipp_parameters *parameters, diffusion *d);
void diffusion_release(diffusion *d);

/* Fill all fields; sample is the shape of one x0, pictures whether decode gives pictures. */
void diffusion_space(const diffusion *d, dipp_shape sample, bool pictures, dipp_space *out);
void diffusion_info(const diffusion *d, dipp_shape sample, dipp_generator_info *out);

/* As the vtable's functions of these names. A condition has two parts, text states [N, L, width] and mask [N, L]. */
dipp_status diffusion_tokenize(const diffusion *d, const char *const *texts, uint32_t count, int32_t *tokens,
                               float *mask, dipp_error *error);
dipp_condition diffusion_encode_text(const diffusion *d, dipp_graph *g, dipp_params p, dipp_prompt text);

/* Fails the graph when c has parts other than states and mask, or none where the model takes text. */
bool diffusion_condition_fits(const diffusion *d, dipp_graph *g, dipp_condition c);

/* Pictures of three channels live in [-1, 1] as samples and in [0, 1] as pictures. */
dipp_tensor diffusion_to_pictures(dipp_graph *g, dipp_tensor samples);
dipp_tensor diffusion_from_pictures(dipp_graph *g, dipp_tensor pictures);

/* ---- Rows of parameter tables ---- */

extern const char *const diffusion_parameterisations[];

#define DIFFUSION_INT(key_, default_, minimum_, maximum_, unit_, help_)                                         \
    {                                                                                                           \
        .key = key_, .type = DIPP_TYPE_INT, .default_text = default_, .minimum = minimum_, .maximum = maximum_, \
        .unit = unit_, .flags = DIPP_PARAMETER_STRUCTURAL, .help = help_                                        \
    }

/* clang-format off */
#define DIFFUSION_PARAMETERS \
    {.key = "time_scale", .type = DIPP_TYPE_FLOAT, .minimum = 1e-6, .maximum = 1e6, \
     .flags = DIPP_PARAMETER_STRUCTURAL | DIPP_PARAMETER_OPTIONAL, \
     .help = "Factor of t before the sinusoid; unset is 1000 for edm and flow, 1 otherwise."}, \
    {.key = "parameterisation", .type = DIPP_TYPE_ENUM, .default_text = "edm", .choices = diffusion_parameterisations, \
     .flags = DIPP_PARAMETER_STRUCTURAL, .help = "What the network predicts; it also fixes the noise schedule."}, \
    {.key = "sigma_data", .type = DIPP_TYPE_FLOAT, .default_text = "0.5", .minimum = 1e-6, .maximum = 1e6, \
     .flags = DIPP_PARAMETER_STRUCTURAL, .help = "Standard deviation of the data, for edm."}

#define DIFFUSION_TEXT_PARAMETERS(width_, heads_) \
    {.key = "vocabulary", .type = DIPP_TYPE_PATH, .flags = DIPP_PARAMETER_STRUCTURAL | DIPP_PARAMETER_OPTIONAL, \
     .help = "File of words, one a line; unset is a model without text."}, \
    DIFFUSION_INT("token_length", "16", 1, 4096, "token", "Tokens of a prompt; longer prompts are cut."), \
    DIFFUSION_INT("text_hidden", width_, 1, 16384, NULL, "Width of the text encoder."), \
    DIFFUSION_INT("text_layers", "1", 0, 64, NULL, "Blocks of the text encoder."), \
    DIFFUSION_INT("text_heads", heads_, 1, 512, NULL, "Attention heads of the text encoder.")

#define DIFFUSION_GENERATOR_PARAMETERS \
    {.key = "sigma_init", .type = DIPP_TYPE_FLOAT, .default_text = "2.5", .minimum = 1e-3, .maximum = 1e3, \
     .flags = DIPP_PARAMETER_STRUCTURAL, .help = "sigma/alpha of the level at which the single step starts."}, \
    {.key = "unit_noise", .type = DIPP_TYPE_BOOL, .default_text = "false", .flags = DIPP_PARAMETER_STRUCTURAL, \
     .help = "Whether the step starts from z itself rather than sigma z."}
/* clang-format on */

#endif
