/* The set of plugins of a run: every file in the search path, probed and listed; the ones asked for, loaded. */
#include "plugin/plugin_host.h"

#include "base/memory.h"
#include "base/text.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One entry; entries of one file share its number. Allocated one by one so that they stay in place. */
typedef struct record {
    dipp_plugin_listing listing;
    char *texts[6]; /* what the listing's pointers point to */
    size_t file;
    dipp_loaded_plugin loaded; /* descriptor NULL until loaded */
} record;

struct dipp_plugins {
    record **records;
    size_t count, capacity;
    size_t files;
    uint32_t timeout_ms;
};

static record *append(dipp_plugins *plugins, dipp_plugin_state state, const char *path, const char *reason)
{
    if (!dipp_grow((void **)&plugins->records, &plugins->capacity, plugins->count + 1, sizeof(record *)))
        return NULL;
    record *r = dipp_allocate_zeroed(1, sizeof *r);
    if (!r)
        return NULL;
    plugins->records[plugins->count++] = r;
    r->file = plugins->files;
    r->texts[0] = dipp_string_copy(path);
    r->texts[1] = dipp_string_copy(reason ? reason : "");
    r->listing = (dipp_plugin_listing){.state = state,
                                       .name = "",
                                       .version = "",
                                       .licence = "",
                                       .summary = "",
                                       .path = r->texts[0],
                                       .reason = r->texts[1]};
    return r->texts[0] && r->texts[1] ? r : NULL;
}

static const dipp_plugin_listing *first_of(const dipp_plugins *plugins, dipp_plugin_kind kind, const char *name)
{
    for (size_t i = 0; i < plugins->count; i++) {
        const dipp_plugin_listing *l = &plugins->records[i]->listing;
        if (l->state == DIPP_PLUGIN_USABLE && l->kind == kind && !strcmp(l->name, name))
            return l;
    }
    return NULL;
}

static const char *keep(record *r, int slot, const json_t *object, const char *key)
{
    r->texts[slot] = dipp_string_copy(json_string_value(json_object_get(object, key)));
    return r->texts[slot];
}

/* Entries for the plugins that a description names. The child that wrote it has checked it. */
static dipp_status list_description(dipp_plugins *plugins, const char *path, const char *sha256, const char *json,
                                    dipp_error *error)
{
    json_t *root = json_loads(json, 0, NULL);
    json_t *array = json_object_get(root, "plugins");
    dipp_status status = DIPP_OK;
    for (size_t i = 0; !status && i < json_array_size(array); i++) {
        json_t *one = json_array_get(array, i);
        dipp_plugin_kind kind = 0;
        const char *kind_name = json_string_value(json_object_get(one, "kind"));
        for (dipp_plugin_kind k = DIPP_PLUGIN_GENERATOR; k <= DIPP_PLUGIN_REWARD; k++)
            if (kind_name && !strcmp(kind_name, dipp_plugin_kind_name(k)))
                kind = k;
        const char *name = json_string_value(json_object_get(one, "name"));
        const dipp_plugin_listing *earlier = name ? first_of(plugins, kind, name) : NULL;
        char reason[DIPP_ERROR_MESSAGE_BYTES] = "";
        if (earlier)
            snprintf(reason, sizeof reason, "shadowed by %s", earlier->path);
        record *r = append(plugins, earlier ? DIPP_PLUGIN_SHADOWED : DIPP_PLUGIN_USABLE, path, reason);
        if (r) {
            r->listing.kind = kind;
            r->listing.name = keep(r, 2, one, "name");
            r->listing.version = keep(r, 3, one, "version");
            r->listing.licence = keep(r, 4, one, "licence");
            r->listing.summary = keep(r, 5, one, "summary");
            memcpy(r->listing.sha256, sha256, sizeof r->listing.sha256);
        }
        if (!r || !r->listing.name || !r->listing.version || !r->listing.licence || !r->listing.summary)
            status = dipp_fail(error, DIPP_E_MEMORY, "no memory for the list of plugins");
    }
    json_decref(root);
    return status;
}

/* A file becomes entries, or one broken entry; only a lack of memory is an error. */
static dipp_status add_file(dipp_plugins *plugins, const char *path, dipp_error *error)
{
    char *real = NULL, *json = NULL, sha256[DIPP_SHA256_HEX_BYTES] = "";
    dipp_error why = {0};
    plugins->files++;
    dipp_status status = dipp_plugin_file_check(path, &real, &why);
    if (!status) {
        for (size_t i = 0; i < plugins->count; i++)
            if (plugins->records[i]->listing.state != DIPP_PLUGIN_IGNORED &&
                !strcmp(plugins->records[i]->listing.path, real)) {
                dipp_release(real); /* named twice: by a link, or as a file and by its folder */
                return DIPP_OK;
            }
        status = dipp_sha256_file(real, sha256, &why);
    }
    if (!status)
        status = dipp_plugin_probe(real, plugins->timeout_ms, &json, &why);
    if (!status) {
        status = list_description(plugins, real, sha256, json, error);
    } else if (status == DIPP_E_MEMORY) {
        status = dipp_fail(error, DIPP_E_MEMORY, "%s", why.message);
    } else {
        record *r = append(plugins, DIPP_PLUGIN_BROKEN, real ? real : path, why.message);
        status = r ? DIPP_OK : dipp_fail(error, DIPP_E_MEMORY, "no memory for the list of plugins");
        if (r)
            memcpy(r->listing.sha256, sha256, sizeof r->listing.sha256);
    }
    dipp_release(json);
    dipp_release(real);
    return status;
}

