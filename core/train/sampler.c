#include "train/sampler.h"

#include "base/memory.h"
#include "train/program_io.h"
#include "train/streams.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_STEPS = 1000 };

/* Generator: one program, tokens and noise to pictures. Reference: "start" (tokens to conditions, noise to x_T), then
 * "step" repeated, then "finish" (x0 to pictures). */
struct dipp_sampler {
    dipp_models *models;
    dipp_sampler_options options;
    uint32_t n;
    size_t picture_floats, x0_floats;
    dipp_program *start, *step, *finish;
    dipp_executable *run_start, *run_step, *run_finish;
    dipp_plan *plan;
    dipp_plan_report report;
    dipp_buffer parts[DIPP_MAX_CONDITION_PARTS], null_parts[DIPP_MAX_CONDITION_PARTS];
    int32_t *tokens;
    float *mask, *rows_out;
    uint32_t *rows;
    double *level; /* [3, n]: time, alpha, sigma */
};

static size_t sample_floats(const dipp_models *models)
{
    return (size_t)dipp_shape_elements(&models->space.sample);
}

static dipp_status record_generator(dipp_sampler *sampler, dipp_error *error)
{
    dipp_models *models = sampler->models;
    dipp_graph *g;
    dipp_status status = dipp_graph_create("sample", &g, error);
    if (status != DIPP_OK)
        return status;
    dipp_params text = dipp_graph_slot(g, "text", models->text_layout, false);
    dipp_params theta = dipp_generator_slots(models, g, false);
    dipp_params decoder = dipp_graph_slot(g, "decoder", models->decoder_layout, false);
    dipp_condition c = dipp_encode_text(models, g, text, dipp_text_inputs(models, g, "", sampler->n));
    dipp_tensor x0 = dipp_record_generator(models, g, theta, c, sampler->n);
    dipp_output(g, "x0", x0);
    dipp_output(g, "pictures", dipp_record_pictures(models, g, decoder, x0, 1));
    return dipp_program_create(&g, models->backend, &sampler->start, error);
}

static dipp_status record_start(dipp_sampler *sampler, dipp_error *error)
{
    dipp_models *models = sampler->models;
    dipp_graph *g;
    dipp_status status = dipp_graph_create("sample start", &g, error);
    if (status != DIPP_OK)
        return status;
    dipp_params text = dipp_graph_slot(g, "text", models->text_layout, false);
    dipp_record_conditions(models, g, text, sampler->n);
    dipp_tensor z =
        dipp_philox_normal(g, dipp_input(g, "z_key", DIPP_INT32, DIPP_SHAPE(6)), dipp_batch_shape(models, sampler->n));
    dipp_output(g, "z", z);
    return dipp_program_create(&g, models->backend, &sampler->start, error);
}

/* x_t and the next level -> x_next = alpha' D + sigma' (x_t - alpha D)/sigma, D guided: DDIM without noise, which is the
 * first-order solver of the probability-flow ODE in every schedule. */
static dipp_status record_step(dipp_sampler *sampler, dipp_error *error)
{
    dipp_models *models = sampler->models;
    dipp_graph *g;
    dipp_status status = dipp_graph_create("sample step", &g, error);
    if (status != DIPP_OK)
        return status;
    dipp_params p = dipp_graph_slot(g, "reference", models->reference_layout, false);
    dipp_condition c = dipp_condition_inputs(models, g, "condition", sampler->n);
    dipp_tensor x = dipp_input(g, "x", DIPP_WIDE, dipp_batch_shape(models, sampler->n));
    dipp_level level = dipp_level_inputs(g, "level", sampler->n), next = dipp_level_inputs(g, "next", sampler->n);
    dipp_network network = dipp_reference_network(models);
    dipp_tensor denoised = dipp_denoise(&network, g, p, x, level, c);
    if (sampler->options.omega != 1.0) {
        dipp_condition null = dipp_condition_inputs(models, g, "null", sampler->n);
        dipp_tensor free_of_prompt = dipp_denoise(&network, g, p, x, level, null);
        denoised = dipp_add(g, free_of_prompt,
                            dipp_scale_add(g, dipp_sub(g, denoised, free_of_prompt), sampler->options.omega, 0.0));
    }
    dipp_output(g, "x_next", dipp_add_noise(g, denoised, dipp_eps_of(g, denoised, x, level), next));
    dipp_output(g, "x0", denoised);
    return dipp_program_create(&g, models->backend, &sampler->step, error);
}

