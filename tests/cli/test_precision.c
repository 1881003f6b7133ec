/* Fewer bits on the networks that people train: training stays beside that in f32, and the memory that dipp plan says is the
 * memory that a run takes. */
#include "cli_fixture.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char small[] =
    "name: small\n"
    "device: cpu\n"
    "threads: 1\n"
    "stage: pretrain\n"
    "world: {glyphs: 8}\n"
    "prompts: {set: emoji}\n"
    "reference:\n"
    "  plugin: dit\n"
    "  steps: 2\n"
    "  params: {hidden: 64, layers: 2, heads: 4, text_hidden: 64, text_heads: 4, vocabulary: words.txt}\n"
    "pretrain: {steps: 50, batch: 8, log_every: 1, optimizer: {lr: 1.0e-3}}\n"
    "evaluate: {every: 50, prompts: {set: emoji, split: eval, count: 2}, samples: 1, metrics: [border]}\n"
    "arms:\n"
    "  f32: {}\n"
    "  8bit: {pretrain.optimizer.state: 8bit}\n"
    "  bf16: {pretrain.optimizer.state: bf16}\n"
    "  bf16-weights: {pretrain.optimizer.weights: bf16}\n"
    "  least: {pretrain.optimizer.weights: bf16, pretrain.optimizer.state: 8bit}\n"
    "baseline: f32\n";

static void copy_vocabulary(void)
{
    char path[1024], text[1 << 16];
    snprintf(path, sizeof path, "%s/weights/emoji-vocabulary.txt", getenv("DIPP_SOURCE"));
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t bytes = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    assert_in_range(bytes, 1, sizeof text - 2);
    text[bytes] = 0;
    write_file("words.txt", text);
}

/* The largest relative difference of an arm's loss from that in f32 at the same step, in millionths. */
static int64_t largest_difference(const char *arm)
{
    char sql[1024];
    snprintf(sql, sizeof sql,
             "SELECT CAST(1e6 * max(abs(a.value - b.value) / b.value) AS INTEGER) FROM metrics a JOIN metrics b "
             "USING(metric_id, step) JOIN metric_names n USING(metric_id) JOIN runs r ON r.run_id=a.run_id "
             "JOIN runs s ON s.run_id=b.run_id WHERE n.name='train/loss' AND r.arm='%s' AND s.arm='f32'",
             arm);
    return ask("results/dipp.db", sql);
}

/* 50 updates of a small DiT on equal scenes and noise. The band is 0.5 % of the loss at every step, while the loss falls by
 * a third; the arms do differ. */
static void training_stays_beside_that_in_f32(void **state)
{
    (void)state;
    static const char *const arms[] = {"8bit", "bf16", "bf16-weights", "least"};
    copy_vocabulary();
    write_file("small.yaml", small);
    assert_int_equal(dipp("run small.yaml --quiet"), 0);
    for (size_t i = 0; i < sizeof arms / sizeof *arms; i++)
        assert_in_range(largest_difference(arms[i]), 1, 5000);
    const char fall[] = "SELECT CAST(1e3 * b.value / a.value AS INTEGER) FROM metrics a JOIN metrics b USING(run_id, "
                        "metric_id) JOIN metric_names n USING(metric_id) JOIN runs r USING(run_id) WHERE "
                        "n.name='train/loss' AND r.arm='f32' AND a.step=1 AND b.step=50";
    assert_in_range(ask("results/dipp.db", fall), 400, 800);
}

static const char align[] = "name: align\n"
                            "device: cpu\n"
                            "threads: 1\n"
                            "world: {glyphs: 8}\n"
                            "prompts: {set: emoji}\n"
                            "reference: {plugin: dit, steps: 2, params: {hidden: 256, layers: 5, heads: 4}}\n"
                            "generator: {plugin: dit, params: {hidden: 256, layers: 5, heads: 4, sigma_init: 2.5}}\n"
                            "align: {steps: 2, batch: 4, checkpoint_every: 1, ta: {updates: 1}, ema: {decay: 0.9}}\n"
                            "rewards: [{plugin: border, scale: 1.0}]\n"
                            "evaluate: {every: 2, prompts: {set: emoji, split: eval, count: 4}, samples: 1, batch: 4, "
                            "metrics: [border, glyph]}\n";

static const char pretrain[] = "name: pretrain\n"
                               "device: cpu\n"
                               "threads: 1\n"
                               "stage: pretrain\n"
                               "world: {glyphs: 8}\n"
                               "prompts: {set: emoji}\n"
                               "reference: {plugin: dit, steps: 2, params: {hidden: 384, layers: 6, heads: 4}}\n"
                               "pretrain: {steps: 2, batch: 4, checkpoint_every: 1, ema: {decay: 0.9}}\n"
                               "evaluate: {every: 2, prompts: {set: emoji, split: eval, count: 4}, samples: 1, batch: "
                               "4, metrics: [border, glyph]}\n";

/* The number before " MiB" after the last occurrence of a text, in the output of the last call. */
static double mebibytes_after(const char *text)
{
    const char *at = NULL, *out = output("dipp");
    for (const char *next = out; (next = strstr(next, text)); next++)
        at = next;
    if (!at)
        fail_msg("\"%s\" is not in: %s", text, out);
    double value = 0;
    assert_int_equal(sscanf(at + strlen(text), " %lf", &value), 1);
    return value;
}

/* Plans and runs; returns the measured most above the start. */
static double planned_and_measured(const char *arguments, double *planned)
{
    char command[256];
    snprintf(command, sizeof command, "plan %s", arguments);
    assert_int_equal(dipp(command), 0);
    *planned = mebibytes_after("total");
    snprintf(command, sizeof command, "run %s", arguments);
    assert_int_equal(dipp(command), 0);
    const char *tail = strstr(output("dipp"), "memory at most");
    assert_non_null(tail);
    double most = 0, above = 0;
    assert_int_equal(sscanf(tail, "memory at most %lf MiB, %lf above", &most, &above), 2);
    print_message("%s: planned %.1f MiB, measured %.1f MiB above the start\n", arguments, *planned, above);
    return above;
}

/* The whole run: training, evaluation, checkpoints and the result's weights. */
static void the_plan_is_what_a_run_takes(void **state)
{
    (void)state;
#if defined(__SANITIZE_ADDRESS__)
    print_message("skipped: the sanitizer's own memory is not planned\n");
    skip();
#endif
    unsetenv("MALLOC_PERTURB_"); /* by which every byte asked for is touched */
    static const char *const runs[] = {"align.yaml", "pretrain.yaml", "pretrain.yaml pretrain.optimizer.state=8bit"};
    double planned[3], measured[3];
    write_file("align.yaml", align);
    write_file("pretrain.yaml", pretrain);
    for (int i = 0; i < 3; i++) {
        measured[i] = planned_and_measured(runs[i], &planned[i]);
        assert_true(planned[i] > 200);
        if (!(fabs(measured[i] - planned[i]) <= 0.05 * measured[i]))
            fail_msg("%s: planned %.1f MiB, measured %.1f", runs[i], planned[i], measured[i]);
    }
    /* 11823024 parameters: two moments of 4 bytes become two of 1 byte and a scale for 256 */
    double saved = 11823024 * 2.0 * (4 - 1 - 4.0 / 256) / 1048576;
    assert_true(fabs(planned[1] - planned[2] - saved) < 0.05 * saved);
    assert_true(fabs(measured[1] - measured[2] - saved) < 0.10 * saved);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(training_stays_beside_that_in_f32, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(the_plan_is_what_a_run_takes, cli_setup, cli_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
