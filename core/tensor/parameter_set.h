/* A parameter set: the numbers behind a layout, on one back-end, in contiguous blocks with the layout's offsets. */
#ifndef DIPP_TENSOR_PARAMETER_SET_H
#define DIPP_TENSOR_PARAMETER_SET_H

#include "tensor/backend.h"
#include "tensor/graph.h"

typedef struct dipp_parameter_set {
    const char *name;    /* "generator", "ta", ...: for messages */
    dipp_layout *layout; /* not owned; sealed */
    dipp_backend *backend;
    void *blocks[DIPP_BLOCK_COUNT]; /* device; NULL where the set has none. COMPUTE is MASTER when compute is wide */
    bool trainable;
} dipp_parameter_set;

/* Seals the layout and allocates zeroed blocks: master and compute copy, and gradient and moments when trainable. */
dipp_status dipp_parameter_set_create(const char *name, dipp_layout *layout, dipp_backend *backend, bool trainable,
                                      dipp_parameter_set **out, dipp_error *error);
void dipp_parameter_set_destroy(dipp_parameter_set **set);

/* Initial values as declared, from Philox (seed, stream, entry index): independent of back-end and order. */
dipp_status dipp_parameter_set_initialise(dipp_parameter_set *set, uint64_t seed, uint32_t stream, dipp_error *error);

/* master := other's master; moments are not touched. Same layout. */
dipp_status dipp_parameter_set_copy(dipp_parameter_set *set, const dipp_parameter_set *other, dipp_error *error);

/* compute copy := master rounded. Call after writing to master. */
dipp_status dipp_parameter_set_refresh(dipp_parameter_set *set, dipp_error *error);

/* Whole blocks to and from host f32 (f64 on request), layout order, dipp_layout_elements() numbers. */
void dipp_parameter_set_read(const dipp_parameter_set *set, dipp_block block, void *host, dipp_host_type type);
void dipp_parameter_set_write(dipp_parameter_set *set, dipp_block block, const void *host, dipp_host_type type);

/* One entry of master; count must be its number of elements. */
dipp_status dipp_parameter_set_read_entry(const dipp_parameter_set *set, const char *name, double *out, size_t count,
                                          dipp_error *error);

/* Device bytes held, by block. */
size_t dipp_parameter_set_bytes(const dipp_parameter_set *set);

#endif
