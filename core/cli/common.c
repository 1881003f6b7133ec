#include "cli/common.h"

#include "base/file.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int cli_code_of(dipp_status status)
{
    switch (status) {
    case DIPP_OK: return CLI_OK;
    case DIPP_E_INVALID:
    case DIPP_E_FORMAT:
    case DIPP_E_NOT_FOUND:
    case DIPP_E_PLUGIN:
    case DIPP_E_UNSUPPORTED: return CLI_BAD_CONFIG;
    case DIPP_E_NUMERIC: return CLI_RUN_FAILED;
    case DIPP_E_BUSY: return CLI_ELSEWHERE;
    case DIPP_E_INTERRUPTED: return CLI_INTERRUPTED;
    default: return CLI_ERROR;
    }
}

int cli_fail(const dipp_error *error)
{
    fprintf(stderr, "dipp: %s\n", error->message);
    return cli_code_of(error->code);
}

const char *cli_database(const char *given, const dipp_experiment *experiment)
{
    const char *environment = getenv("DIPP_DB");
    size_t count = 0;
    const dipp_cell *cells = experiment ? dipp_experiment_cells(experiment, &count) : NULL;
    const char *output = count ? dipp_config_string(cells[0].config, "output") : NULL;
    return given ? given : environment && *environment ? environment : output ? output : "results/dipp.db";
}

dipp_status cli_open_store(const char *database, dipp_store **store, dipp_error *error)
{
    dipp_store_options options = {.mode = DIPP_STORE_READ};
    if (!dipp_path_exists(database))
        return dipp_fail(error, DIPP_E_NOT_FOUND,
                         "there is no database %s; name one with --db, or make one with dipp run", database);
    return dipp_store_open(database, &options, store, error);
}

dipp_status cli_find_plugins(const cli_plugin_options *options, dipp_plugins **plugins, dipp_error *error)
{
    dipp_plugins_options places = {.files = options->files.items,
                                   .file_count = options->files.count,
                                   .directories = options->directories.items,
                                   .directory_count = options->directories.count};
    return dipp_plugins_open(&places, plugins, error);
}

/* Whether a listing is of a path that an option named. */
static bool is_named(const char *path, const cli_list *given)
{
    for (size_t i = 0; i < given->count; i++) {
        char *real = realpath(given->items[i], NULL);
        bool same = !strcmp(path, given->items[i]) || (real && !strcmp(path, real));
        free(real);
        if (same)
            return true;
    }
    return false;
}

dipp_status cli_open_plugins(const cli_plugin_options *options, dipp_plugins **plugins, dipp_error *error)
{
    dipp_status status = cli_find_plugins(options, plugins, error);
    for (size_t i = 0; status == DIPP_OK && i < dipp_plugins_count(*plugins); i++) {
        const dipp_plugin_listing *row = dipp_plugins_at(*plugins, i);
        if (row->state == DIPP_PLUGIN_BROKEN && is_named(row->path, &options->files))
            status = dipp_fail(error, DIPP_E_PLUGIN, "--plugin %s", row->reason);
        else if (row->state == DIPP_PLUGIN_IGNORED && is_named(row->path, &options->directories))
            status = dipp_fail(error, DIPP_E_PLUGIN, "--plugin-dir %s", row->reason);
    }
    if (status != DIPP_OK)
        dipp_plugins_destroy(plugins);
    return status;
}

/* What a message about a missing plugin leaves open: the files that were found and refused. */
static void show_refused(const dipp_plugins *plugins)
{
    for (size_t i = 0; i < dipp_plugins_count(plugins); i++) {
        const dipp_plugin_listing *row = dipp_plugins_at(plugins, i);
        if (row->state == DIPP_PLUGIN_BROKEN)
            fprintf(stderr, "refused: %s\n", row->reason);
        else if (row->state == DIPP_PLUGIN_IGNORED)
            fprintf(stderr, "not searched: %s\n", row->reason);
    }
}

dipp_status cli_load_experiment(const char *path, const cli_list *overrides, size_t first_override,
                                dipp_plugins *plugins, dipp_experiment **experiment, dipp_error *error)
{
    dipp_plugin_catalog catalog = {plugins, dipp_plugins_parameter_table, dipp_plugins_name};
    dipp_diagnostics *diagnostics = dipp_diagnostics_create();
    if (!diagnostics)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for the experiment");
    dipp_status status =
        dipp_experiment_load(path, overrides->items + first_override, overrides->count - first_override, &catalog,
                             diagnostics, experiment, error);
    const char *text = dipp_diagnostics_text(diagnostics);
    if (text && *text)
        fprintf(stderr, "%s%s", text, text[strlen(text) - 1] == '\n' ? "" : "\n");
    dipp_diagnostics_destroy(&diagnostics);
    if (status != DIPP_OK)
        show_refused(plugins);
    return status;
}

bool cli_read_bytes(const char *text, size_t *bytes)
{
    static const struct {
        const char *name;
        double factor;
    } units[] = {{"", 1}, {"K", 1024}, {"M", 1048576}, {"G", 1073741824}, {"T", 1099511627776}};
    char *end = NULL;
    double value = strtod(text, &end);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        size_t length = strlen(units[i].name);
        const char *rest = end + length;
        if (!strncmp(end, units[i].name, length) &&
            (!*rest || (length && (!strcmp(rest, "B") || !strcmp(rest, "iB")))) && end > text &&
            value * units[i].factor >= 1 && value * units[i].factor < 1e18) {
            *bytes = (size_t)(value * units[i].factor);
            return true;
        }
    }
    return false;
}

bool cli_is_terminal(FILE *stream)
{
    const char *kind = getenv("TERM");
    return isatty(fileno(stream)) && kind && strcmp(kind, "dumb");
}

bool cli_colours(FILE *stream)
{
    const char *plain = getenv("NO_COLOR");
    return cli_is_terminal(stream) && !(plain && *plain);
}

const char *cli_bytes_text(size_t bytes, char out[CLI_BYTES_TEXT])
{
    if (bytes >= (size_t)1 << 30)
        snprintf(out, CLI_BYTES_TEXT, "%.2f GiB", (double)bytes / 1073741824.0);
    else if (bytes >= (size_t)1 << 20)
        snprintf(out, CLI_BYTES_TEXT, "%.1f MiB", (double)bytes / 1048576.0);
    else
        snprintf(out, CLI_BYTES_TEXT, "%.1f KiB", (double)bytes / 1024.0);
    return out;
}
