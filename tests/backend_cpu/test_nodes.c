/* Nodes with shapes that the cpu back-end treats specially (long rows, many rows, split sums, padded tiles), compared
 * with the reference back-end in f64. The op suite in tests/tensor covers every op on small and nasty shapes; here are
 * the sizes that start threads, fill chunks and leave remainders. Each case runs in f32 and, where the CPU can, bf16. */
#include "tensor/backend.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

typedef struct node_case {
    dipp_node_view view;
    dipp_attributes attributes;
    double low, high; /* of inputs */
    bool in_place;    /* outputs start with numbers: accumulate */
    int32_t largest_id;
} node_case;

typedef struct runner {
    dipp_backend *tested, *oracle;
    double tolerance; /* relative to the largest magnitude of an output, when it is wide */
    double compute_tolerance;
} runner;

static uint64_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

static double bf16_rounded(double x)
{
    float value = (float)x;
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    bits &= 0xffff0000u;
    memcpy(&value, &bits, sizeof bits);
    return (double)value;
}

static int64_t elements(const dipp_shape *shape)
{
    int64_t count = 1;
    for (uint32_t i = 0; i < shape->rank; i++)
        count *= shape->dims[i];
    return count;
}

/* Uploads numbers[i] for every operand, runs the node, downloads what it has into results[i]. */
static void run_on(dipp_backend *backend, node_case *c, double **numbers, double **results)
{
    void *args[DIPP_MAX_INPUTS + DIPP_MAX_OUTPUTS + 1] = {0};
    dipp_error error;
    dipp_kernel kernel;
    c->view.attributes = &c->attributes;
    uint32_t count = c->view.input_count + c->view.output_count;
    for (uint32_t i = 0; i < count; i++) {
        bool input = i < c->view.input_count;
        dipp_operand *operand = input ? &c->view.inputs[i] : &c->view.outputs[i - c->view.input_count];
        if (!operand->present)
            continue;
        size_t n = (size_t)elements(&operand->shape);
        args[i] = backend->allocate(backend, n * backend->element_size[operand->dtype]);
        assert_non_null(args[i]);
        if (input || c->in_place)
            backend->upload(backend, args[i], operand->dtype, numbers[i], DIPP_HOST_F64, n);
    }
    if (backend->prepare(backend, &c->view, &kernel, &error) != DIPP_OK)
        fail_msg("%s", error.message);
    args[count] = kernel.scratch_bytes ? backend->allocate(backend, kernel.scratch_bytes) : NULL;
    if (kernel.scratch_bytes)
        memset(args[count], 0xff, kernel.scratch_bytes);
    if (backend->begin)
        backend->begin(backend);
    kernel.run(kernel.state, args);
    if (backend->end)
        backend->end(backend);
    for (uint32_t i = 0; i < count; i++) {
        dipp_operand *operand =
            i < c->view.input_count ? &c->view.inputs[i] : &c->view.outputs[i - c->view.input_count];
        if (operand->present)
            backend->download(backend, results[i], DIPP_HOST_F64, args[i], operand->dtype,
                              (size_t)elements(&operand->shape));
    }
    if (kernel.destroy)
        kernel.destroy(kernel.state);
    for (uint32_t i = 0; i <= count; i++)
        if (args[i])
            backend->release(backend, args[i]);
}

