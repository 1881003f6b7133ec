/* What every back-end does the same way: reading options that may come from an older caller, and naming ops. */
#ifndef DIPP_BACKEND_OPTIONS_H
#define DIPP_BACKEND_OPTIONS_H

#include "tensor/backend.h"

/* The caller's options with every field present: NULL, a zero struct_size and fields past the caller's struct_size
 * give defaults; precision is never NULL. [any thread] */
dipp_backend_options dipp_backend_options_of(const dipp_backend_options *options);

/* Why prepare refuses op: a static sentence that names it. [any thread] */
const char *dipp_backend_no_kernel(dipp_op op);

#endif
