/* What the cuda back-end works out on the host, which needs no GPU: the table of rows, division by constants, walks,
 * copies, sums and products against plain loops, and conversions at the border. */
#include "backend/cuda/conversion.h"
#include "backend/cuda/geometry.h"
#include "backend/cuda/product.h"
#include "backend/cuda/rows.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void every_op_has_a_row_or_a_reason(void **state)
{
    int listed[DIPP_OP_COUNT] = {0};
#define ROW(upper, text) listed[DIPP_OP_##upper]++;
    DIPP_CUDA_ROWS(ROW)
    DIPP_CUDA_UNSUPPORTED(ROW)
#undef ROW
    for (int op = 0; op < DIPP_OP_COUNT; op++)
        if (listed[op] != 1)
            fail_msg("op %d is listed %d times in rows.h: give it a kernel or say that it is unsupported", op,
                     listed[op]);
    static const dipp_op without[] = {
#define ROW(upper, text) DIPP_OP_##upper,
        DIPP_CUDA_UNSUPPORTED(ROW)
#undef ROW
    };
    /* Leaves and views: what no back-end computes. A new entry is a decision; it belongs in docs/cuda-backend.md. */
    assert_int_equal(sizeof without / sizeof *without, 2);
    assert_int_equal(without[0], DIPP_OP_LEAF);
    assert_int_equal(without[1], DIPP_OP_RESHAPE);
}

static void division_by_constants(void **state)
{
    static const int64_t divisors[] = {1,  2,   3,   5,    7,    10,   31,      32,         33,         63,
                                       64, 100, 255, 1000, 1023, 4097, 1000003, 1073741824, 2147483646, 2147483647};
    for (size_t k = 0; k < sizeof divisors / sizeof *divisors; k++) {
        dipp_cuda_divisor by = dipp_cuda_divisor_of(divisors[k]);
        uint32_t d = (uint32_t)divisors[k];
        for (uint32_t n = 0; n < 3000; n++)
            assert_int_equal(dipp_cuda_divide(n, by), n / d);
        for (uint64_t n = 1; n < INT32_MAX; n = n * 3 / 2 + 1)
            for (int64_t near = -1; near <= 1; near++) {
                uint32_t multiple = (uint32_t)(n / d * d), at = (uint32_t)((int64_t)multiple + near);
                if (at <= INT32_MAX)
                    assert_int_equal(dipp_cuda_divide(at, by), at / d);
            }
        assert_int_equal(dipp_cuda_divide(INT32_MAX, by), INT32_MAX / d);
    }
}

static void block_counts(void **state)
{
    assert_int_equal(dipp_cuda_blocks(0, 256, 100), 1);
    assert_int_equal(dipp_cuda_blocks(256, 256, 100), 1);
    assert_int_equal(dipp_cuda_blocks(257, 256, 100), 2);
    assert_int_equal(dipp_cuda_blocks((int64_t)1 << 40, 256, 100), 100);
}

/* Where element `linear` of a result of shape to is read in an operand of shape from. */
static int64_t broadcast_offset(const dipp_shape *from, const dipp_shape *to, int64_t linear)
{
    int64_t offset = 0, stride = 1;
    for (uint32_t k = 0; k < from->rank; k++) {
        int64_t dim = from->dims[from->rank - 1 - k], length = to->dims[to->rank - 1 - k];
        if (dim != 1)
            offset += linear % length * stride;
        linear /= length;
        stride *= dim;
    }
    return offset;
}

