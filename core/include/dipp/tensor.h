/* Recording tensor programs: what a plugin calls to say what is to be computed.
 *
 * Nothing here computes. An operation appends a node to the graph and returns a handle; the core later differentiates,
 * plans and replays the recording on a back-end. Shapes are logical and row-major (images are NCHW); the physical layout
 * belongs to the back-end. What changes between steps (noise keys, times, tokens, scales) must be an input.
 *
 * Errors are sticky: the first wrong operation stores its message in the graph, returns the null handle, and every later
 * operation does nothing. Model code therefore needs no checks; whoever owns the graph asks once at the end.
 *
 * Thread tag of every function here: [one thread at a time per graph].
 * Ownership: handles are plain values, valid as long as the graph lives. Strings and arrays passed in are copied. */
#ifndef DIPP_TENSOR_H
#define DIPP_TENSOR_H

#include <dipp/status.h>

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { DIPP_MAX_RANK = 6, DIPP_MAX_INPUTS = 9, DIPP_MAX_OUTPUTS = 4 };

typedef struct dipp_graph dipp_graph;

/* A value in a recording; id 0 is "none" (an absent optional input, or the result after an error). */
typedef struct dipp_tensor {
    uint32_t id;
} dipp_tensor;

#define DIPP_NONE ((dipp_tensor){0})

/* compute: bf16 or f32 by the precision of the run. wide: f32 (f64 on the oracle, where compute is f64 too). */
typedef enum dipp_dtype { DIPP_COMPUTE = 0, DIPP_WIDE = 1, DIPP_INT32 = 2 } dipp_dtype;

typedef struct dipp_shape {
    uint32_t rank; /* 0 is a scalar */
    int64_t dims[DIPP_MAX_RANK];
} dipp_shape;

/* DIPP_SHAPE(n, 3, 32, 32): a shape literal. */
#define DIPP_SHAPE(...) ((dipp_shape){(uint32_t)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), {__VA_ARGS__}})

dipp_shape dipp_shape_of(const dipp_graph *g, dipp_tensor x);
int64_t dipp_dim(const dipp_graph *g, dipp_tensor x, int axis); /* negative axes count from the end; 0 on error */
dipp_dtype dipp_dtype_of(const dipp_graph *g, dipp_tensor x);
int64_t dipp_shape_elements(const dipp_shape *shape);
bool dipp_graph_failed(const dipp_graph *g);

/* Records that the model cannot be recorded as asked (wrong width, unsupported option). Returns DIPP_NONE. */
dipp_tensor dipp_graph_fail(dipp_graph *g, const char *format, ...) DIPP_PRINTF(2, 3);

/* ---- Leaves ------------------------------------------------------------------------------------------------- */

/* A value given anew before each replay. name must be unique within the graph. */
dipp_tensor dipp_input(dipp_graph *g, const char *name, dipp_dtype dtype, dipp_shape shape);

/* Fixed numbers, [wide]; data has dipp_shape_elements(shape) entries and is copied. */
dipp_tensor dipp_constant(dipp_graph *g, dipp_shape shape, const double *data);

/* Names a result so that the owner can read or connect it. */
void dipp_output(dipp_graph *g, const char *name, dipp_tensor x);

/* ---- Blocks -------------------------------------------------------------------------------------------------- */

/* What is recorded between the two calls is a block: a layer of a network, say. Whoever owns the graph may have blocks
 * computed a second time when gradients are taken; then only the values that leave a block are kept in between, and what
 * lies inside needs memory for one block at a time. Good blocks are many, alike and joined by few values. A block within
 * a block belongs to the outer one. Marks change no value. */
void dipp_block_begin(dipp_graph *g);
void dipp_block_end(dipp_graph *g);

/* ---- Parameters: the one place where they enter a recording -------------------------------------------------- */

/* A place in a parameter set: slot and name prefix. Cheap to copy; dipp_scope() appends "prefix." */
typedef struct dipp_params {
    uint32_t slot;   /* which parameter set of this graph, 1-based; 0 is none */
    uint32_t prefix; /* interned name prefix */
} dipp_params;

