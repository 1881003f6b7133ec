/* The oracle against answers that do not come from it: worked by hand, from closed forms, or (activations) from 30-digit
 * arithmetic of another program. Every kernel of core/backend/reference has its test here. */
#include "base/philox.h"
#include "op_cases.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static dipp_backend *oracle;

/* An operand of a hand-made node. numbers NULL: absent. */
typedef struct hand {
    dipp_shape shape;
    void *numbers; /* double, or int32_t */
    dipp_dtype dtype;
} hand;

#define NUMBERS(...) ((double[]){__VA_ARGS__})
#define ABSENT       ((hand){.numbers = NULL})
#define ALL(...)                                             \
    (sizeof((hand[]){__VA_ARGS__}) / sizeof(hand)), (hand[]) \
    {                                                        \
        __VA_ARGS__                                          \
    }

static void run(dipp_op op, const dipp_attributes *attributes, size_t inputs, const hand *in, size_t outputs,
                const hand *out)
{
    static const dipp_attributes none = {0};
    dipp_node_view view = {.op = op, .input_count = (uint32_t)inputs, .output_count = (uint32_t)outputs};
    void *in_numbers[DIPP_MAX_INPUTS] = {0}, *out_numbers[DIPP_MAX_OUTPUTS] = {0};
    view.attributes = attributes ? attributes : &none;
    for (size_t k = 0; k < inputs; k++) {
        view.inputs[k] = (dipp_operand){in[k].numbers != NULL, in[k].dtype, in[k].shape};
        in_numbers[k] = in[k].numbers;
    }
    for (size_t k = 0; k < outputs; k++) {
        view.outputs[k] = (dipp_operand){out[k].numbers != NULL, out[k].dtype, out[k].shape};
        out_numbers[k] = out[k].numbers;
    }
    op_run_oracle(oracle, &view, in_numbers, out_numbers);
}

static void assert_numbers(const double *got, size_t count, const double *want)
{
    for (size_t i = 0; i < count; i++)
        if (!(fabs(got[i] - want[i]) <= 1e-14 * (1 + fabs(want[i]))))
            fail_msg("element %zu is %.17g, expected %.17g", i, got[i], want[i]);
}

#define ASSERT_NUMBERS(got, ...) \
    assert_numbers((got), sizeof((double[]){__VA_ARGS__}) / sizeof(double), (double[]){__VA_ARGS__})

#define V(n, ...)    ((hand){DIPP_SHAPE(n), NUMBERS(__VA_ARGS__), DIPP_WIDE})
#define M(r, c, ...) ((hand){DIPP_SHAPE(r, c), NUMBERS(__VA_ARGS__), DIPP_WIDE})

static void copies_put_elements_where_they_belong(void **state)
{
    double y[12];
    run(DIPP_OP_PERMUTE, &(dipp_attributes){.permutation = {2, 0, 1}},
        ALL({DIPP_SHAPE(1, 2, 3), NUMBERS(1, 2, 3, 4, 5, 6), DIPP_WIDE}), ALL({DIPP_SHAPE(3, 1, 2), y, DIPP_WIDE}));
    ASSERT_NUMBERS(y, 1, 4, 2, 5, 3, 6);
    run(DIPP_OP_CONCAT, &(dipp_attributes){.axis = 1}, ALL(M(2, 1, 1, 2), M(2, 2, 3, 4, 5, 6)),
        ALL({DIPP_SHAPE(2, 3), y, DIPP_WIDE}));
    ASSERT_NUMBERS(y, 1, 3, 4, 2, 5, 6);
    run(DIPP_OP_SLICE, &(dipp_attributes){.axis = 1, .start = 1}, ALL(M(2, 3, 1, 2, 3, 4, 5, 6)),
        ALL({DIPP_SHAPE(2, 2), y, DIPP_WIDE}));
    ASSERT_NUMBERS(y, 2, 3, 5, 6);
    run(DIPP_OP_PAD, &(dipp_attributes){.axis = 1, .start = 1}, ALL(M(2, 1, 7, 8)),
        ALL({DIPP_SHAPE(2, 3), y, DIPP_WIDE}));
    ASSERT_NUMBERS(y, 0, 7, 0, 0, 8, 0);
    run(DIPP_OP_BROADCAST, NULL, ALL(M(2, 1, 7, 8)), ALL({DIPP_SHAPE(2, 2, 3), y, DIPP_WIDE}));
    ASSERT_NUMBERS(y, 7, 7, 7, 8, 8, 8, 7, 7, 7, 8, 8, 8);
    run(DIPP_OP_CAST, NULL, ALL({DIPP_SHAPE(3), (int32_t[]){-1, 0, 16777217}, DIPP_INT32}),
        ALL({DIPP_SHAPE(3), y, DIPP_WIDE}));
    ASSERT_NUMBERS(y, -1, 0, 16777217);
    run(DIPP_OP_CAST, NULL, ALL(V(2, 0.1, -2)), ALL({DIPP_SHAPE(2), y, DIPP_COMPUTE}));
    ASSERT_NUMBERS(y, 0.1, -2);
}

