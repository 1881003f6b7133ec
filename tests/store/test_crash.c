/* Processes that start together, race for a run, or die by SIGKILL at any moment. */
#include "synthetic.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WRITERS = 3, KILL_ROUNDS = 40 };

static const char *path_of(void **state)
{
    return ((test_directory *)*state)->store;
}

static void *shared_memory(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(memory != MAP_FAILED);
    return memory;
}

static void assert_children_exit_with_0(const pid_t *children, int count)
{
    for (int i = 0; i < count; i++) {
        int result = -1;
        waitpid(children[i], &result, 0);
        assert_int_equal(result, 0);
    }
}

static void processes_that_start_together_migrate_once(void **state)
{
    dipp_error error = {0};
    dipp_store *store;
    for (int round = 0; round < 5; round++) {
        pid_t children[4];
        int gate[2];
        assert_int_equal(pipe(gate), 0);
        for (int i = 0; i < 4; i++) {
            if ((children[i] = fork()) == 0) {
                char byte;
                dipp_error own = {0};
                close(gate[1]);
                if (read(gate[0], &byte, 1) != 0) /* until the parent closes its end */
                    _exit(1);
                if (dipp_store_open(path_of(state), NULL, &store, &own) != DIPP_OK) {
                    fprintf(stderr, "%s\n", own.message);
                    _exit(2);
                }
                dipp_store_close(&store);
                _exit(0);
            }
        }
        close(gate[0]);
        close(gate[1]);
        assert_children_exit_with_0(children, 4);
        assert_ok(dipp_store_open(path_of(state), NULL, &store, &error), error);
        assert_int_equal(number_of(store, "SELECT count(*) FROM migrations"), 2);
        assert_int_equal(number_of(store, "SELECT count(*) FROM sqlite_schema WHERE type='view'"), 16);
        dipp_store_close(&store);
        unlink(path_of(state));
    }
}

static void a_run_is_claimed_by_one_process_alone(void **state)
{
    enum { RUNS = 24 };
    dipp_error error = {0};
    dipp_store *store;
    dipp_store_experiment experiment;
    char sha[65];
    int *claims = shared_memory((RUNS + 1) * sizeof *claims);
    assert_ok(dipp_store_open(path_of(state), NULL, &store, &error), error);
    assert_ok(dipp_store_experiment_put(store, "e", "e", fake_sha256("e", sha), NULL, &experiment, &error), error);
    for (int seed = 0; seed < RUNS; seed++) {
        dipp_run_spec spec = {
            .experiment_id = experiment.experiment_id, .revision = 1, .arm = "a", .seed = seed, .config_sha256 = sha};
        dipp_run_ref run;
        assert_ok(dipp_store_run_create(store, &spec, &run, &error), error);
    }
    dipp_store_close(&store);
    pid_t children[WRITERS];
    for (int i = 0; i < WRITERS; i++) {
        if ((children[i] = fork()) == 0) {
            int64_t run = 0;
            if (dipp_store_open(path_of(state), NULL, &store, NULL) != DIPP_OK)
                _exit(1);
            do {
                if (dipp_store_claim_next(store, 0, NULL, &run, NULL) != DIPP_OK || run > RUNS)
                    _exit(2);
                __atomic_add_fetch(&claims[run], run != 0, __ATOMIC_SEQ_CST);
            } while (run != 0);
            dipp_store_close(&store);
            _exit(0);
        }
    }
    assert_children_exit_with_0(children, WRITERS);
    for (int run = 1; run <= RUNS; run++)
        assert_int_equal(claims[run], 1);
    munmap(claims, (RUNS + 1) * sizeof *claims);
}

/* One writer: metrics and a heartbeat, now and then a checkpoint, in one transaction per step. acknowledged is the
 * last step whose call returned, written after the return. */
static void write_for_ever(const char *path, int64_t run, volatile int64_t *acknowledged)
{
    dipp_store *store;
    dipp_error error = {0};
    if (dipp_store_open(path, NULL, &store, &error) != DIPP_OK) {
        fprintf(stderr, "%s\n", error.message);
        _exit(3);
    }
    for (int64_t step = *acknowledged + 1;; step++) {
        dipp_metric_point points[] = {{"loss", step, 1.0 / (double)step}, {"grad", step, (double)step}};
        dipp_status status = dipp_store_begin(store, &error);
        if (status == DIPP_OK)
            status = dipp_store_metrics_put(store, run, 1, points, 2, &error);
        if (status == DIPP_OK && step % 5 == 0) {
            char word[64], sha[65];
            snprintf(word, sizeof word, "%lld/%lld", (long long)run, (long long)step);
            dipp_file_record file = {.step = step, .path = word, .sha256 = fake_sha256(word, sha), .bytes = 1};
            status = dipp_store_checkpoint_put(store, run, 1, &file, &error);
        }
        if (status == DIPP_OK)
            status = dipp_store_heartbeat(store, run, step, step * 64, &error);
        if (status == DIPP_OK)
            status = dipp_store_commit(store, &error);
        if (status != DIPP_OK) {
            fprintf(stderr, "%s\n", error.message);
            _exit(4);
        }
        *acknowledged = step;
    }
}

