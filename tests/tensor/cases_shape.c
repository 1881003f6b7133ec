/* Cases of cast, permute, concat, slice, pad, broadcast_to. All are exact. */
#include "case_builder.h"

static void cast_rows(case_builder *b)
{
    static const double nasty[] = {
        0,       -0.0,    1,        1 + 0x1p-8,    1 + 0x1p-7, 1 + 3 * 0x1p-8, -1 - 0x1p-8,
        1.0e-30, -3.0e38, 0x1p-126, 1 + 0x1.02p-8, 255.5,      1 + 0x1.fep-9,  3.3895313892515355e38,
        65504,   1.0 / 3, -2.0 / 3, 0x1.fffffep-1};
    for (int from = 0; from < 3; from++)
        for (int to = 0; to < 2; to++)
            for (int big = b->bench; big < 2; big++) {
                dipp_shape shape = b->bench ? DIPP_SHAPE(4096, 256) : big ? DIPP_SHAPE(33, 65) : DIPP_SHAPE(18);
                op_case *c = add_case(b, "cast");
                double *x = add_normal(b, c, (dipp_dtype)from, shape, 0, 1);
                for (int64_t i = 0; i < op_elements(&c->view.inputs[0]); i++)
                    if (from == DIPP_INT32)
                        x[i] = (double)(random_below(b, 1 << 24) - (1 << 23));
                    else if (!big)
                        x[i] = (float)nasty[i];
                add_output(c, (dipp_dtype)to, shape);
                c->rule = OP_EXACT;
            }
}

static void permute_rows(case_builder *b)
{
    static const struct {
        dipp_shape shape;
        uint8_t axes[DIPP_MAX_RANK];
    } rows[] = {{{1, {5}}, {0}},
                {{2, {3, 5}}, {1, 0}},
                {{2, {64, 33}}, {1, 0}},
                {{3, {2, 3, 4}}, {2, 0, 1}},
                {{3, {2, 3, 4}}, {0, 1, 2}},
                {{4, {2, 3, 8, 8}}, {0, 2, 3, 1}},
                {{4, {2, 77, 4, 16}}, {0, 2, 1, 3}},
                {{4, {1, 7, 1, 5}}, {3, 0, 1, 2}},
                {{6, {2, 3, 4, 2, 5, 2}}, {0, 1, 3, 5, 2, 4}},
                {{6, {2, 4, 4, 2, 2, 3}}, {0, 5, 1, 3, 2, 4}}};
    static const dipp_shape large = {6, {32, 16, 16, 2, 2, 8}};
    for (size_t k = b->bench ? COUNT_OF(rows) - 1 : 0; k < COUNT_OF(rows); k++)
        for (int dtype = 0; dtype < 2; dtype++) {
            op_case *c = add_case(b, "permute");
            dipp_shape in = b->bench ? large : rows[k].shape, out = in;
            add_normal(b, c, (dipp_dtype)dtype, in, 0, 1);
            for (uint32_t i = 0; i < in.rank; i++) {
                c->attributes.permutation[i] = rows[k].axes[i];
                out.dims[i] = in.dims[rows[k].axes[i]];
            }
            add_output(c, (dipp_dtype)dtype, out);
            c->rule = OP_EXACT;
        }
}

static void concat_rows(case_builder *b)
{
    static const struct {
        dipp_shape shape;
        int axis, parts;
        int64_t lengths[8];
    } rows[] = {{{1, {0}}, 0, 2, {3, 4}},
                {{2, {3, 0}}, 1, 1, {5}},
                {{2, {3, 0}}, 1, 3, {1, 7, 2}},
                {{2, {0, 33}}, 0, 2, {1, 64}},
                {{4, {2, 0, 3, 5}}, 1, 8, {1, 2, 3, 4, 5, 6, 7, 1}},
                {{3, {2, 4, 0}}, 2, 2, {65, 31}},
                {{2, {4096, 0}}, 1, 2, {256, 256}}};
    for (size_t k = b->bench ? COUNT_OF(rows) - 1 : 0; k < COUNT_OF(rows) - !b->bench; k++)
        for (int dtype = 0; dtype < 2; dtype++) {
            op_case *c = add_case(b, "axis %d", rows[k].axis);
            dipp_shape shape = rows[k].shape;
            int64_t total = 0;
            for (int part = 0; part < rows[k].parts; part++) {
                shape.dims[rows[k].axis] = rows[k].lengths[part];
                total += rows[k].lengths[part];
                add_normal(b, c, (dipp_dtype)dtype, shape, 0, 1);
            }
            shape.dims[rows[k].axis] = total;
            c->attributes.axis = rows[k].axis;
            add_output(c, (dipp_dtype)dtype, shape);
            c->rule = OP_EXACT;
        }
}

