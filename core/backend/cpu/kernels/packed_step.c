/* The optimizer's step with weights in bf16 or moments in bf16 or 8 bits (tensor/state_format.h). A piece is unpacked into
 * the first-level cache, updated and packed again: each block crosses the memory bus once in each direction. */
#include "backend/cpu/kernels/optimizer.h"
#include "tensor/state_format.h"

#include <math.h>

enum { PIECE = 1024, LANES = DIPP_STATE_BLOCK / 8 };

typedef struct packed_state {
    step_state step;
    dipp_state_format format;
    bool random_weights; /* bf16 numbers, rounded at random */
    dipp_cpu_type weight_type;
    int64_t elements;                  /* of the whole block: where its scales begin */
    float values[2][DIPP_STATE_BLOCK]; /* of the codes, signed and unsigned */
} packed_state;

/* Sixteen bits each for elements [first, first + n), first a multiple of 8; out has room for whole DIPP_STATE_BLOCKs. */
static void random_halves(const uint32_t *key, uint32_t part, int64_t first, int64_t n, uint32_t *out)
{
    for (int64_t at = 0; at < n; at += DIPP_STATE_BLOCK) {
        uint32_t words[4][LANES], block = (uint32_t)((first + at) / 8);
        SIMD for (uint32_t i = 0; i < LANES; i++) dipp_philox_block(
            key[0], key[1], block + i, part, key[3], key[2], &words[0][i], &words[1][i], &words[2][i], &words[3][i]);
        for (int i = 0; i < LANES; i++)
            for (int w = 0; w < 4; w++) {
                out[at + 8 * i + 2 * w] = words[w][i] & 0xffffu;
                out[at + 8 * i + 2 * w + 1] = words[w][i] >> 16;
            }
    }
}

/* ---- moments ---- */

static float *scales_of(const packed_state *s, void *words, int64_t offset)
{
    return (float *)words + s->elements / 4 + offset / DIPP_STATE_BLOCK;
}

static float *load_moment(const packed_state *s, void *words, bool second, int64_t offset, int64_t n, float *buffer)
{
    if (s->format == DIPP_STATE_F32)
        return (float *)words + offset;
    if (s->format == DIPP_STATE_BF16) {
        widen((const uint16_t *)words + offset, buffer, n);
        return buffer;
    }
    const uint8_t *codes = (const uint8_t *)words + offset;
    const float *scales = scales_of(s, words, offset), *values = s->values[second];
    for (int64_t at = 0; at < n; at += DIPP_STATE_BLOCK) {
        int64_t end = n - at < DIPP_STATE_BLOCK ? n : at + DIPP_STATE_BLOCK;
        float scale = scales[at / DIPP_STATE_BLOCK];
        SIMD for (int64_t i = at; i < end; i++) buffer[i] = values[codes[i]] * scale;
    }
    return buffer;
}

static void store_codes(const float *x, bool second, int64_t n, uint8_t *codes, float *scale)
{
    float largest = 0.0f;
    _Pragma("omp simd reduction(max : largest)") for (int64_t i = 0; i < n; i++)
    {
        float size = fabsf(x[i]);
        largest = size > largest ? size : largest;
    }
    *scale = largest;
    float by = largest > 0.0f ? largest : 1.0f;
    /* NOLINTNEXTLINE(bugprone-branch-clone): the codes differ; the check does not look into the loops */
    if (second) {
        SIMD for (int64_t i = 0; i < n; i++) codes[i] = (uint8_t)dipp_unsigned_code(x[i] / by, x[i]);
    } else {
        SIMD for (int64_t i = 0; i < n; i++) codes[i] = (uint8_t)dipp_signed_code(x[i] / by);
    }
}

static void store_moment(const packed_state *s, void *words, bool second, int64_t offset, int64_t n, const float *x,
                         const uint32_t *key)
{
    if (s->format == DIPP_STATE_BF16) {
        uint32_t random[PIECE];
        uint16_t *out = (uint16_t *)words + offset;
        random_halves(key, second ? DIPP_ROUND_MOMENT2 : DIPP_ROUND_MOMENT1, offset, n, random);
        SIMD for (int64_t i = 0; i < n; i++) out[i] = (uint16_t)dipp_bf16_at_random(x[i], random[i]);
    } else if (s->format == DIPP_STATE_8BIT) {
        uint8_t *codes = (uint8_t *)words + offset;
        float *scales = scales_of(s, words, offset);
        for (int64_t at = 0; at < n; at += DIPP_STATE_BLOCK)
            store_codes(x + at, second, n - at < DIPP_STATE_BLOCK ? n - at : DIPP_STATE_BLOCK, codes + at,
                        scales + at / DIPP_STATE_BLOCK);
    }
}

