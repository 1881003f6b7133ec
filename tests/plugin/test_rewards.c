/* The rewards without weights against values computed by hand or by plain loops, on the f64 oracle. */
#include "model.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#define TEXTS(...) ((const char *const[]){__VA_ARGS__, NULL})

enum { N = 2, H = 5, W = 7, PIXELS = H * W };

static void is_near(double found, double expected, double tolerance)
{
    if (!(fabs(found - expected) <= tolerance))
        fail_msg("expected %.13g, found %.13g", expected, found);
}

static void linear_and_quadratic_have_their_values(void **state)
{
    (void)state;
    const double x[] = {1, 2, 3, -1, .5, 0};
    double y[N];
    model m;
    model_open(&m, DIPP_PLUGIN_REWARD, "linear", TEXTS("direction=[0.5, -1, 0.8]", "offset=0.25"));
    model_record(&m, DIPP_SHAPE(N, 3), false);
    model_run(&m, x, NULL, NULL, NULL, y);
    is_near(y[0], .5 - 2 + 2.4 + .25, 1e-14);
    is_near(y[1], -.5 - .5 + .25, 1e-14);
    model_check_gradients(&m, x, NULL, NULL, NULL, 1e-8);
    model_close(&m);

    model_open(&m, DIPP_PLUGIN_REWARD, "quadratic", TEXTS("center=[0, 1, 0.5]", "curvature=1.5"));
    model_record(&m, DIPP_SHAPE(N, 3), false);
    model_run(&m, x, NULL, NULL, NULL, y);
    is_near(y[0], -.75 * (1 + 1 + 6.25), 1e-14);
    is_near(y[1], -.75 * (1 + .25 + .25), 1e-14);
    model_check_gradients(&m, x, NULL, NULL, NULL, 1e-8);
    model_close(&m);

    /* (1, 1, 2.5) and (-1, -.5, -.5) from the centre. */
    model_open(&m, DIPP_PLUGIN_REWARD, "quadratic",
               TEXTS("center=[0, 1, 0.5]", "matrix=[[1, 0.3, 0], [0.3, 0.8, -0.2], [0, -0.2, 0.5]]"));
    model_record(&m, DIPP_SHAPE(N, 3), false);
    model_run(&m, x, NULL, NULL, NULL, y);
    is_near(y[0], -.5 * (1 + .8 + 3.125 + .6 - 1), 1e-14);
    is_near(y[1], -.5 * (1 + .2 + .125 + .3 - .1), 1e-14);
    model_check_gradients(&m, x, NULL, NULL, NULL, 1e-8);
    model_close(&m);
}

static void fill(double pictures[N * 3 * PIXELS])
{
    for (int i = 0; i < N * 3 * PIXELS; i++)
        pictures[i] = .5 + .5 * sin(2.3 * i + .1 * (i % 11));
}

static void border_is_the_mean_over_the_border(void **state)
{
    (void)state;
    double pictures[N * 3 * PIXELS], y[N];
    fill(pictures);
    const double color[3] = {.5, -.25, 1};
    for (int width = 1; width <= 3; width++) { /* 3 reaches the middle: all pixels */
        char text[] = "width=0";
        text[6] = (char)('0' + width);
        model m;
        model_open(&m, DIPP_PLUGIN_REWARD, "border", TEXTS("color=[0.5, -0.25, 1]", text));
        dipp_reward_info info = {.struct_size = sizeof info};
        CHECK(((const dipp_reward *)m.plugin->vtable)->info(m.self, &info, error));
        assert_true(info.images && info.direction == 1 && !info.opaque && info.token_length == 0);
        model_record(&m, DIPP_SHAPE(N, 3, H, W), false);
        model_run(&m, pictures, NULL, NULL, NULL, y);
        for (int n = 0; n < N; n++) {
            double sum = 0;
            int count = 0;
            for (int row = 0; row < H; row++)
                for (int column = 0; column < W; column++) {
                    int nearest = row < H - 1 - row ? row : H - 1 - row;
                    int other = column < W - 1 - column ? column : W - 1 - column;
                    if ((nearest < other ? nearest : other) >= width)
                        continue;
                    count++;
                    for (int c = 0; c < 3; c++)
                        sum += color[c] * pictures[(n * 3 + c) * PIXELS + row * W + column];
                }
            is_near(y[n], sum / count, 1e-14);
        }
        model_check_gradients(&m, pictures, NULL, NULL, NULL, 1e-8);
        model_close(&m);
    }
    /* A picture that is red inside and blue outside has as much blue as can be. */
    for (int i = 0; i < 3 * PIXELS; i++) {
        int row = i % PIXELS / W, column = i % W, inside = row > 1 && row < H - 2 && column > 1 && column < W - 2;
        pictures[i] = i / PIXELS == (inside ? 0 : 2);
    }
    model m;
    model_open(&m, DIPP_PLUGIN_REWARD, "border", (const char *const[]){NULL});
    model_record(&m, DIPP_SHAPE(1, 3, H, W), false);
    model_run(&m, pictures, NULL, NULL, NULL, y);
    is_near(y[0], 1, 1e-14);
    model_close(&m);
}

