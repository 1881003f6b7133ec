/* What the files of the CPU back-end share: its context, the work splitter and the doors of each kernel family.
 *
 * Two kinds of files: those compiled once (this folder) and those compiled once per instruction set (kernels/), whose
 * prepare functions are reached through a dipp_cpu_level chosen when the back-end is created. See docs/cpu-backend.md. */
#ifndef DIPP_BACKEND_CPU_H
#define DIPP_BACKEND_CPU_H

#include "tensor/backend.h"

#define DIPP_CPU_HIDDEN __attribute__((visibility("hidden")))

/* Work on fewer elements than this stays on the calling thread: waking the others costs more. */
enum { DIPP_CPU_PARALLEL_ELEMENTS = 16384 };

/* How a dtype is stored. */
typedef enum dipp_cpu_type { DIPP_CPU_F32 = 0, DIPP_CPU_BF16, DIPP_CPU_I32 } dipp_cpu_type;

typedef struct dipp_cpu_level dipp_cpu_level;
typedef struct dipp_cpu_onednn dipp_cpu_onednn;

typedef struct dipp_cpu_context {
    dipp_backend backend; /* what callers see; must be first */
    bool bf16;            /* compute is bf16 */
    bool has_amx;         /* bf16 tiles may be used by our own kernels */
    int threads;
    int saved_threads; /* the caller's OpenMP setting between begin and end */
    const dipp_cpu_level *level;
    dipp_cpu_onednn *onednn;
} dipp_cpu_context;

typedef dipp_status dipp_cpu_prepare(dipp_cpu_context *context, const dipp_node_view *node, dipp_kernel *out,
                                     dipp_error *error);

/* The kernel families of one instruction set. */
struct dipp_cpu_level {
    const char *name;
    dipp_cpu_prepare *elementwise; /* arithmetic, activations and their gradients, cast, broadcast, accumulate */
    dipp_cpu_prepare *sum;
    dipp_cpu_prepare *softmax;
    dipp_cpu_prepare *norm; /* layer norm and gated add, with gradients */
    dipp_cpu_prepare *attention;
    dipp_cpu_prepare *optimizer; /* optimizer step and gradient norm */
    dipp_cpu_prepare *lookup;    /* embedding and sinusoid */
    dipp_cpu_prepare *geglu;
    dipp_cpu_prepare *group_norm;
};

extern const dipp_cpu_level dipp_cpu_level_baseline DIPP_CPU_HIDDEN;
extern const dipp_cpu_level dipp_cpu_level_avx2 DIPP_CPU_HIDDEN;
extern const dipp_cpu_level dipp_cpu_level_avx512 DIPP_CPU_HIDDEN;

/* Families compiled once. */
dipp_cpu_prepare dipp_cpu_prepare_copy DIPP_CPU_HIDDEN;   /* permute, concat, slice, pad */
dipp_cpu_prepare dipp_cpu_prepare_matmul DIPP_CPU_HIDDEN; /* matmul, linear, linear_backward_weight */
dipp_cpu_prepare dipp_cpu_prepare_convolution DIPP_CPU_HIDDEN;
dipp_cpu_prepare dipp_cpu_prepare_random DIPP_CPU_HIDDEN;
dipp_cpu_prepare dipp_cpu_prepare_inverse DIPP_CPU_HIDDEN;

/* Runs body over [0, items) cut into one contiguous range per thread. elements says how much work there is in all;
 * little work stays on the calling thread. thread is below context->threads. Which range a thread gets depends on
 * items and the number of threads only. */
typedef void dipp_cpu_body(const void *state, void *const *args, int thread, int64_t begin, int64_t end);
void dipp_cpu_parallel(int threads, int64_t items, int64_t elements, dipp_cpu_body *body, const void *state,
                       void *const *args) DIPP_CPU_HIDDEN;

static inline dipp_cpu_type dipp_cpu_type_of(const dipp_cpu_context *context, dipp_dtype dtype)
{
    if (dtype == DIPP_INT32)
        return DIPP_CPU_I32;
    return dtype == DIPP_COMPUTE && context->bf16 ? DIPP_CPU_BF16 : DIPP_CPU_F32;
}

static inline size_t dipp_cpu_type_bytes(dipp_cpu_type type)
{
    return type == DIPP_CPU_BF16 ? 2 : 4;
}

static inline int64_t dipp_cpu_elements(const dipp_shape *shape)
{
    int64_t count = 1;
    for (uint32_t i = 0; i < shape->rank; i++)
        count *= shape->dims[i];
    return count;
}

/* A zeroed kernel state that dipp_cpu_release_state frees; NULL fills error. */
void *dipp_cpu_state(dipp_kernel *out, size_t bytes, dipp_error *error) DIPP_CPU_HIDDEN;

static inline size_t dipp_cpu_round_up(size_t bytes)
{
    return (bytes + 255) / 256 * 256;
}

#endif
