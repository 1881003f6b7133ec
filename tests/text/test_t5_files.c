/* What T5's files may and may not say: spiece.model, written here field by field, and tokenizer.json, the fixture with
 * a piece of it changed. */
#include "base/file.h"
#include "base/memory.h"

#include <dipp/text.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define FIXTURES DIPP_FIXTURE_FOLDER "/tokenizers/"

enum { BYTES_MOST = 1 << 14 };

/* ---- Protobuf and double arrays, written ---- */

typedef struct writer {
    uint8_t bytes[BYTES_MOST];
    size_t count;
} writer;

static void put(writer *w, const void *bytes, size_t count)
{
    assert_true(w->count + count <= BYTES_MOST);
    memcpy(w->bytes + w->count, bytes, count);
    w->count += count;
}

static void put_varint(writer *w, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        put(w, &(uint8_t){(uint8_t)(value | 0x80)}, 1);
    put(w, &(uint8_t){(uint8_t)value}, 1);
}

static void put_number(writer *w, uint32_t field, uint64_t value)
{
    put_varint(w, field << 3);
    put_varint(w, value);
}

static void put_bytes(writer *w, uint32_t field, const void *bytes, size_t count)
{
    put_varint(w, field << 3 | 2);
    put_varint(w, count);
    put(w, bytes, count);
}

enum { NORMAL = 1, UNKNOWN = 2, CONTROL = 3, USER_DEFINED = 4, UNUSED = 5, BYTE = 6 };

static void put_piece_n(writer *w, const char *text, size_t bytes, float score, int type)
{
    writer piece = {.count = 0};
    put_bytes(&piece, 1, text, bytes);
    put_varint(&piece, 2 << 3 | 5);
    put(&piece, &score, 4);
    if (type != NORMAL)
        put_number(&piece, 3, (uint64_t)type);
    put_bytes(w, 1, piece.bytes, piece.count);
}

static void put_piece(writer *w, const char *text, float score, int type)
{
    put_piece_n(w, text, strlen(text), score, type);
}

static void put_specials(writer *w)
{
    put_piece(w, "<pad>", 0, CONTROL);
    put_piece(w, "</s>", 0, CONTROL);
    put_piece(w, "<unk>", 0, UNKNOWN);
}

/* <pad>, </s>, <unk>, a blank, a, b, ab. */
static void put_model(writer *w)
{
    put_specials(w);
    put_piece(w, "\xe2\x96\x81", -2, NORMAL);
    put_piece(w, "a", -2, NORMAL);
    put_piece(w, "b", -2, NORMAL);
    put_piece(w, "ab", -3, NORMAL);
}

/* A field of trainer_spec (2) or normalizer_spec (3). */
static void put_setting(writer *w, uint32_t message, uint32_t field, uint64_t value)
{
    writer settings = {.count = 0};
    put_number(&settings, field, value);
    put_bytes(w, message, settings.bytes, settings.count);
}

enum { UNITS = 512 };

/* A double array with "A" to the replacement at value 0: the root's children are at 1 xor their byte, and the string's
 * end at 2. */
static void make_map(uint32_t units[UNITS])
{
    memset(units, 0, UNITS * sizeof *units);
    units[0] = 1u << 10;
    for (uint32_t i = 1; i < UNITS; i++)
        units[i] = 0x80000000u; /* no label */
    units[1 ^ 'A'] = 'A' | 1u << 8 | ((1u ^ 'A') ^ 2u) << 10;
    units[2] = 0x80000000u; /* the value 0 */
}

static void put_map(writer *w, uint32_t size, const uint32_t units[UNITS], const char *replacements, size_t bytes)
{
    writer map = {.count = 0}, settings = {.count = 0};
    put(&map, &size, 4);
    put(&map, units, 4 * UNITS);
    put(&map, replacements, bytes);
    put_bytes(&settings, 2, map.bytes, map.count);
    put_bytes(w, 3, settings.bytes, settings.count);
}

