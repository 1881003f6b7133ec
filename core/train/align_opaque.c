/* Rewards that are asked, not recorded: pictures leave the device, scores come back, and dL/dx0 is made of them.
 * Page: docs/opaque-rewards.md.
 *
 * A reward that gives its own gradient is chained through clamp and decoder: segment 0 is x0 -> pictures, segment 1 the
 * product of the host's gradient with its Jacobian. One that does not is smoothed in x0, so that decoder and clamp
 * are part of what is asked: with e ~ N(0, 1) of x0's shape,
 *     g = 1/P sum_p (r(x0 + sigma e_p) - r(x0 - sigma e_p)) / (2 sigma) e_p
 * is an unbiased estimate of the gradient of E r(x0 + sigma e). Segment 0 is then x0 + amount e -> pictures, segment
 * 1 the sum over p of a number per sample times e_p, drawn again from the same counters. */
#include "train/align_programs.h"

#include "base/memory.h"
#include "train/streams.h"

#include <math.h>
#include <stdio.h>

uint32_t dipp_align_pairs(const dipp_align *align, uint32_t i)
{
    uint32_t pairs = align->settings.rewards[i].pairs;
    return align->supplies[i] ? 0 : pairs ? pairs : DIPP_SMOOTHING_PAIRS;
}

/* ---- Asking ---- */

/* Scores of count pictures of the scratch, and their gradient when asked. */
static dipp_status ask(dipp_align *align, uint32_t i, uint32_t count, bool want_gradient, bool *has_gradient,
                       dipp_error *error)
{
    const dipp_reward_model *reward = &align->models->rewards[i];
    dipp_opaque_scratch *scratch = &align->opaque;
    dipp_status status = dipp_align_pause(align, error); /* a judge may take its time over each call */
    if (status != DIPP_OK)
        return status;
    for (uint32_t k = 0; k < count; k++)
        scratch->scores[k] = NAN; /* what a plugin forgets is not a score */
    *has_gradient = false;
    dipp_fail(error, DIPP_E_PLUGIN, "it failed without saying why"); /* unless it does */
    status = reward->vtable->score(reward->self, scratch->pictures, &align->models->picture, scratch->prompts, count,
                                   scratch->scores, want_gradient ? scratch->gradient : NULL, has_gradient, error);
    if (status != DIPP_OK)
        dipp_error_context(error, "reward %s", reward->plugin->name);
    return status;
}

static bool allocate(dipp_align *align)
{
    dipp_opaque_scratch *scratch = &align->opaque;
    size_t rows = 2 * (size_t)align->n, floats = (size_t)dipp_shape_elements(&align->models->picture);
    uint32_t pairs = 1;
    for (uint32_t i = 0; i < align->models->reward_count; i++)
        if (align->models->rewards[i].info.opaque && dipp_align_pairs(align, i) > pairs)
            pairs = dipp_align_pairs(align, i);
    scratch->pictures = dipp_allocate_zeroed(rows * floats, sizeof *scratch->pictures);
    scratch->gradient = dipp_allocate_zeroed(rows * floats, sizeof *scratch->gradient);
    scratch->scores = dipp_allocate_zeroed(rows, sizeof *scratch->scores);
    scratch->coefficients = dipp_allocate_zeroed((size_t)pairs * align->n, sizeof *scratch->coefficients);
    scratch->prompts = dipp_allocate_zeroed(rows, sizeof *scratch->prompts);
    return scratch->pictures && scratch->gradient && scratch->scores && scratch->coefficients && scratch->prompts;
}

void dipp_align_opaque_release(dipp_align *align)
{
    dipp_release(align->opaque.pictures);
    dipp_release(align->opaque.gradient);
    dipp_release(align->opaque.scores);
    dipp_release(align->opaque.coefficients);
    dipp_release((void *)align->opaque.prompts);
}

static dipp_status prepare_one(dipp_align *align, uint32_t i, dipp_error *error)
{
    const dipp_reward_model *reward = &align->models->rewards[i];
    size_t floats = (size_t)dipp_shape_elements(&align->models->picture);
    for (size_t k = 0; k < floats; k++)
        align->opaque.pictures[k] = align->models->space.images ? 0.5f : 0.0f;
    align->opaque.prompts[0] = align->prompts->texts[0];
    dipp_status status = ask(align, i, 1, true, &align->supplies[i], error);
    if (status != DIPP_OK || align->supplies[i] || align->settings.rewards[i].sigma > 0)
        return status;
    return dipp_fail(
        error, DIPP_E_INVALID,
        "reward %s is opaque and gives no gradient, so that its gradient has to be estimated by noise on x0: "
        "give rewards[%u].smoothing: {sigma: 0.1, pairs: %d}, or use it under evaluate.scorers only",
        reward->plugin->name, i, DIPP_SMOOTHING_PAIRS);
}

