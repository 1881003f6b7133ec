/* English names, keywords and groups of emoji, from Debian's unicode-cldr-core.
 *
 * Names and keywords come from common/annotations/en.xml, groups and subgroups from common/properties/labels.txt
 * ("Animals & Nature" / "animal-mammal"; emoji up to about 2018). Only single code points are kept: sequences
 * (families, flags, skin tones) have no glyph of their own here. A table is immutable after creation [any thread]. */
#ifndef DIPP_DATA_CLDR_H
#define DIPP_DATA_CLDR_H

#include <dipp/status.h>

typedef struct dipp_cldr_entry {
    uint32_t code_point;
    char *name;      /* the short name, type="tts", UTF-8 */
    char **keywords; /* keyword_count strings, in the file's order */
    int keyword_count;
    char *group; /* "" when labels.txt does not list the code point */
    char *subgroup;
} dipp_cldr_entry;

typedef struct dipp_cldr {
    dipp_cldr_entry *entries; /* sorted by code point, every entry has a name */
    int count;
} dipp_cldr;

/* Reads the two files; NULL paths mean Debian's places.
 * Errors: NOT_FOUND (the text names the Debian package), FORMAT (with the line), IO, MEMORY. */
dipp_status dipp_cldr_create(const char *annotations_path, const char *labels_path, dipp_cldr **table,
                             dipp_error *error);
void dipp_cldr_destroy(dipp_cldr **table);

/* The entry of a code point, or NULL. */
const dipp_cldr_entry *dipp_cldr_find(const dipp_cldr *table, uint32_t code_point);

/* Decodes one UTF-8 code point of *text and steps over it. Returns 0 at the end of the string and 0xFFFD (one byte
 * stepped) for malformed bytes. */
uint32_t dipp_utf8_next(const char **text);

#endif