static void walks_go_where_broadcasting_says(void **state)
{
    static const struct {
        dipp_shape out, in[2];
        int32_t rank, wide; /* as few outer dims as can be */
    } rows[] = {{{0}, {{0}, {0}}, 0, 1},
                {{1, {7}}, {{1, {7}}, {1, {1}}}, 0, 1},
                {{2, {33, 65}}, {{2, {33, 65}}, {2, {33, 65}}}, 0, 1},
                {{3, {2, 3, 4}}, {{1, {4}}, {3, {2, 3, 4}}}, 1, 1},
                {{3, {2, 3, 4}}, {{2, {3, 1}}, {3, {2, 3, 4}}}, 2, 1},
                {{3, {2, 3, 5}}, {{2, {3, 1}}, {3, {2, 3, 5}}}, 2, 0},
                {{4, {3, 3, 8, 8}}, {{4, {3, 1, 1, 1}}, {4, {3, 3, 8, 8}}}, 1, 1},
                {{4, {2, 3, 4, 5}}, {{4, {2, 1, 1, 5}}, {3, {3, 4, 1}}}, 2, 0},
                {{6, {2, 2, 3, 3, 2, 5}}, {{6, {2, 1, 3, 1, 2, 5}}, {6, {1, 2, 1, 3, 2, 1}}}, 5, 0},
                {{4, {2, 1, 4, 1}}, {{3, {1, 4, 1}}, {0}}, 1, 1}};
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        const dipp_shape *const in[] = {&rows[k].in[0], &rows[k].in[1]};
        dipp_cuda_walk walk;
        assert_true(dipp_cuda_walk_of(&walk, &rows[k].out, in, 2));
        if (walk.outer.rank != rows[k].rank || walk.wide != rows[k].wide)
            fail_msg("row %zu: %d outer dims, wide %d", k, walk.outer.rank, walk.wide);
        int64_t linear = 0;
        for (int64_t group = 0; group < walk.groups; group++) {
            uint32_t row = dipp_cuda_divide((uint32_t)group, walk.groups_per_row);
            int64_t start = (group - (int64_t)row * walk.groups_per_row.divisor) * DIPP_CUDA_GROUP;
            for (int64_t i = start; i < start + DIPP_CUDA_GROUP && i < walk.inner; i++, linear++) {
                assert_int_equal((int64_t)row * walk.inner + i, linear);
                for (int operand = 0; operand < 2; operand++)
                    assert_int_equal(dipp_cuda_offset(&walk.outer, operand, row) + (walk.step[operand] ? i : 0),
                                     broadcast_offset(in[operand], &rows[k].out, linear));
            }
        }
        assert_int_equal(linear, dipp_cuda_elements(&rows[k].out));
    }
    dipp_shape huge = DIPP_SHAPE((int64_t)1 << 20, (int64_t)1 << 20);
    const dipp_shape *const in[] = {&huge};
    dipp_cuda_walk walk;
    assert_false(dipp_cuda_walk_of(&walk, &huge, in, 1));
}

/* Runs the copy as the kernel does. */
static void run_copy(const dipp_cuda_copy *copy, const char *in, char *out)
{
    for (int64_t i = 0; i < copy->units; i++)
        memcpy(out + (copy->out_start + dipp_cuda_offset(&copy->dims, 1, (uint32_t)i)) * copy->unit,
               in + (copy->in_start + dipp_cuda_offset(&copy->dims, 0, (uint32_t)i)) * copy->unit, (size_t)copy->unit);
}

static void permutations_move_every_element(void **state)
{
    static const struct {
        dipp_shape in;
        uint8_t permutation[DIPP_MAX_RANK];
        int32_t unit[2]; /* expected for 2 and 4 bytes */
    } rows[] = {{{0}, {0}, {2, 4}},
                {{2, {3, 5}}, {1, 0}, {2, 4}},
                {{3, {2, 3, 8}}, {1, 0, 2}, {16, 16}},
                {{3, {2, 3, 6}}, {1, 0, 2}, {4, 8}},
                {{2, {4, 6}}, {0, 1}, {16, 16}},
                {{4, {2, 4, 3, 8}}, {0, 2, 1, 3}, {16, 16}},
                {{6, {2, 3, 2, 2, 3, 4}}, {0, 2, 4, 3, 5, 1}, {2, 4}}};
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++)
        for (int wide = 0; wide < 2; wide++) {
            int64_t bytes = wide ? 4 : 2, count = dipp_cuda_elements(&rows[k].in);
            uint32_t in[1024], out[1024];
            for (int64_t i = 0; i < count; i++)
                if (wide)
                    in[i] = (uint32_t)i * 77777u;
                else
                    ((uint16_t *)in)[i] = (uint16_t)(i * 7);
            memset(out, 0xee, sizeof out);
            dipp_cuda_copy copy;
            assert_true(dipp_cuda_permutation_of(&copy, &rows[k].in, rows[k].permutation, bytes));
            if (copy.unit != rows[k].unit[wide])
                fail_msg("row %zu: unit %d for elements of %d", k, copy.unit, (int)bytes);
            run_copy(&copy, (const char *)in, (char *)out);
            int64_t stride[DIPP_MAX_RANK] = {0}, running = 1;
            for (uint32_t d = rows[k].in.rank; d-- > 0; running *= rows[k].in.dims[d])
                stride[d] = running;
            for (int64_t i = 0; i < count; i++) {
                int64_t rest = i, from = 0;
                for (uint32_t d = rows[k].in.rank; d-- > 0;) {
                    int64_t dim = rows[k].in.dims[rows[k].permutation[d]];
                    from += rest % dim * stride[rows[k].permutation[d]];
                    rest /= dim;
                }
                assert_memory_equal((char *)out + i * bytes, (char *)in + from * bytes, (size_t)bytes);
            }
        }
}

