/* vocab.json with merges.txt, and tokenizer.json, which also says how texts are cleaned and cut: only what the rules of
 * this program do is accepted, everything else is named. */
#include "text/tokenizer_private.h"

#include "base/memory.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

enum { ENTRIES_MOST = 1 << 20 };

static const char clip_start[] = "<|startoftext|>", clip_end[] = "<|endoftext|>";

/* What a tokenizer.json of CLIP must say where it says something. */
static const char clip_expected[] =
    "{\"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"NFC\"}, {\"type\": \"Replace\", "
    "\"pattern\": "
    "{\"Regex\": \"\\\\s+\"}, \"content\": \" \"}, {\"type\": \"Lowercase\"}]}, \"pre_tokenizer\": {\"type\": "
    "\"Sequence\", "
    "\"pretokenizers\": [{\"type\": \"Split\", \"behavior\": \"Removed\", \"invert\": true}, {\"type\": \"ByteLevel\", "
    "\"add_prefix_space\": false}]}, \"model\": {\"end_of_word_suffix\": \"</w>\"}}";
static const char bert_expected[] =
    "{\"normalizer\": {\"type\": \"BertNormalizer\", \"clean_text\": true, \"handle_chinese_chars\": true, "
    "\"lowercase\": "
    "true}, \"pre_tokenizer\": {\"type\": \"BertPreTokenizer\"}, \"model\": {\"unk_token\": \"[UNK]\", "
    "\"continuing_subword_prefix\": \"##\", \"max_input_chars_per_word\": 100}}";

/* The pattern that was published first, and a later one; the ids are the same. */
#define CLIP_WORDS "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+"
static const char *const clip_patterns[] = {CLIP_WORDS, "<\\|startoftext\\|>|<\\|endoftext\\|>|" CLIP_WORDS};

static dipp_status fail_memory(dipp_error *error, const char *where)
{
    return dipp_fail(error, DIPP_E_MEMORY, "%s: no memory for the tokenizer", where);
}

/* A short text of a value, for messages. */
static void show(const json_t *value, char out[64])
{
    char *text = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
    snprintf(out, 64, "%.60s", text ? text : "nothing");
    free(text);
}

/* Every member of expected, however deep, must be in found with an equal value; other members of found do not matter. */
static dipp_status compare(const json_t *found, const json_t *expected, const char *where, dipp_error *error)
{
    char path[256], a[64], b[64];
    if (json_is_object(expected) && json_is_object(found)) {
        const char *key;
        json_t *value;
        json_object_foreach((json_t *)(uintptr_t)expected, key, value)
        {
            snprintf(path, sizeof path, "%s%s%s", where, *where ? "." : "", key);
            dipp_status status = compare(json_object_get(found, key), value, path, error);
            if (status)
                return status;
        }
        return DIPP_OK;
    }
    if (json_is_array(expected) && json_is_array(found) && json_array_size(expected) == json_array_size(found)) {
        for (size_t i = 0; i < json_array_size(expected); i++) {
            snprintf(path, sizeof path, "%s[%zu]", where, i);
            dipp_status status = compare(json_array_get(found, i), json_array_get(expected, i), path, error);
            if (status)
                return status;
        }
        return DIPP_OK;
    }
    if (found && json_equal(found, expected))
        return DIPP_OK;
    show(expected, a);
    show(found, b);
    return dipp_fail(error, DIPP_E_UNSUPPORTED, "%s: expected %s, found %s", where, a, b);
}

static dipp_status check_settings(const json_t *root, const char *expected_text, dipp_error *error)
{
    json_t *expected = json_loads(expected_text, 0, NULL);
    dipp_status status = expected ? compare(root, expected, "", error) : fail_memory(error, "tokenizer.json");
    json_decref(expected);
    return status;
}

static dipp_status check_clip(const json_t *root, dipp_error *error)
{
    dipp_status status = check_settings(root, clip_expected, error);
    if (status)
        return status;
    const json_t *split = json_array_get(json_object_get(json_object_get(root, "pre_tokenizer"), "pretokenizers"), 0);
    const json_t *pattern = json_object_get(json_object_get(split, "pattern"), "Regex");
    const char *text = json_is_string(pattern) ? json_string_value(pattern) : "";
    if (strcmp(text, clip_patterns[0]) != 0 && strcmp(text, clip_patterns[1]) != 0)
        return dipp_fail(error, DIPP_E_UNSUPPORTED, "pre_tokenizer: the pattern is not CLIP's");
    const json_t *model = json_object_get(root, "model");
    static const char *const off[] = {"dropout", "byte_fallback", "ignore_merges", "continuing_subword_prefix"};
    for (size_t i = 0; i < sizeof off / sizeof *off; i++) {
        const json_t *value = json_object_get(model, off[i]);
        if (value && !json_is_null(value) && !json_is_false(value) &&
            !(json_is_string(value) && !json_string_length(value)))
            return dipp_fail(error, DIPP_E_UNSUPPORTED, "model.%s: expected none", off[i]);
    }
    return DIPP_OK;
}

