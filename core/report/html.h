/* Writing HTML that stays well-formed XML whatever the texts are. What is not markup of this folder goes through
 * dipp_html_text: it escapes, and shows what no text may hold (control characters, broken UTF-8) by a sign of
 * its own. */
#ifndef DIPP_REPORT_HTML_H
#define DIPP_REPORT_HTML_H

#include "base/text.h"

#include <stdbool.h>
#include <stdint.h>

/* Appends text, escaped for elements and for attributes in double quotes: & < > " ' become references; a control
 * character its picture (U+2400 on; tab and newline stay), DEL U+2421; bytes that are no UTF-8, C1 controls,
 * bidirectional overrides and noncharacters U+FFFD. NULL is nothing. [one thread at a time], as all here. */
void dipp_html_text(dipp_text *out, const char *text);

/* The same of a formatted text. */
void dipp_html_textf(dipp_text *out, const char *format, ...) DIPP_PRINTF(2, 3);

/* <tag class="class_name">text</tag>; class_name NULL: none. tag and class_name are markup, text is escaped. */
void dipp_html_element(dipp_text *out, const char *tag, const char *class_name, const char *text);

/* ` name="text"`, escaped. */
void dipp_html_attribute(dipp_text *out, const char *name, const char *text);

/* A name or prompt, in an element that keeps its writing direction to itself. */
void dipp_html_name(dipp_text *out, const char *text);

/* text as it is, or its first characters and an ellipsis, `characters` in all at most; out holds bytes, whole
 * characters only. Returns out. */
char *dipp_html_shorten(const char *text, size_t characters, char *out, size_t bytes);

/* RFC 4648 with padding. */
void dipp_html_base64(dipp_text *out, const void *bytes, size_t count);

enum { DIPP_HTML_NUMBER_BYTES = 40 };

/* A number for people: `digits` significant ones, without exponent from 1e-4 to 1e6, U+2212 for minus, "−0" never;
 * signed_always puts + before positive ones. "not finite" values are nan, ∞ and −∞. Returns out. */
char *dipp_html_number(double value, int digits, bool signed_always, char out[DIPP_HTML_NUMBER_BYTES]);

#endif
