/* A grid of pictures on white, as people look at it: rows are prompts with their text at the left, columns are arms with
 * a heading on top, a cell holds one or more square pictures side by side, enlarged by a whole factor. */
#ifndef DIPP_DATA_GRID_H
#define DIPP_DATA_GRID_H

#include "data/image.h"

typedef struct dipp_grid_options {
    int rows, columns;                  /* 1..4096 and 1..64 */
    int per_cell;                       /* pictures in a cell, 1..64 */
    int side;                           /* pixels of one picture */
    int enlarge;                        /* whole factor, nearest neighbour; 0 = so that a picture is about 96 pixels */
    const char *title;                  /* UTF-8, or NULL */
    const char *const *row_labels;      /* [rows] UTF-8, wrapped; NULL array = no labels */
    const char *const *column_headings; /* [columns] UTF-8, wrapped; NULL array = none */
    const uint8_t *const
        *pictures;         /* [rows * columns * per_cell] of [side, side, 3] RGB bytes; NULL entry = left white */
    const char *font_path; /* TrueType font; NULL = DejaVuSans of Debian's fonts-dejavu-core */
    int text_pixels;       /* text height; 0 = 14 */
} dipp_grid_options;

/* Lays out and draws; the caller clears *image. The font is opened only when there is text.
 * Errors: NOT_FOUND (the font; the text names the Debian package), INVALID (sizes, or a grid above 16384 pixels a side),
 * FORMAT (not a font), MEMORY. [any thread] */
dipp_status dipp_grid_draw(const dipp_grid_options *options, dipp_image *image, dipp_error *error);

/* Draws and writes a PNG. */
dipp_status dipp_grid_write(const dipp_grid_options *options, const char *path, dipp_error *error);

#endif
