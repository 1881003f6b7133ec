/* What a descriptor must be before anything in it is believed. The order matters: the version comes first, since under
 * another major number the rest of the struct may mean something else. */
#include "plugin/plugin_host.h"
#include "train/scores.h"

#include <string.h>

/* Bytes of a struct up to and including a field: what the first version of the ABI had. */
#define BYTES_THROUGH(type, field) ((uint32_t)(offsetof(type, field) + sizeof(((type *)0)->field)))

const char *dipp_plugin_kind_name(dipp_plugin_kind kind)
{
    switch (kind) {
    case DIPP_PLUGIN_GENERATOR: return "generator";
    case DIPP_PLUGIN_REFERENCE: return "reference";
    case DIPP_PLUGIN_REWARD: return "reward";
    }
    return "plugin";
}

static bool word(const char *text, size_t limit, const char *others)
{
    size_t length = strnlen(text, limit);
    if (length == 0 || length == limit)
        return false;
    for (size_t i = 0; i < length; i++)
        if (!(text[i] >= 'a' && text[i] <= 'z') && !(text[i] >= '0' && text[i] <= '9') && !strchr(others, text[i]))
            return false;
    return true;
}

static dipp_status check_size(const char *what, uint32_t found, uint32_t least, size_t most, dipp_error *error)
{
    if (found < least || found > most)
        return dipp_fail(error, DIPP_E_PLUGIN,
                         "%s.struct_size: expected %u to %zu for ABI %d.%d, found %u; set it to sizeof and rebuild",
                         what, (unsigned)least, most, DIPP_ABI_MAJOR, DIPP_ABI_MINOR, (unsigned)found);
    return DIPP_OK;
}

static dipp_status missing(const char *name, const char *slot, dipp_error *error)
{
    return dipp_fail(error, DIPP_E_PLUGIN, "plugin \"%s\": expected a function in vtable slot %s, found NULL", name,
                     slot);
}

static dipp_status check_vtable(const dipp_plugin *plugin, dipp_error *error)
{
    const char *name = plugin->name;
    if (!plugin->vtable)
        return dipp_fail(error, DIPP_E_PLUGIN, "plugin \"%s\": expected a vtable of kind %s, found NULL", name,
                         dipp_plugin_kind_name(plugin->kind));
    uint32_t size = *(const uint32_t *)plugin->vtable;
    dipp_status status;
    if (plugin->kind == DIPP_PLUGIN_REFERENCE) {
        const dipp_reference *v = plugin->vtable;
        status = check_size("dipp_reference", size, BYTES_THROUGH(dipp_reference, metrics), sizeof *v, error);
        if (status)
            return dipp_error_context(error, "plugin \"%s\"", name);
        const char *absent = !v->create ? "create" : !v->destroy ? "destroy" : !v->space ? "space" : NULL;
        if (!absent && !v->predict)
            absent = "predict";
        if (!absent && v->encode_text && !v->tokenize)
            absent = "tokenize (which encode_text needs)";
        return absent ? missing(name, absent, error) : DIPP_OK;
    }
    if (plugin->kind == DIPP_PLUGIN_GENERATOR) {
        const dipp_generator *v = plugin->vtable;
        status = check_size("dipp_generator", size, BYTES_THROUGH(dipp_generator, metrics), sizeof *v, error);
        if (status)
            return dipp_error_context(error, "plugin \"%s\"", name);
        const char *absent = !v->create ? "create" : !v->destroy ? "destroy" : !v->info ? "info" : NULL;
        if (!absent && !v->generate)
            absent = "generate";
        return absent ? missing(name, absent, error) : DIPP_OK;
    }
    const dipp_reward *v = plugin->vtable;
    status = check_size("dipp_reward", size, BYTES_THROUGH(dipp_reward, score), sizeof *v, error);
    if (status)
        return dipp_error_context(error, "plugin \"%s\"", name);
    const char *absent = !v->create ? "create" : !v->destroy ? "destroy" : !v->info ? "info" : NULL;
    bool encodes = dipp_reward_encodes(v);
    if (!absent && !v->record && !v->score && !encodes)
        absent = "record (or encode_text and record_encoded; for an opaque reward, score)";
    if (!absent && v->record && encodes)
        return dipp_fail(error, DIPP_E_PLUGIN,
                         "plugin \"%s\": expected record, or encode_text and record_encoded; found both", name);
    return absent ? missing(name, absent, error) : DIPP_OK;
}

