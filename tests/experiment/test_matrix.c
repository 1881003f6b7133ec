#include "catalog.h"
#include "base/memory.h"
#include "experiment/experiment.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#define HEAD "name: x\nreference: {plugin: dit}\ngenerator: {plugin: dit}\n"

struct loaded {
    dipp_diagnostics *diagnostics;
    dipp_experiment *experiment;
    const dipp_cell *cells;
    size_t count;
};

static void finish(struct loaded *l, dipp_status status)
{
    if (status != DIPP_OK)
        fail_msg("%s", dipp_diagnostics_text(l->diagnostics));
    l->cells = dipp_experiment_cells(l->experiment, &l->count);
}

static struct loaded parse(const char *text, const char *const *overrides, size_t count)
{
    struct loaded l = {.diagnostics = dipp_diagnostics_create()};
    finish(&l, dipp_experiment_parse("e.yaml", text, strlen(text), overrides, count, &test_catalog, l.diagnostics,
                                     &l.experiment, NULL));
    return l;
}

static struct loaded load(const char *path, const char *const *overrides, size_t count)
{
    struct loaded l = {.diagnostics = dipp_diagnostics_create()};
    finish(&l, dipp_experiment_load(path, overrides, count, &test_catalog, l.diagnostics, &l.experiment, NULL));
    return l;
}

static void release(struct loaded *l)
{
    dipp_experiment_destroy(&l->experiment);
    dipp_diagnostics_destroy(&l->diagnostics);
}

static void refuse(const char *text, const char *const *overrides, size_t count, const char *words)
{
    dipp_diagnostics *diagnostics = dipp_diagnostics_create();
    dipp_experiment *experiment = NULL;
    assert_int_equal(dipp_experiment_parse("e.yaml", text, strlen(text), overrides, count, &test_catalog, diagnostics,
                                           &experiment, NULL),
                     DIPP_E_INVALID);
    if (!strstr(dipp_diagnostics_text(diagnostics), words))
        fail_msg("wanted `%s` in:\n%s", words, dipp_diagnostics_text(diagnostics));
    dipp_diagnostics_destroy(&diagnostics);
}

static const char *source_of(const dipp_cell *cell, const char *key)
{
    for (size_t i = 0; i < cell->value_count; i++)
        if (!strcmp(cell->values[i].key, key))
            return cell->values[i].source;
    return "(absent)";
}

static void arms_and_seeds_expand_in_order(void **state)
{
    (void)state;
    struct loaded l = load("golden/emoji.yaml", NULL, 0);
    static const char *const arms[] = {"none", "cfg-only", "reward", "cfg+reward"};
    assert_int_equal(l.count, 12);
    for (size_t i = 0; i < l.count; i++) {
        assert_string_equal(l.cells[i].arm, arms[i / 3]);
        assert_int_equal(l.cells[i].seed, i % 3);
        assert_int_equal(l.cells[i].point, i / 3);
        assert_string_equal(l.cells[i].sha256, l.cells[i / 3 * 3].sha256);
        for (size_t j = 0; j < i / 3 * 3; j++)
            assert_string_not_equal(l.cells[i].sha256, l.cells[j].sha256);
    }
    const dipp_config *config = l.cells[11].config;
    assert_true(dipp_config_float(config, "align.cfg_omega") == 3.0);
    assert_int_equal(dipp_config_int(config, "align.steps"), 120);
    assert_string_equal(dipp_config_string(config, "align.ta.init"), "stage1");
    assert_string_equal(dipp_config_string(config, "align.ta.time.law"), "log_normal");
    assert_true(dipp_config_bool(config, "evaluate.use_ema"));
    assert_int_equal(dipp_config_length(config, "rewards"), 1);
    assert_int_equal(dipp_config_length(config, "evaluate.metrics"), 5);
    assert_string_equal(dipp_config_node(config, "evaluate.metrics[4]")->text, "diversity");
    assert_string_equal(dipp_config_string(config, "rewards[0].plugin"), "border");
    assert_false(dipp_config_has(config, "align.ema.decay"));
    assert_false(dipp_config_has(config, "pretrain.steps"));
    assert_true(dipp_parameters_float(dipp_config_parameters(config, "generator.params"), "sigma_init") == 2.5);
    assert_int_equal(dipp_parameters_int(dipp_config_parameters(config, "rewards[0].params"), "width"), 4);
    assert_null(dipp_config_parameters(config, "align.ta.params"));
    assert_int_equal(dipp_config_length(l.cells[0].config, "rewards"), 0);
    assert_string_equal(dipp_experiment_name(l.experiment), "emoji-rewards");
    assert_string_equal(dipp_experiment_baseline(l.experiment), "cfg-only");
    assert_null(dipp_experiment_description(l.experiment));
    assert_string_equal(source_of(&l.cells[11], "align.cfg_omega"), "arm cfg+reward (golden/emoji.yaml:12)");
    assert_string_equal(source_of(&l.cells[11], "align.steps"), "golden/emoji.yaml:6");
    assert_string_equal(source_of(&l.cells[11], "align.micro_batch"), "default");
    assert_string_equal(source_of(&l.cells[11], "rewards[0].scale"), "arm cfg+reward (golden/emoji.yaml:12)");
    release(&l);
}

