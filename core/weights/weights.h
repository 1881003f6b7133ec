/* Reading weights: one interface over a safetensors file, a file of PyTorch, a sharded index, or a
 * folder that holds any of them.
 *
 * Files are mapped, not read: opening costs the header, and a tensor's pages come in when it is touched.
 * Page: docs/weights.md. */
#ifndef DIPP_WEIGHTS_WEIGHTS_H
#define DIPP_WEIGHTS_WEIGHTS_H

#include "weights/number.h"

#include <dipp/status.h>

#include <stddef.h>
#include <stdint.h>

enum { DIPP_WEIGHT_MAX_RANK = 8 };

typedef struct dipp_weights dipp_weights;

/* One stored tensor; everything it points to lives as long as the dipp_weights. */
typedef struct dipp_weight_tensor {
    const char *name;
    const char *file; /* for messages: the path of the file it is in */
    dipp_weight_dtype dtype;
    uint32_t rank;                        /* 0: a scalar, one element */
    uint64_t shape[DIPP_WEIGHT_MAX_RANK]; /* row-major, outermost first; entries from rank on are 0 */
    uint64_t count;                       /* elements */
    uint64_t bytes;                       /* count times the size of dtype, checked against the file */
    const void *data; /* little-endian, row-major, of any alignment; not NULL, also when count is 0 */
} dipp_weight_tensor;

/* Opens path: a safetensors file, a file that torch.save or torch.jit.save wrote (.pt, .pth, .bin; PyTorch 1.6 or newer;
 * nothing in it is executed), an index (*.json) with its shards beside it, or a folder, of which what
 * dipp_weights_in_folder finds counts. Every header is checked in full before it is believed: DIPP_E_FORMAT names file, tensor,
 * expected and found; DIPP_E_UNSUPPORTED a dtype or kind of file that dipp does not read; DIPP_E_NOT_FOUND a missing
 * file; DIPP_E_IO; DIPP_E_MEMORY. [any thread] */
dipp_status dipp_weights_open(const char *path, dipp_weights **weights, dipp_error *error);

/* FOLDER/NAME of the file or index that counts in a folder, the caller's (dipp_release): model.safetensors or
 * diffusion_pytorch_model.safetensors, but the index of several before them; then their bf16 and fp16 variants, PyTorch's
 * .bin likewise, last pytorch_lora_weights.safetensors. DIPP_E_NOT_FOUND lists them; DIPP_E_MEMORY. [any thread] */
dipp_status dipp_weights_in_folder(const char *folder, char **path, dipp_error *error);

/* dipp_weights_open for the content of one file in memory, which must outlive the result. label stands for the path
 * in messages. [any thread] */
dipp_status dipp_weights_open_memory(const void *data, size_t bytes, const char *label, dipp_weights **weights,
                                     dipp_error *error);

void dipp_weights_destroy(dipp_weights **weights);

/* The tensors in the byte order of their names. Reading an open dipp_weights is [any thread]. */
size_t dipp_weights_count(const dipp_weights *weights);
const dipp_weight_tensor *dipp_weights_at(const dipp_weights *weights, size_t index);

/* NULL when there is none of that name. */
const dipp_weight_tensor *dipp_weights_find(const dipp_weights *weights, const char *name);

/* The same for a name that training code may have put "module.", "model.", "blip." or what the networks of CompVis's
 * Stable Diffusion are attributes of before ("model.diffusion_model.", "first_stage_model.",
 * "cond_stage_model.transformer."), or that the file has without one of these. The exact name is preferred. */
const dipp_weight_tensor *dipp_weights_find_prefixed(const dipp_weights *weights, const char *name);

/* The value of __metadata__[key]; NULL when there is none. Of several shards the first that has the key counts. */
const char *dipp_weights_metadata(const dipp_weights *weights, const char *key);
size_t dipp_weights_metadata_count(const dipp_weights *weights);
void dipp_weights_metadata_at(const dipp_weights *weights, size_t index, const char **key, const char **value);

/* What identifies the weights at path, a file or an index: the SHA-256 of the file, or of its shards' in hexadecimal, one
 * after another in the order of dipp_weights_file; out[DIPP_SHA256_HEX_BYTES]. Errors as dipp_weights_open. [any thread] */
dipp_status dipp_weights_sha256(const char *path, char *out, dipp_error *error);

/* The files behind it. */
size_t dipp_weights_file_count(const dipp_weights *weights);
const char *dipp_weights_file(const dipp_weights *weights, size_t index);

/* Converts a whole float tensor to out[count]. DIPP_E_INVALID when the dtype is an integer or count is not the
 * tensor's. */
dipp_status dipp_weight_tensor_to_f32(const dipp_weight_tensor *tensor, float *out, uint64_t count, dipp_error *error);

/* Finds name, checks that its shape is shape[rank], and converts it to out. DIPP_E_NOT_FOUND (with the nearest name
 * there is), DIPP_E_INVALID for a shape or dtype that differs; out is untouched then. */
dipp_status dipp_weights_load_f32(const dipp_weights *weights, const char *name, uint32_t rank, const uint64_t *shape,
                                  float *out, dipp_error *error);

/* "[2, 3]" for messages. Returns out. */
enum { DIPP_SHAPE_TEXT_BYTES = 24 * DIPP_WEIGHT_MAX_RANK };
char *dipp_weight_shape_text(uint32_t rank, const uint64_t *shape, char out[DIPP_SHAPE_TEXT_BYTES]);

#endif
