#include "cli/table.h"

#include "experiment/visible.h"

#include <stdlib.h>
#include <string.h>

void cli_table_add(cli_table *table, const char *const *cells)
{
    if (table->rows == table->capacity) {
        size_t capacity = table->capacity ? 2 * table->capacity : 16;
        char **grown = realloc(table->cells, capacity * table->columns * sizeof *grown);
        if (!grown) {
            table->failed = true;
            return;
        }
        table->cells = grown;
        table->capacity = capacity;
    }
    for (size_t i = 0; i < table->columns; i++) {
        char *copy = strdup(cells[i] ? cells[i] : "");
        table->failed |= !copy;
        table->cells[table->rows * table->columns + i] = copy;
    }
    table->rows++;
}

int cli_table_add_row(void *user, int columns, const char *const *names, const char *const *values)
{
    cli_table *table = user;
    if (!table->rows) {
        table->columns = (size_t)columns;
        cli_table_add(table, names);
    }
    cli_table_add(table, values);
    return 0;
}

void cli_table_clear(cli_table *table)
{
    for (size_t i = 0; i < table->rows * table->columns; i++)
        free(table->cells[i]);
    free(table->cells);
    *table = (cli_table){.columns = table->columns};
}

/* Characters of UTF-8 text; what is shown is as wide where nothing is wider than one cell. */
static size_t width_of(const char *text)
{
    size_t width = 0;
    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static bool is_number(const char *text)
{
    char *end;
    strtod(text, &end);
    return !*text || (end != text && (!*end || *end == ' ' || *end == '*'));
}

void cli_table_print(const cli_table *table, FILE *stream, size_t limit)
{
    size_t columns = table->columns;
    size_t *widths = calloc(columns + 1, sizeof *widths);
    bool *right = calloc(columns + 1, sizeof *right);
    for (size_t c = 0; widths && right && c < columns; c++) {
        right[c] = table->rows > 1;
        for (size_t r = 0; r < table->rows; r++) {
            const char *cell = table->cells[r * columns + c] ? table->cells[r * columns + c] : "";
            size_t width = width_of(cell);
            if (limit && width > limit + 3)
                width = limit + 3;
            if (width > widths[c])
                widths[c] = width;
            if (r && !is_number(cell))
                right[c] = false;
        }
    }
    for (size_t r = 0; widths && right && r < table->rows; r++) {
        for (size_t c = 0; c < columns; c++) {
            dipp_text shown = {0};
            const char *cell = table->cells[r * columns + c] ? table->cells[r * columns + c] : "";
            dipp_text_append_visible(&shown, cell, strlen(cell), limit ? limit : (size_t)1 << 20);
            const char *text = shown.data ? shown.data : "";
            size_t width = width_of(text);
            int padding = width < widths[c] ? (int)(widths[c] - width) : 0;
            bool last = c + 1 == columns;
            fprintf(stream, "%*s%s%*s%s", right[c] ? padding : 0, "", text, right[c] || last ? 0 : padding, "",
                    last ? "\n" : "  ");
            dipp_text_discard(&shown);
        }
        if (!r) {
            for (size_t c = 0; c < columns; c++) {
                for (size_t i = 0; i < widths[c]; i++)
                    fputc('-', stream);
                fputs(c + 1 == columns ? "\n" : "  ", stream);
            }
        }
    }
    free(widths);
    free(right);
}
