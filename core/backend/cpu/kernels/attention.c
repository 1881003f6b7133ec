/* Attention and its gradient, one (sample, head) at a time. The logits of QUERIES rows live in the second-level cache
 * and never reach memory; the gradient computes them again from q, k and the saved logsumexp.
 *
 *   S = scale q k^T + key bias;  P = exp(S - logsumexp);  o = P v
 *   dP = do v^T;  dS = scale P (dP - sum(do o));  dq = dS k;  dk = dS^T q;  dv = P^T do */
#include "backend/cpu/kernels/small_gemm.h"
#include "backend/cpu/kernels/vector_math.h"

enum { QUERIES = 64 };

typedef struct attention_state {
    int threads;
    dipp_cpu_type type[7], out_type[3];
    int64_t batch, heads, queries, keys, depth; /* depth of one head */
    int64_t keys_padded, depth_padded;
    size_t thread_floats;
    float scale;
    bool causal;
} attention_state;

/* rows x depth of one head of a [.., C] tensor as floats, rows row_floats apart, the padding zero. */
static void load_head(const attention_state *s, const void *base, dipp_cpu_type type, int64_t first_row, int64_t rows,
                      int64_t head, float *out)
{
    int64_t width = s->heads * s->depth;
    for (int64_t i = 0; i < rows; i++, out += s->depth_padded) {
        int64_t offset = (first_row + i) * width + head * s->depth;
        const float *in = row_load(base, type, offset, s->depth, out);
        if (in != out)
            memcpy(out, in, (size_t)s->depth * sizeof *out);
        for (int64_t d = s->depth; d < s->depth_padded; d++)
            out[d] = 0.0f;
    }
}

static void store_head(const attention_state *s, void *base, dipp_cpu_type type, int64_t first_row, int64_t rows,
                       int64_t head, const float *in)
{
    int64_t width = s->heads * s->depth;
    for (int64_t i = 0; i < rows; i++, in += s->depth_padded) {
        int64_t offset = (first_row + i) * width + head * s->depth;
        if (type == DIPP_CPU_BF16)
            narrow(in, (uint16_t *)base + offset, s->depth);
        else
            memcpy((float *)base + offset, in, (size_t)s->depth * sizeof *in);
    }
}

/* [keys][depth_padded] to [depth][keys_padded]. */
static void transpose_keys(const attention_state *s, const float *in, float *out)
{
    for (int64_t d = 0; d < s->depth; d++) {
        float *to = out + d * s->keys_padded;
        SIMD for (int64_t j = 0; j < s->keys; j++) to[j] = in[j * s->depth_padded + d];
        for (int64_t j = s->keys; j < s->keys_padded; j++)
            to[j] = 0.0f;
    }
}

/* The number of keys that query i may see. */
static int64_t visible(const attention_state *s, int64_t i)
{
    return s->causal && i + 1 < s->keys ? i + 1 : s->keys;
}

