/* The judge of a case. The tolerance of a number is the sum of
 *   - a part of its own magnitude: what one rounding to the output's dtype and a few in the middle cost;
 *   - how much the oracle's number moves when its inputs are rounded once more (root mean square of some such
 *     roundings), times a factor that grows as the square root of the longest sum: so every op and every shape gets the
 *     room that its own conditioning asks for, and no more;
 *   - for activations, the rounding of x itself, since x Phi(x) may cancel. */
#include "op_check.h"
#include "packed_check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RESULTS = DIPP_MAX_INPUTS + DIPP_MAX_OUTPUTS, ROUNDINGS = 4 };

typedef struct precision_limits {
    double rounding[2], relative[2]; /* by dtype: half a unit in the last place; the first part of the tolerance */
} precision_limits;

static precision_limits limits_of(const dipp_backend *backend)
{
    if (!strcmp(backend->precision, "f64"))
        return (precision_limits){{0x1p-53, 0x1p-53}, {1e-13, 1e-13}};
    if (!strcmp(backend->precision, "bf16"))
        return (precision_limits){{0x1p-9, 0x1p-24}, {1.5e-2, 1e-5}};
    return (precision_limits){{0x1p-24, 0x1p-24}, {1e-5, 1e-5}};
}

/* What the ops write: in-place inputs at their index, outputs after DIPP_MAX_INPUTS. NULL elsewhere. */
typedef struct result_set {
    double *numbers[RESULTS];
} result_set;

static const dipp_operand *result_operand(const op_case *c, uint32_t k)
{
    if (k < DIPP_MAX_INPUTS)
        return c->in_place >> k & 1 && c->inputs[k] ? &c->view.inputs[k] : NULL;
    k -= DIPP_MAX_INPUTS;
    return k < c->view.output_count && c->view.outputs[k].present ? &c->view.outputs[k] : NULL;
}

static uint32_t result_argument(const op_case *c, uint32_t k)
{
    return k < DIPP_MAX_INPUTS ? k : c->view.input_count + k - DIPP_MAX_INPUTS;
}

static void result_free(result_set *set)
{
    for (uint32_t k = 0; k < RESULTS; k++)
        free(set->numbers[k]);
    *set = (result_set){0};
}

static void *new_numbers(int64_t count)
{
    void *numbers = calloc((size_t)count + 1, sizeof(double));
    if (!numbers)
        exit(2);
    return numbers;
}

static bool rounds_inside(const dipp_backend *backend, dipp_op op)
{
    return !strcmp(backend->precision, "bf16") && (op == DIPP_OP_ATTENTION || op == DIPP_OP_ATTENTION_BACKWARD);
}

/* A number in [-1, 1] from a counter. */
static double noise(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (double)(int64_t)*state * 0x1p-63;
}

/* The oracle on the numbers that the back-end holds. seed != 0: with every float input rounded once more. */
static result_set expect(dipp_backend *backend, dipp_backend *oracle, const op_case *c, double *const *held,
                         uint64_t seed)
{
    const precision_limits limits = limits_of(backend);
    void *inputs[DIPP_MAX_INPUTS] = {0}, *outputs[DIPP_MAX_OUTPUTS] = {0};
    result_set set = {0};
    for (uint32_t k = 0; k < c->view.input_count; k++) {
        const dipp_operand *operand = &c->view.inputs[k];
        if (!operand->present)
            continue;
        int64_t count = op_elements(operand);
        double *numbers = inputs[k] = new_numbers(count);
        bool steady = c->view.op == DIPP_OP_OPTIMIZER_STEP && k < 2; /* scalars are given, not computed */
        double size = limits.rounding[DIPP_WIDE];
        if (operand->dtype == DIPP_COMPUTE && rounds_inside(backend, c->view.op))
            size = limits.rounding[DIPP_COMPUTE];
        for (int64_t i = 0; i < count; i++) {
            if (operand->dtype == DIPP_INT32)
                ((int32_t *)inputs[k])[i] = (int32_t)held[k][i];
            else
                numbers[i] = held[k][i] * (seed && !steady ? 1 + size * noise(&seed) : 1);
        }
        if (c->in_place >> k & 1)
            set.numbers[k] = numbers;
    }
    for (uint32_t k = 0; k < c->view.output_count; k++)
        if (c->view.outputs[k].present) {
            int64_t count = op_elements(&c->view.outputs[k]);
            outputs[k] = set.numbers[DIPP_MAX_INPUTS + k] = new_numbers(count);
            if (c->outputs[k])
                memcpy(outputs[k], c->outputs[k], (size_t)count * sizeof(double));
        }
    op_run_oracle(oracle, &c->view, inputs, outputs);
    for (uint32_t k = 0; k < c->view.input_count; k++)
        if (!set.numbers[k])
            free(inputs[k]);
    return set;
}

