/* Rewards in an alignment: which of them one program scores, what is recorded of them, and a micro-batch's scores.
 * Page: docs/reward-sharing.md. */
#include "train/align_programs.h"

#include "base/memory.h"
#include "tensor/graph.h"
#include "train/program_io.h"
#include "train/scores.h"
#include "train/streams.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

double dipp_align_reward_scale(const dipp_align *align, uint32_t i)
{
    return dipp_reward_scale_at(&align->settings.rewards[i], align->step, align->settings.steps);
}

/* NAME of reward i in the program that scores it: "I.NAME". */
static const char *named(uint32_t i, const char *name, char out[32])
{
    snprintf(out, 32, "%u.%s", i, name);
    return out;
}

/* ---- Which rewards one program scores ---- */

/* Whether both are asked in the same iterations. */
static bool act_together(const dipp_align_reward *a, const dipp_align_reward *b)
{
    return a->start == b->start && a->end == b->end && (a->scale == 0) == (b->scale == 0) && a->ramp == b->ramp &&
           a->from == b->from && a->to == b->to && a->ramp_length == b->ramp_length;
}

/* The first reward of i's parameter set that acts when i does leads i: one program records their towers once. Gradients of those
 * whose scale is a ratio of gradients stay apart; those of the others meet before they run through the tower. */
static void choose_leaders(dipp_align *align)
{
    const dipp_align_reward *settings = align->settings.rewards;
    for (uint32_t i = 0; i < align->models->reward_count; i++) {
        const dipp_reward_model *reward = &align->models->rewards[i];
        uint32_t *leader = &align->led_by[i], *gradient = &align->gradient_of[i];
        *leader = *gradient = i;
        for (uint32_t k = 0; !reward->info.opaque && k < i && *leader == i; k++)
            if (align->models->rewards[k].home == reward->home && act_together(&settings[k], &settings[i]))
                *leader = align->led_by[k];
        for (uint32_t k = *leader; k < i && *gradient == i && !settings[i].by_ratio; k++)
            if (align->led_by[k] == *leader && !settings[k].by_ratio)
                *gradient = k;
    }
}

/* ---- Recording ---- */

/* pictures [n, 3, H, W] or x0 -> scores [n], wide; declares the inputs of the reward's texts. */
static dipp_tensor record_scores(dipp_align *align, dipp_graph *g, uint32_t i, dipp_params own, dipp_tensor pictures)
{
    const dipp_reward_model *reward = &align->models->rewards[i];
    char name[32];
    dipp_tensor given;
    if (align->texts[i]) {
        dipp_condition text = dipp_text_cache_inputs(align->texts[i], g, named(i, "text", name));
        given = reward->vtable->record_encoded(reward->self, g, own, pictures, text, DIPP_REWARD_ALIGN);
    } else {
        dipp_prompt text = dipp_prompt_inputs(g, named(i, "", name), align->n, reward->info.token_length);
        given = dipp_record_scores(reward->vtable, reward->self, g, own, pictures, text, DIPP_REWARD_ALIGN);
    }
    return dipp_cast(g, dipp_expect_shape(g, given, &DIPP_SHAPE(align->n), "the reward"), DIPP_WIDE);
}

/* dL/dx0 of the rewards whose gradient goes with that of reward i. */
static void record_gradient(dipp_align *align, dipp_graph *g, uint32_t i, dipp_tensor x0, const dipp_tensor *scores,
                            const dipp_tensor *seeds)
{
    dipp_tensor y[DIPP_MAX_REWARDS], dy[DIPP_MAX_REWARDS], dx;
    uint32_t count = 0;
    char name[32];
    for (uint32_t k = i; k < align->models->reward_count; k++)
        if (align->gradient_of[k] == i) {
            y[count] = scores[k];
            dy[count++] = seeds[k];
        }
    dipp_gradients(g, count, y, dy, 1, &x0, &dx);
    /* A score that is not finite must spoil the step even where its gradient is finite (log of a negative number). */
    for (uint32_t k = 0; k < count; k++)
        dx = dipp_add(g, dx, dipp_per_sample(g, dipp_scale_add(g, y[k], 0.0, 0.0), dx));
    dipp_output(g, named(i, "dx", name), dx);
}

