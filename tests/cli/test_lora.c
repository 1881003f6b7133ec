/* Runs that train adapters: killed and resumed, sampled, exported, merged, and started from. */
#include "cli_fixture.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static const char metrics[] = "SELECT n.name, m.step, m.value, m.kind FROM metrics m JOIN metric_names n "
                              "USING(metric_id) WHERE m.run_id=1 ORDER BY 1,2";

#define TINY "size: 16, hidden: 32, layers: 1, heads: 2"
#define REFERENCE \
    "plugin: dit, steps: 4, params: {vocabulary: words.txt, " TINY ", text_hidden: 32, text_heads: 2, text_layers: 0}"

static const char pretraining[] = "name: scenes\nstage: pretrain\nthreads: 1\n"
                                  "reference: {" REFERENCE "}\n"
                                  "pretrain: {steps: 30, batch: 16, ema: {decay: 0.9}}\n"
                                  "evaluate: {prompts: {set: emoji, count: 2}, samples: 1, metrics: [background]}\n";

static const char alignment[] =
    "name: adapted\nthreads: 1\n"
    "reference: {weights: ref, " REFERENCE "}\n"
    "generator: {plugin: dit, params: {" TINY ", sigma_init: 2.5}, lora: {rank: 4, alpha: 8}}\n"
    "prompts: {set: emoji, count: 40}\n"
    "rewards: [{plugin: border, scale: 0.3}]\n"
    "align:\n"
    "  {steps: 200, batch: 8, checkpoint_every: 20, divergence: {name: dmd}, ema: {decay: 0.9}, optimizer: {lr: "
    "0.001},\n"
    "   ta: {warmup: 5, lora: {rank: 2, targets: [to_q, ff.net.2]}, optimizer: {lr: 0.001}}}\n"
    "evaluate: {prompts: {set: emoji, split: eval, count: 2}, samples: 2, metrics: [border, background]}\n";

static bool ready; /* the emoji world can be drawn here, and there are ref/ and a.yaml */

/* One folder for all tests, with a reference in ref/ and the alignment in a.yaml. */
static int prepare(void **state)
{
    if (cli_setup(state) != 0)
        return -1;
    if (dipp("world --vocabulary words.txt") != 0) {
        print_message("skipped: %s", output(NULL));
        return 0;
    }
    write_file("scenes.yaml", pretraining);
    write_file("a.yaml", alignment);
    ready = dipp("run scenes.yaml --db scenes.db --quiet") == 0 &&
            dipp("export scenes/default/0 --db scenes.db --to ref") == 0;
    return ready ? 0 : -1;
}

/* kill -9 of the worker, once it has come to this step. */
static void kill_once_at(int64_t step)
{
    char sql[128];
    struct timespec time = {0, 5000000};
    snprintf(sql, sizeof sql, "SELECT pid FROM runs WHERE run_id=1 AND status='running' AND step>=%lld",
             (long long)step);
    pid_t supervisor = start_dipp("killed", "run a.yaml --db killed.db --quiet", false);
    pid_t worker = -1;
    while (worker <= 0 && kill(supervisor, 0) == 0) {
        nanosleep(&time, NULL);
        if (access("killed.db", F_OK) == 0 &&
            ask("killed.db", "SELECT count(*) FROM sqlite_schema WHERE name='run_weights'") > 0)
            worker = (pid_t)ask("killed.db", sql);
    }
    assert_true(worker > 0 && kill(worker, SIGKILL) == 0);
    assert_int_equal(wait_for(supervisor), 4);
}

static void a_killed_run_ends_the_same(void **state)
{
    static const char *const files[] = {"generator-lora.safetensors", "generator-lora-raw.safetensors",
                                        "ta-lora.safetensors"};
    if (!ready)
        skip();
    assert_int_equal(dipp("run a.yaml --db whole.db --quiet"), 0);
    kill_once_at(30);
    kill_once_at(90);
    assert_int_equal(dipp("run a.yaml --db killed.db --quiet"), 0);
    assert_int_equal(ask("killed.db", "SELECT count(*) FROM attempts WHERE reason='lost'"), 2);
    assert_true(ask("killed.db", "SELECT max(start_step) FROM attempts") >= 80);
    for (size_t i = 0; i < 3; i++) {
        uint64_t expected = digest_file(result_path("whole.db", 1, files[i]));
        assert_true(expected == digest_file(result_path("killed.db", 1, files[i])));
    }
    assert_true(digest_rows("whole.db", metrics) == digest_rows("killed.db", metrics));
    assert_sound("killed.db");
}

/* Four pictures into a folder; rest names what draws them. */
static void draw(const char *folder, const char *rest)
{
    char line[512];
    snprintf(line, sizeof line, "sample %s -o grid.png --prompts 2 -n 2 --folder %s", rest, folder);
    if (dipp(line) != 0)
        fail_msg("%s: %s", line, output(NULL));
}

static void assert_same_pictures(const char *a, const char *b, bool same)
{
    char left[64], right[64];
    int differ = 0;
    for (int i = 0; i < 4; i++) {
        snprintf(left, sizeof left, "%s/p%03d-s%d.png", a, i / 2, i % 2);
        snprintf(right, sizeof right, "%s/p%03d-s%d.png", b, i / 2, i % 2);
        differ += digest_file(left) != digest_file(right);
    }
    if (same ? differ != 0 : differ == 0)
        fail_msg("%d of 4 pictures of %s and %s differ", differ, a, b);
}

