/* Where plugins are searched, which files are refused before they are opened, which of two wins, and what is loaded. */
#include "folder.h"
#include "plugin/plugin_host.h"

#include "base/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static dipp_plugins *opened(const dipp_plugins_options *options)
{
    dipp_plugins *plugins = NULL;
    dipp_error error = {0};
    if (dipp_plugins_open(options, &plugins, &error))
        fail_msg("%s", error.message);
    return plugins;
}

/* Only these directories. */
static dipp_plugins *opened_directories(const char *first, const char *second)
{
    const char *list[] = {first, second};
    return opened(&(dipp_plugins_options){
        .directories = list, .directory_count = second ? 2 : 1, .no_environment = true, .no_default = true});
}

static void is_entry(const dipp_plugins *plugins, size_t index, dipp_plugin_state state, const char *path_end,
                     const char *reason_part)
{
    const dipp_plugin_listing *l = dipp_plugins_at(plugins, index);
    assert_non_null(l);
    size_t length = strlen(l->path), end = strlen(path_end);
    if (l->state != state || length < end || strcmp(l->path + length - end, path_end) ||
        !strstr(l->reason, reason_part))
        fail_msg("entry %zu: expected state %d, ...%s, \"%s\"; found state %d, %s, \"%s\"", index, (int)state, path_end,
                 reason_part, (int)l->state, l->path, l->reason);
}

static void the_order_is_by_place_then_by_name_and_the_first_wins(void **state)
{
    (void)state;
    folder a, b;
    folder_create(&a);
    folder_create(&b);
    folder_put(&a, "good", "z.so");
    folder_put(&a, "record-null", "m.so");
    folder_put(&a, "good", "not-a-plugin.txt");
    folder_put(&a, "good", ".hidden.so");
    folder_put(&b, "second", "a.so");
    dipp_plugins *plugins = opened_directories(a.path, b.path);
    assert_int_equal(dipp_plugins_count(plugins), 3);
    is_entry(plugins, 0, DIPP_PLUGIN_BROKEN, "/m.so", "vtable slot record");
    is_entry(plugins, 1, DIPP_PLUGIN_USABLE, "/z.so", "");
    is_entry(plugins, 2, DIPP_PLUGIN_SHADOWED, "/a.so", "shadowed by ");
    assert_string_equal(dipp_plugins_at(plugins, 1)->version, "1.0.0");
    assert_string_equal(dipp_plugins_at(plugins, 2)->version, "2.0.0");
    assert_string_equal(dipp_plugins_at(plugins, 2)->name, "fixture");
    assert_null(dipp_plugins_at(plugins, 3));
    dipp_plugins_destroy(&plugins);
    assert_null(plugins);

    /* The other way round the other one wins, and it is the one that is loaded. */
    plugins = opened_directories(b.path, a.path);
    is_entry(plugins, 0, DIPP_PLUGIN_USABLE, "/a.so", "");
    is_entry(plugins, 2, DIPP_PLUGIN_SHADOWED, "/z.so", b.path);
    const dipp_loaded_plugin *loaded = NULL, *again = NULL;
    dipp_error error = {0};
    assert_int_equal(dipp_plugins_find(plugins, DIPP_PLUGIN_REWARD, "fixture", &loaded, &error), DIPP_OK);
    assert_string_equal(loaded->descriptor->version, "2.0.0");
    char sha256[DIPP_SHA256_HEX_BYTES];
    assert_int_equal(dipp_sha256_file(loaded->path, sha256, NULL), DIPP_OK);
    assert_string_equal(loaded->sha256, sha256);
    assert_string_equal(dipp_plugins_at(plugins, 0)->sha256, sha256);
    assert_int_equal(dipp_plugins_find(plugins, DIPP_PLUGIN_REWARD, "fixture", &again, NULL), DIPP_OK);
    assert_ptr_equal(loaded, again);
    const dipp_parameter *table = NULL;
    uint32_t count = 0;
    assert_int_equal(dipp_plugins_parameter_table(plugins, DIPP_PLUGIN_REWARD, "fixture", &table, &count, NULL),
                     DIPP_OK);
    assert_int_equal(count, 2);
    assert_string_equal(table[0].key, "scale");
    assert_string_equal(dipp_plugins_name(plugins, DIPP_PLUGIN_REWARD, 0), "fixture");
    assert_null(dipp_plugins_name(plugins, DIPP_PLUGIN_REWARD, 1));
    assert_null(dipp_plugins_name(plugins, DIPP_PLUGIN_REFERENCE, 0));
    dipp_plugins_destroy(&plugins);
    dipp_plugins_destroy(NULL);
    folder_destroy(&a);
    folder_destroy(&b);
}

