#include "base/memory.h"
#include "text/word_vocabulary.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static const char *const phrases[] = {"a red apple", "A T-shirt, red", "caf\xc3\xa9 24"};

static dipp_word_vocabulary *make(void)
{
    dipp_word_vocabulary *vocabulary = NULL;
    assert_int_equal(dipp_word_vocabulary_create(phrases, 3, 100, &vocabulary, NULL), DIPP_OK);
    return vocabulary;
}

static void words_are_sorted_and_unique(void **state)
{
    (void)state;
    dipp_word_vocabulary *vocabulary = make();
    static const char *const expected[] = {"<pad>",       "<unknown>", "24",    "a", "apple",
                                           "caf\xc3\xa9", "red",       "shirt", "t"};
    assert_int_equal(dipp_word_vocabulary_size(vocabulary), 9);
    for (int i = 0; i < 9; i++) {
        assert_string_equal(dipp_word_vocabulary_word(vocabulary, i), expected[i]);
        if (i >= 2)
            assert_int_equal(dipp_word_vocabulary_id(vocabulary, expected[i]), i);
    }
    assert_null(dipp_word_vocabulary_word(vocabulary, 9));
    assert_null(dipp_word_vocabulary_word(vocabulary, -1));
    assert_int_equal(dipp_word_vocabulary_id(vocabulary, "pear"), DIPP_WORD_UNKNOWN);
    dipp_word_vocabulary_destroy(&vocabulary);
    assert_null(vocabulary);
}

static void texts_become_padded_ids(void **state)
{
    (void)state;
    dipp_word_vocabulary *vocabulary = make();
    int32_t ids[5];
    const int32_t expected[5] = {3, 1, 6, 4, 0};
    assert_int_equal(dipp_word_vocabulary_tokenize(vocabulary, " A pear--RED, apple!", 5, ids), 4);
    assert_memory_equal(ids, expected, sizeof ids);
    assert_int_equal(dipp_word_vocabulary_tokenize(vocabulary, "red red red red red red red", 5, ids), 7);
    for (int i = 0; i < 5; i++)
        assert_int_equal(ids[i], 6);
    assert_int_equal(dipp_word_vocabulary_tokenize(vocabulary, NULL, 5, ids), 0);
    for (int i = 0; i < 5; i++)
        assert_int_equal(ids[i], DIPP_WORD_PAD);
    char word[200];
    memset(word, 'x', sizeof word - 1);
    word[sizeof word - 1] = 0;
    assert_int_equal(dipp_word_vocabulary_tokenize(vocabulary, word, 5, ids), 1);
    assert_int_equal(ids[0], DIPP_WORD_UNKNOWN);
    dipp_word_vocabulary_destroy(&vocabulary);
}

static void limits_are_kept(void **state)
{
    (void)state;
    dipp_word_vocabulary *vocabulary = NULL;
    dipp_error error = {0};
    assert_int_equal(dipp_word_vocabulary_create(phrases, 3, 9, &vocabulary, &error), DIPP_OK);
    dipp_word_vocabulary_destroy(&vocabulary);
    assert_int_equal(dipp_word_vocabulary_create(phrases, 3, 8, &vocabulary, &error), DIPP_E_INVALID);
    assert_non_null(strstr(error.message, "7 different words"));
    assert_int_equal(dipp_word_vocabulary_create(phrases, 3, 2, &vocabulary, &error), DIPP_E_INVALID);
    assert_int_equal(dipp_word_vocabulary_create(phrases, 3, 2049, &vocabulary, &error), DIPP_E_INVALID);
    char word[65];
    memset(word, 'x', 64);
    word[64] = 0;
    const char *const longest = word;
    assert_int_equal(dipp_word_vocabulary_create(&longest, 1, 10, &vocabulary, &error), DIPP_E_INVALID);
    word[63] = 0;
    assert_int_equal(dipp_word_vocabulary_create(&longest, 1, 10, &vocabulary, &error), DIPP_OK);
    dipp_word_vocabulary_destroy(&vocabulary);
    for (uint64_t nth = 1; nth <= 2; nth++) {
        dipp_memory_fail_nth(nth, false);
        assert_int_equal(dipp_word_vocabulary_create(phrases, 3, 100, &vocabulary, &error), DIPP_E_MEMORY);
        dipp_memory_fail_nth(0, false);
    }
    assert_null(vocabulary);
}

static void load_refuses(const char *text, const char *because)
{
    char path[] = "/tmp/dipp-words-XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0 && write(file, text, strlen(text)) == (ssize_t)strlen(text));
    close(file);
    dipp_word_vocabulary *vocabulary = NULL;
    dipp_error error = {0};
    assert_int_equal(dipp_word_vocabulary_load(path, &vocabulary, &error), DIPP_E_FORMAT);
    assert_null(vocabulary);
    assert_non_null(strstr(error.message, because));
    assert_non_null(strstr(error.message, path));
    unlink(path);
}

static void files_read_back_and_bad_ones_do_not(void **state)
{
    (void)state;
    dipp_error error = {0};
    char path[] = "/tmp/dipp-words-XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    dipp_word_vocabulary *vocabulary = make(), *back = NULL;
    assert_int_equal(dipp_word_vocabulary_save(vocabulary, path, &error), DIPP_OK);
    assert_int_equal(dipp_word_vocabulary_load(path, &back, &error), DIPP_OK);
    assert_int_equal(dipp_word_vocabulary_size(back), dipp_word_vocabulary_size(vocabulary));
    for (int i = 0; i < dipp_word_vocabulary_size(back); i++)
        assert_string_equal(dipp_word_vocabulary_word(back, i), dipp_word_vocabulary_word(vocabulary, i));
    unlink(path);
    assert_int_equal(dipp_word_vocabulary_load(path, &back, &error), DIPP_E_NOT_FOUND);
    assert_true(dipp_word_vocabulary_save(vocabulary, "/nonexistent/words", &error) != DIPP_OK);
    dipp_word_vocabulary_destroy(&vocabulary);
    dipp_word_vocabulary_destroy(&back);

    load_refuses("", "0 lines");
    load_refuses("apple\npear\n", ":1: expected \"<pad>\"");
    load_refuses("<pad>\n<unknown>\n", "at least one word");
    load_refuses("<pad>\n<unknown>\npear\napple\n", ":4: \"apple\" after \"pear\"");
    load_refuses("<pad>\n<unknown>\npear\npear\n", "each once");
    load_refuses("<pad>\n<unknown>\ntwo words\n", "expected one lower-case word");
    load_refuses("<pad>\n<unknown>\nUpper\n", "expected one lower-case word");
    load_refuses("<pad>\n<unknown>\n\n", "expected one lower-case word");
    load_refuses("<pad>\n<unknown>"
                 "\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n",
                 "at most 63");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_sorted_and_unique),
        cmocka_unit_test(texts_become_padded_ids),
        cmocka_unit_test(limits_are_kept),
        cmocka_unit_test(files_read_back_and_bad_ones_do_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
