/* libpng behind two functions. libpng reports by longjmp: everything that outlives a jump sits in a struct in the
 * caller's frame, and the functions that call setjmp own no automatic variables that change after it. */
#include "data/image.h"

#include "base/file.h"
#include "base/memory.h"

#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct png_state {
    jmp_buf jump;
    char message[200];
    const uint8_t *source; /* reading: what is left */
    size_t left;
    uint8_t *sink; /* writing: what came so far */
    size_t used, room;
    png_structp png;
    png_infop info;
    uint8_t *rgba;
    png_bytep *rows;
    png_uint_32 width, height;
} png_state;

static void on_error(png_structp png, png_const_charp message)
{
    png_state *state = png_get_error_ptr(png);
    snprintf(state->message, sizeof state->message, "%s", message);
    longjmp(state->jump, 1);
}

static void on_warning(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

static void on_read(png_structp png, png_bytep out, size_t size)
{
    png_state *state = png_get_io_ptr(png);
    if (size > state->left)
        png_error(png, "the file ends too early");
    memcpy(out, state->source, size);
    state->source += size;
    state->left -= size;
}

static void on_write(png_structp png, png_bytep bytes, size_t size)
{
    png_state *state = png_get_io_ptr(png);
    if (size > state->room - state->used) {
        size_t room = (state->used + size) * 2 + 4096;
        uint8_t *grown = dipp_reallocate(state->sink, room);
        if (!grown)
            png_error(png, "out of memory");
        state->sink = grown;
        state->room = room;
    }
    memcpy(state->sink + state->used, bytes, size);
    state->used += size;
}

static void on_flush(png_structp png)
{
    (void)png;
}

static int allocate_rows(png_state *state, size_t channels)
{
    size_t row = (size_t)state->width * channels;
    state->rows = dipp_allocate(state->height * sizeof *state->rows);
    if (!state->rows)
        return 0;
    for (png_uint_32 y = 0; y < state->height; y++)
        state->rows[y] = state->rgba + y * row;
    return 1;
}

/* Decodes to state->rgba; returns 0 after an error, with its text in state->message. */
static int decode(png_state *state)
{
    if (setjmp(state->jump))
        return 0;
    state->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, state, on_error, on_warning);
    state->info = state->png ? png_create_info_struct(state->png) : NULL;
    if (!state->info) {
        snprintf(state->message, sizeof state->message, "out of memory");
        return 0;
    }
    png_set_read_fn(state->png, state, on_read);
    png_set_user_limits(state->png, DIPP_IMAGE_SIDE_MAX, DIPP_IMAGE_SIDE_MAX);
    png_set_chunk_malloc_max(state->png, 16 << 20);
    png_read_info(state->png, state->info);
    state->width = png_get_image_width(state->png, state->info);
    state->height = png_get_image_height(state->png, state->info);
    if ((size_t)state->width * state->height > DIPP_IMAGE_PIXELS_MAX)
        png_error(state->png, "more than 64 Mpixel");
    png_set_expand(state->png);
    png_set_scale_16(state->png);
    png_set_gray_to_rgb(state->png);
    png_set_add_alpha(state->png, 255, PNG_FILLER_AFTER);
    png_set_interlace_handling(state->png);
    png_read_update_info(state->png, state->info);
    if (png_get_rowbytes(state->png, state->info) != (size_t)state->width * 4)
        png_error(state->png, "unexpected row size");
    state->rgba = dipp_allocate((size_t)state->width * state->height * 4);
    if (!state->rgba || !allocate_rows(state, 4))
        png_error(state->png, "out of memory");
    png_read_image(state->png, state->rows);
    png_read_end(state->png, NULL);
    return 1;
}

dipp_status dipp_image_read_png_memory(const void *bytes, size_t size, dipp_image *image, dipp_error *error)
{
    if (size < 8 || png_sig_cmp(bytes, 0, 8))
        return dipp_fail(error, DIPP_E_FORMAT, "not a PNG: the first 8 bytes are not its signature (%zu bytes in all)",
                         size);
    png_state *state = dipp_allocate_zeroed(1, sizeof *state);
    if (!state)
        return dipp_fail(error, DIPP_E_MEMORY, "PNG: out of memory");
    state->source = bytes;
    state->left = size;
    dipp_status status = DIPP_OK;
    if (decode(state)) {
        dipp_image decoded;
        status = dipp_image_create((int)state->width, (int)state->height, 255, &decoded, error);
        if (status == DIPP_OK) {
            size_t area = (size_t)state->width * state->height;
            for (size_t i = 0; i < area; i++) {
                unsigned alpha = state->rgba[i * 4 + 3];
                for (size_t c = 0; c < 3; c++)
                    decoded.pixels[i * 3 + c] =
                        (uint8_t)((state->rgba[i * 4 + c] * alpha + 255 * (255 - alpha) + 127) / 255);
            }
            *image = decoded;
        }
    } else {
        status = dipp_fail(error, strstr(state->message, "memory") ? DIPP_E_MEMORY : DIPP_E_FORMAT, "damaged PNG: %s",
                           state->message);
    }
    png_destroy_read_struct(&state->png, &state->info, NULL);
    dipp_release(state->rgba);
    dipp_release(state->rows);
    dipp_release(state);
    return status;
}

/* Encodes state->rgba (RGB rows here) into state->sink. */
static int encode(png_state *state)
{
    if (setjmp(state->jump))
        return 0;
    state->png = png_create_write_struct(PNG_LIBPNG_VER_STRING, state, on_error, on_warning);
    state->info = state->png ? png_create_info_struct(state->png) : NULL;
    if (!state->info || !allocate_rows(state, 3)) {
        snprintf(state->message, sizeof state->message, "out of memory");
        return 0;
    }
    png_set_write_fn(state->png, state, on_write, on_flush);
    png_set_IHDR(state->png, state->info, state->width, state->height, 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_set_sRGB(state->png, state->info, PNG_sRGB_INTENT_PERCEPTUAL);
    png_write_info(state->png, state->info);
    png_write_image(state->png, state->rows);
    png_write_end(state->png, NULL);
    return 1;
}

dipp_status dipp_image_write_png(const char *path, const dipp_image *image, dipp_error *error)
{
    if (!image->pixels)
        return dipp_fail(error, DIPP_E_INVALID, "%s: the picture to write is empty", path);
    png_state *state = dipp_allocate_zeroed(1, sizeof *state);
    if (!state)
        return dipp_fail(error, DIPP_E_MEMORY, "%s: out of memory", path);
    state->width = (png_uint_32)image->width;
    state->height = (png_uint_32)image->height;
    state->rgba = image->pixels;
    dipp_status status = encode(state) ? dipp_file_write_atomic(path, state->sink, state->used, error)
                                       : dipp_fail(error, DIPP_E_MEMORY, "%s: encoding PNG: %s", path, state->message);
    png_destroy_write_struct(&state->png, &state->info);
    dipp_release(state->rows);
    dipp_release(state->sink);
    dipp_release(state);
    return status;
}
