#include "train/optimizer.h"

#include "train/program_io.h"

#include <math.h>
#include <string.h>

double dipp_learning_rate(const dipp_optimizer_settings *settings, int64_t n, int64_t total)
{
    if (n < settings->warmup)
        return settings->lr * (double)(n + 1) / (double)settings->warmup;
    double span = (double)(total - settings->warmup), part = span > 0 ? (double)(n - settings->warmup) / span : 1.0;
    if (part > 1.0)
        part = 1.0;
    switch (settings->schedule) {
    case DIPP_RATE_CONSTANT: return settings->lr;
    case DIPP_RATE_LINEAR: return settings->lr * (1.0 + (settings->final_share - 1.0) * part);
    case DIPP_RATE_COSINE:
        return settings->lr *
               (settings->final_share + (1.0 - settings->final_share) * 0.5 * (1.0 + cos(3.14159265358979324 * part)));
    }
    return settings->lr;
}

double dipp_average_decay(const dipp_average_settings *settings, int64_t batch)
{
    return settings->half_life_images > 0 ? exp2(-(double)batch / settings->half_life_images) : settings->decay;
}

dipp_status dipp_check_updates(int64_t in_a_row, int64_t limit, int64_t skipped, int64_t step, int64_t steps,
                               const char *smaller, dipp_error *error)
{
    if (limit && in_a_row >= limit)
        return dipp_fail(error, DIPP_E_NUMERIC,
                         "%lld updates in a row were not finite, the last at iteration %lld; try a smaller %s",
                         (long long)in_a_row, (long long)step, smaller);
    if (step == steps && skipped == steps)
        return dipp_fail(error, DIPP_E_NUMERIC,
                         "none of the %lld updates was finite, so nothing was learnt; look at the weights that it "
                         "started from, and try a smaller %s",
                         (long long)steps, smaller);
    return DIPP_OK;
}

dipp_status dipp_updater_record(dipp_updater *updater, const char *name, const dipp_parameter_set *set,
                                const dipp_optimizer_settings *settings, bool ema, dipp_error *error)
{
    updater->settings = *settings;
    updater->rounds = dipp_formats_round(set->formats);
    dipp_graph *g;
    dipp_status status = dipp_graph_create(name, &g, error);
    if (status != DIPP_OK)
        return status;
    dipp_params slot = dipp_graph_slot(g, name, set->layout, true);
    dipp_tensor scalars = dipp_input(g, "scalars", DIPP_WIDE, DIPP_SHAPE(DIPP_OPT_SCALARS));
    dipp_tensor key = updater->rounds ? dipp_input(g, "rounding_key", DIPP_INT32, DIPP_SHAPE(6)) : DIPP_NONE;
    dipp_output(g, "norm", dipp_record_optimizer(g, slot, set, scalars, key, settings->kind, ema));
    return dipp_program_create(&g, set->backend, &updater->program, error);
}

dipp_status dipp_updater_bind(dipp_updater *updater, dipp_plan *plan, dipp_parameter_set *set, dipp_parameter_set *ema,
                              dipp_error *error)
{
    return dipp_executable_create(plan, updater->program, &(dipp_binding){set, ema}, 1, &updater->run, error);
}

dipp_status dipp_updater_step(dipp_updater *updater, double *norm, bool *applied, dipp_error *error)
{
    const dipp_optimizer_settings *s = &updater->settings;
    double n = (double)(updater->done + 1), result[2];
    double scalars[DIPP_OPT_SCALARS] = {
        [DIPP_OPT_LR] = dipp_learning_rate(s, updater->attempts, updater->total),
        [DIPP_OPT_BETA1] = s->beta1,
        [DIPP_OPT_BETA2] = s->beta2,
        [DIPP_OPT_EPSILON] = s->epsilon,
        [DIPP_OPT_WEIGHT_DECAY] = s->weight_decay,
        [DIPP_OPT_CORRECTION1] = 1.0 / (1.0 - pow(s->beta1, n)),
        [DIPP_OPT_CORRECTION2] = 1.0 / (1.0 - pow(s->beta2, n)),
        [DIPP_OPT_CLIP] = s->clip,
        [DIPP_OPT_GRAD_SCALE] = 1.0,
        [DIPP_OPT_EMA_DECAY] = updater->average_decay,
    };
    dipp_status status =
        dipp_executable_write(updater->run, "scalars", scalars, DIPP_HOST_F64, DIPP_OPT_SCALARS, error);
    if (status == DIPP_OK && updater->rounds)
        status =
            dipp_write_key(updater->run, "rounding_key", updater->seed, updater->stream, updater->attempts, 0, error);
    if (status != DIPP_OK)
        return status;
    dipp_execute_maybe_timed(updater->run, 0, updater->ledger);
    updater->attempts++;
    status = dipp_executable_read(updater->run, "norm", result, DIPP_HOST_F64, 2, error);
    *norm = result[0];
    *applied = result[1] != 0.0;
    updater->done += *applied;
    return status;
}

void dipp_updater_destroy(dipp_updater *updater)
{
    dipp_executable_destroy(&updater->run);
    dipp_program_destroy(&updater->program);
    memset(updater, 0, sizeof *updater);
}
