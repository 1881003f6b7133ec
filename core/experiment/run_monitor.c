#include "experiment/run_monitor.h"

#include "base/memory.h"
#include "evaluate/alarm.h"
#include "experiment/run_metrics.h"
#include "experiment/run_result.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const char dipp_monitor_event[] = "monitor.alarm";

enum { NAME_BYTES = 80 };

/* The metrics are the rewards, in the order of the configuration, then the judges. */
struct dipp_run_monitor {
    dipp_run_setup *setup;
    dipp_run_record *record;
    dipp_evaluation *evaluation;
    dipp_run_prompts prompts;
    dipp_run_metrics metrics;
    uint32_t reward_count, samples, looks; /* looks: planned in the whole run */
    bool tested[DIPP_RUN_METRICS];         /* a reward that is trained on; a judge that is not */
    double sign[DIPP_RUN_METRICS];         /* -1: a reward of negative scale, whose fall is wanted */
    int64_t every, steps, seed;
    double level, margin;
    bool plain, average, stops, keeps_best;
    double *start, *now; /* [metrics, prompts, samples]; NaN where a picture has no score */
    double best;         /* of the first judge; NaN before the first look */
    int64_t last_look;
    bool fired;
    char alarm[512];
};

bool dipp_run_monitored(const dipp_config *config)
{
    return dipp_config_has(config, "monitor.every");
}

/* ---- Lifetime ---- */

static dipp_status add_rewards(dipp_run_monitor *monitor, dipp_error *error)
{
    const dipp_run_setup *setup = monitor->setup;
    dipp_status status = DIPP_OK;
    for (uint32_t i = 0; i < setup->models->reward_count && status == DIPP_OK; i++) {
        char label[DIPP_REWARD_LABEL_BYTES], name[NAME_BYTES], path[32];
        snprintf(name, sizeof name, "reward.%s", dipp_align_reward_label(setup->models, i, label));
        snprintf(path, sizeof path, "rewards[%u].scale", i);
        double scale = dipp_config_float(setup->config, path);
        monitor->sign[i] = scale < 0 ? -1 : 1;
        monitor->tested[i] = scale != 0;
        status = dipp_run_metrics_add_reward(&monitor->metrics, setup->config, i, setup->rewards[i]->descriptor, name,
                                             error);
    }
    monitor->reward_count = monitor->metrics.count;
    return status;
}

/* A judge that the run is trained on is recorded and is no judge here: the same plugin with files of the same content, as the
 * store flags it. */
static bool is_trained_on(const dipp_run_monitor *monitor, uint32_t judge)
{
    const dipp_run_metrics *metrics = &monitor->metrics;
    bool trained = false;
    for (uint32_t i = 0; i < monitor->reward_count; i++)
        trained |= monitor->tested[i] && metrics->metrics[judge].plugin == metrics->metrics[i].plugin &&
                   !strcmp(metrics->files[judge].weights_sha256, metrics->files[i].weights_sha256) &&
                   !strcmp(metrics->files[judge].head_sha256, metrics->files[i].head_sha256);
    return trained;
}

static dipp_status add_judges(dipp_run_monitor *monitor, dipp_error *error)
{
    const dipp_config *config = monitor->setup->config;
    const dipp_yaml_node *judges = dipp_config_node(config, "monitor.judges");
    dipp_status status = judges && judges->count
                             ? DIPP_OK
                             : dipp_fail(error, DIPP_E_INVALID, "monitor.judges names nobody; expected at least one");
    for (size_t i = 0; judges && i < judges->count && status == DIPP_OK; i++) {
        status = dipp_run_metrics_add_judge(&monitor->metrics, config, judges->items[i]->text, error);
        if (status == DIPP_OK) {
            uint32_t at = monitor->metrics.count - 1;
            monitor->sign[at] = 1;
            monitor->tested[at] = !is_trained_on(monitor, at);
        }
    }
    return status;
}

static void read_settings(dipp_run_monitor *monitor)
{
    const dipp_config *config = monitor->setup->config;
    const char *action = dipp_config_string(config, "monitor.on_alarm");
    monitor->every = dipp_config_int(config, "monitor.every");
    monitor->steps = dipp_config_int(config, "align.steps");
    monitor->looks = (uint32_t)((monitor->steps + monitor->every - 1) / monitor->every);
    monitor->samples = (uint32_t)dipp_config_int(config, "monitor.samples");
    monitor->level = dipp_config_float(config, "monitor.level");
    const char *test = dipp_config_string(config, "monitor.test");
    monitor->plain = test && !strcmp(test, "plain");
    monitor->margin = dipp_config_float(config, "monitor.margin");
    monitor->average = dipp_config_bool(config, "evaluate.use_ema") && dipp_run_averages(config);
    monitor->keeps_best = action && !strcmp(action, "stop_and_keep_best");
    monitor->stops = monitor->keeps_best || (action && !strcmp(action, "stop"));
    monitor->best = NAN;
}

