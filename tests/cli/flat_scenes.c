/* Pictures whose every law is known, for tests: a glyph of one colour that stands still on a background of one colour, both
 * fixed but for a Gaussian move of the whole background, its own for each channel, and a grain that is independent in every
 * pixel. In a channel x0 ~ N(mean, spread^2 m m^T + grain^2 I), m the part of each pixel that is background: what a scene of
 * the emoji world is around one picture of a caption, with a normal in place of the uniform jitter.
 *
 * The covariance has two eigenvalues, q = spread^2 |m|^2 + grain^2 along m and grain^2 across, so its root, and the denoiser
 * at any level, take a sum over the picture and no matrix. */
#include <dipp/plugin.h>

#include <math.h>
#include <stdlib.h>

enum { SIDE = 8, PIXELS = SIDE * SIDE, EDGE = 2 };

typedef struct scene {
    double offset; /* added to the initial mean */
} scene;

/* How much of a pixel is background: a glyph of 4 x 4 pixels off the centre, its corners half covered, over the border. */
static double background_of(int pixel)
{
    int x = pixel % SIDE - 3, y = pixel / SIDE - 2;
    if (x < 0 || x > 3 || y < 0 || y > 3)
        return 1;
    return (x == 0 || x == 3) && (y == 0 || y == 3) ? 0.5 : 0;
}

static double background_norm(void)
{
    double sum = 0;
    for (int i = 0; i < PIXELS; i++)
        sum += background_of(i) * background_of(i);
    return sum;
}

static const dipp_parameter parameters[] = {
    {.key = "offset",
     .type = DIPP_TYPE_FLOAT,
     .default_text = "0",
     .help = "Added to every pixel of the initial mean."},
};

static dipp_status create(const dipp_parameters *p, const dipp_host *host, void **self, dipp_error *error)
{
    scene *s = malloc(sizeof *s);
    if (!s)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for a scene");
    s->offset = dipp_parameters_float(p, "offset");
    *self = s;
    return DIPP_OK;
}

static dipp_tensor number(dipp_graph *g, dipp_params p, const char *name, double value)
{
    return dipp_param(g, p, name, DIPP_SHAPE(1),
                      &(dipp_param_options){.struct_size = sizeof(dipp_param_options),
                                            .init = DIPP_INIT_CONSTANT,
                                            .value = value,
                                            .flags = DIPP_PARAM_WIDE | DIPP_PARAM_NO_DECAY});
}

static dipp_tensor mean_of(const scene *s, dipp_graph *g, dipp_params p)
{
    static const double background[3] = {0.2, -0.3, 0.1}, glyph[3] = {-0.5, 0.4, 0.6};
    double data[3 * PIXELS];
    for (int i = 0; i < 3 * PIXELS; i++) {
        double m = background_of(i % PIXELS);
        data[i] = m * background[i / PIXELS] + (1 - m) * glyph[i / PIXELS] + s->offset;
    }
    return dipp_param(g, p, "mean", DIPP_SHAPE(3, SIDE, SIDE),
                      &(dipp_param_options){.struct_size = sizeof(dipp_param_options),
                                            .init = DIPP_INIT_DATA,
                                            .data = data,
                                            .flags = DIPP_PARAM_WIDE | DIPP_PARAM_NO_DECAY});
}

static dipp_tensor spread_of(dipp_graph *g, dipp_params p)
{
    return number(g, p, "spread", 0.1 / sqrt(3.0)); /* of +-0.05 on the scale of 0 to 1 */
}

static dipp_tensor grain_of(dipp_graph *g, dipp_params p)
{
    return number(g, p, "grain", 0.02);
}

/* x [N, 3, S, S] -> its component along m in each channel, [N, 3, S, S]. */
static dipp_tensor along(dipp_graph *g, dipp_tensor x)
{
    double unit[PIXELS];
    for (int i = 0; i < PIXELS; i++)
        unit[i] = background_of(i) / sqrt(background_norm());
    dipp_tensor direction = dipp_constant(g, DIPP_SHAPE(1, 1, SIDE, SIDE), unit);
    return dipp_mul(g, dipp_sum(g, dipp_mul(g, x, direction), 1u << 2 | 1u << 3, true), direction);
}

/* spread^2 |m|^2 + grain^2, [1]. */
static dipp_tensor variance_along(dipp_graph *g, dipp_tensor spread, dipp_tensor grain)
{
    return dipp_add(g, dipp_scale_add(g, dipp_mul(g, spread, spread), background_norm(), 0), dipp_mul(g, grain, grain));
}

/* z [N, 3, S, S] -> x0 = mean + S^(1/2) z. */
static dipp_tensor generate(void *self, dipp_graph *g, dipp_params p, dipp_tensor z, dipp_level level, dipp_condition c)
{
    dipp_tensor mean = mean_of(self, g, p), spread = spread_of(g, p), grain = grain_of(g, p);
    z = dipp_cast(g, z, DIPP_WIDE);
    dipp_tensor more = dipp_sub(g, dipp_sqrt(g, variance_along(g, spread, grain)), grain);
    return dipp_add(g, dipp_add(g, dipp_mul(g, z, grain), dipp_mul(g, along(g, z), more)), mean);
}

