/* The monitor and the budgets, end to end on exact Gaussian cases: when they speak, what they leave, and that watching and
 * resuming change nothing. */
#include "cli_fixture.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

/* The generator starts where the judge is best and the reward draws it away: the judge must fall. The arm `along` starts where
 * the reward draws it nearer, and `none` is drawn by nothing. */
static const char contrived[] =
    "name: watched\n"
    "device: reference\n"
    "reference: {plugin: affine, params: {mean: [0.0, 0.0]}}\n"
    "generator: {plugin: affine, params: {mean: [0.0, 0.0]}}\n"
    "schedule: {name: ve, sigma_min: 0.05, sigma_max: 10}\n"
    "align: {steps: 40, batch: 16, checkpoint_every: 10, optimizer: {lr: 0.05}, ta: {optimizer: {lr: 0.02}}, ema: "
    "{decay: 0.5}}\n"
    "evaluate:\n"
    "  every: 20\n"
    "  samples: 64\n"
    "  scorers: [{plugin: quadratic, name: near, params: {center: [0.0, 0.0]}}]\n"
    "monitor: {every: 8, judges: [near], samples: 64}\n"
    "rewards: [{plugin: linear, scale: 5, params: {direction: [1.0, 0.0]}}]\n"
    "arms:\n"
    "  away: {}\n"
    "  along: {generator.params.mean: [-3.0, 0.0]}\n"
    "  none: {rewards: []}\n"
    "  lowered: {rewards: [{plugin: linear, scale: -5, params: {direction: [-1.0, 0.0]}}]}\n"
    "baseline: none\n";

#define METRICS_OF(run)                                                                                              \
    "SELECT n.name, m.step, m.value FROM metrics m JOIN metric_names n USING(metric_id) WHERE m.run_id=" run " AND " \
    "n.name NOT LIKE 'monitor.%' ORDER BY 1,2"

static double number(const char *database, const char *sql)
{
    const char *text = ask_text(database, sql);
    return *text ? strtod(text, NULL) : (double)NAN;
}

static void the_alarm_speaks_where_it_should(void **state)
{
    write_file("e.yaml", contrived);
    assert_int_equal(dipp("run e.yaml --db e.db"), 0);
    assert_true(output_has("away:0  ALARM: reward.linear went from "));
    assert_true(output_has("while near fell from "));
    assert_true(output_has("over 1 x 64 pictures: p "));
    assert_true(output_has("away:0  ended with the monitor's alarm: "));
    assert_true(output_has("dipp: ALARM away:0 at step "));
    assert_null(strstr(output(NULL), "along:0  ALARM"));
    assert_null(strstr(output(NULL), "none:0  ALARM"));
    /* a view for the plain shell: every watched run, its alarm or none */
    assert_int_equal(ask("e.db", "SELECT count(*) FROM monitor_alarms"), 4);
    int64_t alarm = ask("e.db", "SELECT alarm_step FROM monitor_alarms WHERE arm='away'");
    assert_true(alarm > 0 && alarm <= 40 && alarm % 8 == 0);
    assert_int_equal(ask("e.db", "SELECT count(alarm_step) FROM monitor_alarms WHERE arm IN('along','none')"), 0);
    assert_int_equal(ask("e.db", "SELECT looks FROM monitor_alarms WHERE arm='away'"), 5);
    assert_int_equal(ask("e.db", "SELECT evidence IS NULL FROM monitor_alarms WHERE arm='none'"), 1);
    assert_true(number("e.db", "SELECT evidence FROM monitor_alarms WHERE arm='away'") > 1.3);
    assert_true(number("e.db", "SELECT evidence FROM monitor_alarms WHERE arm='along'") < 1.3);
    /* a reward of negative scale is wanted lower: the same run with all signs turned */
    assert_int_equal(ask("e.db", "SELECT alarm_step FROM monitor_alarms WHERE arm='lowered'"), alarm);
    assert_true(number("e.db", "SELECT evidence FROM monitor_alarms WHERE arm='lowered'") ==
                number("e.db", "SELECT evidence FROM monitor_alarms WHERE arm='away'"));
    assert_int_equal(ask("e.db", "SELECT count(*) FROM events WHERE code='monitor.alarm' AND severity='warning'"), 2);
    assert_int_equal(dipp("ls --db e.db"), 0);
    assert_true(output_has("ALARM at step "));
    assert_int_equal(dipp("show away:0 --db e.db"), 0);
    assert_true(output_has("seen by the monitor"));
    assert_true(output_has("by the monitor: see the warnings"));
    assert_true(output_has("monitor.alarm"));
    /* nothing of it is in the tables of arms */
    assert_int_equal(ask("e.db", "SELECT count(*) FROM leaderboard WHERE metric LIKE 'monitor%'"), 0);
    assert_int_equal(dipp("report watched --db e.db -o r.html"), 0);
    assert_int_equal(dipp("monitor watched --db e.db --truth near"), 0);
    assert_true(output_has("Evidence against whether near fell"));
    assert_true(output_has("1 run is left out"));
    assert_int_equal(dipp("monitor watched --db e.db --truth near --points"), 0);
    assert_true(output_has("all judges,inf,0,0"));
    assert_int_equal(dipp("monitor watched --db e.db --truth glyph"), 3);
    assert_int_equal(dipp("monitor nothing --db e.db"), 3);
    assert_int_equal(dipp("monitor watched --db e.db --margin -1"), 2);
    assert_int_equal(dipp("monitor --db e.db"), 2);
    assert_sound("e.db");
}

