/* config.json of transformers' T5EncoderModel. Keys that are absent have the defaults of T5Config. */
#include <dipp/nn.h>

#include "base/description.h"
#include "nn/config_file.h"

static dipp_status read_root(const char *path, const json_t *root, dipp_t5_options *out, dipp_error *error)
{
    static const char *const kinds[] = {"t5", NULL};
    static const char *const layers[] = {"relu", "gated-gelu", NULL};
    static const char *const activations[][2] = {{"relu", NULL}, {"gelu_new", NULL}};
    dipp_nn_section top = {path, "", root, DIPP_OK, error};
    dipp_nn_config_choice(&top, "model_type", kinds, 0); /* umt5, for one, has a bias table in every layer */
    size_t gated = dipp_nn_config_choice(&top, "feed_forward_proj", layers, 0);
    dipp_t5_options read = {.struct_size = sizeof read,
                            .vocabulary = dipp_nn_config_size(&top, "vocab_size", 32128),
                            .width = dipp_nn_config_size(&top, "d_model", 512),
                            .head_width = dipp_nn_config_size(&top, "d_kv", 64),
                            .heads = dipp_nn_config_size(&top, "num_heads", 8),
                            .layers = dipp_nn_config_size(&top, "num_layers", 6),
                            .inner = dipp_nn_config_size(&top, "d_ff", 2048),
                            .buckets = dipp_nn_config_size(&top, "relative_attention_num_buckets", 32),
                            .max_distance = dipp_nn_config_size(&top, "relative_attention_max_distance", 128),
                            .epsilon = dipp_nn_config_positive(&top, "layer_norm_epsilon", 1e-6),
                            .gated = gated == 1};
    /* Files written by newer versions say again what feed_forward_proj means; transformers goes by these two. */
    dipp_nn_config_choice(&top, "dense_act_fn", activations[gated], 0);
    dipp_nn_config_expect(&top, "is_gated_act", gated == 1);
    dipp_nn_config_expect(&top, "is_decoder", false);
    dipp_status status = top.status;
    if (status != DIPP_OK)
        return status;
    if (dipp_t5_check(&read, error) != DIPP_OK)
        return dipp_error_context(error, "%s", path);
    *out = read;
    return DIPP_OK;
}

dipp_status dipp_t5_read_config(const char *path, dipp_t5_options *out, dipp_error *error)
{
    json_t *root;
    dipp_status status = dipp_json_read_object(path, &root, error);
    if (status != DIPP_OK)
        return status;
    status = read_root(path, root, out, error);
    json_decref(root);
    return status;
}