/* Root mean square movement of result k under the roundings, per element, at least the mean of its row: so few roundings
 * tell too little about one number. */
static double *movement(const op_case *c, const result_set *want, const result_set *moved, uint32_t k)
{
    const dipp_operand *operand = result_operand(c, k);
    int64_t count = op_elements(operand);
    int64_t width = operand->shape.rank ? operand->shape.dims[operand->shape.rank - 1] : 1;
    double *out = new_numbers(count);
    for (int64_t row = 0; row < count; row += width) {
        double mean = 0;
        for (int64_t i = row; i < row + width; i++) {
            for (int r = 0; r < ROUNDINGS; r++) {
                double step = moved[r].numbers[k][i] - want->numbers[k][i];
                out[i] += isfinite(step) ? step * step / ROUNDINGS : 0;
            }
            out[i] = sqrt(out[i]);
            mean += out[i] / (double)width;
        }
        for (int64_t i = row; i < row + width; i++)
            out[i] = fmax(out[i], mean);
    }
    return out;
}

/* The rounding of x that an activation cannot avoid, in units of the number rounding. */
static double activation_room(const op_case *c, double *const *held, int64_t i)
{
    dipp_op op = c->view.op;
    if (op >= DIPP_OP_SILU && op <= DIPP_OP_QUICK_GELU)
        return 8 * fabs(held[0][i]);
    if (op >= DIPP_OP_SILU_BACKWARD && op <= DIPP_OP_QUICK_GELU_BACKWARD)
        return 8 * (1 + fabs(held[0][i])) * fabs(held[1][i]);
    return 0;
}

static void fail(op_report *report, const op_case *c, const char *format, ...) DIPP_PRINTF(3, 4);
static void fail(op_report *report, const op_case *c, const char *format, ...)
{
    if (report->failures++)
        return;
    int used = snprintf(report->failure, sizeof report->failure, "%s: ", c->label + (c->label[0] == ' '));
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(report->failure + used, sizeof report->failure - (size_t)used, format, arguments);
    va_end(arguments);
}

/* What the device holds for argument k, as numbers. */
static double *read_back(dipp_backend *backend, const op_placement *place, const dipp_operand *operand, uint32_t k)
{
    double *numbers = new_numbers(op_elements(operand));
    backend->download(backend, numbers, DIPP_HOST_F64, place->args[k], operand->dtype, (size_t)op_elements(operand));
    return numbers;
}

/* What the oracle's numbers become in the output's dtype. */
static void round_as(dipp_backend *backend, double *numbers, const dipp_operand *operand)
{
    size_t count = (size_t)op_elements(operand);
    void *device = backend->allocate(backend, count * backend->element_size[operand->dtype]);
    backend->upload(backend, device, operand->dtype, numbers, DIPP_HOST_F64, count);
    backend->download(backend, numbers, DIPP_HOST_F64, device, operand->dtype, count);
    backend->release(backend, device);
}

