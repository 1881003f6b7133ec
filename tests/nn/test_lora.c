/* Adapted layers: PEFT's numbers (tests/fixtures/make_lora_fixture.py), finite differences, work saved, and mistakes. */
#include "fixture.h"
#include "lora_network.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* ---- A whole network ---------------------------------------------------------------------------------------------- */

/* replay_compare_weights also holds the names to PEFT's: as many, each found. */
static void every_layer_agrees_with_peft(void **state)
{
    dipp_lora_options lora = lora_every_layer(3, 6);
    dipp_weights *file = fixture_open(DIPP_FIXTURE_FOLDER "/lora/unet.safetensors");
    replay r;
    lora_network(&r, &lora, "reference", "f64");
    lora_run(&r);
    replay_compare_output(&r, file, "unet", "y", LORA_X, 1e-9);
    replay_compare_output(&r, file, "unet", "gradient.x", LORA_X, 1e-9);
    replay_compare_weights(&r, file, "unet", 1e-9);
    replay_end(&r);
    if (replay_available("cpu", "f32")) {
        lora_network(&r, &lora, "cpu", "f32");
        lora_run(&r);
        replay_compare_output(&r, file, "unet", "y", LORA_X, 5e-5);
        replay_compare_weights(&r, file, "unet", 5e-3);
        replay_end(&r);
    }
    dipp_weights_destroy(&file);
}

/* As a fresh adapter is: A of any size, B zero. */
static void clear_b(replay *r)
{
    double *block = calloc((size_t)dipp_layout_elements(r->layout), sizeof *block);
    assert_non_null(block);
    dipp_parameter_set_read(r->set, DIPP_BLOCK_MASTER, block, DIPP_HOST_F64);
    for (uint32_t i = 0; i < dipp_layout_count(r->layout); ++i) {
        const dipp_layout_entry *entry = dipp_layout_entry_at(r->layout, i);
        if (strstr(entry->name, "lora_B"))
            memset(block + entry->offset, 0, (size_t)entry->elements * sizeof *block);
    }
    dipp_parameter_set_write(r->set, DIPP_BLOCK_MASTER, block, DIPP_HOST_F64);
    assert_int_equal(dipp_parameter_set_refresh(r->set, NULL), DIPP_OK);
    free(block);
}

static void without_b_the_network_is_the_base(void **state)
{
    static const char *const places[][2] = {{"reference", "f64"}, {"cpu", "f32"}, {"cpu", "bf16"}};
    dipp_lora_options lora = lora_every_layer(4, 16);
    for (size_t i = 0; i < sizeof places / sizeof *places; ++i) {
        if (!replay_available(places[i][0], places[i][1]))
            continue;
        replay plain, adapted;
        lora_network(&plain, NULL, places[i][0], places[i][1]);
        lora_network(&adapted, &lora, places[i][0], places[i][1]);
        clear_b(&adapted);
        lora_run(&plain);
        lora_run(&adapted);
        double *a = replay_read(&plain, "y", LORA_X), *b = replay_read(&adapted, "y", LORA_X);
        for (int k = 0; k < LORA_X; ++k)
            assert_true(a[k] == b[k]);
        free(a);
        free(b);
        replay_end(&plain);
        replay_end(&adapted);
    }
}

static void initial_values_are_peft_s(void **state)
{
    dipp_lora_options lora = lora_every_layer(3, 6);
    replay r;
    lora_network(&r, &lora, "reference", "f64");
    assert_int_equal(dipp_parameter_set_initialise(r.set, 7, 1, NULL), DIPP_OK);
    for (uint32_t i = 0; i < dipp_layout_count(r.layout); ++i) {
        const dipp_layout_entry *entry = dipp_layout_entry_at(r.layout, i);
        double *numbers = malloc((size_t)entry->elements * sizeof *numbers), largest = 0;
        assert_non_null(numbers);
        assert_int_equal(dipp_parameter_set_read_entry(r.set, entry->name, numbers, (size_t)entry->elements, NULL),
                         DIPP_OK);
        for (int64_t k = 0; k < entry->elements; ++k)
            largest = numbers[k] * numbers[k] > largest ? numbers[k] * numbers[k] : largest;
        double fan_in = (double)(entry->elements / entry->shape.dims[0]); /* exact */
        if (strstr(entry->name, "lora_B"))
            assert_true(largest == 0);
        else /* nn.init.kaiming_uniform_(a = sqrt(5)) */
            assert_true(largest * fan_in <= 1 && largest * fan_in > 0.25);
        free(numbers);
    }
    replay_end(&r);
}

