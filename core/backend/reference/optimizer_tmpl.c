/* Training state: gradient accumulation, the gradient norm, and the optimizer step of tensor/op.h. */
#include "tensor/state_format.h"

static void accumulate(const reference_node *node, void *const *args)
{
    int64_t elements = reference_elements(&node->view.inputs[0].shape);
    const real *x = args[0];
    real *out = args[1];
    for (int64_t i = 0; i < elements; i++)
        out[i] = (real)((double)out[i] + x[i]);
}

static void grad_norm(const reference_node *node, void *const *args)
{
    int64_t elements = reference_elements(&node->view.inputs[0].shape);
    const real *gradient = args[0];
    real *out = args[1];
    double total = 0;
    for (int64_t i = 0; i < elements; i++)
        total += (double)gradient[i] * gradient[i];
    out[0] = (real)sqrt(total);
    out[1] = isfinite(out[0]) ? 1 : 0;
}

/* ---- Moments in the format of a step, DIPP_STATE_BLOCK elements at a time ---- */

/* The element at `first` of a packed block of `elements` and what rounds it; see tensor/state_format.h. */
typedef struct moment {
    void *words;
    int format;
    bool is_signed;
    int64_t elements;
    const uint32_t *key;
    float values[DIPP_STATE_BLOCK]; /* of the codes */
} moment;

static moment moment_of(const reference_node *node, void *words, bool is_signed, const uint32_t *key)
{
    moment s = {.words = words, .format = node->attributes.state, .is_signed = is_signed, .key = key};
    s.elements = reference_elements(&node->view.inputs[3].shape);
    for (uint32_t code = 0; code < DIPP_STATE_BLOCK; code++)
        s.values[code] = dipp_code_value(is_signed, code);
    return s;
}

static float *scale_of(const moment *s, int64_t first)
{
    return (float *)s->words + s->elements / 4 + first / DIPP_STATE_BLOCK;
}

static void load_moments(const moment *s, int64_t first, int64_t n, double *out)
{
    for (int64_t i = 0; i < n; i++)
        if (s->format == DIPP_STATE_F32)
            out[i] = ((const real *)s->words)[first + i];
        else if (s->format == DIPP_STATE_BF16)
            out[i] = dipp_float_of_bits((uint32_t)((const uint16_t *)s->words)[first + i] << 16);
        else
            out[i] = (double)s->values[((const uint8_t *)s->words)[first + i]] * *scale_of(s, first);
}

/* Sixteen bits for element e. */
static uint32_t random_half(const uint32_t *key, uint32_t part, int64_t e)
{
    uint32_t words[4];
    dipp_rounding_words(key, part, e, words);
    return words[e % 8 / 2] >> (16 * (e % 2)) & 0xffffu;
}

/* The code whose value is nearest, by looking at all. */
static uint8_t nearest_code(const moment *s, double u)
{
    int best = 0;
    for (int code = 1; code < DIPP_STATE_BLOCK; code++)
        if (fabs(s->values[code] - u) < fabs(s->values[best] - u))
            best = code;
    return (uint8_t)(!s->is_signed && u > 0 && best == 0 ? 1 : best);
}

static void store_moments(const moment *s, int64_t first, int64_t n, const double *values)
{
    double largest = 0;
    for (int64_t i = 0; i < n; i++)
        largest = fmax(largest, fabs(values[i]));
    float scale = (float)largest;
    if (s->format == DIPP_STATE_8BIT)
        *scale_of(s, first) = scale;
    for (int64_t i = 0; i < n; i++)
        if (s->format == DIPP_STATE_F32)
            ((real *)s->words)[first + i] = (real)values[i];
        else if (s->format == DIPP_STATE_BF16)
            ((uint16_t *)s->words)[first + i] = (uint16_t)dipp_bf16_at_random(
                (float)values[i],
                random_half(s->key, s->is_signed ? DIPP_ROUND_MOMENT1 : DIPP_ROUND_MOMENT2, first + i));
        else
            ((uint8_t *)s->words)[first + i] = nearest_code(s, scale > 0 ? values[i] / scale : 0);
}

/* p as the weights hold it. */
static real stored_weight(const reference_node *node, const uint32_t *key, int64_t i, double p)
{
    if (node->view.inputs[2].dtype == DIPP_WIDE)
        return (real)p;
    uint32_t bits = dipp_bf16_at_random((float)p, random_half(key, DIPP_ROUND_WEIGHT, i));
    return (real)dipp_float_of_bits(bits << 16);
}

static void optimizer_step(const reference_node *node, void *const *args)
{
    const real *norm_ok = args[0], *scalars = args[1];
    real *weights = args[2], *gradient = args[3], *ema = args[6], *copy = args[7];
    const uint32_t *key = args[8];
    const double lr = scalars[DIPP_OPT_LR], beta1 = scalars[DIPP_OPT_BETA1], beta2 = scalars[DIPP_OPT_BETA2];
    const double clip = scalars[DIPP_OPT_CLIP], scaled_norm = norm_ok[0] * (double)scalars[DIPP_OPT_GRAD_SCALE];
    const double decay = node->attributes.decay ? scalars[DIPP_OPT_WEIGHT_DECAY] : 0;
    const double scale = scalars[DIPP_OPT_GRAD_SCALE] * (clip > 0 && scaled_norm > clip ? clip / scaled_norm : 1);
    const moment first = moment_of(node, args[4], true, key), second = moment_of(node, args[5], false, key);
    const bool adamw = node->attributes.optimizer == DIPP_OPTIMIZER_ADAMW;
    const int64_t end = node->attributes.start + node->attributes.count;
    for (int64_t at = node->attributes.start; at < end; at += DIPP_STATE_BLOCK) {
        int64_t n = end - at < DIPP_STATE_BLOCK ? end - at : DIPP_STATE_BLOCK;
        double m[DIPP_STATE_BLOCK] = {0}, v[DIPP_STATE_BLOCK] = {0};
        if (norm_ok[1] != 0 && adamw) {
            load_moments(&first, at, n, m);
            load_moments(&second, at, n, v);
        }
        for (int64_t i = 0; i < n; i++) {
            double g = scale * gradient[at + i], p = weights[at + i];
            gradient[at + i] = 0;
            if (norm_ok[1] == 0)
                continue;
            if (adamw) {
                m[i] = beta1 * m[i] + (1 - beta1) * g;
                v[i] = beta2 * v[i] + (1 - beta2) * g * g;
                g = m[i] * scalars[DIPP_OPT_CORRECTION1] /
                    (sqrt(v[i] * scalars[DIPP_OPT_CORRECTION2]) + scalars[DIPP_OPT_EPSILON]);
            }
            p -= lr * (g + decay * p);
            weights[at + i] = stored_weight(node, key, at + i, p);
            if (node->view.inputs[2].dtype != DIPP_WIDE)
                p = weights[at + i];
            if (ema)
                ema[at + i] = (real)(ema[at + i] + (1 - scalars[DIPP_OPT_EMA_DECAY]) * (p - ema[at + i]));
            if (copy)
                copy[at + i] = (real)p;
        }
        if (norm_ok[1] != 0 && adamw) {
            store_moments(&first, at, n, m);
            store_moments(&second, at, n, v);
        }
    }
}