static void arithmetic_broadcasts(void **state)
{
    static const struct {
        dipp_op op;
        double want[4];
    } rows[] = {{DIPP_OP_ADD, {11, 21, 12, 22}}, {DIPP_OP_SUB, {9, 19, 8, 18}},   {DIPP_OP_MUL, {10, 20, 20, 40}},
                {DIPP_OP_DIV, {10, 20, 5, 10}},  {DIPP_OP_MINIMUM, {1, 1, 2, 2}}, {DIPP_OP_MAXIMUM, {10, 20, 10, 20}},
                {DIPP_OP_GREATER, {1, 1, 1, 1}}};
    double y[4];
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        run(rows[k].op, NULL, ALL(V(2, 10, 20), M(2, 1, 1, 2)), ALL({DIPP_SHAPE(2, 2), y, DIPP_WIDE}));
        assert_numbers(y, 4, rows[k].want);
    }
    run(DIPP_OP_GREATER, NULL, ALL(V(3, 1, 2, 3), V(1, 2)), ALL({DIPP_SHAPE(3), y, DIPP_WIDE}));
    ASSERT_NUMBERS(y, 0, 0, 1);
    run(DIPP_OP_WHERE, NULL, ALL(V(2, 0, -0.5), M(2, 1, 1, 2), {{0}, NUMBERS(9), DIPP_WIDE}),
        ALL({DIPP_SHAPE(2, 2), y, DIPP_WIDE}));
    ASSERT_NUMBERS(y, 9, 1, 9, 2);
}

static void functions_of_one_number(void **state)
{
    static const struct {
        dipp_op op;
        double x[3], want[3];
    } rows[] = {
        {DIPP_OP_SCALE_ADD, {0, 1, -4}, {-1, 2, -13}}, /* 3 x - 1 */
        {DIPP_OP_EXP, {0, 1, M_LN2}, {1, M_E, 2}},
        {DIPP_OP_LOG, {1, M_E, 2}, {0, 1, M_LN2}},
        {DIPP_OP_SQRT, {0, 2, 9}, {0, M_SQRT2, 3}},
        {DIPP_OP_ABS, {-2, 0, 3}, {2, 0, 3}},
        {DIPP_OP_SIGN, {-2, 0, 3}, {-1, 0, 1}},
        {DIPP_OP_SIN, {0, M_PI / 2, -M_PI / 6}, {0, 1, -0.5}},
        {DIPP_OP_COS, {0, M_PI, M_PI / 3}, {1, -1, 0.5}},
        {DIPP_OP_TANH, {0, 0.5493061443340548, -50}, {0, 0.5, -1}}, /* atanh(1/2) = log(3)/2 */
        {DIPP_OP_SIGMOID, {0, 1.0986122886681098, -800}, {0.5, 0.75, 0}},
        {DIPP_OP_ROUND, {0.5, 1.5, -2.5}, {0, 2, -2}},
        {DIPP_OP_CLAMP, {-9, 0.5, 9}, {3, 3, 3}},
        {DIPP_OP_SILU, {1, -2, 0.5}, {0.731058578630004879, -0.238405844044235112, 0.311229665600927282}},
        {DIPP_OP_GELU_ERF, {1, -2, 0.5}, {0.841344746068542949, -0.0455002638963584144, 0.345731230637006552}},
        {DIPP_OP_GELU_TANH, {1, -2, 0.5}, {0.841191990608276705, -0.0454023059122249812, 0.345714009825143922}},
        {DIPP_OP_QUICK_GELU, {1, -2, 0.5}, {0.845795765932821296, -0.0643413768557918502, 0.350388436606380123}}};
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        double y[3], x[3];
        memcpy(x, rows[k].x, sizeof x);
        run(rows[k].op, &(dipp_attributes){.alpha = 3, .beta = rows[k].op == DIPP_OP_CLAMP ? 3 : -1},
            ALL({DIPP_SHAPE(3), x, DIPP_WIDE}), ALL({DIPP_SHAPE(3), y, DIPP_WIDE}));
        assert_numbers(y, 3, rows[k].want);
    }
    double y[3];
    run(DIPP_OP_CLAMP, &(dipp_attributes){.alpha = -1, .beta = 2}, ALL(V(3, -9, 0.5, 9)),
        ALL({DIPP_SHAPE(3), y, DIPP_WIDE}));
    ASSERT_NUMBERS(y, -1, 0.5, 2);
}

static void activation_slopes(void **state)
{
    static const struct {
        dipp_op op;
        double want[3]; /* slopes at 1, -2 and 0.5 */
    } rows[] = {{DIPP_OP_SILU_BACKWARD, {0.927670511871486732, -0.0907842487848954788, 0.739961187302651809}},
                {DIPP_OP_GELU_ERF_BACKWARD, {1.0833154705876863, -0.0852318010781968967, 0.867495124656162843}},
                {DIPP_OP_GELU_TANH_BACKWARD, {1.08296408384578256, -0.0860992566236183816, 0.867369903534642312}},
                {DIPP_OP_QUICK_GELU_BACKWARD, {1.06777960655633406, -0.0738153543085419318, 0.879221911965414271}}};
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        double dx[3];
        run(rows[k].op, NULL, ALL(V(3, 1, -2, 0.5), V(3, 1, 10, -2)), ALL({DIPP_SHAPE(3), dx, DIPP_WIDE}));
        ASSERT_NUMBERS(dx, rows[k].want[0], 10 * rows[k].want[1], -2 * rows[k].want[2]);
    }
}

