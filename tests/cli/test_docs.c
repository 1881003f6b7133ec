/* The experiments of docs/exact-experiments.md run as they stand there, for a few steps. */
#include "cli_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_blocks(void **state)
{
    static char page[1 << 16];
    static const char begin[] = "\n```yaml\n", end[] = "\n```\n";
    FILE *stream = fopen(getenv("DIPP_DOCUMENT"), "r");
    assert_non_null(stream);
    page[fread(page, 1, sizeof page - 1, stream)] = 0;
    fclose(stream);
    int blocks = 0;
    for (char *at = page; (at = strstr(at, begin)); blocks++) {
        at += sizeof begin - 1;
        char *stop = strstr(at, end);
        assert_non_null(stop);
        *stop = 0;
        write_file("block.yaml", at);
        if (dipp("run block.yaml --db blocks.db align.steps=3") != 0)
            fail_msg("%s\n%s", at, output(NULL));
        assert_null(strstr(output(NULL), "has no effect"));
        at = stop + 1;
    }
    assert_int_equal(blocks, 4);
    assert_int_equal(ask("blocks.db", "SELECT count(*) FROM runs WHERE status='completed'"), 3 + 3 + 8 + 8);
    assert_int_equal(ask("blocks.db", "SELECT count(*) FROM metrics JOIN metric_names USING(metric_id) WHERE "
                                      "name='mean.0' AND step=3"),
                     3 + 3 + 8 + 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(test_blocks, cli_setup, cli_teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
