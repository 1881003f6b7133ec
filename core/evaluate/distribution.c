/* See distribution.h. The incomplete beta function by its continued fraction (Abramowitz and Stegun 26.5.8), evaluated
 * from the front by Lentz's method; the others follow from it. */
#include "evaluate/distribution.h"

#include <float.h>
#include <math.h>

/* Lentz's method divides by what may vanish; a tiny number in its place changes no digit of the result. */
static double away_from_zero(double value)
{
    return fabs(value) < 1e-300 ? 1e-300 : value;
}

/* The continued fraction converges fast for x < (a + 1) / (a + b + 2). */
static double beta_fraction(double a, double b, double x)
{
    double numerator = 1, denominator = 1 / away_from_zero(1 - (a + b) * x / (a + 1)), value = denominator;
    for (int step = 1; step < 100000; step++) {
        double m = step, even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
               odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        denominator = 1 / away_from_zero(1 + even * denominator);
        numerator = away_from_zero(1 + even / numerator);
        value *= denominator * numerator;
        denominator = 1 / away_from_zero(1 + odd * denominator);
        numerator = away_from_zero(1 + odd / numerator);
        double change = denominator * numerator;
        value *= change;
        if (fabs(change - 1) < DBL_EPSILON)
            break;
    }
    return value;
}

double dipp_incomplete_beta(double a, double b, double x)
{
    if (!(a > 0) || !(b > 0) || !(x >= 0) || !(x <= 1))
        return NAN;
    if (x <= 0 || x >= 1)
        return x;
    int sign; /* of gamma, which is positive here; lgamma itself would write a global */
    double factor = exp(lgamma_r(a + b, &sign) - lgamma_r(a, &sign) - lgamma_r(b, &sign) + a * log(x) + b * log1p(-x));
    if (x < (a + 1) / (a + b + 2))
        return factor * beta_fraction(a, b, x) / a;
    return 1 - factor * beta_fraction(b, a, 1 - x) / b;
}

double dipp_student_two_sided(double t, double freedom)
{
    if (isnan(t) || !(freedom > 0))
        return NAN;
    return isinf(t) ? 0 : dipp_incomplete_beta(0.5 * freedom, 0.5, freedom / (freedom + t * t));
}

double dipp_student_half_width(double outside, double freedom)
{
    if (!(outside > 0) || !(outside < 1) || !(freedom > 0))
        return NAN;
    double low = 0, high = 1;
    while (isfinite(high) && dipp_student_two_sided(high, freedom) > outside) {
        low = high;
        high *= 2;
    }
    for (;;) { /* halves until the two are neighbours */
        double middle = low + 0.5 * (high - low);
        if (middle <= low || middle >= high)
            return middle;
        if (dipp_student_two_sided(middle, freedom) > outside)
            low = middle;
        else
            high = middle;
    }
}

double dipp_normal_below(double z)
{
    return 0.5 * erfc(-z / sqrt(2));
}

double dipp_sign_test(uint64_t wins, uint64_t losses)
{
    double fewer = (double)(wins < losses ? wins : losses), more = (double)(wins < losses ? losses : wins);
    if (fewer >= more)
        return 1;
    return fmin(1, 2 * dipp_incomplete_beta(more, fewer + 1, 0.5));
}
