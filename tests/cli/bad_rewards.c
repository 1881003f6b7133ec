/* Rewards that break their contract once a run uses them; their descriptors are in order, so that probing accepts them. */
#include <dipp/plugin.h>

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static dipp_status create(const dipp_parameters *parameters, const dipp_host *host, void **self, dipp_error *error)
{
    static int nothing;
    *self = &nothing;
    return DIPP_OK;
}

static dipp_status create_crashing(const dipp_parameters *parameters, const dipp_host *host, void **self,
                                   dipp_error *error)
{
    abort();
    return create(parameters, host, self, error);
}

static dipp_status create_hanging(const dipp_parameters *parameters, const dipp_host *host, void **self,
                                  dipp_error *error)
{
    while (pause() < 0)
        continue;
    return create(parameters, host, self, error);
}

static void destroy(void *self)
{
}

static dipp_status info(void *self, dipp_reward_info *out, dipp_error *error)
{
    out->direction = 1;
    return DIPP_OK;
}

static dipp_tensor record_nan(void *self, dipp_graph *g, dipp_params p, dipp_tensor samples, dipp_prompt text,
                              dipp_reward_mode mode)
{
    return dipp_scale_add(g, dipp_mean(g, samples, 1u << 1, false), NAN, 0.0);
}

/* The samples themselves in place of a score for each. */
static dipp_tensor record_lie(void *self, dipp_graph *g, dipp_params p, dipp_tensor samples, dipp_prompt text,
                              dipp_reward_mode mode)
{
    return samples;
}

/* Half of the gradient of a square is stopped. */
static dipp_tensor record_stopped(void *self, dipp_graph *g, dipp_params p, dipp_tensor samples, dipp_prompt text,
                                  dipp_reward_mode mode)
{
    return dipp_sum_per_sample(g, dipp_mul(g, samples, dipp_stop_gradient(g, samples)));
}

/* Each sample is compared with the mean of its batch. */
static dipp_tensor record_crowded(void *self, dipp_graph *g, dipp_params p, dipp_tensor samples, dipp_prompt text,
                                  dipp_reward_mode mode)
{
    return dipp_sum_per_sample(g, dipp_sub(g, samples, dipp_mean(g, samples, 1u << 0, true)));
}

/* A constant that is another one each time. */
static dipp_tensor record_fickle(void *self, dipp_graph *g, dipp_params p, dipp_tensor samples, dipp_prompt text,
                                 dipp_reward_mode mode)
{
    static int calls;
    return dipp_scale_add(g, dipp_sum_per_sample(g, samples), 1.0, ++calls);
}

/* Trusts a size that is 0 once the recording has failed. The fault is to be a signal, not a sanitizer's report. */
__attribute__((no_sanitize("undefined"))) static dipp_tensor
record_dividing(void *self, dipp_graph *g, dipp_params p, dipp_tensor samples, dipp_prompt text, dipp_reward_mode mode)
{
    dipp_tensor squares = dipp_mul(g, samples, samples);
    int64_t share = 1000 / dipp_dim(g, squares, 1);
    return dipp_scale_add(g, dipp_sum_per_sample(g, squares), (double)share, 0.0);
}

/* Sums of large numbers that cancel: right in double, nothing in single precision. */
static dipp_tensor record_cancelling(void *self, dipp_graph *g, dipp_params p, dipp_tensor samples, dipp_prompt text,
                                     dipp_reward_mode mode)
{
    dipp_tensor far = dipp_scale_add(g, samples, 1.0, 1e6);
    return dipp_sum_per_sample(g, dipp_scale_add(g, far, 1.0, -1e6));
}

/* ---- Opaque ones: the sum of squares ---- */

static dipp_status info_opaque(void *self, dipp_reward_info *out, dipp_error *error)
{
    out->opaque = true;
    return info(self, out, error);
}

