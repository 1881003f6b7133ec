/* The CPU back-end's door: choice of instruction set and precision, memory, conversion at the border, dispatch of nodes
 * to kernel families. See docs/cpu-backend.md. */
#include "backend/cpu/cpu.h"
#include "backend/cpu/onednn.h"
#include "backend/options.h"
#include "base/bf16.h"
#include "base/memory.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ALIGNMENT = 256, HUGE_PAGE = 2 << 20 };

/* A broadcast that repeats each number a few times, as upsampling does: the elementwise kernels would call for so few. */
static bool is_narrow_broadcast(const dipp_node_view *node)
{
    enum { NARROW = 16 };
    const dipp_shape *in = &node->inputs[0].shape, *out = &node->outputs[0].shape;
    int64_t inner = out->rank ? out->dims[out->rank - 1] : 1;
    return in->rank && in->dims[in->rank - 1] == 1 && inner > 1 && inner <= NARROW;
}

static dipp_cpu_prepare *family_of(const dipp_cpu_context *context, const dipp_node_view *node)
{
    const dipp_cpu_level *level = context->level;
    switch (node->op) {
    case DIPP_OP_BROADCAST: return is_narrow_broadcast(node) ? dipp_cpu_prepare_copy : level->elementwise;
    case DIPP_OP_PERMUTE:
    case DIPP_OP_CONCAT:
    case DIPP_OP_SLICE:
    case DIPP_OP_PAD: return dipp_cpu_prepare_copy;
    case DIPP_OP_SUM: return level->sum;
    case DIPP_OP_MATMUL:
    case DIPP_OP_LINEAR:
    case DIPP_OP_LINEAR_BACKWARD_WEIGHT: return dipp_cpu_prepare_matmul;
    case DIPP_OP_CONV2D:
    case DIPP_OP_CONV2D_BACKWARD_DATA:
    case DIPP_OP_CONV2D_BACKWARD_WEIGHT: return dipp_cpu_prepare_convolution;
    case DIPP_OP_GEGLU:
    case DIPP_OP_GEGLU_BACKWARD: return level->geglu;
    case DIPP_OP_GROUP_NORM:
    case DIPP_OP_GROUP_NORM_BACKWARD: return level->group_norm;
    case DIPP_OP_INVERSE: return dipp_cpu_prepare_inverse;
    case DIPP_OP_SOFTMAX:
    case DIPP_OP_SOFTMAX_BACKWARD: return level->softmax;
    case DIPP_OP_ATTENTION:
    case DIPP_OP_ATTENTION_BACKWARD: return level->attention;
    case DIPP_OP_LAYER_NORM:
    case DIPP_OP_LAYER_NORM_BACKWARD:
    case DIPP_OP_GATED_ADD:
    case DIPP_OP_GATED_ADD_BACKWARD: return level->norm;
    case DIPP_OP_EMBEDDING:
    case DIPP_OP_EMBEDDING_BACKWARD:
    case DIPP_OP_SINUSOID: return level->lookup;
    case DIPP_OP_PHILOX_NORMAL:
    case DIPP_OP_PHILOX_UNIFORM: return dipp_cpu_prepare_random;
    case DIPP_OP_GRAD_NORM:
    case DIPP_OP_OPTIMIZER_STEP: return level->optimizer;
    case DIPP_OP_LEAF:
    case DIPP_OP_RESHAPE:
    case DIPP_OP_COUNT: return NULL;
    default: return level->elementwise;
    }
}

