#include "train/pretrain.h"

#include "base/memory.h"
#include "base/philox.h"
#include "train/checkpoint.h"
#include "train/program_io.h"
#include "train/streams.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* What is trained beside the text encoder: the reference's network, or the autoencoder. */
typedef struct trained {
    const char *name;
    dipp_layout *layout;
    dipp_parameter_set *set, *average;
} trained;

struct dipp_pretrain {
    dipp_models *models;
    trained net;
    dipp_sample_source source;
    dipp_pretrain_settings settings;
    uint32_t n;
    dipp_program *program;
    dipp_executable *run;
    dipp_updater net_update, text_update;
    bool text;
    dipp_plan *plan;
    int64_t step, nonfinite, skipped;
    float *pictures, *mask;
    const char **captions;
    int32_t *tokens;
    double *t, *alpha, *sigma, *weight, *losses;
    double *errors, *means, *squares; /* of the autoencoder's pictures and latents, by sample */
};

/* Pictures and captions to the weighted denoising loss and its gradients. */
static void record_denoiser(dipp_pretrain *pretrain, dipp_graph *g)
{
    dipp_models *models = pretrain->models;
    int64_t n = pretrain->n;
    dipp_params net = dipp_graph_slot(g, "reference", models->reference_layout, true);
    dipp_params text = dipp_graph_slot(g, "text", models->text_layout, pretrain->text);
    dipp_params decoder = dipp_graph_slot(g, "decoder", models->decoder_layout, false);
    dipp_condition c = dipp_encode_text(models, g, text, dipp_text_inputs(models, g, "", n));
    dipp_tensor pictures = dipp_input(g, "pictures", DIPP_WIDE, dipp_picture_batch_shape(models, n));
    dipp_tensor x0 =
        models->reference->encode ? models->reference->encode(models->reference_self, g, decoder, pictures) : pictures;
    x0 = dipp_stop_gradient(g, dipp_cast(g, x0, DIPP_WIDE));
    dipp_network network = dipp_reference_network(models);
    dipp_record_denoising(g, &network, net, x0, c);
}

/* Pictures [n, C, H, W] to latents [n, sample...], with noise to pictures again, to the loss and its gradients. Outputs by
 * sample [n]: "losses" (weighted), "errors" (mean squared, of pictures in [0, 1]), "means" and "squares" of the latents. */
static void record_autoencoder(dipp_pretrain *pretrain, dipp_graph *g)
{
    dipp_models *models = pretrain->models;
    const dipp_reference *reference = models->reference;
    const dipp_pretrain_settings *settings = &pretrain->settings;
    int64_t n = pretrain->n;
    dipp_params p = dipp_graph_slot(g, "decoder", models->decoder_layout, true);
    dipp_tensor pictures = dipp_input(g, "pictures", DIPP_WIDE, dipp_picture_batch_shape(models, n));
    dipp_tensor weight = dipp_input(g, "weight", DIPP_WIDE, DIPP_SHAPE(n));
    dipp_tensor z = dipp_cast(g, reference->encode(models->reference_self, g, p, pictures), DIPP_WIDE);
    dipp_tensor eps =
        dipp_philox_normal(g, dipp_input(g, "eps_key", DIPP_INT32, DIPP_SHAPE(6)), dipp_batch_shape(models, n));
    dipp_tensor noisy = dipp_add(g, z, dipp_scale_add(g, eps, settings->latent_noise, 0.0));
    dipp_tensor back = dipp_cast(g, reference->decode(models->reference_self, g, p, noisy), DIPP_WIDE);
    dipp_tensor difference = dipp_sub(g, back, pictures);
    dipp_tensor errors = dipp_mean_per_sample(g, dipp_mul(g, difference, difference));
    dipp_tensor squares = dipp_mean_per_sample(g, dipp_mul(g, z, z));
    dipp_tensor losses = dipp_add(g, errors, dipp_scale_add(g, squares, 0.5 * settings->kl_weight, 0.0));
    losses = dipp_mul(g, losses, weight);
    dipp_tensor loss = dipp_sum(g, losses, 1, false);
    dipp_output(g, "losses", losses);
    dipp_output(g, "errors", errors);
    dipp_output(g, "means", dipp_mean_per_sample(g, z));
    dipp_output(g, "squares", squares);
    dipp_gradients(g, 1, &loss, NULL, 0, NULL, NULL);
}

