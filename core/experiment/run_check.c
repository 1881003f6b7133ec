#include "experiment/run_check.h"

#include "experiment/run_evaluate.h"
#include "experiment/run_source.h"

#include <stdio.h>
#include <string.h>

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

static void describe(const dipp_run_setup *setup, const dipp_plan_report *plan, dipp_check_report *report)
{
    const dipp_models *models = setup->models;
    snprintf(report->backend, sizeof report->backend, "%s %s, %u thread%s", setup->backend->name,
             setup->backend->precision, setup->backend->threads, setup->backend->threads == 1 ? "" : "s");
    const dipp_overlay *generator = &models->generator_overlay, *ta = &models->ta_overlay;
    bool generator_shares = models->generator_set && models->generator_set == models->reference_set;
    bool ta_shares = models->ta_set && models->ta_set == models->reference_set;
    if (!generator_shares)
        add_set(report, generator->layout ? "generator's frozen base" : "generator", models->generator_set);
    add_set(report, "generator average", models->generator_ema);
    add_set(report, "generator overlay", generator->set);
    add_set(report, "generator overlay average", generator->average);
    if (!ta_shares)
        add_set(report, ta->layout ? "TA's frozen base" : "TA", models->ta_set);
    add_set(report, "TA overlay", ta->set);
    add_set(report,
            generator_shares && ta_shares ? "reference, base of generator and TA"
            : generator_shares            ? "reference, base of the generator"
            : ta_shares                   ? "reference, base of the TA"
                                          : "reference",
            models->reference_set);
    add_set(report, "reference average", models->reference_ema);
    add_set(report, "text encoder", models->text_set);
    add_set(report, "text encoder average", models->text_ema);
    add_set(report, "decoder", models->decoder_set);
    add_set(report, "decoder average", models->decoder_ema);
    for (uint32_t i = 0; i < models->reward_count; i++)
        add_set(report, models->rewards[i].plugin->name, models->rewards[i].set);
    add_role(report, "activations and buffers", plan->arena_bytes, -1);
    add_role(report, "constants", plan->constant_bytes, -1);
    report->peak_bytes = plan->peak_bytes;
    report->peak_step = plan->peak_step;
    report->temporaries_sum = plan->temporaries_sum;
    snprintf(report->peak_program, sizeof report->peak_program, "%s", plan->peak_program ? plan->peak_program : "");
    snprintf(report->peak_op, sizeof report->peak_op, "%s", plan->peak_op ? plan->peak_op : "");
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
    if (status == DIPP_OK) {
        describe(setup, &plan, report);
        report->flops = dipp_align_flops(align);
        report->recomputed_flops = dipp_align_recomputed_flops(align);
    }
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
    if (status == DIPP_OK) {
        describe(setup, &plan, report);
        report->flops = dipp_pretrain_flops(pretrain);
        report->recomputed_flops = dipp_pretrain_recomputed_flops(pretrain);
    }
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
    dipp_status status = weights ? dipp_run_setup_create(cell->config, plugins, 0, &setup, error)
                                 : dipp_run_setup_create_unbacked(cell->config, plugins, &setup, error);
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
