#include "train/reward.h"

#include "base/memory.h"
#include "train/checkpoint.h"
#include "train/program_io.h"
#include "train/streams.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

struct dipp_reward_training {
    dipp_trainee *trainee;
    dipp_pair_source pairs;
    dipp_sample_source captions;
    dipp_reward_settings settings;
    uint32_t n, samples, texts; /* of a micro-batch: pairs (or samples of a contrast), samples, rows of text */
    bool contrastive;
    uint32_t scale; /* entry of logit_scale, where it is kept in bounds */
    dipp_program *program;
    dipp_executable *run;
    dipp_updater update;
    dipp_plan *plan;
    int64_t step, nonfinite, skipped;
    float *pictures, *mask;
    const char **prompts;
    int32_t *tokens;
    double *labels, *weights; /* of the whole batch */
    double *outputs;          /* [n] or, of a contrast, [n, n] */
};

/* ---- Programs ---- */

/* Samples and texts to the weighted losses of pairs, or to the contrastive ones, and their gradients. */
static dipp_status record(dipp_reward_training *training, bool recompute, dipp_error *error)
{
    const dipp_trainee *trainee = training->trainee;
    int64_t n = training->n;
    dipp_graph *g;
    dipp_status status = dipp_graph_create("reward", &g, error);
    if (status != DIPP_OK)
        return status;
    dipp_graph_recompute_blocks(g, recompute);
    dipp_params p = dipp_graph_slot(g, "reward", trainee->reward.layout, true);
    dipp_tensor samples = dipp_input(g, "samples", DIPP_WIDE, dipp_trainee_batch_shape(trainee, training->samples));
    dipp_prompt text = dipp_trainee_text(trainee, g, training->texts);
    dipp_tensor losses, logits;
    if (training->contrastive) {
        logits = dipp_trainee_contrast(trainee, g, p, samples, text);
        losses = dipp_record_contrastive_losses(g, logits);
    } else {
        dipp_tensor scores = dipp_trainee_scores(trainee, g, p, samples, text);
        logits = dipp_sub(g, dipp_slice(g, scores, 0, 0, n), dipp_slice(g, scores, 0, n, n));
        dipp_tensor labels = dipp_input(g, "labels", DIPP_WIDE, DIPP_SHAPE(n));
        losses = dipp_record_pair_losses(g, logits, labels, dipp_input(g, "weights", DIPP_WIDE, DIPP_SHAPE(n)));
    }
    dipp_tensor loss = dipp_sum(g, losses, 1, false);
    dipp_output(g, "losses", losses);
    dipp_output(g, "logits", logits);
    dipp_gradients(g, 1, &loss, NULL, 0, NULL, NULL);
    return dipp_program_create(&g, trainee->backend, &training->program, error);
}

static dipp_status plan(dipp_reward_training *training, dipp_plan_report *report, dipp_error *error)
{
    dipp_trainee *trainee = training->trainee;
    const dipp_reward_settings *settings = &training->settings;
    dipp_updater *update = &training->update;
    dipp_status status =
        dipp_updater_record(update, "reward update", trainee->reward.set, &settings->optimizer, true, error);
    update->seed = settings->seed;
    update->stream = DIPP_STREAM_ROUND_REWARD;
    update->ledger = settings->ledger;
    update->total = settings->steps;
    update->average_decay = dipp_average_decay(&settings->average, settings->batch);
    if (status == DIPP_OK)
        status = dipp_plan_create(trainee->backend, &training->plan, error);
    if (status == DIPP_OK)
        status = dipp_plan_step(training->plan, training->program, 0, error);
    if (status == DIPP_OK)
        status = dipp_plan_step(training->plan, update->program, 0, error);
    if (status == DIPP_OK)
        status = dipp_plan_solve(training->plan, settings->memory_limit, report, error);
    if (status == DIPP_OK)
        status = dipp_plan_allocate(training->plan, error);
    if (status == DIPP_OK)
        status = dipp_executable_create(training->plan, training->program, &(dipp_binding){trainee->reward.set, NULL},
                                        1, &training->run, error);
    if (status == DIPP_OK)
        status = dipp_updater_bind(update, training->plan, trainee->reward.set, trainee->average, error);
    return status;
}