/* x0 -> decode -> clamp -> scores of the rewards that are led by reward `leader`, and the gradient of sum(seed * scores) to x0; a
 * seed holds -alpha/batch (or, where alpha is a ratio of gradients, its sign alone). */
static dipp_status record_rewards(dipp_align *align, uint32_t leader, dipp_error *error)
{
    dipp_models *models = align->models;
    dipp_tensor scores[DIPP_MAX_REWARDS] = {DIPP_NONE}, seeds[DIPP_MAX_REWARDS] = {DIPP_NONE};
    bool several = false;
    char name[32];
    dipp_graph *g;
    for (uint32_t i = leader + 1; i < models->reward_count; i++)
        several = several || align->led_by[i] == leader;
    dipp_status status = dipp_graph_create(models->rewards[leader].plugin->name, &g, error);
    if (status != DIPP_OK)
        return status;
    dipp_params decoder = dipp_graph_slot(g, "decoder", models->decoder_layout, false);
    dipp_params own = dipp_graph_slot(g, "reward", models->rewards[leader].layout, false);
    dipp_tensor x0 = dipp_input(g, "x0", DIPP_WIDE, dipp_batch_shape(models, align->n));
    dipp_graph_share_equal(g, several);
    dipp_tensor pictures = dipp_record_pictures(models, g, decoder, x0, align->settings.clamp);
    for (uint32_t i = leader; i < models->reward_count; i++)
        if (align->led_by[i] == leader) {
            seeds[i] = dipp_input(g, named(i, "seed", name), DIPP_WIDE, DIPP_SHAPE(align->n));
            scores[i] = record_scores(align, g, i, own, pictures);
        }
    dipp_graph_share_equal(g, false);
    dipp_graph_recompute_blocks(g, align->recompute);
    for (uint32_t i = leader; i < models->reward_count; i++)
        if (align->led_by[i] == leader && align->gradient_of[i] == i)
            record_gradient(align, g, i, x0, scores, seeds);
    for (uint32_t i = leader; i < models->reward_count; i++)
        if (align->led_by[i] == leader)
            dipp_output(g, named(i, "scores", name), scores[i]);
    return dipp_program_create(&g, models->backend, &align->reward[leader], error);
}

dipp_status dipp_align_rewards_record(dipp_align *align, dipp_error *error)
{
    dipp_models *models = align->models;
    dipp_status status = DIPP_OK;
    choose_leaders(align);
    for (uint32_t i = 0; i < models->reward_count && status == DIPP_OK; i++)
        if (dipp_reward_caches_text(&models->rewards[i]))
            status = dipp_text_cache_create(&models->rewards[i], models->backend, align->n, DIPP_TEXT_CACHE_BYTES,
                                            align->texts, i, &align->texts[i], error);
    for (uint32_t i = 0; i < models->reward_count && status == DIPP_OK; i++)
        if (align->led_by[i] == i)
            status = models->rewards[i].info.opaque ? dipp_align_opaque_record(align, i, error)
                                                    : record_rewards(align, i, error);
    return status;
}

void dipp_align_rewards_release(dipp_align *align)
{
    for (int i = 0; i < DIPP_MAX_REWARDS; i++) {
        dipp_executable_destroy(&align->run_reward[i]);
        dipp_program_destroy(&align->reward[i]);
        dipp_text_cache_destroy(&align->texts[i]);
    }
}

/* ---- The plan ---- */

dipp_status dipp_align_texts_plan(dipp_align *align, dipp_error *error)
{
    dipp_status status = DIPP_OK;
    for (uint32_t i = 0; i < align->models->reward_count && status == DIPP_OK; i++)
        if (align->texts[i])
            status = dipp_text_cache_plan(align->texts[i], align->plan, error);
    return status;
}

dipp_status dipp_align_rewards_plan(dipp_align *align, dipp_error *error)
{
    dipp_status status = DIPP_OK;
    for (uint32_t i = 0; i < align->models->reward_count; i++)
        for (uint32_t s = 0; align->reward[i] && s < dipp_program_segments(align->reward[i]) && status == DIPP_OK; s++)
            status = dipp_plan_step(align->plan, align->reward[i], s, error);
    return status;
}

