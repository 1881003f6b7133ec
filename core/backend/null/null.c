/* The null back-end: everything is supported and nothing is computed. Memory is address space that the system fills
 * with zero pages when touched, counted against a limit, so that plans far larger than the machine can be tested and
 * the cost of replay without kernels can be measured. */
#include "backend/options.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

typedef struct null_block {
    struct null_block *next;
    void *memory;
    size_t bytes;
} null_block;

typedef struct null_context {
    null_block *blocks;
    size_t used, limit; /* bytes; limit 0 is none */
} null_context;

static bool null_supports(const dipp_backend *backend, const dipp_node_view *node)
{
    return true;
}

static bool null_accumulates(const dipp_backend *backend, const dipp_node_view *node)
{
    return node->op == DIPP_OP_LINEAR_BACKWARD_WEIGHT || node->op == DIPP_OP_CONV2D_BACKWARD_WEIGHT ||
           node->op == DIPP_OP_EMBEDDING_BACKWARD;
}

static void run_nothing(void *state, void *const *args)
{
}

static dipp_status null_prepare(dipp_backend *backend, const dipp_node_view *node, dipp_kernel *out, dipp_error *error)
{
    *out = (dipp_kernel){.run = run_nothing};
    return DIPP_OK;
}

static void *null_allocate(dipp_backend *backend, size_t bytes)
{
    null_context *context = backend->context;
    bytes = bytes ? bytes : 1;
    if (context->limit && (bytes > context->limit || context->used > context->limit - bytes))
        return NULL;
    null_block *block = malloc(sizeof *block);
    if (!block)
        return NULL;
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        free(block);
        return NULL;
    }
    *block = (null_block){context->blocks, memory, bytes};
    context->blocks = block;
    context->used += bytes;
    return memory;
}

static bool null_memory(dipp_backend *backend, size_t *free_bytes, size_t *total)
{
    const null_context *context = backend->context;
    *free_bytes = context->limit - context->used;
    *total = context->limit;
    return context->limit > 0;
}

static void null_release(dipp_backend *backend, void *memory)
{
    null_context *context = backend->context;
    for (null_block **at = &context->blocks; *at; at = &(*at)->next)
        if ((*at)->memory == memory) {
            null_block *block = *at;
            *at = block->next;
            context->used -= block->bytes;
            munmap(block->memory, block->bytes);
            free(block);
            return;
        }
}

static void null_upload(dipp_backend *backend, void *device, dipp_dtype dtype, const void *host, dipp_host_type type,
                        size_t count)
{
}

static void null_download(dipp_backend *backend, void *host, dipp_host_type type, const void *device, dipp_dtype dtype,
                          size_t count)
{
    memset(host, 0, count * (type == DIPP_HOST_F64 ? sizeof(double) : sizeof(float)));
}

static void null_zero(dipp_backend *backend, void *device, size_t bytes)
{
}

static void null_synchronize(dipp_backend *backend)
{
}

static void null_destroy(dipp_backend *backend)
{
    null_context *context = backend->context;
    while (context->blocks)
        null_release(backend, context->blocks->memory);
    free(context);
    free(backend);
}

dipp_status dipp_null_backend_create(const dipp_backend_options *options, dipp_backend **out, dipp_error *error)
{
    const dipp_backend_options given = dipp_backend_options_of(options);
    static const struct {
        const char *name;
        size_t compute, wide;
    } precisions[] = {{"f32", 4, 4}, {"bf16", 2, 4}, {"f64", 8, 8}};
    const char *asked = strcmp(given.precision, "auto") ? given.precision : "f32";
    size_t k = 0;
    while (k < 3 && strcmp(precisions[k].name, asked))
        k++;
    if (k == 3)
        return dipp_fail(error, DIPP_E_UNSUPPORTED,
                         "back-end null: precision '%s' is unknown; it has f32 (auto), bf16 and f64", asked);
    dipp_backend *backend = calloc(1, sizeof *backend);
    null_context *context = calloc(1, sizeof *context);
    if (!backend || !context) {
        free(backend);
        free(context);
        return dipp_fail(error, DIPP_E_MEMORY, "back-end null: no memory");
    }
    context->limit = given.memory_limit;
    *backend = (dipp_backend){
        .name = "null",
        .precision = precisions[k].name,
        .isa = "none",
        .threads = 1,
        .element_size = {precisions[k].compute, precisions[k].wide, sizeof(int32_t)},
        .compute_is_wide = precisions[k].compute == precisions[k].wide,
        .supports = null_supports,
        .accumulates = null_accumulates,
        .prepare = null_prepare,
        .allocate = null_allocate,
        .release = null_release,
        .upload = null_upload,
        .download = null_download,
        .memory = null_memory,
        .zero = null_zero,
        .synchronize = null_synchronize,
        .destroy = null_destroy,
        .context = context,
    };
    *out = backend;
    return DIPP_OK;
}