static dipp_status record_finish(dipp_sampler *sampler, dipp_error *error)
{
    dipp_models *models = sampler->models;
    dipp_graph *g;
    dipp_status status = dipp_graph_create("sample finish", &g, error);
    if (status != DIPP_OK)
        return status;
    dipp_params decoder = dipp_graph_slot(g, "decoder", models->decoder_layout, false);
    dipp_tensor x0 = dipp_input(g, "x0", DIPP_WIDE, dipp_batch_shape(models, sampler->n));
    dipp_output(g, "pictures", dipp_record_pictures(models, g, decoder, x0, 1));
    return dipp_program_create(&g, models->backend, &sampler->finish, error);
}

static dipp_status connect_conditions(dipp_sampler *sampler, dipp_error *error)
{
    dipp_models *models = sampler->models;
    dipp_plan *plan = sampler->plan;
    dipp_status status = dipp_plan_condition(plan, models, "condition", sampler->n, sampler->parts, error);
    if (status == DIPP_OK)
        status = dipp_plan_condition(plan, models, "null", sampler->n, sampler->null_parts, error);
    if (status == DIPP_OK)
        status = dipp_connect_condition(plan, models, sampler->start, "condition", sampler->parts, error);
    if (status == DIPP_OK)
        status = dipp_connect_condition(plan, models, sampler->step, "condition", sampler->parts, error);
    if (status == DIPP_OK)
        status = dipp_connect_condition(plan, models, sampler->start, "null", sampler->null_parts, error);
    if (status == DIPP_OK && sampler->options.omega != 1.0)
        status = dipp_connect_condition(plan, models, sampler->step, "null", sampler->null_parts, error);
    return status;
}

static dipp_status build_generator(dipp_sampler *sampler, dipp_error *error)
{
    dipp_models *models = sampler->models;
    dipp_status status = record_generator(sampler, error);
    if (status == DIPP_OK)
        status = dipp_plan_step(sampler->plan, sampler->start, 0, error);
    if (status == DIPP_OK)
        status = dipp_plan_solve(sampler->plan, 0, &sampler->report, error);
    if (status == DIPP_OK)
        status = dipp_plan_allocate(sampler->plan, error);
    dipp_binding slots[2 + DIPP_NETWORK_SLOTS] = {{models->text_set, NULL}};
    uint32_t count = 1 + dipp_bind_generator(models, sampler->options.use_average, slots + 1);
    slots[count++] = (dipp_binding){models->decoder_set, NULL};
    if (status == DIPP_OK)
        status = dipp_executable_create(sampler->plan, sampler->start, slots, count, &sampler->run_start, error);
    return status;
}

static dipp_status build_reference(dipp_sampler *sampler, dipp_error *error)
{
    dipp_models *models = sampler->models;
    dipp_status status = record_start(sampler, error);
    if (status == DIPP_OK)
        status = record_step(sampler, error);
    if (status == DIPP_OK)
        status = record_finish(sampler, error);
    if (status == DIPP_OK)
        status = dipp_plan_step(sampler->plan, sampler->start, 0, error);
    if (status == DIPP_OK)
        status = dipp_plan_step(sampler->plan, sampler->step, 0, error);
    if (status == DIPP_OK)
        status = dipp_plan_step(sampler->plan, sampler->finish, 0, error);
    if (status == DIPP_OK)
        status = connect_conditions(sampler, error);
    if (status == DIPP_OK)
        status = dipp_plan_solve(sampler->plan, 0, &sampler->report, error);
    if (status == DIPP_OK)
        status = dipp_plan_allocate(sampler->plan, error);
    bool average = sampler->options.use_average && models->reference_ema;
    dipp_binding text = {average ? models->text_ema : models->text_set, NULL};
    dipp_binding net = {average ? models->reference_ema : models->reference_set, NULL};
    dipp_binding decoder = {models->decoder_set, NULL};
    if (status == DIPP_OK)
        status = dipp_executable_create(sampler->plan, sampler->start, &text, 1, &sampler->run_start, error);
    if (status == DIPP_OK)
        status = dipp_executable_create(sampler->plan, sampler->step, &net, 1, &sampler->run_step, error);
    if (status == DIPP_OK)
        status = dipp_executable_create(sampler->plan, sampler->finish, &decoder, 1, &sampler->run_finish, error);
    return status;
}

