#include "catalog.h"
#include "base/memory.h"
#include "experiment/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static const char *const colours[] = {"red", "green", "blue", NULL};

static const dipp_parameter table[] = {
    {"flag", DIPP_TYPE_BOOL, "false", 0, 0, NULL, NULL, 0, "A flag."},
    {"count", DIPP_TYPE_INT, "3", 1, 10, NULL, "pieces", 0, "A count."},
    {"rate", DIPP_TYPE_FLOAT, "1e-3", 0, INFINITY, NULL, NULL, 0, "A rate."},
    {"colour", DIPP_TYPE_ENUM, "red", 0, 0, colours, NULL, 0, "A colour."},
    {"label", DIPP_TYPE_STRING, "", 0, 0, NULL, NULL, 0, "A label."},
    {"file", DIPP_TYPE_PATH, NULL, 0, 0, NULL, NULL, DIPP_PARAMETER_OPTIONAL, "A file."},
    {"matrix", DIPP_TYPE_FLOAT_LIST, "[[1, 0], [0, 1]]", -5, 5, NULL, NULL, 0, "A matrix."},
    {"sizes", DIPP_TYPE_INT_LIST, "[1, 2, 3]", 0, 9, NULL, NULL, 0, "Sizes."},
    {"words", DIPP_TYPE_STRING_LIST, "[]", 0, 0, NULL, NULL, 0, "Words."},
};
enum { ROWS = sizeof table / sizeof *table };

static void defaults_are_filled_in(void **state)
{
    (void)state;
    dipp_parameters *p = NULL;
    dipp_error error = {0};
    assert_int_equal(dipp_parameters_create_from_text(table, ROWS, NULL, 0, &p, &error), DIPP_OK);
    assert_false(dipp_parameters_bool(p, "flag"));
    assert_int_equal(dipp_parameters_int(p, "count"), 3);
    assert_true(dipp_parameters_float(p, "rate") == 1e-3);
    assert_true(dipp_parameters_float(p, "count") == 3.0);
    assert_string_equal(dipp_parameters_string(p, "colour"), "red");
    assert_string_equal(dipp_parameters_string(p, "label"), "");
    assert_false(dipp_parameters_has(p, "file"));
    assert_true(dipp_parameters_has(p, "label"));
    assert_null(dipp_parameters_string(p, "file"));
    size_t count, rows, columns;
    const double *matrix = dipp_parameters_floats(p, "matrix", &count);
    dipp_parameters_list_shape(p, "matrix", &rows, &columns);
    assert_int_equal(count, 4);
    assert_int_equal(rows, 2);
    assert_int_equal(columns, 2);
    assert_true(matrix[0] == 1 && matrix[1] == 0 && matrix[2] == 0 && matrix[3] == 1);
    const int64_t *sizes = dipp_parameters_ints(p, "sizes", &count);
    assert_true(count == 3 && sizes[2] == 3);
    dipp_parameters_strings(p, "words", &count);
    assert_int_equal(count, 0);
    dipp_parameters_destroy(&p);
    assert_null(p);
    dipp_parameters_destroy(&p);
}

static void given_values_are_typed(void **state)
{
    (void)state;
    const char *const given[] = {"flag=true",          "count=10",    "rate=2",
                                 "colour=blue",        "label='010'", "file=a/b",
                                 "matrix=[1, 2.5, 3]", "sizes=[0x9]", "words=[a, 'b c', \"1\"]"};
    dipp_parameters *p = NULL;
    dipp_error error = {0};
    if (dipp_parameters_create_from_text(table, ROWS, given, 9, &p, &error) != DIPP_OK)
        fail_msg("%s", error.message);
    assert_true(dipp_parameters_bool(p, "flag"));
    assert_true(dipp_parameters_float(p, "rate") == 2.0);
    assert_string_equal(dipp_parameters_string(p, "colour"), "blue");
    assert_string_equal(dipp_parameters_string(p, "label"), "010");
    assert_string_equal(dipp_parameters_string(p, "file"), "a/b");
    size_t count, rows, columns;
    const double *values = dipp_parameters_floats(p, "matrix", &count);
    dipp_parameters_list_shape(p, "matrix", &rows, &columns);
    assert_true(rows == 1 && columns == 3 && values[1] == 2.5 && values[2] == 3);
    const char *const *words = dipp_parameters_strings(p, "words", &count);
    assert_int_equal(count, 3);
    assert_string_equal(words[1], "b c");
    assert_int_equal(dipp_parameters_ints(p, "sizes", NULL)[0], 9);
    dipp_parameters_destroy(&p);
}

