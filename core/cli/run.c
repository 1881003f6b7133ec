/* dipp run: what is missing of an experiment, each run in its own process. */
#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/run.h"
#include "cli/stop.h"
#include "cli/summary.h"

#include "base/file.h"
#include "base/memory.h"
#include "experiment/run_settings.h"

#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char cli_run_details[] =
    "key=value overrides a key of the file in every arm (align.steps=10); ~key removes one. Runs that are completed\n"
    "with the same configuration, weights and plugin versions are not run again; those that failed, were killed or\n"
    "interrupted are, from their newest checkpoint. Ctrl-C saves and ends, a second one kills.\n"
    "Exit codes: 0 all done, 3 the experiment is wrong, 4 a run failed, 5 another dipp works on some, 75 interrupted.";

typedef struct run_options {
    const char *database, *memory_text;
    size_t memory; /* bytes, 0 without --memory */
    long jobs, threads, stall;
    bool dry, rerun, quiet;
    cli_plugin_options places;
    cli_list positionals;
} run_options;

static void print_plan(const dipp_run_plan *plan, const char *database, bool everything)
{
    static const char *const signs[] = {"run ", "done", "busy"};
    fprintf(stderr, "%s: %zu run%s in %s: %zu to run, %zu done", dipp_experiment_name(plan->experiment), plan->count,
            plan->count == 1 ? "" : "s", database, plan->to_run, plan->done);
    fprintf(stderr, plan->elsewhere ? ", %zu elsewhere\n" : "\n", plan->elsewhere);
    for (size_t i = 0; i < plan->count; i++) {
        const dipp_planned_cell *cell = &plan->cells[i];
        if (everything || plan->count <= 40 || cell->action != DIPP_CELL_DONE)
            fprintf(stderr, "  %s  %s:%lld  %s\n", signs[cell->action], cell->cell->arm, (long long)cell->cell->seed,
                    cell->reason);
    }
}

static void print_memory(const dipp_run_plan *plan, const run_options *options)
{
    size_t least = SIZE_MAX, most = 0;
    for (size_t i = 0; i < plan->count; i++)
        if (plan->cells[i].bytes) {
            least = plan->cells[i].bytes < least ? plan->cells[i].bytes : least;
            most = plan->cells[i].bytes > most ? plan->cells[i].bytes : most;
        }
    char texts[3][CLI_BYTES_TEXT];
    if (most)
        fprintf(stderr, "memory: %s to %s a run by its plan, %s for all that run at a time\n",
                cli_bytes_text(least, texts[0]), cli_bytes_text(most, texts[1]),
                cli_bytes_text(options->memory, texts[2]));
}

static void say_lost(void *user, int64_t run_id, const char *name, const char *host, int64_t pid)
{
    fprintf(stderr, "dipp: run %lld (%s) is lost: process %lld on %s is gone\n", (long long)run_id, name,
            (long long)pid, host ? host : "?");
}

static dipp_status make_folder(const char *database, dipp_error *error)
{
    char *folder = dipp_path_folder(database);
    dipp_status status = folder ? dipp_make_directories(folder, error)
                                : dipp_fail(error, DIPP_E_MEMORY, "no memory for the database's folder");
    dipp_release(folder);
    return status;
}

static unsigned cores(void)
{
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return count > 0 ? (unsigned)count : 1;
}

static int code_of(const dipp_supervisor_result *result, const dipp_run_plan *plan)
{
    return result->failed                         ? CLI_RUN_FAILED
           : result->interrupted                  ? CLI_INTERRUPTED
           : result->elsewhere || plan->elsewhere ? CLI_ELSEWHERE
                                                  : CLI_OK;
}

static dipp_status supervise(const run_options *options, dipp_run_plan *plan, dipp_store *store, const char *database,
                             dipp_supervisor_result *result, dipp_error *error)
{
    char program[PATH_MAX];
    cli_progress progress;
    const char **arguments =
        calloc(2 * (options->places.files.count + options->places.directories.count) + 3, sizeof *arguments);
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    if (!arguments || length < 0) {
        free(arguments);
        return dipp_fail(error, DIPP_E_IO, "cannot tell where this program is (/proc/self/exe)");
    }
    program[length] = 0;
    size_t count = 0;
    for (size_t i = 0; i < options->places.files.count; i++) {
        arguments[count++] = "--plugin";
        arguments[count++] = options->places.files.items[i];
    }
    for (size_t i = 0; i < options->places.directories.count; i++) {
        arguments[count++] = "--plugin-dir";
        arguments[count++] = options->places.directories.items[i];
    }
    if (options->memory_text) {
        arguments[count++] = "--memory";
        arguments[count++] = options->memory_text;
    }
    unsigned jobs = options->jobs ? (unsigned)options->jobs : 1;
    bool configured = plan->count && dipp_config_int(plan->cells[0].cell->config, "threads") > 0;
    unsigned share = jobs > 1 && !configured ? (cores() / jobs ? cores() / jobs : 1) : 0;
    dipp_supervisor_options supervisor = {.program = program,
                                          .database = database,
                                          .arguments = arguments,
                                          .jobs = jobs,
                                          .threads = options->threads ? (unsigned)options->threads : share,
                                          .memory = options->memory,
                                          .stall_seconds = (double)options->stall,
                                          .rerun = options->rerun,
                                          .stop = &cli_stop,
                                          .context = &progress,
                                          .event = cli_progress_event,
                                          .idle = cli_progress_idle};
    cli_catch_stop();
    cli_progress_begin(&progress, options->quiet);
    dipp_status status = dipp_supervise(plan, store, &supervisor, result, error);
    cli_progress_end(&progress);
    free(arguments);
    return status;
}

