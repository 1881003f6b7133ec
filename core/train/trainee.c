#include "train/trainee.h"

#include "base/memory.h"
#include "tensor/freeze.h"
#include "train/claims.h"
#include "train/program_io.h"
#include "train/scores.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

bool dipp_trainee_encodes(const dipp_trainee *trainee)
{
    return dipp_reward_encodes(trainee->reward.vtable);
}

bool dipp_trainee_contrasts(const dipp_trainee *trainee)
{
    const dipp_reward *vtable = trainee->reward.vtable;
    size_t needed = offsetof(dipp_reward, contrast) + sizeof vtable->contrast;
    return dipp_trainee_encodes(trainee) && vtable->struct_size >= needed && vtable->contrast;
}

dipp_shape dipp_trainee_batch_shape(const dipp_trainee *trainee, int64_t batch)
{
    dipp_shape shape = {.rank = trainee->sample.rank + 1, .dims = {batch}};
    memcpy(shape.dims + 1, trainee->sample.dims, trainee->sample.rank * sizeof shape.dims[0]);
    return shape;
}

/* ---- Recording ---- */

dipp_prompt dipp_trainee_text(const dipp_trainee *trainee, dipp_graph *g, int64_t rows)
{
    return dipp_prompt_inputs(g, "", rows, trainee->reward.info.token_length);
}

dipp_tensor dipp_trainee_scores(const dipp_trainee *trainee, dipp_graph *g, dipp_params p, dipp_tensor samples,
                                dipp_prompt text)
{
    const dipp_reward_model *reward = &trainee->reward;
    int64_t n = dipp_dim(g, samples, 0), rows = text.tokens.id ? dipp_dim(g, text.tokens, 0) : n;
    dipp_tensor scores;
    if (rows == n) {
        scores = dipp_record_scores(reward->vtable, reward->self, g, p, samples, text, DIPP_REWARD_TRAIN);
    } else { /* each text is encoded once, for a sample of either half */
        dipp_condition c = dipp_expect_condition(g, reward->vtable->encode_text(reward->self, g, p, text), rows);
        for (uint32_t i = 0; i < c.count; i++)
            c.parts[i] = dipp_concat(g, (const dipp_tensor[]){c.parts[i], c.parts[i]}, 2, 0);
        scores = reward->vtable->record_encoded(reward->self, g, p, samples, c, DIPP_REWARD_TRAIN);
    }
    return dipp_cast(g, dipp_expect_shape(g, scores, &DIPP_SHAPE(n), reward->plugin->name), DIPP_WIDE);
}

dipp_tensor dipp_trainee_contrast(const dipp_trainee *trainee, dipp_graph *g, dipp_params p, dipp_tensor samples,
                                  dipp_prompt text)
{
    const dipp_reward_model *reward = &trainee->reward;
    int64_t n = dipp_dim(g, samples, 0);
    dipp_condition c = dipp_expect_condition(g, reward->vtable->encode_text(reward->self, g, p, text), n);
    dipp_tensor logits = reward->vtable->contrast(reward->self, g, p, samples, c);
    return dipp_cast(g, dipp_expect_shape(g, logits, &DIPP_SHAPE(n, n), reward->plugin->name), DIPP_WIDE);
}

/* ---- Creation ---- */

