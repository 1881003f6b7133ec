#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/philox.h"
#include "base/text.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void text_grows_and_is_handed_over(void **state)
{
    (void)state;
    dipp_text text = {0};
    for (int i = 0; i < 500; i++)
        dipp_text_printf(&text, "%d,", i % 10);
    dipp_text_append(&text, "end");
    dipp_text_append_n(&text, "abc", 2);
    dipp_text_append_double(&text, 0.1);
    char *out = dipp_text_finish(&text);
    assert_int_equal(strlen(out), 1000 + 3 + 2 + 3);
    assert_string_equal(out + 1000, "endab0.1");
    dipp_release(out);
    out = dipp_text_finish(&text);
    assert_string_equal(out, "");
    dipp_release(out);
}

static void a_failed_append_is_told_once_at_the_end(void **state)
{
    (void)state;
    int refused = 0;
    for (uint64_t nth = 1; nth < 10; nth++) {
        dipp_text text = {0};
        dipp_memory_fail_nth(nth, false);
        for (int i = 0; i < 20; i++)
            dipp_text_printf(&text, "line %d\n", i);
        char *out = dipp_text_finish(&text);
        assert_true(dipp_memory_has_failed() == !out);
        dipp_memory_fail_nth(0, false);
        refused += !out;
        assert_null(text.data);
        dipp_release(out);
    }
    assert_in_range(refused, 3, 8);
}

static void doubles_read_back_and_are_short(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *text;
    } cases[] = {{0.1, "0.1"},
                 {120, "120"},
                 {5e-5, "5e-05"},
                 {1e-4, "0.0001"},
                 {0.00123, "0.00123"},
                 {-2.5, "-2.5"},
                 {1e15, "1000000000000000"},
                 {1e16, "1e+16"},
                 {1.5e300, "1.5e+300"},
                 {123456789.125, "123456789.125"},
                 {1.0 / 3, "0.3333333333333333"},
                 {0.0, "0"},
                 {-0.0, "-0"},
                 {INFINITY, "inf"},
                 {-INFINITY, "-inf"},
                 {5e-324, "5e-324"},
                 {1.7976931348623157e308, "1.7976931348623157e+308"},
                 {-2.2250738585072014e-308, "-2.2250738585072014e-308"}};
    char out[DIPP_DOUBLE_TEXT_BYTES];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_string_equal(dipp_format_double(cases[i].value, out), cases[i].text);
    assert_string_equal(dipp_format_double(NAN, out), "nan");
    for (uint32_t i = 0; i < 50000; i++) {
        uint32_t words[4], counter[4] = {i}, key[2] = {7};
        dipp_philox4x32(key, counter, words);
        double value, back;
        memcpy(&value, words, sizeof value);
        if (!isfinite(value))
            continue;
        assert_true(dipp_parse_double(dipp_format_double(value, out), &back));
        assert_memory_equal(&value, &back, sizeof value);
        assert_true(strlen(out) < sizeof out);
    }
}

static void only_whole_decimal_numbers_are_read(void **state)
{
    (void)state;
    double value = 77;
    static const char *const refused[] = {"",     " 1",   "1 ",  "0x10", "1e999", "-",        ".",  "1.2.3",
                                          "1e5e", "inf ", "NaN", "1,5",  "--1",   "infinity", "e5", "1f"};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        assert_false(dipp_parse_double(refused[i], &value));
    assert_true(value == 77);
    assert_true(dipp_parse_double("+5.0e-5", &value) && value == 5e-5);
    assert_true(dipp_parse_double(".5", &value) && value == 0.5);
    assert_true(dipp_parse_double("-inf", &value) && value == -INFINITY);
    assert_true(dipp_parse_double("nan", &value) && isnan(value));
}

static void distances_between_words(void **state)
{
    (void)state;
    assert_int_equal(dipp_edit_distance("kitten", "sitting"), 3);
    assert_int_equal(dipp_edit_distance("", "abc"), 3);
    assert_int_equal(dipp_edit_distance("abc", ""), 3);
    assert_int_equal(dipp_edit_distance("same", "same"), 0);
    assert_int_equal(dipp_edit_distance("setps", "steps"), 1);
    assert_int_equal(dipp_edit_distance("ca", "abc"), 3);
    char giant[301];
    memset(giant, 'x', 300);
    giant[300] = 0;
    assert_int_equal(dipp_edit_distance(giant, "x"), 300);
    assert_int_equal(dipp_edit_distance(giant, giant), 0);
    static const char *const keys[] = {"steps", "batch", "cfg_omega", "lr"};
    assert_string_equal(dipp_nearest_word("setps", keys, 4), "steps");
    assert_string_equal(dipp_nearest_word("cfg_omgea", keys, 4), "cfg_omega");
    assert_string_equal(dipp_nearest_word("ls", keys, 4), "lr");
    assert_null(dipp_nearest_word("optimizer", keys, 4));
    assert_null(dipp_nearest_word("steps", keys, 0));
}

static void clocks_and_their_text(void **state)
{
    (void)state;
    char out[DIPP_TIME_TEXT_BYTES];
    assert_string_equal(dipp_clock_text(0, out), "1970-01-01T00:00:00.000Z");
    assert_string_equal(dipp_clock_text(951782400.9996, out), "2000-02-29T00:00:01.000Z");
    assert_string_equal(dipp_clock_text(-0.25, out), "1969-12-31T23:59:59.750Z");
    assert_string_equal(dipp_clock_text(NAN, out), "invalid time");
    assert_string_equal(dipp_clock_text(1e300, out), "invalid time");
    uint64_t first = dipp_clock_monotonic_ns();
    assert_true(dipp_clock_monotonic_ns() >= first);
    assert_true(dipp_clock_wall_seconds() > 1.7e9);
}

static void keep(void *user, dipp_log_level level, const char *message)
{
    dipp_text_printf(user, "[%s] %s\n", dipp_log_level_name(level), message);
}

static void messages_below_the_level_are_dropped(void **state)
{
    (void)state;
    dipp_text text = {0};
    dipp_log log = {DIPP_LOG_INFO, keep, &text};
    dipp_log_message(&log, DIPP_LOG_DEBUG, "unseen");
    dipp_log_message(&log, DIPP_LOG_INFO, "step %d", 3);
    dipp_log_message(&log, DIPP_LOG_ERROR, "stopped");
    dipp_log_message(NULL, DIPP_LOG_ERROR, "nobody listens");
    char *out = dipp_text_finish(&text);
    assert_string_equal(out, "[info] step 3\n[error] stopped\n");
    dipp_release(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_grows_and_is_handed_over),
        cmocka_unit_test(a_failed_append_is_told_once_at_the_end),
        cmocka_unit_test(doubles_read_back_and_are_short),
        cmocka_unit_test(only_whole_decimal_numbers_are_read),
        cmocka_unit_test(distances_between_words),
        cmocka_unit_test(clocks_and_their_text),
        cmocka_unit_test(messages_below_the_level_are_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
