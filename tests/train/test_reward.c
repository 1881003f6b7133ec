/* Training of a reward on rewards that are so small that optimum, gradient and every update are known. */
#include "exact.h"
#include "small_rewards.h"

#include "base/philox.h"
#include "train/reward.h"
#include "train/scorer.h"
#include "train/streams.h"

#include <stdlib.h>
#include <unistd.h>

enum { BATCH = 8 };

/* ---- Pairs ---- */

/* Of the linear reward: pair i differs along axis i % D by 2, and its first side is preferred with probability chance[i % D]. */
static const double chance[D] = {0.9, 0.5, 0.2};

typedef struct pairs {
    bool swapped;      /* sides change places, labels do not */
    bool words;        /* prompts "a", "b", ... by pair */
    int64_t broken_at; /* a step whose samples are NaN; -1 none */
} pairs;

static dipp_status label(void *context, uint64_t seed, int64_t step, uint32_t count, double *labels, double *weights,
                         dipp_error *error)
{
    for (uint32_t i = 0; i < count; i++) {
        labels[i] = chance[i % D];
        weights[i] = 1.0 / (1 + i % D);
    }
    return DIPP_OK;
}

static dipp_status draw(void *context, uint64_t seed, int64_t step, uint32_t first, uint32_t count, float *samples,
                        const char **prompts, dipp_error *error)
{
    static const char *const words[WORDS] = {"a", "b", "c", "d"};
    const pairs *from = context;
    for (uint32_t i = 0; i < 2 * count; i++) {
        uint32_t pair = first + i % count;
        bool second = (i >= count) != from->swapped;
        for (int k = 0; k < D; k++) { /* eighths, so that sums are exact */
            double u = floor(8 * dipp_philox_uniform_double(seed, 1, 0, pair, (uint32_t)k)) / 8;
            samples[i * D + k] =
                step == from->broken_at ? NAN : (float)(u + (k == (int)(pair % D) ? second ? -1 : 1 : 0));
        }
        prompts[i] = from->words ? words[pair % WORDS] : "a";
    }
    return DIPP_OK;
}

/* Captioned samples: word w goes with the sample that is 1 along axis w % D, with the sign of w / D. */
static dipp_status draw_captions(void *context, uint64_t seed, uint64_t first, uint32_t count, float *pictures,
                                 const char **captions, dipp_error *error)
{
    static const char *const words[WORDS] = {"a", "b", "c", "d"};
    for (uint32_t i = 0; i < count; i++) {
        uint32_t word = (uint32_t)((first + i) % WORDS);
        for (uint32_t k = 0; k < D; k++)
            pictures[i * D + k] = k == word % D ? word < D ? 1.0f : -1.0f : 0.0f;
        captions[i] = words[word];
    }
    return DIPP_OK;
}

/* ---- Runs ---- */

typedef struct trainer {
    dipp_plugin plugin;
    dipp_backend *backend;
    dipp_trainee *trainee;
    dipp_reward_training *training;
    pairs pairs;
    size_t metric_count;
    double metrics[8]; /* of the last iteration: loss, accuracy, grad_norm, lr, skipped */
    int64_t asked, stop_at;
    double largest_scale; /* logit_scale of the set over all steps */
} trainer;

static const dipp_reward_settings base_settings = {.seed = 3,
                                                   .loss = DIPP_LOSS_BT_MEAN,
                                                   .steps = 1,
                                                   .batch = BATCH,
                                                   .optimizer = {.kind = DIPP_OPTIMIZER_SGD, .lr = 1}};

static dipp_status try_open(trainer *t, const dipp_reward *reward, const dipp_reward_settings *settings,
                            const char *const *freeze, uint32_t freeze_count, dipp_error *problem)
{
    static const dipp_host host = {.struct_size = sizeof host};
    static const dipp_sample_source captions = {.draw = draw_captions};
    pairs kept = t->pairs;
    int64_t stop_at = t->stop_at;
    *t = (trainer){.pairs = kept,
                   .stop_at = stop_at,
                   .plugin = {.struct_size = sizeof t->plugin,
                              .abi_major = DIPP_ABI_MAJOR,
                              .abi_minor = DIPP_ABI_MINOR,
                              .kind = DIPP_PLUGIN_REWARD,
                              .name = "small",
                              .vtable = reward}};
    dipp_trainee_options options = {.reward = {&t->plugin, NULL},
                                    .host = &host,
                                    .sample = DIPP_SHAPE(D),
                                    .train = true,
                                    .freeze = freeze,
                                    .freeze_count = freeze_count};
    dipp_pair_source source = {&t->pairs, false, label, draw};
    dipp_backend_options f64 = {.struct_size = sizeof f64, .precision = "f64"};
    CHECK(dipp_reference_backend_create(&f64, &t->backend, error));
    dipp_status status = dipp_trainee_create(t->backend, &options, &t->trainee, problem);
    if (status != DIPP_OK)
        return status;
    CHECK(dipp_parameter_set_initialise(t->trainee->reward.set, 5, DIPP_STREAM_REWARD_INIT, error));
    CHECK(dipp_parameter_set_copy(t->trainee->average, t->trainee->reward.set, error));
    bool contrasts = settings->loss == DIPP_LOSS_CONTRASTIVE;
    return dipp_reward_training_create(t->trainee, contrasts ? NULL : &source, contrasts ? &captions : NULL, settings,
                                       NULL, &t->training, problem);
}

