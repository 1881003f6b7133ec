/* Votes: a database of schema 1 gets their table and loses nothing; one word of a voter on a pair; what is read back,
 * counted by arm and merged. */
#include "synthetic.h"

#include <sqlite3.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char *schema_1_path; /* the file as every release has it */

static dipp_store *open_at(void **state, const char *name, char path[400])
{
    dipp_store *store = NULL;
    dipp_error error = {0};
    snprintf(path, 400, "%s/%s", ((test_directory *)*state)->path, name);
    assert_ok(dipp_store_open(path, NULL, &store, &error), error);
    return store;
}

/* ---- From schema 1 ---- */

static void execute(sqlite3 *database, const char *sql)
{
    char *message = NULL;
    if (sqlite3_exec(database, sql, NULL, NULL, &message) != SQLITE_OK)
        fail_msg("%s", message);
}

/* What a dipp of schema 1 left: its tables, a view, a run with a picture and a score. */
static void make_schema_1(const char *path)
{
    static const char rows[] =
        "PRAGMA application_id=1145645867; PRAGMA user_version=1; INSERT INTO migrations VALUES(1, 5);"
        "INSERT INTO experiments VALUES(1, 'old', 'a', 5);"
        "INSERT INTO experiment_revisions VALUES(1, 1, 'name: old', printf('%064d', 1), 5);"
        "INSERT INTO runs(run_id, run_uuid, experiment_id, revision, name, arm, seed, config_sha256, config_json, "
        "status, "
        "created_at, ended_at) VALUES(7, 'u', 1, 1, 'old/a/0', 'a', 0, printf('%064d', 2), '{}', 'completed', 5, 9);"
        "INSERT INTO artifacts VALUES(3, 7, 0, 'image', 'p.png', printf('%064d', 3), 10, NULL, 6);"
        "INSERT INTO metrics VALUES(7, 1, 4, 0.25, 'finite', 6, 1);"
        "CREATE VIEW leaderboard AS SELECT 1 AS stale";
    char sql[65536];
    sqlite3 *database = NULL;
    FILE *file = fopen(schema_1_path, "r");
    assert_non_null(file);
    size_t length = fread(sql, 1, sizeof sql - 1, file);
    assert_true(length > 1000 && feof(file));
    fclose(file);
    sql[length] = 0;
    assert_int_equal(sqlite3_open(path, &database), SQLITE_OK);
    execute(database, sql);
    execute(database, rows);
    sqlite3_close(database);
}

static void a_database_of_schema_1_gets_votes_and_loses_nothing(void **state)
{
    const char *path = ((test_directory *)*state)->store;
    char backup[512], text[200], one[65], other[65];
    dipp_store *store = NULL;
    dipp_error error = {0};
    make_schema_1(path);
    assert_int_equal(dipp_store_open(path, &(dipp_store_options){.mode = DIPP_STORE_READ}, &store, &error),
                     DIPP_E_UNSUPPORTED);
    assert_non_null(strstr(error.message, "open it once for writing"));
    assert_ok(dipp_store_open(path, NULL, &store, &error), error);
    assert_ok(dipp_store_check(store, &error), error);
    assert_true(number_of(store, "PRAGMA user_version") == 2);
    assert_string_equal(text_of(store, "SELECT group_concat(version) FROM migrations", text, sizeof text), "1,2");
    assert_true(number_of(store, "SELECT value FROM metrics WHERE run_id=7 AND step=4") == 0.25);
    assert_string_equal(text_of(store, "SELECT path FROM artifacts", text, sizeof text), "p.png");
    assert_true(number_of(store, "SELECT count(*) FROM pragma_table_info('leaderboard') WHERE name='stale'") == 0);
    dipp_vote vote = {.prompt = "a fox",
                      .left = {3, fake_sha256("l", one), "p.png"},
                      .right = {0, fake_sha256("r", other), "/elsewhere/q.png"},
                      .winner = DIPP_VOTE_RIGHT,
                      .voter = "Ann",
                      .session = "s"};
    assert_ok(dipp_store_vote_put(store, &vote, &error), error);
    assert_true(number_of(store, "SELECT count(*) FROM vote_summary WHERE experiment='old' AND arm_a='(step 0)' AND "
                                 "arm_b='(files)' AND losses=1") == 1);
    dipp_store_close(&store);
    snprintf(backup, sizeof backup, "%s.v1-backup", path);
    sqlite3 *saved = NULL;
    assert_int_equal(sqlite3_open(backup, &saved), SQLITE_OK);
    execute(saved, "UPDATE runs SET name=name WHERE run_id=7; SELECT stale FROM leaderboard");
    sqlite3_close(saved);
    assert_ok(dipp_store_open(path, NULL, &store, &error), error); /* again: nothing to do */
    assert_true(number_of(store, "SELECT count(*) FROM votes") == 1);
    dipp_store_close(&store);
}

/* ---- One word on a pair ---- */

typedef struct seen {
    int count, stop_after;
    char text[1000];
} seen;

