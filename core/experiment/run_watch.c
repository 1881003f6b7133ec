#include "experiment/run_watch.h"

#include "base/memory.h"
#include "experiment/run_budget.h"
#include "experiment/run_monitor.h"

#include <stdio.h>
#include <string.h>

static const char *const stop_events[] = {"stop.alarm", "stop.reward", "stop.ikl"};

struct dipp_run_watch {
    dipp_run_record *record;
    dipp_run_monitor *monitor; /* or NULL */
    dipp_run_budget budget;
    void (*note)(const void *context, const char *message);
    const void *context;
    int64_t steps;
    char reason[640];
};

dipp_status dipp_run_watch_create(dipp_run_setup *setup, dipp_run_record *record, int64_t seed,
                                  const volatile sig_atomic_t *stop,
                                  void (*note)(const void *context, const char *message), const void *context,
                                  dipp_run_watch **out, dipp_error *error)
{
    const dipp_config *config = setup->config;
    *out = NULL;
    if (setup->pretrain || !(dipp_run_monitored(config) || dipp_config_has(config, "budget.reward") ||
                             dipp_config_has(config, "budget.ikl")))
        return DIPP_OK;
    dipp_run_watch *watch = dipp_allocate_zeroed(1, sizeof *watch);
    if (!watch)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory to watch a run");
    watch->record = record;
    watch->note = note;
    watch->context = context;
    watch->steps = dipp_run_loop_int(config, "steps");
    dipp_status status = dipp_run_budget_read(setup, &watch->budget, error);
    if (status == DIPP_OK && dipp_run_monitored(config))
        status = dipp_run_monitor_create(setup, record, seed, stop, &watch->monitor, error);
    if (status == DIPP_OK && watch->monitor && !dipp_run_monitor_can_alarm(watch->monitor))
        note(context, "the monitor has no judge: the run is trained on all that monitor.judges names");
    if (status == DIPP_OK && watch->monitor)
        status = dipp_run_monitor_start(watch->monitor, error);
    if (status != DIPP_OK)
        dipp_run_watch_destroy(&watch);
    *out = watch;
    return status;
}

void dipp_run_watch_destroy(dipp_run_watch **watch)
{
    if (!watch || !*watch)
        return;
    dipp_run_monitor_destroy(&(*watch)->monitor);
    dipp_run_budget_clear(&(*watch)->budget);
    dipp_release(*watch);
    *watch = NULL;
}

bool dipp_run_watch_reads(const dipp_run_watch *watch, const char *name)
{
    return watch && dipp_run_budget_reads(&watch->budget, name);
}

void dipp_run_watch_see(dipp_run_watch *watch, const char *const *names, const double *values, size_t count)
{
    if (watch)
        dipp_run_budget_see(&watch->budget, names, values, count);
}

/* Ends the run at this step; an attempt that was cut off behind it may have said so already. */
static dipp_status end(dipp_run_watch *watch, int64_t step, const char *code, const char *why, dipp_error *error)
{
    bool said = false;
    snprintf(watch->reason, sizeof watch->reason, "ended at step %lld of %lld: %s", (long long)step,
             (long long)watch->steps, why);
    dipp_status status = dipp_run_record_has_event(watch->record, step, code, &said, error);
    if (status == DIPP_OK && !said)
        status = dipp_run_record_event(watch->record, step, "info", code, watch->reason, error);
    watch->note(watch->context, watch->reason);
    return status;
}

static dipp_status look(dipp_run_watch *watch, int64_t step, int64_t images_seen, dipp_error *error)
{
    char text[560];
    bool before = dipp_run_monitor_alarm(watch->monitor) != NULL;
    dipp_status status = dipp_run_monitor_look(watch->monitor, step, images_seen, error);
    if (status == DIPP_OK && !before && dipp_run_monitor_alarm(watch->monitor)) {
        snprintf(text, sizeof text, "ALARM: %s", dipp_run_monitor_alarm(watch->monitor));
        watch->note(watch->context, text);
    }
    return status;
}

/* A budget that is spent ends the run, and so may the alarm of a look, of which there is one at the end in any case. */
dipp_status dipp_run_watch_step(dipp_run_watch *watch, int64_t step, int64_t images_seen, bool *ends, dipp_error *error)
{
    char message[160] = "";
    *ends = false;
    if (!watch || !step)
        return DIPP_OK;
    dipp_run_monitor *monitor = watch->monitor;
    const char *spent = dipp_run_budget_spent(&watch->budget, message, sizeof message);
    if (monitor && (spent || dipp_run_monitor_due(monitor, step)) && dipp_run_monitor_last_look(monitor) < step) {
        dipp_status status = look(watch, step, images_seen, error);
        if (status != DIPP_OK)
            return status;
    }
    *ends = step < watch->steps && (spent || (monitor && dipp_run_monitor_stops(monitor)));
    if (!*ends)
        return DIPP_OK;
    return spent ? end(watch, step, spent, message, error) : end(watch, step, stop_events[0], "the alarm", error);
}

dipp_status dipp_run_watch_resume(dipp_run_watch *watch, int64_t step, int64_t images_seen, bool *ends,
                                  dipp_error *error)
{
    dipp_status status = DIPP_OK;
    *ends = false;
    if (!watch)
        return DIPP_OK;
    for (size_t i = 0; i < sizeof stop_events / sizeof *stop_events && status == DIPP_OK; i++)
        status = dipp_store_events_remove(watch->record->store, watch->record->run_id, stop_events[i], step, error);
    if (status == DIPP_OK)
        status = dipp_run_budget_resume(&watch->budget, watch->record->store, watch->record->run_id, step, error);
    if (status == DIPP_OK && watch->monitor)
        status = dipp_run_monitor_resume(watch->monitor, step, error);
    return status == DIPP_OK ? dipp_run_watch_step(watch, step, images_seen, ends, error) : status;
}

const char *dipp_run_watch_reason(const dipp_run_watch *watch)
{
    return watch && *watch->reason ? watch->reason : NULL;
}

const char *dipp_run_watch_alarm(const dipp_run_watch *watch)
{
    return watch && watch->monitor ? dipp_run_monitor_alarm(watch->monitor) : NULL;
}
