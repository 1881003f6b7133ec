/* dipp reward: rewards learnt from preferences, and preferences that others published. */
#include "cli/commands.h"
#include "cli/run.h"
#include "cli/stop.h"
#include "cli/table.h"

#include "base/memory.h"
#include "base/text.h"
#include "experiment/run_judge_pairs.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char cli_reward_details[] =
    "dipp reward train EXPERIMENT.yaml [key=value ...]   trains rewards: dipp run of experiments of stage reward "
    "alone.\n"
    "dipp reward import hpdv2|imagereward|pickapic|votes --from PATH --to FILE.jsonl   preferences as others laid them "
    "out.\n"
    "dipp reward eval REWARD --weights PATH --pairs FILE.jsonl [key=value ...]   judges a reward by pairs.\n"
    "dipp reward SUBCOMMAND --help tells more; docs/reward-training.md has the formats.";

/* ---- train ---- */

static int train(int argc, char **argv);
static int import(int argc, char **argv);
static int judge(int argc, char **argv);

static const cli_command subcommands[] = {
    {"reward train", "EXPERIMENT.yaml [key=value ...]", "Train rewards from preferences.", cli_run_details, train,
     false},
    {"reward import", "hpdv2|imagereward|pickapic|votes --from PATH --to FILE.jsonl",
     "Write preferences in a published layout as the JSONL that training reads.",
     "hpdv2: train.json or test.json, or their folder (train.json). imagereward: a folder of ImageRewardDB, or a JSON "
     "file "
     "of\nit, or ImageReward's test.json. pickapic: its rows as JSONL or CSV under their column names, with the "
     "pictures as\n"
     "UID.jpg beside them; parquet is not read. votes: the database of dipp label.",
     import, false},
    {"reward eval", "REWARD [--weights PATH] --pairs FILE [key=value ...]", "Judge a reward by pairs.",
     "Scores are those of training: their difference is the logit of being preferred. key=value: reward.params.KEY,\n"
     "preferences.size, evaluate.batch, device, precision. What the numbers are: docs/reward-training.md.",
     judge, false},
    {NULL, NULL, NULL, NULL, NULL, false}};

static int train(int argc, char **argv)
{
    return cli_run_experiment(&subcommands[0], "reward", argc, argv);
}

/* ---- import ---- */

static dipp_status import_file(const char *from, const char *to, dipp_preference_format format, dipp_error *error)
{
    dipp_preferences set = {.captions_differ = false};
    char real[PATH_MAX];
    if (!realpath(from, real))
        return dipp_fail(error, DIPP_E_NOT_FOUND, "there is no file or folder %s", from);
    dipp_status status = dipp_preferences_read(real, format, &set, error);
    if (status == DIPP_OK)
        status = dipp_preferences_write(&set, to, error);
    if (status == DIPP_OK) {
        size_t ties = 0;
        for (size_t i = 0; i < set.pair_count; i++)
            ties += set.pairs[i].tie;
        printf("%s: %u prompts, %u pictures, %zu lines, %zu pairs and %zu ties of rank\n", to, set.prompts.count,
               set.pictures.count, set.line_count, set.pair_count - ties, ties);
    }
    dipp_preferences_clear(&set);
    return status;
}

static int import(int argc, char **argv)
{
    const char *from = NULL, *to = NULL;
    cli_list positionals = {0};
    const cli_option table[] = {{"from", 0, CLI_TEXT, "PATH", "the file or folder as it was published", &from},
                                {"to", 0, CLI_TEXT, "FILE", "the JSONL to write", &to},
                                {NULL, 0, CLI_FLAG, NULL, NULL, NULL}};
    const cli_command *self = &subcommands[1];
    int code = CLI_OK, format = 0;
    if (!cli_parse(self, table, argc, argv, &positionals, &code))
        return code;
    for (int i = 1; positionals.count == 1 && dipp_preference_formats[i]; i++)
        if (!strcmp(dipp_preference_formats[i], positionals.items[0]))
            format = i;
    if (!format)
        return cli_refuse(table, &positionals,
                          cli_usage_error(self, "the layout is needed: hpdv2, imagereward, pickapic or votes"));
    if (!from || !to)
        return cli_refuse(table, &positionals, cli_usage_error(self, "--from and --to are needed"));
    dipp_error error;
    dipp_status status = import_file(from, to, (dipp_preference_format)format, &error);
    cli_list_clear(&positionals);
    return status == DIPP_OK ? CLI_OK : cli_fail(&error);
}

/* ---- eval ---- */

