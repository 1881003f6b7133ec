/* Every view on a store with known answers (synthetic.h), and every query that results/README.md shows. */
#include "synthetic.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sqlite3.h>

static const char *readme_path;

typedef struct fixture {
    void *directory;
    dipp_store *store;
} fixture;

static int open_filled(void **state)
{
    static fixture shared;
    dipp_error error = {0};
    if (make_directory(&shared.directory) != 0)
        return -1;
    assert_ok(dipp_store_open(((test_directory *)shared.directory)->store, NULL, &shared.store, &error), error);
    fill_synthetic(shared.store);
    char left[65], right[65];
    dipp_vote vote = {.prompt = "a fox",
                      .left = {0, fake_sha256("left", left), "l.png"},
                      .right = {0, fake_sha256("right", right), "r.png"},
                      .voter = "Ann",
                      .session = "s"};
    assert_ok(dipp_store_vote_put(shared.store, &vote, &error), error);
    *state = &shared;
    return 0;
}

static int close_filled(void **state)
{
    fixture *shared = *state;
    dipp_store_close(&shared->store);
    return remove_directory(&shared->directory);
}

static dipp_store *store_of(void **state)
{
    return ((fixture *)*state)->store;
}

static void near(dipp_store *store, const char *sql, double expected)
{
    double found = number_of(store, sql);
    if (!(fabs(found - expected) <= 1e-9))
        fail_msg("%s\nexpected %.12g, found %.12g", sql, expected, found);
}

static void leaderboard_has_mean_sd_and_rank_over_seeds(void **state)
{
    dipp_store *s = store_of(state);
    const char *final = "FROM leaderboard WHERE experiment='emoji-rewards' AND metric='hps' AND point='final' AND arm=";
    char sql[512];
    static const struct {
        const char *column, *arm;
        double value;
    } cases[] = {
        {"mean", "'cfg-only'", 0.2375}, {"sd", "'cfg-only'", 0.002},    {"rank", "'cfg-only'", 3},
        {"mean", "'reward'", 0.25},     {"sd", "'reward'", 0.002},      {"rank", "'reward'", 2},
        {"seeds", "'reward'", 3},       {"samples", "'reward'", 24},    {"images_seen", "'reward'", 12800},
        {"rank", "'hps'", 1},           {"nonfinite", "'hps'", 1},      {"seeds", "'hps'", 1},
        {"low", "'cfg-only'", 0.2355},  {"high", "'cfg-only'", 0.2395},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        snprintf(sql, sizeof sql, "SELECT %s %s%s", cases[i].column, final, cases[i].arm);
        near(s, sql, cases[i].value);
    }
    near(s, "SELECT sd IS NULL FROM leaderboard WHERE arm='hps' AND metric='hps' AND point='final'", 1);
    near(s, "SELECT mean FROM leaderboard WHERE arm='(reference)' AND metric='hps' AND point='reference'", 0.3);
    near(s, "SELECT rank IS NULL FROM leaderboard WHERE arm='(reference)'", 1);
    near(s, "SELECT mean FROM leaderboard WHERE arm='reward' AND metric='hps' AND point='start'", 0.2175);
    near(s, "SELECT mean FROM leaderboard WHERE arm='reward' AND metric='diversity' AND point='final'", 0.5);
    near(s, "SELECT rank IS NULL FROM leaderboard WHERE arm='reward' AND metric='ikl' AND point='final'", 1);
    char text[256];
    text_of(s, "SELECT seed_means FROM leaderboard WHERE arm='cfg-only' AND metric='hps' AND point='final'", text,
            sizeof text);
    assert_string_equal(text, "0:0.2355 1:0.2375 2:0.2395");
}

static void a_metric_that_an_arm_was_trained_on_is_flagged(void **state)
{
    dipp_store *s = store_of(state);
    near(s, "SELECT trained_on FROM leaderboard WHERE arm='reward' AND metric='border' AND point='final'", 1);
    near(s, "SELECT trained_on FROM leaderboard WHERE arm='reward' AND metric='border' AND point='start'", 0);
    near(s, "SELECT trained_on FROM leaderboard WHERE arm='reward' AND metric='hps' AND point='final'", 0);
    near(s, "SELECT trained_on FROM leaderboard WHERE arm='hps' AND metric='hps' AND point='final'", 1);
    near(s, "SELECT sum(trained_on) FROM leaderboard WHERE arm='cfg-only'", 0);
    char text[64];
    text_of(s, "SELECT trained_on FROM summary WHERE arm='reward' AND seed=1", text, sizeof text);
    assert_string_equal(text, "border");
    text_of(s, "SELECT trained_on FROM summary WHERE arm='hps'", text, sizeof text);
    assert_string_equal(text, "hps");
    near(s, "SELECT trained_on IS NULL FROM summary WHERE arm='cfg-only' AND seed=0", 1);
}

