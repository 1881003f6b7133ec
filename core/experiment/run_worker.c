#include "experiment/run_worker.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/resident.h"
#include "experiment/experiment.h"
#include "experiment/run_build.h"
#include "experiment/run_check.h"
#include "experiment/run_evaluate.h"
#include "experiment/run_loop.h"
#include "experiment/run_result.h"
#include "experiment/run_validate.h"
#include "experiment/run_watch.h"
#include "weights/published.h"

#include <dlfcn.h>
#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

enum { PROGRESS_NS = 200 * 1000 * 1000 };

/* What is known of the run from its row. */
typedef struct run_facts {
    char uuid[40];
    char *config_json, *experiment;
    int64_t seed;
    dipp_run_status status;
    bool found;
} run_facts;

typedef struct run_worker {
    const dipp_worker_options *options;
    dipp_store *store;
    run_facts facts;
    dipp_experiment *experiment;
    dipp_run_setup *setup;
    dipp_run_record record;
    dipp_run_evaluator *evaluator; /* one of the two */
    dipp_run_validator *validator; /* where a reward is trained */
    dipp_run_watch *watch;         /* NULL: nothing ends it early */
    dipp_run_loop *loop;
    int64_t steps, every, checkpoint_every, log_every, first_step, saved_step;
    dipp_worker_progress progress;
    uint64_t shown_ns, started_ns;
    size_t resident;      /* physical memory before there are networks */
    dipp_status observed; /* the first failure inside an observer that cannot return one */
    dipp_error observed_error;
} run_worker;

static void note(const void *context, const char *message)
{
    const run_worker *worker = context;
    if (worker->options->note)
        worker->options->note(worker->options->context, message);
}

static bool stopping(const run_worker *worker)
{
    return worker->options->stop && *worker->options->stop;
}

static int64_t images_seen(const run_worker *worker)
{
    return dipp_run_loop_images_seen(worker->loop);
}

static dipp_status save(run_worker *worker, int64_t step, dipp_error *error)
{
    char name[DIPP_CHECKPOINT_NAME_BYTES], sha256[DIPP_SHA256_HEX_BYTES];
    if (worker->saved_step == step)
        return DIPP_OK;
    dipp_status status = dipp_run_record_flush(&worker->record, step, images_seen(worker), true, error);
    char *path = dipp_run_record_path(&worker->record, dipp_checkpoint_name(step, name));
    if (status == DIPP_OK && !path)
        status = dipp_fail(error, DIPP_E_MEMORY, "no memory for a checkpoint's path");
    if (status == DIPP_OK)
        status = dipp_run_loop_save(worker->loop, path, sha256, error);
    if (status == DIPP_OK)
        status = dipp_run_record_checkpoint(&worker->record, step, sha256, error);
    if (status == DIPP_OK)
        worker->saved_step = step;
    dipp_release(path);
    return status;
}

static dipp_status evaluate_reference(run_worker *worker, dipp_error *error)
{
    const dipp_run_setup *setup = worker->setup;
    char message[128];
    if (!setup->pretrain && setup->models->space.images && dipp_config_bool(setup->config, "evaluate.reference_row")) {
        snprintf(message, sizeof message, "judging the multi-step reference: %u prompts, %lld steps",
                 setup->evaluation.count, (long long)dipp_config_int(setup->config, "reference.steps"));
        note(worker, message);
    }
    return dipp_run_evaluate_reference(worker->evaluator, false, error);
}

static void note_validation(void *context, const char *line)
{
    const run_worker *worker = context;
    char message[64 + DIPP_PREFERENCE_TEXT_BYTES];
    snprintf(message, sizeof message, "step %lld: %s", (long long)dipp_run_loop_step(worker->loop), line);
    note(worker, message);
}

