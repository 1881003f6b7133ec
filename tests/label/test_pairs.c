/* Which pairs are shown: all there are and none twice, arms against each other first, the same ones to every voter in
 * another order, and none again that was judged. */
#include "label_fixture.h"

#include "../store/synthetic.h"
#include "base/file.h"
#include "base/memory.h"
#include "label/label_pairs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OF_PROMPT = LABEL_PICTURES * (LABEL_PICTURES - 1) / 2, ALL = LABEL_PROMPTS * OF_PROMPT, ACROSS = 4 * 4 };

static int filled(void **state)
{
    dipp_error error = {0};
    if (make_directory(state) != 0)
        return -1;
    assert_ok(fill_label_store(((test_directory *)*state)->path, &error), error);
    return 0;
}

static dipp_store *open_store(void **state)
{
    dipp_store *store = NULL;
    dipp_error error = {0};
    assert_ok(dipp_store_open(((test_directory *)*state)->store, NULL, &store, &error), error);
    return store;
}

static dipp_label_pairs choose(dipp_store *store, uint32_t count, uint64_t seed, const char *voter, bool all)
{
    static const char *const names[] = {label_experiment};
    dipp_label_request request = {
        .names = names, .name_count = 1, .all = all, .count = count, .seed = seed, .voter = voter};
    dipp_label_pairs pairs = {0};
    dipp_error error = {0};
    assert_ok(dipp_label_pairs_choose(store, &request, &pairs, &error), error);
    return pairs;
}

static const dipp_label_picture *side(const dipp_label_pairs *pairs, size_t pair, bool left)
{
    return &pairs->pictures[left ? pairs->pairs[pair].left : pairs->pairs[pair].right];
}

/* Prompt and both pictures, whichever side they are on. */
static void name_pair(const dipp_label_pairs *pairs, size_t pair, char out[300])
{
    const char *left = side(pairs, pair, true)->sha256, *right = side(pairs, pair, false)->sha256;
    bool order = strcmp(left, right) < 0;
    assert_string_equal(side(pairs, pair, true)->prompt, side(pairs, pair, false)->prompt);
    assert_string_not_equal(left, right);
    snprintf(out, 300, "%s %s %s", side(pairs, pair, true)->prompt, order ? left : right, order ? right : left);
}

static bool has(const dipp_label_pairs *pairs, const char *name)
{
    char other[300];
    for (size_t i = 0; i < pairs->count; i++) {
        name_pair(pairs, i, other);
        if (!strcmp(name, other))
            return true;
    }
    return false;
}

static void all_pairs_of_a_prompt_once(void **state)
{
    char name[300], other[300];
    dipp_store *store = open_store(state);
    dipp_label_pairs pairs = choose(store, 0, 3, "Ann", false);
    int prompts[LABEL_PROMPTS] = {0}, across = 0;
    assert_int_equal(pairs.count, ALL);
    for (size_t i = 0; i < pairs.count; i++) {
        name_pair(&pairs, i, name);
        for (size_t k = 0; k < i; k++) {
            name_pair(&pairs, k, other);
            assert_string_not_equal(name, other);
        }
        for (int p = 0; p < LABEL_PROMPTS; p++)
            prompts[p] += !strcmp(side(&pairs, i, true)->prompt, label_prompts[p]);
        across += strcmp(side(&pairs, i, true)->arm, side(&pairs, i, false)->arm) != 0;
        assert_non_null(strstr(side(&pairs, i, true)->path, "-40-"));
        assert_true(side(&pairs, i, true)->artifact_id > 0);
    }
    for (int p = 0; p < LABEL_PROMPTS; p++)
        assert_int_equal(prompts[p], OF_PROMPT);
    assert_int_equal(across, LABEL_PROMPTS * ACROSS);
    dipp_label_pairs_clear(&pairs);
    /* step 0 and the reference are one picture each, however many runs have them */
    pairs = choose(store, 0, 3, "Ann", true);
    assert_int_equal(pairs.count, LABEL_PROMPTS * (LABEL_PICTURES + 2) * (LABEL_PICTURES + 1) / 2);
    dipp_label_pairs_clear(&pairs);
    dipp_store_close(&store);
}

static void few_pairs_are_spread_and_across_arms(void **state)
{
    dipp_store *store = open_store(state);
    dipp_label_pairs pairs = choose(store, 2 * LABEL_PROMPTS, 5, "Ann", false);
    int prompts[LABEL_PROMPTS] = {0};
    assert_int_equal(pairs.count, 2 * LABEL_PROMPTS);
    for (size_t i = 0; i < pairs.count; i++) {
        assert_string_not_equal(side(&pairs, i, true)->arm, side(&pairs, i, false)->arm);
        for (int p = 0; p < LABEL_PROMPTS; p++)
            prompts[p] += !strcmp(side(&pairs, i, true)->prompt, label_prompts[p]);
    }
    for (int p = 0; p < LABEL_PROMPTS; p++)
        assert_int_equal(prompts[p], 2);
    dipp_label_pairs_clear(&pairs);
    dipp_store_close(&store);
}

