/* Layer norm with gain and bias (per channel, or per sample as adaLN has them), gated addition, and their gradients.
 *
 * Rows are [B, tokens, C] with tokens collapsed; a group is what shares one gain or gate: a sample, or everything. The
 * gradients of gain, bias and gate are summed over a group in parts whose number depends on the shape alone. */
#include "backend/cpu/kernels/row.h"

#include <math.h>

enum { MOST_PARTS = 64, PART_ROWS = 16, BUFFERS = 5 };

typedef struct norm_state {
    int threads;
    dipp_cpu_type type[7], out_type[3]; /* of inputs and outputs in the node's order */
    int inputs;
    int64_t width, groups, group_rows, parts;
    float epsilon, unit; /* unit is added to the gain */
    bool has_gain, has_bias;
    size_t buffers; /* floats of partial sums in front of the threads' buffers in scratch */
} norm_state;

static float *thread_buffer(const norm_state *s, void *const *args, int outputs, int thread)
{
    return (float *)args[s->inputs + outputs] + s->buffers + (size_t)(BUFFERS * s->width * thread);
}

/* gain + unit of a group as floats. */
static const float *load_gain(const norm_state *s, const void *gain, dipp_cpu_type type, int64_t group, float *buffer)
{
    const float *in = row_load(gain, type, group * s->width, s->width, buffer);
    SIMD for (int64_t i = 0; i < s->width; i++) buffer[i] = in[i] + s->unit;
    return buffer;
}

/* args: x, gain, bias, y, stats, scratch. One item is a row. */
static void layer_norm(const void *state, void *const *args, int thread, int64_t begin, int64_t end)
{
    const norm_state *s = state;
    int64_t n = s->width, loaded = -1;
    float *buffer = thread_buffer(s, args, 2, thread);
    const float *gain = buffer + n, *bias = buffer + 2 * n;
    float *stats = args[4], inverse_width = 1.0f / (float)n;
    for (int64_t row = begin; row < end; row++) {
        int64_t group = row / s->group_rows;
        if (group != loaded && s->has_gain) {
            gain = load_gain(s, args[1], s->type[1], group, buffer + n);
            if (s->has_bias)
                bias = row_load(args[2], s->type[2], group * n, n, buffer + 2 * n);
            else
                memset(buffer + 2 * n, 0, (size_t)n * sizeof(float));
            loaded = group;
        }
        const float *x = row_load(args[0], s->type[0], row * n, n, buffer);
        float total = 0.0f, squares = 0.0f;
        _Pragma("omp simd reduction(+ : total)") for (int64_t i = 0; i < n; i++) total += x[i];
        float mean = total * inverse_width;
        _Pragma("omp simd reduction(+ : squares)") for (int64_t i = 0; i < n; i++)
        {
            float centred = x[i] - mean;
            squares += centred * centred;
        }
        float scale = 1.0f / sqrtf(squares * inverse_width + s->epsilon);
        if (stats)
            stats[2 * row] = mean, stats[2 * row + 1] = scale;
        if (!args[3])
            continue;
        float *y = row_target(args[3], s->out_type[0], row * n, buffer + 3 * n);
        if (s->has_gain) {
            SIMD for (int64_t i = 0; i < n; i++) y[i] = (x[i] - mean) * scale * gain[i] + bias[i];
        } else {
            SIMD for (int64_t i = 0; i < n; i++) y[i] = (x[i] - mean) * scale;
        }
        row_store(args[3], s->out_type[0], row * n, n, y);
    }
}

