#include "experiment/run_merge.h"

#include "base/file.h"
#include "base/memory.h"
#include "experiment/experiment.h"
#include "experiment/run_result.h"
#include "experiment/run_weights.h"
#include "train/adapter_io.h"
#include "weights/weights.h"

#include <string.h>

typedef struct merged_run {
    char *config_json;
    int64_t seed;
} merged_run;

static int read_run(void *user, const dipp_run_row *row)
{
    merged_run *run = user;
    run->config_json = dipp_string_copy(row->config_json);
    run->seed = row->seed;
    return 1;
}

static dipp_status parse(const merged_run *run, dipp_plugins *plugins, dipp_experiment **experiment, dipp_error *error)
{
    dipp_plugin_catalog catalog = {plugins, dipp_plugins_parameter_table, dipp_plugins_name};
    dipp_diagnostics *diagnostics = run->config_json ? dipp_diagnostics_create() : NULL;
    if (!diagnostics)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for the run's configuration");
    dipp_status status = dipp_experiment_parse("configuration", run->config_json, strlen(run->config_json), NULL, 0,
                                               &catalog, diagnostics, experiment, error);
    dipp_diagnostics_destroy(&diagnostics);
    return status;
}

/* What the adapter's file says of itself, without what is true of adapters alone. */
static dipp_status write_merged(const char *adapter, const char *path, const dipp_parameter_set *set, bool bf16,
                                dipp_error *error)
{
    static const char *const kept[] = {"dipp.plugin", "dipp.params", "dipp.seed", "dipp.step", "dipp.images_seen"};
    enum { KEPT = sizeof kept / sizeof *kept };
    const char *metadata[2 * KEPT + 1] = {NULL}, **next = metadata;
    dipp_weights *weights = NULL;
    dipp_status status = dipp_weights_open(adapter, &weights, error);
    for (size_t i = 0; i < KEPT && status == DIPP_OK; i++) {
        const char *value = dipp_weights_metadata(weights, kept[i]);
        if (value)
            *next++ = kept[i], *next++ = value;
    }
    if (status == DIPP_OK)
        status = dipp_weights_write_sets(path, &set, 1, bf16, metadata, error);
    dipp_weights_destroy(&weights);
    return status;
}

/* base + the adapter in the run's folder -> TO/NAME. The base may be the reference's own set, so a copy is changed. */
static dipp_status merge(const char *folder, const char *adapter_name, const char *base_sha256,
                         const dipp_parameter_set *base, const dipp_merge_request *request, const char *name,
                         char **path, dipp_error *error)
{
    dipp_parameter_set *whole = NULL;
    char *adapter = dipp_run_weights_file(folder, adapter_name);
    *path = dipp_path_join(request->to, name);
    dipp_status status = adapter && *path ? dipp_run_check_adapter_base(adapter, base_sha256, error)
                                          : dipp_fail(error, DIPP_E_MEMORY, "no memory to merge an adapter");
    if (status == DIPP_OK)
        status = dipp_parameter_set_create("merged weights", base->layout, base->backend, false, &whole, error);
    if (status == DIPP_OK)
        status = dipp_parameter_set_copy(whole, base, error);
    if (status == DIPP_OK)
        status = dipp_adapter_merge(adapter, whole, error);
    if (status == DIPP_OK)
        status = write_merged(adapter, *path, whole, request->bf16, error);
    dipp_parameter_set_destroy(&whole);
    dipp_release(adapter);
    return status;
}

static dipp_status merge_all(const dipp_run_setup *setup, const char *folder, const dipp_merge_request *request,
                             void (*written)(void *user, const char *path), void *user, dipp_error *error)
{
    const dipp_models *models = setup->models;
    if (!models)
        return dipp_fail(error, DIPP_E_INVALID, "run %lld trained a reward; there is no adapter to merge",
                         (long long)request->run_id);
    const struct {
        const dipp_overlay *overlay;
        const dipp_parameter_set *base;
        const char *base_sha256, *adapter, *name;
    } networks[] = {{&models->generator_overlay, models->generator_set, setup->generator_base, DIPP_GENERATOR_ADAPTER,
                     "generator.safetensors"},
                    {&models->ta_overlay, models->ta_set, setup->ta_base, DIPP_TA_ADAPTER, "ta.safetensors"}};
    dipp_status status = DIPP_OK;
    if (!models->generator_overlay.layout && !models->ta_overlay.layout)
        return dipp_fail(error, DIPP_E_INVALID, "run %lld trained whole weights; there is no adapter to merge",
                         (long long)request->run_id);
    for (size_t i = 0; i < sizeof networks / sizeof *networks && status == DIPP_OK; i++) {
        char *path = NULL;
        if (!networks[i].overlay->layout)
            continue;
        status = merge(folder, networks[i].adapter, networks[i].base_sha256, networks[i].base, request,
                       networks[i].name, &path, error);
        if (status == DIPP_OK)
            written(user, path);
        dipp_release(path);
    }
    return status;
}

dipp_status dipp_run_merge(dipp_store *store, const dipp_merge_request *request, dipp_plugins *plugins,
                           void (*written)(void *user, const char *path), void *user, dipp_error *error)
{
    dipp_run_filter filter = {.run_id = request->run_id};
    merged_run run = {.seed = 0};
    dipp_experiment *experiment = NULL;
    dipp_run_setup *setup = NULL;
    char *folder = NULL;
    size_t count = 0;
    dipp_status status = dipp_run_result_folder(store, request->run_id, &folder, error);
    if (status == DIPP_OK)
        status = dipp_store_each_run(store, &filter, read_run, &run, error);
    if (status == DIPP_OK)
        status = parse(&run, plugins, &experiment, error);
    if (status == DIPP_OK)
        status = dipp_run_setup_create(dipp_experiment_cells(experiment, &count)[0].config, plugins, 0, &setup, error);
    if (status == DIPP_OK)
        status = dipp_run_setup_load(setup, run.seed, error);
    if (status == DIPP_OK)
        status = merge_all(setup, folder, request, written, user, error);
    dipp_run_setup_destroy(&setup);
    dipp_experiment_destroy(&experiment);
    dipp_release(run.config_json);
    dipp_release(folder);
    return status;
}
