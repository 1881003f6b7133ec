/* Plugin `imagereward` through its own door, against the published ImageReward (make_imagereward_fixture.py in
 * tests/fixtures): tokens, scores in each mode, gradients by the picture and by every weight, the published file's
 * tensors; and, where the published weights are, the published scores. test_nn_imagereward FILE. */
#include "../shared_data.h"
#include "fixture.h"
#include "instance.h"
#include "replay.h"

#include "data/image.h"
#include "train/models.h"
#include "train/scorer.h"
#include "weights/writer.h"

#include <dlfcn.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

enum { PROMPTS = 4, LENGTH = 35, SHAPES = 3, VOCABULARY = 232 /* lines of the fixture's vocab.txt */ };

static const char *const prompts[PROMPTS] = {
    "a photo of the cat", "", "Two red cats, on the un-painted table!",
    "a picture of the dog and the cat and the dog and the cat and the dog and the cat and the dog and the cat and the "
    "dog and the cat and the dog and the cat"};
static const struct {
    int height, width;
} shapes[SHAPES] = {{19, 23}, {50, 18}, {16, 16}};

#define TINY                                                                                                     \
    "network=own", "size=16", "patch=4", "vision_width=12", "vision_layers=2", "vision_heads=3", "text_width=8", \
        "text_layers=3", "text_heads=2", "vocabulary=" DIPP_FIXTURE_FOLDER "/tokenizers/vocab.txt"

static const char *plugin_file;
static const dipp_plugin *plugin;
static const dipp_reward *reward;
static dipp_weights *fixture;
static char weights_path[] = "/tmp/dipp-imagereward-XXXXXX";

