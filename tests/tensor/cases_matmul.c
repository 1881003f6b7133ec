/* Cases of matmul, linear, linear_backward_weight and inverse. */
#include "case_builder.h"

#include <math.h>

/* Dtypes of the inputs and the output: compute to compute, compute to wide, wide to wide. */
static const struct {
    dipp_dtype in, out;
} mixes[] = {{DIPP_COMPUTE, DIPP_COMPUTE}, {DIPP_COMPUTE, DIPP_WIDE}, {DIPP_WIDE, DIPP_WIDE}};

static dipp_shape append(dipp_shape shape, int64_t rows, int64_t columns)
{
    shape.dims[shape.rank++] = rows;
    shape.dims[shape.rank++] = columns;
    return shape;
}

static void matmul_rows(case_builder *b)
{
    static const struct {
        dipp_shape batch;
        bool shared; /* b has rank 2 */
        int64_t m, k, n;
    } rows[] = {{{0}, false, 1, 1, 1},
                {{0}, false, 1, 7, 1},
                {{0}, false, 5, 1, 3},
                {{0}, false, 17, 33, 9},
                {{0}, false, 64, 64, 64},
                {{0}, false, 77, 40, 77},
                {{0}, false, 3, 1030, 5},
                {{1, {1}}, false, 4, 4, 4},
                {{1, {3}}, false, 5, 17, 31},
                {{2, {2, 3}}, false, 16, 24, 77},
                {{4, {2, 1, 2, 1}}, false, 3, 5, 7},
                {{1, {3}}, true, 5, 17, 31},
                {{2, {2, 3}}, true, 7, 64, 9},
                {{0}, false, 4096, 256, 1024}};
    for (size_t k = b->bench ? COUNT_OF(rows) - 1 : 0; k < COUNT_OF(rows) - !b->bench; k++)
        for (int transposes = 0; transposes < 4; transposes++)
            for (int mix = 0; mix < (b->bench ? 1 : 3); mix++) {
                bool ta = transposes & 1, tb = transposes >> 1;
                if (ta && rows[k].shared) /* the rows of a could not fold */
                    continue;
                op_case *c = add_case(b, "%s%s", ta ? "a^T " : "", tb ? "b^T " : "");
                dipp_shape none = {0};
                dipp_shape b_batch = rows[k].shared ? none : rows[k].batch;
                add_normal(b, c, mixes[mix].in,
                           append(rows[k].batch, ta ? rows[k].k : rows[k].m, ta ? rows[k].m : rows[k].k), 0, 1);
                add_normal(b, c, mixes[mix].in, append(b_batch, tb ? rows[k].n : rows[k].k, tb ? rows[k].k : rows[k].n),
                           0, 1);
                c->attributes.transpose_a = ta;
                c->attributes.transpose_b = tb;
                c->terms = rows[k].k;
                add_output(c, mixes[mix].out, append(rows[k].batch, rows[k].m, rows[k].n));
            }
}

static const struct {
    dipp_shape lead;
    int64_t in, out;
} linears[] = {{{0}, 5, 3},          {{1, {1}}, 1, 1},       {{1, {1}}, 64, 7},         {{1, {7}}, 1, 5},
               {{1, {77}}, 40, 33},  {{2, {2, 16}}, 64, 96}, {{2, {3, 77}}, 24, 1},     {{3, {2, 3, 5}}, 17, 31},
               {{1, {64}}, 256, 64}, {{1, {1030}}, 3, 8},    {{2, {64, 64}}, 256, 1024}};

