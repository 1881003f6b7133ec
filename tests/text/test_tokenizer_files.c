/* What files of tokenizers may and may not say, and the fuzz corpus. */
#include "base/file.h"
#include "base/memory.h"
#include "base/philox.h"

#include <dipp/text.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define FIXTURES DIPP_FIXTURE_FOLDER "/tokenizers/"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *read_fixture(const char *name, size_t *bytes)
{
    char path[400], *text = NULL;
    snprintf(path, sizeof path, FIXTURES "%s", name);
    assert_int_equal(dipp_file_read(path, 1 << 20, &text, bytes, NULL), DIPP_OK);
    return text;
}

enum { CLIP = DIPP_TOKENIZER_OPEN_CLIP, FACE = DIPP_TOKENIZER_HUGGING_FACE_CLIP, BERT = DIPP_TOKENIZER_BERT_UNCASED };

/* A fixture with one piece of it replaced, or all of it given. */
static const struct file_case {
    const char *what;
    int rule;
    const char *file, *old, *with, *merges;
    dipp_status status;
    const char *said;
} cases[] = {
    {"merges", CLIP, "bpe.txt", NULL, NULL, NULL, DIPP_OK, ""},
    {"no version", CLIP, "bpe.txt", "#version", "version", NULL, DIPP_E_FORMAT, "expected a first line with #version"},
    {"no merges", CLIP, NULL, NULL, "#version: 1\n", NULL, DIPP_E_FORMAT, "merges below"},
    {"nothing", CLIP, NULL, NULL, "", NULL, DIPP_E_FORMAT, "expected a first line"},
    {"one symbol", CLIP, "bpe.txt", "t h\n", "th\n", NULL, DIPP_E_FORMAT, "x:3: expected a merge"},
    {"three symbols", CLIP, "bpe.txt", "t h\n", "t h e\n", NULL, DIPP_E_FORMAT, "x:3: expected a merge"},
    {"blank line", CLIP, "bpe.txt", "t h\n", "\n", NULL, DIPP_E_FORMAT, "x:3: expected a merge"},
    {"unknown symbol", CLIP, "bpe.txt", "t h\n", "t hh\n", NULL, DIPP_E_FORMAT, "x:3: a merge of symbols that are not"},
    {"merge twice", CLIP, "bpe.txt", "t h\n", "t h\nt h\n", NULL, DIPP_E_FORMAT,
     "x:4: the merge makes a symbol that is"},
    {"lines of another system", CLIP, "bpe.txt", "t h\n", "t h\r\n", NULL, DIPP_OK, ""},
    {"pieces for CLIP", CLIP, "vocab.txt", NULL, NULL, NULL, DIPP_E_FORMAT, "expected a first line"},
    {"alone", FACE, "vocab.json", NULL, NULL, NULL, DIPP_E_INVALID, "needs its merges.txt"},
    {"both", FACE, "vocab.json", NULL, NULL, "merges.txt", DIPP_OK, ""},
    {"open_clip from them", CLIP, "vocab.json", NULL, NULL, "merges.txt", DIPP_OK, ""},
    {"merges for BERT", BERT, "vocab.txt", NULL, NULL, "merges.txt", DIPP_E_INVALID, "goes with a vocab.json"},
    {"number twice", FACE, "vocab.json", "\"#\": 2,", "\"#\": 3,", "merges.txt", DIPP_E_FORMAT,
     "each number from 0 to"},
    {"a negative number", FACE, "vocab.json", "\"#\": 2,", "\"#\": -2,", "merges.txt", DIPP_E_FORMAT,
     "each number from 0"},
    {"a text", FACE, "vocab.json", "\"#\": 2,", "\"#\": \"2\",", "merges.txt", DIPP_E_FORMAT, "each number from 0"},
    {"no end", FACE, "vocab.json", "<|endoftext|>", "<|theend|>", "merges.txt", DIPP_E_FORMAT, "has no <|endoftext|>"},
    {"no byte", FACE, "vocab.json", "\"#\": 2,", "\"unused\": 2,", "merges.txt", DIPP_E_FORMAT,
     "no symbol for byte 35 inside a word"},
    {"no end byte", FACE, "vocab.json", "\"#</w>\"", "\"unused\"", "merges.txt", DIPP_E_FORMAT,
     "no symbol for byte 35 at the end of a word"},
    {"no result", FACE, "vocab.json", "\"th\":", "\"unused\":", "merges.txt", DIPP_E_FORMAT, "what the merge makes"},
    {"not JSON", FACE, NULL, NULL, "{\"a\":", "merges.txt", DIPP_E_FORMAT, "not JSON"},
    {"empty object", FACE, NULL, NULL, "{}", "merges.txt", DIPP_E_FORMAT, "expected an object of 1 to"},
    {"tokenizer.json", FACE, "clip_tokenizer.json", NULL, NULL, NULL, DIPP_OK, ""},
    {"tokenizer.json for open_clip", CLIP, "clip_tokenizer.json", NULL, NULL, NULL, DIPP_E_INVALID, "it goes alone"},
    {"other form", FACE, "clip_tokenizer.json", "\"NFC\"", "\"NFKC\"", NULL, DIPP_E_UNSUPPORTED,
     "x: normalizer.normalizers[0].type: expected \"NFC\", found \"NFKC\""},
    {"case kept", FACE, "clip_tokenizer.json", ",{\"type\":\"Lowercase\"}", "", NULL, DIPP_E_UNSUPPORTED,
     "x: normalizer.normalizers: expected "},
    {"other words", FACE, "clip_tokenizer.json", "[\\\\p{N}]", "[\\\\p{N}]+", NULL, DIPP_E_UNSUPPORTED,
     "the pattern is not CLIP's"},
    {"other ends", FACE, "clip_tokenizer.json", "\"end_of_word_suffix\":\"</w>\"", "\"end_of_word_suffix\":null", NULL,
     DIPP_E_UNSUPPORTED, "model.end_of_word_suffix: expected \"</w>\", found null"},
    {"dropout", FACE, "clip_tokenizer.json", "\"dropout\":null", "\"dropout\":0.1", NULL, DIPP_E_UNSUPPORTED,
     "model.dropout: expected none"},
    {"added", FACE, "clip_tokenizer.json", "\"content\":\"<|startoftext|>\"", "\"content\":\"<|more|>\"", NULL,
     DIPP_E_UNSUPPORTED, "added token \"<|more|>\""},
    {"added elsewhere", FACE, "clip_tokenizer.json", "[{\"id\":773", "[{\"id\":1", NULL, DIPP_E_FORMAT,
     "another number in the vocabulary"},
    {"BERT's for CLIP", FACE, "bert_tokenizer.json", NULL, NULL, NULL, DIPP_E_UNSUPPORTED, "normalizer.type: expected"},
    {"CLIP's for BERT", BERT, "clip_tokenizer.json", NULL, NULL, NULL, DIPP_E_UNSUPPORTED, "normalizer.type: expected"},
    {"BERT's", BERT, "bert_tokenizer.json", NULL, NULL, NULL, DIPP_OK, ""},
    {"cased", BERT, "bert_tokenizer.json", "\"lowercase\":true", "\"lowercase\":false", NULL, DIPP_E_UNSUPPORTED,
     "normalizer.lowercase: expected true, found false"},
    {"accents kept", BERT, "bert_tokenizer.json", "\"strip_accents\":null", "\"strip_accents\":false", NULL,
     DIPP_E_UNSUPPORTED, "normalizer.strip_accents"},
    {"pieces", BERT, "vocab.txt", NULL, NULL, NULL, DIPP_OK, ""},
    {"piece twice", BERT, "vocab.txt", "##ed\n", "##ing\n", NULL, DIPP_E_FORMAT, "the piece is there already"},
    {"empty piece", BERT, "vocab.txt", "##ed\n", "\n", NULL, DIPP_E_FORMAT, "a piece is empty"},
    {"no unknown", BERT, "vocab.txt", "[UNK]", "[WHO]", NULL, DIPP_E_FORMAT, "the vocabulary has no [UNK]"},
    {"no file", BERT, NULL, NULL, "", NULL, DIPP_E_FORMAT, "the vocabulary has no [PAD]"},
    {"unsound gzip", CLIP, NULL, NULL, "\x1f\x8bnothing", NULL, DIPP_E_FORMAT, "the gzip file is damaged"},
};
enum { CASES = sizeof cases / sizeof *cases };

