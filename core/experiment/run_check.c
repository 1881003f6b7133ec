#include "experiment/run_check.h"

#include "base/memory.h"
#include "base/resident.h"
#include "experiment/run_evaluate.h"
#include "experiment/run_loop.h"
#include "experiment/run_monitor.h"
#include "experiment/run_validate.h"
#include "plugin/plugin_child.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { UNPLANNED_BYTES = 512 << 20, APART_MS = 600 * 1000 };

const char dipp_run_takes_less[] =
    "smaller align.micro_batch and evaluate.batch, recompute: blocks, adapters (lora), and "
    "align.optimizer.state: 8bit take less";

/* The roles of a cell while it is set up. */
typedef struct checked {
    dipp_run_setup *setup;
    dipp_run_evaluator *evaluator; /* one of the two */
    dipp_run_validator *validator;
    dipp_run_monitor *monitor; /* NULL: none is asked for */
    bool backed;               /* memory was taken, not addresses alone */
    size_t resident;           /* before it began */
    dipp_check_report *report;
} checked;

static void add_role(dipp_check_report *report, const char *name, size_t bytes, int64_t parameters)
{
    if (!bytes || report->role_count == DIPP_CHECK_ROLES)
        return;
    snprintf(report->roles[report->role_count].name, sizeof report->roles[0].name, "%s", name);
    report->roles[report->role_count].parameters = parameters;
    report->roles[report->role_count++].bytes = bytes;
    report->total_bytes += bytes;
}

static void add_set(dipp_check_report *report, const char *name, const dipp_parameter_set *set)
{
    size_t at = report->role_count;
    if (!set || !dipp_layout_parameters(set->layout) || at == DIPP_CHECK_ROLES)
        return;
    add_role(report, name, dipp_parameter_set_bytes(set), dipp_layout_parameters(set->layout));
    report->roles[at].weights = dipp_parameter_set_block_bytes(set, DIPP_BLOCK_MASTER);
    report->roles[at].copy = dipp_parameter_set_block_bytes(set, DIPP_BLOCK_COMPUTE);
    report->roles[at].gradient = dipp_parameter_set_block_bytes(set, DIPP_BLOCK_GRADIENT);
    report->roles[at].moments = dipp_parameter_set_block_bytes(set, DIPP_BLOCK_MOMENT1) +
                                dipp_parameter_set_block_bytes(set, DIPP_BLOCK_MOMENT2);
}

/* A set of one reward or of several: "hps, clipscore". */
static void add_reward(dipp_check_report *report, const dipp_models *models, uint32_t i)
{
    char name[sizeof report->roles[0].name] = "";
    const dipp_reward_model *home = &models->rewards[i];
    if (home->home != home)
        return;
    for (uint32_t k = i; k < models->reward_count; k++)
        if (models->rewards[k].home == home) {
            size_t used = strlen(name);
            snprintf(name + used, sizeof name - used, "%s%s", used ? ", " : "", models->rewards[k].plugin->name);
        }
    add_set(report, name, home->set);
}

static void describe_models(const dipp_models *models, dipp_check_report *report)
{
    const dipp_overlay *generator = &models->generator_overlay, *ta = &models->ta_overlay;
    bool generator_shares = models->generator_set && models->generator_set == models->reference_set;
    bool ta_shares = models->ta_set && models->ta_set == models->reference_set;
    if (!generator_shares)
        add_set(report, generator->layout ? "generator's frozen base" : "generator", models->generator_set);
    add_set(report, "generator average", models->generator_ema);
    add_set(report, "generator overlay", generator->set);
    add_set(report, "generator overlay average", generator->average);
    if (!ta_shares)
        add_set(report, ta->layout ? "TA's frozen base" : "TA", models->ta_set);
    add_set(report, "TA overlay", ta->set);
    add_set(report,
            generator_shares && ta_shares ? "reference, base of generator and TA"
            : generator_shares            ? "reference, base of the generator"
            : ta_shares                   ? "reference, base of the TA"
                                          : "reference",
            models->reference_set);
    add_set(report, "reference average", models->reference_ema);
    add_set(report, "text encoder", models->text_set);
    add_set(report, "text encoder average", models->text_ema);
    add_set(report, "decoder", models->decoder_set);
    add_set(report, "decoder average", models->decoder_ema);
    for (uint32_t i = 0; i < models->reward_count; i++)
        add_reward(report, models, i);
}