static void judge(dipp_backend *backend, const op_case *c, double *const *held, const result_set *want,
                  const result_set *moved, uint32_t k, const double *got, op_report *report)
{
    const precision_limits limits = limits_of(backend);
    const dipp_operand *operand = result_operand(c, k);
    int64_t count = op_elements(operand), not_finite = 0;
    if (op_is_packed_result(c, k)) {
        char failure[256];
        if (!op_judge_packed(c, k, held[k], want->numbers[k], got, failure, sizeof failure))
            fail(report, c, "%s", failure);
        return;
    }
    double factor = c->slack * (rounds_inside(backend, c->view.op) ? 8 : 8 + 4 * sqrt((double)c->terms));
    double *step = movement(c, want, moved, k), *expected = new_numbers(count);
    memcpy(expected, want->numbers[k], (size_t)count * sizeof *expected);
    if (c->rule == OP_EXACT)
        round_as(backend, expected, operand);
    for (int64_t i = 0; i < count; i++) {
        not_finite += !isfinite(got[i]);
        if (c->rule == OP_FINITE && !isfinite(got[i])) {
            fail(report, c, "result %u element %lld is %g, must be finite", k, (long long)i, got[i]);
            break;
        }
        if (c->rule == OP_FINITE || c->rule == OP_SINGULAR)
            continue;
        double error = fabs(got[i] - expected[i]), tolerance = 0;
        if (c->rule == OP_CLOSE)
            tolerance = limits.relative[operand->dtype] * fabs(expected[i]) + factor * step[i] + 1e-30 +
                        limits.rounding[DIPP_WIDE] * activation_room(c, held, i);
        /* an in-place element that the op leaves alone keeps its bits */
        if (k < DIPP_MAX_INPUTS && expected[i] == held[k][i])
            tolerance = 0;
        bool right = isfinite(expected[i]) ? error <= tolerance : !isfinite(got[i]);
        if (tolerance > 0 && isfinite(expected[i]) && !(error <= report->worst * tolerance)) {
            report->worst = error / tolerance;
            memcpy(report->worst_label, c->label, sizeof report->worst_label);
        }
        if (!right) {
            fail(report, c, "result %u element %lld is %.9g, expected %.9g within %.3g", k, (long long)i, got[i],
                 expected[i], tolerance);
            break;
        }
    }
    if (c->rule == OP_SINGULAR && !not_finite)
        fail(report, c, "every number is finite, but the input is singular");
    free(step);
    free(expected);
}

/* Blocks as bytes, guards included. */
static unsigned char *raw_block(dipp_backend *backend, const op_placement *place, uint32_t k, size_t *size)
{
    *size = OP_GUARD + (place->bytes[k] + OP_GUARD - 1) / OP_GUARD * OP_GUARD + OP_GUARD;
    unsigned char *raw = new_numbers((int64_t)(*size / sizeof(double)));
    backend->download(backend, raw, DIPP_HOST_I32, place->blocks[k], DIPP_INT32, *size / 4);
    return raw;
}

static void check_guards(dipp_backend *backend, const op_case *c, const op_placement *place, op_report *report)
{
    for (uint32_t k = 0; k < place->count; k++) {
        if (!place->blocks[k])
            continue;
        size_t size;
        unsigned char *raw = raw_block(backend, place, k, &size);
        for (size_t i = 0; i < size; i++)
            if ((i < OP_GUARD || i >= OP_GUARD + place->bytes[k]) && raw[i] != 0xff) {
                fail(report, c, "argument %u: byte %lld relative to its start was overwritten (it has %zu)", k,
                     (long long)i - OP_GUARD, place->bytes[k]);
                break;
            }
        free(raw);
    }
}

/* Inputs the op does not own must not change. */
static void check_inputs(dipp_backend *backend, const op_case *c, const op_placement *place, double *const *held,
                         op_report *report)
{
    for (uint32_t k = 0; k < c->view.input_count; k++) {
        if (!c->inputs[k] || c->in_place >> k & 1)
            continue;
        size_t bytes = (size_t)op_elements(&c->view.inputs[k]) * sizeof(double);
        double *now = read_back(backend, place, &c->view.inputs[k], k);
        if (memcmp(now, held[k], bytes))
            fail(report, c, "input %u was changed", k);
        free(now);
    }
}

