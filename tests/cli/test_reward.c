/* dipp reward: a small CLIP learns which of two pictures is redder, from files; its run, its result, and what it refuses. */
#include "cli_fixture.h"

#include "base/philox.h"
#include "data/image.h"

#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { SIDE = 16, PICTURES = 24 };

#define NETWORK                                                                                         \
    "network: own, size: 16, patch: 8, joint: 8, vision_width: 16, vision_layers: 1, vision_heads: 2, " \
    "text_width: 16, text_layers: 1, text_heads: 2, length: 16, vocabulary: " DIPP_FIXTURE_FOLDER       \
    "/tokenizers/vocab.json, merges: " DIPP_FIXTURE_FOLDER "/tokenizers/merges.txt"

/* A flat picture whose red says how good it is; number 0 is of another size. */
static double draw_picture(uint32_t number)
{
    dipp_error error = {0};
    dipp_image image = {0};
    char path[32];
    double red = dipp_philox_uniform_double(1, 2, 3, number, 0);
    int side = number ? SIDE : 2 * SIDE;
    assert_int_equal(dipp_image_create(side, side, 0, &image, &error), DIPP_OK);
    for (int i = 0; i < side * side; i++) {
        image.pixels[3 * i] = (uint8_t)(255 * red);
        image.pixels[3 * i + 1] = (uint8_t)(40 * dipp_philox_uniform_double(1, 2, 4, number, (uint32_t)i));
        image.pixels[3 * i + 2] = 90;
    }
    snprintf(path, sizeof path, "p%u.png", number);
    assert_int_equal(dipp_image_write_png(path, &image, &error), DIPP_OK);
    dipp_image_clear(&image);
    return red;
}

/* All pairs of the pictures but every fifth to learn from, those to validate with, of which an eighth is labelled wrong; two
 * kinds. */
static void write_pairs(void)
{
    double red[PICTURES];
    FILE *train = fopen("train.jsonl", "w"), *validate = fopen("validate.jsonl", "w");
    assert_true(train && validate);
    for (uint32_t i = 0; i < PICTURES; i++)
        red[i] = draw_picture(i);
    for (uint32_t i = 0, n = 0; i < PICTURES; i++)
        for (uint32_t j = i + 1; j < PICTURES; j++, n++) {
            bool better = red[i] > red[j], first = better != (n % 35 == 0); /* some who judged erred */
            fprintf(n % 5 ? train : validate,
                    "{\"prompt\": \"a red picture\", \"images\": [\"p%u.png\", \"p%u.png\"], \"labels\": [%d, %d], "
                    "\"kind\": "
                    "\"%s\", \"probability\": %g}\n",
                    i, j, first, !first, n % 2 ? "odd" : "even", better ? 0.9 : 0.1);
        }
    assert_int_equal(fclose(train), 0);
    assert_int_equal(fclose(validate), 0);
}

static void write_experiment(const char *name, int steps, const char *more)
{
    char text[4096];
    snprintf(text, sizeof text,
             "name: reward\n"
             "stage: reward\n"
             "device: cpu\n"
             "precision: f32\n"
             "threads: 1\n"
             "reward: {plugin: hps, params: {" NETWORK "}}\n"
             "preferences: {train: train.jsonl, validate: validate.jsonl, size: 16}\n"
             "learn: {steps: %d, batch: 16, logit_scale_max: 100, checkpoint_every: 5,\n"
             "  freeze: [\"text_model.encoder.layers.{0..3}.*\"],\n"
             "  optimizer: {lr: 0.01, warmup: 5, schedule: cosine}%s}\n",
             steps, more);
    write_file(name, text);
}

static double ask_number(const char *database, const char *sql)
{
    return atof(ask_text(database, sql));
}

