/* The plugins hps, pickscore, clipscore and aesthetic against the published scorers' code on tiny random networks
 * (tests/fixtures/make_reward_fixture.py): scores with all preprocessing, and gradients to the pictures. The files of weights
 * are PyTorch's own, in open_clip's layout, and safetensors in transformers'. Then the tensors of the full-size networks. */
#include "fixture.h"
#include "replay.h"
#include "train/models.h"
#include "train/scorer.h"
#include "train/scores.h"
#include "weights/original_names.h"
#include "weights/writer.h"

#include <dlfcn.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#define REWARDS DIPP_FIXTURE_FOLDER "/rewards/"
#define WORDS   DIPP_FIXTURE_FOLDER "/tokenizers/"

enum { N = 2, H = 18, W = 14, PICTURES = N * 3 * H * W, MOST_SCORES = N * N };
/* What a network in single precision is allowed; in double precision the differences are the fixture's own rounding. */
static const double score_tolerance = 1e-5, gradient_tolerance = 1e-4, exact_tolerance = 1e-7;

static const char *const prompts[N] = {"A photo of you, with the words!",
                                       "you've been with the cat that sat on the mat 1234567890 and they were"};

typedef enum scoring { EVALUATE, ALIGN, TRAIN, CONTRAST } scoring;

typedef struct reward_case {
    const char *name; /* in the fixture */
    const char *plugin;
    const char *file;          /* of weights */
    const char *parameters[6]; /* beside the sizes */
    bool evaluates;            /* false: the fixture has the differentiable path alone */
    bool gradient;
    scoring differentiable;
} reward_case;

#define OPEN_CLIP    REWARDS "open_clip.pt"
#define TRANSFORMERS REWARDS "transformers.safetensors"
#define BPE          "vocabulary=" WORDS "bpe.txt.gz"
#define JSON         "vocabulary=" WORDS "vocab.json", "merges=" WORDS "merges.txt"

static const reward_case cases[] = {
    {"hps", "hps", OPEN_CLIP, {BPE}, true, true, ALIGN},
    {"hps.letterbox", "hps", OPEN_CLIP, {BPE, "fit=letterbox", "kernel=bicubic_plain"}, false, true, ALIGN},
    {"hps.antialias", "hps", OPEN_CLIP, {BPE, "official_kernel=bicubic"}, true, false, ALIGN},
    {"hps.antialias.letterbox", "hps", OPEN_CLIP, {BPE, "fit=letterbox"}, false, true, ALIGN},
    {"hps.train", "hps", OPEN_CLIP, {BPE}, false, false, TRAIN},
    {"hps.contrast", "hps", OPEN_CLIP, {BPE}, false, true, CONTRAST},
    {"pickscore", "pickscore", TRANSFORMERS, {JSON}, true, true, ALIGN},
    {"clipscore.hessel", "clipscore", OPEN_CLIP, {BPE, "variant=hessel", "activation=quick_gelu"}, true, true, ALIGN},
    {"clipscore.torchmetrics", "clipscore", TRANSFORMERS, {JSON, "variant=torchmetrics"}, true, false, ALIGN},
    {"clipscore.dmd2", "clipscore", OPEN_CLIP, {BPE, "variant=dmd2"}, true, false, ALIGN},
    {"clipscore.sid", "clipscore", OPEN_CLIP, {BPE, "variant=sid"}, true, false, ALIGN},
    {"clipscore.imagereward",
     "clipscore",
     OPEN_CLIP,
     {BPE, "variant=imagereward", "activation=quick_gelu"},
     true,
     false,
     ALIGN},
    {"clipscore.diffusion_dpo", "clipscore", OPEN_CLIP, {BPE, "variant=diffusion_dpo"}, true, false, ALIGN},
    {"clipscore.reno", "clipscore", TRANSFORMERS, {JSON, "variant=reno"}, true, false, ALIGN},
    {"aesthetic.sac_logos_ava1", "aesthetic", OPEN_CLIP, {"activation=quick_gelu"}, true, true, ALIGN},
    {"aesthetic.relu", "aesthetic", OPEN_CLIP, {"activation=quick_gelu", "head=relu"}, true, true, ALIGN},
    {"aesthetic.v1", "aesthetic", OPEN_CLIP, {"activation=quick_gelu", "head=v1"}, true, true, ALIGN},
};

