/* Elementwise nodes with broadcasting: arithmetic, activations and their gradients, casts, broadcast_to, accumulate.
 *
 * Shapes are collapsed to as few dims as the operands' strides allow; the innermost dim has stride 1 or 0 in each
 * operand and is walked in chunks of CHUNK floats that stay in the first-level cache. */
#include "backend/cpu/kernels/row.h"
#include "backend/cpu/kernels/vector_math.h"

enum { CHUNK = 1024, MAX_OPERANDS = 3 };

typedef struct parameters {
    float alpha, beta;
} parameters;

/* One chunk. step[k] is 0 when operand k is a single number, else 1. Only the last of two operands, or the only one, comes
 * as a single number; others are repeated beforehand. */
typedef void chunk_function(int64_t n, const float *const in[MAX_OPERANDS], const int step[MAX_OPERANDS], float *out,
                            parameters p);

typedef struct elementwise_state {
    chunk_function *function;
    parameters p;
    int threads, operands, rank; /* rank counts the outer dims, innermost excluded */
    uint32_t argument[MAX_OPERANDS], out_argument;
    dipp_cpu_type type[MAX_OPERANDS], out_type;
    int step[MAX_OPERANDS], given_step[MAX_OPERANDS]; /* in memory; as the function gets it */
    int64_t inner, chunks, rows;
    int64_t dims[DIPP_MAX_RANK], strides[MAX_OPERANDS][DIPP_MAX_RANK];
} elementwise_state;

#define UNARY(name, expression)                                                                                \
    static void name(int64_t n, const float *const in[MAX_OPERANDS], const int step[MAX_OPERANDS], float *out, \
                     parameters p)                                                                             \
    {                                                                                                          \
        const float *xs = in[0];                                                                               \
        if (step[0]) {                                                                                         \
            SIMD for (int64_t i = 0; i < n; i++)                                                               \
            {                                                                                                  \
                float x = xs[i];                                                                               \
                out[i] = (expression);                                                                         \
            }                                                                                                  \
        } else {                                                                                               \
            float x = xs[0], value = (expression);                                                             \
            for (int64_t i = 0; i < n; i++)                                                                    \
                out[i] = value;                                                                                \
        }                                                                                                      \
    }

#define BINARY(name, expression)                                                                               \
    static void name(int64_t n, const float *const in[MAX_OPERANDS], const int step[MAX_OPERANDS], float *out, \
                     parameters p)                                                                             \
    {                                                                                                          \
        const float *as = in[0], *bs = in[1];                                                                  \
        if (step[1]) {                                                                                         \
            SIMD for (int64_t i = 0; i < n; i++)                                                               \
            {                                                                                                  \
                float a = as[i], b = bs[i];                                                                    \
                out[i] = (expression);                                                                         \
            }                                                                                                  \
        } else {                                                                                               \
            float b = bs[0];                                                                                   \
            SIMD for (int64_t i = 0; i < n; i++)                                                               \
            {                                                                                                  \
                float a = as[i];                                                                               \
                out[i] = (expression);                                                                         \
            }                                                                                                  \
        }                                                                                                      \
    }

BINARY(add, a + b)
BINARY(subtract, a - b)
BINARY(multiply, (a) * (b))
BINARY(divide, a / b)
BINARY(minimum, a < b ? a : b)
BINARY(maximum, a > b ? a : b)
BINARY(greater, a > b ? 1.0f : 0.0f)

static void where(int64_t n, const float *const in[MAX_OPERANDS], const int step[MAX_OPERANDS], float *out,
                  parameters p)
{
    const float *conditions = in[0], *as = in[1], *bs = in[2];
    SIMD for (int64_t i = 0; i < n; i++)
    {
        float a = as[i], b = bs[i];
        out[i] = conditions[i] != 0.0f ? a : b;
    }
}

static inline float full_log(float x)
{
    bool tiny = x < 0x1p-126f;
    float scaled = tiny ? x * 0x1p24f : x;
    float value = vector_log(scaled > 0.0f && scaled < INFINITY ? scaled : 1.0f) - (tiny ? 0x1.0a2b24p+4f : 0.0f);
    value = x == 0.0f ? -INFINITY : value;
    value = x < 0.0f ? NAN : value;
    return x == INFINITY || x != x ? x : value;
}

static inline float gelu_tanh_gate(float x)
{
    return vector_sigmoid(1.595769122f * x * (1.0f + 0.044715f * x * x));
}

static inline float gelu_tanh_slope(float x)
{
    float u = 1.595769122f * x;
    return vector_gated_slope(u * (1.0f + 0.044715f * x * x), u * (1.0f + 0.134145f * x * x));
}

static inline float quick_gelu_slope(float x)
{
    return vector_gated_slope(1.702f * x, 1.702f * x);
}

