/* The op table: every kind of node a recording can hold, and exactly what a back-end must compute for it.
 *
 * Notation: rows are the product of leading dims. All tensors are dense and row-major (logical NCHW). "in"/"out" list the
 * node's inputs and outputs; [x] after a name marks an optional input that may be absent (value id 0). Dtypes: c compute,
 * w wide, i int32, f either (c or w). Elementwise ops get inputs of one dtype: the recorder casts.
 * An op without a row in tests/tensor does not exist (design section 2). */
#ifndef DIPP_TENSOR_OP_H
#define DIPP_TENSOR_OP_H

#include <dipp/tensor.h>

/* DIPP_OP(ENUM, "name", number of outputs) */
#define DIPP_OP_TABLE(DIPP_OP)                                                                                         \
    /* leaves and views: no kernel */                                                                                  \
    DIPP_OP(LEAF, "leaf", 1)       /* input, constant, parameter, gradient, optimizer state */                         \
    DIPP_OP(RESHAPE, "reshape", 1) /* in x:f/i; out the same storage under another shape (also stop_gradient) */       \
    /* copies and shape */                                                                                             \
    DIPP_OP(CAST, "cast", 1)              /* in x:f/i; out f: round to nearest even */                                 \
    DIPP_OP(PERMUTE, "permute", 1)        /* out.dims[k] = in.dims[permutation[k]] */                                  \
    DIPP_OP(CONCAT, "concat", 1)          /* in 1..9 parts; along axis */                                              \
    DIPP_OP(SLICE, "slice", 1)            /* along axis from start, length out.dims[axis] */                           \
    DIPP_OP(PAD, "pad", 1)                /* zeros; in sits at start along axis of out */                              \
    DIPP_OP(BROADCAST, "broadcast_to", 1) /* in dims equal out's or 1, ranks aligned right */                          \
    /* elementwise, two inputs of one dtype, broadcast right-aligned */                                                \
    DIPP_OP(ADD, "add", 1)                                                                                             \
    DIPP_OP(SUB, "sub", 1)                                                                                             \
    DIPP_OP(MUL, "mul", 1)                                                                                             \
    DIPP_OP(DIV, "div", 1)                                                                                             \
    DIPP_OP(MINIMUM, "minimum", 1)                                                                                     \
    DIPP_OP(MAXIMUM, "maximum", 1)                                                                                     \
    DIPP_OP(GREATER, "greater", 1) /* a > b ? 1 : 0 */                                                                 \
    DIPP_OP(WHERE, "where", 1)     /* in condition, a, b, broadcast; condition != 0 ? a : b */                         \
    /* elementwise, one input */                                                                                       \
    DIPP_OP(SCALE_ADD, "scale_add", 1) /* alpha x + beta */                                                            \
    DIPP_OP(EXP, "exp", 1)                                                                                             \
    DIPP_OP(LOG, "log", 1)                                                                                             \
    DIPP_OP(SQRT, "sqrt", 1)                                                                                           \
    DIPP_OP(ABS, "abs", 1)                                                                                             \
    DIPP_OP(SIGN, "sign", 1)                                                                                           \
    DIPP_OP(SIN, "sin", 1)                                                                                             \
    DIPP_OP(COS, "cos", 1)                                                                                             \
    DIPP_OP(TANH, "tanh", 1)                                                                                           \
    DIPP_OP(SIGMOID, "sigmoid", 1)                                                                                     \
    DIPP_OP(SILU, "silu", 1)                                                                                           \
    DIPP_OP(GELU_ERF, "gelu_erf", 1)                                                                                   \
    DIPP_OP(GELU_TANH, "gelu_tanh", 1)                                                                                 \
    DIPP_OP(QUICK_GELU, "quick_gelu", 1)                                                                               \
    DIPP_OP(ROUND, "round", 1)                                                                                         \
    DIPP_OP(CLAMP, "clamp", 1) /* to [alpha, beta] */                                                                  \
    /* activation backward: in x, dy of one dtype; out dx = dy f'(x) */                                                \
    DIPP_OP(SILU_BACKWARD, "silu_backward", 1)                                                                         \
    DIPP_OP(GELU_ERF_BACKWARD, "gelu_erf_backward", 1)                                                                 \
    DIPP_OP(GELU_TANH_BACKWARD, "gelu_tanh_backward", 1)                                                               \
    DIPP_OP(QUICK_GELU_BACKWARD, "quick_gelu_backward", 1)                                                             \
    /* gated GELU; the last axis of x is a, then b, of equal length */                                                 \
    DIPP_OP(GEGLU, "geglu", 1)                   /* in x:f [..., 2C]; out [..., C] = a gelu_erf(b) */                  \
    DIPP_OP(GEGLU_BACKWARD, "geglu_backward", 1) /* in x, dy of one dtype; out dx */                                   \
    /* reductions */                                                                                                   \
    DIPP_OP(SUM, "sum", 1) /* in x:f; out w: over axes_mask; out's shape has those dims removed or 1 */                \
    /* linear algebra. accumulate: out += result (out is then a parameter gradient) */                                 \
    DIPP_OP(MATMUL, "matmul",                                                                                          \
            1) /* in a, b of one dtype; out c or w; transpose_a, transpose_b on the last two axes;   \
                                    leading dims equal, or b of rank 2 (then a's leading dims fold into rows) */                 \
    DIPP_OP(LINEAR, "linear", 1) /* in x [..., I], w [O, I], bias[x] [O]:f; out [..., O] = x w^T + bias */             \
    DIPP_OP(LINEAR_BACKWARD_WEIGHT, "linear_backward_weight",                                                          \
            1)                                       /* in x [..., I], dy [..., O]; out w [O, I] = dy^T x  \
                                                                    over all rows; accumulate */           \
    DIPP_OP(INVERSE, "inverse", 1)                   /* in w [..., d, d], d <= 16; partial pivoting */                 \
    DIPP_OP(SOFTMAX, "softmax", 1)                   /* last axis; statistics wide */                                  \
    DIPP_OP(SOFTMAX_BACKWARD, "softmax_backward", 1) /* in y, dy; out y (dy - sum(y dy)) */                            \
    /* fused blocks */                                                                                                 \
    DIPP_OP(ATTENTION, "attention",                                                                                    \
            2) /* in q [B,N,C], k [B,M,C], v [B,M,C], key_bias[x] w [B,M]; heads, alpha =      \
                                          scale, causal; out o [B,N,C]:c, logsumexp w [B,heads,N] */                       \
    DIPP_OP(ATTENTION_BACKWARD, "attention_backward",                                                                  \
            3) /* in q, k, v, key_bias[x], o, logsumexp, do; out dq, dk, dv  \
                                                            :c */                                         \
    DIPP_OP(LAYER_NORM, "layer_norm",                                                                                  \
            2) /* in x:f [B,...,C], gain[x], bias[x] ([C] or [B,C]):f; alpha = epsilon,      \
                                            plus_one; out y:c, stats w [rows, 2] = mean, 1/sqrt(var + epsilon) */                         \
    DIPP_OP(LAYER_NORM_BACKWARD, "layer_norm_backward",                                                                \
            3)                         /* in x, gain[x], stats, dy:c; out dx (dtype of x), dgain w,\
                                                              dbias w (shape of gain; unused without gain) */                   \
    DIPP_OP(GATED_ADD, "gated_add", 1) /* in x:f [B,...,C], gate [B,C]:f, h:f; out dtype of x = x + gate h */          \
    DIPP_OP(GATED_ADD_BACKWARD, "gated_add_backward",                                                                  \
            2)                         /* in gate, h, dy:f; out dh (dtype of h) = gate dy,           \
                                                            dgate w [B,C] = sum over tokens of h dy */                 \
    DIPP_OP(EMBEDDING, "embedding", 1) /* in table [V,C]:f, ids i [...]; out [...,C] of table's dtype;  \
                                                            an id outside [0,V) reads as row 0 */              \
    DIPP_OP(EMBEDDING_BACKWARD, "embedding_backward",                                                                  \
            1)                       /* in ids, dy; out w [V,C]; fixed order of sums; accumulate */                    \
    DIPP_OP(SINUSOID, "sinusoid", 1) /* in t w [N]; out w [N, width]; alpha = max period, sin_first */                 \
    /* pictures [N,C,H,W]; see below */                                                                                \
    DIPP_OP(CONV2D, "conv2d", 1)                                 /* in x:c, w:c, bias[x]:c; out y:f */                 \
    DIPP_OP(CONV2D_BACKWARD_DATA, "conv2d_backward_data", 1)     /* in w:c, dy:c; out dx:c */                          \
    DIPP_OP(CONV2D_BACKWARD_WEIGHT, "conv2d_backward_weight", 2) /* in x:c, dy:c; out dw w, dbias[x] w; accumulate */  \
    DIPP_OP(GROUP_NORM, "group_norm", 2)                         /* in x:f, gain[x], bias[x]:f; out y:c, stats w */    \
    DIPP_OP(GROUP_NORM_BACKWARD, "group_norm_backward",                                                                \
            3) /* in x, gain[x], bias[x], stats, dy:c; out dx (dtype of x),\
                                                              dgain w, dbias w */                                           \
    /* random numbers */                                                                                               \
    DIPP_OP(PHILOX_NORMAL, "philox_normal", 1)   /* in key i [6]; out w [N,...]: core/base/philox_math.h */            \
    DIPP_OP(PHILOX_UNIFORM, "philox_uniform", 1) /* the same, in (0,1) */                                              \
    /* training state: these write to their leaf inputs in place, over elements [start, start+count) of a block */     \
    DIPP_OP(ACCUMULATE, "accumulate", 1) /* in x:f; out w (a parameter gradient) += x */                               \
    DIPP_OP(GRAD_NORM, "grad_norm", 1) /* in gradient block w [P]; out w [2] = l2 norm, 1 when finite else 0; fixed  \
                                            order, summed in double */ \
    DIPP_OP(OPTIMIZER_STEP, "optimizer_step",                                                                          \
            0) /* in grad_norm [2], scalars w [DIPP_OPT_SCALARS], weights, gradient, \
                                   m, v, ema[x], compute copy[x] (c; absent when compute is wide), key[x] i [6];       \
                                   attributes start, count, decay, optimizer, state; see below */

