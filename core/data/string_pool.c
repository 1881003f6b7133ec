#include "data/string_pool.h"

#include "base/memory.h"

#include <string.h>

static size_t place_of(const char *text, size_t slots)
{
    uint64_t hash = 1469598103934665603u; /* FNV-1a */
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 1099511628211u;
    return (size_t)hash & (slots - 1);
}

/* The slot that holds text, or the empty one where it belongs. */
static uint32_t *slot_of(const dipp_string_pool *pool, const char *text)
{
    size_t at = place_of(text, pool->slot_count);
    while (pool->slots[at] && strcmp(pool->texts[pool->slots[at] - 1], text))
        at = (at + 1) & (pool->slot_count - 1);
    return &pool->slots[at];
}

static bool grow_slots(dipp_string_pool *pool)
{
    size_t wanted = pool->slot_count ? 2 * pool->slot_count : 64;
    uint32_t *slots = dipp_allocate_zeroed(wanted, sizeof *slots);
    if (!slots)
        return false;
    dipp_release(pool->slots);
    pool->slots = slots;
    pool->slot_count = wanted;
    for (uint32_t i = 0; i < pool->count; i++)
        *slot_of(pool, pool->texts[i]) = i + 1;
    return true;
}

bool dipp_string_pool_add(dipp_string_pool *pool, const char *text, uint32_t *index)
{
    if (2 * ((size_t)pool->count + 1) > pool->slot_count && !grow_slots(pool))
        return false;
    uint32_t *slot = slot_of(pool, text);
    if (!*slot) {
        char *copy = dipp_string_copy(text);
        if (!copy || pool->count == UINT32_MAX - 1 ||
            !dipp_grow((void **)&pool->texts, &pool->capacity, (size_t)pool->count + 1, sizeof *pool->texts)) {
            dipp_release(copy);
            return false;
        }
        pool->texts[pool->count] = copy;
        *slot = ++pool->count;
    }
    *index = *slot - 1;
    return true;
}

void dipp_string_pool_clear(dipp_string_pool *pool)
{
    for (uint32_t i = 0; i < pool->count; i++)
        dipp_release(pool->texts[i]);
    dipp_release(pool->texts);
    dipp_release(pool->slots);
    *pool = (dipp_string_pool){0};
}
