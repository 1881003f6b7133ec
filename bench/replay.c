/* What a replay costs without its kernels: a training step of a DiT recorded, planned and bound on the null back-end, whose
 * kernels return at once, and replayed. Prints nanoseconds an op: the median over ROUNDS, the least and the most.
 *
 * The list is replayed as training replays it, forward and backward and both updates; the caches hold what they hold when
 * nothing else runs, so kernels that sweep them make the first touches dearer than here. Options: networks.h; --steps is
 * the number of replays in a round. */
#include "base/clock.h"
#include "networks.h"
#include "train/optimizer.h"
#include "train/program_io.h"

#include <stdio.h>
#include <stdlib.h>

enum { ROUNDS = 31, PROGRAMS = 3 };

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Pictures and captions to the denoising loss and all gradients, as pretraining records it. */
static dipp_program *record_step(const bench_settings *s, const bench_networks *networks)
{
    const dipp_models *models = networks->models;
    dipp_error error = {0};
    dipp_graph *g;
    dipp_program *program;
    bench_require(dipp_graph_create("step", &g, &error), "recording", &error);
    dipp_params net = dipp_graph_slot(g, "reference", models->reference_layout, true);
    dipp_params text = dipp_graph_slot(g, "text", models->text_layout, true);
    dipp_condition c = dipp_encode_text(models, g, text, dipp_text_inputs(models, g, "", s->batch));
    dipp_tensor x0 = dipp_input(g, "x0", DIPP_WIDE, dipp_batch_shape(models, s->batch));
    dipp_network network = dipp_reference_network(models);
    dipp_record_denoising(g, &network, net, x0, c);
    bench_require(dipp_program_create(&g, networks->backend, &program, &error), "recording", &error);
    return program;
}

int main(int argc, char **argv)
{
    bench_settings s = bench_parse(argc, argv);
    s.backend = "null";
    dipp_error error = {0};
    bench_networks networks;
    bench_open(&s, false, &networks);
    const dipp_models *models = networks.models;
    const dipp_optimizer_settings adamw = {.lr = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8, .clip = 1};
    dipp_program *step = record_step(&s, &networks);
    dipp_updater net = {0}, text = {0};
    dipp_executable *run;
    dipp_plan *plan;
    dipp_plan_report report;
    bench_require(dipp_updater_record(&net, "net", models->reference_set, &adamw, true, &error), "recording", &error);
    bench_require(dipp_updater_record(&text, "text", models->text_set, &adamw, true, &error), "recording", &error);
    bench_require(dipp_plan_create(networks.backend, &plan, &error), "planning", &error);
    dipp_program *programs[PROGRAMS] = {step, net.program, text.program};
    size_t nodes = 0;
    for (int i = 0; i < PROGRAMS; i++) {
        bench_require(dipp_plan_step(plan, programs[i], 0, &error), "planning", &error);
        nodes += dipp_program_node_count(programs[i], 0);
    }
    bench_require(dipp_plan_solve(plan, 0, &report, &error), "planning", &error);
    bench_require(dipp_plan_allocate(plan, &error), "planning", &error);
    dipp_binding slots[2] = {{models->reference_set, NULL}, {models->text_set, NULL}};
    bench_require(dipp_executable_create(plan, step, slots, 2, &run, &error), "binding", &error);
    bench_require(dipp_updater_bind(&net, plan, models->reference_set, models->reference_ema, &error), "binding",
                  &error);
    bench_require(dipp_updater_bind(&text, plan, models->text_set, models->text_ema, &error), "binding", &error);
    dipp_executable *runs[PROGRAMS] = {run, net.run, text.run};
    double nanoseconds[ROUNDS];
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t start = dipp_clock_monotonic_ns();
        for (int i = 0; i < s.steps; i++)
            for (int k = 0; k < PROGRAMS; k++)
                dipp_execute(runs[k], 0);
        nanoseconds[round] = (double)(dipp_clock_monotonic_ns() - start) / (double)s.steps / (double)nodes;
    }
    qsort(nanoseconds, ROUNDS, sizeof *nanoseconds, by_size);
    printf("{\"program\": \"dipp\", \"what\": \"replay\", \"layers\": %d, \"ops\": %zu, \"replays\": %d, "
           "\"nanoseconds_per_op\": %.2f, \"least\": %.2f, \"most\": %.2f}\n",
           s.layers, nodes, ROUNDS * s.steps, nanoseconds[ROUNDS / 2], nanoseconds[0], nanoseconds[ROUNDS - 1]);
    dipp_updater_destroy(&text);
    dipp_updater_destroy(&net);
    dipp_executable_destroy(&run);
    dipp_program_destroy(&step);
    dipp_plan_destroy(&plan);
    bench_close(&networks);
    return 0;
}