static dipp_status evaluate(run_worker *worker, int64_t step, dipp_error *error)
{
    dipp_status status = dipp_run_record_flush(&worker->record, step, images_seen(worker), true, error);
    if (status == DIPP_OK && worker->validator)
        return dipp_run_validate(worker->validator, &worker->record, step,
                                 step == worker->steps && !dipp_run_calibrates(worker->validator), note_validation,
                                 worker, error);
    if (status == DIPP_OK)
        status = dipp_run_evaluate(worker->evaluator, step, images_seen(worker), error);
    if (status == DIPP_OK && step == 0)
        status = evaluate_reference(worker, error);
    return status;
}

static bool evaluation_due(const run_worker *worker, int64_t step)
{
    return step == 0 || step == worker->steps || (worker->every && step % worker->every == 0);
}

/* The step that was done is the last one. */
static void end_here(run_worker *worker, int64_t step)
{
    worker->steps = worker->progress.steps = step;
    dipp_run_loop_end(worker->loop);
}

/* ---- Observers ---- */

static void show(run_worker *worker, int64_t step, bool now)
{
    uint64_t clock = dipp_clock_monotonic_ns();
    if (!worker->options->progress || (!now && clock - worker->shown_ns < PROGRESS_NS))
        return;
    worker->shown_ns = clock;
    worker->progress.step = step;
    worker->progress.images_seen = images_seen(worker);
    worker->options->progress(worker->options->context, &worker->progress);
}

static void observe_metrics(void *context, int64_t step, const char *const *names, const double *values, size_t count)
{
    run_worker *worker = context;
    for (size_t i = 0; i < count; i++) {
        if (!strcmp(names[i], "train/reward"))
            worker->progress.reward = values[i];
        else if (!strcmp(names[i], "ikl"))
            worker->progress.ikl = values[i];
        else if (!strcmp(names[i], "train/loss"))
            worker->progress.loss = values[i];
    }
    dipp_run_watch_see(worker->watch, names, values, count);
    bool all = step % worker->log_every == 0 || step == worker->steps;
    for (size_t i = 0; i < count && worker->observed == DIPP_OK; i++)
        if (all || dipp_run_watch_reads(worker->watch, names[i]))
            worker->observed =
                dipp_run_record_point(&worker->record, step, names[i], values[i], &worker->observed_error);
}

static dipp_status after_step(void *context, int64_t step, dipp_error *error)
{
    run_worker *worker = context;
    dipp_status status = worker->observed;
    if (status != DIPP_OK) {
        *error = worker->observed_error;
        return status;
    }
    bool ends = false;
    status = dipp_run_watch_step(worker->watch, step, images_seen(worker), &ends, error);
    if (ends)
        end_here(worker, step);
    show(worker, step, step == worker->steps);
    if (status == DIPP_OK)
        status = dipp_run_record_flush(&worker->record, step, images_seen(worker), false, error);
    if (status == DIPP_OK && evaluation_due(worker, step))
        status = evaluate(worker, step, error);
    if (status == DIPP_OK && step && worker->checkpoint_every && step % worker->checkpoint_every == 0)
        status = save(worker, step, error);
    if (status == DIPP_OK && stopping(worker) && step < worker->steps)
        status = dipp_fail(error, DIPP_E_INTERRUPTED, "interrupted at step %lld", (long long)step);
    return status;
}

static bool stopping_step(void *context)
{
    return stopping(context);
}

/* ---- Setting up ---- */

static int read_facts(void *user, const dipp_run_row *row)
{
    run_facts *facts = user;
    snprintf(facts->uuid, sizeof facts->uuid, "%s", row->run_uuid);
    facts->config_json = dipp_string_copy(row->config_json);
    facts->experiment = dipp_string_copy(row->experiment);
    facts->seed = row->seed;
    facts->status = row->status;
    facts->found = true;
    return 1;
}

static dipp_status claim(run_worker *worker, dipp_error *error)
{
    dipp_run_filter filter = {.run_id = worker->options->run_id};
    dipp_status status = dipp_store_each_run(worker->store, &filter, read_facts, &worker->facts, error);
    if (status != DIPP_OK)
        return status;
    if (!worker->facts.found)
        return dipp_fail(error, DIPP_E_NOT_FOUND, "%s has no run %lld", worker->options->database,
                         (long long)worker->options->run_id);
    if (!worker->facts.config_json || !worker->facts.experiment)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for the configuration");
    return dipp_store_claim(worker->store, worker->options->run_id, worker->options->also, NULL, error);
}

