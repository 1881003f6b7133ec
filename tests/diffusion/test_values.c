/* The IKL itself from squared score differences (de Bruijn's identity), and the TA: its smallest losses, its gradient
 * when it lags, and what that does to the generator. */
#include "exact.h"

/* KL of the noised Gaussians at (a, s). */
static double kl_at(double a, double s)
{
    double r = a * a * REFERENCE_VARIANCE + s * s, v = a * a * START_FACTOR * START_FACTOR + s * s;
    double from = a * (START_MEAN - REFERENCE_MEAN);
    return 0.5 * (log(r / v) + v / r - 1 + from * from / r);
}

/* E[factor(t) ||delta s||^2] + W(T) KL(T) = IKL: the trainer's metric lacks the second term. */
static void the_ikl_follows_from_score_differences(void **state)
{
    (void)state;
    for (int name = 0; name < SCENARIOS; name++) {
        const scenario *s = &scenarios[name];
        exact e;
        exact_open(&e, &(exact_choice){.schedule = s->sampler.schedule});
        nodes at;
        nodes_affine(&at, s, 1, 24);
        exact_program p;
        exact_record_generator(&p, &e, &at, &(dipp_divergence_spec){0}, exact_divergence, 0);
        exact_run(&p, "", 1);
        dipp_ikl_table *table;
        CHECK(dipp_ikl_table_create(&s->sampler, &table, error));
        double *factors = test_malloc((size_t)at.count * sizeof *factors), whole = 0, direct = 0, a, sigma;
        for (int64_t i = 0; i < at.count; i++) {
            factors[i] = at.share[i] * dipp_ikl_factor(table, at.t[i]);
            whole += at.weight[i];
            direct += at.weight[i] * kl_at(at.alpha[i], at.sigma[i]);
        }
        dipp_schedule_at(&s->sampler.schedule, s->last, &a, &sigma);
        double ikl = exact_total(&p, "squared_score", factors) + whole * kl_at(a, sigma);
        exact_near(s->name, ikl, direct, 1e-5, 0);
        if (s->ikl)
            exact_near(s->name, ikl, s->ikl, 1e-5, 0);
        test_free(factors);
        dipp_ikl_table_destroy(&table);
        exact_program_close(&p);
        nodes_release(&at);
        exact_close(&e);
    }
}

/* E||s_theta - s_ref||^2 integrated with w. */
static void squared_score_differences_are_the_known_ones(void **state)
{
    (void)state;
    static const double known[SCENARIOS] = {
        [VE_W1] = 20.1394958548, [VP_W1] = 6.6694241164, [VP_WBETA] = 12.8427656529, [DI_LN] = 1.6697554561};
    for (int name = 0; name < SCENARIOS; name++) {
        if (!known[name])
            continue;
        exact e;
        exact_open(&e, &(exact_choice){.schedule = scenarios[name].sampler.schedule});
        nodes at;
        nodes_affine(&at, &scenarios[name], 1, 24);
        exact_program p;
        exact_record_generator(&p, &e, &at, &(dipp_divergence_spec){0}, exact_divergence, 0);
        exact_run(&p, "", 1);
        exact_near(scenarios[name].name, exact_total(&p, "squared_score", at.weight), known[name], 1e-8, 0);
        exact_program_close(&p);
        nodes_release(&at);
        exact_close(&e);
    }
}

/* Four nodes at one level. */
static void one_level(nodes *at, const scenario *s, double a, double sigma)
{
    nodes_affine(at, s, 1, 1);
    at->count = 4;
    for (int i = 0; i < 4; i++) {
        at->alpha[i] = a;
        at->sigma[i] = sigma;
        at->share[i] = at->weight[i] = 0.25;
    }
}

