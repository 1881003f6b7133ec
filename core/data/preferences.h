/* Preferences between pictures made for one prompt: pairs with the probability that the first is preferred, and ranked
 * lists. The file is JSONL, an object a line:
 *
 *   {"prompt": "a fox", "images": ["a.png", "b.png"], "labels": [1, 0]}
 *   {"prompt": "a fox", "images": ["a.png", "b.png", "c.png"], "rank": [1, 2, 2]}
 *
 * labels are shares that sum to 1; of more than two pictures, Luce's rule makes them pairs: share_i / (share_i + share_j).
 * rank is 1 for the best; ties and gaps are allowed. Optional: "kind" (a word by which metrics are reported apart),
 * "probability" (the true one that the first of two is preferred, where it is known), "utility" (numbers, one a picture),
 * "prompts" in place of "prompt" where the sides differ in caption and not in picture: "images" has one entry then, or the
 * same one for each. Paths are relative to the folder of the file; other fields are ignored. docs/reward-training.md. */
#ifndef DIPP_DATA_PREFERENCES_H
#define DIPP_DATA_PREFERENCES_H

#include "data/string_pool.h"

#include <dipp/status.h>

enum { DIPP_PREFERENCE_ITEMS_MAX = 256 /* pictures of a line */, DIPP_PREFERENCE_KIND_BYTES = 40 };

/* A picture as it was judged for a prompt. */
typedef struct dipp_preference_item {
    uint32_t picture, prompt; /* into the pools of the set */
    double share;             /* of the labels; NaN in a ranked line */
    double rank;              /* NaN in a labelled line */
    double utility;           /* NaN where none is given */
} dipp_preference_item;

/* What one line says: items first .. first + count - 1. */
typedef struct dipp_preference_line {
    uint32_t first, count;
    uint32_t kind;      /* into the pool of kinds; 0 is "", where none is given */
    double probability; /* true probability that the first of two is preferred; NaN where it is not given */
    bool ranked;
    bool held; /* kept back from metrics: by its reader, for calibration */
} dipp_preference_line;

typedef struct dipp_preference_pair {
    uint32_t items[2];
    uint32_t line;
    double label;       /* probability that the first is preferred */
    bool tie;           /* equal ranks; label is 0.5 */
    uint32_t of_prompt; /* pairs of the set with the first side's prompt, this one included */
} dipp_preference_pair;

typedef struct dipp_preferences { /* starts from {0}; ends with dipp_preferences_clear */
    dipp_string_pool pictures;    /* paths */
    dipp_string_pool prompts, kinds;
    dipp_preference_item *items;
    dipp_preference_line *lines;
    dipp_preference_pair *pairs;
    size_t item_count, line_count, pair_count, item_capacity, line_capacity, pair_capacity;
    bool captions_differ; /* some pair has two prompts */
} dipp_preferences;

/* Who laid a set of preferences out. */
typedef enum dipp_preference_format {
    DIPP_PREFERENCES_JSONL = 0,
    DIPP_PREFERENCES_HPDV2,       /* train.json or test.json of HPDv2, or its folder: train.json */
    DIPP_PREFERENCES_IMAGEREWARD, /* a folder of ImageRewardDB, one of its JSON files, or ImageReward's test.json */
    DIPP_PREFERENCES_PICKAPIC,    /* rows of Pick-a-Pic under their published names, exported as JSONL or CSV */
    DIPP_PREFERENCES_VOTES        /* a database: what people said on dipp label's page */
} dipp_preference_format;

/* "jsonl", "hpdv2", "imagereward", "pickapic", "votes", in the order of the enum, then NULL. */
extern const char *const dipp_preference_formats[];

/* Reads a set as it is laid out. Pictures are not opened; where they are looked for: data/preference_import.c. Errors: NOT_FOUND, IO, FORMAT (file and line, and what is wrong there; a set without any pair), MEMORY, of a database those of the store; *set is
 * untouched on failure. [any thread] */
dipp_status dipp_preferences_read(const char *path, dipp_preference_format format, dipp_preferences *set,
                                  dipp_error *error);
void dipp_preferences_clear(dipp_preferences *set);

/* Writes the JSONL of the set; pictures below the folder of path are named relative to it, others as they are.
 * Errors: IO, NOT_FOUND (no such folder), MEMORY. [any thread] */
dipp_status dipp_preferences_write(const dipp_preferences *set, const char *path, dipp_error *error);

/* ---- Captioned pictures, for contrastive training ---- */

typedef struct dipp_captioned {
    uint32_t picture, prompt;
} dipp_captioned;

typedef struct dipp_captions { /* starts from {0}; ends with dipp_captions_clear */
    dipp_string_pool pictures, prompts;
    dipp_captioned *rows;
    size_t count, capacity;
} dipp_captions;

/* JSONL of {"image": "a.png", "prompt": "a fox"}. Errors as of dipp_preferences_read. [any thread] */
dipp_status dipp_captions_read(const char *path, dipp_captions *captions, dipp_error *error);
void dipp_captions_clear(dipp_captions *captions);

/* ---- For the importers ---- */

/* What a line is made of; arrays have count entries. */
typedef struct dipp_preference_entry {
    uint32_t count;
    const char *const *images;  /* paths to open */
    const char *const *prompts; /* one a side */
    const double *labels;       /* or */
    const double *ranks;
    const double *utility; /* NULL: none */
    const char *kind;      /* NULL: none */
    double probability;    /* NaN: not known */
} dipp_preference_entry;

/* Adds a line and its pairs; finish counts pairs by prompt and says whether there are any. where stands before messages.
 * Errors: FORMAT, MEMORY. */
dipp_status dipp_preferences_add(dipp_preferences *set, const dipp_preference_entry *entry, const char *where,
                                 dipp_error *error);
dipp_status dipp_preferences_finish(dipp_preferences *set, const char *where, dipp_error *error);

#endif
