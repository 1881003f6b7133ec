/* config.json of transformers' CLIPModel and CLIPTextModel. Keys that are absent have the defaults of CLIPTextConfig and
 * CLIPVisionConfig. */
#include <dipp/nn.h>

#include "base/description.h"
#include "nn/config_file.h"

#include <string.h>

static const double default_epsilon = 1e-5;

static dipp_clip_tower read_tower(dipp_nn_section *s, int64_t width, int64_t heads)
{
    static const char *const activations[] = {"gelu", "quick_gelu", NULL};
    return (dipp_clip_tower){.width = dipp_nn_config_size(s, "hidden_size", width),
                             .layers = dipp_nn_config_size(s, "num_hidden_layers", 12),
                             .heads = dipp_nn_config_size(s, "num_attention_heads", heads),
                             .inner = dipp_nn_config_size(s, "intermediate_size", 4 * width),
                             .quick_gelu = dipp_nn_config_choice(s, "hidden_act", activations, 1) == 1};
}

static void read_text(dipp_nn_section *s, dipp_clip_options *out)
{
    out->text = read_tower(s, 512, 8);
    out->vocabulary = dipp_nn_config_size(s, "vocab_size", 49408);
    out->length = dipp_nn_config_size(s, "max_position_embeddings", 77);
    out->epsilon = dipp_nn_config_positive(s, "layer_norm_eps", default_epsilon);
}

static dipp_status check_object(const dipp_nn_section *s)
{
    if (!s->keys || json_is_null(s->keys) || json_is_object(s->keys))
        return DIPP_OK;
    return dipp_fail(s->error, DIPP_E_FORMAT, "%s: %.*s: expected an object", s->path, (int)strlen(s->name) - 1,
                     s->name);
}

/* NAME_dict where the file has it: it replaces NAME, also where it has less. */
static const json_t *find_section(const json_t *root, const char *dict, const char *name)
{
    const json_t *found = json_object_get(root, dict);
    return json_is_object(found) ? found : json_object_get(root, name);
}

static dipp_status read_model(const char *path, const json_t *root, dipp_clip_options *out, dipp_error *error)
{
    dipp_nn_section top = {path, "", root, DIPP_OK, error};
    dipp_nn_section text = {path, "text_config.", find_section(root, "text_config_dict", "text_config"), DIPP_OK,
                            error};
    dipp_nn_section vision = {path, "vision_config.", find_section(root, "vision_config_dict", "vision_config"),
                              DIPP_OK, error};
    dipp_status status = check_object(&text);
    if (status == DIPP_OK)
        status = check_object(&vision);
    if (status != DIPP_OK)
        return status;
    if (!text.keys && !vision.keys)
        return dipp_fail(error, DIPP_E_FORMAT, "%s: expected text_config and vision_config, as of a CLIPModel", path);
    dipp_clip_options read = {.struct_size = sizeof read, .joint = dipp_nn_config_size(&top, "projection_dim", 512)};
    read_text(&text, &read);
    read.vision = read_tower(&vision, 768, 12);
    read.size = dipp_nn_config_size(&vision, "image_size", 224);
    read.patch = dipp_nn_config_size(&vision, "patch_size", 32);
    double other = dipp_nn_config_positive(&vision, "layer_norm_eps", default_epsilon);
    int64_t channels = dipp_nn_config_size(&vision, "num_channels", 3);
    status = top.status ? top.status : text.status ? text.status : vision.status;
    if (status == DIPP_OK && other != read.epsilon)
        return dipp_fail(error, DIPP_E_UNSUPPORTED,
                         "%s: layer_norm_eps: expected one for both towers, found %g for texts and %g for pictures",
                         path, read.epsilon, other);
    if (status == DIPP_OK && channels != 3)
        return dipp_fail(error, DIPP_E_UNSUPPORTED, "%s: vision_config.num_channels: expected 3, found %lld", path,
                         (long long)channels);
    if (status != DIPP_OK)
        return status;
    if (dipp_clip_check(&read, error) != DIPP_OK)
        return dipp_error_context(error, "%s", path);
    *out = read;
    return DIPP_OK;
}

dipp_status dipp_clip_read_config(const char *path, dipp_clip_options *out, dipp_error *error)
{
    json_t *root;
    dipp_status status = dipp_json_read_object(path, &root, error);
    if (status != DIPP_OK)
        return status;
    status = read_model(path, root, out, error);
    json_decref(root);
    return status;
}

/* The file of a text encoder alone, or the text_config of a whole CLIP. */
static dipp_status read_text_model(const char *path, const json_t *root, dipp_clip_options *out, dipp_error *error)
{
    static const char *const kinds[] = {"clip_text_model", "clip", NULL};
    dipp_nn_section text = {path, "", root, DIPP_OK, error};
    if (dipp_nn_config_choice(&text, "model_type", kinds, 0) == 1) {
        text.name = "text_config.";
        text.keys = json_object_get(root, "text_config");
        text.status = check_object(&text);
    }
    dipp_clip_options read = {.struct_size = sizeof read};
    read_text(&text, &read);
    /* Pipelines hide padding from such an encoder; dipp_clip_text_states does not. */
    dipp_nn_config_expect(&text, "use_attention_mask", false);
    if (text.status != DIPP_OK)
        return text.status;
    if (dipp_clip_check_text(&read, error) != DIPP_OK)
        return dipp_error_context(error, "%s", path);
    *out = read;
    return DIPP_OK;
}

dipp_status dipp_clip_read_text_config(const char *path, dipp_clip_options *out, dipp_error *error)
{
    json_t *root;
    dipp_status status = dipp_json_read_object(path, &root, error);
    if (status != DIPP_OK)
        return status;
    status = read_text_model(path, root, out, error);
    json_decref(root);
    return status;
}