static int write_vote(void *user, const dipp_vote *vote)
{
    seen *all = user;
    size_t used = strlen(all->text);
    snprintf(all->text + used, sizeof all->text - used, "%s %s|%.4s %s %lld|%.4s %s %lld|%s %s %.2f %s\n", vote->voter,
             vote->prompt, vote->left.sha256, vote->left.path, (long long)vote->left.artifact_id, vote->right.sha256,
             vote->right.path, (long long)vote->right.artifact_id, dipp_vote_winner_name(vote->winner),
             vote->time > 1500000000000000 ? "now" : "then", vote->seconds, vote->session);
    return ++all->count == all->stop_after;
}

static const char *all_votes(dipp_store *store, const char *voter, seen *out)
{
    dipp_error error = {0};
    *out = (seen){0};
    assert_ok(dipp_store_each_vote(store, voter, write_vote, out, &error), error);
    return out->text;
}

/* 64 times the letter. */
static const char *hash_of(char letter, char out[65])
{
    memset(out, letter, 64);
    out[64] = 0;
    return out;
}

static void a_voter_has_one_word_on_a_pair(void **state)
{
    char path[400], a[65], b[65], c[65];
    dipp_store *store = open_at(state, "v.db", path);
    dipp_error error = {0};
    seen found;
    hash_of('a', a), hash_of('b', b), hash_of('c', c);
    dipp_vote vote = {.prompt = "a fox",
                      .left = {0, a, "a.png"},
                      .right = {0, b, "b.png"},
                      .winner = DIPP_VOTE_LEFT,
                      .voter = "Ann",
                      .session = "one",
                      .time = 5,
                      .seconds = 1.25};
    assert_ok(dipp_store_vote_put(store, &vote, &error), error);
    dipp_vote again = vote; /* the other way round, and another mind */
    again.left = vote.right;
    again.right = vote.left;
    again.winner = DIPP_VOTE_TIE;
    again.time = 0;
    assert_ok(dipp_store_vote_put(store, &again, &error), error);
    again.prompt = "a cat"; /* the same pictures of another prompt are another question, */
    again.winner = DIPP_VOTE_SKIP;
    assert_ok(dipp_store_vote_put(store, &again, &error), error);
    vote.voter = "Bob"; /* and another voter has a word of his own */
    assert_ok(dipp_store_vote_put(store, &vote, &error), error);
    assert_string_equal(all_votes(store, "Ann", &found), "Ann a fox|bbbb b.png 0|aaaa a.png 0|tie now 1.25 one\n"
                                                         "Ann a cat|bbbb b.png 0|aaaa a.png 0|skip now 1.25 one\n");
    assert_string_equal(all_votes(store, "Bob", &found), "Bob a fox|aaaa a.png 0|bbbb b.png 0|left then 1.25 one\n");
    all_votes(store, NULL, &found);
    assert_int_equal(found.count, 3);
    found = (seen){.stop_after = 2};
    assert_ok(dipp_store_each_vote(store, NULL, write_vote, &found, &error), error);
    assert_int_equal(found.count, 2);

    assert_ok(dipp_store_vote_remove(store, "Ann", "a fox", a, b, &error), error); /* as it was shown first */
    assert_ok(dipp_store_vote_remove(store, "Ann", "a fox", a, b, &error), error);
    assert_ok(dipp_store_vote_remove(store, "Bob", "a fox", a, c, &error), error);
    all_votes(store, NULL, &found);
    assert_int_equal(found.count, 2);

    const dipp_vote good = vote;
    const char *const nobody = "";
    for (int i = 0; i < 6; i++) {
        vote = good;
        if (i == 0)
            vote.voter = nobody;
        else if (i == 1)
            vote.right.sha256 = vote.left.sha256;
        else if (i == 2)
            vote.left.sha256 = "12";
        else if (i == 3)
            vote.seconds = -1;
        else if (i == 4)
            vote.left.artifact_id = 99;
        else
            vote.prompt = NULL;
        if (dipp_store_vote_put(store, &vote, &error) != DIPP_E_INVALID)
            fail_msg("case %d was taken", i);
    }
    all_votes(store, NULL, &found);
    assert_int_equal(found.count, 2);
    dipp_vote_winner winner;
    assert_true(dipp_vote_winner_by_name("skip", &winner) && winner == DIPP_VOTE_SKIP);
    assert_false(dipp_vote_winner_by_name("Left", &winner));
    dipp_store_close(&store);
}

/* ---- By arm, and merged ---- */

/* A picture of the run at the step; name is its path and what its hash is made of. */
static dipp_vote_picture picture(dipp_store *store, const char *name, const char *run, int64_t step, const char *meta,
                                 char sha256[65])
{
    char sql[200];
    dipp_error error = {0};
    dipp_vote_picture made = {.sha256 = fake_sha256(name, sha256), .path = name};
    snprintf(sql, sizeof sql, "SELECT run_id FROM runs WHERE name='%s'", run);
    dipp_file_record file = {.step = step, .kind = "image", .path = name, .sha256 = sha256, .meta_json = meta};
    assert_ok(dipp_store_artifact_put(store, (int64_t)number_of(store, sql), &file, &made.artifact_id, &error), error);
    return made;
}