static void runs_take_the_largest_unit_that_fits(void **state)
{
    static const struct {
        int64_t outer, length, in_pitch, out_pitch, in_start, out_start;
        int32_t unit;
    } rows[] = {{3, 8, 16, 24, 8, 16, 16}, {3, 8, 16, 24, 2, 16, 8}, {3, 8, 16, 24, 1, 16, 4}, {3, 6, 16, 24, 0, 0, 8},
                {3, 8, 15, 24, 0, 0, 4},   {1, 8, 15, 21, 0, 0, 16}, {4, 1, 2, 1, 1, 0, 4}};
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        dipp_cuda_copy copy;
        uint32_t in[256], out[256] = {0};
        for (uint32_t i = 0; i < 256; i++)
            in[i] = i + 1;
        assert_true(dipp_cuda_copy_of(&copy, 2, (int64_t[]){rows[k].outer, rows[k].length},
                                      (int64_t[]){rows[k].in_pitch, 1}, (int64_t[]){rows[k].out_pitch, 1},
                                      rows[k].in_start, rows[k].out_start, 4));
        if (copy.unit != rows[k].unit)
            fail_msg("row %zu: unit %d", k, copy.unit);
        run_copy(&copy, (const char *)in, (char *)out);
        for (int64_t o = 0; o < rows[k].outer; o++)
            for (int64_t i = 0; i < rows[k].length; i++)
                assert_int_equal(out[o * rows[k].out_pitch + rows[k].out_start + i],
                                 in[o * rows[k].in_pitch + rows[k].in_start + i]);
    }
}

static void sums_reach_every_term_once(void **state)
{
    static const struct {
        dipp_shape shape;
        uint32_t mask;
        int32_t by_rows;
        int64_t splits;
    } rows[] = {{{0}, 0, 1, 1},
                {{1, {7}}, 1, 1, 1},
                {{1, {4097}}, 1, 1, 2},
                {{2, {33, 65}}, 1, 0, 1},
                {{2, {33, 65}}, 2, 1, 1},
                {{2, {300, 5}}, 1, 0, 3},
                {{2, {33, 65}}, 0, 0, 1},
                {{3, {2, 3, 4}}, 5, 1, 1},
                {{4, {3, 4, 8, 8}}, 13, 1, 1},
                {{4, {3, 1, 1, 5}}, 6, 0, 1},
                {{6, {2, 3, 2, 3, 2, 3}}, 42, 1, 1},
                {{6, {2, 3, 2, 3, 2, 3}}, 21, 0, 1}};
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        dipp_cuda_sum sum;
        assert_true(dipp_cuda_sum_of(&sum, &rows[k].shape, rows[k].mask));
        if (sum.by_rows != rows[k].by_rows || sum.splits != rows[k].splits)
            fail_msg("row %zu: by rows %d, %d splits", k, sum.by_rows, (int)sum.splits);
        assert_true(sum.splits * sum.terms_per_split >= sum.terms);
        int64_t count = dipp_cuda_elements(&rows[k].shape);
        assert_int_equal(sum.outputs * sum.terms, count);
        int *owner = malloc((size_t)(count + 1) * sizeof *owner);
        assert_non_null(owner);
        memset(owner, 0xff, (size_t)(count + 1) * sizeof *owner);
        for (int64_t o = 0; o < sum.outputs; o++)
            for (int64_t t = 0; t < sum.terms; t++) {
                int64_t at =
                    dipp_cuda_offset(&sum.kept, 0, (uint32_t)o) + dipp_cuda_offset(&sum.reduced, 0, (uint32_t)t);
                assert_in_range(at, 0, count - 1);
                assert_int_equal(owner[at], -1);
                owner[at] = (int)o;
            }
        for (int64_t i = 0; i < count; i++) { /* the output an element belongs to, row-major over the kept dims */
            int64_t rest = i, output = 0, stride = 1;
            for (uint32_t d = rows[k].shape.rank; d-- > 0; rest /= rows[k].shape.dims[d])
                if (!(rows[k].mask >> d & 1)) {
                    output += rest % rows[k].shape.dims[d] * stride;
                    stride *= rows[k].shape.dims[d];
                }
            assert_int_equal(owner[i], output);
        }
        free(owner);
    }
    dipp_cuda_sum sum; /* nothing to add, results to write */
    assert_true(dipp_cuda_sum_of(&sum, &DIPP_SHAPE(3, 0), 2));
    assert_int_equal(sum.outputs, 3);
    assert_int_equal(sum.terms, 0);
    assert_int_equal(sum.splits, 1);
}