static void sums_over_every_set_of_axes(void **state)
{
    static const double x[6] = {1, 2, 3, 10, 20, 30};
    static const struct {
        uint32_t mask;
        dipp_shape out;
        int count;
        double want[6];
    } rows[] = {{0, {2, {2, 3}}, 6, {1, 2, 3, 10, 20, 30}},
                {1, {1, {3}}, 3, {11, 22, 33}},
                {2, {2, {2, 1}}, 2, {6, 60}},
                {3, {0}, 1, {66}}};
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
        double y[6];
        run(DIPP_OP_SUM, &(dipp_attributes){.axes_mask = rows[k].mask}, ALL({DIPP_SHAPE(2, 3), (void *)x, DIPP_WIDE}),
            ALL({rows[k].out, y, DIPP_WIDE}));
        assert_numbers(y, (size_t)rows[k].count, rows[k].want);
    }
}

static void matrix_products(void **state)
{
    double y[8];
    static const double want[4] = {19, 22, 43, 50}; /* [1 2; 3 4] [5 6; 7 8] */
    for (int t = 0; t < 4; t++) {
        run(DIPP_OP_MATMUL, &(dipp_attributes){.transpose_a = t & 1, .transpose_b = t >> 1},
            ALL(t & 1 ? M(2, 2, 1, 3, 2, 4) : M(2, 2, 1, 2, 3, 4), t >> 1 ? M(2, 2, 5, 7, 6, 8) : M(2, 2, 5, 6, 7, 8)),
            ALL({DIPP_SHAPE(2, 2), y, DIPP_WIDE}));
        assert_numbers(y, 4, want);
    }
    /* a batch of rows against its own columns, then against one shared matrix */
    hand rows = {DIPP_SHAPE(2, 1, 2), NUMBERS(1, 2, 3, 4), DIPP_WIDE};
    run(DIPP_OP_MATMUL, NULL, ALL(rows, {DIPP_SHAPE(2, 2, 1), NUMBERS(5, 6, 7, 8), DIPP_WIDE}),
        ALL({DIPP_SHAPE(2, 1, 1), y, DIPP_WIDE}));
    ASSERT_NUMBERS(y, 17, 53);
    run(DIPP_OP_MATMUL, NULL, ALL(rows, M(2, 3, 1, 0, 2, 0, 1, 3)), ALL({DIPP_SHAPE(2, 1, 3), y, DIPP_WIDE}));
    ASSERT_NUMBERS(y, 1, 2, 8, 3, 4, 18);
}

static void linear_and_its_weight_gradient(void **state)
{
    double y[6];
    hand w = M(2, 2, 3, 4, 5, 6);
    run(DIPP_OP_LINEAR, NULL, ALL(V(2, 1, 2), w, V(2, 0.5, -0.5)), ALL({DIPP_SHAPE(2), y, DIPP_WIDE}));
    ASSERT_NUMBERS(y, 11.5, 16.5);
    run(DIPP_OP_LINEAR, NULL, ALL(V(2, 1, 2), w, ABSENT), ALL({DIPP_SHAPE(2), y, DIPP_WIDE}));
    ASSERT_NUMBERS(y, 11, 17);
    /* dy^T x over two rows: [1 2; 10 20]^T [1 0 1; 0 1 1] */
    hand x = M(2, 3, 1, 0, 1, 0, 1, 1), dy = M(2, 2, 1, 2, 10, 20);
    run(DIPP_OP_LINEAR_BACKWARD_WEIGHT, NULL, ALL(x, dy), ALL({DIPP_SHAPE(2, 3), y, DIPP_WIDE}));
    ASSERT_NUMBERS(y, 1, 10, 11, 2, 20, 22);
    run(DIPP_OP_LINEAR_BACKWARD_WEIGHT, &(dipp_attributes){.accumulate = true}, ALL(x, dy),
        ALL({DIPP_SHAPE(2, 3), y, DIPP_WIDE}));
    ASSERT_NUMBERS(y, 2, 20, 22, 4, 40, 44);
}

static void inverses(void **state)
{
    double y[9];
    run(DIPP_OP_INVERSE, NULL, ALL({DIPP_SHAPE(2, 2, 2), NUMBERS(4, 7, 2, 6, 0, 1, 1, 0), DIPP_WIDE}),
        ALL({DIPP_SHAPE(2, 2, 2), y, DIPP_WIDE}));
    ASSERT_NUMBERS(y, 0.6, -0.7, -0.2, 0.4, 0, 1, 1, 0);
    run(DIPP_OP_INVERSE, NULL, ALL(M(3, 3, 2, 0, 0, 0, 0, 1, 0, 5, 0)), ALL({DIPP_SHAPE(3, 3), y, DIPP_WIDE}));
    ASSERT_NUMBERS(y, 0.5, 0, 0, 0, 0, 0.2, 0, 1, 0);
    /* elimination without exchanging rows would lose everything here: the inverse is [-1 1; 1 0] but for 1e-20 */
    run(DIPP_OP_INVERSE, NULL, ALL(M(2, 2, 1e-20, 1, 1, 1)), ALL({DIPP_SHAPE(2, 2), y, DIPP_WIDE}));
    ASSERT_NUMBERS(y, -1, 1, 1, 0);
    run(DIPP_OP_INVERSE, NULL, ALL(M(2, 2, 1, 2, 2, 4)), ALL({DIPP_SHAPE(2, 2), y, DIPP_WIDE}));
    assert_false(isfinite(y[0]) && isfinite(y[1]) && isfinite(y[2]) && isfinite(y[3]));
}

