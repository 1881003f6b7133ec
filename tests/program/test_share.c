/* Equal operations recorded once: what counts as equal, what never does, and that no value changes. */
#include "tensor/program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
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

enum { N = 3, C = 4, ELEMENTS = N * C };

static dipp_graph *graph_of(bool share)
{
    dipp_graph *g = NULL;
    CHECK(dipp_graph_create("shared", &g, error));
    dipp_graph_share_equal(g, share);
    return g;
}

#define SAME(a, b)  assert_int_equal((a).id, (b).id)
#define APART(a, b) assert_int_not_equal((a).id, (b).id)

static void equal_operations_are_one(void **state)
{
    (void)state;
    dipp_graph *g = graph_of(true);
    dipp_tensor x = dipp_input(g, "x", DIPP_WIDE, DIPP_SHAPE(N, C)),
                y = dipp_input(g, "y", DIPP_WIDE, DIPP_SHAPE(N, C));
    dipp_tensor key = dipp_input(g, "key", DIPP_INT32, DIPP_SHAPE(6)),
                own = dipp_input(g, "own", DIPP_INT32, DIPP_SHAPE(6));
    const double ones[2] = {1, 1}, others[2] = {1, 2};
    SAME(dipp_constant(g, DIPP_SHAPE(2), ones), dipp_constant(g, DIPP_SHAPE(2), ones));
    APART(dipp_constant(g, DIPP_SHAPE(2), ones), dipp_constant(g, DIPP_SHAPE(2), others));
    APART(dipp_constant(g, DIPP_SHAPE(2), ones), dipp_constant(g, DIPP_SHAPE(2, 1), ones));
    SAME(dipp_add(g, x, y), dipp_add(g, x, y));
    APART(dipp_add(g, x, y), dipp_add(g, y, x)); /* the bits would be the same; nobody asks that */
    APART(dipp_add(g, x, y), dipp_sub(g, x, y));
    SAME(dipp_exp(g, dipp_scale_add(g, x, 2, 0)), dipp_exp(g, dipp_scale_add(g, x, 2, 0)));
    APART(dipp_scale_add(g, x, 2, 0), dipp_scale_add(g, x, 2, -0.0));
    APART(dipp_scale_add(g, x, 2, 0), dipp_scale_add(g, x, 3, 0));
    APART(dipp_sum(g, x, 1, false), dipp_sum(g, x, 2, false));
    APART(dipp_sum(g, x, 1, false), dipp_sum(g, x, 1, true));
    SAME(dipp_reshape(g, x, DIPP_SHAPE(C, N)), dipp_reshape(g, x, DIPP_SHAPE(C, N)));
    APART(dipp_reshape(g, x, DIPP_SHAPE(C, N)), dipp_reshape(g, x, DIPP_SHAPE(ELEMENTS)));
    APART(dipp_slice(g, x, 1, 0, 2), dipp_slice(g, x, 1, 0, 3));
    APART(dipp_slice(g, x, 1, 0, 2), dipp_slice(g, x, 1, 1, 2));
    APART(x, dipp_stop_gradient(g, x));
    SAME(dipp_stop_gradient(g, x), dipp_stop_gradient(g, x));
    APART(dipp_clamp(g, x, 0, 1, DIPP_CLAMP_HARD), dipp_clamp(g, x, 0, 1, DIPP_CLAMP_STRAIGHT_THROUGH));
    SAME(dipp_philox_normal(g, key, DIPP_SHAPE(N, C)), dipp_philox_normal(g, key, DIPP_SHAPE(N, C)));
    APART(dipp_philox_normal(g, key, DIPP_SHAPE(N, C)), dipp_philox_normal(g, own, DIPP_SHAPE(N, C)));
    APART(dipp_philox_normal(g, key, DIPP_SHAPE(N, C)), dipp_philox_uniform(g, key, DIPP_SHAPE(N, C)));
    dipp_tensor before = dipp_exp(g, x);
    dipp_graph_begin_segment(g);
    APART(before, dipp_exp(g, x)); /* what another segment computes is kept only where it is read there */
    dipp_graph_share_equal(g, false);
    dipp_tensor off = dipp_exp(g, x);
    APART(off, dipp_exp(g, x));
    CHECK(dipp_graph_status(g, error));
    dipp_graph_destroy(&g);

    g = graph_of(false);
    x = dipp_input(g, "x", DIPP_WIDE, DIPP_SHAPE(N, C));
    APART(dipp_exp(g, x), dipp_exp(g, x));
    APART(dipp_constant(g, DIPP_SHAPE(2), ones), dipp_constant(g, DIPP_SHAPE(2), ones));
    dipp_graph_destroy(&g);
}

