/* A run that is stopped inside an iteration, at every place where it can be: it goes on to the same bits and metrics. */
#include "runner.h"

#include <stdlib.h>
#include <unistd.h>

enum { STEPS = 4 };

typedef struct watcher {
    int64_t asked, stop_at;   /* the question that is answered with yes, from 1; 0 none */
    uint64_t rows[STEPS + 1]; /* a digest of each iteration's metrics */
} watcher;

static void digest(void *context, int64_t step, const char *const *names, const double *values, size_t count)
{
    watcher *w = context;
    uint64_t hash = 1469598103934665603u; /* FNV-1a */
    for (size_t i = 0; i < count; i++) {
        unsigned char bytes[sizeof *values];
        memcpy(bytes, &values[i], sizeof bytes);
        for (size_t k = 0; k < sizeof bytes; k++)
            hash = (hash ^ bytes[k]) * 1099511628211u;
        for (const char *c = names[i]; *c; c++)
            hash = (hash ^ (unsigned char)*c) * 1099511628211u;
    }
    assert_int_equal(w->rows[step], 0); /* no iteration twice */
    w->rows[step] = hash;
}

static bool stopping(void *context)
{
    watcher *w = context;
    return ++w->asked == w->stop_at;
}

static dipp_status run_watched(runner *r, watcher *w, dipp_error *error)
{
    dipp_align_observer observer = {.context = w, .metrics = digest, .stopping = stopping};
    return dipp_align_run(r->align, &observer, error);
}

/* Stops a run at its nth question, saves, and goes on in a fresh one; false when it has no such question. */
static bool stop_and_go_on(const exact_choice *choice, const char *label, const dipp_align_settings *settings,
                           const char *path, int64_t nth, runner *rest, watcher *w)
{
    dipp_error why = {0};
    runner first;
    *w = (watcher){.stop_at = nth};
    runner_open(&first, choice, label, settings);
    dipp_status status = run_watched(&first, w, &why);
    if (status == DIPP_OK) {
        runner_close(&first);
        return false;
    }
    assert_int_equal(status, DIPP_E_INTERRUPTED);
    assert_int_equal(w->asked, nth); /* it asks no further */
    assert_non_null(strstr(why.message, "interrupted in iteration"));
    CHECK(dipp_align_save(first.align, path, NULL, error));
    runner_close(&first);
    runner_open(rest, choice, label, settings);
    CHECK(dipp_align_load(rest->align, path, error));
    assert_int_equal(run_watched(rest, w, &why), DIPP_OK);
    return true;
}

/* least: how many places there must be at least. */
static void stops_anywhere(const exact_choice *choice, const char *label, const dipp_align_settings *settings,
                           int64_t least)
{
    char folder[] = "/tmp/dipp-align-XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/checkpoint.safetensors", folder);
    dipp_error error = {0};
    watcher whole = {.stop_at = 0}, w;
    runner r;
    size_t count;
    runner_open(&r, choice, label, settings);
    assert_int_equal(run_watched(&r, &whole, &error), DIPP_OK);
    double *end = runner_state(&r, &count);
    runner_close(&r);
    int64_t nth = 1;
    for (; stop_and_go_on(choice, label, settings, path, nth, &r, &w); nth++) {
        double *found = runner_state(&r, &count);
        if (memcmp(found, end, count * sizeof *end) || memcmp(w.rows, whole.rows, sizeof w.rows))
            fail_msg("stopped at question %lld: another end", (long long)nth);
        test_free(found);
        runner_close(&r);
    }
    assert_int_equal(nth, whole.asked + 1);
    assert_true(whole.asked >= least);
    test_free(end);
    unlink(path);
    rmdir(folder);
}

/* Guidance, a TA of two updates and three of warm-up, two micro-batches: in both halves of an iteration. */
static void a_run_may_stop_between_any_two_programs(void **state)
{
    (void)state;
    dipp_align_settings settings = runner_rich();
    settings.steps = STEPS;
    stops_anywhere(&runner_mixed, "plus", &settings, STEPS * (2 * 2 + 2 * 3) + 3 * 2);
}

/* A judge that takes its time is asked 1 + pairs times a micro-batch: the run stops between these. */
static void a_run_may_stop_between_two_questions_to_a_judge(void **state)
{
    (void)state;
    dipp_align_settings settings = runner_rich();
    settings.steps = STEPS;
    exact_choice choice = runner_plain;
    choice.rewards[0] = "opaque-quadratic";
    choice.reward_parameters[0] = "center=[2]; curvature=1.5";
    settings.cfg_omega = 1;
    settings.rewards[0] = (dipp_align_reward){.scale = 0.6, .sigma = 0.3, .pairs = 2};
    stops_anywhere(&choice, NULL, &settings, STEPS * (2 * 2 + 2 * (3 + 3)) + 3 * 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_may_stop_between_any_two_programs),
        cmocka_unit_test(a_run_may_stop_between_two_questions_to_a_judge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