static void numbers_are_those_of_the_pictures(void **state)
{
    /* the means that the monitor saw are those of an evaluation of the same prompts, noise and steps */
    write_file("e.yaml", contrived);
    assert_int_equal(dipp("run e.yaml --db e.db -q evaluate.every=8 evaluate.noise_seed=1 evaluate.samples=64"), 0);
    static const char differing[] =
        "SELECT count(*) FROM scores_by_step s JOIN metric_names n USING(metric_id) JOIN metric_names k ON "
        "k.name='monitor.'||n.name JOIN evaluation_settings t USING(settings_id) JOIN metrics m ON m.run_id=s.run_id "
        "AND m.metric_id=k.metric_id AND m.step=s.step WHERE t.subject='generator' AND abs(m.value-s.value)%s1e-12";
    char sql[512];
    snprintf(sql, sizeof sql, differing, "<");
    assert_int_equal(ask("e.db", sql), 4 * 6); /* of each arm's judge: the start and five looks */
    snprintf(sql, sizeof sql, differing, ">=");
    assert_int_equal(ask("e.db", sql), 0);
    /* a plain margin asks no noise */
    assert_int_equal(dipp("run e.yaml --db m.db -q monitor.test=plain monitor.margin=0.01"), 0);
    char first[512];
    snprintf(first, sizeof first,
             "SELECT min(m.step) FROM metrics m JOIN metric_names n USING(metric_id) JOIN metrics s ON "
             "s.run_id=m.run_id AND s.metric_id=m.metric_id AND s.step=0 JOIN runs r ON r.run_id=m.run_id WHERE "
             "n.name='monitor.near' AND r.arm='away' AND m.value<s.value-0.01");
    assert_int_equal(ask("m.db", "SELECT alarm_step FROM monitor_alarms WHERE arm='away'"), ask("m.db", first));
    assert_true(strstr(ask_text("m.db", "SELECT message FROM monitor_alarms WHERE arm='away'"),
                       "by more than the margin 0.01") != NULL);
}

