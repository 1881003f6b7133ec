/* A headless Chromium that a test drives over its debugging pipe: real key presses and clicks go through the browser's own
 * input. Everything fails the test that goes wrong. */
#ifndef DIPP_TESTS_BROWSER_H
#define DIPP_TESTS_BROWSER_H

#include <jansson.h>

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

typedef struct browser browser;

/* NULL where there is no Chromium. profile is a folder of its own, which is made. */
browser *browser_start(const char *profile);
void browser_stop(browser *own);

/* Opens the address in a new page, which later calls are about. */
void browser_open(browser *own, const char *url);

/* The value of an expression, awaited when it is a promise; freed with json_decref. */
json_t *browser_value(browser *own, const char *expression);
bool browser_true(browser *own, const char *expression);
double browser_number(browser *own, const char *expression);
void browser_text(browser *own, const char *expression, char *out, size_t size);
/* Looks until the expression is true; fails the test after 30 s. */
void browser_wait(browser *own, const char *expression);

/* A key by its DOM name ("ArrowLeft", "s", "Enter", "Tab") and virtual key code, pressed and let go; held: one more of the
 * presses that a held key repeats, and not let go. */
void browser_press(browser *own, const char *key, int code, bool held);
/* A click into the middle of the element. */
void browser_click(browser *own, const char *element_id);
/* The window as a telephone or desk has it. */
void browser_resize(browser *own, int width, int height, bool dark);
void browser_screenshot(browser *own, const char *path);

/* What the console and the log have said since the page was opened, "" for nothing. */
const char *browser_complaints(const browser *own);

#endif