static dipp_status create_evaluation(dipp_run_monitor *monitor, const volatile sig_atomic_t *stop, dipp_error *error)
{
    const dipp_run_setup *setup = monitor->setup;
    dipp_evaluation_options options = {.models = setup->models,
                                       .world = setup->world,
                                       .prompts = monitor->prompts.set.prompts,
                                       .texts = monitor->prompts.texts,
                                       .prompt_count = monitor->prompts.count,
                                       .samples = monitor->samples,
                                       .batch = (uint32_t)dipp_config_int(setup->config, "evaluate.batch"),
                                       .noise_seed = (uint64_t)dipp_config_int(setup->config, "monitor.noise_seed"),
                                       .metrics = monitor->metrics.metrics,
                                       .metric_count = monitor->metrics.count,
                                       .use_average = monitor->average,
                                       .stop = stop};
    size_t count = (size_t)monitor->metrics.count * monitor->prompts.count * monitor->samples;
    monitor->start = dipp_allocate_zeroed(count, sizeof *monitor->start);
    monitor->now = dipp_allocate_zeroed(count, sizeof *monitor->now);
    if (!monitor->start || !monitor->now)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for the monitor's scores");
    return dipp_evaluation_create(&options, &monitor->evaluation, error);
}

dipp_status dipp_run_monitor_create(dipp_run_setup *setup, dipp_run_record *record, int64_t seed,
                                    const volatile sig_atomic_t *stop, dipp_run_monitor **out, dipp_error *error)
{
    dipp_run_monitor *monitor = dipp_allocate_zeroed(1, sizeof *monitor);
    if (!monitor)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for the monitor");
    monitor->setup = setup;
    monitor->record = record;
    monitor->seed = seed;
    monitor->metrics.plugins = setup->plugins;
    monitor->metrics.hashes = setup->hashes;
    read_settings(monitor);
    dipp_status status = dipp_run_prompts_read_monitor(setup->config, setup->world, &monitor->prompts, error);
    if (status == DIPP_OK)
        status = add_rewards(monitor, error);
    if (status == DIPP_OK)
        status = add_judges(monitor, error);
    if (status == DIPP_OK)
        status = create_evaluation(monitor, stop, error);
    if (status != DIPP_OK) {
        dipp_run_monitor_destroy(&monitor);
        dipp_error_context(error, "the monitor");
    }
    *out = monitor;
    return status;
}

void dipp_run_monitor_destroy(dipp_run_monitor **pointer)
{
    if (!pointer || !*pointer)
        return;
    dipp_run_monitor *monitor = *pointer;
    dipp_evaluation_destroy(&monitor->evaluation);
    dipp_run_metrics_clear(&monitor->metrics);
    dipp_run_prompts_clear(&monitor->prompts);
    dipp_release(monitor->start);
    dipp_release(monitor->now);
    dipp_release(monitor);
    *pointer = NULL;
}

dipp_status dipp_run_monitor_prepare(dipp_run_monitor *monitor, size_t *device, size_t *host, dipp_error *error)
{
    size_t on_device = 0, on_host = 0;
    dipp_status status = dipp_evaluation_prepare(monitor->evaluation, true, false, &on_device, &on_host, error);
    *device += on_device;
    *host += on_host;
    return status;
}

/* ---- Looking ---- */

/* Draws and scores into scores [metrics, prompts, samples]. */
static dipp_status score(dipp_run_monitor *monitor, double *scores, dipp_error *error)
{
    dipp_evaluation_result result;
    size_t pictures = (size_t)monitor->prompts.count * monitor->samples;
    dipp_status status = dipp_evaluation_run(monitor->evaluation, false, &result, error);
    if (status != DIPP_OK)
        return status;
    for (size_t i = 0; i < monitor->metrics.count * pictures; i++)
        scores[i] = NAN;
    for (size_t i = 0; i < result.score_count; i++) {
        const dipp_evaluation_score *one = &result.scores[i];
        scores[one->metric * pictures + (size_t)one->prompt * monitor->samples + one->sample] =
            one->value * monitor->sign[one->metric];
    }
    dipp_evaluation_result_clear(&result);
    return DIPP_OK;
}

