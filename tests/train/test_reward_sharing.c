/* Rewards that load one file: their parameters are held once, and what is the same of them is computed once. */
#include "runner.h"

#include "base/memory.h"
#include "train/align_programs.h"
#include "train/scorer.h"

#include <stdlib.h>
#include <unistd.h>

enum { D = 2, STEPS = 6, BATCH = 8 };
/* Useful work of a sample's way through the fixture's tower, by hand: 2 to 16 to 16 to 4; and of the head, 4 to 1. */
static const double TOWER = 2.0 * (D * 16 + 16 * 16 + 16 * 4), HEAD = 2.0 * 4;

static const char *const prompts[] = {"a cat", "", "a dog"};

static exact_choice choice_of(const char *const rewards[EXACT_REWARDS], bool shared)
{
    exact_choice choice = {.schedule = {.kind = DIPP_SCHEDULE_VP, .a = 0.1, .b = 19.9, .t_min = 1e-3, .t_max = 1},
                           .reference = "affine",
                           .reference_parameters = "mean=[1, 0]; factor=[[0.5, 0], [0.1, 0.6]]",
                           .generator = "mean=[-0.5, 0.3]; factor=[[1.3, 0], [0.2, 0.8]]"};
    for (int i = 0; i < EXACT_REWARDS && rewards[i]; i++) {
        choice.rewards[i] = rewards[i];
        choice.reward_parameters[i] = i == 1 ? "raise=0.3" : "";
        choice.reward_files[i] = shared ? "/one/file" : NULL;
    }
    return choice;
}

static dipp_align_settings settings_of(void)
{
    dipp_align_settings settings = runner_rich();
    settings.cfg_omega = 1;
    settings.batch = BATCH;
    settings.micro_batch = 4;
    settings.steps = STEPS;
    for (int i = 0; i < EXACT_REWARDS; i++)
        settings.rewards[i] = (dipp_align_reward){.scale = 1.5 + i};
    return settings;
}

/* Weights by name, the same wherever they lie. */
static void fill(dipp_parameter_set *set)
{
    double numbers[256];
    for (uint32_t i = 0; i < dipp_layout_count(set->layout); i++) {
        const dipp_layout_entry *entry = dipp_layout_entry_at(set->layout, i);
        assert_true(entry->elements <= 256);
        for (int64_t k = 0; k < entry->elements; k++)
            numbers[k] = 0.4 * sin((double)(k + 1) * (double)(entry->name[0] + entry->name[strlen(entry->name) - 6]));
        exact_write(set, entry->name, numbers);
    }
}

static void open_choice(runner *r, const exact_choice *choice, const dipp_align_settings *settings,
                        dipp_plan_report *report)
{
    memset(r, 0, sizeof *r);
    exact_open(&r->e, choice);
    for (uint32_t i = 0; i < r->e.models->reward_count; i++)
        fill(r->e.models->rewards[i].set);
    CHECK(dipp_parameter_set_copy(r->e.models->generator_ema, r->e.models->generator_set, error));
    CHECK(dipp_prompt_table_create(r->e.models, prompts, 3, &r->prompts, error));
    CHECK(dipp_align_create(r->e.models, r->prompts, settings, report, &r->align, error));
}

static void open_run(runner *r, const char *const rewards[EXACT_REWARDS], bool shared,
                     const dipp_align_settings *settings, dipp_plan_report *report)
{
    exact_choice choice = choice_of(rewards, shared);
    open_choice(r, &choice, settings, report);
}

static const char *const one[EXACT_REWARDS] = {"tower"}, *const two[EXACT_REWARDS] = {"tower", "tower-square"},
                         *const three[EXACT_REWARDS] = {"tower-head", "tower", "tower-square"};

/* ---- Parameters ---- */

static size_t sets_of(const dipp_models *m)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < m->reward_count; i++)
        bytes += m->rewards[i].home == &m->rewards[i] ? dipp_parameter_set_bytes(m->rewards[i].set) : 0;
    return bytes;
}

