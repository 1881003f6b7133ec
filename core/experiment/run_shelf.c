#include "experiment/run_shelf.h"

#include "base/memory.h"
#include "nn/resample.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

struct dipp_run_shelf {
    const dipp_string_pool *paths;
    uint8_t **kept; /* [paths->count], each [height, width, 3]; NULL where nothing is kept */
    int height, width;
    bool keeps;
};

/* ---- One size for all ---- */

/* out[k] of `out` numbers at distance out_step from `in` bytes at distance in_step. */
static void resample_row(const dipp_taps *taps, const double *weights, int64_t most, const uint8_t *from,
                         size_t in_step, uint8_t *to, size_t out_step, int64_t out)
{
    for (int64_t i = 0; i < out; i++) {
        double sum = 0;
        for (int64_t k = 0; k < taps[i].count; k++)
            sum += weights[i * most + k] * from[(size_t)(taps[i].first + k) * in_step];
        to[(size_t)i * out_step] = (uint8_t)(sum <= 0 ? 0 : sum >= 255 ? 255 : sum + 0.5);
    }
}

/* One axis of `lines` lines of three channels: line l begins at l * line_step, its pixels are step apart. */
static dipp_status resample(const uint8_t *from, int64_t in, size_t in_step, size_t in_line, uint8_t *to, int64_t out,
                            size_t out_step, size_t out_line, int64_t lines, dipp_error *error)
{
    int64_t most = dipp_resample_most(DIPP_RESIZE_BICUBIC, in, out);
    dipp_taps *taps = dipp_allocate_zeroed((size_t)out, sizeof *taps);
    double *weights = dipp_allocate_zeroed((size_t)(out * most), sizeof *weights);
    for (int64_t i = 0; taps && weights && i < out; i++)
        taps[i] = dipp_resample_taps(DIPP_RESIZE_BICUBIC, in, out, i, weights + i * most);
    for (int64_t l = 0; taps && weights && l < lines; l++)
        for (int channel = 0; channel < 3; channel++)
            resample_row(taps, weights, most, from + (size_t)l * in_line + channel, in_step,
                         to + (size_t)l * out_line + channel, out_step, out);
    bool good = taps && weights;
    dipp_release(taps);
    dipp_release(weights);
    return good ? DIPP_OK : dipp_fail(error, DIPP_E_MEMORY, "no memory to resize a picture");
}

static dipp_status resized(const dipp_image *image, int height, int width, dipp_image *out, dipp_error *error)
{
    dipp_image across = {0};
    size_t old_row = (size_t)image->width * 3, row = (size_t)width * 3;
    dipp_status status = dipp_image_create(width, image->height, 0, &across, error);
    if (status == DIPP_OK)
        status = resample(image->pixels, image->width, 3, old_row, across.pixels, width, 3, row, image->height, error);
    if (status == DIPP_OK)
        status = dipp_image_create(width, height, 0, out, error);
    if (status == DIPP_OK)
        status = resample(across.pixels, image->height, row, 3, out->pixels, height, row, 3, width, error);
    dipp_image_clear(&across);
    return status;
}

dipp_status dipp_image_cover(dipp_image *image, int height, int width, dipp_error *error)
{
    if (image->height == height && image->width == width)
        return DIPP_OK;
    double scale = fmax((double)height / image->height, (double)width / image->width);
    int tall = (int)fmax(height, rint(image->height * scale)), wide = (int)fmax(width, rint(image->width * scale));
    dipp_image large = {0}, cut = {0};
    dipp_status status = resized(image, tall, wide, &large, error);
    if (status == DIPP_OK)
        status = dipp_image_create(width, height, 0, &cut, error);
    for (int y = 0; y < height && status == DIPP_OK; y++)
        memcpy(cut.pixels + (size_t)y * (size_t)width * 3,
               large.pixels + ((size_t)(y + (tall - height) / 2) * (size_t)wide + (size_t)((wide - width) / 2)) * 3,
               (size_t)width * 3);
    dipp_image_clear(&large);
    if (status != DIPP_OK)
        return status;
    dipp_image_clear(image);
    *image = cut;
    return DIPP_OK;
}

