/* Divergences with a known mistake, written here from recorder operations. Each gives exactly the wrong numbers that were
 * worked out for it, and the check that holds the right one rejects it: so the checks of test_gradients.c and
 * test_distances.c have teeth. */
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

/* ---- Score distances, L2, and SiD with alpha = 1.2: what goes wrong in their gradients through the networks ---- */

enum { SID_ALPHA_TENTHS = 12 };

/* sum over samples of w f^2 x y, f = a/s^2. */
static dipp_tensor weighted_product(dipp_graph *g, const exact_step *step, dipp_tensor x, dipp_tensor y)
{
    const dipp_level level = step->in.level;
    dipp_tensor f = dipp_div(g, level.alpha, dipp_mul(g, level.sigma, level.sigma));
    dipp_tensor seed = dipp_mul(g, step->in.weight, dipp_mul(g, f, f));
    return dipp_sum(g, dipp_mul(g, dipp_mul(g, x, y), dipp_per_sample(g, seed, x)), 3, false);
}

typedef enum distance_mistake { NO_MISTAKE = 0, DETACHED, ONLY_NETWORKS, LAW_MOVES, SWAPPED } distance_mistake;

/* L2: 2 delta.(D_ta - x0), delta = D_ref - D_ta. */
static void l2_with(dipp_graph *g, const exact_step *step, distance_mistake mistake, dipp_tensor *y, dipp_tensor *dy)
{
    scores s = denoise(g, step);
    dipp_tensor x0 = step->in.x0, ta = s.ta, reference = s.reference;
    if (mistake == DETACHED) /* as if both networks were only numbers: twice the IKL's gradient with another weight */
        ta = dipp_stop_gradient(g, ta), reference = dipp_stop_gradient(g, reference);
    if (mistake == ONLY_NETWORKS) /* the sample itself forgotten */
        x0 = dipp_stop_gradient(g, x0);
    dipp_tensor delta = dipp_sub(g, reference, ta), other = dipp_sub(g, ta, x0);
    if (mistake == LAW_MOVES) /* ||s_ta - s_ref||^2 at samples of the generator: says nothing of s_theta's own change */
        other = dipp_scale_add(g, delta, 0.5, 0);
    *y = dipp_scale_add(g, weighted_product(g, step, delta, other), 2, 0);
    *dy = DIPP_NONE;
}

static void l2_right(dipp_graph *g, const exact_step *step, dipp_tensor *y, dipp_tensor *dy)
{
    l2_with(g, step, NO_MISTAKE, y, dy);
}

static void l2_detached(dipp_graph *g, const exact_step *step, dipp_tensor *y, dipp_tensor *dy)
{
    l2_with(g, step, DETACHED, y, dy);
}

static void l2_only_networks(dipp_graph *g, const exact_step *step, dipp_tensor *y, dipp_tensor *dy)
{
    l2_with(g, step, ONLY_NETWORKS, y, dy);
}

static void l2_law_moves(dipp_graph *g, const exact_step *step, dipp_tensor *y, dipp_tensor *dy)
{
    l2_with(g, step, LAW_MOVES, y, dy);
}

/* SiD: delta.((D_ref - x0) - alpha delta). */
static void sid_with(dipp_graph *g, const exact_step *step, distance_mistake mistake, dipp_tensor *y, dipp_tensor *dy)
{
    scores s = denoise(g, step);
    if (mistake == DETACHED)
        s.ta = dipp_stop_gradient(g, s.ta), s.reference = dipp_stop_gradient(g, s.reference);
    dipp_tensor delta = dipp_sub(g, s.reference, s.ta);
    dipp_tensor from = mistake == SWAPPED ? s.ta : s.reference; /* D_ta - x0 in place of D_ref - x0 */
    dipp_tensor other =
        dipp_sub(g, dipp_sub(g, from, step->in.x0), dipp_scale_add(g, delta, SID_ALPHA_TENTHS / 10.0, 0));
    *y = weighted_product(g, step, delta, other);
    *dy = DIPP_NONE;
}

static void sid_right(dipp_graph *g, const exact_step *step, dipp_tensor *y, dipp_tensor *dy)
{
    sid_with(g, step, NO_MISTAKE, y, dy);
}

static void sid_detached(dipp_graph *g, const exact_step *step, dipp_tensor *y, dipp_tensor *dy)
{
    sid_with(g, step, DETACHED, y, dy);
}

