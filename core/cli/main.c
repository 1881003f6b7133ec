/* dipp: the command line. Each subcommand has a file of its own; all that it does is in libdipp. */
#include "cli/commands.h"
#include "cli/stop.h"

#include "base/text.h"
#include "experiment/run_build.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const cli_command cli_commands[] = {
    {"run", "EXPERIMENT.yaml [key=value ...]", "Run what is missing of an experiment.", cli_run_details, cli_run,
     false},
    {"check", "EXPERIMENT.yaml [key=value ...]", "Say whether an experiment can run, without running it.",
     cli_check_details, cli_check, false},
    {"plan", "EXPERIMENT.yaml [key=value ...]", "Say what memory an experiment will take.", cli_plan_details, cli_plan,
     false},
    {"reward", "train | import | eval", "Train rewards from preferences, and judge them.", cli_reward_details,
     cli_reward, false},
    {"ls", "[EXPERIMENT]", "List runs.", cli_ls_details, cli_ls, false},
    {"show", "RUN", "Show one run: settings, scores, attempts, warnings, files.", cli_show_details, cli_show, false},
    {"sample", "RUN | EXPERIMENT.yaml [key=value ...]", "Draw pictures with a run's weights.", cli_sample_details,
     cli_sample, false},
    {"diff", "RUN RUN", "Show what two runs do not share: settings, plugins, scores.", cli_diff_details, cli_diff,
     false},
    {"compare", "EXPERIMENT", "Compare arms with the baseline, with intervals over seeds.", cli_compare_details,
     cli_compare, false},
    {"eval", "RUN ... | --images DIR | --embeddings FILE", "Score a finished run again, or pictures of any model.",
     cli_eval_details, cli_eval, false},
    {"grid", "EXPERIMENT", "Draw an experiment's pictures beside each other, also blind.", cli_grid_details, cli_grid,
     false},
    {"export", "RUN --to DIR", "Write a run's weights as a folder that experiments start from.", cli_export_details,
     cli_export, false},
    {"merge", "INTO.db FROM.db ...", "Take into one database what others hold.", cli_merge_details, cli_merge, false},
    {"pairs", "EXPERIMENT|RUN ... --out DIR", "Make a preference dataset of pictures that runs kept.",
     cli_pairs_details, cli_pairs, false},
    {"label", "EXPERIMENT|RUN ... | --export FILE", "Judge pairs of pictures, for a reward to learn from.",
     cli_label_details, cli_label, false},
    {"monitor", "EXPERIMENT", "Say whether the monitor's alarms were right.", cli_monitor_details, cli_monitor, false},
    {"report", "EXPERIMENT", "Write an experiment's report as one HTML file.", cli_report_details, cli_report, false},
    {"plugins", "[NAME ...]", "List plugins, or the parameters of some.", cli_plugins_details, cli_plugins, false},
    {"check-plugin", "FILE [--param key=value ...]", "Say whether a plugin keeps its contract.",
     cli_check_plugin_details, cli_check_plugin, false},
    {"sql", "[QUERY]", "Ask the database.", cli_sql_details, cli_sql, false},
    {"doctor", "[EXPERIMENT.yaml [key=value ...]]", "Say whether machine, database and files are in order.",
     cli_doctor_details, cli_doctor, false},
    {"gc", "", "Say what files are not needed any more; delete them when told.", cli_gc_details, cli_gc, false},
    {"world", "[EXPERIMENT.yaml [key=value ...]]", "Show the emoji world of an experiment and write its vocabulary.",
     cli_world_details, cli_world, false},
    {"run-cell", "--db FILE --run N", "Run one queued run in this process (dipp run starts these).", NULL, cli_run_cell,
     true},
    {NULL, NULL, NULL, NULL, NULL, false},
};

static void print_help(FILE *stream)
{
    fprintf(stream,
            "dipp %s: aligns one-step text-to-image generators with human preference (Diff-Instruct++)\n\n"
            "Usage: dipp COMMAND ...\n\n",
            DIPP_BUILD_VERSION);
    for (const cli_command *command = cli_commands; command->name; command++)
        if (!command->hidden)
            fprintf(stream, "  %-12s %s\n", command->name, command->summary);
    fprintf(stream,
            "\ndipp COMMAND --help tells more. Exit codes: 0 done, 1 error of the machine, 2 wrong usage,\n"
            "3 wrong configuration, 4 a run failed, 5 another dipp is at it, 75 interrupted with state saved.\n");
}

/* Between two kernels a thread waits for microseconds. To sleep at once costs a quarter of a training step in wake-ups; to
 * spin for long, as OpenMP does by default, costs several times its worth on a machine that does anything else. So: spin
 * for a fraction of a millisecond, then sleep. The OpenMP library reads this when it is loaded, hence the second start;
 * whoever sets either variable is left alone. */
static void wait_briefly(char **argv)
{
    if (getenv("OMP_WAIT_POLICY") || getenv("GOMP_SPINCOUNT"))
        return;
    if (setenv("OMP_WAIT_POLICY", "passive", 0) == 0 && setenv("GOMP_SPINCOUNT", "20000", 0) == 0)
        execv("/proc/self/exe", argv); /* should it fail, all is as it was */
}

int main(int argc, char **argv)
{
    wait_briefly(argv);
    cli_ignore_write_signals();
    if (argc < 2) {
        print_help(stderr);
        return CLI_USAGE;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
        const cli_command *about = argc > 2 ? cli_find_command(argv[2]) : NULL;
        char *help[] = {argv[0], (char *)"--help"};
        if (about)
            return about->run(2, help);
        print_help(stdout);
        return CLI_OK;
    }
    if (!strcmp(argv[1], "--version")) {
        printf("dipp %s\n", DIPP_BUILD_VERSION);
        return CLI_OK;
    }
    const cli_command *command = cli_find_command(argv[1]);
    if (command)
        return command->run(argc - 1, argv + 1);
    const char *names[32];
    size_t count = 0;
    for (const cli_command *known = cli_commands; known->name && count < 32; known++)
        if (!known->hidden)
            names[count++] = known->name;
    const char *nearest = dipp_nearest_word(argv[1], names, count);
    return nearest ? cli_usage_error(NULL, "there is no command `%s`; did you mean `%s`?", argv[1], nearest)
                   : cli_usage_error(NULL, "there is no command `%s`", argv[1]);
}
