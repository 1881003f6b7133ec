/* Two stores become one: nothing lost, nothing doubled, in any order, as often as one likes. */
#include "synthetic.h"
#include "base/memory.h"

#include <sqlite3.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static dipp_store *open_at(void **state, const char *name, char path[400])
{
    dipp_store *store = NULL;
    dipp_error error = {0};
    snprintf(path, 400, "%s/%s", ((test_directory *)*state)->path, name);
    assert_ok(dipp_store_open(path, NULL, &store, &error), error);
    return store;
}

static dipp_store_merge_report merge(dipp_store *store, const char *from)
{
    dipp_error error = {0};
    dipp_store_merge_report report;
    assert_ok(dipp_store_merge(store, from, &report, &error), error);
    assert_ok(dipp_store_check(store, &error), error);
    return report;
}

static void change(dipp_store *store, const char *sql)
{
    char *message = NULL;
    if (sqlite3_exec(dipp_store_connection(store), sql, NULL, NULL, &message) != SQLITE_OK)
        fail_msg("%s: %s", sql, message);
}

static void copy_to(dipp_store *store, const char *path)
{
    char sql[500];
    snprintf(sql, sizeof sql, "VACUUM INTO '%s'", path);
    change(store, sql);
}

static int append_row(void *user, int columns, const char *const *names, const char *const *values)
{
    FILE *stream = user;
    for (int i = 0; i < columns; i++)
        fprintf(stream, "%s|", values[i] ? values[i] : "NULL");
    fputc('\n', stream);
    return 0;
}

/* Everything that people read, as text without ids; freed by the caller. */
static char *contents(dipp_store *store)
{
    static const char *const queries[] = {
        "SELECT * FROM leaderboard ORDER BY experiment, metric, arm, point, scorer, protocol, images_seen",
        "SELECT * FROM paired_by_seed ORDER BY experiment, metric, arm_a, arm_b, seed, scorer",
        "SELECT * FROM pairwise ORDER BY experiment, metric, arm_a, arm_b, scorer",
        "SELECT * FROM at_equal_kl ORDER BY experiment, metric, arm_a, arm_b, seed, scorer",
        "SELECT r.run_uuid, r.status, r.step, r.ended_at, p.run_uuid FROM runs r LEFT JOIN runs p ON "
        "p.run_id=r.parent_run_id ORDER BY 1",
        "SELECT r.run_uuid, n.name, m.step, m.value, m.kind, m.ts FROM metrics m JOIN runs r USING(run_id) JOIN "
        "metric_names n USING(metric_id) ORDER BY 1, 2, 3",
        "SELECT r.run_uuid, a.attempt, a.reason, a.threads FROM attempts a JOIN runs r USING(run_id) ORDER BY 1, 2",
        "SELECT r.run_uuid, p.key, p.type, p.value, p.source FROM params p JOIN runs r USING(run_id) ORDER BY 1, 2",
        "SELECT r.run_uuid, e.code, e.message, e.step FROM events e JOIN runs r USING(run_id) ORDER BY 1, 2",
        "SELECT r.run_uuid, c.depth, c.role, c.path FROM weight_chain c JOIN runs r USING(run_id) ORDER BY 1, 2, 3",
        "SELECT r.run_uuid, a.kind, a.path FROM artifacts a JOIN runs r USING(run_id) ORDER BY 1, 2, 3",
        "SELECT r.run_uuid, n.name, e.step, p.text, e.sample, e.noise_seed, e.value, e.kind, a.path FROM evaluations e "
        "JOIN runs r USING(run_id) JOIN metric_names n USING(metric_id) JOIN prompts p USING(prompt_id) LEFT JOIN "
        "artifacts a ON a.artifact_id=e.artifact_id ORDER BY 1, 2, 3, 4, 5, 6",
        "SELECT r.run_uuid, u.role, u.position, g.name, u.metric FROM run_plugins u JOIN plugins g USING(plugin_id) "
        "JOIN runs r USING(run_id) ORDER BY 1, 2, 3",
    };
    char *text = NULL;
    size_t size = 0;
    dipp_error error = {0};
    FILE *stream = open_memstream(&text, &size);
    for (size_t i = 0; i < sizeof queries / sizeof *queries; i++)
        assert_ok(dipp_store_query(store, queries[i], NULL, 0, append_row, stream, &error), error);
    fclose(stream);
    return text;
}

