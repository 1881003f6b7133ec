/* See module.h. */
#include "backend/module.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PLACES = 4 };

/* The folder that libdipp was loaded from, without a slash at the end. */
static bool own_folder(char folder[PATH_MAX])
{
    static const dipp_backend_module here; /* any address inside this file */
    Dl_info info;
    if (!dladdr(&here, &info) || !info.dli_fname || !realpath(info.dli_fname, folder))
        return false;
    char *slash = strrchr(folder, '/');
    if (!slash)
        return false;
    *slash = 0;
    return true;
}

static dipp_status not_found(const char *name, const char *const *paths, size_t count, dipp_error *error)
{
    char places[DIPP_ERROR_MESSAGE_BYTES / 2] = "";
    size_t used = 0;
    for (size_t i = 0; i < count && used < sizeof places; i++)
        used += (size_t)snprintf(places + used, sizeof places - used, "%s%s", i ? ", " : "", paths[i]);
    return dipp_fail(
        error, DIPP_E_UNSUPPORTED,
        "back-end '%s' is not in this installation: none of %s exists; it is built where the CUDA compiler "
        "nvcc is found (configure with -Ddevice_cuda=enabled to insist); use 'cpu' or 'reference' here",
        name, places);
}

static dipp_status check_entry(const char *path, const dipp_backend_module *entry, dipp_error *error)
{
    static const dipp_backend_module want = DIPP_BACKEND_MODULE_OF(NULL);
    if (entry->abi == want.abi && entry->ops == want.ops && entry->backend_bytes == want.backend_bytes &&
        entry->node_bytes == want.node_bytes && entry->attributes_bytes == want.attributes_bytes)
        return DIPP_OK;
    return dipp_fail(error, DIPP_E_UNSUPPORTED,
                     "%s was built for another libdipp: it has module ABI %u, %u ops and sizes %u/%u/%u, this libdipp "
                     "has %u, %u and %u/%u/%u; build and install both together",
                     path, entry->abi, entry->ops, entry->backend_bytes, entry->node_bytes, entry->attributes_bytes,
                     want.abi, want.ops, want.backend_bytes, want.node_bytes, want.attributes_bytes);
}

dipp_status dipp_backend_module_create_from(const char *name, const char *const *paths, size_t count,
                                            const dipp_backend_options *options, dipp_backend **out, dipp_error *error)
{
    size_t k = 0;
    while (k < count && access(paths[k], F_OK) != 0)
        k++;
    if (k == count)
        return not_found(name, paths, count, error);
    /* Never unloaded: the back-end's functions and what its libraries registered must outlive every back-end. */
    void *module = dlopen(paths[k], RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!module)
        return dipp_fail(
            error, DIPP_E_UNSUPPORTED,
            "back-end '%s': %s cannot be loaded: %s; the libraries it names must be where the loader looks "
            "(LD_LIBRARY_PATH, ldconfig)",
            name, paths[k], dlerror());
    const dipp_backend_module *entry = dlsym(module, "dipp_backend_module_entry");
    if (!entry)
        return dipp_fail(error, DIPP_E_UNSUPPORTED,
                         "back-end '%s': %s is no back-end of dipp: it has no dipp_backend_module_entry", name,
                         paths[k]);
    dipp_status status = check_entry(paths[k], entry, error);
    return status == DIPP_OK ? entry->create(options, out, error) : status;
}

dipp_status dipp_backend_module_create(const char *name, const dipp_backend_options *options, dipp_backend **out,
                                       dipp_error *error)
{
    char folder[PATH_MAX], texts[PLACES][PATH_MAX + 128];
    const char *paths[PLACES], *given = secure_getenv("DIPP_BACKEND_PATH");
    size_t count = 0;
    if (!own_folder(folder))
        return dipp_fail(error, DIPP_E_UNSUPPORTED, "back-end '%s': the folder of libdipp cannot be found", name);
    if (given && strlen(given) < PATH_MAX)
        snprintf(texts[count++], sizeof texts[0], "%s/backend_%s.so", given, name);
    snprintf(texts[count++], sizeof texts[0], "%s/backend_%s.so", folder, name);
    snprintf(texts[count++], sizeof texts[0], "%s/core/backend/%s/backend_%s.so", folder, name, name);
    snprintf(texts[count++], sizeof texts[0], "%s/dipp/backend_%s.so", folder, name);
    for (size_t i = 0; i < count; i++)
        paths[i] = texts[i];
    return dipp_backend_module_create_from(name, paths, count, options, out, error);
}
