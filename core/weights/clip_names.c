#include "weights/clip_names.h"
#include "base/memory.h"

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

bool dipp_clip_to_hugging_face(const char *name, dipp_clip_source *source)
{
    for (size_t i = 0; i < COUNT_OF(whole_names); i++)
        if (!strcmp(name, whole_names[i].ours)) {
            *source = (dipp_clip_source){.change = whole_names[i].change, .count = 1};
            snprintf(source->names[0], DIPP_CLIP_NAME_BYTES, "%s", whole_names[i].theirs);
            return true;
        }
    for (size_t i = 0; i < COUNT_OF(block_starts); i++) {
        size_t start = strlen(block_starts[i].ours);
        if (strncmp(name, block_starts[i].ours, start) != 0)
            continue;
        size_t digits = number_length(name + start);
        for (size_t j = 0; digits && j < COUNT_OF(block_ends); j++)
            if (!strcmp(name + start + digits, block_ends[j].ours)) {
                uint32_t count = block_ends[j].change == DIPP_CLIP_STACKED ? 3 : 1;
                *source = (dipp_clip_source){.change = block_ends[j].change, .count = count};
                for (uint32_t k = 0; k < count; k++) {
                    snprintf(source->names[k], DIPP_CLIP_NAME_BYTES, "%s%.*s%s", block_starts[i].theirs, (int)digits,
                             name + start, block_ends[j].theirs);
                    char *place = strchr(source->names[k], '?');
                    if (place)
                        *place = thirds[k];
                }
                return true;
            }
    }
    return false;
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

/* A found tensor of the other scheme whose shape there is wanted[rank]. */
static dipp_status load_whole(const dipp_weights *weights, const char *name, uint32_t rank, const uint64_t *wanted,
                              float *out, dipp_error *error)
{
    const dipp_weight_tensor *found = dipp_weights_find_prefixed(weights, name);
    return dipp_weights_load_f32(weights, found ? found->name : name, rank, wanted, out, error);
}

/* [a, b] there to [b, a] = shape here. */
static dipp_status load_transposed(const dipp_weights *weights, const char *name, const uint64_t shape[2], float *out,
                                   dipp_error *error)
{
    const uint64_t there[2] = {shape[1], shape[0]};
    uint64_t count;
    float *copy = NULL;
    if (!__builtin_mul_overflow(shape[0], shape[1], &count))
        copy = dipp_allocate_zeroed((size_t)count, sizeof *copy);
    if (!copy)
        return dipp_fail(error, DIPP_E_MEMORY, "out of memory while transposing %s", name);
    dipp_status status = load_whole(weights, name, 2, there, copy, error);
    for (uint64_t row = 0; row < shape[0] && !status; row++)
        for (uint64_t column = 0; column < shape[1]; column++)
            out[row * shape[1] + column] = copy[column * shape[0] + row];
    dipp_release(copy);
    return status;
}

dipp_status dipp_clip_load_f32(const dipp_weights *weights, const char *name, uint32_t rank, const uint64_t *shape,
                               float *out, dipp_error *error)
{
    dipp_clip_source source;
    if (dipp_weights_find_prefixed(weights, name) || !dipp_clip_to_hugging_face(name, &source) ||
        !dipp_weights_find_prefixed(weights, source.names[0]))
        return load_whole(weights, name, rank, shape, out, error);
    if (source.change == DIPP_CLIP_TRANSPOSED && rank == 2)
        return load_transposed(weights, source.names[0], shape, out, error);
    if (source.change != DIPP_CLIP_STACKED || !rank || rank > DIPP_WEIGHT_MAX_RANK || shape[0] % 3)
        return load_whole(weights, source.names[0], rank, shape, out, error);
    uint64_t third[DIPP_WEIGHT_MAX_RANK], count = 1;
    for (uint32_t i = 0; i < rank; i++) {
        third[i] = i ? shape[i] : shape[i] / 3;
        count *= third[i];
    }
    dipp_status status = DIPP_OK;
    for (uint32_t i = 0; i < source.count && !status; i++)
        status = load_whole(weights, source.names[i], rank, third, out + i * count, error);
    return status;
}
