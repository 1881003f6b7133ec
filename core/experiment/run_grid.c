#include "experiment/run_grid.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/philox.h"
#include "base/text.h"
#include "data/grid.h"
#include "experiment/run_record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { GRID_COLUMNS = 16, GRID_ROWS = 64, GRID_SAMPLES = 8, HEADING_BYTES = 160, STREAM_SHUFFLE = 1 };

/* One column: where its pictures come from. */
typedef struct grid_column {
    char heading[HEADING_BYTES];
    int64_t run_id;
    const char *subject;
    bool before; /* step 0, else the last step */
    bool filled; /* some picture was found */
} grid_column;

typedef struct grid_state {
    const char *root;
    grid_column columns[GRID_COLUMNS];
    size_t column_count;
    size_t at; /* the column being read */
    char *texts[GRID_ROWS];
    dipp_image *pictures; /* [GRID_ROWS][GRID_COLUMNS][GRID_SAMPLES] */
    int rows, samples, side;
    dipp_status status;
    dipp_error error;
} grid_state;

static dipp_image *picture_at(grid_state *state, size_t row, size_t column, size_t sample)
{
    return &state->pictures[(row * GRID_COLUMNS + column) * GRID_SAMPLES + sample];
}

/* path, prompt, sample, text */
static int read_picture(void *user, int columns, const char *const *names, const char *const *values)
{
    grid_state *state = user;
    long row = values[1] ? strtol(values[1], NULL, 10) : -1, sample = values[2] ? strtol(values[2], NULL, 10) : -1;
    if (row < 0 || row >= GRID_ROWS || sample < 0 || sample >= GRID_SAMPLES || !values[0])
        return 0;
    char *path = dipp_path_join(state->root, values[0]);
    dipp_image *image = picture_at(state, (size_t)row, state->at, (size_t)sample);
    dipp_image_clear(image);
    state->status = path ? dipp_image_read(path, image, &state->error)
                         : dipp_fail(&state->error, DIPP_E_MEMORY, "no memory for a grid");
    dipp_release(path);
    if (state->status == DIPP_E_NOT_FOUND || (state->side && state->status == DIPP_OK && image->width != state->side)) {
        dipp_image_clear(image); /* removed by hand, or of another size: left white */
        state->status = DIPP_OK;
        return 0;
    }
    if (state->status != DIPP_OK)
        return 1;
    state->side = image->width;
    state->columns[state->at].filled = true;
    if (!state->texts[row] && values[3])
        state->texts[row] = dipp_string_copy(values[3]);
    state->rows = row + 1 > state->rows ? (int)row + 1 : state->rows;
    state->samples = sample + 1 > state->samples ? (int)sample + 1 : state->samples;
    return 0;
}

static dipp_status read_column(grid_state *state, dipp_store *store, size_t index, dipp_error *error)
{
    static const char last[] = "SELECT path, json_extract(meta_json,'$.prompt'), json_extract(meta_json,'$.sample'), "
                               "json_extract(meta_json,'$.text') FROM artifacts WHERE run_id=CAST(?1 AS INTEGER) AND "
                               "kind='image' AND json_extract(meta_json,'$.subject')=?2 AND step=(SELECT max(step) "
                               "FROM artifacts WHERE run_id=CAST(?1 AS INTEGER) AND kind='image')";
    static const char first[] = "SELECT path, json_extract(meta_json,'$.prompt'), json_extract(meta_json,'$.sample'), "
                                "json_extract(meta_json,'$.text') FROM artifacts WHERE run_id=CAST(?1 AS INTEGER) AND "
                                "kind='image' AND json_extract(meta_json,'$.subject')=?2 AND step=0";
    const grid_column *column = &state->columns[index];
    char run[24];
    const char *binds[] = {run, column->subject};
    snprintf(run, sizeof run, "%lld", (long long)column->run_id);
    state->at = index;
    dipp_status status = dipp_store_query(store, column->before ? first : last, binds, 2, read_picture, state, error);
    if (status == DIPP_OK && state->status != DIPP_OK) {
        *error = state->error;
        status = state->status;
    }
    return status;
}

