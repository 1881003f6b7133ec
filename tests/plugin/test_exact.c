/* The exact references and the affine generator against closed forms, on the f64 oracle. */
#include "model.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#define TEXTS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void is_near(double found, double expected, double tolerance)
{
    if (!(fabs(found - expected) <= tolerance))
        fail_msg("expected %.13g, found %.13g (difference %g)", expected, found, found - expected);
}

/* The score of the noised two-component mixture N(+-1, 1/4) at a = .8, s = .6: s(x|+) = -(x - a)/R, and the score of the
 * whole follows from s_c - s_null = (aM/R)(1 - tanh(a M x / R)). Numbers from the closed form at three points. */
static void a_mixture_of_two_has_the_known_scores_and_guidance(void **state)
{
    (void)state;
    static const double difference[] = {3.0215808924, 1.0794826923, 0.1815683461};
    static const double guided[] = {14.6139946619, 4.9320355770, 0.4431815191}; /* omega = 4.5 */
    static const double log_ratio[] = {-3.3250027474, 0.2610836371, 0.6323247197};
    model m;
    model_open(&m, DIPP_PLUGIN_REFERENCE, "mixture",
               TEXTS("means=[[1],[-1]]", "variances=[0.25, 0.25]", "labels=[+, -]"));
    const dipp_reference *reference = m.plugin->vtable;
    dipp_space space = {.struct_size = sizeof space};
    CHECK(reference->space(m.self, &space, error));
    assert_int_equal(space.sample.rank, 1);
    assert_int_equal(space.sample.dims[0], 1);
    assert_int_equal(space.parameterisation, DIPP_PREDICTS_SCORE);
    assert_int_equal(space.token_length, 1);
    assert_false(space.images);
    int32_t tokens[6];
    float mask[6];
    CHECK(reference->tokenize(m.self, TEXTS("+", "+", "+", "", "", ""), 6, tokens, mask, error));
    assert_true(mask[0] == 1 && mask[5] == 1);
    model_record(&m, DIPP_SHAPE(6, 1), true);
    const double x[] = {-1.3, .2, .9, -1.3, .2, .9}, a[] = {.8, .8, .8, .8, .8, .8}, s[] = {.6, .6, .6, .6, .6, .6};
    double y[6], R = .64 * .25 + .36;
    model_run(&m, x, a, s, tokens, y);
    for (int i = 0; i < 3; i++) {
        is_near(y[i], -(x[i] - .8) / R, 1e-12);
        is_near(y[i] - y[i + 3], .8 / R * (1 - tanh(.8 * x[i] / R)), 1e-12);
        is_near(y[i] - y[i + 3], difference[i], 1e-9);
        is_near(y[i + 3] + 4.5 * (y[i] - y[i + 3]), guided[i], 1e-9);
    }
    model_check_gradients(&m, x, a, s, tokens, 1e-7);

    /* The log ratio of the densities is the integral of the difference of the scores: Simpson from x0 to x1. */
    const int steps = 200;
    for (int k = 0; k < 2; k++) {
        double sum = 0, low = x[k], high = x[k + 1];
        for (int i = 0; i <= steps; i++) {
            double at = low + (high - low) * i / steps, points[] = {at, at, at, at, at, at};
            model_run(&m, points, a, s, tokens, y);
            sum += (i == 0 || i == steps ? 1 : i % 2 ? 4 : 2) * (y[0] - y[3]);
        }
        is_near(sum * (high - low) / steps / 3, log_ratio[k + 1] - log_ratio[k], 1e-8);
    }
    model_close(&m);
}

/* log p_t(x | label) of the mixture below by plain arithmetic: the 2 x 2 covariances are inverted by hand. */
static const double means2[3][2] = {{1, 0}, {-1, .5}, {0, -2}}, weights2[3] = {.5, .3, .2};
static const double covariances2[3][4] = {{.5, .2, .2, .3}, {1, 0, 0, .1}, {.2, -.1, -.1, .4}};

static double log_density(const double *x, double a, double s, const int *members)
{
    double density = 0, total = 0;
    for (int k = 0; k < 3; k++) {
        double p = a * a * covariances2[k][0] + s * s, q = a * a * covariances2[k][1];
        double r = a * a * covariances2[k][3] + s * s, determinant = p * r - q * q;
        double u = x[0] - a * means2[k][0], v = x[1] - a * means2[k][1];
        density += members[k] * weights2[k] * exp(-.5 * (r * u * u - 2 * q * u * v + p * v * v) / determinant) /
                   sqrt(determinant);
        total += members[k] * weights2[k];
    }
    return log(density / total);
}

