/* Arrays of numpy's .npy files: lists of embeddings. */
#ifndef DIPP_DATA_NPY_H
#define DIPP_DATA_NPY_H

#include <dipp/status.h>

typedef struct dipp_npy {
    size_t rows, columns;
    double *values; /* [rows, columns], exact */
} dipp_npy;

/* Reads bytes[size]: format 1 to 3, little-endian float16, float32 or float64, C order, one dimension (one row) or
 * two. label stands for the path in messages. DIPP_E_FORMAT (no .npy, damaged, cut short), DIPP_E_UNSUPPORTED (other
 * numbers, order or dimensions, with what was found), DIPP_E_MEMORY; *array is untouched on failure. dipp_npy_clear
 * frees it. [any thread] */
dipp_status dipp_npy_read_memory(const void *bytes, size_t size, const char *label, dipp_npy *array, dipp_error *error);

/* The same from a file of at most 1 GiB; errors also: DIPP_E_NOT_FOUND, DIPP_E_IO, DIPP_E_INVALID beyond the limit. */
dipp_status dipp_npy_read(const char *path, dipp_npy *array, dipp_error *error);

void dipp_npy_clear(dipp_npy *array);

#endif
