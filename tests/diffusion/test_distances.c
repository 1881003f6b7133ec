/* The score distances of DI* and SiD's form, whose gradients pass through TA and reference: equal to closed forms for
 * Gaussians, to the tabulated numbers, and on mixtures to integrals that never see a recording. */
#include "exact.h"

enum { PANELS = 12, POINTS = 161 };

static const double M = 1.0, V0 = 0.25; /* the reference */

/* Gaussian reference, generator N(mu, sig^2), one level: D_ref - D_ta = e + k (x - a mu), and the rest of the names of
 * docs/exact-cases.md. */
typedef struct level {
    double a, s2, r, v, e, k;
} level;

static level level_at(double a, double s, double mu, double sig)
{
    double s2 = s * s, r = a * a * V0 + s2, v = a * a * sig * sig + s2;
    return (level){a, s2, r, v, (M - mu) * s2 / r, a * V0 / r - a * sig * sig / v};
}

/* d/dmu, d/dsig of E delta.((D_ref - x0) - alpha delta), networks frozen. */
static void sid_form(const level *l, double sig, double alpha, double out[2])
{
    out[0] = -l->e * l->s2 / l->r + (1 - 2 * alpha) * l->e * l->k * l->a;
    out[1] = -2 * l->k * l->a * sig * (l->s2 / l->r + alpha * l->a * l->k);
}

/* d/dmu, d/dsig of E ||s_theta - s_ref||^2 over a frozen law of x_t. */
static void l2_form(const level *l, double mu, double sig, double out[2])
{
    double a2 = l->a * l->a;
    out[0] = 2 * a2 * (mu - M) / (l->r * l->v);
    out[1] = 4 * a2 * sig * (1 / (l->r * l->v) - 1 / (l->v * l->v));
}

static void gradient(exact_program *p, const char *label, double omega, double out[2])
{
    exact_run(p, label, omega);
    exact_gradient(p->e->models->generator_set, "mean", &out[0]);
    exact_gradient(p->e->models->generator_set, "factor", &out[1]);
}

static void gaussian_gradient(exact *e, const nodes *at, const dipp_divergence_spec *spec, double out[2])
{
    exact_program p;
    exact_record_generator(&p, e, at, spec, exact_divergence, 0);
    gradient(&p, "", 1, out);
    exact_program_close(&p);
}

/* One level, a = 0.8 and s = 0.6, weight 1 on denoisers: the numbers of the table. */
static void sid_has_the_known_gradients_at_a_level(void **state)
{
    (void)state;
    static const struct {
        double alpha, d_mu, d_sig;
    } known[] = {{0, -1.1785425793, 0},
                 {0.5, -0.7189349112, 0.5420071782},
                 {1, -0.2593272432, 0.2873610651},
                 {1.2, -0.0754841760, 0}};
    level l = level_at(0.8, 0.6, START_MEAN, START_FACTOR);
    exact e;
    exact_open(&e, &(exact_choice){.schedule = scenarios[VP_W1].sampler.schedule});
    nodes at;
    nodes_level(&at, l.a, 0.6, l.s2 * l.s2 / (l.a * l.a));
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        double found[2], form[2];
        sid_form(&l, START_FACTOR, known[i].alpha, form);
        gaussian_gradient(&e, &at, &(dipp_divergence_spec){.kind = DIPP_DIVERGENCE_SID, .alpha = known[i].alpha},
                          found);
        exact_near("SiD, d mu", found[0], known[i].d_mu, 1e-9, 0);
        exact_near("SiD, d sig", found[1], form[1], 1e-9, 0);
        if (known[i].d_sig)
            exact_near("SiD, d sig", found[1], known[i].d_sig, 1e-9, 0);
    }
    nodes_release(&at);
    exact_close(&e);
}

/* int w E||s_theta - s_ref||^2 dt of Gaussians, written out. */
static double fisher(const nodes *at, double mu, double sig)
{
    double sum = 0;
    for (int64_t i = 0; i < at->count; i++) {
        level l = level_at(at->alpha[i], at->sigma[i], mu, sig);
        double between = 1 / l.r - 1 / l.v, shift = l.a * (mu - M) / l.r;
        sum += at->weight[i] * (between * between * l.v + shift * shift);
    }
    return sum;
}

