/* Back-ends by name, the memory and conversions every one of them has, the null back-end, and the op suite itself: a
 * back-end with one fault must not pass it. */
#include "op_check.h"

#include "backend/unbacked.h"
#include "base/resident.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static dipp_backend *create(const char *name, const char *precision, size_t memory_limit)
{
    dipp_backend_options options = {sizeof options, .precision = precision, .memory_limit = memory_limit};
    dipp_backend *backend = NULL;
    dipp_error error = {0};
    if (dipp_backend_create(name, &options, &backend, &error) != DIPP_OK)
        fail_msg("%s", error.message);
    return backend;
}

static void names_and_precisions(void **state)
{
    static const struct {
        const char *name, *precision, *is, *has;
        size_t compute, wide;
    } rows[] = {{"reference", NULL, "reference", "f64", 8, 8},  {"reference", "auto", "reference", "f64", 8, 8},
                {"reference", "f32", "reference", "f32", 4, 4}, {"null", NULL, "null", "f32", 4, 4},
                {"null", "bf16", "null", "bf16", 2, 4},         {"auto", "f64", "reference", "f64", 8, 8}};
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        dipp_backend *backend = create(rows[k].name, rows[k].precision, 0);
        assert_string_equal(backend->name, rows[k].is);
        assert_string_equal(backend->precision, rows[k].has);
        assert_int_equal(backend->element_size[DIPP_COMPUTE], rows[k].compute);
        assert_int_equal(backend->element_size[DIPP_WIDE], rows[k].wide);
        assert_int_equal(backend->element_size[DIPP_INT32], 4);
        assert_int_equal(backend->compute_is_wide, rows[k].compute == rows[k].wide);
        dipp_backend_destroy(&backend);
        assert_null(backend);
    }
    dipp_backend *backend = NULL; /* nobody asked for anything */
    assert_int_equal(dipp_backend_create(NULL, NULL, &backend, NULL), DIPP_OK);
    dipp_backend_destroy(&backend);
    dipp_backend_destroy(&backend);
    dipp_backend_destroy(NULL);
}

/* More than any machine has, twice, on a back-end that computes in earnest: only the addresses are there. */
static void a_back_end_can_forgo_memory(void **state)
{
    dipp_backend *backend = create("reference", "f32", 0);
    dipp_backend_forgo_memory(backend);
    const size_t bytes = (size_t)1 << 42;
    char *a = backend->allocate(backend, bytes), *b = backend->allocate(backend, bytes);
    float one = 1, read = 2;
    assert_true(a && b && (a + bytes <= b || b + bytes <= a));
    assert_int_equal((size_t)a % 256, 0);
    backend->upload(backend, a + bytes - sizeof one, DIPP_WIDE, &one, DIPP_HOST_F32, 1);
    backend->download(backend, &read, DIPP_HOST_F32, a + bytes - sizeof one, DIPP_WIDE, 1);
    assert_true(read == 0);
    assert_null(backend->allocate(backend, SIZE_MAX));
    backend->release(backend, a);
    backend->release(backend, b);
    backend->release(backend, NULL);
    dipp_backend_destroy(&backend);
}

static void what_cannot_be_had_says_why(void **state)
{
    static const struct {
        const char *name, *precision, *says;
    } rows[] = {{"vulkan", NULL, "'vulkan' is unknown; expected auto, cpu, reference, cuda or null"},
                {"reference", "bf16", "precision 'bf16' is not supported; it has f64 (auto) and f32"},
                {"null", "int8", "precision 'int8' is unknown"}};
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        dipp_backend_options options = {sizeof options, .precision = rows[k].precision};
        dipp_backend *backend = NULL;
        dipp_error error = {0};
        assert_int_equal(dipp_backend_create(rows[k].name, &options, &backend, &error), DIPP_E_UNSUPPORTED);
        assert_non_null(strstr(error.message, rows[k].says));
        assert_null(backend);
    }
}

static void memory_is_counted(void **state)
{
    size_t free_bytes, total, machine;
    dipp_error error = {0};
    dipp_backend *backend = create("null", NULL, 5 << 20);
    void *memory = backend->allocate(backend, 2 << 20);
    dipp_backend_memory(backend, &free_bytes, &total);
    assert_int_equal(free_bytes, 3 << 20);
    assert_int_equal(total, 5 << 20);
    assert_int_equal(dipp_backend_no_memory(backend, 7 << 20, "a test", &error), DIPP_E_MEMORY);
    assert_string_equal(error.message, "the null back-end has no 7.0 MiB for a test; free are 3.0 of 5.0 MiB");
    backend->release(backend, memory);
    dipp_backend_destroy(&backend);

    backend = create("reference", NULL, 0); /* in the machine's memory */
    dipp_backend_memory(backend, &free_bytes, &total);
    dipp_machine_memory(&machine, &machine);
    assert_true(free_bytes > 0 && free_bytes < total && total == machine);
    dipp_backend_destroy(&backend);
}

