/* Preferences: the JSONL, what is wrong in it and where, writing it again, and the layouts of others in small folders and in
 * ImageReward's own file. */
#include "../shared_data.h"
#include "base/file.h"
#include "base/memory.h"
#include "data/preferences.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static char folder[] = "/tmp/dipp-preferences-XXXXXX";

static char *in_folder(const char *name)
{
    static char paths[4][256];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static const char *put(const char *name, const char *text)
{
    dipp_error error;
    const char *path = in_folder(name);
    char *parent = dipp_path_folder(path);
    assert_int_equal(dipp_make_directories(parent, &error), DIPP_OK);
    dipp_release(parent);
    assert_int_equal(dipp_file_write_atomic(path, text, strlen(text), &error), DIPP_OK);
    return path;
}

static dipp_preferences read_as(const char *path, dipp_preference_format format)
{
    dipp_error error = {0};
    dipp_preferences set = {.captions_differ = false};
    if (dipp_preferences_read(path, format, &set, &error) != DIPP_OK)
        fail_msg("%s", error.message);
    return set;
}

/* Pair i: the names of its pictures behind the folder, and its label. */
static void check_pair(const dipp_preferences *set, size_t i, const char *first, const char *second, double label)
{
    const char *names[] = {first, second};
    for (int k = 0; k < 2; k++) {
        const char *path = set->pictures.texts[set->items[set->pairs[i].items[k]].picture];
        assert_memory_equal(path, folder, strlen(folder));
        assert_string_equal(path + strlen(folder) + 1, names[k]);
    }
    assert_true(fabs(set->pairs[i].label - label) < 1e-12);
}

/* ---- The JSONL ---- */

static void lines_become_pairs(void **state)
{
    dipp_preferences set = read_as(
        put("pairs.jsonl",
            "{\"prompt\": \"a fox\", \"images\": [\"a.png\", \"b.png\"], \"labels\": [1, 0], \"kind\": \"model\", "
            "\"probability\": 0.75, \"utility\": [2, 1], \"voter\": \"x\"}\n"
            "\n"
            "{\"prompt\": \"a fox\", \"images\": [\"a.png\", \"c.png\", \"d/e.png\"], \"rank\": [2, 1, 2]}\r\n"
            "{\"prompts\": [\"red\", \"blue\"], \"images\": [\"a.png\"], \"labels\": [0.25, 0.75], \"kind\": "
            "\"caption\"}\n"
            "{\"prompt\": \"three\", \"images\": [\"a.png\", \"b.png\", \"c.png\"], \"labels\": [0.5, 0.5, 0]}"),
        DIPP_PREFERENCES_JSONL);
    assert_int_equal(set.line_count, 4);
    assert_int_equal(set.pair_count, 8);
    assert_int_equal(set.pictures.count, 4);
    assert_int_equal(set.prompts.count, 4);
    assert_int_equal(set.kinds.count, 3); /* none, model, caption */
    assert_true(set.captions_differ);
    check_pair(&set, 0, "a.png", "b.png", 1);
    check_pair(&set, 1, "a.png", "c.png", 0);
    check_pair(&set, 2, "a.png", "d/e.png", 0.5);
    check_pair(&set, 3, "c.png", "d/e.png", 1);
    check_pair(&set, 4, "a.png", "a.png", 0.25);
    check_pair(&set, 5, "a.png", "b.png", 0.5); /* Luce: 0.5 / (0.5 + 0.5) */
    check_pair(&set, 6, "a.png", "c.png", 1);
    assert_true(set.pairs[2].tie && !set.pairs[4].tie && !set.pairs[5].tie);
    assert_true(set.lines[0].probability == 0.75 && isnan(set.lines[1].probability));
    assert_true(set.items[0].utility == 2 && isnan(set.items[2].utility));
    assert_string_equal(set.prompts.texts[set.items[set.pairs[4].items[0]].prompt], "red");
    assert_string_equal(set.prompts.texts[set.items[set.pairs[4].items[1]].prompt], "blue");
    assert_int_equal(set.pairs[0].of_prompt, 4); /* one and three of the same prompt */
    assert_int_equal(set.pairs[4].of_prompt, 1);
    dipp_preferences_clear(&set);
    assert_null(set.pairs);
}

static void what_is_written_reads_back(void **state)
{
    static const char text[] =
        "{\"prompt\":\"a \\\"fox\\\"\",\"images\":[\"a.png\",\"sub/b.png\"],\"labels\":[1,0],"
        "\"kind\":\"model\",\"probability\":0.75,\"utility\":[2,1]}\n"
        "{\"prompts\":[\"red\",\"blue\"],\"images\":[\"a.png\",\"a.png\"],\"labels\":[0.25,0.75]}\n"
        "{\"prompt\":\"\xc3\xa9\",\"images\":[\"a.png\",\"c.png\",\"/x/d.png\"],\"rank\":[2,1,2]}\n";
    dipp_error error = {0};
    dipp_preferences set = read_as(put("once.jsonl", text), DIPP_PREFERENCES_JSONL);
    assert_int_equal(dipp_preferences_write(&set, in_folder("twice.jsonl"), &error), DIPP_OK);
    char *written = NULL;
    assert_int_equal(dipp_file_read(in_folder("twice.jsonl"), 1 << 20, &written, NULL, &error), DIPP_OK);
    assert_string_equal(written, text);
    dipp_release(written);
    assert_int_equal(dipp_preferences_write(&set, in_folder("missing/x.jsonl"), &error), DIPP_E_NOT_FOUND);
    dipp_preferences_clear(&set);
}

static void what_is_wrong_is_told_with_its_line(void **state)
{
    static const struct {
        const char *line, *words;
    } cases[] = {
        {"{\"prompt\": \"x\"", "not JSON"},
        {"[1]", "expected a JSON object"},
        {"{\"images\": [\"a\", \"b\"], \"labels\": [1, 0]}", "`prompt` is missing"},
        {"{\"prompt\": \"\", \"images\": [\"a\", \"b\"], \"labels\": [1, 0]}", "`prompt` is not a text, or empty"},
        {"{\"prompt\": \"x\", \"labels\": [1, 0]}", "`images` is missing"},
        {"{\"prompt\": \"x\", \"images\": [\"a\"], \"labels\": [1]}", "1 picture; a preference is between 2"},
        {"{\"prompt\": \"x\", \"images\": [\"a\", 3], \"labels\": [1, 0]}", "`images` is not a text"},
        {"{\"prompt\": \"x\", \"images\": [\"a\", \"b\"]}", "expected either labels or rank"},
        {"{\"prompt\": \"x\", \"images\": [\"a\", \"b\"], \"labels\": [1, 0], \"rank\": [1, 2]}",
         "expected either labels or rank"},
        {"{\"prompt\": \"x\", \"images\": [\"a\", \"b\"], \"labels\": [1]}", "`labels` is not a list of 2 numbers"},
        {"{\"prompt\": \"x\", \"images\": [\"a\", \"b\"], \"labels\": [1, true]}", "`labels[1]` is not a number"},
        {"{\"prompt\": \"x\", \"images\": [\"a\", \"b\"], \"labels\": [0.7, 0.7]}", "sum to 1.4"},
        {"{\"prompt\": \"x\", \"images\": [\"a\", \"b\"], \"labels\": [-0.5, 1.5]}", "label -0.5"},
        {"{\"prompt\": \"x\", \"images\": [\"a\", \"b\"], \"rank\": [-1, 2]}", "rank -1"},
        {"{\"prompt\": \"x\", \"images\": [\"a\", \"b\"], \"rank\": [1, 2], \"probability\": 2}", "probability 2"},
        {"{\"prompt\": \"x\", \"images\": [\"a\", \"b\"], \"rank\": [1, 2], \"kind\": 3}", "`kind` is not a text"},
        {"{\"prompt\": \"x\", \"images\": [\"a\", \"b\"], \"rank\": [1, 2], \"kind\": "
         "\"0123456789012345678901234567890123456789x\"}",
         "longer than 40 bytes"},
        {"{\"prompts\": [\"x\"], \"images\": [\"a\", \"b\"], \"labels\": [1, 0]}",
         "`prompts` is not a list of 2 texts"},
        {"{\"prompts\": [\"x\", \"y\"], \"images\": [\"a\", \"b\"], \"labels\": [1, 0]}", "have one picture"},
        {"{\"prompt\": \"x\", \"prompt\": \"x\", \"images\": [\"a\", \"b\"], \"labels\": [1, 0]}", "duplicate"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[512];
        dipp_error error = {0};
        dipp_preferences set = {.captions_differ = true};
        snprintf(text, sizeof text, "{\"prompt\": \"x\", \"images\": [\"a\", \"b\"], \"rank\": [1, 2]}\n\n%s\n",
                 cases[i].line);
        const char *path = put("wrong.jsonl", text);
        assert_int_equal(dipp_preferences_read(path, DIPP_PREFERENCES_JSONL, &set, &error), DIPP_E_FORMAT);
        if (!strstr(error.message, cases[i].words) || !strstr(error.message, "wrong.jsonl:3:"))
            fail_msg("`%s` lacks `%s` or its line", error.message, cases[i].words);
        assert_true(set.captions_differ && !set.pairs); /* untouched */
    }
    dipp_error error = {0};
    dipp_preferences set = {.captions_differ = false};
    assert_int_equal(dipp_preferences_read(put("empty.jsonl", "\n"), DIPP_PREFERENCES_JSONL, &set, &error),
                     DIPP_E_FORMAT);
    assert_non_null(strstr(error.message, "no pair"));
    assert_int_equal(dipp_preferences_read(in_folder("none.jsonl"), DIPP_PREFERENCES_JSONL, &set, &error),
                     DIPP_E_NOT_FOUND);
}

static void captions_are_pictures_with_a_text(void **state)
{
    dipp_error error = {0};
    dipp_captions captions = {.count = 0};
    const char *path = put("captions.jsonl", "{\"image\": \"a.png\", \"prompt\": \"a fox\"}\n"
                                             "{\"image\": \"a.png\", \"prompt\": \"an animal\"}\n");
    assert_int_equal(dipp_captions_read(path, &captions, &error), DIPP_OK);
    assert_int_equal(captions.count, 2);
    assert_int_equal(captions.pictures.count, 1);
    assert_string_equal(captions.pictures.texts[0], in_folder("a.png"));
    assert_string_equal(captions.prompts.texts[captions.rows[1].prompt], "an animal");
    dipp_captions_clear(&captions);
    path = put("captions.jsonl", "{\"image\": \"a.png\"}\n");
    assert_int_equal(dipp_captions_read(path, &captions, &error), DIPP_E_FORMAT);
    assert_non_null(strstr(error.message, "captions.jsonl:1: `prompt` is missing"));
}

/* Every allocation may fail: an error that says so, nothing leaked (the sanitizers see it), and the set untouched. */
static void memory_may_end_anywhere(void **state)
{
    const char *path =
        put("pairs.jsonl", "{\"prompt\": \"a fox\", \"images\": [\"a.png\", \"b.png\", \"c.png\"], \"rank\": [1, "
                           "2, 3], \"kind\": \"k\"}\n");
    dipp_status status = DIPP_E_MEMORY;
    int failures = 0;
    for (uint64_t nth = 1; status != DIPP_OK; nth++) {
        dipp_error error = {0};
        dipp_preferences set = {.captions_differ = false};
        dipp_memory_fail_nth(nth, false);
        status = dipp_preferences_read(path, DIPP_PREFERENCES_JSONL, &set, &error);
        dipp_memory_fail_nth(0, false);
        if (status != DIPP_OK) {
            assert_int_equal(status, DIPP_E_MEMORY);
            assert_null(set.pairs);
            failures++;
        }
        dipp_preferences_clear(&set);
    }
    assert_true(failures > 10);
}

/* ---- Layouts of others ---- */

static void hpdv2_has_pairs_and_lists(void **state)
{
    put("hpd/train/a.jpg", "");
    put("hpd/train.json",
        "[{\"prompt\": \"a fox\", \"file_path\": [\"a.jpg\", \"b.jpg\"], \"human_preference\": [0, 1]},"
        "{\"prompt\": \"a fox\", \"file_path\": [\"a.jpg\", \"c.jpg\"], \"human_preference\": [1, 0]}]");
    dipp_preferences set = read_as(in_folder("hpd"), DIPP_PREFERENCES_HPDV2); /* of a folder, train.json */
    assert_int_equal(set.pair_count, 2);
    check_pair(&set, 0, "hpd/train/a.jpg", "hpd/b.jpg", 0); /* where a file is; else beside the JSON */
    check_pair(&set, 1, "hpd/train/a.jpg", "hpd/c.jpg", 1);
    dipp_preferences_clear(&set);
    set = read_as(put("hpd/test.json",
                      "[{\"prompt\": \"a fox\", \"image_path\": [\"1.jpg\", \"2.jpg\", \"3.jpg\"], \"rank\": "
                      "[2, 3, 1], \"raw_annotations\": [{\"rank\": [1, 2, 3], \"user_hash\": \"x\"}]}]"),
                  DIPP_PREFERENCES_HPDV2);
    assert_int_equal(set.pair_count, 3);
    check_pair(&set, 0, "hpd/1.jpg", "hpd/2.jpg", 1);
    check_pair(&set, 1, "hpd/1.jpg", "hpd/3.jpg", 0);
    dipp_preferences_clear(&set);
}

static void imagereward_db_has_a_file_for_each_folder(void **state)
{
    put("ir/images/train/train_1/one.json",
        "[{\"image_path\": \"images/train/train_1/a.webp\", \"prompt_id\": \"p1\", \"prompt\": \"a fox\", \"rank\": 2, "
        "\"overall_rating\": 5},"
        "{\"image_path\": \"images/train/train_1/b.webp\", \"prompt_id\": \"p1\", \"prompt\": \"a fox\", \"rank\": 1},"
        "{\"image_path\": \"images/train/train_1/alone.webp\", \"prompt_id\": \"p2\", \"prompt\": \"a dog\", \"rank\": "
        "1}]");
    put("ir/images/train/train_1/a.webp", "");
    put("ir/images/train/train_2/two.json",
        "[{\"image_path\": \"images/train/train_2/c.webp\", \"prompt_id\": \"p3\", \"prompt\": \"a cat\", \"rank\": 1},"
        "{\"image_path\": \"images/train/train_2/d.webp\", \"prompt_id\": \"p3\", \"prompt\": \"a cat\", \"rank\": "
        "1}]");
    dipp_preferences set = read_as(in_folder("ir"), DIPP_PREFERENCES_IMAGEREWARD);
    assert_int_equal(set.line_count, 2);
    assert_int_equal(set.pair_count, 2);
    check_pair(&set, 0, "ir/images/train/train_1/a.webp", "ir/images/train/train_1/b.webp", 0);
    check_pair(&set, 1, "ir/images/train/train_2/c.webp", "ir/images/train/train_2/d.webp", 0.5);
    assert_true(set.pairs[1].tie);
    dipp_preferences_clear(&set);
}

static void pickapics_rows_come_as_csv_or_jsonl(void **state)
{
    put("pick/u1.png", "");
    put("pick/images/u2.webp", "");
    const char *csv = put("pick/rows.csv", "ranking_id,caption,image_0_uid,image_1_uid,label_0,label_1,has_label\r\n"
                                           "1,\"a \"\"red\"\" fox,\nrunning\",u1,u2,1,0,True\r\n"
                                           "2,plain,u1,u3,0.5,0.5,True\r\n"
                                           "3,not judged,u1,u3,,,False\r\n\r\n");
    dipp_preferences set = read_as(csv, DIPP_PREFERENCES_PICKAPIC);
    assert_int_equal(set.pair_count, 2);
    assert_string_equal(set.prompts.texts[0], "a \"red\" fox,\nrunning");
    check_pair(&set, 0, "pick/u1.png", "pick/images/u2.webp", 1);
    check_pair(&set, 1, "pick/u1.png", "pick/u3.jpg", 0.5);
    dipp_preferences_clear(&set);
    set = read_as(put("pick/rows.jsonl",
                      "{\"caption\": \"plain\", \"image_0_uid\": \"u1\", \"image_1_uid\": \"u2\", \"label_0\": 0, "
                      "\"label_1\": 1.0, \"has_label\": true}\n"
                      "{\"caption\": \"plain\", \"has_label\": false}\n"),
                  DIPP_PREFERENCES_PICKAPIC);
    assert_int_equal(set.pair_count, 1);
    check_pair(&set, 0, "pick/u1.png", "pick/images/u2.webp", 0);
    dipp_preferences_clear(&set);
}

static void wrong_layouts_are_told(void **state)
{
    static const struct {
        const char *name, *text;
        dipp_preference_format format;
        dipp_status status;
        const char *words;
    } cases[] = {
        {"w.json", "{}", DIPP_PREFERENCES_HPDV2, DIPP_E_FORMAT, "expected a list of records"},
        {"w.json", "[", DIPP_PREFERENCES_HPDV2, DIPP_E_FORMAT, "not JSON"},
        {"w.json", "[{\"prompt\": \"x\"}]", DIPP_PREFERENCES_HPDV2, DIPP_E_FORMAT,
         "record 0: neither a record of HPDv2"},
        {"w.json", "[{\"prompt\": \"x\", \"file_path\": [\"a\", \"b\"]}]", DIPP_PREFERENCES_HPDV2, DIPP_E_FORMAT,
         "`human_preference` is missing"},
        {"w.json", "[{\"prompt\": \"x\", \"generations\": [\"a\", \"b\"], \"ranking\": [1, \"2\"]}]",
         DIPP_PREFERENCES_IMAGEREWARD, DIPP_E_FORMAT, "`ranking[1]` is not a number"},
        {"w.json",
         "[{\"image_path\": \"a\", \"prompt_id\": 1, \"prompt\": \"x\"}, {\"image_path\": \"b\", \"prompt_id\": 1, "
         "\"prompt\": \"x\"}]",
         DIPP_PREFERENCES_IMAGEREWARD, DIPP_E_FORMAT, "row 0: `rank` is missing"},
        {"w.csv", "caption,image_0_uid\nx,u\n", DIPP_PREFERENCES_PICKAPIC, DIPP_E_FORMAT,
         "names no column `image_1_uid`"},
        {"w.csv", "caption,image_0_uid,image_1_uid,label_0,label_1\nx,u,v,1\n", DIPP_PREFERENCES_PICKAPIC,
         DIPP_E_FORMAT, "row 1: `label_1` is missing"},
        {"w.csv", "caption,image_0_uid,image_1_uid,label_0,label_1\nx,u,v,1,\"0\n", DIPP_PREFERENCES_PICKAPIC,
         DIPP_E_FORMAT, "a quote is not closed"},
        {"w.csv", "caption,image_0_uid,image_1_uid,label_0,label_1\nx,u,v,one,0\n", DIPP_PREFERENCES_PICKAPIC,
         DIPP_E_FORMAT, "is not a number"},
        {"w.parquet", "PAR1", DIPP_PREFERENCES_PICKAPIC, DIPP_E_UNSUPPORTED, "parquet is not read here"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dipp_error error = {0};
        dipp_preferences set = {.captions_differ = false};
        assert_int_equal(dipp_preferences_read(put(cases[i].name, cases[i].text), cases[i].format, &set, &error),
                         cases[i].status);
        if (!strstr(error.message, cases[i].words))
            fail_msg("`%s` lacks `%s`", error.message, cases[i].words);
    }
}

/* The counts that the dataset's card and the reference sheet give. */
static void imagerewards_own_test_file_has_7230_pairs(void **state)
{
    char path[SHARED_PATH_BYTES];
    shared_data_or_skip("prompts/imagereward_test.json", path);
    dipp_preferences set = read_as(path, DIPP_PREFERENCES_IMAGEREWARD);
    size_t ties = 0;
    for (size_t i = 0; i < set.pair_count; i++)
        ties += set.pairs[i].tie;
    assert_int_equal(set.line_count, 466);
    assert_int_equal(set.pair_count - ties, 6399);
    assert_int_equal(ties, 831);
    dipp_preferences_clear(&set);
}

static int make_folder(void **state)
{
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_become_pairs),
        cmocka_unit_test(what_is_written_reads_back),
        cmocka_unit_test(what_is_wrong_is_told_with_its_line),
        cmocka_unit_test(captions_are_pictures_with_a_text),
        cmocka_unit_test(memory_may_end_anywhere),
        cmocka_unit_test(hpdv2_has_pairs_and_lists),
        cmocka_unit_test(imagereward_db_has_a_file_for_each_folder),
        cmocka_unit_test(pickapics_rows_come_as_csv_or_jsonl),
        cmocka_unit_test(wrong_layouts_are_told),
        cmocka_unit_test(imagerewards_own_test_file_has_7230_pairs),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