static const char *const sizes[] = {"network=own",     "joint=6",         "size=12",        "patch=4",
                                    "vision_width=12", "vision_layers=3", "vision_heads=3", "text_width=8",
                                    "text_layers=2",   "text_heads=2",    "length=16"};

/* ---- Instances ------------------------------------------------------------------------------------------------------ */

typedef struct reward {
    void *library;
    const dipp_plugin *plugin;
    const dipp_reward *vtable;
    dipp_parameters *parameters;
    void *self;
    dipp_reward_info info;
} reward;

static bool has_row(const dipp_plugin *plugin, const char *assignment)
{
    for (uint32_t i = 0; i < plugin->parameter_count; i++) {
        size_t length = strlen(plugin->parameters[i].key);
        if (!strncmp(plugin->parameters[i].key, assignment, length) && assignment[length] == '=')
            return true;
    }
    return false;
}

/* texts: NULL-terminated; own: the sizes above are among the parameters. */
static void open_reward(reward *r, const char *name, const char *const *texts, bool own)
{
    const char *assignments[32];
    uint32_t count = 0, plugins = 0;
    dipp_error error = {0};
    *r = (reward){.library = dlopen(getenv("DIPP_CLIP_PLUGINS"), RTLD_NOW | RTLD_LOCAL)};
    if (!r->library)
        fail_msg("%s", dlerror());
    dipp_plugin_entry entry;
    *(void **)&entry = dlsym(r->library, DIPP_PLUGIN_ENTRY_NAME);
    const dipp_plugin *const *list = entry(&plugins);
    for (uint32_t i = 0; i < plugins; i++)
        if (!strcmp(list[i]->name, name))
            r->plugin = list[i];
    assert_non_null(r->plugin);
    r->vtable = r->plugin->vtable;
    for (size_t i = 0; own && i < sizeof sizes / sizeof *sizes; i++)
        if (has_row(r->plugin, sizes[i]))
            assignments[count++] = sizes[i];
    for (; *texts; texts++)
        assignments[count++] = *texts;
    dipp_host host = {.struct_size = sizeof host};
    if (dipp_parameters_create_from_text(r->plugin->parameters, r->plugin->parameter_count, assignments, count,
                                         &r->parameters, &error) ||
        r->vtable->create(r->parameters, &host, &r->self, &error))
        fail_msg("%s: %s", name, error.message);
    r->info.struct_size = sizeof r->info;
    assert_int_equal(r->vtable->info(r->self, &r->info, &error), DIPP_OK);
}

static void close_reward(reward *r)
{
    r->vtable->destroy(r->self);
    dipp_parameters_destroy(&r->parameters);
    dlclose(r->library);
}

/* ---- Numbers ----------------------------------------------------------------------------------------------------------- */

