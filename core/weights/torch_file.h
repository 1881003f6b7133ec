/* The layout of a file of torch.save (PyTorch 1.6 or newer) or torch.jit.save: a ZIP archive with a pickle, data.pkl, that
 * describes tensors, and their bytes in entries of their own; torch.jit.save adds the program, which is not looked at. Inside libdipp; others read through weights/weights.h. */
#ifndef DIPP_WEIGHTS_TORCH_FILE_H
#define DIPP_WEIGHTS_TORCH_FILE_H

#include "weights/content.h"

#include <stdbool.h>

/* Whether bytes look like any file of torch.save, old ones included: for choosing a reader. */
bool dipp_torch_file_is(const uint8_t *bytes, size_t size);

/* Parses the whole file; nothing in it is trusted, no code in it runs. Contiguous tensors point into bytes, others are
 * copied to the arena. Which dict counts, and errors: docs/weights.md. file as in dipp_safetensors_parse.
 * [one thread at a time for the arena] */
dipp_status dipp_torch_file_parse(const uint8_t *bytes, size_t size, const char *file, dipp_arena *arena,
                                  dipp_weight_content *out, dipp_error *error);

#endif
