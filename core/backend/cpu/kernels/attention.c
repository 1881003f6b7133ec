/* Attention and its gradient. An item is a group of heads of one sample: all its heads when samples are many, else one.
 * A group is read and written row by row, which memory likes; within it each head is worked on alone, and the logits of
 * QUERIES rows never leave the second-level cache. The gradient computes them again from q, k and the saved logsumexp.
 *
 *   S = scale q k^T + key bias;  P = exp(S - logsumexp);  o = P v
 *   dP = do v^T;  dS = scale P (dP - sum(do o));  dq = dS k;  dk = dS^T q;  dv = P^T do
 *
 * Logits are kept over log 2, so that exponentials are powers of two; the saved logsumexp is the natural one. */
#include "backend/cpu/kernels/small_gemm.h"
#include "backend/cpu/kernels/vector_math.h"

enum { QUERIES = 64, GROUP_BYTES = 1 << 20 };

#define LOG2_E 0x1.715476p+0f
#define LOG_2  0x1.62e43p-1f

typedef struct attention_state {
    int threads;
    dipp_cpu_type type[7], out_type[3];
    int64_t batch, heads, queries, keys, depth; /* depth of one head */
    int64_t group, groups;                      /* heads in an item; items in a sample */
    int64_t keys_padded, depth_padded;
    int64_t by_key, by_query, turned, logits; /* floats of one head: [keys][depth], [QUERIES][depth], ... */
    size_t thread_floats;
    float scale;
    bool causal;
} attention_state;

/* Rows of a group of heads of a [.., C] tensor as floats, [group][stride / depth_padded][depth_padded]; padding zero. */
static void load_heads(const attention_state *s, const void *base, dipp_cpu_type type, int64_t first_row, int64_t rows,
                       int64_t group, float *out, int64_t stride)
{
    int64_t width = s->heads * s->depth, head = group * s->group;
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t h = 0; h < s->group; h++) {
            float *to = out + h * stride + i * s->depth_padded;
            int64_t offset = (first_row + i) * width + (head + h) * s->depth;
            if (type == DIPP_CPU_BF16) {
                widen((const uint16_t *)base + offset, to, s->depth);
            } else {
                const float *in = (const float *)base + offset;
                SIMD for (int64_t d = 0; d < s->depth; d++) to[d] = in[d];
            }
            for (int64_t d = s->depth; d < s->depth_padded; d++)
                to[d] = 0.0f;
        }
    }
}

static void store_heads(const attention_state *s, void *base, dipp_cpu_type type, int64_t first_row, int64_t rows,
                        int64_t group, const float *in, int64_t stride)
{
    int64_t width = s->heads * s->depth, head = group * s->group;
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t h = 0; h < s->group; h++) {
            const float *from = in + h * stride + i * s->depth_padded;
            int64_t offset = (first_row + i) * width + (head + h) * s->depth;
            if (type == DIPP_CPU_BF16) {
                narrow(from, (uint16_t *)base + offset, s->depth);
            } else {
                float *to = (float *)base + offset;
                SIMD for (int64_t d = 0; d < s->depth; d++) to[d] = from[d];
            }
        }
    }
}

/* [keys_padded][depth_padded] to [depth_padded][keys_padded] for every head; rows past keys must be finite. */
static void transpose_keys(const attention_state *s, const float *in, float *out)
{
    for (int64_t h = 0; h < s->group; h++, in += s->by_key, out += s->turned)
        for (int64_t j = 0; j < s->keys_padded; j += VECTOR)
            for (int64_t d = 0; d < s->depth_padded; d += VECTOR)
                transpose_square(in + j * s->depth_padded + d, s->depth_padded, out + d * s->keys_padded + j,
                                 s->keys_padded);
}

/* The rows that pad [keys] to whole vectors, zero in every head of the group. */
static void clear_padding(const attention_state *s, float *by_key)
{
    for (int64_t h = 0; h < s->group; h++)
        memset(by_key + h * s->by_key + s->keys * s->depth_padded, 0,
               (size_t)(s->by_key - s->keys * s->depth_padded) * sizeof(float));
}

