/* The reference back-end: naive kernels on ordinary memory. With precision f64 it is the oracle that every other
 * back-end is compared with. See docs/backends.md. */
#include "backend/reference/reference.h"
#include "backend/options.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct prepared_node {
    reference_node node;
    reference_function function;
} prepared_node;

static bool is_double(const dipp_backend *backend)
{
    return backend->element_size[DIPP_WIDE] == sizeof(double);
}

static reference_function function_of(const dipp_backend *backend, dipp_op op)
{
    return is_double(backend) ? dipp_reference_function_f64(op) : dipp_reference_function_f32(op);
}

/* Leaves and views need no kernel, so a recording that holds them is supported. */
static bool reference_supports(const dipp_backend *backend, const dipp_node_view *node)
{
    return node->op == DIPP_OP_LEAF || node->op == DIPP_OP_RESHAPE || function_of(backend, node->op) != NULL;
}

static bool reference_accumulates(const dipp_backend *backend, const dipp_node_view *node)
{
    return node->op == DIPP_OP_LINEAR_BACKWARD_WEIGHT || node->op == DIPP_OP_CONV2D_BACKWARD_WEIGHT ||
           node->op == DIPP_OP_EMBEDDING_BACKWARD;
}

size_t dipp_reference_scratch(const dipp_node_view *view)
{
    const dipp_shape *first = &view->inputs[0].shape, *out = &view->outputs[0].shape;
    int64_t doubles = 0;
    switch (view->op) {
    case DIPP_OP_SUM: doubles = reference_elements(out); break;
    case DIPP_OP_MATMUL:
    case DIPP_OP_LINEAR_BACKWARD_WEIGHT: doubles = reference_width(out); break;
    case DIPP_OP_ATTENTION:
        doubles = view->inputs[1].shape.dims[1] + first->dims[2] / (int64_t)view->attributes->heads;
        break;
    case DIPP_OP_ATTENTION_BACKWARD: doubles = 2 * (first->dims[2] / (int64_t)view->attributes->heads); break;
    case DIPP_OP_LAYER_NORM_BACKWARD: doubles = 2 * reference_width(first); break;
    case DIPP_OP_CONV2D:
    case DIPP_OP_CONV2D_BACKWARD_DATA: doubles = out->dims[2] * out->dims[3]; break;
    case DIPP_OP_GROUP_NORM_BACKWARD: doubles = 2 * first->dims[1]; break;
    case DIPP_OP_GATED_ADD_BACKWARD: doubles = reference_width(first); break;
    default: break;
    }
    return (size_t)doubles * sizeof(double);
}

static void run_node(void *state, void *const *args)
{
    const prepared_node *prepared = state;
    prepared->function(&prepared->node, args);
}

static dipp_status reference_prepare(dipp_backend *backend, const dipp_node_view *node, dipp_kernel *out,
                                     dipp_error *error)
{
    reference_function function = function_of(backend, node->op);
    if (!function)
        return dipp_fail(error, DIPP_E_UNSUPPORTED, "reference back-end: %s", dipp_backend_no_kernel(node->op));
    prepared_node *prepared = calloc(1, sizeof *prepared);
    if (!prepared)
        return dipp_fail(error, DIPP_E_MEMORY, "reference back-end: no memory for a prepared node (%zu bytes)",
                         sizeof *prepared);
    prepared->node.view = *node;
    if (node->attributes)
        prepared->node.attributes = *node->attributes;
    prepared->node.view.attributes = &prepared->node.attributes;
    memcpy(prepared->node.element_size, backend->element_size, sizeof backend->element_size);
    prepared->function = function;
    *out = (dipp_kernel){run_node, free, prepared, dipp_reference_scratch(&prepared->node.view)};
    return DIPP_OK;
}

enum { ALIGNMENT = 256 };

