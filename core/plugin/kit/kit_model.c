/* What a plugin records, as a program that can be asked for values and gradients. */
#include "plugin/kit/kit_private.h"

#include "base/memory.h"
#include "base/philox.h"
#include "diffusion/denoise.h"
#include "train/claims.h"
#include "train/program_io.h"
#include "train/scores.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { STREAM_INIT = 1, STREAM_MOVE = 2, STREAM_SAMPLE = 3, STREAM_SIGNS = 16 };
static const uint64_t SEED = 20241018;
static const double MOVE = 0.05; /* size of the noise on parameters */

/* ---- Recording ---- */

static dipp_tensor record_reference(const kit_instance *instance, kit_function function, dipp_graph *g, dipp_params p,
                                    dipp_params text, dipp_tensor x, int64_t n)
{
    const dipp_reference *reference = instance->of->plugin->vtable;
    if (function == KIT_DECODE)
        return reference->decode(instance->self, g, p, x);
    if (function == KIT_ENCODE)
        return reference->encode(instance->self, g, p, x);
    dipp_condition c = {0};
    if (instance->space.token_length && !reference->encode_text)
        return dipp_graph_fail(g, "space says that it takes %u tokens, but there is no encode_text",
                               instance->space.token_length);
    if (instance->space.token_length)
        c = reference->encode_text(instance->self, g, text, dipp_prompt_inputs(g, "", n, instance->space.token_length));
    return reference->predict(instance->self, g, p, x, dipp_level_inputs(g, "level", n), c);
}

static dipp_tensor record_function(const kit_instance *instance, kit_function function, dipp_graph *g, dipp_params p,
                                   dipp_params text, dipp_tensor x, int64_t n)
{
    const void *vtable = instance->of->plugin->vtable;
    if (instance->of->plugin->kind == DIPP_PLUGIN_REFERENCE)
        return record_reference(instance, function, g, p, text, x, n);
    if (instance->of->plugin->kind == DIPP_PLUGIN_GENERATOR)
        return ((const dipp_generator *)vtable)
            ->generate(instance->self, g, p, x, dipp_level_inputs(g, "level", n), (dipp_condition){0});
    dipp_prompt prompt = dipp_prompt_inputs(g, "", n, instance->info.token_length);
    if (function == KIT_CONTRAST) {
        const dipp_reward *reward = vtable;
        dipp_condition c = dipp_expect_condition(g, reward->encode_text(instance->self, g, p, prompt), n);
        return reward->contrast(instance->self, g, p, x, c);
    }
    return dipp_record_scores(vtable, instance->self, g, p, x, prompt, instance->mode);
}

/* What the result must look like for x of shape in. */
static dipp_status check_shape(const kit_instance *instance, kit_function function, const dipp_shape *in,
                               const dipp_shape *out, dipp_error *error)
{
    char found[96], expected[96];
    dipp_shape wanted = *in;
    const char *name = kit_function_name(instance, function);
    dipp_shape_text(out, found, sizeof found);
    if (function == KIT_DECODE) {
        bool pictures = out->rank == 4 && out->dims[1] == 3 && out->dims[0] == in->dims[0];
        if (instance->space.images ? pictures : out->rank > 1 && out->dims[0] == in->dims[0])
            return DIPP_OK;
        return dipp_fail(error, DIPP_E_PLUGIN, "%s returns %s; %s is expected", name, found,
                         instance->space.images ? "[N, 3, H, W]" : "[N, ...]");
    }
    if (function == KIT_CONTRAST)
        wanted = DIPP_SHAPE(in->dims[0], in->dims[0]);
    else if (instance->of->plugin->kind == DIPP_PLUGIN_REWARD)
        wanted = DIPP_SHAPE(in->dims[0]);
    else if (function == KIT_ENCODE)
        wanted = kit_batch(&instance->space.sample, in->dims[0]);
    if (dipp_same_shape(&wanted, out))
        return DIPP_OK;
    return dipp_fail(error, DIPP_E_PLUGIN, "%s returns %s for %lld samples; %s is expected", name, found,
                     (long long)in->dims[0], dipp_shape_text(&wanted, expected, sizeof expected));
}

