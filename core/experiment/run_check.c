#include "experiment/run_check.h"

#include "base/memory.h"
#include "experiment/run_evaluate.h"
#include "experiment/run_source.h"
#include "plugin/plugin_child.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { UNPLANNED_BYTES = 512 << 20, APART_MS = 600 * 1000 };

static void add_role(dipp_check_report *report, const char *name, size_t bytes, int64_t parameters)
{
    if (!bytes || report->role_count == DIPP_CHECK_ROLES)
        return;
    snprintf(report->roles[report->role_count].name, sizeof report->roles[0].name, "%s", name);
    report->roles[report->role_count].parameters = parameters;
    report->roles[report->role_count++].bytes = bytes;
    report->total_bytes += bytes;
}

static void add_set(dipp_check_report *report, const char *name, const dipp_parameter_set *set)
{
    if (set && dipp_layout_parameters(set->layout))
        add_role(report, name, dipp_parameter_set_bytes(set), dipp_layout_parameters(set->layout));
}

static void describe(const dipp_run_setup *setup, const dipp_plan_report *plan, double flops, dipp_check_report *report)
{
    const dipp_models *models = setup->models;
    snprintf(report->backend, sizeof report->backend, "%s %s, %u thread%s", setup->backend->name,
             setup->backend->precision, setup->backend->threads, setup->backend->threads == 1 ? "" : "s");
    add_set(report, "generator", models->generator_set);
    add_set(report, "generator average", models->generator_ema);
    add_set(report, "TA", models->ta_set);
    add_set(report, "reference", models->reference_set);
    add_set(report, "reference average", models->reference_ema);
    add_set(report, "text encoder", models->text_set);
    add_set(report, "text encoder average", models->text_ema);
    add_set(report, "decoder", models->decoder_set);
    for (uint32_t i = 0; i < models->reward_count; i++)
        add_set(report, models->rewards[i].plugin->name, models->rewards[i].set);
    add_role(report, "activations and buffers", plan->arena_bytes, -1);
    add_role(report, "constants", plan->constant_bytes, -1);
    report->peak_bytes = plan->peak_bytes;
    report->peak_step = plan->peak_step;
    report->temporaries_sum = plan->temporaries_sum;
    snprintf(report->peak_program, sizeof report->peak_program, "%s", plan->peak_program ? plan->peak_program : "");
    snprintf(report->peak_op, sizeof report->peak_op, "%s", plan->peak_op ? plan->peak_op : "");
    report->flops = flops;
    report->prompts = setup->prompts.count;
    report->evaluation_prompts = setup->evaluation.count;
    report->samples = (uint32_t)dipp_config_int(setup->config, "evaluate.samples");
}

static dipp_status check_align(dipp_run_setup *setup, int64_t seed, dipp_check_report *report, dipp_error *error)
{
    dipp_align_settings settings;
    dipp_align *align = NULL;
    dipp_prompt_table *prompts = NULL;
    dipp_plan_report plan = {0};
    dipp_status status = dipp_run_align_settings(setup->config, &setup->models->schedule, seed, &settings, error);
    if (status == DIPP_OK)
        status = dipp_prompt_table_create(setup->models, setup->prompts.texts, setup->prompts.count, &prompts, error);
    if (status == DIPP_OK)
        status = dipp_align_create(setup->models, prompts, &settings, &plan, &align, error);
    if (status == DIPP_OK)
        describe(setup, &plan, dipp_align_flops(align), report);
    dipp_align_destroy(&align);
    dipp_prompt_table_destroy(&prompts);
    return status;
}

