/* Where plugins are searched, in order, and which of the named places are not searched and why. */
#include "plugin/plugin_host.h"
#include "plugin/plugin_paths.h"

#include "base/memory.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct place_list {
    dipp_plugin_place *data;
    size_t count, capacity;
    bool failed; /* no memory */
} place_list;

static void add(place_list *list, const char *path, bool is_file, const char *reason)
{
    if (list->failed)
        return;
    for (size_t i = 0; i < list->count; i++)
        if (!strcmp(list->data[i].path, path) && list->data[i].is_file == is_file)
            return;
    if (!dipp_grow((void **)&list->data, &list->capacity, list->count + 1, sizeof *list->data)) {
        list->failed = true;
        return;
    }
    dipp_plugin_place *place = &list->data[list->count++];
    *place = (dipp_plugin_place){dipp_string_copy(path), dipp_string_copy(reason), is_file};
    if (!place->path || (reason && !place->reason))
        list->failed = true;
}

/* A directory that somebody named. A silent one may be missing without a word. */
static void add_directory(place_list *list, const char *path, bool silent)
{
    char *real = realpath(path, NULL);
    struct stat info;
    if (!real || stat(real, &info)) {
        if (!silent)
            add(list, path, false, strerror(errno));
    } else if (!S_ISDIR(info.st_mode)) {
        add(list, real, false, "not a folder; give a file as --plugin");
    } else {
        add(list, real, false, NULL);
    }
    free(real);
}

static void add_environment(place_list *list)
{
    const char *rest = secure_getenv("DIPP_PLUGIN_PATH");
    while (rest && *rest) {
        size_t length = strcspn(rest, ":");
        char entry[PATH_MAX];
        if (length >= sizeof entry) {
            add(list, "DIPP_PLUGIN_PATH", false, "an entry of DIPP_PLUGIN_PATH is longer than a path can be");
        } else if (length) { /* an empty entry would mean the current directory elsewhere; here it means nothing */
            memcpy(entry, rest, length);
            entry[length] = 0;
            if (entry[0] == '/')
                add_directory(list, entry, false);
            else
                add(list, entry, false, "a relative entry of DIPP_PLUGIN_PATH; expected an absolute path");
        }
        rest += length;
        rest += *rest == ':';
    }
}

/* The plugins folder of the build tree in which the running program lies: the nearest folder above it that holds
 * plugins/build-tree, a file that the build writes and that is never installed. */
static bool build_tree(char out[PATH_MAX])
{
    ssize_t length = readlink("/proc/self/exe", out, PATH_MAX - 1);
    if (length <= 0)
        return false;
    out[length] = 0;
    static const char marker[] = "/plugins/build-tree";
    for (;;) {
        char *slash = strrchr(out, '/');
        if (!slash || slash == out)
            return false;
        *slash = 0;
        size_t used = (size_t)(slash - out);
        if (used + sizeof marker > PATH_MAX)
            continue;
        memcpy(slash, marker, sizeof marker);
        if (!access(out, F_OK)) {
            slash[strlen("/plugins")] = 0;
            return true;
        }
        *slash = 0;
    }
}

dipp_status dipp_plugin_places(const dipp_plugins_options *options, dipp_plugin_place **places, size_t *count,
                               dipp_error *error)
{
    place_list list = {0};
    for (size_t i = 0; i < options->file_count; i++)
        add(&list, options->files[i], true, NULL);
    for (size_t i = 0; i < options->directory_count; i++)
        add_directory(&list, options->directories[i], false);
    if (!options->no_environment)
        add_environment(&list);
    char tree[PATH_MAX];
    if (!options->no_default) {
        bool uninstalled = build_tree(tree);
        add_directory(&list, uninstalled ? tree : DIPP_PLUGIN_DIRECTORY, true);
    }
    if (list.failed) {
        dipp_plugin_places_release(list.data, list.count);
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for the list of plugin folders");
    }
    *places = list.data;
    *count = list.count;
    return DIPP_OK;
}

void dipp_plugin_places_release(dipp_plugin_place *places, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        dipp_release(places[i].path);
        dipp_release(places[i].reason);
    }
    dipp_release(places);
}
