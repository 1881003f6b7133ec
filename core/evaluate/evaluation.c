#include "evaluate/evaluation.h"

#include "base/memory.h"
#include "data/image.h"
#include "evaluate/gold.h"
#include "evaluate/picture_metrics.h"
#include "train/reconstruct.h"
#include "train/scorer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { DEFAULT_BATCH = 64, DIVERSITY_POOL = 4, MOMENT_DIMENSIONS = 16 };

const char *const dipp_metric_names[] = {"glyph", "background", "place", "size", "gold", "diversity", NULL};

struct dipp_evaluation {
    dipp_evaluation_options options;
    uint32_t batch, count, elements; /* elements: of a picture or vector, of the largest where sizes differ */
    dipp_shape sample;               /* what is scored: a picture or vector; the first in order where sizes differ */
    bool pictures;
    int side; /* of square pictures of one size, else 0 */
    dipp_prompt_table *prompts;
    dipp_sampler *generator, *reference; /* made when first drawn with */
    dipp_reconstructor *reconstructor;   /* the same */
    dipp_judge *judge;
    dipp_scorer **scorers; /* [metrics], NULL for the built-in ones */
    float *samples;        /* [batch, elements] */
    uint32_t *rows;        /* [batch] */
    const char **texts;    /* [batch] */
    double *values;        /* [batch] */
};

bool dipp_metric_by_name(const char *name, dipp_metric_kind *kind)
{
    for (int i = 0; dipp_metric_names[i]; i++)
        if (!strcmp(name, dipp_metric_names[i])) {
            *kind = (dipp_metric_kind)i;
            return true;
        }
    return false;
}

/* ---- Creation ---- */

static dipp_status check_space(dipp_evaluation *evaluation, dipp_error *error)
{
    const dipp_models *models = evaluation->options.models;
    const dipp_picture_sizes *sizes = evaluation->options.sizes;
    if (!models) {
        dipp_picture_size first = sizes->size[sizes->order[0]];
        evaluation->pictures = true;
        evaluation->side = sizes->side;
        evaluation->elements = sizes->largest;
        evaluation->sample = DIPP_SHAPE(3, first.height, first.width);
        return DIPP_OK;
    }
    evaluation->elements = 1;
    evaluation->sample = models->picture;
    evaluation->pictures = models->space.images;
    if (models->space.images) {
        const dipp_shape *shape = &models->picture;
        if (shape->rank != 3 || shape->dims[0] != 3 || shape->dims[1] != shape->dims[2])
            return dipp_fail(error, DIPP_E_UNSUPPORTED, "evaluation wants square pictures of three channels");
        evaluation->side = (int)shape->dims[1];
    }
    for (uint32_t i = 0; i < models->picture.rank; i++)
        evaluation->elements *= (uint32_t)models->picture.dims[i];
    return DIPP_OK;
}

static dipp_status create_metric(dipp_evaluation *evaluation, uint32_t index, dipp_error *error)
{
    static const dipp_host host = {.struct_size = sizeof host};
    const dipp_evaluation_metric *metric = &evaluation->options.metrics[index];
    const dipp_models *models = evaluation->options.models;
    if (metric->kind == DIPP_METRIC_REWARD) {
        dipp_status status =
            dipp_scorer_declare(models ? models->backend : evaluation->options.backend, metric->plugin,
                                metric->parameters, &host, metric->weights, metric->head_weights, evaluation->sample,
                                evaluation->batch, &evaluation->scorers[index], error);
        return status == DIPP_OK ? DIPP_OK : dipp_error_context(error, "metric %s", metric->name);
    }
    if (!evaluation->pictures)
        return dipp_fail(error, DIPP_E_INVALID,
                         "the metric %s looks at pictures, and this reference gives vectors; leave it out of "
                         "evaluate.metrics",
                         metric->name);
    if (!evaluation->side)
        return dipp_fail(error, DIPP_E_INVALID, "the metric %s needs square pictures of one size, and these are not",
                         metric->name);
    if (metric->kind == DIPP_METRIC_DIVERSITY) {
        if (evaluation->options.samples < 2)
            return dipp_fail(error, DIPP_E_INVALID,
                             "diversity needs at least 2 samples of a prompt (evaluate.samples)");
        return DIPP_OK;
    }
    if (!evaluation->options.world)
        return dipp_fail(error, DIPP_E_INVALID, "the judge of %s needs prompts of the emoji world", metric->name);
    return evaluation->judge
               ? DIPP_OK
               : dipp_judge_create(evaluation->options.world, evaluation->side, &evaluation->judge, error);
}

