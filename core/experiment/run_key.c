#include "experiment/run_key.h"

#include <dipp/nn.h>

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "evaluate/evaluation.h"
#include "experiment/run_preferences.h"
#include "experiment/run_settings.h"
#include "experiment/run_start.h"
#include "experiment/run_weights.h"
#include "weights/weights.h"

#include <stdio.h>
#include <string.h>

typedef struct known_file {
    char *path;
    char sha256[DIPP_SHA256_HEX_BYTES];
} known_file;

struct dipp_run_keys {
    dipp_plugins *plugins;
    known_file *files;
    size_t file_count, file_capacity;
    char *world_text; /* the options of the world that was drawn last */
    uint64_t fingerprint;
};

dipp_status dipp_run_keys_create(dipp_plugins *plugins, dipp_run_keys **out, dipp_error *error)
{
    dipp_run_keys *keys = dipp_allocate_zeroed(1, sizeof *keys);
    if (!keys)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for the keys of runs");
    keys->plugins = plugins;
    *out = keys;
    return DIPP_OK;
}

void dipp_run_keys_destroy(dipp_run_keys **keys)
{
    if (!keys || !*keys)
        return;
    for (size_t i = 0; i < (*keys)->file_count; i++)
        dipp_release((*keys)->files[i].path);
    dipp_release((*keys)->files);
    dipp_release((*keys)->world_text);
    dipp_release(*keys);
    *keys = NULL;
}

typedef enum hashed_as {
    AS_FILE,
    AS_WEIGHTS,    /* an index of several files counts by all of them */
    AS_PREFERENCES /* with the pictures that it names */
} hashed_as;

/* config: of preferences, which it says how to read. */
static dipp_status hash_file(dipp_run_keys *keys, const char *path, hashed_as as, const dipp_config *config,
                             const char **sha256, dipp_error *error)
{
    for (size_t i = 0; i < keys->file_count; i++)
        if (!strcmp(keys->files[i].path, path)) {
            *sha256 = keys->files[i].sha256;
            return DIPP_OK;
        }
    if (!dipp_grow((void **)&keys->files, &keys->file_capacity, keys->file_count + 1, sizeof *keys->files))
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for the hash of %s", path);
    known_file *file = &keys->files[keys->file_count];
    dipp_status status = as == AS_WEIGHTS ? dipp_weights_sha256(path, file->sha256, error)
                         : as == AS_FILE  ? dipp_sha256_file(path, file->sha256, error)
                                          : dipp_run_preferences_sha256(config, path, file->sha256, error);
    if (status != DIPP_OK)
        return status;
    file->path = dipp_string_copy(path);
    if (!file->path)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for the hash of %s", path);
    keys->file_count++;
    *sha256 = file->sha256;
    return DIPP_OK;
}

/* A file of a folder (taken over), if it is there. */
static dipp_status add_folder_file(dipp_run_keys *keys, const char *name, char *file, size_t *found, dipp_text *text,
                                   dipp_error *error)
{
    const char *sha256 = NULL;
    dipp_status status = file ? DIPP_OK : dipp_fail(error, DIPP_E_MEMORY, "no memory for the key of a run");
    if (file && dipp_path_exists(file) && !dipp_path_is_directory(file)) {
        status = hash_file(keys, file, AS_WEIGHTS, NULL, &sha256, error);
        dipp_text_printf(text, " %s %s", name, sha256 ? sha256 : "");
        ++*found;
    }
    dipp_release(file);
    return status;
}

