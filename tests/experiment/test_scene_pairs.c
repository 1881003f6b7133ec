/* Scenes as pairs: one picture, a caption that is right, and the same caption with one thing wrong. */
#include "experiment/run_scene_pairs.h"

#include "base/memory.h"
#include "data/scene.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

enum { SIDE = 16, FLOATS = 3 * SIDE * SIDE, COUNT = 300, HALF = COUNT / 2 };

static int setup(void **state)
{
    dipp_error error = {0};
    dipp_emoji_world_options options;
    dipp_emoji_world *world = NULL;
    dipp_emoji_world_options_default(&options);
    if (dipp_emoji_world_create(&options, &world, &error)) {
        print_error("%s\n", error.message);
        return -1;
    }
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    dipp_emoji_world *world = *state;
    dipp_emoji_world_destroy(&world);
    return 0;
}

static bool begins(const char *text, const char *with)
{
    return !strncmp(text, with, strlen(with));
}

/* What a caption says of background, place and size: indices, or DIPP_NOT_NAMED. */
typedef struct said {
    char glyph[DIPP_CAPTION_BYTES];
    int background, place, size;
} said;

static said read_caption(const char *caption)
{
    said s = {.background = DIPP_NOT_NAMED, .place = DIPP_NOT_NAMED, .size = DIPP_NOT_NAMED};
    const char *on = strstr(caption, " on a"), *comma = strchr(caption, ','), *from = caption;
    from += begins(from, "a ") ? 2 : begins(from, "an ") ? 3 : 0;
    for (int i = 0; i < DIPP_SIZE_CLASS_COUNT; i++)
        if (begins(from, dipp_size_words[i]) && from[strlen(dipp_size_words[i])] == ' ') {
            s.size = i;
            from += strlen(dipp_size_words[i]) + 1;
            break;
        }
    for (int i = 0; on && i < DIPP_BACKGROUND_COUNT; i++)
        s.background = strstr(on, dipp_backgrounds[i].name) ? i : s.background;
    for (int i = 0; comma && i < DIPP_PLACE_COUNT; i++)
        s.place = !strcmp(comma + 2, dipp_place_words[i]) ? i : s.place;
    size_t bytes = on ? (size_t)(on - from) : comma ? (size_t)(comma - from) : strlen(from);
    memcpy(s.glyph, from, bytes);
    return s;
}

static void one_thing_is_wrong(void **state)
{
    const dipp_emoji_world *world = *state;
    static float samples[2 * COUNT * FLOATS];
    const char *prompts[2 * COUNT];
    double labels[COUNT], weights[COUNT];
    int wrong[4] = {0}; /* glyph, background, place, size */
    dipp_scene_pairs *pairs = NULL;
    assert_int_equal(dipp_scene_pairs_create(world, SIDE, &pairs, NULL), DIPP_OK);
    dipp_pair_source source = dipp_scene_pairs_of(pairs);
    assert_true(source.captions_differ);
    assert_int_equal(source.label(source.context, 5, 9, COUNT, labels, weights, NULL), DIPP_OK);
    assert_int_equal(source.draw(source.context, 5, 9, 0, COUNT, samples, prompts, NULL), DIPP_OK);
    for (uint32_t i = 0; i < COUNT; i++) {
        dipp_scene_attributes scene;
        float picture[FLOATS];
        dipp_emoji_scene_attributes(world, 5, (uint64_t)9 << 32 | i, &scene);
        assert_int_equal(dipp_emoji_scene_draw(world, &scene, SIDE, picture, NULL), DIPP_OK);
        for (int k = 0; k < FLOATS; k++)
            picture[k] = 0.5f * picture[k] + 0.5f;
        assert_memory_equal(samples + i * FLOATS, picture, sizeof picture);
        assert_memory_equal(samples + (COUNT + i) * FLOATS, picture, sizeof picture);
        assert_true(labels[i] == 1 && weights[i] == 1);
        said right = read_caption(prompts[i]), other = read_caption(prompts[COUNT + i]);
        assert_string_equal(right.glyph, dipp_emoji_world_glyph(world, scene.glyph)->name);
        assert_true(right.background == DIPP_NOT_NAMED || right.background == scene.background);
        assert_true(right.place == DIPP_NOT_NAMED || right.place == scene.place);
        assert_true(right.size == DIPP_NOT_NAMED || right.size == scene.size_class);
        const bool differs[] = {strcmp(right.glyph, other.glyph) != 0, right.background != other.background,
                                right.place != other.place, right.size != other.size};
        int differences = 0;
        for (int k = 0; k < 4; k++) {
            differences += differs[k];
            wrong[k] += differs[k];
        }
        if (differences != 1)
            fail_msg("\"%s\" and \"%s\" differ in %d things", prompts[i], prompts[COUNT + i], differences);
        assert_true(dipp_emoji_world_find(world, other.glyph) != DIPP_NOT_NAMED);
    }
    assert_in_range(wrong[0], 150, 240); /* half, and where what was to be wrong is not named */
    assert_in_range(wrong[1], 45, 90);
    assert_in_range(wrong[2], 5, 30);
    assert_in_range(wrong[3], 3, 25);
    dipp_scene_pairs_destroy(&pairs);
    assert_null(pairs);
}

/* A batch in two halves is the same batch, and another step another. */
static void pairs_are_a_function_of_their_number(void **state)
{
    static float whole[2 * COUNT * FLOATS], half[2 * HALF * FLOATS];
    const char *prompts[2 * COUNT], *others[2 * HALF];
    dipp_scene_pairs *pairs = NULL, *again = NULL;
    assert_int_equal(dipp_scene_pairs_create(*state, SIDE, &pairs, NULL), DIPP_OK);
    assert_int_equal(dipp_scene_pairs_create(*state, SIDE, &again, NULL), DIPP_OK);
    dipp_pair_source source = dipp_scene_pairs_of(pairs), second = dipp_scene_pairs_of(again);
    assert_int_equal(source.draw(source.context, 1, 2, 0, COUNT, whole, prompts, NULL), DIPP_OK);
    assert_int_equal(second.draw(second.context, 1, 2, HALF, HALF, half, others, NULL), DIPP_OK);
    assert_memory_equal(half, whole + HALF * FLOATS, HALF * FLOATS * sizeof *half);
    for (int i = 0; i < HALF; i++) {
        assert_string_equal(others[i], prompts[HALF + i]);
        assert_string_equal(others[HALF + i], prompts[COUNT + HALF + i]);
    }
    assert_int_equal(second.draw(second.context, 1, 3, HALF, HALF, half, others, NULL), DIPP_OK);
    assert_memory_not_equal(half, whole + HALF * FLOATS, HALF * FLOATS * sizeof *half);
    dipp_memory_fail_nth(1, false);
    dipp_scene_pairs *none = NULL;
    assert_int_equal(dipp_scene_pairs_create(*state, SIDE, &none, NULL), DIPP_E_MEMORY);
    dipp_memory_fail_nth(0, false);
    dipp_scene_pairs_destroy(&pairs);
    dipp_scene_pairs_destroy(&again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_thing_is_wrong),
        cmocka_unit_test(pairs_are_a_function_of_their_number),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
