/* Which glyphs a small world is made of: bitmaps reduced to features, filters, and a farthest-point choice.
 *
 * Every glyph is cut to its tight bounding box and centred in a square whose side is the longer edge; features are
 * taken of that square, so they do not depend on how the font pads. */
#ifndef DIPP_DATA_GLYPH_SUBSET_H
#define DIPP_DATA_GLYPH_SUBSET_H

#include "data/emoji_font.h"

enum { DIPP_GLYPH_FEATURE_SIDE = 16, DIPP_GLYPH_FEATURES = DIPP_GLYPH_FEATURE_SIDE * DIPP_GLYPH_FEATURE_SIDE * 4 };

typedef struct dipp_glyph_feature {
    float texels[DIPP_GLYPH_FEATURES]; /* [16,16,RGBA] premultiplied, 0..1 */
    float coverage;                    /* mean alpha over the square, 0..1 */
    float detail;    /* rms (0..1 scale) that a 20 x 20 picture of the glyph loses: what 32 x 32 scenes cannot show */
    float colour[3]; /* mean un-premultiplied colour, 0..1 */
} dipp_glyph_feature;

/* Box-filters the centred square of a bitmap to side x side texels, 8-bit RGBA premultiplied, written with `stride`
 * texels per row at out. Returns 0 when the bitmap is fully transparent. [any thread] */
int dipp_glyph_resample(const dipp_glyph_bitmap *bitmap, int side, uint8_t *out, int stride);

/* Fills *feature; returns 0 for a fully transparent bitmap. */
int dipp_glyph_feature_of(const dipp_glyph_bitmap *bitmap, dipp_glyph_feature *feature);

/* Root mean square difference of two features' texels, 0..1. */
double dipp_glyph_distance(const dipp_glyph_feature *a, const dipp_glyph_feature *b);

/* Root mean square difference, over the glyph's own coverage, between the glyph and a flat colour: how visible it is
 * on that background. */
double dipp_glyph_visibility(const dipp_glyph_feature *feature, const float rgb[3]);

/* Chooses at most `limit` of `count` features, every two of them at least `minimum_distance` apart: greedily, those that
 * lose least detail first (bold simple pictures, which a small net draws crisply), ties to the smaller index. `chosen`
 * [limit] receives indices in ascending order. Returns how many, or -1 without memory. */
int dipp_glyph_choose(const dipp_glyph_feature *features, int count, int limit, double minimum_distance, int *chosen);

#endif