static void pairwise_pairs_by_prompt_and_noise(void **state)
{
    dipp_store *s = store_of(state);
    const char *pair = "FROM pairwise WHERE metric='hps' AND arm_a='reward' AND arm_b='cfg-only'";
    static const struct {
        const char *column;
        double value;
    } cases[] = {{"prompts", 4},        {"wins", 2},   {"ties", 1},       {"losses", 1},
                 {"mean_diff", 0.0125}, {"pairs", 24}, {"pair_wins", 12}, {"pair_ties", 6},
                 {"pair_losses", 6},    {"seeds", 3},  {"count(*)", 1}};
    char sql[256];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        snprintf(sql, sizeof sql, "SELECT %s %s", cases[i].column, pair);
        near(s, sql, cases[i].value);
    }
    near(s, "SELECT wins FROM pairwise WHERE metric='hps' AND arm_a='cfg-only' AND arm_b='reward'", 1);
    /* hps has one NaN picture: only the other seven noises of seed 0 can be paired */
    near(s, "SELECT pairs FROM pairwise WHERE metric='hps' AND arm_a='hps' AND arm_b='cfg-only'", 7);
}

static void another_noise_or_protocol_is_never_paired(void **state)
{
    dipp_store *s = store_of(state);
    dipp_error error = {0};
    int64_t run = (int64_t)number_of(s, "SELECT run_id FROM runs WHERE arm='cfg-only' AND seed=0");
    int64_t set = (int64_t)number_of(s, "SELECT prompt_set_id FROM prompt_sets");
    int64_t scorer = (int64_t)number_of(s, "SELECT scorer_id FROM scorer_names WHERE name='hps'");
    dipp_evaluation_settings raw = {.weights = "raw", .sampler_steps = 1, .cfg_omega = 1, .images_seen = 12800};
    int64_t settings;
    assert_ok(dipp_store_settings_put(s, &raw, &settings, &error), error);
    dipp_evaluation_row row = {"pickscore", scorer, 0, 0, 42, 1.0, 0};
    assert_ok(dipp_store_evaluations_put(s, run, 200, settings, set, &row, 1, &error), error);
    int64_t other = (int64_t)number_of(s, "SELECT run_id FROM runs WHERE arm='reward' AND seed=0");
    row.noise_seed = 43;
    assert_ok(dipp_store_evaluations_put(s, other, 200, settings, set, &row, 1, &error), error);
    near(s, "SELECT count(*) FROM pairwise WHERE metric='pickscore'", 0);
    row.noise_seed = 42;
    raw.weights = "ema";
    assert_ok(dipp_store_settings_put(s, &raw, &settings, &error), error);
    row.sample = 1;
    assert_ok(dipp_store_evaluations_put(s, other, 200, settings, set, &row, 1, &error), error);
    near(s, "SELECT count(*) FROM pairwise WHERE metric='pickscore'", 0);
    /* the leaderboard keeps the protocols apart, too */
    near(s, "SELECT count(DISTINCT protocol) FROM leaderboard WHERE metric='pickscore' AND arm='reward'", 2);
}

static void paired_by_seed_shows_each_seed(void **state)
{
    dipp_store *s = store_of(state);
    const char *hps = "FROM paired_by_seed WHERE metric='hps' AND arm_a='reward' AND arm_b='cfg-only'";
    char sql[256];
    snprintf(sql, sizeof sql, "SELECT count(*) %s", hps);
    near(s, sql, 3);
    snprintf(sql, sizeof sql, "SELECT diff %s AND seed=1", hps);
    near(s, sql, 0.0125);
    snprintf(sql, sizeof sql, "SELECT pairs %s AND seed=2", hps);
    near(s, sql, 8);
    near(s,
         "SELECT diff FROM paired_by_seed WHERE metric='diversity' AND arm_a='reward' AND arm_b='cfg-only' AND seed=2",
         -0.3);
    near(s, "SELECT trained_on_a FROM paired_by_seed WHERE metric='border' AND arm_a='reward' AND seed=0 LIMIT 1", 1);
    near(s,
         "SELECT better FROM paired_by_seed WHERE metric='diversity' AND arm_a='reward' AND arm_b='cfg-only' LIMIT 1",
         -1);
}

