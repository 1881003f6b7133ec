#include "world_fixture.h"

#include "base/memory.h"
#include "data/prompts.h"

#include <math.h>
#include <unistd.h>

static void captions_speak_the_vocabulary(void **state)
{
    const dipp_emoji_world *world = *state;
    dipp_error error = {0};
    dipp_word_vocabulary *vocabulary = NULL;
    assert_int_equal(dipp_emoji_vocabulary(world, DIPP_WORD_ENTRIES_MAX, &vocabulary, &error), DIPP_OK);
    assert_in_range(dipp_word_vocabulary_size(vocabulary), 100, 600);
    int mentions[DIPP_BACKGROUND_COUNT + 1] = {0}, nameless = 0, named = 0;
    for (uint64_t i = 0; i < 5000; i++) {
        dipp_scene_attributes scene;
        char caption[DIPP_CAPTION_BYTES];
        dipp_emoji_scene_attributes(world, 1, i, &scene);
        assert_int_equal(dipp_emoji_scene_caption(world, 1, i, &scene, caption, sizeof caption, &error), DIPP_OK);
        int32_t ids[DIPP_WORD_TOKENS];
        int words = dipp_word_vocabulary_tokenize(vocabulary, caption, DIPP_WORD_TOKENS, ids);
        assert_in_range(words, 1, DIPP_WORD_TOKENS);
        for (int k = 0; k < DIPP_WORD_TOKENS; k++)
            assert_true(k < words ? ids[k] > DIPP_WORD_UNKNOWN : ids[k] == DIPP_WORD_PAD);
        /* A colour in the caption is the background's. */
        char *on = strstr(caption, " on a");
        if (on) {
            assert_non_null(strstr(on, dipp_backgrounds[scene.background].name));
            assert_non_null(strstr(on, " background"));
            mentions[scene.background]++;
        } else {
            mentions[DIPP_BACKGROUND_COUNT]++;
        }
        char *comma = strchr(caption, ',');
        if (comma)
            assert_string_equal(comma + 2, dipp_place_words[scene.place]);
        nameless += strstr(caption, "picture") != NULL;
        named += strstr(caption, dipp_emoji_world_glyph(world, scene.glyph)->name) != NULL;
    }
    assert_in_range(mentions[DIPP_BACKGROUND_COUNT], 2300, 2700);
    assert_in_range(nameless, 600, 900); /* 15 % */
    assert_in_range(named, 2900, 3600);  /* 85 % * 75 %, and where a keyword contains the name */
    dipp_word_vocabulary_destroy(&vocabulary);
    assert_int_equal(dipp_emoji_vocabulary(world, 50, &vocabulary, &error), DIPP_E_INVALID);
}

static void phrases_read_as_english(void **state)
{
    (void)state;
    char text[DIPP_CAPTION_BYTES];
    assert_int_equal(dipp_scene_phrase("red apple", 7, 2, 1, text, sizeof text, NULL), DIPP_OK);
    assert_string_equal(text, "a large red apple on a blue background, left");
    assert_int_equal(dipp_scene_phrase("avocado", 4, DIPP_NOT_NAMED, DIPP_NOT_NAMED, text, sizeof text, NULL), DIPP_OK);
    assert_string_equal(text, "an avocado on an orange background");
    assert_int_equal(dipp_scene_phrase("cherries", DIPP_NOT_NAMED, 0, 0, text, sizeof text, NULL), DIPP_OK);
    assert_string_equal(text, "small cherries, center");
    assert_int_equal(
        dipp_scene_phrase("unicorn", DIPP_NOT_NAMED, DIPP_NOT_NAMED, DIPP_NOT_NAMED, text, sizeof text, NULL), DIPP_OK);
    assert_string_equal(text, "a unicorn");
    assert_int_equal(dipp_scene_phrase(NULL, 0, DIPP_NOT_NAMED, 3, text, sizeof text, NULL), DIPP_OK);
    assert_string_equal(text, "a picture on a white background, top");
    dipp_error error = {0};
    assert_int_equal(dipp_scene_phrase(NULL, 10, 0, 0, text, sizeof text, &error), DIPP_E_INVALID);
}

static void check_split(const dipp_emoji_world *world, dipp_prompt_split split)
{
    dipp_prompt_set set = {0}, again = {0}, other = {0};
    dipp_error error = {0};
    assert_int_equal(dipp_emoji_prompts(world, split, 200, 4, &set, &error), DIPP_OK);
    assert_int_equal(dipp_emoji_prompts(world, split, 120, 4, &again, &error), DIPP_OK);
    assert_int_equal(dipp_emoji_prompts(world, split, 120, 5, &other, &error), DIPP_OK);
    assert_int_equal(set.count, 200);
    int moved = 0;
    for (int i = 0; i < 200; i++) {
        const dipp_prompt_line *prompt = &set.prompts[i];
        assert_int_equal(dipp_emoji_pair_held_out(world, prompt->glyph, prompt->background), split == DIPP_SPLIT_EVAL);
        char expected[DIPP_CAPTION_BYTES];
        assert_int_equal(dipp_scene_phrase(dipp_emoji_world_glyph(world, prompt->glyph)->name, prompt->background,
                                           prompt->size_class, prompt->place, expected, sizeof expected, NULL),
                         DIPP_OK);
        assert_string_equal(prompt->text, expected);
        for (int k = 0; k < i; k++)
            assert_string_not_equal(prompt->text, set.prompts[k].text);
        if (i < 120) {
            assert_string_equal(prompt->text, again.prompts[i].text);
            moved += strcmp(prompt->text, other.prompts[i].text) != 0;
        }
    }
    assert_true(moved > 60);
    assert_int_equal(set.prompts[0].size_class, DIPP_NOT_NAMED);
    dipp_prompt_set_clear(&set);
    dipp_prompt_set_clear(&again);
    dipp_prompt_set_clear(&other);
    assert_int_equal(dipp_emoji_prompts(world, split, 1000000, 4, &set, &error), DIPP_E_INVALID);
    assert_non_null(strstr(error.message, "expected 1 to"));
    dipp_memory_fail_nth(20, false);
    assert_int_equal(dipp_emoji_prompts(world, split, 200, 4, &set, &error), DIPP_E_MEMORY);
    dipp_memory_fail_nth(0, false);
    assert_null(set.prompts);
}

