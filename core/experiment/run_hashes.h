/* Digests of weight files, each file read once: those of real networks have gigabytes, and a run asks for them where it
 * reads its inputs, where it names its scorers, and where its monitor compares judges with rewards. */
#ifndef DIPP_EXPERIMENT_RUN_HASHES_H
#define DIPP_EXPERIMENT_RUN_HASHES_H

#include "base/sha256.h"

typedef struct dipp_run_hashes dipp_run_hashes;

dipp_status dipp_run_hashes_create(dipp_run_hashes **out, dipp_error *error);
void dipp_run_hashes_destroy(dipp_run_hashes **hashes);

/* As dipp_weights_sha256, which is asked only for what was not seen before: device, inode, size and times of change
 * tell, so that another path of the same file is known, and a file that was written since is read again. An index is
 * all its files. [one thread at a time] */
dipp_status dipp_run_hashes_of(dipp_run_hashes *hashes, const char *path, char out[DIPP_SHA256_HEX_BYTES],
                               dipp_error *error);

/* How many different contents of files were read so far. [one thread at a time] */
size_t dipp_run_hashes_count(const dipp_run_hashes *hashes);

#endif
