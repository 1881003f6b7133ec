#include "base/file.h"
#include "base/memory.h"
#include "data/grid.h"
#include "data/image.h"

#include <math.h>
#include <png.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static char folder[] = "/tmp/dipp-image-XXXXXX";

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder); /* fails when a test or a temporary file is left over */
}

static char *path_of(const char *name, char path[256])
{
    snprintf(path, 256, "%s/%s", folder, name);
    return path;
}

static void pictures_survive_a_png(void **state)
{
    (void)state;
    dipp_error error = {0};
    dipp_image image = {0}, back = {0};
    char path[256];
    assert_int_equal(dipp_image_create(37, 19, 0, &image, &error), DIPP_OK);
    for (int i = 0; i < 37 * 19 * 3; i++)
        image.pixels[i] = (uint8_t)(i * 31);
    assert_int_equal(dipp_image_write_png(path_of("a.png", path), &image, &error), DIPP_OK);
    assert_int_equal(dipp_image_read(path, &back, &error), DIPP_OK);
    assert_int_equal(back.width, 37);
    assert_int_equal(back.height, 19);
    assert_memory_equal(back.pixels, image.pixels, 37 * 19 * 3);
    dipp_image_clear(&image);
    dipp_image_clear(&back);
    unlink(path);
}

/* Writes with libpng's simplified interface and reads with ours. */
static void check_format(png_uint_32 format, const void *pixels, png_uint_32 width, const void *colormap,
                         png_uint_32 colors, const uint8_t *expected, int tolerance)
{
    png_image image = {
        .version = PNG_IMAGE_VERSION, .width = width, .height = 1, .format = format, .colormap_entries = colors};
    char path[256];
    assert_true(png_image_write_to_file(&image, path_of("b.png", path), 0, pixels, 0, colormap));
    dipp_image back = {0};
    assert_int_equal(dipp_image_read(path, &back, NULL), DIPP_OK);
    for (int i = 0; i < back.width * 3; i++)
        assert_true(abs(back.pixels[i] - expected[i]) <= tolerance);
    dipp_image_clear(&back);
    unlink(path);
}

static void other_colour_types_become_rgb(void **state)
{
    (void)state;
    const uint8_t gray[2] = {10, 200}, gray_rgb[6] = {10, 10, 10, 200, 200, 200};
    check_format(PNG_FORMAT_GRAY, gray, 2, NULL, 0, gray_rgb, 0);
    const uint8_t rgba[8] = {255, 0, 0, 255, 0, 0, 0, 128}, over_white[6] = {255, 0, 0, 127, 127, 127};
    check_format(PNG_FORMAT_RGBA, rgba, 2, NULL, 0, over_white, 0);
    const uint8_t map[6] = {1, 2, 3, 90, 80, 70}, index[2] = {1, 0}, mapped[6] = {90, 80, 70, 1, 2, 3};
    check_format(PNG_FORMAT_RGB_COLORMAP, index, 2, map, 2, mapped, 0);
    const uint16_t linear[3] = {65535, 0, 65535};
    const uint8_t wide[3] = {255, 0, 255};
    check_format(PNG_FORMAT_LINEAR_RGB, linear, 1, NULL, 0, wide, 0);
}