static void explicit_files_come_first_and_are_listed_once(void **state)
{
    (void)state;
    folder f;
    folder_create(&f);
    folder_put(&f, "good", "a.so");
    folder_put(&f, "second", "b.so");
    char file[2 * FOLDER_PATH_BYTES], absent[2 * FOLDER_PATH_BYTES];
    folder_file(&f, "b.so", file);
    folder_file(&f, "absent.so", absent);
    const char *files[] = {file, absent}, *directories[] = {f.path, f.path};
    dipp_plugins *plugins = opened(&(dipp_plugins_options){.files = files,
                                                           .file_count = 2,
                                                           .directories = directories,
                                                           .directory_count = 2,
                                                           .no_environment = true,
                                                           .no_default = true});
    assert_int_equal(dipp_plugins_count(plugins), 3);
    is_entry(plugins, 0, DIPP_PLUGIN_USABLE, "/b.so", "");
    is_entry(plugins, 1, DIPP_PLUGIN_BROKEN, "/absent.so", "No such file");
    is_entry(plugins, 2, DIPP_PLUGIN_SHADOWED, "/a.so", "/b.so");
    dipp_plugins_destroy(&plugins);
    folder_destroy(&f);
}

static void what_anybody_could_replace_is_refused(void **state)
{
    (void)state;
    folder f;
    folder_create(&f);
    folder_put(&f, "good", "a.so");
    char file[2 * FOLDER_PATH_BYTES], remedy[3 * FOLDER_PATH_BYTES];
    folder_file(&f, "a.so", file);

    assert_int_equal(chmod(file, 0646), 0);
    dipp_plugins *plugins = opened_directories(f.path, NULL);
    snprintf(remedy, sizeof remedy, "(mode 0646); chmod o-w %s", file);
    is_entry(plugins, 0, DIPP_PLUGIN_BROKEN, "/a.so", remedy);
    dipp_plugins_destroy(&plugins);

    assert_int_equal(chmod(file, 0644), 0);
    assert_int_equal(chmod(f.path, 0777), 0);
    plugins = opened_directories(f.path, NULL);
    snprintf(remedy, sizeof remedy, "(mode 0777); chmod o-w %s", f.path);
    is_entry(plugins, 0, DIPP_PLUGIN_BROKEN, "/a.so", remedy);
    dipp_plugins_destroy(&plugins);

    /* With the sticky bit others may add files but not replace this one. */
    assert_int_equal(chmod(f.path, 01777), 0);
    plugins = opened_directories(f.path, NULL);
    is_entry(plugins, 0, DIPP_PLUGIN_USABLE, "/a.so", "");
    dipp_plugins_destroy(&plugins);

    /* A link is judged by what it points to. */
    folder g;
    folder_create(&g);
    char link[2 * FOLDER_PATH_BYTES];
    folder_file(&g, "link.so", link);
    assert_int_equal(symlink(file, link), 0);
    assert_int_equal(chmod(f.path, 0777), 0);
    plugins = opened_directories(g.path, NULL);
    is_entry(plugins, 0, DIPP_PLUGIN_BROKEN, "/link.so", remedy);
    dipp_plugins_destroy(&plugins);
    folder_destroy(&g);
    folder_destroy(&f);
}

static void the_current_directory_is_never_searched(void **state)
{
    (void)state;
    folder f;
    folder_create(&f);
    folder_put(&f, "good", "a.so");
    char *before = getcwd(NULL, 0);
    assert_non_null(before);
    assert_int_equal(chdir(f.path), 0);
    unsetenv("DIPP_PLUGIN_PATH");
    dipp_plugins *plugins = opened(NULL);
    for (size_t i = 0; i < dipp_plugins_count(plugins); i++)
        assert_null(strstr(dipp_plugins_at(plugins, i)->path, f.path));
    dipp_plugins_destroy(&plugins);

    setenv("DIPP_PLUGIN_PATH", ".::sub/folder:", 1);
    plugins = opened(&(dipp_plugins_options){.no_default = true});
    assert_int_equal(dipp_plugins_count(plugins), 2);
    is_entry(plugins, 0, DIPP_PLUGIN_IGNORED, ".", "a relative entry of DIPP_PLUGIN_PATH; expected an absolute path");
    is_entry(plugins, 1, DIPP_PLUGIN_IGNORED, "sub/folder", "a relative entry");
    dipp_plugins_destroy(&plugins);
    unsetenv("DIPP_PLUGIN_PATH");
    assert_int_equal(chdir(before), 0);
    free(before);
    folder_destroy(&f);
}

