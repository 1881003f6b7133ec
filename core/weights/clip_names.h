/* The two layouts of published CLIP weights: Hugging Face's CLIPModel, whose names the networks of dipp/nn.h declare, and
 * open_clip's (and OpenAI's), which stacks each block's query, key and value matrices and transposes both projections. */
#ifndef DIPP_WEIGHTS_CLIP_NAMES_H
#define DIPP_WEIGHTS_CLIP_NAMES_H

#include <stdbool.h>
#include <stdint.h>

enum { DIPP_CLIP_NAME_BYTES = 96 };

typedef enum dipp_clip_change {
    DIPP_CLIP_SAME,
    DIPP_CLIP_TRANSPOSED, /* a matrix [a, b] here is [b, a] there */
    DIPP_CLIP_STACKED     /* what is here [n, ...] is a third of the rows [3n, ...] there: query, key, value */
} dipp_clip_change;

/* The open_clip name of a Hugging Face name, and which third of it this is (0 unless stacked). false when name is none of
 * CLIP's weights; the position_ids of older files are none. [any thread] */
bool dipp_clip_from_hugging_face(const char *name, char out[DIPP_CLIP_NAME_BYTES], dipp_clip_change *change,
                                 uint32_t *third);

#endif
