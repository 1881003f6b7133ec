/* Group norm with gain and bias per channel and an optional SiLU, and its gradients.
 *
 * x is [N, C, places]. A block is one group of one sample: channels x places numbers in one piece, worked on by one thread
 * from first to last, so sums have an order fixed by the shape. Blocks of SD's widths stay in the second-level cache
 * between their passes; loops run over chunks of CHUNK floats. */
#include "backend/cpu/kernels/vector_math.h"

enum { CHUNK = 1024 };

typedef struct group_state {
    int threads;
    dipp_cpu_type x_type, gain_type, bias_type, y_type, dx_type; /* y_type: of dy, too */
    int64_t samples, groups, channels, places;                   /* channels of a group */
    float epsilon;
    bool gain, bias, silu;
} group_state;

static float number_at(const void *base, dipp_cpu_type type, int64_t i)
{
    return type == DIPP_CPU_BF16 ? dipp_bf16_widen(((const uint16_t *)base)[i]) : ((const float *)base)[i];
}

/* mean + rest is the mean to twice the digits: where all numbers of a block are nearly alike, x - mean is small and what
 * mean lost by rounding would be a large part of it. */
typedef struct block_statistics {
    float mean, rest, scale;
} block_statistics;

/* Mean and 1/deviation of a block. Each chunk gives its mean and its squares around that while it is in the first-level
 * cache; chunks are merged in double. So a mean far above the deviation costs no digits. */
static block_statistics statistics_of(const group_state *s, const void *x, int64_t first)
{
    float buffer[CHUNK];
    int64_t count = s->channels * s->places;
    double mean = 0.0, squares = 0.0;
    for (int64_t start = 0; start < count; start += CHUNK) {
        int64_t n = count - start < CHUNK ? count - start : CHUNK;
        const float *in = row_load(x, s->x_type, first + start, n, buffer);
        float total = 0.0f, around = 0.0f, left = 0.0f;
        _Pragma("omp simd reduction(+ : total)") for (int64_t i = 0; i < n; i++) total += in[i];
        float near = total / (float)n; /* left tells how near */
        _Pragma("omp simd reduction(+ : around, left)") for (int64_t i = 0; i < n; i++)
        {
            float centred = in[i] - near;
            around += centred * centred;
            left += centred;
        }
        double offset = (double)left / (double)n, step = (double)near + offset - mean;
        double share = (double)n / (double)(start + n);
        mean += step * share;
        squares += (double)around - (double)left * offset + step * step * share * (double)start;
    }
    return (block_statistics){(float)mean, (float)(mean - (double)(float)mean),
                              (float)(1.0 / sqrt(squares / (double)count + (double)s->epsilon))};
}

/* args: x, gain, bias, y, stats. One item is a block. */
static void forward(const void *state, void *const *args, int thread, int64_t begin, int64_t end)
{
    const group_state *s = state;
    float in_buffer[CHUNK], out_buffer[CHUNK], *stats = args[4];
    for (int64_t block = begin; block < end; block++) {
        int64_t first = block * s->channels * s->places, channel = block % s->groups * s->channels;
        block_statistics b = statistics_of(s, args[0], first);
        float mean = b.mean, rest = b.rest, scale = b.scale;
        if (stats)
            stats[2 * block] = mean, stats[2 * block + 1] = scale;
        if (!args[3])
            continue;
        for (int64_t c = 0; c < s->channels; c++, channel++, first += s->places) {
            float factor = s->gain ? scale * number_at(args[1], s->gain_type, channel) : scale;
            float shift = s->bias ? number_at(args[2], s->bias_type, channel) : 0.0f;
            for (int64_t start = 0; start < s->places; start += CHUNK) {
                int64_t n = s->places - start < CHUNK ? s->places - start : CHUNK;
                const float *x = row_load(args[0], s->x_type, first + start, n, in_buffer);
                float *y = row_target(args[3], s->y_type, first + start, out_buffer);
                if (s->silu) {
                    SIMD for (int64_t i = 0; i < n; i++)
                    {
                        float u = ((x[i] - mean) - rest) * factor + shift;
                        y[i] = u * vector_sigmoid(u);
                    }
                } else {
                    SIMD for (int64_t i = 0; i < n; i++) y[i] = ((x[i] - mean) - rest) * factor + shift;
                }
                row_store(args[3], s->y_type, first + start, n, y);
            }
        }
    }
}

