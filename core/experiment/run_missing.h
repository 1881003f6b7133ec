/* Files that a configuration names and the machine lacks, and what they are called where they are published. */
#ifndef DIPP_EXPERIMENT_RUN_MISSING_H
#define DIPP_EXPERIMENT_RUN_MISSING_H

#include "experiment/experiment.h"

/* key: of the configuration ("reference.weights"); path: the file that is not there; published: what to look for, or NULL
 * when nothing is published for the plugin. A nonzero answer stops. */
typedef int (*dipp_missing_fn)(void *user, const char *key, const char *path, const char *published);

/* Every missing file of every configuration, each path once. A folder counts as its files that dipp reads.
 * DIPP_E_MEMORY. [any thread] */
dipp_status dipp_run_missing(const dipp_experiment *experiment, dipp_missing_fn each, void *user, dipp_error *error);

/* What is published for a plugin of this name, static; NULL for none. [any thread] */
const char *dipp_published(const char *plugin);

#endif
