/* The published tokenizers' ids: of a few hundred odd texts with small vocabularies
 * (tests/fixtures/make_tokenizer_fixture.py), and of known prompts with the real vocabularies where those are. */
#include "base/file.h"
#include "base/memory.h"

#include <dipp/text.h>

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "../shared_data.h"

#include <dipp/text.h>

#define FIXTURES DIPP_FIXTURE_FOLDER "/tokenizers/"
enum { LONGEST = 2048 };

static dipp_tokenizer *open_tokenizer(dipp_tokenizer_rule rule, const char *vocabulary, const char *merges)
{
    dipp_error error = {0};
    dipp_tokenizer *tokenizer = NULL;
    if (dipp_tokenizer_create(rule, vocabulary, merges, &tokenizer, &error))
        fail_msg("%s", error.message);
    return tokenizer;
}

static json_t *open_expected(void)
{
    json_t *root = json_load_file(FIXTURES "expected.json", 0, NULL);
    assert_non_null(root);
    return root;
}

static size_t from_hex(const char *hex, char *bytes)
{
    size_t count = strlen(hex) / 2;
    assert_true(count <= LONGEST);
    for (size_t i = 0; i < count; i++) {
        unsigned value;
        assert_int_equal(sscanf(hex + 2 * i, "%2x", &value), 1);
        bytes[i] = (char)value;
    }
    return count;
}

/* ids[count] against a list of numbers; says which text it is. */
static void check_ids(const char *what, const char *hex, const int32_t *ids, size_t count, const json_t *expected)
{
    bool same = count == json_array_size(expected);
    for (size_t i = 0; i < count && same; i++)
        same = ids[i] == json_integer_value(json_array_get(expected, i));
    if (same)
        return;
    print_message("%s of %s: got", what, hex);
    for (size_t i = 0; i < count; i++)
        print_message(" %d", (int)ids[i]);
    print_message(", expected");
    for (size_t i = 0; i < json_array_size(expected); i++)
        print_message(" %d", (int)json_integer_value(json_array_get(expected, i)));
    fail_msg("%s", "\n");
}

/* Every text of the fixture that has ids for this tokenizer. */
static void check_texts(dipp_tokenizer_rule rule, const char *name, const char *vocabulary, const char *merges,
                        size_t least)
{
    json_t *root = open_expected();
    const json_t *texts = json_object_get(root, "texts");
    dipp_tokenizer *tokenizer = open_tokenizer(rule, vocabulary, merges);
    static int32_t ids[LONGEST];
    size_t checked = 0;
    for (size_t i = 0; i < json_array_size(texts); i++) {
        const json_t *row = json_array_get(texts, i), *expected = json_object_get(row, name);
        const char *hex = json_string_value(json_object_get(row, "bytes"));
        char bytes[LONGEST];
        size_t size = from_hex(hex, bytes), count = 0;
        char *text = malloc(size ? size : 1); /* exactly sized, so that a sanitizer sees one byte too many */
        assert_non_null(text);
        memcpy(text, bytes, size);
        assert_int_equal(dipp_tokenizer_encode(tokenizer, text, size, LONGEST, ids, &count, NULL), DIPP_OK);
        free(text);
        for (size_t k = 0; k < count; k++)
            assert_true(ids[k] >= 0 && (uint32_t)ids[k] < dipp_tokenizer_size(tokenizer));
        if (expected)
            check_ids(name, hex, ids, count, expected);
        checked += expected != NULL;
    }
    assert_true(checked >= least);
    dipp_tokenizer_destroy(&tokenizer);
    json_decref(root);
}

static void open_clip_gives_these_ids(void **state)
{
    (void)state;
    check_texts(DIPP_TOKENIZER_OPEN_CLIP, "open_clip", FIXTURES "bpe.txt", NULL, 230);
    check_texts(DIPP_TOKENIZER_OPEN_CLIP, "open_clip", FIXTURES "bpe.txt.gz", NULL, 230);
    check_texts(DIPP_TOKENIZER_OPENAI_CLIP, "openai", FIXTURES "bpe.txt", NULL, 230);
}

