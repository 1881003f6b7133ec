#include "cli/summary.h"

#include "cli/table.h"

#include "base/memory.h"
#include "experiment/run_grid.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { METRICS = 24, ROWS = 512, NAME_BYTES = 96, CELL_BYTES = 40 };

static const char before[] = " (step 0)";

/* Arms down, metrics across; a cell is mean, spread over seeds, and * where the arm was trained on the metric. */
typedef struct summary_pivot {
    const dipp_run_plan *plan;
    char metrics[METRICS][NAME_BYTES];
    char rows[ROWS][NAME_BYTES];
    char seeds[ROWS][16];
    bool hidden[ROWS];
    char (*cells)[METRICS][CELL_BYTES]; /* [ROWS] */
    size_t metric_count, row_count;
} summary_pivot;

static size_t index_of(char (*names)[NAME_BYTES], size_t *count, size_t limit, const char *name)
{
    for (size_t i = 0; i < *count; i++)
        if (!strcmp(names[i], name))
            return i;
    if (*count == limit)
        return limit;
    snprintf(names[*count], NAME_BYTES, "%s", name);
    return (*count)++;
}

/* Rows of this plan only: other configurations of the experiment may be in the database, too. */
static bool belongs(const summary_pivot *pivot, const char *arm, const char *config)
{
    if (!*config)
        return true;
    for (size_t i = 0; i < pivot->plan->count; i++)
        if (!strcmp(pivot->plan->cells[i].cell->arm, arm) && !strncmp(pivot->plan->cells[i].key, config, 8))
            return true;
    return false;
}

static int add_row(void *user, int columns, const char *const *names, const char *const *values)
{
    summary_pivot *pivot = user;
    const char *metric = values[0], *arm = values[1], *config = values[2] ? values[2] : "", *point = values[3];
    char label[NAME_BYTES];
    if (!belongs(pivot, arm, config))
        return 0;
    snprintf(label, sizeof label, "%s%s", arm, !strcmp(point, "start") ? before : "");
    size_t m = index_of(pivot->metrics, &pivot->metric_count, METRICS, metric);
    size_t r = index_of(pivot->rows, &pivot->row_count, ROWS, label);
    if (m == METRICS || r == ROWS)
        return 0;
    snprintf(pivot->seeds[r], sizeof pivot->seeds[r], "%s", values[4]);
    if (!values[5])
        snprintf(pivot->cells[r][m], CELL_BYTES, "nan");
    else if (values[6] && atof(values[6]) > 1e-6 * fabs(atof(values[5]))) /* less is rounding */
        snprintf(pivot->cells[r][m], CELL_BYTES, "%.4g ±%.2g%s", atof(values[5]), atof(values[6]),
                 values[7] && *values[7] == '1' ? "*" : "");
    else
        snprintf(pivot->cells[r][m], CELL_BYTES, "%.4g%s", atof(values[5]), values[7] && *values[7] == '1' ? "*" : "");
    return 0;
}

static bool is_start(const char *row)
{
    size_t length = strlen(row), tail = sizeof before - 1;
    return length > tail && !strcmp(row + length - tail, before);
}

/* Arms that started from the same weights have the same row before their first step: one is enough. */
static void merge_starts(summary_pivot *pivot)
{
    size_t first = ROWS, starts = 0;
    for (size_t r = 0; r < pivot->row_count; r++) {
        if (!is_start(pivot->rows[r]))
            continue;
        first = first == ROWS ? r : first;
        if (memcmp(pivot->cells[r], pivot->cells[first], sizeof pivot->cells[r]))
            return;
        starts++;
    }
    if (starts < 2)
        return;
    snprintf(pivot->rows[first], NAME_BYTES, "%s", before + 1);
    for (size_t r = 0; r < pivot->row_count; r++)
        pivot->hidden[r] = r != first && is_start(pivot->rows[r]);
}

static void print(summary_pivot *pivot)
{
    merge_starts(pivot);
    cli_table table = {.columns = pivot->metric_count + 2};
    const char *cells[METRICS + 2] = {"arm", "seeds"};
    bool starred = false;
    for (size_t m = 0; m < pivot->metric_count; m++)
        cells[m + 2] = pivot->metrics[m];
    cli_table_add(&table, cells);
    for (size_t r = 0; r < pivot->row_count; r++) {
        if (pivot->hidden[r])
            continue;
        cells[0] = pivot->rows[r];
        cells[1] = pivot->seeds[r];
        for (size_t m = 0; m < pivot->metric_count; m++) {
            cells[m + 2] = pivot->cells[r][m];
            starred |= strchr(pivot->cells[r][m], '*') != NULL;
        }
        cli_table_add(&table, cells);
    }
    cli_table_print(&table, stdout, 0);
    if (starred)
        printf("* the arm was trained on this metric\n");
    cli_table_clear(&table);
}

static int print_alarm(void *user, int columns, const char *const *names, const char *const *values)
{
    const summary_pivot *pivot = user;
    if (belongs(pivot, values[0], values[1]))
        fprintf(stderr, "dipp: ALARM %s:%s at step %s: %s\n", values[0], values[2], values[3], values[4]);
    return 0;
}

dipp_status cli_summary(const dipp_run_plan *plan, dipp_store *store, bool quiet, dipp_error *error)
{
    const char *binds[] = {dipp_experiment_name(plan->experiment)};
    summary_pivot *pivot = calloc(1, sizeof *pivot);
    if (!pivot || !(pivot->cells = calloc(ROWS, sizeof *pivot->cells))) {
        free(pivot);
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for the summary");
    }
    pivot->plan = plan;
    dipp_status status = quiet ? DIPP_OK
                               : dipp_store_query(store,
                                                  "SELECT metric, arm, config, point, seeds, mean, sd, trained_on FROM "
                                                  "leaderboard WHERE experiment=?1 AND metric NOT LIKE 'sample\\_%' "
                                                  "ESCAPE '\\' ORDER BY point='reference' DESC, point='start' DESC, "
                                                  "arm, metric",
                                                  binds, 1, add_row, pivot, error);
    if (status == DIPP_OK && pivot->row_count)
        print(pivot);
    if (status == DIPP_OK)
        status = dipp_store_query(store,
                                  "SELECT arm, config, seed, alarm_step, message FROM monitor_alarms WHERE "
                                  "experiment=?1 AND alarm_step IS NOT NULL ORDER BY run_id",
                                  binds, 1, print_alarm, pivot, error);
    char *grid = NULL;
    if (status == DIPP_OK)
        status = dipp_run_grid(plan, store, &grid, error);
    if (status == DIPP_OK && grid && !quiet)
        printf("pictures: %s\n", grid);
    dipp_release(grid);
    free(pivot->cells);
    free(pivot);
    return status;
}
