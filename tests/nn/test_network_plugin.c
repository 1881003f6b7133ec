/* A plugin that exports a network as reference and generator (dit, unet) through its descriptors, as the host uses it:
 * test_nn_network_plugin NAME FILE. */
#include "fixture.h"
#include "instance.h"
#include "replay.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

enum { N = 2, L = 4, PICTURE = 3 * 8 * 8 };

/* What is particular to a plugin here: parameters small enough for the oracle, and two mistakes. */
typedef struct subject {
    const char *name;
    const char *small[8];
    const char *text[3];
    const char *mistakes[2][3]; /* two assignments, then what the message must contain */
} subject;

static const subject subjects[] = {
    {.name = "dit",
     .small = {"size=8", "patch=4", "hidden=16", "layers=2", "heads=2"},
     .text = {"text_hidden=12", "text_heads=2", "learn_sigma=true"},
     .mistakes = {{"size=30", "patch=4", "patch 4 does not divide"}, {"hidden=160", "heads=7", "heads 7"}}},
    {.name = "unet",
     .small = {"size=8", "widths=[8, 12]", "heads=[2]", "groups=4", "down_blocks=[DownBlock2D, CrossAttnDownBlock2D]",
               "up_blocks=[CrossAttnUpBlock2D, UpBlock2D]"},
     .text = {"text_hidden=12", "text_heads=2", "linear_projection=true"},
     .mistakes = {{"widths=[8, 10]", "groups=4", "level 1 has 10 channels"},
                  {"widths=[8, 12]", "heads=[2, 5]", "level 1 has 5 heads"}}},
};

static const subject *current;
static const char *plugin_file;
static const dipp_plugin *reference_plugin, *generator_plugin;
static char vocabulary_path[] = "/tmp/dipp-test-vocabulary-XXXXXX";
static char vocabulary_assignment[64];

static int load(void **state)
{
    instance_load(plugin_file, &reference_plugin, &generator_plugin);
    int file = mkstemp(vocabulary_path);
    assert_true(file >= 0);
    static const char words[] = "<pad>\n<unknown>\nblue\ncat\nred\n";
    assert_int_equal(write(file, words, sizeof words - 1), sizeof words - 1);
    close(file);
    snprintf(vocabulary_assignment, sizeof vocabulary_assignment, "vocabulary=%s", vocabulary_path);
    return 0;
}

static int remove_vocabulary(void **state)
{
    return unlink(vocabulary_path);
}

/* The small network with up to eight assignments more, of which later ones win; NULL ends them. */
static void create(const dipp_plugin *plugin, instance *out, const char *const more[8])
{
    const char *assignments[16];
    dipp_error error = {0};
    uint32_t count = instance_join(current->small, more, assignments, 16);
    if (instance_create(plugin, assignments, count, out, &error) != DIPP_OK)
        fail_msg("%s", error.message);
}

#define MORE(...) ((const char *const[8]){__VA_ARGS__})

static void both_kinds_are_described(void **state)
{
    assert_int_equal(reference_plugin->kind, DIPP_PLUGIN_REFERENCE);
    assert_int_equal(generator_plugin->kind, DIPP_PLUGIN_GENERATOR);
    for (int i = 0; i < 2; ++i) {
        const dipp_plugin *plugin = i ? generator_plugin : reference_plugin;
        assert_string_equal(plugin->name, current->name);
        assert_string_equal(plugin->build_tag, DIPP_BUILD_TAG);
        assert_int_equal(plugin->struct_size, sizeof(dipp_plugin));
    }
}