static dipp_status run(const run_options *options, dipp_experiment *experiment, dipp_plugins *plugins, int *code,
                       dipp_error *error)
{
    const char *database = cli_database(options->database, experiment);
    dipp_store *store = NULL;
    dipp_run_plan *plan = NULL;
    dipp_supervisor_result result = {0};
    dipp_store_options open = {.mode = options->dry ? DIPP_STORE_READ : DIPP_STORE_CREATE};
    dipp_status status = options->dry ? DIPP_OK : make_folder(database, error);
    if (status == DIPP_OK && (!options->dry || dipp_path_exists(database)))
        status = dipp_store_open(database, &open, &store, error);
    if (status == DIPP_OK && !options->dry)
        status = dipp_store_mark_lost(store, 0, say_lost, NULL, NULL, error);
    if (status == DIPP_OK)
        status = dipp_run_plan_create(experiment, plugins, store, options->rerun, &plan, error);
    if (status == DIPP_OK && options->memory)
        status = dipp_run_plan_memory(plan, plugins, options->memory, error);
    if (status == DIPP_OK && !options->quiet)
        print_plan(plan, database, options->dry);
    if (status == DIPP_OK && options->memory && !options->quiet)
        print_memory(plan, options);
    if (status == DIPP_OK && !options->dry) {
        status = dipp_run_plan_register(plan, store, options->positionals.items[0], options->positionals.items + 1,
                                        options->positionals.count - 1, error);
        if (status == DIPP_OK)
            status = supervise(options, plan, store, database, &result, error);
        if (status == DIPP_OK)
            status = cli_summary(plan, store, options->quiet, error);
        *code = code_of(&result, plan);
        if (result.interrupted)
            fprintf(stderr, "dipp: %zu run%s interrupted or not started; the same command goes on\n",
                    result.interrupted, result.interrupted == 1 ? "" : "s");
        if (result.failed)
            fprintf(stderr, "dipp: %zu run%s failed; the same command tries again\n", result.failed,
                    result.failed == 1 ? "" : "s");
    }
    dipp_run_plan_destroy(&plan);
    dipp_store_close(&store);
    return status;
}

static dipp_status check_stage(const dipp_experiment *experiment, const char *stage, dipp_error *error)
{
    size_t count = 0;
    const dipp_cell *cells = dipp_experiment_cells(experiment, &count);
    for (size_t i = 0; i < count && stage; i++)
        if (strcmp(dipp_run_stage(cells[i].config), stage))
            return dipp_fail(error, DIPP_E_INVALID,
                             "%s is of stage %s, and this trains stage %s alone; `dipp run` runs any", cells[i].arm,
                             dipp_run_stage(cells[i].config), stage);
    return DIPP_OK;
}

int cli_run(int argc, char **argv)
{
    return cli_run_experiment(cli_find_command("run"), NULL, argc, argv);
}

int cli_run_experiment(const cli_command *self, const char *stage, int argc, char **argv)
{
    run_options options = {.stall = 3600};
    const cli_option table[] = {
        CLI_DATABASE_OPTION(options.database),
        {"dry-run", 'n', CLI_FLAG, NULL, "only say what would run, and why", &options.dry},
        {"jobs", 'j', CLI_NUMBER, "N", "runs at a time, default 1", &options.jobs},
        {"memory", 0, CLI_TEXT, "SIZE", "start a run only when all that run fit into this by their plans (1.5G, 800M)",
         &options.memory_text},
        {"threads", 't', CLI_NUMBER, "N", "threads of each run in place of the configured number", &options.threads},
        {"rerun", 0, CLI_FLAG, NULL, "run completed cells again", &options.rerun},
        {"stall", 0, CLI_NUMBER, "SECONDS", "kill a run that says nothing for so long; default 3600, 0 never",
         &options.stall},
        {"quiet", 'q', CLI_FLAG, NULL, "say only what went wrong", &options.quiet},
        CLI_PLUGIN_OPTIONS(options.places),
        {NULL, 0, CLI_FLAG, NULL, NULL, NULL}};
    int code = CLI_OK;
    if (!cli_parse(self, table, argc, argv, &options.positionals, &code))
        return code;
    if (!options.positionals.count)
        return cli_refuse(table, &options.positionals, cli_usage_error(self, "an experiment file is needed"));
    if (options.memory_text && !cli_read_bytes(options.memory_text, &options.memory))
        return cli_refuse(
            table, &options.positionals,
            cli_usage_error(self, "--memory is `%s`; expected a size such as 1.5G or 800M", options.memory_text));
    dipp_error error;
    dipp_plugins *plugins = NULL;
    dipp_experiment *experiment = NULL;
    dipp_status status = cli_open_plugins(&options.places, &plugins, &error);
    if (status == DIPP_OK)
        status =
            cli_load_experiment(options.positionals.items[0], &options.positionals, 1, plugins, &experiment, &error);
    if (status == DIPP_OK)
        status = check_stage(experiment, stage, &error);
    if (status == DIPP_OK)
        status = run(&options, experiment, plugins, &code, &error);
    if (status != DIPP_OK)
        code = cli_fail(&error);
    dipp_experiment_destroy(&experiment);
    dipp_plugins_destroy(&plugins);
    cli_list_clear(&options.positionals);
    cli_list_clear(&options.places.files);
    cli_list_clear(&options.places.directories);
    return code;
}