/* The case's file in an exactly sized block, with the byte that the fuzz target wants before it, and the merges. */
static uint8_t *make_case(const struct file_case *c, size_t *bytes, char **merges, size_t *merges_bytes)
{
    size_t size = c->with && !c->file ? strlen(c->with) : 0;
    char *whole = c->file ? read_fixture(c->file, &size) : NULL;
    const char *start = whole, *place = whole && c->old ? strstr(whole, c->old) : NULL;
    if (c->old && !place)
        fail_msg("%s: the fixture has no %s", c->what, c->old);
    *bytes = c->old ? size - strlen(c->old) + strlen(c->with) : size;
    uint8_t *made = malloc(*bytes + 1);
    assert_non_null(made);
    made[0] = (uint8_t)c->rule;
    if (c->old) {
        size_t before = (size_t)(place - start), inserted = strlen(c->with);
        memcpy(made + 1, start, before);
        memcpy(made + 1 + before, c->with, inserted);
        memcpy(made + 1 + before + inserted, place + strlen(c->old), *bytes - before - inserted);
    } else {
        memcpy(made + 1, whole ? whole : c->with, size);
    }
    dipp_release(whole);
    *merges = c->merges ? read_fixture(c->merges, merges_bytes) : NULL;
    return made;
}

static void every_file_is_judged_and_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        size_t bytes, merges_bytes = 0;
        char *merges;
        uint8_t *file = make_case(&cases[i], &bytes, &merges, &merges_bytes);
        dipp_tokenizer *tokenizer = NULL;
        dipp_error error = {0};
        dipp_status status = dipp_tokenizer_create_memory((dipp_tokenizer_rule)cases[i].rule, "x", file + 1, bytes,
                                                          merges, merges_bytes, &tokenizer, &error);
        if (status != cases[i].status || !strstr(error.message, cases[i].said) || (status && error.message[0] != 'x'))
            fail_msg("%s: status %d, message: %s", cases[i].what, status, error.message);
        assert_true(!status == !!tokenizer);
        dipp_tokenizer_destroy(&tokenizer);
        LLVMFuzzerTestOneInput(file, bytes + 1);
        free(file);
        dipp_release(merges);
    }
    dipp_tokenizer *tokenizer = NULL;
    assert_int_equal(
        dipp_tokenizer_create(DIPP_TOKENIZER_BERT_UNCASED, "/nonexistent/vocab.txt", NULL, &tokenizer, NULL),
        DIPP_E_NOT_FOUND);
}