static void watching_changes_nothing(void **state)
{
    write_file("e.yaml", contrived);
    assert_int_equal(dipp("run e.yaml --db watched.db -q"), 0);
    assert_int_equal(dipp("run e.yaml --db alone.db -q ~monitor"), 0);
    assert_true(digest_rows("watched.db", METRICS_OF("1")) == digest_rows("alone.db", METRICS_OF("1")));
    assert_true(digest_file(result_path("watched.db", 1, "generator.safetensors")) ==
                digest_file(result_path("alone.db", 1, "generator.safetensors")));
    assert_true(digest_file(result_path("watched.db", 1, "ta.safetensors")) ==
                digest_file(result_path("alone.db", 1, "ta.safetensors")));
}

static void the_alarm_can_end_a_run(void **state)
{
    write_file("e.yaml", contrived);
    assert_int_equal(dipp("run e.yaml --db go.db -q"), 0);
    assert_int_equal(dipp("run e.yaml --db e.db monitor.on_alarm=stop_and_keep_best"), 0);
    int64_t alarm = ask("go.db", "SELECT alarm_step FROM monitor_alarms WHERE arm='away'");
    assert_true(alarm < 40);
    assert_true(output_has(" of 40: the alarm"));
    assert_int_equal(ask("e.db", "SELECT step FROM runs WHERE arm='away' AND status='completed'"), alarm);
    assert_int_equal(ask("e.db", "SELECT step FROM runs WHERE arm='along' AND status='completed'"), 40);
    char wanted[80];
    snprintf(wanted, sizeof wanted, "ended at step %lld of 40: the alarm", (long long)alarm);
    assert_string_equal(ask_text("e.db", "SELECT ended_early FROM monitor_alarms WHERE arm='away'"), wanted);
    assert_string_equal(ask_text("e.db", "SELECT message FROM events WHERE code='stop.alarm' AND run_id=1"), wanted);
    /* evaluated at its end, with a result, like any other */
    assert_int_equal(ask("e.db", "SELECT max(step) FROM evaluations WHERE run_id=1"), alarm);
    digest_file(result_path("e.db", 1, "generator.safetensors"));
    digest_file(result_path("e.db", 1, "best.safetensors"));
    assert_int_equal(ask("e.db", "SELECT count(*) FROM artifacts WHERE run_id=1 AND kind='best'"), 1);
    /* the best look of the first judge; what it was until then is in the weights' rows */
    assert_int_equal(ask("e.db", "SELECT w.produced_at_step FROM weights w JOIN artifacts a USING(sha256) WHERE "
                                 "a.run_id=1 AND a.kind='best'"),
                     ask("e.db", "SELECT m.step FROM metrics m JOIN metric_names n USING(metric_id) WHERE m.run_id=1 "
                                 "AND n.name='monitor.near' AND m.step>0 ORDER BY m.value DESC, m.step DESC LIMIT 1"));
    assert_int_equal(dipp("sample away:0 --db e.db -n 1"), 0); /* of the result, not of the best */
    assert_int_equal(dipp("run e.yaml --db e.db -n monitor.on_alarm=stop_and_keep_best"), 0);
    assert_true(output_has("0 to run, 4 done"));
    assert_sound("e.db");
}

/* ---- Resuming ---- */

static void pause_ms(long milliseconds)
{
    struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    nanosleep(&time, NULL);
}