static void open_reward(trainer *t, const dipp_reward *reward, const dipp_reward_settings *settings)
{
    dipp_error error = {0};
    if (try_open(t, reward, settings, NULL, 0, &error) != DIPP_OK)
        fail_msg("%s", error.message);
}

static void close_reward(trainer *t)
{
    dipp_reward_training_destroy(&t->training);
    dipp_trainee_destroy(&t->trainee);
    dipp_backend_destroy(&t->backend);
}

static double entry(const dipp_parameter_set *set, const char *name, uint32_t k)
{
    uint32_t at;
    double value;
    assert_true(dipp_layout_find(set->layout, name, &at));
    dipp_parameter_set_read_part(set, DIPP_BLOCK_MASTER, (size_t)dipp_layout_entry_at(set->layout, at)->offset + k, 1,
                                 &value, DIPP_HOST_F64);
    return value;
}

static void keep(void *context, int64_t step, const char *const *names, const double *values, size_t count)
{
    trainer *t = context;
    uint32_t at;
    t->metric_count = count;
    memcpy(t->metrics, values, count * sizeof *values);
    if (dipp_layout_find(t->trainee->reward.layout, "logit_scale", &at))
        t->largest_scale = fmax(t->largest_scale, entry(t->trainee->reward.set, "logit_scale", 0));
}

static bool stopping(void *context)
{
    trainer *t = context;
    return ++t->asked == t->stop_at;
}

static dipp_status run(trainer *t, dipp_error *error)
{
    dipp_reward_observer observer = {.context = t, .metrics = keep, .stopping = stopping};
    return dipp_reward_training_run(t->training, &observer, error);
}

static void run_to_end(trainer *t)
{
    dipp_error error = {0};
    if (run(t, &error) != DIPP_OK)
        fail_msg("%s", error.message);
}

/* All numbers that are trained: weights, moments, average. Free with test_free. */
static double *state_of(const trainer *t, size_t *count)
{
    static const dipp_block blocks[] = {DIPP_BLOCK_MASTER, DIPP_BLOCK_MOMENT1, DIPP_BLOCK_MOMENT2};
    size_t n = (size_t)dipp_layout_elements(t->trainee->reward.layout);
    double *all = test_malloc(4 * n * sizeof *all);
    for (size_t i = 0; i < 3; i++)
        dipp_parameter_set_read(t->trainee->reward.set, blocks[i], all + i * n, DIPP_HOST_F64);
    dipp_parameter_set_read(t->trainee->average, DIPP_BLOCK_MASTER, all + 3 * n, DIPP_HOST_F64);
    *count = 4 * n;
    return all;
}

/* ---- What is learnt ---- */

static double logit(double q)
{
    return log(q / (1 - q));
}

