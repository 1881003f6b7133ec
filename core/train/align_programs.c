/* What an iteration computes, recorded: each part of Algorithm 1 is a program of its own, split at x0, so that TA,
 * reference and rewards never share a tape with the generator. */
#include "train/align_programs.h"

#include "tensor/graph.h"
#include "train/streams.h"

#include <stdio.h>

/* tokens -> condition parts, and the null prompt's parts spread over the batch. */
static dipp_status record_condition(dipp_align *align, dipp_error *error)
{
    dipp_models *models = align->models;
    dipp_graph *g;
    dipp_status status = dipp_graph_create("condition", &g, error);
    if (status != DIPP_OK)
        return status;
    dipp_params text = dipp_graph_slot(g, "text", models->text_layout, false);
    dipp_record_conditions(models, g, text, align->n);
    return dipp_program_create(&g, models->backend, &align->condition, error);
}

/* segment 0: z, c -> x0.  segment 1: dL/dx0 -> gradients of theta. */
static dipp_status record_generate(dipp_align *align, dipp_error *error)
{
    dipp_models *models = align->models;
    dipp_graph *g;
    dipp_status status = dipp_graph_create("generate", &g, error);
    if (status != DIPP_OK)
        return status;
    dipp_params theta = dipp_generator_slots(models, g, true);
    dipp_condition c = dipp_condition_inputs(models, g, "condition", align->n);
    dipp_tensor x0 = dipp_record_generator(models, g, theta, c, align->n);
    dipp_output(g, "x0", x0);
    dipp_graph_begin_segment(g);
    dipp_tensor dx0 = dipp_input(g, "dx0", DIPP_WIDE, dipp_batch_shape(models, align->n));
    dipp_graph_recompute_blocks(g, align->recompute);
    dipp_gradients(g, 1, &x0, &dx0, 0, NULL, NULL);
    return dipp_program_create(&g, models->backend, &align->generate, error);
}

/* Denoising score matching on the generator's samples. */
static dipp_status record_teach(dipp_align *align, dipp_error *error)
{
    dipp_models *models = align->models;
    dipp_graph *g;
    dipp_status status = dipp_graph_create("teach", &g, error);
    if (status != DIPP_OK)
        return status;
    dipp_params psi = dipp_ta_slots(models, g, true);
    dipp_condition c = dipp_condition_inputs(models, g, "condition", align->n);
    dipp_tensor x0 = dipp_input(g, "x0", DIPP_WIDE, dipp_batch_shape(models, align->n));
    dipp_network network = dipp_ta_network(models);
    dipp_graph_recompute_blocks(g, align->recompute);
    dipp_record_denoising(g, &network, psi, x0, c);
    return dipp_program_create(&g, models->backend, &align->teach, error);
}

static dipp_status record_diverge(dipp_align *align, dipp_error *error)
{
    dipp_models *models = align->models;
    const dipp_divergence_spec *spec = &align->settings.divergence;
    dipp_graph *g;
    dipp_status status = dipp_graph_create("divergence", &g, error);
    if (status != DIPP_OK)
        return status;
    dipp_network ta = dipp_ta_network(models), reference = dipp_reference_network(models);
    dipp_shape shape = dipp_batch_shape(models, align->n);
    dipp_params psi = dipp_ta_slots(models, g, false);
    dipp_divergence_inputs in = {.ta = &ta,
                                 .reference = &reference,
                                 .ta_params = psi,
                                 .reference_params = dipp_graph_slot(g, "reference", models->reference_layout, false),
                                 .condition = dipp_condition_inputs(models, g, "condition", align->n),
                                 .x0 = dipp_input(g, "x0", DIPP_WIDE, shape),
                                 .eps =
                                     dipp_philox_normal(g, dipp_input(g, "eps_key", DIPP_INT32, DIPP_SHAPE(6)), shape),
                                 .level = dipp_level_inputs(g, "level", align->n),
                                 .weight = dipp_input(g, "weight", DIPP_WIDE, DIPP_SHAPE(align->n))};
    in.ta_level = in.level;
    in.ta_level.t = dipp_input(g, "ta_t", DIPP_WIDE, DIPP_SHAPE(align->n));
    if (spec->guided) {
        in.null_condition = dipp_condition_inputs(models, g, "null", align->n);
        in.omega = dipp_input(g, "omega", DIPP_WIDE, (dipp_shape){0});
    }
    if (spec->guided && !spec->inside)
        in.cfg_weight = dipp_input(g, "cfg_weight", DIPP_WIDE, DIPP_SHAPE(align->n));
    if (spec->guided && spec->cfg_apart) {
        in.cfg_eps = dipp_philox_normal(g, dipp_input(g, "cfg_eps_key", DIPP_INT32, DIPP_SHAPE(6)), shape);
        in.cfg_level = dipp_level_inputs(g, "cfg", align->n);
    }
    dipp_graph_recompute_blocks(g, align->recompute);
    dipp_divergence_terms terms = dipp_record_divergence(g, spec, &in);
    dipp_output(g, "divergence", terms.divergence);
    dipp_output(g, "squared_score", terms.squared_score);
    if (spec->guided) {
        dipp_output(g, "cfg", terms.cfg);
        dipp_output(g, "squared_score_null", terms.squared_score_null);
    }
    return dipp_program_create(&g, models->backend, &align->diverge, error);
}

