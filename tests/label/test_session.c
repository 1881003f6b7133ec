/* The page's requests without a network: votes are in the store when they are answered, a second click changes nothing,
 * an undo takes one back; and the file that comes of it. */
#include "label_fixture.h"

#include "../store/synthetic.h"
#include "base/file.h"
#include "base/memory.h"
#include "data/preference_votes.h"
#include "label/label_session.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct desk {
    void *directory;
    dipp_store *store;
    dipp_label_pairs pairs;
    dipp_label_session *session;
} desk;

static int sit_down(void **state)
{
    static const char *const names[] = {label_experiment};
    desk *own = calloc(1, sizeof *own);
    dipp_error error = {0};
    if (!own || make_directory(&own->directory) != 0)
        return -1;
    assert_ok(fill_label_store(((test_directory *)own->directory)->path, &error), error);
    assert_ok(dipp_store_open(((test_directory *)own->directory)->store, NULL, &own->store, &error), error);
    dipp_label_request request = {.names = names, .name_count = 1, .count = 4, .seed = 1, .voter = "Ann <i>"};
    assert_ok(dipp_label_pairs_choose(own->store, &request, &own->pairs, &error), error);
    dipp_label_session_options options = {
        .store = own->store, .pairs = &own->pairs, .voter = "Ann <i>", .name = "s1", .nonce = "n0nce"};
    assert_ok(dipp_label_session_create(&options, &own->session, &error), error);
    *state = own;
    return 0;
}

static int stand_up(void **state)
{
    desk *own = *state;
    dipp_label_session_destroy(&own->session);
    dipp_label_pairs_clear(&own->pairs);
    dipp_store_close(&own->store);
    remove_directory(&own->directory);
    free(own);
    return 0;
}

/* The code; the body's JSON in *out, to be freed with json_decref. */
static unsigned ask(desk *own, const char *method, const char *path, const char *body, json_t **out)
{
    dipp_label_reply reply = dipp_label_session_answer(own->session, method, path, body, strlen(body));
    assert_non_null(reply.body);
    json_t *json = json_loadb(reply.body, reply.bytes, 0, NULL);
    assert_string_equal(reply.type, "application/json");
    assert_non_null(json);
    if (out)
        *out = json;
    else
        json_decref(json);
    dipp_release(reply.body);
    return reply.code;
}

static json_int_t field(json_t *json, const char *name)
{
    json_t *value = json_object_get(json, name);
    return json_is_boolean(value) ? json_is_true(value) : json_integer_value(value);
}

static void expect_state(desk *own, unsigned code, const char *method, const char *path, const char *body,
                         json_int_t pair, json_int_t votes, json_int_t skipped)
{
    json_t *state = NULL;
    unsigned found = ask(own, method, path, body, &state);
    if (found != code || field(state, "pair") != pair || field(state, "votes") != votes ||
        field(state, "skipped") != skipped || field(state, "left") != 4 - pair || field(state, "done") != (pair == 4))
        fail_msg("%s %s: %u %s", path, body, found, json_dumps(state, 0));
    if (pair < 4)
        assert_string_equal(json_string_value(json_object_get(state, "prompt")),
                            own->pairs.pictures[own->pairs.pairs[pair].left].prompt);
    json_decref(state);
}