/* The least loss is where the difference of scores is the logit of the label: along axis k the sides are 2 apart. */
static void optima_are_logits_of_the_labels(void **state)
{
    static const struct {
        dipp_preference_loss loss;
        double rate, smoothing;
    } cases[] = {{DIPP_LOSS_BT_MEAN, 2, 0},
                 {DIPP_LOSS_BT_SUM, 0.3, 0},
                 {DIPP_LOSS_PAIR_CROSS_ENTROPY, 2, 0},
                 {DIPP_LOSS_KL_TIE, 2, 0},
                 {DIPP_LOSS_BT_MEAN, 2, 0.2}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dipp_reward_settings settings = base_settings;
        trainer t = {.pairs = {.broken_at = -1}};
        settings.loss = cases[i].loss;
        settings.label_smoothing = cases[i].smoothing;
        settings.optimizer.lr = cases[i].rate;
        settings.steps = 400;
        settings.batch = 9; /* each axis three times */
        open_reward(&t, &small_linear, &settings);
        run_to_end(&t);
        for (uint32_t k = 0; k < D; k++) {
            double q = (1 - cases[i].smoothing) * chance[k] + 0.5 * cases[i].smoothing;
            assert_true(fabs(entry(t.trainee->reward.set, "weight", k) - logit(q) / 2) < 1e-9);
        }
        assert_true(fabs(entry(t.trainee->reward.set, "bias", 0) - 0.5) < 1e-12); /* differences do not see it */
        double loss = 0, share = 0;
        for (int k = 0; k < D; k++) {
            double q = (1 - cases[i].smoothing) * chance[k] + 0.5 * cases[i].smoothing;
            double weight = cases[i].loss == DIPP_LOSS_BT_SUM               ? 3
                            : cases[i].loss == DIPP_LOSS_PAIR_CROSS_ENTROPY ? 1.0 / (1 + k)
                                                                            : 1;
            share += cases[i].loss == DIPP_LOSS_BT_SUM ? 0 : weight;
            loss += weight * (q == 0.5 ? log(2) : -q * log(q) - (1 - q) * log(1 - q));
        }
        if (share > 0)
            loss /= share;
        if (cases[i].loss == DIPP_LOSS_KL_TIE)
            loss = 0;
        assert_true(fabs(t.metrics[0] - loss) < 1e-9);
        close_reward(&t);
    }
}

/* The order of sides is what is learnt: exchanged, everything but the fair axis changes its sign. */
static void exchanged_sides_teach_the_opposite(void **state)
{
    dipp_reward_settings settings = base_settings;
    trainer t = {.pairs = {.broken_at = -1}}, other = {.pairs = {.broken_at = -1, .swapped = true}};
    settings.steps = 30;
    open_reward(&t, &small_linear, &settings);
    open_reward(&other, &small_linear, &settings);
    run_to_end(&t);
    run_to_end(&other);
    for (uint32_t k = 0; k < D; k++) {
        double w = entry(t.trainee->reward.set, "weight", k);
        assert_true(fabs(w + entry(other.trainee->reward.set, "weight", k)) < 1e-12);
        assert_true((w > 1e-3) == (chance[k] > 0.5) && (w < -1e-3) == (chance[k] < 0.5));
    }
    close_reward(&t);
    close_reward(&other);
}

/* One update of SGD on the first batch by hand: w = lr sum_i weight_i (q_i - 1/2) (x_a - x_b). */
static void the_first_update_is_known(void **state)
{
    dipp_reward_settings settings = base_settings;
    trainer t = {.pairs = {.broken_at = -1}};
    settings.loss = DIPP_LOSS_PAIR_CROSS_ENTROPY;
    open_reward(&t, &small_linear, &settings);
    run_to_end(&t);
    float samples[2 * BATCH * D];
    const char *prompts[2 * BATCH];
    double expected[D] = {0}, share = 0;
    draw(&t.pairs, settings.seed, 0, 0, BATCH, samples, prompts, NULL);
    for (int i = 0; i < BATCH; i++) {
        share += 1.0 / (1 + i % D);
        for (int k = 0; k < D; k++)
            expected[k] += (chance[i % D] - 0.5) / (1 + i % D) *
                           ((double)samples[i * D + k] - (double)samples[(BATCH + i) * D + k]);
    }
    for (uint32_t k = 0; k < D; k++)
        assert_true(fabs(entry(t.trainee->reward.set, "weight", k) - expected[k] / share) < 1e-14);
    assert_true(t.metrics[1] == 0.5); /* all scores were equal */
    close_reward(&t);
}