static void damaged_pngs_are_refused_or_read_whole(void **state)
{
    (void)state;
    dipp_error error = {0};
    dipp_image image = {0};
    char path[256];
    assert_int_equal(dipp_image_create(24, 24, 7, &image, &error), DIPP_OK);
    for (int i = 0; i < 24 * 24 * 3; i++)
        image.pixels[i] = (uint8_t)(i * i);
    assert_int_equal(dipp_image_write_png(path_of("c.png", path), &image, &error), DIPP_OK);
    dipp_image_clear(&image);
    char *bytes = NULL;
    size_t size = 0;
    assert_int_equal(dipp_file_read(path, 1 << 20, &bytes, &size, &error), DIPP_OK);
    unlink(path);
    for (size_t cut = 0; cut < size; cut += cut < 200 ? 1 : 13) {
        assert_int_equal(dipp_image_read_png_memory(bytes, cut, &image, &error), DIPP_E_FORMAT);
        assert_null(image.pixels);
    }
    int refused = 0;
    for (size_t at = 0; at < size; at += at < 200 ? 1 : 7)
        for (int bit = 0; bit < 8; bit += 3) {
            bytes[at] = (char)(bytes[at] ^ 1 << bit);
            dipp_status status = dipp_image_read_png_memory(bytes, size, &image, &error);
            bytes[at] = (char)(bytes[at] ^ 1 << bit);
            if (status == DIPP_OK) /* a flag in an ancillary chunk: the picture itself is whole */
                assert_true(image.width == 24 && image.height == 24);
            refused += status != DIPP_OK;
            dipp_image_clear(&image);
        }
    assert_true(refused > 100);
    /* A header that promises 16384 x 16384: refused before anything is allocated for it. */
    const uint8_t huge[] = {0x89, 'P', 'N', 'G',  13, 10, 26, 10,   0, 0, 0, 13, 'I', 'H', 'D',
                            'R',  0,   0,   0x40, 0,  0,  0,  0x40, 0, 8, 2, 0,  0,   0};
    assert_int_equal(dipp_image_read_png_memory(huge, sizeof huge, &image, &error), DIPP_E_FORMAT);
    assert_int_equal(dipp_image_read_png_memory("GIF89a not a png", 16, &image, &error), DIPP_E_FORMAT);
    assert_non_null(strstr(error.message, "not a PNG"));
    dipp_memory_fail_nth(1, true);
    assert_int_equal(dipp_image_read_png_memory(bytes, size, &image, &error), DIPP_E_MEMORY);
    dipp_memory_fail_nth(3, true);
    assert_int_equal(dipp_image_read_png_memory(bytes, size, &image, &error), DIPP_E_MEMORY);
    dipp_memory_fail_nth(0, false);
    dipp_release(bytes);
}

static void unwritable_places_are_said(void **state)
{
    (void)state;
    dipp_error error = {0};
    dipp_image image = {0}, none = {0};
    char path[256];
    assert_int_equal(dipp_image_create(2, 2, 0, &image, NULL), DIPP_OK);
    assert_true(dipp_image_write_png(path_of("no/such/folder.png", path), &image, &error) != DIPP_OK);
    assert_non_null(strstr(error.message, path));
    assert_int_equal(dipp_image_write_png(path_of("d.png", path), &none, &error), DIPP_E_INVALID);
    assert_int_equal(dipp_image_read(path, &none, &error), DIPP_E_NOT_FOUND);
    assert_int_equal(dipp_image_create(0, 5, 0, &none, &error), DIPP_E_INVALID);
    assert_int_equal(dipp_image_create(5, 20000, 0, &none, &error), DIPP_E_INVALID);
    dipp_image_clear(&image);
}

static void planes_round_and_clamp(void **state)
{
    (void)state;
    const float planes[12] = {-1, 1, -3, 3, 0, 0.5f, NAN, -0.5f, INFINITY, -INFINITY, 0.999f, -0.999f};
    const uint8_t expected[12] = {0, 128, 255, 255, 191, 0, 0, 0, 255, 255, 64, 0};
    uint8_t rgb[12];
    dipp_image_from_planes(planes, 2, rgb);
    assert_memory_equal(rgb, expected, sizeof rgb);
    uint8_t all[3 * 16 * 16], again[sizeof all];
    float back[sizeof all];
    for (size_t i = 0; i < sizeof all; i++)
        all[i] = (uint8_t)i;
    dipp_image_to_planes(all, 16, back);
    dipp_image_from_planes(back, 16, again);
    assert_memory_equal(again, all, sizeof all);
}

