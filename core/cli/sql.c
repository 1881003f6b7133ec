/* dipp sql: the database as sqlite3 sees it, never written. */
#include "cli/commands.h"
#include "cli/table.h"

#include "base/file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char cli_sql_details[] =
    "With a query: its rows. Without: the sqlite3 shell on the database, read-only. Views to "
    "start from:\nsummary, leaderboard, pairwise, paired_by_seed, at_equal_kl; "
    "results/README.md has queries.";

typedef struct output {
    cli_table table;
    bool csv, started;
} output;

static void print_csv(int columns, const char *const *cells)
{
    for (int i = 0; i < columns; i++) {
        const char *cell = cells[i] ? cells[i] : "";
        bool quote = strpbrk(cell, ",\"\n\r") != NULL;
        fputs(i ? "," : "", stdout);
        if (!quote) {
            fputs(cell, stdout);
            continue;
        }
        putchar('"');
        for (; *cell; cell++) {
            if (*cell == '"')
                putchar('"');
            putchar(*cell);
        }
        putchar('"');
    }
    putchar('\n');
}

static int add(void *user, int columns, const char *const *names, const char *const *values)
{
    output *out = user;
    if (!out->started) {
        out->started = true;
        out->table.columns = (size_t)columns;
        if (out->csv)
            print_csv(columns, names);
        else
            cli_table_add(&out->table, names);
    }
    if (out->csv)
        print_csv(columns, values);
    else
        cli_table_add(&out->table, values);
    return 0;
}

static int shell(const char *database)
{
    execlp("sqlite3", "sqlite3", "-readonly", "-box", database, (char *)NULL);
    fprintf(stderr, "dipp: cannot start sqlite3 (%s); install the package sqlite3, or give a query\n", strerror(errno));
    return CLI_ERROR;
}

int cli_sql(int argc, char **argv)
{
    const char *database = NULL;
    output out = {.csv = false};
    cli_list positionals = {0};
    const cli_option table[] = {CLI_DATABASE_OPTION(database),
                                {"csv", 0, CLI_FLAG, NULL, "comma-separated values", &out.csv},
                                {NULL, 0, CLI_FLAG, NULL, NULL, NULL}};
    int code = CLI_OK;
    const cli_command *self = cli_find_command("sql");
    if (!cli_parse(self, table, argc, argv, &positionals, &code))
        return code;
    if (positionals.count > 1)
        return cli_refuse(table, &positionals, cli_usage_error(self, "one query at a time; put it in quotes"));
    dipp_error error;
    dipp_store *store = NULL;
    database = cli_database(database, NULL);
    dipp_status status = cli_open_store(database, &store, &error);
    if (status == DIPP_OK && !positionals.count) {
        dipp_store_close(&store);
        return shell(database);
    }
    if (status == DIPP_OK)
        status = dipp_store_query(store, positionals.items[0], NULL, 0, add, &out, &error);
    if (status == DIPP_OK && !out.csv && out.started)
        cli_table_print(&out.table, stdout, 0);
    if (status != DIPP_OK)
        code = cli_fail(&error);
    cli_table_clear(&out.table);
    dipp_store_close(&store);
    cli_list_clear(&positionals);
    return code;
}