static void compare(runner *r, const char *name, node_case c)
{
    double *numbers[DIPP_MAX_INPUTS + DIPP_MAX_OUTPUTS] = {0}, *got[DIPP_MAX_INPUTS + DIPP_MAX_OUTPUTS] = {0};
    double *expected[DIPP_MAX_INPUTS + DIPP_MAX_OUTPUTS] = {0};
    uint64_t random = 12345;
    uint32_t count = c.view.input_count + c.view.output_count;
    for (uint32_t i = 0; i < count; i++) {
        dipp_operand *operand = i < c.view.input_count ? &c.view.inputs[i] : &c.view.outputs[i - c.view.input_count];
        size_t n = (size_t)elements(&operand->shape);
        numbers[i] = calloc(n + 1, sizeof(double));
        got[i] = calloc(n + 1, sizeof(double));
        expected[i] = calloc(n + 1, sizeof(double));
        for (size_t k = 0; k < n; k++) {
            double unit = (double)next_random(&random) / 2147483648.0;
            numbers[i][k] = operand->dtype == DIPP_INT32 ? floor(unit * (c.largest_id + 2)) - 1
                                                         : bf16_rounded(c.low + (c.high - c.low) * unit);
        }
    }
    /* Saved forward results must belong to the inputs: made by the oracle. */
    if (c.view.op == DIPP_OP_ATTENTION_BACKWARD || c.view.op == DIPP_OP_LAYER_NORM_BACKWARD) {
        bool attention = c.view.op == DIPP_OP_ATTENTION_BACKWARD;
        node_case forward = c;
        forward.view.op = attention ? DIPP_OP_ATTENTION : DIPP_OP_LAYER_NORM;
        double *in[DIPP_MAX_INPUTS + DIPP_MAX_OUTPUTS] = {0}, *out[DIPP_MAX_INPUTS + DIPP_MAX_OUTPUTS] = {0};
        uint32_t inputs = attention ? 4 : 3;
        double *waste[4];
        for (uint32_t i = 0; i < inputs; i++) {
            in[i] = numbers[i];
            out[i] = waste[i] = calloc((size_t)elements(&c.view.inputs[0].shape) * 8 + 4096, sizeof(double));
        }
        forward.view.input_count = inputs;
        forward.view.output_count = 2;
        if (attention) {
            forward.view.outputs[0] = c.view.inputs[4], forward.view.outputs[1] = c.view.inputs[5];
            out[4] = numbers[4], out[5] = numbers[5];
        } else {
            double *zeros = calloc((size_t)elements(&c.view.inputs[0].shape), sizeof(double));
            forward.view.inputs[2] = forward.view.inputs[1];
            forward.view.outputs[0] = c.view.inputs[3], forward.view.outputs[1] = c.view.inputs[2];
            in[2] = zeros;
            double *y = calloc((size_t)elements(&c.view.inputs[0].shape), sizeof(double));
            out[3] = y, out[4] = numbers[2];
            run_on(r->oracle, &forward, in, out);
            free(zeros);
            free(y);
        }
        if (attention)
            run_on(r->oracle, &forward, in, out);
        for (uint32_t i = 0; i < inputs; i++)
            free(waste[i]);
    }
    run_on(r->oracle, &c, numbers, expected);
    run_on(r->tested, &c, numbers, got);
    for (uint32_t i = 0; i < count; i++) {
        dipp_operand *operand = i < c.view.input_count ? &c.view.inputs[i] : &c.view.outputs[i - c.view.input_count];
        size_t n = operand->present ? (size_t)elements(&operand->shape) : 0;
        double largest = 0, worst = 0;
        size_t at = 0;
        for (size_t k = 0; k < n; k++)
            largest = fmax(largest, fabs(expected[i][k]));
        for (size_t k = 0; k < n; k++) {
            double difference = fabs(got[i][k] - expected[i][k]);
            if (!(difference <= worst))
                worst = difference, at = k;
        }
        double tolerance = (operand->dtype == DIPP_COMPUTE ? r->compute_tolerance : r->tolerance) * (largest + 1e-3);
        if (!(worst <= tolerance))
            fail_msg("%s (%s), operand %u element %zu: %.9g, expected %.9g, allowed difference %.3g", name,
                     r->tested->precision, i, at, got[i][at], expected[i][at], tolerance);
        free(numbers[i]);
        free(got[i]);
        free(expected[i]);
    }
}