static bool supports(const dipp_backend *backend, const dipp_node_view *node)
{
    if (!family_of((const dipp_cpu_context *)backend, node))
        return false;
    /* Source offsets of what is gathered are kept in 32 bits. */
    bool gathers = node->op == DIPP_OP_PERMUTE || (node->op == DIPP_OP_BROADCAST && is_narrow_broadcast(node));
    return !gathers || dipp_cpu_elements(&node->inputs[0].shape) <= INT32_MAX;
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
    dipp_cpu_context *context = (dipp_cpu_context *)backend;
    *out = (dipp_kernel){0};
    if (!supports(backend, node))
        return dipp_fail(error, DIPP_E_UNSUPPORTED, "cpu back-end: %s",
                         family_of(context, node) ? "a permutation or narrow broadcast of more than 2^31 - 1 elements"
                                                  : dipp_backend_no_kernel(node->op));
    bool empty = node->output_count > 0;
    for (uint32_t i = 0; i < node->output_count; i++)
        empty = empty && node->outputs[i].present && dipp_cpu_elements(&node->outputs[i].shape) == 0;
    if (empty) {
        out->run = run_nothing;
        return DIPP_OK;
    }
    return family_of(context, node)(context, node, out, error);
}

/* ---- memory ---- */

static void *allocate(dipp_backend *backend, size_t bytes)
{
    bool large = bytes >= 2 * (size_t)HUGE_PAGE;
    size_t alignment = large ? HUGE_PAGE : ALIGNMENT;
    if (bytes > SIZE_MAX - alignment)
        return NULL;
    size_t rounded = (bytes + alignment - 1) / alignment * alignment;
    void *memory = dipp_allocate_aligned(rounded ? rounded : ALIGNMENT, alignment);
    if (!memory)
        return NULL;
    if (large)
        madvise(memory, rounded, MADV_HUGEPAGE); /* a hint; fewer address translations, nothing lost when refused */
    memset(memory, 0, rounded ? rounded : ALIGNMENT);
    return memory;
}

static void release(dipp_backend *backend, void *memory)
{
    dipp_release(memory);
}

static void zero(dipp_backend *backend, void *device, size_t bytes)
{
    memset(device, 0, bytes);
}

static void synchronize(dipp_backend *backend)
{
}

/* ---- the border: host numbers to storage and back; plain loops, this is not on the path of a step ---- */

static double host_number(const void *host, dipp_host_type type, size_t i)
{
    switch (type) {
    case DIPP_HOST_F32: return (double)((const float *)host)[i];
    case DIPP_HOST_F64: return ((const double *)host)[i];
    default: return (double)((const int32_t *)host)[i];
    }
}

static void upload(dipp_backend *backend, void *device, dipp_dtype dtype, const void *host, dipp_host_type type,
                   size_t count)
{
    dipp_cpu_type to = dipp_cpu_type_of((const dipp_cpu_context *)backend, dtype);
    if ((to == DIPP_CPU_F32 && type == DIPP_HOST_F32) || (to == DIPP_CPU_I32 && type == DIPP_HOST_I32)) {
        if (count)
            memcpy(device, host, count * 4);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        double number = host_number(host, type, i);
        if (to == DIPP_CPU_BF16)
            ((uint16_t *)device)[i] = dipp_bf16_round((float)number);
        else if (to == DIPP_CPU_F32)
            ((float *)device)[i] = (float)number;
        else
            ((int32_t *)device)[i] = (int32_t)number;
    }
}

static void download(dipp_backend *backend, void *host, dipp_host_type type, const void *device, dipp_dtype dtype,
                     size_t count)
{
    dipp_cpu_type from = dipp_cpu_type_of((const dipp_cpu_context *)backend, dtype);
    if ((from == DIPP_CPU_F32 && type == DIPP_HOST_F32) || (from == DIPP_CPU_I32 && type == DIPP_HOST_I32)) {
        if (count)
            memcpy(host, device, count * 4);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        double number = from == DIPP_CPU_BF16  ? (double)dipp_bf16_widen(((const uint16_t *)device)[i])
                        : from == DIPP_CPU_F32 ? (double)((const float *)device)[i]
                                               : (double)((const int32_t *)device)[i];
        if (type == DIPP_HOST_F32)
            ((float *)host)[i] = (float)number;
        else if (type == DIPP_HOST_F64)
            ((double *)host)[i] = number;
        else
            ((int32_t *)host)[i] = (int32_t)number;
    }
}

