#include "base/file.h"
#include "base/memory.h"
#include "text/clean.h"
#include "text/tokenizer_private.h"

#include <string.h>
#include <zlib.h>

enum { FILE_BYTES_MOST = 64 << 20 };

static dipp_status fail_memory(dipp_error *error, const char *what)
{
    return dipp_fail(error, DIPP_E_MEMORY, "%s: out of memory", what);
}

void dipp_tokenizer_destroy(dipp_tokenizer **tokenizer)
{
    if (!tokenizer || !*tokenizer)
        return;
    dipp_bpe_destroy(&(*tokenizer)->bpe);
    dipp_name_table_destroy(&(*tokenizer)->beginnings);
    dipp_name_table_destroy(&(*tokenizer)->continuations);
    dipp_t5_destroy(&(*tokenizer)->t5);
    dipp_release(*tokenizer);
    *tokenizer = NULL;
}

uint32_t dipp_tokenizer_size(const dipp_tokenizer *tokenizer)
{
    return tokenizer->size;
}

/* ---- Files ---- */

static void *zlib_allocate(void *user, unsigned count, unsigned size)
{
    (void)user;
    return dipp_allocate_zeroed(count, size);
}

static void zlib_release(void *user, void *memory)
{
    (void)user;
    dipp_release(memory);
}

/* *text gets a zero byte behind its end and is freed with dipp_release. */
static dipp_status unzip(const char *label, const void *bytes, size_t size, char **text, size_t *length,
                         dipp_error *error)
{
    z_stream stream = {.zalloc = zlib_allocate, .zfree = zlib_release};
    char *out = NULL;
    size_t capacity = 0;
    if (size > FILE_BYTES_MOST)
        return dipp_fail(error, DIPP_E_FORMAT, "%s: larger than the %d bytes that are read", label,
                         (int)FILE_BYTES_MOST);
    if (inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK)
        return fail_memory(error, label);
    stream.next_in = (unsigned char *)(uintptr_t)bytes;
    stream.avail_in = (unsigned)size;
    int result = Z_OK;
    while (result == Z_OK && stream.total_out < FILE_BYTES_MOST) {
        if (!dipp_grow((void **)&out, &capacity, stream.total_out + 65536, 1)) {
            result = Z_MEM_ERROR;
            break;
        }
        stream.next_out = (unsigned char *)out + stream.total_out;
        stream.avail_out = (unsigned)(capacity - stream.total_out - 1);
        result = inflate(&stream, Z_NO_FLUSH);
    }
    *length = stream.total_out;
    inflateEnd(&stream);
    if (result != Z_STREAM_END) {
        dipp_release(out);
        return result == Z_MEM_ERROR
                   ? fail_memory(error, label)
                   : dipp_fail(error, DIPP_E_FORMAT, "%s: the gzip file is damaged, cut short or larger than %d bytes",
                               label, (int)FILE_BYTES_MOST);
    }
    out[*length] = 0;
    *text = out;
    return DIPP_OK;
}

static void name_specials(dipp_tokenizer *tokenizer)
{
    bool open_clip = tokenizer->rule == DIPP_TOKENIZER_OPEN_CLIP;
    tokenizer->specials[0].word = open_clip ? "<start_of_text>" : "<|startoftext|>";
    tokenizer->specials[0].id = tokenizer->start;
    tokenizer->specials[1].word = open_clip ? "<end_of_text>" : "<|endoftext|>";
    tokenizer->specials[1].id = tokenizer->end;
    tokenizer->special_count = 2;
    tokenizer->pad = tokenizer->rule == DIPP_TOKENIZER_HUGGING_FACE_CLIP ? tokenizer->end : 0;
}