/* ---- Judgements ---- */

static dipp_status judge(const writer *w, const char *said, const char *what)
{
    dipp_tokenizer *tokenizer = NULL;
    dipp_error error = {0};
    uint8_t *exact = malloc(w->count + !w->count);
    assert_non_null(exact);
    memcpy(exact, w->bytes, w->count);
    dipp_status status =
        dipp_tokenizer_create_memory(DIPP_TOKENIZER_T5, "x", exact, w->count, NULL, 0, &tokenizer, &error);
    free(exact);
    if (!strstr(error.message, said) || (status && strncmp(error.message, "x: ", 3) != 0) || !status != !!tokenizer)
        fail_msg("%s: status %d, message: %s", what, status, error.message);
    dipp_tokenizer_destroy(&tokenizer);
    return status;
}

#define EXPECT(w, status, said) assert_int_equal(judge(w, said, said), status)

static void check_prompt(const writer *w, const char *text, const int32_t *expected, size_t count)
{
    dipp_tokenizer *tokenizer = NULL;
    dipp_error error = {0};
    if (dipp_tokenizer_create_memory(DIPP_TOKENIZER_T5, "x", w->bytes, w->count, NULL, 0, &tokenizer, &error))
        fail_msg("%s", error.message);
    int32_t ids[16];
    size_t found;
    assert_int_equal(dipp_tokenizer_encode(tokenizer, text, strlen(text), 16, ids, &found, NULL), DIPP_OK);
    assert_int_equal(found, count);
    assert_memory_equal(ids, expected, count * sizeof *ids);
    dipp_tokenizer_destroy(&tokenizer);
}

#define CHECK_PROMPT(w, text, ...)                                            \
    do {                                                                      \
        const int32_t expected_[] = {__VA_ARGS__};                            \
        check_prompt(w, text, expected_, sizeof expected_ / sizeof(int32_t)); \
    } while (0)

static void models_that_are_read(void **state)
{
    (void)state;
    writer w = {.count = 0};
    put_model(&w);
    CHECK_PROMPT(&w, " ab  c{<extra_id_0>b ", 3, 6, 3, 2, 106, 3, 5, 1);
    /* Settings before the pieces, unknown fields of all sorts, the default type written out, <unk> last. */
    w.count = 0;
    put_setting(&w, 2, 3, 1);
    put_setting(&w, 3, 3, 0);
    put_number(&w, 77, UINT64_MAX);
    put_varint(&w, 78 << 3 | 1);
    put(&w, "12345678", 8);
    put_varint(&w, 79 << 3 | 5);
    put(&w, "1234", 4);
    put_bytes(&w, 80, "more", 4);
    put_piece(&w, "</s>", 0, CONTROL);
    put_piece(&w, "<pad>", 0, CONTROL);
    put_piece(&w, "a", -1, NORMAL);
    put_piece(&w, "<unk>", 0, UNKNOWN);
    CHECK_PROMPT(&w, "a?!aa", 2, 3, 2, 2, 0);
    /* A rule. */
    uint32_t units[UNITS];
    w.count = 0;
    put_model(&w);
    make_map(units);
    put_map(&w, 4 * UNITS, units, "ab", 3);
    CHECK_PROMPT(&w, "A", 3, 6, 1);
}

/* A character that is no piece costs 10 more than the worst piece, here 15: "bc", "d" and "e" for less than that and
 * "cde", or for more. */
static void what_is_unknown_has_its_price(void **state)
{
    (void)state;
    for (int dear = 0; dear < 2; dear++) {
        writer w = {.count = 0};
        put_specials(&w);
        put_setting(&w, 3, 3, 0); /* no blank first */
        put_piece(&w, "a", 0, NORMAL);
        put_piece(&w, "bc", -5, NORMAL);
        put_piece(&w, "d", -5, NORMAL);
        put_piece(&w, "e", dear ? -5 : -4.5f, NORMAL);
        put_piece(&w, "cde", dear ? 0.25f : 0, NORMAL);
        if (dear)
            CHECK_PROMPT(&w, "abcde", 3, 2, 7, 1);
        else
            CHECK_PROMPT(&w, "abcde", 3, 4, 5, 6, 1);
    }
}

