/* Gradient rules against central differences, through recording, gradients, planning and replay on the f64 oracle: a
 * random linear functional of every function in gradient_rows.c, with respect to every float input and parameter, with
 * inputs of both dtypes. Also what has no gradient, passes it straight through, or refuses it. */
#include "gradient_rows.h"
#include "tensor/program.h"

#include <math.h>
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

static dipp_backend *backend;
static bool covered[DIPP_OP_COUNT]; /* ops that some function differentiated below records */

/* A function with its gradient, ready to be replayed: segment 0 is the functional, segment 1 the gradients. */
typedef struct machine {
    dipp_layout *layout;
    dipp_parameter_set *set;
    dipp_program *program;
    dipp_plan *plan;
    dipp_executable *run;
    uint32_t input_count; /* the last input is the weights of the functional */
    int64_t counts[GRADIENT_INPUTS + 1];
    bool integer[GRADIENT_INPUTS + 1];
    double *inputs[GRADIENT_INPUTS + 1];
    double *master;
    int64_t master_count;
} machine;

static double random_in(uint64_t *state, double low, double high)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return low + (high - low) * (double)(*state >> 11) * 0x1p-53;
}

static void input_name(char out[16], uint32_t k)
{
    snprintf(out, 16, "in%u", k);
}

static void fill(machine *m, uint32_t k, const gradient_input *from, uint64_t *random)
{
    m->counts[k] = dipp_shape_elements(&from->shape);
    m->integer[k] = from->integer;
    m->inputs[k] = test_malloc((size_t)m->counts[k] * sizeof(double));
    for (int64_t i = 0; i < m->counts[k]; i++) {
        double x = random_in(random, from->low, from->high);
        if (fabs(x) < from->gap)
            x += x < 0 ? -from->gap : from->gap;
        m->inputs[k][i] = from->integer ? floor(x) : x;
    }
}

static dipp_tensor record_row(dipp_graph *g, dipp_params p, const gradient_row *row, const dipp_tensor *in)
{
    if (row->unary)
        return row->unary(g, in[0]);
    return row->binary ? row->binary(g, in[0], in[1]) : row->record(g, p, in);
}

static void machine_create(machine *m, const gradient_row *row, dipp_dtype dtype)
{
    memset(m, 0, sizeof *m);
    uint64_t random = 12345 + (uint64_t)dtype;
    dipp_graph *g;
    dipp_tensor in[GRADIENT_INPUTS + 1], wrt[GRADIENT_INPUTS], gradients[GRADIENT_INPUTS];
    dipp_params p = {0};
    uint32_t wrt_count = 0;
    char name[16];
    CHECK(dipp_graph_create(row->name, &g, error));
    CHECK(dipp_layout_create("set", &m->layout, error));
    if (row->parameters)
        p = dipp_graph_slot(g, "set", m->layout, true);
    for (uint32_t k = 0; k < row->input_count; k++) {
        input_name(name, k);
        in[k] = dipp_input(g, name, row->inputs[k].integer ? DIPP_INT32 : dtype, row->inputs[k].shape);
        fill(m, k, &row->inputs[k], &random);
        if (!m->integer[k])
            wrt[wrt_count++] = in[k];
    }
    dipp_tensor y = record_row(g, p, row, in);
    gradient_input weights = {dipp_shape_of(g, y), -1, 1, 0, false};
    m->input_count = row->input_count + 1;
    input_name(name, row->input_count);
    dipp_tensor w = dipp_input(g, name, DIPP_WIDE, weights.shape);
    fill(m, row->input_count, &weights, &random);
    dipp_tensor loss = dipp_sum(g, dipp_mul(g, y, w), (1u << weights.shape.rank) - 1, false);
    dipp_output(g, "loss", loss);
    for (size_t n = 0; n < g->node_count; n++)
        covered[g->nodes[n].op] = true;
    dipp_graph_begin_segment(g);
    dipp_gradients(g, 1, &loss, NULL, wrt_count, wrt, gradients);
    for (uint32_t k = 0, j = 0; k < row->input_count; k++)
        if (!m->integer[k]) {
            name[0] = 'd';
            snprintf(name + 1, sizeof name - 1, "%u", k);
            if (dipp_dtype_of(g, gradients[j]) != dtype && !dipp_graph_failed(g) &&
                dipp_value_of(g, gradients[j])->kind == DIPP_VALUE_COMPUTED &&
                g->nodes[dipp_value_of(g, gradients[j])->node].op != DIPP_OP_BROADCAST) /* zeros may be wide */
                fail_msg("%s: the gradient of input %u has another dtype", row->name, k);
            dipp_output(g, name, gradients[j++]);
        }
    CHECK(dipp_graph_status(g, error));
    CHECK(dipp_program_create(&g, backend, &m->program, error));
    CHECK(dipp_plan_create(backend, &m->plan, error));
    CHECK(dipp_plan_step(m->plan, m->program, 0, error));
    CHECK(dipp_plan_step(m->plan, m->program, 1, error));
    dipp_plan_report report;
    CHECK(dipp_plan_solve(m->plan, 0, &report, error));
    CHECK(dipp_plan_allocate(m->plan, error));
    if (row->parameters) {
        CHECK(dipp_parameter_set_create("set", m->layout, backend, true, &m->set, error));
        m->master_count = dipp_layout_elements(m->layout);
        m->master = test_malloc((size_t)m->master_count * sizeof(double));
        for (int64_t i = 0; i < m->master_count; i++)
            m->master[i] = random_in(&random, -1, 1);
    }
    CHECK(dipp_executable_create(m->plan, m->program, &(dipp_binding){m->set, NULL}, row->parameters, &m->run, error));
}

