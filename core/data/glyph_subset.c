/* Features of glyph bitmaps and the farthest-point subset. Distances are in 8-bit sRGB values scaled to 0..1. */
#include "data/glyph_subset.h"

#include "base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DETAIL_FINE = 80, DETAIL_COARSE = 20 };

typedef struct box {
    int x, y, width, height;
} box;

static inline double larger(double a, double b)
{
    return a > b ? a : b;
}

static inline double smaller(double a, double b)
{
    return a < b ? a : b;
}

static int tight_box(const dipp_glyph_bitmap *bitmap, box *out)
{
    int left = bitmap->width, right = -1, top = bitmap->height, bottom = -1;
    for (int y = 0; y < bitmap->height; y++)
        for (int x = 0; x < bitmap->width; x++)
            if (bitmap->rgba[((size_t)y * (size_t)bitmap->width + (size_t)x) * 4 + 3] > 8) {
                left = x < left ? x : left;
                right = x > right ? x : right;
                top = y < top ? y : top;
                bottom = y > bottom ? y : bottom;
            }
    *out = (box){left, top, right - left + 1, bottom - top + 1};
    return right >= 0;
}

int dipp_glyph_resample(const dipp_glyph_bitmap *bitmap, int side, uint8_t *out, int stride)
{
    box tight;
    if (!tight_box(bitmap, &tight))
        return 0;
    int square = tight.width > tight.height ? tight.width : tight.height;
    double step = (double)square / side, area = step * step;
    double shift_x = (square - tight.width) / 2.0, shift_y = (square - tight.height) / 2.0;
    for (int row = 0; row < side; row++)
        for (int column = 0; column < side; column++) {
            double y0 = row * step - shift_y, y1 = y0 + step, x0 = column * step - shift_x, x1 = x0 + step,
                   sum[4] = {0};
            y0 = larger(y0, 0), y1 = smaller(y1, tight.height), x0 = larger(x0, 0), x1 = smaller(x1, tight.width);
            for (int y = (int)y0; y < y1; y++) {
                double high = smaller(y + 1, y1) - larger(y, y0);
                const uint8_t *line =
                    bitmap->rgba + ((size_t)(tight.y + y) * (size_t)bitmap->width + (size_t)tight.x) * 4;
                for (int x = (int)x0; x < x1; x++) {
                    double weight = high * (smaller(x + 1, x1) - larger(x, x0));
                    for (int c = 0; c < 4; c++)
                        sum[c] += weight * line[x * 4 + c];
                }
            }
            for (int c = 0; c < 4; c++)
                out[((size_t)row * (size_t)stride + (size_t)column) * 4 + (size_t)c] = (uint8_t)(sum[c] / area + 0.5);
        }
    return 1;
}

/* What is lost when the glyph is shown at 20 x 20 and enlarged bilinearly. */
static float lost_detail(const dipp_glyph_bitmap *bitmap)
{
    static const int fine = DETAIL_FINE, coarse = DETAIL_COARSE;
    uint8_t big[DETAIL_FINE * DETAIL_FINE * 4], small[DETAIL_COARSE * DETAIL_COARSE * 4];
    dipp_glyph_resample(bitmap, fine, big, fine);
    dipp_glyph_resample(bitmap, coarse, small, coarse);
    double total = 0;
    for (int y = 0; y < fine; y++)
        for (int x = 0; x < fine; x++) {
            double v = (y + 0.5) * coarse / fine - 0.5, u = (x + 0.5) * coarse / fine - 0.5;
            v = smaller(larger(v, 0), coarse - 1.0), u = smaller(larger(u, 0), coarse - 1.0);
            int top = (int)v < coarse - 1 ? (int)v : coarse - 2, left = (int)u < coarse - 1 ? (int)u : coarse - 2;
            double fy = v - top, fx = u - left;
            const uint8_t *at = small + (top * coarse + left) * 4;
            for (int c = 0; c < 4; c++) {
                double upper = at[c] * (1 - fx) + at[4 + c] * fx;
                double lower = at[coarse * 4 + c] * (1 - fx) + at[coarse * 4 + 4 + c] * fx;
                double difference = upper * (1 - fy) + lower * fy - big[(y * fine + x) * 4 + c];
                total += difference * difference;
            }
        }
    return (float)(sqrt(total / (fine * fine * 4)) / 255);
}

int dipp_glyph_feature_of(const dipp_glyph_bitmap *bitmap, dipp_glyph_feature *feature)
{
    uint8_t texels[DIPP_GLYPH_FEATURES];
    if (!dipp_glyph_resample(bitmap, DIPP_GLYPH_FEATURE_SIDE, texels, DIPP_GLYPH_FEATURE_SIDE))
        return 0;
    double sum[4] = {0};
    for (int i = 0; i < DIPP_GLYPH_FEATURES; i++) {
        feature->texels[i] = (float)texels[i] / 255.0f;
        sum[i % 4] += feature->texels[i];
    }
    feature->coverage = (float)(sum[3] / (DIPP_GLYPH_FEATURE_SIDE * DIPP_GLYPH_FEATURE_SIDE));
    for (int c = 0; c < 3; c++)
        feature->colour[c] = (float)(sum[c] / sum[3]);
    feature->detail = lost_detail(bitmap);
    return 1;
}

double dipp_glyph_distance(const dipp_glyph_feature *a, const dipp_glyph_feature *b)
{
    double total = 0;
    for (int i = 0; i < DIPP_GLYPH_FEATURES; i++) {
        double difference = (double)a->texels[i] - b->texels[i];
        total += difference * difference;
    }
    return sqrt(total / DIPP_GLYPH_FEATURES);
}

double dipp_glyph_visibility(const dipp_glyph_feature *feature, const float rgb[3])
{
    double total = 0, weight = 0;
    for (int i = 0; i < DIPP_GLYPH_FEATURES; i += 4) {
        double alpha = feature->texels[i + 3];
        for (int c = 0; c < 3; c++) {
            double difference = feature->texels[i + c] - alpha * rgb[c]; /* the composite minus the background */
            total += difference * difference;
        }
        weight += 3 * alpha * alpha;
    }
    return weight > 0 ? sqrt(total / weight) : 0;
}

typedef struct ranked {
    float detail;
    int index;
} ranked;

static int by_detail(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    return x->detail != y->detail ? (x->detail > y->detail) - (x->detail < y->detail) : x->index - y->index;
}

static int by_value(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

int dipp_glyph_choose(const dipp_glyph_feature *features, int count, int limit, double minimum_distance, int *chosen)
{
    if (count <= 0 || limit <= 0)
        return 0;
    ranked *order = dipp_allocate((size_t)count * sizeof *order);
    if (!order)
        return -1;
    for (int i = 0; i < count; i++)
        order[i] = (ranked){features[i].detail, i};
    qsort(order, (size_t)count, sizeof *order, by_detail);
    int taken = 0;
    for (int i = 0; i < count && taken < limit; i++) {
        int apart = 1;
        for (int j = 0; j < taken && apart; j++)
            apart = dipp_glyph_distance(&features[order[i].index], &features[chosen[j]]) >= minimum_distance;
        if (apart)
            chosen[taken++] = order[i].index;
    }
    dipp_release(order);
    qsort(chosen, (size_t)taken, sizeof *chosen, by_value);
    return taken;
}
