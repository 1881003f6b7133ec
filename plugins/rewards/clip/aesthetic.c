/* Plugin `aesthetic`: LAION's predictors, the picture tower of CLIP L/14 and a head on its feature of length 1. */
#include "clip.h"

#include <stdlib.h>

enum { MOST_LAYERS = 5 };

static const clip_recipe recipe = {.name = "aesthetic", .network = "l14", .fit = DIPP_FIT_CROP, .eight_bit = true};

static const char *const heads[] = {"sac_logos_ava1", "relu", "v1", NULL};

/* The affine layers of the published modules, in the order of heads; between them is dropout, which scoring leaves out. */
static const struct layers {
    const char *names[MOST_LAYERS];
    int64_t widths[MOST_LAYERS]; /* of their results */
    bool named, rectified;
} layers_of[] = {
    {{"layers.0", "layers.2", "layers.4", "layers.6", "layers.7"}, {1024, 128, 64, 16, 1}, true, false},
    {{"layers.0", "layers.3", "layers.6", "layers.9", "layers.11"}, {1024, 128, 64, 16, 1}, true, true},
    {{NULL}, {1}, false, false},
};

typedef struct aesthetic {
    clip_reward clip;
    const struct layers *layers;
} aesthetic;

static dipp_status create(const dipp_parameters *parameters, const dipp_host *host, void **self, dipp_error *error)
{
    aesthetic *r = calloc(1, sizeof *r);
    if (!r)
        return dipp_fail(error, DIPP_E_MEMORY, "aesthetic: no memory for a reward");
    r->layers = &layers_of[clip_choice(heads, dipp_parameters_string(parameters, "head"))];
    dipp_status status = clip_create(parameters, &recipe, &r->clip, error);
    if (status == DIPP_OK)
        *self = r;
    else
        free(r);
    return status;
}

static void destroy(void *self)
{
    aesthetic *r = self;
    if (!r)
        return;
    clip_clear(&r->clip);
    free(r);
}

static dipp_status info(void *self, dipp_reward_info *out, dipp_error *error)
{
    out->images = true;
    out->direction = 1;
    out->unit = "";
    return DIPP_OK;
}

/* x [N, in] wide -> [N, out] wide: the head is small, and published in single precision. */
static dipp_tensor affine(dipp_graph *g, dipp_params p, dipp_tensor x, int64_t out)
{
    dipp_param_options matrix = {.struct_size = sizeof matrix, .init = DIPP_INIT_XAVIER, .flags = DIPP_PARAM_WIDE};
    dipp_param_options zeros = {.struct_size = sizeof zeros, .init = DIPP_INIT_ZEROS, .flags = DIPP_PARAM_WIDE};
    dipp_matmul_options options = {.struct_size = sizeof options, .transpose_b = true, .wide_output = true};
    dipp_tensor weight = dipp_param(g, p, "weight", DIPP_SHAPE(out, dipp_dim(g, x, 1)), &matrix);
    return dipp_add(g, dipp_matmul(g, x, weight, &options), dipp_param(g, p, "bias", DIPP_SHAPE(out), &zeros));
}

/* Pictures [N, 3, H, W] -> scores [N], wide. */
static dipp_tensor record(void *self, dipp_graph *g, dipp_params p, dipp_tensor samples, dipp_prompt text,
                          dipp_reward_mode mode)
{
    static const double zero = 0;
    const aesthetic *r = self;
    const struct layers *layers = r->layers;
    dipp_tensor x = clip_image(&r->clip, g, p, samples, mode);
    if (dipp_graph_failed(g))
        return DIPP_NONE;
    for (int i = 0; i < MOST_LAYERS && layers->widths[i]; i++) {
        x = affine(g, layers->named ? dipp_scope(g, p, "%s", layers->names[i]) : p, x, layers->widths[i]);
        if (layers->rectified && i + 1 < MOST_LAYERS)
            x = dipp_maximum(g, x, dipp_constant(g, DIPP_SHAPE(1), &zero));
    }
    return dipp_reshape(g, x, DIPP_SHAPE(dipp_dim(g, samples, 0)));
}

static const dipp_parameter parameters_of[] = {
    CLIP_NETWORK("l14", 0),
    {.key = "head",
     .type = DIPP_TYPE_ENUM,
     .default_text = "sac_logos_ava1",
     .choices = heads,
     .flags = DIPP_PARAMETER_STRUCTURAL,
     .help = "The head's layers: sac_logos_ava1 of version 2 (also ava+logos linear), relu its variant, v1 one layer."},
    CLIP_PICTURE_PARAMETERS};

static const dipp_reward reward = {
    .struct_size = sizeof reward,
    .create = create,
    .destroy = destroy,
    .info = info,
    .record = record,
};

const dipp_plugin aesthetic_plugin = {
    .struct_size = sizeof aesthetic_plugin,
    .abi_major = DIPP_ABI_MAJOR,
    .abi_minor = DIPP_ABI_MINOR,
    .build_tag = DIPP_BUILD_TAG,
    .kind = DIPP_PLUGIN_REWARD,
    .name = "aesthetic",
    .version = "1.0.0",
    .licence = "Apache-2.0",
    .summary = "LAION's aesthetic predictor: a head on the picture's feature in CLIP L/14; reads no prompt",
    .parameters = parameters_of,
    .parameter_count = sizeof parameters_of / sizeof *parameters_of,
    .vtable = &reward,
};
