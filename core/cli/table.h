/* A table of texts as boxes of plain characters, as wide as it must be. */
#ifndef DIPP_CLI_TABLE_H
#define DIPP_CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

typedef struct cli_table {
    size_t columns, rows, capacity;
    char **cells; /* [rows * columns] */
    bool failed;
} cli_table;

/* Starts from {.columns = n}; the first row is the heading. */
void cli_table_add(cli_table *table, const char *const *cells);
/* A row of a query (dipp_store_query) into the cli_table that user is; the first brings the heading. Returns 0. */
int cli_table_add_row(void *user, int columns, const char *const *names, const char *const *values);
/* Cells that all rows but the first have as numbers stand at the right. Cells are cut at `limit` characters (0: never). */
void cli_table_print(const cli_table *table, FILE *stream, size_t limit);
void cli_table_clear(cli_table *table);

#endif
