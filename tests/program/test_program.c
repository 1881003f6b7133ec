/* Recording, gradients, planning and replay together, on the f64 oracle. */
#include "tensor/program.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define CHECK(call)                                         \
    do {                                                    \
        dipp_error check_error = {0};                       \
        dipp_error *error = &check_error;                   \
        if ((call) != DIPP_OK)                              \
            fail_msg("%s: %s", #call, check_error.message); \
    } while (0)

enum { N = 3, IN = 4, HIDDEN = 5, OUT = 2 };

typedef struct machine {
    dipp_backend *backend;
    dipp_layout *layout;
    dipp_parameter_set *set;
    dipp_program *program, *update;
    dipp_plan *plan;
    dipp_executable *run, *step;
    dipp_plan_report report;
} machine;

/* loss = mean((layer2(silu(layer1(x))) - y)^2); the forward is one segment, the backward another. */
static void record_network(dipp_graph *g, dipp_layout *layout)
{
    dipp_params p = dipp_graph_slot(g, "net", layout, true);
    dipp_tensor x = dipp_input(g, "x", DIPP_WIDE, DIPP_SHAPE(N, IN));
    dipp_tensor y = dipp_input(g, "y", DIPP_WIDE, DIPP_SHAPE(N, OUT));
    dipp_tensor hidden = dipp_silu(g, dipp_linear(g, p, "layer1", x, HIDDEN, NULL));
    dipp_tensor out = dipp_linear(g, dipp_scope(g, p, "head"), "layer2", hidden, OUT, NULL);
    dipp_tensor error = dipp_sub(g, out, y);
    dipp_tensor loss = dipp_mean(g, dipp_mul(g, error, error), 3, false);
    dipp_output(g, "loss", loss);
    dipp_graph_begin_segment(g);
    dipp_tensor dx;
    dipp_gradients(g, 1, &loss, NULL, 1, &x, &dx);
    dipp_output(g, "dx", dx);
}

static void machine_create(machine *m, const char *precision)
{
    memset(m, 0, sizeof *m);
    CHECK(dipp_reference_backend_create(
        &(dipp_backend_options){.struct_size = sizeof(dipp_backend_options), .precision = precision}, &m->backend,
        error));
    CHECK(dipp_layout_create("net", &m->layout, error));
    dipp_graph *g;
    CHECK(dipp_graph_create("network", &g, error));
    record_network(g, m->layout);
    CHECK(dipp_program_create(&g, m->backend, &m->program, error));
    CHECK(dipp_parameter_set_create("net", m->layout, m->backend, true, &m->set, error));
    CHECK(dipp_parameter_set_initialise(m->set, 7, 1, error));
    CHECK(dipp_graph_create("update", &g, error));
    dipp_params p = dipp_graph_slot(g, "net", m->layout, true);
    dipp_tensor scalars = dipp_input(g, "scalars", DIPP_WIDE, DIPP_SHAPE(DIPP_OPT_SCALARS));
    dipp_output(g, "norm", dipp_record_optimizer(g, p, m->set, scalars, DIPP_NONE, DIPP_OPTIMIZER_SGD, false));
    CHECK(dipp_program_create(&g, m->backend, &m->update, error));
    CHECK(dipp_plan_create(m->backend, &m->plan, error));
    CHECK(dipp_plan_step(m->plan, m->program, 0, error));
    CHECK(dipp_plan_step(m->plan, m->program, 1, error));
    CHECK(dipp_plan_step(m->plan, m->update, 0, error));
    CHECK(dipp_plan_solve(m->plan, 0, &m->report, error));
    CHECK(dipp_plan_allocate(m->plan, error));
    CHECK(dipp_executable_create(m->plan, m->program, &(dipp_binding){m->set, NULL}, 1, &m->run, error));
    CHECK(dipp_executable_create(m->plan, m->update, &(dipp_binding){m->set, NULL}, 1, &m->step, error));
}

static void machine_destroy(machine *m)
{
    dipp_executable_destroy(&m->run);
    dipp_executable_destroy(&m->step);
    dipp_plan_destroy(&m->plan);
    dipp_program_destroy(&m->program);
    dipp_program_destroy(&m->update);
    dipp_parameter_set_destroy(&m->set);
    dipp_layout_destroy(&m->layout);
    dipp_backend_destroy(&m->backend);
}

static double x_values[N * IN], y_values[N * OUT];

static double loss_of(machine *m)
{
    double loss;
    CHECK(dipp_executable_write(m->run, "x", x_values, DIPP_HOST_F64, N * IN, error));
    CHECK(dipp_executable_write(m->run, "y", y_values, DIPP_HOST_F64, N * OUT, error));
    dipp_execute(m->run, 0);
    CHECK(dipp_executable_read(m->run, "loss", &loss, DIPP_HOST_F64, 1, error));
    return loss;
}

static void fill_inputs(void)
{
    for (int i = 0; i < N * IN; i++)
        x_values[i] = sin(1.3 * i + 0.2);
    for (int i = 0; i < N * OUT; i++)
        y_values[i] = cos(0.7 * i);
}

static void gradients_equal_finite_differences(void **state)
{
    (void)state;
    machine m;
    machine_create(&m, "f64");
    fill_inputs();
    int64_t count = dipp_layout_elements(m.layout);
    double *values = test_malloc((size_t)count * sizeof *values),
           *gradient = test_malloc((size_t)count * sizeof *values);
    loss_of(&m);
    dipp_execute(m.run, 1);
    dipp_parameter_set_read(m.set, DIPP_BLOCK_GRADIENT, gradient, DIPP_HOST_F64);
    dipp_parameter_set_read(m.set, DIPP_BLOCK_MASTER, values, DIPP_HOST_F64);
    double dx[N * IN];
    CHECK(dipp_executable_read(m.run, "dx", dx, DIPP_HOST_F64, N * IN, error));
    const double h = 1e-6;
    double nonzero = 0;
    for (uint32_t e = 0; e < dipp_layout_count(m.layout); e++) {
        const dipp_layout_entry *entry = dipp_layout_entry_at(m.layout, e);
        assert_int_equal(entry->offset % DIPP_LAYOUT_ALIGNMENT, 0);
        for (int64_t i = entry->offset; i < entry->offset + entry->elements; i++) {
            double saved = values[i], up, down;
            values[i] = saved + h;
            dipp_parameter_set_write(m.set, DIPP_BLOCK_MASTER, values, DIPP_HOST_F64);
            up = loss_of(&m);
            values[i] = saved - h;
            dipp_parameter_set_write(m.set, DIPP_BLOCK_MASTER, values, DIPP_HOST_F64);
            down = loss_of(&m);
            values[i] = saved;
            assert_true(fabs((up - down) / (2 * h) - gradient[i]) < 1e-8);
            nonzero += fabs(gradient[i]);
        }
    }
    assert_true(nonzero > 0.1);
    dipp_parameter_set_write(m.set, DIPP_BLOCK_MASTER, values, DIPP_HOST_F64);
    for (int i = 0; i < N * IN; i++) {
        double saved = x_values[i], up, down;
        x_values[i] = saved + h, up = loss_of(&m);
        x_values[i] = saved - h, down = loss_of(&m);
        x_values[i] = saved;
        assert_true(fabs((up - down) / (2 * h) - dx[i]) < 1e-8);
    }
    test_free(values);
    test_free(gradient);
    machine_destroy(&m);
}

static void training_descends_and_clears_the_gradient(void **state)
{
    (void)state;
    machine m;
    machine_create(&m, "f64");
    fill_inputs();
    double scalars[DIPP_OPT_SCALARS] = {[DIPP_OPT_LR] = 0.1, [DIPP_OPT_GRAD_SCALE] = 1.0}, first = loss_of(&m), norm[2];
    for (int step = 0; step < 200; step++) {
        loss_of(&m);
        dipp_execute(m.run, 1);
        CHECK(dipp_executable_write(m.step, "scalars", scalars, DIPP_HOST_F64, DIPP_OPT_SCALARS, error));
        dipp_execute(m.step, 0);
    }
    CHECK(dipp_executable_read(m.step, "norm", norm, DIPP_HOST_F64, 2, error));
    assert_true(norm[1] == 1.0);
    assert_true(loss_of(&m) < 0.2 * first);
    int64_t count = dipp_layout_elements(m.layout);
    double *gradient = test_malloc((size_t)count * sizeof *gradient);
    dipp_parameter_set_read(m.set, DIPP_BLOCK_GRADIENT, gradient, DIPP_HOST_F64);
    for (int64_t i = 0; i < count; i++)
        assert_true(gradient[i] == 0.0);
    test_free(gradient);
    machine_destroy(&m);
}

static void a_plan_shares_memory_between_what_is_never_alive_together(void **state)
{
    (void)state;
    machine m;
    machine_create(&m, "f64");
    assert_true(m.report.arena_bytes >= m.report.peak_bytes);
    assert_true(m.report.arena_bytes < m.report.temporaries_sum);
    assert_non_null(m.report.peak_op);
    machine_destroy(&m);
}

static void recording_errors_are_sticky_and_say_where(void **state)
{
    (void)state;
    dipp_graph *g;
    CHECK(dipp_graph_create("bad", &g, error));
    dipp_tensor a = dipp_input(g, "a", DIPP_WIDE, DIPP_SHAPE(2, 3));
    dipp_tensor b = dipp_input(g, "b", DIPP_WIDE, DIPP_SHAPE(4, 3));
    dipp_tensor c = dipp_mul(g, dipp_add(g, a, b), a);
    assert_int_equal(c.id, 0);
    assert_true(dipp_graph_failed(g));
    dipp_error error = {0};
    assert_int_equal(dipp_graph_status(g, &error), DIPP_E_INVALID);
    assert_non_null(strstr(error.message, "add: shapes [2, 3] and [4, 3] do not broadcast"));
    assert_non_null(strstr(error.message, "recording \"bad\""));
    dipp_graph_destroy(&g);
}

static void fused_backward_ops_are_terminal(void **state)
{
    (void)state;
    dipp_graph *g;
    CHECK(dipp_graph_create("second order", &g, error));
    dipp_tensor x = dipp_input(g, "x", DIPP_WIDE, DIPP_SHAPE(4)), dx, ddx;
    dipp_tensor y = dipp_sum(g, dipp_silu(g, x), 1, false);
    dipp_gradients(g, 1, &y, NULL, 1, &x, &dx);
    dipp_tensor z = dipp_sum(g, dx, 1, false);
    dipp_gradients(g, 1, &z, NULL, 1, &x, &ddx);
    dipp_error error = {0};
    assert_int_equal(dipp_graph_status(g, &error), DIPP_E_INVALID);
    assert_non_null(strstr(error.message, "silu_backward is terminal"));
    dipp_graph_destroy(&g);
}

static void one_layout_serves_two_sets(void **state)
{
    (void)state;
    machine m;
    machine_create(&m, "f64");
    fill_inputs();
    dipp_parameter_set *other;
    CHECK(dipp_parameter_set_create("other", m.layout, m.backend, true, &other, error));
    CHECK(dipp_parameter_set_initialise(other, 8, 1, error));
    dipp_executable *run_other;
    CHECK(dipp_executable_create(m.plan, m.program, &(dipp_binding){other, NULL}, 1, &run_other, error));
    double a = loss_of(&m), b;
    dipp_execute(run_other, 0);
    CHECK(dipp_executable_read(run_other, "loss", &b, DIPP_HOST_F64, 1, error));
    assert_true(a != b);
    CHECK(dipp_parameter_set_copy(other, m.set, error));
    dipp_execute(run_other, 0);
    CHECK(dipp_executable_read(run_other, "loss", &b, DIPP_HOST_F64, 1, error));
    assert_true(a == b);
    dipp_executable_destroy(&run_other);
    dipp_parameter_set_destroy(&other);
    machine_destroy(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_equal_finite_differences),
        cmocka_unit_test(training_descends_and_clears_the_gradient),
        cmocka_unit_test(a_plan_shares_memory_between_what_is_never_alive_together),
        cmocka_unit_test(recording_errors_are_sticky_and_say_where),
        cmocka_unit_test(fused_backward_ops_are_terminal),
        cmocka_unit_test(one_layout_serves_two_sets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
