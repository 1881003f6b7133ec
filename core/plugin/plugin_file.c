/* One plugin file: may it be loaded, and what the dynamic linker and the entry function say. */
#include "plugin/plugin_host.h"

#include "base/memory.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* The mode of path's folder; path is absolute and links are resolved, so a '/' is there. */
static dipp_status check_folder(char *path, dipp_error *error)
{
    char *slash = strrchr(path, '/');
    struct stat info;
    char saved = slash[1];
    slash[1] = 0; /* "/folder/", or "/" */
    int failed = stat(path, &info);
    slash[1] = saved;
    int length = slash == path ? 1 : (int)(slash - path);
    if (failed)
        return dipp_fail(error, DIPP_E_IO, "%.*s: cannot look at the folder: %s", length, path, strerror(errno));
    if ((info.st_mode & S_IWOTH) && !(info.st_mode & S_ISVTX))
        return dipp_fail(error, DIPP_E_PLUGIN,
                         "%s: refused, since anybody may replace files in its folder (mode %04o); chmod o-w %.*s", path,
                         (unsigned)(info.st_mode & 07777), length, path);
    return DIPP_OK;
}

dipp_status dipp_plugin_file_check(const char *path, char **real, dipp_error *error)
{
    char *resolved = realpath(path, NULL);
    if (!resolved)
        return dipp_fail(error, errno == ENOENT || errno == ENOTDIR ? DIPP_E_NOT_FOUND : DIPP_E_IO, "%s: %s", path,
                         strerror(errno));
    struct stat info;
    dipp_status status = DIPP_OK;
    if (stat(resolved, &info))
        status = dipp_fail(error, DIPP_E_IO, "%s: %s", resolved, strerror(errno));
    else if (!S_ISREG(info.st_mode))
        status = dipp_fail(error, DIPP_E_PLUGIN, "%s: expected a regular file, found %s", resolved,
                           S_ISDIR(info.st_mode) ? "a folder (give it as --plugin-dir)" : "something else");
    else if (info.st_mode & S_IWOTH)
        status = dipp_fail(error, DIPP_E_PLUGIN, "%s: refused, since anybody may write to it (mode %04o); chmod o-w %s",
                           resolved, (unsigned)(info.st_mode & 07777), resolved);
    else
        status = check_folder(resolved, error);
    if (!status && !(*real = dipp_string_copy(resolved)))
        status = dipp_fail(error, DIPP_E_MEMORY, "no memory for the path of a plugin");
    free(resolved);
    return status;
}

static void enter(volatile int *stage, dipp_plugin_stage value)
{
    if (stage)
        *stage = (int)value;
}

dipp_status dipp_plugin_library_open(const char *path, volatile int *stage, const dipp_plugin *const **list,
                                     uint32_t *count, dipp_error *error)
{
    enter(stage, DIPP_STAGE_LOAD);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        const char *why = dlerror();
        return dipp_fail(error, DIPP_E_PLUGIN,
                         "expected a shared object that links against this libdipp (ABI %d), found: %s", DIPP_ABI_MAJOR,
                         why ? why : "no reason given");
    }
    dipp_plugin_entry entry;
    void *symbol = dlsym(library, DIPP_PLUGIN_ENTRY_NAME);
    if (!symbol)
        return dipp_fail(error, DIPP_E_PLUGIN,
                         "expected the function %s, found no such symbol; use DIPP_PLUGINS(...) and export it",
                         DIPP_PLUGIN_ENTRY_NAME);
    memcpy(&entry, &symbol, sizeof entry); /* ISO C has no conversion from an object pointer to a function pointer */
    enter(stage, DIPP_STAGE_ENTRY);
    uint32_t found = 0;
    const dipp_plugin *const *descriptors = entry(&found);
    enter(stage, DIPP_STAGE_CHECK);
    dipp_status status = dipp_plugin_check(descriptors, found, error);
    if (status)
        return status;
    *list = descriptors;
    *count = found;
    return DIPP_OK;
}
