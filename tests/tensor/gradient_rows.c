#include "gradient_rows.h"

#define RECORD(name) static dipp_tensor name(dipp_graph *g, dipp_params p, const dipp_tensor *in)

/* ---- Elementwise and shape ---- */

RECORD(choose) /* the condition gets no gradient */
{
    dipp_tensor zero = dipp_constant(g, (dipp_shape){0}, (double[]){0});
    return dipp_where(g, dipp_greater(g, in[0], zero), in[1], in[2]);
}

RECORD(scale_and_add)
{
    return dipp_scale_add(g, in[0], -1.7, 0.3);
}

RECORD(clamp_hard) /* inputs stay 0.2 away from 0, so off the bounds */
{
    return dipp_clamp(g, in[0], -0.1, 0.1, DIPP_CLAMP_HARD);
}

RECORD(clamp_wide)
{
    return dipp_clamp(g, in[0], -9, 9, DIPP_CLAMP_HARD);
}

RECORD(cast_there_and_back)
{
    dipp_tensor wide = dipp_cast(g, in[0], DIPP_WIDE);
    dipp_tensor compute = dipp_cast(g, dipp_mul(g, wide, wide), DIPP_COMPUTE);
    return dipp_mul(g, dipp_cast(g, compute, DIPP_WIDE), wide);
}

RECORD(reshape)
{
    return dipp_mul(g, dipp_reshape(g, in[0], DIPP_SHAPE(4, -1)), dipp_reshape(g, in[0], DIPP_SHAPE(4, 6)));
}

RECORD(permute)
{
    return dipp_permute(g, in[0], (int[]){2, 0, 3, 1});
}

RECORD(concat)
{
    return dipp_concat(g, (dipp_tensor[]){in[0], in[1], in[0], in[2]}, 4, 1);
}

RECORD(slice)
{
    return dipp_add(g, dipp_slice(g, in[0], 1, 1, 2), dipp_slice(g, in[0], 1, 2, 2));
}

RECORD(pad)
{
    return dipp_pad(g, in[0], 1, 2, 1);
}

RECORD(broadcast)
{
    return dipp_broadcast_to(g, in[0], DIPP_SHAPE(2, 3, 4, 5));
}

RECORD(sums)
{
    dipp_tensor rows = dipp_sum(g, in[0], 1u << 1, true), total = dipp_sum(g, in[0], 7, false);
    return dipp_add(g, dipp_mul(g, rows, in[0]), total);
}

RECORD(means)
{
    return dipp_mul(g, dipp_mean(g, in[0], 1u << 0 | 1u << 2, false), dipp_mean(g, in[0], 1u << 1, false));
}

RECORD(per_sample)
{
    dipp_tensor norm = dipp_sqrt(g, dipp_sum_per_sample(g, dipp_mul(g, in[0], in[0])));
    dipp_tensor mean = dipp_mean_per_sample(g, in[0]);
    dipp_tensor centred = dipp_sub(g, in[0], dipp_per_sample(g, mean, in[0]));
    return dipp_div(g, centred, dipp_per_sample(g, norm, in[0]));
}

/* ---- Linear algebra ---- */

#define MATMUL(name, ta, tb, wide)                                                                                 \
    RECORD(name)                                                                                                   \
    {                                                                                                              \
        dipp_matmul_options options = {sizeof options, .transpose_a = ta, .transpose_b = tb, .wide_output = wide}; \
        return dipp_matmul(g, in[0], in[1], &options);                                                             \
    }
MATMUL(matmul, false, false, false)
MATMUL(matmul_ta, true, false, true)
MATMUL(matmul_tb, false, true, false)
MATMUL(matmul_ta_tb, true, true, true)

RECORD(inverse)
{
    dipp_tensor diagonal = dipp_constant(g, DIPP_SHAPE(3, 3), (double[]){3, 0, 0, 0, 3, 0, 0, 0, 3});
    return dipp_inverse(g, dipp_add(g, in[0], diagonal));
}

