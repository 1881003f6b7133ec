/* Prompts as a run needs them: texts, their tokens for the reference and for each reward that reads them beside samples, and
 * the null prompt. Everything on the host, tokenised once. */
#ifndef DIPP_TRAIN_PROMPTS_H
#define DIPP_TRAIN_PROMPTS_H

#include "train/models.h"

typedef struct dipp_token_table {
    uint32_t count;  /* prompts; row `count` is the null prompt "" */
    uint32_t length; /* L; 0: no text */
    int32_t *tokens; /* [count + 1, L]; */
    float *mask;     /* [count + 1, L] */
} dipp_token_table;

typedef struct dipp_prompt_table {
    uint32_t count;
    const char *const *texts; /* not owned */
    dipp_token_table reference;
    dipp_token_table rewards[DIPP_MAX_REWARDS]; /* empty where features are kept (train/text_cache.h) */
} dipp_prompt_table;

/* texts must outlive the table. With no texts, count is 1 and the prompt is "". */
dipp_status dipp_prompt_table_create(const dipp_models *models, const char *const *texts, uint32_t count,
                                     dipp_prompt_table **out, dipp_error *error);
void dipp_prompt_table_destroy(dipp_prompt_table **table);

/* Gathers rows of table into tokens and mask [rows, L]; row == count is the null prompt. */
void dipp_token_rows(const dipp_token_table *table, const uint32_t *rows, uint32_t count, int32_t *tokens, float *mask);

#endif
