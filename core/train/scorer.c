#include "train/scorer.h"

#include "base/file.h"
#include "base/memory.h"
#include "train/claims.h"
#include "train/program_io.h"
#include "train/scores.h"
#include "train/streams.h"
#include "train/text_cache.h"

#include <math.h>
#include <string.h>

struct dipp_scorer {
    dipp_reward_model reward;
    bool borrowed; /* its instance, layout and set are another's */
    dipp_reward_mode mode;
    dipp_backend *backend;
    char *file, *head;      /* of weights, resolved, or NULL */
    dipp_text_cache *texts; /* NULL: it takes no text, looks at text and sample together, or may change */
    dipp_plan *text_plan;   /* of texts alone: it outlives the recordings for samples */
    dipp_plan_report text_report;
    uint32_t n;
    /* For samples of this shape. */
    dipp_shape sample;
    size_t floats;
    dipp_program *program;
    dipp_executable *run;
    dipp_plan *plan;
    dipp_plan_report report;
    float *padded, *mask;
    int32_t *tokens;
    double *scores;
};

/* samples and texts, or features of texts -> "scores" [n]. */
static dipp_status record(dipp_scorer *scorer, dipp_error *error)
{
    const dipp_reward_model *reward = &scorer->reward;
    dipp_graph *g;
    dipp_status status = dipp_graph_create(reward->plugin->name, &g, error);
    if (status != DIPP_OK)
        return status;
    dipp_params p = dipp_graph_slot(g, "reward", reward->layout, false);
    dipp_shape shape = {.rank = scorer->sample.rank + 1, .dims = {scorer->n}};
    memcpy(shape.dims + 1, scorer->sample.dims, scorer->sample.rank * sizeof shape.dims[0]);
    dipp_tensor samples = dipp_input(g, "samples", DIPP_WIDE, shape), scores;
    if (scorer->texts) {
        dipp_condition text = dipp_text_cache_inputs(scorer->texts, g, "text");
        scores = reward->vtable->record_encoded(reward->self, g, p, samples, text, scorer->mode);
    } else {
        dipp_prompt text = dipp_prompt_inputs(g, "", scorer->n, reward->info.token_length);
        scores = dipp_record_scores(reward->vtable, reward->self, g, p, samples, text, scorer->mode);
    }
    dipp_output(g, "scores", dipp_expect_shape(g, scores, &DIPP_SHAPE(scorer->n), "it"));
    return dipp_program_create(&g, scorer->backend, &scorer->program, error);
}

/* The recording of one sample, thrown away: what parameters there are. */
static dipp_status declare(dipp_scorer *scorer, dipp_error *error)
{
    const dipp_reward_model *reward = &scorer->reward;
    dipp_graph *g;
    dipp_status status = dipp_graph_create(reward->plugin->name, &g, error);
    if (status != DIPP_OK)
        return status;
    dipp_params p = dipp_graph_slot(g, "reward", reward->layout, false);
    dipp_shape shape = {.rank = scorer->sample.rank + 1, .dims = {1}};
    memcpy(shape.dims + 1, scorer->sample.dims, scorer->sample.rank * sizeof shape.dims[0]);
    dipp_prompt text = dipp_prompt_inputs(g, "", 1, reward->info.token_length);
    dipp_record_scores(reward->vtable, reward->self, g, p, dipp_input(g, "samples", DIPP_WIDE, shape), text,
                       scorer->mode);
    status = dipp_graph_status(g, error);
    dipp_graph_destroy(&g);
    return status;
}

/* Memory for what record recorded, beside the weights that are there. */
static dipp_status place(dipp_scorer *scorer, dipp_error *error)
{
    dipp_status status = dipp_plan_create(scorer->backend, &scorer->plan, error);
    if (status == DIPP_OK)
        status = dipp_plan_step(scorer->plan, scorer->program, 0, error);
    if (status == DIPP_OK)
        status = dipp_plan_solve(scorer->plan, 0, &scorer->report, error);
    if (status == DIPP_OK)
        status = dipp_plan_allocate(scorer->plan, error);
    if (status == DIPP_OK)
        status = dipp_executable_create(scorer->plan, scorer->program, &(dipp_binding){scorer->reward.set, NULL}, 1,
                                        &scorer->run, error);
    return status;
}