static void models_that_ask_for_more_are_named(void **state)
{
    (void)state;
    static const struct {
        uint32_t message, field;
        uint64_t value;
        const char *said;
    } settings[] = {
        {2, 3, 2, "x: trainer_spec.model_type: expected unigram, found BPE"},
        {2, 3, 3, "expected unigram, found words"},
        {2, 3, 99, "expected unigram, found another"},
        {2, 24, 1, "trainer_spec.treat_whitespace_as_suffix: expected false"},
        {2, 35, 1, "trainer_spec.byte_fallback: expected false"},
        {3, 5, 0, "normalizer_spec.escape_whitespaces: expected true"},
    };
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        writer w = {.count = 0};
        put_model(&w);
        put_setting(&w, settings[i].message, settings[i].field, settings[i].value);
        EXPECT(&w, DIPP_E_UNSUPPORTED, settings[i].said);
    }
    static const struct {
        const char *text;
        int type;
        const char *said;
    } pieces[] = {
        {"<mask>", USER_DEFINED, "piece 7 is \"<mask>\" of type user defined"},
        {"<0x41>", BYTE, "type byte"},
        {"old", UNUSED, "type unused"},
        {"<s>", CONTROL, "piece 7 is \"<s>\" of type control"},
        {"<pad>", CONTROL, "piece 7 is \"<pad>\" of type control; expected normal pieces"},
        {"<unk>", UNKNOWN, "type unknown"},
        {"x", 70, "of another type"},
    };
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        writer w = {.count = 0};
        put_model(&w);
        put_piece(&w, pieces[i].text, 0, pieces[i].type);
        EXPECT(&w, DIPP_E_UNSUPPORTED, pieces[i].said);
    }
}

static void damaged_models_are_named(void **state)
{
    (void)state;
    writer w = {.count = 0};
    EXPECT(&w, DIPP_E_FORMAT, "no SentencePiece model of 1 to");
    put(&w, "a tokenizer", 11);
    EXPECT(&w, DIPP_E_FORMAT, "no SentencePiece model, cut short or damaged");
    static const char *const lacking[] = {"</s>", "<unk>", "<pad>"};
    for (int i = 0; i < 3; i++) {
        char said[60];
        w.count = 0;
        for (int k = 0; k < 3; k++)
            if (k != i)
                put_piece(&w, lacking[k], 0, k == 1 ? UNKNOWN : CONTROL);
        snprintf(said, sizeof said, "the vocabulary lacks %s", lacking[i]);
        EXPECT(&w, DIPP_E_FORMAT, said);
    }
    w.count = 0;
    put_specials(&w);
    EXPECT(&w, DIPP_E_FORMAT, "no ordinary piece");
    static const struct {
        const char *text;
        size_t bytes;
        float score;
        const char *said;
    } pieces[] = {
        {"", 0, 0, "piece 7 is empty"},
        {"a\0b", 3, 0, "or has a zero byte"},
        {"\xff", 1, 0, "not UTF-8"},
        {"c", 1, NAN, "the score of piece 7 is not finite"},
        {"c", 1, -INFINITY, "the score of piece 7 is not finite"},
        {"ab", 2, 0, "pieces 6 and 7 are the same"},
    };
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        w.count = 0;
        put_model(&w);
        put_piece_n(&w, pieces[i].text, pieces[i].bytes, pieces[i].score, NORMAL);
        dipp_status status = judge(&w, "", "a piece");
        assert_int_equal(status, DIPP_E_FORMAT);
        if (i < 5)
            EXPECT(&w, DIPP_E_FORMAT, pieces[i].said);
        else
            EXPECT(&w, DIPP_E_FORMAT, "are the same");
    }
    char longest[1025];
    memset(longest, 'a', sizeof longest);
    w.count = 0;
    put_model(&w);
    put_piece_n(&w, longest, 1024, 0, NORMAL);
    EXPECT(&w, DIPP_OK, "");
    put_piece_n(&w, longest, 1025, 0, NORMAL);
    EXPECT(&w, DIPP_E_UNSUPPORTED, "piece 8 has 1025 bytes; at most 1024 are taken");
    /* A varint of eleven bytes, a field without a number, a group, pieces as a number, a message longer than the file. */
    static const char *const ends[] = {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "\x02", "\x0b", "\x08\x01",
                                       "\x0a\x7f"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        w.count = 0;
        put_model(&w);
        put(&w, ends[i], strlen(ends[i]));
        EXPECT(&w, DIPP_E_FORMAT, "no SentencePiece model");
    }
    w.count = 0;
    put_model(&w);
    dipp_tokenizer *tokenizer = NULL;
    dipp_error error = {0};
    assert_int_equal(
        dipp_tokenizer_create_memory(DIPP_TOKENIZER_T5, "x", w.bytes, w.count, "a b", 3, &tokenizer, &error),
        DIPP_E_INVALID);
}