/* gain times the right gradient; shift is added to all scores. */
static void sum_squares(const float *samples, const dipp_shape *shape, uint32_t count, double shift, double *scores,
                        float *gradient, float gain)
{
    size_t d = (size_t)dipp_shape_elements(shape);
    for (uint32_t n = 0; n < count; n++)
        scores[n] = shift;
    for (size_t i = 0; i < count * d; i++) {
        scores[i / d] += (double)samples[i] * samples[i];
        if (gradient)
            gradient[i] = gain * samples[i];
    }
}

/* A gradient that is half of what it should be. */
static dipp_status score_misleading(void *self, const float *samples, const dipp_shape *shape,
                                    const char *const *prompts, uint32_t count, double *scores, float *gradient,
                                    bool *has_gradient, dipp_error *error)
{
    sum_squares(samples, shape, count, 0, scores, gradient, 1);
    *has_gradient = gradient != NULL;
    return DIPP_OK;
}

/* Scores that depend on how many there are. */
static dipp_status score_sociable(void *self, const float *samples, const dipp_shape *shape, const char *const *prompts,
                                  uint32_t count, double *scores, float *gradient, bool *has_gradient,
                                  dipp_error *error)
{
    sum_squares(samples, shape, count, count, scores, NULL, 0);
    return DIPP_OK;
}

/* Scores that depend on how often it was asked. */
static dipp_status score_moody(void *self, const float *samples, const dipp_shape *shape, const char *const *prompts,
                               uint32_t count, double *scores, float *gradient, bool *has_gradient, dipp_error *error)
{
    static int calls;
    sum_squares(samples, shape, count, ++calls, scores, NULL, 0);
    return DIPP_OK;
}

/* Gives its own gradient. On its sixth call in this folder the process is told to end, once; each call leaves a letter. */
static dipp_status score_terminating(void *self, const float *samples, const dipp_shape *shape,
                                     const char *const *prompts, uint32_t count, double *scores, float *gradient,
                                     bool *has_gradient, dipp_error *error)
{
    FILE *calls = fopen("calls", "a");
    if (!calls || fputc('c', calls) == EOF || ftell(calls) < 0)
        return dipp_fail(error, DIPP_E_IO, "cannot write `calls`");
    if (ftell(calls) == 6)
        raise(SIGTERM);
    fclose(calls);
    sum_squares(samples, shape, count, 0, scores, gradient, 2);
    *has_gradient = gradient != NULL;
    return DIPP_OK;
}

/* Takes all memory there is once a run is under way (the first question comes before its first step), and keeps it. */
static dipp_status score_greedy(void *self, const float *samples, const dipp_shape *shape, const char *const *prompts,
                                uint32_t count, double *scores, float *gradient, bool *has_gradient, dipp_error *error)
{
    enum { PIECE = 1 << 20 };
    static int calls;
    int taken = 0;
    for (char *piece; calls && (piece = malloc(PIECE)); taken++)
        memset(piece, 1, PIECE);
    if (calls++)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory after %d MiB", taken);
    sum_squares(samples, shape, count, 0, scores, gradient, 2);
    *has_gradient = gradient != NULL;
    return DIPP_OK;
}

/* The same as soon as it is made, and believes that there is always more. */
static dipp_status create_trusting(const dipp_parameters *parameters, const dipp_host *host, void **self,
                                   dipp_error *error)
{
    enum { PIECE = 1 << 20 };
    for (char *piece;; *piece = 2) {
        piece = malloc(PIECE);
        memset(piece, 1, PIECE);
    }
    return create(parameters, host, self, error);
}

static dipp_status create_leaking(const dipp_parameters *parameters, const dipp_host *host, void **self,
                                  dipp_error *error)
{
    *self = malloc(40);
    return *self ? DIPP_OK : dipp_fail(error, DIPP_E_MEMORY, "no memory");
}

/* A parameter that is refused as something else, and another without a word. */
static dipp_status create_rude(const dipp_parameters *parameters, const dipp_host *host, void **self, dipp_error *error)
{
    if (dipp_parameters_int(parameters, "level") == 9)
        return dipp_fail(error, DIPP_E_INTERNAL, "level 9");
    return create(parameters, host, self, error);
}