static dipp_status record(dipp_pretrain *pretrain, bool recompute, dipp_error *error)
{
    dipp_graph *g;
    dipp_status status = dipp_graph_create("pretrain", &g, error);
    if (status != DIPP_OK)
        return status;
    dipp_graph_recompute_blocks(g, recompute);
    if (pretrain->settings.autoencoder)
        record_autoencoder(pretrain, g);
    else
        record_denoiser(pretrain, g);
    return dipp_program_create(&g, pretrain->models->backend, &pretrain->program, error);
}

static dipp_status plan(dipp_pretrain *pretrain, dipp_plan_report *report, dipp_error *error)
{
    dipp_models *models = pretrain->models;
    const dipp_pretrain_settings *settings = &pretrain->settings;
    dipp_status status = dipp_updater_record(&pretrain->net_update, "reference update", pretrain->net.set,
                                             &settings->optimizer, true, error);
    if (status == DIPP_OK && pretrain->text)
        status = dipp_updater_record(&pretrain->text_update, "text update", models->text_set, &settings->optimizer,
                                     true, error);
    pretrain->net_update.seed = pretrain->text_update.seed = settings->seed;
    pretrain->net_update.stream = DIPP_STREAM_ROUND_REFERENCE;
    pretrain->text_update.stream = DIPP_STREAM_ROUND_TEXT;
    pretrain->net_update.ledger = pretrain->text_update.ledger = settings->ledger;
    pretrain->net_update.total = pretrain->text_update.total = settings->steps;
    pretrain->net_update.average_decay = pretrain->text_update.average_decay =
        dipp_average_decay(&settings->average, settings->batch);
    if (status == DIPP_OK)
        status = dipp_plan_create(models->backend, &pretrain->plan, error);
    if (status == DIPP_OK)
        status = dipp_plan_step(pretrain->plan, pretrain->program, 0, error);
    if (status == DIPP_OK)
        status = dipp_plan_step(pretrain->plan, pretrain->net_update.program, 0, error);
    if (status == DIPP_OK && pretrain->text)
        status = dipp_plan_step(pretrain->plan, pretrain->text_update.program, 0, error);
    if (status == DIPP_OK)
        status = dipp_plan_solve(pretrain->plan, settings->memory_limit, report, error);
    if (status == DIPP_OK)
        status = dipp_plan_allocate(pretrain->plan, error);
    dipp_binding slots[3] = {{models->reference_set, NULL}, {models->text_set, NULL}, {models->decoder_set, NULL}};
    uint32_t first = settings->autoencoder ? 2 : 0; /* as recorded: all three, or the autoencoder alone */
    if (status == DIPP_OK)
        status =
            dipp_executable_create(pretrain->plan, pretrain->program, slots + first, 3 - first, &pretrain->run, error);
    if (status == DIPP_OK)
        status =
            dipp_updater_bind(&pretrain->net_update, pretrain->plan, pretrain->net.set, pretrain->net.average, error);
    if (status == DIPP_OK && pretrain->text)
        status = dipp_updater_bind(&pretrain->text_update, pretrain->plan, models->text_set, models->text_ema, error);
    return status;
}

/* Everything whose memory the plan lays out. */
static void release_programs(dipp_pretrain *pretrain)
{
    dipp_executable_destroy(&pretrain->run);
    dipp_program_destroy(&pretrain->program);
    dipp_updater_destroy(&pretrain->net_update);
    dipp_updater_destroy(&pretrain->text_update);
    dipp_plan_destroy(&pretrain->plan);
}

static dipp_status create_programs(dipp_pretrain *pretrain, bool recompute, dipp_plan_report *report, dipp_error *error)
{
    dipp_status status = record(pretrain, recompute, error);
    if (status == DIPP_OK)
        status = plan(pretrain, report, error);
    if (status == DIPP_E_MEMORY)
        dipp_error_context(error, recompute ? "with blocks recomputed"
                                            : "with everything kept (recompute: auto or blocks needs less)");
    return status;
}