dipp_status kit_record(const kit_instance *instance, kit_function function, const dipp_shape *sample, int64_t n,
                       size_t limit, size_t *count, kit_recording *out, dipp_error *error)
{
    *out = (kit_recording){.graph = NULL};
    dipp_status status = dipp_layout_create("the plugin", &out->layout, error);
    if (status == DIPP_OK)
        status = dipp_layout_create("the text encoder", &out->text_layout, error);
    if (status == DIPP_OK)
        status = dipp_graph_create(instance->of->plugin->name, &out->graph, error);
    if (status != DIPP_OK) {
        kit_recording_release(out);
        return status;
    }
    dipp_graph *g = out->graph;
    dipp_params p = dipp_graph_slot(g, "plugin", out->layout, true);
    dipp_params text = dipp_graph_slot(g, "text", out->text_layout, true);
    dipp_shape in = kit_batch(sample, n);
    dipp_tensor x = dipp_input(g, "x", DIPP_WIDE, in), dx;
    size_t before = g->value_count;
    g->value_limit = limit ? before + limit - 1 : 0;
    dipp_tensor y = record_function(instance, function, g, p, text, x, n);
    g->value_limit = 0;
    if (count)
        *count = g->value_count - before;
    y = dipp_cast(g, y, DIPP_WIDE);
    y = dipp_scale_add(g, y, 1, 0); /* a value of its own where the plugin returns its input */
    out->out = dipp_shape_of(g, y);
    dipp_output(g, "y", y);
    dipp_graph_begin_segment(g);
    dipp_tensor dy = dipp_input(g, "dy", DIPP_WIDE, out->out);
    dipp_gradients(g, 1, &y, &dy, 1, &x, &dx);
    dipp_output(g, "dx", dx);
    status = dipp_graph_status(g, error);
    if (status == DIPP_OK)
        status = check_shape(instance, function, &in, &out->out, error);
    if (status != DIPP_OK)
        kit_recording_release(out);
    return status;
}

void kit_recording_release(kit_recording *recording)
{
    dipp_graph_destroy(&recording->graph);
    dipp_layout_destroy(&recording->layout);
    dipp_layout_destroy(&recording->text_layout);
}

/* ---- Numbers ---- */

void kit_samples(bool pictures, double *x, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        float value;
        if (pictures)
            dipp_philox_uniform_fill(&value, 1, 1, SEED, STREAM_SAMPLE, 0, (uint32_t)i);
        else
            dipp_philox_normal_fill(&value, 1, 1, SEED, STREAM_SAMPLE, 1, (uint32_t)i);
        x[i] = value;
    }
}

void kit_signs(uint32_t stream, double *out, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        float value;
        dipp_philox_uniform_fill(&value, 1, 1, SEED, STREAM_SIGNS + stream, 0, (uint32_t)i);
        out[i] = value < 0.5f ? -1.0 - (double)value : 0.5 + (double)value;
    }
}

static dipp_status move_parameters(dipp_parameter_set *set, dipp_error *error)
{
    size_t count = (size_t)dipp_layout_elements(set->layout);
    if (!count)
        return DIPP_OK;
    float *values = dipp_allocate(count * sizeof *values), *noise = dipp_allocate(count * sizeof *noise);
    dipp_status status = DIPP_OK;
    if (values && noise) {
        dipp_parameter_set_read(set, DIPP_BLOCK_MASTER, values, DIPP_HOST_F32);
        dipp_philox_normal_fill(noise, count, 1, SEED, STREAM_MOVE, 0, 0);
        for (size_t i = 0; i < count; i++)
            values[i] += (float)MOVE * noise[i];
        dipp_parameter_set_write(set, DIPP_BLOCK_MASTER, values, DIPP_HOST_F32);
        status = dipp_parameter_set_refresh(set, error);
    } else {
        status = dipp_fail(error, DIPP_E_MEMORY, "no memory for %zu parameters", count);
    }
    dipp_release(values);
    dipp_release(noise);
    return status;
}

