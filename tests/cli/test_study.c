/* What is done with finished runs: comparing, merging, scoring again, grids, tidying up. */
#include "cli_fixture.h"

#include "data/image.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

static const char exact[] = "name: exact\n"
                            "seeds: [0, 1, 2]\n"
                            "device: reference\n"
                            "precision: f32\n"
                            "reference: {plugin: affine, params: {mean: [0.0, 0.0]}}\n"
                            "generator: {plugin: affine, params: {mean: [1.0, -1.0]}}\n"
                            "schedule: {name: ve, sigma_min: 0.05, sigma_max: 10}\n"
                            "align: {steps: 20, batch: 16, optimizer: {lr: 0.02}, ta: {optimizer: {lr: 0.02}}}\n"
                            "evaluate:\n"
                            "  {every: 10, samples: 16, scorers: [{plugin: linear, params: {direction: [1.0, 0.5]}}]}\n"
                            "arms:\n"
                            "  none: {rewards: []}\n"
                            "  reward: {rewards: [{plugin: linear, params: {direction: [1.0, 0.5]}}]}\n"
                            "baseline: none\n";

static void run_exact(void)
{
    write_file("e.yaml", exact);
    assert_int_equal(dipp("run e.yaml --db e.db --quiet"), 0);
}

static void change(const char *database, const char *sql)
{
    sqlite3 *connection;
    char *message = NULL;
    assert_int_equal(sqlite3_open(database, &connection), SQLITE_OK);
    if (sqlite3_exec(connection, sql, NULL, NULL, &message) != SQLITE_OK)
        fail_msg("%s: %s", sql, message);
    sqlite3_close(connection);
}

static const char final_scores[] = "SELECT r.run_uuid, n.name, s.value, s.noise_seed FROM evaluations s JOIN runs r "
                                   "USING(run_id) JOIN metric_names n USING(metric_id) WHERE s.step=20 ORDER BY 1,2,4";

static void test_compare(void **state)
{
    run_exact();
    assert_int_equal(dipp("compare exact --db e.db"), 0);
    assert_true(output_has("linear (more is better) by linear@"));
    assert_true(output_has("reward*"));
    assert_true(output_has("(step 0)"));
    assert_int_equal(dipp("compare exact --db e.db -m linear --csv"), 0);
    double mean = 0, low = 0, high = 0;
    const char *row = strstr(output(NULL), ",\"reward\",");
    assert_non_null(row);
    assert_int_equal(sscanf(row, ",\"reward\",%*[^,],1,3,%*[^,],%lf,%*[^,],%lf,%lf", &mean, &low, &high), 3);
    double expected =
        strtod(ask_text("e.db", "SELECT avg(diff) FROM paired_by_seed WHERE arm_a='reward' AND arm_b='none' "
                                "AND metric='linear'"),
               NULL);
    assert_true(mean - expected < 1e-9 && expected - mean < 1e-9);
    assert_true(low < mean && mean < high);
    assert_int_equal(dipp("compare exact --db e.db --at images=160"), 0);
    assert_true(output_has("160 images seen"));
    assert_int_equal(dipp("compare exact --db e.db --at ikl=1e9"), 3);
    assert_true(output_has("at evaluations the arms were at none"));
    assert_int_equal(dipp("compare exact --db e.db --at steps=3"), 2);
    assert_int_equal(dipp("compare exact --db e.db --baseline nobody"), 3);
    assert_int_equal(dipp("compare nothing --db e.db"), 3);
    assert_int_equal(dipp("run e.yaml seeds=[7] name=alone --db e.db --quiet"), 0);
    assert_int_equal(dipp("compare alone --db e.db"), 0);
    assert_true(output_has("one seed: nothing is claimed over seeds"));
}

static void test_diff(void **state)
{
    run_exact();
    assert_int_equal(dipp("diff none:0 reward:1 --db e.db"), 0);
    assert_true(output_has("rewards[0].params.direction"));
    assert_true(output_has("arm reward"));
    assert_null(strstr(output(NULL), "align.batch")); /* the same in both */
    assert_int_equal(dipp("diff none:0 none:1 --db e.db"), 0);
    assert_true(output_has("Settings that differ: none"));
    assert_int_equal(dipp("diff none:0 --db e.db"), 2);
    assert_int_equal(dipp("diff none:0 nobody:1 --db e.db"), 3);
}

