#include "weights/clip_names.h"

#include <stdio.h>
#include <string.h>

typedef struct name_pair {
    const char *ours, *theirs;
    dipp_clip_change change;
} name_pair;

/* Whole names; "pre_layrnorm" is how it is published. */
static const name_pair whole_names[] = {
    {"logit_scale", "logit_scale", DIPP_CLIP_SAME},
    {"token_embedding.weight", "text_model.embeddings.token_embedding.weight", DIPP_CLIP_SAME},
    {"positional_embedding", "text_model.embeddings.position_embedding.weight", DIPP_CLIP_SAME},
    {"ln_final.weight", "text_model.final_layer_norm.weight", DIPP_CLIP_SAME},
    {"ln_final.bias", "text_model.final_layer_norm.bias", DIPP_CLIP_SAME},
    {"text_projection", "text_projection.weight", DIPP_CLIP_TRANSPOSED},
    {"visual.class_embedding", "vision_model.embeddings.class_embedding", DIPP_CLIP_SAME},
    {"visual.positional_embedding", "vision_model.embeddings.position_embedding.weight", DIPP_CLIP_SAME},
    {"visual.conv1.weight", "vision_model.embeddings.patch_embedding.weight", DIPP_CLIP_SAME},
    {"visual.ln_pre.weight", "vision_model.pre_layrnorm.weight", DIPP_CLIP_SAME},
    {"visual.ln_pre.bias", "vision_model.pre_layrnorm.bias", DIPP_CLIP_SAME},
    {"visual.ln_post.weight", "vision_model.post_layernorm.weight", DIPP_CLIP_SAME},
    {"visual.ln_post.bias", "vision_model.post_layernorm.bias", DIPP_CLIP_SAME},
    {"visual.proj", "visual_projection.weight", DIPP_CLIP_TRANSPOSED},
};

/* Before a block's number. */
static const name_pair block_starts[] = {
    {"transformer.resblocks.", "text_model.encoder.layers.", DIPP_CLIP_SAME},
    {"visual.transformer.resblocks.", "vision_model.encoder.layers.", DIPP_CLIP_SAME},
};

/* Behind a block's number; '?' stands for q, k or v. */
static const name_pair block_ends[] = {
    {".ln_1.weight", ".layer_norm1.weight", DIPP_CLIP_SAME},
    {".ln_1.bias", ".layer_norm1.bias", DIPP_CLIP_SAME},
    {".attn.in_proj_weight", ".self_attn.?_proj.weight", DIPP_CLIP_STACKED},
    {".attn.in_proj_bias", ".self_attn.?_proj.bias", DIPP_CLIP_STACKED},
    {".attn.out_proj.weight", ".self_attn.out_proj.weight", DIPP_CLIP_SAME},
    {".attn.out_proj.bias", ".self_attn.out_proj.bias", DIPP_CLIP_SAME},
    {".ln_2.weight", ".layer_norm2.weight", DIPP_CLIP_SAME},
    {".ln_2.bias", ".layer_norm2.bias", DIPP_CLIP_SAME},
    {".mlp.c_fc.weight", ".mlp.fc1.weight", DIPP_CLIP_SAME},
    {".mlp.c_fc.bias", ".mlp.fc1.bias", DIPP_CLIP_SAME},
    {".mlp.c_proj.weight", ".mlp.fc2.weight", DIPP_CLIP_SAME},
    {".mlp.c_proj.bias", ".mlp.fc2.bias", DIPP_CLIP_SAME},
};

#define COUNT_OF(table) (sizeof(table) / sizeof *(table))
static const char thirds[] = "qkv";

/* The digits of a block's number, at most 3, no leading zero; 0 when there are none. */
static size_t number_length(const char *text)
{
    size_t length = strspn(text, "0123456789");
    return length > 3 || (length > 1 && *text == '0') ? 0 : length;
}

/* Whether name is pattern; '?' in it is q, k or v and gives *third. */
static bool matches(const char *name, const char *pattern, uint32_t *third)
{
    *third = 0;
    for (; *pattern; name++, pattern++) {
        const char *letter = *pattern == '?' && *name ? strchr(thirds, *name) : NULL;
        if (letter)
            *third = (uint32_t)(letter - thirds);
        else if (*name != *pattern)
            return false;
    }
    return !*name;
}

bool dipp_clip_from_hugging_face(const char *name, char out[DIPP_CLIP_NAME_BYTES], dipp_clip_change *change,
                                 uint32_t *third)
{
    for (size_t i = 0; i < COUNT_OF(whole_names); i++)
        if (matches(name, whole_names[i].theirs, third)) {
            *change = whole_names[i].change;
            snprintf(out, DIPP_CLIP_NAME_BYTES, "%s", whole_names[i].ours);
            return true;
        }
    for (size_t i = 0; i < COUNT_OF(block_starts); i++) {
        size_t start = strlen(block_starts[i].theirs);
        if (strncmp(name, block_starts[i].theirs, start) != 0)
            continue;
        size_t digits = number_length(name + start);
        for (size_t j = 0; digits && j < COUNT_OF(block_ends); j++)
            if (matches(name + start + digits, block_ends[j].theirs, third)) {
                *change = block_ends[j].change;
                snprintf(out, DIPP_CLIP_NAME_BYTES, "%s%.*s%s", block_starts[i].ours, (int)digits, name + start,
                         block_ends[j].ours);
                return true;
            }
    }
    return false;
}
