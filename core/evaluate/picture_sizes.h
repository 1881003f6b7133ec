/* Pictures of different sizes one after another in memory, and the order in which those of one size come together. */
#ifndef DIPP_EVALUATE_PICTURE_SIZES_H
#define DIPP_EVALUATE_PICTURE_SIZES_H

#include <dipp/status.h>

#include <stddef.h>

typedef struct dipp_picture_size {
    int width, height;
} dipp_picture_size;

typedef struct dipp_picture_sizes {
    uint32_t count;
    dipp_picture_size *size; /* [count] */
    uint32_t *order;         /* [count], by size, then by number */
    size_t *start;           /* [count], bytes of RGB before each */
    size_t bytes;            /* of all */
    uint32_t largest;        /* bytes of the largest */
    int side;                /* of square pictures that are all of one size, else 0 */
} dipp_picture_sizes;

/* Copies size[count]. DIPP_E_INVALID: a side outside 1..16384 or no picture; DIPP_E_MEMORY. dipp_picture_sizes_clear in any
 * case. [any thread] */
dipp_status dipp_picture_sizes_create(const dipp_picture_size *size, uint32_t count, dipp_picture_sizes *out,
                                      dipp_error *error);
void dipp_picture_sizes_clear(dipp_picture_sizes *sizes);

/* How many pictures from place `first` of the order on are of one size, at most `most`; at least 1. */
uint32_t dipp_picture_sizes_alike(const dipp_picture_sizes *sizes, uint32_t first, uint32_t most);

/* How many the rarest size has: a batch of as many wastes nothing. */
uint32_t dipp_picture_sizes_fewest(const dipp_picture_sizes *sizes);

#endif
