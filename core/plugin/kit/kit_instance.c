/* An instance of a plugin of any kind, made with the parameters that were asked for, and what it says of itself. */
#include "plugin/kit/kit_private.h"

#include "train/scores.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum { ASSIGNMENTS = 64, WIDEST_VECTOR = 64, PICTURE_SIDE = 16 };

static size_t key_length(const char *assignment)
{
    return strcspn(assignment, "=");
}

static bool same_key(const char *a, const char *b)
{
    return key_length(a) == key_length(b) && !strncmp(a, b, key_length(a));
}

static bool known(const dipp_plugin *plugin, const char *assignment)
{
    for (uint32_t i = 0; i < plugin->parameter_count; i++)
        if (strlen(plugin->parameters[i].key) == key_length(assignment) &&
            !strncmp(plugin->parameters[i].key, assignment, key_length(assignment)))
            return true;
    return false;
}

static dipp_status parameters_of(const kit_case *c, const char *override, dipp_parameters **out, dipp_error *error)
{
    const char *texts[ASSIGNMENTS];
    uint32_t count = 0;
    for (size_t i = 0; i < c->options->assignment_count && count < ASSIGNMENTS - 1; i++)
        if (known(c->plugin, c->options->assignments[i]) &&
            !(override && same_key(override, c->options->assignments[i])))
            texts[count++] = c->options->assignments[i];
    if (override)
        texts[count++] = override;
    return dipp_parameters_create_from_text(c->plugin->parameters, c->plugin->parameter_count, texts, count, out,
                                            error);
}

static dipp_status describe(kit_instance *instance, dipp_error *error)
{
    const void *vtable = instance->of->plugin->vtable;
    instance->info.struct_size = sizeof instance->info;
    instance->space.struct_size = sizeof instance->space;
    instance->generator.struct_size = sizeof instance->generator;
    switch (instance->of->plugin->kind) {
    case DIPP_PLUGIN_REFERENCE: return ((const dipp_reference *)vtable)->space(instance->self, &instance->space, error);
    case DIPP_PLUGIN_GENERATOR:
        return ((const dipp_generator *)vtable)->info(instance->self, &instance->generator, error);
    default: return ((const dipp_reward *)vtable)->info(instance->self, &instance->info, error);
    }
}

dipp_status kit_instance_create(const kit_case *c, const char *override, kit_instance *out, dipp_error *error)
{
    static const dipp_host host = {.struct_size = sizeof host};
    const void *vtable = c->plugin->vtable;
    *out = (kit_instance){.of = c};
    dipp_status status = parameters_of(c, override, &out->parameters, error);
    if (status != DIPP_OK)
        return status;
    if (c->plugin->kind == DIPP_PLUGIN_REFERENCE)
        status = ((const dipp_reference *)vtable)->create(out->parameters, &host, &out->self, error);
    else if (c->plugin->kind == DIPP_PLUGIN_GENERATOR)
        status = ((const dipp_generator *)vtable)->create(out->parameters, &host, &out->self, error);
    else
        status = ((const dipp_reward *)vtable)->create(out->parameters, &host, &out->self, error);
    if (status != DIPP_OK)
        out->self = NULL; /* what failed is the plugin's own to clean up */
    else
        status = describe(out, error);
    if (status != DIPP_OK)
        kit_instance_destroy(out);
    return status;
}

void kit_instance_destroy(kit_instance *instance)
{
    const dipp_plugin *plugin = instance->of->plugin;
    if (instance->self && plugin->kind == DIPP_PLUGIN_REFERENCE)
        ((const dipp_reference *)plugin->vtable)->destroy(instance->self);
    else if (instance->self && plugin->kind == DIPP_PLUGIN_GENERATOR)
        ((const dipp_generator *)plugin->vtable)->destroy(instance->self);
    else if (instance->self)
        ((const dipp_reward *)plugin->vtable)->destroy(instance->self);
    dipp_parameters_destroy(&instance->parameters);
    instance->self = NULL;
}

bool kit_is_opaque(const kit_instance *instance)
{
    return instance->of->plugin->kind == DIPP_PLUGIN_REWARD && instance->info.opaque;
}

