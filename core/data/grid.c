/* Layout of the picture grid and text by FreeType. Lines break at spaces; a word wider than its column is cut. */
#include "data/grid.h"

#include "data/cldr.h"

#include <ft2build.h>
#include FT_FREETYPE_H
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char default_font[] = "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf";

enum { MARGIN = 12, CELL_GAP = 10, PICTURE_GAP = 3, LABEL_WIDTH = 190, LINES_MAX = 6, LINE_BYTES = 256 };

typedef struct painter {
    FT_Library library;
    FT_Face face;
    int line_height, ascent;
} painter;

typedef struct layout {
    int picture, cell_width, row_height; /* pixels */
    int label_width, title_height, heading_height;
    int width, height;
} layout;

typedef struct text_lines {
    char line[LINES_MAX][LINE_BYTES];
    int count;
} text_lines;

static dipp_status open_font(const char *path, int pixels, painter *paint, dipp_error *error)
{
    const char *chosen = path ? path : default_font;
    if (access(chosen, R_OK) != 0)
        return dipp_fail(
            error, DIPP_E_NOT_FOUND,
            "picture grid: no readable font at %s; install the Debian package fonts-dejavu-core, or give the path",
            chosen);
    if (FT_Init_FreeType(&paint->library))
        return dipp_fail(error, DIPP_E_MEMORY, "picture grid: FreeType did not start");
    if (FT_New_Face(paint->library, chosen, 0, &paint->face) || FT_Set_Pixel_Sizes(paint->face, 0, (FT_UInt)pixels)) {
        FT_Done_FreeType(paint->library);
        paint->library = NULL;
        return dipp_fail(error, DIPP_E_FORMAT,
                         "%s: not a scalable font; expected DejaVuSans.ttf of the Debian package fonts-dejavu-core",
                         chosen);
    }
    paint->ascent = (int)(paint->face->size->metrics.ascender >> 6);
    paint->line_height = (int)(paint->face->size->metrics.height >> 6);
    return DIPP_OK;
}

static int advance_of(const painter *paint, uint32_t code_point)
{
    return FT_Load_Char(paint->face, code_point, FT_LOAD_DEFAULT) ? 0 : (int)(paint->face->glyph->advance.x >> 6);
}

static int text_width(const painter *paint, const char *text, const char *end)
{
    int width = 0;
    while (text < end)
        width += advance_of(paint, dipp_utf8_next(&text));
    return width;
}

static void add_line(text_lines *lines, const char *from, const char *end)
{
    if (lines->count == LINES_MAX)
        return;
    size_t length = (size_t)(end - from) < LINE_BYTES - 1 ? (size_t)(end - from) : LINE_BYTES - 1;
    memcpy(lines->line[lines->count], from, length);
    lines->line[lines->count++][length] = 0;
}

static void wrap(const painter *paint, const char *text, int width, text_lines *lines)
{
    lines->count = 0;
    while (*text && lines->count < LINES_MAX) {
        const char *end = text, *fits = text; /* fits: the longest prefix of whole words */
        while (*end) {
            const char *word_end = end + strspn(end, " ");
            word_end += strcspn(word_end, " ");
            if (text_width(paint, text, word_end) > width)
                break;
            fits = end = word_end;
        }
        if (fits == text) { /* one long word: as many characters as fit, at least one */
            do
                dipp_utf8_next(&fits);
            while (*fits && *fits != ' ' && text_width(paint, text, fits) < width);
        }
        add_line(lines, text, fits);
        text = fits + strspn(fits, " ");
    }
}

static void paint_line(const painter *paint, dipp_image *image, int x, int top, const char *text)
{
    while (*text) {
        uint32_t code_point = dipp_utf8_next(&text);
        if (FT_Load_Char(paint->face, code_point, FT_LOAD_RENDER))
            continue;
        const FT_GlyphSlot slot = paint->face->glyph;
        for (unsigned row = 0; row < slot->bitmap.rows; row++)
            for (unsigned column = 0; column < slot->bitmap.width; column++) {
                int px = x + slot->bitmap_left + (int)column, py = top + paint->ascent - slot->bitmap_top + (int)row;
                if (px < 0 || py < 0 || px >= image->width || py >= image->height)
                    continue;
                unsigned ink = slot->bitmap.buffer[(ptrdiff_t)row * slot->bitmap.pitch + (ptrdiff_t)column];
                uint8_t *at = image->pixels + ((size_t)py * (size_t)image->width + (size_t)px) * 3;
                for (int c = 0; c < 3; c++)
                    at[c] = (uint8_t)((at[c] * (255 - ink) + 32 * ink) / 255);
            }
        x += (int)(slot->advance.x >> 6);
    }
}

static void paint_block(const painter *paint, dipp_image *image, int x, int top, const text_lines *lines)
{
    for (int i = 0; i < lines->count; i++)
        paint_line(paint, image, x, top + i * paint->line_height, lines->line[i]);
}

static void paint_picture(dipp_image *image, int left, int top, const uint8_t *rgb, int side, int enlarge)
{
    for (int y = 0; y < side * enlarge; y++)
        for (int x = 0; x < side * enlarge; x++)
            memcpy(image->pixels + ((size_t)(top + y) * (size_t)image->width + (size_t)(left + x)) * 3,
                   rgb + ((size_t)(y / enlarge) * (size_t)side + (size_t)(x / enlarge)) * 3, 3);
}

