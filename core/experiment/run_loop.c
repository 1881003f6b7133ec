#include "experiment/run_loop.h"

#include "base/memory.h"
#include "experiment/run_source.h"
#include "train/reward.h"

#include <stdio.h>

struct dipp_run_loop {
    dipp_align *align; /* one of the three */
    dipp_pretrain *pretrain;
    dipp_reward_training *reward;
    dipp_scene_source *source;
    dipp_prompt_table *prompts;
    const dipp_run_loop_observer *observer;
    dipp_plan_report plan;
    char micro_batch[64];
};

/* ---- Creation ---- */

static void note_micro_batch(dipp_run_loop *loop, const char *name, uint32_t micro_batch, uint32_t batch)
{
    snprintf(loop->micro_batch, sizeof loop->micro_batch, "{\"%s\":%u}", name, micro_batch ? micro_batch : batch);
}

static dipp_status create_align(dipp_run_loop *loop, dipp_run_setup *setup, int64_t seed, dipp_error *error)
{
    dipp_align_settings settings;
    dipp_status status = dipp_run_align_settings(setup->config, &setup->models->schedule, seed, &settings, error);
    if (status == DIPP_OK)
        status =
            dipp_prompt_table_create(setup->models, setup->prompts.texts, setup->prompts.count, &loop->prompts, error);
    if (status != DIPP_OK)
        return status;
    note_micro_batch(loop, "align", settings.micro_batch, settings.batch);
    return dipp_align_create(setup->models, loop->prompts, &settings, &loop->plan, &loop->align, error);
}

static dipp_status create_pretrain(dipp_run_loop *loop, dipp_run_setup *setup, int64_t seed, dipp_error *error)
{
    const dipp_shape *picture = &setup->models->picture;
    dipp_pretrain_settings settings;
    dipp_status status = dipp_run_pretrain_settings(setup->config, &setup->models->schedule, seed, &settings, error);
    if (status == DIPP_OK && (!setup->models->space.images || picture->rank != 3))
        return dipp_fail(error, DIPP_E_INVALID,
                         "pretraining learns pictures of the emoji world, and the reference %s works on vectors",
                         setup->reference->descriptor->name);
    if (status == DIPP_OK)
        status = dipp_scene_source_create(setup->world, (int)picture->dims[1], &loop->source, error);
    if (status != DIPP_OK)
        return status;
    dipp_sample_source source = dipp_scene_source_of(loop->source);
    note_micro_batch(loop, "pretrain", settings.micro_batch, settings.batch);
    return dipp_pretrain_create(setup->models, &source, &settings, &loop->plan, &loop->pretrain, error);
}

static dipp_status create_reward(dipp_run_loop *loop, dipp_run_setup *setup, int64_t seed, dipp_error *error)
{
    dipp_reward_settings settings;
    dipp_pair_source pairs;
    dipp_sample_source captions;
    dipp_status status = dipp_run_reward_settings(setup->config, seed, &settings, error);
    if (status != DIPP_OK)
        return status;
    bool paired = dipp_run_preferences_pairs(setup->preferences, &pairs);
    bool captioned = dipp_run_preferences_captions(setup->preferences, &captions);
    note_micro_batch(loop, "reward", settings.micro_batch, settings.batch);
    return dipp_reward_training_create(setup->trainee, paired ? &pairs : NULL, captioned ? &captions : NULL, &settings,
                                       &loop->plan, &loop->reward, error);
}

dipp_status dipp_run_loop_create(dipp_run_setup *setup, int64_t seed, dipp_run_loop **out, dipp_error *error)
{
    dipp_run_loop *loop = dipp_allocate_zeroed(1, sizeof *loop);
    if (!loop)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for a run");
    dipp_status status = setup->trainee    ? create_reward(loop, setup, seed, error)
                         : setup->pretrain ? create_pretrain(loop, setup, seed, error)
                                           : create_align(loop, setup, seed, error);
    if (status != DIPP_OK)
        dipp_run_loop_destroy(&loop);
    *out = loop;
    return status;
}

void dipp_run_loop_destroy(dipp_run_loop **pointer)
{
    if (!pointer || !*pointer)
        return;
    dipp_run_loop *loop = *pointer;
    dipp_align_destroy(&loop->align);
    dipp_pretrain_destroy(&loop->pretrain);
    dipp_reward_training_destroy(&loop->reward);
    dipp_scene_source_destroy(&loop->source);
    dipp_prompt_table_destroy(&loop->prompts);
    dipp_release(loop);
    *pointer = NULL;
}

