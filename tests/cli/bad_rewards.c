/* Rewards that break their contract once a run uses them; their descriptors are in order, so that probing accepts them. */
#include <dipp/plugin.h>

#include <math.h>
#include <stdlib.h>
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

static const dipp_reward nan_reward = {
    .struct_size = sizeof nan_reward, .create = create, .destroy = destroy, .info = info, .record = record_nan};
static const dipp_reward crashing = {
    .struct_size = sizeof crashing, .create = create_crashing, .destroy = destroy, .info = info, .record = record_nan};
static const dipp_reward hanging = {
    .struct_size = sizeof hanging, .create = create_hanging, .destroy = destroy, .info = info, .record = record_nan};
static const dipp_reward lying = {
    .struct_size = sizeof lying, .create = create, .destroy = destroy, .info = info, .record = record_lie};

#define REWARD(variable, name_, vtable_)             \
    static const dipp_plugin variable = {            \
        .struct_size = sizeof variable,              \
        .abi_major = DIPP_ABI_MAJOR,                 \
        .abi_minor = DIPP_ABI_MINOR,                 \
        .build_tag = DIPP_BUILD_TAG,                 \
        .kind = DIPP_PLUGIN_REWARD,                  \
        .name = name_,                               \
        .version = "1.0.0",                          \
        .licence = "Apache-2.0",                     \
        .summary = "For tests: breaks its contract", \
        .vtable = &vtable_,                          \
    }

REWARD(nan_plugin, "not-a-number", nan_reward);
REWARD(crashing_plugin, "crashing", crashing);
REWARD(hanging_plugin, "hanging", hanging);
REWARD(lying_plugin, "lying", lying);

DIPP_PLUGINS(&nan_plugin, &crashing_plugin, &hanging_plugin, &lying_plugin)
