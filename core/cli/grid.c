/* dipp grid: an experiment's pictures beside each other once more, or so that nobody knows which is whose. */
#include "cli/commands.h"

#include "base/memory.h"
#include "experiment/run_grid.h"

const char cli_grid_details[] =
    "EXPERIMENT is a name in the database. Prompts go down; reference, before alignment and every arm (its smallest "
    "seed)\n"
    "across; one noise in a row. --blind shuffles the columns of each row and calls them A, B, ...; only the file of\n"
    "--key tells which is which, so that a person can judge without knowing. Exit code 3 when there are no pictures.";

int cli_grid(int argc, char **argv)
{
    const char *database = NULL;
    dipp_grid_request request = {0};
    long seed = 0;
    cli_list positionals = {0};
    const cli_option options[] = {
        CLI_DATABASE_OPTION(database),
        {"out", 'o', CLI_TEXT, "FILE", "the PNG; default EXPERIMENT.png among the database's grids", &request.path},
        {"blind", 0, CLI_FLAG, NULL, "shuffle the columns of every row", &request.blind},
        {"key", 0, CLI_TEXT, "FILE", "where --blind writes which column is which", &request.key},
        {"seed", 0, CLI_NUMBER, "N", "of the shuffling, default 0", &seed},
        {NULL, 0, CLI_FLAG, NULL, NULL, NULL}};
    int code = CLI_OK;
    const cli_command *self = cli_find_command("grid");
    if (!cli_parse(self, options, argc, argv, &positionals, &code))
        return code;
    dipp_error error;
    dipp_store *store = NULL;
    char *path = NULL;
    if (positionals.count != 1)
        code = cli_usage_error(self, "the name of one experiment is needed");
    else if (request.blind != (request.key != NULL))
        code = cli_usage_error(self, "--blind and --key FILE go together");
    if (code == CLI_OK) {
        dipp_store_options open = {.mode = request.blind || request.path ? DIPP_STORE_READ : DIPP_STORE_WRITE};
        request.experiment = positionals.items[0];
        request.random_seed = (uint64_t)seed;
        dipp_status status = dipp_store_open(cli_database(database, NULL), &open, &store, &error);
        if (status == DIPP_OK)
            status = dipp_run_grid_again(store, &request, &path, &error);
        if (status == DIPP_OK)
            printf("%s\n", path);
        else
            code = cli_fail(&error);
    }
    dipp_release(path);
    dipp_store_close(&store);
    cli_list_clear(&positionals);
    return code;
}