static void a_file_is_held_once(void **state)
{
    (void)state;
    exact apart, together;
    exact_choice loose = choice_of(three, false), shared = choice_of(three, true);
    exact_open(&apart, &loose);
    exact_open(&together, &shared);
    const dipp_reward_model *own = apart.models->rewards, *r = together.models->rewards;
    for (uint32_t i = 0; i < 3; i++) {
        assert_ptr_equal(own[i].home, &own[i]);
        assert_ptr_equal(r[i].home, &r[0]);
        assert_ptr_equal(r[i].layout, r[0].layout);
        assert_ptr_equal(r[i].set, r[0].set);
        assert_true(dipp_layouts_agree(own[i].layout, r[0].layout));
    }
    /* The head has the tower of samples and a head of 4 and 1 numbers; the others have both towers and a scale. */
    int64_t head = dipp_layout_parameters(own[0].layout), towers = dipp_layout_parameters(own[1].layout);
    assert_int_equal(dipp_layout_parameters(r[0].layout), towers + 5);
    assert_true(head < towers);
    assert_int_equal(sets_of(together.models),
                     sets_of(apart.models) - dipp_parameter_set_bytes(own[2].set) -
                         dipp_parameter_set_bytes(own[0].set) +
                         2 * 256 * sizeof(double)); /* each of the head's two tensors on a boundary */
    exact_close(&apart);
    exact_close(&together);
}

static void what_does_not_agree_stays_apart(void **state)
{
    (void)state;
    static const char *const rewards[EXACT_REWARDS] = {"tower-head", "tower-other", "tower", "tower-other"},
                             *const heads[EXACT_REWARDS] = {"tower", "tower-head", "tower-square", "tower-head"};
    exact_choice choice = choice_of(rewards, true);
    dipp_align_settings settings = settings_of();
    runner r;
    exact e;
    exact_open(&e, &choice);
    assert_ptr_equal(e.models->rewards[0].home, &e.models->rewards[0]);
    assert_ptr_equal(e.models->rewards[1].home, &e.models->rewards[1]); /* its head is of another shape */
    assert_ptr_equal(e.models->rewards[2].home, &e.models->rewards[0]);
    assert_ptr_equal(e.models->rewards[3].home, &e.models->rewards[1]);
    exact_close(&e);
    choice.reward_files[2] = "/another/file";
    exact_open(&e, &choice);
    assert_ptr_equal(e.models->rewards[2].home, &e.models->rewards[2]);
    exact_close(&e);
    /* One file of a head may stand beside the towers, not two. */
    choice = choice_of(heads, true);
    choice.reward_heads[1] = choice.reward_heads[3] = "/one/head";
    exact_open(&e, &choice);
    for (int i = 0; i < 4; i++)
        assert_ptr_equal(e.models->rewards[i].home, &e.models->rewards[0]);
    exact_close(&e);
    choice.reward_heads[3] = "/another/head";
    exact_open(&e, &choice);
    assert_ptr_equal(e.models->rewards[2].home, &e.models->rewards[0]);
    assert_ptr_equal(e.models->rewards[3].home, &e.models->rewards[3]);
    exact_close(&e);
    open_run(&r, rewards, true, &settings, NULL);
    runner_run(&r);
    runner_close(&r);
}

/* ---- Work ---- */

static double flops_of(const char *const rewards[EXACT_REWARDS], bool shared, const dipp_align_settings *settings)
{
    runner r;
    open_run(&r, rewards, shared, settings, NULL);
    double flops = dipp_align_flops(r.align);
    runner_close(&r);
    return flops;
}

static void a_second_reward_costs_its_head(void **state)
{
    (void)state;
    dipp_align_settings settings = settings_of();
    double single = flops_of(one, true, &settings), rest = single - BATCH * 2 * TOWER;
    assert_true(flops_of(one, false, &settings) == single);
    assert_true(flops_of(two, false, &settings) == rest + BATCH * 4 * TOWER);
    assert_true(flops_of(two, true, &settings) == single);
    assert_true(flops_of(three, false, &settings) == rest + BATCH * (6 * TOWER + 2 * HEAD));
    assert_true(flops_of(three, true, &settings) == single + BATCH * 2 * HEAD);
    settings.rewards[1].by_ratio = true; /* needs its own gradient: the forward pass alone is shared */
    assert_true(flops_of(two, true, &settings) == rest + BATCH * 3 * TOWER);
    settings.rewards[1].by_ratio = false;
    settings.rewards[1].end = 3; /* acts at other times, and then is not computed */
    assert_true(flops_of(two, true, &settings) == rest + BATCH * 4 * TOWER);
}

