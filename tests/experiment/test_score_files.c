/* Pictures of any model into the store when memory runs out: an error that says so, and either the whole evaluation or
 * nothing of it. */
#include "../store/synthetic.h"

#include "base/file.h"
#include "base/memory.h"
#include "data/image.h"
#include "experiment/run_score_files.h"

#include <stdio.h>
#include <string.h>

enum { PROMPTS = 2, SAMPLES = 2, SIDE = 4 };

static const char *plugin_folder;

static void write_pictures(const char *folder)
{
    dipp_error error = {0};
    char path[384];
    snprintf(path, sizeof path, "%s/prompts.txt", folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("a fox\na red house\n", file);
    fclose(file);
    for (int p = 0; p < PROMPTS; p++)
        for (int s = 0; s < SAMPLES; s++) {
            dipp_image image = {0};
            snprintf(path, sizeof path, "%s/p%03d-s%d.png", folder, p, s);
            assert_ok(dipp_image_create(SIDE, SIDE, (uint8_t)(40 * (2 * p + s)), &image, &error), error);
            assert_ok(dipp_image_write_png(path, &image, &error), error);
            dipp_image_clear(&image);
        }
}

/* Every allocation of the whole way fails once. */
static void no_memory_is_an_error_and_leaves_nothing_half(void **state)
{
    const test_directory *directory = *state;
    static const char *const metrics[] = {"border"};
    char prompts[384];
    snprintf(prompts, sizeof prompts, "%s/prompts.txt", directory->path);
    write_pictures(directory->path);
    dipp_error error = {0};
    dipp_plugins *plugins = NULL;
    dipp_store *store = NULL;
    assert_ok(dipp_plugins_open(
                  &(dipp_plugins_options){
                      .directories = &plugin_folder, .directory_count = 1, .no_environment = true, .no_default = true},
                  &plugins, &error),
              error);
    assert_ok(dipp_store_open(directory->store, &(dipp_store_options){.mode = DIPP_STORE_CREATE}, &store, &error),
              error);
    const dipp_score_files_request request = {.folder = directory->path,
                                              .prompts = prompts,
                                              .metrics = metrics,
                                              .metric_count = 1,
                                              .experiment = "files",
                                              .arm = "grey",
                                              .threads = 1};
    dipp_score_files_report report;
    int failures = 0;
    for (uint64_t nth = 1;; nth += nth / 200 + 1) {
        dipp_memory_fail_nth(nth, false);
        dipp_status status = dipp_run_score_files(store, &request, plugins, &report, &error);
        bool failed = dipp_memory_has_failed();
        dipp_memory_fail_nth(0, false);
        double scores = number_of(store, "SELECT count(*) FROM evaluations");
        if (status != DIPP_OK && (!failed || !error.message[0]))
            fail_msg("allocation %llu: %s, %s", (unsigned long long)nth, dipp_status_name(status), error.message);
        if (scores != 0 && scores != PROMPTS * SAMPLES)
            fail_msg("allocation %llu left %g scores", (unsigned long long)nth, scores);
        if (!failed) {
            assert_int_equal(status, DIPP_OK);
            break;
        }
        failures += status != DIPP_OK;
    }
    assert_true(failures > 100);
    assert_int_equal(report.prompts, PROMPTS);
    assert_int_equal(report.samples, SAMPLES);
    assert_true(number_of(store, "SELECT count(*) FROM evaluations") == PROMPTS * SAMPLES);
    assert_true(number_of(store, "SELECT count(*) FROM runs WHERE status='completed'") == 1);
    assert_true(number_of(store, "SELECT count(*) FROM pragma_foreign_key_check") == 0);
    dipp_store_close(&store);
    dipp_plugins_destroy(&plugins);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(no_memory_is_an_error_and_leaves_nothing_half,
                                                                       make_directory, remove_directory)};
    if (argc != 2)
        return 2;
    plugin_folder = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
