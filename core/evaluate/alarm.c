#include "evaluate/alarm.h"

#include "evaluate/distribution.h"

#include <math.h>

typedef struct unit {
    double before, now;
    bool counted;
} unit;

/* Unit i: a prompt's finite pairs, averaged; or pair i of a single prompt. */
static unit unit_at(const double *before, const double *now, uint32_t prompts, uint32_t samples, uint32_t i)
{
    uint32_t pairs = prompts == 1 ? 1 : samples, first = i * pairs, counted = 0;
    unit sum = {0};
    for (uint32_t k = first; k < first + pairs; k++)
        if (isfinite(before[k]) && isfinite(now[k])) {
            sum.before += before[k];
            sum.now += now[k];
            counted++;
        }
    return counted ? (unit){sum.before / counted, sum.now / counted, true} : (unit){0};
}

/* P(T >= t). */
static double student_above(double t, double freedom)
{
    double both = dipp_student_two_sided(t, freedom);
    return t > 0 ? both / 2 : 1 - both / 2;
}

dipp_change dipp_change_of(const double *before, const double *now, uint32_t prompts, uint32_t samples, double margin)
{
    dipp_change change = {.rise = 1, .fall = 1};
    uint32_t all = prompts == 1 ? samples : prompts, changed = 0;
    for (uint32_t i = 0; i < all; i++) {
        unit at = unit_at(before, now, prompts, samples, i);
        change.before += at.before;
        change.now += at.now;
        change.units += at.counted;
        changed += at.counted && at.now != at.before;
    }
    if (!change.units)
        return change;
    double n = change.units, squares = 0;
    change.before /= n;
    change.now /= n;
    change.mean = change.now - change.before;
    if (change.units < 2 || !changed)
        return change;
    for (uint32_t i = 0; i < all; i++) {
        unit at = unit_at(before, now, prompts, samples, i);
        double off = at.now - at.before - change.mean;
        squares += at.counted ? off * off : 0;
    }
    change.error = sqrt(squares / (n - 1) / n);
    double least = ldexp(1, -(int)(changed < 1000 ? changed : 1000)); /* above 0, so evidence stays finite */
    change.rise = student_above(change.mean / change.error, n - 1);   /* without a spread t is infinite */
    change.fall = student_above((-margin - change.mean) / change.error, n - 1);
    if (change.error == 0 && change.mean == -margin)
        change.fall = 1;
    change.rise = fmax(change.rise, least);
    change.fall = fmax(change.fall, least);
    return change;
}

dipp_alarm dipp_alarm_of(const dipp_change *rewards, uint32_t reward_count, const dipp_change *judges,
                         uint32_t judge_count, uint32_t looks)
{
    dipp_alarm alarm = {.p = 1};
    for (uint32_t i = 1; i < reward_count; i++)
        if (rewards[i].rise < rewards[alarm.reward].rise)
            alarm.reward = i;
    for (uint32_t i = 1; i < judge_count; i++)
        if (judges[i].fall < judges[alarm.judge].fall)
            alarm.judge = i;
    if (reward_count && judge_count)
        alarm.p = fmax(rewards[alarm.reward].rise * reward_count, judges[alarm.judge].fall * judge_count) * looks;
    alarm.evidence = -log10(alarm.p);
    return alarm;
}

bool dipp_alarm_by_margin(const dipp_change *rewards, uint32_t reward_count, const dipp_change *judges,
                          uint32_t judge_count, double margin, dipp_alarm *alarm)
{
    for (uint32_t i = alarm->reward = 0; i < reward_count; i++)
        if (rewards[i].mean > rewards[alarm->reward].mean)
            alarm->reward = i;
    for (uint32_t i = alarm->judge = 0; i < judge_count; i++)
        if (judges[i].mean < judges[alarm->judge].mean)
            alarm->judge = i;
    return reward_count && judge_count && rewards[alarm->reward].mean > 0 && judges[alarm->judge].mean < -margin;
}
