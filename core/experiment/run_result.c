#include "experiment/run_result.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "experiment/run_metric_names.h"
#include "experiment/run_weights.h"
#include "experiment/yaml_edit.h"
#include "train/adapter_io.h"

#include <stdio.h>
#include <string.h>

/* One file of a result. */
typedef struct result_file {
    const char *name;
    const char *kind;    /* of its artifact: weights, best */
    const char *role;    /* which input it grew from */
    const char *section; /* of the configuration that describes its network */
    const dipp_loaded_plugin *plugin;
    const dipp_parameter_set *sets[DIPP_MODEL_SETS];
    uint32_t count;
    const dipp_overlay *overlay; /* NULL: whole networks. Else the set is its own, over frozen weights: */
    const dipp_layout *base;
    const char *base_sha256; /* of the file that they are from, or NULL */
} result_file;

static const char *input_sha256(const dipp_run_setup *setup, const char *role)
{
    for (uint32_t i = 0; i < setup->input_count; i++)
        if (!strcmp(setup->inputs[i].role, role))
            return setup->inputs[i].sha256;
    return NULL;
}

/* What it grew from: an adapter before the weights below it, and those before the reference's. */
static const char *parent_of(const dipp_run_setup *setup, const char *role)
{
    char adapter[24];
    snprintf(adapter, sizeof adapter, "%s.adapter", role);
    const char *parent = input_sha256(setup, adapter);
    if (!parent)
        parent = input_sha256(setup, role);
    return parent ? parent : input_sha256(setup, "reference");
}

static dipp_status write_file(const dipp_run_setup *setup, dipp_run_record *record, const result_file *file,
                              int64_t seed, int64_t step, int64_t images_seen, dipp_error *error)
{
    char key[48], seed_text[24], step_text[24], images_text[24];
    const char *parent = parent_of(setup, file->role);
    snprintf(key, sizeof key, "%s.params", file->section);
    snprintf(seed_text, sizeof seed_text, "%lld", (long long)seed);
    snprintf(step_text, sizeof step_text, "%lld", (long long)step);
    snprintf(images_text, sizeof images_text, "%lld", (long long)images_seen);
    dipp_text json = {0};
    const dipp_yaml_node *node = dipp_config_node(setup->config, key);
    if (node)
        dipp_yaml_write_json(&json, node, false);
    else
        dipp_text_append(&json, "{}");
    char *path = dipp_run_record_path(record, file->name);
    char *params = dipp_text_finish(&json);
    dipp_status status = DIPP_OK;
    if (path && params) {
        const char *metadata[15] = {"dipp.plugin",      file->plugin->descriptor->name,
                                    "dipp.params",      params,
                                    "dipp.seed",        seed_text,
                                    "dipp.step",        step_text,
                                    "dipp.images_seen", images_text};
        const char **next = metadata + 10; /* the rest is NULL, which ends the pairs */
        if (parent)
            *next++ = "dipp.parent", *next++ = parent;
        if (file->base_sha256)
            *next++ = "dipp.base_sha256", *next++ = file->base_sha256;
        status = file->overlay
                     ? dipp_adapter_write(path, file->sets[0], &file->overlay->lora, file->base, metadata, error)
                     : dipp_weights_write_sets(path, file->sets, file->count, false, metadata, error);
    } else {
        status = dipp_fail(error, DIPP_E_MEMORY, "no memory to write %s", file->name);
    }
    dipp_release(path);
    dipp_release(params);
    return status == DIPP_OK ? dipp_run_record_weights(record, step, file->kind, file->name, parent, error) : status;
}

uint32_t dipp_run_result_sets(const dipp_run_setup *setup, bool average, dipp_parameter_set *sets[DIPP_MODEL_SETS])
{
    const dipp_models *models = setup->models;
    if (setup->autoencoder) {
        sets[0] = average ? models->decoder_ema : models->decoder_set;
        return 1;
    }
    sets[0] = average ? models->reference_ema : models->reference_set;
    sets[1] = average ? models->text_ema : models->text_set;
    sets[2] = models->decoder_set;
    return 3;
}

/* A file of the generator's trained set, yet without a name. */
static result_file generator_file(const dipp_run_setup *setup, const char *kind, const dipp_parameter_set *set)
{
    const dipp_models *models = setup->models;
    bool adapted = models->generator_overlay.layout;
    return (result_file){.kind = kind,
                         .role = "generator",
                         .section = "generator",
                         .plugin = setup->generator,
                         .sets = {set},
                         .count = 1,
                         .overlay = adapted ? &models->generator_overlay : NULL,
                         .base = models->generator_layout,
                         .base_sha256 = adapted ? setup->generator_base : NULL};
}