/* Everything whose memory the plan lays out. */
static void release_programs(dipp_reward_training *training)
{
    dipp_executable_destroy(&training->run);
    dipp_program_destroy(&training->program);
    dipp_updater_destroy(&training->update);
    dipp_plan_destroy(&training->plan);
}

static dipp_status create_programs(dipp_reward_training *training, bool recompute, dipp_plan_report *report,
                                   dipp_error *error)
{
    dipp_status status = record(training, recompute, error);
    if (status == DIPP_OK)
        status = plan(training, report, error);
    if (status == DIPP_E_MEMORY)
        dipp_error_context(error, recompute ? "with blocks recomputed"
                                            : "with everything kept (recompute: auto or blocks needs less)");
    return status;
}

/* ---- Lifetime ---- */

static dipp_status check(dipp_reward_training *training, dipp_error *error)
{
    const dipp_reward_settings *settings = &training->settings;
    const dipp_trainee *trainee = training->trainee;
    const char *name = trainee->reward.plugin->name;
    if (!trainee->average)
        return dipp_fail(error, DIPP_E_INTERNAL, "the reward was not created for training");
    if (!settings->batch || settings->batch % training->n)
        return dipp_fail(error, DIPP_E_INVALID, "micro_batch %u does not divide batch %u", training->n,
                         settings->batch);
    if (training->contrastive && !dipp_trainee_contrasts(trainee))
        return dipp_fail(
            error, DIPP_E_INVALID,
            "loss contrastive compares all pictures of a batch with all texts, which the reward %s does not "
            "offer; take a loss of pairs",
            name);
    if (training->contrastive && (training->n != settings->batch || settings->batch < 2))
        return dipp_fail(
            error, DIPP_E_INVALID,
            "loss contrastive compares every picture with all texts of a batch of at least 2, so that there "
            "is no micro_batch; found %u of %u",
            training->n, settings->batch);
    if (settings->logit_scale_max > 0 && !dipp_layout_find(trainee->reward.layout, "logit_scale", &training->scale))
        return dipp_fail(
            error, DIPP_E_INVALID,
            "logit_scale_max bounds the parameter logit_scale, which the reward %s does not have; leave it "
            "out",
            name);
    return DIPP_OK;
}

static bool allocate_scratch(dipp_reward_training *training)
{
    size_t samples = training->samples, batch = training->settings.batch, n = training->n;
    size_t tokens = (size_t)training->texts * training->trainee->reward.info.token_length + 1;
    size_t floats = (size_t)dipp_shape_elements(&training->trainee->sample);
    training->pictures = dipp_allocate_zeroed(samples * floats, sizeof(float));
    training->prompts = dipp_allocate_zeroed(samples, sizeof(char *));
    training->tokens = dipp_allocate_zeroed(tokens, sizeof(int32_t));
    training->mask = dipp_allocate_zeroed(tokens, sizeof(float));
    training->labels = dipp_allocate_zeroed(batch, sizeof(double));
    training->weights = dipp_allocate_zeroed(batch, sizeof(double));
    training->outputs = dipp_allocate_zeroed(training->contrastive ? n * n : n, sizeof(double));
    return training->pictures && training->prompts && training->tokens && training->mask && training->labels &&
           training->weights && training->outputs;
}

dipp_status dipp_reward_training_create(dipp_trainee *trainee, const dipp_pair_source *pairs,
                                        const dipp_sample_source *captions, const dipp_reward_settings *settings,
                                        dipp_plan_report *report, dipp_reward_training **out, dipp_error *error)
{
    dipp_reward_training *training = dipp_allocate_zeroed(1, sizeof *training);
    if (!training)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for the training of a reward");
    training->trainee = trainee;
    training->settings = *settings;
    training->contrastive = settings->loss == DIPP_LOSS_CONTRASTIVE;
    training->n = settings->micro_batch ? settings->micro_batch : settings->batch;
    if (pairs)
        training->pairs = *pairs;
    if (captions)
        training->captions = *captions;
    training->samples = training->contrastive ? training->n : 2 * training->n;
    bool once = training->contrastive || (dipp_trainee_encodes(trainee) && !training->pairs.captions_differ);
    training->texts = once ? training->n : 2 * training->n;
    dipp_status status = check(training, error);
    if (status == DIPP_OK && !(training->contrastive ? captions != NULL : pairs != NULL))
        status = dipp_fail(error, DIPP_E_INTERNAL, "there is no source for this loss");
    if (status == DIPP_OK && !allocate_scratch(training))
        status = dipp_fail(error, DIPP_E_MEMORY, "no memory for the training of a reward");
    if (status == DIPP_OK) {
        status = create_programs(training, settings->recompute == DIPP_RECOMPUTE_BLOCKS, report, error);
        if (status == DIPP_E_MEMORY && settings->recompute == DIPP_RECOMPUTE_AUTO) {
            release_programs(training);
            status = create_programs(training, true, report, error);
        }
    }
    if (status != DIPP_OK)
        dipp_reward_training_destroy(&training);
    *out = training;
    return status;
}

