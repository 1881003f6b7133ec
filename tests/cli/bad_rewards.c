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

/* Trusts a size that is 0 once the recording has failed. */
static dipp_tensor record_dividing(void *self, dipp_graph *g, dipp_params p, dipp_tensor samples, dipp_prompt text,
                                   dipp_reward_mode mode)
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

DIPP_PLUGINS(&nan_plugin, &crashing_plugin, &hanging_plugin, &lying_plugin, &stopped_plugin, &crowded_plugin,
             &fickle_plugin, &dividing_plugin, &cancelling_plugin, &leaking_plugin, &rude_plugin, &mute_plugin,
             &misleading_plugin, &sociable_plugin, &moody_plugin, &greedy_plugin, &trusting_plugin, &terminating_plugin)