static void a_mixture_with_full_covariances_has_the_score_of_its_density(void **state)
{
    (void)state;
    model m;
    model_open(&m, DIPP_PLUGIN_REFERENCE, "mixture",
               TEXTS("means=[[1, 0], [-1, 0.5], [0, -2]]", "weights=[5, 3, 2]", "labels=[cat, dog, cat]",
                     "covariances=[[0.5, 0.2, 0.2, 0.3], [1, 0, 0, 0.1], [0.2, -0.1, -0.1, 0.4]]"));
    const dipp_reference *reference = m.plugin->vtable;
    enum { N = 6 };
    int32_t tokens[N];
    float mask[N];
    CHECK(reference->tokenize(m.self, TEXTS("", "cat", "dog", "dog", "cat", ""), N, tokens, mask, error));
    const int members[N][3] = {{1, 1, 1}, {1, 0, 1}, {0, 1, 0}, {0, 1, 0}, {1, 0, 1}, {1, 1, 1}};
    model_record(&m, DIPP_SHAPE(N, 2), true);
    const double x[2 * N] = {.3, -.7, -1, .4, 2, 1, 0, 0, .1, -1.5, -3, 2};
    const double a[N] = {.9, .5, 1, .99, .2, .7}, s[N] = {.4, 1.5, .05, .1, .98, .7};
    double y[2 * N];
    model_run(&m, x, a, s, tokens, y);
    for (int n = 0; n < N; n++)
        for (int i = 0; i < 2; i++) {
            double h = 1e-5, up[2] = {x[2 * n], x[2 * n + 1]}, down[2] = {x[2 * n], x[2 * n + 1]};
            up[i] += h, down[i] -= h;
            double slope =
                (log_density(up, a[n], s[n], members[n]) - log_density(down, a[n], s[n], members[n])) / (2 * h);
            is_near(y[2 * n + i], slope, 1e-6 * (1 + fabs(slope)));
        }
    model_check_gradients(&m, x, a, s, tokens, 1e-6);
    model_close(&m);

    /* Of one label the posterior mean is linear; a single full component is exact to rounding. */
    model_open(&m, DIPP_PLUGIN_REFERENCE, "mixture", TEXTS("means=[[1, 0]]", "covariances=[[0.5, 0.2, 0.2, 0.3]]"));
    model_record(&m, DIPP_SHAPE(1, 2), false);
    model_run(&m, x, a, s, NULL, y);
    double p = .81 * .5 + .16, q = .81 * .2, r = .81 * .3 + .16, determinant = p * r - q * q, u = .3 - .9, v = -.7;
    is_near(y[0], -(r * u - q * v) / determinant, 1e-12);
    is_near(y[1], -(p * v - q * u) / determinant, 1e-12);
    model_close(&m);
}

static void refuses(dipp_plugin_kind kind, const char *name, const char *const *assignments, const char *text)
{
    dipp_error error = {0};
    assert_int_equal(model_refusal(kind, name, assignments, &error), DIPP_E_INVALID);
    if (!strstr(error.message, text))
        fail_msg("expected \"%s\" in \"%s\"", text, error.message);
}

static void wrong_configurations_say_what_was_expected(void **state)
{
    (void)state;
    const dipp_plugin_kind reference = DIPP_PLUGIN_REFERENCE;
    refuses(reference, "mixture", TEXTS("means=[[1],[2]]", "labels=[a]"), "labels: expected 2 texts");
    refuses(reference, "mixture", TEXTS("means=[[1],[2]]", "weights=[1, 0]"), "weights: expected positive numbers");
    refuses(reference, "mixture", TEXTS("means=[[1, 2]]", "covariances=[[1, 2, 2, 1]]"), "found the eigenvalue -1");
    refuses(reference, "mixture", TEXTS("means=[[1, 2]]", "covariances=[[1, 2, 0, 1]]"), "symmetric");
    refuses(reference, "mixture", TEXTS("means=[[1],[2]]", "variances=[1, 2, 3]"), "variances: expected 2 numbers");
    refuses(reference, "affine", TEXTS("mean=[0, 0]", "factor=[[1, 0]]"), "factor: expected 2 rows of 2 numbers");
    refuses(reference, "affine", TEXTS("mean=[0, 0]", "covariance=[[1, 2], [2, 1]]"), "positive definite");
    refuses(DIPP_PLUGIN_GENERATOR, "affine", TEXTS("mean=[0]", "factor=[[1]]", "covariance=[[1]]"), "found both");

    model m;
    model_open(&m, reference, "mixture", TEXTS("means=[[1],[-1]]", "labels=[cat, dog]"));
    int32_t token;
    float mask;
    dipp_error error = {0};
    assert_int_equal(
        ((const dipp_reference *)m.plugin->vtable)->tokenize(m.self, TEXTS("cow"), 1, &token, &mask, &error),
        DIPP_E_INVALID);
    assert_non_null(strstr(error.message, "prompt \"cow\": expected a label of the mixture (\"cat\", \"dog\")"));
    model_close(&m);
}