#define MUST(call)                                     \
    do {                                               \
        dipp_error error_ = {0};                       \
        if ((call) != DIPP_OK)                         \
            fail_msg("%s: %s", #call, error_.message); \
    } while (0)

static void create(instance *i, const char *const *assignments, uint32_t count)
{
    dipp_error error = {0};
    if (instance_create(plugin, assignments, count, i, &error) != DIPP_OK)
        fail_msg("%s", error.message);
}

static void create_tiny(instance *i)
{
    static const char *const assignments[] = {TINY};
    create(i, assignments, sizeof assignments / sizeof *assignments);
}

/* ---- Recording --------------------------------------------------------------------------------------------------- */

static dipp_tensor record(replay *r, instance *i, int64_t n, int64_t height, int64_t width, dipp_reward_mode mode,
                          dipp_tensor *pictures)
{
    dipp_graph *g = r->graph;
    *pictures = dipp_input(g, "pictures", DIPP_WIDE, DIPP_SHAPE(n, 3, height, width));
    dipp_prompt text = {dipp_input(g, "tokens", DIPP_INT32, DIPP_SHAPE(n, LENGTH)),
                        dipp_input(g, "mask", DIPP_WIDE, DIPP_SHAPE(n, LENGTH))};
    return reward->record(i->self, g, r->slot, *pictures, text, mode);
}

/* The picture of a shape in [0, 1], as many times as there are prompts: [PROMPTS, 3, H, W]. */
static double *pictures_of(int shape)
{
    char name[64];
    int height = shapes[shape].height, width = shapes[shape].width;
    size_t pixels = (size_t)(height * width);
    snprintf(name, sizeof name, "picture.%dx%d", height, width);
    double *noise = malloc(3 * pixels * sizeof *noise), *out = malloc(PROMPTS * 3 * pixels * sizeof *out);
    assert_non_null(noise);
    assert_non_null(out);
    fixture_noise(name, 1.0, noise, 3 * pixels);
    for (size_t k = 0; k < PROMPTS * 3 * pixels; k++)
        out[k] = floor(128 * (noise[k % pixels * 3 + k / pixels % 3] + 1)) / 255;
    free(noise);
    return out;
}

static char *key_of(const char *what, int shape, char out[64])
{
    snprintf(out, 64, "%s.%dx%d", what, shapes[shape].height, shapes[shape].width);
    return out;
}

static void write_inputs(replay *r, int shape)
{
    double *ids = fixture_get(fixture, "ids", PROMPTS * LENGTH), *mask = fixture_get(fixture, "mask", PROMPTS * LENGTH);
    double *pictures = pictures_of(shape);
    replay_write_ids(r, "tokens", ids, PROMPTS * LENGTH);
    replay_write(r, "mask", mask, PROMPTS * LENGTH);
    replay_write(r, "pictures", pictures, (size_t)(PROMPTS * 3 * shapes[shape].height * shapes[shape].width));
    free(ids);
    free(mask);
    free(pictures);
}

/* ---- Weights ----------------------------------------------------------------------------------------------------- */

/* weight() of make_imagereward_fixture.py. */
static void weight(const dipp_layout_entry *entry, float *out)
{
    size_t count = (size_t)entry->elements, length = strlen(entry->name);
    bool vector = entry->shape.rank == 1, gain = vector && !strcmp(entry->name + length - 6, "weight");
    double *noise = malloc(count * sizeof *noise);
    assert_non_null(noise);
    double scale = gain                     ? 0.25
                   : vector                 ? 0.1
                   : entry->shape.rank == 3 ? 0.5
                                            : sqrt(3.0 / (double)(entry->elements / entry->shape.dims[0]));
    fixture_noise(entry->name, scale, noise, count);
    for (size_t k = 0; k < count; k++)
        out[k] = (float)(gain ? 1 + noise[k] : noise[k]);
    free(noise);
}

/* The tiny network's file, with what the published file has beside and no score reads. */
static void write_weights(const dipp_layout *layout)
{
    static const float unread[256] = {0};
    static const int64_t positions[LENGTH] = {0};
    uint32_t count = dipp_layout_count(layout);
    float **numbers = calloc(count, sizeof *numbers);
    dipp_weights_writer *writer = NULL;
    assert_non_null(numbers);
    MUST(dipp_weights_writer_create(weights_path, &writer, &error_));
    for (uint32_t i = 0; i < count; i++) {
        const dipp_layout_entry *entry = dipp_layout_entry_at(layout, i);
        uint64_t shape[DIPP_MAX_RANK] = {0};
        for (uint32_t k = 0; k < entry->shape.rank; k++)
            shape[k] = (uint64_t)entry->shape.dims[k];
        numbers[i] = malloc((size_t)entry->elements * sizeof **numbers);
        assert_non_null(numbers[i]);
        weight(entry, numbers[i]);
        MUST(dipp_weights_writer_add_f32(writer, entry->name, DIPP_WEIGHT_F32, entry->shape.rank, shape, numbers[i],
                                         &error_));
    }
    MUST(dipp_weights_writer_add_f32(writer, "blip.vision_proj.bias", DIPP_WEIGHT_F32, 1, (uint64_t[]){256}, unread,
                                     &error_));
    MUST(dipp_weights_writer_add(writer, "blip.text_encoder.embeddings.position_ids", DIPP_WEIGHT_I64, 2,
                                 (uint64_t[]){1, LENGTH}, positions, &error_));
    MUST(dipp_weights_writer_commit(&writer, &error_));
    for (uint32_t i = 0; i < count; i++)
        free(numbers[i]);
    free(numbers);
}

static int set_up(void **state)
{
    (void)state;
    void *library = dlopen(plugin_file, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        fail_msg("%s", dlerror());
    dipp_plugin_entry entry;
    *(void **)&entry = dlsym(library, DIPP_PLUGIN_ENTRY_NAME);
    assert_non_null(entry);
    uint32_t count = 0;
    plugin = entry(&count)[0];
    assert_int_equal(count, 1);
    reward = plugin->vtable;
    fixture = fixture_open(DIPP_FIXTURE_FOLDER "/imagereward.safetensors");

    int descriptor = mkstemp(weights_path);
    assert_true(descriptor >= 0);
    close(descriptor);
    instance i;
    replay r;
    dipp_tensor pictures;
    create_tiny(&i);
    replay_begin(&r, "imagereward");
    record(&r, &i, 1, 16, 16, DIPP_REWARD_TRAIN, &pictures);
    MUST(dipp_graph_status(r.graph, &error_));
    uint32_t words;
    assert_true(dipp_layout_find(r.layout, "blip.text_encoder.embeddings.word_embeddings.weight", &words));
    assert_int_equal(dipp_layout_entry_at(r.layout, words)->shape.dims[0], VOCABULARY + 2); /* [DEC] and [ENC] */
    write_weights(r.layout);
    replay_end(&r);
    instance_destroy(plugin, &i);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(weights_path);
    dipp_weights_destroy(&fixture);
    return 0;
}

static void load(replay *r)
{
    MUST(dipp_weights_read_sets(weights_path, "model", &r->set, 1, &error_));
}

/* ---- Tests ------------------------------------------------------------------------------------------------------- */

static void prompts_become_the_published_tokens(void **state)
{
    (void)state;
    instance i;
    int32_t tokens[PROMPTS * LENGTH];
    float mask[PROMPTS * LENGTH];
    double *ids = fixture_get(fixture, "ids", PROMPTS * LENGTH), *ones = fixture_get(fixture, "mask", PROMPTS * LENGTH);
    create_tiny(&i);
    MUST(reward->tokenize(i.self, prompts, PROMPTS, tokens, mask, &error_));
    for (int k = 0; k < PROMPTS * LENGTH; k++) {
        assert_int_equal(tokens[k], (int)ids[k]);
        assert_int_equal((int)mask[k], (int)ones[k]);
    }
    assert_int_equal((int)ones[PROMPTS * LENGTH - 1], 1); /* the last prompt is cut */
    instance_destroy(plugin, &i);
    free(ids);
    free(ones);
}

/* Relative to each score, of which the smallest is 0.15. */
static void compare_scores(const char *what, const double *found, const double *expected, double tolerance)
{
    for (int k = 0; k < PROMPTS; k++)
        if (!(fabs(found[k] - expected[k]) <= tolerance * fabs(expected[k])))
            fail_msg("%s, prompt %d: %.12g, expected %.12g", what, k, found[k], expected[k]);
}

/* From a file of weights, pictures of three shapes and prompts, in batches of three, so that the last one is padded. */
static void compare_official(const char *backend_name, const char *precision, double tolerance)
{
    dipp_backend_options options = {.struct_size = sizeof options, .threads = 1, .precision = precision};
    dipp_host host = {.struct_size = sizeof host};
    dipp_backend *backend = NULL;
    dipp_scorer *scorer = NULL;
    instance i;
    create_tiny(&i);
    MUST(dipp_backend_create(backend_name, &options, &backend, &error_));
    MUST(dipp_scorer_create(backend, plugin, i.parameters, &host, weights_path, NULL, DIPP_SHAPE(3, 5, 7), 3, &scorer,
                            &error_));
    for (int shape = 0; shape < SHAPES; shape++) {
        int height = shapes[shape].height, width = shapes[shape].width;
        size_t numbers = (size_t)(PROMPTS * 3 * height * width);
        char key[64];
        double scores[PROMPTS], *pictures = pictures_of(shape);
        float *samples = malloc(numbers * sizeof *samples);
        assert_non_null(samples);
        for (size_t k = 0; k < numbers; k++)
            samples[k] = (float)pictures[k];
        MUST(dipp_scorer_reshape(scorer, DIPP_SHAPE(3, height, width), &error_));
        MUST(dipp_scorer_score(scorer, samples, prompts, PROMPTS, scores, &error_));
        double *official = fixture_get(fixture, key_of("official", shape, key), PROMPTS);
        compare_scores(key, scores, official, tolerance);
        free(official);
        double *published = fixture_get(fixture, key_of("published", shape, key), PROMPTS);
        compare_scores(key, scores, published, 1e-5); /* what the package itself gives, in float32 */
        free(published);
        free(samples);
        free(pictures);
    }
    dipp_scorer_destroy(&scorer);
    dipp_backend_destroy(&backend);
    instance_destroy(plugin, &i);
}

/* sum |a - b|^2 over sum |b|^2 for each prompt's gradient. */
static void compare_gradients(const char *what, const double *found, const double *expected, size_t each,
                              double tolerance)
{
    for (size_t k = 0; k < PROMPTS; k++) {
        double gap = 0, size = 0;
        for (size_t j = k * each; j < (k + 1) * each; j++) {
            gap += (found[j] - expected[j]) * (found[j] - expected[j]);
            size += expected[j] * expected[j];
        }
        if (!(sqrt(gap) <= tolerance * sqrt(size)))
            fail_msg("%s, prompt %zu: relative distance %g", what, k, sqrt(gap / size));
    }
}

static void compare_alignment(const char *backend, const char *precision, double score_tolerance,
                              double gradient_tolerance)
{
    for (int shape = 0; shape < SHAPES; shape++) {
        size_t each = (size_t)(3 * shapes[shape].height * shapes[shape].width);
        replay r;
        instance i;
        dipp_tensor pictures, gradient;
        char key[64];
        create_tiny(&i);
        replay_begin(&r, "imagereward");
        replay_on(&r, backend, precision);
        dipp_tensor y =
            record(&r, &i, PROMPTS, shapes[shape].height, shapes[shape].width, DIPP_REWARD_ALIGN, &pictures);
        const double one = 1;
        dipp_tensor dy = dipp_broadcast_to(r.graph, dipp_constant(r.graph, DIPP_SHAPE(1), &one), DIPP_SHAPE(PROMPTS));
        dipp_gradients(r.graph, 1, &y, &dy, 1, &pictures, &gradient);
        dipp_output(r.graph, "y", y);
        dipp_output(r.graph, "gradient", gradient);
        replay_prepare(&r);
        load(&r);
        write_inputs(&r, shape);
        replay_run(&r);
        double *expected = fixture_get(fixture, key_of("align", shape, key), PROMPTS);
        double *found = replay_read(&r, "y", PROMPTS);
        compare_scores(key, found, expected, score_tolerance);
        free(expected);
        free(found);
        expected = fixture_get(fixture, key_of("gradient", shape, key), PROMPTS * each);
        found = replay_read(&r, "gradient", PROMPTS * each);
        compare_gradients(key, found, expected, each, gradient_tolerance);
        free(expected);
        free(found);
        replay_end(&r);
        instance_destroy(plugin, &i);
    }
}

static void compare_training(const char *backend, const char *precision, double tolerance)
{
    replay r;
    instance i;
    dipp_tensor pictures;
    double probe[PROMPTS];
    create_tiny(&i);
    replay_begin(&r, "imagereward");
    replay_on(&r, backend, precision);
    dipp_tensor y = record(&r, &i, PROMPTS, shapes[0].height, shapes[0].width, DIPP_REWARD_TRAIN, &pictures);
    dipp_tensor seed = dipp_input(r.graph, "seed", DIPP_WIDE, DIPP_SHAPE(PROMPTS));
    dipp_gradients(r.graph, 1, &y, &seed, 0, NULL, NULL);
    dipp_output(r.graph, "y", y);
    replay_prepare(&r);
    load(&r);
    write_inputs(&r, 0);
    fixture_noise("probe", 1.0, probe, PROMPTS);
    replay_write(&r, "seed", probe, PROMPTS);
    replay_run(&r);
    replay_compare_output(&r, fixture, "train", "y", PROMPTS, tolerance);
    replay_compare_weights(&r, fixture, "train", 20 * tolerance);
    replay_end(&r);
    instance_destroy(plugin, &i);
}

static void the_published_scorer_is_met(void **state)
{
    (void)state;
    compare_official("reference", "f64", 1e-9);
    compare_alignment("reference", "f64", 1e-9, 1e-9);
    compare_training("reference", "f64", 1e-8);
}

static void so_it_is_on_the_cpu_back_end(void **state)
{
    (void)state;
    if (!replay_available("cpu", "f32"))
        skip();
    compare_official("cpu", "f32", 1e-5);
    compare_alignment("cpu", "f32", 1e-5, 1e-4);
    compare_training("cpu", "f32", 1e-5);
}

/* A vocabulary of `words` lines in a new file. */
static void write_vocabulary(char *path, int words)
{
    static const char *const special[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
    int descriptor = mkstemp(path);
    FILE *file = descriptor < 0 ? NULL : fdopen(descriptor, "w");
    assert_non_null(file);
    for (int i = 0; i < words; i++)
        if (i < 5)
            fprintf(file, "%s\n", special[i]);
        else
            fprintf(file, "word%d\n", i);
    fclose(file);
}

static void the_published_file_fits(void **state)
{
    (void)state;
    char path[] = "/tmp/dipp-vocabulary-XXXXXX", assignment[64];
    write_vocabulary(path, 30522);
    snprintf(assignment, sizeof assignment, "vocabulary=%s", path);
    instance i;
    replay r;
    dipp_tensor pictures;
    create(&i, (const char *const[]){assignment}, 1);
    unlink(path);
    dipp_reward_info info = {.struct_size = sizeof info};
    assert_int_equal(reward->info(i.self, &info, NULL), DIPP_OK);
    assert_int_equal(info.token_length, LENGTH);
    replay_begin(&r, "imagereward");
    record(&r, &i, 2, 512, 512, DIPP_REWARD_EVALUATE, &pictures);
    MUST(dipp_graph_status(r.graph, &error_));
    replay_compare_manifest(&r, fixture, "read");
    double *whole = fixture_get(fixture, "manifest.file", 4);
    assert_true(whole[1] - 446665953 == 0);
    assert_int_equal(dipp_layout_parameters(r.layout), 446665953 - (1024 * 256 + 256) - (768 * 256 + 256));
    free(whole);
    replay_end(&r);
    instance_destroy(plugin, &i);
}

static void what_does_not_fit_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *assignments[3], *text;
    } cases[] = {
        {{"vocabulary=" DIPP_FIXTURE_FOLDER "/tokenizers/vocab.txt"}, "wants the 30522 word pieces"},
        {{"vocabulary=/nowhere/vocab.txt"}, "imagereward: vocabulary"},
        {{"vocabulary=" DIPP_FIXTURE_FOLDER "/tokenizers/vocab.txt", "network=own", "length=1"}, "length"},
        {{"vocabulary=" DIPP_FIXTURE_FOLDER "/tokenizers/vocab.txt", "network=own", "patch=7"}, "patch 7"},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        instance i;
        dipp_error error = {0};
        uint32_t count = 0;
        while (count < 3 && cases[k].assignments[count])
            count++;
        assert_int_not_equal(instance_create(plugin, cases[k].assignments, count, &i, &error), DIPP_OK);
        if (!strstr(error.message, cases[k].text))
            fail_msg("case %zu says: %s", k, error.message);
        instance_destroy(plugin, &i);
    }
}

/* The four pictures and scores of the published README. */
static void published_weights_give_published_scores(void **state)
{
    (void)state;
    static const char *const prompt = "a painting of an ocean with clouds and birds, day time, low depth field effect";
    static const double expected[4] = {0.5811622738838196, 0.2745276093482971, -1.4131819009780884, -2.029569625854492};
    char weights[SHARED_PATH_BYTES], path[SHARED_PATH_BYTES], assignment[SHARED_PATH_BYTES + 16];
    real_weights_or_skip("ImageReward.pt", weights);
    if (!replay_available("cpu", "f32"))
        skip();
    shared_data_or_skip("vocab/bert_uncased_vocab.txt", path);
    snprintf(assignment, sizeof assignment, "vocabulary=%s", path);
    dipp_backend_options options = {.struct_size = sizeof options, .precision = "f32"};
    dipp_host host = {.struct_size = sizeof host};
    dipp_backend *backend = NULL;
    dipp_scorer *scorer = NULL;
    instance i;
    create(&i, (const char *const[]){assignment}, 1);
    MUST(dipp_backend_create("cpu", &options, &backend, &error_));
    for (int k = 0; k < 4; k++) {
        dipp_image image = {0};
        char name[64];
        double score = NAN;
        snprintf(name, sizeof name, "images/imagereward_%d.webp", k + 1);
        shared_data_or_skip(name, path);
        MUST(dipp_image_read(path, &image, &error_));
        size_t pixels = (size_t)image.width * (size_t)image.height;
        float *planes = malloc(3 * pixels * sizeof *planes);
        assert_non_null(planes);
        for (size_t j = 0; j < 3 * pixels; j++)
            planes[j] = (float)image.pixels[j % pixels * 3 + j / pixels] / 255;
        if (!scorer) /* the four are of one size */
            MUST(dipp_scorer_create(backend, plugin, i.parameters, &host, weights, NULL,
                                    DIPP_SHAPE(3, image.height, image.width), 1, &scorer, &error_));
        MUST(dipp_scorer_score(scorer, planes, &prompt, 1, &score, &error_));
        print_message("picture %d: %.6f, published %.6f\n", k + 1, score, expected[k]);
        assert_true(fabs(score - expected[k]) <= 0.02);
        free(planes);
        dipp_image_clear(&image);
    }
    dipp_scorer_destroy(&scorer);
    dipp_backend_destroy(&backend);
    instance_destroy(plugin, &i);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prompts_become_the_published_tokens),
        cmocka_unit_test(the_published_scorer_is_met),
        cmocka_unit_test(so_it_is_on_the_cpu_back_end),
        cmocka_unit_test(the_published_file_fits),
        cmocka_unit_test(what_does_not_fit_is_named),
        cmocka_unit_test(published_weights_give_published_scores),
    };
    plugin_file = argc > 1 ? argv[1] : "";
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
