/* A vocabulary of pieces with scores: a text is cut into the pieces whose scores have the largest sum. Inside libdipp.
 * Page: docs/tokenizers.md. */
#ifndef DIPP_TEXT_UNIGRAM_H
#define DIPP_TEXT_UNIGRAM_H

#include "text/id_list.h"

#include <dipp/status.h>

#include <stdbool.h>

typedef struct dipp_unigram dipp_unigram;

/* For at most limit pieces. in_float: sums are rounded to float, as SentencePiece's are; else they are doubles, as those
 * of Hugging Face's tokenizers. Equally good cuts are decided by rounding and order, so this is part of the result.
 * unknown is the id of what no piece covers. NULL for no memory. */
dipp_unigram *dipp_unigram_create(size_t limit, uint32_t unknown, bool in_float);
void dipp_unigram_destroy(dipp_unigram **model);

/* Copies the piece. where is for messages. DIPP_E_FORMAT (empty, not UTF-8, with a zero byte, a score that is no
 * number), DIPP_E_UNSUPPORTED (too long), DIPP_E_MEMORY. */
dipp_status dipp_unigram_add(dipp_unigram *model, const char *where, const char *piece, size_t bytes, uint32_t id,
                             double score, dipp_error *error);

/* After the last piece; before it nothing is encoded. DIPP_E_FORMAT for no piece at all, or one that is there twice. */
dipp_status dipp_unigram_finish(dipp_unigram *model, const char *where, dipp_error *error);

/* Adds the ids of text[bytes], valid UTF-8; neighbouring unknown ones become a single one. false for no memory.
 * [any thread] */
bool dipp_unigram_encode(const dipp_unigram *model, const char *text, size_t bytes, dipp_id_list *ids);

#endif
