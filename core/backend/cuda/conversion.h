/* Host numbers to stored numbers and back: the only arithmetic at the border. Plain C without CUDA. */
#ifndef DIPP_BACKEND_CUDA_CONVERSION_H
#define DIPP_BACKEND_CUDA_CONVERSION_H

#include "backend/cuda/geometry.h"
#include "tensor/backend.h"

/* Elements [first, first + count) of host, stored as type at out. Integers are rounded to nearest and saturate; equal
 * types keep their bits; bf16 is rounded to nearest even by way of f32. */
void dipp_cuda_encode(void *out, int32_t type, const void *host, dipp_host_type host_type, size_t first, size_t count);

/* count stored numbers at in to elements [first, first + count) of host. */
void dipp_cuda_decode(void *host, dipp_host_type host_type, size_t first, const void *in, int32_t type, size_t count);

#endif
