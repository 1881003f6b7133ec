/* Which file a configured path of weights stands for. Three kinds of path:
 *   a file           itself
 *   a folder         NAME.safetensors in it (what dipp exports), or, in NAME model's place, what diffusers and
 *                    transformers call their own: whole, of several files, else in bf16 or fp16, else PyTorch's .bin
 *   a pipeline       a folder with unet/ or transformer/, vae/, text_encoder/ in it, as diffusers writes them: each part is
 *                    a folder of the second kind
 * A file may also be an index (*.json) of several. All functions here are [any thread], return what is freed with
 * dipp_release, NULL without memory, and do not say whether the file is there. */
#ifndef DIPP_EXPERIMENT_RUN_WEIGHTS_H
#define DIPP_EXPERIMENT_RUN_WEIGHTS_H

#include <stdbool.h>

typedef enum dipp_weights_part {
    DIPP_PART_NETWORK = 0, /* unet/ or transformer/ */
    DIPP_PART_AUTOENCODER, /* vae/ */
    DIPP_PART_TEXT,        /* text_encoder/ */
    DIPP_WEIGHTS_PARTS
} dipp_weights_part;

bool dipp_run_weights_is_pipeline(const char *path);

/* The file behind a path that is not a pipeline: FOLDER/NAME.safetensors, or the path itself. */
char *dipp_run_weights_file(const char *path, const char *name);

/* The file of a part of a pipeline, or the name under which it is published where there is none; of any other path
 * dipp_run_weights_file(path, "model"). */
char *dipp_run_weights_part(const char *path, dipp_weights_part part);

/* Whether a key of a configuration names a folder for its descriptions (dipp_pipeline_file), not for weights. */
bool dipp_run_weights_key_describes(const char *key);

/* The file of generator.init: a pipeline's network, else dipp_run_weights_file(path, "generator"). */
char *dipp_run_weights_generator(const char *path);

#endif
