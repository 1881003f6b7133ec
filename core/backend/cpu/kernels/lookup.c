/* Embedding rows, their gradient, and the sinusoid of times. */
#include "backend/cpu/kernels/vector_math.h"

typedef struct lookup_state {
    int threads;
    dipp_cpu_type type, out_type;
    int64_t entries, width, count; /* table rows, row width, ids */
    bool accumulate;
} lookup_state;

static int64_t checked_id(const lookup_state *s, int32_t id)
{
    return id >= 0 && id < s->entries ? id : 0;
}

/* args: table, ids, out. One item is an id. */
static void embed(const void *state, void *const *args, int thread, int64_t begin, int64_t end)
{
    const lookup_state *s = state;
    const int32_t *ids = args[1];
    size_t bytes = (size_t)s->width * dipp_cpu_type_bytes(s->type);
    for (int64_t i = begin; i < end; i++)
        memcpy((char *)args[2] + (size_t)i * bytes, (const char *)args[0] + (size_t)checked_id(s, ids[i]) * bytes,
               bytes);
}

/* args: ids, dy, out, scratch. One item is a table row: each thread adds the ids of its range in order, so that the
 * result does not depend on the number of threads. */
static void embed_backward(const void *state, void *const *args, int thread, int64_t begin, int64_t end)
{
    const lookup_state *s = state;
    const int32_t *ids = args[0];
    float *out = args[2], *buffer = (float *)args[3] + s->width * thread;
    if (!s->accumulate)
        memset(out + begin * s->width, 0, (size_t)((end - begin) * s->width) * sizeof *out);
    for (int64_t i = 0; i < s->count; i++) {
        int64_t id = checked_id(s, ids[i]);
        if (id < begin || id >= end)
            continue;
        const float *dy = row_load(args[1], s->type, i * s->width, s->width, buffer);
        float *to = out + id * s->width;
        SIMD for (int64_t c = 0; c < s->width; c++) to[c] += dy[c];
    }
}

static void run_embed(void *state, void *const *args)
{
    const lookup_state *s = state;
    dipp_cpu_parallel(s->threads, s->count, s->count * s->width, embed, s, args);
}

static void run_embed_backward(void *state, void *const *args)
{
    const lookup_state *s = state;
    dipp_cpu_parallel(s->threads, s->entries, s->count * s->width + s->entries, embed_backward, s, args);
}

typedef struct sinusoid_state {
    int threads;
    int64_t rows, half;
    bool sin_first;
    double frequencies[]; /* half of them */
} sinusoid_state;

/* args: t, out. */
static void sinusoid(const void *state, void *const *args, int thread, int64_t begin, int64_t end)
{
    const sinusoid_state *s = state;
    const float *times = args[0];
    for (int64_t row = begin; row < end; row++) {
        float *out = (float *)args[1] + row * 2 * s->half;
        double t = (double)times[row];
        for (int part = 0; part < 2; part++, out += s->half) {
            int32_t quarter = (part == 0) != s->sin_first;
            SIMD for (int64_t i = 0; i < s->half; i++) out[i] = vector_sine(t * s->frequencies[i], quarter);
        }
    }
}

static void run_sinusoid(void *state, void *const *args)
{
    const sinusoid_state *s = state;
    dipp_cpu_parallel(s->threads, s->rows, s->rows * s->half * 2, sinusoid, s, args);
}

static dipp_status prepare_sinusoid(dipp_cpu_context *context, const dipp_node_view *node, dipp_kernel *out,
                                    dipp_error *error)
{
    int64_t half = node->outputs[0].shape.dims[1] / 2;
    sinusoid_state *s = dipp_cpu_state(out, sizeof *s + (size_t)half * sizeof(double), error);
    if (!s)
        return DIPP_E_MEMORY;
    s->threads = context->threads;
    s->rows = node->outputs[0].shape.dims[0];
    s->half = half;
    s->sin_first = node->attributes->sin_first;
    for (int64_t i = 0; i < half; i++)
        s->frequencies[i] = pow(node->attributes->alpha, -(double)i / (double)half);
    out->run = run_sinusoid;
    return DIPP_OK;
}

dipp_cpu_prepare DIPP_CPU_AT_LEVEL(dipp_cpu_prepare_lookup) DIPP_CPU_HIDDEN;

dipp_status DIPP_CPU_AT_LEVEL(dipp_cpu_prepare_lookup)(dipp_cpu_context *context, const dipp_node_view *node,
                                                       dipp_kernel *out, dipp_error *error)
{
    if (node->op == DIPP_OP_SINUSOID)
        return prepare_sinusoid(context, node, out, error);
    lookup_state *s = dipp_cpu_state(out, sizeof *s, error);
    if (!s)
        return DIPP_E_MEMORY;
    bool is_forward = node->op == DIPP_OP_EMBEDDING;
    const dipp_shape *table = is_forward ? &node->inputs[0].shape : &node->outputs[0].shape;
    s->threads = context->threads;
    s->type = dipp_cpu_type_of(context, node->inputs[is_forward ? 0 : 1].dtype);
    s->entries = table->dims[0];
    s->width = table->dims[1];
    s->count = dipp_cpu_elements(&node->inputs[is_forward ? 1 : 0].shape);
    s->accumulate = node->attributes->accumulate;
    out->run = is_forward ? run_embed : run_embed_backward;
    if (!is_forward)
        out->scratch_bytes = dipp_cpu_round_up((size_t)s->width * sizeof(float) * (size_t)s->threads);
    return DIPP_OK;
}
