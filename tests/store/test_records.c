/* Writing and reading back: the key of a cell, overlap of resumed steps, values that are not finite, transactions, the
 * life of a run. */
#include "synthetic.h"

#include <sqlite3.h>

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static dipp_store *open_store(void **state)
{
    dipp_error error = {0};
    dipp_store *store = NULL;
    assert_ok(dipp_store_open(((test_directory *)*state)->store, NULL, &store, &error), error);
    return store;
}

static void a_cell_is_found_again_by_its_key(void **state)
{
    dipp_error error = {0};
    dipp_store *store = open_store(state);
    dipp_store_experiment first, second;
    char yaml[65], other[65], config[65], config2[65];
    assert_ok(dipp_store_experiment_put(store, "e", "a: 1", fake_sha256("1", yaml), "base", &first, &error), error);
    assert_true(first.created);
    assert_int_equal(first.revision, 1);
    assert_ok(dipp_store_experiment_put(store, "e", "a: 1", yaml, NULL, &second, &error), error);
    assert_false(second.created || second.revised);
    assert_int_equal(second.revision, 1);
    assert_ok(dipp_store_experiment_put(store, "e", "a: 2", fake_sha256("2", other), NULL, &second, &error), error);
    assert_true(second.revised);
    assert_int_equal(second.revision, 2);
    assert_int_equal(second.experiment_id, first.experiment_id);

    dipp_run_spec spec = {.experiment_id = first.experiment_id,
                          .revision = 1,
                          .arm = "x",
                          .seed = 5,
                          .config_sha256 = fake_sha256("c", config),
                          .config_json = "{\"a\":1}"};
    dipp_run_ref run, again;
    assert_ok(dipp_store_run_create(store, &spec, &run, &error), error);
    assert_true(run.created);
    assert_int_equal(run.status, DIPP_RUN_QUEUED);
    spec.revision = 2; /* a new text with an equal configuration is the same cell */
    assert_ok(dipp_store_run_create(store, &spec, &again, &error), error);
    assert_false(again.created);
    assert_int_equal(again.run_id, run.run_id);
    assert_string_equal(again.run_uuid, run.run_uuid);
    spec.config_sha256 = fake_sha256("d", config2);
    assert_ok(dipp_store_run_create(store, &spec, &again, &error), error);
    assert_true(again.created);
    assert_int_not_equal(again.run_id, run.run_id);

    spec.config_sha256 = "abc";
    assert_int_equal(dipp_store_run_create(store, &spec, &again, &error), DIPP_E_INVALID);
    spec.config_sha256 = fake_sha256("e", config2);
    spec.config_json = "{a:1}";
    assert_int_equal(dipp_store_run_create(store, &spec, &again, &error), DIPP_E_INVALID);
    spec.config_json = NULL;
    spec.experiment_id = 99;
    assert_int_equal(dipp_store_run_create(store, &spec, &again, &error), DIPP_E_INVALID);
    assert_int_equal(number_of(store, "SELECT count(*) FROM runs"), 2);

    int64_t found = 0;
    char prefix[9];
    snprintf(prefix, sizeof prefix, "%.8s", run.run_uuid);
    assert_ok(dipp_store_find_run(store, prefix, NULL, &found, &error), error);
    assert_int_equal(found, run.run_id);
    sqlite3_exec(dipp_store_connection(store), "UPDATE runs SET created_at=created_at-86400000000 WHERE run_id=2", NULL,
                 NULL, NULL); /* the clock was set back between the two */
    assert_ok(dipp_store_find_run(store, "@latest", "e", &found, &error), error);
    assert_int_equal(found, 2);
    assert_ok(dipp_store_find_run(store, "1", NULL, &found, &error), error);
    assert_int_equal(found, 1);
    assert_int_equal(dipp_store_find_run(store, "x:5", NULL, &found, &error), DIPP_E_INVALID); /* two configurations */
    assert_int_equal(dipp_store_find_run(store, "x:6", NULL, &found, &error), DIPP_E_NOT_FOUND);
    dipp_store_close(&store);
    assert_null(store);
}

