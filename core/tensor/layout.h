/* The layout of a parameter set: names, shapes, initial values and where each tensor lies in the set's contiguous blocks.
 * Several recordings share one layout, and several parameter sets (theta, EMA, TA, reference) have the same layout: a
 * program is code, a set is a binding. Declared while recording, then sealed, which fixes the offsets. */
#ifndef DIPP_TENSOR_LAYOUT_H
#define DIPP_TENSOR_LAYOUT_H

#include <dipp/tensor.h>

/* Every tensor starts on such a boundary, so that blocks can be cut for 8-bit states and for several devices. */
enum { DIPP_LAYOUT_ALIGNMENT = 256 };

typedef struct dipp_layout_entry {
    const char *name;
    const char *const *aliases; /* NULL-terminated full names, or NULL */
    dipp_shape shape;
    int64_t elements;
    int64_t offset; /* elements into each block; valid once sealed */
    dipp_init init;
    double value;
    const double *data; /* DIPP_INIT_DATA */
    uint32_t flags;     /* DIPP_PARAM_* */
} dipp_layout_entry;

/* A run of elements that are updated alike. */
typedef struct dipp_layout_range {
    int64_t start, count;
    bool wide, decay; /* wide: parameters that enter a recording as wide (DIPP_PARAM_WIDE) */
} dipp_layout_range;

enum { DIPP_LAYOUT_RANGES = 4 };

typedef struct dipp_layout dipp_layout;

dipp_status dipp_layout_create(const char *name, dipp_layout **out, dipp_error *error);
void dipp_layout_destroy(dipp_layout **layout);

/* Finds or adds an entry; the shape must agree with an earlier declaration. Adding after sealing is an error. */
dipp_status dipp_layout_declare(dipp_layout *layout, const char *name, dipp_shape shape,
                                const dipp_param_options *options, const char *prefix, uint32_t *index,
                                dipp_error *error);

/* Makes an entry one that is never trained. DIPP_E_INVALID once the layout is sealed. */
dipp_status dipp_layout_mark_frozen(dipp_layout *layout, uint32_t index, dipp_error *error);

/* Assigns offsets: wide parameters first, so that a set without masters holds f32 numbers for a prefix alone; of each kind
 * those trained with decay, trained without, frozen; declaration order within each. Idempotent. */
void dipp_layout_seal(dipp_layout *layout);
bool dipp_layout_sealed(const dipp_layout *layout);

const char *dipp_layout_name(const dipp_layout *layout);
uint32_t dipp_layout_count(const dipp_layout *layout);
const dipp_layout_entry *dipp_layout_entry_at(const dipp_layout *layout, uint32_t index);
bool dipp_layout_find(const dipp_layout *layout, const char *name, uint32_t *index); /* names, then aliases */
/* Whether every entry of a has a namesake of the same shape in b. */
bool dipp_layouts_agree(const dipp_layout *a, const dipp_layout *b);
/* Whether namesakes of the two have one shape and one dtype, so that one layout can hold both. */
bool dipp_layouts_unite(const dipp_layout *a, const dipp_layout *b);
/* Whether every entry of other is in layout already, under its own name. */
bool dipp_layout_holds(const dipp_layout *layout, const dipp_layout *other);
/* Declares every entry of other that layout lacks; they unite, and layout is not sealed. */
dipp_status dipp_layout_add(dipp_layout *layout, const dipp_layout *other, dipp_error *error);
int64_t dipp_layout_elements(const dipp_layout *layout);      /* of a block, padding included; sealed */
int64_t dipp_layout_wide_elements(const dipp_layout *layout); /* of the wide parameters, which come first */
int64_t dipp_layout_parameters(const dipp_layout *layout);    /* without padding */
/* The ranges of trainable elements; returns how many. */
uint32_t dipp_layout_ranges(const dipp_layout *layout, dipp_layout_range out[DIPP_LAYOUT_RANGES]);

#endif
