/* Generators of K steps: x_T is denoised, K - 1 times noised again and denoised. With a Gaussian denoiser the result is
 * Gaussian, with mean and variance by a recursion, so that gradients through all steps and through the last alone are
 * known. */
#include "exact.h"

#include "train/program_io.h"

static const double MU = 0.7, L = 0.9, SIGMA_INIT = 2.5;
static const char DENOISER[] = "mean=[0.7]; factor=[[0.9]]; sigma_init=2.5";

/* x0 = D(x) = mu + h (x - a mu) with x of the last step ~ N(mean, variance) at level a, s. */
typedef struct law {
    double mean, variance;     /* of x0 */
    double x_mean, x_variance; /* of the last step's input */
    double a, s;               /* its level */
} law;

static double shrink(double a, double s, double factor)
{
    return a * factor * factor / (a * a * factor * factor + s * s);
}

static law law_of(const dipp_schedule *schedule, const dipp_generator_steps *steps, double mu, double factor)
{
    law l = {0};
    double ratio = SIGMA_INIT;
    for (uint32_t k = 0; k < steps->count; k++) {
        if (k > 0)
            ratio = steps->level_count ? steps->levels[k] : 0.4 * ratio;
        dipp_schedule_at(schedule, dipp_schedule_time_of(schedule, ratio), &l.a, &l.s);
        l.x_mean = k ? l.a * l.mean : 0;
        l.x_variance = l.s * l.s + (k ? l.a * l.a * l.variance : 0);
        double h = shrink(l.a, l.s, factor);
        l.mean = mu + h * (l.x_mean - l.a * mu);
        l.variance = h * h * l.x_variance;
    }
    return l;
}

/* A number's derivative: through the recursion, or at a last step whose input is given. */
static void known_gradient(const scenario *s, scenario_name name, const dipp_generator_steps *steps, double out[2])
{
    const dipp_schedule *schedule = &s->sampler.schedule;
    law l = law_of(schedule, steps, MU, L);
    double a = scenario_b(name, REFERENCE_VARIANCE), b = scenario_b(name, l.variance), h = 1e-5;
    double by_mean = a * (l.mean - REFERENCE_MEAN), by_variance = 0.5 * (a - b);
    if (steps->last_only) {
        double slope = (shrink(l.a, l.s, L + h) - shrink(l.a, l.s, L - h)) / (2 * h), k = shrink(l.a, l.s, L);
        out[0] = (1 - k * l.a) * by_mean;
        out[1] = slope * (by_mean * (l.x_mean - l.a * MU) + 2 * by_variance * l.variance / k);
        return;
    }
    for (int i = 0; i < 2; i++) {
        law up = law_of(schedule, steps, MU + (i ? 0 : h), L + (i ? h : 0));
        law down = law_of(schedule, steps, MU - (i ? 0 : h), L - (i ? h : 0));
        out[i] = (by_mean * (up.mean - down.mean) + by_variance * (up.variance - down.variance)) / (2 * h);
    }
}

static void open_steps(exact *e, const dipp_schedule *schedule, const dipp_generator_steps *steps)
{
    char ta[96];
    law l = law_of(schedule, steps, MU, L);
    snprintf(ta, sizeof ta, "mean=[%.15g]; factor=[[%.15g]]", l.mean, sqrt(l.variance));
    exact_open(e, &(exact_choice){.schedule = *schedule, .generator = DENOISER, .ta = ta, .steps = *steps});
}

static const dipp_generator_steps cases[] = {
    {.count = 1},
    {.count = 2},
    {.count = 2, .last_only = true},
    {.count = 3, .level_count = 2, .levels = {0, 1.5, 0.3}},
    {.count = 3, .level_count = 2, .levels = {0, 1.5, 0.3}, .last_only = true},
    {.count = 4},
};

static void gradients_of_k_steps_are_the_known_ones(void **state)
{
    (void)state;
    static const scenario_name names[] = {VP_WBETA, VE_W1};
    for (int n = 0; n < 2; n++)
        for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
            const scenario *s = &scenarios[names[n]];
            double want[2], found[2];
            known_gradient(s, names[n], &cases[k], want);
            exact e;
            open_steps(&e, &s->sampler.schedule, &cases[k]);
            nodes at;
            nodes_steps(&at, s, 1, cases[k].count, 24);
            exact_program p;
            exact_record_generator(&p, &e, &at, &(dipp_divergence_spec){0}, exact_divergence, 0);
            exact_run(&p, "", 1);
            exact_gradient(e.models->generator_set, "mean", &found[0]);
            exact_gradient(e.models->generator_set, "factor", &found[1]);
            exact_near("d mu of K steps", found[0], want[0], 1e-6, 0);
            exact_near("d L of K steps", found[1], want[1], 1e-6, 0);
            exact_program_close(&p);
            nodes_release(&at);
            exact_close(&e);
        }
}