dipp_status dipp_evaluation_create(const dipp_evaluation_options *options, dipp_evaluation **out, dipp_error *error)
{
    dipp_evaluation *evaluation = dipp_allocate_zeroed(1, sizeof *evaluation);
    if (!evaluation)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for the evaluation");
    evaluation->options = *options;
    evaluation->count = options->prompt_count * options->samples;
    evaluation->batch = options->batch ? options->batch : DEFAULT_BATCH;
    if (evaluation->batch > evaluation->count)
        evaluation->batch = evaluation->count;
    dipp_status status = check_space(evaluation, error);
    if (status == DIPP_OK) {
        evaluation->scorers = dipp_allocate_zeroed(options->metric_count + 1, sizeof(dipp_scorer *));
        evaluation->samples = dipp_allocate_zeroed(evaluation->batch, evaluation->elements * sizeof(float));
        evaluation->rows = dipp_allocate_zeroed(evaluation->batch, sizeof(uint32_t));
        evaluation->texts = dipp_allocate_zeroed(evaluation->batch, sizeof(char *));
        evaluation->values = dipp_allocate_zeroed(evaluation->batch, sizeof(double));
        if (!evaluation->scorers || !evaluation->samples || !evaluation->rows || !evaluation->texts ||
            !evaluation->values)
            status = dipp_fail(error, DIPP_E_MEMORY, "no memory to evaluate %u samples at a time", evaluation->batch);
    }
    for (uint32_t i = 0; i < options->metric_count && status == DIPP_OK; i++)
        status = create_metric(evaluation, i, error);
    if (status == DIPP_OK)
        status = dipp_scorers_build(evaluation->scorers, options->metric_count, options->models, error);
    if (status == DIPP_OK && options->models)
        status = dipp_prompt_table_create(options->models, options->texts, options->prompt_count, &evaluation->prompts,
                                          error);
    if (status != DIPP_OK)
        dipp_evaluation_destroy(&evaluation);
    *out = evaluation;
    return status;
}

void dipp_evaluation_destroy(dipp_evaluation **pointer)
{
    if (!pointer || !*pointer)
        return;
    dipp_evaluation *evaluation = *pointer;
    for (uint32_t i = 0; evaluation->scorers && i < evaluation->options.metric_count; i++)
        dipp_scorer_destroy(&evaluation->scorers[i]);
    dipp_sampler_destroy(&evaluation->generator);
    dipp_sampler_destroy(&evaluation->reference);
    dipp_reconstructor_destroy(&evaluation->reconstructor);
    dipp_judge_destroy(&evaluation->judge);
    dipp_prompt_table_destroy(&evaluation->prompts);
    dipp_release(evaluation->scorers);
    dipp_release(evaluation->samples);
    dipp_release(evaluation->rows);
    dipp_release(evaluation->texts);
    dipp_release(evaluation->values);
    dipp_release(evaluation);
    *pointer = NULL;
}

size_t dipp_evaluation_sample_bytes(const dipp_evaluation *evaluation)
{
    return evaluation->side ? evaluation->elements : evaluation->elements * sizeof(float);
}

/* ---- Drawing ---- */