static void votes_are_counted_by_arm_and_merged(void **state)
{
    static const char summary[] =
        "SELECT group_concat(line, char(10)) FROM (SELECT printf('%s %s %s %d %d %d/%d/%d %d %s', experiment, arm_a, "
        "arm_b, "
        "voters, votes, wins, ties, losses, skipped, win_rate) AS line FROM vote_summary ORDER BY arm_a, arm_b)";
    char here[400], there[400], back[400], shas[5][65], text[512], again[512];
    dipp_store *from = open_at(state, "from.db", there), *into = open_at(state, "into.db", here);
    dipp_error error = {0};
    dipp_store_merge_report report;
    fill_synthetic(from);
    dipp_vote_picture cfg = picture(from, "cfg.png", "emoji-rewards/cfg-only/0", 200, NULL, shas[0]),
                      reward = picture(from, "reward.png", "emoji-rewards/reward/0", 200, NULL, shas[1]),
                      reward_2 = picture(from, "reward2.png", "emoji-rewards/reward/1", 200, NULL, shas[2]),
                      before = picture(from, "before.png", "emoji-rewards/reward/0", 0, NULL, shas[3]),
                      reference =
                          picture(from, "ref.png", "emoji-rewards/reward/0", 0, "{\"subject\":\"reference\"}", shas[4]);
    const dipp_vote votes[] = {{"p", cfg, reward, DIPP_VOTE_LEFT, "Ann", "s1", 10, 1},
                               {"p", reward_2, cfg, DIPP_VOTE_LEFT, "Ann", "s1", 11, 1},
                               {"p", cfg, reward, DIPP_VOTE_TIE, "Bob", "s2", 12, 1},
                               {"q", cfg, reward, DIPP_VOTE_SKIP, "Bob", "s2", 13, 1},
                               {"p", before, reference, DIPP_VOTE_RIGHT, "Bob", "s2", 14, 1}};
    for (size_t i = 0; i < sizeof votes / sizeof *votes; i++)
        assert_ok(dipp_store_vote_put(from, &votes[i], &error), error);
    assert_string_equal(text_of(from, summary, text, sizeof text),
                        "emoji-rewards (reference) (step 0) 1 1 1/0/0 0 1.0\n"
                        "emoji-rewards (step 0) (reference) 1 1 0/0/1 0 0.0\n"
                        "emoji-rewards cfg-only reward 2 3 1/1/1 1 0.5\n"
                        "emoji-rewards reward cfg-only 2 3 1/1/1 1 0.5");
    assert_ok(dipp_store_merge(into, there, &report, &error), error);
    assert_ok(dipp_store_check(into, &error), error);
    assert_string_equal(text_of(into, summary, again, sizeof again), text);

    /* Ann changes her mind on one side, Bob has said something new on the other; paths lead to where the pictures are. */
    dipp_vote later = votes[0];
    later.winner = DIPP_VOTE_RIGHT;
    later.time = 20;
    assert_ok(dipp_store_vote_put(from, &later, &error), error);
    snprintf(back, sizeof back, "%s/sub", ((test_directory *)*state)->path);
    assert_int_equal(mkdir(back, 0777), 0);
    dipp_store *nested = open_at(state, "sub/nested.db", back);
    dipp_vote own = {"own", {0, shas[0], "x.png"}, {0, shas[1], "/y.png"}, DIPP_VOTE_TIE, "Cy", "s3", 5, 0};
    assert_ok(dipp_store_vote_put(nested, &own, &error), error);
    for (int twice = 0; twice < 2; twice++) {
        assert_ok(dipp_store_merge(into, there, &report, &error), error);
        assert_ok(dipp_store_merge(into, back, &report, &error), error);
        assert_ok(dipp_store_merge(from, here, &report, &error), error); /* the earlier word does not come back */
        assert_true(number_of(into, "SELECT count(*) FROM votes") == 6);
        assert_string_equal(
            text_of(into, "SELECT left_path||right_path FROM votes WHERE prompt='own'", text, sizeof text),
            "sub/x.png/y.png");
        assert_string_equal(
            text_of(into, "SELECT winner FROM votes WHERE voter='Ann' AND voted_at=20", text, sizeof text), "right");
        assert_string_equal(
            text_of(from, "SELECT winner FROM votes WHERE voter='Ann' AND voted_at=20", text, sizeof text), "right");
    }
    /* A run that goes takes its pictures' rows with it, and what was said stays. */
    sqlite3_exec(dipp_store_connection(into), "DELETE FROM artifacts", NULL, NULL, NULL);
    assert_true(number_of(into, "SELECT count(*) FROM votes WHERE left_artifact_id IS NULL") == 6);
    assert_ok(dipp_store_check(into, &error), error);
    dipp_store_close(&from);
    dipp_store_close(&into);
    dipp_store_close(&nested);
}

int main(int argc, char **argv)
{
    assert_int_equal(argc, 2);
    schema_1_path = argv[1];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_database_of_schema_1_gets_votes_and_loses_nothing, make_directory,
                                        remove_directory),
        cmocka_unit_test_setup_teardown(a_voter_has_one_word_on_a_pair, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(votes_are_counted_by_arm_and_merged, make_directory, remove_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