static void test_merge(void **state)
{
    write_file("e.yaml", exact);
    assert_int_equal(dipp("run e.yaml --db one/a.db seeds=[0] --quiet"), 0);
    assert_int_equal(dipp("run e.yaml --db two/b.db seeds=[1,2] --quiet"), 0);
    assert_int_equal(dipp("merge all.db one/a.db two/b.db"), 0);
    assert_true(output_has("one/a.db: 2 runs, 2 added"));
    assert_true(output_has("two/b.db: 4 runs, 4 added"));
    uint64_t merged = digest_rows("all.db", final_scores);
    assert_int_equal(dipp("merge all.db two/b.db one/a.db"), 0);
    assert_true(output_has("0 added, 0 updated, 0 passed over"));
    assert_true(merged == digest_rows("all.db", final_scores));
    assert_int_equal(ask("all.db", "SELECT max(seeds) FROM leaderboard WHERE arm='reward' AND metric='linear'"), 3);
    assert_sound("all.db");
    /* what is here counts as done, and files are found where they lie */
    assert_int_equal(dipp("run e.yaml --db all.db -n"), 0);
    assert_true(output_has("0 to run, 6 done"));
    assert_int_equal(dipp("sample reward:2 --db all.db -n 2"), 0);
    assert_int_equal(dipp("export reward:0 --db all.db --to out"), 0);
    assert_int_equal(dipp("merge all.db"), 2);
    assert_int_equal(dipp("merge all.db nowhere.db"), 3);
    change("one/a.db", "PRAGMA user_version=77");
    assert_int_equal(dipp("merge all.db one/a.db"), 3);
    assert_true(output_has("newer dipp"));
    assert_true(merged == digest_rows("all.db", final_scores));
}

static void test_scoring_again(void **state)
{
    run_exact();
    static const char all_scores[] = "SELECT * FROM evaluations ORDER BY 1,2,3,4,5,6,7";
    uint64_t before = digest_rows("e.db", all_scores);
    assert_int_equal(dipp("eval none:0 reward:2 --db e.db"), 0);
    assert_true(output_has("16 samples scored at step 20"));
    assert_true(before == digest_rows("e.db", all_scores)); /* the same weights, noise and scorer */
    assert_int_equal(dipp("eval none:0 --db e.db -n 4 evaluate.noise_seed=9"), 0);
    assert_int_equal(ask("e.db", "SELECT count(*) FROM evaluations e JOIN runs r USING(run_id) WHERE r.arm='none' AND "
                                 "r.seed=0 AND e.step=20"),
                     4); /* none of the sixteen is left behind */
    assert_int_equal(dipp("eval none:0 none:1 none:2 reward:0 reward:1 reward:2 --db e.db "
                          "evaluate.scorers=[{plugin:\tquadratic,params:\t{center:\t[0.0,0.0]}}]"),
                     0);
    assert_int_equal(ask("e.db", "SELECT count(*) FROM paired_samples JOIN metric_names USING(metric_id) WHERE "
                                 "name='quadratic' AND arm_a='reward'"),
                     3 * 16);
    assert_int_equal(ask("e.db", "SELECT count(DISTINCT point) FROM leaderboard WHERE metric='quadratic'"), 3);
    assert_int_equal(ask("e.db", "SELECT count(*) FROM runs"), 6);
    assert_int_equal(dipp("run e.yaml --db e.db -n"), 0);
    assert_true(output_has("0 to run, 6 done"));
    assert_int_equal(dipp("eval none:0 --db e.db align.steps=3"), 3);
    assert_true(output_has("would make it another run"));
    assert_int_equal(dipp("eval none:0 --db e.db -m glyf"), 3);
    assert_int_equal(dipp("eval nobody:0 --db e.db"), 3);
    assert_int_equal(dipp("eval --db e.db"), 2);
    assert_sound("e.db");
}

static void write_picture(const char *path, int side, uint8_t r, uint8_t g, uint8_t b)
{
    dipp_image image;
    assert_int_equal(dipp_image_create(side, side, 0, &image, NULL), DIPP_OK);
    for (int i = 0; i < side * side; i++) {
        image.pixels[3 * i] = r;
        image.pixels[3 * i + 1] = g;
        image.pixels[3 * i + 2] = b;
    }
    assert_int_equal(dipp_image_write_png(path, &image, NULL), DIPP_OK);
    dipp_image_clear(&image);
}