static void a_reward_is_trained_exported_and_judged(void **state)
{
    write_pairs();
    write_experiment("r.yaml", 60, "");
    assert_int_equal(dipp("check r.yaml"), 0);
    assert_true(output_has("reward     60") && output_has("default: ok"));
    assert_int_equal(dipp("plan r.yaml"), 0);
    assert_true(output_has("pairs or pictures to learn from: 220, pairs to validate with: 56"));
    assert_int_equal(dipp("reward train r.yaml --db r.db"), 0);
    assert_true(output_has("step 0: accuracy") && output_has("step 60: even: accuracy"));
    assert_string_equal(ask_text("r.db", "SELECT stage||' '||status FROM runs"), "reward completed");
    assert_int_equal(
        ask("r.db", "SELECT count(*) FROM metrics JOIN metric_names USING(metric_id) WHERE name='train/loss'"), 60);
    double accuracy = ask_number("r.db", "SELECT value FROM metrics JOIN metric_names USING(metric_id) WHERE "
                                         "name='pairs/accuracy' AND step=60");
    assert_true(accuracy > 0.8);
    assert_int_equal(ask("r.db",
                         "SELECT count(*) FROM metrics JOIN metric_names USING(metric_id) WHERE name IN "
                         "('pairs/accuracy/odd','pairs/accuracy/even','pairs/calibration','pairs/bayes_share') AND "
                         "step=60"),
                     4);
    assert_int_equal(ask("r.db",
                         "SELECT count(*) FROM run_plugins JOIN plugins USING(plugin_id) WHERE role='reward' AND "
                         "name='hps'"),
                     1);
    /* hps alone is what the published weights measure. It is no reward that this run was trained on. */
    assert_string_equal(ask_text("r.db", "SELECT metric FROM run_plugins WHERE role='reward'"), "hps:reward");
    assert_string_equal(ask_text("r.db", "SELECT ifnull(trained_on,'none') FROM summary"), "none");
    assert_sound("r.db");

    /* The result is an ordinary file of weights, and scores as it did at the end. */
    char line[2048], expected[32];
    assert_int_equal(dipp("export @latest --db r.db --to out"), 0);
    assert_int_equal(access("out/model.safetensors", R_OK), 0);
    assert_int_equal(dipp("reward eval hps --weights out --pairs validate.jsonl reward.params.network=own"), 3);
    assert_true(output_has("`vocabulary` is missing"));
    snprintf(line, sizeof line,
             "reward eval hps --weights out --pairs validate.jsonl device=cpu precision=f32 preferences.size=16 "
             "reward.params.network=own reward.params.size=16 reward.params.patch=8 reward.params.joint=8 "
             "reward.params.vision_width=16 reward.params.vision_layers=1 reward.params.vision_heads=2 "
             "reward.params.text_width=16 reward.params.text_layers=1 reward.params.text_heads=2 "
             "reward.params.length=16 reward.params.vocabulary=%s reward.params.merges=%s",
             DIPP_FIXTURE_FOLDER "/tokenizers/vocab.json", DIPP_FIXTURE_FOLDER "/tokenizers/merges.txt");
    assert_int_equal(dipp(line), 0);
    snprintf(expected, sizeof expected, "all      56    %.4f", accuracy);
    assert_true(output_has(expected));
    assert_true(output_has("even ") && output_has("odd "));

    /* It draws no pictures. */
    assert_int_equal(dipp("sample @latest --db r.db --out s"), 3);
    assert_true(output_has("trained a reward"));
    assert_int_equal(dipp("eval 1 --db r.db"), 3);
    assert_true(output_has("trained a reward"));
}

/* A cell is what its pictures show, too. */
static void a_picture_that_changed_makes_another_cell(void **state)
{
    assert_int_equal(dipp("run -n r.yaml --db r.db"), 0);
    assert_true(output_has("0 to run, 1 done"));
    assert_int_equal(rename("p3.png", "kept.png"), 0);
    assert_int_equal(dipp("run -n r.yaml --db r.db"), 3);
    assert_true(output_has("preferences.train: ./p3.png"));
    assert_int_equal(link("p4.png", "p3.png"), 0);
    assert_int_equal(dipp("run -n r.yaml --db r.db"), 0);
    assert_true(output_has("1 to run, 0 done"));
    assert_int_equal(rename("kept.png", "p3.png"), 0);
    assert_int_equal(dipp("run -n r.yaml --db r.db"), 0);
    assert_true(output_has("0 to run, 1 done"));
}

static void interrupted_it_goes_on_to_the_same_bits(void **state)
{
    static const char rows[] =
        "SELECT n.name, m.step, m.value FROM metrics m JOIN metric_names n USING(metric_id) WHERE "
        "run_id=1 ORDER BY 1,2";
    write_experiment("long.yaml", 400, ", ema: {decay: 0.9}");
    assert_int_equal(dipp("reward train long.yaml --db whole.db evaluate.every=100"), 0);
    pid_t supervisor = start_dipp("stopped", "reward train long.yaml --db stopped.db evaluate.every=100", false);
    for (int64_t step = -1; step < 5 && kill(supervisor, 0) == 0;) {
        nanosleep(&(struct timespec){0, 5000000}, NULL);
        step = access("stopped.db", F_OK) == 0 &&
                       ask("stopped.db", "SELECT count(*) FROM sqlite_schema WHERE name='run_weights'") > 0
                   ? ask("stopped.db", "SELECT step FROM runs WHERE run_id=1")
                   : -1;
    }
    kill(supervisor, SIGINT);
    int code = wait_for(supervisor);
    assert_true(code == 75 || code == 0); /* a fast machine may have been done */
    assert_int_equal(dipp("reward train long.yaml --db stopped.db evaluate.every=100"), 0);
    assert_true(digest_file(result_path("whole.db", 1, "model.safetensors")) ==
                digest_file(result_path("stopped.db", 1, "model.safetensors")));
    assert_true(digest_rows("whole.db", rows) == digest_rows("stopped.db", rows));
    assert_sound("stopped.db");
}