static dipp_status create_mute(const dipp_parameters *parameters, const dipp_host *host, void **self, dipp_error *error)
{
    return dipp_parameters_int(parameters, "level") == 9 ? DIPP_E_INVALID : create(parameters, host, self, error);
}

/* ---- Those that look at texts apart: w times the sum of a sample times the feature of its text ---- */

static dipp_status info_reading(void *self, dipp_reward_info *out, dipp_error *error)
{
    out->token_length = 2;
    return info(self, out, error);
}

static dipp_status tokenize(void *self, const char *const *texts, uint32_t count, int32_t *tokens, float *mask,
                            dipp_error *error)
{
    for (uint32_t i = 0; i < count; i++)
        for (int k = 0; k < 2; k++) {
            tokens[2 * i + k] = k && *texts[i] ? 1 + *texts[i] % 5 : 0;
            mask[2 * i + k] = 1;
        }
    return DIPP_OK;
}

/* tokens [N, 2] -> [N, 1]: the numbers of its tokens in a table. */
static dipp_tensor feature(dipp_graph *g, dipp_params p, dipp_tensor tokens)
{
    dipp_param_options table = {.struct_size = sizeof table, .init = DIPP_INIT_NORMAL, .value = 1};
    dipp_tensor x = dipp_cast(g, dipp_embedding(g, p, "table", tokens, 8, 1, &table), DIPP_WIDE);
    return dipp_sum(g, x, 1u << 1, false);
}

static dipp_condition encode_text(void *self, dipp_graph *g, dipp_params p, dipp_prompt text)
{
    return (dipp_condition){1, {feature(g, p, text.tokens)}};
}

/* One row, however many texts there are. */
static dipp_condition encode_rowless(void *self, dipp_graph *g, dipp_params p, dipp_prompt text)
{
    return (dipp_condition){1, {dipp_sum(g, feature(g, p, text.tokens), 1u << 0, true)}};
}

/* Every text is also a little of the others. */
static dipp_condition encode_gossip(void *self, dipp_graph *g, dipp_params p, dipp_prompt text)
{
    dipp_tensor x = feature(g, p, text.tokens);
    return (dipp_condition){1, {dipp_add(g, x, dipp_mean(g, x, 1u << 0, true))}};
}

static dipp_tensor weight(dipp_graph *g, dipp_params p)
{
    dipp_param_options wide = {
        .struct_size = sizeof wide, .init = DIPP_INIT_CONSTANT, .value = 1.5, .flags = DIPP_PARAM_WIDE};
    return dipp_param(g, p, "w", DIPP_SHAPE(1), &wide);
}

/* samples [N, d] -> [N, 1]. */
static dipp_tensor weighed(dipp_graph *g, dipp_params p, dipp_tensor samples)
{
    return dipp_mul(g, dipp_sum(g, samples, 1u << 1, true), weight(g, p));
}

static dipp_tensor record_encoded(void *self, dipp_graph *g, dipp_params p, dipp_tensor samples, dipp_condition text,
                                  dipp_reward_mode mode)
{
    return dipp_sum(g, dipp_mul(g, weighed(g, p, samples), text.parts[0]), 1u << 1, false);
}

/* samples [N, d], texts of M rows -> [N, M]. */
static dipp_tensor contrast(void *self, dipp_graph *g, dipp_params p, dipp_tensor samples, dipp_condition text)
{
    dipp_matmul_options options = {.struct_size = sizeof options, .transpose_b = true, .wide_output = true};
    return dipp_matmul(g, weighed(g, p, samples), text.parts[0], &options);
}

static dipp_tensor contrast_askew(void *self, dipp_graph *g, dipp_params p, dipp_tensor samples, dipp_condition text)
{
    return dipp_scale_add(g, contrast(self, g, p, samples, text), 1.01, 0);
}

