/* Runs that are killed, stopped, torn and crashed: nothing recorded is lost, and the end is the same to the bit. */
#include "cli_fixture.h"

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

static const char metrics[] = "SELECT n.name, m.step, m.value, m.kind FROM metrics m JOIN metric_names n "
                              "USING(metric_id) WHERE m.run_id=1 ORDER BY 1,2";
static const char scores[] = "SELECT n.name, e.step, e.settings_id, e.prompt_id, e.sample, e.value FROM evaluations e "
                             "JOIN metric_names n USING(metric_id) WHERE e.run_id=1 ORDER BY 1,2,3,4,5";

/* A run of about a second on a quiet machine. */
static const char exact[] =
    "name: exact\n"
    "device: reference\n"
    "reference: {plugin: affine, params: {mean: [0.0, 0.0]}}\n"
    "generator: {plugin: affine, params: {mean: [1.0, -1.0]}}\n"
    "schedule: {name: ve, sigma_min: 0.05, sigma_max: 10}\n"
    "rewards: [{plugin: linear, params: {direction: [1.0, 0.5]}}]\n"
    "align:\n"
    "  {steps: 1500, batch: 16, checkpoint_every: 50, optimizer: {lr: 0.002}, ema: {decay: 0.9},\n"
    "   ta: {updates: 2, warmup: 5, optimizer: {lr: 0.002}}}\n"
    "evaluate:\n"
    "  {every: 500, samples: 8, scorers: [{plugin: linear, params: {direction: [1.0, 0.5]}}]}\n";

static void pause_ms(long milliseconds)
{
    struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    nanosleep(&time, NULL);
}

/* How many kills: enough to notice in every build, many when asked. */
static int kills(int normal, int many)
{
    return getenv("DIPP_TEST_LONG") ? many : normal;
}

/* The process that works on run 1, once it has come so far (begun: has set everything up); 0 when the supervisor ended
 * before. */
static pid_t worker_at(const char *database, int64_t step, bool begun, pid_t supervisor)
{
    char sql[256];
    snprintf(
        sql, sizeof sql,
        "SELECT pid FROM runs r WHERE run_id=1 AND status='running' AND step>=%lld AND (%d OR EXISTS(SELECT 1 FROM "
        "attempts a WHERE a.run_id=r.run_id AND a.ended_at IS NULL))",
        (long long)step, !begun);
    for (;;) {
        int64_t pid = access(database, F_OK) == 0 && ask(database, "SELECT count(*) FROM sqlite_schema WHERE "
                                                                   "name='run_weights'") > 0
                          ? ask(database, sql)
                          : -1;
        if (pid > 0)
            return (pid_t)pid;
        if (kill(supervisor, 0) != 0)
            return 0;
        pause_ms(5);
    }
}

static void assert_same_end(const char *a, const char *b)
{
    static const char *const files[] = {"generator.safetensors", "generator-raw.safetensors", "ta.safetensors"};
    for (size_t i = 0; i < 3; i++) {
        uint64_t expected = digest_file(result_path(a, 1, files[i]));
        assert_true(expected == digest_file(result_path(b, 1, files[i])));
    }
    assert_true(digest_rows(a, metrics) == digest_rows(b, metrics));
    assert_true(digest_rows(a, scores) == digest_rows(b, scores));
    assert_int_equal(ask(b, "SELECT count(*) FROM runs WHERE status='completed'"), 1);
    assert_int_equal(ask(b, "SELECT count(*) FROM checkpoints"), 0);
    assert_sound(b);
}

/* kill -9 at moments that a generator of fixed seed chooses: before the claim, between steps, inside a checkpoint; the i-th
 * not before step i * apart, so that each kill costs work that was done since the one before. */
