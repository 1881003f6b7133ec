/* dipp export: the weights that a run ended with, as a folder that other experiments (and other programs) can start from. */
#include "cli/commands.h"

#include "base/file.h"
#include "base/memory.h"
#include "experiment/run_merge.h"
#include "train/adapter_io.h"
#include "weights/weights.h"
#include "weights/writer.h"

#include <string.h>

const char cli_export_details[] =
    "RUN is an id, the beginning of a uuid, a name, ARM:SEED or @latest. Its averaged generator and TA, or its model,\n"
    "become DIR/generator.safetensors, DIR/ta.safetensors or DIR/model.safetensors; name DIR as `init` or `weights`.\n"
    "Of a run that trained adapters: DIR/generator-lora.safetensors and DIR/ta-lora.safetensors; name DIR as "
    "`adapter`.";

typedef struct export_options {
    const char *database, *experiment, *to;
    bool bf16, raw, merge, kohya;
    cli_plugin_options places;
} export_options;

/* The files of the run's result, relative to the folder of the database; the newest of equal names last. */
typedef struct export_files {
    char *paths[16];
    size_t count;
    bool whole;    /* adapters are left out: they are merged */
    bool adapters; /* whole weights are left out */
} export_files;

static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool is_adapter(const char *path)
{
    return strstr(file_name(path), "-lora") != NULL;
}

static int add_file(void *user, int columns, const char *const *names, const char *const *values)
{
    (void)columns, (void)names;
    export_files *files = user;
    if (values[0] && ((files->whole && is_adapter(values[0])) || (files->adapters && !is_adapter(values[0]))))
        return 0;
    if (files->count < sizeof files->paths / sizeof *files->paths && values[0])
        files->paths[files->count++] = dipp_string_copy(values[0]);
    return 0;
}

/* One stored tensor into the writer: as it is, or as bf16 from values that must live until the commit. */
static dipp_status add_tensor(dipp_weights_writer *writer, const dipp_weight_tensor *tensor, bool bf16, float **values,
                              dipp_error *error)
{
    if (!bf16 || !dipp_weight_dtype_is_float(tensor->dtype))
        return dipp_weights_writer_add(writer, tensor->name, tensor->dtype, tensor->rank, tensor->shape, tensor->data,
                                       error);
    *values = dipp_allocate_zeroed(tensor->count + 1, sizeof **values);
    if (!*values)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory to export %s", tensor->name);
    dipp_weight_to_f32(tensor->dtype, tensor->data, *values, tensor->count);
    return dipp_weights_writer_add_f32(writer, tensor->name, DIPP_WEIGHT_BF16, tensor->rank, tensor->shape, *values,
                                       error);
}

static dipp_status export_file(const char *from, const char *to, bool bf16, dipp_error *error)
{
    dipp_weights *weights = NULL;
    dipp_weights_writer *writer = NULL;
    dipp_status status = dipp_weights_open(from, &weights, error);
    if (status == DIPP_OK)
        status = dipp_weights_writer_create(to, &writer, error);
    size_t count = status == DIPP_OK ? dipp_weights_count(weights) : 0;
    float **values = dipp_allocate_zeroed(count + 1, sizeof *values);
    if (status == DIPP_OK && !values)
        status = dipp_fail(error, DIPP_E_MEMORY, "no memory to export %s", from);
    for (size_t i = 0; status == DIPP_OK && i < dipp_weights_metadata_count(weights); i++) {
        const char *key, *value;
        dipp_weights_metadata_at(weights, i, &key, &value);
        status = dipp_weights_writer_metadata(writer, key, value, error);
    }
    for (size_t i = 0; i < count && status == DIPP_OK; i++)
        status = add_tensor(writer, dipp_weights_at(weights, i), bf16, &values[i], error);
    if (status == DIPP_OK)
        status = dipp_weights_writer_commit(&writer, error);
    for (size_t i = 0; values && i < count; i++)
        dipp_release(values[i]);
    dipp_release(values);
    dipp_weights_writer_destroy(&writer);
    dipp_weights_destroy(&weights);
    return status;
}

static void print_path(void *user, const char *path)
{
    (void)user;
    printf("%s\n", path);
}

static dipp_status merge_run(const export_options *options, dipp_store *store, int64_t run_id, dipp_error *error)
{
    dipp_merge_request request = {.run_id = run_id, .to = options->to, .bf16 = options->bf16};
    dipp_plugins *plugins = NULL;
    dipp_status status = dipp_make_directories(options->to, error);
    if (status == DIPP_OK)
        status = cli_open_plugins(&options->places, &plugins, error);
    if (status == DIPP_OK)
        status = dipp_run_merge(store, &request, plugins, print_path, NULL, error);
    dipp_plugins_destroy(&plugins);
    return status;
}

