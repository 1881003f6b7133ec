/* UNSTABLE: networks that several plugins record, built on dipp/tensor.h. Their options may change between minor releases.
 *
 * A function here appends to the caller's graph and declares its parameters in the caller's set under the names of the
 * published files. A wrong option or shape fails the graph (dipp_graph_fail). Options structs are read during the call only.
 * Thread tag of every function that takes a graph: [one thread at a time per graph]. */
#ifndef DIPP_NN_H
#define DIPP_NN_H

#include <dipp/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- The PixArt-alpha transformer (diffusers: PixArtTransformer2DModel) ---------------------------------------- */

typedef struct dipp_dit_options {
    size_t struct_size;              /* sizeof(dipp_dit_options), or 0 */
    int64_t channels, height, width; /* of a sample; height and width are multiples of patch */
    int64_t patch;
    int64_t hidden; /* multiple of 4 and of heads */
    int64_t layers, heads;
    int64_t mlp_ratio;        /* width of the feed-forward layer over hidden; 0 means 4 */
    int64_t caption_channels; /* width of the text states; 0: no text, the blocks have no cross-attention */
    bool learn_sigma;         /* twice as many output channels: the prediction, then the variance logits */
    double time_scale;        /* t is multiplied by it before the sinusoid, which wants a range near 1000; 0 means 1 */
    int64_t position_base;    /* token grid whose coordinates are 0, 1, 2, ...; 0 means height / patch */
    double position_scale;    /* coordinates are divided by it (diffusers: interpolation_scale); 0 means 1 */
    double epsilon;           /* of the layer norms; 0 means 1e-6 */
    /* Micro-conditioning of the 1024 px model: the picture's size in pixels that joins the time embedding, with its aspect
     * ratio height/width. Both 0: off, and its six tensors do not exist. hidden is then a multiple of 3. */
    double micro_height, micro_width;
} dipp_dit_options;

/* Checks the options alone: DIPP_E_INVALID says which field is wrong and why. [any thread] */
dipp_status dipp_dit_check(const dipp_dit_options *options, dipp_error *error);

/* The network that a transformer/config.json of diffusers describes: PixArtTransformer2DModel, or Transformer2DModel with
 * norm_type ada_norm_single. All fields of *out but time_scale, which is 0: height and width are sample_size, and with
 * micro-conditioning the picture's size is 8 sample_size, as PixArt-alpha's autoencoder makes it. DIPP_E_UNSUPPORTED names file,
 * key and value of what changes the network and is not known here; DIPP_E_FORMAT, DIPP_E_INVALID (sizes that make no network),
 * DIPP_E_NOT_FOUND, DIPP_E_IO, DIPP_E_MEMORY. [any thread] */
dipp_status dipp_dit_read_config(const char *path, dipp_dit_options *out, dipp_error *error);

/* x [N, channels, height, width], t wide [N], caption [N, L, caption_channels] and mask wide [N, L] (1 valid, 0 padding),
 * the last two DIPP_NONE when caption_channels is 0 -> [N, channels (twice with learn_sigma), height, width], wide. */
dipp_tensor dipp_dit(dipp_graph *g, dipp_params p, const dipp_dit_options *options, dipp_tensor x, dipp_tensor t,
                     dipp_tensor caption, dipp_tensor mask);

/* ---- The UNet of Stable Diffusion (diffusers: UNet2DConditionModel) --------------------------------------------- */

enum { DIPP_UNET_MAX_LEVELS = 8, DIPP_UNET_MAX_LAYERS = 15 };

typedef enum dipp_unet_mid {
    DIPP_UNET_MID_ATTENTION = 0, /* UNetMidBlock2DCrossAttn: resnet, transformer, resnet */
    DIPP_UNET_MID_PLAIN,         /* UNetMidBlock2D: one resnet */
    DIPP_UNET_MID_NONE
} dipp_unet_mid;

/* One resolution: a block on the way down, and the block of the same width on the way up. */
typedef struct dipp_unet_level {
    int64_t channels; /* a multiple of groups, and of heads where there are transformers; the finest's is even */
    int64_t layers;   /* resnets of the down block, at most 15; the up block has one more */
    int64_t heads;    /* of each attention layer; published configurations call this number attention_head_dim */
    int64_t transformer_layers; /* blocks of each transformer; 0 means 1 */
    bool down_attention;        /* CrossAttnDownBlock2D: a transformer after each resnet; otherwise DownBlock2D */
    bool up_attention;          /* CrossAttnUpBlock2D; otherwise UpBlock2D */
} dipp_unet_level;

