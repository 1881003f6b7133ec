/* Runs whose looks and scores are known: evidence, truth, curves. */
#include "evaluate/monitor_study.h"

#include "../store/synthetic.h"
#include "base/memory.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { PROMPTS = 12, SAMPLES = 3, LOOKS = 2, STEPS = 20 };

/* A run of 20 steps, looked at after 8, 16 and 20 (two of the looks are written), with the judges gold and glyph. */
typedef struct made_run {
    const char *arm;
    double rise[LOOKS], gold[LOOKS], glyph[LOOKS]; /* p; NaN: not tested */
    int64_t alarm_step;                            /* recorded; -1: none */
    double fall;                                   /* of gold by the evaluation, give or take 0.05 by prompt */
} made_run;

static const made_run runs[] = {
    {"ruined", {1e-4, 1e-6}, {0.2, 1e-5}, {0.3, 1e-4}, 16, 0.5},
    {"worn", {1e-3, 1e-3}, {0.2, 0.004}, {0.3, 0.001}, 16, 0.2},
    {"missed", {1e-3, 1e-3}, {0.4, 0.3}, {0.3, 0.1}, -1, 0.2},
    {"unmoved", {0.5, 0.6}, {0.4, 0.3}, {0.9, 0.8}, -1, 0},
    {"worn a little", {1e-3, 1e-3}, {0.01, 0.2}, {0.3, 0.2}, 8, 0.04},
    {"better", {1e-5, 1e-5}, {0.99, 0.999}, {0.3, 0.3}, -1, -0.3},
    {"no reward", {NAN, NAN}, {NAN, NAN}, {NAN, NAN}, -1, 0},
    {"unfinished", {1e-3, 1e-3}, {0.4, 0.3}, {0.3, 0.1}, -1, 0.2},
};
enum { RUNS = sizeof runs / sizeof *runs };

typedef struct fixture {
    void *directory;
    dipp_store *store;
    dipp_error error;
    int64_t experiment, revision, prompt_set, scorer, settings[2];
} fixture;

#define OK(call) assert_ok(call, f->error)

static void put_scores(fixture *f, int64_t run, int64_t step, double fall)
{
    dipp_evaluation_row rows[PROMPTS * SAMPLES];
    for (int i = 0; i < PROMPTS * SAMPLES; i++) {
        int prompt = i / SAMPLES;
        double lost = fall + 0.05 * (prompt % 2 ? 1 : -1);
        rows[i] = (dipp_evaluation_row){"gold",
                                        f->scorer,
                                        prompt,
                                        i % SAMPLES,
                                        (uint64_t)i,
                                        0.9 - 0.01 * prompt + 0.001 * (i % SAMPLES) - (step ? lost : 0),
                                        0};
    }
    if (step)
        rows[4].value = NAN; /* a picture that was not finite: prompt 1 has two pairs */
    OK(dipp_store_evaluations_put(f->store, run, step, f->settings[step > 0], f->prompt_set, rows, PROMPTS * SAMPLES,
                                  &f->error));
}

static void make_run(fixture *f, const made_run *made)
{
    static const int64_t steps[LOOKS] = {8, 16};
    char config[65];
    dipp_run_spec spec = {.experiment_id = f->experiment,
                          .revision = f->revision,
                          .arm = made->arm,
                          .config_sha256 = fake_sha256(made->arm, config)};
    dipp_run_ref run;
    dipp_run_param params[] = {{.key = "align.steps", .type = DIPP_STORE_INT, .integer = STEPS},
                               {.key = "monitor.every", .type = DIPP_STORE_INT, .integer = 8},
                               {.key = "monitor.level", .type = DIPP_STORE_REAL, .real = 0.05},
                               {.key = "monitor.margin", .type = DIPP_STORE_REAL, .real = 0.05}};
    OK(dipp_store_run_create(f->store, &spec, &run, &f->error));
    OK(dipp_store_params_put(f->store, run.run_id, params, 4, &f->error));
    OK(dipp_store_claim(f->store, run.run_id, 0, NULL, &f->error));
    for (int look = 0; look < LOOKS && !isnan(made->rise[0]); look++) {
        dipp_metric_point points[] = {{"monitor.reward.border.p", steps[look], made->rise[look]},
                                      {"monitor.reward.other.p", steps[look], 0.9},
                                      {"monitor.gold.p", steps[look], made->gold[look]},
                                      {"monitor.glyph.p", steps[look], made->glyph[look]},
                                      {"monitor.gold", steps[look], 0.5}};
        OK(dipp_store_metrics_put(f->store, run.run_id, 1, points, 5, &f->error));
    }
    put_scores(f, run.run_id, 0, 0);
    put_scores(f, run.run_id, STEPS, made->fall);
    if (made->alarm_step >= 0)
        OK(dipp_store_event_put(f->store, run.run_id, 1, made->alarm_step, "warning", "monitor.alarm", "!", &f->error));
    OK(dipp_store_heartbeat(f->store, run.run_id, STEPS, 320, &f->error));
    if (strcmp(made->arm, "unfinished"))
        OK(dipp_store_run_finish(f->store, run.run_id, DIPP_RUN_COMPLETED, 0, -1, NULL, NULL, &f->error));
}

