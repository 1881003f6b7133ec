#include "experiment/run_settings.h"

#include "experiment/table.h"
#include "tensor/backend.h"

#include <stdio.h>
#include <string.h>

enum { PATH_BYTES = 96 };

/* Values at PREFIX.KEY. */
static double number(const dipp_config *config, const char *prefix, const char *key)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s.%s", prefix, key);
    return dipp_config_float(config, path);
}

static int64_t whole(const dipp_config *config, const char *prefix, const char *key)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s.%s", prefix, key);
    return dipp_config_int(config, path);
}

static const char *word(const dipp_config *config, const char *prefix, const char *key)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s.%s", prefix, key);
    const char *text = dipp_config_string(config, path);
    return text ? text : "";
}

static bool given(const dipp_config *config, const char *prefix, const char *key)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s.%s", prefix, key);
    return dipp_config_has(config, path);
}

/* Place of the word at path among the choices of its row, which the table has in the order of an enum; 0 without
 * one. */
static int choice_at(const dipp_config *config, const char *path)
{
    const char *text = dipp_config_string(config, path);
    const dipp_row *row = text ? dipp_experiment_row(path) : NULL;
    for (int i = 0; row && row->parameter.choices && row->parameter.choices[i]; i++)
        if (!strcmp(text, row->parameter.choices[i]))
            return i;
    return 0;
}

static int choice(const dipp_config *config, const char *prefix, const char *key)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s.%s", prefix, key);
    return choice_at(config, path);
}

const char *dipp_run_stage(const dipp_config *config)
{
    const char *stage = dipp_config_string(config, "stage");
    return stage ? stage : "align";
}

bool dipp_run_pretrains(const dipp_config *config)
{
    return !strcmp(dipp_run_stage(config), "pretrain") || dipp_run_autoencodes(config);
}

bool dipp_run_autoencodes(const dipp_config *config)
{
    return !strcmp(dipp_run_stage(config), "pretrain-autoencoder");
}

bool dipp_run_learns_reward(const dipp_config *config)
{
    return !strcmp(dipp_run_stage(config), "reward");
}

dipp_status dipp_run_refuse_reward(const dipp_config *config, const char *what, dipp_error *error)
{
    return dipp_run_learns_reward(config)
               ? dipp_fail(error, DIPP_E_INVALID,
                           "this run trained a reward, which draws no pictures that could be %s; `dipp reward eval` "
                           "judges it by pairs",
                           what)
               : DIPP_OK;
}

/* The section of what the stage trains. */
static const char *loop_section(const dipp_config *config)
{
    return dipp_run_pretrains(config) ? "pretrain" : dipp_run_learns_reward(config) ? "learn" : "align";
}

int64_t dipp_run_loop_int(const dipp_config *config, const char *key)
{
    return whole(config, loop_section(config), key);
}

dipp_status dipp_run_backend_create(const dipp_config *config, uint32_t threads, dipp_backend **out, dipp_error *error)
{
    dipp_backend_options options = {.struct_size = sizeof options,
                                    .threads = threads ? threads : (uint32_t)dipp_config_int(config, "threads"),
                                    .precision = dipp_config_string(config, "precision")};
    return dipp_backend_create(dipp_config_string(config, "device"), &options, out, error);
}

bool dipp_run_schedule(const dipp_config *config, dipp_schedule *schedule)
{
    const char *name = dipp_config_string(config, "schedule.name");
    *schedule = (dipp_schedule){.kind = DIPP_SCHEDULE_ANY};
    if (!name)
        return false;
    schedule->t_min = dipp_config_float(config, "schedule.t_min");
    schedule->t_max = dipp_config_float(config, "schedule.t_max");
    if (!strcmp(name, "ve") || !strcmp(name, "edm")) {
        schedule->kind = DIPP_SCHEDULE_VE;
        schedule->t_min = dipp_config_float(config, "schedule.sigma_min");
        schedule->t_max = dipp_config_float(config, "schedule.sigma_max");
    } else if (!strcmp(name, "vp")) {
        schedule->kind = DIPP_SCHEDULE_VP;
        schedule->a = dipp_config_float(config, "schedule.beta_min");
        schedule->b = dipp_config_float(config, "schedule.beta_max") - schedule->a;
    } else if (!strcmp(name, "ou")) {
        schedule->kind = DIPP_SCHEDULE_OU;
        schedule->a = dipp_config_float(config, "schedule.beta");
    } else if (!strcmp(name, "flow")) {
        schedule->kind = DIPP_SCHEDULE_FLOW;
    } else { /* vp_sd */
        schedule->kind = DIPP_SCHEDULE_DISCRETE;
        schedule->a = dipp_config_float(config, "schedule.beta_start");
        schedule->b = dipp_config_float(config, "schedule.beta_end");
        schedule->steps = (uint32_t)dipp_config_int(config, "schedule.steps");
        schedule->scaled_linear = 1;
        schedule->t_min = 0;
        schedule->t_max = schedule->steps - 1.0;
    }
    return true;
}

