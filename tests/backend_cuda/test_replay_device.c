/* Memory and replays of the back-end called cuda, whether a GPU or the stand-in: uploads round the pinned ring, graphs
 * against single calls bit for bit, training against the oracle, failures that stick. Exit status 77 where there is
 * neither. */
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

enum { N = 6, TOKENS = 5, WIDTH = 16, STEPS = 5 };

typedef struct machine {
    dipp_backend *backend;
    dipp_layout *layout;
    dipp_parameter_set *set;
    dipp_program *program, *update;
    dipp_plan *plan;
    dipp_executable *run, *step;
} machine;

/* A block of a transformer with noise of its own, its loss, and the gradients. */
static void record_network(dipp_graph *g, dipp_layout *layout)
{
    dipp_params p = dipp_graph_slot(g, "net", layout, true);
    dipp_tensor x = dipp_input(g, "x", DIPP_WIDE, DIPP_SHAPE(N, TOKENS, WIDTH));
    dipp_tensor key = dipp_input(g, "key", DIPP_INT32, DIPP_SHAPE(6));
    dipp_tensor noisy = dipp_add(g, x, dipp_philox_normal(g, key, DIPP_SHAPE(N, TOKENS, WIDTH)));
    dipp_tensor h = dipp_layer_norm(g, dipp_cast(g, noisy, DIPP_COMPUTE), NULL);
    dipp_tensor q = dipp_linear(g, p, "q", h, WIDTH, NULL), k = dipp_linear(g, p, "k", h, WIDTH, NULL);
    dipp_tensor v = dipp_linear(g, p, "v", h, WIDTH, NULL);
    dipp_tensor mixed = dipp_attention(g, q, k, v, &(dipp_attention_options){.heads = 2});
    dipp_tensor out = dipp_linear(g, p, "out", dipp_silu(g, mixed), WIDTH, NULL);
    dipp_tensor miss = dipp_sub(g, out, x);
    dipp_tensor loss = dipp_mean(g, dipp_mul(g, miss, miss), 7, false);
    dipp_output(g, "loss", loss);
    dipp_graph_begin_segment(g);
    dipp_gradients(g, 1, &loss, NULL, 0, NULL, NULL);
}

