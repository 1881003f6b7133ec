/* What the system does to a run: it is told to end inside a step, its memory ends, its disk is full at each of its doors, its
 * clock jumps. Nothing recorded is lost, the message names the place, and the same command goes on. */
#include "cli_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#if defined __SANITIZE_ADDRESS__ /* its allocator ends the process where another returns NULL */
static const bool memory_ends = false;
#else
static const bool memory_ends = true;
#endif

static const char metrics[] = "SELECT n.name, m.step, m.value, m.kind FROM metrics m JOIN metric_names n "
                              "USING(metric_id) WHERE m.run_id=1 ORDER BY 1,2";

static const char exact[] =
    "name: exact\n"
    "device: reference\n"
    "reference: {plugin: affine, params: {mean: [0.0, 0.0]}}\n"
    "generator: {plugin: affine, params: {mean: [1.0, -1.0]}}\n"
    "schedule: {name: ve, sigma_min: 0.05, sigma_max: 10}\n"
    "rewards: [{plugin: linear, params: {direction: [1.0, 0.5]}}]\n"
    "align:\n"
    "  {steps: 60, batch: 16, checkpoint_every: 20, optimizer: {lr: 0.002}, ema: {decay: 0.9}, ta: {updates: 2}}\n"
    "evaluate: {every: 20, samples: 8}\n";

/* A run's `dipp` on a system of its own (hostile_system.c). */
static int hostile_dipp(const char *line, const char *variable, const char *value)
{
    const char *before = getenv("ASAN_OPTIONS");
    char options[1100], kept[1024];
    snprintf(kept, sizeof kept, "%s", before ? before : "");
    snprintf(options, sizeof options, "%s:verify_asan_link_order=0", kept);
    setenv("ASAN_OPTIONS", options, 1);
    setenv("LD_PRELOAD", getenv("DIPP_HOSTILE_SYSTEM"), 1);
    setenv(variable, value, 1);
    int code = dipp(line);
    unsetenv(variable);
    unsetenv("LD_PRELOAD");
    if (before)
        setenv("ASAN_OPTIONS", kept, 1);
    else
        unsetenv("ASAN_OPTIONS");
    return code;
}

static void assert_same_results(const char *a, const char *b)
{
    static const char *const files[] = {"generator.safetensors", "generator-raw.safetensors", "ta.safetensors"};
    for (size_t i = 0; i < 3; i++) {
        uint64_t expected = digest_file(result_path(a, 1, files[i]));
        assert_true(expected == digest_file(result_path(b, 1, files[i])));
    }
    assert_true(digest_rows(a, metrics) == digest_rows(b, metrics));
    assert_sound(b);
}

/* ---- Told to end ---- */

/* A step of eight micro-batches; the reward is told to end in the sixth call, one of which was the first question. */
static void test_stop_inside_a_step(void **state)
{
    char line[512];
    static const char yaml[] = "name: slow\ndevice: reference\n"
                               "reference: {plugin: affine, params: {mean: [0.0, 0.0]}}\n"
                               "generator: {plugin: affine, params: {mean: [1.0, -1.0]}}\n"
                               "schedule: {name: ve, sigma_min: 0.05, sigma_max: 10}\n"
                               "rewards: [{plugin: terminating, scale: 0.01}]\n"
                               "align: {steps: 3, batch: 16, micro_batch: 2, ema: {decay: 0.9}, ta: {updates: 2}}\n";
    write_file("e.yaml", yaml);
    snprintf(line, sizeof line, "run e.yaml --db cut.db --plugin %s", getenv("DIPP_BAD_REWARDS"));
    assert_int_equal(dipp(line), 75);
    assert_true(output_has("the same command goes on"));
    FILE *calls = fopen("calls", "r");
    assert_non_null(calls);
    assert_int_equal(fseek(calls, 0, SEEK_END), 0);
    assert_int_equal(ftell(calls), 6); /* no further question was asked */
    assert_int_equal(fclose(calls), 0);
    assert_int_equal(ask("cut.db", "SELECT step FROM checkpoints"), 0); /* inside the first step */
    assert_string_equal(ask_text("cut.db", "SELECT status FROM runs"), "queued");
    assert_int_equal(dipp(line), 0);
    assert_int_equal(ask("cut.db", "SELECT count(*) FROM attempts"), 2);
    snprintf(line, sizeof line, "run e.yaml --db whole.db --plugin %s", getenv("DIPP_BAD_REWARDS"));
    assert_int_equal(dipp(line), 0); /* past its sixth call */
    assert_same_results("whole.db", "cut.db");
}