void dipp_reward_training_destroy(dipp_reward_training **pointer)
{
    if (!pointer || !*pointer)
        return;
    dipp_reward_training *training = *pointer;
    release_programs(training);
    void *memory[] = {training->pictures, training->prompts, training->tokens, training->mask,
                      training->labels,   training->weights, training->outputs};
    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++)
        dipp_release(memory[i]);
    dipp_release(training);
    *pointer = NULL;
}

/* ---- An iteration ---- */

enum { LOSS, ACCURACY, GRAD_NORM, RATE, SKIPPED, METRICS };
static const char *const metric_names[METRICS] = {"train/loss", "train/accuracy", "train/grad_norm", "train/lr",
                                                  "train/skipped"};

static double entropy(double q)
{
    return q > 0 && q < 1 ? -q * log(q) - (1 - q) * log1p(-q) : 0;
}

/* Labels as they are learnt and weights as they count, of the whole batch; returns what the loss has to lose. */
static dipp_status label_batch(dipp_reward_training *training, double *offset, dipp_error *error)
{
    const dipp_reward_settings *settings = &training->settings;
    bool by_prompt = settings->loss == DIPP_LOSS_PAIR_CROSS_ENTROPY || settings->loss == DIPP_LOSS_KL_TIE;
    double sum = 0, e = settings->label_smoothing;
    dipp_status status = training->pairs.label(training->pairs.context, settings->seed, training->step, settings->batch,
                                               training->labels, training->weights, error);
    for (uint32_t i = 0; i < settings->batch; i++)
        sum += training->weights[i];
    *offset = 0;
    for (uint32_t i = 0; i < settings->batch; i++) {
        training->labels[i] = (1 - e) * training->labels[i] + 0.5 * e;
        training->weights[i] = by_prompt                            ? training->weights[i] / sum
                               : settings->loss == DIPP_LOSS_BT_SUM ? 1.0
                                                                    : 1.0 / settings->batch;
        if (settings->loss == DIPP_LOSS_KL_TIE)
            *offset += training->weights[i] * entropy(training->labels[i]);
    }
    return status;
}

static dipp_status write_text(dipp_reward_training *training, dipp_error *error)
{
    const dipp_reward_model *reward = &training->trainee->reward;
    size_t length = reward->info.token_length;
    if (!length)
        return DIPP_OK;
    dipp_status status = reward->vtable->tokenize(reward->self, training->prompts, training->texts, training->tokens,
                                                  training->mask, error);
    return status == DIPP_OK
               ? dipp_write_text(training->run, "", training->tokens, training->mask, training->texts * length, error)
               : status;
}

/* Samples, texts, labels and weights of a micro-batch into the program. */
static dipp_status load(dipp_reward_training *training, uint32_t first, dipp_error *error)
{
    const uint64_t seed = training->settings.seed;
    uint32_t n = training->n;
    dipp_status status = training->contrastive
                             ? training->captions.draw(training->captions.context, seed,
                                                       (uint64_t)training->step * training->settings.batch + first, n,
                                                       training->pictures, training->prompts, error)
                             : training->pairs.draw(training->pairs.context, seed, training->step, first, n,
                                                    training->pictures, training->prompts, error);
    if (status == DIPP_OK)
        status = write_text(training, error);
    if (status == DIPP_OK)
        status =
            dipp_executable_write(training->run, "samples", training->pictures, DIPP_HOST_F32,
                                  training->samples * (size_t)dipp_shape_elements(&training->trainee->sample), error);
    if (status != DIPP_OK || training->contrastive)
        return status;
    status = dipp_executable_write(training->run, "labels", training->labels + first, DIPP_HOST_F64, n, error);
    return status == DIPP_OK
               ? dipp_executable_write(training->run, "weights", training->weights + first, DIPP_HOST_F64, n, error)
               : status;
}