/* args: q, k, v, key_bias, o, logsumexp, scratch. One item is a sample's head. */
static void forward(const void *state, void *const *args, int thread, int64_t begin, int64_t end)
{
    const attention_state *s = state;
    float *keys_turned = (float *)args[6] + s->thread_floats * (size_t)thread;
    float *values = keys_turned + s->depth * s->keys_padded;
    float *queries = values + s->keys * s->depth_padded;
    float *result = queries + QUERIES * s->depth_padded, *logits = result + QUERIES * s->depth_padded;
    for (int64_t item = begin; item < end; item++) {
        int64_t sample = item / s->heads, head = item % s->heads;
        const float *bias = args[3] ? (const float *)args[3] + sample * s->keys : NULL;
        load_head(s, args[1], s->type[1], sample * s->keys, s->keys, head, values);
        transpose_keys(s, values, keys_turned);
        load_head(s, args[2], s->type[2], sample * s->keys, s->keys, head, values);
        for (int64_t first = 0; first < s->queries; first += QUERIES) {
            int64_t rows = s->queries - first < QUERIES ? s->queries - first : QUERIES;
            load_head(s, args[0], s->type[0], sample * s->queries + first, rows, head, queries);
            multiply_small((small_gemm){.m = rows,
                                        .n = s->keys_padded,
                                        .k = s->depth,
                                        .a_row = s->depth_padded,
                                        .a_col = 1,
                                        .b_row = s->keys_padded,
                                        .c_row = s->keys_padded},
                           queries, keys_turned, logits);
            float inverse[QUERIES];
            for (int64_t i = 0; i < rows; i++) {
                float *row = logits + i * s->keys_padded, most = -INFINITY, total = 0.0f;
                int64_t seen = visible(s, first + i);
                if (bias) {
                    _Pragma("omp simd reduction(max : most)") for (int64_t j = 0; j < seen; j++)
                    {
                        row[j] = row[j] * s->scale + bias[j];
                        most = row[j] > most ? row[j] : most;
                    }
                } else {
                    _Pragma("omp simd reduction(max : most)") for (int64_t j = 0; j < seen; j++)
                    {
                        row[j] *= s->scale;
                        most = row[j] > most ? row[j] : most;
                    }
                }
                _Pragma("omp simd reduction(+ : total)") for (int64_t j = 0; j < seen; j++)
                {
                    row[j] = vector_exp_of_negative(row[j] - most);
                    total += row[j];
                }
                for (int64_t j = seen; j < s->keys; j++)
                    row[j] = 0.0f;
                inverse[i] = 1.0f / total;
                if (args[5])
                    ((float *)args[5])[item * s->queries + first + i] = most + logf(total);
            }
            multiply_small((small_gemm){.m = rows,
                                        .n = s->depth_padded,
                                        .k = s->keys,
                                        .a_row = s->keys_padded,
                                        .a_col = 1,
                                        .b_row = s->depth_padded,
                                        .c_row = s->depth_padded},
                           logits, values, result);
            for (int64_t i = 0; i < rows; i++)
                SIMD for (int64_t d = 0; d < s->depth; d++) result[i * s->depth_padded + d] *= inverse[i];
            store_head(s, args[4], s->out_type[0], sample * s->queries + first, rows, head, result);
        }
    }
}

/* P and dS of one block of queries, in place of the logits and of dP. */
static void soften(const attention_state *s, const float *bias, const float *logsumexp, const float *queries_o,
                   const float *queries_do, int64_t first, int64_t rows, float *logits, float *slopes)
{
    for (int64_t i = 0; i < rows; i++) {
        float *p = logits + i * s->keys_padded, *ds = slopes + i * s->keys_padded, dot = 0.0f;
        const float *o = queries_o + i * s->depth_padded, *d_o = queries_do + i * s->depth_padded;
        int64_t seen = visible(s, first + i);
        _Pragma("omp simd reduction(+ : dot)") for (int64_t d = 0; d < s->depth; d++) dot += o[d] * d_o[d];
        float shift = logsumexp[i];
        SIMD for (int64_t j = 0; j < seen; j++)
        {
            float logit = p[j] * s->scale + (bias ? bias[j] : 0.0f);
            p[j] = vector_exp(logit - shift);
            ds[j] = s->scale * p[j] * (ds[j] - dot);
        }
        for (int64_t j = seen; j < s->keys; j++)
            p[j] = ds[j] = 0.0f;
    }
}

