/* Cases of sum, softmax and softmax backward. */
#include "case_builder.h"

#include <math.h>

static void sum_rows(case_builder *b)
{
    static const struct {
        dipp_shape shape;
        uint32_t mask;
        double mean;
    } rows[] = {{{1, {1}}, 1, 0},
                {{1, {7}}, 1, 0},
                {{1, {4097}}, 1, 0},
                {{1, {1000}}, 1, 100},
                {{2, {3, 5}}, 0, 0},
                {{2, {33, 65}}, 1, 0},
                {{2, {33, 65}}, 2, 0},
                {{2, {33, 65}}, 3, 1},
                {{3, {2, 3, 4}}, 5, 0},
                {{3, {2, 3, 4}}, 2, 0},
                {{4, {3, 4, 8, 8}}, 14, 0},
                {{4, {3, 4, 8, 8}}, 13, 0},
                {{4, {3, 1, 1, 5}}, 6, 0},
                {{6, {2, 3, 2, 3, 2, 3}}, 42, 0},
                {{6, {2, 3, 2, 3, 2, 3}}, 21, 0},
                {{5, {6, 3, 2, 5, 2}}, 20, 0}, /* the gradient of nearest upsampling */
                {{5, {2, 7, 3, 517, 3}}, 20, 1},
                {{3, {40, 5, 16}}, 4, 100},
                {{4, {64, 4, 64, 64}}, 14, 0},
                {{5, {4, 4096, 2, 32, 2}}, 20, 0}};
    for (size_t k = b->bench ? COUNT_OF(rows) - 2 : 0; k < COUNT_OF(rows) - (b->bench ? 0 : 2); k++)
        for (int dtype = 0; dtype < 2; dtype++)
            for (int keep = 0; keep < 2; keep++) {
                op_case *c = add_case(b, "mask %u", rows[k].mask);
                add_normal(b, c, (dipp_dtype)dtype, rows[k].shape, rows[k].mean, 1);
                dipp_shape out = {0};
                for (uint32_t i = 0; i < rows[k].shape.rank; i++) {
                    bool reduced = rows[k].mask >> i & 1;
                    c->terms *= reduced ? rows[k].shape.dims[i] : 1;
                    if (!reduced || keep)
                        out.dims[out.rank++] = reduced ? 1 : rows[k].shape.dims[i];
                }
                c->attributes.axes_mask = rows[k].mask;
                add_output(c, DIPP_WIDE, out);
            }
}

/* How the numbers of a row are laid out. */
enum { ROW_NORMAL, ROW_EQUAL, ROW_LARGE, ROW_SMALL, ROW_MASKED, ROW_SHIFTED, ROW_KINDS };
static const char *const row_kinds[] = {"normal", "equal", "large", "small", "masked", "shifted"};

static void fill_rows(case_builder *b, double *x, int64_t rows, int64_t width, int kind)
{
    for (int64_t i = 0; i < rows * width; i++) {
        double z = random_normal(b);
        switch (kind) {
        case ROW_NORMAL: x[i] = (float)z; break;
        case ROW_EQUAL: x[i] = 0.75 * (double)(i / width % 5); break;
        case ROW_LARGE: x[i] = (float)(50 * z); break;
        case ROW_SMALL: x[i] = (float)(1e-6 * z); break;
        case ROW_MASKED: x[i] = i % width && random_below(b, 3) == 0 ? -1e9 : (float)z; break;
        case ROW_SHIFTED: x[i] = (float)(1000 + z); break;
        default: break;
        }
    }
}

static void softmax_rows(case_builder *b)
{
    static const dipp_shape shapes[] = {{1, {9}},     {2, {3, 1}},        {2, {5, 2}},    {3, {2, 3, 7}},
                                        {2, {7, 64}}, {4, {1, 2, 3, 77}}, {2, {2, 1000}}, {2, {16384, 64}}};
    for (size_t k = b->bench ? COUNT_OF(shapes) - 1 : 0; k < COUNT_OF(shapes) - !b->bench; k++)
        for (int kind = 0; kind < (b->bench ? 1 : ROW_KINDS); kind++)
            for (int dtype = 0; dtype < 2; dtype++) {
                op_case *c = add_case(b, "%s", row_kinds[kind]);
                double *x = add_input(c, (dipp_dtype)dtype, shapes[k]);
                int64_t width = shapes[k].dims[shapes[k].rank - 1];
                int64_t rows = op_elements(&c->view.inputs[0]) / width;
                fill_rows(b, x, rows, width, kind);
                c->terms = width;
                if (b->op == DIPP_OP_SOFTMAX_BACKWARD) {
                    for (int64_t row = 0; row < rows; row++) { /* x becomes the y that softmax saved */
                        double *y = x + row * width, largest = -INFINITY, total = 0;
                        for (int64_t i = 0; i < width; i++)
                            largest = fmax(largest, y[i]);
                        for (int64_t i = 0; i < width; i++)
                            total += y[i] = exp(y[i] - largest);
                        for (int64_t i = 0; i < width; i++)
                            y[i] = (float)(y[i] / total);
                    }
                    double *dy = add_normal(b, c, (dipp_dtype)dtype, shapes[k], 0, 1);
                    if (kind == ROW_EQUAL)
                        fill_rows(b, dy, rows, width, ROW_EQUAL);
                }
                add_output(c, (dipp_dtype)dtype, shapes[k]);
            }
}

case_rows cases_of_reduction(dipp_op op)
{
    if (op == DIPP_OP_SUM)
        return sum_rows;
    if (op == DIPP_OP_SOFTMAX || op == DIPP_OP_SOFTMAX_BACKWARD)
        return softmax_rows;
    return NULL;
}
