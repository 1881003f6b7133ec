/* libwebp behind one function. */
#include "data/image.h"

#include "base/memory.h"

#include <webp/decode.h>

static dipp_status fail_damaged(dipp_error *error, const char *what)
{
    return dipp_fail(error, DIPP_E_FORMAT, "damaged WebP: %s", what);
}

/* RGBA, then over white. */
static dipp_status decode_transparent(const uint8_t *bytes, size_t size, dipp_image *image, dipp_error *error)
{
    size_t pixels = (size_t)image->width * (size_t)image->height;
    uint8_t *rgba = dipp_allocate(pixels * 4);
    if (!rgba)
        return dipp_fail(error, DIPP_E_MEMORY, "WebP: out of memory");
    bool done = WebPDecodeRGBAInto(bytes, size, rgba, pixels * 4, image->width * 4) != NULL;
    for (size_t i = 0; i < pixels && done; i++) {
        unsigned alpha = rgba[i * 4 + 3];
        for (size_t c = 0; c < 3; c++)
            image->pixels[i * 3 + c] = (uint8_t)((rgba[i * 4 + c] * alpha + 255 * (255 - alpha) + 127) / 255);
    }
    dipp_release(rgba);
    return done ? DIPP_OK : fail_damaged(error, "its data are wrong or end too early");
}

dipp_status dipp_image_read_webp_memory(const void *bytes, size_t size, dipp_image *image, dipp_error *error)
{
    WebPBitstreamFeatures about;
    if (WebPGetFeatures(bytes, size, &about) != VP8_STATUS_OK)
        return fail_damaged(error, "its header is wrong or cut short");
    if (about.has_animation)
        return fail_damaged(error, "it is an animation, not one picture");
    if (about.width > DIPP_IMAGE_SIDE_MAX || about.height > DIPP_IMAGE_SIDE_MAX ||
        (size_t)about.width * (size_t)about.height > DIPP_IMAGE_PIXELS_MAX)
        return fail_damaged(error, "larger than 16384 a side or 64 Mpixel");
    dipp_image made = {0};
    dipp_status status = dipp_image_create(about.width, about.height, 0, &made, error);
    if (status == DIPP_OK && about.has_alpha)
        status = decode_transparent(bytes, size, &made, error);
    else if (status == DIPP_OK &&
             !WebPDecodeRGBInto(bytes, size, made.pixels, (size_t)made.width * (size_t)made.height * 3, made.width * 3))
        status = fail_damaged(error, "its data are wrong or end too early");
    if (status == DIPP_OK)
        *image = made;
    else
        dipp_image_clear(&made);
    return status;
}
