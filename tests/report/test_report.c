/* The whole page: on a store full of hostile texts and on one whose numbers are known. */
#include "report/report.h"

#include "../store/synthetic.h"
#include "base/file.h"
#include "base/memory.h"
#include "report_fixture.h"
#include "xml_check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct fixture {
    void *directory;
    dipp_store *store;
    char *html;
    xml_facts facts;
} fixture;

static fixture *open_fixture(void **state)
{
    static fixture shared;
    dipp_error error = {0};
    shared = (fixture){.store = NULL};
    *state = &shared;
    if (make_directory(&shared.directory) != 0)
        return NULL;
    assert_ok(dipp_store_open(((test_directory *)shared.directory)->store, NULL, &shared.store, &error), error);
    return &shared;
}

static void render(fixture *f, const char *experiment)
{
    dipp_error error = {0};
    dipp_release(f->html);
    xml_clear(&f->facts);
    f->html = NULL;
    assert_ok(dipp_report_render(f->store, experiment, &f->html, &error), error);
    xml_read(f->html, &f->facts);
    assert_string_equal(f->facts.fault, "");
}

static int open_hostile(void **state)
{
    dipp_error error = {0};
    fixture *f = open_fixture(state);
    if (!f)
        return -1;
    assert_ok(fill_report_store(f->store, ((test_directory *)f->directory)->path, &error), error);
    render(f, report_experiment);
    return 0;
}

static int open_synthetic(void **state)
{
    fixture *f = open_fixture(state);
    if (!f)
        return -1;
    fill_synthetic(f->store);
    render(f, "emoji-rewards");
    return 0;
}

static int close_fixture(void **state)
{
    fixture *f = *state;
    dipp_release(f->html);
    xml_clear(&f->facts);
    dipp_store_close(&f->store);
    return remove_directory(&f->directory);
}

static void has(const char *page, const char *wanted)
{
    if (!strstr(page, wanted))
        fail_msg("the page lacks: %s", wanted);
}

/* The section's markup, for what must stand there. */
static char *section(const char *html, const char *id)
{
    char mark[64];
    snprintf(mark, sizeof mark, "<section id=\"%s\">", id);
    const char *start = strstr(html, mark), *end = start ? strstr(start, "</section>") : NULL;
    if (!end)
        fail_msg("the page has no section %s", id);
    char *copy = strndup(start, (size_t)(end - start));
    assert_non_null(copy);
    return copy;
}

/* A text of the database stands as a name of its own, word for word. */
static void has_name(const fixture *f, const char *name)
{
    char mark[512];
    snprintf(mark, sizeof mark, "\x1f%s\x1f", name);
    has(f->facts.names.data, mark);
}

static void hostile_texts_stay_texts(void **state)
{
    fixture *f = *state;
    assert_int_equal(f->facts.scripts, 0);
    assert_int_equal(f->facts.handlers, 0);
    assert_int_equal(f->facts.doubled_ids, 0);
    static const char *const shown[REPORT_PROMPTS] = {
        NULL,
        NULL,
        NULL,
        NULL,
        "\xf0\x9f\x98\x80 \xd8\xa7\xd9\x84\xd8\xb9\xd8\xb1\xd8\xa8\xd9\x8a\xd8\xa9 \xe6\x97\xa5\xe6\x9c\xac "
        "\xef\xbf\xbdtxet",
        "bell \xe2\x90\x87 escape \xe2\x90\x9b[31m tab\t line\nend \xe2\x90\xa1",
        NULL,
        NULL};
    for (int i = 0; i < REPORT_PROMPTS; i++)
        has_name(f, shown[i] ? shown[i] : report_prompts[i]);
    has_name(f, report_experiment);
    has_name(f, "strong <script>alert('arm')</script>");
    has_name(f, "weights/<other>");
    has_name(f, "<i>value</i>");
    has_name(f, "<img src=x onerror=\"document.title='owned'\"> \xe2\x90\x9b[31m \xef\xbf\xbd\xef\xbf\xbd");
    has(f->facts.text.data, "<script>alert('yaml')</script> & ]]>");
    has(f->facts.text.data, "dipp run 'rewards <b>&\"emoji\"'\\''.yaml' 'output='\\''a b'\\''; rm <x>' --db store.db");
    has(f->facts.text.data, "experiment='rewards <b>&\"emoji\"'''");
}