/* ---- Layers by themselves ----------------------------------------------------------------------------------------- */

enum { ROWS = 3, IN = 5, OUT = 4, PIXELS = 2 * 3 * 5 * 4 };

/* y = sum SiLU(linear) probe + sum SiLU(convolution) probe: curved, so that the order of factors counts. */
static void record_pair(replay *r)
{
    static const dipp_lora_options lora = {.rank = 2, .alpha = 3, .targets = {"to_q", "conv1"}, .target_count = 2};
    replay_begin(r, "overlay");
    dipp_graph *g = r->graph;
    dipp_params p = replay_freeze(r, "layers");
    dipp_graph_adapt(g, p, r->slot, &lora);
    p = dipp_scope(g, p, "blocks.0");
    dipp_tensor x = dipp_input(g, "x", DIPP_WIDE, DIPP_SHAPE(ROWS, IN));
    dipp_tensor picture = dipp_input(g, "picture", DIPP_WIDE, DIPP_SHAPE(2, 3, 5, 4));
    dipp_tensor a = dipp_linear(g, p, "to_q", x, OUT, NULL);
    dipp_tensor other = dipp_linear(g, p, "into_q", x, OUT, NULL); /* not meant */
    dipp_tensor b = dipp_conv2d(g, p, "conv1", picture, 2, 3,
                                &(dipp_conv2d_options){.stride = 2, .pad_after = 1, .wide_output = true});
    dipp_tensor terms[2] = {dipp_silu(g, dipp_add(g, a, other)), dipp_silu(g, b)}, y = DIPP_NONE;
    for (int i = 0; i < 2; ++i) {
        dipp_shape shape = dipp_shape_of(g, terms[i]);
        int64_t count = dipp_shape_elements(&shape);
        double *probe = malloc((size_t)count * sizeof *probe);
        assert_non_null(probe);
        fixture_noise(i ? "probe.b" : "probe.a", 1.0, probe, (size_t)count);
        dipp_tensor sum =
            dipp_sum(g, dipp_mul(g, terms[i], dipp_constant(g, shape, probe)), (1u << shape.rank) - 1, false);
        y = i ? dipp_add(g, y, sum) : sum;
        free(probe);
    }
    dipp_output(g, "y", y);
    dipp_gradients(g, 1, &y, NULL, 0, NULL, NULL);
    replay_prepare(r);
    double numbers[PIXELS];
    fixture_noise("x", 1.0, numbers, ROWS * IN);
    replay_write(r, "x", numbers, ROWS * IN);
    fixture_noise("picture", 1.0, numbers, PIXELS);
    replay_write(r, "picture", numbers, PIXELS);
}

static double value_of(replay *r)
{
    replay_run(r);
    double *y = replay_read(r, "y", 1), value = *y;
    free(y);
    return value;
}

static void gradients_are_finite_differences(void **state)
{
    const double h = 1e-5;
    replay r;
    record_pair(&r);
    size_t elements = (size_t)dipp_layout_elements(r.layout);
    double *gradient = malloc(elements * sizeof *gradient), *block = malloc(elements * sizeof *block);
    assert_non_null(gradient);
    assert_non_null(block);
    assert_int_equal(dipp_layout_count(r.layout), 4);
    replay_run(&r);
    dipp_parameter_set_read(r.set, DIPP_BLOCK_GRADIENT, gradient, DIPP_HOST_F64);
    dipp_parameter_set_read(r.set, DIPP_BLOCK_MASTER, block, DIPP_HOST_F64);
    for (uint32_t i = 0; i < 4; ++i) {
        const dipp_layout_entry *entry = dipp_layout_entry_at(r.layout, i);
        for (int64_t k = entry->offset; k < entry->offset + entry->elements; ++k) {
            double at[2], middle = block[k], slope;
            for (int side = 0; side < 2; ++side) {
                block[k] = middle + (side ? h : -h);
                dipp_parameter_set_write(r.set, DIPP_BLOCK_MASTER, block, DIPP_HOST_F64);
                at[side] = value_of(&r);
            }
            block[k] = middle;
            slope = (at[1] - at[0]) / (2 * h);
            fixture_compare(entry->name, &gradient[k], &slope, 1, 1e-9);
        }
    }
    free(gradient);
    free(block);
    replay_end(&r);
}

/* ---- Work ---------------------------------------------------------------------------------------------------------- */

