#include "world_fixture.h"

#include "base/philox.h"
#include "data/emoji_font.h"
#include "data/glyph_subset.h"

#include <math.h>
#include <unistd.h>

enum { SIDE = 32, VALUES = 3 * SIDE * SIDE };

static void scenes_are_functions_of_seed_and_index(void **state)
{
    const dipp_emoji_world *world = *state;
    dipp_scene_attributes forward[50], again;
    static float first[50][VALUES], second[VALUES];
    char caption[50][DIPP_CAPTION_BYTES], repeated[DIPP_CAPTION_BYTES];
    for (int i = 0; i < 50; i++) {
        dipp_emoji_scene_attributes(world, 11, (uint64_t)i, &forward[i]);
        assert_int_equal(dipp_emoji_scene_draw(world, &forward[i], SIDE, first[i], NULL), DIPP_OK);
        assert_int_equal(
            dipp_emoji_scene_caption(world, 11, (uint64_t)i, &forward[i], caption[i], sizeof caption[i], NULL),
            DIPP_OK);
    }
    for (int i = 49; i >= 0; i--) { /* backwards, with other scenes in between */
        dipp_emoji_scene_attributes(world, 12, (uint64_t)i, &again);
        assert_int_equal(dipp_emoji_scene_draw(world, &again, SIDE, second, NULL), DIPP_OK);
        assert_memory_not_equal(second, first[i], sizeof second);
        dipp_emoji_scene_attributes(world, 11, (uint64_t)i, &again);
        assert_memory_equal(&again, &forward[i], sizeof again);
        assert_int_equal(dipp_emoji_scene_draw(world, &again, SIDE, second, NULL), DIPP_OK);
        assert_memory_equal(second, first[i], sizeof second);
        assert_int_equal(dipp_emoji_scene_caption(world, 11, (uint64_t)i, &again, repeated, sizeof repeated, NULL),
                         DIPP_OK);
        assert_string_equal(repeated, caption[i]);
    }
}

static void attributes_follow_the_philox_addressing(void **state)
{
    const dipp_emoji_world *world = *state;
    const uint64_t seed = 0x123456789abcdefu, index = 0x500000007u;
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    uint32_t counter[4] = {0, 7, 5, 0x5ce0}, bits[4], place[4];
    dipp_philox4x32(key, counter, bits);
    counter[0] = 1;
    dipp_philox4x32(key, counter, place);
    dipp_scene_attributes scene;
    dipp_emoji_scene_attributes(world, seed, index, &scene);
    assert_int_equal(scene.glyph, (int)((uint64_t)bits[0] * (uint64_t)dipp_emoji_world_glyph_count(world) >> 32));
    double size = 0.7 + (1.0 - 0.7) * (bits[2] >> 8) / 16777216.0;
    assert_true(fabs(scene.size - size) < 1e-6);
    assert_true(fabs(scene.rotation - 0.2 * (2.0 * (bits[3] >> 8) / 16777216.0 - 1)) < 1e-6);
    assert_true(fabs(scene.centre_x - (0.5 + (1 - size) * ((place[0] >> 8) / 16777216.0 - 0.5))) < 1e-6);
    assert_true(fabs(scene.centre_y - (0.5 + (1 - size) * ((place[1] >> 8) / 16777216.0 - 0.5))) < 1e-6);
}

