/* picture_facts FILE.png: "WIDTH HEIGHT RRGGBB PERCENT": the colour of the last row's first pixel, which is bare
 * ground, and how much of the picture has another. */
#include "data/image.h"

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    dipp_image image = {0};
    dipp_error error = {0};
    if (argc != 2 || dipp_image_read(argv[1], &image, &error) != DIPP_OK) {
        fprintf(stderr, "picture_facts: %s\n", argc == 2 ? error.message : "one file");
        return 1;
    }
    size_t pixels = (size_t)image.width * (size_t)image.height, other = 0;
    const uint8_t *ground = image.pixels + (pixels - (size_t)image.width) * 3;
    for (size_t i = 0; i < pixels; i++)
        other += memcmp(image.pixels + 3 * i, ground, 3) != 0;
    printf("%d %d %02x%02x%02x %.1f\n", image.width, image.height, ground[0], ground[1], ground[2],
           100.0 * (double)other / (double)pixels);
    dipp_image_clear(&image);
    return 0;
}