static void prompt_sets_keep_to_their_split(void **state)
{
    check_split(*state, DIPP_SPLIT_TRAIN);
    check_split(*state, DIPP_SPLIT_EVAL);
}

/* A prompt's scene shows what it names, differs by index and seed, and repeats. */
static void scenes_show_what_prompts_name(void **state)
{
    const dipp_emoji_world *world = *state;
    dipp_prompt_set set = {0};
    dipp_error error = {0};
    int moved = 0;
    assert_int_equal(dipp_emoji_prompts(world, DIPP_SPLIT_EVAL, 200, 4, &set, &error), DIPP_OK);
    for (int i = 0; i < set.count; i++) {
        const dipp_prompt_line *prompt = &set.prompts[i];
        dipp_scene_attributes scene, again, other;
        uint64_t index = (uint64_t)i;
        assert_int_equal(dipp_emoji_prompt_scene(world, prompt, 3, index, &scene, &error), DIPP_OK);
        assert_int_equal(dipp_emoji_prompt_scene(world, prompt, 3, index, &again, &error), DIPP_OK);
        assert_int_equal(dipp_emoji_prompt_scene(world, prompt, 3, index + 1000, &other, &error), DIPP_OK);
        assert_memory_equal(&scene, &again, sizeof scene);
        moved += scene.centre_x != other.centre_x;
        assert_int_equal(scene.glyph, prompt->glyph);
        assert_int_equal(scene.background, prompt->background);
        double jitter = dipp_emoji_world_options_of(world)->background_jitter;
        for (int k = 0; k < 3; k++)
            assert_true(fabs(scene.background_rgb[k] - dipp_backgrounds[scene.background].rgb[k] / 255.0) <=
                        jitter + 1e-6);
        if (prompt->size_class != DIPP_NOT_NAMED)
            assert_int_equal(dipp_scene_size_class_of(world, scene.size), prompt->size_class);
        if (prompt->place != DIPP_NOT_NAMED)
            assert_int_equal(dipp_scene_place_of(scene.centre_x, scene.centre_y), prompt->place);
    }
    assert_true(moved > 190);
    dipp_prompt_set_clear(&set);

    /* Of a prompt that names nothing it is the training scene of that number. */
    char words[] = "a picture";
    dipp_prompt_line nothing = {words, DIPP_NOT_NAMED, DIPP_NOT_NAMED, DIPP_NOT_NAMED, DIPP_NOT_NAMED};
    dipp_scene_attributes drawn, training;
    assert_int_equal(dipp_emoji_prompt_scene(world, &nothing, 3, 17, &drawn, &error), DIPP_OK);
    dipp_emoji_scene_attributes(world, 3, 17, &training);
    assert_memory_equal(&drawn, &training, sizeof drawn);
    nothing.place = DIPP_PLACE_COUNT; /* no such place */
    assert_int_equal(dipp_emoji_prompt_scene(world, &nothing, 3, 17, &drawn, &error), DIPP_E_INVALID);
    assert_non_null(strstr(error.message, "a picture"));
}

static dipp_status read_text(const char *bytes, size_t size, dipp_prompt_set *set, dipp_error *error)
{
    char path[] = "/tmp/dipp-prompts-XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0 && write(file, bytes, size) == (ssize_t)size);
    close(file);
    dipp_status status = dipp_prompts_read(path, set, error);
    unlink(path);
    return status;
}

static void prompt_files_are_lines(void **state)
{
    (void)state;
    dipp_prompt_set set = {0};
    dipp_error error = {0};
    const char good[] = "a cat\r\n\n  two words  \n# caf\xc3\xa9";
    assert_int_equal(read_text(good, sizeof good - 1, &set, &error), DIPP_OK);
    assert_int_equal(set.count, 3);
    assert_string_equal(set.prompts[0].text, "a cat");
    assert_string_equal(set.prompts[1].text, "two words");
    assert_string_equal(set.prompts[2].text, "# caf\xc3\xa9");
    assert_int_equal(set.prompts[2].glyph, DIPP_NOT_NAMED);
    dipp_prompt_set_clear(&set);
    assert_int_equal(read_text("ok\nbad \xff\xfe\n", 10, &set, &error), DIPP_E_FORMAT);
    assert_non_null(strstr(error.message, ":2: not UTF-8"));
    assert_int_equal(read_text("\n \n", 3, &set, &error), DIPP_E_FORMAT);
    char *line = malloc(5000);
    memset(line, 'x', 5000);
    assert_int_equal(read_text(line, 5000, &set, &error), DIPP_E_FORMAT);
    free(line);
    assert_int_equal(dipp_prompts_read("/nonexistent/prompts", &set, &error), DIPP_E_NOT_FOUND);
    assert_null(set.prompts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(captions_speak_the_vocabulary),   cmocka_unit_test(phrases_read_as_english),
        cmocka_unit_test(prompt_sets_keep_to_their_split), cmocka_unit_test(scenes_show_what_prompts_name),
        cmocka_unit_test(prompt_files_are_lines),
    };
    return cmocka_run_group_tests(tests, build_world, destroy_world);
}
