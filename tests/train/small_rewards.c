#include "small_rewards.h"

static int nothing;

static dipp_status create(const dipp_parameters *parameters, const dipp_host *host, void **self, dipp_error *error)
{
    *self = &nothing;
    return DIPP_OK;
}

static void destroy(void *self)
{
}

static dipp_status plain_info(void *self, dipp_reward_info *out, dipp_error *error)
{
    out->direction = 1;
    return DIPP_OK;
}

static dipp_status opaque_info(void *self, dipp_reward_info *out, dipp_error *error)
{
    out->direction = 1;
    out->opaque = true;
    return DIPP_OK;
}

static dipp_status worded_info(void *self, dipp_reward_info *out, dipp_error *error)
{
    out->direction = 1;
    out->token_length = 1;
    return DIPP_OK;
}

/* "a" is 0, "b" is 1, ... */
static dipp_status tokenize(void *self, const char *const *texts, uint32_t count, int32_t *tokens, float *mask,
                            dipp_error *error)
{
    for (uint32_t i = 0; i < count; i++) {
        tokens[i] = *texts[i] - 'a';
        mask[i] = 1;
    }
    return DIPP_OK;
}

static dipp_tensor number(dipp_graph *g, dipp_params p, const char *name, dipp_shape shape, double start)
{
    dipp_param_options options = {.init = DIPP_INIT_CONSTANT, .value = start, .flags = DIPP_PARAM_WIDE};
    return dipp_param(g, p, name, shape, &options);
}

/* w . x + b, from w = 0: x [N, D] -> [N]. */
static dipp_tensor linear(void *self, dipp_graph *g, dipp_params p, dipp_tensor x, dipp_prompt text,
                          dipp_reward_mode mode)
{
    dipp_tensor score = dipp_sum(g, dipp_mul(g, x, number(g, p, "weight", DIPP_SHAPE(1, D), 0)), 2, false);
    return dipp_add(g, score, number(g, p, "bias", DIPP_SHAPE(1), 0.5));
}

/* The same and what it is asked for: 0 in training, 1 elsewhere. */
static dipp_tensor modal(void *self, dipp_graph *g, dipp_params p, dipp_tensor x, dipp_prompt text,
                         dipp_reward_mode mode)
{
    return dipp_scale_add(g, linear(self, g, p, x, text, mode), 1, mode == DIPP_REWARD_TRAIN ? 0 : 1);
}

/* A layer: [N, D] -> [N]. */
static dipp_tensor ending(void *self, dipp_graph *g, dipp_params p, dipp_tensor x, dipp_prompt text,
                          dipp_reward_mode mode)
{
    dipp_linear_options options = {.struct_size = sizeof options, .wide_output = true};
    return dipp_reshape(g, dipp_linear(g, p, "last", x, 1, &options), DIPP_SHAPE(dipp_dim(g, x, 0)));
}

/* -|x|^2, which has nothing to train. */
static dipp_tensor fixed(void *self, dipp_graph *g, dipp_params p, dipp_tensor x, dipp_prompt text,
                         dipp_reward_mode mode)
{
    return dipp_scale_add(g, dipp_sum_per_sample(g, dipp_mul(g, x, x)), -1, 0);
}

/* A row of a table for each word: [N, D]. */
static dipp_condition encode(void *self, dipp_graph *g, dipp_params p, dipp_prompt text)
{
    dipp_param_options table = {.init = DIPP_INIT_NORMAL, .value = 1};
    dipp_tensor rows = dipp_embedding(g, dipp_scope(g, p, "text"), "words", text.tokens, WORDS, D, &table);
    int64_t n = dipp_dim(g, text.tokens, 0);
    return (dipp_condition){.count = 1, .parts = {dipp_cast(g, dipp_reshape(g, rows, DIPP_SHAPE(n, D)), DIPP_WIDE)}};
}

static dipp_tensor features(dipp_graph *g, dipp_params p, dipp_tensor x)
{
    dipp_param_options matrix = {.init = DIPP_INIT_XAVIER, .flags = DIPP_PARAM_WIDE};
    dipp_matmul_options options = {.struct_size = sizeof options, .transpose_b = true};
    return dipp_matmul(g, x, dipp_param(g, dipp_scope(g, p, "vision"), "weight", DIPP_SHAPE(D, D), &matrix), &options);
}

/* exp(logit_scale) (V x) . t: x [N, D], text [N, D] -> [N]. */
static dipp_tensor pairing(void *self, dipp_graph *g, dipp_params p, dipp_tensor x, dipp_condition text,
                           dipp_reward_mode mode)
{
    dipp_tensor product = dipp_sum(g, dipp_mul(g, features(g, p, x), text.parts[0]), 2, false);
    return dipp_mul(g, product, dipp_exp(g, number(g, p, "logit_scale", DIPP_SHAPE(1), 0.1)));
}

static dipp_tensor contrast(void *self, dipp_graph *g, dipp_params p, dipp_tensor x, dipp_condition text)
{
    dipp_matmul_options options = {.struct_size = sizeof options, .transpose_b = true};
    dipp_tensor product = dipp_matmul(g, features(g, p, x), text.parts[0], &options);
    return dipp_mul(g, product, dipp_exp(g, number(g, p, "logit_scale", DIPP_SHAPE(1), 0.1)));
}

static dipp_status score(void *self, const float *samples, const dipp_shape *shape, const char *const *prompts,
                         uint32_t count, double *scores, float *gradient, bool *has_gradient, dipp_error *error)
{
    return DIPP_OK;
}

const dipp_reward small_linear = {
    .struct_size = sizeof small_linear, .create = create, .destroy = destroy, .info = plain_info, .record = linear};
const dipp_reward small_modal = {
    .struct_size = sizeof small_modal, .create = create, .destroy = destroy, .info = plain_info, .record = modal};
const dipp_reward small_fixed = {
    .struct_size = sizeof small_fixed, .create = create, .destroy = destroy, .info = plain_info, .record = fixed};
const dipp_reward small_ending = {
    .struct_size = sizeof small_ending, .create = create, .destroy = destroy, .info = plain_info, .record = ending};
const dipp_reward small_opaque = {
    .struct_size = sizeof small_opaque, .create = create, .destroy = destroy, .info = opaque_info, .score = score};
const dipp_reward small_worded = {.struct_size = sizeof small_worded,
                                  .create = create,
                                  .destroy = destroy,
                                  .info = worded_info,
                                  .tokenize = tokenize,
                                  .encode_text = encode,
                                  .record_encoded = pairing,
                                  .contrast = contrast};
