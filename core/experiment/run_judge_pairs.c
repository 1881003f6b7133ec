#include "experiment/run_judge_pairs.h"

#include "base/memory.h"
#include "experiment/experiment.h"
#include "experiment/run_settings.h"
#include "experiment/run_weights.h"
#include "experiment/yaml_edit.h"
#include "train/streams.h"

#include <string.h>

enum { DEFAULT_BATCH = 64 };

/* The request as an experiment, so that parameters are checked and completed as everywhere. */
static dipp_status parse(const dipp_judge_pairs_request *request, dipp_plugins *plugins, dipp_experiment **experiment,
                         dipp_error *error)
{
    dipp_plugin_catalog catalog = {plugins, dipp_plugins_parameter_table, dipp_plugins_name};
    dipp_text json = {0};
    dipp_text_append(&json, "{\"name\":\"eval\",\"stage\":\"reward\",\"reward\":{\"plugin\":");
    dipp_json_write_string(&json, request->plugin);
    dipp_text_append(&json, "},\"preferences\":{\"train\":");
    dipp_json_write_string(&json, request->pairs);
    dipp_text_append(&json, "}}");
    char *text = dipp_text_finish(&json);
    dipp_diagnostics *diagnostics = text ? dipp_diagnostics_create() : NULL;
    dipp_status status = diagnostics
                             ? dipp_experiment_parse("configuration", text, strlen(text), request->overrides,
                                                     request->override_count, &catalog, diagnostics, experiment, error)
                             : dipp_fail(error, DIPP_E_MEMORY, "no memory for a reward's configuration");
    if (status == DIPP_E_INVALID)
        status = dipp_fail(error, status, "%.1800s", dipp_diagnostics_text(diagnostics));
    dipp_diagnostics_destroy(&diagnostics);
    dipp_release(text);
    return status;
}

static dipp_status create_trainee(const dipp_judge_pairs_request *request, const dipp_config *config,
                                  dipp_plugins *plugins, dipp_backend *backend, const dipp_run_shelf *shelf,
                                  dipp_trainee **trainee, dipp_error *error)
{
    static const dipp_host host = {.struct_size = sizeof host};
    const dipp_loaded_plugin *loaded = NULL;
    int height, width;
    dipp_run_shelf_size(shelf, &height, &width);
    dipp_status status = dipp_plugins_find(plugins, DIPP_PLUGIN_REWARD, request->plugin, &loaded, error);
    if (status != DIPP_OK)
        return status;
    dipp_trainee_options options = {.reward = {loaded->descriptor, dipp_config_parameters(config, "reward.params")},
                                    .host = &host,
                                    .sample = DIPP_SHAPE(3, height, width)};
    status = dipp_trainee_create(backend, &options, trainee, error);
    if (status != DIPP_OK)
        return status;
    dipp_parameter_set *set = (*trainee)->reward.set;
    if (!request->weights)
        return dipp_parameter_set_initialise(set, 0, DIPP_STREAM_REWARD_INIT, error);
    char *file = dipp_run_weights_file(request->weights, "model");
    status = file ? dipp_weights_read_sets(file, "model", &set, 1, error)
                  : dipp_fail(error, DIPP_E_MEMORY, "no memory to read %s", request->weights);
    dipp_release(file);
    return status;
}

dipp_status dipp_run_judge_pairs(const dipp_judge_pairs_request *request, dipp_plugins *plugins,
                                 dipp_take_preference_metrics take, void *context, dipp_error *error)
{
    dipp_experiment *experiment = NULL;
    dipp_preferences set = {.captions_differ = false};
    dipp_run_shelf *shelf = NULL;
    dipp_backend *backend = NULL;
    dipp_trainee *trainee = NULL;
    dipp_scorer *scorer = NULL;
    const dipp_config *config = NULL;
    size_t count = 0;
    dipp_status status = parse(request, plugins, &experiment, error);
    if (status == DIPP_OK) {
        config = dipp_experiment_cells(experiment, &count)[0].config;
        status = dipp_preferences_read(request->pairs, request->format, &set, error);
    }
    if (status == DIPP_OK) /* every picture is scored once, so none is kept */
        status =
            dipp_run_shelf_create(&set.pictures, (int)dipp_config_int(config, "preferences.size"), 0, &shelf, error);
    if (status == DIPP_OK)
        status = dipp_run_backend_create(config, request->threads, &backend, error);
    if (status == DIPP_OK)
        status = create_trainee(request, config, plugins, backend, shelf, &trainee, error);
    uint32_t batch = config ? (uint32_t)dipp_config_int(config, "evaluate.batch") : 0;
    if (status == DIPP_OK)
        status = dipp_scorer_borrow(backend, &trainee->reward, trainee->reward.set, DIPP_REWARD_TRAIN, trainee->sample,
                                    batch ? batch : DEFAULT_BATCH, &scorer, error);
    if (status == DIPP_OK)
        status = dipp_run_preferences_judge(&set, shelf, scorer, request->stop, take, context, error);
    dipp_scorer_destroy(&scorer);
    dipp_trainee_destroy(&trainee);
    dipp_backend_destroy(&backend);
    dipp_run_shelf_destroy(&shelf);
    dipp_preferences_clear(&set);
    dipp_experiment_destroy(&experiment);
    return status;
}
