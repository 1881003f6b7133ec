/* What every reader of a weight file yields, and how readers speak. Inside libdipp; others read through
 * weights/weights.h. */
#ifndef DIPP_WEIGHTS_CONTENT_H
#define DIPP_WEIGHTS_CONTENT_H

#include "base/arena.h"
#include "weights/weights.h"

typedef struct dipp_weight_note {
    const char *key, *value;
} dipp_weight_note;

typedef struct dipp_weight_content {
    dipp_weight_tensor *tensors; /* sorted by name, names distinct */
    size_t tensor_count;
    dipp_weight_note *notes; /* texts of the file itself: __metadata__ of a safetensors file */
    size_t note_count;
} dipp_weight_content;

/* A name from a file, fit for a message: at most 100 bytes of it, control bytes as '?', quoted. Returns out. */
enum { DIPP_QUOTED_BYTES = 112 };
char *dipp_weight_quote(const char *name, char out[DIPP_QUOTED_BYTES]);

/* dipp_fail with "FILE: tensor "NAME": " before the message. */
dipp_status dipp_weight_fail(dipp_error *error, dipp_status code, const char *file, const char *name,
                             const char *format, ...) DIPP_PRINTF(5, 6);

#endif
