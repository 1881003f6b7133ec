/* Descent with exact gradients: the trajectory that closed forms predict step by step, and how fast the TA must be for
 * generator and TA together to be stable. */
#include "runner.h"

/* Applies one recorded SGD update to the generator's set. */
typedef struct descent {
    dipp_updater updater;
    dipp_plan *plan;
} descent;

static void descent_open(descent *d, exact *e, double rate)
{
    *d = (descent){0};
    CHECK(dipp_updater_record(&d->updater, "generator", e->models->generator_set,
                              &(dipp_optimizer_settings){.kind = DIPP_OPTIMIZER_SGD, .lr = rate}, false, error));
    CHECK(dipp_plan_create(e->backend, &d->plan, error));
    CHECK(dipp_plan_step(d->plan, d->updater.program, 0, error));
    dipp_plan_report report;
    CHECK(dipp_plan_solve(d->plan, 0, &report, error));
    CHECK(dipp_plan_allocate(d->plan, error));
    CHECK(dipp_updater_bind(&d->updater, d->plan, e->models->generator_set, NULL, error));
}

/* VP w = beta, linear reward, eta = 0.05: mu_n = mu* + (1 - eta A)^n (mu_0 - mu*). */
static void sgd_follows_the_known_trajectory(void **state)
{
    (void)state;
    static const struct {
        int n;
        double mu, sig;
    } known[] = {{1, -0.3374067806, 1.2293097892},
                 {10, 0.5923037797, 0.8280085391},
                 {100, 1.2596445456, 0.5003437378},
                 {200, 1.2597529608, 0.5000002023}};
    const scenario *s = &scenarios[VP_WBETA];
    exact e;
    exact_open(&e, &(exact_choice){.schedule = s->sampler.schedule,
                                   .rewards = {"linear"},
                                   .reward_parameters = {"direction=[0.8]"}});
    nodes at;
    nodes_affine(&at, s, 1, 16);
    exact_program p;
    exact_record_generator(&p, &e, &at, &(dipp_divergence_spec){.form = DIPP_FORM_DATA}, exact_divergence, 0.6);
    descent d;
    descent_open(&d, &e, 0.05);
    size_t next = 0;
    for (int n = 1; n <= 200; n++) {
        double norm;
        bool applied;
        exact_run(&p, "", 1);
        CHECK(dipp_updater_step(&d.updater, &norm, &applied, error));
        assert_true(applied);
        double mu = runner_number(e.models->generator_set, "mean");
        double sig = runner_number(e.models->generator_set, "factor");
        exact_write(e.models->ta_set, "mean", &mu); /* the TA is exact at every step */
        exact_write(e.models->ta_set, "factor", &sig);
        if (n == known[next].n) {
            exact_near("mu", mu, known[next].mu, 1e-6, 0);
            exact_near("sig", sig, known[next].sig, 1e-6, 0);
            next++;
        }
    }
    assert_int_equal(next, 4);
    dipp_updater_destroy(&d.updater);
    dipp_plan_destroy(&d.plan);
    exact_program_close(&p);
    nodes_release(&at);
    exact_close(&e);
}

/* Generator N(mu, 0.04) and TA N(phi, 0.04), means moving alone, K TA steps to one of the generator. The product of
 * 2 C K eta_psi and eta_g decides: below the critical ratio (mu, phi) spirals away, above it both settle at mu*.
 * Returns |mu - mu*| at the end over that at the start. */
static double lag(exact *e, exact_program *generator, exact_program *ta, double ratio, int k)
{
    const double eta = 0.02, optimum = 1.0;
    double mu = 1.2, phi = 1.2, gradient;
    for (int n = 0; n < 1500; n++) {
        exact_write(e->models->generator_set, "mean", &mu);
        for (int i = 0; i < k; i++) {
            exact_write(e->models->ta_set, "mean", &phi);
            exact_run(ta, "", 1);
            exact_gradient(e->models->ta_set, "mean", &gradient);
            phi -= eta * ratio / k * gradient;
        }
        exact_write(e->models->ta_set, "mean", &phi);
        exact_run(generator, "", 1);
        exact_gradient(e->models->generator_set, "mean", &gradient);
        mu -= eta * gradient;
    }
    return hypot(mu - optimum, phi - optimum) / hypot(0.2, 0.2);
}

static void a_ta_below_the_critical_speed_spirals_away(void **state)
{
    (void)state;
    const double critical = 0.8505919603; /* eta_psi K / eta_g = (B - A) / (2 C) at sig^2 = 0.04 */
    const scenario *s = &scenarios[VP_WBETA];
    exact e;
    exact_open(&e, &(exact_choice){.schedule = s->sampler.schedule, .generator = "mean=[1.2]; factor=[[0.2]]"});
    nodes at;
    nodes_affine(&at, s, 1, 6);
    exact_program generator, ta;
    exact_record_generator(&generator, &e, &at, &(dipp_divergence_spec){0}, exact_divergence, 0);
    exact_record_ta(&ta, &e, &at);
    assert_true(lag(&e, &generator, &ta, 0.9 * critical, 1) > 2);
    assert_true(lag(&e, &generator, &ta, 1.1 * critical, 1) < 0.5);
    assert_true(lag(&e, &generator, &ta, 1.1 * critical, 2) < 0.5); /* K_TA counts, not the step */
    exact_program_close(&generator);
    exact_program_close(&ta);
    nodes_release(&at);
    exact_close(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sgd_follows_the_known_trajectory),
        cmocka_unit_test(a_ta_below_the_critical_speed_spirals_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
