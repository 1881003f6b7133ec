/* dipp doctor: whether this machine, the database and an experiment's files are in order, and what to do where not. */
#include "cli/commands.h"

#include "base/file.h"
#include "base/memory.h"
#include "data/grid.h"
#include "data/scene.h"
#include "experiment/run_build.h"
#include "experiment/run_missing.h"
#include "experiment/run_plan.h"
#include "experiment/run_settings.h"
#include "tensor/backend.h"

#include <stdarg.h>
#include <string.h>
#include <sys/sysinfo.h>

const char cli_doctor_details[] =
    "Looks at the build, the back-ends, fonts, plugin folders and the database (integrity, runs whose process is "
    "gone,\n"
    "files that rows speak of), and at the files that an experiment names: which are missing, and what they are "
    "called\n"
    "where they are published. Changes nothing and downloads nothing. Exit code 3 when something needs to be done.";

typedef struct doctor_findings {
    int wrong;
} doctor_findings;

typedef enum finding { FINE, NOTE, WRONG } finding;

static void say(doctor_findings *doctor, finding kind, const char *format, ...) __attribute__((format(printf, 3, 4)));

static void say(doctor_findings *doctor, finding kind, const char *format, ...)
{
    static const char *const signs[] = {"ok  ", "note", "LACK"};
    va_list arguments;
    va_start(arguments, format);
    printf("%s  ", signs[kind]);
    vprintf(format, arguments);
    printf("\n");
    va_end(arguments);
    doctor->wrong += kind == WRONG;
}

/* ---- The machine ---- */

static void look_at_build(doctor_findings *doctor)
{
    struct sysinfo information;
    char memory[CLI_BYTES_TEXT] = "?";
    if (sysinfo(&information) == 0)
        cli_bytes_text((size_t)information.totalram * information.mem_unit, memory);
    say(doctor, FINE, "dipp %s, commit %s, SQLite %s; %d cores, %s of memory", DIPP_BUILD_VERSION, dipp_build_commit(),
        dipp_store_sqlite_version(), get_nprocs(), memory);
}

static void look_at_backends(doctor_findings *doctor)
{
    static const char *const names[] = {"reference", "cpu", "cuda"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        dipp_backend *backend = NULL;
        dipp_error error;
        if (dipp_backend_create(names[i], NULL, &backend, &error) == DIPP_OK)
            say(doctor, FINE, "back-end %s: %s, %u threads%s%s%s%s", names[i], backend->precision, backend->threads,
                backend->isa ? ", " : "", backend->isa ? backend->isa : "", backend->library ? ", " : "",
                backend->library ? backend->library : "");
        else
            say(doctor, NOTE, "back-end %s: %s", names[i], error.message);
        dipp_backend_destroy(&backend);
    }
}

/* needed: the experiment at hand draws pictures of the emoji world. */
static void look_at_fonts(doctor_findings *doctor, const dipp_config *config, bool needed)
{
    dipp_emoji_world_options options;
    dipp_emoji_world *world = NULL;
    dipp_error error;
    dipp_emoji_world_options_default(&options);
    if (config)
        dipp_run_world_options(config, &options);
    if (dipp_emoji_world_create(&options, &world, &error) == DIPP_OK)
        say(doctor, FINE, "emoji world: %d glyphs", dipp_emoji_world_glyph_count(world));
    else
        say(doctor, needed ? WRONG : NOTE, "emoji world: %s", error.message);
    dipp_emoji_world_destroy(&world);
    static const uint8_t pixel[3] = {0};
    const uint8_t *picture = pixel;
    dipp_image image = {0};
    dipp_grid_options grid = {.rows = 1, .columns = 1, .per_cell = 1, .side = 1, .title = "font", .pictures = &picture};
    if (dipp_grid_draw(&grid, &image, &error) == DIPP_OK)
        say(doctor, FINE, "font of grids");
    else
        say(doctor, NOTE, "font of grids: %s", error.message);
    dipp_image_clear(&image);
}

static void look_at_plugins(doctor_findings *doctor, const dipp_plugins *plugins)
{
    size_t usable = 0;
    for (size_t i = 0; i < dipp_plugins_count(plugins); i++) {
        const dipp_plugin_listing *listing = dipp_plugins_at(plugins, i);
        usable += listing->state == DIPP_PLUGIN_USABLE;
        if (listing->state == DIPP_PLUGIN_BROKEN || listing->state == DIPP_PLUGIN_IGNORED)
            say(doctor, NOTE, "plugin %s: %s", listing->path, listing->reason);
    }
    say(doctor, usable ? FINE : WRONG, "plugins: %zu usable%s", usable,
        usable ? "" : "; name their folder with --plugin-dir or DIPP_PLUGIN_PATH");
}

/* ---- The database ---- */

typedef struct run_check {
    doctor_findings *doctor;
    size_t runs, running;
} run_check;

