/* Weight files are read once for their digests, and again only when they have changed. */
#include "../store/synthetic.h"

#include "base/file.h"
#include "base/memory.h"
#include "experiment/experiment.h"
#include "experiment/run_evaluate.h"
#include "experiment/run_monitor.h"
#include "weights/weights.h"
#include "weights/writer.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *plugin_folder;
static const test_directory *place;

/* A path in the test's folder; four of them at a time. */
static const char *at(const char *name)
{
    static char paths[4][384];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", place->path, name);
    return path;
}

/* weight [1, 6] and bias [1] of an aesthetic head, or one number under a name. */
static void write_weights(const char *path, const char *name, float first)
{
    const float numbers[6] = {first, -0.25F, 1, 0.75F, -0.5F, 0.125F};
    dipp_weights_writer *writer = NULL;
    dipp_error error = {0};
    assert_ok(dipp_weights_writer_create(path, &writer, &error), error);
    assert_ok(dipp_weights_writer_add_f32(writer, name ? name : "weight", DIPP_WEIGHT_F32, 2,
                                          (uint64_t[]){1, name ? 1 : 6}, numbers, &error),
              error);
    if (!name)
        assert_ok(dipp_weights_writer_add_f32(writer, "bias", DIPP_WEIGHT_F32, 1, (uint64_t[]){1}, numbers, &error),
                  error);
    assert_ok(dipp_weights_writer_commit(&writer, &error), error);
}