typedef struct seen_metrics {
    int count;
    double values[16];
    int64_t attempts[16];
} seen_metrics;

static int see_metric(void *user, const dipp_metric_row *row)
{
    seen_metrics *seen = user;
    seen->values[seen->count] = row->value;
    seen->attempts[seen->count++] = row->attempt;
    return 0;
}

static void resumed_steps_replace_and_never_double(void **state)
{
    dipp_error error = {0};
    dipp_store *store = open_store(state);
    int64_t run;
    one_run(store, NULL, &run);
    const dipp_metric_point first[] = {
        {"loss", 1, 0.5}, {"loss", 2, NAN}, {"loss", 3, INFINITY}, {"loss", 4, -INFINITY}};
    const dipp_metric_point resumed[] = {{"loss", 3, 0.25}, {"loss", 4, 0.125}, {"loss", 5, 1e-300}};
    assert_ok(dipp_store_metrics_put(store, run, 1, first, 4, &error), error);
    seen_metrics before = {0}, after = {0}, last = {0};
    assert_ok(dipp_store_each_metric(store, run, "loss", false, see_metric, &before, &error), error);
    assert_int_equal(before.count, 4);
    assert_true(isnan(before.values[1]) && before.values[2] == (double)INFINITY &&
                before.values[3] == -(double)INFINITY);
    assert_ok(dipp_store_metrics_put(store, run, 2, resumed, 3, &error), error);
    assert_ok(dipp_store_each_metric(store, run, NULL, false, see_metric, &after, &error), error);
    assert_int_equal(after.count, 5);
    assert_true(after.values[0] == 0.5 && isnan(after.values[1]) && after.values[2] == 0.25 &&
                after.values[4] == 1e-300);
    assert_int_equal(after.attempts[1], 1);
    assert_int_equal(after.attempts[2], 2);
    assert_ok(dipp_store_each_metric(store, run, NULL, true, see_metric, &last, &error), error);
    assert_int_equal(last.count, 1);
    assert_true(last.values[0] == 1e-300);
    assert_int_equal(dipp_store_metrics_put(store, 77, 1, first, 1, &error), DIPP_E_INVALID); /* no such run */
    dipp_store_close(&store);
}

static int see_param(void *user, const dipp_run_param *param)
{
    double *sum = user;
    if (strcmp(param->key, "i") == 0 && param->type == DIPP_STORE_INT && param->integer == -3)
        *sum += 1;
    if (strcmp(param->key, "r") == 0 && param->type == DIPP_STORE_REAL && param->real == 3.0)
        *sum += 10; /* a real stays real, even 3.0 */
    if (strcmp(param->key, "t") == 0 && param->type == DIPP_STORE_TEXT && strcmp(param->text, "1.0") == 0 &&
        param->source == DIPP_SOURCE_SWEEP && strcmp(param->origin, "x.yaml:3") == 0)
        *sum += 100;
    if (strcmp(param->key, "b") == 0 && param->type == DIPP_STORE_BOOL && param->integer == 1)
        *sum += 1000;
    return 0;
}

