/* Back-ends that are shared objects of their own, so that libdipp needs nothing of what they link. A module exports one
 * symbol, dipp_backend_module_entry, which says what it was built against. */
#ifndef DIPP_BACKEND_MODULE_H
#define DIPP_BACKEND_MODULE_H

#include "tensor/backend.h"

/* Grows when anything of tensor/backend.h or tensor/op.h changes its meaning; a change of size shows by itself. */
enum { DIPP_BACKEND_MODULE_ABI = 1 };

typedef struct dipp_backend_module {
    uint32_t abi, ops, backend_bytes, node_bytes, attributes_bytes;
    dipp_status (*create)(const dipp_backend_options *options, dipp_backend **out, dipp_error *error);
} dipp_backend_module;

/* What a module says that was built against these headers. */
#define DIPP_BACKEND_MODULE_OF(function)                                                                               \
    {                                                                                                                  \
        DIPP_BACKEND_MODULE_ABI, DIPP_OP_COUNT, sizeof(dipp_backend), sizeof(dipp_node_view), sizeof(dipp_attributes), \
            (function)                                                                                                 \
    }

#define DIPP_BACKEND_MODULE(function)                                                                  \
    extern const dipp_backend_module dipp_backend_module_entry __attribute__((visibility("default"))); \
    const dipp_backend_module dipp_backend_module_entry = DIPP_BACKEND_MODULE_OF(function)

/* Loads backend_<name>.so from the folder DIPP_BACKEND_PATH of the environment, or from that of libdipp: beside it, in core/backend/<name> of a build tree, or in dipp/ of an
 * installation; then creates the back-end. DIPP_E_UNSUPPORTED says what is missing. [any thread] */
dipp_status dipp_backend_module_create(const char *name, const dipp_backend_options *options, dipp_backend **out,
                                       dipp_error *error);

/* The same with the places to look in, in order: the first file that exists is loaded, and stays loaded. [any thread] */
dipp_status dipp_backend_module_create_from(const char *name, const char *const *paths, size_t count,
                                            const dipp_backend_options *options, dipp_backend **out, dipp_error *error);

#endif
