/* Opaque rewards from end to end: pictures scored by compressibility, vectors by a program over a pipe; what happens
 * when the program fails, and that a run that was killed goes on to the same bits. */
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

/* A small untrained transformer on pictures of 8 x 8. */
static const char pictures[] =
    "name: squeezed\ndevice: cpu\nprecision: f32\nthreads: 1\n"
    "reference: {plugin: dit, params: {size: 8, patch: 2, hidden: 16, layers: 1, heads: 2}}\n"
    "generator: {plugin: dit, params: {size: 8, patch: 2, hidden: 16, layers: 1, heads: 2}}\n"
    "align: {steps: 4, batch: 8, checkpoint_every: 2}\n"
    "rewards: [{plugin: compressibility, params: {quality: 80}, smoothing: {sigma: 0.2, pairs: 2}},\n"
    "          {plugin: colorfulness, scale: 0.01}]\n"
    "evaluate: {samples: 4, reference_row: false, metrics: [compressibility]}\n";

static const char scores[] = "SELECT n.name, s.step, s.value FROM evaluations s JOIN metric_names n USING(metric_id) "
                             "ORDER BY 1, 2, s.sample";

static void test_pictures(void **state)
{
    write_file("e.yaml", pictures);
    assert_int_equal(dipp("run e.yaml --db a.db"), 0);
    assert_int_equal(ask("a.db", "SELECT count(*) FROM runs WHERE status='completed'"), 1);
    /* JPEG of 8 x 8 at quality 95: the tables and headers of 0.6 kB, and a little more */
    assert_int_equal(ask("a.db", "SELECT count(*) FROM evaluations WHERE value BETWEEN -0.9 AND -0.6"), 2 * 4);
    assert_int_equal(ask("a.db", "SELECT count(*) FROM metrics m JOIN metric_names n USING(metric_id) WHERE "
                                 "n.name='train/reward.compressibility' AND m.value BETWEEN -0.9 AND -0.5"),
                     4);
    assert_int_equal(ask("a.db", "SELECT count(*) FROM metrics m JOIN metric_names n USING(metric_id) WHERE "
                                 "n.name='train/dx0_reward' AND m.value > 0"),
                     4);
    assert_int_equal(dipp("run e.yaml --db b.db"), 0);
    assert_true(digest_rows("a.db", scores) == digest_rows("b.db", scores));
    assert_true(digest_file(result_path("a.db", 1, "generator.safetensors")) ==
                digest_file(result_path("b.db", 1, "generator.safetensors")));
}

static void test_refusals(void **state)
{
    write_file("e.yaml", pictures);
    assert_int_equal(dipp("check e.yaml ~rewards[0].smoothing"), 3);
    assert_true(output_has("reward compressibility is opaque and gives no gradient"));
    assert_true(output_has("give rewards[0].smoothing: {sigma: 0.1, pairs: 8}"));
    assert_int_equal(dipp("check e.yaml rewards[0].smoothing.pairs=0"), 3);
    assert_int_equal(dipp("check e.yaml rewards[0].weights=e.yaml"), 3);
    assert_true(output_has("rewards[0].weights: the opaque reward compressibility takes no weights"));
    assert_int_equal(dipp("plan e.yaml"), 0);
    assert_true(output_has("activations and buffers"));
}

/* r(x) = -|x - 2|^2 / 2 by a program, which writes down its process number. */
static const char judge[] = "import json, os, struct, sys\n"
                            "open('judge.pid', 'a').write('%d\\n' % os.getpid())\n"
                            "limit = int(sys.argv[1])\n"
                            "for line in sys.stdin.buffer:\n"
                            "    request = json.loads(line)\n"
                            "    body = sys.stdin.buffer.read(request['bytes'])\n"
                            "    limit -= 1\n"
                            "    if limit == 0:\n"
                            "        sys.exit('judge: no more')\n"
                            "    x = struct.unpack('<%df' % request['count'], body)\n"
                            "    print(json.dumps({'scores': [-(v - 2) ** 2 / 2 for v in x]}), flush=True)\n";

/* An arm is judged by the program, which ends itself at question `last` when that is not 0. */
#define VECTORS                                                                                                \
    "name: judged\ndevice: reference\n"                                                                        \
    "reference: {plugin: affine, params: {mean: [0.0]}}\ngenerator: {plugin: affine, params: {mean: [0.0]}}\n" \
    "schedule: {name: ve, sigma_min: 0.05, sigma_max: 10}\n"                                                   \
    "align: {steps: 60, batch: 16, checkpoint_every: 5, optimizer: {lr: 0.05}, ta: {optimizer: {lr: 0.05}}}\n" \
    "evaluate: {samples: 8, scorers: [{plugin: quadratic, params: {center: [2.0]}}]}\narms:\n"
