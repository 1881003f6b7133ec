/* Checks of the numbers: that they are there, that gradients are their derivatives, that a sample's result is its
 * own, that the same call gives the same bits, and that single precision is enough. */
#include "plugin/kit/kit_private.h"

#include "base/memory.h"

#include <math.h>
#include <string.h>

/* What every check of numbers starts from. */
typedef struct subject {
    kit_instance instance;
    kit_function function;
    dipp_shape sample;
} subject;

/* Runs a check for each function that the plugin records; the text is the first fault's, or the main function's. */
typedef void (*function_check)(const subject *s, kit_verdict *verdict);
typedef void (*opaque_check)(const kit_instance *instance, kit_verdict *verdict);

static void each_function(const kit_case *c, function_check check, opaque_check opaque, kit_verdict *verdict)
{
    subject s;
    dipp_error error = {0};
    kit_verdict all = {.ok = true};
    if (kit_instance_create(c, NULL, &s.instance, &error) != DIPP_OK) {
        kit_fault(verdict, "%.400s", error.message);
        return;
    }
    if (kit_is_opaque(&s.instance))
        opaque(&s.instance, &all);
    for (int f = 0; f < KIT_FUNCTIONS && all.ok; f++) {
        s.function = (kit_function)f;
        if (!kit_has(&s.instance, s.function))
            continue;
        kit_verdict one = {.ok = true};
        if (kit_sample_of(&s.instance, s.function, &s.sample, &error) != DIPP_OK)
            kit_fault(&one, "%.400s", error.message);
        else
            check(&s, &one);
        const char *name = kit_function_name(&s.instance, s.function);
        if (!one.ok)
            kit_fault(&all, "%s: %.400s", name, one.text);
        else if (f == KIT_MAIN)
            kit_pass(&all, "%.400s", one.text);
        else if (one.text[0]) {
            kit_verdict before = all;
            kit_pass(&all, "%.400s; %s too", before.text, name);
        }
    }
    kit_instance_destroy(&s.instance);
    *verdict = all;
}

/* A model with everything that a check computes with. */
typedef struct bench {
    kit_model model;
    double *x, *y, *dy, *dx;
} bench;

static void bench_close(bench *b)
{
    kit_model_destroy(&b->model);
    double *const arrays[] = {b->x, b->y, b->dy, b->dx};
    for (int i = 0; i < 4; i++)
        dipp_release(arrays[i]);
}

/* Row i of the samples is row first + i of all. */
static dipp_status bench_open(const kit_instance *instance, const subject *s, int64_t n, uint32_t first, bool f32,
                              bench *b, dipp_error *error)
{
    *b = (bench){.x = NULL};
    dipp_status status = kit_model_create(instance, s->function, &s->sample, n, f32, &b->model, error);
    if (status != DIPP_OK)
        return status;
    size_t row = b->model.inputs / (size_t)n, out = b->model.outputs / (size_t)n, total = first + (size_t)n;
    b->x = dipp_allocate_zeroed(total * row, sizeof(double));
    b->dy = dipp_allocate_zeroed(total * out, sizeof(double));
    b->y = dipp_allocate_zeroed(b->model.outputs, sizeof(double));
    b->dx = dipp_allocate_zeroed(b->model.inputs, sizeof(double));
    if (!b->x || !b->y || !b->dy || !b->dx) {
        bench_close(b);
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for a check");
    }
    kit_samples(kit_takes_pictures(instance, s->function), b->x, total * row);
    kit_signs(0, b->dy, total * out);
    memmove(b->x, b->x + first * row, b->model.inputs * sizeof(double));
    memmove(b->dy, b->dy + first * out, b->model.outputs * sizeof(double));
    status = kit_model_forward(&b->model, first, b->x, b->y, error);
    if (status == DIPP_OK)
        status = kit_model_backward(&b->model, b->dy, b->dx, error);
    if (status != DIPP_OK)
        bench_close(b);
    return status;
}

/* Largest |a - b| over the largest |b|. */
static double distance(const double *a, const double *b, size_t count)
{
    double most = 0, scale = 0;
    for (size_t i = 0; i < count; i++) {
        double difference = fabs(a[i] - b[i]);
        most = difference > most || !isfinite(difference) ? difference : most;
        scale = fabs(b[i]) > scale ? fabs(b[i]) : scale;
    }
    return most == 0 ? 0 : most / (scale > 0 ? scale : 1);
}

