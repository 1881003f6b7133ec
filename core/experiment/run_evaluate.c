#include "experiment/run_evaluate.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "experiment/run_pictures.h"
#include "experiment/yaml_edit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { IKL_WINDOW = 20, MAX_METRICS = 64 };

static const char evaluation_event[] = "evaluation", reference_event[] = "evaluation.reference";

struct dipp_run_evaluator {
    dipp_run_setup *setup;
    dipp_run_record *record;
    dipp_evaluation *evaluation;
    dipp_evaluation_metric metrics[MAX_METRICS];
    uint32_t metric_count;
    dipp_parameters *defaults[MAX_METRICS]; /* of metrics that name a plugin alone */
    char *names[MAX_METRICS];
    int64_t scorers[MAX_METRICS];
    int64_t moments_scorer, log_scorer, prompt_set_id;
    uint32_t samples;
    uint64_t noise_seed;
    bool average;
};

/* ---- Metrics of the configuration ---- */

static dipp_status add_metric(dipp_run_evaluator *evaluator, const char *name, dipp_metric_kind kind, dipp_error *error)
{
    if (evaluator->metric_count == MAX_METRICS)
        return dipp_fail(error, DIPP_E_INVALID, "more than %d metrics", MAX_METRICS);
    for (uint32_t i = 0; i < evaluator->metric_count; i++)
        if (!strcmp(evaluator->names[i], name))
            return dipp_fail(error, DIPP_E_INVALID,
                             "two metrics are called %s; give one of evaluate.scorers another name", name);
    char *copy = dipp_string_copy(name);
    if (!copy)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for the metric %s", name);
    evaluator->names[evaluator->metric_count] = copy;
    evaluator->metrics[evaluator->metric_count++] = (dipp_evaluation_metric){.name = copy, .kind = kind};
    return DIPP_OK;
}

