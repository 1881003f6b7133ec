#include "experiment/run_metrics.h"

#include "base/memory.h"
#include "base/text.h"
#include "experiment/parameters_json.h"
#include "experiment/run_setup.h"
#include "experiment/run_styles.h"
#include "experiment/run_weights.h"
#include "weights/published.h"

#include <stdio.h>
#include <string.h>

static dipp_status add_metric(dipp_run_metrics *metrics, const char *name, dipp_metric_kind kind, dipp_error *error)
{
    if (metrics->count == DIPP_RUN_METRICS)
        return dipp_fail(error, DIPP_E_INVALID, "more than %d metrics", DIPP_RUN_METRICS);
    for (uint32_t i = 0; i < metrics->count; i++)
        if (!strcmp(metrics->names[i], name))
            return dipp_fail(error, DIPP_E_INVALID,
                             "two metrics are called %s; give one of evaluate.scorers another name", name);
    char *copy = dipp_string_copy(name);
    if (!copy)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for the metric %s", name);
    metrics->names[metrics->count] = copy;
    metrics->metrics[metrics->count++] = (dipp_evaluation_metric){.name = copy, .kind = kind};
    return DIPP_OK;
}

static dipp_status find_reward(dipp_run_metrics *metrics, const char *key, const char *name,
                               const dipp_loaded_plugin **loaded, dipp_error *error)
{
    dipp_status status = dipp_plugins_find(metrics->plugins, DIPP_PLUGIN_REWARD, name, loaded, error);
    if (status == DIPP_E_NOT_FOUND) {
        dipp_text names = {0};
        for (int i = 0; dipp_metric_names[i]; i++)
            dipp_text_printf(&names, "%s%s", i ? ", " : "", dipp_metric_names[i]);
        dipp_error inner = *error;
        dipp_fail(error, status, "%s: `%s` is no built-in metric (%s) and no reward plugin: %.1200s", key, name,
                  names.data ? names.data : "", inner.message);
        dipp_text_discard(&names);
    }
    return status;
}

/* key: who asks, for messages. */
static dipp_status add_by_name(dipp_run_metrics *metrics, const char *key, const char *name, dipp_error *error)
{
    dipp_metric_kind kind;
    if (dipp_metric_by_name(name, &kind))
        return add_metric(metrics, name, kind, error);
    const dipp_loaded_plugin *loaded = NULL;
    dipp_status status = find_reward(metrics, key, name, &loaded, error);
    if (status == DIPP_OK && dipp_metric_is_published(name))
        return dipp_fail(error, DIPP_E_INVALID,
                         "metric %s is nothing without weights, so give it under "
                         "evaluate.scorers: [{plugin: %s, weights: FILE, params: {...}}], or to dipp eval --images "
                         "as --reward %s --weights FILE",
                         name, name, name);
    if (status == DIPP_OK)
        status = add_metric(metrics, name, DIPP_METRIC_REWARD, error);
    if (status != DIPP_OK)
        return status;
    uint32_t index = metrics->count - 1;
    status = dipp_parameters_create_from_text(loaded->descriptor->parameters, loaded->descriptor->parameter_count, NULL,
                                              0, &metrics->defaults[index], error);
    if (status != DIPP_OK)
        return dipp_error_context(error,
                                  "metric %s has parameters without a default, so give it under "
                                  "evaluate.scorers: [{plugin: %s, params: {...}}]",
                                  name, name);
    metrics->metrics[index].plugin = loaded->descriptor;
    metrics->metrics[index].parameters = metrics->defaults[index];
    return DIPP_OK;
}

enum { SECTION_BYTES = 48, KEY_BYTES = 80 };

/* KEY of a section such as evaluate.scorers[0]. */
static const char *string_in(const dipp_config *config, const char *section, const char *key)
{
    char path[KEY_BYTES];
    snprintf(path, sizeof path, "%s.%s", section, key);
    return dipp_config_string(config, path);
}

static const dipp_parameters *parameters_in(const dipp_config *config, const char *section)
{
    char path[KEY_BYTES];
    snprintf(path, sizeof path, "%s.params", section);
    return dipp_config_parameters(config, path);
}