static void kill_often(const char *yaml, const char *overrides, int count, long longest_ms, int64_t apart)
{
    char line[256];
    uint64_t random = 12345;
    int killed = 0;
    write_file("e.yaml", yaml);
    snprintf(line, sizeof line, "run e.yaml --db whole.db %s", overrides);
    assert_int_equal(dipp(line), 0);
    snprintf(line, sizeof line, "run e.yaml --db killed.db %s", overrides);
    for (int i = 0; i < count; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        pid_t supervisor = start_dipp("killed", line, false);
        pid_t worker = worker_at("killed.db", i * apart, apart || i % 2, supervisor);
        pause_ms((long)(random >> 33) % longest_ms);
        if (worker && kill(worker, SIGKILL) == 0) {
            int code = wait_for(supervisor);
            if (code == 0)
                break; /* it had just completed */
            assert_int_equal(code, 4);
            killed++;
            assert_string_equal(ask_text("killed.db", "SELECT status FROM runs WHERE run_id=1"), "lost");
            assert_sound("killed.db");
        } else {
            wait_for(supervisor);
            break;
        }
    }
    assert_int_equal(dipp(line), 0);
    print_message("%d kills, %lld attempts that had begun and were lost\n", killed,
                  (long long)ask("killed.db", "SELECT count(*) FROM attempts WHERE reason='lost'"));
    assert_true(killed > count / 2); /* a fast machine may complete the run before the last kills */
    assert_int_equal(ask("killed.db", "SELECT count(*) FROM attempts WHERE reason='completed'"), 1);
    assert_int_equal(ask("killed.db", "SELECT count(*) FROM attempts WHERE reason NOT IN('completed','lost')"), 0);
}

static void test_kill(void **state)
{
    kill_often(exact, kills(8, 100) == 8 ? "align.steps=4000" : "align.steps=30000", kills(8, 100), kills(150, 100), 0);
    assert_same_end("whole.db", "killed.db");
}

/* A network small enough that killing it often takes seconds. */
#define TINY "size: 16, hidden: 32, layers: 1, heads: 2"
#define TINY_REFERENCE \
    "plugin: dit, steps: 4, params: {vocabulary: words.txt, " TINY ", text_hidden: 32, text_heads: 2, text_layers: 0}"

static const char pretraining[] =
    "name: scenes\nstage: pretrain\nthreads: 1\n"
    "reference: {" TINY_REFERENCE "}\n"
    "pretrain: {steps: 900, batch: 16, checkpoint_every: 20, ema: {decay: 0.9}}\n"
    "evaluate: {every: 200, prompts: {set: emoji, count: 4}, samples: 2, metrics: [glyph, background, "
    "diversity]}\n";

static const char autoencoding[] =
    "name: latents\nstage: pretrain-autoencoder\nthreads: 1\n"
    "reference: {plugin: unet, params: {channels: 4, size: 8, widths: [8], groups: 4, heads: [2], down_blocks: "
    "[DownBlock2D],\n"
    "  up_blocks: [UpBlock2D], mid_block: UNetMidBlock2D, vae_widths: [8, 8], vae_layers: 1, vae_groups: 4}}\n"
    "pretrain: {steps: 400, batch: 16, micro_batch: 8, checkpoint_every: 20, ema: {decay: 0.9}}\n"
    "evaluate: {every: 100, prompts: {set: emoji, count: 4}, samples: 2, metrics: [glyph, background, "
    "diversity]}\n";

/* Both kinds of pretraining. */
static void kill_pretraining(const char *yaml)
{
    if (dipp("world --vocabulary words.txt") != 0) {
        print_message("skipped: %s", output(NULL));
        return;
    }
    kill_often(yaml, "", kills(3, 5), 650, 0);
    assert_true(digest_file(result_path("whole.db", 1, "model.safetensors")) ==
                digest_file(result_path("killed.db", 1, "model.safetensors")));
    assert_true(digest_rows("whole.db", metrics) == digest_rows("killed.db", metrics));
    assert_true(digest_rows("whole.db", scores) == digest_rows("killed.db", scores));
    assert_sound("killed.db");
}

static void test_kill_emoji(void **state)
{
    kill_pretraining(pretraining);
}

static void test_kill_autoencoder(void **state)
{
    kill_pretraining(autoencoding);
}

