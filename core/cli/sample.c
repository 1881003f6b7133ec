/* dipp sample: pictures (or vectors) from a run's weights, or from what an experiment starts from. */
#include "cli/commands.h"
#include "cli/stop.h"

#include "base/file.h"
#include "base/memory.h"
#include "data/grid.h"
#include "experiment/run_result.h"
#include "experiment/run_sample.h"

#include <stdlib.h>
#include <string.h>

const char cli_sample_details[] =
    "RUN is an id, the beginning of a uuid, a name, ARM:SEED or @latest: its result is drawn with. An experiment "
    "file:\n"
    "the weights that its first run starts from. Equal --noise gives equal noise for every network.";

typedef struct sample_options {
    const char *database, *out, *folder, *experiment;
    long samples, prompts, noise, threads;
    bool reference;
    cli_list texts;
    cli_plugin_options places;
} sample_options;

/* What is needed of a run. */
typedef struct sample_source {
    char *config_json, *folder;
    int64_t seed;
    bool completed;
} sample_source;

static int read_run(void *user, const dipp_run_row *row)
{
    sample_source *source = user;
    source->config_json = dipp_string_copy(row->config_json);
    source->seed = row->seed;
    source->completed = row->status == DIPP_RUN_COMPLETED;
    return 1;
}

static dipp_status from_run(const sample_options *options, const char *selector, sample_source *source,
                            dipp_error *error)
{
    dipp_store *store = NULL;
    int64_t run_id = 0;
    dipp_status status = cli_open_store(cli_database(options->database, NULL), &store, error);
    if (status == DIPP_OK)
        status = dipp_store_find_run(store, selector, options->experiment, &run_id, error);
    dipp_run_filter filter = {.run_id = run_id};
    if (status == DIPP_OK)
        status = dipp_store_each_run(store, &filter, read_run, source, error);
    if (status == DIPP_OK && !source->completed && !options->reference)
        status =
            dipp_fail(error, DIPP_E_INVALID, "run %lld is not completed, so it has no weights yet", (long long)run_id);
    if (status == DIPP_OK && source->completed)
        status = dipp_run_result_folder(store, run_id, &source->folder, error);
    dipp_store_close(&store);
    return status;
}

static dipp_status from_experiment(const cli_list *positionals, dipp_plugins *plugins, sample_source *source,
                                   dipp_error *error)
{
    dipp_experiment *experiment = NULL;
    size_t count = 0;
    dipp_status status = cli_load_experiment(positionals->items[0], positionals, 1, plugins, &experiment, error);
    if (status == DIPP_OK) {
        const dipp_cell *cell = dipp_experiment_cells(experiment, &count);
        source->config_json = dipp_string_copy(cell->json);
        source->seed = cell->seed;
    }
    dipp_experiment_destroy(&experiment);
    return status;
}

static void print_vectors(const dipp_evaluation_result *result, char **texts, long samples, size_t elements)
{
    for (uint32_t i = 0; i < result->count; i++) {
        printf("%s", texts[i / (uint32_t)samples]);
        for (size_t k = 0; k < elements; k++)
            printf("\t%.9g", result->vectors[i * elements + k]);
        printf("\n");
    }
}

static dipp_status write_grid(const sample_options *options, const dipp_evaluation_result *result, char **texts,
                              uint32_t prompts, dipp_error *error)
{
    size_t bytes = (size_t)result->side * (size_t)result->side * 3;
    const uint8_t **pictures = calloc(result->count, sizeof *pictures);
    if (!pictures)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for a grid");
    for (uint32_t i = 0; i < result->count; i++)
        pictures[i] = result->rgb + i * bytes;
    dipp_grid_options grid = {.rows = (int)prompts,
                              .columns = 1,
                              .per_cell = (int)options->samples,
                              .side = result->side,
                              .row_labels = (const char *const *)texts,
                              .pictures = pictures};
    dipp_status status = dipp_grid_write(&grid, options->out, error);
    for (uint32_t i = 0; options->folder && i < result->count && status == DIPP_OK; i++) {
        char name[48];
        dipp_image image = {result->side, result->side, result->rgb + i * bytes};
        snprintf(name, sizeof name, "p%03u-s%u.png", i / (uint32_t)options->samples, i % (uint32_t)options->samples);
        char *path = dipp_path_join(options->folder, name);
        status =
            path ? dipp_image_write_png(path, &image, error) : dipp_fail(error, DIPP_E_MEMORY, "no memory for a path");
        dipp_release(path);
    }
    free(pictures);
    if (status == DIPP_OK)
        printf("%s\n", options->out);
    return status;
}

