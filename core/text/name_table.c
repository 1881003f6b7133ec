#include "text/name_table.h"
#include "base/arena.h"
#include "base/memory.h"

#include <string.h>

typedef struct slot {
    const char *name; /* NULL: free */
    uint32_t bytes, number;
} slot;

struct dipp_name_table {
    dipp_arena *arena;
    slot *slots; /* open addressing, at most half full */
    size_t mask, count, limit, longest;
};

dipp_name_table *dipp_name_table_create(size_t limit)
{
    dipp_name_table *table = dipp_allocate_zeroed(1, sizeof *table);
    size_t slots = 16;
    while (slots / 2 <= limit)
        slots *= 2;
    if (!table)
        return NULL;
    table->limit = limit;
    table->mask = slots - 1;
    table->arena = dipp_arena_create(0);
    table->slots = dipp_allocate_zeroed(slots, sizeof *table->slots);
    if (!table->arena || !table->slots)
        dipp_name_table_destroy(&table);
    return table;
}

void dipp_name_table_destroy(dipp_name_table **table)
{
    if (!table || !*table)
        return;
    dipp_arena_destroy(&(*table)->arena);
    dipp_release((*table)->slots);
    dipp_release(*table);
    *table = NULL;
}

/* FNV-1a; where the name is, or where it would go. */
static slot *place_of(const dipp_name_table *table, const char *name, size_t bytes)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < bytes; i++)
        hash = (hash ^ (unsigned char)name[i]) * 0x100000001b3u;
    for (size_t at = (hash ^ hash >> 32) & table->mask;; at = (at + 1) & table->mask) {
        slot *here = &table->slots[at];
        if (!here->name || (here->bytes == bytes && !memcmp(here->name, name, bytes)))
            return here;
    }
}

bool dipp_name_table_add(dipp_name_table *table, const char *name, size_t bytes, uint32_t number, uint32_t *id)
{
    slot *here = place_of(table, name, bytes);
    *id = here->name ? here->number : UINT32_MAX;
    if (here->name || table->count >= table->limit || bytes > UINT32_MAX)
        return false;
    const char *copy = dipp_arena_string_n(table->arena, name, bytes);
    if (!copy)
        return false;
    *here = (slot){copy, (uint32_t)bytes, number};
    table->count++;
    if (bytes > table->longest)
        table->longest = bytes;
    return true;
}

bool dipp_name_table_find(const dipp_name_table *table, const char *name, size_t bytes, uint32_t *number)
{
    const slot *here = place_of(table, name, bytes);
    if (here->name)
        *number = here->number;
    return here->name != NULL;
}

size_t dipp_name_table_longest(const dipp_name_table *table)
{
    return table->longest;
}
