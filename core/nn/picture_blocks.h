/* Pieces of the convolutional networks of this folder, named as the published diffusers files name them. */
#ifndef DIPP_NN_PICTURE_BLOCKS_H
#define DIPP_NN_PICTURE_BLOCKS_H

#include "nn/blocks.h"

/* How the norms of a network are set. */
typedef struct dipp_group_norms {
    uint32_t groups;
    double epsilon;
} dipp_group_norms;

/* Group norm with learned NAME.weight and NAME.bias [C], then SiLU if asked for. x [N, C, H, W] -> the same, compute. */
dipp_tensor dipp_nn_group_norm(dipp_graph *g, dipp_params p, const char *name, dipp_tensor x, dipp_group_norms norms,
                               bool silu);

/* Norm, SiLU, convolution, twice, beside a shortcut that is a 1x1 convolution where the width changes.
 * x [N, C', H, W] -> [N, channels, H, W], compute. time [N, E], already through SiLU, enters between the two convolutions
 * by a linear layer; or none. */
dipp_tensor dipp_nn_resnet(dipp_graph *g, dipp_params p, dipp_tensor x, int64_t channels, dipp_tensor time,
                           dipp_group_norms norms);

/* Twice the size, then a 3x3 convolution: [N, C, H, W] -> [N, C, height, width]. The size asked for is the doubled one or,
 * where halving had rounded up, one less; the last row or column is then left out. */
dipp_tensor dipp_nn_upsample(dipp_graph *g, dipp_params p, dipp_tensor x, int64_t height, int64_t width);

/* A 3x3 convolution that keeps size and places. */
dipp_tensor dipp_nn_conv3(dipp_graph *g, dipp_params p, const char *name, dipp_tensor x, int64_t channels);

/* [N, C, H, W] -> [N, H W, C], row by row, and back to the shape of like. */
dipp_tensor dipp_nn_tokens(dipp_graph *g, dipp_tensor x);
dipp_tensor dipp_nn_picture(dipp_graph *g, dipp_tensor tokens, dipp_tensor like);

#endif
