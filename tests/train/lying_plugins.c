/* Plugins that lie about what they are or give, each in the way that its parameter names; "none" tells the truth. */
#include <dipp/plugin.h>

#include <math.h>
#include <string.h>

typedef struct liar {
    char lie[32];
} liar;

enum { LIARS = 8 };

static const dipp_parameter parameters[] = {
    {.key = "lie", .type = DIPP_TYPE_STRING, .default_text = "none", .help = "What it lies about."}};

/* From a pool: an instance is a name. */
static dipp_status create(const dipp_parameters *p, const dipp_host *host, void **self, dipp_error *error)
{
    static liar pool[LIARS];
    static int used;
    liar *made = &pool[used++ % LIARS];
    const char *lie = dipp_parameters_string(p, "lie");
    if (strlen(lie) >= sizeof made->lie)
        return dipp_fail(error, DIPP_E_INVALID, "lie: too long");
    strcpy(made->lie, lie);
    *self = made;
    return DIPP_OK;
}

static void destroy(void *self)
{
}

static bool lies(const void *self, const char *about)
{
    return !strcmp(((const liar *)self)->lie, about);
}

/* Sizes that cannot be. */
static dipp_shape wrong_shape(const void *self, dipp_shape right)
{
    if (lies(self, "rank 0"))
        right.rank = 0;
    if (lies(self, "rank 6"))
        right.rank = 6;
    if (lies(self, "rank 99"))
        right.rank = 99;
    if (lies(self, "no dimension"))
        right.dims[0] = 0;
    if (lies(self, "negative"))
        right.dims[0] = -2;
    if (lies(self, "huge"))
        right = DIPP_SHAPE((int64_t)1 << 40, (int64_t)1 << 40);
    if (lies(self, "large"))
        right = DIPP_SHAPE(1 << 16, 1 << 16);
    if (lies(self, "another"))
        right = DIPP_SHAPE(3);
    return right;
}

/* x, or something of another shape; "one" is right for a batch of one alone. */
static dipp_tensor wrong_tensor(const void *self, dipp_graph *g, dipp_tensor x)
{
    if (lies(self, "sum"))
        return dipp_sum_per_sample(g, x);
    if (lies(self, "one"))
        return dipp_slice(g, x, 0, 0, 1);
    if (lies(self, "wide"))
        return dipp_concat(g, (dipp_tensor[]){x, x}, 2, 1);
    if (lies(self, "nothing"))
        return DIPP_NONE;
    if (lies(self, "made up"))
        return (dipp_tensor){.id = 123456};
    return x;
}

/* ---- References ---- */

static dipp_status space(void *self, dipp_space *out, dipp_error *error)
{
    out->sample = wrong_shape(self, DIPP_SHAPE(2));
    out->parameterisation = lies(self, "parameterisation") ? (dipp_parameterisation)77 : DIPP_PREDICTS_X0;
    if (lies(self, "sigma_data"))
        out->parameterisation = DIPP_PREDICTS_EDM; /* and none is given */
    if (lies(self, "schedule"))
        out->schedule.kind = (dipp_schedule_kind)77;
    if (lies(self, "end of time"))
        out->schedule = (dipp_schedule){.kind = DIPP_SCHEDULE_VE, .t_min = 0.01, .t_max = INFINITY};
    if (lies(self, "no steps"))
        out->schedule = (dipp_schedule){.kind = DIPP_SCHEDULE_DISCRETE, .a = 0.1, .b = 0.2, .t_max = 999};
    out->token_length = lies(self, "tokens") ? 4 : lies(self, "many tokens") ? UINT32_MAX : 0;
    out->images = lies(self, "pictures");
    return DIPP_OK;
}

static dipp_tensor predict(void *self, dipp_graph *g, dipp_params p, dipp_tensor x, dipp_level level, dipp_condition c)
{
    return wrong_tensor(self, g, dipp_add(g, x, dipp_param(g, p, "mean", DIPP_SHAPE(2), NULL)));
}

static dipp_tensor decode(void *self, dipp_graph *g, dipp_params p, dipp_tensor x0)
{
    if (lies(self, "decode one"))
        return dipp_slice(g, x0, 0, 0, 1);
    return lies(self, "decode sum") ? dipp_sum_per_sample(g, x0) : x0;
}