static void every_scenario_has_the_known_gradient(void **state)
{
    (void)state;
    static const double values[SCENARIOS] = {
        [VE_W1] = 20.1394958548, [VP_W1] = 6.6694241164, [VP_WBETA] = 12.8427656529, [DI_LN] = 1.6697554561};
    static const double alphas[] = {0, 0.5, 1, 1.2};
    for (int name = 0; name < SCENARIOS; name++) {
        const scenario *s = &scenarios[name];
        exact e;
        exact_open(&e, &(exact_choice){.schedule = s->sampler.schedule});
        nodes at;
        nodes_affine(&at, s, 1, 24);
        double l2[2] = {0}, sid[4][2] = {{0}}, form[2], found[2];
        for (int64_t i = 0; i < at.count; i++) {
            level l = level_at(at.alpha[i], at.sigma[i], START_MEAN, START_FACTOR);
            double w = at.weight[i], f2 = l.a * l.a / (l.s2 * l.s2);
            l2_form(&l, START_MEAN, START_FACTOR, form);
            l2[0] += w * form[0], l2[1] += w * form[1];
            for (int k = 0; k < 4; k++) {
                sid_form(&l, START_FACTOR, alphas[k], form);
                sid[k][0] += w * f2 * form[0], sid[k][1] += w * f2 * form[1];
            }
        }
        if (values[name])
            exact_near(s->name, fisher(&at, START_MEAN, START_FACTOR), values[name], 1e-8, 0);
        gaussian_gradient(&e, &at, &(dipp_divergence_spec){.kind = DIPP_DIVERGENCE_SCORE_L2}, found);
        for (int i = 0; i < 2; i++) {
            exact_near(s->name, found[i], l2[i], 1e-6, 0);
            exact_near("half of score_l2", sid[2][i], l2[i] / 2, 1e-9, 0);
        }
        for (int k = 0; k < 4; k++) {
            gaussian_gradient(&e, &at, &(dipp_divergence_spec){.kind = DIPP_DIVERGENCE_SID, .alpha = alphas[k]}, found);
            for (int i = 0; i < 2; i++)
                exact_near(s->name, found[i], sid[k][i], 1e-6, 0);
        }
        double h = 1e-5,
               full[2] = {(fisher(&at, START_MEAN + h, START_FACTOR) - fisher(&at, START_MEAN - h, START_FACTOR)),
                          (fisher(&at, START_MEAN, START_FACTOR + h) - fisher(&at, START_MEAN, START_FACTOR - h))};
        for (int i = 0; i < 2; i++)
            exact_near("half of the Fisher divergence", sid[1][i], full[i] / (4 * h), 1e-6, 0);
        nodes_release(&at);
        exact_close(&e);
    }
}

/* Linear reward, alpha b = 0.48: mu* = m + 0.48/(2 int w a^2/R^2), sig*^2 = v, whatever SiD's alpha; the table's numbers. */
static void linear_optima_have_no_gradient(void **state)
{
    (void)state;
    static const double optima[SCENARIOS] = {
        [VE_W1] = 1.0402468891, [VP_W1] = 1.1210375579, [VP_WBETA] = 1.0600270378, [DI_LN] = 1.4727832084};
    for (int name = 0; name < SCENARIOS; name++) {
        if (!optima[name])
            continue;
        const scenario *s = &scenarios[name];
        char text[96];
        snprintf(text, sizeof text, "mean=[%.12g]; factor=[[0.5]]", optima[name]);
        exact e;
        exact_open(&e, &(exact_choice){.schedule = s->sampler.schedule,
                                       .generator = text,
                                       .rewards = {"linear"},
                                       .reward_parameters = {"direction=[0.8]"}});
        nodes at;
        nodes_affine(&at, s, 1, 24);
        const dipp_divergence_spec specs[] = {{.kind = DIPP_DIVERGENCE_SCORE_L2},
                                              {.kind = DIPP_DIVERGENCE_SID, .alpha = 0.5},
                                              {.kind = DIPP_DIVERGENCE_SID, .alpha = 1.2}};
        for (int k = 0; k < 3; k++) { /* SiD is half as strong, so it takes half the reward */
            exact_program p;
            double found[2];
            exact_record_generator(&p, &e, &at, &specs[k], exact_divergence, k ? 0.3 : 0.6);
            gradient(&p, "", 1, found);
            exact_near(s->name, found[0], 0, 0, 1e-7);
            exact_near(s->name, found[1], 0, 0, 1e-7);
            exact_program_close(&p);
        }
        nodes_release(&at);
        exact_close(&e);
    }
}

