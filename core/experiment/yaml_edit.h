/* New trees from old ones: overlays, single values by dotted path, canonical JSON. Nodes given are never changed;
 * results share what did not change. NULL results mean that memory ran out. [one thread at a time per arena] */
#ifndef DIPP_EXPERIMENT_YAML_EDIT_H
#define DIPP_EXPERIMENT_YAML_EDIT_H

#include "base/text.h"
#include "experiment/yaml_tree.h"

/* An empty map, or a string node holding text itself (not a copy). */
dipp_yaml_node *dipp_yaml_new_map(dipp_arena *arena, const dipp_mark *mark);
dipp_yaml_node *dipp_yaml_new_string(dipp_arena *arena, const char *text, const dipp_mark *mark);

/* Puts value at a dotted path (no [n]) of a map that nobody else holds yet, making maps on the way. false: no memory. */
bool dipp_yaml_put(dipp_arena *arena, dipp_yaml_node *map, const char *path, const dipp_mark *mark,
                   const dipp_yaml_node *value);

/* base with over on top: maps merge key by key, everything else (lists, null) is replaced. */
const dipp_yaml_node *dipp_yaml_overlay(dipp_arena *arena, const dipp_yaml_node *base, const dipp_yaml_node *over);

/* A deep copy whose nodes say that `layer` put them there. layer must outlive the tree. */
const dipp_yaml_node *dipp_yaml_relabel(dipp_arena *arena, const dipp_yaml_node *node, const char *layer);

/* A path is names separated by dots, each followed by any number of [n]: rewards[0].params.color. */
bool dipp_yaml_path_valid(const char *path);

/* The node at a path, NULL when there is none. */
const dipp_yaml_node *dipp_yaml_at(const dipp_yaml_node *root, const char *path);

/* root with the node at path overlaid by value; missing maps are made, a scalar in the way is replaced by a map.
 * value NULL removes the entry (nothing to remove is fine). DIPP_E_INVALID for a malformed path or an index beyond its
 * list, DIPP_E_MEMORY. */
dipp_status dipp_yaml_set(dipp_arena *arena, const dipp_yaml_node *root, const char *path, const dipp_mark *mark,
                          const dipp_yaml_node *value, const dipp_yaml_node **out, dipp_error *error);

/* Canonical JSON: keys sorted by byte, no blanks, floats with the fewest digits that read back equal, -0 as 0. keyed_only leaves entries out whose value is unkeyed. */
void dipp_yaml_write_json(dipp_text *out, const dipp_yaml_node *node, bool keyed_only);
void dipp_json_write_float(dipp_text *out, double value);
void dipp_json_write_string(dipp_text *out, const char *text);

#endif
