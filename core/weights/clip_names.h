/* The two naming schemes of published CLIP weights: open_clip's (and OpenAI's), by which tensors are asked for here, and
 * Hugging Face's CLIPModel, which splits each block's query-key-value matrix into three and transposes both projections.
 * The networks of dipp/nn.h declare the latter's names; weights_io.c does not use this yet. */
#ifndef DIPP_WEIGHTS_CLIP_NAMES_H
#define DIPP_WEIGHTS_CLIP_NAMES_H

#include "weights/weights.h"

#include <stdbool.h>

enum { DIPP_CLIP_NAME_BYTES = 96 };

typedef enum dipp_clip_change {
    DIPP_CLIP_SAME,
    DIPP_CLIP_TRANSPOSED, /* a matrix [a, b] there is [b, a] here */
    DIPP_CLIP_STACKED     /* three tensors [n, ...] there, query, key and value, are the rows [3n, ...] here */
} dipp_clip_change;

/* Where a tensor of open_clip's scheme comes from in the other. */
typedef struct dipp_clip_source {
    dipp_clip_change change;
    uint32_t count; /* of names: 3 when stacked, else 1 */
    char names[3][DIPP_CLIP_NAME_BYTES];
} dipp_clip_source;

/* false when name is none of CLIP's. [any thread] */
bool dipp_clip_to_hugging_face(const char *name, dipp_clip_source *source);

/* The other way: the open_clip name of a Hugging Face name, and which third of it this is (0 unless stacked). false
 * when name is none of CLIP's weights; the position_ids of older files are none. [any thread] */
bool dipp_clip_from_hugging_face(const char *name, char out[DIPP_CLIP_NAME_BYTES], dipp_clip_change *change,
                                 uint32_t *third);

/* Loads the tensor of this open_clip name and shape (of open_clip's layout) from weights in either scheme, with or
 * without the prefixes of dipp_weights_find_prefixed, as out[product of shape]. Errors as dipp_weights_load_f32, and
 * DIPP_E_MEMORY; out is undefined after an error. [any thread] */
dipp_status dipp_clip_load_f32(const dipp_weights *weights, const char *name, uint32_t rank, const uint64_t *shape,
                               float *out, dipp_error *error);

#endif
