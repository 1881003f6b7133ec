/* dipp world: look at the emoji world of an experiment, write its vocabulary. */
#include "cli/commands.h"

#include "base/memory.h"
#include "data/grid.h"
#include "data/prompts.h"
#include "experiment/run_settings.h"

#include <stdlib.h>

const char cli_world_details[] = "Without an experiment: the default world. A reference that reads text wants the "
                                 "vocabulary as its parameter.";

enum { GRID_ROWS = 12, SCENE_SIDE = 32 };

/* Training scenes with their captions, as a person wants to see them. */
static dipp_status write_grid(const dipp_emoji_world *world, const char *path, long rows, dipp_error *error)
{
    size_t bytes = (size_t)SCENE_SIDE * SCENE_SIDE * 3, count = (size_t)rows;
    uint8_t *pixels = malloc(count * bytes);
    const uint8_t **pictures = calloc(count, sizeof *pictures);
    const char **labels = calloc(count, sizeof *labels);
    char(*captions)[DIPP_CAPTION_BYTES] = calloc(count, sizeof *captions);
    dipp_status status = pixels && pictures && labels && captions
                             ? DIPP_OK
                             : dipp_fail(error, DIPP_E_MEMORY, "no memory for %ld scenes", rows);
    for (size_t i = 0; i < count && status == DIPP_OK; i++) {
        dipp_scene_attributes attributes;
        dipp_emoji_scene_attributes(world, 0, i, &attributes);
        status = dipp_emoji_scene_draw_bytes(world, &attributes, SCENE_SIDE, pixels + i * bytes, error);
        if (status == DIPP_OK)
            status = dipp_emoji_scene_caption(world, 0, i, &attributes, captions[i], sizeof captions[i], error);
        pictures[i] = pixels + i * bytes;
        labels[i] = captions[i];
    }
    dipp_grid_options grid = {
        .rows = (int)rows, .columns = 1, .per_cell = 1, .side = SCENE_SIDE, .row_labels = labels, .pictures = pictures};
    if (status == DIPP_OK)
        status = dipp_grid_write(&grid, path, error);
    free(pixels);
    free(pictures);
    free(labels);
    free(captions);
    return status;
}

static dipp_status show(const dipp_emoji_world *world, const char *vocabulary_path, const char *grid, long rows,
                        dipp_error *error)
{
    dipp_word_vocabulary *vocabulary = NULL;
    dipp_status status = dipp_emoji_vocabulary(world, DIPP_WORD_ENTRIES_MAX, &vocabulary, error);
    if (status == DIPP_OK && vocabulary_path)
        status = dipp_word_vocabulary_save(vocabulary, vocabulary_path, error);
    if (status == DIPP_OK && grid)
        status = write_grid(world, grid, rows, error);
    if (status == DIPP_OK) {
        printf("%d glyphs, %d backgrounds, %d words, fingerprint %016llx\n", dipp_emoji_world_glyph_count(world),
               DIPP_BACKGROUND_COUNT, dipp_word_vocabulary_size(vocabulary),
               (unsigned long long)dipp_emoji_world_fingerprint(world));
        for (int i = 0; i < dipp_emoji_world_glyph_count(world); i++)
            printf("%s%s", i ? ", " : "", dipp_emoji_world_glyph(world, i)->name);
        printf("\n");
    }
    dipp_word_vocabulary_destroy(&vocabulary);
    return status;
}

int cli_world(int argc, char **argv)
{
    const char *vocabulary = NULL, *grid = NULL;
    long rows = GRID_ROWS;
    cli_plugin_options places = {{0}, {0}};
    cli_list positionals = {0};
    const cli_option table[] = {
        {"vocabulary", 0, CLI_TEXT, "FILE", "write every word that captions and prompts can hold", &vocabulary},
        {"grid", 0, CLI_TEXT, "FILE", "write training scenes with captions as a PNG", &grid},
        {"rows", 0, CLI_NUMBER, "N", "scenes in it, default 12", &rows},
        CLI_PLUGIN_OPTIONS(places),
        {NULL, 0, CLI_FLAG, NULL, NULL, NULL}};
    int code = CLI_OK;
    const cli_command *self = cli_find_command("world");
    if (!cli_parse(self, table, argc, argv, &positionals, &code))
        return code;
    if (rows < 1 || rows > 1000)
        return cli_refuse(table, &positionals, cli_usage_error(self, "--rows needs a number from 1 to 1000"));
    dipp_error error;
    dipp_plugins *plugins = NULL;
    dipp_experiment *experiment = NULL;
    dipp_emoji_world *world = NULL;
    dipp_emoji_world_options options;
    size_t count = 0;
    dipp_status status = DIPP_OK;
    dipp_emoji_world_options_default(&options);
    if (positionals.count) {
        status = cli_open_plugins(&places, &plugins, &error);
        if (status == DIPP_OK)
            status = cli_load_experiment(positionals.items[0], &positionals, 1, plugins, &experiment, &error);
        if (status == DIPP_OK)
            dipp_run_world_options(dipp_experiment_cells(experiment, &count)[0].config, &options);
    }
    if (status == DIPP_OK)
        status = dipp_emoji_world_create(&options, &world, &error);
    if (status == DIPP_OK)
        status = show(world, vocabulary, grid, rows, &error);
    if (status != DIPP_OK)
        code = cli_fail(&error);
    dipp_emoji_world_destroy(&world);
    dipp_experiment_destroy(&experiment);
    dipp_plugins_destroy(&plugins);
    cli_list_clear(&positionals);
    cli_list_clear(&places.files);
    cli_list_clear(&places.directories);
    return code;
}
