/* Text as code points, and what Unicode says about them (by utf8proc, Unicode 15). Inside libdipp. */
#ifndef DIPP_TEXT_CODE_POINTS_H
#define DIPP_TEXT_CODE_POINTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Start from {0}. A failed allocation is remembered and later appends do nothing: callers look at failed once, at the
 * end. [one thread at a time], as all that take one. */
typedef struct dipp_codes {
    int32_t *codes;
    size_t count, capacity;
    bool failed;
} dipp_codes;

void dipp_codes_append(dipp_codes *text, int32_t code);
void dipp_codes_clear(dipp_codes *text); /* frees; {0} after */

/* Appends bytes[size]; what is not UTF-8 becomes U+FFFD, one for each longest piece that starts a character, as in
 * Python's and the browsers' decoders. */
void dipp_codes_append_utf8(dipp_codes *text, const char *bytes, size_t size);

/* The UTF-8 bytes of a code point; returns how many, 1 to 4. */
size_t dipp_code_to_utf8(int32_t code, char out[4]);

/* Canonical normalisation in place, of at most a few 10,000 code points: a run of combining marks takes the square of
 * its length. */
void dipp_codes_decompose(dipp_codes *text); /* NFD */
void dipp_codes_compose(dipp_codes *text);   /* NFC */

/* Appends code; a half- or full-width form, U+FF01 to U+FFEF, as the usual characters it stands for. */
void dipp_codes_append_narrow(dipp_codes *text, int32_t code);

/* How many of codes[count], at least 1, are the first character as readers see it: an extended grapheme cluster. */
size_t dipp_codes_cluster(const int32_t *codes, size_t count);

/* Lower case of each code point by itself; U+0130 becomes two. */
void dipp_codes_lower(dipp_codes *text);

/* The same, but a capital sigma at the end of a word becomes the final form, as in Python's str.lower. */
void dipp_codes_lower_words(dipp_codes *text);

/* Letter, number, mark without width (Mn), punctuation; "other": control, format, private, unassigned. */
bool dipp_code_is_letter(int32_t code);
bool dipp_code_is_number(int32_t code);
bool dipp_code_is_accent(int32_t code);
bool dipp_code_is_punctuation(int32_t code);
bool dipp_code_is_other(int32_t code);

/* The property White_Space, and Python's str.isspace, which adds the separators U+001C to U+001F. */
bool dipp_code_is_space(int32_t code);
bool dipp_code_is_python_space(int32_t code);

#endif