typedef enum dipp_init {
    DIPP_INIT_ZEROS = 0,
    DIPP_INIT_ONES,
    DIPP_INIT_CONSTANT, /* value */
    DIPP_INIT_NORMAL,   /* standard deviation: value */
    DIPP_INIT_UNIFORM,  /* in [-value, value] */
    DIPP_INIT_XAVIER,   /* uniform, bound sqrt(6 / (fan_in + fan_out)) * (value or 1) for [out, in, ...] */
    DIPP_INIT_IDENTITY, /* rank 2: value (or 1) on the diagonal */
    DIPP_INIT_DATA      /* the numbers in data */
} dipp_init;

enum {
    DIPP_PARAM_WIDE = 1u << 0,     /* enters the recording as wide, e.g. norms' gains, small exact models */
    DIPP_PARAM_NO_DECAY = 1u << 1, /* no weight decay; implied for rank < 2 */
    DIPP_PARAM_FROZEN = 1u << 2    /* never trained */
};

typedef struct dipp_param_options {
    size_t struct_size; /* sizeof(dipp_param_options), or 0 */
    dipp_init init;
    double value;
    const double *data; /* DIPP_INIT_DATA; dipp_shape_elements(shape) numbers, copied */
    uint32_t flags;
    const char *const *aliases; /* NULL-terminated other names in published files, without the prefix; or NULL */
} dipp_param_options;

dipp_params dipp_scope(dipp_graph *g, dipp_params p, const char *format, ...) DIPP_PRINTF(3, 4);

/* Declares (first time) or refers to (later) a parameter. NULL options: zeros. */
dipp_tensor dipp_param(dipp_graph *g, dipp_params p, const char *name, dipp_shape shape,
                       const dipp_param_options *options);

typedef struct dipp_linear_options {
    size_t struct_size;
    bool no_bias;
    bool zero;        /* weight and bias start at zero */
    double gain;      /* Xavier gain; 0 means 1 */
    bool wide_output; /* result stays wide */
    const char *const
        *aliases; /* NULL-terminated other names of the layer in published files, in NAME's place; at most 4 */
} dipp_linear_options;

/* y = x W^T + b; x [..., in], parameters NAME.weight [out, in] and NAME.bias [out]; result [..., out], compute. */
dipp_tensor dipp_linear(dipp_graph *g, dipp_params p, const char *name, dipp_tensor x, int64_t out_features,
                        const dipp_linear_options *options);

/* rows of NAME.weight [entries, width] picked by ids (int32, any shape): [..., width] of the table's dtype. The aliases are
 * other names in NAME's place, as dipp_linear's. */
dipp_tensor dipp_embedding(dipp_graph *g, dipp_params p, const char *name, dipp_tensor ids, int64_t entries,
                           int64_t width, const dipp_param_options *options);

/* ---- Elementwise; shapes broadcast as in numpy; mixed dtypes promote to wide ---------------------------------- */

dipp_tensor dipp_add(dipp_graph *g, dipp_tensor a, dipp_tensor b);
dipp_tensor dipp_sub(dipp_graph *g, dipp_tensor a, dipp_tensor b);
dipp_tensor dipp_mul(dipp_graph *g, dipp_tensor a, dipp_tensor b);
dipp_tensor dipp_div(dipp_graph *g, dipp_tensor a, dipp_tensor b);
dipp_tensor dipp_minimum(dipp_graph *g, dipp_tensor a, dipp_tensor b);
dipp_tensor dipp_maximum(dipp_graph *g, dipp_tensor a, dipp_tensor b);
dipp_tensor dipp_greater(dipp_graph *g, dipp_tensor a, dipp_tensor b); /* 1 where a > b, else 0; no gradient */
dipp_tensor dipp_where(dipp_graph *g, dipp_tensor condition, dipp_tensor a, dipp_tensor b); /* condition != 0 ? a : b */

