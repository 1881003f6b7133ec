/* Rewards built on CLIP through the program: weights in two files, names of scores by their content, and what is said of files
 * that are missing. */
#include "cli_fixture.h"
#include "weights/writer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define PICTURES "network: own, joint: 6, size: 12, patch: 4, vision_width: 12, vision_layers: 3, vision_heads: 3"
#define CLIP     "weights: " DIPP_FIXTURE_FOLDER "/rewards/open_clip.pt"
#define HPS                                                                                                     \
    "{plugin: hps, " CLIP ", params: {" PICTURES ", text_width: 8, text_layers: 2, text_heads: 2, length: 16, " \
    "vocabulary: " DIPP_FIXTURE_FOLDER "/tokenizers/bpe.txt.gz}"
#define AESTHETIC(head_) \
    "{plugin: aesthetic, " CLIP ", head_weights: " head_ ", params: {" PICTURES ", head: v1, activation: quick_gelu}"

static const char start[] =
    "name: e\n"
    "device: reference\n"
    "reference: {plugin: dit, params: {size: 8, patch: 4, hidden: 8, layers: 1, heads: 2, vocabulary: words.txt, "
    "text_hidden: 8, text_layers: 0, text_heads: 2}}\n"
    "generator: {plugin: dit, params: {size: 8, patch: 4, hidden: 8, layers: 1, heads: 2}}\n"
    "prompts: {list: [a cat, a dog]}\n"
    "align: {steps: 2, batch: 2, checkpoint_every: 2, ta: {updates: 1}}\n"
    "evaluate: {samples: 1, reference_row: false, scorers: [%s}%s]}\n"
    "arms: {both: {rewards: [%s]}}\n";

/* An aesthetic head of version 1 with one number everywhere. */
static void write_head(const char *path, float value)
{
    const float numbers[7] = {value, value, value, value, value, value, value};
    dipp_weights_writer *writer = NULL;
    dipp_error error = {0};
    if (dipp_weights_writer_create(path, &writer, &error) ||
        dipp_weights_writer_add_f32(writer, "weight", DIPP_WEIGHT_F32, 2, (uint64_t[]){1, 6}, numbers, &error) ||
        dipp_weights_writer_add_f32(writer, "bias", DIPP_WEIGHT_F32, 1, (uint64_t[]){1}, numbers, &error) ||
        dipp_weights_writer_commit(&writer, &error))
        fail_msg("%s", error.message);
}

static void write_experiment(const char *first, const char *scorers, const char *rewards)
{
    char text[4096];
    write_file("words.txt", "<pad>\n<unknown>\na\ncat\ndog\n");
    snprintf(text, sizeof text, start, first, scorers, rewards);
    write_file("e.yaml", text);
}

static void test_scores_are_named_by_their_weights(void **state)
{
    (void)state;
    write_head("one.safetensors", 0.5F);
    write_head("two.safetensors", 0.25F);
    write_experiment(HPS, ", " AESTHETIC("one.safetensors") "}, " AESTHETIC("two.safetensors") "}",
                     HPS "}, " AESTHETIC("one.safetensors") "}");
    if (dipp("run e.yaml --db e.db") != 0)
        fail_msg("%s", output(NULL));
    /* The second head is half of the first, and the arm was not trained on it. */
    assert_int_equal(ask("e.db", "SELECT count(*) FROM evaluations a JOIN evaluations b USING(run_id, step, prompt_id, "
                                 "sample) JOIN metric_names m ON m.metric_id=a.metric_id JOIN metric_names n ON "
                                 "n.metric_id=b.metric_id WHERE m.name='aesthetic:one' AND n.name='aesthetic:two' AND "
                                 "abs(a.value-2*b.value)<1e-6 AND a.value<>0"),
                     4);
    assert_int_equal(ask("e.db", "SELECT count(*) FROM evaluations JOIN metric_names USING(metric_id) WHERE "
                                 "name='hps:open_clip'"),
                     4);
    assert_string_equal(ask_text("e.db",
                                 "SELECT group_concat(name, ' ') FROM (SELECT DISTINCT name FROM "
                                 "trained_metrics JOIN metric_names USING(metric_id) WHERE (metric_id, scorer_id) IN "
                                 "(SELECT metric_id, scorer_id FROM evaluations) ORDER BY name)"),
                        "aesthetic:one hps:open_clip");
    assert_int_equal(ask("e.db", "SELECT count(DISTINCT weights_sha256) FROM plugins WHERE kind='reward'"), 3);
    assert_string_equal(
        ask_text("e.db", "SELECT group_concat(role, ' ') FROM (SELECT role FROM run_weights ORDER BY role)"),
        "reward[0] reward[1] reward[1].head");
    /* Another head is another run. */
    write_head("one.safetensors", 0.75F);
    if (dipp("run e.yaml --db e.db") != 0)
        fail_msg("%s", output(NULL));
    assert_int_equal(ask("e.db", "SELECT count(*) FROM runs"), 2);
    assert_sound("e.db");
}

static void test_names_are_not_borrowed(void **state)
{
    (void)state;
    write_experiment(HPS ", name: hps21", "", "");
    assert_int_not_equal(dipp("run e.yaml --db e.db"), 0);
    assert_true(output_has("hps21 is the name of scores by published weights"));
    write_experiment(HPS ", name: people", "", "");
    assert_int_equal(dipp("run e.yaml --db f.db"), 0);
    assert_int_equal(ask("f.db", "SELECT count(*)>0 FROM set_metrics JOIN metric_names USING(metric_id) WHERE "
                                 "name='people'") +
                         ask("f.db", "SELECT count(*)>0 FROM evaluations JOIN metric_names USING(metric_id) WHERE "
                                     "name='people'"),
                     1);
    write_file("prompts.txt", "a cat\n");
    assert_int_not_equal(dipp("eval --images . --prompts prompts.txt -m aesthetic --db g.db"), 0);
    assert_true(output_has("metric aesthetic is nothing without weights"));
}

static void test_missing_files_are_named(void **state)
{
    (void)state;
    write_experiment(HPS, "",
                     "{plugin: hps, weights: none/HPS_v2.1_compressed.pt, params: {vocabulary: none.gz}}, "
                     "{plugin: aesthetic, weights: none/clip, head_weights: none/head.pth}");
    assert_int_equal(dipp("doctor e.yaml --db e.db"), 3);
    assert_true(output_has("rewards[0].weights: there is no none/HPS_v2.1_compressed.pt; published: xswu/HPSv2"));
    assert_true(output_has("rewards[0].params.vocabulary: there is no none.gz; published: xswu/HPSv2"));
    assert_true(output_has("rewards[1].head_weights: there is no none/head.pth; published: weights: openai/"));
    write_experiment(HPS, "", "{plugin: aesthetic, head_weights: words.txt, params: {" PICTURES "}}");
    assert_int_not_equal(dipp("run e.yaml --db e.db"), 0);
    assert_true(output_has("a second file stands beside a first"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_scores_are_named_by_their_weights, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(test_names_are_not_borrowed, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(test_missing_files_are_named, cli_setup, cli_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