static void options_of_an_older_caller_are_cut(void **state)
{
    dipp_backend_options options = {.struct_size = offsetof(dipp_backend_options, memory_limit), .memory_limit = 1};
    dipp_backend *backend = NULL;
    assert_int_equal(dipp_null_backend_create(&options, &backend, NULL), DIPP_OK);
    void *memory = backend->allocate(backend, 4096);
    assert_non_null(memory);
    backend->release(backend, memory);
    dipp_backend_destroy(&backend);
}

static void numbers_go_in_and_out(void **state)
{
    for (int k = 0; k < 2; k++) {
        dipp_backend *backend = create("reference", k ? "f32" : "f64", 0);
        double *memory = backend->allocate(backend, 100), back[3];
        assert_int_equal((uintptr_t)memory % 256, 0);
        backend->download(backend, back, DIPP_HOST_F64, memory, DIPP_WIDE, 3);
        assert_true(back[0] == 0 && back[1] == 0 && back[2] == 0);
        backend->upload(backend, memory, DIPP_WIDE, (double[]){0.1, -2, 3e9}, DIPP_HOST_F64, 3);
        backend->download(backend, back, DIPP_HOST_F64, memory, DIPP_WIDE, 3);
        assert_true(back[0] == (k ? (double)0.1f : 0.1) && back[1] == -2 && back[2] == 3e9);
        int32_t integers[3];
        backend->download(backend, integers, DIPP_HOST_I32, memory, DIPP_WIDE, 3);
        assert_true(integers[0] == 0 && integers[1] == -2 && integers[2] == INT32_MAX);
        backend->upload(backend, memory, DIPP_INT32, (float[]){7, -7.5f, 1}, DIPP_HOST_F32, 3);
        float floats[3];
        backend->download(backend, floats, DIPP_HOST_F32, memory, DIPP_INT32, 3);
        assert_true(floats[0] == 7 && floats[1] == -8 && floats[2] == 1);
        backend->zero(backend, memory, 12);
        backend->download(backend, floats, DIPP_HOST_F32, memory, DIPP_INT32, 3);
        assert_true(floats[0] == 0 && floats[2] == 0);
        backend->release(backend, memory);
        dipp_backend_destroy(&backend);
    }
}

static void leaves_and_views_have_no_kernel(void **state)
{
    dipp_backend *backend = create("reference", "f64", 0);
    for (int op = 0; op < DIPP_OP_COUNT; op++) {
        dipp_node_view node = {.op = (dipp_op)op, .attributes = &(dipp_attributes){.heads = 1}};
        node.inputs[0].shape = node.inputs[1].shape = node.outputs[0].shape = DIPP_SHAPE(1, 1, 1);
        dipp_kernel kernel = {0};
        dipp_error error = {0};
        assert_true(backend->supports(backend, &node));
        dipp_status status = backend->prepare(backend, &node, &kernel, &error);
        assert_int_equal(status, op_has_kernel((dipp_op)op) ? DIPP_OK : DIPP_E_UNSUPPORTED);
        if (status == DIPP_OK)
            kernel.destroy(kernel.state);
        else
            assert_non_null(strstr(error.message, op_name((dipp_op)op)));
    }
    dipp_backend_destroy(&backend);
}

static void null_backend_has_a_limit_and_no_memory_behind_it(void **state)
{
    dipp_backend *backend = create("null", NULL, (size_t)1 << 40);
    void *first = backend->allocate(backend, (size_t)1 << 39), *second = backend->allocate(backend, (size_t)1 << 39);
    assert_non_null(first);
    assert_non_null(second);
    assert_null(backend->allocate(backend, 1));
    backend->release(backend, first);
    void *third = backend->allocate(backend, 100);
    assert_non_null(third);
    float numbers[2] = {1, 1};
    backend->download(backend, numbers, DIPP_HOST_F32, third, DIPP_COMPUTE, 2);
    assert_true(numbers[0] == 0 && numbers[1] == 0);
    dipp_backend_destroy(&backend); /* releases the rest */
}

/* ---- The suite must see each of these faults, put into the f32 reference. ---- */