/* Through Philox keys as training and sampling write them: each step has noise of its own, else the variance differs. */
static void every_step_draws_noise_of_its_own(void **state)
{
    (void)state;
    enum { SAMPLES = 200000 };
    const dipp_schedule *schedule = &scenarios[VP_WBETA].sampler.schedule;
    const dipp_generator_steps *steps = &cases[3];
    law l = law_of(schedule, steps, MU, L);
    exact e;
    open_steps(&e, schedule, steps);
    dipp_graph *g;
    dipp_program *program;
    dipp_plan *plan;
    dipp_executable *run;
    dipp_plan_report report;
    CHECK(dipp_graph_create("samples", &g, error));
    dipp_params p = dipp_graph_slot(g, "generator", e.models->generator_layout, false);
    dipp_output(g, "x0", dipp_record_generator(e.models, g, p, (dipp_condition){0}, SAMPLES));
    CHECK(dipp_program_create(&g, e.backend, &program, error));
    CHECK(dipp_plan_create(e.backend, &plan, error));
    CHECK(dipp_plan_step(plan, program, 0, error));
    CHECK(dipp_plan_solve(plan, 0, &report, error));
    CHECK(dipp_plan_allocate(plan, error));
    CHECK(dipp_executable_create(plan, program, &(dipp_binding){e.models->generator_set, NULL}, 1, &run, error));
    CHECK(dipp_write_noise_keys(run, steps->count, 3, 17, 0, 0, error));
    dipp_execute(run, 0);
    double *x0 = test_malloc(SAMPLES * sizeof *x0), sum = 0, squares = 0;
    CHECK(dipp_executable_read(run, "x0", x0, DIPP_HOST_F64, SAMPLES, error));
    for (int i = 0; i < SAMPLES; i++)
        sum += x0[i];
    for (int i = 0; i < SAMPLES; i++)
        squares += (x0[i] - l.mean) * (x0[i] - l.mean);
    exact_near("mean", sum / SAMPLES, l.mean, 0, 5 * sqrt(l.variance / SAMPLES));
    exact_near("variance", squares / SAMPLES, l.variance, 5 * sqrt(2.0 / SAMPLES), 0);
    test_free(x0);
    dipp_executable_destroy(&run);
    dipp_plan_destroy(&plan);
    dipp_program_destroy(&program);
    exact_close(&e);
}

static void steps_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    static const struct {
        dipp_generator_steps steps;
        const char *text;
        bool in_one_go;
    } rows[] = {{{.count = 2}, "in one go and cannot take 2 steps", true},
                {{.count = 40}, "at most 32", false},
                {{.count = 3, .level_count = 1, .levels = {0, 1}}, "need 2 more levels, not 1", false},
                {{.count = 1, .level_count = 1, .levels = {0, 1}}, "need 0 more levels, not 1", false},
                {{.count = 2, .level_count = 1, .levels = {0, 2.5}}, "must fall from sigma_init 2.5", false},
                {{.count = 3, .level_count = 2, .levels = {0, 1, -1}}, "stay above 0", false},
                {{.count = 2, .level_count = 1, .levels = {0, 0.001}}, "outside the noise schedule", false}};
    exact e;
    const dipp_schedule *schedule = &scenarios[VP_WBETA].sampler.schedule;
    open_steps(&e, schedule, &cases[0]);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        static const dipp_host host = {.struct_size = sizeof host};
        static const char *const plain = "mean=[0.7]";
        const dipp_loaded_plugin *reference = NULL, *generator = NULL;
        dipp_parameters *own = NULL;
        dipp_models *models = NULL;
        dipp_error refused = {0};
        CHECK(dipp_plugins_find(e.plugins, DIPP_PLUGIN_REFERENCE, "affine", &reference, error));
        CHECK(dipp_plugins_find(e.plugins, DIPP_PLUGIN_GENERATOR, "affine", &generator, error));
        const dipp_plugin *g = generator->descriptor;
        CHECK(dipp_parameters_create_from_text(g->parameters, g->parameter_count, &plain, 1, &own, error));
        dipp_models_options options = {.reference = {reference->descriptor, e.parameters[0]},
                                       .generator = {g, rows[i].in_one_go ? own : e.parameters[1]},
                                       .schedule = schedule,
                                       .steps = rows[i].steps,
                                       .host = &host};
        assert_int_equal(dipp_models_create(e.backend, &options, &models, &refused), DIPP_E_INVALID);
        assert_null(models);
        if (!strstr(refused.message, rows[i].text))
            fail_msg("expected \"%s\" in \"%s\"", rows[i].text, refused.message);
        dipp_parameters_destroy(&own);
    }
    exact_close(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_of_k_steps_are_the_known_ones),
        cmocka_unit_test(every_step_draws_noise_of_its_own),
        cmocka_unit_test(steps_that_make_no_sense_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
