/* What a person gets wrong, or what breaks under dipp: the message names the place and the remedy, nothing is begun in vain,
 * and one run is lost at most. Plugins that break while they run are in test_resume. */
#include "cli_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const char exact[] = "name: exact\n"
                            "device: reference\n"
                            "reference: {plugin: affine, params: {mean: [0.0, 0.0]}}\n"
                            "generator: {plugin: affine, params: {mean: [1.0, -1.0]}}\n"
                            "schedule: {name: ve, sigma_min: 0.05, sigma_max: 10}\n"
                            "rewards: [{plugin: linear, params: {direction: [1.0, 0.5]}}]\n"
                            "align: {steps: 20, batch: 16}\n";

/* The experiment with the first occurrence of a piece replaced. */
static void write_changed(const char *file, const char *piece, const char *with)
{
    char text[sizeof exact + 256];
    const char *at = strstr(exact, piece);
    assert_non_null(at);
    snprintf(text, sizeof text, "%.*s%s%s", (int)(at - exact), exact, with, at + strlen(piece));
    write_file(file, text);
}

static void assert_refused(const char *line, int code, const char *place, const char *remedy)
{
    int got = dipp(line);
    if (got != code)
        fail_msg("`%s` ends with %d\n%s", line, got, output(NULL));
    assert_true(output_has(place));
    assert_true(output_has(remedy));
}

static void test_wrong_files(void **state)
{
    static const struct {
        const char *piece, *with, *place, *remedy;
    } faults[] = {
        {"steps: 20", "stepps: 20", "e.yaml:7:9: unknown key `stepps`", "did you mean `steps`?"},
        {"steps: 20", "steps: many", "e.yaml:7:16", "expected: a whole number of at least 1"},
        {"steps: 20", "steps: 1.5", "e.yaml:7:16", "expected: a whole number of at least 1"},
        {"steps: 20", "steps: -3", "e.yaml:7:16", "expected: a whole number of at least 1"},
        {"steps: 20", "steps: 010", "e.yaml:7:16", "write it without the zero"},
        {"steps: 20", "steps: 20, steps: 30", "e.yaml:7:20: duplicate key `steps`, first on line 7",
         "keep one of them"},
        {"sigma_max: 10", "sigma_max: 1.5x", "e.yaml:5:50", "may not have other characters behind it"},
        {"name: ve", "name: vee", "e.yaml:5:18", "did you mean `ve`?"},
        {"plugin: linear", "plugin: liner", "e.yaml:6:20: there is no reward plugin `liner`", "did you mean `linear`?"},
        {"direction", "direktion", "e.yaml:6:37", "did you mean `direction`?"},
        {"name: exact", "name: [exact", "e.yaml:2:", "close every [ and {"},
        {"name: exact", "name: \"\xff\xfe\"", "e.yaml:1:8", "save the file as plain UTF-8 text"},
        {"name: exact", "name: !!python/object x", "e.yaml:1:7", "remove the tag"},
    };
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        write_changed("e.yaml", faults[i].piece, faults[i].with);
        assert_refused("run e.yaml --db e.db", 3, faults[i].place, faults[i].remedy);
    }
    write_file("e.yaml", "");
    assert_refused("run e.yaml --db e.db", 3, "e.yaml:1:1: the file is empty", "expected: a map of keys");
    assert_int_equal(mkdir("folder", 0755), 0);
    assert_refused("run folder --db e.db", 3, "folder: is a folder", "name the experiment's file");
    assert_int_equal(access("e.db", F_OK), -1);
}

static void write_repeated(const char *file, const char *head, const char *piece, size_t times)
{
    FILE *stream = fopen(file, "w");
    assert_non_null(stream);
    assert_true(fputs(head, stream) >= 0);
    for (size_t i = 0; i < times; i++)
        assert_true(fputs(piece, stream) >= 0);
    assert_int_equal(fclose(stream), 0);
}

static void test_huge_files(void **state)
{
    write_repeated("e.yaml", exact, "# a comment, again and again\n", 400000); /* above ten megabytes */
    assert_refused("run e.yaml --db e.db", 3, "e.yaml: larger than", "go into a file of their own (prompts.file)");
    write_repeated("e.yaml", "name: deep\nreference: ", "[", 100000);
    assert_refused("run e.yaml --db e.db", 3, "e.yaml:2:", "nested deeper than 64 levels");
    write_repeated("e.yaml", "name: deep\nreference: ", "{a: ", 100000);
    assert_refused("run e.yaml --db e.db", 3, "e.yaml:2:", "nested deeper than 64 levels");
    assert_int_equal(access("e.db", F_OK), -1);
}