#define ARM(name, last)                                                                    \
    "  " name ": {rewards: [{plugin: pipe, scale: 3, smoothing: {sigma: 0.2, pairs: 2},\n" \
    "    params: {samples: vectors, command: [python3, judge.py, '" last "']}}]}\n"

static void test_pipe(void **state)
{
    write_file("judge.py", judge);
    write_file("e.yaml", VECTORS ARM("good", "0") ARM("dying", "9") "  none: {rewards: []}\n");
    assert_int_equal(dipp("run e.yaml --db e.db"), 4);
    assert_true(output_has("reward pipe: pipe `python3`: the program ended with exit status 1 instead of answering"));
    assert_int_equal(ask("e.db", "SELECT count(*) FROM runs WHERE status='completed' AND arm IN ('good', 'none')"), 2);
    assert_string_equal(ask_text("e.db", "SELECT status FROM runs WHERE arm='dying'"), "failed");
    assert_int_equal(ask("e.db", "SELECT value > 0.5 FROM metrics m JOIN metric_names n USING(metric_id) JOIN runs r "
                                 "USING(run_id) WHERE n.name='mean.0' AND m.step=60 AND r.arm='good'"),
                     1); /* towards 2 from 0 */
    char command[640];   /* what the program said is in the run's log */
    snprintf(command, sizeof command, "grep -q '^judge: no more$' '%s'",
             result_path("e.db", (int)ask("e.db", "SELECT run_id FROM runs WHERE arm='dying'"), "log.txt"));
    assert_int_equal(system(command), 0);
    /* None of the programs is left. */
    FILE *file = fopen("judge.pid", "r");
    int pid, programs = 0;
    assert_non_null(file);
    for (; fscanf(file, "%d", &pid) == 1; programs++)
        assert_int_not_equal(kill(pid, 0), 0);
    fclose(file);
    assert_true(programs >= 2);
    assert_sound("e.db");
}

/* The last process number in judge.pid, and the process that started it; 0 when it is gone. */
static pid_t judge_process(pid_t *parent)
{
    char path[64], name[32], mode;
    int pid = 0, above = 0;
    FILE *file = fopen("judge.pid", "r");
    assert_non_null(file);
    while (fscanf(file, "%d", &pid) == 1)
        continue;
    fclose(file);
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    file = fopen(path, "r");
    bool alive = file && fscanf(file, "%*d (%31[^)]) %c %d", name, &mode, &above) == 3 && mode != 'Z';
    if (file)
        fclose(file);
    *parent = above;
    return alive ? pid : 0;
}

/* Killed after its first checkpoint; the program goes with it, and the same command goes on to the same bits. */
static void test_resume(void **state)
{
    write_file("judge.py", judge);
    write_file("e.yaml", VECTORS ARM("good", "0"));
    assert_int_equal(dipp("run e.yaml --db whole.db align.steps=400"), 0);
    assert_int_equal(unlink("judge.pid"), 0);
    pid_t supervisor = start_dipp("cut", "run e.yaml --db cut.db align.steps=400", false), worker = 0, none;
    int64_t seen = 0;
    for (int i = 0; i < 6000 && seen <= 0; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
        if (access("cut.db", F_OK) == 0 &&
            ask("cut.db", "SELECT count(*) FROM sqlite_master WHERE name='checkpoints'") > 0)
            seen = ask("cut.db", "SELECT count(*) FROM checkpoints");
    }
    assert_true(judge_process(&worker) > 0 && worker > 1);
    assert_int_equal(kill(worker, SIGKILL), 0);
    assert_int_equal(wait_for(supervisor), 4);
    for (int i = 0; i < 2000 && judge_process(&none); i++)
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    assert_int_equal(judge_process(&none), 0);
    assert_int_equal(ask("cut.db", "SELECT count(*) FROM runs WHERE status='completed'"), 0);
    assert_int_equal(dipp("run e.yaml --db cut.db align.steps=400"), 0);
    assert_true(ask("cut.db", "SELECT start_step FROM attempts WHERE attempt=2") > 0);
    assert_true(digest_file(result_path("cut.db", 1, "generator.safetensors")) ==
                digest_file(result_path("whole.db", 1, "generator.safetensors")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_pictures, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(test_refusals, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(test_pipe, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(test_resume, cli_setup, cli_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