/* ---- lifecycle ---- */

/* oneDNN asks OpenMP for its team size; the caller's own setting comes back at the end. */
static void begin(dipp_backend *backend)
{
    dipp_cpu_context *context = (dipp_cpu_context *)backend;
    context->saved_threads = omp_get_max_threads();
    if (context->saved_threads != context->threads)
        omp_set_num_threads(context->threads);
}

static void end(dipp_backend *backend)
{
    dipp_cpu_context *context = (dipp_cpu_context *)backend;
    if (context->saved_threads && context->saved_threads != context->threads)
        omp_set_num_threads(context->saved_threads);
}

static dipp_status prepare_with_threads(dipp_backend *backend, const dipp_node_view *node, dipp_kernel *out,
                                        dipp_error *error)
{
    begin(backend);
    dipp_status status = prepare(backend, node, out, error);
    end(backend);
    return status;
}

static void destroy(dipp_backend *backend)
{
    dipp_cpu_context *context = (dipp_cpu_context *)backend;
    dipp_cpu_onednn_destroy(&context->onednn);
    dipp_release(context);
}

/* Never above what oneDNN may use, so that DNNL_MAX_CPU_ISA lowers both together. */
static const dipp_cpu_level *best_level(void)
{
#ifdef DIPP_CPU_X86_LEVELS
    if (dipp_cpu_onednn_has_avx512() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("fma"))
        return &dipp_cpu_level_avx512;
    if (dipp_cpu_onednn_has_avx2() && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return &dipp_cpu_level_avx2;
#endif
    return &dipp_cpu_level_baseline;
}

dipp_status dipp_cpu_backend_create(const dipp_backend_options *options_given, dipp_backend **out, dipp_error *error)
{
    dipp_backend_options options = dipp_backend_options_of(options_given);
    const char *precision = options.precision;
    bool has_amx = dipp_cpu_onednn_has_amx();
    bool is_auto = !strcmp(precision, "auto");
    if (!is_auto && strcmp(precision, "f32") && strcmp(precision, "bf16"))
        return dipp_fail(error, DIPP_E_UNSUPPORTED,
                         "cpu back-end: precision '%s' is not available; choose auto, f32 or bf16", precision);
    bool bf16 = is_auto ? has_amx : !strcmp(precision, "bf16");
    if (bf16 && !dipp_cpu_onednn_has_avx512())
        return dipp_fail(error, DIPP_E_UNSUPPORTED, "cpu back-end: bf16 needs AVX-512, this CPU has %s; choose f32",
                         dipp_cpu_onednn_isa());
    dipp_cpu_context *context = dipp_allocate_zeroed(1, sizeof *context);
    if (!context)
        return dipp_fail(error, DIPP_E_MEMORY, "cpu back-end: no memory for the context");
    int threads = options.threads ? (int)options.threads : omp_get_num_procs();
    context->bf16 = bf16;
    context->has_amx = has_amx;
    context->threads = threads;
    context->level = best_level();
    dipp_cpu_onednn_version(context->library, sizeof context->library);
    dipp_status status = dipp_cpu_onednn_create(threads, &context->onednn, error);
    if (status != DIPP_OK) {
        dipp_release(context);
        return status;
    }
    context->backend = (dipp_backend){
        .name = "cpu",
        .precision = bf16 ? "bf16" : "f32",
        .isa = dipp_cpu_onednn_isa(),
        .library = context->library,
        .threads = (uint32_t)threads,
        .element_size = {bf16 ? 2 : 4, 4, 4},
        .compute_is_wide = !bf16,
        .supports = supports,
        .accumulates = accumulates,
        .prepare = prepare_with_threads,
        .allocate = allocate,
        .release = release,
        .upload = upload,
        .download = download,
        .zero = zero,
        .synchronize = synchronize,
        .begin = begin,
        .end = end,
        .destroy = destroy,
        .context = context,
    };
    *out = &context->backend;
    return DIPP_OK;
}