/* At a = 0.8, s = 0.6, sig = 1.3 the exact TA leaves x0-error sig^2 s^2/V and has no gradient. */
static void the_exact_ta_has_the_smallest_loss(void **state)
{
    (void)state;
    exact e;
    exact_open(&e, &(exact_choice){.schedule = scenarios[VP_WBETA].sampler.schedule});
    nodes at;
    one_level(&at, &scenarios[VP_WBETA], 0.8, 0.6);
    exact_program p;
    exact_record_ta(&p, &e, &at);
    exact_run(&p, "", 1);
    double mean, factor, x0 = exact_total(&p, "losses", NULL);
    exact_gradient(e.models->ta_set, "mean", &mean);
    exact_gradient(e.models->ta_set, "factor", &factor);
    exact_near("x0 error", x0, 0.4220310766, 1e-9, 0);
    exact_near("eps error", x0 * 0.64 / 0.36, 0.7502774695, 1e-9, 0);
    exact_near("v error", x0 / 0.36, 1.1723085460, 1e-9, 0);
    exact_near("d mean", mean, 0, 0, 1e-12);
    exact_near("d factor", factor, 0, 0, 1e-12);
    double other = 1.25; /* and any other TA a larger one */
    exact_write(e.models->ta_set, "factor", &other);
    exact_run(&p, "", 1);
    assert_true(exact_total(&p, "losses", NULL) > x0 + 1e-5);
    exact_program_close(&p);
    nodes_release(&at);
    exact_close(&e);
}

/* TA at mean phi, variance right: generator A (mu - m) + B(sig^2) (phi - mu), TA 2 C (phi - mu) with C the mean of
 * (s^2/V)^2 over the law. */
static void a_lagging_ta_shifts_the_gradient_as_known(void **state)
{
    (void)state;
    const scenario *s = &scenarios[VP_WBETA];
    static const double q[3] = {0.25, 0.04, 0.01}, c[3] = {0.7629307062, 0.8830896386, 0.9383237592};
    static const double b[3] = {1.8479095917, 3.3502074853, 4.6407088776};
    nodes at;
    nodes_affine(&at, s, 1, 24);
    for (int i = 0; i < 3; i++) {
        char generator[64], ta[64];
        snprintf(generator, sizeof generator, "mean=[0.4]; factor=[[%.12g]]", sqrt(q[i]));
        snprintf(ta, sizeof ta, "mean=[0.7]; factor=[[%.12g]]", sqrt(q[i]));
        exact e;
        exact_open(&e, &(exact_choice){.schedule = s->sampler.schedule, .generator = generator, .ta = ta});
        exact_program p;
        double mean;
        exact_record_generator(&p, &e, &at, &(dipp_divergence_spec){0}, exact_divergence, 0);
        exact_run(&p, "", 1);
        exact_gradient(e.models->generator_set, "mean", &mean);
        exact_near("lagged gradient", mean, s->a * (0.4 - 1) + b[i] * 0.3, 1e-6, 0);
        exact_near("B", scenario_b(VP_WBETA, q[i]), b[i], 1e-9, 0);
        exact_program_close(&p);
        exact_record_ta(&p, &e, &at);
        exact_run(&p, "", 1);
        exact_gradient(e.models->ta_set, "mean", &mean);
        exact_near("TA gradient", mean, 2 * c[i] * 0.3, 1e-6, 0);
        exact_program_close(&p);
        exact_close(&e);
    }
    nodes_release(&at);
    /* At the single level a = 0.8, s = 0.6, q = 0.09. */
    exact e;
    exact_open(&e, &(exact_choice){.schedule = s->sampler.schedule,
                                   .generator = "mean=[0.4]; factor=[[0.3]]",
                                   .ta = "mean=[0.7]; factor=[[0.3]]"});
    one_level(&at, s, 0.8, 0.6);
    exact_program p;
    double mean;
    exact_record_generator(&p, &e, &at, &(dipp_divergence_spec){0}, exact_divergence, 0);
    exact_run(&p, "", 1);
    exact_gradient(e.models->generator_set, "mean", &mean);
    exact_near("lagged gradient at one level", mean, -0.2786914235, 1e-8, 0);
    exact_program_close(&p);
    exact_record_ta(&p, &e, &at);
    exact_run(&p, "", 1);
    exact_gradient(e.models->ta_set, "mean", &mean);
    exact_near("TA gradient at one level", mean, 0.4458977408, 1e-8, 0);
    exact_program_close(&p);
    nodes_release(&at);
    exact_close(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_ikl_follows_from_score_differences),
        cmocka_unit_test(squared_score_differences_are_the_known_ones),
        cmocka_unit_test(the_exact_ta_has_the_smallest_loss),
        cmocka_unit_test(a_lagging_ta_shifts_the_gradient_as_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
