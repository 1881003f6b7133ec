/* T5's tokenizer: a normaliser, a vocabulary of scored pieces, and words that are found in a text before both. Inside
 * libdipp. Page: docs/tokenizers.md. */
#ifndef DIPP_TEXT_T5_H
#define DIPP_TEXT_T5_H

#include "text/charsmap.h"
#include "text/code_points.h"
#include "text/unigram.h"

#include <jansson.h>

/* The special words of every T5, and how many <extra_id_N> there are beside them. */
enum { DIPP_T5_END, DIPP_T5_UNKNOWN, DIPP_T5_PAD, DIPP_T5_WORDS, DIPP_T5_EXTRA_IDS = 100 };
extern const char *const dipp_t5_words[DIPP_T5_WORDS];

/* Whether blanks beside a word that is found in a text belong to it. */
typedef struct dipp_t5_strips {
    bool left, right;
} dipp_t5_strips;

/* When a blank is put before a text: never, before all of it, before each part between special words. */
typedef enum dipp_t5_prefix { DIPP_T5_PREFIX_NEVER, DIPP_T5_PREFIX_FIRST, DIPP_T5_PREFIX_ALWAYS } dipp_t5_prefix;

/* Whose steps are taken depends on the file: those of the sentencepiece library for a spiece.model, as in T5Tokenizer;
 * those of the tokenizers library for a tokenizer.json, as in T5TokenizerFast. */
typedef struct dipp_t5 {
    dipp_unigram *pieces;
    dipp_charsmap *charsmap; /* NULL: characters stay as they are */
    bool from_json;
    uint32_t words[DIPP_T5_WORDS]; /* their ids */
    uint32_t extra_first;          /* <extra_id_0>, the last id; <extra_id_1> is before it, and so on */
    dipp_t5_strips word_strips, extra_strips;
    dipp_t5_prefix prefix;
    bool drop_blanks;              /* spiece.model: remove_extra_whitespaces */
    bool cut_left, cut_right;      /* tokenizer.json: blanks at the ends are cut off, */
    bool join_blanks, split_words; /* two or more spaces become one; white space ends a word and is dropped */
} dipp_t5;

dipp_t5 *dipp_t5_create(void); /* NULL for no memory */
void dipp_t5_destroy(dipp_t5 **t5);

/* A spiece.model: protobuf, sentencepiece_model.proto. Both readers take what is done here exactly and name what is
 * not; label is for messages. What was made stays in t5 on failure. */
dipp_status dipp_t5_read_spiece(dipp_t5 *t5, const char *label, const void *bytes, size_t size, dipp_error *error);

/* A tokenizer.json. */
dipp_status dipp_t5_read_json(dipp_t5 *t5, const char *label, const json_t *root, dipp_error *error);

/* Adds the ids of a text, without the end. false for no memory. [any thread] */
bool dipp_t5_encode(const dipp_t5 *t5, const dipp_codes *text, dipp_id_list *ids);

/* Of it, the ids of a part without special words; first: the text begins with it. One for each kind of file. */
bool dipp_t5_encode_spiece(const dipp_t5 *t5, const int32_t *codes, size_t count, dipp_id_list *ids);
bool dipp_t5_encode_json(const dipp_t5 *t5, const int32_t *codes, size_t count, bool first, dipp_id_list *ids);

#endif
