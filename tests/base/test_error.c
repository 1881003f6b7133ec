#include <dipp/status.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void fail_fills_the_callers_error(void **state)
{
    (void)state;
    dipp_error error = {0};
    assert_int_equal(dipp_fail(&error, DIPP_E_IO, "open %s", "x.yaml"), DIPP_E_IO);
    assert_int_equal(error.code, DIPP_E_IO);
    assert_string_equal(error.message, "open x.yaml");
    assert_int_equal(dipp_fail(NULL, DIPP_E_IO, "no text wanted"), DIPP_E_IO);
}

static void context_goes_before_the_message(void **state)
{
    (void)state;
    dipp_error error = {0};
    dipp_fail(&error, DIPP_E_FORMAT, "bad header");
    assert_int_equal(dipp_error_context(&error, "%s", "weights/a.safetensors"), DIPP_E_FORMAT);
    assert_string_equal(error.message, "weights/a.safetensors: bad header");
}

static void long_messages_are_cut_and_terminated(void **state)
{
    (void)state;
    dipp_error error = {0};
    char text[3 * DIPP_ERROR_MESSAGE_BYTES];
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = 0;
    dipp_fail(&error, DIPP_E_IO, "%s", text);
    assert_int_equal(strlen(error.message), sizeof error.message - 1);
    dipp_error_context(&error, "%s", text);
    assert_int_equal(strlen(error.message), sizeof error.message - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fail_fills_the_callers_error),
        cmocka_unit_test(context_goes_before_the_message),
        cmocka_unit_test(long_messages_are_cut_and_terminated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
