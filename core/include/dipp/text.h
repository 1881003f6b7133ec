/* Text to token ids on the host, for plugins that read prompts. */
#ifndef DIPP_TEXT_H
#define DIPP_TEXT_H

#include <dipp/status.h>

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Whole words, one a line of a file whose first lines are "<pad>" and "<unknown>"; the line's number is the id. Upper case
 * is folded, punctuation separates. Immutable once loaded. */
typedef struct dipp_vocabulary dipp_vocabulary;

/* Reads path. DIPP_E_NOT_FOUND, DIPP_E_IO or DIPP_E_FORMAT say what is wrong with the file. *out is the caller's, destroyed
 * with dipp_vocabulary_destroy. [any thread] */
dipp_status dipp_vocabulary_load(const char *path, dipp_vocabulary **out, dipp_error *error);

/* Number of ids; every encoded id is below it. [any thread] */
uint32_t dipp_vocabulary_size(const dipp_vocabulary *vocabulary);

/* Writes length ids and a mask (1 valid, 0 padding). Words that the vocabulary lacks become <unknown>; what does not fit is
 * cut. At least one token is valid: "" (and NULL) is the null prompt, one <pad> that counts. text is UTF-8.
 * DIPP_E_INVALID when length is 0. [any thread] */
dipp_status dipp_vocabulary_encode(const dipp_vocabulary *vocabulary, const char *text, uint32_t length,
                                   int32_t *tokens, float *mask, dipp_error *error);

void dipp_vocabulary_destroy(dipp_vocabulary **vocabulary);

/* ---- Published tokenizers: CLIP's byte pair encoding, BERT's word pieces and T5's scored pieces, to the same ids as
 * the programs they came with */

/* Whose behaviour. The first three differ in cleaning, in the special words that are recognised in a text and in
 * padding. */
typedef enum dipp_tokenizer_rule {
    DIPP_TOKENIZER_OPEN_CLIP,         /* open_clip and HPSv2: <start_of_text>, <end_of_text>, padded with 0 */
    DIPP_TOKENIZER_OPENAI_CLIP,       /* openai/CLIP: <|startoftext|>, <|endoftext|>, padded with 0 */
    DIPP_TOKENIZER_HUGGING_FACE_CLIP, /* transformers' CLIPTokenizerFast: no HTML, padded with <|endoftext|> */
    DIPP_TOKENIZER_BERT_UNCASED,      /* transformers' BertTokenizer, uncased: padded with [PAD] */
    DIPP_TOKENIZER_T5                 /* transformers' T5Tokenizer: no start, </s>, padded with <pad> */
} dipp_tokenizer_rule;

/* A longer text is refused. */
enum { DIPP_TOKENIZER_TEXT_MOST = 65536 };

typedef struct dipp_tokenizer dipp_tokenizer;

/* Reads vocabulary, by its content: for CLIP bpe_simple_vocab_16e6.txt, vocab.json (with merges, the path of its
 * merges.txt; NULL otherwise), or tokenizer.json (for HUGGING_FACE_CLIP); for BERT vocab.txt or tokenizer.json; for T5
 * spiece.model. A gzip file of one of them will do. DIPP_E_FORMAT says where the file is wrong; DIPP_E_UNSUPPORTED what
 * it asks for that is not done here; DIPP_E_INVALID files that do not belong to the rule; DIPP_E_NOT_FOUND, DIPP_E_IO,
 * DIPP_E_MEMORY. *out is the caller's, immutable [any thread]. */
dipp_status dipp_tokenizer_create(dipp_tokenizer_rule rule, const char *vocabulary, const char *merges,
                                  dipp_tokenizer **out, dipp_error *error);

/* The same from the files' contents; merges may be NULL. label stands for the path in messages. */
dipp_status dipp_tokenizer_create_memory(dipp_tokenizer_rule rule, const char *label, const void *vocabulary,
                                         size_t vocabulary_bytes, const void *merges, size_t merges_bytes,
                                         dipp_tokenizer **out, dipp_error *error);
void dipp_tokenizer_destroy(dipp_tokenizer **tokenizer);

/* Number of ids; every encoded id is below it. [any thread] */
uint32_t dipp_tokenizer_size(const dipp_tokenizer *tokenizer);

/* Writes length ids of text[bytes]: start (T5 has none), pieces, end, padding. *count is how many tokens the whole text
 * has, start and end included. When that is more than length the ids are the first length - 1 and the end: open_clip
 * and Hugging Face (with truncation) cut so, openai/CLIP unless asked refuses, so a caller that follows it compares
 * count with length. What is not UTF-8 counts as U+FFFD. DIPP_E_INVALID for a length below 2 or more than
 * DIPP_TOKENIZER_TEXT_MOST bytes; DIPP_E_MEMORY. [any thread] */
dipp_status dipp_tokenizer_encode(const dipp_tokenizer *tokenizer, const char *text, size_t bytes, uint32_t length,
                                  int32_t *ids, size_t *count, dipp_error *error);

/* ---- What pipelines do to a prompt before they split it ---- */

/* text[bytes] as Python's text.lower().strip() leaves it, which is how PixArt-alpha's pipeline prepares its prompts. out has
 * room for 3 * bytes + 4 and is ended by a zero, *out_bytes counts what is before it; what is not UTF-8 becomes U+FFFD.
 * DIPP_E_INVALID for more than DIPP_TOKENIZER_TEXT_MOST bytes; DIPP_E_MEMORY. [any thread] */
dipp_status dipp_prompt_lowered(const char *text, size_t bytes, char *out, size_t *out_bytes, dipp_error *error);

#ifdef __cplusplus
}
#endif
#endif