typedef enum fault {
    NO_FAULT,
    WRITES_BEHIND,      /* one byte after the first output */
    WRITES_INPUT,       /* changes the first input */
    FORGETS_AN_ELEMENT, /* leaves the last element of the first output as it was */
    REMEMBERS_ARGS,     /* uses the arguments of the first run for ever */
    COUNTS_RUNS,        /* adds a little in every run */
    SLIGHTLY_WRONG,     /* the first element is off by a ten thousandth */
    USES_NULL           /* does not look whether the last output is wanted */
} fault;

typedef struct faulty_state {
    dipp_kernel inner;
    dipp_node_view view;
    void *args[OP_OPERANDS];
    int runs;
} faulty_state;

static fault planted;
static dipp_status (*sound_prepare)(dipp_backend *, const dipp_node_view *, dipp_kernel *, dipp_error *);

static void faulty_run(void *pointer, void *const *args)
{
    faulty_state *s = pointer;
    uint32_t out = s->view.input_count, last = out + s->view.output_count - 1;
    int64_t elements = op_elements(&s->view.outputs[0]);
    void *local[OP_OPERANDS];
    memcpy(local, args, (last + 2) * sizeof *local);
    if (planted == REMEMBERS_ARGS) {
        if (s->runs == 0)
            memcpy(s->args, args, (last + 2) * sizeof *args);
        memcpy(local, s->args, sizeof local);
    }
    float *y = local[out], *x = local[0], kept = y && elements ? y[elements - 1] : 0;
    if (planted == USES_NULL && !local[last]) {
        if (y)
            y[0] = 12345; /* where a stray write would go, were it not to crash */
        return;
    }
    s->inner.run(s->inner.state, local);
    s->runs++;
    if (!y)
        return;
    switch (planted) {
    case WRITES_BEHIND: ((char *)y)[elements * 4] = 0; break;
    case WRITES_INPUT: x[0] += 1; break;
    case FORGETS_AN_ELEMENT: y[elements - 1] = kept; break;
    case COUNTS_RUNS: y[0] *= 1 + 1e-7f * (float)s->runs; break;
    case SLIGHTLY_WRONG: y[0] *= 1.0001f; break;
    default: break;
    }
}

static void faulty_destroy(void *pointer)
{
    faulty_state *s = pointer;
    s->inner.destroy(s->inner.state);
    free(s);
}

static dipp_status faulty_prepare(dipp_backend *backend, const dipp_node_view *node, dipp_kernel *out,
                                  dipp_error *error)
{
    faulty_state *s = calloc(1, sizeof *s);
    assert_non_null(s);
    assert_int_equal(sound_prepare(backend, node, &s->inner, error), DIPP_OK);
    s->view = *node;
    *out = (dipp_kernel){faulty_run, faulty_destroy, s, s->inner.scratch_bytes};
    return DIPP_OK;
}

static size_t failures_of(dipp_op op, fault fault_planted)
{
    dipp_backend *exact = create("reference", "f64", 0), *faulty = create("reference", "f32", 0);
    op_case_list first = op_cases_generate(op, 0, false, exact), second = op_cases_generate(op, 1, false, exact);
    op_report report = {0};
    planted = fault_planted;
    sound_prepare = faulty->prepare;
    faulty->prepare = faulty_prepare;
    for (size_t k = 0; k < first.count; k++)
        op_check(faulty, exact, first.cases[k], second.cases[k], &report);
    op_cases_free(&first);
    op_cases_free(&second);
    dipp_backend_destroy(&exact);
    dipp_backend_destroy(&faulty);
    return report.failures;
}

static void the_suite_sees_planted_faults(void **state)
{
    for (fault f = WRITES_BEHIND; f < USES_NULL; f++) {
        if (!failures_of(DIPP_OP_SOFTMAX, f))
            fail_msg("fault %d passed softmax", f);
        if (!failures_of(DIPP_OP_MATMUL, f))
            fail_msg("fault %d passed matmul", f);
    }
    assert_true(failures_of(DIPP_OP_LAYER_NORM, USES_NULL) > 0);
    assert_int_equal(failures_of(DIPP_OP_LAYER_NORM, NO_FAULT), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_precisions),
        cmocka_unit_test(a_back_end_can_forgo_memory),
        cmocka_unit_test(what_cannot_be_had_says_why),
        cmocka_unit_test(memory_is_counted),
        cmocka_unit_test(options_of_an_older_caller_are_cut),
        cmocka_unit_test(numbers_go_in_and_out),
        cmocka_unit_test(leaves_and_views_have_no_kernel),
        cmocka_unit_test(null_backend_has_a_limit_and_no_memory_behind_it),
        cmocka_unit_test(the_suite_sees_planted_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