static dipp_status sampler_of(dipp_evaluation *evaluation, bool reference, dipp_sampler **out, dipp_error *error)
{
    const dipp_evaluation_options *options = &evaluation->options;
    dipp_sampler **sampler = reference ? &evaluation->reference : &evaluation->generator;
    dipp_sampler_options wanted = {.batch = evaluation->batch,
                                   .reference = reference,
                                   .use_average = options->use_average,
                                   .steps = options->reference_steps,
                                   .omega = options->reference_omega,
                                   .sigma_max = options->reference_sigma_max};
    dipp_status status = *sampler ? DIPP_OK : dipp_sampler_create(options->models, &wanted, sampler, error);
    *out = *sampler;
    return status;
}

/* Samples number first .. first+count-1 by a sampler, into evaluation->samples. */
static dipp_status sample(dipp_evaluation *evaluation, bool reference, uint32_t first, uint32_t count,
                          dipp_error *error)
{
    const dipp_evaluation_options *options = &evaluation->options;
    dipp_sampler *sampler = NULL;
    dipp_status status = sampler_of(evaluation, reference, &sampler, error);
    for (uint32_t i = 0; i < count; i++)
        evaluation->rows[i] = (first + i) / options->samples;
    return status == DIPP_OK
               ? dipp_sampler_draw(sampler, &evaluation->prompts->reference, evaluation->rows, count,
                                   options->noise_seed, first, evaluation->side ? evaluation->samples : NULL,
                                   evaluation->side ? NULL : evaluation->samples, error)
               : status;
}

/* The same samples as scenes that went through the autoencoder. */
static dipp_status reconstruct(dipp_evaluation *evaluation, uint32_t first, uint32_t count, dipp_error *error)
{
    const dipp_evaluation_options *options = &evaluation->options;
    dipp_status status = DIPP_OK;
    if (!options->world || !options->prompts || !evaluation->side)
        return dipp_fail(error, DIPP_E_INVALID,
                         "an autoencoder draws nothing by itself: it is shown scenes that the evaluation's own prompts "
                         "name");
    if (!evaluation->reconstructor)
        status = dipp_reconstructor_create(options->models, evaluation->batch, options->use_average,
                                           &evaluation->reconstructor, error);
    for (uint32_t i = 0; i < count && status == DIPP_OK; i++) {
        float *picture = evaluation->samples + (size_t)i * evaluation->elements;
        dipp_scene_attributes scene;
        status = dipp_emoji_prompt_scene(options->world, &options->prompts[(first + i) / options->samples],
                                         options->noise_seed, first + i, &scene, error);
        if (status == DIPP_OK)
            status = dipp_emoji_scene_draw(options->world, &scene, evaluation->side, picture, error);
        for (uint32_t k = 0; k < evaluation->elements; k++) /* scenes are drawn in [-1, 1] */
            picture[k] = 0.5f * picture[k] + 0.5f;
    }
    return status == DIPP_OK ? dipp_reconstruct(evaluation->reconstructor, evaluation->samples, count, error) : status;
}

dipp_status dipp_evaluation_prepare(dipp_evaluation *evaluation, bool generator, bool reference, size_t *device,
                                    size_t *host, dipp_error *error)
{
    dipp_sampler *samplers[2] = {NULL, NULL};
    dipp_status status = generator ? sampler_of(evaluation, false, &samplers[0], error) : DIPP_OK;
    if (status == DIPP_OK && reference)
        status = sampler_of(evaluation, true, &samplers[1], error);
    *device = 0;
    for (int i = 0; i < 2; i++)
        *device += samplers[i] ? dipp_sampler_bytes(samplers[i]) : 0;
    for (uint32_t i = 0; i < evaluation->options.metric_count; i++)
        *device += evaluation->scorers[i] ? dipp_scorer_bytes(evaluation->scorers[i]) : 0;
    *host = evaluation->count * (dipp_evaluation_sample_bytes(evaluation) + 1 +
                                 evaluation->options.metric_count * sizeof(dipp_evaluation_score));
    for (uint32_t i = 0; i < evaluation->options.metric_count; i++)
        *host += evaluation->scorers[i]
                     ? dipp_scorer_text_bytes(evaluation->scorers[i], evaluation->options.prompt_count)
                     : 0;
    return status;
}

