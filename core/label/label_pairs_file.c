/* Pairs that a file names, in the format of preferences without their labels. */
#include "label/label_pairs.h"

#include "base/file.h"
#include "base/memory.h"
#include "data/json_lines.h"
#include "data/preferences.h"

#include <stdlib.h>
#include <string.h>

static dipp_status add_image(const char *folder, const char *name, const char *prompt, uint32_t line,
                             dipp_label_pairs *pairs, dipp_error *error)
{
    static char nothing[] = "";
    char *joined = dipp_path_join(folder, name), *whole = joined ? realpath(joined, NULL) : NULL;
    dipp_label_picture picture = {.prompt = (char *)prompt, .path = whole, .arm = nothing, .line = line};
    dipp_status status = !joined  ? dipp_fail(error, DIPP_E_MEMORY, "no memory for a picture's path")
                         : !whole ? dipp_fail(error, DIPP_E_NOT_FOUND, "there is no picture %s", joined)
                                  : dipp_sha256_file(whole, picture.sha256, error);
    if (status == DIPP_OK)
        status = dipp_label_pairs_add(pairs, &picture, error);
    free(whole);
    dipp_release(joined);
    return status;
}

/* Where images are, and the number of the line that is read. */
typedef struct pair_file {
    dipp_label_pairs *pairs;
    char *folder;
    uint32_t line;
} pair_file;

static dipp_status add_line(void *context, const json_t *object, const char *where, dipp_error *error)
{
    pair_file *file = context;
    const char *prompt = json_string_value(json_object_get(object, "prompt"));
    const json_t *images = json_object_get(object, "images");
    size_t count = json_array_size(images);
    dipp_status status = DIPP_OK;
    file->line++;
    if (!prompt || count < 2 || count > DIPP_PREFERENCE_ITEMS_MAX)
        return dipp_fail(error, DIPP_E_FORMAT, "%s: expected {\"prompt\": \"...\", \"images\": [2 to %d paths]}", where,
                         DIPP_PREFERENCE_ITEMS_MAX);
    for (size_t i = 0; i < count && status == DIPP_OK; i++) {
        const char *name = json_string_value(json_array_get(images, i));
        if (!name)
            return dipp_fail(error, DIPP_E_FORMAT, "%s: an image that is not a path", where);
        status = add_image(file->folder, name, prompt, file->line, file->pairs, error);
        if (status != DIPP_OK)
            dipp_error_context(error, "%s", where);
    }
    return status;
}

dipp_status dipp_label_pairs_read_file(const char *path, dipp_label_pairs *pairs, dipp_error *error)
{
    pair_file file = {.pairs = pairs, .folder = dipp_path_folder(path)};
    dipp_status status = file.folder ? dipp_each_json_line(path, add_line, &file, error)
                                     : dipp_fail(error, DIPP_E_MEMORY, "no memory for a file of pairs");
    dipp_release(file.folder);
    return status;
}
