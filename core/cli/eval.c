/* dipp eval: scores of a finished run by other metrics or on other prompts, and scores of pictures from files. */
#include "cli/commands.h"
#include "cli/eval_embeddings.h"
#include "cli/stop.h"
#include "cli/style_table.h"

#include "base/file.h"
#include "base/memory.h"
#include "base/text.h"
#include "experiment/parameters_json.h"
#include "experiment/run_rescore.h"
#include "experiment/run_score_files.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char cli_eval_details[] =
    "dipp eval RUN ... [evaluate.KEY=VALUE ...]   draws with each run's result and scores again; what the same metrics "
    "had\n"
    "    there is replaced, everything else stays. Scores pair only where prompts, samples and noise are equal, so\n"
    "    score all arms again that are to be compared.\n"
    "dipp eval --images DIR --prompts FILE --metrics NAME,...   scores pictures of any model; --reward PLUGIN with\n"
    "    --weights FILE and --param KEY=VALUE scores them by a reward, beside or in place of --metrics. An experiment\n"
    "    file in place of --prompts gives prompts, metrics, scorers and the world of the judges. Pictures are called\n"
    "    by prompt and sample, from 0: p003-s1.png, 3-1.png, 00003.png, below HPSv2's prompts in a folder for each\n"
    "    style; or --manifest names them, lines PROMPT<tab>SAMPLE<tab>FILE.\n"
    "dipp eval --embeddings FILE.npy ... --metrics aesthetic --head FILE.pth   scores embeddings of pictures by the\n"
    "    head of an aesthetic predictor (docs/aesthetic.md); nothing is stored.\n"
    "Exit codes: 0 scored, 3 a run, picture or metric is wrong, 75 interrupted.";

typedef struct eval_options {
    const char *database, *experiment, *metrics, *images, *prompts, *manifest, *name, *arm, *head, *reward, *weights;
    long samples, threads;
    cli_plugin_options places;
    cli_list positionals, embeddings, parameters;
} eval_options;

static bool is_override(const char *text)
{
    return *text == '~' || strchr(text, '=') != NULL;
}

/* Positionals that are overrides, after those that the options stand for. */
static dipp_status list_overrides(const eval_options *options, cli_list *overrides, char *own[2], dipp_error *error)
{
    dipp_text metrics = {0}, samples = {0};
    overrides->items = calloc(options->positionals.count + 2, sizeof *overrides->items);
    if (options->metrics) {
        dipp_text_printf(&metrics, "evaluate.metrics=[%s]", options->metrics);
        own[0] = dipp_text_finish(&metrics);
    }
    if (options->samples) {
        dipp_text_printf(&samples, "evaluate.samples=%ld", options->samples);
        own[1] = dipp_text_finish(&samples);
    }
    if (!overrides->items || (options->metrics && !own[0]) || (options->samples && !own[1]))
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for the overrides");
    for (size_t i = 0; i < 2; i++)
        if (own[i])
            overrides->items[overrides->count++] = own[i];
    for (size_t i = 0; i < options->positionals.count; i++)
        if (is_override(options->positionals.items[i]))
            overrides->items[overrides->count++] = options->positionals.items[i];
    return DIPP_OK;
}

static dipp_status eval_runs(const eval_options *options, dipp_plugins *plugins, dipp_error *error)
{
    dipp_store *store = NULL;
    cli_list overrides = {0};
    char *own[2] = {0};
    dipp_store_options open = {.mode = DIPP_STORE_WRITE};
    dipp_status status = list_overrides(options, &overrides, own, error);
    if (status == DIPP_OK)
        status = dipp_store_open(cli_database(options->database, NULL), &open, &store, error);
    for (size_t i = 0; i < options->positionals.count && status == DIPP_OK; i++) {
        dipp_rescore_report report = {0};
        dipp_rescore_request request = {.overrides = overrides.items,
                                        .override_count = overrides.count,
                                        .threads = (uint32_t)options->threads,
                                        .stop = &cli_stop};
        if (is_override(options->positionals.items[i]))
            continue;
        status = dipp_store_find_run(store, options->positionals.items[i], options->experiment, &request.run_id, error);
        if (status == DIPP_OK)
            status = dipp_run_rescore(store, &request, plugins, &report, error);
        if (status == DIPP_OK)
            printf("run %lld: %lld samples scored at step %lld\n", (long long)request.run_id, (long long)report.samples,
                   (long long)report.step);
        if (status == DIPP_OK)
            status = cli_print_styles(store, request.run_id, error);
    }
    dipp_store_close(&store);
    free(overrides.items);
    dipp_release(own[0]);
    dipp_release(own[1]);
    return status;
}

/* "a,b" as a list of names; text is cut. */
static dipp_status split(char *text, cli_list *names, dipp_error *error)
{
    char *rest = NULL;
    names->items = calloc(strlen(text) + 1, sizeof *names->items);
    if (!names->items)
        return dipp_fail(error, DIPP_E_MEMORY, "no memory for the metrics");
    for (char *name = strtok_r(text, ", ", &rest); name; name = strtok_r(NULL, ", ", &rest))
        names->items[names->count++] = name;
    return DIPP_OK;
}

