/* What identifies a cell: its configuration without seed, device, threads and paths, the versions of its plugins
 * (those that only score its pictures included), and the content of every file it reads. */
#ifndef DIPP_EXPERIMENT_RUN_KEY_H
#define DIPP_EXPERIMENT_RUN_KEY_H

#include "experiment/experiment.h"
#include "plugin/plugin_host.h"

/* Remembers the hashes of files and worlds between cells. */
typedef struct dipp_run_keys dipp_run_keys;
dipp_status dipp_run_keys_create(dipp_plugins *plugins, dipp_run_keys **out, dipp_error *error);
void dipp_run_keys_destroy(dipp_run_keys **keys);

/* DIPP_E_NOT_FOUND names the key and the file that is missing. */
dipp_status dipp_run_keys_of(dipp_run_keys *keys, const dipp_cell *cell, char out[DIPP_SHA256_HEX_BYTES],
                             dipp_error *error);

#endif