/* ---- Running ---- */

static dipp_status create_backend(bool f32, dipp_backend **out, dipp_error *error)
{
    dipp_backend_options options = {.struct_size = sizeof options, .threads = 1, .precision = f32 ? "f32" : "f64"};
    if (f32 && dipp_backend_create("cpu", &options, out, NULL) == DIPP_OK)
        return DIPP_OK;
    return dipp_reference_backend_create(&options, out, error);
}

static dipp_status create_sets(kit_model *m, dipp_error *error)
{
    struct {
        const char *name;
        dipp_layout *layout;
        dipp_parameter_set **set;
    } sets[] = {{"plugin", m->recording.layout, &m->set}, {"text", m->recording.text_layout, &m->text_set}};
    dipp_status status = DIPP_OK;
    for (int i = 0; i < 2 && status == DIPP_OK; i++) {
        status = dipp_parameter_set_create(sets[i].name, sets[i].layout, m->backend, true, sets[i].set, error);
        if (status == DIPP_OK)
            status = dipp_parameter_set_initialise(*sets[i].set, SEED, STREAM_INIT, error);
        if (status == DIPP_OK)
            status = move_parameters(*sets[i].set, error);
    }
    return status;
}

dipp_status kit_model_create(const kit_instance *instance, kit_function function, const dipp_shape *sample, int64_t n,
                             bool f32, kit_model *out, dipp_error *error)
{
    dipp_shape in = kit_batch(sample, n);
    *out = (kit_model){.instance = instance, .n = n, .inputs = (size_t)dipp_shape_elements(&in)};
    dipp_status status = create_backend(f32, &out->backend, error);
    if (status == DIPP_OK)
        status = kit_record(instance, function, sample, n, 0, NULL, &out->recording, error);
    if (status == DIPP_OK) {
        out->outputs = (size_t)dipp_shape_elements(&out->recording.out);
        status = dipp_program_create(&out->recording.graph, out->backend, &out->program, error);
    }
    if (status == DIPP_OK)
        status = create_sets(out, error);
    if (status == DIPP_OK)
        status = dipp_plan_create(out->backend, &out->plan, error);
    for (uint32_t s = 0; s < 2 && status == DIPP_OK; s++)
        status = dipp_plan_step(out->plan, out->program, s, error);
    if (status == DIPP_OK)
        status = dipp_plan_solve(out->plan, 0, NULL, error);
    if (status == DIPP_OK)
        status = dipp_plan_allocate(out->plan, error);
    dipp_binding bindings[2] = {{out->set, NULL}, {out->text_set, NULL}};
    if (status == DIPP_OK)
        status = dipp_executable_create(out->plan, out->program, bindings, 2, &out->run, error);
    if (status != DIPP_OK)
        kit_model_destroy(out);
    return status;
}

void kit_model_destroy(kit_model *model)
{
    dipp_executable_destroy(&model->run);
    dipp_plan_destroy(&model->plan);
    dipp_program_destroy(&model->program);
    dipp_parameter_set_destroy(&model->set);
    dipp_parameter_set_destroy(&model->text_set);
    kit_recording_release(&model->recording);
    dipp_backend_destroy(&model->backend);
}

/* Writes an input when the program has it: one that the recording does not use is gone. */
static dipp_status write_input(kit_model *m, const char *name, const void *data, dipp_host_type type, size_t count,
                               dipp_error *error)
{
    dipp_dtype dtype;
    dipp_shape shape;
    if (dipp_program_find(m->program, name, &dtype, &shape, NULL) != DIPP_OK)
        return DIPP_OK;
    return dipp_executable_write(m->run, name, data, type, count, error);
}

