/* Texts of rewards that look at them apart from samples: encoded once, kept, and the same to the bit. */
#include "runner.h"

#include "base/file.h"
#include "train/scorer.h"
#include "train/text_cache.h"

#include <stdlib.h>
#include <unistd.h>

enum { D = 2, STEPS = 7, BATCH = 6, PROMPTS = 5 };
/* Useful work of the fixture's text tower, by hand: six tokens of 8 to 16 numbers, and their sum to 4. */
static const double TEXT_FLOPS = 2.0 * (6 * 8 * 16 + 16 * 4);

/* The null prompt is one like any other; one text stands there twice. */
static const char *const prompts[PROMPTS] = {"a cat", "", "a dog", "a cat", "birds fly"};

static exact_choice choice_of(const char *reward, const char *precision)
{
    return (exact_choice){.schedule = {.kind = DIPP_SCHEDULE_VP, .a = 0.1, .b = 19.9, .t_min = 1e-3, .t_max = 1},
                          .reference = "affine",
                          .reference_parameters = "mean=[1, 0]; factor=[[0.5, 0], [0.1, 0.6]]",
                          .generator = "mean=[-0.5, 0.3]; factor=[[1.3, 0], [0.2, 0.8]]",
                          .rewards = {reward},
                          .reward_parameters = {"raise=0.3"},
                          .precision = precision};
}

static dipp_align_settings settings_of(void)
{
    dipp_align_settings settings = runner_rich();
    settings.cfg_omega = 1;
    settings.batch = BATCH;
    settings.micro_batch = 3;
    settings.steps = STEPS;
    settings.rewards[0] = (dipp_align_reward){.scale = 2};
    return settings;
}

static void open_run(runner *r, const exact_choice *choice, const dipp_align_settings *settings)
{
    memset(r, 0, sizeof *r);
    exact_open(&r->e, choice);
    CHECK(dipp_parameter_set_copy(r->e.models->generator_ema, r->e.models->generator_set, error));
    CHECK(dipp_prompt_table_create(r->e.models, prompts, PROMPTS, &r->prompts, error));
    CHECK(dipp_align_create(r->e.models, r->prompts, settings, NULL, &r->align, error));
}

/* ---- Alignment ---- */

static void kept_texts_change_no_bit_of_a_run(void **state)
{
    (void)state;
    static const char *const precisions[] = {"f64", "f32"};
    dipp_align_settings settings = settings_of();
    for (int p = 0; p < 2; p++) {
        runner kept, whole;
        size_t count, again;
        double score, same;
        exact_choice apart = choice_of("tower", precisions[p]), joined = choice_of("tower-whole", precisions[p]);
        open_run(&kept, &apart, &settings);
        open_run(&whole, &joined, &settings);
        double *start = runner_state(&kept, &count);
        runner_run(&kept);
        runner_run(&whole);
        double *a = runner_state(&kept, &count), *b = runner_state(&whole, &again);
        assert_int_equal(count, again);
        assert_memory_equal(a, b, count * sizeof *a);
        assert_memory_not_equal(a, start, count * sizeof *a);
        assert_true(runner_metric(&kept, "train/reward.tower", &score));
        assert_true(runner_metric(&whole, "train/reward.tower-whole", &same));
        assert_memory_equal(&score, &same, sizeof score);
        assert_true(fabs(score) > 1e-3);
        test_free(start);
        test_free(a);
        test_free(b);
        runner_close(&kept);
        runner_close(&whole);
    }
}

static void an_iteration_encodes_no_text(void **state)
{
    (void)state;
    runner kept, whole;
    dipp_ledger ledger = {.seconds = {0}};
    dipp_align_settings settings = settings_of();
    exact_choice apart = choice_of("tower", NULL), joined = choice_of("tower-whole", NULL);
    open_run(&whole, &joined, &settings);
    settings.ledger = &ledger;
    open_run(&kept, &apart, &settings);
    double with = dipp_align_flops(whole.align), without = dipp_align_flops(kept.align);
    assert_true(with - without == BATCH * TEXT_FLOPS);

    dipp_align_texts texts, none;
    CHECK(dipp_align_text_work(kept.align, &texts, error));
    CHECK(dipp_align_text_work(whole.align, &none, error));
    assert_int_equal(texts.prompts, PROMPTS); /* forty-two draws of five */
    assert_int_equal(texts.bytes, PROMPTS * 4 * sizeof(double));
    assert_true(texts.flops == PROMPTS * TEXT_FLOPS);
    assert_int_equal(none.prompts, 0);
    assert_int_equal(kept.prompts->rewards[0].length, 0);

    runner_run(&kept);
    assert_int_equal(ledger.calls[DIPP_OP_EMBEDDING], 0);
    assert_int_equal(ledger.calls[DIPP_OP_GELU_ERF_BACKWARD], 2 * 2 * STEPS);
    runner_close(&kept);
    runner_close(&whole);
}