/* A folder for its descriptions: each that is there, by its content. A generator reads the first few. */
static dipp_status add_pipeline(dipp_run_keys *keys, const dipp_config_value *value, dipp_text *text, dipp_error *error)
{
    bool generator = !strncmp(value->key, "generator.", 10);
    int count = generator ? (int)DIPP_PIPELINE_GENERATOR_FILES : (int)DIPP_PIPELINE_FILES;
    char path[DIPP_PIPELINE_PATH_BYTES];
    size_t found = 0;
    for (int i = 0; i < count; i++) {
        const char *sha256 = NULL;
        if (!dipp_pipeline_file(value->text, (dipp_pipeline_part)i, path, sizeof path))
            continue;
        dipp_status status = hash_file(keys, path, AS_FILE, NULL, &sha256, error);
        if (status != DIPP_OK)
            return dipp_error_context(error, "%s", value->key);
        dipp_text_printf(text, " %d %s", i, sha256);
        found++;
    }
    return found ? DIPP_OK
                 : dipp_fail(error, DIPP_E_NOT_FOUND,
                             "%s: the folder %s holds nothing that diffusers writes, not unet/config.json nor "
                             "transformer/config.json",
                             value->key, value->text);
}

/* A file counts by its content; a folder by the files in it that dipp reads; preferences by their pictures too. */
static dipp_status add_path(dipp_run_keys *keys, const dipp_config *config, const dipp_config_value *value,
                            dipp_text *text, dipp_error *error)
{
    static const char *const names[] = {"model", "generator", "ta", DIPP_GENERATOR_ADAPTER, DIPP_TA_ADAPTER};
    static const char *const parts[DIPP_WEIGHTS_PARTS] = {"network", "autoencoder", "text"};
    const char *sha256 = NULL;
    dipp_status status = DIPP_OK;
    dipp_text_printf(text, "\n%s", value->key);
    if (!dipp_path_exists(value->text))
        return dipp_fail(error, DIPP_E_NOT_FOUND,
                         "%s: there is no file or folder %s (paths are relative to where dipp is started)", value->key,
                         value->text);
    bool preferences = !strncmp(value->key, "preferences.", 12);
    if (preferences || !dipp_path_is_directory(value->text)) {
        status = hash_file(keys, value->text, preferences ? AS_PREFERENCES : AS_FILE, config, &sha256, error);
        if (status != DIPP_OK)
            return dipp_error_context(error, "%s", value->key);
        dipp_text_printf(text, " %s", sha256);
        return DIPP_OK;
    }
    if (dipp_run_weights_key_describes(value->key))
        return add_pipeline(keys, value, text, error);
    size_t found = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names && status == DIPP_OK; i++)
        status = add_folder_file(keys, names[i], dipp_run_weights_file(value->text, names[i]), &found, text, error);
    bool pipeline = dipp_run_weights_is_pipeline(value->text);
    for (int i = 0; i < DIPP_WEIGHTS_PARTS && pipeline && status == DIPP_OK; i++)
        status = add_folder_file(keys, parts[i], dipp_run_weights_part(value->text, (dipp_weights_part)i), &found, text,
                                 error);
    if (status == DIPP_OK && !found)
        return dipp_fail(error, DIPP_E_NOT_FOUND,
                         "%s: the folder %s holds none of model.safetensors, generator.safetensors, ta.safetensors, "
                         "the adapters of the latter two, nor a pipeline's unet/, transformer/ or vae/ with weights",
                         value->key, value->text);
    return status;
}

static dipp_status add_world(dipp_run_keys *keys, const dipp_cell *cell, dipp_text *text, dipp_error *error)
{
    dipp_text options_text = {0};
    for (size_t i = 0; i < cell->value_count; i++)
        if (!strncmp(cell->values[i].key, "world.", 6))
            dipp_text_printf(&options_text, "%s=%s\n", cell->values[i].key, cell->values[i].text);
    char *wanted = dipp_text_finish(&options_text);
    if (!wanted)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for the key of a run");
    if (!keys->world_text || strcmp(keys->world_text, wanted)) {
        dipp_emoji_world_options options;
        dipp_emoji_world *world = NULL;
        dipp_run_world_options(cell->config, &options);
        dipp_status status = dipp_emoji_world_create(&options, &world, error);
        if (status != DIPP_OK) {
            dipp_release(wanted);
            return status;
        }
        keys->fingerprint = dipp_emoji_world_fingerprint(world);
        dipp_emoji_world_destroy(&world);
        dipp_release(keys->world_text);
        keys->world_text = wanted;
        wanted = NULL;
    }
    dipp_release(wanted);
    dipp_text_printf(text, "\nworld %016llx", (unsigned long long)keys->fingerprint);
    return DIPP_OK;
}

