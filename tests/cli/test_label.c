/* dipp label over plain sockets: who may ask, what malformed requests meet, and what is left when it is stopped. */
#include "cli_fixture.h"

#include "../label/label_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { ANSWER_BYTES = 1 << 16, PAIRS = 4, MANY = 200 };

static pid_t server;
static int port;
static char token[64];

/* Starts the page; false where dipp was built without it. */
static bool start_page(const char *arguments)
{
    char command[400];
    snprintf(command, sizeof command, "label faces --db store.db --voter Ann --count %d %s", PAIRS, arguments);
    server = start_dipp("label", command, false);
    for (int waited = 0; waited < 2000; waited++) {
        const char *said = output("label"), *address = strstr(said, "http://127.0.0.1:");
        if (address && strchr(address, '\n')) {
            assert_int_equal(sscanf(address, "http://127.0.0.1:%d/%63[0-9a-f]/", &port, token), 2);
            assert_int_equal(strlen(token), 32);
            return true;
        }
        if (strstr(said, "built without")) {
            wait_for(server);
            return false;
        }
        nanosleep(&(struct timespec){0, 10000000}, NULL);
    }
    kill(server, SIGKILL);
    wait_for(server);
    fail_msg("no page after 20 s: %s", output("label"));
    return false;
}

static int stop_page(int signal)
{
    kill(server, signal);
    return wait_for(server);
}

static int open_connection(void)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct timeval patience = {.tv_sec = 20};
    int connection = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(connection >= 0);
    setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(connection, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (connect(connection, (struct sockaddr *)&address, sizeof address) != 0) {
        close(connection);
        return -1;
    }
    return connection;
}

/* Sends these bytes and reads all that comes back into answer; the code, 0 when the server hung up without a word. */
static int exchange(const char *bytes, size_t count, char answer[ANSWER_BYTES])
{
    int connection = open_connection(), code = 0;
    assert_true(connection >= 0);
    for (size_t sent = 0; sent < count;) {
        ssize_t more = send(connection, bytes + sent, count - sent, MSG_NOSIGNAL);
        if (more <= 0)
            break; /* the server has heard enough */
        sent += (size_t)more;
    }
    shutdown(connection, SHUT_WR);
    size_t got = 0;
    for (ssize_t more;
         got < ANSWER_BYTES - 1 && (more = recv(connection, answer + got, ANSWER_BYTES - 1 - got, 0)) > 0;)
        got += (size_t)more;
    answer[got] = 0;
    close(connection);
    sscanf(answer, "HTTP/1.%*d %d", &code);
    return code;
}

/* METHOD /TOKEN/path with a body, as a browser asks; "TOKEN" in path stands for the token. */
static int ask_page(const char *method, const char *path, const char *headers, const char *body,
                    char answer[ANSWER_BYTES])
{
    char request[8192], whole[512];
    const char *mark = strstr(path, "TOKEN");
    snprintf(whole, sizeof whole, "%.*s%s%s", mark ? (int)(mark - path) : (int)strlen(path), path, mark ? token : "",
             mark ? mark + 5 : "");
    int count = snprintf(request, sizeof request,
                         "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\nContent-Length: %zu\r\n%s\r\n%s",
                         method, whole, port, strlen(body), headers, body);
    assert_true(count > 0 && count < (int)sizeof request);
    return exchange(request, (size_t)count, answer);
}

static void still_serves(void)
{
    char answer[ANSWER_BYTES];
    assert_int_equal(ask_page("GET", "/TOKEN/state", "", "", answer), 200);
    assert_non_null(strstr(answer, "\"pair\":"));
}

static int fixture(void **state)
{
    dipp_error error = {0};
    if (cli_setup(state) != 0)
        return -1;
    if (fill_label_store(".", &error) != DIPP_OK)
        fail_msg("%s", error.message);
    return 0;
}

#define PAGE_OR_SKIP(arguments)                                      \
    if (!start_page(arguments)) {                                    \
        print_message("skipped: dipp was built without the page\n"); \
        skip();                                                      \
    }

