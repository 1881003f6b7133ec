/* Pieces that the networks of this folder share. */
#ifndef DIPP_NN_BLOCKS_H
#define DIPP_NN_BLOCKS_H

#include <dipp/nn.h>

/* Names of the four projections of an attention layer, e.g. "to_q", "to_k", "to_v", "to_out.0". */
typedef struct dipp_attention_names {
    const char *query, *key, *value, *out;
} dipp_attention_names;

typedef struct dipp_attention_layer {
    const dipp_attention_names *names;
    const dipp_attention_names *old_names; /* of older files, or NULL */
    uint32_t heads;
    dipp_tensor key_bias; /* [N, M] wide, or none */
    bool zero_out;        /* the output projection starts at zero */
    bool no_input_bias;   /* query, key and value have no bias; the output projection always has one */
    bool causal;          /* a token sees itself and what is before it */
} dipp_attention_layer;

/* Projections, attention, output projection: x [N, T, C], context [N, M, D] -> [N, T, C], compute. */
dipp_tensor dipp_nn_attention(dipp_graph *g, dipp_params p, const dipp_attention_layer *layer, dipp_tensor x,
                              dipp_tensor context);

/* mask [N, L] of ones and zeros -> (mask - 1) * 10000, wide: what is added to the logits of each key. */
dipp_tensor dipp_nn_key_bias(dipp_graph *g, dipp_tensor mask);

/* Layer norm with learned NAME.weight and NAME.bias [C]; compute. */
dipp_tensor dipp_nn_layer_norm(dipp_graph *g, dipp_params p, const char *name, dipp_tensor x, double epsilon);

/* Two linear layers with an activation between; parameters FIRST.* [inner, ...] and SECOND.* [outer, inner]. */
dipp_tensor dipp_nn_mlp(dipp_graph *g, dipp_params p, const char *first, const char *second, dipp_tensor x,
                        int64_t inner, int64_t outer, dipp_tensor (*activation)(dipp_graph *, dipp_tensor));

/* Pictures cut into squares of patch x patch, each through one linear layer whose weight NAME.weight is stored as the
 * convolution it is, [width, C, patch, patch]: x [N, C, H, W] -> tokens [N, (H/patch) (W/patch), width], row by row, wide. */
dipp_tensor dipp_nn_patches(dipp_graph *g, dipp_params p, const char *name, dipp_tensor x, int64_t patch, int64_t width,
                            bool no_bias);

/* A parameter before the first token of every sample: token has any shape of C numbers. x [N, T, C] -> [N, 1 + T, C], wide. */
dipp_tensor dipp_nn_class_token(dipp_graph *g, dipp_params p, const char *name, dipp_shape token, dipp_tensor x);

/* The first `count` tokens: [N, T, C] -> [N, count, C]. */
dipp_tensor dipp_nn_first_tokens(dipp_graph *g, dipp_tensor x, int64_t count);

/* A table of learned numbers, normal around zero, wide: positions and class tokens. */
dipp_tensor dipp_nn_table(dipp_graph *g, dipp_params p, const char *name, dipp_shape shape);

#endif