dipp_status dipp_sampler_create(dipp_models *models, const dipp_sampler_options *options, dipp_sampler **out,
                                dipp_error *error)
{
    dipp_sampler *sampler = dipp_allocate_zeroed(1, sizeof *sampler);
    if (!sampler)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for a sampler");
    sampler->models = models;
    sampler->options = *options;
    sampler->n = options->batch ? options->batch : 1;
    if (!sampler->options.steps)
        sampler->options.steps = 20;
    if (!models->space.token_length)
        sampler->options.omega = 1.0;
    sampler->x0_floats = sampler->picture_floats = sample_floats(models);
    size_t length = models->space.token_length;
    sampler->tokens = dipp_allocate_zeroed(sampler->n * length + 1, sizeof *sampler->tokens);
    sampler->mask = dipp_allocate_zeroed(sampler->n * length + 1, sizeof *sampler->mask);
    sampler->rows = dipp_allocate_zeroed(sampler->n, sizeof *sampler->rows);
    sampler->level = dipp_allocate_zeroed(3 * (size_t)sampler->n, sizeof *sampler->level);
    dipp_status status = DIPP_OK;
    if (!sampler->tokens || !sampler->mask || !sampler->rows || !sampler->level)
        status = dipp_fail(error, DIPP_E_MEMORY, "no memory for a sampler");
    if (status == DIPP_OK && sampler->options.steps > MAX_STEPS)
        status = dipp_fail(error, DIPP_E_INVALID, "%u sampler steps; at most %d", sampler->options.steps, MAX_STEPS);
    if (status == DIPP_OK && !options->reference && !models->generator_set)
        status = dipp_fail(error, DIPP_E_INVALID, "there is no generator to draw with");
    if (status == DIPP_OK)
        status = dipp_plan_create(models->backend, &sampler->plan, error);
    if (status == DIPP_OK)
        status = options->reference ? build_reference(sampler, error) : build_generator(sampler, error);
    if (status == DIPP_OK) {
        dipp_dtype dtype;
        dipp_shape shape;
        status =
            dipp_program_find(options->reference ? sampler->finish : sampler->start, "pictures", &dtype, &shape, error);
        sampler->picture_floats = (size_t)(dipp_shape_elements(&shape) / sampler->n);
        size_t largest = sampler->picture_floats > sampler->x0_floats ? sampler->picture_floats : sampler->x0_floats;
        if (status == DIPP_OK && !(sampler->rows_out = dipp_allocate(sampler->n * largest * sizeof(float))))
            status = dipp_fail(error, DIPP_E_MEMORY, "no memory for a sampler");
    }
    if (status != DIPP_OK)
        dipp_sampler_destroy(&sampler);
    *out = sampler;
    return status;
}

void dipp_sampler_destroy(dipp_sampler **pointer)
{
    if (!pointer || !*pointer)
        return;
    dipp_sampler *sampler = *pointer;
    dipp_executable_destroy(&sampler->run_start);
    dipp_executable_destroy(&sampler->run_step);
    dipp_executable_destroy(&sampler->run_finish);
    dipp_program_destroy(&sampler->start);
    dipp_program_destroy(&sampler->step);
    dipp_program_destroy(&sampler->finish);
    dipp_plan_destroy(&sampler->plan);
    dipp_release(sampler->tokens);
    dipp_release(sampler->mask);
    dipp_release(sampler->rows);
    dipp_release(sampler->rows_out);
    dipp_release(sampler->level);
    dipp_release(sampler);
    *pointer = NULL;
}

