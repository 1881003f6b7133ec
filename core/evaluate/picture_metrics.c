/* See picture_metrics.h. Sums are in double, in a fixed order. */
#include "evaluate/picture_metrics.h"

#include "base/memory.h"

#include <math.h>
#include <stdlib.h>

void dipp_border_mean(const float *planes, int side, int width, double rgb[3])
{
    for (int c = 0; c < 3; c++) {
        const float *plane = planes + (size_t)c * (size_t)side * (size_t)side;
        double sum = 0;
        long count = 0;
        for (int y = 0; y < side; y++)
            for (int x = 0; x < side; x++)
                if (x < width || y < width || x >= side - width || y >= side - width) {
                    sum += plane[y * side + x];
                    count++;
                }
        rgb[c] = count ? sum / (double)count : 0;
    }
}

double dipp_colorfulness(const float *planes, int side)
{
    size_t area = (size_t)side * (size_t)side;
    double sum[2] = {0}, squares[2] = {0};
    for (size_t i = 0; i < area; i++) {
        double r = 127.5 * (planes[i] + 1.0), g = 127.5 * (planes[area + i] + 1.0),
               b = 127.5 * (planes[2 * area + i] + 1.0);
        double opponent[2] = {r - g, 0.5 * (r + g) - b};
        for (int k = 0; k < 2; k++) {
            sum[k] += opponent[k];
            squares[k] += opponent[k] * opponent[k];
        }
    }
    double mean[2] = {sum[0] / (double)area, sum[1] / (double)area}, variance = 0;
    for (int k = 0; k < 2; k++)
        variance += fmax(squares[k] / (double)area - mean[k] * mean[k], 0);
    return sqrt(variance) + 0.3 * sqrt(mean[0] * mean[0] + mean[1] * mean[1]);
}

dipp_status dipp_picture_diversity(const float *pictures, int count, int side, int pool, double *diversity,
                                   dipp_error *error)
{
    if (pool < 1 || side < 1 || side % pool)
        return dipp_fail(error, DIPP_E_INVALID,
                         "diversity: blocks of %d in pictures of side %d; expected a divisor of the side", pool, side);
    *diversity = 0;
    if (count < 2)
        return DIPP_OK;
    int small = side / pool;
    size_t values = 3 * (size_t)small * (size_t)small;
    float *pooled = dipp_allocate_zeroed((size_t)count * values, sizeof *pooled);
    if (!pooled)
        return dipp_fail(error, DIPP_E_MEMORY, "diversity: out of memory for %d pictures", count);
    for (size_t plane = 0; plane < 3 * (size_t)count; plane++)
        for (int y = 0; y < side; y++)
            for (int x = 0; x < side; x++)
                pooled[(plane * (size_t)small + (size_t)(y / pool)) * (size_t)small + (size_t)(x / pool)] +=
                    pictures[(plane * (size_t)side + (size_t)y) * (size_t)side + (size_t)x] / (float)(pool * pool);
    double total = 0;
    for (int i = 0; i < count; i++)
        for (int j = 0; j < i; j++) {
            const float *a = pooled + (size_t)i * values, *b = pooled + (size_t)j * values;
            double squares = 0;
            for (size_t k = 0; k < values; k++)
                squares += ((double)a[k] - b[k]) * ((double)a[k] - b[k]);
            total += 0.5 * sqrt(squares / (double)values);
        }
    dipp_release(pooled);
    *diversity = total / (0.5 * (double)count * (double)(count - 1));
    return DIPP_OK;
}