static double score_of(int prompt, int sample)
{
    char sql[256];
    snprintf(sql, sizeof sql,
             "SELECT e.value FROM evaluations e JOIN prompts p USING(prompt_id) JOIN metric_names n USING(metric_id) "
             "WHERE n.name='colorfulness' AND p.idx=%d AND e.sample=%d",
             prompt, sample);
    return strtod(ask_text("p.db", sql), NULL);
}

/* A flat picture's colourfulness is 0.3 times its distance from grey in the opponent space: red 85.529. */
static void test_pictures_of_any_model(void **state)
{
    write_file("prompts.txt", "a red thing\na grey thing\n");
    assert_int_equal(mkdir("pics", 0777), 0);
    write_picture("pics/p000-s0.png", 16, 255, 0, 0);
    write_picture("pics/p000-s1.png", 16, 0, 0, 0);
    write_picture("pics/p001-s0.png", 16, 128, 128, 128);
    write_picture("pics/p001-s1.png", 16, 0, 0, 255);
    assert_int_equal(dipp("eval --images pics/ --prompts prompts.txt -m colorfulness --db p.db"), 0);
    assert_true(output_has("2 prompts, 2 of each"));
    assert_true(score_of(0, 0) > 85.52 && score_of(0, 0) < 85.54);
    assert_true(score_of(0, 1) < 0.01 && score_of(1, 0) < 0.01);
    assert_true(score_of(1, 1) > 76.49 && score_of(1, 1) < 76.51); /* 0.3 x 255 */
    assert_string_equal(ask_text("p.db", "SELECT x.name||'/'||r.arm||' '||r.stage||' '||r.status FROM runs r JOIN "
                                         "experiments x USING(experiment_id)"),
                        "images/pics evaluate completed");
    assert_string_equal(ask_text("p.db", "SELECT subject FROM evaluation_settings"), "files");
    assert_string_equal(ask_text("p.db", "SELECT text FROM prompts WHERE idx=1"), "a grey thing");
    /* further metrics join the same run; a manifest says what names do not */
    write_file("list.tsv", "1\t1\tp001-s1.png\n0\t0\tp000-s0.png\n0\t1\tp000-s1.png\n1\t0\tp001-s0.png\n");
    assert_int_equal(dipp("eval --images pics --manifest list.tsv --prompts prompts.txt -m border,diversity --db p.db"),
                     0);
    assert_true(output_has("the same pictures as before"));
    assert_true(output_has("(border@") && !output_has("width")); /* parameters at their defaults are stored, not said */
    assert_string_equal(ask_text("p.db", "SELECT config_json FROM scorer_names JOIN scorers USING(scorer_id) WHERE "
                                         "name='border'"),
                        "{\"color\":[0,0,1],\"width\":2}");
    assert_int_equal(ask("p.db", "SELECT count(*) FROM runs"), 1);
    assert_int_equal(ask("p.db", "SELECT count(*) FROM evaluations"), 8);
    /* another model's pictures are another arm, and compare */
    assert_int_equal(mkdir("other", 0777), 0);
    write_picture("other/0-0.png", 16, 250, 0, 0);
    write_picture("other/0-1.png", 16, 1, 200, 0);
    write_picture("other/1_0.png", 16, 128, 0, 128);
    write_picture("other/00001_01.png", 16, 0, 0, 200);
    assert_int_equal(dipp("eval --images other --prompts prompts.txt -m colorfulness --db p.db --arm b"), 0);
    assert_int_equal(dipp("compare images --baseline pics --db p.db -m colorfulness"), 0);
    assert_true(output_has("one seed"));
    assert_sound("p.db");
}

/* tests/fixtures/make_picture_fixture.py: red.jpg and red.webp. */
static void test_pictures_of_any_kind(void **state)
{
    write_file("prompts.txt", "a red thing\na red thing again\n");
    assert_int_equal(mkdir("kinds", 0777), 0);
    assert_int_equal(symlink(DIPP_FIXTURE_FOLDER "/pictures/red.jpg", "kinds/0.jpg"), 0);
    assert_int_equal(symlink(DIPP_FIXTURE_FOLDER "/pictures/red.webp", "kinds/1.WebP"), 0);
    assert_int_equal(dipp("eval --images kinds --prompts prompts.txt -m colorfulness --db p.db"), 0);
    assert_true(output_has("2 prompts, 1 of each"));
    assert_true(score_of(0, 0) > 84.5 && score_of(0, 0) < 86);
    assert_true(score_of(1, 0) > 85.52 && score_of(1, 0) < 85.54);
}

