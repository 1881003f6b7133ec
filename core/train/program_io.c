#include "train/program_io.h"

#include "train/streams.h"

#include <stdio.h>

dipp_status dipp_write_key(dipp_executable *run, const char *name, uint64_t seed, uint32_t stream, int64_t step,
                           uint32_t first, dipp_error *error)
{
    int32_t key[6] = {
        (int32_t)(uint32_t)seed, (int32_t)(uint32_t)(seed >> 32), (int32_t)stream, (int32_t)step, (int32_t)first, 0};
    return dipp_executable_write(run, name, key, DIPP_HOST_I32, 6, error);
}

dipp_status dipp_write_noise_keys(dipp_executable *run, uint32_t steps, uint64_t seed, uint32_t stream, int64_t step,
                                  uint32_t first, dipp_error *error)
{
    dipp_status status = dipp_write_key(run, "z_key", seed, stream, step, first, error);
    for (uint32_t k = 1; k < steps && status == DIPP_OK; k++) {
        char name[32];
        snprintf(name, sizeof name, "z_key.%u", k);
        status = dipp_write_key(run, name, seed, DIPP_STREAM_MULTI_STEP + k + 32 * stream, step, first, error);
    }
    return status;
}

dipp_prompt dipp_prompt_inputs(dipp_graph *g, const char *prefix, int64_t rows, uint32_t length)
{
    if (!length)
        return (dipp_prompt){DIPP_NONE, DIPP_NONE};
    char tokens[32], mask[32];
    snprintf(tokens, sizeof tokens, "%stokens", prefix);
    snprintf(mask, sizeof mask, "%smask", prefix);
    dipp_shape shape = DIPP_SHAPE(rows, length);
    return (dipp_prompt){dipp_input(g, tokens, DIPP_INT32, shape), dipp_input(g, mask, DIPP_WIDE, shape)};
}

dipp_status dipp_write_text(dipp_executable *run, const char *prefix, const int32_t *tokens, const float *mask,
                            size_t count, dipp_error *error)
{
    if (!count)
        return DIPP_OK;
    char name[32];
    snprintf(name, sizeof name, "%stokens", prefix);
    dipp_status status = dipp_executable_write(run, name, tokens, DIPP_HOST_I32, count, error);
    snprintf(name, sizeof name, "%smask", prefix);
    return status == DIPP_OK ? dipp_executable_write(run, name, mask, DIPP_HOST_F32, count, error) : status;
}

dipp_status dipp_write_level(dipp_executable *run, const char *name, const double *t, const double *alpha,
                             const double *sigma, size_t n, dipp_error *error)
{
    static const char *const parts[3] = {"t", "alpha", "sigma"};
    const double *values[3] = {t, alpha, sigma};
    dipp_status status = DIPP_OK;
    for (int k = 0; k < 3 && status == DIPP_OK; k++) {
        char text[32];
        snprintf(text, sizeof text, "%s.%s", name, parts[k]);
        status = dipp_executable_write(run, text, values[k], DIPP_HOST_F64, n, error);
    }
    return status;
}

void dipp_record_conditions(const dipp_models *models, dipp_graph *g, dipp_params text, int64_t n)
{
    dipp_condition c = dipp_encode_text(models, g, text, dipp_text_inputs(models, g, "", n));
    dipp_condition null = dipp_encode_text(models, g, text, dipp_text_inputs(models, g, "null_", 1));
    for (uint32_t i = 0; i < c.count; i++) {
        char name[32];
        snprintf(name, sizeof name, "condition.%u", i);
        dipp_output(g, name, c.parts[i]);
        snprintf(name, sizeof name, "null.%u", i);
        dipp_output(g, name, dipp_broadcast_to(g, null.parts[i], dipp_shape_of(g, c.parts[i])));
    }
}

void dipp_record_denoising(dipp_graph *g, const dipp_network *network, dipp_params p, dipp_tensor x0, dipp_condition c)
{
    dipp_shape shape = dipp_shape_of(g, x0);
    dipp_tensor eps = dipp_philox_normal(g, dipp_input(g, "eps_key", DIPP_INT32, DIPP_SHAPE(6)), shape);
    dipp_level level = dipp_level_inputs(g, "level", shape.dims[0]);
    dipp_tensor weight = dipp_input(g, "weight", DIPP_WIDE, DIPP_SHAPE(shape.dims[0]));
    dipp_tensor x_t = dipp_add_noise(g, x0, eps, level);
    dipp_tensor difference = dipp_sub(g, dipp_denoise(network, g, p, x_t, level, c), x0);
    dipp_tensor losses = dipp_mul(g, dipp_mean_per_sample(g, dipp_mul(g, difference, difference)), weight);
    dipp_tensor loss = dipp_sum(g, losses, 1, false);
    dipp_output(g, "losses", losses);
    dipp_gradients(g, 1, &loss, NULL, 0, NULL, NULL);
}

dipp_status dipp_plan_condition(dipp_plan *plan, const dipp_models *models, const char *name, int64_t n,
                                dipp_buffer parts[DIPP_MAX_CONDITION_PARTS], dipp_error *error)
{
    dipp_status status = DIPP_OK;
    for (uint32_t i = 0; i < models->condition_parts && status == DIPP_OK; i++) {
        dipp_dtype dtype;
        dipp_shape shape;
        char text[32];
        snprintf(text, sizeof text, "%s.%u", name, i);
        dipp_condition_part(models, i, n, &dtype, &shape);
        status = dipp_plan_buffer(plan, text, dtype, shape, false, &parts[i], error);
    }
    return status;
}

dipp_status dipp_connect_condition(dipp_plan *plan, const dipp_models *models, dipp_program *program, const char *name,
                                   const dipp_buffer parts[DIPP_MAX_CONDITION_PARTS], dipp_error *error)
{
    dipp_status status = DIPP_OK;
    for (uint32_t i = 0; i < models->condition_parts && program && status == DIPP_OK; i++) {
        char text[32];
        snprintf(text, sizeof text, "%s.%u", name, i);
        status = dipp_plan_connect(plan, program, text, parts[i], error);
    }
    return status;
}