static void grid_and_zip_multiply(void **state)
{
    (void)state;
    struct loaded l = parse(HEAD "seeds: 2\n"
                                 "arms: {a: {align.cfg_omega: 2}, b: }\n"
                                 "grid: {align.batch: [32, 64], align.optimizer.name: [sgd, adamw]}\n"
                                 "zip: {align.steps: [10, 20], align.ta.updates: [1, 2]}\n"
                                 "exclude: [{arm: a, align.batch: 64}, {align.optimizer.name: sgd, align.steps: 20}]\n",
                            NULL, 0);
    static const char *const arms[] = {"a/align.batch=32,align.optimizer.name=sgd,align.steps=10,align.ta.updates=1",
                                       "a/align.batch=32,align.optimizer.name=adamw,align.steps=10,align.ta.updates=1",
                                       "a/align.batch=32,align.optimizer.name=adamw,align.steps=20,align.ta.updates=2",
                                       "b/align.batch=32,align.optimizer.name=sgd,align.steps=10,align.ta.updates=1",
                                       "b/align.batch=32,align.optimizer.name=adamw,align.steps=10,align.ta.updates=1",
                                       "b/align.batch=32,align.optimizer.name=adamw,align.steps=20,align.ta.updates=2",
                                       "b/align.batch=64,align.optimizer.name=sgd,align.steps=10,align.ta.updates=1",
                                       "b/align.batch=64,align.optimizer.name=adamw,align.steps=10,align.ta.updates=1",
                                       "b/align.batch=64,align.optimizer.name=adamw,align.steps=20,align.ta.updates=2"};
    assert_int_equal(l.count, 18);
    for (size_t i = 0; i < l.count; i++)
        assert_string_equal(l.cells[i].arm, arms[i / 2]);
    assert_string_equal(l.cells[17].base_arm, "b");
    assert_int_equal(dipp_config_int(l.cells[17].config, "align.batch"), 64);
    assert_int_equal(dipp_config_int(l.cells[17].config, "align.ta.updates"), 2);
    assert_string_equal(source_of(&l.cells[17], "align.batch"), "grid (e.yaml:6)");
    assert_string_equal(source_of(&l.cells[17], "align.steps"), "zip (e.yaml:7)");
    release(&l);
}