static void parameters_keep_their_type_and_source(void **state)
{
    dipp_error error = {0};
    dipp_store *store = open_store(state);
    int64_t run;
    one_run(store, NULL, &run);
    dipp_run_param params[] = {
        {.key = "i", .type = DIPP_STORE_INT, .integer = -3},
        {.key = "r", .type = DIPP_STORE_REAL, .real = 3.0},
        {.key = "t", .type = DIPP_STORE_TEXT, .text = "1.0", .source = DIPP_SOURCE_SWEEP, .origin = "x.yaml:3"},
        {.key = "b", .type = DIPP_STORE_BOOL, .integer = 1}};
    double sum = 0;
    assert_ok(dipp_store_params_put(store, run, params, 4, &error), error);
    assert_ok(dipp_store_params_put(store, run, params, 4, &error), error);
    assert_ok(dipp_store_each_param(store, run, see_param, &sum, &error), error);
    assert_true(sum == 1111);
    params[1].real = (double)NAN;
    assert_int_equal(dipp_store_params_put(store, run, params, 4, &error), DIPP_E_INVALID);
    params[1] = (dipp_run_param){.key = "j", .type = DIPP_STORE_JSON, .text = "[1,"};
    assert_int_equal(dipp_store_params_put(store, run, params, 4, &error), DIPP_E_INVALID);
    dipp_store_close(&store);
}

static void a_transaction_is_all_or_nothing(void **state)
{
    dipp_error error = {0};
    dipp_store *store = open_store(state);
    int64_t run;
    one_run(store, NULL, &run);
    const dipp_metric_point point = {"new name", 1, 1.0};
    assert_ok(dipp_store_begin(store, &error), error);
    assert_ok(dipp_store_metrics_put(store, run, 1, &point, 1, &error), error);
    assert_int_equal(dipp_store_metrics_put(store, 77, 1, &point, 1, &error), DIPP_E_INVALID);
    assert_int_equal(dipp_store_metrics_put(store, run, 1, &point, 1, &error), DIPP_E_INVALID); /* after the failure */
    assert_int_equal(dipp_store_commit(store, &error), DIPP_E_INVALID);
    assert_int_equal(number_of(store, "SELECT count(*) FROM metrics"), 0);
    /* the rolled-back name must not be remembered under its lost id */
    assert_ok(dipp_store_begin(store, &error), error);
    assert_ok(dipp_store_metrics_put(store, run, 1, &point, 1, &error), error);
    dipp_store_rollback(store);
    assert_int_equal(number_of(store, "SELECT count(*) FROM metrics"), 0);
    assert_ok(dipp_store_metric_define(store, "takes the id", 1, "val", NULL, NULL, &error), error);
    assert_ok(dipp_store_metrics_put(store, run, 1, &point, 1, &error), error);
    assert_int_equal(number_of(store, "SELECT count(*) FROM metrics JOIN metric_names USING(metric_id) WHERE "
                                      "name='new name'"),
                     1);
    assert_int_equal(dipp_store_commit(store, &error), DIPP_E_INVALID); /* without begin */
    dipp_store_close(&store);
}

static void evaluations_are_keyed_by_scorer_and_settings(void **state)
{
    dipp_error error = {0};
    dipp_store *store = open_store(state);
    int64_t run, set, scorers[2], settings[2], same;
    char sha[65];
    one_run(store, NULL, &run);
    const dipp_prompt_record prompts[] = {{"a", NULL, NULL}, {"b", "c", "{}"}};
    assert_ok(dipp_store_prompt_set_put(store, "p", fake_sha256("p", sha), prompts, 2, &set, &error), error);
    assert_ok(dipp_store_prompt_set_put(store, "p", sha, prompts, 2, &same, &error), error);
    assert_int_equal(set, same);
    dipp_plugin_record judge = {.kind = "metric", .name = "glyph", .version = "1"};
    assert_ok(dipp_store_scorer_put(store, &judge, NULL, &scorers[0], &error), error);
    assert_ok(dipp_store_scorer_put(store, &judge, "{\"k\":5}", &scorers[1], &error), error);
    assert_ok(dipp_store_scorer_put(store, &judge, NULL, &same, &error), error);
    assert_int_equal(scorers[0], same);
    assert_int_not_equal(scorers[0], scorers[1]);
    dipp_evaluation_settings how = {.sampler_steps = 1, .cfg_omega = 1};
    assert_ok(dipp_store_settings_put(store, &how, &settings[0], &error), error);
    how.weights = "raw";
    assert_ok(dipp_store_settings_put(store, &how, &settings[1], &error), error);
    for (int i = 0; i < 4; i++) {
        dipp_evaluation_row row = {"glyph", scorers[i % 2], 1, 0, 7, i, 0};
        for (int repeat = 0; repeat < 2; repeat++)
            assert_ok(dipp_store_evaluations_put(store, run, 10, settings[i / 2], set, &row, 1, &error), error);
    }
    assert_int_equal(number_of(store, "SELECT count(*) FROM evaluations"), 4);
    assert_int_equal(number_of(store, "SELECT count(*) FROM scores_by_step"), 4);
    dipp_evaluation_row rows[] = {{"glyph", scorers[0], 0, 0, 7, NAN, 0}, {"glyph", scorers[0], 2, 0, 7, 1.0, 0}};
    assert_int_equal(dipp_store_evaluations_put(store, run, 10, settings[0], set, rows, 2, &error), DIPP_E_INVALID);
    assert_non_null(strstr(error.message, "no prompt 2"));
    assert_int_equal(number_of(store, "SELECT count(*) FROM evaluations"), 4); /* its first row neither */
    assert_ok(dipp_store_evaluations_put(store, run, 10, settings[0], set, rows, 1, &error), error);
    assert_int_equal(number_of(store, "SELECT count(*) FROM evaluations WHERE kind='nan' AND value IS NULL"), 1);
    dipp_store_close(&store);
}

