/* Weights as the first authors of a network named and arranged them. The networks of dipp/nn.h declare the names of diffusers and
 * transformers; files in the layouts of CompVis, of PixArt-alpha and of open_clip are read by translating these names. */
#ifndef DIPP_WEIGHTS_ORIGINAL_NAMES_H
#define DIPP_WEIGHTS_ORIGINAL_NAMES_H

#include <stdbool.h>
#include <stdint.h>

enum { DIPP_ORIGINAL_NAME_BYTES = 160, DIPP_ORIGINAL_MAX_BLOCKS = 16 };

typedef struct dipp_original_name {
    char name[DIPP_ORIGINAL_NAME_BYTES];
    bool transposed; /* a matrix [a, b] here is [b, a] there */
    uint32_t part,
        parts; /* what is here [n, ...] are the rows from part * n on of [parts * n, ...] there; 0 of 1: all */
} dipp_original_name;

/* CompVis counts through all blocks of a network, so where a layer is depends on how many others there are. */
typedef struct dipp_block_counts {
    uint32_t down[DIPP_ORIGINAL_MAX_BLOCKS], up[DIPP_ORIGINAL_MAX_BLOCKS]; /* resnets in each block of a UNet */
    uint32_t decoder;                                                      /* blocks of an autoencoder's decoder */
} dipp_block_counts;

/* Counts the block of one of a network's names; to be called with all of them. Names of other tensors change nothing.
 * [one thread at a time for the counts] */
void dipp_block_counts_note(dipp_block_counts *counts, const char *name);

/* What name may be called in the layouts known here: choice 0, 1, ... of what there is, false when there are no more. Prefixes
 * of dipp_weights_find_prefixed are left out. [any thread] */
bool dipp_original_name_of(const char *name, const dipp_block_counts *counts, uint32_t choice, dipp_original_name *out);

#endif