static dipp_tensor dot(dipp_graph *g, dipp_tensor a, dipp_tensor b)
{
    if (!a.id || !b.id)
        return dipp_constant(g, DIPP_SHAPE(1), &(double){0.0});
    dipp_shape shape = dipp_shape_of(g, a);
    return dipp_reshape(g, dipp_sum(g, dipp_mul(g, a, b), (1u << shape.rank) - 1, false), DIPP_SHAPE(1));
}

/* A reward's gradient scaled to ratio times the divergence's norm, both of this micro-batch; the factor is the output
 * "scale.I". A gradient of zero stays zero. */
static dipp_tensor in_ratio(dipp_graph *g, uint32_t i, dipp_tensor part, dipp_tensor divergence)
{
    char name[32];
    snprintf(name, sizeof name, "ratio.%u", i);
    dipp_tensor ratio = dipp_input(g, name, DIPP_WIDE, DIPP_SHAPE(1));
    dipp_tensor size = dipp_scale_add(g, dipp_sqrt(g, dot(g, part, part)), 1.0, 1e-20);
    dipp_tensor scale = dipp_div(g, dipp_mul(g, ratio, dipp_sqrt(g, dot(g, divergence, divergence))), size);
    snprintf(name, sizeof name, "scale.%u", i);
    dipp_output(g, name, scale);
    return dipp_mul(g, part, scale);
}

/* dL/dx0 = divergence + cfg + rewards, and what is logged about them. */
static dipp_status record_combine(dipp_align *align, dipp_error *error)
{
    dipp_models *models = align->models;
    dipp_graph *g;
    dipp_status status = dipp_graph_create("combine", &g, error);
    if (status != DIPP_OK)
        return status;
    dipp_shape shape = dipp_batch_shape(models, align->n);
    dipp_tensor divergence = DIPP_NONE, cfg = DIPP_NONE, reward = DIPP_NONE;
    if (align->diverge)
        divergence = dipp_input(g, "divergence", DIPP_WIDE, shape);
    if (align->diverge && align->settings.divergence.guided)
        cfg = dipp_input(g, "cfg", DIPP_WIDE, shape);
    for (uint32_t i = 0; i < models->reward_count; i++) {
        char name[32];
        if (align->gradient_of[i] != i)
            continue;
        snprintf(name, sizeof name, "reward.%u", i);
        dipp_tensor part = dipp_input(g, name, DIPP_WIDE, shape);
        if (align->settings.rewards[i].by_ratio)
            part = in_ratio(g, i, part, divergence);
        reward = reward.id ? dipp_add(g, reward, part) : part;
    }
    dipp_tensor total = divergence;
    if (cfg.id)
        total = dipp_add(g, total, cfg);
    if (reward.id)
        total = total.id ? dipp_add(g, total, reward) : reward;
    if (!total.id)
        return dipp_graph_destroy(&g),
               dipp_fail(error, DIPP_E_INVALID, "there is nothing to align by: divergence none and no rewards");
    dipp_tensor stats[DIPP_ALIGN_STATS] = {dot(g, divergence, divergence), dot(g, cfg, cfg),
                                           dot(g, reward, reward),         dot(g, divergence, cfg),
                                           dot(g, divergence, reward),     dot(g, cfg, reward)};
    dipp_output(g, "stats", dipp_concat(g, stats, DIPP_ALIGN_STATS, 0));
    dipp_output(g, "dx0", total);
    return dipp_program_create(&g, models->backend, &align->combine, error);
}

