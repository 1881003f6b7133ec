/* PixArt-alpha as its authors keep it: query, key and value of self-attention are one matrix, key and value of cross-attention
 * another; resolution and aspect ratio of the 1024 px model are csize and ar. */
#include "weights/name_rules.h"

static const dipp_name_rule mlp[] = {
    DIPP_NAMES("linear_1.*", "mlp.0.*"),
    DIPP_NAMES("linear_2.*", "mlp.2.*"),
    DIPP_NAMES_END,
};

static const dipp_name_rule block[] = {
    DIPP_NAMES("scale_shift_table", "scale_shift_table"),
    DIPP_NAMES("attn1.to_?.*", "attn.qkv.*", .letters = "qkv"),
    DIPP_NAMES("attn1.to_out.0.*", "attn.proj.*"),
    DIPP_NAMES("attn2.to_q.*", "cross_attn.q_linear.*"),
    DIPP_NAMES("attn2.to_?.*", "cross_attn.kv_linear.*", .letters = "kv"),
    DIPP_NAMES("attn2.to_out.0.*", "cross_attn.proj.*"),
    DIPP_NAMES("ff.net.0.proj.*", "mlp.fc1.*"),
    DIPP_NAMES("ff.net.2.*", "mlp.fc2.*"),
    DIPP_NAMES_END,
};

const dipp_name_rule dipp_pixart_rules[] = {
    DIPP_NAMES("pos_embed.proj.*", "x_embedder.proj.*"),
    DIPP_NAMES("adaln_single.emb.timestep_embedder.*", "t_embedder.*", .ends = mlp),
    DIPP_NAMES("adaln_single.emb.resolution_embedder.*", "csize_embedder.*", .ends = mlp),
    DIPP_NAMES("adaln_single.emb.aspect_ratio_embedder.*", "ar_embedder.*", .ends = mlp),
    DIPP_NAMES("adaln_single.linear.*", "t_block.1.*"),
    DIPP_NAMES("caption_projection.linear_1.*", "y_embedder.y_proj.fc1.*"),
    DIPP_NAMES("caption_projection.linear_2.*", "y_embedder.y_proj.fc2.*"),
    DIPP_NAMES("transformer_blocks.#.*", "blocks.#.*", .ends = block),
    DIPP_NAMES("scale_shift_table", "final_layer.scale_shift_table"),
    DIPP_NAMES("proj_out.*", "final_layer.linear.*"),
    DIPP_NAMES_END,
};