static void expect_map(uint32_t size, const uint32_t units[UNITS], const char *replacements, size_t bytes,
                       const char *said)
{
    writer w = {.count = 0};
    put_model(&w);
    put_map(&w, size, units, replacements, bytes);
    EXPECT(&w, DIPP_E_FORMAT, said);
}

static void damaged_maps_are_named(void **state)
{
    (void)state;
    uint32_t units[UNITS];
    make_map(units);
    expect_map(0, units, "ab", 3, "the normaliser's map is cut short or damaged");
    expect_map(4 * UNITS - 1, units, "ab", 3, "cut short or damaged");
    expect_map(4 * UNITS + 4, units, "ab", 3, "cut short or damaged");
    expect_map(UINT32_MAX - 3, units, "ab", 3, "cut short or damaged");
    expect_map(4 * UNITS, units, "ab", 2, "does not end with a zero byte");
    expect_map(4 * UNITS, units, "", 0, "does not end with a zero byte");
    expect_map(4 * UNITS, units, "\xc3", 2, "has a replacement that is not UTF-8");
    char longest[1026] = {0};
    memset(longest, 'a', 1025);
    expect_map(4 * UNITS, units, longest, 1026, "has a replacement of more than 1024 bytes");
    units[2] = 0x80000003u;
    expect_map(4 * UNITS, units, "ab", 3, "has a string whose replacement is outside");
    units[2] = 0x80000001u;
    expect_map(4 * UNITS, units, "\xc3\xa9", 3, "or begins inside a character");
    make_map(units);
    units[1 ^ 'A'] = 'A' | 1u << 8 | 0x1000u << 10;
    expect_map(4 * UNITS, units, "ab", 3, "has a string whose replacement is outside");
    make_map(units);
    units[0] = UNITS << 10;
    expect_map(4 * UNITS, units, "ab", 3, "has a node whose children are outside");
    units[0] = 0xffffffffu & ~0x800000ffu;
    expect_map(4 * UNITS, units, "ab", 3, "has a node whose children are outside");
}

/* Strings of A to AAA..., one unit after the other, and each of them with the value behind them all. */
static void make_chain(uint32_t units[UNITS], uint32_t length)
{
    make_map(units);
    units[0] = (1u ^ 'A') << 10;
    for (uint32_t i = 1; i <= length; i++)
        units[i] = 'A' | (i ^ (i + 1) ^ 'A') << 10;
    units[length] = 'A' | 1u << 8 | (length ^ 511u) << 10;
    units[511] = 0x80000000u;
}

