/* The CUDA back-end's door: choice of device and precision, dispatch of nodes to kernel families, and the failure that
 * sticks. This file and its neighbours make backend_cuda.so, which core/backend/module.c loads. */
#include "backend/cuda/cuda.h"
#include "backend/cuda/rows.h"
#include "backend/module.h"
#include "backend/options.h"
#include "base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_HEAD_DIM = 512, MOST_GROUPS = 65535, LEAST_MAJOR = 8, PATCH_BYTES = 64 << 20 };

static dipp_cuda_prepare *family_of(dipp_op op)
{
    /* NOLINTBEGIN(bugprone-branch-clone): rows of a table, many of one family */
    switch (op) {
#define ROW(upper, family) \
    case DIPP_OP_##upper: return dipp_cuda_prepare_##family;
        DIPP_CUDA_ROWS(ROW)
#undef ROW
#define ROW(upper, reason) case DIPP_OP_##upper:
        DIPP_CUDA_UNSUPPORTED(ROW)
#undef ROW
    case DIPP_OP_COUNT: break;
    }
    /* NOLINTEND(bugprone-branch-clone) */
    return NULL;
}

/* Why a node is out of reach, or NULL. Kernels that index with 32 bits refuse more elements than those reach. */
static const char *obstacle(const dipp_node_view *node)
{
    if (!family_of(node->op))
        return dipp_backend_no_kernel(node->op);
    switch (node->op) {
    case DIPP_OP_MATMUL:
    case DIPP_OP_LINEAR:
    case DIPP_OP_LINEAR_BACKWARD_WEIGHT:
    case DIPP_OP_ACCUMULATE:
    case DIPP_OP_GRAD_NORM:
    case DIPP_OP_OPTIMIZER_STEP: return NULL;
    case DIPP_OP_ATTENTION:
    case DIPP_OP_ATTENTION_BACKWARD: {
        const dipp_shape *q = &node->inputs[0].shape;
        if (q->dims[2] / (int64_t)node->attributes->heads > MOST_HEAD_DIM)
            return "attention heads wider than 512";
        break;
    }
    case DIPP_OP_LAYER_NORM_BACKWARD:
    case DIPP_OP_GATED_ADD_BACKWARD:
        if (node->inputs[node->op == DIPP_OP_GATED_ADD_BACKWARD].shape.dims[0] > MOST_GROUPS)
            return "gradients of more than 65535 modulated samples at once";
        break;
    default: break;
    }
    for (uint32_t i = 0; i < node->input_count; i++)
        if (node->inputs[i].present && dipp_cuda_elements(&node->inputs[i].shape) > INT32_MAX)
            return "operands of more than 2^31 - 1 elements";
    for (uint32_t i = 0; i < node->output_count; i++)
        if (node->outputs[i].present && dipp_cuda_elements(&node->outputs[i].shape) > INT32_MAX)
            return "results of more than 2^31 - 1 elements";
    return NULL;
}

static bool supports(const dipp_backend *backend, const dipp_node_view *node)
{
    return node->op == DIPP_OP_LEAF || node->op == DIPP_OP_RESHAPE || !obstacle(node);
}

static bool accumulates(const dipp_backend *backend, const dipp_node_view *node)
{
    switch (node->op) {
    case DIPP_OP_MATMUL:
    case DIPP_OP_LINEAR:
    case DIPP_OP_LINEAR_BACKWARD_WEIGHT:
    case DIPP_OP_CONV2D_BACKWARD_WEIGHT:
    case DIPP_OP_EMBEDDING_BACKWARD: return node->outputs[0].dtype == DIPP_WIDE;
    default: return false;
    }
}

static void run_nothing(void *state, void *const *args)
{
}