static void votes_are_kept_once_and_can_be_taken_back(void **state)
{
    desk *own = *state;
    dipp_store *store = own->store;
    char sql[400];
    expect_state(own, 200, "GET", "state", "", 0, 0, 0);
    expect_state(own, 409, "POST", "undo", "{}", 0, 0, 0);
    expect_state(own, 200, "POST", "vote", "{\"pair\":0,\"winner\":\"right\",\"seconds\":2.5}", 1, 1, 0);
    snprintf(sql, sizeof sql,
             "SELECT count(*) FROM votes WHERE winner='right' AND voter='Ann <i>' AND session='s1' AND seconds=2.5 AND "
             "left_sha256='%s' AND right_sha256='%s' AND left_artifact_id IS NOT NULL",
             own->pairs.pictures[own->pairs.pairs[0].left].sha256,
             own->pairs.pictures[own->pairs.pairs[0].right].sha256);
    assert_true(number_of(store, sql) == 1);
    expect_state(own, 409, "POST", "vote", "{\"pair\":0,\"winner\":\"left\",\"seconds\":3}", 1, 1,
                 0); /* a second click */
    assert_true(number_of(store, sql) == 1);
    expect_state(own, 200, "POST", "vote", "{\"pair\":1,\"winner\":\"skip\",\"seconds\":0}", 2, 1, 1);
    expect_state(own, 200, "POST", "undo", "{}", 1, 1, 0);
    assert_true(number_of(store, "SELECT count(*) FROM votes") == 1);
    expect_state(own, 200, "POST", "vote", "{\"pair\":1,\"winner\":\"tie\",\"seconds\":86400}", 2, 2, 0);
    expect_state(own, 200, "POST", "vote", "{\"pair\":2,\"winner\":\"left\",\"seconds\":1}", 3, 3, 0);
    expect_state(own, 200, "POST", "vote", "{\"pair\":3,\"winner\":\"skip\",\"seconds\":1}", 4, 3, 1);
    expect_state(own, 409, "POST", "vote", "{\"pair\":4,\"winner\":\"left\",\"seconds\":1}", 4, 3, 1);
    expect_state(own, 200, "POST", "undo", "", 3, 3, 0); /* at the end as well */
    dipp_label_totals totals = dipp_label_session_totals(own->session);
    assert_true(totals.votes == 3 && totals.ties == 1 && totals.skipped == 0 && totals.left == 1);
    assert_true(number_of(store, "SELECT count(*) FROM votes") == 3);
}

static void what_is_wrong_changes_nothing(void **state)
{
    desk *own = *state;
    static const char *const bodies[] = {"",
                                         "{",
                                         "[]",
                                         "null",
                                         "{\"pair\":0}",
                                         "{\"pair\":0,\"winner\":\"both\",\"seconds\":1}",
                                         "{\"pair\":\"0\",\"winner\":\"left\",\"seconds\":1}",
                                         "{\"pair\":0.0,\"winner\":\"left\",\"seconds\":1}",
                                         "{\"pair\":0,\"winner\":\"left\",\"seconds\":-1}",
                                         "{\"pair\":0,\"winner\":\"left\",\"seconds\":86401}",
                                         "{\"pair\":0,\"winner\":\"left\",\"seconds\":\"1\"}",
                                         "{\"pair\":0,\"winner\":7,\"seconds\":1}",
                                         "{\"pair\":0,\"winner\":\"left\",\"winner\":\"right\",\"seconds\":1}",
                                         "{\"pair\":0,\"winner\":\"left\",\"seconds\":1}x",
                                         "{\"pair\":0,\"winner\":\"l\xff\",\"seconds\":1}"};
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++)
        if (ask(own, "POST", "vote", bodies[i], NULL) != 400)
            fail_msg("%s was taken", bodies[i]);
    assert_int_equal(ask(own, "POST", "vote", "{\"pair\":-1,\"winner\":\"left\",\"seconds\":1}", NULL), 409);
    assert_int_equal(ask(own, "POST", "vote", "{\"pair\":9223372036854775807,\"winner\":\"left\",\"seconds\":1}", NULL),
                     409);
    static const struct {
        const char *method, *path;
        unsigned code;
    } requests[] = {{"GET", "picture/4/left", 404},
                    {"GET", "picture/-1/left", 404},
                    {"GET", "picture/0/", 404},
                    {"GET", "picture/0/middle", 404},
                    {"GET", "picture//left", 404},
                    {"GET", "picture/0/left/", 404},
                    {"GET", "picture/0/../left", 404},
                    {"GET", "../store.db", 404},
                    {"GET", "picture/../../store.db", 404},
                    {"GET", "favicon.ico", 404},
                    {"GET", "vote", 405},
                    {"POST", "state", 405},
                    {"DELETE", "vote", 405},
                    {"PUT", "", 405},
                    {"POST", "picture/0/left", 405},
                    {"GET", "picture/18446744073709551616/left", 404},
                    {"GET", "picture/0x1/left", 404}};
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++)
        if (ask(own, requests[i].method, requests[i].path, "", NULL) != requests[i].code)
            fail_msg("%s %s", requests[i].method, requests[i].path);
    dipp_label_reply reply = dipp_label_session_answer(own->session, "GET", "vote", "", 0);
    assert_string_equal(reply.allow, "POST");
    dipp_release(reply.body);
    assert_true(number_of(own->store, "SELECT count(*) FROM votes") == 0);
    expect_state(own, 200, "GET", "state", "", 0, 0, 0);
}