static dipp_status place_texts(dipp_scorer *scorer, dipp_error *error)
{
    dipp_status status = dipp_plan_create(scorer->backend, &scorer->text_plan, error);
    if (status == DIPP_OK)
        status = dipp_text_cache_plan(scorer->texts, scorer->text_plan, error);
    if (status == DIPP_OK)
        status = dipp_plan_solve(scorer->text_plan, 0, &scorer->text_report, error);
    if (status == DIPP_OK)
        status = dipp_plan_allocate(scorer->text_plan, error);
    return status == DIPP_OK ? dipp_text_cache_bind(scorer->texts, scorer->text_plan, error) : status;
}

/* Its programs, once its layout and set are settled. caches: those of scorers before it (NULL ones are passed over). */
static dipp_status build(dipp_scorer *scorer, dipp_text_cache *const *caches, uint32_t cache_count, dipp_error *error)
{
    dipp_reward_model *reward = &scorer->reward;
    dipp_status status = DIPP_OK;
    if (!scorer->borrowed && dipp_reward_caches_text(reward))
        status = dipp_text_cache_create(reward, scorer->backend, scorer->n, DIPP_TEXT_CACHE_BYTES, caches, cache_count,
                                        &scorer->texts, error);
    if (status == DIPP_OK && scorer->texts && dipp_text_cache_is_home(scorer->texts))
        status = place_texts(scorer, error);
    if (status == DIPP_OK)
        status = record(scorer, error);
    return status == DIPP_OK ? place(scorer, error) : status;
}

static dipp_status no_memory(const dipp_scorer *scorer, dipp_error *error)
{
    return dipp_fail(error, DIPP_E_MEMORY, "no memory for %u samples of %s", scorer->n, scorer->reward.plugin->name);
}

static dipp_status take_shape(dipp_scorer *scorer, dipp_shape sample, dipp_error *error)
{
    dipp_release(scorer->padded);
    scorer->sample = sample;
    scorer->floats = (size_t)dipp_shape_elements(&sample);
    scorer->padded = dipp_allocate_zeroed(scorer->n * scorer->floats, sizeof(float));
    return scorer->padded ? DIPP_OK : no_memory(scorer, error);
}

/* Buffers of a batch, once the reward has said how many tokens it takes. */
static dipp_status take_rows(dipp_scorer *scorer, dipp_error *error)
{
    size_t tokens = (size_t)scorer->n * scorer->reward.info.token_length + 1;
    scorer->scores = dipp_allocate_zeroed(scorer->n, sizeof(double));
    scorer->tokens = dipp_allocate_zeroed(tokens, sizeof *scorer->tokens);
    scorer->mask = dipp_allocate_zeroed(tokens, sizeof *scorer->mask);
    return scorer->scores && scorer->tokens && scorer->mask ? DIPP_OK : no_memory(scorer, error);
}

dipp_status dipp_scorer_declare(dipp_backend *backend, const dipp_plugin *plugin, const dipp_parameters *parameters,
                                const dipp_host *host, const char *weights, const char *head, dipp_shape sample,
                                uint32_t batch, dipp_scorer **out, dipp_error *error)
{
    dipp_scorer *scorer = dipp_allocate_zeroed(1, sizeof *scorer);
    if (!scorer)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for the metric %s", plugin->name);
    scorer->mode = DIPP_REWARD_EVALUATE;
    scorer->backend = backend;
    scorer->n = batch ? batch : 1;
    dipp_status status = dipp_reward_open(&scorer->reward, (dipp_model_choice){plugin, parameters}, host, error);
    if (status == DIPP_OK)
        status = take_shape(scorer, sample, error);
    if (status == DIPP_OK)
        status = take_rows(scorer, error);
    if (status == DIPP_OK && scorer->reward.info.opaque && weights)
        status = dipp_fail(error, DIPP_E_INVALID, "an opaque reward takes no weights; leave them out");
    scorer->file = weights ? dipp_path_resolved(weights) : NULL;
    scorer->head = head ? dipp_path_resolved(head) : NULL;
    scorer->reward.files = (dipp_weight_files){scorer->file, scorer->head};
    if (status == DIPP_OK && ((weights && !scorer->file) || (head && !scorer->head)))
        status = dipp_fail(error, DIPP_E_MEMORY, "no memory for the metric %s", plugin->name);
    if (status == DIPP_OK)
        status = dipp_layout_create(plugin->name, &scorer->reward.layout, error);
    if (status == DIPP_OK && !scorer->reward.info.opaque)
        status = declare(scorer, error);
    if (status != DIPP_OK) {
        dipp_error_context(error, "metric %s", plugin->name);
        dipp_scorer_destroy(&scorer);
    }
    *out = scorer;
    return status;
}