static int make(void **state)
{
    static fixture made;
    fixture *f = &made;
    char hash[65];
    dipp_store_experiment experiment;
    dipp_prompt_record prompts[PROMPTS];
    char texts[PROMPTS][16];
    made = (fixture){0};
    *state = f;
    if (make_directory(&f->directory) != 0)
        return -1;
    OK(dipp_store_open(((test_directory *)f->directory)->store, NULL, &f->store, &f->error));
    OK(dipp_store_experiment_put(f->store, "watched", "name: watched\n", fake_sha256("y", hash), NULL, &experiment,
                                 &f->error));
    f->experiment = experiment.experiment_id;
    f->revision = experiment.revision;
    for (int i = 0; i < PROMPTS; i++) {
        snprintf(texts[i], sizeof texts[i], "prompt %d", i);
        prompts[i] = (dipp_prompt_record){.text = texts[i]};
    }
    OK(dipp_store_prompt_set_put(f->store, "some", fake_sha256("p", hash), prompts, PROMPTS, &f->prompt_set,
                                 &f->error));
    dipp_plugin_record judge = {.kind = "metric", .name = "judge", .version = "1", .abi = 1};
    OK(dipp_store_scorer_put(f->store, &judge, NULL, &f->scorer, &f->error));
    for (int i = 0; i < 2; i++)
        OK(dipp_store_settings_put(
            f->store, &(dipp_evaluation_settings){.sampler_steps = 1, .cfg_omega = 1, .images_seen = i * 320},
            &f->settings[i], &f->error));
    for (int i = 0; i < RUNS; i++)
        make_run(f, &runs[i]);
    return 0;
}

static int unmake(void **state)
{
    fixture *f = *state;
    dipp_store_close(&f->store);
    return remove_directory(&f->directory);
}

static void near(double value, double expected)
{
    if (!(fabs(value - expected) <= 1e-9 * fmax(1, fabs(expected))))
        fail_msg("%.15g; expected %.15g", value, expected);
}

static void evidence_truth_and_curves_are_the_known_ones(void **state)
{
    fixture *f = *state;
    dipp_monitor_study_options options = {.experiment = "watched", .margin = NAN};
    dipp_monitor_study study;
    OK(dipp_monitor_study_of(f->store, &options, &study, &f->error));
    assert_string_equal(study.truth, "gold");
    assert_int_equal(study.run_count, RUNS - 1); /* one is not completed */
    const bool fell[] = {true, true, true, false, false, false, false};
    for (size_t i = 0; i < study.run_count; i++) {
        const dipp_monitored_run *run = &study.runs[i];
        assert_string_equal(run->arm, runs[i].arm);
        assert_int_equal(run->step, STEPS);
        assert_int_equal(run->truth.units, PROMPTS);
        near(run->truth.mean, -runs[i].fall);
        near(run->truth.error, 0.05 / sqrt(PROMPTS - 1.0)); /* half the prompts lose 0.05 more, half less */
        near(run->margin, 0.05);
        assert_int_equal(run->fell, fell[i]);
        assert_int_equal(run->sights[0].alarm_step, runs[i].alarm_step);
    }
    /* two rewards, two judges, three planned looks (20 steps every 8): by hand */
    near(study.runs[0].sights[0].evidence, -log10(2 * 1e-5 * 3));
    near(study.runs[1].sights[0].evidence, -log10(2 * 1e-3 * 3));
    near(study.runs[2].sights[0].evidence, -log10(2 * 0.1 * 3));
    near(study.runs[3].sights[0].evidence, -log10(2 * 0.5 * 3)); /* the reward has not risen: at the first look least */
    near(study.runs[4].sights[0].evidence, -log10(2 * 0.01 * 3)); /* at the first look */
    assert_true(isnan(study.runs[6].sights[0].evidence));
    /* each judge alone: p of gold not doubled */
    assert_int_equal(study.curve_count, 3);
    assert_string_equal(study.curves[1].judges, "glyph");
    assert_string_equal(study.curves[2].judges, "gold");
    near(study.runs[0].sights[2].evidence, -log10(1e-5 * 3));
    near(study.runs[0].sights[1].evidence, -log10(1e-4 * 3));
    near(study.runs[1].sights[2].evidence, -log10(0.004 * 3));
    assert_int_equal(study.runs[1].sights[2].alarm_step, 16);
    assert_int_equal(study.runs[4].sights[2].alarm_step, 8);
    assert_int_equal(study.runs[4].sights[1].alarm_step, -1);
    /* six runs with evidence; of those that fell two are above all others, `missed` below `worn a little` */
    const dipp_monitor_curve *all = &study.curves[0];
    assert_true(all->runs == 6 && all->roc.positives == 3 && all->roc.negatives == 3);
    near(all->roc.area, 8.0 / 9);
    assert_true(all->hits == 2 && all->false_alarms == 1);
    near(all->left, 0.2); /* both at step 16 of 20 */
    dipp_monitor_study_clear(&study);
}