static bool allocate_scratch(dipp_pretrain *pretrain)
{
    size_t n = pretrain->n, floats = (size_t)dipp_shape_elements(&pretrain->models->picture);
    size_t tokens = n * pretrain->models->space.token_length + 1;
    double **numbers[] = {&pretrain->t,      &pretrain->alpha,  &pretrain->sigma, &pretrain->weight,
                          &pretrain->losses, &pretrain->errors, &pretrain->means, &pretrain->squares};
    bool good = true;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        good = (*numbers[i] = dipp_allocate_zeroed(n, sizeof(double))) && good;
    pretrain->pictures = dipp_allocate_zeroed(n * floats, sizeof(float));
    pretrain->captions = dipp_allocate_zeroed(n, sizeof(char *));
    pretrain->tokens = dipp_allocate_zeroed(tokens, sizeof(int32_t));
    pretrain->mask = dipp_allocate_zeroed(tokens, sizeof(float));
    return good && pretrain->pictures && pretrain->captions && pretrain->tokens && pretrain->mask;
}

static dipp_status check(const dipp_pretrain *pretrain, dipp_error *error)
{
    const dipp_pretrain_settings *settings = &pretrain->settings;
    const dipp_reference *reference = pretrain->models->reference;
    if (!settings->batch || settings->batch % pretrain->n)
        return dipp_fail(error, DIPP_E_INVALID, "micro_batch %u does not divide batch %u", pretrain->n,
                         settings->batch);
    if (!settings->autoencoder && !dipp_layout_count(pretrain->net.layout))
        return dipp_fail(error, DIPP_E_INVALID, "the reference has no parameters to train");
    if (settings->autoencoder && !(reference->encode && reference->decode && dipp_layout_count(pretrain->net.layout)))
        return dipp_fail(error, DIPP_E_INVALID,
                         "the reference has no autoencoder to train: its samples are pictures as they are");
    return settings->autoencoder ? DIPP_OK : dipp_time_sampler_check(&settings->time, error);
}

dipp_status dipp_pretrain_create(dipp_models *models, const dipp_sample_source *source,
                                 const dipp_pretrain_settings *settings, dipp_plan_report *report, dipp_pretrain **out,
                                 dipp_error *error)
{
    trained net = {"reference", models->reference_layout, models->reference_set, models->reference_ema};
    if (settings->autoencoder)
        net = (trained){"decoder", models->decoder_layout, models->decoder_set, models->decoder_ema};
    if (!net.average)
        return dipp_fail(error, DIPP_E_INTERNAL, "the models were not created for pretraining");
    dipp_pretrain *pretrain = dipp_allocate_zeroed(1, sizeof *pretrain);
    if (!pretrain)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for pretraining");
    pretrain->models = models;
    pretrain->net = net;
    pretrain->source = *source;
    pretrain->settings = *settings;
    pretrain->settings.time.schedule = models->schedule;
    pretrain->n = settings->micro_batch ? settings->micro_batch : settings->batch;
    pretrain->text = !settings->autoencoder && dipp_layout_count(models->text_layout) > 0;
    dipp_status status = check(pretrain, error);
    if (status == DIPP_OK && !allocate_scratch(pretrain))
        status = dipp_fail(error, DIPP_E_MEMORY, "no memory for pretraining");
    if (status == DIPP_OK) {
        status = create_programs(pretrain, settings->recompute == DIPP_RECOMPUTE_BLOCKS, report, error);
        if (status == DIPP_E_MEMORY && settings->recompute == DIPP_RECOMPUTE_AUTO) {
            release_programs(pretrain);
            status = create_programs(pretrain, true, report, error);
        }
    }
    if (status != DIPP_OK)
        dipp_pretrain_destroy(&pretrain);
    *out = pretrain;
    return status;
}