/* Loads c into place, runs, and judges everything; skip is a result whose argument is NULL, or RESULTS. */
static void run_and_judge(dipp_backend *backend, dipp_backend *oracle, const dipp_kernel *kernel, const op_case *c,
                          op_placement *place, uint32_t skip, op_report *report)
{
    double *held[DIPP_MAX_INPUTS] = {0};
    void *args[OP_OPERANDS];
    op_place_load(backend, c, place);
    for (uint32_t k = 0; k < c->view.input_count; k++)
        if (c->inputs[k])
            held[k] = read_back(backend, place, &c->view.inputs[k], k);
    result_set want = expect(backend, oracle, c, held, 0), moved[ROUNDINGS];
    for (uint64_t r = 0; r < ROUNDINGS; r++)
        moved[r] = expect(backend, oracle, c, held, r + 1);

    memcpy(args, place->args, sizeof args);
    if (skip < RESULTS)
        args[result_argument(c, skip)] = NULL;
    if (backend->begin)
        backend->begin(backend);
    kernel->run(kernel->state, args);
    if (backend->end)
        backend->end(backend);
    backend->synchronize(backend);

    check_guards(backend, c, place, report);
    check_inputs(backend, c, place, held, report);
    for (uint32_t k = 0; k < RESULTS; k++) {
        const dipp_operand *operand = result_operand(c, k);
        if (!operand || k == skip)
            continue;
        double *got = read_back(backend, place, operand, result_argument(c, k));
        judge(backend, c, held, &want, moved, k, got, report);
        free(got);
    }
    for (uint32_t k = 0; k < DIPP_MAX_INPUTS; k++)
        free(held[k]);
    result_free(&want);
    for (int r = 0; r < ROUNDINGS; r++)
        result_free(&moved[r]);
}

static void check_same_bits(dipp_backend *backend, const op_case *c, const op_placement *a, const op_placement *b,
                            op_report *report)
{
    for (uint32_t k = 0; k + 1 < a->count; k++) {
        if (!a->blocks[k])
            continue;
        size_t size;
        unsigned char *left = raw_block(backend, a, k, &size), *right = raw_block(backend, b, k, &size);
        if (memcmp(left, right, size))
            fail(report, c, "argument %u differs between two runs on the same numbers", k);
        free(left);
        free(right);
    }
}

void op_check(dipp_backend *backend, dipp_backend *oracle, op_case *first, op_case *second, op_report *report)
{
    op_case_fit(backend, first);
    op_case_fit(backend, second);
    if (first->attributes.accumulate && !backend->accumulates(backend, &first->view))
        return; /* the recorder adds an accumulate node instead */
    report->cases++;
    if (!backend->supports(backend, &first->view)) {
        fail(report, first, "not supported");
        return;
    }
    dipp_error error = {0};
    dipp_kernel kernel = {0};
    if (backend->prepare(backend, &first->view, &kernel, &error) != DIPP_OK) {
        fail(report, first, "prepare: %s", error.message);
        return;
    }
    op_placement a = op_place(backend, first, &kernel), b = op_place(backend, first, &kernel);
    run_and_judge(backend, oracle, &kernel, first, &a, RESULTS, report);
    run_and_judge(backend, oracle, &kernel, second, &b, RESULTS, report);
    run_and_judge(backend, oracle, &kernel, second, &a, RESULTS, report);
    check_same_bits(backend, first, &a, &b, report);
    for (uint32_t k = 0; first->view.output_count > 1 && k < first->view.output_count; k++)
        if (first->view.outputs[k].present)
            run_and_judge(backend, oracle, &kernel, first, &a, DIPP_MAX_INPUTS + k, report);
    op_place_free(backend, &a);
    op_place_free(backend, &b);
    if (kernel.destroy)
        kernel.destroy(kernel.state);
}
