/* The tokenizers of published text encoders: CLIP's byte pair encoding and BERT's word pieces, to the same ids as the
 * programs they were published with. Page: docs/tokenizers.md. */
#ifndef DIPP_TEXT_TOKENIZER_H
#define DIPP_TEXT_TOKENIZER_H

#include <dipp/status.h>

#include <stdbool.h>
#include <stddef.h>

/* Whose behaviour. The first three differ in cleaning, in the special words that are recognised in a text and in
 * padding. */
typedef enum dipp_tokenizer_rule {
    DIPP_TOKENIZER_OPEN_CLIP,         /* open_clip and HPSv2: <start_of_text>, <end_of_text>, padded with 0 */
    DIPP_TOKENIZER_OPENAI_CLIP,       /* openai/CLIP: <|startoftext|>, <|endoftext|>, padded with 0 */
    DIPP_TOKENIZER_HUGGING_FACE_CLIP, /* transformers' CLIPTokenizerFast: no HTML, padded with <|endoftext|> */
    DIPP_TOKENIZER_BERT_UNCASED       /* transformers' BertTokenizer, uncased: padded with [PAD] */
} dipp_tokenizer_rule;

/* A longer text is refused. */
enum { DIPP_TOKENIZER_TEXT_MOST = 65536 };

typedef struct dipp_tokenizer dipp_tokenizer;

/* Reads vocabulary, by its content: for CLIP bpe_simple_vocab_16e6.txt or .txt.gz, vocab.json (with merges, the path
 * of its merges.txt; NULL otherwise), or tokenizer.json (for HUGGING_FACE_CLIP); for BERT vocab.txt or tokenizer.json.
 * DIPP_E_FORMAT says where the file is wrong; DIPP_E_UNSUPPORTED what a tokenizer.json asks for that is not done here;
 * DIPP_E_INVALID files that do not belong to the rule; DIPP_E_NOT_FOUND, DIPP_E_IO, DIPP_E_MEMORY. *out is the
 * caller's, immutable [any thread]. */
dipp_status dipp_tokenizer_create(dipp_tokenizer_rule rule, const char *vocabulary, const char *merges,
                                  dipp_tokenizer **out, dipp_error *error);

/* The same from the files' contents; merges may be NULL. label stands for the path in messages. */
dipp_status dipp_tokenizer_create_memory(dipp_tokenizer_rule rule, const char *label, const void *vocabulary,
                                         size_t vocabulary_bytes, const void *merges, size_t merges_bytes,
                                         dipp_tokenizer **out, dipp_error *error);
void dipp_tokenizer_destroy(dipp_tokenizer **tokenizer);

/* Number of ids; every encoded id is below it. [any thread] */
uint32_t dipp_tokenizer_size(const dipp_tokenizer *tokenizer);

/* Writes length ids of text[bytes]: start, pieces, end, padding. *count is how many tokens the whole text has, start
 * and end included. When that is more than length the ids are the first length - 1 and the end: open_clip and Hugging
 * Face (with truncation) cut so, openai/CLIP unless asked refuses, so a caller that follows it compares count with
 * length. What is not UTF-8 counts as U+FFFD. DIPP_E_INVALID for a length below 2 or more than
 * DIPP_TOKENIZER_TEXT_MOST bytes; DIPP_E_MEMORY. [any thread] */
dipp_status dipp_tokenizer_encode(const dipp_tokenizer *tokenizer, const char *text, size_t bytes, uint32_t length,
                                  int32_t *ids, size_t *count, dipp_error *error);

#endif