static int look_at_run(void *user, const dipp_run_row *row)
{
    run_check *check = user;
    check->runs++;
    if (row->status != DIPP_RUN_RUNNING)
        return 0;
    check->running++;
    if (!dipp_process_alive(&row->process))
        say(check->doctor, NOTE,
            "run %lld (%s) says it is running, but process %lld on %s is gone; the next dipp run "
            "marks it lost and goes on from its checkpoint",
            (long long)row->run_id, row->name, (long long)row->process.pid, row->process.host);
    return 0;
}

typedef struct file_check {
    const char *root;
    size_t files, missing;
    char first[256];
} file_check;

static int look_at_file(void *user, int columns, const char *const *names, const char *const *values)
{
    file_check *check = user;
    char *path = dipp_path_join(check->root, values[0]);
    check->files++;
    if (path && !dipp_path_exists(path)) {
        if (!check->missing++)
            snprintf(check->first, sizeof check->first, "%s", path);
    }
    dipp_release(path);
    return 0;
}

static void look_at_database(doctor_findings *doctor, const char *database)
{
    static const char files[] = "SELECT path FROM artifacts UNION SELECT path FROM checkpoints";
    dipp_store *store = NULL;
    dipp_error error;
    if (!dipp_path_exists(database)) {
        say(doctor, NOTE, "database %s: not there yet; dipp run makes it", database);
        return;
    }
    run_check runs = {.doctor = doctor};
    char *root = dipp_path_folder(database);
    file_check check = {.root = root ? root : "."};
    dipp_store_options options = {.mode = DIPP_STORE_READ};
    dipp_status status = dipp_store_open(database, &options, &store, &error);
    if (status == DIPP_OK)
        status = dipp_store_check(store, &error);
    if (status == DIPP_OK)
        status = dipp_store_each_run(store, NULL, look_at_run, &runs, &error);
    if (status == DIPP_OK)
        status = dipp_store_query(store, files, NULL, 0, look_at_file, &check, &error);
    if (status == DIPP_OK)
        say(doctor, FINE, "database %s: sound, journal %s, %zu runs (%zu running)", database,
            dipp_store_journal_mode(store), runs.runs, runs.running);
    else
        say(doctor, WRONG, "database %s: %s", database, error.message);
    if (status == DIPP_OK && check.missing)
        say(doctor, WRONG, "%zu of %zu files that the database speaks of are not there, the first: %s", check.missing,
            check.files, check.first);
    dipp_store_close(&store);
    dipp_release(root);
}

/* ---- An experiment ---- */

static int say_missing(void *user, const char *key, const char *path, const char *published)
{
    say(user, WRONG, "%s: there is no %s%s%s", key, path, published ? "; published: " : "", published ? published : "");
    return 0;
}

static dipp_status examine(doctor_findings *doctor, const char *database, const cli_list *positionals,
                           dipp_plugins *plugins, dipp_error *error)
{
    dipp_experiment *experiment = NULL;
    size_t count = 0;
    dipp_status status = DIPP_OK;
    if (positionals->count)
        status = cli_load_experiment(positionals->items[0], positionals, 1, plugins, &experiment, error);
    if (status != DIPP_OK)
        return status;
    const dipp_config *config = experiment ? dipp_experiment_cells(experiment, &count)[0].config : NULL;
    look_at_build(doctor);
    look_at_backends(doctor);
    look_at_fonts(doctor, config, config && dipp_run_needs_world(config));
    look_at_plugins(doctor, plugins);
    look_at_database(doctor, cli_database(database, experiment));
    int before = doctor->wrong;
    if (experiment)
        status = dipp_run_missing(experiment, say_missing, doctor, error);
    if (experiment && status == DIPP_OK && doctor->wrong == before)
        say(doctor, FINE, "files of %s: all there", dipp_experiment_name(experiment));
    dipp_experiment_destroy(&experiment);
    return status;
}

int cli_doctor(int argc, char **argv)
{
    const char *database = NULL;
    cli_plugin_options places = {{0}, {0}};
    cli_list positionals = {0};
    const cli_option options[] = {
        CLI_DATABASE_OPTION(database), CLI_PLUGIN_OPTIONS(places), {NULL, 0, CLI_FLAG, NULL, NULL, NULL}};
    int code = CLI_OK;
    const cli_command *self = cli_find_command("doctor");
    if (!cli_parse(self, options, argc, argv, &positionals, &code))
        return code;
    dipp_error error;
    dipp_plugins *plugins = NULL;
    doctor_findings findings = {0};
    dipp_status status = cli_open_plugins(&places, &plugins, &error);
    if (status == DIPP_OK)
        status = examine(&findings, database, &positionals, plugins, &error);
    if (status != DIPP_OK)
        code = cli_fail(&error);
    else if (findings.wrong)
        code = CLI_BAD_CONFIG;
    dipp_plugins_destroy(&plugins);
    cli_list_clear(&positionals);
    cli_list_clear(&places.files);
    cli_list_clear(&places.directories);
    return code;
}
