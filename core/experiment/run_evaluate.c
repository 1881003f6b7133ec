#include "experiment/run_evaluate.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "experiment/run_metrics.h"
#include "experiment/run_pictures.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { IKL_WINDOW = 20 };

static const char evaluation_event[] = "evaluation", reference_event[] = "evaluation.reference";

struct dipp_run_evaluator {
    dipp_run_setup *setup;
    dipp_run_record *record;
    dipp_evaluation *evaluation;
    dipp_run_metrics metrics;
    int64_t moments_scorer, log_scorer, prompt_set_id;
    uint32_t samples;
    uint64_t noise_seed;
    bool average;
};

static dipp_status introduce(dipp_run_evaluator *evaluator, dipp_error *error)
{
    dipp_store *store = evaluator->record->store;
    dipp_plugin_record moments = {.kind = "metric", .name = "moments", .version = "1", .abi = DIPP_ABI_MAJOR};
    dipp_plugin_record log = {.kind = "metric", .name = "training-log", .version = "1", .abi = DIPP_ABI_MAJOR};
    dipp_status status = dipp_store_scorer_put(store, &moments, NULL, &evaluator->moments_scorer, error);
    if (status == DIPP_OK)
        status = dipp_store_scorer_put(store, &log, "{\"window\":20}", &evaluator->log_scorer, error);
    if (status == DIPP_OK)
        status = dipp_run_metrics_introduce(&evaluator->metrics, store, error);
    return status == DIPP_OK ? dipp_run_prompts_store(&evaluator->setup->evaluation, evaluator->setup->world, store,
                                                      &evaluator->prompt_set_id, error)
                             : status;
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
    evaluator->metrics.plugins = setup->plugins;
    evaluator->metrics.hashes = setup->hashes;
    dipp_status status = dipp_run_metrics_read(&evaluator->metrics, config, error);
    dipp_evaluation_options options = {.models = setup->models,
                                       .world = setup->world,
                                       .prompts = setup->evaluation.set.prompts,
                                       .texts = setup->evaluation.texts,
                                       .prompt_count = setup->evaluation.count,
                                       .samples = evaluator->samples,
                                       .batch = (uint32_t)dipp_config_int(config, "evaluate.batch"),
                                       .noise_seed = evaluator->noise_seed,
                                       .metrics = evaluator->metrics.metrics,
                                       .metric_count = evaluator->metrics.count,
                                       .use_average = evaluator->average,
                                       .reconstruct = setup->autoencoder,
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

dipp_status dipp_run_evaluator_prepare(dipp_run_evaluator *evaluator, size_t *device, size_t *host, dipp_error *error)
{
    bool pretrain = evaluator->setup->pretrain;
    bool reference = pretrain || dipp_config_bool(evaluator->setup->config, "evaluate.reference_row");
    return dipp_evaluation_prepare(evaluator->evaluation, !pretrain, reference, device, host, error);
}

void dipp_run_evaluator_destroy(dipp_run_evaluator **pointer)
{
    if (!pointer || !*pointer)
        return;
    dipp_run_evaluator *evaluator = *pointer;
    dipp_evaluation_destroy(&evaluator->evaluation);
    dipp_run_metrics_clear(&evaluator->metrics);
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

/* Moments of vectors, and the IKL as the training log has it. */
static dipp_status put_set_numbers(dipp_run_evaluator *evaluator, int64_t step, int64_t settings_id,
                                   const dipp_evaluation_result *result, const ikl_window *window, dipp_error *error)
{
    dipp_set_metric_row *rows = dipp_allocate_zeroed(result->set_count + 1, sizeof *rows);
    size_t count = 0, points = window->count < IKL_WINDOW ? window->count : IKL_WINDOW;
    if (!rows)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for %zu numbers", result->set_count);
    for (size_t i = 0; i < result->set_count; i++) {
        const dipp_evaluation_set_score *score = &result->set_scores[i];
        if (score->metric < 0)
            rows[count++] = (dipp_set_metric_row){.metric = score->name,
                                                  .scorer_id = evaluator->moments_scorer,
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
    bool sampled = !evaluator->setup->autoencoder;
    ikl_window window = {.step = step};
    int64_t settings_id = 0;
    dipp_evaluation_settings settings = {
        .subject = reference ? "reference" : "generator",
        .weights = own && evaluator->average ? "ema" : "raw",
        .sampler_steps = sampled ? (int)dipp_config_int(config, reference ? "reference.steps" : "generator.steps") : 0,
        .cfg_omega = sampled && reference ? dipp_config_float(config, "reference.omega") : 1.0,
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
    dipp_run_scores_place place = {.store = record->store,
                                   .run_id = record->run_id,
                                   .step = step,
                                   .settings_id = settings_id,
                                   .prompt_set_id = evaluator->prompt_set_id,
                                   .texts = evaluator->setup->evaluation.texts,
                                   .categories = evaluator->setup->evaluation.set.categories,
                                   .prompt_count = evaluator->setup->evaluation.count,
                                   .samples = evaluator->samples,
                                   .noise_seed = evaluator->noise_seed};
    if (status == DIPP_OK)
        status = dipp_run_metrics_store(&evaluator->metrics, &place, result, artifacts, error);
    if (status == DIPP_OK)
        status = put_set_numbers(evaluator, step, settings_id, result, &window, error);
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

/* Whether each reward plugin that scores has scored the reference's pictures: after --rerun, another build of it has not. */
static dipp_status has_reference_scores(dipp_run_evaluator *evaluator, bool *found, dipp_error *error)
{
    char run[24], scorer[24];
    const char *binds[] = {run, scorer};
    dipp_status status = DIPP_OK;
    snprintf(run, sizeof run, "%lld", (long long)evaluator->record->run_id);
    *found = true;
    for (uint32_t i = 0; i < evaluator->metrics.count && *found && status == DIPP_OK; i++) {
        if (evaluator->metrics.metrics[i].kind != DIPP_METRIC_REWARD)
            continue;
        *found = false;
        snprintf(scorer, sizeof scorer, "%lld", (long long)evaluator->metrics.scorers[i]);
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
    return dipp_run_record_has_event(evaluator->record, step, evaluation_event, done, error);
}

dipp_status dipp_run_evaluate_reference(dipp_run_evaluator *evaluator, bool again, dipp_error *error)
{
    dipp_run_setup *setup = evaluator->setup;
    bool done = false;
    if (setup->pretrain || !dipp_config_bool(setup->config, "evaluate.reference_row"))
        return DIPP_OK;
    dipp_status status = dipp_run_record_has_event(evaluator->record, 0, reference_event, &done, error);
    if (status == DIPP_OK && done)
        status = has_reference_scores(evaluator, &done, error);
    if (status != DIPP_OK || (done && !again))
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
