/* The plugin kit: whether a plugin keeps what docs/write-a-plugin.md asks of it, found out by using it. Page:
 * docs/plugins.md. Each check runs in a child process, so that one that crashes or hangs is a line of the report. */
#ifndef DIPP_PLUGIN_KIT_KIT_H
#define DIPP_PLUGIN_KIT_KIT_H

#include <dipp/plugin.h>

enum { DIPP_KIT_TIMEOUT_MS = 120000 };

typedef struct dipp_kit_options {
    /* "key=value" each, as dipp_parameters_create_from_text takes them; a plugin gets those that it has. */
    const char *const *assignments;
    size_t assignment_count;
    const char *plugin;         /* only plugins of this name; NULL: all of the file */
    dipp_shape sample;          /* of one sample of a reward; rank 0: pictures [3, 16, 16], vectors by trying */
    const char *prompt;         /* for what takes text, beside the null prompt; NULL: the null prompt alone */
    const char *const *skipped; /* names of checks */
    size_t skipped_count;
    uint32_t timeout_ms; /* of each check; 0: DIPP_KIT_TIMEOUT_MS */
} dipp_kit_options;

/* One line: kind is 0 and plugin "" for what concerns the file. text says what was found. */
typedef void (*dipp_kit_report)(void *context, dipp_plugin_kind kind, const char *plugin, const char *check, bool ok,
                                const char *text);

/* Checks the file and calls report for each check in order; *failures receives how many failed. DIPP_OK when all
 * that was asked could be tried. DIPP_E_INVALID: no plugin of that name, a key that no plugin has, no check of a
 * skipped name; DIPP_E_MEMORY, DIPP_E_IO. options may be NULL. Forks. [one thread at a time] */
dipp_status dipp_kit_check(const char *path, const dipp_kit_options *options, dipp_kit_report report, void *context,
                           uint32_t *failures, dipp_error *error);

#endif