/* args: x, gain, stats, dy, dx, dgain, dbias, scratch. One item is a part of a group. */
static void layer_norm_backward(const void *state, void *const *args, int thread, int64_t begin, int64_t end)
{
    const norm_state *s = state;
    int64_t n = s->width;
    float *buffer = thread_buffer(s, args, 3, thread), inverse_width = 1.0f / (float)n;
    const float *stats = args[2], *gain = buffer + n;
    for (int64_t item = begin; item < end; item++) {
        int64_t group = item / s->parts, part = item % s->parts;
        int64_t first = group * s->group_rows + s->group_rows * part / s->parts;
        int64_t last = group * s->group_rows + s->group_rows * (part + 1) / s->parts;
        float *gain_sum = NULL, *bias_sum = NULL;
        if (s->has_gain) {
            gain_sum = (float *)args[7] + 2 * item * n;
            bias_sum = gain_sum + n;
            gain = load_gain(s, args[1], s->type[1], group, buffer + n);
            memset(gain_sum, 0, 2 * (size_t)n * sizeof(float));
        }
        for (int64_t row = first; row < last; row++) {
            const float *x = row_load(args[0], s->type[0], row * n, n, buffer);
            const float *dy = row_load(args[3], s->type[3], row * n, n, buffer + 2 * n);
            float mean = stats[2 * row], scale = stats[2 * row + 1], total = 0.0f, dot = 0.0f;
            const float *g = dy;
            if (s->has_gain) {
                float *weighted = buffer + 3 * n;
                _Pragma("omp simd reduction(+ : total, dot)") for (int64_t i = 0; i < n; i++)
                {
                    float normal = (x[i] - mean) * scale;
                    gain_sum[i] += dy[i] * normal;
                    bias_sum[i] += dy[i];
                    weighted[i] = dy[i] * gain[i];
                    total += weighted[i];
                    dot += weighted[i] * normal;
                }
                g = weighted;
            } else {
                _Pragma("omp simd reduction(+ : total, dot)") for (int64_t i = 0; i < n; i++)
                {
                    total += dy[i];
                    dot += dy[i] * ((x[i] - mean) * scale);
                }
            }
            if (!args[4])
                continue;
            float *dx = row_target(args[4], s->out_type[0], row * n, buffer + 4 * n);
            total *= inverse_width;
            dot *= inverse_width;
            SIMD for (int64_t i = 0; i < n; i++) dx[i] = scale * (g[i] - total - (x[i] - mean) * scale * dot);
            row_store(args[4], s->out_type[0], row * n, n, dx);
        }
    }
}

/* args: x, gate, h, out, scratch. One item is a row. */
static void gated_add(const void *state, void *const *args, int thread, int64_t begin, int64_t end)
{
    const norm_state *s = state;
    int64_t n = s->width, loaded = -1;
    float *buffer = thread_buffer(s, args, 1, thread);
    const float *gate = NULL;
    for (int64_t row = begin; row < end; row++) {
        int64_t group = row / s->group_rows;
        if (!gate || group != loaded)
            gate = row_load(args[1], s->type[1], group * n, n, buffer);
        loaded = group;
        const float *x = row_load(args[0], s->type[0], row * n, n, buffer + n);
        const float *h = row_load(args[2], s->type[2], row * n, n, buffer + 2 * n);
        float *out = row_target(args[3], s->out_type[0], row * n, buffer + 3 * n);
        SIMD for (int64_t i = 0; i < n; i++) out[i] = x[i] + gate[i] * h[i];
        row_store(args[3], s->out_type[0], row * n, n, out);
    }
}

/* args: gate, h, dy, dh, dgate, scratch. One item is a part of a sample. */
static void gated_add_backward(const void *state, void *const *args, int thread, int64_t begin, int64_t end)
{
    const norm_state *s = state;
    int64_t n = s->width;
    float *buffer = thread_buffer(s, args, 2, thread);
    for (int64_t item = begin; item < end; item++) {
        int64_t group = item / s->parts, part = item % s->parts;
        int64_t first = group * s->group_rows + s->group_rows * part / s->parts;
        int64_t last = group * s->group_rows + s->group_rows * (part + 1) / s->parts;
        float *sum = (float *)args[5] + item * n;
        const float *gate = row_load(args[0], s->type[0], group * n, n, buffer);
        memset(sum, 0, (size_t)n * sizeof *sum);
        for (int64_t row = first; row < last; row++) {
            const float *h = row_load(args[1], s->type[1], row * n, n, buffer + n);
            const float *dy = row_load(args[2], s->type[2], row * n, n, buffer + 2 * n);
            SIMD for (int64_t i = 0; i < n; i++) sum[i] += h[i] * dy[i];
            if (!args[3])
                continue;
            float *dh = row_target(args[3], s->out_type[0], row * n, buffer + 3 * n);
            SIMD for (int64_t i = 0; i < n; i++) dh[i] = gate[i] * dy[i];
            row_store(args[3], s->out_type[0], row * n, n, dh);
        }
    }
}

/* out[group] = the parts of each group in order; partial is [groups][parts] rows of width, stride floats apart. */
static void add_parts(const norm_state *s, const float *partial, int64_t stride, float *out)
{
    if (!out)
        return;
    for (int64_t group = 0; group < s->groups; group++) {
        float *to = out + group * s->width;
        memcpy(to, partial, (size_t)s->width * sizeof *to);
        partial += stride;
        for (int64_t part = 1; part < s->parts; part++, partial += stride)
            SIMD for (int64_t i = 0; i < s->width; i++) to[i] += partial[i];
    }
}

