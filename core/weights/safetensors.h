/* The layout of one safetensors file: an 8 byte length, a JSON header, the tensors back to back.
 * Inside libdipp; others read through weights/weights.h. */
#ifndef DIPP_WEIGHTS_SAFETENSORS_H
#define DIPP_WEIGHTS_SAFETENSORS_H

#include "base/arena.h"
#include "weights/weights.h"

/* The limit that the reference implementation has too: a header is never larger than this. */
enum { DIPP_SAFETENSORS_HEADER_LIMIT = 100 * 1000 * 1000 };

typedef struct dipp_weight_note {
    const char *key, *value;
} dipp_weight_note;

typedef struct dipp_safetensors {
    dipp_weight_tensor *tensors; /* sorted by name, names distinct */
    size_t tensor_count;
    dipp_weight_note *notes; /* __metadata__ */
    size_t note_count;
} dipp_safetensors;

/* Parses and checks the whole header of the file content bytes[size]; nothing in it is trusted. Tensors point into
 * bytes; names and arrays are in the arena. file is for messages and for dipp_weight_tensor.file, and must live as
 * long as the arena's content. [one thread at a time for the arena] */
dipp_status dipp_safetensors_parse(const uint8_t *bytes, size_t size, const char *file, dipp_arena *arena,
                                   dipp_safetensors *out, dipp_error *error);

/* A name from a file, fit for a message: at most 100 bytes of it, control bytes as '?', quoted. Returns out. */
enum { DIPP_QUOTED_BYTES = 112 };
char *dipp_weight_quote(const char *name, char out[DIPP_QUOTED_BYTES]);

#endif