static void at_equal_kl_interpolates_along_each_curve(void **state)
{
    dipp_store *s = store_of(state);
    const char *pair = "FROM at_equal_kl WHERE metric='border' AND arm_a='reward' AND arm_b='cfg-only' AND seed=1";
    char sql[256];
    snprintf(sql, sizeof sql, "SELECT ikl %s", pair);
    near(s, sql, 2);
    snprintf(sql, sizeof sql, "SELECT value_a %s", pair); /* two thirds of the way from (0, 0) to (3, 0.6) */
    near(s, sql, 0.4);
    snprintf(sql, sizeof sql, "SELECT value_b %s", pair);
    near(s, sql, 0.2);
    snprintf(sql, sizeof sql, "SELECT diff %s", pair);
    near(s, sql, 0.2);
    near(s, "SELECT count(*) FROM at_equal_kl WHERE metric='border' AND arm_a='reward' AND arm_b='cfg-only'", 3);
    /* the curve of hps stops at 1 twice: the first crossing counts */
    near(s, "SELECT ikl FROM at_equal_kl WHERE metric='hps' AND arm_a='hps' AND arm_b='cfg-only'", 1);
    near(s, "SELECT value_a FROM at_equal_kl WHERE metric='hps' AND arm_a='hps' AND arm_b='cfg-only'", 0.2155 + 0.03);
    near(s, "SELECT value_b FROM at_equal_kl WHERE metric='hps' AND arm_a='hps' AND arm_b='cfg-only'", 0.2155 + 0.01);
}

static void summary_has_one_wide_row_per_run(void **state)
{
    dipp_store *s = store_of(state);
    near(s, "SELECT count(*)=(SELECT count(*) FROM runs) FROM summary", 1);
    const char *run = "FROM summary WHERE experiment='emoji-rewards' AND arm='reward' AND seed=0";
    static const struct {
        const char *column;
        double value;
    } cases[] = {{"hps", 0.248},  {"border", 0.9}, {"diversity", 0.5},           {"ikl", 5},          {"cfg_omega", 1},
                 {"steps", 200},  {"batch", 64},   {"images_seen", 12800},       {"lr", 5e-5},        {"step", 200},
                 {"attempts", 1}, {"warnings", 0}, {"implicit_reward_scale", 0}, {"glyph IS NULL", 1}};
    char sql[256], text[64];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        snprintf(sql, sizeof sql, "SELECT %s %s", cases[i].column, run);
        near(s, sql, cases[i].value);
    }
    snprintf(sql, sizeof sql, "SELECT rewards %s", run);
    assert_string_equal(text_of(s, sql, text, sizeof text), "border x1, hps x0");
    near(s, "SELECT ikl FROM summary WHERE arm='cfg-only' AND seed=2", 2);
    assert_string_equal(text_of(s, "SELECT status FROM summary WHERE arm='reward' AND seed=3", text, sizeof text),
                        "failed");
    near(s, "SELECT warnings FROM summary WHERE arm='reward' AND seed=3", 1);
}

static void weights_lead_back_through_the_runs_that_made_them(void **state)
{
    dipp_store *s = store_of(state);
    const char *run = "(SELECT run_id FROM runs WHERE arm='reward' AND seed=0)";
    char sql[256], text[64];
    snprintf(sql, sizeof sql, "SELECT count(*) FROM weight_chain WHERE run_id=%s", run);
    near(s, sql, 2);
    snprintf(sql, sizeof sql, "SELECT path FROM weight_chain WHERE run_id=%s AND depth=1", run);
    assert_string_equal(text_of(s, sql, text, sizeof text), "weights/emoji-dit");
    snprintf(sql, sizeof sql, "SELECT produced_at_step FROM weight_chain WHERE run_id=%s AND depth=0", run);
    near(s, sql, 900);
}

static int count_row(void *user, int columns, const char *const *names, const char *const *values)
{
    (void)columns, (void)names, (void)values;
    ++*(int *)user;
    return 0;
}