static dipp_tensor contrast_blunt(void *self, dipp_graph *g, dipp_params p, dipp_tensor samples, dipp_condition text)
{
    dipp_tensor all = contrast(self, g, p, samples, text);
    return dipp_add(g, dipp_scale_add(g, all, 0.5, 0), dipp_scale_add(g, dipp_stop_gradient(g, all), 0.5, 0));
}

/* The pairs of one row each. */
static dipp_tensor contrast_flat(void *self, dipp_graph *g, dipp_params p, dipp_tensor samples, dipp_condition text)
{
    return record_encoded(self, g, p, samples, text, DIPP_REWARD_TRAIN);
}

/* What a sample has with a text that is not its own counts the more, the more it has with all of them. */
static dipp_tensor contrast_envious(void *self, dipp_graph *g, dipp_params p, dipp_tensor samples, dipp_condition text)
{
    dipp_tensor all = contrast(self, g, p, samples, text);
    dipp_tensor own = record_encoded(self, g, p, samples, text, DIPP_REWARD_TRAIN);
    dipp_tensor others = dipp_sub(g, all, dipp_per_sample(g, own, all));
    return dipp_add(g, all, dipp_mul(g, others, dipp_sum(g, all, 1u << 1, true)));
}

static const dipp_parameter level[] = {
    {.key = "level", .type = DIPP_TYPE_INT, .default_text = "1", .minimum = 1, .maximum = 9, .help = "A level."}};

static const dipp_reward greedy = {
    .struct_size = sizeof greedy, .create = create, .destroy = destroy, .info = info_opaque, .score = score_greedy};
static const dipp_reward trusting = {
    .struct_size = sizeof trusting, .create = create_trusting, .destroy = destroy, .info = info, .record = record_nan};
static const dipp_reward terminating = {.struct_size = sizeof terminating,
                                        .create = create,
                                        .destroy = destroy,
                                        .info = info_opaque,
                                        .score = score_terminating};
static const dipp_reward nan_reward = {
    .struct_size = sizeof nan_reward, .create = create, .destroy = destroy, .info = info, .record = record_nan};
static const dipp_reward crashing = {
    .struct_size = sizeof crashing, .create = create_crashing, .destroy = destroy, .info = info, .record = record_nan};
static const dipp_reward hanging = {
    .struct_size = sizeof hanging, .create = create_hanging, .destroy = destroy, .info = info, .record = record_nan};
static const dipp_reward lying = {
    .struct_size = sizeof lying, .create = create, .destroy = destroy, .info = info, .record = record_lie};

static const dipp_reward stopped = {
    .struct_size = sizeof stopped, .create = create, .destroy = destroy, .info = info, .record = record_stopped};
static const dipp_reward crowded = {
    .struct_size = sizeof crowded, .create = create, .destroy = destroy, .info = info, .record = record_crowded};
static const dipp_reward fickle = {
    .struct_size = sizeof fickle, .create = create, .destroy = destroy, .info = info, .record = record_fickle};
static const dipp_reward dividing = {
    .struct_size = sizeof dividing, .create = create, .destroy = destroy, .info = info, .record = record_dividing};
static const dipp_reward cancelling = {
    .struct_size = sizeof cancelling, .create = create, .destroy = destroy, .info = info, .record = record_cancelling};
static const dipp_reward leaking = {.struct_size = sizeof leaking,
                                    .create = create_leaking,
                                    .destroy = destroy,
                                    .info = info,
                                    .record = record_dividing};
static const dipp_reward rude = {
    .struct_size = sizeof rude, .create = create_rude, .destroy = destroy, .info = info, .record = record_dividing};
static const dipp_reward mute = {
    .struct_size = sizeof mute, .create = create_mute, .destroy = destroy, .info = info, .record = record_dividing};

static const dipp_reward misleading = {.struct_size = sizeof misleading,
                                       .create = create,
                                       .destroy = destroy,
                                       .info = info_opaque,
                                       .score = score_misleading};
