/* Setting an alignment up: settings checked, programs recorded and planned, scratch allocated; and its work in numbers. */
#include "train/align_programs.h"

#include "base/memory.h"

#include <string.h>

static dipp_status check_rewards(const dipp_align *align, dipp_error *error)
{
    dipp_status status = DIPP_OK;
    for (uint32_t i = 0; i < align->models->reward_count && status == DIPP_OK; i++) {
        const dipp_align_reward *reward = &align->settings.rewards[i];
        status = dipp_reward_schedule_check(reward, align->settings.steps, error);
        if (status == DIPP_OK && reward->by_ratio && align->settings.divergence.kind == DIPP_DIVERGENCE_NONE)
            status = dipp_fail(error, DIPP_E_INVALID,
                               "a scale as grad_ratio needs a divergence, whose gradient it is a ratio to");
        if (status != DIPP_OK)
            dipp_error_context(error, "reward %s", align->models->rewards[i].plugin->name);
    }
    return status;
}

static dipp_status check_settings(const dipp_align *align, dipp_error *error)
{
    const dipp_align_settings *settings = &align->settings;
    const dipp_divergence_spec *spec = &settings->divergence;
    if (!align->models->generator || !align->models->ta_set)
        return dipp_fail(error, DIPP_E_INVALID, "alignment needs a generator and a TA");
    if (!settings->batch || align->n > settings->batch || settings->batch % align->n)
        return dipp_fail(error, DIPP_E_INVALID, "micro_batch %u does not divide batch %u", align->n, settings->batch);
    if (settings->cfg_omega != 1.0 && spec->kind == DIPP_DIVERGENCE_NONE)
        return dipp_fail(error, DIPP_E_INVALID, "cfg_omega %g needs a divergence: guidance acts through the reference",
                         settings->cfg_omega);
    if (settings->cfg_omega != 1.0 && !align->text)
        return dipp_fail(error, DIPP_E_INVALID, "cfg_omega %g needs a reference that takes text or labels",
                         settings->cfg_omega);
    if (settings->cfg_weight.given && (spec->inside || spec->normalise))
        return dipp_fail(error, DIPP_E_INVALID, "a weight of the CFG part has no meaning %s; leave it out",
                         spec->inside ? "with guidance inside the distance" : "where the divergence is normalised");
    dipp_status status = check_rewards(align, error);
    if (status != DIPP_OK || spec->kind == DIPP_DIVERGENCE_NONE)
        return status;
    const dipp_time_sampler *samplers[] = {&settings->time, &settings->ta_time, &align->cfg_time, &align->ikl_time};
    status = dipp_divergence_check(spec, error);
    for (size_t i = 0; i < sizeof samplers / sizeof *samplers && status == DIPP_OK; i++)
        status = dipp_time_sampler_check(samplers[i], error);
    return status;
}

/* A term's own weighting, or the divergence's. */
static dipp_time_sampler weighed_as(const dipp_align_settings *settings, const dipp_term_weight *own)
{
    dipp_time_sampler sampler = settings->time;
    if (own->given) {
        sampler.weighting = own->weighting;
        sampler.measure = own->measure;
    }
    return sampler;
}

static bool allocate_scratch(dipp_align *align)
{
    size_t n = align->n, length = align->prompts->reference.length;
    for (int i = 0; i < DIPP_MAX_REWARDS; i++)
        if (align->prompts->rewards[i].length > length)
            length = align->prompts->rewards[i].length;
    dipp_host_levels *levels[] = {&align->levels, &align->cfg_levels};
    double **arrays[12] = {&align->per_sample, &align->per_sample2};
    for (int i = 0; i < 2; i++) {
        double **own[] = {&levels[i]->t, &levels[i]->network_t, &levels[i]->alpha, &levels[i]->sigma,
                          &levels[i]->weight};
        memcpy(arrays + 2 + 5 * i, own, sizeof own);
    }
    bool good = true;
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        good = (*arrays[i] = dipp_allocate_zeroed(n, sizeof(double))) && good;
    align->rows = dipp_allocate_zeroed(n, sizeof *align->rows);
    align->tokens = dipp_allocate_zeroed(n * length + 1, sizeof *align->tokens);
    align->mask = dipp_allocate_zeroed(n * length + 1, sizeof *align->mask);
    align->row_texts = dipp_allocate_zeroed(n, sizeof *align->row_texts);
    return good && align->rows && align->row_texts && align->tokens && align->mask;
}

/* Everything whose memory the plan lays out. */
static void release_programs(dipp_align *align)
{
    dipp_executable_destroy(&align->run_condition);
    dipp_executable_destroy(&align->run_generate);
    dipp_executable_destroy(&align->run_teach);
    dipp_executable_destroy(&align->run_diverge);
    dipp_executable_destroy(&align->run_combine);
    dipp_program_destroy(&align->condition);
    dipp_program_destroy(&align->generate);
    dipp_program_destroy(&align->teach);
    dipp_program_destroy(&align->diverge);
    dipp_program_destroy(&align->combine);
    dipp_align_rewards_release(align);
    dipp_updater_destroy(&align->generator_update);
    dipp_updater_destroy(&align->ta_update);
    dipp_plan_destroy(&align->plan);
}