static void a_second_reward_needs_little_memory(void **state)
{
    (void)state;
    dipp_align_settings settings = settings_of();
    dipp_plan_report single, joined, loose;
    runner r;
    settings.batch = settings.micro_batch = 64;
    open_run(&r, one, true, &settings, &single);
    runner_close(&r);
    open_run(&r, two, true, &settings, &joined);
    runner_close(&r);
    open_run(&r, two, false, &settings, &loose);
    runner_close(&r);
    print_message(
        "temporaries of one reward %zu, two on one tower %zu, two apart %zu bytes; most alive %zu, %zu, %zu\n",
        single.temporaries_sum, joined.temporaries_sum, loose.temporaries_sum, single.peak_bytes, joined.peak_bytes,
        loose.peak_bytes);
    assert_true((double)joined.temporaries_sum < 1.25 * (double)single.temporaries_sum);
    assert_true((double)loose.temporaries_sum > 1.4 * (double)single.temporaries_sum);
}

/* ---- Results ---- */

/* The states of two runs after all steps, to rounding, and everything that they log. */
static void compare(const char *const rewards[EXACT_REWARDS], const dipp_align_settings *settings)
{
    runner apart, together;
    size_t count, again;
    open_run(&apart, rewards, false, settings, NULL);
    open_run(&together, rewards, true, settings, NULL);
    double *start = runner_state(&apart, &count);
    runner_run(&apart);
    runner_run(&together);
    double *a = runner_state(&apart, &count), *b = runner_state(&together, &again);
    assert_int_equal(count, again);
    for (size_t i = 0; i < count; i++)
        exact_near("a trained number", b[i], a[i], 1e-11, 1e-12);
    assert_memory_not_equal(a, start, count * sizeof *a);
    assert_int_equal(apart.metric_count, together.metric_count);
    for (size_t i = 0; i < apart.metric_count; i++) {
        assert_string_equal(apart.names[i], together.names[i]);
        exact_near(apart.names[i], together.values[i], apart.values[i], 1e-10, 1e-12);
    }
    double dx0, cosine;
    assert_true(runner_metric(&together, "train/dx0_reward", &dx0) && dx0 > 1e-3);
    assert_true(runner_metric(&together, "train/cos_divergence_reward", &cosine) && cosine != 0);
    test_free(start);
    test_free(a);
    test_free(b);
    runner_close(&apart);
    runner_close(&together);
}

static void shared_or_not_is_the_same_run(void **state)
{
    (void)state;
    dipp_align_settings settings = settings_of();
    compare(two, &settings);
    compare(three, &settings);
    settings.rewards[0].by_ratio = true;
    compare(two, &settings);
    settings.rewards[2].by_ratio = true;
    settings.rewards[2].scale = -0.7;
    compare(three, &settings);
    settings.rewards[0].end = settings.rewards[2].end = 4; /* off at the end, with the other still on */
    settings.rewards[1].start = 2;
    compare(three, &settings);
    for (int i = 0; i < 3; i++)
        settings.rewards[i] =
            (dipp_align_reward){.scale = 1 + i, .start = 1, .ramp = DIPP_RAMP_LINEAR, .to = 1, .ramp_length = 3};
    compare(three, &settings);
}

/* The same reward twice is its score at twice the scale. */
static void a_reward_twice_counts_twice(void **state)
{
    (void)state;
    static const char *const twice[EXACT_REWARDS] = {"tower-square", "tower-square"}, *const single[EXACT_REWARDS] = {
                                                                                          "tower-square"};
    dipp_align_settings settings = settings_of(), doubled = settings;
    settings.rewards[0].scale = settings.rewards[1].scale = 1.5;
    doubled.rewards[0].scale = 3;
    runner a, b;
    exact_choice choice = choice_of(twice, true);
    choice.reward_parameters[1] = "";
    open_choice(&a, &choice, &settings, NULL);
    open_run(&b, single, false, &doubled, NULL);
    runner_run(&a);
    runner_run(&b);
    size_t count, again;
    double *x = runner_state(&a, &count), *y = runner_state(&b, &again);
    assert_int_equal(count, again);
    for (size_t i = 0; i < count; i++)
        exact_near("a trained number", x[i], y[i], 1e-11, 1e-12);
    test_free(x);
    test_free(y);
    runner_close(&a);
    runner_close(&b);
}