static dipp_status read_texts(dipp_tokenizer *tokenizer, const dipp_file_text *file, const dipp_file_text *merges,
                              dipp_error *error)
{
    bool bert = tokenizer->rule == DIPP_TOKENIZER_BERT_UNCASED, t5 = tokenizer->rule == DIPP_TOKENIZER_T5;
    bool json = file->bytes && file->text[0] == '{';
    dipp_status status;
    if (merges && (bert || t5 || !json))
        return dipp_fail(error, DIPP_E_INVALID, "%s: a merges file goes with a vocab.json of CLIP only", file->label);
    if (t5 && !(tokenizer->t5 = dipp_t5_create()))
        return fail_memory(error, file->label);
    if (json)
        status = dipp_tokenizer_read_json(tokenizer, file, merges, error);
    else if (bert)
        status = dipp_tokenizer_read_word_pieces(tokenizer, file, error);
    else if (t5)
        status = dipp_t5_read_spiece(tokenizer->t5, file->label, file->text, file->bytes, error);
    else
        status = dipp_tokenizer_read_merges(tokenizer, file, error);
    if (!status && t5) {
        tokenizer->end = tokenizer->t5->words[DIPP_T5_END];
        tokenizer->pad = tokenizer->t5->words[DIPP_T5_PAD];
        tokenizer->size = tokenizer->t5->extra_first + 1;
    } else if (!status && !bert) {
        name_specials(tokenizer);
    }
    return status;
}

dipp_status dipp_tokenizer_create_memory(dipp_tokenizer_rule rule, const char *label, const void *vocabulary,
                                         size_t vocabulary_bytes, const void *merges, size_t merges_bytes,
                                         dipp_tokenizer **out, dipp_error *error)
{
    char *unzipped = NULL;
    size_t bytes = vocabulary_bytes;
    dipp_status status = DIPP_OK;
    dipp_tokenizer *made = dipp_allocate_zeroed(1, sizeof *made);
    if (!made)
        return fail_memory(error, label);
    made->rule = rule;
    if (bytes >= 2 && !memcmp(vocabulary, "\x1f\x8b", 2))
        status = unzip(label, vocabulary, vocabulary_bytes, &unzipped, &bytes, error);
    if (!status) {
        dipp_file_text file = {label, unzipped ? unzipped : vocabulary, bytes}, second = {label, merges, merges_bytes};
        status = read_texts(made, &file, merges ? &second : NULL, error);
    }
    dipp_release(unzipped);
    if (status)
        dipp_tokenizer_destroy(&made);
    else
        *out = made;
    return status;
}

dipp_status dipp_tokenizer_create(dipp_tokenizer_rule rule, const char *vocabulary, const char *merges,
                                  dipp_tokenizer **out, dipp_error *error)
{
    char *text = NULL, *second = NULL;
    size_t bytes = 0, second_bytes = 0;
    dipp_status status = dipp_file_read(vocabulary, FILE_BYTES_MOST, &text, &bytes, error);
    if (!status && merges)
        status = dipp_file_read(merges, FILE_BYTES_MOST, &second, &second_bytes, error);
    if (!status)
        status = dipp_tokenizer_create_memory(rule, vocabulary, text, bytes, second, second_bytes, out, error);
    dipp_release(text);
    dipp_release(second);
    return status;
}

/* ---- Texts ---- */

typedef struct encoding {
    const dipp_tokenizer *tokenizer;
    dipp_id_list out;
    char *bytes;      /* of one word, in UTF-8 */
    uint32_t *starts; /* of its characters; BERT */
    int32_t *pieces;
    dipp_bpe_room *bpe_room;
} encoding;

static size_t word_to_utf8(encoding *e, const int32_t *word, size_t count)
{
    size_t used = 0;
    for (size_t i = 0; i < count; i++)
        used += dipp_code_to_utf8(word[i], e->bytes + used);
    return used;
}

static void emit_clip_word(encoding *e, const int32_t *word, size_t count)
{
    size_t bytes = word_to_utf8(e, word, count);
    size_t pieces = dipp_bpe_encode(e->tokenizer->bpe, (const uint8_t *)e->bytes, bytes, e->bpe_room, e->pieces);
    for (size_t i = 0; i < pieces; i++)
        dipp_id_list_add(&e->out, (uint32_t)e->pieces[i]);
}