/* ---- Integrals in one dimension, for anything that is not quadratic ---- */

typedef struct frozen {
    const dipp_divergence_spec *spec;
    bool mixture; /* N(1, .25) and N(-1, .25) alike; else N(1, .25) */
    double mu, sig, omega, a, s;
} frozen;

static double normal(double x, double mean, double variance)
{
    return exp(-0.5 * (x - mean) * (x - mean) / variance) / sqrt(2 * acos(-1) * variance);
}

/* The reference's denoised x0, guided towards the component at 1. */
static double guided(const frozen *f, double x)
{
    double r = f->a * f->a * V0 + f->s * f->s, shrink = f->a * V0 / r;
    double labelled = M + shrink * (x - f->a * M), null = labelled;
    if (f->mixture) {
        double plus = normal(x, f->a, r), minus = normal(x, -f->a, r), share = plus / (plus + minus);
        null = share * labelled + (1 - share) * (-M + shrink * (x + f->a * M));
    }
    return null + f->omega * (labelled - null);
}

static double taught(const frozen *f, double x, double mu, double sig)
{
    return mu + f->a * sig * sig / (f->a * f->a * sig * sig + f->s * f->s) * (x - f->a * mu);
}

/* E of the loss that is differentiated, with networks as at f and samples of N(mu, sig^2): x0 averages to the denoiser. */
static double loss(const frozen *f, double mu, double sig)
{
    const dipp_divergence_spec *spec = f->spec;
    double v = f->a * f->a * sig * sig + f->s * f->s, sum = 0, h = 0.02, factor = f->a / (f->s * f->s);
    for (double y = -9; y <= 9; y += h) {
        double x = f->a * mu + sqrt(v) * y, reference = guided(f, x), ta = taught(f, x, f->mu, f->sig);
        double delta = reference - ta, x0 = taught(f, x, mu, sig), unit = spec->huber_in_data ? 1 : factor, value;
        if (spec->kind == DIPP_DIVERGENCE_SID)
            value = factor * factor * delta * (reference - x0 - spec->alpha * delta);
        else if (spec->kind == DIPP_DIVERGENCE_SCORE_L2)
            value = 2 * factor * factor * delta * (ta - x0);
        else
            value = unit * unit * delta * (ta - x0) / sqrt(unit * unit * delta * delta + spec->huber * spec->huber);
        sum += h * exp(-0.5 * y * y) / sqrt(2 * acos(-1)) * value;
    }
    return sum;
}

/* What DI* asks for: E d'(u).(d u/d theta) at a frozen law of x_t, u = s_theta - s_ref or D_theta - D_ref. */
static void distance(const frozen *f, double out[2])
{
    const dipp_divergence_spec *spec = f->spec;
    double v = f->a * f->a * f->sig * f->sig + f->s * f->s, h = 0.02, step = 1e-5;
    double unit = spec->kind == DIPP_DIVERGENCE_SCORE_HUBER && spec->huber_in_data ? 1 : f->a / (f->s * f->s);
    out[0] = out[1] = 0;
    for (double y = -9; y <= 9; y += h) {
        double x = f->a * f->mu + sqrt(v) * y, u = unit * (taught(f, x, f->mu, f->sig) - guided(f, x));
        double slope = spec->kind == DIPP_DIVERGENCE_SCORE_L2 ? 2 * u : u / sqrt(u * u + spec->huber * spec->huber);
        double share = h * exp(-0.5 * y * y) / sqrt(2 * acos(-1)) * slope * unit / (2 * step);
        out[0] += share * (taught(f, x, f->mu + step, f->sig) - taught(f, x, f->mu - step, f->sig));
        out[1] += share * (taught(f, x, f->mu, f->sig + step) - taught(f, x, f->mu, f->sig - step));
    }
}

/* The sum over the levels of the nodes, each level once: shares of a level add up to its own. */
static void expected(const frozen *like, const nodes *at, double out[2])
{
    double h = 1e-4;
    out[0] = out[1] = 0;
    for (int64_t i = 0; i < at->count;) {
        frozen f = *like;
        double w = 0, part[2];
        f.a = at->alpha[i];
        f.s = at->sigma[i];
        for (int64_t first = i; i < at->count && at->t[i] == at->t[first]; i++)
            w += at->weight[i];
        if (f.spec->kind == DIPP_DIVERGENCE_SID) {
            part[0] = (loss(&f, f.mu + h, f.sig) - loss(&f, f.mu - h, f.sig)) / (2 * h);
            part[1] = (loss(&f, f.mu, f.sig + h) - loss(&f, f.mu, f.sig - h)) / (2 * h);
        } else {
            distance(&f, part);
        }
        out[0] += w * part[0], out[1] += w * part[1];
    }
}