static dipp_status parse(run_worker *worker, const dipp_cell **cell, dipp_error *error)
{
    char name[48];
    dipp_plugin_catalog catalog = {worker->options->plugins, dipp_plugins_parameter_table, dipp_plugins_name};
    dipp_diagnostics *diagnostics = dipp_diagnostics_create();
    size_t count = 0;
    if (!diagnostics)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for the configuration");
    snprintf(name, sizeof name, "run %lld", (long long)worker->options->run_id);
    dipp_status status = dipp_experiment_parse(name, worker->facts.config_json, strlen(worker->facts.config_json), NULL,
                                               0, &catalog, diagnostics, &worker->experiment, error);
    if (status == DIPP_E_INVALID) {
        const char *text = dipp_diagnostics_text(diagnostics);
        status = dipp_fail(error, status, "the configuration that is stored for this run is not valid here:\n%.1600s",
                           text ? text : "");
    }
    dipp_diagnostics_destroy(&diagnostics);
    if (status == DIPP_OK)
        *cell = dipp_experiment_cells(worker->experiment, &count);
    if (status == DIPP_OK && count != 1)
        status = dipp_fail(error, DIPP_E_INTERNAL, "the stored configuration of a run expands to %zu runs", count);
    return status;
}

/* Networks and programs, with all memory that they will take. */
static dipp_status build(run_worker *worker, const dipp_cell *cell, dipp_error *error)
{
    dipp_status status =
        dipp_run_setup_create(cell->config, worker->options->plugins, worker->options->threads, &worker->setup, error);
    if (status == DIPP_OK)
        status = dipp_run_setup_load(worker->setup, worker->facts.seed, error);
    if (status == DIPP_OK)
        status = dipp_run_loop_create(worker->setup, worker->facts.seed, &worker->loop, error);
    if (status == DIPP_E_MEMORY) {
        note(worker, dipp_run_takes_less);
        dipp_error_context(error, "before the first step (see dipp plan)");
    }
    return status;
}

static dipp_status set_up(run_worker *worker, dipp_error *error)
{
    const dipp_cell *cell = NULL;
    dipp_status status = parse(worker, &cell, error);
    worker->resident = dipp_resident_now();
    if (status == DIPP_OK)
        status = build(worker, cell, error);
    if (status != DIPP_OK)
        return status;
    worker->steps = worker->progress.steps = dipp_run_loop_int(cell->config, "steps");
    worker->checkpoint_every = dipp_run_loop_int(cell->config, "checkpoint_every");
    worker->log_every = dipp_run_loop_int(cell->config, "log_every");
    worker->every = dipp_config_int(cell->config, "evaluate.every");
    if (dipp_run_loop_recomputed_flops(worker->loop) > 0)
        note(worker, "blocks are computed again instead of kept (recompute)");
    return dipp_run_record_open(worker->store, worker->options->run_id, worker->facts.uuid, &worker->record, error);
}

/* ---- Resuming ---- */

static dipp_status resume(run_worker *worker, dipp_error *error)
{
    for (;;) {
        char *path = NULL;
        int64_t step = 0;
        dipp_error torn;
        dipp_status status = dipp_run_record_newest(&worker->record, &path, &step, error);
        if (status != DIPP_OK || !path)
            return status;
        status = dipp_run_loop_load(worker->loop, path, &torn);
        dipp_release(path);
        if (status == DIPP_OK) {
            worker->first_step = worker->saved_step = step;
            return DIPP_OK;
        }
        if (status == DIPP_E_MEMORY) {
            *error = torn;
            return status;
        }
        status = dipp_run_record_forget(&worker->record, step, torn.message, error);
        if (status != DIPP_OK)
            return status;
    }
}

