/* Every way in which a plugin file can be wrong has a message that says what was expected and what was found, and none of
 * them harms the process that asked. */
#include "folder.h"
#include "plugin/plugin_host.h"

#include "base/memory.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <errno.h>
#include <cmocka.h>

static void fixture_path(const char *fixture, char out[1024])
{
    snprintf(out, 1024, "%s/%s.so", getenv("DIPP_TEST_FIXTURES"), fixture);
}

/* The probe of a fixture fails and its message holds each of the texts. */
static void refuses(const char *fixture, uint32_t timeout_ms, const char *const *texts)
{
    char path[1024], *json = NULL;
    fixture_path(fixture, path);
    dipp_error error = {0};
    assert_int_equal(dipp_plugin_probe(path, timeout_ms, &json, &error), DIPP_E_PLUGIN);
    assert_null(json);
    assert_int_equal(strncmp(error.message, path, strlen(path)), 0);
    for (; *texts; texts++)
        if (!strstr(error.message, *texts))
            fail_msg("%s: expected \"%s\" in \"%s\"", fixture, *texts, error.message);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* nobody is left behind */
    assert_int_equal(errno, ECHILD);
}
#define REFUSES(fixture, ...) refuses(fixture, 20000, (const char *const[]){__VA_ARGS__, NULL})

static void versions_and_sizes_are_compared(void **state)
{
    (void)state;
    REFUSES("wrong-major", "ABI: expected major version 1", "found 2.4", "rebuild");
    REFUSES("newer-minor", "ABI: expected at most 1.4", "found 1.5", "newer dipp");
    REFUSES("wrong-tag", "build tag: expected \"" DIPP_BUILD_TAG "\"", "found \"shape8-tensor1\"");
    REFUSES("lying-size", "dipp_plugin.struct_size: expected", "found 4096");
    REFUSES("short-vtable", "plugin \"fixture\"", "dipp_reward.struct_size: expected", "found 16");
}

static void descriptors_are_checked(void **state)
{
    (void)state;
    REFUSES("bad-name", "name: expected [a-z0-9_-]+", "found \"Two Words\"");
    REFUSES("record-null", "plugin \"fixture\"", "expected a function in vtable slot record", "found NULL");
    REFUSES("duplicate-name", "reward \"fixture\": expected once", "found as descriptors 0 and 1");
    REFUSES("duplicate-key", "parameter \"scale\": expected one row", "found rows 0 and 1");
    REFUSES("bad-default", "parameter \"scale\": expected exactly one of default_text, REQUIRED and OPTIONAL",
            "found 0");
    REFUSES("no-descriptors", "expected at least one descriptor", "found a count of 0");
    REFUSES("not-utf8", "expected texts of UTF-8");
}

static void files_that_do_not_load_say_why(void **state)
{
    (void)state;
    REFUSES("unresolved", "expected a shared object that links against this libdipp", "dipp_from_the_future");
    REFUSES("no-entry", "expected the function dipp_plugin_entry_v1", "found no such symbol");
    char *json = NULL;
    dipp_error error = {0};
    assert_int_equal(dipp_plugin_probe("/proc/self/status", 20000, &json, &error), DIPP_E_PLUGIN);
    assert_non_null(strstr(error.message, "found: "));
    /* The dynamic linker would search elsewhere for a bare name. */
    assert_int_equal(dipp_plugin_probe("libm.so.6", 20000, &json, &error), DIPP_E_INVALID);
}

static void crashes_hangs_and_exits_are_survived(void **state)
{
    (void)state;
    REFUSES("crash-in-entry", "found a crash: signal 11", "in dipp_plugin_entry_v1()");
    REFUSES("crash-in-constructor", "found a crash: signal 6", "while being loaded");
    REFUSES("crash-in-descriptor", "found a crash: signal 11", "while its descriptors were read");
    REFUSES("exit-in-entry", "ended the process (exit status 3)", "in dipp_plugin_entry_v1()");
    refuses("hang-in-entry", 300, (const char *const[]){"within 300 ms", "it hung in dipp_plugin_entry_v1()", NULL});
}

static void a_good_file_describes_itself(void **state)
{
    (void)state;
    char path[1024], *text = NULL;
    fixture_path("good", path);
    dipp_error error = {0};
    if (dipp_plugin_probe(path, 20000, &text, &error))
        fail_msg("%s", error.message);
    json_t *root = json_loads(text, 0, NULL), *plugin = json_array_get(json_object_get(root, "plugins"), 0);
    assert_string_equal(json_string_value(json_object_get(plugin, "kind")), "reward");
    assert_string_equal(json_string_value(json_object_get(plugin, "name")), "fixture");
    assert_string_equal(json_string_value(json_object_get(plugin, "version")), "1.0.0");
    assert_string_equal(json_string_value(json_object_get(plugin, "build_tag")), DIPP_BUILD_TAG);
    char *parameters = json_dumps(json_object_get(plugin, "parameters"), JSON_COMPACT | JSON_SORT_KEYS);
    assert_string_equal(parameters,
                        "[{\"default\":\"1.5\",\"flags\":[\"live\"],\"help\":\"A number.\",\"key\":\"scale\","
                        "\"maximum\":8.0,\"minimum\":0.0,\"type\":\"float\",\"unit\":\"points\"},"
                        "{\"choices\":[\"a\",\"b\"],\"default\":\"a\",\"flags\":[],\"help\":\"A choice.\","
                        "\"key\":\"mode\",\"type\":\"enum\"}]");
    free(parameters);
    json_decref(root);
    dipp_release(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(versions_and_sizes_are_compared), cmocka_unit_test(descriptors_are_checked),
        cmocka_unit_test(files_that_do_not_load_say_why),  cmocka_unit_test(crashes_hangs_and_exits_are_survived),
        cmocka_unit_test(a_good_file_describes_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
