/* HPSv2's four-style report: made-up scores come out as its own code prints them, by dipp show and by dipp eval. */
#include "cli_fixture.h"

#include "../store/synthetic.h"
#include "data/image.h"
#include "experiment/run_metrics.h"
#include "experiment/run_prompts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { OF_STYLE = 800, PROMPTS = DIPP_HPS_STYLES * OF_STYLE, SAMPLES = 2, FIXTURE_PROMPTS = 43 };

#define HPS_FOLDER DIPP_FIXTURE_FOLDER "/prompts/hpsv2"

/* A prompt's score; its two samples lie around it, by steps that binary numbers have. */
static double made_up(int prompt)
{
    int style = prompt / OF_STYLE, i = prompt % OF_STYLE;
    return 0.2 + 0.02 * style + (i * 37 + style * 11 + (i / 80) * (i / 80) * 7) % 101 / 1000.0;
}

static void write_styles(void)
{
    assert_int_equal(mkdir("bench", 0777), 0);
    for (int s = 0; s < DIPP_HPS_STYLES; s++) {
        char path[64];
        snprintf(path, sizeof path, "bench/%s.json", dipp_hps_styles[s]);
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        for (int i = 0; i < OF_STYLE; i++)
            fprintf(file, "%s\"%s %d\"", i ? ",\n" : "[", dipp_hps_styles[s], i);
        fprintf(file, "]\n");
        fclose(file);
    }
}

/* Stores the made-up scores of a metric as an evaluation of the run; those with `hole` lack a prompt, and a sample. */
static void store_scores(dipp_store *store, int64_t run_id, const char *metric, int64_t scorer, bool hole)
{
    dipp_error error = {0};
    dipp_run_prompts prompts;
    dipp_evaluation_settings settings = {.subject = "files", .cfg_omega = 1};
    dipp_run_metrics metrics = {.count = 1};
    int64_t *artifacts = calloc(PROMPTS * SAMPLES, sizeof *artifacts);
    dipp_evaluation_result result = {.scores = calloc(PROMPTS * SAMPLES, sizeof *result.scores)};
    assert_true(artifacts && result.scores);
    metrics.metrics[0] = (dipp_evaluation_metric){.name = metric, .kind = DIPP_METRIC_REWARD};
    metrics.scorers[0] = scorer;
    for (uint32_t p = 0; p < PROMPTS; p++)
        for (uint32_t s = 0; s < SAMPLES; s++) {
            bool lost = hole && (p == 5 || (p == 6 && s == 0));
            result.scores[result.score_count++] = (dipp_evaluation_score){
                .prompt = p, .sample = s, .value = lost ? (double)NAN : made_up((int)p) + (s ? 0.0625 : -0.0625)};
        }
    assert_ok(dipp_run_prompts_from_file("bench", &prompts, &error), error);
    assert_int_equal(prompts.count, PROMPTS);
    assert_string_equal(prompts.name, "hpsv2");
    dipp_run_scores_place place = {.store = store,
                                   .run_id = run_id,
                                   .texts = prompts.texts,
                                   .categories = prompts.set.categories,
                                   .prompt_count = prompts.count,
                                   .samples = SAMPLES};
    assert_ok(dipp_store_settings_put(store, &settings, &place.settings_id, &error), error);
    assert_ok(dipp_run_prompts_store(&prompts, NULL, store, &place.prompt_set_id, &error), error);
    assert_ok(dipp_run_metrics_store(&metrics, &place, &result, artifacts, &error), error);
    dipp_run_prompts_clear(&prompts);
    free(result.scores);
    free(artifacts);
}

static void near(dipp_store *store, const char *group, double expected)
{
    char sql[200];
    snprintf(sql, sizeof sql,
             "SELECT value FROM set_metrics JOIN metric_names USING(metric_id) WHERE name='hps' AND group_name='%s'",
             group);
    double found = number_of(store, sql);
    if (!(fabs(found - expected) <= 1e-12))
        fail_msg("%s: expected %.17g, found %.17g", group, expected, found);
}