static void damaged_files_are_survived(void **state)
{
    (void)state;
    static const char *const files[] = {"bpe.txt", "bpe.txt.gz", "clip_tokenizer.json", "bert_tokenizer.json",
                                        "vocab.txt"};
    static const int rules[] = {CLIP, CLIP, FACE, BERT, BERT};
    for (size_t f = 0; f < 5; f++) {
        size_t size;
        char *whole = read_fixture(files[f], &size);
        for (uint32_t round = 0; round < 300; round++) {
            size_t kept =
                round % 3 ? size : (size_t)(dipp_philox_uniform_double(3, 0, round, (uint32_t)f, 99) * (double)size);
            uint8_t *copy = malloc(kept + 1);
            assert_non_null(copy);
            copy[0] = (uint8_t)rules[f];
            memcpy(copy + 1, whole, kept);
            for (uint32_t change = 0; change < round % 4 && kept; change++) {
                double place = dipp_philox_uniform_double(3, 0, round, (uint32_t)f, 2 * change);
                double value = dipp_philox_uniform_double(3, 0, round, (uint32_t)f, 2 * change + 1);
                copy[1 + (size_t)(place * (double)kept)] = (uint8_t)(value * 256);
            }
            LLVMFuzzerTestOneInput(copy, kept + 1);
            free(copy);
        }
        dipp_release(whole);
    }
}

/* jansson has an allocator of its own; all others of reading and encoding. */
static void any_allocation_may_fail(void **state)
{
    (void)state;
    static const char *const files[] = {"bpe.txt.gz", "clip_tokenizer.json", "vocab.txt"};
    static const int rules[] = {CLIP, FACE, BERT};
    for (size_t f = 0; f < 3; f++) {
        size_t bytes, count;
        char *text = read_fixture(files[f], &bytes);
        dipp_tokenizer *tokenizer = NULL;
        dipp_error error = {0};
        int32_t ids[77];
        uint64_t nth = 1;
        for (bool failed = true; failed; nth++) {
            dipp_memory_fail_nth(nth, false);
            dipp_status status = dipp_tokenizer_create_memory((dipp_tokenizer_rule)rules[f], "x", text, bytes, NULL, 0,
                                                              &tokenizer, &error);
            failed = dipp_memory_has_failed();
            dipp_memory_fail_nth(0, false);
            assert_int_equal(status, failed ? DIPP_E_MEMORY : DIPP_OK);
        }
        assert_true(nth > 4);
        nth = 1;
        for (bool failed = true; failed; nth++) {
            static const char prompt[] = "A &amp; \xc3\xa9 the quick brown fox <|startoftext|> [SEP] jumps";
            dipp_memory_fail_nth(nth, false);
            dipp_status status = dipp_tokenizer_encode(tokenizer, prompt, sizeof prompt - 1, 77, ids, &count, &error);
            failed = dipp_memory_has_failed();
            dipp_memory_fail_nth(0, false);
            assert_int_equal(status, failed ? DIPP_E_MEMORY : DIPP_OK);
        }
        assert_true(nth > 8);
        dipp_tokenizer_destroy(&tokenizer);
        dipp_release(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_file_is_judged_and_named),
        cmocka_unit_test(damaged_files_are_survived),
        cmocka_unit_test(any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