/* The heads' tensors by name, as the fixture's script makes them: path becomes a file with one head. */
static void write_head(char *path, const char *head)
{
    static const struct {
        const char *head, *layers[5];
        uint64_t widths[6];
    } layouts[] = {
        {"sac_logos_ava1",
         {"layers.0.", "layers.2.", "layers.4.", "layers.6.", "layers.7."},
         {6, 1024, 128, 64, 16, 1}},
        {"relu", {"layers.0.", "layers.3.", "layers.6.", "layers.9.", "layers.11."}, {6, 1024, 128, 64, 16, 1}},
        {"v1", {""}, {6, 1}}};
    dipp_error error = {0};
    dipp_weights_writer *writer = NULL;
    float *parts[10] = {NULL};
    size_t which = 0, used = 0;
    int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    close(descriptor);
    while (strcmp(layouts[which].head, head) != 0)
        which++;
    assert_int_equal(dipp_weights_writer_create(path, &writer, &error), DIPP_OK);
    for (int i = 0; i < 5 && layouts[which].layers[i]; i++)
        for (int bias = 0; bias < 2; bias++) {
            const uint64_t shape[2] = {layouts[which].widths[i + 1], layouts[which].widths[i]};
            size_t count = (size_t)(bias ? shape[0] : shape[0] * shape[1]);
            char name[32];
            double *numbers = malloc(count * sizeof *numbers);
            float *part = parts[used++] = malloc(count * sizeof *part);
            assert_true(numbers && part);
            snprintf(name, sizeof name, "%s%s", layouts[which].layers[i], bias ? "bias" : "weight");
            fixture_weight(name, bias ? 1 : 2, numbers, count);
            for (size_t k = 0; k < count; k++)
                part[k] = (float)numbers[k];
            free(numbers);
            assert_int_equal(
                dipp_weights_writer_add_f32(writer, name, DIPP_WEIGHT_F32, bias ? 1 : 2, shape, part, &error), DIPP_OK);
        }
    assert_int_equal(dipp_weights_writer_commit(&writer, &error), DIPP_OK);
    for (size_t i = 0; i < used; i++)
        free(parts[i]);
}

static dipp_prompt text_inputs(const reward *w, dipp_graph *g)
{
    if (!w->info.token_length)
        return (dipp_prompt){0};
    dipp_shape shape = DIPP_SHAPE(N, w->info.token_length);
    return (dipp_prompt){dipp_input(g, "tokens", DIPP_INT32, shape), dipp_input(g, "mask", DIPP_WIDE, shape)};
}

static dipp_tensor record(const reward *w, replay *r, scoring what, dipp_tensor pictures)
{
    dipp_prompt text = text_inputs(w, r->graph);
    if (what == CONTRAST)
        return w->vtable->contrast(w->self, r->graph, r->slot, pictures,
                                   w->vtable->encode_text(w->self, r->graph, r->slot, text));
    return dipp_record_scores(w->vtable, w->self, r->graph, r->slot, pictures, text,
                              what == EVALUATE ? DIPP_REWARD_EVALUATE
                              : what == TRAIN  ? DIPP_REWARD_TRAIN
                                               : DIPP_REWARD_ALIGN);
}

static void write_prompts(const reward *w, replay *r)
{
    size_t count = (size_t)N * w->info.token_length;
    dipp_error error = {0};
    if (!count)
        return;
    int32_t *ids = malloc(count * sizeof *ids);
    float *mask = malloc(count * sizeof *mask);
    double *wide = malloc(2 * count * sizeof *wide);
    assert_true(ids && mask && wide);
    if (w->vtable->tokenize(w->self, prompts, N, ids, mask, &error))
        fail_msg("%s", error.message);
    for (size_t i = 0; i < count; i++) {
        wide[i] = ids[i];
        wide[count + i] = mask[i];
    }
    replay_write_ids(r, "tokens", wide, count);
    replay_write(r, "mask", wide + count, count);
    free(ids);
    free(mask);
    free(wide);
}

/* |a - b| over |b|, of all numbers together. */
static void compare(const char *what, const double *a, const double *b, size_t count, double tolerance)
{
    double difference = 0, size = 0;
    for (size_t i = 0; i < count; i++) {
        difference += (a[i] - b[i]) * (a[i] - b[i]);
        size += b[i] * b[i];
    }
    if (!(sqrt(difference) <= tolerance * sqrt(size)))
        fail_msg("%s: off by %.3g of its size, allowed are %.0e", what, sqrt(difference / size), tolerance);
}

static void compare_scores(replay *r, const dipp_weights *expected, const reward_case *c, scoring what, size_t count,
                           double tolerance)
{
    char key[96];
    snprintf(key, sizeof key, "%s.%s", c->name, what == EVALUATE ? "evaluate" : "align");
    double *wanted = fixture_get(expected, key, count), *found = replay_read(r, "y", count);
    for (size_t i = 0; i < count; i++) /* each by itself: a score of 0 is exactly 0 */
        compare(key, &found[i], &wanted[i], 1, tolerance);
    free(wanted);
    free(found);
}