static void blocks_computed_again_change_no_bit(void **state)
{
    (void)state;
    dipp_align_settings settings = settings_of();
    for (int ratio = 0; ratio < 2; ratio++) {
        settings.rewards[1].by_ratio = ratio;
        runner kept, again;
        settings.recompute = DIPP_RECOMPUTE_NONE;
        open_run(&kept, three, true, &settings, NULL);
        settings.recompute = DIPP_RECOMPUTE_BLOCKS;
        open_run(&again, three, true, &settings, NULL);
        assert_true(dipp_align_recomputed_flops(kept.align) == 0);
        assert_true(dipp_align_recomputed_flops(again.align) == BATCH * (1 + ratio) * 2.0 * (D * 16 + 16 * 16));
        assert_true(dipp_align_flops(again.align) == dipp_align_flops(kept.align));
        runner_run(&kept);
        runner_run(&again);
        size_t count, same;
        double *a = runner_state(&kept, &count), *b = runner_state(&again, &same);
        assert_int_equal(count, same);
        assert_memory_equal(a, b, count * sizeof *a);
        test_free(a);
        test_free(b);
        runner_close(&kept);
        runner_close(&again);
    }
}

/* ---- Texts ---- */

/* Two rewards, the second with these parameters, over all steps: how many texts each has encoded; and what they log. */
static void count_texts(bool shared, const char *parameters, uint64_t work[2], double logged[2])
{
    dipp_align_settings settings = settings_of();
    exact_choice choice = choice_of(two, shared);
    runner r;
    choice.reward_parameters[1] = parameters;
    open_choice(&r, &choice, &settings, NULL);
    dipp_align_texts texts;
    CHECK(dipp_align_text_work(r.align, &texts, error));
    assert_int_equal(texts.prompts, 3);
    double flops[2] = {dipp_text_cache_flops(r.align->texts[0]), dipp_text_cache_flops(r.align->texts[1])};
    runner_run(&r);
    for (int i = 0; i < 2; i++) {
        work[i] = dipp_text_cache_work(r.align->texts[i]);
        assert_true(dipp_text_cache_is_home(r.align->texts[i]) == (i == 0 || work[1] > 0));
    }
    assert_true(flops[0] > 0 && (flops[1] > 0) == (work[1] > 0) && texts.flops == 3 * (flops[0] + flops[1]));
    assert_true(runner_metric(&r, "train/reward.tower", &logged[0]));
    assert_true(runner_metric(&r, "train/reward.tower-square", &logged[1]));
    runner_close(&r);
}

static void a_text_is_encoded_once(void **state)
{
    (void)state;
    static const struct {
        const char *parameters;
        uint64_t first, second; /* texts that each encodes where they share the file */
    } cases[] = {{"", 3, 0},
                 {"raise=0.3", 3, 0}, /* of no concern to texts */
                 {"shift=7", 5, 0},   /* other tokens of the same encoder, but for the null prompt */
                 {"length=5", 3, 3},  /* another shape */
                 {"turn=-1", 3, 3}};  /* another computation */
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t apart[2], shared[2];
        double a[2], b[2];
        count_texts(false, cases[i].parameters, apart, a);
        count_texts(true, cases[i].parameters, shared, b);
        assert_true(apart[0] == 3 && apart[1] == 3);
        if (shared[0] != cases[i].first || shared[1] != cases[i].second)
            fail_msg("`%s`: %d and %d texts", cases[i].parameters, (int)shared[0], (int)shared[1]);
        for (int k = 0; k < 2; k++)
            exact_near(cases[i].parameters, b[k], a[k], 1e-10, 1e-12);
    }
}

/* ---- Metrics ---- */

enum { SCORED = 9, METRICS = 4 };
/* An opaque place is passed over; the head comes first, so that the first of a file has not all of it. */
static const char *const metrics[METRICS] = {"tower-head", NULL, "tower", "tower-square"};