typedef struct dipp_unet_options {
    size_t struct_size; /* sizeof(dipp_unet_options), or 0 */
    int64_t in_channels, out_channels;
    uint32_t levels;                             /* 1 to 8 */
    dipp_unet_level level[DIPP_UNET_MAX_LEVELS]; /* finest first; each of the others has half the side, rounded up */
    dipp_unet_mid mid;
    int64_t caption_channels; /* width of the text states; 0: no text, the transformers have no cross-attention */
    int64_t groups;           /* of the group norms; 0 means 32 */
    double epsilon;           /* of the resnets' and the last norm, not of the transformers'; 0 means 1e-5 */
    bool linear_projection;   /* proj_in and proj_out are stored [C, C]; otherwise as 1x1 convolutions */
    double time_scale;        /* t is multiplied by it before the sinusoid, which wants a range near 1000; 0 means 1 */
} dipp_unet_options;

/* As dipp_dit_check. [any thread] */
dipp_status dipp_unet_check(const dipp_unet_options *options, dipp_error *error);

/* The network that a unet/config.json of diffusers' UNet2DConditionModel describes, but time_scale, which is 0, and its
 * sample_size, 0 where the file has none. Errors as dipp_dit_read_config's. [any thread] */
dipp_status dipp_unet_read_config(const char *path, dipp_unet_options *out, int64_t *size, dipp_error *error);

/* x [N, in_channels, H, W] of any size, t wide [N], caption [N, L, caption_channels] (DIPP_NONE when caption_channels is 0) and
 * mask wide [N, L] (1 valid, 0 padding; DIPP_NONE: all are valid) -> [N, out_channels, H, W], wide. */
dipp_tensor dipp_unet(dipp_graph *g, dipp_params p, const dipp_unet_options *options, dipp_tensor x, dipp_tensor t,
                      dipp_tensor caption, dipp_tensor mask);

/* ---- The autoencoder of Stable Diffusion (diffusers: AutoencoderKL) --------------------------------------------- */

enum { DIPP_VAE_MAX_LEVELS = 8 };

typedef struct dipp_vae_options {
    size_t struct_size;     /* sizeof(dipp_vae_options), or 0 */
    int64_t image_channels; /* 0 means 3 */
    int64_t latent_channels;
    uint32_t levels;                       /* 1 to 8; a latent's side is the picture's over 2^(levels - 1) */
    int64_t channels[DIPP_VAE_MAX_LEVELS]; /* of each level, finest first: multiples of groups */
    int64_t layers;                        /* resnets of a level of the encoder; the decoder's have one more */
    int64_t groups;                        /* of all group norms; 0 means 32 */
    double epsilon;                        /* of all group norms; 0 means 1e-6 */
    double scaling;                        /* latents are the encoder's means times this; 0 means 0.18215 */
} dipp_vae_options;

/* As dipp_dit_check. [any thread] */
dipp_status dipp_vae_check(const dipp_vae_options *options, dipp_error *error);

/* The autoencoder that a vae/config.json of diffusers' AutoencoderKL describes. Errors as dipp_dit_read_config's. [any thread] */
dipp_status dipp_vae_read_config(const char *path, dipp_vae_options *out, dipp_error *error);

/* Pictures [N, image_channels, H, W], nominally in [-1, 1], both sides multiples of 2^(levels - 1) ->
 * latents [N, latent_channels, H / 2^(levels-1), W / 2^(levels-1)], wide: the mean of the posterior, scaled. */
dipp_tensor dipp_vae_encode(dipp_graph *g, dipp_params p, const dipp_vae_options *options, dipp_tensor pictures);

/* Latents -> pictures, wide, nominally in [-1, 1], not clamped. */
dipp_tensor dipp_vae_decode(dipp_graph *g, dipp_params p, const dipp_vae_options *options, dipp_tensor latents);

/* ---- Pictures as published scorers see them ---------------------------------------------------------------------- */

