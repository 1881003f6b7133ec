/* See exact.h. */
#include "exact.h"

#include <stdlib.h>

/* Splits "a=1; b=[2, 3]" and builds the bag of a plugin. */
static const dipp_plugin *choose(exact *e, int slot, dipp_plugin_kind kind, const char *name, const char *text)
{
    const dipp_loaded_plugin *loaded = NULL;
    CHECK(dipp_plugins_find(e->plugins, kind, name, &loaded, error));
    char copy[1024];
    const char *assignments[8];
    uint32_t count = 0;
    assert_true(strlen(text) < sizeof copy);
    strcpy(copy, text);
    char *rest = copy, *part;
    while ((part = strsep(&rest, ";"))) {
        part += strspn(part, " ");
        assert_true(count < 8);
        if (*part)
            assignments[count++] = part;
    }
    const dipp_plugin *p = loaded->descriptor;
    CHECK(dipp_parameters_create_from_text(p->parameters, p->parameter_count, assignments, count, &e->parameters[slot],
                                           error));
    return p;
}

void exact_open(exact *e, const exact_choice *choice)
{
    static const char *const start = "mean=[-0.5]; factor=[[1.3]]";
    static const dipp_host host = {.struct_size = sizeof host};
    *e = (exact){0};
    const char *file = getenv("DIPP_TEST_PLUGINS"); /* plugins of the test itself, in one file */
    CHECK(dipp_plugins_open(&(dipp_plugins_options){.files = &file, .file_count = file != NULL, .no_environment = true},
                            &e->plugins, error));
    dipp_backend_options machine = {.struct_size = sizeof machine,
                                    .precision = choice->precision ? choice->precision : "f64",
                                    .memory_limit = choice->memory_limit};
    CHECK(dipp_backend_create(choice->device ? choice->device : "reference", &machine, &e->backend, error));
    dipp_models_options options = {.schedule = &choice->schedule,
                                   .steps = choice->steps,
                                   .train_generator = true,
                                   .formats = choice->formats,
                                   .ta_formats = choice->ta_formats,
                                   .host = &host};
    const char *generator = choice->generator ? choice->generator : start;
    const char *ta = choice->ta ? choice->ta : generator;
    options.reference.plugin =
        choose(e, 0, DIPP_PLUGIN_REFERENCE, choice->reference ? choice->reference : "affine",
               choice->reference_parameters ? choice->reference_parameters : "mean=[1]; factor=[[0.5]]");
    options.generator.plugin = choose(e, 1, DIPP_PLUGIN_GENERATOR, "affine", generator);
    options.ta.plugin = choose(e, 2, DIPP_PLUGIN_REFERENCE, "affine", ta);
    options.reference.parameters = e->parameters[0];
    options.generator.parameters = e->parameters[1];
    options.ta.parameters = e->parameters[2];
    for (int i = 0; i < EXACT_REWARDS && choice->rewards[i]; i++) {
        options.rewards[i].plugin =
            choose(e, 3 + i, DIPP_PLUGIN_REWARD, choice->rewards[i], choice->reward_parameters[i]);
        options.rewards[i].parameters = e->parameters[3 + i];
        options.reward_files[i] = (dipp_weight_files){choice->reward_files[i], choice->reward_heads[i]};
        options.reward_count++;
    }
    CHECK(dipp_models_create(e->backend, &options, &e->models, error));
    CHECK(dipp_models_initialise(e->models, 1, error));
}

void exact_close(exact *e)
{
    dipp_models_destroy(&e->models);
    dipp_backend_destroy(&e->backend);
    for (int i = 0; i < 3 + EXACT_REWARDS; i++)
        dipp_parameters_destroy(&e->parameters[i]);
    dipp_plugins_destroy(&e->plugins);
}

/* ---- Parameters ---- */

static const dipp_layout_entry *entry_of(const dipp_parameter_set *set, const char *name)
{
    uint32_t index = 0;
    if (!dipp_layout_find(set->layout, name, &index))
        fail_msg("the set %s has no entry %s", set->name, name);
    return dipp_layout_entry_at(set->layout, index);
}