static void voters_see_the_same_pairs_in_their_own_order(void **state)
{
    char name[300], other[300];
    dipp_store *store = open_store(state);
    dipp_label_pairs ann = choose(store, 30, 5, "Ann", false), again = choose(store, 30, 5, "Ann", false),
                     bob = choose(store, 30, 5, "Bob", false), else_ = choose(store, 30, 6, "Ann", false);
    int moved = 0, turned = 0, shared = 0, bold_left = 0;
    assert_memory_equal(ann.pairs, again.pairs, 30 * sizeof *ann.pairs);
    for (size_t i = 0; i < 30; i++) {
        name_pair(&ann, i, name);
        name_pair(&bob, i, other);
        moved += strcmp(name, other) != 0;
        assert_true(has(&bob, name));
        shared += has(&else_, name);
        for (size_t k = 0; k < 30; k++)
            turned += ann.pairs[i].left == bob.pairs[k].right && ann.pairs[i].right == bob.pairs[k].left;
        bold_left += strstr(side(&ann, i, true)->arm, "bold") != NULL;
    }
    assert_true(moved > 20);
    assert_in_range(turned, 6, 24); /* a coin a pair */
    assert_in_range(bold_left, 6, 24);
    assert_in_range(shared, 5, 29); /* of 84 */
    dipp_label_pairs_clear(&ann);
    dipp_label_pairs_clear(&again);
    dipp_label_pairs_clear(&bob);
    dipp_label_pairs_clear(&else_);
    dipp_store_close(&store);
}

static void what_was_judged_is_not_shown_again(void **state)
{
    char name[300];
    dipp_error error = {0};
    dipp_store *store = open_store(state);
    dipp_label_pairs pairs = choose(store, 10, 5, "Ann", false);
    const dipp_label_picture *left = side(&pairs, 4, true), *right = side(&pairs, 4, false);
    dipp_vote vote = {.prompt = left->prompt, /* the other way round */
                      .left = {right->artifact_id, right->sha256, right->path},
                      .right = {left->artifact_id, left->sha256, left->path},
                      .winner = DIPP_VOTE_SKIP,
                      .voter = "Ann",
                      .session = "s"};
    name_pair(&pairs, 4, name);
    assert_ok(dipp_store_vote_put(store, &vote, &error), error);
    dipp_label_pairs rest = choose(store, 10, 5, "Ann", false), bob = choose(store, 10, 5, "Bob", false);
    assert_int_equal(rest.count, 9);
    assert_int_equal(rest.judged, 1);
    assert_false(has(&rest, name));
    assert_int_equal(bob.count, 10);
    assert_true(has(&bob, name));
    dipp_label_pairs_clear(&pairs);
    dipp_label_pairs_clear(&rest);
    dipp_label_pairs_clear(&bob);
    dipp_store_close(&store);
}

static void a_picture_that_is_gone_or_changed_is_left_out(void **state)
{
    char path[400], *bytes = NULL;
    const char *type = NULL;
    size_t count = 0;
    dipp_error error = {0};
    dipp_store *store = open_store(state);
    dipp_label_pairs pairs = choose(store, 0, 3, "Ann", false);
    const dipp_label_picture *picture = side(&pairs, 0, true);
    assert_ok(dipp_label_picture_read(store, picture, &bytes, &count, &type, &error), error);
    assert_string_equal(type, "image/png");
    dipp_release(bytes);
    snprintf(path, sizeof path, "%s/%s", ((test_directory *)*state)->path, picture->path);
    FILE *file = fopen(path, "a");
    assert_non_null(file);
    fputc('x', file);
    fclose(file);
    assert_int_equal(dipp_label_picture_read(store, picture, &bytes, &count, &type, &error), DIPP_E_FORMAT);
    assert_null(bytes);
    dipp_label_pairs rest = choose(store, 0, 3, "Ann", false);
    assert_int_equal(rest.unread, LABEL_PICTURES - 1);
    assert_int_equal(rest.count, ALL - (LABEL_PICTURES - 1));
    dipp_label_pairs_clear(&rest);
    assert_int_equal(unlink(path), 0);
    rest = choose(store, 0, 3, "Ann", false);
    assert_int_equal(rest.unread, LABEL_PICTURES - 1);
    dipp_label_pairs_clear(&rest);
    dipp_label_pairs_clear(&pairs);
    dipp_store_close(&store);
}

/* ---- From a file ---- */

static dipp_status choose_file(void **state, const char *text, dipp_label_pairs *pairs, dipp_error *error)
{
    char path[400];
    dipp_store *store = open_store(state);
    snprintf(path, sizeof path, "%s/pairs.jsonl", ((test_directory *)*state)->path);
    assert_ok(dipp_file_write_atomic(path, text, strlen(text), error), *error);
    dipp_label_request request = {.file = path, .voter = "Ann"};
    dipp_status status = dipp_label_pairs_choose(store, &request, pairs, error);
    dipp_store_close(&store);
    return status;
}