static int see_checkpoint(void *user, const dipp_file_record *file)
{
    int64_t *steps = user;
    steps[steps[0] + 1] = file->step;
    steps[0]++;
    return steps[0] == 2; /* stops after two */
}

static int see_attempt(void *user, const dipp_attempt_row *row)
{
    int64_t *out = user;
    out[row->attempt] = row->spec.start_step + (row->reason && strcmp(row->reason, "lost") == 0 ? 1000 : 0) +
                        (row->reason && strcmp(row->reason, "completed") == 0 ? 2000 : 0);
    return 0;
}

static int see_run(void *user, const dipp_run_row *row)
{
    *(dipp_run_status *)user = row->status;
    return 0;
}

static void a_run_is_claimed_resumed_and_ended_once(void **state)
{
    dipp_error error = {0};
    dipp_store *store = open_store(state);
    int64_t run, attempt, attempts[4] = {0}, steps[4] = {0};
    char sha[65];
    bool changed;
    one_run(store, NULL, &run);
    dipp_attempt_spec spec = {.threads = 2, .libraries_json = "{\"sqlite\":\"3\"}"};
    assert_int_equal(dipp_store_attempt_begin(store, run, &spec, &attempt, &error), DIPP_E_INVALID); /* not claimed */
    assert_ok(dipp_store_claim(store, run, 0, NULL, &error), error);
    assert_int_equal(dipp_store_claim(store, run, ~0u, NULL, &error), DIPP_E_BUSY);
    assert_ok(dipp_store_attempt_begin(store, run, &spec, &attempt, &error), error);
    for (int64_t step = 10; step <= 30; step += 10) {
        char word[16];
        snprintf(word, sizeof word, "%d", (int)step);
        dipp_file_record file = {.step = step, .path = word, .sha256 = fake_sha256(word, sha), .bytes = 4};
        assert_ok(dipp_store_checkpoint_put(store, run, attempt, &file, &error), error);
    }
    assert_ok(dipp_store_each_checkpoint(store, run, see_checkpoint, steps, &error), error);
    assert_int_equal(steps[0], 2);
    assert_int_equal(steps[1], 30);
    assert_int_equal(steps[2], 20);
    assert_ok(dipp_store_checkpoint_remove(store, run, 30, &error), error);
    spec.start_step = 20;
    assert_ok(dipp_store_attempt_begin(store, run, &spec, &attempt, &error), error);
    assert_int_equal(attempt, 2);
    assert_ok(dipp_store_heartbeat(store, run, 40, 640, &error), error);
    assert_ok(dipp_store_run_finish(store, run, DIPP_RUN_COMPLETED, 0, -1, NULL, &changed, &error), error);
    assert_true(changed);
    assert_ok(dipp_store_run_finish(store, run, DIPP_RUN_KILLED, -1, 9, "late", &changed, &error), error);
    assert_false(changed);
    dipp_run_status status = DIPP_RUN_QUEUED;
    assert_ok(dipp_store_each_run(store, &(dipp_run_filter){.run_id = run, .arm = "a"}, see_run, &status, &error),
              error);
    assert_int_equal(status, DIPP_RUN_COMPLETED);
    status = DIPP_RUN_QUEUED;
    assert_ok(dipp_store_each_run(store, &(dipp_run_filter){.statuses = 1u << DIPP_RUN_LOST}, see_run, &status, &error),
              error);
    assert_int_equal(status, DIPP_RUN_QUEUED); /* none listed */
    assert_ok(dipp_store_each_attempt(store, run, see_attempt, attempts, &error), error);
    assert_int_equal(attempts[1], 1000); /* left open: lost */
    assert_int_equal(attempts[2], 2020);
    assert_int_equal(dipp_store_claim(store, run, 1u << DIPP_RUN_FAILED, NULL, &error), DIPP_E_INVALID);
    assert_ok(dipp_store_run_requeue(store, run, "interrupted", &error), error);
    int64_t next;
    assert_ok(dipp_store_claim_next(store, 0, NULL, &next, &error), error);
    assert_int_equal(next, run);
    assert_ok(dipp_store_claim_next(store, 0, NULL, &next, &error), error);
    assert_int_equal(next, 0);
    /* the clock went backwards: the heartbeat does not */
    assert_int_equal(number_of(store, "SELECT heartbeat_at>=started_at AND images_seen=640 FROM runs"), 1);
    dipp_store_close(&store);
}

