/* The labelling page in headless Chromium: a person votes by keys and clicks, and the store has what was seen. Skips where
 * there is no Chromium, or no page. With KEEP=FOLDER pictures of the page stay there for people to look at. */
#include "browser.h"
#include "label_fixture.h"

#include "../cli/cli_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PAIRS = 7, LEFT = 37, RIGHT = 39, DOWN = 40, TAB = 9, ENTER = 13 };

static const char database[] = "store.db";
static const char settled[] =
    "!document.body.classList.contains('busy') && (!document.getElementById('task').hidden || "
    "!document.getElementById('thanks').hidden)";

static int fixture(void **state)
{
    dipp_error error = {0};
    if (cli_setup(state) != 0)
        return -1;
    if (fill_label_store(".", &error) != DIPP_OK)
        fail_msg("%s", error.message);
    return 0;
}

/* false where dipp was built without the page. */
static bool start_page(pid_t *server, char url[128])
{
    char command[200];
    snprintf(command, sizeof command, "label faces --db store.db --voter Ann --seed 2 --count %d", PAIRS);
    *server = start_dipp("label", command, false);
    for (int i = 0; i < 2000; i++) {
        const char *said = output("label"), *address = strstr(said, "http://");
        if (address && sscanf(address, "%127[^\n]\n", url) == 1 && strchr(address, '\n'))
            return true;
        if (strstr(said, "built without")) {
            wait_for(*server);
            return false;
        }
        nanosleep(&(struct timespec){0, 10000000}, NULL);
    }
    kill(*server, SIGKILL);
    fail_msg("no page after 20 s");
    return false;
}

/* The digest of what stands on a side, as the browser has it. */
static void seen(browser *page, const char *side, char out[80])
{
    char expression[600];
    snprintf(expression, sizeof expression,
             "fetch(document.querySelector('#%s img').src).then(r => r.arrayBuffer()).then(b => crypto.subtle.digest("
             "'SHA-256', b)).then(d => [...new Uint8Array(d)].map(x => x.toString(16).padStart(2, '0')).join(''))",
             side);
    browser_text(page, expression, out, 80);
}

/* Waits until the page shows pair number `pair`, counted from 0. */
static void expect_pair(browser *page, int pair)
{
    char expression[400];
    snprintf(expression, sizeof expression,
             "%s && document.getElementById('count').textContent === '%d of %d judged, %d left'", settled, pair, PAIRS,
             PAIRS - pair);
    browser_wait(page, expression);
}

/* The newest vote is this one, on what was seen before it. */
static void expect_vote(int votes, const char *winner, const char *left, const char *right, const char *prompt)
{
    char row[400];
    assert_int_equal(ask(database, "SELECT count(*) FROM votes"), votes);
    snprintf(row, sizeof row, "%s %s %s %s Ann", winner, left, right, prompt);
    assert_string_equal(ask_text(database,
                                 "SELECT winner||' '||left_sha256||' '||right_sha256||' '||prompt||' '||voter FROM "
                                 "votes ORDER BY vote_id DESC LIMIT 1"),
                        row);
    assert_int_equal(ask(database, "SELECT seconds>0 AND seconds<600 FROM votes ORDER BY vote_id DESC LIMIT 1"), 1);
}

static void keep(browser *page, const char *name)
{
    char path[400];
    const char *folder = getenv("KEEP");
    snprintf(path, sizeof path, "%s/%s.png", folder ? folder : "", name);
    if (folder)
        browser_screenshot(page, path);
}

static void look_at(browser *page, char left[80], char right[80], char prompt[200])
{
    seen(page, "left", left);
    seen(page, "right", right);
    assert_string_not_equal(left, right);
    browser_text(page, "document.getElementById('prompt').textContent", prompt, 200);
}