static dipp_status instantiate(dipp_trainee *trainee, const dipp_trainee_options *options, dipp_error *error)
{
    dipp_reward_model *reward = &trainee->reward;
    const char *name = options->reward.plugin->name;
    *reward = (dipp_reward_model){.plugin = options->reward.plugin, .vtable = options->reward.plugin->vtable};
    dipp_status status = reward->vtable->create(options->reward.parameters, options->host, &reward->self, error);
    reward->info.struct_size = sizeof reward->info;
    if (status == DIPP_OK)
        status = reward->vtable->info(reward->self, &reward->info, error);
    if (status == DIPP_OK)
        status = dipp_check_reward_info(reward->vtable, &reward->info, error);
    if (status != DIPP_OK)
        return status;
    if (reward->info.opaque)
        return dipp_fail(error, DIPP_E_INVALID,
                         "%s is opaque: its scores come from outside, and there is nothing here that could be trained",
                         name);
    if (reward->info.token_length && !reward->vtable->tokenize)
        return dipp_fail(error, DIPP_E_PLUGIN, "it takes %u tokens but has no tokenize", reward->info.token_length);
    bool picture = options->sample.rank == 3 && options->sample.dims[0] == 3;
    if (reward->info.images != picture)
        return dipp_fail(error, DIPP_E_INVALID, "%s scores %s, and the samples are %s", name,
                         reward->info.images ? "pictures" : "vectors", picture ? "pictures" : "vectors");
    return DIPP_OK;
}

/* Records it with one sample, so that the layout knows all parameters. */
static dipp_status declare(dipp_trainee *trainee, dipp_error *error)
{
    dipp_graph *g;
    dipp_status status = dipp_layout_create(trainee->reward.plugin->name, &trainee->reward.layout, error);
    if (status == DIPP_OK)
        status = dipp_graph_create("declaration", &g, error);
    if (status != DIPP_OK)
        return status;
    dipp_params p = dipp_graph_slot(g, "reward", trainee->reward.layout, false);
    dipp_tensor samples = dipp_input(g, "samples", DIPP_WIDE, dipp_trainee_batch_shape(trainee, 1));
    dipp_prompt text = dipp_trainee_text(trainee, g, 1);
    dipp_trainee_scores(trainee, g, p, samples, text);
    if (dipp_trainee_contrasts(trainee))
        dipp_trainee_contrast(trainee, g, p, samples, text);
    status = dipp_graph_status(g, error);
    dipp_graph_destroy(&g);
    return status;
}

static dipp_status freeze(dipp_trainee *trainee, const dipp_trainee_options *options, dipp_error *error)
{
    dipp_layout *layout = trainee->reward.layout;
    dipp_status status = DIPP_OK;
    if (!dipp_layout_count(layout))
        return dipp_fail(error, DIPP_E_INVALID, "%s has no parameters: there is nothing to train",
                         options->reward.plugin->name);
    for (uint32_t i = 0; i < options->freeze_count && status == DIPP_OK; i++) {
        uint32_t count;
        status = dipp_layout_freeze(layout, options->freeze[i], &count, error);
    }
    for (uint32_t i = 0; i < dipp_layout_count(layout) && status == DIPP_OK; i++)
        if (!(dipp_layout_entry_at(layout, i)->flags & DIPP_PARAM_FROZEN))
            return DIPP_OK;
    return status == DIPP_OK
               ? dipp_fail(error, DIPP_E_INVALID, "all parameters of %s are frozen: nothing is left to train",
                           options->reward.plugin->name)
               : status;
}

dipp_status dipp_trainee_create(dipp_backend *backend, const dipp_trainee_options *options, dipp_trainee **out,
                                dipp_error *error)
{
    dipp_trainee *trainee = dipp_allocate_zeroed(1, sizeof *trainee);
    if (!trainee)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for a reward");
    trainee->backend = backend;
    trainee->sample = options->sample;
    const char *name = options->reward.plugin->name;
    dipp_status status = instantiate(trainee, options, error);
    if (status == DIPP_OK)
        status = declare(trainee, error);
    if (status == DIPP_OK && options->train)
        status = freeze(trainee, options, error);
    dipp_reward_model *reward = &trainee->reward;
    if (status == DIPP_OK)
        status = options->train ? dipp_parameter_set_create_in(name, reward->layout, backend, options->formats,
                                                               &reward->set, error)
                                : dipp_parameter_set_create(name, reward->layout, backend, false, &reward->set, error);
    if (status == DIPP_OK && options->train)
        status = dipp_parameter_set_create("reward average", reward->layout, backend, false, &trainee->average, error);
    if (status != DIPP_OK) {
        dipp_error_context(error, "reward %s", name);
        dipp_trainee_destroy(&trainee);
    }
    *out = trainee;
    return status;
}