static void machine_destroy(machine *m)
{
    dipp_executable_destroy(&m->run);
    dipp_plan_destroy(&m->plan);
    dipp_program_destroy(&m->program);
    dipp_parameter_set_destroy(&m->set);
    dipp_layout_destroy(&m->layout);
    for (uint32_t k = 0; k < m->input_count; k++)
        test_free(m->inputs[k]);
    if (m->master)
        test_free(m->master);
}

static double loss_of(machine *m)
{
    double loss;
    char name[16];
    for (uint32_t k = 0; k < m->input_count; k++) {
        input_name(name, k);
        CHECK(dipp_executable_write(m->run, name, m->inputs[k], DIPP_HOST_F64, (size_t)m->counts[k], error));
    }
    if (m->set)
        dipp_parameter_set_write(m->set, DIPP_BLOCK_MASTER, m->master, DIPP_HOST_F64);
    dipp_execute(m->run, 0);
    CHECK(dipp_executable_read(m->run, "loss", &loss, DIPP_HOST_F64, 1, error));
    return loss;
}

/* Compares gradient[count] with central differences in numbers[count], which the machine reads. Every element must be
 * right to 1e-6 of its own magnitude or of the gradient's root mean square. Returns the largest magnitude. */
static double compare(machine *m, const char *row, const char *what, double *numbers, const double *gradient,
                      int64_t count)
{
    const double h = 1e-5;
    double squares = 0, largest = 0;
    for (int64_t i = 0; i < count; i++)
        squares += gradient[i] * gradient[i] / (double)count;
    for (int64_t i = 0; i < count; i++) {
        double saved = numbers[i];
        numbers[i] = saved + h;
        double up = loss_of(m);
        numbers[i] = saved - h;
        double down = loss_of(m);
        numbers[i] = saved;
        double difference = (up - down) / (2 * h);
        if (!(fabs(difference - gradient[i]) <= 1e-6 * fmax(fabs(gradient[i]), sqrt(squares)) + 1e-9))
            fail_msg("%s: gradient of %s[%lld] is %.12g, differences say %.12g", row, what, (long long)i, gradient[i],
                     difference);
        largest = fmax(largest, fabs(gradient[i]));
    }
    return largest;
}

