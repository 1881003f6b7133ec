/* What the recorder makes of convolutions, group norms and upsampling: shapes, parameters, operations counted, refusals. */
#include "tensor/program.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#define CHECK(call)                                         \
    do {                                                    \
        dipp_error check_error = {0};                       \
        dipp_error *error = &check_error;                   \
        if ((call) != DIPP_OK)                              \
            fail_msg("%s: %s", #call, check_error.message); \
    } while (0)

typedef struct recording {
    dipp_graph *graph;
    dipp_layout *layout;
    dipp_params params;
} recording;

static recording begin(void)
{
    recording r;
    CHECK(dipp_layout_create("set", &r.layout, error));
    CHECK(dipp_graph_create("pictures", &r.graph, error));
    r.params = dipp_graph_slot(r.graph, "set", r.layout, true);
    return r;
}

static void end(recording *r)
{
    dipp_graph_destroy(&r->graph);
    dipp_layout_destroy(&r->layout);
}

static void assert_shape(const recording *r, dipp_tensor x, dipp_shape want)
{
    dipp_shape got = dipp_shape_of(r->graph, x);
    CHECK(dipp_graph_status(r->graph, error));
    if (!dipp_same_shape(&got, &want)) {
        char a[128], b[128];
        fail_msg("shape %s, expected %s", dipp_shape_text(&got, a, sizeof a), dipp_shape_text(&want, b, sizeof b));
    }
}

static void convolutions_have_the_sizes_of_published_networks(void **state)
{
    static const struct {
        int64_t size, kernel;
        dipp_conv2d_options options;
        int64_t want;
    } rows[] = {{64, 3, {.pad_before = DIPP_PAD_SAME}, 64},                  /* a residual block */
                {64, 3, {.stride = 2, .pad_before = 1, .pad_after = 1}, 32}, /* UNet: down */
                {512, 3, {.stride = 2, .pad_after = 1}, 256},                /* VAE: down */
                {64, 1, {0}, 64},                                            /* a shortcut */
                {7, 3, {.stride = 2, .pad_before = 1, .pad_after = 1}, 4},
                {7, 3, {.stride = 2, .pad_after = 1}, 3},
                {224, 14, {.stride = 14}, 16}, /* patches */
                {3, 3, {0}, 1}};
    for (size_t k = 0; k < sizeof rows / sizeof *rows; k++)
        for (int dtype = 0; dtype < 2; dtype++) {
            recording r = begin();
            dipp_tensor x =
                dipp_input(r.graph, "x", (dipp_dtype)dtype, DIPP_SHAPE(2, 3, rows[k].size, rows[k].size + 14));
            dipp_tensor y = dipp_conv2d(r.graph, dipp_scope(r.graph, r.params, "net"), "conv", x, 5, rows[k].kernel,
                                        &rows[k].options);
            int64_t stride = rows[k].options.stride ? rows[k].options.stride : 1;
            assert_shape(&r, y, DIPP_SHAPE(2, 5, rows[k].want, rows[k].want + 14 / stride));
            assert_int_equal(dipp_dtype_of(r.graph, y), DIPP_COMPUTE);
            assert_int_equal(dipp_layout_count(r.layout), 2);
            const dipp_layout_entry *weight = dipp_layout_entry_at(r.layout, 0);
            assert_string_equal(weight->name, "net.conv.weight");
            assert_int_equal(weight->elements, 5 * 3 * rows[k].kernel * rows[k].kernel);
            assert_string_equal(dipp_layout_entry_at(r.layout, 1)->name, "net.conv.bias");
            end(&r);
        }
}

static void the_rest_keeps_or_scales_the_shape(void **state)
{
    recording r = begin();
    dipp_tensor x = dipp_input(r.graph, "x", DIPP_WIDE, DIPP_SHAPE(2, 64, 3, 5));
    dipp_tensor normed = dipp_group_norm(r.graph, x, NULL); /* 32 groups */
    assert_shape(&r, normed, DIPP_SHAPE(2, 64, 3, 5));
    assert_int_equal(dipp_dtype_of(r.graph, normed), DIPP_COMPUTE);
    dipp_tensor large = dipp_upsample_nearest(r.graph, x, 2);
    assert_shape(&r, large, DIPP_SHAPE(2, 64, 6, 10));
    assert_int_equal(dipp_dtype_of(r.graph, large), DIPP_WIDE);
    assert_int_equal(dipp_upsample_nearest(r.graph, x, 1).id, x.id);
    dipp_tensor tokens = dipp_input(r.graph, "tokens", DIPP_COMPUTE, DIPP_SHAPE(2, 7, 16));
    assert_shape(&r, dipp_geglu(r.graph, tokens), DIPP_SHAPE(2, 7, 8));
    end(&r);
}

/* Forward, and both gradients: 2 N O H' W' C k k each. */
static void operations_are_counted(void **state)
{
    dipp_backend *backend;
    CHECK(dipp_null_backend_create(NULL, &backend, error));
    recording r = begin();
    dipp_tensor x = dipp_input(r.graph, "x", DIPP_COMPUTE, DIPP_SHAPE(2, 3, 8, 6)), dx;
    dipp_conv2d_options options = {.stride = 2, .pad_before = 1, .pad_after = 1};
    dipp_tensor loss = dipp_sum(r.graph, dipp_conv2d(r.graph, r.params, "conv", x, 5, 3, &options), 15, false);
    dipp_output(r.graph, "loss", loss);
    dipp_graph_begin_segment(r.graph);
    dipp_gradients(r.graph, 1, &loss, NULL, 1, &x, &dx);
    dipp_output(r.graph, "dx", dx);
    dipp_program *program;
    CHECK(dipp_program_create(&r.graph, backend, &program, error));
    double want = 2.0 * 2 * 5 * 4 * 3 * 3 * 3 * 3;
    assert_true(dipp_program_flops(program, 0) == want);
    assert_true(dipp_program_flops(program, 1) == 2 * want);
    dipp_program_destroy(&program);
    end(&r);
    dipp_backend_destroy(&backend);
}

static dipp_tensor wrong(int which, recording *r)
{
    dipp_graph *g = r->graph;
    dipp_tensor x = dipp_input(g, "x", DIPP_WIDE, DIPP_SHAPE(2, 6, 4, 4));
    dipp_tensor rows = dipp_input(g, "rows", DIPP_WIDE, DIPP_SHAPE(2, 7));
    dipp_tensor ids = dipp_input(g, "ids", DIPP_INT32, DIPP_SHAPE(2, 6, 4, 4));
    dipp_tensor six = dipp_input(g, "six", DIPP_WIDE, DIPP_SHAPE(6));
    dipp_tensor seven = dipp_input(g, "seven", DIPP_WIDE, DIPP_SHAPE(7));
    switch (which) {
    case 0: return dipp_conv2d(g, r->params, "c", rows, 5, 3, NULL);
    case 1: return dipp_conv2d(g, r->params, "c", x, 5, 5, NULL);
    case 2: return dipp_conv2d(g, r->params, "c", x, 5, 3, &(dipp_conv2d_options){.pad_before = 3});
    case 3: return dipp_conv2d(g, r->params, "c", x, 5, 3, &(dipp_conv2d_options){.stride = -1});
    case 4: return dipp_conv2d(g, r->params, "c", x, 5, 3, &(dipp_conv2d_options){.pad_before = -1, .pad_after = 1});
    case 5: return dipp_conv2d(g, r->params, "c", ids, 5, 3, NULL);
    case 6: return dipp_group_norm(g, x, NULL);
    case 7: return dipp_group_norm(g, x, &(dipp_group_norm_options){.groups = 2, .gain = seven});
    case 8: return dipp_group_norm(g, x, &(dipp_group_norm_options){.groups = 2, .bias = six});
    case 9: return dipp_upsample_nearest(g, rows, 2);
    case 10: return dipp_upsample_nearest(g, x, 0);
    default: return dipp_geglu(g, rows);
    }
}

static void what_cannot_be_recorded_says_why(void **state)
{
    static const char *const says[] = {"needs pictures [N, C, H, W]",
                                       "a kernel of 5 does not fit into [2, 6, 4, 4]",
                                       "padding below the kernel",
                                       "sizes must be positive",
                                       "pad_after must be 0",
                                       "of integers",
                                       "the channels of [2, 6, 4, 4] cannot be cut into 32 groups",
                                       "gain and bias must be [6]",
                                       "a bias needs a gain",
                                       "upsample_nearest: needs pictures",
                                       "a positive factor",
                                       "a last axis of even length"};
    for (int k = 0; k < (int)(sizeof says / sizeof *says); k++) {
        recording r = begin();
        dipp_error error = {0};
        assert_int_equal(wrong(k, &r).id, 0);
        assert_int_equal(dipp_graph_status(r.graph, &error), DIPP_E_INVALID);
        if (!strstr(error.message, says[k]))
            fail_msg("\"%s\" does not say \"%s\"", error.message, says[k]);
        end(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(convolutions_have_the_sizes_of_published_networks),
        cmocka_unit_test(the_rest_keeps_or_scales_the_shape),
        cmocka_unit_test(operations_are_counted),
        cmocka_unit_test(what_cannot_be_recorded_says_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
