/* JPEG and WebP files: what Pillow decodes (tests/fixtures/make_picture_fixture.py), and damaged ones. */
#include "base/file.h"
#include "base/memory.h"
#include "base/philox.h"
#include "base/sha256.h"
#include "data/image.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "../shared_data.h"

#define FIXTURES DIPP_FIXTURE_FOLDER "/pictures/"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *read_fixture(const char *name, size_t *size)
{
    char path[400], *bytes = NULL;
    snprintf(path, sizeof path, FIXTURES "%s", name);
    assert_int_equal(dipp_file_read(path, 1 << 20, &bytes, size, NULL), DIPP_OK);
    return bytes;
}

static const char *const pictures[] = {"420.jpg",    "422.jpg",    "444.jpg",         "progressive.jpg",
                                       "grey.jpg",   "cmyk.jpg",   "exif.jpg",        "lossless.webp",
                                       "lossy.webp", "alpha.webp", "lossy_alpha.webp"};
enum { PICTURES = sizeof pictures / sizeof *pictures };

/* Lossless WebP has one right answer. Of JPEG, and of the colours of lossy WebP, decoders may round apart: the same
 * library in another version, or with other vector code, by one. */
static void pictures_are_what_pillow_reads(void **state)
{
    (void)state;
    for (size_t i = 0; i < PICTURES; i++) {
        char path[400], name[100];
        size_t size;
        dipp_image image = {0};
        dipp_error error = {0};
        snprintf(path, sizeof path, FIXTURES "%s", pictures[i]);
        snprintf(name, sizeof name, "%s.ppm", pictures[i]);
        if (dipp_image_read(path, &image, &error))
            fail_msg("%s", error.message);
        assert_int_equal(image.width, 29);
        assert_int_equal(image.height, 19);
        char *expected = read_fixture(name, &size);
        assert_memory_equal(expected, "P6 29 19 255\n", 13);
        assert_int_equal(size, 13 + 29 * 19 * 3);
        int tolerance = strstr(name, "lossless") || !strncmp(name, "alpha", 5) ? 0 : 1;
        for (size_t k = 0; k < 29 * 19 * 3; k++)
            if (abs(image.pixels[k] - (uint8_t)expected[13 + k]) > tolerance)
                fail_msg("%s: byte %zu is %d, expected %d", name, k, image.pixels[k], (uint8_t)expected[13 + k]);
        dipp_release(expected);
        dipp_image_clear(&image);
    }
}

static void other_files_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *file, *said;
    } cases[] = {{"animation.webp", "an animation"}, {"420.jpg.ppm", "expected a PNG, JPEG or WebP picture"}};
    for (size_t i = 0; i < 2; i++) {
        char path[400];
        dipp_image image = {0};
        dipp_error error = {0};
        snprintf(path, sizeof path, FIXTURES "%s", cases[i].file);
        assert_int_equal(dipp_image_read(path, &image, &error), DIPP_E_FORMAT);
        assert_ptr_equal(strstr(error.message, path), error.message);
        assert_non_null(strstr(error.message, cases[i].said));
        assert_null(image.pixels);
    }
}

/* The place of the size in the frame header of a JPEG. */
static size_t frame_header(const uint8_t *bytes, size_t size)
{
    for (size_t at = 2; at + 9 < size; at += 2 + (size_t)(bytes[at + 2] << 8 | bytes[at + 3]))
        if (bytes[at + 1] == 0xc0)
            return at + 5;
    fail_msg("no frame header");
    return 0;
}

static void sizes_are_limited_before_memory_is_taken(void **state)
{
    (void)state;
    size_t size, webp_size;
    dipp_error error = {0};
    dipp_image image = {0};
    uint8_t *jpeg = (uint8_t *)read_fixture("444.jpg", &size);
    uint8_t *webp = (uint8_t *)read_fixture("lossless.webp", &webp_size);
    size_t at = frame_header(jpeg, size);
    static const uint8_t sizes[3][4] = {{0x40, 1, 0, 1}, {0, 1, 0x40, 1}, {0x40, 0, 0x40, 0}};
    dipp_memory_fail_nth(1, true);
    for (size_t i = 0; i < 3; i++) {
        memcpy(jpeg + at, sizes[i], 4);
        assert_int_equal(dipp_image_read_jpeg_memory(jpeg, size, &image, &error), DIPP_E_FORMAT);
        assert_non_null(strstr(error.message, "64 Mpixel"));
    }
    /* WebP has 14 bits for a side, 1 to 16384. */
    memset(webp + 21, 0xff, 3);
    webp[24] = 0x0f;
    assert_int_equal(dipp_image_read_webp_memory(webp, webp_size, &image, &error), DIPP_E_FORMAT);
    assert_non_null(strstr(error.message, "64 Mpixel"));
    dipp_memory_fail_nth(0, false);
    dipp_release(jpeg);
    dipp_release(webp);
}

