/* Preference pairs whose labels follow the gold utility u by the law of Bradley and Terry: the first side is preferred with
 * probability sigmoid((u_first - u_second) / temperature). No person judged any of them.
 *
 * Two kinds: `model`, two pictures of one prompt, and `caption`, one picture under its own prompt and under one that
 * contradicts it, by turns a near one (of the same glyph or background) and any other. Prompts are split into training,
 * validation and test, and both prompts of a caption pair come from one of these. Within a split every part (say, one for a
 * reward and one for its judge) has pairs of its own. */
#ifndef DIPP_EVALUATE_GOLD_PAIRS_H
#define DIPP_EVALUATE_GOLD_PAIRS_H

#include "data/prompts.h"

#include <stdbool.h>

typedef enum dipp_gold_pair_kind {
    DIPP_GOLD_PAIR_MODEL = 0,
    DIPP_GOLD_PAIR_CAPTION,
    DIPP_GOLD_PAIR_KINDS
} dipp_gold_pair_kind;

typedef enum dipp_gold_pair_split {
    DIPP_GOLD_PAIR_TRAIN = 0,
    DIPP_GOLD_PAIR_VALIDATE,
    DIPP_GOLD_PAIR_TEST,
    DIPP_GOLD_PAIR_SPLITS
} dipp_gold_pair_split;

/* "model", "caption"; "train", "validate", "test". */
extern const char *const dipp_gold_pair_kind_names[DIPP_GOLD_PAIR_KINDS];
extern const char *const dipp_gold_pair_split_names[DIPP_GOLD_PAIR_SPLITS];

typedef struct dipp_gold_pair {
    dipp_gold_pair_kind kind;
    dipp_gold_pair_split split;
    uint32_t part;
    uint32_t pictures[2]; /* CAPTION: the same twice */
    uint32_t prompts[2];  /* MODEL: the same twice */
    double utility[2];
    double probability; /* that the first side is preferred */
    bool first;         /* whether it was, drawn with that probability */
} dipp_gold_pair;

typedef struct dipp_gold_pair_pictures { /* borrowed */
    const dipp_prompt_line *prompts;     /* [prompt_count], all different */
    uint32_t prompt_count;
    const uint32_t *starts; /* [prompt_count + 1]: prompt p has the pictures starts[p] .. starts[p + 1] - 1 */
    const double *utility;  /* of each picture under its own prompt */
    /* The utility of a picture under another prompt. */
    dipp_status (*utility_under)(void *user, uint32_t picture, uint32_t prompt, double *utility, dipp_error *error);
    void *user;
} dipp_gold_pair_pictures;

typedef struct dipp_gold_pair_options {
    uint32_t parts;  /* at least 1 */
    uint32_t pairs;  /* wanted of each part, over all splits */
    double bayes;    /* the mean of max(p, 1 - p) over all pairs, in (0.5, 1): what the best possible guess gets */
    double captions; /* most of the pairs that are caption pairs, a share in [0, 1) */
    double validate, test; /* shares of the prompts */
    uint64_t seed;
} dipp_gold_pair_options;

typedef struct dipp_gold_pairs {
    dipp_gold_pair *pairs; /* in order of prompt; every part has as many of each prompt and kind */
    size_t count, capacity;
    double temperature, bayes; /* as solved, and the mean that it gives */
} dipp_gold_pairs;

/* A function of its arguments alone. Fewer pairs than wanted where the pictures give no more. pairs is the caller's:
 * dipp_gold_pairs_clear. Errors: INVALID (an option out of range; fewer than 2 prompts to a split; too many pairs of equal
 * utility for that Bayes accuracy), MEMORY, those of utility_under. */
dipp_status dipp_gold_pairs_make(const dipp_gold_pair_pictures *pictures, const dipp_gold_pair_options *options,
                                 dipp_gold_pairs *pairs, dipp_error *error);
void dipp_gold_pairs_clear(dipp_gold_pairs *pairs);

#endif
