/* What an executable does with a back-end that remembers lists of calls and with one that fails in silence. The null
 * back-end gets functions that count. */
#include "tensor/program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define CHECK(call)                                         \
    do {                                                    \
        dipp_error check_error = {0};                       \
        dipp_error *error = &check_error;                   \
        if ((call) != DIPP_OK)                              \
            fail_msg("%s: %s", #call, check_error.message); \
    } while (0)

enum { LISTS = 8 };

static struct {
    int replays, forgotten, lists;
    const dipp_call *calls[LISTS];
    size_t counts[LISTS];
    bool failed;
} seen;

static void replay(dipp_backend *backend, void **memory, const dipp_call *calls, size_t count)
{
    seen.replays++;
    if (!*memory) {
        assert_true(seen.lists < LISTS);
        seen.calls[seen.lists] = calls;
        seen.counts[seen.lists] = count;
        int *number = malloc(sizeof *number);
        assert_non_null(number);
        *number = seen.lists++;
        *memory = number;
    }
    int number = *(int *)*memory;
    assert_ptr_equal(seen.calls[number], calls); /* the same memory comes with the same list */
    assert_int_equal(seen.counts[number], count);
    for (size_t i = 0; i < count; i++)
        calls[i].run(calls[i].state, calls[i].args);
}

static void forget(dipp_backend *backend, void *memory)
{
    seen.forgotten++;
    free(memory);
}

static dipp_status status(dipp_backend *backend, dipp_error *error)
{
    return seen.failed ? dipp_fail(error, DIPP_E_INTERNAL, "the device went away") : DIPP_OK;
}

typedef struct machine {
    dipp_backend *backend;
    dipp_program *program;
    dipp_plan *plan;
    dipp_executable *run;
} machine;

/* Two segments of 2 and 1 nodes. */
static machine machine_create(bool remembers)
{
    machine m = {0};
    memset(&seen, 0, sizeof seen);
    CHECK(dipp_null_backend_create(NULL, &m.backend, error));
    if (remembers) {
        m.backend->replay = replay;
        m.backend->forget = forget;
        m.backend->status = status;
    }
    dipp_graph *g;
    CHECK(dipp_graph_create("small", &g, error));
    dipp_tensor x = dipp_input(g, "x", DIPP_WIDE, DIPP_SHAPE(4));
    dipp_tensor y = dipp_exp(g, dipp_sin(g, x));
    dipp_graph_begin_segment(g);
    dipp_output(g, "z", dipp_cos(g, y));
    CHECK(dipp_program_create(&g, m.backend, &m.program, error));
    CHECK(dipp_plan_create(m.backend, &m.plan, error));
    CHECK(dipp_plan_step(m.plan, m.program, 0, error));
    CHECK(dipp_plan_step(m.plan, m.program, 1, error));
    CHECK(dipp_plan_solve(m.plan, 0, NULL, error));
    CHECK(dipp_plan_allocate(m.plan, error));
    CHECK(dipp_executable_create(m.plan, m.program, NULL, 0, &m.run, error));
    return m;
}

static void machine_destroy(machine *m)
{
    dipp_executable_destroy(&m->run);
    dipp_plan_destroy(&m->plan);
    dipp_program_destroy(&m->program);
    dipp_backend_destroy(&m->backend);
}

static void each_segment_is_a_list_of_its_own(void **state)
{
    machine m = machine_create(true);
    for (int step = 0; step < 3; step++) {
        dipp_execute(m.run, 0);
        dipp_execute(m.run, 1);
    }
    assert_int_equal(seen.replays, 6);
    assert_int_equal(seen.lists, 2);
    assert_int_equal(seen.counts[0], 2);
    assert_int_equal(seen.counts[1], 1);
    dipp_ledger ledger = {0}; /* timing needs the calls one by one */
    dipp_execute_timed(m.run, 0, &ledger);
    assert_int_equal(seen.replays, 6);
    assert_int_equal(ledger.calls[DIPP_OP_SIN], 1);
    assert_int_equal(seen.forgotten, 0);
    machine_destroy(&m);
    assert_int_equal(seen.forgotten, 2);
}

static void a_segment_never_replayed_has_nothing_to_forget(void **state)
{
    machine m = machine_create(true);
    dipp_execute(m.run, 1);
    machine_destroy(&m);
    assert_int_equal(seen.forgotten, 1);
}

static void failures_surface_where_numbers_are_exchanged(void **state)
{
    machine m = machine_create(true);
    double x[4] = {0}, z[4];
    dipp_error error = {0};
    assert_int_equal(dipp_executable_write(m.run, "x", x, DIPP_HOST_F64, 4, &error), DIPP_OK);
    dipp_execute(m.run, 0);
    seen.failed = true;
    assert_int_equal(dipp_executable_read(m.run, "z", z, DIPP_HOST_F64, 4, &error), DIPP_E_INTERNAL);
    assert_string_equal(error.message, "the device went away");
    assert_int_equal(dipp_executable_write(m.run, "x", x, DIPP_HOST_F64, 4, &error), DIPP_E_INTERNAL);
    machine_destroy(&m);
}

static void the_slots_are_optional(void **state)
{
    machine m = machine_create(false);
    double z[4] = {1, 1, 1, 1};
    dipp_execute(m.run, 0);
    dipp_execute(m.run, 1);
    CHECK(dipp_executable_read(m.run, "z", z, DIPP_HOST_F64, 4, error));
    assert_true(z[0] == 0);
    assert_int_equal(seen.replays, 0);
    machine_destroy(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_segment_is_a_list_of_its_own),
        cmocka_unit_test(a_segment_never_replayed_has_nothing_to_forget),
        cmocka_unit_test(failures_surface_where_numbers_are_exchanged),
        cmocka_unit_test(the_slots_are_optional),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
