/* The picture's half of a CLIP-type reward on this machine: pictures scored per second or, with --gradient 1, scored and
 * differentiated to the picture; and, with --ledger, where the time goes by op.
 *
 * --network l14 or h14 with random weights, of which the first --layers blocks are there (0: all). The text's feature is
 * given, as it is where texts are cached; a score is its cosine with the picture's. Pictures are noise of the network's
 * own size. Prints one JSON line; bench/torch_reward.py prints the same for PyTorch. Options: networks.h. */
#include "networks.h"

#include <dipp/nn.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct network {
    const char *name;
    dipp_clip_options options; /* the text's half is not recorded */
} published[] = {
    {"l14", {.joint = 768, .size = 224, .patch = 14, .vision = {1024, 24, 16, 0, true}}},
    {"h14", {.joint = 1024, .size = 224, .patch = 14, .vision = {1280, 32, 16, 0, false}}},
};

static dipp_clip_options choose(const bench_settings *s)
{
    for (size_t i = 0; i < sizeof published / sizeof *published; i++) {
        dipp_clip_options o = published[i].options;
        if (strcmp(s->network, published[i].name) != 0)
            continue;
        o.vision.layers = s->layers ? s->layers : o.vision.layers;
        o.text = (dipp_clip_tower){.width = 1, .layers = 1, .heads = 1};
        o.vocabulary = o.length = 1;
        return o;
    }
    fprintf(stderr, "--network %s: l14 and h14 are here\n", s->network);
    exit(2);
}

/* Outputs "scores" [N] and, where wanted, "gradient". */
static dipp_program *record(const bench_settings *s, const dipp_clip_options *o, dipp_layout *layout,
                            dipp_backend *backend)
{
    dipp_error error = {0};
    dipp_graph *g;
    dipp_program *program;
    bench_require(dipp_graph_create("reward", &g, &error), "recording", &error);
    dipp_params p = dipp_graph_slot(g, "reward", layout, false);
    dipp_tensor pictures = dipp_input(g, "pictures", DIPP_WIDE, DIPP_SHAPE(s->batch, 3, o->size, o->size));
    dipp_tensor text = dipp_input(g, "text", DIPP_WIDE, DIPP_SHAPE(s->batch, o->joint));
    dipp_tensor seen = dipp_clip_pictures(g, pictures, o->size, DIPP_FIT_CROP, DIPP_RESIZE_BICUBIC, false);
    dipp_tensor feature = dipp_unit(g, dipp_clip_image(g, p, o, seen));
    dipp_tensor scores = dipp_sum_per_sample(g, dipp_mul(g, feature, text));
    dipp_output(g, "scores", scores);
    if (s->gradient) {
        const double one = 1;
        dipp_tensor ones = dipp_broadcast_to(g, dipp_constant(g, DIPP_SHAPE(1), &one), DIPP_SHAPE(s->batch)), gradient;
        dipp_gradients(g, 1, &scores, &ones, 1, &pictures, &gradient);
        dipp_output(g, "gradient", gradient);
    }
    bench_require(dipp_program_create(&g, backend, &program, &error), "recording", &error);
    return program;
}

static void write_noise(dipp_executable *run, const char *input, size_t count, float scale, float shift)
{
    dipp_error error = {0};
    float *numbers = malloc(count * sizeof *numbers);
    if (!numbers)
        exit(1);
    for (size_t i = 0; i < count; i++)
        numbers[i] = (float)(i * 2654435761u % 1000) / 1000.0f * scale + shift;
    bench_require(dipp_executable_write(run, input, numbers, DIPP_HOST_F32, count, &error), input, &error);
    free(numbers);
}

int main(int argc, char **argv)
{
    bench_settings s = bench_parse(argc, argv);
    dipp_clip_options o = choose(&s);
    dipp_error error = {0};
    bench_networks networks = {0};
    dipp_backend_options options = {
        .struct_size = sizeof options, .threads = (uint32_t)s.threads, .precision = s.precision};
    bench_require(dipp_backend_create(s.backend, &options, &networks.backend, &error), "back-end", &error);
    networks.resident_mib = bench_resident_mib();
    dipp_layout *layout;
    dipp_parameter_set *set;
    dipp_plan *plan;
    dipp_plan_report report;
    dipp_executable *run;
    bench_require(dipp_layout_create("reward", &layout, &error), "layout", &error);
    dipp_program *program = record(&s, &o, layout, networks.backend);
    bench_require(dipp_parameter_set_create("reward", layout, networks.backend, false, &set, &error), "weights",
                  &error);
    bench_require(dipp_parameter_set_initialise(set, 1, 0, &error), "weights", &error);
    bench_require(dipp_plan_create(networks.backend, &plan, &error), "planning", &error);
    bench_require(dipp_plan_step(plan, program, 0, &error), "planning", &error);
    bench_require(dipp_plan_solve(plan, 0, &report, &error), "planning", &error);
    bench_require(dipp_plan_allocate(plan, &error), "planning", &error);
    bench_require(dipp_executable_create(plan, program, &(dipp_binding){set, NULL}, 1, &run, &error), "binding",
                  &error);
    write_noise(run, "pictures", (size_t)(s.batch * 3 * o.size * o.size), 1, 0);
    write_noise(run, "text", (size_t)(s.batch * o.joint), 0.1f, -0.05f);

    dipp_ledger ledger = {0};
    bench_clock clock = {.warmup = s.warmup};
    bench_clock_tick(&clock, 0);
    for (int64_t step = 1; step <= s.warmup + s.steps; step++) {
        dipp_execute_maybe_timed(run, 0, s.ledger ? &ledger : NULL);
        bench_clock_tick(&clock, step);
    }
    int64_t parameters = dipp_layout_parameters(layout);
    double flops = dipp_program_flops(program, 0);
    bench_print(&s, &networks, &clock,
                &(bench_result){.what = s.gradient ? "gradient" : "score",
                                .parameters = parameters,
                                .loaded = parameters,
                                .flops = flops,
                                .temporaries_mib = (double)report.arena_bytes / 1048576.0});
    if (s.ledger) {
        printf("a picture: %.1f GFLOP; weights %.0f MiB, read once a step\n", 1e-9 * flops / s.batch,
               (double)parameters * networks.backend->element_size[DIPP_COMPUTE] / 1048576.0);
        bench_print_ledger(&ledger, s.warmup + s.steps);
    }
    dipp_executable_destroy(&run);
    dipp_plan_destroy(&plan);
    dipp_program_destroy(&program);
    dipp_parameter_set_destroy(&set);
    dipp_layout_destroy(&layout);
    dipp_backend_destroy(&networks.backend);
    return 0;
}
