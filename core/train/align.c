#include "train/align_programs.h"

#include "base/memory.h"
#include "base/philox.h"
#include "train/streams.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Sums over an iteration that become its row of metrics. */
typedef struct iteration {
    double stats[DIPP_ALIGN_STATS], ikl, cfg_reward, scores[DIPP_MAX_REWARDS], scales[DIPP_MAX_REWARDS], norm;
    bool applied, scored[DIPP_MAX_REWARDS];
} iteration;

/* ---- Host side of a micro-batch: prompts, noise keys, times ---- */

uint32_t dipp_align_prompt(const dipp_align *align, uint32_t stream, int64_t step, uint32_t sample)
{
    double u = dipp_philox_uniform_double(align->settings.seed, stream, (uint32_t)step, sample, 0);
    return (uint32_t)(u * align->prompts->count);
}

static void choose_prompts(dipp_align *align, uint32_t stream, int64_t step, uint32_t first)
{
    for (uint32_t i = 0; i < align->n; i++)
        align->rows[i] = dipp_align_prompt(align, stream, step, first + i);
}

static void encode_prompts(dipp_align *align)
{
    if (!align->text)
        return;
    size_t length = align->prompts->reference.length;
    dipp_token_rows(&align->prompts->reference, align->rows, align->n, align->tokens, align->mask);
    dipp_write_text(align->run_condition, "", align->tokens, align->mask, align->n * length, NULL);
    uint32_t null_row = align->prompts->count;
    dipp_token_rows(&align->prompts->reference, &null_row, 1, align->tokens, align->mask);
    dipp_write_text(align->run_condition, "null_", align->tokens, align->mask, length, NULL);
    dipp_execute_maybe_timed(align->run_condition, 0, align->settings.ledger);
}

static void draw_levels(dipp_align *align, const dipp_time_sampler *sampler, dipp_parameterisation parameterisation,
                        uint32_t stream, int64_t step, uint32_t first, dipp_host_levels *levels)
{
    for (uint32_t i = 0; i < align->n; i++) {
        double u = dipp_philox_uniform_double(align->settings.seed, stream, (uint32_t)step, first + i, 0);
        dipp_time_draw draw = dipp_time_draw_at(sampler, dipp_time_law_draw(sampler, u));
        levels->t[i] = draw.t;
        levels->alpha[i] = draw.alpha;
        levels->sigma[i] = draw.sigma;
        levels->weight[i] = draw.weight / align->settings.batch;
        levels->network_t[i] = dipp_network_time(parameterisation, draw.t, draw.alpha, draw.sigma);
    }
}

static void write_levels(dipp_align *align, dipp_executable *run)
{
    const dipp_host_levels *levels = &align->levels;
    dipp_write_level(run, "level", levels->network_t, levels->alpha, levels->sigma, align->n, NULL);
    dipp_executable_write(run, "weight", levels->weight, DIPP_HOST_F64, align->n, NULL);
}

static void generate(dipp_align *align, uint32_t stream, int64_t step, uint32_t first)
{
    dipp_write_noise_keys(align->run_generate, align->models->steps.count, align->settings.seed, stream, step, first,
                          NULL);
    dipp_execute_maybe_timed(align->run_generate, 0, align->settings.ledger);
}

/* ---- The parts of an iteration ---- */

dipp_status dipp_align_pause(const dipp_align *align, dipp_error *error)
{
    const dipp_align_observer *observer = align->observer;
    if (!observer || !observer->stopping || !observer->stopping(observer->context))
        return DIPP_OK;
    return dipp_fail(error, DIPP_E_INTERRUPTED, "interrupted in iteration %lld", (long long)align->step + 1);
}

