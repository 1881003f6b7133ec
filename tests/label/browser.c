#include "browser.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE_MS = 60000, WAIT_STEPS = 1500, STEP_MS = 20, MESSAGE_BYTES = 8 << 20, COMPLAINT_BYTES = 4096 };

struct browser {
    pid_t pid;
    int to, from; /* the pipe's ends */
    json_int_t last_id;
    char session[80];
    char *buffer; /* what has come in */
    size_t filled;
    char complaints[COMPLAINT_BYTES];
};

static bool find_chromium(char *out, size_t size)
{
    FILE *found = popen("command -v chromium || command -v chromium-browser || command -v google-chrome", "r");
    bool any = found && fgets(out, (int)size, found);
    if (found)
        pclose(found);
    out[strcspn(out, "\n")] = 0;
    return any && *out;
}

browser *browser_start(const char *profile)
{
    char program[256] = "", data[400];
    int down[2], up[2];
    if (!find_chromium(program, sizeof program))
        return NULL;
    snprintf(data, sizeof data, "--user-data-dir=%s", profile);
    browser *own = calloc(1, sizeof *own);
    assert_non_null(own);
    own->buffer = malloc(MESSAGE_BYTES);
    assert_non_null(own->buffer);
    assert_true(pipe2(down, O_CLOEXEC) == 0 && pipe2(up, O_CLOEXEC) == 0);
    own->pid = fork();
    assert_true(own->pid >= 0);
    if (own->pid == 0) {
        int quiet = open("/dev/null", O_WRONLY);
        int in = fcntl(down[0], F_DUPFD, 10), out = fcntl(up[1], F_DUPFD, 10);
        setpgid(0, 0);
        dup2(quiet, 1);
        dup2(quiet, 2);
        if (dup2(in, 3) == 3 && dup2(out, 4) == 4)
            execl(program, program, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
                  "--disable-sync", "--remote-debugging-pipe", data, "about:blank", (char *)NULL);
        _exit(127);
    }
    close(down[0]);
    close(up[1]);
    own->to = down[1];
    own->from = up[0];
    return own;
}

void browser_stop(browser *own)
{
    kill(-own->pid, SIGKILL); /* its own group: the processes that it has started as well */
    waitpid(own->pid, NULL, 0);
    close(own->to);
    close(own->from);
    free(own->buffer);
    free(own);
}

/* The next message, which ends with a zero byte. */
static json_t *next_message(browser *own)
{
    for (;;) {
        char *end = memchr(own->buffer, 0, own->filled);
        if (end) {
            json_t *message = json_loads(own->buffer, 0, NULL);
            size_t used = (size_t)(end - own->buffer) + 1;
            memmove(own->buffer, own->buffer + used, own->filled - used);
            own->filled -= used;
            assert_non_null(message);
            return message;
        }
        struct pollfd ready = {.fd = own->from, .events = POLLIN};
        assert_int_equal(poll(&ready, 1, PATIENCE_MS), 1);
        assert_true(own->filled < MESSAGE_BYTES);
        ssize_t more = read(own->from, own->buffer + own->filled, MESSAGE_BYTES - own->filled);
        if (more <= 0)
            fail_msg("the browser is gone");
        own->filled += (size_t)more;
    }
}

static void note(browser *own, const json_t *message)
{
    static const char *const events[] = {"Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"};
    const char *method = json_string_value(json_object_get(message, "method"));
    for (size_t i = 0; method && i < sizeof events / sizeof *events; i++)
        if (!strcmp(method, events[i])) {
            char *text = json_dumps(json_object_get(message, "params"), JSON_COMPACT);
            size_t used = strlen(own->complaints);
            snprintf(own->complaints + used, sizeof own->complaints - used, "%s\n", text ? text : method);
            free(text);
        }
}

/* Sends a command, consumes its parameters, and waits for the result. */
static json_t *command(browser *own, const char *method, json_t *parameters)
{
    json_t *message = json_pack("{s:I, s:s, s:o}", "id", ++own->last_id, "method", method, "params", parameters);
    if (*own->session)
        json_object_set_new(message, "sessionId", json_string(own->session));
    char *text = json_dumps(message, JSON_COMPACT);
    json_decref(message);
    assert_non_null(text);
    size_t bytes = strlen(text) + 1;
    assert_int_equal(write(own->to, text, bytes), (ssize_t)bytes);
    free(text);
    for (;;) {
        json_t *answer = next_message(own);
        if (json_integer_value(json_object_get(answer, "id")) != own->last_id) {
            note(own, answer);
            json_decref(answer);
            continue;
        }
        json_t *result = json_incref(json_object_get(answer, "result"));
        if (!result)
            fail_msg("%s: %s", method, json_dumps(answer, 0));
        json_decref(answer);
        return result;
    }
}