static double *whole_block(const dipp_parameter_set *set, dipp_block block)
{
    double *all = test_malloc((size_t)dipp_layout_elements(set->layout) * sizeof *all);
    dipp_parameter_set_read(set, block, all, DIPP_HOST_F64);
    return all;
}

void exact_write(dipp_parameter_set *set, const char *entry, const double *values)
{
    const dipp_layout_entry *found = entry_of(set, entry);
    double *all = whole_block(set, DIPP_BLOCK_MASTER);
    memcpy(all + found->offset, values, (size_t)found->elements * sizeof *all);
    dipp_parameter_set_write(set, DIPP_BLOCK_MASTER, all, DIPP_HOST_F64);
    CHECK(dipp_parameter_set_refresh(set, error));
    test_free(all);
}

void exact_read(const dipp_parameter_set *set, const char *entry, double *values)
{
    CHECK(dipp_parameter_set_read_entry(set, entry, values, (size_t)entry_of(set, entry)->elements, error));
}

void exact_gradient(const dipp_parameter_set *set, const char *entry, double *values)
{
    const dipp_layout_entry *found = entry_of(set, entry);
    double *all = whole_block(set, DIPP_BLOCK_GRADIENT);
    memcpy(values, all + found->offset, (size_t)found->elements * sizeof *all);
    test_free(all);
}

void exact_clear_gradient(dipp_parameter_set *set)
{
    size_t bytes = (size_t)dipp_layout_elements(set->layout) * sizeof(double);
    double *zeros = test_malloc(bytes);
    memset(zeros, 0, bytes);
    dipp_parameter_set_write(set, DIPP_BLOCK_GRADIENT, zeros, DIPP_HOST_F64);
    test_free(zeros);
}

/* ---- Programs ---- */

void exact_divergence(dipp_graph *g, const exact_step *step, dipp_tensor *y, dipp_tensor *dy)
{
    dipp_divergence_terms terms = dipp_record_divergence(g, &step->spec, &step->in);
    dipp_output(g, "squared_score", terms.squared_score);
    if (step->spec.guided)
        dipp_output(g, "squared_score_null", terms.squared_score_null);
    *y = step->in.x0;
    *dy = step->spec.guided ? dipp_add(g, terms.divergence, terms.cfg) : terms.divergence;
    if (step->spec.guided)
        dipp_output(g, "cfg", terms.cfg);
    dipp_output(g, "dx0", *dy);
}

static void plan(exact_program *p, dipp_graph **g, const dipp_binding *bindings, uint32_t count)
{
    CHECK(dipp_program_create(g, p->e->backend, &p->program, error));
    CHECK(dipp_plan_create(p->e->backend, &p->plan, error));
    CHECK(dipp_plan_step(p->plan, p->program, 0, error));
    dipp_plan_report report;
    CHECK(dipp_plan_solve(p->plan, 0, &report, error));
    CHECK(dipp_plan_allocate(p->plan, error));
    CHECK(dipp_executable_create(p->plan, p->program, bindings, count, &p->run, error));
}

static dipp_tensor record_x0(const exact_program *p, dipp_graph *g, dipp_params theta, dipp_condition c)
{
    const dipp_models *m = p->e->models;
    dipp_tensor z[DIPP_MAX_GENERATOR_STEPS];
    assert_int_equal(m->steps.count, p->at->draws);
    for (uint32_t k = 0; k < m->steps.count; k++) {
        char name[16];
        snprintf(name, sizeof name, "z.%u", k);
        z[k] = dipp_input(g, name, DIPP_WIDE, dipp_batch_shape(m, p->at->count));
    }
    return dipp_record_generator_from(m, g, theta, c, z);
}

