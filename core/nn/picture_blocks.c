/* Pieces of the convolutional networks of this folder: norms, resnets, changes of size, pictures as tokens. */
#include "nn/picture_blocks.h"

dipp_tensor dipp_nn_group_norm(dipp_graph *g, dipp_params p, const char *name, dipp_tensor x, dipp_group_norms norms,
                               bool silu)
{
    dipp_params here = dipp_scope(g, p, "%s", name);
    dipp_shape shape = DIPP_SHAPE(dipp_dim(g, x, 1));
    dipp_param_options ones = {.struct_size = sizeof ones, .init = DIPP_INIT_ONES, .flags = DIPP_PARAM_WIDE};
    dipp_param_options zeros = {.struct_size = sizeof zeros, .init = DIPP_INIT_ZEROS, .flags = DIPP_PARAM_WIDE};
    dipp_group_norm_options norm = {.struct_size = sizeof norm, .silu = silu};
    norm.groups = norms.groups;
    norm.epsilon = norms.epsilon;
    norm.gain = dipp_param(g, here, "weight", shape, &ones);
    norm.bias = dipp_param(g, here, "bias", shape, &zeros);
    return dipp_group_norm(g, x, &norm);
}

dipp_tensor dipp_nn_conv3(dipp_graph *g, dipp_params p, const char *name, dipp_tensor x, int64_t channels)
{
    dipp_conv2d_options same = {.struct_size = sizeof same, .pad_before = DIPP_PAD_SAME};
    return dipp_conv2d(g, p, name, x, channels, 3, &same);
}

dipp_tensor dipp_nn_resnet(dipp_graph *g, dipp_params p, dipp_tensor x, int64_t channels, dipp_tensor time,
                           dipp_group_norms norms)
{
    dipp_tensor h = dipp_nn_group_norm(g, p, "norm1", x, norms, true);
    h = dipp_nn_conv3(g, p, "conv1", h, channels);
    if (time.id) {
        dipp_tensor shift = dipp_linear(g, p, "time_emb_proj", time, channels, NULL);
        h = dipp_add(g, h, dipp_reshape(g, shift, DIPP_SHAPE(dipp_dim(g, x, 0), channels, 1, 1)));
    }
    h = dipp_nn_group_norm(g, p, "norm2", h, norms, true);
    /* A fresh block passes its input on, as the published training starts it. */
    dipp_conv2d_options last = {.struct_size = sizeof last, .pad_before = DIPP_PAD_SAME, .zero = true};
    h = dipp_conv2d(g, p, "conv2", h, channels, 3, &last);
    dipp_tensor shortcut = dipp_dim(g, x, 1) == channels ? x : dipp_conv2d(g, p, "conv_shortcut", x, channels, 1, NULL);
    return dipp_add(g, shortcut, h);
}

dipp_tensor dipp_nn_upsample(dipp_graph *g, dipp_params p, dipp_tensor x, int64_t height, int64_t width)
{
    int64_t channels = dipp_dim(g, x, 1);
    dipp_block_begin(g); /* the small picture is kept, not the large one that the convolution reads */
    dipp_tensor h = dipp_upsample_nearest(g, x, 2);
    if (dipp_dim(g, h, 2) != height)
        h = dipp_slice(g, h, 2, 0, height);
    if (dipp_dim(g, h, 3) != width)
        h = dipp_slice(g, h, 3, 0, width);
    h = dipp_nn_conv3(g, p, "upsamplers.0.conv", h, channels);
    dipp_block_end(g);
    return h;
}

dipp_tensor dipp_nn_tokens(dipp_graph *g, dipp_tensor x)
{
    dipp_shape s = dipp_shape_of(g, x);
    dipp_tensor h = dipp_reshape(g, x, DIPP_SHAPE(s.dims[0], s.dims[1], s.dims[2] * s.dims[3]));
    return dipp_permute(g, h, (const int[]){0, 2, 1});
}

dipp_tensor dipp_nn_picture(dipp_graph *g, dipp_tensor tokens, dipp_tensor like)
{
    return dipp_reshape(g, dipp_permute(g, tokens, (const int[]){0, 2, 1}), dipp_shape_of(g, like));
}