static void machine_create(machine *m, const char *name, const char *precision)
{
    memset(m, 0, sizeof *m);
    dipp_backend_options options = {sizeof options, .precision = precision};
    CHECK(dipp_backend_create(name, &options, &m->backend, error));
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
    dipp_output(g, "norm", dipp_record_optimizer(g, p, m->set, scalars, DIPP_NONE, DIPP_OPTIMIZER_ADAMW, false));
    CHECK(dipp_program_create(&g, m->backend, &m->update, error));
    CHECK(dipp_plan_create(m->backend, &m->plan, error));
    CHECK(dipp_plan_step(m->plan, m->program, 0, error));
    CHECK(dipp_plan_step(m->plan, m->program, 1, error));
    CHECK(dipp_plan_step(m->plan, m->update, 0, error));
    CHECK(dipp_plan_solve(m->plan, 0, NULL, error));
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

/* Steps of training; losses are read at the end of each step only. */
static void train(machine *m, double losses[STEPS])
{
    for (int step = 0; step < STEPS; step++) {
        double x[N * TOKENS * WIDTH], scalars[DIPP_OPT_SCALARS] = {0};
        int32_t key[6] = {3, 0, 1, step, 0, 0};
        for (int i = 0; i < N * TOKENS * WIDTH; i++)
            x[i] = sin(0.37 * i + step);
        scalars[DIPP_OPT_LR] = 0.01 * (1 + step);
        scalars[DIPP_OPT_BETA1] = 0.9;
        scalars[DIPP_OPT_BETA2] = 0.99;
        scalars[DIPP_OPT_EPSILON] = 1e-4;
        scalars[DIPP_OPT_CORRECTION1] = 1 / (1 - pow(0.9, step + 1));
        scalars[DIPP_OPT_CORRECTION2] = 1 / (1 - pow(0.99, step + 1));
        scalars[DIPP_OPT_CLIP] = 1;
        scalars[DIPP_OPT_GRAD_SCALE] = 1;
        CHECK(dipp_executable_write(m->run, "x", x, DIPP_HOST_F64, N * TOKENS * WIDTH, error));
        CHECK(dipp_executable_write(m->run, "key", key, DIPP_HOST_I32, 6, error));
        dipp_execute(m->run, 0);
        dipp_execute(m->run, 1);
        CHECK(dipp_executable_write(m->step, "scalars", scalars, DIPP_HOST_F64, DIPP_OPT_SCALARS, error));
        dipp_execute(m->step, 0);
        CHECK(dipp_executable_read(m->run, "loss", &losses[step], DIPP_HOST_F64, 1, error));
    }
}

static void graphs_are_the_calls(void **state)
{
    for (int k = 0; k < 2; k++) {
        const char *precision = k ? "bf16" : "f32";
        double with[STEPS], without[STEPS], exact[STEPS];
        machine m;
        machine_create(&m, "cuda", precision);
        train(&m, with);
        machine_destroy(&m);
        setenv("DIPP_CUDA_GRAPHS", "0", 1);
        machine_create(&m, "cuda", precision);
        unsetenv("DIPP_CUDA_GRAPHS");
        train(&m, without);
        machine_destroy(&m);
        machine_create(&m, "reference", "f64");
        train(&m, exact);
        machine_destroy(&m);
        for (int step = 0; step < STEPS; step++) {
            assert_true(with[step] == without[step]);
            if (!(fabs(with[step] - exact[step]) <= (k ? 2e-2 : 1e-5) * exact[step]))
                fail_msg("%s step %d: loss %.9g, the oracle's is %.9g", precision, step, with[step], exact[step]);
        }
        assert_true(exact[STEPS - 1] != exact[0]);
    }
}

static dipp_backend *open_backend(void)
{
    dipp_backend *backend = NULL;
    CHECK(dipp_backend_create("cuda", NULL, &backend, error));
    return backend;
}

static void uploads_go_round_the_ring(void **state)
{
    enum { LARGE = 7 << 20, SMALL = 300, PIECES = 40000 };
    dipp_backend *backend = open_backend();
    float *host = malloc(LARGE * sizeof *host), *back = malloc(LARGE * sizeof *back);
    float *memory = backend->allocate(backend, LARGE * sizeof *memory);
    assert_true(host && back && memory);
    assert_int_equal((uintptr_t)memory % 256, 0);
    backend->download(backend, back, DIPP_HOST_F32, memory, DIPP_WIDE, LARGE);
    for (int i = 0; i < LARGE; i++)
        assert_true(back[i] == 0); /* new memory is zeroed */
    for (int i = 0; i < LARGE; i++)
        host[i] = (float)(i % 16777213);
    backend->upload(backend, memory, DIPP_WIDE, host, DIPP_HOST_F32, LARGE);
    memset(host, 0xff, LARGE * sizeof *host); /* the caller's array is free at once */
    backend->download(backend, back, DIPP_HOST_F32, memory, DIPP_WIDE, LARGE);
    for (int i = 0; i < LARGE; i++)
        assert_true(back[i] == (float)(i % 16777213));
    for (int piece = 0; piece < PIECES; piece++) {
        double numbers[SMALL];
        for (int i = 0; i < SMALL; i++)
            numbers[i] = piece + 0.25 * (i % 4);
        backend->upload(backend, memory + (piece % 20000) * SMALL, DIPP_WIDE, numbers, DIPP_HOST_F64, SMALL);
    }
    backend->download(backend, back, DIPP_HOST_F32, memory, DIPP_WIDE, 20000 * SMALL);
    for (int i = 0; i < 20000 * SMALL; i++)
        assert_true(back[i] == (float)(20000 + i / SMALL) + 0.25f * (float)(i % SMALL % 4));
    backend->zero(backend, memory, 4 * SMALL);
    backend->download(backend, back, DIPP_HOST_F32, memory, DIPP_WIDE, SMALL + 1);
    assert_true(back[0] == 0 && back[SMALL - 1] == 0 && back[SMALL] == 20001);
    backend->release(backend, memory);
    free(host);
    free(back);
    dipp_backend_destroy(&backend);
}

static void too_much_memory_is_an_answer(void **state)
{
    dipp_backend *backend = open_backend();
    dipp_error error = {0};
    assert_null(backend->allocate(backend, (size_t)1 << 52));
    assert_null(backend->allocate(backend, SIZE_MAX));
    assert_int_equal(backend->status(backend, &error), DIPP_OK);
    void *memory = backend->allocate(backend, 0);
    assert_non_null(memory);
    backend->release(backend, memory);
    size_t free_bytes, total;
    dipp_backend_memory(backend, &free_bytes, &total); /* the device's */
    assert_true(free_bytes > 0 && free_bytes <= total);
    assert_int_equal(dipp_backend_no_memory(backend, SIZE_MAX, "a test", &error), DIPP_E_MEMORY);
    assert_non_null(strstr(error.message, "the cuda back-end has no "));
    assert_int_equal(backend->status(backend, &error), DIPP_OK);
    dipp_backend_destroy(&backend);
}

/* The stand-in fails on demand; a real device is not broken for a test. */
static void failures_stick(void **state)
{
    if (!getenv("EMULATED_FAILURES"))
        skip();
    machine m;
    machine_create(&m, "cuda", "f32");
    double losses[STEPS], loss = 0;
    train(&m, losses);
    setenv("EMULATED_FAIL", "1", 1);
    machine broken; /* its first replay runs call by call and fails in the middle */
    machine_create(&broken, "cuda", "f32");
    dipp_execute(broken.run, 0);
    unsetenv("EMULATED_FAIL");
    dipp_error said = {0};
    assert_int_equal(dipp_executable_read(broken.run, "loss", &loss, DIPP_HOST_F64, 1, &said), DIPP_E_INTERNAL);
    assert_true(isnan(loss));
    assert_non_null(strstr(said.message, "cuda back-end: "));
    assert_non_null(strstr(said.message, "cudaErrorEmulated"));
    dipp_execute(broken.run, 0);
    assert_int_equal(dipp_executable_read(broken.run, "loss", &loss, DIPP_HOST_F64, 1, &said), DIPP_E_INTERNAL);
    assert_null(broken.backend->allocate(broken.backend, 16));
    machine_destroy(&broken);
    /* another back-end is not touched */
    CHECK(dipp_executable_read(m.run, "loss", &loss, DIPP_HOST_F64, 1, error));
    assert_true(loss == losses[STEPS - 1]);
    machine_destroy(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(graphs_are_the_calls),
        cmocka_unit_test(uploads_go_round_the_ring),
        cmocka_unit_test(too_much_memory_is_an_answer),
        cmocka_unit_test(failures_stick),
    };
    dipp_error error = {0};
    dipp_backend *backend = NULL;
    if (dipp_backend_create("cuda", NULL, &backend, &error) != DIPP_OK) {
        fprintf(stderr, "skipped: %s\n", error.message);
        return 77;
    }
    dipp_backend_destroy(&backend);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
