/* The tables that original_names.c translates by, one a layout. Inside core/weights. */
#ifndef DIPP_WEIGHTS_NAME_RULES_H
#define DIPP_WEIGHTS_NAME_RULES_H

#include <stdbool.h>
#include <stddef.h>

/* What '@' is: a number that follows from a name's first numbers and from how many layers the blocks have. */
typedef enum dipp_name_place {
    DIPP_PLACE_NONE,
    DIPP_PLACE_DOWN, /* of layer # of down block #, where a downsampler is a layer and the first convolution is number 0 */
    DIPP_PLACE_DOWN_END, /* of the downsampler of block # */
    DIPP_PLACE_UP,       /* of layer # of up block # */
    DIPP_PLACE_UP_END,   /* of the last layer of block #, which the upsampler belongs to */
    DIPP_PLACE_REVERSED  /* block # of an autoencoder's decoder, counted from the last */
} dipp_name_place;

/* In `ours`, '#' is a number without leading zeros, '?' one of `letters`, and a '*' at the end at least one character; in `theirs`
 * '#' is the next of the numbers, and '*' the same characters, or, where there are `ends`, what the first of these that fits
 * makes of them. */
typedef struct dipp_name_rule dipp_name_rule;
struct dipp_name_rule {
    const char *ours, *theirs;
    const char *letters; /* of a stacked tensor: "qkv", its first, second and third part */
    bool transposed;
    dipp_name_place place;
    const dipp_name_rule *ends;
};

/* A row of a table, with what else it has (".letters = "), and the row that ends one. */
#define DIPP_NAMES(here, there, ...)                   \
    {                                                  \
        .ours = (here), .theirs = (there), __VA_ARGS__ \
    }
#define DIPP_NAMES_END \
    {                  \
        .ours = NULL   \
    }

extern const dipp_name_rule dipp_clip_rules[];   /* open_clip, OpenAI */
extern const dipp_name_rule dipp_pixart_rules[]; /* PixArt-alpha */
extern const dipp_name_rule dipp_ldm_rules[];    /* CompVis: UNet and autoencoder of Stable Diffusion */

#endif