/* [rows][depth] times [depth][keys]. */
static void multiply_by_keys(const attention_state *s, int64_t rows, const float *a, const float *turned, float *out)
{
    multiply_small((small_gemm){.m = rows,
                                .n = s->keys_padded,
                                .k = s->depth,
                                .a_row = s->depth_padded,
                                .a_col = 1,
                                .b_row = s->keys_padded,
                                .c_row = s->keys_padded},
                   a, turned, out);
}

/* [rows][keys] times [keys][depth]. */
static void multiply_over_keys(const attention_state *s, int64_t rows, const float *a, const float *by_key, float *out)
{
    multiply_small((small_gemm){.m = rows,
                                .n = s->depth_padded,
                                .k = s->keys,
                                .a_row = s->keys_padded,
                                .a_col = 1,
                                .b_row = s->depth_padded,
                                .c_row = s->depth_padded},
                   a, by_key, out);
}

/* out [keys][depth] (+)= the transpose of [rows][keys] times [rows][depth]. */
static void multiply_over_queries(const attention_state *s, int64_t rows, const float *a, const float *by_query,
                                  float *out, bool add)
{
    multiply_small((small_gemm){.m = s->keys,
                                .n = s->depth_padded,
                                .k = rows,
                                .a_row = 1,
                                .a_col = s->keys_padded,
                                .b_row = s->depth_padded,
                                .c_row = s->depth_padded,
                                .add = add},
                   a, by_query, out);
}

/* The number of keys that query i may see. */
static int64_t visible(const attention_state *s, int64_t i)
{
    return s->causal && i + 1 < s->keys ? i + 1 : s->keys;
}

/* Products of one query with the keys to 2^(logit - largest) in place; returns their sum and puts the largest logit in
 * *most. */
static float soften(const attention_state *s, const float *bias, int64_t seen, float *row, float *most_out)
{
    float most = -INFINITY, total = 0.0f, scale = s->scale * LOG2_E;
    if (bias) {
        _Pragma("omp simd reduction(max : most)") for (int64_t j = 0; j < seen; j++)
        {
            row[j] = row[j] * scale + bias[j] * LOG2_E;
            most = row[j] > most ? row[j] : most;
        }
    } else {
        _Pragma("omp simd reduction(max : most)") for (int64_t j = 0; j < seen; j++)
        {
            row[j] *= scale;
            most = row[j] > most ? row[j] : most;
        }
    }
    _Pragma("omp simd reduction(+ : total)") for (int64_t j = 0; j < seen; j++)
    {
        row[j] = vector_exp2_of_negative(row[j] - most);
        total += row[j];
    }
    for (int64_t j = seen; j < s->keys; j++)
        row[j] = 0.0f;
    *most_out = most;
    return total;
}

/* args: q, k, v, key_bias, o, logsumexp, scratch. */
static void forward(const void *state, void *const *args, int thread, int64_t begin, int64_t end)
{
    const attention_state *s = state;
    float *turned_keys = (float *)args[6] + s->thread_floats * (size_t)thread;
    float *values = turned_keys + s->group * s->turned, *queries = values + s->group * s->by_key;
    float *results = queries + s->group * s->by_query, *logits = results + s->group * s->by_query;
    clear_padding(s, values);
    for (int64_t item = begin; item < end; item++) {
        int64_t sample = item / s->groups, group = item % s->groups;
        const float *bias = args[3] ? (const float *)args[3] + sample * s->keys : NULL;
        load_heads(s, args[1], s->type[1], sample * s->keys, s->keys, group, values, s->by_key);
        transpose_keys(s, values, turned_keys);
        load_heads(s, args[2], s->type[2], sample * s->keys, s->keys, group, values, s->by_key);
        for (int64_t first = 0; first < s->queries; first += QUERIES) {
            int64_t rows = s->queries - first < QUERIES ? s->queries - first : QUERIES;
            int64_t first_row = sample * s->queries + first;
            load_heads(s, args[0], s->type[0], first_row, rows, group, queries, s->by_query);
            for (int64_t h = 0; h < s->group; h++) {
                float *result = results + h * s->by_query, most[QUERIES], total[QUERIES];
                int64_t head = sample * s->heads + group * s->group + h;
                multiply_by_keys(s, rows, queries + h * s->by_query, turned_keys + h * s->turned, logits);
                for (int64_t i = 0; i < rows; i++)
                    total[i] = soften(s, bias, visible(s, first + i), logits + i * s->keys_padded, &most[i]);
                if (args[5]) {
                    float *logsumexp = (float *)args[5] + head * s->queries + first;
                    SIMD for (int64_t i = 0; i < rows; i++) logsumexp[i] = most[i] * LOG_2 + vector_log(total[i]);
                }
                multiply_over_keys(s, rows, logits, values + h * s->by_key, result);
                for (int64_t i = 0; i < rows; i++) {
                    float inverse = 1.0f / total[i];
                    SIMD for (int64_t d = 0; d < s->depth_padded; d++) result[i * s->depth_padded + d] *= inverse;
                }
            }
            if (args[4])
                store_heads(s, args[4], s->out_type[0], first_row, rows, group, results, s->by_query);
        }
    }
}