/* "reference.plugin", "rewards[0].plugin", ...: which kind of plugin a key names; 0 for other keys. */
static dipp_plugin_kind kind_of_key(const char *key)
{
    size_t length = strlen(key);
    if (length < 7 || strcmp(key + length - 7, ".plugin"))
        return 0;
    return !strcmp(key, "generator.plugin")                                      ? DIPP_PLUGIN_GENERATOR
           : !strcmp(key, "reference.plugin") || !strcmp(key, "align.ta.plugin") ? DIPP_PLUGIN_REFERENCE
                                                                                 : DIPP_PLUGIN_REWARD;
}

static dipp_status add_plugin(dipp_run_keys *keys, const char *key, dipp_plugin_kind kind, const char *name,
                              dipp_text *text, dipp_error *error)
{
    const dipp_loaded_plugin *loaded = NULL;
    dipp_status status = dipp_plugins_find(keys->plugins, kind, name, &loaded, error);
    if (status == DIPP_OK)
        dipp_text_printf(text, "\n%s %s %s", key, name, loaded->descriptor->version);
    return status;
}

/* Reward plugins that are named as metrics or judges: their scores are part of what a run leaves, as those of
 * evaluate.scorers are. A name that is neither built in nor found is left to the evaluation, whose message lists the names
 * there are. */
static dipp_status add_metrics(dipp_run_keys *keys, const dipp_cell *cell, const char *list, dipp_text *text,
                               dipp_error *error)
{
    const dipp_yaml_node *names = dipp_config_node(cell->config, list);
    dipp_status status = DIPP_OK;
    for (size_t i = 0; names && i < names->count && status == DIPP_OK; i++) {
        const char *name = names->items[i]->text;
        dipp_metric_kind built_in;
        if (dipp_metric_by_name(name, &built_in) || !strcmp(name, "ikl"))
            continue;
        if (dipp_plugins_find(keys->plugins, DIPP_PLUGIN_REWARD, name, &(const dipp_loaded_plugin *){NULL}, NULL) !=
            DIPP_E_NOT_FOUND)
            status = add_plugin(keys, list, DIPP_PLUGIN_REWARD, name, text, error);
    }
    return status;
}

dipp_status dipp_run_keys_of(dipp_run_keys *keys, const dipp_cell *cell, char out[DIPP_SHA256_HEX_BYTES],
                             dipp_error *error)
{
    dipp_text text = {0};
    dipp_status status = DIPP_OK;
    dipp_text_append(&text, cell->key_json);
    for (size_t i = 0; i < cell->value_count && status == DIPP_OK; i++) {
        const dipp_config_value *value = &cell->values[i];
        dipp_plugin_kind kind = kind_of_key(value->key);
        if (kind) {
            status = add_plugin(keys, value->key, kind, value->text, &text, error);
        } else if (!strcmp(value->type, "path") && strcmp(value->key, "output") && strncmp(value->key, "world.", 6)) {
            status = add_path(keys, cell->config, value, &text, error);
        }
    }
    if (status == DIPP_OK)
        status = add_metrics(keys, cell, "evaluate.metrics", &text, error);
    if (status == DIPP_OK)
        status = add_metrics(keys, cell, "monitor.judges", &text, error);
    if (status == DIPP_OK && dipp_run_needs_world(cell->config))
        status = add_world(keys, cell, &text, error);
    if (status == DIPP_OK && text.failed)
        status = dipp_fail(error, DIPP_E_MEMORY, "no memory for the key of a run");
    if (status == DIPP_OK)
        dipp_sha256_hex(text.data, text.length, out);
    dipp_text_discard(&text);
    return status;
}