/* Pictures of three sizes, one of them not square: scored by size, stored by prompt and sample. */
static void test_pictures_of_any_size(void **state)
{
    write_file("prompts.txt", "one\ntwo\nthree\n");
    assert_int_equal(mkdir("sizes", 0777), 0);
    write_picture("sizes/0-0.png", 16, 0, 0, 255);
    write_picture("sizes/0-1.png", 8, 255, 0, 0);
    write_picture("sizes/1-0.png", 9, 128, 128, 128);
    write_picture("sizes/1-1.png", 16, 255, 0, 0);
    write_picture("sizes/2-0.png", 8, 0, 0, 255);
    dipp_image wide = {0};
    assert_int_equal(dipp_image_create(12, 5, 128, &wide, NULL), DIPP_OK);
    assert_int_equal(dipp_image_write_png("sizes/2-1.png", &wide, NULL), DIPP_OK);
    dipp_image_clear(&wide);
    assert_int_equal(dipp("eval --images sizes --prompts prompts.txt -m colorfulness,border --db p.db"), 0);
    assert_true(output_has("3 prompts, 2 of each"));
    assert_true(score_of(0, 0) > 76.49 && score_of(0, 0) < 76.51);
    assert_true(score_of(0, 1) > 85.52 && score_of(0, 1) < 85.54);
    assert_true(score_of(1, 0) < 0.01 && score_of(2, 1) < 0.01);
    assert_true(score_of(1, 1) > 85.52 && score_of(1, 1) < 85.54);
    assert_true(score_of(2, 0) > 76.49 && score_of(2, 0) < 76.51);
    /* by a reward with parameters, which needs no experiment file; a published one is called by its weights */
    assert_int_equal(dipp("eval --images sizes --prompts prompts.txt --db p.db --reward imagereward -p network=own -p "
                          "vision_layers=1 -p text_layers=1 -p vocabulary=" DIPP_FIXTURE_FOLDER
                          "/tokenizers/vocab.txt"),
                     0);
    assert_true(output_has("the same pictures as before") && output_has("imagereward:untrained"));
    assert_true(output_has(" {\"network\":\"own\",") && output_has("\"vision_layers\":1,"));
    assert_false(output_has("\"vision_heads\""));
    assert_int_equal(ask("p.db", "SELECT count(*) FROM evaluations"), 18);
    assert_sound("p.db");
}

static void test_wrong_pictures(void **state)
{
    write_file("prompts.txt", "one\ntwo\n");
    assert_int_equal(mkdir("pics", 0777), 0);
    static const char command[] = "eval --images pics --prompts prompts.txt -m colorfulness --db p.db";
    assert_int_equal(dipp(command), 3);
    assert_true(output_has("pics holds no .png"));
    write_picture("pics/0.png", 16, 1, 2, 3);
    assert_int_equal(dipp(command), 3);
    assert_true(output_has("pictures of 1 prompts, and there are 2 prompts"));
    write_picture("pics/1.png", 8, 1, 2, 3);
    assert_int_equal(dipp("eval --images pics --prompts prompts.txt -m diversity --db p.db"), 3);
    assert_true(output_has("the metric diversity needs square pictures of one size"));
    write_picture("pics/1.png", 16, 1, 2, 3);
    write_picture("pics/3.png", 16, 1, 2, 3);
    assert_int_equal(dipp(command), 3);
    assert_true(output_has("expected sample 0 of prompt 2, found 3.png"));
    assert_int_equal(rename("pics/3.png", "pics/cat.png"), 0);
    assert_int_equal(dipp(command), 3);
    assert_true(output_has("cat.png: the name says neither prompt nor sample"));
    write_file("pics/cat.png", "no PNG");
    write_file("bad.tsv", "0\t0\t0.png\n1 0 cat.png\n");
    assert_int_equal(dipp("eval --images pics --manifest bad.tsv --prompts prompts.txt -m colorfulness --db p.db"), 3);
    assert_true(output_has("bad.tsv, entry 2"));
    write_file("list.tsv", "0\t0\t0.png\n1\t0\tcat.png\n");
    assert_int_equal(dipp("eval --images pics --manifest list.tsv --prompts prompts.txt -m colorfulness --db p.db"), 3);
    assert_true(output_has("cat.png"));
    assert_int_equal(unlink("pics/cat.png"), 0);
    assert_int_equal(dipp("eval --images pics --prompts prompts.txt -m glyph --db p.db"), 3); /* no world to judge by */
    assert_int_equal(dipp("eval --images nowhere --prompts prompts.txt -m colorfulness --db p.db"), 3);
    assert_int_equal(dipp("eval --images pics --prompts prompts.txt --reward border -p widht=2 --db p.db"), 3);
    assert_true(output_has("widht=2"));
    assert_int_equal(
        dipp("eval --images pics --prompts prompts.txt --reward border --weights nowhere.safetensors --db p.db"), 3);
    assert_true(output_has("nowhere.safetensors"));
    assert_int_equal(dipp("eval --images pics --prompts prompts.txt -m border --weights x --db p.db"), 2);
    assert_int_equal(dipp("eval --images pics --db p.db"), 2);
    assert_int_equal(dipp("eval --prompts prompts.txt --db p.db"), 2);
    assert_int_equal(ask("p.db", "SELECT count(*) FROM runs"), 0);
    assert_int_equal(dipp(command), 0);
}

