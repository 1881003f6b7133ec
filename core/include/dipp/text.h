/* Text to token ids on the host, for plugins that read prompts. */
#ifndef DIPP_TEXT_H
#define DIPP_TEXT_H

#include <dipp/status.h>

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

#ifdef __cplusplus
}
#endif
#endif