/* What one channel of a block adds to the gradients, and what its pass needs. */
typedef struct channel_pass {
    float mean, scale, gain, bias;
} channel_pass;

static channel_pass channel_of(const group_state *s, void *const *args, int64_t block, int64_t c)
{
    const float *stats = args[3];
    int64_t channel = block % s->groups * s->channels + c;
    return (channel_pass){stats[2 * block], stats[2 * block + 1],
                          s->gain ? number_at(args[1], s->gain_type, channel) : 1.0f,
                          s->bias ? number_at(args[2], s->bias_type, channel) : 0.0f};
}

/* The gradient du of u = normal * gain + bias, from dy; in buffer where SiLU changes it. */
static const float *through_silu(const group_state *s, const channel_pass *p, const float *x, const float *dy,
                                 int64_t n, float *buffer)
{
    if (!s->silu)
        return dy;
    float mean = p->mean, factor = p->scale * p->gain, bias = p->bias;
    SIMD for (int64_t i = 0; i < n; i++) buffer[i] = dy[i] * vector_silu_slope((x[i] - mean) * factor + bias);
    return buffer;
}

/* sums[0] = sum of du over the places of a channel, sums[1] = sum of du normal. */
static void channel_sums(const group_state *s, void *const *args, const channel_pass *p, int64_t first, double sums[2])
{
    float x_buffer[CHUNK], dy_buffer[CHUNK], du_buffer[CHUNK];
    sums[0] = sums[1] = 0.0;
    for (int64_t start = 0; start < s->places; start += CHUNK) {
        int64_t n = s->places - start < CHUNK ? s->places - start : CHUNK;
        const float *x = row_load(args[0], s->x_type, first + start, n, x_buffer);
        const float *dy = row_load(args[4], s->y_type, first + start, n, dy_buffer);
        const float *du = through_silu(s, p, x, dy, n, du_buffer);
        float total = 0.0f, dot = 0.0f, mean = p->mean, scale = p->scale;
        _Pragma("omp simd reduction(+ : total, dot)") for (int64_t i = 0; i < n; i++)
        {
            total += du[i];
            dot += du[i] * ((x[i] - mean) * scale);
        }
        sums[0] += (double)total;
        sums[1] += (double)dot;
    }
}

/* args: x, gain, bias, stats, dy, dx, dgain, dbias, scratch [N, C, 2]. One item is a block. */
static void backward(const void *state, void *const *args, int thread, int64_t begin, int64_t end)
{
    const group_state *s = state;
    float x_buffer[CHUNK], dy_buffer[CHUNK], du_buffer[CHUNK], dx_buffer[CHUNK], h[CHUNK];
    float *partial = args[8];
    for (int64_t block = begin; block < end; block++) {
        int64_t first = block * s->channels * s->places;
        double total = 0.0, dot = 0.0, count = (double)(s->channels * s->places);
        for (int64_t c = 0; c < s->channels; c++) {
            channel_pass p = channel_of(s, args, block, c);
            double sums[2];
            channel_sums(s, args, &p, first + c * s->places, sums);
            partial[2 * (block * s->channels + c)] = (float)sums[0];
            partial[2 * (block * s->channels + c) + 1] = (float)sums[1];
            total += sums[0] * (double)p.gain;
            dot += sums[1] * (double)p.gain;
        }
        float mean_h = (float)(total / count), mean_hn = (float)(dot / count);
        for (int64_t c = 0; args[5] && c < s->channels; c++, first += s->places) {
            channel_pass p = channel_of(s, args, block, c);
            float mean = p.mean, scale = p.scale, gain = p.gain;
            for (int64_t start = 0; start < s->places; start += CHUNK) {
                int64_t n = s->places - start < CHUNK ? s->places - start : CHUNK;
                const float *x = row_load(args[0], s->x_type, first + start, n, x_buffer);
                const float *dy = row_load(args[4], s->y_type, first + start, n, dy_buffer);
                const float *du = through_silu(s, &p, x, dy, n, du_buffer);
                float *dx = row_target(args[5], s->dx_type, first + start, dx_buffer);
                /* A loop of its own rounds du gain, as mean_h was: the difference of equals must be zero. */
                SIMD for (int64_t i = 0; i < n; i++) h[i] = du[i] * gain;
                SIMD for (int64_t i = 0; i < n; i++) dx[i] = scale * (h[i] - mean_h - (x[i] - mean) * scale * mean_hn);
                row_store(args[5], s->dx_type, first + start, n, dx);
            }
        }
    }
}

