/* Cases of elementwise ops: every broadcast pattern for the ops of two and three inputs; odd, single and scalar shapes
 * and special numbers for the ops of one. */
#include "case_builder.h"

#include <math.h>

static const struct {
    dipp_shape a, b, out;
} pairs[] = {{{0}, {0}, {0}},
             {{1, {1}}, {1, {1}}, {1, {1}}},
             {{1, {7}}, {1, {7}}, {1, {7}}},
             {{2, {33, 65}}, {2, {33, 65}}, {2, {33, 65}}},
             {{3, {2, 3, 4}}, {1, {4}}, {3, {2, 3, 4}}},
             {{3, {2, 3, 4}}, {2, {3, 1}}, {3, {2, 3, 4}}},
             {{3, {2, 1, 4}}, {3, {1, 3, 1}}, {3, {2, 3, 4}}},
             {{1, {1}}, {1, {5}}, {1, {5}}},
             {{1, {5}}, {1, {1}}, {1, {5}}},
             {{0}, {2, {3, 4}}, {2, {3, 4}}},
             {{2, {3, 4}}, {0}, {2, {3, 4}}},
             {{4, {2, 1, 1, 5}}, {3, {3, 4, 1}}, {4, {2, 3, 4, 5}}},
             {{2, {64, 33}}, {2, {1, 33}}, {2, {64, 33}}},
             {{2, {64, 33}}, {2, {64, 1}}, {2, {64, 33}}},
             {{4, {3, 3, 8, 8}}, {4, {3, 1, 1, 1}}, {4, {3, 3, 8, 8}}},
             {{4, {3, 1, 1, 1}}, {4, {3, 3, 8, 8}}, {4, {3, 3, 8, 8}}},
             {{6, {2, 1, 3, 1, 2, 5}}, {6, {1, 2, 1, 3, 2, 1}}, {6, {2, 2, 3, 3, 2, 5}}}};
enum { PAIRS = sizeof pairs / sizeof *pairs };

static void binary_rows(case_builder *b)
{
    bool exact = b->op == DIPP_OP_MINIMUM || b->op == DIPP_OP_MAXIMUM || b->op == DIPP_OP_GREATER;
    if (b->bench) {
        op_case *c = add_case(b, "per sample");
        add_normal(b, c, DIPP_COMPUTE, DIPP_SHAPE(64, 4, 64, 64), 0, 1);
        add_uniform(b, c, DIPP_COMPUTE, DIPP_SHAPE(64, 1, 1, 1), 0.5, 2);
        add_output(c, DIPP_COMPUTE, DIPP_SHAPE(64, 4, 64, 64));
        return;
    }
    static const double scales[] = {1, 1e-6, 1e4};
    for (int k = 0; k < PAIRS; k++)
        for (int dtype = 0; dtype < 2; dtype++) {
            double scale = scales[k % 3];
            op_case *c = add_case(b, "scale %g", scale);
            double *left = add_normal(b, c, (dipp_dtype)dtype, pairs[k].a, 0, scale);
            double *right = add_uniform(b, c, (dipp_dtype)dtype, pairs[k].b, 0.5 * scale, 2 * scale);
            int64_t count = op_elements(&c->view.inputs[1]);
            for (int64_t i = 0; i < count; i += 2)
                right[i] = -right[i];
            if (k >= 2 && k < 4) /* ties, also between zeros of two signs */
                for (int64_t i = 0; i < count; i += 3)
                    left[i] = b->op == DIPP_OP_DIV ? 0.0 : right[i];
            add_output(c, (dipp_dtype)dtype, pairs[k].out);
            c->rule = exact ? OP_EXACT : OP_CLOSE;
        }
}

static void where_rows(case_builder *b)
{
    for (int k = b->bench ? 3 : 0; k < (b->bench ? 4 : PAIRS); k++)
        for (int dtype = 0; dtype < 2; dtype++)
            for (int turn = 0; turn < (b->bench ? 1 : 3); turn++) {
                /* each of the three places sees the whole shape and both broadcast ones */
                dipp_shape shapes[3] = {pairs[k].out, pairs[k].a, pairs[k].b};
                for (int i = 0; i < 3 && b->bench; i++)
                    shapes[i] = DIPP_SHAPE(4096, 256);
                op_case *c = add_case(b, "turn %d", turn);
                double *condition = add_input(c, (dipp_dtype)dtype, shapes[turn]);
                for (int64_t i = 0; i < op_elements(&c->view.inputs[0]); i++)
                    condition[i] = (double)(random_below(b, 3) - 1) * 0.5;
                add_normal(b, c, (dipp_dtype)dtype, shapes[(turn + 1) % 3], 0, 1);
                add_normal(b, c, (dipp_dtype)dtype, shapes[(turn + 2) % 3], 0, 1);
                add_output(c, (dipp_dtype)dtype, b->bench ? shapes[0] : pairs[k].out);
                c->rule = OP_EXACT;
            }
}

static const dipp_shape shapes_of_one[] = {{0},
                                           {1, {1}},
                                           {1, {7}},
                                           {3, {1, 1, 1}},
                                           {2, {3, 5}},
                                           {4, {2, 3, 4, 5}},
                                           {4, {1, 17, 1, 9}},
                                           {2, {33, 65}},
                                           {6, {2, 1, 3, 1, 2, 5}},
                                           {1, {1031}}};

/* Numbers an op of one input is tried on: [low, high], with special numbers in front when there is room. */
typedef struct unary_range {
    double low, high;
    bool exact;
    int special_count;
    double special[12];
} unary_range;