static void softmax_of_logarithms(void **state)
{
    double y[6];
    run(DIPP_OP_SOFTMAX, NULL, ALL(M(2, 3, 0, M_LN2, log(3), 1000, 1000, -1e9)), ALL({DIPP_SHAPE(2, 3), y, DIPP_WIDE}));
    ASSERT_NUMBERS(y, 1. / 6, 2. / 6, 3. / 6, 0.5, 0.5, 0);
    run(DIPP_OP_SOFTMAX_BACKWARD, NULL, ALL(V(3, 1. / 6, 1. / 3, 1. / 2), V(3, 1, 0, 0)),
        ALL({DIPP_SHAPE(3), y, DIPP_WIDE}));
    ASSERT_NUMBERS(y, 5. / 36, -1. / 18, -1. / 12);
}

static void attention_by_hand(void **state)
{
    double o[4], lse[4];
    /* one head of one dim: logits 0 and log 3, weights 1/4 and 3/4 */
    hand q = {DIPP_SHAPE(1, 1, 1), NUMBERS(2), DIPP_WIDE}, k = {DIPP_SHAPE(1, 2, 1), NUMBERS(0, log(3)), DIPP_WIDE};
    hand v = {DIPP_SHAPE(1, 2, 1), NUMBERS(1, 5), DIPP_WIDE};
    dipp_attributes half = {.heads = 1, .alpha = 0.5};
    run(DIPP_OP_ATTENTION, &half, ALL(q, k, v, ABSENT),
        ALL({DIPP_SHAPE(1, 1, 1), o, DIPP_WIDE}, {DIPP_SHAPE(1, 1, 1), lse, DIPP_WIDE}));
    ASSERT_NUMBERS(o, 4);
    ASSERT_NUMBERS(lse, 2 * M_LN2);
    run(DIPP_OP_ATTENTION, &half, ALL(q, k, v, M(1, 2, 0, -1e9)),
        ALL({DIPP_SHAPE(1, 1, 1), o, DIPP_WIDE}, {DIPP_SHAPE(1, 1, 1), lse, DIPP_WIDE}));
    ASSERT_NUMBERS(o, 1);
    ASSERT_NUMBERS(lse, 0);
    /* backward with do = 1: dv = P, dlogit = P (v - o) = [-3/4, 3/4], dq = scale sum dlogit k, dk = scale dlogit q */
    double dq[1], dk[2], dv[2];
    run(DIPP_OP_ATTENTION_BACKWARD, &half,
        ALL(q, k, v, ABSENT, {DIPP_SHAPE(1, 1, 1), NUMBERS(4), DIPP_WIDE},
            {DIPP_SHAPE(1, 1, 1), NUMBERS(2 * M_LN2), DIPP_WIDE}, {DIPP_SHAPE(1, 1, 1), NUMBERS(1), DIPP_WIDE}),
        ALL({DIPP_SHAPE(1, 1, 1), dq, DIPP_WIDE}, {DIPP_SHAPE(1, 2, 1), dk, DIPP_WIDE},
            {DIPP_SHAPE(1, 2, 1), dv, DIPP_WIDE}));
    ASSERT_NUMBERS(dq, 0.375 * log(3));
    ASSERT_NUMBERS(dk, -0.75, 0.75);
    ASSERT_NUMBERS(dv, 0.25, 0.75);
    /* two heads, two tokens, causal, zero queries: head h of token 0 sees v of token 0, token 1 the mean */
    hand zeros = {DIPP_SHAPE(1, 2, 2), NUMBERS(0, 0, 0, 0), DIPP_WIDE};
    run(DIPP_OP_ATTENTION, &(dipp_attributes){.heads = 2, .alpha = 1, .causal = true},
        ALL(zeros, zeros, {DIPP_SHAPE(1, 2, 2), NUMBERS(1, 10, 3, 30), DIPP_WIDE}, ABSENT),
        ALL({DIPP_SHAPE(1, 2, 2), o, DIPP_WIDE}, {DIPP_SHAPE(1, 2, 2), lse, DIPP_WIDE}));
    ASSERT_NUMBERS(o, 1, 10, 2, 20);
    ASSERT_NUMBERS(lse, 0, M_LN2, 0, M_LN2);
}

