/* Writing a safetensors file: declare all tensors, then one commit streams them to disk. */
#ifndef DIPP_WEIGHTS_WRITER_H
#define DIPP_WEIGHTS_WRITER_H

#include "weights/number.h"

#include <dipp/status.h>

#include <stdint.h>

typedef struct dipp_weights_writer dipp_weights_writer;

/* Nothing is written before commit. The file says `format: pt`, as PyTorch's own do, whatever else of metadata is set.
 * [any thread]; what takes a writer is [one thread at a time]. */
dipp_status dipp_weights_writer_create(const char *path, dipp_weights_writer **writer, dipp_error *error);
/* The same for what nobody but dipp reads, and so says no format: checkpoints. [any thread] */
dipp_status dipp_weights_writer_create_state(const char *path, dipp_weights_writer **writer, dipp_error *error);
void dipp_weights_writer_destroy(dipp_weights_writer **writer);

/* One text of __metadata__; setting a key again replaces it. The texts are copied; valid UTF-8 (DIPP_E_INVALID). */
dipp_status dipp_weights_writer_metadata(dipp_weights_writer *writer, const char *key, const char *value,
                                         dipp_error *error);

/* Adds a tensor stored as dtype from floats: data[product of shape], row-major, borrowed until commit. dtype is F32,
 * BF16 (rounded to nearest even) or F64. The name is copied; it is valid UTF-8, not "__metadata__", used once; rank at
 * most 8. DIPP_E_INVALID otherwise; DIPP_E_MEMORY. */
dipp_status dipp_weights_writer_add_f32(dipp_weights_writer *writer, const char *name, dipp_weight_dtype dtype,
                                        uint32_t rank, const uint64_t *shape, const float *data, dipp_error *error);

/* The same for data that is already in the stored format (any dtype). */
dipp_status dipp_weights_writer_add(dipp_weights_writer *writer, const char *name, dipp_weight_dtype dtype,
                                    uint32_t rank, const uint64_t *shape, const void *data, dipp_error *error);

/* The same for data that is fetched while writing, e.g. from a device: fetch puts the bytes [first, first + bytes) of
 * the stored tensor into buffer. It is called in ascending order, at most 1 MiB at a time, whole elements, during
 * commit only. */
typedef dipp_status (*dipp_weights_fetch)(void *user, uint64_t first, void *buffer, size_t bytes, dipp_error *error);
dipp_status dipp_weights_writer_add_fetched(dipp_weights_writer *writer, const char *name, dipp_weight_dtype dtype,
                                            uint32_t rank, const uint64_t *shape, dipp_weights_fetch fetch, void *user,
                                            dipp_error *error);

/* Writes the file (a temporary, synced, renamed: path is the old file or the whole new one) and destroys the writer,
 * also on failure. The header is padded with spaces so that the data start at a multiple of 8; tensors lie by falling
 * element size, then by name, so that each is aligned and equal content gives equal bytes. DIPP_E_IO, DIPP_E_NOT_FOUND
 * (no such folder), DIPP_E_MEMORY, DIPP_E_INVALID (header above the format's limit), or what fetch returned. */
dipp_status dipp_weights_writer_commit(dipp_weights_writer **writer, dipp_error *error);

#endif