static void parameterisations_bring_their_schedules(void **state)
{
    static const struct {
        const char *assignment;
        dipp_parameterisation parameterisation;
        dipp_schedule_kind kind;
    } cases[] = {{"parameterisation=edm", DIPP_PREDICTS_EDM, DIPP_SCHEDULE_VE},
                 {"parameterisation=eps", DIPP_PREDICTS_EPS, DIPP_SCHEDULE_DISCRETE},
                 {"parameterisation=v", DIPP_PREDICTS_V, DIPP_SCHEDULE_DISCRETE},
                 {"parameterisation=x0", DIPP_PREDICTS_X0, DIPP_SCHEDULE_DISCRETE},
                 {"parameterisation=flow", DIPP_PREDICTS_FLOW, DIPP_SCHEDULE_FLOW}};
    const dipp_reference *reference = reference_plugin->vtable;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        instance r, g;
        create(reference_plugin, &r, MORE(cases[i].assignment));
        create(generator_plugin, &g, MORE(cases[i].assignment));
        dipp_space space = {.struct_size = sizeof space};
        dipp_generator_info info = {.struct_size = sizeof info};
        assert_int_equal(reference->space(r.self, &space, NULL), DIPP_OK);
        assert_int_equal(((const dipp_generator *)generator_plugin->vtable)->info(g.self, &info, NULL), DIPP_OK);
        assert_int_equal(space.parameterisation, cases[i].parameterisation);
        assert_int_equal(space.schedule.kind, cases[i].kind);
        assert_true(space.schedule.t_min < space.schedule.t_max);
        assert_int_equal(space.token_length, 0);
        assert_true(space.images);
        assert_int_equal(info.parameterisation, cases[i].parameterisation);
        assert_true(dipp_shape_elements(&space.sample) == PICTURE && dipp_shape_elements(&info.sample) == PICTURE);
        assert_true(info.sigma_init == 2.5 && !info.unit_noise && !info.takes_noise);
        instance_destroy(reference_plugin, &r);
        instance_destroy(generator_plugin, &g);
    }
}

static void prompts_become_tokens(void **state)
{
    const dipp_reference *reference = reference_plugin->vtable;
    instance r;
    dipp_error error = {0};
    create(reference_plugin, &r, MORE(vocabulary_assignment, "token_length=4"));
    const char *const texts[] = {"", "Red, cat! unheard", "red red red red blue"};
    int32_t tokens[12];
    float mask[12];
    assert_int_equal(reference->tokenize(r.self, texts, 3, tokens, mask, &error), DIPP_OK);
    const int32_t ids[12] = {0, 0, 0, 0, 4, 3, 1, 0, 4, 4, 4, 4};
    const float valid[12] = {1, 0, 0, 0, 1, 1, 1, 0, 1, 1, 1, 1};
    assert_memory_equal(tokens, ids, sizeof ids);
    assert_memory_equal(mask, valid, sizeof valid);
    instance_destroy(reference_plugin, &r);

    create(reference_plugin, &r, MORE(NULL));
    assert_int_equal(reference->tokenize(r.self, texts, 3, tokens, mask, &error), DIPP_E_UNSUPPORTED);
    assert_non_null(strstr(error.message, "vocabulary"));
    instance_destroy(reference_plugin, &r);
}

static dipp_level level_inputs(dipp_graph *g)
{
    return (dipp_level){.t = dipp_input(g, "t", DIPP_WIDE, DIPP_SHAPE(N)),
                        .alpha = dipp_input(g, "alpha", DIPP_WIDE, DIPP_SHAPE(N)),
                        .sigma = dipp_input(g, "sigma", DIPP_WIDE, DIPP_SHAPE(N))};
}

