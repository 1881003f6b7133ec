/* dipp report: an experiment as one HTML file. */
#include "cli/commands.h"

#include "base/memory.h"
#include "report/report.h"

const char cli_report_details[] =
    "Writes one HTML file with verdict, tables, curves and pictures; it opens from the disk, without network or "
    "script.\n"
    "The default is NAME/reports/EXPERIMENT.html beside the database NAME.db; the path is printed.";

int cli_report(int argc, char **argv)
{
    const char *database = NULL, *out = NULL;
    cli_list positionals = {0};
    const cli_option options[] = {CLI_DATABASE_OPTION(database),
                                  {"out", 'o', CLI_TEXT, "FILE", "where to write it", &out},
                                  {NULL, 0, CLI_FLAG, NULL, NULL, NULL}};
    int code = CLI_OK;
    const cli_command *self = cli_find_command("report");
    if (!cli_parse(self, options, argc, argv, &positionals, &code))
        return code;
    if (positionals.count != 1)
        return cli_refuse(options, &positionals, cli_usage_error(self, "one experiment is needed, by its name"));
    dipp_error error;
    dipp_store *store = NULL;
    char *written = NULL;
    dipp_status status = cli_open_store(cli_database(database, NULL), &store, &error);
    if (status == DIPP_OK)
        status = dipp_report_write(store, positionals.items[0], out, &written, &error);
    if (status == DIPP_OK)
        printf("%s\n", written);
    else
        code = cli_fail(&error);
    dipp_release(written);
    dipp_store_close(&store);
    cli_list_clear(&positionals);
    return code;
}