static void micro_batches_are_the_batch(void **state)
{
    static const dipp_preference_loss losses[] = {DIPP_LOSS_BT_MEAN, DIPP_LOSS_KL_TIE};
    for (int i = 0; i < 2; i++) {
        dipp_reward_settings settings = base_settings;
        trainer whole = {.pairs = {.broken_at = -1, .words = true}}, parts = whole;
        settings.loss = losses[i];
        settings.steps = 5;
        settings.optimizer = (dipp_optimizer_settings){
            .kind = DIPP_OPTIMIZER_ADAMW, .lr = 0.05, .beta1 = 0.9, .beta2 = 0.99, .epsilon = 1e-8};
        open_reward(&whole, &small_worded, &settings);
        settings.micro_batch = 2;
        open_reward(&parts, &small_worded, &settings);
        run_to_end(&whole);
        run_to_end(&parts);
        size_t count;
        double *a = state_of(&whole, &count), *b = state_of(&parts, &count);
        for (size_t k = 0; k < count; k++)
            assert_true(fabs(a[k] - b[k]) < 1e-12);
        assert_true(fabs(whole.metrics[0] - parts.metrics[0]) < 1e-12 && whole.metrics[1] == parts.metrics[1]);
        assert_int_equal(dipp_reward_training_images_seen(whole.training), 5 * 2 * BATCH);
        assert_int_equal(dipp_reward_training_images_seen(parts.training), 5 * 2 * BATCH);
        test_free(a);
        test_free(b);
        close_reward(&whole);
        close_reward(&parts);
    }
}

/* A text that both sides share is encoded once; the numbers are those of encoding it for each. */
static void texts_that_are_shared_are_encoded_once(void **state)
{
    dipp_reward_settings settings = base_settings;
    trainer t = {.pairs = {.broken_at = -1, .words = true}};
    settings.steps = 4;
    settings.optimizer.lr = 0.1;
    open_reward(&t, &small_worded, &settings);
    run_to_end(&t);
    size_t count;
    double *once = state_of(&t, &count);
    trainer other = {.pairs = t.pairs};
    open_reward(&other, &small_worded, &settings);
    dipp_reward_training_destroy(&other.training);
    dipp_pair_source twice = {&other.pairs, true, label, draw};
    CHECK(dipp_reward_training_create(other.trainee, &twice, NULL, &settings, NULL, &other.training, error));
    run_to_end(&other);
    double *each = state_of(&other, &count);
    for (size_t k = 0; k < count; k++)
        assert_true(fabs(once[k] - each[k]) < 1e-12);
    test_free(once);
    test_free(each);
    close_reward(&t);
    close_reward(&other);
}

static void contrast_finds_each_text(void **state)
{
    dipp_reward_settings settings = base_settings;
    trainer t = {.pairs = {.broken_at = -1}};
    settings.loss = DIPP_LOSS_CONTRASTIVE;
    settings.batch = WORDS;
    settings.steps = 150;
    settings.optimizer = (dipp_optimizer_settings){
        .kind = DIPP_OPTIMIZER_ADAMW, .lr = 0.05, .beta1 = 0.9, .beta2 = 0.99, .epsilon = 1e-8};
    open_reward(&t, &small_worded, &settings);
    run_to_end(&t);
    assert_true(t.metrics[1] == 1 && t.metrics[0] < 0.05);
    assert_int_equal(dipp_reward_training_images_seen(t.training), 150 * WORDS);
    close_reward(&t);
}

/* ---- Going on ---- */

static dipp_reward_settings rich(void)
{
    dipp_reward_settings settings = base_settings;
    settings.loss = DIPP_LOSS_KL_TIE;
    settings.steps = 9;
    settings.micro_batch = 4;
    settings.logit_scale_max = 100;
    settings.average.decay = 0.8;
    settings.optimizer = (dipp_optimizer_settings){.kind = DIPP_OPTIMIZER_ADAMW,
                                                   .lr = 0.05,
                                                   .beta1 = 0.9,
                                                   .beta2 = 0.99,
                                                   .epsilon = 1e-8,
                                                   .weight_decay = 0.1,
                                                   .clip = 0.5,
                                                   .warmup = 3,
                                                   .schedule = DIPP_RATE_COSINE};
    return settings;
}

/* Stopped at any question of any step, saved, and gone on with in a fresh training: the same bits. */
static void stopped_anywhere_it_goes_on_to_the_same_bits(void **state)
{
    char folder[] = "/tmp/dipp-reward-XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/checkpoint.safetensors", folder);
    dipp_reward_settings settings = rich();
    trainer whole = {.pairs = {.broken_at = 4, .words = true}};
    size_t count;
    open_reward(&whole, &small_worded, &settings);
    run_to_end(&whole);
    double *end = state_of(&whole, &count);
    for (int64_t nth = 1; nth <= 18; nth++) {
        dipp_error why = {0};
        trainer first = {.pairs = whole.pairs, .stop_at = nth}, rest = {.pairs = whole.pairs};
        open_reward(&first, &small_worded, &settings);
        assert_int_equal(run(&first, &why), DIPP_E_INTERRUPTED);
        CHECK(dipp_reward_training_save(first.training, path, NULL, error));
        close_reward(&first);
        open_reward(&rest, &small_worded, &settings);
        CHECK(dipp_reward_training_load(rest.training, path, error));
        assert_int_equal(dipp_reward_training_step_count(rest.training), (nth - 1) / 2);
        run_to_end(&rest);
        double *found = state_of(&rest, &count);
        assert_memory_equal(found, end, count * sizeof *end);
        assert_memory_equal(rest.metrics, whole.metrics, whole.metric_count * sizeof *whole.metrics);
        test_free(found);
        close_reward(&rest);
    }
    dipp_error error = {0};
    trainer other = {.pairs = whole.pairs}; /* a checkpoint is of its own seed */
    settings.seed++;
    open_reward(&other, &small_worded, &settings);
    assert_int_equal(dipp_reward_training_load(other.training, path, &error), DIPP_E_FORMAT);
    close_reward(&other);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(folder), 0);
    test_free(end);
    close_reward(&whole);
}