static dipp_status sample(const sample_options *options, const cli_list *positionals, dipp_plugins *plugins,
                          dipp_error *error)
{
    sample_source source = {.seed = 0};
    dipp_evaluation_result result = {0};
    char **texts = NULL;
    uint32_t prompts = 0;
    const char *first = positionals->items[0];
    size_t length = strlen(first);
    bool file =
        (length > 5 && !strcmp(first + length - 5, ".yaml")) || (length > 4 && !strcmp(first + length - 4, ".yml"));
    dipp_status status =
        file ? from_experiment(positionals, plugins, &source, error) : from_run(options, first, &source, error);
    if (status == DIPP_OK && !source.config_json)
        status = dipp_fail(error, DIPP_E_MEMORY, "no memory for the configuration");
    if (status == DIPP_OK && options->folder)
        status = dipp_make_directories(options->folder, error);
    if (status == DIPP_OK) {
        dipp_sample_request request = {.config_json = source.config_json,
                                       .folder = source.folder,
                                       .reference = options->reference,
                                       .prompts = options->texts.count ? options->texts.items : NULL,
                                       .prompt_count = options->texts.count ? (uint32_t)options->texts.count
                                                                            : (uint32_t)options->prompts,
                                       .samples = (uint32_t)options->samples,
                                       .noise_seed = (uint64_t)options->noise,
                                       .seed = source.seed,
                                       .threads = (uint32_t)options->threads,
                                       .stop = &cli_stop};
        cli_catch_stop();
        status = dipp_run_sample(&request, plugins, &result, &texts, &prompts, error);
    }
    if (status == DIPP_OK && result.side)
        status = write_grid(options, &result, texts, prompts, error);
    else if (status == DIPP_OK)
        print_vectors(&result, texts, options->samples, result.elements);
    dipp_evaluation_result_clear(&result);
    for (uint32_t i = 0; texts && i < prompts; i++)
        dipp_release(texts[i]);
    dipp_release(texts);
    dipp_release(source.config_json);
    dipp_release(source.folder);
    return status;
}

int cli_sample(int argc, char **argv)
{
    sample_options options = {.out = "samples.png", .samples = 8};
    cli_list positionals = {0};
    const cli_option table[] = {
        CLI_DATABASE_OPTION(options.database),
        {"experiment", 'e', CLI_TEXT, "NAME", "where RUN is ARM:SEED", &options.experiment},
        {"out", 'o', CLI_TEXT, "FILE", "the grid of pictures, default samples.png; vectors are printed", &options.out},
        {"folder", 0, CLI_TEXT, "DIR", "every picture as a PNG of its own, too", &options.folder},
        {"prompt", 'p', CLI_LIST, "TEXT", "draw this (repeatable); default: prompts of the evaluation", &options.texts},
        {"prompts", 0, CLI_NUMBER, "N", "so many of these, default 8", &options.prompts},
        {"samples", 'n', CLI_NUMBER, "N", "pictures of each prompt, default 8", &options.samples},
        {"noise", 0, CLI_NUMBER, "SEED", "seed of the noise, default 0", &options.noise},
        {"reference", 0, CLI_FLAG, NULL, "draw with the multi-step reference", &options.reference},
        {"threads", 't', CLI_NUMBER, "N", "threads", &options.threads},
        CLI_PLUGIN_OPTIONS(options.places),
        {NULL, 0, CLI_FLAG, NULL, NULL, NULL}};
    int code = CLI_OK;
    const cli_command *self = cli_find_command("sample");
    if (!cli_parse(self, table, argc, argv, &positionals, &code))
        return code;
    if (!positionals.count)
        return cli_refuse(table, &positionals, cli_usage_error(self, "a run or an experiment file is needed"));
    if (options.samples < 1 || options.samples > 64)
        return cli_refuse(table, &positionals, cli_usage_error(self, "--samples needs a number from 1 to 64"));
    dipp_error error;
    dipp_plugins *plugins = NULL;
    dipp_status status = cli_open_plugins(&options.places, &plugins, &error);
    if (status == DIPP_OK)
        status = sample(&options, &positionals, plugins, &error);
    if (status != DIPP_OK)
        code = cli_fail(&error);
    dipp_plugins_destroy(&plugins);
    cli_list_clear(&positionals);
    cli_list_clear(&options.texts);
    cli_list_clear(&options.places.files);
    cli_list_clear(&options.places.directories);
    return code;
}
