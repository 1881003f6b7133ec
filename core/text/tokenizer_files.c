/* The line-based files of tokenizers, and the steps that all readers share. */
#include "base/memory.h"
#include "text/code_points.h"
#include "text/tokenizer_private.h"

#include <stdio.h>
#include <string.h>

/* What is read of the published file; the rest of its lines are not part of the vocabulary. */
enum { OPENAI_MERGES = 49152 - 256 - 2, SYMBOL_BYTES = 512, PIECES_MOST = 1 << 20 };

static dipp_status fail_memory(dipp_error *error, const char *where)
{
    return dipp_fail(error, DIPP_E_MEMORY, "%s: no memory for the tokenizer", where);
}

dipp_status dipp_tokenizer_create_names(const char *where, size_t limit, dipp_name_table **names, dipp_error *error)
{
    *names = dipp_name_table_create(limit);
    return *names ? DIPP_OK : fail_memory(error, where);
}

/* The symbol of a byte, as the files spell it: one letter, and "</w>" where a word ends. */
static size_t byte_symbol(int byte, bool last, char out[16])
{
    static const char end_of_word[4] = {'<', '/', 'w', '>'};
    size_t length = dipp_code_to_utf8(dipp_bpe_letter((uint8_t)byte), out);
    if (last)
        memcpy(out + length, end_of_word, sizeof end_of_word);
    return length + (last ? sizeof end_of_word : 0);
}

dipp_status dipp_tokenizer_create_bpe(dipp_tokenizer *tokenizer, const char *where, const dipp_name_table *names,
                                      size_t merge_limit, dipp_error *error)
{
    uint32_t ids[2][256];
    for (int last = 0; last < 2; last++)
        for (int byte = 0; byte < 256; byte++) {
            char symbol[16];
            if (!dipp_name_table_find(names, symbol, byte_symbol(byte, last, symbol), &ids[last][byte]))
                return dipp_fail(
                    error, DIPP_E_FORMAT,
                    "%s: the vocabulary has no symbol for byte %d %s a word; expected CLIP's 512 symbols of "
                    "single bytes",
                    where, byte, last ? "at the end of" : "inside");
        }
    tokenizer->bpe = dipp_bpe_create((const uint32_t(*)[256])ids, merge_limit);
    return tokenizer->bpe ? DIPP_OK : fail_memory(error, where);
}

dipp_status dipp_tokenizer_add_merge(dipp_tokenizer *tokenizer, const char *where, dipp_name_table *names,
                                     const char *line, size_t bytes, uint32_t number, dipp_error *error)
{
    const char *blank = memchr(line, ' ', bytes);
    size_t left = blank ? (size_t)(blank - line) : 0, right = blank ? bytes - left - 1 : 0;
    char joined[SYMBOL_BYTES];
    if (!left || !right || left + right > sizeof joined || memchr(blank + 1, ' ', right))
        return dipp_fail(error, DIPP_E_FORMAT, "%s: expected a merge, two symbols with a space between", where);
    memcpy(joined, line, left);
    memcpy(joined + left, blank + 1, right);
    uint32_t left_id, right_id, id;
    if (!dipp_name_table_find(names, line, left, &left_id) || !dipp_name_table_find(names, blank + 1, right, &right_id))
        return dipp_fail(error, DIPP_E_FORMAT, "%s: a merge of symbols that are not in the vocabulary so far", where);
    if (number == UINT32_MAX && !dipp_name_table_find(names, joined, left + right, &id))
        return dipp_fail(error, DIPP_E_FORMAT, "%s: what the merge makes is not in the vocabulary", where);
    if (number != UINT32_MAX && !dipp_name_table_add(names, joined, left + right, number, &id))
        return id == UINT32_MAX ? fail_memory(error, where)
                                : dipp_fail(error, DIPP_E_FORMAT, "%s: the merge makes a symbol that is there", where);
    if (!dipp_bpe_add(tokenizer->bpe, left_id, right_id, number == UINT32_MAX ? id : number))
        return dipp_fail(error, DIPP_E_FORMAT, "%s: the merge is there twice", where);
    return DIPP_OK;
}

/* The line at *at, without its end; *at becomes the next one, NULL behind the last. A file may or may not end its last
 * line. */
static const char *next_line(const dipp_file_text *file, const char **at, size_t *bytes)
{
    const char *line = *at, *end = file->text + file->bytes;
    const char *stop = memchr(line, '\n', (size_t)(end - line));
    *at = stop && stop + 1 < end ? stop + 1 : NULL;
    *bytes = (size_t)((stop ? stop : end) - line);
    if (*bytes && line[*bytes - 1] == '\r')
        --*bytes;
    return line;
}

