/* dipp merge: databases of several machines become one. */
#include "cli/commands.h"

#include <string.h>

const char cli_merge_details[] =
    "INTO is made if missing. Rows meet by what they are (a run by its uuid, an experiment by its name, a file by its\n"
    "hash), so merging again changes nothing. Files stay where they are; INTO's rows lead to them. Of one cell made "
    "on\n"
    "two machines a completed run stays. A database of a newer dipp is refused. Exit code 3 when one is refused;\n"
    "those before it are merged.";

int cli_merge(int argc, char **argv)
{
    cli_list positionals = {0};
    const cli_option options[] = {{NULL, 0, CLI_FLAG, NULL, NULL, NULL}};
    int code = CLI_OK;
    const cli_command *self = cli_find_command("merge");
    if (!cli_parse(self, options, argc, argv, &positionals, &code))
        return code;
    if (positionals.count < 2) {
        cli_list_clear(&positionals);
        return cli_refuse(options, &positionals,
                          cli_usage_error(self, "a database to merge into and at least one to merge from are needed"));
    }
    dipp_error error;
    dipp_store *store = NULL;
    dipp_status status = dipp_store_open(positionals.items[0], NULL, &store, &error);
    for (size_t i = 1; i < positionals.count && status == DIPP_OK; i++) {
        dipp_store_merge_report report;
        status = dipp_store_merge(store, positionals.items[i], &report, &error);
        if (status == DIPP_OK)
            printf("%s: %lld runs, %lld added, %lld updated, %lld passed over\n", positionals.items[i],
                   (long long)report.runs, (long long)report.added, (long long)report.updated,
                   (long long)report.passed_over);
    }
    if (status != DIPP_OK)
        code = cli_fail(&error);
    dipp_store_close(&store);
    cli_list_clear(&positionals);
    return code;
}