/* Alignment on pictures: text, guidance, a reward, the DMD form, a TA of several updates, and the reference's pictures. */
static void test_kill_alignment(void **state)
{
    static const char alignment[] =
        "name: aligned\nthreads: 1\n"
        "reference: {weights: ref, " TINY_REFERENCE "}\n"
        "generator: {plugin: dit, params: {" TINY ", sigma_init: 2.5}}\n"
        "prompts: {set: emoji, count: 40}\n"
        "rewards: [{plugin: border, scale: 0.3}]\n"
        "align:\n"
        "  {steps: 600, batch: 8, cfg_omega: 1.5, checkpoint_every: 20, divergence: {name: dmd}, ema: {decay: 0.9},\n"
        "   ta: {updates: 2, warmup: 5}, optimizer: {lr: 0.0001}}\n"
        "evaluate: {every: 100, prompts: {set: emoji, split: eval, count: 4}, samples: 2, metrics: [background, "
        "border, "
        "diversity]}\n";
    if (dipp("world --vocabulary words.txt") != 0) {
        print_message("skipped: %s", output(NULL));
        return;
    }
    write_file("scenes.yaml", pretraining);
    assert_int_equal(dipp("run scenes.yaml --db scenes.db pretrain.steps=50 --quiet"), 0);
    assert_int_equal(dipp("export scenes/default/0 --db scenes.db --to ref"), 0);
    kill_often(alignment, "", kills(3, 5), 650, 90);
    assert_same_end("whole.db", "killed.db");
    /* every logged step once: kill_often's last run wrote the steps that it repeated over the rows that were there */
    assert_int_equal(ask("killed.db", "SELECT count(*) FROM metrics JOIN metric_names USING(metric_id) WHERE "
                                      "name='ikl' AND run_id=1"),
                     600);
}

static void test_stop(void **state)
{
    write_file("e.yaml", exact);
    assert_int_equal(dipp("run e.yaml --db whole.db"), 0);
    pid_t supervisor = start_dipp("stopped", "run e.yaml --db stopped.db", false);
    assert_true(worker_at("stopped.db", 1, true, supervisor) > 0);
    assert_int_equal(kill(supervisor, SIGTERM), 0);
    assert_int_equal(wait_for(supervisor), 75);
    assert_non_null(strstr(output("stopped"), "the same command goes on"));
    assert_string_equal(ask_text("stopped.db", "SELECT status FROM runs"), "queued");
    assert_string_equal(ask_text("stopped.db", "SELECT reason FROM attempts"), "interrupted");
    int64_t at = ask("stopped.db", "SELECT max(step) FROM checkpoints");
    assert_true(at > 0 && at < 1500);
    assert_int_equal(dipp("run e.yaml --db stopped.db"), 0);
    assert_int_equal(ask("stopped.db", "SELECT start_step FROM attempts WHERE attempt=2"), at);
    assert_same_end("whole.db", "stopped.db");
}

/* The supervisor itself is killed: its worker notices, saves and ends. */
static void test_orphan(void **state)
{
    write_file("e.yaml", exact);
    pid_t supervisor = start_dipp("orphan", "run e.yaml --db orphan.db align.steps=100000", false);
    assert_true(worker_at("orphan.db", 1, true, supervisor) > 0);
    assert_int_equal(kill(supervisor, SIGKILL), 0);
    assert_int_equal(wait_for(supervisor), -SIGKILL);
    for (int i = 0; i < 1000 && strcmp(ask_text("orphan.db", "SELECT status FROM runs"), "queued"); i++)
        pause_ms(10);
    assert_string_equal(ask_text("orphan.db", "SELECT status FROM runs"), "queued");
    assert_true(ask("orphan.db", "SELECT count(*) FROM checkpoints") > 0);
}

static void test_torn_checkpoint(void **state)
{
    char path[600];
    write_file("e.yaml", exact);
    assert_int_equal(dipp("run e.yaml --db whole.db"), 0);
    pid_t supervisor = start_dipp("torn", "run e.yaml --db torn.db", false);
    assert_true(worker_at("torn.db", 120, true, supervisor) > 0);
    kill(supervisor, SIGTERM);
    assert_int_equal(wait_for(supervisor), 75);
    assert_int_equal(ask("torn.db", "SELECT count(*) FROM checkpoints"), 2);
    int64_t older = ask("torn.db", "SELECT min(step) FROM checkpoints");
    snprintf(path, sizeof path, "%s", ask_text("torn.db", "SELECT path FROM checkpoints ORDER BY step DESC"));
    assert_int_equal(truncate(path, 1000), 0);
    assert_int_equal(dipp("run e.yaml --db torn.db"), 0);
    assert_int_equal(ask("torn.db", "SELECT start_step FROM attempts WHERE attempt=2"), older);
    assert_int_equal(ask("torn.db", "SELECT count(*) FROM events WHERE code='checkpoint.torn'"), 1);
    assert_same_end("whole.db", "torn.db");
}

