#include "train/claims.h"
#include "train/scores.h"

#include <math.h>

enum { MOST_PARTS = sizeof((dipp_condition){0}.parts) / sizeof(dipp_tensor), MOST_TOKENS = 1 << 16 };

static dipp_status check_sample(const dipp_shape *shape, dipp_error *error)
{
    char text[160];
    int64_t elements = 1;
    if (shape->rank < 1 || shape->rank >= DIPP_MAX_RANK) /* one more for the batch */
        return dipp_fail(error, DIPP_E_PLUGIN, "it says that a sample has %u dimensions; expected 1 to %d",
                         (unsigned)shape->rank, DIPP_MAX_RANK - 1);
    for (uint32_t i = 0; i < shape->rank; i++)
        if (shape->dims[i] < 1 || __builtin_mul_overflow(elements, shape->dims[i], &elements) || elements > INT32_MAX)
            return dipp_fail(error, DIPP_E_PLUGIN,
                             "it says that a sample has the shape %s; expected dimensions of at least 1 and at most "
                             "2^31 - 1 numbers",
                             dipp_shape_text(shape, text, sizeof text));
    return DIPP_OK;
}

static dipp_status check_parameterisation(dipp_parameterisation parameterisation, double sigma_data, dipp_error *error)
{
    if ((unsigned)parameterisation > DIPP_PREDICTS_EDM)
        return dipp_fail(error, DIPP_E_PLUGIN, "it predicts quantity %d; known are 0 to %d", (int)parameterisation,
                         DIPP_PREDICTS_EDM);
    if (parameterisation == DIPP_PREDICTS_EDM && !(sigma_data > 0 && isfinite(sigma_data)))
        return dipp_fail(error, DIPP_E_PLUGIN, "its sigma_data is %g; expected a finite number above 0", sigma_data);
    return DIPP_OK;
}

static dipp_status check_tokens(uint32_t length, bool functions, const char *names, dipp_error *error)
{
    if (length > MOST_TOKENS)
        return dipp_fail(error, DIPP_E_PLUGIN, "it takes %u tokens; expected at most %d", (unsigned)length,
                         MOST_TOKENS);
    if (length && !functions)
        return dipp_fail(error, DIPP_E_PLUGIN, "it takes %u tokens, but has no %s", (unsigned)length, names);
    return DIPP_OK;
}

dipp_status dipp_check_space(const dipp_reference *vtable, const dipp_space *space, dipp_error *error)
{
    const dipp_schedule *schedule = &space->schedule;
    dipp_status status = check_sample(&space->sample, error);
    if (status == DIPP_OK)
        status = check_parameterisation(space->parameterisation, space->sigma_data, error);
    if (status == DIPP_OK)
        status = check_tokens(space->token_length, vtable->encode_text && vtable->tokenize, "encode_text and tokenize",
                              error);
    if (status != DIPP_OK)
        return status;
    if ((unsigned)schedule->kind > DIPP_SCHEDULE_DISCRETE)
        return dipp_fail(error, DIPP_E_PLUGIN, "it has noise schedule %d; known are 0 to %d", (int)schedule->kind,
                         DIPP_SCHEDULE_DISCRETE);
    if (!isfinite(schedule->a) || !isfinite(schedule->b) || !isfinite(schedule->t_min) || !isfinite(schedule->t_max))
        return dipp_fail(error, DIPP_E_PLUGIN, "its noise schedule holds a number that is not finite");
    if (schedule->kind == DIPP_SCHEDULE_DISCRETE && !schedule->steps)
        return dipp_fail(error, DIPP_E_PLUGIN, "its noise schedule has no steps");
    return DIPP_OK;
}

dipp_status dipp_check_generator_info(const dipp_generator_info *info, dipp_error *error)
{
    dipp_status status = check_sample(&info->sample, error);
    if (status == DIPP_OK && !info->takes_noise)
        status = check_parameterisation(info->parameterisation, info->sigma_data, error);
    if (status == DIPP_OK && !info->takes_noise && !(info->sigma_init > 0 && isfinite(info->sigma_init)))
        return dipp_fail(error, DIPP_E_PLUGIN, "its sigma_init is %g; expected a finite number above 0",
                         info->sigma_init);
    return status;
}

dipp_status dipp_check_reward_info(const dipp_reward *vtable, const dipp_reward_info *info, dipp_error *error)
{
    if (!(info->opaque ? vtable->score != NULL : vtable->record != NULL || dipp_reward_encodes(vtable)))
        return dipp_fail(error, DIPP_E_PLUGIN, "it says that it is %s, but has no %s",
                         info->opaque ? "opaque" : "recorded", info->opaque ? "score" : "record");
    if (info->direction < -1 || info->direction > 1)
        return dipp_fail(error, DIPP_E_PLUGIN, "its direction is %d; expected -1, 0 or 1", info->direction);
    return check_tokens(info->token_length, vtable->tokenize != NULL, "tokenize", error);
}

dipp_condition dipp_expect_condition(dipp_graph *g, dipp_condition c, int64_t batch)
{
    if (dipp_graph_failed(g))
        return (dipp_condition){0};
    if (c.count > MOST_PARTS) {
        dipp_graph_fail(g, "encode_text gives a condition of %u parts; expected at most %d", (unsigned)c.count,
                        MOST_PARTS);
        return (dipp_condition){0};
    }
    for (uint32_t i = 0; i < c.count && dipp_usable(g, c.parts[i], "encode_text"); i++) {
        dipp_shape found = dipp_shape_of(g, c.parts[i]), expected = found;
        if (!expected.rank)
            expected.rank = 1;
        expected.dims[0] = batch;
        dipp_expect_shape(g, c.parts[i], &expected, "encode_text");
    }
    if (dipp_graph_failed(g))
        c.count = 0;
    return c;
}