/* The longest piece that there is, again and again; all of the word is unknown when a part of it is. */
static void emit_bert_word(encoding *e, const int32_t *word, size_t count)
{
    const dipp_tokenizer *t = e->tokenizer;
    size_t found = 0;
    if (count <= DIPP_WORD_PIECE_CHARACTERS) {
        size_t used = 0;
        for (size_t i = 0; i < count; i++) {
            e->starts[i] = (uint32_t)used;
            used += dipp_code_to_utf8(word[i], e->bytes + used);
        }
        e->starts[count] = (uint32_t)used;
    }
    for (size_t at = 0; at < count && count <= DIPP_WORD_PIECE_CHARACTERS;) {
        const dipp_name_table *table = at ? t->continuations : t->beginnings;
        size_t longest = dipp_name_table_longest(table), end = count;
        uint32_t id = 0;
        while (end > at &&
               (e->starts[end] - e->starts[at] > longest ||
                !dipp_name_table_find(table, e->bytes + e->starts[at], e->starts[end] - e->starts[at], &id)))
            end--;
        if (end == at) {
            found = 0;
            break;
        }
        e->pieces[found++] = (int32_t)id;
        at = end;
    }
    if (!found)
        dipp_id_list_add(&e->out, t->unknown);
    for (size_t i = 0; i < found; i++)
        dipp_id_list_add(&e->out, (uint32_t)e->pieces[i]);
}

/* How many code points of text[count] are the special word number k. */
static size_t special_at(const dipp_tokenizer *t, size_t k, const int32_t *text, size_t count)
{
    size_t length = strlen(t->specials[k].word), same = 0;
    while (same < length && same < count && text[same] == (unsigned char)t->specials[k].word[same])
        same++;
    return same == length ? length : 0;
}

/* "'s" and its like: their length, 0 when text does not start with one. OpenAI's pattern ignores case, so that the
 * long s is an s. */
static size_t contraction(const int32_t *text, size_t count, bool ignores_case)
{
    if (count < 2 || text[0] != '\'')
        return 0;
    int32_t first = ignores_case && text[1] == 0x17f ? 's' : text[1], second = count > 2 ? text[2] : 0;
    if (first == 's' || first == 't' || first == 'm' || first == 'd')
        return 2;
    return (first == 'r' && second == 'e') || (first == 'v' && second == 'e') || (first == 'l' && second == 'l') ? 3
                                                                                                                 : 0;
}

static bool is_neither(int32_t code)
{
    return !dipp_code_is_space(code) && !dipp_code_is_letter(code) && !dipp_code_is_number(code);
}

/* Words of cleaned text: contractions, runs of letters, single numbers, runs of the rest. */
static void encode_clip(encoding *e, const dipp_codes *text, bool openai)
{
    for (size_t at = 0; at < text->count;) {
        const int32_t *rest = text->codes + at;
        size_t left = text->count - at, length = 0;
        if (dipp_code_is_space(*rest)) {
            at++;
            continue;
        }
        for (size_t k = 0; k < e->tokenizer->special_count && openai && !length; k++)
            if ((length = special_at(e->tokenizer, k, rest, left)))
                dipp_id_list_add(&e->out, e->tokenizer->specials[k].id);
        at += length;
        if (length)
            continue;
        length = contraction(rest, left, openai);
        if (!length && dipp_code_is_number(*rest))
            length = 1;
        else if (!length && dipp_code_is_letter(*rest))
            while (length < left && dipp_code_is_letter(rest[length]))
                length++;
        else if (!length)
            while (length < left && is_neither(rest[length]))
                length++;
        emit_clip_word(e, rest, length);
        at += length;
    }
}

static bool separates(int32_t code)
{
    return (code >= 33 && code <= 47) || (code >= 58 && code <= 64) || (code >= 91 && code <= 96) ||
           (code >= 123 && code <= 126) || dipp_code_is_punctuation(code);
}

static void encode_bert(encoding *e, const dipp_codes *text)
{
    for (size_t at = 0; at < text->count;) {
        const int32_t *rest = text->codes + at;
        size_t left = text->count - at, length = 1;
        if (!separates(*rest) && *rest != ' ')
            while (length < left && rest[length] != ' ' && !separates(rest[length]))
                length++;
        if (*rest != ' ')
            emit_bert_word(e, rest, length);
        at += length;
    }
}

/* Room for any word of the cleaned text. */
static bool make_room(encoding *e, size_t codes)
{
    size_t bytes = 4 * codes + 4;
    e->bytes = dipp_allocate(bytes);
    e->pieces = dipp_allocate_zeroed(bytes, sizeof *e->pieces);
    e->starts = dipp_allocate_zeroed(DIPP_WORD_PIECE_CHARACTERS + 1, sizeof *e->starts);
    e->bpe_room = dipp_bpe_room_create(bytes);
    return e->bytes && e->pieces && e->starts && e->bpe_room;
}