static void without_arms_there_is_one(void **state)
{
    (void)state;
    struct loaded l = parse(HEAD, NULL, 0);
    assert_int_equal(l.count, 1);
    assert_string_equal(l.cells[0].arm, "default");
    assert_int_equal(l.cells[0].seed, 0);
    release(&l);
    l = parse(HEAD "grid: {align.batch: [1, 2]}\nbaseline: align.batch=2\nseeds: [7]\n", NULL, 0);
    assert_int_equal(l.count, 2);
    assert_string_equal(l.cells[1].arm, "align.batch=2");
    assert_string_equal(l.cells[1].base_arm, "default");
    assert_int_equal(l.cells[1].seed, 7);
    release(&l);
    l = parse(HEAD
              "rewards: [{plugin: border}]\narms:\n  low: {\"rewards[0].scale\": 0.5}\n  far: {reference: {params: "
              "{width: 8}}}\n",
              NULL, 0);
    assert_true(dipp_config_float(l.cells[0].config, "rewards[0].scale") == 0.5);
    assert_true(dipp_config_float(l.cells[1].config, "rewards[0].scale") == 1.0);
    assert_int_equal(dipp_parameters_int(dipp_config_parameters(l.cells[1].config, "reference.params"), "width"), 8);
    release(&l);
}

static void the_key_knows_what_matters(void **state)
{
    (void)state;
    struct loaded base = parse(HEAD "align: {batch: 8, cfg_omega: 3}\n", NULL, 0);
    static const char *const same[] = {
        "generator: {plugin: dit}\nalign: {cfg_omega: 3.0, batch: 0x8}\nreference: {plugin: dit}\nname: y\n",
        HEAD "align: {batch: 8, cfg_omega: 3}\nseeds: [5]\n",
        HEAD "align: {batch: 8, cfg_omega: 3}\nthreads: 2\ndevice: cpu\noutput: a.db\ndescription: d\n",
        HEAD "align: {batch: 8, cfg_omega: 3, checkpoint_every: 7, log_every: 9}\n",
        "name: x\nreference: {plugin: dit, weights: a, params: {vocabulary: v}}\n"
        "generator: {plugin: dit, init: w, params: {head: edm}}\nalign: {batch: 8, cfg_omega: 3.0e0, micro_batch: "
        "0}\n"};
    static const char *const other[] = {
        HEAD "align: {batch: 9, cfg_omega: 3}\n", HEAD "align: {batch: 8, cfg_omega: 3}\nprecision: f32\n",
        HEAD "align: {batch: 8, cfg_omega: 3}\nrewards: [{plugin: border}]\n",
        "name: x\nreference: {plugin: dit, params: {width: 64}}\ngenerator: {plugin: dit}\n"
        "align: {batch: 8, cfg_omega: 3}\n"};
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        struct loaded l = parse(same[i], NULL, 0);
        assert_string_equal(l.cells[0].key_json, base.cells[0].key_json);
        assert_string_equal(l.cells[0].sha256, base.cells[0].sha256);
        release(&l);
    }
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        struct loaded l = parse(other[i], NULL, 0);
        assert_string_not_equal(l.cells[0].sha256, base.cells[0].sha256);
        release(&l);
    }
    release(&base);
}

static void a_cell_is_an_experiment_file_of_its_own(void **state)
{
    (void)state;
    struct loaded l = load("golden/emoji.yaml", NULL, 0);
    for (size_t i = 0; i < l.count; i++) {
        struct loaded again = parse(l.cells[i].json, NULL, 0);
        assert_int_equal(again.count, 1);
        assert_string_equal(again.cells[0].json, l.cells[i].json);
        assert_string_equal(again.cells[0].sha256, l.cells[i].sha256);
        release(&again);
    }
    release(&l);
}

static void files_extend_files(void **state)
{
    (void)state;
    struct loaded l = load("golden/child.yaml", NULL, 0);
    assert_string_equal(dipp_experiment_name(l.experiment), "child");
    assert_int_equal(l.count, 2);
    const dipp_config *config = l.cells[0].config;
    assert_int_equal(dipp_config_int(config, "align.steps"), 10);
    assert_int_equal(dipp_config_int(config, "align.batch"), 16);
    assert_true(dipp_config_float(config, "align.optimizer.lr") == 2e-3);
    assert_true(dipp_config_float(config, "align.optimizer.clip") == 5);
    assert_int_equal(dipp_config_length(config, "rewards"), 0);
    assert_string_equal(source_of(&l.cells[0], "align.batch"), "golden/more.yaml:1");
    assert_string_equal(source_of(&l.cells[0], "align.optimizer.lr"), "golden/child.yaml:3");
    size_t rows, columns;
    dipp_parameters_list_shape(dipp_config_parameters(config, "reference.params"), "means", &rows, &columns);
    assert_true(rows == 2 && columns == 2);
    release(&l);
}

