/* What the scores of a reward plugin are called. hps, hps21, imagereward, aesthetic and pickscore are names of what published
 * weights measure, by their hash; anything else that these plugins compute is called PLUGIN:NAME. */
#ifndef DIPP_EXPERIMENT_RUN_METRIC_NAMES_H
#define DIPP_EXPERIMENT_RUN_METRIC_NAMES_H

#include "base/sha256.h"

#include <dipp/parameter.h>

enum { DIPP_METRIC_NAME_BYTES = 128 };

/* A scorer's files; the hashes are of their contents, "" where there is none. */
typedef struct dipp_scorer_files {
    const char *weights, *head; /* paths as configured, or NULL */
    char *file;                 /* that weights stands for; owned, or NULL */
    char weights_sha256[DIPP_SHA256_HEX_BYTES], head_sha256[DIPP_SHA256_HEX_BYTES];
} dipp_scorer_files;

/* Whether scores of this plugin are named by its weights. [any thread] */
bool dipp_metric_is_published(const char *plugin);

/* For such a plugin: the reserved name where the weights are the published ones and evaluation is as published, or PLUGIN:
 * (clipscore:VARIANT where the network is the variant's own, else clipscore:VARIANT:) and the name of the head, else of the
 * weights, without folder and ending; "untrained" where there are none. Returns out. [any thread] */
char *dipp_metric_name_of(const char *plugin, const dipp_parameters *parameters, const dipp_scorer_files *files,
                          char out[DIPP_METRIC_NAME_BYTES]);

/* The same for an aesthetic head that is given embeddings of pictures. Returns out. [any thread] */
char *dipp_metric_name_of_head(const char *sha256, const char *path, char out[DIPP_METRIC_NAME_BYTES]);

/* What identifies the files as a whole, as a scorer's record keeps it: the hash of the weights or, where there is a head, the
 * hash of both hashes in hexadecimal, one after the other. Returns out. [any thread] */
char *dipp_scorer_files_sha256(const dipp_scorer_files *files, char out[DIPP_SHA256_HEX_BYTES]);

#endif
