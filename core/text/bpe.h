/* CLIP's byte pair encoding: a word's bytes, the last one marked as the end, joined pair by pair by rank. Inside
 * libdipp. */
#ifndef DIPP_TEXT_BPE_H
#define DIPP_TEXT_BPE_H

#include <dipp/status.h>

#include <stdbool.h>
#include <stddef.h>

enum { DIPP_BPE_MERGES_MOST = 1 << 20 };

typedef struct dipp_bpe dipp_bpe;

/* From the numbers of the 256 bytes inside a word and at its end: byte_ids[0][byte], byte_ids[1][byte]. NULL: no
 * memory. */
dipp_bpe *dipp_bpe_create(const uint32_t byte_ids[2][256], size_t merge_limit);
void dipp_bpe_destroy(dipp_bpe **bpe);

/* The next rank: left and right become result. false when the pair is there already, or beyond merge_limit. */
bool dipp_bpe_add(dipp_bpe *bpe, uint32_t left, uint32_t right, uint32_t result);

/* How CLIP's files spell a byte: as itself where that is printable, else from U+0100 on. */
int32_t dipp_bpe_letter(uint8_t byte);

/* Room for dipp_bpe_encode of words of at most bytes. NULL: no memory; freed with dipp_release. */
typedef struct dipp_bpe_room dipp_bpe_room;
dipp_bpe_room *dipp_bpe_room_create(size_t bytes);

/* The ids of one word of 1..bytes bytes; returns how many there are, at most as many as bytes. Takes n log n steps.
 * [any thread], each with its own room. */
size_t dipp_bpe_encode(const dipp_bpe *bpe, const uint8_t *word, size_t bytes, dipp_bpe_room *room, int32_t *ids);

#endif
