/* Softmax over the last axis and its gradient; sums and maxima in f32 whatever the storage. */
#include "backend/cpu/kernels/vector_math.h"

typedef struct softmax_state {
    int threads;
    dipp_cpu_type x_type, dy_type, out_type;
    int64_t rows, width;
} softmax_state;

/* args: x, y, scratch: per thread two rows. */
static void forward(const void *state, void *const *args, int thread, int64_t begin, int64_t end)
{
    const softmax_state *s = state;
    int64_t n = s->width;
    float *buffer = (float *)args[2] + 2 * n * thread, *result = buffer + n;
    for (int64_t row = begin; row < end; row++) {
        const float *x = row_load(args[0], s->x_type, row * n, n, buffer);
        float *y = row_target(args[1], s->out_type, row * n, result);
        float most = x[0], total = 0.0f;
        _Pragma("omp simd reduction(max : most)") for (int64_t i = 0; i < n; i++) most = x[i] > most ? x[i] : most;
        _Pragma("omp simd reduction(+ : total)") for (int64_t i = 0; i < n; i++)
        {
            y[i] = vector_exp_of_negative(x[i] - most);
            total += y[i];
        }
        float scale = 1.0f / total;
        SIMD for (int64_t i = 0; i < n; i++) y[i] *= scale;
        row_store(args[1], s->out_type, row * n, n, y);
    }
}

/* args: y, dy, out, scratch: per thread three rows. */
static void backward(const void *state, void *const *args, int thread, int64_t begin, int64_t end)
{
    const softmax_state *s = state;
    int64_t n = s->width;
    float *buffer = (float *)args[3] + 3 * n * thread;
    for (int64_t row = begin; row < end; row++) {
        const float *y = row_load(args[0], s->x_type, row * n, n, buffer);
        const float *dy = row_load(args[1], s->dy_type, row * n, n, buffer + n);
        float *dx = row_target(args[2], s->out_type, row * n, buffer + 2 * n);
        double sum = 0.0; /* dy - dot cancels when dy is nearly constant */
        _Pragma("omp simd reduction(+ : sum)") for (int64_t i = 0; i < n; i++) sum += (double)y[i] * (double)dy[i];
        float dot = (float)sum;
        SIMD for (int64_t i = 0; i < n; i++) dx[i] = y[i] * (dy[i] - dot);
        row_store(args[2], s->out_type, row * n, n, dx);
    }
}

static void run_forward(void *state, void *const *args)
{
    const softmax_state *s = state;
    dipp_cpu_parallel(s->threads, s->rows, s->rows * s->width, forward, s, args);
}

static void run_backward(void *state, void *const *args)
{
    const softmax_state *s = state;
    dipp_cpu_parallel(s->threads, s->rows, s->rows * s->width, backward, s, args);
}

dipp_cpu_prepare DIPP_CPU_AT_LEVEL(dipp_cpu_prepare_softmax) DIPP_CPU_HIDDEN;

dipp_status DIPP_CPU_AT_LEVEL(dipp_cpu_prepare_softmax)(dipp_cpu_context *context, const dipp_node_view *node,
                                                        dipp_kernel *out, dipp_error *error)
{
    softmax_state *s = dipp_cpu_state(out, sizeof *s, error);
    if (!s)
        return DIPP_E_MEMORY;
    bool is_forward = node->op == DIPP_OP_SOFTMAX;
    const dipp_shape *shape = &node->inputs[0].shape;
    s->threads = context->threads;
    s->x_type = dipp_cpu_type_of(context, node->inputs[0].dtype);
    if (!is_forward)
        s->dy_type = dipp_cpu_type_of(context, node->inputs[1].dtype);
    s->out_type = dipp_cpu_type_of(context, node->outputs[0].dtype);
    s->width = shape->rank ? shape->dims[shape->rank - 1] : 1;
    s->rows = s->width ? dipp_cpu_elements(shape) / s->width : 0;
    out->run = is_forward ? run_forward : run_backward;
    out->scratch_bytes =
        dipp_cpu_round_up((size_t)s->width * (is_forward ? 2 : 3) * sizeof(float) * (size_t)s->threads);
    return DIPP_OK;
}