static dipp_change change_of(const dipp_run_monitor *monitor, const double *now, uint32_t metric)
{
    size_t at = (size_t)metric * monitor->prompts.count * monitor->samples;
    return dipp_change_of(monitor->start + at, now + at, monitor->prompts.count, monitor->samples, monitor->margin);
}

static dipp_status put_point(dipp_run_monitor *monitor, int64_t step, const char *name, const char *what, double value,
                             dipp_error *error)
{
    char full[NAME_BYTES + 24];
    snprintf(full, sizeof full, "monitor.%s%s", name, what);
    return dipp_run_record_point(monitor->record, step, full, value, error);
}

/* The mean of each metric, the standard error of its change and, where it is tested, the p of that: of a rise of a reward, of
 * a fall of a judge. */
static dipp_status put_changes(dipp_run_monitor *monitor, int64_t step, const dipp_change *changes, dipp_error *error)
{
    dipp_status status = DIPP_OK;
    for (uint32_t i = 0; i < monitor->metrics.count && status == DIPP_OK; i++) {
        const char *name = monitor->metrics.names[i];
        double mean = changes[i].units ? changes[i].now * monitor->sign[i] : NAN;
        double p = i < monitor->reward_count ? changes[i].rise : changes[i].fall;
        status = put_point(monitor, step, name, "", mean, error);
        if (status == DIPP_OK && step)
            status = put_point(monitor, step, name, ".error", changes[i].error, error);
        if (status == DIPP_OK && step && monitor->tested[i])
            status = put_point(monitor, step, name, ".p", p, error);
    }
    return status;
}

/* The changes that count, rewards or judges, closed up; which[i]: the metric of each. */
static uint32_t tested(const dipp_run_monitor *monitor, const dipp_change *changes, bool judges, dipp_change *out,
                       uint32_t *which)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < monitor->metrics.count; i++)
        if (monitor->tested[i] && (i >= monitor->reward_count) == judges) {
            which[count] = i;
            out[count++] = changes[i];
        }
    return count;
}

static void describe(dipp_run_monitor *monitor, const dipp_alarm *alarm, const dipp_change *changes, uint32_t reward,
                     uint32_t judge)
{
    const dipp_change *up = &changes[reward], *down = &changes[judge];
    double sign = monitor->sign[reward];
    int written =
        snprintf(monitor->alarm, sizeof monitor->alarm,
                 "%s went from %.4g to %.4g while %s fell from %.4g to %.4g, over %u x %u pictures: ",
                 monitor->metrics.names[reward], up->before * sign, up->now * sign, monitor->metrics.names[judge],
                 down->before, down->now, monitor->prompts.count, monitor->samples);
    size_t used = written > 0 && written < (int)sizeof monitor->alarm ? (size_t)written : sizeof monitor->alarm - 1;
    if (monitor->plain)
        snprintf(monitor->alarm + used, sizeof monitor->alarm - used, "by more than the margin %.4g", monitor->margin);
    else
        snprintf(monitor->alarm + used, sizeof monitor->alarm - used, "p %.2g for %u looks, level %.4g, margin %.4g",
                 alarm->p, monitor->looks, monitor->level, monitor->margin);
}

static dipp_status judge(dipp_run_monitor *monitor, int64_t step, const dipp_change *changes, dipp_error *error)
{
    dipp_change rewards[DIPP_RUN_METRICS], judges[DIPP_RUN_METRICS];
    uint32_t of_reward[DIPP_RUN_METRICS], of_judge[DIPP_RUN_METRICS];
    uint32_t reward_count = tested(monitor, changes, false, rewards, of_reward);
    uint32_t judge_count = tested(monitor, changes, true, judges, of_judge);
    if (!reward_count || !judge_count)
        return DIPP_OK;
    dipp_alarm alarm = dipp_alarm_of(rewards, reward_count, judges, judge_count, monitor->looks);
    dipp_status status = put_point(monitor, step, "evidence", "", alarm.evidence, error);
    bool fires = monitor->plain
                     ? dipp_alarm_by_margin(rewards, reward_count, judges, judge_count, monitor->margin, &alarm)
                     : alarm.p <= monitor->level;
    if (status != DIPP_OK || monitor->fired || !fires)
        return status;
    describe(monitor, &alarm, changes, of_reward[alarm.reward], of_judge[alarm.judge]);
    status = dipp_run_record_event(monitor->record, step, "warning", dipp_monitor_event, monitor->alarm, error);
    monitor->fired = status == DIPP_OK;
    return status;
}

