/* Any bytes as a picture: refused with a reason, or of a size that was promised and readable to its last pixel. */
#include "target.h"

#include "data/image.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dipp_image image = {0};
    dipp_error error = {0};
    if (dipp_image_read_png_memory(data, size, &image, &error) != DIPP_OK) {
        if (image.pixels || !error.message[0])
            abort();
        return 0;
    }
    if (image.width < 1 || image.height < 1 || image.width > DIPP_IMAGE_SIDE_MAX || image.height > DIPP_IMAGE_SIDE_MAX)
        abort();
    volatile uint8_t sum = 0;
    for (size_t i = 0; i < (size_t)image.width * (size_t)image.height * 3; i++)
        sum = (uint8_t)(sum + image.pixels[i]);
    dipp_image_clear(&image);
    return 0;
}