/* ---- Running ---- */

static void observe_metrics(void *context, int64_t step, const char *const *names, const double *values, size_t count)
{
    const dipp_run_loop_observer *observer = ((dipp_run_loop *)context)->observer;
    observer->metrics(observer->context, step, names, values, count);
}

static bool observe_stopping(void *context)
{
    const dipp_run_loop_observer *observer = ((dipp_run_loop *)context)->observer;
    return observer->stopping(observer->context);
}

static dipp_status after_step(void *context, int64_t step, dipp_error *error)
{
    const dipp_run_loop_observer *observer = ((dipp_run_loop *)context)->observer;
    return observer->after_step(observer->context, step, error);
}

static dipp_status after_align(void *context, dipp_align *align, int64_t step, dipp_error *error)
{
    return after_step(context, step, error);
}

static dipp_status after_pretrain(void *context, dipp_pretrain *pretrain, int64_t step, dipp_error *error)
{
    return after_step(context, step, error);
}

static dipp_status after_reward(void *context, dipp_reward_training *training, int64_t step, dipp_error *error)
{
    return after_step(context, step, error);
}

dipp_status dipp_run_loop_run(dipp_run_loop *loop, const dipp_run_loop_observer *observer, dipp_error *error)
{
    loop->observer = observer;
    if (loop->reward)
        return dipp_reward_training_run(
            loop->reward, &(dipp_reward_observer){loop, observe_metrics, after_reward, observe_stopping}, error);
    if (loop->pretrain)
        return dipp_pretrain_run(
            loop->pretrain, &(dipp_pretrain_observer){loop, observe_metrics, after_pretrain, observe_stopping}, error);
    return dipp_align_run(loop->align, &(dipp_align_observer){loop, observe_metrics, after_align, observe_stopping},
                          error);
}

dipp_status dipp_run_loop_save(const dipp_run_loop *loop, const char *path, char *sha256, dipp_error *error)
{
    return loop->reward     ? dipp_reward_training_save(loop->reward, path, sha256, error)
           : loop->pretrain ? dipp_pretrain_save(loop->pretrain, path, sha256, error)
                            : dipp_align_save(loop->align, path, sha256, error);
}

dipp_status dipp_run_loop_load(dipp_run_loop *loop, const char *path, dipp_error *error)
{
    return loop->reward     ? dipp_reward_training_load(loop->reward, path, error)
           : loop->pretrain ? dipp_pretrain_load(loop->pretrain, path, error)
                            : dipp_align_load(loop->align, path, error);
}

void dipp_run_loop_end(dipp_run_loop *loop)
{
    dipp_align_end(loop->align);
}

/* ---- Facts ---- */

int64_t dipp_run_loop_step(const dipp_run_loop *loop)
{
    return loop->reward     ? dipp_reward_training_step_count(loop->reward)
           : loop->pretrain ? dipp_pretrain_step_count(loop->pretrain)
                            : dipp_align_step_count(loop->align);
}

int64_t dipp_run_loop_images_seen(const dipp_run_loop *loop)
{
    return loop->reward     ? dipp_reward_training_images_seen(loop->reward)
           : loop->pretrain ? dipp_pretrain_images_seen(loop->pretrain)
                            : dipp_align_images_seen(loop->align);
}

double dipp_run_loop_flops(const dipp_run_loop *loop)
{
    return loop->reward     ? dipp_reward_training_flops(loop->reward)
           : loop->pretrain ? dipp_pretrain_flops(loop->pretrain)
                            : dipp_align_flops(loop->align);
}

double dipp_run_loop_recomputed_flops(const dipp_run_loop *loop)
{
    return loop->reward     ? dipp_reward_training_recomputed_flops(loop->reward)
           : loop->pretrain ? dipp_pretrain_recomputed_flops(loop->pretrain)
                            : dipp_align_recomputed_flops(loop->align);
}

dipp_status dipp_run_loop_text_work(const dipp_run_loop *loop, dipp_align_texts *out, dipp_error *error)
{
    return loop->align ? dipp_align_text_work(loop->align, out, error) : DIPP_OK;
}

const dipp_plan_report *dipp_run_loop_plan(const dipp_run_loop *loop)
{
    return &loop->plan;
}

const char *dipp_run_loop_micro_batch(const dipp_run_loop *loop)
{
    return loop->micro_batch;
}