static void only_who_knows_the_address_is_answered(void **state)
{
    char answer[ANSWER_BYTES], path[100], request[400];
    PAGE_OR_SKIP("");
    static const char *const outside[] = {"/",      "/state",   "/vote",          "/favicon.ico",
                                          "/TOKE/", "/TOKEN0/", "//TOKEN",        "/../TOKEN/state",
                                          "*",      "/?TOKEN",  "/%00TOKEN/state"};
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++)
        for (int post = 0; post < 2; post++) {
            int code = ask_page(post ? "POST" : "GET", outside[i], "", "", answer);
            if (code != 403 || strstr(answer, "pair") || strstr(answer, token))
                fail_msg("%s: %d\n%s", outside[i], code, answer);
        }
    for (int digit = 0; digit < 32; digit++) { /* each digit counts */
        snprintf(path, sizeof path, "/%s/state", token);
        path[1 + digit] = path[1 + digit] == '0' ? '1' : '0';
        assert_int_equal(ask_page("GET", path, "", "", answer), 403);
    }
    for (int digits = 1; digits < 32; digits += 5) {
        snprintf(path, sizeof path, "/%.*s/state", digits, token);
        assert_int_equal(ask_page("GET", path, "", "", answer), 403);
    }
    /* another site that makes its own name lead here, or sends a form */
    static const struct {
        const char *host;
        int code;
    } hosts[] = {
        {"evil.example", 403},   {"evil.example:PORT", 403},   {"127.0.0.1", 403}, {"127.0.0.1:1", 403}, {"", 403},
        {"localhost:PORT", 200}, {"127.0.0.1:PORT.evil", 403}, {"[::1]:PORT", 403}};
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        char name[100];
        const char *mark = strstr(hosts[i].host, "PORT");
        snprintf(name, sizeof name, mark ? "%.*s%d%s" : "%.*s", mark ? (int)(mark - hosts[i].host) : 80, hosts[i].host,
                 port, mark ? mark + 4 : "");
        snprintf(request, sizeof request, "GET /%s/state HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", token,
                 name);
        int code = exchange(request, strlen(request), answer);
        if (code != hosts[i].code)
            fail_msg("%s: %d", hosts[i].host, code);
    }
    snprintf(request, sizeof request, "GET /%s/state HTTP/1.0\r\n\r\n", token);
    assert_int_equal(exchange(request, strlen(request), answer), 403);
    assert_int_equal(ask_page("POST", "/TOKEN/undo", "Origin: http://evil.example\r\n", "{}", answer), 403);
    assert_int_equal(ask_page("POST", "/TOKEN/undo", "Origin: null\r\n", "{}", answer), 403);
    snprintf(request, sizeof request, "Origin: http://localhost:%d\r\n", port);
    assert_int_equal(ask_page("POST", "/TOKEN/undo", request, "{}", answer), 409);

    /* what is answered says that nothing else may run, and is not kept */
    assert_int_equal(ask_page("GET", "/TOKEN/", "", "", answer), 200);
    static const char *const headers[] = {"Content-Security-Policy: default-src 'none'; img-src 'self'", "no-store",
                                          "X-Content-Type-Options: nosniff", "Referrer-Policy: no-referrer",
                                          "script-src 'nonce-"};
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++)
        assert_non_null(strstr(answer, headers[i]));
    assert_int_equal(ask_page("GET", "/TOKEN", "", "", answer), 301);
    snprintf(path, sizeof path, "Location: /%s/\r\n", token);
    assert_non_null(strstr(answer, path));
    assert_int_equal(stop_page(SIGINT), 75);
}

static void nobody_listens_but_on_loopback(void **state)
{
    static const char *const tables[] = {"/proc/net/tcp", "/proc/net/tcp6"};
    char line[512];
    int found = 0;
    PAGE_OR_SKIP("");
    for (int t = 0; t < 2; t++) {
        FILE *table = fopen(tables[t], "r");
        while (table && fgets(line, sizeof line, table)) {
            unsigned local = 0, kind = 0;
            char address[64];
            if (sscanf(line, " %*d: %63[0-9A-F]:%x %*s %x", address, &local, &kind) == 3 && kind == 0x0A &&
                (int)local == port) {
                found++;
                assert_string_equal(address, "0100007F");
            }
        }
        if (table)
            fclose(table);
    }
    assert_int_equal(found, 1);
    assert_int_equal(stop_page(SIGTERM), 75);
}

