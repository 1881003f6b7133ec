/* One iteration of DI++ on this machine, with the settings of experiments/emoji-rewards.yaml: pictures per second and, with
 * --ledger, where the time goes by op.
 *
 * An iteration: prompts encoded, a batch generated, one TA update on it; prompts encoded with the null prompt, a batch
 * generated, the normalised divergence (TA, reference, reference at the null prompt) with guidance 3, the gradient of the
 * reward `border`, the backward of the generator, its update and average. All numbers of the log are computed and read.
 * Prints one JSON line; bench/torch_iteration.py prints the same for PyTorch. Options: networks.h. */
#include "networks.h"
#include "train/align.h"

#include <stdio.h>

typedef struct observed {
    bench_clock clock;
    double logged; /* so that the log is read */
} observed;

static void metrics(void *context, int64_t step, const char *const *names, const double *values, size_t count)
{
    (void)step;
    (void)names;
    observed *seen = context;
    for (size_t i = 0; i < count; i++)
        seen->logged += values[i];
}

static dipp_status after_step(void *context, dipp_align *align, int64_t step, dipp_error *error)
{
    (void)align;
    (void)error;
    bench_clock_tick(&((observed *)context)->clock, step);
    return DIPP_OK;
}

int main(int argc, char **argv)
{
    bench_settings s = bench_parse(argc, argv);
    dipp_error error = {0};
    bench_networks networks;
    bench_open(&s, true, &networks);
    const dipp_models *models = networks.models;
    static const char *const texts[] = {"a red apple on a blue background", "an apple", "a background", "blue on red"};
    dipp_prompt_table *prompts;
    bench_require(dipp_prompt_table_create(models, texts, 4, &prompts, &error), "prompts", &error);
    dipp_ledger ledger = {0};
    const dipp_optimizer_settings adamw = {.lr = 5e-5, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8, .clip = 1};
    dipp_align_settings settings = {.seed = 1,
                                    .steps = s.steps + s.warmup,
                                    .batch = (uint32_t)s.batch,
                                    .cfg_omega = 3,
                                    .divergence = {.kind = DIPP_DIVERGENCE_IKL, .normalise = DIPP_NORMALISE_DMD},
                                    .time = {.law = {DIPP_TIME_LOG_NORMAL, 0, 0, 0.3, 1.2}},
                                    .ta_time = {.law = {DIPP_TIME_LOG_NORMAL, 0, 0, 0, 1.4}},
                                    .ta_updates = 1,
                                    .optimizer = adamw,
                                    .ta_optimizer = adamw,
                                    .average = {.decay = 0.95},
                                    .clamp = 2,
                                    .rewards = {{.scale = 0.3}},
                                    .ledger = s.ledger ? &ledger : NULL};
    settings.ta_optimizer.lr = 1e-4;
    dipp_plan_report report;
    dipp_align *align;
    bench_require(dipp_align_create(networks.models, prompts, &settings, &report, &align, &error), "alignment", &error);
    observed seen = {.clock = {.warmup = s.warmup}};
    dipp_align_observer observer = {.context = &seen, .metrics = metrics, .after_step = after_step};
    bench_require(dipp_align_run(align, &observer, &error), "alignment", &error);
    int64_t text = dipp_layout_parameters(models->text_layout);
    int64_t reference = dipp_layout_parameters(models->reference_layout);
    bench_print(&s, &networks, &seen.clock,
                &(bench_result){.what = "iteration",
                                .parameters = reference + text,
                                .loaded = reference + text + dipp_layout_parameters(models->ta_layout) +
                                          dipp_layout_parameters(models->generator_layout),
                                .flops = dipp_align_flops(align),
                                .temporaries_mib = (double)report.arena_bytes / 1048576.0});
    if (s.ledger)
        bench_print_ledger(&ledger, s.steps + s.warmup);
    dipp_align_destroy(&align);
    dipp_prompt_table_destroy(&prompts);
    bench_close(&networks);
    return 0;
}