void exact_record_generator(exact_program *p, exact *e, const nodes *at, const dipp_divergence_spec *spec,
                            exact_rule rule, double alpha)
{
    dipp_models *m = e->models;
    *p = (exact_program){.e = e, .at = at};
    int64_t n = at->count;
    dipp_graph *g;
    CHECK(dipp_graph_create("exact gradient", &g, error));
    dipp_params theta = dipp_graph_slot(g, "generator", m->generator_layout, true);
    dipp_network ta = dipp_ta_network(m), reference = dipp_reference_network(m);
    exact_step step = {.spec = *spec,
                       .in = {.ta = &ta,
                              .reference = &reference,
                              .ta_params = dipp_graph_slot(g, "ta", m->ta_layout, false),
                              .reference_params = dipp_graph_slot(g, "reference", m->reference_layout, false),
                              .eps = dipp_input(g, "eps", DIPP_WIDE, dipp_batch_shape(m, n)),
                              .level = dipp_level_inputs(g, "level", n),
                              .weight = dipp_input(g, "weight", DIPP_WIDE, DIPP_SHAPE(n)),
                              .omega = dipp_input(g, "omega", DIPP_WIDE, (dipp_shape){0}),
                              .cfg_weight = dipp_input(g, "cfg_weight", DIPP_WIDE, DIPP_SHAPE(n)),
                              .cfg_eps = dipp_input(g, "cfg_eps", DIPP_WIDE, dipp_batch_shape(m, n)),
                              .cfg_level = dipp_level_inputs(g, "cfg", n)},
                       .share = dipp_input(g, "share", DIPP_WIDE, DIPP_SHAPE(n))};
    dipp_params text = dipp_graph_slot(g, "text", m->text_layout, false);
    if (m->space.token_length) {
        step.in.condition = dipp_encode_text(m, g, text, dipp_text_inputs(m, g, "", n));
        step.in.null_condition = dipp_encode_text(m, g, text, dipp_text_inputs(m, g, "null_", n));
    }
    step.in.ta_level = step.in.level;
    step.in.x0 = record_x0(p, g, theta, step.in.condition);
    dipp_tensor y[1 + EXACT_REWARDS], dy[1 + EXACT_REWARDS];
    rule(g, &step, &y[0], &dy[0]);
    for (uint32_t i = 0; i < m->reward_count; i++) {
        const dipp_reward_model *reward = &m->rewards[i];
        dipp_params own = dipp_graph_slot(g, "reward", reward->layout, false);
        y[1 + i] = reward->vtable->record(reward->self, g, own, step.in.x0, (dipp_prompt){DIPP_NONE, DIPP_NONE},
                                          DIPP_REWARD_ALIGN);
        dy[1 + i] = dipp_scale_add(g, step.share, -alpha, 0);
    }
    dipp_gradients(g, 1 + m->reward_count, y, dy, 0, NULL, NULL);
    dipp_binding bindings[4 + EXACT_REWARDS] = {
        {m->generator_set, NULL}, {m->ta_set, NULL}, {m->reference_set, NULL}, {m->text_set, NULL}};
    for (uint32_t i = 0; i < m->reward_count; i++)
        bindings[4 + i].set = m->rewards[i].set;
    plan(p, &g, bindings, 4 + m->reward_count);
}

void exact_record_ta(exact_program *p, exact *e, const nodes *at)
{
    dipp_models *m = e->models;
    *p = (exact_program){.e = e, .at = at};
    dipp_graph *g;
    CHECK(dipp_graph_create("exact gradient of the TA", &g, error));
    dipp_params theta = dipp_graph_slot(g, "generator", m->generator_layout, false);
    dipp_params psi = dipp_graph_slot(g, "ta", m->ta_layout, true);
    dipp_network ta = dipp_ta_network(m);
    dipp_condition none = {0};
    dipp_tensor x0 = record_x0(p, g, theta, none);
    dipp_tensor eps = dipp_input(g, "eps", DIPP_WIDE, dipp_batch_shape(m, at->count));
    dipp_level level = dipp_level_inputs(g, "level", at->count);
    dipp_tensor error = dipp_sub(g, dipp_denoise(&ta, g, psi, dipp_add_noise(g, x0, eps, level), level, none), x0);
    dipp_tensor losses = dipp_mul(g, dipp_sum_per_sample(g, dipp_mul(g, error, error)),
                                  dipp_input(g, "share", DIPP_WIDE, DIPP_SHAPE(at->count)));
    dipp_tensor loss = dipp_sum(g, losses, 1, false);
    dipp_output(g, "losses", losses);
    dipp_gradients(g, 1, &loss, NULL, 0, NULL, NULL);
    plan(p, &g, (dipp_binding[]){{m->generator_set, NULL}, {m->ta_set, NULL}}, 2);
}