static void *reference_allocate(dipp_backend *backend, size_t bytes)
{
    if (bytes > SIZE_MAX - ALIGNMENT)
        return NULL;
    size_t rounded = bytes ? (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT : ALIGNMENT;
    void *memory = aligned_alloc(ALIGNMENT, rounded);
    if (memory)
        memset(memory, 0, rounded);
    return memory;
}

static void reference_release(dipp_backend *backend, void *memory)
{
    free(memory);
}

static double read_number(const void *numbers, dipp_host_type type, size_t i)
{
    switch (type) {
    case DIPP_HOST_F32: return ((const float *)numbers)[i];
    case DIPP_HOST_F64: return ((const double *)numbers)[i];
    case DIPP_HOST_I32: return ((const int32_t *)numbers)[i];
    }
    return 0;
}

static void write_number(void *numbers, dipp_host_type type, size_t i, double value)
{
    switch (type) {
    case DIPP_HOST_F32: ((float *)numbers)[i] = (float)value; break;
    case DIPP_HOST_F64: ((double *)numbers)[i] = value; break;
    case DIPP_HOST_I32: /* to nearest, saturating; not a number becomes 0 */
        value = isnan(value) ? 0 : value < INT32_MIN ? INT32_MIN : value > INT32_MAX ? INT32_MAX : rint(value);
        ((int32_t *)numbers)[i] = (int32_t)value;
        break;
    }
}

static dipp_host_type storage_of(const dipp_backend *backend, dipp_dtype dtype)
{
    if (dtype == DIPP_INT32)
        return DIPP_HOST_I32;
    return is_double(backend) ? DIPP_HOST_F64 : DIPP_HOST_F32;
}

static void convert(void *to, dipp_host_type to_type, const void *from, dipp_host_type from_type, size_t count)
{
    static const size_t size[] = {[DIPP_HOST_F32] = 4, [DIPP_HOST_F64] = 8, [DIPP_HOST_I32] = 4};
    if (to_type == from_type)
        memcpy(to, from, count * size[to_type]);
    else
        for (size_t i = 0; i < count; i++)
            write_number(to, to_type, i, read_number(from, from_type, i));
}

static void reference_upload(dipp_backend *backend, void *device, dipp_dtype dtype, const void *host,
                             dipp_host_type type, size_t count)
{
    convert(device, storage_of(backend, dtype), host, type, count);
}

static void reference_download(dipp_backend *backend, void *host, dipp_host_type type, const void *device,
                               dipp_dtype dtype, size_t count)
{
    convert(host, type, device, storage_of(backend, dtype), count);
}

static void reference_zero(dipp_backend *backend, void *device, size_t bytes)
{
    memset(device, 0, bytes);
}

static void reference_synchronize(dipp_backend *backend)
{
}

static void reference_destroy(dipp_backend *backend)
{
    free(backend);
}

dipp_status dipp_reference_backend_create(const dipp_backend_options *options, dipp_backend **out, dipp_error *error)
{
    const char *precision = dipp_backend_options_of(options).precision;
    if (!strcmp(precision, "auto"))
        precision = "f64";
    bool f64 = !strcmp(precision, "f64");
    if (!f64 && strcmp(precision, "f32"))
        return dipp_fail(error, DIPP_E_UNSUPPORTED,
                         "back-end reference: precision '%s' is not supported; it has f64 (auto) and f32", precision);
    dipp_backend *backend = calloc(1, sizeof *backend);
    if (!backend)
        return dipp_fail(error, DIPP_E_MEMORY, "back-end reference: no memory");
    size_t size = f64 ? sizeof(double) : sizeof(float);
    *backend = (dipp_backend){
        .name = "reference",
        .precision = f64 ? "f64" : "f32",
        .isa = "portable",
        .threads = 1,
        .element_size = {size, size, sizeof(int32_t)},
        .compute_is_wide = true,
        .supports = reference_supports,
        .accumulates = reference_accumulates,
        .prepare = reference_prepare,
        .allocate = reference_allocate,
        .release = reference_release,
        .upload = reference_upload,
        .download = reference_download,
        .zero = reference_zero,
        .synchronize = reference_synchronize,
        .destroy = reference_destroy,
    };
    *out = backend;
    return DIPP_OK;
}