static void damaged_pictures_are_refused_or_read_whole(void **state)
{
    (void)state;
    for (size_t i = 0; i < PICTURES; i++) {
        size_t size;
        bool jpeg = strstr(pictures[i], ".jpg") != NULL;
        dipp_status (*read)(const void *, size_t, dipp_image *, dipp_error *) =
            jpeg ? dipp_image_read_jpeg_memory : dipp_image_read_webp_memory;
        char *whole = read_fixture(pictures[i], &size);
        for (size_t kept = 0; kept + (jpeg ? 2 : 0) < size; kept += kept % 3 + 1) { /* but for a JPEG's end marker */
            char *part = malloc(kept ? kept : 1); /* exactly sized, so that a sanitizer sees one byte too many */
            dipp_image image = {0};
            assert_non_null(part);
            memcpy(part, whole, kept);
            if (kept + 8 < size)
                assert_int_equal(read(part, kept, &image, NULL), DIPP_E_FORMAT);
            else
                LLVMFuzzerTestOneInput((const uint8_t *)part, kept);
            assert_null(image.pixels);
            free(part);
        }
        for (uint32_t round = 0; round < 300; round++) {
            uint8_t *copy = malloc(size);
            assert_non_null(copy);
            memcpy(copy, whole, size);
            for (uint32_t change = 0; change <= round % 3; change++) {
                double place = dipp_philox_uniform_double(4, 0, round, (uint32_t)i, 2 * change);
                double value = dipp_philox_uniform_double(4, 0, round, (uint32_t)i, 2 * change + 1);
                copy[(size_t)(place * (double)size)] = (uint8_t)(value * 256);
            }
            LLVMFuzzerTestOneInput(copy, size);
            free(copy);
        }
        dipp_image image = {0};
        dipp_error error = {0};
        dipp_memory_fail_nth(1, false);
        assert_int_equal(read(whole, size, &image, &error), DIPP_E_MEMORY);
        dipp_memory_fail_nth(0, false);
        dipp_release(whole);
    }
}

/* Published pictures with reference scores; the sums are of what Pillow 13 decodes. */
static void published_pictures_are_what_pillow_reads(void **state)
{
    (void)state;
    static const struct {
        const char *file, *sha256;
    } files[] = {{"hpsv2_demo.jpg", "c995f8c2bac2d488c728da4727e7429f407541338239bb761f2099ff56f79670"},
                 {"imagereward_1.webp", "cd452177f616731ad1f0ce8be3942298911febb511188736717494967c689e4f"},
                 {"imagereward_2.webp", "3621c83ad52757663c272f34abb6ec69aa45ed1489b00d30b76614f11d07b803"},
                 {"imagereward_3.webp", "b3a27353c5838d2a2241d29713ffa7354271f869c94197456d107723c42da50e"},
                 {"imagereward_4.webp", "b1de3578497a5634aea58e10dee00654d12cbd67efc7f9f1383a1190b55fe6ac"}};
    for (size_t i = 0; i < 5; i++) {
        char name[100], path[SHARED_PATH_BYTES], digest[DIPP_SHA256_HEX_BYTES];
        dipp_image image = {0};
        dipp_error error = {0};
        snprintf(name, sizeof name, "images/%s", files[i].file);
        shared_data_or_skip(name, path);
        if (dipp_image_read(path, &image, &error))
            fail_msg("%s", error.message);
        assert_int_equal(image.width, 512);
        assert_int_equal(image.height, 512);
        dipp_sha256_hex(image.pixels, 512 * 512 * 3, digest);
        assert_string_equal(digest, files[i].sha256);
        dipp_image_clear(&image);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pictures_are_what_pillow_reads),
        cmocka_unit_test(other_files_are_named),
        cmocka_unit_test(sizes_are_limited_before_memory_is_taken),
        cmocka_unit_test(damaged_pictures_are_refused_or_read_whole),
        cmocka_unit_test(published_pictures_are_what_pillow_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
