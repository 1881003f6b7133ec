/* The checks of numbers for rewards that are asked rather than recorded. */
#include "plugin/kit/kit_private.h"

#include "base/memory.h"

#include <math.h>
#include <string.h>

enum { ROWS = 4 };

typedef struct question {
    const kit_instance *instance;
    dipp_shape sample;
    size_t floats; /* of one sample */
    float *samples, *gradient, *moved;
    double scores[ROWS];
    bool has_gradient;
} question;

static void question_release(question *q)
{
    dipp_release(q->samples);
    dipp_release(q->gradient);
    dipp_release(q->moved);
}

static dipp_status question_create(const kit_instance *instance, const dipp_shape *sample, question *q,
                                   dipp_error *error)
{
    *q = (question){.instance = instance, .sample = *sample, .floats = (size_t)dipp_shape_elements(sample)};
    size_t count = ROWS * q->floats;
    double *x = dipp_allocate_zeroed(count, sizeof *x);
    q->samples = dipp_allocate_zeroed(count, sizeof(float));
    q->gradient = dipp_allocate_zeroed(count, sizeof(float));
    q->moved = dipp_allocate_zeroed(count, sizeof(float));
    bool good = x && q->samples && q->gradient && q->moved;
    if (good)
        kit_samples(instance->info.images, x, count);
    for (size_t i = 0; good && i < count; i++)
        q->samples[i] = (float)x[i];
    dipp_release(x);
    if (!good)
        question_release(q);
    return good ? DIPP_OK : dipp_fail(error, DIPP_E_MEMORY, "no memory for a check");
}

/* Scores of rows [first, first + count) of samples into out. */
static dipp_status ask(question *q, const kit_instance *instance, const float *samples, uint32_t first, uint32_t count,
                       float *gradient, double *out, dipp_error *error)
{
    const dipp_reward *reward = instance->of->plugin->vtable;
    const char *prompt = instance->of->options->prompt, *prompts[ROWS];
    if (!reward->score)
        return dipp_fail(error, DIPP_E_PLUGIN, "info says that it is opaque, but there is no score");
    for (uint32_t i = 0; i < count; i++) {
        prompts[i] = prompt && (first + i) % 2 == 0 ? prompt : "";
        out[i] = NAN;
    }
    q->has_gradient = false;
    return reward->score(instance->self, samples + first * q->floats, &q->sample, prompts, count, out,
                         gradient ? gradient + first * q->floats : NULL, &q->has_gradient, error);
}

dipp_status kit_opaque_try(const kit_instance *instance, const dipp_shape *sample, dipp_error *error)
{
    question q;
    dipp_status status = question_create(instance, sample, &q, error);
    if (status != DIPP_OK)
        return status;
    status = ask(&q, instance, q.samples, 0, 1, NULL, q.scores, error);
    question_release(&q);
    return status;
}

/* All four rows with their gradient; the verdict is set when that fails. */
static bool open_question(const kit_instance *instance, question *q, kit_verdict *verdict)
{
    dipp_error error = {0};
    dipp_shape sample;
    dipp_status status = kit_sample_of(instance, KIT_MAIN, &sample, &error);
    if (status == DIPP_OK)
        status = question_create(instance, &sample, q, &error);
    if (status == DIPP_OK) {
        status = ask(q, instance, q->samples, 0, ROWS, q->gradient, q->scores, &error);
        if (status != DIPP_OK)
            question_release(q);
    }
    if (status != DIPP_OK)
        kit_fault(verdict, "%.400s", error.message);
    return status == DIPP_OK;
}

void kit_opaque_result(const kit_instance *instance, kit_verdict *verdict)
{
    question q;
    if (!open_question(instance, &q, verdict))
        return;
    uint32_t none = 0;
    char shape[96];
    for (int i = 0; i < ROWS; i++)
        none += !isfinite(q.scores[i]);
    if (none)
        kit_fault(verdict, "%u of %d scores are not finite", none, ROWS);
    else
        kit_pass(verdict, "scores of samples %s, %s gradient", dipp_shape_text(&q.sample, shape, sizeof shape),
                 q.has_gradient ? "with a" : "without a");
    question_release(&q);
}

