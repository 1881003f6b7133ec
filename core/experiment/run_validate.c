#include "experiment/run_validate.h"

#include "base/memory.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { DEFAULT_BATCH = 64 };

struct dipp_run_validator {
    dipp_run_preferences *preferences;
    const dipp_trainee *trainee;
    dipp_parameter_set *result; /* what it is judged by, and ends with */
    dipp_scorer *scorer;        /* NULL: nothing to validate with */
    bool calibrates;
    const char *layer; /* that takes the temperature; NULL: logit_scale does */
    const volatile sig_atomic_t *stop;
};

dipp_status dipp_run_validator_create(dipp_run_setup *setup, const volatile sig_atomic_t *stop,
                                      dipp_run_validator **out, dipp_error *error)
{
    dipp_run_validator *validator = dipp_allocate_zeroed(1, sizeof *validator);
    if (!validator)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for validation");
    validator->preferences = setup->preferences;
    validator->stop = stop;
    validator->trainee = setup->trainee;
    validator->result = dipp_run_averages(setup->config) ? setup->trainee->average : setup->trainee->reward.set;
    validator->calibrates = dipp_config_has(setup->config, "learn.calibrate.share");
    validator->layer = dipp_config_string(setup->config, "learn.calibrate.layer");
    uint32_t batch = (uint32_t)dipp_config_int(setup->config, "evaluate.batch");
    dipp_status status = DIPP_OK;
    if (dipp_run_preferences_validation_count(setup->preferences))
        status = dipp_scorer_borrow(setup->backend, &setup->trainee->reward, validator->result, DIPP_REWARD_TRAIN,
                                    setup->trainee->sample, batch ? batch : DEFAULT_BATCH, &validator->scorer, error);
    if (status == DIPP_OK && validator->calibrates && !validator->scorer)
        status = dipp_fail(error, DIPP_E_INVALID,
                           "learn.calibrate fits a temperature by a part of preferences.validate, which is not given");
    if (status == DIPP_OK && validator->calibrates)
        status = dipp_trainee_sharpen(validator->trainee, validator->result, validator->layer, 1, error);
    if (status != DIPP_OK)
        dipp_run_validator_destroy(&validator);
    *out = validator;
    return status;
}

void dipp_run_validator_destroy(dipp_run_validator **validator)
{
    if (!validator || !*validator)
        return;
    dipp_scorer_destroy(&(*validator)->scorer);
    dipp_release(*validator);
    *validator = NULL;
}

size_t dipp_run_validator_bytes(const dipp_run_validator *validator)
{
    return validator->scorer ? dipp_scorer_bytes(validator->scorer) : 0;
}

/* ---- Lines ---- */

/* Appends to the text in out; what does not fit is cut off. */
static void add(char *out, const char *format, ...) DIPP_PRINTF(2, 3);
static void add(char *out, const char *format, ...)
{
    size_t used = strlen(out);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(out + used, DIPP_PREFERENCE_TEXT_BYTES - used, format, arguments);
    va_end(arguments);
}

char *dipp_preference_text(const char *kind, const double *values, char out[DIPP_PREFERENCE_TEXT_BYTES])
{
    *out = 0;
    if (*kind)
        add(out, "%s: ", kind);
    add(out, "accuracy %.4f of %.0f pairs", values[DIPP_PREFERENCE_ACCURACY], values[DIPP_PREFERENCE_PAIRS]);
    if (!isnan(values[DIPP_PREFERENCE_EXPECTED]))
        add(out, " (%.1f %% of Bayes)", 100 * values[DIPP_PREFERENCE_EXPECTED]);
    add(out, ", log loss %.4f, calibration error %.4f", values[DIPP_PREFERENCE_LOG_LOSS],
        values[DIPP_PREFERENCE_CALIBRATION]);
    if (!isnan(values[DIPP_PREFERENCE_CALIBRATION_TRUE]))
        add(out, " (%.4f against the true probabilities)", values[DIPP_PREFERENCE_CALIBRATION_TRUE]);
    if (!isnan(values[DIPP_PREFERENCE_INVERSION]))
        add(out, ", inversion score %.4f", values[DIPP_PREFERENCE_INVERSION]);
    if (!isnan(values[DIPP_PREFERENCE_TIE_ACCURACY]))
        add(out, ", with ties %.4f at threshold %.1f", values[DIPP_PREFERENCE_TIE_ACCURACY],
            values[DIPP_PREFERENCE_TIE_THRESHOLD]);
    return out;
}

/* ---- Rows ---- */

typedef struct taking {
    dipp_run_record *record;
    int64_t step;
    bool kinds;
    void (*say)(void *context, const char *line);
    void *context;
    dipp_status status;
    dipp_error *error;
} taking;

static void take(void *context, const char *kind, const double *values)
{
    taking *to = context;
    char line[DIPP_PREFERENCE_TEXT_BYTES], name[sizeof((dipp_run_point *)NULL)->name];
    for (int i = 0; i < DIPP_PREFERENCE_METRICS && to->status == DIPP_OK; i++) {
        snprintf(name, sizeof name, "pairs/%s%s%s", dipp_preference_metric_names[i], *kind ? "/" : "", kind);
        if (!isnan(values[i]))
            to->status = dipp_run_record_point(to->record, to->step, name, values[i], to->error);
    }
    if (to->kinds || !*kind)
        to->say(to->context, dipp_preference_text(kind, values, line));
}

dipp_status dipp_run_validate(dipp_run_validator *validator, dipp_run_record *record, int64_t step, bool kinds,
                              void (*say)(void *context, const char *line), void *context, dipp_error *error)
{
    taking to = {record, step, kinds, say, context, DIPP_OK, error};
    if (!validator->scorer)
        return DIPP_OK;
    dipp_status status =
        dipp_run_preferences_validate(validator->preferences, validator->scorer, validator->stop, take, &to, error);
    return status == DIPP_OK ? to.status : status;
}

bool dipp_run_calibrates(const dipp_run_validator *validator)
{
    return validator->calibrates;
}

dipp_status dipp_run_calibrate(dipp_run_validator *validator, dipp_run_record *record, int64_t step,
                               void (*say)(void *context, const char *line), void *context, dipp_error *error)
{
    double factor = 1;
    char line[96];
    dipp_status status =
        dipp_run_preferences_sharpness(validator->preferences, validator->scorer, validator->stop, &factor, error);
    if (status == DIPP_E_INVALID) { /* what was learnt is kept as it is */
        say(context, error->message);
        return dipp_run_record_event(record, step, "warning", "calibrate.none", error->message, error);
    }
    if (status == DIPP_OK)
        status = dipp_trainee_sharpen(validator->trainee, validator->result, validator->layer, factor, error);
    if (status == DIPP_OK)
        status = dipp_run_record_point(record, step, "pairs/temperature", 1 / factor, error);
    snprintf(line, sizeof line, "temperature %.4f fits the pairs that were held for it; it is in the weights now",
             1 / factor);
    if (status == DIPP_OK)
        say(context, line);
    return status;
}