static void test_resumed_otherwise(void **state)
{
    write_file("e.yaml", exact);
    pid_t supervisor = start_dipp("changed", "run e.yaml --db changed.db precision=auto device=cpu threads=1", false);
    if (!worker_at("changed.db", 1, true, supervisor)) {
        print_message("skipped: %s", output("changed"));
        wait_for(supervisor);
        return;
    }
    kill(supervisor, SIGTERM);
    assert_int_equal(wait_for(supervisor), 75);
    assert_int_equal(dipp("run e.yaml --db changed.db device=cpu threads=1 --threads 2"), 0);
    assert_int_equal(ask("changed.db", "SELECT count(*) FROM events WHERE code='resume.threads'"), 1);
    assert_true(output_has("another number of threads (2; before: 1)"));
}

/* One arm fails, each in another way; the others go on, and the failure says what to look at. */
static void bad_reward(const char *kind, const char *status, const char *said, const char *more)
{
    char yaml[2048], line[512];
    snprintf(yaml, sizeof yaml,
             "name: bad\ndevice: reference\n"
             "reference: {plugin: affine, params: {mean: [0.0]}}\ngenerator: {plugin: affine, params: {mean: [1.0]}}\n"
             "schedule: {name: ve, sigma_min: 0.05, sigma_max: 10}\n"
             "align: {steps: 40, batch: 8}\nevaluate: {samples: 4}\n"
             "arms:\n  good: {rewards: []}\n  bad: {rewards: [{plugin: %s}]}\n"
             "  fine: {rewards: [{plugin: linear, params: {direction: [1.0]}}]}\n",
             kind);
    write_file("bad.yaml", yaml);
    snprintf(line, sizeof line, "run bad.yaml --db bad.db --plugin %s %s", getenv("DIPP_BAD_REWARDS"), more);
    assert_int_equal(dipp(line), 4);
    assert_true(output_has(said));
    assert_int_equal(ask("bad.db", "SELECT count(*) FROM runs WHERE status='completed' AND arm IN('good','fine')"), 2);
    assert_string_equal(ask_text("bad.db", "SELECT status FROM runs WHERE arm='bad'"), status);
    assert_true(strstr(ask_text("bad.db", "SELECT error FROM runs WHERE arm='bad'"), said) != NULL);
    assert_sound("bad.db");
    assert_int_equal(dipp(line), 4); /* only the failed one runs again */
    assert_int_equal(ask("bad.db", "SELECT count(*) FROM attempts JOIN runs USING(run_id) WHERE arm<>'bad'"), 2);
}

static void test_nan_reward(void **state)
{
    bad_reward("not-a-number", "failed", "updates in a row were not finite", "");
    assert_true(ask("bad.db", "SELECT count(*) FROM metrics m JOIN metric_names n USING(metric_id) WHERE "
                              "n.name='train/reward' AND m.kind='nan'") > 0);
}

static void test_crashing_reward(void **state)
{
    bad_reward("crashing", "failed", "crashed by signal 6", "");
}

static void test_hanging_reward(void **state)
{
    bad_reward("hanging", "failed", "no sign of life for 2 s", "--stall 2");
}

static void test_lying_reward(void **state)
{
    bad_reward("lying", "failed", "reward lying gives [1, 1]; expected [1]", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_kill, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(test_kill_emoji, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(test_kill_autoencoder, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(test_kill_alignment, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(test_stop, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(test_orphan, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(test_torn_checkpoint, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(test_resumed_otherwise, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(test_nan_reward, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(test_crashing_reward, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(test_hanging_reward, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(test_lying_reward, cli_setup, cli_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