static void put(const char *path, const char *text)
{
    FILE *file = fopen(path, "r+"); /* in place, where it is there: the inode stays */
    file = file ? file : fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

/* The digest is that of the file as it is, and so many were read by now. */
static void expect(dipp_run_hashes *hashes, const char *path, size_t count)
{
    char known[DIPP_SHA256_HEX_BYTES], fresh[DIPP_SHA256_HEX_BYTES];
    dipp_error error = {0};
    assert_ok(dipp_run_hashes_of(hashes, path, known, &error), error);
    assert_ok(dipp_weights_sha256(path, fresh, &error), error);
    assert_string_equal(known, fresh);
    assert_int_equal(dipp_run_hashes_count(hashes), count);
}

static void a_file_is_read_once_until_it_changes(void **state)
{
    place = *state;
    dipp_run_hashes *hashes = NULL;
    dipp_error error = {0};
    char sha256[DIPP_SHA256_HEX_BYTES];
    struct stat before;
    assert_ok(dipp_run_hashes_create(&hashes, &error), error);
    put(at("a"), "one");
    put(at("b"), "one");
    assert_int_equal(symlink("a", at("link")), 0);
    expect(hashes, at("a"), 1);
    expect(hashes, at("a"), 1);
    expect(hashes, at("link"), 1);
    expect(hashes, at("b"), 2); /* a copy must be read to be known as one */
    /* The same size, and the time of change put back: the inode's own says that something was done. */
    assert_int_equal(stat(at("a"), &before), 0);
    usleep(20000); /* a tick of the file system's clock */
    put(at("a"), "two");
    const struct timespec times[2] = {before.st_atim, before.st_mtim};
    assert_int_equal(utimensat(AT_FDCWD, at("a"), times, 0), 0);
    expect(hashes, at("a"), 3);
    expect(hashes, at("link"), 3);
    expect(hashes, at("b"), 3);
    assert_int_equal(dipp_run_hashes_of(hashes, at("none"), sha256, &error), DIPP_E_NOT_FOUND);
    assert_int_equal(dipp_run_hashes_count(hashes), 3);
    dipp_run_hashes_destroy(&hashes);
}

static void an_index_is_all_its_files(void **state)
{
    place = *state;
    dipp_run_hashes *hashes = NULL;
    dipp_error error = {0};
    assert_ok(dipp_run_hashes_create(&hashes, &error), error);
    write_weights(at("one.safetensors"), "a", 1);
    write_weights(at("two.safetensors"), "b", 2);
    put(at("all.index.json"), "{\"weight_map\": {\"a\": \"one.safetensors\", \"b\": \"two.safetensors\"}}");
    expect(hashes, at("all.index.json"), 1);
    expect(hashes, at("all.index.json"), 1);
    write_weights(at("two.safetensors"), "b", 3); /* the index stays as it was */
    expect(hashes, at("all.index.json"), 2);
    dipp_run_hashes_destroy(&hashes);
}

static void every_allocation_may_fail(void **state)
{
    place = *state;
    put(at("a"), "one");
    for (uint64_t nth = 1;; nth++) {
        dipp_run_hashes *hashes = NULL;
        dipp_error error = {0};
        char sha256[DIPP_SHA256_HEX_BYTES];
        dipp_memory_fail_nth(nth, false);
        dipp_status status = dipp_run_hashes_create(&hashes, &error);
        if (status == DIPP_OK)
            status = dipp_run_hashes_of(hashes, at("a"), sha256, &error);
        bool failed = dipp_memory_has_failed();
        dipp_memory_fail_nth(0, false);
        dipp_run_hashes_destroy(&hashes);
        if (!failed) {
            assert_ok(status, error);
            assert_true(nth > 2);
            break;
        }
        assert_int_equal(status, DIPP_E_MEMORY);
    }
}

/* Two rewards, the scorers of an evaluation and those of a monitor, of two files in all. */
static void a_run_reads_each_file_once(void **state)
{
    place = *state;
    static const char picture[] = "network: own, joint: 6, size: 12, patch: 4, vision_width: 12, vision_layers: 3, "
                                  "vision_heads: 3";
    char text[8192], hps[1024], aesthetic[1024];
    dipp_error error = {0};
    dipp_plugins *plugins = NULL;
    dipp_experiment *experiment = NULL;
    dipp_run_setup *setup = NULL;
    dipp_run_evaluator *evaluator = NULL;
    dipp_run_monitor *monitor = NULL;
    write_weights(at("head.safetensors"), NULL, 0.5F);
    put(at("words.txt"), "<pad>\n<unknown>\na\ncat\ndog\n");
    snprintf(hps, sizeof hps,
             "plugin: hps, weights: %s, params: {%s, text_width: 8, text_layers: 2, text_heads: 2, length: 16, "
             "vocabulary: %s}",
             DIPP_FIXTURE_FOLDER "/rewards/open_clip.pt", picture, DIPP_FIXTURE_FOLDER "/tokenizers/bpe.txt.gz");
    snprintf(aesthetic, sizeof aesthetic, "plugin: aesthetic, weights: %s, head_weights: %s, params: {%s, head: v1}",
             DIPP_FIXTURE_FOLDER "/rewards/open_clip.pt", at("head.safetensors"), picture);
    snprintf(text, sizeof text,
             "name: e\ndevice: reference\n"
             "reference: {plugin: dit, params: {size: 8, patch: 4, hidden: 8, layers: 1, heads: 2, vocabulary: %s, "
             "text_hidden: 8, text_layers: 0, text_heads: 2}}\n"
             "generator: {plugin: dit, params: {size: 8, patch: 4, hidden: 8, layers: 1, heads: 2}}\n"
             "prompts: {list: [a cat, a dog]}\n"
             "align: {steps: 1, batch: 2}\n"
             "rewards: [{%s}, {%s}]\n"
             "evaluate: {samples: 1, scorers: [{name: one, %s}, {name: two, %s}]}\n"
             "monitor: {every: 1, judges: [one, two], samples: 2}\n",
             at("words.txt"), hps, aesthetic, hps, aesthetic);
    assert_ok(dipp_plugins_open(
                  &(dipp_plugins_options){
                      .directories = &plugin_folder, .directory_count = 1, .no_environment = true, .no_default = true},
                  &plugins, &error),
              error);
    dipp_plugin_catalog catalog = {plugins, dipp_plugins_parameter_table, dipp_plugins_name};
    dipp_diagnostics *diagnostics = dipp_diagnostics_create();
    if (dipp_experiment_parse("e.yaml", text, strlen(text), NULL, 0, &catalog, diagnostics, &experiment, &error))
        fail_msg("%s", dipp_diagnostics_text(diagnostics));
    size_t count;
    const dipp_config *config = dipp_experiment_cells(experiment, &count)[0].config;
    assert_ok(dipp_run_setup_create(config, plugins, 1, &setup, &error), error);
    assert_ok(dipp_run_setup_load(setup, 0, &error), error);
    assert_int_equal(dipp_run_hashes_count(setup->hashes), 2);
    assert_ok(dipp_run_evaluator_create(setup, NULL, NULL, &evaluator, &error), error);
    assert_ok(dipp_run_monitor_create(setup, NULL, 0, NULL, &monitor, &error), error);
    assert_int_equal(dipp_run_hashes_count(setup->hashes), 2);
    assert_int_equal(setup->input_count, 3); /* the network twice, the head once */
    assert_string_equal(setup->inputs[0].sha256, setup->inputs[1].sha256);
    assert_int_equal(strlen(setup->inputs[2].sha256), 64);
    dipp_run_monitor_destroy(&monitor);
    dipp_run_evaluator_destroy(&evaluator);
    dipp_run_setup_destroy(&setup);
    dipp_experiment_destroy(&experiment);
    dipp_diagnostics_destroy(&diagnostics);
    dipp_plugins_destroy(&plugins);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_file_is_read_once_until_it_changes, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(an_index_is_all_its_files, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(every_allocation_may_fail, make_directory, remove_directory),
        cmocka_unit_test_setup_teardown(a_run_reads_each_file_once, make_directory, remove_directory)};
    if (argc != 2)
        return 2;
    plugin_folder = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