static dipp_status ignore(dipp_plugins *plugins, const char *path, const char *why, dipp_error *error)
{
    char reason[DIPP_ERROR_MESSAGE_BYTES];
    snprintf(reason, sizeof reason, "%s: %s", path, why);
    plugins->files++;
    return append(plugins, DIPP_PLUGIN_IGNORED, path, reason)
               ? DIPP_OK
               : dipp_fail(error, DIPP_E_MEMORY, "no memory for the list of plugins");
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The *.so of a folder in the order of their names, in bytes. */
static dipp_status add_directory(dipp_plugins *plugins, const char *path, dipp_error *error)
{
    DIR *folder = opendir(path);
    if (!folder)
        return ignore(plugins, path, strerror(errno), error);
    char **names = NULL;
    size_t count = 0, capacity = 0;
    dipp_status status = DIPP_OK;
    for (struct dirent *e; !status && (e = readdir(folder));) {
        size_t length = strlen(e->d_name);
        if (length <= 3 || strcmp(e->d_name + length - 3, ".so") || e->d_name[0] == '.')
            continue;
        if (!dipp_grow((void **)&names, &capacity, count + 1, sizeof *names) ||
            !(names[count] = dipp_allocate(strlen(path) + length + 2)))
            status = dipp_fail(error, DIPP_E_MEMORY, "no memory for the files of %s", path);
        else
            sprintf(names[count++], "%s/%s", strcmp(path, "/") ? path : "", e->d_name);
    }
    closedir(folder);
    if (count)
        qsort(names, count, sizeof *names, by_name);
    for (size_t i = 0; i < count; i++) {
        if (!status)
            status = add_file(plugins, names[i], error);
        dipp_release(names[i]);
    }
    dipp_release(names);
    return status;
}

dipp_status dipp_plugins_open(const dipp_plugins_options *options, dipp_plugins **out, dipp_error *error)
{
    dipp_plugins_options defaults = {0};
    options = options ? options : &defaults;
    dipp_plugin_place *places = NULL;
    size_t count = 0;
    dipp_status status = dipp_plugin_places(options, &places, &count, error);
    if (status)
        return status;
    dipp_plugins *plugins = dipp_allocate_zeroed(1, sizeof *plugins);
    if (!plugins)
        status = dipp_fail(error, DIPP_E_MEMORY, "no memory for the list of plugins");
    else
        plugins->timeout_ms = options->probe_timeout_ms ? options->probe_timeout_ms : DIPP_PROBE_TIMEOUT_MS;
    for (size_t i = 0; !status && i < count; i++) {
        if (places[i].reason) {
            status = ignore(plugins, places[i].path, places[i].reason, error);
        } else {
            status = places[i].is_file ? add_file(plugins, places[i].path, error)
                                       : add_directory(plugins, places[i].path, error);
        }
    }
    dipp_plugin_places_release(places, count);
    if (status)
        dipp_plugins_destroy(&plugins);
    else
        *out = plugins;
    return status;
}

void dipp_plugins_destroy(dipp_plugins **plugins)
{
    if (!plugins || !*plugins)
        return;
    for (size_t i = 0; i < (*plugins)->count; i++) {
        record *r = (*plugins)->records[i];
        for (size_t k = 0; k < sizeof r->texts / sizeof *r->texts; k++)
            dipp_release(r->texts[k]);
        dipp_release(r);
    }
    dipp_release((*plugins)->records);
    dipp_release(*plugins);
    *plugins = NULL;
}

size_t dipp_plugins_count(const dipp_plugins *plugins)
{
    return plugins->count;
}

const dipp_plugin_listing *dipp_plugins_at(const dipp_plugins *plugins, size_t index)
{
    return index < plugins->count ? &plugins->records[index]->listing : NULL;
}

/* The message for a plugin that nobody has: what there is, what was probably meant, and what was refused and why. */
static void report_missing(const dipp_plugins *plugins, dipp_plugin_kind kind, const char *name, dipp_error *error)
{
    dipp_text text = {0};
    dipp_text_printf(&text, "no %s plugin is called \"%s\"", dipp_plugin_kind_name(kind), name);
    const char **names = dipp_allocate((plugins->count + 1) * sizeof *names);
    size_t known = 0;
    for (size_t i = 0; names && i < plugins->count; i++) {
        const dipp_plugin_listing *l = &plugins->records[i]->listing;
        if (l->state == DIPP_PLUGIN_USABLE && l->kind == kind)
            names[known++] = l->name;
    }
    const char *nearest = names ? dipp_nearest_word(name, names, known) : NULL;
    if (nearest)
        dipp_text_printf(&text, "; did you mean \"%s\"?", nearest);
    dipp_text_append(&text, "\n  there ");
    dipp_text_append(&text, known == 1 ? "is"
                            : known    ? "are"
                                       : "are none; say where with --plugin-dir DIR or DIPP_PLUGIN_PATH");
    for (size_t i = 0; i < known; i++)
        dipp_text_printf(&text, "%s%s", i ? ", " : ": ", names[i]);
    for (size_t i = 0; i < plugins->count; i++) {
        const dipp_plugin_listing *l = &plugins->records[i]->listing;
        if (l->state == DIPP_PLUGIN_BROKEN)
            dipp_text_printf(&text, "\n  refused: %s", l->reason);
        else if (l->state == DIPP_PLUGIN_IGNORED)
            dipp_text_printf(&text, "\n  not searched: %s", l->reason);
    }
    char *message = dipp_text_finish(&text);
    dipp_fail(error, DIPP_E_NOT_FOUND, "%s", message ? message : "no such plugin");
    dipp_release(message);
    dipp_release(names);
}

/* Loads the file of r and fills all entries of that file. */
static dipp_status load(dipp_plugins *plugins, const record *r, dipp_error *error)
{
    const char *path = r->listing.path;
    const dipp_plugin *const *list = NULL;
    uint32_t count = 0;
    char sha256[DIPP_SHA256_HEX_BYTES] = "", *real = NULL;
    dipp_status status = dipp_plugin_file_check(path, &real, error);
    dipp_release(real);
    if (!status)
        status = dipp_sha256_file(path, sha256, error);
    if (!status && strcmp(sha256, r->listing.sha256))
        return dipp_fail(error, DIPP_E_PLUGIN,
                         "%s: expected the file that was probed (sha256 %.12s...), found another (%.12s...); "
                         "run again",
                         path, r->listing.sha256, sha256);
    if (status)
        return status;
    status = dipp_plugin_library_open(path, NULL, &list, &count, error);
    if (status)
        return error ? dipp_error_context(error, "%s", path) : status;
    for (size_t i = 0; i < plugins->count; i++) {
        record *other = plugins->records[i];
        for (uint32_t k = 0; other->file == r->file && k < count; k++)
            if (list[k]->kind == other->listing.kind && !strcmp(list[k]->name, other->listing.name)) {
                other->loaded.path = other->listing.path;
                memcpy(other->loaded.sha256, sha256, sizeof sha256);
                other->loaded.descriptor = list[k];
            }
    }
    if (!r->loaded.descriptor)
        return dipp_fail(error, DIPP_E_PLUGIN, "%s: expected the %s \"%s\" that it described, found it gone", path,
                         dipp_plugin_kind_name(r->listing.kind), r->listing.name);
    return DIPP_OK;
}

dipp_status dipp_plugins_find(dipp_plugins *plugins, dipp_plugin_kind kind, const char *name,
                              const dipp_loaded_plugin **loaded, dipp_error *error)
{
    const dipp_plugin_listing *listing = first_of(plugins, kind, name);
    if (!listing) {
        report_missing(plugins, kind, name, error);
        return DIPP_E_NOT_FOUND;
    }
    const record *r = (const record *)listing; /* its first member */
    if (!r->loaded.descriptor) {
        dipp_status status = load(plugins, r, error);
        if (status)
            return status;
    }
    *loaded = &r->loaded;
    return DIPP_OK;
}

dipp_status dipp_plugins_parameter_table(void *context, dipp_plugin_kind kind, const char *name,
                                         const dipp_parameter **table, uint32_t *count, dipp_error *error)
{
    const dipp_loaded_plugin *loaded = NULL;
    dipp_status status = dipp_plugins_find(context, kind, name, &loaded, error);
    if (status)
        return status;
    *table = loaded->descriptor->parameters;
    *count = loaded->descriptor->parameter_count;
    return DIPP_OK;
}

const char *dipp_plugins_name(void *context, dipp_plugin_kind kind, size_t index)
{
    const dipp_plugins *plugins = context;
    for (size_t i = 0; i < plugins->count; i++) {
        const dipp_plugin_listing *l = &plugins->records[i]->listing;
        if (l->state == DIPP_PLUGIN_USABLE && l->kind == kind && index-- == 0)
            return l->name;
    }
    return NULL;
}
