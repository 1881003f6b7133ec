#include "text/t5.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/utf8.h"

#include <string.h>

#define META "\xe2\x96\x81" /* U+2581, a blank as the vocabulary spells it */
enum { META_BYTES = 3 };

dipp_t5 *dipp_t5_create(void)
{
    return dipp_allocate_zeroed(1, sizeof(dipp_t5));
}

void dipp_t5_destroy(dipp_t5 **t5)
{
    if (!t5 || !*t5)
        return;
    dipp_unigram_destroy(&(*t5)->pieces);
    dipp_charsmap_destroy(&(*t5)->charsmap);
    dipp_release(*t5);
    *t5 = NULL;
}

/* ---- Normalisation, as SentencePiece's ---- */

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
    while (at < bytes && t5->drop_blanks) {
        size_t length = normalize_prefix(t5, text + at, bytes - at, &part, &part_bytes);
        if (part_bytes != 1 || *part != ' ')
            break;
        at += length;
    }
    if (at < bytes && t5->add_prefix)
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

/* ---- Texts ---- */

static bool encode_part(const dipp_t5 *t5, const int32_t *codes, size_t count, dipp_id_list *ids)
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

/* Whether text[count] begins with word. */
static bool begins_with(const int32_t *text, size_t count, const char *word)
{
    size_t same = 0;
    while (word[same] && same < count && text[same] == (unsigned char)word[same])
        same++;
    return !word[same];
}

/* The special word that text[count] begins with: its length, 0 for none. */
static size_t special_at(const dipp_t5 *t5, const int32_t *text, size_t count, uint32_t *id, dipp_t5_strips *strips)
{
    static const char extra[] = "<extra_id_";
    const struct {
        const char *word;
        uint32_t id;
    } words[] = {{"</s>", t5->end}, {"<unk>", t5->unknown}, {"<pad>", t5->pad}};
    *strips = (dipp_t5_strips){0};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (begins_with(text, count, words[i].word)) {
            *id = words[i].id;
            return strlen(words[i].word);
        }
    if (!begins_with(text, count, extra))
        return 0;
    size_t at = strlen(extra);
    uint32_t number = 0, digits = 0;
    for (; at < count && text[at] >= '0' && text[at] <= '9' && digits < 2; at++, digits++)
        number = 10 * number + (uint32_t)(text[at] - '0');
    if (!digits || (digits == 2 && number < 10) || at == count || text[at] != '>')
        return 0;
    *id = t5->extra_first - number;
    *strips = t5->extra_strips;
    return at + 1;
}

bool dipp_t5_encode(const dipp_t5 *t5, const dipp_codes *text, dipp_id_list *ids)
{
    bool done = true;
    for (size_t start = 0; start < text->count && done;) {
        size_t at = start, length = 0;
        uint32_t id = 0;
        dipp_t5_strips strips = {0};
        while (at < text->count && !(length = special_at(t5, text->codes + at, text->count - at, &id, &strips)))
            at++;
        size_t end = at, next = at + length;
        while (strips.left && end > start && dipp_code_is_python_space(text->codes[end - 1]))
            end--;
        while (strips.right && next < text->count && dipp_code_is_python_space(text->codes[next]))
            next++;
        done = encode_part(t5, text->codes + start, end - start, ids);
        if (length)
            dipp_id_list_add(ids, id);
        start = next;
    }
    return done;
}
