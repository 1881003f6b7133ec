/* Loading back-ends from shared objects: what is said when something is missing or does not fit. argv: a module that
 * fits, one of another ABI, a shared object that is no module; then the cuda module of this build, when there is one. */
#include "backend/module.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static const char *good, *other, *stranger, *cuda;

static void assert_says(const dipp_error *error, const char *text)
{
    if (!strstr(error->message, text))
        fail_msg("\"%s\" does not say \"%s\"", error->message, text);
}

static void no_file(void **state)
{
    const char *const paths[] = {"/nowhere/backend_cuda.so", "/nowhere/dipp/backend_cuda.so"};
    dipp_backend *backend = NULL;
    dipp_error error = {0};
    assert_int_equal(dipp_backend_module_create_from("cuda", paths, 2, NULL, &backend, &error), DIPP_E_UNSUPPORTED);
    assert_says(&error, "back-end 'cuda' is not in this installation");
    assert_says(&error, "none of /nowhere/backend_cuda.so, /nowhere/dipp/backend_cuda.so exists");
    assert_says(&error, "-Ddevice_cuda=enabled");
    assert_null(backend);
}

static void not_a_library(void **state)
{
    const char *path = "/proc/self/status"; /* there, and not an object file */
    dipp_backend *backend = NULL;
    dipp_error error = {0};
    assert_int_equal(dipp_backend_module_create_from("cuda", &path, 1, NULL, &backend, &error), DIPP_E_UNSUPPORTED);
    assert_says(&error, "/proc/self/status cannot be loaded");
    assert_says(&error, "LD_LIBRARY_PATH");
}

static void not_a_module(void **state)
{
    dipp_backend *backend = NULL;
    dipp_error error = {0};
    assert_int_equal(dipp_backend_module_create_from("cuda", &stranger, 1, NULL, &backend, &error), DIPP_E_UNSUPPORTED);
    assert_says(&error, "is no back-end of dipp");
}

static void another_abi(void **state)
{
    dipp_backend *backend = NULL;
    dipp_error error = {0};
    char have[64], want[64];
    snprintf(have, sizeof have, "it has module ABI %d, %d ops", DIPP_BACKEND_MODULE_ABI, DIPP_OP_COUNT - 1);
    snprintf(want, sizeof want, "this libdipp has %d, %d", DIPP_BACKEND_MODULE_ABI, DIPP_OP_COUNT);
    assert_int_equal(dipp_backend_module_create_from("cuda", &other, 1, NULL, &backend, &error), DIPP_E_UNSUPPORTED);
    assert_says(&error, "was built for another libdipp");
    assert_says(&error, have);
    assert_says(&error, want);
    assert_null(backend);
}

/* The first file that exists is taken, and the options reach it. */
static void one_that_fits(void **state)
{
    const char *const paths[] = {"/nowhere/backend_cuda.so", good};
    dipp_backend_options options = {sizeof options, .precision = "bf16"};
    dipp_backend *backend = NULL;
    dipp_error error = {0};
    if (dipp_backend_module_create_from("cuda", paths, 2, &options, &backend, &error) != DIPP_OK)
        fail_msg("%s", error.message);
    assert_string_equal(backend->precision, "bf16");
    dipp_backend_destroy(&backend);
}

/* The module of this build where there is no GPU; where there is one, it opens. */
static void the_cuda_module(void **state)
{
    if (!cuda) {
        dipp_backend *backend = NULL;
        dipp_error error = {0};
        assert_int_equal(dipp_backend_create("cuda", NULL, &backend, &error), DIPP_E_UNSUPPORTED);
        assert_says(&error, "is not in this installation");
        return;
    }
    dipp_backend_options options = {sizeof options, .precision = "f64"};
    dipp_backend *backend = NULL;
    dipp_error error = {0};
    assert_int_equal(dipp_backend_module_create_from("cuda", &cuda, 1, &options, &backend, &error), DIPP_E_UNSUPPORTED);
    assert_says(&error, "precision 'f64' is not available; choose auto, f32 or bf16");
    dipp_status status = dipp_backend_create("cuda", NULL, &backend, &error);
    if (status == DIPP_OK) {
        dipp_backend_destroy(&backend);
        return;
    }
    assert_int_equal(status, DIPP_E_UNSUPPORTED);
    assert_says(&error, "cuda back-end: ");
    assert_says(&error, "use device 'cpu'");
    assert_null(backend);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_file),     cmocka_unit_test(not_a_library), cmocka_unit_test(not_a_module),
        cmocka_unit_test(another_abi), cmocka_unit_test(one_that_fits), cmocka_unit_test(the_cuda_module),
    };
    if (argc < 4)
        return 2;
    good = argv[1], other = argv[2], stranger = argv[3], cuda = argc > 4 ? argv[4] : NULL;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