static dipp_status prepare(dipp_backend *backend, const dipp_node_view *node, dipp_kernel *out, dipp_error *error)
{
    *out = (dipp_kernel){0};
    const char *why = obstacle(node);
    if (why)
        return dipp_fail(error, DIPP_E_UNSUPPORTED, "cuda back-end: %s", why);
    bool empty = node->output_count > 0;
    for (uint32_t i = 0; i < node->output_count; i++)
        empty = empty && node->outputs[i].present && dipp_cuda_elements(&node->outputs[i].shape) == 0;
    if (empty) {
        out->run = run_nothing;
        return DIPP_OK;
    }
    return family_of(node->op)((dipp_cuda_context *)backend, node, out, error);
}

void *dipp_cuda_state(dipp_kernel *out, size_t bytes, dipp_error *error)
{
    void *state = dipp_allocate_zeroed(1, bytes);
    if (!state) {
        dipp_fail(error, DIPP_E_MEMORY, "cuda back-end: no memory for a prepared node (%zu bytes)", bytes);
        return NULL;
    }
    out->state = state;
    out->destroy = dipp_release;
    return state;
}

/* ---- failures ---- */

void dipp_cuda_note(dipp_cuda_context *context, cudaError_t result, const char *what)
{
    if (result == cudaSuccess || context->failed)
        return;
    context->failed = true;
    snprintf(context->failure, sizeof context->failure, "%s: %s (%s)", what, cudaGetErrorString(result),
             cudaGetErrorName(result));
}

void dipp_cuda_note_library(dipp_cuda_context *context, cublasStatus_t result, const char *what)
{
    if (result == CUBLAS_STATUS_SUCCESS || context->failed)
        return;
    context->failed = true;
    snprintf(context->failure, sizeof context->failure, "%s: %s (cuBLASLt)", what, cublasLtGetStatusString(result));
}

static dipp_status status_of(dipp_backend *backend, dipp_error *error)
{
    dipp_cuda_context *context = (dipp_cuda_context *)backend;
    if (!context->failed)
        return DIPP_OK;
    return dipp_fail(error, DIPP_E_INTERNAL,
                     "cuda back-end: %s. The device's state is lost: nothing computed since is valid; run again, and "
                     "under compute-sanitizer when it comes back",
                     context->failure);
}

static bool memory_of(dipp_backend *backend, size_t *free_bytes, size_t *total)
{
    return cudaMemGetInfo(free_bytes, total) == cudaSuccess;
}

/* ---- lifecycle ---- */

static void destroy(dipp_backend *backend)
{
    dipp_cuda_context *context = (dipp_cuda_context *)backend;
    if (context->stream)
        cudaStreamSynchronize(context->stream);
    dipp_cuda_forget_products(context);
    dipp_cuda_staging_destroy(&context->staging);
    if (context->library)
        cublasLtDestroy(context->library);
    if (context->page)
        cudaFree(context->page);
    if (context->stream)
        cudaStreamDestroy(context->stream);
    dipp_release(context);
}

/* The first device of those visible (CUDA_VISIBLE_DEVICES chooses). */
static dipp_status find_device(int *major, int *minor, dipp_error *error)
{
    int count = 0;
    cudaError_t result = cudaGetDeviceCount(&count);
    if (result != cudaSuccess)
        return dipp_fail(
            error, DIPP_E_UNSUPPORTED,
            "cuda back-end: no usable NVIDIA driver: %s (%s from cudaGetDeviceCount); install a driver for "
            "CUDA %d.%d or newer, or use device 'cpu'",
            cudaGetErrorString(result), cudaGetErrorName(result), CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10);
    if (!count)
        return dipp_fail(
            error, DIPP_E_UNSUPPORTED,
            "cuda back-end: the driver shows no device; look at CUDA_VISIBLE_DEVICES, or use device 'cpu'");
    result = cudaSetDevice(0);
    if (result == cudaSuccess)
        result = cudaDeviceGetAttribute(major, cudaDevAttrComputeCapabilityMajor, 0);
    if (result == cudaSuccess)
        result = cudaDeviceGetAttribute(minor, cudaDevAttrComputeCapabilityMinor, 0);
    if (result != cudaSuccess)
        return dipp_fail(error, DIPP_E_UNSUPPORTED, "cuda back-end: device 0 cannot be used: %s (%s)",
                         cudaGetErrorString(result), cudaGetErrorName(result));
    if (*major < LEAST_MAJOR)
        return dipp_fail(error, DIPP_E_UNSUPPORTED,
                         "cuda back-end: device 0 has compute capability %d.%d and 8.0 is needed; use device 'cpu'",
                         *major, *minor);
    return DIPP_OK;
}

