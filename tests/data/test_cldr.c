#include "base/file.h"
#include "base/memory.h"
#include "data/cldr.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static const char annotations[] =
    "<ldml><annotations>\n"
    "<annotation cp=\"\xf0\x9f\x8d\x8e\">fruit | red &amp; round</annotation>\n"
    "<annotation cp=\"\xf0\x9f\x8d\x8e\" type=\"tts\">red apple</annotation>\n"
    "<annotation cp=\"\xf0\x9f\x8d\x8e\xf0\x9f\x8d\x8e\" type=\"tts\">a sequence</annotation>\n"
    "<annotation cp=\"\xf0\x9f\x90\x80\" type=\"tts\">rat</annotation>\n"
    "<annotation cp=\"\xf0\x9f\x90\x81\">no name</annotation>\n"
    "</annotations></ldml>\n";
static const char labels[] =
    "# comment\n[\xf0\x9f\x8d\x8d-\xf0\x9f\x8d\x8f{\xf0\x9f\x90\x80x}] ; Food & Drink\t;\tfood-fruit\n";

static dipp_status create(const char *xml, const char *text, dipp_cldr **table, dipp_error *error)
{
    char folder[] = "/tmp/dipp-cldr-XXXXXX", first[64], second[64];
    assert_non_null(mkdtemp(folder));
    snprintf(first, sizeof first, "%s/en.xml", folder);
    snprintf(second, sizeof second, "%s/labels.txt", folder);
    assert_int_equal(dipp_file_write_atomic(first, xml, strlen(xml), NULL), DIPP_OK);
    assert_int_equal(dipp_file_write_atomic(second, text, strlen(text), NULL), DIPP_OK);
    dipp_status status = dipp_cldr_create(first, second, table, error);
    unlink(first);
    unlink(second);
    rmdir(folder);
    return status;
}

static void names_keywords_and_groups_are_read(void **state)
{
    (void)state;
    dipp_cldr *table = NULL;
    dipp_error error = {0};
    assert_int_equal(create(annotations, labels, &table, &error), DIPP_OK);
    assert_int_equal(table->count, 2);
    const dipp_cldr_entry *apple = dipp_cldr_find(table, 0x1F34E), *rat = dipp_cldr_find(table, 0x1F400);
    assert_string_equal(apple->name, "red apple");
    assert_int_equal(apple->keyword_count, 2);
    assert_string_equal(apple->keywords[0], "fruit");
    assert_string_equal(apple->keywords[1], "red & round");
    assert_string_equal(apple->group, "Food & Drink");
    assert_string_equal(apple->subgroup, "food-fruit");
    assert_string_equal(rat->name, "rat");
    assert_string_equal(rat->group, ""); /* it stands in a sequence only */
    assert_null(dipp_cldr_find(table, 0x1F401));
    dipp_cldr_destroy(&table);
    assert_null(table);
}

static void malformed_files_are_refused_with_their_line(void **state)
{
    (void)state;
    dipp_cldr *table = NULL;
    dipp_error error = {0};
    assert_int_equal(create("<ldml>\n<annotations>\n", labels, &table, &error), DIPP_E_FORMAT);
    assert_non_null(strstr(error.message, "en.xml:3:"));
    assert_int_equal(create("<ldml/>", labels, &table, &error), DIPP_E_FORMAT);
    assert_int_equal(create(annotations, "[abc] no labels\n", &table, &error), DIPP_E_FORMAT);
    assert_non_null(strstr(error.message, "labels.txt:1:"));
    assert_int_equal(create(annotations, "nothing here\n", &table, &error), DIPP_E_FORMAT);
    assert_null(table);
}

static void every_failed_allocation_is_reported(void **state)
{
    (void)state;
    int failures = 0;
    for (uint64_t nth = 1;; nth++) {
        dipp_cldr *table = NULL;
        dipp_error error = {0};
        char folder[] = "/tmp/dipp-cldr-XXXXXX", first[64], second[64];
        assert_non_null(mkdtemp(folder));
        snprintf(first, sizeof first, "%s/en.xml", folder);
        snprintf(second, sizeof second, "%s/labels.txt", folder);
        assert_int_equal(dipp_file_write_atomic(first, annotations, strlen(annotations), NULL), DIPP_OK);
        assert_int_equal(dipp_file_write_atomic(second, labels, strlen(labels), NULL), DIPP_OK);
        dipp_memory_fail_nth(nth, false);
        dipp_status status = dipp_cldr_create(first, second, &table, &error);
        int failed = dipp_memory_has_failed();
        dipp_memory_fail_nth(0, false);
        unlink(first);
        unlink(second);
        rmdir(folder);
        if (!failed) {
            assert_int_equal(status, DIPP_OK);
            dipp_cldr_destroy(&table);
            break;
        }
        assert_int_equal(status, DIPP_E_MEMORY);
        assert_null(table);
        failures++;
    }
    assert_true(failures > 5);
}

static void the_installed_files_know_an_apple(void **state)
{
    (void)state;
    dipp_cldr *table = NULL;
    dipp_error error = {0};
    if (dipp_cldr_create(NULL, NULL, &table, &error) != DIPP_OK)
        fail_msg("%s", error.message);
    assert_true(table->count > 1000);
    const dipp_cldr_entry *apple = dipp_cldr_find(table, 0x1F34E);
    assert_non_null(apple);
    assert_string_equal(apple->name, "red apple");
    assert_string_equal(apple->subgroup, "food-fruit");
    assert_true(apple->keyword_count > 0);
    dipp_cldr_destroy(&table);
}

static void utf8_is_decoded_or_marked(void **state)
{
    (void)state;
    const char *text = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x8d\x8e\xff\xc3";
    const uint32_t expected[] = {'a', 0xE9, 0x20AC, 0x1F34E, 0xFFFD, 0xFFFD, 0};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        assert_int_equal(dipp_utf8_next(&text), expected[i]);
    assert_int_equal(*text, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_keywords_and_groups_are_read),
        cmocka_unit_test(malformed_files_are_refused_with_their_line),
        cmocka_unit_test(every_failed_allocation_is_reported),
        cmocka_unit_test(the_installed_files_know_an_apple),
        cmocka_unit_test(utf8_is_decoded_or_marked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
