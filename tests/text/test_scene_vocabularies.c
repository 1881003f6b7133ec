/* The shipped vocabularies of published formats: every word of a caption is one token, by the published rules. */
#include "base/text.h"
#include "data/prompts.h"

#include <dipp/text.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define FOLDER DIPP_SOURCE_FOLDER "/weights/emoji-text/"

enum { LENGTH = 32, SCENES = 3000 };

typedef struct vocabularies {
    dipp_emoji_world *world;
    dipp_tokenizer *tokenizers[4]; /* by rule */
    int words;                     /* met so far */
} vocabularies;

static int setup(void **state)
{
    static vocabularies v;
    dipp_error error = {0};
    dipp_emoji_world_options options;
    dipp_emoji_world_options_default(&options);
    dipp_status status = dipp_emoji_world_create(&options, &v.world, &error);
    for (int rule = DIPP_TOKENIZER_OPEN_CLIP; rule <= DIPP_TOKENIZER_HUGGING_FACE_CLIP && !status; rule++)
        status = dipp_tokenizer_create((dipp_tokenizer_rule)rule, FOLDER "vocab.json", FOLDER "merges.txt",
                                       &v.tokenizers[rule], &error);
    if (!status)
        status = dipp_tokenizer_create(DIPP_TOKENIZER_BERT_UNCASED, FOLDER "vocab.txt", NULL,
                                       &v.tokenizers[DIPP_TOKENIZER_BERT_UNCASED], &error);
    if (status)
        print_error("%s\n", error.message);
    *state = &v;
    return status ? -1 : 0;
}

static int teardown(void **state)
{
    vocabularies *v = *state;
    for (int rule = 0; rule < 4; rule++)
        dipp_tokenizer_destroy(&v->tokenizers[rule]);
    dipp_emoji_world_destroy(&v->world);
    return 0;
}

/* Tokens of a text between start and end, none of them unknown. */
static uint32_t tokens_of(const vocabularies *v, int rule, const char *text)
{
    int32_t ids[LENGTH], unknown[3];
    size_t count = 0, one = 0;
    dipp_tokenizer *tokenizer = v->tokenizers[rule];
    assert_int_equal(dipp_tokenizer_encode(tokenizer, text, strlen(text), LENGTH, ids, &count, NULL), DIPP_OK);
    assert_in_range(count, 3, LENGTH);
    if (rule == DIPP_TOKENIZER_BERT_UNCASED) {
        assert_int_equal(dipp_tokenizer_encode(tokenizer, "[UNK]", 5, 3, unknown, &one, NULL), DIPP_OK);
        for (size_t i = 0; i < count; i++)
            if (ids[i] == unknown[1])
                fail_msg("\"%s\": token %zu is unknown", text, i);
    }
    return (uint32_t)count - 2;
}

static int check_phrase(void *user, const char *phrase)
{
    vocabularies *v = user;
    char copy[256], *rest = NULL;
    snprintf(copy, sizeof copy, "%s", phrase);
    for (char *word = strtok_r(copy, " -", &rest); word; word = strtok_r(NULL, " -", &rest), v->words++)
        for (int rule = 0; rule < 4; rule++)
            if (tokens_of(v, rule, word) != 1)
                fail_msg("\"%s\" is %u tokens by rule %d", word, tokens_of(v, rule, word), rule);
    return 0;
}

static void every_word_is_one_token(void **state)
{
    vocabularies *v = *state;
    assert_int_equal(dipp_emoji_world_words(v->world, check_phrase, v), 0);
    assert_in_range(v->words, 120, 1000);
}

/* Words and commas, and nothing else. */
static void captions_take_a_token_a_word(void **state)
{
    const vocabularies *v = *state;
    for (uint64_t i = 0; i < SCENES; i++) {
        dipp_scene_attributes scene;
        char caption[DIPP_CAPTION_BYTES];
        dipp_emoji_scene_attributes(v->world, 3, i, &scene);
        assert_int_equal(dipp_emoji_scene_caption(v->world, 3, i, &scene, caption, sizeof caption, NULL), DIPP_OK);
        uint32_t expected = 1;
        for (const char *at = caption; *at; at++)
            expected += (*at == ' ') + (*at == ',');
        for (int rule = 0; rule < 4; rule++)
            if (tokens_of(v, rule, caption) != expected)
                fail_msg("\"%s\" is %u tokens by rule %d, expected %u", caption, tokens_of(v, rule, caption), rule,
                         expected);
    }
}

/* Any other text has tokens, too, if more of them. */
static void other_words_are_spelled(void **state)
{
    const vocabularies *v = *state;
    for (int rule = 0; rule < 4; rule++)
        assert_true(tokens_of(v, rule, "zebra, 42!") > 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_word_is_one_token),
        cmocka_unit_test(captions_take_a_token_a_word),
        cmocka_unit_test(other_words_are_spelled),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