static void overrides_win_over_everything(void **state)
{
    (void)state;
    static const char *const overrides[] = {"align.steps=7",           "seeds=1",
                                            "rewards[0].scale=2.5",    "~align.batch",
                                            "evaluate.metrics=[a, b]", "prompts.split='1'"};
    struct loaded l = load("golden/emoji.yaml", overrides, 6);
    assert_int_equal(l.count, 4);
    for (size_t i = 0; i < l.count; i++) {
        const dipp_config *config = l.cells[i].config;
        assert_int_equal(dipp_config_int(config, "align.steps"), 7);
        assert_int_equal(dipp_config_int(config, "align.batch"), 64);
        assert_string_equal(source_of(&l.cells[i], "align.batch"), "default");
        assert_string_equal(source_of(&l.cells[i], "align.steps"), "override #1 \"align.steps=7\"");
        assert_true(dipp_config_length(config, "rewards") == 0 || dipp_config_float(config, "rewards[0].scale") == 2.5);
        assert_int_equal(dipp_config_length(config, "evaluate.metrics"), 2);
        assert_string_equal(dipp_config_string(config, "prompts.split"), "1");
    }
    release(&l);
    const char *const no_arms[] = {"~arms", "~baseline"};
    l = load("golden/emoji.yaml", no_arms, 2);
    assert_int_equal(l.count, 3);
    assert_string_equal(l.cells[0].arm, "default");
    release(&l);
    const char *const levelling = "align.cfg_omega=2";
    refuse(HEAD "arms: {a: {align.cfg_omega: 3}, b: {align.cfg_omega: 4}}\n", &levelling, 1,
           "`a` and `b` are the same configuration");
}

static void a_matrix_has_limits(void **state)
{
    (void)state;
    refuse(HEAD "seeds: 0\n", NULL, 0, "the seeds do not fit");
    refuse(HEAD "seeds: 1000000\n", NULL, 0, "the seeds do not fit");
    refuse(HEAD "seeds: []\n", NULL, 0, "the seeds do not fit");
    refuse(HEAD "grid: {align.batch: [1, 1]}\n", NULL, 0,
           "`align.batch=1` and `align.batch=1` are the same configuration");
    refuse(HEAD "exclude: [{align.steps: 1000}]\n", NULL, 0, "nothing is left to run");
    refuse(HEAD "baseline: other\n", NULL, 0, "there is no arm `other`");
    char text[20000], *end = text;
    end += sprintf(end, HEAD "grid:\n");
    for (int i = 0; i < 3; i++) {
        end += sprintf(end, "  %s: [0", i == 0 ? "align.ta.updates" : i == 1 ? "align.ta.warmup" : "evaluate.every");
        for (int j = 1; j < 100; j++)
            end += sprintf(end, ", %d", j);
        end += sprintf(end, "]\n");
    }
    refuse(text, NULL, 0, "too many combinations");
    end = text;
    end += sprintf(end, HEAD "seeds: 90000\ngrid: {align.ta.updates: [1, 2]}\n");
    refuse(text, NULL, 0, "the matrix of runs is too large");
}

static void one_sample_has_no_diversity(void **state)
{
    (void)state;
    static const char *const overrides[] = {"evaluate.samples=1"};
    refuse(HEAD "evaluate: {samples: 1, metrics: [glyph, diversity]}\n", NULL, 0,
           "one sample of a prompt has no diversity, which evaluate.metrics asks for");
    refuse(HEAD "evaluate: {samples: 4, metrics: [diversity]}\n", overrides, 1, "has no diversity");
    refuse(HEAD "evaluate: {metrics: [diversity]}\narms: {a: {evaluate.samples: 1}}\n", NULL, 0, "has no diversity");
    struct loaded l = parse(HEAD "evaluate: {samples: 2, metrics: [diversity]}\n", NULL, 0);
    release(&l);
    l = parse(HEAD "evaluate: {samples: 1, metrics: [glyph]}\n", NULL, 0);
    release(&l);
}

