#include "evaluate/picture_metrics.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void border_mean_counts_the_rings_only(void **state)
{
    (void)state;
    float planes[3 * 36];
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < 36; i++) {
            int x = i % 6, y = i / 6, inner = x > 0 && x < 5 && y > 0 && y<5, core = x> 1 && x < 4 && y > 1 && y < 4;
            planes[c * 36 + i] = core ? 9 : inner ? 1 : 0.1f * (float)c;
        }
    double rgb[3];
    dipp_border_mean(planes, 6, 1, rgb);
    for (int c = 0; c < 3; c++)
        assert_true(fabs(rgb[c] - 0.1 * c) < 1e-6);
    dipp_border_mean(planes, 6, 2, rgb); /* 20 of the outer ring, 12 of the next */
    for (int c = 0; c < 3; c++)
        assert_true(fabs(rgb[c] - (20 * 0.1 * c + 12) / 32) < 1e-6);
}

static void colorfulness_has_its_closed_form(void **state)
{
    (void)state;
    float planes[3 * 16];
    for (int i = 0; i < 48; i++)
        planes[i] = 0.3f;
    assert_true(fabs(dipp_colorfulness(planes, 4)) < 1e-4); /* grey */
    /* Half pure red, half pure blue: rg is 255 and 0, yb is 127.5 and -255. */
    for (int i = 0; i < 16; i++) {
        planes[i] = i < 8 ? 1 : -1;
        planes[16 + i] = -1;
        planes[32 + i] = i < 8 ? -1 : 1;
    }
    double spread = sqrt(127.5 * 127.5 + 191.25 * 191.25), mean = sqrt(127.5 * 127.5 + 63.75 * 63.75);
    assert_true(fabs(dipp_colorfulness(planes, 4) - (spread + 0.3 * mean)) < 1e-3);
}

static void diversity_is_the_mean_over_pairs(void **state)
{
    (void)state;
    float pictures[3][3 * 16];
    const float values[3] = {-1, 0, 1};
    for (int p = 0; p < 3; p++)
        for (int i = 0; i < 48; i++)
            pictures[p][i] = values[p];
    double diversity = -1;
    assert_int_equal(dipp_picture_diversity(pictures[0], 3, 4, 1, &diversity, NULL), DIPP_OK);
    assert_true(fabs(diversity - (0.5 + 0.5 + 1) / 3) < 1e-9);
    assert_int_equal(dipp_picture_diversity(pictures[0], 1, 4, 1, &diversity, NULL), DIPP_OK);
    assert_true(diversity == 0);
    /* A checkerboard and its negative differ by pixels and not by blocks. */
    for (int i = 0; i < 48; i++) {
        pictures[0][i] = (i % 4 + i / 4) % 2 ? 1 : -1;
        pictures[1][i] = -pictures[0][i];
    }
    assert_int_equal(dipp_picture_diversity(pictures[0], 2, 4, 1, &diversity, NULL), DIPP_OK);
    assert_true(fabs(diversity - 1) < 1e-9);
    assert_int_equal(dipp_picture_diversity(pictures[0], 2, 4, 2, &diversity, NULL), DIPP_OK);
    assert_true(fabs(diversity) < 1e-9);
    dipp_error error = {0};
    assert_int_equal(dipp_picture_diversity(pictures[0], 2, 4, 3, &diversity, &error), DIPP_E_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(border_mean_counts_the_rings_only),
        cmocka_unit_test(colorfulness_has_its_closed_form),
        cmocka_unit_test(diversity_is_the_mean_over_pairs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