/* Nothing leads out of the file, and every link within it leads somewhere. */
static void the_file_stands_alone(void **state)
{
    fixture *f = *state;
    char *links = strdup(f->facts.links.data), *rest = NULL;
    int pictures = 0;
    for (char *link = strtok_r(links, " ", &rest); link; link = strtok_r(NULL, " ", &rest)) {
        char mark[256];
        snprintf(mark, sizeof mark, "%s ", link);
        pictures += !strcmp(link, "data:image/png");
        if (*link == '#' ? !strstr(f->facts.ids.data, mark) : strncmp(link, "data:", 5) != 0)
            fail_msg("a link to %s", link);
    }
    free(links);
    /* 8 prompts in 6 columns, and the pictures of the worst prompts */
    assert_true(pictures >= 8 * 6 + 2 * 3);

    assert_int_equal(xml_count(&f->facts, "link"), 1); /* the empty icon, so that none is asked for */
    has(f->html, "default-src 'none'");
}

static void the_verdict_is_the_known_one(void **state)
{
    fixture *f = *state;
    char *verdict = section(f->html, "verdict");
    /* seeds 0 and 1: 0.195 (1 + 0.1 seed); mean 0.20475, t(1) = 12.7062, half-width 12.7062 * 0.00975 */
    has(verdict, ">+0.205</b> <span class=\"n\">[+0.0809, +0.329]</span>");
    has(verdict, "<b>raises</b>");
    has(verdict, "which it was trained on");
    has(verdict, "<b>lowers</b>");
    has(verdict, "which no arm was trained on");
    has(verdict, "2 seeds");
    free(verdict);
    char *arms = section(f->html, "arms");
    has(arms, "2 of 3");
    has(arms, "failed");
    has(arms, "Runs that did not complete");
    free(arms);
    char *board = section(f->html, "leaderboard");
    has(board, "(reference)");
    has(board, "(step 0)");
    has(board, "1 not finite");
    has(board, "0.6515</span><span class=\"dagger\">");
    free(board);
    char *wins = section(f->html, "wins");
    const char *first = strstr(wins, "<td class=\"self\"></td>"); /* arm none against itself; then against cfg-only */
    assert_non_null(first);
    first += strlen("<td class=\"self\"></td>");
    static const char lost[] = "<td class=\"c win loses\" style=\"--w:40%\"><b class=\"n\">0 %</b><small "
                               "class=\"n\">0 \xc2\xb7 0 \xc2\xb7 96</small>";
    assert_memory_equal(first, lost, sizeof lost - 1);
    has(wins, "0 \xc2\xb7 43 \xc2\xb7 20"); /* glyph, strong against cfg-only, whose NaN makes no pair */
    free(wins);
    char *curves = section(f->html, "curves");
    has(curves, "6 values not finite"); /* two trained arms, three seeds, step 30 */
    /* border of strong ends at its mean 0.6515 on an axis from 0.4 to 0.7 that is 164 high and begins at 174 */
    has(curves, "L324.0 36.5\"/>");
    has(curves, "<figure id=\"together\">");
    free(curves);
    char *fronts = section(f->html, "fronts");
    const char *front = strstr(fronts, "class=\"front\" d=\"");
    int steps = 0; /* the reward grows with the IKL from arm to arm: all four are on the front */
    for (const char *at = front; at && *at != '/'; at++)
        steps += *at == 'H';
    assert_int_equal(steps, 3);
    free(fronts);
    char *worst = section(f->html, "worst");
    has(worst, "\xe2\x88\x92"
               "0.375");
    has(worst, "background");
    free(worst);
}

static void the_same_store_gives_the_same_bytes(void **state)
{
    fixture *f = *state;
    dipp_error error = {0};
    char *again = NULL, *written = NULL, *bytes = NULL;
    assert_ok(dipp_report_render(f->store, report_experiment, &again, &error), error);
    assert_string_equal(again, f->html);
    dipp_release(again);
    dipp_store_close(&f->store);
    assert_ok(dipp_store_open(((test_directory *)f->directory)->store, NULL, &f->store, &error), error);
    assert_ok(dipp_report_write(f->store, report_experiment, NULL, &written, &error), error);
    assert_string_equal(strstr(written, "/store/"), "/store/reports/rewards__b___emoji__.html");
    assert_ok(dipp_file_read(written, 64 << 20, &bytes, NULL, &error), error);
    assert_string_equal(bytes, f->html);
    dipp_release(bytes);
    dipp_release(written);
}