void dipp_run_world_options(const dipp_config *config, dipp_emoji_world_options *options)
{
    dipp_emoji_world_options_default(options);
    const struct {
        const char *key;
        double *value;
    } numbers[] = {{"minimum_distance", &options->minimum_distance},
                   {"size_min", &options->size_min},
                   {"size_max", &options->size_max},
                   {"rotation", &options->rotation_max},
                   {"background_jitter", &options->background_jitter},
                   {"held_out", &options->held_out}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (given(config, "world", numbers[i].key))
            *numbers[i].value = number(config, "world", numbers[i].key);
    if (given(config, "world", "glyphs"))
        options->glyph_limit = (int)whole(config, "world", "glyphs");
    if (given(config, "world", "groups"))
        options->groups = word(config, "world", "groups");
    options->font_path = dipp_config_string(config, "world.font");
    options->annotations_path = dipp_config_string(config, "world.annotations");
    options->labels_path = dipp_config_string(config, "world.labels");
}

bool dipp_run_needs_world(const dipp_config *config)
{
    static const char *const judged[] = {"glyph", "background", "place", "size", "gold"};
    static const char *const sets[] = {"prompts.set", "evaluate.prompts.set", "monitor.prompts.set"};
    static const char *const lists[] = {"evaluate.metrics", "monitor.judges"};
    if (dipp_run_learns_reward(config))
        return !given(config, "preferences",
                      strcmp(word(config, "learn", "loss"), "contrastive") ? "train" : "captions");
    if (dipp_run_pretrains(config))
        return true;
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        const char *set = dipp_config_string(config, sets[i]);
        if (set && !strcmp(set, "emoji"))
            return true;
    }
    for (size_t l = 0; l < sizeof lists / sizeof *lists; l++) {
        const dipp_yaml_node *metrics = dipp_config_node(config, lists[l]);
        for (size_t i = 0; metrics && i < metrics->count; i++)
            for (size_t k = 0; k < sizeof judged / sizeof *judged; k++)
                if (!strcmp(metrics->items[i]->text, judged[k]))
                    return true;
    }
    return false;
}

bool dipp_run_averages(const dipp_config *config)
{
    const char *section = loop_section(config);
    return given(config, section, "ema.decay") || given(config, section, "ema.half_life_images");
}

/* ---- Parts of the loops' settings ---- */

static dipp_optimizer_settings optimizer_of(const dipp_config *config, const char *prefix)
{
    bool sgd = !strcmp(word(config, prefix, "name"), "sgd");
    return (dipp_optimizer_settings){.kind = sgd ? DIPP_OPTIMIZER_SGD : DIPP_OPTIMIZER_ADAMW,
                                     .lr = number(config, prefix, "lr"),
                                     .beta1 = number(config, prefix, "beta1"),
                                     .beta2 = number(config, prefix, "beta2"),
                                     .epsilon = number(config, prefix, "epsilon"),
                                     .weight_decay = number(config, prefix, "weight_decay"),
                                     .clip = number(config, prefix, "clip"),
                                     .warmup = whole(config, prefix, "warmup"),
                                     .schedule = (dipp_rate_schedule)choice(config, prefix, "schedule"),
                                     .final_share = number(config, prefix, "final")};
}

dipp_formats dipp_run_formats(const dipp_config *config, const char *optimizer)
{
    return (dipp_formats){.bf16_weights = !strcmp(word(config, optimizer, "weights"), "bf16"),
                          .state = (dipp_state_format)choice(config, optimizer, "state")};
}

static dipp_average_settings average_of(const dipp_config *config, const char *prefix)
{
    return (dipp_average_settings){.decay = number(config, prefix, "decay"),
                                   .half_life_images = number(config, prefix, "half_life_images")};
}

static dipp_time_law law_of(const dipp_config *config, const char *prefix, const dipp_schedule *schedule)
{
    return (dipp_time_law){.kind = (dipp_time_law_kind)choice(config, prefix, "law"),
                           .min = given(config, prefix, "min") ? number(config, prefix, "min") : schedule->t_min,
                           .max = given(config, prefix, "max") ? number(config, prefix, "max") : schedule->t_max,
                           .mean = number(config, prefix, "mean"),
                           .std = number(config, prefix, "std")};
}

static dipp_time_sampler time_of(const dipp_config *config, const char *prefix, const dipp_schedule *schedule)
{
    return (dipp_time_sampler){.schedule = *schedule, .law = law_of(config, prefix, schedule)};
}