/* The numbers of a set that is the scorer's own. */
static dipp_status fill(dipp_reward_model *const *list, uint32_t count, dipp_reward_model *reward, dipp_error *error)
{
    return reward->files.file ? dipp_weights_read_with_head(
                                    reward->files.file, dipp_reward_head_at(list, count, reward), reward->set, error)
                              : dipp_parameter_set_initialise(reward->set, 0, DIPP_STREAM_REWARD_INIT, error);
}

dipp_status dipp_scorers_build(dipp_scorer *const *scorers, uint32_t count, dipp_models *models, dipp_error *error)
{
    uint32_t known = models ? models->reward_count : 0, all = known;
    dipp_reward_model **list = dipp_allocate_zeroed((size_t)known + count + 1, sizeof(dipp_reward_model *));
    dipp_text_cache **caches = dipp_allocate_zeroed((size_t)count + 1, sizeof(dipp_text_cache *));
    dipp_status status = list && caches ? DIPP_OK : dipp_fail(error, DIPP_E_MEMORY, "no memory for %u metrics", count);
    dipp_backend *backend = NULL; /* of them all */
    for (uint32_t i = 0; i < known && status == DIPP_OK; i++)
        list[i] = &models->rewards[i];
    for (uint32_t i = 0; i < count && status == DIPP_OK; i++)
        if (scorers[i] && !scorers[i]->reward.info.opaque) {
            backend = scorers[i]->backend;
            list[all] = &scorers[i]->reward;
            status = dipp_reward_settle(list, all++, error);
        }
    for (uint32_t i = known; i < all && status == DIPP_OK; i++) {
        status = dipp_reward_create_set(list[i], backend, error);
        if (status == DIPP_OK && list[i]->home == list[i])
            status = fill(list, all, list[i], error);
        if (status != DIPP_OK)
            dipp_error_context(error, "metric %s", list[i]->plugin->name);
    }
    for (uint32_t i = 0; i < count && status == DIPP_OK; i++)
        if (scorers[i] && !scorers[i]->reward.info.opaque) {
            status = build(scorers[i], caches, i, error);
            caches[i] = scorers[i]->texts;
            if (status != DIPP_OK)
                dipp_error_context(error, "metric %s", scorers[i]->reward.plugin->name);
        }
    dipp_release(list);
    dipp_release(caches);
    return status;
}

dipp_status dipp_scorer_create(dipp_backend *backend, const dipp_plugin *plugin, const dipp_parameters *parameters,
                               const dipp_host *host, const char *weights, const char *head, dipp_shape sample,
                               uint32_t batch, dipp_scorer **out, dipp_error *error)
{
    dipp_status status =
        dipp_scorer_declare(backend, plugin, parameters, host, weights, head, sample, batch, out, error);
    if (status == DIPP_OK)
        status = dipp_scorers_build(out, 1, NULL, error);
    if (status != DIPP_OK)
        dipp_scorer_destroy(out);
    return status;
}

dipp_status dipp_scorer_borrow(dipp_backend *backend, const dipp_reward_model *reward, dipp_parameter_set *set,
                               dipp_reward_mode mode, dipp_shape sample, uint32_t batch, dipp_scorer **out,
                               dipp_error *error)
{
    dipp_scorer *scorer = dipp_allocate_zeroed(1, sizeof *scorer);
    if (!scorer)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for the scores of %s", reward->plugin->name);
    scorer->reward = *reward;
    scorer->reward.set = set;
    scorer->reward.home = NULL;
    scorer->borrowed = true;
    scorer->mode = mode;
    scorer->backend = backend;
    scorer->n = batch ? batch : 1;
    dipp_status status = take_shape(scorer, sample, error);
    if (status == DIPP_OK)
        status = take_rows(scorer, error);
    if (status == DIPP_OK)
        status = build(scorer, NULL, 0, error);
    if (status != DIPP_OK) {
        dipp_error_context(error, "scores of %s", reward->plugin->name);
        dipp_scorer_destroy(&scorer);
    }
    *out = scorer;
    return status;
}

static void forget_recording(dipp_scorer *scorer)
{
    dipp_executable_destroy(&scorer->run);
    dipp_program_destroy(&scorer->program);
    dipp_plan_destroy(&scorer->plan);
}

