/* Coarse matching by a template bank, then refinement by Gauss-Newton on the drawing. All values here are 0..1. */
#include "evaluate/judge.h"

#include "base/memory.h"
#include "data/image.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    COARSE = 16,   /* side of the coarse pictures */
    FINE_MAX = 32, /* side of the finest pictures compared */
    SHIFT_MAX = 8, /* largest shift of a template, coarse pixels */
    PADDED = COARSE + 2 * SHIFT_MAX,
    ROTATIONS = 3, /* -, 0, + two thirds of the world's rotation */
    SIZES_MAX = 12,
    ROTATED_GLYPHS = 24, /* glyphs tried at every rotation */
    FITTED_COARSE = 6,   /* glyphs fitted at 16 x 16 */
    FITTED_FINE = 3,     /* of these, fitted at the finest resolution */
    COARSE_STEPS = 4,
    FINE_STEPS = 6,
    PARAMETERS = 4 /* centre x, centre y, size, rotation */
};

typedef float vector4 __attribute__((vector_size(16)));

typedef struct template
{
    vector4 texels[COARSE * COARSE]; /* premultiplied colour c and alpha a */
    float cc, ca[3], aa;             /* sums of c.c, c a and a a: the energy of c - a b for any background b */
}
template;

typedef struct bank_size {
    float size;
    int shift; /* places tried: -shift..shift coarse pixels each way */
} bank_size;

struct dipp_judge {
    const dipp_emoji_world *world;
    int side, fine, glyph_count, size_count;
    bank_size sizes[SIZES_MAX];
    template *bank; /* [glyph][size][rotation] */
};

typedef struct match {
    float score; /* squared error without the picture's own energy; smaller is better */
    int glyph, size, dx, dy, rotation;
} match;

typedef struct fit {
    dipp_scene_attributes scene;
    double cost; /* sum of squared differences */
} fit;

static float bank_rotation(const dipp_judge *judge, int index)
{
    return (float)((index - 1) * dipp_emoji_world_options_of(judge->world)->rotation_max * (2.0 / 3.0));
}

/* Draws in 0..1. */
static dipp_status draw(const dipp_emoji_world *world, const dipp_scene_attributes *scene, int side, float *out,
                        dipp_error *error)
{
    dipp_status status = dipp_emoji_scene_draw(world, scene, side, out, error);
    for (int i = 0; i < 3 * side * side && status == DIPP_OK; i++)
        out[i] = 0.5f * out[i] + 0.5f;
    return status;
}

static dipp_status fill_template(const dipp_judge *judge, int glyph, int size, int rotation, template *t,
                                 dipp_error *error)
{
    enum { AREA = COARSE * COARSE };
    float dark[3 * AREA], light[3 * AREA];
    dipp_scene_attributes scene = {.glyph = glyph, .centre_x = 0.5f, .centre_y = 0.5f, .size = judge->sizes[size].size};
    scene.rotation = bank_rotation(judge, rotation);
    dipp_status status = draw(judge->world, &scene, COARSE, dark, error);
    for (int c = 0; c < 3; c++)
        scene.background_rgb[c] = 1;
    if (status == DIPP_OK)
        status = draw(judge->world, &scene, COARSE, light, error);
    if (status != DIPP_OK)
        return status;
    t->cc = t->aa = 0;
    memset(t->ca, 0, sizeof t->ca);
    for (int i = 0; i < AREA; i++) {
        float alpha = 1 - (light[i] - dark[i]); /* over black c, over white c + 1 - a */
        for (int c = 0; c < 3; c++) {
            float colour = dark[c * AREA + i];
            t->texels[i][c] = colour;
            t->cc += colour * colour;
            t->ca[c] += colour * alpha;
        }
        t->texels[i][3] = alpha;
        t->aa += alpha * alpha;
    }
    return DIPP_OK;
}