static void remember_lost(void *user, int64_t run_id, const char *name, const char *host, int64_t pid)
{
    (void)name, (void)host, (void)pid;
    *(int64_t *)user = run_id;
}

static void a_dead_process_leaves_a_lost_run(void **state)
{
    dipp_error error = {0};
    dipp_store *store = open_store(state);
    int64_t run, lost = 0;
    int count = -1;
    one_run(store, NULL, &run);
    dipp_store_close(&store);
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        dipp_store *own;
        int64_t attempt;
        dipp_attempt_spec spec = {0};
        if (dipp_store_open(((test_directory *)*state)->store, NULL, &own, NULL) != DIPP_OK ||
            dipp_store_claim(own, run, 0, NULL, NULL) != DIPP_OK ||
            dipp_store_attempt_begin(own, run, &spec, &attempt, NULL) != DIPP_OK || write(ready[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    char byte;
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    store = open_store(state);
    assert_ok(dipp_store_mark_lost(store, 0, remember_lost, &lost, &count, &error), error);
    assert_int_equal(count, 0); /* it lives */
    assert_int_equal(dipp_store_claim(store, run, 1u << DIPP_RUN_LOST, NULL, &error), DIPP_E_BUSY);
    char pid[32];
    snprintf(pid, sizeof pid, "process %ld", (long)child);
    assert_non_null(strstr(error.message, pid));
    kill(child, SIGKILL);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0); /* still a zombie: dead all the same */
    assert_ok(dipp_store_mark_lost(store, 0, remember_lost, &lost, &count, &error), error);
    assert_int_equal(count, 1);
    assert_int_equal(lost, run);
    waitpid(child, NULL, 0);
    char text[32];
    assert_string_equal(text_of(store, "SELECT status FROM runs", text, sizeof text), "lost");
    assert_string_equal(text_of(store, "SELECT reason FROM attempts", text, sizeof text), "lost");
    assert_string_equal(text_of(store, "SELECT code FROM events", text, sizeof text), "run.lost");
    assert_ok(dipp_store_claim(store, run, 1u << DIPP_RUN_LOST, NULL, &error), error);

    /* a process elsewhere is judged by its heartbeat alone; an old pid with another start time is dead */
    dipp_process elsewhere = {.host = "another-host", .pid = 1, .start_time = 1}, reused;
    assert_true(dipp_process_alive(&elsewhere));
    assert_ok(dipp_process_self(&reused, &error), error);
    assert_true(dipp_process_alive(&reused));
    reused.start_time--;
    assert_false(dipp_process_alive(&reused));
    assert_ok(dipp_store_run_requeue(store, run, "interrupted", &error), error);
    assert_ok(dipp_store_claim(store, run, 0, &reused, &error), error);
    assert_ok(dipp_store_claim(store, run, 1u << DIPP_RUN_LOST, &elsewhere, &error),
              error); /* the dead holder is lost */
    assert_ok(dipp_store_mark_lost(store, 3600, NULL, NULL, &count, &error), error);
    assert_int_equal(count, 0);
    dipp_store_close(&store);
}

static int stop_at_once(void *user, int columns, const char *const *names, const char *const *values)
{
    assert_int_equal(columns, 2);
    assert_string_equal(names[1], "absent");
    assert_null(values[1]);
    ++*(int *)user;
    return 1;
}

static void a_query_reads_and_never_writes(void **state)
{
    dipp_error error = {0};
    dipp_store *store = open_store(state);
    int rows = 0;
    const char *binds[] = {"hps"};
    assert_ok(dipp_store_query(store, "SELECT name, NULL AS absent FROM metric_names WHERE name>=?1; -- all", binds, 1,
                               stop_at_once, &rows, &error),
              error);
    assert_int_equal(rows, 1);
    static const char *const bad[] = {
        "DELETE FROM runs",          "BEGIN", "SELECT 1; SELECT 2", "SELEKT", "", "ATTACH 'x' AS y",
        "PRAGMA journal_mode=delete"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(dipp_store_query(store, bad[i], NULL, 0, NULL, NULL, &error), DIPP_E_INVALID);
    dipp_store_close(&store);
}

static void a_store_does_not_cross_fork(void **state)
{
    dipp_error error = {0};
    dipp_store *store = open_store(state);
    int64_t run;
    one_run(store, NULL, &run);
    pid_t child = fork();
    if (child == 0) {
        dipp_status first = dipp_store_heartbeat(store, run, 1, 1, NULL);
        dipp_status second = dipp_store_query(store, "SELECT 1", NULL, 0, NULL, NULL, NULL);
        dipp_store_close(&store);
        _exit(first == DIPP_E_INTERNAL && second == DIPP_E_INTERNAL && !store ? 0 : 1);
    }
    int result = -1;
    waitpid(child, &result, 0);
    assert_int_equal(result, 0);
    assert_ok(dipp_store_heartbeat(store, run, 1, 1, &error), error);
    assert_ok(dipp_store_check(store, &error), error);
    dipp_store_close(&store);
    dipp_store_close(&store);
}

int main(void)
{
#define in_a_directory(test) cmocka_unit_test_setup_teardown(test, make_directory, remove_directory)
    const struct CMUnitTest tests[] = {
        in_a_directory(a_cell_is_found_again_by_its_key),
        in_a_directory(resumed_steps_replace_and_never_double),
        in_a_directory(parameters_keep_their_type_and_source),
        in_a_directory(a_transaction_is_all_or_nothing),
        in_a_directory(evaluations_are_keyed_by_scorer_and_settings),
        in_a_directory(a_run_is_claimed_resumed_and_ended_once),
        in_a_directory(a_dead_process_leaves_a_lost_run),
        in_a_directory(a_query_reads_and_never_writes),
        in_a_directory(a_store_does_not_cross_fork),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