/* The scorer is printed without the parameters that stand at their defaults. */
static int print_score(void *user, int columns, const char *const *names, const char *const *values)
{
    dipp_plugins *plugins = user;
    const char *scorer = values[2], *json = values[3], *kind = values[4], *plugin = values[5];
    const dipp_loaded_plugin *loaded = NULL;
    size_t head = strlen(scorer), tail = strlen(json);
    if (!strcmp(kind, "reward") && head > tail && !strcmp(scorer + head - tail, json) &&
        dipp_plugins_find(plugins, DIPP_PLUGIN_REWARD, plugin, &loaded, NULL) == DIPP_OK) {
        char *changed =
            dipp_parameters_json_changed(loaded->descriptor->parameters, loaded->descriptor->parameter_count, json);
        bool none = changed && !strcmp(changed, "{}");
        printf("  %-20s %s (%.*s%s)\n", values[0], values[1] ? values[1] : "nan", (int)(head - tail - none), scorer,
               none      ? ""
               : changed ? changed
                         : json);
        dipp_release(changed);
        return 0;
    }
    printf("  %-20s %s (%s)\n", values[0], values[1] ? values[1] : "nan", scorer);
    return 0;
}

/* A line that is redrawn, on a terminal. */
static void show_scored(void *context, const char *metric, uint32_t done, uint32_t count)
{
    (void)context;
    if (!isatty(STDERR_FILENO))
        return;
    fprintf(stderr, "\r%s: %u of %u pictures%s", metric, done, count, done == count ? "\n" : "");
    fflush(stderr);
}

static dipp_status score_files(const eval_options *options, dipp_score_files_request *request, dipp_plugins *plugins,
                               dipp_error *error)
{
    dipp_store *store = NULL;
    dipp_score_files_report report = {0};
    const char *database = cli_database(options->database, NULL);
    char *folder = dipp_path_folder(database);
    dipp_status status = folder ? dipp_make_directories(folder, error)
                                : dipp_fail(error, DIPP_E_MEMORY, "no memory for the database's folder");
    dipp_release(folder);
    if (status == DIPP_OK)
        status = dipp_store_open(database, NULL, &store, error);
    if (status == DIPP_OK)
        status = dipp_run_score_files(store, request, plugins, &report, error);
    if (status == DIPP_OK) {
        char run[24];
        const char *binds[] = {run};
        snprintf(run, sizeof run, "%lld", (long long)report.run_id);
        printf("run %s%s: %u prompts, %u of each\n", run, report.known ? " (the same pictures as before)" : "",
               report.prompts, report.samples);
        status =
            dipp_store_query(store,
                             "SELECT n.name, printf('%.6g', s.value), c.scorer, k.config_json, c.kind, c.name FROM "
                             "scores s JOIN metric_names n USING(metric_id) JOIN scorer_names c USING(scorer_id) "
                             "JOIN scorers k USING(scorer_id) WHERE s.run_id=CAST(?1 AS INTEGER) ORDER BY 1",
                             binds, 1, print_score, plugins, error);
        if (status == DIPP_OK)
            status = cli_print_styles(store, report.run_id, error);
    }
    dipp_store_close(&store);
    return status;
}

static dipp_status eval_files(const eval_options *options, dipp_plugins *plugins, dipp_error *error)
{
    dipp_experiment *experiment = NULL;
    cli_list names = {0}, overrides = {0};
    char *own[2] = {0}, *metrics = NULL, *folder = dipp_string_copy(options->images);
    size_t count = 0;
    dipp_status status = folder ? DIPP_OK : dipp_fail(error, DIPP_E_MEMORY, "no memory for the pictures' folder");
    for (size_t length = folder ? strlen(folder) : 0; length > 1 && folder[length - 1] == '/'; length--)
        folder[length - 1] = 0;
    if (status == DIPP_OK && options->positionals.count) {
        status = list_overrides(options, &overrides, own, error);
        if (status == DIPP_OK)
            status = cli_load_experiment(options->positionals.items[0], &overrides, 0, plugins, &experiment, error);
    } else if (status == DIPP_OK) {
        metrics = dipp_string_copy(options->metrics ? options->metrics : "");
        status = metrics ? split(metrics, &names, error) : dipp_fail(error, DIPP_E_MEMORY, "no memory for the metrics");
    }
    if (status == DIPP_OK) {
        dipp_given_scorer given = {.plugin = options->reward,
                                   .weights = options->weights,
                                   .head = options->head,
                                   .parameters = options->parameters.items,
                                   .parameter_count = options->parameters.count};
        dipp_score_files_request request = {.folder = folder,
                                            .manifest = options->manifest,
                                            .prompts = options->prompts,
                                            .config =
                                                experiment ? dipp_experiment_cells(experiment, &count)[0].config : NULL,
                                            .metrics = names.items,
                                            .metric_count = names.count,
                                            .given = given.plugin ? &given : NULL,
                                            .experiment = options->name ? options->name : "images",
                                            .arm = options->arm,
                                            .threads = (uint32_t)options->threads,
                                            .stop = &cli_stop,
                                            .scored = show_scored};
        status = score_files(options, &request, plugins, error);
    }
    dipp_experiment_destroy(&experiment);
    free(overrides.items);
    free(names.items);
    dipp_release(own[0]);
    dipp_release(own[1]);
    dipp_release(metrics);
    dipp_release(folder);
    return status;
}