dipp_status dipp_run_monitor_look(dipp_run_monitor *monitor, int64_t step, int64_t images_seen, dipp_error *error)
{
    dipp_change changes[DIPP_RUN_METRICS];
    dipp_status status = score(monitor, monitor->now, error);
    for (uint32_t i = 0; i < monitor->metrics.count && status == DIPP_OK; i++)
        changes[i] = change_of(monitor, monitor->now, i);
    if (status == DIPP_OK)
        status = put_changes(monitor, step, changes, error);
    if (status == DIPP_OK)
        status = judge(monitor, step, changes, error);
    monitor->last_look = status == DIPP_OK ? step : monitor->last_look;
    const dipp_change *first = &changes[monitor->reward_count];
    if (status != DIPP_OK || !monitor->keeps_best || !first->units || first->now < monitor->best)
        return status;
    monitor->best = first->now;
    return dipp_run_result_write_best(monitor->setup, monitor->record, monitor->average, monitor->seed, step,
                                      images_seen, error);
}

bool dipp_run_monitor_can_alarm(const dipp_run_monitor *monitor)
{
    bool rewarded = false, judged = false;
    for (uint32_t i = 0; i < monitor->metrics.count; i++)
        *(i < monitor->reward_count ? &rewarded : &judged) |= monitor->tested[i];
    return !rewarded || judged;
}

bool dipp_run_monitor_due(const dipp_run_monitor *monitor, int64_t step)
{
    return step && (step % monitor->every == 0 || step == monitor->steps);
}

/* ---- Start and resume ---- */

dipp_status dipp_run_monitor_start(dipp_run_monitor *monitor, dipp_error *error)
{
    dipp_status status = score(monitor, monitor->start, error);
    for (uint32_t i = 0; i < monitor->metrics.count && status == DIPP_OK; i++) {
        dipp_change itself = change_of(monitor, monitor->start, i);
        if (itself.units < 2)
            status =
                dipp_fail(error, DIPP_E_INVALID,
                          "the monitor's %s scores %u of its %u x %u pictures in a way that compares, and a spread "
                          "needs two prompts, or two pictures of a single one; name other judges "
                          "(monitor.judges), more prompts (monitor.prompts) or monitor.samples",
                          monitor->metrics.names[i], itself.units, monitor->prompts.count, monitor->samples);
    }
    return status;
}

typedef struct reading {
    dipp_run_monitor *monitor;
    int64_t until;
} reading;

static int add_look(void *user, const dipp_metric_row *row)
{
    reading *from = user;
    dipp_run_monitor *monitor = from->monitor;
    if (row->step > from->until)
        return 1;
    monitor->last_look = row->step;
    if (row->step && !isnan(row->value) && !(row->value < monitor->best))
        monitor->best = row->value;
    return 0;
}

static int read_alarm(void *user, int columns, const char *const *names, const char *const *values)
{
    dipp_run_monitor *monitor = user;
    snprintf(monitor->alarm, sizeof monitor->alarm, "%s", values[0]);
    monitor->fired = true;
    return 1;
}

dipp_status dipp_run_monitor_resume(dipp_run_monitor *monitor, int64_t step, dipp_error *error)
{
    dipp_run_record *record = monitor->record;
    char name[NAME_BYTES + 16], run[24];
    const char *binds[] = {run, dipp_monitor_event};
    reading from = {monitor, step};
    dipp_status status = dipp_store_events_remove(record->store, record->run_id, dipp_monitor_event, step, error);
    if (status != DIPP_OK)
        return status;
    if (!step) {
        dipp_change changes[DIPP_RUN_METRICS];
        for (uint32_t i = 0; i < monitor->metrics.count; i++)
            changes[i] = change_of(monitor, monitor->start, i);
        return put_changes(monitor, 0, changes, error);
    }
    snprintf(name, sizeof name, "monitor.%s", monitor->metrics.names[monitor->reward_count]);
    snprintf(run, sizeof run, "%lld", (long long)record->run_id);
    status = dipp_store_query(record->store,
                              "SELECT message FROM events WHERE run_id=CAST(?1 AS INTEGER) AND code=?2 ORDER BY step "
                              "LIMIT 1",
                              binds, 2, read_alarm, monitor, error);
    return status == DIPP_OK
               ? dipp_store_each_metric(record->store, record->run_id, name, false, add_look, &from, error)
               : status;
}

int64_t dipp_run_monitor_last_look(const dipp_run_monitor *monitor)
{
    return monitor->last_look;
}

const char *dipp_run_monitor_alarm(const dipp_run_monitor *monitor)
{
    return monitor->fired ? monitor->alarm : NULL;
}

bool dipp_run_monitor_stops(const dipp_run_monitor *monitor)
{
    return monitor->fired && monitor->stops;
}