static void adapters_are_weights_like_others(void **state)
{
    if (!ready)
        skip();
    assert_int_equal(dipp("plan a.yaml"), 0);
    assert_true(output_has("reference, base of generator and TA") && output_has("generator overlay average") &&
                output_has("TA overlay") && !output_has("frozen base"));
    assert_int_equal(dipp("run a.yaml --db a.db --quiet align.steps=60"), 0);
    assert_int_equal(dipp("export @latest --db a.db --to lora"), 0);
    assert_int_equal(dipp("export @latest --db a.db --to whole --merge"), 0);
    assert_true(output_has("whole/generator.safetensors") && output_has("whole/ta.safetensors"));

    /* The run, the adapter over the reference, and whole weights draw the same. */
    draw("run", "@latest --db a.db");
    draw("start", "a.yaml");
    draw("adapter", "a.yaml generator.adapter=lora");
    draw("merging", "a.yaml ~generator.lora generator.adapter=lora");
    draw("merged", "a.yaml ~generator.lora generator.init=whole");
    assert_same_pictures("run", "start", false);
    assert_same_pictures("run", "adapter", true);
    assert_same_pictures("run", "merging", true);
    assert_same_pictures("run", "merged", true);

    /* A second run takes up both adapters; a third trains all weights from them, TA too. */
    assert_int_equal(dipp("run a.yaml --db b.db --quiet align.steps=2 generator.adapter=lora align.ta.init=stage1"), 0);
    assert_int_equal(ask("b.db", "SELECT count(*) FROM run_weights WHERE role IN('generator.adapter','ta.adapter')"),
                     2);
    assert_int_equal(dipp("run a.yaml --db c.db --quiet align.steps=2 generator.adapter=lora align.ta.init=stage1 "
                          "~generator.lora ~align.ta.lora"),
                     0);
    char merged[600];
    snprintf(merged, sizeof merged, "%s", result_path("c.db", 1, "ta.safetensors"));
    assert_int_equal(access(merged, F_OK), 0);
    assert_int_equal(dipp("eval 1 --db b.db evaluate.metrics=[border,colorfulness]"), 0);

    /* Frozen weights of their own: what a run ended with whole. */
    assert_int_equal(dipp("plan a.yaml generator.init=whole align.ta.init=stage1"), 0);
    assert_true(output_has("generator's frozen base") && output_has("TA's frozen base"));
    assert_int_equal(dipp("run a.yaml --db d.db --quiet align.steps=2 generator.init=whole align.ta.init=stage1"), 0);
    assert_int_equal(dipp("export @latest --db d.db --to over"), 0);
    assert_int_equal(dipp("run a.yaml --db e.db --quiet align.steps=2 generator.init=whole generator.adapter=over "
                          "align.ta.init=stage1"),
                     0);
}

static void expect(const char *line, int code, const char *part)
{
    int found = dipp(line);
    if (found != code || !output_has(part))
        fail_msg("%s: code %d, \"%s\" expected in: %s", line, found, part, output(NULL));
}

static void what_does_not_fit_is_said(void **state)
{
    if (!ready)
        skip();
    assert_int_equal(dipp("run a.yaml --db r.db --quiet align.steps=2"), 0);
    assert_int_equal(dipp("export @latest --db r.db --to refused"), 0);
    expect("check a.yaml generator.lora.targets=[to_q,nose]", 3, "the target nose of generator's adapter");
    expect("check a.yaml generator.lora.targets=[]", 3, "generator.lora.targets has 0 layers");
    expect("check a.yaml generator.adapter=refused generator.lora.rank=3", 3, "expected [3, 32]");
    expect("check a.yaml generator.init=refused", 3, "refused holds an adapter, not whole weights");
    expect("check a.yaml generator.lora.rank=0", 3, "a whole number in [1, 4096]");
    expect("check a.yaml ~generator.lora.rank", 3, "generator.lora.alpha is given without generator.lora.rank");
    expect("export scenes/default/0 --db scenes.db --to y --merge", 3, "there is no adapter to merge");
    expect("export scenes/default/0 --db scenes.db --to y --kohya", 3, "has no adapters");
    expect("export @latest --db r.db --to y --kohya", 3, "kohya's names are those of Stable Diffusion's UNet");
    expect("export @latest --db r.db --to y --kohya --merge", 2, "--merge leaves none");
    /* Another reference: the adapter is not laid over it. */
    assert_int_equal(dipp("run scenes.yaml --db scenes.db --quiet pretrain.steps=3 name=other"), 0);
    assert_int_equal(dipp("export other/default/0 --db scenes.db --to ref"), 0);
    expect("check a.yaml generator.adapter=refused", 3, "was trained over the weights of SHA-256");
    expect("check a.yaml generator.adapter=refused generator.init=ref/model.safetensors "
           "align.ta.init=stage1",
           3, "neither reference.weights nor a ta.safetensors beside generator.init is that file");
    expect("sample @latest --db r.db -o z.png", 3, "was trained over the weights of SHA-256");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_killed_run_ends_the_same), cmocka_unit_test(adapters_are_weights_like_others),
        cmocka_unit_test(what_does_not_fit_is_said), /* last: it replaces ref/ */
    };
    return cmocka_run_group_tests(tests, prepare, cli_teardown);
}
