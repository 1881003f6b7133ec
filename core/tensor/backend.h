/* The vtable a back-end fills. Recording, gradients and planning are done above it; a back-end turns nodes into kernels and
 * runs them on memory it allocated. The callers validate; a back-end may trust shapes, dtypes and alignment.
 *
 * Lifecycle: create -> (allocate, prepare)* -> (upload, run, download)* -> release -> destroy.
 * Threads: [one thread at a time per back-end]; a back-end may use threads of its own inside run. */
#ifndef DIPP_TENSOR_BACKEND_H
#define DIPP_TENSOR_BACKEND_H

#include "tensor/op.h"

typedef struct dipp_backend dipp_backend;

/* The logical form of one input or output of a node. shape.rank 0 with present false: absent. */
typedef struct dipp_operand {
    bool present;
    dipp_dtype dtype;
    dipp_shape shape;
} dipp_operand;

/* A node as the back-end sees it. Pointers are valid during the call only. */
typedef struct dipp_node_view {
    dipp_op op;
    uint32_t input_count, output_count;
    dipp_operand inputs[DIPP_MAX_INPUTS];
    dipp_operand outputs[DIPP_MAX_OUTPUTS];
    const dipp_attributes *attributes;
} dipp_node_view;

/* A prepared node. args are device pointers: inputs [0, input_count), outputs, then scratch (NULL when scratch_bytes is 0).
 * Absent operands are NULL. An output that nobody reads may be NULL: the kernel must then skip it.
 * run may be called with other args every time; it must not allocate. */
typedef struct dipp_kernel {
    void (*run)(void *state, void *const *args);
    void (*destroy)(void *state); /* NULL when there is nothing to free */
    void *state;
    size_t scratch_bytes; /* planned by the caller, 256-byte aligned, garbage on entry */
} dipp_kernel;

/* One kernel with its arguments resolved. They stay what they are from replay to replay. */
typedef struct dipp_call {
    void (*run)(void *state, void *const *args);
    void *state;
    void **args;
} dipp_call;

typedef enum dipp_host_type { DIPP_HOST_F32 = 0, DIPP_HOST_F64, DIPP_HOST_I32 } dipp_host_type;

typedef struct dipp_backend_options {
    size_t struct_size;
    uint32_t threads;      /* 0: one per available core */
    dipp_dtype unused;     /* must be 0 */
    const char *precision; /* "auto", "f32", "bf16", "f64"; NULL means auto. Unsupported: DIPP_E_UNSUPPORTED */
    size_t memory_limit;   /* null back-end: allocate returns NULL beyond so many bytes; 0 is no limit */
} dipp_backend_options;

struct dipp_backend {
    const char *name;      /* "reference", "cpu", "cuda", "null" */
    const char *precision; /* what auto became: "f64", "f32", "bf16" */
    const char *isa;       /* e.g. "avx512_core_amx", recorded per attempt */
    const char *library;   /* what it computes with beside code of its own, "oneDNN 2.6.2"; NULL: nothing */
    uint32_t threads;
    size_t element_size[3]; /* by dipp_dtype; int32 is 4 everywhere */
    bool compute_is_wide;   /* the same storage type: no compute copies of parameters are kept */

    bool (*supports)(const dipp_backend *backend, const dipp_node_view *node);
    /* Whether a kernel honours attributes.accumulate for this node (then it is recorded so). */
    bool (*accumulates)(const dipp_backend *backend, const dipp_node_view *node);
    dipp_status (*prepare)(dipp_backend *backend, const dipp_node_view *node, dipp_kernel *out, dipp_error *error);

    /* Zeroed memory, 256-byte aligned. NULL when there is none. */
    void *(*allocate)(dipp_backend *backend, size_t bytes);
    void (*release)(dipp_backend *backend, void *memory);
    /* Converts between host numbers and count elements of dtype at device; offsets are already applied. Synchronous. */
    void (*upload)(dipp_backend *backend, void *device, dipp_dtype dtype, const void *host, dipp_host_type type,
                   size_t count);
    void (*download)(dipp_backend *backend, void *host, dipp_host_type type, const void *device, dipp_dtype dtype,
                     size_t count);
    void (*zero)(dipp_backend *backend, void *device, size_t bytes);
    void (*synchronize)(dipp_backend *backend);
    /* A replay is bracketed so that a back-end can capture or set threads; may be NULL. */
    void (*begin)(dipp_backend *backend);
    void (*end)(dipp_backend *backend);
    void (*destroy)(dipp_backend *backend);
    void *context;

    /* Optional, both or neither: the replay of a whole list at once, for a back-end that can remember lists. The list is
     * the same at every call with the same memory; *memory is NULL at the first and belongs to the back-end. forget
     * gets *memory back, NULL too, before the list goes away. */
    void (*replay)(dipp_backend *backend, void **memory, const dipp_call *calls, size_t count);
    void (*forget)(dipp_backend *backend, void *memory);
    /* Optional: DIPP_OK, or the first failure of anything run or moved so far, for what is asynchronous or returns
     * nothing. It sticks: numbers read after it mean nothing. */
    dipp_status (*status)(dipp_backend *backend, dipp_error *error);
    /* Optional, of a back-end with memory of its own: bytes that allocate could still give in all, and those there are; false
     * when it does not know. */
    bool (*memory)(dipp_backend *backend, size_t *free_bytes, size_t *total);
};

/* By name ("reference", "cpu", "cuda", "null", "auto"): DIPP_E_UNSUPPORTED says what is missing. The caller owns *out. */
dipp_status dipp_backend_create(const char *name, const dipp_backend_options *options, dipp_backend **out,
                                dipp_error *error);
void dipp_backend_destroy(dipp_backend **backend);

/* The memory that its numbers are in, the device's or the machine's: what is free, and all of it; 0 and 0 when not known. */
void dipp_backend_memory(dipp_backend *backend, size_t *free_bytes, size_t *total);
/* DIPP_E_MEMORY: so many bytes for this could not be had, and what there is. */
dipp_status dipp_backend_no_memory(dipp_backend *backend, size_t bytes, const char *what, dipp_error *error);

dipp_status dipp_reference_backend_create(const dipp_backend_options *options, dipp_backend **out, dipp_error *error);
dipp_status dipp_cpu_backend_create(const dipp_backend_options *options, dipp_backend **out, dipp_error *error);
dipp_status dipp_null_backend_create(const dipp_backend_options *options, dipp_backend **out, dipp_error *error);

#endif