void kit_opaque_batches(const kit_instance *instance, kit_verdict *verdict)
{
    question q;
    dipp_error error = {0};
    double parts[ROWS];
    if (!open_question(instance, &q, verdict))
        return;
    dipp_status status = DIPP_OK;
    for (uint32_t size = 1; size <= 2 && verdict->ok; size++) {
        for (uint32_t first = 0; first < ROWS && status == DIPP_OK; first += size)
            status = ask(&q, instance, q.samples, first, size, NULL, parts + first, &error);
        for (int i = 0; i < ROWS && status == DIPP_OK && verdict->ok; i++)
            if (!(fabs(parts[i] - q.scores[i]) <= 1e-6 * fabs(q.scores[i])))
                kit_fault(verdict, "a score depends on the batch: %.10g among 4, %.10g among %u", q.scores[i], parts[i],
                          size);
    }
    if (status != DIPP_OK)
        kit_fault(verdict, "%.400s", error.message);
    else if (verdict->ok)
        kit_pass(verdict, "4 at once, 2 + 2 and one by one agree");
    question_release(&q);
}

void kit_opaque_repeat(const kit_instance *instance, kit_verdict *verdict)
{
    question q;
    dipp_error error = {0};
    kit_instance other;
    double again[ROWS];
    if (!open_question(instance, &q, verdict))
        return;
    dipp_status status = ask(&q, instance, q.samples, 0, ROWS, NULL, again, &error);
    /* NOLINTNEXTLINE(bugprone-suspicious-memory-comparison): the bits are meant */
    if (status == DIPP_OK && memcmp(again, q.scores, sizeof again))
        kit_fault(verdict, "the same call twice gives different scores");
    if (status == DIPP_OK && verdict->ok)
        status = kit_instance_create(instance->of, NULL, &other, &error);
    if (status == DIPP_OK && verdict->ok) {
        status = ask(&q, &other, q.samples, 0, ROWS, NULL, again, &error);
        /* NOLINTNEXTLINE(bugprone-suspicious-memory-comparison): the bits are meant */
        if (status == DIPP_OK && memcmp(again, q.scores, sizeof again))
            kit_fault(verdict, "two instances with the same parameters give different scores");
        kit_instance_destroy(&other);
    }
    if (status != DIPP_OK)
        kit_fault(verdict, "%.400s", error.message);
    else if (verdict->ok)
        kit_pass(verdict, "the same bits again, from another instance too");
    question_release(&q);
}

/* Differences between samples that floats can hold, along three directions; 1e-2 is what single precision leaves. */
void kit_opaque_gradients(const kit_instance *instance, kit_verdict *verdict)
{
    question q;
    dipp_error error = {0};
    dipp_status status = DIPP_OK;
    if (!open_question(instance, &q, verdict))
        return;
    size_t count = ROWS * q.floats;
    double *direction = dipp_allocate_zeroed(count, sizeof *direction), worst = 0;
    if (!direction)
        status = dipp_fail(&error, DIPP_E_MEMORY, "no memory for a check");
    bool supplied = q.has_gradient;
    for (uint32_t k = 0; k < 3 && supplied && status == DIPP_OK && verdict->ok; k++) {
        double ends[2][ROWS], recorded[ROWS] = {0}, squares[ROWS] = {0};
        kit_signs(1 + k, direction, count);
        for (int side = 0; side < 2 && status == DIPP_OK; side++) {
            for (size_t i = 0; i < count; i++) {
                q.moved[i] = q.samples[i] + (float)((side ? -1e-3 : 1e-3) * direction[i]);
                double part = q.gradient[i] * ((side ? -1.0 : 1.0) * ((double)q.moved[i] - q.samples[i]));
                recorded[i / q.floats] += part;
                squares[i / q.floats] += part * part;
            }
            status = ask(&q, instance, q.moved, 0, ROWS, NULL, ends[side], &error);
        }
        for (int i = 0; i < ROWS && status == DIPP_OK && verdict->ok; i++) {
            double found = ends[0][i] - ends[1][i],
                   scale = fmax(fmax(fabs(found), fabs(recorded[i])), sqrt(squares[i]));
            double gap = fmax(fabs(found - recorded[i]) - 1e-6 * fabs(q.scores[i]), 0) / (scale > 0 ? scale : 1);
            worst = fmax(worst, gap);
            if (!(gap <= 1e-2))
                kit_fault(verdict, "given %.6g, by finite differences %.6g", recorded[i], found);
        }
    }
    if (status != DIPP_OK)
        kit_fault(verdict, "%.400s", error.message);
    else if (verdict->ok && supplied)
        kit_pass(verdict, "finite differences agree to %.1e", worst);
    else if (verdict->ok)
        kit_pass(verdict, "does not apply: it gives none, and dipp estimates one");
    dipp_release(direction);
    question_release(&q);
}
