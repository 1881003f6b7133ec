/* The check of texts, for rewards that look at them apart from samples: what they make of a text is kept and used again beside
 * others, and training takes contrast for the scores of all pairs. */
#include "plugin/kit/kit_private.h"

#include "base/memory.h"
#include "train/scores.h"

#include <math.h>

enum { N = 2, PAIRS = N * N };
static const double TOLERANCE = 1e-9; /* relative, in f64 */

/* The first number of two against the second's. */
static double gap(double a, double b)
{
    double scale = fmax(fabs(a), fabs(b)), difference = fabs(a - b);
    return isfinite(difference) ? difference / (scale > 1 ? scale : 1) : INFINITY;
}

static dipp_status open_model(const kit_instance *instance, kit_function function, const dipp_shape *sample,
                              kit_model *model, double **x, dipp_error *error)
{
    dipp_status status = kit_model_create(instance, function, sample, N, false, model, error);
    if (status != DIPP_OK)
        return status;
    *x = dipp_allocate_zeroed(model->inputs, sizeof **x);
    if (!*x) {
        kit_model_destroy(model);
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for a check");
    }
    kit_samples(kit_takes_pictures(instance, function), *x, model->inputs);
    return DIPP_OK;
}

static dipp_status ask(kit_model *model, const double *x, const char *first, const char *second, double *y,
                       dipp_error *error)
{
    const char *const texts[N] = {first, second};
    model->texts = texts;
    dipp_status status = kit_model_forward(model, 0, x, y, error);
    model->texts = NULL;
    return status;
}

/* to's numbers from from's namesakes: the two recordings may declare their parameters in different orders. */
static dipp_status copy_by_name(dipp_parameter_set *to, const dipp_parameter_set *from, dipp_error *error)
{
    dipp_status status = DIPP_OK;
    for (uint32_t i = 0, other; i < dipp_layout_count(to->layout) && status == DIPP_OK; i++) {
        const dipp_layout_entry *entry = dipp_layout_entry_at(to->layout, i);
        if (!dipp_layout_find(from->layout, entry->name, &other))
            continue;
        size_t count = (size_t)entry->elements;
        double *numbers = dipp_allocate_zeroed(count, sizeof *numbers);
        if (!numbers)
            return dipp_fail(error, DIPP_E_MEMORY, "no memory for a check");
        status = dipp_parameter_set_read_entry(from, entry->name, numbers, count, error);
        if (status == DIPP_OK)
            dipp_parameter_set_write_part(to, DIPP_BLOCK_MASTER, (size_t)entry->offset, count, numbers, DIPP_HOST_F64);
        dipp_release(numbers);
    }
    return status == DIPP_OK ? dipp_parameter_set_refresh(to, error) : status;
}

/* A sample's score with its own text, whatever text is beside it. */
static dipp_status own_texts(const kit_instance *instance, const dipp_shape *sample, const char *text,
                             kit_verdict *verdict, bool *told_apart, dipp_error *error)
{
    kit_model model;
    double *x = NULL, mixed[N], first[N], second[N];
    dipp_status status = open_model(instance, KIT_MAIN, sample, &model, &x, error);
    if (status != DIPP_OK)
        return status;
    status = ask(&model, x, text, "", mixed, error);
    if (status == DIPP_OK)
        status = ask(&model, x, text, text, first, error);
    if (status == DIPP_OK)
        status = ask(&model, x, "", "", second, error);
    double worst = status == DIPP_OK ? fmax(gap(mixed[0], first[0]), gap(mixed[1], second[1])) : 0;
    if (status == DIPP_OK && !(worst <= TOLERANCE))
        kit_fault(verdict, "a sample's score depends on the text of another, by %.1e", worst);
    *told_apart = status == DIPP_OK && first[0] != second[0];
    kit_model_destroy(&model);
    dipp_release(x);
    return status;
}

/* contrast against the scores of training, and its columns against what is beside them. */
static dipp_status pairs(const kit_instance *instance, const dipp_shape *sample, const char *text, kit_verdict *verdict,
                         double *worst, dipp_error *error)
{
    kit_instance training = *instance; /* of the same instance of the plugin; not to be destroyed */
    training.mode = DIPP_REWARD_TRAIN;
    kit_model scores, contrast;
    double *x = NULL, *again = NULL, own[N], all[PAIRS], beside[PAIRS];
    dipp_status status = open_model(&training, KIT_MAIN, sample, &scores, &x, error);
    if (status != DIPP_OK)
        return status;
    status = open_model(instance, KIT_CONTRAST, sample, &contrast, &again, error);
    if (status == DIPP_OK) {
        status = copy_by_name(contrast.set, scores.set, error);
        if (status == DIPP_OK)
            status = ask(&scores, x, text, "", own, error);
        if (status == DIPP_OK)
            status = ask(&contrast, x, text, "", all, error);
        if (status == DIPP_OK)
            status = ask(&contrast, x, text, text, beside, error);
        for (int i = 0; i < N && status == DIPP_OK && verdict->ok; i++) {
            *worst = fmax(*worst, gap(all[i * N + i], own[i]));
            if (!(gap(all[i * N + i], own[i]) <= TOLERANCE))
                kit_fault(verdict,
                          "contrast of sample %d and its text is %.10g; record_encoded in training gives %.10g", i + 1,
                          all[i * N + i], own[i]);
            else if (!(gap(all[i * N], beside[i * N]) <= TOLERANCE))
                kit_fault(verdict, "contrast with one text depends on the text beside it: %.10g and %.10g", all[i * N],
                          beside[i * N]);
        }
        kit_model_destroy(&contrast);
        dipp_release(again);
    }
    kit_model_destroy(&scores);
    dipp_release(x);
    return status;
}

static dipp_status check_texts(const kit_instance *instance, kit_verdict *verdict, dipp_error *error)
{
    const char *given = instance->of->options->prompt, *text = given && *given ? given : "a";
    bool told_apart = false;
    double worst = 0;
    dipp_shape sample;
    dipp_status status = kit_sample_of(instance, KIT_MAIN, &sample, error);
    if (status == DIPP_OK)
        status = own_texts(instance, &sample, text, verdict, &told_apart, error);
    if (status == DIPP_OK && verdict->ok && kit_has(instance, KIT_CONTRAST))
        status = pairs(instance, &sample, text, verdict, &worst, error);
    if (status != DIPP_OK || !verdict->ok)
        return status;
    const char *same = told_apart ? "" : "; \"a\" and \"\" are one to it (give --prompt)";
    if (kit_has(instance, KIT_CONTRAST))
        kit_pass(verdict, "a score is of its own text alone; contrast agrees with it to %.1e%s", worst, same);
    else
        kit_pass(verdict, "a score is of its own text alone%s", same);
    return status;
}

void kit_check_text(const kit_case *c, kit_verdict *verdict)
{
    kit_instance instance;
    dipp_error error = {0};
    if (kit_instance_create(c, NULL, &instance, &error) != DIPP_OK) {
        kit_fault(verdict, "%.400s", error.message);
        return;
    }
    bool apart = c->plugin->kind == DIPP_PLUGIN_REWARD && !instance.info.opaque && instance.info.token_length &&
                 dipp_reward_encodes(c->plugin->vtable);
    if (!apart)
        kit_pass(verdict, "does not apply: it looks at no text apart from samples");
    else if (check_texts(&instance, verdict, &error) != DIPP_OK)
        kit_fault(verdict, "%.400s", error.message);
    kit_instance_destroy(&instance);
}