dipp_status dipp_tokenizer_read_merges(dipp_tokenizer *tokenizer, const dipp_file_text *file, dipp_error *error)
{
    dipp_name_table *names = NULL;
    size_t merges = 0; /* at most */
    for (size_t i = 0; i < file->bytes && merges < OPENAI_MERGES; i++)
        merges += file->text[i] == '\n';
    dipp_status status = dipp_tokenizer_create_names(file->label, 512 + merges, &names, error);
    /* Numbers by order: the printable bytes, the others, all of them at the end of a word, the merges. */
    for (int last = 0, number = 0; last < 2 && !status; last++)
        for (int letter = 0; letter < 512 && !status; letter++)
            for (int byte = 0; byte < 256 && !status; byte++) {
                char symbol[16];
                uint32_t id;
                if (dipp_bpe_letter((uint8_t)byte) == letter &&
                    !dipp_name_table_add(names, symbol, byte_symbol(byte, last, symbol), (uint32_t)number++, &id))
                    status = fail_memory(error, file->label);
            }
    if (!status)
        status = dipp_tokenizer_create_bpe(tokenizer, file->label, names, merges, error);
    size_t bytes, number = 512;
    const char *at = file->bytes ? file->text : NULL, *first = at ? next_line(file, &at, &bytes) : NULL;
    if (!status && (!first || !memmem(first, bytes, "#version", 8) || !at))
        status =
            dipp_fail(error, DIPP_E_FORMAT, "%s: expected a first line with #version and merges below", file->label);
    for (size_t line = 2; !status && at && number < 512 + merges; line++) {
        char where[400];
        const char *text = next_line(file, &at, &bytes);
        snprintf(where, sizeof where, "%s:%zu", file->label, line);
        status = dipp_tokenizer_add_merge(tokenizer, where, names, text, bytes, (uint32_t)number++, error);
    }
    dipp_name_table_destroy(&names);
    tokenizer->start = (uint32_t)number;
    tokenizer->end = (uint32_t)number + 1;
    tokenizer->size = (uint32_t)number + 2;
    return status;
}

dipp_status dipp_tokenizer_create_pieces(dipp_tokenizer *tokenizer, const char *where, size_t limit, dipp_error *error)
{
    dipp_status status = dipp_tokenizer_create_names(where, limit, &tokenizer->beginnings, error);
    return status ? status : dipp_tokenizer_create_names(where, limit, &tokenizer->continuations, error);
}

dipp_status dipp_tokenizer_add_piece(dipp_tokenizer *tokenizer, const char *where, const char *piece, size_t bytes,
                                     uint32_t id, dipp_error *error)
{
    bool continues = bytes > 2 && piece[0] == '#' && piece[1] == '#';
    uint32_t other;
    if (!bytes)
        return dipp_fail(error, DIPP_E_FORMAT, "%s: a piece is empty", where);
    if (!dipp_name_table_add(continues ? tokenizer->continuations : tokenizer->beginnings, piece + 2 * continues,
                             bytes - 2 * continues, id, &other))
        return other == UINT32_MAX ? fail_memory(error, where)
                                   : dipp_fail(error, DIPP_E_FORMAT, "%s: the piece is there already", where);
    if (id + 1 > tokenizer->size)
        tokenizer->size = id + 1;
    return DIPP_OK;
}

dipp_status dipp_tokenizer_finish_pieces(dipp_tokenizer *tokenizer, const char *where, dipp_error *error)
{
    static const char *const words[DIPP_SPECIALS_MOST] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
    uint32_t *const places[DIPP_SPECIALS_MOST] = {&tokenizer->pad, &tokenizer->unknown, &tokenizer->start,
                                                  &tokenizer->end, NULL};
    for (int i = 0; i < DIPP_SPECIALS_MOST; i++) {
        uint32_t id;
        if (!dipp_name_table_find(tokenizer->beginnings, words[i], strlen(words[i]), &id))
            return dipp_fail(error, DIPP_E_FORMAT, "%s: the vocabulary has no %s", where, words[i]);
        tokenizer->specials[tokenizer->special_count].word = words[i];
        tokenizer->specials[tokenizer->special_count++].id = id;
        if (places[i])
            *places[i] = id;
    }
    return DIPP_OK;
}

dipp_status dipp_tokenizer_read_word_pieces(dipp_tokenizer *tokenizer, const dipp_file_text *file, dipp_error *error)
{
    size_t lines = 1, bytes;
    for (size_t i = 0; i < file->bytes; i++)
        lines += file->text[i] == '\n';
    if (lines > PIECES_MOST)
        return dipp_fail(error, DIPP_E_FORMAT, "%s: more than %d lines", file->label, (int)PIECES_MOST);
    dipp_status status = dipp_tokenizer_create_pieces(tokenizer, file->label, lines, error);
    const char *at = file->bytes ? file->text : NULL;
    for (uint32_t id = 0; !status && at; id++) {
        char where[400];
        const char *piece = next_line(file, &at, &bytes);
        snprintf(where, sizeof where, "%s:%u", file->label, id + 1);
        status = dipp_tokenizer_add_piece(tokenizer, where, piece, bytes, id, error);
    }
    return status ? status : dipp_tokenizer_finish_pieces(tokenizer, file->label, error);
}