static void same(char *a, char *b)
{
    assert_string_equal(a, b);
    free(a);
    free(b);
}

static void an_empty_store_becomes_a_copy_and_again_changes_nothing(void **state)
{
    char here[400], there[400];
    dipp_store *into = open_at(state, "into.db", here), *from = open_at(state, "from.db", there);
    fill_synthetic(from);
    dipp_store_merge_report report = merge(into, there);
    assert_int_equal(report.runs, 9);
    assert_int_equal(report.added, 9);
    assert_int_equal(report.updated + report.passed_over, 0);
    same(contents(into), contents(from));
    char *once = contents(into);
    double rows = number_of(into, "SELECT (SELECT count(*) FROM evaluations)+(SELECT count(*) FROM set_metrics)+"
                                  "(SELECT count(*) FROM events)+(SELECT count(*) FROM experiment_revisions)");
    report = merge(into, there);
    assert_int_equal(report.added + report.updated + report.passed_over, 0);
    same(contents(into), once);
    assert_true(rows == number_of(into, "SELECT (SELECT count(*) FROM evaluations)+(SELECT count(*) FROM set_metrics)+"
                                        "(SELECT count(*) FROM events)+(SELECT count(*) FROM experiment_revisions)"));
    dipp_store_close(&into);
    dipp_store_close(&from);
}

/* Both have rows of their own, so that every id means something else on the other side. */
static void ids_do_not_clash_and_order_does_not_matter(void **state)
{
    char paths[4][400];
    dipp_store *one = open_at(state, "one.db", paths[0]), *two = open_at(state, "two.db", paths[1]);
    int64_t experiment, run;
    dipp_error error = {0};
    one_run(one, &experiment, &run);
    dipp_metric_point point = {"zzz first", 1, 2.5};
    assert_ok(dipp_store_metrics_put(one, run, 1, &point, 1, &error), error);
    dipp_file_record file = {.step = 3, .kind = "image", .path = "one/p.png", .sha256 = fake_sha256("p", paths[3])};
    assert_ok(dipp_store_artifact_put(one, run, &file, NULL, &error), error);
    fill_synthetic(two);
    dipp_evaluation_row scored = {"hps", (int64_t)number_of(two, "SELECT min(scorer_id) FROM evaluations"), 2, 7, 77, 1,
                                  0};
    file.path = "two/p.png";
    run = (int64_t)number_of(two, "SELECT max(run_id) FROM runs");
    assert_ok(dipp_store_artifact_put(two, run, &file, &scored.artifact_id, &error), error);
    assert_ok(dipp_store_evaluations_put(two, run, 300, 1, 1, &scored, 1, &error), error);
    dipp_store *forward = open_at(state, "forward.db", paths[2]), *backward = open_at(state, "backward.db", paths[3]);
    merge(forward, paths[0]);
    merge(forward, paths[1]);
    merge(backward, paths[1]);
    merge(backward, paths[0]);
    same(contents(forward), contents(backward));
    assert_true(number_of(forward, "SELECT count(*) FROM evaluations JOIN artifacts a USING(artifact_id) WHERE "
                                   "a.path='two/p.png' AND noise_seed=77") == 1);
    assert_true(number_of(forward, "SELECT count(*) FROM runs") == 10);
    assert_true(
        number_of(forward, "SELECT value FROM metrics JOIN metric_names USING(metric_id) WHERE name='zzz first'") ==
        2.5);
    dipp_store_close(&one);
    dipp_store_close(&two);
    dipp_store_close(&forward);
    dipp_store_close(&backward);
}

