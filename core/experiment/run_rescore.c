#include "experiment/run_rescore.h"

#include "base/memory.h"
#include "experiment/experiment.h"
#include "experiment/run_evaluate.h"
#include "experiment/run_result.h"

#include <stdio.h>
#include <string.h>

/* What is needed of the run's row. */
typedef struct scored_run {
    char uuid[40];
    char *config_json;
    int64_t seed, step, images_seen, attempts;
    bool found, completed;
} scored_run;

static int read_run(void *user, const dipp_run_row *row)
{
    scored_run *run = user;
    snprintf(run->uuid, sizeof run->uuid, "%s", row->run_uuid);
    run->config_json = dipp_string_copy(row->config_json);
    run->seed = row->seed;
    run->step = row->step;
    run->images_seen = row->images_seen;
    run->attempts = row->attempts;
    run->found = true;
    run->completed = row->status == DIPP_RUN_COMPLETED;
    return 1;
}

static dipp_status check_overrides(const dipp_rescore_request *request, dipp_error *error)
{
    static const char section[] = "evaluate.";
    for (size_t i = 0; i < request->override_count; i++) {
        const char *text = request->overrides[i] + (request->overrides[i][0] == '~');
        if (strncmp(text, section, sizeof section - 1))
            return dipp_fail(error, DIPP_E_INVALID,
                             "%s would make it another run; only keys of evaluate can be changed when a run is scored "
                             "again",
                             request->overrides[i]);
    }
    return DIPP_OK;
}

static dipp_status parse(const scored_run *run, const dipp_rescore_request *request, dipp_plugins *plugins,
                         dipp_experiment **experiment, dipp_error *error)
{
    dipp_plugin_catalog catalog = {plugins, dipp_plugins_parameter_table, dipp_plugins_name};
    dipp_diagnostics *diagnostics = dipp_diagnostics_create();
    if (!diagnostics || !run->config_json) {
        dipp_diagnostics_destroy(&diagnostics);
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for the run's configuration");
    }
    dipp_status status =
        dipp_experiment_parse("configuration", run->config_json, strlen(run->config_json), request->overrides,
                              request->override_count, &catalog, diagnostics, experiment, error);
    dipp_diagnostics_destroy(&diagnostics);
    return status;
}

/* The run's result in the sets that it was scored with: the averages where it kept any. */
static dipp_status load_result(const dipp_run_setup *setup, const char *folder, dipp_error *error)
{
    dipp_models *models = setup->models;
    bool average = dipp_run_averages(setup->config);
    if (setup->pretrain) {
        dipp_parameter_set *sets[DIPP_MODEL_SETS];
        uint32_t count = dipp_run_result_sets(setup, average, sets);
        return dipp_weights_read_sets(folder, "model", sets, count, error);
    }
    dipp_trained theta = dipp_trained_generator(models);
    dipp_status status =
        dipp_run_result_read_generator(setup, folder, false, average ? theta.average : theta.set, error);
    if (status == DIPP_OK && average)
        status = dipp_run_result_read_generator(setup, folder, true, theta.set, error);
    return status;
}

static dipp_status score(dipp_store *store, const dipp_rescore_request *request, const scored_run *run,
                         const char *folder, dipp_run_setup *setup, dipp_error *error)
{
    dipp_run_record record = {0};
    dipp_run_evaluator *evaluator = NULL;
    dipp_status status = dipp_run_setup_load(setup, run->seed, error);
    if (status == DIPP_OK)
        status = dipp_run_record_open(store, request->run_id, run->uuid, &record, error);
    record.attempt = run->attempts;
    if (status == DIPP_OK)
        status = dipp_run_evaluator_create(setup, &record, request->stop, &evaluator, error);
    if (status == DIPP_OK) /* what the run started from, which is loaded still */
        status = dipp_run_evaluate(evaluator, 0, 0, error);
    if (status == DIPP_OK)
        status = load_result(setup, folder, error);
    if (status == DIPP_OK)
        status = dipp_run_evaluate(evaluator, run->step, run->images_seen, error);
    if (status == DIPP_OK)
        status = dipp_run_evaluate_reference(evaluator, true, error);
    dipp_run_evaluator_destroy(&evaluator);
    dipp_run_record_close(&record);
    return status;
}

dipp_status dipp_run_rescore(dipp_store *store, const dipp_rescore_request *request, dipp_plugins *plugins,
                             dipp_rescore_report *report, dipp_error *error)
{
    dipp_run_filter filter = {.run_id = request->run_id};
    scored_run run = {.found = false};
    dipp_experiment *experiment = NULL;
    dipp_run_setup *setup = NULL;
    char *folder = NULL;
    size_t count = 0;
    dipp_status status = check_overrides(request, error);
    if (status == DIPP_OK)
        status = dipp_store_each_run(store, &filter, read_run, &run, error);
    if (status == DIPP_OK && !run.found)
        status = dipp_fail(error, DIPP_E_NOT_FOUND, "there is no run %lld", (long long)request->run_id);
    if (status == DIPP_OK && !run.completed)
        status = dipp_fail(error, DIPP_E_INVALID, "run %lld is not completed, so it has no result to score",
                           (long long)request->run_id);
    if (status == DIPP_OK)
        status = dipp_run_result_folder(store, request->run_id, &folder, error);
    if (status == DIPP_OK)
        status = parse(&run, request, plugins, &experiment, error);
    if (status == DIPP_OK)
        status = dipp_run_refuse_reward(dipp_experiment_cells(experiment, &count)[0].config, "scored", error);
    if (status == DIPP_OK)
        status = dipp_run_setup_create(dipp_experiment_cells(experiment, &count)[0].config, plugins, request->threads,
                                       &setup, error);
    if (status == DIPP_OK)
        status = score(store, request, &run, folder, setup, error);
    if (status == DIPP_OK)
        *report = (dipp_rescore_report){run.step, (int64_t)setup->evaluation.count *
                                                      dipp_config_int(setup->config, "evaluate.samples")};
    dipp_run_setup_destroy(&setup);
    dipp_experiment_destroy(&experiment);
    dipp_release(run.config_json);
    dipp_release(folder);
    return status;
}