/* One update of the TA on fresh samples of the generator. */
static dipp_status teach(dipp_align *align, dipp_error *error)
{
    bool applied;
    const uint64_t seed = align->settings.seed;
    const dipp_network ta = dipp_ta_network(align->models);
    const int64_t at = align->ta_steps;
    dipp_taught taught = align->taught;
    for (uint32_t first = 0; first < align->settings.batch; first += align->n) {
        dipp_status paused = dipp_align_pause(align, error);
        if (paused != DIPP_OK)
            return paused;
        choose_prompts(align, DIPP_STREAM_TA_PROMPT, at, first);
        encode_prompts(align);
        generate(align, DIPP_STREAM_TA_Z, at, first);
        draw_levels(align, &align->settings.ta_time, align->models->ta_space.parameterisation, DIPP_STREAM_TA_TIME, at,
                    first, &align->levels);
        for (uint32_t i = 0; i < align->n; i++)
            align->levels.weight[i] =
                dipp_loss_weight_at(align->settings.ta_loss, &ta, align->levels.alpha[i], align->levels.sigma[i]) /
                align->settings.batch;
        write_levels(align, align->run_teach);
        dipp_write_key(align->run_teach, "eps_key", seed, DIPP_STREAM_TA_EPS, at, first, NULL);
        dipp_execute_maybe_timed(align->run_teach, 0, align->settings.ledger);
        dipp_executable_read(align->run_teach, "losses", align->per_sample, DIPP_HOST_F64, align->n, NULL);
        for (uint32_t i = 0; i < align->n; i++) {
            double level = log(align->levels.sigma[i] / align->levels.alpha[i]);
            int bin = level < -1.5 ? 0 : level < -0.5 ? 1 : level < 0.5 ? 2 : 3;
            taught.loss += align->per_sample[i];
            taught.bins[bin] += align->per_sample[i] * align->settings.batch;
            taught.counts[bin] += 1;
        }
    }
    dipp_status status = dipp_updater_step(&align->ta_update, &taught.norm, &applied, error);
    if (status != DIPP_OK)
        return status;
    taught.skipped += !applied;
    align->taught = taught;
    align->ta_steps++;
    return DIPP_OK;
}

/* Teaches until the TA has had so many updates in all: what an interrupted run did of them is not done again. */
static dipp_status teach_until(dipp_align *align, int64_t updates, dipp_error *error)
{
    dipp_status status = DIPP_OK;
    while (align->teach && align->ta_steps < updates && status == DIPP_OK)
        status = teach(align, error);
    return status;
}

/* The noise levels of the CFG term and how they count: of its own, or those of the divergence weighed its own way. */
static void write_cfg_levels(dipp_align *align, uint32_t first)
{
    const dipp_align_settings *settings = &align->settings;
    const dipp_host_levels *levels = &align->cfg_levels;
    bool apart = settings->divergence.cfg_apart;
    draw_levels(align, &align->cfg_time, align->models->space.parameterisation,
                apart ? DIPP_STREAM_CFG_TIME : DIPP_STREAM_TIME, align->step, first, &align->cfg_levels);
    if (apart) {
        dipp_write_level(align->run_diverge, "cfg", levels->network_t, levels->alpha, levels->sigma, align->n, NULL);
        dipp_write_key(align->run_diverge, "cfg_eps_key", settings->seed, DIPP_STREAM_CFG_EPS, align->step, first,
                       NULL);
    }
    for (uint32_t i = 0; i < align->n && settings->divergence.normalise; i++)
        levels->weight[i] = 1.0 / settings->batch;
    dipp_executable_write(align->run_diverge, "cfg_weight", levels->weight, DIPP_HOST_F64, align->n, NULL);
}

/* dL/dx0 of the divergence and of CFG; adds this micro-batch's estimate of the IKL and of the implicit reward. */
static void diverge(dipp_align *align, uint32_t first, iteration *row)
{
    const dipp_align_settings *settings = &align->settings;
    const dipp_divergence_spec *spec = &settings->divergence;
    draw_levels(align, &settings->time, align->models->space.parameterisation, DIPP_STREAM_TIME, align->step, first,
                &align->levels);
    for (uint32_t i = 0; i < align->n && spec->normalise; i++)
        align->levels.weight[i] = 1.0 / settings->batch;
    write_levels(align, align->run_diverge);
    for (uint32_t i = 0; i < align->n; i++)
        align->per_sample[i] = dipp_network_time(align->models->ta_space.parameterisation, align->levels.t[i],
                                                 align->levels.alpha[i], align->levels.sigma[i]);
    dipp_executable_write(align->run_diverge, "ta_t", align->per_sample, DIPP_HOST_F64, align->n, NULL);
    if (spec->guided)
        dipp_executable_write(align->run_diverge, "omega", &settings->cfg_omega, DIPP_HOST_F64, 1, NULL);
    if (spec->guided && !spec->inside)
        write_cfg_levels(align, first);
    dipp_write_key(align->run_diverge, "eps_key", settings->seed, DIPP_STREAM_EPS, align->step, first, NULL);
    dipp_execute_maybe_timed(align->run_diverge, 0, align->settings.ledger);
    dipp_executable_read(align->run_diverge, "squared_score", align->per_sample, DIPP_HOST_F64, align->n, NULL);
    if (spec->guided)
        dipp_executable_read(align->run_diverge, "squared_score_null", align->per_sample2, DIPP_HOST_F64, align->n,
                             NULL);
    for (uint32_t i = 0; i < align->n; i++) {
        double factor = dipp_ikl_factor(align->ikl_table, align->levels.t[i]) / settings->batch;
        row->ikl += factor * align->per_sample[i];
        if (spec->guided)
            row->cfg_reward += factor * (align->per_sample2[i] - align->per_sample[i]);
    }
}

