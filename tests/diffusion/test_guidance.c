/* Guidance is an implicit reward: on a mixture of two labelled components the gradient with guided reference equals the
 * tabulated derivative of -(omega - 1) E[r_cfg] + IKL, is affine in omega, and vanishes at the known optima. */
#include "exact.h"

typedef struct guided_case {
    scenario_name scenario;
    const char *mixture;
    double at_low[2], at_high[2];           /* (d mu, d sig) at omega 1.5 and 4.5, generator (0.3, 0.8) */
    double optimum_low[2], optimum_high[2]; /* (mu*, sig*) */
    double ikl, reward;                     /* IKL to the reference of the label, E[r_cfg]; 0: not tabulated */
} guided_case;

static const char EQUAL[] = "means=[[1], [-1]]; variances=[0.25, 0.25]; labels=[plus, minus]";
static const char UNEQUAL[] = "means=[[1], [-0.5]]; variances=[0.25, 1]; weights=[0.3, 0.7]; labels=[plus, minus]";

static const guided_case cases[] = {
    {VP_WBETA,
     EQUAL,
     {-2.0570734636, 0.9035181123},
     {-6.6382939600, 3.4041236002},
     {1.17290018, 0.42165793},
     {1.78313257, 0.30112058},
     0.5233847484,
     -0.3973095355},
    {VE_W1,
     EQUAL,
     {-3.2688600377, 1.6402830096},
     {-10.4428026150, 6.0615616099},
     {1.14948023, 0.44630782},
     {1.71836690, 0.37393615},
     0.8607852183,
     -0.6471237551},
    {VP_WBETA,
     UNEQUAL,
     {-2.0812164635, 0.8580931715},
     {-6.8072949591, 3.0861490148},
     {1.20875314, 0.41084811},
     {1.85830135, 0.21207436},
     0,
     -0.4230622867},
};

enum { PANELS = 12, POINTS = 161 };

static void run(exact_program *p, double omega, double out[2])
{
    exact_run(p, "plus", omega);
    exact_gradient(p->e->models->generator_set, "mean", &out[0]);
    exact_gradient(p->e->models->generator_set, "factor", &out[1]);
}

static void open_case(exact *e, const guided_case *c, double mu, double sig)
{
    char text[96];
    snprintf(text, sizeof text, "mean=[%.12g]; factor=[[%.12g]]", mu, sig);
    exact_open(e, &(exact_choice){.schedule = scenarios[c->scenario].sampler.schedule,
                                  .reference = "mixture",
                                  .reference_parameters = c->mixture,
                                  .generator = text});
}

static void guided_gradients_are_the_tabulated_ones(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const guided_case *c = &cases[i];
        exact e;
        open_case(&e, c, 0.3, 0.8);
        nodes at;
        nodes_scalar(&at, &scenarios[c->scenario], 0.8, PANELS, POINTS);
        exact_program p;
        exact_record_generator(&p, &e, &at,
                               &(dipp_divergence_spec){.form = (dipp_divergence_form)(i + 1), .guided = true},
                               exact_divergence, 0);
        double one[2], low[2], high[2];
        run(&p, 1, one);
        run(&p, 1.5, low);
        run(&p, 4.5, high);
        /* The reference of the label alone is a Gaussian N(1, 0.25): omega = 1 has the closed form. */
        double a = scenario_b(c->scenario, 0.25);
        exact_near("d mu at omega 1", one[0], a * (0.3 - 1), 1e-6, 0);
        exact_near("d sig at omega 1", one[1], 0.8 * (a - scenario_b(c->scenario, 0.64)), 1e-6, 0);
        for (int k = 0; k < 2; k++) {
            exact_near("gradient at omega 1.5", low[k], c->at_low[k], 1e-6, 0);
            exact_near("gradient at omega 4.5", high[k], c->at_high[k], 1e-6, 0);
            exact_near("affine in omega", (high[k] - one[k]) / 3.5, (low[k] - one[k]) / 0.5, 1e-9, 0);
        }
        exact_program_close(&p);
        nodes_release(&at);
        exact_close(&e);
    }
}