static void compare_gradient(replay *r, const dipp_weights *expected, const reward_case *c, double tolerance)
{
    char key[96];
    snprintf(key, sizeof key, "%s.gradient", c->name);
    double *wanted = fixture_get(expected, key, PICTURES), *found = replay_read(r, "gradient", PICTURES);
    compare(key, found, wanted, PICTURES, tolerance);
    free(wanted);
    free(found);
}

/* file NULL: the case's own. saved: where to write the parameters once they are read, or NULL. */
static void check(const reward_case *c, scoring what, const char *backend, const char *precision, const char *file,
                  const char *saved)
{
    bool exact = !strcmp(precision, "f64");
    dipp_weights *expected = fixture_open(REWARDS "expected.safetensors");
    char head[] = "/tmp/dipp-head-XXXXXX";
    bool with_head = !strcmp(c->plugin, "aesthetic");
    dipp_error error = {0};
    reward w;
    replay r;
    open_reward(&w, c->plugin, c->parameters, true);
    replay_begin(&r, c->name);
    replay_on(&r, backend, precision);
    dipp_tensor pictures = dipp_input(r.graph, "pictures", DIPP_WIDE, DIPP_SHAPE(N, 3, H, W)), gradient;
    dipp_tensor y = record(&w, &r, what, pictures);
    dipp_shape shape = dipp_shape_of(r.graph, y);
    dipp_tensor dy = dipp_input(r.graph, "seed", DIPP_WIDE, shape);
    dipp_output(r.graph, "y", dipp_scale_add(r.graph, y, 1, 0));
    dipp_gradients(r.graph, 1, &y, &dy, 1, &pictures, &gradient);
    dipp_output(r.graph, "gradient", gradient);
    replay_prepare(&r);
    if (with_head)
        write_head(head, dipp_parameters_string(w.parameters, "head"));
    if (dipp_weights_read_with_head(file ? file : c->file, with_head ? head : NULL, r.set, &error))
        fail_msg("%s: %s", c->name, error.message);
    if (saved && dipp_weights_write_sets(saved, (const dipp_parameter_set *const[]){r.set}, 1, false, NULL, &error))
        fail_msg("%s", error.message);
    size_t count = (size_t)dipp_shape_elements(&shape);
    double *input = fixture_get(expected, "pictures", PICTURES), probe[MOST_SCORES];
    assert_true(count <= MOST_SCORES);
    fixture_noise("probe", 1.0, probe, count);
    replay_write(&r, "pictures", input, PICTURES);
    replay_write(&r, "seed", probe, count);
    write_prompts(&w, &r);
    replay_run(&r);
    compare_scores(&r, expected, c, what, count, exact && what != EVALUATE ? exact_tolerance : score_tolerance);
    if (what != EVALUATE && c->gradient)
        compare_gradient(&r, expected, c, exact ? exact_tolerance : gradient_tolerance);
    free(input);
    if (with_head)
        unlink(head);
    replay_end(&r);
    close_reward(&w);
    dipp_weights_destroy(&expected);
}

static void check_all(const char *backend, const char *precision)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (cases[i].evaluates)
            check(&cases[i], EVALUATE, backend, precision, NULL, NULL);
        check(&cases[i], cases[i].differentiable, backend, precision, NULL, NULL);
    }
}

static void the_oracle_meets_the_published_scorers(void **state)
{
    (void)state;
    check_all("reference", "f64");
    check_all("reference", "f32");
}

static void the_cpu_back_end_meets_them(void **state)
{
    (void)state;
    if (!replay_available("cpu", "f32"))
        skip();
    check_all("cpu", "f32");
}

/* What was read from open_clip's layout and written in transformers' gives the same scores again. */
static void a_written_file_is_the_same_reward(void **state)
{
    (void)state;
    char path[] = "/tmp/dipp-reward-XXXXXX";
    int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    close(descriptor);
    check(&cases[0], ALIGN, "reference", "f64", NULL, path);
    check(&cases[0], ALIGN, "reference", "f64", path, NULL);
    unlink(path);
}

