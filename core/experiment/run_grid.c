#include "experiment/run_grid.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "data/grid.h"
#include "experiment/run_record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { GRID_COLUMNS = 16, GRID_ROWS = 256, GRID_SAMPLES = 16 };

/* One column: where its pictures come from. */
typedef struct grid_column {
    const char *heading;
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
    state->status = path ? dipp_image_read_png(path, image, &state->error)
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
            state->columns[state->column_count++] = (grid_column){"reference", cell->run_id, "reference", true, false};
            state->columns[state->column_count++] = (grid_column){"before", cell->run_id, "generator", true, false};
        }
        if (!known)
            state->columns[state->column_count++] =
                (grid_column){cell->cell->arm, cell->run_id, "generator", false, false};
    }
}

/* "a b/c" -> "a_b_c". */
static char *file_name(const char *experiment)
{
    dipp_text text = {0};
    dipp_text_printf(&text, "%s.png", experiment);
    char *name = dipp_text_finish(&text);
    for (char *at = name; at && *at; at++)
        if (*at == '/' || *at == ' ')
            *at = '_';
    return name;
}

static dipp_status draw(const grid_state *state, const char *title, const char *path, dipp_error *error)
{
    size_t rows = (size_t)state->rows, columns = 0, samples = (size_t)state->samples;
    size_t shown[GRID_COLUMNS]; /* a run that trains the reference has nothing beside it */
    for (size_t c = 0; c < state->column_count; c++)
        if (state->columns[c].filled)
            shown[columns++] = c;
    const uint8_t **cells = dipp_allocate_zeroed(rows * columns * samples, sizeof *cells);
    const char *headings[GRID_COLUMNS];
    if (!cells)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for a grid");
    for (size_t c = 0; c < columns; c++)
        headings[c] = state->columns[shown[c]].heading;
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < columns; c++)
            for (size_t s = 0; s < samples; s++)
                cells[(r * columns + c) * samples + s] =
                    state->pictures[(r * GRID_COLUMNS + shown[c]) * GRID_SAMPLES + s].pixels;
    dipp_grid_options grid = {.rows = state->rows,
                              .columns = (int)columns,
                              .per_cell = state->samples,
                              .side = state->side,
                              .title = title,
                              .row_labels = (const char *const *)state->texts,
                              .column_headings = headings,
                              .pictures = cells};
    dipp_status status = dipp_grid_write(&grid, path, error);
    dipp_release(cells);
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

static dipp_status place(const dipp_run_plan *plan, dipp_store *store, grid_state *state, char **out, dipp_error *error)
{
    char *name = dipp_run_store_folder(dipp_store_path(store));
    char *file = file_name(dipp_experiment_name(plan->experiment));
    dipp_text text = {0};
    dipp_text_printf(&text, "%s/grids", name ? name : "");
    char *folder = text.data ? dipp_path_join(state->root, text.data) : NULL;
    char *relative = text.data && file ? dipp_path_join(text.data, file) : NULL;
    char *path = folder && file ? dipp_path_join(folder, file) : NULL;
    dipp_status status = name && relative && path ? dipp_make_directories(folder, error)
                                                  : dipp_fail(error, DIPP_E_MEMORY, "no memory for a grid's path");
    if (status == DIPP_OK)
        status = draw(state, dipp_experiment_name(plan->experiment), path, error);
    if (status == DIPP_OK)
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

dipp_status dipp_run_grid(const dipp_run_plan *plan, dipp_store *store, char **path, dipp_error *error)
{
    grid_state state = {.status = DIPP_OK};
    size_t pictures = (size_t)GRID_ROWS * GRID_COLUMNS * GRID_SAMPLES;
    char *root = dipp_path_folder(dipp_store_path(store));
    *path = NULL;
    state.root = root;
    state.pictures = dipp_allocate_zeroed(pictures, sizeof *state.pictures);
    dipp_status status =
        root && state.pictures ? DIPP_OK : dipp_fail(error, DIPP_E_MEMORY, "no memory for a grid of pictures");
    choose_columns(plan, &state);
    for (size_t i = 0; i < state.column_count && status == DIPP_OK; i++)
        status = read_column(&state, store, i, error);
    for (int r = 0; r < state.rows && status == DIPP_OK; r++)
        if (!state.texts[r] && !(state.texts[r] = dipp_string_copy("")))
            status = dipp_fail(error, DIPP_E_MEMORY, "no memory for a grid of pictures");
    if (status == DIPP_OK && state.rows)
        status = place(plan, store, &state, path, error);
    for (size_t i = 0; state.pictures && i < pictures; i++)
        dipp_image_clear(&state.pictures[i]);
    for (int r = 0; r < GRID_ROWS; r++)
        dipp_release(state.texts[r]);
    dipp_release(state.pictures);
    dipp_release(root);
    return status;
}
