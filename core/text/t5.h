/* T5's tokenizer: a normaliser, a vocabulary of scored pieces, and words that are found in a text before both. Inside
 * libdipp. Page: docs/tokenizers.md. */
#ifndef DIPP_TEXT_T5_H
#define DIPP_TEXT_T5_H

#include "text/charsmap.h"
#include "text/code_points.h"
#include "text/unigram.h"

enum { DIPP_T5_EXTRA_IDS = 100 };

/* Whether blanks beside a word that is found in a text belong to it. */
typedef struct dipp_t5_strips {
    bool left, right;
} dipp_t5_strips;

typedef struct dipp_t5 {
    dipp_unigram *pieces;
    dipp_charsmap *charsmap; /* NULL: characters stay as they are */
    /* <extra_id_0> to <extra_id_99>, the last ids of all, the first of them last; and </s>, <unk>, <pad>. */
    uint32_t extra_first;
    dipp_t5_strips extra_strips;
    uint32_t end, unknown, pad;
    bool add_prefix, drop_blanks; /* normalizer_spec.add_dummy_prefix and remove_extra_whitespaces */
} dipp_t5;

dipp_t5 *dipp_t5_create(void); /* NULL for no memory */
void dipp_t5_destroy(dipp_t5 **t5);

/* A spiece.model: protobuf, sentencepiece_model.proto. Takes what it can do exactly and names what it cannot. */
dipp_status dipp_t5_read_spiece(dipp_t5 *t5, const char *label, const void *bytes, size_t size, dipp_error *error);

/* Adds the ids of a text, without the end. false for no memory. [any thread] */
bool dipp_t5_encode(const dipp_t5 *t5, const dipp_codes *text, dipp_id_list *ids);

#endif