/* Keeps `count` drawn samples from number `first` on: pictures as bytes. */
static void keep(const dipp_evaluation *evaluation, uint32_t first, uint32_t count, dipp_evaluation_result *result)
{
    size_t elements = evaluation->elements;
    for (uint32_t i = 0; i < count; i++) {
        const float *sample = evaluation->samples + i * elements;
        size_t at = (size_t)first + i;
        result->finite[at] = 1;
        for (size_t k = 0; k < elements; k++)
            result->finite[at] &= isfinite(sample[k]) != 0;
        if (!evaluation->side) {
            memcpy(result->vectors + at * elements, sample, elements * sizeof *sample);
            continue;
        }
        size_t pixels = elements / 3;
        for (size_t p = 0; p < pixels; p++)
            for (size_t c = 0; c < 3; c++) {
                float value = sample[c * pixels + p];
                result->rgb[at * elements + p * 3 + c] = (uint8_t)(value >= 1.0f  ? 255
                                                                   : value > 0.0f ? lrintf(value * 255.0f)
                                                                                  : 0);
            }
    }
}

dipp_status dipp_evaluation_draw(dipp_evaluation *evaluation, bool reference, dipp_evaluation_result *result,
                                 dipp_error *error)
{
    const dipp_evaluation_options *options = &evaluation->options;
    *result = (dipp_evaluation_result){
        .count = evaluation->count, .elements = evaluation->elements, .side = evaluation->side};
    dipp_status status = DIPP_OK;
    void **memory = evaluation->side ? (void **)&result->rgb : (void **)&result->vectors;
    *memory = dipp_allocate_zeroed(evaluation->count, dipp_evaluation_sample_bytes(evaluation));
    result->finite = dipp_allocate_zeroed(evaluation->count, 1);
    if (!*memory || !result->finite)
        status = dipp_fail(error, DIPP_E_MEMORY, "no memory for %u samples", evaluation->count);
    for (uint32_t first = 0; first < evaluation->count && status == DIPP_OK; first += evaluation->batch) {
        uint32_t left = evaluation->count - first, count = left < evaluation->batch ? left : evaluation->batch;
        if (options->stop && *options->stop) {
            status = dipp_fail(error, DIPP_E_INTERRUPTED, "the evaluation was interrupted");
            break;
        }
        status = reference && options->reconstruct ? reconstruct(evaluation, first, count, error)
                                                   : sample(evaluation, reference, first, count, error);
        if (status == DIPP_OK)
            keep(evaluation, first, count, result);
    }
    if (status != DIPP_OK)
        dipp_evaluation_result_clear(result);
    return status;
}

/* ---- Scoring ---- */

static dipp_status add_score(dipp_evaluation_result *result, uint32_t metric, uint32_t prompt, uint32_t sample,
                             double value, dipp_error *error)
{
    if (!dipp_grow((void **)&result->scores, &result->score_capacity, result->score_count + 1, sizeof *result->scores))
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for scores");
    result->scores[result->score_count++] = (dipp_evaluation_score){metric, prompt, sample, value};
    return DIPP_OK;
}

static dipp_status add_set_score(dipp_evaluation_result *result, const char *name, int32_t metric, int32_t prompt,
                                 double value, uint32_t samples, dipp_error *error)
{
    if (!dipp_grow((void **)&result->set_scores, &result->set_capacity, result->set_count + 1,
                   sizeof *result->set_scores))
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for scores");
    dipp_evaluation_set_score *score = &result->set_scores[result->set_count++];
    *score = (dipp_evaluation_set_score){.metric = metric, .prompt = prompt, .value = value, .samples = samples};
    snprintf(score->name, sizeof score->name, "%s", name);
    return DIPP_OK;
}

