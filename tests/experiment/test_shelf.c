/* The pictures of preferences: one size for all, as Pillow resizes; kept or read again, the same numbers. */
#include "../nn/fixture.h"
#include "experiment/run_shelf.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

/* pixels [height, width, 3] of the fixture's planes [3, height, width] in [0, 1] */
static uint8_t byte_at(const double *planes, int height, int width, int y, int x, int channel)
{
    return (uint8_t)lrint(255 * planes[(channel * height + y) * width + x]);
}

/* 23 x 17 covers 7 x 5 without anything to cut off (tests/fixtures/make_preprocess_fixture.py). */
static void a_picture_is_resized_as_pillow_does(void **state)
{
    dipp_error error = {0};
    dipp_image image = {0};
    dipp_weights *file = fixture_open(DIPP_FIXTURE_FOLDER "/preprocess.safetensors");
    double *from = fixture_get(file, "picture.23x17", 3 * 23 * 17);
    double *to = fixture_get(file, "pillow.bicubic.23x17to7x5", 3 * 7 * 5);
    assert_int_equal(dipp_image_create(17, 23, 0, &image, &error), DIPP_OK);
    for (int i = 0; i < 23 * 17 * 3; i++)
        image.pixels[i] = byte_at(from, 23, 17, i / 3 / 17, i / 3 % 17, i % 3);
    assert_int_equal(dipp_image_cover(&image, 7, 5, &error), DIPP_OK);
    assert_int_equal(image.height, 7);
    assert_int_equal(image.width, 5);
    for (int i = 0; i < 7 * 5 * 3; i++)
        assert_int_equal(image.pixels[i], byte_at(to, 7, 5, i / 3 / 5, i / 3 % 5, i % 3));
    dipp_image_clear(&image);
    free(from);
    free(to);
    dipp_weights_destroy(&file);
}

/* Twelve columns of one grey each over a square of four: the middle four of them, untouched. */
static void the_middle_is_cut_out(void **state)
{
    dipp_error error = {0};
    dipp_image image = {0};
    assert_int_equal(dipp_image_create(12, 4, 0, &image, &error), DIPP_OK);
    for (int i = 0; i < 12 * 4 * 3; i++)
        image.pixels[i] = (uint8_t)(20 * (i / 3 % 12));
    assert_int_equal(dipp_image_cover(&image, 4, 4, &error), DIPP_OK);
    for (int i = 0; i < 4 * 4 * 3; i++)
        assert_int_equal(image.pixels[i], 20 * (4 + i / 3 % 4));
    dipp_image_clear(&image);
}

static void kept_or_read_again_they_are_the_same(void **state)
{
    char folder[] = "/tmp/dipp-shelf-XXXXXX", path[64];
    dipp_error error = {0};
    dipp_string_pool paths = {.count = 0};
    assert_non_null(mkdtemp(folder));
    for (int i = 0; i < 3; i++) { /* of two sizes */
        dipp_image image = {0};
        uint32_t index;
        int side = i == 2 ? 16 : 8;
        snprintf(path, sizeof path, "%s/%d.png", folder, i);
        assert_int_equal(dipp_image_create(side, side, (uint8_t)(100 * i), &image, &error), DIPP_OK);
        image.pixels[4] = 250;
        assert_int_equal(dipp_image_write_png(path, &image, &error), DIPP_OK);
        assert_true(dipp_string_pool_add(&paths, path, &index) && index == (uint32_t)i);
        dipp_image_clear(&image);
    }
    dipp_run_shelf *kept = NULL, *read = NULL, *small = NULL;
    assert_int_equal(dipp_run_shelf_create(&paths, 0, 3 * 192, &kept, &error), DIPP_OK);
    assert_int_equal(dipp_run_shelf_create(&paths, 0, 3 * 192 - 1, &read, &error), DIPP_OK);
    assert_int_equal(dipp_run_shelf_create(&paths, 4, 0, &small, &error), DIPP_OK);
    assert_int_equal(dipp_run_shelf_bytes(kept), 3 * 192);
    assert_int_equal(dipp_run_shelf_bytes(read), 0);
    assert_int_equal(dipp_run_shelf_fill(kept, &error), DIPP_OK);
    assert_int_equal(dipp_run_shelf_fill(read, &error), DIPP_OK);
    int height, width;
    dipp_run_shelf_size(kept, &height, &width);
    assert_true(height == 8 && width == 8);
    dipp_run_shelf_size(small, &height, &width);
    assert_true(height == 4 && width == 4);
    for (uint32_t i = 0; i < 3; i++) {
        float a[192], b[192];
        assert_int_equal(dipp_run_shelf_take(kept, i, a, &error), DIPP_OK);
        assert_int_equal(dipp_run_shelf_take(read, i, b, &error), DIPP_OK);
        assert_memory_equal(a, b, sizeof a);
        assert_true(a[191] == 100.0f * (float)i / 255.0f);
        assert_true(i == 2 || a[65] == 250.0f / 255.0f); /* byte 4 is the second pixel's green */
    }
    snprintf(path, sizeof path, "%s/1.png", folder);
    assert_int_equal(unlink(path), 0);
    float planes[192];
    assert_int_equal(dipp_run_shelf_take(kept, 1, planes, &error), DIPP_OK); /* it is in memory */
    assert_int_equal(dipp_run_shelf_take(read, 1, planes, &error), DIPP_E_NOT_FOUND);
    assert_non_null(strstr(error.message, "1.png"));
    assert_int_equal(dipp_run_shelf_fill(small, &error), DIPP_E_NOT_FOUND);
    dipp_run_shelf_destroy(&kept);
    dipp_run_shelf_destroy(&read);
    dipp_run_shelf_destroy(&small);
    dipp_string_pool_clear(&paths);
    for (int i = 0; i < 3; i += 2) {
        snprintf(path, sizeof path, "%s/%d.png", folder, i);
        assert_int_equal(unlink(path), 0);
    }
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_picture_is_resized_as_pillow_does),
        cmocka_unit_test(the_middle_is_cut_out),
        cmocka_unit_test(kept_or_read_again_they_are_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