/* ---- result ---- */

static void result_of(const subject *s, kit_verdict *verdict)
{
    bench b;
    dipp_error error = {0};
    char in[96], out[96];
    if (bench_open(&s->instance, s, 2, 0, false, &b, &error) != DIPP_OK) {
        kit_fault(verdict, "%.400s", error.message);
        return;
    }
    size_t wrong = 0, constant = 0;
    for (size_t i = 0; i < b.model.outputs; i++)
        wrong += !isfinite(b.y[i]);
    for (size_t i = 0; i < b.model.inputs; i++)
        constant += b.dx[i] == 0;
    dipp_shape shape = kit_batch(&s->sample, 2);
    dipp_shape_text(&shape, in, sizeof in);
    dipp_shape_text(&b.model.recording.out, out, sizeof out);
    if (wrong)
        kit_fault(verdict, "%zu of %zu numbers are not finite", wrong, b.model.outputs);
    else
        kit_pass(verdict, "%s to %s, %lld parameters%s", in, out,
                 (long long)dipp_layout_parameters(b.model.recording.layout),
                 constant == b.model.inputs ? "; no sample changes it" : "");
    bench_close(&b);
}

void kit_check_result(const kit_case *c, kit_verdict *verdict)
{
    each_function(c, result_of, kit_opaque_result, verdict);
}

/* ---- gradients ---- */

static const double TOLERANCE = 1e-5; /* relative */

/* f = sum(dy y) with the samples or the parameters moved by amount * direction. */
typedef struct line {
    bench *b;
    dipp_parameter_set *set; /* NULL: the samples move */
    const double *direction;
    double *home, *moved; /* the unmoved numbers, and room for moved ones */
    size_t count;
} line;

static dipp_status along(const line *l, double amount, double *f, dipp_error *error)
{
    dipp_status status = DIPP_OK;
    for (size_t i = 0; i < l->count; i++)
        l->moved[i] = l->home[i] + amount * l->direction[i];
    if (l->set) {
        dipp_parameter_set_write(l->set, DIPP_BLOCK_MASTER, l->moved, DIPP_HOST_F64);
        status = dipp_parameter_set_refresh(l->set, error);
    }
    if (status == DIPP_OK)
        status = kit_model_forward(&l->b->model, 0, l->set ? l->b->x : l->moved, l->b->y, error);
    *f = 0;
    for (size_t i = 0; i < l->b->model.outputs; i++)
        *f += l->b->dy[i] * l->b->y[i];
    return status;
}

/* Central differences at h and h/2, extrapolated. */
static dipp_status slope(const line *l, double h, double *out, dipp_error *error)
{
    double ends[4];
    const double amounts[4] = {h, -h, h / 2, -h / 2};
    for (int i = 0; i < 4; i++) {
        dipp_status status = along(l, amounts[i], &ends[i], error);
        if (status != DIPP_OK)
            return status;
    }
    double wide = (ends[0] - ends[1]) / (2 * h), narrow = (ends[2] - ends[3]) / h;
    *out = (4 * narrow - wide) / 3;
    return DIPP_OK;
}

/* The recorded derivative along the line against differences; the step that agrees best counts, as a kink may lie
 * within the wide ones and rounding may spoil the narrow ones. */
static dipp_status compare(const line *l, const double *gradient, double *worst, double *recorded, double *found,
                           dipp_error *error)
{
    double squares = 0, size = 0;
    *recorded = 0;
    for (size_t i = 0; i < l->count; i++) {
        *recorded += gradient[i] * l->direction[i];
        squares += gradient[i] * l->direction[i] * gradient[i] * l->direction[i];
    }
    *worst = INFINITY;
    static const double steps[] = {1e-5, 1e-6, 1e-7, 1e-4, 1e-3}; /* small for kinks, large for sums that cancel */
    for (size_t k = 0; k < sizeof steps / sizeof *steps; k++) {
        double here, h = steps[k];
        dipp_status status = slope(l, h, &here, error);
        if (status != DIPP_OK)
            return status;
        size = 0;
        for (size_t i = 0; i < l->b->model.outputs; i++)
            size += fabs(l->b->dy[i] * l->b->y[i]);
        double scale = fmax(fmax(fabs(here), fabs(*recorded)), sqrt(squares));
        double rounding = 1e-14 * size / h; /* of two sums of this size; what is below it proves nothing */
        double gap = fabs(here - *recorded) / (scale > 0 ? scale : 1);
        if (gap < *worst || !isfinite(*worst))
            *worst = gap, *found = here;
        if (gap <= TOLERANCE || fabs(here - *recorded) <= rounding) {
            *worst = fmin(gap, TOLERANCE);
            break;
        }
    }
    return DIPP_OK;
}