static void release_room(encoding *e)
{
    dipp_release(e->bytes);
    dipp_release(e->pieces);
    dipp_release(e->starts);
    dipp_release(e->bpe_room);
    e->bytes = NULL; /* another part of the text may follow */
    e->pieces = NULL;
    e->starts = NULL;
    e->bpe_room = NULL;
}

/* Text without special words in it, cleaned in place; false for no memory. */
static bool encode_part(encoding *e, dipp_codes *text)
{
    dipp_tokenizer_rule rule = e->tokenizer->rule;
    if (rule == DIPP_TOKENIZER_BERT_UNCASED)
        dipp_clean_bert(text);
    else if (rule == DIPP_TOKENIZER_HUGGING_FACE_CLIP)
        dipp_clean_hugging_face(text);
    else
        dipp_clean_open_clip(text);
    bool done = !text->failed && make_room(e, text->count);
    if (done && rule == DIPP_TOKENIZER_BERT_UNCASED)
        encode_bert(e, text);
    else if (done)
        encode_clip(e, text, rule != DIPP_TOKENIZER_HUGGING_FACE_CLIP);
    release_room(e);
    return done;
}

/* Hugging Face looks for special words in the text as it comes; OpenAI's programs find them among the words of the
 * cleaned text (encode_clip). */
static bool encode_text(encoding *e, const dipp_codes *text)
{
    const dipp_tokenizer *t = e->tokenizer;
    bool first = t->rule == DIPP_TOKENIZER_BERT_UNCASED || t->rule == DIPP_TOKENIZER_HUGGING_FACE_CLIP, done = true;
    for (size_t start = 0; start < text->count && done;) {
        size_t at = start, length = 0, special = 0;
        for (; at < text->count && first; at++) {
            for (special = 0; special < t->special_count && !length; special++)
                length = special_at(t, special, text->codes + at, text->count - at);
            if (length)
                break;
        }
        if (!first)
            at = text->count;
        dipp_codes part = {0};
        for (size_t i = start; i < at; i++)
            dipp_codes_append(&part, text->codes[i]);
        done = encode_part(e, &part);
        dipp_codes_clear(&part);
        if (length)
            dipp_id_list_add(&e->out, t->specials[special - 1].id);
        start = at + length;
    }
    return done;
}

dipp_status dipp_tokenizer_encode(const dipp_tokenizer *tokenizer, const char *text, size_t bytes, uint32_t length,
                                  int32_t *ids, size_t *count, dipp_error *error)
{
    if (length < 2)
        return dipp_fail(error, DIPP_E_INVALID, "tokenizer: cannot encode into %u tokens; give it at least 2", length);
    if (bytes > DIPP_TOKENIZER_TEXT_MOST)
        return dipp_fail(error, DIPP_E_INVALID, "tokenizer: a text of %zu bytes; at most %d are taken", bytes,
                         (int)DIPP_TOKENIZER_TEXT_MOST);
    encoding e = {.tokenizer = tokenizer, .out = {.ids = ids, .room = length}};
    dipp_codes codes = {0};
    dipp_codes_append_utf8(&codes, text, bytes);
    if (!tokenizer->t5)
        dipp_id_list_add(&e.out, tokenizer->start);
    bool done =
        !codes.failed && (tokenizer->t5 ? dipp_t5_encode(tokenizer->t5, &codes, &e.out) : encode_text(&e, &codes));
    dipp_codes_clear(&codes);
    if (!done)
        return fail_memory(error, "tokenizer");
    /* T5Tokenizer takes an end that is written last, or where it cuts the text, for its own; T5TokenizerFast adds one. */
    bool takes_written = tokenizer->t5 && !tokenizer->t5->from_json;
    size_t kept = e.out.count < length ? e.out.count : length - 1;
    bool ended = takes_written && kept && ids[kept - 1] == (int32_t)tokenizer->end;
    *count = e.out.count + !(takes_written && e.out.count && e.out.last == tokenizer->end);
    if (!ended)
        ids[kept++] = (int32_t)tokenizer->end;
    for (; kept < length; kept++)
        ids[kept] = (int32_t)tokenizer->pad;
    return DIPP_OK;
}