static dipp_status create_programs(dipp_align *align, bool recompute, dipp_plan_report *report, dipp_error *error)
{
    align->recompute = recompute;
    dipp_status status = dipp_align_record(align, error);
    if (status == DIPP_OK)
        status = dipp_align_plan(align, report, error);
    if (status == DIPP_OK)
        status = dipp_align_bind(align, error);
    if (status == DIPP_E_MEMORY)
        dipp_error_context(error, recompute ? "with blocks recomputed"
                                            : "with everything kept (recompute: auto or blocks needs less)");
    return status;
}

dipp_status dipp_align_create(dipp_models *models, const dipp_prompt_table *prompts,
                              const dipp_align_settings *settings, dipp_plan_report *report_out, dipp_align **out,
                              dipp_error *error)
{
    dipp_align *align = dipp_allocate_zeroed(1, sizeof *align);
    if (!align)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for the alignment");
    align->models = models;
    align->prompts = prompts;
    align->settings = *settings;
    align->n = settings->micro_batch ? settings->micro_batch : settings->batch;
    align->text = models->space.token_length > 0;
    align->settings.divergence.guided = align->text && (settings->cfg_omega != 1.0 || settings->always_guided) &&
                                        settings->divergence.kind != DIPP_DIVERGENCE_NONE;
    align->settings.time.schedule = align->settings.ta_time.schedule = models->schedule;
    align->cfg_time = weighed_as(&align->settings, &settings->cfg_weight);
    align->ikl_time = weighed_as(&align->settings, &settings->ikl_weight);
    if (settings->divergence.cfg_apart)
        align->cfg_time.law = settings->cfg_law;
    dipp_status status = check_settings(align, error);
    if (status == DIPP_OK && !allocate_scratch(align))
        status = dipp_fail(error, DIPP_E_MEMORY, "no memory for the alignment");
    if (status == DIPP_OK && settings->divergence.kind != DIPP_DIVERGENCE_NONE)
        status = dipp_ikl_table_create(&align->ikl_time, &align->ikl_table, error);
    if (status == DIPP_OK)
        status = dipp_align_opaque_prepare(align, error);
    if (status == DIPP_OK) {
        status = create_programs(align, settings->recompute == DIPP_RECOMPUTE_BLOCKS, report_out, error);
        if (status == DIPP_E_MEMORY && settings->recompute == DIPP_RECOMPUTE_AUTO) {
            release_programs(align);
            status = create_programs(align, true, report_out, error);
        }
    }
    if (status != DIPP_OK)
        dipp_align_destroy(&align);
    *out = align;
    return status;
}

void dipp_align_destroy(dipp_align **pointer)
{
    if (!pointer || !*pointer)
        return;
    dipp_align *align = *pointer;
    release_programs(align);
    dipp_ikl_table_destroy(&align->ikl_table);
    dipp_align_opaque_release(align);
    const dipp_host_levels *a = &align->levels, *b = &align->cfg_levels;
    void *memory[] = {a->t,        a->network_t,  a->alpha,          a->sigma,
                      a->weight,   b->t,          b->network_t,      b->alpha,
                      b->sigma,    b->weight,     align->per_sample, align->per_sample2,
                      align->rows, align->tokens, align->mask,       (void *)align->row_texts};
    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++)
        dipp_release(memory[i]);
    dipp_release(align);
    *pointer = NULL;
}

/* Sums what count says of a segment over an iteration. */
static double work_of(const dipp_align *align, double (*count)(const dipp_program *, uint32_t))
{
    double per_pass = 0, repeats = (double)align->settings.batch / align->n;
    if (align->teach)
        per_pass += align->settings.ta_updates * (count(align->generate, 0) + count(align->teach, 0));
    per_pass += count(align->generate, 0) + count(align->generate, 1);
    if (align->diverge)
        per_pass += count(align->diverge, 0);
    for (uint32_t i = 0; i < align->models->reward_count; i++) {
        bool opaque = align->models->rewards[i].info.opaque;
        if (align->led_by[i] != i)
            continue;
        per_pass += count(align->reward[i], 0) * (opaque ? 1 + 2 * dipp_align_pairs(align, i) : 1);
        per_pass += opaque ? count(align->reward[i], 1) : 0;
    }
    return per_pass * repeats;
}

double dipp_align_flops(const dipp_align *align)
{
    return work_of(align, dipp_program_flops);
}

double dipp_align_recomputed_flops(const dipp_align *align)
{
    return work_of(align, dipp_program_recomputed_flops);
}