typedef enum dipp_op {
#define DIPP_OP_ENUM(upper, name, outputs) DIPP_OP_##upper,
    DIPP_OP_TABLE(DIPP_OP_ENUM)
#undef DIPP_OP_ENUM
        DIPP_OP_COUNT
} dipp_op;

/* CONV2D: x [N,C,H,W], w [O,C,k,k], bias [O], y [N,O,H',W']; stride, pad_before, pad_after (zeros) go for both axes:
 *   y[n,o,i,j] = bias[o] + sum over c,p,q of w[o,c,p,q] x[n, c, i stride + p - pad_before, j stride + q - pad_before]
 *   H' = (H + pad_before + pad_after - k) / stride + 1, rounded down; pads are below k.
 * CONV2D_BACKWARD_WEIGHT: dw accumulates; dbias [O], the sum of dy over samples and places, is always written.
 * GROUP_NORM: x [N,C,...] in `groups` groups of neighbouring channels, gain and bias [C], alpha = epsilon:
 *   u = (x - mean) r gain + bias;  y = silu ? u sigmoid(u) : u;  stats [N,groups,2] = mean, r = 1/sqrt(var + epsilon).
 * GROUP_NORM_BACKWARD: bias is read when silu alone; dgain and dbias [C] mean nothing without a gain. */

