/* Recording of what networks on pictures [N, C, H, W] are made of: convolution, group norm, nearest upsampling. */
#include "tensor/graph.h"

/* Length of an axis of the result; below 1 when the kernel does not fit. */
static int64_t convolved(int64_t length, int64_t kernel, const dipp_attributes *attributes)
{
    int64_t room = length + attributes->pad_before + attributes->pad_after - kernel;
    return room < 0 ? 0 : room / attributes->stride + 1;
}

dipp_tensor dipp_conv2d(dipp_graph *g, dipp_params p, const char *name, dipp_tensor x, int64_t out_channels,
                        int64_t kernel, const dipp_conv2d_options *options)
{
    static const dipp_conv2d_options defaults = {0};
    if (!options)
        options = &defaults;
    if (!dipp_usable_float(g, x, name))
        return DIPP_NONE;
    dipp_shape shape = dipp_shape_of(g, x);
    dipp_attributes attributes = {.stride = options->stride ? options->stride : 1,
                                  .pad_before = options->pad_before,
                                  .pad_after = options->pad_after};
    bool same = options->pad_before == DIPP_PAD_SAME;
    if (same && options->pad_after)
        return dipp_graph_fail(g, "conv2d \"%s\": pad_after must be 0 when pad_before says \"same\"", name);
    if (same)
        attributes.pad_before = attributes.pad_after = kernel / 2;
    if (shape.rank != 4)
        return dipp_graph_fail(g, "conv2d \"%s\": needs pictures [N, C, H, W]", name);
    if (kernel < 1 || out_channels < 1 || attributes.stride < 1 || attributes.pad_before < 0 ||
        attributes.pad_after < 0 || attributes.pad_before >= kernel || attributes.pad_after >= kernel)
        return dipp_graph_fail(
            g,
            "conv2d \"%s\": %lld channels, kernel %lld, stride %lld, padding %lld and %lld: sizes must "
            "be positive and padding below the kernel",
            name, (long long)out_channels, (long long)kernel, (long long)attributes.stride,
            (long long)attributes.pad_before, (long long)attributes.pad_after);
    dipp_shape out = DIPP_SHAPE(shape.dims[0], out_channels, convolved(shape.dims[2], kernel, &attributes),
                                convolved(shape.dims[3], kernel, &attributes));
    if (out.dims[2] < 1 || out.dims[3] < 1) {
        char text[128];
        return dipp_graph_fail(g, "conv2d \"%s\": a kernel of %lld does not fit into %s", name, (long long)kernel,
                               dipp_shape_text(&shape, text, sizeof text));
    }
    dipp_linear_options layer = {
        .no_bias = options->no_bias, .zero = options->zero, .gain = options->gain, .aliases = options->aliases};
    dipp_tensor inputs[3] = {dipp_cast(g, x, DIPP_COMPUTE)};
    dipp_shape weight = DIPP_SHAPE(out_channels, shape.dims[1], kernel, kernel);
    dipp_layer_parameters(g, p, name, weight, &layer, inputs + 1);
    if (dipp_graph_failed(g))
        return DIPP_NONE;
    dipp_tensor y =
        dipp_append(g, DIPP_OP_CONV2D, inputs, 3, &attributes, options->wide_output ? DIPP_WIDE : DIPP_COMPUTE, out);
    return dipp_adapt_layer(g, p, name, inputs[0], y, weight, &attributes, options->aliases);
}

static bool per_channel(const dipp_graph *g, dipp_tensor x, int64_t channels)
{
    dipp_shape shape = dipp_shape_of(g, x);
    return shape.rank == 1 && shape.dims[0] == channels;
}

dipp_tensor dipp_group_norm(dipp_graph *g, dipp_tensor x, const dipp_group_norm_options *options)
{
    static const dipp_group_norm_options defaults = {0};
    if (!options)
        options = &defaults;
    if (!dipp_usable_float(g, x, "group_norm"))
        return DIPP_NONE;
    dipp_shape shape = dipp_shape_of(g, x);
    dipp_attributes attributes = {.alpha = options->epsilon > 0 ? options->epsilon : 1e-5,
                                  .groups = options->groups ? options->groups : 32,
                                  .silu = options->silu};
    if (shape.rank < 2 || shape.dims[1] % attributes.groups) {
        char text[128];
        return dipp_graph_fail(g, "group_norm: the channels of %s cannot be cut into %u groups",
                               dipp_shape_text(&shape, text, sizeof text), attributes.groups);
    }
    dipp_tensor gain = options->gain, bias = options->bias;
    if (bias.id && !gain.id)
        return dipp_graph_fail(g, "group_norm: a bias needs a gain");
    if ((gain.id && !per_channel(g, gain, shape.dims[1])) || (bias.id && !per_channel(g, bias, shape.dims[1])))
        return dipp_graph_fail(g, "group_norm: gain and bias must be [%lld]", (long long)shape.dims[1]);
    if (gain.id && bias.id && dipp_dtype_of(g, gain) != dipp_dtype_of(g, bias))
        gain = dipp_cast(g, gain, DIPP_WIDE), bias = dipp_cast(g, bias, DIPP_WIDE);
    dipp_tensor inputs[3] = {x, gain, bias}, outputs[2];
    dipp_dtype dtypes[2] = {DIPP_COMPUTE, DIPP_WIDE};
    dipp_shape shapes[2] = {shape, DIPP_SHAPE(shape.dims[0], (int64_t)attributes.groups, 2)};
    dipp_append_many(g, DIPP_OP_GROUP_NORM, inputs, 3, &attributes, 2, dtypes, shapes, outputs);
    return outputs[0];
}

dipp_tensor dipp_upsample_nearest(dipp_graph *g, dipp_tensor x, int64_t factor)
{
    if (!dipp_usable(g, x, "upsample_nearest"))
        return DIPP_NONE;
    dipp_shape s = dipp_shape_of(g, x);
    if (s.rank != 4 || factor < 1)
        return dipp_graph_fail(g, "upsample_nearest: needs pictures [N, C, H, W] and a positive factor");
    if (factor == 1)
        return x;
    const int64_t *d = s.dims;
    x = dipp_reshape(g, x, DIPP_SHAPE(d[0], d[1], d[2], 1, d[3], 1));
    x = dipp_broadcast_to(g, x, DIPP_SHAPE(d[0], d[1], d[2], factor, d[3], factor));
    return dipp_reshape(g, x, DIPP_SHAPE(d[0], d[1], d[2] * factor, d[3] * factor));
}