static size_t memory_limit(const dipp_config *config)
{
    return (size_t)(dipp_config_float(config, "memory_limit") * 1073741824.0);
}

/* PREFIX.weight and PREFIX.measure, where they are set. */
static dipp_status weight_of(const dipp_config *config, const char *prefix, dipp_term_weight *weight, dipp_error *error)
{
    const char *name = word(config, prefix, "weight");
    *weight = (dipp_term_weight){.given = given(config, prefix, "weight")};
    if (!strcmp(word(config, prefix, "measure"), "dt"))
        weight->measure = DIPP_MEASURE_DT;
    if (weight->given && !dipp_weighting_by_name(name, &weight->weighting))
        return dipp_fail(error, DIPP_E_INVALID,
                         "%s.weight is `%s`; expected score1, data1, sigma2, eps1, v1, flow1, beta, time, data_l2 or "
                         "sigma4",
                         prefix, name);
    return DIPP_OK;
}

static dipp_status divergence_of(const dipp_config *config, const dipp_schedule *schedule,
                                 dipp_align_settings *settings, dipp_error *error)
{
    static const char section[] = "align.divergence";
    dipp_divergence_spec *spec = &settings->divergence;
    const char *name = word(config, section, "name"), *form = word(config, section, "form");
    const char *normalise = word(config, section, "normalise");
    dipp_divergence_by_name(name, &spec->kind, &spec->normalise);
    if (!strcmp(name, "ikl") && !strcmp(normalise, "dmd"))
        return dipp_fail(error, DIPP_E_INVALID,
                         "ikl normalised as in dmd is the divergence dmd; write align.divergence.name: dmd");
    if (*normalise)
        dipp_normalise_by_name(normalise, &spec->normalise);
    if (*form)
        dipp_form_by_name(form, &spec->form);
    spec->alpha = number(config, section, "alpha");
    spec->huber = number(config, section, "huber");
    spec->huber_in_data = !strcmp(word(config, section, "units"), "data");
    spec->inside = !strcmp(word(config, section, "cfg"), "inside");
    spec->cfg_apart = given(config, "align.cfg.time", "law");
    if (spec->cfg_apart)
        settings->cfg_law = law_of(config, "align.cfg.time", schedule);
    dipp_term_weight own;
    dipp_status status = weight_of(config, section, &own, error);
    if (status == DIPP_OK)
        status = weight_of(config, "align.cfg", &settings->cfg_weight, error);
    if (status == DIPP_OK)
        status = weight_of(config, "align.ikl", &settings->ikl_weight, error);
    settings->time.weighting = own.weighting;
    settings->time.measure = own.measure;
    return status;
}

static dipp_align_reward reward_of(const dipp_config *config, size_t i)
{
    char prefix[32];
    snprintf(prefix, sizeof prefix, "rewards[%zu]", i);
    return (dipp_align_reward){.scale = number(config, prefix, "scale"),
                               .start = whole(config, prefix, "start"),
                               .end = whole(config, prefix, "end"),
                               .ramp = (dipp_ramp)choice(config, prefix, "schedule"),
                               .from = number(config, prefix, "from"),
                               .to = number(config, prefix, "to"),
                               .ramp_length = whole(config, prefix, "ramp"),
                               .by_ratio = !strcmp(word(config, prefix, "scale_as"), "grad_ratio"),
                               .sigma = number(config, prefix, "smoothing.sigma"),
                               .pairs = (uint32_t)whole(config, prefix, "smoothing.pairs")};
}

dipp_status dipp_run_generator_steps(const dipp_config *config, dipp_generator_steps *steps, dipp_error *error)
{
    const dipp_yaml_node *levels = dipp_config_node(config, "generator.levels");
    *steps = (dipp_generator_steps){.count = (uint32_t)whole(config, "generator", "steps"),
                                    .last_only = !strcmp(word(config, "generator", "backward"), "last")};
    if (!levels)
        return DIPP_OK;
    if (levels->count >= DIPP_MAX_GENERATOR_STEPS)
        return dipp_fail(error, DIPP_E_INVALID, "generator.levels has %zu numbers; at most %d are possible",
                         levels->count, DIPP_MAX_GENERATOR_STEPS - 1);
    steps->level_count = (uint32_t)levels->count;
    for (uint32_t i = 0; i < steps->level_count; i++)
        steps->levels[i + 1] = levels->items[i]->real;
    return DIPP_OK;
}