/* One temperature by two fifths of the validation pairs; the rest is what is measured then. */
static void a_reward_is_calibrated(void **state)
{
    static const char value[] =
        "SELECT value FROM metrics JOIN metric_names USING(metric_id) WHERE step=60 AND name='%s'";
    char sql[256];
    assert_int_equal(dipp("reward train r.yaml --db c.db learn.calibrate.share=0.4 learn.ema.decay=0.5"), 0);
    assert_true(output_has("fits the pairs that were held for it"));
    snprintf(sql, sizeof sql, value, "pairs/count");
    assert_int_equal((int)ask_number("c.db", sql), 34); /* 56 less 22 */
    snprintf(sql, sizeof sql, value, "pairs/temperature");
    assert_true(ask_number("c.db", sql) > 1.2); /* it learnt from labels without a mistake, and is too sure for these */
    assert_sound("c.db");
}

static void refuse(const char *arguments, int code, const char *words)
{
    assert_int_equal(dipp(arguments), code);
    if (!output_has(words))
        fail_msg("`%s` does not say `%s`", output("dipp"), words);
}

static void what_is_wrong_is_refused_in_a_sentence(void **state)
{
    write_file("align.yaml", "name: x\nstage: align\nreference: {plugin: affine, params: {mean: [0.0]}}\ngenerator: "
                             "{plugin: affine, params: {mean: [0.0]}}\n"
                             "schedule: {name: ve}\n");
    write_file("wrong.jsonl", "{\"prompt\": \"x\", \"images\": [\"p1.png\", \"p2.png\"]}\n");
    refuse("reward train align.yaml --db x.db", 3, "is of stage align, and this trains stage reward alone");
    refuse("check r.yaml preferences.train=wrong.jsonl", 3, "wrong.jsonl:1: expected either labels or rank");
    refuse("check r.yaml preferences.train=none.jsonl", 3, "none.jsonl");
    refuse("check r.yaml learn.freeze=[vision.*]", 3, "means none of the");
    refuse("check r.yaml learn.freeze=[\"*\"]", 3, "nothing is left to train");
    refuse("check r.yaml learn.micro_batch=5", 3, "learn.micro_batch 5 does not divide learn.batch 16");
    refuse("check r.yaml reward.plugin=border ~reward.params ~learn.freeze", 3, "has no parameters");
    refuse("check r.yaml reward.plugin=compressibility ~reward.params", 3, "is opaque");
    refuse("check r.yaml ~preferences.train ~preferences.size", 3, "scenes of the emoji world are drawn in any size");
    refuse("check r.yaml learn.loss=bt", 3,
           "expected: one of bt_mean, bt_sum, pair_cross_entropy, kl_tie, contrastive");
    refuse("check r.yaml learn.calibrate.share=0.5 ~preferences.validate", 3, "which is not given");
    refuse("check r.yaml learn.calibrate.share=0.5 learn.calibrate.layer=head", 3, "has no layer head");
    refuse("reward import hpdv3 --from x --to y", 2, "the layout is needed");
    refuse("reward import hpdv2 --from none --to y", 3, "there is no file or folder none");
    refuse("reward trian r.yaml", 2, "did you mean `train`?");
    refuse("reward eval hps", 2, "--pairs");
    write_file("rank.json",
               "[{\"prompt\": \"a fox\", \"generations\": [\"p1.png\", \"p2.png\", \"p3.png\"], \"ranking\": [1, 2, "
               "2]}]");
    assert_int_equal(dipp("reward import imagereward --from rank.json --to ranked.jsonl"), 0);
    assert_true(output_has("1 prompts, 3 pictures, 1 lines, 2 pairs and 1 ties"));
    assert_int_equal(dipp("check r.yaml preferences.train=ranked.jsonl preferences.validate=ranked.jsonl"), 0);
    assert_int_equal(
        dipp("check r.yaml preferences.train=rank.json preferences.format=imagereward ~preferences.validate"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reward_is_trained_exported_and_judged),
        cmocka_unit_test(a_picture_that_changed_makes_another_cell),
        cmocka_unit_test(interrupted_it_goes_on_to_the_same_bits),
        cmocka_unit_test(a_reward_is_calibrated),
        cmocka_unit_test(what_is_wrong_is_refused_in_a_sentence),
    };
    return cmocka_run_group_tests(tests, cli_setup, cli_teardown);
}