/* Bicubic, bilinear and Lanczos widen when a picture shrinks (Pillow; torch with antialias=True; bicubic's a is -0.5). The
 * plain ones do not (torch without, as torchvision before 0.17; a = -0.75). */
typedef enum dipp_resize_kernel {
    DIPP_RESIZE_BICUBIC = 0,
    DIPP_RESIZE_BICUBIC_PLAIN,
    DIPP_RESIZE_BILINEAR,
    DIPP_RESIZE_BILINEAR_PLAIN,
    DIPP_RESIZE_LANCZOS
} dipp_resize_kernel;

/* x [N, C, H, W] -> [N, C, height, width], wide. Centres at half pixels; not clamped (bicubic overshoots).
 * eight_bit: as Pillow does with bytes, for x in [0, 1]: x rounded (halves up) to multiples of 1/255 in [0, 1], which it is
 * even where the size stays; weights of 22 bits, the width first, and rounded after each axis. In f64 these are Pillow's bytes; in f32 about one in ten thousand is its
 * neighbour. The gradient passes rounding and clamping unchanged. */
dipp_tensor dipp_resize(dipp_graph *g, dipp_tensor x, int64_t height, int64_t width, dipp_resize_kernel kernel,
                        bool eight_bit);

/* How a picture becomes square. */
typedef enum dipp_fit {
    DIPP_FIT_CROP = 0,  /* shorter side resized, centre cut out; half pixels to even (torchvision) */
    DIPP_FIT_CROP_DOWN, /* the same with half pixels rounded down (transformers) */
    DIPP_FIT_LETTERBOX, /* longer side resized, zeros on both sides (HPSv2) */
    DIPP_FIT_STRETCH    /* each side resized */
} dipp_fit;

/* Pictures [N, 3, H, W] in [0, 1] -> [N, 3, side, side], wide, with the means taken off and divided by the standard deviations
 * that CLIP and everything built on it was trained with. A letterbox's zeros are there before that. */
dipp_tensor dipp_clip_pictures(dipp_graph *g, dipp_tensor pictures, int64_t side, dipp_fit fit,
                               dipp_resize_kernel kernel, bool eight_bit);

/* ---- CLIP (transformers: CLIPModel) ----------------------------------------------------------------------------- */

typedef struct dipp_clip_tower {
    int64_t width; /* multiple of heads */
    int64_t layers, heads;
    int64_t inner;   /* width of the feed-forward layer; 0 means 4 width */
    bool quick_gelu; /* x sigmoid(1.702 x), as OpenAI's weights want it; otherwise GELU (erf) */
} dipp_clip_tower;

typedef struct dipp_clip_options {
    size_t struct_size; /* sizeof(dipp_clip_options), or 0 */
    int64_t joint;      /* width of the space in which pictures and texts meet */
    int64_t size;       /* of a picture, height and width; a multiple of patch */
    int64_t patch;
    dipp_clip_tower vision;
    int64_t vocabulary; /* number of token ids */
    int64_t length;     /* number of positions */
    dipp_clip_tower text;
    double epsilon; /* of the layer norms; 0 means 1e-5 */
} dipp_clip_options;

/* As dipp_dit_check. [any thread] */
dipp_status dipp_clip_check(const dipp_clip_options *options, dipp_error *error);

/* The same of vocabulary, length, text and epsilon alone. [any thread] */
dipp_status dipp_clip_check_text(const dipp_clip_options *options, dipp_error *error);

/* The network that a config.json of transformers' CLIPModel describes: all fields of *out, each tower's hidden_act too
 * (quick_gelu where the file has none). A text_config_dict or vision_config_dict of older files stands in its section's place, as
 * in transformers. DIPP_E_FORMAT and DIPP_E_UNSUPPORTED (another activation, epsilons that differ, channels other than 3) name file
 * and key, DIPP_E_INVALID (sizes that make no network) file and sizes; DIPP_E_NOT_FOUND, DIPP_E_IO, DIPP_E_MEMORY. [any thread] */
dipp_status dipp_clip_read_config(const char *path, dipp_clip_options *out, dipp_error *error);

/* The same for the config.json of a CLIPTextModel, as pipelines have it in text_encoder/ (or for the text_config of a whole CLIP's):
 * vocabulary, length, text and epsilon; all else is 0. DIPP_E_UNSUPPORTED also for another kind of model, and for
 * use_attention_mask, with which padding is hidden. [any thread] */