static dipp_scorer *declare(const exact *e, const char *name, const char *file, dipp_parameters **parameters)
{
    static const dipp_host host = {.struct_size = sizeof host};
    const dipp_loaded_plugin *loaded = NULL;
    dipp_scorer *scorer = NULL;
    CHECK(dipp_plugins_find(e->plugins, DIPP_PLUGIN_REWARD, name, &loaded, error));
    const dipp_plugin *plugin = loaded->descriptor;
    CHECK(dipp_parameters_create_from_text(plugin->parameters, plugin->parameter_count, NULL, 0, parameters, error));
    CHECK(dipp_scorer_declare(e->backend, plugin, *parameters, &host, file, NULL, DIPP_SHAPE(D), 4, &scorer, error));
    return scorer;
}

/* Scores of every metric, [METRICS, SCORED], and the bytes of all; together: with each other, and with the models'
 * reward. texts_wanted: how many prompts are encoded in all. */
static size_t score_all(const exact *e, const char *const files[METRICS], bool together, bool with_models,
                        uint64_t texts_wanted, double *scores)
{
    uint64_t encoded = 0;
    dipp_scorer *scorers[METRICS] = {NULL};
    dipp_parameters *parameters[METRICS] = {NULL};
    float samples[SCORED * D];
    const char *texts[SCORED];
    size_t bytes = 0;
    for (int i = 0; i < SCORED * D; i++)
        samples[i] = (float)cos(2 * i);
    for (int i = 0; i < SCORED; i++)
        texts[i] = prompts[i % 3];
    for (int i = 0; i < METRICS; i++)
        if (metrics[i]) {
            scorers[i] = declare(e, metrics[i], files[i], &parameters[i]);
            if (!together)
                CHECK(dipp_scorers_build(&scorers[i], 1, NULL, error));
        }
    if (together)
        CHECK(dipp_scorers_build(scorers, METRICS, with_models ? e->models : NULL, error));
    for (int i = 0; i < METRICS; i++)
        if (metrics[i]) {
            CHECK(dipp_scorer_score(scorers[i], samples, texts, SCORED, scores + (size_t)i * SCORED, error));
            bytes += dipp_scorer_bytes(scorers[i]);
            encoded += dipp_scorer_texts(scorers[i]);
        }
    assert_int_equal(encoded, texts_wanted);
    for (int i = 0; i < METRICS; i++) {
        dipp_scorer_destroy(&scorers[i]);
        dipp_parameters_destroy(&parameters[i]);
    }
    return bytes;
}

static void metrics_of_one_file_hold_it_once(void **state)
{
    (void)state;
    char folder[] = "/tmp/dipp-sharing-XXXXXX", file[64], link[64], copy[64];
    double apart[METRICS * SCORED] = {0}, shared[METRICS * SCORED] = {0};
    assert_non_null(mkdtemp(folder));
    snprintf(file, sizeof file, "%s/all.safetensors", folder);
    snprintf(link, sizeof link, "%s/link.safetensors", folder);
    snprintf(copy, sizeof copy, "%s/copy.safetensors", folder);
    exact_choice choice = choice_of(three, true);
    for (int i = 0; i < 3; i++)
        choice.reward_files[i] = file;
    exact e;
    exact_open(&e, &choice);
    dipp_parameter_set *set = e.models->rewards[0].set;
    fill(set);
    CHECK(dipp_weights_write_sets(file, (const dipp_parameter_set *const[]){set}, 1, false, NULL, error));
    CHECK(dipp_weights_write_sets(copy, (const dipp_parameter_set *const[]){set}, 1, false, NULL, error));
    CHECK(dipp_weights_read_with_head(file, NULL, set, error)); /* rounded to f32 as the metrics see them */
    assert_int_equal(symlink(file, link), 0);
    const char *const same[METRICS] = {file, NULL, link, file}, *const other[METRICS] = {file, NULL, copy, file};
    size_t all = dipp_parameter_set_bytes(set), loose = score_all(&e, same, false, false, 6, apart);
    size_t once = score_all(&e, same, true, false, 3, shared);
    assert_memory_equal(apart, shared, sizeof apart);
    assert_true(apart[0] != apart[1] && apart[2 * SCORED] != 0);
    size_t none = score_all(&e, same, true, true, 3, shared); /* with the reward that is aligned to */
    assert_memory_equal(apart, shared, sizeof apart);
    assert_int_equal(once - none, all);
    assert_true(loose > once + all); /* three sets, of which two are both towers */
    size_t twice = score_all(&e, other, true, false, 6, shared);
    assert_memory_equal(apart, shared, sizeof apart);
    assert_true(twice > once + all / 2);
    exact_close(&e);
    unlink(file);
    unlink(link);
    unlink(copy);
    rmdir(folder);
}