static void describe(const dipp_run_setup *setup, const dipp_run_loop *loop, dipp_check_report *report)
{
    const dipp_plan_report *plan = dipp_run_loop_plan(loop);
    const dipp_trainee *trainee = setup->trainee;
    snprintf(report->backend, sizeof report->backend, "%s %s, %u thread%s", setup->backend->name,
             setup->backend->precision, setup->backend->threads, setup->backend->threads == 1 ? "" : "s");
    if (trainee) {
        add_set(report, trainee->reward.plugin->name, trainee->reward.set);
        add_set(report, "its average", trainee->average);
        report->pairs = dipp_run_preferences_count(setup->preferences);
        report->validation_pairs = dipp_run_preferences_validation_count(setup->preferences);
    } else {
        describe_models(setup->models, report);
    }
    report->flops = dipp_run_loop_flops(loop);
    report->recomputed_flops = dipp_run_loop_recomputed_flops(loop);
    add_role(report, "activations and buffers", dipp_plan_bytes(plan) - plan->constant_bytes, -1);
    add_role(report, "constants", plan->constant_bytes, -1);
    report->peak_bytes = plan->peak_bytes;
    report->peak_step = plan->peak_step;
    report->temporaries_sum = plan->temporaries_sum;
    snprintf(report->peak_program, sizeof report->peak_program, "%s", plan->peak_program ? plan->peak_program : "");
    snprintf(report->peak_op, sizeof report->peak_op, "%s", plan->peak_op ? plan->peak_op : "");
    report->prompts = setup->prompts.count;
    report->evaluation_prompts = setup->evaluation.count;
    report->samples = (uint32_t)dipp_config_int(setup->config, "evaluate.samples");
}

/* Everything beside training, with all of it set up: evaluation; and, measured, for this process has now set up what a
 * worker will: recordings, tables, prompts, and libraries as far as they are used. */
static dipp_status describe_rest(const checked *c, dipp_error *error)
{
    size_t device = 0, pictures = 0;
    dipp_check_report *report = c->report;
    dipp_status status = c->evaluator ? dipp_run_evaluator_prepare(c->evaluator, &device, &pictures, error) : DIPP_OK;
    if (status == DIPP_OK && c->monitor)
        status = dipp_run_monitor_prepare(c->monitor, &device, &pictures, error);
    if (status != DIPP_OK)
        return status;
    if (c->validator) {
        device = dipp_run_validator_bytes(c->validator);
        pictures = dipp_run_preferences_bytes(c->setup->preferences);
    }
    add_role(report, c->monitor ? "evaluation and monitor" : "evaluation", device, -1);
    bool shared = !strcmp(c->setup->backend->name, "cpu") || !strcmp(c->setup->backend->name, "reference");
    size_t resident = dipp_resident_now(), grown = resident > c->resident ? resident - c->resident : 0;
    size_t planned = shared && c->backed ? report->total_bytes : 0; /* of what has grown */
    size_t other = grown > planned ? grown - planned : 0;
    if (shared) {
        add_role(report, "recordings, tables, libraries", other, -1);
        add_role(report, "pictures and scores", pictures, -1);
        add_role(report, "text features of rewards", report->texts.bytes, -1);
    } else {
        report->host_bytes = other + pictures + report->texts.bytes;
    }
    return DIPP_OK;
}

