/* T5's tokenizer.json: what it says of cleaning and cutting is taken when it is done here exactly, and named otherwise. */
#include "base/memory.h"
#include "text/t5.h"

#include <stdio.h>
#include <string.h>

enum { ENTRIES_MOST = 1 << 20, NAME_BYTES = 24 };

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

/* The word number i that is found in texts: where its id goes, and whether blanks belong to it. */
static dipp_t5_strips *added_word(dipp_t5 *t5, size_t i, char name[NAME_BYTES], uint32_t *id, uint32_t **place)
{
    static const char *const words[] = {"</s>", "<unk>", "<pad>"};
    uint32_t *const places[] = {&t5->end, &t5->unknown, &t5->pad};
    *place = i < 3 ? places[i] : NULL;
    if (i < 3)
        snprintf(name, NAME_BYTES, "%s", words[i]);
    else
        snprintf(name, NAME_BYTES, "<extra_id_%zu>", i - 3);
    *id = t5->extra_first - (uint32_t)(i - 3); /* of an extra one */
    return i < 3 ? &t5->word_strips : &t5->extra_strips;
}

/* added_tokens are the three special words and the hundred extra ones, each once and with its place in the vocabulary. */
static dipp_status read_added(dipp_t5 *t5, const char *label, const json_t *root, dipp_error *error)
{
    enum { WORDS = 3 + DIPP_T5_EXTRA_IDS };
    const json_t *added = json_object_get(root, "added_tokens"),
                 *vocabulary = json_object_get(json_object_get(root, "model"), "vocab");
    bool found[WORDS] = {0};
    size_t count = json_array_size(added);
    for (size_t k = 0; k < count; k++) {
        const json_t *word = json_array_get(added, k), *number = json_object_get(word, "id");
        const json_int_t at = json_is_integer(number) ? json_integer_value(number) : -1;
        const json_t *entry = at < 0 ? NULL : json_array_get(json_array_get(vocabulary, (size_t)at), 0);
        char name[NAME_BYTES], path[64];
        uint32_t id, *place;
        size_t i = 0;
        dipp_t5_strips *strips = NULL;
        for (; i < WORDS; i++) {
            strips = added_word(t5, i, name, &id, &place);
            if (!strcmp(string_of(word, "content"), name))
                break;
        }
        snprintf(path, sizeof path, "added_tokens[%zu]", k);
        bool left = json_is_true(json_object_get(word, "lstrip")),
             right = json_is_true(json_object_get(word, "rstrip"));
        bool other = (i < 3 ? found[0] || found[1] || found[2] : memchr(found + 3, true, DIPP_T5_EXTRA_IDS) != NULL) &&
                     (strips->left != left || strips->right != right);
        if (i == WORDS || found[i] || other || json_is_true(json_object_get(word, "single_word")) ||
            json_is_true(json_object_get(word, "normalized")))
            return fail_unsupported(error, label, path, word,
                                    "</s>, <unk>, <pad> and <extra_id_0> to <extra_id_99> once, found as the text "
                                    "comes, all of a kind with the same lstrip and rstrip");
        if (!json_is_string(entry) || strcmp(json_string_value(entry), name) != 0 || (i >= 3 && at != id))
            return dipp_fail(error, DIPP_E_FORMAT, "%s: %s: %s is not there in the vocabulary", label, path, name);
        if (place)
            *place = (uint32_t)at;
        *strips = (dipp_t5_strips){left, right};
        found[i] = true;
    }
    return count == WORDS ? DIPP_OK
                          : dipp_fail(error, DIPP_E_UNSUPPORTED,
                                      "%s: added_tokens: expected </s>, <unk>, <pad> and <extra_id_0> to "
                                      "<extra_id_%d>, found %zu",
                                      label, DIPP_T5_EXTRA_IDS - 1, count);
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
