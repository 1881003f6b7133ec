/* What a person is told about a bad experiment, word by word: golden/NAME.yaml against golden/NAME.txt. */
#include "catalog.h"
#include "base/file.h"
#include "base/memory.h"
#include "experiment/experiment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static void compare(const char *name, size_t errors, const char *const *overrides, size_t count)
{
    char path[64], expected_path[64];
    snprintf(path, sizeof path, "golden/%s.yaml", name);
    snprintf(expected_path, sizeof expected_path, "golden/%s.txt", name);
    dipp_diagnostics *diagnostics = dipp_diagnostics_create();
    dipp_experiment *experiment = NULL;
    dipp_error error = {0};
    assert_int_equal(dipp_experiment_load(path, overrides, count, &test_catalog, diagnostics, &experiment, &error),
                     DIPP_E_INVALID);
    assert_null(experiment);
    char *expected = NULL;
    assert_int_equal(dipp_file_read(expected_path, 1 << 20, &expected, NULL, &error), DIPP_OK);
    assert_string_equal(dipp_diagnostics_text(diagnostics), expected);
    assert_int_equal(dipp_diagnostics_errors(diagnostics), errors);
    dipp_release(expected);
    dipp_diagnostics_destroy(&diagnostics);
}

static void wrong_values(void **state)
{
    (void)state;
    compare("values", 21, NULL, 0);
}

static void wrong_syntax(void **state)
{
    (void)state;
    compare("syntax", 1, NULL, 0);
    compare("tab", 1, NULL, 0);
}

static void wrong_structure(void **state)
{
    (void)state;
    compare("structure", 9, NULL, 0);
}

static void wrong_matrix(void **state)
{
    (void)state;
    compare("matrix", 16, NULL, 0);
}

static void files_that_extend_each_other(void **state)
{
    (void)state;
    compare("cycle_a", 2, NULL, 0);
}

static void wrong_overrides(void **state)
{
    (void)state;
    const char *const overrides[] = {"align.stepz=3", "foo", "align.batch=[", "~align.nope",       "arms.none=3",
                                     "extends=x",     "=3",  "align.steps=",  "rewards[7].scale=3"};
    compare("overrides", 9, overrides, sizeof overrides / sizeof *overrides);
}

static void the_first_fault_and_the_count_are_in_the_error(void **state)
{
    (void)state;
    dipp_diagnostics *diagnostics = dipp_diagnostics_create();
    dipp_experiment *experiment = NULL;
    dipp_error error = {0};
    const char text[] = "name: x\nseedz: 3\nreference: {plugin: dit}\ngenerator: {plugin: broken}\n";
    assert_int_equal(dipp_experiment_parse("e.yaml", text, sizeof text - 1, NULL, 0, &test_catalog, diagnostics,
                                           &experiment, &error),
                     DIPP_E_INVALID);
    assert_string_equal(error.message, "e.yaml: 2 errors, the first: e.yaml:2:1: unknown key `seedz`");
    assert_non_null(
        strstr(dipp_diagnostics_text(diagnostics), "generator plugin `broken`: built for ABI 7, this is ABI 1"));
    dipp_diagnostics_destroy(&diagnostics);
}

static void long_lines_and_many_faults_stay_readable(void **state)
{
    (void)state;
    char text[20000], *end = text;
    end += sprintf(end, "name: x\nreference: {plugin: dit}\ngenerator: {plugin: dit}\n");
    for (int i = 0; i < 80; i++)
        end += sprintf(end, "unknown%d: 3\n", i);
    end += sprintf(end, "align: {steps: %*s, batch: no}\n", 3000, "5");
    dipp_diagnostics *diagnostics = dipp_diagnostics_create();
    dipp_experiment *experiment = NULL;
    assert_int_equal(dipp_experiment_parse("e.yaml", text, (size_t)(end - text), NULL, 0, &test_catalog, diagnostics,
                                           &experiment, NULL),
                     DIPP_E_INVALID);
    assert_int_equal(dipp_diagnostics_errors(diagnostics), 81);
    const char *said = dipp_diagnostics_text(diagnostics);
    assert_non_null(strstr(said, "\nand 31 more\n"));
    for (const char *line = said; *line; line += strcspn(line, "\n") + 1)
        assert_true(strcspn(line, "\n") < 300);
    dipp_diagnostics_destroy(&diagnostics);
}

static void terminal_escapes_in_a_file_do_not_reach_the_terminal(void **state)
{
    (void)state;
    const char text[] = "name: x\nstage: \"\\x1b[2Jbad\"\nre\xc2\x9bx: 1\n";
    dipp_diagnostics *diagnostics = dipp_diagnostics_create();
    dipp_experiment *experiment = NULL;
    assert_int_equal(
        dipp_experiment_parse("e.yaml", text, sizeof text - 1, NULL, 0, &test_catalog, diagnostics, &experiment, NULL),
        DIPP_E_INVALID);
    const char *said = dipp_diagnostics_text(diagnostics);
    assert_null(strchr(said, 0x1b));
    assert_null(strstr(said, "\xc2\x9b"));
    dipp_diagnostics_destroy(&diagnostics);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_values),
        cmocka_unit_test(wrong_syntax),
        cmocka_unit_test(wrong_structure),
        cmocka_unit_test(wrong_matrix),
        cmocka_unit_test(files_that_extend_each_other),
        cmocka_unit_test(wrong_overrides),
        cmocka_unit_test(the_first_fault_and_the_count_are_in_the_error),
        cmocka_unit_test(long_lines_and_many_faults_stay_readable),
        cmocka_unit_test(terminal_escapes_in_a_file_do_not_reach_the_terminal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
