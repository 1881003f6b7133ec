/* What the files of the emoji world share: its struct, and the Philox streams it draws from. */
#ifndef DIPP_DATA_WORLD_PRIVATE_H
#define DIPP_DATA_WORLD_PRIVATE_H

#include "data/glyph_subset.h"
#include "data/scene.h"

enum { WORLD_LEVELS_MAX = 9, WORLD_SMALLEST_LEVEL = 8 };

/* One resolution of every glyph: side x side texels with a transparent border of one texel, so a row is side+2. */
typedef struct world_level {
    int side;
    size_t offset; /* of this level in a glyph's texels, in bytes */
} world_level;

struct dipp_emoji_world {
    dipp_emoji_world_options options;
    int glyph_count, level_count;
    world_level levels[WORLD_LEVELS_MAX]; /* sides 128, 91, 64, ... 8: each sqrt(2) below the last */
    size_t glyph_bytes;                   /* all levels of one glyph */
    dipp_emoji_glyph *glyphs;
    dipp_glyph_feature *features;
    uint8_t *texels; /* [glyph_count][glyph_bytes] */
    char *strings;   /* names and keywords, owned */
    const char **keyword_list;
    uint64_t fingerprint;
};

/* Independent uses of one (seed, index). */
enum world_stream {
    STREAM_ATTRIBUTES = 0x5ce0,
    STREAM_CAPTION = 0x5ce1,
    STREAM_PROMPT = 0x5ce2,
    STREAM_SPLIT = 0x5ce3
};

/* Four uniform 32-bit words by base/philox.h's addressing: key = seed, counter = { block, low index, high index, stream }. */
void dipp_world_random(uint64_t seed, uint64_t index, enum world_stream stream, uint32_t block, uint32_t out[4]);

/* The colour 0..1 of a background in scene `index` of `seed`, jitter included. */
void dipp_world_background(const dipp_emoji_world *world, uint64_t seed, uint64_t index, int background, float rgb[3]);

/* [0,1), exact in float and double: 24 bits. */
static inline double world_uniform(uint32_t bits)
{
    return (double)(bits >> 8) * (1.0 / 16777216.0);
}

/* 0 .. count-1 */
static inline int world_pick(uint32_t bits, int count)
{
    return (int)((uint64_t)bits * (uint64_t)count >> 32);
}

#endif