static int64_t elements_of(const group_state *s)
{
    return s->samples * s->groups * s->channels * s->places;
}

static void run_forward(void *state, void *const *args)
{
    const group_state *s = state;
    dipp_cpu_parallel(s->threads, s->samples * s->groups, elements_of(s), forward, s, args);
}

/* The samples' sums in order. */
static void run_backward(void *state, void *const *args)
{
    const group_state *s = state;
    dipp_cpu_parallel(s->threads, s->samples * s->groups, elements_of(s), backward, s, args);
    const float *partial = args[8];
    float *d_gain = args[6], *d_bias = args[7];
    int64_t channels = s->groups * s->channels;
    for (int64_t c = 0; s->gain && c < channels; c++) {
        double gain = 0.0, bias = 0.0;
        for (int64_t n = 0; n < s->samples; n++) {
            bias += (double)partial[2 * (n * channels + c)];
            gain += (double)partial[2 * (n * channels + c) + 1];
        }
        if (d_gain)
            d_gain[c] = (float)gain;
        if (d_bias)
            d_bias[c] = (float)bias;
    }
}

dipp_cpu_prepare DIPP_CPU_AT_LEVEL(dipp_cpu_prepare_group_norm) DIPP_CPU_HIDDEN;

dipp_status DIPP_CPU_AT_LEVEL(dipp_cpu_prepare_group_norm)(dipp_cpu_context *context, const dipp_node_view *node,
                                                           dipp_kernel *out, dipp_error *error)
{
    group_state *s = dipp_cpu_state(out, sizeof *s, error);
    if (!s)
        return DIPP_E_MEMORY;
    const dipp_shape *x = &node->inputs[0].shape;
    bool is_backward = node->op == DIPP_OP_GROUP_NORM_BACKWARD;
    s->threads = context->threads;
    s->x_type = s->dx_type = dipp_cpu_type_of(context, node->inputs[0].dtype);
    s->gain_type = dipp_cpu_type_of(context, node->inputs[1].dtype);
    s->bias_type = dipp_cpu_type_of(context, node->inputs[2].dtype);
    s->y_type = dipp_cpu_type_of(context, DIPP_COMPUTE);
    s->samples = x->dims[0];
    s->groups = node->attributes->groups;
    s->channels = x->dims[1] / s->groups;
    s->places = dipp_cpu_elements(x) / (x->dims[0] * x->dims[1]);
    s->epsilon = (float)node->attributes->alpha;
    s->gain = node->inputs[1].present;
    s->bias = node->inputs[2].present;
    s->silu = node->attributes->silu;
    if (is_backward)
        out->scratch_bytes = dipp_cpu_round_up((size_t)(2 * s->samples * x->dims[1]) * sizeof(float));
    out->run = is_backward ? run_backward : run_forward;
    return DIPP_OK;
}