RECORD(linear)
{
    return dipp_linear(g, p, "layer", in[0], 5, NULL);
}

RECORD(linear_without_bias)
{
    return dipp_linear(g, p, "layer", in[0], 5, &(dipp_linear_options){.no_bias = true, .wide_output = true});
}

RECORD(linear_shared) /* one weight, used twice */
{
    dipp_tensor first = dipp_tanh(g, dipp_linear(g, p, "layer", in[0], 4, NULL));
    return dipp_linear(g, p, "layer", first, 4, NULL);
}

RECORD(parameter_used_plainly)
{
    dipp_tensor a = dipp_param(g, p, "a", DIPP_SHAPE(3, 1), NULL);
    dipp_tensor b = dipp_param(g, p, "b", DIPP_SHAPE(4), &(dipp_param_options){.flags = DIPP_PARAM_WIDE});
    return dipp_add(g, dipp_mul(g, in[0], a), dipp_sin(g, b));
}

RECORD(embedding)
{
    return dipp_embedding(g, p, "table", in[0], 5, 3, NULL);
}

/* ---- Fused blocks ---- */

RECORD(attention)
{
    return dipp_attention(g, in[0], in[1], in[2], &(dipp_attention_options){.heads = 2});
}

RECORD(attention_causal)
{
    return dipp_attention(g, in[0], in[1], in[2], &(dipp_attention_options){.heads = 1, .scale = 0.7, .causal = true});
}

RECORD(attention_masked)
{
    dipp_tensor bias = dipp_constant(g, DIPP_SHAPE(2, 4), (double[]){0, 0, -1e9, -1e9, 0, -1e9, 0.5, 0});
    return dipp_attention(g, in[0], in[1], in[2], &(dipp_attention_options){.heads = 2, .key_bias = bias});
}

RECORD(attention_to_itself)
{
    return dipp_attention(g, in[0], in[0], in[0], &(dipp_attention_options){.heads = 2});
}

RECORD(layer_norm_plain)
{
    return dipp_layer_norm(g, in[0], NULL);
}

RECORD(layer_norm_gain)
{
    return dipp_layer_norm(g, in[0], &(dipp_layer_norm_options){.gain = in[1], .bias = in[2], .epsilon = 0.1});
}

RECORD(layer_norm_without_bias)
{
    return dipp_layer_norm(g, in[0], &(dipp_layer_norm_options){.gain = in[1]});
}

RECORD(layer_norm_adaptive)
{
    return dipp_layer_norm(g, in[0], &(dipp_layer_norm_options){.gain = in[1], .bias = in[2], .gain_plus_one = true});
}

RECORD(gated_add)
{
    return dipp_gated_add(g, in[0], in[1], in[2]);
}

RECORD(convolution) /* 3x3, padding that keeps the size */
{
    return dipp_conv2d(g, p, "conv", in[0], 4, 3, &(dipp_conv2d_options){.pad_before = DIPP_PAD_SAME});
}

RECORD(convolution_down) /* as a UNet shrinks */
{
    dipp_conv2d_options options = {.stride = 2, .pad_before = 1, .pad_after = 1, .wide_output = true};
    return dipp_conv2d(g, p, "conv", in[0], 2, 3, &options);
}

RECORD(convolution_down_lopsided) /* as a VAE shrinks */
{
    return dipp_conv2d(g, p, "conv", in[0], 2, 3, &(dipp_conv2d_options){.stride = 2, .pad_after = 1});
}

RECORD(convolution_of_pixels)
{
    return dipp_conv2d(g, p, "conv", in[0], 3, 1, &(dipp_conv2d_options){.no_bias = true});
}

RECORD(group_norm)
{
    return dipp_group_norm(g, in[0], &(dipp_group_norm_options){.groups = 2});
}

RECORD(group_norm_gain)
{
    dipp_group_norm_options options = {.groups = 3, .gain = in[1], .bias = in[2], .epsilon = 0.1};
    return dipp_group_norm(g, in[0], &options);
}

