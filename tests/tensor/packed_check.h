/* The judge of what an optimizer's step stores in fewer bits, and of what follows from it. */
#ifndef DIPP_TESTS_TENSOR_PACKED_CHECK_H
#define DIPP_TESTS_TENSOR_PACKED_CHECK_H

#include "op_cases.h"

/* Whether result k (an input that is written in place) is packed moments, weights rounded at random, or their average. */
bool op_is_packed_result(const op_case *c, uint32_t k);

/* held: before the step, as numbers or words; want: the oracle's (words as int32); got: the back-end's. Elements agree as
 * closely as single precision allows, but for one in 64 that rounding may have taken to the neighbouring number; where
 * the oracle changed nothing, nothing may be changed. false: failure says what is wrong. */
bool op_judge_packed(const op_case *c, uint32_t k, const double *held, const void *want, const double *got,
                     char *failure, size_t size);

#endif