static dipp_status check_pretrain(dipp_run_setup *setup, int64_t seed, dipp_check_report *report, dipp_error *error)
{
    dipp_pretrain_settings settings;
    dipp_pretrain *pretrain = NULL;
    dipp_scene_source *source = NULL;
    dipp_plan_report plan = {0};
    const dipp_shape *picture = &setup->models->picture;
    dipp_status status = dipp_run_pretrain_settings(setup->config, &setup->models->schedule, seed, &settings, error);
    if (status == DIPP_OK && (!setup->models->space.images || picture->rank != 3))
        status = dipp_fail(error, DIPP_E_INVALID, "pretraining learns pictures, and this reference works on vectors");
    if (status == DIPP_OK)
        status = dipp_scene_source_create(setup->world, (int)picture->dims[1], &source, error);
    if (status == DIPP_OK) {
        dipp_sample_source door = dipp_scene_source_of(source);
        status = dipp_pretrain_create(setup->models, &door, &settings, &plan, &pretrain, error);
    }
    if (status == DIPP_OK)
        describe(setup, &plan, dipp_pretrain_flops(pretrain), report);
    dipp_pretrain_destroy(&pretrain);
    dipp_scene_source_destroy(&source);
    return status;
}

dipp_status dipp_run_check(const dipp_cell *cell, dipp_plugins *plugins, bool weights, dipp_check_report *report,
                           dipp_error *error)
{
    dipp_run_setup *setup = NULL;
    dipp_run_evaluator *evaluator = NULL;
    *report = (dipp_check_report){.role_count = 0};
    dipp_status status = dipp_run_setup_create(cell->config, plugins, 0, &setup, error);
    if (status == DIPP_OK && weights)
        status = dipp_run_setup_load(setup, cell->seed, error);
    if (status == DIPP_OK)
        status = setup->pretrain ? check_pretrain(setup, cell->seed, report, error)
                                 : check_align(setup, cell->seed, report, error);
    if (status == DIPP_OK)
        status = dipp_run_evaluator_create(setup, NULL, NULL, &evaluator, error);
    dipp_run_evaluator_destroy(&evaluator);
    dipp_run_setup_destroy(&setup);
    return status;
}

/* ---- Apart ---- */

dipp_status dipp_run_limit_memory(size_t planned, dipp_error *error)
{
    unsigned long long data =
        0; /* private writable pages (proc(5)); sanitizers and devices' libraries reserve terabytes */
    FILE *file = fopen("/proc/self/statm", "r");
    int found = file ? fscanf(file, "%*u %*u %*u %*u %*u %llu", &data) : 0;
    if (file)
        fclose(file);
    rlim_t most = (rlim_t)data * (rlim_t)sysconf(_SC_PAGESIZE) + UNPLANNED_BYTES + planned;
    if (found != 1 || setrlimit(RLIMIT_DATA, &(struct rlimit){most, most}) != 0)
        return dipp_fail(error, DIPP_E_IO, "this process' memory cannot be limited");
    return DIPP_OK;
}

typedef struct apart {
    const dipp_cell *cell;
    dipp_plugins *plugins;
    size_t limit;
} apart;

typedef struct apart_answer {
    size_t bytes;
    dipp_error error;
} apart_answer;

static int check_in_child(void *context, volatile int *stage)
{
    const apart *question = context;
    apart_answer answer = {0};
    dipp_check_report report;
    answer.error.code = dipp_run_limit_memory(question->limit, &answer.error);
    if (answer.error.code == DIPP_OK)
        answer.error.code = dipp_run_check(question->cell, question->plugins, false, &report, &answer.error);
    if (answer.error.code == DIPP_OK)
        answer.bytes = report.total_bytes;
    return dipp_child_write((const char *)&answer, sizeof answer);
}

dipp_status dipp_run_check_apart(const dipp_cell *cell, dipp_plugins *plugins, size_t limit, size_t *bytes,
                                 dipp_error *error)
{
    apart question = {cell, plugins, limit};
    dipp_child_answer child;
    apart_answer answer = {0};
    *bytes = 0;
    dipp_status status = dipp_child_run(check_in_child, &question, APART_MS, sizeof answer, &child, error);
    if (status != DIPP_OK)
        return status;
    if (child.data && child.size == sizeof answer)
        memcpy(&answer, child.data, sizeof answer);
    dipp_release(child.data);
    *bytes = answer.bytes;
    return answer.error.code == DIPP_OK ? DIPP_OK : dipp_fail(error, answer.error.code, "%s", answer.error.message);
}
