/* See model.h. */
#include "model.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { OUTPUT_LIMIT = 256 };

static dipp_status instantiate(model *m, const char *const *assignments, dipp_error *error)
{
    const dipp_plugin *p = m->plugin;
    uint32_t count = 0;
    while (assignments[count])
        count++;
    dipp_status status =
        dipp_parameters_create_from_text(p->parameters, p->parameter_count, assignments, count, &m->parameters, error);
    if (status)
        return status;
    static const dipp_host host = {.struct_size = sizeof host};
    switch (p->kind) {
    case DIPP_PLUGIN_REFERENCE:
        return ((const dipp_reference *)p->vtable)->create(m->parameters, &host, &m->self, error);
    case DIPP_PLUGIN_GENERATOR:
        return ((const dipp_generator *)p->vtable)->create(m->parameters, &host, &m->self, error);
    default: return ((const dipp_reward *)p->vtable)->create(m->parameters, &host, &m->self, error);
    }
}

static void find(model *m, dipp_plugin_kind kind, const char *name)
{
    memset(m, 0, sizeof *m);
    const char *fixture = strstr(name, ".so");
    const char *fixtures = fixture ? getenv("DIPP_TEST_FIXTURES") : NULL;
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", fixtures ? fixtures : "", name);
    const char *files[] = {path};
    CHECK(dipp_plugins_open(
        &(dipp_plugins_options){.files = files, .file_count = fixture != NULL, .no_environment = true}, &m->plugins,
        error));
    const dipp_loaded_plugin *loaded = NULL;
    CHECK(dipp_plugins_find(m->plugins, kind, fixture ? "fixture" : name, &loaded, error));
    m->plugin = loaded->descriptor;
}

void model_open(model *m, dipp_plugin_kind kind, const char *name, const char *const *assignments)
{
    find(m, kind, name);
    CHECK(instantiate(m, assignments, error));
}

dipp_status model_refusal(dipp_plugin_kind kind, const char *name, const char *const *assignments, dipp_error *error)
{
    model m;
    find(&m, kind, name);
    dipp_status status = instantiate(&m, assignments, error);
    model_close(&m);
    return status;
}

static dipp_tensor record(const model *m, dipp_graph *g, dipp_params p, dipp_tensor x, bool with_tokens)
{
    const void *vtable = m->plugin->vtable;
    if (m->plugin->kind == DIPP_PLUGIN_REWARD)
        return ((const dipp_reward *)vtable)
            ->record(m->self, g, p, x, (dipp_prompt){DIPP_NONE, DIPP_NONE}, DIPP_REWARD_ALIGN);
    dipp_tensor alpha = dipp_input(g, "alpha", DIPP_WIDE, DIPP_SHAPE(m->batch));
    dipp_tensor sigma = dipp_input(g, "sigma", DIPP_WIDE, DIPP_SHAPE(m->batch));
    dipp_level level = {.t = sigma, .alpha = alpha, .sigma = sigma};
    dipp_condition c = {0};
    if (m->plugin->kind == DIPP_PLUGIN_GENERATOR)
        return ((const dipp_generator *)vtable)->generate(m->self, g, p, x, level, c);
    const dipp_reference *reference = vtable;
    if (with_tokens) {
        dipp_tensor tokens = dipp_input(g, "tokens", DIPP_INT32, DIPP_SHAPE(m->batch, 1));
        dipp_tensor mask = dipp_input(g, "mask", DIPP_WIDE, DIPP_SHAPE(m->batch, 1));
        c = reference->encode_text(m->self, g, p, (dipp_prompt){tokens, mask});
    }
    return reference->predict(m->self, g, p, x, level, c);
}

void model_record(model *m, dipp_shape shape, bool with_tokens)
{
    m->batch = shape.dims[0];
    m->inputs = (size_t)dipp_shape_elements(&shape);
    CHECK(dipp_reference_backend_create(
        &(dipp_backend_options){.struct_size = sizeof(dipp_backend_options), .precision = "f64"}, &m->backend, error));
    CHECK(dipp_layout_create("plugin", &m->layout, error));
    dipp_graph *g;
    CHECK(dipp_graph_create("plugin", &g, error));
    dipp_params p = dipp_graph_slot(g, "plugin", m->layout, true);
    dipp_tensor x = dipp_input(g, "x", DIPP_WIDE, shape);
    dipp_tensor y = record(m, g, p, x, with_tokens);
    CHECK(dipp_graph_status(g, error));
    dipp_shape out = dipp_shape_of(g, y);
    m->outputs = (size_t)dipp_shape_elements(&out);
    assert_true(m->outputs <= OUTPUT_LIMIT);
    assert_int_equal(dipp_dtype_of(g, y), DIPP_WIDE);
    dipp_output(g, "y", y);
    double w[OUTPUT_LIMIT];
    for (size_t i = 0; i < m->outputs; i++)
        w[i] = cos(1.7 * (double)i + 0.3);
    dipp_tensor weighted = dipp_mul(g, y, dipp_constant(g, out, w));
    dipp_tensor loss = dipp_sum(g, weighted, (1u << out.rank) - 1, false);
    dipp_output(g, "loss", loss);
    dipp_graph_begin_segment(g);
    dipp_tensor dx;
    dipp_gradients(g, 1, &loss, NULL, 1, &x, &dx);
    dipp_output(g, "dx", dx);
    CHECK(dipp_program_create(&g, m->backend, &m->program, error));
    CHECK(dipp_parameter_set_create("plugin", m->layout, m->backend, true, &m->set, error));
    CHECK(dipp_parameter_set_initialise(m->set, 1, 1, error));
    CHECK(dipp_plan_create(m->backend, &m->plan, error));
    CHECK(dipp_plan_step(m->plan, m->program, 0, error));
    CHECK(dipp_plan_step(m->plan, m->program, 1, error));
    dipp_plan_report report;
    CHECK(dipp_plan_solve(m->plan, 0, &report, error));
    CHECK(dipp_plan_allocate(m->plan, error));
    CHECK(dipp_executable_create(m->plan, m->program, &(dipp_binding){m->set, NULL}, 1, &m->run, error));
}

