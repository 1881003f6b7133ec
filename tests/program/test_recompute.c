/* Blocks that are computed a second time: what that saves and costs, to the byte and the operation, and that it changes no
 * bit. The network is a chain of BLOCKS residual blocks h + linear(silu(linear(h))), [N, C] -> [N, 4C] -> [N, C]. */
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

enum { N = 8, C = 16, BLOCKS = 5, ELEMENTS = N * C };

typedef struct chain {
    dipp_backend *backend;
    dipp_layout *layout;
    dipp_program *program;
    dipp_plan *plan;
    dipp_plan_report report;
    dipp_parameter_set *set;
    dipp_executable *run;
} chain;

typedef struct asked {
    bool recompute;
    bool apart; /* the backward pass is a segment of its own */
    bool noisy; /* every block multiplies its inner values by noise */
    bool inner; /* the gradient to a value inside a block is asked for, too */
} asked;

/* x -> h of the last block; inner receives a value inside the third block. */
static dipp_tensor record_blocks(dipp_graph *g, dipp_params p, const asked *a, dipp_tensor x, dipp_tensor *inner)
{
    dipp_tensor key = a->noisy ? dipp_input(g, "key", DIPP_INT32, DIPP_SHAPE(6)) : DIPP_NONE, h = x;
    const dipp_linear_options bare = {.struct_size = sizeof bare, .no_bias = true};
    for (int i = 0; i < BLOCKS; i++) {
        dipp_params here = dipp_scope(g, p, "blocks.%d", i);
        dipp_block_begin(g);
        dipp_block_begin(g); /* a block within the block is no other */
        dipp_tensor wide = dipp_silu(g, dipp_linear(g, here, "first", h, 4 * C, &bare));
        dipp_block_end(g);
        if (a->noisy)
            wide = dipp_mul(g, wide, dipp_philox_normal(g, key, dipp_shape_of(g, wide)));
        if (i == 2)
            *inner = wide;
        h = dipp_add(g, h, dipp_linear(g, here, "second", wide, C, &bare));
        dipp_block_end(g);
    }
    return h;
}

static void chain_open(chain *c, const char *backend, const char *precision, const asked *a)
{
    memset(c, 0, sizeof *c);
    CHECK(dipp_backend_create(
        backend,
        &(dipp_backend_options){.struct_size = sizeof(dipp_backend_options), .precision = precision, .threads = 1},
        &c->backend, error));
    CHECK(dipp_layout_create("chain", &c->layout, error));
    dipp_graph *g;
    CHECK(dipp_graph_create("chain", &g, error));
    dipp_params p = dipp_graph_slot(g, "chain", c->layout, true);
    dipp_tensor x = dipp_input(g, "x", DIPP_WIDE, DIPP_SHAPE(N, C)), inner = DIPP_NONE;
    dipp_tensor dy = dipp_input(g, "dy", DIPP_WIDE, DIPP_SHAPE(N, C));
    dipp_tensor y = record_blocks(g, p, a, x, &inner), wrt[2] = {x, inner}, gradients[2];
    dipp_output(g, "y", y);
    if (a->apart)
        dipp_graph_begin_segment(g);
    dipp_graph_recompute_blocks(g, a->recompute);
    dipp_gradients(g, 1, &y, &dy, a->inner ? 2 : 1, wrt, gradients);
    dipp_output(g, "dx", gradients[0]);
    if (a->inner)
        dipp_output(g, "dinner", gradients[1]);
    CHECK(dipp_program_create(&g, c->backend, &c->program, error));
    CHECK(dipp_plan_create(c->backend, &c->plan, error));
    for (uint32_t s = 0; s < dipp_program_segments(c->program); s++)
        CHECK(dipp_plan_step(c->plan, c->program, s, error));
    CHECK(dipp_plan_solve(c->plan, 0, &c->report, error));
}

static void chain_close(chain *c)
{
    dipp_executable_destroy(&c->run);
    dipp_plan_destroy(&c->plan);
    dipp_program_destroy(&c->program);
    dipp_parameter_set_destroy(&c->set);
    dipp_layout_destroy(&c->layout);
    dipp_backend_destroy(&c->backend);
}

/* ---- What it costs ---- */

/* Both passes are at their peak in the last block's backward. There a plain recording holds what all blocks have inside,
 * 4C + 4C numbers a sample; a recomputed one holds that of one block. Everything else is alike. The second product of a
 * block makes what leaves it, which is kept: only the first is computed again. */
static void memory_and_work_are_as_arithmetic_says(void **state)
{
    (void)state;
    for (int apart = 0; apart < 2; apart++) {
        chain plain, again;
        chain_open(&plain, "null", "f32", &(asked){.apart = apart});
        chain_open(&again, "null", "f32", &(asked){.recompute = true, .apart = apart});
        const size_t inside = (size_t)8 * ELEMENTS * sizeof(float);
        assert_int_equal(plain.report.peak_bytes - again.report.peak_bytes, (BLOCKS - 1) * inside);
        assert_in_range(plain.report.arena_bytes - again.report.arena_bytes, (BLOCKS - 2) * inside, BLOCKS * inside);
        const double first = 2.0 * ELEMENTS * 4 * C, forward = BLOCKS * 2 * first;
        uint32_t backward = (uint32_t)apart;
        assert_true(dipp_program_recomputed_flops(plain.program, backward) == 0);
        assert_true(dipp_program_recomputed_flops(again.program, backward) == BLOCKS * first);
        assert_true(dipp_program_flops(plain.program, backward) == (apart ? 2 : 3) * forward);
        assert_true(dipp_program_flops(again.program, backward) == (apart ? 2 : 3) * forward);
        if (apart) { /* the forward pass is as before, and nothing of it moves to the second segment */
            assert_true(dipp_program_flops(again.program, 0) == forward);
            assert_true(dipp_program_recomputed_flops(again.program, 0) == 0);
            assert_int_equal(dipp_program_node_count(again.program, 0), dipp_program_node_count(plain.program, 0));
        }
        chain_close(&plain);
        chain_close(&again);
    }
}

