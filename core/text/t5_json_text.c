/* A part of a text with a tokenizer.json: the normaliser and the cutting into words of Hugging Face's tokenizers, then
 * the best cut of each word. */
#include "base/text.h"
#include "text/t5.h"

#include <string.h>

static const int32_t meta = 0x2581; /* a blank as the vocabulary spells it */

static void append_utf8(dipp_text *text, int32_t code)
{
    char bytes[4];
    dipp_text_append_n(text, bytes, dipp_code_to_utf8(code, bytes));
}

/* Appends what codes[count] become as one, where a rule is for a beginning of them: the shortest one stands for all. */
static bool replace(const dipp_t5 *t5, const int32_t *codes, size_t count, dipp_text *bytes, dipp_codes *out)
{
    const char *replacement;
    bytes->length = 0;
    for (size_t i = 0; i < count; i++)
        append_utf8(bytes, codes[i]);
    if (bytes->failed || !dipp_charsmap_find(t5->charsmap, bytes->data, bytes->length, true, &replacement))
        return false;
    dipp_codes_append_utf8(out, replacement, strlen(replacement));
    return true;
}

/* Rules are looked up for a grapheme cluster of up to five bytes, then for its characters one by one: unlike
 * SentencePiece's, which take the longest beginning of the text. */
static void normalize(const dipp_t5 *t5, const int32_t *codes, size_t count, dipp_codes *out)
{
    enum { CLUSTER_BYTES = 5 };
    dipp_text bytes = {0};
    for (size_t at = 0; at < count;) {
        size_t length = dipp_codes_cluster(codes + at, count - at), size = 0;
        for (size_t i = 0; i < length; i++) {
            char utf8[4];
            size += dipp_code_to_utf8(codes[at + i], utf8);
        }
        if (size > CLUSTER_BYTES || !replace(t5, codes + at, length, &bytes, out))
            for (size_t i = 0; i < length; i++)
                if (!replace(t5, codes + at + i, 1, &bytes, out))
                    dipp_codes_append(out, codes[at + i]);
        at += length;
    }
    out->failed |= bytes.failed;
    dipp_text_discard(&bytes);
}

static void cut_ends(const dipp_t5 *t5, dipp_codes *text)
{
    while (t5->cut_right && text->count && dipp_code_is_space(text->codes[text->count - 1]))
        text->count--;
    size_t blanks = 0, count = text->count;
    while (t5->cut_left && blanks < count && dipp_code_is_space(text->codes[blanks]))
        blanks++;
    for (size_t i = blanks; blanks && i < count; i++)
        text->codes[i - blanks] = text->codes[i];
    text->count -= blanks;
}

/* Of text[count], without spaces to join or drop: each blank begins a new piece of text to be cut for itself. */
static bool encode_word(const dipp_t5 *t5, const int32_t *text, size_t count, bool prefixed, dipp_id_list *ids)
{
    dipp_text part = {0};
    bool done = true;
    if (prefixed && count && *text != ' ' && *text != meta)
        append_utf8(&part, meta);
    for (size_t i = 0; i < count && done; i++) {
        int32_t code = text[i] == ' ' ? meta : text[i];
        if (code == meta && part.length) {
            done = dipp_unigram_encode(t5->pieces, part.data, part.length, ids);
            part.length = 0;
        }
        append_utf8(&part, code);
    }
    done = done && !part.failed && dipp_unigram_encode(t5->pieces, part.data, part.length, ids);
    dipp_text_discard(&part);
    return done;
}

bool dipp_t5_encode_json(const dipp_t5 *t5, const int32_t *codes, size_t count, bool first, dipp_id_list *ids)
{
    dipp_codes text = {0}, joined = {0};
    if (t5->charsmap)
        normalize(t5, codes, count, &text);
    else
        for (size_t i = 0; i < count; i++)
            dipp_codes_append(&text, codes[i]);
    cut_ends(t5, &text);
    for (size_t i = 0; i < text.count; i++)
        if (!t5->join_blanks || !i || text.codes[i] != ' ' || text.codes[i - 1] != ' ')
            dipp_codes_append(&joined, text.codes[i]);
    bool done = !text.failed && !joined.failed;
    bool prefixed = t5->prefix == DIPP_T5_PREFIX_ALWAYS || (t5->prefix == DIPP_T5_PREFIX_FIRST && first);
    for (size_t start = 0; start < joined.count && done;) {
        size_t end = joined.count;
        while (t5->split_words && start < joined.count && dipp_code_is_space(joined.codes[start]))
            start++;
        for (size_t i = start; t5->split_words && i < end; i++)
            if (dipp_code_is_space(joined.codes[i]))
                end = i;
        done = encode_word(t5, joined.codes + start, end - start, prefixed, ids);
        start = end;
    }
    dipp_codes_clear(&text);
    dipp_codes_clear(&joined);
    return done;
}