/* Thousands of operations, so that the table grows; each is found again. */
static void many_are_found(void **state)
{
    (void)state;
    enum { COUNT = 3000 };
    dipp_graph *g = graph_of(true);
    dipp_tensor x = dipp_input(g, "x", DIPP_WIDE, DIPP_SHAPE(N)), *made = test_malloc(COUNT * sizeof *made);
    for (int i = 0; i < COUNT; i++)
        made[i] = dipp_scale_add(g, i % 7 ? made[i - 1] : x, 1 + i, 0);
    size_t nodes = g->node_count;
    assert_int_equal(nodes, COUNT);
    for (int i = COUNT; i-- > 0;)
        SAME(dipp_scale_add(g, i % 7 ? made[i - 1] : x, 1 + i, 0), made[i]);
    assert_int_equal(g->node_count, nodes);
    test_free(made);
    dipp_graph_destroy(&g);
}

/* ---- Towers ---- */

typedef struct towers {
    dipp_backend *backend;
    dipp_layout *layout;
    dipp_program *program;
    dipp_plan *plan;
    dipp_parameter_set *set;
    dipp_executable *run;
    double a[N], b[N], dx[ELEMENTS], gradient[2 * C * C];
} towers;

static dipp_tensor tower(dipp_graph *g, dipp_params p, dipp_tensor x)
{
    const dipp_linear_options bare = {.struct_size = sizeof bare, .no_bias = true};
    dipp_block_begin(g);
    x = dipp_silu(g, dipp_linear(g, p, "first", x, C, &bare));
    dipp_block_end(g);
    dipp_block_begin(g);
    x = dipp_tanh(g, dipp_linear(g, p, "second", x, C, &bare));
    dipp_block_end(g);
    return x;
}

/* Two scores of one tower, whose weights are trained too: a is its sum, b the sum of its square, which a stopped copy scales. */
static void run_towers(towers *t, bool share, bool recompute)
{
    dipp_graph *g = graph_of(share);
    double x[ELEMENTS], seeds[N];
    memset(t, 0, sizeof *t);
    CHECK(dipp_backend_create("reference", NULL, &t->backend, error));
    CHECK(dipp_layout_create("towers", &t->layout, error));
    dipp_params p = dipp_graph_slot(g, "towers", t->layout, true);
    dipp_tensor in = dipp_input(g, "x", DIPP_WIDE, DIPP_SHAPE(N, C)), dx;
    dipp_tensor dy[2] = {dipp_input(g, "seed.a", DIPP_WIDE, DIPP_SHAPE(N)),
                         dipp_input(g, "seed.b", DIPP_WIDE, DIPP_SHAPE(N))};
    dipp_tensor first = dipp_cast(g, tower(g, p, in), DIPP_WIDE), second = dipp_cast(g, tower(g, p, in), DIPP_WIDE);
    dipp_tensor y[2] = {dipp_sum(g, first, 2, false),
                        dipp_sum(g, dipp_mul(g, dipp_mul(g, second, second), dipp_stop_gradient(g, second)), 2, false)};
    dipp_graph_recompute_blocks(g, recompute);
    dipp_gradients(g, 2, y, dy, 1, &in, &dx);
    dipp_output(g, "a", y[0]);
    dipp_output(g, "b", y[1]);
    dipp_output(g, "dx", dx);
    CHECK(dipp_program_create(&g, t->backend, &t->program, error));
    CHECK(dipp_parameter_set_create("towers", t->layout, t->backend, true, &t->set, error));
    CHECK(dipp_parameter_set_initialise(t->set, 3, 1, error));
    CHECK(dipp_plan_create(t->backend, &t->plan, error));
    CHECK(dipp_plan_step(t->plan, t->program, 0, error));
    CHECK(dipp_plan_solve(t->plan, 0, NULL, error));
    CHECK(dipp_plan_allocate(t->plan, error));
    CHECK(dipp_executable_create(t->plan, t->program, &(dipp_binding){t->set, NULL}, 1, &t->run, error));
    for (int i = 0; i < ELEMENTS; i++)
        x[i] = 0.3 * (i % 5) - 0.4;
    CHECK(dipp_executable_write(t->run, "x", x, DIPP_HOST_F64, ELEMENTS, error));
    for (int i = 0; i < N; i++)
        seeds[i] = 1 + i;
    CHECK(dipp_executable_write(t->run, "seed.a", seeds, DIPP_HOST_F64, N, error));
    CHECK(dipp_executable_write(t->run, "seed.b", seeds, DIPP_HOST_F64, N, error));
    dipp_execute(t->run, 0);
    CHECK(dipp_executable_read(t->run, "a", t->a, DIPP_HOST_F64, N, error));
    CHECK(dipp_executable_read(t->run, "b", t->b, DIPP_HOST_F64, N, error));
    CHECK(dipp_executable_read(t->run, "dx", t->dx, DIPP_HOST_F64, ELEMENTS, error));
    double *all = test_malloc((size_t)dipp_layout_elements(t->layout) * sizeof *all);
    dipp_parameter_set_read(t->set, DIPP_BLOCK_GRADIENT, all, DIPP_HOST_F64);
    for (uint32_t e = 0; e < 2; e++)
        memcpy(t->gradient + (size_t)e * C * C, all + dipp_layout_entry_at(t->layout, e)->offset, C * C * sizeof *all);
    test_free(all);
}

