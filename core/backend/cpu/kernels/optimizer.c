/* Training state: the optimizer's step in one pass over memory, and the norm of the gradient block. */
#include "backend/cpu/kernels/optimizer.h"

#include <math.h>

/* ---- gradient norm: sums of squares in double per block of fixed size, added in order ---- */

typedef struct grad_norm_state {
    int threads;
    int64_t count, blocks;
} grad_norm_state;

/* args: gradient, out, scratch with one double per block. */
static void square_blocks(const void *state, void *const *args, int thread, int64_t begin, int64_t end)
{
    const grad_norm_state *s = state;
    double *partial = args[2];
    for (int64_t block = begin; block < end; block++) {
        const float *g = (const float *)args[0] + block * DIPP_CPU_STEP_BLOCK;
        int64_t n = s->count - block * DIPP_CPU_STEP_BLOCK < DIPP_CPU_STEP_BLOCK
                        ? s->count - block * DIPP_CPU_STEP_BLOCK
                        : DIPP_CPU_STEP_BLOCK;
        double total = 0.0;
        _Pragma("omp simd reduction(+ : total)") for (int64_t i = 0; i < n; i++) total += (double)g[i] * (double)g[i];
        partial[block] = total;
    }
}

static void run_grad_norm(void *state, void *const *args)
{
    const grad_norm_state *s = state;
    dipp_cpu_parallel(s->threads, s->blocks, s->count, square_blocks, s, args);
    const double *partial = args[2];
    float *out = args[1];
    double total = 0.0;
    for (int64_t block = 0; block < s->blocks; block++)
        total += partial[block];
    double norm = sqrt(total);
    out[0] = (float)norm;
    /* A sum of squares of f32 cannot overflow double, so it is finite exactly when every element is. */
    out[1] = isfinite(total) ? 1.0f : 0.0f;
}

/* ---- optimizer step ---- */

/* One item is a block of DIPP_CPU_STEP_BLOCK elements; its pieces stay in the first-level cache between the loops below. */
static void step_blocks(const void *state, void *const *args, int thread, int64_t begin, int64_t end)
{
    const step_state *s = state;
    const float *norm = args[NORM];
    step_numbers k = read_numbers(s, norm, args[SCALARS]);
    for (int64_t block = begin; block < end; block++) {
        int64_t offset = s->start + block * DIPP_CPU_STEP_BLOCK;
        int64_t n = s->count - block * DIPP_CPU_STEP_BLOCK < DIPP_CPU_STEP_BLOCK
                        ? s->count - block * DIPP_CPU_STEP_BLOCK
                        : DIPP_CPU_STEP_BLOCK;
        float *p = (float *)args[WEIGHTS] + offset, *g = (float *)args[GRADIENT] + offset;
        if (norm[1] == 0.0f) {
            memset(g, 0, (size_t)n * sizeof *g);
            continue;
        }
        if (s->adamw) {
            float *m = (float *)args[FIRST] + offset, *v = (float *)args[SECOND] + offset;
            SIMD for (int64_t i = 0; i < n; i++)
            {
                float gradient = k.scale * g[i];
                float first = k.beta1 * m[i] + k.rest1 * gradient;
                float second = k.beta2 * v[i] + k.rest2 * (gradient * gradient);
                m[i] = first;
                v[i] = second;
                float update = first * k.correction1 / (sqrtf(second * k.correction2) + k.epsilon);
                p[i] = p[i] - k.lr * (update + k.decay * p[i]);
                g[i] = 0.0f;
            }
        } else {
            SIMD for (int64_t i = 0; i < n; i++)
            {
                p[i] = p[i] - k.lr * (k.scale * g[i] + k.decay * p[i]);
                g[i] = 0.0f;
            }
        }
        if (args[EMA]) {
            float *ema = (float *)args[EMA] + offset;
            SIMD for (int64_t i = 0; i < n; i++) ema[i] += k.ema_rest * (p[i] - ema[i]);
        }
        if (args[COPY] && s->copy_type == DIPP_CPU_BF16)
            narrow(p, (uint16_t *)args[COPY] + offset, n);
        else if (args[COPY])
            memcpy((float *)args[COPY] + offset, p, (size_t)n * sizeof *p);
    }
}

static void run_step(void *state, void *const *args)
{
    const step_state *s = state;
    dipp_cpu_parallel(s->threads, (s->count + DIPP_CPU_STEP_BLOCK - 1) / DIPP_CPU_STEP_BLOCK, s->count, step_blocks, s,
                      args);
}

dipp_cpu_prepare DIPP_CPU_AT_LEVEL(dipp_cpu_prepare_optimizer) DIPP_CPU_HIDDEN;

dipp_status DIPP_CPU_AT_LEVEL(dipp_cpu_prepare_optimizer)(dipp_cpu_context *context, const dipp_node_view *node,
                                                          dipp_kernel *out, dipp_error *error)
{
    if (node->op == DIPP_OP_GRAD_NORM) {
        grad_norm_state *s = dipp_cpu_state(out, sizeof *s, error);
        if (!s)
            return DIPP_E_MEMORY;
        s->threads = context->threads;
        s->count = dipp_cpu_elements(&node->inputs[0].shape);
        s->blocks = (s->count + DIPP_CPU_STEP_BLOCK - 1) / DIPP_CPU_STEP_BLOCK;
        out->scratch_bytes = dipp_cpu_round_up((size_t)s->blocks * sizeof(double));
        out->run = run_grad_norm;
        return DIPP_OK;
    }
    if (node->attributes->state != DIPP_STATE_F32 || node->inputs[2].dtype != DIPP_WIDE)
        return DIPP_CPU_AT_LEVEL(dipp_cpu_prepare_packed_step)(context, node, out, error);
    step_state *s = dipp_cpu_state(out, sizeof *s, error);
    if (!s)
        return DIPP_E_MEMORY;
    *s = step_state_of(context, node);
    out->run = run_step;
    return DIPP_OK;
}