static void columns_cover_their_rows(void **state)
{
    for (int64_t shared = 0; shared < 200000; shared = shared * 2 + 1) {
        dipp_cuda_columns c = dipp_cuda_columns_of(3, shared, 64);
        assert_true(c.splits >= 1 && c.splits <= 256);
        assert_true(c.splits * c.rows_per_split >= shared);
        assert_true((c.splits - 1) * c.rows_per_split < shared || c.splits == 1);
    }
}

/* A column-major operand read as the library does, against the row-major formula. */
static void products_are_the_same_column_by_column(void **state)
{
    static const struct {
        dipp_op op;
        dipp_shape a, b, out;
        bool turn_a, turn_b;
        int64_t batch, m, n, k;
    } rows[] = {{DIPP_OP_MATMUL, {2, {3, 4}}, {2, {4, 5}}, {2, {3, 5}}, false, false, 1, 3, 5, 4},
                {DIPP_OP_MATMUL, {2, {4, 3}}, {2, {5, 4}}, {2, {3, 5}}, true, true, 1, 3, 5, 4},
                {DIPP_OP_MATMUL, {3, {2, 3, 4}}, {3, {2, 4, 5}}, {3, {2, 3, 5}}, false, false, 2, 3, 5, 4},
                {DIPP_OP_MATMUL, {3, {2, 4, 3}}, {3, {2, 5, 4}}, {3, {2, 3, 5}}, true, true, 2, 3, 5, 4},
                {DIPP_OP_MATMUL, {3, {2, 3, 4}}, {2, {4, 5}}, {3, {2, 3, 5}}, false, false, 1, 6, 5, 4},
                {DIPP_OP_LINEAR, {3, {2, 3, 4}}, {2, {5, 4}}, {3, {2, 3, 5}}, false, false, 1, 6, 5, 4},
                {DIPP_OP_LINEAR_BACKWARD_WEIGHT, {2, {6, 5}}, {2, {6, 3}}, {2, {3, 5}}, false, false, 1, 3, 5, 6}};
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        dipp_attributes attributes = {.transpose_a = rows[r].turn_a, .transpose_b = rows[r].turn_b};
        dipp_node_view node = {.op = rows[r].op, .input_count = 2, .output_count = 1, .attributes = &attributes};
        node.inputs[0] = (dipp_operand){true, DIPP_COMPUTE, rows[r].a};
        node.inputs[1] = (dipp_operand){true, DIPP_COMPUTE, rows[r].b};
        node.outputs[0] = (dipp_operand){true, DIPP_COMPUTE, rows[r].out};
        dipp_cuda_product p;
        dipp_cuda_product_of(&p, &node);
        assert_true(p.batch == rows[r].batch && p.m == rows[r].m && p.n == rows[r].n && p.k == rows[r].k);
        dipp_cuda_matrix first, second, out;
        dipp_cuda_product_matrices(&p, &first, &second, &out);
        assert_true(first.leading >= first.rows && second.leading >= second.rows && out.leading >= out.rows);
        bool weight = rows[r].op == DIPP_OP_LINEAR_BACKWARD_WEIGHT;
        for (int64_t b = 0; b < p.batch; b++)
            for (int64_t i = 0; i < p.m; i++)
                for (int64_t j = 0; j < p.n; j++)
                    for (int64_t l = 0; l < p.k; l++) {
                        /* row-major places of A[i, l] and B[l, j] as stored, and of the result */
                        bool a_turned = weight || rows[r].turn_a,
                             b_turned = rows[r].op == DIPP_OP_LINEAR || rows[r].turn_b;
                        int64_t a = a_turned ? l * p.m + i : i * p.k + l, bb = b_turned ? j * p.k + l : l * p.n + j;
                        /* the library: D[j, i] = sum over l of op(first)[j, l] op(second)[l, i] */
                        int64_t f = first.turned ? l + j * first.leading : j + l * first.leading;
                        int64_t s = second.turned ? i + l * second.leading : l + i * second.leading;
                        assert_int_equal(b * second.stride + s, b * p.a_batch + a);
                        assert_int_equal(b * first.stride + f, b * p.b_batch + bb);
                        assert_int_equal(b * out.stride + j + i * out.leading, (b * p.m + i) * p.n + j);
                    }
        dipp_cuda_product again;
        memset(&again, 0xff, sizeof again);
        dipp_cuda_product_of(&again, &node);
        assert_true(dipp_cuda_product_same(&p, &again));
        again.accumulate = 1;
        assert_false(dipp_cuda_product_same(&p, &again));
    }
}