static int tallest(const painter *paint, const char *const *texts, int count, int width)
{
    text_lines lines;
    int most = 0;
    for (int i = 0; i < count; i++) {
        wrap(paint, texts[i] ? texts[i] : "", width, &lines);
        most = lines.count > most ? lines.count : most;
    }
    return most * paint->line_height;
}

static dipp_status lay_out(const dipp_grid_options *o, const painter *paint, int enlarge, layout *out,
                           dipp_error *error)
{
    layout l = {.picture = o->side * enlarge};
    l.cell_width = o->per_cell * l.picture + (o->per_cell - 1) * PICTURE_GAP;
    l.row_height = l.picture;
    if (o->title)
        l.title_height = 2 * paint->line_height;
    if (o->row_labels) {
        l.label_width = LABEL_WIDTH + CELL_GAP;
        int text = tallest(paint, o->row_labels, o->rows, LABEL_WIDTH);
        l.row_height = text > l.row_height ? text : l.row_height;
    }
    if (o->column_headings)
        l.heading_height = tallest(paint, o->column_headings, o->columns, l.cell_width) + 6;
    long width = 2L * MARGIN + l.label_width + (long)o->columns * l.cell_width + (long)(o->columns - 1) * CELL_GAP;
    long height =
        2L * MARGIN + l.title_height + l.heading_height + (long)o->rows * l.row_height + (long)(o->rows - 1) * CELL_GAP;
    if (width > DIPP_IMAGE_SIDE_MAX || height > DIPP_IMAGE_SIDE_MAX)
        return dipp_fail(
            error, DIPP_E_INVALID,
            "picture grid: %ld x %ld pixels; expected at most %d a side: fewer rows or columns, or less enlarge", width,
            height, DIPP_IMAGE_SIDE_MAX);
    l.width = (int)width;
    l.height = (int)height;
    *out = l;
    return DIPP_OK;
}

static void paint_all(const dipp_grid_options *o, const painter *paint, const layout *l, int enlarge, dipp_image *image)
{
    text_lines lines;
    int top = MARGIN, left = MARGIN + l->label_width;
    if (o->title)
        paint_line(paint, image, MARGIN, top, o->title);
    top += l->title_height;
    for (int c = 0; c < o->columns && o->column_headings; c++) {
        wrap(paint, o->column_headings[c] ? o->column_headings[c] : "", l->cell_width, &lines);
        int drop = l->heading_height - 6 - lines.count * paint->line_height; /* headings stand on the pictures */
        paint_block(paint, image, left + c * (l->cell_width + CELL_GAP), top + drop, &lines);
    }
    top += l->heading_height;
    for (int r = 0; r < o->rows; r++, top += l->row_height + CELL_GAP) {
        if (o->row_labels) {
            wrap(paint, o->row_labels[r] ? o->row_labels[r] : "", LABEL_WIDTH, &lines);
            paint_block(paint, image, MARGIN, top + (l->row_height - lines.count * paint->line_height) / 2, &lines);
        }
        for (int i = 0; i < o->columns * o->per_cell; i++) {
            const uint8_t *picture = o->pictures[r * o->columns * o->per_cell + i];
            int cell = i / o->per_cell, within = i % o->per_cell;
            if (picture)
                paint_picture(image, left + cell * (l->cell_width + CELL_GAP) + within * (l->picture + PICTURE_GAP),
                              top + (l->row_height - l->picture) / 2, picture, o->side, enlarge);
        }
    }
}

dipp_status dipp_grid_draw(const dipp_grid_options *o, dipp_image *image, dipp_error *error)
{
    if (o->rows < 1 || o->rows > 4096 || o->columns < 1 || o->columns > 64 || o->per_cell < 1 || o->per_cell > 64 ||
        o->side < 1 || o->side > 4096 || o->enlarge < 0 || o->enlarge > 64 || o->text_pixels < 0 ||
        o->text_pixels > 200 || !o->pictures)
        return dipp_fail(error, DIPP_E_INVALID,
                         "picture grid: %d rows, %d columns, %d pictures a cell of side %d, enlarged %d, text %d; "
                         "expected at most 4096, 64, 64, "
                         "4096, 64 and 200",
                         o->rows, o->columns, o->per_cell, o->side, o->enlarge, o->text_pixels);
    int enlarge = o->enlarge ? o->enlarge : o->side >= 96 ? 1 : (96 + o->side / 2) / o->side;
    painter paint = {0};
    layout l = {0};
    dipp_status status = DIPP_OK;
    if (o->title || o->row_labels || o->column_headings)
        status = open_font(o->font_path, o->text_pixels ? o->text_pixels : 14, &paint, error);
    if (status == DIPP_OK)
        status = lay_out(o, &paint, enlarge, &l, error);
    if (status == DIPP_OK)
        status = dipp_image_create(l.width, l.height, 255, image, error);
    if (status == DIPP_OK)
        paint_all(o, &paint, &l, enlarge, image);
    if (paint.face)
        FT_Done_Face(paint.face);
    if (paint.library)
        FT_Done_FreeType(paint.library);
    return status;
}

dipp_status dipp_grid_write(const dipp_grid_options *options, const char *path, dipp_error *error)
{
    dipp_image image = {0};
    dipp_status status = dipp_grid_draw(options, &image, error);
    if (status == DIPP_OK)
        status = dipp_image_write_png(path, &image, error);
    dipp_image_clear(&image);
    return status;
}