/* ---- Grids: every run gets flat pictures of its own colour, so that a grid can be read back ---- */

enum { PROMPTS = 6, SIDE = 8 };
static const uint8_t colours[3][3] = {{250, 0, 0}, {0, 250, 0}, {0, 0, 250}};

static void keep_pictures(void)
{
    write_file("g.yaml", "name: exact\nseeds: [0]\ndevice: reference\n"
                         "reference: {plugin: affine, params: {mean: [0.0]}}\n"
                         "generator: {plugin: affine, params: {mean: [1.0]}}\n"
                         "schedule: {name: ve, sigma_min: 0.05, sigma_max: 10}\nalign: {steps: 1}\n"
                         "arms: {a: {align.batch: 4}, b: {align.batch: 5}, c: {align.batch: 6}}\n");
    assert_int_equal(dipp("run g.yaml --db g.db --quiet"), 0);
    for (int run = 1; run <= 3; run++)
        for (int prompt = 0; prompt < PROMPTS; prompt++) {
            char name[64], sql[512];
            snprintf(name, sizeof name, "run%d-%d.png", run, prompt);
            write_picture(name, SIDE, colours[run - 1][0], colours[run - 1][1], colours[run - 1][2]);
            snprintf(
                sql, sizeof sql,
                "INSERT INTO artifacts(run_id, step, kind, path, sha256, bytes, meta_json, created_at) VALUES(%d, 1, "
                "'image', '%s', printf('%%064d', 0), 1, "
                "'{\"prompt\":%d,\"sample\":0,\"subject\":\"generator\",\"text\":\"a\\tprompt\"}', 0)",
                run, name, prompt);
            change("g.db", sql);
        }
}

/* The run whose colour this is, 0 for any other. */
static int run_of(const uint8_t *pixel)
{
    for (int run = 0; run < 3; run++)
        if (!memcmp(pixel, colours[run], 3))
            return run + 1;
    return 0;
}

/* order[row][place]: whose picture is where, read from the grid itself. */
static void read_grid(const char *path, int order[PROMPTS][3])
{
    dipp_image image;
    dipp_error error = {0};
    if (dipp_image_read(path, &image, &error) != DIPP_OK)
        fail_msg("%s", error.message);
    int row = -1;
    bool inside = false;
    for (int y = 0; y < image.height; y++) {
        int found[3] = {0}, places = 0, last = 0;
        for (int x = 0; x < image.width; x++) {
            int run = run_of(image.pixels + 3 * (y * image.width + x));
            if (run && run != last && places < 3)
                found[places++] = run;
            last = run;
        }
        if (places == 3 && !inside) {
            assert_true(++row < PROMPTS);
            memcpy(order[row], found, sizeof found);
        }
        inside = places == 3;
    }
    assert_int_equal(row, PROMPTS - 1);
    dipp_image_clear(&image);
}