dipp_status dipp_judge_create(const dipp_emoji_world *world, int side, dipp_judge **out, dipp_error *error)
{
    const dipp_emoji_world_options *o = dipp_emoji_world_options_of(world);
    int fine = side < FINE_MAX ? side : FINE_MAX;
    if (side < COARSE || side % 4 || side > DIPP_SCENE_SIDE_MAX || o->side_max < fine)
        return dipp_fail(error, DIPP_E_INVALID,
                         "judge: pictures of side %d with a world of side_max %d; expected a multiple of 4 from %d to "
                         "%d, and side_max at least %d",
                         side, o->side_max, COARSE, DIPP_SCENE_SIDE_MAX, fine);
    dipp_judge *judge = dipp_allocate_zeroed(1, sizeof *judge);
    if (!judge)
        return dipp_fail(error, DIPP_E_MEMORY, "judge: out of memory");
    judge->world = world;
    judge->side = side;
    judge->fine = fine;
    judge->glyph_count = dipp_emoji_world_glyph_count(world);
    /* Sizes in the middle of equal intervals of about a tenth of the side: half an interval moves an edge by less than
     * half a coarse pixel, which the fit makes up for. */
    double span = o->size_max - o->size_min;
    judge->size_count = (int)(span / 0.1 + 0.999);
    judge->size_count = judge->size_count < 1 ? 1 : judge->size_count > SIZES_MAX ? SIZES_MAX : judge->size_count;
    for (int i = 0; i < judge->size_count; i++) {
        double size = o->size_min + span * (i + 0.5) / judge->size_count;
        int shift = (int)((1 - size + span / judge->size_count / 2) / 2 * COARSE + 0.5);
        judge->sizes[i] = (bank_size){(float)size, shift > SHIFT_MAX ? SHIFT_MAX : shift};
    }
    size_t count = (size_t)judge->glyph_count * (size_t)judge->size_count * ROTATIONS;
    judge->bank = dipp_allocate_aligned(count * sizeof *judge->bank, 16);
    dipp_status status =
        judge->bank ? DIPP_OK : dipp_fail(error, DIPP_E_MEMORY, "judge: out of memory for %zu templates", count);
    for (size_t i = 0; i < count && status == DIPP_OK; i++)
        status = fill_template(judge, (int)(i / ((size_t)judge->size_count * ROTATIONS)),
                               (int)(i / ROTATIONS % (size_t)judge->size_count), (int)(i % ROTATIONS), &judge->bank[i],
                               error);
    if (status != DIPP_OK)
        dipp_judge_destroy(&judge);
    else
        *out = judge;
    return status;
}

void dipp_judge_destroy(dipp_judge **pointer)
{
    if (!pointer || !*pointer)
        return;
    dipp_release((*pointer)->bank);
    dipp_release(*pointer);
    *pointer = NULL;
}

int dipp_nearest_background(const float rgb[3])
{
    int best = 0;
    double least = INFINITY;
    for (int b = 0; b < DIPP_BACKGROUND_COUNT; b++) {
        double total = 0;
        for (int c = 0; c < 3; c++) {
            double difference = rgb[c] - dipp_backgrounds[b].rgb[c] / 255.0;
            total += difference * difference;
        }
        if (total < least) {
            least = total;
            best = b;
        }
    }
    return best;
}