static void the_page_and_its_pictures_are_served(void **state)
{
    desk *own = *state;
    char path[400], *file = NULL;
    size_t bytes = 0;
    dipp_error error = {0};
    dipp_label_reply reply = dipp_label_session_answer(own->session, "GET", "", "", 0);
    assert_int_equal(reply.code, 200);
    assert_non_null(strstr(reply.body, "<script nonce=\"n0nce\">"));
    assert_non_null(strstr(reply.body, "for <bdi>Ann &lt;i&gt;</bdi>"));
    assert_non_null(strstr(reply.body, "@media (prefers-color-scheme: dark)")); /* signs of the texts are left alone */
    assert_null(strstr(reply.body, "@VOTER@"));
    assert_null(strstr(reply.body, "http")); /* nothing from elsewhere */
    dipp_release(reply.body);
    const dipp_label_picture *right = &own->pairs.pictures[own->pairs.pairs[2].right];
    snprintf(path, sizeof path, "%s/%s", ((test_directory *)own->directory)->path, right->path);
    assert_ok(dipp_file_read(path, 1 << 20, &file, &bytes, &error), error);
    reply = dipp_label_session_answer(own->session, "HEAD", "picture/2/right", "", 0);
    assert_true(reply.code == 200 && reply.keep && reply.bytes == bytes && !memcmp(reply.body, file, bytes));
    assert_string_equal(reply.type, "image/png");
    dipp_release(reply.body);
    dipp_release(file);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(ask(own, "GET", "picture/2/right", "", NULL), 410);
}

static void a_store_that_cannot_be_written_is_said_and_the_vote_not_counted(void **state)
{
    desk *own = *state;
    dipp_store *other = NULL;
    dipp_error error = {0};
    const char *path = ((test_directory *)own->directory)->store;
    dipp_label_session_destroy(&own->session);
    assert_ok(dipp_store_open(path, &(dipp_store_options){.mode = DIPP_STORE_READ}, &other, &error), error);
    dipp_label_session_options options = {
        .store = other, .pairs = &own->pairs, .voter = "Ann", .name = "s1", .nonce = "n0nce"};
    assert_ok(dipp_label_session_create(&options, &own->session, &error), error);
    json_t *said = NULL;
    assert_int_equal(ask(own, "POST", "vote", "{\"pair\":0,\"winner\":\"left\",\"seconds\":1}", &said), 503);
    assert_non_null(strstr(json_string_value(json_object_get(said, "error")), "reading only"));
    json_decref(said);
    expect_state(own, 200, "GET", "state", "", 0, 0, 0);
    dipp_store_close(&other);
}

/* ---- What comes of it ---- */

