/* Cases of convolution and group norm, forward and backward: pictures of one pixel, odd sizes, channels that fill no
 * vector, strides that leave rows unread, padding on one side alone. */
#include "case_builder.h"

#include <math.h>

typedef struct convolution_row {
    int64_t samples, in, out, height, width, kernel, stride, before, after;
} convolution_row;

static const convolution_row convolutions[] = {
    {1, 1, 1, 1, 1, 1, 1, 0, 0},    /* a product */
    {1, 1, 1, 1, 1, 3, 1, 1, 1},    /* all but one tap on padding */
    {2, 3, 5, 7, 5, 3, 1, 1, 1},    /* */
    {2, 3, 5, 7, 6, 3, 2, 1, 1},    /* UNet: down */
    {1, 4, 6, 8, 7, 3, 2, 0, 1},    /* VAE: down, padded after */
    {1, 5, 3, 7, 8, 3, 2, 0, 0},    /* the last column is read by no tap */
    {2, 17, 9, 4, 6, 1, 1, 0, 0},   /* pixels */
    {1, 3, 2, 7, 7, 1, 2, 0, 0},    /* pixels, every other one */
    {1, 2, 3, 9, 6, 5, 3, 2, 1},    /* */
    {1, 2, 2, 5, 6, 2, 1, 1, 0},    /* an even kernel, padded before */
    {2, 16, 32, 8, 8, 3, 1, 1, 1},  /* whole vectors */
    {1, 33, 20, 6, 6, 3, 1, 1, 1},  /* and not */
    {1, 4, 64, 1, 9, 3, 1, 1, 1},   /* a latent's line */
    {3, 8, 16, 3, 1, 3, 2, 1, 1},   /* a column */
    {1, 72, 40, 3, 3, 1, 1, 0, 0},  /* a shortcut */
    {1, 320, 4, 5, 5, 3, 1, 1, 1}}; /* the last layer of a UNet: long sums, few channels */
static const convolution_row benched[] = {{4, 128, 128, 32, 32, 3, 1, 1, 1},
                                          {4, 320, 320, 16, 16, 3, 1, 1, 1},
                                          {4, 320, 640, 16, 16, 1, 1, 0, 0},
                                          {4, 128, 128, 32, 32, 3, 2, 1, 1},
                                          {4, 4, 128, 32, 32, 3, 1, 1, 1}};

static void convolution_rows(case_builder *b)
{
    bool data = b->op == DIPP_OP_CONV2D_BACKWARD_DATA, weight = b->op == DIPP_OP_CONV2D_BACKWARD_WEIGHT;
    for (size_t k = 0; k < (b->bench ? COUNT_OF(benched) : COUNT_OF(convolutions)); k++)
        for (int variant = 0; variant < (b->bench || data ? 1 : weight ? 4 : 3); variant++) {
            /* forward: bias, none, wide result; weight: bit 0 accumulates, bit 1 leaves the bias out */
            const convolution_row *row = b->bench ? &benched[k] : &convolutions[k];
            dipp_shape x = DIPP_SHAPE(row->samples, row->in, row->height, row->width);
            dipp_shape w = DIPP_SHAPE(row->out, row->in, row->kernel, row->kernel);
            int64_t pads = row->before + row->after - row->kernel;
            dipp_shape y = DIPP_SHAPE(row->samples, row->out, (row->height + pads) / row->stride + 1,
                                      (row->width + pads) / row->stride + 1);
            op_case *c = add_case(b, "stride %d pads %d %d", (int)row->stride, (int)row->before, (int)row->after);
            c->attributes.stride = row->stride;
            c->attributes.pad_before = row->before;
            c->attributes.pad_after = row->after;
            if (weight) {
                add_normal(b, c, DIPP_COMPUTE, x, 0, 1);
                add_normal(b, c, DIPP_COMPUTE, y, 0, 1);
                add_output(c, DIPP_WIDE, w);
                c->attributes.accumulate = variant & 1;
                if (c->attributes.accumulate)
                    start_output(b, c);
                if (variant < 2)
                    add_output(c, DIPP_WIDE, DIPP_SHAPE(row->out));
                c->terms = row->samples * y.dims[2] * y.dims[3];
                continue;
            }
            if (data) {
                add_normal(b, c, DIPP_COMPUTE, w, 0, 1);
                add_normal(b, c, DIPP_COMPUTE, y, 0, 1);
                add_output(c, DIPP_COMPUTE, x);
                c->terms = row->out * row->kernel * row->kernel;
                continue;
            }
            add_normal(b, c, DIPP_COMPUTE, x, 0, 1);
            add_normal(b, c, DIPP_COMPUTE, w, 0, 1);
            if (variant == 1)
                add_absent(c);
            else
                add_normal(b, c, DIPP_COMPUTE, DIPP_SHAPE(row->out), 0, 1);
            add_output(c, variant == 2 ? DIPP_WIDE : DIPP_COMPUTE, y);
            c->terms = row->in * row->kernel * row->kernel;
        }
}

