/* config.json of transformers' CLIPModel. Keys that are absent have the defaults of CLIPTextConfig and CLIPVisionConfig. */
#include <dipp/nn.h>

#include "base/file.h"
#include "base/memory.h"

#include <jansson.h>
#include <string.h>

enum { LARGEST_FILE = 1 << 20 };

/* A section of the file while it is read; status is the first trouble. */
typedef struct section {
    const char *path, *name;
    const json_t *keys; /* NULL: all defaults */
    dipp_status status;
    dipp_error *error;
} section;

static int64_t read_size(section *s, const char *key, int64_t otherwise)
{
    const json_t *value = json_object_get(s->keys, key);
    if (s->status != DIPP_OK || !value || json_is_null(value))
        return otherwise;
    if (!json_is_integer(value) || json_integer_value(value) < 1 || json_integer_value(value) > INT32_MAX)
        s->status = dipp_fail(s->error, DIPP_E_FORMAT, "%s: %s%s: expected a whole number of at least 1", s->path,
                              s->name, key);
    return json_integer_value(value);
}

static double read_epsilon(section *s)
{
    const json_t *value = json_object_get(s->keys, "layer_norm_eps");
    if (s->status != DIPP_OK || !value || json_is_null(value))
        return 1e-5;
    if (!json_is_number(value) || !(json_number_value(value) > 0))
        s->status =
            dipp_fail(s->error, DIPP_E_FORMAT, "%s: %slayer_norm_eps: expected a number above 0", s->path, s->name);
    return json_number_value(value);
}

static bool read_quick(section *s)
{
    const json_t *value = json_object_get(s->keys, "hidden_act");
    const char *name = json_string_value(value);
    if (s->status != DIPP_OK || !value || json_is_null(value))
        return true;
    if (name && (!strcmp(name, "quick_gelu") || !strcmp(name, "gelu")))
        return !strcmp(name, "quick_gelu");
    s->status = dipp_fail(s->error, DIPP_E_UNSUPPORTED, "%s: %shidden_act: expected gelu or quick_gelu, found %.40s",
                          s->path, s->name, name ? name : "what is no text");
    return false;
}

static dipp_clip_tower read_tower(section *s, int64_t width, int64_t heads)
{
    return (dipp_clip_tower){.width = read_size(s, "hidden_size", width),
                             .layers = read_size(s, "num_hidden_layers", 12),
                             .heads = read_size(s, "num_attention_heads", heads),
                             .inner = read_size(s, "intermediate_size", 4 * width),
                             .quick_gelu = read_quick(s)};
}

/* NAME_dict where the file has it: it replaces NAME, also where it has less. */
static const json_t *find_section(const json_t *root, const char *dict, const char *name)
{
    const json_t *found = json_object_get(root, dict);
    return json_is_object(found) ? found : json_object_get(root, name);
}

static dipp_status read_root(const char *path, const json_t *root, dipp_clip_options *out, dipp_error *error)
{
    section top = {path, "", root, DIPP_OK, error};
    section text = {path, "text_config.", find_section(root, "text_config_dict", "text_config"), DIPP_OK, error};
    section vision = {path, "vision_config.", find_section(root, "vision_config_dict", "vision_config"), DIPP_OK,
                      error};
    if (!json_is_object(root))
        return dipp_fail(error, DIPP_E_FORMAT, "%s: expected an object", path);
    for (int i = 0; i < 2; i++) {
        const section *s = i ? &vision : &text;
        if (s->keys && !json_is_null(s->keys) && !json_is_object(s->keys))
            return dipp_fail(error, DIPP_E_FORMAT, "%s: %.*s: expected an object", path, (int)strlen(s->name) - 1,
                             s->name);
    }
    if (!text.keys && !vision.keys)
        return dipp_fail(error, DIPP_E_FORMAT, "%s: expected text_config and vision_config, as of a CLIPModel", path);
    dipp_clip_options read = {.struct_size = sizeof read, .joint = read_size(&top, "projection_dim", 512)};
    read.text = read_tower(&text, 512, 8);
    read.vocabulary = read_size(&text, "vocab_size", 49408);
    read.length = read_size(&text, "max_position_embeddings", 77);
    read.vision = read_tower(&vision, 768, 12);
    read.size = read_size(&vision, "image_size", 224);
    read.patch = read_size(&vision, "patch_size", 32);
    read.epsilon = read_epsilon(&text);
    double other = read_epsilon(&vision);
    int64_t channels = read_size(&vision, "num_channels", 3);
    dipp_status status = top.status ? top.status : text.status ? text.status : vision.status;
    if (status == DIPP_OK && other != read.epsilon)
        return dipp_fail(error, DIPP_E_UNSUPPORTED,
                         "%s: layer_norm_eps: expected one for both towers, found %g for texts and %g for pictures",
                         path, read.epsilon, other);
    if (status == DIPP_OK && channels != 3)
        return dipp_fail(error, DIPP_E_UNSUPPORTED, "%s: vision_config.num_channels: expected 3, found %lld", path,
                         (long long)channels);
    if (status == DIPP_OK)
        status = dipp_clip_check(&read, error);
    if (status == DIPP_OK)
        *out = read;
    return status;
}

dipp_status dipp_clip_read_config(const char *path, dipp_clip_options *out, dipp_error *error)
{
    char *text = NULL;
    size_t bytes = 0;
    json_error_t trouble;
    dipp_status status = dipp_file_read(path, LARGEST_FILE, &text, &bytes, error);
    if (status != DIPP_OK)
        return status;
    json_t *root = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &trouble);
    status = root ? read_root(path, root, out, error)
                  : dipp_fail(error, DIPP_E_FORMAT, "%s:%d:%d: not JSON: %.200s", path, trouble.line, trouble.column,
                              trouble.text);
    json_decref(root);
    dipp_release(text);
    return status;
}