static void expect_line(const desk *own, const dipp_preferences *set, size_t line, int pair, double left_rank,
                        double right_rank)
{
    const dipp_preference_item *items = &set->items[set->lines[line].first];
    const dipp_label_pair *shown = &own->pairs.pairs[pair];
    const char *folder = ((test_directory *)own->directory)->path;
    const uint32_t sides[2] = {shown->left, shown->right};
    char path[400];
    assert_true(set->lines[line].ranked && set->lines[line].count == 2);
    assert_string_equal(set->kinds.texts[set->lines[line].kind], "vote");
    assert_true(items[0].rank == left_rank && items[1].rank == right_rank);
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, own->pairs.pictures[sides[i]].path);
        assert_string_equal(set->pictures.texts[items[i].picture], path);
        assert_string_equal(set->prompts.texts[items[i].prompt], own->pairs.pictures[sides[i]].prompt);
    }
}

static void votes_become_preferences(void **state)
{
    desk *own = *state;
    char path[400], gone[400], *text = NULL;
    dipp_error error = {0};
    dipp_votes_taken taken;
    dipp_preferences set = {0}, again = {0};
    const char *folder = ((test_directory *)own->directory)->path,
               *database = ((test_directory *)own->directory)->store;
    assert_int_equal(dipp_preferences_read(database, DIPP_PREFERENCES_VOTES, &set, &error), DIPP_E_FORMAT);
    assert_non_null(strstr(error.message, "no vote"));
    static const char *const winners[] = {"left", "right", "tie", "skip"};
    for (int i = 0; i < 4; i++) {
        char body[100];
        snprintf(body, sizeof body, "{\"pair\":%d,\"winner\":\"%s\",\"seconds\":1}", i, winners[i]);
        assert_int_equal(ask(own, "POST", "vote", body, NULL), 200);
    }
    assert_ok(dipp_preferences_read(database, DIPP_PREFERENCES_VOTES, &set, &error), error);
    assert_true(set.line_count == 3 && set.pair_count == 3);
    expect_line(own, &set, 0, 0, 1, 2);
    expect_line(own, &set, 1, 1, 2, 1);
    expect_line(own, &set, 2, 2, 1, 1);
    assert_true(set.pairs[0].label == 1 && set.pairs[1].label == 0 && set.pairs[2].tie);
    snprintf(path, sizeof path, "%s/votes.jsonl", folder); /* beside the pictures: relative, and back again */
    assert_ok(dipp_preferences_write(&set, path, &error), error);
    assert_ok(dipp_file_read(path, 1 << 20, &text, NULL, &error), error);
    assert_non_null(strstr(text, "\"images\":[\"pictures/"));
    dipp_release(text);
    assert_ok(dipp_preferences_read(path, DIPP_PREFERENCES_JSONL, &again, &error), error);
    for (int i = 0; i < 3; i++)
        expect_line(own, &again, (size_t)i, i, i == 1 ? 2 : 1, i == 0 ? 2 : 1);
    dipp_preferences_clear(&set);
    dipp_preferences_clear(&again);

    assert_ok(dipp_preferences_add_votes(&set, own->store, "Bob", &taken, &error), error);
    assert_true(taken.taken + taken.skipped + taken.lost == 0);
    snprintf(gone, sizeof gone, "%s/%s", folder, own->pairs.pictures[own->pairs.pairs[1].left].path);
    assert_int_equal(truncate(gone, 10), 0); /* a picture that was changed takes its votes with it */
    assert_ok(dipp_preferences_add_votes(&set, own->store, "Ann <i>", &taken, &error), error);
    assert_true(taken.taken + taken.lost == 3 && taken.lost >= 1 && taken.skipped == 1);
    assert_int_equal(set.line_count, taken.taken);
    dipp_preferences_clear(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(votes_are_kept_once_and_can_be_taken_back, sit_down, stand_up),
        cmocka_unit_test_setup_teardown(what_is_wrong_changes_nothing, sit_down, stand_up),
        cmocka_unit_test_setup_teardown(the_page_and_its_pictures_are_served, sit_down, stand_up),
        cmocka_unit_test_setup_teardown(a_store_that_cannot_be_written_is_said_and_the_vote_not_counted, sit_down,
                                        stand_up),
        cmocka_unit_test_setup_teardown(votes_become_preferences, sit_down, stand_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