static dipp_status find_reward(dipp_run_evaluator *evaluator, const char *key, const char *name,
                               const dipp_loaded_plugin **loaded, dipp_error *error)
{
    dipp_status status = dipp_plugins_find(evaluator->setup->plugins, DIPP_PLUGIN_REWARD, name, loaded, error);
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

static dipp_status add_named_metric(dipp_run_evaluator *evaluator, const char *name, dipp_error *error)
{
    dipp_metric_kind kind;
    if (!strcmp(name, "ikl")) /* stored with every evaluation */
        return DIPP_OK;
    if (dipp_metric_by_name(name, &kind))
        return add_metric(evaluator, name, kind, error);
    const dipp_loaded_plugin *loaded = NULL;
    dipp_status status = find_reward(evaluator, "evaluate.metrics", name, &loaded, error);
    if (status == DIPP_OK)
        status = add_metric(evaluator, name, DIPP_METRIC_REWARD, error);
    if (status != DIPP_OK)
        return status;
    uint32_t index = evaluator->metric_count - 1;
    status = dipp_parameters_create_from_text(loaded->descriptor->parameters, loaded->descriptor->parameter_count, NULL,
                                              0, &evaluator->defaults[index], error);
    if (status != DIPP_OK)
        return dipp_error_context(error,
                                  "metric %s has parameters without a default, so give it under "
                                  "evaluate.scorers: [{plugin: %s, params: {...}}]",
                                  name, name);
    evaluator->metrics[index].plugin = loaded->descriptor;
    evaluator->metrics[index].parameters = evaluator->defaults[index];
    return DIPP_OK;
}

static dipp_status add_scorer(dipp_run_evaluator *evaluator, size_t number, dipp_error *error)
{
    const dipp_config *config = evaluator->setup->config;
    char path[64];
    snprintf(path, sizeof path, "evaluate.scorers[%zu].plugin", number);
    const char *plugin = dipp_config_string(config, path);
    const dipp_loaded_plugin *loaded = NULL;
    dipp_status status = find_reward(evaluator, path, plugin, &loaded, error);
    snprintf(path, sizeof path, "evaluate.scorers[%zu].name", number);
    const char *name = dipp_config_string(config, path);
    if (status == DIPP_OK)
        status = add_metric(evaluator, name ? name : plugin, DIPP_METRIC_REWARD, error);
    if (status != DIPP_OK)
        return status;
    dipp_evaluation_metric *metric = &evaluator->metrics[evaluator->metric_count - 1];
    snprintf(path, sizeof path, "evaluate.scorers[%zu].params", number);
    metric->plugin = loaded->descriptor;
    metric->parameters = dipp_config_parameters(config, path);
    snprintf(path, sizeof path, "evaluate.scorers[%zu].weights", number);
    metric->weights = dipp_config_string(config, path);
    return DIPP_OK;
}

static dipp_status read_metrics(dipp_run_evaluator *evaluator, dipp_error *error)
{
    const dipp_config *config = evaluator->setup->config;
    const dipp_yaml_node *names = dipp_config_node(config, "evaluate.metrics");
    dipp_status status = DIPP_OK;
    for (size_t i = 0; names && i < names->count && status == DIPP_OK; i++)
        status = add_named_metric(evaluator, names->items[i]->text, error);
    for (size_t i = 0; i < dipp_config_length(config, "evaluate.scorers") && status == DIPP_OK; i++)
        status = add_scorer(evaluator, i, error);
    return status;
}

/* ---- What the store must know beforehand ---- */

/* Parameters as canonical JSON in the order of the table. */
static char *parameters_json(const dipp_plugin *plugin, const dipp_parameters *parameters)
{
    dipp_text text = {0};
    const char *comma = "";
    dipp_text_append(&text, "{");
    for (uint32_t i = 0; i < plugin->parameter_count; i++) {
        const dipp_parameter *row = &plugin->parameters[i];
        size_t count = 0;
        if (!dipp_parameters_has(parameters, row->key))
            continue;
        dipp_text_printf(&text, "%s\"%s\":", comma, row->key);
        comma = ",";
        if (row->type == DIPP_TYPE_BOOL)
            dipp_text_append(&text, dipp_parameters_bool(parameters, row->key) ? "true" : "false");
        else if (row->type == DIPP_TYPE_INT)
            dipp_text_printf(&text, "%lld", (long long)dipp_parameters_int(parameters, row->key));
        else if (row->type == DIPP_TYPE_FLOAT)
            dipp_json_write_float(&text, dipp_parameters_float(parameters, row->key));
        else if (row->type == DIPP_TYPE_FLOAT_LIST || row->type == DIPP_TYPE_INT_LIST) {
            const double *floats =
                row->type == DIPP_TYPE_FLOAT_LIST ? dipp_parameters_floats(parameters, row->key, &count) : NULL;
            const int64_t *ints = floats ? NULL : dipp_parameters_ints(parameters, row->key, &count);
            dipp_text_append(&text, "[");
            for (size_t k = 0; k < count; k++) {
                dipp_text_append(&text, k ? "," : "");
                dipp_json_write_float(&text, floats ? floats[k] : (double)ints[k]);
            }
            dipp_text_append(&text, "]");
        } else if (row->type == DIPP_TYPE_STRING_LIST) {
            const char *const *strings = dipp_parameters_strings(parameters, row->key, &count);
            dipp_text_append(&text, "[");
            for (size_t k = 0; k < count; k++) {
                dipp_text_append(&text, k ? "," : "");
                dipp_json_write_string(&text, strings[k]);
            }
            dipp_text_append(&text, "]");
        } else {
            dipp_json_write_string(&text, dipp_parameters_string(parameters, row->key));
        }
    }
    dipp_text_append(&text, "}");
    return dipp_text_finish(&text);
}

static dipp_status put_scorer(dipp_run_evaluator *evaluator, uint32_t index, dipp_error *error)
{
    dipp_store *store = evaluator->record->store;
    const dipp_evaluation_metric *metric = &evaluator->metrics[index];
    if (metric->kind != DIPP_METRIC_REWARD) {
        dipp_plugin_record judge = {.kind = "metric",
                                    .name = metric->kind == DIPP_METRIC_DIVERSITY ? "diversity" : "judge",
                                    .version = "1",
                                    .abi = DIPP_ABI_MAJOR};
        dipp_status status = dipp_store_metric_define(store, metric->name, 1, "test", NULL, NULL, error);
        return status == DIPP_OK ? dipp_store_scorer_put(store, &judge, NULL, &evaluator->scorers[index], error)
                                 : status;
    }
    const dipp_loaded_plugin *loaded = NULL;
    dipp_status status =
        dipp_plugins_find(evaluator->setup->plugins, DIPP_PLUGIN_REWARD, metric->plugin->name, &loaded, error);
    char weights[DIPP_SHA256_HEX_BYTES];
    char *file = metric->weights ? dipp_run_weights_file(metric->weights, "model") : NULL;
    if (status == DIPP_OK && file)
        status = dipp_sha256_file(file, weights, error);
    dipp_release(file);
    char *json = status == DIPP_OK ? parameters_json(metric->plugin, metric->parameters) : NULL;
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
            status = dipp_store_scorer_put(store, &plugin, json, &evaluator->scorers[index], error);
    }
    dipp_release(json);
    return status;
}

