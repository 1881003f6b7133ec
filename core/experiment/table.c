#include "data/preferences.h"
#include "experiment/schema.h"
#include "experiment/table.h"

#include <math.h>
#include <string.h>

#define REQUIRED   DIPP_PARAMETER_REQUIRED
#define OPTIONAL   DIPP_PARAMETER_OPTIONAL
#define STRUCTURAL DIPP_PARAMETER_STRUCTURAL
#define MANY       INFINITY

/* key, type, default, minimum, maximum, unit, flags, help, then fields of dipp_row. Both limits 0: unlimited. */
#define ROW(k, t, d, low, high, u, f, h, ...)                                     \
    {                                                                             \
        .parameter = {k, DIPP_TYPE_##t, d, low, high, NULL, u, f, h}, __VA_ARGS__ \
    }
#define CHOICE(k, c, d, f, h, ...)                                            \
    {                                                                         \
        .parameter = {k, DIPP_TYPE_ENUM, d, 0, 0, c, NULL, f, h}, __VA_ARGS__ \
    }
#define WHOLE(k, f, h)                                                             \
    {                                                                              \
        .parameter = {k, 0, NULL, 0, 0, NULL, NULL, f, h}, .kind = DIPP_ROW_MATRIX \
    }
#define PARAMETERS(k, pk, h, ...)                                                                                 \
    {                                                                                                             \
        .parameter = {k, 0, NULL, 0, 0, NULL, NULL, OPTIONAL, h}, .kind = DIPP_ROW_PARAMETERS, .plugin_kind = pk, \
        __VA_ARGS__                                                                                               \
    }

/* Choices that are an enum of the program stand in its order: their place is its value (run_settings.c). */
static const char *const stages[] = {"align", "pretrain-generator", "pretrain", "pretrain-autoencoder", "reward", NULL};
static const char *const devices[] = {"auto", "cpu", "reference", "cuda", NULL};
static const char *const recomputations[] = {"none", "blocks", "auto", NULL}; /* as dipp_recompute */
static const char *const precisions[] = {"auto", "f32", "bf16", "f64", NULL};
static const char *const schedules[] = {"ve", "vp", "vp_sd", "ou", "flow", "edm", NULL};
static const char *const ta_starts[] = {"stage1", "reference", NULL};
static const char *const divergences[] = {"ikl", "dmd", "score_l2", "score_huber", "sid", "none", NULL};
static const char *const normalisers[] = {"none", "dmd", "sid", NULL};
static const char *const guidances[] = {"outside", "inside", NULL};
static const char *const units[] = {"score", "data", NULL};
static const char *const backwards[] = {"all", "last", NULL};
static const char *const scalings[] = {"value", "grad_ratio", NULL};
static const char *const measures[] = {"law", "dt", NULL};
static const char *const losses[] = {"native", "data1", "eps1", NULL}; /* as dipp_loss_weight */
static const char *const forms[] = {"score", "data", "eps", "v", "flow", NULL};
static const char *const laws[] = {"uniform", "discrete_uniform", "log_normal", NULL}; /* as dipp_time_law_kind */
static const char *const optimizers[] = {"adamw", "sgd", NULL};
static const char *const state_formats[] = {"f32", "bf16", "8bit", NULL}; /* as dipp_state_format */
static const char *const weight_formats[] = {"f32", "bf16", NULL};
static const char *const rates[] = {"constant", "linear", "cosine", NULL}; /* as dipp_rate_schedule and dipp_ramp */
static const char *const preference_losses[] = {"bt_mean", "bt_sum",      "pair_cross_entropy",
                                                "kl_tie",  "contrastive", NULL}; /* as dipp_preference_loss */
static const char *const clamps[] = {"none", "hard", "straight_through", NULL};  /* as of dipp_record_pictures */
static const char *const alarm_tests[] = {"paired", "plain", NULL};
static const char *const alarm_actions[] = {"continue", "stop", "stop_and_keep_best", NULL}; /* as run_monitor.c */

#define GENERATING   "stage=align|pretrain-generator"
#define ALIGNING     "stage=align"
#define MONITORING   "monitor.every"
#define PRETRAINING  "stage=pretrain|pretrain-autoencoder"
#define DENOISING    "stage=pretrain"
#define AUTOENCODING "stage=pretrain-autoencoder"
#define PICTURING    "stage=align|pretrain-generator|pretrain|pretrain-autoencoder"
#define LEARNING     "stage=reward"
#define OF_PAIRS     "learn.loss=bt_mean|bt_sum|pair_cross_entropy|kl_tie"

#define PROMPTS(p, split)                                                                                         \
    ROW(p ".set", STRING, NULL, 0, 0, NULL, OPTIONAL, "Prompt set: a built-in name.", .when = PICTURING),         \
        ROW(p ".split", STRING, split, 0, 0, NULL, 0, "Part of the prompt set.", .when = p ".set"),               \
        ROW(p ".file", PATH, NULL, 0, 0, NULL, OPTIONAL, "Prompts as published: lines, TSV, JSON.",               \
            .when = "!" p ".set"),                                                                                \
        ROW(p ".list", STRING_LIST, NULL, 0, 0, NULL, OPTIONAL, "The prompts themselves.", .when = "!" p ".set"), \
        ROW(p ".count", INT, "0", 0, MANY, "prompts", 0, "Prompts taken; 0: all.", .when = PICTURING)

#define TIME(p, m, s, w)                                                                                             \
    CHOICE(p ".law", laws, "log_normal", 0, "Law of the noise level.", .when = w),                                   \
        ROW(p ".mean", FLOAT, m, -100, 100, "ln sigma", 0, "Mean of ln(sigma/alpha).", .when = p ".law=log_normal"), \
        ROW(p ".std", FLOAT, s, 0, 100, "ln sigma", 0, "Standard deviation of ln(sigma/alpha).",                     \
            .when = p ".law=log_normal"),                                                                            \
        ROW(p ".min", FLOAT, NULL, 0, MANY, "t", OPTIONAL, "Least t; unset: the schedule's.", .when = p ".law"),     \
        ROW(p ".max", FLOAT, NULL, 0, MANY, "t", OPTIONAL, "Largest t; unset: the schedule's.", .when = p ".law")

#define OPTIMIZER(p, rate, first, w)                                                                              \
    CHOICE(p ".name", optimizers, "adamw", STRUCTURAL, "Update rule.", .when = w),                                \
        ROW(p ".lr", FLOAT, rate, 0, 1000, NULL, DIPP_PARAMETER_LIVE, "Learning rate at its height.", .when = w), \
        ROW(p ".beta1", FLOAT, first, 0, 1, NULL, 0, "Decay of the first moment.", .when = p ".name=adamw"),      \
        ROW(p ".beta2", FLOAT, "0.999", 0, 1, NULL, 0, "Decay of the second moment.", .when = p ".name=adamw"),   \
        ROW(p ".epsilon", FLOAT, "1e-8", 0, 1, NULL, 0, "Added to the root of the second moment.",                \
            .when = p ".name=adamw"),                                                                             \
        ROW(p ".weight_decay", FLOAT, "0", 0, 1000, NULL, 0, "Decoupled weight decay.", .when = w),               \
        ROW(p ".clip", FLOAT, "1", 0, MANY, NULL, 0, "Largest gradient norm; 0: no clipping.", .when = w),        \
        ROW(p ".warmup", INT, "0", 0, MANY, "updates", 0, "Linear warm-up.", .when = w),                          \
        CHOICE(p ".schedule", rates, "constant", 0, "Learning rate after warm-up.", .when = w),                   \
        ROW(p ".final", FLOAT, "0", 0, 1, NULL, 0, "Last learning rate as a share of lr.",                        \
            .when = p ".schedule=linear|cosine"),                                                                 \
        CHOICE(p ".weights", weight_formats, "f32", 0,                                                            \
               "Weights while training: f32 masters, or bf16 alone, rounded at random.", .when = w),              \
        CHOICE(p ".state", state_formats, "f32", 0, "Both moments: f32, bf16, or 8 bits in blocks of 256.",       \
               .when = p ".name=adamw")

#define AVERAGE(p, w)                                                                                                \
    ROW(p ".decay", FLOAT, NULL, 0, 1, NULL, OPTIONAL, "Decay per update; unset with half_life_images: no average.", \
        .when = w),                                                                                                  \
        ROW(p ".half_life_images", FLOAT, NULL, 0, MANY, "images", OPTIONAL, "Decay given as a half-life.",          \
            .when = "!" p ".decay")

#define LORA(p, w)                                                                                                     \
    ROW(p ".rank", INT, NULL, 1, 4096, NULL, OPTIONAL | STRUCTURAL,                                                    \
        "Rank of a low-rank adapter that is trained over frozen weights; unset: all weights are trained.", .when = w), \
        ROW(p ".alpha", FLOAT, NULL, 1e-6, 1e6, NULL, OPTIONAL | STRUCTURAL,                                           \
            "It counts alpha/rank; unset: the rank, so 1.", .when = w),                                                \
        ROW(p ".targets", STRING_LIST, NULL, 0, 0, NULL, OPTIONAL | STRUCTURAL,                                        \
            "Layers that are adapted: ends of their names; unset: to_q, to_k, to_v, to_out.0.", .when = w)

#define LOOP(p, count, w)                                                                                           \
    ROW(p ".steps", INT, count, 1, MANY, "iterations", 0, "Length of the run.", .when = w),                         \
        ROW(p ".batch", INT, "64", 1, 1 << 20, "samples", STRUCTURAL, "Samples per iteration.", .when = w),         \
        ROW(p ".micro_batch", INT, "0", 0, 1 << 20, "samples", STRUCTURAL, "Samples at a time; 0: the batch.",      \
            .when = w),                                                                                             \
        ROW(p ".checkpoint_every", INT, "100", 0, MANY, "iterations", 0, "Checkpoints; 0: only at the end.",        \
            .when = w, .unkeyed = true),                                                                            \
        ROW(p ".log_every", INT, "1", 1, MANY, "iterations", 0, "Rows of metrics.", .when = w, .unkeyed = true),    \
        ROW(p ".max_nonfinite", INT, "10", 0, MANY, "iterations", 0, "Skipped updates in a row that stop the run.", \
            .when = w)

static const dipp_row table[] = {
    ROW("name", STRING, NULL, 0, 0, NULL, REQUIRED, "Name of the experiment.", .kind = DIPP_ROW_MATRIX),
    ROW("description", STRING, NULL, 0, 0, NULL, OPTIONAL, "What is asked.", .kind = DIPP_ROW_MATRIX),
    WHOLE("extends", OPTIONAL, "A file, or a list of files, below this one; later wins, maps merge, lists replace."),
    WHOLE("seeds", OPTIONAL, "A list of seeds, or how many (3: 0, 1, 2); default [0]."),
    WHOLE("arms", OPTIONAL, "Name: what it changes, as dotted keys or maps."),
    WHOLE("grid", OPTIONAL, "Dotted key: list of values; all combinations, the first key slowest."),
    WHOLE("zip", OPTIONAL, "Dotted key: list of values; lists of one length, taken side by side."),
    WHOLE("exclude", OPTIONAL, "List of maps (dotted key: value, or arm: name) of cells that do not run."),
    ROW("baseline", STRING, NULL, 0, 0, NULL, OPTIONAL, "The arm that others are compared with.",
        .kind = DIPP_ROW_MATRIX),

    CHOICE("stage", stages, "align", 0,
           "What is trained: the generator by DI++ with rewards, the same without, the reference by denoising, the "
           "autoencoder in whose latents it works, or a reward by preferences."),
    CHOICE("device", devices, "auto", 0, "Back-end.", .unkeyed = true),
    CHOICE("precision", precisions, "auto", STRUCTURAL, "Compute dtype; auto: the fastest on this machine."),
    ROW("threads", INT, "0", 0, 4096, NULL, 0, "Threads of the CPU back-end; 0: all cores.", .unkeyed = true),
    ROW("output", PATH, NULL, 0, 0, NULL, OPTIONAL, "Database of results; unset: the program's default."),

    ROW("memory_limit", FLOAT, "0", 0, MANY, "GiB", 0, "Most memory for temporaries; 0: no limit.", .unkeyed = true),
    CHOICE("recompute", recomputations, "auto", 0,
           "Keep what the backward pass reads, or compute blocks of the networks again; auto: the latter when memory "
           "does not suffice for the former.",
           .unkeyed = true),

    PROMPTS("prompts", "train"),

    ROW("world.groups", STRING, NULL, 0, 0, NULL, OPTIONAL,
        "Emoji groups or subgroup prefixes, comma-separated; \"\": all."),
    ROW("world.glyphs", INT, NULL, 2, 4096, NULL, OPTIONAL, "At most so many glyphs."),
    ROW("world.minimum_distance", FLOAT, NULL, 0, 1, NULL, OPTIONAL, "Least difference between two glyphs."),
    ROW("world.size_min", FLOAT, NULL, 0.05, 2, "side", OPTIONAL, "Least size of a glyph."),
    ROW("world.size_max", FLOAT, NULL, 0.05, 2, "side", OPTIONAL, "Largest size of a glyph."),
    ROW("world.rotation", FLOAT, NULL, 0, 0.8, "radian", OPTIONAL, "Largest rotation."),
    ROW("world.background_jitter", FLOAT, NULL, 0, 1, NULL, OPTIONAL,
        "How far a background strays from its named colour."),
    ROW("world.held_out", FLOAT, NULL, 0, 0.9, NULL, OPTIONAL,
        "Share of pairs of glyph and background kept from training."),
    ROW("world.font", PATH, NULL, 0, 0, NULL, OPTIONAL, "Emoji font; unset: Debian's fonts-noto-color-emoji."),
    ROW("world.annotations", PATH, NULL, 0, 0, NULL, OPTIONAL, "Names of emoji; unset: Debian's unicode-cldr-core."),
    ROW("world.labels", PATH, NULL, 0, 0, NULL, OPTIONAL, "Groups of emoji; unset: Debian's unicode-cldr-core."),

    ROW("reference.plugin", STRING, NULL, 0, 0, NULL, REQUIRED, "Reference diffusion.", .when = PICTURING),
    ROW("reference.weights", PATH, NULL, 0, 0, NULL, OPTIONAL, "Weights of the reference.", .when = PICTURING),
    ROW("reference.decoder", PATH, NULL, 0, 0, NULL, OPTIONAL,
        "Weights of its decoder, and encoder; unset: in the file of the reference's.", .when = PICTURING),
    PARAMETERS("reference.params", DIPP_PLUGIN_REFERENCE, "Parameters of the reference plugin."),
    ROW("reference.steps", INT, "20", 1, 10000, "steps", 0, "Sampler steps where the reference itself draws.",
        .when = PICTURING),
    ROW("reference.omega", FLOAT, "1", -1000, 1000, NULL, 0, "Guidance where the reference itself draws; 1: none.",
        .when = PICTURING),
    ROW("reference.sigma_max", FLOAT, "0", 0, MANY, "sigma/alpha", 0,
        "Where it then starts; 0: the schedule's largest.", .when = PICTURING),

    ROW("generator.plugin", STRING, NULL, 0, 0, NULL, REQUIRED, "One-step generator.", .when = GENERATING),
    ROW("generator.init", PATH, NULL, 0, 0, NULL, OPTIONAL, "Weights it starts from.", .when = GENERATING),
    ROW("generator.adapter", PATH, NULL, 0, 0, NULL, OPTIONAL,
        "Low-rank adapter over those weights that it starts from.", .when = GENERATING),
    LORA("generator.lora", GENERATING),
    PARAMETERS("generator.params", DIPP_PLUGIN_GENERATOR, "Parameters of the generator plugin.", .when = GENERATING),
    ROW("generator.steps", INT, "1", 1, 32, "steps", STRUCTURAL,
        "Generator steps K: the sample is noised again and denoised K - 1 times.", .when = GENERATING),
    ROW("generator.levels", FLOAT_LIST, NULL, 0, MANY, "sigma/alpha", OPTIONAL | STRUCTURAL,
        "Noise that steps 2 to K start from, falling; unset: each 0.4 of the one before, from sigma_init.",
        .when = GENERATING),
    CHOICE("generator.backward", backwards, "all", STRUCTURAL,
           "Steps that gradients pass through: all is the objective's gradient, last takes the last step's input for "
           "given and costs one step's memory.",
           .when = GENERATING),

    CHOICE("schedule.name", schedules, NULL, OPTIONAL, "Noise schedule; unset: the reference's own.",
           .when = PICTURING),
    ROW("schedule.sigma_min", FLOAT, "0.002", 0, MANY, "sigma", 0, "Least noise.", .when = "schedule.name=ve|edm"),
    ROW("schedule.sigma_max", FLOAT, "80", 0, MANY, "sigma", 0, "Most noise.", .when = "schedule.name=ve|edm"),
    ROW("schedule.beta_min", FLOAT, "0.1", 0, MANY, NULL, 0, "beta(0).", .when = "schedule.name=vp"),
    ROW("schedule.beta_max", FLOAT, "20", 0, MANY, NULL, 0, "beta(1).", .when = "schedule.name=vp"),
    ROW("schedule.beta", FLOAT, "1", 0, MANY, NULL, 0, "Constant beta.", .when = "schedule.name=ou"),
    ROW("schedule.beta_start", FLOAT, "0.00085", 0, 1, NULL, 0, "First beta.", .when = "schedule.name=vp_sd"),
    ROW("schedule.beta_end", FLOAT, "0.012", 0, 1, NULL, 0, "Last beta.", .when = "schedule.name=vp_sd"),
    ROW("schedule.steps", INT, "1000", 1, 100000, "steps", 0, "Discrete steps.", .when = "schedule.name=vp_sd"),
    ROW("schedule.t_min", FLOAT, "0.001", 0, MANY, "t", 0, "Least t.", .when = "schedule.name=vp|ou|flow"),
    ROW("schedule.t_max", FLOAT, "1", 0, MANY, "t", 0, "Largest t.", .when = "schedule.name=vp|ou|flow"),

    LOOP("align", "1000", GENERATING),
    ROW("align.cfg_omega", FLOAT, "1", -1000, 1000, NULL, DIPP_PARAMETER_LIVE,
        "Classifier-free guidance of the reference; 1: none, the implicit reward scale is omega - 1.",
        .when = GENERATING),
    CHOICE("align.ta.init", ta_starts, "reference", 0, "Where the teaching assistant starts.", .when = GENERATING),
    ROW("align.ta.warmup", INT, "0", 0, MANY, "updates", 0, "TA updates before the generator moves.",
        .when = GENERATING),
    ROW("align.ta.updates", INT, "1", 0, 1000, "per iteration", STRUCTURAL, "TA updates K_TA.", .when = GENERATING),
    ROW("align.ta.plugin", STRING, NULL, 0, 0, NULL, OPTIONAL, "Network of the TA; unset: the reference's.",
        .when = GENERATING),
    LORA("align.ta.lora", GENERATING),
    PARAMETERS("align.ta.params", DIPP_PLUGIN_REFERENCE, "Parameters of the TA's plugin.", .when = "align.ta.plugin"),
    CHOICE("align.ta.loss", losses, "native", 0,
           "What weighs the TA's error over noise levels: 1 on what it predicts, on x0, on eps.", .when = GENERATING),
    OPTIMIZER("align.ta.optimizer", "1e-4", "0", GENERATING),
    TIME("align.ta.time", "0", "1.4", GENERATING),
    CHOICE("align.divergence.name", divergences, "ikl", STRUCTURAL, "Divergence to the reference.", .when = GENERATING),
    CHOICE("align.divergence.normalise", normalisers, "none", STRUCTURAL,
           "Weight of a sample in place of w(t): of difference or distance of denoised samples, 1/mean|x0 - D_ref|, as "
           "DMD (and divided by the elements) or SiD do.",
           .when = "align.divergence.name=ikl|score_l2|score_huber|sid"),
    CHOICE("align.divergence.form", forms, "score", 0, "Parameterisation that a weight preset of 1 refers to.",
           .when = "align.divergence.name=ikl"),
    ROW("align.divergence.weight", STRING, "score1", 0, 0, NULL, 0, "Weighting w(t) by name.",
        .when = "align.divergence.normalise=none"),
    CHOICE("align.divergence.measure", measures, "law", 0,
           "What the weighting is a density against: the law of the noise level, or dt.",
           .when = "align.divergence.normalise=none"),
    ROW("align.divergence.alpha", FLOAT, "1", -100, 100, NULL, 0,
        "SiD's alpha: 1/2 is half the gradient of the Fisher divergence, 1 half that of score_l2.",
        .when = "align.divergence.name=sid"),
    ROW("align.divergence.huber", FLOAT, "0.001", 1e-12, 1e12, NULL, 0,
        "Constant c of the pseudo-Huber distance sqrt(|u|^2 + c^2) - c.", .when = "align.divergence.name=score_huber"),
    CHOICE("align.divergence.units", units, "score", STRUCTURAL,
           "What u is: the difference of scores or of denoised samples.", .when = "align.divergence.name=score_huber"),
    CHOICE("align.divergence.cfg", guidances, "outside", STRUCTURAL,
           "Where guidance acts: as a term of its own beside the distance, or on the reference inside it.",
           .when = "align.divergence.name=score_l2|score_huber|sid"),
    ROW("align.cfg.weight", STRING, NULL, 0, 0, NULL, OPTIONAL, "Weighting of the CFG part; unset: the divergence's.",
        .when = GENERATING),
    CHOICE("align.cfg.measure", measures, "law", 0, "As align.divergence.measure, of the CFG part.",
           .when = "align.cfg.weight"),
    CHOICE("align.cfg.time.law", laws, NULL, OPTIONAL | STRUCTURAL,
           "Law of noise levels of the CFG part's own; unset: it shares the divergence's.", .when = GENERATING),
    ROW("align.cfg.time.mean", FLOAT, "0.3", -100, 100, "ln sigma", 0, "Mean of ln(sigma/alpha).",
        .when = "align.cfg.time.law=log_normal"),
    ROW("align.cfg.time.std", FLOAT, "1.2", 0, 100, "ln sigma", 0, "Standard deviation of ln(sigma/alpha).",
        .when = "align.cfg.time.law=log_normal"),
    ROW("align.cfg.time.min", FLOAT, NULL, 0, MANY, "t", OPTIONAL, "Least t; unset: the schedule's.",
        .when = "align.cfg.time.law"),
    ROW("align.cfg.time.max", FLOAT, NULL, 0, MANY, "t", OPTIONAL, "Largest t; unset: the schedule's.",
        .when = "align.cfg.time.law"),
    ROW("align.ikl.weight", STRING, NULL, 0, 0, NULL, OPTIONAL,
        "Weighting of the IKL that is logged; unset: the divergence's. Set it to compare divergences at equal IKL.",
        .when = GENERATING),
    CHOICE("align.ikl.measure", measures, "law", 0, "As align.divergence.measure, of the logged IKL.",
           .when = "align.ikl.weight"),
    ROW("align.always_guided", BOOL, "false", 0, 0, NULL, STRUCTURAL,
        "Log the implicit CFG reward although cfg_omega is 1; costs a pass of the reference.", .when = GENERATING),
    TIME("align.time", "0.3", "1.2", GENERATING),
    OPTIMIZER("align.optimizer", "5e-5", "0", GENERATING),
    AVERAGE("align.ema", GENERATING),
    CHOICE("align.clamp", clamps, "straight_through", STRUCTURAL, "Clamp of pictures before rewards.",
           .when = GENERATING),

    {.parameter = {"rewards", 0, NULL, 0, 0, NULL, NULL, OPTIONAL, "Rewards; [] is none."},
     .kind = DIPP_ROW_RECORDS,
     .when = GENERATING},
    ROW("rewards[].plugin", STRING, NULL, 0, 0, NULL, REQUIRED, "Reward plugin."),
    ROW("rewards[].scale", FLOAT, "1", -1e9, 1e9, NULL, DIPP_PARAMETER_LIVE, "Weight alpha of this reward."),
    ROW("rewards[].weights", PATH, NULL, 0, 0, NULL, OPTIONAL, "Weights of the reward."),
    ROW("rewards[].head_weights", PATH, NULL, 0, 0, NULL, OPTIONAL, "A second file, for what the first lacks."),
    PARAMETERS("rewards[].params", DIPP_PLUGIN_REWARD, "Parameters of the reward plugin."),
    ROW("rewards[].smoothing.sigma", FLOAT, NULL, 0, MANY, "of x0", OPTIONAL,
        "Opaque rewards without a gradient: size of the noise on x0 by which it is estimated; others ignore it."),
    ROW("rewards[].smoothing.pairs", INT, NULL, 1, 256, "pairs", OPTIONAL,
        "Antithetic pairs of noise per sample; unset: 8."),
    ROW("rewards[].start", INT, "0", 0, MANY, "iterations", 0, "First iteration with this reward."),
    ROW("rewards[].end", INT, NULL, 0, MANY, "iterations", OPTIONAL, "First iteration without it again."),
    CHOICE("rewards[].scale_as", scalings, "value", STRUCTURAL,
           "What scale is: alpha itself, or the size of the reward's dL/dx0 over that of the divergence."),
    CHOICE("rewards[].schedule", rates, "constant", 0, "How the scale goes from its share `from` to `to`."),
    ROW("rewards[].from", FLOAT, "0", -1e9, 1e9, NULL, 0, "Share of scale at start.",
        .when = "rewards[].schedule=linear|cosine"),
    ROW("rewards[].to", FLOAT, "1", -1e9, 1e9, NULL, 0, "Share of scale after the ramp.",
        .when = "rewards[].schedule=linear|cosine"),
    ROW("rewards[].ramp", INT, "0", 0, MANY, "iterations", 0, "Length of the ramp; 0: as long as the reward acts.",
        .when = "rewards[].schedule=linear|cosine"),

    LOOP("pretrain", "10000", PRETRAINING),
    ROW("pretrain.prompt_dropout", FLOAT, "0.1", 0, 1, NULL, 0, "Share of samples with the null prompt.",
        .when = DENOISING),
    CHOICE("pretrain.loss", losses, "native", 0, "As align.ta.loss.", .when = DENOISING),
    TIME("pretrain.time", "0.3", "1.4", DENOISING),
    ROW("pretrain.latent_noise", FLOAT, "0.1", 0, MANY, "of x0", 0,
        "Standard deviation of the noise on latents between encoder and decoder.", .when = AUTOENCODING),
    ROW("pretrain.kl_weight", FLOAT, "1e-4", 0, MANY, NULL, 0,
        "Weight of half the latents' mean square beside the pictures' mean squared error.", .when = AUTOENCODING),
    OPTIMIZER("pretrain.optimizer", "1e-3", "0.9", PRETRAINING),
    AVERAGE("pretrain.ema", PRETRAINING),

    ROW("reward.plugin", STRING, NULL, 0, 0, NULL, REQUIRED, "Reward plugin that is trained.", .when = LEARNING),
    ROW("reward.weights", PATH, NULL, 0, 0, NULL, OPTIONAL, "Weights it starts from.", .when = LEARNING),
    PARAMETERS("reward.params", DIPP_PLUGIN_REWARD, "Parameters of the reward plugin.", .when = LEARNING),
    CHOICE("learn.loss", preference_losses, "bt_mean", STRUCTURAL,
           "Of pairs: Bradley-Terry as mean or sum; cross-entropy with weights by prompt; the same less the labels' "
           "entropy, ties among them. Of captioned pictures: contrast of all with all.",
           .when = LEARNING),
    LOOP("learn", "1000", LEARNING),
    ROW("learn.label_smoothing", FLOAT, "0", 0, 0.999, NULL, 0, "Share of each label that is 1/2 to 1/2.",
        .when = OF_PAIRS),
    ROW("learn.freeze", STRING_LIST, "[]", 0, 0, NULL, STRUCTURAL,
        "Parameters that are not trained: patterns of names, * for any characters, {0..12} for numbers.",
        .when = LEARNING),
    ROW("learn.logit_scale_max", FLOAT, NULL, 1, 1e6, NULL, OPTIONAL,
        "exp(logit_scale) is kept from 1 to this after each update; HPSv2: 100.", .when = LEARNING),
    OPTIMIZER("learn.optimizer", "1e-4", "0.9", LEARNING),
    AVERAGE("learn.ema", LEARNING),
    ROW("learn.calibrate.share", FLOAT, NULL, 0.01, 0.9, NULL, OPTIONAL,
        "Part of the lines to validate with by which one temperature is fitted after the last step; unset: none is.",
        .when = OF_PAIRS),
    ROW("learn.calibrate.layer", STRING, NULL, 0, 0, NULL, OPTIONAL,
        "Last layer, which takes the temperature of a reward without logit_scale.", .when = "learn.calibrate.share"),
    CHOICE("preferences.format", dipp_preference_formats, "jsonl", 0, "How train and validate are laid out.",
           .when = OF_PAIRS),
    ROW("preferences.train", PATH, NULL, 0, 0, NULL, OPTIONAL,
        "Pairs to learn from; unset: scenes of the emoji world under right and wrong captions.", .when = OF_PAIRS),
    ROW("preferences.captions", PATH, NULL, 0, 0, NULL, OPTIONAL,
        "Captioned pictures to learn from; unset: scenes of the emoji world.", .when = "learn.loss=contrastive"),
    ROW("preferences.validate", PATH, NULL, 0, 0, NULL, OPTIONAL, "Pairs by which it is judged.", .when = LEARNING),
    ROW("preferences.size", INT, "0", 0, 4096, "pixels", STRUCTURAL,
        "Height and width of all pictures; 0: those of the first.", .when = LEARNING),
    ROW("preferences.cache", FLOAT, "1", 0, MANY, "GiB", 0,
        "Most memory for pictures; a set that needs more is read anew for each batch.", .when = LEARNING,
        .unkeyed = true),

    ROW("evaluate.every", INT, "0", 0, MANY, "iterations", 0, "Evaluations; 0: at the start and the end."),
    PROMPTS("evaluate.prompts", "eval"),
    ROW("evaluate.samples", INT, "8", 1, 1 << 20, "per prompt", 0, "Pictures per prompt.", .when = PICTURING),
    ROW("evaluate.batch", INT, "0", 0, 1 << 20, "samples", 0, "Samples at a time; 0: 64.", .unkeyed = true),
    ROW("evaluate.noise_seed", INT, "0", 0, MANY, NULL, 0, "Of the noise that every arm, step and seed is judged on.",
        .when = PICTURING),
    ROW("evaluate.metrics", STRING_LIST, "[]", 0, 0, NULL, 0,
        "Judges glyph, background, place, size; their gold utility; diversity; ikl; or reward plugins by default "
        "parameters.",
        .when = PICTURING),
    {.parameter = {"evaluate.scorers", 0, NULL, 0, 0, NULL, NULL, OPTIONAL,
                   "More scorers: reward plugins with parameters."},
     .kind = DIPP_ROW_RECORDS,
     .when = PICTURING},
    ROW("evaluate.scorers[].plugin", STRING, NULL, 0, 0, NULL, REQUIRED, "Reward plugin."),
    ROW("evaluate.scorers[].name", STRING, NULL, 0, 0, NULL, OPTIONAL,
        "Name of the metric; unset: the plugin's, of published scorers by their weights."),
    ROW("evaluate.scorers[].weights", PATH, NULL, 0, 0, NULL, OPTIONAL, "Weights of the scorer."),
    ROW("evaluate.scorers[].head_weights", PATH, NULL, 0, 0, NULL, OPTIONAL,
        "A second file, for what the first lacks."),
    PARAMETERS("evaluate.scorers[].params", DIPP_PLUGIN_REWARD, "Parameters of the scorer."),
    ROW("evaluate.pictures", INT, "8", 0, 1 << 16, "prompts", 0, "Prompts whose pictures are kept as PNG.",
        .when = PICTURING),
    ROW("evaluate.grid_samples", INT, "1", 1, 64, "per prompt", 0, "Pictures kept of each of them.", .when = PICTURING),
    ROW("evaluate.use_ema", BOOL, "true", 0, 0, NULL, 0, "Evaluate the averaged weights where there are any.",
        .when = PICTURING),
    ROW("evaluate.reference_row", BOOL, "true", 0, 0, NULL, 0, "Evaluate the multi-step reference too.",
        .when = PICTURING),

    ROW("monitor.every", INT, NULL, 1, MANY, "iterations", OPTIONAL,
        "Looks of the monitor at judges beside the trained reward; unset: there is no monitor.", .when = ALIGNING),
    ROW("monitor.judges", STRING_LIST, NULL, 0, 0, NULL, REQUIRED,
        "Who must not fall: metrics as of evaluate.metrics that score each picture, or evaluate.scorers by name.",
        .when = MONITORING),
    ROW("monitor.prompts.set", STRING, NULL, 0, 0, NULL, OPTIONAL,
        "Prompts that it draws: a built-in set; unset with file and list: those of training.", .when = MONITORING),
    ROW("monitor.prompts.split", STRING, "train", 0, 0, NULL, 0, "Part of the prompt set.",
        .when = "monitor.prompts.set"),
    ROW("monitor.prompts.file", PATH, NULL, 0, 0, NULL, OPTIONAL, "Prompts as published: lines, TSV, JSON.",
        .when = MONITORING),
    ROW("monitor.prompts.list", STRING_LIST, NULL, 0, 0, NULL, OPTIONAL, "The prompts themselves.", .when = MONITORING),
    ROW("monitor.prompts.count", INT, "32", 0, MANY, "prompts", 0, "Most prompts taken; 0: all.", .when = MONITORING),
    ROW("monitor.samples", INT, "4", 1, 1 << 20, "per prompt", 0, "Pictures per prompt.", .when = MONITORING),
    ROW("monitor.noise_seed", INT, "1", 0, MANY, NULL, 0, "Of the noise that every look is drawn from.",
        .when = MONITORING),
    ROW("monitor.level", FLOAT, "0.05", 1e-12, 0.5, NULL, 0,
        "Most probability of an alarm in a run where no judge falls by more than the margin.", .when = MONITORING),
    ROW("monitor.margin", FLOAT, "0", 0, MANY, "of the judge", 0, "A fall of a judge's mean that does not matter.",
        .when = MONITORING),
    CHOICE("monitor.test", alarm_tests, "paired", 0,
           "A fall by more than the margin beyond the noise of paired differences, or plainly of the means.",
           .when = MONITORING),
    CHOICE("monitor.on_alarm", alarm_actions, "continue", 0,
           "What the alarm does; stop_and_keep_best also leaves the weights of the look where the first judge was "
           "highest.",
           .when = MONITORING),

    ROW("budget.reward", FLOAT, NULL, 0, 0, NULL, OPTIONAL,
        "The run ends when the trained reward's mean over the window has reached this.", .when = ALIGNING),
    ROW("budget.ikl", FLOAT, NULL, 0, MANY, "nat", OPTIONAL,
        "The run ends when the logged IKL's mean over the window exceeds this.", .when = GENERATING),
    ROW("budget.window", INT, NULL, 1, 1 << 20, "iterations", OPTIONAL, "Length of the window; unset: 20.",
        .when = GENERATING),
};

const dipp_row *dipp_experiment_table(size_t *count)
{
    *count = sizeof table / sizeof *table;
    return table;
}

const dipp_row *dipp_experiment_row(const char *path)
{
    char key[128];
    size_t length = 0;
    for (const char *at = path; *at; at++) { /* [12] becomes [] */
        if (length + 1 == sizeof key)
            return NULL;
        if (length && key[length - 1] == '[' && *at != ']')
            continue;
        key[length++] = *at;
    }
    key[length] = 0;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const char *row = table[i].parameter.key;
        size_t bytes = strlen(row);
        bool exact = !strcmp(row, key);
        bool inside = table[i].kind == DIPP_ROW_PARAMETERS && !strncmp(row, key, bytes) && key[bytes] == '.';
        bool section = !strncmp(row, key, length) && (row[length] == '.' || !strncmp(row + length, "[].", 3));
        if (exact || inside || section)
            return &table[i];
    }
    return NULL;
}

