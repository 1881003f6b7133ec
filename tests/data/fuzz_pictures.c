/* Fuzz target of the JPEG and WebP readers, in libFuzzer's form; test_image_formats.c replays a corpus through it. To
 * hunt: clang -fsanitize=fuzzer,address,undefined with the sources of core/base and core/data/image*.c, -ljpeg -lwebp
 * -lpng, and tests/fixtures/pictures as the first corpus. */
#include "data/image.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(dipp_status status, dipp_image *image, const dipp_error *error)
{
    if (status) {
        if (image->pixels || !error->message[0])
            abort();
        return;
    }
    if (image->width < 1 || image->height < 1 || image->width > DIPP_IMAGE_SIDE_MAX ||
        image->height > DIPP_IMAGE_SIDE_MAX)
        abort();
    unsigned sum = 0;
    size_t bytes = (size_t)image->width * (size_t)image->height * 3;
    for (size_t k = 0; k < bytes; k++) /* a sanitizer sees what was never written */
        sum += image->pixels[k];
    if (sum > 255u * bytes)
        abort();
    dipp_image_clear(image);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dipp_image image = {0};
    dipp_error error = {0};
    check(dipp_image_read_jpeg_memory(data, size, &image, &error), &image, &error);
    error.message[0] = 0;
    check(dipp_image_read_webp_memory(data, size, &image, &error), &image, &error);
    return 0;
}
