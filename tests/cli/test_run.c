/* dipp run from end to end on exact cases: what is recorded, what is not run again, what a wrong file costs. */
#include "cli_fixture.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const char exact[] = "name: exact\n"
                            "seeds: [0, 1]\n"
                            "device: reference\n"
                            "reference: {plugin: affine, params: {mean: [0.0, 0.0]}}\n"
                            "generator: {plugin: affine, params: {mean: [1.0, -1.0]}}\n"
                            "schedule: {name: ve, sigma_min: 0.05, sigma_max: 10}\n"
                            "align:\n"
                            "  {steps: 30, batch: 16, checkpoint_every: 10, optimizer: {lr: 0.02},\n"
                            "   ta: {updates: 2, optimizer: {lr: 0.02}}}\n"
                            "evaluate:\n"
                            "  {every: 10, samples: 32, scorers: [{plugin: linear, params: {direction: [1.0, 0.5]}}]}\n"
                            "arms:\n"
                            "  none: {rewards: []}\n"
                            "  reward: {rewards: [{plugin: linear, params: {direction: [1.0, 0.5]}}]}\n"
                            "baseline: none\n";

static const char scores[] = "SELECT r.arm, r.seed, n.name, s.step, s.value FROM set_metrics s JOIN runs r "
                             "USING(run_id) JOIN metric_names n USING(metric_id) ORDER BY 1,2,3,4";
static const char metrics[] = "SELECT r.arm, r.seed, n.name, m.step, m.value, m.kind FROM metrics m JOIN runs r "
                              "USING(run_id) JOIN metric_names n USING(metric_id) ORDER BY 1,2,3,4";

static void test_rows(void **state)
{
    write_file("e.yaml", exact);
    assert_int_equal(dipp("run e.yaml --db e.db"), 0);
    assert_true(output_has("4 to run, 0 done"));
    assert_true(output_has("* the arm was trained on this metric"));
    assert_int_equal(ask("e.db", "SELECT count(*) FROM runs WHERE status='completed' AND step=30"), 4);
    /* every logged step once; learned mean and covariance by step, step 0 included */
    assert_int_equal(ask("e.db", "SELECT count(*) FROM metrics m JOIN metric_names n USING(metric_id) WHERE "
                                 "n.name='ikl'"),
                     4 * 30);
    assert_int_equal(ask("e.db", "SELECT count(*) FROM metrics m JOIN metric_names n USING(metric_id) WHERE "
                                 "n.name='mean.0'"),
                     4 * 4);
    assert_int_equal(ask("e.db", "SELECT count(*) FROM set_metrics s JOIN metric_names n USING(metric_id) WHERE "
                                 "n.name='cov.0.1'"),
                     4 * 5); /* steps 0 10 20 30, and the reference */
    /* scores: 32 samples at 4 steps, and of the reference */
    assert_int_equal(ask("e.db", "SELECT count(*) FROM evaluations"), 4 * 5 * 32);
    assert_int_equal(ask("e.db", "SELECT count(DISTINCT noise_seed) FROM evaluations"), 32);
    assert_int_equal(ask("e.db", "SELECT count(*) FROM leaderboard WHERE metric='linear' AND point='reference'"), 1);
    assert_int_equal(ask("e.db", "SELECT trained_on FROM leaderboard WHERE metric='linear' AND point='final' AND "
                                 "arm='reward'"),
                     1);
    assert_int_equal(ask("e.db", "SELECT trained_on FROM leaderboard WHERE metric='linear' AND point='final' AND "
                                 "arm='none'"),
                     0);
    assert_int_equal(ask("e.db", "SELECT count(*) FROM paired_by_seed WHERE arm_a='reward' AND metric='linear' AND "
                                 "diff>0"),
                     2);
    /* parameters know where they come from; weights where they lie; checkpoints are gone */
    assert_string_equal(ask_text("e.db", "SELECT origin FROM params WHERE key='align.steps' LIMIT 1"), "e.yaml:8");
    assert_string_equal(ask_text("e.db", "SELECT source FROM params p JOIN runs r USING(run_id) WHERE r.arm='reward' "
                                         "AND key='rewards[0].plugin' LIMIT 1"),
                        "sweep");
    assert_int_equal(
        ask("e.db", "SELECT count(*) FROM weights WHERE produced_at_step=30 AND path NOT LIKE '%checkpoint%'"), 8);
    assert_int_equal(ask("e.db", "SELECT count(*) FROM checkpoints"), 0);
    digest_file(result_path("e.db", 1, "generator.safetensors"));
    digest_file(result_path("e.db", 1, "ta.safetensors"));
    assert_sound("e.db");
}

