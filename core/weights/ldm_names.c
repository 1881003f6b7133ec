/* Stable Diffusion as CompVis keeps it: the UNet's layers are numbered through all blocks, a resnet is a row of layers, the
 * decoder's blocks are numbered from the last, and the autoencoder's attention is of 1x1 convolutions. */
#include "weights/name_rules.h"

static const dipp_name_rule resnet[] = {
    DIPP_NAMES("norm1.*", "in_layers.0.*"),
    DIPP_NAMES("conv1.*", "in_layers.2.*"),
    DIPP_NAMES("time_emb_proj.*", "emb_layers.1.*"),
    DIPP_NAMES("norm2.*", "out_layers.0.*"),
    DIPP_NAMES("conv2.*", "out_layers.3.*"),
    DIPP_NAMES("conv_shortcut.*", "skip_connection.*"),
    DIPP_NAMES_END,
};

static const dipp_name_rule plain_resnet[] = {
    DIPP_NAMES("conv_shortcut.*", "nin_shortcut.*"),
    DIPP_NAMES("*", "*"),
    DIPP_NAMES_END,
};

static const dipp_name_rule middle[] = {
    DIPP_NAMES("resnets.0.*", "block_1.*", .ends = plain_resnet),
    DIPP_NAMES("resnets.1.*", "block_2.*", .ends = plain_resnet),
    DIPP_NAMES("attentions.0.group_norm.*", "attn_1.norm.*"),
    DIPP_NAMES("attentions.0.to_q.*", "attn_1.q.*"),
    DIPP_NAMES("attentions.0.to_k.*", "attn_1.k.*"),
    DIPP_NAMES("attentions.0.to_v.*", "attn_1.v.*"),
    DIPP_NAMES("attentions.0.to_out.0.*", "attn_1.proj_out.*"),
    DIPP_NAMES_END,
};

/* Where a block has attention its upsampler is the third of a row of layers, otherwise the second. */
const dipp_name_rule dipp_ldm_rules[] = {
    DIPP_NAMES("conv_in.*", "input_blocks.0.0.*"),
    DIPP_NAMES("time_embedding.linear_1.*", "time_embed.0.*"),
    DIPP_NAMES("time_embedding.linear_2.*", "time_embed.2.*"),
    DIPP_NAMES("down_blocks.#.resnets.#.*", "input_blocks.@.0.*", .place = DIPP_PLACE_DOWN, .ends = resnet),
    DIPP_NAMES("down_blocks.#.attentions.#.*", "input_blocks.@.1.*", .place = DIPP_PLACE_DOWN),
    DIPP_NAMES("down_blocks.#.downsamplers.0.conv.*", "input_blocks.@.0.op.*", .place = DIPP_PLACE_DOWN_END),
    DIPP_NAMES("mid_block.resnets.0.*", "middle_block.0.*", .ends = resnet),
    DIPP_NAMES("mid_block.attentions.0.*", "middle_block.1.*"),
    DIPP_NAMES("mid_block.resnets.1.*", "middle_block.2.*", .ends = resnet),
    DIPP_NAMES("up_blocks.#.resnets.#.*", "output_blocks.@.0.*", .place = DIPP_PLACE_UP, .ends = resnet),
    DIPP_NAMES("up_blocks.#.attentions.#.*", "output_blocks.@.1.*", .place = DIPP_PLACE_UP),
    DIPP_NAMES("up_blocks.#.upsamplers.0.conv.*", "output_blocks.@.2.conv.*", .place = DIPP_PLACE_UP_END),
    DIPP_NAMES("up_blocks.#.upsamplers.0.conv.*", "output_blocks.@.1.conv.*", .place = DIPP_PLACE_UP_END),
    DIPP_NAMES("conv_norm_out.*", "out.0.*"),
    DIPP_NAMES("conv_out.*", "out.2.*"),

    DIPP_NAMES("encoder.down_blocks.#.resnets.#.*", "encoder.down.#.block.#.*", .ends = plain_resnet),
    DIPP_NAMES("encoder.down_blocks.#.downsamplers.0.conv.*", "encoder.down.#.downsample.conv.*"),
    DIPP_NAMES("encoder.mid_block.*", "encoder.mid.*", .ends = middle),
    DIPP_NAMES("encoder.conv_norm_out.*", "encoder.norm_out.*"),
    DIPP_NAMES("decoder.mid_block.*", "decoder.mid.*", .ends = middle),
    DIPP_NAMES("decoder.up_blocks.#.resnets.#.*", "decoder.up.@.block.#.*", .place = DIPP_PLACE_REVERSED,
               .ends = plain_resnet),
    DIPP_NAMES("decoder.up_blocks.#.upsamplers.0.conv.*", "decoder.up.@.upsample.conv.*", .place = DIPP_PLACE_REVERSED),
    DIPP_NAMES("decoder.conv_norm_out.*", "decoder.norm_out.*"),
    DIPP_NAMES_END,
};