static int64_t rows_of(const norm_state *s)
{
    return s->groups * s->group_rows;
}

static void run_layer_norm(void *state, void *const *args)
{
    const norm_state *s = state;
    dipp_cpu_parallel(s->threads, rows_of(s), rows_of(s) * s->width, layer_norm, s, args);
}

static void run_layer_norm_backward(void *state, void *const *args)
{
    const norm_state *s = state;
    dipp_cpu_parallel(s->threads, s->groups * s->parts, rows_of(s) * s->width, layer_norm_backward, s, args);
    if (s->has_gain) {
        const float *partial = args[7];
        add_parts(s, partial, 2 * s->width, args[5]);
        add_parts(s, partial + s->width, 2 * s->width, args[6]);
    }
}

static void run_gated_add(void *state, void *const *args)
{
    const norm_state *s = state;
    dipp_cpu_parallel(s->threads, rows_of(s), rows_of(s) * s->width, gated_add, s, args);
}

static void run_gated_add_backward(void *state, void *const *args)
{
    const norm_state *s = state;
    dipp_cpu_parallel(s->threads, s->groups * s->parts, rows_of(s) * s->width, gated_add_backward, s, args);
    add_parts(s, args[5], s->width, args[4]);
}

dipp_cpu_prepare DIPP_CPU_AT_LEVEL(dipp_cpu_prepare_norm) DIPP_CPU_HIDDEN;

dipp_status DIPP_CPU_AT_LEVEL(dipp_cpu_prepare_norm)(dipp_cpu_context *context, const dipp_node_view *node,
                                                     dipp_kernel *out, dipp_error *error)
{
    norm_state *s = dipp_cpu_state(out, sizeof *s, error);
    if (!s)
        return DIPP_E_MEMORY;
    bool is_norm = node->op == DIPP_OP_LAYER_NORM || node->op == DIPP_OP_LAYER_NORM_BACKWARD;
    bool is_backward = node->op == DIPP_OP_LAYER_NORM_BACKWARD || node->op == DIPP_OP_GATED_ADD_BACKWARD;
    const dipp_operand *x = &node->inputs[node->op == DIPP_OP_GATED_ADD_BACKWARD ? 1 : 0];
    const dipp_operand *shared = &node->inputs[node->op == DIPP_OP_GATED_ADD_BACKWARD ? 0 : 1]; /* gain or gate */
    s->threads = context->threads;
    s->inputs = (int)node->input_count;
    for (uint32_t i = 0; i < node->input_count && i < 7; i++)
        s->type[i] = dipp_cpu_type_of(context, node->inputs[i].dtype);
    for (uint32_t i = 0; i < node->output_count && i < 3; i++)
        s->out_type[i] = dipp_cpu_type_of(context, node->outputs[i].dtype);
    s->width = x->shape.dims[x->shape.rank - 1];
    int64_t rows = dipp_cpu_elements(&x->shape) / s->width;
    s->groups = shared->present && shared->shape.rank > 1 ? dipp_cpu_elements(&shared->shape) / s->width : 1;
    s->group_rows = rows / s->groups;
    s->has_gain = is_norm && shared->present;
    s->has_bias = node->op == DIPP_OP_LAYER_NORM && node->input_count > 2 && node->inputs[2].present;
    s->epsilon = (float)node->attributes->alpha;
    s->unit = node->attributes->plus_one ? 1.0f : 0.0f;
    int64_t wanted = s->groups >= MOST_PARTS ? 1 : MOST_PARTS / s->groups;
    s->parts = s->group_rows / PART_ROWS < wanted ? s->group_rows / PART_ROWS : wanted;
    if (s->parts < 1)
        s->parts = 1;
    if (is_backward)
        s->buffers = (size_t)(s->groups * s->parts * s->width * (is_norm ? (s->has_gain ? 2 : 0) : 1));
    s->buffers = (s->buffers + 63) / 64 * 64;
    out->scratch_bytes =
        dipp_cpu_round_up((s->buffers + (size_t)(BUFFERS * s->width) * (size_t)s->threads) * sizeof(float));
    if (is_norm)
        out->run = is_backward ? run_layer_norm_backward : run_layer_norm;
    else
        out->run = is_backward ? run_gated_add_backward : run_gated_add;
    return DIPP_OK;
}
