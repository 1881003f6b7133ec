/* Published weights of the rewards built on CLIP give the scores that were published with them, where the weights are
 * (DIPP_REAL_WEIGHTS, docs/reward-plugins.md). ImageReward's are in test_imagereward.c. */
#include "../shared_data.h"
#include "data/image.h"
#include "train/scorer.h"

#include <dipp/plugin.h>

#include <dlfcn.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define MUST(call)                                     \
    do {                                               \
        dipp_error error_ = {0};                       \
        if ((call) != DIPP_OK)                         \
            fail_msg("%s: %s", #call, error_.message); \
    } while (0)

/* The score of one picture, in evaluation mode on the cpu back-end. */
static double score_of(const char *name, const char *const *parameters, uint32_t parameter_count, const char *weights,
                       const char *picture, const char *prompt)
{
    void *library = dlopen(getenv("DIPP_CLIP_PLUGINS"), RTLD_NOW | RTLD_LOCAL);
    if (!library)
        fail_msg("%s", dlerror());
    dipp_plugin_entry entry;
    *(void **)&entry = dlsym(library, DIPP_PLUGIN_ENTRY_NAME);
    uint32_t count = 0;
    const dipp_plugin *const *list = entry(&count), *plugin = NULL;
    for (uint32_t i = 0; i < count; i++)
        if (!strcmp(list[i]->name, name))
            plugin = list[i];
    assert_non_null(plugin);
    dipp_backend_options options = {.struct_size = sizeof options, .precision = "f32"};
    dipp_host host = {.struct_size = sizeof host};
    dipp_backend *backend = NULL;
    dipp_parameters *values = NULL;
    dipp_scorer *scorer = NULL;
    dipp_image image = {0};
    double score = NAN;
    MUST(dipp_image_read(picture, &image, &error_));
    size_t pixels = (size_t)image.width * (size_t)image.height;
    float *planes = malloc(3 * pixels * sizeof *planes);
    assert_non_null(planes);
    for (size_t i = 0; i < 3 * pixels; i++)
        planes[i] = (float)image.pixels[i % pixels * 3 + i / pixels] / 255;
    MUST(dipp_parameters_create_from_text(plugin->parameters, plugin->parameter_count, parameters, parameter_count,
                                          &values, &error_));
    MUST(dipp_backend_create("cpu", &options, &backend, &error_));
    MUST(dipp_scorer_create(backend, plugin, values, &host, weights, NULL, DIPP_SHAPE(3, image.height, image.width), 1,
                            &scorer, &error_));
    MUST(dipp_scorer_score(scorer, planes, &prompt, 1, &score, &error_));
    dipp_scorer_destroy(&scorer);
    dipp_parameters_destroy(&values);
    dipp_backend_destroy(&backend);
    dipp_image_clear(&image);
    free(planes);
    dlclose(library);
    return score;
}

/* 0.2876 by the maintainers, who do not say with which torchvision; its default has changed how the letterbox resizes. */
static void hps_20_of_the_demo_picture(void **state)
{
    (void)state;
    static const char *const kernels[] = {"official_kernel=bicubic_plain", "official_kernel=bicubic"};
    char weights[SHARED_PATH_BYTES], picture[SHARED_PATH_BYTES], words[SHARED_PATH_BYTES],
        vocabulary[SHARED_PATH_BYTES + 16];
    real_weights_or_skip("HPS_v2_compressed.pt", weights);
    shared_data_or_skip("images/hpsv2_demo.jpg", picture);
    shared_data_or_skip("vocab/clip_bpe_simple_vocab_16e6.txt.gz", words);
    snprintf(vocabulary, sizeof vocabulary, "vocabulary=%s", words);
    double nearest = INFINITY;
    for (int i = 0; i < 2; i++) {
        double score = score_of("hps", (const char *const[]){vocabulary, kernels[i]}, 2, weights, picture,
                                "A cat with two horns on its head");
        print_message("%s: %.5f, published 0.2876\n", kernels[i], score);
        nearest = fmin(nearest, fabs(score - 0.2876));
    }
    assert_true(nearest <= 0.001);
}

/* 0.8585 by the README of jmhessel/clipscore, whose clone lies in the folder: the mean of its two examples. */
static void clipscore_of_the_two_examples(void **state)
{
    (void)state;
    static const struct {
        const char *picture, *caption;
    } examples[] = {{"clipscore/example/images/image1.jpg", "an orange cat and a grey cat are lying together."},
                    {"clipscore/example/images/image2.jpg", "a black dog wearing headphones looks at the camera as an "
                                                            "orange cat walks in the background."}};
    char weights[SHARED_PATH_BYTES], picture[SHARED_PATH_BYTES], words[SHARED_PATH_BYTES],
        vocabulary[SHARED_PATH_BYTES + 16];
    real_weights_or_skip("clip-vit-base-patch32/model.safetensors", weights);
    shared_data_or_skip("vocab/clip_bpe_simple_vocab_16e6.txt.gz", words);
    snprintf(vocabulary, sizeof vocabulary, "vocabulary=%s", words);
    double sum = 0;
    for (int i = 0; i < 2; i++) {
        real_weights_or_skip(examples[i].picture, picture);
        sum += score_of("clipscore", (const char *const[]){vocabulary, "variant=hessel"}, 2, weights, picture,
                        examples[i].caption);
    }
    print_message("mean %.5f, published 0.8585\n", sum / 2);
    assert_true(fabs(sum / 2 - 0.8585) <= 5e-4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(hps_20_of_the_demo_picture),
                                       cmocka_unit_test(clipscore_of_the_two_examples)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
