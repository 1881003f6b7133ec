/* Prompt files as they were published: small made-up ones, and the real ones where they are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../shared_data.h"
#include "base/memory.h"
#include "data/prompts.h"

#include <string.h>

#define FIXTURES DIPP_FIXTURE_FOLDER "/prompts/"

static dipp_prompt_set read_set(const char *path)
{
    dipp_prompt_set set = {0};
    dipp_error error = {0};
    if (dipp_prompts_read(path, &set, &error) != DIPP_OK)
        fail_msg("%s", error.message);
    for (int i = 0; i < set.count; i++)
        assert_int_equal(set.prompts[i].glyph, DIPP_NOT_NAMED);
    return set;
}

static void captions_are_lines_and_those_that_stand_twice_stay(void **state)
{
    dipp_prompt_set set = read_set(FIXTURES "captions.txt");
    assert_int_equal(set.count, 4);
    assert_string_equal(set.prompts[0].text, set.prompts[2].text);
    assert_string_equal(set.prompts[3].text, "A bowl of soup beside a spoon.");
    assert_null(set.categories);
    dipp_prompt_set_clear(&set);
}

static void a_list_that_is_repeated_counts_once(void **state)
{
    dipp_prompt_set set = read_set(FIXTURES "drawbench.txt");
    assert_int_equal(set.count, 2);
    assert_string_equal(set.prompts[0].text, "A fox with a hat.");
    assert_string_equal(set.prompts[1].text, "A green cube on a red ball.");
    dipp_prompt_set_clear(&set);
}

static void parti_has_categories_and_marks_that_quote_nothing(void **state)
{
    dipp_prompt_set set = read_set(FIXTURES "parti.tsv");
    assert_int_equal(set.count, 3);
    assert_string_equal(set.prompts[0].text, "a small robot");
    assert_string_equal(set.categories[0], "Artifacts");
    assert_string_equal(set.prompts[1].text, "\"W A T E R\" written on a blue wall");
    assert_null(set.categories[2]);
    dipp_prompt_set_clear(&set);
    dipp_error error = {0};
    /* by its heading under any name, and its columns in any order under its ending */
    assert_int_equal(dipp_prompts_parse("Prompt\tCategory\tNote\na\tb\tc", 26, "parti.txt", &set, &error), DIPP_OK);
    assert_string_equal(set.categories[0], "b");
    dipp_prompt_set_clear(&set);
    assert_int_equal(dipp_prompts_parse("Category\tPrompt\r\nb\ta\r\n", 22, "x.tsv", &set, &error), DIPP_OK);
    assert_string_equal(set.prompts[0].text, "a");
    assert_string_equal(set.categories[0], "b");
    dipp_prompt_set_clear(&set);
}

static void json_is_objects_or_texts(void **state)
{
    dipp_prompt_set set = read_set(FIXTURES "evaluation_metadata.jsonl");
    assert_int_equal(set.count, 2);
    assert_string_equal(set.prompts[1].text, "a photo of three cups");
    assert_string_equal(set.categories[1], "counting");
    dipp_prompt_set_clear(&set);
    set = read_set(FIXTURES "imagereward_test.json");
    assert_int_equal(set.count, 2);
    assert_string_equal(set.prompts[0].text, "a castle, \"in\" the clouds,\xc3\xa9");
    assert_null(set.categories);
    dipp_prompt_set_clear(&set);
    set = read_set(FIXTURES "hpsv2/concept-art.json");
    assert_int_equal(set.count, 12);
    assert_string_equal(set.prompts[11].text, "a floating city, concept art number 11");
    assert_string_equal(set.categories[11], "concept-art");
    dipp_prompt_set_clear(&set);
}

static void a_folder_is_the_four_styles(void **state)
{
    static const int first[DIPP_HPS_STYLES] = {0, 12, 24, 36};
    dipp_prompt_set set = read_set(FIXTURES "hpsv2");
    assert_int_equal(set.count, 43);
    for (int s = 0; s < DIPP_HPS_STYLES; s++)
        for (int i = first[s]; i < (s + 1 < DIPP_HPS_STYLES ? first[s + 1] : 43); i++)
            assert_string_equal(set.categories[i], dipp_hps_styles[s]);
    assert_string_equal(set.prompts[36].text, "a dog on a couch, photo number 0");
    dipp_prompt_set_shorten(&set, 13);
    assert_int_equal(set.count, 13);
    assert_string_equal(set.categories[12], "concept-art");
    dipp_prompt_set_clear(&set);
    dipp_error error = {0};
    assert_int_equal(dipp_prompts_read(DIPP_FIXTURE_FOLDER, &set, &error), DIPP_E_NOT_FOUND);
    assert_non_null(strstr(error.message, "anime.json"));
}