dipp_status dipp_align_opaque_prepare(dipp_align *align, dipp_error *error)
{
    bool any = false;
    for (uint32_t i = 0; i < align->models->reward_count; i++)
        any = any || align->models->rewards[i].info.opaque;
    if (!any)
        return DIPP_OK;
    if (!allocate(align))
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for host copies of %u pictures for opaque rewards",
                         2 * align->n);
    dipp_status status = DIPP_OK;
    for (uint32_t i = 0; i < align->models->reward_count && status == DIPP_OK; i++)
        if (align->models->rewards[i].info.opaque)
            status = prepare_one(align, i, error);
    return status;
}

/* ---- Recording ---- */

/* x0 [n, sample...] -> output "pictures" [n, picture...], wide. The identity makes it a value of its own where neither
 * decoder nor clamp does. */
static dipp_tensor record_host_pictures(dipp_align *align, dipp_graph *g, dipp_params decoder, dipp_tensor x0)
{
    dipp_tensor seen = dipp_record_pictures(align->models, g, decoder, x0, align->settings.clamp);
    dipp_tensor pictures = dipp_scale_add(g, dipp_cast(g, seen, DIPP_WIDE), 1.0, 0.0);
    dipp_output(g, "pictures", pictures);
    return pictures;
}

/* Segment 1: "seed" [n, picture...] -> "dx" [n, sample...]. */
static void record_chain(dipp_align *align, dipp_graph *g, dipp_params decoder, dipp_tensor x0)
{
    dipp_tensor pictures = record_host_pictures(align, g, decoder, x0), dx;
    dipp_graph_begin_segment(g);
    dipp_tensor seed = dipp_input(g, "seed", DIPP_WIDE, dipp_shape_of(g, pictures));
    dipp_graph_recompute_blocks(g, align->recompute);
    dipp_gradients(g, 1, &pictures, &seed, 1, &x0, &dx);
    dipp_output(g, "dx", dx);
}

static dipp_tensor record_noise(dipp_graph *g, const char *key, dipp_shape shape)
{
    return dipp_philox_normal(g, dipp_input(g, key, DIPP_INT32, DIPP_SHAPE(6)), shape);
}

/* Segment 0: "key" and "amount" [] -> pictures of x0 + amount e. Segment 1: "key.P" and "coefficients" [pairs, n] ->
 * "dx". */
static void record_smoothing(dipp_align *align, dipp_graph *g, dipp_params decoder, dipp_tensor x0, uint32_t pairs)
{
    dipp_shape shape = dipp_batch_shape(align->models, align->n);
    dipp_tensor amount = dipp_input(g, "amount", DIPP_WIDE, (dipp_shape){0});
    dipp_tensor moved = dipp_add(g, x0, dipp_mul(g, record_noise(g, "key", shape), amount));
    record_host_pictures(align, g, decoder, moved);
    dipp_graph_begin_segment(g);
    dipp_tensor coefficients = dipp_input(g, "coefficients", DIPP_WIDE, DIPP_SHAPE(pairs, align->n)), dx = DIPP_NONE;
    for (uint32_t p = 0; p < pairs; p++) {
        char name[24];
        snprintf(name, sizeof name, "key.%u", p);
        dipp_tensor e = record_noise(g, name, shape);
        dipp_tensor c = dipp_reshape(g, dipp_slice(g, coefficients, 0, p, 1), DIPP_SHAPE(align->n));
        dipp_tensor part = dipp_mul(g, e, dipp_per_sample(g, c, e));
        dx = dx.id ? dipp_add(g, dx, part) : part;
    }
    dipp_output(g, "dx", dx);
}

dipp_status dipp_align_opaque_record(dipp_align *align, uint32_t i, dipp_error *error)
{
    dipp_models *models = align->models;
    dipp_graph *g;
    dipp_status status = dipp_graph_create(models->rewards[i].plugin->name, &g, error);
    if (status != DIPP_OK)
        return status;
    dipp_params decoder = dipp_graph_slot(g, "decoder", models->decoder_layout, false);
    dipp_graph_slot(g, "reward", models->rewards[i].layout, false); /* empty; bound as every reward's */
    dipp_tensor x0 = dipp_input(g, "x0", DIPP_WIDE, dipp_batch_shape(models, align->n));
    if (align->supplies[i])
        record_chain(align, g, decoder, x0);
    else
        record_smoothing(align, g, decoder, x0, dipp_align_pairs(align, i));
    return dipp_program_create(&g, models->backend, &align->reward[i], error);
}

/* ---- One micro-batch ---- */

