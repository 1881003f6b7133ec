/* Distribution functions that a test of significance needs, computed and not tabulated.
 *
 * Accurate to about 1e-11 relative for up to a thousand degrees of freedom, 1e-9 at a million (the logarithms of
 * gamma cancel). All [any thread]. */
#ifndef DIPP_EVALUATE_DISTRIBUTION_H
#define DIPP_EVALUATE_DISTRIBUTION_H

#include <stdint.h>

/* The regularised incomplete beta function I_x(a, b) for a, b > 0 and x in [0, 1]; NaN outside. */
double dipp_incomplete_beta(double a, double b, double x);

/* P(|T| >= |t|) of Student's t with freedom > 0 (need not be whole); NaN for a NaN or no freedom. */
double dipp_student_two_sided(double t, double freedom);

/* The t >= 0 that |T| exceeds with probability outside, in (0, 1): 0.05 gives the half-width of a 95 % interval in
 * standard errors. NaN outside the range. */
double dipp_student_half_width(double outside, double freedom);

/* The probability of a standard normal below z. */
double dipp_normal_below(double z);

/* The exact two-sided sign test: the probability that a fair coin's counts are at least as uneven as these; 1 when
 * both are 0. */
double dipp_sign_test(uint64_t wins, uint64_t losses);

#endif
