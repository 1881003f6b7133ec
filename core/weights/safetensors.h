/* The layout of one safetensors file: an 8 byte length, a JSON header, the tensors back to back.
 * Inside libdipp; others read through weights/weights.h. */
#ifndef DIPP_WEIGHTS_SAFETENSORS_H
#define DIPP_WEIGHTS_SAFETENSORS_H

#include "weights/content.h"

/* The limit that the reference implementation has too: a header is never larger than this. */
enum { DIPP_SAFETENSORS_HEADER_LIMIT = 100 * 1000 * 1000 };

/* Parses and checks the whole header of the file content bytes[size]; nothing in it is trusted. Tensors point into
 * bytes; names and arrays are in the arena. file is for messages and for dipp_weight_tensor.file, and must live as
 * long as the arena's content. [one thread at a time for the arena] */
dipp_status dipp_safetensors_parse(const uint8_t *bytes, size_t size, const char *file, dipp_arena *arena,
                                   dipp_weight_content *out, dipp_error *error);

#endif
