/* dipp check-plugin: every plugin of this tree holds, every deliberately bad one is caught by the check that is for
 * it. */
#include "cli_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The address sanitizer's allocator does not say how much is in use, so what is lost is not seen under it. */
#if defined(__SANITIZE_ADDRESS__)
static const bool counts_memory = false;
#else
static const bool counts_memory = true;
#endif

static const char *const checks[] = {"descriptor", "parameters", "instances", "result",    "gradients",
                                     "batches",    "text",       "repeat",    "precision", "memory"};

/* "  ok      NAME": of the one plugin that was checked. */
static bool holds(const char *check)
{
    char line[64];
    snprintf(line, sizeof line, "  %-7s %-11s ", "ok", check);
    return strstr(output(NULL), line) != NULL;
}

static void test_ours(void **state)
{
    (void)state;
    static const struct {
        const char *file, *arguments;
        int plugins;
    } ours[] = {
        {"reward-linear", "-p direction=[0.5,1,-2]", 1},
        {"reward-quadratic", "-p center=[0.5,1,2] -p curvature=2", 1},
        {"reward-quadratic", "-p center=[0,1] -p matrix=[[1,0.5],[0.5,2]]", 1},
        {"reward-border", "", 1},
        {"reward-border", "--sample 3x5x7", 1},
        {"reward-colorfulness", "", 1},
        {"reward-compressibility", "", 1},
        {"reward-pipe", "-p command=[python3] -p script=warmth.py", 1},
        {"reference-affine", "-p mean=[0.5,1] -p covariance=[[1,0.2],[0.2,0.5]]", 1},
        {"generator-affine", "-p mean=[0.5,1]", 1},
        {"reference-mixture", "-p means=[[0.5,1],[2,3]] -p labels=[cat,dog] --prompt cat", 1},
        {"reward-clip",
         "-p network=own -p joint=6 -p size=8 -p patch=4 -p vision_width=8 -p vision_layers=1 -p text_width=8 "
         "-p text_layers=1 -p length=12 -p variant=hessel -p vocabulary=" DIPP_FIXTURE_FOLDER
         "/tokenizers/bpe.txt.gz --prompt cat",
         4},
        {"dit",
         "-p size=8 -p patch=2 -p hidden=16 -p layers=1 -p heads=2 -p text_hidden=16 -p text_layers=1 "
         "-p text_heads=2 -p vocabulary=words.txt --prompt cat",
         2},
        {"reward-imagereward",
         "-p network=own -p size=8 -p patch=4 -p vision_width=8 -p vision_layers=1 -p vision_heads=2 -p text_width=8 "
         "-p text_layers=2 -p text_heads=2 -p length=6 -p vocabulary=" DIPP_FIXTURE_FOLDER
         "/tokenizers/vocab.txt --sample 3x9x7 --prompt cat",
         1},
    };
    char copy[512];
    snprintf(copy, sizeof copy, "cp '%s/warmth.py' .", getenv("DIPP_PIPE_EXAMPLES"));
    assert_int_equal(system(copy), 0);
    write_file("words.txt", "<pad>\n<unknown>\na\ncat\ndog\n");
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++) {
        char line[1024];
        snprintf(line, sizeof line, "check-plugin %s/%s.so %s", getenv("DIPP_PLUGINS"), ours[i].file,
                 ours[i].arguments);
        if (dipp(line) != 0 || !output_has("all checks hold"))
            fail_msg("%s\n%s", line, output(NULL));
        int found = 0;
        for (const char *at = output(NULL); (at = strstr(at, "  ok      memory")); at++)
            found++;
        assert_int_equal(found, ours[i].plugins);
    }
}

/* A reference with a decoder, and an opaque reward that gives its gradient. */
static void test_of_the_tests(void **state)
{
    (void)state;
    char line[512];
    snprintf(line, sizeof line, "check-plugin %s -p center=[1,2] -p gradient=true", getenv("DIPP_TEST_PLUGINS"));
    if (dipp(line) != 0)
        fail_msg("%s", output(NULL));
    assert_true(output_has("scores of samples [2], with a gradient"));
    assert_true(output_has("[2, 2] to [2, 2], 0 parameters; decode too"));
}

/* A reward that looks at texts apart and contrasts them. */
static void test_a_reading_one(void **state)
{
    (void)state;
    char line[512];
    snprintf(line, sizeof line, "check-plugin %s --name reading --sample 3", getenv("DIPP_BAD_REWARDS"));
    if (dipp(line) != 0)
        fail_msg("%s", output(NULL));
    assert_true(output_has("a score is of its own text alone; contrast agrees with it to "));
    assert_false(output_has("are one to it"));
    assert_true(output_has("[2, 3] to [2], 9 parameters; contrast too"));
    snprintf(line, sizeof line, "check-plugin %s/reward-border.so --skip memory", getenv("DIPP_PLUGINS"));
    assert_int_equal(dipp(line), 0);
    assert_true(output_has("does not apply: it looks at no text apart from samples"));
}

