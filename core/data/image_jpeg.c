/* libjpeg behind one function. Like libpng it reports by longjmp: what outlives a jump is in a struct of the caller. */
#include "data/image.h"

#include <stdio.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>
#include <setjmp.h>

/* More scans of a progressive file than anyone writes: each costs a pass over the picture. */
enum { SCANS_MAX = 100 };

typedef struct jpeg_state {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf jump;
    char message[JMSG_LENGTH_MAX];
    bool out_of_memory;
    dipp_image image;
    uint8_t *ink; /* rows of a CMYK picture */
    dipp_error *error;
    dipp_status status;
} jpeg_state;

static void stop(jpeg_state *state, const char *message)
{
    snprintf(state->message, sizeof state->message, "%s", message);
    longjmp(state->jump, 1);
}

static void on_error(j_common_ptr jpeg)
{
    jpeg_state *state = jpeg->client_data;
    state->out_of_memory = jpeg->err->msg_code == JERR_OUT_OF_MEMORY;
    jpeg->err->format_message(jpeg, state->message);
    longjmp(state->jump, 1);
}

/* libjpeg goes on with grey where data are missing or wrong; a score of that would be a score of another picture. */
static void on_message(j_common_ptr jpeg, int level)
{
    int code = jpeg->err->msg_code;
    if (level < 0 && code != JWRN_EXTRANEOUS_DATA && code != JWRN_ADOBE_XFORM && code != JWRN_JFIF_MAJOR)
        on_error(jpeg);
}

static void on_progress(j_common_ptr jpeg)
{
    jpeg_state *state = jpeg->client_data;
    if (state->jpeg.input_scan_number > SCANS_MAX)
        stop(state, "more than 100 scans");
}

/* The source holds the whole file: there is never more. */
static boolean on_empty(j_decompress_ptr jpeg)
{
    stop(jpeg->client_data, "the file ends too early");
    return FALSE;
}

static void on_source(j_decompress_ptr jpeg)
{
    (void)jpeg;
}

static void on_skip(j_decompress_ptr jpeg, long count)
{
    if (count > 0 && (size_t)count > jpeg->src->bytes_in_buffer)
        stop(jpeg->client_data, "the file ends too early");
    if (count > 0) {
        jpeg->src->next_input_byte += count;
        jpeg->src->bytes_in_buffer -= (size_t)count;
    }
}

/* Adobe stores inks inverted, and everybody follows: 255 is no ink. The rounding is Pillow's. */
static void from_ink(const uint8_t *ink, uint8_t *rgb, size_t pixels)
{
    for (size_t i = 0; i < pixels; i++) {
        int light = ink[4 * i + 3];
        for (size_t c = 0; c < 3; c++) {
            int product = (255 - ink[4 * i + c]) * light + 128;
            rgb[3 * i + c] = (uint8_t)(light - (((product >> 8) + product) >> 8));
        }
    }
}

/* Decodes to state->image; returns 0 after an error, with its text in state->message or its status in state->status. */
static int decode(jpeg_state *state, const uint8_t *bytes, size_t size)
{
    struct jpeg_decompress_struct *jpeg = &state->jpeg;
    struct jpeg_source_mgr source = {.next_input_byte = bytes,
                                     .bytes_in_buffer = size,
                                     .init_source = on_source,
                                     .fill_input_buffer = on_empty,
                                     .skip_input_data = on_skip,
                                     .resync_to_restart = jpeg_resync_to_restart,
                                     .term_source = on_source};
    if (setjmp(state->jump))
        return 0;
    jpeg->err = jpeg_std_error(&state->errors);
    state->errors.error_exit = on_error;
    state->errors.emit_message = on_message;
    jpeg->client_data = state;
    jpeg_create_decompress(jpeg);
    jpeg->src = &source;
    state->progress.progress_monitor = on_progress;
    jpeg->progress = &state->progress;
    jpeg_read_header(jpeg, TRUE);
    if (jpeg->image_width > DIPP_IMAGE_SIDE_MAX || jpeg->image_height > DIPP_IMAGE_SIDE_MAX ||
        (size_t)jpeg->image_width * jpeg->image_height > DIPP_IMAGE_PIXELS_MAX)
        stop(state, "larger than 16384 a side or 64 Mpixel");
    bool inks = jpeg->jpeg_color_space == JCS_CMYK || jpeg->jpeg_color_space == JCS_YCCK;
    jpeg->out_color_space = inks ? JCS_CMYK : JCS_RGB;
    state->status = dipp_image_create((int)jpeg->image_width, (int)jpeg->image_height, 0, &state->image, state->error);
    if (state->status != DIPP_OK)
        return 0;
    jpeg_start_decompress(jpeg);
    if (inks)
        state->ink = jpeg->mem->alloc_large((j_common_ptr)jpeg, JPOOL_IMAGE, (size_t)jpeg->output_width * 4);
    while (jpeg->output_scanline < jpeg->output_height) {
        uint8_t *row = state->image.pixels + (size_t)jpeg->output_scanline * jpeg->output_width * 3;
        JSAMPROW target = inks ? state->ink : row;
        jpeg_read_scanlines(jpeg, &target, 1);
        if (inks)
            from_ink(state->ink, row, jpeg->output_width);
    }
    jpeg_finish_decompress(jpeg);
    return 1;
}

dipp_status dipp_image_read_jpeg_memory(const void *bytes, size_t size, dipp_image *image, dipp_error *error)
{
    jpeg_state state = {.error = error, .status = DIPP_OK};
    int done = decode(&state, bytes, size);
    jpeg_destroy_decompress(&state.jpeg);
    if (done)
        *image = state.image;
    else
        dipp_image_clear(&state.image);
    if (done || state.status != DIPP_OK)
        return state.status;
    return dipp_fail(error, state.out_of_memory ? DIPP_E_MEMORY : DIPP_E_FORMAT, "damaged JPEG: %s", state.message);
}