typedef struct previous_attempt {
    bool found;
    int threads;
    char backend[32], isa[64], precision[16], micro_batch[64], binary[DIPP_SHA256_HEX_BYTES];
} previous_attempt;

static int read_attempt(void *user, const dipp_attempt_row *row)
{
    previous_attempt *previous = user;
    const dipp_attempt_spec *spec = &row->spec;
    previous->found = true;
    previous->threads = spec->threads;
    snprintf(previous->backend, sizeof previous->backend, "%s", spec->backend ? spec->backend : "");
    snprintf(previous->isa, sizeof previous->isa, "%s", spec->isa ? spec->isa : "");
    snprintf(previous->precision, sizeof previous->precision, "%s", spec->precision ? spec->precision : "");
    snprintf(previous->micro_batch, sizeof previous->micro_batch, "%s",
             spec->micro_batch_json ? spec->micro_batch_json : "");
    snprintf(previous->binary, sizeof previous->binary, "%s", spec->binary_sha256 ? spec->binary_sha256 : "");
    return 1;
}

static dipp_status warn_changed(run_worker *worker, const char *code, const char *what, const char *now,
                                const char *before, dipp_error *error)
{
    char message[320];
    if (!strcmp(now, before))
        return DIPP_OK;
    snprintf(message, sizeof message,
             "resumed with another %s (%s; before: %s): what follows may differ in the last bits from a run in one go",
             what, now, before);
    note(worker, message);
    return dipp_run_record_event(&worker->record, worker->first_step, "warning", code, message, error);
}

/* Bit-identical means: same library, back-end, instruction set, threads and micro-batch. */
static dipp_status begin_attempt(run_worker *worker, dipp_error *error)
{
    const dipp_backend *backend = worker->setup->backend;
    previous_attempt previous = {.found = false};
    char binary[DIPP_SHA256_HEX_BYTES] = "", libraries[128], now[16], before[16];
    const char *with = backend->library ? backend->library : "";
    Dl_info library;
    if (dladdr((void *)dipp_run_work, &library) && library.dli_fname)
        dipp_sha256_file(library.dli_fname, binary, NULL);
    snprintf(libraries, sizeof libraries, "{\"sqlite\":\"%s\",\"backend\":\"%s\"}", sqlite3_libversion(), with);
    dipp_attempt_spec spec = {.start_step = worker->first_step,
                              .dipp_version = DIPP_BUILD_VERSION,
                              .binary_sha256 = *binary ? binary : NULL,
                              .backend = backend->name,
                              .device = backend->name,
                              .isa = backend->isa,
                              .precision = backend->precision,
                              .threads = (int)backend->threads,
                              .libraries_json = libraries,
                              .micro_batch_json = dipp_run_loop_micro_batch(worker->loop)};
    dipp_status status =
        dipp_store_each_attempt(worker->store, worker->options->run_id, read_attempt, &previous, error);
    if (status == DIPP_OK)
        status =
            dipp_store_attempt_begin(worker->store, worker->options->run_id, &spec, &worker->record.attempt, error);
    if (status != DIPP_OK || !previous.found || !worker->first_step)
        return status;
    snprintf(now, sizeof now, "%d", spec.threads);
    snprintf(before, sizeof before, "%d", previous.threads);
    const struct {
        const char *code, *what, *now, *before;
    } facts[] = {{"resume.threads", "number of threads", now, before},
                 {"resume.backend", "back-end", spec.backend, previous.backend},
                 {"resume.isa", "instruction set", spec.isa ? spec.isa : "", previous.isa},
                 {"resume.precision", "precision", spec.precision ? spec.precision : "", previous.precision},
                 {"resume.micro_batch", "micro-batch", dipp_run_loop_micro_batch(worker->loop), previous.micro_batch},
                 {"resume.library", "build of dipp", binary, previous.binary}};
    for (size_t i = 0; i < sizeof facts / sizeof *facts && status == DIPP_OK; i++)
        status = warn_changed(worker, facts[i].code, facts[i].what, facts[i].now, facts[i].before, error);
    return status;
}