static void layer_norm_by_hand(void **state)
{
    double y[4], stats[4], dx[2], dgain[2], dbias[2];
    const double r = 1 / sqrt(1.25);
    run(DIPP_OP_LAYER_NORM, &(dipp_attributes){.alpha = 0}, ALL(V(4, 1, 2, 3, 4), ABSENT, ABSENT),
        ALL({DIPP_SHAPE(4), y, DIPP_WIDE}, {DIPP_SHAPE(1, 2), stats, DIPP_WIDE}));
    ASSERT_NUMBERS(y, -1.5 * r, -0.5 * r, 0.5 * r, 1.5 * r);
    ASSERT_NUMBERS(stats, 2.5, r);
    /* variance 1 and epsilon 3 give 1/2; gain per sample, written as 1 + gain */
    run(DIPP_OP_LAYER_NORM, &(dipp_attributes){.alpha = 3, .plus_one = true},
        ALL(M(2, 2, -1, 1, 9, 11), M(2, 2, 1, 2, 3, 4), M(2, 2, 0, 0, 10, 20)),
        ALL({DIPP_SHAPE(2, 2), y, DIPP_WIDE}, {DIPP_SHAPE(2, 2), stats, DIPP_WIDE}));
    ASSERT_NUMBERS(y, -1, 1.5, 8, 22.5);
    ASSERT_NUMBERS(stats, 0, 0.5, 10, 0.5);
    /* with n = (-1/2, 1/2) and dy = (a, b): dx = (3/16)(a - b, b - a), dgain = dy n, dbias = dy */
    run(DIPP_OP_LAYER_NORM_BACKWARD, &(dipp_attributes){.alpha = 3},
        ALL(M(1, 2, -1, 1), V(2, 1, 1), M(1, 2, 0, 0.5), M(1, 2, 7, 3)),
        ALL({DIPP_SHAPE(1, 2), dx, DIPP_WIDE}, {DIPP_SHAPE(2), dgain, DIPP_WIDE}, {DIPP_SHAPE(2), dbias, DIPP_WIDE}));
    ASSERT_NUMBERS(dx, 0.75, -0.75);
    ASSERT_NUMBERS(dgain, -3.5, 1.5);
    ASSERT_NUMBERS(dbias, 7, 3);
}

static void gated_residual(void **state)
{
    double y[4], dh[4], dgate[1];
    /* one channel, two samples of two tokens */
    hand gate = M(2, 1, 2, -1), h = {DIPP_SHAPE(2, 2, 1), NUMBERS(1, 2, 3, 4), DIPP_WIDE};
    run(DIPP_OP_GATED_ADD, NULL, ALL({DIPP_SHAPE(2, 2, 1), NUMBERS(10, 20, 30, 40), DIPP_WIDE}, gate, h),
        ALL({DIPP_SHAPE(2, 2, 1), y, DIPP_WIDE}));
    ASSERT_NUMBERS(y, 12, 24, 27, 36);
    run(DIPP_OP_GATED_ADD_BACKWARD, NULL,
        ALL(M(1, 1, 2), {DIPP_SHAPE(1, 2, 1), NUMBERS(1, 2), DIPP_WIDE},
            {DIPP_SHAPE(1, 2, 1), NUMBERS(5, 7), DIPP_WIDE}),
        ALL({DIPP_SHAPE(1, 2, 1), dh, DIPP_WIDE}, {DIPP_SHAPE(1, 1), dgate, DIPP_WIDE}));
    ASSERT_NUMBERS(dh, 10, 14);
    ASSERT_NUMBERS(dgate, 19);
}

static void embeddings(void **state)
{
    double y[8];
    hand ids = {DIPP_SHAPE(4), (int32_t[]){1, -1, 2, 1}, DIPP_INT32};
    run(DIPP_OP_EMBEDDING, NULL, ALL(M(2, 2, 1, 2, 3, 4), ids), ALL({DIPP_SHAPE(4, 2), y, DIPP_WIDE}));
    ASSERT_NUMBERS(y, 3, 4, 1, 2, 1, 2, 3, 4);
    run(DIPP_OP_EMBEDDING_BACKWARD, NULL, ALL(ids, M(4, 1, 1, 10, 100, 1000)), ALL({DIPP_SHAPE(3, 1), y, DIPP_WIDE}));
    ASSERT_NUMBERS(y, 10, 1001, 100);
    run(DIPP_OP_EMBEDDING_BACKWARD, &(dipp_attributes){.accumulate = true}, ALL(ids, M(4, 1, 1, 10, 100, 1000)),
        ALL({DIPP_SHAPE(3, 1), y, DIPP_WIDE}));
    ASSERT_NUMBERS(y, 20, 2002, 200);
    double pi = M_PI;
    run(DIPP_OP_SINUSOID, &(dipp_attributes){.alpha = 4}, ALL(V(1, pi)), ALL({DIPP_SHAPE(1, 4), y, DIPP_WIDE}));
    ASSERT_NUMBERS(y, -1, 0, 0, 1); /* frequencies 1 and 1/2 */
    run(DIPP_OP_SINUSOID, &(dipp_attributes){.alpha = 4, .sin_first = true}, ALL(V(1, pi)),
        ALL({DIPP_SHAPE(1, 4), y, DIPP_WIDE}));
    ASSERT_NUMBERS(y, 0, 1, -1, 0);
}