/* Two layers 8 -> 16 -> 4 of 6 rows; the backward is segment 1. rank 0: all weights are trained. */
static dipp_program *two_layers(replay *r, uint32_t rank)
{
    dipp_lora_options lora = {.rank = rank, .alpha = 1, .targets = {"to_q", "to_k"}, .target_count = 2};
    replay_begin(r, "trained");
    dipp_params p = r->slot;
    if (rank) {
        p = replay_freeze(r, "layers");
        dipp_graph_adapt(r->graph, p, r->slot, &lora);
    }
    dipp_tensor h = dipp_input(r->graph, "x", DIPP_WIDE, DIPP_SHAPE(6, 8));
    h = dipp_silu(r->graph, dipp_linear(r->graph, p, "to_q", h, 16, NULL));
    dipp_tensor y = dipp_linear(r->graph, p, "to_k", h, 4, NULL);
    dipp_output(r->graph, "y", y);
    dipp_graph_begin_segment(r->graph);
    dipp_tensor dy = dipp_input(r->graph, "dy", DIPP_COMPUTE, DIPP_SHAPE(6, 4));
    dipp_gradients(r->graph, 1, &y, &dy, 0, NULL, NULL);
    replay_prepare(r);
    return r->program;
}

static void frozen_weights_cost_no_gradient(void **state)
{
    const double row = 2 * 6, base = 8 * 16 + 16 * 4;
    replay r;
    dipp_program *program = two_layers(&r, 0);
    assert_true(dipp_program_flops(program, 0) == row * base);
    assert_true(dipp_program_flops(program, 1) ==
                row * (base + 16 * 4)); /* to both weights, and to what the second takes */
    replay_end(&r);
    for (uint32_t rank = 1; rank <= 2; ++rank) {
        program = two_layers(&r, rank);
        double narrow = row * rank;
        assert_true(dipp_program_flops(program, 0) == row * base + narrow * (8 + 16 + 16 + 4));
        /* to B, to A x and to A of both layers; through the second layer and through its A to what it takes */
        assert_true(dipp_program_flops(program, 1) == row * 16 * 4 + narrow * (2 * 16 + 8 + 2 * 4 + 2 * 16));
        assert_null(r.frozen_set->blocks[DIPP_BLOCK_GRADIENT]);
        replay_end(&r);
    }
}

/* ---- Mistakes ------------------------------------------------------------------------------------------------------ */

static void expect_fault(const dipp_lora_options *lora, bool same_slot, const char *const parts[3])
{
    dipp_error error = {0};
    replay r;
    replay_begin(&r, "overlay");
    dipp_params p = replay_freeze(&r, "layers");
    dipp_graph_adapt(r.graph, p, same_slot ? p : r.slot, lora);
    dipp_tensor x = dipp_input(r.graph, "x", DIPP_WIDE, DIPP_SHAPE(2, 4));
    for (int i = 0; i < 12; ++i) {
        dipp_params block = dipp_scope(r.graph, p, "blocks.%d", i);
        x = dipp_linear(r.graph, block, "attn1.to_q", x, 4, NULL);
        x = dipp_linear(r.graph, block, "attn1.to_out.0", x, 4, NULL);
    }
    dipp_linear(r.graph, p, "proj_out", x, 2, NULL);
    dipp_graph_check_adapter(r.graph, p);
    assert_int_equal(dipp_graph_status(r.graph, &error), DIPP_E_INVALID);
    for (int i = 0; i < 3 && parts[i]; ++i)
        if (!strstr(error.message, parts[i]))
            fail_msg("\"%s\" is not in: %s", parts[i], error.message);
    replay_end(&r);
}

static void mistakes_say_what_there_is(void **state)
{
    expect_fault(&(dipp_lora_options){.rank = 2, .targets = {"to_q", "out_q"}, .target_count = 2}, false,
                 (const char *const[3]){"the target out_q", "attn1.to_q, attn1.to_out.0, proj_out"});
    expect_fault(&(dipp_lora_options){.rank = 0, .targets = {"to_q"}, .target_count = 1}, false,
                 (const char *const[3]){"rank 0"});
    expect_fault(&(dipp_lora_options){.rank = 2}, false, (const char *const[3]){"0 targets"});
    expect_fault(&(dipp_lora_options){.rank = 2, .targets = {"to_q"}, .target_count = 1}, true,
                 (const char *const[3]){"another one"});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_layer_agrees_with_peft),    cmocka_unit_test(without_b_the_network_is_the_base),
        cmocka_unit_test(initial_values_are_peft_s),       cmocka_unit_test(gradients_are_finite_differences),
        cmocka_unit_test(frozen_weights_cost_no_gradient), cmocka_unit_test(mistakes_say_what_there_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
