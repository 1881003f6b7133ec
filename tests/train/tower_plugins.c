/* Plugins for tests of rewards with two towers, in little: vectors [N, d] and texts of at most six bytes meet in four
 * numbers. All have the same tensors, as rewards made of one published network have.
 *
 *   tower         exp(scale) cos(sample, text); text and sample apart
 *   tower-square  its square, likewise
 *   tower-head    a head on the sample's side alone, which has a bias of its own
 *   tower-whole   what tower computes, recorded as one
 *   tower-other   the tower of tower, whose head has the name of tower-head's and another shape */
#include <dipp/plugin.h>

#include <stdlib.h>
#include <string.h>

enum { LENGTH = 6, VOCABULARY = 32, TEXT_WIDTH = 8, WIDTH = 16, JOINT = 4 };

typedef struct tower {
    double raise; /* added to the logarithm of the scale */
    double turn;  /* what a text's features are multiplied by */
    int64_t length, shift;
} tower;

static const dipp_parameter tower_parameters[] = {
    {.key = "raise", .type = DIPP_TYPE_FLOAT, .default_text = "0", .help = "Added to the scale's logarithm."},
    {.key = "length", .type = DIPP_TYPE_INT, .default_text = "6", .minimum = 1, .maximum = 4096, .help = "Tokens."},
    {.key = "shift", .type = DIPP_TYPE_INT, .default_text = "0", .minimum = 0, .maximum = 29, .help = "Of tokens."},
    {.key = "turn", .type = DIPP_TYPE_FLOAT, .default_text = "1", .help = "Factor of texts' features."},
};

static dipp_status create(const dipp_parameters *p, const dipp_host *host, void **self, dipp_error *error)
{
    tower *t = malloc(sizeof *t);
    if (!t)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for a tower");
    t->raise = dipp_parameters_float(p, "raise");
    t->length = dipp_parameters_int(p, "length");
    t->shift = dipp_parameters_int(p, "shift");
    t->turn = dipp_parameters_float(p, "turn");
    *self = t;
    return DIPP_OK;
}

static dipp_status info(void *self, dipp_reward_info *out, dipp_error *error)
{
    out->direction = 1;
    out->token_length = (uint32_t)((const tower *)self)->length;
    return DIPP_OK;
}

static dipp_status info_without_text(void *self, dipp_reward_info *out, dipp_error *error)
{
    out->direction = 1;
    return DIPP_OK;
}

/* A begin, the bytes, and padding. */
static dipp_status tokenize(void *self, const char *const *texts, uint32_t count, int32_t *tokens, float *mask,
                            dipp_error *error)
{
    const tower *t = self;
    size_t length = (size_t)t->length;
    for (uint32_t i = 0; i < count; i++) {
        size_t bytes = strlen(texts[i]);
        if (!strcmp(texts[i], "unspeakable"))
            return dipp_fail(error, DIPP_E_INVALID, "there is no saying \"%s\"", texts[i]);
        for (size_t k = 0; k < length; k++) {
            int32_t byte = k > 0 && k <= bytes ? (unsigned char)texts[i][k - 1] : 0;
            tokens[i * length + k] = k == 0 ? 1 : k <= bytes ? 2 + (byte + (int32_t)t->shift) % 30 : 0;
            mask[i * length + k] = k <= bytes;
        }
    }
    return DIPP_OK;
}

/* x over its length. */
static dipp_tensor unit(dipp_graph *g, dipp_tensor x)
{
    dipp_tensor squares = dipp_sum(g, dipp_mul(g, x, x), 2, true);
    return dipp_div(g, x, dipp_sqrt(g, dipp_scale_add(g, squares, 1, 1e-12)));
}

static dipp_tensor projected(dipp_graph *g, dipp_params p, dipp_tensor x)
{
    dipp_linear_options options = {.struct_size = sizeof options, .no_bias = true, .wide_output = true};
    return dipp_linear(g, p, "projection", x, JOINT, &options);
}

/* tokens [N, L], mask [N, L] -> [N, 4] of length 1. */
static dipp_condition encode_text(void *self, dipp_graph *g, dipp_params p, dipp_prompt text)
{
    dipp_params own = dipp_scope(g, p, "text");
    int64_t n = dipp_dim(g, text.tokens, 0), length = dipp_dim(g, text.tokens, 1);
    dipp_param_options table = {.struct_size = sizeof table, .init = DIPP_INIT_NORMAL, .value = 1};
    dipp_tensor x = dipp_embedding(g, own, "embedding", text.tokens, VOCABULARY, TEXT_WIDTH, &table);
    x = dipp_cast(g, dipp_gelu_erf(g, dipp_linear(g, own, "fc", x, WIDTH, NULL)), DIPP_WIDE);
    x = dipp_sum(g, dipp_mul(g, x, dipp_reshape(g, text.mask, DIPP_SHAPE(n, length, 1))), 2, false);
    x = unit(g, projected(g, own, dipp_cast(g, x, DIPP_COMPUTE)));
    double turn = ((const tower *)self)->turn;
    return (dipp_condition){1, {turn == 1 ? x : dipp_scale_add(g, x, turn, 0)}};
}

