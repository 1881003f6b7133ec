/* The gradient that dipp_record_divergence sends into a Gaussian generator, with expectations as finite sums: equal to the
 * closed forms for every schedule, weight, form and dimension. */
#include "exact.h"

static const dipp_divergence_form forms[] = {DIPP_FORM_SCORE, DIPP_FORM_DATA, DIPP_FORM_EPS, DIPP_FORM_V,
                                             DIPP_FORM_FLOW};

static void every_scenario_and_form_has_the_known_gradient(void **state)
{
    (void)state;
    for (int name = 0; name < SCENARIOS; name++) {
        const scenario *s = &scenarios[name];
        double a = scenario_b(name, REFERENCE_VARIANCE), b = scenario_b(name, START_FACTOR * START_FACTOR);
        double d_mu = a * (START_MEAN - REFERENCE_MEAN), d_sig = START_FACTOR * (a - b);
        if (s->a) { /* the formulas of this test agree with the numbers of the table */
            exact_near(s->name, a, s->a, 1e-8, 0);
            exact_near(s->name, d_mu, s->d_mu, 1e-8, 0);
            exact_near(s->name, d_sig, s->d_sig, 1e-8, 0);
        }
        exact e;
        exact_open(&e, &(exact_choice){.schedule = s->sampler.schedule});
        nodes at;
        nodes_affine(&at, s, 1, 24);
        for (size_t f = 0; f < sizeof forms / sizeof *forms; f++) {
            exact_program p;
            exact_record_generator(&p, &e, &at, &(dipp_divergence_spec){.form = forms[f]}, exact_divergence, 0);
            exact_run(&p, "", 1);
            double mean, factor;
            exact_gradient(e.models->generator_set, "mean", &mean);
            exact_gradient(e.models->generator_set, "factor", &factor);
            exact_near(s->name, mean, d_mu, 1e-6, 0);
            exact_near(s->name, factor, d_sig, 1e-6, 0);
            exact_program_close(&p);
        }
        nodes_release(&at);
        exact_close(&e);
    }
}

/* The total gradient, rewards included, vanishes at the known optimum and nowhere near it. */
static void rewards_move_the_optimum_as_far_as_they_should(void **state)
{
    (void)state;
    static const char *const rewards[] = {"linear", "quadratic"};
    static const char *const parameters[] = {"direction=[0.8]", "center=[2]; curvature=1.5"};
    for (int name = 0; name < SCENARIOS; name++)
        for (int r = 0; r < 2; r++) {
            const scenario *s = &scenarios[name];
            double mu = r ? s->mu_quadratic : s->mu_linear, variance = r ? s->variance_quadratic : REFERENCE_VARIANCE;
            if (!mu || !variance)
                continue;
            double sig = sqrt(variance), mean, factor;
            char text[96];
            snprintf(text, sizeof text, "mean=[%.12g]; factor=[[%.12g]]", mu, sig);
            exact e;
            exact_open(&e, &(exact_choice){.schedule = s->sampler.schedule,
                                           .generator = text,
                                           .rewards = {rewards[r]},
                                           .reward_parameters = {parameters[r]}});
            nodes at;
            nodes_affine(&at, s, 1, 24);
            exact_program p;
            exact_record_generator(&p, &e, &at, &(dipp_divergence_spec){0}, exact_divergence, 0.6);
            exact_run(&p, "", 1);
            exact_gradient(e.models->generator_set, "mean", &mean);
            exact_gradient(e.models->generator_set, "factor", &factor);
            exact_near(s->name, mean, 0, 0, 1e-7);
            exact_near(s->name, factor, 0, 0, 1e-7);
            double moved[2] = {mu + 0.01, sig + 0.01}; /* TA follows the generator */
            exact_write(e.models->generator_set, "mean", &moved[0]);
            exact_write(e.models->generator_set, "factor", &moved[1]);
            exact_write(e.models->ta_set, "mean", &moved[0]);
            exact_write(e.models->ta_set, "factor", &moved[1]);
            exact_run(&p, "", 1);
            exact_gradient(e.models->generator_set, "mean", &mean);
            exact_gradient(e.models->generator_set, "factor", &factor);
            exact_near(s->name, mean, (s->a + (r ? 0.9 : 0)) * 0.01, 1e-5, 1e-7);
            assert_true(factor > 1e-4);
            exact_program_close(&p);
            nodes_release(&at);
            exact_close(&e);
        }
}

static const char THREE_REFERENCE[] =
    "mean=[1, -0.5, 0.25]; covariance=[[%.17g, %.17g, %.17g], [%.17g, %.17g, %.17g], [%.17g, %.17g, %.17g]]";

/* S = Q diag(0.04, 0.25, 1.5) Q^T, Q = Rz(0.7) Rx(0.4). */
static void write_reference(char *text, size_t size)
{
    const double c = cos(0.7), s = sin(0.7), C = cos(0.4), S = sin(0.4), lambda[3] = {0.04, 0.25, 1.5};
    const double q[3][3] = {{c, -s * C, s * S}, {s, c * C, -c * S}, {0, S, C}};
    double m[9] = {0};
    for (int i = 0; i < 3; i++)
        for (int j = 0; j <= i; j++) {
            for (int k = 0; k < 3; k++)
                m[3 * i + j] += q[i][k] * lambda[k] * q[j][k];
            m[3 * j + i] = m[3 * i + j];
        }
    snprintf(text, size, THREE_REFERENCE, m[0], m[1], m[2], m[3], m[4], m[5], m[6], m[7], m[8]);
}