static void test_bad_ones(void **state)
{
    (void)state;
    static const struct {
        const char *name, *failing, *text, *more;
    } bad[] = {
        {"not-a-number", "result", "2 of 2 numbers are not finite", "--skip gradients --skip batches --skip precision"},
        {"crashing", "parameters", "it crashed: signal 6", ""},
        {"hanging", "parameters", "no end within 1 s", "--timeout 1"},
        {"lying", "parameters", "record returns [2, 1] for 2 samples; [2] is expected", ""},
        {"stopped", "gradients", "record: to the samples: recorded ", ""},
        {"crowded", "batches", "a sample's result depends on the batch", ""},
        {"fickle", "repeat", "two instances with the same parameters give different numbers",
         "--skip batches "
         "--skip precision"},
        {"dividing", "memory", "it crashed: signal 8", ""},
        {"cancelling", "precision", "f32 on ", ""},
        {"leaking", "instances", "bytes are lost with each instance", "--skip memory"},
        {"rude", "parameters", "level=9: refused as \"internal error\" instead of \"invalid value\": level 9", ""},
        {"misleading", "gradients", "given ", ""},
        {"sociable", "batches", "a score depends on the batch", ""},
        {"moody", "repeat", "the same call twice gives different scores", "--skip batches"},
        {"mute", "parameters", "level=9: refused without a message", ""},
        {"rowless", "parameters", "encode_text gives [1, 1]; expected [2, 1]", ""},
        {"flat", "parameters", "contrast returns [2] for 2 samples; [2, 2] is expected", ""},
        {"gossiping", "text", "a sample's score depends on the text of another, by ", ""},
        {"askew", "text", "contrast of sample 1 and its text is ", ""},
        {"envious", "text", "contrast with one text depends on the text beside it: ", ""},
        {"blunt", "gradients", "contrast: to the samples: recorded ", ""},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char line[512];
        if (!strcmp(bad[i].name, "leaking") && !counts_memory)
            continue;
        snprintf(line, sizeof line, "check-plugin %s --name %s --sample 3 %s", getenv("DIPP_BAD_REWARDS"), bad[i].name,
                 bad[i].more);
        if (!strcmp(bad[i].name, "lying"))
            snprintf(line, sizeof line, "check-plugin %s --name lying --sample 1", getenv("DIPP_BAD_REWARDS"));
        assert_int_equal(dipp(line), 3);
        char expected[256];
        snprintf(expected, sizeof expected, "  %-7s %-11s %s", "FAILED", bad[i].failing, "");
        assert_true(output_has(expected));
        assert_true(output_has(bad[i].text));
        assert_true(output_has("1 check failed")); /* that one alone */
        bool after = false;
        for (size_t k = 0; k < sizeof checks / sizeof *checks; k++) {
            char skip[32];
            snprintf(skip, sizeof skip, "--skip %s", checks[k]);
            after = after || (!strcmp(checks[k], bad[i].failing) && !strcmp(bad[i].failing, "parameters"));
            if (!after && strcmp(checks[k], bad[i].failing) && !strstr(line, skip) && !holds(checks[k]))
                fail_msg("%s: %s does not hold\n%s", bad[i].name, checks[k], output(NULL));
        }
    }
}

static void test_descriptors(void **state)
{
    (void)state;
    static const struct {
        const char *file, *failing, *text;
    } bad[] = {
        {"crash-in-entry", "probe", "signal 11"},
        {"wrong-major", "probe", "ABI: expected major version"},
        {"changes-its-mind", "descriptor", "two calls of dipp_plugin_entry_v1 give different descriptors"},
        {"allocates", "descriptor", "allocates memory"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char line[512], expected[64];
        if (!strcmp(bad[i].file, "allocates") && !counts_memory)
            continue;
        snprintf(line, sizeof line, "check-plugin %s/%s.so", getenv("DIPP_TEST_FIXTURES"), bad[i].file);
        assert_int_equal(dipp(line), 3);
        snprintf(expected, sizeof expected, "  %-7s %-11s ", "FAILED", bad[i].failing);
        assert_true(output_has(expected));
        assert_true(output_has(bad[i].text));
        assert_true(output_has("1 check failed"));
    }
}

static void test_usage(void **state)
{
    (void)state;
    char line[512];
    assert_int_equal(dipp("check-plugin"), 2);
    assert_int_equal(dipp("check-plugin --help"), 0);
    assert_true(output_has("finite"));
    assert_int_equal(dipp("check-plugin nowhere.so"), 3);
    assert_true(output_has("No such file"));
    snprintf(line, sizeof line, "check-plugin %s/reward-border.so --sample 3x", getenv("DIPP_PLUGINS"));
    assert_int_equal(dipp(line), 2);
    snprintf(line, sizeof line, "check-plugin %s/reward-border.so -p widht=2", getenv("DIPP_PLUGINS"));
    assert_int_equal(dipp(line), 3);
    assert_true(output_has("`widht=2`: expected KEY=VALUE with a parameter of the plugin"));
    snprintf(line, sizeof line, "check-plugin %s/reward-border.so --skip gradient", getenv("DIPP_PLUGINS"));
    assert_int_equal(dipp(line), 3);
    assert_true(output_has("there is no check `gradient`"));
    snprintf(line, sizeof line, "check-plugin %s/reward-border.so --name frame", getenv("DIPP_PLUGINS"));
    assert_int_equal(dipp(line), 3);
    assert_true(output_has("there is no plugin `frame` in it"));
    snprintf(line, sizeof line, "check-plugin %s/reward-linear.so", getenv("DIPP_PLUGINS"));
    assert_int_equal(dipp(line), 3);
    assert_true(output_has("`direction` is missing"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_ours, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(test_of_the_tests, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(test_a_reading_one, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(test_bad_ones, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(test_descriptors, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(test_usage, cli_setup, cli_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