static void long_strings_of_a_map_are_refused(void **state)
{
    (void)state;
    uint32_t units[UNITS];
    writer w = {.count = 0};
    char text[300];
    memset(text, 'A', sizeof text);
    text[256] = 0;
    put_model(&w);
    make_chain(units, 256);
    put_map(&w, 4 * UNITS, units, "ab", 3);
    CHECK_PROMPT(&w, text, 3, 6, 1);
    CHECK_PROMPT(&w, text + 1, 3, 2, 1);
    make_chain(units, 257);
    expect_map(4 * UNITS, units, "ab", 3, "has a string of more than 256 bytes");
}

/* A node that is its own child: strings without end. Text is read no further than 256 bytes into it. */
static void a_map_that_turns_in_a_circle_is_survived(void **state)
{
    (void)state;
    uint32_t units[UNITS];
    writer w = {.count = 0};
    put_model(&w);
    make_map(units);
    /* From 1 xor 'A' again to 1 xor 'A': children at 1. */
    units[1 ^ 'A'] = 'A' | 1u << 8 | (uint32_t)'A' << 10;
    units[1] = 0x80000000u;
    put_map(&w, 4 * UNITS, units, "ab", 3);
    dipp_tokenizer *tokenizer = NULL;
    assert_int_equal(dipp_tokenizer_create_memory(DIPP_TOKENIZER_T5, "x", w.bytes, w.count, NULL, 0, &tokenizer, NULL),
                     DIPP_OK);
    char *text = malloc(DIPP_TOKENIZER_TEXT_MOST);
    assert_non_null(text);
    memset(text, 'A', DIPP_TOKENIZER_TEXT_MOST);
    int32_t ids[8];
    size_t count;
    assert_int_equal(dipp_tokenizer_encode(tokenizer, text, DIPP_TOKENIZER_TEXT_MOST, 8, ids, &count, NULL), DIPP_OK);
    assert_int_equal(count, 1 + DIPP_TOKENIZER_TEXT_MOST / 256 + 1);
    free(text);
    dipp_tokenizer_destroy(&tokenizer);
}

/* ---- tokenizer.json ---- */

static char *read_fixture(const char *name, size_t *bytes)
{
    char path[400], *text = NULL;
    snprintf(path, sizeof path, FIXTURES "%s", name);
    assert_int_equal(dipp_file_read(path, 1 << 20, &text, bytes, NULL), DIPP_OK);
    return text;
}

