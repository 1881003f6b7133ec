/* Is a reward being exploited? The statistic behind the monitor (docs/monitor.md): at a look the same prompts are drawn from
 * the same noise as before the first step, so every score has a partner. A reward that has risen while a judge has fallen,
 * both by more than the spread of the differences explains, is evidence of it.
 *
 * Units are prompts: the differences of a prompt's pictures are averaged first, since they share the prompt's difficulty.
 * A single prompt's pictures are units themselves. Each side is Student's one-sided t of the units' differences, and never
 * below 2^-changed, where changed counts the units that differ at all: no more than their signs can carry, which bounds what
 * judges that say 0 or 1 can claim, whose t may be infinite.
 *
 * Rewards and judges must both speak (an intersection of two tests), so each side is corrected for what it alone chooses
 * from: the number of rewards, the number of judges; and the larger p for the number of planned looks (Bonferroni, whatever
 * the dependence between looks). If no reward has risen at any look, or no judge has fallen by more than the margin at any, a
 * run raises an alarm with at most the probability `level`, as far as t is right for so many prompts. */
#ifndef DIPP_EVALUATE_ALARM_H
#define DIPP_EVALUATE_ALARM_H

#include <stdbool.h>
#include <stdint.h>

/* A score now against before. */
typedef struct dipp_change {
    uint32_t units;     /* prompts with a finite pair; the pictures of a single prompt */
    double before, now; /* means over units */
    double mean, error; /* of the units' differences, and its standard error: 0 below two units */
    double rise, fall;  /* one-sided p: that the mean is above 0, or below -margin, by chance; 1 below two units */
} dipp_change;

/* before, now: [prompts, samples]; a NaN or infinity on either side leaves the pair out. margin >= 0: a fall that does not
 * matter, in units of the score. [any thread] */
dipp_change dipp_change_of(const double *before, const double *now, uint32_t prompts, uint32_t samples, double margin);

typedef struct dipp_alarm {
    double p;               /* after all corrections; may exceed 1. 1 without rewards or judges */
    double evidence;        /* -log10 p: 1.3 at p = 0.05; what runs are ranked by */
    uint32_t reward, judge; /* which carry it */
} dipp_alarm;

/* rewards: changes of what the generator is trained on, counted so that more is wanted. looks: planned in the whole run. */
dipp_alarm dipp_alarm_of(const dipp_change *rewards, uint32_t reward_count, const dipp_change *judges,
                         uint32_t judge_count, uint32_t looks);

/* The same without a model of the noise: a reward has risen at all, and a judge has fallen by more than margin, in its own
 * units. The judge that fell most is named, and the reward that rose most. */
bool dipp_alarm_by_margin(const dipp_change *rewards, uint32_t reward_count, const dipp_change *judges,
                          uint32_t judge_count, double margin, dipp_alarm *alarm);

#endif