/* ---- the step ---- */

/* p becomes what the weights hold of it. */
static void store_weights(const packed_state *s, void *const *args, int64_t offset, int64_t n, float *p)
{
    uint32_t random[PIECE];
    random_halves(args[KEY], DIPP_ROUND_WEIGHT, offset, n, random);
    SIMD for (int64_t i = 0; i < n; i++) p[i] = float_of_bits(dipp_bf16_at_random(p[i], random[i]) << 16);
    if (s->weight_type == DIPP_CPU_BF16) { /* exact: they are bf16 numbers */
        uint16_t *out = (uint16_t *)args[WEIGHTS] + offset;
        SIMD for (int64_t i = 0; i < n; i++) out[i] = (uint16_t)(bits_of_float(p[i]) >> 16);
    }
}

static void step_piece(const packed_state *s, const step_numbers *numbers, void *const *args, int64_t offset, int64_t n)
{
    const step_numbers k = *numbers;
    float p_buffer[PIECE], m_buffer[PIECE], v_buffer[PIECE], *g = (float *)args[GRADIENT] + offset;
    float *p = row_target(args[WEIGHTS], s->weight_type, offset, p_buffer);
    if (p == p_buffer)
        widen((const uint16_t *)args[WEIGHTS] + offset, p, n);
    if (s->step.adamw) {
        float *m = load_moment(s, args[FIRST], false, offset, n, m_buffer);
        float *v = load_moment(s, args[SECOND], true, offset, n, v_buffer);
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
        store_moment(s, args[FIRST], false, offset, n, m, args[KEY]);
        store_moment(s, args[SECOND], true, offset, n, v, args[KEY]);
    } else {
        SIMD for (int64_t i = 0; i < n; i++)
        {
            p[i] = p[i] - k.lr * (k.scale * g[i] + k.decay * p[i]);
            g[i] = 0.0f;
        }
    }
    if (s->random_weights)
        store_weights(s, args, offset, n, p);
    if (args[EMA]) {
        float *ema = (float *)args[EMA] + offset;
        SIMD for (int64_t i = 0; i < n; i++) ema[i] += k.ema_rest * (p[i] - ema[i]);
    }
    if (args[COPY] && s->step.copy_type == DIPP_CPU_BF16)
        narrow(p, (uint16_t *)args[COPY] + offset, n);
    else if (args[COPY])
        memcpy((float *)args[COPY] + offset, p, (size_t)n * sizeof *p);
}

static void step_blocks(const void *state, void *const *args, int thread, int64_t begin, int64_t end)
{
    const packed_state *s = state;
    const float *norm = args[NORM];
    const step_numbers numbers = read_numbers(&s->step, norm, args[SCALARS]);
    const int64_t first = begin * DIPP_CPU_STEP_BLOCK, count = s->step.count;
    const int64_t last = end * DIPP_CPU_STEP_BLOCK < count ? end * DIPP_CPU_STEP_BLOCK : count;
    for (int64_t at = first; at < last; at += PIECE) {
        int64_t offset = s->step.start + at, n = last - at < PIECE ? last - at : PIECE;
        if (norm[1] == 0.0f)
            memset((float *)args[GRADIENT] + offset, 0, (size_t)n * sizeof(float));
        else
            step_piece(s, &numbers, args, offset, n);
    }
}

static void run_packed_step(void *state, void *const *args)
{
    const packed_state *s = state;
    dipp_cpu_parallel(s->step.threads, (s->step.count + DIPP_CPU_STEP_BLOCK - 1) / DIPP_CPU_STEP_BLOCK, s->step.count,
                      step_blocks, s, args);
}

dipp_status DIPP_CPU_AT_LEVEL(dipp_cpu_prepare_packed_step)(dipp_cpu_context *context, const dipp_node_view *node,
                                                            dipp_kernel *out, dipp_error *error)
{
    packed_state *s = dipp_cpu_state(out, sizeof *s, error);
    if (!s)
        return DIPP_E_MEMORY;
    s->step = step_state_of(context, node);
    s->format = (dipp_state_format)node->attributes->state;
    s->random_weights = node->inputs[WEIGHTS].dtype != DIPP_WIDE;
    s->weight_type = dipp_cpu_type_of(context, node->inputs[WEIGHTS].dtype);
    s->elements = dipp_cpu_elements(&node->inputs[GRADIENT].shape);
    for (uint32_t code = 0; code < DIPP_STATE_BLOCK; code++) {
        s->values[0][code] = dipp_code_value(true, code);
        s->values[1][code] = dipp_code_value(false, code);
    }
    out->run = run_packed_step;
    return DIPP_OK;
}