/* P and dS of one block of queries, in place of the logits and of dP. */
static void slopes_of_logits(const attention_state *s, const float *bias, const float *logsumexp, const float *o,
                             const float *d_o, int64_t first, int64_t rows, float *logits, float *slopes)
{
    for (int64_t i = 0; i < rows; i++, o += s->depth_padded, d_o += s->depth_padded) {
        float *p = logits + i * s->keys_padded, *ds = slopes + i * s->keys_padded, dot = 0.0f;
        float scale = s->scale * LOG2_E, shift = logsumexp[i] * LOG2_E;
        int64_t seen = visible(s, first + i);
        _Pragma("omp simd reduction(+ : dot)") for (int64_t d = 0; d < s->depth_padded; d++) dot += o[d] * d_o[d];
        if (bias) {
            SIMD for (int64_t j = 0; j < seen; j++)
            {
                p[j] = vector_exp2_of_negative(p[j] * scale + (bias[j] * LOG2_E - shift));
                ds[j] = s->scale * p[j] * (ds[j] - dot);
            }
        } else {
            SIMD for (int64_t j = 0; j < seen; j++)
            {
                p[j] = vector_exp2_of_negative(p[j] * scale - shift);
                ds[j] = s->scale * p[j] * (ds[j] - dot);
            }
        }
        for (int64_t j = seen; j < s->keys; j++)
            p[j] = ds[j] = 0.0f;
    }
}

/* args: q, k, v, key_bias, o, logsumexp, do, dq, dk, dv, scratch. */
static void backward(const void *state, void *const *args, int thread, int64_t begin, int64_t end)
{
    const attention_state *s = state;
    int64_t by_key = s->group * s->by_key, turned = s->group * s->turned, by_query = s->group * s->by_query;
    float *keys = (float *)args[10] + s->thread_floats * (size_t)thread, *turned_keys = keys + by_key;
    float *turned_values = turned_keys + turned, *dk = turned_values + turned, *dv = dk + by_key;
    float *queries = dv + by_key, *results = queries + by_query, *d_results = results + by_query;
    float *dq = d_results + by_query, *logits = dq + by_query, *slopes = logits + s->logits;
    clear_padding(s, keys);
    for (int64_t item = begin; item < end; item++) {
        int64_t sample = item / s->groups, group = item % s->groups;
        const float *bias = args[3] ? (const float *)args[3] + sample * s->keys : NULL;
        load_heads(s, args[2], s->type[2], sample * s->keys, s->keys, group, keys, s->by_key);
        transpose_keys(s, keys, turned_values);
        load_heads(s, args[1], s->type[1], sample * s->keys, s->keys, group, keys, s->by_key);
        transpose_keys(s, keys, turned_keys);
        for (int64_t first = 0; first < s->queries; first += QUERIES) {
            int64_t rows = s->queries - first < QUERIES ? s->queries - first : QUERIES;
            int64_t first_row = sample * s->queries + first;
            load_heads(s, args[0], s->type[0], first_row, rows, group, queries, s->by_query);
            load_heads(s, args[4], s->type[4], first_row, rows, group, results, s->by_query);
            load_heads(s, args[6], s->type[6], first_row, rows, group, d_results, s->by_query);
            for (int64_t h = 0; h < s->group; h++) {
                int64_t head = sample * s->heads + group * s->group + h, at = h * s->by_query;
                multiply_by_keys(s, rows, queries + at, turned_keys + h * s->turned, logits);
                multiply_by_keys(s, rows, d_results + at, turned_values + h * s->turned, slopes);
                slopes_of_logits(s, bias, (const float *)args[5] + head * s->queries + first, results + at,
                                 d_results + at, first, rows, logits, slopes);
                if (args[7])
                    multiply_over_keys(s, rows, slopes, keys + h * s->by_key, dq + at);
                if (args[8])
                    multiply_over_queries(s, rows, slopes, queries + at, dk + h * s->by_key, first > 0);
                if (args[9])
                    multiply_over_queries(s, rows, logits, d_results + at, dv + h * s->by_key, first > 0);
            }
            if (args[7])
                store_heads(s, args[7], s->out_type[0], first_row, rows, group, dq, s->by_query);
        }
        if (args[8])
            store_heads(s, args[8], s->out_type[1], sample * s->keys, s->keys, group, dk, s->by_key);
        if (args[9])
            store_heads(s, args[9], s->out_type[2], sample * s->keys, s->keys, group, dv, s->by_key);
    }
}

