/* The networks' blocks computed a second time: every output and gradient is that of the plain recording, bit for bit, and
 * the comparison sees a block that starts from the wrong boundary. */
#include "fixture.h"
#include "replay.h"
#include "tensor/graph.h"

#include <dipp/nn.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { N = 2, L = 4, MOST_INPUTS = 4, MOST_NUMBERS = 1024 };

/* A network, the input whose gradient is wanted, and all inputs' names. */
typedef struct recorded {
    dipp_tensor y, x;
    const char *inputs[MOST_INPUTS];
    size_t counts[MOST_INPUTS];
    int input_count, id_input; /* id_input: of whole numbers, or -1 */
} recorded;

static dipp_tensor input(dipp_graph *g, recorded *out, const char *name, dipp_dtype dtype, dipp_shape shape)
{
    if (dtype == DIPP_INT32)
        out->id_input = out->input_count;
    out->counts[out->input_count] = (size_t)dipp_shape_elements(&shape);
    out->inputs[out->input_count++] = name;
    return dipp_input(g, name, dtype, shape);
}

static void record_dit(replay *r, recorded *out)
{
    const dipp_dit_options o = {.channels = 3,
                                .height = 4,
                                .width = 4,
                                .patch = 2,
                                .hidden = 16,
                                .layers = 3,
                                .heads = 2,
                                .caption_channels = 6};
    out->x = input(r->graph, out, "x", DIPP_WIDE, DIPP_SHAPE(N, 3, 4, 4));
    dipp_tensor t = input(r->graph, out, "t", DIPP_WIDE, DIPP_SHAPE(N));
    dipp_tensor caption = input(r->graph, out, "caption", DIPP_WIDE, DIPP_SHAPE(N, L, 6));
    dipp_tensor mask = input(r->graph, out, "mask", DIPP_WIDE, DIPP_SHAPE(N, L));
    out->y = dipp_dit(r->graph, r->slot, &o, out->x, t, caption, mask);
}

static void record_unet(replay *r, recorded *out)
{
    const dipp_unet_options o = {
        .in_channels = 4,
        .out_channels = 4,
        .levels = 2,
        .level = {{.channels = 8, .layers = 2, .heads = 2, .down_attention = true, .up_attention = true},
                  {.channels = 16, .layers = 1, .heads = 2}},
        .caption_channels = 6,
        .groups = 4};
    out->x = input(r->graph, out, "x", DIPP_WIDE, DIPP_SHAPE(N, 4, 6, 5));
    dipp_tensor t = input(r->graph, out, "t", DIPP_WIDE, DIPP_SHAPE(N));
    dipp_tensor caption = input(r->graph, out, "caption", DIPP_WIDE, DIPP_SHAPE(N, L, 6));
    out->y = dipp_unet(r->graph, r->slot, &o, out->x, t, caption, DIPP_NONE);
}

static const dipp_vae_options vae = {
    .latent_channels = 4, .levels = 3, .channels = {4, 8, 8}, .layers = 1, .groups = 2};

static void record_decoder(replay *r, recorded *out)
{
    out->x = input(r->graph, out, "z", DIPP_WIDE, DIPP_SHAPE(N, 4, 3, 2));
    out->y = dipp_vae_decode(r->graph, r->slot, &vae, out->x);
}

static void record_encoder(replay *r, recorded *out)
{
    out->x = input(r->graph, out, "pictures", DIPP_WIDE, DIPP_SHAPE(N, 3, 8, 8));
    out->y = dipp_vae_encode(r->graph, r->slot, &vae, out->x);
}

static void record_text(replay *r, recorded *out)
{
    const dipp_text_encoder_options o = {.vocabulary = 9, .length = L, .width = 16, .layers = 3, .heads = 2};
    dipp_tensor tokens = input(r->graph, out, "tokens", DIPP_INT32, DIPP_SHAPE(N, L));
    out->x = input(r->graph, out, "mask", DIPP_WIDE, DIPP_SHAPE(N, L));
    out->y = dipp_text_encoder(r->graph, r->slot, &o, tokens, out->x);
}

static void record_t5(replay *r, recorded *out)
{
    const dipp_t5_options o = {
        .vocabulary = 9, .width = 12, .head_width = 4, .heads = 2, .layers = 3, .inner = 20, .gated = true};
    dipp_tensor tokens = input(r->graph, out, "tokens", DIPP_INT32, DIPP_SHAPE(N, L));
    out->x = input(r->graph, out, "mask", DIPP_WIDE, DIPP_SHAPE(N, L));
    out->y = dipp_t5_encoder(r->graph, r->slot, &o, tokens, out->x);
}

static const struct subject {
    const char *name;
    void (*record)(replay *r, recorded *out);
} subjects[] = {{"dit", record_dit},         {"unet", record_unet},         {"decoder", record_decoder},
                {"encoder", record_encoder}, {"text encoder", record_text}, {"t5", record_t5}};
enum { SUBJECTS = sizeof subjects / sizeof *subjects };

/* What leaves block b. */
static uint32_t boundary(const dipp_graph *g, size_t b)
{
    return g->nodes[g->blocks[b].end - 1].outputs[0];
}