dipp_status dipp_align_record(dipp_align *align, dipp_error *error)
{
    dipp_models *models = align->models;
    const dipp_align_settings *settings = &align->settings;
    dipp_status status = align->text ? record_condition(align, error) : DIPP_OK;
    if (status == DIPP_OK)
        status = record_generate(align, error);
    if (status == DIPP_OK && settings->divergence.kind != DIPP_DIVERGENCE_NONE) {
        status = record_teach(align, error);
        if (status == DIPP_OK)
            status = record_diverge(align, error);
        if (status == DIPP_OK)
            status = dipp_updater_record(&align->ta_update, "ta", dipp_trained_ta(models).set, &settings->ta_optimizer,
                                         false, error);
    }
    if (status == DIPP_OK)
        status = dipp_align_rewards_record(align, error);
    if (status == DIPP_OK)
        status = record_combine(align, error);
    if (status == DIPP_OK)
        status = dipp_updater_record(&align->generator_update, "generator", dipp_trained_generator(models).set,
                                     &settings->optimizer, true, error);
    align->generator_update.seed = align->ta_update.seed = settings->seed;
    align->generator_update.stream = DIPP_STREAM_ROUND_GENERATOR;
    align->ta_update.stream = DIPP_STREAM_ROUND_TA;
    align->generator_update.ledger = align->ta_update.ledger = settings->ledger;
    align->generator_update.total = settings->steps;
    align->generator_update.average_decay = dipp_average_decay(&settings->average, settings->batch);
    align->ta_update.total = settings->ta_warmup + settings->steps * settings->ta_updates;
    return status;
}

/* What comes before the first iteration, and the order of an iteration; loops (K_TA, micro-batches) are counted once. */
static dipp_status add_steps(dipp_align *align, dipp_error *error)
{
    dipp_program *order[16];
    uint32_t segments[16] = {0}, count = 0;
    if (align->teach) {
        if (align->condition)
            order[count++] = align->condition;
        order[count++] = align->generate;
        order[count++] = align->teach;
        order[count++] = align->ta_update.program;
    }
    if (align->condition)
        order[count++] = align->condition;
    order[count++] = align->generate;
    if (align->diverge)
        order[count++] = align->diverge;
    dipp_status status = dipp_align_texts_plan(align, error);
    for (uint32_t i = 0; i < count && status == DIPP_OK; i++)
        status = dipp_plan_step(align->plan, order[i], segments[i], error);
    if (status == DIPP_OK)
        status = dipp_align_rewards_plan(align, error);
    if (status == DIPP_OK)
        status = dipp_plan_step(align->plan, align->combine, 0, error);
    if (status == DIPP_OK)
        status = dipp_plan_step(align->plan, align->generate, 1, error);
    if (status == DIPP_OK)
        status = dipp_plan_step(align->plan, align->generator_update.program, 0, error);
    return status;
}

static dipp_status add_condition_buffers(dipp_align *align, dipp_error *error)
{
    bool guided = align->diverge && align->settings.divergence.guided;
    struct {
        dipp_program *program;
        const char *name;
        const dipp_buffer *parts;
    } links[] = {{align->condition, "condition", align->condition_parts},
                 {align->condition, "null", align->null_parts},
                 {align->generate, "condition", align->condition_parts},
                 {align->teach, "condition", align->condition_parts},
                 {align->diverge, "condition", align->condition_parts},
                 {guided ? align->diverge : NULL, "null", align->null_parts}};
    dipp_status status =
        dipp_plan_condition(align->plan, align->models, "condition", align->n, align->condition_parts, error);
    if (status == DIPP_OK)
        status = dipp_plan_condition(align->plan, align->models, "null", align->n, align->null_parts, error);
    for (size_t i = 0; i < sizeof links / sizeof *links && status == DIPP_OK; i++)
        status =
            dipp_connect_condition(align->plan, align->models, links[i].program, links[i].name, links[i].parts, error);
    return status;
}

