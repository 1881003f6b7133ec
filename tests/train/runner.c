/* See runner.h. */
#include "runner.h"

dipp_align_settings runner_settings(const scenario *s)
{
    return (dipp_align_settings){
        .seed = 9,
        .batch = 128,
        .cfg_omega = 1,
        .time = s->sampler,
        .ta_time = s->sampler,
        .ta_loss = DIPP_LOSS_DATA1,
        .ta_updates = 1,
        .optimizer = {.kind = DIPP_OPTIMIZER_SGD, .lr = 0.05},
        .ta_optimizer = {.kind = DIPP_OPTIMIZER_SGD, .lr = 0.2},
    };
}

const exact_choice runner_plain = {
    .schedule = {.kind = DIPP_SCHEDULE_VP, .a = 0.1, .b = 19.9, .t_min = 1e-3, .t_max = 1},
    .rewards = {"linear"},
    .reward_parameters = {"direction=[0.8]"}};
const exact_choice runner_mixed = {
    .schedule = {.kind = DIPP_SCHEDULE_VP, .a = 0.1, .b = 19.9, .t_min = 1e-3, .t_max = 1},
    .reference = "mixture",
    .reference_parameters = "means=[[1], [-1]]; variances=[0.25, 0.25]; "
                            "labels=[plus, minus]",
    .generator = "mean=[0.3]; factor=[[0.8]]"};

dipp_align_settings runner_rich(void)
{
    dipp_align_settings settings = runner_settings(&scenarios[VP_WBETA]);
    settings.batch = 16;
    settings.micro_batch = 8;
    settings.steps = 12;
    settings.cfg_omega = 1.5;
    settings.ta_updates = 2;
    settings.ta_warmup = 3;
    settings.average.decay = 0.9;
    settings.optimizer = settings.ta_optimizer = (dipp_optimizer_settings){.kind = DIPP_OPTIMIZER_ADAMW,
                                                                           .lr = 0.02,
                                                                           .beta1 = 0.5,
                                                                           .beta2 = 0.99,
                                                                           .epsilon = 1e-8,
                                                                           .clip = 1,
                                                                           .warmup = 3,
                                                                           .schedule = DIPP_RATE_COSINE,
                                                                           .final_share = 0.1};
    return settings;
}

void runner_open(runner *r, const exact_choice *choice, const char *label, const dipp_align_settings *settings)
{
    memset(r, 0, sizeof *r);
    exact_open(&r->e, choice);
    CHECK(dipp_parameter_set_copy(r->e.models->generator_ema, r->e.models->generator_set, error));
    static const char *texts[1];
    texts[0] = label;
    CHECK(dipp_prompt_table_create(r->e.models, texts, label ? 1 : 0, &r->prompts, error));
    CHECK(dipp_align_create(r->e.models, r->prompts, settings, NULL, &r->align, error));
}

static void collect(void *context, int64_t step, const char *const *names, const double *values, size_t count)
{
    runner *r = context;
    assert_true(count <= RUNNER_METRICS);
    if (count != r->metric_count)
        memset(r->sums, 0, sizeof r->sums);
    r->metric_count = count;
    for (size_t i = 0; i < count; i++) {
        snprintf(r->names[i], sizeof r->names[i], "%s", names[i]);
        r->values[i] = values[i];
        if (step > r->count_from)
            r->sums[i] += values[i];
    }
}

dipp_align_observer runner_observer(runner *r)
{
    return (dipp_align_observer){.context = r, .metrics = collect};
}

void runner_run(runner *r)
{
    dipp_align_observer observer = runner_observer(r);
    CHECK(dipp_align_run(r->align, &observer, error));
}

void runner_close(runner *r)
{
    dipp_align_destroy(&r->align);
    dipp_prompt_table_destroy(&r->prompts);
    exact_close(&r->e);
}

bool runner_metric(const runner *r, const char *metric, double *value)
{
    for (size_t i = 0; i < r->metric_count; i++)
        if (!strcmp(r->names[i], metric)) {
            *value = r->values[i];
            return true;
        }
    return false;
}

double runner_mean(const runner *r, const char *metric, int64_t iterations)
{
    for (size_t i = 0; i < r->metric_count; i++)
        if (!strcmp(r->names[i], metric))
            return r->sums[i] / (double)iterations;
    fail_msg("there is no metric %s", metric);
    return 0;
}

double runner_number(const dipp_parameter_set *set, const char *entry)
{
    double value;
    exact_read(set, entry, &value);
    return value;
}

double *runner_state(const runner *r, size_t *count)
{
    const dipp_models *m = r->e.models;
    const struct {
        const dipp_parameter_set *set;
        dipp_block block;
    } parts[] = {{m->generator_set, DIPP_BLOCK_MASTER},  {m->generator_set, DIPP_BLOCK_MOMENT1},
                 {m->generator_set, DIPP_BLOCK_MOMENT2}, {m->generator_ema, DIPP_BLOCK_MASTER},
                 {m->ta_set, DIPP_BLOCK_MASTER},         {m->ta_set, DIPP_BLOCK_MOMENT1},
                 {m->ta_set, DIPP_BLOCK_MOMENT2}};
    size_t n = sizeof parts / sizeof *parts, total = 0;
    for (size_t i = 0; i < n; i++)
        total += (size_t)dipp_layout_elements(parts[i].set->layout);
    double *all = test_malloc(total * sizeof *all), *at = all;
    for (size_t i = 0; i < n; i++) {
        dipp_parameter_set_read(parts[i].set, parts[i].block, at, DIPP_HOST_F64);
        at += dipp_layout_elements(parts[i].set->layout);
    }
    *count = total;
    return all;
}

dipp_status runner_save_at(void *context, dipp_align *align, int64_t step, dipp_error *error)
{
    const runner_saver *saver = context;
    return step == saver->at ? dipp_align_save(align, saver->path, NULL, error) : DIPP_OK;
}