static void malformed_requests_meet_an_answer_or_a_hang_up(void **state)
{
    static char answer[ANSWER_BYTES], big[300000];
    PAGE_OR_SKIP("");
    static const struct {
        const char *path;
        int code;
    } paths[] = {{"/TOKEN/../../../../etc/passwd", 404},
                 {"/TOKEN/%2e%2e/%2e%2e/%2e%2e/etc/passwd", 404},
                 {"/TOKEN/picture/0/../../../store.db", 404},
                 {"/TOKEN/picture/0/%2e%2e%2f%2e%2e%2fstore.db", 404},
                 {"/TOKEN/picture/../store.db", 404},
                 {"/TOKEN//etc/passwd", 404},
                 {"/TOKEN/picture/99999999999999999999999/left", 404},
                 {"/TOKEN/picture/0/left%00.png", 200}, /* a zero ends the text: the picture itself */
                 {"/TOKEN/state?%zz=%", 200},
                 {"/TOKEN/%ff%fe", 404}};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        int code = ask_page("GET", paths[i].path, "", "", answer);
        if (code != paths[i].code || strstr(answer, "root:") || strstr(answer, "SQLite format"))
            fail_msg("%s: %d\n%.300s", paths[i].path, code, answer);
    }
    assert_int_equal(ask_page("BREW", "/TOKEN/state", "", "", answer), 405);
    assert_int_equal(ask_page("DELETE", "/TOKEN/vote", "", "", answer), 405);
    assert_non_null(strstr(answer, "Allow: POST"));
    assert_int_equal(ask_page("POST", "/TOKEN/vote", "", "{\"pair\":", answer), 400);
    assert_int_equal(ask_page("POST", "/TOKEN/vote", "", "\x01\xff", answer), 400);

    memset(big, 'a', sizeof big);
    big[sizeof big - 1] = 0;
    static const char *const heads[] = {
        "GET /%s",                                                                       /* a long path */
        "GET /%s/state HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nX: ",                           /* a long header */
        "POST /%s/vote HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Length: 299999\r\n\r\n" /* a long body */
        ,
        "POST /%s/vote HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "POST /%s/vote HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Length: -5\r\n\r\n",
        "POST /%s/vote HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nTransfer-Encoding: chunked\r\n\r\n493df\r\n",
        "POST /%s/vote HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffffffff\r\n"};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        char head[400];
        static char whole[sizeof big + 400];
        snprintf(head, sizeof head, heads[i], token, port);
        int count = snprintf(whole, sizeof whole, "%s%s", head, big);
        int code = exchange(whole, (size_t)count, answer);
        if (code == 200 || code >= 500)
            fail_msg("case %zu: %d", i, code);
        still_serves();
    }
    static const char *const rubbish[] = {"",
                                          "\r\n\r\n\r\n",
                                          "GET\r\n\r\n",
                                          "GET / HTTP/9.9\r\n\r\n",
                                          "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS greeting",
                                          "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                                          "GET / HTTP/1.1\r\nHost",
                                          "GET / HTTP/1.1\r\n: nameless\r\n\r\n",
                                          "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf"};
    for (size_t i = 0; i < sizeof rubbish / sizeof *rubbish; i++) {
        int code = exchange(rubbish[i], strlen(rubbish[i]), answer);
        if (code == 200 || code >= 506)
            fail_msg("rubbish %zu: %d", i, code);
        still_serves();
    }
    char half[300]; /* a body that stops short */
    snprintf(half, sizeof half,
             "POST /%s/vote HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Length: 60\r\n\r\n{\"pair\":0,", token, port);
    assert_int_not_equal(exchange(half, strlen(half), answer), 200);
    still_serves();

    int idle[MANY];
    for (int i = 0; i < MANY; i++) { /* more than it takes at once; some have begun to ask */
        idle[i] = open_connection();
        if (idle[i] >= 0 && i % 3 == 0)
            send(idle[i], "GET /", 5, MSG_NOSIGNAL);
    }
    for (int i = 0; i < MANY; i++)
        if (idle[i] >= 0)
            close(idle[i]);
    int code = 0;
    for (int tries = 0; tries < 100 && code != 200; tries++) { /* it has to see that they are gone */
        code = ask_page("GET", "/TOKEN/state", "", "", answer);
        nanosleep(&(struct timespec){0, 20000000}, NULL);
    }
    assert_int_equal(code, 200);
    assert_int_equal(ask("store.db", "SELECT count(*) FROM votes"), 0);
    assert_int_equal(stop_page(SIGINT), 75);
}