static void a_run_goes_on_to_the_bit(void **state)
{
    (void)state;
    char folder[] = "/tmp/dipp-texts-XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/state", folder);
    dipp_align_settings settings = settings_of();
    exact_choice choice = choice_of("tower", NULL);
    runner whole, rest;
    size_t count, again;
    runner_saver saver = {path, 3};
    open_run(&whole, &choice, &settings);
    dipp_align_observer observer = {.context = &saver, .after_step = runner_save_at};
    CHECK(dipp_align_run(whole.align, &observer, error));
    open_run(&rest, &choice, &settings);
    CHECK(dipp_align_load(rest.align, path, error));
    runner_run(&rest);
    double *a = runner_state(&whole, &count), *b = runner_state(&rest, &again);
    assert_int_equal(count, again);
    assert_memory_equal(a, b, count * sizeof *a);
    test_free(a);
    test_free(b);
    runner_close(&whole);
    runner_close(&rest);
    unlink(path);
    rmdir(folder);
}

static void what_a_tokenizer_refuses_ends_the_run(void **state)
{
    (void)state;
    runner r = {.count_from = 0};
    static const char *const texts[] = {"unspeakable"};
    dipp_align_settings settings = settings_of();
    exact_choice choice = choice_of("tower", NULL);
    dipp_error why = {0};
    dipp_align_observer observer = {.context = NULL};
    exact_open(&r.e, &choice);
    CHECK(dipp_prompt_table_create(r.e.models, texts, 1, &r.prompts, error));
    CHECK(dipp_align_create(r.e.models, r.prompts, &settings, NULL, &r.align, error));
    assert_int_equal(dipp_align_run(r.align, &observer, &why), DIPP_E_INVALID);
    assert_non_null(strstr(why.message, "texts of tower: "));
    assert_non_null(strstr(why.message, "there is no saying"));
    runner_close(&r);
}

/* The encoder is planned with the rest: where it is the largest, what it wants is what is asked for. */
static void an_encoder_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    dipp_align_settings settings = settings_of();
    exact_choice choice = choice_of("tower", NULL);
    choice.reward_parameters[0] = "length=4000";
    dipp_plan_report report;
    for (int trial = 0; trial < 2; trial++) {
        exact e;
        dipp_prompt_table *table;
        dipp_align *align = NULL;
        dipp_error why = {0};
        exact_open(&e, &choice);
        CHECK(dipp_prompt_table_create(e.models, prompts, PROMPTS, &table, error));
        dipp_status status = dipp_align_create(e.models, table, &settings, &report, &align, &why);
        assert_int_equal(status, trial ? DIPP_E_MEMORY : DIPP_OK);
        if (trial)
            assert_non_null(strstr(why.message, "\"text of tower\""));
        else
            assert_string_equal(report.peak_program, "text of tower");
        settings.memory_limit = report.arena_bytes - 1;
        settings.recompute = DIPP_RECOMPUTE_NONE;
        dipp_align_destroy(&align);
        dipp_prompt_table_destroy(&table);
        exact_close(&e);
    }
}

/* ---- Evaluation ---- */

static dipp_scorer *scorer_of(const exact *e, uint32_t batch)
{
    static const dipp_host host = {.struct_size = sizeof host};
    dipp_scorer *scorer = NULL;
    CHECK(dipp_scorer_create(e->backend, e->models->rewards[0].plugin, e->parameters[3], &host, NULL, NULL,
                             DIPP_SHAPE(D), batch, &scorer, error));
    return scorer;
}

static void kept_texts_change_no_bit_of_a_score(void **state)
{
    (void)state;
    enum { COUNT = 23 };
    static const char *const precisions[] = {"f64", "f32"};
    float samples[COUNT * D];
    const char *texts[COUNT];
    for (int i = 0; i < COUNT; i++) {
        texts[i] = prompts[i / 4 % PROMPTS];
        for (int k = 0; k < D; k++)
            samples[i * D + k] = (float)sin(3 * i + k);
    }
    for (int p = 0; p < 2; p++)
        for (uint32_t batch = 1; batch < 40; batch += 6) {
            exact apart, joined;
            double a[COUNT], b[COUNT], again[COUNT];
            exact_choice one = choice_of("tower", precisions[p]), two = choice_of("tower-whole", precisions[p]);
            exact_open(&apart, &one);
            exact_open(&joined, &two);
            dipp_scorer *kept = scorer_of(&apart, batch), *whole = scorer_of(&joined, batch);
            CHECK(dipp_scorer_score(kept, samples, texts, COUNT, a, error));
            CHECK(dipp_scorer_score(whole, samples, texts, COUNT, b, error));
            assert_memory_equal(a, b, sizeof a);
            dipp_scorer_destroy(&kept);
            kept = scorer_of(&apart, batch);
            CHECK(dipp_scorer_learn(kept, prompts, PROMPTS, error));
            for (int round = 0; round < 2; round++) {
                CHECK(dipp_scorer_score(kept, samples, texts, COUNT, again, error));
                assert_memory_equal(a, again, sizeof a);
            }
            assert_int_equal(dipp_scorer_text_bytes(kept, 3), 3 * 4 * (p ? sizeof(float) : sizeof(double)));
            assert_int_equal(dipp_scorer_text_bytes(whole, 3), 0);
            assert_true(a[0] != a[4] && a[4] != a[8]);
            dipp_scorer_destroy(&kept);
            dipp_scorer_destroy(&whole);
            exact_close(&apart);
            exact_close(&joined);
        }
}

