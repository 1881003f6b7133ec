/* The heads of LAION's aesthetic predictors: from a CLIP picture embedding of length 1 to a number of about 1 to 10. */
#ifndef DIPP_EVALUATE_AESTHETIC_HEAD_H
#define DIPP_EVALUATE_AESTHETIC_HEAD_H

#include "weights/weights.h"

#include <stdbool.h>

enum { DIPP_AESTHETIC_LAYERS_MOST = 5 };

typedef struct dipp_aesthetic_layer {
    size_t in, out;
    const float *weight; /* [out, in] */
    const float *bias;   /* [out] */
} dipp_aesthetic_layer;

/* Affine layers one after the other, the last with one output. Owns its numbers. */
typedef struct dipp_aesthetic_head {
    size_t layer_count;
    dipp_aesthetic_layer layers[DIPP_AESTHETIC_LAYERS_MOST];
    bool rectified; /* max(0, x) between the layers; otherwise nothing is, and the head is one affine map */
    float *numbers;
} dipp_aesthetic_head;

/* Takes one of the three published layouts, told apart by their names: `weight`, `bias` (version 1); layers.0, 2, 4,
 * 6, 7 (version 2: dropout between, which scoring leaves out); layers.0, 3, 6, 9, 11 (its variant with rectifiers).
 * Widths are read from the file. DIPP_E_INVALID (no such layout, shapes that do not follow on each other),
 * DIPP_E_MEMORY. *head is the caller's, dipp_aesthetic_head_clear. [any thread] */
dipp_status dipp_aesthetic_head_load(const dipp_weights *weights, dipp_aesthetic_head *head, dipp_error *error);
void dipp_aesthetic_head_clear(dipp_aesthetic_head *head);

/* The score of embedding[layers[0].in], which is first brought to length 1, in double precision.
 * DIPP_E_INVALID for an embedding that is zero or not finite; DIPP_E_MEMORY. [any thread] */
dipp_status dipp_aesthetic_head_score(const dipp_aesthetic_head *head, const double *embedding, double *score,
                                      dipp_error *error);

#endif