static char *attributes_json(const dipp_emoji_world *world, const dipp_prompt_line *prompt)
{
    dipp_text text = {0};
    const char *comma = "";
    if (!world || (prompt->glyph == DIPP_NOT_NAMED && prompt->background == DIPP_NOT_NAMED &&
                   prompt->size_class == DIPP_NOT_NAMED && prompt->place == DIPP_NOT_NAMED))
        return NULL;
    const struct {
        const char *key;
        const char *value;
    } named[] = {
        {"glyph", prompt->glyph == DIPP_NOT_NAMED ? NULL : dipp_emoji_world_glyph(world, prompt->glyph)->name},
        {"background", prompt->background == DIPP_NOT_NAMED ? NULL : dipp_backgrounds[prompt->background].name},
        {"size", prompt->size_class == DIPP_NOT_NAMED ? NULL : dipp_size_words[prompt->size_class]},
        {"place", prompt->place == DIPP_NOT_NAMED ? NULL : dipp_place_words[prompt->place]}};
    dipp_text_append(&text, "{");
    for (size_t i = 0; i < 4; i++)
        if (named[i].value) {
            dipp_text_printf(&text, "%s\"%s\":", comma, named[i].key);
            dipp_json_write_string(&text, named[i].value);
            comma = ",";
        }
    dipp_text_append(&text, "}");
    return dipp_text_finish(&text);
}

static dipp_status put_prompts(dipp_run_evaluator *evaluator, dipp_error *error)
{
    const dipp_run_prompts *prompts = &evaluator->setup->evaluation;
    dipp_prompt_record *records = dipp_allocate_zeroed(prompts->count, sizeof *records);
    if (!records)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for %u prompts", prompts->count);
    for (uint32_t i = 0; i < prompts->count; i++)
        records[i] =
            (dipp_prompt_record){.text = prompts->texts[i],
                                 .attributes_json = attributes_json(evaluator->setup->world, &prompts->set.prompts[i])};
    dipp_status status = dipp_store_prompt_set_put(evaluator->record->store, prompts->name, prompts->sha256, records,
                                                   prompts->count, &evaluator->prompt_set_id, error);
    for (uint32_t i = 0; i < prompts->count; i++)
        dipp_release((char *)records[i].attributes_json);
    dipp_release(records);
    return status;
}

static dipp_status introduce(dipp_run_evaluator *evaluator, dipp_error *error)
{
    dipp_store *store = evaluator->record->store;
    dipp_plugin_record moments = {.kind = "metric", .name = "moments", .version = "1", .abi = DIPP_ABI_MAJOR};
    dipp_plugin_record log = {.kind = "metric", .name = "training-log", .version = "1", .abi = DIPP_ABI_MAJOR};
    dipp_status status = dipp_store_scorer_put(store, &moments, NULL, &evaluator->moments_scorer, error);
    if (status == DIPP_OK)
        status = dipp_store_scorer_put(store, &log, "{\"window\":20}", &evaluator->log_scorer, error);
    for (uint32_t i = 0; i < evaluator->metric_count && status == DIPP_OK; i++)
        status = put_scorer(evaluator, i, error);
    return status == DIPP_OK ? put_prompts(evaluator, error) : status;
}

/* ---- Lifetime ---- */