/* Buffer reward.I of a gradient, from the program that makes it to the one that adds it up. */
static dipp_status connect_gradient(dipp_align *align, uint32_t i, dipp_error *error)
{
    dipp_program *program = align->reward[align->led_by[i]];
    bool opaque = align->models->rewards[i].info.opaque;
    char name[32], own[32];
    snprintf(name, sizeof name, "reward.%u", i);
    dipp_status status = dipp_plan_buffer(align->plan, name, DIPP_WIDE, dipp_batch_shape(align->models, align->n), true,
                                          &align->reward_dx[i], error);
    if (status == DIPP_OK)
        status =
            dipp_plan_connect(align->plan, program, opaque ? "dx" : named(i, "dx", own), align->reward_dx[i], error);
    return status == DIPP_OK ? dipp_plan_connect(align->plan, align->combine, name, align->reward_dx[i], error)
                             : status;
}

dipp_status dipp_align_rewards_connect(dipp_align *align, dipp_error *error)
{
    dipp_status status = DIPP_OK;
    for (uint32_t i = 0; i < align->models->reward_count && status == DIPP_OK; i++) {
        if (align->led_by[i] == i)
            status = dipp_plan_connect(align->plan, align->reward[i], "x0", align->x0, error);
        if (status == DIPP_OK && align->gradient_of[i] == i)
            status = connect_gradient(align, i, error);
    }
    return status;
}

dipp_status dipp_align_rewards_bind(dipp_align *align, dipp_error *error)
{
    dipp_models *models = align->models;
    dipp_status status = DIPP_OK;
    for (uint32_t i = 0; i < models->reward_count && status == DIPP_OK; i++) {
        dipp_binding slots[2] = {{models->decoder_set, NULL}, {models->rewards[i].set, NULL}};
        if (align->reward[i])
            status = dipp_executable_create(align->plan, align->reward[i], slots, 2, &align->run_reward[i], error);
        if (status == DIPP_OK && align->texts[i])
            status = dipp_text_cache_bind(align->texts[i], align->plan, error);
    }
    return status;
}

/* ---- Texts ---- */

static bool caches_text(const dipp_align *align)
{
    bool any = false;
    for (uint32_t i = 0; i < align->models->reward_count; i++)
        any = any || align->texts[i];
    return any;
}

/* The texts of all prompts that the iterations from `step` on draw, each prompt once; *texts is the caller's to release. */
static dipp_status drawn_texts(const dipp_align *align, int64_t step, const char ***texts, uint32_t *count,
                               dipp_error *error)
{
    uint32_t prompts = align->prompts->count;
    bool *drawn = dipp_allocate_zeroed(prompts, sizeof *drawn);
    *texts = dipp_allocate_zeroed(prompts, sizeof **texts);
    *count = 0;
    if (!drawn || !*texts) {
        dipp_release(drawn);
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for %u prompts", prompts);
    }
    for (; step < align->settings.steps && *count < prompts; step++)
        for (uint32_t i = 0; i < align->settings.batch; i++) {
            uint32_t row = dipp_align_prompt(align, DIPP_STREAM_PROMPT, step, i);
            if (drawn[row])
                continue;
            drawn[row] = true;
            (*texts)[(*count)++] = align->prompts->texts[row];
        }
    dipp_release(drawn);
    return DIPP_OK;
}

dipp_status dipp_align_rewards_learn(dipp_align *align, dipp_error *error)
{
    enum { PIECE = 64 }; /* texts between two questions whether to stop */
    const char **texts = NULL;
    uint32_t count = 0;
    dipp_status status = caches_text(align) ? drawn_texts(align, align->step, &texts, &count, error) : DIPP_OK;
    for (uint32_t first = 0; first < count && status == DIPP_OK; first += PIECE) {
        uint32_t piece = count - first < PIECE ? count - first : PIECE;
        status = dipp_align_pause(align, error);
        for (uint32_t i = 0; i < align->models->reward_count && status == DIPP_OK; i++)
            if (align->texts[i])
                status = dipp_text_cache_learn(align->texts[i], texts + first, piece, error);
    }
    dipp_release((void *)texts);
    return status;
}

