/* Colourfulness of a picture by D. Hasler and S. Susstrunk, "Measuring colourfulness in natural images" (2003), M^(3):
 *     rg = R - G,  yb = (R + G)/2 - B  (0..255),   M = sqrt(var rg + var yb) + 0.3 sqrt(mean rg^2 + mean yb^2).
 * The paper's scale: 0 is not colourful, 15 slightly, 33 moderately, 45 averagely, 59 quite, 82 highly, 109 extremely. It
 * needs no weights and is easily exploited by garish pictures, which makes it a good example of a reward to be careful with. */
#include <dipp/plugin.h>

#include <stdlib.h>

/* Inside the square roots, in squared units of 0..255: keeps the gradient finite at grey pictures and adds at most
 * 1.3e-3 to a score. */
static const double EPSILON = 1e-6;

typedef struct colorfulness {
    double mean_weight;
} colorfulness;

static const dipp_parameter parameters[] = {
    {.key = "mean_weight",
     .type = DIPP_TYPE_FLOAT,
     .default_text = "0.3",
     .minimum = 0,
     .maximum = 1e6,
     .help = "Weight of the mean chroma beside its spread; the paper's is 0.3."},
};

static dipp_status create(const dipp_parameters *p, const dipp_host *host, void **self, dipp_error *error)
{
    colorfulness *r = malloc(sizeof *r);
    if (!r)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for a colorfulness reward");
    r->mean_weight = dipp_parameters_float(p, "mean_weight");
    *self = r;
    return DIPP_OK;
}

static dipp_status info(void *self, dipp_reward_info *out, dipp_error *error)
{
    out->images = true;
    out->direction = 1;
    out->unit = "";
    return DIPP_OK;
}

/* Mean and variance over the pixels of x [N, 1, H, W], each [N]. */
static void moments(dipp_graph *g, dipp_tensor x, dipp_tensor *mean, dipp_tensor *variance)
{
    *mean = dipp_mean_per_sample(g, x);
    dipp_tensor centred = dipp_sub(g, x, dipp_per_sample(g, *mean, x));
    *variance = dipp_mean_per_sample(g, dipp_mul(g, centred, centred));
}

/* samples [N, 3, H, W] in [0, 1] -> scores [N], wide. */
static dipp_tensor record(void *self, dipp_graph *g, dipp_params p, dipp_tensor samples, dipp_prompt text,
                          dipp_reward_mode mode)
{
    const colorfulness *r = self;
    dipp_shape shape = dipp_shape_of(g, samples);
    if (dipp_graph_failed(g))
        return DIPP_NONE;
    if (shape.rank != 4 || shape.dims[1] != 3)
        return dipp_graph_fail(g, "colorfulness: expected pictures [N, 3, H, W], found rank %u", shape.rank);
    dipp_tensor scaled = dipp_scale_add(g, dipp_cast(g, samples, DIPP_WIDE), 255, 0);
    dipp_tensor red = dipp_slice(g, scaled, 1, 0, 1), green = dipp_slice(g, scaled, 1, 1, 1);
    dipp_tensor blue = dipp_slice(g, scaled, 1, 2, 1);
    dipp_tensor red_green = dipp_sub(g, red, green);
    dipp_tensor yellow_blue = dipp_sub(g, dipp_scale_add(g, dipp_add(g, red, green), 0.5, 0), blue);
    dipp_tensor mean_rg, mean_yb, variance_rg, variance_yb;
    moments(g, red_green, &mean_rg, &variance_rg);
    moments(g, yellow_blue, &mean_yb, &variance_yb);
    dipp_tensor spread = dipp_scale_add(g, dipp_add(g, variance_rg, variance_yb), 1, EPSILON);
    dipp_tensor offset =
        dipp_scale_add(g, dipp_add(g, dipp_mul(g, mean_rg, mean_rg), dipp_mul(g, mean_yb, mean_yb)), 1, EPSILON);
    return dipp_add(g, dipp_sqrt(g, spread), dipp_scale_add(g, dipp_sqrt(g, offset), r->mean_weight, 0));
}

static const dipp_reward reward = {
    .struct_size = sizeof reward,
    .create = create,
    .destroy = free,
    .info = info,
    .record = record,
};

static const dipp_plugin plugin = {
    .struct_size = sizeof plugin,
    .abi_major = DIPP_ABI_MAJOR,
    .abi_minor = DIPP_ABI_MINOR,
    .build_tag = DIPP_BUILD_TAG,
    .kind = DIPP_PLUGIN_REWARD,
    .name = "colorfulness",
    .version = "1.0.0",
    .licence = "Apache-2.0",
    .summary = "Colourfulness of a picture after Hasler and Susstrunk; easily exploited, and here to show it",
    .parameters = parameters,
    .parameter_count = sizeof parameters / sizeof *parameters,
    .vtable = &reward,
};

DIPP_PLUGINS(&plugin)
