/* Resizing, cropping and padding against what published scorers do (tests/fixtures/make_preprocess_fixture.py), and the gradient
 * of a resize against its definition. */
#include "fixture.h"
#include "replay.h"

#include <dipp/nn.h>

#include <setjmp.h>
#include <stdarg.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

typedef struct sizes {
    int64_t h, w, height, width;
} sizes;

static const sizes resizes[] = {{23, 17, 7, 5}, {5, 6, 11, 14}, {9, 4, 4, 9}, {12, 12, 6, 24}};
static const sizes fits[] = {{13, 24, 9, 9}, {24, 13, 9, 9}, {5, 8, 7, 7},
                             {8, 8, 7, 7},   {31, 10, 7, 7}, {6, 7, 12, 12}};

static double *read_picture(const dipp_weights *file, const sizes *s)
{
    char name[64];
    snprintf(name, sizeof name, "picture.%lldx%lld", (long long)s->h, (long long)s->w);
    return fixture_get(file, name, (size_t)(3 * s->h * s->w));
}

/* What a recording made of the picture; the caller frees. record is given the input "x" [1, 3, h, w]. */
static double *replay_picture(const dipp_weights *file, const sizes *s, const char *backend, const char *precision,
                              dipp_tensor (*record)(dipp_graph *g, dipp_tensor x, const sizes *s, const void *how),
                              const void *how)
{
    replay r;
    replay_begin(&r, "pictures");
    replay_on(&r, backend, precision);
    dipp_tensor x = dipp_input(r.graph, "x", DIPP_WIDE, DIPP_SHAPE(1, 3, s->h, s->w));
    dipp_output(r.graph, "y", record(r.graph, x, s, how));
    replay_prepare(&r);
    double *picture = read_picture(file, s);
    replay_write(&r, "x", picture, (size_t)(3 * s->h * s->w));
    replay_run(&r);
    double *y = replay_read(&r, "y", (size_t)(3 * s->height * s->width));
    replay_end(&r);
    free(picture);
    return y;
}

typedef struct resize_case {
    const char *name;
    dipp_resize_kernel kernel;
    bool eight_bit;
} resize_case;

static dipp_tensor record_resize(dipp_graph *g, dipp_tensor x, const sizes *s, const void *how)
{
    const resize_case *c = how;
    return dipp_resize(g, x, s->height, s->width, c->kernel, c->eight_bit);
}

static void compare_resize(const dipp_weights *file, const resize_case *c, const sizes *s, const char *backend,
                           const char *precision, double tolerance)
{
    char name[96];
    size_t count = (size_t)(3 * s->height * s->width);
    snprintf(name, sizeof name, "%s.%s.%lldx%lldto%lldx%lld", c->eight_bit ? "pillow" : "resize", c->name,
             (long long)s->h, (long long)s->w, (long long)s->height, (long long)s->width);
    double *expected = fixture_get(file, name, count);
    double *found = replay_picture(file, s, backend, precision, record_resize, c);
    fixture_compare(name, found, expected, count, tolerance);
    free(expected);
    free(found);
}

static const resize_case kernels[] = {
    {"bicubic", DIPP_RESIZE_BICUBIC, false},   {"bicubic_plain", DIPP_RESIZE_BICUBIC_PLAIN, false},
    {"bilinear", DIPP_RESIZE_BILINEAR, false}, {"bilinear_plain", DIPP_RESIZE_BILINEAR_PLAIN, false},
    {"bicubic", DIPP_RESIZE_BICUBIC, true},    {"bilinear", DIPP_RESIZE_BILINEAR, true},
    {"lanczos", DIPP_RESIZE_LANCZOS, true},
};

/* In double the bytes are Pillow's: a tolerance far below 1/255 leaves no room for another. */
static void kernels_are_the_published_ones(void **state)
{
    dipp_weights *file = fixture_open(DIPP_FIXTURE_FOLDER "/preprocess.safetensors");
    for (size_t k = 0; k < sizeof kernels / sizeof *kernels; k++)
        for (size_t i = 0; i < sizeof resizes / sizeof *resizes; i++)
            compare_resize(file, &kernels[k], &resizes[i], "reference", "f64", 1e-12);
    if (replay_available("cpu", "f32"))
        for (size_t k = 0; k < sizeof kernels / sizeof *kernels; k++)
            for (size_t i = 0; i < sizeof resizes / sizeof *resizes; i++)
                compare_resize(file, &kernels[k], &resizes[i], "cpu", "f32",
                               kernels[k].eight_bit ? 1.01 / 255.0 : 2e-6);
    dipp_weights_destroy(&file);
}

typedef struct fit_case {
    const char *name;
    dipp_fit fit;
    dipp_resize_kernel kernel;
    bool eight_bit;
} fit_case;

