/* T5's ids: of a few hundred odd texts with small models (tests/fixtures/make_t5_tokenizer_fixture.py), from both kinds
 * of file and with changed settings. */
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

#define FIXTURES DIPP_FIXTURE_FOLDER "/tokenizers/"
enum { LONGEST = 512, LEAST_TEXTS = 300 };

static dipp_tokenizer *open_tokenizer(const char *path)
{
    dipp_error error = {0};
    dipp_tokenizer *tokenizer = NULL;
    if (dipp_tokenizer_create(DIPP_TOKENIZER_T5, path, NULL, &tokenizer, &error))
        fail_msg("%s", error.message);
    return tokenizer;
}

static dipp_tokenizer *open_memory(const void *bytes, size_t size)
{
    dipp_error error = {0};
    dipp_tokenizer *tokenizer = NULL;
    if (dipp_tokenizer_create_memory(DIPP_TOKENIZER_T5, "x", bytes, size, NULL, 0, &tokenizer, &error))
        fail_msg("%s", error.message);
    return tokenizer;
}

static json_t *open_json(const char *path)
{
    json_t *root = json_load_file(path, 0, NULL);
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

/* The ids of one text, all of them (length LONGEST) or as many as length, and how many the text has. */
static size_t encode(const dipp_tokenizer *tokenizer, const char *hex, uint32_t length, int32_t *ids)
{
    char bytes[LONGEST];
    size_t size = from_hex(hex, bytes), count = 0;
    char *text = malloc(size ? size : 1); /* exactly sized, so that a sanitizer sees one byte too many */
    assert_non_null(text);
    memcpy(text, bytes, size);
    assert_int_equal(dipp_tokenizer_encode(tokenizer, text, size, length, ids, &count, NULL), DIPP_OK);
    free(text);
    for (size_t k = 0; k < length; k++)
        assert_true(ids[k] >= 0 && (uint32_t)ids[k] < dipp_tokenizer_size(tokenizer));
    return count;
}

/* Row i of rows, or of usual where that is null; of the text number i, or of text few[i]. */
static void check_rows(const dipp_tokenizer *tokenizer, const char *what, const json_t *texts, const json_t *few,
                       const json_t *rows, const json_t *usual)
{
    static int32_t ids[LONGEST];
    assert_int_equal(json_array_size(rows), json_array_size(few ? few : texts));
    for (size_t i = 0; i < json_array_size(rows); i++) {
        size_t number = few ? (size_t)json_integer_value(json_array_get(few, i)) : i;
        const char *hex = json_string_value(json_array_get(texts, number));
        const json_t *row = json_array_get(rows, i);
        size_t count = encode(tokenizer, hex, LONGEST, ids);
        assert_true(count < LONGEST);
        check_ids(what, hex, ids, count, json_is_null(row) ? json_array_get(usual, number) : row);
    }
}

static void every_text_has_the_published_ids(void **state)
{
    (void)state;
    json_t *root = open_json(FIXTURES "t5_expected.json");
    const json_t *texts = json_object_get(root, "texts"), *spiece = json_object_get(root, "spiece");
    assert_true(json_array_size(texts) >= LEAST_TEXTS);
    dipp_tokenizer *model = open_tokenizer(FIXTURES "t5_spiece.model"),
                   *json = open_tokenizer(FIXTURES "t5_tokenizer.json");
    assert_int_equal(dipp_tokenizer_size(model), 490);
    assert_int_equal(dipp_tokenizer_size(json), 490);
    check_rows(model, "spiece.model", texts, NULL, spiece, NULL);
    check_rows(json, "tokenizer.json", texts, NULL, json_object_get(root, "json"), spiece);
    dipp_tokenizer_destroy(&model);
    dipp_tokenizer_destroy(&json);
    json_decref(root);
}

/* Padding, truncation, and how long the texts are: a text is longer than length exactly when something was cut off. */
static void texts_are_cut_and_padded_as_published(void **state)
{
    (void)state;
    json_t *root = open_json(FIXTURES "t5_expected.json");
    const json_t *texts = json_object_get(root, "texts"), *few = json_object_get(root, "few"),
                 *spiece = json_object_get(root, "spiece_padded"), *json = json_object_get(root, "json_padded");
    const uint32_t length = (uint32_t)json_integer_value(json_object_get(root, "padded"));
    dipp_tokenizer *tokenizers[] = {open_tokenizer(FIXTURES "t5_spiece.model"),
                                    open_tokenizer(FIXTURES "t5_tokenizer.json")};
    size_t longer = 0, shorter = 0;
    for (size_t i = 0; i < json_array_size(few); i++)
        for (size_t k = 0; k < 2; k++) {
            int32_t ids[LONGEST], all[LONGEST];
            const char *hex =
                json_string_value(json_array_get(texts, (size_t)json_integer_value(json_array_get(few, i))));
            const json_t *row = json_array_get(k ? json : spiece, i);
            size_t count = encode(tokenizers[k], hex, length, ids);
            check_ids("cut", hex, ids, length, json_is_null(row) ? json_array_get(spiece, i) : row);
            assert_true(count <= length || count == encode(tokenizers[k], hex, LONGEST, all));
            assert_true(count > length || count == encode(tokenizers[k], hex, LONGEST, all));
            longer += count > length;
            shorter += count < length;
        }
    assert_true(longer >= 20 && shorter >= 20);
    dipp_tokenizer_destroy(&tokenizers[0]);
    dipp_tokenizer_destroy(&tokenizers[1]);
    json_decref(root);
}

/* Fields behind the model change its normaliser's settings: no blank first, blanks kept, both, no rules. */
static void settings_of_a_model_are_followed(void **state)
{
    (void)state;
    json_t *root = open_json(FIXTURES "t5_expected.json");
    const json_t *variants = json_object_get(root, "spiece_variants");
    char *model = NULL;
    size_t bytes;
    assert_int_equal(dipp_file_read(FIXTURES "t5_spiece.model", 1 << 20, &model, &bytes, NULL), DIPP_OK);
    assert_int_equal(json_array_size(variants), 4);
    for (size_t i = 0; i < json_array_size(variants); i++) {
        const json_t *variant = json_array_get(variants, i);
        const char *hex = json_string_value(json_object_get(variant, "append"));
        char *changed = malloc(bytes + LONGEST);
        assert_non_null(changed);
        memcpy(changed, model, bytes);
        dipp_tokenizer *tokenizer = open_memory(changed, bytes + from_hex(hex, changed + bytes));
        check_rows(tokenizer, hex, json_object_get(root, "texts"), json_object_get(root, "few"),
                   json_object_get(variant, "ids"), json_object_get(root, "spiece"));
        dipp_tokenizer_destroy(&tokenizer);
        free(changed);
    }
    dipp_release(model);
    json_decref(root);
}

/* The file with the variant's normaliser (null: none; else the steps behind Precompiled), words and blanks. */
static char *make_variant(json_t *file, const json_t *variant)
{
    json_t *normalizer = json_object_get(file, "normalizer"), *steps = json_object_get(variant, "steps");
    json_t *precompiled = json_array_get(json_object_get(normalizer, "normalizers"), 0);
    json_t *made = json_is_null(steps)      ? json_null()
                   : json_array_size(steps) ? json_pack("{s:s, s:[O]}", "type", "Sequence", "normalizers", precompiled)
                                            : json_incref(precompiled);
    if (json_array_size(steps))
        json_array_extend(json_object_get(made, "normalizers"), steps);
    json_object_set_new(file, "normalizer", made);
    json_object_set(file, "pre_tokenizer", json_object_get(variant, "pre_tokenizer"));
    size_t i;
    json_t *word;
    json_array_foreach(json_object_get(file, "added_tokens"), i, word)
    {
        bool strips = json_is_true(json_object_get(variant, "strips"));
        bool extra = strstr(json_string_value(json_object_get(word, "content")), "extra") != NULL;
        json_object_set_new(word, "lstrip", json_boolean(strips && extra));
        json_object_set_new(word, "rstrip", json_boolean(strips));
    }
    char *text = json_dumps(file, JSON_COMPACT);
    assert_non_null(text);
    return text;
}

static void settings_of_a_json_are_followed(void **state)
{
    (void)state;
    json_t *root = open_json(FIXTURES "t5_expected.json");
    const json_t *variants = json_object_get(root, "json_variants");
    json_t *usual = json_deep_copy(json_object_get(root, "json"));
    for (size_t i = 0; i < json_array_size(usual); i++)
        if (json_is_null(json_array_get(usual, i)))
            json_array_set(usual, i, json_array_get(json_object_get(root, "spiece"), i));
    assert_int_equal(json_array_size(variants), 5);
    for (size_t i = 0; i < json_array_size(variants); i++) {
        const json_t *variant = json_array_get(variants, i);
        json_t *file = open_json(FIXTURES "t5_tokenizer.json");
        char *text = make_variant(file, variant), name[40];
        dipp_tokenizer *tokenizer = open_memory(text, strlen(text));
        snprintf(name, sizeof name, "variant %zu", i);
        check_rows(tokenizer, name, json_object_get(root, "texts"), json_object_get(root, "few"),
                   json_object_get(variant, "ids"), usual);
        dipp_tokenizer_destroy(&tokenizer);
        free(text);
        json_decref(file);
    }
    json_decref(usual);
    json_decref(root);
}

/* Scores whose sums differ by rounding only: in float for a spiece.model, in double for a tokenizer.json. */
static void ties_are_decided_as_published(void **state)
{
    (void)state;
    json_t *root = open_json(FIXTURES "t5_expected.json");
    const json_t *ties = json_object_get(root, "ties"), *texts = json_object_get(ties, "texts");
    dipp_tokenizer *model = open_tokenizer(FIXTURES "t5_ties.model"), *json = open_tokenizer(FIXTURES "t5_ties.json");
    assert_true(json_array_size(texts) >= 100);
    assert_false(json_equal(json_object_get(ties, "spiece"), json_object_get(ties, "json")));
    check_rows(model, "ties.model", texts, NULL, json_object_get(ties, "spiece"), NULL);
    check_rows(json, "ties.json", texts, NULL, json_object_get(ties, "json"), NULL);
    dipp_tokenizer_destroy(&model);
    dipp_tokenizer_destroy(&json);
    json_decref(root);
}

static void the_longest_text_is_taken(void **state)
{
    (void)state;
    static const char *const files[] = {FIXTURES "t5_spiece.model", FIXTURES "t5_tokenizer.json"};
    char *text = malloc(DIPP_TOKENIZER_TEXT_MOST + 1);
    assert_non_null(text);
    for (size_t i = 0; i < 2; i++) {
        dipp_tokenizer *tokenizer = open_tokenizer(files[i]);
        dipp_error error = {0};
        int32_t ids[8];
        size_t count;
        memset(text, '{', DIPP_TOKENIZER_TEXT_MOST + 1);
        assert_int_equal(dipp_tokenizer_encode(tokenizer, "a", 1, 1, ids, &count, &error), DIPP_E_INVALID);
        assert_int_equal(dipp_tokenizer_encode(tokenizer, text, DIPP_TOKENIZER_TEXT_MOST + 1, 8, ids, &count, &error),
                         DIPP_E_INVALID);
        assert_non_null(strstr(error.message, "at most 65536"));
        assert_int_equal(dipp_tokenizer_encode(tokenizer, text, DIPP_TOKENIZER_TEXT_MOST, 8, ids, &count, &error),
                         DIPP_OK);
        assert_int_equal(count, 3); /* a blank, what is unknown, the end */
        /* One grapheme cluster all through, but for the first letter. */
        for (size_t k = 0; k < DIPP_TOKENIZER_TEXT_MOST; k += 2)
            memcpy(text + k, "\xcc\x81", 2);
        assert_int_equal(dipp_tokenizer_encode(tokenizer, text, DIPP_TOKENIZER_TEXT_MOST, 8, ids, &count, &error),
                         DIPP_OK);
        assert_int_equal(count, 3);
        dipp_tokenizer_destroy(&tokenizer);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_text_has_the_published_ids), cmocka_unit_test(texts_are_cut_and_padded_as_published),
        cmocka_unit_test(settings_of_a_model_are_followed), cmocka_unit_test(settings_of_a_json_are_followed),
        cmocka_unit_test(ties_are_decided_as_published),    cmocka_unit_test(the_longest_text_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