static void attributes_stay_in_range_and_visit_everything(void **state)
{
    const dipp_emoji_world *world = *state;
    int glyphs[64] = {0}, backgrounds[DIPP_BACKGROUND_COUNT] = {0}, places[DIPP_PLACE_COUNT] = {0},
        sizes[DIPP_SIZE_CLASS_COUNT] = {0};
    assert_int_equal(dipp_emoji_world_glyph_count(world), 64);
    for (uint64_t i = 0; i < 20000; i++) {
        dipp_scene_attributes scene;
        dipp_emoji_scene_attributes(world, 3, i, &scene);
        assert_in_range(scene.glyph, 0, 63);
        assert_true(scene.size >= 0.7f && scene.size <= 1 && scene.rotation >= -0.2f && scene.rotation <= 0.2f);
        float left = scene.centre_x - scene.size / 2, top = scene.centre_y - scene.size / 2;
        assert_true(left > -1e-6f && top > -1e-6f && left + scene.size < 1 + 1e-6f && top + scene.size < 1 + 1e-6f);
        assert_int_equal(scene.place, dipp_scene_place_of(scene.centre_x, scene.centre_y));
        assert_int_equal(scene.size_class, dipp_scene_size_class_of(world, scene.size));
        for (int c = 0; c < 3; c++)
            assert_true(scene.background_rgb[c] == (float)(dipp_backgrounds[scene.background].rgb[c] / 255.0));
        glyphs[scene.glyph]++;
        backgrounds[scene.background]++;
        places[scene.place]++;
        sizes[scene.size_class]++;
    }
    for (int i = 0; i < 64; i++)
        assert_in_range(glyphs[i], 220, 410); /* 312.5 expected, standard deviation 17.5 */
    for (int i = 0; i < DIPP_BACKGROUND_COUNT; i++)
        assert_in_range(backgrounds[i], 1500, 2500);
    for (int i = 0; i < DIPP_PLACE_COUNT; i++)
        assert_in_range(places[i], 1500, 13000);
    for (int i = 0; i < DIPP_SIZE_CLASS_COUNT; i++)
        assert_in_range(sizes[i], 6000, 7400);
}

static void held_out_pairs_are_never_drawn(void **state)
{
    const dipp_emoji_world *world = *state;
    int held = 0, count = dipp_emoji_world_glyph_count(world);
    for (int g = 0; g < count; g++) {
        int free_ones = 0;
        for (int b = 0; b < DIPP_BACKGROUND_COUNT; b++) {
            held += dipp_emoji_pair_held_out(world, g, b);
            free_ones += !dipp_emoji_pair_held_out(world, g, b);
        }
        assert_true(free_ones > 0);
    }
    assert_in_range(held, 35, 90); /* 640 pairs, 9 % expected */
    for (uint64_t i = 0; i < 20000; i++) {
        dipp_scene_attributes scene;
        dipp_emoji_scene_attributes(world, 5, i, &scene);
        assert_false(dipp_emoji_pair_held_out(world, scene.glyph, scene.background));
    }
}

static void glyphs_keep_their_distance(void **state)
{
    const dipp_emoji_world *world = *state;
    int count = dipp_emoji_world_glyph_count(world);
    for (int a = 0; a < count; a++) {
        const dipp_emoji_glyph *glyph = dipp_emoji_world_glyph(world, a);
        assert_true(*glyph->name && !strchr(glyph->name, ' '));
        assert_true(glyph->coverage >= 0.2f && glyph->coverage <= 0.85f);
        assert_int_equal(dipp_emoji_world_find(world, glyph->name), a);
        for (int b = 0; b < a; b++)
            assert_true(dipp_emoji_world_distance(world, a, b) >= 0.27);
    }
    assert_null(dipp_emoji_world_glyph(world, count));
    assert_int_equal(dipp_emoji_world_find(world, "no such thing"), DIPP_NOT_NAMED);
}

static void choosing_is_greedy_by_detail_and_bounded(void **state)
{
    (void)state;
    static dipp_glyph_feature features[4];
    memset(features, 0, sizeof features);
    const float values[4] = {0.0f, 0.1f, 0.5f, 1.0f}, details[4] = {0.4f, 0.1f, 0.2f, 0.3f};
    for (int i = 0; i < 4; i++) {
        features[i].detail = details[i];
        for (int k = 0; k < DIPP_GLYPH_FEATURES; k++)
            features[i].texels[k] = values[i];
    }
    int chosen[4];
    assert_int_equal(dipp_glyph_choose(features, 4, 4, 0.3, chosen), 3); /* 1 keeps 0 out */
    assert_int_equal(chosen[0], 1);
    assert_int_equal(chosen[1], 2);
    assert_int_equal(chosen[2], 3);
    assert_int_equal(dipp_glyph_choose(features, 4, 2, 0.3, chosen), 2);
    assert_int_equal(chosen[1], 2);
    assert_true(fabs(dipp_glyph_distance(&features[1], &features[3]) - 0.9) < 1e-6);
}