/* What the judge's verdict is worth by one metric; false where the prompt names nothing that it asks for. */
static bool judged(dipp_metric_kind kind, const dipp_prompt_line *prompt, const dipp_verdict *verdict, double *value)
{
    int32_t named, seen;
    switch (kind) {
    case DIPP_METRIC_GLYPH: named = prompt->glyph, seen = verdict->fit.glyph; break;
    case DIPP_METRIC_BACKGROUND: named = prompt->background, seen = verdict->fit.background; break;
    case DIPP_METRIC_PLACE: named = prompt->place, seen = verdict->fit.place; break;
    case DIPP_METRIC_SIZE: named = prompt->size_class, seen = verdict->fit.size_class; break;
    case DIPP_METRIC_GOLD: *value = dipp_gold_utility(prompt, verdict); return true;
    default: return false;
    }
    *value = named == seen;
    return named != DIPP_NOT_NAMED;
}

static dipp_status judge(dipp_evaluation *evaluation, dipp_evaluation_result *result, dipp_error *error)
{
    const dipp_evaluation_options *options = &evaluation->options;
    dipp_status status = DIPP_OK;
    for (uint32_t i = 0; evaluation->judge && i < result->count && status == DIPP_OK; i++) {
        uint32_t prompt = i / options->samples, sample = i % options->samples;
        dipp_verdict verdict;
        if (options->stop && *options->stop)
            return dipp_fail(error, DIPP_E_INTERRUPTED, "the evaluation was interrupted");
        status = dipp_judge_bytes(evaluation->judge, result->rgb + (size_t)i * evaluation->elements, &verdict, error);
        for (uint32_t m = 0; m < options->metric_count && status == DIPP_OK; m++) {
            double value;
            if (judged(options->metrics[m].kind, &options->prompts[prompt], &verdict, &value))
                status = add_score(result, m, prompt, sample, result->finite[i] ? value : NAN, error);
        }
    }
    return status;
}

/* The number of the sample at a place: pictures of one size come together. */
static uint32_t sample_at(const dipp_evaluation *evaluation, uint32_t place)
{
    const dipp_picture_sizes *sizes = evaluation->options.sizes;
    return sizes ? sizes->order[place] : place;
}

/* A sample as a reward sees it: a picture of so many pixels in [0, 1] from its bytes, or a vector. */
static void unpack(const dipp_evaluation *evaluation, const dipp_evaluation_result *result, uint32_t sample,
                   size_t pixels, float *out)
{
    const dipp_picture_sizes *sizes = evaluation->options.sizes;
    size_t elements = evaluation->elements;
    if (!evaluation->pictures) {
        memcpy(out, result->vectors + sample * elements, elements * sizeof *out);
        return;
    }
    const uint8_t *rgb = result->rgb + (sizes ? sizes->start[sample] : sample * elements);
    for (size_t k = 0; k < 3 * pixels; k++)
        out[k % 3 * pixels + k / 3] = (float)rgb[k] / 255.0f;
}

/* `count` samples of one size, from place `first` on, to evaluation->values. */
static dipp_status score_alike(dipp_evaluation *evaluation, dipp_scorer *scorer, const dipp_evaluation_result *result,
                               uint32_t first, uint32_t count, dipp_error *error)
{
    const dipp_picture_sizes *sizes = evaluation->options.sizes;
    dipp_shape shape = evaluation->sample;
    if (sizes) {
        dipp_picture_size size = sizes->size[sizes->order[first]];
        shape = DIPP_SHAPE(3, size.height, size.width);
    }
    size_t floats = (size_t)dipp_shape_elements(&shape);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t sample = sample_at(evaluation, first + i);
        evaluation->texts[i] = evaluation->options.texts[sample / evaluation->options.samples];
        unpack(evaluation, result, sample, floats / 3, evaluation->samples + i * floats);
    }
    dipp_status status = dipp_scorer_reshape(scorer, shape, error);
    return status == DIPP_OK
               ? dipp_scorer_score(scorer, evaluation->samples, evaluation->texts, count, evaluation->values, error)
               : status;
}

