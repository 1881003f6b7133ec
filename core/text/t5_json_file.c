/* T5's tokenizer.json: what it says of cleaning and cutting is taken when it is done here exactly, else named. */
#include "base/memory.h"
#include "text/t5.h"

#include <stdio.h>
#include <string.h>

enum { ENTRIES_MOST = 1 << 20, FOUND_WORDS = DIPP_T5_WORDS + DIPP_T5_EXTRA_IDS };

static dipp_status fail_unsupported(dipp_error *error, const char *label, const char *path, const json_t *found,
                                    const char *expected)
{
    char *text = found ? json_dumps(found, JSON_ENCODE_ANY | JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
    dipp_status status = dipp_fail(error, DIPP_E_UNSUPPORTED, "%s: %s: expected %s, found %.60s", label, path, expected,
                                   text ? text : "nothing");
    free(text);
    return status;
}

static const char *string_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static bool is_type(const json_t *object, const char *type)
{
    return !strcmp(string_of(object, "type"), type);
}

/* ---- Normaliser ---- */

static int base64_digit(char letter)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = letter ? strchr(digits, letter) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* text[length] to out, of at least 3 / 4 of that; false when it is not base64 with its padding. */
static bool decode_base64(const char *text, size_t length, uint8_t *out, size_t *bytes)
{
    size_t padding = 0;
    while (padding < 2 && padding < length && text[length - 1 - padding] == '=')
        padding++;
    *bytes = length / 4 * 3 - padding;
    if (!length || length % 4)
        return false;
    for (size_t i = 0; i < length; i += 4) {
        uint32_t group = 0;
        for (size_t k = i; k < i + 4; k++) {
            int digit = k >= length - padding ? 0 : base64_digit(text[k]);
            if (digit < 0)
                return false;
            group = group << 6 | (uint32_t)digit;
        }
        for (size_t k = 0; k < 3 && i / 4 * 3 + k < *bytes; k++)
            out[i / 4 * 3 + k] = (uint8_t)(group >> (16 - 8 * k));
    }
    return true;
}

static dipp_status read_charsmap(dipp_t5 *t5, const char *label, const json_t *normalizer, dipp_error *error)
{
    const json_t *map = json_object_get(normalizer, "precompiled_charsmap");
    size_t length = json_string_length(map), bytes = 0;
    uint8_t *decoded = dipp_allocate(length);
    dipp_status status;
    if (!decoded)
        status = dipp_fail(error, DIPP_E_MEMORY, "%s: no memory for the normaliser", label);
    else if (!json_is_string(map) || !decode_base64(json_string_value(map), length, decoded, &bytes))
        status = dipp_fail(error, DIPP_E_FORMAT, "%s: normalizer: precompiled_charsmap is not base64", label);
    else
        status = dipp_charsmap_create(label, decoded, bytes, &t5->charsmap, error);
    dipp_release(decoded);
    return status;
}

/* Two or more spaces to one, or to the sign that a space becomes later. */
static bool joins_blanks(const json_t *normalizer)
{
    const char *content = string_of(normalizer, "content");
    return is_type(normalizer, "Replace") &&
           !strcmp(string_of(json_object_get(normalizer, "pattern"), "Regex"), " {2,}") &&
           (!strcmp(content, " ") || !strcmp(content, "\xe2\x96\x81"));
}

/* Of the steps Precompiled, Strip, Replace, those that there are, in this order. */
static dipp_status read_normalizer(dipp_t5 *t5, const char *label, const json_t *normalizer, dipp_error *error)
{
    enum { PRECOMPILED, STRIP, REPLACE, DONE } next = PRECOMPILED;
    bool sequence = is_type(normalizer, "Sequence");
    const json_t *list = json_object_get(normalizer, "normalizers");
    dipp_status status = DIPP_OK;
    if (!normalizer || json_is_null(normalizer))
        return DIPP_OK;
    for (size_t i = 0; !status && i < (sequence ? json_array_size(list) : 1); i++) {
        const json_t *step = sequence ? json_array_get(list, i) : normalizer;
        if (next == PRECOMPILED && is_type(step, "Precompiled")) {
            status = read_charsmap(t5, label, step, error);
            next = STRIP;
        } else if (next <= STRIP && is_type(step, "Strip")) {
            t5->cut_left = json_is_true(json_object_get(step, "strip_left"));
            t5->cut_right = json_is_true(json_object_get(step, "strip_right"));
            next = REPLACE;
        } else if (next <= REPLACE && joins_blanks(step)) {
            t5->join_blanks = true;
            next = DONE;
        } else {
            char path[64];
            snprintf(path, sizeof path, sequence ? "normalizer.normalizers[%zu]" : "normalizer", i);
            status =
                fail_unsupported(error, label, path, step, "Precompiled, Strip and Replace of / {2,}/ in this order");
        }
    }
    return status;
}

/* ---- Words ---- */

static dipp_status read_metaspace(dipp_t5 *t5, const char *label, const char *path, const json_t *step,
                                  dipp_error *error)
{
    const json_t *scheme = json_object_get(step, "prepend_scheme");
    const char *name = scheme ? string_of(step, "prepend_scheme") : "always";
    bool never = json_is_false(json_object_get(step, "add_prefix_space"));
    if (!is_type(step, "Metaspace") || strcmp(string_of(step, "replacement"), "\xe2\x96\x81") != 0 ||
        json_is_false(json_object_get(step, "split")) || (never && scheme && strcmp(name, "never") != 0))
        return fail_unsupported(error, label, path, step, "Metaspace with U+2581 that splits");
    if (never || !strcmp(name, "never"))
        t5->prefix = DIPP_T5_PREFIX_NEVER;
    else if (!strcmp(name, "always") || (!strcmp(name, "first") && !t5->split_words))
        t5->prefix = strcmp(name, "first") ? DIPP_T5_PREFIX_ALWAYS : DIPP_T5_PREFIX_FIRST;
    else
        return fail_unsupported(error, label, path, step,
                                "prepend_scheme always, first (without WhitespaceSplit) or never");
    return DIPP_OK;
}

static dipp_status read_pre_tokenizer(dipp_t5 *t5, const char *label, const json_t *step, dipp_error *error)
{
    if (!is_type(step, "Sequence"))
        return read_metaspace(t5, label, "pre_tokenizer", step, error);
    const json_t *list = json_object_get(step, "pretokenizers");
    if (json_array_size(list) != 2 || !is_type(json_array_get(list, 0), "WhitespaceSplit"))
        return fail_unsupported(error, label, "pre_tokenizer", step, "WhitespaceSplit and Metaspace");
    t5->split_words = true;
    return read_metaspace(t5, label, "pre_tokenizer.pretokenizers[1]", json_array_get(list, 1), error);
}

/* ---- Vocabulary ---- */

static dipp_status read_vocabulary(dipp_t5 *t5, const char *label, const json_t *model, dipp_error *error)
{
    const json_t *list = json_object_get(model, "vocab"), *unknown = json_object_get(model, "unk_id");
    size_t count = json_array_size(list);
    dipp_status status = DIPP_OK;
    if (!is_type(model, "Unigram"))
        return fail_unsupported(error, label, "model.type", json_object_get(model, "type"), "\"Unigram\"");
    if (json_is_true(json_object_get(model, "byte_fallback")))
        return fail_unsupported(error, label, "model.byte_fallback", json_object_get(model, "byte_fallback"), "false");
    if (!count || count > ENTRIES_MOST || !json_is_integer(unknown) || json_integer_value(unknown) < 0 ||
        (uint64_t)json_integer_value(unknown) >= count)
        return dipp_fail(error, DIPP_E_FORMAT, "%s: expected 1 to %d entries of model.vocab and unk_id among them",
                         label, (int)ENTRIES_MOST);
    t5->pieces = dipp_unigram_create(count, (uint32_t)json_integer_value(unknown), false);
    if (!t5->pieces)
        return dipp_fail(error, DIPP_E_MEMORY, "%s: no memory for the tokenizer", label);
    for (size_t id = 0; !status && id < count; id++) {
        const json_t *entry = json_array_get(list, id), *text = json_array_get(entry, 0),
                     *score = json_array_get(entry, 1);
        status =
            json_array_size(entry) != 2 || !json_is_string(text) || !json_is_number(score)
                ? dipp_fail(error, DIPP_E_FORMAT, "%s: model.vocab[%zu]: expected a piece and its score", label, id)
                : dipp_unigram_add(t5->pieces, label, json_string_value(text), json_string_length(text), (uint32_t)id,
                                   json_number_value(score), error);
    }
    t5->extra_first = (uint32_t)count - 1;
    return status ? status : dipp_unigram_finish(t5->pieces, label, error);
}

/* Which word of those that are found in texts: a special one, DIPP_T5_WORDS + N for <extra_id_N>, FOUND_WORDS: none. */
static size_t word_number(const char *content)
{
    for (size_t i = 0; i < DIPP_T5_WORDS; i++)
        if (!strcmp(content, dipp_t5_words[i]))
            return i;
    for (size_t i = 0; i < DIPP_T5_EXTRA_IDS; i++) {
        char name[24];
        snprintf(name, sizeof name, "<extra_id_%zu>", i);
        if (!strcmp(content, name))
            return DIPP_T5_WORDS + i;
    }
    return FOUND_WORDS;
}

/* added_tokens[k]; seen says which words there were, and of which kind: special, extra. */
static dipp_status read_word(dipp_t5 *t5, const char *label, const json_t *word, size_t k, const json_t *vocabulary,
                             bool seen[FOUND_WORDS], bool seen_kind[2], dipp_error *error)
{
    const char *content = string_of(word, "content");
    size_t i = word_number(content);
    bool extra = i >= DIPP_T5_WORDS;
    dipp_t5_strips *strips = extra ? &t5->extra_strips : &t5->word_strips;
    bool left = json_is_true(json_object_get(word, "lstrip")), right = json_is_true(json_object_get(word, "rstrip"));
    char path[64];
    snprintf(path, sizeof path, "added_tokens[%zu]", k);
    if (i == FOUND_WORDS || seen[i] || json_is_true(json_object_get(word, "single_word")) ||
        json_is_true(json_object_get(word, "normalized")) ||
        (seen_kind[extra] && (strips->left != left || strips->right != right)))
        return fail_unsupported(error, label, path, word,
                                "</s>, <unk>, <pad> and <extra_id_0> to <extra_id_99> once, found as the text comes, "
                                "all of a kind with the same lstrip and rstrip");
    const json_t *number = json_object_get(word, "id");
    size_t id = json_is_integer(number) ? (size_t)json_integer_value(number) : SIZE_MAX;
    const char *entry = json_string_value(json_array_get(json_array_get(vocabulary, id), 0));
    if (!entry || strcmp(entry, content) != 0 || (extra && id != t5->extra_first - (i - DIPP_T5_WORDS)))
        return dipp_fail(error, DIPP_E_FORMAT, "%s: %s: %s is not there in the vocabulary", label, path, content);
    if (!extra)
        t5->words[i] = (uint32_t)id;
    *strips = (dipp_t5_strips){left, right};
    seen[i] = seen_kind[extra] = true;
    return DIPP_OK;
}

/* added_tokens are the special words and the extra ones, each once and with its place in the vocabulary. */
static dipp_status read_added(dipp_t5 *t5, const char *label, const json_t *root, dipp_error *error)
{
    const json_t *added = json_object_get(root, "added_tokens"),
                 *vocabulary = json_object_get(json_object_get(root, "model"), "vocab");
    bool seen[FOUND_WORDS] = {0}, seen_kind[2] = {0};
    dipp_status status = DIPP_OK;
    for (size_t k = 0; k < json_array_size(added) && !status; k++)
        status = read_word(t5, label, json_array_get(added, k), k, vocabulary, seen, seen_kind, error);
    if (!status && json_array_size(added) != FOUND_WORDS)
        status = dipp_fail(error, DIPP_E_UNSUPPORTED,
                           "%s: added_tokens: expected </s>, <unk>, <pad> and <extra_id_0> to <extra_id_%d>, found %zu",
                           label, DIPP_T5_EXTRA_IDS - 1, json_array_size(added));
    return status;
}

dipp_status dipp_t5_read_json(dipp_t5 *t5, const char *label, const json_t *root, dipp_error *error)
{
    t5->from_json = true;
    dipp_status status = read_vocabulary(t5, label, json_object_get(root, "model"), error);
    if (!status)
        status = read_added(t5, label, root, error);
    if (!status)
        status = read_normalizer(t5, label, json_object_get(root, "normalizer"), error);
    if (!status)
        status = read_pre_tokenizer(t5, label, json_object_get(root, "pre_tokenizer"), error);
    return status;
}
