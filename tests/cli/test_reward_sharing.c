/* Published rewards of one file through the program: one set in the plan, and the same run as from two files. */
#include "cli_fixture.h"
#include "weights/writer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PICTURES "network: own, joint: 6, size: 12, patch: 4, vision_width: 12, vision_layers: 3, vision_heads: 3"
#define HPS                                                        \
    "{plugin: hps, weights: clip.pt, params: {" PICTURES           \
    ", text_width: 8, text_layers: 2, text_heads: 2, length: 16, " \
    "vocabulary: " DIPP_FIXTURE_FOLDER "/tokenizers/bpe.txt.gz}}"
#define AESTHETIC \
    "{plugin: aesthetic, weights: clip.pt, head_weights: head.safetensors, params: {" PICTURES ", head: v1}}"

#define TINY                                                                                                       \
    "name: e\n"                                                                                                    \
    "device: reference\n"                                                                                          \
    "reference: {plugin: dit, params: {size: 8, patch: 4, hidden: 8, layers: 1, heads: 2, vocabulary: words.txt, " \
    "text_hidden: 8, text_layers: 0, text_heads: 2}}\n"                                                            \
    "generator: {plugin: dit, params: {size: 8, patch: 4, hidden: 8, layers: 1, heads: 2}}\n"                      \
    "prompts: {list: [a cat, a dog]}\n"                                                                            \
    "align: {steps: 3, batch: 2, log_every: 1, checkpoint_every: 2, ta: {updates: 1}}\n"

static const char experiment[] =
    TINY "rewards: [" AESTHETIC ", " HPS "]\n"
         "evaluate: {samples: 1, reference_row: false, scorers: [" AESTHETIC ", " HPS "]}\n";

static void write_head(const char *path, float first)
{
    const float numbers[6] = {first, -0.25F, 1, 0.75F, -0.5F, 0.125F};
    dipp_weights_writer *writer = NULL;
    dipp_error error = {0};
    if (dipp_weights_writer_create(path, &writer, &error) ||
        dipp_weights_writer_add_f32(writer, "weight", DIPP_WEIGHT_F32, 2, (uint64_t[]){1, 6}, numbers, &error) ||
        dipp_weights_writer_add_f32(writer, "bias", DIPP_WEIGHT_F32, 1, (uint64_t[]){1}, numbers, &error) ||
        dipp_weights_writer_commit(&writer, &error))
        fail_msg("%s", error.message);
}

static void prepare(void)
{
    write_head("head.safetensors", 0.5F);
    write_file("words.txt", "<pad>\n<unknown>\na\ncat\ndog\n");
    write_file("e.yaml", experiment);
    assert_int_equal(system("cp " DIPP_FIXTURE_FOLDER "/rewards/open_clip.pt clip.pt && cp clip.pt copy.pt && "
                            "ln -s clip.pt link.pt"),
                     0);
}

/* Work of an iteration in GFLOP as `dipp plan` says it. */
static double planned_work(void)
{
    const char *at = strstr(output(NULL), "useful work of an iteration: ");
    assert_non_null(at);
    return strtod(strchr(at, ':') + 1, NULL);
}

static void test_the_plan_knows_what_is_shared(void **state)
{
    (void)state;
    prepare();
    assert_int_equal(dipp("plan e.yaml rewards[1].weights=copy.pt"), 0);
    assert_false(output_has("aesthetic, hps"));
    double apart = planned_work();
    assert_int_equal(dipp("plan e.yaml rewards[1].weights=link.pt"), 0);
    assert_true(output_has("aesthetic, hps "));
    assert_true(output_has("texts of rewards, encoded once: 2 prompts, "));
    assert_true(output_has("text features of rewards"));
    double together = planned_work();
    assert_true(together < 0.75 * apart);
    /* One file, but towers that compute something else from their first block on. */
    assert_int_equal(dipp("plan e.yaml rewards[0].params.activation=quick_gelu"), 0);
    assert_true(output_has("aesthetic, hps "));
    assert_true(planned_work() > 1.2 * together);
    /* A second head stands in the way. */
    assert_int_equal(system("cp head.safetensors other.safetensors"), 0);
    assert_int_equal(dipp("plan e.yaml rewards[1].head_weights=other.safetensors"), 0);
    assert_false(output_has("aesthetic, hps"));
}