/* OPTIMIZER_STEP, per element (g is the accumulated gradient):
 *   norm, ok  = in[0];  when ok == 0 nothing changes but the gradient, which is zeroed.
 *   scale     = grad_scale * (clip > 0 && norm * grad_scale > clip ? clip / (norm * grad_scale) : 1)
 *   g'        = scale * g;  then the gradient is zeroed.
 *   adamw:      m = beta1 m + (1 - beta1) g';  v = beta2 v + (1 - beta2) g'^2
 *               p = p - lr * ( (m * correction1) / (sqrt(v * correction2) + epsilon) + (decay ? weight_decay * p : 0) )
 *   sgd:        p = p - lr * (g' + (decay ? weight_decay * p : 0));  m and v are not touched
 *   ema       = ema + (1 - ema_decay) * (p - ema);  compute copy = p rounded to compute.
 * The weights are w, or c: then they hold bf16 numbers on every back-end (also where compute is wider), p is rounded to
 * bf16 at random, ema sees the rounded p, and there is no compute copy. attributes.state says how m and v are stored:
 * F32 is w; BF16 and 8BIT are i, packed as tensor/state_format.h says, and start is a multiple of 256 then. p is computed
 * from the new m and v before they are rounded: bf16 at random, codes to the nearest after a new scale for each 256
 * elements, of those in [start, start + count). key is there when anything is rounded at random: {seed low, seed high,
 * stream, update, -, -}; equal keys give equal bits on every back-end. */
typedef enum dipp_state_format { DIPP_STATE_F32 = 0, DIPP_STATE_BF16, DIPP_STATE_8BIT } dipp_state_format;
enum {
    DIPP_OPT_LR = 0,
    DIPP_OPT_BETA1,
    DIPP_OPT_BETA2,
    DIPP_OPT_EPSILON,
    DIPP_OPT_WEIGHT_DECAY,
    DIPP_OPT_CORRECTION1, /* 1 / (1 - beta1^n) */
    DIPP_OPT_CORRECTION2, /* 1 / (1 - beta2^n) */
    DIPP_OPT_CLIP,        /* 0 is off */
    DIPP_OPT_GRAD_SCALE,  /* 1 / number of accumulated micro-batches, when the loss does not hold it already */
    DIPP_OPT_EMA_DECAY,
    DIPP_OPT_SCALARS = 16
};
enum { DIPP_OPTIMIZER_ADAMW = 0, DIPP_OPTIMIZER_SGD = 1 };

/* What a node knows besides its inputs. Only the fields its row in the table names are meaningful. */
typedef struct dipp_attributes {
    double alpha, beta;
    int64_t start, count;
    int32_t axis;
    uint32_t axes_mask;
    uint32_t heads, groups;
    int64_t stride, pad_before, pad_after;
    uint8_t permutation[DIPP_MAX_RANK];
    bool transpose_a, transpose_b;
    bool accumulate; /* the output is added to, not written; only ops whose row says so */
    bool causal, plus_one, sin_first, decay, silu;
    uint8_t optimizer, state; /* state: dipp_state_format */
    bool stop;                /* RESHAPE: no gradient passes */
    bool straight_through;
} dipp_attributes;

typedef struct dipp_op_info {
    const char *name;
    uint32_t outputs;
} dipp_op_info;

extern const dipp_op_info dipp_op_infos[DIPP_OP_COUNT];

#endif