dipp_status dipp_run_result_write(const dipp_run_setup *setup, dipp_run_record *record, int64_t seed, int64_t step,
                                  int64_t images_seen, dipp_error *error)
{
    const dipp_models *models = setup->models;
    bool average = dipp_run_averages(setup->config);
    result_file files[3];
    size_t count = 0;
    if (setup->trainee) {
        dipp_parameter_set *trained = average ? setup->trainee->average : setup->trainee->reward.set;
        result_file file = {.name = "model.safetensors",
                            .kind = "weights",
                            .role = "reward",
                            .section = "reward",
                            .plugin = setup->reward,
                            .sets = {trained},
                            .count = 1};
        files[count++] = file;
    } else if (setup->pretrain) {
        dipp_parameter_set *sets[DIPP_MODEL_SETS];
        result_file *file = &files[count++];
        *file = (result_file){.name = "model.safetensors",
                              .kind = "weights",
                              .role = setup->autoencoder ? "decoder" : "reference",
                              .section = "reference",
                              .plugin = setup->reference};
        file->count = dipp_run_result_sets(setup, average, sets);
        for (uint32_t i = 0; i < file->count; i++)
            file->sets[i] = sets[i];
    } else {
        dipp_trained theta = dipp_trained_generator(models), psi = dipp_trained_ta(models);
        bool adapted = models->generator_overlay.layout, ta_adapted = models->ta_overlay.layout;
        result_file generator = generator_file(setup, "weights", average ? theta.average : theta.set);
        generator.name = adapted ? DIPP_GENERATOR_ADAPTER ".safetensors" : "generator.safetensors";
        files[count++] = generator;
        generator.name = adapted ? DIPP_GENERATOR_ADAPTER_RAW ".safetensors" : "generator-raw.safetensors";
        generator.sets[0] = theta.set;
        if (average)
            files[count++] = generator;
        result_file teacher = {.name = ta_adapted ? DIPP_TA_ADAPTER ".safetensors" : "ta.safetensors",
                               .kind = "weights",
                               .role = "ta",
                               .section = setup->ta ? "align.ta" : "reference",
                               .plugin = setup->ta ? setup->ta : setup->reference,
                               .sets = {psi.set},
                               .count = 1,
                               .overlay = ta_adapted ? &models->ta_overlay : NULL,
                               .base = models->ta_layout,
                               .base_sha256 = ta_adapted ? setup->ta_base : NULL};
        files[count++] = teacher;
    }
    dipp_status status = DIPP_OK;
    for (size_t i = 0; i < count && status == DIPP_OK; i++)
        status = write_file(setup, record, &files[i], seed, step, images_seen, error);
    return status;
}

dipp_status dipp_run_result_write_best(const dipp_run_setup *setup, dipp_run_record *record, bool average, int64_t seed,
                                       int64_t step, int64_t images_seen, dipp_error *error)
{
    dipp_trained theta = dipp_trained_generator(setup->models);
    result_file file = generator_file(setup, "best", average ? theta.average : theta.set);
    file.name = file.overlay ? "best-lora.safetensors" : "best.safetensors";
    return write_file(setup, record, &file, seed, step, images_seen, error);
}

dipp_status dipp_run_result_read_generator(const dipp_run_setup *setup, const char *folder, bool raw,
                                           dipp_parameter_set *set, dipp_error *error)
{
    const dipp_overlay *overlay = &setup->models->generator_overlay;
    if (!overlay->layout)
        return dipp_weights_read_sets(folder, raw ? "generator-raw" : "generator", &set, 1, error);
    char *file = dipp_run_weights_file(folder, raw ? DIPP_GENERATOR_ADAPTER_RAW : DIPP_GENERATOR_ADAPTER);
    dipp_status status = file ? dipp_run_check_adapter_base(file, setup->generator_base, error)
                              : dipp_fail(error, DIPP_E_MEMORY, "no memory to read a result");
    if (status == DIPP_OK)
        status = dipp_adapter_read(file, set, &overlay->lora, error);
    dipp_release(file);
    return status;
}

/* ---- Rows of what it starts from ---- */

static dipp_status put_plugin(dipp_run_record *record, const char *kind, const dipp_loaded_plugin *loaded,
                              const char *weights_sha256, int64_t *id, dipp_error *error)
{
    dipp_plugin_record row = {.kind = kind,
                              .name = loaded->descriptor->name,
                              .version = loaded->descriptor->version,
                              .abi = loaded->descriptor->abi_major,
                              .sha256 = loaded->sha256,
                              .weights_sha256 = weights_sha256,
                              .path = loaded->path};
    return dipp_store_plugin_put(record->store, &row, id, error);
}

/* params: the section of the plugin's parameters. */
static void name_reward(const dipp_run_setup *setup, const char *plugin, const char *params,
                        const dipp_scorer_files *files, char name[DIPP_METRIC_NAME_BYTES])
{
    if (dipp_metric_is_published(plugin))
        dipp_metric_name_of(plugin, dipp_config_parameters(setup->config, params), files, name);
    else
        snprintf(name, DIPP_METRIC_NAME_BYTES, "%s", plugin);
}

