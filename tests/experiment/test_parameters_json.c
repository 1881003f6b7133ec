/* Parameters of plugins as the store keeps them, all of them, and as people are shown them, less their defaults. */
#include "catalog.h"
#include "base/memory.h"
#include "experiment/parameters_json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

enum { GIVEN = 4 };

static const struct {
    const dipp_parameter *table;
    uint32_t count;
    const char *given[GIVEN];
    const char *all, *changed;
} cases[] = {
    {test_border, 3, {NULL}, "{\"color\":[1,0,0],\"width\":4,\"bins\":[1,2]}", "{}"},
    {test_border, 3, {"width=4", "color=[1.0, 0, 0]"}, "{\"color\":[1,0,0],\"width\":4,\"bins\":[1,2]}", "{}"},
    {test_border,
     3,
     {"width=5", "bins=[1]", "color=[1, 0, 0.1]"},
     "{\"color\":[1,0,0.1],\"width\":5,\"bins\":[1]}",
     "{\"color\":[1,0,0.1],\"width\":5,\"bins\":[1]}"},
    {test_dit,
     4,
     {"head=edm", "sigma_init=0.30000000000000004"},
     "{\"width\":256,\"head\":\"edm\",\"sigma_init\":0.30000000000000004}",
     "{\"sigma_init\":0.30000000000000004}"},
    {test_dit,
     4,
     {"head=v", "vocabulary=\"a \\\"b\\\", {c: d}\""},
     "{\"width\":256,\"head\":\"v\",\"sigma_init\":2.5,\"vocabulary\":\"a \\\"b\\\", {c: d}\"}",
     "{\"head\":\"v\",\"vocabulary\":\"a \\\"b\\\", {c: d}\"}"},
    /* What has no default is always said. */
    {test_mixture, 4, {"means=[1, 2]"}, "{\"means\":[1,2],\"labels\":[],\"exact\":true}", "{\"means\":[1,2]}"},
    {test_mixture,
     4,
     {"means=[0]", "exact=false", "labels=[\"1\", \"true\"]"},
     "{\"means\":[0],\"labels\":[\"1\",\"true\"],\"exact\":false}",
     "{\"means\":[0],\"labels\":[\"1\",\"true\"],\"exact\":false}"},
};

static void defaults_are_left_out(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dipp_parameters *parameters = NULL;
        dipp_error error = {0};
        uint32_t given = 0;
        while (given < GIVEN && cases[i].given[given])
            given++;
        if (dipp_parameters_create_from_text(cases[i].table, cases[i].count, cases[i].given, given, &parameters,
                                             &error))
            fail_msg("%s", error.message);
        char *all = dipp_parameters_json(cases[i].table, cases[i].count, parameters);
        char *changed = dipp_parameters_json_changed(cases[i].table, cases[i].count, all);
        assert_string_equal(all, cases[i].all);
        assert_string_equal(changed, cases[i].changed);
        dipp_release(all);
        dipp_release(changed);
        dipp_parameters_destroy(&parameters);
    }
}

/* What the table does not take, as that of another version may not, stays as it is. */
static void what_is_not_of_the_table_is_said_whole(void **state)
{
    (void)state;
    static const char *const texts[] = {"{\"width\":4,\"height\":4}", "{\"width\":0}", "[1,2]", "{\"width\":", ""};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        char *changed = dipp_parameters_json_changed(test_border, 3, texts[i]);
        assert_string_equal(changed, texts[i]);
        dipp_release(changed);
    }
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    static const char json[] = "{\"color\":[1,0,0],\"width\":5,\"bins\":[1,2]}";
    for (uint64_t nth = 1;; nth++) {
        dipp_memory_fail_nth(nth, false);
        char *changed = dipp_parameters_json_changed(test_border, 3, json);
        bool failed = dipp_memory_has_failed();
        dipp_memory_fail_nth(0, false);
        if (changed && strcmp(changed, json) != 0 && !strstr(changed, "\"width\":5"))
            fail_msg("allocation %llu: %s", (unsigned long long)nth, changed);
        dipp_release(changed);
        if (!failed)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_left_out),
        cmocka_unit_test(what_is_not_of_the_table_is_said_whole),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
