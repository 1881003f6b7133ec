#include "data/image.h"

#include "base/file.h"
#include "base/memory.h"

#include <string.h>

enum { FILE_BYTES_MAX = 256 << 20 };

dipp_status dipp_image_create(int width, int height, uint8_t fill, dipp_image *image, dipp_error *error)
{
    if (width < 1 || height < 1 || width > DIPP_IMAGE_SIDE_MAX || height > DIPP_IMAGE_SIDE_MAX)
        return dipp_fail(error, DIPP_E_INVALID, "picture of %d x %d: expected sides from 1 to %d", width, height,
                         DIPP_IMAGE_SIDE_MAX);
    size_t size = (size_t)width * (size_t)height * 3;
    uint8_t *pixels = dipp_allocate(size);
    if (!pixels)
        return dipp_fail(error, DIPP_E_MEMORY, "picture of %d x %d: out of memory", width, height);
    memset(pixels, fill, size);
    *image = (dipp_image){.width = width, .height = height, .pixels = pixels};
    return DIPP_OK;
}

void dipp_image_clear(dipp_image *image)
{
    if (!image)
        return;
    dipp_release(image->pixels);
    *image = (dipp_image){0};
}

void dipp_image_from_planes(const float *planes, int side, uint8_t *rgb)
{
    size_t area = (size_t)side * (size_t)side;
    for (size_t i = 0; i < area; i++)
        for (size_t c = 0; c < 3; c++) {
            float value = (planes[c * area + i] + 1.0f) * 127.5f + 0.5f;
            rgb[i * 3 + c] = value >= 255.0f ? 255 : value > 0.0f ? (uint8_t)value : 0;
        }
}

void dipp_image_to_planes(const uint8_t *rgb, int side, float *planes)
{
    size_t area = (size_t)side * (size_t)side;
    for (size_t i = 0; i < area; i++)
        for (size_t c = 0; c < 3; c++)
            planes[c * area + i] = (float)rgb[i * 3 + c] / 127.5f - 1.0f;
}

dipp_status dipp_image_read(const char *path, dipp_image *image, dipp_error *error)
{
    char *bytes = NULL;
    size_t size = 0;
    dipp_status status = dipp_file_read(path, FILE_BYTES_MAX, &bytes, &size, error);
    if (status != DIPP_OK)
        return status;
    if (size >= 4 && !memcmp(bytes, "\x89PNG", 4))
        status = dipp_image_read_png_memory(bytes, size, image, error);
    else if (size >= 2 && !memcmp(bytes, "\xff\xd8", 2))
        status = dipp_image_read_jpeg_memory(bytes, size, image, error);
    else if (size >= 12 && !memcmp(bytes, "RIFF", 4) && !memcmp(bytes + 8, "WEBP", 4))
        status = dipp_image_read_webp_memory(bytes, size, image, error);
    else
        status = dipp_fail(error, DIPP_E_FORMAT, "expected a PNG, JPEG or WebP picture, found neither's first bytes");
    dipp_release(bytes);
    if (status != DIPP_OK)
        dipp_error_context(error, "%s", path);
    return status;
}