size_t dipp_sampler_bytes(const dipp_sampler *sampler)
{
    return dipp_plan_bytes(&sampler->report);
}

size_t dipp_sampler_picture_floats(const dipp_sampler *sampler)
{
    return sampler->picture_floats;
}

size_t dipp_sampler_x0_floats(const dipp_sampler *sampler)
{
    return sampler->x0_floats;
}

static dipp_status write_tokens(dipp_sampler *sampler, const dipp_token_table *table, uint32_t null_row,
                                dipp_error *error)
{
    size_t length = sampler->models->space.token_length;
    if (!length)
        return DIPP_OK;
    if (table->length != length)
        return dipp_fail(error, DIPP_E_INTERNAL, "prompts were tokenised for %u tokens, %zu are expected",
                         table->length, length);
    dipp_token_rows(table, sampler->rows, sampler->n, sampler->tokens, sampler->mask);
    dipp_status status =
        dipp_write_text(sampler->run_start, "", sampler->tokens, sampler->mask, sampler->n * length, error);
    if (status != DIPP_OK || !sampler->options.reference)
        return status;
    dipp_token_rows(table, &null_row, 1, sampler->tokens, sampler->mask);
    return dipp_write_text(sampler->run_start, "null_", sampler->tokens, sampler->mask, length, error);
}

/* One level for the whole batch. */
static dipp_status fill_level(dipp_sampler *sampler, const char *name, double t, double alpha, double sigma,
                              dipp_error *error)
{
    size_t n = sampler->n;
    double *times = sampler->level, *alphas = times + n, *sigmas = alphas + n;
    for (size_t i = 0; i < n; i++) {
        times[i] = dipp_network_time(sampler->models->space.parameterisation, t, alpha, sigma);
        alphas[i] = alpha;
        sigmas[i] = sigma;
    }
    return dipp_write_level(sampler->run_step, name, times, alphas, sigmas, n, error);
}

/* Times from sigma_max to the schedule's smallest, evenly spaced in (sigma/alpha)^(1/7) (Karras et al. 2022), then 0. */
static double step_time(const dipp_sampler *sampler, uint32_t k)
{
    const dipp_schedule *schedule = &sampler->models->schedule;
    double a, s, low, high;
    dipp_schedule_at(schedule, schedule->t_min, &a, &s);
    low = pow(s / a > 1e-3 ? s / a : 1e-3, 1.0 / 7.0);
    dipp_schedule_at(schedule, schedule->t_max, &a, &s);
    double largest = a > 1e-3 ? s / a : 1e3;
    if (sampler->options.sigma_max > 0 && sampler->options.sigma_max < largest)
        largest = sampler->options.sigma_max;
    high = pow(largest, 1.0 / 7.0);
    uint32_t steps = sampler->options.steps;
    double part = steps > 1 ? (double)k / (double)(steps - 1) : 0.0;
    return dipp_schedule_time_of(schedule, pow(high + part * (low - high), 7.0));
}

