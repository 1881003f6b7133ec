/* A back-end that prepares kernels as ever and has addresses in place of memory: for plans of what this machine cannot hold,
 * or need not. */
#ifndef DIPP_BACKEND_UNBACKED_H
#define DIPP_BACKEND_UNBACKED_H

#include "tensor/backend.h"

/* From here on the back-end's memory is address space that nothing is written to: uploads and zeroing do nothing, downloads
 * give zeros, and any amount can be allocated. Nothing may be replayed on it. Before its first allocation.
 * [one thread at a time per back-end] */
void dipp_backend_forgo_memory(dipp_backend *backend);

#endif
