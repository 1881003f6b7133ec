/* The training step of a network on this machine: pictures per second and, with --ledger, where the time goes by op.
 *
 * A step is what trains: forward, backward, clipping, AdamW and the average. Pictures are noise, so drawing costs nothing.
 * Prints one JSON line; bench/torch_dit.py and torch_unet.py print the same for PyTorch. Options: networks.h. */
#include "networks.h"
#include "train/pretrain.h"

#include <stdio.h>

static dipp_status draw(void *context, uint64_t seed, uint64_t first, uint32_t count, float *pictures,
                        const char **captions, dipp_error *error)
{
    (void)error;
    size_t floats = *(size_t *)context;
    for (size_t i = 0; i < count * floats; i++)
        pictures[i] = (float)((i * 2654435761u + first + seed) % 1000) / 1000.0f;
    for (uint32_t i = 0; i < count; i++)
        captions[i] = "a red apple on a blue background";
    return DIPP_OK;
}

static dipp_status after_step(void *context, dipp_pretrain *pretrain, int64_t step, dipp_error *error)
{
    (void)pretrain;
    (void)error;
    bench_clock_tick(context, step);
    return DIPP_OK;
}

int main(int argc, char **argv)
{
    bench_settings s = bench_parse(argc, argv);
    dipp_error error = {0};
    bench_networks networks;
    bench_open(&s, false, &networks);
    const dipp_models *models = networks.models;
    size_t floats = (size_t)dipp_shape_elements(&models->space.sample);
    dipp_ledger ledger = {0};
    dipp_pretrain_settings train = {.seed = 1,
                                    .steps = s.steps + s.warmup,
                                    .batch = (uint32_t)s.batch,
                                    .prompt_dropout = 0.1,
                                    .time = {.law = {DIPP_TIME_LOG_NORMAL, 0, 0, 0.3, 1.4}},
                                    .optimizer = {.lr = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8, .clip = 1},
                                    .average = {.decay = 0.999},
                                    .ledger = s.ledger ? &ledger : NULL};
    dipp_plan_report report;
    dipp_pretrain *pretrain;
    bench_require(
        dipp_pretrain_create(networks.models, &(dipp_sample_source){&floats, draw}, &train, &report, &pretrain, &error),
        "training", &error);
    bench_clock clock = {.warmup = s.warmup};
    dipp_pretrain_observer observer = {.context = &clock, .after_step = after_step};
    bench_require(dipp_pretrain_run(pretrain, &observer, &error), "training", &error);
    int64_t parameters = dipp_layout_parameters(models->reference_layout) + dipp_layout_parameters(models->text_layout);
    bench_print(&s, &networks, &clock,
                &(bench_result){.what = "step",
                                .parameters = parameters,
                                .loaded = parameters,
                                .flops = dipp_pretrain_flops(pretrain),
                                .temporaries_mib = (double)report.arena_bytes / 1048576.0});
    if (s.ledger)
        bench_print_ledger(&ledger, s.steps + s.warmup);
    dipp_pretrain_destroy(&pretrain);
    bench_close(&networks);
    return 0;
}