/* Only the elements that belong to an entry: the gaps of the layout have no gradient, and differences say so too. */
static void compare_row(const gradient_row *row, dipp_dtype dtype)
{
    machine m;
    machine_create(&m, row, dtype);
    double largest = 0;
    for (int repetition = 0; repetition < (m.set ? 2 : 1); repetition++) { /* parameter gradients accumulate */
        loss_of(&m);
        dipp_execute(m.run, 1);
    }
    double *gradients[GRADIENT_INPUTS] = {0};
    char name[16];
    for (uint32_t k = 0; k < row->input_count; k++) {
        if (m.integer[k])
            continue;
        name[0] = 'd';
        snprintf(name + 1, sizeof name - 1, "%u", k);
        gradients[k] = test_malloc((size_t)m.counts[k] * sizeof(double));
        CHECK(dipp_executable_read(m.run, name, gradients[k], DIPP_HOST_F64, (size_t)m.counts[k], error));
    }
    for (uint32_t k = 0; k < row->input_count; k++)
        if (gradients[k]) {
            input_name(name, k);
            largest = fmax(largest, compare(&m, row->name, name, m.inputs[k], gradients[k], m.counts[k]));
            test_free(gradients[k]);
        }
    if (m.set) {
        double *twice = test_malloc((size_t)m.master_count * sizeof(double));
        dipp_parameter_set_read(m.set, DIPP_BLOCK_GRADIENT, twice, DIPP_HOST_F64);
        for (int64_t i = 0; i < m.master_count; i++)
            twice[i] /= 2;
        for (uint32_t e = 0; e < dipp_layout_count(m.layout); e++) {
            const dipp_layout_entry *entry = dipp_layout_entry_at(m.layout, e);
            double own =
                compare(&m, row->name, entry->name, m.master + entry->offset, twice + entry->offset, entry->elements);
            if (own == 0)
                fail_msg("%s: no gradient reached %s", row->name, entry->name);
            largest = fmax(largest, own);
        }
        test_free(twice);
    }
    if (largest == 0 && strcmp(row->name, "clamp outside"))
        fail_msg("%s: every gradient is zero", row->name);
    machine_destroy(&m);
}

static void rules_agree_with_central_differences(void **state)
{
    for (size_t k = 0; k < gradient_row_count; k++)
        for (int dtype = 0; dtype < 2; dtype++)
            compare_row(&gradient_rows[k], (dipp_dtype)dtype);
}

/* Ops that no row may record: they are terminal, or have no gradient at all. */
static bool has_no_rule(dipp_op op)
{
    switch (op) {
    case DIPP_OP_LEAF:
    case DIPP_OP_SIGN:  /* recorded by the rule of abs alone */
    case DIPP_OP_ROUND: /* differences do not apply: see below */
    case DIPP_OP_SILU_BACKWARD:
    case DIPP_OP_GELU_ERF_BACKWARD:
    case DIPP_OP_GELU_TANH_BACKWARD:
    case DIPP_OP_QUICK_GELU_BACKWARD:
    case DIPP_OP_GEGLU_BACKWARD:
    case DIPP_OP_LINEAR_BACKWARD_WEIGHT:
    case DIPP_OP_CONV2D_BACKWARD_DATA:
    case DIPP_OP_CONV2D_BACKWARD_WEIGHT:
    case DIPP_OP_GROUP_NORM_BACKWARD:
    case DIPP_OP_SOFTMAX_BACKWARD:
    case DIPP_OP_ATTENTION_BACKWARD:
    case DIPP_OP_LAYER_NORM_BACKWARD:
    case DIPP_OP_GATED_ADD_BACKWARD:
    case DIPP_OP_EMBEDDING_BACKWARD:
    case DIPP_OP_SINUSOID:
    case DIPP_OP_ACCUMULATE:
    case DIPP_OP_GRAD_NORM:
    case DIPP_OP_OPTIMIZER_STEP: return true;
    default: return false;
    }
}

static void every_differentiable_op_has_a_row(void **state)
{
    for (int op = 0; op < DIPP_OP_COUNT; op++)
        if (!covered[op] && !has_no_rule((dipp_op)op))
            fail_msg("no row differentiates %s", dipp_op_infos[op].name);
}

/* The gradient of sum(w f(x)) to x, for functions whose differences say something else than their rule. */
static void gradient_at(dipp_tensor (*function)(dipp_graph *, dipp_params, const dipp_tensor *), const double x[4],
                        double out[4])
{
    gradient_row row = {"special", function, .input_count = 1, .inputs = {{{1, {4}}, 0, 1, 0, false}}};
    machine m;
    machine_create(&m, &row, DIPP_WIDE);
    memcpy(m.inputs[0], x, 4 * sizeof *x);
    for (int i = 0; i < 4; i++)
        m.inputs[1][i] = i + 1;
    loss_of(&m);
    dipp_execute(m.run, 1);
    CHECK(dipp_executable_read(m.run, "d0", out, DIPP_HOST_F64, 4, error));
    machine_destroy(&m);
}