/* Recorded gradients of the pseudo-Huber distance in both units are those of the distance itself. */
static void pseudo_huber_is_the_gradient_of_its_distance(void **state)
{
    (void)state;
    const scenario *s = &scenarios[VP_WBETA];
    exact e;
    exact_open(&e, &(exact_choice){.schedule = s->sampler.schedule});
    nodes at;
    nodes_scalar_across(&at, s, START_FACTOR, PANELS, 3 * POINTS); /* its kink is narrow */
    for (int data = 0; data < 2; data++) {
        dipp_divergence_spec spec = {
            .kind = DIPP_DIVERGENCE_SCORE_HUBER, .huber = data ? 0.2 : 0.7, .huber_in_data = data};
        frozen f = {&spec, false, START_MEAN, START_FACTOR, 1, 0, 0};
        double found[2], want[2], size[2];
        expected(&f, &at, want);
        gaussian_gradient(&e, &at, &spec, found);
        exact_near("pseudo-Huber, d mu", found[0], want[0], 1e-6, 0);
        exact_near("pseudo-Huber, d sig", found[1], want[1], 1e-6, 0);
        spec.huber = 1e6; /* far below its constant it is the square over twice the constant */
        gaussian_gradient(&e, &at, &spec, found);
        gaussian_gradient(&e, &at, &(dipp_divergence_spec){.kind = DIPP_DIVERGENCE_SCORE_L2}, size);
        for (int i = 0; i < 2 && !data; i++)
            exact_near("wide pseudo-Huber", found[i], size[i] / 2e6, 1e-6, 0);
    }
    nodes_release(&at);
    exact_close(&e);
}

static const char MIXTURE[] = "means=[[1], [-1]]; variances=[0.25, 0.25]; labels=[plus, minus]";

static void open_mixture(exact *e, const scenario *s)
{
    exact_open(e, &(exact_choice){.schedule = s->sampler.schedule,
                                  .reference = "mixture",
                                  .reference_parameters = MIXTURE,
                                  .generator = "mean=[0.3]; factor=[[0.8]]"});
}

/* Inside, the guided reference stands in the distance; the two terms are told apart by the gradient at omega 1. */
static void guidance_inside_is_a_distance_to_the_guided_reference(void **state)
{
    (void)state;
    const scenario *s = &scenarios[VP_WBETA];
    const dipp_divergence_spec specs[] = {
        {.kind = DIPP_DIVERGENCE_SCORE_L2, .inside = true, .guided = true},
        {.kind = DIPP_DIVERGENCE_SCORE_HUBER, .huber = 0.5, .inside = true, .guided = true},
        {.kind = DIPP_DIVERGENCE_SID, .alpha = 1.2, .inside = true, .guided = true}};
    exact e;
    open_mixture(&e, s);
    nodes at;
    nodes_scalar_across(&at, s, 0.8, PANELS, POINTS);
    for (int k = 0; k < 3; k++) {
        exact_program p;
        exact_record_generator(&p, &e, &at, &specs[k], exact_divergence, 0);
        for (int strong = 0; strong < 2; strong++) {
            frozen f = {&specs[k], true, 0.3, 0.8, strong ? 4.5 : 1.5, 0, 0};
            double found[2], want[2];
            expected(&f, &at, want);
            gradient(&p, "plus", f.omega, found);
            exact_near("inside, d mu", found[0], want[0], 1e-6, 0);
            exact_near("inside, d sig", found[1], want[1], 1e-6, 0);
            double cfg = exact_total(&p, "cfg", NULL), all = exact_total(&p, "dx0", NULL);
            f.omega = 1;
            expected(&f, &at, want); /* x0 moves with mu one to one */
            exact_near("the divergence's own part", all - cfg, want[0], 1e-6, 0);
        }
        exact_program_close(&p);
    }
    nodes_release(&at);
    exact_close(&e);
}