static void write_ratios(dipp_align *align)
{
    char name[32];
    for (uint32_t r = 0; r < align->models->reward_count; r++) {
        double ratio = fabs(dipp_align_reward_scale(align, r));
        snprintf(name, sizeof name, "ratio.%u", r);
        if (align->settings.rewards[r].by_ratio)
            dipp_executable_write(align->run_combine, name, &ratio, DIPP_HOST_F64, 1, NULL);
    }
}

/* What the last micro-batch's gradient of a reward was multiplied by. */
static double applied_scale(const dipp_align *align, uint32_t r)
{
    char name[32];
    double scale = dipp_align_reward_scale(align, r), factor;
    if (!align->settings.rewards[r].by_ratio || scale == 0.0)
        return scale;
    snprintf(name, sizeof name, "scale.%u", r);
    dipp_executable_read(align->run_combine, name, &factor, DIPP_HOST_F64, 1, NULL);
    return copysign(factor, scale);
}

static void combine(dipp_align *align, iteration *row)
{
    double stats[DIPP_ALIGN_STATS], share = (double)align->n / align->settings.batch;
    write_ratios(align);
    dipp_execute_maybe_timed(align->run_combine, 0, align->settings.ledger);
    dipp_executable_read(align->run_combine, "stats", stats, DIPP_HOST_F64, DIPP_ALIGN_STATS, NULL);
    for (int i = 0; i < DIPP_ALIGN_STATS; i++)
        row->stats[i] += stats[i];
    for (uint32_t r = 0; r < align->models->reward_count; r++)
        row->scales[r] += share * applied_scale(align, r);
}

/* One iteration of Algorithm 1. */
static dipp_status iterate(dipp_align *align, iteration *row, dipp_error *error)
{
    const dipp_align_settings *settings = &align->settings;
    dipp_status status =
        teach_until(align, settings->ta_warmup + (align->step + 1) * (int64_t)settings->ta_updates, error);
    if (status != DIPP_OK)
        return status;
    for (uint32_t first = 0; first < align->settings.batch; first += align->n) {
        if ((status = dipp_align_pause(align, error)) != DIPP_OK)
            return status;
        choose_prompts(align, DIPP_STREAM_PROMPT, align->step, first);
        encode_prompts(align);
        generate(align, DIPP_STREAM_Z, align->step, first);
        if (align->diverge)
            diverge(align, first, row);
        status = dipp_align_pause(align, error);
        if (status == DIPP_OK)
            status = dipp_align_rewards_score(align, first, row->scores, row->scored, error);
        if (status == DIPP_OK)
            status = dipp_align_pause(align, error);
        if (status != DIPP_OK)
            return status;
        combine(align, row);
        dipp_execute_maybe_timed(
            align->run_generate, 1,
            align->settings.ledger); /* backward: dL/dx0 -> gradient of theta, summed over micro-batches */
    }
    return dipp_updater_step(&align->generator_update, &row->norm, &row->applied, error);
}

/* ---- Metrics ---- */

typedef struct metric_list {
    const char *names[48];
    double values[48];
    char texts[2 * DIPP_MAX_REWARDS][80];
    size_t count;
} metric_list;

static void add_metric(metric_list *list, const char *name, double value)
{
    list->names[list->count] = name;
    list->values[list->count++] = value;
}

static double cosine(double dot, double aa, double bb)
{
    return aa > 0 && bb > 0 ? dot / sqrt(aa * bb) : 0.0;
}

const char *dipp_align_reward_label(const dipp_models *models, uint32_t i, char out[DIPP_REWARD_LABEL_BYTES])
{
    bool again = false;
    for (uint32_t k = 0; k < i; k++)
        again = again || models->rewards[k].plugin == models->rewards[i].plugin;
    if (again)
        snprintf(out, DIPP_REWARD_LABEL_BYTES, "%s.%u", models->rewards[i].plugin->name, i);
    else
        snprintf(out, DIPP_REWARD_LABEL_BYTES, "%s", models->rewards[i].plugin->name);
    return out;
}

/* train/WHAT.LABEL of reward i. */
static const char *reward_metric(const dipp_models *models, const char *what, uint32_t i, char out[80])
{
    char label[DIPP_REWARD_LABEL_BYTES];
    snprintf(out, 80, "train/%s.%s", what, dipp_align_reward_label(models, i, label));
    return out;
}

