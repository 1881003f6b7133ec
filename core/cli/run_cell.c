/* dipp run-cell: one run in this process. Standard output is a line protocol for the supervisor (run_supervisor.h). */
#include "base/clock.h"
#include "cli/commands.h"
#include "cli/stop.h"
#include "experiment/run_check.h"
#include "experiment/run_supervisor.h"
#include "experiment/run_worker.h"

#include <math.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static void print_number(double value)
{
    if (isnan(value))
        printf(" -");
    else
        printf(" %.9g", value);
}

static void progress(void *context, const dipp_worker_progress *at)
{
    printf("progress %llu %lld %lld %lld", (unsigned long long)dipp_clock_monotonic_ns(), (long long)at->step,
           (long long)at->steps, (long long)at->images_seen);
    print_number(at->reward);
    print_number(at->ikl);
    print_number(at->loss);
    printf("\n");
    fflush(stdout);
}

static void note(void *context, const char *message)
{
    printf("note ");
    for (; *message; message++)
        putchar(*message == '\n' ? ' ' : *message);
    printf("\n");
    fflush(stdout);
}

/* Where memory ends all the same, the kernel is to take this process, not the one that supervises it. Best effort: a system
 * without the file does without. */
static void come_first_when_memory_ends(void)
{
    FILE *file = fopen("/proc/self/oom_score_adj", "w");
    if (!file)
        return;
    fputs("500", file);
    fclose(file);
}

int cli_run_cell(int argc, char **argv)
{
    const char *database = NULL, *memory_text = NULL;
    size_t memory = 0;
    long run = 0, threads = 0;
    bool supervised = false, again = false, completed = false;
    cli_plugin_options places = {{0}, {0}};
    cli_list positionals = {0};
    const cli_option options[] = {
        CLI_DATABASE_OPTION(database),
        {"run", 0, CLI_NUMBER, "N", "the run's number", &run},
        {"threads", 0, CLI_NUMBER, "N", "threads in place of the configured number", &threads},
        {"memory", 0, CLI_TEXT, "SIZE", "what the run may take, and 512 MiB that no plan counts", &memory_text},
        {"again", 0, CLI_FLAG, NULL, "also when it failed, was killed or lost", &again},
        {"completed", 0, CLI_FLAG, NULL, "also when it is completed", &completed},
        {"supervised", 0, CLI_FLAG, NULL, "save and end when the parent process ends", &supervised},
        CLI_PLUGIN_OPTIONS(places),
        {NULL, 0, CLI_FLAG, NULL, NULL, NULL}};
    int code;
    const cli_command *self = cli_find_command("run-cell");
    if (!cli_parse(self, options, argc, argv, &positionals, &code))
        return code;
    if (!run || positionals.count)
        return cli_refuse(options, &positionals, cli_usage_error(self, "--run N is needed, and nothing else"));
    if (memory_text && !cli_read_bytes(memory_text, &memory))
        return cli_refuse(options, &positionals,
                          cli_usage_error(self, "--memory is `%s`; expected a size such as 1.5G or 800M", memory_text));
    cli_catch_stop();
    if (supervised) {
        pid_t parent = getppid();
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != parent) /* it ended in between */
            return CLI_INTERRUPTED;
        come_first_when_memory_ends();
    }
    dipp_error error;
    dipp_plugins *plugins = NULL;
    dipp_status status = memory ? dipp_run_limit_memory(memory, &error) : DIPP_OK;
    if (status == DIPP_OK)
        status = cli_open_plugins(&places, &plugins, &error);
    if (status == DIPP_OK) {
        dipp_worker_options work = {
            .database = cli_database(database, NULL),
            .run_id = run,
            .plugins = plugins,
            .threads = (uint32_t)threads,
            .also = (again ? 1u << DIPP_RUN_FAILED | 1u << DIPP_RUN_KILLED | 1u << DIPP_RUN_LOST | 1u << DIPP_RUN_PRUNED
                           : 0) |
                    (completed ? 1u << DIPP_RUN_COMPLETED : 0),
            .stop = &cli_stop,
            .progress = progress,
            .note = note};
        status = dipp_run_work(&work, &error);
    }
    dipp_plugins_destroy(&plugins);
    cli_list_clear(&places.files);
    cli_list_clear(&places.directories);
    if (status == DIPP_OK)
        return CLI_OK;
    fprintf(stderr, "dipp: run %ld: %s\n", run, error.message);
    return status == DIPP_E_INTERRUPTED ? CLI_INTERRUPTED : status == DIPP_E_BUSY ? CLI_ELSEWHERE : CLI_RUN_FAILED;
}
