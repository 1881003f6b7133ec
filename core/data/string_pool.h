/* Texts numbered in the order in which they first come, each kept once. [one thread at a time per pool] */
#ifndef DIPP_DATA_STRING_POOL_H
#define DIPP_DATA_STRING_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct dipp_string_pool { /* starts from {0}; ends with dipp_string_pool_clear */
    char **texts;                 /* [count] */
    uint32_t count;
    size_t capacity;
    uint32_t *slots; /* open hash: index + 1, 0 empty */
    size_t slot_count;
} dipp_string_pool;

/* Finds or adds a text. false when there is no memory; the pool is as it was then. */
bool dipp_string_pool_add(dipp_string_pool *pool, const char *text, uint32_t *index);
void dipp_string_pool_clear(dipp_string_pool *pool);

#endif
