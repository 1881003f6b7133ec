/* YAML text to a tree of typed nodes, each with the place it was written at.
 *
 * Strict subset: one document, one encoding (UTF-8), no tags, no directives but %YAML, no merge keys, string keys
 * without duplicates. Plain scalars are typed by the YAML 1.2 core schema with one change: a decimal number with a
 * leading zero (010) is an error, because YAML 1.1 reads it as octal. Quoted and block scalars are always strings.
 * Aliases are resolved to the anchored node itself under a budget, so a tree cannot outgrow its limits.
 * Nodes are read-only once built and may be shared between trees; everything lives in the caller's arena. */
#ifndef DIPP_EXPERIMENT_YAML_TREE_H
#define DIPP_EXPERIMENT_YAML_TREE_H

#include "base/arena.h"

#include <dipp/status.h>

#include <stdbool.h>

typedef struct dipp_diagnostics dipp_diagnostics;

typedef enum dipp_yaml_kind {
    DIPP_YAML_NULL,
    DIPP_YAML_BOOL,
    DIPP_YAML_INT,
    DIPP_YAML_FLOAT,
    DIPP_YAML_STRING,
    DIPP_YAML_SEQUENCE,
    DIPP_YAML_MAP
} dipp_yaml_kind;

/* A text that nodes came from. */
typedef struct dipp_yaml_source {
    const char *name; /* file name as the user knows it, or: override #2 */
    const char *text; /* UTF-8, may lack a final newline */
    size_t bytes;
    size_t skip;    /* leading bytes of text that are not YAML (the key of an override) */
    bool override;  /* shown without line and column */
    unsigned order; /* errors are listed in this order of their sources */
} dipp_yaml_source;

/* A place in a source, in characters; line and column count from 1, 0 means unknown. */
typedef struct dipp_mark {
    const dipp_yaml_source *source; /* NULL: no text, a default */
    uint32_t line, column, length;  /* length on this line, for the underline */
} dipp_mark;

typedef struct dipp_yaml_node dipp_yaml_node;

typedef struct dipp_yaml_entry {
    const char *key;
    dipp_mark mark; /* of the key */
    const dipp_yaml_node *value;
} dipp_yaml_entry;

struct dipp_yaml_node {
    dipp_yaml_kind kind;
    bool quoted; /* STRING: written with quotes or as a block, so never meant as a number */
    dipp_mark mark;
    const char *layer; /* who put it over the file: "arm reward", "grid", "zip"; NULL: the source itself */
    const char *text;  /* scalars: the value as text */
    bool unkeyed;      /* resolved configurations: not part of the cell's key */
    union {
        bool boolean;
        int64_t integer;
        double real;
    };
    size_t count;                       /* of items or entries */
    const dipp_yaml_node *const *items; /* SEQUENCE */
    dipp_yaml_entry *entries;           /* MAP, in written order */
};

typedef struct dipp_yaml_limits {
    size_t bytes; /* of one source */
    size_t depth; /* nesting of collections */
    size_t nodes; /* of one tree, every use of an alias counted in full */
    size_t keys;  /* of one map */
    size_t anchors;
} dipp_yaml_limits;

/* 1 MiB, 64, 100,000, 1,000, 1,000. */
extern const dipp_yaml_limits dipp_yaml_default_limits;

/* Reads a file of at most limits->bytes (NULL: the default). DIPP_E_NOT_FOUND, DIPP_E_IO, DIPP_E_INVALID when it is
 * larger or not a regular file, DIPP_E_MEMORY. [one thread at a time per arena] */
dipp_status dipp_yaml_read_file(dipp_arena *arena, const char *path, const dipp_yaml_limits *limits,
                                dipp_yaml_source **out, dipp_error *error);

/* Parses a source. DIPP_OK means that there is a tree (an empty source is a null node); faults that leave one, such as
 * a duplicate key or 010, are in diagnostics all the same, so ask its count. DIPP_E_FORMAT: no tree, the reason is in
 * diagnostics and its first line in error. DIPP_E_MEMORY. limits may be NULL for the default. */
dipp_status dipp_yaml_parse(dipp_arena *arena, const dipp_yaml_source *source, const dipp_yaml_limits *limits,
                            dipp_diagnostics *diagnostics, const dipp_yaml_node **out, dipp_error *error);

/* Types a plain scalar by the core schema into *node (kind, boolean/integer/real); text must outlive it.
 * NULL, or what is wrong with it (static text): leading zero, out of range. [any thread] */
const char *dipp_yaml_type_plain(const char *text, dipp_yaml_node *node);

/* "a map", "a whole number": for messages. [any thread] */
const char *dipp_yaml_kind_name(dipp_yaml_kind kind);

/* Entry of a map, NULL when absent or when node is no map. */
const dipp_yaml_entry *dipp_yaml_find(const dipp_yaml_node *map, const char *key);

#endif