static void hugging_face_gives_these_ids(void **state)
{
    (void)state;
    check_texts(DIPP_TOKENIZER_HUGGING_FACE_CLIP, "hugging_face", FIXTURES "vocab.json", FIXTURES "merges.txt", 250);
    check_texts(DIPP_TOKENIZER_HUGGING_FACE_CLIP, "hugging_face", FIXTURES "clip_tokenizer.json", NULL, 250);
    check_texts(DIPP_TOKENIZER_HUGGING_FACE_CLIP, "hugging_face", FIXTURES "bpe.txt", NULL, 250);
}

static void bert_gives_these_ids(void **state)
{
    (void)state;
    check_texts(DIPP_TOKENIZER_BERT_UNCASED, "bert", FIXTURES "vocab.txt", NULL, 250);
    check_texts(DIPP_TOKENIZER_BERT_UNCASED, "bert", FIXTURES "bert_tokenizer.json", NULL, 250);
}

static void long_texts_are_cut_as_published(void **state)
{
    (void)state;
    static const struct {
        dipp_tokenizer_rule rule;
        const char *name, *vocabulary;
    } cases[] = {{DIPP_TOKENIZER_OPEN_CLIP, "open_clip", FIXTURES "bpe.txt"},
                 {DIPP_TOKENIZER_HUGGING_FACE_CLIP, "hugging_face", FIXTURES "clip_tokenizer.json"},
                 {DIPP_TOKENIZER_BERT_UNCASED, "bert", FIXTURES "vocab.txt"}};
    json_t *root = open_expected();
    for (size_t i = 0; i < 3; i++) {
        dipp_tokenizer *tokenizer = open_tokenizer(cases[i].rule, cases[i].vocabulary, NULL);
        const json_t *rows = json_object_get(root, "cut_to_8");
        assert_int_equal(json_array_size(rows), 4);
        size_t longer = 0;
        for (size_t r = 0; r < 4; r++) {
            const char *text = json_string_value(json_object_get(json_array_get(rows, r), "text"));
            int32_t ids[8];
            size_t count;
            assert_int_equal(dipp_tokenizer_encode(tokenizer, text, strlen(text), 8, ids, &count, NULL), DIPP_OK);
            check_ids(cases[i].name, text, ids, 8, json_object_get(json_array_get(rows, r), cases[i].name));
            longer += count > 8;
        }
        assert_true(longer >= 2);
        dipp_tokenizer_destroy(&tokenizer);
    }
    json_decref(root);
}

static void too_much_is_refused(void **state)
{
    (void)state;
    dipp_tokenizer *tokenizer = open_tokenizer(DIPP_TOKENIZER_BERT_UNCASED, FIXTURES "vocab.txt", NULL);
    dipp_error error = {0};
    int32_t ids[8];
    size_t count;
    char *text = calloc(1, DIPP_TOKENIZER_TEXT_MOST + 1);
    assert_non_null(text);
    assert_int_equal(dipp_tokenizer_encode(tokenizer, "a", 1, 1, ids, &count, &error), DIPP_E_INVALID);
    assert_int_equal(dipp_tokenizer_encode(tokenizer, text, DIPP_TOKENIZER_TEXT_MOST + 1, 8, ids, &count, &error),
                     DIPP_E_INVALID);
    assert_non_null(strstr(error.message, "at most 65536"));
    /* The slowest there is: marks in falling canonical order. */
    for (size_t i = 0; i < DIPP_TOKENIZER_TEXT_MOST; i += 2)
        memcpy(text + i, i % 4 ? "\xcc\xa3" : "\xcc\x81", 2);
    assert_int_equal(dipp_tokenizer_encode(tokenizer, text, DIPP_TOKENIZER_TEXT_MOST, 8, ids, &count, &error), DIPP_OK);
    assert_int_equal(count, 2);
    free(text);
    dipp_tokenizer_destroy(&tokenizer);
}

static void check_prompt(const dipp_tokenizer *tokenizer, const char *text, const int32_t *expected, size_t count)
{
    int32_t ids[77];
    size_t found;
    assert_int_equal(dipp_tokenizer_encode(tokenizer, text, strlen(text), 77, ids, &found, NULL), DIPP_OK);
    assert_int_equal(found, count);
    assert_memory_equal(ids, expected, count * sizeof *ids);
}