/* ---- Memory ---- */

/* One arm takes all memory, in a process of its own with a limit; the others go on. */
static void takes_all_memory(const char *reward, const char *database, const char *said)
{
    char yaml[1024], line[512];
    snprintf(yaml, sizeof yaml,
             "name: bad\ndevice: reference\n"
             "reference: {plugin: affine, params: {mean: [0.0]}}\ngenerator: {plugin: affine, params: {mean: [1.0]}}\n"
             "schedule: {name: ve, sigma_min: 0.05, sigma_max: 10}\n"
             "align: {steps: 10, batch: 8}\n"
             "arms:\n  good: {rewards: []}\n  bad: {rewards: [{plugin: %s}]}\n"
             "  fine: {rewards: [{plugin: linear, params: {direction: [1.0]}}]}\n",
             reward);
    write_file("bad.yaml", yaml);
    snprintf(line, sizeof line, "run bad.yaml --db %s --memory 8M --plugin %s", database, getenv("DIPP_BAD_REWARDS"));
    assert_int_equal(dipp(line), 4);
    assert_true(output_has(said));
    assert_int_equal(ask(database, "SELECT count(*) FROM runs WHERE status='completed' AND arm IN('good','fine')"), 2);
    assert_string_equal(ask_text(database, "SELECT status FROM runs WHERE arm='bad'"), "failed");
    assert_non_null(strstr(ask_text(database, "SELECT error FROM runs WHERE arm='bad'"), said));
    assert_sound(database);
}

static void test_memory(void **state)
{
    if (!memory_ends) {
        print_message("skipped: a sanitizer's allocator does not fail\n");
        return;
    }
    takes_all_memory("greedy", "greedy.db", "no memory after");
    takes_all_memory("trusting", "trusting.db", "crashed by signal 11");
}

/* ---- Full disks ---- */

/* What a run writes, each kind of file in its turn: its end names the file and the remedy, and with room again the same
 * command ends as a run that always had room. */
static void test_full_disk(void **state)
{
    static const struct {
        const char *file, *said;
    } doors[] = {{"checkpoint-00000040", "checkpoint-00000040.safetensors"},
                 {"generator.safetensors", "generator.safetensors"},
                 {"ta.safetensors", "ta.safetensors"},
                 {"full.db-wal", "disk full"}};
    write_file("e.yaml", exact);
    assert_int_equal(dipp("run e.yaml --db whole.db --quiet"), 0);
    for (size_t i = 0; i < sizeof doors / sizeof *doors; i++) {
        bool database = strstr(doors[i].file, ".db") != NULL;
        if (database)
            assert_int_equal(dipp("run e.yaml --db full.db --quiet --dry-run"), 0);
        int code = hostile_dipp("run e.yaml --db full.db --quiet", "DIPP_TEST_FULL", doors[i].file);
        if (code != (database ? 1 : 4))
            fail_msg("%s: %d\n%s", doors[i].file, code, output(NULL));
        assert_true(output_has(doors[i].said));
        assert_true(output_has("free some space and run the same command again"));
        if (!database) {
            assert_sound("full.db");
            assert_int_equal(ask("full.db", "SELECT max(step) FROM checkpoints"), i == 0 ? 20 : 60);
        }
        assert_int_equal(dipp("run e.yaml --db full.db --quiet"), 0);
        assert_same_results("whole.db", "full.db");
        assert_int_equal(system("rm -r full full.db*"), 0);
    }
}