#define C(...)      ((dipp_operand){true, DIPP_COMPUTE, DIPP_SHAPE(__VA_ARGS__)})
#define W(...)      ((dipp_operand){true, DIPP_WIDE, DIPP_SHAPE(__VA_ARGS__)})
#define IDS(...)    ((dipp_operand){true, DIPP_INT32, DIPP_SHAPE(__VA_ARGS__)})
#define ABSENT      ((dipp_operand){0})
#define INPUTS(...) .input_count = sizeof((dipp_operand[]){__VA_ARGS__}) / sizeof(dipp_operand), .inputs = {__VA_ARGS__}
#define OUTPUTS(...) \
    .output_count = sizeof((dipp_operand[]){__VA_ARGS__}) / sizeof(dipp_operand), .outputs = {__VA_ARGS__}
#define CASE(OP, in, out, ...) \
    compare(r, #OP,            \
            (node_case){.view = {.op = DIPP_OP_##OP, in, out}, .attributes = {__VA_ARGS__}, .low = -2, .high = 2})

static void elementwise(runner *r)
{
    CASE(ADD, INPUTS(C(64, 70, 33), C(64, 70, 33)), OUTPUTS(C(64, 70, 33)), );
    CASE(MUL, INPUTS(C(64, 70, 33), C(33)), OUTPUTS(C(64, 70, 33)), );
    CASE(SUB, INPUTS(W(7, 1, 1, 1), W(7, 3, 40, 40)), OUTPUTS(W(7, 3, 40, 40)), );
    CASE(MAXIMUM, INPUTS(W(5, 1, 2500), W(1, 3, 1)), OUTPUTS(W(5, 3, 2500)), );
    CASE(WHERE, INPUTS(W(3, 1), C(3, 5000), C(1)), OUTPUTS(C(3, 5000)), );
    CASE(BROADCAST, INPUTS(C(4, 1, 9)), OUTPUTS(C(4, 600, 9)), );
    CASE(CAST, INPUTS(C(4, 601, 9)), OUTPUTS(W(4, 601, 9)), );
    CASE(CAST, INPUTS(W(4, 601, 9)), OUTPUTS(C(4, 601, 9)), );
    CASE(SCALE_ADD, INPUTS(W(30001)), OUTPUTS(W(30001)), .alpha = 0.5, .beta = -3);
    static const dipp_op unary[] = {DIPP_OP_EXP,      DIPP_OP_ABS,       DIPP_OP_SIGN,       DIPP_OP_SIN,
                                    DIPP_OP_COS,      DIPP_OP_TANH,      DIPP_OP_SIGMOID,    DIPP_OP_SILU,
                                    DIPP_OP_GELU_ERF, DIPP_OP_GELU_TANH, DIPP_OP_QUICK_GELU, DIPP_OP_ROUND};
    static const dipp_op binary[] = {DIPP_OP_SILU_BACKWARD,       DIPP_OP_GELU_ERF_BACKWARD, DIPP_OP_GELU_TANH_BACKWARD,
                                     DIPP_OP_QUICK_GELU_BACKWARD, DIPP_OP_MINIMUM,           DIPP_OP_GREATER};
    for (size_t i = 0; i < sizeof unary / sizeof *unary; i++)
        compare(r, "unary",
                (node_case){.view = {.op = unary[i], INPUTS(C(20003)), OUTPUTS(C(20003))}, .low = -9, .high = 9});
    for (size_t i = 0; i < sizeof binary / sizeof *binary; i++)
        compare(r, "binary",
                (node_case){
                    .view = {.op = binary[i], INPUTS(W(20003), W(20003)), OUTPUTS(W(20003))}, .low = -7, .high = 7});
    compare(r, "log",
            (node_case){.view = {.op = DIPP_OP_LOG, INPUTS(W(2003)), OUTPUTS(W(2003))}, .low = 1e-3, .high = 9});
    compare(r, "sqrt",
            (node_case){.view = {.op = DIPP_OP_SQRT, INPUTS(W(2003)), OUTPUTS(W(2003))}, .low = 0, .high = 9});
    compare(r, "div",
            (node_case){.view = {.op = DIPP_OP_DIV, INPUTS(W(2003), W(1)), OUTPUTS(W(2003))}, .low = 1, .high = 9});
    compare(r, "accumulate",
            (node_case){.view = {.op = DIPP_OP_ACCUMULATE, INPUTS(C(40, 500)), OUTPUTS(W(40, 500))},
                        .low = -1,
                        .high = 1,
                        .in_place = true});
}

/* NaN of either sign stays NaN through every elementary function, in whole vectors and in the rest of a row, and its
 * neighbours are as without it; where a function has limits, infinities reach them. */
static void special_numbers(runner *r)
{
    enum { COUNT = 37 };
    static const dipp_op ops[] = {DIPP_OP_EXP,
                                  DIPP_OP_TANH,
                                  DIPP_OP_SIGMOID,
                                  DIPP_OP_SILU,
                                  DIPP_OP_GELU_ERF,
                                  DIPP_OP_GELU_TANH,
                                  DIPP_OP_QUICK_GELU,
                                  DIPP_OP_SILU_BACKWARD,
                                  DIPP_OP_GELU_ERF_BACKWARD,
                                  DIPP_OP_GELU_TANH_BACKWARD,
                                  DIPP_OP_QUICK_GELU_BACKWARD,
                                  DIPP_OP_SOFTMAX};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        bool binary = ops[i] >= DIPP_OP_SILU_BACKWARD && ops[i] <= DIPP_OP_QUICK_GELU_BACKWARD;
        bool softmax = ops[i] == DIPP_OP_SOFTMAX; /* rows of one number: a NaN spoils its own row alone */
        dipp_operand x = softmax ? W(COUNT, 1) : W(COUNT);
        node_case c = {.view = {.op = ops[i], INPUTS(x, x), OUTPUTS(x)}};
        c.view.input_count = binary ? 2 : 1;
        double numbers[COUNT], ones[COUNT], waste[2][COUNT], y[COUNT];
        for (int k = 0; k < COUNT; k++) {
            numbers[k] = k % 5 == 0 ? NAN : k % 5 == 1 ? -NAN : 0.25 * k - 4;
            ones[k] = 1;
        }
        run_on(r->tested, &c, (double *[]){numbers, ones},
               binary ? (double *[]){waste[0], waste[1], y} : (double *[]){waste[0], y});
        for (int k = 0; k < COUNT; k++)
            if (!isnan(y[k]) != (k % 5 > 1))
                fail_msg("%s of %g is %g", dipp_op_infos[ops[i]].name, numbers[k], y[k]);
    }
    static const struct {
        dipp_op op;
        double x, y;
    } limits[] = {{DIPP_OP_TANH, INFINITY, 1},     {DIPP_OP_TANH, -INFINITY, -1}, {DIPP_OP_SIGMOID, INFINITY, 1},
                  {DIPP_OP_SIGMOID, -INFINITY, 0}, {DIPP_OP_SIGMOID, -1e30, 0},   {DIPP_OP_TANH, 1e30, 1},
                  {DIPP_OP_GELU_TANH, 1e30, 1e30}, {DIPP_OP_EXP, -INFINITY, 0},   {DIPP_OP_SILU, 1e30, 1e30}};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        node_case c = {.view = {.op = limits[i].op, INPUTS(W(1)), OUTPUTS(W(1))}};
        double x = limits[i].x, waste, y;
        run_on(r->tested, &c, (double *[]){&x}, (double *[]){&waste, &y});
        if (!(fabs(y - limits[i].y) <= 1e-6 * fabs(limits[i].y) + 1e-25))
            fail_msg("%s of %g is %.9g", dipp_op_infos[limits[i].op].name, x, y);
    }
}

static void movement(runner *r)
{
    CASE(PERMUTE, INPUTS(C(16, 3, 16, 2, 16, 2)), OUTPUTS(C(16, 16, 16, 3, 2, 2)), .permutation = {0, 2, 4, 1, 3, 5});
    CASE(PERMUTE, INPUTS(C(300, 200)), OUTPUTS(C(200, 300)), .permutation = {1, 0});
    CASE(PERMUTE, INPUTS(W(8, 64, 5, 32)), OUTPUTS(W(8, 5, 64, 32)), .permutation = {0, 2, 1, 3});
    CASE(PERMUTE, INPUTS(W(3, 3, 3)), OUTPUTS(W(3, 3, 3)), .permutation = {2, 1, 0});
    CASE(CONCAT, INPUTS(C(50, 3, 100), C(50, 5, 100), C(50, 1, 100)), OUTPUTS(C(50, 9, 100)), .axis = 1);
    CASE(SLICE, INPUTS(C(50, 90, 10)), OUTPUTS(C(50, 40, 10)), .axis = 1, .start = 13);
    CASE(PAD, INPUTS(C(50, 40, 10)), OUTPUTS(C(50, 90, 10)), .axis = 1, .start = 13);
}

static void sums(runner *r)
{
    CASE(SUM, INPUTS(C(64, 3, 32, 32)), OUTPUTS(W(1)), .axes_mask = 15);
    CASE(SUM, INPUTS(C(64, 3, 32, 32)), OUTPUTS(W(64)), .axes_mask = 14);
    CASE(SUM, INPUTS(C(2, 3, 5000)), OUTPUTS(W(2)), .axes_mask = 6);
    CASE(SUM, INPUTS(C(4000, 161)), OUTPUTS(W(161)), .axes_mask = 1);
    CASE(SUM, INPUTS(C(12, 70, 161)), OUTPUTS(W(12, 161)), .axes_mask = 2);
    CASE(SUM, INPUTS(W(12, 7, 10, 9)), OUTPUTS(W(7, 9)), .axes_mask = 5);
    CASE(SUM, INPUTS(W(12, 7, 10, 9)), OUTPUTS(W(12, 10)), .axes_mask = 10);
    CASE(SUM, INPUTS(W(5, 1)), OUTPUTS(W(5)), .axes_mask = 2);
    CASE(SOFTMAX, INPUTS(C(500, 77)), OUTPUTS(C(500, 77)), );
    CASE(SOFTMAX_BACKWARD, INPUTS(W(500, 77), W(500, 77)), OUTPUTS(W(500, 77)), );
}

static void products(runner *r)
{
    CASE(LINEAR, INPUTS(C(12, 64, 40), C(56, 40), C(56)), OUTPUTS(C(12, 64, 56)), );
    CASE(LINEAR, INPUTS(C(20, 64, 40), C(56, 40), C(56)), OUTPUTS(C(20, 64, 56)), ); /* packs the weight */
    CASE(LINEAR, INPUTS(C(7, 33), C(5, 33), ABSENT), OUTPUTS(W(7, 5)), );
    CASE(LINEAR, INPUTS(C(7, 33), C(5, 33), W(5)), OUTPUTS(W(7, 5)), );
    CASE(LINEAR_BACKWARD_WEIGHT, INPUTS(C(12, 64, 40), C(12, 64, 56)), OUTPUTS(W(56, 40)), );
    CASE(LINEAR_BACKWARD_WEIGHT, INPUTS(C(12, 64, 40), W(12, 64, 56)), OUTPUTS(W(56, 40)), );
    /* Results of odd sizes, wide and narrow. */
    CASE(LINEAR_BACKWARD_WEIGHT, INPUTS(C(5, 64, 96), C(5, 64, 128)), OUTPUTS(W(128, 96)), );
    CASE(LINEAR_BACKWARD_WEIGHT, INPUTS(C(333, 161), C(333, 77)), OUTPUTS(W(77, 161)), );
    CASE(LINEAR_BACKWARD_WEIGHT, INPUTS(C(333, 50), C(333, 131)), OUTPUTS(W(131, 50)), .accumulate = false);
    CASE(LINEAR_BACKWARD_WEIGHT, INPUTS(C(150, 7), C(150, 700)), OUTPUTS(W(700, 7)), );
    compare(r, "backward weight, accumulating, mixed types",
            (node_case){
                .view = {.op = DIPP_OP_LINEAR_BACKWARD_WEIGHT, INPUTS(C(1000, 200), W(1000, 72)), OUTPUTS(W(72, 200))},
                .attributes = {.accumulate = true},
                .low = -1,
                .high = 1,
                .in_place = true});
    compare(r, "backward weight, accumulating",
            (node_case){
                .view = {.op = DIPP_OP_LINEAR_BACKWARD_WEIGHT, INPUTS(C(1000, 40), C(1000, 24)), OUTPUTS(W(24, 40))},
                .attributes = {.accumulate = true},
                .low = -1,
                .high = 1,
                .in_place = true});
    CASE(MATMUL, INPUTS(C(3, 50, 20), C(3, 20, 30)), OUTPUTS(C(3, 50, 30)), );
    CASE(MATMUL, INPUTS(C(3, 20, 50), C(3, 30, 20)), OUTPUTS(W(3, 50, 30)), .transpose_a = true, .transpose_b = true);
    CASE(MATMUL, INPUTS(W(3, 20, 50), W(30, 20)), OUTPUTS(W(3, 50, 30)), .transpose_a = true, .transpose_b = true);
    CASE(MATMUL, INPUTS(C(3, 5, 20), C(20, 30)), OUTPUTS(C(3, 5, 30)), );
    CASE(INVERSE, INPUTS(W(3, 7, 7)), OUTPUTS(W(3, 7, 7)), );
}

static void attention_case(runner *r, int64_t batch, int64_t queries, int64_t keys, int64_t width, uint32_t heads,
                           bool bias, bool causal)
{
    dipp_operand q = C(batch, queries, width), k = C(batch, keys, width);
    dipp_operand key_bias = bias ? W(batch, keys) : ABSENT, lse = W(batch, heads, queries);
    dipp_attributes attributes = {.heads = heads, .alpha = 0.7, .causal = causal};
    compare(r, "attention",
            (node_case){.view = {.op = DIPP_OP_ATTENTION, INPUTS(q, k, k, key_bias), OUTPUTS(q, lse)},
                        .attributes = attributes,
                        .low = -1,
                        .high = 1});
    compare(
        r, "attention backward",
        (node_case){.view = {.op = DIPP_OP_ATTENTION_BACKWARD, INPUTS(q, k, k, key_bias, q, lse, q), OUTPUTS(q, k, k)},
                    .attributes = attributes,
                    .low = -1,
                    .high = 1});
}

static void attentions(runner *r)
{
    attention_case(r, 2, 64, 64, 64, 2, false, false);
    attention_case(r, 3, 64, 13, 160, 5, true, false);
    attention_case(r, 2, 130, 77, 48, 2, false, false);
    attention_case(r, 2, 100, 100, 72, 1, true, true);
    attention_case(r, 1, 5, 5, 6, 2, false, true);
    attention_case(r, 1, 70, 300, 80, 1, true, false);
}

static void norms(runner *r)
{
    CASE(LAYER_NORM, INPUTS(C(20, 64, 160), C(20, 160), C(20, 160)), OUTPUTS(C(20, 64, 160), W(20 * 64, 2)),
         .alpha = 1e-5, .plus_one = true);
    CASE(LAYER_NORM, INPUTS(W(300, 77), W(77), W(77)), OUTPUTS(C(300, 77), W(300, 2)), .alpha = 1e-5);
    CASE(LAYER_NORM, INPUTS(C(300, 77), ABSENT, ABSENT), OUTPUTS(C(300, 77), W(300, 2)), .alpha = 1e-5);
    CASE(LAYER_NORM_BACKWARD, INPUTS(C(20, 64, 160), C(20, 160), W(20 * 64, 2), C(20, 64, 160)),
         OUTPUTS(C(20, 64, 160), W(20, 160), W(20, 160)), .alpha = 1e-5, .plus_one = true);
    CASE(LAYER_NORM_BACKWARD, INPUTS(W(1000, 77), W(77), W(1000, 2), C(1000, 77)), OUTPUTS(W(1000, 77), W(77), W(77)),
         .alpha = 1e-5);
    CASE(GATED_ADD, INPUTS(W(20, 64, 48), C(20, 48), C(20, 64, 48)), OUTPUTS(W(20, 64, 48)), );
    CASE(GATED_ADD_BACKWARD, INPUTS(C(20, 48), C(20, 64, 48), W(20, 64, 48)), OUTPUTS(C(20, 64, 48), W(20, 48)), );
}

static void lookups(runner *r)
{
    compare(r, "embedding",
            (node_case){.view = {.op = DIPP_OP_EMBEDDING, INPUTS(C(50, 40), IDS(30, 17)), OUTPUTS(C(30, 17, 40))},
                        .low = -1,
                        .high = 1,
                        .largest_id = 50});
    compare(
        r, "embedding backward",
        (node_case){.view = {.op = DIPP_OP_EMBEDDING_BACKWARD, INPUTS(IDS(30, 17), C(30, 17, 40)), OUTPUTS(W(50, 40))},
                    .attributes = {.accumulate = true},
                    .low = -1,
                    .high = 1,
                    .largest_id = 50,
                    .in_place = true});
    compare(r, "sinusoid",
            (node_case){.view = {.op = DIPP_OP_SINUSOID, INPUTS(W(33)), OUTPUTS(W(33, 128))},
                        .attributes = {.alpha = 10000},
                        .low = 0,
                        .high = 1000});
    CASE(PHILOX_NORMAL, INPUTS(IDS(6)), OUTPUTS(W(9, 3001)), );
    CASE(PHILOX_UNIFORM, INPUTS(IDS(6)), OUTPUTS(W(9, 3001)), );
}

static void training(runner *r)
{
    CASE(GRAD_NORM, INPUTS(W(30001)), OUTPUTS(W(2)), );
    for (int sgd = 0; sgd < 2; sgd++)
        compare(r, "optimizer",
                (node_case){.view = {.op = DIPP_OP_OPTIMIZER_STEP,
                                     INPUTS(W(2), W(DIPP_OPT_SCALARS), W(30001), W(30001), W(30001), W(30001), W(30001),
                                            C(30001))},
                            .attributes = {.start = 256,
                                           .count = 29000,
                                           .decay = true,
                                           .optimizer = (uint8_t)(sgd ? DIPP_OPTIMIZER_SGD : DIPP_OPTIMIZER_ADAMW)},
                            .low = 0.1,
                            .high = 0.9});
}

static void run_all(const char *precision)
{
    runner r = {.tolerance = 2e-6, .compute_tolerance = strcmp(precision, "bf16") ? 2e-6 : 1.0 / 128};
    dipp_error error;
    dipp_status status = dipp_backend_create(
        "cpu",
        &(dipp_backend_options){.struct_size = sizeof(dipp_backend_options), .threads = 2, .precision = precision},
        &r.tested, &error);
    if (status == DIPP_E_UNSUPPORTED) {
        print_message("skipped: %s\n", error.message);
        skip();
    }
    assert_int_equal(status, DIPP_OK);
    assert_int_equal(dipp_backend_create("reference", NULL, &r.oracle, &error), DIPP_OK);
    elementwise(&r);
    special_numbers(&r);
    movement(&r);
    sums(&r);
    products(&r);
    attentions(&r);
    norms(&r);
    lookups(&r);
    training(&r);
    dipp_backend_destroy(&r.tested);
    dipp_backend_destroy(&r.oracle);
}

static void test_f32(void **state)
{
    run_all("f32");
}

static void test_bf16(void **state)
{
    run_all("bf16");
}

static void test_refuses_unknown_precision(void **state)
{
    dipp_backend *backend = NULL;
    dipp_error error;
    dipp_backend_options options = {.struct_size = sizeof options, .precision = "f16"};
    assert_int_equal(dipp_backend_create("cpu", &options, &backend, &error), DIPP_E_UNSUPPORTED);
    assert_non_null(strstr(error.message, "f16"));
    assert_null(backend);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_f32), cmocka_unit_test(test_bf16),
                                       cmocka_unit_test(test_refuses_unknown_precision)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
