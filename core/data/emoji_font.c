/* FreeType over the emoji font: select the bitmap strike once, load with FT_LOAD_COLOR, swizzle BGRA to RGBA. */
#include "data/emoji_font.h"

#include "base/memory.h"

#include <ft2build.h>
#include FT_FREETYPE_H
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct dipp_emoji_font {
    FT_Library library;
    FT_Face face;
};

static const char *const font_places[] = {
    "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf", /* Debian, Ubuntu */
    "/usr/share/fonts/noto/NotoColorEmoji.ttf",          /* Arch */
    "/usr/share/fonts/google-noto-emoji/NotoColorEmoji.ttf",
    "/usr/share/fonts/google-noto-color-emoji-fonts/NotoColorEmoji.ttf",
    "/usr/local/share/fonts/NotoColorEmoji.ttf",
};

static const char *find_font(void)
{
    for (size_t i = 0; i < sizeof font_places / sizeof *font_places; i++)
        if (access(font_places[i], R_OK) == 0)
            return font_places[i];
    return NULL;
}

dipp_status dipp_emoji_font_create(const char *path, dipp_emoji_font **out, dipp_error *error)
{
    const char *chosen = path ? path : find_font();
    if (!chosen || access(chosen, R_OK) != 0)
        return dipp_fail(
            error, DIPP_E_NOT_FOUND,
            "emoji font: no readable file at %s\n"
            "expected NotoColorEmoji.ttf; install the Debian package fonts-noto-color-emoji, or give the path",
            chosen ? chosen : font_places[0]);
    dipp_emoji_font *font = dipp_allocate_zeroed(1, sizeof *font);
    if (!font)
        return dipp_fail(error, DIPP_E_MEMORY, "emoji font: out of memory");
    int failed = FT_Init_FreeType(&font->library);
    if (failed) {
        dipp_release(font);
        return dipp_fail(error, DIPP_E_MEMORY, "emoji font: FreeType did not start (error %d)", failed);
    }
    failed = FT_New_Face(font->library, chosen, 0, &font->face);
    if (failed) {
        dipp_emoji_font_destroy(&font);
        return dipp_fail(
            error, DIPP_E_FORMAT,
            "%s: not a font that FreeType reads (error %d); expected NotoColorEmoji.ttf of the Debian package "
            "fonts-noto-color-emoji",
            chosen, failed);
    }
    if (!FT_HAS_COLOR(font->face) || font->face->num_fixed_sizes < 1 || FT_Select_Size(font->face, 0)) {
        dipp_emoji_font_destroy(&font);
        return dipp_fail(
            error, DIPP_E_FORMAT,
            "%s: has no colour bitmap strike; expected a CBDT font such as NotoColorEmoji.ttf of the Debian package "
            "fonts-noto-color-emoji",
            chosen);
    }
    *out = font;
    return DIPP_OK;
}

void dipp_emoji_font_destroy(dipp_emoji_font **pointer)
{
    if (!pointer || !*pointer)
        return;
    dipp_emoji_font *font = *pointer;
    if (font->face)
        FT_Done_Face(font->face);
    FT_Done_FreeType(font->library);
    dipp_release(font);
    *pointer = NULL;
}

dipp_status dipp_emoji_font_glyph(dipp_emoji_font *font, uint32_t code_point, dipp_glyph_bitmap *bitmap,
                                  dipp_error *error)
{
    FT_UInt glyph = FT_Get_Char_Index(font->face, code_point);
    if (!glyph)
        return dipp_fail(error, DIPP_E_NOT_FOUND, "emoji font: no glyph for U+%04X", (unsigned)code_point);
    int failed = FT_Load_Glyph(font->face, glyph, FT_LOAD_COLOR);
    const FT_Bitmap *source = &font->face->glyph->bitmap;
    if (failed || source->pixel_mode != FT_PIXEL_MODE_BGRA || !source->width || !source->rows || source->width > 1024 ||
        source->rows > 1024)
        return dipp_fail(error, DIPP_E_FORMAT, "emoji font: U+%04X is not a colour bitmap (FreeType error %d)",
                         (unsigned)code_point, failed);
    int width = (int)source->width, height = (int)source->rows;
    uint8_t *rgba = dipp_allocate((size_t)width * (size_t)height * 4);
    if (!rgba)
        return dipp_fail(error, DIPP_E_MEMORY, "emoji font: out of memory for a %d x %d glyph", width, height);
    for (int y = 0; y < height; y++) {
        const uint8_t *from = source->buffer + (ptrdiff_t)y * source->pitch;
        uint8_t *to = rgba + (size_t)y * (size_t)width * 4;
        for (int x = 0; x < width; x++, from += 4, to += 4) {
            to[0] = from[2];
            to[1] = from[1];
            to[2] = from[0];
            to[3] = from[3];
        }
    }
    *bitmap = (dipp_glyph_bitmap){.width = width, .height = height, .rgba = rgba};
    return DIPP_OK;
}

void dipp_glyph_bitmap_clear(dipp_glyph_bitmap *bitmap)
{
    if (!bitmap)
        return;
    dipp_release(bitmap->rgba);
    *bitmap = (dipp_glyph_bitmap){0};
}
