/* One resolved configuration: every key that applies has a typed value, every plugin its parameters. */
#ifndef DIPP_EXPERIMENT_CONFIG_H
#define DIPP_EXPERIMENT_CONFIG_H

#include "experiment/schema.h"
#include "experiment/yaml_tree.h"

#include <dipp/plugin.h>

/* Which plugins there are; the caller's, so that the YAML layer loads no code. */
typedef struct dipp_plugin_catalog {
    void *context;
    /* The parameter table of a plugin; it stays valid as long as the experiment. DIPP_E_NOT_FOUND when there is none of
     * that name; any other failure is shown with its message. */
    dipp_status (*parameters)(void *context, dipp_plugin_kind kind, const char *name, const dipp_parameter **table,
                              uint32_t *count, dipp_error *error);
    /* Name number `index` of a kind, NULL beyond the last. */
    const char *(*name)(void *context, dipp_plugin_kind kind, size_t index);
} dipp_plugin_catalog;

/* One value as the store records it. */
typedef struct dipp_config_value {
    const char *key;    /* rewards[0].params.color */
    const char *type;   /* dipp_parameter_type_name */
    const char *text;   /* strings as they are, everything else as canonical JSON */
    const char *source; /* exp.yaml:12, override #2, default, arm reward (exp.yaml:20), grid (exp.yaml:31) */
} dipp_config_value;

typedef struct dipp_config dipp_config;

/* Resolves a tree (a map of the keys of dipp_experiment_table, matrix keys ignored). Faults go to context; NULL after
 * any. catalog NULL: no plugins. */
dipp_config *dipp_config_resolve(dipp_schema_context *context, const dipp_plugin_catalog *catalog,
                                 const dipp_yaml_node *root);

/* Values by path: "align.cfg_omega", "rewards[1].scale". Read-only, valid as long as the experiment. Asking for a path
 * that is unset, or for another type, gives the zero value; a key with a default is always set where it applies.
 * [any thread] */
bool dipp_config_has(const dipp_config *config, const char *path);
bool dipp_config_bool(const dipp_config *config, const char *path);
int64_t dipp_config_int(const dipp_config *config, const char *path);
double dipp_config_float(const dipp_config *config, const char *path);       /* a whole number reads as double too */
const char *dipp_config_string(const dipp_config *config, const char *path); /* STRING, PATH, ENUM; NULL when unset */
size_t dipp_config_length(const dipp_config *config, const char *path);      /* of a list */
const dipp_yaml_node *dipp_config_node(const dipp_config *config, const char *path);

/* Parameters of a plugin by the path of their map: "reference.params", "rewards[0].params". Present for every plugin
 * that is named, given or not. */
const dipp_parameters *dipp_config_parameters(const dipp_config *config, const char *path);

/* All values in the order of the table. */
const dipp_config_value *dipp_config_values(const dipp_config *config, size_t *count);

#endif
