/* What several subcommands do: report errors, find the database, open plugins and experiments. */
#ifndef DIPP_CLI_COMMON_H
#define DIPP_CLI_COMMON_H

#include "cli/options.h"
#include "experiment/experiment.h"
#include "plugin/plugin_host.h"
#include "store/store.h"

/* "dipp: MESSAGE" to stderr; the exit code that belongs to the status. */
int cli_fail(const dipp_error *error);
int cli_code_of(dipp_status status);

/* --db, else DIPP_DB, else the experiment's output, else results/dipp.db. experiment may be NULL. */
const char *cli_database(const char *given, const dipp_experiment *experiment);

/* Opens for reading; a missing file is explained. */
dipp_status cli_open_store(const char *database, dipp_store **store, dipp_error *error);

typedef struct cli_plugin_options {
    cli_list files, directories;
} cli_plugin_options;

/* Rows of an option table. */
#define CLI_PLUGIN_OPTIONS(options)                                                                                  \
    {"plugin", 0, CLI_LIST, "FILE", "use this plugin file before all others (repeatable)", &(options).files},        \
    {                                                                                                                \
        "plugin-dir", 0, CLI_LIST, "DIR", "search this folder for plugins next (repeatable)", &(options).directories \
    }
#define CLI_DATABASE_OPTION(target)                                                                  \
    {                                                                                                \
        "db", 0, CLI_TEXT, "FILE", "the database; default $DIPP_DB, then results/dipp.db", &(target) \
    }

/* Finds what there is; what was refused is in the list. */
dipp_status cli_find_plugins(const cli_plugin_options *options, dipp_plugins **plugins, dipp_error *error);
/* The same, but a file or folder that an option names must be in order: DIPP_E_PLUGIN says what is not. */
dipp_status cli_open_plugins(const cli_plugin_options *options, dipp_plugins **plugins, dipp_error *error);

/* Loads an experiment file and shows every fault and warning on stderr. DIPP_E_INVALID: they have been shown already. */
dipp_status cli_load_experiment(const char *path, const cli_list *overrides, size_t first_override,
                                dipp_plugins *plugins, dipp_experiment **experiment, dipp_error *error);

/* "1.50 GiB", "12.3 MiB", "0.4 KiB"; returns out. */
enum { CLI_BYTES_TEXT = 24 };
const char *cli_bytes_text(size_t bytes, char out[CLI_BYTES_TEXT]);

/* "512M", "1.5GiB", "2e9" to bytes; false for anything else. */
bool cli_read_bytes(const char *text, size_t *bytes);

/* Whether to use colours and move the cursor on this stream: a terminal, and NO_COLOR not set. */
bool cli_is_terminal(FILE *stream);
bool cli_colours(FILE *stream);

#endif