RECORD(group_norm_silu)
{
    dipp_group_norm_options options = {.groups = 2, .gain = in[1], .bias = in[2], .epsilon = 1e-6, .silu = true};
    return dipp_group_norm(g, in[0], &options);
}

RECORD(group_norm_silu_plain)
{
    return dipp_group_norm(g, in[0], &(dipp_group_norm_options){.groups = 1, .silu = true});
}

RECORD(upsample)
{
    return dipp_upsample_nearest(g, in[0], 2);
}

RECORD(
    residual_block) /* of a UNet: norm, SiLU, convolution, time, norm, SiLU, convolution, shortcut; then up and down */
{
    dipp_group_norm_options norm = {.groups = 2, .silu = true};
    dipp_conv2d_options same = {.pad_before = DIPP_PAD_SAME}, down = {.stride = 2, .pad_before = 1, .pad_after = 1};
    dipp_tensor h = dipp_conv2d(g, p, "conv1", dipp_group_norm(g, in[0], &norm), 6, 3, &same);
    dipp_tensor time = dipp_reshape(g, dipp_linear(g, p, "time", in[1], 6, NULL), DIPP_SHAPE(2, 6, 1, 1));
    h = dipp_group_norm(g, dipp_add(g, h, time), &norm);
    h = dipp_add(g, dipp_conv2d(g, p, "conv2", h, 6, 3, &same), dipp_conv2d(g, p, "shortcut", in[0], 6, 1, NULL));
    h = dipp_conv2d(g, p, "up", dipp_upsample_nearest(g, h, 2), 4, 3, &same);
    return dipp_conv2d(g, p, "down", h, 3, 3, &down);
}

RECORD(reparameterised) /* mean + deviation z: no gradient to the key */
{
    dipp_tensor z = dipp_philox_normal(g, in[0], DIPP_SHAPE(2, 3));
    dipp_tensor u = dipp_philox_uniform(g, in[0], DIPP_SHAPE(2, 3));
    return dipp_add(g, dipp_mul(g, dipp_mul(g, in[1], z), u), in[2]);
}

/* ---- Compositions ---- */

RECORD(used_many_times)
{
    dipp_tensor x = in[0], y = dipp_add(g, dipp_mul(g, x, x), dipp_mul(g, x, dipp_sin(g, x)));
    return dipp_div(g, dipp_add(g, y, dipp_exp(g, y)), dipp_scale_add(g, dipp_mul(g, x, x), 1, 2));
}

RECORD(transformer_block) /* adaptive norm, attention, gated residual, MLP: the block of a DiT */
{
    dipp_tensor shift = dipp_linear(g, p, "shift", in[1], 8, NULL), gain = dipp_linear(g, p, "gain", in[1], 8, NULL);
    dipp_tensor gate = dipp_linear(g, p, "gate", in[1], 8, NULL);
    dipp_layer_norm_options adaptive = {.gain = gain, .bias = shift, .gain_plus_one = true};
    dipp_tensor h = dipp_layer_norm(g, in[0], &adaptive);
    dipp_tensor q = dipp_linear(g, p, "q", h, 8, NULL), k = dipp_linear(g, p, "k", h, 8, NULL);
    dipp_tensor v = dipp_linear(g, p, "v", h, 8, NULL);
    h = dipp_attention(g, q, k, v, &(dipp_attention_options){.heads = 2});
    dipp_tensor x = dipp_gated_add(g, in[0], gate, dipp_linear(g, p, "out", h, 8, NULL));
    h = dipp_gelu_tanh(g, dipp_linear(g, p, "mlp.in", dipp_layer_norm(g, x, &adaptive), 12, NULL));
    return dipp_gated_add(g, x, gate, dipp_linear(g, p, "mlp.out", h, 8, NULL));
}