/* What a reward's scores are called, and the hash of all its files, "" without any: as of a scorer. */
static void describe_reward(const dipp_run_setup *setup, uint32_t index, char name[DIPP_METRIC_NAME_BYTES],
                            char sha256[DIPP_SHA256_HEX_BYTES])
{
    char key[48];
    const char *digest;
    dipp_scorer_files files = {.file = NULL};
    snprintf(key, sizeof key, "rewards[%u].weights", index);
    files.weights = dipp_config_string(setup->config, key);
    snprintf(key, sizeof key, "rewards[%u].head_weights", index);
    files.head = dipp_config_string(setup->config, key);
    snprintf(key, sizeof key, "reward[%u]", index);
    if ((digest = input_sha256(setup, key)) != NULL)
        snprintf(files.weights_sha256, sizeof files.weights_sha256, "%s", digest);
    snprintf(key, sizeof key, "reward[%u].head", index);
    if ((digest = input_sha256(setup, key)) != NULL)
        snprintf(files.head_sha256, sizeof files.head_sha256, "%s", digest);
    dipp_scorer_files_sha256(&files, sha256);
    snprintf(key, sizeof key, "rewards[%u].params", index);
    name_reward(setup, setup->rewards[index]->descriptor->name, key, &files, name);
}

dipp_status dipp_run_result_inputs(const dipp_run_setup *setup, dipp_run_record *record, const char *experiment,
                                   dipp_error *error)
{
    dipp_run_plugin rows[3 + DIPP_MAX_REWARDS] = {{0}};
    size_t count = 0;
    dipp_status status = DIPP_OK;
    for (uint32_t i = 0; i < setup->input_count && status == DIPP_OK; i++) {
        const dipp_run_input *input = &setup->inputs[i];
        dipp_weights_record weights = {.sha256 = input->sha256, .path = input->path, .bytes = input->bytes};
        status = dipp_store_weights_put(record->store, &weights, error);
        if (status == DIPP_OK)
            status = dipp_store_run_weights_put(record->store, record->run_id, input->role, input->sha256, error);
    }
    const struct {
        const char *role, *kind;
        const dipp_loaded_plugin *loaded;
    } parts[] = {{"reference", "reference", setup->reference},
                 {"generator", "generator", setup->generator},
                 {"ta", "reference", setup->ta}};
    for (size_t i = 0; i < 3 && status == DIPP_OK; i++)
        if (parts[i].loaded) {
            rows[count].role = parts[i].role;
            status = put_plugin(record, parts[i].kind, parts[i].loaded, input_sha256(setup, parts[i].role),
                                &rows[count].plugin_id, error);
            count++;
        }
    char names[DIPP_MAX_REWARDS][DIPP_METRIC_NAME_BYTES];
    if (status == DIPP_OK && setup->trainee) {
        const dipp_scorer_files result = {.weights = experiment};
        name_reward(setup, setup->reward->descriptor->name, "reward.params", &result, names[0]);
        rows[count] = (dipp_run_plugin){.role = "reward", .metric = names[0]};
        status =
            put_plugin(record, "reward", setup->reward, input_sha256(setup, "reward"), &rows[count].plugin_id, error);
        count++;
    }
    for (uint32_t i = 0; setup->models && i < setup->models->reward_count && status == DIPP_OK; i++) {
        char key[32], sha256[DIPP_SHA256_HEX_BYTES];
        snprintf(key, sizeof key, "rewards[%u].scale", i);
        describe_reward(setup, i, names[i], sha256);
        rows[count] = (dipp_run_plugin){
            .role = "reward", .position = (int)i, .metric = names[i], .scale = dipp_config_float(setup->config, key)};
        status =
            put_plugin(record, "reward", setup->rewards[i], *sha256 ? sha256 : NULL, &rows[count].plugin_id, error);
        count++;
    }
    return status == DIPP_OK ? dipp_store_run_plugins_put(record->store, record->run_id, rows, count, error) : status;
}

/* ---- Finding it again ---- */

static int read_path(void *user, int columns, const char *const *names, const char *const *values)
{
    *(char **)user = dipp_string_copy(values[0]);
    return 1;
}

dipp_status dipp_run_result_folder(dipp_store *store, int64_t run_id, char **folder, dipp_error *error)
{
    char id[24];
    const char *binds[] = {id};
    char *relative = NULL;
    snprintf(id, sizeof id, "%lld", (long long)run_id);
    dipp_status status = dipp_store_query(store,
                                          "SELECT path FROM artifacts WHERE run_id=CAST(?1 AS INTEGER) AND "
                                          "kind='weights' ORDER BY created_at DESC LIMIT 1",
                                          binds, 1, read_path, &relative, error);
    if (status == DIPP_OK && !relative)
        status =
            dipp_fail(error, DIPP_E_INVALID, "run %lld has no weights: only a completed run has", (long long)run_id);
    if (status != DIPP_OK)
        return status;
    char *root = dipp_path_folder(dipp_store_path(store)), *path = root ? dipp_path_join(root, relative) : NULL;
    *folder = path ? dipp_path_folder(path) : NULL;
    dipp_release(relative);
    dipp_release(root);
    dipp_release(path);
    return *folder ? DIPP_OK : dipp_fail(error, DIPP_E_MEMORY, "no memory for the run's folder");
}