static dipp_tensor rounded(dipp_graph *g, dipp_params p, const dipp_tensor *in)
{
    return dipp_round(g, in[0]);
}

static dipp_tensor clamped_straight(dipp_graph *g, dipp_params p, const dipp_tensor *in)
{
    return dipp_clamp(g, in[0], 0, 1, DIPP_CLAMP_STRAIGHT_THROUGH);
}

static dipp_tensor clamped_hard(dipp_graph *g, dipp_params p, const dipp_tensor *in)
{
    return dipp_clamp(g, in[0], 0, 1, DIPP_CLAMP_HARD);
}

static dipp_tensor absolute(dipp_graph *g, dipp_params p, const dipp_tensor *in)
{
    return dipp_abs(g, in[0]);
}

static dipp_tensor half_stopped(dipp_graph *g, dipp_params p, const dipp_tensor *in)
{
    return dipp_mul(g, in[0], dipp_stop_gradient(g, in[0]));
}

/* x times the gradient of s^2 to s, the stopped x, and to x, which s hides: 2 s. */
static dipp_tensor asked_of_the_stopped(dipp_graph *g, dipp_params p, const dipp_tensor *in)
{
    dipp_tensor wrt[2] = {in[0], dipp_stop_gradient(g, in[0])}, gradients[2];
    dipp_tensor square = dipp_sum(g, dipp_mul(g, wrt[1], wrt[1]), 1, false);
    dipp_gradients(g, 1, &square, NULL, 2, wrt, gradients);
    return dipp_mul(g, in[0], dipp_add(g, gradients[0], gradients[1]));
}

static dipp_tensor unrelated(dipp_graph *g, dipp_params p, const dipp_tensor *in)
{
    return dipp_greater(g, in[0], dipp_constant(g, (dipp_shape){0}, (double[]){0.5}));
}

static void gradients_that_differences_cannot_see(void **state)
{
    static const struct {
        dipp_tensor (*function)(dipp_graph *, dipp_params, const dipp_tensor *);
        double want[4]; /* at -0.5, 0, 0.25, 3, with weights 1, 2, 3, 4 */
    } rows[] = {{rounded, {1, 2, 3, 4}},
                {clamped_straight, {1, 2, 3, 4}},
                {clamped_hard, {0, 0, 3, 0}},
                {absolute, {-1, 0, 3, 4}},
                {half_stopped, {-0.5, 0, 0.75, 12}},
                {unrelated, {0, 0, 0, 0}},
                {asked_of_the_stopped, {-1, 0, 1.5, 24}}};
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        double got[4];
        gradient_at(rows[k].function, (double[]){-0.5, 0, 0.25, 3}, got);
        for (int i = 0; i < 4; i++)
            if (got[i] != rows[k].want[i])
                fail_msg("function %zu: gradient %d is %g, expected %g", k, i, got[i], rows[k].want[i]);
    }
}

/* ---- First order only ---- */

static dipp_tensor total(dipp_graph *g, dipp_tensor x)
{
    return dipp_sum(g, dipp_mul(g, x, x), (1u << dipp_shape_of(g, x).rank) - 1, false);
}

/* Records a function of x [2, 2, 8] (or of a parameter, returned in *x) whose gradient is made by the op. */
static dipp_tensor record_before(dipp_graph *g, dipp_params p, dipp_op op, dipp_tensor *x)
{
    switch (op) {
    case DIPP_OP_SILU_BACKWARD: return dipp_silu(g, *x);
    case DIPP_OP_GELU_ERF_BACKWARD: return dipp_gelu_erf(g, *x);
    case DIPP_OP_GELU_TANH_BACKWARD: return dipp_gelu_tanh(g, *x);
    case DIPP_OP_QUICK_GELU_BACKWARD: return dipp_quick_gelu(g, *x);
    case DIPP_OP_SOFTMAX_BACKWARD: return dipp_softmax(g, *x);
    case DIPP_OP_ATTENTION_BACKWARD: return dipp_attention(g, *x, *x, *x, &(dipp_attention_options){.heads = 2});
    case DIPP_OP_LAYER_NORM_BACKWARD: return dipp_layer_norm(g, *x, NULL);
    case DIPP_OP_GATED_ADD_BACKWARD:
        return dipp_gated_add(g, *x, dipp_slice(g, dipp_reshape(g, *x, DIPP_SHAPE(4, 8)), 0, 0, 2), *x);
    case DIPP_OP_LINEAR_BACKWARD_WEIGHT: {
        dipp_tensor y = dipp_linear(g, p, "layer", *x, 8, NULL);
        *x = dipp_param(g, dipp_scope(g, p, "layer"), "weight", DIPP_SHAPE(8, 8), NULL);
        return y;
    }
    default: {
        dipp_tensor y = dipp_embedding(g, p, "table", dipp_input(g, "ids", DIPP_INT32, DIPP_SHAPE(3)), 4, 8, NULL);
        *x = dipp_param(g, dipp_scope(g, p, "table"), "weight", DIPP_SHAPE(4, 8), NULL);
        return y;
    }
    }
}