/* args: q, k, v, key_bias, o, logsumexp, do, dq, dk, dv, scratch. One item is a sample's head. */
static void backward(const void *state, void *const *args, int thread, int64_t begin, int64_t end)
{
    const attention_state *s = state;
    int64_t by_key = s->keys * s->depth_padded, turned = s->depth * s->keys_padded;
    float *keys = (float *)args[10] + s->thread_floats * (size_t)thread, *keys_turned = keys + by_key;
    float *values_turned = keys_turned + turned, *dk = values_turned + turned, *dv = dk + by_key;
    float *queries = dv + by_key, *results = queries + QUERIES * s->depth_padded;
    float *slopes_o = results + QUERIES * s->depth_padded, *dq = slopes_o + QUERIES * s->depth_padded;
    float *logits = dq + QUERIES * s->depth_padded, *slopes = logits + QUERIES * s->keys_padded;
    for (int64_t item = begin; item < end; item++) {
        int64_t sample = item / s->heads, head = item % s->heads;
        const float *bias = args[3] ? (const float *)args[3] + sample * s->keys : NULL;
        load_head(s, args[2], s->type[2], sample * s->keys, s->keys, head, keys);
        transpose_keys(s, keys, values_turned);
        load_head(s, args[1], s->type[1], sample * s->keys, s->keys, head, keys);
        transpose_keys(s, keys, keys_turned);
        for (int64_t first = 0; first < s->queries; first += QUERIES) {
            int64_t rows = s->queries - first < QUERIES ? s->queries - first : QUERIES;
            int64_t first_row = sample * s->queries + first;
            load_head(s, args[0], s->type[0], first_row, rows, head, queries);
            load_head(s, args[4], s->type[4], first_row, rows, head, results);
            load_head(s, args[6], s->type[6], first_row, rows, head, slopes_o);
            small_gemm by_keys = {.m = rows,
                                  .n = s->keys_padded,
                                  .k = s->depth,
                                  .a_row = s->depth_padded,
                                  .a_col = 1,
                                  .b_row = s->keys_padded,
                                  .c_row = s->keys_padded};
            multiply_small(by_keys, queries, keys_turned, logits);
            multiply_small(by_keys, slopes_o, values_turned, slopes);
            soften(s, bias, (const float *)args[5] + item * s->queries + first, results, slopes_o, first, rows, logits,
                   slopes);
            if (args[7]) {
                multiply_small((small_gemm){.m = rows,
                                            .n = s->depth_padded,
                                            .k = s->keys,
                                            .a_row = s->keys_padded,
                                            .a_col = 1,
                                            .b_row = s->depth_padded,
                                            .c_row = s->depth_padded},
                               slopes, keys, dq);
                store_head(s, args[7], s->out_type[0], first_row, rows, head, dq);
            }
            small_gemm over_queries = {.m = s->keys,
                                       .n = s->depth_padded,
                                       .k = rows,
                                       .a_row = 1,
                                       .a_col = s->keys_padded,
                                       .b_row = s->depth_padded,
                                       .c_row = s->depth_padded,
                                       .add = first > 0};
            if (args[8])
                multiply_small(over_queries, slopes, queries, dk);
            if (args[9])
                multiply_small(over_queries, logits, slopes_o, dv);
        }
        if (args[8])
            store_head(s, args[8], s->out_type[1], sample * s->keys, s->keys, head, dk);
        if (args[9])
            store_head(s, args[9], s->out_type[2], sample * s->keys, s->keys, head, dv);
    }
}

static int64_t work(const attention_state *s)
{
    return s->batch * s->heads * s->queries * s->keys;
}

static void run_forward(void *state, void *const *args)
{
    const attention_state *s = state;
    dipp_cpu_parallel(s->threads, s->batch * s->heads, work(s), forward, s, args);
}

static void run_backward(void *state, void *const *args)
{
    const attention_state *s = state;
    dipp_cpu_parallel(s->threads, s->batch * s->heads, work(s), backward, s, args);
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
    s->keys_padded = padded(s->keys);
    s->depth_padded = padded(s->depth);
    s->scale = (float)node->attributes->alpha;
    s->causal = node->attributes->causal;
    int64_t turned = s->depth * s->keys_padded, by_key = s->keys * s->depth_padded;
    int64_t by_query = QUERIES * s->depth_padded, logits = QUERIES * s->keys_padded;
    s->thread_floats = (size_t)(is_forward ? turned + by_key + 2 * by_query + logits
                                           : 2 * turned + 3 * by_key + 4 * by_query + 2 * logits);
    s->thread_floats = (s->thread_floats + 63) / 64 * 64;
    out->scratch_bytes = dipp_cpu_round_up(s->thread_floats * (size_t)s->threads * sizeof(float));
    out->run = is_forward ? run_forward : run_backward;
    return DIPP_OK;
}
