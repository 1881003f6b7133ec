#include "base/arena.h"
#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void the_nth_allocation_fails(void **state)
{
    (void)state;
    dipp_memory_fail_nth(2, false);
    void *first = dipp_allocate(10);
    assert_non_null(first);
    assert_false(dipp_memory_has_failed());
    assert_null(dipp_string_copy("x"));
    assert_true(dipp_memory_has_failed());
    void *third = dipp_allocate_zeroed(3, 4);
    assert_non_null(third);
    dipp_memory_fail_nth(1, true);
    assert_null(dipp_allocate_aligned(64, 64));
    assert_null(dipp_reallocate(NULL, 5));
    assert_null(dipp_allocate_zeroed(1, 1));
    dipp_memory_fail_nth(0, false);
    third = dipp_reallocate(third, 100);
    assert_non_null(third);
    dipp_release(first);
    dipp_release(third);
    dipp_release(NULL);
}

static void growing_keeps_content_and_refuses_overflow(void **state)
{
    (void)state;
    int *array = NULL;
    size_t capacity = 0;
    for (size_t i = 0; i < 1000; i++) {
        assert_true(dipp_grow((void **)&array, &capacity, i + 1, sizeof *array));
        array[i] = (int)i;
    }
    for (int i = 0; i < 1000; i++)
        assert_int_equal(array[i], i);
    size_t before = capacity;
    assert_false(dipp_grow((void **)&array, &capacity, SIZE_MAX / 2, sizeof *array));
    dipp_memory_fail_nth(1, false);
    assert_false(dipp_grow((void **)&array, &capacity, before + 1, sizeof *array));
    dipp_memory_fail_nth(0, false);
    assert_int_equal(capacity, before);
    assert_int_equal(array[999], 999);
    assert_null(dipp_allocate_zeroed(SIZE_MAX / 2, 3));
    dipp_release(array);
}

static void an_arena_hands_out_aligned_disjoint_memory(void **state)
{
    (void)state;
    dipp_arena *arena = dipp_arena_create(1000);
    assert_non_null(arena);
    enum { COUNT = 300 };
    unsigned char *pieces[COUNT];
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < COUNT; i++) {
            size_t bytes = i * 37 % 3000;
            pieces[i] = dipp_arena_allocate(arena, bytes);
            assert_non_null(pieces[i]);
            assert_int_equal((uintptr_t)pieces[i] % DIPP_ARENA_ALIGNMENT, 0);
            memset(pieces[i], (int)(i & 255), bytes);
        }
        for (size_t i = 0; i < COUNT; i++)
            for (size_t b = 0; b < i * 37 % 3000; b++)
                assert_int_equal(pieces[i][b], i & 255);
        dipp_arena_reset(arena);
        assert_true(dipp_arena_held_bytes(arena) <= 64 + 3000);
    }
    char *a = dipp_arena_string(arena, "weights"), *b = dipp_arena_string_n(arena, "weights", 3);
    assert_string_equal(a, "weights");
    assert_string_equal(b, "wei");
    assert_null(dipp_arena_string(arena, NULL));
    assert_null(dipp_arena_allocate(arena, SIZE_MAX));
    assert_null(dipp_arena_allocate(arena, SIZE_MAX / 2 + 1));
    assert_null(dipp_arena_allocate_zeroed(arena, SIZE_MAX / 4, 8));
    int *zeros = dipp_arena_allocate_zeroed(arena, 100, sizeof *zeros);
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(zeros[i], 0);
    dipp_arena_destroy(&arena);
    assert_null(arena);
    dipp_arena_destroy(&arena);
}

static void an_arena_survives_a_failed_allocation(void **state)
{
    (void)state;
    dipp_memory_fail_nth(1, false);
    assert_null(dipp_arena_create(0));
    dipp_arena *arena = dipp_arena_create(128);
    char *kept = dipp_arena_string(arena, "kept");
    dipp_memory_fail_nth(1, false);
    assert_null(dipp_arena_allocate(arena, 5000));
    dipp_memory_fail_nth(0, false);
    assert_string_equal(kept, "kept");
    assert_non_null(dipp_arena_allocate(arena, 5000));
    dipp_arena_destroy(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_nth_allocation_fails),
        cmocka_unit_test(growing_keeps_content_and_refuses_overflow),
        cmocka_unit_test(an_arena_hands_out_aligned_disjoint_memory),
        cmocka_unit_test(an_arena_survives_a_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