/* ---- What is not trained ---- */

static void frozen_parameters_stay_as_they_are(void **state)
{
    static const char *const patterns[] = {"text.*"};
    dipp_reward_settings settings = rich();
    dipp_error error = {0};
    trainer t = {.pairs = {.broken_at = -1, .words = true}}, free_one = t;
    assert_int_equal(try_open(&t, &small_worded, &settings, patterns, 1, &error), DIPP_OK);
    double before[WORDS * D];
    for (uint32_t k = 0; k < WORDS * D; k++)
        before[k] = entry(t.trainee->reward.set, "text.words.weight", k);
    double vision = entry(t.trainee->reward.set, "vision.weight", 0);
    run_to_end(&t);
    for (uint32_t k = 0; k < WORDS * D; k++) {
        assert_true(entry(t.trainee->reward.set, "text.words.weight", k) == before[k]);
        assert_true(entry(t.trainee->average, "text.words.weight", k) == before[k]);
    }
    assert_true(entry(t.trainee->reward.set, "vision.weight", 0) != vision);
    open_reward(&free_one, &small_worded, &settings); /* where they are not frozen, they do move */
    run_to_end(&free_one);
    assert_true(entry(free_one.trainee->reward.set, "text.words.weight", 0) != before[0]);
    close_reward(&t);
    close_reward(&free_one);
}

static void the_scale_is_kept_in_bounds(void **state)
{
    dipp_reward_settings settings = base_settings;
    trainer t = {.pairs = {.broken_at = -1}}, wild = t;
    settings.loss = DIPP_LOSS_CONTRASTIVE;
    settings.batch = WORDS;
    settings.steps = 60;
    settings.average.decay = 0.5;
    settings.optimizer = (dipp_optimizer_settings){
        .kind = DIPP_OPTIMIZER_ADAMW, .lr = 0.1, .beta1 = 0.9, .beta2 = 0.99, .epsilon = 1e-8};
    open_reward(&wild, &small_worded, &settings);
    settings.logit_scale_max = 2;
    open_reward(&t, &small_worded, &settings);
    run_to_end(&wild);
    run_to_end(&t);
    assert_true(wild.largest_scale > log(2) + 0.1);
    assert_true(t.largest_scale == log(2));
    assert_true(entry(t.trainee->average, "logit_scale", 0) <= log(2));
    close_reward(&t);
    close_reward(&wild);
}

static void an_update_that_is_not_finite_is_skipped(void **state)
{
    dipp_reward_settings settings = base_settings;
    dipp_error error = {0};
    trainer t = {.pairs = {.broken_at = 0}};
    settings.steps = 2;
    open_reward(&t, &small_linear, &settings);
    run_to_end(&t);
    trainer good = {.pairs = {.broken_at = -1}};
    settings.steps = 1;
    open_reward(&good, &small_linear, &settings);
    run_to_end(&good);
    assert_true(t.metrics[4] == 1 && good.metrics[4] == 0);
    for (uint32_t k = 0; k < D; k++) /* the second step did what the first would have */
        assert_true(entry(t.trainee->reward.set, "weight", k) == entry(good.trainee->reward.set, "weight", k));
    close_reward(&t);
    trainer never = {.pairs = {.broken_at = 0}};
    settings.max_nonfinite = 1;
    open_reward(&never, &small_linear, &settings);
    assert_int_equal(run(&never, &error), DIPP_E_NUMERIC);
    close_reward(&never);
    close_reward(&good);
}