static unary_range range_of(dipp_op op)
{
    switch (op) {
    case DIPP_OP_EXP: return (unary_range){-30, 20, false, 5, {0, -0.0, 1, -100, 80}};
    case DIPP_OP_LOG: return (unary_range){1e-3, 10, false, 6, {1, 1 + 0x1p-7, 1 - 0x1p-8, 1e-30, 1e30, 2}};
    case DIPP_OP_SQRT: return (unary_range){0, 10, false, 5, {0, 1, 4, 1e-30, 1e30}};
    case DIPP_OP_SIN:
    case DIPP_OP_COS: return (unary_range){-20, 20, false, 6, {0, 1e-4, 1000, -1000, 3.140625, 1.5703125}};
    case DIPP_OP_ROUND:
        return (unary_range){-8, 8, true, 10, {0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 0, 255, -254.5, 0.498046875}};
    case DIPP_OP_CLAMP: return (unary_range){-3, 3, true, 6, {-0.75, 1.25, 0, -1e30, 1e30, 1.2578125}};
    case DIPP_OP_ABS:
    case DIPP_OP_SIGN: return (unary_range){-3, 3, true, 6, {0, -0.0, 1e-30, -1e-30, 1e30, -1e30}};
    case DIPP_OP_SCALE_ADD: return (unary_range){-3, 3, false, 3, {0, 1e4, -1e-6}};
    default: return (unary_range){-6, 6, false, 9, {0, -0.0, 1e-6, -1e-6, 30, -30, 90, -90, 1}};
    }
}

static void unary_rows(case_builder *b)
{
    unary_range range = range_of(b->op);
    for (size_t k = b->bench ? COUNT_OF(shapes_of_one) - 1 : 0; k < COUNT_OF(shapes_of_one); k++)
        for (int dtype = 0; dtype < 2; dtype++) {
            dipp_shape shape = b->bench ? DIPP_SHAPE(4096, 256) : shapes_of_one[k];
            op_case *c = add_case(b, "[%g, %g]", range.low, range.high);
            double *x = add_uniform(b, c, (dipp_dtype)dtype, shape, range.low, range.high);
            for (int i = 0; i < range.special_count && op_elements(&c->view.inputs[0]) > 64; i++)
                x[i] = (float)range.special[i];
            c->attributes.alpha = b->op == DIPP_OP_CLAMP ? -0.75 : 1.7;
            c->attributes.beta = b->op == DIPP_OP_CLAMP ? 1.25 : -0.3;
            add_output(c, (dipp_dtype)dtype, shape);
            c->rule = range.exact ? OP_EXACT : OP_CLOSE;
        }
}

static void activation_backward_rows(case_builder *b)
{
    unary_range range = range_of(b->op);
    for (size_t k = b->bench ? COUNT_OF(shapes_of_one) - 1 : 0; k < COUNT_OF(shapes_of_one); k++)
        for (int dtype = 0; dtype < 2; dtype++) {
            dipp_shape shape = b->bench ? DIPP_SHAPE(4096, 256) : shapes_of_one[k];
            op_case *c = add_case(b, "[%g, %g]", range.low, range.high);
            double *x = add_uniform(b, c, (dipp_dtype)dtype, shape, range.low, range.high);
            for (int i = 0; i < range.special_count && op_elements(&c->view.inputs[0]) > 64; i++)
                x[i] = (float)range.special[i];
            add_normal(b, c, (dipp_dtype)dtype, shape, 0, 1);
            add_output(c, (dipp_dtype)dtype, shape);
        }
}

/* Widths of the result: one, odd, more than a chunk of any kernel, with a remainder. */
static void geglu_rows(case_builder *b)
{
    static const dipp_shape shapes[] = {{1, {1}},       {2, {3, 7}},     {3, {2, 5, 32}},
                                        {2, {2, 1029}}, {3, {1, 1, 64}}, {3, {16, 256, 1280}}};
    for (size_t k = b->bench ? COUNT_OF(shapes) - 1 : 0; k < COUNT_OF(shapes) - !b->bench; k++)
        for (int dtype = 0; dtype < (b->bench ? 1 : 2); dtype++) {
            dipp_shape half = shapes[k], whole = half;
            whole.dims[whole.rank - 1] *= 2;
            op_case *c = add_case(b, "gated");
            double *x = add_uniform(b, c, (dipp_dtype)dtype, whole, -6, 6);
            int64_t width = half.dims[half.rank - 1];
            for (int i = 0; i < 4 && width > 4; i++) /* of the gate: saturated both ways, and at zero */
                x[width + i] = (const double[]){30, -30, 0, -90}[i];
            if (b->op == DIPP_OP_GEGLU_BACKWARD)
                add_normal(b, c, (dipp_dtype)dtype, half, 0, 1);
            add_output(c, (dipp_dtype)dtype, b->op == DIPP_OP_GEGLU ? half : whole);
        }
}

case_rows cases_of_elementwise(dipp_op op)
{
    if (op == DIPP_OP_GEGLU || op == DIPP_OP_GEGLU_BACKWARD)
        return geglu_rows;
    if (op == DIPP_OP_WHERE)
        return where_rows;
    if (op >= DIPP_OP_ADD && op <= DIPP_OP_GREATER)
        return binary_rows;
    if (op >= DIPP_OP_SCALE_ADD && op <= DIPP_OP_CLAMP)
        return unary_rows;
    if (op >= DIPP_OP_SILU_BACKWARD && op <= DIPP_OP_QUICK_GELU_BACKWARD)
        return activation_backward_rows;
    return NULL;
}