static void random_numbers_have_the_published_bits(void **state)
{
    double y[10];
    int32_t zeros[6] = {0};
    /* Random123's known answer for key and counter 0: the words 6627e8d5 e169c58d bc57ac4c 9b00dbd8 */
    run(DIPP_OP_PHILOX_UNIFORM, NULL, ALL({DIPP_SHAPE(6), zeros, DIPP_INT32}), ALL({DIPP_SHAPE(1, 4), y, DIPP_WIDE}));
    ASSERT_NUMBERS(y, 0x6627e9p-24, 0xe169c5p-24, 0xbc57adp-24, 0x9b00dbp-24);
    double u = (0x6627e8d5p0 + 0.5) * 0x1p-32, angle = 2 * M_PI * 0xe169c58dp-32;
    run(DIPP_OP_PHILOX_NORMAL, NULL, ALL({DIPP_SHAPE(6), zeros, DIPP_INT32}), ALL({DIPP_SHAPE(1, 4), y, DIPP_WIDE}));
    assert_true(fabs(y[0] - sqrt(-2 * log(u)) * cos(angle)) < 1e-6);
    assert_true(fabs(y[1] - sqrt(-2 * log(u)) * sin(angle)) < 1e-6);
    /* rows of the result against the fill of core/base, whose own test holds golden bits */
    int32_t key[6] = {(int32_t)0x89abcdef, 0x01234567, 3, 11, -1, 0};
    float fill[10];
    run(DIPP_OP_PHILOX_NORMAL, NULL, ALL({DIPP_SHAPE(6), key, DIPP_INT32}), ALL({DIPP_SHAPE(2, 5), y, DIPP_WIDE}));
    dipp_philox_normal_fill(fill, 5, 2, 0x0123456789abcdefu, 3, 11, 0xffffffffu);
    for (int i = 0; i < 10; i++)
        assert_true(y[i] == fill[i]);
}

static void training_state(void **state)
{
    double sum[2] = {1, 2}, norm[2];
    run(DIPP_OP_ACCUMULATE, NULL, ALL(V(2, 10, 20)), ALL({DIPP_SHAPE(2), sum, DIPP_WIDE}));
    ASSERT_NUMBERS(sum, 11, 22);
    run(DIPP_OP_GRAD_NORM, NULL, ALL(V(2, 3, -4)), ALL({DIPP_SHAPE(2), norm, DIPP_WIDE}));
    ASSERT_NUMBERS(norm, 5, 1);
    run(DIPP_OP_GRAD_NORM, NULL, ALL(V(2, 3, NAN)), ALL({DIPP_SHAPE(2), norm, DIPP_WIDE}));
    assert_true(norm[1] == 0);
}

/* One parameter in the middle of a block of three. */
typedef struct one_step {
    double norm[2], scalars[DIPP_OPT_SCALARS], p[3], g[3], m[3], v[3], ema[3], copy[3];
} one_step;

static one_step step_start(void)
{
    /* scaled norm 4 * 0.5 = 2 is over the clip 1: g' = 0.5 * (1 / 2) * 2 = 0.5 */
    one_step s = {.norm = {4, 1}, .p = {7, 1, 7}, .g = {2, 2, 2}, .m = {5, 0, 5}, .v = {5, 0, 5}};
    s.scalars[DIPP_OPT_LR] = 0.1;
    s.scalars[DIPP_OPT_BETA1] = 0.9;
    s.scalars[DIPP_OPT_BETA2] = 0.99;
    s.scalars[DIPP_OPT_WEIGHT_DECAY] = 0.1;
    s.scalars[DIPP_OPT_CORRECTION1] = 10;
    s.scalars[DIPP_OPT_CORRECTION2] = 100;
    s.scalars[DIPP_OPT_CLIP] = 1;
    s.scalars[DIPP_OPT_GRAD_SCALE] = 0.5;
    s.scalars[DIPP_OPT_EMA_DECAY] = 0.75;
    return s;
}

static void step_run(one_step *s, int optimizer, bool decay)
{
    run(DIPP_OP_OPTIMIZER_STEP,
        &(dipp_attributes){.start = 1, .count = 1, .decay = decay, .optimizer = (uint8_t)optimizer},
        ALL({DIPP_SHAPE(2), s->norm, DIPP_WIDE}, {DIPP_SHAPE(16), s->scalars, DIPP_WIDE},
            {DIPP_SHAPE(3), s->p, DIPP_WIDE}, {DIPP_SHAPE(3), s->g, DIPP_WIDE}, {DIPP_SHAPE(3), s->m, DIPP_WIDE},
            {DIPP_SHAPE(3), s->v, DIPP_WIDE}, {DIPP_SHAPE(3), s->ema, DIPP_WIDE},
            {DIPP_SHAPE(3), s->copy, DIPP_COMPUTE}),
        0, NULL);
}