dipp_status dipp_clip_read_text_config(const char *path, dipp_clip_options *out, dipp_error *error);

/* Pictures [N, 3, size, size], already normalised -> [N, joint], wide, of any length. Declares vision_model.* and
 * visual_projection alone. */
dipp_tensor dipp_clip_image(dipp_graph *g, dipp_params p, const dipp_clip_options *options, dipp_tensor pictures);

/* tokens int32 [N, L], mask wide [N, L]: ones up to and with the first end-of-text token, then zeros; L at most length
 * -> [N, joint], wide, of any length. Declares text_model.* and text_projection alone. */
dipp_tensor dipp_clip_text(dipp_graph *g, dipp_params p, const dipp_clip_options *options, dipp_tensor tokens,
                           dipp_tensor mask);

/* All last states, as Stable Diffusion reads them: tokens int32 [N, L], L at most length -> [N, L, text.width] behind the final
 * layer norm, compute. Attention is causal and padding is not hidden. Declares text_model.* alone; of the options only what
 * dipp_clip_check_text looks at counts. */
dipp_tensor dipp_clip_text_states(dipp_graph *g, dipp_params p, const dipp_clip_options *options, dipp_tensor tokens);

/* The factor of cosines, exp(logit_scale): one number, wide. */
dipp_tensor dipp_clip_scale(dipp_graph *g, dipp_params p);

/* x [N, C] -> x / |x|, wide. A row of zeros gives numbers that are not finite. */
dipp_tensor dipp_unit(dipp_graph *g, dipp_tensor x);

/* ---- The encoder of T5 (transformers: T5EncoderModel) ------------------------------------------------------------- */

typedef struct dipp_t5_options {
    size_t struct_size; /* sizeof(dipp_t5_options), or 0 */
    int64_t vocabulary; /* number of token ids */
    int64_t width;
    int64_t head_width, heads; /* their product need not be width */
    int64_t layers;
    int64_t inner;        /* width of the feed-forward layer */
    int64_t buckets;      /* rows of the table of relative positions, at least 4; 0 means 32 */
    int64_t max_distance; /* in tokens, from which on all share a row; 0 means 128 */
    double epsilon;       /* of the norms; 0 means 1e-6 */
    bool gated;           /* gelu_tanh(wi_0 x) * (wi_1 x), as T5 1.1 has it; otherwise max(wi x, 0) */
} dipp_t5_options;

/* As dipp_dit_check. [any thread] */
dipp_status dipp_t5_check(const dipp_t5_options *options, dipp_error *error);

/* The network that a config.json of transformers' T5EncoderModel (or of a whole T5) describes: all fields of *out.
 * DIPP_E_UNSUPPORTED: another kind of model or feed-forward layer, a decoder. Otherwise as dipp_clip_read_config. [any thread] */
dipp_status dipp_t5_read_config(const char *path, dipp_t5_options *out, dipp_error *error);

/* tokens int32 [N, L], mask wide [N, L] (1 valid, 0 padding), L of any length -> states [N, L, width], compute. Padding is no
 * key; its own states mean nothing. Every row needs at least one valid token. Declares shared.weight (or
 * encoder.embed_tokens.weight, as some files call it) and encoder.*. */
dipp_tensor dipp_t5_encoder(dipp_graph *g, dipp_params p, const dipp_t5_options *options, dipp_tensor tokens,
                            dipp_tensor mask);

/* ---- ImageReward's BLIP (a ViT whose tokens a BERT reads by cross-attention) -------------------------------------- */

typedef struct dipp_blip_options {
    size_t struct_size; /* sizeof(dipp_blip_options), or 0 */
    int64_t size;       /* of a picture, height and width; a multiple of patch */
    int64_t patch;
    int64_t vision_width, vision_layers, vision_heads, vision_inner;
    int64_t vocabulary; /* number of token ids */
    int64_t positions;  /* number of positions that the file has */
    int64_t text_width, text_layers, text_heads, text_inner;
    double vision_epsilon, text_epsilon; /* of the layer norms; 0 means 1e-6 and 1e-12 */
} dipp_blip_options;

/* As dipp_dit_check. [any thread] */
dipp_status dipp_blip_check(const dipp_blip_options *options, dipp_error *error);

