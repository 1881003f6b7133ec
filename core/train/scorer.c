/* A reward plugin as a metric: an instance of its own, recorded in evaluation mode. */
#include "base/memory.h"
#include "train/claims.h"
#include "train/program_io.h"
#include "train/sampler.h"
#include "train/scores.h"
#include "train/streams.h"

#include <math.h>
#include <string.h>

struct dipp_scorer {
    const dipp_plugin *plugin;
    const dipp_reward *vtable;
    void *self;
    dipp_reward_info info;
    dipp_layout *layout;
    dipp_parameter_set *set;
    dipp_program *program;
    dipp_executable *run;
    dipp_plan *plan;
    dipp_plan_report report;
    uint32_t n;
    size_t floats;
    dipp_shape sample;
    float *padded, *mask;
    int32_t *tokens;
    double *scores;
};

static dipp_status build(dipp_scorer *scorer, dipp_backend *backend, const char *weights, const char *head,
                         dipp_error *error)
{
    dipp_graph *g;
    dipp_status status = dipp_layout_create(scorer->plugin->name, &scorer->layout, error);
    if (status == DIPP_OK)
        status = dipp_graph_create(scorer->plugin->name, &g, error);
    if (status != DIPP_OK)
        return status;
    dipp_params p = dipp_graph_slot(g, "reward", scorer->layout, false);
    dipp_shape shape = {.rank = scorer->sample.rank + 1, .dims = {scorer->n}};
    memcpy(shape.dims + 1, scorer->sample.dims, scorer->sample.rank * sizeof shape.dims[0]);
    dipp_tensor samples = dipp_input(g, "samples", DIPP_WIDE, shape);
    dipp_prompt text = {0};
    if (scorer->info.token_length) {
        dipp_shape tokens = DIPP_SHAPE(scorer->n, scorer->info.token_length);
        text = (dipp_prompt){dipp_input(g, "tokens", DIPP_INT32, tokens), dipp_input(g, "mask", DIPP_WIDE, tokens)};
    }
    dipp_tensor scores = dipp_record_scores(scorer->vtable, scorer->self, g, p, samples, text, DIPP_REWARD_EVALUATE);
    dipp_output(g, "scores", dipp_expect_shape(g, scores, &DIPP_SHAPE(scorer->n), "it"));
    status = dipp_program_create(&g, backend, &scorer->program, error);
    if (status == DIPP_OK)
        status = dipp_parameter_set_create(scorer->plugin->name, scorer->layout, backend, false, &scorer->set, error);
    if (status == DIPP_OK)
        status = weights ? dipp_weights_read_with_head(weights, head, scorer->set, error)
                         : dipp_parameter_set_initialise(scorer->set, 0, DIPP_STREAM_REWARD_INIT, error);
    if (status == DIPP_OK)
        status = dipp_plan_create(backend, &scorer->plan, error);
    if (status == DIPP_OK)
        status = dipp_plan_step(scorer->plan, scorer->program, 0, error);
    if (status == DIPP_OK)
        status = dipp_plan_solve(scorer->plan, 0, &scorer->report, error);
    if (status == DIPP_OK)
        status = dipp_plan_allocate(scorer->plan, error);
    if (status == DIPP_OK)
        status = dipp_executable_create(scorer->plan, scorer->program, &(dipp_binding){scorer->set, NULL}, 1,
                                        &scorer->run, error);
    return status;
}

dipp_status dipp_scorer_create(dipp_backend *backend, const dipp_plugin *plugin, const dipp_parameters *parameters,
                               const dipp_host *host, const char *weights, const char *head, dipp_shape sample,
                               uint32_t batch, dipp_scorer **out, dipp_error *error)
{
    dipp_scorer *scorer = dipp_allocate_zeroed(1, sizeof *scorer);
    if (!scorer)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for the metric %s", plugin->name);
    scorer->plugin = plugin;
    scorer->vtable = plugin->vtable;
    scorer->n = batch ? batch : 1;
    scorer->sample = sample;
    scorer->floats = (size_t)dipp_shape_elements(&sample);
    dipp_status status = scorer->vtable->create(parameters, host, &scorer->self, error);
    scorer->info.struct_size = sizeof scorer->info;
    if (status == DIPP_OK)
        status = scorer->vtable->info(scorer->self, &scorer->info, error);
    if (status == DIPP_OK)
        status = dipp_check_reward_info(scorer->vtable, &scorer->info, error);
    if (status == DIPP_OK) {
        size_t tokens = (size_t)scorer->n * scorer->info.token_length + 1;
        scorer->padded = dipp_allocate_zeroed(scorer->n * scorer->floats, sizeof(float));
        scorer->scores = dipp_allocate_zeroed(scorer->n, sizeof(double));
        scorer->tokens = dipp_allocate_zeroed(tokens, sizeof *scorer->tokens);
        scorer->mask = dipp_allocate_zeroed(tokens, sizeof *scorer->mask);
        if (!scorer->padded || !scorer->scores || !scorer->tokens || !scorer->mask)
            status = dipp_fail(error, DIPP_E_MEMORY, "no memory for the metric %s", plugin->name);
    }
    if (status == DIPP_OK && scorer->info.opaque && weights)
        status = dipp_fail(error, DIPP_E_INVALID, "an opaque reward takes no weights; leave them out");
    if (status == DIPP_OK && !scorer->info.opaque)
        status = build(scorer, backend, weights, head, error);
    if (status != DIPP_OK) {
        dipp_error_context(error, "metric %s", plugin->name);
        dipp_scorer_destroy(&scorer);
    }
    *out = scorer;
    return status;
}

