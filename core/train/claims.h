/* What instances of plugins say of themselves and of their conditions, checked before anything is sized by it. */
#ifndef DIPP_TRAIN_CLAIMS_H
#define DIPP_TRAIN_CLAIMS_H

#include "tensor/graph.h"

#include <dipp/plugin.h>

/* A reference's space: a shape of 1 to DIPP_MAX_RANK - 1 dimensions and at most 2^31 - 1 numbers, a known parameterisation
 * and schedule, finite numbers, and the functions that it implies. DIPP_E_PLUGIN says what is wrong. [any thread] */
dipp_status dipp_check_space(const dipp_reference *vtable, const dipp_space *space, dipp_error *error);

/* The same of a generator; that it fits a reference is not looked at. [any thread] */
dipp_status dipp_check_generator_info(const dipp_generator_info *info, dipp_error *error);

/* The same of a reward. [any thread] */
dipp_status dipp_check_reward_info(const dipp_reward *vtable, const dipp_reward_info *info, dipp_error *error);

/* The parts of a condition, of batch rows each; no parts when there are more than it has places for. [one thread at a time] */
dipp_condition dipp_expect_condition(dipp_graph *g, dipp_condition c, int64_t batch);

#endif