/* slice takes [start, start + length) out of whole; pad puts it back. */
static void slice_and_pad_rows(case_builder *b)
{
    static const struct {
        dipp_shape whole;
        int axis;
        int64_t start, length;
    } rows[] = {{{1, {9}}, 0, 0, 9},          {{1, {9}}, 0, 8, 1},          {{2, {5, 7}}, 1, 2, 3},
                {{2, {5, 7}}, 0, 1, 3},       {{3, {2, 6, 33}}, 1, 0, 1},   {{3, {2, 6, 33}}, 2, 11, 11},
                {{4, {2, 8, 3, 5}}, 1, 4, 4}, {{4, {1, 1, 3, 1}}, 2, 2, 1}, {{2, {4096, 512}}, 1, 256, 256}};
    for (size_t k = b->bench ? COUNT_OF(rows) - 1 : 0; k < COUNT_OF(rows) - !b->bench; k++)
        for (int dtype = 0; dtype < 2; dtype++) {
            op_case *c = add_case(b, "axis %d start %d", rows[k].axis, (int)rows[k].start);
            dipp_shape part = rows[k].whole;
            part.dims[rows[k].axis] = rows[k].length;
            bool slice = b->op == DIPP_OP_SLICE;
            add_normal(b, c, (dipp_dtype)dtype, slice ? rows[k].whole : part, 0, 1);
            add_output(c, (dipp_dtype)dtype, slice ? part : rows[k].whole);
            c->attributes.axis = rows[k].axis;
            c->attributes.start = rows[k].start;
            c->rule = OP_EXACT;
        }
}

static void broadcast_rows(case_builder *b)
{
    static const struct {
        dipp_shape from, to;
    } rows[] = {{{0}, {0}},
                {{0}, {2, {3, 4}}},
                {{1, {1}}, {1, {7}}},
                {{1, {4}}, {3, {2, 3, 4}}},
                {{2, {3, 1}}, {3, {2, 3, 4}}},
                {{3, {2, 1, 1}}, {3, {2, 5, 33}}},
                {{4, {2, 1, 4, 1}}, {4, {2, 3, 4, 5}}},
                {{6, {1, 2, 1, 2, 1, 3}}, {6, {2, 2, 2, 2, 2, 3}}},
                {{5, {6, 3, 1, 5, 1}}, {5, {6, 3, 2, 5, 2}}}, /* nearest upsampling */
                {{5, {1, 7, 1, 33, 1}}, {5, {1, 7, 3, 33, 3}}},
                {{2, {9, 1}}, {2, {9, 17}}},
                {{4, {64, 1, 1, 1}}, {4, {64, 4, 64, 64}}},
                {{5, {4, 4096, 1, 32, 1}}, {5, {4, 4096, 2, 32, 2}}}};
    for (size_t k = b->bench ? COUNT_OF(rows) - 2 : 0; k < COUNT_OF(rows) - (b->bench ? 0 : 2); k++)
        for (int dtype = 0; dtype < 2; dtype++) {
            op_case *c = add_case(b, "broadcast");
            add_normal(b, c, (dipp_dtype)dtype, rows[k].from, 0, 1);
            add_output(c, (dipp_dtype)dtype, rows[k].to);
            c->rule = OP_EXACT;
        }
}

case_rows cases_of_shape(dipp_op op)
{
    switch (op) {
    case DIPP_OP_CAST: return cast_rows;
    case DIPP_OP_PERMUTE: return permute_rows;
    case DIPP_OP_CONCAT: return concat_rows;
    case DIPP_OP_SLICE:
    case DIPP_OP_PAD: return slice_and_pad_rows;
    case DIPP_OP_BROADCAST: return broadcast_rows;
    default: return NULL;
    }
}