/* Writes an input when the program has it: one that the recording does not use is gone. */
static void write(exact_program *p, const char *name, const void *data, dipp_host_type type, int64_t count)
{
    dipp_dtype dtype;
    dipp_shape shape;
    if (!dipp_program_find(p->program, name, &dtype, &shape, NULL))
        CHECK(dipp_executable_write(p->run, name, data, type, (size_t)count, error));
}

static void write_text(exact_program *p, const char *prefix, const char *text)
{
    const dipp_models *m = p->e->models;
    int64_t n = p->at->count;
    assert_int_equal(m->space.token_length, 1);
    int32_t token, *tokens = test_malloc((size_t)n * sizeof *tokens);
    float one;
    char name[32];
    CHECK(m->reference->tokenize(m->reference_self, &text, 1, &token, &one, error));
    for (int64_t i = 0; i < n; i++)
        tokens[i] = token;
    snprintf(name, sizeof name, "%stokens", prefix);
    write(p, name, tokens, DIPP_HOST_I32, n);
    test_free(tokens);
}

void exact_run(exact_program *p, const char *label, double omega)
{
    const nodes *at = p->at, *cfg = p->cfg ? p->cfg : p->at;
    int64_t n = at->count;
    assert_int_equal(cfg->count, n);
    const struct {
        const char *name;
        const double *data;
        int64_t count;
    } inputs[] = {{"eps", at->eps, n * at->d},      {"level.t", at->t, n},          {"level.alpha", at->alpha, n},
                  {"level.sigma", at->sigma, n},    {"weight", at->weight, n},      {"share", at->share, n},
                  {"cfg_eps", cfg->eps, n * at->d}, {"cfg.t", cfg->t, n},           {"cfg.alpha", cfg->alpha, n},
                  {"cfg.sigma", cfg->sigma, n},     {"cfg_weight", cfg->weight, n}, {"omega", &omega, 1}};
    for (uint32_t k = 0; k < at->draws; k++) {
        char name[16];
        snprintf(name, sizeof name, "z.%u", k);
        write(p, name, at->z + k * n * at->d, DIPP_HOST_F64, n * at->d);
    }
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++)
        write(p, inputs[i].name, inputs[i].data, DIPP_HOST_F64, inputs[i].count);
    if (p->e->models->space.token_length) {
        write_text(p, "", label);
        write_text(p, "null_", "");
    }
    exact_clear_gradient(p->e->models->generator_set);
    exact_clear_gradient(p->e->models->ta_set);
    dipp_execute(p->run, 0);
}

void exact_program_close(exact_program *p)
{
    dipp_executable_destroy(&p->run);
    dipp_plan_destroy(&p->plan);
    dipp_program_destroy(&p->program);
}

double exact_total(const exact_program *p, const char *output, const double *factors)
{
    int64_t n = p->at->count;
    double *values = test_malloc((size_t)n * sizeof *values), sum = 0;
    CHECK(dipp_executable_read(p->run, output, values, DIPP_HOST_F64, (size_t)n, error));
    for (int64_t i = 0; i < n; i++)
        sum += values[i] * (factors ? factors[i] : 1);
    test_free(values);
    return sum;
}

void exact_near(const char *what, double found, double expected, double relative, double absolute)
{
    if (!(fabs(found - expected) <= relative * fabs(expected) + absolute))
        fail_msg("%s: found %.12g, expected %.12g", what, found, expected);
}