static void a_margin_moves_the_truth(void **state)
{
    fixture *f = *state;
    dipp_monitor_study_options options = {.experiment = "watched", .truth = "gold", .margin = 0};
    dipp_monitor_study study;
    OK(dipp_monitor_study_of(f->store, &options, &study, &f->error));
    assert_true(study.runs[4].fell && !study.runs[3].fell); /* 0.04 is a fall, when no margin is asked */
    assert_true(study.curves[0].roc.positives == 4);
    dipp_monitor_study_clear(&study);
    options.margin = 5;
    OK(dipp_monitor_study_of(f->store, &options, &study, &f->error));
    assert_true(study.curves[0].roc.positives == 0 && isnan(study.curves[0].roc.area) && !study.curves[0].roc.count);
    dipp_monitor_study_clear(&study);
}

static void what_is_not_there_is_said(void **state)
{
    fixture *f = *state;
    dipp_monitor_study study;
    dipp_monitor_study_options options = {.experiment = "nothing", .margin = NAN};
    assert_int_equal(dipp_monitor_study_of(f->store, &options, &study, &f->error), DIPP_E_NOT_FOUND);
    dipp_monitor_study_clear(&study);
    options = (dipp_monitor_study_options){.experiment = "watched", .truth = "hps", .margin = NAN};
    assert_int_equal(dipp_monitor_study_of(f->store, &options, &study, &f->error), DIPP_E_NOT_FOUND);
    assert_non_null(strstr(f->error.message, "with hps picture by picture"));
    dipp_monitor_study_clear(&study);
    dipp_store_experiment unwatched;
    char hash[65];
    OK(dipp_store_experiment_put(f->store, "alone", "name: alone\n", fake_sha256("a", hash), NULL, &unwatched,
                                 &f->error));
    options.experiment = "alone";
    assert_int_equal(dipp_monitor_study_of(f->store, &options, &study, &f->error), DIPP_E_NOT_FOUND);
    assert_non_null(strstr(f->error.message, "no completed run of alone was watched"));
    dipp_monitor_study_clear(&study);
}

static void no_memory_is_an_error(void **state)
{
    fixture *f = *state;
    dipp_monitor_study_options options = {.experiment = "watched", .margin = NAN};
    for (uint64_t nth = 1;; nth++) {
        dipp_monitor_study study;
        dipp_memory_fail_nth(nth, false);
        dipp_status status = dipp_monitor_study_of(f->store, &options, &study, &f->error);
        bool failed = dipp_memory_has_failed();
        dipp_memory_fail_nth(0, false);
        dipp_monitor_study_clear(&study);
        assert_int_equal(status, failed ? DIPP_E_MEMORY : DIPP_OK);
        if (!failed)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(evidence_truth_and_curves_are_the_known_ones), cmocka_unit_test(a_margin_moves_the_truth),
        cmocka_unit_test(what_is_not_there_is_said), cmocka_unit_test(no_memory_is_an_error)};
    return cmocka_run_group_tests(tests, make, unmake);
}