/* Kinds down, metrics across. */
static void add_kind(void *context, const char *kind, const double *values)
{
    cli_table *table = context;
    char texts[DIPP_PREFERENCE_METRICS][24];
    const char *cells[DIPP_PREFERENCE_METRICS + 1] = {*kind ? kind : "all"};
    for (int i = 0; i < DIPP_PREFERENCE_METRICS; i++) {
        if (isnan(values[i]))
            snprintf(texts[i], sizeof texts[i], "-");
        else
            snprintf(texts[i], sizeof texts[i], i == DIPP_PREFERENCE_PAIRS ? "%.0f" : "%.4f", values[i]);
        cells[i + 1] = texts[i];
    }
    cli_table_add(table, cells);
}

static dipp_status judge_pairs(dipp_judge_pairs_request *request, const cli_plugin_options *places, dipp_error *error)
{
    dipp_plugins *plugins = NULL;
    cli_table table = {.columns = DIPP_PREFERENCE_METRICS + 1};
    const char *heads[DIPP_PREFERENCE_METRICS + 1] = {"kind"};
    for (int i = 0; i < DIPP_PREFERENCE_METRICS; i++)
        heads[i + 1] = dipp_preference_metric_names[i];
    cli_table_add(&table, heads);
    cli_catch_stop();
    dipp_status status = cli_open_plugins(places, &plugins, error);
    if (status == DIPP_OK)
        status = dipp_run_judge_pairs(request, plugins, add_kind, &table, error);
    if (status == DIPP_OK)
        cli_table_print(&table, stdout, 0);
    cli_table_clear(&table);
    dipp_plugins_destroy(&plugins);
    return status;
}

static int judge(int argc, char **argv)
{
    dipp_judge_pairs_request request = {.stop = &cli_stop};
    const char *format = "jsonl";
    long threads = 0;
    cli_plugin_options places = {{0}, {0}};
    cli_list positionals = {0};
    const cli_option table[] = {{"plugin-name", 'p', CLI_TEXT, "NAME", "the reward plugin", &request.plugin},
                                {"weights", 'w', CLI_TEXT, "PATH",
                                 "its weights: a file, or a folder as dipp export writes it", &request.weights},
                                {"pairs", 0, CLI_TEXT, "FILE", "the preferences", &request.pairs},
                                {"format", 0, CLI_TEXT, "NAME",
                                 "how they are laid out: jsonl (default), hpdv2, imagereward, pickapic, votes",
                                 &format},
                                {"threads", 't', CLI_NUMBER, "N", "threads", &threads},
                                CLI_PLUGIN_OPTIONS(places),
                                {NULL, 0, CLI_FLAG, NULL, NULL, NULL}};
    const cli_command *self = &subcommands[2];
    int code = CLI_OK, known = -1;
    if (!cli_parse(self, table, argc, argv, &positionals, &code))
        return code;
    for (int i = 0; dipp_preference_formats[i]; i++)
        known = strcmp(format, dipp_preference_formats[i]) ? known : i;
    if (!positionals.count || strchr(positionals.items[0], '=') || !request.pairs)
        code = cli_usage_error(self, "the name of a reward plugin and --pairs are needed");
    else if (known < 0)
        code = cli_usage_error(self, "--format is `%s`; expected jsonl, hpdv2, imagereward, pickapic or votes", format);
    if (code != CLI_OK)
        return cli_refuse(table, &positionals, code);
    request.format = (dipp_preference_format)known;
    request.threads = (uint32_t)threads;
    request.plugin = positionals.items[0];
    request.overrides = positionals.items + 1;
    request.override_count = positionals.count - 1;
    dipp_error error;
    if (judge_pairs(&request, &places, &error) != DIPP_OK)
        code = cli_fail(&error);
    return cli_refuse(table, &positionals, code);
}

/* ---- The command ---- */

int cli_reward(int argc, char **argv)
{
    const cli_option none[] = {{NULL, 0, CLI_FLAG, NULL, NULL, NULL}};
    const cli_command *self = cli_find_command("reward");
    cli_list positionals = {0};
    int code = CLI_OK;
    const char *names[3];
    for (size_t i = 0; subcommands[i].name; i++) {
        names[i] = strchr(subcommands[i].name, ' ') + 1;
        if (argc > 1 && !strcmp(argv[1], names[i]))
            return subcommands[i].run(argc - 1, argv + 1);
    }
    if (!cli_parse(self, none, argc, argv, &positionals, &code))
        return code;
    cli_list_clear(&positionals);
    const char *nearest = argc > 1 ? dipp_nearest_word(argv[1], names, 3) : NULL;
    return argc < 2  ? cli_usage_error(self, "train, import or eval is needed")
           : nearest ? cli_usage_error(self, "there is no `%s` in it; did you mean `%s`?", argv[1], nearest)
                     : cli_usage_error(self, "there is no `%s` in it; expected train, import or eval", argv[1]);
}