static dipp_status check_bert(const json_t *root, dipp_error *error)
{
    dipp_status status = check_settings(root, bert_expected, error);
    if (!status && json_is_false(json_object_get(json_object_get(root, "normalizer"), "strip_accents")))
        status = dipp_fail(error, DIPP_E_UNSUPPORTED, "normalizer.strip_accents: expected true or null, found false");
    return status;
}

/* The vocabulary's numbers are 0 to count - 1, each once. */
static dipp_status check_numbers(const json_t *vocabulary, const char *label, dipp_error *error)
{
    size_t count = json_object_size(vocabulary);
    if (!json_is_object(vocabulary) || !count || count > ENTRIES_MOST)
        return dipp_fail(error, DIPP_E_FORMAT, "%s: expected an object of 1 to %d symbols and their numbers", label,
                         (int)ENTRIES_MOST);
    bool *seen = dipp_allocate_zeroed(count, sizeof *seen);
    if (!seen)
        return fail_memory(error, label);
    const char *key;
    json_t *value;
    dipp_status status = DIPP_OK;
    json_object_foreach((json_t *)(uintptr_t)vocabulary, key, value)
    {
        json_int_t number = json_is_integer(value) ? json_integer_value(value) : -1;
        if (!status && (number < 0 || (uint64_t)number >= count || seen[number]))
            status = dipp_fail(error, DIPP_E_FORMAT, "%s: expected each number from 0 to %zu once in the vocabulary",
                               label, count - 1);
        else if (!status)
            seen[number] = true;
    }
    dipp_release(seen);
    return status;
}

static dipp_status find_special(const dipp_name_table *names, const char *label, const char *word, uint32_t *id,
                                dipp_error *error)
{
    return dipp_name_table_find(names, word, strlen(word), id)
               ? DIPP_OK
               : dipp_fail(error, DIPP_E_FORMAT, "%s: the vocabulary has no %s", label, word);
}

/* All symbols and the bpe without its merges. */
static dipp_status read_symbols(dipp_tokenizer *tokenizer, const json_t *vocabulary, const char *label,
                                dipp_name_table **names, dipp_error *error)
{
    dipp_status status = check_numbers(vocabulary, label, error);
    if (!status)
        status = dipp_tokenizer_create_names(label, json_object_size(vocabulary), names, error);
    if (status)
        return status;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)vocabulary, key, value)
    {
        uint32_t id;
        if (!status && !dipp_name_table_add(*names, key, strlen(key), (uint32_t)json_integer_value(value), &id))
            status = fail_memory(error, label);
    }
    if (!status)
        status = dipp_tokenizer_create_bpe(tokenizer, label, *names, json_object_size(vocabulary), error);
    if (!status)
        status = find_special(*names, label, clip_start, &tokenizer->start, error);
    if (!status)
        status = find_special(*names, label, clip_end, &tokenizer->end, error);
    tokenizer->size = (uint32_t)json_object_size(vocabulary);
    return status;
}

static dipp_status read_merge_lines(dipp_tokenizer *tokenizer, dipp_name_table *names, const dipp_file_text *merges,
                                    dipp_error *error)
{
    dipp_status status = DIPP_OK;
    const char *at = merges->text, *end = merges->text + merges->bytes;
    for (size_t line = 1; at < end && !status; line++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t bytes = (size_t)((stop ? stop : end) - at);
        bytes -= bytes && at[bytes - 1] == '\r';
        char where[400];
        snprintf(where, sizeof where, "%s:%zu", merges->label, line);
        bool comment = line == 1 && bytes >= 8 && !memcmp(at, "#version", 8);
        if (!comment)
            status = dipp_tokenizer_add_merge(tokenizer, where, names, at, bytes, UINT32_MAX, error);
        at = stop ? stop + 1 : end;
    }
    return status;
}

/* Merges in tokenizer.json: "LEFT RIGHT", or ["LEFT", "RIGHT"]. */
static dipp_status read_merge_list(dipp_tokenizer *tokenizer, dipp_name_table *names, const json_t *merges,
                                   const char *label, dipp_error *error)
{
    dipp_status status =
        json_is_array(merges) ? DIPP_OK : dipp_fail(error, DIPP_E_FORMAT, "%s: model.merges is no list", label);
    for (size_t i = 0; i < json_array_size(merges) && !status; i++) {
        const json_t *merge = json_array_get(merges, i);
        const char *left = json_string_value(json_array_get(merge, 0)),
                   *right = json_string_value(json_array_get(merge, 1));
        char where[400], line[1100];
        int length = -1;
        snprintf(where, sizeof where, "%s: model.merges[%zu]", label, i);
        if (json_is_string(merge))
            length = snprintf(line, sizeof line, "%s", json_string_value(merge));
        else if (json_array_size(merge) == 2 && left && right)
            length = snprintf(line, sizeof line, "%s %s", left, right);
        status = length < 0 || (size_t)length >= sizeof line
                     ? dipp_fail(error, DIPP_E_FORMAT, "%s: expected a merge, two symbols", where)
                     : dipp_tokenizer_add_merge(tokenizer, where, names, line, (size_t)length, UINT32_MAX, error);
    }
    return status;
}