static void backgrounds_are_exactly_flat_around_the_glyph(void **state)
{
    const dipp_emoji_world *world = *state;
    static float dark[VALUES], light[VALUES], picture[VALUES];
    int solid = 0;
    for (uint64_t i = 0; i < 100; i++) {
        dipp_scene_attributes scene;
        dipp_emoji_scene_attributes(world, 9, i, &scene);
        assert_int_equal(dipp_emoji_scene_draw(world, &scene, SIDE, picture, NULL), DIPP_OK);
        float background[3];
        memcpy(background, scene.background_rgb, sizeof background);
        for (int c = 0; c < 3; c++)
            scene.background_rgb[c] = 0;
        assert_int_equal(dipp_emoji_scene_draw(world, &scene, SIDE, dark, NULL), DIPP_OK);
        for (int c = 0; c < 3; c++)
            scene.background_rgb[c] = 1;
        assert_int_equal(dipp_emoji_scene_draw(world, &scene, SIDE, light, NULL), DIPP_OK);
        int flat = 0, opaque = 0;
        for (int k = 0; k < VALUES; k++) {
            float transparency = (light[k] - dark[k]) / 2, b = background[k / (SIDE * SIDE)];
            /* Linear in the background: p = (1-a) (2b-1) + a (2 c/a - 1). */
            assert_true(fabsf(picture[k] - (dark[k] + 2 * transparency * b)) < 1e-5f);
            assert_true(picture[k] >= -1.00001f && picture[k] <= 1.00001f);
            if (transparency == 1) {
                assert_true(picture[k] == 2 * b - 1);
                flat++;
            }
            opaque += transparency < 0.01f;
        }
        assert_true(flat > VALUES / 20);
        solid += opaque > VALUES / 20; /* all but the likes of a comet */
    }
    assert_true(solid > 90);
}

static void drawing_agrees_across_sizes(void **state)
{
    const dipp_emoji_world *world = *state;
    static float big[3 * 128 * 128], small[VALUES];
    double total = 0;
    for (uint64_t i = 0; i < 40; i++) {
        dipp_scene_attributes scene;
        dipp_emoji_scene_attributes(world, 21, i, &scene);
        assert_int_equal(dipp_emoji_scene_draw(world, &scene, 128, big, NULL), DIPP_OK);
        assert_int_equal(dipp_emoji_scene_draw(world, &scene, SIDE, small, NULL), DIPP_OK);
        for (int c = 0; c < 3; c++)
            for (int y = 0; y < SIDE; y++)
                for (int x = 0; x < SIDE; x++) {
                    double mean = 0;
                    for (int k = 0; k < 16; k++)
                        mean += big[(c * 128 + 4 * y + k / 4) * 128 + 4 * x + k % 4] / 16;
                    double difference = (mean - small[(c * SIDE + y) * SIDE + x]) / 2;
                    total += difference * difference;
                }
    }
    assert_true(sqrt(total / (40.0 * VALUES)) < 0.04); /* filters differ a little, places and colours do not */
}