UNARY(copy, x)
UNARY(scale_add, p.alpha *(x) + p.beta)
UNARY(exponential, vector_exp(x))
UNARY(logarithm, full_log(x))
UNARY(square_root, sqrtf(x))
UNARY(absolute, fabsf(x))
UNARY(sign, x > 0.0f ? 1.0f : (x < 0.0f ? -1.0f : 0.0f))
UNARY(sine, vector_sine((double)x, 0))
UNARY(cosine, vector_sine((double)x, 1))
UNARY(hyperbolic_tangent, vector_tanh(x))
UNARY(sigmoid, vector_sigmoid(x))
UNARY(silu, (x)*vector_sigmoid(x))
UNARY(gelu_erf, (x)*vector_normal_distribution(x))
UNARY(gelu_tanh, (x)*gelu_tanh_gate(x))
UNARY(quick_gelu, (x)*vector_sigmoid(1.702f * x))
UNARY(round_even, rintf(x))
UNARY(clamp, x < p.alpha ? p.alpha : (x > p.beta ? p.beta : x))
/* in x, dy */
BINARY(silu_backward, (b)*vector_silu_slope(a))
BINARY(gelu_erf_backward, (b)*vector_gelu_erf_slope(a))
BINARY(gelu_tanh_backward, (b)*gelu_tanh_slope(a))
BINARY(quick_gelu_backward, (b)*quick_gelu_slope(a))

static chunk_function *function_of(dipp_op op)
{
    switch (op) {
    case DIPP_OP_CAST:
    case DIPP_OP_BROADCAST: return copy;
    case DIPP_OP_ADD:
    case DIPP_OP_ACCUMULATE: return add;
    case DIPP_OP_SUB: return subtract;
    case DIPP_OP_MUL: return multiply;
    case DIPP_OP_DIV: return divide;
    case DIPP_OP_MINIMUM: return minimum;
    case DIPP_OP_MAXIMUM: return maximum;
    case DIPP_OP_GREATER: return greater;
    case DIPP_OP_WHERE: return where;
    case DIPP_OP_SCALE_ADD: return scale_add;
    case DIPP_OP_EXP: return exponential;
    case DIPP_OP_LOG: return logarithm;
    case DIPP_OP_SQRT: return square_root;
    case DIPP_OP_ABS: return absolute;
    case DIPP_OP_SIGN: return sign;
    case DIPP_OP_SIN: return sine;
    case DIPP_OP_COS: return cosine;
    case DIPP_OP_TANH: return hyperbolic_tangent;
    case DIPP_OP_SIGMOID: return sigmoid;
    case DIPP_OP_SILU: return silu;
    case DIPP_OP_GELU_ERF: return gelu_erf;
    case DIPP_OP_GELU_TANH: return gelu_tanh;
    case DIPP_OP_QUICK_GELU: return quick_gelu;
    case DIPP_OP_ROUND: return round_even;
    case DIPP_OP_CLAMP: return clamp;
    case DIPP_OP_SILU_BACKWARD: return silu_backward;
    case DIPP_OP_GELU_ERF_BACKWARD: return gelu_erf_backward;
    case DIPP_OP_GELU_TANH_BACKWARD: return gelu_tanh_backward;
    case DIPP_OP_QUICK_GELU_BACKWARD: return quick_gelu_backward;
    default: return NULL;
    }
}

static void run_range(const void *state, void *const *args, int thread, int64_t begin, int64_t end)
{
    const elementwise_state *s = state;
    float buffers[MAX_OPERANDS][CHUNK], result[CHUNK];
    int64_t index[DIPP_MAX_RANK], row = begin / s->chunks, chunk = begin % s->chunks;
    int64_t base[MAX_OPERANDS] = {0};
    int64_t rest = row;
    for (int d = s->rank - 1; d >= 0; d--) {
        index[d] = rest % s->dims[d];
        rest /= s->dims[d];
        for (int k = 0; k < s->operands; k++)
            base[k] += index[d] * s->strides[k][d];
    }
    void *out = args[s->out_argument];
    for (int64_t item = begin; item < end; item++) {
        int64_t start = chunk * CHUNK, n = s->inner - start < CHUNK ? s->inner - start : CHUNK;
        const float *in[MAX_OPERANDS];
        for (int k = 0; k < s->operands; k++)
            in[k] = row_load(args[s->argument[k]], s->type[k], base[k] + (s->step[k] ? start : 0), s->step[k] ? n : 1,
                             buffers[k]);
        for (int k = 0; k < s->operands; k++) {
            if (s->step[k] == s->given_step[k])
                continue;
            float value = in[k][0];
            for (int64_t i = 0; i < n; i++)
                buffers[k][i] = value;
            in[k] = buffers[k];
        }
        int64_t offset = row * s->inner + start;
        float *target = row_target(out, s->out_type, offset, result);
        s->function(n, in, s->given_step, target, s->p);
        row_store(out, s->out_type, offset, n, target);
        if (++chunk < s->chunks)
            continue;
        chunk = 0;
        row++;
        for (int d = s->rank - 1; d >= 0; d--) {
            for (int k = 0; k < s->operands; k++)
                base[k] += s->strides[k][d];
            if (++index[d] < s->dims[d])
                break;
            for (int k = 0; k < s->operands; k++)
                base[k] -= s->strides[k][d] * s->dims[d];
            index[d] = 0;
        }
    }
}