static dipp_status reward(dipp_evaluation *evaluation, uint32_t metric, dipp_evaluation_result *result,
                          dipp_error *error)
{
    const dipp_evaluation_options *options = &evaluation->options;
    dipp_scorer *scorer = evaluation->scorers[metric];
    dipp_status status = dipp_scorer_learn(scorer, options->texts, options->prompt_count, error);
    for (uint32_t first = 0, count; first < result->count && status == DIPP_OK; first += count) {
        uint32_t left = result->count - first;
        count = left < evaluation->batch ? left : evaluation->batch;
        if (options->sizes)
            count = dipp_picture_sizes_alike(options->sizes, first, count);
        if (options->stop && *options->stop)
            return dipp_fail(error, DIPP_E_INTERRUPTED, "the evaluation was interrupted");
        status = score_alike(evaluation, scorer, result, first, count, error);
        for (uint32_t i = 0; i < count && status == DIPP_OK; i++) {
            uint32_t sample = sample_at(evaluation, first + i);
            status = add_score(result, metric, sample / options->samples, sample % options->samples,
                               result->finite[sample] ? evaluation->values[i] : NAN, error);
        }
        if (status == DIPP_OK && options->scored)
            options->scored(options->scored_context, options->metrics[metric].name, first + count, result->count);
    }
    return status == DIPP_OK ? DIPP_OK : dipp_error_context(error, "metric %s", options->metrics[metric].name);
}

static dipp_status diversity(dipp_evaluation *evaluation, uint32_t metric, dipp_evaluation_result *result,
                             dipp_error *error)
{
    const dipp_evaluation_options *options = &evaluation->options;
    uint32_t samples = options->samples;
    size_t elements = evaluation->elements;
    float *planes = dipp_allocate(samples * elements * sizeof *planes);
    if (!planes)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for the diversity of %u pictures", samples);
    int pool = evaluation->side % DIVERSITY_POOL ? 1 : DIVERSITY_POOL;
    double sum = 0;
    dipp_status status = DIPP_OK;
    for (uint32_t p = 0; p < options->prompt_count && status == DIPP_OK; p++) {
        double value = 0;
        for (uint32_t s = 0; s < samples; s++) {
            size_t at = (size_t)p * samples + s;
            for (size_t k = 0, pixels = elements / 3; k < elements; k++)
                planes[s * elements + k % 3 * pixels + k / 3] = (float)result->rgb[at * elements + k] / 127.5f - 1.0f;
            if (!result->finite[at])
                value = NAN;
        }
        double distance = 0;
        status = dipp_picture_diversity(planes, (int)samples, evaluation->side, pool, &distance, error);
        if (status == DIPP_OK)
            status = add_set_score(result, options->metrics[metric].name, (int32_t)metric, (int32_t)p, value + distance,
                                   samples, error);
        sum += value + distance;
    }
    dipp_release(planes);
    if (status == DIPP_OK)
        status = add_set_score(result, options->metrics[metric].name, (int32_t)metric, -1, sum / options->prompt_count,
                               result->count, error);
    return status;
}

/* ---- Vectors: what follows from the parameters, and moments of the samples ---- */

typedef struct metric_sink {
    const dipp_parameter_set *set;
    dipp_evaluation_result *result;
    dipp_status status;
} metric_sink;

static dipp_status read_parameter(void *context, const char *name, double *out, size_t count)
{
    return dipp_parameter_set_read_entry(((metric_sink *)context)->set, name, out, count, NULL);
}

static void write_metric(void *context, const char *name, double value)
{
    metric_sink *sink = context;
    if (sink->status == DIPP_OK)
        sink->status = add_set_score(sink->result, name, -1, -1, value, 0, NULL);
}

