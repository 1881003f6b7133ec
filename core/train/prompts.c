#include "train/prompts.h"

#include "base/memory.h"
#include "train/text_cache.h"

#include <string.h>

typedef dipp_status (*tokenizer)(void *self, const char *const *texts, uint32_t count, int32_t *tokens, float *mask,
                                 dipp_error *error);

static dipp_status tokenise(dipp_token_table *table, uint32_t length, tokenizer tokenize, void *self,
                            const char *const *texts, uint32_t count, dipp_error *error)
{
    if (!length)
        return DIPP_OK;
    if (!tokenize)
        return dipp_fail(error, DIPP_E_PLUGIN, "a plugin takes %u tokens but has no tokenize", length);
    table->count = count;
    table->length = length;
    table->tokens = dipp_allocate_zeroed((size_t)(count + 1) * length, sizeof *table->tokens);
    table->mask = dipp_allocate_zeroed((size_t)(count + 1) * length, sizeof *table->mask);
    if (!table->tokens || !table->mask)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for the tokens of %u prompts", count);
    static const char *const null_prompt[1] = {""};
    dipp_status status = tokenize(self, texts, count, table->tokens, table->mask, error);
    if (status == DIPP_OK)
        status = tokenize(self, null_prompt, 1, table->tokens + (size_t)count * length,
                          table->mask + (size_t)count * length, error);
    return status;
}

dipp_status dipp_prompt_table_create(const dipp_models *models, const char *const *texts, uint32_t count,
                                     dipp_prompt_table **out, dipp_error *error)
{
    static const char *const nothing[1] = {""};
    if (!count)
        texts = nothing, count = 1;
    dipp_prompt_table *table = dipp_allocate_zeroed(1, sizeof *table);
    if (!table)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for prompts");
    table->count = count;
    table->texts = texts;
    dipp_status status = tokenise(&table->reference, models->space.token_length, models->reference->tokenize,
                                  models->reference_self, texts, count, error);
    for (uint32_t i = 0; i < models->reward_count && status == DIPP_OK; i++) {
        const dipp_reward_model *reward = &models->rewards[i];
        if (dipp_reward_caches_text(reward)) /* which turns texts into tokens itself, when it first meets them */
            continue;
        status = tokenise(&table->rewards[i], reward->info.token_length, reward->vtable->tokenize, reward->self, texts,
                          count, error);
    }
    if (status != DIPP_OK)
        dipp_prompt_table_destroy(&table);
    *out = table;
    return status;
}

void dipp_prompt_table_destroy(dipp_prompt_table **table)
{
    if (!table || !*table)
        return;
    dipp_release((*table)->reference.tokens);
    dipp_release((*table)->reference.mask);
    for (int i = 0; i < DIPP_MAX_REWARDS; i++) {
        dipp_release((*table)->rewards[i].tokens);
        dipp_release((*table)->rewards[i].mask);
    }
    dipp_release(*table);
    *table = NULL;
}

void dipp_token_rows(const dipp_token_table *table, const uint32_t *rows, uint32_t count, int32_t *tokens, float *mask)
{
    size_t length = table->length;
    for (uint32_t i = 0; i < count; i++) {
        memcpy(tokens + i * length, table->tokens + rows[i] * length, length * sizeof *tokens);
        memcpy(mask + i * length, table->mask + rows[i] * length, length * sizeof *mask);
    }
}