/* A checkpoint may have been written while its step's evaluation, or a look of the monitor, was cut off. */
static dipp_status catch_up(run_worker *worker, dipp_error *error)
{
    bool done = false, ends = false;
    int64_t step = worker->first_step;
    if (worker->validator) /* the same numbers once more */
        return step && evaluation_due(worker, step) ? evaluate(worker, step, error) : DIPP_OK;
    dipp_status status = dipp_run_watch_resume(worker->watch, step, images_seen(worker), &ends, error);
    if (status != DIPP_OK || !step)
        return status; /* the loop itself begins with step 0 */
    if (ends)
        end_here(worker, step);
    status = evaluate_reference(worker, error);
    if (status == DIPP_OK && evaluation_due(worker, step))
        status = dipp_run_evaluated(worker->evaluator, step, &done, error);
    if (status == DIPP_OK && evaluation_due(worker, step) && !done)
        status = evaluate(worker, step, error);
    return status;
}

/* ---- The run ---- */

static dipp_status train(run_worker *worker, dipp_error *error)
{
    dipp_run_loop_observer observer = {worker, observe_metrics, after_step, stopping_step};
    worker->started_ns = dipp_clock_monotonic_ns();
    dipp_status status = dipp_run_loop_run(worker->loop, &observer, error);
    if (status == DIPP_E_INTERRUPTED) { /* after a step, in its evaluation, or inside one */
        dipp_error why = *error;
        status = save(worker, dipp_run_loop_step(worker->loop), error);
        if (status != DIPP_OK)
            return status;
        *error = why;
        return DIPP_E_INTERRUPTED;
    }
    if (status != DIPP_OK && status != DIPP_E_IO && status != DIPP_E_BUSY) {
        dipp_error ignored; /* what was measured before the failure is worth keeping; the failure itself is reported */
        dipp_run_record_flush(&worker->record, worker->progress.step, images_seen(worker), true, &ignored);
    }
    return status;
}

/* A reward that is trained gets its temperature when no checkpoint can come after it, so that it gets it once. */
static dipp_status calibrate(run_worker *worker, dipp_error *error)
{
    if (!worker->validator || !dipp_run_calibrates(worker->validator))
        return DIPP_OK;
    dipp_status status =
        dipp_run_calibrate(worker->validator, &worker->record, worker->steps, note_validation, worker, error);
    return status == DIPP_OK ? dipp_run_validate(worker->validator, &worker->record, worker->steps, true,
                                                 note_validation, worker, error)
                             : status;
}

static dipp_status complete(run_worker *worker, dipp_error *error)
{
    const char *reason = dipp_run_watch_reason(worker->watch), *alarm = dipp_run_watch_alarm(worker->watch);
    dipp_status status = calibrate(worker, error);
    if (status == DIPP_OK)
        status = dipp_run_record_flush(&worker->record, worker->steps, images_seen(worker), true, error);
    if (status == DIPP_OK)
        status = dipp_run_result_write(worker->setup, &worker->record, worker->facts.seed, worker->steps,
                                       images_seen(worker), error);
    if (status == DIPP_OK)
        status = dipp_store_attempt_end(worker->store, worker->options->run_id, worker->record.attempt, "completed",
                                        worker->steps, reason, error);
    if (status == DIPP_OK)
        status =
            dipp_store_run_finish(worker->store, worker->options->run_id, DIPP_RUN_COMPLETED, 0, -1, NULL, NULL, error);
    if (status == DIPP_OK)
        status = dipp_run_record_prune(&worker->record, 0, error);
    if (status != DIPP_OK)
        return status;
    char message[640];
    if (alarm) {
        snprintf(message, sizeof message, "ended with the monitor's alarm: %s", alarm);
        note(worker, message);
    }
    int64_t done = worker->steps - worker->first_step;
    double before = (double)worker->resident / 1048576, most = (double)dipp_resident_most() / 1048576;
    double seconds = (double)(dipp_clock_monotonic_ns() - worker->started_ns) / 1e9;
    double flops = dipp_run_loop_flops(worker->loop);
    snprintf(
        message, sizeof message,
        "%lld steps in %.1f s with evaluations, %.1f useful GFLOP/s; memory at most %.1f MiB, %.1f above the start",
        (long long)done, seconds, (double)done * flops / (seconds > 0 ? seconds : 1) / 1e9, most, most - before);
    note(worker, message);
    return DIPP_OK;
}

