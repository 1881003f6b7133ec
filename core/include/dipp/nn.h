/* UNSTABLE: networks that several plugins record, built on dipp/tensor.h. Their options may change between minor releases.
 *
 * A function here appends to the caller's graph and declares its parameters in the caller's set under the names of the
 * published files. A wrong option or shape fails the graph (dipp_graph_fail). Options structs are read during the call only.
 * Thread tag of every function that takes a graph: [one thread at a time per graph]. */
#ifndef DIPP_NN_H
#define DIPP_NN_H

#include <dipp/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- The PixArt-alpha transformer (diffusers: PixArtTransformer2DModel) ---------------------------------------- */

typedef struct dipp_dit_options {
    size_t struct_size;              /* sizeof(dipp_dit_options), or 0 */
    int64_t channels, height, width; /* of a sample; height and width are multiples of patch */
    int64_t patch;
    int64_t hidden; /* multiple of 4 and of heads */
    int64_t layers, heads;
    int64_t mlp_ratio;        /* width of the feed-forward layer over hidden; 0 means 4 */
    int64_t caption_channels; /* width of the text states; 0: no text, the blocks have no cross-attention */
    bool learn_sigma;         /* twice as many output channels: the prediction, then the variance logits */
    double time_scale;        /* t is multiplied by it before the sinusoid, which wants a range near 1000; 0 means 1 */
    int64_t position_base;    /* token grid whose coordinates are 0, 1, 2, ...; 0 means height / patch */
    double position_scale;    /* coordinates are divided by it (diffusers: interpolation_scale); 0 means 1 */
    double epsilon;           /* of the layer norms; 0 means 1e-6 */
    /* Micro-conditioning of the 1024 px model: the picture's size in pixels that joins the time embedding, with its aspect
     * ratio height/width. Both 0: off, and its six tensors do not exist. hidden is then a multiple of 3. */
    double micro_height, micro_width;
} dipp_dit_options;

/* Checks the options alone: DIPP_E_INVALID says which field is wrong and why. [any thread] */
dipp_status dipp_dit_check(const dipp_dit_options *options, dipp_error *error);

/* x [N, channels, height, width], t wide [N], caption [N, L, caption_channels] and mask wide [N, L] (1 valid, 0 padding),
 * the last two DIPP_NONE when caption_channels is 0 -> [N, channels (twice with learn_sigma), height, width], wide. */
dipp_tensor dipp_dit(dipp_graph *g, dipp_params p, const dipp_dit_options *options, dipp_tensor x, dipp_tensor t,
                     dipp_tensor caption, dipp_tensor mask);

/* ---- A small text encoder for vocabularies of our own ---------------------------------------------------------- */

typedef struct dipp_text_encoder_options {
    size_t struct_size; /* sizeof(dipp_text_encoder_options), or 0 */
    int64_t vocabulary; /* number of token ids */
    int64_t length;     /* L, number of positions */
    int64_t width;      /* multiple of heads */
    int64_t layers;     /* 0: embeddings and the final norm only */
    int64_t heads;
    int64_t mlp_ratio; /* 0 means 4 */
    double epsilon;    /* of the layer norms; 0 means 1e-5 */
} dipp_text_encoder_options;

/* As dipp_dit_check. [any thread] */
dipp_status dipp_text_encoder_check(const dipp_text_encoder_options *options, dipp_error *error);

/* tokens int32 [N, L], mask wide [N, L] -> states [N, L, width], compute. Token and position embeddings, pre-norm blocks
 * in which padding is no key, final layer norm. Every row needs at least one valid token to mean something. */
dipp_tensor dipp_text_encoder(dipp_graph *g, dipp_params p, const dipp_text_encoder_options *options,
                              dipp_tensor tokens, dipp_tensor mask);

#ifdef __cplusplus
}
#endif
#endif
