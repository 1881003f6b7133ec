/* Pictures of a run with their gold become a preference dataset, twice the same, and only what belongs together. */
#include "cli_fixture.h"

#include "base/file.h"
#include "base/memory.h"
#include "data/image.h"

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#define TINY "size: 16, hidden: 32, layers: 1, heads: 2"

/* Two arms of an untrained network: every picture is a blot of its own, which the judge finds more or less like something. */
static const char yaml[] =
    "name: blots\n"
    "device: cpu\nprecision: f32\nthreads: 1\n"
    "reference: {plugin: dit, steps: 2, params: {" TINY "}}\n"
    "generator: {plugin: dit, params: {" TINY ", sigma_init: 2.5}}\n"
    "prompts: {set: emoji}\n"
    "align: {steps: 1, batch: 2, cfg_omega: 1.0}\n"
    "evaluate: {prompts: {set: emoji, split: train, count: 20}, samples: 2, metrics: [glyph, background, gold], "
    "pictures: 20, grid_samples: 2}\n"
    "arms: {one: {evaluate: {noise_seed: 1}}, two: {evaluate: {noise_seed: 2}}}\n";

static json_t *read_lines(const char *path)
{
    char *text = NULL, *rest = NULL;
    json_t *lines = json_array();
    assert_int_equal(dipp_file_read(path, 1 << 24, &text, NULL, NULL), DIPP_OK);
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        json_t *row = json_loads(line, 0, NULL);
        assert_non_null(row);
        json_array_append_new(lines, row);
    }
    dipp_release(text);
    return lines;
}

static const char *text_of(const json_t *row, const char *key, size_t index)
{
    return json_string_value(json_array_get(json_object_get(row, key), index));
}

/* Every line of a file is sound by itself; returns their number. */
static size_t check_file(const char *path, double *captions)
{
    json_t *lines = read_lines(path);
    size_t count = json_array_size(lines);
    for (size_t i = 0; i < count; i++) {
        const json_t *row = json_array_get(lines, i);
        bool caption = !strcmp(json_string_value(json_object_get(row, "kind")), "caption");
        json_int_t first = json_integer_value(json_array_get(json_object_get(row, "labels"), 0)),
                   second = json_integer_value(json_array_get(json_object_get(row, "labels"), 1));
        assert_true(first + second == 1 && first * second == 0);
        double p = json_number_value(json_object_get(row, "probability")),
               a = json_number_value(json_array_get(json_object_get(row, "utility"), 0)),
               b = json_number_value(json_array_get(json_object_get(row, "utility"), 1));
        assert_true((a > b ? p >= 0.5 : p <= 0.5) && p >= 0 && p <= 1 && a >= 0 && a <= 1 && b >= 0 && b <= 1);
        assert_int_equal(json_array_size(json_object_get(row, "images")), caption ? 1 : 2);
        const char *own = json_string_value(json_object_get(row, "prompt"));
        assert_int_equal(json_object_get(row, "prompts") != NULL, caption);
        if (caption)
            assert_true((strcmp(text_of(row, "prompts", 0), own) == 0) !=
                        (strcmp(text_of(row, "prompts", 1), own) == 0));
        for (size_t side = 0; side < (caption ? 1 : 2); side++) {
            char picture[512];
            dipp_image image = {0};
            snprintf(picture, sizeof picture, "set/%s", text_of(row, "images", side));
            assert_int_equal(dipp_image_read(picture, &image, NULL), DIPP_OK);
            assert_int_equal(image.width, 16);
            dipp_image_clear(&image);
        }
        *captions += caption;
    }
    json_decref(lines);
    return count;
}

static void test_dataset(void **state)
{
    write_file("e.yaml", yaml);
    assert_int_equal(dipp("run e.yaml --db e.db --quiet"), 0);
    assert_int_equal(ask("e.db",
                         "SELECT count(*) FROM evaluations JOIN metric_names USING(metric_id) WHERE name='gold' "
                         "AND artifact_id IS NOT NULL AND value BETWEEN 0 AND 1"),
                     2 * 3 * 40);
    assert_int_equal(dipp("pairs blots --db e.db --out set --pairs 200 --parts reward,judge --captions 0.2 --seed 5"),
                     0);
    assert_true(output_has("pictures of 20 prompts, temperature"));
    double captions = 0;
    size_t pairs = 0;
    static const char *const files[] = {"set/reward-train.jsonl",    "set/judge-train.jsonl",
                                        "set/reward-validate.jsonl", "set/judge-validate.jsonl",
                                        "set/reward-test.jsonl",     "set/judge-test.jsonl"};
    uint64_t digests[6];
    for (int i = 0; i < 6; i++) {
        size_t found = check_file(files[i], &captions);
        assert_in_range(found, i < 2 ? 130 : 15, i < 2 ? 180 : 25);
        pairs += found;
        digests[i] = digest_file(files[i]);
    }
    assert_in_range(pairs, 370, 400);
    assert_true(captions / (double)pairs > 0.15 && captions / (double)pairs <= 0.2);
    /* The same again; and another by another seed. */
    uint64_t about = digest_file("set/about.json");
    assert_int_equal(
        dipp("pairs one:0 two:0 --db e.db --out set --pairs 200 --parts reward,judge --captions 0.2 --seed 5"), 0);
    for (int i = 0; i < 6; i++)
        assert_true(digest_file(files[i]) == digests[i]);
    assert_true(digest_file("set/about.json") == about);
    assert_int_equal(dipp("pairs blots --db e.db --out set --pairs 200 --parts reward,judge --captions 0.2 --seed 6"),
                     0);
    assert_true(digest_file(files[0]) != digests[0]);
}

static void test_refusals(void **state)
{
    write_file("e.yaml", yaml);
    assert_int_equal(dipp("run e.yaml evaluate.pictures=0 evaluate.prompts.count=4 --db none.db --quiet"), 0);
    assert_int_equal(dipp("pairs blots --db none.db --out set"), 3);
    assert_true(output_has("kept no picture with a gold score"));
    assert_int_equal(dipp("pairs blots --db none.db"), 2);
    assert_int_equal(dipp("pairs blots --db none.db --out set --captions 0.3"), 2);
    assert_int_equal(dipp("pairs blots --db none.db --out set --bayes much"), 2);
    assert_int_equal(dipp("pairs blots --db none.db --out set --parts a,a"), 2);
    assert_int_equal(dipp("pairs nothing --db none.db --out set"), 3);
    /* Pictures of two worlds in one set */
    assert_int_equal(dipp("run e.yaml name=mixed evaluate.prompts.count=8 --db e.db --quiet"), 0);
    assert_int_equal(dipp("run e.yaml name=other evaluate.prompts.count=8 world.glyphs=16 --db e.db "
                          "--quiet"),
                     0);
    assert_int_equal(dipp("pairs mixed other --db e.db --out set"), 3);
    assert_true(output_has("another world"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_dataset, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(test_refusals, cli_setup, cli_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