static void optimizer_steps_by_hand(void **state)
{
    one_step s = step_start();
    step_run(&s, DIPP_OPTIMIZER_ADAMW, true);
    ASSERT_NUMBERS(s.m, 5, 0.05, 5);
    ASSERT_NUMBERS(s.v, 5, 0.0025, 5);
    ASSERT_NUMBERS(s.p, 7, 0.89, 7); /* 1 - 0.1 (0.5 / sqrt(0.25) + 0.1 * 1) */
    ASSERT_NUMBERS(s.g, 2, 0, 2);
    ASSERT_NUMBERS(s.ema, 0, 0.2225, 0);
    ASSERT_NUMBERS(s.copy, 0, 0.89, 0);
    s = step_start();
    s.scalars[DIPP_OPT_EPSILON] = 0.5; /* 0.5 / (0.5 + 0.5) */
    step_run(&s, DIPP_OPTIMIZER_ADAMW, false);
    ASSERT_NUMBERS(s.p, 7, 0.95, 7);
    s = step_start();
    s.scalars[DIPP_OPT_CLIP] = 0; /* g' = 1 */
    step_run(&s, DIPP_OPTIMIZER_SGD, true);
    ASSERT_NUMBERS(s.p, 7, 0.89, 7); /* 1 - 0.1 (1 + 0.1) */
    ASSERT_NUMBERS(s.m, 5, 0, 5);
    s = step_start();
    s.norm[1] = 0;
    step_run(&s, DIPP_OPTIMIZER_ADAMW, true);
    ASSERT_NUMBERS(s.p, 7, 1, 7);
    ASSERT_NUMBERS(s.m, 5, 0, 5);
    ASSERT_NUMBERS(s.ema, 0, 0, 0);
    ASSERT_NUMBERS(s.g, 2, 0, 2);
}

static int open_oracle(void **state)
{
    return dipp_backend_create("reference", NULL, &oracle, NULL);
}

static int close_oracle(void **state)
{
    dipp_backend_destroy(&oracle);
    return 0;
}

static void convolution_slides_a_kernel(void **state)
{
    /* A 3x3 picture and a 2x2 kernel {1, 10, 100, 1000}: the digits of y say what was read where. */
    double y[9], dx[9], dw[4], db[1];
    hand x = {DIPP_SHAPE(1, 1, 3, 3), NUMBERS(1, 2, 3, 4, 5, 6, 7, 8, 9), DIPP_WIDE};
    hand w = {DIPP_SHAPE(1, 1, 2, 2), NUMBERS(1, 10, 100, 1000), DIPP_WIDE};
    run(DIPP_OP_CONV2D, &(dipp_attributes){.stride = 1}, ALL(x, w, V(1, 0.5)),
        ALL({DIPP_SHAPE(1, 1, 2, 2), y, DIPP_WIDE}));
    ASSERT_NUMBERS(y, 5421.5, 6532.5, 8754.5, 9865.5);
    run(DIPP_OP_CONV2D, &(dipp_attributes){.stride = 2, .pad_after = 1}, ALL(x, w, ABSENT),
        ALL({DIPP_SHAPE(1, 1, 2, 2), y, DIPP_WIDE}));
    ASSERT_NUMBERS(y, 5421, 603, 87, 9);
    run(DIPP_OP_CONV2D, &(dipp_attributes){.stride = 2, .pad_before = 1}, ALL(x, w, ABSENT),
        ALL({DIPP_SHAPE(1, 1, 2, 2), y, DIPP_WIDE}));
    ASSERT_NUMBERS(y, 1000, 3200, 7040, 9865);
    /* two channels to two: y = w x per pixel */
    run(DIPP_OP_CONV2D, &(dipp_attributes){.stride = 1},
        ALL({DIPP_SHAPE(1, 2, 1, 2), NUMBERS(1, 2, 3, 4), DIPP_WIDE},
            {DIPP_SHAPE(2, 2, 1, 1), NUMBERS(1, 10, 100, 1000), DIPP_WIDE}, V(2, 0, 7)),
        ALL({DIPP_SHAPE(1, 2, 1, 2), y, DIPP_WIDE}));
    ASSERT_NUMBERS(y, 31, 42, 3107, 4207);
    /* backward of the stride 2 case padded after: dy {1, 2, 3, 4} goes back where it was read */
    hand dy = {DIPP_SHAPE(1, 1, 2, 2), NUMBERS(1, 2, 3, 4), DIPP_WIDE};
    run(DIPP_OP_CONV2D_BACKWARD_DATA, &(dipp_attributes){.stride = 2, .pad_after = 1}, ALL(w, dy),
        ALL({DIPP_SHAPE(1, 1, 3, 3), dx, DIPP_WIDE}));
    ASSERT_NUMBERS(dx, 1, 10, 2, 100, 1000, 200, 3, 30, 4);
    dw[0] = dw[1] = dw[2] = dw[3] = 0.5;
    run(DIPP_OP_CONV2D_BACKWARD_WEIGHT, &(dipp_attributes){.stride = 2, .pad_after = 1, .accumulate = true}, ALL(x, dy),
        ALL({DIPP_SHAPE(1, 1, 2, 2), dw, DIPP_WIDE}, {DIPP_SHAPE(1), db, DIPP_WIDE}));
    ASSERT_NUMBERS(dw, 1 + 6 + 21 + 36 + 0.5, 2 + 24 + 0.5, 4 + 12 + 0.5, 5 + 0.5);
    ASSERT_NUMBERS(db, 10);
}