/* Three directions from home; the verdict is set when one disagrees. */
static dipp_status walk(bench *b, dipp_parameter_set *set, const double *gradient, size_t count, const char *what,
                        double *worst, kit_verdict *verdict, dipp_error *error)
{
    double *memory = dipp_allocate_zeroed(3 * count, sizeof *memory);
    if (!memory)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for directions");
    line l = {
        .b = b, .set = set, .direction = memory, .home = memory + count, .moved = memory + 2 * count, .count = count};
    if (set)
        dipp_parameter_set_read(set, DIPP_BLOCK_MASTER, l.home, DIPP_HOST_F64);
    else
        memcpy(l.home, b->x, count * sizeof *memory);
    dipp_status status = DIPP_OK;
    for (uint32_t k = 0; k < 3 && status == DIPP_OK && verdict->ok; k++) {
        double recorded = 0, found = 0, gap = INFINITY;
        kit_signs(1 + k, memory, count);
        status = compare(&l, gradient, &gap, &recorded, &found, error);
        if (status == DIPP_OK && !(gap <= TOLERANCE))
            kit_fault(verdict, "to %s: recorded %.10g, by finite differences %.10g", what, recorded, found);
        *worst = gap > *worst ? gap : *worst;
    }
    if (status == DIPP_OK && set) { /* back home */
        dipp_parameter_set_write(set, DIPP_BLOCK_MASTER, l.home, DIPP_HOST_F64);
        status = dipp_parameter_set_refresh(set, error);
    }
    dipp_release(memory);
    return status;
}

static dipp_status walk_parameters(bench *b, dipp_parameter_set *set, const char *what, double *worst,
                                   kit_verdict *verdict, dipp_error *error)
{
    size_t count = (size_t)dipp_layout_elements(set->layout);
    if (!count)
        return DIPP_OK;
    double *gradient = dipp_allocate_zeroed(count, sizeof *gradient);
    if (!gradient)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for gradients");
    dipp_parameter_set_read(set, DIPP_BLOCK_GRADIENT, gradient, DIPP_HOST_F64);
    dipp_status status = walk(b, set, gradient, count, what, worst, verdict, error);
    dipp_release(gradient);
    return status;
}

static void gradients_of(const subject *s, kit_verdict *verdict)
{
    bench b;
    dipp_error error = {0};
    double worst = 0;
    dipp_status status = bench_open(&s->instance, s, 2, 0, false, &b, &error);
    if (status == DIPP_OK) {
        status = walk(&b, NULL, b.dx, b.model.inputs, "the samples", &worst, verdict, &error);
        if (status == DIPP_OK && verdict->ok)
            status = walk_parameters(&b, b.model.set, "the parameters", &worst, verdict, &error);
        if (status == DIPP_OK && verdict->ok)
            status = walk_parameters(&b, b.model.text_set, "the text encoder's parameters", &worst, verdict, &error);
        bench_close(&b);
    }
    if (status != DIPP_OK)
        kit_fault(verdict, "%.400s", error.message);
    else if (verdict->ok)
        kit_pass(verdict, "finite differences agree to %.1e", worst);
}

void kit_check_gradients(const kit_case *c, kit_verdict *verdict)
{
    each_function(c, gradients_of, kit_opaque_gradients, verdict);
}

/* ---- batches ---- */

static void batches_of(const subject *s, kit_verdict *verdict)
{
    dipp_error error = {0};
    bench four, two;
    double worst = 0;
    if (s->function == KIT_CONTRAST) /* every sample meets every text: the check of texts is for that */
        return;
    dipp_status status = bench_open(&s->instance, s, 4, 0, false, &four, &error);
    if (status != DIPP_OK) {
        kit_fault(verdict, "%.400s", error.message);
        return;
    }
    for (uint32_t first = 0; first < 4 && status == DIPP_OK; first += 2) {
        status = bench_open(&s->instance, s, 2, first, false, &two, &error);
        if (status != DIPP_OK)
            break;
        double values = distance(four.y + first / 2 * two.model.outputs, two.y, two.model.outputs);
        double slopes = distance(four.dx + first / 2 * two.model.inputs, two.dx, two.model.inputs);
        worst = fmax(worst, fmax(values, slopes));
        if (!(values <= 1e-10))
            kit_fault(verdict, "a sample's result depends on the batch: 4 at once and 2 + 2 differ by %.1e", values);
        else if (!(slopes <= 1e-10))
            kit_fault(verdict, "a sample's gradient depends on the batch: 4 at once and 2 + 2 differ by %.1e", slopes);
        bench_close(&two);
    }
    bench_close(&four);
    if (status != DIPP_OK)
        kit_fault(verdict, "%.400s", error.message);
    else if (verdict->ok)
        kit_pass(verdict, "4 at once and 2 + 2 agree to %.1e", worst);
}

