#include "experiment/run_budget.h"

#include "base/memory.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { DEFAULT_WINDOW = 20 };

static dipp_status add_window(dipp_run_budget *budget, const char *name, double share, dipp_error *error)
{
    dipp_budget_window *window = &budget->windows[budget->window_count];
    *window = (dipp_budget_window){.share = share};
    snprintf(window->name, sizeof window->name, "%s", name);
    window->values = dipp_allocate_zeroed(budget->length, sizeof *window->values);
    if (!window->values)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for a budget's window");
    budget->window_count++;
    return DIPP_OK;
}

static dipp_status add_rewards(const dipp_run_setup *setup, dipp_run_budget *budget, dipp_error *error)
{
    double scales[DIPP_MAX_REWARDS], sum = 0;
    dipp_status status = DIPP_OK;
    for (uint32_t i = 0; i < setup->models->reward_count; i++) {
        char path[32];
        snprintf(path, sizeof path, "rewards[%u].scale", i);
        scales[i] = dipp_config_float(setup->config, path);
        sum += fabs(scales[i]);
    }
    for (uint32_t i = 0; i < setup->models->reward_count && status == DIPP_OK; i++) {
        char label[DIPP_REWARD_LABEL_BYTES], name[80];
        snprintf(name, sizeof name, "train/reward.%s", dipp_align_reward_label(setup->models, i, label));
        if (scales[i] != 0)
            status = add_window(budget, name, scales[i] / sum, error);
    }
    return status;
}

dipp_status dipp_run_budget_read(const dipp_run_setup *setup, dipp_run_budget *budget, dipp_error *error)
{
    const dipp_config *config = setup->config;
    *budget = (dipp_run_budget){.length = DEFAULT_WINDOW,
                                .has_reward = dipp_config_has(config, "budget.reward"),
                                .has_ikl = dipp_config_has(config, "budget.ikl"),
                                .reward = dipp_config_float(config, "budget.reward"),
                                .ikl = dipp_config_float(config, "budget.ikl")};
    if (dipp_config_has(config, "budget.window"))
        budget->length = (uint32_t)dipp_config_int(config, "budget.window");
    dipp_status status = budget->has_reward ? add_rewards(setup, budget, error) : DIPP_OK;
    budget->has_reward = budget->window_count > 0; /* without a trained reward there is nothing to spend */
    if (status == DIPP_OK && budget->has_ikl)
        status = add_window(budget, "ikl", 0, error);
    return status;
}

void dipp_run_budget_clear(dipp_run_budget *budget)
{
    for (uint32_t i = 0; i < budget->window_count; i++)
        dipp_release(budget->windows[i].values);
    *budget = (dipp_run_budget){0};
}

static dipp_budget_window *find(dipp_run_budget *budget, const char *name)
{
    for (uint32_t i = 0; i < budget->window_count; i++)
        if (!strcmp(budget->windows[i].name, name))
            return &budget->windows[i];
    return NULL;
}

bool dipp_run_budget_reads(const dipp_run_budget *budget, const char *name)
{
    return find((dipp_run_budget *)budget, name) != NULL;
}

void dipp_run_budget_see(dipp_run_budget *budget, const char *const *names, const double *values, size_t count)
{
    for (size_t i = 0; i < count && budget->window_count; i++) {
        dipp_budget_window *window = find(budget, names[i]);
        if (window)
            window->values[window->count++ % budget->length] = values[i];
    }
}

typedef struct reading {
    dipp_run_budget *budget;
    int64_t until;
} reading;

static int add_point(void *user, const dipp_metric_row *row)
{
    reading *from = user;
    if (row->step <= from->until)
        dipp_run_budget_see(from->budget, &row->name, &row->value, 1);
    return 0;
}

dipp_status dipp_run_budget_resume(dipp_run_budget *budget, dipp_store *store, int64_t run_id, int64_t step,
                                   dipp_error *error)
{
    reading from = {budget, step};
    dipp_status status = DIPP_OK;
    for (uint32_t i = 0; i < budget->window_count && status == DIPP_OK; i++) {
        budget->windows[i].count = 0;
        if (step)
            status = dipp_store_each_metric(store, run_id, budget->windows[i].name, false, add_point, &from, error);
    }
    return status;
}

/* From the oldest on, so that the sum does not depend on where the ring begins. NaN while it is not full. */
static double mean_of(const dipp_run_budget *budget, const dipp_budget_window *window)
{
    double sum = 0;
    if (window->count < budget->length)
        return NAN;
    for (uint32_t i = 0; i < budget->length; i++)
        sum += window->values[(window->count + i) % budget->length];
    return sum / budget->length;
}

const char *dipp_run_budget_spent(const dipp_run_budget *budget, char *message, size_t size)
{
    uint32_t rewards = budget->window_count - budget->has_ikl;
    double reward = 0;
    for (uint32_t i = 0; i < rewards; i++)
        reward += budget->windows[i].share * mean_of(budget, &budget->windows[i]);
    if (budget->has_reward && reward >= budget->reward) {
        snprintf(message, size, "the reward of the last %u iterations is %.6g, its budget is %.6g", budget->length,
                 reward, budget->reward);
        return "stop.reward";
    }
    double ikl = budget->has_ikl ? mean_of(budget, &budget->windows[rewards]) : NAN;
    if (ikl > budget->ikl) {
        snprintf(message, size, "the IKL of the last %u iterations is %.6g, its budget is %.6g", budget->length, ikl,
                 budget->ikl);
        return "stop.ikl";
    }
    return NULL;
}