/* alpha x + beta with fixed numbers. */
dipp_tensor dipp_scale_add(dipp_graph *g, dipp_tensor x, double alpha, double beta);
dipp_tensor dipp_exp(dipp_graph *g, dipp_tensor x);
dipp_tensor dipp_log(dipp_graph *g, dipp_tensor x);
dipp_tensor dipp_sqrt(dipp_graph *g, dipp_tensor x);
dipp_tensor dipp_abs(dipp_graph *g, dipp_tensor x); /* gradient 0 at 0 */
dipp_tensor dipp_sin(dipp_graph *g, dipp_tensor x);
dipp_tensor dipp_cos(dipp_graph *g, dipp_tensor x);
dipp_tensor dipp_tanh(dipp_graph *g, dipp_tensor x);
dipp_tensor dipp_sigmoid(dipp_graph *g, dipp_tensor x);
dipp_tensor dipp_silu(dipp_graph *g, dipp_tensor x);
dipp_tensor dipp_gelu_erf(dipp_graph *g, dipp_tensor x);
dipp_tensor dipp_gelu_tanh(dipp_graph *g, dipp_tensor x);
dipp_tensor dipp_quick_gelu(dipp_graph *g, dipp_tensor x); /* x sigmoid(1.702 x) */
dipp_tensor dipp_geglu(dipp_graph *g, dipp_tensor x); /* [..., 2C] -> [..., C]: a gelu_erf(b), a is the first half */
dipp_tensor dipp_round(dipp_graph *g, dipp_tensor x); /* half to even; straight-through gradient */

typedef enum dipp_clamp_mode { DIPP_CLAMP_HARD = 0, DIPP_CLAMP_STRAIGHT_THROUGH = 1 } dipp_clamp_mode;
dipp_tensor dipp_clamp(dipp_graph *g, dipp_tensor x, double low, double high, dipp_clamp_mode mode);

/* The same value through which no gradient flows. */
dipp_tensor dipp_stop_gradient(dipp_graph *g, dipp_tensor x);
dipp_tensor dipp_cast(dipp_graph *g, dipp_tensor x, dipp_dtype dtype);

/* ---- Shape ---------------------------------------------------------------------------------------------------- */

dipp_tensor dipp_reshape(dipp_graph *g, dipp_tensor x, dipp_shape shape);                   /* one dim may be -1 */
dipp_tensor dipp_permute(dipp_graph *g, dipp_tensor x, const int *axes);                    /* rank entries */
dipp_tensor dipp_concat(dipp_graph *g, const dipp_tensor *parts, uint32_t count, int axis); /* count <= 9 */
dipp_tensor dipp_slice(dipp_graph *g, dipp_tensor x, int axis, int64_t start, int64_t length);
dipp_tensor dipp_pad(dipp_graph *g, dipp_tensor x, int axis, int64_t before, int64_t after); /* with zeros */
dipp_tensor dipp_broadcast_to(dipp_graph *g, dipp_tensor x, dipp_shape shape);

/* ---- Reductions; result wide; axes_mask has bit k set for axis k; kept dims have size 1 when keep ------------- */

dipp_tensor dipp_sum(dipp_graph *g, dipp_tensor x, uint32_t axes_mask, bool keep);
dipp_tensor dipp_mean(dipp_graph *g, dipp_tensor x, uint32_t axes_mask, bool keep);
/* Over all axes but the first: [N, ...] -> [N]. */
dipp_tensor dipp_sum_per_sample(dipp_graph *g, dipp_tensor x);
dipp_tensor dipp_mean_per_sample(dipp_graph *g, dipp_tensor x);

/* [N] -> [N, 1, ..., 1] of the rank of like: a number per sample, ready to broadcast. */
dipp_tensor dipp_per_sample(dipp_graph *g, dipp_tensor numbers, dipp_tensor like);

/* ---- Linear algebra ------------------------------------------------------------------------------------------- */

typedef struct dipp_matmul_options {
    size_t struct_size;
    bool transpose_a; /* a is stored [..., K, M] */
    bool transpose_b; /* b is stored [..., N, K] */
    bool wide_output; /* compute inputs, wide result; wide inputs always give a wide result */
} dipp_matmul_options;

/* [..., M, K] x [..., K, N] -> [..., M, N]. Leading dims equal, or b of rank 2 shared by all. */
dipp_tensor dipp_matmul(dipp_graph *g, dipp_tensor a, dipp_tensor b, const dipp_matmul_options *options);

/* Inverse of small square matrices [..., d, d], d <= 16, wide. A singular matrix gives non-finite entries. */
dipp_tensor dipp_inverse(dipp_graph *g, dipp_tensor x);

dipp_tensor dipp_softmax(dipp_graph *g, dipp_tensor x); /* over the last axis; result has the dtype of x */

/* ---- Fused blocks --------------------------------------------------------------------------------------------- */

typedef struct dipp_attention_options {
    size_t struct_size;
    uint32_t heads;       /* divides the width of q */
    double scale;         /* 0 means 1/sqrt(head dim) */
    dipp_tensor key_bias; /* [B, M] wide, added to the logits of each key, or none; gets no gradient */
    bool causal;
} dipp_attention_options;