static void run(void *state, void *const *args)
{
    const elementwise_state *s = state;
    dipp_cpu_parallel(s->threads, s->rows * s->chunks, s->rows * s->inner, run_range, s, args);
}

/* Strides of an operand in the dims of the result, 0 where it is repeated. */
static void broadcast_strides(const dipp_shape *out, const dipp_shape *in, int64_t *strides)
{
    int64_t stride = 1;
    for (int d = (int)out->rank - 1; d >= 0; d--) {
        int from_right = (int)out->rank - 1 - d, i = (int)in->rank - 1 - from_right;
        strides[d] = 0;
        if (i >= 0) {
            strides[d] = in->dims[i] == 1 ? 0 : stride;
            stride *= in->dims[i];
        }
    }
}

/* Merges neighbouring dims that every operand walks as one; leaves the innermost in inner and step. */
static void collapse(elementwise_state *s, const dipp_shape *out, int64_t strides[MAX_OPERANDS][DIPP_MAX_RANK])
{
    int64_t dims[DIPP_MAX_RANK] = {0}, merged[MAX_OPERANDS][DIPP_MAX_RANK];
    int count = 0;
    for (uint32_t d = 0; d < out->rank; d++) {
        if (out->dims[d] == 1)
            continue;
        bool same = count > 0;
        for (int k = 0; k < s->operands && same; k++)
            same = merged[k][count - 1] == strides[k][d] * out->dims[d];
        if (same)
            count--;
        dims[count] = same ? dims[count] * out->dims[d] : out->dims[d];
        for (int k = 0; k < s->operands; k++)
            merged[k][count] = strides[k][d];
        count++;
    }
    s->inner = 1;
    if (count) {
        count--;
        s->inner = dims[count];
        for (int k = 0; k < s->operands; k++)
            s->step[k] = merged[k][count] != 0;
    }
    s->rank = count;
    s->rows = 1;
    for (int d = 0; d < count; d++) {
        s->dims[d] = dims[d];
        s->rows *= dims[d];
        for (int k = 0; k < s->operands; k++)
            s->strides[k][d] = merged[k][d];
    }
    s->chunks = s->inner ? (s->inner + CHUNK - 1) / CHUNK : 0;
}

dipp_cpu_prepare DIPP_CPU_AT_LEVEL(dipp_cpu_prepare_elementwise) DIPP_CPU_HIDDEN;

dipp_status DIPP_CPU_AT_LEVEL(dipp_cpu_prepare_elementwise)(dipp_cpu_context *context, const dipp_node_view *node,
                                                            dipp_kernel *out, dipp_error *error)
{
    elementwise_state *s = dipp_cpu_state(out, sizeof *s, error);
    if (!s)
        return DIPP_E_MEMORY;
    const dipp_operand *result = &node->outputs[0];
    s->function = function_of(node->op);
    s->p = (parameters){(float)node->attributes->alpha, (float)node->attributes->beta};
    s->threads = context->threads;
    s->out_argument = node->input_count;
    s->out_type = dipp_cpu_type_of(context, result->dtype);
    s->operands = (int)node->input_count;
    int64_t strides[MAX_OPERANDS][DIPP_MAX_RANK] = {{0}};
    for (uint32_t k = 0; k < node->input_count; k++) {
        s->argument[k] = k;
        s->type[k] = dipp_cpu_type_of(context, node->inputs[k].dtype);
        broadcast_strides(&result->shape, &node->inputs[k].shape, strides[k]);
    }
    if (node->op == DIPP_OP_ACCUMULATE) {
        s->operands = 2;
        s->argument[1] = s->out_argument;
        s->type[1] = s->out_type;
        broadcast_strides(&result->shape, &result->shape, strides[1]);
    }
    if (node->op == DIPP_OP_BROADCAST && s->type[0] == DIPP_CPU_I32)
        s->type[0] = s->out_type = DIPP_CPU_F32; /* the bits are moved as they are */
    if (node->op == DIPP_OP_SCALE_ADD && s->p.alpha == 1.0f && s->p.beta == 0.0f)
        s->function = copy;
    collapse(s, &result->shape, strides);
    for (int k = 0; k < s->operands; k++)
        s->given_step[k] = s->step[k] || s->operands == 3 || (s->operands == 2 && k == 0);
    out->run = run;
    return DIPP_OK;
}
