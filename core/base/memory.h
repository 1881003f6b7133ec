/* Every heap allocation of libdipp goes through here, so that a test can make any one of them fail. */
#ifndef DIPP_BASE_MEMORY_H
#define DIPP_BASE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* At least bytes (0 counts as 1), aligned as malloc; NULL when there is no memory. Release with dipp_release.
 * The caller turns NULL into DIPP_E_MEMORY and says what the memory was for. [any thread] */
void *dipp_allocate(size_t bytes);

/* count * size zero bytes; NULL also when the product overflows. [any thread] */
void *dipp_allocate_zeroed(size_t count, size_t size);

/* Aligned to a power of two of at least sizeof(void *). Not for dipp_reallocate. [any thread] */
void *dipp_allocate_aligned(size_t bytes, size_t alignment);

/* As realloc: on NULL the old block is still the caller's. memory may be NULL. [any thread] */
void *dipp_reallocate(void *memory, size_t bytes);

/* Grows *array (elements of size bytes, *capacity of them) to hold at least needed, by doubling. false when there is
 * no memory or the size overflows; the array is unchanged then. [any thread] */
bool dipp_grow(void **array, size_t *capacity, size_t needed, size_t size);

/* NULL is accepted. [any thread] */
void dipp_release(void *memory);

/* A copy of a string; NULL for no memory, or when text is NULL. [any thread] */
char *dipp_string_copy(const char *text);

/* For tests and the plugin kit: the nth allocation from now (1 is the next) returns NULL, and with keep_failing all after it too.
 * 0 switches the hook off, as it is at start. Process wide. [one thread at a time] */
void dipp_memory_fail_nth(uint64_t nth, bool keep_failing);

/* For the same: true when the hook has made an allocation fail since it was last set. */
bool dipp_memory_has_failed(void);

#endif