static dipp_tensor record_fit(dipp_graph *g, dipp_tensor x, const sizes *s, const void *how)
{
    const fit_case *c = how;
    return dipp_clip_pictures(g, x, s->height, c->fit, c->kernel, c->eight_bit);
}

static void pictures_are_fitted_as_published(void **state)
{
    static const fit_case cases[] = {{"crop", DIPP_FIT_CROP, DIPP_RESIZE_BICUBIC, true},
                                     {"crop_down", DIPP_FIT_CROP_DOWN, DIPP_RESIZE_BICUBIC, true},
                                     {"letterbox", DIPP_FIT_LETTERBOX, DIPP_RESIZE_BICUBIC, false},
                                     {"letterbox_plain", DIPP_FIT_LETTERBOX, DIPP_RESIZE_BICUBIC_PLAIN, false}};
    dipp_weights *file = fixture_open(DIPP_FIXTURE_FOLDER "/preprocess.safetensors");
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
        for (size_t i = 0; i < sizeof fits / sizeof *fits; i++) {
            const sizes *s = &fits[i];
            char name[96];
            size_t count = (size_t)(3 * s->height * s->width);
            snprintf(name, sizeof name, "fit.%s.%lldx%lldto%lldx%lld", cases[k].name, (long long)s->h, (long long)s->w,
                     (long long)s->height, (long long)s->width);
            double *expected = fixture_get(file, name, count);
            double *found = replay_picture(file, s, "reference", "f64", record_fit, &cases[k]);
            fixture_compare(name, found, expected, count, 1e-12);
            free(expected);
            free(found);
        }
    dipp_weights_destroy(&file);
}

/* <dy, R x> = <R' dy, x> for every kernel: a resize is linear, and its gradient is its adjoint. With rounding the gradient is
 * that of the resize without, up to the 22 bits of its weights. */
static void gradients_are_adjoint(void **state)
{
    const sizes s = {9, 4, 4, 9};
    enum { IN = 3 * 9 * 4, OUT = 3 * 4 * 9 };
    double x[IN], dy[OUT], dots[2];
    fixture_noise("x", 1.0, x, IN);
    fixture_noise("dy", 1.0, dy, OUT);
    for (size_t k = 0; k < sizeof kernels / sizeof *kernels; k++) {
        replay r;
        replay_begin(&r, "adjoint");
        dipp_tensor in = dipp_input(r.graph, "x", DIPP_WIDE, DIPP_SHAPE(1, 3, s.h, s.w));
        dipp_tensor seed = dipp_input(r.graph, "dy", DIPP_WIDE, DIPP_SHAPE(1, 3, s.height, s.width)), dx;
        dipp_tensor plain = dipp_resize(r.graph, in, s.height, s.width, kernels[k].kernel, false);
        dipp_tensor y = record_resize(r.graph, in, &s, &kernels[k]);
        dipp_gradients(r.graph, 1, &y, &seed, 1, &in, &dx);
        dipp_output(r.graph, "plain", plain);
        dipp_output(r.graph, "dx", dx);
        replay_prepare(&r);
        replay_write(&r, "x", x, IN);
        replay_write(&r, "dy", dy, OUT);
        replay_run(&r);
        double *forward = replay_read(&r, "plain", OUT), *back = replay_read(&r, "dx", IN);
        dots[0] = dots[1] = 0;
        for (int i = 0; i < OUT; i++)
            dots[0] += forward[i] * dy[i];
        for (int i = 0; i < IN; i++)
            dots[1] += back[i] * x[i];
        assert_true(fabs(dots[0] - dots[1]) < (kernels[k].eight_bit ? 1e-4 : 1e-12));
        assert_true(fabs(dots[0]) > 0.1); /* there is something to compare */
        free(forward);
        free(back);
        replay_end(&r);
    }
}

static void wrong_sizes_are_refused(void **state)
{
    dipp_error error = {0};
    replay r;
    replay_begin(&r, "narrow");
    dipp_tensor x = dipp_input(r.graph, "x", DIPP_WIDE, DIPP_SHAPE(1, 3, 1000, 1));
    dipp_clip_pictures(r.graph, x, 9, DIPP_FIT_LETTERBOX, DIPP_RESIZE_BICUBIC, false);
    assert_int_equal(dipp_graph_status(r.graph, &error), DIPP_E_INVALID);
    assert_non_null(strstr(error.message, "1000 x 1 is too narrow for a side of 9"));
    replay_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kernels_are_the_published_ones), cmocka_unit_test(pictures_are_fitted_as_published),
        cmocka_unit_test(gradients_are_adjoint), cmocka_unit_test(wrong_sizes_are_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