static void add_column(grid_state *state, const char *heading, int64_t run_id, const char *subject, bool before)
{
    if (state->column_count == GRID_COLUMNS)
        return;
    grid_column *column = &state->columns[state->column_count++];
    *column = (grid_column){.run_id = run_id, .subject = subject, .before = before};
    snprintf(column->heading, sizeof column->heading, "%s", heading);
}

/* The first completed run of each arm. */
static void choose_columns(const dipp_run_plan *plan, grid_state *state)
{
    for (size_t i = 0; i < plan->count && state->column_count < GRID_COLUMNS; i++) {
        const dipp_planned_cell *cell = &plan->cells[i];
        bool known = false;
        if (cell->status != DIPP_RUN_COMPLETED || !cell->run_id)
            continue;
        for (size_t k = 0; k < state->column_count; k++)
            known |= !strcmp(state->columns[k].heading, cell->cell->arm);
        if (!state->column_count) {
            add_column(state, "reference", cell->run_id, "reference", true);
            add_column(state, "before", cell->run_id, "generator", true);
        }
        if (!known)
            add_column(state, cell->cell->arm, cell->run_id, "generator", false);
    }
}

/* "a b/c" -> "a_b_c". */
static char *file_name(const char *experiment, bool blind)
{
    dipp_text text = {0};
    dipp_text_printf(&text, "%s%s.png", experiment, blind ? "-blind" : "");
    char *name = dipp_text_finish(&text);
    for (char *at = name; at && *at; at++)
        if (*at == '/' || *at == ' ')
            *at = '_';
    return name;
}

/* Which column is shown where: order[row * GRID_COLUMNS + place]; the number of places is returned. */
static size_t order_columns(const grid_state *state, const dipp_grid_request *request, size_t *order)
{
    size_t shown[GRID_COLUMNS] = {0}, columns = 0; /* a run that trains the reference has nothing beside it */
    for (size_t c = 0; c < state->column_count; c++)
        if (state->columns[c].filled)
            shown[columns++] = c;
    for (size_t r = 0; r < (size_t)state->rows; r++) {
        size_t *row = order + r * GRID_COLUMNS;
        memcpy(row, shown, columns * sizeof *shown);
        for (size_t left = columns; request->blind && left > 1; left--) {
            double u = dipp_philox_uniform_double(request->random_seed, STREAM_SHUFFLE, (uint32_t)r, 0, (uint32_t)left);
            size_t with = (size_t)(u * (double)left), kept = row[left - 1];
            row[left - 1] = row[with];
            row[with] = kept;
        }
    }
    return columns;
}

static dipp_status draw(const grid_state *state, const dipp_grid_request *request, const size_t *order, size_t columns,
                        const char *path, dipp_error *error)
{
    size_t rows = (size_t)state->rows, samples = (size_t)state->samples;
    const uint8_t **cells = dipp_allocate_zeroed(rows * columns * samples, sizeof *cells);
    char letters[GRID_COLUMNS][2];
    const char *headings[GRID_COLUMNS];
    if (!cells)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for a grid");
    for (size_t c = 0; c < columns; c++) {
        letters[c][0] = (char)('A' + c);
        letters[c][1] = 0;
        headings[c] = request->blind ? letters[c] : state->columns[order[c]].heading;
    }
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < columns; c++)
            for (size_t s = 0; s < samples; s++)
                cells[(r * columns + c) * samples + s] =
                    state->pictures[(r * GRID_COLUMNS + order[r * GRID_COLUMNS + c]) * GRID_SAMPLES + s].pixels;
    dipp_grid_options grid = {.rows = state->rows,
                              .columns = (int)columns,
                              .per_cell = state->samples,
                              .side = state->side,
                              .title = request->experiment,
                              .row_labels = (const char *const *)state->texts,
                              .column_headings = headings,
                              .pictures = cells};
    dipp_status status = dipp_grid_write(&grid, path, error);
    dipp_release(cells);
    return status;
}