/* A plugin that was named and is refused ends the command, even where another one of that name would do. */
static void test_refused_plugins(void **state)
{
    static const struct {
        const char *file, *said;
    } faults[] = {{"wrong-major", "rebuild it with this dipp"},
                  {"newer-minor", "it needs a newer dipp"},
                  {"wrong-tag", "rebuild it with this dipp"},
                  {"lying-size", "set it to sizeof and rebuild"},
                  {"bad-name", "found \"Two Words\""},
                  {"crash-in-entry", "signal 11"},
                  {"crash-in-constructor", "signal 6"},
                  {"exit-in-entry", "exit status 3"},
                  {"no-entry", "use DIPP_PLUGINS(...) and export it"},
                  {"unresolved", "undefined symbol: dipp_from_the_future"}};
    const char *fixtures = getenv("DIPP_TEST_FIXTURES");
    char line[1024], path[512], command[1200];
    write_file("e.yaml", exact);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        snprintf(line, sizeof line, "run e.yaml --db e.db --plugin %s/%s.so", fixtures, faults[i].file);
        snprintf(path, sizeof path, "%s.so: ", faults[i].file);
        assert_refused(line, 3, path, faults[i].said);
    }
    snprintf(command, sizeof command,
             "cp '%s/good.so' open.so && chmod 777 open.so && mkdir loose && "
             "cp '%s/good.so' loose && chmod 777 loose",
             fixtures, fixtures);
    assert_int_equal(system(command), 0);
    assert_refused("run e.yaml --db e.db --plugin open.so", 3, "anybody may write to it", "chmod o-w");
    assert_refused("run e.yaml --db e.db --plugin loose/good.so", 3, "anybody may replace files", "chmod o-w");
    assert_refused("run e.yaml --db e.db --plugin nowhere.so", 3, "--plugin nowhere.so", "No such file");
    assert_refused("run e.yaml --db e.db --plugin-dir nowhere", 3, "--plugin-dir nowhere", "No such file");
    assert_refused("run e.yaml --db e.db --plugin e.yaml", 3, "e.yaml", "expected a shared object");
    /* one that was only found, in a folder: said when something is missing */
    write_changed("f.yaml", "plugin: linear, params: {direction: [1.0, 0.5]}", "plugin: fixture");
    assert_refused("run f.yaml --db e.db --plugin-dir loose", 3, "there is no reward plugin `fixture`", "refused: ");
    assert_true(output_has("chmod o-w"));
    assert_int_equal(dipp("plugins --plugin open.so"), 0); /* the list says why, and is no failure */
    assert_true(output_has("chmod o-w"));
    assert_int_equal(access("e.db", F_OK), -1);
}

/* Changes bytes of a safetensors file: a piece of its header, for one of the same length. */
static void lie(const char *from, const char *to, const char *piece, const char *with)
{
    static char data[1 << 20];
    FILE *in = fopen(from, "r"), *out = fopen(to, "w");
    assert_true(in && out && strlen(piece) == strlen(with));
    size_t bytes = fread(data, 1, sizeof data, in);
    char *at = memmem(data, bytes, piece, strlen(piece));
    assert_non_null(at);
    memcpy(at, with, strlen(with));
    assert_int_equal(fwrite(data, 1, bytes, out), bytes);
    assert_int_equal(fclose(in), 0);
    assert_int_equal(fclose(out), 0);
}

static void test_lying_weights(void **state)
{
    static const struct {
        const char *piece, *with, *said;
    } lies[] = {{"\"shape\":[2,2]", "\"shape\":[4,1]", "factor has shape [4, 1], expected [2, 2]"},
                {"\"shape\":[2,2]", "\"shape\":[9,9]", "F32 [9, 9] takes 324 bytes, data_offsets give 16"},
                {"[16,24]", "[16,99]", "the file is cut short or damaged, copy it again"},
                {"\"F32\"", "\"Q32\"", "expected one of the dtypes"},
                {"\"factor\"", "\"fact0r\"", "factor is missing"}};
    static const char line[] = "run e.yaml --db f.db generator.init=bad --quiet";
    write_file("e.yaml", exact);
    assert_int_equal(dipp("run e.yaml --db e.db --quiet"), 0);
    assert_int_equal(dipp("export exact/default/0 --db e.db --to good"), 0);
    assert_int_equal(mkdir("bad", 0755), 0);
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        lie("good/generator.safetensors", "bad/generator.safetensors", lies[i].piece, lies[i].with);
        assert_refused(line, 4, "bad/generator.safetensors", lies[i].said);
    }
    assert_int_equal(truncate("bad/generator.safetensors", 100), 0);
    assert_refused(line, 4, "bad/generator.safetensors", "it is cut short, copy it again");
    assert_int_equal(ask("f.db", "SELECT count(*) FROM runs WHERE status='failed'"), 6);
    assert_int_equal(unlink("bad/generator.safetensors"), 0);
    assert_refused(line, 3, "the folder bad holds none of", "generator.safetensors");
    assert_sound("f.db");
}

/* A disk that fills while a run writes: the run fails with the remedy, what was recorded is there, and with room again the
 * same command goes on from the checkpoint. Needs a small file system, which root can make. */
static void test_full_disk(void **state)
{
    assert_int_equal(mkdir("small", 0755), 0);
    if (mount("tmpfs", "small", "tmpfs", 0, "size=1400k") != 0) {
        print_message("skipped: no file system can be mounted here: %s\n", strerror(errno));
        return;
    }
    write_changed("e.yaml", "steps: 20,", "steps: 6000, checkpoint_every: 200,");
    int full = dipp("run e.yaml --db small/e.db --quiet");
    bool said = output_has("disk full") && output_has("free some space and run the same command again");
    int64_t rows = ask("small/e.db", "SELECT count(*) FROM metrics");
    int grown = mount("tmpfs", "small", "tmpfs", MS_REMOUNT, "size=64m");
    int again = grown == 0 ? dipp("run e.yaml --db small/e.db --quiet") : -1;
    int64_t once =
        ask("small/e.db", "SELECT count(*) FROM metrics JOIN metric_names USING(metric_id) WHERE name='ikl'");
    bool resumed = !strcmp(ask_text("small/e.db", "SELECT group_concat(reason) FROM attempts"), "failed,completed");
    assert_sound("small/e.db");
    assert_int_equal(umount("small"), 0);
    assert_int_equal(full, 4);
    assert_true(said);
    assert_true(rows > 0);
    assert_int_equal(again, 0);
    assert_int_equal(once, 6000);
    assert_true(resumed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_wrong_files, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(test_huge_files, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(test_refused_plugins, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(test_lying_weights, cli_setup, cli_teardown),
        cmocka_unit_test_setup_teardown(test_full_disk, cli_setup, cli_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