/* ---- No memory ---- */

/* Everything from the models on: two rewards of one file aligned to for a step, and two metrics of it asked. */
static dipp_status use_all(const exact *e, const dipp_plugin *const plugins[2], dipp_parameters *const parameters[2],
                           const dipp_align_settings *settings, dipp_error *error)
{
    static const dipp_host host = {.struct_size = sizeof host};
    const dipp_align_observer observer = {.context = NULL};
    dipp_prompt_table *table = NULL;
    dipp_align *align = NULL;
    dipp_scorer *scorers[2] = {NULL, NULL};
    float samples[3 * D] = {0.5F};
    double scores[3];
    dipp_status status = dipp_prompt_table_create(e->models, prompts, 3, &table, error);
    if (status == DIPP_OK)
        status = dipp_align_create(e->models, table, settings, NULL, &align, error);
    if (status == DIPP_OK)
        status = dipp_align_run(align, &observer, error);
    for (int i = 0; i < 2 && status == DIPP_OK; i++)
        status = dipp_scorer_declare(e->backend, plugins[i], parameters[i], &host, NULL, NULL, DIPP_SHAPE(D), 2,
                                     &scorers[i], error);
    if (status == DIPP_OK)
        status = dipp_scorers_build(scorers, 2, e->models, error);
    for (int i = 0; i < 2 && status == DIPP_OK; i++)
        status = dipp_scorer_score(scorers[i], samples, prompts, 3, scores, error);
    for (int i = 0; i < 2; i++)
        dipp_scorer_destroy(&scorers[i]);
    dipp_align_destroy(&align);
    dipp_prompt_table_destroy(&table);
    return status;
}

/* One allocation after another fails: each is told, and nothing is left (the sanitizers look). */
static void every_allocation_may_fail(void **state)
{
    (void)state;
    enum { STRIDE = 5 };
    exact_choice choice = choice_of(three, true);
    dipp_align_settings settings = settings_of();
    settings.steps = 1;
    exact e;
    const dipp_plugin *plugins[2];
    dipp_parameters *parameters[2];
    exact_open(&e, &choice);
    for (int i = 0; i < 2; i++) {
        const dipp_loaded_plugin *loaded = NULL;
        CHECK(dipp_plugins_find(e.plugins, DIPP_PLUGIN_REWARD, three[i], &loaded, error));
        plugins[i] = loaded->descriptor;
        CHECK(dipp_parameters_create_from_text(plugins[i]->parameters, plugins[i]->parameter_count, NULL, 0,
                                               &parameters[i], error));
    }
    bool failed = true;
    uint64_t tried = 0;
    for (uint64_t nth = 1; failed; nth += STRIDE, tried++) {
        dipp_error why = {0};
        dipp_memory_fail_nth(nth, tried % 2);
        dipp_status status = use_all(&e, plugins, parameters, &settings, &why);
        failed = dipp_memory_has_failed();
        dipp_memory_fail_nth(0, false);
        if (status != (failed ? DIPP_E_MEMORY : DIPP_OK))
            fail_msg("allocation %llu: %d, \"%s\"", (unsigned long long)nth, (int)status, why.message);
        assert_true(!failed || why.message[0]);
    }
    assert_true(tried > 50);
    for (int i = 0; i < 2; i++)
        dipp_parameters_destroy(&parameters[i]);
    exact_close(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_held_once),
        cmocka_unit_test(what_does_not_agree_stays_apart),
        cmocka_unit_test(a_second_reward_costs_its_head),
        cmocka_unit_test(a_second_reward_needs_little_memory),
        cmocka_unit_test(shared_or_not_is_the_same_run),
        cmocka_unit_test(a_reward_twice_counts_twice),
        cmocka_unit_test(blocks_computed_again_change_no_bit),
        cmocka_unit_test(a_text_is_encoded_once),
        cmocka_unit_test(metrics_of_one_file_hold_it_once),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