static void sid_swapped(dipp_graph *g, const exact_step *step, dipp_tensor *y, dipp_tensor *dy)
{
    sid_with(g, step, SWAPPED, y, dy);
}

/* E of the gradient of delta.(p (D_ref - x0) + q (D_ta - x0) + b delta) for Gaussians, networks at (mu, sig) and frozen or
 * detached, and the direct dependence on x0 kept or not: delta = e + k y, D_ref - x0 = e + h y - sig z, D_ta - x0 =
 * j y - sig z, y = a sig z + s eps. */
static void wrong_form(double a, double s2, double p, double q, double b, bool through, bool direct, double out[2])
{
    double sig = START_FACTOR, r = a * a * 0.25 + s2, v = a * a * sig * sig + s2;
    double e = (REFERENCE_MEAN - START_MEAN) * s2 / r, h = a * 0.25 / r, j = a * sig * sig / v, k = h - j;
    double mean = p * e + b * e, slope = p * h + q * j + b * k; /* the bracket: mean + slope y - (p + q) sig z */
    double by_delta = through ? a * k : 0, by_bracket = (through ? a * slope : 0) - (direct ? p + q : 0);
    out[0] = by_delta * mean + by_bracket * e;
    /* E z (bracket) = slope a sig - (p + q) sig; E z delta = k a sig */
    out[1] = by_delta * (slope * a * sig - (p + q) * sig) + by_bracket * k * a * sig;
}

static void mistaken_distances_give_their_wrong_numbers_and_are_rejected(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        exact_rule rule;
        dipp_divergence_kind kind;
        double scale, p, q, b; /* of wrong_form */
        bool through, direct, right;
    } rows[] = {
        {"L2", l2_right, DIPP_DIVERGENCE_SCORE_L2, 2, 0, 1, 0, true, true, true},
        {"L2 detached", l2_detached, DIPP_DIVERGENCE_SCORE_L2, 2, 0, 1, 0, false, true, false},
        {"L2 without x0", l2_only_networks, DIPP_DIVERGENCE_SCORE_L2, 2, 0, 1, 0, true, false, false},
        {"L2 of a moving law alone", l2_law_moves, DIPP_DIVERGENCE_SCORE_L2, 2, 0, 0, 0.5, true, true, false},
        {"SiD", sid_right, DIPP_DIVERGENCE_SID, 1, 1, 0, -1.2, true, true, true},
        {"SiD detached", sid_detached, DIPP_DIVERGENCE_SID, 1, 1, 0, -1.2, false, true, false},
        {"SiD from the TA", sid_swapped, DIPP_DIVERGENCE_SID, 1, 0, 1, -1.2, true, true, false},
    };
    for (int which = 0; which < 2; which++) {
        const scenario *s = &scenarios[which ? VE_W1 : VP_WBETA];
        exact e;
        exact_open(&e, &(exact_choice){.schedule = s->sampler.schedule});
        nodes at;
        nodes_affine(&at, s, 1, 24);
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
            double want[2] = {0}, form[2], found[2][2]; /* found: the row's, and the code's own */
            for (int64_t n = 0; n < at.count; n++) {
                double a = at.alpha[n], s2 = at.sigma[n] * at.sigma[n], f = a / s2;
                wrong_form(a, s2, rows[i].p, rows[i].q, rows[i].b, rows[i].through, rows[i].direct, form);
                for (int j = 0; j < 2; j++)
                    want[j] += rows[i].scale * at.weight[n] * f * f * form[j];
            }
            for (int own = 0; own < 2; own++) {
                exact_program p;
                dipp_divergence_spec spec = {.kind = rows[i].kind, .alpha = SID_ALPHA_TENTHS / 10.0};
                exact_record_generator(&p, &e, &at, &spec, own ? exact_divergence : rows[i].rule, 0);
                exact_run(&p, "", 1);
                exact_gradient(e.models->generator_set, "mean", &found[own][0]);
                exact_gradient(e.models->generator_set, "factor", &found[own][1]);
                exact_program_close(&p);
            }
            for (int j = 0; j < 2; j++) {
                exact_near(rows[i].name, found[0][j], want[j], 1e-6, 1e-9);
                assert_int_equal(close_enough(found[0][j], found[1][j]), rows[i].right);
            }
        }
        nodes_release(&at);
        exact_close(&e);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mutants_give_their_wrong_numbers_and_are_rejected),
        cmocka_unit_test(mistaken_distances_give_their_wrong_numbers_and_are_rejected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