void dipp_pretrain_destroy(dipp_pretrain **pointer)
{
    if (!pointer || !*pointer)
        return;
    dipp_pretrain *pretrain = *pointer;
    release_programs(pretrain);
    void *memory[] = {pretrain->pictures, pretrain->mask,   pretrain->captions, pretrain->tokens,
                      pretrain->t,        pretrain->alpha,  pretrain->sigma,    pretrain->weight,
                      pretrain->losses,   pretrain->errors, pretrain->means,    pretrain->squares};
    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++)
        dipp_release(memory[i]);
    dipp_release(pretrain);
    *pointer = NULL;
}

/* Captions, some of them dropped, and noise levels with their weights. */
static dipp_status load_denoising(dipp_pretrain *pretrain, uint32_t first, dipp_error *error)
{
    const dipp_pretrain_settings *settings = &pretrain->settings;
    dipp_models *models = pretrain->models;
    uint32_t n = pretrain->n, length = models->space.token_length;
    const dipp_network network = dipp_reference_network(models);
    dipp_status status = DIPP_OK;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t step = (uint32_t)pretrain->step, sample = first + i;
        if (dipp_philox_uniform_double(settings->seed, DIPP_STREAM_DROPOUT, step, sample, 0) < settings->prompt_dropout)
            pretrain->captions[i] = "";
        double u = dipp_philox_uniform_double(settings->seed, DIPP_STREAM_DATA_TIME, step, sample, 0);
        double t = dipp_time_law_draw(&settings->time, u);
        dipp_schedule_at(&models->schedule, t, &pretrain->alpha[i], &pretrain->sigma[i]);
        pretrain->t[i] = dipp_network_time(models->space.parameterisation, t, pretrain->alpha[i], pretrain->sigma[i]);
        pretrain->weight[i] =
            dipp_loss_weight_at(settings->loss, &network, pretrain->alpha[i], pretrain->sigma[i]) / settings->batch;
    }
    if (length) {
        status = models->reference->tokenize(models->reference_self, pretrain->captions, n, pretrain->tokens,
                                             pretrain->mask, error);
        dipp_write_text(pretrain->run, "", pretrain->tokens, pretrain->mask, (size_t)n * length, NULL);
    }
    dipp_write_level(pretrain->run, "level", pretrain->t, pretrain->alpha, pretrain->sigma, n, NULL);
    return status;
}

static dipp_status load_samples(dipp_pretrain *pretrain, uint32_t first, dipp_error *error)
{
    const dipp_pretrain_settings *settings = &pretrain->settings;
    uint64_t index = (uint64_t)pretrain->step * settings->batch + first;
    uint32_t n = pretrain->n;
    dipp_status status = pretrain->source.draw(pretrain->source.context, settings->seed, index, n, pretrain->pictures,
                                               pretrain->captions, error);
    for (uint32_t i = 0; i < n; i++)
        pretrain->weight[i] = 1.0 / settings->batch;
    if (status == DIPP_OK && !settings->autoencoder)
        status = load_denoising(pretrain, first, error);
    dipp_write_key(pretrain->run, "eps_key", settings->seed, DIPP_STREAM_DATA_EPS, pretrain->step, first, NULL);
    dipp_executable_write(pretrain->run, "pictures", pretrain->pictures, DIPP_HOST_F32,
                          n * (size_t)dipp_shape_elements(&pretrain->models->picture), NULL);
    dipp_executable_write(pretrain->run, "weight", pretrain->weight, DIPP_HOST_F64, n, NULL);
    return status;
}

/* Metrics of one iteration; the last two are the autoencoder's. */
enum { LOSS, GRAD_NORM, RATE, SKIPPED, DENOISER_METRICS, PSNR = DENOISER_METRICS, LATENT_STD, AUTOENCODER_METRICS };
static const char *const metric_names[] = {"train/loss",    "train/grad_norm", "train/lr",
                                           "train/skipped", "train/psnr",      "train/latent_std"};

/* Sums over samples of their squared error, their latents' means and their squares. */
static void add_autoencoder_sums(dipp_pretrain *pretrain, double sums[3])
{
    double *const outputs[] = {pretrain->errors, pretrain->means, pretrain->squares};
    static const char *const names[] = {"errors", "means", "squares"};
    for (int k = 0; k < 3; k++) {
        dipp_executable_read(pretrain->run, names[k], outputs[k], DIPP_HOST_F64, pretrain->n, NULL);
        for (uint32_t i = 0; i < pretrain->n; i++)
            sums[k] += outputs[k][i];
    }
}