static void group_norm_cuts_channels_into_groups(void **state)
{
    /* Two groups of two channels of two places; deviations 1 and 2 with epsilon 0. */
    double y[8], stats[4], dx[8], gain[4], bias[4];
    hand x = {DIPP_SHAPE(1, 4, 2), NUMBERS(1, 3, 1, 3, 6, 10, 10, 6), DIPP_WIDE};
    hand stats_in = {DIPP_SHAPE(1, 2, 2), NUMBERS(2, 1, 8, 0.5), DIPP_WIDE};
    dipp_attributes attributes = {.groups = 2};
    run(DIPP_OP_GROUP_NORM, &attributes, ALL(x, V(4, 1, 2, 3, 4), V(4, 0, 0, 0, 10)),
        ALL({DIPP_SHAPE(1, 4, 2), y, DIPP_WIDE}, {DIPP_SHAPE(1, 2, 2), stats, DIPP_WIDE}));
    ASSERT_NUMBERS(y, -1, 1, -2, 2, -3, 3, 14, 6);
    ASSERT_NUMBERS(stats, 2, 1, 8, 0.5);
    /* dy h = {1, 0, 0, 0} in the first group: mean 1/4, mean of h n -1/4; nothing in the second but a constant */
    run(DIPP_OP_GROUP_NORM_BACKWARD, &attributes,
        ALL(x, V(4, 1, 2, 3, 4), ABSENT, stats_in, {DIPP_SHAPE(1, 4, 2), NUMBERS(1, 0, 0, 0, 4, 4, 3, 3), DIPP_WIDE}),
        ALL({DIPP_SHAPE(1, 4, 2), dx, DIPP_WIDE}, {DIPP_SHAPE(4), gain, DIPP_WIDE}, {DIPP_SHAPE(4), bias, DIPP_WIDE}));
    ASSERT_NUMBERS(dx, 0.5, 0, -0.5, 0, 0, 0, 0, 0);
    ASSERT_NUMBERS(gain, -1, 0, 0, 0);
    ASSERT_NUMBERS(bias, 1, 0, 8, 6);
    /* SiLU at 0 has slope 1/2 and value 0; at ln 3 sigmoid is 3/4 */
    attributes = (dipp_attributes){.groups = 1, .silu = true};
    run(DIPP_OP_GROUP_NORM, &attributes, ALL(M(1, 2, -1, 1), V(2, log(3), log(3)), V(2, log(3), 0)),
        ALL({DIPP_SHAPE(1, 2), y, DIPP_WIDE}, {DIPP_SHAPE(1, 1, 2), stats, DIPP_WIDE}));
    ASSERT_NUMBERS(y, 0, 0.75 * log(3));
    run(DIPP_OP_GROUP_NORM_BACKWARD, &attributes,
        ALL(M(1, 2, -1, 1), V(2, log(3), log(3)), V(2, log(3), 0), {DIPP_SHAPE(1, 1, 2), NUMBERS(0, 1), DIPP_WIDE},
            M(1, 2, 8, 16)),
        ALL({DIPP_SHAPE(1, 2), dx, DIPP_WIDE}, {DIPP_SHAPE(2), gain, DIPP_WIDE}, {DIPP_SHAPE(2), bias, DIPP_WIDE}));
    ASSERT_NUMBERS(bias, 4, 16 * (0.75 + log(3) * 0.75 * 0.25));
    ASSERT_NUMBERS(gain, -4, 16 * (0.75 + log(3) * 0.75 * 0.25));
    ASSERT_NUMBERS(dx, 0, 0); /* two numbers of deviation 1 stay -1 and 1 whatever moves */
}

static void geglu_gates_by_the_second_half(void **state)
{
    double y[2], dx[4];
    hand x = {DIPP_SHAPE(1, 4), NUMBERS(3, -2, 0, 1), DIPP_WIDE};
    const double phi = 0.84134474606854294859, density = 0.24197072451914334980; /* of the normal at 1 */
    run(DIPP_OP_GEGLU, NULL, ALL(x), ALL({DIPP_SHAPE(1, 2), y, DIPP_WIDE}));
    ASSERT_NUMBERS(y, 0, -2 * phi);
    run(DIPP_OP_GEGLU_BACKWARD, NULL, ALL(x, M(1, 2, 1, 10)), ALL({DIPP_SHAPE(1, 4), dx, DIPP_WIDE}));
    ASSERT_NUMBERS(dx, 0, 10 * phi, 1.5, -20 * (phi + density));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(copies_put_elements_where_they_belong),
        cmocka_unit_test(arithmetic_broadcasts),
        cmocka_unit_test(functions_of_one_number),
        cmocka_unit_test(activation_slopes),
        cmocka_unit_test(sums_over_every_set_of_axes),
        cmocka_unit_test(matrix_products),
        cmocka_unit_test(linear_and_its_weight_gradient),
        cmocka_unit_test(inverses),
        cmocka_unit_test(softmax_of_logarithms),
        cmocka_unit_test(attention_by_hand),
        cmocka_unit_test(layer_norm_by_hand),
        cmocka_unit_test(gated_residual),
        cmocka_unit_test(embeddings),
        cmocka_unit_test(random_numbers_have_the_published_bits),
        cmocka_unit_test(training_state),
        cmocka_unit_test(optimizer_steps_by_hand),
        cmocka_unit_test(convolution_slides_a_kernel),
        cmocka_unit_test(group_norm_cuts_channels_into_groups),
        cmocka_unit_test(geglu_gates_by_the_second_half),
    };
    return cmocka_run_group_tests(tests, open_oracle, close_oracle);
}