/* The second computation of block 2 starts from block 0's result in place of block 1's. */
static void start_from_the_wrong_boundary(dipp_graph *g)
{
    int changed = 0;
    for (size_t n = 0; n < g->node_count; n++)
        for (uint32_t i = 0; g->nodes[n].recomputed && i < g->nodes[n].input_count; i++)
            if (g->nodes[n].inputs[i] == boundary(g, 1)) {
                g->nodes[n].inputs[i] = boundary(g, 0);
                changed++;
            }
    assert_true(changed > 0);
}

typedef struct outcome {
    double *numbers; /* y, dx, gradients of all parameters */
    size_t count;
    double useful, again; /* flops */
} outcome;

static outcome outcome_of(const struct subject *subject, const char *backend, const char *precision, bool recompute,
                          void (*mutate)(dipp_graph *))
{
    replay r;
    recorded f = {.id_input = -1};
    replay_begin(&r, subject->name);
    dipp_graph *g = r.graph;
    subject->record(&r, &f);
    dipp_shape shape = dipp_shape_of(g, f.y), x_shape = dipp_shape_of(g, f.x);
    size_t y_count = (size_t)dipp_shape_elements(&shape), x_count = (size_t)dipp_shape_elements(&x_shape);
    dipp_tensor dy = dipp_input(g, "dy", DIPP_WIDE, shape), dx;
    dipp_graph_recompute_blocks(g, recompute);
    dipp_gradients(g, 1, &f.y, &dy, 1, &f.x, &dx);
    dipp_output(g, "y", f.y);
    dipp_output(g, "dx", dx);
    if (mutate)
        mutate(g);
    replay_on(&r, backend, precision);
    replay_prepare(&r);
    double numbers[MOST_NUMBERS];
    assert_true(y_count <= MOST_NUMBERS);
    for (int i = 0; i < f.input_count; i++) {
        assert_true(f.counts[i] <= MOST_NUMBERS);
        fixture_noise(f.inputs[i], 1.0, numbers, f.counts[i]);
        for (size_t k = 0; k < f.counts[i] && (i == f.id_input || !strcmp(f.inputs[i], "mask")); k++)
            numbers[k] = i == f.id_input ? (double)(k % 9) : k % 3 != 2;
        if (i == f.id_input)
            replay_write_ids(&r, f.inputs[i], numbers, f.counts[i]);
        else
            replay_write(&r, f.inputs[i], numbers, f.counts[i]);
    }
    fixture_noise("dy", 1.0, numbers, y_count);
    replay_write(&r, "dy", numbers, y_count);
    replay_run(&r);

    size_t parameters = (size_t)dipp_layout_elements(r.layout);
    outcome out = {.count = y_count + x_count + parameters,
                   .useful = dipp_program_flops(r.program, 0),
                   .again = dipp_program_recomputed_flops(r.program, 0)};
    out.numbers = malloc(out.count * sizeof *out.numbers);
    assert_non_null(out.numbers);
    double *y = replay_read(&r, "y", y_count), *gradient = replay_read(&r, "dx", x_count);
    memcpy(out.numbers, y, y_count * sizeof *y);
    memcpy(out.numbers + y_count, gradient, x_count * sizeof *y);
    dipp_parameter_set_read(r.set, DIPP_BLOCK_GRADIENT, out.numbers + y_count + x_count, DIPP_HOST_F64);
    free(y);
    free(gradient);
    replay_end(&r);
    return out;
}

static void compare(const char *backend, const char *precision)
{
    for (int i = 0; i < SUBJECTS; i++) {
        outcome plain = outcome_of(&subjects[i], backend, precision, false, NULL);
        outcome again = outcome_of(&subjects[i], backend, precision, true, NULL);
        if (memcmp(plain.numbers, again.numbers, plain.count * sizeof *plain.numbers) != 0)
            fail_msg("%s on %s %s: recomputed blocks give other numbers", subjects[i].name, backend, precision);
        assert_true(plain.useful == again.useful);
        assert_true(plain.again == 0);
        /* Less than another forward pass, which is a third of the useful work. */
        assert_true(again.again > plain.useful / 9 && again.again < plain.useful / 3);
        free(plain.numbers);
        free(again.numbers);
    }
}

static void gradients_are_equal_to_the_bit(void **state)
{
    (void)state;
    compare("reference", "f64");
    compare("reference", "f32");
}

static void gradients_are_equal_to_the_bit_on_the_cpu_back_end(void **state)
{
    (void)state;
    static const char *const precisions[] = {"f32", "bf16"};
    for (int i = 0; i < 2; i++)
        if (replay_available("cpu", precisions[i]))
            compare("cpu", precisions[i]);
}

static void the_wrong_boundary_is_seen(void **state)
{
    (void)state;
    for (int i = 0; i < SUBJECTS; i++) {
        if (subjects[i].record != record_dit && subjects[i].record != record_text && subjects[i].record != record_t5)
            continue; /* blocks of one shape */
        outcome plain = outcome_of(&subjects[i], "reference", "f64", false, NULL);
        outcome wrong = outcome_of(&subjects[i], "reference", "f64", true, start_from_the_wrong_boundary);
        assert_memory_not_equal(plain.numbers, wrong.numbers, plain.count * sizeof *plain.numbers);
        free(plain.numbers);
        free(wrong.numbers);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_equal_to_the_bit),
        cmocka_unit_test(gradients_are_equal_to_the_bit_on_the_cpu_back_end),
        cmocka_unit_test(the_wrong_boundary_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