static dipp_status open_device(dipp_cuda_context *context, dipp_error *error)
{
    cudaError_t result = cudaStreamCreateWithFlags(&context->stream, cudaStreamNonBlocking);
    if (result != cudaSuccess)
        return dipp_fail(error, DIPP_E_UNSUPPORTED, "cuda back-end: no stream on device 0: %s (%s)",
                         cudaGetErrorString(result), cudaGetErrorName(result));
    cublasStatus_t status = cublasLtCreate(&context->library);
    if (status != CUBLAS_STATUS_SUCCESS) {
        context->library = NULL;
        return dipp_fail(error, DIPP_E_UNSUPPORTED, "cuda back-end: cuBLASLt does not start: %s",
                         cublasLtGetStatusString(status));
    }
    result = cudaMalloc(&context->page, 256);
    if (result != cudaSuccess) {
        context->page = NULL;
        return dipp_fail(error, DIPP_E_MEMORY, "cuda back-end: no memory on device 0: %s", cudaGetErrorString(result));
    }
    return dipp_cuda_staging_create(&context->staging, error);
}

static dipp_status create(const dipp_backend_options *options_given, dipp_backend **out, dipp_error *error)
{
    dipp_backend_options options = dipp_backend_options_of(options_given);
    bool is_auto = !strcmp(options.precision, "auto");
    if (!is_auto && strcmp(options.precision, "f32") && strcmp(options.precision, "bf16"))
        return dipp_fail(error, DIPP_E_UNSUPPORTED,
                         "cuda back-end: precision '%s' is not available; choose auto, f32 or bf16", options.precision);
    int major = 0, minor = 0;
    dipp_status status = find_device(&major, &minor, error);
    if (status != DIPP_OK)
        return status;
    dipp_cuda_context *context = dipp_allocate_zeroed(1, sizeof *context);
    if (!context)
        return dipp_fail(error, DIPP_E_MEMORY, "cuda back-end: no memory for the context");
    status = open_device(context, error);
    if (status != DIPP_OK) {
        destroy(&context->backend);
        return status;
    }
    const char *graphs = secure_getenv("DIPP_CUDA_GRAPHS"), *patches = secure_getenv("DIPP_CUDA_PATCH_BYTES");
    context->patch_bytes = patches ? strtoll(patches, NULL, 10) : PATCH_BYTES;
    context->graphs = !graphs || strcmp(graphs, "0") != 0;
    context->bf16 = is_auto || !strcmp(options.precision, "bf16");
    snprintf(context->isa, sizeof context->isa, "sm_%d%d", major, minor);
    context->backend = (dipp_backend){
        .name = "cuda",
        .precision = context->bf16 ? "bf16" : "f32",
        .isa = context->isa,
        .threads = 1,
        .element_size = {context->bf16 ? 2 : 4, 4, 4},
        .compute_is_wide = !context->bf16,
        .supports = supports,
        .accumulates = accumulates,
        .prepare = prepare,
        .allocate = dipp_cuda_allocate,
        .release = dipp_cuda_release,
        .upload = dipp_cuda_upload,
        .download = dipp_cuda_download,
        .zero = dipp_cuda_zero,
        .synchronize = dipp_cuda_synchronize,
        .destroy = destroy,
        .context = context,
        .replay = dipp_cuda_replay,
        .forget = dipp_cuda_forget,
        .status = status_of,
        .memory = memory_of,
    };
    *out = &context->backend;
    return DIPP_OK;
}

DIPP_BACKEND_MODULE(create);