static void test_repeat(void **state)
{
    write_file("e.yaml", exact);
    assert_int_equal(dipp("run e.yaml --db e.db"), 0);
    assert_int_equal(dipp("run e.yaml --db e.db"), 0);
    assert_true(output_has("0 to run, 4 done"));
    assert_int_equal(ask("e.db", "SELECT count(*) FROM attempts"), 4);
    /* device, threads and seeds do not make another cell; a changed key does */
    assert_int_equal(dipp("run e.yaml threads=1 seeds=[0,1,2] --db e.db -n"), 0);
    assert_true(output_has("2 to run, 4 done"));
    assert_int_equal(dipp("run e.yaml align.optimizer.lr=0.03 --db e.db -n"), 0);
    assert_true(output_has("4 to run, 0 done"));
    assert_true(output_has("configuration, weights or plugin versions changed"));
    assert_int_equal(dipp("run e.yaml --rerun --db e.db"), 0);
    assert_int_equal(ask("e.db", "SELECT count(*) FROM attempts"), 8);
    assert_int_equal(ask("e.db", "SELECT count(*) FROM metrics m JOIN metric_names n USING(metric_id) WHERE "
                                 "n.name='ikl'"),
                     4 * 30);
    assert_int_equal(ask("e.db", "SELECT count(*) FROM experiment_revisions"), 1);
}

static void test_same_bits(void **state)
{
    write_file("e.yaml", exact);
    assert_int_equal(dipp("run e.yaml --db a.db"), 0);
    assert_int_equal(dipp("run e.yaml --db b.db --jobs 2"), 0);
    assert_true(digest_rows("a.db", metrics) == digest_rows("b.db", metrics));
    assert_true(digest_rows("a.db", scores) == digest_rows("b.db", scores));
    for (int run = 1; run <= 4; run++) {
        uint64_t generator = digest_file(result_path("a.db", run, "generator.safetensors"));
        assert_true(generator == digest_file(result_path("b.db", run, "generator.safetensors")));
        uint64_t ta = digest_file(result_path("a.db", run, "ta.safetensors"));
        assert_true(ta == digest_file(result_path("b.db", run, "ta.safetensors")));
    }
    assert_true(digest_file(result_path("a.db", 1, "generator.safetensors")) !=
                digest_file(result_path("a.db", 2, "generator.safetensors"))); /* another seed */
}

static void test_wrong_experiment(void **state)
{
    write_file("e.yaml", "name: wrong\nreference: {plugin: afine}\ngenerator: {plugin: affine, params: {mean: 1.5x}}\n"
                         "align: {step: 10, batch: 010}\n");
    assert_int_equal(dipp("run e.yaml --db e.db"), 3);
    assert_true(output_has("e.yaml:2:"));
    assert_true(output_has("e.yaml:3:"));
    assert_true(output_has("e.yaml:4:"));
    assert_true(output_has("affine"));
    assert_int_equal(access("e.db", F_OK), -1);
    write_file("f.yaml", exact);
    assert_int_equal(dipp("run f.yaml --db e.db align.divergence.weight=heavy"), 3);
    assert_true(output_has("align.divergence.weight is `heavy`"));
    assert_int_equal(dipp("run f.yaml --db e.db reference.weights=nowhere"), 3);
    assert_true(output_has("there is no file or folder nowhere"));
    assert_int_equal(dipp("check f.yaml evaluate.metrics=[glyf]"), 3);
    assert_true(output_has("`glyf`"));
    assert_int_equal(dipp("check f.yaml align.cfg_omega=2"), 3);
    assert_true(output_has("no prompts"));
    assert_int_equal(dipp("check f.yaml"), 0);
    assert_int_equal(dipp("plan f.yaml"), 0);
    assert_int_equal(dipp("run missing.yaml"), 3);
}

