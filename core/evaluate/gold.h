/* The gold utility of the emoji world: one number for how well a picture does what a prompt says. Nobody trained it. */
#ifndef DIPP_EVALUATE_GOLD_H
#define DIPP_EVALUATE_GOLD_H

#include "data/prompts.h"
#include "evaluate/judge.h"

#include <stdbool.h>

/* In [0,1]: the weighted mean of what the prompt names and the picture shows (each 1 or 0; glyph 5, background 3, place 1,
 * size 1; what is not named does not count) and of how well the picture is drawn, which always counts, by 2:
 * 1 / (1 + (distance / 0.1)^2) of the verdict's distance. A function of its arguments alone. [any thread] */
double dipp_gold_utility(const dipp_prompt_line *prompt, const dipp_verdict *verdict);

/* Whether no picture can do what both say: they name different things of one kind. [any thread] */
bool dipp_prompts_contradict(const dipp_prompt_line *a, const dipp_prompt_line *b);

#endif