static int64_t work(const attention_state *s)
{
    return s->batch * s->heads * s->queries * s->keys;
}

static void run_forward(void *state, void *const *args)
{
    const attention_state *s = state;
    dipp_cpu_parallel(s->threads, s->batch * s->groups, work(s), forward, s, args);
}

static void run_backward(void *state, void *const *args)
{
    const attention_state *s = state;
    dipp_cpu_parallel(s->threads, s->batch * s->groups, work(s), backward, s, args);
}

/* Sizes of the pieces of scratch, and how many heads go together. */
static void lay_out(attention_state *s, bool is_forward)
{
    s->keys_padded = padded(s->keys);
    s->depth_padded = padded(s->depth);
    s->turned = s->depth_padded * s->keys_padded;
    s->by_key = s->keys_padded * s->depth_padded;
    s->by_query = QUERIES * s->depth_padded;
    s->logits = QUERIES * s->keys_padded;
    int64_t of_head =
        is_forward ? s->turned + s->by_key + 2 * s->by_query : 2 * s->turned + 3 * s->by_key + 4 * s->by_query;
    int64_t shared = is_forward ? s->logits : 2 * s->logits;
    bool together = s->batch >= s->threads && s->heads * of_head * (int64_t)sizeof(float) <= GROUP_BYTES;
    s->group = together ? s->heads : 1;
    s->groups = s->heads / s->group;
    s->thread_floats = ((size_t)(s->group * of_head + shared) + 63) / 64 * 64;
}

dipp_cpu_prepare DIPP_CPU_AT_LEVEL(dipp_cpu_prepare_attention) DIPP_CPU_HIDDEN;

dipp_status DIPP_CPU_AT_LEVEL(dipp_cpu_prepare_attention)(dipp_cpu_context *context, const dipp_node_view *node,
                                                          dipp_kernel *out, dipp_error *error)
{
    attention_state *s = dipp_cpu_state(out, sizeof *s, error);
    if (!s)
        return DIPP_E_MEMORY;
    bool is_forward = node->op == DIPP_OP_ATTENTION;
    const dipp_shape *q = &node->inputs[0].shape;
    s->threads = context->threads;
    for (uint32_t i = 0; i < node->input_count && i < 7; i++)
        s->type[i] = dipp_cpu_type_of(context, node->inputs[i].dtype);
    for (uint32_t i = 0; i < node->output_count && i < 3; i++)
        s->out_type[i] = dipp_cpu_type_of(context, node->outputs[i].dtype);
    s->batch = q->dims[0];
    s->queries = q->dims[1];
    s->keys = node->inputs[1].shape.dims[1];
    s->heads = node->attributes->heads;
    s->depth = q->dims[2] / s->heads;
    s->scale = (float)node->attributes->alpha;
    s->causal = node->attributes->causal;
    lay_out(s, is_forward);
    out->scratch_bytes = dipp_cpu_round_up(s->thread_floats * (size_t)s->threads * sizeof(float));
    out->run = is_forward ? run_forward : run_backward;
    return DIPP_OK;
}