static void every_query_of_the_readme_answers(void **state)
{
    FILE *file = fopen(readme_path, "r");
    assert_non_null(file);
    char line[4096], sql[16384];
    size_t used = 0;
    int blocks = 0;
    bool inside = false;
    while (fgets(line, sizeof line, file)) {
        if (!inside) {
            inside = strncmp(line, "```sql", 6) == 0;
            used = 0;
        } else if (strncmp(line, "```", 3) == 0) {
            dipp_error error = {0};
            int rows = 0;
            if (dipp_store_query(store_of(state), sql, NULL, 0, count_row, &rows, &error) != DIPP_OK)
                fail_msg("%s", error.message);
            if (rows == 0)
                fail_msg("no row from\n%s", sql);
            blocks++;
            inside = false;
        } else {
            char *study = strstr(line, "emoji-study"); /* its queries are answered by the experiment at hand */
            assert_true(used + strlen(line) + 2 < sizeof sql);
            used += (size_t)snprintf(sql + used, sizeof sql - used, "%.*s%s%s", study ? (int)(study - line) : 0, line,
                                     study ? "emoji-rewards" : "", study ? study + strlen("emoji-study") : line);
        }
    }
    fclose(file);
    assert_false(inside);
    assert_true(blocks >= 10);
}

static void monitor_alarms_has_every_watched_run(void **state)
{
    dipp_store *s = store_of(state);
    char text[512];
    near(s, "SELECT count(*) FROM monitor_alarms WHERE experiment='emoji-rewards'", 5);
    near(s, "SELECT count(*) FROM monitor_alarms WHERE arm='cfg-only'", 0);
    near(s, "SELECT count(alarm_step) FROM monitor_alarms", 1);
    near(s, "SELECT alarm_step FROM monitor_alarms WHERE arm='reward' AND seed=1", 200);
    near(s, "SELECT evidence FROM monitor_alarms WHERE arm='reward' AND seed=1", 2.5);
    near(s, "SELECT evidence FROM monitor_alarms WHERE arm='hps' AND seed=0", 1.5);
    near(s, "SELECT looks FROM monitor_alarms WHERE arm='reward' AND seed=2", 2);
    near(s, "SELECT ended_early IS NULL FROM monitor_alarms WHERE arm='reward' AND seed=1", 1);
    assert_string_equal(text_of(s, "SELECT message FROM monitor_alarms WHERE alarm_step=200", text, sizeof text),
                        "reward.border went up while hps fell");
    near(s, "SELECT count(*) FROM leaderboard WHERE metric LIKE 'monitor%'", 0);
}

/* A connection as the sqlite3 shell makes it, with none of this library's functions or settings. */
static void every_view_answers_in_plain_sqlite(void **state)
{
    sqlite3 *plain;
    sqlite3_stmt *names;
    int views = 0;
    assert_int_equal(sqlite3_open_v2(dipp_store_path(store_of(state)), &plain, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(
        sqlite3_prepare_v2(plain, "SELECT name FROM sqlite_schema WHERE type='view' ORDER BY 1", -1, &names, NULL),
        SQLITE_OK);
    while (sqlite3_step(names) == SQLITE_ROW) {
        char sql[128];
        sqlite3_stmt *rows;
        snprintf(sql, sizeof sql, "SELECT * FROM %s", (const char *)sqlite3_column_text(names, 0));
        assert_int_equal(sqlite3_prepare_v2(plain, sql, -1, &rows, NULL), SQLITE_OK);
        if (sqlite3_step(rows) != SQLITE_ROW)
            fail_msg("%s: no row, %s", sql, sqlite3_errmsg(plain));
        sqlite3_finalize(rows);
        views++;
    }
    sqlite3_finalize(names);
    sqlite3_close(plain);
    assert_int_equal(views, 16);
    near(store_of(state), "SELECT count(*) FROM final_eval", 8 * 2 * 8 + 3); /* and the three rows of pickscore */
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s results/README.md\n", argv[0]);
        return 2;
    }
    readme_path = argv[1];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leaderboard_has_mean_sd_and_rank_over_seeds),
        cmocka_unit_test(a_metric_that_an_arm_was_trained_on_is_flagged),
        cmocka_unit_test(pairwise_pairs_by_prompt_and_noise),
        cmocka_unit_test(paired_by_seed_shows_each_seed),
        cmocka_unit_test(at_equal_kl_interpolates_along_each_curve),
        cmocka_unit_test(summary_has_one_wide_row_per_run),
        cmocka_unit_test(weights_lead_back_through_the_runs_that_made_them),
        cmocka_unit_test(every_query_of_the_readme_answers),
        cmocka_unit_test(another_noise_or_protocol_is_never_paired),
        cmocka_unit_test(monitor_alarms_has_every_watched_run),
        cmocka_unit_test(every_view_answers_in_plain_sqlite),
    };
    return cmocka_run_group_tests(tests, open_filled, close_filled);
}