/* The numbers are numpy's, of HPSv2's lines: np.mean and np.std of [np.mean(res[i:i+80]) for i in range(0, 800, 80)]. */
static void made_up_scores_are_printed_as_hpsv2_prints_them(void **state)
{
    (void)state;
    dipp_error error = {0};
    dipp_store *store = NULL;
    int64_t run_id, scorer;
    write_styles();
    assert_ok(dipp_store_open("store.db", NULL, &store, &error), error);
    one_run(store, NULL, &run_id);
    dipp_plugin_record plugin = {.kind = "metric", .name = "made-up", .version = "1"};
    assert_ok(dipp_store_scorer_put(store, &plugin, NULL, &scorer, &error), error);
    store_scores(store, run_id, "hps", scorer, false);
    near(store, "anime: mean of ten", 0.24991749999999996);
    near(store, "anime: sd of ten", 0.0003740905639013076);
    near(store, "paintings: sd of ten", 0.0007836901891053553);
    near(store, "photo", 0.31021875);
    near(store, "average", 0.2799734375);
    assert_true(number_of(store, "SELECT count(*) FROM set_metrics") == 13);
    assert_true(number_of(store, "SELECT count(*) FROM prompts WHERE category='concept-art'") == 800);
    /* no second number for the whole set, beside that of its pictures */
    assert_true(number_of(store, "SELECT count(*) FROM scores") == 1);
    assert_int_equal(dipp("show 1 --db store.db"), 0);
    static const char table[] = "\nBy style, as HPSv2's benchmark prints it (hps times 100)\n"
                                "metric  style        mean of ten  sd of ten   mean  pictures\n"
                                "------  -----------  -----------  ---------  -----  --------\n"
                                "hps     anime              24.99     0.0374  24.99      1600\n"
                                "hps     concept-art        26.97     0.0339  26.97      1600\n"
                                "hps     paintings          29.01     0.0784  29.01      1600\n"
                                "hps     photo              31.02     0.0540  31.02      1600\n"
                                "hps     average                              28.00      6400\n";
    const char *found = strstr(output(NULL), "\nBy style");
    assert_non_null(found);
    assert_string_equal(found, table);

    store_scores(store, run_id, "border", scorer, true); /* others are not scaled; what is not finite is left out */
    assert_true(number_of(store,
                          "SELECT samples FROM set_metrics JOIN metric_names USING(metric_id) WHERE name='border' "
                          "AND group_name='anime'") == 1597);
    assert_int_equal(dipp("show 1 --db store.db"), 0);
    assert_true(output_has("border  anime               0.25     0.0004   0.25      1597\n"));
    store_scores(store, run_id, "hps", scorer, false); /* again: the same rows */
    assert_true(number_of(store, "SELECT count(*) FROM set_metrics") == 26);
    dipp_store_close(&store);
}

/* Pictures as HPSv2's benchmark lays them out, a folder for each style; flat colours, so that their border is known. */
static void folders_of_pictures_are_scored_by_style(void **state)
{
    (void)state;
    static const int of_style[DIPP_HPS_STYLES] = {12, 12, 12, 7};
    dipp_error error = {0};
    dipp_image image = {0};
    char command[2000], path[100];
    assert_int_equal(mkdir("made", 0777), 0);
    for (int s = 0; s < DIPP_HPS_STYLES; s++) {
        snprintf(path, sizeof path, "made/%s", dipp_hps_styles[s]);
        assert_int_equal(mkdir(path, 0777), 0);
        for (int i = 0; i < of_style[s]; i++) {
            assert_ok(dipp_image_create(8, 8, (uint8_t)(20 * s + i), &image, &error), error);
            for (int k = 0; k < 64; k++)
                image.pixels[3 * k + 2] = (uint8_t)(100 + 30 * s);
            snprintf(path, sizeof path, "made/%s/%05d.png", dipp_hps_styles[s], i);
            assert_ok(dipp_image_write_png(path, &image, &error), error);
            dipp_image_clear(&image);
        }
    }
    snprintf(command, sizeof command, "eval --images made --prompts %s --metrics border --db e.db --plugin-dir %s",
             HPS_FOLDER, getenv("DIPP_PLUGINS"));
    assert_int_equal(dipp(command), 0);
    assert_true(output_has("43 prompts, 1 of each"));
    assert_true(output_has("By style, as HPSv2's benchmark prints it"));
    assert_int_equal(ask("e.db", "SELECT count(*) FROM set_metrics"), 13);
    assert_int_equal(ask("e.db", "SELECT samples FROM set_metrics WHERE group_name='photo: mean of ten'"), 7);
    /* each style's mean is that of the pictures in its folder */
    assert_int_equal(ask("e.db",
                         "SELECT count(*) FROM set_metrics m WHERE abs(value-(SELECT avg(e.value) FROM evaluations e "
                         "JOIN prompts p USING(prompt_id) WHERE p.category=m.group_name))<1e-12"),
                     4);
    assert_int_equal(ask("e.db",
                         "SELECT count(DISTINCT round(value, 3)) FROM set_metrics WHERE group_name IN ('anime', "
                         "'concept-art', 'paintings', 'photo')"),
                     4);
    char shown[4096];
    snprintf(shown, sizeof shown, "%s", strstr(output(NULL), "\nBy style"));
    assert_int_equal(dipp("show 1 --db e.db"), 0);
    assert_true(output_has(shown));
    assert_int_equal(remove("made/photo/00006.png"), 0);
    assert_int_equal(dipp(command), 3);
    assert_true(output_has("42 prompts, and there are 43"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(made_up_scores_are_printed_as_hpsv2_prints_them, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(folders_of_pictures_are_scored_by_style, cli_setup, cli_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
