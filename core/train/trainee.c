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
    dipp_status status = dipp_reward_open(reward, options->reward, options->host, error);
    if (status != DIPP_OK)
        return status;
    if (reward->info.opaque)
        return dipp_fail(error, DIPP_E_INVALID,
                         "%s is opaque: its scores come from outside, and there is nothing here that could be trained",
                         name);
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
    dipp_reward_clear(&trainee->reward);
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
