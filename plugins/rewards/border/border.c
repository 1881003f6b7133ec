/* How much of a colour the border of a picture has: sum over channels c of color_c times the mean of channel c over the
 * pixels within `width` of an edge. Linear in the picture, so its gradient is the same everywhere and its effect on a
 * generator can be predicted; no weights, no judge, and nobody can argue about it. */
#include <dipp/plugin.h>

#include <stdlib.h>

typedef struct border {
    double color[3];
    int64_t width;
} border;

static const dipp_parameter parameters[] = {
    {.key = "color",
     .type = DIPP_TYPE_FLOAT_LIST,
     .default_text = "[0, 0, 1]",
     .minimum = -1e6,
     .maximum = 1e6,
     .help = "Weights of red, green and blue; [0, 0, 1] asks for blue."},
    {.key = "width",
     .type = DIPP_TYPE_INT,
     .default_text = "2",
     .minimum = 1,
     .maximum = 65536,
     .unit = "pixels",
     .help = "How wide the border is."},
};

static dipp_status create(const dipp_parameters *p, const dipp_host *host, void **self, dipp_error *error)
{
    size_t count = 0;
    const double *color = dipp_parameters_floats(p, "color", &count);
    if (count != 3)
        return dipp_fail(error, DIPP_E_INVALID, "color: expected 3 numbers (red, green, blue), found %zu", count);
    border *r = malloc(sizeof *r);
    if (!r)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for a border reward");
    *r = (border){{color[0], color[1], color[2]}, dipp_parameters_int(p, "width")};
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

/* samples [N, 3, H, W] -> scores [N], wide. */
static dipp_tensor record(void *self, dipp_graph *g, dipp_params p, dipp_tensor samples, dipp_prompt text,
                          dipp_reward_mode mode)
{
    const border *r = self;
    dipp_shape shape = dipp_shape_of(g, samples);
    if (dipp_graph_failed(g))
        return DIPP_NONE;
    if (shape.rank != 4 || shape.dims[1] != 3)
        return dipp_graph_fail(g, "border: expected pictures [N, 3, H, W], found rank %u", shape.rank);
    int64_t height = shape.dims[2], width = shape.dims[3], pixels = height * width, edge = r->width;
    int64_t inner_height = height > 2 * edge ? height - 2 * edge : 0,
            inner_width = width > 2 * edge ? width - 2 * edge : 0;
    double count = (double)(pixels - inner_height * inner_width);
    double *weight = malloc((size_t)(3 * pixels) * sizeof *weight);
    if (!weight)
        return dipp_graph_fail(g, "border: no memory for a mask of %lld pixels", (long long)pixels);
    for (int64_t c = 0; c < 3; c++)
        for (int64_t y = 0; y < height; y++)
            for (int64_t x = 0; x < width; x++) {
                bool inside = y >= edge && y < height - edge && x >= edge && x < width - edge;
                weight[c * pixels + y * width + x] = inside ? 0 : r->color[c] / count;
            }
    dipp_tensor mask = dipp_constant(g, DIPP_SHAPE(1, 3, height, width), weight);
    free(weight);
    return dipp_sum_per_sample(g, dipp_mul(g, samples, mask));
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
    .name = "border",
    .version = "1.0.0",
    .licence = "Apache-2.0",
    .summary = "How much of a colour the border of a picture has: linear, without weights",
    .parameters = parameters,
    .parameter_count = sizeof parameters / sizeof *parameters,
    .vtable = &reward,
};

DIPP_PLUGINS(&plugin)