/* x [N, d] -> [N, 4] of length 1. */
static dipp_tensor encode_sample(dipp_graph *g, dipp_params p, dipp_tensor x)
{
    dipp_params own = dipp_scope(g, p, "visual");
    x = dipp_cast(g, dipp_scale_add(g, x, 0.5, 0.1), DIPP_COMPUTE);
    dipp_block_begin(g);
    x = dipp_gelu_erf(g, dipp_linear(g, own, "fc1", x, WIDTH, NULL));
    x = dipp_gelu_erf(g, dipp_linear(g, own, "fc2", x, WIDTH, NULL));
    dipp_block_end(g);
    return unit(g, projected(g, own, x));
}

static dipp_tensor scale_of(const tower *t, dipp_graph *g, dipp_params p)
{
    dipp_param_options wide = {
        .struct_size = sizeof wide, .init = DIPP_INIT_CONSTANT, .value = 0.5, .flags = DIPP_PARAM_WIDE};
    return dipp_exp(g, dipp_scale_add(g, dipp_param(g, p, "logit_scale", DIPP_SHAPE(1), &wide), 1, t->raise));
}

static dipp_tensor record_encoded(void *self, dipp_graph *g, dipp_params p, dipp_tensor samples, dipp_condition text,
                                  dipp_reward_mode mode)
{
    dipp_tensor cosine = dipp_sum(g, dipp_mul(g, encode_sample(g, p, samples), text.parts[0]), 2, false);
    return dipp_mul(g, cosine, scale_of(self, g, p));
}

static dipp_tensor record_square(void *self, dipp_graph *g, dipp_params p, dipp_tensor samples, dipp_condition text,
                                 dipp_reward_mode mode)
{
    dipp_tensor score = record_encoded(self, g, p, samples, text, mode);
    return dipp_mul(g, score, score);
}

static dipp_tensor record_whole(void *self, dipp_graph *g, dipp_params p, dipp_tensor samples, dipp_prompt text,
                                dipp_reward_mode mode)
{
    return record_encoded(self, g, p, samples, encode_text(self, g, p, text), mode);
}

static dipp_tensor head(dipp_graph *g, dipp_params p, dipp_tensor samples, int64_t width)
{
    dipp_tensor x = dipp_cast(g, encode_sample(g, p, samples), DIPP_COMPUTE);
    x = dipp_tanh(g, dipp_linear(g, p, "head", x, width, NULL));
    return dipp_sum(g, dipp_cast(g, x, DIPP_WIDE), 2, false);
}

static dipp_tensor record_head(void *self, dipp_graph *g, dipp_params p, dipp_tensor samples, dipp_prompt text,
                               dipp_reward_mode mode)
{
    return head(g, p, samples, 1);
}

static dipp_tensor record_other(void *self, dipp_graph *g, dipp_params p, dipp_tensor samples, dipp_prompt text,
                                dipp_reward_mode mode)
{
    return head(g, p, samples, 2);
}

static const dipp_reward tower_reward = {.struct_size = sizeof tower_reward,
                                         .create = create,
                                         .destroy = free,
                                         .info = info,
                                         .tokenize = tokenize,
                                         .encode_text = encode_text,
                                         .record_encoded = record_encoded};
static const dipp_reward square_reward = {.struct_size = sizeof square_reward,
                                          .create = create,
                                          .destroy = free,
                                          .info = info,
                                          .tokenize = tokenize,
                                          .encode_text = encode_text,
                                          .record_encoded = record_square};
static const dipp_reward whole_reward = {.struct_size = sizeof whole_reward,
                                         .create = create,
                                         .destroy = free,
                                         .info = info,
                                         .tokenize = tokenize,
                                         .record = record_whole};
static const dipp_reward head_reward = {.struct_size = sizeof head_reward,
                                        .create = create,
                                        .destroy = free,
                                        .info = info_without_text,
                                        .record = record_head};
static const dipp_reward other_reward = {.struct_size = sizeof other_reward,
                                         .create = create,
                                         .destroy = free,
                                         .info = info_without_text,
                                         .record = record_other};

#define REWARD(variable, name_, vtable_)                                                                        \
    static const dipp_plugin variable = {.struct_size = sizeof variable,                                        \
                                         .abi_major = DIPP_ABI_MAJOR,                                           \
                                         .abi_minor = DIPP_ABI_MINOR,                                           \
                                         .build_tag = DIPP_BUILD_TAG,                                           \
                                         .kind = DIPP_PLUGIN_REWARD,                                            \
                                         .name = name_,                                                         \
                                         .version = "1.0.0",                                                    \
                                         .licence = "Apache-2.0",                                               \
                                         .summary = "For tests: two small towers",                              \
                                         .parameters = tower_parameters,                                        \
                                         .parameter_count = sizeof tower_parameters / sizeof *tower_parameters, \
                                         .vtable = &vtable_}

REWARD(tower_plugin, "tower", tower_reward);
REWARD(square_plugin, "tower-square", square_reward);
REWARD(whole_plugin, "tower-whole", whole_reward);
REWARD(head_plugin, "tower-head", head_reward);
REWARD(other_plugin, "tower-other", other_reward);

DIPP_PLUGINS(&tower_plugin, &square_plugin, &whole_plugin, &head_plugin, &other_plugin)