static void test_usage(void **state)
{
    static const char *const commands[] = {"run", "check", "plan", "ls", "show", "sample", "plugins", "sql", "world"};
    char line[64];
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        snprintf(line, sizeof line, "%s --help", commands[i]);
        assert_int_equal(dipp(line), 0);
        assert_true(output_has("Options:"));
        snprintf(line, sizeof line, "%s --hepl", commands[i]);
        assert_int_equal(dipp(line), 2);
        assert_true(output_has("did you mean --help"));
    }
    assert_int_equal(dipp(""), 2);
    assert_int_equal(dipp("rum x.yaml"), 2);
    assert_true(output_has("did you mean `run`"));
    assert_int_equal(dipp("run"), 2);
    assert_int_equal(dipp("run e.yaml --jobs many"), 2);
    assert_int_equal(dipp("ls --db nowhere.db"), 3);
    assert_true(output_has("there is no database nowhere.db"));
}

static void test_looking(void **state)
{
    write_file("e.yaml", exact);
    assert_int_equal(dipp("run e.yaml --db e.db align.batch=8 seeds=[3]"), 0);
    assert_int_equal(dipp("ls --db e.db"), 0);
    assert_true(output_has("completed"));
    assert_int_equal(dipp("ls --db e.db --status failed"), 0);
    assert_null(strstr(output(NULL), "completed"));
    assert_int_equal(dipp("show reward:3 --db e.db"), 0);
    assert_true(output_has("rewards[0].params.direction"));
    assert_true(output_has("override #1"));
    assert_int_equal(dipp("show nobody:3 --db e.db"), 3);
    assert_int_equal(dipp("sample reward:3 --db e.db -n 2"), 0);
    assert_int_equal(dipp("sample e.yaml -n 2"), 0);
    assert_int_equal(dipp("sql --db e.db --csv SELECT\tarm,seed\tFROM\truns\tORDER\tBY\t1"), 0);
    assert_string_equal(output(NULL), "arm,seed\nnone,3\nreward,3\n");
    assert_int_equal(dipp("sql --db e.db DELETE\tFROM\truns"), 3);
    assert_int_equal(ask("e.db", "SELECT count(*) FROM runs"), 2);
    assert_int_equal(dipp("plugins affine"), 0);
    assert_true(output_has("mean"));
}

static int plan_with(const char *plugin, const char *more)
{
    char line[1024];
    snprintf(line, sizeof line,
             "run e.yaml --db e.db seeds=[0] align.steps=3 evaluate.metrics=[fixture] --plugin %s/%s.so %s",
             getenv("DIPP_TEST_FIXTURES"), plugin, more);
    return dipp(line);
}

/* A reward plugin that only scores counts as one that trains does: another version makes other cells, another build of the
 * same version is pointed out, and its scores stand beside the earlier ones under a scorer of their own. */
static void test_metric_versions(void **state)
{
    static const char scored[] = "SELECT count(*) FROM evaluations e JOIN metric_names n USING(metric_id) WHERE "
                                 "n.name='fixture' AND e.kind='%s'";
    char sql[256];
    write_file("e.yaml", exact);
    assert_int_equal(plan_with("good", "--quiet"), 0);
    assert_int_equal(plan_with("good", "-n"), 0);
    assert_true(output_has("0 to run, 2 done"));
    assert_false(output_has("another build"));
    assert_int_equal(plan_with("second", "-n"), 0);
    assert_true(output_has("2 to run, 0 done"));
    assert_true(output_has("configuration, weights or plugin versions changed"));
    assert_int_equal(plan_with("nan-scores", "-n"), 0);
    assert_true(output_has("0 to run, 2 done"));
    assert_true(output_has("another build of reward fixture"));
    snprintf(sql, sizeof sql, scored, "finite");
    int64_t before = ask("e.db", sql);
    assert_true(before > 0);
    assert_int_equal(plan_with("nan-scores", "--rerun --quiet"), 0);
    assert_int_equal(ask("e.db", sql), before);
    snprintf(sql, sizeof sql, scored, "nan");
    assert_int_equal(ask("e.db", sql), before);
    assert_int_equal(plan_with("nan-scores", "-n"), 0);
    assert_false(output_has("another build"));
    assert_int_equal(plan_with("good", "-n"), 0);
    assert_false(output_has("another build"));
    assert_sound("e.db");
}

