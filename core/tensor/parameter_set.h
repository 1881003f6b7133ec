/* A parameter set: the numbers behind a layout, on one back-end, in contiguous blocks with the layout's offsets. */
#ifndef DIPP_TENSOR_PARAMETER_SET_H
#define DIPP_TENSOR_PARAMETER_SET_H

#include "tensor/backend.h"
#include "tensor/graph.h"

/* What the numbers of a trained set are stored in. */
typedef struct dipp_formats {
    /* There is no f32 master: what a recording reads as compute holds bf16 numbers on every back-end, and the optimizer
     * rounds its update at random. What enters as wide (DIPP_PARAM_WIDE: gains, tables) stays wide. */
    bool bf16_weights;
    dipp_state_format state; /* of both moments */
} dipp_formats;

/* Whether an update in these formats rounds at random, and so needs a key. */
bool dipp_formats_round(dipp_formats formats);

typedef struct dipp_parameter_set {
    const char *name;    /* "generator", "ta", ...: for messages */
    dipp_layout *layout; /* not owned; sealed */
    dipp_backend *backend;
    /* device; NULL where the set has none. COMPUTE is MASTER when compute is wide. With bf16 weights and a narrower
     * compute MASTER holds the layout's wide elements alone, and the rest of the weights is in COMPUTE. */
    void *blocks[DIPP_BLOCK_COUNT];
    bool trainable;
    dipp_formats formats;
} dipp_parameter_set;

/* Seals the layout and allocates zeroed blocks: master and compute copy, and gradient and moments when trainable, all in
 * f32 (compute copy: compute). */
dipp_status dipp_parameter_set_create(const char *name, dipp_layout *layout, dipp_backend *backend, bool trainable,
                                      dipp_parameter_set **out, dipp_error *error);
/* A trainable set in other formats. */
dipp_status dipp_parameter_set_create_in(const char *name, dipp_layout *layout, dipp_backend *backend,
                                         dipp_formats formats, dipp_parameter_set **out, dipp_error *error);
void dipp_parameter_set_destroy(dipp_parameter_set **set);

/* Initial values as declared, from Philox (seed, stream, entry index): independent of back-end and order. */
dipp_status dipp_parameter_set_initialise(dipp_parameter_set *set, uint64_t seed, uint32_t stream, dipp_error *error);

/* master := other's master; moments are not touched. Same layout. */
dipp_status dipp_parameter_set_copy(dipp_parameter_set *set, const dipp_parameter_set *other, dipp_error *error);

/* compute copy := master rounded. Call after writing to master. */
dipp_status dipp_parameter_set_refresh(dipp_parameter_set *set, dipp_error *error);

/* Blocks to and from host numbers, in layout order: all dipp_layout_elements() of them, or count from element first.
 * MASTER is the weights wherever they lie; writing rounds to what they are stored in, to nearest. Packed moments can be
 * read, as numbers; they are written by words. */
void dipp_parameter_set_read(const dipp_parameter_set *set, dipp_block block, void *host, dipp_host_type type);
void dipp_parameter_set_write(dipp_parameter_set *set, dipp_block block, const void *host, dipp_host_type type);
void dipp_parameter_set_read_part(const dipp_parameter_set *set, dipp_block block, size_t first, size_t count,
                                  void *host, dipp_host_type type);
void dipp_parameter_set_write_part(dipp_parameter_set *set, dipp_block block, size_t first, size_t count,
                                   const void *host, dipp_host_type type);

/* Whether the entry's numbers lie in MASTER, so that a recording may read them as wide. */
bool dipp_parameter_set_has_master(const dipp_parameter_set *set, uint32_t entry);

/* Int32 words of a packed block (tensor/state_format.h); 0 when the block is not packed. */
size_t dipp_parameter_set_words(const dipp_parameter_set *set, dipp_block block);
void dipp_parameter_set_read_words(const dipp_parameter_set *set, dipp_block block, size_t first, size_t count,
                                   int32_t *words);
void dipp_parameter_set_write_words(dipp_parameter_set *set, dipp_block block, size_t first, size_t count,
                                    const int32_t *words);

/* One entry of master; count must be its number of elements. */
dipp_status dipp_parameter_set_read_entry(const dipp_parameter_set *set, const char *name, double *out, size_t count,
                                          dipp_error *error);

/* Device bytes held by a block (0 where there is none, or where it is another's memory), and by all. */
size_t dipp_parameter_set_block_bytes(const dipp_parameter_set *set, dipp_block block);
size_t dipp_parameter_set_bytes(const dipp_parameter_set *set);

#endif
