/* Back-ends by name, and the parts that all of them share. */
#include "backend/module.h"
#include "backend/options.h"
#include "base/resident.h"

#include <string.h>

dipp_backend_options dipp_backend_options_of(const dipp_backend_options *options)
{
    dipp_backend_options result = {0};
    if (options) {
        size_t size = options->struct_size;
        memcpy(&result, options, size && size < sizeof result ? size : sizeof result);
    }
    result.struct_size = sizeof result;
    if (!result.precision)
        result.precision = "auto";
    return result;
}

const char *dipp_backend_no_kernel(dipp_op op)
{
#define NO_KERNEL(upper, name, outputs) "no kernel for op '" name "' (leaves and views have none)",
    static const char *const sentences[DIPP_OP_COUNT] = {DIPP_OP_TABLE(NO_KERNEL)};
#undef NO_KERNEL
    return (unsigned)op < DIPP_OP_COUNT ? sentences[op] : "an op that is not in the op table";
}

static dipp_status create_cpu(const dipp_backend_options *options, dipp_backend **out, dipp_error *error)
{
#ifdef HAVE_CPU_BACKEND
    return dipp_cpu_backend_create(options, out, error);
#else
    return dipp_fail(error, DIPP_E_UNSUPPORTED,
                     "back-end 'cpu' is not in this build: oneDNN was not found or -Dcpu_backend=disabled was given; "
                     "install oneDNN (libdnnl-dev) and configure with -Dcpu_backend=enabled, or use 'reference'");
#endif
}

/* cpu where it exists and can do what is asked, else reference; when neither can, what cpu said. */
static dipp_status create_auto(const dipp_backend_options *options, dipp_backend **out, dipp_error *error)
{
    dipp_status status = create_cpu(options, out, error);
    if (status != DIPP_E_UNSUPPORTED)
        return status;
    return dipp_reference_backend_create(options, out, NULL) == DIPP_OK ? DIPP_OK : status;
}

dipp_status dipp_backend_create(const char *name, const dipp_backend_options *options, dipp_backend **out,
                                dipp_error *error)
{
    if (!name || !strcmp(name, "auto"))
        return create_auto(options, out, error);
    if (!strcmp(name, "reference"))
        return dipp_reference_backend_create(options, out, error);
    if (!strcmp(name, "cpu"))
        return create_cpu(options, out, error);
    if (!strcmp(name, "null"))
        return dipp_null_backend_create(options, out, error);
    if (!strcmp(name, "cuda"))
        return dipp_backend_module_create(name, options, out, error);
    return dipp_fail(error, DIPP_E_UNSUPPORTED, "back-end '%s' is unknown; expected auto, cpu, reference, cuda or null",
                     name);
}

void dipp_backend_destroy(dipp_backend **backend)
{
    if (!backend || !*backend)
        return;
    (*backend)->destroy(*backend);
    *backend = NULL;
}

void dipp_backend_memory(dipp_backend *backend, size_t *free_bytes, size_t *total)
{
    *free_bytes = *total = 0;
    if (!backend->memory)
        dipp_machine_memory(free_bytes, total);
    else if (!backend->memory(backend, free_bytes, total))
        *free_bytes = *total = 0;
}

dipp_status dipp_backend_no_memory(dipp_backend *backend, size_t bytes, const char *what, dipp_error *error)
{
    size_t free_bytes, total;
    dipp_backend_memory(backend, &free_bytes, &total);
    return dipp_fail(error, DIPP_E_MEMORY, "the %s back-end has no %.1f MiB for %s; free are %.1f of %.1f MiB",
                     backend->name, (double)bytes / 1048576, what, (double)free_bytes / 1048576,
                     (double)total / 1048576);
}