static dipp_status add_buffers(dipp_align *align, dipp_error *error)
{
    dipp_shape shape = dipp_batch_shape(align->models, align->n);
    bool guided = align->settings.divergence.guided;
    struct {
        dipp_program *program;
        const char *name;
        dipp_buffer *buffer;
    } links[] = {{align->generate, "x0", &align->x0},  {align->teach, "x0", &align->x0},
                 {align->diverge, "x0", &align->x0},   {align->diverge, "divergence", &align->divergence},
                 {align->combine, "dx0", &align->dx0}, {align->generate, "dx0", &align->dx0}};
    dipp_buffer *buffers[] = {&align->x0, &align->dx0, &align->divergence, &align->cfg};
    static const char *const names[] = {"x0", "dL/dx0", "dL/dx0 of the divergence", "dL/dx0 of CFG"};
    dipp_status status = DIPP_OK;
    for (int i = 0; i < 4 && status == DIPP_OK; i++)
        status = dipp_plan_buffer(align->plan, names[i], DIPP_WIDE, shape, true, buffers[i], error);
    for (size_t i = 0; i < sizeof links / sizeof *links && status == DIPP_OK; i++)
        if (links[i].program)
            status = dipp_plan_connect(align->plan, links[i].program, links[i].name, *links[i].buffer, error);
    if (align->diverge && status == DIPP_OK)
        status = dipp_plan_connect(align->plan, align->combine, "divergence", align->divergence, error);
    if (align->diverge && guided && status == DIPP_OK)
        status = dipp_plan_connect(align->plan, align->diverge, "cfg", align->cfg, error);
    if (align->diverge && guided && status == DIPP_OK)
        status = dipp_plan_connect(align->plan, align->combine, "cfg", align->cfg, error);
    if (status == DIPP_OK)
        status = dipp_align_rewards_connect(align, error);
    return status;
}

dipp_status dipp_align_plan(dipp_align *align, dipp_plan_report *report, dipp_error *error)
{
    dipp_status status = dipp_plan_create(align->models->backend, &align->plan, error);
    if (status == DIPP_OK)
        status = add_steps(align, error);
    if (status == DIPP_OK)
        status = add_condition_buffers(align, error);
    if (status == DIPP_OK)
        status = add_buffers(align, error);
    if (status == DIPP_OK)
        status = dipp_plan_solve(align->plan, align->settings.memory_limit, report, error);
    if (status == DIPP_OK)
        status = dipp_plan_allocate(align->plan, error);
    return status;
}

dipp_status dipp_align_bind(dipp_align *align, dipp_error *error)
{
    dipp_models *models = align->models;
    dipp_plan *plan = align->plan;
    dipp_trained theta = dipp_trained_generator(models), psi = dipp_trained_ta(models);
    dipp_binding generator[DIPP_NETWORK_SLOTS], both[DIPP_NETWORK_SLOTS + 1]; /* both: TA, then the reference */
    uint32_t generator_slots = dipp_bind_generator(models, false, generator), ta_slots = dipp_bind_ta(models, both);
    both[ta_slots] = (dipp_binding){models->reference_set, NULL};
    dipp_status status = DIPP_OK;
    if (align->condition)
        status = dipp_executable_create(plan, align->condition, &(dipp_binding){models->text_set, NULL}, 1,
                                        &align->run_condition, error);
    if (status == DIPP_OK)
        status = dipp_executable_create(plan, align->generate, generator, generator_slots, &align->run_generate, error);
    if (align->teach && status == DIPP_OK)
        status = dipp_executable_create(plan, align->teach, both, ta_slots, &align->run_teach, error);
    if (align->teach && status == DIPP_OK)
        status = dipp_updater_bind(&align->ta_update, plan, psi.set, NULL, error);
    if (align->diverge && status == DIPP_OK)
        status = dipp_executable_create(plan, align->diverge, both, ta_slots + 1, &align->run_diverge, error);
    if (status == DIPP_OK)
        status = dipp_align_rewards_bind(align, error);
    if (status == DIPP_OK)
        status = dipp_executable_create(plan, align->combine, NULL, 0, &align->run_combine, error);
    if (status == DIPP_OK)
        status = dipp_updater_bind(&align->generator_update, plan, theta.set, theta.average, error);
    return status;
}