static void grids_have_the_size_they_should(void **state)
{
    (void)state;
    dipp_error error = {0};
    char path[256];
    uint8_t red[8 * 8 * 3];
    for (int i = 0; i < 8 * 8 * 3; i++)
        red[i] = i % 3 ? 0 : 255;
    const uint8_t *pictures[2 * 3 * 2] = {red, red, red, red, red, red, red, red, red, red, red, NULL};
    dipp_grid_options options = {.rows = 2, .columns = 3, .per_cell = 2, .side = 8, .enlarge = 4, .pictures = pictures};
    dipp_image image = {0};
    assert_int_equal(dipp_grid_draw(&options, &image, &error), DIPP_OK);
    /* Without text: margins 12, cells 2 * 32 + 3, gaps 10. */
    assert_int_equal(image.width, 24 + 3 * 67 + 2 * 10);
    assert_int_equal(image.height, 24 + 2 * 32 + 10);
    const uint8_t *corner = image.pixels + (12 * image.width + 12) * 3;
    assert_memory_equal(corner, red, 3);
    assert_int_equal(corner[-1], 255);
    assert_int_equal(image.pixels[(12 * image.width + 12 + 32) * 3 + 1], 255); /* white between pictures */
    long ink = 0;
    for (long i = 0; i < (long)image.width * image.height; i++)
        ink += image.pixels[i * 3 + 1] == 0;
    assert_int_equal(ink, 11 * 32 * 32);
    int plain_width = image.width, plain_height = image.height;
    dipp_image_clear(&image);

    const char *labels[2] = {"a large red apple on a blue background, left", "naïveté"},
               *headings[3] = {"none", "cfg only", NULL};
    options.row_labels = labels;
    options.column_headings = headings;
    options.title = "emoji rewards, seed 0";
    assert_int_equal(dipp_grid_write(&options, path_of("grid.png", path), &error), DIPP_OK);
    assert_int_equal(dipp_image_read(path, &image, &error), DIPP_OK);
    unlink(path);
    assert_int_equal(image.width, plain_width + 200);
    assert_true(image.height > plain_height + 30);
    long dark = 0, pure = 0;
    for (long i = 0; i < (long)image.width * image.height; i++) {
        dark += image.pixels[i * 3] < 100;
        pure += image.pixels[i * 3] == 255 && image.pixels[i * 3 + 1] == 0;
    }
    assert_true(dark > 200); /* there is text */
    assert_int_equal(pure, 11 * 32 * 32);
    dipp_image_clear(&image);
}

static void bad_grids_are_refused(void **state)
{
    (void)state;
    dipp_error error = {0};
    dipp_image image = {0};
    const uint8_t *nothing[1] = {NULL};
    dipp_grid_options options = {.rows = 1,
                                 .columns = 1,
                                 .per_cell = 1,
                                 .side = 32,
                                 .title = "text",
                                 .font_path = "/nonexistent.ttf",
                                 .pictures = nothing};
    assert_int_equal(dipp_grid_draw(&options, &image, &error), DIPP_E_NOT_FOUND);
    assert_non_null(strstr(error.message, "fonts-dejavu-core"));
    options.title = NULL; /* no text, no font needed */
    assert_int_equal(dipp_grid_draw(&options, &image, &error), DIPP_OK);
    dipp_image_clear(&image);
    options.rows = 0;
    assert_int_equal(dipp_grid_draw(&options, &image, &error), DIPP_E_INVALID);
    options.rows = 4096;
    assert_int_equal(dipp_grid_draw(&options, &image, &error), DIPP_E_INVALID);
    assert_non_null(strstr(error.message, "at most 16384"));
    assert_null(image.pixels);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pictures_survive_a_png),
        cmocka_unit_test(other_colour_types_become_rgb),
        cmocka_unit_test(damaged_pngs_are_refused_or_read_whole),
        cmocka_unit_test(unwritable_places_are_said),
        cmocka_unit_test(planes_round_and_clamp),
        cmocka_unit_test(grids_have_the_size_they_should),
        cmocka_unit_test(bad_grids_are_refused),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