bool kit_has(const kit_instance *instance, kit_function function)
{
    const dipp_reference *reference = instance->of->plugin->vtable;
    const dipp_reward *reward = instance->of->plugin->vtable;
    if (function == KIT_MAIN)
        return !kit_is_opaque(instance);
    if (instance->of->plugin->kind == DIPP_PLUGIN_REWARD)
        return function == KIT_CONTRAST && dipp_reward_encodes(reward) &&
               reward->struct_size >= offsetof(dipp_reward, contrast) + sizeof reward->contrast && reward->contrast;
    if (instance->of->plugin->kind != DIPP_PLUGIN_REFERENCE || function == KIT_CONTRAST)
        return false;
    return (function == KIT_DECODE ? reference->decode : reference->encode) != NULL;
}

const char *kit_function_name(const kit_instance *instance, kit_function function)
{
    static const char *const main_names[] = {"", "generate", "predict", "record"};
    static const char *const others[] = {"", "decode", "encode", "contrast"};
    return function == KIT_MAIN ? main_names[instance->of->plugin->kind] : others[function];
}

bool kit_takes_pictures(const kit_instance *instance, kit_function function)
{
    return instance->of->plugin->kind == DIPP_PLUGIN_REWARD ? instance->info.images : function == KIT_ENCODE;
}

dipp_shape kit_batch(const dipp_shape *sample, int64_t n)
{
    dipp_shape shape = {.rank = sample->rank + 1, .dims = {n}};
    memcpy(shape.dims + 1, sample->dims, sample->rank * sizeof shape.dims[0]);
    return shape;
}

static dipp_status try_sample(const kit_instance *instance, const dipp_shape *sample, dipp_error *error)
{
    if (kit_is_opaque(instance))
        return kit_opaque_try(instance, sample, error);
    kit_recording recording;
    dipp_status status = kit_record(instance, KIT_MAIN, sample, 2, 0, NULL, &recording, error);
    if (status == DIPP_OK)
        kit_recording_release(&recording);
    return status;
}

/* A reward on vectors does not say how many numbers a sample has: the first width that it takes. */
static dipp_status reward_sample(const kit_instance *instance, dipp_shape *sample, dipp_error *error)
{
    if (instance->of->options->sample.rank) {
        *sample = instance->of->options->sample;
        return DIPP_OK;
    }
    if (instance->info.images) {
        *sample = DIPP_SHAPE(3, PICTURE_SIDE, PICTURE_SIDE);
        return DIPP_OK;
    }
    dipp_error first = {0}, later;
    for (int64_t d = 1; d <= WIDEST_VECTOR; d++) {
        *sample = DIPP_SHAPE(d);
        dipp_status status = try_sample(instance, sample, d == 1 ? &first : &later);
        if (status != DIPP_E_INVALID)
            return status == DIPP_OK ? DIPP_OK : dipp_fail(error, status, "%s", (d == 1 ? &first : &later)->message);
    }
    return dipp_fail(error, DIPP_E_INVALID, "it takes no vectors of 1 to %d numbers (give --sample D): %s",
                     WIDEST_VECTOR, first.message);
}

dipp_status kit_sample_of(const kit_instance *instance, kit_function function, dipp_shape *sample, dipp_error *error)
{
    if (instance->of->plugin->kind == DIPP_PLUGIN_REWARD)
        return reward_sample(instance, sample, error);
    if (instance->of->plugin->kind == DIPP_PLUGIN_GENERATOR) {
        *sample = instance->generator.sample;
        return DIPP_OK;
    }
    *sample = instance->space.sample;
    if (function != KIT_ENCODE || !kit_has(instance, KIT_DECODE))
        return DIPP_OK;
    kit_recording decoded; /* encode takes what decode gives */
    dipp_shape pictures = *sample;
    dipp_status status = kit_record(instance, KIT_DECODE, sample, 2, 0, NULL, &decoded, error);
    if (status != DIPP_OK)
        return status;
    pictures.rank = decoded.out.rank - 1;
    memcpy(pictures.dims, decoded.out.dims + 1, pictures.rank * sizeof pictures.dims[0]);
    *sample = pictures;
    kit_recording_release(&decoded);
    return DIPP_OK;
}