static void rotation_and_place_go_the_documented_way(void **state)
{
    const dipp_emoji_world *world = *state;
    static float picture[VALUES], turned[VALUES];
    dipp_scene_attributes scene = {.glyph = 0, .centre_x = 0.7f, .centre_y = 0.35f, .size = 0.3f};
    assert_int_equal(dipp_emoji_scene_draw(world, &scene, SIDE, picture, NULL), DIPP_OK);
    for (int c = 0; c < 3; c++)
        scene.background_rgb[c] = 1;
    assert_int_equal(dipp_emoji_scene_draw(world, &scene, SIDE, turned, NULL), DIPP_OK);
    double mass = 0, x_mean = 0, y_mean = 0;
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) {
            double alpha = 1 - (turned[y * SIDE + x] - picture[y * SIDE + x]) / 2;
            mass += alpha;
            x_mean += alpha * (x + 0.5) / SIDE;
            y_mean += alpha * (y + 0.5) / SIDE;
        }
    assert_true(fabs(x_mean / mass - 0.7) < 0.05 && fabs(y_mean / mass - 0.35) < 0.05);
    assert_int_equal(dipp_scene_place_of(0.5f, 0.5f), 0);
    assert_int_equal(dipp_scene_place_of(0.4f, 0.52f), 1);
    assert_int_equal(dipp_scene_place_of(0.6f, 0.52f), 2);
    assert_int_equal(dipp_scene_place_of(0.52f, 0.4f), 3);
    assert_int_equal(dipp_scene_place_of(0.52f, 0.6f), 4);
    /* A quarter of a turn would send right to bottom (clockwise): a small one moves a point right of the middle down. */
    static float flat[VALUES];
    scene = (dipp_scene_attributes){.glyph = 1, .centre_x = 0.5f, .centre_y = 0.5f, .size = 0.8f, .rotation = 0.8f};
    assert_int_equal(dipp_emoji_scene_draw(world, &scene, SIDE, turned, NULL), DIPP_OK);
    scene.rotation = 0;
    assert_int_equal(dipp_emoji_scene_draw(world, &scene, SIDE, flat, NULL), DIPP_OK);
    double agree = 0, disagree = 0;
    for (int y = 8; y < 24; y++)
        for (int x = 8; x < 24; x++) {
            double px = x - 15.5, py = y - 15.5;
            /* The turned picture at R(0.8) p shows what the flat one shows at p; R clockwise on the screen. */
            double sine = sin(0.8), cosine = cos(0.8);
            int there =
                (int)(15.5 + cosine * px - sine * py + 0.5) + SIDE * (int)(15.5 + sine * px + cosine * py + 0.5);
            int other =
                (int)(15.5 + cosine * px + sine * py + 0.5) + SIDE * (int)(15.5 - sine * px + cosine * py + 0.5);
            agree += fabs((double)turned[there] - flat[y * SIDE + x]);
            disagree += fabs((double)turned[other] - flat[y * SIDE + x]);
        }
    assert_true(agree < 0.7 * disagree);
}

static void bytes_are_the_rounded_floats(void **state)
{
    const dipp_emoji_world *world = *state;
    static float picture[VALUES];
    static uint8_t rgb[VALUES];
    dipp_scene_attributes scene;
    dipp_emoji_scene_attributes(world, 2, 4, &scene);
    assert_int_equal(dipp_emoji_scene_draw(world, &scene, SIDE, picture, NULL), DIPP_OK);
    assert_int_equal(dipp_emoji_scene_draw_bytes(world, &scene, SIDE, rgb, NULL), DIPP_OK);
    for (int i = 0; i < SIDE * SIDE; i++)
        for (int c = 0; c < 3; c++)
            assert_true(fabs((picture[c * SIDE * SIDE + i] + 1) * 127.5 - rgb[i * 3 + c]) < 0.501);
    uint8_t corner[3] = {rgb[0], rgb[1], rgb[2]};
    assert_memory_equal(corner, dipp_backgrounds[scene.background].rgb, 3);
}