/* D = mu + a sig^2 / V (x - a mu), V = a^2 sig^2 + s^2. */
static void the_affine_denoiser_is_the_posterior_mean(void **state)
{
    (void)state;
    model m;
    model_open(&m, DIPP_PLUGIN_REFERENCE, "affine", TEXTS("mean=[-0.5]", "factor=[[1.3]]"));
    model_record(&m, DIPP_SHAPE(3, 1), false);
    const double x[] = {-2, .37, 1.1}, a[] = {.8, .8, .3}, s[] = {.6, .6, .9};
    double y[3];
    model_run(&m, x, a, s, NULL, y);
    for (int i = 0; i < 3; i++)
        is_near(y[i], -.5 + a[i] * 1.69 / (a[i] * a[i] * 1.69 + s[i] * s[i]) * (x[i] + a[i] * .5), 1e-13);
    model_check_gradients(&m, x, a, s, NULL, 1e-7);
    model_close(&m);

    /* Two dimensions, by the inverse of a 2 x 2 matrix written out. */
    const double c[4] = {.5, .2, .2, .3}, mu[2] = {1, -.5}, x2[] = {.3, -.7, 2, 1}, a2[] = {.9, .5}, s2[] = {.4, 1.5};
    double y2[4];
    model_open(&m, DIPP_PLUGIN_REFERENCE, "affine", TEXTS("mean=[1, -0.5]", "covariance=[[0.5, 0.2], [0.2, 0.3]]"));
    model_record(&m, DIPP_SHAPE(2, 2), false);
    model_run(&m, x2, a2, s2, NULL, y2);
    for (int n = 0; n < 2; n++) {
        double A = a2[n] * a2[n], S = s2[n] * s2[n], p = A * c[0] + S, q = A * c[1], r = A * c[3] + S;
        double u = x2[2 * n] - a2[n] * mu[0], v = x2[2 * n + 1] - a2[n] * mu[1], determinant = p * r - q * q;
        double wu = (r * u - q * v) / determinant, wv = (p * v - q * u) / determinant;
        is_near(y2[2 * n], mu[0] + a2[n] * (c[0] * wu + c[1] * wv), 1e-12);
        is_near(y2[2 * n + 1], mu[1] + a2[n] * (c[2] * wu + c[3] * wv), 1e-12);
    }
    model_check_gradients(&m, x2, a2, s2, NULL, 1e-6);
    model_close(&m);
}

typedef struct metric_list {
    char text[256];
} metric_list;

static void write_metric(void *context, const char *name, double value)
{
    metric_list *list = context;
    size_t used = strlen(list->text);
    snprintf(list->text + used, sizeof list->text - used, "%s=%.10g ", name, value);
}

static dipp_status read_parameter(void *context, const char *name, double *out, size_t count)
{
    return dipp_parameter_set_read_entry(context, name, out, count, NULL);
}

static void the_affine_generator_is_mu_plus_l_z(void **state)
{
    (void)state;
    model m;
    model_open(&m, DIPP_PLUGIN_GENERATOR, "affine", TEXTS("mean=[0.2, 0.4]", "factor=[[0.9, 0], [0.3, 0.7]]"));
    const dipp_generator *generator = m.plugin->vtable;
    dipp_generator_info info = {.struct_size = sizeof info};
    CHECK(generator->info(m.self, &info, error));
    assert_true(info.takes_noise);
    assert_int_equal(info.sample.dims[0], 2);
    model_record(&m, DIPP_SHAPE(2, 2), false);
    const double z[] = {1, -2, .5, .25}, one[] = {1, 1};
    double y[4];
    model_run(&m, z, one, one, NULL, y);
    is_near(y[0], .2 + .9, 1e-15);
    is_near(y[1], .4 + .3 - 1.4, 1e-15);
    is_near(y[2], .2 + .45, 1e-15);
    is_near(y[3], .4 + .15 + .175, 1e-15);
    model_check_gradients(&m, z, one, one, NULL, 1e-9);
    metric_list list = {""};
    CHECK(generator->metrics(m.self, read_parameter, m.set, write_metric, &list, error));
    assert_string_equal(list.text, "mean.0=0.2 mean.1=0.4 cov.0.0=0.81 cov.0.1=0.27 cov.1.1=0.58 ");
    model_close(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mixture_of_two_has_the_known_scores_and_guidance),
        cmocka_unit_test(a_mixture_with_full_covariances_has_the_score_of_its_density),
        cmocka_unit_test(wrong_configurations_say_what_was_expected),
        cmocka_unit_test(the_affine_denoiser_is_the_posterior_mean),
        cmocka_unit_test(the_affine_generator_is_mu_plus_l_z),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