/* Text -> condition -> prediction; the text matters where the mask says so and nowhere else. */
static void prediction_follows_the_text_and_ignores_padding(void **state)
{
    const dipp_reference *reference = reference_plugin->vtable;
    instance i;
    create(reference_plugin, &i,
           MORE(vocabulary_assignment, "token_length=4", current->text[0], current->text[1], current->text[2]));
    replay r;
    replay_begin(&r, "dit");
    dipp_graph *g = r.graph;
    dipp_tensor x = dipp_input(g, "x", DIPP_WIDE, DIPP_SHAPE(N, 3, 8, 8));
    dipp_prompt text = {.tokens = dipp_input(g, "tokens", DIPP_INT32, DIPP_SHAPE(N, L)),
                        .mask = dipp_input(g, "mask", DIPP_WIDE, DIPP_SHAPE(N, L))};
    dipp_condition c = reference->encode_text(i.self, g, dipp_scope(g, r.slot, "text"), text);
    assert_int_equal(c.count, 2);
    dipp_tensor y = reference->predict(i.self, g, dipp_scope(g, r.slot, "net"), x, level_inputs(g), c);
    dipp_tensor back = reference->encode(i.self, g, r.slot, reference->decode(i.self, g, r.slot, x));
    dipp_output(g, "picture", reference->decode(i.self, g, r.slot, x));
    dipp_output(g, "back", back);
    dipp_output(g, "y", y);
    assert_int_equal(dipp_dim(g, y, 1), 3); /* dit, learn_sigma: the variance logits are dropped */
    replay_prepare(&r);

    double numbers[N * PICTURE];
    fixture_noise("picture", 1.0, numbers, PICTURE);
    for (int k = 0; k < PICTURE; k++)
        numbers[PICTURE + k] = numbers[k]; /* both samples alike */
    replay_write(&r, "x", numbers, N * PICTURE);
    replay_write(&r, "t", (const double[]){0.2, 0.2}, N);
    replay_write(&r, "mask", (const double[]){1, 1, 0, 0, 1, 1, 0, 0}, N * L);
    replay_write_ids(&r, "tokens", (const double[]){4, 3, 0, 0, 4, 3, 2, 1}, N * L);
    replay_run(&r);
    double *found = replay_read(&r, "y", N * PICTURE);
    fixture_compare("padding", found, found + PICTURE, PICTURE, 1e-12);
    free(found);

    replay_write_ids(&r, "tokens", (const double[]){4, 3, 0, 0, 2, 3, 0, 0}, N * L);
    replay_run(&r);
    found = replay_read(&r, "y", N * PICTURE);
    double difference = 0;
    for (size_t k = 0; k < PICTURE; ++k)
        difference = fmax(difference, fabs(found[k] - found[k + PICTURE]));
    assert_true(difference > 1e-4);
    free(found);

    found = replay_read(&r, "back", N * PICTURE);
    fixture_compare("encode of decode", found, numbers, N * PICTURE, 1e-12);
    free(found);
    found = replay_read(&r, "picture", N * PICTURE);
    for (size_t k = 0; k < PICTURE; ++k)
        assert_true(fabs(found[k] - (numbers[k] / 2 + 0.5)) < 1e-12);
    free(found);
    replay_end(&r);
    instance_destroy(reference_plugin, &i);
}

/* EDM's and flow's t are near 1 and are multiplied by 1000 unless told otherwise; steps are left alone. */
static void time_is_scaled_as_the_parameterisation_needs(void **state)
{
    static const char *const choices[][2] = {{"parameterisation=edm", "time_scale=1000"},
                                             {"parameterisation=flow", "time_scale=1000"},
                                             {"parameterisation=eps", "time_scale=1"},
                                             {"parameterisation=v", "time_scale=1"}};
    const dipp_reference *reference = reference_plugin->vtable;
    for (size_t k = 0; k < sizeof choices / sizeof *choices; ++k) {
        instance unset, set, other;
        create(reference_plugin, &unset, MORE(choices[k][0]));
        create(reference_plugin, &set, MORE(choices[k][0], choices[k][1]));
        create(reference_plugin, &other, MORE(choices[k][0], "time_scale=30"));
        replay r;
        replay_begin(&r, current->name);
        dipp_graph *g = r.graph;
        dipp_tensor x = dipp_input(g, "x", DIPP_WIDE, DIPP_SHAPE(N, 3, 8, 8));
        dipp_level level = level_inputs(g);
        dipp_condition none = {.count = 0};
        dipp_output(g, "unset", reference->predict(unset.self, g, r.slot, x, level, none));
        dipp_output(g, "set", reference->predict(set.self, g, r.slot, x, level, none));
        dipp_output(g, "other", reference->predict(other.self, g, r.slot, x, level, none));
        replay_prepare(&r);
        double numbers[N * PICTURE];
        fixture_noise("picture", 1.0, numbers, N * PICTURE);
        replay_write(&r, "x", numbers, N * PICTURE);
        replay_write(&r, "t", (const double[]){0.2, 0.7}, N);
        replay_run(&r);
        double *found = replay_read(&r, "unset", N * PICTURE), *expected = replay_read(&r, "set", N * PICTURE);
        fixture_compare(choices[k][0], found, expected, N * PICTURE, 1e-12);
        double *elsewhere = replay_read(&r, "other", N * PICTURE), difference = 0;
        for (int i = 0; i < N * PICTURE; ++i)
            difference = fmax(difference, fabs(found[i] - elsewhere[i]));
        assert_true(difference > 1e-4);
        free(found);
        free(expected);
        free(elsewhere);
        replay_end(&r);
        instance_destroy(reference_plugin, &unset);
        instance_destroy(reference_plugin, &set);
        instance_destroy(reference_plugin, &other);
    }
}