dipp_status dipp_run_evaluator_create(dipp_run_setup *setup, dipp_run_record *record, const volatile sig_atomic_t *stop,
                                      dipp_run_evaluator **out, dipp_error *error)
{
    const dipp_config *config = setup->config;
    dipp_run_evaluator *evaluator = dipp_allocate_zeroed(1, sizeof *evaluator);
    if (!evaluator)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for the evaluation");
    evaluator->setup = setup;
    evaluator->record = record;
    evaluator->samples = (uint32_t)dipp_config_int(config, "evaluate.samples");
    evaluator->noise_seed = (uint64_t)dipp_config_int(config, "evaluate.noise_seed");
    evaluator->average = dipp_config_bool(config, "evaluate.use_ema") && dipp_run_averages(config);
    dipp_status status = read_metrics(evaluator, error);
    dipp_evaluation_options options = {.models = setup->models,
                                       .world = setup->world,
                                       .prompts = setup->evaluation.set.prompts,
                                       .texts = setup->evaluation.texts,
                                       .prompt_count = setup->evaluation.count,
                                       .samples = evaluator->samples,
                                       .batch = (uint32_t)dipp_config_int(config, "evaluate.batch"),
                                       .noise_seed = evaluator->noise_seed,
                                       .metrics = evaluator->metrics,
                                       .metric_count = evaluator->metric_count,
                                       .use_average = evaluator->average,
                                       .reference_steps = (uint32_t)dipp_config_int(config, "reference.steps"),
                                       .reference_omega = dipp_config_float(config, "reference.omega"),
                                       .reference_sigma_max = dipp_config_float(config, "reference.sigma_max"),
                                       .stop = stop};
    if (status == DIPP_OK)
        status = dipp_evaluation_create(&options, &evaluator->evaluation, error);
    if (status == DIPP_OK && record)
        status = introduce(evaluator, error);
    if (status != DIPP_OK)
        dipp_run_evaluator_destroy(&evaluator);
    *out = evaluator;
    return status;
}

void dipp_run_evaluator_destroy(dipp_run_evaluator **pointer)
{
    if (!pointer || !*pointer)
        return;
    dipp_run_evaluator *evaluator = *pointer;
    dipp_evaluation_destroy(&evaluator->evaluation);
    for (uint32_t i = 0; i < evaluator->metric_count; i++) {
        dipp_parameters_destroy(&evaluator->defaults[i]);
        dipp_release(evaluator->names[i]);
    }
    dipp_release(evaluator);
    *pointer = NULL;
}

/* ---- Rows ---- */

typedef struct ikl_window {
    double values[IKL_WINDOW];
    size_t count;
    int64_t step;
} ikl_window;

static int add_ikl(void *user, const dipp_metric_row *row)
{
    ikl_window *window = user;
    if (row->step <= window->step)
        window->values[window->count++ % IKL_WINDOW] = row->value;
    return 0;
}

static dipp_status put_scores(dipp_run_evaluator *evaluator, int64_t step, int64_t settings_id,
                              const dipp_evaluation_result *result, const int64_t *artifacts, dipp_error *error)
{
    dipp_evaluation_row *rows = dipp_allocate_zeroed(result->score_count + 1, sizeof *rows);
    if (!rows)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for %zu scores", result->score_count);
    for (size_t i = 0; i < result->score_count; i++) {
        const dipp_evaluation_score *score = &result->scores[i];
        uint32_t noise = score->prompt * evaluator->samples + score->sample;
        rows[i] = (dipp_evaluation_row){.metric = evaluator->metrics[score->metric].name,
                                        .scorer_id = evaluator->scorers[score->metric],
                                        .prompt = score->prompt,
                                        .sample = score->sample,
                                        .noise_seed = evaluator->noise_seed << 32 | noise,
                                        .value = score->value,
                                        .artifact_id = artifacts[noise]};
    }
    dipp_status status =
        result->score_count
            ? dipp_store_evaluations_put(evaluator->record->store, evaluator->record->run_id, step, settings_id,
                                         evaluator->prompt_set_id, rows, result->score_count, error)
            : DIPP_OK;
    dipp_release(rows);
    return status;
}