static void bad_scenes_are_refused(void **state)
{
    const dipp_emoji_world *world = *state;
    static float picture[3 * 129 * 129];
    dipp_error error = {0};
    dipp_scene_attributes scene;
    dipp_emoji_scene_attributes(world, 2, 4, &scene);
    assert_int_equal(dipp_emoji_scene_draw(world, &scene, 7, picture, &error), DIPP_E_INVALID);
    assert_int_equal(dipp_emoji_scene_draw(world, &scene, 129, picture, &error), DIPP_E_INVALID);
    dipp_scene_attributes bad = scene;
    bad.glyph = 64;
    assert_int_equal(dipp_emoji_scene_draw(world, &bad, SIDE, picture, &error), DIPP_E_INVALID);
    char caption[DIPP_CAPTION_BYTES];
    assert_int_equal(dipp_emoji_scene_caption(world, 1, 1, &bad, caption, sizeof caption, &error), DIPP_E_INVALID);
    assert_int_equal(dipp_emoji_scene_caption(world, 1, 1, &scene, caption, 20, &error), DIPP_E_INVALID);
    bad = scene;
    bad.size = NAN;
    assert_int_equal(dipp_emoji_scene_draw(world, &bad, SIDE, picture, &error), DIPP_E_INVALID);
    bad = scene;
    bad.centre_x = 3e9f;
    assert_int_equal(dipp_emoji_scene_draw(world, &bad, SIDE, picture, &error), DIPP_E_INVALID);
}

static void options_change_the_world_and_its_fingerprint(void **state)
{
    const dipp_emoji_world *world = *state;
    dipp_emoji_world_options options;
    dipp_emoji_world_options_default(&options);
    options.groups = "food-fruit";
    options.name_words_max = 2;
    options.glyph_limit = 6;
    options.minimum_distance = 0;
    options.background_jitter = 0.1;
    options.side_max = 32;
    dipp_emoji_world *fruits = NULL, *same = NULL;
    assert_int_equal(dipp_emoji_world_create(&options, &fruits, NULL), DIPP_OK);
    assert_int_equal(dipp_emoji_world_create(&options, &same, NULL), DIPP_OK);
    assert_int_equal(dipp_emoji_world_glyph_count(fruits), 6);
    assert_true(dipp_emoji_world_fingerprint(fruits) == dipp_emoji_world_fingerprint(same));
    assert_true(dipp_emoji_world_fingerprint(fruits) != dipp_emoji_world_fingerprint(world));
    for (int i = 0; i < 6; i++)
        assert_string_equal(dipp_emoji_world_glyph(fruits, i)->kind, "fruit");
    dipp_scene_attributes scene;
    static float picture[3 * 64 * 64];
    double spread = 0;
    for (uint64_t i = 0; i < 2000; i++) {
        dipp_emoji_scene_attributes(fruits, 1, i, &scene);
        double jitter = scene.background_rgb[0] - dipp_backgrounds[scene.background].rgb[0] / 255.0;
        assert_true(fabs(jitter) <= 0.1 + 1e-6);
        spread = fmax(spread, fabs(jitter));
    }
    assert_true(spread > 0.09);
    assert_int_equal(dipp_emoji_scene_draw(fruits, &scene, 32, picture, NULL), DIPP_OK);
    assert_int_equal(dipp_emoji_scene_draw(fruits, &scene, 64, picture, NULL), DIPP_E_INVALID);
    dipp_emoji_world_destroy(&fruits);
    dipp_emoji_world_destroy(&same);
    assert_null(same);
    dipp_emoji_world_destroy(&same);
}

static void bad_options_are_named(void **state)
{
    (void)state;
    dipp_error error = {0};
    dipp_emoji_world *world = NULL;
    dipp_emoji_world_options options;
    dipp_emoji_world_options_default(&options);
    options.size_max = 0.5;
    assert_int_equal(dipp_emoji_world_create(&options, &world, &error), DIPP_E_INVALID);
    assert_non_null(strstr(error.message, "size_max is 0.5"));
    dipp_emoji_world_options_default(&options);
    options.rotation_max = NAN;
    assert_int_equal(dipp_emoji_world_create(&options, &world, &error), DIPP_E_INVALID);
    assert_non_null(strstr(error.message, "rotation_max"));
    dipp_emoji_world_options_default(&options);
    options.groups = "no-such-group";
    assert_int_equal(dipp_emoji_world_create(&options, &world, &error), DIPP_E_INVALID);
    assert_non_null(strstr(error.message, "no-such-group"));
    assert_null(world);
}