static dipp_status export_files_to(const export_options *options, const export_files *files, const char *root,
                                   dipp_error *error)
{
    dipp_status status = dipp_make_directories(options->to, error);
    for (size_t i = 0; i < files->count && status == DIPP_OK; i++) {
        char *from = dipp_path_join(root, files->paths[i]);
        char *to = dipp_path_join(options->to, file_name(files->paths[i]));
        if (!from || !to)
            status = dipp_fail(error, DIPP_E_MEMORY, "no memory for a path");
        else if (options->kohya)
            status = dipp_adapter_write_flat(from, to, options->bf16, error);
        else
            status = export_file(from, to, options->bf16, error);
        if (status == DIPP_OK)
            printf("%s\n", to);
        dipp_release(from);
        dipp_release(to);
    }
    return status;
}

static dipp_status export_run(const export_options *options, const char *selector, dipp_error *error)
{
    const char *database = cli_database(options->database, NULL);
    dipp_store *store = NULL;
    int64_t run_id = 0;
    char id[24];
    const char *binds[] = {id, options->raw ? "" : "%-raw.safetensors"};
    export_files files = {.whole = options->merge, .adapters = options->kohya};
    dipp_status status = cli_open_store(database, &store, error);
    if (status == DIPP_OK)
        status = dipp_store_find_run(store, selector, options->experiment, &run_id, error);
    snprintf(id, sizeof id, "%lld", (long long)run_id);
    if (status == DIPP_OK)
        status = dipp_store_query(store,
                                  "SELECT path FROM artifacts WHERE run_id=CAST(?1 AS INTEGER) AND kind='weights' AND "
                                  "path NOT LIKE ?2 ORDER BY path",
                                  binds, 2, add_file, &files, error);
    if (status == DIPP_OK && options->merge)
        status = merge_run(options, store, run_id, error);
    dipp_store_close(&store);
    if (status == DIPP_OK && !files.count && !options->merge)
        status = dipp_fail(error, DIPP_E_INVALID, "run %lld has no %s: only a completed run has", (long long)run_id,
                           options->kohya ? "adapters" : "weights");
    char *root = dipp_path_folder(database);
    if (status == DIPP_OK)
        status = root ? export_files_to(options, &files, root, error)
                      : dipp_fail(error, DIPP_E_MEMORY, "no memory for a path");
    for (size_t i = 0; i < files.count; i++)
        dipp_release(files.paths[i]);
    dipp_release(root);
    return status;
}

int cli_export(int argc, char **argv)
{
    export_options options = {0};
    cli_list positionals = {0};
    const cli_option table[] = {
        CLI_DATABASE_OPTION(options.database),
        {"experiment", 'e', CLI_TEXT, "NAME", "where RUN is ARM:SEED", &options.experiment},
        {"to", 0, CLI_TEXT, "DIR", "the folder, made if missing; files of it are replaced", &options.to},
        {"bf16", 0, CLI_FLAG, NULL, "store as bf16: half the size, 8 bits of precision", &options.bf16},
        {"raw", 0, CLI_FLAG, NULL, "the weights that were not averaged, too", &options.raw},
        {"merge", 0, CLI_FLAG, NULL, "adapters added to the weights below them: whole weights", &options.merge},
        {"kohya", 0, CLI_FLAG, NULL, "adapters only, with the names of kohya's scripts", &options.kohya},
        CLI_PLUGIN_OPTIONS(options.places),
        {NULL, 0, CLI_FLAG, NULL, NULL, NULL}};
    int code = CLI_OK;
    const cli_command *self = cli_find_command("export");
    if (!cli_parse(self, table, argc, argv, &positionals, &code))
        return code;
    dipp_error error;
    if (positionals.count != 1)
        code = cli_usage_error(self, "one run is needed");
    else if (!options.to)
        code = cli_usage_error(self, "--to DIR is needed");
    else if (options.kohya && options.merge)
        code = cli_usage_error(self, "--kohya writes adapters, and --merge leaves none");
    else if (export_run(&options, positionals.items[0], &error) != DIPP_OK)
        code = cli_fail(&error);
    cli_list_clear(&positionals);
    cli_list_clear(&options.places.files);
    cli_list_clear(&options.places.directories);
    return code;
}
