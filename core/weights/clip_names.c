/* CLIP as open_clip and OpenAI keep it: each block's query, key and value are one matrix, and both projections are transposed. */
#include "weights/name_rules.h"

static const dipp_name_rule block[] = {
    DIPP_NAMES("layer_norm1.*", "ln_1.*"),
    DIPP_NAMES("self_attn.?_proj.weight", "attn.in_proj_weight", .letters = "qkv"),
    DIPP_NAMES("self_attn.?_proj.bias", "attn.in_proj_bias", .letters = "qkv"),
    DIPP_NAMES("self_attn.out_proj.*", "attn.out_proj.*"),
    DIPP_NAMES("layer_norm2.*", "ln_2.*"),
    DIPP_NAMES("mlp.fc1.*", "mlp.c_fc.*"),
    DIPP_NAMES("mlp.fc2.*", "mlp.c_proj.*"),
    DIPP_NAMES_END,
};

/* "pre_layrnorm" is how it is published. */
const dipp_name_rule dipp_clip_rules[] = {
    DIPP_NAMES("logit_scale", "logit_scale"),
    DIPP_NAMES("text_model.embeddings.token_embedding.weight", "token_embedding.weight"),
    DIPP_NAMES("text_model.embeddings.position_embedding.weight", "positional_embedding"),
    DIPP_NAMES("text_model.encoder.layers.#.*", "transformer.resblocks.#.*", .ends = block),
    DIPP_NAMES("text_model.final_layer_norm.*", "ln_final.*"),
    DIPP_NAMES("text_projection.weight", "text_projection", .transposed = true),
    DIPP_NAMES("vision_model.embeddings.class_embedding", "visual.class_embedding"),
    DIPP_NAMES("vision_model.embeddings.position_embedding.weight", "visual.positional_embedding"),
    DIPP_NAMES("vision_model.embeddings.patch_embedding.weight", "visual.conv1.weight"),
    DIPP_NAMES("vision_model.pre_layrnorm.*", "visual.ln_pre.*"),
    DIPP_NAMES("vision_model.encoder.layers.#.*", "visual.transformer.resblocks.#.*", .ends = block),
    DIPP_NAMES("vision_model.post_layernorm.*", "visual.ln_post.*"),
    DIPP_NAMES("visual_projection.weight", "visual.proj", .transposed = true),
    DIPP_NAMES_END,
};