static void three_dimensions_have_the_known_matrices(void **state)
{
    (void)state;
    const scenario *s = &scenarios[VP_WBETA];
    static const double d_mean[3] = {-1.1895340660, 1.2454461624, -0.3751044603};
    static const double d_factor[9] = {1.7196872204, 0.7104887316,  -0.3911312810, 1.1959413125, 0.7387307300,
                                       0.3757764620, -0.2287163146, 0.2338589208,  0.1758718159};
    char reference[512];
    write_reference(reference, sizeof reference);
    exact e;
    exact_open(&e, &(exact_choice){.schedule = s->sampler.schedule,
                                   .reference_parameters = reference,
                                   .generator = "mean=[0.2, 0.4, -0.6]; "
                                                "factor=[[0.9, 0, 0], [0.3, 0.7, 0], [-0.2, 0.1, 1.2]]"});
    nodes at;
    nodes_affine(&at, s, 3, 12);
    for (size_t f = 0; f < sizeof forms / sizeof *forms; f += 2) {
        exact_program p;
        exact_record_generator(&p, &e, &at, &(dipp_divergence_spec){.form = forms[f]}, exact_divergence, 0);
        exact_run(&p, "", 1);
        double mean[3], factor[9];
        exact_gradient(e.models->generator_set, "mean", mean);
        exact_gradient(e.models->generator_set, "factor", factor);
        for (int i = 0; i < 3; i++)
            exact_near("d mean", mean[i], d_mean[i], 1e-6, 1e-9);
        for (int i = 0; i < 9; i++)
            exact_near("d factor", factor[i], d_factor[i], 1e-6, 1e-9);
        exact_program_close(&p);
    }
    nodes_release(&at);
    exact_close(&e);
}

/* Linear: mu* = m + alpha A^-1 b, C* = S. Quadratic with a full K: mu* and C* as tabulated to 10 digits. */
static void three_dimensional_optima_have_no_gradient(void **state)
{
    (void)state;
    const scenario *s = &scenarios[VP_WBETA];
    char reference[512], generator[768];
    write_reference(reference, sizeof reference);
    snprintf(generator, sizeof generator, "mean=[1.3123703767, -0.9436389842, 0.9535275591]; %s",
             strstr(reference, "covariance"));
    static const char quadratic[] =
        "mean=[0.8101957989, -0.2466945577, 0.0984682136]; covariance=[[0.1038354232, -0.1002755171, 0.1149664138], "
        "[-0.1002755171, 0.1364039167, -0.1115724175], [0.1149664138, -0.1115724175, 0.6644720665]]";
    const char *const generators[] = {generator, quadratic}, *const rewards[] = {"linear", "quadratic"};
    static const char *const parameters[] = {
        "direction=[0.5, -1, 0.8]", "center=[0, 1, 0.5]; matrix=[[1, 0.3, 0], [0.3, 0.8, -0.2], [0, -0.2, 0.5]]"};
    nodes at;
    nodes_affine(&at, s, 3, 12);
    for (int r = 0; r < 2; r++) {
        exact e;
        exact_open(&e, &(exact_choice){.schedule = s->sampler.schedule,
                                       .reference_parameters = reference,
                                       .generator = generators[r],
                                       .rewards = {rewards[r]},
                                       .reward_parameters = {parameters[r]}});
        exact_program p;
        exact_record_generator(&p, &e, &at, &(dipp_divergence_spec){0}, exact_divergence, 0.6);
        exact_run(&p, "", 1);
        double mean[3], factor[9];
        exact_gradient(e.models->generator_set, "mean", mean);
        exact_gradient(e.models->generator_set, "factor", factor);
        for (int i = 0; i < 3; i++)
            exact_near("d mean at the optimum", mean[i], 0, 0, 1e-7);
        for (int i = 0; i < 9; i++)
            exact_near("d factor at the optimum", factor[i], 0, 0, 1e-7);
        exact_program_close(&p);
        exact_close(&e);
    }
    nodes_release(&at);
}

/* DMD: G = (D_ta - D_ref)/(mean|x0 - D_ref| + 1e-6)/elements, compared per sample with the formula written out. */
static void dmd_is_normalised_per_sample(void **state)
{
    (void)state;
    const scenario *s = &scenarios[VP_WBETA];
    exact e;
    exact_open(&e, &(exact_choice){.schedule = s->sampler.schedule});
    nodes at;
    nodes_affine(&at, s, 1, 2);
    exact_program p;
    exact_record_generator(&p, &e, &at, &(dipp_divergence_spec){.normalise = DIPP_NORMALISE_DMD}, exact_divergence, 0);
    exact_run(&p, "", 1);
    double dx0[256];
    assert_true(at.count <= 256);
    CHECK(dipp_executable_read(p.run, "dx0", dx0, DIPP_HOST_F64, (size_t)at.count, error));
    for (int64_t i = 0; i < at.count; i++) {
        double a = at.alpha[i], v = a * a * 1.69 + at.sigma[i] * at.sigma[i],
               r = a * a * 0.25 + at.sigma[i] * at.sigma[i];
        double x0 = -0.5 + 1.3 * at.z[i], x = a * x0 + at.sigma[i] * at.eps[i];
        double ta = -0.5 + a * 1.69 / v * (x + 0.5 * a), reference = 1 + a * 0.25 / r * (x - a);
        exact_near("DMD", dx0[i], at.weight[i] * (ta - reference) / (fabs(x0 - reference) + 1e-6), 1e-10, 1e-14);
    }
    exact_program_close(&p);
    nodes_release(&at);
    exact_close(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_scenario_and_form_has_the_known_gradient),
        cmocka_unit_test(rewards_move_the_optimum_as_far_as_they_should),
        cmocka_unit_test(three_dimensions_have_the_known_matrices),
        cmocka_unit_test(three_dimensional_optima_have_no_gradient),
        cmocka_unit_test(dmd_is_normalised_per_sample),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