dipp_status dipp_align_text_work(const dipp_align *align, dipp_align_texts *out, dipp_error *error)
{
    const char **texts = NULL;
    *out = (dipp_align_texts){0};
    if (!caches_text(align))
        return DIPP_OK;
    dipp_status status = drawn_texts(align, 0, &texts, &out->prompts, error);
    for (uint32_t i = 0; i < align->models->reward_count; i++)
        if (align->texts[i]) {
            out->bytes += dipp_text_cache_bytes(align->texts[i], out->prompts);
            out->flops += out->prompts * dipp_text_cache_flops(align->texts[i]);
        }
    dipp_release((void *)texts);
    return status;
}

/* ---- One micro-batch ---- */

/* What a score's gradient is multiplied by: -alpha/batch, or the sign alone. */
static double factor_of(const dipp_align *align, uint32_t i)
{
    double scale = dipp_align_reward_scale(align, i);
    return -(align->settings.rewards[i].by_ratio ? copysign(1.0, scale) : scale) / align->settings.batch;
}

/* Texts and seed of reward i. */
static dipp_status write_inputs(dipp_align *align, uint32_t i, dipp_executable *run, dipp_error *error)
{
    const dipp_token_table *text = &align->prompts->rewards[i];
    dipp_status status = DIPP_OK;
    char name[32];
    if (align->texts[i]) {
        for (uint32_t k = 0; k < align->n; k++)
            align->row_texts[k] = align->prompts->texts[align->rows[k]];
        status = dipp_text_cache_write(align->texts[i], run, named(i, "text", name), align->row_texts, align->n, error);
    } else if (text->length) {
        dipp_token_rows(text, align->rows, align->n, align->tokens, align->mask);
        status = dipp_write_text(run, named(i, "", name), align->tokens, align->mask, align->n * text->length, error);
    }
    for (uint32_t k = 0; k < align->n; k++)
        align->per_sample[k] = factor_of(align, i);
    return status == DIPP_OK
               ? dipp_executable_write(run, named(i, "seed", name), align->per_sample, DIPP_HOST_F64, align->n, error)
               : status;
}

/* Scores the rewards that are led by `leader`; all of them are on, or none is. */
static dipp_status score_recorded(dipp_align *align, uint32_t leader, double scores[DIPP_MAX_REWARDS],
                                  dipp_error *error)
{
    dipp_executable *run = align->run_reward[leader];
    uint32_t count = align->models->reward_count;
    dipp_status status = DIPP_OK;
    char name[32];
    for (uint32_t i = leader; i < count && status == DIPP_OK; i++)
        if (align->led_by[i] == leader)
            status = write_inputs(align, i, run, error);
    if (status != DIPP_OK)
        return status;
    dipp_execute_maybe_timed(run, 0, align->settings.ledger);
    for (uint32_t i = leader; i < count && status == DIPP_OK; i++) {
        if (align->led_by[i] != leader)
            continue;
        status = dipp_executable_read(run, named(i, "scores", name), align->per_sample, DIPP_HOST_F64, align->n, error);
        for (uint32_t k = 0; k < align->n && status == DIPP_OK; k++)
            scores[i] += align->per_sample[k] / align->settings.batch;
    }
    return status;
}

dipp_status dipp_align_rewards_score(dipp_align *align, uint32_t first, double scores[DIPP_MAX_REWARDS],
                                     bool scored[DIPP_MAX_REWARDS], dipp_error *error)
{
    dipp_status status = DIPP_OK;
    for (uint32_t i = 0; i < align->models->reward_count && status == DIPP_OK; i++) {
        if (dipp_align_reward_scale(align, i) == 0.0) { /* switched off: it costs nothing and cannot spoil the step */
            if (align->gradient_of[i] == i)
                dipp_buffer_clear(align->plan, align->reward_dx[i]);
            continue;
        }
        scored[i] = true;
        if (align->models->rewards[i].info.opaque)
            status = dipp_align_opaque_score(align, i, first, factor_of(align, i), &scores[i], error);
        else if (align->led_by[i] == i)
            status = score_recorded(align, i, scores, error);
    }
    return status;
}
