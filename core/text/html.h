/* Character references of HTML in text. Inside libdipp. */
#ifndef DIPP_TEXT_HTML_H
#define DIPP_TEXT_HTML_H

#include "text/code_points.h"

/* The characters of Windows-1252 that the bytes 0x80 to 0x9f stand for; the five that it leaves out stay as they are. */
int32_t dipp_windows_1252(int32_t code);

/* Replaces "&amp;", "&#65;", "&#x41;" in place, once over the text, as Python's html.unescape does: names also without
 * their semicolon where HTML 5 allows that, even inside a word ("&notit" is "¬it"). With strict only whole references
 * that end in a semicolon. Returns whether there was one. */
bool dipp_html_unescape(dipp_codes *text, bool strict);

#endif