void dipp_trainee_destroy(dipp_trainee **pointer)
{
    if (!pointer || !*pointer)
        return;
    dipp_trainee *trainee = *pointer;
    dipp_parameter_set_destroy(&trainee->average);
    dipp_parameter_set_destroy(&trainee->reward.set);
    dipp_layout_destroy(&trainee->reward.layout);
    if (trainee->reward.self)
        trainee->reward.vtable->destroy(trainee->reward.self);
    dipp_release(trainee);
    *pointer = NULL;
}

/* ---- Calibration ---- */

/* Every number of an entry times factor, plus shift. */
static void change_entry(dipp_parameter_set *set, uint32_t index, double factor, double shift)
{
    const dipp_layout_entry *entry = dipp_layout_entry_at(set->layout, index);
    for (size_t at = (size_t)entry->offset, end = at + (size_t)entry->elements; at < end; at++) {
        double value;
        dipp_parameter_set_read_part(set, DIPP_BLOCK_MASTER, at, 1, &value, DIPP_HOST_F64);
        value = factor * value + shift;
        dipp_parameter_set_write_part(set, DIPP_BLOCK_MASTER, at, 1, &value, DIPP_HOST_F64);
    }
}

dipp_status dipp_trainee_sharpen(const dipp_trainee *trainee, dipp_parameter_set *set, const char *layer, double factor,
                                 dipp_error *error)
{
    const char *plugin = trainee->reward.plugin->name;
    char weight[256], bias[256];
    uint32_t first = 0, second = 0;
    snprintf(weight, sizeof weight, "%s.weight", layer ? layer : "");
    snprintf(bias, sizeof bias, "%s.bias", layer ? layer : "");
    if (!layer && !dipp_layout_find(set->layout, "logit_scale", &first))
        return dipp_fail(error, DIPP_E_INVALID,
                         "the reward %s has no logit_scale that a temperature could be put into; name its last layer",
                         plugin);
    if (layer && !(dipp_layout_find(set->layout, weight, &first) && dipp_layout_find(set->layout, bias, &second)))
        return dipp_fail(error, DIPP_E_INVALID, "the reward %s has no layer %s with a weight and a bias", plugin,
                         layer);
    if (factor == 1)
        return DIPP_OK;
    change_entry(set, first, layer ? factor : 1, layer ? 0 : log(factor));
    if (layer)
        change_entry(set, second, factor, 0);
    return dipp_parameter_set_refresh(set, error);
}

/* ---- Scores ---- */

struct dipp_trainee_scorer {
    dipp_trainee *trainee;
    dipp_program *program;
    dipp_plan *plan;
    dipp_executable *run;
    dipp_plan_report report;
    uint32_t n;
    size_t floats;
    float *padded, *mask;
    int32_t *tokens;
    double *scores;
};

static dipp_status build(dipp_trainee_scorer *scorer, dipp_parameter_set *set, dipp_error *error)
{
    dipp_trainee *trainee = scorer->trainee;
    dipp_graph *g;
    dipp_status status = dipp_graph_create("scores of preferences", &g, error);
    if (status != DIPP_OK)
        return status;
    dipp_params p = dipp_graph_slot(g, "reward", trainee->reward.layout, false);
    dipp_tensor samples = dipp_input(g, "samples", DIPP_WIDE, dipp_trainee_batch_shape(trainee, scorer->n));
    dipp_prompt text = dipp_trainee_text(trainee, g, scorer->n);
    dipp_output(g, "scores", dipp_trainee_scores(trainee, g, p, samples, text));
    status = dipp_program_create(&g, trainee->backend, &scorer->program, error);
    if (status == DIPP_OK)
        status = dipp_plan_create(trainee->backend, &scorer->plan, error);
    if (status == DIPP_OK)
        status = dipp_plan_step(scorer->plan, scorer->program, 0, error);
    if (status == DIPP_OK)
        status = dipp_plan_solve(scorer->plan, 0, &scorer->report, error);
    if (status == DIPP_OK)
        status = dipp_plan_allocate(scorer->plan, error);
    if (status == DIPP_OK)
        status =
            dipp_executable_create(scorer->plan, scorer->program, &(dipp_binding){set, NULL}, 1, &scorer->run, error);
    return status;
}

