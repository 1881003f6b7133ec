/* Plugins `hps`, `pickscore` and `clipscore`: the cosine of a picture's and a prompt's feature, scaled. */
#include "clip.h"

#include <math.h>
#include <stdlib.h>

static const clip_recipe hps_recipe = {.name = "hps",
                                       .network = "h14",
                                       .text = true,
                                       .rule = DIPP_TOKENIZER_OPEN_CLIP,
                                       .fit = DIPP_FIT_LETTERBOX,
                                       .factor = 1};

static const clip_recipe pickscore_recipe = {.name = "pickscore",
                                             .network = "h14",
                                             .text = true,
                                             .rule = DIPP_TOKENIZER_HUGGING_FACE_CLIP,
                                             .fit = DIPP_FIT_CROP_DOWN,
                                             .eight_bit = true,
                                             .learned_factor = true};

static const char *const variants[] = {"hessel",      "torchmetrics",  "dmd2", "sid",
                                       "imagereward", "diffusion_dpo", "reno", NULL};

/* In the order of variants. */
static const clip_recipe clipscore_recipes[] = {
    {"clipscore", "b32", true, DIPP_TOKENIZER_OPENAI_CLIP, CLIP_PREFIX_WORDS, DIPP_FIT_CROP, DIPP_RESIZE_BICUBIC, true,
     false, 2.5, false, true},
    {"clipscore", "l14", true, DIPP_TOKENIZER_HUGGING_FACE_CLIP, CLIP_PREFIX_NONE, DIPP_FIT_CROP_DOWN,
     DIPP_RESIZE_BICUBIC, true, false, 100, false, true},
    {"clipscore", "g14", true, DIPP_TOKENIZER_OPENAI_CLIP, CLIP_PREFIX_SPLICED, DIPP_FIT_CROP, DIPP_RESIZE_BICUBIC,
     true, true, 1, false, false},
    {"clipscore", "g14", true, DIPP_TOKENIZER_OPEN_CLIP, CLIP_PREFIX_NONE, DIPP_FIT_STRETCH, DIPP_RESIZE_BICUBIC_PLAIN,
     false, false, 1, false, false},
    {"clipscore", "l14", true, DIPP_TOKENIZER_OPENAI_CLIP, CLIP_PREFIX_NONE, DIPP_FIT_CROP, DIPP_RESIZE_BICUBIC, true,
     false, 1, false, false},
    {"clipscore", "h14", true, DIPP_TOKENIZER_OPEN_CLIP, CLIP_PREFIX_NONE, DIPP_FIT_LETTERBOX, DIPP_RESIZE_BICUBIC,
     false, false, 1, false, false},
    {"clipscore", "h14", true, DIPP_TOKENIZER_HUGGING_FACE_CLIP, CLIP_PREFIX_NONE, DIPP_FIT_CROP, DIPP_RESIZE_BICUBIC,
     false, false, 1, true, false},
};

/* ---- Instances ------------------------------------------------------------------------------------------------------- */

static dipp_status create(const dipp_parameters *parameters, clip_recipe recipe, void **self, dipp_error *error)
{
    if (recipe.fit == DIPP_FIT_LETTERBOX) /* of a floating-point picture: torchvision's default, which has changed */
        recipe.kernel =
            (dipp_resize_kernel)clip_choice(clip_kernels, dipp_parameters_string(parameters, "official_kernel"));
    clip_reward *r = calloc(1, sizeof *r);
    if (!r)
        return dipp_fail(error, DIPP_E_MEMORY, "%s: no memory for a reward", recipe.name);
    dipp_status status = clip_create(parameters, &recipe, r, error);
    if (status == DIPP_OK)
        *self = r;
    else
        free(r);
    return status;
}

static dipp_status hps_create(const dipp_parameters *parameters, const dipp_host *host, void **self, dipp_error *error)
{
    return create(parameters, hps_recipe, self, error);
}

static dipp_status pickscore_create(const dipp_parameters *parameters, const dipp_host *host, void **self,
                                    dipp_error *error)
{
    return create(parameters, pickscore_recipe, self, error);
}

static dipp_status clipscore_create(const dipp_parameters *parameters, const dipp_host *host, void **self,
                                    dipp_error *error)
{
    int i = clip_choice(variants, dipp_parameters_string(parameters, "variant"));
    return create(parameters, clipscore_recipes[i], self, error);
}

static void destroy(void *self)
{
    clip_reward *r = self;
    if (!r)
        return;
    clip_clear(r);
    free(r);
}

static dipp_status info(void *self, dipp_reward_info *out, dipp_error *error)
{
    const clip_reward *r = self;
    out->images = true;
    out->token_length = (uint32_t)r->network.length;
    out->direction = 1;
    out->unit = "";
    return DIPP_OK;
}

static dipp_status tokenize(void *self, const char *const *texts, uint32_t count, int32_t *tokens, float *mask,
                            dipp_error *error)
{
    return clip_tokenize(self, texts, count, tokens, mask, error);
}

/* ---- Recordings ------------------------------------------------------------------------------------------------------ */

/* tokens and mask [N, L] -> one part, the feature of length 1 [N, joint], wide. */
static dipp_condition encode_text(void *self, dipp_graph *g, dipp_params p, dipp_prompt text)
{
    const clip_reward *r = self;
    dipp_tensor feature = dipp_unit(g, dipp_clip_text(g, p, &r->network, text.tokens, text.mask));
    return (dipp_condition){.count = 1, .parts = {feature}};
}