/* One update on fresh samples; nothing has changed when the observer stops it. */
static dipp_status iterate(dipp_pretrain *pretrain, const dipp_pretrain_observer *observer, double *values,
                           bool *applied, dipp_error *error)
{
    double sums[3] = {0}, batch = pretrain->settings.batch;
    double *loss = &values[LOSS], *norm = &values[GRAD_NORM];
    dipp_status status = DIPP_OK;
    *loss = 0;
    for (uint32_t first = 0; first < pretrain->settings.batch && status == DIPP_OK; first += pretrain->n) {
        if (observer->stopping && observer->stopping(observer->context))
            return dipp_fail(error, DIPP_E_INTERRUPTED, "interrupted in iteration %lld", (long long)pretrain->step + 1);
        status = load_samples(pretrain, first, error);
        if (status != DIPP_OK)
            return status;
        dipp_execute_maybe_timed(pretrain->run, 0, pretrain->settings.ledger);
        dipp_executable_read(pretrain->run, "losses", pretrain->losses, DIPP_HOST_F64, pretrain->n, NULL);
        for (uint32_t i = 0; i < pretrain->n; i++)
            *loss += pretrain->losses[i];
        if (pretrain->settings.autoencoder)
            add_autoencoder_sums(pretrain, sums);
    }
    values[PSNR] = -10.0 * log10(sums[0] / batch); /* of pictures in [0, 1] */
    values[LATENT_STD] = sqrt(sums[2] / batch - sums[1] / batch * (sums[1] / batch));
    if (status == DIPP_OK)
        status = dipp_updater_step(&pretrain->net_update, norm, applied, error);
    if (status == DIPP_OK && pretrain->text) {
        double text_norm;
        bool text_applied;
        status = dipp_updater_step(&pretrain->text_update, &text_norm, &text_applied, error);
        *norm = sqrt(*norm * *norm + text_norm * text_norm);
    }
    return status;
}

dipp_status dipp_pretrain_run(dipp_pretrain *pretrain, const dipp_pretrain_observer *observer, dipp_error *error)
{
    dipp_status status = DIPP_OK;
    if (pretrain->step == 0 && observer->after_step)
        status = observer->after_step(observer->context, pretrain, 0, error);
    while (status == DIPP_OK && pretrain->step < pretrain->settings.steps) {
        double values[AUTOENCODER_METRICS];
        bool applied = false;
        values[RATE] = dipp_learning_rate(&pretrain->settings.optimizer, pretrain->step, pretrain->settings.steps);
        status = iterate(pretrain, observer, values, &applied, error);
        if (status != DIPP_OK)
            break;
        pretrain->skipped += !applied;
        pretrain->nonfinite = applied ? 0 : pretrain->nonfinite + 1;
        values[SKIPPED] = (double)pretrain->skipped;
        pretrain->step++;
        if (observer->metrics)
            observer->metrics(observer->context, pretrain->step, metric_names, values,
                              pretrain->settings.autoencoder ? AUTOENCODER_METRICS : DENOISER_METRICS);
        status = dipp_check_updates(pretrain->nonfinite, pretrain->settings.max_nonfinite, pretrain->skipped,
                                    pretrain->step, pretrain->settings.steps, "learning rate", error);
        if (status == DIPP_OK && observer->after_step)
            status = observer->after_step(observer->context, pretrain, pretrain->step, error);
    }
    return status;
}

int64_t dipp_pretrain_step_count(const dipp_pretrain *pretrain)
{
    return pretrain->step;
}

int64_t dipp_pretrain_images_seen(const dipp_pretrain *pretrain)
{
    return pretrain->step * (int64_t)pretrain->settings.batch;
}

double dipp_pretrain_flops(const dipp_pretrain *pretrain)
{
    uint32_t passes = pretrain->settings.batch / pretrain->n; /* exact: checked by create */
    return dipp_program_flops(pretrain->program, 0) * passes;
}