/* Pictures of the emoji world. */
static void test_full_disk_pictures(void **state)
{
    static const char scenes[] =
        "name: scenes\nstage: pretrain\nthreads: 1\n"
        "reference: {plugin: dit, steps: 2, params: {vocabulary: words.txt, size: 16, hidden: 32, layers: 1, heads: "
        "2,\n"
        "  text_hidden: 32, text_heads: 2, text_layers: 0}}\n"
        "pretrain: {steps: 3, batch: 4}\n"
        "evaluate: {every: 2, prompts: {set: emoji, count: 2}, samples: 1, metrics: [background]}\n";
    if (dipp("world --vocabulary words.txt") != 0) {
        print_message("skipped: %s", output(NULL));
        return;
    }
    write_file("scenes.yaml", scenes);
    assert_int_equal(hostile_dipp("run scenes.yaml --db s.db --quiet", "DIPP_TEST_FULL", "p001-s0.png"), 4);
    assert_true(output_has("p001-s0.png"));
    assert_true(output_has("free some space and run the same command again"));
    assert_sound("s.db");
    assert_int_equal(ask("s.db", "SELECT count(*) FROM evaluations"), 0); /* an evaluation is whole or not at all */
    assert_int_equal(dipp("run scenes.yaml --db s.db --quiet"), 0);
    assert_int_equal(system("test -z \"$(find s -name '*.tmp*')\""), 0);
    assert_int_equal(hostile_dipp("grid scenes --db s.db --out g.png", "DIPP_TEST_FULL", "g.png"), 1);
    assert_true(output_has("No space left on device"));
    assert_int_equal(access("g.png", F_OK), -1);
    assert_int_equal(hostile_dipp("report scenes --db s.db --out r.html", "DIPP_TEST_FULL", "r.html"), 1);
    assert_true(output_has("No space left on device"));
    assert_int_equal(access("r.html", F_OK), -1);
    assert_int_equal(hostile_dipp("export scenes/default/0 --db s.db --to out", "DIPP_TEST_FULL", "/out/"), 1);
    assert_true(output_has("No space left on device"));
    assert_int_equal(system("test -z \"$(ls -A out)\""), 0); /* no half file */
    assert_int_equal(dipp("export scenes/default/0 --db s.db --to out"), 0);
}

/* The log is for people: a run whose log is full goes on, and its row still says how it ended. */
static void test_full_log(void **state)
{
    char command[700];
    write_file("e.yaml", exact);
    assert_int_equal(dipp("run e.yaml --db e.db --quiet"), 0);
    snprintf(command, sizeof command, "ln -sf /dev/full '%s'", result_path("e.db", 1, "log.txt"));
    assert_int_equal(system(command), 0);
    assert_int_equal(dipp("run e.yaml --db e.db --quiet --rerun"), 0);
    assert_int_equal(ask("e.db", "SELECT count(*) FROM attempts WHERE reason='completed'"), 2);
}

/* ---- Clocks ---- */

/* The wall clock falls a day back, or leaps a year ahead, while a run works: its bits, rows and steps are those of another, no
 * duration is negative, and nobody takes it for dead. */
static void test_clock(void **state)
{
    static const char *const clocks[] = {"-86400@0", "-86400@10", "31536000@10"};
    write_file("e.yaml", exact);
    assert_int_equal(dipp("run e.yaml --db whole.db --quiet"), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(hostile_dipp("run e.yaml --db odd.db --quiet", "DIPP_TEST_CLOCK", clocks[i]), 0);
        assert_same_results("whole.db", "odd.db");
        assert_int_equal(ask("odd.db", "SELECT count(*) FROM runs WHERE ended_at<started_at OR duration_s<0"), 0);
        assert_int_equal(ask("odd.db", "SELECT count(*) FROM attempts WHERE ended_at<started_at"), 0);
        assert_int_equal(ask("odd.db", "SELECT count(*) FROM attempts WHERE reason<>'completed'"), 0);
        assert_int_equal(ask("odd.db", "SELECT created_at/1000000<strftime('%s')-80000 FROM runs"), i == 0);
        assert_int_equal(ask("odd.db", "SELECT heartbeat_at/1000000>strftime('%s')+80000 FROM runs"), i == 2);
        /* a later attempt by a clock that lags behind the first */
        assert_int_equal(hostile_dipp("run e.yaml --db odd.db --quiet --rerun", "DIPP_TEST_CLOCK", "-864000@0"), 0);
        assert_same_results("whole.db", "odd.db");
        assert_int_equal(ask("odd.db", "SELECT count(*) FROM runs WHERE ended_at<started_at OR duration_s<0"), 0);
        assert_int_equal(ask("odd.db", "SELECT count(*) FROM attempts WHERE reason='completed'"), 2);
        assert_int_equal(system("rm -r odd odd.db*"), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_stop_inside_a_step, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(test_memory, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(test_full_disk, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(test_full_disk_pictures, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(test_full_log, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(test_clock, cli_setup, cli_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