/* Outside, guidance is the implicit reward of the IKL, affine in omega with the tabulated slope. */
static void guidance_outside_is_the_implicit_reward(void **state)
{
    (void)state;
    const scenario *s = &scenarios[VP_WBETA];
    const dipp_divergence_spec specs[] = {{.kind = DIPP_DIVERGENCE_SCORE_L2, .guided = true},
                                          {.kind = DIPP_DIVERGENCE_SCORE_HUBER, .huber = 0.5, .guided = true},
                                          {.kind = DIPP_DIVERGENCE_SID, .alpha = 1.2, .guided = true}};
    exact e;
    open_mixture(&e, s);
    nodes at;
    nodes_scalar_across(&at, s, 0.8, PANELS, POINTS);
    for (int k = 0; k < 3; k++) {
        frozen f = {&specs[k], true, 0.3, 0.8, 1, 0, 0};
        double one[2], high[2], want[2];
        exact_program p;
        exact_record_generator(&p, &e, &at, &specs[k], exact_divergence, 0);
        gradient(&p, "plus", 1, one);
        gradient(&p, "plus", 4.5, high);
        expected(&f, &at, want);
        for (int i = 0; i < 2; i++)
            exact_near("outside, omega 1", one[i], want[i], 1e-6, 0);
        exact_near("slope of d mu", (high[0] - one[0]) / 3.5, -1.5270734988, 1e-6, 0);
        exact_near("slope of d sig", (high[1] - one[1]) / 3.5, 0.8335351626, 1e-6, 0);
        exact_program_close(&p);
    }
    nodes_release(&at);
    exact_close(&e);
}

/* ---- The CFG term by itself ---- */

/* At its own level and noise: -(omega - 1) w a (s_c - s_null), s_c - s_null = (a M/R)(1 - tanh(a M x/R)), sample by sample;
 * the divergence's part stays what it is. */
static void a_cfg_term_apart_has_its_own_level_noise_and_weight(void **state)
{
    (void)state;
    exact e;
    open_mixture(&e, &scenarios[VP_WBETA]);
    nodes at, own;
    nodes_scalar(&at, &scenarios[VP_WBETA], 0.8, 2, 9);
    nodes_scalar(&own, &scenarios[VP_W1], 0.5, 2, 9);
    for (int64_t i = 0; i < own.count; i++) { /* other levels than the divergence's, in another order */
        int64_t j = own.count - 1 - i;
        own.alpha[i] = at.alpha[j];
        own.sigma[i] = at.sigma[j];
        own.t[i] = at.t[j];
    }
    for (int kind = 0; kind < 2; kind++)
        for (int apart = 0; apart < 2; apart++) {
            dipp_divergence_spec spec = {.kind = kind ? DIPP_DIVERGENCE_SID : DIPP_DIVERGENCE_IKL,
                                         .alpha = 1,
                                         .guided = true,
                                         .cfg_apart = apart};
            double cfg[256], all[256], alone[256];
            assert_true(at.count <= 256);
            exact_program p;
            exact_record_generator(&p, &e, &at, &spec, exact_divergence, 0);
            p.cfg = apart ? &own : NULL;
            exact_run(&p, "plus", 2.5);
            CHECK(dipp_executable_read(p.run, "cfg", cfg, DIPP_HOST_F64, (size_t)at.count, error));
            CHECK(dipp_executable_read(p.run, "dx0", all, DIPP_HOST_F64, (size_t)at.count, error));
            exact_run(&p, "plus", 1);
            CHECK(dipp_executable_read(p.run, "dx0", alone, DIPP_HOST_F64, (size_t)at.count, error));
            const nodes *from = apart ? &own : &at;
            for (int64_t i = 0; i < at.count; i++) {
                double a = from->alpha[i], s = from->sigma[i], r = a * a * V0 + s * s;
                double x = a * (0.3 + 0.8 * at.z[i]) + s * from->eps[i];
                exact_near("CFG", cfg[i], -1.5 * from->weight[i] * a * a * M / r * (1 - tanh(a * M * x / r)), 1e-9,
                           1e-13);
                exact_near("both", all[i], alone[i] + cfg[i], 1e-9, 1e-13);
            }
            exact_program_close(&p);
        }
    nodes_release(&at);
    nodes_release(&own);
    exact_close(&e);
}

/* ---- Weights of samples ---- */

