/* Checks values against parameter tables (dipp/parameter.h). The same tables describe the experiment file, and the
 * parameters of every plugin. */
#ifndef DIPP_EXPERIMENT_SCHEMA_H
#define DIPP_EXPERIMENT_SCHEMA_H

#include "experiment/diagnostics.h"
#include "base/text.h"
#include "experiment/yaml_tree.h"

#include <dipp/parameter.h>

/* Where a check works and complains. */
typedef struct dipp_schema_context {
    dipp_arena *arena;
    dipp_diagnostics *diagnostics;
    bool out_of_memory; /* sticky; the caller returns DIPP_E_MEMORY at its end */
} dipp_schema_context;

/* "a number in [0, 1]", "one of ve, vp": what a parameter accepts. */
void dipp_schema_write_expectation(dipp_text *out, const dipp_parameter *parameter);

/* The value as the parameter's type (whole numbers become floats where floats are wanted), NULL after a fault. path is
 * how the fault calls the value. */
const dipp_yaml_node *dipp_schema_check(dipp_schema_context *context, const dipp_parameter *parameter, const char *path,
                                        const dipp_yaml_node *value);

/* The parameter's default as a typed node without a place; NULL when it has none. */
const dipp_yaml_node *dipp_schema_default(dipp_schema_context *context, const dipp_parameter *parameter,
                                          const char *path);

/* Complains about an unknown key at mark and names the nearest of `names`, or else `elsewhere` (may be NULL). */
void dipp_schema_unknown_key(dipp_schema_context *context, const dipp_mark *mark, const char *path, const char *key,
                             const char *const *names, size_t count, const char *elsewhere);

/* Resolves the parameters of a plugin: `given` (a map, null, or NULL) against a table, defaults filled in. `prefix` is
 * the path of the map, `owner` names the plugin in messages, `mark` is where a missing key is reported. *map receives
 * the typed values, *bag the same for plugins; both live in the arena, and the table must outlive them. false after a
 * fault. */
bool dipp_schema_resolve_parameters(dipp_schema_context *context, const dipp_parameter *table, size_t count,
                                    const dipp_yaml_node *given, const char *prefix, const char *owner,
                                    const dipp_mark *mark, const dipp_yaml_node **map, dipp_parameters **bag);

/* A text in the arena, NULL (and out_of_memory) when memory ran out. */
const char *dipp_schema_text(dipp_schema_context *context, const char *format, ...) DIPP_PRINTF(2, 3);

/* What is wrong with a table: key names, flags, defaults that do not pass their own check; NULL when nothing. For tests
 * and for the check of a plugin at its door. The text is in the arena. */
const char *dipp_schema_table_fault(dipp_schema_context *context, const dipp_parameter *table, size_t count);

#endif
