/* config.json and its like: one JSON object that is read key by key. A key that was read is taken out, so that what is left at
 * the end is what nobody understood; the first trouble is kept and later readers do nothing. Functions give their `otherwise`
 * where the file has no such key, and after a trouble. Inside libdipp. [one thread at a time] */
#ifndef DIPP_BASE_DESCRIPTION_H
#define DIPP_BASE_DESCRIPTION_H

#include <dipp/status.h>

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct dipp_description {
    const char *path;   /* borrowed, for messages */
    json_t *keys;       /* owned */
    dipp_status status; /* of the first trouble; its message is in *error */
    dipp_error *error;
} dipp_description;

/* The object of a file of at most 1 MiB, for the caller to json_decref. Python writes -Infinity and Infinity for numbers, which JSON
 * lacks: they are read as null. DIPP_E_FORMAT says where it is no JSON or has a key twice; DIPP_E_NOT_FOUND, DIPP_E_IO,
 * DIPP_E_MEMORY. */
dipp_status dipp_json_read_object(const char *path, json_t **out, dipp_error *error);

/* The same, to be read key by key. After DIPP_OK dipp_description_close is due. */
dipp_status dipp_description_open(const char *path, dipp_description *out, dipp_error *error);

/* Refuses what was not read (DIPP_E_UNSUPPORTED names the first such key and its value), but for null, false and lists of them,
 * which switch something off, and keys that start with '_'; frees; returns the first trouble there was. */
dipp_status dipp_description_close(dipp_description *d);

/* Whether the file has the key, null or not; it stays. */
bool dipp_description_has(const dipp_description *d, const char *key);

/* A whole number from 1 on; where otherwise is 0, null is allowed and means 0. */
int64_t dipp_description_size(dipp_description *d, const char *key, int64_t otherwise);

/* A number above 0; null is as absent. */
double dipp_description_number(dipp_description *d, const char *key, double otherwise);

bool dipp_description_flag(dipp_description *d, const char *key, bool otherwise);

/* true, false or null: 1, 0, -1. */
int dipp_description_maybe(dipp_description *d, const char *key);

/* One of choices (ended by NULL): its index. A choice "null" stands for null. Another one is DIPP_E_UNSUPPORTED. */
size_t dipp_description_choice(dipp_description *d, const char *key, const char *const *choices, size_t otherwise);

/* One whole number from 1 on, or a list of at most `most` of them, into out; returns how many, 0 where the key is absent or
 * null. More are DIPP_E_UNSUPPORTED. */
uint32_t dipp_description_sizes(dipp_description *d, const char *key, int64_t *out, uint32_t most);

/* A list of at most `most` choices, as indexes into out; returns how many, 0 where the key is absent. */
uint32_t dipp_description_choices(dipp_description *d, const char *key, const char *const *choices, size_t *out,
                                  uint32_t most);

/* A key with a meaning of which only some values are supported. accepted: a JSON array of them; each entry of a list in the
 * file must be one. */
typedef struct dipp_described {
    const char *key, *accepted;
} dipp_described;

/* Ended by a key NULL. DIPP_E_UNSUPPORTED names key, value and what is accepted. */
void dipp_description_expect(dipp_description *d, const dipp_described *table);

/* Takes keys out that change nothing here; ended by NULL. */
void dipp_description_ignore(dipp_description *d, const char *const *keys);

/* Keeps a trouble of the caller's, with path and key before it. */
void dipp_description_refuse(dipp_description *d, dipp_status status, const char *key, const char *format, ...)
    DIPP_PRINTF(4, 5);

#endif