static void the_environment_comes_after_the_options(void **state)
{
    (void)state;
    folder a, b;
    folder_create(&a);
    folder_create(&b);
    folder_put(&a, "good", "a.so");
    folder_put(&b, "second", "b.so");
    char value[3 * FOLDER_PATH_BYTES];
    snprintf(value, sizeof value, "/no/such/folder:%s:%s", b.path, a.path);
    setenv("DIPP_PLUGIN_PATH", value, 1);
    const char *directories[] = {a.path};
    dipp_plugins *plugins =
        opened(&(dipp_plugins_options){.directories = directories, .directory_count = 1, .no_default = true});
    assert_int_equal(dipp_plugins_count(plugins), 3);
    is_entry(plugins, 0, DIPP_PLUGIN_USABLE, "/a.so", "");
    is_entry(plugins, 1, DIPP_PLUGIN_IGNORED, "/no/such/folder", "No such file");
    is_entry(plugins, 2, DIPP_PLUGIN_SHADOWED, "/b.so", "/a.so");
    dipp_plugins_destroy(&plugins);
    unsetenv("DIPP_PLUGIN_PATH");
    folder_destroy(&a);
    folder_destroy(&b);
}

static void an_uninstalled_build_finds_its_own_plugins(void **state)
{
    (void)state;
    dipp_plugins *plugins = opened(&(dipp_plugins_options){.no_environment = true});
    bool found = false;
    for (size_t i = 0; i < dipp_plugins_count(plugins); i++)
        found = found || strstr(dipp_plugins_at(plugins, i)->path, "/plugins/reference-mixture.so");
    assert_true(found);
    dipp_plugins_destroy(&plugins);
}

static void an_unknown_name_gets_the_known_ones_and_the_refused(void **state)
{
    (void)state;
    folder f;
    folder_create(&f);
    folder_put(&f, "good", "a.so");
    folder_put(&f, "wrong-tag", "b.so");
    dipp_plugins *plugins = opened_directories(f.path, NULL);
    const dipp_loaded_plugin *loaded = NULL;
    dipp_error error = {0};
    assert_int_equal(dipp_plugins_find(plugins, DIPP_PLUGIN_REWARD, "fixtrue", &loaded, &error), DIPP_E_NOT_FOUND);
    assert_non_null(strstr(error.message, "no reward plugin is called \"fixtrue\"; did you mean \"fixture\"?"));
    assert_non_null(strstr(error.message, "there is: fixture"));
    assert_non_null(strstr(error.message, "b.so: build tag: expected"));
    assert_int_equal(dipp_plugins_find(plugins, DIPP_PLUGIN_GENERATOR, "fixture", &loaded, &error), DIPP_E_NOT_FOUND);
    assert_non_null(strstr(error.message, "there are none"));
    assert_non_null(strstr(error.message, "DIPP_PLUGIN_PATH"));
    assert_null(loaded);
    dipp_plugins_destroy(&plugins);
    folder_destroy(&f);
}

static void a_file_that_changed_since_the_probe_is_not_loaded(void **state)
{
    (void)state;
    folder f;
    folder_create(&f);
    folder_put(&f, "good", "a.so");
    dipp_plugins *plugins = opened_directories(f.path, NULL);
    folder_put(&f, "crash-in-constructor", "a.so"); /* loading it would end this process */
    const dipp_loaded_plugin *loaded = NULL;
    dipp_error error = {0};
    assert_int_equal(dipp_plugins_find(plugins, DIPP_PLUGIN_REWARD, "fixture", &loaded, &error), DIPP_E_PLUGIN);
    assert_non_null(strstr(error.message, "expected the file that was probed"));
    dipp_plugins_destroy(&plugins);
    folder_destroy(&f);
}

static void every_lack_of_memory_is_an_error(void **state)
{
    (void)state;
    folder f;
    folder_create(&f);
    folder_put(&f, "record-null", "a.so");
    folder_put(&f, "good", "b.so");
    const char *directories[] = {f.path, "/no/such/folder"};
    dipp_plugins_options options = {
        .directories = directories, .directory_count = 2, .no_environment = true, .no_default = true};
    bool failed = true;
    for (uint64_t nth = 1; failed; nth++) {
        dipp_plugins *plugins = NULL;
        dipp_error error = {0};
        dipp_memory_fail_nth(nth, false);
        dipp_status status = dipp_plugins_open(&options, &plugins, &error);
        failed = dipp_memory_has_failed();
        dipp_memory_fail_nth(0, false);
        assert_int_equal(status, failed ? DIPP_E_MEMORY : DIPP_OK);
        assert_true((plugins == NULL) == failed);
        dipp_plugins_destroy(&plugins);
    }
    folder_destroy(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_order_is_by_place_then_by_name_and_the_first_wins),
        cmocka_unit_test(explicit_files_come_first_and_are_listed_once),
        cmocka_unit_test(what_anybody_could_replace_is_refused),
        cmocka_unit_test(the_current_directory_is_never_searched),
        cmocka_unit_test(the_environment_comes_after_the_options),
        cmocka_unit_test(an_uninstalled_build_finds_its_own_plugins),
        cmocka_unit_test(an_unknown_name_gets_the_known_ones_and_the_refused),
        cmocka_unit_test(a_file_that_changed_since_the_probe_is_not_loaded),
        cmocka_unit_test(every_lack_of_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