static void linear_rows(case_builder *b)
{
    for (size_t k = b->bench ? COUNT_OF(linears) - 1 : 0; k < COUNT_OF(linears) - !b->bench; k++)
        for (int mix = 0; mix < (b->bench ? 1 : 3); mix++)
            for (int bias = b->bench; bias < (b->bench ? 2 : 3); bias++) { /* none, of the inputs' dtype, wide */
                dipp_shape x = linears[k].lead, y = linears[k].lead;
                x.dims[x.rank++] = linears[k].in;
                y.dims[y.rank++] = linears[k].out;
                op_case *c = add_case(b, "linear");
                add_normal(b, c, mixes[mix].in, x, 0, 1);
                add_normal(b, c, mixes[mix].in, DIPP_SHAPE(linears[k].out, linears[k].in), 0, 0.5);
                if (bias)
                    add_normal(b, c, bias == 2 ? DIPP_WIDE : mixes[mix].in, DIPP_SHAPE(linears[k].out), 0, 1);
                else
                    add_absent(c);
                c->terms = linears[k].in;
                add_output(c, mixes[mix].out, y);
            }
}

static void linear_backward_weight_rows(case_builder *b)
{
    for (size_t k = b->bench ? COUNT_OF(linears) - 1 : 0; k < COUNT_OF(linears) - !b->bench; k++)
        for (int dtype = 0; dtype < (b->bench ? 1 : 2); dtype++)
            for (int accumulate = 0; accumulate < 2; accumulate++) {
                dipp_shape x = linears[k].lead, y = linears[k].lead;
                x.dims[x.rank++] = linears[k].in;
                y.dims[y.rank++] = linears[k].out;
                op_case *c = add_case(b, accumulate ? "accumulate" : "write");
                add_normal(b, c, (dipp_dtype)dtype, x, 0, 1);
                add_normal(b, c, (dipp_dtype)dtype, y, 0, 1);
                add_output(c, DIPP_WIDE, DIPP_SHAPE(linears[k].out, linears[k].in));
                c->attributes.accumulate = accumulate;
                if (accumulate)
                    start_output(b, c);
                c->terms = op_elements(&c->view.inputs[0]) / linears[k].in;
            }
}

static void inverse_rows(case_builder *b)
{
    static const dipp_shape batches[] = {{0}, {1, {1}}, {1, {5}}, {2, {2, 3}}};
    enum { DOMINANT, ZERO_DIAGONAL, RANDOM, ZERO, KINDS };
    static const char *const kinds[] = {"dominant", "zero diagonal", "random", "zero"};
    static const dipp_shape large = {1, {4096}};
    for (int64_t d = 1; d <= 16; d += d < 8 ? 1 : 4)
        for (size_t k = 0; k < (b->bench ? 1 : COUNT_OF(batches)); k++)
            for (int kind = 0; kind < (b->bench ? 1 : KINDS); kind++) {
                if ((kind == ZERO_DIAGONAL && d == 1) || (b->bench && d != 8))
                    continue;
                op_case *c = add_case(b, "%s", kinds[kind]);
                dipp_shape shape = append(b->bench ? large : batches[k], d, d);
                double *x = add_normal(b, c, DIPP_WIDE, shape, 0, 1);
                for (int64_t i = 0; i < op_elements(&c->view.inputs[0]); i++) {
                    int64_t row = i / d % d, column = i % d;
                    if (kind == DOMINANT && row == column)
                        x[i] += x[i] < 0 ? -4 : 4;
                    if (kind == ZERO_DIAGONAL) /* a cyclic shift and a little more: elimination must exchange rows */
                        x[i] = row == column ? 0 : (float)(0.1 * x[i] / (double)d + (column == (row + 1) % d));
                    if (kind == ZERO)
                        x[i] = 0;
                    x[i] = (float)x[i];
                }
                c->terms = d;
                c->rule = kind == ZERO ? OP_SINGULAR : OP_CLOSE;
                c->slack = kind == RANDOM ? 8 : 1; /* the error grows with the condition number, in a wide spread */
                add_output(c, DIPP_WIDE, shape);
            }
}

case_rows cases_of_matmul(dipp_op op)
{
    switch (op) {
    case DIPP_OP_MATMUL: return matmul_rows;
    case DIPP_OP_LINEAR: return linear_rows;
    case DIPP_OP_LINEAR_BACKWARD_WEIGHT: return linear_backward_weight_rows;
    case DIPP_OP_INVERSE: return inverse_rows;
    default: return NULL;
    }
}
