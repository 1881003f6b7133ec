/* A reward on pictures with a known answer: the reward `border` moves the mean picture of a Gaussian reference by
 * alpha A^-1 b, A = int w a^2 R^-1 dt, through `dipp run` and all that belongs to pictures (docs/border-shift.md). */
#include "cli_fixture.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* flat_scenes.c: pixels of the border; background in all, as |m|^2; along the border; spread^2; grain^2. */
static const double BORDER_PIXELS = 48, BACKGROUND = 64 - 12 - 4 + 4 * 0.25, BORDER_BACKGROUND = 48 - 2 - 2 + 2 * 0.5,
                    SPREAD2 = 0.01 / 3, GRAIN2 = 0.0004;
static const double SCALE = 9, LAW_MEAN = -0.9, LAW_STD = 1.0;

static const char yaml[] = "name: scenes\n"
                           "device: reference\nprecision: f64\n"
                           "reference: {plugin: flat-scenes}\n"
                           "generator: {plugin: flat-scenes, params: {offset: 0.05}}\n"
                           "schedule: {name: ve, sigma_min: 0.002, sigma_max: 80}\n"
                           "rewards: [{plugin: border, scale: 9.0, params: {color: [0.0, 0.0, 1.0], width: 2}}]\n"
                           "align:\n"
                           "  steps: 500\n  batch: 32\n"
                           "  divergence: {name: ikl, weight: sigma2}\n"
                           "  time: {law: log_normal, mean: -0.9, std: 1.0}\n"
                           "  optimizer: {lr: 0.005, beta1: 0.0, clip: 0, schedule: cosine, final: 0.01}\n"
                           "  ema: {decay: 0.98}\n"
                           "  ta:\n"
                           "    updates: 2\n    warmup: 30\n"
                           "    optimizer: {lr: 0.01, beta1: 0.0, clip: 0, schedule: cosine, final: 0.01}\n"
                           "    time: {law: log_normal, mean: -0.9, std: 1.0}\n"
                           "evaluate: {samples: 8, metrics: [border]}\n";

/* E[sigma^2 / (v + sigma^2)] under the law: what A is along a direction of variance v, by Simpson's rule in ln sigma. */
static double stiffness(double v)
{
    enum { PANELS = 2000 };
    double sum = 0, total = 0;
    for (int i = 0; i <= PANELS; i++) {
        double z = -8 + 16.0 * i / PANELS, weight = (i == 0 || i == PANELS ? 1 : i % 2 ? 4 : 2) * exp(-0.5 * z * z);
        double sigma = exp(LAW_MEAN + LAW_STD * z);
        sum += weight * sigma * sigma / (v + sigma * sigma);
        total += weight;
    }
    return sum / total;
}

static double learned(const char *metric)
{
    char sql[256];
    snprintf(sql, sizeof sql,
             "SELECT printf('%%.12g', value) FROM metrics JOIN metric_names USING(metric_id) WHERE name='%s' ORDER BY "
             "step DESC LIMIT 1",
             metric);
    return strtod(ask_text("e.db", sql), NULL);
}

static void assert_share(const char *what, double found, double expected, double tolerance)
{
    print_message("%s: %.6f of %.6f, ratio %.4f\n", what, found, expected, found / expected);
    if (!(fabs(found / expected - 1) <= tolerance))
        fail_msg("%s: %.6f, expected %.6f", what, found, expected);
}

static void test_shift(void **state)
{
    char line[1024];
    write_file("e.yaml", yaml);
    snprintf(line, sizeof line, "run e.yaml --db e.db --quiet --plugin %s", getenv("DIPP_FLAT_SCENES"));
    assert_int_equal(dipp(line), 0);
    /* In samples x = 2 picture - 1 the reward's gradient b is 1/2 / 48 on the border, and the shift of a picture is half
     * that of x. Along m it is divided by the stiffness there; what is left of b, by that of the grain. */
    double along = stiffness(SPREAD2 * BACKGROUND + GRAIN2), across = stiffness(GRAIN2);
    double b = 1 / BORDER_PIXELS, on_m = b * BORDER_BACKGROUND / BACKGROUND; /* b = on_m m + rest */
    double border =
        0.25 * SCALE *
        (on_m * BORDER_BACKGROUND / BORDER_PIXELS / along + (b - on_m * BORDER_BACKGROUND / BORDER_PIXELS) / across);
    double inside = 0.25 * SCALE * (on_m / along - on_m / across);
    /* The reference's background is 0.55 blue, its glyph 0.8. */
    double at_rest = 0.55 + 0.25 * (1 - BORDER_BACKGROUND / BORDER_PIXELS);
    assert_share("border", learned("blue.border") - at_rest, border, 0.02);
    assert_share("background inside", learned("blue.inside") - 0.55, inside, 0.02);
    assert_share("spread", learned("spread"), sqrt(SPREAD2), 0.02);
    /* Not the tilt of clean pictures, alpha S b, and not what a stiffness of 1 would give. */
    double ring = BORDER_BACKGROUND / BORDER_PIXELS;
    assert_true(border > 8 * 0.25 * SCALE * (SPREAD2 * ring * ring + GRAIN2 * b));
    assert_true(border > 1.5 * 0.25 * SCALE * b);
    assert_sound("e.db");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(test_shift, cli_setup, cli_teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