/* Writes an input when the program has it: one that the recording does not use is gone. */
static void write_input(model *m, const char *name, const void *data, dipp_host_type type, size_t count)
{
    dipp_dtype dtype;
    dipp_shape shape;
    if (data && !dipp_program_find(m->program, name, &dtype, &shape, NULL))
        CHECK(dipp_executable_write(m->run, name, data, type, count, error));
}

void model_run(model *m, const double *x, const double *alpha, const double *sigma, const int32_t *tokens, double *y)
{
    write_input(m, "x", x, DIPP_HOST_F64, m->inputs);
    write_input(m, "alpha", alpha, DIPP_HOST_F64, (size_t)m->batch);
    write_input(m, "sigma", sigma, DIPP_HOST_F64, (size_t)m->batch);
    write_input(m, "tokens", tokens, DIPP_HOST_I32, (size_t)m->batch);
    dipp_execute(m->run, 0);
    CHECK(dipp_executable_read(m->run, "y", y, DIPP_HOST_F64, m->outputs, error));
}

static double loss_of(model *m, const double *x, const double *alpha, const double *sigma, const int32_t *tokens)
{
    double y[OUTPUT_LIMIT], loss;
    model_run(m, x, alpha, sigma, tokens, y);
    CHECK(dipp_executable_read(m->run, "loss", &loss, DIPP_HOST_F64, 1, error));
    return loss;
}

static void compare(const char *what, size_t index, double recorded, double differences, double tolerance)
{
    if (!(fabs(recorded - differences) <= tolerance * (1 + fabs(differences))))
        fail_msg("gradient to %s[%zu]: recorded %.12g, differences %.12g", what, index, recorded, differences);
}

void model_check_gradients(model *m, const double *x, const double *alpha, const double *sigma, const int32_t *tokens,
                           double tolerance)
{
    const double h = 1e-5;
    size_t block = (size_t)dipp_layout_elements(m->layout);
    double *values = test_malloc((block + 1) * sizeof *values), *gradient = test_malloc((block + 1) * sizeof *gradient);
    double *moved = test_malloc(m->inputs * sizeof *moved), *dx = test_malloc(m->inputs * sizeof *dx), up, total = 0;
    loss_of(m, x, alpha, sigma, tokens);
    dipp_execute(m->run, 1);
    CHECK(dipp_executable_read(m->run, "dx", dx, DIPP_HOST_F64, m->inputs, error));
    memcpy(moved, x, m->inputs * sizeof *x);
    for (size_t i = 0; i < m->inputs; i++) {
        moved[i] = x[i] + h;
        up = loss_of(m, moved, alpha, sigma, tokens);
        moved[i] = x[i] - h;
        compare("x", i, dx[i], (up - loss_of(m, moved, alpha, sigma, tokens)) / (2 * h), tolerance);
        moved[i] = x[i];
        total += fabs(dx[i]);
    }
    assert_true(total > 0);
    if (block) {
        dipp_parameter_set_read(m->set, DIPP_BLOCK_GRADIENT, gradient, DIPP_HOST_F64);
        dipp_parameter_set_read(m->set, DIPP_BLOCK_MASTER, values, DIPP_HOST_F64);
    }
    for (uint32_t e = 0; e < dipp_layout_count(m->layout); e++) {
        const dipp_layout_entry *entry = dipp_layout_entry_at(m->layout, e);
        for (size_t i = (size_t)entry->offset; i < (size_t)(entry->offset + entry->elements); i++) {
            double saved = values[i];
            values[i] = saved + h;
            dipp_parameter_set_write(m->set, DIPP_BLOCK_MASTER, values, DIPP_HOST_F64);
            up = loss_of(m, x, alpha, sigma, tokens);
            values[i] = saved - h;
            dipp_parameter_set_write(m->set, DIPP_BLOCK_MASTER, values, DIPP_HOST_F64);
            compare(entry->name, i - (size_t)entry->offset, gradient[i],
                    (up - loss_of(m, x, alpha, sigma, tokens)) / (2 * h), tolerance);
            values[i] = saved;
            dipp_parameter_set_write(m->set, DIPP_BLOCK_MASTER, values, DIPP_HOST_F64);
        }
    }
    test_free(values);
    test_free(gradient);
    test_free(moved);
    test_free(dx);
}

void model_close(model *m)
{
    dipp_executable_destroy(&m->run);
    dipp_plan_destroy(&m->plan);
    dipp_program_destroy(&m->program);
    dipp_parameter_set_destroy(&m->set);
    dipp_layout_destroy(&m->layout);
    dipp_backend_destroy(&m->backend);
    if (m->self && m->plugin->kind == DIPP_PLUGIN_REFERENCE)
        ((const dipp_reference *)m->plugin->vtable)->destroy(m->self);
    else if (m->self && m->plugin->kind == DIPP_PLUGIN_GENERATOR)
        ((const dipp_generator *)m->plugin->vtable)->destroy(m->self);
    else if (m->self)
        ((const dipp_reward *)m->plugin->vtable)->destroy(m->self);
    dipp_parameters_destroy(&m->parameters);
    dipp_plugins_destroy(&m->plugins);
}