/* The four labels of a mixture as prompts; guidance needs them. */
/* A result leaves the store bit for bit, or as bf16, and another experiment starts from it. */
static void test_export(void **state)
{
    write_file("e.yaml", exact);
    assert_int_equal(dipp("run e.yaml --db e.db seeds=[0] align.steps=3 align.ema.decay=0.9 --quiet"), 0);
    assert_int_equal(dipp("export reward:0 --db e.db --to out/there"), 0);
    int run = (int)ask("e.db", "SELECT run_id FROM runs WHERE arm='reward'");
    assert_int_equal(digest_file("out/there/generator.safetensors"),
                     digest_file(result_path("e.db", run, "generator.safetensors")));
    assert_int_equal(digest_file("out/there/ta.safetensors"), digest_file(result_path("e.db", run, "ta.safetensors")));
    assert_int_not_equal(access("out/there/generator-raw.safetensors", F_OK), 0);
    assert_int_equal(dipp("export reward:0 --db e.db --to small --bf16 --raw"), 0);
    assert_int_equal(access("small/generator-raw.safetensors", F_OK), 0);
    assert_int_not_equal(digest_file("small/generator.safetensors"), digest_file("out/there/generator.safetensors"));
    assert_int_equal(dipp("run e.yaml --db f.db seeds=[0] align.steps=2 generator.init=small align.ta.init=stage1"), 0);
    assert_int_equal(dipp("export nobody:7 --db e.db --to out"), 3);
    assert_int_equal(dipp("export reward:0 --db e.db"), 2);
}

static void test_labelled_mixture(void **state)
{
    write_file("m.yaml", "name: mixture\ndevice: reference\n"
                         "reference: {plugin: mixture, params: {means: [[2.0], [-2.0]], labels: [right, left]}}\n"
                         "generator: {plugin: affine, params: {mean: [0.0]}}\n"
                         "schedule: {name: vp, t_max: 1}\nprompts: {list: [right]}\n"
                         "align: {steps: 10, batch: 16, cfg_omega: 2,\n"
                         "  ta: {plugin: affine, params: {mean: [0.0]}, optimizer: {lr: 0.05}},\n"
                         "  divergence: {weight: beta, measure: dt}, time: {law: uniform}, optimizer: {lr: 0.05}}\n"
                         "evaluate: {samples: 16}\n");
    assert_int_equal(dipp("run m.yaml --db m.db"), 0);
    assert_int_equal(ask("m.db", "SELECT count(*) FROM metrics m JOIN metric_names n USING(metric_id) WHERE "
                                 "n.name='train/cfg_reward'"),
                     10);
    assert_int_equal(ask("m.db", "SELECT value>0.05 FROM metrics m JOIN metric_names n USING(metric_id) WHERE "
                                 "n.name='mean.0' AND step=10"),
                     1);
    assert_string_equal(ask_text("m.db", "SELECT text FROM prompts"), "right");
}

