/* Prompts as the scorers of clip.h read them. */
#include "clip.h"

#include <stdlib.h>
#include <string.h>

static const char words[] = "A photo depicts ";
enum { FEWEST = 5 }; /* start, the three spliced tokens, end */

dipp_status clip_read_vocabulary(const dipp_parameters *parameters, clip_reward *r, dipp_error *error)
{
    int32_t ids[FEWEST];
    size_t count = 0;
    dipp_status status = dipp_tokenizer_create(r->recipe.rule, dipp_parameters_string(parameters, "vocabulary"),
                                               dipp_parameters_string(parameters, "merges"), &r->tokenizer, error);
    if (status == DIPP_OK)
        status = dipp_tokenizer_encode(r->tokenizer, "", 0, 2, ids, &count, error);
    if (status != DIPP_OK)
        return status;
    r->end = ids[1];
    if (r->recipe.prefix == CLIP_PREFIX_SPLICED)
        status = dipp_tokenizer_encode(r->tokenizer, words, strlen(words), FEWEST, ids, &count, error);
    if (status == DIPP_OK && r->recipe.prefix == CLIP_PREFIX_SPLICED)
        memcpy(r->spliced, ids + 1, sizeof r->spliced);
    return status;
}

/* ids[length] of one prompt. */
static dipp_status encode(const clip_reward *r, const char *text, uint32_t length, int32_t *ids, dipp_error *error)
{
    size_t bytes = strlen(text), count = 0;
    if (r->recipe.prefix != CLIP_PREFIX_WORDS)
        return dipp_tokenizer_encode(r->tokenizer, text, bytes, length, ids, &count, error);
    char *whole = malloc(sizeof words + bytes);
    if (!whole)
        return dipp_fail(error, DIPP_E_MEMORY, "%s: no memory for a prompt", r->recipe.name);
    memcpy(whole, words, sizeof words - 1);
    memcpy(whole + sizeof words - 1, text, bytes + 1);
    dipp_status status =
        dipp_tokenizer_encode(r->tokenizer, whole, sizeof words - 1 + bytes, length, ids, &count, error);
    free(whole);
    return status;
}

/* Three tokens behind the first; what then is too much goes, and a text that was cut so ends all the same. */
static void splice(const clip_reward *r, uint32_t length, int32_t *ids)
{
    memmove(ids + 4, ids + 1, (length - 4) * sizeof *ids);
    memcpy(ids + 1, r->spliced, sizeof r->spliced);
    if (ids[length - 1] > 0)
        ids[length - 1] = r->end;
}

dipp_status clip_tokenize(const clip_reward *r, const char *const *texts, uint32_t count, int32_t *tokens, float *mask,
                          dipp_error *error)
{
    uint32_t length = (uint32_t)r->network.length;
    for (uint32_t i = 0; i < count; i++) {
        int32_t *ids = tokens + (size_t)i * length;
        float *valid = mask + (size_t)i * length;
        dipp_status status = encode(r, texts[i] ? texts[i] : "", length, ids, error);
        if (status != DIPP_OK)
            return status;
        if (r->recipe.prefix == CLIP_PREFIX_SPLICED)
            splice(r, length, ids);
        bool open = true;
        for (uint32_t k = 0; k < length; k++) {
            valid[k] = open ? 1.0F : 0.0F;
            open &= ids[k] != r->end;
        }
    }
    return DIPP_OK;
}