static void close_towers(towers *t)
{
    dipp_executable_destroy(&t->run);
    dipp_program_destroy(&t->program);
    dipp_plan_destroy(&t->plan);
    dipp_parameter_set_destroy(&t->set);
    dipp_layout_destroy(&t->layout);
    dipp_backend_destroy(&t->backend);
}

static void near(const double *a, const double *b, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!(a[i] - b[i] < 1e-14 && b[i] - a[i] < 1e-14))
            fail_msg("number %zu is %.17g and not %.17g", i, a[i], b[i]);
}

/* Values to the bit, gradients to rounding, for they are summed before the tower and not behind it; and half the work. */
static void a_tower_is_computed_once(void **state)
{
    (void)state;
    const double matrix = 2.0 * N * C * C;
    towers twice, once, again;
    run_towers(&twice, false, false);
    run_towers(&once, true, false);
    run_towers(&again, true, true);
    assert_memory_equal(twice.a, once.a, sizeof twice.a);
    assert_memory_equal(twice.b, once.b, sizeof twice.b);
    near(twice.dx, once.dx, ELEMENTS);
    near(twice.gradient, once.gradient, sizeof once.gradient / sizeof *once.gradient);
    assert_true(once.gradient[0] != 0 && once.dx[0] != 0);
    assert_memory_equal(again.a, once.a, sizeof once.a);
    assert_memory_equal(again.b, once.b, sizeof once.b);
    assert_memory_equal(again.dx, once.dx, sizeof once.dx);
    assert_memory_equal(again.gradient, once.gradient, sizeof once.gradient);
    assert_true(dipp_program_flops(twice.program, 0) == 2 * 6 * matrix); /* forward, to the operand, to the weight */
    assert_true(dipp_program_flops(once.program, 0) == 6 * matrix);
    assert_true(dipp_program_flops(again.program, 0) == 6 * matrix);
    assert_true(dipp_program_recomputed_flops(once.program, 0) == 0);
    assert_true(dipp_program_recomputed_flops(again.program, 0) ==
                matrix); /* tanh is differentiated from what is kept */
    close_towers(&twice);
    close_towers(&once);
    close_towers(&again);
}

/* The same value under three names: each has storage of its own. */
static void outputs_stay_apart(void **state)
{
    (void)state;
    dipp_graph *g = graph_of(true);
    dipp_tensor x = dipp_input(g, "x", DIPP_WIDE, DIPP_SHAPE(N)), y = dipp_exp(g, x);
    static const char *const names[] = {"one", "two", "three"};
    for (int i = 0; i < 3; i++)
        dipp_output(g, names[i], y);
    CHECK(dipp_graph_status(g, error));
    int found = 0;
    for (size_t v = 1; v < g->value_count; v++)
        for (int i = 0; i < 3; i++)
            found += g->values[v].is_output && !strcmp(g->values[v].name, names[i]);
    assert_int_equal(found, 3);
    dipp_graph_destroy(&g);
}

/* Gradients are added in once for each time they are asked for, although the sums are equal. */
static void effects_are_never_shared(void **state)
{
    (void)state;
    dipp_graph *g = graph_of(true);
    dipp_layout *layout = NULL;
    CHECK(dipp_layout_create("weights", &layout, error));
    dipp_params p = dipp_graph_slot(g, "weights", layout, true);
    dipp_tensor y = dipp_sum(g, dipp_param(g, p, "w", DIPP_SHAPE(N), NULL), 1, false);
    for (int i = 0; i < 2; i++)
        dipp_gradients(g, 1, &y, NULL, 0, NULL, NULL);
    assert_true(g->shares); /* as it was */
    size_t sinks = 0;
    for (size_t n = 0; n < g->node_count; n++)
        sinks += g->nodes[n].op == DIPP_OP_ACCUMULATE;
    assert_int_equal(sinks, 2);
    const dipp_attributes adds = {.accumulate = true};
    APART(dipp_append(g, DIPP_OP_ACCUMULATE, &y, 1, &adds, DIPP_WIDE, (dipp_shape){0}),
          dipp_append(g, DIPP_OP_ACCUMULATE, &y, 1, &adds, DIPP_WIDE, (dipp_shape){0}));
    dipp_layout_seal(layout);
    dipp_tensor block = dipp_state(g, p, DIPP_BLOCK_GRADIENT, 0);
    APART(dipp_scale_add(g, block, 2, 0), dipp_scale_add(g, block, 2, 0)); /* it may have changed between the two */
    CHECK(dipp_graph_status(g, error));
    dipp_graph_destroy(&g);
    dipp_layout_destroy(&layout);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_operations_are_one), cmocka_unit_test(many_are_found),
        cmocka_unit_test(a_tower_is_computed_once), cmocka_unit_test(outputs_stay_apart),
        cmocka_unit_test(effects_are_never_shared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
