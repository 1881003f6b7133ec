/* The encoder of T5 (Raffel et al. 2020, arXiv 1910.10683) in both of its published forms: 1.1, whose feed-forward layers are
 * gated, and the first, whose are not. Tensor names are those of transformers' T5EncoderModel.
 *
 * Shapes: N samples, L tokens, C = width, H heads of D = head_width, B buckets. The residual stream, the norms and the logits
 * are wide; everything that enters a matrix product is compute. No linear layer has a bias. */
#include "base/memory.h"
#include "nn/blocks.h"

#include <math.h>
#include <stdlib.h>

static int64_t buckets_of(const dipp_t5_options *o)
{
    return o->buckets ? o->buckets : 32;
}

static int64_t max_distance_of(const dipp_t5_options *o)
{
    return o->max_distance ? o->max_distance : 128;
}

dipp_status dipp_t5_check(const dipp_t5_options *o, dipp_error *error)
{
    if (o->vocabulary < 1 || o->width < 1 || o->head_width < 1 || o->heads < 1 || o->layers < 1 || o->inner < 1)
        return dipp_fail(error, DIPP_E_INVALID,
                         "t5: vocabulary, width, head_width, heads, layers and inner must be at least 1; found %lld, "
                         "%lld, %lld, %lld, %lld and %lld",
                         (long long)o->vocabulary, (long long)o->width, (long long)o->head_width, (long long)o->heads,
                         (long long)o->layers, (long long)o->inner);
    if (o->buckets < 0 || buckets_of(o) < 4 || o->max_distance < 0 || max_distance_of(o) <= buckets_of(o) / 4)
        return dipp_fail(error, DIPP_E_INVALID,
                         "t5: buckets must be at least 4, and max_distance beyond the quarter of them that stand for "
                         "one distance each; found %lld and %lld",
                         (long long)buckets_of(o), (long long)max_distance_of(o));
    if (!(o->epsilon >= 0))
        return dipp_fail(error, DIPP_E_INVALID, "t5: epsilon must not be negative; found %g", o->epsilon);
    return DIPP_OK;
}

/* Which row of the table a key that is `distance` behind its query has. Half of the rows are for keys behind; half of each
 * half for one distance each, the others for ranges that grow as powers, up to max_distance and all beyond. Published code
 * computes the powers in single precision and rounds down, so that is what says where a range ends. */
static int64_t bucket(int64_t distance, int64_t buckets, int64_t max_distance)
{
    int64_t half = buckets / 2, exact = half / 2, away = llabs(distance), row = away;
    if (away >= exact) {
        float span = (float)log((double)max_distance / (double)exact);
        row = exact + (int64_t)(logf((float)away / (float)exact) / span * (float)(half - exact));
        row = row < half ? row : half - 1;
    }
    return distance > 0 ? half + row : row;
}

/* What each head adds to the logit of a key for its distance from the query: [H, L, L], wide.
 *
 * Only 2 L - 1 distances occur. The table's rows are picked for them by a product with ones and zeros, in the order of
 * distance modulo P = 2 L. A row of P numbers written L times in one line and the line cut into pieces of P - 1 makes piece i
 * begin i numbers earlier, which is at distance -i: that of query i to key 0. */
