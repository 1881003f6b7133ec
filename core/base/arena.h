/* An arena: many small allocations with one lifetime, released together. */
#ifndef DIPP_BASE_ARENA_H
#define DIPP_BASE_ARENA_H

#include <stddef.h>

typedef struct dipp_arena dipp_arena;

enum { DIPP_ARENA_ALIGNMENT = 64 };

/* chunk_bytes is how much is taken from the heap at a time (0: 64 KiB); a larger request gets a chunk of its own.
 * NULL when there is no memory. [any thread] */
dipp_arena *dipp_arena_create(size_t chunk_bytes);

/* bytes (0 counts as 1) aligned to 64, not cleared; NULL when there is no memory, and the arena stays usable.
 * Valid until reset or destroy. [one thread at a time] */
void *dipp_arena_allocate(dipp_arena *arena, size_t bytes);

/* count * size zero bytes; NULL also when the product overflows. [one thread at a time] */
void *dipp_arena_allocate_zeroed(dipp_arena *arena, size_t count, size_t size);

/* Copies; strings are packed without the alignment of 64. NULL for no memory, or when text is NULL.
 * [one thread at a time] */
char *dipp_arena_string(dipp_arena *arena, const char *text);

/* As dipp_arena_string for the first bytes bytes of text; a zero is put behind them. */
char *dipp_arena_string_n(dipp_arena *arena, const char *text, size_t bytes);

/* Everything handed out becomes invalid; one chunk is kept for reuse. [one thread at a time] */
void dipp_arena_reset(dipp_arena *arena);

/* Heap bytes held now. */
size_t dipp_arena_held_bytes(const dipp_arena *arena);

void dipp_arena_destroy(dipp_arena **arena);

#endif