static void what_has_no_effect_is_told(void **state)
{
    (void)state;
    struct loaded l = parse(HEAD "align: {time: {law: uniform, mean: 3}}\nexclude: [{arm: none}]\n"
                                 "pretrain: {steps: 3}\n",
                            NULL, 0);
    const char *said = dipp_diagnostics_text(l.diagnostics);
    assert_int_equal(dipp_diagnostics_warnings(l.diagnostics), 3);
    assert_non_null(strstr(said, "`align.time.mean` has no effect here"));
    assert_non_null(strstr(said, "it takes effect when align.time.law=log_normal"));
    assert_non_null(strstr(said, "`pretrain.steps` has no effect here"));
    assert_non_null(strstr(said, "this excludes nothing"));
    release(&l);
    /* Within a list a key hangs on its own record. */
    l = parse(HEAD "rewards: [{plugin: border, from: 0.5}, {plugin: border, schedule: linear, from: 0.5, ramp: 7}]\n",
              NULL, 0);
    said = dipp_diagnostics_text(l.diagnostics);
    assert_int_equal(dipp_diagnostics_warnings(l.diagnostics), 1);
    assert_non_null(strstr(said, "`rewards[0].from` has no effect here"));
    assert_false(dipp_config_has(l.cells[0].config, "rewards[0].from"));
    assert_true(dipp_config_float(l.cells[0].config, "rewards[1].from") == 0.5);
    assert_true(dipp_config_float(l.cells[0].config, "rewards[1].to") == 1);
    assert_int_equal(dipp_config_int(l.cells[0].config, "rewards[1].ramp"), 7);
    release(&l);
}

static void other_stages_have_other_keys(void **state)
{
    (void)state;
    struct loaded l = parse(
        "name: p\nstage: pretrain\nreference: {plugin: dit}\npretrain: {steps: 5, ema: {half_life_images: 1e4}}\n",
        NULL, 0);
    assert_int_equal(dipp_config_int(l.cells[0].config, "pretrain.steps"), 5);
    assert_true(dipp_config_float(l.cells[0].config, "pretrain.ema.half_life_images") == 1e4);
    assert_false(dipp_config_has(l.cells[0].config, "align.steps"));
    assert_false(dipp_config_has(l.cells[0].config, "generator.plugin"));
    release(&l);
    refuse("name: p\nstage: pretrain-generator\nreference: {plugin: dit}\n", NULL, 0, "`generator.plugin` is missing");
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    const char *const overrides[] = {"align.steps=7", "~align.batch"};
    /* Arenas allocate in chunks, so few allocations are made; all of them are tried. */
    for (uint64_t nth = 1;; nth++) {
        dipp_memory_fail_nth(nth, true);
        dipp_diagnostics *diagnostics = dipp_diagnostics_create();
        dipp_experiment *experiment = NULL;
        dipp_status status = diagnostics ? dipp_experiment_load("golden/emoji.yaml", overrides, 2, &test_catalog,
                                                                diagnostics, &experiment, NULL)
                                         : DIPP_E_MEMORY;
        bool failed = dipp_memory_has_failed();
        dipp_memory_fail_nth(0, false);
        assert_int_equal(status, failed ? DIPP_E_MEMORY : DIPP_OK);
        dipp_experiment_destroy(&experiment);
        dipp_diagnostics_destroy(&diagnostics);
        if (!failed)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arms_and_seeds_expand_in_order),
        cmocka_unit_test(grid_and_zip_multiply),
        cmocka_unit_test(without_arms_there_is_one),
        cmocka_unit_test(the_key_knows_what_matters),
        cmocka_unit_test(a_cell_is_an_experiment_file_of_its_own),
        cmocka_unit_test(files_extend_files),
        cmocka_unit_test(overrides_win_over_everything),
        cmocka_unit_test(a_matrix_has_limits),
        cmocka_unit_test(one_sample_has_no_diversity),
        cmocka_unit_test(what_has_no_effect_is_told),
        cmocka_unit_test(other_stages_have_other_keys),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