static dipp_tensor position_bias(dipp_graph *g, dipp_params p, const dipp_t5_options *o, int64_t length)
{
    int64_t buckets = buckets_of(o), period = 2 * length;
    double *picked = dipp_allocate_zeroed((size_t)(period * buckets), sizeof *picked);
    if (!picked)
        return dipp_graph_fail(g, "t5: no memory for the buckets of %lld distances", (long long)period);
    for (int64_t i = 0; i < period; i++)
        picked[i * buckets + bucket(i < length ? i : i - period, buckets, max_distance_of(o))] = 1;
    dipp_tensor rows = dipp_constant(g, DIPP_SHAPE(period, buckets), picked);
    dipp_release(picked);

    dipp_tensor table = dipp_nn_table(g, p, "relative_attention_bias.weight", DIPP_SHAPE(buckets, o->heads));
    dipp_matmul_options transposed = {.struct_size = sizeof transposed, .transpose_a = true, .transpose_b = true};
    dipp_tensor bias = dipp_matmul(g, table, rows, &transposed); /* [H, P] */
    bias = dipp_reshape(g, bias, DIPP_SHAPE(o->heads, 1, period));
    bias = dipp_broadcast_to(g, bias, DIPP_SHAPE(o->heads, length, period));
    bias = dipp_reshape(g, bias, DIPP_SHAPE(o->heads, length * period));
    bias = dipp_slice(g, bias, 1, 0, length * (period - 1));
    bias = dipp_reshape(g, bias, DIPP_SHAPE(o->heads, length, period - 1));
    return dipp_slice(g, bias, 2, 0, length);
}

/* x over the root of its mean square, times NAME.weight [C]; no mean is taken off. x [N, L, C] wide -> the same, compute. */
static dipp_tensor rms_norm(dipp_graph *g, dipp_params p, const char *name, const dipp_t5_options *o, dipp_tensor x)
{
    dipp_param_options ones = {.struct_size = sizeof ones, .init = DIPP_INIT_ONES, .flags = DIPP_PARAM_WIDE};
    dipp_tensor gain = dipp_param(g, dipp_scope(g, p, "%s", name), "weight", DIPP_SHAPE(o->width), &ones);
    dipp_tensor square = dipp_mean(g, dipp_mul(g, x, x), 1u << 2, true); /* [N, L, 1] */
    dipp_tensor root = dipp_sqrt(g, dipp_scale_add(g, square, 1, o->epsilon > 0 ? o->epsilon : 1e-6));
    return dipp_cast(g, dipp_mul(g, dipp_div(g, x, root), gain), DIPP_COMPUTE);
}

/* NAME.weight [width, ...] times x, wide. */
static dipp_tensor linear_out(dipp_graph *g, dipp_params p, const char *name, dipp_tensor x, int64_t width)
{
    dipp_linear_options wide = {.struct_size = sizeof wide, .no_bias = true, .wide_output = true};
    return dipp_linear(g, p, name, x, width, &wide);
}

/* x [N, L, C] -> [N, H, L, D], compute. */
static dipp_tensor project(dipp_graph *g, dipp_params p, const char *name, const dipp_t5_options *o, dipp_tensor x,
                           double gain)
{
    int64_t n = dipp_dim(g, x, 0), length = dipp_dim(g, x, 1);
    dipp_linear_options plain = {.struct_size = sizeof plain, .no_bias = true, .gain = gain};
    x = dipp_linear(g, p, name, x, o->heads * o->head_width, &plain);
    x = dipp_reshape(g, x, DIPP_SHAPE(n, length, o->heads, o->head_width));
    return dipp_permute(g, x, (const int[]){0, 2, 1, 3});
}

/* The logits are not divided by the root of D. x [N, L, C], bias [H, L, L] and key_bias [N, 1, 1, L] -> [N, L, C], wide. */
static dipp_tensor attention(dipp_graph *g, dipp_params p, const dipp_t5_options *o, dipp_tensor x, dipp_tensor bias,
                             dipp_tensor key_bias)
{
    int64_t n = dipp_dim(g, x, 0), length = dipp_dim(g, x, 1);
    dipp_tensor q = project(g, p, "q", o, x, 1.0 / sqrt((double)o->head_width)); /* a fresh network has the root here */
    dipp_tensor k = project(g, p, "k", o, x, 0), v = project(g, p, "v", o, x, 0);
    dipp_matmul_options product = {.struct_size = sizeof product, .transpose_b = true, .wide_output = true};
    dipp_tensor logits = dipp_add(g, dipp_matmul(g, q, k, &product), bias); /* [N, H, L, L] */
    dipp_tensor weights = dipp_softmax(g, dipp_add(g, logits, key_bias));
    dipp_tensor mixed = dipp_matmul(g, dipp_cast(g, weights, DIPP_COMPUTE), v, NULL);
    mixed = dipp_permute(g, mixed, (const int[]){0, 2, 1, 3});
    mixed = dipp_reshape(g, mixed, DIPP_SHAPE(n, length, o->heads * o->head_width));
    return linear_out(g, p, "o", mixed, o->width);
}