/* Tabs and line ends of a prompt become blanks, so that a line stays a line. */
static dipp_status write_key(const grid_state *state, const dipp_grid_request *request, const size_t *order,
                             size_t columns, dipp_error *error)
{
    dipp_text text = {0};
    dipp_text_append(&text, "row\tletter\tarm\trun\tprompt\n");
    for (size_t r = 0; r < (size_t)state->rows; r++)
        for (size_t c = 0; c < columns; c++) {
            const grid_column *column = &state->columns[order[r * GRID_COLUMNS + c]];
            dipp_text_printf(&text, "%zu\t%c\t%s\t%lld\t", r, (char)('A' + c), column->heading,
                             (long long)column->run_id);
            for (const char *at = state->texts[r]; *at; at++)
                dipp_text_append_n(&text, *at == '\t' || *at == '\n' || *at == '\r' ? " " : at, 1);
            dipp_text_append(&text, "\n");
        }
    dipp_status status = text.failed ? dipp_fail(error, DIPP_E_MEMORY, "no memory for the key of a grid")
                                     : dipp_file_write_atomic(request->key, text.data, text.length, error);
    dipp_text_discard(&text);
    return status;
}

static dipp_status draw_and_tell(const grid_state *state, const dipp_grid_request *request, const char *path,
                                 dipp_error *error)
{
    size_t *order = dipp_allocate_zeroed((size_t)GRID_ROWS * GRID_COLUMNS, sizeof *order);
    if (!order)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for a grid");
    size_t columns = order_columns(state, request, order);
    dipp_status status = draw(state, request, order, columns, path, error);
    if (status == DIPP_OK && request->key)
        status = write_key(state, request, order, columns, error);
    dipp_release(order);
    return status;
}

static dipp_status record(dipp_store *store, int64_t run_id, const char *relative, const char *path, dipp_error *error)
{
    char sha256[DIPP_SHA256_HEX_BYTES];
    struct stat information;
    dipp_status status = dipp_sha256_file(path, sha256, error);
    if (status != DIPP_OK)
        return status;
    dipp_file_record row = {.step = -1,
                            .kind = "grid",
                            .path = relative,
                            .sha256 = sha256,
                            .bytes = stat(path, &information) == 0 ? (int64_t)information.st_size : 0};
    return dipp_store_artifact_put(store, run_id, &row, NULL, error);
}

static dipp_status place(const dipp_grid_request *request, dipp_store *store, grid_state *state, char **out,
                         dipp_error *error)
{
    char *name = dipp_run_store_folder(dipp_store_path(store));
    char *file = file_name(request->experiment, request->blind);
    dipp_text text = {0};
    dipp_text_printf(&text, "%s/grids", name ? name : "");
    char *folder = text.data ? dipp_path_join(state->root, text.data) : NULL;
    char *relative = text.data && file ? dipp_path_join(text.data, file) : NULL;
    char *path = folder && file ? dipp_path_join(folder, file) : NULL;
    dipp_status status = name && relative && path ? dipp_make_directories(folder, error)
                                                  : dipp_fail(error, DIPP_E_MEMORY, "no memory for a grid's path");
    if (status == DIPP_OK)
        status = draw_and_tell(state, request, path, error);
    if (status == DIPP_OK && !request->blind)
        status = record(store, state->columns[0].run_id, relative, path, error);
    dipp_text_discard(&text);
    dipp_release(name);
    dipp_release(file);
    dipp_release(folder);
    dipp_release(relative);
    if (status == DIPP_OK)
        *out = path;
    else
        dipp_release(path);
    return status;
}

static void clear(grid_state *state)
{
    for (size_t i = 0; state->pictures && i < (size_t)GRID_ROWS * GRID_COLUMNS * GRID_SAMPLES; i++)
        dipp_image_clear(&state->pictures[i]);
    for (int r = 0; r < GRID_ROWS; r++)
        dipp_release(state->texts[r]);
    dipp_release(state->pictures);
}