static void matrices_per_component_are_flattened(void **state)
{
    (void)state;
    const char *const given[] = {"means=[[0,1],[2,3],[4,5]]",
                                 "covariances=[[[1,2],[3,4]],[[5,6],[7,8]],[[9,10],[11,12]]]"};
    dipp_parameters *p = NULL;
    dipp_error error = {0};
    assert_int_equal(dipp_parameters_create_from_text(test_mixture, 4, given, 2, &p, &error), DIPP_OK);
    size_t count, rows, columns;
    const double *values = dipp_parameters_floats(p, "covariances", &count);
    dipp_parameters_list_shape(p, "covariances", &rows, &columns);
    assert_true(count == 12 && rows == 6 && columns == 2);
    for (int i = 0; i < 12; i++)
        assert_true(values[i] == i + 1);
    dipp_parameters_destroy(&p);
}

static void wrong_questions_give_zero(void **state)
{
    (void)state;
    dipp_parameters *p = NULL;
    assert_int_equal(dipp_parameters_create_from_text(table, ROWS, NULL, 0, &p, NULL), DIPP_OK);
    size_t count = 7;
    assert_false(dipp_parameters_has(p, "none"));
    assert_int_equal(dipp_parameters_int(p, "rate"), 0);
    assert_true(dipp_parameters_float(p, "colour") == 0);
    assert_null(dipp_parameters_string(p, "count"));
    assert_null(dipp_parameters_floats(p, "sizes", &count));
    assert_int_equal(count, 0);
    assert_false(dipp_parameters_bool(NULL, "flag"));
    dipp_parameters_destroy(&p);
}

static void wrong_values_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *given, *words;
    } cases[] = {{"count=0", "a whole number in [1, 10] (pieces)"},
                 {"count=2.5", "`2.5` does not fit"},
                 {"count=1.5x", "other characters behind it"},
                 {"count=010", "leading zero"},
                 {"count=", "null does not fit"},
                 {"count=[1]", "a list does not fit"},
                 {"rate=-1", "a number of at least 0"},
                 {"rate=.nan", "must be finite"},
                 {"rate='1'", "remove the quotes"},
                 {"flag=1", "true or false"},
                 {"flag=on", "write true or false"},
                 {"colour=rde", "did you mean `red`?"},
                 {"label=5", "put it in quotes"},
                 {"file=''", "a path"},
                 {"matrix=[[1, 2], [3]]", "a row of 1 numbers after rows of 2"},
                 {"matrix=[[1, 2], 3]", "rows of equal length"},
                 {"matrix=[1, 9]", "in [-5, 5]"},
                 {"matrix=[1, [2]]", "a list does not fit"},
                 {"matrix=[[[[1]]]]", "a list does not fit"},
                 {"matrix=3", "put the values into [ ]"},
                 {"sizes=[1, 2.5]", "a list of whole numbers"},
                 {"words=[a, 1]", "put it in quotes"},
                 {"words=[a, [b]]", "a list does not fit"},
                 {"cuont=3", "did you mean `count`?"},
                 {"count", "not an assignment"},
                 {"count=[", "did not find expected node content"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dipp_parameters *p = NULL;
        dipp_error error = {0};
        assert_int_equal(dipp_parameters_create_from_text(table, ROWS, &cases[i].given, 1, &p, &error), DIPP_E_INVALID);
        assert_null(p);
        if (!strstr(error.message, cases[i].words))
            fail_msg("%s: wanted `%s` in:\n%s", cases[i].given, cases[i].words, error.message);
    }
    const char *const twice[] = {"count=3", "count=4"};
    dipp_parameters *p = NULL;
    dipp_error error = {0};
    assert_int_equal(dipp_parameters_create_from_text(table, ROWS, twice, 2, &p, &error), DIPP_E_INVALID);
    assert_non_null(strstr(error.message, "`count` is given twice"));
    assert_int_equal(dipp_parameters_create_from_text(test_mixture, 4, NULL, 0, &p, &error), DIPP_E_INVALID);
    assert_non_null(strstr(error.message, "`means` is missing"));
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    const char *const given[] = {"matrix=[[1, 2], [3, 4]]", "words=[a]"};
    for (uint64_t nth = 1;; nth++) {
        dipp_parameters *p = NULL;
        dipp_memory_fail_nth(nth, false);
        dipp_status status = dipp_parameters_create_from_text(table, ROWS, given, 2, &p, NULL);
        bool failed = dipp_memory_has_failed();
        dipp_memory_fail_nth(0, false);
        assert_true(status == DIPP_OK || status == DIPP_E_MEMORY);
        dipp_parameters_destroy(&p);
        if (!failed)
            break;
    }
}