/* Level of a row: four amounts of noise in turn, in the plugin's schedule where it has one. */
static void level_of(const kit_instance *instance, uint32_t row, double *t, double *alpha, double *sigma)
{
    static const double ratios[4] = {0.3, 0.8, 2.0, 0.1};
    bool reference = instance->of->plugin->kind == DIPP_PLUGIN_REFERENCE;
    dipp_schedule any = {.kind = DIPP_SCHEDULE_VE, .t_min = 0.002, .t_max = 80};
    const dipp_schedule *schedule =
        reference && instance->space.schedule.kind != DIPP_SCHEDULE_ANY ? &instance->space.schedule : &any;
    double at = dipp_schedule_time_of(schedule, ratios[row % 4]);
    dipp_schedule_at(schedule, at, alpha, sigma);
    *t = dipp_network_time(reference ? instance->space.parameterisation : instance->generator.parameterisation, at,
                           *alpha, *sigma);
}

static dipp_status write_levels(kit_model *m, uint32_t first, dipp_error *error)
{
    double t, alpha, sigma, values[3][8];
    for (int64_t i = 0; i < m->n && i < 8; i++) {
        level_of(m->instance, first + (uint32_t)i, &t, &alpha, &sigma);
        values[0][i] = t, values[1][i] = alpha, values[2][i] = sigma;
    }
    dipp_status status = write_input(m, "level.t", values[0], DIPP_HOST_F64, (size_t)m->n, error);
    if (status == DIPP_OK)
        status = write_input(m, "level.alpha", values[1], DIPP_HOST_F64, (size_t)m->n, error);
    return status == DIPP_OK ? write_input(m, "level.sigma", values[2], DIPP_HOST_F64, (size_t)m->n, error) : status;
}

/* Even rows have the prompt that was given, odd rows the null prompt. */
static dipp_status write_text(kit_model *m, uint32_t first, dipp_error *error)
{
    const dipp_plugin *plugin = m->instance->of->plugin;
    const char *prompt = m->instance->of->options->prompt, *texts[8];
    bool reward = plugin->kind == DIPP_PLUGIN_REWARD;
    size_t length = reward ? m->instance->info.token_length : m->instance->space.token_length, count = length * m->n;
    if (!length || plugin->kind == DIPP_PLUGIN_GENERATOR)
        return DIPP_OK;
    for (int64_t i = 0; i < m->n && i < 8; i++)
        texts[i] = m->texts ? m->texts[i] : prompt && (first + i) % 2 == 0 ? prompt : "";
    int32_t *tokens = dipp_allocate_zeroed(count, sizeof *tokens);
    float *mask = dipp_allocate_zeroed(count, sizeof *mask);
    dipp_status status = tokens && mask ? DIPP_OK : dipp_fail(error, DIPP_E_MEMORY, "no memory for tokens");
    if (status == DIPP_OK)
        status = reward ? ((const dipp_reward *)plugin->vtable)
                              ->tokenize(m->instance->self, texts, (uint32_t)m->n, tokens, mask, error)
                        : ((const dipp_reference *)plugin->vtable)
                              ->tokenize(m->instance->self, texts, (uint32_t)m->n, tokens, mask, error);
    if (status == DIPP_OK)
        status = write_input(m, "tokens", tokens, DIPP_HOST_I32, count, error);
    if (status == DIPP_OK)
        status = write_input(m, "mask", mask, DIPP_HOST_F32, count, error);
    dipp_release(tokens);
    dipp_release(mask);
    return status;
}

dipp_status kit_model_forward(kit_model *model, uint32_t first, const double *x, double *y, dipp_error *error)
{
    dipp_status status = write_input(model, "x", x, DIPP_HOST_F64, model->inputs, error);
    if (status == DIPP_OK)
        status = write_levels(model, first, error);
    if (status == DIPP_OK)
        status = write_text(model, first, error);
    if (status != DIPP_OK)
        return status;
    dipp_execute(model->run, 0);
    return dipp_executable_read(model->run, "y", y, DIPP_HOST_F64, model->outputs, error);
}

dipp_status kit_model_backward(kit_model *model, const double *dy, double *dx, dipp_error *error)
{
    dipp_status status = write_input(model, "dy", dy, DIPP_HOST_F64, model->outputs, error);
    if (status != DIPP_OK)
        return status;
    dipp_execute(model->run, 1);
    return dipp_executable_read(model->run, "dx", dx, DIPP_HOST_F64, model->inputs, error);
}