/* Reads the pictures of the chosen columns and draws them. */
static dipp_status make(const dipp_grid_request *request, dipp_store *store, grid_state *state, char **path,
                        dipp_error *error)
{
    char *root = dipp_path_folder(dipp_store_path(store));
    state->root = root;
    state->pictures = dipp_allocate_zeroed((size_t)GRID_ROWS * GRID_COLUMNS * GRID_SAMPLES, sizeof *state->pictures);
    dipp_status status =
        root && state->pictures ? DIPP_OK : dipp_fail(error, DIPP_E_MEMORY, "no memory for a grid of pictures");
    for (size_t i = 0; i < state->column_count && status == DIPP_OK; i++)
        status = read_column(state, store, i, error);
    for (int r = 0; r < state->rows && status == DIPP_OK; r++)
        if (!state->texts[r] && !(state->texts[r] = dipp_string_copy("")))
            status = dipp_fail(error, DIPP_E_MEMORY, "no memory for a grid of pictures");
    if (status == DIPP_OK && state->rows && !request->path) {
        status = place(request, store, state, path, error);
    } else if (status == DIPP_OK && state->rows) {
        status = draw_and_tell(state, request, request->path, error);
        if (status == DIPP_OK && !(*path = dipp_string_copy(request->path)))
            status = dipp_fail(error, DIPP_E_MEMORY, "no memory for a grid's path");
    }
    clear(state);
    dipp_release(root);
    return status;
}

dipp_status dipp_run_grid(const dipp_run_plan *plan, dipp_store *store, char **path, dipp_error *error)
{
    grid_state state = {.status = DIPP_OK};
    dipp_grid_request request = {.experiment = dipp_experiment_name(plan->experiment)};
    *path = NULL;
    choose_columns(plan, &state);
    return make(&request, store, &state, path, error);
}

/* arm, configuration, how many configurations the arm has, run; in order of the arms' first runs. */
static int add_found(void *user, int columns, const char *const *names, const char *const *values)
{
    grid_state *state = user;
    char heading[HEADING_BYTES];
    int64_t run_id = strtoll(values[3], NULL, 10);
    if (!state->column_count) {
        add_column(state, "reference", run_id, "reference", true);
        add_column(state, "before", run_id, "generator", true);
    }
    snprintf(heading, sizeof heading, strcmp(values[2], "1") ? "%.140s@%.8s" : "%.140s", values[0], values[1]);
    add_column(state, heading, run_id, "generator", false);
    return 0;
}

dipp_status dipp_run_grid_again(dipp_store *store, const dipp_grid_request *request, char **path, dipp_error *error)
{
    grid_state state = {.status = DIPP_OK};
    const char *binds[] = {request->experiment};
    *path = NULL;
    dipp_status status = dipp_store_query(
        store,
        "WITH c AS (SELECT r.arm, r.config_sha256, r.run_id, row_number() OVER (PARTITION BY r.arm, r.config_sha256 "
        "ORDER BY r.seed) AS place, min(r.run_id) OVER (PARTITION BY r.arm) AS first FROM runs r JOIN experiments x "
        "USING(experiment_id) WHERE x.name=?1 AND r.status='completed' AND EXISTS(SELECT 1 FROM artifacts a WHERE "
        "a.run_id=r.run_id AND a.kind='image')) SELECT arm, config_sha256, count(*) OVER (PARTITION BY arm), run_id "
        "FROM "
        "c WHERE place=1 ORDER BY first, run_id",
        binds, 1, add_found, &state, error);
    if (status == DIPP_OK && !state.column_count)
        return dipp_fail(error, DIPP_E_NOT_FOUND, "no completed run of an experiment %s in %s kept pictures",
                         request->experiment, dipp_store_path(store));
    if (status == DIPP_OK)
        status = make(request, store, &state, path, error);
    if (status == DIPP_OK && !*path)
        status =
            dipp_fail(error, DIPP_E_NOT_FOUND, "the pictures of %s are no longer on the disk", request->experiment);
    return status;
}