/* ---- The shelf ---- */

static size_t picture_bytes(const dipp_run_shelf *shelf)
{
    return (size_t)shelf->height * (size_t)shelf->width * 3;
}

dipp_status dipp_run_shelf_create(const dipp_string_pool *paths, int side, size_t limit, dipp_run_shelf **out,
                                  dipp_error *error)
{
    dipp_run_shelf *shelf = dipp_allocate_zeroed(1, sizeof *shelf);
    if (!shelf)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for pictures");
    dipp_image first = {0};
    dipp_status status = dipp_image_read(paths->texts[0], &first, error);
    shelf->paths = paths;
    shelf->height = side ? side : first.height;
    shelf->width = side ? side : first.width;
    shelf->keeps = picture_bytes(shelf) * paths->count <= limit;
    dipp_image_clear(&first);
    if (status == DIPP_OK && shelf->keeps) {
        shelf->kept = dipp_allocate_zeroed(paths->count, sizeof *shelf->kept);
        if (!shelf->kept)
            status = dipp_fail(error, DIPP_E_MEMORY, "no memory for %u pictures", paths->count);
    }
    if (status != DIPP_OK)
        dipp_run_shelf_destroy(&shelf);
    *out = shelf;
    return status;
}

void dipp_run_shelf_destroy(dipp_run_shelf **pointer)
{
    if (!pointer || !*pointer)
        return;
    dipp_run_shelf *shelf = *pointer;
    for (uint32_t i = 0; shelf->kept && i < shelf->paths->count; i++)
        dipp_release(shelf->kept[i]);
    dipp_release(shelf->kept);
    dipp_release(shelf);
    *pointer = NULL;
}

void dipp_run_shelf_size(const dipp_run_shelf *shelf, int *height, int *width)
{
    *height = shelf->height;
    *width = shelf->width;
}

size_t dipp_run_shelf_bytes(const dipp_run_shelf *shelf)
{
    return shelf->keeps ? picture_bytes(shelf) * shelf->paths->count : 0;
}

static dipp_status read_picture(const dipp_run_shelf *shelf, uint32_t picture, dipp_image *image, dipp_error *error)
{
    dipp_status status = dipp_image_read(shelf->paths->texts[picture], image, error);
    return status == DIPP_OK ? dipp_image_cover(image, shelf->height, shelf->width, error) : status;
}

dipp_status dipp_run_shelf_fill(dipp_run_shelf *shelf, dipp_error *error)
{
    dipp_status status = DIPP_OK;
    for (uint32_t i = 0; i < shelf->paths->count && status == DIPP_OK; i++) {
        dipp_image image = {0};
        status = read_picture(shelf, i, &image, error);
        if (status == DIPP_OK && shelf->keeps && !shelf->kept[i]) {
            shelf->kept[i] = image.pixels;
            image.pixels = NULL;
        }
        dipp_image_clear(&image);
    }
    return status;
}

dipp_status dipp_run_shelf_take(dipp_run_shelf *shelf, uint32_t picture, float *planes, dipp_error *error)
{
    dipp_image image = {0};
    size_t pixels = (size_t)shelf->height * (size_t)shelf->width;
    const uint8_t *bytes = shelf->keeps ? shelf->kept[picture] : NULL;
    dipp_status status = bytes ? DIPP_OK : read_picture(shelf, picture, &image, error);
    if (status == DIPP_OK && !bytes)
        bytes = image.pixels;
    for (size_t i = 0; status == DIPP_OK && i < pixels; i++)
        for (size_t channel = 0; channel < 3; channel++)
            planes[channel * pixels + i] = (float)bytes[i * 3 + channel] / 255.0f;
    dipp_image_clear(&image);
    return status;
}
