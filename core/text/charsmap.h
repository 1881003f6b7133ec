/* SentencePiece's compiled rules of normalisation ("precompiled_charsmap"): a double-array trie of byte strings, and
 * what each becomes. Inside libdipp. Page: docs/tokenizers.md. */
#ifndef DIPP_TEXT_CHARSMAP_H
#define DIPP_TEXT_CHARSMAP_H

#include <dipp/status.h>

#include <stdbool.h>
#include <stddef.h>

typedef struct dipp_charsmap dipp_charsmap;

/* Copies bytes[size]: the trie's size (uint32, little endian), its units (uint32), replacements with a zero byte behind
 * each. Every unit that a text can reach is checked. DIPP_E_FORMAT, DIPP_E_UNSUPPORTED (too large), DIPP_E_MEMORY;
 * where is for messages. [any thread] */
dipp_status dipp_charsmap_create(const char *where, const void *bytes, size_t size, dipp_charsmap **out,
                                 dipp_error *error);
void dipp_charsmap_destroy(dipp_charsmap **map);

/* The longest string of the trie that text[bytes] starts with, or the shortest: how many bytes, 0 for none; then
 * *replacement is UTF-8, zero terminated, the map's. [any thread] */
size_t dipp_charsmap_find(const dipp_charsmap *map, const char *text, size_t bytes, bool shortest,
                          const char **replacement);

#endif
