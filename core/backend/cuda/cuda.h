/* What the host files of the CUDA back-end share: its context, errors, and the doors of the kernel families. Host code is
 * C; the .cu files in kernels/ hold kernels and one launch function each (kernels/kernels.h). See docs/cuda-backend.md. */
#ifndef DIPP_BACKEND_CUDA_H
#define DIPP_BACKEND_CUDA_H

#include "backend/cuda/geometry.h"
#include "tensor/backend.h"

#include <cublasLt.h>
#include <cuda_runtime_api.h>

#define DIPP_CUDA_HIDDEN __attribute__((visibility("hidden")))

typedef struct dipp_cuda_chosen dipp_cuda_chosen;

enum { DIPP_CUDA_SLOTS = 8, DIPP_CUDA_SLOT_BYTES = 1 << 20 };

/* Pinned host memory through which everything goes up: slots used in turn, each filled by one or more uploads. An event
 * marks when the device has read a slot; waiting for it is the only wait, and a whole ring of uploads away. */
typedef struct dipp_cuda_staging {
    char *memory; /* DIPP_CUDA_SLOTS slots, then one for downloads */
    cudaEvent_t read[DIPP_CUDA_SLOTS];
    int slot;
    size_t used; /* bytes of the slot */
} dipp_cuda_staging;

typedef struct dipp_cuda_context {
    dipp_backend backend; /* what callers see; must be first */
    bool bf16;            /* compute is bf16 */
    bool graphs;          /* replays are captured; DIPP_CUDA_GRAPHS=0 in the environment switches this off */
    int64_t patch_bytes;  /* a chunk of a convolution; DIPP_CUDA_PATCH_BYTES in the environment sets it */
    cudaStream_t stream;  /* everything runs here, in order */
    cublasLtHandle_t library;
    void *page;               /* 256 bytes of device memory: a stand-in where the library wants to see a pointer */
    dipp_cuda_chosen *chosen; /* list of matrix products with their algorithms */
    dipp_cuda_staging staging;
    char isa[16];
    bool failed; /* sticky: the first error of the device or a library */
    char failure[512];
} dipp_cuda_context;

typedef dipp_status dipp_cuda_prepare(dipp_cuda_context *context, const dipp_node_view *node, dipp_kernel *out,
                                      dipp_error *error);

dipp_cuda_prepare dipp_cuda_prepare_elementwise DIPP_CUDA_HIDDEN;
dipp_cuda_prepare dipp_cuda_prepare_copy DIPP_CUDA_HIDDEN;
dipp_cuda_prepare dipp_cuda_prepare_sum DIPP_CUDA_HIDDEN;
dipp_cuda_prepare dipp_cuda_prepare_softmax DIPP_CUDA_HIDDEN;
dipp_cuda_prepare dipp_cuda_prepare_matmul DIPP_CUDA_HIDDEN;
dipp_cuda_prepare dipp_cuda_prepare_inverse DIPP_CUDA_HIDDEN;
dipp_cuda_prepare dipp_cuda_prepare_attention DIPP_CUDA_HIDDEN;
dipp_cuda_prepare dipp_cuda_prepare_layer_norm DIPP_CUDA_HIDDEN;
dipp_cuda_prepare dipp_cuda_prepare_gated_add DIPP_CUDA_HIDDEN;
dipp_cuda_prepare dipp_cuda_prepare_geglu DIPP_CUDA_HIDDEN;
dipp_cuda_prepare dipp_cuda_prepare_group_norm DIPP_CUDA_HIDDEN;
dipp_cuda_prepare dipp_cuda_prepare_convolution DIPP_CUDA_HIDDEN;
dipp_cuda_prepare dipp_cuda_prepare_embedding DIPP_CUDA_HIDDEN;
dipp_cuda_prepare dipp_cuda_prepare_sinusoid DIPP_CUDA_HIDDEN;
dipp_cuda_prepare dipp_cuda_prepare_random DIPP_CUDA_HIDDEN;
dipp_cuda_prepare dipp_cuda_prepare_training DIPP_CUDA_HIDDEN;

/* Remembers the first failure; what names the call. Every call of the runtime goes through here. */
void dipp_cuda_note(dipp_cuda_context *context, cudaError_t result, const char *what) DIPP_CUDA_HIDDEN;
void dipp_cuda_note_library(dipp_cuda_context *context, cublasStatus_t result, const char *what) DIPP_CUDA_HIDDEN;

/* The back-end's memory functions (memory.c). */
dipp_status dipp_cuda_staging_create(dipp_cuda_staging *staging, dipp_error *error) DIPP_CUDA_HIDDEN;
void dipp_cuda_staging_destroy(dipp_cuda_staging *staging) DIPP_CUDA_HIDDEN;
void *dipp_cuda_allocate(dipp_backend *backend, size_t bytes) DIPP_CUDA_HIDDEN;
void dipp_cuda_release(dipp_backend *backend, void *memory) DIPP_CUDA_HIDDEN;
void dipp_cuda_upload(dipp_backend *backend, void *device, dipp_dtype dtype, const void *host, dipp_host_type type,
                      size_t count) DIPP_CUDA_HIDDEN;
void dipp_cuda_download(dipp_backend *backend, void *host, dipp_host_type type, const void *device, dipp_dtype dtype,
                        size_t count) DIPP_CUDA_HIDDEN;
void dipp_cuda_zero(dipp_backend *backend, void *device, size_t bytes) DIPP_CUDA_HIDDEN;
void dipp_cuda_synchronize(dipp_backend *backend) DIPP_CUDA_HIDDEN;

/* Replays as captured graphs (graph.c). */
void dipp_cuda_replay(dipp_backend *backend, void **memory, const dipp_call *calls, size_t count) DIPP_CUDA_HIDDEN;
void dipp_cuda_forget(dipp_backend *backend, void *memory) DIPP_CUDA_HIDDEN;

/* Frees what matmul.c has cached. */
void dipp_cuda_forget_products(dipp_cuda_context *context) DIPP_CUDA_HIDDEN;

/* A zeroed kernel state freed with the kernel; NULL fills error. */
void *dipp_cuda_state(dipp_kernel *out, size_t bytes, dipp_error *error) DIPP_CUDA_HIDDEN;

static inline int32_t dipp_cuda_type_of(const dipp_cuda_context *context, dipp_dtype dtype)
{
    if (dtype == DIPP_INT32)
        return DIPP_CUDA_I32;
    return dtype == DIPP_COMPUTE && context->bf16 ? DIPP_CUDA_BF16 : DIPP_CUDA_F32;
}

static inline size_t dipp_cuda_round_up(size_t bytes)
{
    return (bytes + 255) / 256 * 256;
}

#endif
