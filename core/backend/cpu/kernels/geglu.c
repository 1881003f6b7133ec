/* Gated GELU and its gradient: rows of x are a then b; y = a gelu(b). */
#include "backend/cpu/kernels/vector_math.h"

enum { CHUNK = 1024 };

typedef struct geglu_state {
    int threads;
    dipp_cpu_type type;
    int64_t rows, width, chunks; /* of y */
} geglu_state;

/* Item to row and the elements of a chunk of it. */
static int64_t chunk_of(const geglu_state *s, int64_t item, int64_t *row, int64_t *start)
{
    *row = item / s->chunks;
    *start = item % s->chunks * CHUNK;
    return s->width - *start < CHUNK ? s->width - *start : CHUNK;
}

/* args: x, y. One item is a chunk of a row. */
static void forward(const void *state, void *const *args, int thread, int64_t begin, int64_t end)
{
    const geglu_state *s = state;
    float buffers[3][CHUNK];
    for (int64_t item = begin; item < end; item++) {
        int64_t row, start, n = chunk_of(s, item, &row, &start);
        const float *a = row_load(args[0], s->type, 2 * row * s->width + start, n, buffers[0]);
        const float *b = row_load(args[0], s->type, (2 * row + 1) * s->width + start, n, buffers[1]);
        float *y = row_target(args[1], s->type, row * s->width + start, buffers[2]);
        SIMD for (int64_t i = 0; i < n; i++) y[i] = a[i] * (b[i] * vector_normal_distribution(b[i]));
        row_store(args[1], s->type, row * s->width + start, n, y);
    }
}

/* args: x, dy, dx. One item is a chunk of a row. */
static void backward(const void *state, void *const *args, int thread, int64_t begin, int64_t end)
{
    const geglu_state *s = state;
    float buffers[5][CHUNK];
    for (int64_t item = begin; item < end; item++) {
        int64_t row, start, n = chunk_of(s, item, &row, &start);
        int64_t at_a = 2 * row * s->width + start, at_b = at_a + s->width;
        const float *a = row_load(args[0], s->type, at_a, n, buffers[0]);
        const float *b = row_load(args[0], s->type, at_b, n, buffers[1]);
        const float *dy = row_load(args[1], s->type, row * s->width + start, n, buffers[2]);
        float *da = row_target(args[2], s->type, at_a, buffers[3]),
              *db = row_target(args[2], s->type, at_b, buffers[4]);
        SIMD for (int64_t i = 0; i < n; i++)
        {
            float gate = vector_normal_distribution(b[i]);
            da[i] = dy[i] * (b[i] * gate);
            db[i] = dy[i] * a[i] * (gate + b[i] * vector_normal_density(b[i]));
        }
        row_store(args[2], s->type, at_a, n, da);
        row_store(args[2], s->type, at_b, n, db);
    }
}

static void run_forward(void *state, void *const *args)
{
    const geglu_state *s = state;
    dipp_cpu_parallel(s->threads, s->rows * s->chunks, s->rows * s->width, forward, s, args);
}

static void run_backward(void *state, void *const *args)
{
    const geglu_state *s = state;
    dipp_cpu_parallel(s->threads, s->rows * s->chunks, s->rows * s->width, backward, s, args);
}

dipp_cpu_prepare DIPP_CPU_AT_LEVEL(dipp_cpu_prepare_geglu) DIPP_CPU_HIDDEN;

dipp_status DIPP_CPU_AT_LEVEL(dipp_cpu_prepare_geglu)(dipp_cpu_context *context, const dipp_node_view *node,
                                                      dipp_kernel *out, dipp_error *error)
{
    geglu_state *s = dipp_cpu_state(out, sizeof *s, error);
    if (!s)
        return DIPP_E_MEMORY;
    const dipp_shape *x = &node->inputs[0].shape;
    s->threads = context->threads;
    s->type = dipp_cpu_type_of(context, node->inputs[0].dtype);
    s->width = x->dims[x->rank - 1] / 2;
    s->rows = dipp_cpu_elements(x) / (2 * s->width);
    s->chunks = (s->width + CHUNK - 1) / CHUNK;
    out->run = node->op == DIPP_OP_GEGLU ? run_forward : run_backward;
    return DIPP_OK;
}
