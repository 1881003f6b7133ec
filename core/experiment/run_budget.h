/* Budgets as stop rules: how high the trained reward may go, and how far from the reference (method: Gao et al. 2023 watch a
 * reward over KL). Both are means over the last `window` iterations as they were logged, and nothing is said before there are
 * so many. Page: docs/monitor.md. */
#ifndef DIPP_EXPERIMENT_RUN_BUDGET_H
#define DIPP_EXPERIMENT_RUN_BUDGET_H

#include "experiment/run_setup.h"
#include "store/store.h"

/* The last values of a metric. */
typedef struct dipp_budget_window {
    char name[80];
    double *values; /* [length], a ring */
    uint64_t count; /* seen so far */
    double share;   /* of a reward: scale over the sum of sizes of scales */
} dipp_budget_window;

typedef struct dipp_run_budget { /* starts from {0}; ends with dipp_run_budget_clear */
    uint32_t length, window_count;
    bool has_reward, has_ikl;
    double reward, ikl;
    dipp_budget_window windows[DIPP_MAX_REWARDS + 1]; /* the trained rewards, then the IKL */
} dipp_run_budget;

/* Reads budget.*. [any thread] */
dipp_status dipp_run_budget_read(const dipp_run_setup *setup, dipp_run_budget *budget, dipp_error *error);
void dipp_run_budget_clear(dipp_run_budget *budget);

/* Whether it reads this metric, so that every iteration of it must be logged. [any thread] */
bool dipp_run_budget_reads(const dipp_run_budget *budget, const char *name);
/* An iteration's metrics: names[i] has values[i]. */
void dipp_run_budget_see(dipp_run_budget *budget, const char *const *names, const double *values, size_t count);
/* Takes up what was logged up to a step, as if it had been seen. */
dipp_status dipp_run_budget_resume(dipp_run_budget *budget, dipp_store *store, int64_t run_id, int64_t step,
                                   dipp_error *error);

/* "stop.reward" or "stop.ikl" when that is used up, with a message for people; else NULL. [any thread] */
const char *dipp_run_budget_spent(const dipp_run_budget *budget, char *message, size_t size);

#endif
