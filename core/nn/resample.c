/* Antialiased kernels widen with the ratio when a picture shrinks and follow Pillow (and torch with antialias=True): centres
 * at half pixels, sources cut off at the border, weights normalised. Plain ones look at a fixed number of sources, as torch
 * does without antialiasing, and repeat the border. */
#include "nn/resample.h"

#include <math.h>

/* Keys' cubic convolution with the given a, for distance x >= 0. */
static double cubic(double x, double a)
{
    if (x < 1.0)
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
    return x < 2.0 ? (((x - 5.0) * x + 8.0) * x - 4.0) * a : 0.0;
}

static double triangle(double x)
{
    return x < 1.0 ? 1.0 - x : 0.0;
}

static double sinc(double x)
{
    return x == 0.0 ? 1.0 : sin(M_PI * x) / (M_PI * x);
}

static double lanczos(double x)
{
    return x < 3.0 ? sinc(x) * sinc(x / 3.0) : 0.0;
}

static bool is_cubic(dipp_resize_kernel kernel)
{
    return kernel == DIPP_RESIZE_BICUBIC || kernel == DIPP_RESIZE_BICUBIC_PLAIN;
}

static bool is_plain(dipp_resize_kernel kernel)
{
    return kernel == DIPP_RESIZE_BICUBIC_PLAIN || kernel == DIPP_RESIZE_BILINEAR_PLAIN;
}

/* An antialiased kernel at a distance in its own units. */
static double value_at(dipp_resize_kernel kernel, double distance)
{
    if (kernel == DIPP_RESIZE_LANCZOS)
        return lanczos(distance);
    return is_cubic(kernel) ? cubic(distance, -0.5) : triangle(distance);
}

/* Half the width of an antialiased kernel, in sources. */
static double support_of(dipp_resize_kernel kernel, int64_t in, int64_t out)
{
    double scale = (double)in / (double)out, own = kernel == DIPP_RESIZE_LANCZOS ? 3.0 : is_cubic(kernel) ? 2.0 : 1.0;
    return own * (scale > 1.0 ? scale : 1.0);
}

int64_t dipp_resample_most(dipp_resize_kernel kernel, int64_t in, int64_t out)
{
    if (is_plain(kernel))
        return 4;
    return (int64_t)ceil(support_of(kernel, in, out)) * 2 + 1;
}

static int64_t clamped(int64_t i, int64_t count)
{
    return i < 0 ? 0 : i >= count ? count - 1 : i;
}

static dipp_taps plain_taps(dipp_resize_kernel kernel, int64_t in, int64_t out, int64_t i, double *weights)
{
    double source = ((double)i + 0.5) * (double)in / (double)out - 0.5;
    int reach = is_cubic(kernel) ? 2 : 1;
    if (!is_cubic(kernel) && source < 0.0)
        source = 0.0;
    int64_t left = (int64_t)floor(source), low = clamped(left - reach + 1, in), high = clamped(left + reach, in);
    for (int64_t k = 0; k <= high - low; k++)
        weights[k] = 0.0;
    for (int64_t k = left - reach + 1; k <= left + reach; k++) {
        double distance = fabs(source - (double)k);
        weights[clamped(k, in) - low] += is_cubic(kernel) ? cubic(distance, -0.75) : triangle(distance);
    }
    return (dipp_taps){low, high - low + 1};
}

dipp_taps dipp_resample_taps(dipp_resize_kernel kernel, int64_t in, int64_t out, int64_t i, double *weights)
{
    if (is_plain(kernel))
        return plain_taps(kernel, in, out, i, weights);
    double scale = (double)in / (double)out, shrink = 1.0 / (scale > 1.0 ? scale : 1.0);
    double support = support_of(kernel, in, out), centre = ((double)i + 0.5) * scale, sum = 0.0;
    int64_t low = (int64_t)(centre - support + 0.5), high = (int64_t)(centre + support + 0.5); /* towards zero */
    low = low < 0 ? 0 : low;
    high = high > in ? in : high;
    for (int64_t k = low; k < high; k++) {
        weights[k - low] = value_at(kernel, fabs(((double)k - centre + 0.5) * shrink));
        sum += weights[k - low];
    }
    for (int64_t k = 0; k < high - low; k++)
        weights[k] /= sum;
    return (dipp_taps){low, high - low};
}