static int check_usage(const eval_options *options, const cli_command *self)
{
    if (options->embeddings.count && (options->images || options->prompts || options->experiment || options->samples))
        return cli_usage_error(self, "--embeddings goes with --metrics and --head alone");
    if (options->embeddings.count &&
        (!options->head || !options->metrics || strcmp(options->metrics, "aesthetic") != 0))
        return cli_usage_error(self, "--embeddings needs --metrics aesthetic and --head FILE");
    if (!options->embeddings.count && !options->reward && options->head)
        return cli_usage_error(self, "--head goes with --embeddings, or with --reward and --weights");
    if (options->reward && !options->images)
        return cli_usage_error(self, "--reward goes with --images");
    if (!options->reward && (options->weights || options->parameters.count))
        return cli_usage_error(self, "--weights and --param are --reward's");
    if (!options->images && (options->prompts || options->manifest || options->name || options->arm))
        return cli_usage_error(self, "--prompts, --manifest, --name and --arm go with --images");
    if (!options->images && !options->embeddings.count && !options->positionals.count)
        return cli_usage_error(self, "runs are needed, or --images DIR, or --embeddings FILE");
    if (options->images && !options->positionals.count &&
        (!options->prompts || (!options->metrics && !options->reward)))
        return cli_usage_error(self, "--images needs --prompts FILE and --metrics or --reward, or an experiment file "
                                     "that has them");
    if (options->images && options->samples)
        return cli_usage_error(self, "how many samples there are, the pictures of --images say");
    if (options->samples < 0)
        return cli_usage_error(self, "--samples needs a positive number");
    return CLI_OK;
}

int cli_eval(int argc, char **argv)
{
    eval_options options = {0};
    const cli_option table[] = {
        CLI_DATABASE_OPTION(options.database),
        {"experiment", 'e', CLI_TEXT, "NAME", "where RUN is ARM:SEED", &options.experiment},
        {"metrics", 'm', CLI_TEXT, "NAME,...", "these metrics in place of the configured ones", &options.metrics},
        {"samples", 'n', CLI_NUMBER, "N", "samples of each prompt", &options.samples},
        {"images", 0, CLI_TEXT, "DIR", "score the pictures in this folder", &options.images},
        {"prompts", 0, CLI_TEXT, "FILE", "their prompts: a file as published, or HPSv2's folder", &options.prompts},
        {"manifest", 0, CLI_TEXT, "FILE", "which file is which prompt and sample", &options.manifest},
        {"embeddings", 0, CLI_LIST, "FILE", "score the picture embeddings in this .npy file (repeatable)",
         &options.embeddings},
        {"head", 0, CLI_TEXT, "FILE", "their aesthetic predictor's head, .pth or .safetensors", &options.head},
        {"reward", 0, CLI_TEXT, "PLUGIN", "a reward that scores the pictures", &options.reward},
        {"weights", 0, CLI_TEXT, "FILE", "its weights; --head FILE for those that are apart", &options.weights},
        {"param", 'p', CLI_LIST, "KEY=VALUE", "one of its parameters (repeatable)", &options.parameters},
        {"name", 0, CLI_TEXT, "NAME", "the experiment under which they are stored, default images", &options.name},
        {"arm", 0, CLI_TEXT, "ARM", "the arm, default the folder's name", &options.arm},
        {"threads", 't', CLI_NUMBER, "N", "threads", &options.threads},
        CLI_PLUGIN_OPTIONS(options.places),
        {NULL, 0, CLI_FLAG, NULL, NULL, NULL}};
    int code = CLI_OK;
    const cli_command *self = cli_find_command("eval");
    if (!cli_parse(self, table, argc, argv, &options.positionals, &code))
        return code;
    dipp_error error;
    dipp_plugins *plugins = NULL;
    code = check_usage(&options, self);
    if (code == CLI_OK && options.embeddings.count) {
        if (cli_eval_embeddings(&options.embeddings, &options.positionals, options.head, &error) != DIPP_OK)
            code = cli_fail(&error);
    } else if (code == CLI_OK) {
        cli_catch_stop();
        dipp_status status = cli_open_plugins(&options.places, &plugins, &error);
        if (status == DIPP_OK)
            status = options.images ? eval_files(&options, plugins, &error) : eval_runs(&options, plugins, &error);
        if (status != DIPP_OK)
            code = cli_fail(&error);
    }
    dipp_plugins_destroy(&plugins);
    cli_list_clear(&options.positionals);
    cli_list_clear(&options.embeddings);
    cli_list_clear(&options.parameters);
    cli_list_clear(&options.places.files);
    cli_list_clear(&options.places.directories);
    return code;
}
