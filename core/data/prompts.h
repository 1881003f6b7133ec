/* Prompt sets: from the emoji world, or from files as they were published. A set owns its texts. */
#ifndef DIPP_DATA_PROMPTS_H
#define DIPP_DATA_PROMPTS_H

#include "data/scene.h"
#include "text/word_vocabulary.h"

typedef enum dipp_prompt_split {
    DIPP_SPLIT_TRAIN = 0, /* pairs of glyph and background that training scenes show */
    DIPP_SPLIT_EVAL = 1   /* pairs that no training scene shows: unseen combinations of seen words */
} dipp_prompt_split;

/* What a prompt names, so that gold judges can say whether a picture obeys it; DIPP_NOT_NAMED for the rest. In prompts
 * from a file nothing is known to be named. */
typedef struct dipp_prompt_line {
    char *text; /* UTF-8 */
    int32_t glyph, background, size_class, place;
} dipp_prompt_line;

typedef struct dipp_prompt_set {
    dipp_prompt_line *prompts;
    char **categories; /* [count], each may be NULL; NULL where the file says none */
    int count;
} dipp_prompt_set;

/* `count` prompts, all different within the set, a function of (world, split, seed); a shorter set is a prefix of a
 * longer one. Every prompt names glyph and background. EVAL takes the held-out pairs in a shuffled order, TRAIN the
 * others: first every pair plainly ("a fox on a blue background"), then with a size, a place or both added.
 * Errors: INVALID (count below 1 or above what the world has: 14 per pair; the text says how many), MEMORY. */
dipp_status dipp_emoji_prompts(const dipp_emoji_world *world, dipp_prompt_split split, int count, uint64_t seed,
                               dipp_prompt_set *set, dipp_error *error);

/* A scene that shows what the prompt names, and else attributes as training scene `index` of `seed` has them: the same for
 * every caller. Errors: INVALID (a size and a place that no scene has together). [any thread] */
dipp_status dipp_emoji_prompt_scene(const dipp_emoji_world *world, const dipp_prompt_line *prompt, uint64_t seed,
                                    uint64_t index, dipp_scene_attributes *attributes, dipp_error *error);

/* The styles of HPSv2's benchmark, in its order; what its files are called without .json. */
enum { DIPP_HPS_STYLES = 4 };
extern const char *const dipp_hps_styles[DIPP_HPS_STYLES];

/* Reads prompts as they were published, UTF-8, told apart by ending and content (docs/prompts.md):
 *   a folder    anime.json, concept-art.json, paintings.json, photo.json of HPSv2, one after the other
 *   .json       a list of texts, or of objects with `prompt`; a file called as a style gives it as category
 *   .jsonl      an object with `prompt` a line; `tag` or `category` is the category
 *   .tsv, and what begins with the heading of PartiPrompts: columns Prompt and Category, any others
 *   else        a prompt a line; where every one stands there equally often, twice or more, each counts once
 * Surrounding blanks of lines and cells are cut, empty lines left out.
 * Errors: NOT_FOUND, IO, INVALID (above 256 MiB), FORMAT (what is wrong and in which line; no prompt at all, one above 4095
 * bytes or empty, more than a million), MEMORY. */
dipp_status dipp_prompts_read(const char *path, dipp_prompt_set *set, dipp_error *error);

/* The same of the content [bytes, and a zero behind them] of a file of this name. Errors: FORMAT, MEMORY. [any thread] */
dipp_status dipp_prompts_parse(const char *text, size_t bytes, const char *name, dipp_prompt_set *set,
                               dipp_error *error);

/* Keeps the first `count`, at most as many as there are. */
void dipp_prompt_set_shorten(dipp_prompt_set *set, int count);

void dipp_prompt_set_clear(dipp_prompt_set *set);

/* The vocabulary of everything a world's captions and prompts can say. Errors as dipp_word_vocabulary_create. */
dipp_status dipp_emoji_vocabulary(const dipp_emoji_world *world, int limit, dipp_word_vocabulary **vocabulary,
                                  dipp_error *error);

#endif
