#include "base/arena.h"
#include "base/memory.h"

#include <stdint.h>
#include <string.h>

typedef struct arena_chunk {
    struct arena_chunk *older;
    size_t capacity, used; /* of the bytes behind the first 64, which hold this header */
} arena_chunk;

struct dipp_arena {
    arena_chunk *newest;
    size_t chunk_bytes, held_bytes;
};

enum { DEFAULT_CHUNK_BYTES = 65536, HEADER_BYTES = 64 };
_Static_assert(sizeof(arena_chunk) <= HEADER_BYTES, "the chunk header fits before its first aligned byte");

dipp_arena *dipp_arena_create(size_t chunk_bytes)
{
    dipp_arena *arena = dipp_allocate_zeroed(1, sizeof *arena);
    if (arena)
        arena->chunk_bytes = chunk_bytes ? chunk_bytes : DEFAULT_CHUNK_BYTES;
    return arena;
}

static void *take(dipp_arena *arena, size_t bytes, size_t alignment)
{
    if (!bytes)
        bytes = 1;
    arena_chunk *chunk = arena->newest;
    if (chunk) {
        size_t start = (chunk->used + alignment - 1) & ~(alignment - 1);
        if (start <= chunk->capacity && bytes <= chunk->capacity - start) {
            chunk->used = start + bytes;
            return (char *)chunk + HEADER_BYTES + start;
        }
    }
    size_t capacity = bytes > arena->chunk_bytes ? bytes : arena->chunk_bytes;
    if (capacity > SIZE_MAX / 2)
        return NULL;
    arena_chunk *fresh = dipp_allocate_aligned(HEADER_BYTES + capacity, DIPP_ARENA_ALIGNMENT);
    if (!fresh)
        return NULL;
    *fresh = (arena_chunk){.capacity = capacity, .used = bytes};
    arena->held_bytes += HEADER_BYTES + capacity;
    if (chunk && bytes > arena->chunk_bytes) { /* an oversized request does not end the chunk being filled */
        fresh->older = chunk->older;
        chunk->older = fresh;
    } else {
        fresh->older = chunk;
        arena->newest = fresh;
    }
    return (char *)fresh + HEADER_BYTES;
}

void *dipp_arena_allocate(dipp_arena *arena, size_t bytes)
{
    return take(arena, bytes, DIPP_ARENA_ALIGNMENT);
}

void *dipp_arena_allocate_zeroed(dipp_arena *arena, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        return NULL;
    void *memory = take(arena, bytes, DIPP_ARENA_ALIGNMENT);
    return memory ? memset(memory, 0, bytes) : NULL;
}

char *dipp_arena_string_n(dipp_arena *arena, const char *text, size_t bytes)
{
    if (!text || bytes == SIZE_MAX)
        return NULL;
    char *copy = take(arena, bytes + 1, 1);
    if (!copy)
        return NULL;
    memcpy(copy, text, bytes);
    copy[bytes] = 0;
    return copy;
}

char *dipp_arena_string(dipp_arena *arena, const char *text)
{
    return text ? dipp_arena_string_n(arena, text, strlen(text)) : NULL;
}

void dipp_arena_reset(dipp_arena *arena)
{
    arena_chunk *kept = arena->newest;
    if (!kept)
        return;
    for (arena_chunk *chunk = kept->older; chunk;) {
        arena_chunk *older = chunk->older;
        arena->held_bytes -= HEADER_BYTES + chunk->capacity;
        dipp_release(chunk);
        chunk = older;
    }
    kept->older = NULL;
    kept->used = 0;
}

size_t dipp_arena_held_bytes(const dipp_arena *arena)
{
    return arena->held_bytes;
}

void dipp_arena_destroy(dipp_arena **arena)
{
    if (!arena || !*arena)
        return;
    dipp_arena_reset(*arena);
    dipp_release((*arena)->newest);
    dipp_release(*arena);
    *arena = NULL;
}
