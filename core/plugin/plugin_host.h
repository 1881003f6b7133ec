/* Finding, judging and loading plugins. Page: docs/plugins.md.
 *
 * A plugin file is full code in this process, so nothing is loaded that was not asked for: only the directories named
 * below are searched, never the current one; files that anybody could replace are refused; and every file is first opened
 * in a child process that describes it, so that one that crashes, hangs or lies costs a message and not the run. */
#ifndef DIPP_PLUGIN_HOST_H
#define DIPP_PLUGIN_HOST_H

#include "base/sha256.h"

#include <dipp/plugin.h>

enum { DIPP_PROBE_TIMEOUT_MS = 10000, DIPP_PLUGIN_NAME_BYTES = 64 };

typedef enum dipp_plugin_state {
    DIPP_PLUGIN_USABLE = 0,
    DIPP_PLUGIN_SHADOWED, /* an earlier file has a plugin of this kind and name */
    DIPP_PLUGIN_BROKEN,   /* the file was refused; reason says why */
    DIPP_PLUGIN_IGNORED   /* a place that was not searched; path is that place, reason says why */
} dipp_plugin_state;

/* One line of `dipp plugins`. Texts belong to the dipp_plugins; those that do not apply are "" (kind 0). */
typedef struct dipp_plugin_listing {
    dipp_plugin_state state;
    dipp_plugin_kind kind;
    const char *name, *version, *licence, *summary;
    const char *path; /* absolute, links resolved; as given when the path itself was refused */
    char sha256[DIPP_SHA256_HEX_BYTES];
    const char *reason; /* why it is shadowed, broken or ignored */
} dipp_plugin_listing;

/* A plugin in this process. Everything is valid until the process ends (libraries are never unloaded) but path and this
 * struct itself, which belong to the dipp_plugins. */
typedef struct dipp_loaded_plugin {
    const dipp_plugin *descriptor;
    const char *path;
    char sha256[DIPP_SHA256_HEX_BYTES];
} dipp_loaded_plugin;

typedef struct dipp_plugins_options {
    const char *const *files; /* --plugin FILE: come first */
    size_t file_count;
    const char *const *directories; /* --plugin-dir DIR: come second */
    size_t directory_count;
    bool no_environment;       /* leave DIPP_PLUGIN_PATH out */
    bool no_default;           /* leave the installed folder (or the build tree's) out */
    uint32_t probe_timeout_ms; /* for each file; 0: DIPP_PROBE_TIMEOUT_MS */
} dipp_plugins_options;

typedef struct dipp_plugins dipp_plugins;

/* Searches files, directories, the absolute entries of DIPP_PLUGIN_PATH (':' between them; ignored in a set-user-ID
 * process), then the installed libdir/dipp/plugins - or, when the running program lies in a build tree, that tree's
 * plugins folder instead. In a directory: *.so, by name. Each file is checked, hashed and probed; none is loaded.
 * A file that is refused is an entry with a reason, not an error. options may be NULL.
 * Errors: DIPP_E_MEMORY. Forks: call before other threads run. [one thread at a time] */
dipp_status dipp_plugins_open(const dipp_plugins_options *options, dipp_plugins **out, dipp_error *error);

/* Destroy instances first. NULL and pointer to NULL are accepted. */
void dipp_plugins_destroy(dipp_plugins **plugins);

/* Entries in order of search; they stay valid and in place until destroy. [any thread] */
size_t dipp_plugins_count(const dipp_plugins *plugins);
const dipp_plugin_listing *dipp_plugins_at(const dipp_plugins *plugins, size_t index);

/* The first plugin of that kind and name, loaded into this process on first use; *loaded belongs to plugins.
 * DIPP_E_NOT_FOUND lists the names there are, the nearest, and the files that were refused; DIPP_E_PLUGIN when the file
 * changed since it was probed or cannot be loaded. [one thread at a time] */
dipp_status dipp_plugins_find(dipp_plugins *plugins, dipp_plugin_kind kind, const char *name,
                              const dipp_loaded_plugin **loaded, dipp_error *error);

/* For readers of configurations, which take a callback with a context: context is a dipp_plugins *. Loads as find does;
 * *table is const data of the plugin. */
dipp_status dipp_plugins_parameter_table(void *context, dipp_plugin_kind kind, const char *name,
                                         const dipp_parameter **table, uint32_t *count, dipp_error *error);

/* Also for them: the name of the index-th usable plugin of a kind, NULL beyond the last. context as above. [any thread] */
const char *dipp_plugins_name(void *context, dipp_plugin_kind kind, size_t index);

/* "generator", "reference", "reward"; "plugin" for anything else. [any thread] */
const char *dipp_plugin_kind_name(dipp_plugin_kind kind);

/* ---- One file ------------------------------------------------------------------------------------------------- */

/* Opens path (absolute) in a child process and returns what it describes itself as, JSON freed with dipp_release:
 *   {"plugins": [{"kind", "name", "version", "licence", "summary", "abi": [major, minor], "build_tag",
 *     "parameters": [{"key", "type", "default"?, "minimum"?, "maximum"?, "choices"?, "unit"?, "flags": [...], "help"}]}]}
 * DIPP_E_PLUGIN: what was expected and found, with the dynamic linker's own words, the signal, the exit status or the time
 * limit, and the stage in which it happened. DIPP_E_INVALID for a relative path, DIPP_E_IO, DIPP_E_MEMORY. Forks.
 * [one thread at a time] */
dipp_status dipp_plugin_probe(const char *path, uint32_t timeout_ms, char **json, dipp_error *error);

/* ---- For the files of this folder ------------------------------------------------------------------------------ */

/* Resolves links and refuses what is not a regular file, or could be replaced by anybody: a file with mode o+w, or in a
 * folder with o+w without the sticky bit. *real is freed with dipp_release. DIPP_E_NOT_FOUND, DIPP_E_PLUGIN. */
dipp_status dipp_plugin_file_check(const char *path, char **real, dipp_error *error);

/* Stages of opening, so that a probe can say where it ended. */
typedef enum dipp_plugin_stage {
    DIPP_STAGE_LOAD = 0, /* dlopen, with the file's load-time constructors */
    DIPP_STAGE_ENTRY,    /* dipp_plugin_entry_v1() */
    DIPP_STAGE_CHECK,    /* reading the descriptors */
    DIPP_STAGE_DONE
} dipp_plugin_stage;

/* dlopen, entry and check in this process; stage may be NULL. The library is never closed. DIPP_E_PLUGIN. */
dipp_status dipp_plugin_library_open(const char *path, volatile int *stage, const dipp_plugin *const **list,
                                     uint32_t *count, dipp_error *error);

/* Everything that can be said about descriptors without creating an instance. DIPP_E_PLUGIN, expected and found. */
dipp_status dipp_plugin_check(const dipp_plugin *const *list, uint32_t count, dipp_error *error);

/* The places to search, in order, with links resolved and without repetitions. A place with a reason is not searched. */
typedef struct dipp_plugin_place {
    char *path;
    char *reason; /* NULL: search it */
    bool is_file;
} dipp_plugin_place;
dipp_status dipp_plugin_places(const dipp_plugins_options *options, dipp_plugin_place **places, size_t *count,
                               dipp_error *error);
void dipp_plugin_places_release(dipp_plugin_place *places, size_t count);

#endif