static void missing_files_name_the_debian_package(void **state)
{
    (void)state;
    dipp_error error = {0};
    dipp_emoji_world *world = NULL;
    dipp_emoji_world_options options;
    dipp_emoji_world_options_default(&options);
    options.font_path = "/nonexistent/font.ttf";
    assert_int_equal(dipp_emoji_world_create(&options, &world, &error), DIPP_E_NOT_FOUND);
    assert_non_null(strstr(error.message, "/nonexistent/font.ttf"));
    assert_non_null(strstr(error.message, "fonts-noto-color-emoji"));
    dipp_emoji_world_options_default(&options);
    options.labels_path = "/nonexistent/labels.txt";
    assert_int_equal(dipp_emoji_world_create(&options, &world, &error), DIPP_E_NOT_FOUND);
    assert_non_null(strstr(error.message, "unicode-cldr-core"));
    assert_int_equal(dipp_emoji_world_create(&options, &world, NULL), DIPP_E_NOT_FOUND);

    char path[] = "/tmp/dipp-font-XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0 && write(file, "not a font", 10) == 10);
    close(file);
    dipp_emoji_font *font = NULL;
    assert_int_equal(dipp_emoji_font_create(path, &font, &error), DIPP_E_FORMAT);
    assert_non_null(strstr(error.message, path));
    unlink(path);
    assert_int_equal(dipp_emoji_font_create(NULL, &font, &error), DIPP_OK);
    dipp_glyph_bitmap bitmap = {0};
    assert_int_equal(dipp_emoji_font_glyph(font, 0x10FFFF, &bitmap, &error), DIPP_E_NOT_FOUND);
    assert_non_null(strstr(error.message, "U+10FFFF"));
    assert_int_equal(dipp_emoji_font_glyph(font, 0x1F34E, &bitmap, &error), DIPP_OK); /* red apple */
    double sum[4] = {0};
    for (int i = 0; i < bitmap.width * bitmap.height; i++)
        for (int c = 0; c < 4; c++) {
            sum[c] += bitmap.rgba[i * 4 + c];
            assert_true(bitmap.rgba[i * 4 + c] <= bitmap.rgba[i * 4 + 3]); /* premultiplied */
        }
    assert_true(sum[0] > 1.5 * sum[1] && sum[0] > 1.5 * sum[2]); /* RGBA, not BGRA */
    dipp_glyph_bitmap_clear(&bitmap);
    dipp_emoji_font_destroy(&font);
    assert_null(font);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scenes_are_functions_of_seed_and_index),
        cmocka_unit_test(attributes_follow_the_philox_addressing),
        cmocka_unit_test(attributes_stay_in_range_and_visit_everything),
        cmocka_unit_test(held_out_pairs_are_never_drawn),
        cmocka_unit_test(glyphs_keep_their_distance),
        cmocka_unit_test(choosing_is_greedy_by_detail_and_bounded),
        cmocka_unit_test(backgrounds_are_exactly_flat_around_the_glyph),
        cmocka_unit_test(drawing_agrees_across_sizes),
        cmocka_unit_test(rotation_and_place_go_the_documented_way),
        cmocka_unit_test(bytes_are_the_rounded_floats),
        cmocka_unit_test(bad_scenes_are_refused),
        cmocka_unit_test(options_change_the_world_and_its_fingerprint),
        cmocka_unit_test(bad_options_are_named),
        cmocka_unit_test(missing_files_name_the_debian_package),
    };
    return cmocka_run_group_tests(tests, build_world, destroy_world);
}
