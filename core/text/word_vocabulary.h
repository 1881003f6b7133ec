/* A small vocabulary of whole words, for worlds whose captions are built from a known word list.
 *
 * A word is a run of ASCII letters and digits (folded to lower case) and of non-ASCII bytes; everything else separates.
 * Ids: 0 pads, 1 is an unknown word, the rest are the words in byte order, so the same word list always gives the same
 * ids. The file has one word a line, the line number being the id; lines 0 and 1 read "<pad>" and "<unknown>".
 * A vocabulary is immutable after creation [any thread]. */
#ifndef DIPP_TEXT_WORD_VOCABULARY_H
#define DIPP_TEXT_WORD_VOCABULARY_H

#include <dipp/status.h>

enum {
    DIPP_WORD_PAD = 0,
    DIPP_WORD_UNKNOWN = 1,
    DIPP_WORD_ENTRIES_MAX = 2048,
    DIPP_WORD_BYTES_MAX = 64,
    DIPP_WORD_TOKENS = 16
};

typedef struct dipp_word_vocabulary dipp_word_vocabulary;

/* From phrases (repeats are fine) to at most `limit` entries, the two special ones included.
 * Errors: INVALID (limit outside 3..2048, a word of more than 63 bytes, or more words than fit; the text says how many),
 * MEMORY. */
dipp_status dipp_word_vocabulary_create(const char *const *phrases, size_t count, int limit,
                                        dipp_word_vocabulary **vocabulary, dipp_error *error);
void dipp_word_vocabulary_destroy(dipp_word_vocabulary **vocabulary);

/* Errors of load: NOT_FOUND, IO, FORMAT (first lines, order, repeats, characters, size; with the line), MEMORY. Save
 * replaces the file in one step; errors: IO, MEMORY. */
dipp_status dipp_word_vocabulary_load(const char *path, dipp_word_vocabulary **vocabulary, dipp_error *error);
dipp_status dipp_word_vocabulary_save(const dipp_word_vocabulary *vocabulary, const char *path, dipp_error *error);

int dipp_word_vocabulary_size(const dipp_word_vocabulary *vocabulary); /* the two special entries included */
const char *dipp_word_vocabulary_word(const dipp_word_vocabulary *vocabulary, int id); /* NULL outside 0..size-1 */
int dipp_word_vocabulary_id(const dipp_word_vocabulary *vocabulary,
                            const char *word); /* exact word; DIPP_WORD_UNKNOWN if absent */

/* Writes `length` ids, padded with 0, and returns how many words the text has, which may be more than `length`: the rest
 * is cut. NULL text counts as empty. */
int dipp_word_vocabulary_tokenize(const dipp_word_vocabulary *vocabulary, const char *text, int length, int32_t *ids);

#endif
