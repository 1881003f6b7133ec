#include "base/memory.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* The one mutable state of libdipp that belongs to no object: the test hook. 0 is off. */
static _Atomic uint64_t fail_countdown;
static _Atomic bool fail_always_after, fail_happened;

void dipp_memory_fail_nth(uint64_t nth, bool keep_failing)
{
    fail_happened = false;
    fail_always_after = keep_failing;
    fail_countdown = nth;
}

bool dipp_memory_has_failed(void)
{
    return fail_happened;
}

static bool must_fail(void)
{
    uint64_t left = atomic_load_explicit(&fail_countdown, memory_order_relaxed);
    while (left) {
        uint64_t next = left == 1 && fail_always_after ? 1 : left - 1;
        if (!atomic_compare_exchange_weak(&fail_countdown, &left, next))
            continue;
        if (left == 1)
            fail_happened = true;
        return left == 1;
    }
    return false;
}

void *dipp_allocate(size_t bytes)
{
    return must_fail() ? NULL : malloc(bytes ? bytes : 1);
}

void *dipp_allocate_zeroed(size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes) || must_fail())
        return NULL;
    return calloc(1, bytes ? bytes : 1);
}

void *dipp_allocate_aligned(size_t bytes, size_t alignment)
{
    void *memory = NULL;
    return must_fail() || posix_memalign(&memory, alignment, bytes ? bytes : 1) ? NULL : memory;
}

void *dipp_reallocate(void *memory, size_t bytes)
{
    return must_fail() ? NULL : realloc(memory, bytes ? bytes : 1);
}

bool dipp_grow(void **array, size_t *capacity, size_t needed, size_t size)
{
    if (needed <= *capacity)
        return true;
    size_t target = *capacity > SIZE_MAX / 2 ? needed : *capacity * 2;
    if (target < needed)
        target = needed;
    if (target < 8)
        target = 8;
    size_t bytes;
    if (__builtin_mul_overflow(target, size, &bytes))
        return false;
    void *grown = dipp_reallocate(*array, bytes);
    if (!grown)
        return false;
    *array = grown;
    *capacity = target;
    return true;
}

void dipp_release(void *memory)
{
    free(memory);
}

char *dipp_string_copy(const char *text)
{
    if (!text)
        return NULL;
    size_t bytes = strlen(text) + 1;
    char *copy = dipp_allocate(bytes);
    return copy ? memcpy(copy, text, bytes) : NULL;
}