/* softmax(q k^T scale + bias) v per head. q [B, N, C], k and v [B, M, C] -> [B, N, C], compute. */
dipp_tensor dipp_attention(dipp_graph *g, dipp_tensor q, dipp_tensor k, dipp_tensor v,
                           const dipp_attention_options *options);

typedef struct dipp_layer_norm_options {
    size_t struct_size;
    double epsilon;     /* 0 means 1e-5 */
    dipp_tensor gain;   /* none, [C], or [B, C] for x [B, ..., C] */
    dipp_tensor bias;   /* none, or of gain's shape; a bias needs a gain */
    bool gain_plus_one; /* y = normalised * (1 + gain) + bias, as adaLN writes it */
} dipp_layer_norm_options;

/* Over the last axis; statistics wide; x of either dtype, result compute. */
dipp_tensor dipp_layer_norm(dipp_graph *g, dipp_tensor x, const dipp_layer_norm_options *options);

/* x + gate * h with gate [B, C] shared by all tokens of a sample; x, h [B, ..., C]; result has the dtype of x. */
dipp_tensor dipp_gated_add(dipp_graph *g, dipp_tensor x, dipp_tensor gate, dipp_tensor h);

/* t [N] wide -> [N, width] wide: cos then sin (or sin then cos) of t * max_period^(-i/(width/2)), i = 0..width/2-1. */
dipp_tensor dipp_sinusoid(dipp_graph *g, dipp_tensor t, int64_t width, double max_period, bool sin_first);

/* ---- Pictures [N, C, H, W] ------------------------------------------------------------------------------------- */

enum { DIPP_PAD_SAME = -1 };

typedef struct dipp_conv2d_options {
    size_t struct_size;
    int64_t stride; /* 0 means 1 */
    /* Rows (and columns) of zeros before and after; 0 and 0 is no padding. DIPP_PAD_SAME in pad_before is kernel/2 on
     * both sides, which keeps the size at stride 1 when the kernel is odd; pad_after must be 0 then. */
    int64_t pad_before, pad_after;
    bool no_bias;
    bool zero;                  /* weight and bias start at zero */
    double gain;                /* Xavier gain; 0 means 1 */
    bool wide_output;           /* result stays wide */
    const char *const *aliases; /* as dipp_linear's */
} dipp_conv2d_options;

/* Cross-correlation, as every framework's convolution: x [N, C, H, W] with NAME.weight [O, C, kernel, kernel] and NAME.bias
 * [O] gives [N, O, H', W'], compute, with H' = (H + pad_before + pad_after - kernel) / stride + 1 rounded down. */
dipp_tensor dipp_conv2d(dipp_graph *g, dipp_params p, const char *name, dipp_tensor x, int64_t out_channels,
                        int64_t kernel, const dipp_conv2d_options *options);

typedef struct dipp_group_norm_options {
    size_t struct_size;
    uint32_t groups;  /* 0 means 32; divides C */
    double epsilon;   /* 0 means 1e-5 */
    dipp_tensor gain; /* none or [C] */
    dipp_tensor bias; /* none or [C]; a bias needs a gain */
    bool silu;        /* y = SiLU(normalised * gain + bias) */
} dipp_group_norm_options;

/* Over C/groups neighbouring channels and all that follows them, per sample. x [N, C, ...] of either dtype, statistics wide,
 * result compute. */
dipp_tensor dipp_group_norm(dipp_graph *g, dipp_tensor x, const dipp_group_norm_options *options);

/* [N, C, H, W] -> [N, C, factor H, factor W]: every pixel becomes factor x factor equal ones. */
dipp_tensor dipp_upsample_nearest(dipp_graph *g, dipp_tensor x, int64_t factor);

/* ---- Random numbers ------------------------------------------------------------------------------------------- */

/* key: int32 [6] input = {seed low, seed high, stream, step, first sample, 0}. Row n of the result [N, ...] is the normal
 * (uniform) block of sample first+n, bit-identical on every back-end (core/base/philox_math.h). Result wide. */
dipp_tensor dipp_philox_normal(dipp_graph *g, dipp_tensor key, dipp_shape shape);
dipp_tensor dipp_philox_uniform(dipp_graph *g, dipp_tensor key, dipp_shape shape);

#ifdef __cplusplus
}
#endif
#endif
