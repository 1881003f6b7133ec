/* See clip.h. Shapes: N samples, joint the width of the features. */
#include "clip.h"

#include <math.h>
#include <string.h>

const char *const clip_networks[] = {"h14", "l14", "b32", "g14", "own", NULL};
const char *const clip_activations[] = {"gelu", "quick_gelu", NULL};
const char *const clip_fits[] = {"crop", "crop_down", "letterbox", "stretch", NULL};
const char *const clip_kernels[] = {"bicubic", "bicubic_plain", "bilinear", "bilinear_plain", "lanczos", NULL};

/* In the order of clip_networks. */
static const dipp_clip_options published[] = {
    {0, 1024, 224, 14, {1280, 32, 16, 5120, false}, 49408, 77, {1024, 24, 16, 4096, false}, 1e-5},
    {0, 768, 224, 14, {1024, 24, 16, 4096, true}, 49408, 77, {768, 12, 12, 3072, true}, 1e-5},
    {0, 512, 224, 32, {768, 12, 12, 3072, true}, 49408, 77, {512, 12, 8, 2048, true}, 1e-5},
    {0, 1024, 224, 14, {1408, 40, 16, 6144, false}, 49408, 77, {1024, 24, 16, 4096, false}, 1e-5},
};

int clip_choice(const char *const *choices, const char *text)
{
    int i = 0;
    while (strcmp(choices[i], text) != 0)
        i++;
    return i;
}

static void read_own(const dipp_parameters *p, bool text, dipp_clip_options *o)
{
    o->joint = dipp_parameters_int(p, "joint");
    o->size = dipp_parameters_int(p, "size");
    o->patch = dipp_parameters_int(p, "patch");
    o->vision = (dipp_clip_tower){.width = dipp_parameters_int(p, "vision_width"),
                                  .layers = dipp_parameters_int(p, "vision_layers"),
                                  .heads = dipp_parameters_int(p, "vision_heads")};
    if (!text)
        return;
    o->text = (dipp_clip_tower){.width = dipp_parameters_int(p, "text_width"),
                                .layers = dipp_parameters_int(p, "text_layers"),
                                .heads = dipp_parameters_int(p, "text_heads")};
    o->length = dipp_parameters_int(p, "length");
}

static dipp_status read_network(const dipp_parameters *p, clip_reward *r, dipp_error *error)
{
    const char *config = dipp_parameters_string(p, "config"), *name = dipp_parameters_string(p, "network");
    const char *activation = dipp_parameters_string(p, "activation");
    bool own = name && !strcmp(name, "own") && !config;
    dipp_status status = DIPP_OK;
    r->network = published[clip_choice(clip_networks, name && strcmp(name, "own") ? name : r->recipe.network)];
    if (config)
        status = dipp_clip_read_config(config, &r->network, error);
    else if (own)
        read_own(p, r->recipe.text, &r->network);
    if (activation)
        r->network.vision.quick_gelu = r->network.text.quick_gelu = !strcmp(activation, "quick_gelu");
    if (status == DIPP_OK && r->recipe.text)
        status = clip_read_vocabulary(p, r, error);
    if (status != DIPP_OK || !r->recipe.text)
        return status;
    uint32_t size = dipp_tokenizer_size(r->tokenizer);
    if (own)
        r->network.vocabulary = size;
    else if (size != r->network.vocabulary)
        return dipp_fail(error, DIPP_E_INVALID, "%s: the network has %lld token ids, the vocabulary %s has %u",
                         r->recipe.name, (long long)r->network.vocabulary, dipp_parameters_string(p, "vocabulary"),
                         size);
    return DIPP_OK;
}

dipp_status clip_create(const dipp_parameters *parameters, const clip_recipe *recipe, clip_reward *out,
                        dipp_error *error)
{
    *out = (clip_reward){
        .recipe = *recipe,
        .fit = (dipp_fit)clip_choice(clip_fits, dipp_parameters_string(parameters, "fit")),
        .kernel = (dipp_resize_kernel)clip_choice(clip_kernels, dipp_parameters_string(parameters, "kernel")),
        .official = dipp_parameters_bool(parameters, "official")};
    dipp_status status = read_network(parameters, out, error);
    if (status == DIPP_OK)
        status = dipp_clip_check(&out->network, error);
    if (status != DIPP_OK)
        clip_clear(out);
    return status;
}

void clip_clear(clip_reward *r)
{
    dipp_tokenizer_destroy(&r->tokenizer);
}

/* The middle square of pictures [N, 3, H, W]; half pixels to even, as torchvision cuts. */
static dipp_tensor middle(dipp_graph *g, dipp_tensor pictures)
{
    int64_t height = dipp_dim(g, pictures, 2), width = dipp_dim(g, pictures, 3), side = height < width ? height : width;
    if (height > side)
        pictures = dipp_slice(g, pictures, 2, (int64_t)rint((double)(height - side) / 2), side);
    if (width > side)
        pictures = dipp_slice(g, pictures, 3, (int64_t)rint((double)(width - side) / 2), side);
    return pictures;
}

dipp_tensor clip_image(const clip_reward *r, dipp_graph *g, dipp_params p, dipp_tensor pictures, dipp_reward_mode mode)
{
    const clip_recipe *recipe = &r->recipe;
    bool official = mode == DIPP_REWARD_EVALUATE && r->official;
    dipp_shape shape = dipp_shape_of(g, pictures);
    if (dipp_graph_failed(g))
        return DIPP_NONE;
    if (shape.rank != 4 || shape.dims[1] != 3)
        return dipp_graph_fail(g, "%s: expected pictures [N, 3, H, W], found rank %u", recipe->name, shape.rank);
    if (official && recipe->lanczos)
        pictures = dipp_resize(g, middle(g, pictures), 256, 256, DIPP_RESIZE_LANCZOS, true);
    pictures = official
                   ? dipp_clip_pictures(g, pictures, r->network.size, recipe->fit, recipe->kernel, recipe->eight_bit)
                   : dipp_clip_pictures(g, pictures, r->network.size, r->fit, r->kernel, false);
    return dipp_unit(g, dipp_clip_image(g, p, &r->network, pictures));
}