/* who: the section or option that names the files, for messages. */
static dipp_status hash_files(const dipp_run_metrics *metrics, const char *weights, const char *head, const char *who,
                              dipp_scorer_files *files, dipp_error *error)
{
    *files = (dipp_scorer_files){.weights = weights, .head = head};
    if (files->head && !files->weights)
        return dipp_fail(error, DIPP_E_INVALID, "%s: a second file of weights stands beside a first; give weights",
                         who);
    dipp_status status = DIPP_OK;
    if (files->weights) {
        files->file = dipp_run_weights_file(files->weights, "model");
        status = files->file ? dipp_run_hashes_of(metrics->hashes, files->file, files->weights_sha256, error)
                             : dipp_fail(error, DIPP_E_MEMORY, "no memory for the weights of a metric");
    }
    if (status == DIPP_OK && files->head)
        status = dipp_run_hashes_of(metrics->hashes, files->head, files->head_sha256, error);
    return status == DIPP_OK ? status : dipp_error_context(error, "%s", who);
}

static dipp_status hash_files_in(const dipp_run_metrics *metrics, const dipp_config *config, const char *section,
                                 dipp_scorer_files *files, dipp_error *error)
{
    return hash_files(metrics, string_in(config, section, "weights"), string_in(config, section, "head_weights"),
                      section, files, error);
}

/* What scores are called: name where one is given, or as the weights are (out: what that is, "" for other plugins). */
static const char *name_of(const char *name, const char *plugin, const dipp_parameters *parameters,
                           const dipp_scorer_files *files, char out[DIPP_METRIC_NAME_BYTES])
{
    *out = 0;
    if (dipp_metric_is_published(plugin))
        dipp_metric_name_of(plugin, parameters, files, out);
    return name ? name : *out ? out : plugin;
}

/* Adds a scorer under this name; takes the files over where it succeeds. */
static dipp_status add_with_files(dipp_run_metrics *metrics, const dipp_plugin *plugin,
                                  const dipp_parameters *parameters, const char *name, const dipp_scorer_files *files,
                                  dipp_error *error)
{
    dipp_status status = add_metric(metrics, name, DIPP_METRIC_REWARD, error);
    if (status != DIPP_OK)
        return status;
    dipp_evaluation_metric *metric = &metrics->metrics[metrics->count - 1];
    metric->plugin = plugin;
    metric->parameters = parameters;
    metric->weights = files->file;
    metric->head_weights = files->head;
    metrics->files[metrics->count - 1] = *files;
    return DIPP_OK;
}

dipp_status dipp_run_metrics_add_given(dipp_run_metrics *metrics, const dipp_given_scorer *given, dipp_error *error)
{
    const dipp_loaded_plugin *loaded = NULL;
    dipp_parameters *parameters = NULL;
    dipp_scorer_files files = {.file = NULL};
    char published[DIPP_METRIC_NAME_BYTES];
    dipp_status status = find_reward(metrics, "--reward", given->plugin, &loaded, error);
    if (status == DIPP_OK)
        status =
            dipp_parameters_create_from_text(loaded->descriptor->parameters, loaded->descriptor->parameter_count,
                                             given->parameters, (uint32_t)given->parameter_count, &parameters, error);
    if (status == DIPP_OK)
        status = hash_files(metrics, given->weights, given->head, "--weights", &files, error);
    if (status == DIPP_OK)
        status = add_with_files(metrics, loaded->descriptor, parameters,
                                name_of(NULL, given->plugin, parameters, &files, published), &files, error);
    if (status == DIPP_OK) {
        metrics->defaults[metrics->count - 1] = parameters;
        return DIPP_OK;
    }
    dipp_parameters_destroy(&parameters);
    dipp_release(files.file);
    return status;
}

dipp_status dipp_run_metrics_add(dipp_run_metrics *metrics, const char *name, dipp_error *error)
{
    return strcmp(name, "ikl") ? add_by_name(metrics, "evaluate.metrics", name, error)
                               : DIPP_OK; /* ikl: always stored */
}

