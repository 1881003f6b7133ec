/* How much a reward counts at an iteration, and how it is asked. */
#ifndef DIPP_TRAIN_REWARD_SCHEDULE_H
#define DIPP_TRAIN_REWARD_SCHEDULE_H

#include <dipp/status.h>

#include <stdbool.h>

typedef enum dipp_ramp { DIPP_RAMP_CONSTANT = 0, DIPP_RAMP_LINEAR, DIPP_RAMP_COSINE } dipp_ramp;

typedef struct dipp_align_reward {
    double scale;        /* alpha; when by_ratio: ||dL/dx0|| of the reward over that of the divergence */
    int64_t start, end;  /* iterations [start, end); end 0: to the end of the run */
    dipp_ramp ramp;      /* not CONSTANT: scale times a share that goes from `from` at start to `to`, */
    double from, to;     /* where it is `ramp_length` iterations later and stays */
    int64_t ramp_length; /* 0: as long as the reward acts */
    bool by_ratio;       /* scale is a ratio of gradients; its sign says whether the score is raised or lowered */
    double sigma;        /* opaque rewards without a gradient: size of the noise on x0; 0 is not given */
    uint32_t pairs;      /* of antithetic samples; 0 is DIPP_SMOOTHING_PAIRS */
} dipp_align_reward;

/* DIPP_E_INVALID when start, end and ramp contradict each other in a run of `steps` iterations. [any thread] */
dipp_status dipp_reward_schedule_check(const dipp_align_reward *reward, int64_t steps, dipp_error *error);

/* The scale at iteration `step`, counted from 0; 0 outside [start, end). [any thread] */
double dipp_reward_scale_at(const dipp_align_reward *reward, int64_t step, int64_t steps);

#endif