static const struct json_case {
    const char *old, *with;
    dipp_status status;
    const char *said;
} json_cases[] = {
    {"\"Unigram\"", "\"BPE\"", DIPP_E_UNSUPPORTED, "x: model.type: expected \"Unigram\", found \"BPE\""},
    {"\"byte_fallback\":false", "\"byte_fallback\":true", DIPP_E_UNSUPPORTED, "x: model.byte_fallback"},
    {"\"unk_id\":2", "\"unk_id\":null", DIPP_E_FORMAT, "and unk_id among them"},
    {"\"unk_id\":2", "\"unk_id\":490", DIPP_E_FORMAT, "and unk_id among them"},
    {"[\"<pad>\",0.0]", "[\"<pad>\"]", DIPP_E_FORMAT, "model.vocab[0]: expected a piece and its score"},
    {"[\"<pad>\",0.0]", "[\"<pad>\",\"0\"]", DIPP_E_FORMAT, "model.vocab[0]"},
    {"[\"<pad>\",0.0]", "[\"</s>\",0.0]", DIPP_E_FORMAT, "are the same"},
    {"[\"<pad>\",0.0]", "[\"<pod>\",0.0]", DIPP_E_FORMAT, "added_tokens[0]: <pad> is not there"},
    {"[\"<extra_id_0>\",0.0]", "[\"<extra>\",0.0]", DIPP_E_FORMAT, "added_tokens[102]: <extra_id_0> is not there"},
    {"[\"<extra_id_0>\",0.0]", "[\"<extra_id_0>\",0.0],[\"zz\",0.0]", DIPP_E_FORMAT, "<extra_id_99> is not there"},
    {"\"content\":\"<pad>\"", "\"content\":\"<pod>\"", DIPP_E_UNSUPPORTED, "added_tokens[0]: expected </s>, <unk>"},
    {"\"content\":\"<pad>\"", "\"content\":\"</s>\"", DIPP_E_FORMAT, "added_tokens[0]: </s> is not there"},
    {"\"content\":\"<unk>\"", "\"content\":\"</s>\"", DIPP_E_UNSUPPORTED, "added_tokens[2]: expected </s>, <unk>"},
    {"\"content\":\"<extra_id_5>\"", "\"content\":\"<extra_id_100>\"", DIPP_E_UNSUPPORTED, "added_tokens[97]"},
    {"{\"id\":489,\"content\":\"<extra_id_0>\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,",
     "{\"id\":489,\"content\":\"<extra_id_0>\",\"single_word\":false,\"lstrip\":true,\"rstrip\":false,",
     DIPP_E_UNSUPPORTED, "added_tokens[102]: expected"},
    {"\"content\":\"<pad>\",\"single_word\":false", "\"content\":\"<pad>\",\"single_word\":true", DIPP_E_UNSUPPORTED,
     "added_tokens[0]"},
    {"{\"id\":0,\"content\":\"<pad>\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"normalized\":false,"
     "\"special\":"
     "true},",
     "", DIPP_E_UNSUPPORTED, "added_tokens: expected </s>, <unk>, <pad> and <extra_id_0> to <extra_id_99>, found 102"},
    {"\"normalized\":false", "\"normalized\":true", DIPP_E_UNSUPPORTED, "added_tokens[0]"},
    {"{\"type\":\"Strip\"", "{\"type\":\"NFKC\"", DIPP_E_UNSUPPORTED,
     "x: normalizer.normalizers[1]: expected Precompiled, Strip and Replace of / {2,}/ in this order, found "
     "{\"type\":\"NFKC\""},
    {"\" {2,}\"", "\"\\\\s+\"", DIPP_E_UNSUPPORTED, "x: normalizer.normalizers[2]: expected"},
    {"\"content\":\"\xe2\x96\x81\"", "\"content\":\"\"", DIPP_E_UNSUPPORTED, "x: normalizer.normalizers[2]: expected"},
    {"\"precompiled_charsmap\":\"", "\"precompiled_charsmap\":\"?", DIPP_E_FORMAT,
     "precompiled_charsmap is not base64"},
    {"\"precompiled_charsmap\":\"", "\"precompiled_charsmap\":\"AAAA", DIPP_E_FORMAT, "the normaliser's map"},
    {"\"precompiled_charsmap\":\"", "\"precompiled_charsmap\":\"\",\"more\":\"", DIPP_E_FORMAT, "is not base64"},
    {"\"pre_tokenizer\":{\"type\":\"Metaspace\"", "\"pre_tokenizer\":{\"type\":\"Whitespace\"", DIPP_E_UNSUPPORTED,
     "x: pre_tokenizer: expected Metaspace with U+2581 that splits, found {\"type\":\"Whitespace\""},
    {"\"pre_tokenizer\":{", "\"pre_tokenizer\":null,\"more\":{", DIPP_E_UNSUPPORTED, "x: pre_tokenizer: expected"},
    {"\"prepend_scheme\":\"always\",\"split\":true", "\"prepend_scheme\":\"always\",\"split\":false",
     DIPP_E_UNSUPPORTED, "x: pre_tokenizer: expected"},
    {"\"prepend_scheme\":\"always\"", "\"prepend_scheme\":\"last\"", DIPP_E_UNSUPPORTED,
     "prepend_scheme always, first"},
    {"\"prepend_scheme\":\"always\"", "\"prepend_scheme\":\"always\",\"add_prefix_space\":false", DIPP_E_UNSUPPORTED,
     "x: pre_tokenizer: expected"},
    {"\"version\":\"1.0\"", "\"version\":\"1.0\"", DIPP_OK, ""},
};

