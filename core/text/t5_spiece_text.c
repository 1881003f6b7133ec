/* A part of a text with a spiece.model: SentencePiece's normaliser, then the best cut of all of it. */
#include "base/text.h"
#include "base/utf8.h"
#include "text/t5.h"

#include <string.h>

#define META "\xe2\x96\x81" /* U+2581, a blank as the vocabulary spells it */
enum { META_BYTES = 3 };

/* What the beginning of text[bytes] becomes, *out[*out_bytes]; returns how much of the text that is. */
static size_t normalize_prefix(const dipp_t5 *t5, const char *text, size_t bytes, const char **out, size_t *out_bytes)
{
    uint32_t code;
    size_t length = t5->charsmap ? dipp_charsmap_find(t5->charsmap, text, bytes, false, out) : 0;
    if (length) {
        *out_bytes = strlen(*out);
        return length;
    }
    length = dipp_utf8_decode(text, bytes, &code);
    *out = length ? text : "\xef\xbf\xbd"; /* a rule can end inside a character: U+FFFD for each byte of the rest */
    *out_bytes = length ? length : 3;
    return length ? length : 1;
}

static bool ends_in_meta(const dipp_text *text)
{
    return text->length >= META_BYTES && !memcmp(text->data + text->length - META_BYTES, META, META_BYTES);
}

static void normalize(const dipp_t5 *t5, const char *text, size_t bytes, dipp_text *out)
{
    const char *part;
    size_t part_bytes, at = 0;
    if (bytes && t5->prefix) /* dropped again below when nothing follows */
        dipp_text_append_n(out, META, META_BYTES);
    bool after_blank = t5->drop_blanks;
    while (at < bytes) {
        at += normalize_prefix(t5, text + at, bytes - at, &part, &part_bytes);
        for (; after_blank && part_bytes && *part == ' '; part_bytes--)
            part++;
        if (part_bytes)
            after_blank = t5->drop_blanks && part[part_bytes - 1] == ' ';
        for (; part_bytes; part_bytes--, part++)
            dipp_text_append_n(out, *part == ' ' ? META : part, *part == ' ' ? META_BYTES : 1);
    }
    while (t5->drop_blanks && ends_in_meta(out))
        out->length -= META_BYTES;
}

bool dipp_t5_encode_spiece(const dipp_t5 *t5, const int32_t *codes, size_t count, dipp_id_list *ids)
{
    dipp_text text = {0}, normal = {0};
    for (size_t i = 0; i < count; i++) {
        char bytes[4];
        dipp_text_append_n(&text, bytes, dipp_code_to_utf8(codes[i], bytes));
    }
    normalize(t5, text.data, text.length, &normal);
    bool done = !text.failed && !normal.failed && dipp_unigram_encode(t5->pieces, normal.data, normal.length, ids);
    dipp_text_discard(&text);
    dipp_text_discard(&normal);
    return done;
}