/* Until every writer has written, which a loaded machine may put off as long as it likes; gives up after a minute. */
static void wait_for_writers(const volatile int64_t *acknowledged)
{
    bool all = false;
    for (int tries = 0; !all && tries < 60 * 1000; tries++) {
        all = true;
        for (int i = 0; i < WRITERS; i++)
            all = all && acknowledged[i] > 0;
        nanosleep(&(struct timespec){0, all ? 0 : 1000000}, NULL);
    }
}

static void kill_9_at_any_moment_loses_nothing_acknowledged(void **state)
{
    dipp_error error = {0};
    dipp_store *store;
    volatile int64_t *acknowledged = shared_memory(WRITERS * sizeof *acknowledged);
    dipp_store_experiment experiment;
    int64_t runs[WRITERS];
    char sha[65];
    unsigned random = 12345;
    assert_ok(dipp_store_open(path_of(state), NULL, &store, &error), error);
    assert_ok(dipp_store_experiment_put(store, "e", "e", fake_sha256("e", sha), NULL, &experiment, &error), error);
    for (int i = 0; i < WRITERS; i++) {
        dipp_run_spec spec = {
            .experiment_id = experiment.experiment_id, .revision = 1, .arm = "a", .seed = i, .config_sha256 = sha};
        dipp_run_ref run;
        assert_ok(dipp_store_run_create(store, &spec, &run, &error), error);
        runs[i] = run.run_id;
    }
    dipp_store_close(&store);
    for (int round = 0; round < KILL_ROUNDS; round++) {
        pid_t children[WRITERS];
        for (int i = 0; i < WRITERS; i++)
            if ((children[i] = fork()) == 0)
                write_for_ever(path_of(state), runs[i], &acknowledged[i]);
        if (round == 0) /* later ones die while they open, too */
            wait_for_writers(acknowledged);
        for (int i = 0; i < WRITERS; i++) {
            random = random * 1664525u + 1013904223u;
            nanosleep(&(struct timespec){0, (long)(2000000 + (random >> 8) % 20000000)}, NULL);
            kill(children[i], SIGKILL);
        }
        for (int i = 0; i < WRITERS; i++) {
            int result = 0;
            waitpid(children[i], &result, 0);
            assert_true(WIFSIGNALED(result) && WTERMSIG(result) == SIGKILL); /* it never failed by itself */
        }
        assert_ok(dipp_store_open(path_of(state), NULL, &store, &error), error);
        for (int i = 0; i < WRITERS; i++) {
            char sql[256];
            snprintf(
                sql, sizeof sql,
                "SELECT count(*)=2*max(m.step) AND max(m.step)=r.step FROM metrics m JOIN runs r USING(run_id) WHERE "
                "run_id=%lld GROUP BY run_id",
                (long long)runs[i]);
            if (acknowledged[i] > 0)
                assert_int_equal(number_of(store, sql), 1); /* contiguous, both metrics, heartbeat of the same step */
            snprintf(sql, sizeof sql, "SELECT step FROM runs WHERE run_id=%lld", (long long)runs[i]);
            int64_t stored = (int64_t)number_of(store, sql);
            assert_true(stored == acknowledged[i] || stored == acknowledged[i] + 1);
            snprintf(sql, sizeof sql, "SELECT count(*) FROM checkpoints WHERE run_id=%lld", (long long)runs[i]);
            assert_int_equal(number_of(store, sql), stored / 5);
        }
        if (round % 8 == 7)
            assert_ok(dipp_store_check(store, &error), error);
        dipp_store_close(&store);
    }
    for (int i = 0; i < WRITERS; i++)
        assert_true(acknowledged[i] > 0); /* they did write */
    munmap((void *)acknowledged, WRITERS * sizeof *acknowledged);
}

int main(void)
{
#define in_a_directory(test) cmocka_unit_test_setup_teardown(test, make_directory, remove_directory)
    const struct CMUnitTest tests[] = {
        in_a_directory(processes_that_start_together_migrate_once),
        in_a_directory(a_run_is_claimed_by_one_process_alone),
        in_a_directory(kill_9_at_any_moment_loses_nothing_acknowledged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