/* Walks the reference from noise to x0, which ends in rows_out. */
static dipp_status walk(dipp_sampler *sampler, dipp_error *error)
{
    const dipp_schedule *schedule = &sampler->models->schedule;
    size_t count = sampler->n * sampler->x0_floats;
    dipp_status status = dipp_executable_read(sampler->run_start, "z", sampler->rows_out, DIPP_HOST_F32, count, error);
    double alpha, sigma;
    dipp_schedule_at(schedule, step_time(sampler, 0), &alpha, &sigma);
    for (size_t i = 0; i < count; i++)
        sampler->rows_out[i] = (float)(sigma * sampler->rows_out[i]);
    for (uint32_t k = 0; k < sampler->options.steps && status == DIPP_OK; k++) {
        double t = step_time(sampler, k), next = 0, next_alpha = 1, next_sigma = 0;
        bool last = k + 1 == sampler->options.steps;
        dipp_schedule_at(schedule, t, &alpha, &sigma);
        if (!last) {
            next = step_time(sampler, k + 1);
            dipp_schedule_at(schedule, next, &next_alpha, &next_sigma);
        }
        status = fill_level(sampler, "level", t, alpha, sigma, error);
        if (status == DIPP_OK)
            status = fill_level(sampler, "next", t, next_alpha, next_sigma, error);
        if (status == DIPP_OK)
            status = dipp_executable_write(sampler->run_step, "x", sampler->rows_out, DIPP_HOST_F32, count, error);
        if (status == DIPP_OK)
            dipp_execute(sampler->run_step, 0);
        if (status == DIPP_OK)
            status = dipp_executable_read(sampler->run_step, last ? "x0" : "x_next", sampler->rows_out, DIPP_HOST_F32,
                                          count, error);
    }
    return status;
}

static dipp_status draw_batch(dipp_sampler *sampler, const dipp_token_table *table, uint32_t null_row,
                              uint64_t noise_seed, uint32_t first_noise, uint32_t wanted, float *pictures, float *x0,
                              dipp_error *error)
{
    dipp_status status = write_tokens(sampler, table, null_row, error);
    if (status == DIPP_OK)
        status =
            dipp_write_noise_keys(sampler->run_start, sampler->options.reference ? 1 : sampler->models->steps.count,
                                  noise_seed, DIPP_STREAM_EVALUATE_Z, 0, first_noise, error);
    if (status != DIPP_OK)
        return status;
    dipp_execute(sampler->run_start, 0);
    dipp_executable *last = sampler->run_start;
    size_t x0_count = sampler->n * sampler->x0_floats, picture_count = sampler->n * sampler->picture_floats;
    if (sampler->options.reference) {
        last = sampler->run_finish;
        status = walk(sampler, error);
        if (status == DIPP_OK)
            status = dipp_executable_write(last, "x0", sampler->rows_out, DIPP_HOST_F32, x0_count, error);
        if (status == DIPP_OK)
            dipp_execute(last, 0);
    }
    if (x0 && status == DIPP_OK) {
        status = dipp_executable_read(last, "x0", sampler->rows_out, DIPP_HOST_F32, x0_count, error);
        memcpy(x0, sampler->rows_out, wanted * sampler->x0_floats * sizeof(float));
    }
    if (pictures && status == DIPP_OK) {
        status = dipp_executable_read(last, "pictures", sampler->rows_out, DIPP_HOST_F32, picture_count, error);
        memcpy(pictures, sampler->rows_out, wanted * sampler->picture_floats * sizeof(float));
    }
    return status;
}

dipp_status dipp_sampler_draw(dipp_sampler *sampler, const dipp_token_table *table, const uint32_t *rows,
                              uint32_t count, uint64_t noise_seed, uint32_t first_noise, float *pictures, float *x0,
                              dipp_error *error)
{
    dipp_models *models = sampler->models;
    dipp_status status = DIPP_OK;
    dipp_parameter_set *averages[] = {dipp_trained_generator(models).average, models->reference_ema, models->text_ema};
    for (int i = 0; i < 3 && sampler->options.use_average && status == DIPP_OK; i++)
        if (averages[i])
            status = dipp_parameter_set_refresh(averages[i], error);
    for (uint32_t done = 0; done < count && status == DIPP_OK; done += sampler->n) {
        uint32_t wanted = count - done < sampler->n ? count - done : sampler->n;
        for (uint32_t i = 0; i < sampler->n; i++)
            sampler->rows[i] = rows[done + (i < wanted ? i : 0)];
        status = draw_batch(sampler, table, table->count, noise_seed, first_noise + done, wanted,
                            pictures ? pictures + done * sampler->picture_floats : NULL,
                            x0 ? x0 + done * sampler->x0_floats : NULL, error);
    }
    return status;
}