/* A config.json gives the sizes and the activation. */
static void a_config_sets_the_network(void **state)
{
    (void)state;
    static const char text[] =
        "{\"projection_dim\":6,\"text_config\":{\"hidden_size\":8,\"intermediate_size\":32,\"num_hidden_layers\":2,"
        "\"num_attention_heads\":2,\"vocab_size\":775,\"max_position_embeddings\":16,\"hidden_act\":\"gelu\"},"
        "\"vision_config\":{\"hidden_size\":12,\"intermediate_size\":48,\"num_hidden_layers\":3,"
        "\"num_attention_heads\":3,\"image_size\":12,\"patch_size\":4,\"hidden_act\":\"gelu\"}}";
    char path[] = "/tmp/dipp-config-XXXXXX", parameter[64];
    int descriptor = mkstemp(path);
    assert_int_equal(write(descriptor, text, sizeof text - 1), sizeof text - 1);
    close(descriptor);
    snprintf(parameter, sizeof parameter, "config=%s", path);
    reward_case with_config = {"pickscore", "pickscore", TRANSFORMERS, {JSON, parameter}, true, true, ALIGN};
    check(&with_config, ALIGN, "reference", "f64", NULL, NULL);
    unlink(path);
}

/* ---- Full size ------------------------------------------------------------------------------------------------------------ */

/* A character below U+0800 as UTF-8. */
static void put(FILE *file, int character)
{
    if (character > 127)
        fputc(0xC0 | character >> 6, file);
    fputc(character > 127 ? 0x80 | (character & 0x3F) : character, file);
}

/* A vocabulary as large as CLIP's: 48,894 merges of two symbols of a byte each. */
static void write_vocabulary(char *path)
{
    static const char *const ends[] = {"", "</w>"};
    int written = 0, descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    FILE *file = fdopen(descriptor, "w");
    assert_non_null(file);
    fprintf(file, "#version: 0.2");
    for (int end = 0; end < 2; end++)
        for (int a = 33; a < 256; a++)
            for (int b = 33; b < 256; b++) {
                bool symbols = (a < 127 || a > 160) && (b < 127 || b > 160) && a != 173 && b != 173;
                if (!symbols || written++ >= 48894)
                    continue;
                fputc('\n', file);
                put(file, a);
                fputc(' ', file);
                put(file, b);
                fputs(ends[end], file);
            }
    fclose(file);
}

static void check_manifest(const char *plugin, const char *const *parameters, const char *network)
{
    dipp_weights *manifests = fixture_open(DIPP_FIXTURE_FOLDER "/clip.safetensors");
    dipp_error error = {0};
    reward w;
    replay r;
    open_reward(&w, plugin, parameters, false);
    replay_begin(&r, plugin);
    record(&w, &r, ALIGN, dipp_input(r.graph, "pictures", DIPP_WIDE, DIPP_SHAPE(N, 3, 512, 512)));
    if (dipp_graph_status(r.graph, &error))
        fail_msg("%s: %s", plugin, error.message);
    if (network)
        replay_compare_manifest(&r, manifests, network);
    else /* the picture's half of L/14, and the head */
        assert_int_equal(dipp_layout_parameters(r.layout), 303966208 + 927969);
    if (network && !strcmp(network, "h14")) { /* open_clip's file has 686, three of its matrices in one */
        uint32_t names = 0;
        for (uint32_t i = 0; i < dipp_layout_count(r.layout); i++) {
            const dipp_block_counts none = {.decoder = 0};
            dipp_original_name original;
            assert_true(dipp_original_name_of(dipp_layout_entry_at(r.layout, i)->name, &none, 0, &original));
            names += original.part == 0;
        }
        assert_int_equal(names, 686);
    }
    replay_end(&r);
    close_reward(&w);
    dipp_weights_destroy(&manifests);
}

