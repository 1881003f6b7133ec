/* Rewards that are so small that optimum, gradient and every update of their training are known: of vectors of three numbers. */
#ifndef DIPP_TEST_SMALL_REWARDS_H
#define DIPP_TEST_SMALL_REWARDS_H

#include <dipp/plugin.h>

enum { D = 3, WORDS = 4 };

extern const dipp_reward small_linear; /* weight . x + bias, from weight 0 */
extern const dipp_reward small_modal;  /* the same, and 1 more outside training */
extern const dipp_reward small_ending; /* a layer `last`, from random numbers */
extern const dipp_reward small_fixed;  /* -|x|^2: nothing to train */
extern const dipp_reward small_opaque;
/* exp(logit_scale) (vision.weight x) . text.words.weight[word], for prompts "a" to "d"; encodes text apart, and contrasts. */
extern const dipp_reward small_worded;

#endif