/* M^(3) of Hasler and Susstrunk as written in the paper. */
static double colorfulness_of(const double *picture)
{
    double sums[4] = {0};
    for (int i = 0; i < PIXELS; i++) {
        double r = 255 * picture[i], g = 255 * picture[PIXELS + i], b = 255 * picture[2 * PIXELS + i];
        double rg = r - g, yb = .5 * (r + g) - b;
        sums[0] += rg, sums[1] += yb, sums[2] += rg * rg, sums[3] += yb * yb;
    }
    for (int i = 0; i < 4; i++)
        sums[i] /= PIXELS;
    double spread = sums[2] - sums[0] * sums[0] + sums[3] - sums[1] * sums[1];
    return sqrt(spread) + .3 * sqrt(sums[0] * sums[0] + sums[1] * sums[1]);
}

static void colorfulness_is_the_papers(void **state)
{
    (void)state;
    double pictures[N * 3 * PIXELS], y[N], grey[3 * PIXELS];
    fill(pictures);
    model m;
    model_open(&m, DIPP_PLUGIN_REWARD, "colorfulness", (const char *const[]){NULL});
    model_record(&m, DIPP_SHAPE(N, 3, H, W), false);
    model_run(&m, pictures, NULL, NULL, NULL, y);
    for (int n = 0; n < N; n++)
        is_near(y[n], colorfulness_of(pictures + n * 3 * PIXELS), 1e-6);
    assert_true(y[0] > 50); /* random colours are colourful on the paper's scale */
    model_check_gradients(&m, pictures, NULL, NULL, NULL, 1e-6);
    model_close(&m);

    /* Grey is not colourful, and its gradient is finite. */
    for (int i = 0; i < 3 * PIXELS; i++)
        grey[i] = .5;
    model_open(&m, DIPP_PLUGIN_REWARD, "colorfulness", (const char *const[]){NULL});
    model_record(&m, DIPP_SHAPE(1, 3, H, W), false);
    model_run(&m, grey, NULL, NULL, NULL, y);
    is_near(y[0], 0, 2e-3);
    double dx[3 * PIXELS];
    dipp_execute(m.run, 1);
    CHECK(dipp_executable_read(m.run, "dx", dx, DIPP_HOST_F64, 3 * PIXELS, error));
    for (int i = 0; i < 3 * PIXELS; i++)
        assert_true(isfinite(dx[i]));
    model_close(&m);
}

static void samples_of_another_shape_are_a_recorded_error(void **state)
{
    (void)state;
    static const struct {
        const char *name, *assignment, *text;
    } cases[] = {
        {"linear", "direction=[1, 2, 3]", "linear: expected samples [N, 3], as direction has 3 numbers, found width 5"},
        {"quadratic", "center=[1]", "quadratic: expected samples [N, 1], as center has 1 numbers, found width 5"},
        {"border", "width=1", "border: expected pictures [N, 3, H, W], found rank 2"},
        {"colorfulness", "mean_weight=1", "colorfulness: expected pictures [N, 3, H, W], found rank 2"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        model m;
        model_open(&m, DIPP_PLUGIN_REWARD, cases[i].name, TEXTS(cases[i].assignment));
        CHECK(dipp_layout_create("plugin", &m.layout, error));
        dipp_graph *g;
        CHECK(dipp_graph_create("plugin", &g, error));
        dipp_params p = dipp_graph_slot(g, "plugin", m.layout, false);
        dipp_tensor x = dipp_input(g, "x", DIPP_WIDE, DIPP_SHAPE(2, 5));
        const dipp_reward *reward = m.plugin->vtable;
        reward->record(m.self, g, p, x, (dipp_prompt){DIPP_NONE, DIPP_NONE}, DIPP_REWARD_EVALUATE);
        dipp_error error = {0};
        assert_int_equal(dipp_graph_status(g, &error), DIPP_E_INVALID);
        if (!strstr(error.message, cases[i].text))
            fail_msg("expected \"%s\" in \"%s\"", cases[i].text, error.message);
        dipp_graph_destroy(&g);
        model_close(&m);
    }
}

/* A reward that gives NaN is a usable plugin; what its numbers do is for the training step's finite check to see. */
static void not_a_number_reaches_the_score_and_the_gradient(void **state)
{
    (void)state;
    const double x[] = {1, 2};
    double y[N], dx[N];
    model m;
    model_open(&m, DIPP_PLUGIN_REWARD, "nan-scores.so", (const char *const[]){NULL});
    model_record(&m, DIPP_SHAPE(N, 1), false);
    model_run(&m, x, NULL, NULL, NULL, y);
    dipp_execute(m.run, 1);
    CHECK(dipp_executable_read(m.run, "dx", dx, DIPP_HOST_F64, N, error));
    assert_true(isnan(y[0]) && isnan(y[1]));
    assert_true(isfinite(dx[0])); /* d log(-u) has a value where log has none: scores must be looked at too */
    model_close(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_and_quadratic_have_their_values),
        cmocka_unit_test(border_is_the_mean_over_the_border),
        cmocka_unit_test(colorfulness_is_the_papers),
        cmocka_unit_test(samples_of_another_shape_are_a_recorded_error),
        cmocka_unit_test(not_a_number_reaches_the_score_and_the_gradient),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