static dipp_status put_set_scores(dipp_run_evaluator *evaluator, int64_t step, int64_t settings_id,
                                  const dipp_evaluation_result *result, const ikl_window *window, dipp_error *error)
{
    dipp_set_metric_row *rows = dipp_allocate_zeroed(result->set_count + 1, sizeof *rows);
    size_t count = 0, points = window->count < IKL_WINDOW ? window->count : IKL_WINDOW;
    if (!rows)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for %zu numbers", result->set_count);
    for (; count < result->set_count; count++) {
        const dipp_evaluation_set_score *score = &result->set_scores[count];
        rows[count] = (dipp_set_metric_row){
            .metric = score->name,
            .scorer_id = score->metric < 0 ? evaluator->moments_scorer : evaluator->scorers[score->metric],
            .group = score->prompt < 0 ? NULL : evaluator->setup->evaluation.texts[score->prompt],
            .value = score->value,
            .samples = score->samples};
    }
    if (points) {
        double sum = 0;
        for (size_t i = 0; i < points; i++)
            sum += window->values[i];
        rows[count++] =
            (dipp_set_metric_row){.metric = "ikl",
                                  .scorer_id = evaluator->log_scorer,
                                  .value = sum / (double)points,
                                  .samples = (int64_t)points * dipp_run_loop_int(evaluator->setup->config, "batch")};
    }
    dipp_status status = count ? dipp_store_set_metrics_put(evaluator->record->store, evaluator->record->run_id, step,
                                                            settings_id, evaluator->prompt_set_id, rows, count, error)
                               : DIPP_OK;
    dipp_release(rows);
    return status;
}

/* mean.0, cov.0.1, ... of the generator's parameters are metrics by step as well. */
static dipp_status put_points(dipp_run_evaluator *evaluator, int64_t step, const dipp_evaluation_result *result,
                              dipp_error *error)
{
    dipp_status status = DIPP_OK;
    size_t count = 0;
    dipp_metric_point *points = dipp_allocate_zeroed(result->set_count + 1, sizeof *points);
    if (!points)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for metrics");
    for (size_t i = 0; i < result->set_count; i++)
        if (result->set_scores[i].metric < 0 && !result->set_scores[i].samples)
            points[count++] = (dipp_metric_point){result->set_scores[i].name, step, result->set_scores[i].value};
    if (count)
        status = dipp_store_metrics_put(evaluator->record->store, evaluator->record->run_id, evaluator->record->attempt,
                                        points, count, error);
    dipp_release(points);
    return status;
}

static dipp_status store_result(dipp_run_evaluator *evaluator, bool reference, int64_t step, int64_t images_seen,
                                const dipp_evaluation_result *result, const int64_t *artifacts, dipp_error *error)
{
    dipp_run_record *record = evaluator->record;
    const dipp_config *config = evaluator->setup->config;
    bool own = !reference || evaluator->setup->pretrain; /* what this run trains */
    ikl_window window = {.step = step};
    int64_t settings_id = 0;
    dipp_evaluation_settings settings = {
        .subject = reference ? "reference" : "generator",
        .weights = own && evaluator->average ? "ema" : "raw",
        .sampler_steps = (int)dipp_config_int(config, reference ? "reference.steps" : "generator.steps"),
        .cfg_omega = reference ? dipp_config_float(config, "reference.omega") : 1.0,
        .precision = evaluator->setup->backend->precision,
        .images_seen = images_seen};
    dipp_status status = DIPP_OK;
    if (own)
        status = dipp_store_each_metric(record->store, record->run_id, "ikl", false, add_ikl, &window, error);
    if (status == DIPP_OK)
        status = dipp_store_begin(record->store, error);
    if (status != DIPP_OK)
        return status;
    status = dipp_store_settings_put(record->store, &settings, &settings_id, error);
    if (status == DIPP_OK)
        status = put_scores(evaluator, step, settings_id, result, artifacts, error);
    if (status == DIPP_OK)
        status = put_set_scores(evaluator, step, settings_id, result, &window, error);
    if (status == DIPP_OK && own)
        status = put_points(evaluator, step, result, error);
    if (status == DIPP_OK)
        status = dipp_run_record_event(record, step, "info", own ? evaluation_event : reference_event,
                                       own ? "evaluated" : "the multi-step reference was evaluated", error);
    if (status == DIPP_OK)
        return dipp_store_commit(record->store, error);
    dipp_store_rollback(record->store);
    return status;
}