/* How many pairs of the micro-batch are ordered as their label, ties by half; or how many samples know their text. */
static double count_right(const dipp_reward_training *training, uint32_t first)
{
    double right = 0;
    uint32_t n = training->n;
    for (uint32_t i = 0; i < n; i++) {
        const double *row = training->outputs + (size_t)i * n;
        if (training->contrastive) {
            uint32_t best = 0;
            for (uint32_t j = 1; j < n; j++)
                best = row[j] > row[best] ? j : best;
            right += best == i;
        } else {
            double d = training->outputs[i], label = training->labels[first + i] - 0.5;
            right += label == 0 || d == 0 ? 0.5 : (d > 0) == (label > 0);
        }
    }
    return right;
}

static dipp_status backward(dipp_reward_training *training, const dipp_reward_observer *observer, double *values,
                            dipp_error *error)
{
    const dipp_reward_settings *settings = &training->settings;
    uint32_t n = training->n;
    double offset = 0;
    dipp_status status = training->contrastive ? DIPP_OK : label_batch(training, &offset, error);
    values[LOSS] = -offset;
    values[ACCURACY] = 0;
    for (uint32_t first = 0; first < settings->batch && status == DIPP_OK; first += n) {
        if (observer->stopping && observer->stopping(observer->context))
            return dipp_fail(error, DIPP_E_INTERRUPTED, "interrupted in iteration %lld", (long long)training->step + 1);
        status = load(training, first, error);
        if (status != DIPP_OK)
            return status;
        dipp_execute_maybe_timed(training->run, 0, settings->ledger);
        dipp_executable_read(training->run, "losses", training->outputs, DIPP_HOST_F64, n, NULL);
        for (uint32_t i = 0; i < n; i++)
            values[LOSS] += training->outputs[i];
        dipp_executable_read(training->run, "logits", training->outputs, DIPP_HOST_F64,
                             training->contrastive ? (size_t)n * n : n, NULL);
        values[ACCURACY] += count_right(training, first) / settings->batch;
    }
    return status;
}

/* Keeps logit_scale of a set in [0, ln max]. */
static dipp_status bound_scale(const dipp_reward_training *training, dipp_parameter_set *set, dipp_error *error)
{
    const dipp_layout_entry *entry = dipp_layout_entry_at(set->layout, training->scale);
    size_t at = (size_t)entry->offset;
    double value, most = log(training->settings.logit_scale_max);
    dipp_parameter_set_read_part(set, DIPP_BLOCK_MASTER, at, 1, &value, DIPP_HOST_F64);
    if (!(value < 0 || value > most))
        return DIPP_OK;
    value = value < 0 ? 0 : most;
    dipp_parameter_set_write_part(set, DIPP_BLOCK_MASTER, at, 1, &value, DIPP_HOST_F64);
    return entry->flags & DIPP_PARAM_WIDE ? DIPP_OK
                                          : dipp_parameter_set_refresh(set, error); /* wide: read as written */
}

static dipp_status iterate(dipp_reward_training *training, const dipp_reward_observer *observer, double *values,
                           bool *applied, dipp_error *error)
{
    dipp_status status = backward(training, observer, values, error);
    if (status == DIPP_OK)
        status = dipp_updater_step(&training->update, &values[GRAD_NORM], applied, error);
    if (status == DIPP_OK && training->settings.logit_scale_max > 0)
        status = bound_scale(training, training->trainee->reward.set, error);
    if (status == DIPP_OK && training->settings.logit_scale_max > 0)
        status = bound_scale(training, training->trainee->average, error);
    return status;
}

