/* Which tensors of a pickle are weights, and what they are called: those of a state dict, or of a program's objects.
 * Inside libdipp. */
#ifndef DIPP_WEIGHTS_TORCH_STATE_H
#define DIPP_WEIGHTS_TORCH_STATE_H

#include "weights/pickle.h"

typedef struct dipp_torch_named {
    const char *name;
    const dipp_pickle_value *tensor;
} dipp_torch_named;

typedef struct dipp_torch_state {
    dipp_torch_named *items; /* in the order of the pickle; names may be there twice */
    size_t count;            /* at least 1 */
} dipp_torch_state;

/* Names are in arena, the list in scratch. Of a dict, or what it wraps, the tensors count under their keys; of an object
 * those that are its attributes, or its objects', under the path of attributes ("visual.proj"). pickle_bytes is the size of
 * the pickle and bounds what is listed. DIPP_E_FORMAT when there are none, for a key that is no UTF-8, or objects that
 * contain one another without end; DIPP_E_MEMORY. file is for messages. [one thread at a time for the arenas] */
dipp_status dipp_torch_state_find(const dipp_pickle_value *root, size_t pickle_bytes, const char *file,
                                  dipp_arena *arena, dipp_arena *scratch, dipp_torch_state *out, dipp_error *error);

#endif