const char *dipp_parameter_type_name(dipp_parameter_type type)
{
    switch (type) {
    case DIPP_TYPE_BOOL: return "bool";
    case DIPP_TYPE_INT: return "int";
    case DIPP_TYPE_FLOAT: return "float";
    case DIPP_TYPE_ENUM: return "enum";
    case DIPP_TYPE_STRING: return "string";
    case DIPP_TYPE_PATH: return "path";
    case DIPP_TYPE_FLOAT_LIST: return "float_list";
    case DIPP_TYPE_INT_LIST: return "int_list";
    case DIPP_TYPE_STRING_LIST: return "string_list";
    }
    return "special";
}

void dipp_experiment_table_write(dipp_text *out, const char *prefix)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const dipp_parameter *row = &table[i].parameter;
        if (prefix && strncmp(row->key, prefix, strlen(prefix)))
            continue;
        dipp_text_printf(out, "%-32s ", row->key);
        if (table[i].kind == DIPP_ROW_RECORDS)
            dipp_text_printf(out, "a list of maps");
        else if (table[i].kind == DIPP_ROW_PARAMETERS)
            dipp_text_printf(out, "a map");
        else if (row->type)
            dipp_schema_write_expectation(out, row);
        if (row->default_text)
            dipp_text_printf(out, ", default %s", row->default_text);
        else if (row->flags & REQUIRED)
            dipp_text_printf(out, ", required");
        if (table[i].when)
            dipp_text_printf(out, "; when %s", table[i].when);
        dipp_text_printf(out, "\n%-32s   %s\n", "", row->help);
    }
}