static void a_file_says_its_own_pairs(void **state)
{
    dipp_label_pairs pairs = {0};
    dipp_error error = {0};
    /* two lines of one prompt are two questions, and the pair that both have is one */
    static const char good[] =
        "{\"prompt\": \"p\", \"images\": [\"pictures/1-generator-40-0-0.png\", \"pictures/2-generator-40-0-0.png\", "
        "\"pictures/3-generator-40-0-0.png\"], \"labels\": [1, 0, 0]}\n\n"
        "{\"prompt\": \"p\", \"images\": [\"pictures/3-generator-40-0-0.png\", "
        "\"pictures/1-generator-40-0-0.png\"]}\r\n"
        "{\"prompt\": \"p\", \"images\": [\"pictures/3-generator-40-0-0.png\", \"pictures/4-generator-40-0-0.png\"]}\n"
        "{\"prompt\": \"q\", \"images\": [\"pictures/1-generator-0-0-0.png\", \"pictures/2-generator-0-0-0.png\"]}\n"
        "{\"prompt\": \"q\", \"images\": [\"pictures/3-generator-40-0-0.png\", \"pictures/1-generator-40-0-0.png\"]}";
    assert_ok(choose_file(state, good, &pairs, &error), error);
    assert_int_equal(pairs.count,
                     5); /* 3 of the first line, 1 of the third, 0 of two equal files, 1 of another prompt */
    for (size_t i = 0; i < pairs.count; i++) {
        assert_int_equal(side(&pairs, i, true)->path[0], '/');
        assert_int_equal(side(&pairs, i, true)->artifact_id, 0);
    }
    dipp_label_pairs_clear(&pairs);
    static const struct {
        const char *text, *says;
        dipp_status status;
    } bad[] = {
        {"{\"prompt\": \"p\", \"images\": [\"pictures/1-generator-40-0-0.png\"]}", ":1", DIPP_E_FORMAT},
        {"\n{\"prompt\": \"p\"", ":2", DIPP_E_FORMAT},
        {"{\"prompt\": \"p\", \"images\": [\"gone.png\", \"pictures/1-generator-40-0-0.png\"]}", "gone.png",
         DIPP_E_NOT_FOUND},
        {"{\"prompt\": \"p\", \"images\": [1, 2]}", ":1", DIPP_E_FORMAT},
        {"[]", ":1", DIPP_E_FORMAT},
        {"\n", "no two pictures", DIPP_E_NOT_FOUND},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        dipp_status status = choose_file(state, bad[i].text, &pairs, &error);
        if (status != bad[i].status || !strstr(error.message, bad[i].says))
            fail_msg("case %zu: %s, %s", i, dipp_status_name(status), error.message);
    }
}

static void what_is_not_there_is_said(void **state)
{
    dipp_label_pairs pairs = {0};
    dipp_error error = {0};
    dipp_store *store = open_store(state);
    const char *name = "nobody";
    dipp_label_request request = {.names = &name, .name_count = 1, .voter = "Ann"};
    assert_int_equal(dipp_label_pairs_choose(store, &request, &pairs, &error), DIPP_E_NOT_FOUND);
    assert_non_null(strstr(error.message, "nobody"));
    name = "plain:1"; /* one run by its selector: samples of one arm */
    assert_ok(dipp_label_pairs_choose(store, &request, &pairs, &error), error);
    assert_int_equal(pairs.count, LABEL_PROMPTS);
    dipp_label_pairs_clear(&pairs);
    for (uint64_t nth = 1;; nth++) {
        dipp_memory_fail_nth(nth, true);
        dipp_status status = dipp_label_pairs_choose(store, &request, &pairs, &error);
        bool failed = dipp_memory_has_failed();
        dipp_memory_fail_nth(0, false);
        if (!failed)
            break;
        if (status != DIPP_E_MEMORY)
            fail_msg("allocation %llu: %s", (unsigned long long)nth, error.message);
    }
    dipp_label_pairs_clear(&pairs);
    dipp_store_close(&store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_pairs_of_a_prompt_once, filled, remove_directory),
        cmocka_unit_test_setup_teardown(few_pairs_are_spread_and_across_arms, filled, remove_directory),
        cmocka_unit_test_setup_teardown(voters_see_the_same_pairs_in_their_own_order, filled, remove_directory),
        cmocka_unit_test_setup_teardown(what_was_judged_is_not_shown_again, filled, remove_directory),
        cmocka_unit_test_setup_teardown(a_picture_that_is_gone_or_changed_is_left_out, filled, remove_directory),
        cmocka_unit_test_setup_teardown(a_file_says_its_own_pairs, filled, remove_directory),
        cmocka_unit_test_setup_teardown(what_is_not_there_is_said, filled, remove_directory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