/* dL/dx0 of one sample with SiD's and DMD's weights, written out. */
static void normalised_distances_weigh_each_sample(void **state)
{
    (void)state;
    const scenario *s = &scenarios[VP_WBETA];
    exact e;
    exact_open(&e, &(exact_choice){.schedule = s->sampler.schedule});
    nodes at;
    nodes_affine(&at, s, 1, 2);
    for (int kind = 0; kind < 3; kind++)
        for (int by = DIPP_NORMALISE_DMD; by <= DIPP_NORMALISE_SID; by++) {
            dipp_divergence_spec spec = {.kind = kind == 0   ? DIPP_DIVERGENCE_IKL
                                                 : kind == 1 ? DIPP_DIVERGENCE_SCORE_L2
                                                             : DIPP_DIVERGENCE_SID,
                                         .alpha = 1.2,
                                         .normalise = (dipp_normalise)by};
            double dx0[256];
            assert_true(at.count <= 256);
            exact_program p;
            exact_record_generator(&p, &e, &at, &spec, exact_divergence, 0);
            exact_run(&p, "", 1);
            CHECK(dipp_executable_read(p.run, "dx0", dx0, DIPP_HOST_F64, (size_t)at.count, error));
            for (int64_t i = 0; i < at.count; i++) {
                level l = level_at(at.alpha[i], at.sigma[i], START_MEAN, START_FACTOR);
                double x0 = START_MEAN + START_FACTOR * at.z[i], x = l.a * x0 + at.sigma[i] * at.eps[i];
                double from = x - l.a * START_MEAN, delta = l.e + l.k * from;
                double reference = M + l.a * V0 / l.r * (x - l.a * M), ta = reference - delta;
                double alpha = kind == 1 ? 1 : 1.2, size = fabs(x0 - reference);
                double form = l.a * l.k * (reference - x0 - alpha * delta) + delta * (-l.s2 / l.r - alpha * l.a * l.k);
                double G = kind == 0 ? ta - reference : kind == 1 ? 2 * form : form;
                double weight = by == DIPP_NORMALISE_SID ? 1 / fmax(size, 1e-5) : 1 / (size + 1e-6);
                exact_near("normalised", dx0[i], at.weight[i] * weight * G, 1e-9, 1e-13);
            }
            exact_program_close(&p);
        }
    nodes_release(&at);
    exact_close(&e);
}

static void contradictions_are_refused(void **state)
{
    (void)state;
    static const struct {
        dipp_divergence_spec spec;
        const char *text; /* NULL: fine */
    } rows[] = {
        {{.kind = DIPP_DIVERGENCE_SID, .normalise = DIPP_NORMALISE_SID}, NULL},
        {{.kind = DIPP_DIVERGENCE_SCORE_HUBER, .huber = 1, .normalise = DIPP_NORMALISE_SID}, "leave normalise at none"},
        {{.kind = DIPP_DIVERGENCE_SCORE_HUBER}, "a constant above 0"},
        {{.form = DIPP_FORM_EPS, .normalise = DIPP_NORMALISE_DMD}, "between denoised samples"},
        {{.inside = true}, "ikl is the same either way"},
        {{.kind = DIPP_DIVERGENCE_SID, .inside = true, .cfg_apart = true}, "no noise levels of its own"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        dipp_error error = {0};
        dipp_status status = dipp_divergence_check(&rows[i].spec, &error);
        assert_int_equal(status, rows[i].text ? DIPP_E_INVALID : DIPP_OK);
        if (rows[i].text && !strstr(error.message, rows[i].text))
            fail_msg("expected \"%s\" in \"%s\"", rows[i].text, error.message);
    }
    dipp_divergence_kind kind;
    dipp_normalise normalise;
    assert_true(dipp_divergence_by_name("dmd", &kind, &normalise));
    assert_true(kind == DIPP_DIVERGENCE_IKL && normalise == DIPP_NORMALISE_DMD);
    assert_true(dipp_divergence_by_name("none", &kind, &normalise));
    assert_true(kind == DIPP_DIVERGENCE_NONE && normalise == DIPP_NORMALISE_NONE);
    assert_false(dipp_divergence_by_name("kl", &kind, &normalise));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sid_has_the_known_gradients_at_a_level),
        cmocka_unit_test(every_scenario_has_the_known_gradient),
        cmocka_unit_test(linear_optima_have_no_gradient),
        cmocka_unit_test(pseudo_huber_is_the_gradient_of_its_distance),
        cmocka_unit_test(guidance_inside_is_a_distance_to_the_guided_reference),
        cmocka_unit_test(guidance_outside_is_the_implicit_reward),
        cmocka_unit_test(a_cfg_term_apart_has_its_own_level_noise_and_weight),
        cmocka_unit_test(normalised_distances_weigh_each_sample),
        cmocka_unit_test(contradictions_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