/* wanted: only where it is called so, and *added says whether it was; NULL: whatever it is called. */
static dipp_status add_scorer(dipp_run_metrics *metrics, const dipp_config *config, size_t number, const char *wanted,
                              bool *added, dipp_error *error)
{
    char section[SECTION_BYTES], path[KEY_BYTES], published[DIPP_METRIC_NAME_BYTES];
    snprintf(section, sizeof section, "evaluate.scorers[%zu]", number);
    snprintf(path, sizeof path, "%s.plugin", section);
    const dipp_loaded_plugin *loaded = NULL;
    dipp_scorer_files files = {.file = NULL};
    *added = false;
    dipp_status status = find_reward(metrics, path, dipp_config_string(config, path), &loaded, error);
    if (status == DIPP_OK)
        status = hash_files_in(metrics, config, section, &files, error);
    if (status == DIPP_OK) {
        const dipp_parameters *parameters = parameters_in(config, section);
        const char *name =
            name_of(string_in(config, section, "name"), loaded->descriptor->name, parameters, &files, published);
        if (dipp_published_reserves(name) && strcmp(name, published) != 0)
            status = dipp_fail(error, DIPP_E_INVALID,
                               "%s.name: %s is the name of scores by published weights, which these are not (by their "
                               "SHA-256), or not seen as published; leave the name out or choose another",
                               section, name);
        else if (!wanted || !strcmp(wanted, name)) {
            status = add_with_files(metrics, loaded->descriptor, parameters, name, &files, error);
            *added = status == DIPP_OK;
        }
    }
    if (!*added)
        dipp_release(files.file);
    return status;
}

dipp_status dipp_run_metrics_add_judge(dipp_run_metrics *metrics, const dipp_config *config, const char *name,
                                       dipp_error *error)
{
    dipp_status status = DIPP_OK;
    bool added = false;
    for (size_t i = 0; i < dipp_config_length(config, "evaluate.scorers") && status == DIPP_OK && !added; i++)
        status = add_scorer(metrics, config, i, name, &added, error);
    if (status != DIPP_OK || added)
        return status;
    if (!strcmp(name, "ikl") || !strcmp(name, "diversity"))
        return dipp_fail(error, DIPP_E_INVALID,
                         "monitor.judges: %s is no score of a single picture, so it cannot be compared pair by pair",
                         name);
    return add_by_name(metrics, "monitor.judges", name, error);
}

dipp_status dipp_run_metrics_add_reward(dipp_run_metrics *metrics, const dipp_config *config, uint32_t number,
                                        const dipp_plugin *plugin, const char *name, dipp_error *error)
{
    char section[SECTION_BYTES];
    dipp_scorer_files files;
    snprintf(section, sizeof section, "rewards[%u]", number);
    dipp_status status = hash_files_in(metrics, config, section, &files, error);
    if (status == DIPP_OK)
        status = add_with_files(metrics, plugin, parameters_in(config, section), name, &files, error);
    if (status != DIPP_OK)
        dipp_release(files.file);
    return status;
}

dipp_status dipp_run_metrics_read(dipp_run_metrics *metrics, const dipp_config *config, dipp_error *error)
{
    const dipp_yaml_node *names = dipp_config_node(config, "evaluate.metrics");
    dipp_status status = DIPP_OK;
    bool added;
    for (size_t i = 0; names && i < names->count && status == DIPP_OK; i++)
        status = dipp_run_metrics_add(metrics, names->items[i]->text, error);
    for (size_t i = 0; i < dipp_config_length(config, "evaluate.scorers") && status == DIPP_OK; i++)
        status = add_scorer(metrics, config, i, NULL, &added, error);
    return status;
}

/* ---- What the store must know beforehand ---- */

static dipp_status put_scorer(dipp_run_metrics *metrics, dipp_store *store, uint32_t index, dipp_error *error)
{
    const dipp_evaluation_metric *metric = &metrics->metrics[index];
    if (metric->kind != DIPP_METRIC_REWARD) {
        bool own = metric->kind == DIPP_METRIC_DIVERSITY || metric->kind == DIPP_METRIC_GOLD;
        dipp_plugin_record judge = {
            .kind = "metric", .name = own ? metric->name : "judge", .version = "1", .abi = DIPP_ABI_MAJOR};
        dipp_status status = dipp_store_metric_define(store, metric->name, 1, "test", NULL, NULL, error);
        return status == DIPP_OK ? dipp_store_scorer_put(store, &judge, NULL, &metrics->scorers[index], error) : status;
    }
    const dipp_loaded_plugin *loaded = NULL;
    dipp_status status = dipp_plugins_find(metrics->plugins, DIPP_PLUGIN_REWARD, metric->plugin->name, &loaded, error);
    char weights[DIPP_SHA256_HEX_BYTES];
    dipp_scorer_files_sha256(&metrics->files[index], weights);
    char *json = status == DIPP_OK ? dipp_parameters_json(metric->plugin->parameters, metric->plugin->parameter_count,
                                                          metric->parameters)
                                   : NULL;
    if (status == DIPP_OK && !json)
        status = dipp_fail(error, DIPP_E_MEMORY, "no memory for the metric %s", metric->name);
    if (status == DIPP_OK) {
        dipp_plugin_record plugin = {.kind = "reward",
                                     .name = metric->plugin->name,
                                     .version = metric->plugin->version,
                                     .abi = metric->plugin->abi_major,
                                     .sha256 = loaded->sha256,
                                     .weights_sha256 = metric->weights ? weights : NULL,
                                     .path = loaded->path};
        status = dipp_store_metric_define(store, metric->name, 1, "test", NULL, metric->plugin->summary, error);
        if (status == DIPP_OK)
            status = dipp_store_scorer_put(store, &plugin, json, &metrics->scorers[index], error);
    }
    dipp_release(json);
    return status;
}