dipp_status dipp_scorer_reshape(dipp_scorer *scorer, dipp_shape sample, dipp_error *error)
{
    if (dipp_same_shape(&sample, &scorer->sample))
        return DIPP_OK;
    forget_recording(scorer);
    dipp_status status = take_shape(scorer, sample, error);
    if (status == DIPP_OK && !scorer->reward.info.opaque) {
        status = record(scorer, error);
        if (status == DIPP_OK)
            status = place(scorer, error);
    }
    return status == DIPP_OK ? status : dipp_error_context(error, "metric %s", scorer->reward.plugin->name);
}

void dipp_scorer_destroy(dipp_scorer **pointer)
{
    if (!pointer || !*pointer)
        return;
    dipp_scorer *scorer = *pointer;
    dipp_text_cache_destroy(&scorer->texts);
    dipp_plan_destroy(&scorer->text_plan);
    forget_recording(scorer);
    if (!scorer->borrowed)
        dipp_reward_clear(&scorer->reward);
    dipp_release(scorer->file);
    dipp_release(scorer->head);
    dipp_release(scorer->padded);
    dipp_release(scorer->scores);
    dipp_release(scorer->tokens);
    dipp_release(scorer->mask);
    dipp_release(scorer);
    *pointer = NULL;
}

size_t dipp_scorer_bytes(const dipp_scorer *scorer)
{
    bool own = scorer->reward.home == &scorer->reward;
    size_t set = own && scorer->reward.set ? dipp_parameter_set_bytes(scorer->reward.set) : 0;
    size_t texts = scorer->text_plan ? dipp_plan_bytes(&scorer->text_report) : 0;
    return scorer->run ? dipp_plan_bytes(&scorer->report) + texts + set : 0;
}

uint32_t dipp_scorer_batch(const dipp_scorer *scorer)
{
    return scorer->n;
}

size_t dipp_scorer_text_bytes(const dipp_scorer *scorer, size_t prompts)
{
    return scorer->texts ? dipp_text_cache_bytes(scorer->texts, prompts) : 0;
}

uint64_t dipp_scorer_texts(const dipp_scorer *scorer)
{
    return scorer->texts ? dipp_text_cache_work(scorer->texts) : 0;
}

const dipp_reward_info *dipp_scorer_info(const dipp_scorer *scorer)
{
    return &scorer->reward.info;
}

static dipp_status score_opaque(dipp_scorer *scorer, const float *samples, const char *const *prompts, uint32_t wanted,
                                dipp_error *error)
{
    bool has_gradient = false;
    for (uint32_t i = 0; i < wanted; i++)
        scorer->scores[i] = NAN; /* what a plugin forgets is not a score */
    return scorer->reward.vtable->score(scorer->reward.self, samples, &scorer->sample, prompts, wanted, scorer->scores,
                                        NULL, &has_gradient, error);
}

static dipp_status score_batch(dipp_scorer *scorer, const float *samples, const char *const *prompts, uint32_t wanted,
                               dipp_error *error)
{
    dipp_status status = DIPP_OK;
    for (uint32_t i = 0; i < scorer->n; i++) /* rows beyond the last repeat the first */
        memcpy(scorer->padded + i * scorer->floats, samples + (i < wanted ? i : 0) * scorer->floats,
               scorer->floats * sizeof(float));
    size_t length = scorer->reward.info.token_length;
    if (scorer->texts) {
        status = dipp_text_cache_write(scorer->texts, scorer->run, "text", prompts, wanted, error);
    } else if (length) {
        status =
            scorer->reward.vtable->tokenize(scorer->reward.self, prompts, wanted, scorer->tokens, scorer->mask, error);
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

dipp_status dipp_scorer_learn(dipp_scorer *scorer, const char *const *prompts, uint32_t count, dipp_error *error)
{
    return scorer->texts ? dipp_text_cache_learn(scorer->texts, prompts, count, error) : DIPP_OK;
}

dipp_status dipp_scorer_score(dipp_scorer *scorer, const float *samples, const char *const *prompts, uint32_t count,
                              double *scores, dipp_error *error)
{
    dipp_status status = DIPP_OK;
    for (uint32_t done = 0; done < count && status == DIPP_OK; done += scorer->n) {
        uint32_t wanted = count - done < scorer->n ? count - done : scorer->n;
        status = (scorer->reward.info.opaque ? score_opaque : score_batch)(scorer, samples + done * scorer->floats,
                                                                           prompts + done, wanted, error);
        memcpy(scores + done, scorer->scores, wanted * sizeof *scores);
    }
    return status;
}