static void a_run_is_as_the_side_that_heard_last_says(void **state)
{
    char here[400], there[400];
    dipp_store *into = open_at(state, "into.db", here);
    int64_t run;
    dipp_error error = {0};
    one_run(into, NULL, &run);
    assert_ok(dipp_store_claim(into, run, 0, NULL, &error), error);
    dipp_metric_point points[] = {{"train/loss", 1, 0.5}, {"train/loss", 2, 0.4}};
    assert_ok(dipp_store_metrics_put(into, run, 1, points, 2, &error), error);
    snprintf(there, sizeof there, "%s/there.db", ((test_directory *)*state)->path);
    copy_to(into, there);
    dipp_store *from = open_at(state, "there.db", there);
    dipp_metric_point later[] = {{"train/loss", 2, 0.3}, {"train/loss", 3, 0.2}};
    assert_ok(dipp_store_metrics_put(from, run, 2, later, 2, &error), error);
    assert_ok(dipp_store_heartbeat(from, run, 3, 30, &error), error);
    assert_ok(dipp_store_run_finish(from, run, DIPP_RUN_COMPLETED, 0, -1, NULL, NULL, &error), error);
    dipp_store_merge_report report = merge(into, there);
    assert_int_equal(report.updated, 1);
    assert_int_equal(report.added, 0);
    assert_true(number_of(into, "SELECT count(*) FROM runs WHERE status='completed' AND step=3") == 1);
    assert_true(number_of(into, "SELECT value FROM metrics WHERE step=2") == 0.3);
    assert_true(number_of(into, "SELECT count(*) FROM metrics") == 3);
    report = merge(from, here); /* the other way round there is nothing newer */
    assert_int_equal(report.updated, 0);
    assert_true(number_of(from, "SELECT value FROM metrics WHERE step=2") == 0.3);
    dipp_store_close(&into);
    dipp_store_close(&from);
}

/* The run goes on elsewhere, by a clock that is a day behind: its second attempt is the later one all the same. */
static void a_clock_that_lags_does_not_make_the_later_side_the_earlier(void **state)
{
    char here[400], there[400];
    dipp_store *into = open_at(state, "into.db", here);
    int64_t run, attempt;
    dipp_error error = {0};
    dipp_attempt_spec spec = {.start_step = 0};
    char sha[65];
    dipp_file_record file = {.step = 2, .kind = "grid", .path = "grid.png", .sha256 = fake_sha256("old", sha)};
    one_run(into, NULL, &run);
    assert_ok(dipp_store_claim(into, run, 0, NULL, &error), error);
    assert_ok(dipp_store_attempt_begin(into, run, &spec, &attempt, &error), error);
    dipp_metric_point points[] = {{"train/loss", 1, 0.5}, {"train/loss", 2, 0.4}};
    assert_ok(dipp_store_metrics_put(into, run, attempt, points, 2, &error), error);
    assert_ok(dipp_store_artifact_put(into, run, &file, NULL, &error), error);
    assert_ok(dipp_store_heartbeat(into, run, 2, 20, &error), error);
    assert_ok(dipp_store_run_requeue(into, run, "interrupted", &error), error);
    snprintf(there, sizeof there, "%s/there.db", ((test_directory *)*state)->path);
    copy_to(into, there);
    dipp_store *from = open_at(state, "there.db", there);
    assert_ok(dipp_store_claim(from, run, 0, NULL, &error), error);
    assert_ok(dipp_store_attempt_begin(from, run, &spec, &attempt, &error), error);
    dipp_metric_point later[] = {{"train/loss", 2, 0.3}, {"train/loss", 3, 0.2}};
    assert_ok(dipp_store_metrics_put(from, run, attempt, later, 2, &error), error);
    file.sha256 = fake_sha256("new", sha);
    assert_ok(dipp_store_artifact_put(from, run, &file, NULL, &error), error);
    assert_ok(dipp_store_run_finish(from, run, DIPP_RUN_COMPLETED, 0, -1, NULL, NULL, &error), error);
    change(
        from,
        "UPDATE metrics SET ts=ts-86400000000 WHERE attempt=2; UPDATE artifacts SET created_at=created_at-86400000000;"
        "UPDATE runs SET ended_at=ended_at-86400000000, heartbeat_at=heartbeat_at-86400000000");
    dipp_store_merge_report report = merge(from, here); /* there is nothing newer here */
    assert_int_equal(report.updated, 0);
    assert_true(number_of(from, "SELECT count(*) FROM runs WHERE status='completed'") == 1);
    report = merge(into, there);
    assert_int_equal(report.updated, 1);
    assert_true(number_of(into, "SELECT count(*) FROM runs WHERE status='completed'") == 1);
    assert_true(number_of(into, "SELECT value FROM metrics WHERE step=2") == 0.3);
    assert_true(number_of(into, "SELECT count(*) FROM metrics") == 3);
    char found[80];
    assert_string_equal(text_of(into, "SELECT sha256 FROM artifacts", found, sizeof found), file.sha256);
    dipp_store_close(&into);
    dipp_store_close(&from);
}