static const dipp_reward sociable = {
    .struct_size = sizeof sociable, .create = create, .destroy = destroy, .info = info_opaque, .score = score_sociable};
static const dipp_reward moody = {
    .struct_size = sizeof moody, .create = create, .destroy = destroy, .info = info_opaque, .score = score_moody};

#define READING(variable, encode, contrast_)                               \
    static const dipp_reward variable = {.struct_size = sizeof variable,   \
                                         .create = create,                 \
                                         .destroy = destroy,               \
                                         .info = info_reading,             \
                                         .tokenize = tokenize,             \
                                         .encode_text = encode,            \
                                         .record_encoded = record_encoded, \
                                         .contrast = contrast_}
READING(reading, encode_text, contrast);
READING(rowless, encode_rowless, NULL);
READING(gossiping, encode_gossip, NULL);
READING(askew, encode_text, contrast_askew);
READING(blunt, encode_text, contrast_blunt);
READING(flat, encode_text, contrast_flat);
READING(envious, encode_text, contrast_envious);

#define REWARD(variable, name_, vtable_, ...)                                         \
    static const dipp_plugin variable = {.struct_size = sizeof variable,              \
                                         .abi_major = DIPP_ABI_MAJOR,                 \
                                         .abi_minor = DIPP_ABI_MINOR,                 \
                                         .build_tag = DIPP_BUILD_TAG,                 \
                                         .kind = DIPP_PLUGIN_REWARD,                  \
                                         .name = name_,                               \
                                         .version = "1.0.0",                          \
                                         .licence = "Apache-2.0",                     \
                                         .summary = "For tests: breaks its contract", \
                                         .vtable = &vtable_,                          \
                                         __VA_ARGS__}

REWARD(greedy_plugin, "greedy", greedy);
REWARD(trusting_plugin, "trusting", trusting);
REWARD(terminating_plugin, "terminating", terminating);
REWARD(nan_plugin, "not-a-number", nan_reward);
REWARD(crashing_plugin, "crashing", crashing);
REWARD(hanging_plugin, "hanging", hanging);
REWARD(lying_plugin, "lying", lying);
REWARD(stopped_plugin, "stopped", stopped);
REWARD(crowded_plugin, "crowded", crowded);
REWARD(fickle_plugin, "fickle", fickle);
REWARD(dividing_plugin, "dividing", dividing);
REWARD(cancelling_plugin, "cancelling", cancelling);
REWARD(leaking_plugin, "leaking", leaking);
REWARD(rude_plugin, "rude", rude, .parameters = level, .parameter_count = 1);
REWARD(mute_plugin, "mute", mute, .parameters = level, .parameter_count = 1);
REWARD(misleading_plugin, "misleading", misleading);
REWARD(sociable_plugin, "sociable", sociable);
REWARD(moody_plugin, "moody", moody);
REWARD(reading_plugin, "reading", reading); /* breaks nothing: the others differ from it in one thing each */
REWARD(rowless_plugin, "rowless", rowless);
REWARD(gossiping_plugin, "gossiping", gossiping);
REWARD(askew_plugin, "askew", askew);
REWARD(blunt_plugin, "blunt", blunt);
REWARD(flat_plugin, "flat", flat);
REWARD(envious_plugin, "envious", envious);

DIPP_PLUGINS(&nan_plugin, &crashing_plugin, &hanging_plugin, &lying_plugin, &stopped_plugin, &crowded_plugin,
             &fickle_plugin, &dividing_plugin, &cancelling_plugin, &leaking_plugin, &rude_plugin, &mute_plugin,
             &misleading_plugin, &sociable_plugin, &moody_plugin, &greedy_plugin, &trusting_plugin, &terminating_plugin,
             &reading_plugin, &rowless_plugin, &gossiping_plugin, &askew_plugin, &blunt_plugin, &flat_plugin,
             &envious_plugin)
