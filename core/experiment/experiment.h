/* An experiment file and what it expands to: arms x grid x zip x seeds, each point with one resolved configuration. */
#ifndef DIPP_EXPERIMENT_EXPERIMENT_H
#define DIPP_EXPERIMENT_EXPERIMENT_H

#include "base/sha256.h"
#include "experiment/config.h"
#include "experiment/diagnostics.h"

typedef struct dipp_experiment dipp_experiment;

/* One run to be made. Everything is owned by the experiment. */
typedef struct dipp_cell {
    const char *arm; /* label, unique per point: "cfg-only", "cfg-only/align.batch=32", "align.batch=32", "default" */
    const char *base_arm; /* its name under `arms`, "default" without arms */
    int64_t seed;
    size_t point; /* cells of one point differ in the seed alone */
    const dipp_config *config;
    const char *json;     /* canonical, every value and the name: itself an experiment file of this one point */
    const char *key_json; /* canonical, without what does not change results: name, device, threads, paths, output */
    char sha256[DIPP_SHA256_HEX_BYTES]; /* of key_json */
    const dipp_config_value *values;
    size_t value_count;
} dipp_cell;

/* Reads an experiment file with what it extends, applies overrides ("align.steps=10", "~align.ema") in their order above
 * file, arms and grid, checks everything and expands it. Order of cells: arms as written, the grid's first key slowest,
 * zip, then seeds fastest.
 * Every fault, warnings too, goes to diagnostics (which the caller shows, also after DIPP_OK). DIPP_E_INVALID: there are
 * errors, their number and the first is in error. DIPP_E_NOT_FOUND and DIPP_E_IO: the file itself cannot be read.
 * DIPP_E_MEMORY. [one thread at a time per diagnostics] */
dipp_status dipp_experiment_load(const char *path, const char *const *overrides, size_t override_count,
                                 const dipp_plugin_catalog *catalog, dipp_diagnostics *diagnostics,
                                 dipp_experiment **out, dipp_error *error);

/* The same from text; name stands for the file in messages and `extends` is relative to its folder. */
dipp_status dipp_experiment_parse(const char *name, const char *text, size_t bytes, const char *const *overrides,
                                  size_t override_count, const dipp_plugin_catalog *catalog,
                                  dipp_diagnostics *diagnostics, dipp_experiment **out, dipp_error *error);

void dipp_experiment_destroy(dipp_experiment **experiment);

/* [any thread] */
const char *dipp_experiment_name(const dipp_experiment *experiment);
const char *dipp_experiment_description(const dipp_experiment *experiment); /* NULL when there is none */
const char *dipp_experiment_baseline(const dipp_experiment *experiment);    /* NULL when there is none */
const dipp_cell *dipp_experiment_cells(const dipp_experiment *experiment, size_t *count);

#endif
