/* The keys of an experiment file: one table from which checking, defaults, help and documentation come. A new key is a
 * new row. */
#ifndef DIPP_EXPERIMENT_TABLE_H
#define DIPP_EXPERIMENT_TABLE_H

#include "base/text.h"

#include <dipp/parameter.h>
#include <dipp/plugin.h>

typedef enum dipp_row_kind {
    DIPP_ROW_VALUE = 0,  /* one value of the configuration */
    DIPP_ROW_RECORDS,    /* a list of maps; its keys are rows `name[].key`; an absent list is empty */
    DIPP_ROW_PARAMETERS, /* the `params` map of the plugin named by the sibling key `plugin` */
    DIPP_ROW_MATRIX      /* of the experiment as a whole, not of a run: name, seeds, arms; arms cannot set it */
} dipp_row_kind;

typedef struct dipp_row {
    dipp_parameter parameter; /* key is the dotted path; type is 0 where the shape is special (arms, grid) */
    dipp_row_kind kind;
    const char *when; /* the row applies: "a.b=x|y" a.b is x or y; "a.b" is set; "!a.b" is not; NULL: always.
                                     The row of a.b stands above; "list[].b" is b of the same record. */
    dipp_plugin_kind plugin_kind; /* PARAMETERS */
    bool unkeyed;                 /* not part of the cell's key; neither are paths */
} dipp_row;

/* [any thread] */
const dipp_row *dipp_experiment_table(size_t *count);

/* The row of a path of a document ("rewards[0].scale"); for a plugin's own parameter the row of its map; for a section
 * its first row. NULL for an unknown path. [any thread] */
const dipp_row *dipp_experiment_row(const char *path);

/* The table as text for `--help` and docs: one line per key with type, default and help. prefix "align." restricts it. */
void dipp_experiment_table_write(dipp_text *out, const char *prefix);

/* Name of a type as stored with values: "float", "int_list". */
const char *dipp_parameter_type_name(dipp_parameter_type type);

#endif
