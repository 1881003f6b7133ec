/* Checkpoints: whole blocks of parameter sets and named numbers in one safetensors file, exact to the bit. */
#ifndef DIPP_TRAIN_CHECKPOINT_H
#define DIPP_TRAIN_CHECKPOINT_H

#include "tensor/parameter_set.h"

/* One block of one set under a name. */
typedef struct dipp_checkpoint_block {
    const char *name; /* "generator.master" */
    dipp_parameter_set *set;
    dipp_block block;
} dipp_checkpoint_block;

typedef struct dipp_checkpoint_counter {
    const char *name;
    int64_t *value; /* or */
    double *number; /* NaN and infinities are kept as such */
    bool may_lack;  /* a file without it is fine and leaves it as it is */
} dipp_checkpoint_counter;

/* kind names what the file is ("dipp.align"); identity is compared on reading, e.g. seed, shapes and formats as text. Packed
 * moments are stored as they are, as I32 words; other blocks as F32, on a back-end of f64 as F64. Nothing is copied whole
 * on the way. sha256 [65] may be NULL. */
dipp_status dipp_checkpoint_write(const char *path, const char *kind, const char *identity,
                                  const dipp_checkpoint_block *blocks, uint32_t block_count,
                                  const dipp_checkpoint_counter *counters, uint32_t counter_count, char *sha256,
                                  dipp_error *error);
/* DIPP_E_FORMAT: the file is not such a checkpoint, or not whole; nothing has been changed then. */
dipp_status dipp_checkpoint_read(const char *path, const char *kind, const char *identity,
                                 const dipp_checkpoint_block *blocks, uint32_t block_count,
                                 const dipp_checkpoint_counter *counters, uint32_t counter_count, dipp_error *error);

/* "bf16 weights with 8bit moments": a part of an identity, since a checkpoint goes on in its own formats only. */
void dipp_checkpoint_formats(const dipp_parameter_set *set, char *out, size_t size);

#endif