static const dipp_reference reference = {.struct_size = sizeof reference,
                                         .create = create,
                                         .destroy = destroy,
                                         .space = space,
                                         .predict = predict,
                                         .decode = decode};

/* One that reads: a condition of the tokens themselves. */
static dipp_status reading_space(void *self, dipp_space *out, dipp_error *error)
{
    dipp_status status = space(self, out, error);
    out->token_length = lies(self, "many tokens") ? UINT32_MAX : 4;
    return status;
}

static dipp_status tokenize(void *self, const char *const *texts, uint32_t count, int32_t *tokens, float *mask,
                            dipp_error *error)
{
    for (uint32_t i = 0; i < 4 * count; i++) {
        tokens[i] = lies(self, "token") ? -1234567 : 1;
        mask[i] = 1;
    }
    return DIPP_OK;
}

static dipp_condition encode_text(void *self, dipp_graph *g, dipp_params p, dipp_prompt text)
{
    dipp_condition c = {1, {dipp_embedding(g, p, "table", text.tokens, 8, 2, NULL)}};
    if (lies(self, "no part"))
        c.count = 0;
    if (lies(self, "many parts"))
        c.count = 9;
    if (lies(self, "part of one"))
        c.parts[0] = dipp_slice(g, c.parts[0], 0, 0, 1);
    if (lies(self, "made up part"))
        c.parts[0].id = 123456;
    return c;
}

static const dipp_reference reading = {.struct_size = sizeof reading,
                                       .create = create,
                                       .destroy = destroy,
                                       .space = reading_space,
                                       .predict = predict,
                                       .tokenize = tokenize,
                                       .encode_text = encode_text};

/* ---- Generators and rewards ---- */

static dipp_status info(void *self, dipp_generator_info *out, dipp_error *error)
{
    out->sample = wrong_shape(self, DIPP_SHAPE(2));
    out->takes_noise = !lies(self, "one level");
    out->sigma_init = NAN;
    return DIPP_OK;
}

static dipp_tensor generate(void *self, dipp_graph *g, dipp_params p, dipp_tensor x, dipp_level level, dipp_condition c)
{
    return wrong_tensor(self, g, dipp_add(g, x, dipp_param(g, p, "mean", DIPP_SHAPE(2), NULL)));
}

static const dipp_generator generator = {
    .struct_size = sizeof generator, .create = create, .destroy = destroy, .info = info, .generate = generate};

static dipp_status reward_info(void *self, dipp_reward_info *out, dipp_error *error)
{
    out->direction = lies(self, "direction") ? 5 : 1;
    out->token_length = lies(self, "tokens") ? 4 : 0;
    out->opaque = lies(self, "opaque");
    out->images = lies(self, "pictures");
    return DIPP_OK;
}

static dipp_tensor record(void *self, dipp_graph *g, dipp_params p, dipp_tensor samples, dipp_prompt text,
                          dipp_reward_mode mode)
{
    if (lies(self, "samples"))
        return samples;
    return wrong_tensor(self, g, dipp_sum_per_sample(g, samples));
}

static const dipp_reward reward = {
    .struct_size = sizeof reward, .create = create, .destroy = destroy, .info = reward_info, .record = record};

#define LIAR(variable, kind_, name_, vtable_)                                       \
    static const dipp_plugin variable = {.struct_size = sizeof variable,            \
                                         .abi_major = DIPP_ABI_MAJOR,               \
                                         .abi_minor = DIPP_ABI_MINOR,               \
                                         .build_tag = DIPP_BUILD_TAG,               \
                                         .kind = kind_,                             \
                                         .name = name_,                             \
                                         .version = "1.0.0",                        \
                                         .licence = "Apache-2.0",                   \
                                         .summary = "For tests: lies about itself", \
                                         .parameters = parameters,                  \
                                         .parameter_count = 1,                      \
                                         .vtable = &vtable_}

LIAR(lying_reference, DIPP_PLUGIN_REFERENCE, "liar", reference);
LIAR(lying_reader, DIPP_PLUGIN_REFERENCE, "reading-liar", reading);
LIAR(lying_generator, DIPP_PLUGIN_GENERATOR, "liar", generator);
LIAR(lying_reward, DIPP_PLUGIN_REWARD, "liar", reward);

DIPP_PLUGINS(&lying_reference, &lying_reader, &lying_generator, &lying_reward)