static dipp_status store_with_pictures(dipp_run_evaluator *evaluator, bool reference, int64_t step, int64_t images_seen,
                                       const dipp_evaluation_result *result, dipp_error *error)
{
    int64_t *artifacts = dipp_allocate_zeroed(result->count, sizeof *artifacts);
    if (!artifacts)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for %u pictures", result->count);
    dipp_run_pictures pictures = {.record = evaluator->record,
                                  .config = evaluator->setup->config,
                                  .prompts = &evaluator->setup->evaluation,
                                  .samples = evaluator->samples,
                                  .reference = reference && !evaluator->setup->pretrain,
                                  .step = step};
    dipp_status status = result->side ? dipp_run_pictures_store(&pictures, result, artifacts, error) : DIPP_OK;
    if (status == DIPP_OK)
        status = store_result(evaluator, reference, step, images_seen, result, artifacts, error);
    dipp_release(artifacts);
    return status;
}

/* ---- Doors ---- */

dipp_status dipp_run_evaluate(dipp_run_evaluator *evaluator, int64_t step, int64_t images_seen, dipp_error *error)
{
    dipp_evaluation_result result;
    bool reference = evaluator->setup->pretrain;
    dipp_status status = dipp_evaluation_run(evaluator->evaluation, reference, &result, error);
    if (status != DIPP_OK)
        return status;
    status = store_with_pictures(evaluator, reference, step, images_seen, &result, error);
    dipp_evaluation_result_clear(&result);
    return status;
}

static int found_row(void *user, int columns, const char *const *names, const char *const *values)
{
    *(bool *)user = true;
    return 1;
}

static dipp_status has_event(dipp_run_evaluator *evaluator, const char *code, int64_t step, bool *found,
                             dipp_error *error)
{
    char run[24], at[24];
    snprintf(run, sizeof run, "%lld", (long long)evaluator->record->run_id);
    snprintf(at, sizeof at, "%lld", (long long)step);
    const char *binds[] = {run, at, code};
    *found = false;
    return dipp_store_query(evaluator->record->store,
                            "SELECT 1 FROM events WHERE run_id=CAST(?1 AS INTEGER) AND step=CAST(?2 AS INTEGER) AND "
                            "code=?3 LIMIT 1",
                            binds, 3, found_row, found, error);
}

/* Whether each reward plugin that scores has scored the reference's pictures: after --rerun, another build of it has not. */
static dipp_status has_reference_scores(dipp_run_evaluator *evaluator, bool *found, dipp_error *error)
{
    char run[24], scorer[24];
    const char *binds[] = {run, scorer};
    dipp_status status = DIPP_OK;
    snprintf(run, sizeof run, "%lld", (long long)evaluator->record->run_id);
    *found = true;
    for (uint32_t i = 0; i < evaluator->metric_count && *found && status == DIPP_OK; i++) {
        if (evaluator->metrics[i].kind != DIPP_METRIC_REWARD)
            continue;
        *found = false;
        snprintf(scorer, sizeof scorer, "%lld", (long long)evaluator->scorers[i]);
        status = dipp_store_query(evaluator->record->store,
                                  "SELECT 1 FROM evaluations JOIN evaluation_settings USING(settings_id) WHERE "
                                  "run_id=CAST(?1 AS INTEGER) AND scorer_id=CAST(?2 AS INTEGER) AND "
                                  "subject='reference' LIMIT 1",
                                  binds, 2, found_row, found, error);
    }
    return status;
}

dipp_status dipp_run_evaluated(dipp_run_evaluator *evaluator, int64_t step, bool *done, dipp_error *error)
{
    return has_event(evaluator, evaluation_event, step, done, error);
}

dipp_status dipp_run_evaluate_reference(dipp_run_evaluator *evaluator, dipp_error *error)
{
    dipp_run_setup *setup = evaluator->setup;
    bool done = false;
    if (setup->pretrain || !dipp_config_bool(setup->config, "evaluate.reference_row"))
        return DIPP_OK;
    dipp_status status = has_event(evaluator, reference_event, 0, &done, error);
    if (status == DIPP_OK && done)
        status = has_reference_scores(evaluator, &done, error);
    if (status != DIPP_OK || done)
        return status;
    dipp_evaluation_result result = {0};
    status = dipp_run_reference_samples(setup, evaluator->record, evaluator->evaluation, &result, error);
    if (status == DIPP_OK)
        status = dipp_evaluation_score_result(evaluator->evaluation, true, &result, error);
    if (status == DIPP_OK)
        status = store_with_pictures(evaluator, true, 0, 0, &result, error);
    dipp_evaluation_result_clear(&result);
    return status;
}