static void guided_optima_have_no_gradient(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int strong = 0; strong < 2; strong++) {
            const guided_case *c = &cases[i];
            const double *optimum = strong ? c->optimum_high : c->optimum_low;
            exact e;
            open_case(&e, c, optimum[0], optimum[1]);
            nodes at;
            nodes_scalar(&at, &scenarios[c->scenario], optimum[1], PANELS, POINTS);
            exact_program p;
            exact_record_generator(&p, &e, &at, &(dipp_divergence_spec){.guided = true}, exact_divergence, 0);
            double gradient[2];
            run(&p, strong ? 4.5 : 1.5, gradient);
            exact_near("d mu at the guided optimum", gradient[0], 0, 0, 1e-6);
            exact_near("d sig at the guided optimum", gradient[1], 0, 0, 1e-6);
            exact_program_close(&p);
            nodes_release(&at);
            exact_close(&e);
        }
}

/* ---- Values ---- */

/* KL(N(a mu, a^2 sig^2 + s^2) || p_ref,t) by the trapezoidal rule; the reference's first part alone, or all. */
static double kl_at(const guided_case *c, double a, double s, bool whole)
{
    bool equal = c->mixture == EQUAL;
    const double m[2] = {1, equal ? -1 : -0.5}, v[2] = {0.25, equal ? 0.25 : 1},
                 prior[2] = {equal ? 0.5 : 0.3, equal ? 0.5 : 0.7};
    double variance = a * a * 0.64 + s * s, root = sqrt(2 * acos(-1)), sum = 0, h = 0.02;
    for (double y = -9; y <= 9; y += h) {
        double x = a * 0.3 + sqrt(variance) * y, part[2];
        for (int k = 0; k < 2; k++) {
            double r = a * a * v[k] + s * s, from = x - a * m[k];
            part[k] = exp(-0.5 * from * from / r) / (root * sqrt(r));
        }
        double p = whole ? prior[0] * part[0] + prior[1] * part[1] : part[0];
        sum += h * exp(-0.5 * y * y) / root * (-0.5 * y * y - log(root * sqrt(variance)) - log(p));
    }
    return sum;
}

/* What the trainer logs: the sum of factor(t) ||s_theta - s_ref||^2 is the IKL less W(T) times the KL that is left at the
 * largest noise, which is added here; so is the implicit reward, as a difference of two such values. */
static void values_follow_from_score_differences(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const guided_case *c = &cases[i];
        const scenario *s = &scenarios[c->scenario];
        exact e;
        open_case(&e, c, 0.3, 0.8);
        nodes at;
        nodes_scalar(&at, s, 0.8, PANELS, POINTS);
        exact_program p;
        exact_record_generator(&p, &e, &at, &(dipp_divergence_spec){.guided = true}, exact_divergence, 0);
        exact_run(&p, "plus", 1.5);
        dipp_ikl_table *table;
        CHECK(dipp_ikl_table_create(&s->sampler, &table, error));
        double *factors = test_malloc((size_t)at.count * sizeof *factors), total_weight = 0, a, sigma;
        for (int64_t k = 0; k < at.count; k++) {
            factors[k] = at.share[k] * dipp_ikl_factor(table, at.t[k]);
            total_weight += at.weight[k];
        }
        dipp_schedule_at(&s->sampler.schedule, s->last, &a, &sigma);
        double labelled = kl_at(c, a, sigma, false), whole = kl_at(c, a, sigma, true);
        double ikl = exact_total(&p, "squared_score", factors) + total_weight * labelled;
        double null = exact_total(&p, "squared_score_null", factors) + total_weight * whole;
        if (c->ikl)
            exact_near("IKL", ikl, c->ikl, 1e-5, 0);
        exact_near("implicit reward", null - ikl, c->reward, 1e-5, 0);
        test_free(factors);
        dipp_ikl_table_destroy(&table);
        exact_program_close(&p);
        nodes_release(&at);
        exact_close(&e);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(guided_gradients_are_the_tabulated_ones),
        cmocka_unit_test(guided_optima_have_no_gradient),
        cmocka_unit_test(values_follow_from_score_differences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