static void test_one_file_or_two_is_the_same_run(void **state)
{
    (void)state;
    prepare();
    if (dipp("run e.yaml --db one.db") != 0 || dipp("run e.yaml rewards[1].weights=copy.pt --db two.db") != 0)
        fail_msg("%s", output(NULL));
    static const char *const databases[] = {"one.db", "two.db"};
    for (int i = 0; i < 2; i++) {
        assert_string_equal(ask_text(databases[i], "SELECT group_concat(role, ' ') FROM (SELECT role FROM run_weights "
                                                   "ORDER BY role)"),
                            "reward[0] reward[0].head reward[1]");
        assert_int_equal(ask(databases[i], "SELECT count(DISTINCT sha256) FROM run_weights"), 2);
        assert_sound(databases[i]);
    }
    static const char *const metrics[] = {"train/reward.hps", "train/reward.aesthetic", "train/dx0_reward",
                                          "train/cos_divergence_reward", "train/grad_norm"};
    for (size_t m = 0; m < sizeof metrics / sizeof *metrics; m++)
        for (int step = 1; step <= 3; step++) {
            char sql[256];
            double values[2];
            snprintf(
                sql, sizeof sql,
                "SELECT printf('%%.17g', value) FROM metrics JOIN metric_names USING(metric_id) WHERE name='%s' AND "
                "step=%d",
                metrics[m], step);
            for (int i = 0; i < 2; i++) {
                const char *text = ask_text(databases[i], sql);
                if (!*text)
                    fail_msg("%s has no %s of step %d", databases[i], metrics[m], step);
                values[i] = strtod(text, NULL);
            }
            double difference = values[0] - values[1], size = values[0] < 0 ? -values[0] : values[0];
            if (!(difference < 1e-9 * (1 + size) && -difference < 1e-9 * (1 + size)))
                fail_msg("%s of step %d: %.17g from one file, %.17g from two", metrics[m], step, values[0], values[1]);
        }
    assert_int_equal(ask("one.db", "SELECT count(*) FROM evaluations WHERE value IS NOT NULL"), 8);
}

/* A judge that is the reward under other paths is no judge of it; one with another head is. */
static void test_the_monitor_knows_a_copy_of_the_reward(void **state)
{
    (void)state;
    static const char judge[] =
        "%s{plugin: aesthetic, name: %s, weights: copy.pt, head_weights: %s.safetensors, params: "
        "{" PICTURES ", head: v1}}";
    static const char points[] =
        "SELECT group_concat(name, ' ') FROM (SELECT DISTINCT name FROM metrics JOIN metric_names "
        "USING(metric_id) WHERE name LIKE 'monitor.%%.p' ORDER BY name)";
    char text[4096], scorers[1024], *at = scorers;
    prepare();
    write_head("other.safetensors", 0.25F);
    assert_int_equal(system("cp head.safetensors copied.safetensors"), 0);
    at += snprintf(at, 512, judge, "", "copied", "copied");
    snprintf(at, 512, judge, ", ", "other", "other");
    snprintf(text, sizeof text,
             TINY "rewards: [" AESTHETIC "]\n"
                  "evaluate: {samples: 1, reference_row: false, scorers: [%s]}\n"
                  "monitor: {every: 3, judges: [copied], samples: 2}\n",
             scorers);
    write_file("watched.yaml", text);
    assert_int_equal(dipp("run watched.yaml --db copied.db"), 0);
    assert_true(output_has("the monitor has no judge"));
    assert_string_equal(ask_text("copied.db", points), "monitor.reward.aesthetic.p");
    assert_int_equal(dipp("run watched.yaml --db both.db monitor.judges=[copied,other]"), 0);
    assert_false(output_has("the monitor has no judge"));
    assert_string_equal(ask_text("both.db", points), "monitor.other.p monitor.reward.aesthetic.p");
    /* The store's flag agrees. */
    assert_string_equal(ask_text("both.db",
                                 "SELECT group_concat(name, ' ') FROM (SELECT DISTINCT n.name FROM scores s JOIN "
                                 "metric_names n USING(metric_id) WHERE s.trained_on ORDER BY n.name)"),
                        "copied");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_plan_knows_what_is_shared, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(test_one_file_or_two_is_the_same_run, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(test_the_monitor_knows_a_copy_of_the_reward, cli_setup, cli_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