static void assert_refused(dipp_graph *g, const char *name)
{
    dipp_error error = {0};
    if (dipp_graph_status(g, &error) == DIPP_OK)
        fail_msg("differentiating %s was not refused", name);
    if (!strstr(error.message, name))
        fail_msg("the error does not name %s: %s", name, error.message);
}

static void fused_backward_ops_are_terminal_and_named(void **state)
{
    static const dipp_op ops[] = {DIPP_OP_SILU_BACKWARD,          DIPP_OP_GELU_ERF_BACKWARD,
                                  DIPP_OP_GELU_TANH_BACKWARD,     DIPP_OP_QUICK_GELU_BACKWARD,
                                  DIPP_OP_SOFTMAX_BACKWARD,       DIPP_OP_ATTENTION_BACKWARD,
                                  DIPP_OP_LAYER_NORM_BACKWARD,    DIPP_OP_GATED_ADD_BACKWARD,
                                  DIPP_OP_LINEAR_BACKWARD_WEIGHT, DIPP_OP_EMBEDDING_BACKWARD};
    for (size_t k = 0; k < sizeof ops / sizeof *ops; k++) {
        dipp_graph *g;
        dipp_layout *layout;
        CHECK(dipp_graph_create("second order", &g, error));
        CHECK(dipp_layout_create("set", &layout, error));
        dipp_params p = dipp_graph_slot(g, "set", layout, true);
        dipp_tensor x = dipp_input(g, "x", DIPP_WIDE, DIPP_SHAPE(2, 2, 8)), dx, again;
        dipp_tensor loss = total(g, record_before(g, p, ops[k], &x));
        dipp_gradients(g, 1, &loss, NULL, 1, &x, &dx);
        CHECK(dipp_graph_status(g, error));
        dipp_tensor norm = total(g, dx);
        dipp_gradients(g, 1, &norm, NULL, 1, &x, &again);
        assert_refused(g, dipp_op_infos[ops[k]].name);
        dipp_graph_destroy(&g);
        dipp_layout_destroy(&layout);
    }
}

static void training_ops_and_times_refuse_gradients(void **state)
{
    static const dipp_op ops[] = {DIPP_OP_ACCUMULATE, DIPP_OP_GRAD_NORM, DIPP_OP_SINUSOID};
    for (size_t k = 0; k < sizeof ops / sizeof *ops; k++) {
        dipp_graph *g;
        CHECK(dipp_graph_create("terminal", &g, error));
        dipp_tensor x = dipp_input(g, "x", DIPP_WIDE, DIPP_SHAPE(2)), dx;
        dipp_tensor y = ops[k] == DIPP_OP_SINUSOID ? dipp_sinusoid(g, x, 4, 100, false)
                                                   : dipp_append(g, ops[k], &x, 1, NULL, DIPP_WIDE, DIPP_SHAPE(2));
        dipp_tensor loss = total(g, y);
        dipp_gradients(g, 1, &loss, NULL, 1, &x, &dx);
        assert_refused(g, dipp_op_infos[ops[k]].name);
        dipp_graph_destroy(&g);
    }
}

static int open_backend(void **state)
{
    return dipp_backend_create("reference", NULL, &backend, NULL);
}

static int close_backend(void **state)
{
    dipp_backend_destroy(&backend);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_agree_with_central_differences),
        cmocka_unit_test(every_differentiable_op_has_a_row),
        cmocka_unit_test(gradients_that_differences_cannot_see),
        cmocka_unit_test(fused_backward_ops_are_terminal_and_named),
        cmocka_unit_test(training_ops_and_times_refuse_gradients),
    };
    return cmocka_run_group_tests(tests, open_backend, close_backend);
}