static void test_grids(void **state)
{
    int order[PROMPTS][3], blind[PROMPTS][3], again[PROMPTS][3];
    bool shuffled = false, differs = false;
    keep_pictures();
    assert_int_equal(dipp("grid exact --db g.db"), 0);
    assert_true(output_has("g/grids/exact.png"));
    read_grid("g/grids/exact.png", order);
    for (int row = 0; row < PROMPTS; row++)
        for (int place = 0; place < 3; place++)
            assert_int_equal(order[row][place], place + 1);
    assert_int_equal(ask("g.db", "SELECT count(*) FROM artifacts WHERE path='g/grids/exact.png'"), 1);
    assert_int_equal(dipp("grid exact --db g.db --blind --key key.tsv --seed 3"), 0);
    read_grid("g/grids/exact-blind.png", blind);
    assert_int_equal(ask("g.db", "SELECT count(*) FROM artifacts WHERE kind='grid' AND path LIKE '%blind%'"), 0);
    FILE *key = fopen("key.tsv", "r");
    char line[256];
    assert_non_null(key);
    assert_non_null(fgets(line, sizeof line, key));
    assert_string_equal(line, "row\tletter\tarm\trun\tprompt\n");
    for (int row = 0; row < PROMPTS; row++)
        for (int place = 0; place < 3; place++) {
            int in_row, run;
            char letter, arm;
            assert_non_null(fgets(line, sizeof line, key));
            assert_int_equal(sscanf(line, "%d\t%c\t%c\t%d\ta prompt", &in_row, &letter, &arm, &run), 4);
            assert_int_equal(in_row, row);
            assert_int_equal(letter, 'A' + place);
            assert_int_equal(run, blind[row][place]);
            assert_int_equal(arm, "abc"[run - 1]);
            shuffled |= run != place + 1;
        }
    fclose(key);
    assert_true(shuffled);
    assert_int_equal(dipp("grid exact --db g.db --blind --key key.tsv --seed 3 --out other.png"), 0);
    read_grid("other.png", again);
    assert_memory_equal(again, blind, sizeof blind);
    assert_int_equal(dipp("grid exact --db g.db --blind --key key.tsv --seed 4 --out other.png"), 0);
    read_grid("other.png", again);
    for (int row = 0; row < PROMPTS; row++)
        differs |= memcmp(again[row], blind[row], sizeof blind[row]) != 0;
    assert_true(differs);
    assert_int_equal(dipp("grid exact --db g.db --blind"), 2);
    assert_int_equal(dipp("grid exact --db g.db --key key.tsv"), 2);
    assert_int_equal(dipp("grid nothing --db g.db"), 3);
}

static void test_garbage(void **state)
{
    static const char orphan[] = "e/runs/01234567-0123-4123-8123-0123456789ab";
    char path[128];
    run_exact();
    assert_int_equal(dipp("gc --db e.db --yes"), 0); /* the cache of the reference's samples */
    assert_int_equal(dipp("gc --db e.db"), 0);
    assert_true(output_has("0 of these"));
    assert_int_equal(mkdir(orphan, 0777), 0);
    snprintf(path, sizeof path, "%s/checkpoint-00000010.safetensors", orphan);
    write_file(path, "left by a run that is no longer known");
    write_file("e/runs/notes.txt", "a person's own");
    const char *forgotten = result_path("e.db", 1, "checkpoint-00000010.safetensors");
    char kept[512];
    snprintf(kept, sizeof kept, "%s", forgotten);
    write_file(kept, "of a completed run");
    change("e.db", "UPDATE runs SET status='failed' WHERE run_id=2");
    char wanted[512];
    snprintf(wanted, sizeof wanted, "%s", result_path("e.db", 2, "checkpoint-00000010.safetensors"));
    write_file(wanted, "of a run that may go on");
    assert_int_equal(dipp("gc --db e.db"), 0);
    assert_true(output_has("2 of these"));
    assert_true(output_has(orphan));
    assert_true(output_has("nothing was deleted"));
    assert_int_equal(access(path, F_OK), 0);
    write_file("e.sqlite", "SQLite format 3"); /* with the zero behind it, too short to be one: not a database */
    assert_int_equal(dipp("gc --db e.db --yes"), 0);
    assert_int_equal(access(orphan, F_OK), -1);
    assert_int_equal(access(kept, F_OK), -1);
    assert_int_equal(access(wanted, F_OK), 0);
    assert_int_equal(access("e/runs/notes.txt", F_OK), 0);
    digest_file(result_path("e.db", 1, "generator.safetensors"));
    assert_int_equal(dipp("run e.yaml --db e.sqlite2 --quiet"), 0); /* would keep its runs in e as well */
    assert_int_equal(dipp("gc --db e.db"), 3);
    assert_true(output_has("in one folder"));
    assert_int_equal(dipp("gc --db nowhere.db"), 3);
    assert_int_equal(dipp("gc everything --db e.db"), 2);
}