static dipp_status check_parameter(const dipp_plugin *plugin, uint32_t index, dipp_error *error)
{
    const dipp_parameter *p = &plugin->parameters[index];
    if (!p->key || !word(p->key, DIPP_PLUGIN_NAME_BYTES, "_"))
        return dipp_fail(error, DIPP_E_PLUGIN,
                         "parameter %u: expected a key of [a-z0-9_]+ below %d bytes, found \"%.80s\"", (unsigned)index,
                         DIPP_PLUGIN_NAME_BYTES, p->key ? p->key : "NULL");
    for (uint32_t k = 0; k < index; k++)
        if (!strcmp(plugin->parameters[k].key, p->key))
            return dipp_fail(error, DIPP_E_PLUGIN,
                             "parameter \"%s\": expected one row of that key, found rows %u and %u", p->key,
                             (unsigned)k, (unsigned)index);
    if (p->type < DIPP_TYPE_BOOL || p->type > DIPP_TYPE_STRING_LIST)
        return dipp_fail(error, DIPP_E_PLUGIN, "parameter \"%s\": expected a type from %d to %d, found %d", p->key,
                         DIPP_TYPE_BOOL, DIPP_TYPE_STRING_LIST, (int)p->type);
    uint32_t known = DIPP_PARAMETER_REQUIRED | DIPP_PARAMETER_OPTIONAL | DIPP_PARAMETER_STRUCTURAL |
                     DIPP_PARAMETER_LIVE | DIPP_PARAMETER_FROM_PIPELINE | DIPP_PARAMETER_NOT_WITH_PIPELINE;
    if (p->flags & ~known)
        return dipp_fail(error, DIPP_E_PLUGIN, "parameter \"%s\": expected flags within 0x%x, found 0x%x", p->key,
                         (unsigned)known, (unsigned)p->flags);
    unsigned ways =
        (p->default_text != NULL) + !!(p->flags & DIPP_PARAMETER_REQUIRED) + !!(p->flags & DIPP_PARAMETER_OPTIONAL);
    if (ways != 1)
        return dipp_fail(error, DIPP_E_PLUGIN,
                         "parameter \"%s\": expected exactly one of default_text, REQUIRED and OPTIONAL, found %u",
                         p->key, ways);
    if (!(p->minimum <= p->maximum))
        return dipp_fail(error, DIPP_E_PLUGIN, "parameter \"%s\": expected minimum <= maximum, found %g and %g", p->key,
                         p->minimum, p->maximum);
    if (p->type == DIPP_TYPE_ENUM && (!p->choices || !p->choices[0]))
        return dipp_fail(error, DIPP_E_PLUGIN, "parameter \"%s\": expected choices for an enum, found none", p->key);
    if (!p->help || !p->help[0])
        return dipp_fail(error, DIPP_E_PLUGIN, "parameter \"%s\": expected a sentence of help, found none", p->key);
    return DIPP_OK;
}

static dipp_status check_one(const dipp_plugin *plugin, dipp_error *error)
{
    if (plugin->abi_major != DIPP_ABI_MAJOR)
        return dipp_fail(error, DIPP_E_PLUGIN, "ABI: expected major version %d, found %u.%u; rebuild it with this dipp",
                         DIPP_ABI_MAJOR, plugin->abi_major, plugin->abi_minor);
    if (plugin->abi_minor > DIPP_ABI_MINOR)
        return dipp_fail(error, DIPP_E_PLUGIN, "ABI: expected at most %d.%d, found %u.%u; it needs a newer dipp",
                         DIPP_ABI_MAJOR, DIPP_ABI_MINOR, plugin->abi_major, plugin->abi_minor);
    dipp_status status =
        check_size("dipp_plugin", plugin->struct_size, BYTES_THROUGH(dipp_plugin, vtable), sizeof *plugin, error);
    if (status)
        return status;
    if (!plugin->build_tag || strcmp(plugin->build_tag, DIPP_BUILD_TAG))
        return dipp_fail(error, DIPP_E_PLUGIN, "build tag: expected \"%s\", found \"%.80s\"; rebuild it with this dipp",
                         DIPP_BUILD_TAG, plugin->build_tag ? plugin->build_tag : "NULL");
    if (plugin->kind < DIPP_PLUGIN_GENERATOR || plugin->kind > DIPP_PLUGIN_REWARD)
        return dipp_fail(error, DIPP_E_PLUGIN, "kind: expected 1 (generator), 2 (reference) or 3 (reward), found %d",
                         (int)plugin->kind);
    if (!plugin->name || !word(plugin->name, DIPP_PLUGIN_NAME_BYTES, "_-"))
        return dipp_fail(error, DIPP_E_PLUGIN, "name: expected [a-z0-9_-]+ below %d bytes, found \"%.80s\"",
                         DIPP_PLUGIN_NAME_BYTES, plugin->name ? plugin->name : "NULL");
    if (!plugin->version || !plugin->version[0] || !plugin->licence || !plugin->licence[0] || !plugin->summary ||
        strchr(plugin->summary, '\n'))
        return dipp_fail(
            error, DIPP_E_PLUGIN, "plugin \"%s\": expected a version, a licence and a summary of one line, found %s",
            plugin->name, plugin->version && plugin->licence && plugin->summary ? "an empty or longer one" : "NULL");
    if (plugin->parameter_count && !plugin->parameters)
        return dipp_fail(error, DIPP_E_PLUGIN, "plugin \"%s\": expected %u parameters, found NULL", plugin->name,
                         (unsigned)plugin->parameter_count);
    for (uint32_t i = 0; i < plugin->parameter_count; i++)
        if (check_parameter(plugin, i, error))
            return dipp_error_context(error, "plugin \"%s\"", plugin->name);
    return check_vtable(plugin, error);
}

dipp_status dipp_plugin_check(const dipp_plugin *const *list, uint32_t count, dipp_error *error)
{
    if (!list || !count)
        return dipp_fail(error, DIPP_E_PLUGIN, "%s: expected at least one descriptor, found %s", DIPP_PLUGIN_ENTRY_NAME,
                         list ? "a count of 0" : "NULL");
    for (uint32_t i = 0; i < count; i++) {
        if (!list[i])
            return dipp_fail(error, DIPP_E_PLUGIN, "descriptor %u of %u: expected an address, found NULL", (unsigned)i,
                             (unsigned)count);
        dipp_status status = check_one(list[i], error);
        if (status)
            return status;
        for (uint32_t k = 0; k < i; k++)
            if (list[k]->kind == list[i]->kind && !strcmp(list[k]->name, list[i]->name))
                return dipp_fail(error, DIPP_E_PLUGIN,
                                 "%s \"%s\": expected once in a file, found as descriptors %u and %u",
                                 dipp_plugin_kind_name(list[i]->kind), list[i]->name, (unsigned)k, (unsigned)i);
    }
    return DIPP_OK;
}