void dipp_scorer_destroy(dipp_scorer **pointer)
{
    if (!pointer || !*pointer)
        return;
    dipp_scorer *scorer = *pointer;
    dipp_executable_destroy(&scorer->run);
    dipp_program_destroy(&scorer->program);
    dipp_plan_destroy(&scorer->plan);
    dipp_parameter_set_destroy(&scorer->set);
    dipp_layout_destroy(&scorer->layout);
    if (scorer->self)
        scorer->vtable->destroy(scorer->self);
    dipp_release(scorer->padded);
    dipp_release(scorer->scores);
    dipp_release(scorer->tokens);
    dipp_release(scorer->mask);
    dipp_release(scorer);
    *pointer = NULL;
}

size_t dipp_scorer_bytes(const dipp_scorer *scorer)
{
    return scorer->set ? dipp_plan_bytes(&scorer->report) + dipp_parameter_set_bytes(scorer->set) : 0;
}

const dipp_reward_info *dipp_scorer_info(const dipp_scorer *scorer)
{
    return &scorer->info;
}

static dipp_status score_opaque(dipp_scorer *scorer, const float *samples, const char *const *prompts, uint32_t wanted,
                                dipp_error *error)
{
    bool has_gradient = false;
    for (uint32_t i = 0; i < wanted; i++)
        scorer->scores[i] = NAN; /* what a plugin forgets is not a score */
    return scorer->vtable->score(scorer->self, samples, &scorer->sample, prompts, wanted, scorer->scores, NULL,
                                 &has_gradient, error);
}

static dipp_status score_batch(dipp_scorer *scorer, const float *samples, const char *const *prompts, uint32_t wanted,
                               dipp_error *error)
{
    dipp_status status = DIPP_OK;
    for (uint32_t i = 0; i < scorer->n; i++) /* rows beyond the last repeat the first */
        memcpy(scorer->padded + i * scorer->floats, samples + (i < wanted ? i : 0) * scorer->floats,
               scorer->floats * sizeof(float));
    size_t length = scorer->info.token_length;
    if (length) {
        status = scorer->vtable->tokenize(scorer->self, prompts, wanted, scorer->tokens, scorer->mask, error);
        if (status == DIPP_OK)
            status = dipp_write_text(scorer->run, "", scorer->tokens, scorer->mask, scorer->n * length, error);
    }
    if (status == DIPP_OK)
        status = dipp_executable_write(scorer->run, "samples", scorer->padded, DIPP_HOST_F32,
                                       scorer->n * scorer->floats, error);
    if (status != DIPP_OK)
        return status;
    dipp_execute(scorer->run, 0);
    return dipp_executable_read(scorer->run, "scores", scorer->scores, DIPP_HOST_F64, scorer->n, error);
}

dipp_status dipp_scorer_score(dipp_scorer *scorer, const float *samples, const char *const *prompts, uint32_t count,
                              double *scores, dipp_error *error)
{
    dipp_status status = DIPP_OK;
    for (uint32_t done = 0; done < count && status == DIPP_OK; done += scorer->n) {
        uint32_t wanted = count - done < scorer->n ? count - done : scorer->n;
        status = (scorer->info.opaque ? score_opaque : score_batch)(scorer, samples + done * scorer->floats,
                                                                    prompts + done, wanted, error);
        memcpy(scores + done, scorer->scores, wanted * sizeof *scores);
    }
    return status;
}
