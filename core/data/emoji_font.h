/* Colour bitmap glyphs (CBDT/CBLC tables) of an emoji font, by FreeType.
 *
 * Debian's fonts-noto-color-emoji is one strike of 136 x 128 pixels, PNG-compressed, sRGB. A handle holds a
 * FreeType face and is used by [one thread at a time]; bitmaps belong to the caller. */
#ifndef DIPP_DATA_EMOJI_FONT_H
#define DIPP_DATA_EMOJI_FONT_H

#include <dipp/status.h>

typedef struct dipp_emoji_font dipp_emoji_font;

/* 8-bit RGBA with premultiplied alpha, row-major, width*height*4 bytes without padding. */
typedef struct dipp_glyph_bitmap {
    int width, height;
    uint8_t *rgba;
} dipp_glyph_bitmap;

/* Opens the font file at path, or when path is NULL the first of the places Debian and others install it to.
 * Errors: NOT_FOUND (no such file; the text names the Debian package), FORMAT (not a font, or no colour bitmaps). */
dipp_status dipp_emoji_font_create(const char *path, dipp_emoji_font **font, dipp_error *error);
void dipp_emoji_font_destroy(dipp_emoji_font **font);

/* Rasterises the glyph of one code point. bitmap->rgba is malloc'ed; release it with dipp_glyph_bitmap_clear.
 * Errors: NOT_FOUND (the font has no such glyph), FORMAT (the glyph is not a colour bitmap), MEMORY. */
dipp_status dipp_emoji_font_glyph(dipp_emoji_font *font, uint32_t code_point, dipp_glyph_bitmap *bitmap,
                                  dipp_error *error);
void dipp_glyph_bitmap_clear(dipp_glyph_bitmap *bitmap);

#endif