dipp_status dipp_run_align_settings(const dipp_config *config, const dipp_schedule *schedule, int64_t seed,
                                    dipp_align_settings *settings, dipp_error *error)
{
    bool rewarded = !strcmp(dipp_run_stage(config), "align");
    size_t rewards = dipp_config_length(config, "rewards");
    *settings = (dipp_align_settings){
        .seed = (uint64_t)seed,
        .steps = whole(config, "align", "steps"),
        .batch = (uint32_t)whole(config, "align", "batch"),
        .micro_batch = (uint32_t)whole(config, "align", "micro_batch"),
        .cfg_omega = number(config, "align", "cfg_omega"),
        .always_guided = dipp_config_bool(config, "align.always_guided"),
        .time = time_of(config, "align.time", schedule),
        .ta_time = time_of(config, "align.ta.time", schedule),
        .ta_loss = (dipp_loss_weight)choice(config, "align.ta", "loss"),
        .ta_updates = (uint32_t)whole(config, "align.ta", "updates"),
        .ta_warmup = whole(config, "align.ta", "warmup"),
        .optimizer = optimizer_of(config, "align.optimizer"),
        .ta_optimizer = optimizer_of(config, "align.ta.optimizer"),
        .average = average_of(config, "align.ema"),
        .clamp = choice(config, "align", "clamp"),
        .max_nonfinite = whole(config, "align", "max_nonfinite"),
        .memory_limit = memory_limit(config),
        .recompute = (dipp_recompute)choice_at(config, "recompute"),
    };
    if (!rewarded && rewards)
        return dipp_fail(error, DIPP_E_INVALID,
                         "rewards are given, but stage %s trains without any; use stage: align, or rewards: []",
                         dipp_run_stage(config));
    if (rewards > DIPP_MAX_REWARDS)
        return dipp_fail(error, DIPP_E_INVALID, "%zu rewards are given; at most %d are possible", rewards,
                         DIPP_MAX_REWARDS);
    for (size_t i = 0; i < rewards; i++)
        settings->rewards[i] = reward_of(config, i);
    return divergence_of(config, schedule, settings, error);
}

dipp_status dipp_run_pretrain_settings(const dipp_config *config, const dipp_schedule *schedule, int64_t seed,
                                       dipp_pretrain_settings *settings, dipp_error *error)
{
    *settings = (dipp_pretrain_settings){
        .seed = (uint64_t)seed,
        .autoencoder = dipp_run_autoencodes(config),
        .steps = whole(config, "pretrain", "steps"),
        .batch = (uint32_t)whole(config, "pretrain", "batch"),
        .micro_batch = (uint32_t)whole(config, "pretrain", "micro_batch"),
        .optimizer = optimizer_of(config, "pretrain.optimizer"),
        .average = average_of(config, "pretrain.ema"),
        .max_nonfinite = whole(config, "pretrain", "max_nonfinite"),
        .memory_limit = memory_limit(config),
        .recompute = (dipp_recompute)choice_at(config, "recompute"),
    };
    if (settings->autoencoder) {
        settings->latent_noise = number(config, "pretrain", "latent_noise");
        settings->kl_weight = number(config, "pretrain", "kl_weight");
    } else {
        settings->prompt_dropout = number(config, "pretrain", "prompt_dropout");
        settings->time = time_of(config, "pretrain.time", schedule);
        settings->loss = (dipp_loss_weight)choice(config, "pretrain", "loss");
    }
    if (settings->micro_batch && settings->batch % settings->micro_batch)
        return dipp_fail(error, DIPP_E_INVALID, "pretrain.micro_batch %u does not divide pretrain.batch %u",
                         settings->micro_batch, settings->batch);
    return DIPP_OK;
}

dipp_status dipp_run_reward_settings(const dipp_config *config, int64_t seed, dipp_reward_settings *settings,
                                     dipp_error *error)
{
    *settings = (dipp_reward_settings){
        .seed = (uint64_t)seed,
        .loss = (dipp_preference_loss)choice(config, "learn", "loss"),
        .steps = whole(config, "learn", "steps"),
        .batch = (uint32_t)whole(config, "learn", "batch"),
        .micro_batch = (uint32_t)whole(config, "learn", "micro_batch"),
        .label_smoothing = number(config, "learn", "label_smoothing"),
        .logit_scale_max = number(config, "learn", "logit_scale_max"),
        .optimizer = optimizer_of(config, "learn.optimizer"),
        .average = average_of(config, "learn.ema"),
        .max_nonfinite = whole(config, "learn", "max_nonfinite"),
        .memory_limit = memory_limit(config),
        .recompute = (dipp_recompute)choice_at(config, "recompute"),
    };
    if (settings->micro_batch && settings->batch % settings->micro_batch)
        return dipp_fail(error, DIPP_E_INVALID, "learn.micro_batch %u does not divide learn.batch %u",
                         settings->micro_batch, settings->batch);
    return DIPP_OK;
}