/* So that a generator and a TA can start from the reference's weights. */
static void generator_has_the_tensors_of_the_reference(void **state)
{
    instance i, j;
    create(reference_plugin, &i, MORE(vocabulary_assignment, "token_length=4"));
    create(generator_plugin, &j, MORE(NULL));
    replay a, b;
    replay_begin(&a, "reference");
    replay_begin(&b, "generator");
    replay *both[2] = {&a, &b};
    for (int k = 0; k < 2; ++k) {
        dipp_graph *g = both[k]->graph;
        dipp_tensor x = dipp_input(g, "x", DIPP_WIDE, DIPP_SHAPE(N, 3, 8, 8));
        dipp_condition c = {.count = 2,
                            .parts = {dipp_input(g, "states", DIPP_WIDE, DIPP_SHAPE(N, L, 160)),
                                      dipp_input(g, "mask", DIPP_WIDE, DIPP_SHAPE(N, L))}};
        dipp_tensor y =
            k == 0
                ? ((const dipp_reference *)reference_plugin->vtable)->predict(i.self, g, a.slot, x, level_inputs(g), c)
                : ((const dipp_generator *)generator_plugin->vtable)
                      ->generate(j.self, g, b.slot, x, level_inputs(g), c);
        assert_int_not_equal(y.id, 0);
    }
    assert_int_equal(dipp_layout_count(a.layout), dipp_layout_count(b.layout));
    for (uint32_t k = 0; k < dipp_layout_count(a.layout); ++k)
        assert_string_equal(dipp_layout_entry_at(a.layout, k)->name, dipp_layout_entry_at(b.layout, k)->name);
    replay_end(&a);
    replay_end(&b);
    instance_destroy(reference_plugin, &i);
    instance_destroy(generator_plugin, &j);
}

static void mistakes_are_named(void **state)
{
    instance i;
    dipp_error error = {0};
    const dipp_plugin *plugins[2] = {reference_plugin, generator_plugin};
    for (int k = 0; k < 2; ++k) {
        const char *assignments[16];
        uint32_t count =
            instance_join(current->small, MORE(current->mistakes[k][0], current->mistakes[k][1]), assignments, 16);
        assert_int_equal(instance_create(plugins[k], assignments, count, &i, &error), DIPP_E_INVALID);
        if (!strstr(error.message, current->mistakes[k][2]))
            fail_msg("mistake %d says: %s", k, error.message);
        instance_destroy(plugins[k], &i);
    }
    const char *const missing[] = {"vocabulary=/nonexistent/words.txt"};
    assert_int_equal(instance_create(reference_plugin, missing, 1, &i, &error), DIPP_E_NOT_FOUND);
    assert_non_null(strstr(error.message, "vocabulary"));
    assert_non_null(strstr(error.message, "/nonexistent/words.txt"));
    instance_destroy(reference_plugin, &i);

    create(reference_plugin, &i, MORE(vocabulary_assignment));
    replay r;
    replay_begin(&r, "dit");
    dipp_tensor x = dipp_input(r.graph, "x", DIPP_WIDE, DIPP_SHAPE(N, 3, 8, 8));
    ((const dipp_reference *)reference_plugin->vtable)
        ->predict(i.self, r.graph, r.slot, x, level_inputs(r.graph), (dipp_condition){.count = 0});
    assert_int_not_equal(dipp_graph_status(r.graph, &error), DIPP_OK);
    assert_non_null(strstr(error.message, "null prompt"));
    replay_end(&r);
    instance_destroy(reference_plugin, &i);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: %s NAME FILE\n", argv[0]);
        return 2;
    }
    for (size_t i = 0; i < sizeof subjects / sizeof *subjects; ++i) {
        if (strcmp(subjects[i].name, argv[1]) == 0)
            current = &subjects[i];
    }
    if (!current) {
        fprintf(stderr, "there is no subject %s\n", argv[1]);
        return 2;
    }
    plugin_file = argv[2];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_kinds_are_described),
        cmocka_unit_test(parameterisations_bring_their_schedules),
        cmocka_unit_test(prompts_become_tokens),
        cmocka_unit_test(prediction_follows_the_text_and_ignores_padding),
        cmocka_unit_test(time_is_scaled_as_the_parameterisation_needs),
        cmocka_unit_test(generator_has_the_tensors_of_the_reference),
        cmocka_unit_test(mistakes_are_named),
    };
    return cmocka_run_group_tests(tests, load, remove_vocabulary);
}