/* x [N, L, C] -> the same, wide. */
static dipp_tensor feed_forward(dipp_graph *g, dipp_params p, const dipp_t5_options *o, dipp_tensor x)
{
    dipp_linear_options plain = {.struct_size = sizeof plain, .no_bias = true};
    dipp_tensor h;
    if (o->gated) {
        h = dipp_gelu_tanh(g, dipp_linear(g, p, "wi_0", x, o->inner, &plain));
        h = dipp_mul(g, h, dipp_linear(g, p, "wi_1", x, o->inner, &plain));
    } else {
        h = dipp_linear(g, p, "wi", x, o->inner, &plain);
        h = dipp_maximum(g, h, dipp_cast(g, dipp_constant(g, (dipp_shape){0}, &(double){0.0}), DIPP_COMPUTE));
    }
    return linear_out(g, p, "wo", h, o->width);
}

dipp_tensor dipp_t5_encoder(dipp_graph *g, dipp_params p, const dipp_t5_options *o, dipp_tensor tokens,
                            dipp_tensor mask)
{
    dipp_error problem;
    if (dipp_t5_check(o, &problem) != DIPP_OK)
        return dipp_graph_fail(g, "%s", problem.message);
    dipp_shape st = dipp_shape_of(g, tokens), sm = dipp_shape_of(g, mask);
    if (dipp_graph_failed(g))
        return DIPP_NONE;
    if (st.rank != 2 || sm.rank != 2 || sm.dims[0] != st.dims[0] || sm.dims[1] != st.dims[1])
        return dipp_graph_fail(
            g, "t5: tokens and mask must both be [N, L]; found rank %u [%lld, %lld] and rank %u [%lld, %lld]", st.rank,
            (long long)st.dims[0], (long long)st.dims[1], sm.rank, (long long)sm.dims[0], (long long)sm.dims[1]);

    int64_t n = st.dims[0], length = st.dims[1];
    static const char *const aliases[] = {"encoder.embed_tokens", NULL};
    dipp_param_options normal = {
        .struct_size = sizeof normal, .init = DIPP_INIT_NORMAL, .value = 1, .aliases = aliases};
    dipp_tensor x = dipp_cast(g, dipp_embedding(g, p, "shared", tokens, o->vocabulary, o->width, &normal), DIPP_WIDE);
    dipp_params encoder = dipp_scope(g, p, "encoder");
    /* The first block's table serves all. */
    dipp_tensor bias = position_bias(g, dipp_scope(g, encoder, "block.0.layer.0.SelfAttention"), o, length);
    dipp_tensor key_bias = dipp_reshape(g, dipp_nn_key_bias(g, mask), DIPP_SHAPE(n, 1, 1, length));
    for (int64_t i = 0; i < o->layers; i++) {
        dipp_params here = dipp_scope(g, encoder, "block.%lld.layer", (long long)i);
        dipp_params first = dipp_scope(g, here, "0"), second = dipp_scope(g, here, "1");
        dipp_block_begin(g);
        dipp_tensor h = rms_norm(g, first, "layer_norm", o, x);
        x = dipp_add(g, x, attention(g, dipp_scope(g, first, "SelfAttention"), o, h, bias, key_bias));
        h = rms_norm(g, second, "layer_norm", o, x);
        x = dipp_add(g, x, feed_forward(g, dipp_scope(g, second, "DenseReluDense"), o, h));
        dipp_block_end(g);
    }
    return rms_norm(g, encoder, "final_layer_norm", o, x);
}
