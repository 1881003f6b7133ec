/* 8-bit RGB pictures, read from PNG, JPEG and WebP files and written as PNG. A dipp_image owns its pixels.
 * [any thread, one thread per image] */
#ifndef DIPP_DATA_IMAGE_H
#define DIPP_DATA_IMAGE_H

#include <dipp/status.h>

#include <stdbool.h>

enum { DIPP_IMAGE_SIDE_MAX = 16384, DIPP_IMAGE_PIXELS_MAX = 64 << 20 /* of files */ };

typedef struct dipp_image {
    int width, height;
    uint8_t *pixels; /* [height, width, 3], sRGB, no row padding; NULL when empty */
} dipp_image;

/* Allocates a picture filled with one grey value. Errors: INVALID (a side outside 1..16384), MEMORY. */
dipp_status dipp_image_create(int width, int height, uint8_t fill, dipp_image *image, dipp_error *error);
void dipp_image_clear(dipp_image *image);

/* One picture of a batch, float NCHW [3, side, side] in [-1,1] (clamped, rounded to nearest), as RGB bytes
 * [side, side, 3]; NaN becomes 0. */
void dipp_image_from_planes(const float *planes, int side, uint8_t *rgb);
/* The inverse: bytes to [-1,1]. */
void dipp_image_to_planes(const uint8_t *rgb, int side, float *planes);

/* Each decodes one kind of file; transparency is composited over white, colour profiles and the orientation that a
 * camera noted are ignored, as Pillow's Image.open does. Errors: FORMAT (another kind of file, damaged, cut short,
 * animated, or larger than 16384 a side or 64 Mpixel), MEMORY. *image is untouched on failure. PNG: any colour type
 * and depth. JPEG: grey, YCbCr, RGB, and CMYK as Pillow turns it to RGB. WebP: lossy and lossless. */
dipp_status dipp_image_read_png_memory(const void *bytes, size_t size, dipp_image *image, dipp_error *error);
dipp_status dipp_image_read_jpeg_memory(const void *bytes, size_t size, dipp_image *image, dipp_error *error);
dipp_status dipp_image_read_webp_memory(const void *bytes, size_t size, dipp_image *image, dipp_error *error);

/* The same by the first bytes, from a file; the path is put before the message. Errors also: NOT_FOUND, IO. */
dipp_status dipp_image_read(const char *path, dipp_image *image, dipp_error *error);

/* Writes PATH.tmp.PID, flushes it to the disk and renames it to PATH, so PATH is either the old file or the whole
 * new one. Errors: INVALID (empty picture), IO, MEMORY. */
dipp_status dipp_image_write_png(const char *path, const dipp_image *image, dipp_error *error);

#endif
