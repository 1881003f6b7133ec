/* What the published scorers built on CLIP have in common: a network, a tokenizer, how a picture is seen, and a number made of
 * the two features. They differ in the values of a recipe. Page: docs/reward-plugins.md. */
#ifndef DIPP_PLUGINS_CLIP_H
#define DIPP_PLUGINS_CLIP_H

#include <dipp/nn.h>
#include <dipp/plugin.h>
#include <dipp/text.h>

typedef enum clip_prefix {
    CLIP_PREFIX_NONE = 0,
    CLIP_PREFIX_WORDS,  /* "A photo depicts " before the prompt */
    CLIP_PREFIX_SPLICED /* its three tokens behind the start token of the prompt's, which is cut at its end (DMD2) */
} clip_prefix;

/* How a published scorer works. */
typedef struct clip_recipe {
    const char *name;    /* of the plugin, for messages */
    const char *network; /* "h14", "l14", "b32", "g14" */
    bool text;           /* false: the picture's half only */
    dipp_tokenizer_rule rule;
    clip_prefix prefix;
    /* Evaluation as published. */
    dipp_fit fit;
    dipp_resize_kernel kernel;
    bool eight_bit; /* resized as bytes, by Pillow */
    bool lanczos;   /* the middle square is first resized to 256 x 256 with Lanczos, as bytes */
    /* Score: factor times the cosine, or the file's own factor. */
    double factor;
    bool learned_factor;
    bool floor; /* no published score is below 0 */
} clip_recipe;

typedef struct clip_reward {
    clip_recipe recipe;
    dipp_clip_options network;
    dipp_fit fit; /* of alignment and training */
    dipp_resize_kernel kernel;
    bool official; /* evaluation as the recipe says, not as alignment */
    dipp_tokenizer *tokenizer;
    int32_t end;        /* the token that ends a text */
    int32_t spliced[3]; /* of CLIP_PREFIX_SPLICED */
} clip_reward;

/* Which of the choices a text is, that of a parameter whose table has checked that it is one of them. */
int clip_choice(const char *const *choices, const char *text);

/* Reads the parameters below. *out is the caller's, clip_clear. */
dipp_status clip_create(const dipp_parameters *parameters, const clip_recipe *recipe, clip_reward *out,
                        dipp_error *error);
void clip_clear(clip_reward *r);

/* The vocabulary's tokenizer, and what of prompts is known beforehand (prompt.c). */
dipp_status clip_read_vocabulary(const dipp_parameters *parameters, clip_reward *r, dipp_error *error);
/* As the vtable's function; the mask's ones reach up to and with the first token that ends a text. */
dipp_status clip_tokenize(const clip_reward *r, const char *const *texts, uint32_t count, int32_t *tokens, float *mask,
                          dipp_error *error);

/* Pictures [N, 3, H, W] -> features of length 1 [N, joint], wide. */
dipp_tensor clip_image(const clip_reward *r, dipp_graph *g, dipp_params p, dipp_tensor pictures, dipp_reward_mode mode);

extern const dipp_plugin hps_plugin, pickscore_plugin, clipscore_plugin, aesthetic_plugin;

/* ---- Rows of parameter tables ---- */

extern const char *const clip_networks[], *const clip_activations[], *const clip_fits[], *const clip_kernels[];

/* clang-format off */
#define CLIP_INT(key_, default_, minimum_, maximum_, help_) \
    {.key = key_, .type = DIPP_TYPE_INT, .default_text = default_, .minimum = minimum_, .maximum = maximum_, \
     .flags = DIPP_PARAMETER_STRUCTURAL, .help = "With network own: " help_}

#define CLIP_NETWORK(default_, flags_) \
    {.key = "network", .type = DIPP_TYPE_ENUM, .default_text = default_, .choices = clip_networks, \
     .flags = DIPP_PARAMETER_STRUCTURAL | (flags_), \
     .help = "The published network; own: of the sizes below."}

#define CLIP_PICTURE_PARAMETERS \
    {.key = "config", .type = DIPP_TYPE_PATH, .flags = DIPP_PARAMETER_STRUCTURAL | DIPP_PARAMETER_OPTIONAL, \
     .help = "config.json of transformers' CLIPModel, which describes the network in place of all sizes here."}, \
    {.key = "activation", .type = DIPP_TYPE_ENUM, .choices = clip_activations, \
     .flags = DIPP_PARAMETER_STRUCTURAL | DIPP_PARAMETER_OPTIONAL, \
     .help = "Of the feed-forward layers; unset: quick_gelu for l14 and b32, gelu for others, or what config says."}, \
    CLIP_INT("joint", "64", 1, 16384, "width of the space in which pictures and texts meet."), \
    CLIP_INT("size", "32", 1, 4096, "height and width of a picture in pixels."), \
    CLIP_INT("patch", "8", 1, 1024, "side of the square that becomes one token, in pixels."), \
    CLIP_INT("vision_width", "64", 1, 16384, "width of the picture tower, a multiple of vision_heads."), \
    CLIP_INT("vision_layers", "2", 1, 256, "blocks of the picture tower."), \
    CLIP_INT("vision_heads", "2", 1, 512, "attention heads of the picture tower."), \
    {.key = "fit", .type = DIPP_TYPE_ENUM, .default_text = "crop", .choices = clip_fits, .flags = DIPP_PARAMETER_STRUCTURAL, \
     .help = "How alignment and training make a picture square."}, \
    {.key = "kernel", .type = DIPP_TYPE_ENUM, .default_text = "bicubic", .choices = clip_kernels, \
     .flags = DIPP_PARAMETER_STRUCTURAL, .help = "How alignment and training resize; *_plain does not widen when it shrinks."}, \
    {.key = "official", .type = DIPP_TYPE_BOOL, .default_text = "true", .flags = DIPP_PARAMETER_STRUCTURAL, \
     .help = "Whether evaluation sees pictures as the published scorer does; otherwise as alignment."}

#define CLIP_TEXT_PARAMETERS \
    {.key = "vocabulary", .type = DIPP_TYPE_PATH, .flags = DIPP_PARAMETER_STRUCTURAL | DIPP_PARAMETER_REQUIRED, \
     .help = "bpe_simple_vocab_16e6.txt or .txt.gz, or vocab.json with merges, or (Hugging Face's rules) tokenizer.json."}, \
    {.key = "merges", .type = DIPP_TYPE_PATH, .flags = DIPP_PARAMETER_STRUCTURAL | DIPP_PARAMETER_OPTIONAL, \
     .help = "merges.txt of a vocab.json."}, \
    CLIP_INT("text_width", "64", 1, 16384, "width of the text tower, a multiple of text_heads."), \
    CLIP_INT("text_layers", "2", 1, 256, "blocks of the text tower."), \
    CLIP_INT("text_heads", "2", 1, 512, "attention heads of the text tower."), \
    CLIP_INT("length", "32", 5, 4096, "tokens of a prompt with its start and end; longer prompts are cut.")

#define CLIP_OFFICIAL_KERNEL \
    {.key = "official_kernel", .type = DIPP_TYPE_ENUM, .default_text = "bicubic_plain", .choices = clip_kernels, \
     .flags = DIPP_PARAMETER_STRUCTURAL, \
     .help = "How the letterbox of evaluation resizes: bicubic_plain as torchvision before 0.17, bicubic as since then."}
/* clang-format on */

#endif