/* ---- That it changes nothing ---- */

enum { RESULTS = 2 * ELEMENTS + 4 * ELEMENTS };

/* y, dx, dinner and the parameters' gradients; the caller frees. */
static double *results_of(const char *backend, const char *precision, const asked *a, size_t *count)
{
    chain c;
    chain_open(&c, backend, precision, a);
    CHECK(dipp_parameter_set_create("chain", c.layout, c.backend, true, &c.set, error));
    CHECK(dipp_parameter_set_initialise(c.set, 7, 1, error));
    CHECK(dipp_plan_allocate(c.plan, error));
    CHECK(dipp_executable_create(c.plan, c.program, &(dipp_binding){c.set, NULL}, 1, &c.run, error));
    double numbers[ELEMENTS];
    for (int i = 0; i < ELEMENTS; i++)
        numbers[i] = (double)(i * 37 % 101) / 50 - 1;
    CHECK(dipp_executable_write(c.run, "x", numbers, DIPP_HOST_F64, ELEMENTS, error));
    for (int i = 0; i < ELEMENTS; i++)
        numbers[i] = (double)(i * 53 % 97) / 50 - 1;
    CHECK(dipp_executable_write(c.run, "dy", numbers, DIPP_HOST_F64, ELEMENTS, error));
    if (a->noisy)
        CHECK(dipp_executable_write(c.run, "key", (const int32_t[6]){1, 2, 3, 4, 5, 6}, DIPP_HOST_I32, 6, error));
    for (uint32_t s = 0; s < dipp_program_segments(c.program); s++)
        dipp_execute(c.run, s);
    *count = RESULTS + (size_t)dipp_layout_elements(c.layout);
    double *out = test_malloc(*count * sizeof *out);
    CHECK(dipp_executable_read(c.run, "y", out, DIPP_HOST_F64, ELEMENTS, error));
    CHECK(dipp_executable_read(c.run, "dx", out + ELEMENTS, DIPP_HOST_F64, ELEMENTS, error));
    CHECK(dipp_executable_read(c.run, "dinner", out + 2 * ELEMENTS, DIPP_HOST_F64, 4 * ELEMENTS, error));
    dipp_parameter_set_read(c.set, DIPP_BLOCK_GRADIENT, out + RESULTS, DIPP_HOST_F64);
    chain_close(&c);
    return out;
}

static void results_are_equal_to_the_bit(void **state)
{
    (void)state;
    static const char *const machines[][2] = {{"reference", "f64"}, {"reference", "f32"}, {"cpu", "f32"}};
    for (int m = 0; m < 3; m++) {
        dipp_backend *found = NULL;
        dipp_error error;
        if (dipp_backend_create(machines[m][0], &(dipp_backend_options){.struct_size = sizeof(dipp_backend_options)},
                                &found, &error) != DIPP_OK)
            continue; /* a build without it */
        dipp_backend_destroy(&found);
        for (int kind = 0; kind < 4; kind++) {
            asked a = {.apart = kind & 1, .noisy = kind >> 1, .inner = true};
            size_t count;
            double *plain = results_of(machines[m][0], machines[m][1], &a, &count);
            a.recompute = true;
            double *again = results_of(machines[m][0], machines[m][1], &a, &count);
            double size = 0;
            for (size_t i = 2 * ELEMENTS; i < count; i++)
                size += plain[i] * plain[i];
            assert_true(size > 1); /* gradients to inner values and parameters are there */
            assert_memory_equal(plain, again, count * sizeof *plain);
            test_free(plain);
            test_free(again);
        }
    }
}

/* ---- Marks ---- */

static void marks_must_pair(void **state)
{
    (void)state;
    for (int open = 0; open < 2; open++) {
        dipp_graph *g;
        dipp_layout *layout;
        dipp_error problem = {0};
        CHECK(dipp_layout_create("marks", &layout, error));
        CHECK(dipp_graph_create("marks", &g, error));
        dipp_graph_slot(g, "marks", layout, true);
        dipp_tensor x = dipp_input(g, "x", DIPP_WIDE, DIPP_SHAPE(1)), dx;
        if (open)
            dipp_block_begin(g);
        dipp_tensor y = dipp_exp(g, x);
        if (open)
            dipp_gradients(g, 1, &y, NULL, 1, &x, &dx);
        else
            dipp_block_end(g);
        assert_int_equal(dipp_graph_status(g, &problem), DIPP_E_INVALID);
        assert_non_null(strstr(problem.message, open ? "inside a block" : "has not begun"));
        dipp_graph_destroy(&g);
        dipp_layout_destroy(&layout);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_and_work_are_as_arithmetic_says),
        cmocka_unit_test(results_are_equal_to_the_bit),
        cmocka_unit_test(marks_must_pair),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
