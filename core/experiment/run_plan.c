#include "experiment/run_plan.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "experiment/run_check.h"
#include "experiment/run_commit.h"
#include "experiment/run_settings.h"
#include "experiment/yaml_edit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *dipp_build_commit(void)
{
    return DIPP_BUILD_COMMIT;
}

/* ---- Looking ---- */

typedef struct lookup {
    dipp_planned_cell *planned;
    bool found, other; /* other: the same arm and seed under another key */
    long long step;
    char error[160], host[64];
    long long pid;
} lookup;

static int found_run(void *user, int columns, const char *const *names, const char *const *values)
{
    static const char *const statuses[] = {"queued", "running", "completed", "failed", "killed", "pruned", "lost"};
    lookup *look = user;
    if (strcmp(values[0], look->planned->key)) {
        look->other = true;
        return 0;
    }
    look->found = true;
    look->planned->run_id = strtoll(values[1], NULL, 10);
    snprintf(look->planned->uuid, sizeof look->planned->uuid, "%s", values[2]);
    for (int i = 0; i < 7; i++)
        if (!strcmp(values[3], statuses[i]))
            look->planned->status = (dipp_run_status)i;
    look->step = strtoll(values[4], NULL, 10);
    snprintf(look->error, sizeof look->error, "%s", values[5] ? values[5] : "");
    snprintf(look->host, sizeof look->host, "%s", values[6] ? values[6] : "");
    look->pid = values[7] ? strtoll(values[7], NULL, 10) : 0;
    return 0;
}

typedef struct build_check {
    dipp_plugins *plugins;
    char changed[80]; /* the first plugin whose file is another now */
} build_check;

static int check_build(void *user, int columns, const char *const *names, const char *const *values)
{
    build_check *check = user;
    const dipp_loaded_plugin *loaded = NULL;
    dipp_plugin_kind kind = !strcmp(values[0], "generator") ? DIPP_PLUGIN_GENERATOR
                            : !strcmp(values[0], "reward")  ? DIPP_PLUGIN_REWARD
                                                            : DIPP_PLUGIN_REFERENCE;
    if (dipp_plugins_find(check->plugins, kind, values[1], &loaded, NULL) == DIPP_OK &&
        !strstr(values[2], loaded->sha256)) /* a run can hold scores by several builds of a metric */
        snprintf(check->changed, sizeof check->changed, "%s %s", values[0], values[1]);
    return *check->changed != 0;
}

static dipp_status decide_done(dipp_planned_cell *planned, dipp_plugins *plugins, dipp_store *store, const lookup *look,
                               dipp_error *error)
{
    char run[24];
    const char *binds[] = {run};
    build_check check = {.plugins = plugins};
    snprintf(run, sizeof run, "%lld", (long long)planned->run_id);
    planned->action = DIPP_CELL_DONE;
    dipp_status status = dipp_store_query(store,
                                          "SELECT p.kind, p.name, p.sha256 FROM run_plugins u JOIN plugins p "
                                          "USING(plugin_id) WHERE u.run_id=CAST(?1 AS INTEGER) UNION ALL "
                                          "SELECT p.kind, p.name, group_concat(p.sha256) FROM plugins p WHERE "
                                          "p.sha256<>'' AND p.plugin_id IN(SELECT s.plugin_id FROM scorers s WHERE "
                                          "EXISTS(SELECT 1 FROM evaluations e WHERE e.run_id=CAST(?1 AS INTEGER) AND "
                                          "e.scorer_id=s.scorer_id)) GROUP BY p.kind, p.name",
                                          binds, 1, check_build, &check, error);
    if (*check.changed)
        snprintf(planned->reason, sizeof planned->reason,
                 "completed, %lld steps, with another build of %s (--rerun runs it again)", look->step, check.changed);
    else
        snprintf(planned->reason, sizeof planned->reason, "completed, %lld steps", look->step);
    return status;
}

static dipp_status decide(dipp_planned_cell *planned, const char *experiment, dipp_plugins *plugins, dipp_store *store,
                          bool rerun, dipp_error *error)
{
    char seed[24];
    const char *binds[] = {experiment, planned->cell->arm, seed};
    lookup look = {.planned = planned};
    size_t size = sizeof planned->reason;
    snprintf(seed, sizeof seed, "%lld", (long long)planned->cell->seed);
    dipp_status status =
        store
            ? dipp_store_query(store,
                               "SELECT r.config_sha256, r.run_id, r.run_uuid, r.status, r.step, r.error, r.host, r.pid "
                               "FROM runs r JOIN experiments x USING(experiment_id) WHERE x.name=?1 AND r.arm=?2 AND "
                               "r.seed=CAST(?3 AS INTEGER)",
                               binds, 3, found_run, &look, error)
            : DIPP_OK;
    planned->action = DIPP_CELL_RUN;
    if (status != DIPP_OK)
        return status;
    if (!look.found) {
        snprintf(planned->reason, size, "%s",
                 look.other ? "new: configuration, weights or plugin versions changed since it last ran" : "new");
        return DIPP_OK;
    }
    switch (planned->status) {
    case DIPP_RUN_COMPLETED:
        if (!rerun)
            return decide_done(planned, plugins, store, &look, error);
        snprintf(planned->reason, size, "completed; asked for again");
        return DIPP_OK;
    case DIPP_RUN_RUNNING:
        planned->action = DIPP_CELL_ELSEWHERE;
        snprintf(planned->reason, size, "running on %s, process %lld, step %lld", look.host, look.pid, look.step);
        return DIPP_OK;
    case DIPP_RUN_QUEUED:
        snprintf(planned->reason, size, look.step ? "goes on from about step %lld" : "waiting", look.step);
        return DIPP_OK;
    default:
        snprintf(planned->reason, size, "%s at step %lld%s%s", dipp_run_status_name(planned->status), look.step,
                 *look.error ? ": " : "", look.error);
        return DIPP_OK;
    }
}