static void what_is_wrong_is_said_with_its_line(void **state)
{
    static const struct {
        const char *name, *text, *says;
    } cases[] = {
        {"a.txt", "good\nbad \xff\n", "a.txt:2: not UTF-8"},
        {"a.txt", "\n  \n", "a.txt: no prompt"},
        {"a.tsv", "Text\tCategory\na\tb\n", "a.tsv:1: expected a heading"},
        {"a.tsv", "Prompt\tCategory\n\na\n", "a.tsv:3: 1 columns, and the heading has 2"},
        {"a.tsv", "Prompt\tCategory\na\tb\tc\n", "a.tsv:2: 3 columns"},
        {"a.tsv", "Prompt\tCategory\n \tb\n", "a.tsv:2: an empty prompt"},
        {"a.tsv", "Prompt\tCategory\na\tb\xff\n", "a.tsv:2: not UTF-8"},
        {"a.tsv", "Prompt\tCategory\n", "a.tsv: no prompt"},
        {"a.jsonl", "{\"prompt\": \"a\"}\n{\"prompt\": 1}\n", "a.jsonl:2: expected an object with a text `prompt`"},
        {"a.jsonl", "{\"prompt\": \"a\"}\n\n{\"prompt\"\n", "a.jsonl:3: not JSON"},
        {"a.jsonl", "{\"prompt\": \"a\", \"tag\": [1]}\n", "a.jsonl:1: expected a text as category"},
        {"a.jsonl", "[\"a\"]\n", "a.jsonl:1: expected a JSON object"},
        {"a.json", "{\"prompt\": \"a\"}", "a.json:1: expected a list"},
        {"a.json", "[\"a\",\n\"b\"\n\"c\"]", "a.json:3: not JSON"},
        {"a.json", "[\"a\",\n\n [\"x\"],\n \"b\"]", "a.json:3"},
        {"a.json", "[\"a]\\\"\\n,\",\n {\"prompt\": \"]\\n,\", \"more\": [1,\n2, {}]},\n\n 7, \"b\"]", "a.json:5"},
        {"a.json", "[\"a\",\n\"\"]", "a.json:2"},
        {"a.json", "[{\"prompt\": \"a\", \"prompt\": \"b\"}]", "a.json:1: not JSON"},
        {"a.json", "[]", "a.json: no prompt"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dipp_prompt_set set = {0};
        dipp_error error = {0};
        dipp_status status = dipp_prompts_parse(cases[i].text, strlen(cases[i].text), cases[i].name, &set, &error);
        if (status != DIPP_E_FORMAT || !strstr(error.message, cases[i].says) || set.prompts)
            fail_msg("case %zu: %s, %s", i, dipp_status_name(status), error.message);
    }
    static char json[16000], line[5002];
    dipp_prompt_set set = {0};
    dipp_error error = {0};
    memset(line, 'x', sizeof line - 1);
    snprintf(json, sizeof json, "[\"%.4095s\",\n\"%.4096s\"]", line, line);
    assert_int_equal(dipp_prompts_parse(json, strlen(json), "a.json", &set, &error), DIPP_E_FORMAT);
    assert_non_null(strstr(error.message, ":2"));
    line[4095] = '\n';
    assert_int_equal(dipp_prompts_parse(line, 4096, "a.txt", &set, &error), DIPP_OK);
    dipp_prompt_set_clear(&set);
    assert_int_equal(dipp_prompts_parse("a\nb\0c\n", 6, "a.txt", &set, &error), DIPP_E_FORMAT);
    assert_non_null(strstr(error.message, ":2: a zero byte"));
    assert_int_equal(dipp_prompts_read("/nowhere.json", &set, &error), DIPP_E_NOT_FOUND);
}

static void every_allocation_may_fail(void **state)
{
    static const char *const paths[] = {FIXTURES "drawbench.txt", FIXTURES "parti.tsv", FIXTURES "hpsv2"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        for (uint64_t nth = 1;; nth++) {
            dipp_prompt_set set = {0};
            dipp_error error = {0};
            dipp_memory_fail_nth(nth, true);
            dipp_status status = dipp_prompts_read(paths[i], &set, &error);
            bool failed = dipp_memory_has_failed();
            dipp_memory_fail_nth(0, false);
            if (status != (failed ? DIPP_E_MEMORY : DIPP_OK))
                fail_msg("%s, allocation %llu: %s", paths[i], (unsigned long long)nth, error.message);
            dipp_prompt_set_clear(&set);
            if (!failed)
                break;
        }
}

/* ---- The real ones ---- */

static int count_of(const dipp_prompt_set *set, const char *category)
{
    int count = 0;
    for (int i = 0; i < set->count; i++)
        count += set->categories[i] && !strcmp(set->categories[i], category);
    return count;
}

static void real_partiprompts(void **state)
{
    char path[SHARED_PATH_BYTES];
    shared_data_or_skip("prompts/PartiPrompts.tsv", path);
    dipp_prompt_set set = read_set(path);
    assert_int_equal(set.count, 1632);
    assert_string_equal(set.prompts[0].text, "bond");
    assert_int_equal(count_of(&set, "Abstract"), 51);
    assert_int_equal(count_of(&set, "World Knowledge"), 214);
    assert_memory_equal(set.prompts[1560].text, "\"G I G G L E\" painted", 21);
    dipp_prompt_set_clear(&set);
}

static void real_coco_captions(void **state)
{
    char path[SHARED_PATH_BYTES];
    shared_data_or_skip("prompts/coco30k_captions.txt", path);
    dipp_prompt_set set = read_set(path);
    assert_int_equal(set.count, 30000); /* 299 of them more than once */
    assert_null(set.categories);
    dipp_prompt_set_clear(&set);
}

static void real_drawbench(void **state)
{
    char path[SHARED_PATH_BYTES];
    shared_data_or_skip("prompts/drawbench.txt", path);
    dipp_prompt_set set = read_set(path);
    assert_int_equal(set.count, 200);
    assert_string_equal(set.prompts[0].text,
                        "New York Skyline with 'Google Research Pizza Cafe' written with fireworks on the sky.");
    dipp_prompt_set_clear(&set);
}

static void real_geneval(void **state)
{
    char path[SHARED_PATH_BYTES];
    shared_data_or_skip("prompts/geneval_prompts.txt", path);
    dipp_prompt_set set = read_set(path);
    assert_int_equal(set.count, 553);
    assert_string_equal(set.prompts[0].text, "a photo of a bench");
    dipp_prompt_set_clear(&set);
}

static void real_imagereward(void **state)
{
    char path[SHARED_PATH_BYTES];
    shared_data_or_skip("prompts/imagereward_test.json", path);
    dipp_prompt_set set = read_set(path);
    assert_int_equal(set.count, 466);
    assert_memory_equal(set.prompts[0].text, "deathly portal to the abyss, ", 29);
    dipp_prompt_set_clear(&set);
}

static void real_photo_captions(void **state)
{
    char path[SHARED_PATH_BYTES];
    shared_data_or_skip("prompts/hps_photo_eval.txt", path);
    dipp_prompt_set set = read_set(path);
    assert_int_equal(set.count, 50);
    dipp_prompt_set_clear(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(captions_are_lines_and_those_that_stand_twice_stay),
        cmocka_unit_test(a_list_that_is_repeated_counts_once),
        cmocka_unit_test(parti_has_categories_and_marks_that_quote_nothing),
        cmocka_unit_test(json_is_objects_or_texts),
        cmocka_unit_test(a_folder_is_the_four_styles),
        cmocka_unit_test(what_is_wrong_is_said_with_its_line),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(real_partiprompts),
        cmocka_unit_test(real_coco_captions),
        cmocka_unit_test(real_drawbench),
        cmocka_unit_test(real_geneval),
        cmocka_unit_test(real_imagereward),
        cmocka_unit_test(real_photo_captions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