dipp_status dipp_run_metrics_introduce(dipp_run_metrics *metrics, dipp_store *store, dipp_error *error)
{
    dipp_status status = DIPP_OK;
    for (uint32_t i = 0; i < metrics->count && status == DIPP_OK; i++)
        status = put_scorer(metrics, store, i, error);
    return status;
}

void dipp_run_metrics_clear(dipp_run_metrics *metrics)
{
    for (uint32_t i = 0; i < metrics->count; i++) {
        dipp_parameters_destroy(&metrics->defaults[i]);
        dipp_release(metrics->names[i]);
        dipp_release(metrics->files[i].file);
    }
    metrics->count = 0;
}

/* ---- Rows ---- */

static dipp_status put_scores(const dipp_run_metrics *metrics, const dipp_run_scores_place *place,
                              const dipp_evaluation_result *result, const int64_t *artifacts, dipp_error *error)
{
    dipp_evaluation_row *rows = dipp_allocate_zeroed(result->score_count + 1, sizeof *rows);
    if (!rows)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for %zu scores", result->score_count);
    for (size_t i = 0; i < result->score_count; i++) {
        const dipp_evaluation_score *score = &result->scores[i];
        uint32_t noise = score->prompt * place->samples + score->sample;
        rows[i] = (dipp_evaluation_row){.metric = metrics->metrics[score->metric].name,
                                        .scorer_id = metrics->scorers[score->metric],
                                        .prompt = score->prompt,
                                        .sample = score->sample,
                                        .noise_seed = place->noise_seed << 32 | noise,
                                        .value = score->value,
                                        .artifact_id = artifacts[noise]};
    }
    dipp_status status = result->score_count
                             ? dipp_store_evaluations_put(place->store, place->run_id, place->step, place->settings_id,
                                                          place->prompt_set_id, rows, result->score_count, error)
                             : DIPP_OK;
    dipp_release(rows);
    return status;
}

static dipp_status put_set_scores(const dipp_run_metrics *metrics, const dipp_run_scores_place *place,
                                  const dipp_evaluation_result *result, dipp_error *error)
{
    dipp_set_metric_row *rows = dipp_allocate_zeroed(result->set_count + 1, sizeof *rows);
    size_t count = 0;
    if (!rows)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for %zu numbers", result->set_count);
    for (size_t i = 0; i < result->set_count; i++) {
        const dipp_evaluation_set_score *score = &result->set_scores[i];
        if (score->metric >= 0)
            rows[count++] = (dipp_set_metric_row){.metric = score->name,
                                                  .scorer_id = metrics->scorers[score->metric],
                                                  .group = score->prompt < 0 ? NULL : place->texts[score->prompt],
                                                  .value = score->value,
                                                  .samples = score->samples};
    }
    dipp_status status = count
                             ? dipp_store_set_metrics_put(place->store, place->run_id, place->step, place->settings_id,
                                                          place->prompt_set_id, rows, count, error)
                             : DIPP_OK;
    dipp_release(rows);
    return status;
}

dipp_status dipp_run_metrics_store(const dipp_run_metrics *metrics, const dipp_run_scores_place *place,
                                   const dipp_evaluation_result *result, const int64_t *artifacts, dipp_error *error)
{
    dipp_status status = DIPP_OK;
    for (uint32_t i = 0; i < metrics->count && status == DIPP_OK; i++)
        status = dipp_store_scores_remove(place->store, place->run_id, place->step, place->settings_id,
                                          place->prompt_set_id, metrics->metrics[i].name, metrics->scorers[i], error);
    if (status == DIPP_OK)
        status = put_scores(metrics, place, result, artifacts, error);
    if (status == DIPP_OK)
        status = put_set_scores(metrics, place, result, error);
    return status == DIPP_OK ? dipp_run_styles_store(metrics, place, result, error) : status;
}