/* Sets a cell up, with memory or (only without weights) with addresses in its place, and describes it. */
static dipp_status check(const dipp_cell *cell, dipp_plugins *plugins, bool weights, bool backed, size_t resident,
                         dipp_check_report *report, dipp_error *error)
{
    checked c = {.backed = backed, .resident = resident, .report = report};
    dipp_run_loop *loop = NULL;
    *report = (dipp_check_report){.role_count = 0};
    dipp_status status = backed ? dipp_run_setup_create(cell->config, plugins, 0, &c.setup, error)
                                : dipp_run_setup_create_unbacked(cell->config, plugins, &c.setup, error);
    if (status == DIPP_OK && !backed)
        dipp_backend_memory(c.setup->backend, &report->free_bytes, &report->memory_bytes);
    if (status == DIPP_OK && weights)
        status = dipp_run_setup_load(c.setup, cell->seed, error);
    if (status == DIPP_OK && c.setup->trainee)
        status = dipp_run_validator_create(c.setup, NULL, &c.validator, error);
    else if (status == DIPP_OK)
        status = dipp_run_evaluator_create(c.setup, NULL, NULL, &c.evaluator, error);
    if (status == DIPP_OK && dipp_run_monitored(cell->config))
        status = dipp_run_monitor_create(c.setup, NULL, cell->seed, NULL, &c.monitor, error);
    if (status == DIPP_OK)
        status = dipp_run_loop_create(c.setup, cell->seed, &loop, error);
    if (status == DIPP_OK) {
        describe(c.setup, loop, report);
        status = dipp_run_loop_text_work(loop, &report->texts, error);
    }
    if (status == DIPP_OK)
        status = describe_rest(&c, error);
    dipp_run_loop_destroy(&loop);
    dipp_run_monitor_destroy(&c.monitor);
    dipp_run_validator_destroy(&c.validator);
    dipp_run_evaluator_destroy(&c.evaluator);
    dipp_run_setup_destroy(&c.setup);
    return status;
}

dipp_status dipp_run_check(const dipp_cell *cell, dipp_plugins *plugins, bool weights, dipp_check_report *report,
                           dipp_error *error)
{
    size_t resident = dipp_resident_now();
    if (weights)
        return check(cell, plugins, true, true, resident, report, error);
    dipp_status status = check(cell, plugins, false, false, resident, report, error);
    /* What this machine holds with ease is set up once more in earnest: only then is what libraries take by the way seen. */
    size_t memory = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
    dipp_check_report measured;
    if (status == DIPP_OK && report->total_bytes < memory / 4 &&
        check(cell, plugins, false, true, resident, &measured, NULL) == DIPP_OK) {
        measured.free_bytes = report->free_bytes;
        measured.memory_bytes = report->memory_bytes;
        *report = measured;
    }
    return status;
}

/* ---- Apart ---- */

dipp_status dipp_run_limit_memory(size_t planned, dipp_error *error)
{
    unsigned long long data =
        0; /* private writable pages (proc(5)); sanitizers and devices' libraries reserve terabytes */
    FILE *file = fopen("/proc/self/statm", "r");
    int found = file ? fscanf(file, "%*u %*u %*u %*u %*u %llu", &data) : 0;
    if (file)
        fclose(file);
    rlim_t most = (rlim_t)data * (rlim_t)sysconf(_SC_PAGESIZE) + UNPLANNED_BYTES + planned;
    if (found != 1 || setrlimit(RLIMIT_DATA, &(struct rlimit){most, most}) != 0)
        return dipp_fail(error, DIPP_E_IO, "this process' memory cannot be limited");
    return DIPP_OK;
}

typedef struct apart {
    const dipp_cell *cell;
    dipp_plugins *plugins;
    size_t limit;
} apart;

typedef struct apart_answer {
    size_t bytes;
    dipp_error error;
} apart_answer;

static int check_in_child(void *context, volatile int *stage)
{
    const apart *question = context;
    apart_answer answer = {0};
    dipp_check_report report;
    answer.error.code = dipp_run_limit_memory(question->limit, &answer.error);
    if (answer.error.code == DIPP_OK)
        answer.error.code = dipp_run_check(question->cell, question->plugins, false, &report, &answer.error);
    if (answer.error.code == DIPP_OK)
        answer.bytes = report.total_bytes;
    return dipp_child_write((const char *)&answer, sizeof answer);
}

dipp_status dipp_run_check_apart(const dipp_cell *cell, dipp_plugins *plugins, size_t limit, size_t *bytes,
                                 dipp_error *error)
{
    apart question = {cell, plugins, limit};
    dipp_child_answer child;
    apart_answer answer = {0};
    *bytes = 0;
    dipp_status status = dipp_child_run(check_in_child, &question, APART_MS, sizeof answer, &child, error);
    if (status != DIPP_OK)
        return status;
    if (child.data && child.size == sizeof answer)
        memcpy(&answer, child.data, sizeof answer);
    dipp_release(child.data);
    *bytes = answer.bytes;
    return answer.error.code == DIPP_OK ? DIPP_OK : dipp_fail(error, answer.error.code, "%s", answer.error.message);
}