static void change(const char *database, const char *sql)
{
    sqlite3 *connection;
    assert_int_equal(sqlite3_open(database, &connection), SQLITE_OK);
    if (sqlite3_exec(connection, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(connection));
    sqlite3_close(connection);
}

/* Kills run 1 once it has come so far; false when it was done before. */
static bool kill_at(const char *line, const char *database, int64_t step)
{
    char sql[256];
    pid_t supervisor = start_dipp("killed", line, false);
    snprintf(sql, sizeof sql, "SELECT pid FROM runs WHERE run_id=1 AND status='running' AND step>=%lld",
             (long long)step);
    int64_t pid = -1;
    while (pid <= 0 && kill(supervisor, 0) == 0) {
        bool there = access(database, F_OK) == 0 &&
                     ask(database, "SELECT count(*) FROM sqlite_schema WHERE name='run_weights'") > 0;
        pid = there ? ask(database, sql) : -1;
        pause_ms(2);
    }
    bool killed = pid > 0 && kill((pid_t)pid, SIGKILL) == 0;
    wait_for(supervisor);
    return killed;
}

static void what_is_resumed_sees_the_same_once(void **state)
{
    static const char all[] =
        "SELECT n.name, m.step, m.value FROM metrics m JOIN metric_names n USING(metric_id) WHERE "
        "m.run_id=1 ORDER BY 1,2";
    static const char told[] = "SELECT step, code, severity, message FROM events WHERE run_id=1 AND (code LIKE "
                               "'monitor%' OR code LIKE 'stop%') ORDER BY 1,2";
    const char *overrides = "~arms ~baseline align.steps=6000 monitor.every=150 "
                            "monitor.margin=0.5 evaluate.every=3000 align.optimizer.lr=0.0007 "
                            "align.ta.optimizer.lr=0.0007 align.log_every=7";
    char line[512];
    write_file("e.yaml", contrived);
    /* Once to its end, from a checkpoint shortly before the alarm of step 2100, which is come upon again; once ended by a
     * budget near step 1300. */
    const char *const ends[] = {
        "align.checkpoint_every=2050",
        "align.checkpoint_every=50 budget.reward=0.9 budget.window=50 monitor.on_alarm=stop_and_keep_best"};
    for (int i = 0; i < 2; i++) {
        char whole[16], cut[16];
        snprintf(whole, sizeof whole, "whole%d.db", i);
        snprintf(cut, sizeof cut, "cut%d.db", i);
        snprintf(line, sizeof line, "run e.yaml --db %s -q %s %s", whole, overrides, ends[i]);
        assert_int_equal(dipp(line), 0);
        snprintf(line, sizeof line, "run e.yaml --db %s -q %s %s", cut, overrides, ends[i]);
        int64_t end = ask(whole, "SELECT step FROM runs");
        int killed = 0;
        for (int k = 1; k <= 3; k++)
            killed += kill_at(line, cut, end * k / 4);
        assert_true(killed > 0);
        /* as if the last attempt had come further than its checkpoint and spoken there */
        change(cut, "INSERT INTO events(run_id, attempt, step, ts, severity, code, message) VALUES(1, 1, 5990, 0, "
                    "'warning', 'monitor.alarm', 'undone'), (1, 1, 5991, 0, 'info', 'stop.ikl', 'undone')");
        assert_int_equal(dipp(line), 0);
        assert_string_equal(ask_text(cut, "SELECT status FROM runs"), "completed");
        assert_int_equal(ask(cut, "SELECT step FROM runs"), end);
        assert_true(digest_rows(whole, all) == digest_rows(cut, all));
        assert_true(digest_rows(whole, told) == digest_rows(cut, told));
        assert_int_equal(ask(cut, "SELECT count(*) FROM events WHERE code='monitor.alarm'"),
                         ask(whole, "SELECT count(alarm_step) FROM monitor_alarms"));
        assert_true(digest_file(result_path(whole, 1, "generator.safetensors")) ==
                    digest_file(result_path(cut, 1, "generator.safetensors")));
        assert_sound(cut);
    }
    assert_int_equal(ask("whole0.db", "SELECT count(alarm_step) FROM monitor_alarms"), 1);
    assert_int_equal(ask("whole0.db", "SELECT step FROM runs"), 6000);
    assert_true(ask("whole1.db", "SELECT step FROM runs") < 6000);
    assert_true(digest_file(result_path("whole1.db", 1, "best.safetensors")) ==
                digest_file(result_path("cut1.db", 1, "best.safetensors")));
}

/* ---- Budgets ---- */

/* experiments/gaussian-linear.yaml, begun at the reference: the reward is b mu with b 0.8, its optimum at mu 1.2597529674,
 * and the IKL A (mu - 1)^2 / 2 with A = 0.6 b / 0.2597529674. */
static const char gaussian[] =
    "name: budget\n"
    "device: reference\n"
    "precision: f64\n"
    "schedule: {name: vp, beta_min: 0.1, beta_max: 20.0, t_min: 0.001, t_max: 1.0}\n"
    "reference: {plugin: affine, params: {mean: [1.0], covariance: [[0.25]]}}\n"
    "generator: {plugin: affine, params: {mean: [1.0], factor: [[0.5]]}}\n"
    "align:\n"
    "  steps: 600\n"
    "  batch: 128\n"
    "  ta: {init: reference, warmup: 0, updates: 4, optimizer: {lr: 0.005, clip: 0}, time: {mean: -0.5, std: 1.0}}\n"
    "  divergence: {name: ikl, form: score, weight: beta, measure: dt}\n"
    "  time: {law: uniform}\n"
    "  optimizer: {lr: 0.001, clip: 0}\n"
    "  log_every: 10\n"
    "evaluate: {samples: 8}\n"
    "rewards: [{plugin: linear, scale: 0.6, params: {direction: [0.8]}}]\n";

/* The first step of a log of every iteration at which the last 20 of a metric have come so far; -1: none. */
static int64_t first_step(const char *metric, const char *reached)
{
    char sql[512];
    snprintf(sql, sizeof sql,
             "SELECT min(step) FROM (SELECT m.step, avg(m.value) OVER (ORDER BY m.step ROWS 19 PRECEDING) AS mean FROM "
             "metrics m JOIN metric_names n USING(metric_id) WHERE n.name='%s') WHERE step>=20 AND mean%s",
             metric, reached);
    const char *text = ask_text("all.db", sql);
    return *text ? strtoll(text, NULL, 10) : -1;
}

static void budgets_end_a_run_at_their_step(void **state)
{
    const double slope = 0.8, stiffness = 0.6 * 0.8 / 0.2597529674;
    write_file("g.yaml", gaussian);
    assert_int_equal(dipp("run g.yaml --db all.db -q align.log_every=1"), 0);
    int64_t by_reward = first_step("train/reward.linear", ">=0.95"), by_ikl = first_step("ikl", ">0.03");
    assert_true(by_reward > 20 && by_reward < 600);
    assert_true(by_ikl > 20 && by_ikl < 600);
    assert_int_equal(dipp("run g.yaml --db reward.db budget.reward=0.95"), 0);
    assert_true(output_has("the reward of the last 20 iterations is 0.95"));
    assert_int_equal(ask("reward.db", "SELECT step FROM runs WHERE status='completed'"), by_reward);
    assert_int_equal(dipp("run g.yaml --db ikl.db -q budget.ikl=0.03 budget.reward=2"), 0);
    assert_int_equal(ask("ikl.db", "SELECT step FROM runs WHERE status='completed'"), by_ikl);
    /* where the exact curves say it is: the window lags by ten steps of 0.001 */
    double at_reward = number("reward.db", "SELECT value FROM metrics JOIN metric_names USING(metric_id) WHERE "
                                           "name='mean.0' ORDER BY step DESC LIMIT 1");
    double at_ikl = number("ikl.db", "SELECT value FROM metrics JOIN metric_names USING(metric_id) WHERE "
                                     "name='mean.0' ORDER BY step DESC LIMIT 1");
    print_message("ended at mu %.4f, reward %.4f of 0.95; at mu %.4f, IKL %.4f of 0.03\n", at_reward, slope * at_reward,
                  at_ikl, stiffness * (at_ikl - 1) * (at_ikl - 1) / 2);
    assert_true(fabs(slope * at_reward - 0.95) < 0.02);
    assert_true(fabs(stiffness * (at_ikl - 1) * (at_ikl - 1) / 2 - 0.03) < 0.01);
    /* completed, evaluated and said why, with the same bits up to there */
    assert_int_equal(ask("reward.db", "SELECT max(step) FROM set_metrics"), by_reward);
    assert_int_equal(ask("reward.db", "SELECT count(*) FROM events WHERE code='stop.reward'"), 1);
    assert_int_equal(ask("ikl.db", "SELECT count(*) FROM events WHERE code='stop.ikl'"), 1);
    assert_true(strstr(ask_text("reward.db", "SELECT detail FROM attempts"), "its budget is 0.95") != NULL);
    char sql[256];
    snprintf(sql, sizeof sql,
             "SELECT m.step, m.value FROM metrics m JOIN metric_names n USING(metric_id) WHERE n.name='ikl' AND "
             "m.step%%10=0 AND m.step<=%lld ORDER BY 1",
             (long long)by_reward);
    assert_true(digest_rows("all.db", sql) == digest_rows("reward.db", sql));
    /* beyond the optimum no budget is spent: 0.8 x 1.2597 = 1.0078 and IKL 0.0623 */
    assert_int_equal(dipp("run g.yaml --db far.db -q budget.reward=1.08 budget.ikl=0.2"), 0);
    assert_int_equal(ask("far.db", "SELECT step FROM runs WHERE status='completed'"), 600);
    /* another budget is another run; a window of its own */
    assert_int_equal(dipp("run g.yaml --db reward.db -n budget.reward=0.96"), 0);
    assert_true(output_has("1 to run, 0 done"));
    assert_int_equal(dipp("run g.yaml --db window.db -q budget.reward=0.0 budget.window=33"), 0);
    assert_int_equal(ask("window.db", "SELECT step FROM runs WHERE status='completed'"), 33);
}

static void mistakes_are_said(void **state)
{
    write_file("e.yaml", contrived);
    static const struct {
        const char *overrides, *wanted;
    } cases[] = {{"monitor.judges=[nea]", "`nea` is no built-in metric"},
                 {"monitor.judges=[diversity]", "diversity is no score of a single picture"},
                 {"monitor.judges=[ikl]", "ikl is no score of a single picture"},
                 {"monitor.judges=[]", "monitor.judges names nobody"},
                 {"monitor.judges=[near,near]", "two metrics are called near"},
                 {"~monitor.judges", "monitor.judges"},
                 {"monitor.every=0", "monitor.every"},
                 {"monitor.level=2", "monitor.level"},
                 {"monitor.on_alarm=panic", "stop_and_keep_best"},
                 {"monitor.test=none", "paired"},
                 {"monitor.evry=3", "every"},
                 {"budget.rewad=3", "reward"},
                 {"budget.ikl=-1", "budget.ikl"},
                 {"monitor.prompts.file=e.yaml monitor.prompts.list=[a]", "leave one out"},
                 {"budget.window=0", "budget.window"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char line[256];
        snprintf(line, sizeof line, "check e.yaml %s", cases[i].overrides);
        if (dipp(line) != 3 || !output_has(cases[i].wanted))
            fail_msg("%s: expected `%s` in\n%s", cases[i].overrides, cases[i].wanted, output(NULL));
    }
    /* what only a look can tell */
    assert_int_equal(dipp("run e.yaml --db e.db ~arms ~baseline monitor.samples=1"), 4);
    assert_true(output_has("a spread needs two prompts"));
    /* a run trained on all that judges has no judge, and says so */
    assert_int_equal(dipp("run e.yaml --db l.db ~arms ~baseline monitor.judges=[linear] "
                          "evaluate.scorers=[{plugin:\tlinear,params:\t{direction:\t[1.0,0.0]}}]"),
                     0);
    assert_true(output_has("the monitor has no judge"));
    assert_int_equal(ask("l.db", "SELECT count(alarm_step) FROM monitor_alarms"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_alarm_speaks_where_it_should, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(numbers_are_those_of_the_pictures, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(watching_changes_nothing, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(the_alarm_can_end_a_run, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(what_is_resumed_sees_the_same_once, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(budgets_end_a_run_at_their_step, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(mistakes_are_said, cli_setup, cli_teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