static dipp_status parameter_metrics(dipp_evaluation *evaluation, bool reference, dipp_evaluation_result *result,
                                     dipp_error *error)
{
    const dipp_models *models = evaluation->options.models;
    bool average = evaluation->options.use_average;
    metric_sink sink = {.result = result};
    dipp_status status = DIPP_OK;
    if (reference && models->reference->metrics) {
        sink.set = average && models->reference_ema ? models->reference_ema : models->reference_set;
        status = models->reference->metrics(models->reference_self, read_parameter, &sink, write_metric, &sink, error);
    } else if (!reference && models->generator && models->generator->metrics) {
        sink.set = average && models->generator_ema ? models->generator_ema : models->generator_set;
        status = models->generator->metrics(models->generator_self, read_parameter, &sink, write_metric, &sink, error);
    }
    if (status == DIPP_OK && sink.status != DIPP_OK)
        status = dipp_fail(error, sink.status, "no memory for metrics");
    return status;
}

static dipp_status sample_moments(dipp_evaluation *evaluation, dipp_evaluation_result *result, dipp_error *error)
{
    uint32_t d = evaluation->elements, n = result->count;
    double mean[MOMENT_DIMENSIONS] = {0}, covariance[MOMENT_DIMENSIONS][MOMENT_DIMENSIONS] = {{0}};
    char name[DIPP_EVALUATION_NAME_BYTES];
    dipp_status status = DIPP_OK;
    if (d > MOMENT_DIMENSIONS)
        return DIPP_OK;
    for (uint32_t k = 0; k < n; k++)
        for (uint32_t i = 0; i < d; i++)
            mean[i] += result->vectors[(size_t)k * d + i] / (double)n;
    for (uint32_t k = 0; k < n; k++)
        for (uint32_t i = 0; i < d; i++)
            for (uint32_t j = 0; j <= i; j++)
                covariance[i][j] += (result->vectors[(size_t)k * d + i] - mean[i]) *
                                    (result->vectors[(size_t)k * d + j] - mean[j]) / (double)(n > 1 ? n - 1 : 1);
    for (uint32_t i = 0; i < d && status == DIPP_OK; i++) {
        snprintf(name, sizeof name, "sample_mean.%u", i);
        status = add_set_score(result, name, -1, -1, mean[i], n, error);
        for (uint32_t j = 0; j <= i && n > 1 && status == DIPP_OK; j++) {
            snprintf(name, sizeof name, "sample_cov.%u.%u", j, i);
            status = add_set_score(result, name, -1, -1, covariance[i][j], n, error);
        }
    }
    return status;
}

dipp_status dipp_evaluation_score_result(dipp_evaluation *evaluation, bool reference, dipp_evaluation_result *result,
                                         dipp_error *error)
{
    dipp_status status = judge(evaluation, result, error);
    for (uint32_t m = 0; m < evaluation->options.metric_count && status == DIPP_OK; m++) {
        if (evaluation->options.metrics[m].kind == DIPP_METRIC_REWARD)
            status = reward(evaluation, m, result, error);
        else if (evaluation->options.metrics[m].kind == DIPP_METRIC_DIVERSITY)
            status = diversity(evaluation, m, result, error);
    }
    if (status == DIPP_OK && evaluation->options.models)
        status = parameter_metrics(evaluation, reference, result, error);
    if (status == DIPP_OK && !evaluation->pictures)
        status = sample_moments(evaluation, result, error);
    return status;
}

dipp_status dipp_evaluation_run(dipp_evaluation *evaluation, bool reference, dipp_evaluation_result *result,
                                dipp_error *error)
{
    dipp_status status = dipp_evaluation_draw(evaluation, reference, result, error);
    if (status == DIPP_OK)
        status = dipp_evaluation_score_result(evaluation, reference, result, error);
    if (status != DIPP_OK)
        dipp_evaluation_result_clear(result);
    return status;
}

void dipp_evaluation_result_clear(dipp_evaluation_result *result)
{
    dipp_release(result->scores);
    dipp_release(result->set_scores);
    dipp_release(result->rgb);
    dipp_release(result->vectors);
    dipp_release(result->finite);
    *result = (dipp_evaluation_result){0};
}