void kit_check_batches(const kit_case *c, kit_verdict *verdict)
{
    each_function(c, batches_of, kit_opaque_batches, verdict);
}

/* ---- repeat ---- */

static bool same_bits(const bench *a, const bench *b)
{
    return !memcmp(a->y, b->y, a->model.outputs * sizeof(double)) &&
           !memcmp(a->dx, b->dx, a->model.inputs * sizeof(double));
}

/* Twice on one model, and on another made of another instance; on the oracle and on the CPU back-end. */
static void repeat_of(const subject *s, kit_verdict *verdict)
{
    dipp_error error = {0};
    dipp_status status = DIPP_OK;
    for (int f32 = 0; f32 < 2 && status == DIPP_OK && verdict->ok; f32++) {
        kit_instance other;
        bench first, second;
        status = bench_open(&s->instance, s, 2, 0, f32, &first, &error);
        if (status != DIPP_OK)
            break;
        status = kit_instance_create(s->instance.of, NULL, &other, &error);
        if (status == DIPP_OK) {
            status = bench_open(&other, s, 2, 0, f32, &second, &error);
            if (status == DIPP_OK) {
                if (!same_bits(&first, &second))
                    kit_fault(verdict, "two instances with the same parameters give different numbers (by %.1e)",
                              fmax(distance(second.y, first.y, first.model.outputs),
                                   distance(second.dx, first.dx, first.model.inputs)));
                bench_close(&second);
            }
            kit_instance_destroy(&other);
        }
        double kept = first.y[0];
        if (status == DIPP_OK && verdict->ok)
            status = kit_model_forward(&first.model, 0, first.x, first.y, &error);
        /* NOLINTNEXTLINE(bugprone-suspicious-memory-comparison): the bits are meant */
        if (status == DIPP_OK && verdict->ok && memcmp(&kept, &first.y[0], sizeof kept))
            kit_fault(verdict, "the same replay twice gives different numbers");
        bench_close(&first);
    }
    if (status != DIPP_OK)
        kit_fault(verdict, "%.400s", error.message);
    else if (verdict->ok)
        kit_pass(verdict, "the same bits again, from another instance too");
}

void kit_check_repeat(const kit_case *c, kit_verdict *verdict)
{
    each_function(c, repeat_of, kit_opaque_repeat, verdict);
}

/* ---- precision ---- */

static void precision_of(const subject *s, kit_verdict *verdict)
{
    dipp_error error = {0};
    bench exact, single;
    dipp_status status = bench_open(&s->instance, s, 2, 0, false, &exact, &error);
    if (status == DIPP_OK) {
        status = bench_open(&s->instance, s, 2, 0, true, &single, &error);
        if (status == DIPP_OK) {
            double values = distance(single.y, exact.y, exact.model.outputs);
            double slopes = distance(single.dx, exact.dx, exact.model.inputs);
            if (values <= 1e-3 && slopes <= 1e-3)
                kit_pass(verdict, "f32 on %s differs by %.1e, its gradient by %.1e", single.model.backend->name, values,
                         slopes);
            else
                kit_fault(verdict, "f32 on %s differs from f64 by %.1e, its gradient by %.1e; 1e-3 is the limit",
                          single.model.backend->name, values, slopes);
            bench_close(&single);
        }
        bench_close(&exact);
    }
    if (status != DIPP_OK)
        kit_fault(verdict, "%.400s", error.message);
}

static void opaque_precision(const kit_instance *instance, kit_verdict *verdict)
{
    kit_pass(verdict, "does not apply: the reward is opaque");
}

void kit_check_precision(const kit_case *c, kit_verdict *verdict)
{
    each_function(c, precision_of, opaque_precision, verdict);
}
