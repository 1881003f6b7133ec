/* The losses of reward training on the f64 oracle: against published code (tests/fixtures/make_preference_fixture.py), and
 * their gradients against central differences. */
#include "../nn/fixture.h"
#include "../nn/replay.h"
#include "train/reward.h"

#include <setjmp.h>
#include <stdarg.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { PAIRS = 25, ROWS = 7 };

static dipp_weights *file;

/* Sum of the losses of n pairs and its gradient [n], by recording, differentiating and replaying. */
static double pair_loss(const double *differences, const double *labels, const double *weights, size_t n,
                        double *losses, double *gradient)
{
    replay r;
    double sum = 0;
    replay_begin(&r, "pairs");
    dipp_shape shape = DIPP_SHAPE((int64_t)n);
    dipp_tensor d = dipp_input(r.graph, "d", DIPP_WIDE, shape), back;
    dipp_tensor each = dipp_record_pair_losses(r.graph, d, dipp_input(r.graph, "q", DIPP_WIDE, shape),
                                               dipp_input(r.graph, "w", DIPP_WIDE, shape));
    dipp_tensor total = dipp_sum(r.graph, each, 1, false);
    dipp_gradients(r.graph, 1, &total, NULL, 1, &d, &back);
    dipp_output(r.graph, "losses", each);
    dipp_output(r.graph, "gradient", back);
    replay_prepare(&r);
    replay_write(&r, "d", differences, n);
    replay_write(&r, "q", labels, n);
    replay_write(&r, "w", weights, n);
    replay_run(&r);
    double *found = replay_read(&r, "losses", n), *slope = replay_read(&r, "gradient", n);
    for (size_t i = 0; i < n; i++)
        sum += found[i];
    if (losses)
        memcpy(losses, found, n * sizeof *losses);
    if (gradient)
        memcpy(gradient, slope, n * sizeof *gradient);
    free(found);
    free(slope);
    replay_end(&r);
    return sum;
}

static void pairs_are_hpsv2s_loss(void **state)
{
    double ones[PAIRS], losses[PAIRS], gradient[PAIRS];
    double *differences = fixture_get(file, "pairs.differences", PAIRS);
    double *labels = fixture_get(file, "pairs.labels", PAIRS), *sum = fixture_get(file, "pairs.hps", 1);
    double *slope = fixture_get(file, "pairs.hps_gradient", PAIRS), *kl = fixture_get(file, "pairs.kl", PAIRS);
    for (int i = 0; i < PAIRS; i++)
        ones[i] = 1;
    double total = pair_loss(differences, labels, ones, PAIRS, losses, gradient);
    fixture_compare("sum", &total, sum, 1, 1e-9);
    fixture_compare("gradient", gradient, slope, PAIRS, 1e-14);
    for (int i = 0; i < PAIRS; i++) { /* less the label's entropy, it is a KL divergence */
        double q = labels[i];
        losses[i] += q > 0 && q < 1 ? q * log(q) + (1 - q) * log(1 - q) : 0;
    }
    fixture_compare("kl", losses, kl, PAIRS, 1e-12);
    free(differences);
    free(labels);
    free(sum);
    free(slope);
    free(kl);
}

static void pairs_agree_with_differences(void **state)
{
    static const double step = 1e-5;
    double d[] = {0.0, 1e-9, -2.5, 3.0, 31.0, -29.99}, q[] = {1, 0.3, 0.8, 0, 0.5, 0.9};
    double w[] = {1, 0.5, 2, 1, 0.25, 3}, gradient[6];
    pair_loss(d, q, w, 6, NULL, gradient);
    for (int i = 0; i < 6; i++) {
        double kept = d[i], ends[2];
        for (int side = 0; side < 2; side++) {
            d[i] = kept + (side ? step : -step);
            ends[side] = pair_loss(d, q, w, 6, NULL, NULL);
        }
        d[i] = kept;
        assert_true(fabs((ends[1] - ends[0]) / (2 * step) - gradient[i]) < 1e-8);
    }
}

/* Sum of the contrastive losses and its gradient [n, n]. */
static double contrast_loss(const double *logits, int64_t n, double *gradient)
{
    replay r;
    double sum = 0;
    size_t count = (size_t)(n * n);
    replay_begin(&r, "contrast");
    dipp_tensor x = dipp_input(r.graph, "x", DIPP_WIDE, DIPP_SHAPE(n, n)), back;
    dipp_tensor each = dipp_record_contrastive_losses(r.graph, x);
    dipp_tensor total = dipp_sum(r.graph, each, 1, false);
    dipp_gradients(r.graph, 1, &total, NULL, 1, &x, &back);
    dipp_output(r.graph, "losses", each);
    dipp_output(r.graph, "gradient", back);
    replay_prepare(&r);
    replay_write(&r, "x", logits, count);
    replay_run(&r);
    double *losses = replay_read(&r, "losses", (size_t)n), *slope = replay_read(&r, "gradient", count);
    for (int64_t i = 0; i < n; i++)
        sum += losses[i];
    memcpy(gradient, slope, count * sizeof *gradient);
    free(losses);
    free(slope);
    replay_end(&r);
    return sum;
}

static void contrast_is_open_clips_loss(void **state)
{
    double gradient[ROWS * ROWS];
    double *logits = fixture_get(file, "contrast.logits", ROWS * ROWS), *loss = fixture_get(file, "contrast.loss", 1);
    double *slope = fixture_get(file, "contrast.gradient", ROWS * ROWS);
    double total = contrast_loss(logits, ROWS, gradient);
    fixture_compare("loss", &total, loss, 1, 1e-12);
    fixture_compare("gradient", gradient, slope, ROWS * ROWS, 1e-13);
    free(logits);
    free(loss);
    free(slope);
}

/* Wrong by far more than a number can hold: finite, and pulled the right way. */
static void contrast_survives_what_is_very_wrong(void **state)
{
    const double logits[4] = {-400, 400, 400, -400};
    double gradient[4];
    assert_true(isfinite(contrast_loss(logits, 2, gradient)));
    assert_true(gradient[0] < -0.4 && gradient[3] < -0.4 && gradient[1] > 0.4 && gradient[2] > 0.4);
}

static int open_fixture(void **state)
{
    file = fixture_open(DIPP_FIXTURE_FOLDER "/preferences.safetensors");
    return 0;
}

static int close_fixture(void **state)
{
    dipp_weights_destroy(&file);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_are_hpsv2s_loss),
        cmocka_unit_test(pairs_agree_with_differences),
        cmocka_unit_test(contrast_is_open_clips_loss),
        cmocka_unit_test(contrast_survives_what_is_very_wrong),
    };
    return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