#define CHECK_PROMPT(tokenizer, text, ...)                                            \
    do {                                                                              \
        const int32_t expected_[] = {__VA_ARGS__};                                    \
        check_prompt(tokenizer, text, expected_, sizeof expected_ / sizeof(int32_t)); \
    } while (0)

/* Of equal pairs the leftmost is joined first: "aaaa" is aa, a, and a at the end of a word. */
static void equal_pairs_are_joined_from_the_left(void **state)
{
    (void)state;
    static const char file[] = "#version: of two\na a";
    dipp_tokenizer *t = NULL;
    assert_int_equal(
        dipp_tokenizer_create_memory(DIPP_TOKENIZER_OPEN_CLIP, "x", file, sizeof file - 1, NULL, 0, &t, NULL), DIPP_OK);
    CHECK_PROMPT(t, "aaaa", 513, 512, 'a' - 33, 'a' - 33 + 256, 514);
    dipp_tokenizer_destroy(&t);
}

#define OCEAN "a painting of an ocean with clouds and birds, day time, low depth field effect"

static void real_clip_vocabulary_gives_known_ids(void **state)
{
    (void)state;
    char path[SHARED_PATH_BYTES];
    shared_data_or_skip("vocab/clip_bpe_simple_vocab_16e6.txt.gz", path);
    for (dipp_tokenizer_rule rule = DIPP_TOKENIZER_OPEN_CLIP; rule <= DIPP_TOKENIZER_HUGGING_FACE_CLIP; rule++) {
        dipp_tokenizer *t = open_tokenizer(rule, path, NULL);
        assert_int_equal(dipp_tokenizer_size(t), 49408);
        CHECK_PROMPT(t, "A cat with two horns on its head", 49406, 320, 2368, 593, 1237, 22109, 525, 902, 1375, 49407);
        CHECK_PROMPT(t, "a photo of a cat", 49406, 320, 1125, 539, 320, 2368, 49407);
        CHECK_PROMPT(t, "You should've done this", 49406, 592, 1535, 1200, 1700, 589, 49407);
        CHECK_PROMPT(t, "8k, trending on artstation 1920x1080!!", 49406, 279, 330, 267, 6087, 525, 1486, 2631, 272, 280,
                     273, 271, 343, 272, 271, 279, 271, 748, 49407);
        CHECK_PROMPT(t, "A photo depicts ", 49406, 320, 1125, 29340, 49407);
        CHECK_PROMPT(t, OCEAN, 49406, 320, 3086, 539, 550, 4918, 593, 6244, 537, 4337, 267, 575, 788, 267, 1042, 10350,
                     1570, 5436, 49407);
        dipp_tokenizer_destroy(&t);
    }
}

static void real_bert_vocabulary_gives_known_ids(void **state)
{
    (void)state;
    char path[SHARED_PATH_BYTES];
    shared_data_or_skip("vocab/bert_uncased_vocab.txt", path);
    dipp_tokenizer *t = open_tokenizer(DIPP_TOKENIZER_BERT_UNCASED, path, NULL);
    assert_int_equal(dipp_tokenizer_size(t), 30522);
    CHECK_PROMPT(t, OCEAN, 101, 1037, 4169, 1997, 2019, 4153, 2007, 8044, 1998, 5055, 1010, 2154, 2051, 1010, 2659,
                 5995, 2492, 3466, 102);
    CHECK_PROMPT(t, "A cat with two horns on its head", 101, 1037, 4937, 2007, 2048, 11569, 2006, 2049, 2132, 102);
    dipp_tokenizer_destroy(&t);
}

typedef struct tally {
    size_t prompts, long_clip, long_bert;
} tally;