/* What the table of keys leaves open, so that it costs no run to find out. */
static dipp_status check_settings(const dipp_cell *cell, dipp_error *error)
{
    dipp_align_settings settings;
    dipp_schedule schedule = {.t_min = 0};
    dipp_status status = dipp_run_pretrains(cell->config)
                             ? DIPP_OK
                             : dipp_run_align_settings(cell->config, &schedule, cell->seed, &settings, error);
    return status == DIPP_OK ? DIPP_OK : dipp_error_context(error, "%s", cell->arm);
}

dipp_status dipp_run_plan_create(const dipp_experiment *experiment, dipp_plugins *plugins, dipp_store *store,
                                 bool rerun, dipp_run_plan **out, dipp_error *error)
{
    size_t count = 0;
    const dipp_cell *cells = dipp_experiment_cells(experiment, &count);
    dipp_run_keys *keys = NULL;
    dipp_run_plan *plan = dipp_allocate_zeroed(1, sizeof *plan);
    if (!plan || !(plan->cells = dipp_allocate_zeroed(count + 1, sizeof *plan->cells))) {
        dipp_run_plan_destroy(&plan);
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for %zu runs", count);
    }
    plan->experiment = experiment;
    plan->count = count;
    dipp_status status = dipp_run_keys_create(plugins, &keys, error);
    for (size_t i = 0; i < count && status == DIPP_OK; i++) {
        dipp_planned_cell *planned = &plan->cells[i];
        planned->cell = &cells[i];
        if (i && cells[i].point == cells[i - 1].point) {
            memcpy(planned->key, plan->cells[i - 1].key, sizeof planned->key);
        } else {
            status = check_settings(&cells[i], error);
            if (status == DIPP_OK)
                status = dipp_run_keys_of(keys, &cells[i], planned->key, error);
        }
        if (status == DIPP_OK)
            status = decide(planned, dipp_experiment_name(experiment), plugins, store, rerun, error);
        plan->to_run += planned->action == DIPP_CELL_RUN;
        plan->done += planned->action == DIPP_CELL_DONE;
        plan->elsewhere += planned->action == DIPP_CELL_ELSEWHERE;
    }
    dipp_run_keys_destroy(&keys);
    if (status != DIPP_OK)
        dipp_run_plan_destroy(&plan);
    *out = plan;
    return status;
}

void dipp_run_plan_destroy(dipp_run_plan **plan)
{
    if (!plan || !*plan)
        return;
    dipp_release((*plan)->cells);
    dipp_release(*plan);
    *plan = NULL;
}

dipp_status dipp_run_plan_memory(dipp_run_plan *plan, dipp_plugins *plugins, size_t limit, dipp_error *error)
{
    for (size_t i = 0; i < plan->count; i++) {
        dipp_planned_cell *planned = &plan->cells[i];
        const dipp_planned_cell *before = i ? &plan->cells[i - 1] : NULL;
        if (planned->action != DIPP_CELL_RUN)
            continue;
        if (before && before->bytes && before->cell->point == planned->cell->point) {
            planned->bytes = before->bytes;
            continue;
        }
        dipp_status status = dipp_run_check_apart(planned->cell, plugins, limit, &planned->bytes, error);
        if (status == DIPP_E_MEMORY)
            return dipp_error_context(error, "a run of %s takes more than the %.3g MiB that --memory allows in all",
                                      planned->cell->arm, (double)limit / 1048576);
        if (status != DIPP_OK)
            return dipp_error_context(error, "%s", planned->cell->arm);
        if (planned->bytes > limit)
            return dipp_fail(error, DIPP_E_MEMORY,
                             "a run of %s takes %.3g MiB by its plan, and --memory allows %.3g MiB in all; allow more, "
                             "or lower its batch (dipp plan says what takes how much)",
                             planned->cell->arm, (double)planned->bytes / 1048576, (double)limit / 1048576);
    }
    return DIPP_OK;
}

/* ---- Registering ---- */