dipp_status dipp_trainee_scorer_create(dipp_trainee *trainee, dipp_parameter_set *set, uint32_t batch,
                                       dipp_trainee_scorer **out, dipp_error *error)
{
    dipp_trainee_scorer *scorer = dipp_allocate_zeroed(1, sizeof *scorer);
    if (!scorer)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for scores");
    scorer->trainee = trainee;
    scorer->n = batch ? batch : 1;
    scorer->floats = (size_t)dipp_shape_elements(&trainee->sample);
    size_t tokens = (size_t)scorer->n * trainee->reward.info.token_length + 1;
    scorer->padded = dipp_allocate_zeroed(scorer->n * scorer->floats, sizeof(float));
    scorer->scores = dipp_allocate_zeroed(scorer->n, sizeof(double));
    scorer->tokens = dipp_allocate_zeroed(tokens, sizeof *scorer->tokens);
    scorer->mask = dipp_allocate_zeroed(tokens, sizeof *scorer->mask);
    dipp_status status = scorer->padded && scorer->scores && scorer->tokens && scorer->mask
                             ? build(scorer, set, error)
                             : dipp_fail(error, DIPP_E_MEMORY, "no memory for scores");
    if (status != DIPP_OK)
        dipp_trainee_scorer_destroy(&scorer);
    *out = scorer;
    return status;
}

void dipp_trainee_scorer_destroy(dipp_trainee_scorer **pointer)
{
    if (!pointer || !*pointer)
        return;
    dipp_trainee_scorer *scorer = *pointer;
    dipp_executable_destroy(&scorer->run);
    dipp_program_destroy(&scorer->program);
    dipp_plan_destroy(&scorer->plan);
    dipp_release(scorer->padded);
    dipp_release(scorer->scores);
    dipp_release(scorer->tokens);
    dipp_release(scorer->mask);
    dipp_release(scorer);
    *pointer = NULL;
}

size_t dipp_trainee_scorer_bytes(const dipp_trainee_scorer *scorer)
{
    return dipp_plan_bytes(&scorer->report);
}

uint32_t dipp_trainee_scorer_batch(const dipp_trainee_scorer *scorer)
{
    return scorer->n;
}

dipp_status dipp_trainee_scorer_score(dipp_trainee_scorer *scorer, const float *samples, const char *const *prompts,
                                      uint32_t count, double *scores, dipp_error *error)
{
    const dipp_reward_model *reward = &scorer->trainee->reward;
    size_t length = reward->info.token_length;
    dipp_status status = DIPP_OK;
    for (uint32_t i = 0; i < scorer->n; i++) /* rows beyond the last repeat the first */
        memcpy(scorer->padded + i * scorer->floats, samples + (i < count ? i : 0) * scorer->floats,
               scorer->floats * sizeof(float));
    if (length) {
        status = reward->vtable->tokenize(reward->self, prompts, count, scorer->tokens, scorer->mask, error);
        if (status == DIPP_OK)
            status = dipp_write_text(scorer->run, "", scorer->tokens, scorer->mask, scorer->n * length, error);
    }
    if (status == DIPP_OK)
        status = dipp_executable_write(scorer->run, "samples", scorer->padded, DIPP_HOST_F32,
                                       scorer->n * scorer->floats, error);
    if (status != DIPP_OK)
        return status;
    dipp_execute(scorer->run, 0);
    status = dipp_executable_read(scorer->run, "scores", scorer->scores, DIPP_HOST_F64, scorer->n, error);
    memcpy(scores, scorer->scores, count * sizeof *scores);
    return status;
}