static void pictures_that_are_not_as_recorded_are_named(void **state)
{
    fixture *f = *state;
    dipp_error error = {0};
    char path[512], changed[512], *other = NULL;
    size_t bytes = 0;
    const char *folder = ((test_directory *)f->directory)->path;
    snprintf(path, sizeof path, "%s/store/runs/2-0/step-100/p000-s0.png", folder);
    snprintf(changed, sizeof changed, "%s/store/runs/2-0/step-100/p001-s0.png", folder);
    assert_int_equal(unlink(path), 0);
    snprintf(path, sizeof path, "%s/store/runs/2-0/step-100/p002-s0.png", folder);
    assert_ok(dipp_file_read(path, 1 << 20, &other, &bytes, &error), error);
    assert_ok(dipp_file_write_atomic(changed, other, bytes, &error), error); /* a picture, but another */
    dipp_release(other);
    render(f, report_experiment);
    has(f->html, "file is gone");
    has(f->html, "file was changed");
    has(f->html, "Not shown: 1 files that are gone, 1 that are not what was recorded, 0 for the page");
    assert_string_equal(f->facts.fault, "");
}

/* synthetic.h: border is what arm reward was trained on, hps what the arm of that name was; no picture is kept. */
static void one_seed_claims_nothing(void **state)
{
    fixture *f = *state;
    char *verdict = section(f->html, "verdict");
    has(verdict, "In this one training");
    has(verdict, "Nothing is claimed about seeds");
    has(verdict, "none: one seed");
    has(verdict, "none: the seeds are equal");
    free(verdict);
    assert_null(strstr(f->html, "<section id=\"pictures\">"));
    char *baseline = section(f->html, "baseline");
    has(baseline, "+0.01250"); /* hps of reward: 0.03 0.03 -0.01 0 by prompt, in every seed */
    has(baseline, "+0.7000");  /* border 0.9 against 0.2 */
    has(baseline, "+0.2000");  /* border at an IKL of 2: 0.4 against 0.2 */
    free(baseline);
    char *arms = section(f->html, "arms");
    has(arms, "diverged");
    has(arms, "3 of 4");
    free(arms);
    char *reproduce = section(f->html, "reproduce");
    has(reproduce, "stage1/900.ckpt");
    free(reproduce);
}

static void nothing_to_report_is_said(void **state)
{
    fixture *f = *state;
    dipp_error error = {0};
    char *html = NULL;
    int64_t run;
    assert_int_equal(dipp_report_render(f->store, "emoji", &html, &error), DIPP_E_NOT_FOUND);
    has(error.message, "emoji-rewards (8 runs)");
    assert_int_equal(dipp_report_render(f->store, "emoji-stage1", &html, &error), DIPP_E_INVALID);
    has(error.message, "never evaluated");
    one_run(f->store, NULL, &run);
    assert_int_equal(dipp_report_render(f->store, "one", &html, &error), DIPP_E_INVALID);
    has(error.message, "none of its 1 runs is completed");
    assert_null(html);
}

/* Every so-many-th allocation fails: the error is MEMORY or the page is whole, and nothing is lost (the sanitizers
   look). */
static void no_memory_is_an_error(void **state)
{
    fixture *f = *state;
    bool whole = false;
    int failures = 0;
    for (uint64_t nth = 1; !whole; nth += nth / 3 + 1) {
        dipp_error error = {0};
        char *html = NULL;
        dipp_memory_fail_nth(nth, false);
        dipp_status status = dipp_report_render(f->store, report_experiment, &html, &error);
        whole = !dipp_memory_has_failed();
        dipp_memory_fail_nth(0, false);
        if (status == DIPP_OK && strcmp(html, f->html))
            fail_msg("allocation %llu failed, and the page is another without an error", (unsigned long long)nth);
        if (status != DIPP_OK)
            assert_int_equal(status, DIPP_E_MEMORY);
        failures += status != DIPP_OK;
        dipp_release(html);
    }
    assert_true(failures > 12);
}

int main(void)
{
    const struct CMUnitTest hostile[] = {
        cmocka_unit_test(hostile_texts_stay_texts),     cmocka_unit_test(the_file_stands_alone),
        cmocka_unit_test(the_verdict_is_the_known_one), cmocka_unit_test(the_same_store_gives_the_same_bytes),
        cmocka_unit_test(no_memory_is_an_error),        cmocka_unit_test(pictures_that_are_not_as_recorded_are_named),
    };
    const struct CMUnitTest synthetic[] = {
        cmocka_unit_test(one_seed_claims_nothing),
        cmocka_unit_test(nothing_to_report_is_said),
    };
    int failed = cmocka_run_group_tests_name("hostile texts", hostile, open_hostile, close_fixture);
    return failed + cmocka_run_group_tests_name("known numbers", synthetic, open_synthetic, close_fixture);
}