static dipp_run_param parameter_of(const dipp_config_value *value)
{
    dipp_run_param param = {.key = value->key, .type = DIPP_STORE_TEXT, .text = value->text, .origin = value->source};
    size_t length = strlen(value->type);
    bool list = length >= 4 && !strcmp(value->type + length - 4, "list");
    if (list)
        param.type = DIPP_STORE_JSON;
    else if (!strcmp(value->type, "bool")) {
        param.type = DIPP_STORE_BOOL;
        param.integer = !strcmp(value->text, "true");
    } else if (!strcmp(value->type, "int")) {
        param.type = DIPP_STORE_INT;
        param.integer = strtoll(value->text, NULL, 10);
    } else if (!strcmp(value->type, "float") && dipp_parse_double(value->text, &param.real)) {
        param.type = DIPP_STORE_REAL;
    }
    if (!strcmp(value->source, "default"))
        param.source = DIPP_SOURCE_DEFAULT;
    else if (!strncmp(value->source, "override", 8))
        param.source = DIPP_SOURCE_OVERRIDE;
    else if (!strncmp(value->source, "grid", 4) || !strncmp(value->source, "zip", 3) ||
             !strncmp(value->source, "arm ", 4))
        param.source = DIPP_SOURCE_SWEEP;
    else
        param.source = DIPP_SOURCE_FILE;
    return param;
}

static dipp_status put_parameters(dipp_store *store, const dipp_planned_cell *planned, dipp_error *error)
{
    const dipp_cell *cell = planned->cell;
    dipp_run_param *params = dipp_allocate_zeroed(cell->value_count + 1, sizeof *params);
    if (!params)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for the parameters of a run");
    for (size_t i = 0; i < cell->value_count; i++)
        params[i] = parameter_of(&cell->values[i]);
    dipp_status status = dipp_store_params_put(store, planned->run_id, params, cell->value_count, error);
    dipp_release(params);
    return status;
}

static dipp_status register_cell(dipp_planned_cell *planned, const dipp_store_experiment *experiment, dipp_store *store,
                                 const char *overrides_json, dipp_error *error)
{
    static const char dirty[] = "-dirty";
    const char *stage = dipp_run_stage(planned->cell->config);
    char commit[64];
    snprintf(commit, sizeof commit, "%s", DIPP_BUILD_COMMIT);
    char *mark = strstr(commit, dirty);
    if (mark)
        *mark = 0;
    dipp_run_spec spec = {.experiment_id = experiment->experiment_id,
                          .revision = experiment->revision,
                          .arm = planned->cell->arm,
                          .seed = planned->cell->seed,
                          .config_sha256 = planned->key,
                          .config_json = planned->cell->json,
                          .overrides_json = overrides_json,
                          .stage = !strcmp(stage, "align") || !strcmp(stage, "reward") ? stage : "pretrain",
                          .slurm_job = getenv("SLURM_JOB_ID"),
                          .code_commit = strcmp(commit, "unknown") ? commit : NULL,
                          .code_dirty = mark != NULL};
    dipp_run_ref ref;
    dipp_status status = dipp_store_run_create(store, &spec, &ref, error);
    if (status != DIPP_OK)
        return status;
    planned->run_id = ref.run_id;
    snprintf(planned->uuid, sizeof planned->uuid, "%s", ref.run_uuid);
    return put_parameters(store, planned, error);
}

dipp_status dipp_run_plan_register(dipp_run_plan *plan, dipp_store *store, const char *yaml_path,
                                   const char *const *overrides, size_t override_count, dipp_error *error)
{
    char *yaml = NULL, sha256[DIPP_SHA256_HEX_BYTES];
    size_t bytes = 0;
    dipp_store_experiment experiment;
    dipp_text json = {0};
    dipp_text_append(&json, "[");
    for (size_t i = 0; i < override_count; i++) {
        dipp_text_append(&json, i ? "," : "");
        dipp_json_write_string(&json, overrides[i]);
    }
    dipp_text_append(&json, "]");
    char *overrides_json = dipp_text_finish(&json);
    dipp_status status = overrides_json
                             ? dipp_file_read(yaml_path, dipp_yaml_default_limits.bytes, &yaml, &bytes, error)
                             : dipp_fail(error, DIPP_E_MEMORY, "no memory for the overrides");
    if (status == DIPP_OK) {
        dipp_sha256_hex(yaml, bytes, sha256);
        status = dipp_store_begin(store, error);
    }
    if (status == DIPP_OK) {
        status = dipp_store_experiment_put(store, dipp_experiment_name(plan->experiment), yaml, sha256,
                                           dipp_experiment_baseline(plan->experiment), &experiment, error);
        for (size_t i = 0; i < plan->count && status == DIPP_OK; i++)
            if (plan->cells[i].action == DIPP_CELL_RUN)
                status = register_cell(&plan->cells[i], &experiment, store, overrides_json, error);
        if (status == DIPP_OK)
            status = dipp_store_commit(store, error);
        else
            dipp_store_rollback(store);
    }
    dipp_release(yaml);
    dipp_release(overrides_json);
    return status;
}
