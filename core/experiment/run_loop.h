/* The loops of training behind one face: an alignment, a pretraining, or the training of a reward, as the stage says. */
#ifndef DIPP_EXPERIMENT_RUN_LOOP_H
#define DIPP_EXPERIMENT_RUN_LOOP_H

#include "experiment/run_setup.h"

typedef struct dipp_run_loop dipp_run_loop;

/* As dipp_align_observer, whatever the loop is. */
typedef struct dipp_run_loop_observer {
    void *context;
    void (*metrics)(void *context, int64_t step, const char *const *names, const double *values, size_t count);
    dipp_status (*after_step)(void *context, int64_t step, dipp_error *error);
    bool (*stopping)(void *context);
} dipp_run_loop_observer;

/* Records, plans and allocates what the setup's stage trains. setup is borrowed. Errors as of dipp_run_*_settings and of
 * dipp_align_create, dipp_pretrain_create or dipp_reward_training_create. */
dipp_status dipp_run_loop_create(dipp_run_setup *setup, int64_t seed, dipp_run_loop **out, dipp_error *error);
void dipp_run_loop_destroy(dipp_run_loop **loop);

/* As dipp_align_run, _save and _load. */
dipp_status dipp_run_loop_run(dipp_run_loop *loop, const dipp_run_loop_observer *observer, dipp_error *error);
dipp_status dipp_run_loop_save(const dipp_run_loop *loop, const char *path, char *sha256, dipp_error *error);
dipp_status dipp_run_loop_load(dipp_run_loop *loop, const char *path, dipp_error *error);

/* For the observer, of an alignment: the iteration that it is told of was the last. */
void dipp_run_loop_end(dipp_run_loop *loop);

int64_t dipp_run_loop_step(const dipp_run_loop *loop);        /* finished iterations */
int64_t dipp_run_loop_images_seen(const dipp_run_loop *loop); /* by those */
double dipp_run_loop_flops(const dipp_run_loop *loop);        /* useful, of an iteration */
double dipp_run_loop_recomputed_flops(const dipp_run_loop *loop);
/* As dipp_align_text_work; nothing for other loops. */
dipp_status dipp_run_loop_text_work(const dipp_run_loop *loop, dipp_align_texts *out, dipp_error *error);
const dipp_plan_report *dipp_run_loop_plan(const dipp_run_loop *loop);
/* {"align":16}: how many samples at a time. */
const char *dipp_run_loop_micro_batch(const dipp_run_loop *loop);

#endif
