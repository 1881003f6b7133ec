/* Text: a growing buffer, distances between words for "did you mean", and numbers that read back exactly. */
#ifndef DIPP_BASE_TEXT_H
#define DIPP_BASE_TEXT_H

#include <dipp/status.h>

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

/* A string under construction. Start from {0}. A failed allocation is remembered, later appends do nothing, and
 * finish reports it: callers check once, at the end. */
typedef struct dipp_text {
    char *data; /* zero terminated once anything was appended; NULL before */
    size_t length, capacity;
    bool failed;
} dipp_text;

/* [one thread at a time], as all that take a dipp_text. */
void dipp_text_append(dipp_text *text, const char *addition);
void dipp_text_append_n(dipp_text *text, const char *addition, size_t bytes);
void dipp_text_printf(dipp_text *text, const char *format, ...) DIPP_PRINTF(2, 3);
void dipp_text_vprintf(dipp_text *text, const char *format, va_list arguments);

/* Appends the number as dipp_format_double writes it. */
void dipp_text_append_double(dipp_text *text, double value);

/* Hands over the string (never NULL on success, "" when nothing was appended), to be freed with dipp_release, and
 * empties the builder. NULL when an allocation failed on the way; the builder is then empty as well. */
char *dipp_text_finish(dipp_text *text);

/* Throws the content away. */
void dipp_text_discard(dipp_text *text);

enum { DIPP_DOUBLE_TEXT_BYTES = 32 };

/* The fewest significant digits that read back as the same double, always with '.', whatever the locale: "0.1",
 * "120", "5e-05" below 1e-4 and "1e+16" from 1e16 on, "-0", "inf", "-inf", "nan". One value has one text, so the text may be
 * hashed. Returns out. [any thread] */
char *dipp_format_double(double value, char out[DIPP_DOUBLE_TEXT_BYTES]);

/* Reads a whole string as a decimal double, whatever the locale; leading blanks, trailing text, hexadecimal floats and
 * the empty string are refused (false, *value untouched), and so is a finite text beyond the range of double; "inf"
 * and "nan" are accepted. [any thread] */
bool dipp_parse_double(const char *text, double *value);

/* Insertions, deletions, substitutions and swaps of neighbours (each counted once, optimal string alignment) that lead
 * from a to b, in bytes. Words beyond 127 bytes are taken to share nothing. [any thread] */
size_t dipp_edit_distance(const char *a, const char *b);

/* The candidate nearest to word, when near enough to be a slip (at most a third of the longer word, at least 1);
 * NULL otherwise. The first wins a tie. [any thread] */
const char *dipp_nearest_word(const char *word, const char *const *candidates, size_t count);

#endif