RECORD(mixture_score) /* softmax of -|x - mu|^2/2 weighs the means: the posterior mean of a Gaussian mixture */
{
    dipp_tensor x = dipp_reshape(g, in[0], DIPP_SHAPE(4, 1, 2)), mu = dipp_reshape(g, in[1], DIPP_SHAPE(1, 3, 2));
    dipp_tensor d = dipp_sub(g, x, mu);
    dipp_tensor logits = dipp_scale_add(g, dipp_sum(g, dipp_mul(g, d, d), 1u << 2, false), -0.5, 0);
    return dipp_matmul(g, dipp_softmax(g, logits), in[1], NULL);
}

RECORD(patches) /* space to depth, linear, and back */
{
    dipp_tensor x = dipp_reshape(g, in[0], DIPP_SHAPE(2, 3, 2, 2, 2, 2));
    x = dipp_reshape(g, dipp_permute(g, x, (int[]){0, 2, 4, 1, 3, 5}), DIPP_SHAPE(2, 4, 12));
    x = dipp_silu(g, dipp_linear(g, p, "patch", x, 12, NULL));
    x = dipp_permute(g, dipp_reshape(g, x, DIPP_SHAPE(2, 2, 2, 3, 2, 2)), (int[]){0, 3, 1, 4, 2, 5});
    return dipp_mul(g, dipp_reshape(g, x, DIPP_SHAPE(2, 3, 4, 4)), in[0]);
}

#define S(...) DIPP_SHAPE(__VA_ARGS__)
#define UNIT(...)             \
    {                         \
        S(__VA_ARGS__), -1, 1 \
    }
#define UNARY(function, low, high, gap)                                                                \
    {                                                                                                  \
#function, .unary = function, .input_count = 1, .inputs = { {{2, {3, 5 } }, low, high, gap } } \
    }
#define BINARY(function, gap)                                                   \
    {#function " equal", .binary = function, .input_count = 2,                  \
     .inputs = {{{2, {3, 4}}, -2, 2, 0}, {{2, {3, 4}}, -2, 2, gap}}},           \
        {#function " column", .binary = function, .input_count = 2,             \
         .inputs = {{{3, {2, 3, 4}}, -2, 2, 0}, {{2, {3, 1}}, -2, 2, gap}}},    \
        {#function " both", .binary = function, .input_count = 2,               \
         .inputs = {{{3, {2, 1, 4}}, -2, 2, 0}, {{3, {1, 3, 1}}, -2, 2, gap}}}, \
    {                                                                           \
#function " scalar", .binary = function, .input_count = 2,              \
                             .inputs = {                                        \
                                 {{0 }, -2, 2, 0 }, {{1, {5 } }, -2, 2, gap } } \
    }

