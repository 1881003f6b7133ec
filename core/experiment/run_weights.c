#include "experiment/run_weights.h"

#include "base/file.h"
#include "base/memory.h"
#include "weights/weights.h"

#include <stdio.h>
#include <string.h>

/* FOLDER/NAME, NULL when it is not there. */
static char *existing(const char *folder, const char *name)
{
    char *path = dipp_path_join(folder, name);
    if (path && !dipp_path_exists(path)) {
        dipp_release(path);
        path = NULL;
    }
    return path;
}

/* The subfolder of a part, NULL when there is none. */
static char *part_folder(const char *path, dipp_weights_part part)
{
    static const char *const folders[DIPP_WEIGHTS_PARTS][2] = {
        {"unet", "transformer"}, {"vae", NULL}, {"text_encoder", NULL}};
    for (int i = 0; i < 2 && folders[part][i]; i++) {
        char *folder = existing(path, folders[part][i]);
        if (folder && dipp_path_is_directory(folder))
            return folder;
        dipp_release(folder);
    }
    return NULL;
}

bool dipp_run_weights_is_pipeline(const char *path)
{
    bool found = false;
    for (int part = 0; part < DIPP_WEIGHTS_PARTS && !found && dipp_path_is_directory(path); part++) {
        char *folder = part_folder(path, (dipp_weights_part)part);
        found = folder != NULL;
        dipp_release(folder);
    }
    return found;
}

char *dipp_run_weights_file(const char *path, const char *name)
{
    char file[64];
    if (!dipp_path_is_directory(path))
        return dipp_string_copy(path);
    snprintf(file, sizeof file, "%s.safetensors", name);
    char *own = existing(path, file);
    if (!own && !strcmp(name, "model"))
        dipp_weights_in_folder(path, &own, NULL);
    return own ? own : dipp_path_join(path, file);
}

char *dipp_run_weights_part(const char *path, dipp_weights_part part)
{
    static const char *const expected[DIPP_WEIGHTS_PARTS] = {"unet/diffusion_pytorch_model.safetensors",
                                                             "vae/diffusion_pytorch_model.safetensors",
                                                             "text_encoder/model.safetensors"};
    if (!dipp_run_weights_is_pipeline(path))
        return dipp_run_weights_file(path, "model");
    char *folder = part_folder(path, part);
    char *file = folder ? dipp_run_weights_file(folder, "model") : dipp_path_join(path, expected[part]);
    if (folder && file && !dipp_path_exists(file)) { /* what it is called where it is published */
        dipp_release(file);
        file = dipp_path_join(folder, dipp_path_name(expected[part]));
    }
    dipp_release(folder);
    return file;
}

char *dipp_run_weights_generator(const char *path)
{
    return dipp_run_weights_is_pipeline(path) ? dipp_run_weights_part(path, DIPP_PART_NETWORK)
                                              : dipp_run_weights_file(path, "generator");
}

bool dipp_run_weights_key_describes(const char *key)
{
    static const char end[] = ".params.pipeline";
    size_t length = strlen(key);
    return length >= sizeof end && !strcmp(key + length - (sizeof end - 1), end);
}
