/* What the files of this folder share about an experiment being built; nobody else includes this. */
#ifndef DIPP_EXPERIMENT_MATRIX_H
#define DIPP_EXPERIMENT_MATRIX_H

#include "experiment/experiment.h"

/* One override of the command line. */
struct dipp_override {
    const char *path;
    dipp_mark mark;
    const dipp_yaml_node *value; /* NULL: remove */
    bool matrix;                 /* replaces a key of the whole experiment */
    size_t applied;              /* points that it changed */
};

struct dipp_experiment {
    dipp_arena *arena;
    const char *name, *description, *baseline;
    dipp_cell *cells;
    size_t count;
};

enum { DIPP_MATRIX_POINTS = 1000, DIPP_MATRIX_CELLS = 100000 };

/* root (overrides already applied) to cells. Faults go to context. */
void dipp_matrix_expand(dipp_schema_context *context, const dipp_plugin_catalog *catalog, const dipp_yaml_node *root,
                        struct dipp_override *overrides, size_t override_count, dipp_experiment *experiment);

#endif