/* Which published files the run starts from: what a reward is called says less than its content. */
static dipp_status tell_published(run_worker *worker, dipp_error *error)
{
    dipp_status status = DIPP_OK;
    for (uint32_t i = 0; i < worker->setup->input_count && status == DIPP_OK; i++) {
        const dipp_run_input *input = &worker->setup->inputs[i];
        const dipp_published_file *file = dipp_published_find(input->sha256);
        char message[320];
        if (!file)
            continue;
        snprintf(message, sizeof message, "%s: %s (%s)", input->role, file->what, file->file);
        note(worker, message);
        status =
            dipp_run_record_event(&worker->record, worker->first_step, "info", "weights.published", message, error);
    }
    return status;
}

static dipp_status work(run_worker *worker, dipp_error *error)
{
    dipp_status status = set_up(worker, error);
    if (status == DIPP_OK) /* before a checkpoint is read: the monitor looks at what the run starts from */
        status = dipp_run_watch_create(worker->setup, &worker->record, worker->facts.seed, worker->options->stop, note,
                                       worker, &worker->watch, error);
    if (status == DIPP_OK)
        status = resume(worker, error);
    if (status == DIPP_OK)
        status = begin_attempt(worker, error);
    if (status == DIPP_OK)
        status = dipp_run_result_inputs(worker->setup, &worker->record, worker->facts.experiment, error);
    if (status == DIPP_OK)
        status = tell_published(worker, error);
    if (status == DIPP_OK && worker->setup->trainee)
        status = dipp_run_validator_create(worker->setup, worker->options->stop, &worker->validator, error);
    else if (status == DIPP_OK)
        status =
            dipp_run_evaluator_create(worker->setup, &worker->record, worker->options->stop, &worker->evaluator, error);
    if (status == DIPP_OK)
        status = catch_up(worker, error);
    if (status == DIPP_OK)
        status = train(worker, error);
    return status == DIPP_OK ? complete(worker, error) : status;
}

static void destroy(run_worker *worker)
{
    dipp_run_watch_destroy(&worker->watch);
    dipp_run_evaluator_destroy(&worker->evaluator);
    dipp_run_validator_destroy(&worker->validator);
    dipp_run_loop_destroy(&worker->loop);
    dipp_run_record_close(&worker->record);
    dipp_run_setup_destroy(&worker->setup);
    dipp_experiment_destroy(&worker->experiment);
    dipp_release(worker->facts.config_json);
    dipp_release(worker->facts.experiment);
    dipp_store_close(&worker->store);
}

dipp_status dipp_run_work(const dipp_worker_options *options, dipp_error *error)
{
    run_worker worker = {.options = options, .saved_step = -1, .progress = {.reward = NAN, .ikl = NAN, .loss = NAN}};
    dipp_store_options open = {.mode = DIPP_STORE_WRITE};
    dipp_error ignored;
    dipp_status status = dipp_store_open(options->database, &open, &worker.store, error);
    if (status == DIPP_OK)
        status = claim(&worker, error);
    if (status == DIPP_OK) {
        status = work(&worker, error);
        if (status == DIPP_E_INTERRUPTED)
            dipp_store_run_requeue(worker.store, options->run_id, "interrupted", &ignored);
        else if (status != DIPP_OK)
            dipp_store_run_finish(worker.store, options->run_id, DIPP_RUN_FAILED, -1, -1, error->message, NULL,
                                  &ignored);
    }
    destroy(&worker);
    return status;
}
