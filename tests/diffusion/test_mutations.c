/* Divergences with a known mistake, written here from recorder operations. Each gives exactly the wrong numbers that were
 * worked out for it, and the check that holds the right one rejects it: so the checks of test_gradients.c have teeth. */
#include "exact.h"

typedef struct scores {
    dipp_tensor x_t, ta, reference; /* x_t and denoised x0 by both */
} scores;

static scores denoise(dipp_graph *g, const exact_step *step)
{
    const dipp_divergence_inputs *in = &step->in;
    dipp_tensor x_t = dipp_add_noise(g, in->x0, in->eps, in->level);
    return (scores){x_t, dipp_denoise(in->ta, g, in->ta_params, x_t, in->level, in->condition),
                    dipp_denoise(in->reference, g, in->reference_params, x_t, in->level, in->condition)};
}

static dipp_tensor weighted(dipp_graph *g, const exact_step *step, dipp_tensor x)
{
    return dipp_mul(g, x, dipp_per_sample(g, step->in.weight, x));
}

static dipp_tensor score_difference(dipp_graph *g, const exact_step *step, const scores *s)
{
    return dipp_sub(g, dipp_score_of(g, s->ta, s->x_t, step->in.level),
                    dipp_score_of(g, s->reference, s->x_t, step->in.level));
}

/* Composed by hand without a mistake: shows that the mutants differ by their mistake alone. */
static void right(dipp_graph *g, const exact_step *step, dipp_tensor *y, dipp_tensor *dy)
{
    scores s = denoise(g, step);
    *y = step->in.x0;
    *dy =
        dipp_mul(g, weighted(g, step, score_difference(g, step, &s)), dipp_per_sample(g, step->in.level.alpha, s.x_t));
}

/* d x_t / d x0 = a forgotten. */
static void without_alpha(dipp_graph *g, const exact_step *step, dipp_tensor *y, dipp_tensor *dy)
{
    scores s = denoise(g, step);
    *y = step->in.x0;
    *dy = weighted(g, step, score_difference(g, step, &s));
}

/* The loss w (s_ta - s_ref)^T x_t differentiated through both networks' inputs. */
static void not_detached(dipp_graph *g, const exact_step *step, dipp_tensor *y, dipp_tensor *dy)
{
    scores s = denoise(g, step);
    dipp_tensor product = dipp_mul(g, weighted(g, step, score_difference(g, step, &s)), s.x_t);
    *y = dipp_sum(g, product, 3, false);
    *dy = DIPP_NONE;
}

/* Score distillation: the noise's own score -eps/s in place of the TA's. */
static void sds(dipp_graph *g, const exact_step *step, dipp_tensor *y, dipp_tensor *dy)
{
    const dipp_level level = step->in.level;
    scores s = denoise(g, step);
    dipp_tensor noise = dipp_scale_add(g, dipp_div(g, step->in.eps, dipp_per_sample(g, level.sigma, s.x_t)), -1, 0);
    dipp_tensor difference = dipp_sub(g, noise, dipp_score_of(g, s.reference, s.x_t, level));
    *y = step->in.x0;
    *dy = dipp_mul(g, weighted(g, step, difference), dipp_per_sample(g, level.alpha, s.x_t));
}

/* w times the difference of denoisers, without a^2/s^2. */
static void data_weight_one(dipp_graph *g, const exact_step *step, dipp_tensor *y, dipp_tensor *dy)
{
    scores s = denoise(g, step);
    *y = step->in.x0;
    *dy = weighted(g, step, dipp_sub(g, s.ta, s.reference));
}

static bool close_enough(double found, double expected)
{
    return fabs(found - expected) <= 1e-6 * fabs(expected);
}

static void mutants_give_their_wrong_numbers_and_are_rejected(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        exact_rule rule;
        double beta[2], one[2]; /* (d mu, d sig) for VP w = beta and VP w = 1 */
        bool mean_is_right;
    } mutants[] = {
        {"missing a_t", without_alpha, {-4.5417014324, 1.7836989563}, {-1.2691946225, 0.7246687072}, false},
        {"not detached", not_detached, {-3.3156352401, 2.8276084330}, {-1.2840584894, 1.3008512979}, false},
        {"noise for the TA", sds, {-2.7718643876, 2.4022824693}, {-1.0338947782, 0.8960421411}, true},
        {"data weight 1", data_weight_one, {-14.3818689781, 1.0699576298}, {-1.2400263054, 0.1910813365}, false},
    };
    for (int which = 0; which < 2; which++) {
        const scenario *s = &scenarios[which ? VP_W1 : VP_WBETA];
        exact e;
        exact_open(&e, &(exact_choice){.schedule = s->sampler.schedule});
        nodes at;
        nodes_affine(&at, s, 1, 24);
        exact_program p;
        double mean, factor;
        exact_record_generator(&p, &e, &at, &(dipp_divergence_spec){0}, right, 0);
        exact_run(&p, "", 1);
        exact_gradient(e.models->generator_set, "mean", &mean);
        exact_gradient(e.models->generator_set, "factor", &factor);
        assert_true(close_enough(mean, s->d_mu) && close_enough(factor, s->d_sig));
        exact_program_close(&p);
        for (size_t i = 0; i < sizeof mutants / sizeof *mutants; i++) {
            const double *wrong = which ? mutants[i].one : mutants[i].beta;
            exact_record_generator(&p, &e, &at, &(dipp_divergence_spec){0}, mutants[i].rule, 0);
            exact_run(&p, "", 1);
            exact_gradient(e.models->generator_set, "mean", &mean);
            exact_gradient(e.models->generator_set, "factor", &factor);
            exact_near(mutants[i].name, mean, wrong[0], 1e-6, 0);
            exact_near(mutants[i].name, factor, wrong[1], 1e-6, 0);
            assert_int_equal(close_enough(mean, s->d_mu), mutants[i].mean_is_right);
            assert_false(close_enough(factor, s->d_sig));
            exact_program_close(&p);
        }
        nodes_release(&at);
        exact_close(&e);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mutants_give_their_wrong_numbers_and_are_rejected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