dipp_status dipp_reward_training_run(dipp_reward_training *training, const dipp_reward_observer *observer,
                                     dipp_error *error)
{
    const dipp_reward_settings *settings = &training->settings;
    dipp_status status = DIPP_OK;
    if (training->step == 0 && observer->after_step)
        status = observer->after_step(observer->context, training, 0, error);
    while (status == DIPP_OK && training->step < settings->steps) {
        double values[METRICS];
        bool applied = false;
        values[RATE] = dipp_learning_rate(&settings->optimizer, training->step, settings->steps);
        status = iterate(training, observer, values, &applied, error);
        if (status != DIPP_OK)
            break;
        training->skipped += !applied;
        training->nonfinite = applied ? 0 : training->nonfinite + 1;
        values[SKIPPED] = (double)training->skipped;
        training->step++;
        if (observer->metrics)
            observer->metrics(observer->context, training->step, metric_names, values, METRICS);
        status = dipp_check_updates(training->nonfinite, settings->max_nonfinite, training->skipped, training->step,
                                    settings->steps, "learning rate", error);
        if (status == DIPP_OK && observer->after_step)
            status = observer->after_step(observer->context, training, training->step, error);
    }
    return status;
}

int64_t dipp_reward_training_step_count(const dipp_reward_training *training)
{
    return training->step;
}

int64_t dipp_reward_training_images_seen(const dipp_reward_training *training)
{
    int64_t passes = training->settings.batch / training->n;
    return training->step * passes * training->samples;
}

static double work_of(const dipp_reward_training *training, double (*count)(const dipp_program *, uint32_t))
{
    uint32_t passes = training->settings.batch / training->n; /* exact: checked by create */
    return count(training->program, 0) * passes;
}

double dipp_reward_training_flops(const dipp_reward_training *training)
{
    return work_of(training, dipp_program_flops);
}

double dipp_reward_training_recomputed_flops(const dipp_reward_training *training)
{
    return work_of(training, dipp_program_recomputed_flops);
}

/* ---- Checkpoints ---- */

enum { BLOCKS = 4, COUNTERS = 5 };

static void collect(const dipp_reward_training *training, dipp_checkpoint_block blocks[BLOCKS])
{
    dipp_parameter_set *set = training->trainee->reward.set;
    blocks[0] = (dipp_checkpoint_block){"reward.master", set, DIPP_BLOCK_MASTER};
    blocks[1] = (dipp_checkpoint_block){"reward.moment1", set, DIPP_BLOCK_MOMENT1};
    blocks[2] = (dipp_checkpoint_block){"reward.moment2", set, DIPP_BLOCK_MOMENT2};
    blocks[3] = (dipp_checkpoint_block){"average.master", training->trainee->average, DIPP_BLOCK_MASTER};
}

static void counters_of(dipp_reward_training *training, dipp_checkpoint_counter counters[COUNTERS], char *identity,
                        size_t size)
{
    const dipp_layout *layout = training->trainee->reward.layout;
    char formats[64];
    counters[0] = (dipp_checkpoint_counter){"step", .value = &training->step};
    counters[1] = (dipp_checkpoint_counter){"skipped", .value = &training->skipped};
    counters[2] = (dipp_checkpoint_counter){"nonfinite", .value = &training->nonfinite};
    counters[3] = (dipp_checkpoint_counter){"updates", .value = &training->update.done};
    counters[4] = (dipp_checkpoint_counter){"attempts", .value = &training->update.attempts};
    dipp_checkpoint_formats(training->trainee->reward.set, formats, sizeof formats);
    snprintf(identity, size, "seed %llu batch %u %s %lld, %s", (unsigned long long)training->settings.seed,
             training->settings.batch, training->trainee->reward.plugin->name,
             (long long)dipp_layout_parameters(layout), formats);
}

dipp_status dipp_reward_training_save(const dipp_reward_training *training, const char *path, char *sha256,
                                      dipp_error *error)
{
    dipp_checkpoint_block blocks[BLOCKS];
    dipp_checkpoint_counter counters[COUNTERS];
    char identity[192];
    dipp_reward_training copy = *training; /* counters are read through pointers */
    collect(training, blocks);
    counters_of(&copy, counters, identity, sizeof identity);
    return dipp_checkpoint_write(path, "dipp.reward", identity, blocks, BLOCKS, counters, COUNTERS, sha256, error);
}

dipp_status dipp_reward_training_load(dipp_reward_training *training, const char *path, dipp_error *error)
{
    dipp_checkpoint_block blocks[BLOCKS];
    dipp_checkpoint_counter counters[COUNTERS];
    char identity[192];
    collect(training, blocks);
    counters_of(training, counters, identity, sizeof identity);
    return dipp_checkpoint_read(path, "dipp.reward", identity, blocks, BLOCKS, counters, COUNTERS, error);
}