static void full_size_networks_have_the_published_tensors(void **state)
{
    (void)state;
    static const char *const variants[][2] = {{"hessel", "b32"}, {"torchmetrics", "l14"}, {"dmd2", "g14"},
                                              {"sid", "g14"},    {"imagereward", "l14"},  {"diffusion_dpo", "h14"},
                                              {"reno", "h14"}};
    char path[] = "/tmp/dipp-words-XXXXXX", vocabulary[64];
    write_vocabulary(path);
    snprintf(vocabulary, sizeof vocabulary, "vocabulary=%s", path);
    check_manifest("hps", (const char *const[]){vocabulary, NULL}, "h14");
    check_manifest("pickscore", (const char *const[]){vocabulary, NULL}, "h14");
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
        char variant[64];
        snprintf(variant, sizeof variant, "variant=%s", variants[i][0]);
        check_manifest("clipscore", (const char *const[]){vocabulary, variant, NULL}, variants[i][1]);
    }
    check_manifest("aesthetic", (const char *const[]){NULL}, NULL);
    unlink(path);
}

/* ---- Pictures of several sizes by one scorer ------------------------------------------------------------------------- */

/* The same scores as by a scorer for that size alone, whatever came between; features of texts are kept. */
static void a_scorer_takes_one_size_after_another(void **state)
{
    (void)state;
    enum { COUNT = 3, MOST = 3 * 20 * 20 };
    static const int64_t shapes[][2] = {{18, 14}, {12, 12}, {7, 20}, {18, 14}};
    static const dipp_host host = {.struct_size = sizeof host};
    static const char *const parameters[] = {BPE, NULL}, *const texts[COUNT] = {"A photo of you", "", "A photo of you"};
    dipp_backend *backend = NULL;
    dipp_scorer *scorer = NULL;
    dipp_error error = {0};
    reward w;
    double noise[COUNT * MOST];
    float samples[COUNT * MOST];
    fixture_noise("pictures", 0.5, noise, COUNT * MOST);
    for (size_t k = 0; k < COUNT * MOST; k++)
        samples[k] = (float)(noise[k] + 0.5);
    open_reward(&w, "hps", parameters, true);
    assert_int_equal(dipp_backend_create("reference", NULL, &backend, &error), DIPP_OK);
    assert_int_equal(dipp_scorer_create(backend, w.plugin, w.parameters, &host, OPEN_CLIP, NULL, DIPP_SHAPE(3, 9, 9), 2,
                                        &scorer, &error),
                     DIPP_OK);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        dipp_scorer *alone = NULL;
        double scores[COUNT], expected[COUNT];
        dipp_shape shape = DIPP_SHAPE(3, shapes[i][0], shapes[i][1]);
        assert_int_equal(dipp_scorer_reshape(scorer, shape, &error), DIPP_OK);
        assert_int_equal(dipp_scorer_score(scorer, samples, texts, COUNT, scores, &error), DIPP_OK);
        assert_int_equal(
            dipp_scorer_create(backend, w.plugin, w.parameters, &host, OPEN_CLIP, NULL, shape, 2, &alone, &error),
            DIPP_OK);
        assert_int_equal(dipp_scorer_score(alone, samples, texts, COUNT, expected, &error), DIPP_OK);
        assert_memory_equal(scores, expected, sizeof scores);
        assert_true(scores[0] != scores[1] && scores[0] != scores[2]);
        dipp_scorer_destroy(&alone);
    }
    assert_int_not_equal(dipp_scorer_reshape(scorer, DIPP_SHAPE(4, 9, 9), &error), DIPP_OK); /* four channels */
    dipp_scorer_destroy(&scorer);
    dipp_backend_destroy(&backend);
    close_reward(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_scorer_takes_one_size_after_another),
                                       cmocka_unit_test(the_oracle_meets_the_published_scorers),
                                       cmocka_unit_test(the_cpu_back_end_meets_them),
                                       cmocka_unit_test(a_written_file_is_the_same_reward),
                                       cmocka_unit_test(a_config_sets_the_network),
                                       cmocka_unit_test(full_size_networks_have_the_published_tensors)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