/* The known shares are of prompts in ASCII. */
static void count_prompt(const dipp_tokenizer *clip, const dipp_tokenizer *bert, const char *text, size_t bytes,
                         tally *t)
{
    int32_t ids[77];
    size_t count;
    for (size_t i = 0; i < bytes; i++)
        if (text[i] & 0x80)
            return;
    t->prompts++;
    assert_int_equal(dipp_tokenizer_encode(clip, text, bytes, 77, ids, &count, NULL), DIPP_OK);
    t->long_clip += count > 77;
    assert_int_equal(dipp_tokenizer_encode(bert, text, bytes, 35, ids, &count, NULL), DIPP_OK);
    t->long_bert += count > 35;
}

static tally count_lines(const dipp_tokenizer *clip, const dipp_tokenizer *bert, const char *path, bool first_column)
{
    tally t = {0};
    char *text = NULL;
    assert_int_equal(dipp_file_read(path, 1 << 24, &text, NULL, NULL), DIPP_OK);
    char *rest = NULL;
    bool heading = first_column;
    for (char *line = strtok_r(text, "\r\n", &rest); line; line = strtok_r(NULL, "\r\n", &rest)) {
        if (!heading)
            count_prompt(clip, bert, line, first_column ? strcspn(line, "\t") : strlen(line), &t);
        heading = false;
    }
    dipp_release(text);
    return t;
}

static double percent(size_t part, size_t all)
{
    return 100.0 * (double)part / (double)all;
}

static void prompt_lists_have_known_lengths(void **state)
{
    (void)state;
    char path[SHARED_PATH_BYTES], other[SHARED_PATH_BYTES];
    shared_data_or_skip("vocab/clip_bpe_simple_vocab_16e6.txt.gz", path);
    shared_data_or_skip("vocab/bert_uncased_vocab.txt", other);
    dipp_tokenizer *clip = open_tokenizer(DIPP_TOKENIZER_OPEN_CLIP, path, NULL);
    dipp_tokenizer *bert = open_tokenizer(DIPP_TOKENIZER_BERT_UNCASED, other, NULL);
    shared_data_or_skip("prompts/PartiPrompts.tsv", path);
    tally parti = count_lines(clip, bert, path, true);
    assert_int_equal(parti.prompts, 1632 - 17);
    assert_float_equal(percent(parti.long_clip, parti.prompts), 0.06, 0.005);
    assert_float_equal(percent(parti.long_bert, parti.prompts), 3.7, 0.05);
    shared_data_or_skip("prompts/hps_photo_eval.txt", path);
    tally photo = count_lines(clip, bert, path, false);
    assert_true(photo.prompts >= 49 && !photo.long_clip && !photo.long_bert);
    shared_data_or_skip("prompts/coco30k_captions.txt", path);
    tally coco = count_lines(clip, bert, path, false);
    assert_int_equal(coco.prompts, 30000);
    assert_int_equal(coco.long_clip, 0);
    assert_true(percent(coco.long_bert, coco.prompts) < 0.5);
    shared_data_or_skip("prompts/imagereward_test.json", path);
    json_t *root = json_load_file(path, 0, NULL);
    tally reward = {0};
    for (size_t i = 0; i < json_array_size(root); i++) {
        const char *text = json_string_value(json_object_get(json_array_get(root, i), "prompt"));
        assert_non_null(text);
        count_prompt(clip, bert, text, strlen(text), &reward);
    }
    json_decref(root);
    assert_int_equal(reward.prompts, 456);
    assert_float_equal(percent(reward.long_clip, reward.prompts), 3.3, 0.05);
    assert_float_equal(percent(reward.long_bert, reward.prompts), 43.2, 0.05);
    dipp_tokenizer_destroy(&clip);
    dipp_tokenizer_destroy(&bert);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(open_clip_gives_these_ids),
        cmocka_unit_test(hugging_face_gives_these_ids),
        cmocka_unit_test(bert_gives_these_ids),
        cmocka_unit_test(long_texts_are_cut_as_published),
        cmocka_unit_test(equal_pairs_are_joined_from_the_left),
        cmocka_unit_test(too_much_is_refused),
        cmocka_unit_test(real_clip_vocabulary_gives_known_ids),
        cmocka_unit_test(real_bert_vocabulary_gives_known_ids),
        cmocka_unit_test(prompt_lists_have_known_lengths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