static int by_float(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Per channel the median of the outermost ring of pixels. */
static void border_median(const float *planes, int side, float rgb[3])
{
    float ring[4 * DIPP_SCENE_SIDE_MAX] = {0};
    for (int c = 0; c < 3; c++) {
        const float *plane = planes + (size_t)c * (size_t)side * (size_t)side;
        int count = 0;
        for (int i = 0; i < side; i++) {
            ring[count++] = plane[i];
            ring[count++] = plane[(side - 1) * side + i];
            if (i > 0 && i < side - 1) {
                ring[count++] = plane[i * side];
                ring[count++] = plane[i * side + side - 1];
            }
        }
        qsort(ring, (size_t)count, sizeof *ring, by_float);
        rgb[c] = 0.5f * (ring[count / 2] + ring[(count - 1) / 2]);
    }
}

/* Box filter of [3, from, from] to [3, to, to], to <= from. */
static void shrink(const float *in, int from, int to, float *out)
{
    double step = (double)from / to;
    for (int c = 0; c < 3; c++, in += from * from, out += to * to)
        for (int row = 0; row < to; row++)
            for (int column = 0; column < to; column++) {
                double y0 = row * step, y1 = y0 + step, x0 = column * step, x1 = x0 + step, sum = 0;
                for (int y = (int)y0; y < from && y < y1 - 1e-9; y++)
                    for (int x = (int)x0; x < from && x < x1 - 1e-9; x++) {
                        double high = (y + 1 < y1 ? y + 1 : y1) - (y > y0 ? y : y0);
                        double wide = (x + 1 < x1 ? x + 1 : x1) - (x > x0 ? x : x0);
                        sum += high * wide * in[y * from + x];
                    }
                out[row * to + column] = (float)(sum / (step * step));
            }
}

/* <template shifted by (dx, dy), picture>, the padded picture being zero outside. */
static float correlate(const template *t, const vector4 *padded, int dx, int dy)
{
    vector4 sum[4] = {{0}};
    for (int y = 0; y < COARSE; y++) {
        const vector4 *row = padded + (y + dy + SHIFT_MAX) * PADDED + dx + SHIFT_MAX, *texels = t->texels + y * COARSE;
        for (int x = 0; x < COARSE; x += 4)
            for (int k = 0; k < 4; k++)
                sum[k] += texels[x + k] * row[x + k];
    }
    vector4 all = (sum[0] + sum[1]) + (sum[2] + sum[3]);
    return (all[0] + all[1]) + (all[2] + all[3]);
}

/* The best place and size of a glyph at one rotation. */
static void match_glyph(const dipp_judge *judge, const vector4 *padded, const float b[3], int glyph, int rotation,
                        match *best)
{
    for (int s = 0; s < judge->size_count; s++) {
        const template *t =
            &judge->bank[((size_t)glyph * (size_t)judge->size_count + (size_t)s) * ROTATIONS + (size_t)rotation];
        float energy = t->cc - 2 * (b[0] * t->ca[0] + b[1] * t->ca[1] + b[2] * t->ca[2]) +
                       (b[0] * b[0] + b[1] * b[1] + b[2] * b[2]) * t->aa;
        int shift = judge->sizes[s].shift;
        for (int dy = -shift; dy <= shift; dy++)
            for (int dx = -shift; dx <= shift; dx++) {
                float score = energy - 2 * correlate(t, padded, dx, dy);
                if (score < best->score)
                    *best = (match){score, glyph, s, dx, dy, rotation};
            }
    }
}

static int by_score(const void *a, const void *b)
{
    const match *x = a, *y = b;
    return x->score != y->score ? (x->score > y->score) - (x->score < y->score) : x->glyph - y->glyph;
}

static int by_cost(const void *a, const void *b)
{
    const fit *x = a, *y = b;
    return x->cost != y->cost ? (x->cost > y->cost) - (x->cost < y->cost) : x->scene.glyph - y->scene.glyph;
}

/* Solves the damped normal equations; returns 0 when they are singular. */
static int solve(double a[PARAMETERS][PARAMETERS + 1])
{
    for (int i = 0; i < PARAMETERS; i++) {
        if (!(a[i][i] > 1e-12))
            return 0;
        for (int j = i + 1; j < PARAMETERS; j++) {
            double factor = a[j][i] / a[i][i];
            for (int k = i; k <= PARAMETERS; k++)
                a[j][k] -= factor * a[i][k];
        }
    }
    for (int i = PARAMETERS - 1; i >= 0; i--) {
        for (int j = i + 1; j < PARAMETERS; j++)
            a[i][PARAMETERS] -= a[i][j] * a[j][PARAMETERS];
        a[i][PARAMETERS] /= a[i][i];
    }
    return 1;
}

/* Sum of a[i] (b[i] - c[i]), c being NULL for none; count is a multiple of 4. Four lanes, in a fixed order. */
static float weighted_sum(const float *a, const float *b, const float *c, int count)
{
    vector4 sum[2] = {{0}}, x, y, z = {0};
    for (int i = 0; i < count; i += 4) {
        memcpy(&x, a + i, sizeof x);
        memcpy(&y, b + i, sizeof y);
        if (c)
            memcpy(&z, c + i, sizeof z);
        sum[i >> 2 & 1] += x * (y - z);
    }
    vector4 all = sum[0] + sum[1];
    return (all[0] + all[1]) + (all[2] + all[3]);
}

static double squared_error(const float *a, const float *b, int count)
{
    vector4 sum[2] = {{0}}, x, y;
    for (int i = 0; i < count; i += 4) {
        memcpy(&x, a + i, sizeof x);
        memcpy(&y, b + i, sizeof y);
        sum[i >> 2 & 1] += (x - y) * (x - y);
    }
    vector4 all = sum[0] + sum[1];
    return (double)((all[0] + all[1]) + (all[2] + all[3]));
}

static float clamped(double value, double low, double high)
{
    return (float)(value < low ? low : value > high ? high : value);
}

static void move(const dipp_emoji_world_options *o, const dipp_scene_attributes *from, const double step[PARAMETERS],
                 dipp_scene_attributes *to)
{
    *to = *from;
    to->centre_x = clamped(from->centre_x + step[0], 0, 1);
    to->centre_y = clamped(from->centre_y + step[1], 0, 1);
    to->size = clamped(from->size + step[2], 0.9 * o->size_min, 1.1 * o->size_max);
    to->rotation = clamped(from->rotation + step[3], -o->rotation_max - 0.1, o->rotation_max + 0.1);
}

/* Damped Gauss-Newton over place, size and rotation; fit->scene is the start and the result. */
static dipp_status refine(const dipp_judge *judge, const float *picture, int side, int steps, fit *f, dipp_error *error)
{
    static const double nudge[PARAMETERS] = {0.01, 0.01, 0.01, 0.02};
    const dipp_emoji_world_options *o = dipp_emoji_world_options_of(judge->world);
    int count = 3 * side * side;
    float now[3 * FINE_MAX * FINE_MAX], slope[PARAMETERS][3 * FINE_MAX * FINE_MAX];
    double damping = 0.01;
    dipp_status status = draw(judge->world, &f->scene, side, now, error);
    if (status != DIPP_OK)
        return status;
    f->cost = squared_error(now, picture, count);
    for (int k = 0; k < steps; k++) {
        double system[PARAMETERS][PARAMETERS + 1];
        for (int p = 0; p < PARAMETERS; p++) {
            double by[PARAMETERS] = {0};
            by[p] = nudge[p];
            dipp_scene_attributes beside = f->scene;
            beside.centre_x += (float)by[0], beside.centre_y += (float)by[1], beside.size += (float)by[2],
                beside.rotation += (float)by[3];
            if ((status = draw(judge->world, &beside, side, slope[p], error)) != DIPP_OK)
                return status;
            for (int i = 0; i < count; i++)
                slope[p][i] -= now[i];
        }
        for (int p = 0; p < PARAMETERS; p++) {
            for (int q = 0; q <= p; q++)
                system[p][q] = system[q][p] = weighted_sum(slope[p], slope[q], NULL, count);
            system[p][PARAMETERS] = weighted_sum(slope[p], picture, now, count);
        }
        for (int p = 0; p < PARAMETERS; p++)
            system[p][p] = system[p][p] * (1 + damping) + 1e-6;
        if (!solve(system))
            return DIPP_OK;
        double step[PARAMETERS];
        for (int p = 0; p < PARAMETERS; p++)
            step[p] = system[p][PARAMETERS] * nudge[p];
        dipp_scene_attributes next;
        move(o, &f->scene, step, &next);
        float tried[3 * FINE_MAX * FINE_MAX];
        if ((status = draw(judge->world, &next, side, tried, error)) != DIPP_OK)
            return status;
        double cost = squared_error(tried, picture, count);
        if (cost < f->cost) {
            int settled = f->cost - cost < 1e-4 * f->cost;
            f->scene = next;
            f->cost = cost;
            memcpy(now, tried, (size_t)count * sizeof *now);
            damping *= 0.2;
            if (settled)
                return DIPP_OK;
        } else {
            damping *= 20;
        }
    }
    return DIPP_OK;
}

/* picture: [3, fine, fine] in 0..1, b: its background. */
static dipp_status judge_fitted(const dipp_judge *judge, const float *picture, const float b[3], match *matches,
                                dipp_verdict *verdict, dipp_error *error)
{
    enum { AREA = COARSE * COARSE };
    float coarse[3 * AREA];
    shrink(picture, judge->fine, COARSE, coarse);
    vector4 padded[PADDED * PADDED];
    memset(padded, 0, sizeof padded);
    for (int i = 0; i < AREA; i++) {
        vector4 d = {coarse[i] - b[0], coarse[AREA + i] - b[1], coarse[2 * AREA + i] - b[2], 0};
        d[3] = -(d[0] * b[0] + d[1] * b[1] + d[2] * b[2]); /* so that <(c,a), d> = <c - a b, picture - b> */
        padded[(i / COARSE + SHIFT_MAX) * PADDED + i % COARSE + SHIFT_MAX] = d;
    }
    int count = judge->glyph_count;
    for (int g = 0; g < count; g++) {
        matches[g] = (match){.score = INFINITY, .glyph = g};
        match_glyph(judge, padded, b, g, 1, &matches[g]);
    }
    qsort(matches, (size_t)count, sizeof *matches, by_score);
    int rotated = count < ROTATED_GLYPHS ? count : ROTATED_GLYPHS;
    for (int i = 0; i < rotated; i++)
        for (int rotation = 0; rotation < ROTATIONS; rotation += 2)
            match_glyph(judge, padded, b, matches[i].glyph, rotation, &matches[i]);
    qsort(matches, (size_t)rotated, sizeof *matches, by_score);

    fit fits[FITTED_COARSE] = {0};
    int fitted = rotated < FITTED_COARSE ? rotated : FITTED_COARSE, final = fitted < FITTED_FINE ? fitted : FITTED_FINE;
    dipp_status status = DIPP_OK;
    for (int i = 0; i < fitted && status == DIPP_OK; i++) {
        fits[i].scene = (dipp_scene_attributes){.glyph = matches[i].glyph,
                                                .centre_x = 0.5f + (float)matches[i].dx / COARSE,
                                                .centre_y = 0.5f + (float)matches[i].dy / COARSE,
                                                .size = judge->sizes[matches[i].size].size,
                                                .rotation = bank_rotation(judge, matches[i].rotation),
                                                .background_rgb = {b[0], b[1], b[2]}};
        status = refine(judge, coarse, COARSE, COARSE_STEPS, &fits[i], error);
    }
    if (status != DIPP_OK)
        return status;
    qsort(fits, (size_t)fitted, sizeof *fits, by_cost);
    while (final > 2 && fits[final - 1].cost > 2 * fits[0].cost)
        final--; /* clearly worse than the runner-up needs to be */
    for (int i = 0; i < final && status == DIPP_OK; i++)
        status = refine(judge, picture, judge->fine, FINE_STEPS, &fits[i], error);
    if (status != DIPP_OK)
        return status;
    qsort(fits, (size_t) final, sizeof *fits, by_cost);
    int values = 3 * judge->fine * judge->fine;
    *verdict = (dipp_verdict){.fit = fits[0].scene, .distance = sqrt(fits[0].cost / values), .second = DIPP_NOT_NAMED};
    if (final > 1) {
        verdict->second = fits[1].scene.glyph;
        verdict->second_distance = sqrt(fits[1].cost / values);
    }
    verdict->fit.background = dipp_nearest_background(b);
    verdict->fit.place = dipp_scene_place_of(verdict->fit.centre_x, verdict->fit.centre_y);
    verdict->fit.size_class = dipp_scene_size_class_of(judge->world, verdict->fit.size);
    memcpy(verdict->border_rgb, b, sizeof verdict->border_rgb);
    return DIPP_OK;
}

dipp_status dipp_judge_planes(const dipp_judge *judge, const float *planes, dipp_verdict *verdict, dipp_error *error)
{
    size_t area = (size_t)judge->side * (size_t)judge->side;
    float *unit = dipp_allocate(3 * area * sizeof *unit);
    match *matches = dipp_allocate((size_t)judge->glyph_count * sizeof *matches);
    dipp_status status = DIPP_OK;
    if (!unit || !matches) {
        status = dipp_fail(error, DIPP_E_MEMORY, "judge: out of memory");
    } else {
        for (size_t i = 0; i < 3 * area; i++)
            unit[i] = planes[i] > -1 ? planes[i] < 1 ? 0.5f * planes[i] + 0.5f : 1 : 0;
        float b[3], fine[3 * FINE_MAX * FINE_MAX];
        border_median(unit, judge->side, b);
        if (judge->side == judge->fine)
            memcpy(fine, unit, 3 * area * sizeof *fine);
        else
            shrink(unit, judge->side, judge->fine, fine);
        status = judge_fitted(judge, fine, b, matches, verdict, error);
    }
    dipp_release(unit);
    dipp_release(matches);
    return status;
}

dipp_status dipp_judge_bytes(const dipp_judge *judge, const uint8_t *rgb, dipp_verdict *verdict, dipp_error *error)
{
    float planes[3 * DIPP_SCENE_SIDE_MAX * DIPP_SCENE_SIDE_MAX];
    dipp_image_to_planes(rgb, judge->side, planes);
    return dipp_judge_planes(judge, planes, verdict, error);
}