static const struct {
    dipp_shape shape;
    int groups;
    double mean, deviation, epsilon;
} normed[] = {{{2, {1, 1}}, 1, 1, 1, 1e-5},          {{2, {3, 6}}, 3, 0, 1, 1e-5},
              {{3, {2, 4, 5}}, 1, 0, 1, 1e-5},       {{4, {2, 6, 3, 5}}, 2, 0, 1, 1e-6},
              {{4, {1, 64, 4, 4}}, 32, 0, 1, 1e-5},  {{4, {2, 33, 1, 7}}, 11, 0, 1, 1e-6},
              {{4, {1, 8, 17, 9}}, 4, 100, 1, 1e-5}, {{4, {1, 4, 40, 33}}, 2, 0, 1, 1e-5},
              {{4, {2, 4, 3, 3}}, 2, 0, 1e-4, 1e-6}, {{4, {2, 4, 3, 3}}, 2, 0, 1e4, 1e-5},
              {{4, {2, 4, 3, 3}}, 2, 0.75, 0, 1e-5}, {{4, {4, 320, 32, 32}}, 32, 0, 1, 1e-5}};

enum { PLAIN, GAIN, GAIN_AND_BIAS, KINDS };
static const char *const kinds[] = {"no gain", "gain", "gain and bias"};

/* Mean and 1/deviation of every group, as the forward stores them. */
static void group_stats(const double *x, int64_t groups, int64_t count, double epsilon, double *stats)
{
    for (int64_t group = 0; group < groups; group++, x += count) {
        double mean = 0, variance = 0;
        for (int64_t i = 0; i < count; i++)
            mean += x[i] / (double)count;
        for (int64_t i = 0; i < count; i++)
            variance += (x[i] - mean) * (x[i] - mean) / (double)count;
        stats[2 * group] = (float)mean;
        stats[2 * group + 1] = (float)(1 / sqrt(variance + epsilon));
    }
}

static void group_norm_case(case_builder *b, size_t k, int kind, bool silu, dipp_dtype x_type, dipp_dtype gain_type)
{
    const dipp_shape shape = normed[k].shape, channels = DIPP_SHAPE(shape.dims[1]);
    dipp_shape stats = DIPP_SHAPE(shape.dims[0], (int64_t)normed[k].groups, 2);
    bool backward = b->op == DIPP_OP_GROUP_NORM_BACKWARD;
    op_case *c =
        add_case(b, "%d groups %s%s mean %g", normed[k].groups, kinds[kind], silu ? " silu" : "", normed[k].mean);
    double *x = add_normal(b, c, x_type, shape, normed[k].mean, normed[k].deviation);
    int64_t groups = stats.dims[0] * stats.dims[1], count = op_elements(&c->view.inputs[0]) / groups;
    c->attributes.groups = (uint32_t)normed[k].groups;
    c->attributes.alpha = normed[k].epsilon;
    c->attributes.silu = silu;
    c->terms = count;
    if (kind == PLAIN)
        add_absent(c);
    else
        add_normal(b, c, gain_type, channels, 1, 0.5);
    if (kind != GAIN_AND_BIAS || (backward && !silu))
        add_absent(c);
    else
        add_normal(b, c, gain_type, channels, 0, 1);
    if (!backward) {
        add_output(c, DIPP_COMPUTE, shape);
        add_output(c, DIPP_WIDE, stats);
        return;
    }
    group_stats(x, groups, count, normed[k].epsilon, add_input(c, DIPP_WIDE, stats));
    add_normal(b, c, DIPP_COMPUTE, shape, 0, 1);
    add_output(c, x_type, shape);
    for (int i = 0; i < 2; i++)
        if (kind == PLAIN)
            add_absent_output(c);
        else
            add_output(c, DIPP_WIDE, channels);
    if (groups * count / channels.dims[0] > count)
        c->terms = groups * count / channels.dims[0];
}

static void group_norm_rows(case_builder *b)
{
    if (b->bench) {
        group_norm_case(b, COUNT_OF(normed) - 1, GAIN_AND_BIAS, true, DIPP_COMPUTE, DIPP_COMPUTE);
        return;
    }
    for (size_t k = 0; k + 1 < COUNT_OF(normed); k++)
        for (int kind = 0; kind < KINDS; kind++)
            for (int types = 0; types < (kind == PLAIN ? 2 : 4); types++) {
                bool silu = (k + (size_t)kind + (size_t)types) % 2; /* every mix meets both, on some shape */
                group_norm_case(b, k, kind, silu, (dipp_dtype)(types & 1), (dipp_dtype)(types >> 1));
            }
}

case_rows cases_of_picture(dipp_op op)
{
    if (op == DIPP_OP_CONV2D || op == DIPP_OP_CONV2D_BACKWARD_DATA || op == DIPP_OP_CONV2D_BACKWARD_WEIGHT)
        return convolution_rows;
    return op == DIPP_OP_GROUP_NORM || op == DIPP_OP_GROUP_NORM_BACKWARD ? group_norm_rows : NULL;
}