void browser_open(browser *own, const char *url)
{
    *own->session = 0;
    json_t *made = command(own, "Target.createTarget", json_pack("{s:s}", "url", "about:blank"));
    json_t *joined = command(own, "Target.attachToTarget",
                             json_pack("{s:O, s:b}", "targetId", json_object_get(made, "targetId"), "flatten", 1));
    snprintf(own->session, sizeof own->session, "%s", json_string_value(json_object_get(joined, "sessionId")));
    json_decref(made);
    json_decref(joined);
    json_decref(command(own, "Runtime.enable", json_object()));
    json_decref(command(own, "Log.enable", json_object()));
    json_decref(command(own, "Page.enable", json_object()));
    own->complaints[0] = 0;
    json_decref(command(own, "Page.navigate", json_pack("{s:s}", "url", url)));
}

json_t *browser_value(browser *own, const char *expression)
{
    json_t *result =
        command(own, "Runtime.evaluate",
                json_pack("{s:s, s:b, s:b}", "expression", expression, "awaitPromise", 1, "returnByValue", 1));
    json_t *value = json_incref(json_object_get(json_object_get(result, "result"), "value"));
    if (json_object_get(result, "exceptionDetails"))
        fail_msg("%s: %s", expression, json_dumps(result, 0));
    json_decref(result);
    return value;
}

bool browser_true(browser *own, const char *expression)
{
    json_t *value = browser_value(own, expression);
    bool answer = json_is_true(value);
    json_decref(value);
    return answer;
}

double browser_number(browser *own, const char *expression)
{
    json_t *value = browser_value(own, expression);
    assert_true(json_is_number(value));
    double answer = json_number_value(value);
    json_decref(value);
    return answer;
}

void browser_text(browser *own, const char *expression, char *out, size_t size)
{
    json_t *value = browser_value(own, expression);
    assert_true(json_is_string(value));
    snprintf(out, size, "%s", json_string_value(value));
    json_decref(value);
}

void browser_wait(browser *own, const char *expression)
{
    for (int i = 0; i < WAIT_STEPS; i++) {
        if (browser_true(own, expression))
            return;
        nanosleep(&(struct timespec){0, STEP_MS * 1000000}, NULL);
    }
    fail_msg("never came true: %s\n%s", expression, own->complaints);
}

static void key_event(browser *own, const char *type, const char *key, int code, bool repeated)
{
    json_t *event = json_pack("{s:s, s:s, s:i, s:b}", "type", type, "key", key, "windowsVirtualKeyCode", code,
                              "autoRepeat", repeated);
    if (!strcmp(key, "Enter") && !strcmp(type, "keyDown"))
        json_object_set_new(event, "text", json_string("\r"));
    json_decref(command(own, "Input.dispatchKeyEvent", event));
}

void browser_press(browser *own, const char *key, int code, bool held)
{
    key_event(own, "keyDown", key, code, held);
    if (!held)
        key_event(own, "keyUp", key, code, false);
}

void browser_click(browser *own, const char *element_id)
{
    static const char *const types[] = {"mouseMoved", "mousePressed", "mouseReleased"};
    char x[200], y[200];
    snprintf(x, sizeof x, "(r => r.left + r.width / 2)(document.getElementById('%s').getBoundingClientRect())",
             element_id);
    snprintf(y, sizeof y, "(r => r.top + r.height / 2)(document.getElementById('%s').getBoundingClientRect())",
             element_id);
    double at_x = browser_number(own, x), at_y = browser_number(own, y);
    for (int i = 0; i < 3; i++)
        json_decref(command(own, "Input.dispatchMouseEvent",
                            json_pack("{s:s, s:f, s:f, s:s, s:i}", "type", types[i], "x", at_x, "y", at_y, "button",
                                      i ? "left" : "none", "clickCount", i != 0)));
}

void browser_resize(browser *own, int width, int height, bool dark)
{
    json_decref(command(
        own, "Emulation.setDeviceMetricsOverride",
        json_pack("{s:i, s:i, s:i, s:b}", "width", width, "height", height, "deviceScaleFactor", 1, "mobile", 0)));
    json_decref(command(
        own, "Emulation.setEmulatedMedia",
        json_pack("{s:[{s:s, s:s}]}", "features", "name", "prefers-color-scheme", "value", dark ? "dark" : "light")));
}

/* RFC 4648; the length is a multiple of 4. */
static size_t decode_base64(const char *text, unsigned char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t count = 0;
    unsigned word = 0;
    int bits = 0;
    for (; *text && *text != '='; text++) {
        word = word << 6 | (unsigned)(strchr(digits, *text) - digits);
        bits += 6;
        if (bits >= 8)
            out[count++] = (unsigned char)(word >> (bits -= 8));
    }
    return count;
}

void browser_screenshot(browser *own, const char *path)
{
    json_t *result = command(own, "Page.captureScreenshot", json_pack("{s:s}", "format", "png"));
    const char *data = json_string_value(json_object_get(result, "data"));
    unsigned char *bytes = malloc(strlen(data));
    FILE *file = fopen(path, "w");
    assert_true(bytes && file);
    size_t count = decode_base64(data, bytes);
    assert_int_equal(fwrite(bytes, 1, count, file), count);
    fclose(file);
    free(bytes);
    json_decref(result);
}

const char *browser_complaints(const browser *own)
{
    return own->complaints;
}