/* Words that are recognised in texts beside the usual special ones would give other ids here. */
static dipp_status check_added(const json_t *root, const json_t *vocabulary, const char *const *known, size_t count,
                               const char *label, dipp_error *error)
{
    const json_t *added = json_object_get(root, "added_tokens");
    for (size_t i = 0; i < json_array_size(added); i++) {
        const json_t *word = json_object_get(json_array_get(added, i), "content");
        const json_t *id = json_object_get(json_array_get(added, i), "id");
        char shown[64];
        bool usual = false;
        for (size_t k = 0; k < count && json_is_string(word); k++)
            usual |= !strcmp(json_string_value(word), known[k]);
        show(word, shown);
        if (!usual)
            return dipp_fail(error, DIPP_E_UNSUPPORTED, "%s: added token %s is none of the usual ones", label, shown);
        if (!json_equal(id, json_object_get(vocabulary, json_string_value(word))))
            return dipp_fail(error, DIPP_E_FORMAT, "%s: added token %s has another number in the vocabulary", label,
                             shown);
    }
    return DIPP_OK;
}

static dipp_status read_clip(dipp_tokenizer *tokenizer, const json_t *root, const dipp_file_text *file,
                             const dipp_file_text *merges, dipp_error *error)
{
    static const char *const known[] = {clip_start, clip_end};
    const json_t *model = json_object_get(root, "model"), *vocabulary = json_object_get(model, "vocab");
    dipp_name_table *names = NULL;
    dipp_status status = DIPP_OK;
    if (!json_is_object(model)) {
        status =
            merges ? read_symbols(tokenizer, root, file->label, &names, error)
                   : dipp_fail(error, DIPP_E_INVALID,
                               "%s: a vocab.json needs its merges.txt; a tokenizer.json has a \"model\"", file->label);
        if (!status)
            status = read_merge_lines(tokenizer, names, merges, error);
    } else {
        if (merges || tokenizer->rule != DIPP_TOKENIZER_HUGGING_FACE_CLIP)
            return dipp_fail(
                error, DIPP_E_INVALID,
                "%s: a tokenizer.json says how Hugging Face cuts texts and has its merges; it goes alone, and "
                "with that behaviour",
                file->label);
        status = check_clip(root, error);
        if (status && error)
            dipp_error_context(error, "%s", file->label);
        if (!status)
            status = read_symbols(tokenizer, vocabulary, file->label, &names, error);
        if (!status)
            status = check_added(root, vocabulary, known, 2, file->label, error);
        if (!status)
            status = read_merge_list(tokenizer, names, json_object_get(model, "merges"), file->label, error);
    }
    dipp_name_table_destroy(&names);
    return status;
}

static dipp_status read_bert(dipp_tokenizer *tokenizer, const json_t *root, const dipp_file_text *file,
                             dipp_error *error)
{
    static const char *const known[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
    const json_t *vocabulary = json_object_get(json_object_get(root, "model"), "vocab");
    dipp_status status = check_bert(root, error);
    if (status && error)
        dipp_error_context(error, "%s", file->label);
    if (!status)
        status = check_numbers(vocabulary, file->label, error);
    if (!status)
        status = check_added(root, vocabulary, known, DIPP_SPECIALS_MOST, file->label, error);
    if (!status)
        status = dipp_tokenizer_create_pieces(tokenizer, file->label, json_object_size(vocabulary), error);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)vocabulary, key, value)
    {
        if (!status)
            status = dipp_tokenizer_add_piece(tokenizer, file->label, key, strlen(key),
                                              (uint32_t)json_integer_value(value), error);
    }
    return status ? status : dipp_tokenizer_finish_pieces(tokenizer, file->label, error);
}

dipp_status dipp_tokenizer_read_json(dipp_tokenizer *tokenizer, const dipp_file_text *file,
                                     const dipp_file_text *merges, dipp_error *error)
{
    json_error_t trouble;
    json_t *root = json_loadb(file->text, file->bytes, JSON_REJECT_DUPLICATES, &trouble);
    if (!root)
        return dipp_fail(error, json_error_code(&trouble) == json_error_out_of_memory ? DIPP_E_MEMORY : DIPP_E_FORMAT,
                         "%s:%d:%d: not JSON with distinct names: %.80s", file->label, trouble.line, trouble.column,
                         trouble.text);
    dipp_status status =
        tokenizer->rule == DIPP_TOKENIZER_T5             ? dipp_t5_read_json(tokenizer->t5, file->label, root, error)
        : tokenizer->rule == DIPP_TOKENIZER_BERT_UNCASED ? read_bert(tokenizer, root, file, error)
                                                         : read_clip(tokenizer, root, file, merges, error);
    json_decref(root);
    return status;
}