/* Pictures of x0 + amount e_p into rows [at, at + n) of the scratch. e of pair p, sample s has sample number
 * p * batch + s, so that neither micro-batches nor arms change it. */
static dipp_status draw(dipp_align *align, uint32_t i, uint32_t first, uint32_t p, double amount, uint32_t at,
                        dipp_error *error)
{
    dipp_executable *run = align->run_reward[i];
    size_t floats = (size_t)dipp_shape_elements(&align->models->picture);
    dipp_status status = DIPP_OK;
    if (!align->supplies[i]) {
        status = dipp_write_key(run, "key", align->settings.seed, DIPP_STREAM_SMOOTHING + i, align->step,
                                p * align->settings.batch + first, error);
        if (status == DIPP_OK)
            status = dipp_executable_write(run, "amount", &amount, DIPP_HOST_F64, 1, error);
    }
    if (status != DIPP_OK)
        return status;
    dipp_execute_maybe_timed(run, 0, align->settings.ledger);
    for (uint32_t k = 0; k < align->n; k++)
        align->opaque.prompts[at + k] = align->prompts->texts[align->rows[k]];
    return dipp_executable_read(run, "pictures", align->opaque.pictures + at * floats, DIPP_HOST_F32, align->n * floats,
                                error);
}

/* The plugin's own gradient times factor; all of a sample's is NaN when its score is none, as with recorded rewards. */
static dipp_status chain(dipp_align *align, uint32_t i, double factor, dipp_error *error)
{
    size_t floats = (size_t)dipp_shape_elements(&align->models->picture);
    for (uint32_t k = 0; k < align->n; k++) {
        double own = isfinite(align->opaque.scores[k]) ? factor : NAN;
        for (size_t e = k * floats; e < (k + 1) * floats; e++)
            align->opaque.gradient[e] = (float)(own * align->opaque.gradient[e]);
    }
    return dipp_executable_write(align->run_reward[i], "seed", align->opaque.gradient, DIPP_HOST_F32, align->n * floats,
                                 error);
}

static dipp_status smooth(dipp_align *align, uint32_t i, uint32_t first, double factor, dipp_error *error)
{
    const double sigma = align->settings.rewards[i].sigma;
    const uint32_t pairs = dipp_align_pairs(align, i), n = align->n;
    double *coefficients = align->opaque.coefficients, *scores = align->opaque.scores;
    dipp_status status = DIPP_OK;
    for (uint32_t k = 0; k < n; k++)
        coefficients[k] = isfinite(scores[k]) ? factor / (2 * sigma * pairs) : NAN;
    for (uint32_t p = pairs; p-- > 0 && status == DIPP_OK;) { /* row 0, which holds the factors, is filled last */
        bool has_gradient;
        status = draw(align, i, first, p, sigma, 0, error);
        if (status == DIPP_OK)
            status = draw(align, i, first, p, -sigma, n, error);
        if (status == DIPP_OK)
            status = ask(align, i, 2 * n, false, &has_gradient, error);
        for (uint32_t k = 0; k < n && status == DIPP_OK; k++)
            coefficients[p * n + k] = coefficients[k] * (scores[k] - scores[n + k]);
        char name[24];
        snprintf(name, sizeof name, "key.%u", p);
        if (status == DIPP_OK)
            status = dipp_write_key(align->run_reward[i], name, align->settings.seed, DIPP_STREAM_SMOOTHING + i,
                                    align->step, p * align->settings.batch + first, error);
    }
    return status == DIPP_OK ? dipp_executable_write(align->run_reward[i], "coefficients", coefficients, DIPP_HOST_F64,
                                                     (size_t)pairs * n, error)
                             : status;
}

dipp_status dipp_align_opaque_score(dipp_align *align, uint32_t i, uint32_t first, double factor, double *mean,
                                    dipp_error *error)
{
    bool has_gradient = false;
    dipp_status status = draw(align, i, first, 0, 0.0, 0, error);
    if (status == DIPP_OK)
        status = ask(align, i, align->n, align->supplies[i], &has_gradient, error);
    if (status == DIPP_OK && has_gradient != align->supplies[i])
        return dipp_fail(error, DIPP_E_PLUGIN, "reward %s gave a gradient when it was first asked and gives none now",
                         align->models->rewards[i].plugin->name);
    if (status != DIPP_OK)
        return status;
    for (uint32_t k = 0; k < align->n; k++)
        *mean += align->opaque.scores[k] / align->settings.batch;
    status = align->supplies[i] ? chain(align, i, factor, error) : smooth(align, i, first, factor, error);
    if (status == DIPP_OK)
        dipp_execute_maybe_timed(align->run_reward[i], 1, align->settings.ledger);
    return status;
}