static void the_tables_are_sound(void **state)
{
    (void)state;
    dipp_schema_context context = {.arena = dipp_arena_create(0), .diagnostics = dipp_diagnostics_create()};
    assert_null(dipp_schema_table_fault(&context, table, ROWS));
    size_t count;
    const dipp_row *rows = dipp_experiment_table(&count);
    for (size_t i = 0; i < count; i++) {
        assert_non_null(rows[i].parameter.help);
        dipp_parameter undotted = rows[i].parameter;
        undotted.key = "key";
        const char *wrong = undotted.type ? dipp_schema_table_fault(&context, &undotted, 1) : NULL;
        if (wrong)
            fail_msg("%s: %s", rows[i].parameter.key, wrong);
        assert_ptr_equal(dipp_experiment_row(rows[i].parameter.key), &rows[i]);
        const char *when = rows[i].when;
        if (!when)
            continue;
        char key[64];
        when += *when == '!';
        snprintf(key, sizeof key, "%.*s", (int)strcspn(when, "="), when);
        const dipp_row *controller = dipp_experiment_row(key);
        if (!controller || controller >= &rows[i] || strcmp(controller->parameter.key, key))
            fail_msg("%s hangs on `%s`, which is not above it", rows[i].parameter.key, key);
    }
    static const dipp_parameter wrong[] = {
        {"a", DIPP_TYPE_INT, NULL, 0, 0, NULL, NULL, 0, "No default."},
        {"a", DIPP_TYPE_INT, "x", 0, 0, NULL, NULL, 0, "Not a number."},
        {"a", DIPP_TYPE_INT, "5", 0, 4, NULL, NULL, 0, "Out of range."},
        {"a", DIPP_TYPE_ENUM, "x", 0, 0, NULL, NULL, 0, "No choices."},
        {"a", DIPP_TYPE_ENUM, "x", 0, 0, colours, NULL, 0, "Not a choice."},
        {"a", DIPP_TYPE_INT, "5", 0, 0, NULL, NULL, 0, NULL},
        {"a b", DIPP_TYPE_INT, "5", 0, 0, NULL, NULL, 0, "A blank."},
        {"a", 77, "5", 0, 0, NULL, NULL, 0, "A type."},
        {"a", DIPP_TYPE_INT, "5", 3, 2, NULL, NULL, 0, "A range."},
        {"a", DIPP_TYPE_INT, "5", 0, 0, NULL, NULL, DIPP_PARAMETER_REQUIRED, "Both."},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_non_null(dipp_schema_table_fault(&context, &wrong[i], 1));
    const dipp_parameter same[] = {table[0], table[0]};
    assert_non_null(dipp_schema_table_fault(&context, same, 2));
    dipp_diagnostics_destroy(&context.diagnostics);
    dipp_arena_destroy(&context.arena);
}

static void the_table_can_be_shown(void **state)
{
    (void)state;
    dipp_text text = {0};
    dipp_experiment_table_write(&text, "align.ta.");
    assert_non_null(strstr(text.data, "align.ta.updates"));
    assert_non_null(strstr(text.data, "a whole number in [0, 1000] (per iteration), default 1"));
    assert_null(strstr(text.data, "evaluate"));
    dipp_text_discard(&text);
    assert_non_null(dipp_experiment_row("rewards[12].scale"));
    assert_non_null(dipp_experiment_row("rewards[0].params.color"));
    assert_non_null(dipp_experiment_row("align.ta"));
    assert_null(dipp_experiment_row("align.tb"));
    assert_null(dipp_experiment_row("rewards[0].scales"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_filled_in),
        cmocka_unit_test(given_values_are_typed),
        cmocka_unit_test(matrices_per_component_are_flattened),
        cmocka_unit_test(wrong_questions_give_zero),
        cmocka_unit_test(wrong_values_are_refused),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(the_tables_are_sound),
        cmocka_unit_test(the_table_can_be_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
