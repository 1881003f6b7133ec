/* What scores of published reward models are called: the reserved names for the published weights alone. */
#include "experiment/run_metric_names.h"
#include "weights/published.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static const char hps_20[] = "07cb0d20626232204ca3a6ec53ff5984e7e53212a8a7b0e0ec2bac1bdaf125a1";
static const char hps_21[] = "c57a38fb4a2f7e7c15bf00da2ea377cdf165448b4dd1052a484c215a998c9837";
static const char image_reward[] = "d71dc8d4912bc633c06ab8ef1ef6a81e8199d4369f14b47b29baf1d19de561f6";
static const char pick_score[] = "ef31ef6fc5ff4d9bb90dd232df4e145887ba62c5a03aa2841415f8c25f18d52e";
static const char head_2[] = "21dd590f3ccdc646f0d53120778b296013b096a035a2718c9cb0d511bff0f1e0";
static const char l14[] = "a2bf730a0c7debf160f7a6b50b3aaf3703e7e88ac73de7a314903141db026dcb";
static const char l14_openai[] = "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836";
static const char b32_openai[] = "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af";
static const char g14[] = "6aac683f899159946bc4ca15228bb7016f3cbb1a2c51f365cba0b23923f344da";
static const char other[] = "0000000000000000000000000000000000000000000000000000000000000000";

static const char *const activations[] = {"gelu", "quick_gelu", NULL};
static const char *const variants[] = {"hessel", "torchmetrics", "dmd2", NULL};

static void names_follow_the_content(void **state)
{
    (void)state;
    static const dipp_parameter table[] = {
        {.key = "official", .type = DIPP_TYPE_BOOL, .default_text = "true", .help = "."},
        {.key = "activation",
         .type = DIPP_TYPE_ENUM,
         .choices = activations,
         .flags = DIPP_PARAMETER_OPTIONAL,
         .help = "."},
        {.key = "variant", .type = DIPP_TYPE_ENUM, .choices = variants, .flags = DIPP_PARAMETER_OPTIONAL, .help = "."},
    };
    static const struct {
        const char *plugin, *weights, *sha256, *head, *head_sha256, *parameter, *name;
    } cases[] = {
        {"hps", "a/any.pt", hps_20, NULL, "", NULL, "hps"},
        {"hps", "HPS_v2_1.pt", hps_20, NULL, "", NULL, "hps"},
        {"hps", "x", hps_21, NULL, "", NULL, "hps21"},
        {"hps", "a/HPS_v2_compressed.pt", other, NULL, "", NULL, "hps:HPS_v2_compressed"},
        {"hps", "a/HPS_v2_compressed.pt", hps_20, NULL, "", "official=false", "hps:HPS_v2_compressed"},
        {"hps", "a/HPS_v2_compressed.pt", hps_20, NULL, "", "activation=quick_gelu", "hps:HPS_v2_compressed"},
        {"hps", "a/pick", pick_score, NULL, "", NULL, "hps:pick"},
        {"hps", NULL, "", NULL, "", NULL, "hps:untrained"},
        {"pickscore", "p", pick_score, NULL, "", NULL, "pickscore"},
        {"pickscore", "weights/small", other, NULL, "", NULL, "pickscore:small"},
        {"imagereward", "ImageReward.pt", image_reward, NULL, "", NULL, "imagereward"},
        {"imagereward", "judge.safetensors", other, NULL, "", NULL, "imagereward:judge"},
        {"aesthetic", "clip", l14, "head.pth", head_2, NULL, "aesthetic"},
        {"aesthetic", "ViT-L-14.pt", l14_openai, "head.pth", head_2, NULL, "aesthetic"},
        {"clipscore", "ViT-B-32.pt", b32_openai, NULL, "", "variant=hessel", "clipscore:hessel"},
        {"clipscore", "ViT-B-32.pt", b32_openai, NULL, "", "variant=torchmetrics", "clipscore:torchmetrics:ViT-B-32"},
        {"aesthetic", "clip", other, "head.pth", head_2, NULL,
         "aesthetic:head"}, /* a head measures through its tower */
        {"aesthetic", "clip", l14, "ava.pth", other, NULL, "aesthetic:ava"},
        {"aesthetic", "both.safetensors", other, NULL, "", NULL, "aesthetic:both"},
        {"clipscore", "clip", l14, NULL, "", "variant=torchmetrics", "clipscore:torchmetrics"},
        {"clipscore", "clip", g14, NULL, "", "variant=dmd2", "clipscore:dmd2"},
        {"clipscore", "clip.bin", l14, NULL, "", "variant=hessel", "clipscore:hessel:clip"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dipp_parameters *parameters = NULL;
        dipp_error error = {0};
        char name[DIPP_METRIC_NAME_BYTES];
        dipp_scorer_files files = {.weights = cases[i].weights, .head = cases[i].head};
        snprintf(files.weights_sha256, sizeof files.weights_sha256, "%s", cases[i].sha256);
        snprintf(files.head_sha256, sizeof files.head_sha256, "%s", cases[i].head_sha256);
        if (dipp_parameters_create_from_text(table, 3, &cases[i].parameter, cases[i].parameter != NULL, &parameters,
                                             &error))
            fail_msg("%s", error.message);
        assert_true(dipp_metric_is_published(cases[i].plugin));
        assert_string_equal(dipp_metric_name_of(cases[i].plugin, parameters, &files, name), cases[i].name);
        dipp_parameters_destroy(&parameters);
    }
    assert_false(dipp_metric_is_published("border"));
}

static void reserved_names_are_those_of_files(void **state)
{
    (void)state;
    static const char *const reserved[] = {"hps", "hps21", "imagereward", "aesthetic", "pickscore"};
    static const char *const free_names[] = {"hps:mine", "clipscore", "l14", "", "border"};
    for (size_t i = 0; i < 5; i++) {
        assert_true(dipp_published_reserves(reserved[i]));
        assert_false(dipp_published_reserves(free_names[i]));
    }
    assert_string_equal(dipp_published_find(hps_21)->what, "HPS v2.1");
    assert_null(dipp_published_find(other));
    assert_null(dipp_published_find(""));
}

/* A scorer's record tells two heads on one tower apart. */
static void all_files_count(void **state)
{
    (void)state;
    dipp_scorer_files one = {.weights = "clip"}, two = {.weights = "clip", .head = "head"}, three = two;
    char hashes[3][DIPP_SHA256_HEX_BYTES], both[2 * DIPP_SHA256_HEX_BYTES], expected[DIPP_SHA256_HEX_BYTES];
    snprintf(one.weights_sha256, sizeof one.weights_sha256, "%s", l14);
    snprintf(two.weights_sha256, sizeof two.weights_sha256, "%s", l14);
    snprintf(two.head_sha256, sizeof two.head_sha256, "%s", head_2);
    snprintf(three.weights_sha256, sizeof three.weights_sha256, "%s", l14);
    snprintf(three.head_sha256, sizeof three.head_sha256, "%s", other);
    assert_string_equal(dipp_scorer_files_sha256(&one, hashes[0]), l14);
    snprintf(both, sizeof both, "%s%s", l14, head_2);
    dipp_sha256_hex(both, strlen(both), expected);
    assert_string_equal(dipp_scorer_files_sha256(&two, hashes[1]), expected);
    assert_string_not_equal(dipp_scorer_files_sha256(&three, hashes[2]), expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(names_follow_the_content),
                                       cmocka_unit_test(reserved_names_are_those_of_files),
                                       cmocka_unit_test(all_files_count)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
