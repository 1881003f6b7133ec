#include "train/reward_schedule.h"

#include <math.h>

static int64_t end_of(const dipp_align_reward *reward, int64_t steps)
{
    return reward->end ? reward->end : steps;
}

dipp_status dipp_reward_schedule_check(const dipp_align_reward *reward, int64_t steps, dipp_error *error)
{
    if (reward->end && reward->end <= reward->start)
        return dipp_fail(error, DIPP_E_INVALID, "the reward ends at iteration %lld, but starts at %lld",
                         (long long)reward->end, (long long)reward->start);
    if (reward->ramp != DIPP_RAMP_CONSTANT && reward->ramp_length > end_of(reward, steps) - reward->start)
        return dipp_fail(error, DIPP_E_INVALID, "the ramp of %lld iterations is longer than the reward acts (%lld)",
                         (long long)reward->ramp_length, (long long)(end_of(reward, steps) - reward->start));
    return DIPP_OK;
}

double dipp_reward_scale_at(const dipp_align_reward *reward, int64_t step, int64_t steps)
{
    static const double PI = 3.14159265358979323846264338327950288;
    if (step < reward->start || (reward->end && step >= reward->end))
        return 0.0;
    if (reward->ramp == DIPP_RAMP_CONSTANT)
        return reward->scale;
    int64_t length = reward->ramp_length ? reward->ramp_length : end_of(reward, steps) - reward->start;
    double part = length > 0 && step - reward->start < length ? (double)(step - reward->start) / (double)length : 1.0;
    if (reward->ramp == DIPP_RAMP_COSINE)
        part = 0.5 * (1.0 - cos(PI * part));
    return reward->scale * (reward->from + (reward->to - reward->from) * part);
}
