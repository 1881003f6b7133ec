/* Cases of layer norm and gated residual, forward and backward. Rows with a mean far above their deviation are here to
 * fail a variance computed as E[x^2] - E[x]^2 in single precision. */
#include "case_builder.h"

#include <math.h>

static const struct {
    dipp_shape shape;
    double mean, deviation;
} rows[] = {{{2, {1, 1}}, 1, 1},       {{2, {3, 2}}, 0, 1},        {{2, {5, 7}}, 0, 1},
            {{3, {2, 5, 64}}, 0, 1},   {{3, {2, 9, 65}}, 0, 1},    {{4, {2, 2, 3, 33}}, 0, 1},
            {{2, {4, 1000}}, 0, 1},    {{3, {3, 1, 256}}, 100, 1}, {{3, {2, 3, 48}}, 0, 1e-4},
            {{3, {2, 3, 48}}, 0, 1e4}, {{3, {2, 3, 48}}, 0.75, 0}, {{3, {1, 2, 8}}, 0, 0},
            {{3, {64, 64, 256}}, 0, 1}};

enum { NO_GAIN, GAIN, GAIN_PER_SAMPLE, GAINS };
static const char *const gains[] = {"no gain", "gain", "gain per sample"};

static dipp_shape gain_shape(const dipp_shape *x, int kind)
{
    int64_t width = x->dims[x->rank - 1];
    return kind == GAIN ? DIPP_SHAPE(width) : DIPP_SHAPE(x->dims[0], width);
}

static void layer_norm_rows(case_builder *b)
{
    const double epsilon = 1e-5;
    bool backward = b->op == DIPP_OP_LAYER_NORM_BACKWARD;
    for (size_t k = b->bench ? COUNT_OF(rows) - 1 : 0; k < COUNT_OF(rows) - !b->bench; k++)
        for (int variant = b->bench ? 8 : 0; variant < (b->bench ? 9 : 12); variant++) {
            /* gain: three kinds; then dtype of x, dtype of the gain */
            int kind = b->bench ? GAIN_PER_SAMPLE : variant % 3;
            dipp_dtype x_type = (dipp_dtype)(variant / 3 & 1), gain_type = (dipp_dtype)(variant / 6);
            const dipp_shape shape = rows[k].shape;
            op_case *c = add_case(b, "%s mean %g", gains[kind], rows[k].mean);
            double *x = add_normal(b, c, x_type, shape, rows[k].mean, rows[k].deviation);
            int64_t width = shape.dims[shape.rank - 1], count = op_elements(&c->view.inputs[0]) / width;
            c->attributes.alpha = epsilon;
            c->attributes.plus_one = kind && k % 2;
            c->terms = width;
            if (kind)
                add_normal(b, c, gain_type, gain_shape(&shape, kind), c->attributes.plus_one ? 0 : 1, 0.5);
            else
                add_absent(c);
            if (!backward) {
                if (kind && k % 4 != 2) /* a gain may come without a bias */
                    add_normal(b, c, gain_type, gain_shape(&shape, kind), 0, 1);
                else
                    add_absent(c);
                add_output(c, DIPP_COMPUTE, shape);
                add_output(c, DIPP_WIDE, DIPP_SHAPE(count, 2));
                continue;
            }
            double *stats = add_input(c, DIPP_WIDE, DIPP_SHAPE(count, 2));
            for (int64_t row = 0; row < count; row++) {
                double mean = 0, variance = 0;
                for (int64_t i = 0; i < width; i++)
                    mean += x[row * width + i] / (double)width;
                for (int64_t i = 0; i < width; i++)
                    variance += (x[row * width + i] - mean) * (x[row * width + i] - mean) / (double)width;
                stats[2 * row] = (float)mean;
                stats[2 * row + 1] = (float)(1 / sqrt(variance + epsilon));
            }
            add_normal(b, c, DIPP_COMPUTE, shape, 0, 1);
            add_output(c, x_type, shape);
            for (int i = 0; i < 2; i++)
                if (kind)
                    add_output(c, DIPP_WIDE, gain_shape(&shape, kind));
                else
                    add_absent_output(c);
            if (count > c->terms)
                c->terms = count;
        }
}

static const dipp_shape gated[] = {{2, {3, 5}},       {3, {1, 1, 1}},   {3, {2, 7, 33}},
                                   {4, {2, 2, 3, 8}}, {3, {3, 77, 64}}, {3, {64, 64, 256}}};

static void gated_add_rows(case_builder *b)
{
    bool backward = b->op == DIPP_OP_GATED_ADD_BACKWARD;
    for (size_t k = b->bench ? COUNT_OF(gated) - 1 : 0; k < COUNT_OF(gated) - !b->bench; k++)
        for (int types = 0; types < (b->bench ? 1 : 8); types++) {
            dipp_dtype first = (dipp_dtype)(types & 1), gate = (dipp_dtype)(types >> 1 & 1);
            dipp_dtype h = (dipp_dtype)(types >> 2 & 1);
            dipp_shape shape = gated[k], gate_shape = gain_shape(&shape, GAIN_PER_SAMPLE);
            op_case *c = add_case(b, "gated");
            if (!backward)
                add_normal(b, c, first, shape, 0, 1);
            add_normal(b, c, gate, gate_shape, 0, 1);
            add_normal(b, c, h, shape, 0, 1);
            if (backward)
                add_normal(b, c, first, shape, 0, 1);
            add_output(c, backward ? h : first, shape);
            if (backward) {
                add_output(c, DIPP_WIDE, gate_shape);
                c->terms = op_elements(&c->view.inputs[1]) / op_elements(&c->view.inputs[0]);
            }
        }
}

case_rows cases_of_norm(dipp_op op)
{
    if (op == DIPP_OP_LAYER_NORM || op == DIPP_OP_LAYER_NORM_BACKWARD)
        return layer_norm_rows;
    if (op == DIPP_OP_GATED_ADD || op == DIPP_OP_GATED_ADD_BACKWARD)
        return gated_add_rows;
    return NULL;
}
