/* What the files of a tokenizer become; shared by the readers and the encoder. */
#ifndef DIPP_TEXT_TOKENIZER_PRIVATE_H
#define DIPP_TEXT_TOKENIZER_PRIVATE_H

#include "text/bpe.h"
#include "text/name_table.h"
#include "text/t5.h"

#include <dipp/text.h>

enum { DIPP_SPECIALS_MOST = 5, DIPP_WORD_PIECE_CHARACTERS = 100 };

struct dipp_tokenizer {
    dipp_tokenizer_rule rule;
    uint32_t size;
    uint32_t start, end, pad, unknown;
    struct {
        const char *word; /* static */
        uint32_t id;
    } specials[DIPP_SPECIALS_MOST]; /* recognised inside a text */
    size_t special_count;
    dipp_bpe *bpe;                               /* CLIP */
    dipp_name_table *beginnings, *continuations; /* BERT: pieces, the latter without their "##" */
    dipp_t5 *t5;                                 /* T5, and nothing of the above but rule, size, end and pad */
};

typedef struct dipp_file_text {
    const char *label, *text;
    size_t bytes;
} dipp_file_text;

/* Readers fill a tokenizer whose rule is set; on failure what was made stays in it for dipp_tokenizer_destroy.
 * BPE: the version line and merges of OpenAI's file; vocab.json with merges; tokenizer.json. */
dipp_status dipp_tokenizer_read_merges(dipp_tokenizer *tokenizer, const dipp_file_text *file, dipp_error *error);
dipp_status dipp_tokenizer_read_json(dipp_tokenizer *tokenizer, const dipp_file_text *file,
                                     const dipp_file_text *merges, dipp_error *error);
dipp_status dipp_tokenizer_read_word_pieces(dipp_tokenizer *tokenizer, const dipp_file_text *file, dipp_error *error);

/* Steps that readers share. where is "FILE" or "FILE:LINE", for messages. */

/* A table of names for a vocabulary of at most limit. */
dipp_status dipp_tokenizer_create_names(const char *where, size_t limit, dipp_name_table **names, dipp_error *error);

/* tokenizer->bpe without merges yet; the symbols of all bytes, inside and at the end of a word, must be in names. */
dipp_status dipp_tokenizer_create_bpe(dipp_tokenizer *tokenizer, const char *where, const dipp_name_table *names,
                                      size_t merge_limit, dipp_error *error);

/* The merge "LEFT RIGHT" of a line: both and what they become must be in names; where number is not UINT32_MAX, what
 * they become is new and gets that number. */
dipp_status dipp_tokenizer_add_merge(dipp_tokenizer *tokenizer, const char *where, dipp_name_table *names,
                                     const char *line, size_t bytes, uint32_t number, dipp_error *error);

/* beginnings and continuations, empty; then one piece each; then the special ones are looked up. */
dipp_status dipp_tokenizer_create_pieces(dipp_tokenizer *tokenizer, const char *where, size_t limit, dipp_error *error);
dipp_status dipp_tokenizer_add_piece(dipp_tokenizer *tokenizer, const char *where, const char *piece, size_t bytes,
                                     uint32_t id, dipp_error *error);
dipp_status dipp_tokenizer_finish_pieces(dipp_tokenizer *tokenizer, const char *where, dipp_error *error);

#endif
