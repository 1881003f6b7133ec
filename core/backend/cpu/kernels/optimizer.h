/* What the two kernels of the optimizer's step share: plain f32 numbers (optimizer.c), and weights or moments in fewer
 * bits (packed_step.c). */
#ifndef DIPP_BACKEND_CPU_OPTIMIZER_H
#define DIPP_BACKEND_CPU_OPTIMIZER_H

#include "backend/cpu/kernels/row.h"

/* Elements of an item of work. */
enum { DIPP_CPU_STEP_BLOCK = 4096 };

typedef struct step_state {
    int threads;
    int64_t start, count;
    bool decay, adamw;
    dipp_cpu_type copy_type;
} step_state;

/* The numbers of one step, read once per replay. */
typedef struct step_numbers {
    float scale, lr, beta1, rest1, beta2, rest2, epsilon, decay, correction1, correction2, ema_rest;
} step_numbers;

enum { NORM, SCALARS, WEIGHTS, GRADIENT, FIRST, SECOND, EMA, COPY, KEY };

static inline step_numbers read_numbers(const step_state *s, const float *norm, const float *scalars)
{
    float grad_scale = scalars[DIPP_OPT_GRAD_SCALE], clip = scalars[DIPP_OPT_CLIP], length = norm[0] * grad_scale;
    step_numbers k = {
        .scale = grad_scale * (clip > 0.0f && length > clip ? clip / length : 1.0f),
        .lr = scalars[DIPP_OPT_LR],
        .beta1 = scalars[DIPP_OPT_BETA1],
        .rest1 = 1.0f - scalars[DIPP_OPT_BETA1],
        .beta2 = scalars[DIPP_OPT_BETA2],
        .rest2 = 1.0f - scalars[DIPP_OPT_BETA2],
        .epsilon = scalars[DIPP_OPT_EPSILON],
        .decay = s->decay ? scalars[DIPP_OPT_WEIGHT_DECAY] : 0.0f,
        .correction1 = scalars[DIPP_OPT_CORRECTION1],
        .correction2 = scalars[DIPP_OPT_CORRECTION2],
        .ema_rest = 1.0f - scalars[DIPP_OPT_EMA_DECAY],
    };
    return k;
}

static inline step_state step_state_of(const dipp_cpu_context *context, const dipp_node_view *node)
{
    return (step_state){.threads = context->threads,
                        .start = node->attributes->start,
                        .count = node->attributes->count,
                        .decay = node->attributes->decay,
                        .adamw = node->attributes->optimizer == DIPP_OPTIMIZER_ADAMW,
                        .copy_type = dipp_cpu_type_of(context, DIPP_COMPUTE)};
}

dipp_cpu_prepare DIPP_CPU_AT_LEVEL(dipp_cpu_prepare_packed_step) DIPP_CPU_HIDDEN;

#endif