/* ---- Memory ---- */

static int64_t allocations_left = -1; /* of SQLite; -1 is off */
static bool allocation_failed;
static sqlite3_mem_methods plain_memory;

static bool sqlite_may_allocate(void)
{
    if (allocations_left > 0)
        allocations_left--;
    allocation_failed = allocation_failed || allocations_left == 0;
    return allocations_left != 0;
}

static void *allocate_or_fail(int bytes)
{
    return sqlite_may_allocate() ? plain_memory.xMalloc(bytes) : NULL;
}

static void *reallocate_or_fail(void *memory, int bytes)
{
    return sqlite_may_allocate() ? plain_memory.xRealloc(memory, bytes) : NULL;
}

static int fail_at_will(void **state)
{
    (void)state;
    sqlite3_mem_methods own;
    if (sqlite3_shutdown() || sqlite3_config(SQLITE_CONFIG_GETMALLOC, &plain_memory))
        return -1;
    own = plain_memory;
    own.xMalloc = allocate_or_fail;
    own.xRealloc = reallocate_or_fail;
    return sqlite3_config(SQLITE_CONFIG_MALLOC, &own) || sqlite3_initialize();
}

/* Another process may write at once, and empty the log: no transaction was left open. */
static void assert_unlocked(const char *path)
{
    sqlite3 *other = NULL;
    int log_frames = 0, moved = 0;
    assert_int_equal(sqlite3_open_v2(path, &other, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    if (sqlite3_exec(other, "BEGIN IMMEDIATE; COMMIT", NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s", path, sqlite3_errmsg(other));
    assert_int_equal(sqlite3_wal_checkpoint_v2(other, "main", SQLITE_CHECKPOINT_TRUNCATE, &log_frames, &moved),
                     SQLITE_OK);
    sqlite3_close(other);
}

/* Each allocation of the store's, and a growing sample of SQLite's thousands: an error and nothing changed (or all, where
 * memory ended behind the commit), and the same store merges once there is memory again. */
static void no_memory_is_an_error_and_changes_nothing(void **state)
{
    char here[400], there[400], whole_path[400];
    dipp_store *into = open_at(state, "into.db", here), *from = open_at(state, "from.db", there);
    dipp_store_merge_report report;
    dipp_error error = {0};
    int64_t failures = 0, all_the_same = 0;
    one_run(into, NULL, &(int64_t){0});
    fill_synthetic(from);
    snprintf(whole_path, sizeof whole_path, "%s/whole.db", ((test_directory *)*state)->path);
    copy_to(into, whole_path);
    dipp_store *merged = open_at(state, "whole.db", whole_path);
    merge(merged, there);
    char *before = contents(into), *after = contents(merged);
    for (int64_t nth = 1;; nth++) { /* the store's own, where nothing is */
        dipp_memory_fail_nth((uint64_t)nth, true);
        dipp_status status = dipp_store_merge(merged, there, &report, &error);
        bool failed = dipp_memory_has_failed();
        dipp_memory_fail_nth(0, false);
        if (status != (failed ? DIPP_E_MEMORY : DIPP_OK))
            fail_msg("own allocation %lld: %s, %s", (long long)nth, dipp_status_name(status), error.message);
        if (!failed)
            break;
        failures++;
    }
    for (int64_t nth = 1;; nth += nth / 12 + 1) { /* SQLite's, where everything is to be merged */
        allocation_failed = false;
        allocations_left = nth;
        dipp_status status = dipp_store_merge(into, there, &report, &error);
        allocations_left = -1;
        assert_true(sqlite3_get_autocommit(dipp_store_connection(into)));
        char *now = contents(into);
        bool unchanged = !strcmp(now, before), whole = !strcmp(now, after);
        free(now);
        if (status == DIPP_OK ? !whole : status != DIPP_E_MEMORY || !error.message[0] || !(unchanged || whole))
            fail_msg("allocation %lld: %s, %s", (long long)nth, dipp_status_name(status), error.message);
        assert_unlocked(here);
        assert_unlocked(there);
        failures += status != DIPP_OK;
        all_the_same += status != DIPP_OK && whole;
        if (whole)
            break;
        assert_true(allocation_failed);
    }
    same(contents(merged), contents(into));
    assert_true(failures > 40);
    assert_true(all_the_same <= 1);
    merge(into, there);
    same(contents(into), after);
    free(before);
    dipp_store_close(&into);
    dipp_store_close(&from);
    dipp_store_close(&merged);
}

static void of_one_cell_made_twice_the_completed_run_stays(void **state)
{
    char failed_path[400], completed_path[400];
    dipp_store *failed = open_at(state, "failed.db", failed_path),
               *completed = open_at(state, "done.db", completed_path);
    dipp_error error = {0};
    int64_t run;
    one_run(failed, NULL, &run);
    assert_ok(dipp_store_run_finish(failed, run, DIPP_RUN_FAILED, 1, -1, "no", NULL, &error), error);
    one_run(completed, NULL, &run);
    assert_ok(dipp_store_run_finish(completed, run, DIPP_RUN_COMPLETED, 0, -1, NULL, NULL, &error), error);
    char uuid[64];
    text_of(completed, "SELECT run_uuid FROM runs", uuid, sizeof uuid);
    dipp_store_merge_report report = merge(completed, failed_path);
    assert_int_equal(report.passed_over, 1);
    report = merge(failed, completed_path);
    assert_int_equal(report.added, 1);
    char now[64];
    assert_string_equal(text_of(failed, "SELECT run_uuid FROM runs", now, sizeof now), uuid);
    assert_true(number_of(completed, "SELECT count(*) FROM runs") == 1);
    dipp_store_close(&failed);
    dipp_store_close(&completed);
}

static void paths_lead_to_where_the_files_are(void **state)
{
    char here[400], there[400], folder[400], text[128];
    snprintf(folder, sizeof folder, "%s/node 1", ((test_directory *)*state)->path);
    assert_int_equal(mkdir(folder, 0777), 0);
    dipp_store *into = open_at(state, "into.db", here), *from = open_at(state, "node 1/n.db", there);
    dipp_error error = {0};
    int64_t run;
    char sha[65];
    one_run(from, NULL, &run);
    dipp_file_record file = {.step = 3, .kind = "image", .path = "n/p.png", .sha256 = fake_sha256("p", sha)};
    assert_ok(dipp_store_artifact_put(from, run, &file, NULL, &error), error);
    dipp_file_record checkpoint = {.step = 3, .path = "n/c.safetensors", .sha256 = fake_sha256("c", sha), .bytes = 1};
    assert_ok(dipp_store_checkpoint_put(from, run, 1, &checkpoint, &error), error);
    dipp_weights_record outside = {.sha256 = fake_sha256("o", sha), .path = "weights/dit", .bytes = 1};
    assert_ok(dipp_store_weights_put(from, &outside, &error), error);
    merge(into, there);
    assert_string_equal(text_of(into, "SELECT path FROM artifacts", text, sizeof text), "node 1/n/p.png");
    assert_string_equal(text_of(into, "SELECT path FROM checkpoints", text, sizeof text), "node 1/n/c.safetensors");
    assert_string_equal(text_of(into, "SELECT path FROM weights WHERE produced_by_run_id IS NULL", text, sizeof text),
                        "weights/dit");
    merge(into, there);
    assert_true(number_of(into, "SELECT count(*) FROM artifacts") == 1);
    dipp_store *sibling = open_at(state, "node 1/other.db", folder);
    merge(sibling, here); /* up */
    assert_string_equal(text_of(sibling, "SELECT path FROM artifacts", text, sizeof text), "../node 1/n/p.png");
    dipp_store_close(&into);
    dipp_store_close(&from);
    dipp_store_close(&sibling);
}

static void what_cannot_be_merged_is_refused_and_changes_nothing(void **state)
{
    char here[400], there[400];
    dipp_store *into = open_at(state, "into.db", here), *from = open_at(state, "from.db", there);
    dipp_store_merge_report report;
    dipp_error error = {0};
    fill_synthetic(from);
    assert_int_equal(dipp_store_merge(into, here, &report, &error), DIPP_E_INVALID);
    assert_non_null(strstr(error.message, "same file"));
    assert_int_equal(dipp_store_merge(into, "/nowhere.db", &report, &error), DIPP_E_NOT_FOUND);
    change(from, "UPDATE metric_names SET direction=-1 WHERE name='hps'");
    assert_int_equal(dipp_store_merge(into, there, &report, &error), DIPP_E_INVALID);
    assert_non_null(strstr(error.message, "the metric hps"));
    change(from, "UPDATE metric_names SET direction=1 WHERE name='hps'");
    change(from, "PRAGMA user_version=99");
    assert_int_equal(dipp_store_merge(into, there, &report, &error), DIPP_E_UNSUPPORTED);
    assert_non_null(strstr(error.message, "newer dipp"));
    change(from, "PRAGMA user_version=2; PRAGMA application_id=7");
    assert_int_equal(dipp_store_merge(into, there, &report, &error), DIPP_E_FORMAT);
    assert_true(number_of(into, "SELECT count(*) FROM experiments") == 0);
    change(from, "PRAGMA application_id=1145645867"); /* "DI++" again */
    assert_int_equal(merge(into, there).added, 9);    /* a refusal leaves nothing behind that is in the way */
    dipp_store_close(&into);
    dipp_store_close(&from);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_empty_store_becomes_a_copy_and_again_changes_nothing, make_directory,
                                        remove_directory),
        cmocka_unit_test_setup_teardown(ids_do_not_clash_and_order_does_not_matter, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(a_run_is_as_the_side_that_heard_last_says, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(a_clock_that_lags_does_not_make_the_later_side_the_earlier, make_directory,
                                        remove_directory),
        cmocka_unit_test_setup_teardown(no_memory_is_an_error_and_changes_nothing, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(of_one_cell_made_twice_the_completed_run_stays, make_directory,
                                        remove_directory),
        cmocka_unit_test_setup_teardown(paths_lead_to_where_the_files_are, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(what_cannot_be_merged_is_refused_and_changes_nothing, make_directory,
                                        remove_directory),
    };
    return cmocka_run_group_tests(tests, fail_at_will, NULL);
}