double dipp_pretrain_recomputed_flops(const dipp_pretrain *pretrain)
{
    uint32_t passes = pretrain->settings.batch / pretrain->n;
    return dipp_program_recomputed_flops(pretrain->program, 0) * passes;
}

/* ---- Checkpoints ---- */

enum { MAX_BLOCKS = 8, COUNTERS = 7 };

static uint32_t collect(const dipp_pretrain *pretrain, dipp_checkpoint_block *blocks)
{
    dipp_models *models = pretrain->models;
    uint32_t count = 0;
    blocks[count++] = (dipp_checkpoint_block){"reference.master", pretrain->net.set, DIPP_BLOCK_MASTER};
    blocks[count++] = (dipp_checkpoint_block){"reference.moment1", pretrain->net.set, DIPP_BLOCK_MOMENT1};
    blocks[count++] = (dipp_checkpoint_block){"reference.moment2", pretrain->net.set, DIPP_BLOCK_MOMENT2};
    blocks[count++] = (dipp_checkpoint_block){"average.master", pretrain->net.average, DIPP_BLOCK_MASTER};
    if (pretrain->text) {
        blocks[count++] = (dipp_checkpoint_block){"text.master", models->text_set, DIPP_BLOCK_MASTER};
        blocks[count++] = (dipp_checkpoint_block){"text.moment1", models->text_set, DIPP_BLOCK_MOMENT1};
        blocks[count++] = (dipp_checkpoint_block){"text.moment2", models->text_set, DIPP_BLOCK_MOMENT2};
        blocks[count++] = (dipp_checkpoint_block){"text_average.master", models->text_ema, DIPP_BLOCK_MASTER};
    }
    return count;
}

static void counters_of(dipp_pretrain *pretrain, dipp_checkpoint_counter *counters, char *identity, size_t size)
{
    counters[0] = (dipp_checkpoint_counter){"step", .value = &pretrain->step};
    counters[1] = (dipp_checkpoint_counter){"skipped", .value = &pretrain->skipped};
    counters[2] = (dipp_checkpoint_counter){"net_updates", .value = &pretrain->net_update.done};
    counters[3] = (dipp_checkpoint_counter){"net_attempts", .value = &pretrain->net_update.attempts};
    counters[4] = (dipp_checkpoint_counter){"text_updates", .value = &pretrain->text_update.done};
    counters[5] = (dipp_checkpoint_counter){"text_attempts", .value = &pretrain->text_update.attempts};
    /* Files of before it was kept lack it: the count began anew. */
    counters[6] = (dipp_checkpoint_counter){"nonfinite", .value = &pretrain->nonfinite, .may_lack = true};
    char formats[64];
    dipp_checkpoint_formats(pretrain->net.set, formats, sizeof formats);
    snprintf(identity, size, "seed %llu batch %u %s %lld, %s", (unsigned long long)pretrain->settings.seed,
             pretrain->settings.batch, pretrain->net.name, (long long)dipp_layout_parameters(pretrain->net.layout),
             formats);
}

dipp_status dipp_pretrain_save(const dipp_pretrain *pretrain, const char *path, char *sha256, dipp_error *error)
{
    dipp_checkpoint_block blocks[MAX_BLOCKS];
    dipp_checkpoint_counter counters[COUNTERS];
    char identity[192];
    dipp_pretrain copy = *pretrain; /* counters are read through pointers */
    counters_of(&copy, counters, identity, sizeof identity);
    return dipp_checkpoint_write(path, "dipp.pretrain", identity, blocks, collect(pretrain, blocks), counters, COUNTERS,
                                 sha256, error);
}

dipp_status dipp_pretrain_load(dipp_pretrain *pretrain, const char *path, dipp_error *error)
{
    dipp_checkpoint_block blocks[MAX_BLOCKS];
    dipp_checkpoint_counter counters[COUNTERS];
    char identity[192];
    counters_of(pretrain, counters, identity, sizeof identity);
    return dipp_checkpoint_read(path, "dipp.pretrain", identity, blocks, collect(pretrain, blocks), counters, COUNTERS,
                                error);
}