/* whole[bytes] with the case's change, in an exactly sized block. */
static char *make_json(const struct json_case *c, const char *whole, size_t bytes, size_t *size)
{
    size_t old = strlen(c->old), with = strlen(c->with), before = 0;
    while (before + old < bytes && memcmp(whole + before, c->old, old) != 0)
        before++;
    if (before + old == bytes)
        fail_msg("the fixture has no %s", c->old);
    *size = bytes - old + with;
    char *made = malloc(*size);
    assert_non_null(made);
    memcpy(made, whole, before);
    memcpy(made + before, c->with, with);
    memcpy(made + before + with, whole + before + old, bytes - before - old);
    return made;
}

static void every_json_is_judged_and_named(void **state)
{
    (void)state;
    size_t bytes, size;
    char *whole = read_fixture("t5_tokenizer.json", &bytes);
    for (size_t i = 0; i < sizeof json_cases / sizeof *json_cases; i++) {
        const struct json_case *c = &json_cases[i];
        char *made = make_json(c, whole, bytes, &size);
        dipp_tokenizer *tokenizer = NULL;
        dipp_error error = {0};
        dipp_status status =
            dipp_tokenizer_create_memory(DIPP_TOKENIZER_T5, "x", made, size, NULL, 0, &tokenizer, &error);
        if (status != c->status || !strstr(error.message, c->said) || (status && error.message[0] != 'x') ||
            !status != !!tokenizer)
            fail_msg("%s: status %d, message: %s", c->with, status, error.message);
        dipp_tokenizer_destroy(&tokenizer);
        free(made);
    }
    dipp_release(whole);
}

/* jansson has an allocator of its own; all others of reading and encoding. */
static void any_allocation_may_fail(void **state)
{
    (void)state;
    static const char *const files[] = {"t5_spiece.model", "t5_tokenizer.json"};
    for (size_t f = 0; f < 2; f++) {
        size_t bytes, count;
        char *text = read_fixture(files[f], &bytes);
        dipp_tokenizer *tokenizer = NULL;
        dipp_error error = {0};
        int32_t ids[77];
        uint64_t nth = 1;
        for (bool failed = true; failed; nth++) {
            dipp_memory_fail_nth(nth, false);
            dipp_status status =
                dipp_tokenizer_create_memory(DIPP_TOKENIZER_T5, "x", text, bytes, NULL, 0, &tokenizer, &error);
            failed = dipp_memory_has_failed();
            dipp_memory_fail_nth(0, false);
            assert_int_equal(status, failed ? DIPP_E_MEMORY : DIPP_OK);
        }
        assert_true(nth > 10);
        nth = 1;
        for (bool failed = true; failed; nth++) {
            static const char prompt[] = "A \xef\xac\x81ne \xc3\xa9 quick brown fox <extra_id_3> jumps </s> over";
            dipp_memory_fail_nth(nth, false);
            dipp_status status = dipp_tokenizer_encode(tokenizer, prompt, sizeof prompt - 1, 77, ids, &count, &error);
            failed = dipp_memory_has_failed();
            dipp_memory_fail_nth(0, false);
            assert_int_equal(status, failed ? DIPP_E_MEMORY : DIPP_OK);
        }
        assert_true(nth > 10);
        dipp_tokenizer_destroy(&tokenizer);
        dipp_release(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(models_that_are_read),
        cmocka_unit_test(what_is_unknown_has_its_price),
        cmocka_unit_test(models_that_ask_for_more_are_named),
        cmocka_unit_test(damaged_models_are_named),
        cmocka_unit_test(damaged_maps_are_named),
        cmocka_unit_test(long_strings_of_a_map_are_refused),
        cmocka_unit_test(a_map_that_turns_in_a_circle_is_survived),
        cmocka_unit_test(every_json_is_judged_and_named),
        cmocka_unit_test(any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