static void numbers_cross_the_border(void **state)
{
    const double numbers[] = {1, -0.1, 1 + 0x1p-8, 1 + 0x1p-9, 1 + 3 * 0x1p-8, 3e38, 1e39, (double)NAN, 7.5};
    uint16_t halves[9];
    dipp_cuda_encode(halves, DIPP_CUDA_BF16, numbers, DIPP_HOST_F64, 0, 9);
    static const uint16_t want[] = {0x3f80, 0xbdcd, 0x3f80, 0x3f80, 0x3f82, 0x7f62, 0x7f80};
    for (int i = 0; i < 7; i++)
        assert_int_equal(halves[i], want[i]);
    assert_true((halves[7] & 0x7fff) > 0x7f80);
    double back[9];
    dipp_cuda_decode(back, DIPP_HOST_F64, 0, halves, DIPP_CUDA_BF16, 9);
    assert_true(back[0] == 1 && back[4] == 1 + 0x1p-6 && isinf(back[6]) && isnan(back[7]) && back[8] == 7.5);
    int32_t integers[3];
    dipp_cuda_encode(integers, DIPP_CUDA_I32, (const float[]){9, -7.5f, 1e10f, -1e10f}, DIPP_HOST_F32, 1, 3);
    assert_true(integers[0] == -8 && integers[1] == INT32_MAX && integers[2] == INT32_MIN);
    const int32_t bits = -1; /* a pattern that is not a number in f32 comes through as it is */
    float pattern[2] = {0, 0};
    dipp_cuda_encode(pattern, DIPP_CUDA_I32, &bits, DIPP_HOST_I32, 0, 1);
    assert_memory_equal(pattern, &bits, 4);
    float floats[3] = {0, 0, 0};
    dipp_cuda_decode(floats, DIPP_HOST_F32, 1, (const float[]){2.5f, 3.5f}, DIPP_CUDA_F32, 2);
    assert_true(floats[0] == 0 && floats[1] == 2.5f && floats[2] == 3.5f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_op_has_a_row_or_a_reason),
        cmocka_unit_test(division_by_constants),
        cmocka_unit_test(block_counts),
        cmocka_unit_test(walks_go_where_broadcasting_says),
        cmocka_unit_test(permutations_move_every_element),
        cmocka_unit_test(runs_take_the_largest_unit_that_fits),
        cmocka_unit_test(sums_reach_every_term_once),
        cmocka_unit_test(columns_cover_their_rows),
        cmocka_unit_test(products_are_the_same_column_by_column),
        cmocka_unit_test(numbers_cross_the_border),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
