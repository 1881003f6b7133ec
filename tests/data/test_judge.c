#include "world_fixture.h"

#include "base/memory.h"
#include "data/image.h"
#include "evaluate/judge.h"

#include <math.h>

enum { SCENES = 200 };

static void judge_is_right_on(const dipp_emoji_world *world, int side, int scenes, double noise)
{
    dipp_error error = {0};
    dipp_judge *judge = NULL;
    assert_int_equal(dipp_judge_create(world, side, &judge, &error), DIPP_OK);
    static float planes[3 * 64 * 64];
    static uint8_t rgb[3 * 64 * 64];
    int glyph = 0, background = 0, place = 0, size = 0, values = 3 * side * side;
    uint32_t state = 1;
    for (int i = 0; i < scenes; i++) {
        dipp_scene_attributes scene;
        dipp_emoji_scene_attributes(world, 77, (uint64_t)i, &scene);
        assert_int_equal(dipp_emoji_scene_draw(world, &scene, side, planes, &error), DIPP_OK);
        for (int k = 0; k < values; k++) {
            state = state * 1664525u + 1013904223u;
            planes[k] += (float)(noise * ((state >> 8) / 8388608.0 - 1));
        }
        dipp_image_from_planes(planes, side, rgb);
        dipp_verdict verdict, again;
        assert_int_equal(dipp_judge_bytes(judge, rgb, &verdict, &error), DIPP_OK);
        glyph += verdict.fit.glyph == scene.glyph;
        background += verdict.fit.background == scene.background;
        place += verdict.fit.place == scene.place;
        size += verdict.fit.size_class == scene.size_class;
        if (verdict.second != DIPP_NOT_NAMED)
            assert_true(verdict.second != verdict.fit.glyph && verdict.second_distance >= verdict.distance);
        if (i < 3) {
            assert_int_equal(dipp_judge_bytes(judge, rgb, &again, &error), DIPP_OK);
            assert_memory_equal(&again, &verdict, sizeof again);
        }
    }
    assert_true(glyph >= 0.95 * scenes);
    assert_true(background >= 0.98 * scenes);
    assert_true(place >= 0.95 * scenes);
    assert_true(size >= 0.95 * scenes);
    dipp_judge_destroy(&judge);
    assert_null(judge);
}

static void judge_names_real_scenes(void **state)
{
    judge_is_right_on(*state, 32, SCENES, 0);
}

static void judge_names_noisy_scenes(void **state)
{
    judge_is_right_on(*state, 32, 40, 0.4);
}

static void judge_names_larger_scenes(void **state)
{
    judge_is_right_on(*state, 64, 40, 0);
}

static void judge_finds_the_scene_again(void **state)
{
    const dipp_emoji_world *world = *state;
    dipp_judge *judge = NULL;
    assert_int_equal(dipp_judge_create(world, 32, &judge, NULL), DIPP_OK);
    static float planes[3 * 32 * 32];
    for (uint64_t i = 0; i < 30; i++) {
        dipp_scene_attributes scene;
        dipp_emoji_scene_attributes(world, 31, i, &scene);
        assert_int_equal(dipp_emoji_scene_draw(world, &scene, 32, planes, NULL), DIPP_OK);
        dipp_verdict verdict;
        assert_int_equal(dipp_judge_planes(judge, planes, &verdict, NULL), DIPP_OK);
        assert_true(verdict.distance < 0.05);
        assert_true(fabsf(verdict.fit.centre_x - scene.centre_x) < 0.02f &&
                    fabsf(verdict.fit.centre_y - scene.centre_y) < 0.02f);
        assert_true(fabsf(verdict.fit.size - scene.size) < 0.03f &&
                    fabsf(verdict.fit.rotation - scene.rotation) < 0.08f);
    }
    dipp_judge_destroy(&judge);
}

static void judge_survives_any_picture(void **state)
{
    const dipp_emoji_world *world = *state;
    dipp_judge *judge = NULL;
    assert_int_equal(dipp_judge_create(world, 32, &judge, NULL), DIPP_OK);
    static float planes[3 * 32 * 32];
    const float fills[] = {NAN, INFINITY, -INFINITY, 0, 1, -1};
    for (size_t k = 0; k < sizeof fills / sizeof *fills; k++) {
        for (int i = 0; i < 3 * 32 * 32; i++)
            planes[i] = i % 7 ? fills[k] : 0.3f;
        dipp_verdict verdict;
        assert_int_equal(dipp_judge_planes(judge, planes, &verdict, NULL), DIPP_OK);
        assert_in_range(verdict.fit.glyph, 0, dipp_emoji_world_glyph_count(world) - 1);
        assert_true(isfinite(verdict.distance));
    }
    dipp_judge_destroy(&judge);
}

static void judge_refuses_bad_sides_and_no_memory(void **state)
{
    const dipp_emoji_world *world = *state;
    dipp_error error = {0};
    dipp_judge *judge = NULL;
    assert_int_equal(dipp_judge_create(world, 12, &judge, &error), DIPP_E_INVALID);
    assert_int_equal(dipp_judge_create(world, 30, &judge, &error), DIPP_E_INVALID);
    assert_int_equal(dipp_judge_create(world, 256, &judge, &error), DIPP_E_INVALID);
    assert_non_null(strstr(error.message, "side 256"));
    for (uint64_t nth = 1; nth <= 2; nth++) {
        dipp_memory_fail_nth(nth, false);
        assert_int_equal(dipp_judge_create(world, 32, &judge, &error), DIPP_E_MEMORY);
        dipp_memory_fail_nth(0, false);
    }
    assert_null(judge);
}

static void named_backgrounds_are_nearest_to_themselves(void **state)
{
    (void)state;
    for (int b = 0; b < DIPP_BACKGROUND_COUNT; b++) {
        float rgb[3];
        for (int c = 0; c < 3; c++)
            rgb[c] = dipp_backgrounds[b].rgb[c] / 255.0f + (c == 1 ? 0.06f : -0.06f);
        assert_int_equal(dipp_nearest_background(rgb), b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(judge_names_real_scenes),
        cmocka_unit_test(judge_names_noisy_scenes),
        cmocka_unit_test(judge_names_larger_scenes),
        cmocka_unit_test(judge_finds_the_scene_again),
        cmocka_unit_test(judge_survives_any_picture),
        cmocka_unit_test(judge_refuses_bad_sides_and_no_memory),
        cmocka_unit_test(named_backgrounds_are_nearest_to_themselves),
    };
    return cmocka_run_group_tests(tests, build_world, destroy_world);
}