/* Pictures [N, 3, H, W] with the feature of each one's prompt -> scores [N], wide. The file's factor is declared whether or
 * not a mode uses it: the tensors are the published ones in all of them. */
static dipp_tensor record_encoded(void *self, dipp_graph *g, dipp_params p, dipp_tensor samples, dipp_condition text,
                                  dipp_reward_mode mode)
{
    const clip_reward *r = self;
    dipp_tensor image = clip_image(r, g, p, samples, mode), factor = dipp_clip_scale(g, p);
    dipp_tensor cosine = dipp_sum_per_sample(g, dipp_mul(g, image, text.parts[0]));
    if (mode == DIPP_REWARD_TRAIN || r->recipe.learned_factor)
        return dipp_mul(g, cosine, factor);
    dipp_tensor score = dipp_scale_add(g, cosine, r->recipe.factor, 0);
    /* Below the floor there would be no gradient, so alignment goes without. */
    bool floor = r->recipe.floor && mode == DIPP_REWARD_EVALUATE;
    return floor ? dipp_clamp(g, score, 0, INFINITY, DIPP_CLAMP_HARD) : score;
}

/* Pictures [N, 3, H, W] and M features -> logits [N, M], wide. */
static dipp_tensor contrast(void *self, dipp_graph *g, dipp_params p, dipp_tensor samples, dipp_condition text)
{
    dipp_matmul_options options = {.struct_size = sizeof options, .transpose_b = true, .wide_output = true};
    dipp_tensor image = clip_image(self, g, p, samples, DIPP_REWARD_TRAIN);
    return dipp_mul(g, dipp_matmul(g, image, text.parts[0], &options), dipp_clip_scale(g, p));
}

/* ---- Descriptors ------------------------------------------------------------------------------------------------------ */

static const dipp_parameter hps_parameters[] = {CLIP_NETWORK("h14", 0), CLIP_OFFICIAL_KERNEL, CLIP_PICTURE_PARAMETERS,
                                                CLIP_TEXT_PARAMETERS};

static const dipp_parameter pickscore_parameters[] = {CLIP_NETWORK("h14", 0), CLIP_PICTURE_PARAMETERS,
                                                      CLIP_TEXT_PARAMETERS};

static const dipp_parameter clipscore_parameters[] = {
    {.key = "variant",
     .type = DIPP_TYPE_ENUM,
     .flags = DIPP_PARAMETER_STRUCTURAL | DIPP_PARAMETER_REQUIRED,
     .choices = variants,
     .help = "Whose CLIP score: prefix, network, preprocessing and scale; see docs/reward-plugins.md."},
    CLIP_NETWORK(NULL, DIPP_PARAMETER_OPTIONAL),
    CLIP_OFFICIAL_KERNEL,
    CLIP_PICTURE_PARAMETERS,
    CLIP_TEXT_PARAMETERS};

#define COSINE_REWARD(create_)                                                                                         \
    {                                                                                                                  \
        .struct_size = sizeof(dipp_reward), .create = create_, .destroy = destroy, .info = info, .tokenize = tokenize, \
        .encode_text = encode_text, .record_encoded = record_encoded, .contrast = contrast                             \
    }

static const dipp_reward hps = COSINE_REWARD(hps_create);
static const dipp_reward pickscore = COSINE_REWARD(pickscore_create);
static const dipp_reward clipscore = COSINE_REWARD(clipscore_create);

const dipp_plugin hps_plugin = {
    .struct_size = sizeof hps_plugin,
    .abi_major = DIPP_ABI_MAJOR,
    .abi_minor = DIPP_ABI_MINOR,
    .build_tag = DIPP_BUILD_TAG,
    .kind = DIPP_PLUGIN_REWARD,
    .name = "hps",
    .version = "1.0.0",
    .licence = "Apache-2.0",
    .summary = "Human Preference Score v2 (2.0 and 2.1): the cosine of picture and prompt in CLIP H/14",
    .parameters = hps_parameters,
    .parameter_count = sizeof hps_parameters / sizeof *hps_parameters,
    .vtable = &hps,
};

const dipp_plugin pickscore_plugin = {
    .struct_size = sizeof pickscore_plugin,
    .abi_major = DIPP_ABI_MAJOR,
    .abi_minor = DIPP_ABI_MINOR,
    .build_tag = DIPP_BUILD_TAG,
    .kind = DIPP_PLUGIN_REWARD,
    .name = "pickscore",
    .version = "1.0.0",
    .licence = "Apache-2.0",
    .summary = "PickScore v1: the scaled cosine of picture and prompt in CLIP H/14",
    .parameters = pickscore_parameters,
    .parameter_count = sizeof pickscore_parameters / sizeof *pickscore_parameters,
    .vtable = &pickscore,
};

const dipp_plugin clipscore_plugin = {
    .struct_size = sizeof clipscore_plugin,
    .abi_major = DIPP_ABI_MAJOR,
    .abi_minor = DIPP_ABI_MINOR,
    .build_tag = DIPP_BUILD_TAG,
    .kind = DIPP_PLUGIN_REWARD,
    .name = "clipscore",
    .version = "1.0.0",
    .licence = "Apache-2.0",
    .summary = "CLIP scores as seven publications compute them",
    .parameters = clipscore_parameters,
    .parameter_count = sizeof clipscore_parameters / sizeof *clipscore_parameters,
    .vtable = &clipscore,
};