static void vote(int pair, const char *winner, int expected)
{
    char answer[ANSWER_BYTES], body[100];
    snprintf(body, sizeof body, "{\"pair\":%d,\"winner\":\"%s\",\"seconds\":1.5}", pair, winner);
    assert_int_equal(ask_page("POST", "/TOKEN/vote", "Content-Type: application/json\r\n", body, answer), expected);
}

static void votes_survive_stops_and_the_same_command_goes_on(void **state)
{
    char first[64];
    PAGE_OR_SKIP("");
    snprintf(first, sizeof first, "%s", token);
    vote(0, "left", 200);
    vote(0, "left", 409);
    vote(1, "tie", 200);
    assert_int_equal(ask("store.db", "SELECT count(*) FROM votes WHERE voter='Ann' AND seconds=1.5"), 2);
    assert_int_equal(stop_page(SIGINT), 75);
    assert_non_null(strstr(output("label"), "2 votes by Ann (1 tie), 0 skipped, 2 pairs left; in store.db"));
    assert_true(start_page(""));
    assert_string_not_equal(first, token); /* an address of its own */
    assert_non_null(strstr(output("label"), "2 pairs to judge, 2 are judged already"));
    vote(0, "right", 200);
    kill(server, SIGKILL); /* what was answered is kept */
    assert_int_equal(wait_for(server), -SIGKILL);
    assert_int_equal(ask("store.db", "SELECT count(*) FROM votes"), 3);
    assert_true(start_page(""));
    vote(0, "skip", 200);
    vote(1, "left", 409);
    assert_int_equal(stop_page(SIGTERM), 0); /* nothing is left */
    assert_non_null(strstr(output("label"), "0 votes by Ann (0 ties), 1 skipped, 0 pairs left"));
    assert_int_equal(ask("store.db", "SELECT count(DISTINCT session) FROM votes"), 3);
    assert_int_equal(dipp("label --db store.db --export votes.jsonl"), 0);
    assert_true(output_has("votes.jsonl: 3 votes, without 1 skipped"));
    assert_int_equal(dipp("reward import votes --from store.db --to same.jsonl"), 0);
    assert_true(output_has("3 lines, 2 pairs and 1 ties"));
    assert_int_equal((int)(digest_file("votes.jsonl") != digest_file("same.jsonl")), 0);
    assert_sound("store.db");
}

static void what_is_asked_wrongly_is_said(void **state)
{
    assert_int_equal(dipp("label --db store.db"), 2);
    assert_true(output_has("an experiment or runs are needed"));
    assert_int_equal(dipp("label faces --db store.db --port 70000"), 2);
    assert_int_equal(dipp("label faces --db store.db --count -1"), 2);
    assert_int_equal(dipp("label faces --db store.db --export x.jsonl"), 2);
    assert_int_equal(dipp("label nobody --db store.db"), 3);
    assert_true(output_has("neither an experiment nor a run `nobody`"));
    assert_int_equal(dipp("label faces --db none.db"), 3);
    assert_int_equal(dipp("label --db store.db --export votes.jsonl"), 3);
    assert_true(output_has("has no vote to write"));
    PAGE_OR_SKIP("");
    char taken[64];
    snprintf(taken, sizeof taken, "label faces --db store.db --port %d", port);
    assert_int_equal(dipp(taken), 1);
    assert_true(output_has("Address already in use"));
    assert_int_equal(stop_page(SIGINT), 75);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(only_who_knows_the_address_is_answered, fixture, cli_teardown),
        cmocka_unit_test_setup_teardown(nobody_listens_but_on_loopback, fixture, cli_teardown),
        cmocka_unit_test_setup_teardown(malformed_requests_meet_an_answer_or_a_hang_up, fixture, cli_teardown),
        cmocka_unit_test_setup_teardown(votes_survive_stops_and_the_same_command_goes_on, fixture, cli_teardown),
        cmocka_unit_test_setup_teardown(what_is_asked_wrongly_is_said, fixture, cli_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