/* a v / (a^2 v + s^2): how far the denoiser follows a direction of variance v, [N]. */
static dipp_tensor gain(dipp_graph *g, dipp_tensor variance, dipp_level level)
{
    dipp_tensor top = dipp_mul(g, level.alpha, variance);
    return dipp_div(g, top, dipp_add(g, dipp_mul(g, level.alpha, top), dipp_mul(g, level.sigma, level.sigma)));
}

/* x [N, 3, S, S] -> E[x0 | x], the same. */
static dipp_tensor predict(void *self, dipp_graph *g, dipp_params p, dipp_tensor x, dipp_level level, dipp_condition c)
{
    dipp_tensor mean = mean_of(self, g, p), spread = spread_of(g, p), grain = grain_of(g, p);
    x = dipp_cast(g, x, DIPP_WIDE);
    dipp_tensor rest = dipp_sub(g, x, dipp_mul(g, dipp_per_sample(g, level.alpha, x), mean));
    dipp_tensor across = gain(g, dipp_mul(g, grain, grain), level);
    dipp_tensor more = dipp_sub(g, gain(g, variance_along(g, spread, grain), level), across);
    dipp_tensor moved = dipp_add(g, dipp_mul(g, rest, dipp_per_sample(g, across, x)),
                                 dipp_mul(g, along(g, rest), dipp_per_sample(g, more, x)));
    return dipp_add(g, moved, mean);
}

static dipp_status space(void *self, dipp_space *out, dipp_error *error)
{
    out->sample = DIPP_SHAPE(3, SIDE, SIDE);
    out->parameterisation = DIPP_PREDICTS_X0;
    out->images = true;
    return DIPP_OK;
}

static dipp_status info(void *self, dipp_generator_info *out, dipp_error *error)
{
    out->sample = DIPP_SHAPE(3, SIDE, SIDE);
    out->parameterisation = DIPP_PREDICTS_X0;
    out->sigma_init = 1;
    out->unit_noise = true;
    out->takes_noise = true;
    return DIPP_OK;
}

static dipp_tensor decode(void *self, dipp_graph *g, dipp_params p, dipp_tensor x0)
{
    return dipp_scale_add(g, x0, 0.5, 0.5);
}

/* Blue of the mean picture, 0 to 1: over the border, and over the background inside of it; and the two spreads. */
static dipp_status metrics(void *self, dipp_parameter_reader read, void *read_context, dipp_metric_writer write,
                           void *write_context, dipp_error *error)
{
    double mean[3 * PIXELS], spread, grain, border = 0, inside = 0;
    int border_count = 0, inside_count = 0;
    if (read(read_context, "mean", mean, 3 * PIXELS) || read(read_context, "spread", &spread, 1) ||
        read(read_context, "grain", &grain, 1))
        return dipp_fail(error, DIPP_E_NOT_FOUND, "expected parameters mean, spread and grain, found them missing");
    for (int i = 0; i < PIXELS; i++) {
        int x = i % SIDE, y = i / SIDE;
        double blue = 0.5 * mean[2 * PIXELS + i] + 0.5;
        if (x < EDGE || x >= SIDE - EDGE || y < EDGE || y >= SIDE - EDGE)
            border += blue, border_count++;
        else if (background_of(i) == 1)
            inside += blue, inside_count++;
    }
    write(write_context, "blue.border", border / border_count);
    write(write_context, "blue.inside", inside / inside_count);
    write(write_context, "spread", fabs(spread));
    write(write_context, "grain", fabs(grain));
    return DIPP_OK;
}

static const dipp_reference reference = {
    .struct_size = sizeof reference,
    .create = create,
    .destroy = free,
    .space = space,
    .predict = predict,
    .decode = decode,
    .metrics = metrics,
};

static const dipp_generator generator = {
    .struct_size = sizeof generator,
    .create = create,
    .destroy = free,
    .info = info,
    .generate = generate,
    .metrics = metrics,
};

#define SCENES(variable, kind_, vtable_)                            \
    static const dipp_plugin variable = {                           \
        .struct_size = sizeof variable,                             \
        .abi_major = DIPP_ABI_MAJOR,                                \
        .abi_minor = DIPP_ABI_MINOR,                                \
        .build_tag = DIPP_BUILD_TAG,                                \
        .kind = kind_,                                              \
        .name = "flat-scenes",                                      \
        .version = "1.0.0",                                         \
        .licence = "Apache-2.0",                                    \
        .summary = "For tests: pictures whose covariance is known", \
        .parameters = parameters,                                   \
        .parameter_count = sizeof parameters / sizeof *parameters,  \
        .vtable = &vtable_,                                         \
    }

SCENES(reference_plugin, DIPP_PLUGIN_REFERENCE, reference);
SCENES(generator_plugin, DIPP_PLUGIN_GENERATOR, generator);

DIPP_PLUGINS(&reference_plugin, &generator_plugin)