/* A run of this experiment plans less than a MiB; eight bytes fit none. */
static void test_memory(void **state)
{
    write_file("e.yaml", exact);
    assert_int_equal(dipp("run e.yaml --db e.db --memory 8"), 1);
    assert_true(output_has("--memory allows"));
    assert_int_equal(ask("e.db", "SELECT count(*) FROM runs"), 0); /* before anything was started */
    assert_int_equal(dipp("run e.yaml --db e.db --memory 5x"), 2);
    assert_int_equal(dipp("run e.yaml --db e.db -j 3 --memory 1.5GiB"), 0);
    assert_true(output_has("a run by its plan"));
    assert_int_equal(ask("e.db", "SELECT count(*) FROM runs WHERE status='completed'"), 6);
}

static void test_doctor(void **state)
{
    run_exact();
    assert_int_equal(dipp("doctor --db e.db"), 0);
    assert_true(output_has("back-end reference: f64"));
    assert_true(output_has("e.db: sound"));
    assert_true(output_has("6 runs (0 running)"));
    assert_int_equal(dipp("doctor e.yaml --db e.db"), 0);
    assert_true(output_has("files of exact: all there"));
    write_file("d.yaml", "name: d\nreference: {plugin: dit, weights: nowhere, params: {vocabulary: words.txt}}\n"
                         "generator: {plugin: dit, init: here}\nseeds: [0, 1]\n"
                         "align: {ta: {init: stage1}}\n");
    assert_int_equal(mkdir("here", 0777), 0);
    assert_int_equal(dipp("doctor d.yaml --db none.db"), 3);
    assert_true(output_has("none.db: not there yet"));
    assert_true(output_has("reference.weights: there is no nowhere; published: "));
    assert_true(output_has("PixArt-alpha/PixArt-XL-2-512x512"));
    assert_true(output_has("there is no here/generator.safetensors"));
    assert_true(output_has("there is no here/ta.safetensors"));
    const char *first = strstr(output(NULL), "there is no words.txt");
    assert_non_null(first);
    assert_null(strstr(first + 1, "there is no words.txt")); /* of two seeds, said once */
    assert_int_equal(dipp("doctor missing.yaml"), 3);
    /* rows that speak of a file that is gone, a process that is gone, a page that is overwritten */
    assert_int_equal(unlink(result_path("e.db", 1, "ta.safetensors")), 0);
    change("e.db", "UPDATE runs SET status='running', ended_at=NULL, pid=999999999 WHERE run_id=2");
    assert_int_equal(dipp("doctor --db e.db"), 3);
    assert_true(output_has("1 of "));
    assert_true(output_has("process 999999999"));
    change("e.db", "PRAGMA wal_checkpoint(TRUNCATE)");
    FILE *file = fopen("e.db", "r+");
    assert_non_null(file);
    assert_int_equal(fseek(file, 3 * 4096, SEEK_SET), 0);
    for (int i = 0; i < 4096; i++)
        fputc(0xA5, file);
    fclose(file);
    assert_int_equal(dipp("doctor --db e.db"), 3);
    assert_true(output_has("LACK  database e.db"));
}

/* Nine cells, five seeds. */
static void test_committed_study(void **state)
{
    char weights[512], line[640];
    const char *source = getenv("DIPP_SOURCE");
    assert_non_null(source);
    snprintf(weights, sizeof weights, "%s/weights", source);
    assert_int_equal(symlink(weights, "weights"), 0);
    snprintf(line, sizeof line, "run %s/experiments/emoji-study.yaml --dry-run --db none.db", source);
    assert_int_equal(dipp(line), 0);
    assert_true(output_has("emoji-study: 45 runs in none.db: 45 to run, 0 done"));
    assert_true(output_has("align.cfg_omega=1,rewards[0].scale=0:0"));
    assert_true(output_has("align.cfg_omega=1.5,rewards[0].scale=10:2"));
    assert_true(output_has("align.cfg_omega=4.5,rewards[0].scale=10:4"));
    assert_int_equal(access("none.db", F_OK), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_compare, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(test_diff, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(test_merge, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(test_scoring_again, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(test_pictures_of_any_model, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(test_pictures_of_any_kind, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(test_pictures_of_any_size, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(test_wrong_pictures, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(test_grids, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(test_garbage, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(test_memory, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(test_doctor, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(test_committed_study, cli_setup, cli_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