/* Sharpened, scores differ by the factor more: through logit_scale, or a layer that ends in the score. */
static void a_temperature_goes_into_the_weights(void **state)
{
    dipp_error problem = {0};
    float samples[2 * D] = {1, 0.5f, -0.25f, 0, 0.25f, 0.75f};
    static const char *const prompts[] = {"b", "b"};
    static const struct {
        const dipp_reward *reward;
        const char *layer;
    } cases[] = {{&small_worded, NULL}, {&small_ending, "last"}};
    for (int i = 0; i < 2; i++) {
        double before[2], after[2];
        trainer t = {.pairs = {.broken_at = -1}};
        dipp_scorer *scorer = NULL;
        open_reward(&t, cases[i].reward, &base_settings);
        dipp_parameter_set *set = t.trainee->reward.set;
        CHECK(dipp_scorer_borrow(t.backend, &t.trainee->reward, set, DIPP_REWARD_TRAIN, DIPP_SHAPE(D), 4, &scorer,
                                 error));
        CHECK(dipp_scorer_score(scorer, samples, prompts, 2, before, error));
        CHECK(dipp_trainee_sharpen(t.trainee, set, cases[i].layer, 1, error));
        CHECK(dipp_trainee_sharpen(t.trainee, set, cases[i].layer, 0.4, error));
        CHECK(dipp_scorer_score(scorer, samples, prompts, 2, after, error));
        assert_true(fabs(before[0] - before[1]) > 0.01);
        assert_true(fabs(after[0] - after[1] - 0.4 * (before[0] - before[1])) < 1e-12);
        assert_int_equal(dipp_trainee_sharpen(t.trainee, set, "nowhere", 1, &problem), DIPP_E_INVALID);
        dipp_scorer_destroy(&scorer);
        close_reward(&t);
    }
    trainer t = {.pairs = {.broken_at = -1}};
    open_reward(&t, &small_linear, &base_settings);
    assert_int_equal(dipp_trainee_sharpen(t.trainee, t.trainee->reward.set, NULL, 1, &problem), DIPP_E_INVALID);
    assert_non_null(strstr(problem.message, "has no logit_scale"));
    close_reward(&t);
}

/* ---- What is refused ---- */

static void refuse(const dipp_reward *reward, const dipp_reward_settings *settings, const char *pattern,
                   const char *words)
{
    dipp_error error = {0};
    trainer t = {.pairs = {.broken_at = -1}};
    assert_int_equal(try_open(&t, reward, settings, &pattern, pattern != NULL, &error), DIPP_E_INVALID);
    if (!strstr(error.message, words))
        fail_msg("`%s` lacks `%s`", error.message, words);
    close_reward(&t);
}

static void what_cannot_be_trained_is_refused(void **state)
{
    dipp_reward_settings settings = base_settings, uneven = base_settings, bounded = base_settings,
                         contrastive = base_settings, apart = base_settings;
    uneven.micro_batch = 3;
    bounded.logit_scale_max = 100;
    contrastive.loss = apart.loss = DIPP_LOSS_CONTRASTIVE;
    apart.micro_batch = 4;
    refuse(&small_opaque, &settings, NULL, "is opaque");
    refuse(&small_fixed, &settings, NULL, "has no parameters");
    refuse(&small_linear, &uneven, NULL, "micro_batch 3 does not divide batch 8");
    refuse(&small_linear, &bounded, NULL, "does not have");
    refuse(&small_linear, &contrastive, NULL, "does not offer");
    refuse(&small_worded, &apart, NULL, "there is no micro_batch");
    refuse(&small_linear, &settings, "wieght", "the nearest is weight");
    refuse(&small_linear, &settings, "*", "nothing is left to train");
    refuse(&small_linear, &settings, "block.{x}", "a brace is for numbers");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(optima_are_logits_of_the_labels),
        cmocka_unit_test(exchanged_sides_teach_the_opposite),
        cmocka_unit_test(the_first_update_is_known),
        cmocka_unit_test(micro_batches_are_the_batch),
        cmocka_unit_test(texts_that_are_shared_are_encoded_once),
        cmocka_unit_test(contrast_finds_each_text),
        cmocka_unit_test(stopped_anywhere_it_goes_on_to_the_same_bits),
        cmocka_unit_test(frozen_parameters_stay_as_they_are),
        cmocka_unit_test(the_scale_is_kept_in_bounds),
        cmocka_unit_test(an_update_that_is_not_finite_is_skipped),
        cmocka_unit_test(a_temperature_goes_into_the_weights),
        cmocka_unit_test(what_cannot_be_trained_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