/* Pictures [N, 3, size, size], already normalised -> tokens [N, 1 + (size / patch)^2, vision_width], compute.
 * Declares visual_encoder.*. */
dipp_tensor dipp_blip_image(dipp_graph *g, dipp_params p, const dipp_blip_options *options, dipp_tensor pictures);

/* tokens int32 [N, L] and mask wide [N, L] (1 valid, 0 padding) with the picture's tokens [N, M, vision_width] -> the last
 * state of the first token [N, text_width], compute. Declares text_encoder.*. */
dipp_tensor dipp_blip_text(dipp_graph *g, dipp_params p, const dipp_blip_options *options, dipp_tensor tokens,
                           dipp_tensor mask, dipp_tensor image_tokens);

/* ---- Folders as diffusers writes them (docs/pipelines.md) --------------------------------------------------------- */

/* Files of such a folder that say what its networks are; the weights are the host's to find. A generator needs the first two. */
typedef enum dipp_pipeline_part {
    DIPP_PIPELINE_NETWORK = 0, /* unet/config.json or transformer/config.json */
    DIPP_PIPELINE_SCHEDULER,
    DIPP_PIPELINE_AUTOENCODER,
    DIPP_PIPELINE_TEXT_ENCODER,
    DIPP_PIPELINE_TOKENIZER,          /* vocab.json, spiece.model or tokenizer.json */
    DIPP_PIPELINE_MERGES,             /* beside vocab.json alone */
    DIPP_PIPELINE_TOKENIZER_SETTINGS, /* this and the next may be missing */
    DIPP_PIPELINE_SPECIAL_TOKENS,
    DIPP_PIPELINE_FILES
} dipp_pipeline_part;

enum { DIPP_PIPELINE_PATH_BYTES = 4096, DIPP_PIPELINE_GENERATOR_FILES = 2 };

/* The path of a file of folder into out [size]; where it is not there, false, and the path where it is expected. [any thread] */
bool dipp_pipeline_file(const char *folder, dipp_pipeline_part part, char *out, size_t size);

typedef enum dipp_pipeline_text { DIPP_PIPELINE_CLIP = 0, DIPP_PIPELINE_T5 } dipp_pipeline_text;

/* Which text encoder the folder's text_encoder/config.json is of. DIPP_E_UNSUPPORTED for others; DIPP_E_FORMAT,
 * DIPP_E_NOT_FOUND, DIPP_E_IO, DIPP_E_MEMORY. [any thread] */
dipp_status dipp_pipeline_read_text_kind(const char *folder, dipp_pipeline_text *out, dipp_error *error);

/* Whether what CLIP's tokenizer in the folder says of padding is what DIPP_TOKENIZER_HUGGING_FACE_CLIP does, for a text encoder
 * of so many positions: DIPP_E_UNSUPPORTED names file and key where not; the rest as above. [any thread] */
dipp_status dipp_pipeline_check_clip_tokenizer(const char *folder, int64_t positions, dipp_error *error);

/* ---- A small text encoder for vocabularies of our own ---------------------------------------------------------- */

typedef struct dipp_text_encoder_options {
    size_t struct_size; /* sizeof(dipp_text_encoder_options), or 0 */
    int64_t vocabulary; /* number of token ids */
    int64_t length;     /* L, number of positions */
    int64_t width;      /* multiple of heads */
    int64_t layers;     /* 0: embeddings and the final norm only */
    int64_t heads;
    int64_t mlp_ratio; /* 0 means 4 */
    double epsilon;    /* of the layer norms; 0 means 1e-5 */
} dipp_text_encoder_options;

/* As dipp_dit_check. [any thread] */
dipp_status dipp_text_encoder_check(const dipp_text_encoder_options *options, dipp_error *error);

/* tokens int32 [N, L], mask wide [N, L] -> states [N, L, width], compute. Token and position embeddings, pre-norm blocks
 * in which padding is no key, final layer norm. Every row needs at least one valid token to mean something. */
dipp_tensor dipp_text_encoder(dipp_graph *g, dipp_params p, const dipp_text_encoder_options *options,
                              dipp_tensor tokens, dipp_tensor mask);

#ifdef __cplusplus
}
#endif
#endif