const gradient_row gradient_rows[] = {
    BINARY(dipp_add, 0),
    BINARY(dipp_sub, 0),
    BINARY(dipp_mul, 0),
    BINARY(dipp_div, 0.5),
    BINARY(dipp_minimum, 0),
    BINARY(dipp_maximum, 0),
    {"where", choose, .input_count = 3, .inputs = {{{2, {3, 1}}, -1, 1, 0.1}, {{2, {3, 4}}, -1, 1}, {{1, {4}}, -1, 1}}},
    UNARY(dipp_exp, -2, 2, 0),
    UNARY(dipp_log, 0.2, 3, 0),
    UNARY(dipp_sqrt, 0.2, 3, 0),
    UNARY(dipp_abs, -2, 2, 0.1),
    UNARY(dipp_sin, -4, 4, 0),
    UNARY(dipp_cos, -4, 4, 0),
    UNARY(dipp_tanh, -3, 3, 0),
    UNARY(dipp_sigmoid, -5, 5, 0),
    UNARY(dipp_silu, -5, 5, 0),
    UNARY(dipp_gelu_erf, -3, 3, 0),
    UNARY(dipp_gelu_tanh, -3, 3, 0),
    UNARY(dipp_quick_gelu, -3, 3, 0),
    UNARY(dipp_softmax, -2, 2, 0),
    {"scale_add", scale_and_add, .input_count = 1, .inputs = {UNIT(7)}},
    {"clamp outside", clamp_hard, .input_count = 1, .inputs = {{{1, {7}}, -1, 1, 0.2}}},
    {"clamp inside", clamp_wide, .input_count = 1, .inputs = {UNIT(7)}},
    {"cast", cast_there_and_back, .input_count = 1, .inputs = {UNIT(7)}},
    {"reshape", reshape, .input_count = 1, .inputs = {UNIT(2, 3, 4)}},
    {"permute", permute, .input_count = 1, .inputs = {UNIT(2, 3, 4, 5)}},
    {"concat", concat, .input_count = 3, .inputs = {UNIT(2, 1, 3), UNIT(2, 4, 3), UNIT(2, 2, 3)}},
    {"slice", slice, .input_count = 1, .inputs = {UNIT(2, 5, 3)}},
    {"pad", pad, .input_count = 1, .inputs = {UNIT(2, 3, 2)}},
    {"broadcast_to", broadcast, .input_count = 1, .inputs = {UNIT(3, 1, 5)}},
    {"sum", sums, .input_count = 1, .inputs = {UNIT(2, 3, 4)}},
    {"mean", means, .input_count = 1, .inputs = {UNIT(4, 4, 4)}},
    {"per_sample", per_sample, .input_count = 1, .inputs = {UNIT(2, 3, 4)}},
    {"matmul", matmul, .input_count = 2, .inputs = {UNIT(3, 4), UNIT(4, 5)}},
    {"matmul a^T", matmul_ta, .input_count = 2, .inputs = {UNIT(4, 3), UNIT(4, 5)}},
    {"matmul b^T", matmul_tb, .input_count = 2, .inputs = {UNIT(3, 4), UNIT(5, 4)}},
    {"matmul a^T b^T", matmul_ta_tb, .input_count = 2, .inputs = {UNIT(4, 3), UNIT(5, 4)}},
    {"matmul batch", matmul, .input_count = 2, .inputs = {UNIT(2, 3, 4), UNIT(2, 4, 5)}},
    {"matmul batch a^T", matmul_ta, .input_count = 2, .inputs = {UNIT(2, 1, 4, 3), UNIT(2, 1, 4, 5)}},
    {"matmul batch b^T", matmul_tb, .input_count = 2, .inputs = {UNIT(2, 3, 4), UNIT(2, 5, 4)}},
    {"matmul batch a^T b^T", matmul_ta_tb, .input_count = 2, .inputs = {UNIT(2, 4, 3), UNIT(2, 5, 4)}},
    {"matmul shared b", matmul, .input_count = 2, .inputs = {UNIT(2, 3, 4), UNIT(4, 5)}},
    {"matmul shared b^T", matmul_tb, .input_count = 2, .inputs = {UNIT(2, 2, 3, 4), UNIT(5, 4)}},
    {"inverse", inverse, .input_count = 1, .inputs = {UNIT(2, 3, 3)}},
    {"linear", linear, .parameters = true, .input_count = 1, .inputs = {UNIT(2, 3, 4)}},
    {"linear of one row", linear, .parameters = true, .input_count = 1, .inputs = {UNIT(4)}},
    {"linear without bias", linear_without_bias, .parameters = true, .input_count = 1, .inputs = {UNIT(3, 4)}},
    {"linear shared", linear_shared, .parameters = true, .input_count = 1, .inputs = {UNIT(3, 4)}},
    {"parameters", parameter_used_plainly, .parameters = true, .input_count = 1, .inputs = {UNIT(2, 3, 4)}},
    {"embedding", embedding, .parameters = true, .input_count = 1, .inputs = {{{2, {3, 4}}, -2, 7, .integer = true}}},
    {"attention", attention, .input_count = 3, .inputs = {UNIT(2, 3, 8), UNIT(2, 4, 8), UNIT(2, 4, 8)}},
    {"attention causal", attention_causal, .input_count = 3, .inputs = {UNIT(2, 4, 8), UNIT(2, 4, 8), UNIT(2, 4, 8)}},
    {"attention masked", attention_masked, .input_count = 3, .inputs = {UNIT(2, 3, 8), UNIT(2, 4, 8), UNIT(2, 4, 8)}},
    {"attention to itself", attention_to_itself, .input_count = 1, .inputs = {UNIT(2, 4, 8)}},
    {"layer_norm", layer_norm_plain, .input_count = 1, .inputs = {UNIT(2, 3, 6)}},
    {"layer_norm gain", layer_norm_gain, .input_count = 3, .inputs = {UNIT(2, 3, 6), UNIT(6), UNIT(6)}},
    {"layer_norm gain alone", layer_norm_without_bias, .input_count = 2, .inputs = {UNIT(2, 6), UNIT(6)}},
    {"layer_norm adaptive", layer_norm_adaptive, .input_count = 3,
     .inputs = {UNIT(2, 2, 3, 6), UNIT(2, 6), UNIT(2, 6)}},
    {"layer_norm adaptive rows", layer_norm_adaptive, .input_count = 3, .inputs = {UNIT(3, 6), UNIT(3, 6), UNIT(3, 6)}},
    {"gated_add", gated_add, .input_count = 3, .inputs = {UNIT(2, 3, 4), UNIT(2, 4), UNIT(2, 3, 4)}},
    {"gated_add rows", gated_add, .input_count = 3, .inputs = {UNIT(3, 4), UNIT(3, 4), UNIT(3, 4)}},
    {"geglu", .unary = dipp_geglu, .input_count = 1, .inputs = {{{3, {2, 3, 8}}, -3, 3, 0}}},
    {"conv2d", convolution, .parameters = true, .input_count = 1, .inputs = {UNIT(2, 3, 4, 5)}},
    {"conv2d stride 2", convolution_down, .parameters = true, .input_count = 1, .inputs = {UNIT(2, 3, 5, 4)}},
    {"conv2d stride 2 padded after", convolution_down_lopsided, .parameters = true, .input_count = 1,
     .inputs = {UNIT(1, 3, 6, 5)}},
    {"conv2d 1x1", convolution_of_pixels, .parameters = true, .input_count = 1, .inputs = {UNIT(2, 4, 2, 3)}},
    {"group_norm", group_norm, .input_count = 1, .inputs = {UNIT(2, 4, 2, 3)}},
    {"group_norm gain", group_norm_gain, .input_count = 3, .inputs = {UNIT(2, 6, 5), UNIT(6), UNIT(6)}},
    {"group_norm silu", group_norm_silu, .input_count = 3, .inputs = {UNIT(2, 6, 2, 2), UNIT(6), UNIT(6)}},
    {"group_norm silu without gain", group_norm_silu_plain, .input_count = 1, .inputs = {UNIT(2, 4, 3)}},
    {"upsample_nearest", upsample, .input_count = 1, .inputs = {UNIT(2, 3, 2, 3)}},
    {"residual block", residual_block, .parameters = true, .input_count = 2, .inputs = {UNIT(2, 4, 4, 4), UNIT(2, 3)}},
    {"reparameterised", reparameterised, .input_count = 3,
     .inputs = {{{1, {6}}, 0, 100, .integer = true}, UNIT(2, 3), UNIT(3)}},
    {"used many times", used_many_times, .input_count = 1, .inputs = {UNIT(2, 3)}},
    {"transformer block", transformer_block, .parameters = true, .input_count = 2,
     .inputs = {UNIT(2, 3, 8), UNIT(2, 5)}},
    {"mixture score", mixture_score, .input_count = 2, .inputs = {UNIT(4, 2), UNIT(3, 2)}},
    {"patches", patches, .parameters = true, .input_count = 1, .inputs = {UNIT(2, 3, 4, 4)}},
};
const size_t gradient_row_count = sizeof gradient_rows / sizeof *gradient_rows;