/* Every divergence, term and ramp from a file; what contradicts itself is refused before anything is recorded. */
static void test_terms(void **state)
{
    write_file(
        "t.yaml",
        "name: terms\ndevice: reference\n"
        "reference: {plugin: mixture, params: {means: [[2.0], [-2.0]], labels: [right, left]}}\n"
        "generator: {plugin: affine, params: {mean: [0.0], sigma_init: 2.5}}\n"
        "schedule: {name: vp, t_max: 1}\nprompts: {list: [right]}\n"
        "align: {steps: 4, batch: 16, cfg_omega: 2, ta: {plugin: affine, params: {mean: [0.0]}}, ikl: {weight: beta},\n"
        "  optimizer: {lr: 0.05}}\n"
        "rewards: [{plugin: linear, scale: 0.3, params: {direction: [1.0]}}]\n"
        "evaluate: {samples: 16, reference_row: false}\n"
        "arms:\n"
        "  l2: {align.divergence: {name: score_l2, weight: sigma4, cfg: inside}}\n"
        "  huber: {align.divergence: {name: score_huber, huber: 0.1, units: data}}\n"
        "  sid: {align.divergence: {name: sid, alpha: 1.2, normalise: sid}}\n"
        "  cfg: {align.cfg: {weight: eps1, measure: dt, time: {law: uniform, min: 0.1}}}\n"
        "  ramp: {\"rewards[0]\": {schedule: cosine, from: 0.5, ramp: 3}}\n"
        "  ratio: {\"rewards[0].scale_as\": grad_ratio}\n"
        "  steps: {generator: {steps: 3, levels: [1.0, 0.3], backward: last}}\n");
    assert_int_equal(dipp("run t.yaml --db t.db"), 0);
    assert_false(output_has("has no effect"));
    assert_int_equal(ask("t.db", "SELECT count(*) FROM runs WHERE status='completed'"), 7);
    assert_int_equal(ask("t.db", "SELECT count(*) FROM metrics JOIN metric_names USING(metric_id) WHERE name='ikl'"),
                     28);
    assert_int_equal(ask("t.db", "SELECT count(DISTINCT value) FROM metrics JOIN metric_names USING(metric_id) "
                                 "JOIN runs USING(run_id) WHERE metric_names.name='train/scale.linear' AND arm='ramp'"),
                     4);
    assert_int_equal(ask("t.db",
                         "SELECT count(*) FROM metrics JOIN metric_names USING(metric_id) JOIN runs USING(run_id) "
                         "WHERE metric_names.name='train/ratio_reward_divergence' AND arm='ratio' "
                         "AND abs(value-0.3)<1e-6"),
                     4);
    static const struct {
        const char *change, *said;
    } refused[] = {
        {"align.divergence.normalise=dmd", "write align.divergence.name: dmd"},
        {"align.divergence.name=score_huber align.divergence.normalise=sid", "leave normalise at none"},
        {"align.divergence.name=sid align.divergence.normalise=sid align.cfg.weight=eps1",
         "where the divergence is normalised"},
        {"align.divergence.name=score_l2 align.divergence.cfg=inside align.cfg.time.law=uniform",
         "no noise levels of its own"},
        {"align.cfg.weight=heavy", "align.cfg.weight is `heavy`"},
        {"align.ikl.weight=heavy", "align.ikl.weight is `heavy`"},
        {"generator.steps=3 generator.levels=[1.0]", "need 2 more levels, not 1"},
        {"generator.steps=2 ~generator.params.sigma_init", "in one go"},
        {"align.divergence.name=none align.cfg_omega=1 rewards[0].scale_as=grad_ratio", "needs a divergence"},
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        char command[256];
        snprintf(command, sizeof command, "check t.yaml ~arms %s", refused[i].change);
        assert_int_equal(dipp(command), 3);
        if (!output_has(refused[i].said))
            fail_msg("%s: %s", refused[i].change, output(NULL));
    }
}

static void test_two_supervisors(void **state)
{
    write_file("e.yaml", exact);
    pid_t a = start_dipp("a", "run e.yaml --db e.db align.steps=300", false);
    pid_t b = start_dipp("b", "run e.yaml --db e.db align.steps=300", false);
    int code_a = wait_for(a), code_b = wait_for(b);
    if ((code_a != 0 && code_a != 5) || (code_b != 0 && code_b != 5))
        fail_msg("codes %d and %d\n%s", code_a, code_b, output(code_a ? "a" : "b"));
    assert_int_equal(dipp("run e.yaml --db e.db align.steps=300"), 0);
    assert_int_equal(ask("e.db", "SELECT count(*) FROM attempts"), 4);
    assert_int_equal(ask("e.db", "SELECT count(*) FROM runs WHERE status='completed'"), 4);
    assert_sound("e.db");
}

static void test_read_only(void **state)
{
    write_file("e.yaml", exact);
    assert_int_equal(dipp("run e.yaml --db e.db seeds=1"), 0);
    uint64_t before = digest_rows("e.db", metrics);
    assert_int_equal(chmod(".", 0755), 0);
    assert_int_equal(chmod("e.db", 0444), 0);
    if (geteuid() != 0)
        assert_int_equal(chmod(".", 0555), 0);
    int listed = wait_for(start_dipp("dipp", "ls --db e.db", true));
    if (listed == 127 || listed == 126) {
        print_message("skipped: another user cannot start %s\n", getenv("DIPP_PROGRAM"));
        return;
    }
    assert_int_equal(listed, 0);
    assert_true(output_has("completed"));
    assert_int_equal(wait_for(start_dipp("dipp", "run e.yaml --db e.db", true)), 1);
    assert_true(output_has("e.db"));
    assert_int_equal(chmod(".", 0755), 0);
    assert_int_equal(chmod("e.db", 0644), 0);
    assert_true(before == digest_rows("e.db", metrics));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_rows, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(test_repeat, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(test_same_bits, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(test_wrong_experiment, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(test_usage, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(test_looking, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(test_export, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(test_metric_versions, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(test_labelled_mixture, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(test_terms, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(test_two_supervisors, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(test_read_only, cli_setup, cli_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
