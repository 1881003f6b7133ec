/* dipp gc: what lies beside the database and is not needed any more. */
#include "cli/commands.h"
#include "cli/table.h"

#include "experiment/run_garbage.h"

const char cli_gc_details[] =
    "Lists folders of runs that the database does not know, checkpoints of completed runs, and the reference's "
    "samples\n"
    "that are kept for later runs (drawn again when wanted). Weights, pictures and rows stay. Deletes only with --yes.";

static void print(const dipp_garbage *garbage, bool deleted)
{
    static const char *const kinds[] = {"folder without run", "checkpoint", "cache"};
    cli_table table = {.columns = 3};
    cli_table_add(&table, (const char *const[]){"what", "path", "size"});
    for (size_t i = 0; i < garbage->count; i++) {
        char bytes[CLI_BYTES_TEXT];
        cli_table_add(&table, (const char *const[]){kinds[garbage->items[i].kind], garbage->items[i].path,
                                                    cli_bytes_text((size_t)garbage->items[i].bytes, bytes)});
    }
    if (garbage->count)
        cli_table_print(&table, stdout, 0);
    cli_table_clear(&table);
    char total[CLI_BYTES_TEXT];
    printf("%zu of these, %s%s\n", garbage->count, cli_bytes_text((size_t)garbage->bytes, total),
           !garbage->count ? ""
           : deleted       ? ", deleted"
                           : "; nothing was deleted, --yes does it");
}

int cli_gc(int argc, char **argv)
{
    const char *database = NULL;
    bool yes = false;
    cli_list positionals = {0};
    const cli_option options[] = {CLI_DATABASE_OPTION(database),
                                  {"yes", 'y', CLI_FLAG, NULL, "delete them", &yes},
                                  {NULL, 0, CLI_FLAG, NULL, NULL, NULL}};
    int code = CLI_OK;
    const cli_command *self = cli_find_command("gc");
    if (!cli_parse(self, options, argc, argv, &positionals, &code))
        return code;
    if (positionals.count)
        return cli_refuse(options, &positionals, cli_usage_error(self, "nothing but options is expected"));
    dipp_error error;
    dipp_store *store = NULL;
    dipp_garbage garbage = {0};
    dipp_store_options open = {.mode = yes ? DIPP_STORE_WRITE : DIPP_STORE_READ};
    dipp_status status = dipp_store_open(cli_database(database, NULL), &open, &store, &error);
    if (status == DIPP_OK)
        status = dipp_garbage_find(store, &garbage, &error);
    if (status == DIPP_OK && yes)
        status = dipp_garbage_delete(store, &garbage, &error);
    if (status == DIPP_OK)
        print(&garbage, yes);
    else
        code = cli_fail(&error);
    dipp_garbage_clear(&garbage);
    dipp_store_close(&store);
    return code;
}
