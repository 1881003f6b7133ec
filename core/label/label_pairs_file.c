/* Pairs that a file names, in the format of preferences without their labels. */
#include "label/label_pairs.h"

#include "base/file.h"
#include "base/memory.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_BYTES = 256 << 20, IMAGES_MAX = 256 };

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

static dipp_status add_line(const char *text, size_t bytes, const char *folder, uint32_t line, dipp_label_pairs *pairs,
                            dipp_error *error)
{
    json_error_t wrong;
    json_t *object = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &wrong);
    if (!object)
        return dipp_fail(error, DIPP_E_FORMAT, "%s", wrong.text);
    const char *prompt = json_string_value(json_object_get(object, "prompt"));
    const json_t *images = json_object_get(object, "images");
    size_t count = json_array_size(images);
    dipp_status status = DIPP_OK;
    if (!prompt || count < 2 || count > IMAGES_MAX)
        status =
            dipp_fail(error, DIPP_E_FORMAT, "expected {\"prompt\": \"...\", \"images\": [2 to %d paths]}", IMAGES_MAX);
    for (size_t i = 0; i < count && status == DIPP_OK; i++) {
        const char *name = json_string_value(json_array_get(images, i));
        status = name ? add_image(folder, name, prompt, line, pairs, error)
                      : dipp_fail(error, DIPP_E_FORMAT, "an image that is not a path");
    }
    json_decref(object);
    return status;
}

dipp_status dipp_label_pairs_read_file(const char *path, dipp_label_pairs *pairs, dipp_error *error)
{
    char *text = NULL, *folder = dipp_path_folder(path);
    size_t bytes = 0;
    dipp_status status = folder ? dipp_file_read(path, FILE_BYTES, &text, &bytes, error)
                                : dipp_fail(error, DIPP_E_MEMORY, "no memory for a file of pairs");
    uint32_t line = 0;
    for (size_t at = 0, end; at < bytes && status == DIPP_OK; at = end + 1) {
        const char *newline = memchr(text + at, '\n', bytes - at);
        end = newline ? (size_t)(newline - text) : bytes;
        line++;
        if (strspn(text + at, " \t\r") >= end - at)
            continue;
        status = add_line(text + at, end - at, folder, line, pairs, error);
        if (status != DIPP_OK)
            dipp_error_context(error, "%s:%u", path, line);
    }
    dipp_release(text);
    dipp_release(folder);
    return status;
}