static void report(dipp_align *align, const iteration *row)
{
    static const char *const bins[4] = {"train/ta_loss_low", "train/ta_loss_mid_low", "train/ta_loss_mid_high",
                                        "train/ta_loss_high"};
    const dipp_models *models = align->models;
    const double *s = row->stats;
    metric_list list = {.count = 0};
    double updates = align->settings.ta_updates ? align->settings.ta_updates : 1, total_reward = 0;
    if (align->teach) {
        const dipp_taught *taught = &align->taught;
        add_metric(&list, "train/ta_loss", taught->loss / updates);
        add_metric(&list, "train/ta_grad_norm", taught->norm);
        for (int i = 0; i < 4; i++)
            if (taught->counts[i] > 0)
                add_metric(&list, bins[i], taught->bins[i] / taught->counts[i]);
    }
    if (align->diverge) {
        add_metric(&list, "ikl", row->ikl);
        add_metric(&list, "train/dx0_divergence", sqrt(s[0]));
    }
    if (align->settings.divergence.guided) {
        add_metric(&list, "train/cfg_reward", row->cfg_reward);
        add_metric(&list, "train/dx0_cfg", sqrt(s[1]));
        add_metric(&list, "train/cos_divergence_cfg", cosine(s[3], s[0], s[1]));
    }
    for (uint32_t i = 0; i < models->reward_count; i++) {
        const dipp_align_reward *reward = &align->settings.rewards[i];
        if (!row->scored[i])
            continue;
        add_metric(&list, reward_metric(models, "reward", i, list.texts[2 * i]), row->scores[i]);
        if (reward->by_ratio || reward->ramp != DIPP_RAMP_CONSTANT)
            add_metric(&list, reward_metric(models, "scale", i, list.texts[2 * i + 1]), row->scales[i]);
        total_reward += row->scales[i] * row->scores[i];
    }
    if (models->reward_count) {
        add_metric(&list, "train/reward", total_reward);
        add_metric(&list, "train/dx0_reward", sqrt(s[2]));
        add_metric(&list, "train/cos_divergence_reward", cosine(s[4], s[0], s[2]));
        if (s[0] > 0)
            add_metric(&list, "train/ratio_reward_divergence", sqrt(s[2] / s[0]));
    }
    add_metric(&list, "train/grad_norm", row->norm);
    add_metric(&list, "train/skipped", (double)align->skipped);
    align->observer->metrics(align->observer->context, align->step, list.names, list.values, list.count);
}

/* ---- The loop ---- */

/* The TA alone, before the generator's first step: else the first gradients are pure guidance. */
static dipp_status warm_up(dipp_align *align, dipp_error *error)
{
    dipp_status status = teach_until(align, align->settings.ta_warmup, error);
    if (status == DIPP_OK)
        align->taught = (dipp_taught){0};
    return status;
}

static dipp_status run(dipp_align *align, dipp_error *error)
{
    const dipp_align_observer *observer = align->observer;
    dipp_status status = dipp_align_rewards_learn(align, error);
    if (status == DIPP_OK && align->step == 0 && align->ta_steps <= align->settings.ta_warmup) {
        status = warm_up(align, error);
        if (status == DIPP_OK && observer->after_step)
            status = observer->after_step(observer->context, align, 0, error);
    }
    while (status == DIPP_OK && !align->ended && align->step < align->settings.steps) {
        iteration row = {0};
        status = iterate(align, &row, error);
        if (status != DIPP_OK)
            break;
        bool whole = row.applied && !align->taught.skipped;
        align->skipped += !whole;
        align->nonfinite = whole ? 0 : align->nonfinite + 1;
        align->step++;
        if (observer->metrics)
            report(align, &row);
        align->taught = (dipp_taught){0};
        status = dipp_check_updates(align->nonfinite, align->settings.max_nonfinite, align->skipped, align->step,
                                    align->settings.steps, "learning rate, reward scale or cfg_omega", error);
        if (status == DIPP_OK && observer->after_step)
            status = observer->after_step(observer->context, align, align->step, error);
    }
    return status;
}

dipp_status dipp_align_run(dipp_align *align, const dipp_align_observer *observer, dipp_error *error)
{
    align->observer = observer;
    dipp_status status = run(align, error);
    align->observer = NULL;
    return status;
}

void dipp_align_end(dipp_align *align)
{
    align->ended = true;
}

int64_t dipp_align_step_count(const dipp_align *align)
{
    return align->step;
}

int64_t dipp_align_images_seen(const dipp_align *align)
{
    return align->step * (int64_t)align->settings.batch;
}