/* ---- The cache by itself ---- */

typedef struct reader {
    exact e;
    dipp_text_cache *cache;
    dipp_program *program;
    dipp_plan *plan;
    dipp_executable *run;
} reader;

/* A program that gives back what it is told of two texts. */
static void open_reader(reader *r, size_t limit)
{
    exact_choice choice = choice_of("tower", NULL);
    dipp_graph *g = NULL;
    *r = (reader){.cache = NULL};
    exact_open(&r->e, &choice);
    CHECK(dipp_text_cache_create(&r->e.models->rewards[0], r->e.backend, 2, limit, NULL, 0, &r->cache, error));
    CHECK(dipp_graph_create("reader", &g, error));
    dipp_condition c = dipp_text_cache_inputs(r->cache, g, "told");
    assert_int_equal(c.count, 1);
    dipp_output(g, "back", c.parts[0]);
    CHECK(dipp_program_create(&g, r->e.backend, &r->program, error));
    CHECK(dipp_plan_create(r->e.backend, &r->plan, error));
    CHECK(dipp_text_cache_plan(r->cache, r->plan, error));
    CHECK(dipp_plan_step(r->plan, r->program, 0, error));
    CHECK(dipp_plan_solve(r->plan, 0, NULL, error));
    CHECK(dipp_plan_allocate(r->plan, error));
    CHECK(dipp_text_cache_bind(r->cache, r->plan, error));
    CHECK(dipp_executable_create(r->plan, r->program, NULL, 0, &r->run, error));
}

static void close_reader(reader *r)
{
    dipp_text_cache_destroy(&r->cache);
    dipp_executable_destroy(&r->run);
    dipp_program_destroy(&r->program);
    dipp_plan_destroy(&r->plan);
    exact_close(&r->e);
}

static void ask(reader *r, const char *a, const char *b, double out[8])
{
    const char *pair[] = {a, b};
    CHECK(dipp_text_cache_write(r->cache, r->run, "told", pair, b ? 2 : 1, error));
    dipp_execute(r->run, 0);
    CHECK(dipp_executable_read(r->run, "back", out, DIPP_HOST_F64, 8, error));
}

/* Room for three texts: whatever is asked, in whatever order, it gives what a large one gives. */
static void a_full_cache_forgets_and_goes_on(void **state)
{
    (void)state;
    reader small, large;
    char texts[40][8];
    double a[8], b[8];
    open_reader(&small, 3 * 4 * sizeof(double));
    open_reader(&large, DIPP_TEXT_CACHE_BYTES);
    for (int i = 0; i < 40; i++)
        snprintf(texts[i], sizeof texts[i], "t%c%c", 'a' + i % 26, 'A' + i / 26);
    assert_int_equal(dipp_text_cache_bytes(small.cache, 40), 3 * 4 * sizeof(double));
    assert_int_equal(dipp_text_cache_bytes(large.cache, 40), 40 * 4 * sizeof(double));
    assert_true(dipp_text_cache_flops(small.cache) == TEXT_FLOPS);
    uint32_t state_of = 12345;
    for (int round = 0; round < 400; round++) {
        state_of = state_of * 1664525u + 1013904223u;
        const char *first = texts[state_of >> 16 & 7], *second = round % 3 ? texts[state_of >> 20 & 31] : NULL;
        ask(&small, first, second, a);
        ask(&large, first, second, b);
        assert_memory_equal(a, b, sizeof a);
        if (!second) /* rows beyond repeat the first */
            assert_memory_equal(a, a + 4, 4 * sizeof *a);
    }
    const char *all[40];
    for (int i = 0; i < 40; i++)
        all[i] = texts[i];
    CHECK(dipp_text_cache_learn(small.cache, all, 40, error)); /* as far as there is room */
    ask(&small, texts[39], texts[0], a);
    ask(&large, texts[39], texts[0], b);
    assert_memory_equal(a, b, sizeof a);
    close_reader(&small);
    close_reader(&large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kept_texts_change_no_bit_of_a_run),
        cmocka_unit_test(an_iteration_encodes_no_text),
        cmocka_unit_test(a_run_goes_on_to_the_bit),
        cmocka_unit_test(what_a_tokenizer_refuses_ends_the_run),
        cmocka_unit_test(an_encoder_that_does_not_fit_is_refused),
        cmocka_unit_test(kept_texts_change_no_bit_of_a_score),
        cmocka_unit_test(a_full_cache_forgets_and_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