static void vote_all(browser *page, pid_t server)
{
    char left[80], right[80], prompt[200], before[80];
    expect_pair(page, 0);
    assert_true(browser_true(page, "document.getElementById('undo').disabled"));
    assert_true(
        browser_true(page, "getComputedStyle(document.querySelector('#left img')).imageRendering === 'pixelated'"));
    browser_press(page, "u", 'U', false); /* nothing to take back */
    browser_press(page, "ArrowUp", 38, false);
    browser_press(page, "ArrowLeft", LEFT, true); /* a key that is held down since the last page */
    expect_pair(page, 0);
    look_at(page, left, right, prompt);
    keep(page, "light");
    browser_press(page, "ArrowRight", RIGHT, false);
    expect_pair(page, 1);
    expect_vote(1, "right", left, right, prompt);

    look_at(page, left, right, prompt);
    snprintf(before, sizeof before, "%s", left);
    browser_click(page, "left");
    expect_pair(page, 2);
    expect_vote(2, "left", left, right, prompt);
    browser_press(page, "u", 'U', false);
    expect_pair(page, 1);
    assert_int_equal(ask(database, "SELECT count(*) FROM votes"), 1);
    seen(page, "left", left);
    assert_string_equal(left, before); /* the same pair, the same way round */
    browser_press(page, "ArrowLeft", LEFT, false);
    expect_pair(page, 2);
    expect_vote(2, "left", left, right, prompt);

    look_at(page, left, right, prompt);
    browser_press(page, "ArrowDown", DOWN, false);
    expect_pair(page, 3);
    expect_vote(3, "tie", left, right, prompt);

    look_at(page, left, right, prompt);
    browser_press(page, "s", 'S', false);
    expect_pair(page, 4);
    expect_vote(4, "skip", left, right, prompt);

    /* by the buttons alone: Tab to the right picture, Enter */
    look_at(page, left, right, prompt);
    browser_value(page, "document.activeElement.blur()");
    for (int i = 0; i < 10 && !browser_true(page, "document.activeElement.id === 'right'"); i++)
        browser_press(page, "Tab", TAB, false);
    assert_true(browser_true(page, "getComputedStyle(document.activeElement).outlineStyle === 'solid'"));
    browser_press(page, "Enter", ENTER, false);
    expect_pair(page, 5);
    expect_vote(5, "right", left, right, prompt);

    /* on a telephone */
    browser_resize(page, 340, 640, true);
    expect_pair(page, 5);
    assert_true(browser_true(page, "document.documentElement.scrollWidth <= 340"));
    assert_true(browser_true(
        page, "['left', 'right', 'tie', 'skip', 'undo'].every(id => (r => r.left >= 0 && r.right <= 340 "
              "&& r.bottom <= 640 && r.width > 40)(document.getElementById(id).getBoundingClientRect()))"));
    assert_true(browser_true(page, "document.querySelector('#left img').getBoundingClientRect().right <= "
                                   "document.querySelector('#right img').getBoundingClientRect().left"));
    keep(page, "narrow");
    look_at(page, left, right, prompt);
    browser_click(page, "tie");
    expect_pair(page, 6);
    expect_vote(6, "tie", left, right, prompt);
    browser_resize(page, 1100, 800, false);
    look_at(page, left, right, prompt);
    browser_click(page, "skip");
    browser_wait(page, "!document.getElementById('thanks').hidden && document.getElementById('task').hidden");
    expect_vote(7, "skip", left, right, prompt);
    browser_text(page, "document.getElementById('tally').textContent", prompt, sizeof prompt);
    assert_string_equal(prompt, "You judged 5 pairs, 2 of them equally good; 2 you could not say.");
    assert_true(browser_true(page, "document.body.innerText.includes('--export votes.jsonl')"));
    keep(page, "thanks");
    assert_string_equal(browser_complaints(page), "");

    browser_press(page, "u", 'U', false);
    expect_pair(page, 6);
    kill(server, SIGTERM);
    assert_int_equal(wait_for(server), 75);
    browser_press(page, "ArrowLeft", LEFT, false);
    browser_wait(page, "document.getElementById('message').textContent.includes('dipp label has ended')");
    assert_int_equal(ask(database, "SELECT count(*) FROM votes"), 6);
}

/* Every prompt as it is, none as markup; found by a second look at the votes. */
static void check_prompts(browser *page)
{
    assert_true(browser_true(page, "document.querySelectorAll('#prompt *').length === 0"));
    assert_int_equal(ask(database, "SELECT count(*) FROM votes WHERE prompt='<b>\"two\" & three</b>'") > 0, 1);
}

static void a_person_votes_by_keys_and_clicks(void **state)
{
    char url[128] = "";
    pid_t server;
    if (!start_page(&server, url)) {
        print_message("skipped: dipp was built without the page\n");
        skip();
    }
    browser *page = browser_start("profile");
    if (!page) {
        kill(server, SIGTERM);
        wait_for(server);
        print_message("skipped: no chromium here\n");
        skip();
    }
    browser_open(page, url);
    browser_resize(page, 1100, 860, false);
    vote_all(page, server);
    check_prompts(page);
    browser_stop(page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_person_votes_by_keys_and_clicks, fixture, cli_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
