#include "experiment/run_sample.h"

#include "base/file.h"
#include "base/memory.h"
#include "experiment/experiment.h"
#include "experiment/run_result.h"

#include <stdio.h>
#include <string.h>

enum { DEFAULT_PROMPTS = 8 };

static dipp_status parse(const dipp_sample_request *request, dipp_plugins *plugins, dipp_experiment **experiment,
                         dipp_error *error)
{
    dipp_plugin_catalog catalog = {plugins, dipp_plugins_parameter_table, dipp_plugins_name};
    dipp_diagnostics *diagnostics = dipp_diagnostics_create();
    if (!diagnostics)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for the configuration");
    dipp_status status = dipp_experiment_parse("configuration", request->config_json, strlen(request->config_json),
                                               NULL, 0, &catalog, diagnostics, experiment, error);
    dipp_diagnostics_destroy(&diagnostics);
    return status;
}

/* What the run made over what it started from. */
static dipp_status load_result(const dipp_run_setup *setup, const char *folder, dipp_error *error)
{
    dipp_models *models = setup->models;
    if (setup->pretrain) {
        dipp_parameter_set *sets[DIPP_MODEL_SETS];
        uint32_t count = dipp_run_result_sets(setup, false, sets);
        return dipp_weights_read_sets(folder, "model", sets, count, error);
    }
    return dipp_run_result_read_generator(setup, folder, false, dipp_trained_generator(models).set, error);
}

static dipp_status copy_texts(const dipp_evaluation_options *options, char ***texts, dipp_error *error)
{
    char **copies = dipp_allocate_zeroed(options->prompt_count, sizeof *copies);
    bool good = copies != NULL;
    for (uint32_t i = 0; good && i < options->prompt_count; i++)
        good = (copies[i] = dipp_string_copy(options->texts[i])) != NULL;
    *texts = copies;
    return good ? DIPP_OK : dipp_fail(error, DIPP_E_MEMORY, "no memory for prompts");
}

static dipp_status draw(const dipp_sample_request *request, dipp_run_setup *setup, dipp_evaluation_result *result,
                        char ***texts, uint32_t *prompt_count, dipp_error *error)
{
    uint32_t wanted = request->prompt_count ? request->prompt_count : DEFAULT_PROMPTS;
    bool own = request->prompts != NULL;
    dipp_evaluation_options options = {.models = setup->models,
                                       .world = setup->world,
                                       .prompts = own ? NULL : setup->evaluation.set.prompts,
                                       .reconstruct = setup->autoencoder,
                                       .texts = own ? request->prompts : setup->evaluation.texts,
                                       .prompt_count =
                                           own || wanted < setup->evaluation.count ? wanted : setup->evaluation.count,
                                       .samples = request->samples,
                                       .batch = (uint32_t)dipp_config_int(setup->config, "evaluate.batch"),
                                       .noise_seed = request->noise_seed,
                                       .reference_steps = (uint32_t)dipp_config_int(setup->config, "reference.steps"),
                                       .reference_omega = dipp_config_float(setup->config, "reference.omega"),
                                       .reference_sigma_max = dipp_config_float(setup->config, "reference.sigma_max"),
                                       .stop = request->stop};
    dipp_evaluation *evaluation = NULL;
    dipp_status status = dipp_evaluation_create(&options, &evaluation, error);
    if (status == DIPP_OK)
        status = dipp_evaluation_draw(evaluation, request->reference || setup->pretrain, result, error);
    if (status == DIPP_OK)
        status = copy_texts(&options, texts, error);
    *prompt_count = options.prompt_count;
    dipp_evaluation_destroy(&evaluation);
    return status;
}

dipp_status dipp_run_sample(const dipp_sample_request *request, dipp_plugins *plugins, dipp_evaluation_result *result,
                            char ***texts, uint32_t *prompt_count, dipp_error *error)
{
    dipp_experiment *experiment = NULL;
    dipp_run_setup *setup = NULL;
    size_t count = 0;
    *result = (dipp_evaluation_result){0};
    *texts = NULL;
    *prompt_count = 0;
    dipp_status status = parse(request, plugins, &experiment, error);
    if (status == DIPP_OK)
        status = dipp_run_refuse_reward(dipp_experiment_cells(experiment, &count)[0].config, "sampled", error);
    if (status == DIPP_OK)
        status = dipp_run_setup_create(dipp_experiment_cells(experiment, &count)[0].config, plugins, request->threads,
                                       &setup, error);
    if (status == DIPP_OK)
        status = dipp_run_setup_load(setup, request->seed, error);
    if (status == DIPP_OK && request->folder)
        status = load_result(setup, request->folder, error);
    if (status == DIPP_OK)
        status = draw(request, setup, result, texts, prompt_count, error);
    dipp_run_setup_destroy(&setup);
    dipp_experiment_destroy(&experiment);
    return status;
}
